/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All reads and writes of the container core: each below a directory descriptor that nothing in a
 * name can leave, bounded, and seen by a hook through which tests fail or emulate single steps. */
#pragma once

#include "common/corral-cpuset.h"

#include <glib.h>
#include <sys/types.h>

typedef enum {
    CORRAL_IO_WRITE,
    CORRAL_IO_MKDIR,
    CORRAL_IO_RMDIR,
    CORRAL_IO_AFFINITY, /* sched_setaffinity(); @text is the list, @path the thread's number */
} CorralIoOp;

typedef struct {
    CorralIoOp op;
    const char
        *mount; /* where the hierarchy is mounted ("/sys/fs/cgroup/cpu"); "" for an affinity */
    const char *path; /* below it */
    const char *text; /* what is written; NULL for directories */
} CorralIoCall;

/* Called before each change. 0: go on; an errno: fail with it; CORRAL_IO_DONE: the hook did it. */
#define CORRAL_IO_DONE (-1)
typedef int (*CorralIoHook) (const CorralIoCall *call, gpointer data);

typedef struct {
    int root_fd;
    gboolean is_host; /* the root is this process's own "/", so that pids mean what they say */
    CorralIoHook hook;
    gpointer hook_data;
} CorralIo;

/* One directory tree: the root itself, or a mounted hierarchy. */
typedef struct {
    int fd;
    char *mount;
} CorralIoTree;

/* A file of such a name is no file: it is a note of ours on its directory, an extended attribute,
 * which the kernel keeps for as long as the directory lives. It is read and written as a file; ""
 * where there is none, or no note can be kept. */
#define CORRAL_IO_NOTE "user.corral."

/* Each returns 0 or an errno. Paths are relative; "" is the tree's top. */
int corral_io_open (int dir_fd, const char *path, int flags, int *ret_fd);
/* A whole file, at most 1 MiB (EFBIG), without the last newline. */
int corral_io_read (int dir_fd, const char *path, char **ret_text);
gboolean corral_io_exists (int dir_fd, const char *path);
/* Names of the directories in @path, in no order. */
int corral_io_list (int dir_fd, const char *path, GPtrArray **ret_names);
int corral_io_write (const CorralIo *io, const CorralIoTree *tree, const char *path,
                     const char *text);
int corral_io_mkdir (const CorralIo *io, const CorralIoTree *tree, const char *path);
int corral_io_rmdir (const CorralIo *io, const CorralIoTree *tree, const char *path);
/* The affinity of thread @tid, by its /proc/TID/status. ESRCH when it has ended. */
int corral_io_get_affinity (const CorralIo *io, pid_t tid, CorralCpuset **ret_cpus);
/* @cpus NULL: no wish of its own, whatever its cpuset grants, now and when that changes. */
int corral_io_set_affinity (const CorralIo *io, pid_t tid, const CorralCpuset *cpus);

/* Sets @error to the code that fits @err, and "<what>: <reason>". Always returns %FALSE. */
gboolean corral_io_fail (GError **error, int err, const char *format, ...) G_GNUC_PRINTF (3, 4);
