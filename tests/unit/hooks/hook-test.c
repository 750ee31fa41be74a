/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs the hook as libvirtd does, on the real kernel, with containers of this process only. */
#include "common/corral-error.h"
#include "policy/corral-definition.h"
#include "vmm-agent/container/corral-container.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNS 50

static CorralContainerCore *core;
static char *folder;     /* settings, definitions, live copies */
static char *top;        /* "/corral-test-PID": all containers of this test */
static const char *hook; /* the program */
static CorralCpuset *host_cpus, *host_mems;

/* --- running the hook --------------------------------------------------------------------------- */

static void
put_file (const char *name, const char *text, gssize length)
{
    g_autofree char *path = g_build_filename (folder, name, NULL);
    g_autofree char *parent = g_path_get_dirname (path);
    g_autoptr (GError) error = NULL;

    g_assert_cmpint (g_mkdir_with_parents (parent, 0700), ==, 0);
    g_file_set_contents (path, text, length, &error);
    g_assert_no_error (error);
}

static void
remove_file (const char *name)
{
    g_autofree char *path = g_build_filename (folder, name, NULL);

    g_assert_cmpint (g_unlink (path), ==, 0);
}

static GSubprocess *
spawn (const char *operation, const char *sub_operation, const char *input)
{
    g_autoptr (GSubprocessLauncher) launcher = NULL;
    g_autofree char *settings = g_build_filename (folder, "corral.conf", NULL);
    g_autofree char *in = g_build_filename (folder, input, NULL);
    g_autoptr (GError) error = NULL;
    GSubprocess *process;

    launcher =
        g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
    g_subprocess_launcher_set_stdin_file_path (launcher, in);
    process = g_subprocess_launcher_spawn (launcher, &error, hook, "--settings", settings, "web1",
                                           operation, sub_operation, "-", NULL);
    g_assert_no_error (error);
    return process;
}

/* Returns: what the hook wrote to stderr, without the line's end. Nothing may be on stdout: libvirt
 * would take it for another domain document. */
static char *
finish (GSubprocess *process, int expected)
{
    g_autofree char *out = NULL;
    g_autoptr (GError) error = NULL;
    char *err = NULL;

    g_subprocess_communicate_utf8 (process, NULL, NULL, &out, &err, &error);
    g_assert_no_error (error);
    g_strchomp (err);
    if (*err != '\0')
        g_test_message ("%s", err);
    g_assert_true (g_subprocess_get_if_exited (process));
    g_assert_cmpint (g_subprocess_get_exit_status (process), ==, expected);
    g_assert_cmpstr (out, ==, "");
    g_assert_null (strchr (err, '\n'));
    return err;
}

static void
put_vm (const char *partition)
{
    g_autofree char *resource = partition != NULL
                                    ? g_markup_printf_escaped ("<resource><partition>%s</partition>"
                                                               "</resource>",
                                                               partition)
                                    : g_strdup ("");
    g_autofree char *xml =
        g_strdup_printf ("<domain type='qemu'>\n<name>web1</name>\n%s</domain>", resource);

    put_file ("in", xml, -1);
}

/* A VM that names @partition starts. */
static void
admit (const char *partition)
{
    g_autoptr (GSubprocess) process = NULL;
    g_autofree char *message = NULL;

    put_vm (partition);
    process = spawn ("prepare", "begin", "in");
    message = finish (process, 0);
    g_assert_cmpstr (message, ==, "");
}

static char *
refuse (const char *partition)
{
    g_autoptr (GSubprocess) process = NULL;

    put_vm (partition);
    process = spawn ("prepare", "begin", "in");
    return finish (process, 1);
}

static void
assert_holds (const char *text, const char *part)
{
    if (strstr (text, part) == NULL)
        g_error ("\"%s\" is not in: %s", part, text);
}

/* --- containers --------------------------------------------------------------------------------- */

/* A definition NAME.xml in @where, of the container TOP/PATH. */
static void
define (const char *where, const char *name, const char *path, const char *inner)
{
    g_autofree char *file = g_strdup_printf ("%s/%s.xml", where, name);
    g_autofree char *xml = g_strdup_printf ("<domain type='corral'>\n<name>%s</name>\n"
                                            "<resource><partition>%s%s</partition></resource>\n%s\n"
                                            "</domain>\n",
                                            name, top, path, inner);

    put_file (file, xml, -1);
}

static void
destroy_tree (const char *path)
{
    g_auto (GStrv) children = NULL;

    if (corral_container_get_state (core, path) == CORRAL_CONTAINER_ABSENT)
        return;
    if (corral_container_list (core, path, &children, NULL))
        for (gsize i = 0; children[i] != NULL; i++)
            destroy_tree (children[i]);
    if (!corral_container_destroy (core, path, NULL))
        g_printerr ("# \"%s\" could not be removed\n", path);
}

static void
remove_tree (const char *path)
{
    g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
        g_autofree char *inner = g_build_filename (path, name, NULL);

        if (g_unlink (inner) != 0)
            remove_tree (inner);
    }
    g_rmdir (path);
}

/* Each test starts with no container and no file. */
static void
set_up (void)
{
    g_autofree char *settings = NULL;

    destroy_tree (top);
    remove_tree (folder);
    settings =
        g_strdup_printf ("[corrald]\ndefinition_dir=%s/etc\nstate_dir=%s/run\n", folder, folder);
    put_file ("corral.conf", settings, -1);
}

static CorralContainerState
state_of (const char *path)
{
    g_autofree char *full = g_strconcat (top, path, NULL);

    return corral_container_get_state (core, full);
}

static void
assert_cpus (const char *path, const CorralCpuset *expected)
{
    g_autofree char *full = g_strconcat (top, path, NULL);
    g_autoptr (CorralCpuset) cpus = NULL, mems = NULL;
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_container_get_cpuset (core, full, &cpus, &mems, &error));
    g_assert_true (hwloc_bitmap_isequal (cpus, expected));
    g_assert_true (hwloc_bitmap_isequal (mems, host_mems));
}

static guint64
weight_of (const char *path)
{
    g_autofree char *full = g_strconcat (top, path, NULL);
    g_autoptr (GError) error = NULL;
    guint64 weight = 0;

    g_assert_true (corral_container_get_weight (core, full, &weight, &error));
    return weight;
}

/* @index-th pCPU of the host alone */
static CorralCpuset *
nth_cpu (int index)
{
    CorralCpuset *set = hwloc_bitmap_alloc ();
    int cpu = hwloc_bitmap_first (host_cpus);

    while (index-- > 0)
        cpu = hwloc_bitmap_next (host_cpus, cpu);
    g_assert_cmpint (cpu, >=, 0);
    hwloc_bitmap_only (set, (unsigned) cpu);
    return set;
}

static char *
vcpu_element (const CorralCpuset *cpus)
{
    g_autofree char *list = corral_cpuset_format (cpus);

    return g_strdup_printf ("<vcpu cpuset='%s'>1</vcpu>", list);
}

/* --- tests -------------------------------------------------------------------------------------- */

static void
test_makes (void)
{
    g_autoptr (CorralCpuset) cpu = nth_cpu (0);
    g_autofree char *vcpu = vcpu_element (cpu);
    g_autofree char *inner = g_strconcat (vcpu,
                                          "<cputune><shares>2048</shares><global_period>50000"
                                          "</global_period><global_quota>20000</global_quota>"
                                          "</cputune>",
                                          NULL);
    g_autofree char *partition = g_strconcat (top, "/one", NULL);
    CorralContainerCap cap;
    g_autoptr (GError) error = NULL;

    set_up ();
    define ("etc", "one", "/one", inner);
    admit (partition);
    g_assert_cmpint (state_of (""), ==, CORRAL_CONTAINER_WHOLE);
    g_assert_cmpint (state_of ("/one"), ==, CORRAL_CONTAINER_WHOLE);
    assert_cpus ("", host_cpus);
    assert_cpus ("/one", cpu);
    g_assert_cmpuint (weight_of ("/one"), ==, 2048);
    g_assert_true (corral_container_get_cap (core, partition, &cap, &error));
    g_assert_cmpint (cap.period_usec, ==, 50000);
    g_assert_cmpint (cap.quota_usec, ==, 20000);

    /* What runs is left as it is. */
    g_assert_true (corral_container_set_weight (core, partition, 512, &error));
    admit (partition);
    g_assert_cmpuint (weight_of ("/one"), ==, 512);
}

static void
test_makes_parents (void)
{
    g_autoptr (CorralCpuset) cpu = nth_cpu (0);
    g_autofree char *vcpu = vcpu_element (cpu);
    g_autofree char *partition = g_strconcat (top, "/one/two/three", NULL);

    set_up ();
    define ("etc", "a", "/one", vcpu);
    define ("etc", "b", "/one/two/three", "<cputune><shares>512</shares></cputune>");
    admit (partition);
    assert_cpus ("/one", cpu);
    assert_cpus ("/one/two", cpu);
    assert_cpus ("/one/two/three", cpu);
    g_assert_cmpuint (weight_of ("/one/two"), ==, 1024);
    g_assert_cmpuint (weight_of ("/one/two/three"), ==, 512);
}

static void
test_live_copy_goes_first (void)
{
    g_autofree char *partition = g_strconcat (top, "/one", NULL);

    set_up ();
    define ("etc", "one", "/one", "<cputune><shares>2048</shares></cputune>");
    define ("run/containers", "one", "/one", "<cputune><shares>4096</shares></cputune>");
    admit (partition);
    g_assert_cmpuint (weight_of ("/one"), ==, 4096);
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
    g_autoptr (CorralCpuset) cpu = nth_cpu (0);
    g_autofree char *vcpu = vcpu_element (cpu);
    g_autofree char *partition = g_strconcat (top, "/one", NULL);
    guint tried = 0;

    for (gsize i = 0; i < G_N_ELEMENTS (controllers); i++) {
        g_autofree char *mount = find_v1_mount (controllers[i]);
        g_autofree char *directory = NULL;

        if (mount == NULL)
            continue;
        set_up ();
        define ("etc", "one", "/one", vcpu);
        admit (partition);
        directory = g_strdup_printf ("%s%s.partition/one.partition", mount, top);
        if (g_rmdir (directory) != 0)
            g_error ("cannot remove %s", directory);
        g_assert_cmpint (state_of ("/one"), ==, CORRAL_CONTAINER_PARTIAL);
        admit (partition);
        g_assert_cmpint (state_of ("/one"), ==, CORRAL_CONTAINER_WHOLE);
        assert_cpus ("/one", cpu);
        tried++;
    }
    if (tried == 0)
        g_test_skip ("no cgroup v1 hierarchy is mounted, so none can be missing");
}

static void
test_refuses_what_cannot_be_had (void)
{
    g_autoptr (CorralCpuset) first = nth_cpu (0), second = NULL;
    g_autofree char *narrow = vcpu_element (first);
    g_autofree char *other = NULL;
    g_autofree char *partition = g_strconcat (top, "/one/two", NULL);
    g_autofree char *beginning = NULL;
    g_autofree char *message = NULL;
    g_autofree char *again = NULL;

    set_up ();
    define ("etc", "one", "/one", "<vcpu cpuset='8191'/>");
    define ("etc", "two", "/one/two", "");
    message = refuse (partition);
    beginning = g_strdup_printf ("cannot start \"web1\" in \"%s\": ", partition);
    g_assert_true (g_str_has_prefix (message, beginning));
    assert_holds (message, "8191");
    g_assert_cmpint (state_of ("/one"), ==, CORRAL_CONTAINER_ABSENT);

    if (hwloc_bitmap_weight (host_cpus) < 2)
        return;
    /* The parent could be had, but not the child: neither is left. */
    second = nth_cpu (1);
    other = vcpu_element (second);
    define ("etc", "one", "/one", narrow);
    define ("etc", "two", "/one/two", other);
    again = refuse (partition);
    assert_holds (again, "/one/two");
    g_assert_cmpint (state_of ("/one/two"), ==, CORRAL_CONTAINER_ABSENT);
    g_assert_cmpint (state_of ("/one"), ==, CORRAL_CONTAINER_ABSENT);
}

static void
test_undefined (void)
{
    g_autofree char *partition = g_strconcat (top, "/one", NULL);
    g_autofree char *expected = NULL;
    g_autofree char *message = NULL;
    g_autoptr (GError) error = NULL;

    set_up ();
    define ("etc", "other", "/other", "");
    message = refuse (partition);
    expected = g_strdup_printf ("cannot start \"web1\" in \"%s\": there is no container at the "
                                "partition \"%s\", neither defined nor in the kernel",
                                partition, partition);
    g_assert_cmpstr (message, ==, expected);
    g_assert_cmpint (state_of (""), ==, CORRAL_CONTAINER_ABSENT);

    g_assert_true (corral_container_create (core, partition, NULL, NULL, &error));
    admit (partition);
}

/* Nothing is made or asked for where libvirt decides alone, not even with broken files of ours. */
static void
test_left_to_libvirt (void)
{
    static const char *const partitions[] = { NULL,           "/machine",      "/", "relative",
                                              "/machine/a.b", "/machine/../x", "" };

    set_up ();
    put_file ("etc/broken.xml", "<domain", -1);
    put_file ("corral.conf", "[corrald]\nnonsense=1\n", -1);
    for (gsize i = 0; i < G_N_ELEMENTS (partitions); i++)
        admit (partitions[i]);
}

static void
test_broken_definition (void)
{
    g_autofree char *partition = g_strconcat (top, "/one", NULL);
    g_autofree char *other = g_strconcat (top, "/other", NULL);
    g_autofree char *in_line = NULL;
    g_autofree char *misnamed = NULL;
    g_autofree char *unreadable = NULL;
    g_autofree char *too_long = g_strnfill (CORRAL_XML_MAX + 1, ' ');
    g_autofree char *expected = g_strdup_printf ("\"%s/etc/one.xml\": ", folder);
    g_autoptr (GError) error = NULL;

    /* It is known which container it is: only that one is refused. */
    set_up ();
    g_assert_true (corral_container_create (core, top, NULL, NULL, &error));
    define ("etc", "one", "/one", "<cputune><shares>1</shares></cputune>");
    define ("etc", "other", "/other", "");
    in_line = refuse (partition);
    assert_holds (in_line, expected);
    assert_holds (in_line, "line 4: <shares>: expected a whole number from 2 to 262144, not \"1\"");
    g_assert_cmpint (state_of ("/one"), ==, CORRAL_CONTAINER_ABSENT);
    admit (other);

    set_up ();
    g_assert_true (corral_container_create (core, top, NULL, NULL, &error));
    define ("etc", "one", "/one", "");
    put_file ("etc/two.xml", "<domain type='corral'>\n<name>two\n</domain>", -1);
    /* Defined elsewhere, so the broken file is no matter. */
    admit (partition);
    /* Defined nowhere, or in that file. */
    unreadable = refuse (other);
    assert_holds (unreadable, "/etc/two.xml\": ");
    assert_holds (unreadable, "line 3: Opening and ending tag mismatch: name line 2 and domain");

    remove_file ("etc/two.xml");
    put_file ("etc/two.xml", too_long, CORRAL_XML_MAX + 1);
    g_clear_pointer (&unreadable, g_free);
    unreadable = refuse (other);
    assert_holds (unreadable, "/etc/two.xml\": it is longer than 1048576 bytes");

    remove_file ("etc/two.xml");
    define ("etc", "two", "/other", "");
    {
        g_autofree char *from = g_build_filename (folder, "etc/two.xml", NULL);
        g_autofree char *to = g_build_filename (folder, "etc/three.xml", NULL);

        g_assert_cmpint (g_rename (from, to), ==, 0);
    }
    misnamed = refuse (other);
    assert_holds (misnamed, "/etc/three.xml\"");
}

/* A pipe or a folder in place of a file does not hold up the hook; a state folder that cannot be used
 * refuses the start, with the reason. */
static void
test_odd_files (void)
{
    g_autofree char *partition = g_strconcat (top, "/one", NULL);
    g_autofree char *fifo = g_build_filename (folder, "etc/a.xml", NULL);
    g_autofree char *directory = g_build_filename (folder, "etc/b.xml", NULL);
    g_autofree char *message = NULL;
    g_autofree char *locked_out = NULL;
    g_autoptr (GError) error = NULL;

    set_up ();
    g_assert_true (corral_container_create (core, top, NULL, NULL, &error));
    define ("etc", "one", "/one", "");
    g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);
    g_assert_cmpint (g_mkdir (directory, 0700), ==, 0);
    admit (partition);

    set_up ();
    define ("etc", "other", "/other", "");
    g_assert_cmpint (g_mkdir (directory, 0700), ==, 0);
    message = refuse (partition);
    assert_holds (message, "etc/b.xml");

    set_up ();
    define ("etc", "one", "/one", "");
    put_file ("run", "a file where the folder should be", -1);
    locked_out = refuse (partition);
    assert_holds (locked_out, "run/hook.lock");
    g_assert_cmpint (state_of ("/one"), ==, CORRAL_CONTAINER_ABSENT);
}

static void
test_broken_settings (void)
{
    g_autofree char *partition = g_strconcat (top, "/one", NULL);
    g_autofree char *message = NULL;

    set_up ();
    define ("etc", "one", "/one", "");
    put_file ("corral.conf", "[corrald]\nnonsense=1\n", -1);
    message = refuse (partition);
    assert_holds (message, "corral.conf");
    assert_holds (message, "nonsense");
}

static void
test_bad_input (void)
{
    static const struct {
        const char *text;
        const char *message;
    } inputs[] = {
        { "", "cannot read the domain's document: it is empty" },
        { "garbage \xff\x01",
          "cannot read the domain's document: line 1: Start tag expected, '<' not "
          "found" },
        { "<domain>\n", "cannot read the domain's document: line 2: Premature end of data in tag "
                        "domain line 1" },
        { "<!DOCTYPE domain [<!ENTITY a 'b'>]><domain><name>&a;</name></domain>",
          "cannot read the domain's document: line 1: <!DOCTYPE>: expected a document without a "
          "document type" },
        { NULL, "cannot read the domain's document: it is longer than 4194304 bytes" },
    };
    g_autofree char *too_long = g_strnfill (CORRAL_VM_XML_MAX + 1, '<');

    set_up ();
    for (gsize i = 0; i < G_N_ELEMENTS (inputs); i++) {
        g_autoptr (GSubprocess) process = NULL;
        g_autofree char *message = NULL;

        put_file ("in", inputs[i].text != NULL ? inputs[i].text : too_long, -1);
        process = spawn ("prepare", "begin", "in");
        message = finish (process, 1);
        g_assert_cmpstr (message, ==, inputs[i].message);
    }
}

/* A failing "reconnect" kills a VM that runs. */
static void
test_other_operations_never_fail (void)
{
    static const char *const operations[][2] = {
        { "start", "begin" },
        { "started", "begin" },
        { "stopped", "end" },
        { "release", "end" },
        { "reconnect", "begin" },
        { "migrate", "begin" },
        { "restore", "begin" },
        { "attach", "begin" },
        { "prepare", "end" },
        { "something", "begin" },
        { "", "" },
    };
    static const char *const inputs[] = { "empty", "garbage", "long", "vm" };
    g_autofree char *too_long = g_strnfill (CORRAL_VM_XML_MAX * 2, 'x');
    g_autofree char *vm = NULL;

    set_up ();
    put_file ("corral.conf", "nonsense", -1);
    put_file ("etc/broken.xml", "<domain", -1);
    put_file ("empty", "", -1);
    put_file ("garbage", "\xff\x00<<<<", 6);
    put_file ("long", too_long, -1);
    vm = g_strdup_printf ("<domain><name>a</name><resource><partition>%s/one</partition></resource>"
                          "</domain>",
                          top);
    put_file ("vm", vm, -1);
    for (gsize i = 0; i < G_N_ELEMENTS (operations); i++)
        for (gsize j = 0; j < G_N_ELEMENTS (inputs); j++) {
            g_autoptr (GSubprocess) process = spawn (operations[i][0], operations[i][1], inputs[j]);
            g_autofree char *message = finish (process, 0);

            g_assert_cmpstr (message, ==, "");
        }
    g_assert_cmpint (state_of (""), ==, CORRAL_CONTAINER_ABSENT);
}

/* Without a wrapper, too; with these arguments the default settings are never looked at. */
static void
test_odd_arguments (void)
{
    static const char *const rows[][7] = {
        { NULL },
        { "web1", NULL },
        { "web1", "reconnect", "begin", "-", NULL },
        /* A VM of that name is not taken for the option. */
        { "--settings", "release", "end", "-", NULL },
        { "--settings", "reconnect", "begin", "-", NULL },
    };

    for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
        g_autoptr (GPtrArray) line = g_ptr_array_new ();
        g_autoptr (GSubprocess) process = NULL;
        g_autoptr (GError) error = NULL;
        g_autofree char *message = NULL;

        g_ptr_array_add (line, (char *) hook);
        for (gsize j = 0; rows[i][j] != NULL; j++)
            g_ptr_array_add (line, (char *) rows[i][j]);
        g_ptr_array_add (line, NULL);
        process =
            g_subprocess_newv ((const char *const *) line->pdata,
                               G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE,
                               &error);
        g_assert_no_error (error);
        message = finish (process, 0);
        g_assert_cmpstr (message, ==, "");
    }
}

/* Many VMs that start at once in a container that does not run yet. */
static void
test_at_once (void)
{
    g_autoptr (CorralCpuset) cpu = nth_cpu (0);
    g_autofree char *vcpu = vcpu_element (cpu);
    g_autofree char *partition = g_strconcat (top, "/one/two", NULL);

    for (guint round = 0; round < 5; round++) {
        GSubprocess *processes[8];

        set_up ();
        define ("etc", "one", "/one", vcpu);
        define ("etc", "two", "/one/two", "<cputune><shares>2048</shares></cputune>");
        put_vm (partition);
        for (gsize i = 0; i < G_N_ELEMENTS (processes); i++)
            processes[i] = spawn ("prepare", "begin", "in");
        for (gsize i = 0; i < G_N_ELEMENTS (processes); i++) {
            g_autofree char *message = finish (processes[i], 0);

            g_assert_cmpstr (message, ==, "");
            g_object_unref (processes[i]);
        }
        assert_cpus ("/one/two", cpu);
        g_assert_cmpuint (weight_of ("/one/two"), ==, 2048);
    }
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

    put_vm (partition);
    for (gsize i = 0; i < RUNS; i++) {
        g_autoptr (GSubprocess) process = NULL;
        g_autofree char *message = NULL;
        gint64 start;

        if (make)
            destroy_tree (top);
        start = g_get_monotonic_time ();
        process = spawn ("prepare", "begin", "in");
        message = finish (process, 0);
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
    g_autoptr (CorralCpuset) cpu = nth_cpu (0);
    g_autofree char *vcpu = vcpu_element (cpu);
    g_autofree char *partition = g_strconcat (top, "/one", NULL);

    set_up ();
    for (guint i = 0; i < 100; i++) {
        g_autofree char *name = g_strdup_printf ("other%u", i);
        g_autofree char *path = g_strconcat ("/", name, NULL);

        define ("etc", name, path, "");
    }
    define ("etc", "one", "/one", vcpu);
    g_assert_cmpint (time_runs ("no partition", NULL, FALSE), <, 500 * 1000);
    g_assert_cmpint (time_runs ("container to be made", partition, TRUE), <, 500 * 1000);
    g_assert_cmpint (time_runs ("container that runs", partition, FALSE), <, 500 * 1000);
}

/* --- all of it ---------------------------------------------------------------------------------- */

static int
run_tests (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_test_add_func ("/hooks/makes", test_makes);
    g_test_add_func ("/hooks/makes-parents", test_makes_parents);
    g_test_add_func ("/hooks/live-copy-goes-first", test_live_copy_goes_first);
    g_test_add_func ("/hooks/partial-is-made-whole", test_partial_is_made_whole);
    g_test_add_func ("/hooks/refuses-what-cannot-be-had", test_refuses_what_cannot_be_had);
    g_test_add_func ("/hooks/undefined", test_undefined);
    g_test_add_func ("/hooks/left-to-libvirt", test_left_to_libvirt);
    g_test_add_func ("/hooks/broken-definition", test_broken_definition);
    g_test_add_func ("/hooks/odd-files", test_odd_files);
    g_test_add_func ("/hooks/broken-settings", test_broken_settings);
    g_test_add_func ("/hooks/bad-input", test_bad_input);
    g_test_add_func ("/hooks/other-operations-never-fail", test_other_operations_never_fail);
    g_test_add_func ("/hooks/odd-arguments", test_odd_arguments);
    g_test_add_func ("/hooks/at-once", test_at_once);
    g_test_add_func ("/hooks/time", test_time);
    return g_test_run ();
}

/* A failing assertion ends the process, so the cleaning up is another's. */
int
main (int argc, char **argv)
{
    g_autoptr (GError) error = NULL;
    pid_t child;
    int status;

    hook = g_getenv ("CORRAL_HOOK");
    if (hook == NULL) {
        g_print ("1..0 # SKIP CORRAL_HOOK does not say where the hook is\n");
        return 0;
    }
    core = geteuid () == 0 ? corral_container_core_open (-1, &error) : NULL;
    if (core == NULL || !corral_container_core_host_cpus (core, &host_cpus, &host_mems, &error)) {
        g_print ("1..0 # SKIP %s\n", error != NULL ? error->message : "needs root");
        return 0;
    }
    top = g_strdup_printf ("/corral-test-%d", (int) getpid ());
    folder = g_dir_make_tmp ("corral-hook-XXXXXX", NULL);

    child = fork ();
    if (child == 0)
        exit (run_tests (argc, argv));
    if (child < 0 || TEMP_FAILURE_RETRY (waitpid (child, &status, 0)) != child)
        status = 1;
    destroy_tree (top);
    remove_tree (folder);
    g_clear_pointer (&host_cpus, hwloc_bitmap_free);
    g_clear_pointer (&host_mems, hwloc_bitmap_free);
    g_object_unref (core);
    g_free (folder);
    g_free (top);
    return WIFEXITED (status) ? WEXITSTATUS (status) : 1;
}
