/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm-agent/vm/corral-vm-notify.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* The same mask everywhere: two of our watches may turn out to be one directory, which has one
 * mask. */
#define MASK (IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

/* Times that a directory is looked for anew while its parents come and go under our eyes. */
#define ARM_TRIES 16

typedef struct {
    guint id;
    char *directory;
    char *watched; /* (nullable): @directory, or the nearest parent that exists */
    int wd;        /* -1: nothing is watched */
    CorralVmNotifyFunc func;
    gpointer data;
} Watch;

struct _CorralVmNotify {
    int fd;
    GSource *source;
    GPtrArray *watches; /* of Watch */
    guint last_id;
};

static void
watch_free (gpointer data)
{
    Watch *watch = data;

    g_free (watch->directory);
    g_free (watch->watched);
    g_free (watch);
}

static gboolean
watch_is_armed (const Watch *watch)
{
    return watch->wd >= 0 && g_str_equal (watch->watched, watch->directory);
}

static gboolean
wd_is_used (CorralVmNotify *notify, int wd)
{
    for (guint i = 0; i < notify->watches->len; i++)
        if (((Watch *) g_ptr_array_index (notify->watches, i))->wd == wd)
            return TRUE;
    return FALSE;
}

static void
drop_wd (CorralVmNotify *notify, int wd)
{
    if (wd >= 0 && !wd_is_used (notify, wd))
        inotify_rm_watch (notify->fd, wd);
}

/* Watches @directory, or the nearest parent. Between finding that a directory is missing and
 * watching its parent it may be made, with no event; so after that it is looked for once more. */
static void
arm (CorralVmNotify *notify, Watch *watch)
{
    int old_wd = watch->wd;

    for (int try = 0; try < ARM_TRIES; try++) {
        g_autofree char *at = g_strdup (watch->directory);
        g_autofree char *missing = NULL;
        int wd;

        while ((wd = inotify_add_watch (notify->fd, at, MASK)) < 0 && errno != ENOSPC &&
               !g_str_equal (at, "/") && !g_str_equal (at, ".")) {
            g_free (missing);
            missing = at;
            at = g_path_get_dirname (missing);
        }
        if (wd != watch->wd) {
            int before = watch->wd;

            watch->wd = wd;
            if (before != old_wd)
                drop_wd (notify, before);
        }
        g_free (watch->watched);
        watch->watched = g_steal_pointer (&at);
        if (wd < 0 || missing == NULL || access (missing, F_OK) < 0)
            break;
    }
    if (watch->wd != old_wd)
        drop_wd (notify, old_wd);
}

static Watch *
find_watch (CorralVmNotify *notify, guint id)
{
    for (guint i = 0; i < notify->watches->len; i++) {
        Watch *watch = g_ptr_array_index (notify->watches, i);

        if (watch->id == id)
            return watch;
    }
    return NULL;
}

static void
handle_event (CorralVmNotify *notify, const struct inotify_event *event, guint id)
{
    Watch *watch = find_watch (notify, id);
    gboolean lost = (event->mask & IN_Q_OVERFLOW) != 0;
    gboolean was_armed;

    if (watch == NULL || (!lost && watch->wd != event->wd))
        return;
    was_armed = watch_is_armed (watch);
    if ((event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)) != 0) {
        if ((event->mask & IN_MOVE_SELF) == 0)
            watch->wd = -1; /* the kernel has dropped it */
        was_armed = FALSE;
    }
    if (!was_armed || lost) {
        arm (notify, watch);
        if (watch_is_armed (watch))
            watch->func (NULL, watch->data);
    } else if (event->len > 0 && (event->mask & (IN_CREATE | IN_MOVED_TO)) != 0)
        watch->func (event->name, watch->data);
}

/* A call may add and remove watches, so they are gone through by id. */
static gboolean
on_inotify (int fd, GIOCondition condition, gpointer data)
{
    CorralVmNotify *notify = data;
    char buffer[16384] __attribute__ ((aligned (__alignof__(struct inotify_event))));
    gssize length = read (fd, buffer, sizeof buffer);

    for (gssize at = 0; at < length;) {
        const struct inotify_event *event = (const struct inotify_event *) (buffer + at);
        g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (guint));

        for (guint i = 0; i < notify->watches->len; i++)
            g_array_append_val (ids, ((Watch *) g_ptr_array_index (notify->watches, i))->id);
        for (guint i = 0; i < ids->len; i++)
            handle_event (notify, event, g_array_index (ids, guint, i));
        at += (gssize) (sizeof *event + event->len);
    }
    return G_SOURCE_CONTINUE;
}

CorralVmNotify *
corral_vm_notify_new (void)
{
    CorralVmNotify *notify = g_new0 (CorralVmNotify, 1);

    notify->watches = g_ptr_array_new_with_free_func (watch_free);
    notify->fd = inotify_init1 (IN_CLOEXEC | IN_NONBLOCK);
    if (notify->fd >= 0) {
        notify->source = g_unix_fd_source_new (notify->fd, G_IO_IN);
        g_source_set_callback (notify->source, G_SOURCE_FUNC (on_inotify), notify, NULL);
        g_source_attach (notify->source, g_main_context_get_thread_default ());
    }
    return notify;
}

void
corral_vm_notify_free (CorralVmNotify *notify)
{
    if (notify == NULL)
        return;
    if (notify->source != NULL) {
        g_source_destroy (notify->source);
        g_source_unref (notify->source);
        close (notify->fd);
    }
    g_ptr_array_unref (notify->watches);
    g_free (notify);
}

guint
corral_vm_notify_add (CorralVmNotify *notify, const char *directory, CorralVmNotifyFunc func,
                      gpointer data)
{
    Watch *watch = g_new0 (Watch, 1);

    watch->id = ++notify->last_id;
    watch->directory = g_canonicalize_filename (directory, "/");
    watch->wd = -1;
    watch->func = func;
    watch->data = data;
    g_ptr_array_add (notify->watches, watch);
    arm (notify, watch);
    return watch->id;
}

void
corral_vm_notify_remove (CorralVmNotify *notify, guint id)
{
    Watch *watch = find_watch (notify, id);
    int wd;

    if (watch == NULL)
        return;
    wd = watch->wd;
    g_ptr_array_remove (notify->watches, watch);
    drop_wd (notify, wd);
}
