/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Directories that come and go, and files that are written, by inotify. A target is a container or
 * a group; it is followed by watches on its ancestors (to see it made again), on itself, and on the
 * groups in it. */
#include "vmm-agent/container/container-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

/* A directory has one watch, for all whom it concerns. */
#define WATCH_MASK (IN_CREATE | IN_DELETE | IN_MOVE | IN_DELETE_SELF | IN_ONLYDIR | IN_MASK_ADD)

typedef struct {
    char *name; /* what the signal says: a path, or a group */
    char *dir;
    gboolean is_group;
    ino_t inode;         /* 0: not there */
    GHashTable *watched; /* directory -> its watch's number */
    gboolean moved;      /* something came or went that needs a new look */
    gboolean gone;       /* it, or what it was in, was removed, and may be there again by now */
    gboolean dirty;      /* groups in it changed */
    gboolean written;    /* somebody wrote a setting of its own */
} Target;

struct _CorralWatch {
    CorralContainerCore *core; /* owns this */
    int fd;
    GSource *source;
    GHashTable *targets; /* key -> Target */
    GHashTable *users;   /* watch number -> GPtrArray of Target, borrowed */
};

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
    Target *target = data;

    g_free (target->name);
    g_free (target->dir);
    g_hash_table_unref (target->watched);
    g_free (target);
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
    g_hash_table_unref (watch->users);
    close (watch->fd);
    g_free (watch);
}

/* --- which directories are watched --- */

static void
drop_user (CorralWatch *watch, int number, Target *target)
{
    GPtrArray *users = g_hash_table_lookup (watch->users, GINT_TO_POINTER (number));

    if (users == NULL)
        return;
    g_ptr_array_remove (users, target);
    if (users->len == 0) {
        g_hash_table_remove (watch->users, GINT_TO_POINTER (number));
        inotify_rm_watch (watch->fd, number);
    }
}

/* Watches @dir for @target, unless it does. An errno; ENOENT when it is not there. */
static int
add_watch (CorralWatch *watch, Target *target, const char *dir)
{
    const gboolean is_own = !target->is_group && g_str_equal (dir, target->dir);
    g_autofree char *link = NULL;
    GPtrArray *users;
    int fd, number, err;

    if (g_hash_table_contains (target->watched, dir))
        return 0;
    err = corral_io_open (watch->core->main->tree.fd, dir, O_PATH | O_DIRECTORY, &fd);
    if (err != 0)
        return err;
    link = g_strdup_printf ("/proc/self/fd/%d", fd);
    number = inotify_add_watch (watch->fd, link, WATCH_MASK | (is_own ? IN_MODIFY : 0));
    err = number < 0 ? errno : 0;
    close (fd);
    if (err != 0)
        return err;
    users = g_hash_table_lookup (watch->users, GINT_TO_POINTER (number));
    if (users == NULL) {
        users = g_ptr_array_new ();
        g_hash_table_insert (watch->users, GINT_TO_POINTER (number), users);
    }
    if (!g_ptr_array_find (users, target, NULL))
        g_ptr_array_add (users, target);
    g_hash_table_insert (target->watched, g_strdup (dir), GINT_TO_POINTER (number));
    return 0;
}

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

/* The top, each ancestor that exists, and the target itself; then, in a container, its groups. What
 * is not there is no error: the watch above it will tell. */
static int
follow (CorralWatch *watch, Target *target)
{
    g_autoptr (GPtrArray) names = NULL;
    int err = add_watch (watch, target, "");

    for (const char *slash = strchr (target->dir, '/'); err == 0 && slash != NULL;
         slash = strchr (slash + 1, '/')) {
        g_autofree char *ancestor = g_strndup (target->dir, (gsize) (slash - target->dir));

        err = add_watch (watch, target, ancestor);
    }
    if (err == 0)
        err = add_watch (watch, target, target->dir);
    if (err == 0 && !target->is_group)
        err = corral_io_list (watch->core->main->tree.fd, target->dir, &names);
    for (guint i = 0; err == 0 && names != NULL && i < names->len; i++)
        if (corral_container_is_group (g_ptr_array_index (names, i))) {
            g_autofree char *group = corral_dir_file (target->dir, g_ptr_array_index (names, i));

            err = add_watch (watch, target, group);
            err = err == ENOENT ? 0 : err;
        }
    return err == ENOENT || err == ENODEV ? 0 : err;
}

/* Drops the watches of @top and all beneath it: the directories are gone, and new ones of these
 * names need new watches. The kernel's cgroup directories do not say so themselves (no IN_IGNORED
 * comes). */
static void
forget_dir (CorralWatch *watch, Target *target, const char *top)
{
    GHashTableIter iter;
    gpointer dir, number;

    g_hash_table_iter_init (&iter, target->watched);
    while (g_hash_table_iter_next (&iter, &dir, &number))
        if (corral_container_dir_within (dir, top)) {
            g_hash_table_iter_remove (&iter);
            drop_user (watch, GPOINTER_TO_INT (number), target);
        }
}

/* The same where inotify does tell. */
static void
forget_number (CorralWatch *watch, int number)
{
    GPtrArray *users = g_hash_table_lookup (watch->users, GINT_TO_POINTER (number));

    for (guint i = 0; users != NULL && i < users->len; i++) {
        Target *target = g_ptr_array_index (users, i);
        GHashTableIter iter;
        gpointer value;

        target->moved = TRUE;
        g_hash_table_iter_init (&iter, target->watched);
        while (g_hash_table_iter_next (&iter, NULL, &value))
            if (GPOINTER_TO_INT (value) == number)
                g_hash_table_iter_remove (&iter);
    }
    g_hash_table_remove (watch->users, GINT_TO_POINTER (number));
}

static const char *
dir_of_number (Target *target, int number)
{
    GHashTableIter iter;
    gpointer dir, value;

    g_hash_table_iter_init (&iter, target->watched);
    while (g_hash_table_iter_next (&iter, &dir, &value))
        if (GPOINTER_TO_INT (value) == number)
            return dir;
    return NULL;
}

/* --- events --- */

static gboolean
is_role (const char *name)
{
    CorralThreadRole role;
    int index;

    return corral_container_role_parse (name, &role, &index);
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
take_write (Target *target, const struct inotify_event *event)
{
    const char *dir = dir_of_number (target, event->wd);

    if (dir != NULL && !target->is_group && g_str_equal (dir, target->dir) &&
        is_setting (event->name))
        target->written = TRUE;
}

static void
take_entry (CorralWatch *watch, Target *target, const struct inotify_event *event)
{
    g_autofree char *dir = g_strdup (dir_of_number (target, event->wd));
    const char *name = event->name;
    g_autofree char *child = NULL;

    if (dir == NULL)
        return;
    child = corral_dir_file (dir, name);
    forget_dir (watch, target, child);
    if (strlen (dir) < strlen (target->dir)) {
        const gboolean holds = corral_container_dir_within (target->dir, child);

        target->moved |= holds;
        target->gone |= holds && (event->mask & (IN_DELETE | IN_MOVED_FROM)) != 0;
    } else if (!g_str_equal (dir, target->dir) || target->is_group)
        target->dirty |= is_role (name);
    else if (corral_container_is_group (name))
        target->moved = target->dirty = TRUE;
}

static void
take_event (CorralWatch *watch, const struct inotify_event *event)
{
    g_autoptr (GPtrArray) users = NULL;
    GPtrArray *now;

    if ((event->mask & IN_Q_OVERFLOW) != 0) {
        GHashTableIter iter;
        gpointer target;

        /* Events were lost: everything may have changed. */
        g_hash_table_iter_init (&iter, watch->targets);
        while (g_hash_table_iter_next (&iter, NULL, &target))
            ((Target *) target)->moved = ((Target *) target)->dirty = ((Target *) target)->written =
                TRUE;
        return;
    }
    if ((event->mask & IN_IGNORED) != 0) {
        forget_number (watch, event->wd);
        return;
    }
    now = g_hash_table_lookup (watch->users, GINT_TO_POINTER (event->wd));
    /* A copy: what is found changes who watches. */
    users = now != NULL ? g_ptr_array_copy (now, NULL, NULL) : NULL;
    for (guint i = 0; users != NULL && i < users->len; i++) {
        Target *target = g_ptr_array_index (users, i);

        if ((event->mask & IN_MODIFY) != 0 && event->len > 0)
            take_write (target, event);
        else if (event->len > 0)
            take_entry (watch, target, event);
        else
            target->moved = TRUE;
    }
}

static void
queue (GPtrArray *signals, const Target *target, const char *what)
{
    Signal *signal = g_new (Signal, 1);

    *signal = (Signal){ g_strdup (target->name), what };
    g_ptr_array_add (signals, signal);
}

static void
look_again (CorralWatch *watch, Target *target, GPtrArray *signals)
{
    if (target->moved) {
        const ino_t now = inode_of (watch, target->dir);

        if (now != target->inode || target->gone) {
            if (target->inode != 0)
                queue (signals, target, "vanished");
            if (now != 0) {
                queue (signals, target, "appeared");
                /* Groups may be in it already, and settings written before we watched it. */
                target->dirty = target->written = TRUE;
            }
            target->inode = now;
        }
        (void) follow (watch, target);
    }
    if (target->dirty && target->inode != 0) {
        /* When libvirt removes a VM's group, what we made for it elsewhere is left. */
        if (!target->is_group)
            (void) !corral_container_prune (watch->core, target->name, NULL);
        queue (signals, target, "groups");
    }
    if (target->written && target->inode != 0 && !target->is_group)
        queue (signals, target, "settings");
    target->moved = target->gone = target->dirty = target->written = FALSE;
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
    GHashTableIter iter;
    gpointer target;

    read_events (watch);
    g_hash_table_iter_init (&iter, watch->targets);
    while (g_hash_table_iter_next (&iter, NULL, &target))
        look_again (watch, target, signals);
    /* Only now, since a handler may watch and unwatch. */
    for (guint i = 0; i < signals->len; i++) {
        const Signal *signal = g_ptr_array_index (signals, i);

        corral_container_emit_changed (core, signal->name, signal->what);
    }
    return G_SOURCE_CONTINUE;
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
    watch->users = g_hash_table_new_full (g_direct_hash, g_direct_equal, NULL,
                                          (GDestroyNotify) g_ptr_array_unref);
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
    Target *target = core->watch != NULL ? g_hash_table_lookup (core->watch->targets, key) : NULL;
    GHashTableIter iter;
    gpointer number;

    if (target == NULL)
        return;
    g_hash_table_iter_init (&iter, target->watched);
    while (g_hash_table_iter_next (&iter, NULL, &number))
        drop_user (core->watch, GPOINTER_TO_INT (number), target);
    g_hash_table_remove (core->watch->targets, key);
}

static gboolean
add_target (CorralContainerCore *core, const char *name, const char *dir, gboolean is_group,
            GError **error)
{
    CorralWatch *watch = ensure_watch (core, error);
    g_autofree char *key = key_of (name, is_group);
    Target *target;
    int err;

    if (watch == NULL)
        return FALSE;
    if (g_hash_table_contains (watch->targets, key))
        return TRUE;
    target = g_new0 (Target, 1);
    target->name = g_strdup (name);
    target->dir = g_strdup (dir);
    target->is_group = is_group;
    target->watched = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
    g_hash_table_insert (watch->targets, g_strdup (key), target);
    err = follow (watch, target);
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
