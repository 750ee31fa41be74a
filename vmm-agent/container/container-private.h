/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the container core share: the object, its backends, and small helpers. */
#pragma once

#include "vmm-agent/container/cgroup-io.h"
#include "vmm-agent/container/cgroup-mounts.h"
#include "vmm-agent/container/container-path.h"
#include "vmm-agent/container/container-undo.h"
#include "vmm-agent/container/corral-container.h"

#include "common/corral-error.h"

typedef struct _CorralBackend CorralBackend;
typedef struct _CorralWatch CorralWatch;

struct _CorralContainerCore {
    GObject parent_instance;

    CorralIo io;
    GPtrArray *hierarchies; /* of CorralHierarchy */
    /* Into hierarchies; NULL where no mounted one has that controller. */
    CorralHierarchy *cpuset;
    CorralHierarchy *cpu;
    CorralHierarchy *acct;    /* where usage is read: v1's cpuacct, else the v2 tree */
    CorralHierarchy *unified; /* the v2 tree */
    CorralHierarchy *main;    /* decides where a VM is: cpuset's, else cpu's */
    const char *backend;
    guint features;
    GHashTable *usage_files; /* directory -> descriptors kept open */
    CorralWatch *watch;
    CorralUndo *journal; /* (nullable): between corral_container_begin() and its end */
};

/* What differs between the kernel's two interfaces. Every hierarchy is one or the other, so a
 * hybrid host uses both. Directories are relative to the hierarchy. */
struct _CorralBackend {
    const char *threads_file; /* takes and lists thread numbers */
    const char *usage_file;   /* of CorralHierarchy acct */
    const char *cpus_file, *mems_file, *effective_cpus_file, *effective_mems_file;

    /* Makes the directory @dir (new, or found) fit to hold VMs and containers or, beneath a VM's
     * group, single threads. */
    gboolean (*prepare) (CorralContainerCore *core, CorralHierarchy *h, const char *dir,
                         CorralUndo *undo, GError **error);
    /* Whether prepare() would have nothing to do. */
    gboolean (*is_prepared) (CorralContainerCore *core, CorralHierarchy *h, const char *dir);
    /* Writes the cpuset of @dir, and of what is beneath it where the kernel wants that. */
    gboolean (*write_cpuset) (CorralContainerCore *core, CorralHierarchy *h, const char *dir,
                              const CorralCpuset *cpus, const CorralCpuset *mems, CorralUndo *undo,
                              GError **error);
    gboolean (*write_weight) (CorralContainerCore *core, CorralHierarchy *h, const char *dir,
                              guint64 shares, CorralUndo *undo, GError **error);
    gboolean (*read_weight) (CorralContainerCore *core, CorralHierarchy *h, const char *dir,
                             guint64 *ret_shares, GError **error);
    gboolean (*write_cap) (CorralContainerCore *core, CorralHierarchy *h, const char *dir,
                           const CorralContainerCap *cap, CorralUndo *undo, GError **error);
    gboolean (*read_cap) (CorralContainerCore *core, CorralHierarchy *h, const char *dir,
                          CorralContainerCap *ret_cap, GError **error);
    /* Files whose values a removed directory must get back when its removal is undone. */
    const char *const *settings;
};

extern const CorralBackend corral_backend_v1;
extern const CorralBackend corral_backend_v2;

static inline const CorralBackend *
corral_backend_of (const CorralHierarchy *h)
{
    return h->version == 1 ? &corral_backend_v1 : &corral_backend_v2;
}

/* "dir/file", or "file" at the top. */
char *corral_dir_file (const char *dir, const char *file);

/* --- container-change.c --- */

/* A change is complete: its steps are kept for as long as a journal is. Returns: %TRUE */
gboolean corral_container_done (CorralContainerCore *core, CorralUndo *undo);

/* --- container-steps.c: single steps that can be undone --- */

/* Writes @text to @dir/@file; undoing writes what it held before. */
gboolean corral_step_write (CorralContainerCore *core, CorralHierarchy *h, const char *dir,
                            const char *file, const char *text, CorralUndo *undo, GError **error);
/* As above, and undoing writes @back. */
gboolean corral_step_write_back (CorralContainerCore *core, CorralHierarchy *h, const char *dir,
                                 const char *file, const char *text, const char *back,
                                 CorralUndo *undo, GError **error);
/* An existing directory is a success, and nothing to undo. */
gboolean corral_step_mkdir (CorralContainerCore *core, CorralHierarchy *h, const char *dir,
                            gboolean *ret_made, CorralUndo *undo, GError **error);
/* Undoing makes it again, with its settings. */
gboolean corral_step_rmdir (CorralContainerCore *core, CorralHierarchy *h, const char *dir,
                            CorralUndo *undo, GError **error);

/* --- container-life.c --- */

/* Whether @path, of directory @dir, must exist in @h for a container to be whole. */
gboolean corral_container_belongs (CorralContainerCore *core, const CorralHierarchy *h,
                                   const char *dir);
/* Whether VMs can join @path; the error says why not. */
gboolean corral_container_check_whole (CorralContainerCore *core, const char *path, const char *dir,
                                       GError **error);
/* Removes the empty group of ours @group wherever it is; leaves it if a thread is in it. */
void corral_container_drop_group (CorralContainerCore *core, const char *group);
/* Whether a thread is in @dir or beneath it. */
gboolean corral_dir_is_populated (CorralHierarchy *h, const char *dir);

/* --- container-cpuset.c --- */

int corral_cpuset_read_file (CorralHierarchy *h, const char *dir, const char *file,
                             CorralCpuset **ret_set);
/* As the kernel grants it: @mems chooses nodes instead of pCPUs. */
int corral_cpuset_effective (CorralHierarchy *h, const char *dir, gboolean mems,
                             CorralCpuset **ret_set);
gboolean corral_cpuset_apply (CorralContainerCore *core, const char *path, const char *dir,
                              const CorralCpuset *cpus, const CorralCpuset *mems, CorralUndo *undo,
                              GError **error);

/* --- container-threads.c (more in its header)
 * ----------------------------------------------------------------------- */

/* Thread numbers in @dir itself, appended to @tids (of pid_t). */
int corral_dir_threads (CorralHierarchy *h, const char *dir, GArray *tids);
/* The directory of a thread in @h, by the text of its /proc file; NULL: the hierarchy is not named.
 */
char *corral_proc_dir (const CorralHierarchy *h, const char *proc_text);
/* pid 0: of the thread alone. */
int corral_proc_cgroups (CorralContainerCore *core, pid_t pid, pid_t tid, char **ret_text);
int corral_proc_tasks (CorralContainerCore *core, pid_t pid, GArray **ret_tids);
/* Whether the thread has begun to exit, or is gone. */
gboolean corral_proc_is_ending (CorralContainerCore *core, pid_t pid, pid_t tid);

/* --- container-devices.c --- */

/* Puts the filters of devices that hold in @from, and would not in @to, on @to. */
gboolean corral_devices_carry (CorralContainerCore *core, CorralHierarchy *h, const char *from,
                               const char *to, GError **error);

/* --- container-kvm.c --- */

#define CORRAL_KVM_STAT "kvm.stat"
/* Turns it on for the container of @group: its module may have been loaded after the container was
 * made. Returns: whether it can be had, which few need */
gboolean corral_kvm_pass_on (CorralContainerCore *core, const char *group);
/* The VM of the process @pid, as kvm.attach wants it named, and the threads of its vCPUs: see
 * corral_kvm_vms_find(). 0, or an errno; ENOENT: there is none. */
int corral_kvm_find (CorralContainerCore *core, pid_t pid, guint *ret_fd, GArray *vcpus,
                     gboolean *ret_complete);

/* Moves the process @pid, all threads or none, to @dir by its kvm.attach. 0, or an errno; ENOENT:
 * KVM runs no VM of it, or @dir has no such file, and it has not been moved. */
int corral_kvm_attach (CorralContainerCore *core, CorralHierarchy *h, const char *dir, pid_t pid);

/* --- container-usage.c, container-watch.c --- */

void corral_usage_forget (CorralContainerCore *core, const char *dir);
void corral_watch_free (CorralWatch *watch);
void corral_container_emit_changed (CorralContainerCore *core, const char *path, const char *what);
