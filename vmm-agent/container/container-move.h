/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Moves the threads of one process between groups, or one of them, in all hierarchies or in none.
 */
#pragma once

#include "vmm-agent/container/container-threads.h"

/* Where each thread of @pid shall go. */
typedef struct {
    CorralContainerCore *core;
    const char *vm_name; /* for messages */
    pid_t pid;
    pid_t only;        /* move this thread alone; 0: all of them */
    const char *group; /* the directory that all of them end in or beneath */
    gboolean roles;    /* into emulator, vcpuN and iothreadN; else all into @group itself */
    const CorralThread *threads; /* whose role is known */
    gsize n_threads;
} CorralMove;

/**
 * corral_move_run:
 *
 * Makes the directories, moves, and reads every thread's place and affinity back, again and again
 * until no thread is new or astray. On failure the caller runs @undo: then all is as it was.
 */
gboolean corral_move_run (const CorralMove *move, CorralUndo *undo, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* corral_move_run(), undone if it fails; if not, groups of ours that were left empty are removed.
 */
gboolean corral_move_or_undo (const CorralMove *move, GError **error) G_GNUC_WARN_UNUSED_RESULT;
