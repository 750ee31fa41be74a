/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Directories that come and go, on the real kernel and in folders. */
#include "tests/unit/container/host.h"

#include <errno.h>
#include <string.h>

#define DEADLINE_USEC (20 * G_USEC_PER_SEC)

typedef struct {
    Host *host;
    GPtrArray *seen; /* "path what" */
} Log;

static void
on_changed (CorralContainerCore *core, const char *path, const char *what, Log *log)
{
    g_ptr_array_add (log->seen, g_strconcat (path, " ", what, NULL));
}

static gboolean
has_seen (Log *log, const char *entry)
{
    return g_ptr_array_find_with_equal_func (log->seen, entry, g_str_equal, NULL);
}

static void
expect (Log *log, const char *path, const char *what)
{
    g_autofree char *entry = g_strconcat (path, " ", what, NULL);
    const gint64 deadline = g_get_monotonic_time () + DEADLINE_USEC;

    while (!has_seen (log, entry)) {
        if (g_get_monotonic_time () > deadline)
            g_error ("no signal \"%s\"", entry);
        if (!g_main_context_iteration (NULL, FALSE))
            g_usleep (200);
    }
    g_ptr_array_set_size (log->seen, 0);
}

/* Inotify tells at once, so what has not come by now does not come. */
static void
expect_nothing (Log *log)
{
    while (g_main_context_iteration (NULL, FALSE))
        ;
    g_assert_cmpuint (log->seen->len, ==, 0);
}

static void
drain (Log *log)
{
    while (g_main_context_iteration (NULL, FALSE))
        ;
    g_ptr_array_set_size (log->seen, 0);
}

static Log *
log_new (Host *host)
{
    Log *log = g_new0 (Log, 1);

    log->host = host;
    log->seen = g_ptr_array_new_with_free_func (g_free);
    g_signal_connect (host->core, "changed", G_CALLBACK (on_changed), log);
    return log;
}

static void
log_free (Log *log)
{
    g_signal_handlers_disconnect_by_data (log->host->core, log);
    g_ptr_array_unref (log->seen);
    g_free (log);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Log, log_free)

static void
make (Host *host, const char *dir)
{
    g_assert_cmpint (corral_io_mkdir (&host->core->io, &host->core->main->tree, dir), ==, 0);
}

static void
drop (Host *host, const char *dir)
{
    g_assert_cmpint (corral_io_rmdir (&host->core->io, &host->core->main->tree, dir), ==, 0);
}

static void
test_life (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (Log) log = NULL;
    g_autofree char *path = NULL;
    g_autofree char *above = NULL;

    if (host == NULL)
        return;
    log = log_new (host);
    above = host_path (host, "a");
    path = host_path (host, "a/b");
    /* Two levels of it do not exist yet. */
    g_assert_true (corral_container_watch (host->core, path, NULL));
    g_assert_true (corral_container_watch (host->core, path, NULL));
    expect_nothing (log);
    g_assert_true (corral_container_create (host->core, path, NULL, NULL, NULL));
    expect (log, path, "appeared");
    drain (log);
    g_assert_true (corral_container_destroy (host->core, path, NULL));
    expect (log, path, "vanished");
    expect_nothing (log);
    g_assert_true (corral_container_destroy (host->core, above, NULL));
    expect_nothing (log);
    g_assert_true (corral_container_create (host->core, path, NULL, NULL, NULL));
    expect (log, path, "appeared");
    drain (log);
    /* Gone and back before anybody looks. */
    g_assert_true (corral_container_destroy (host->core, path, NULL));
    g_assert_true (corral_container_create (host->core, path, NULL, NULL, NULL));
    expect (log, path, "vanished");
    drain (log);
    g_assert_true (corral_container_destroy (host->core, path, NULL));
    expect (log, path, "vanished");
    g_assert_true (corral_container_create (host->core, path, NULL, NULL, NULL));
    expect (log, path, "appeared");
    drain (log);
    corral_container_unwatch (host->core, path);
    corral_container_unwatch (host->core, path);
    g_assert_true (corral_container_destroy (host->core, path, NULL));
    expect_nothing (log);
}

static void
test_groups (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (Log) log = NULL;
    g_autofree char *path = NULL;
    g_autofree char *other = NULL;
    g_autofree char *child = NULL;
    g_autofree char *dir = NULL;
    g_autofree char *group = NULL;
    g_autofree char *vcpu = NULL;

    if (host == NULL)
        return;
    log = log_new (host);
    path = host_path (host, "a");
    other = host_path (host, "b");
    child = host_path (host, "a/child");
    dir = host_dir (host, "a");
    group = g_strconcat (dir, "/qemu-1-web.libvirt-qemu", NULL);
    vcpu = g_strconcat (group, "/vcpu0", NULL);
    g_assert_true (corral_container_create (host->core, path, NULL, NULL, NULL));
    g_assert_true (corral_container_create (host->core, other, NULL, NULL, NULL));
    g_assert_true (corral_container_watch (host->core, path, NULL));
    g_assert_true (corral_container_watch (host->core, other, NULL));
    make (host, group);
    expect (log, path, "groups");
    make (host, vcpu);
    expect (log, path, "groups");
    drop (host, vcpu);
    expect (log, path, "groups");
    drop (host, group);
    expect (log, path, "groups");
    drain (log);
    /* A child container is none of its groups. */
    g_assert_true (corral_container_create (host->core, child, NULL, NULL, NULL));
    expect_nothing (log);
    /* The same name again is watched again. */
    make (host, group);
    make (host, vcpu);
    expect (log, path, "groups");
    drain (log);
    drop (host, vcpu);
    expect (log, path, "groups");
    drain (log);
    /* A group on its own, wherever it is, and though it is gone for a while. */
    corral_container_unwatch (host->core, path);
    g_assert_true (corral_container_watch_group (host->core, group, NULL));
    make (host, vcpu);
    expect (log, group, "groups");
    drop (host, vcpu);
    expect (log, group, "groups");
    drop (host, group);
    expect (log, group, "vanished");
    make (host, group);
    expect (log, group, "appeared");
    drain (log);
    make (host, vcpu);
    expect (log, group, "groups");
    drop (host, vcpu);
    drop (host, group);
    drain (log);
    corral_container_unwatch_group (host->core, group);
    make (host, group);
    expect_nothing (log);
    drop (host, group);
}

static void
write_setting (Host *host, const char *dir, const char *list)
{
    g_autofree char *file =
        corral_dir_file (dir, corral_backend_of (host->core->cpuset)->cpus_file);

    g_assert_cmpint (corral_io_write (&host->core->io, &host->core->cpuset->tree, file, list), ==,
                     0);
}

/* Whoever writes: it is told of the container itself, not of what is above or beneath it. */
static void
test_settings (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (Log) log = NULL;
    g_autofree char *path = NULL, *dir = NULL, *above = NULL, *group = NULL;

    if (host == NULL)
        return;
    log = log_new (host);
    path = host_path (host, "a/b");
    dir = host_dir (host, "a/b");
    above = host_dir (host, "a");
    group = g_strconcat (dir, "/qemu-1-web.libvirt-qemu", NULL);
    g_assert_true (corral_container_create (host->core, path, NULL, NULL, NULL));
    make (host, group);
    g_assert_true (corral_container_watch (host->core, path, NULL));
    expect_nothing (log);
    write_setting (host, dir, "0");
    expect (log, path, "settings");
    expect_nothing (log);
    write_setting (host, above, "0");
    expect_nothing (log);
    drop (host, group);
}

/* A group of ours whose VM has gone does not stay. */
static void
test_prune (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (Log) log = NULL;
    g_autofree char *path = NULL;
    g_autofree char *dir = NULL;
    g_autofree char *left = NULL;
    g_autofree char *other = NULL;
    const gint64 deadline = g_get_monotonic_time () + DEADLINE_USEC;

    if (host == NULL)
        return;
    log = log_new (host);
    path = host_path (host, "a");
    dir = host_dir (host, "a");
    left = g_strconcat (dir, "/vm-1-left.corral", NULL);
    other = g_strconcat (dir, "/qemu-1-web.libvirt-qemu", NULL);
    g_assert_true (corral_container_create (host->core, path, NULL, NULL, NULL));
    make (host, left);
    g_assert_true (corral_container_watch (host->core, path, NULL));
    make (host, other);
    expect (log, path, "groups");
    while (corral_io_exists (host->core->main->tree.fd, left)) {
        g_assert_cmpint (g_get_monotonic_time (), <, deadline);
        g_main_context_iteration (NULL, FALSE);
    }
    g_assert_true (corral_io_exists (host->core->main->tree.fd, other));
}

/* A handler that drops the watch it was called for. */
static void
on_once (CorralContainerCore *core, const char *path, const char *what, gpointer data)
{
    corral_container_unwatch (core, path);
}

static void
test_reentry (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (Log) log = NULL;
    g_autofree char *path = NULL;

    if (host == NULL)
        return;
    path = host_path (host, "a");
    g_signal_connect (host->core, "changed", G_CALLBACK (on_once), NULL);
    log = log_new (host);
    g_assert_true (corral_container_watch (host->core, path, NULL));
    g_assert_true (corral_container_create (host->core, path, NULL, NULL, NULL));
    expect (log, path, "appeared");
    drain (log);
    g_assert_true (corral_container_destroy (host->core, path, NULL));
    expect_nothing (log);
}

/* More events than the queue holds: the core looks at everything again. */
static void
test_overflow (void)
{
    g_autoptr (Host) host = host_new (HOST_FAKE_HYBRID);
    g_autoptr (Log) log = log_new (host);
    g_autofree char *path = host_path (host, "a");
    g_autofree char *dir = host_dir (host, "a");
    g_autofree char *group = g_strconcat (dir, "/qemu-1-x.libvirt-qemu", NULL);
    g_autofree char *queue = NULL;
    g_autofree char *one = g_strconcat (dir, "/x", NULL);
    g_autofree char *two = g_strconcat (dir, "/y", NULL);
    const CorralIoHook hook = host->core->io.hook;
    guint64 length = 16384;

    if (g_file_get_contents ("/proc/sys/fs/inotify/max_queued_events", &queue, NULL, NULL))
        length = g_ascii_strtoull (queue, NULL, 10);
    if (length > 100000) {
        g_test_skip ("this host's inotify queue is too long to fill");
        return;
    }
    g_assert_true (corral_container_create (host->core, path, NULL, NULL, NULL));
    g_assert_true (corral_container_watch (host->core, path, NULL));
    drain (log);
    /* Plain directories of the folder: nothing that would say "groups" by itself. */
    host->core->io.hook = NULL;
    for (guint64 i = 0; i < length / 2 + 10; i++) {
        /* Two names, since the same event twice in a row is told once. */
        make (host, i % 2 == 0 ? one : two);
        drop (host, i % 2 == 0 ? one : two);
    }
    make (host, group);
    expect (log, path, "groups");
    drop (host, group);
    drain (log);
    make (host, group);
    expect (log, path, "groups");
    drop (host, group);
    host->core->io.hook = hook;
}

int
main (int argc, char **argv)
{
    static const struct {
        const char *name;
        GTestDataFunc func;
    } tests[] = { { "life", test_life },
                  { "groups", test_groups },
                  { "settings", test_settings },
                  { "prune", test_prune },
                  { "reentry", test_reentry } };

    g_test_init (&argc, &argv, NULL);
    for (int kind = 0; kind < N_HOSTS; kind++)
        for (guint i = 0; i < G_N_ELEMENTS (tests); i++) {
            g_autofree char *path =
                g_strdup_printf ("/container-watch/%s/%s", host_names[kind], tests[i].name);

            g_test_add_data_func (path, GINT_TO_POINTER (kind), tests[i].func);
        }
    g_test_add_func ("/container-watch/overflow", test_overflow);
    return g_test_run ();
}
