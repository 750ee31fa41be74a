/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm-agent/vm/corral-vm-process.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

/* Of the task's flags: it is on its way out, and in a cgroup no more (include/linux/sched.h). */
#define PF_EXITING 0x4

typedef struct {
    char state;
    guint64 flags, n_threads, start_time;
} Stat;

/* The name in the second field may hold spaces and parentheses, so the fields are counted from its
 * end: the state is the 3rd, the flags the 9th, the number of threads the 20th, the start time the
 * 22nd. Sets errno when it fails: ENOENT or ESRCH mean that there is no such process or thread. */
static gboolean
read_stat (const char *path, Stat *ret_stat)
{
    char text[1024];
    const char *at;
    gssize length;
    int fd, saved;

    fd = open (path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return FALSE;
    length = read (fd, text, sizeof text - 1);
    saved = errno;
    close (fd);
    errno = length < 0 ? saved : EILSEQ;
    if (length <= 0)
        return FALSE;
    text[length] = '\0';
    at = strrchr (text, ')');
    if (at == NULL || at[1] != ' ')
        return FALSE;
    at += 2;
    ret_stat->state = *at;
    for (int field = 3; field < 22; field++) {
        at = strchr (at, ' ');
        if (at == NULL || !(g_ascii_isdigit (at[1]) || at[1] == '-'))
            return FALSE;
        at++;
        if (field + 1 == 9)
            ret_stat->flags = g_ascii_strtoull (at, NULL, 10);
        else if (field + 1 == 20)
            ret_stat->n_threads = g_ascii_strtoull (at, NULL, 10);
        else if (field + 1 == 22)
            ret_stat->start_time = g_ascii_strtoull (at, NULL, 10);
    }
    return TRUE;
}

static gboolean
is_dead (const Stat *stat)
{
    return stat->state == 'Z' || stat->state == 'X' || stat->state == 'x';
}

static gboolean
read_process (pid_t pid, Stat *ret_stat)
{
    char path[64];

    g_snprintf (path, sizeof path, "/proc/%d/stat", (int) pid);
    return read_stat (path, ret_stat);
}

gboolean
corral_vm_process_read (pid_t pid, CorralVmProcess *ret_process)
{
    Stat stat;

    if (pid <= 0 || !read_process (pid, &stat) || is_dead (&stat) || (stat.flags & PF_EXITING) != 0)
        return FALSE;
    ret_process->pid = pid;
    ret_process->start_time = stat.start_time;
    return TRUE;
}

gboolean
corral_vm_process_is_alive (const CorralVmProcess *process)
{
    CorralVmProcess now;

    return corral_vm_process_read (process->pid, &now) && now.start_time == process->start_time;
}

gboolean
corral_vm_process_has_ended (const CorralVmProcess *process)
{
    Stat stat;

    if (!read_process (process->pid, &stat))
        return errno == ENOENT || errno == ESRCH;
    return stat.start_time != process->start_time || (is_dead (&stat) && stat.n_threads <= 1);
}

gboolean
corral_vm_process_has_thread (pid_t pid, pid_t tid)
{
    char path[96];
    Stat stat;

    if (pid <= 0 || tid <= 0)
        return FALSE;
    g_snprintf (path, sizeof path, "/proc/%d/task/%d/stat", (int) pid, (int) tid);
    return read_stat (path, &stat) && !is_dead (&stat);
}

typedef struct {
    int epoll_fd;
    int fd;
    pid_t pid;
    pid_t tid;
} Watch;

struct _CorralVmEnds {
    CorralVmEndFunc func;
    gpointer data;
    int epoll_fd;
    GSource *source;
    GHashTable *watches; /* id -> Watch. By id: a descriptor's number is soon another's */
    guint last_id;
};

/* To close the descriptor is not enough: while a process that was forked in between has a copy of
 * it, it would go on being ready. */
static void
watch_free (gpointer data)
{
    Watch *watch = data;

    epoll_ctl (watch->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    close (watch->fd);
    g_free (watch);
}

static gboolean
on_ends (int fd, GIOCondition condition, gpointer data)
{
    CorralVmEnds *ends = data;
    struct epoll_event events[64];
    int n_events;

    n_events = epoll_wait (fd, events, G_N_ELEMENTS (events), 0);
    for (int i = 0; i < n_events; i++) {
        Watch *watch = g_hash_table_lookup (ends->watches, GUINT_TO_POINTER (events[i].data.u32));
        pid_t pid, tid;

        if (watch == NULL)
            continue; /* taken away by a call for an earlier one */
        pid = watch->pid;
        tid = watch->tid;
        g_hash_table_remove (ends->watches, GUINT_TO_POINTER (events[i].data.u32));
        ends->func (pid, tid, ends->data);
    }
    return G_SOURCE_CONTINUE;
}

CorralVmEnds *
corral_vm_ends_new (CorralVmEndFunc func, gpointer data)
{
    CorralVmEnds *ends = g_new0 (CorralVmEnds, 1);

    ends->func = func;
    ends->data = data;
    ends->watches = g_hash_table_new_full (NULL, NULL, NULL, watch_free);
    ends->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
    if (ends->epoll_fd >= 0) {
        ends->source = g_unix_fd_source_new (ends->epoll_fd, G_IO_IN);
        g_source_set_callback (ends->source, G_SOURCE_FUNC (on_ends), ends, NULL);
        g_source_attach (ends->source, g_main_context_get_thread_default ());
    }
    return ends;
}

void
corral_vm_ends_free (CorralVmEnds *ends)
{
    if (ends == NULL)
        return;
    if (ends->source != NULL) {
        g_source_destroy (ends->source);
        g_source_unref (ends->source);
    }
    g_hash_table_unref (ends->watches);
    if (ends->epoll_fd >= 0)
        close (ends->epoll_fd);
    g_free (ends);
}

guint
corral_vm_ends_watch (CorralVmEnds *ends, pid_t pid, pid_t tid)
{
    struct epoll_event event = { .events = EPOLLIN };
    Watch *watch;
    int fd;

    if (ends->epoll_fd < 0)
        return 0;
    fd = (int) syscall (SYS_pidfd_open, tid != 0 ? tid : pid, tid != 0 ? PIDFD_THREAD : 0);
    if (fd < 0)
        return 0;
    watch = g_new0 (Watch, 1);
    watch->epoll_fd = ends->epoll_fd;
    watch->fd = fd;
    watch->pid = pid;
    watch->tid = tid;
    do
        ends->last_id++;
    while (ends->last_id == 0 ||
           g_hash_table_contains (ends->watches, GUINT_TO_POINTER (ends->last_id)));
    event.data.u32 = ends->last_id;
    if (epoll_ctl (ends->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        watch_free (watch);
        return 0;
    }
    g_hash_table_insert (ends->watches, GUINT_TO_POINTER (ends->last_id), watch);
    return ends->last_id;
}

void
corral_vm_ends_unwatch (CorralVmEnds *ends, guint id)
{
    g_hash_table_remove (ends->watches, GUINT_TO_POINTER (id));
}
