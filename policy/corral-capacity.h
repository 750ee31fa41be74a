/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much of the host is there, who has it, what still fits, and what fragmentation strands: from
 * the planner's own structs, so that both always agree. Pure, as all of policy/. */
#pragma once

#include "policy/corral-plan.h"

/* What was used, as the caller measured it; the planner's structs say who owns what. */
typedef struct {
    guint64 window_ns;      /* over which it was measured; 0: not measured */
    const guint64 *busy_ns; /* (nullable): of each pCPU of the topology, by index */
} CorralCapacityUsage;

/* One row: the host, a NUMA node, or a container. Counts of pCPUs unless said otherwise; in terms
 * of Placement: total, reserved, allocation_ratio, min_unit, max_unit, step_size and used. */
typedef struct {
    char *name;              /* "host", "node0", "/machine/prod" */
    guint total;             /* online pCPUs in it */
    guint reserved;          /* of these, left to the host or kept for a reservation not filled */
    guint dedicated;         /* owned by one vCPU, idle siblings included */
    guint shared;            /* in a shared container's set */
    guint free;              /* owned by nobody */
    guint vcpus;             /* of its VMs */
    guint allocation_ratio;  /* vCPUs that may be placed for each pCPU, in thousandths */
    double used;             /* pCPUs' worth of time over the window; negative: not measured */
    guint largest_dedicated; /* vCPUs of the largest VM that still fits, by mode */
    guint largest_isolated;
    guint largest_shared;
    guint
        stranded; /* free pCPUs that no VM of the usual shape could get, because of how they lie */
    CorralCpuset *cpus;
} CorralCapacityRow;

typedef struct {
    CorralCapacityRow *rows; /* the host, then nodes, then containers in the input's order */
    guint n_rows;
    guint n_nodes;
} CorralCapacity;

/* @plan: what corral_plan_make() made of @input; @usage: (nullable). Returns: (transfer full) */
CorralCapacity *corral_capacity_compute (const CorralPlanInput *input, const CorralPlan *plan,
                                         const CorralCapacityUsage *usage);
void corral_capacity_free (CorralCapacity *capacity);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralCapacity, corral_capacity_free)
