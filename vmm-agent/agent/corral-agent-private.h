/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the agent's own files share: its tables of containers, VMs and vCPU threads. */
#pragma once

#include "vmm-agent/agent/corral-agent.h"
#include "vmm-agent/agent/corral-store.h"
#include "vmm-agent/agent/corral-usage-file.h"

#include <sys/stat.h>

/* A container is made directory by directory: how often we look again before we complete it */
#define CORRAL_AGENT_RECHECKS 10

typedef struct CorralAgentEntry CorralAgentEntry;
typedef struct _CorralAgentPlanner CorralAgentPlanner;

/* The kernel's values of a container that a plan wants. */
typedef struct {
    CorralCpuset *cpus; /* what it holds, and what its VMs' helpers run on */
    CorralCpuset *mems;
    gint64 quota_usec; /* in CORRAL_AGENT_PERIOD_USEC; -1: no cap; CORRAL_AGENT_QUOTA_KEEP */
    CorralPlacementExclusive exclusive;
    gboolean invalid; /* it is that by name only, says the kernel */
} CorralAgentValues;
#define CORRAL_AGENT_PERIOD_USEC 100000
#define CORRAL_AGENT_QUOTA_KEEP (-2)
void corral_agent_values_clear (CorralAgentValues *values);

/* Answers are given again for this long, unless members come, go or move. Many clients that read in
 * a loop then cost what one does; it is half a tick of the clock that libvirt's own vCPU times step
 * by. */
#define CORRAL_AGENT_FRESH_USEC 5000

/* A container. @shown comes first: the rest of the world has pointers to it. */
struct CorralAgentEntry {
    CorralContainer shown;
    /* The live definition as its file has it. Its members are wishes, patterns among them; those of
     * shown.live are the VMs that are there. */
    CorralDefinition *stored;
    CorralAgentEntry *parent; /* (nullable): the nearest active container above; while active */
    CorralUsageSlot slot;
    guint64 told_generation; /* usage and vCPUs as they were told last, and when */
    gint64 usage_time;
    CorralAgentUsage usage;
    gint64 vcpus_time;
    GArray *vcpus;            /* (nullable) */
    CorralUsageAccount spare; /* used when @slot could not be had */
    CorralUsageSlot kernel_slot;
    CorralUsageKernel kernel_spare; /* used while there is no @kernel_slot */
    gboolean by_kernel;             /* kvm.stat counts the threads that KVM runs */
    gboolean kernel_refused;        /* it cannot be had for this container; told once */
    char *watched;                  /* (nullable): the path that is watched */
    guint recheck;             /* source of a second look at a container that is half made, or 0 */
    guint rechecks_left;       /* looks to come before we see to it */
    gint64 drift_time;         /* when it was last looked at for drift */
    CorralAgentValues applied; /* of the last plan; cpus NULL: none yet */
};

/* What /proc/PID/task/TID/stat, schedstat and sched say of a thread now */
typedef struct {
    CorralUsageCounters counters;
    guint64 wait_sum_ns; /* what sched says, where the kernel counts it; else counters.wait_ns */
    guint64 start_time;
    gboolean running;
    int last_cpu;
} CorralAgentThreadState;

/* A vCPU thread */
typedef struct {
    int vcpu;
    pid_t tid;
    char *path;              /* (nullable): the container the kernel has it in */
    CorralAgentEntry *inner; /* (nullable): the innermost active container above @path */
    gboolean kvm;            /* KVM runs it, so that kvm.stat has its time, where that is */
    gboolean apart;          /* in another container than the rest of its VM */
    CorralCpuset *applied;   /* (nullable): where the last plan pinned it */
    gboolean stray;          /* which is no place of its own: its VM does not fit */
    int stat_fd;             /* /proc/PID/task/TID/stat and schedstat, or -1 when it is gone */
    int schedstat_fd;
    int sched_fd;            /* or -1 where the kernel keeps no sum of waits */
    char seen_schedstat[96]; /* its text, and the state read then; "": nothing read yet */
    CorralAgentThreadState seen;
    CorralUsageSlot slot;
    CorralUsageThread spare;
} CorralAgentThread;

/* A running VM */
typedef struct {
    char *name;
    pid_t pid;
    guint64 start_time;      /* of its main thread, once it was asked for; else 0 */
    char *path;              /* (nullable): the container the kernel has its main thread in */
    char *group;             /* (nullable): its group's directory */
    CorralAgentEntry *inner; /* (nullable): the innermost active container above @path */
    GPtrArray *threads;      /* of CorralAgentThread, by vCPU number */
    nlink_t n_tasks;         /* links of /proc/PID/task, one for each thread, when last looked at */
    char *watched_group;     /* (nullable): its home group, once it is known */
    CorralCpuset *helpers;   /* (nullable): where the last plan pinned its other threads */
    gint64 helpers_quota_usec; /* and their cap; -1: none */
} CorralAgentVm;

struct _CorralAgent {
    GObject parent_instance;

    CorralContainerCore *core;
    CorralVmInventory *inventory;
    CorralStore *configs;
    CorralStore *lives;
    char *state_dir;
    CorralUsageFile *usage;
    GHashTable *entries; /* name -> CorralAgentEntry */
    GHashTable *vms;     /* name -> CorralAgentVm */
    int proc_fd;
    guint64 generation; /* grows when members come, go or move */
    gboolean starting;  /* what is found now was there before: no event */
    guint look;         /* source of a look at all VMs, or 0 */
    CorralAgentPlanner *planner;
};

/* --- corral-agent.c --- */

/* CORRAL_ERROR_NOT_FOUND */
CorralAgentEntry *corral_agent_find (CorralAgent *agent, const char *name, GError **error);
CorralAgentEntry *corral_agent_add_entry (CorralAgent *agent, const char *name);
/* Forgets an entry that has neither definition left. */
void corral_agent_drop_entry (CorralAgent *agent, CorralAgentEntry *entry);
/* (transfer container): the values of @table, in no order */
GPtrArray *corral_agent_values (GHashTable *table);
/* (transfer container): of CorralAgentEntry, sorted by name */
GPtrArray *corral_agent_entries (CorralAgent *agent);
/* (transfer container): the inactive defined containers above @path, outermost first */
GPtrArray *corral_agent_inactive_above (CorralAgent *agent, const char *path);
gboolean corral_agent_entry_is_active (const CorralAgentEntry *entry);
const char *corral_agent_entry_path (const CorralAgentEntry *entry);

/* Whether @path is @ancestor or beneath it */
gboolean corral_agent_path_is_within (const char *path, const char *ancestor);
/* (nullable): the innermost active container at or above @path */
CorralAgentEntry *corral_agent_inner (CorralAgent *agent, const char *path);

void corral_agent_emit (CorralAgent *agent, const CorralEvent *event);
/* An event of @entry that needs no more than @detail */
void corral_agent_emit_simple (CorralAgent *agent, CorralAgentEntry *entry, CorralEventType type,
                               const char *detail);
/* Takes @problem and adds "cannot X: " in front when @what is not NULL. */
void corral_agent_problem (CorralAgent *agent, GError *problem, const char *what);

/* --- corral-agent-draft.c --- */

/* A change of definitions that is not in force yet: edit the copies, save the files, tell the
 * kernel, and then commit, or undo the files. A draft that is freed without commit changes nothing
 * in memory. */
typedef struct {
    CorralAgentEntry *entry;
    CorralDefinition *live;   /* (nullable): copy of entry->stored */
    CorralDefinition *config; /* (nullable): copy of entry->shown.config */
    gboolean live_saved;
    gboolean config_saved;
} CorralAgentDraft;

/* Resolves @affect, and copies what it names. */
gboolean corral_agent_draft_begin (CorralAgentEntry *entry, guint affect,
                                   CorralAgentDraft *ret_draft, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
gboolean corral_agent_draft_save (CorralAgent *agent, CorralAgentDraft *draft, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
void corral_agent_draft_undo (CorralAgent *agent, CorralAgentDraft *draft);
void corral_agent_draft_commit (CorralAgent *agent, CorralAgentDraft *draft);
/* @before was begun before a change that was committed, and that the kernel has refused since: it
 * takes its place again. */
void corral_agent_draft_revert (CorralAgent *agent, CorralAgentDraft *before);
void corral_agent_draft_clear (CorralAgentDraft *draft);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CorralAgentDraft, corral_agent_draft_clear)

/* --- corral-agent-life.c --- */

/* Gives an entry without UUID one; a file's is made from its name, so that it stays the same. */
void corral_agent_uuid_from_name (const char *name, guint8 *uuid);
/* CORRAL_ERROR_EXISTS when another entry has @definition's UUID or path. @self: (nullable) */
gboolean corral_agent_check_unique (CorralAgent *agent, const CorralDefinition *definition,
                                    const CorralAgentEntry *self, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* Whether @definition may take the place of @entry's, which is NULL for a new one. */
gboolean corral_agent_check_replaces (CorralAgent *agent, const CorralAgentEntry *entry,
                                      const CorralDefinition *definition, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* Takes over a container that the kernel has, with the values of @wanted: they are written where
 * the kernel's differ; where it refuses, its own stay. */
gboolean corral_agent_adopt (CorralAgent *agent, CorralAgentEntry *entry,
                             const CorralDefinition *wanted, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* The same for one with a live copy already: nothing is written. @live: (transfer full) */
gboolean corral_agent_enter (CorralAgent *agent, CorralAgentEntry *entry, CorralDefinition *live,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The kernel has it no more. The entry is gone afterwards if it was transient. */
void corral_agent_deactivate (CorralAgent *agent, CorralAgentEntry *entry);
/* Brings an entry in line with the kernel: hooked up to the core's watch. */
void corral_agent_check (CorralAgent *agent, CorralAgentEntry *entry);
/* What a container wishes of the planner is in force as soon as it is defined: there is no other
 * call for it, and nothing of it needs a start. @entry is active, and its persistent definition is
 * the new one. */
gboolean corral_agent_take_wishes (CorralAgent *agent, CorralAgentEntry *entry, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
void corral_agent_watch_entry (CorralAgent *agent, CorralAgentEntry *entry);
/* --- corral-agent-tune.c --- */

#define CORRAL_AGENT_TUNE_DEFAULT                                                                  \
    {                                                                                              \
        1024, 100000, CORRAL_QUOTA_NONE, 0                                                         \
    }
/* Every field that is not -1 in @over replaces @tune's. */
void corral_agent_tune_merge (CorralCpuTune *tune, const CorralCpuTune *over);
/* Every field is set. */
gboolean corral_agent_read_kernel_tune (CorralAgent *agent, const char *path,
                                        CorralCpuTune *ret_tune, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* Fields that are -1 stay; undone on failure. */
gboolean corral_agent_write_kernel_tune (CorralAgent *agent, const char *path,
                                         const CorralCpuTune *tune, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* --- corral-agent-start.c --- */

gboolean corral_agent_read_definitions (CorralAgent *agent, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
void corral_agent_autostart (CorralAgent *agent);

/* --- corral-agent-members.c --- */

void corral_agent_connect_inventory (CorralAgent *agent);
/* @entry has become active: the running VMs that its members name, and nobody else's better, come
 * in. */
void corral_agent_take_claimed (CorralAgent *agent, CorralAgentEntry *entry);
/* The signal "changed" of the core, for a path that is no container of ours */
void corral_agent_group_changed (CorralAgent *agent, const char *group);
/* Groups in a container came or went: looks, soon, which VMs somebody else has moved. */
void corral_agent_look_soon (CorralAgent *agent);
void corral_agent_vm_free (CorralAgentVm *vm);
/* The set of active containers changed: every VM and thread finds its innermost one anew. */
void corral_agent_relink (CorralAgent *agent);
/* Lists who is there, in each shown.live->members. */
void corral_agent_show_members (CorralAgent *agent);
/* QEMU tells nobody over QMP when a vCPU is plugged, and the thread appears in the VM's own group,
 * so no directory comes. Nothing is polled: whoever asks for a container's vCPUs makes us look
 * whether the number of threads has changed; if so, QEMU is asked, and its answer is there for the
 * next one. */
void corral_agent_notice_threads (CorralAgent *agent, CorralAgentEntry *entry);
/* (transfer container): of CorralAgentVm, those in @entry or beneath it, sorted by name */
GPtrArray *corral_agent_vms_within (CorralAgent *agent, CorralAgentEntry *entry);

/* (nullable): CORRAL_ERROR_NOT_FOUND */
const CorralVm *corral_agent_find_vm (CorralAgent *agent, const char *name, CorralAgentVm **ret_vm,
                                      GError **error);
CorralAgentThread *corral_agent_find_vcpu (CorralAgentVm *vm, int vcpu, GError **error);
/* Moves in the kernel, and takes note of it: a whole VM to a container or to its home group, one
 * vCPU to a container or back to the rest of its VM. */
gboolean corral_agent_move_vm (CorralAgent *agent, CorralAgentVm *vm, const CorralVm *known,
                               const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean corral_agent_restore_vm (CorralAgent *agent, CorralAgentVm *vm, const CorralVm *known,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean corral_agent_move_vcpu (CorralAgent *agent, CorralAgentVm *vm, CorralAgentThread *thread,
                                 const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean corral_agent_rejoin_vcpu (CorralAgent *agent, CorralAgentVm *vm, const CorralVm *known,
                                   CorralAgentThread *thread, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* --- corral-agent-apply.c --- */

/* @vm is not in @before, which may be %NULL, any more. If that is planned, the pins that it had
 * there are for the next plan to take away, also if no plan of ours made them: corrald has just
 * started. */
void corral_agent_note_left (CorralAgent *agent, CorralAgentVm *vm, const CorralAgentEntry *before);

/* --- corral-agent-usage.c --- */

/* @entry has become active. @known: it is on record, from before a restart of ours */
void corral_agent_usage_enter (CorralAgent *agent, CorralAgentEntry *entry, gboolean known);
void corral_agent_usage_leave (CorralAgent *agent, CorralAgentEntry *entry);
/* Brings the sums of @inner (nullable) and all above it up to what the kernel's kvm.stat says, and
 * has the kernel count them if it can and does not. */
void corral_agent_usage_look (CorralAgent *agent, CorralAgentEntry *inner);
/* Whether KVM runs the vCPUs of the process, as far as the kernel tells. */
gboolean corral_agent_usage_is_kvm (CorralAgent *agent, pid_t pid);

/* --- corral-agent-threads.c --- */

/* CORRAL_ERROR_NOT_FOUND, CORRAL_ERROR_STATE */
CorralAgentEntry *corral_agent_find_active (CorralAgent *agent, const char *name, GError **error);
/* Whether what was told at @time, one of @entry's, is good enough to be told again. */
gboolean corral_agent_is_fresh (CorralAgent *agent, CorralAgentEntry *entry, const gint64 *time);
/* Looks at each vCPU of @entry; entry->vcpus has what was seen, without affinities. */
void corral_agent_read_vcpus (CorralAgent *agent, CorralAgentEntry *entry);

/* @born_here: all its time was spent in its container; else counting starts now. A thread that is
 * on record from before our restart goes on where it was. */
CorralAgentThread *corral_agent_thread_new (CorralAgent *agent, pid_t pid,
                                            const CorralThread *known, gboolean born_here);
/* In ticks since boot, proc(5); 0 when it has ended */
guint64 corral_agent_thread_start_time (CorralAgent *agent, pid_t pid, pid_t tid);
gboolean corral_agent_thread_is_on_record (CorralAgent *agent, pid_t pid, pid_t tid);
void corral_agent_thread_free (CorralAgentThread *thread);
/* Forgets the thread's record; it has ended. */
void corral_agent_thread_forget (CorralAgent *agent, CorralAgentThread *thread);
/* Adds what it used since the last look to the containers it is beneath. */
void corral_agent_thread_sample (CorralAgent *agent, CorralAgentThread *thread);
/* Samples, so that its time counts where it was spent, and moves it. */
void corral_agent_thread_move (CorralAgent *agent, CorralAgentThread *thread,
                               CorralAgentEntry *inner);
CorralUsageAccount *corral_agent_account (CorralAgent *agent, CorralAgentEntry *entry);
/* On-CPU time of all threads that a process has now, each since its birth. */
guint64 corral_agent_process_run_ns (CorralAgent *agent, pid_t pid);
/* Time that was spent in @inner, and that its counter in the kernel has missed. */
void corral_agent_account_early (CorralAgent *agent, CorralAgentEntry *inner, guint64 early_ns);
