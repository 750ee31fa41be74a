/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The container API: one interface to the host kernel's container core (cgroup), on v2, v1 and
 * hybrid hosts. It reads no XML and knows no libvirt; every file is reached below a root
 * descriptor.
 *
 * A container has a path such as "/machine/prod/db". On disk each component but a leading
 * "machine", "system" or "user" carries the suffix ".partition", which is libvirt's rule, so that a
 * domain's <partition> and a container are the same directory, in every hierarchy that is mounted.
 *
 * Below a container there are child containers and groups. A group is a directory that holds one
 * VM: libvirt's ("qemu-1-web1.libvirt-qemu", with emulator, vcpuN and iothreadN beneath it), or one
 * of ours with the same layout, for a VM that was attached. Groups are not containers and not
 * listed.
 *
 * "Verified, not requested": after each write the effective value is read back and compared as a
 * set. A multi-step change that fails half way undoes what it did, and says so in its error.
 */
#pragma once

#include "common/corral-cpuset.h"

#include <glib-object.h>
#include <sys/types.h>

#define CORRAL_TYPE_CONTAINER_CORE (corral_container_core_get_type ())
G_DECLARE_FINAL_TYPE (CorralContainerCore, corral_container_core, CORRAL, CONTAINER_CORE, GObject)

/**
 * corral_container_core_open:
 * @root_fd: the directory that stands for "/", or -1 for the real one. Below it the core reads
 *   proc/self/mountinfo to find the cgroup mounts, the mounts themselves, and proc/PID/...; a test
 *   points it at a folder.
 *
 * Chooses a backend by looking at the host, never by a build option. The descriptor is duplicated.
 *
 * Returns: (transfer full): %NULL with %CORRAL_ERROR_UNSUPPORTED when no usable hierarchy is
 * mounted
 */
CorralContainerCore *corral_container_core_open (int root_fd, GError **error);

/* "v2", "v1", "hybrid" (v1 controllers with an empty v2 tree beside them); for messages and
 * `source` */
const char *corral_container_core_backend (CorralContainerCore *core);

/* What this host can do; each bit was found by looking, not by version. */
typedef enum {
    CORRAL_FEATURE_CPUSET = 1 << 0,
    CORRAL_FEATURE_WEIGHT = 1 << 1,
    CORRAL_FEATURE_CAP = 1 << 2,
    CORRAL_FEATURE_BURST = 1 << 3,
    CORRAL_FEATURE_USAGE_PERCPU = 1 << 4,    /* only v1's cpuacct has it */
    CORRAL_FEATURE_THREAD_ANYWHERE = 1 << 5, /* a vCPU may sit in an unrelated container: v1 */
    CORRAL_FEATURE_KVM = 1 << 6,             /* the kernel's kvm subsystem is there, now */
    CORRAL_FEATURE_PARTITION = 1 << 7,       /* a container may be a cpuset partition: v2 */
} CorralFeature;
guint corral_container_core_features (CorralContainerCore *core);

/* pCPUs and NUMA nodes that a top-level container can have now. Owned by the caller. */
gboolean corral_container_core_host_cpus (CorralContainerCore *core, CorralCpuset **ret_cpus,
                                          CorralCpuset **ret_mems, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

typedef enum {
    CORRAL_CONTAINER_ABSENT,  /* in no hierarchy */
    CORRAL_CONTAINER_PARTIAL, /* in some, or without its cpuset: a start in it would fail */
    CORRAL_CONTAINER_WHOLE,
} CorralContainerState;

/* --- several changes as one --- */

/* From here on, cpusets, weights, caps, pins and partitions that are set can be taken back, all of
 * them, to what each file and each affinity was; in the order in which they came, from the last.
 * Containers that are made or moved VMs are none of this. */
void corral_container_begin (CorralContainerCore *core);
void corral_container_commit (CorralContainerCore *core);
/* Adds what could not be taken back to @error, which is set. Returns: %FALSE */
gboolean corral_container_rollback (CorralContainerCore *core, GError **error);

/* --- life --- */

/**
 * corral_container_create:
 * @cpus: (nullable): NULL takes the parent's
 * @mems: (nullable): NULL takes the parent's
 *
 * Makes @path, and those of its parents that are missing, in every hierarchy, with controllers
 * enabled and cpusets filled in, so that libvirt can start a domain in it. Makes a partial
 * container whole. A whole one is %CORRAL_ERROR_EXISTS. All or nothing: what this call made is
 * removed when it fails.
 */
gboolean corral_container_create (CorralContainerCore *core, const char *path,
                                  const CorralCpuset *cpus, const CorralCpuset *mems,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * corral_container_destroy:
 *
 * Removes @path from every hierarchy; empty groups of ours in it go too. %CORRAL_ERROR_BUSY names
 * what is still inside (members or child containers), and then nothing was removed.
 */
gboolean corral_container_destroy (CorralContainerCore *core, const char *path, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* Removes the empty groups of ours in @path, whose VMs have ended. A watched container does this by
 * itself whenever its groups change. */
gboolean corral_container_prune (CorralContainerCore *core, const char *path, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

CorralContainerState corral_container_get_state (CorralContainerCore *core, const char *path);

/* A number that stays the same while the container exists, survives our restart, and differs from
 * that of every other container alive: the kernel's own id of the directory, folded to 31 bits. */
gboolean corral_container_get_id (CorralContainerCore *core, const char *path, int *ret_id,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * corral_container_list:
 * @path: (nullable): NULL lists the top level
 * @ret_children: (out) (transfer full): full paths of the direct child containers, sorted
 */
gboolean corral_container_list (CorralContainerCore *core, const char *path, GStrv *ret_children,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* --- settings --- */

/* Sets both, with every descendant kept valid in between; NULL leaves that one as it is.
 * Threads below are checked: none may keep an affinity outside its new cpuset. */
gboolean corral_container_set_cpuset (CorralContainerCore *core, const char *path,
                                      const CorralCpuset *cpus, const CorralCpuset *mems,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The effective ones, as the kernel grants them. */
gboolean corral_container_get_cpuset (CorralContainerCore *core, const char *path,
                                      CorralCpuset **ret_cpus, CorralCpuset **ret_mems,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What a container is to the kernel's cpuset controller; cgroup v2 only. */
typedef enum {
    CORRAL_PARTITION_MEMBER,   /* its pCPUs may be others' as well */
    CORRAL_PARTITION_ROOT,     /* nobody outside it runs on them */
    CORRAL_PARTITION_ISOLATED, /* nor is load balanced over them */
} CorralContainerPartition;

/**
 * corral_container_set_partition:
 *
 * The container's present pCPUs. To give it others, make it a member first. Above it, the kernel's
 * cpuset.cpus.exclusive is kept in order where there is one. That the write succeeds does not mean
 * that the partition is valid: read it back. %CORRAL_ERROR_UNSUPPORTED on cgroup v1.
 */
gboolean corral_container_set_partition (CorralContainerCore *core, const char *path,
                                         CorralContainerPartition partition, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* @ret_fault: (out) (optional) (nullable) (transfer full): why it is one by name only, in the
 * kernel's words; %NULL: it is valid. On cgroup v1 each is a member. */
gboolean corral_container_get_partition (CorralContainerCore *core, const char *path,
                                         CorralContainerPartition *ret_partition, char **ret_fault,
                                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* @shares on cpu.shares' scale, 2 to 262144. On v2 cpu.weight is set, so that 1024 shares are its
 * default of 100, too; what is read back is what @shares becomes there, in steps of some ten. */
gboolean corral_container_set_weight (CorralContainerCore *core, const char *path, guint64 shares,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean corral_container_get_weight (CorralContainerCore *core, const char *path,
                                      guint64 *ret_shares, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

typedef struct {
    gint64 quota_usec; /* -1: no cap */
    gint64 period_usec;
    gint64 burst_usec; /* 0 where CORRAL_FEATURE_BURST is missing */
} CorralContainerCap;
gboolean corral_container_set_cap (CorralContainerCore *core, const char *path,
                                   const CorralContainerCap *cap, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
gboolean corral_container_get_cap (CorralContainerCore *core, const char *path,
                                   CorralContainerCap *ret_cap, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* --- members --- */

/* Moves all threads of @pid into a group of their own below @path; the group is made, and named, by
 * the core. For a VM whose threads need no telling apart; see corral_container_attach() otherwise.
 */
gboolean corral_container_add_process (CorralContainerCore *core, const char *path, pid_t pid,
                                       GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Moves one thread. On v2 @path must be a container beneath the group of its process, such as
 * "/prod/qemu-1-web1.libvirt-qemu/fast", else %CORRAL_ERROR_UNSUPPORTED explains the
 * threaded-subtree rule; elsewhere it may be any. A tid of 0 is refused: the kernel would move the
 * writer. corral_container_attach() brings it back to the rest of its VM. */
gboolean corral_container_add_thread (CorralContainerCore *core, const char *path, pid_t pid,
                                      pid_t tid, GError **error) G_GNUC_WARN_UNUSED_RESULT;

typedef enum {
    CORRAL_THREAD_EMULATOR, /* QEMU's main thread, its helpers, and whatever is none of the others
                             */
    CORRAL_THREAD_VCPU,
    CORRAL_THREAD_IOTHREAD,
} CorralThreadRole;

typedef struct {
    pid_t tid;
    CorralThreadRole role;
    int index; /* vCPU or I/O thread number; 0 for the emulator */
} CorralThread;

typedef struct {
    const char *name;            /* the VM's, for the group's name and for messages; any text */
    pid_t pid;                   /* its process */
    const CorralThread *threads; /* those whose role is known; all others count as emulator */
    gsize n_threads;
} CorralContainerVm;

/**
 * corral_container_attach:
 *
 * Moves a whole running VM into @path, all threads or none, into a group with emulator, vcpuN and
 * iothreadN beneath it. Affinities of vCPUs that still fit into the new cpuset are kept. Every
 * thread's container and affinity is read back. A VM that is in @path already is a success, and
 * threads of it that are not (a vCPU just plugged into the group it came from) are brought in; if
 * it is in libvirt's group there, it stays in that, and is brought into the hierarchies that
 * libvirt left out.
 *
 * On a hybrid host the v2 tree is no concern of this: it neither schedules nor pins there, and
 * libvirt filters the VM's devices in it. On v2 the VM leaves libvirt's group, and the filter is
 * put on the new one, too, which takes CAP_SYS_ADMIN and CAP_NET_ADMIN; without them it is not
 * moved.
 */
gboolean corral_container_attach (CorralContainerCore *core, const char *path,
                                  const CorralContainerVm *vm, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/**
 * corral_container_restore:
 *
 * Moves a VM back into the libvirt group at @group (as corral_container_of_process() gave it),
 * each thread into the emulator, vcpuN or iothreadN there, and removes the group of ours it leaves.
 * All or none, as above.
 */
gboolean corral_container_restore (CorralContainerCore *core, const char *group,
                                   const CorralContainerVm *vm, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/**
 * corral_container_of_process:
 * @ret_path: (out) (transfer full) (nullable): the innermost container @pid is in; NULL: in none
 * @ret_group: (out) (transfer full) (nullable) (optional): its group's directory, relative to the
 *   hierarchy's root ("machine/prod.partition/qemu-1-web1.libvirt-qemu"); NULL: it is in no group
 * @ret_everywhere: (out) (optional): whether all hierarchies agree; if not, @ret_path is cpuset's
 *
 * By the kernel's /proc/PID/cgroup, so it holds after a restart of ours.
 */
gboolean corral_container_of_process (CorralContainerCore *core, pid_t pid, char **ret_path,
                                      char **ret_group, gboolean *ret_everywhere, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/**
 * corral_container_counts:
 *
 * Whether corral_container_get_usage() of @path counts what @pid uses now. On a hybrid host it does
 * not for a VM that libvirt has just started, until corral_container_attach() brings it in.
 *
 * Returns: %TRUE, too, when @pid has ended
 */
gboolean corral_container_counts (CorralContainerCore *core, const char *path, pid_t pid);
gboolean corral_container_of_thread (CorralContainerCore *core, pid_t pid, pid_t tid,
                                     char **ret_path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * corral_container_is_torn:
 * @ret_other: (out) (transfer full) (nullable): a container in which some hierarchy has a thread of
 *   the VM, and cpuset's has not
 *
 * Whether a move of @vm stopped half way: a thread has another directory in one hierarchy than in
 * another, or that of another thread. Only a kill can leave it so. A hierarchy that libvirt leaves
 * out on a hybrid host is no such thing, nor is a vCPU with a container of its own.
 */
gboolean corral_container_is_torn (CorralContainerCore *core, const CorralContainerVm *vm,
                                   char **ret_other);

/* Threads of the libvirt or Corral group directory @group, told apart by its vcpuN, iothreadN and
 * emulator directories. @ret_threads is of CorralThread; an absent group gives an empty array. */
gboolean corral_container_group_threads (CorralContainerCore *core, const char *group,
                                         GArray **ret_threads, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* VMs directly in @path: its groups that threads are in. */
guint corral_container_count_vms (CorralContainerCore *core, const char *path);

/* Whether the group directory @group exists, with or without threads in it. */
gboolean corral_container_group_exists (CorralContainerCore *core, const char *group);

/**
 * corral_container_pin_thread:
 *
 * Pins one vCPU or other thread: its own vcpuN (or iothreadN) directory's cpuset, where the thread
 * has such a directory, and its affinity; both read back. %CORRAL_ERROR_INVALID names the
 * container's cpuset when @cpus does not lie within it.
 */
gboolean corral_container_pin_thread (CorralContainerCore *core, pid_t pid, pid_t tid,
                                      const CorralCpuset *cpus, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* Takes what corral_container_pin_thread() did back: the thread may run on all that its VM's group
 * has, now and when that changes. */
gboolean corral_container_unpin_thread (CorralContainerCore *core, pid_t pid, pid_t tid,
                                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Where the thread may run now. %CORRAL_ERROR_NOT_FOUND: it has ended. @ret_cpus: (out) (transfer
 * full) */
gboolean corral_container_get_affinity (CorralContainerCore *core, pid_t tid,
                                        CorralCpuset **ret_cpus, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/**
 * corral_container_pin_helpers:
 * @cpus: within the container's cpuset
 *
 * Pins all threads of @vm that are no vCPUs: its emulator's and its I/O threads' directories, where
 * it has them, so that threads to come are pinned as well, and each thread's affinity; read back.
 */
gboolean corral_container_pin_helpers (CorralContainerCore *core, const CorralContainerVm *vm,
                                       const CorralCpuset *cpus, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
gboolean corral_container_unpin_helpers (CorralContainerCore *core, const CorralContainerVm *vm,
                                         GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Looks for one of them whose affinity is not @cpus. @ret_found: (out) (transfer full) */
gboolean corral_container_helpers_stray (CorralContainerCore *core, const CorralContainerVm *vm,
                                         const CorralCpuset *cpus, pid_t *ret_tid,
                                         CorralCpuset **ret_found);

/**
 * corral_container_cap_helpers:
 * @quota_usec: in 100,000 us, for all of them together; -1: no cap
 *
 * A cap of their own, beneath the container's. The kernel caps directories, so it is divided evenly
 * among the emulator's and the I/O threads'. %CORRAL_ERROR_UNSUPPORTED when the VM has none.
 */
gboolean corral_container_cap_helpers (CorralContainerCore *core, const CorralContainerVm *vm,
                                       gint64 quota_usec, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/**
 * corral_container_lift_caps:
 * @cap: what the container, or one above it, is to have
 * @keep: (element-type char*): groups whose caps stay, as corral_container_of_process() names them
 *
 * cgroup v1 takes a cap only if none beneath is larger, also when nobody is there any more: the
 * directories of a VM that has ended, or was moved away, stand until their maker removes them.
 * Takes away such caps, of other groups in the container than @keep. On v2 nothing is in the way.
 */
gboolean corral_container_lift_caps (CorralContainerCore *core, const char *path,
                                     const CorralContainerCap *cap, GHashTable *keep,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* %FALSE: they have no directories, or cannot be capped */
gboolean corral_container_get_helpers_cap (CorralContainerCore *core, pid_t pid,
                                           gint64 *ret_quota_usec);

/* --- usage --- */

/* Of @path and everything beneath it, including members that left or ended: the kernel's own
 * counter, so it never goes back while the container lives. It is v1's cpuacct where that is
 * mounted, also on a hybrid host: only there can a single vCPU be elsewhere than its VM, and only
 * there is the sum by pCPU. libvirt does not put domains there on a hybrid host;
 * corral_container_attach() does, and their time counts from then on. */
typedef struct {
    guint64 total_ns;
    guint64 user_ns; /* guest time included, as in cpu.stat */
    guint64 system_ns;
    guint64 nr_periods; /* cap: periods seen, periods throttled, time throttled */
    guint64 nr_throttled;
    guint64 throttled_ns;
} CorralContainerUsage;
/* Descriptors are kept open between calls, so that a read costs one pread(). */
gboolean corral_container_get_usage (CorralContainerCore *core, const char *path,
                                     CorralContainerUsage *ret_usage, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* One guint64 of nanoseconds for each possible pCPU. %CORRAL_ERROR_UNSUPPORTED without
 * CORRAL_FEATURE_USAGE_PERCPU. */
gboolean corral_container_get_usage_percpu (CorralContainerCore *core, const char *path,
                                            GArray **ret_ns, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* --- the kvm subsystem, of a kernel with our series --- */

/* It comes and goes with KVM's modules, so each of these may find it, or not, at any time. */
gboolean corral_container_has_kvm (CorralContainerCore *core);

/* Has it count @path from now on, if it does not do so yet: a container that is made while it is
 * there is counted from its birth. %CORRAL_ERROR_UNSUPPORTED where it is not there. */
gboolean corral_container_enable_kvm (CorralContainerCore *core, const char *path, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* What KVM has measured of all threads that ran vCPUs in @path and everything beneath it, whose
 * VM may have left or ended: its kvm.stat. */
typedef struct {
    guint64 file;         /* another number than before: counting has begun anew, at 0 */
    guint64 guest_ns;     /* in guest mode */
    guint64 host_ns;      /* on a pCPU for the guest, in the kernel; not what QEMU does itself */
    guint64 run_delay_ns; /* runnable, waiting for a pCPU */
    guint64 halt_poll_ns; /* of host_ns: polling for a halted vCPU */
    guint64 halt_wait_ns; /* halted */
    guint64 exits;
} CorralContainerKvmUsage;
/* %CORRAL_ERROR_NOT_FOUND when it does not count @path. As corral_container_get_usage(), by a
 * descriptor that stays open. */
gboolean corral_container_get_kvm_usage (CorralContainerCore *core, const char *path,
                                         CorralContainerKvmUsage *ret_usage, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* A thread that KVM has seen run a vCPU. The id is QEMU's for KVM; on x86 it is the APIC's, which
 * need not be the vCPU's number. */
typedef struct {
    pid_t tid;
    int id;
} CorralKvmVcpu;
/**
 * corral_container_get_kvm_vcpus:
 * @ret_vcpus: (out) (transfer full): of CorralKvmVcpu, by id; those that have run
 * @ret_complete: (out): those are all, so that no other thread of the process is a vCPU's
 *
 * By kvm.vms, in our own PID namespace.
 *
 * Returns: %FALSE when KVM runs no VM of the process @pid, or the kernel cannot tell
 */
gboolean corral_container_get_kvm_vcpus (CorralContainerCore *core, pid_t pid, GArray **ret_vcpus,
                                         gboolean *ret_complete) G_GNUC_WARN_UNUSED_RESULT;

/* --- watch --- */

/* Signal "changed" (const char *path, const char *what): the container @path, or the groups in it,
 * changed from outside or by us; @what is "appeared", "vanished", "groups" (a group, or a vcpuN in
 * one, came or went) or "settings" (its cpuset, cap or partition was written). From inotify on the
 * thread-default main context; nothing is polled. */
gboolean corral_container_watch (CorralContainerCore *core, const char *path, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
void corral_container_unwatch (CorralContainerCore *core, const char *path);

/* Whose writes matter beside those to a container's own directory where cpuset is: each VM costs a
 * watch for each directory, so this is for containers that need it. */
typedef enum {
    CORRAL_WATCH_CAP = 1 << 0,         /* its cap, on cgroup v1: elsewhere it is always watched */
    CORRAL_WATCH_PINS = 1 << 1,        /* cpusets of its groups, and of what is in them */
    CORRAL_WATCH_HELPERS_CAP = 1 << 2, /* caps of emulators and I/O threads, on cgroup v1 */
} CorralWatchMore;

/**
 * corral_container_watch_more:
 * @more: of CorralWatchMore; what was asked for before and is not in it is watched no more
 *
 * Of a container that is watched. Signal "changed", with @what "settings": for a group, with the
 * path that it would have as a container's ("/machine/prod/qemu-1-web1.libvirt-qemu"); also for one
 * that has just come, whose settings were written before it was watched.
 *
 * At most half of the watches that the kernel lets a user have (fs.inotify.max_user_watches) are
 * taken. Where there is no room for all of it, @what is "unwatched", once: writes to some groups of
 * this container, and maybe of others, are not told, until VMs leave and all of it has room again.
 */
void corral_container_watch_more (CorralContainerCore *core, const char *path, guint more);
/* The same for a group directory anywhere (where libvirt put a VM that was moved away). The
 * signal's path is then @group. */
gboolean corral_container_watch_group (CorralContainerCore *core, const char *group, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
void corral_container_unwatch_group (CorralContainerCore *core, const char *group);
