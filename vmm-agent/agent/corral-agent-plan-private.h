/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the agent's files for planning share. */
#pragma once

#include "policy/corral-host.h"
#include "vmm-agent/agent/corral-agent-plan.h"
#include "vmm-agent/agent/corral-agent-private.h"

/* A VM that libvirt's hook has admitted, and that does not run yet. */
typedef struct {
    char *name;
    char *path;
    guint n_vcpus;
    guint wishes;
    CorralPlacement wish;
    gint64 since;  /* g_get_monotonic_time() */
    guint timeout; /* its source, or 0 */
    CorralAgent *agent;
} CorralAgentPending;

typedef struct _CorralAgentDrift CorralAgentDrift;
typedef struct _CorralAgentLook CorralAgentLook;

/* The part of the agent that plans; owned by it. */
struct _CorralAgentPlanner {
    CorralHost *host;
    char *host_file; /* (nullable) */
    CorralTopology *topology;
    gboolean fixed;      /* the topology was given, and is never loaded */
    char *online;        /* the text of /sys/devices/system/cpu/online that it was loaded with */
    int netlink_fd;      /* uevents, or -1 */
    guint netlink;       /* its source, or 0 */
    GHashTable *pending; /* name -> CorralAgentPending */
    guint pending_msec;  /* how long one is waited for */
    guint64 generation;  /* of what a plan is made from */
    char *fingerprint;   /* (nullable): of that */
    GHashTable *refused; /* what the last plan refused, and was told; see corral-agent-refused.c */
    guint soon;          /* source of a plan that is due, or 0 */
    gboolean applying;
    GKeyFile *unseen; /* (nullable): the last corrald's pins, of VMs that were not seen since */
    char *pins;       /* (nullable): what is on record of them */
    CorralAgentDrift *drift;
    CorralAgentLook *looks[2]; /* (nullable): the last look at what is used, and one before */
    CorralCapacity *capacity;  /* (nullable): the last one that somebody asked for ... */
    char *capacity_of;         /* ... and the fingerprint of what it was made from */
};

/* --- corral-agent-plan.c: what a plan is made from --- */

/* What would be different. Borrowed. */
typedef struct {
    const CorralDefinition *candidate; /* (nullable): as if this were defined and active */
    const CorralAgentPending *vm;      /* (nullable): as if this were about to start */
    const CorralAgentVm *moved;        /* (nullable): as if this VM, or this thread of it, ... */
    const CorralAgentThread *thread;   /* (nullable) */
    const char *path;                  /* ... were in this container */
} CorralAgentChange;

/* One VM of the plan, or those of its vCPUs that sit in a container apart from it. */
typedef struct {
    char *name; /* the planner's: the VM's, or "NAME PATH" for vCPUs apart */
    const char *vm_name;
    const char *path;
    CorralAgentVm *vm;  /* (nullable): NULL for one that does not run */
    gboolean apart;     /* vCPUs apart from their VM */
    GPtrArray *threads; /* of CorralAgentThread, borrowed; by vCPU number */
    GPtrArray *places;  /* of CorralCpuset: where each was put last, or may run now */
} CorralAgentUnit;

typedef struct {
    CorralPlanInput input;
    GArray *containers; /* of CorralPlanContainer */
    GArray *vms;        /* of CorralPlanVm */
    GPtrArray
        *entries; /* of CorralAgentEntry, borrowed, (nullable) for a candidate; by container */
    GPtrArray *definitions; /* of CorralDefinition, borrowed; by container */
    GPtrArray *units;       /* of CorralAgentUnit; by VM */
    GPtrArray *sets;        /* CorralCpuset that the above point to */
    CorralCpuset *housekeeping;
    CorralTopology *usable; /* (nullable): without what the host reserves */
    gboolean any_planned;
} CorralAgentSnapshot;

/* @change: (nullable). Returns: (transfer full) */
CorralAgentSnapshot *corral_agent_snapshot_new (CorralAgent *agent, const CorralAgentChange *change,
                                                GError **error);
void corral_agent_snapshot_free (CorralAgentSnapshot *snapshot);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralAgentSnapshot, corral_agent_snapshot_free)

/* The number of this state: one more than the last one's if anything differs from it. */
guint64 corral_agent_snapshot_generation (CorralAgent *agent, const CorralAgentSnapshot *snapshot);

/* (transfer full): the same for the same input of the planner, on the same topology */
char *corral_agent_snapshot_fingerprint (const CorralAgentSnapshot *snapshot);

/* Whether any active container is planned. */
gboolean corral_agent_plans (CorralAgent *agent);
/* Why it was refused, in one line. (transfer full) */
char *corral_agent_reasons (const GPtrArray *reasons);

/* %CORRAL_ERROR_REFUSED when @change would have something refused that is not refused now. */
gboolean corral_agent_check_change (CorralAgent *agent, const CorralAgentChange *change,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The definition of an inactive container at @path; (nullable) */
const CorralDefinition *corral_agent_inactive_at (CorralAgent *agent, const char *path);

/* --- corral-agent-targets.c --- */

gboolean corral_agent_has_partitions (CorralAgent *agent);

typedef struct _CorralAgentTargets CorralAgentTargets;
/* @snapshot and @plan must outlive it. */
CorralAgentTargets *corral_agent_targets_new (CorralAgent *agent,
                                              const CorralAgentSnapshot *snapshot,
                                              const CorralPlan *plan);
void corral_agent_targets_free (CorralAgentTargets *targets);
/* By container; cpus %NULL: it is left as it is */
const CorralAgentValues *corral_agent_targets_container (const CorralAgentTargets *targets,
                                                         guint index);
/* By VM; (nullable): its helpers are left as they are */
const CorralCpuset *corral_agent_targets_helpers (const CorralAgentTargets *targets, guint index);
/* By VM; (nullable): this vCPU of it is left as it is */
const CorralCpuset *corral_agent_targets_vcpu (const CorralAgentTargets *targets, guint index,
                                               guint vcpu);
/* Containers, parents first */
guint corral_agent_targets_ordered (const CorralAgentTargets *targets, guint at);

/* --- corral-agent-apply.c --- */

/* The effective ones; sets are (transfer full). */
gboolean corral_agent_read_values (CorralAgent *agent, const char *path,
                                   CorralAgentValues *ret_values, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/**
 * corral_agent_apply_plan:
 * @everything: what somebody else has changed is set back as well; else only what the plan changes
 *   is written
 */
gboolean corral_agent_apply_plan (CorralAgent *agent, const CorralAgentSnapshot *snapshot,
                                  const CorralPlan *plan, gboolean everything, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* What the container is to the kernel's cpuset controller; only cgroup v2 knows more than one. */
gboolean corral_agent_set_exclusive (CorralAgent *agent, const char *path,
                                     CorralPlacementExclusive exclusive, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* Plans and applies. What is refused is told once as a "problem", and is no error. */
gboolean corral_agent_replan (CorralAgent *agent, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The same as soon as the main loop runs, for changes that cannot be refused; once for many. */
void corral_agent_replan_soon (CorralAgent *agent);

/* Whether no VM can run in a planned container that we have not read yet. */
gboolean corral_agent_knows_all (CorralAgent *agent);

/* Describes @vm to the container core. %FALSE: it does not run any more */
gboolean corral_agent_describe (CorralAgent *agent, const CorralAgentVm *vm,
                                CorralContainerVm *ret_vm);

/* --- corral-agent-pins.c --- */

/* Puts on record which pins are the last plan's, and those of @targets, which may be %NULL: of the
 * plan that is about to be put in force. */
void corral_agent_pins_save (CorralAgent *agent, const CorralAgentSnapshot *snapshot,
                             const CorralAgentTargets *targets);
/* Reads what the last corrald has put there. */
void corral_agent_pins_load (CorralAgent *agent);
/* @vm has been found: pins of it that are still those of a plan, though it is in no planned
 * container any more, are for the next plan to take away. */
void corral_agent_pins_recall (CorralAgent *agent, CorralAgentVm *vm);

/* --- corral-agent-topology.c --- */

void corral_agent_planner_new (CorralAgent *agent, const CorralAgentSettings *settings);
void corral_agent_planner_start (CorralAgent *agent);
void corral_agent_planner_free (CorralAgentPlanner *planner);
/* Reads host.xml again; what it said before stays when it cannot be read. */
gboolean corral_agent_read_host (CorralAgent *agent, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* --- corral-agent-capacity.c --- */

void corral_agent_busy_start (CorralAgent *agent);
/* The last answer; the topology is another one. */
void corral_agent_capacity_forget (CorralAgentPlanner *planner);
void corral_agent_capacity_free (CorralAgentPlanner *planner);

/* --- corral-agent-admit.c --- */

void corral_agent_pending_free (CorralAgentPending *pending);
/* The VM @name runs, and its vCPUs are known: its place is its own now. */
void corral_agent_pending_done (CorralAgent *agent, const char *name);

/* --- corral-agent-refused.c --- */

void corral_agent_refusal_free (gpointer refusal);
/* @plan is in force: tells once what it refuses. */
void corral_agent_refused_tell (CorralAgent *agent, const CorralAgentSnapshot *snapshot,
                                const CorralPlan *plan);

/* --- corral-agent-drift.c --- */

CorralAgentDrift *corral_agent_drift_new (CorralAgent *agent, guint interval_msec);
void corral_agent_drift_free (CorralAgentDrift *drift);
/* Looks at @entry, which may be %NULL for all, now. */
void corral_agent_drift_check (CorralAgent *agent, CorralAgentEntry *entry);
/* Somebody reads the active @entry. */
void corral_agent_drift_on_read (CorralAgent *agent, CorralAgentEntry *entry);
/* A setting of the container @path, or of a VM's group of that path, was written, by somebody else
 * or by us: looks soon, and at most once a second. */
void corral_agent_drift_soon (CorralAgent *agent, const char *path);
/* There is no room for the watches that would tell of all such writes in the container @path. */
void corral_agent_drift_unwatched (CorralAgent *agent, const char *path);
/* A plan is in force: where something is planned, writes beneath it are watched, and the slow look
 * runs from now on. */
void corral_agent_drift_watch (CorralAgent *agent);
