/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* corrald as systemd sees it: what it says over the notify socket, which sockets it takes, which
 * signals it obeys and how it ends. It knows no VM here, and defines no container. */
#include "tests/unit/agent/test-folder.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEADLINE_MS 20000

typedef struct {
    char *folder;
    char *settings;
    char *log;
    int notify;
    pid_t pid; /* 0: not running */
} Fixture;

static int
bind_socket (const char *path, int type)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket (AF_UNIX, type | SOCK_CLOEXEC, 0);

    g_strlcpy (address.sun_path, path, sizeof address.sun_path);
    g_assert_cmpint (bind (fd, (struct sockaddr *) &address, sizeof address), ==, 0);
    return fd;
}

static gboolean
can_connect (Fixture *f, const char *name)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    gboolean ok;

    g_snprintf (address.sun_path, sizeof address.sun_path, "%s/%s", f->folder, name);
    ok = connect (fd, (struct sockaddr *) &address, sizeof address) == 0;
    close (fd);
    return ok;
}

static void
write_settings (Fixture *f, const char *more)
{
    g_autofree char *text =
        g_strdup_printf ("[corrald]\ndefinition_dir=%s/etc\nstate_dir=%s/run\nsocket_dir=%s\n"
                         "[libvirt]\nuri=\n%s",
                         f->folder, f->folder, f->folder, more);

    g_assert_true (g_file_set_contents (f->settings, text, -1, NULL));
}

static void
set_up (Fixture *f, gconstpointer unused)
{
    g_autofree char *notify = NULL;

    f->folder = g_dir_make_tmp ("corrald-XXXXXX", NULL);
    f->settings = g_build_filename (f->folder, "corral.conf", NULL);
    f->log = g_build_filename (f->folder, "log", NULL);
    notify = g_build_filename (f->folder, "notify", NULL);
    f->notify = bind_socket (notify, SOCK_DGRAM);
    write_settings (f, "");
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
    if (f->pid != 0) {
        kill (f->pid, SIGKILL);
        waitpid (f->pid, NULL, 0);
    }
    close (f->notify);
    test_folder_remove (f->folder);
    g_free (f->folder);
    g_free (f->settings);
    g_free (f->log);
}

/* @rw, @ro: listening sockets to hand over as systemd does, or -1 */
static void
begin (Fixture *f, int rw, int ro, const char *watchdog_usec)
{
    g_autofree char *notify = g_build_filename (f->folder, "notify", NULL);

    f->pid = fork ();
    g_assert_cmpint (f->pid, >=, 0);
    if (f->pid != 0)
        return;
    g_setenv ("NOTIFY_SOCKET", notify, TRUE);
    if (watchdog_usec != NULL)
        g_setenv ("WATCHDOG_USEC", watchdog_usec, TRUE);
    if (rw >= 0) {
        g_autofree char *pid = g_strdup_printf ("%d", (int) getpid ());

        /* The numbers that the protocol asks for, see sd_listen_fds(3) */
        rw = fcntl (rw, F_DUPFD, 10);
        ro = fcntl (ro, F_DUPFD, 10);
        dup2 (ro, 3);
        dup2 (rw, 4);
        g_setenv ("LISTEN_PID", pid, TRUE);
        g_setenv ("LISTEN_FDS", "2", TRUE);
        g_setenv ("LISTEN_FDNAMES", "libvirt-sock-ro:libvirt-sock", TRUE);
    }
    dup2 (open (f->log, O_WRONLY | O_CREAT | O_APPEND, 0600), 2);
    execl (g_getenv ("CORRALD"), "corrald", "--settings", f->settings, NULL);
    _exit (127);
}

/* Waits until corrald has said @line; what it said before is passed over. */
static void
expect (Fixture *f, const char *line)
{
    struct pollfd poll_fd = { f->notify, POLLIN, 0 };

    for (;;) {
        char text[4096];
        g_auto (GStrv) lines = NULL;
        ssize_t got;

        if (poll (&poll_fd, 1, DEADLINE_MS) != 1) {
            g_autofree char *log = NULL;

            g_file_get_contents (f->log, &log, NULL, NULL);
            g_error ("corrald did not say \"%s\": %s", line, log != NULL ? log : "");
        }
        got = recv (f->notify, text, sizeof text - 1, 0);
        g_assert_cmpint (got, >, 0);
        text[got] = '\0';
        lines = g_strsplit (text, "\n", -1);
        if (g_strv_contains ((const char *const *) lines, line))
            return;
    }
}

static int
wait_end (Fixture *f)
{
    int status;

    g_assert_cmpint (waitpid (f->pid, &status, 0), ==, f->pid);
    f->pid = 0;
    g_assert_true (WIFEXITED (status));
    return WEXITSTATUS (status);
}

static void
assert_log_has (Fixture *f, const char *text)
{
    g_autofree char *log = NULL;

    g_assert_true (g_file_get_contents (f->log, &log, NULL, NULL));
    if (strstr (log, text) == NULL)
        g_error ("the log does not say \"%s\": %s", text, log);
}

static gboolean
can_run (void)
{
    if (getuid () == 0 && g_file_test ("/sys/fs/cgroup", G_FILE_TEST_IS_DIR))
        return TRUE;
    g_test_skip ("needs root and cgroups");
    return FALSE;
}

static void
stop (Fixture *f, int signal)
{
    kill (f->pid, signal);
    expect (f, "STOPPING=1");
    g_assert_cmpint (wait_end (f), ==, 0);
}

static void
test_life (Fixture *f, gconstpointer unused)
{
    g_autofree char *path = g_build_filename (f->folder, "libvirt-sock", NULL);
    g_autofree char *path_ro = g_build_filename (f->folder, "libvirt-sock-ro", NULL);
    struct stat st;

    if (!can_run ())
        return;
    write_settings (f, "[corrald]\nsocket_mode=0640\n");
    begin (f, -1, -1, NULL);
    expect (f, "READY=1");
    g_assert_cmpint (stat (path, &st), ==, 0);
    g_assert_cmpuint (st.st_mode & 0777, ==, 0640);
    g_assert_cmpint (stat (path_ro, &st), ==, 0);
    g_assert_cmpuint (st.st_mode & 0777, ==, 0666);
    g_assert_true (can_connect (f, "libvirt-sock"));
    g_assert_true (can_connect (f, "libvirt-sock-ro"));
    stop (f, SIGTERM);
    g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
    begin (f, -1, -1, NULL);
    expect (f, "READY=1");
    stop (f, SIGINT);
}

static void
test_kill (Fixture *f, gconstpointer unused)
{
    if (!can_run ())
        return;
    begin (f, -1, -1, NULL);
    expect (f, "READY=1");
    kill (f->pid, SIGKILL);
    waitpid (f->pid, NULL, 0);
    /* Its sockets and its lock are left behind, and nobody holds them. */
    g_assert_false (can_connect (f, "libvirt-sock"));
    begin (f, -1, -1, NULL);
    expect (f, "READY=1");
    g_assert_true (can_connect (f, "libvirt-sock"));
    stop (f, SIGTERM);
}

static void
test_second (Fixture *f, gconstpointer unused)
{
    pid_t first;

    if (!can_run ())
        return;
    begin (f, -1, -1, NULL);
    expect (f, "READY=1");
    first = f->pid;
    begin (f, -1, -1, NULL);
    g_assert_cmpint (wait_end (f), ==, 1);
    assert_log_has (f, "another corrald");
    f->pid = first;
    g_assert_true (can_connect (f, "libvirt-sock"));
    stop (f, SIGTERM);
}

static void
test_reload (Fixture *f, gconstpointer unused)
{
    g_autofree char *etc = g_build_filename (f->folder, "etc", NULL);
    g_autofree char *bad = g_build_filename (etc, "bad.xml", NULL);

    if (!can_run ())
        return;
    begin (f, -1, -1, NULL);
    expect (f, "READY=1");
    write_settings (f, "[corrald]\nno_such_key=1\n");
    kill (f->pid, SIGHUP);
    expect (f, "RELOADING=1");
    expect (f, "READY=1");
    assert_log_has (f, "no_such_key");
    g_assert_true (can_connect (f, "libvirt-sock"));
    write_settings (f, "[corrald]\nmax_clients=7\n[qmp]\nweb=/run/web.qmp\n");
    g_assert_cmpint (g_mkdir (etc, 0755), ==, 0);
    g_assert_true (g_file_set_contents (bad, "<domain", -1, NULL));
    kill (f->pid, SIGHUP);
    expect (f, "RELOADING=1");
    expect (f, "READY=1");
    assert_log_has (f, "wait for the next start: [qmp]");
    assert_log_has (f, "bad.xml");
    stop (f, SIGTERM);
}

static void
test_bad_settings (Fixture *f, gconstpointer unused)
{
    write_settings (f, "[corrald]\nno_such_key=1\n");
    begin (f, -1, -1, NULL);
    g_assert_cmpint (wait_end (f), ==, 1);
    assert_log_has (f, "no_such_key");
    assert_log_has (f, f->settings);
}

static void
test_activation (Fixture *f, gconstpointer unused)
{
    g_autofree char *path = g_build_filename (f->folder, "given", NULL);
    g_autofree char *path_ro = g_build_filename (f->folder, "given-ro", NULL);
    int rw, ro;

    if (!can_run ())
        return;
    rw = bind_socket (path, SOCK_STREAM);
    ro = bind_socket (path_ro, SOCK_STREAM);
    g_assert_cmpint (listen (rw, 5), ==, 0);
    g_assert_cmpint (listen (ro, 5), ==, 0);
    begin (f, rw, ro, NULL);
    expect (f, "READY=1");
    close (rw);
    close (ro);
    g_assert_true (can_connect (f, "given"));
    g_assert_true (can_connect (f, "given-ro"));
    g_assert_false (can_connect (f, "libvirt-sock"));
    stop (f, SIGTERM);
}

static void
test_watchdog (Fixture *f, gconstpointer unused)
{
    if (!can_run ())
        return;
    begin (f, -1, -1, "200000");
    expect (f, "READY=1");
    expect (f, "WATCHDOG=1");
    expect (f, "WATCHDOG=1");
    stop (f, SIGTERM);
}

/* Each message that corrald can log is explained in the catalog, and nothing else is. */
static void
test_catalog (void)
{
    g_autofree char *header = g_test_build_filename (G_TEST_DIST, "corrald-log.h", NULL);
    g_autofree char *catalog = g_test_build_filename (G_TEST_DIST, "data", "corral.catalog", NULL);
    g_autofree char *source = NULL, *text = NULL;
    guint ids = 0, entries = 0;

    g_assert_true (g_file_get_contents (header, &source, NULL, NULL));
    g_assert_true (g_file_get_contents (catalog, &text, NULL, NULL));
    for (const char *at = source; (at = strstr (at, "#define CORRALD_MESSAGE_")) != NULL; at++) {
        const char *quote = strchr (at, '"') + 1;
        g_autofree char *id = g_strndup (quote, 32);
        g_autofree char *entry = g_strdup_printf ("\n-- %s\nSubject: ", id);

        g_assert_cmpint (quote[32], ==, '"');
        if (strstr (text, entry) == NULL)
            g_error ("%s is not in the catalog", id);
        ids++;
    }
    for (const char *at = text; (at = strstr (at, "\n-- ")) != NULL; at++)
        entries++;
    g_assert_cmpuint (ids, >, 5);
    g_assert_cmpuint (entries, ==, ids);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
#define ADD(path, function) g_test_add (path, Fixture, NULL, set_up, function, tear_down)
    ADD ("/corrald/life", test_life);
    ADD ("/corrald/kill", test_kill);
    ADD ("/corrald/second", test_second);
    ADD ("/corrald/reload", test_reload);
    ADD ("/corrald/bad-settings", test_bad_settings);
    ADD ("/corrald/activation", test_activation);
    ADD ("/corrald/watchdog", test_watchdog);
    g_test_add_func ("/corrald/catalog", test_catalog);
    return g_test_run ();
}
