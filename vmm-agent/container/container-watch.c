/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Directories that come and go, and files that are written, by inotify. A target is a container or
 * a group. */
#include "vmm-agent/container/container-watch.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

/* How many a user may have on kernels before 5.11, where nobody has said otherwise */
#define WATCHES_DEFAULT 8192

typedef struct {
    char *name;
    const char *what;
} Signal;

static void
signal_free (gpointer data)
{
    Signal *signal = data;

    g_free (signal->name);
    g_free (signal);
}

static void
target_free (gpointer data)
{
    CorralWatchTarget *target = data;

    g_free (target->name);
    g_free (target->dir);
    g_hash_table_unref (target->watched);
    g_hash_table_unref (target->groups);
    g_free (target);
}

static void
place_free (gpointer data)
{
    CorralWatchPlace *place = data;

    g_free (place->dir);
    g_ptr_array_unref (place->users);
    g_free (place);
}

void
corral_watch_free (CorralWatch *watch)
{
    if (watch == NULL)
        return;
    if (watch->source != NULL) {
        g_source_destroy (watch->source);
        g_source_unref (watch->source);
    }
    g_hash_table_unref (watch->targets);
    g_hash_table_unref (watch->places);
    close (watch->fd);
    g_free (watch);
}

/* --- events --- */

static ino_t
inode_of (CorralWatch *watch, const char *dir)
{
    struct stat status;
    ino_t inode = 0;
    int fd;

    if (corral_io_open (watch->core->main->tree.fd, dir, O_PATH | O_DIRECTORY, &fd) != 0)
        return 0;
    if (fstat (fd, &status) == 0)
        inode = status.st_ino;
    close (fd);
    return inode;
}

/* A write raises IN_MODIFY, whoever writes; and the kernel does when it takes a partition away. */
static gboolean
is_setting (const char *name)
{
    static const char *const settings[] = {
        "cpuset.cpus",
        "cpuset.mems",
        "cpuset.cpus.exclusive",
        "cpuset.cpus.partition",
        "cpu.cfs_quota_us",
        "cpu.cfs_period_us",
        "cpu.max",
    };

    for (gsize i = 0; i < G_N_ELEMENTS (settings); i++)
        if (g_str_equal (name, settings[i]))
            return TRUE;
    return FALSE;
}

static void
take_write (CorralWatchTarget *target, const char *dir, const char *name)
{
    const CorralWatchLevel level = corral_watch_level (target, dir);

    if (target->is_group || level == CORRAL_WATCH_ABOVE || !is_setting (name))
        return;
    if (level == CORRAL_WATCH_OWN)
        target->written = TRUE;
    else if ((target->more & CORRAL_WATCH_PINS) != 0)
        g_hash_table_add (target->groups, corral_watch_group_of (target, dir));
}

static void
take_entry (CorralWatch *watch, CorralWatchTarget *target, const CorralHierarchy *h,
            const char *dir, const struct inotify_event *event)
{
    const gboolean is_main = h == watch->core->main;
    const CorralWatchLevel level = corral_watch_level (target, dir);
    const char *name = event->name;
    g_autofree char *child = corral_dir_file (dir, name);
    CorralThreadRole role;
    int index;

    corral_watch_forget_dir (watch, target, h, child);
    if (level == CORRAL_WATCH_ABOVE) {
        const gboolean holds = corral_container_dir_within (target->dir, child);

        target->moved |= holds;
        target->gone |= is_main && holds && (event->mask & (IN_DELETE | IN_MOVED_FROM)) != 0;
    } else if (level == CORRAL_WATCH_OWN && !target->is_group) {
        if (!corral_container_is_group (name))
            return;
        target->moved = TRUE;
        target->dirty |= is_main;
    } else {
        target->dirty |= is_main && corral_container_role_parse (name, &role, &index);
        if ((event->mask & (IN_CREATE | IN_MOVED_TO)) != 0)
            corral_watch_take_role (watch, target, h, dir, name);
    }
}

static void
take_overflow (CorralWatch *watch)
{
    GHashTableIter iter;
    CorralWatchTarget *target;

    /* Events were lost: everything may have changed. */
    g_hash_table_iter_init (&iter, watch->targets);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &target))
        target->moved = target->dirty = target->written = target->lost = TRUE;
}

static void
take_event (CorralWatch *watch, const struct inotify_event *event)
{
    g_autoptr (GPtrArray) users = NULL;
    g_autofree char *dir = NULL;
    const CorralHierarchy *h;
    const CorralWatchPlace *place;

    if ((event->mask & IN_Q_OVERFLOW) != 0) {
        take_overflow (watch);
        return;
    }
    if ((event->mask & IN_IGNORED) != 0) {
        corral_watch_forget_number (watch, event->wd);
        return;
    }
    place = g_hash_table_lookup (watch->places, GINT_TO_POINTER (event->wd));
    if (place == NULL)
        return;
    /* Copies: what is found changes who watches, and what. */
    users = g_ptr_array_copy (place->users, NULL, NULL);
    dir = g_strdup (place->dir);
    h = place->h;
    for (guint i = 0; i < users->len; i++) {
        CorralWatchTarget *target = g_ptr_array_index (users, i);

        if ((event->mask & IN_MODIFY) != 0 && event->len > 0)
            take_write (target, dir, event->name);
        else if (event->len > 0)
            take_entry (watch, target, h, dir, event);
        else
            target->moved = TRUE;
    }
}

/* @name: (transfer full) */
static void
queue_name (GPtrArray *signals, char *name, const char *what)
{
    Signal *signal = g_new (Signal, 1);

    *signal = (Signal){ name, what };
    g_ptr_array_add (signals, signal);
}

static void
queue (GPtrArray *signals, const CorralWatchTarget *target, const char *what)
{
    queue_name (signals, g_strdup (target->name), what);
}

static void
queue_groups (GPtrArray *signals, const CorralWatchTarget *target)
{
    GHashTableIter iter;
    gpointer name;

    g_hash_table_iter_init (&iter, target->groups);
    while (g_hash_table_iter_next (&iter, &name, NULL))
        queue_name (signals, g_strconcat (target->name, "/", name, NULL), "settings");
}

static void
look_again (CorralWatch *watch, CorralWatchTarget *target, GPtrArray *signals)
{
    if (target->moved) {
        const ino_t now = inode_of (watch, target->dir);

        if (now != target->inode || target->gone) {
            if (target->inode != 0) {
                queue (signals, target, "vanished");
                /* Whoever has removed it, what we keep open of it would hold on to its remains. */
                corral_usage_forget (watch->core, target->dir);
            }
            if (now != 0) {
                queue (signals, target, "appeared");
                /* Groups may be in it already, and settings written before we watched it. */
                target->dirty = target->written = TRUE;
            }
            target->inode = now;
        }
        (void) corral_watch_follow (watch, target, target->lost);
    }
    if (target->dirty && target->inode != 0) {
        /* When libvirt removes a VM's group, what we made for it elsewhere is left. */
        if (!target->is_group)
            (void) !corral_container_prune (watch->core, target->name, NULL);
        queue (signals, target, "groups");
    }
    if (target->written && target->inode != 0 && !target->is_group)
        queue (signals, target, "settings");
    if (target->inode != 0)
        queue_groups (signals, target);
    g_hash_table_remove_all (target->groups);
    target->moved = target->gone = target->dirty = target->written = target->lost = FALSE;
}

/* There may be room again for what there was none for. */
static void
try_again (CorralWatch *watch)
{
    GHashTableIter iter;
    CorralWatchTarget *target;

    if (!watch->lacking || g_hash_table_size (watch->places) >= watch->lacking_at)
        return;
    watch->lacking = FALSE;
    watch->lacking_at = g_hash_table_size (watch->places);
    g_hash_table_iter_init (&iter, watch->targets);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &target)) {
        if (!target->lacking)
            continue;
        (void) corral_watch_follow (watch, target, TRUE);
        g_hash_table_remove_all (target->groups);
        watch->lacking |= target->lacking;
    }
    watch->lacking_at = g_hash_table_size (watch->places);
}

/* The first target that lacks something is told, and the next when none has lacked anything since.
 * Returns: (nullable): borrowed */
static const CorralWatchTarget *
find_lacking (CorralWatch *watch)
{
    GHashTableIter iter;
    CorralWatchTarget *target;

    if (watch->lacking)
        return NULL;
    g_hash_table_iter_init (&iter, watch->targets);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &target))
        if (target->lacking) {
            watch->lacking = TRUE;
            watch->lacking_at = g_hash_table_size (watch->places);
            return target;
        }
    return NULL;
}

static void
read_events (CorralWatch *watch)
{
    char buffer[16 * 1024] __attribute__ ((aligned (__alignof__(struct inotify_event))));
    ssize_t got;

    while ((got = read (watch->fd, buffer, sizeof buffer)) > 0 || (got < 0 && errno == EINTR))
        for (ssize_t at = 0; at < got;) {
            const struct inotify_event *event = (const void *) (buffer + at);

            take_event (watch, event);
            at += (ssize_t) (sizeof *event + event->len);
        }
}

static gboolean
on_events (gint fd, GIOCondition condition, gpointer data)
{
    CorralWatch *watch = data;
    g_autoptr (CorralContainerCore) core = g_object_ref (watch->core);
    g_autoptr (GPtrArray) signals = g_ptr_array_new_with_free_func (signal_free);
    const CorralWatchTarget *lacking;
    GHashTableIter iter;
    gpointer target;

    read_events (watch);
    g_hash_table_iter_init (&iter, watch->targets);
    while (g_hash_table_iter_next (&iter, NULL, &target))
        look_again (watch, target, signals);
    try_again (watch);
    lacking = find_lacking (watch);
    if (lacking != NULL)
        queue (signals, lacking, "unwatched");
    /* Only now, since a handler may watch and unwatch. */
    for (guint i = 0; i < signals->len; i++) {
        const Signal *signal = g_ptr_array_index (signals, i);

        corral_container_emit_changed (core, signal->name, signal->what);
    }
    return G_SOURCE_CONTINUE;
}

/* Half of what we may have, since it is one number for all programs of a user. */
static guint
read_limit (const CorralContainerCore *core)
{
    g_autofree char *text = NULL;
    guint64 limit = WATCHES_DEFAULT;

    if (corral_io_read (core->io.root_fd, "proc/sys/fs/inotify/max_user_watches", &text) == 0 &&
        !g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT32, &limit, NULL))
        limit = WATCHES_DEFAULT;
    return (guint) (limit / 2);
}

static CorralWatch *
ensure_watch (CorralContainerCore *core, GError **error)
{
    g_autoptr (GMainContext) context = NULL;
    CorralWatch *watch;
    int fd;

    if (core->watch != NULL)
        return core->watch;
    fd = inotify_init1 (IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0) {
        corral_io_fail (error, errno, "cannot start to watch containers");
        return NULL;
    }
    watch = g_new0 (CorralWatch, 1);
    watch->core = core;
    watch->fd = fd;
    watch->targets = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, target_free);
    watch->places = g_hash_table_new_full (g_direct_hash, g_direct_equal, NULL, place_free);
    watch->limit = read_limit (core);
    watch->source = g_unix_fd_source_new (fd, G_IO_IN);
    g_source_set_callback (watch->source, G_SOURCE_FUNC (on_events), watch, NULL);
    context = g_main_context_ref_thread_default ();
    g_source_attach (watch->source, context);
    core->watch = watch;
    return watch;
}

static char *
key_of (const char *name, gboolean is_group)
{
    return g_strconcat (is_group ? "group " : "container ", name, NULL);
}

static void
remove_target (CorralContainerCore *core, const char *name, gboolean is_group)
{
    g_autofree char *key = key_of (name, is_group);
    CorralWatchTarget *target =
        core->watch != NULL ? g_hash_table_lookup (core->watch->targets, key) : NULL;

    if (target == NULL)
        return;
    corral_watch_forget (core->watch, target);
    g_hash_table_remove (core->watch->targets, key);
}

static gboolean
add_target (CorralContainerCore *core, const char *name, const char *dir, gboolean is_group,
            GError **error)
{
    CorralWatch *watch = ensure_watch (core, error);
    g_autofree char *key = key_of (name, is_group);
    CorralWatchTarget *target;
    int err;

    if (watch == NULL)
        return FALSE;
    if (g_hash_table_contains (watch->targets, key))
        return TRUE;
    target = g_new0 (CorralWatchTarget, 1);
    target->name = g_strdup (name);
    target->dir = g_strdup (dir);
    target->is_group = is_group;
    target->watched = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
    target->groups = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
    g_hash_table_insert (watch->targets, g_strdup (key), target);
    err = corral_watch_follow (watch, target, TRUE);
    target->inode = inode_of (watch, dir);
    if (err == 0)
        return TRUE;
    remove_target (core, name, is_group);
    return corral_io_fail (error, err, "cannot watch \"%s\"", name);
}

gboolean
corral_container_watch (CorralContainerCore *core, const char *path, GError **error)
{
    g_autofree char *dir = NULL;

    return corral_container_path_to_dir (path, &dir, error) &&
           add_target (core, path, dir, FALSE, error);
}

void
corral_container_unwatch (CorralContainerCore *core, const char *path)
{
    remove_target (core, path, FALSE);
}

gboolean
corral_container_watch_group (CorralContainerCore *core, const char *group, GError **error)
{
    return corral_container_group_check (group, error) &&
           add_target (core, group, group, TRUE, error);
}

void
corral_container_unwatch_group (CorralContainerCore *core, const char *group)
{
    remove_target (core, group, TRUE);
}

void
corral_container_watch_more (CorralContainerCore *core, const char *path, guint more)
{
    g_autofree char *key = key_of (path, FALSE);
    CorralWatchTarget *target =
        core->watch != NULL ? g_hash_table_lookup (core->watch->targets, key) : NULL;
    const CorralWatchTarget *lacking;

    if (target == NULL || target->more == more)
        return;
    target->more = more;
    corral_watch_forget_unwanted (core->watch, target);
    (void) corral_watch_follow (core->watch, target, TRUE);
    g_hash_table_remove_all (target->groups);
    lacking = find_lacking (core->watch);
    if (lacking != NULL) {
        g_autofree char *name = g_strdup (lacking->name);

        corral_container_emit_changed (core, name, "unwatched");
    }
}
