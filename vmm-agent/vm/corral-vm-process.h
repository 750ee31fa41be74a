/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processes and threads as the kernel shows them: who they are, and when they end. */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* A process for good: the kernel may give the number to another, but not with this start time. */
typedef struct {
    pid_t pid;
    guint64 start_time; /* field 22 of /proc/PID/stat, in clock ticks after boot */
} CorralVmProcess;

/* %FALSE when there is no such process, it is on its way out, or only waits for its parent. */
gboolean corral_vm_process_read (pid_t pid, CorralVmProcess *ret_process);
gboolean corral_vm_process_is_alive (const CorralVmProcess *process);
/* Whether its last thread is gone. A process that is not alive may have threads for a while, in the
 * cgroups where they ran; and one that cannot be looked at (no descriptor is left) is not known to
 * have ended. */
gboolean corral_vm_process_has_ended (const CorralVmProcess *process);
/* Whether @tid is a live thread of @pid; never for 0. */
gboolean corral_vm_process_has_thread (pid_t pid, pid_t tid);

/* Tells when processes and threads end. Each costs a descriptor, and all of them together one
 * source of the main loop, however many they are. */
typedef struct _CorralVmEnds CorralVmEnds;
/* @tid is 0 for a whole process. The watch is gone when this is called. */
typedef void (*CorralVmEndFunc) (pid_t pid, pid_t tid, gpointer data);
CorralVmEnds *corral_vm_ends_new (CorralVmEndFunc func, gpointer data);
void corral_vm_ends_free (CorralVmEnds *ends);
/* @tid: 0 for the whole process. Returns 0 when it cannot be watched: it has ended, no descriptor
 * is left, or for a thread: the kernel is older than 6.9, which has no pidfds of threads. */
guint corral_vm_ends_watch (CorralVmEnds *ends, pid_t pid, pid_t tid);
void corral_vm_ends_unwatch (CorralVmEnds *ends, guint id);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralVmEnds, corral_vm_ends_free)
