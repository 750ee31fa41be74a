/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which directories are watched. A target is followed by watches on its ancestors (to see it made
 * again), on itself, and on the groups in it; and, where somebody asks for it, on the directories
 * of threads in these, and on the same in the hierarchy that has the caps. */
#include "vmm-agent/container/container-watch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* A directory has one watch, for all whom it concerns. */
#define WATCH_MASK (IN_CREATE | IN_DELETE | IN_MOVE | IN_DELETE_SELF | IN_ONLYDIR | IN_MASK_ADD)
#define WRITE_MASK (IN_MODIFY | IN_ONLYDIR | IN_MASK_ADD)
/* What is in the hierarchy of caps */
#define CAPS (CORRAL_WATCH_CAP | CORRAL_WATCH_HELPERS_CAP)

static gboolean
is_role (const char *name, CorralThreadRole *ret_role)
{
    int index;

    return corral_container_role_parse (name, ret_role, &index);
}

CorralWatchLevel
corral_watch_level (const CorralWatchTarget *target, const char *dir)
{
    const gsize length = strlen (target->dir);

    if (g_str_equal (dir, target->dir))
        return CORRAL_WATCH_OWN;
    if (strlen (dir) < length)
        return CORRAL_WATCH_ABOVE;
    return strchr (dir + length + 1, '/') == NULL ? CORRAL_WATCH_GROUP : CORRAL_WATCH_ROLE;
}

char *
corral_watch_group_of (const CorralWatchTarget *target, const char *dir)
{
    const char *name = dir + strlen (target->dir) + 1;

    return g_strndup (name, strcspn (name, "/"));
}

/* On cgroup v1 caps are in a hierarchy of their own. (nullable): everywhere else */
static const CorralHierarchy *
hierarchy_of_caps (const CorralWatch *watch)
{
    return watch->core->cpu != watch->core->main ? watch->core->cpu : NULL;
}

/* Only the hierarchy that says where VMs are is watched for what comes and goes in any container;
 * all else is there for writes, in the containers that somebody asks it for. */
static gboolean
is_wanted (const CorralWatch *watch, const CorralWatchTarget *target, const CorralHierarchy *h,
           CorralWatchLevel level, const char *name)
{
    CorralThreadRole role;

    if (h == watch->core->main)
        return level != CORRAL_WATCH_ROLE ||
               ((target->more & CORRAL_WATCH_PINS) != 0 && is_role (name, &role));
    if (level == CORRAL_WATCH_ABOVE || level == CORRAL_WATCH_OWN)
        return (target->more & CAPS) != 0;
    /* vCPUs have no caps of ours. */
    return (target->more & CORRAL_WATCH_HELPERS_CAP) != 0 &&
           (level == CORRAL_WATCH_GROUP || (is_role (name, &role) && role != CORRAL_THREAD_VCPU));
}

static char *
key_of_dir (const CorralWatch *watch, const CorralHierarchy *h, const char *dir)
{
    return g_strconcat (h == watch->core->main ? "main " : "caps ", dir, NULL);
}

static void
drop_user (CorralWatch *watch, int number, CorralWatchTarget *target)
{
    CorralWatchPlace *place = g_hash_table_lookup (watch->places, GINT_TO_POINTER (number));

    if (place == NULL)
        return;
    g_ptr_array_remove (place->users, target);
    if (place->users->len == 0) {
        g_hash_table_remove (watch->places, GINT_TO_POINTER (number));
        inotify_rm_watch (watch->fd, number);
    }
}

/* Watches @dir for @target, unless it does. An errno; ENOENT when it is not there. @ret_new: (out)
 * (optional) */
static int
add_watch (CorralWatch *watch, CorralWatchTarget *target, const CorralHierarchy *h, const char *dir,
           guint32 mask, gboolean *ret_new)
{
    g_autofree char *key = key_of_dir (watch, h, dir), *link = NULL;
    CorralWatchPlace *place;
    int fd, number, err;

    if (ret_new != NULL)
        *ret_new = FALSE;
    if (g_hash_table_contains (target->watched, key))
        return 0;
    err = corral_io_open (h->tree.fd, dir, O_PATH | O_DIRECTORY, &fd);
    if (err != 0)
        return err;
    link = g_strdup_printf ("/proc/self/fd/%d", fd);
    number = inotify_add_watch (watch->fd, link, mask);
    err = number < 0 ? errno : 0;
    close (fd);
    if (err != 0)
        return err;
    place = g_hash_table_lookup (watch->places, GINT_TO_POINTER (number));
    if (place == NULL) {
        place = g_new (CorralWatchPlace, 1);
        *place = (CorralWatchPlace){ h, g_strdup (dir), g_ptr_array_new () };
        g_hash_table_insert (watch->places, GINT_TO_POINTER (number), place);
    }
    if (!g_ptr_array_find (place->users, target, NULL))
        g_ptr_array_add (place->users, target);
    g_hash_table_insert (target->watched, g_steal_pointer (&key), GINT_TO_POINTER (number));
    if (ret_new != NULL)
        *ret_new = TRUE;
    return 0;
}

/* The same for a directory that is only written to. Its VM is found without it, too, if later: so
 * we leave half of what a user may have to others, and do without where there is none left.
 * Returns: whether there was room */
static gboolean
add_more (CorralWatch *watch, CorralWatchTarget *target, const CorralHierarchy *h, const char *dir,
          guint32 mask, gboolean *ret_new)
{
    int err = ENOSPC;

    if (ret_new != NULL)
        *ret_new = FALSE;
    if (g_hash_table_size (watch->places) < watch->limit)
        err = add_watch (watch, target, h, dir, mask, ret_new);
    if (err == 0 || err == ENOENT || err == ENODEV)
        return TRUE;
    target->lacking = TRUE;
    return FALSE;
}

/* What is in a group and is wanted. What was written before we watched is written for us, too. */
static void
follow_roles (CorralWatch *watch, CorralWatchTarget *target, const CorralHierarchy *h,
              const char *group)
{
    g_autoptr (GPtrArray) names = NULL;

    if ((target->more & CORRAL_WATCH_PINS) != 0)
        g_hash_table_add (target->groups, corral_watch_group_of (target, group));
    if (corral_io_list (h->tree.fd, group, &names) != 0)
        return;
    for (guint i = 0; i < names->len; i++) {
        const char *name = g_ptr_array_index (names, i);
        g_autofree char *dir = corral_dir_file (group, name);

        if (is_wanted (watch, target, h, CORRAL_WATCH_ROLE, name) &&
            !add_more (watch, target, h, dir, WRITE_MASK, NULL))
            return;
    }
}

void
corral_watch_take_role (CorralWatch *watch, CorralWatchTarget *target, const CorralHierarchy *h,
                        const char *dir, const char *name)
{
    g_autofree char *child = corral_dir_file (dir, name);

    if (target->is_group || !is_wanted (watch, target, h, CORRAL_WATCH_ROLE, name))
        return;
    (void) add_more (watch, target, h, child, WRITE_MASK, NULL);
    g_hash_table_add (target->groups, corral_watch_group_of (target, dir));
}

/* @all: also what is in groups that are watched already. A group's own directory is watched in the
 * main hierarchy whatever that costs: it says which vCPUs come. */
static int
follow_groups (CorralWatch *watch, CorralWatchTarget *target, const CorralHierarchy *h,
               gboolean all)
{
    const gboolean is_main = h == watch->core->main;
    g_autoptr (GPtrArray) names = NULL;
    int err = corral_io_list (h->tree.fd, target->dir, &names);

    for (guint i = 0; err == 0 && i < names->len; i++) {
        g_autofree char *group = corral_dir_file (target->dir, g_ptr_array_index (names, i));
        gboolean is_new = FALSE;

        if (!corral_container_is_group (g_ptr_array_index (names, i)))
            continue;
        if (is_main)
            err = add_watch (watch, target, h, group, WATCH_MASK | IN_MODIFY, &is_new);
        else if (!add_more (watch, target, h, group, WATCH_MASK, &is_new))
            return 0;
        err = err == ENOENT ? 0 : err;
        if (err == 0 && (is_new || all))
            follow_roles (watch, target, h, group);
    }
    return err;
}

/* The top, each ancestor that exists, and the target itself. */
static int
follow_chain (CorralWatch *watch, CorralWatchTarget *target, const CorralHierarchy *h)
{
    int err = add_watch (watch, target, h, "", WATCH_MASK, NULL);

    for (const char *slash = strchr (target->dir, '/'); err == 0 && slash != NULL;
         slash = strchr (slash + 1, '/')) {
        g_autofree char *ancestor = g_strndup (target->dir, (gsize) (slash - target->dir));

        err = add_watch (watch, target, h, ancestor, WATCH_MASK, NULL);
    }
    return err != 0 ? err
                    : add_watch (watch, target, h, target->dir,
                                 WATCH_MASK | (target->is_group ? 0 : IN_MODIFY), NULL);
}

static void
follow_caps (CorralWatch *watch, CorralWatchTarget *target, gboolean all)
{
    const CorralHierarchy *h = hierarchy_of_caps (watch);
    int err;

    if (h == NULL || (target->more & CAPS) == 0)
        return;
    err = follow_chain (watch, target, h);
    if (err == 0 && (target->more & CORRAL_WATCH_HELPERS_CAP) != 0)
        err = follow_groups (watch, target, h, all);
    if (err != 0 && err != ENOENT && err != ENODEV)
        target->lacking = TRUE;
}

int
corral_watch_follow (CorralWatch *watch, CorralWatchTarget *target, gboolean all)
{
    int err;

    if (all)
        target->lacking = FALSE;
    err = follow_chain (watch, target, watch->core->main);
    if (err == 0 && !target->is_group)
        err = follow_groups (watch, target, watch->core->main, all);
    if (!target->is_group)
        follow_caps (watch, target, all);
    return err == ENOENT || err == ENODEV ? 0 : err;
}

void
corral_watch_forget_dir (CorralWatch *watch, CorralWatchTarget *target, const CorralHierarchy *h,
                         const char *top)
{
    g_autofree char *key = key_of_dir (watch, h, top);
    GHashTableIter iter;
    gpointer at, number;

    /* What is above was watched first. */
    if (!g_hash_table_contains (target->watched, key))
        return;
    g_hash_table_iter_init (&iter, target->watched);
    while (g_hash_table_iter_next (&iter, &at, &number))
        if (corral_container_dir_within (at, key)) {
            g_hash_table_iter_remove (&iter);
            drop_user (watch, GPOINTER_TO_INT (number), target);
        }
}

void
corral_watch_forget_number (CorralWatch *watch, int number)
{
    const CorralWatchPlace *place = g_hash_table_lookup (watch->places, GINT_TO_POINTER (number));
    g_autofree char *key = NULL;

    if (place == NULL)
        return;
    key = key_of_dir (watch, place->h, place->dir);
    for (guint i = 0; i < place->users->len; i++) {
        CorralWatchTarget *target = g_ptr_array_index (place->users, i);

        target->moved = TRUE;
        g_hash_table_remove (target->watched, key);
    }
    g_hash_table_remove (watch->places, GINT_TO_POINTER (number));
}

void
corral_watch_forget_unwanted (CorralWatch *watch, CorralWatchTarget *target)
{
    GHashTableIter iter;
    gpointer number;

    g_hash_table_iter_init (&iter, target->watched);
    while (g_hash_table_iter_next (&iter, NULL, &number)) {
        const CorralWatchPlace *place = g_hash_table_lookup (watch->places, number);
        g_autofree char *name = place != NULL ? g_path_get_basename (place->dir) : NULL;

        if (place == NULL ||
            is_wanted (watch, target, place->h, corral_watch_level (target, place->dir), name))
            continue;
        g_hash_table_iter_remove (&iter);
        drop_user (watch, GPOINTER_TO_INT (number), target);
    }
}

void
corral_watch_forget (CorralWatch *watch, CorralWatchTarget *target)
{
    GHashTableIter iter;
    gpointer number;

    g_hash_table_iter_init (&iter, target->watched);
    while (g_hash_table_iter_next (&iter, NULL, &number))
        drop_user (watch, GPOINTER_TO_INT (number), target);
    g_hash_table_remove_all (target->watched);
}
