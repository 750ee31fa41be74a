/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The planner: (topology, containers, VMs, who has what now) -> plan. A pure function: no kernel,
 * no file, no clock, no chance; the same input gives the same plan.
 *
 * It never puts two dedicated vCPUs on one pCPU, nor one on the sibling of a vCPU under "isolate".
 * A VM that is running keeps its place as long as that is valid, and is moved only when a VM or a
 * container could not have its place otherwise, and then as few vCPUs as possible. What cannot be
 * had is refused, with the rule that each pCPU or node fell to; it is never placed elsewhere. What
 * runs and is refused keeps such places as are still right, and for the rest of its vCPUs the plan
 * says where they disturb no other VM's dedicated vCPU.
 */
#pragma once

#include "policy/corral-placement.h"
#include "policy/corral-topology.h"

/* --- what goes in; nothing of it is owned by the planner, all of it must live during the call ---
 */

typedef struct {
    const char *path;            /* "/machine/prod"; its parent is the longest path before it */
    CorralPlacement wish;        /* CORRAL_MODE_NONE: not planned, but in the way where it says */
    const CorralCpuset *allowed; /* (nullable): only these pCPUs, as its definition says */
    const CorralCpuset *cpus;    /* (nullable): what the kernel gives it now; NULL: not there yet */
} CorralPlanContainer;

typedef struct {
    const char *name;
    const char *path; /* of its container */
    guint n_vcpus;    /* 1 or more */
    gboolean running; /* moving its vCPUs is a cost, and they are placed before all others */
    guint wishes;     /* CorralWish: the members of @wish that are the VM's own */
    CorralPlacement wish;
    /* (nullable): n_vcpus sets, where each vCPU may run now; an empty or NULL one: anywhere */
    const CorralCpuset *const *vcpus;
} CorralPlanVm;

typedef struct {
    const CorralTopology *topology;
    const CorralCpuset *housekeeping; /* (nullable): left to the host; NULL or empty: none */
    const CorralPlanContainer *containers;
    guint n_containers;
    /* Of two that are not running and as large, the earlier is placed if only one can be. */
    const CorralPlanVm *vms;
    guint n_vms;
} CorralPlanInput;

/* --- what comes out --- */

/* Why something was turned down. One rule, one line of documentation each (corral-plan-rules). */
typedef enum {
    CORRAL_RULE_OFFLINE,      /* the pCPU is offline */
    CORRAL_RULE_HOUSEKEEPING, /* it is left to the host */
    CORRAL_RULE_NOT_ALLOWED,  /* outside the pCPUs that the container's definition allows */
    CORRAL_RULE_PARENT,       /* outside the parent's */
    CORRAL_RULE_OWNED,        /* another container or vCPU owns it */
    CORRAL_RULE_SIBLING,      /* its core has a vCPU that wants, or would break, isolation */
    CORRAL_RULE_NODE_FULL,    /* numa strict: too few free pCPUs in this node */
    CORRAL_RULE_CORE_PARTIAL, /* smt require: its core is not wholly free */
    CORRAL_RULE_WORSE,        /* possible, but another choice strands or splits less */
    CORRAL_RULE_LIMIT,        /* the container's limit of vCPUs, or an ancestor's, is reached */
    CORRAL_RULE_OVERCOMMIT,   /* shared: more vCPUs than pCPUs times overcommit */
    CORRAL_RULE_RESERVED,     /* kept for another container's reservation */
    CORRAL_RULE_CONTAINER,    /* no such container, or it was itself refused */
    CORRAL_RULE_STRAY,        /* not turned down: who runs and was refused runs there meanwhile */
    CORRAL_RULE_MAX
} CorralPlanRule;

/* "owned", ...; for JSON and XML, and a sentence for people. */
const char *corral_plan_rule_name (CorralPlanRule rule);
const char *corral_plan_rule_text (CorralPlanRule rule);

/* One rule and what fell to it. */
typedef struct {
    CorralPlanRule rule;
    CorralCpuset *cpus;  /* pCPUs, empty if it is none of theirs */
    CorralCpuset *nodes; /* NUMA nodes by the kernel's numbers, empty likewise */
    char *detail;        /* (nullable): who owns them, how many were missing, ... */
} CorralPlanReason;

typedef struct {
    char *path;
    gboolean refused;
    CorralCpuset *cpus; /* its pCPUs, children's included; never NULL, empty if refused */
    CorralCpuset *own;  /* those over which its own VMs may float: without dedicated children's */
    CorralCpuset *mems; /* NUMA nodes of @cpus, by the kernel's numbers */
    gint64 quota_usec;  /* per 100,000 us: the group's cap as shares promise it; -1: none, or to
                         nobody */
    CorralPlacementExclusive exclusive;
    gboolean changed;   /* differs from what the kernel gives it now */
    GPtrArray *reasons; /* of CorralPlanReason */
} CorralPlannedContainer;

typedef struct {
    char *name;
    char *path;
    gboolean refused;
    /* Its container has a mode, and it has a place there; if not, and if it is no stray, nothing
     * below is set */
    gboolean planned;
    guint n_vcpus;
    CorralCpuset **vcpus; /* n_vcpus sets; one pCPU each when dedicated */
    /* (nullable): refused, and running: where those of its vCPUs run that have no pCPU alone, whose
     * element of @vcpus is this very set. Empty: none is left, and they stay where they are */
    CorralCpuset *stray;
    gboolean floats;           /* not dedicated: each of @vcpus is its container's @own itself */
    CorralCpuset *helpers;     /* emulator and I/O threads */
    CorralCpuset *mems;        /* NUMA nodes by the kernel's numbers */
    gint64 helpers_quota_usec; /* per 100,000 us, of their own; -1: none */
    guint moves;               /* running vCPUs whose place changes */
    GPtrArray *reasons;        /* of CorralPlanReason */
} CorralPlannedVm;

typedef struct {
    CorralPlannedContainer *containers; /* as in the input, in its order */
    guint n_containers;
    CorralPlannedVm *vms;
    guint n_vms;
    guint n_refused; /* containers and VMs */
    guint n_moves;   /* running vCPUs */
    /* What the plan is judged by, smaller is better in this order: vCPUs refused, running vCPUs
     * moved, VMs' nodes beyond the fewest possible, L3 groups likewise, pCPUs stranded. */
    guint64 cost[5];
    /* What all of the above points to. */
    GPtrArray *sets;
    GStringChunk *texts;
} CorralPlan;

/**
 * corral_plan_make:
 *
 * Returns: (transfer full): a plan, also when some wishes cannot be met (n_refused). %NULL with
 *   %CORRAL_ERROR_INVALID when the input contradicts itself: two containers or VMs of one name, a
 *   VM without vCPUs, ...
 */
CorralPlan *corral_plan_make (const CorralPlanInput *input, GError **error);

/* The planned VM or container of this name or path; %NULL: there is none. Owned by @plan. */
const CorralPlannedVm *corral_plan_find_vm (const CorralPlan *plan, const char *name);
const CorralPlannedContainer *corral_plan_find_container (const CorralPlan *plan, const char *path);

void corral_plan_reason_free (CorralPlanReason *reason);
void corral_plan_free (CorralPlan *plan);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralPlan, corral_plan_free)
