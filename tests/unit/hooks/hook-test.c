/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the hook makes, refuses and costs. */
#include "tests/unit/hooks/hook-fixture.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define RUNS 50

static void
test_makes (void)
{
    g_autoptr (CorralCpuset) cpu = fixture_nth_cpu (0);
    g_autofree char *vcpu = fixture_vcpu_element (cpu);
    g_autofree char *inner = g_strconcat (vcpu,
                                          "<cputune><shares>2048</shares><global_period>50000"
                                          "</global_period><global_quota>20000</global_quota>"
                                          "</cputune>",
                                          NULL);
    g_autofree char *partition = g_strconcat (top, "/one", NULL);
    CorralContainerCap cap;
    g_autoptr (GError) error = NULL;

    fixture_set_up ();
    fixture_define ("etc", "one", "/one", inner);
    fixture_admit (partition);
    g_assert_cmpint (fixture_state_of (""), ==, CORRAL_CONTAINER_WHOLE);
    g_assert_cmpint (fixture_state_of ("/one"), ==, CORRAL_CONTAINER_WHOLE);
    fixture_assert_cpus ("", host_cpus);
    fixture_assert_cpus ("/one", cpu);
    g_assert_cmpuint (fixture_weight_of ("/one"), ==, 2048);
    g_assert_true (corral_container_get_cap (core, partition, &cap, &error));
    g_assert_cmpint (cap.period_usec, ==, 50000);
    g_assert_cmpint (cap.quota_usec, ==, 20000);

    /* What runs is left as it is. */
    g_assert_true (corral_container_set_weight (core, partition, 512, &error));
    fixture_admit (partition);
    g_assert_cmpuint (fixture_weight_of ("/one"), ==, 512);
}

static void
test_makes_parents (void)
{
    g_autoptr (CorralCpuset) cpu = fixture_nth_cpu (0);
    g_autofree char *vcpu = fixture_vcpu_element (cpu);
    g_autofree char *partition = g_strconcat (top, "/one/two/three", NULL);

    fixture_set_up ();
    fixture_define ("etc", "a", "/one", vcpu);
    fixture_define ("etc", "b", "/one/two/three", "<cputune><shares>512</shares></cputune>");
    fixture_admit (partition);
    fixture_assert_cpus ("/one", cpu);
    fixture_assert_cpus ("/one/two", cpu);
    fixture_assert_cpus ("/one/two/three", cpu);
    g_assert_cmpuint (fixture_weight_of ("/one/two"), ==, 1024);
    g_assert_cmpuint (fixture_weight_of ("/one/two/three"), ==, 512);
}

static void
test_live_copy_goes_first (void)
{
    g_autofree char *partition = g_strconcat (top, "/one", NULL);

    fixture_set_up ();
    fixture_define ("etc", "one", "/one", "<cputune><shares>2048</shares></cputune>");
    fixture_define ("run/containers", "one", "/one", "<cputune><shares>4096</shares></cputune>");
    fixture_admit (partition);
    g_assert_cmpuint (fixture_weight_of ("/one"), ==, 4096);
}

/* The mount of a v1 hierarchy that has @controller; NULL on a host without. */
static char *
find_v1_mount (const char *controller)
{
    g_autofree char *text = NULL;
    g_auto (GStrv) lines = NULL;

    g_assert_true (g_file_get_contents ("/proc/self/mountinfo", &text, NULL, NULL));
    lines = g_strsplit (text, "\n", -1);
    for (gsize i = 0; lines[i] != NULL; i++) {
        g_auto (GStrv) halves = g_strsplit (lines[i], " - ", 2);
        g_auto (GStrv) left = g_strsplit (halves[0] != NULL ? halves[0] : "", " ", -1);
        g_auto (GStrv) right =
            g_strsplit (halves[0] != NULL && halves[1] != NULL ? halves[1] : "", " ", -1);
        g_auto (GStrv) options = NULL;

        if (g_strv_length (left) < 5 || g_strv_length (right) < 3 ||
            strcmp (right[0], "cgroup") != 0)
            continue;
        options = g_strsplit (right[2], ",", -1);
        if (g_strv_contains ((const char *const *) options, controller))
            return g_strdup (left[4]);
    }
    return NULL;
}

/* libvirt itself removes empty partitions from some hierarchies when a start fails. */
static void
test_partial_is_made_whole (void)
{
    static const char *const controllers[] = { "cpuset", "cpu", "cpuacct" };
    g_autoptr (CorralCpuset) cpu = fixture_nth_cpu (0);
    g_autofree char *vcpu = fixture_vcpu_element (cpu);
    g_autofree char *partition = g_strconcat (top, "/one", NULL);
    guint tried = 0;

    for (gsize i = 0; i < G_N_ELEMENTS (controllers); i++) {
        g_autofree char *mount = find_v1_mount (controllers[i]);
        g_autofree char *directory = NULL;

        if (mount == NULL)
            continue;
        fixture_set_up ();
        fixture_define ("etc", "one", "/one", vcpu);
        fixture_admit (partition);
        directory = g_strdup_printf ("%s%s.partition/one.partition", mount, top);
        if (g_rmdir (directory) != 0)
            g_error ("cannot remove %s", directory);
        g_assert_cmpint (fixture_state_of ("/one"), ==, CORRAL_CONTAINER_PARTIAL);
        fixture_admit (partition);
        g_assert_cmpint (fixture_state_of ("/one"), ==, CORRAL_CONTAINER_WHOLE);
        fixture_assert_cpus ("/one", cpu);
        tried++;
    }
    if (tried == 0)
        g_test_skip ("no cgroup v1 hierarchy is mounted, so none can be missing");
}

static void
test_refuses_what_cannot_be_had (void)
{
    g_autoptr (CorralCpuset) first = fixture_nth_cpu (0), second = NULL;
    g_autofree char *narrow = fixture_vcpu_element (first);
    g_autofree char *other = NULL;
    g_autofree char *partition = g_strconcat (top, "/one/two", NULL);
    g_autofree char *beginning = NULL;
    g_autofree char *message = NULL;
    g_autofree char *again = NULL;

    fixture_set_up ();
    fixture_define ("etc", "one", "/one", "<vcpu cpuset='8191'/>");
    fixture_define ("etc", "two", "/one/two", "");
    message = fixture_refuse (partition);
    beginning = g_strdup_printf ("cannot start \"web1\" in \"%s\": ", partition);
    g_assert_true (g_str_has_prefix (message, beginning));
    fixture_assert_holds (message, "8191");
    g_assert_cmpint (fixture_state_of ("/one"), ==, CORRAL_CONTAINER_ABSENT);

    if (hwloc_bitmap_weight (host_cpus) < 2)
        return;
    /* The parent could be had, but not the child: neither is left. */
    second = fixture_nth_cpu (1);
    other = fixture_vcpu_element (second);
    fixture_define ("etc", "one", "/one", narrow);
    fixture_define ("etc", "two", "/one/two", other);
    again = fixture_refuse (partition);
    fixture_assert_holds (again, "/one/two");
    g_assert_cmpint (fixture_state_of ("/one/two"), ==, CORRAL_CONTAINER_ABSENT);
    g_assert_cmpint (fixture_state_of ("/one"), ==, CORRAL_CONTAINER_ABSENT);
}

static void
test_undefined (void)
{
    g_autofree char *partition = g_strconcat (top, "/one", NULL);
    g_autofree char *expected = NULL;
    g_autofree char *message = NULL;
    g_autoptr (GError) error = NULL;

    fixture_set_up ();
    fixture_define ("etc", "other", "/other", "");
    message = fixture_refuse (partition);
    expected = g_strdup_printf ("cannot start \"web1\" in \"%s\": there is no container at the "
                                "partition \"%s\", neither defined nor in the kernel",
                                partition, partition);
    g_assert_cmpstr (message, ==, expected);
    g_assert_cmpint (fixture_state_of (""), ==, CORRAL_CONTAINER_ABSENT);

    g_assert_true (corral_container_create (core, partition, NULL, NULL, &error));
    fixture_admit (partition);
}

/* Many VMs that start at once in a container that does not run yet. */
static void
test_at_once (void)
{
    g_autoptr (CorralCpuset) cpu = fixture_nth_cpu (0);
    g_autofree char *vcpu = fixture_vcpu_element (cpu);
    g_autofree char *partition = g_strconcat (top, "/one/two", NULL);

    for (guint round = 0; round < 5; round++) {
        GSubprocess *processes[8];

        fixture_set_up ();
        fixture_define ("etc", "one", "/one", vcpu);
        fixture_define ("etc", "two", "/one/two", "<cputune><shares>2048</shares></cputune>");
        fixture_put_vm (partition);
        for (gsize i = 0; i < G_N_ELEMENTS (processes); i++)
            processes[i] = fixture_spawn ("prepare", "begin", "in");
        for (gsize i = 0; i < G_N_ELEMENTS (processes); i++) {
            g_autofree char *message = fixture_finish (processes[i], 0);

            g_assert_cmpstr (message, ==, "");
            g_object_unref (processes[i]);
        }
        fixture_assert_cpus ("/one/two", cpu);
        g_assert_cmpuint (fixture_weight_of ("/one/two"), ==, 2048);
    }
}

/* Whether the process @pid waits for an advisory lock. */
static gboolean
waits_for_lock (const char *pid)
{
    g_autofree char *text = NULL;
    g_autofree char *waiter = g_strdup_printf (" -> FLOCK  ADVISORY  WRITE %s ", pid);

    return g_file_get_contents ("/proc/locks", &text, NULL, NULL) && strstr (text, waiter) != NULL;
}

/* One makes containers at a time, whatever the kernel would allow. */
static void
test_lock (void)
{
    g_autofree char *partition = g_strconcat (top, "/one", NULL);
    g_autofree char *path = g_build_filename (folder, "run/hook.lock", NULL);
    gint64 deadline = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;
    g_autoptr (GSubprocess) process = NULL;
    g_autofree char *message = NULL;
    const char *pid;
    int fd;

    fixture_set_up ();
    fixture_define ("etc", "one", "/one", "");
    fixture_put_file ("run/hook.lock", "", 0);
    fd = open (path, O_RDWR | O_CLOEXEC);
    g_assert_cmpint (flock (fd, LOCK_EX), ==, 0);
    fixture_put_vm (partition);
    process = fixture_spawn ("prepare", "begin", "in");
    while ((pid = g_subprocess_get_identifier (process)) != NULL && !waits_for_lock (pid)) {
        g_assert_cmpint (g_get_monotonic_time (), <, deadline);
        g_usleep (1000);
    }
    g_assert_nonnull (pid); /* it has ended without the lock */
    g_assert_cmpint (fixture_state_of ("/one"), ==, CORRAL_CONTAINER_ABSENT);
    close (fd);
    message = fixture_finish (process, 0);
    g_assert_cmpstr (message, ==, "");
    g_assert_cmpint (fixture_state_of ("/one"), ==, CORRAL_CONTAINER_WHOLE);
}

static int
compare_times (gconstpointer a, gconstpointer b)
{
    const gint64 *first = a, *second = b;

    return (*first > *second) - (*first < *second);
}

static gint64
time_runs (const char *what, const char *partition, gboolean make)
{
    gint64 times[RUNS];

    fixture_put_vm (partition);
    for (gsize i = 0; i < RUNS; i++) {
        g_autoptr (GSubprocess) process = NULL;
        g_autofree char *message = NULL;
        gint64 start;

        if (make)
            fixture_destroy_tree (top);
        start = g_get_monotonic_time ();
        process = fixture_spawn ("prepare", "begin", "in");
        message = fixture_finish (process, 0);
        times[i] = g_get_monotonic_time () - start;
    }
    qsort (times, RUNS, sizeof times[0], compare_times);
    g_test_message ("%s, %d runs: median %.2f ms, 90th percentile %.2f ms, worst %.2f ms", what,
                    RUNS, (double) times[RUNS / 2] / 1000, (double) times[RUNS * 9 / 10] / 1000,
                    (double) times[RUNS - 1] / 1000);
    return times[RUNS / 2];
}

/* The bound is for a sanitizer's build on a busy machine; the figures are for reading. */
static void
test_time (void)
{
    g_autoptr (CorralCpuset) cpu = fixture_nth_cpu (0);
    g_autofree char *vcpu = fixture_vcpu_element (cpu);
    g_autofree char *partition = g_strconcat (top, "/one", NULL);

    fixture_set_up ();
    for (guint i = 0; i < 100; i++) {
        g_autofree char *name = g_strdup_printf ("other%u", i);
        g_autofree char *path = g_strconcat ("/", name, NULL);

        fixture_define ("etc", name, path, "");
    }
    fixture_define ("etc", "one", "/one", vcpu);
    g_assert_cmpint (time_runs ("no partition", NULL, FALSE), <, 500 * 1000);
    g_assert_cmpint (time_runs ("container to be made", partition, TRUE), <, 500 * 1000);
    g_assert_cmpint (time_runs ("container that runs", partition, FALSE), <, 500 * 1000);
}

/* Without corrald nobody finds a place in a planned container, whether it runs or not. A container
 * beneath it that is not planned, and one beside it, are none of this; nor does the end of a VM
 * need corrald. */
static void
test_planned_without_corrald (void)
{
    g_autofree char *partition = g_strconcat (top, "/one", NULL);
    g_autofree char *deeper = g_strconcat (top, "/one/more", NULL);
    g_autofree char *beneath = g_strconcat (top, "/one/two", NULL);
    g_autofree char *beside = g_strconcat (top, "/other", NULL);
    g_autofree char *text = NULL, *again = NULL, *silent = NULL;
    g_autoptr (GError) error = NULL;

    fixture_set_up ();
    fixture_define ("etc", "one", "/one", "<vcpu placement='auto'/>");
    fixture_define ("etc", "two", "/one/two", "");
    fixture_define ("etc", "other", "/other", "");
    text = fixture_refuse (partition);
    fixture_assert_holds (text, "planned by corrald");
    fixture_assert_holds (text, "libvirt-sock");
    g_assert_cmpint (fixture_state_of ("/one"), ==, CORRAL_CONTAINER_ABSENT);
    g_assert_true (corral_container_create (core, deeper, NULL, NULL, &error));
    g_assert_no_error (error);
    again = fixture_refuse (deeper);
    fixture_assert_holds (again, "planned by corrald");
    fixture_admit (beneath);
    fixture_admit (beside);
    silent = fixture_finish (fixture_spawn ("release", "end", "in"), 0);
    g_assert_cmpstr (silent, ==, "");
}

/* --- what corrald answers --- */

typedef struct {
    int fd;
    guint32 status;
    const guint32 *body;
    guint n_words;
} Answer;

static gboolean
exchange (int fd, const Answer *answer)
{
    guint32 header[7], reply[24] = { 0 };
    char rest[8192];
    gsize left;

    if (recv (fd, header, sizeof header, MSG_WAITALL) != sizeof header)
        return FALSE;
    for (left = GUINT32_FROM_BE (header[0]) - sizeof header; left > 0;) {
        ssize_t got = recv (fd, rest, MIN (left, sizeof rest), 0);

        if (got <= 0)
            return FALSE;
        left -= (gsize) got;
    }
    memcpy (reply, header, sizeof header);
    reply[0] = GUINT32_TO_BE (sizeof header + answer->n_words * 4);
    reply[4] = GUINT32_TO_BE (1); /* a reply */
    reply[6] = GUINT32_TO_BE (answer->status);
    for (guint i = 0; i < answer->n_words; i++)
        reply[7 + i] = GUINT32_TO_BE (answer->body[i]);
    return send (fd, reply, sizeof header + answer->n_words * 4, MSG_NOSIGNAL) > 0;
}

static gpointer
serve (gpointer data)
{
    static const Answer opened = { 0 };
    const Answer *answer = data;
    int fd;

    while ((fd = accept (answer->fd, NULL, NULL)) >= 0) {
        if (exchange (fd, &opened))
            (void) exchange (fd, answer);
        close (fd);
    }
    return NULL;
}

/* A corrald that has one answer, until stop_corrald(). */
static GThread *
start_corrald (Answer *answer)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    g_autofree char *path = g_build_filename (folder, "libvirt-sock", NULL);
    g_autofree char *settings =
        g_strdup_printf ("[corrald]\ndefinition_dir=%s/etc\nstate_dir=%s/run\nsocket_dir=%s\n",
                         folder, folder, folder);

    fixture_set_up ();
    fixture_put_file ("corral.conf", settings, -1);
    answer->fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_strlcpy (address.sun_path, path, sizeof address.sun_path);
    g_assert_cmpint (bind (answer->fd, (struct sockaddr *) &address, sizeof address), ==, 0);
    g_assert_cmpint (listen (answer->fd, 4), ==, 0);
    return g_thread_new ("corrald", serve, answer);
}

static void
stop_corrald (GThread *thread, const Answer *answer)
{
    shutdown (answer->fd, SHUT_RDWR);
    g_thread_join (thread);
    close (answer->fd);
    fixture_remove_file ("libvirt-sock");
}

/* It cannot say no to what it does not know: as without one. The error is virNetMessageError with
 * VIR_ERR_NO_SUPPORT, and nothing that may be left out. */
static void
test_old_corrald (void)
{
    static const guint32 error[] = { 3, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0 };
    Answer answer = { .status = 1, .body = error, .n_words = G_N_ELEMENTS (error) };
    g_autofree char *partition = g_strconcat (top, "/one", NULL);
    g_autofree char *beside = g_strconcat (top, "/other", NULL);
    GThread *thread = start_corrald (&answer);
    g_autofree char *text = NULL;

    fixture_define ("etc", "one", "/one", "<vcpu placement='auto'/>");
    fixture_define ("etc", "other", "/other", "");
    fixture_admit (beside);
    text = fixture_refuse (partition);
    stop_corrald (thread, &answer);
    fixture_assert_holds (text, "planned by corrald");
    fixture_assert_holds (text, "not supported");
}

/* @body gets an XDR string. Returns: its words */
static guint
put_string (guint32 *body, const char *text)
{
    gsize length = strlen (text);

    body[0] = GUINT32_TO_BE ((guint32) length);
    memcpy (body + 1, text, length);
    for (gsize i = 0; i <= (length + 3) / 4; i++)
        body[i] = GUINT32_FROM_BE (body[i]);
    return (guint) (1 + (length + 3) / 4);
}

/* Nobody gets into a planned container by a path other than that which corrald is asked about. */
static void
test_other_spelling (void)
{
    static const char *const ends[] = { "//one", "/one/", "/one.partition", "/one//more",
                                        "/one/qemu-1-a.libvirt-qemu" };
    static const char *const free_ends[] = { "//other", "/other/", "/other.partition" };
    guint32 body[16] = { 0 };
    Answer answer = { .body = body };
    g_autofree char *one = g_strconcat (top, "/one", NULL);
    g_autofree char *other = g_strconcat (top, "/other", NULL);
    GThread *thread = start_corrald (&answer);
    g_autoptr (GError) error = NULL;

    fixture_define ("etc", "one", "/one", "<vcpu placement='auto'/>");
    fixture_define ("etc", "other", "/other", "");
    g_assert_true (corral_container_create (core, one, NULL, NULL, &error));
    g_assert_true (corral_container_create (core, other, NULL, NULL, &error));
    answer.n_words = put_string (body, "<admitted/>\n");
    for (int running = 1; running >= 0; running--) {
        for (gsize i = 0; i < G_N_ELEMENTS (ends); i++) {
            g_autofree char *partition = g_strconcat (top, ends[i], NULL);
            g_autofree char *text = NULL;

            /* corrald sees itself that the last one is in a planned container. */
            if (running && i + 1 == G_N_ELEMENTS (ends)) {
                fixture_admit (partition);
                continue;
            }
            text = fixture_refuse (partition);
            fixture_assert_holds (text, running ? "knows it as" : "without which no place");
            fixture_assert_holds (text, running ? one : "libvirt-sock");
        }
        for (gsize i = 0; i < G_N_ELEMENTS (free_ends); i++) {
            g_autofree char *partition = g_strconcat (top, free_ends[i], NULL);

            fixture_admit (partition);
        }
        if (running)
            stop_corrald (thread, &answer);
    }
    /* That is another directory. */
    fixture_admit ("/machine.partition/x");
}

/* What corrald has made is not looked at again; what it has not is made, planned or not. */
static void
test_admitted (void)
{
    guint32 body[16] = { 0 };
    Answer answer = { .body = body };
    g_autofree char *partition = g_strconcat (top, "/one", NULL);
    GThread *thread = start_corrald (&answer);

    fixture_define ("etc", "one", "/one", "<vcpu placement='auto'/>");
    answer.n_words = put_string (body, "<admitted container='ready'/>\n");
    fixture_admit (partition);
    g_assert_cmpint (fixture_state_of ("/one"), ==, CORRAL_CONTAINER_ABSENT);
    memset (body, 0, sizeof body);
    answer.n_words = put_string (body, "<admitted/>\n");
    fixture_admit (partition);
    g_assert_cmpint (fixture_state_of ("/one"), ==, CORRAL_CONTAINER_WHOLE);
    stop_corrald (thread, &answer);
}

/* VIR_ERR_RESOURCE_BUSY with a message: it is shown as corrald has it, and nothing is made. */
static void
test_refused (void)
{
    guint32 body[17] = { 104, 0, 1 };
    guint words = 3 + put_string (body + 3, "no room here");
    Answer answer = { .status = 1, .body = body };
    g_autofree char *partition = g_strconcat (top, "/one", NULL);
    GThread *thread = start_corrald (&answer);
    g_autofree char *text = NULL;

    body[words] = 2; /* VIR_ERR_ERROR; then nothing but zeros */
    answer.n_words = words + 8;
    fixture_define ("etc", "one", "/one", "");
    text = fixture_refuse (partition);
    stop_corrald (thread, &answer);
    g_assert_cmpstr (text, ==, "no room here");
    g_assert_cmpint (fixture_state_of ("/one"), ==, CORRAL_CONTAINER_ABSENT);
}

static void
add_tests (void)
{
    g_test_add_func ("/hooks/makes", test_makes);
    g_test_add_func ("/hooks/makes-parents", test_makes_parents);
    g_test_add_func ("/hooks/live-copy-goes-first", test_live_copy_goes_first);
    g_test_add_func ("/hooks/partial-is-made-whole", test_partial_is_made_whole);
    g_test_add_func ("/hooks/refuses-what-cannot-be-had", test_refuses_what_cannot_be_had);
    g_test_add_func ("/hooks/undefined", test_undefined);
    g_test_add_func ("/hooks/planned-without-corrald", test_planned_without_corrald);
    g_test_add_func ("/hooks/old-corrald", test_old_corrald);
    g_test_add_func ("/hooks/other-spelling", test_other_spelling);
    g_test_add_func ("/hooks/admitted", test_admitted);
    g_test_add_func ("/hooks/refused", test_refused);
    g_test_add_func ("/hooks/at-once", test_at_once);
    g_test_add_func ("/hooks/lock", test_lock);
    g_test_add_func ("/hooks/time", test_time);
}

int
main (int argc, char **argv)
{
    return fixture_run (argc, argv, add_tests);
}
