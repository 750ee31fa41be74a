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

/* Of a container that somebody else removes nothing is kept open. */
static void
test_usage_files (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (Log) log = NULL;
    g_autofree char *path = NULL, *dir = NULL;
    CorralContainerUsage usage;

    if (host == NULL)
        return;
    log = log_new (host);
    path = host_path (host, "a");
    dir = host_dir (host, "a");
    g_assert_true (corral_container_create (host->core, path, NULL, NULL, NULL));
    g_assert_true (corral_container_watch (host->core, path, NULL));
    g_assert_true (corral_container_get_usage (host->core, path, &usage, NULL));
    g_assert_true (g_hash_table_contains (host->core->usage_files, dir));
    drop (host, dir);
    expect (log, path, "vanished");
    g_assert_false (g_hash_table_contains (host->core->usage_files, dir));
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

/* --- what is beneath --- */

#define MORE (CORRAL_WATCH_CAP | CORRAL_WATCH_PINS | CORRAL_WATCH_HELPERS_CAP)

typedef struct {
    Host *host;
    Log *log;
    char *path, *dir;
    char *group, *group_path;
    Vm *vm;
} More;

static void
write_quota (Host *host, const char *dir, const char *file, const char *text)
{
    g_autofree char *path = g_strconcat (dir, file, NULL);

    g_assert_cmpint (corral_io_write (&host->core->io, &host->core->cpu->tree, path, text), ==, 0);
}

/* Another one each time, and a larger one: v1 takes none that is above the container's. */
static void
write_cap (Host *host, const char *dir)
{
    static guint quota = 10000;
    g_autofree char *text = g_strdup_printf ("%u", ++quota);

    write_quota (host, dir, host->core->cpu->version == 1 ? "/cpu.cfs_quota_us" : "/cpu.max", text);
}

static void
set_limit (Host *host, guint limit)
{
    g_autofree char *folder =
        g_strdup_printf ("/proc/self/fd/%d/proc/sys/fs/inotify", host->core->io.root_fd);
    g_autofree char *file = g_build_filename (folder, "max_user_watches", NULL);
    g_autofree char *text = g_strdup_printf ("%u\n", limit);

    g_assert_cmpint (g_mkdir_with_parents (folder, 0755), ==, 0);
    g_assert_true (g_file_set_contents (file, text, -1, NULL));
}

static guint
count_slashes (const char *dir)
{
    guint n = 0;

    for (; *dir != '\0'; dir++)
        n += *dir == '/' ? 1 : 0;
    return n;
}

/* A container that is watched, with a group as libvirt makes it. @room: for so many of what is in
 * the group; 0: for all */
static void
more_begin (More *m, HostKind kind, guint room)
{
    m->host = host_new (kind);
    if (m->host == NULL)
        return;
    m->log = log_new (m->host);
    m->path = host_path (m->host, "a");
    m->dir = host_dir (m->host, "a");
    g_assert_true (corral_container_create (m->host->core, m->path, NULL, NULL, NULL));
    m->vm = host_spawn (m->host, 4);
    m->group = host_libvirt_group (m->host, "a", "qemu-1-web", m->vm);
    m->group_path = g_strconcat (m->path, "/qemu-1-web.libvirt-qemu", NULL);
    /* Half of it is ours: the top, what is above the container, the container and its group. */
    if (room > 0)
        set_limit (m->host, 2 * (1 + count_slashes (m->dir) + 1 + 1 + room));
    g_assert_true (corral_container_watch (m->host->core, m->path, NULL));
    expect_nothing (m->log);
}

static void
more_clear (More *m)
{
    g_clear_pointer (&m->log, log_free);
    g_clear_pointer (&m->host, host_free);
    g_free (m->path);
    g_free (m->dir);
    g_free (m->group);
    g_free (m->group_path);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (More, more_clear)

/* In the group's directory @role, or in its own: ""; another value than the last time */
static void
write_role (const More *m, const char *role)
{
    static guint times;
    g_autofree char *dir = *role != '\0' ? corral_dir_file (m->group, role) : g_strdup (m->group);
    g_autofree char *one = host_one (m->host->cpu[times++ % 2]);
    g_autofree char *both = g_strdup_printf ("%u,%u", m->host->cpu[0], m->host->cpu[1]);

    write_setting (m->host, dir, *role != '\0' ? one : both);
}

static void
cap_role (const More *m, const char *role)
{
    g_autofree char *dir = corral_dir_file (m->group, role);

    write_cap (m->host, dir);
}

/* Whoever writes into a group is told with it, where that was asked for, and only there. */
static void
test_pins (gconstpointer kind)
{
    g_auto (More) m = { NULL };

    more_begin (&m, GPOINTER_TO_INT (kind), 0);
    if (m.host == NULL)
        return;
    write_role (&m, "vcpu1");
    expect_nothing (m.log);
    corral_container_watch_more (m.host->core, m.path, CORRAL_WATCH_PINS);
    expect_nothing (m.log);
    for (int again = 0; again < 3; again++) {
        write_role (&m, "vcpu0");
        expect (m.log, m.group_path, "settings");
        expect_nothing (m.log);
    }
    write_role (&m, "emulator");
    expect (m.log, m.group_path, "settings");
    write_role (&m, "iothread1");
    expect (m.log, m.group_path, "settings");
    write_role (&m, "");
    expect (m.log, m.group_path, "settings");
    expect_nothing (m.log);
    corral_container_watch_more (m.host->core, m.path, 0);
    write_role (&m, "vcpu0");
    write_role (&m, "");
    expect_nothing (m.log);
}

/* Caps are in a hierarchy of their own on cgroup v1. */
static void
test_caps (gconstpointer kind)
{
    g_auto (More) m = { NULL };
    gboolean v1;

    more_begin (&m, GPOINTER_TO_INT (kind), 0);
    if (m.host == NULL)
        return;
    v1 = m.host->core->cpu != m.host->core->main;
    corral_container_watch_more (m.host->core, m.path, CORRAL_WATCH_PINS);
    write_cap (m.host, m.dir);
    if (v1)
        expect_nothing (m.log);
    else
        expect (m.log, m.path, "settings");
    write_quota (m.host, m.dir, v1 ? "/cpu.cfs_quota_us" : "/cpu.max", v1 ? "-1" : "max 100000");
    drain (m.log);
    corral_container_watch_more (m.host->core, m.path, CORRAL_WATCH_CAP | CORRAL_WATCH_PINS);
    cap_role (&m, "emulator");
    if (v1)
        expect_nothing (m.log);
    else
        expect (m.log, m.group_path, "settings");
    corral_container_watch_more (m.host->core, m.path, MORE);
    cap_role (&m, "iothread1");
    expect (m.log, m.group_path, "settings");
    cap_role (&m, "emulator");
    expect (m.log, m.group_path, "settings");
    expect_nothing (m.log);
    write_cap (m.host, m.dir);
    expect (m.log, m.path, "settings");
    expect_nothing (m.log);
    /* vCPUs have no caps of ours, and need no second watch. */
    if (v1) {
        write_quota (m.host, m.group, "/vcpu0/cpu.cfs_quota_us", "5000");
        expect_nothing (m.log);
    }
    corral_container_watch_more (m.host->core, m.path, 0);
    /* On v2 its own cap is in its own directory, which is always watched. */
    write_cap (m.host, m.dir);
    if (!v1)
        expect (m.log, m.path, "settings");
    write_quota (m.host, m.group, v1 ? "/emulator/cpu.cfs_quota_us" : "/emulator/cpu.max", "6000");
    expect_nothing (m.log);
}

static void
make_role (const More *m, CorralHierarchy *h, const char *role)
{
    g_autofree char *dir = corral_dir_file (m->group, role);
    g_autoptr (CorralUndo) undo = corral_undo_new ();
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_step_mkdir (m->host->core, h, dir, NULL, undo, &error) &&
                   corral_backend_of (h)->prepare (m->host->core, h, dir, undo, &error));
    g_assert_no_error (error);
}

static void
drop_role (const More *m, CorralHierarchy *h, const char *role)
{
    g_autofree char *dir = corral_dir_file (m->group, role);

    g_assert_cmpint (corral_io_rmdir (&m->host->core->io, &h->tree, dir), ==, 0);
}

/* Directories that come later, and the same names once more, are watched as well. */
static void
test_new_roles (gconstpointer kind)
{
    g_auto (More) m = { NULL };
    CorralHierarchy *cpu, *cpuset;

    more_begin (&m, GPOINTER_TO_INT (kind), 0);
    if (m.host == NULL)
        return;
    cpu = m.host->core->cpu;
    cpuset = m.host->core->cpuset;
    corral_container_watch_more (m.host->core, m.path, MORE);
    for (int round = 0; round < 2; round++) {
        make_role (&m, cpuset, "vcpu5");
        expect (m.log, m.group_path, "settings");
        drain (m.log);
        write_role (&m, "vcpu5");
        expect (m.log, m.group_path, "settings");
        drain (m.log);
        if (cpu != cpuset) {
            make_role (&m, cpu, "iothread5");
            expect (m.log, m.group_path, "settings");
            expect_nothing (m.log);
            cap_role (&m, "iothread5");
            expect (m.log, m.group_path, "settings");
            drop_role (&m, cpu, "iothread5");
        }
        drop_role (&m, cpuset, "vcpu5");
        drain (m.log);
    }
}

/* The same where the whole container comes and goes: in the hierarchy of caps as well */
static void
test_new_container (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (Log) log = NULL;
    g_autofree char *path = NULL, *dir = NULL, *group_path = NULL;

    if (host == NULL)
        return;
    log = log_new (host);
    path = host_path (host, "a");
    dir = host_dir (host, "a");
    group_path = g_strconcat (path, "/qemu-1-web.libvirt-qemu", NULL);
    g_assert_true (corral_container_watch (host->core, path, NULL));
    corral_container_watch_more (host->core, path, MORE);
    for (int round = 0; round < 2; round++) {
        g_autofree char *group = g_strconcat (dir, "/qemu-1-web.libvirt-qemu", NULL);

        g_assert_true (corral_container_create (host->core, path, NULL, NULL, NULL));
        expect (log, path, "appeared");
        drain (log);
        write_cap (host, dir);
        expect (log, path, "settings");
        make (host, group);
        expect (log, group_path, "settings");
        drain (log);
        drop (host, group);
        expect (log, path, "groups");
        g_assert_true (corral_container_destroy (host->core, path, NULL));
        expect (log, path, "vanished");
        drain (log);
    }
}

/* What does not fit is told once, and watched when there is room. */
static void
test_limit (void)
{
    static const char *const roles[] = { "emulator", "vcpu0", "vcpu1", "iothread1" };
    const char *missing = NULL, *there = NULL;
    g_auto (More) m = { NULL };
    CorralHierarchy *h;

    more_begin (&m, HOST_FAKE_V2, 3);
    h = m.host->core->cpuset;
    corral_container_watch_more (m.host->core, m.path, CORRAL_WATCH_PINS);
    expect (m.log, m.path, "unwatched");
    /* Three of the four are watched; which of them is the folder's affair. */
    for (gsize i = 0; i < G_N_ELEMENTS (roles); i++) {
        drain (m.log);
        write_role (&m, roles[i]);
        while (g_main_context_iteration (NULL, FALSE))
            ;
        if (m.log->seen->len == 0) {
            g_assert_null (missing);
            missing = roles[i];
        } else if (!g_str_equal (roles[i], "emulator"))
            there = roles[i];
    }
    g_assert_nonnull (missing);
    /* One more that has no room is no news. */
    make_role (&m, h, "vcpu7");
    expect (m.log, m.group_path, "settings");
    drain (m.log);
    write_role (&m, "vcpu7");
    expect_nothing (m.log);
    drop_role (&m, h, "vcpu7");
    /* When one goes, there is room for the one that had none; then for no other, and that is news.
     */
    host_kill (m.host, m.vm);
    drop_role (&m, h, there);
    drain (m.log);
    write_role (&m, missing);
    expect (m.log, m.group_path, "settings");
    make_role (&m, h, there);
    expect (m.log, m.path, "unwatched");
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
    } tests[] = { { "life", test_life },           { "usage-files", test_usage_files },
                  { "groups", test_groups },       { "settings", test_settings },
                  { "pins", test_pins },           { "caps", test_caps },
                  { "new-roles", test_new_roles }, { "new-container", test_new_container },
                  { "prune", test_prune },         { "reentry", test_reentry } };

    g_test_init (&argc, &argv, NULL);
    for (int kind = 0; kind < N_HOSTS; kind++)
        for (guint i = 0; i < G_N_ELEMENTS (tests); i++) {
            g_autofree char *path =
                g_strdup_printf ("/container-watch/%s/%s", host_names[kind], tests[i].name);

            g_test_add_data_func (path, GINT_TO_POINTER (kind), tests[i].func);
        }
    g_test_add_func ("/container-watch/limit", test_limit);
    g_test_add_func ("/container-watch/overflow", test_overflow);
    return g_test_run ();
}
