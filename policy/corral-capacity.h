/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much of the host is there, who has it, what still fits, and what fragmentation strands: from
 * the planner's own structs, and by asking the planner, so that both always agree. Pure, as all of
 * policy/. */
#pragma once

#include "policy/corral-plan.h"

/* What was used, as the caller measured it; the planner's structs say who owns what. */
typedef struct {
    guint64 window_ns;           /* over which it was measured; 0: not measured */
    const guint64 *busy_ns;      /* (nullable): of each pCPU of the topology, by index */
    const guint64 *container_ns; /* (nullable): of each container of the input, children included */
} CorralCapacityUsage;

/* Whose a pCPU is, once the plan is applied. Each pCPU is exactly one of these. */
typedef enum {
    CORRAL_USE_FREE,         /* nobody's */
    CORRAL_USE_OFFLINE,      /* it cannot be used now */
    CORRAL_USE_HOUSEKEEPING, /* left to the host */
    CORRAL_USE_RESERVED,     /* a dedicated container's, for VMs that are not there */
    CORRAL_USE_DEDICATED,    /* one vCPU's */
    CORRAL_USE_IDLE,         /* kept idle for a vCPU on its core: smt isolate, or require */
    CORRAL_USE_SHARED,       /* vCPUs of one or more containers float over it */
} CorralCapacityUse;

/* "free", ..., as in documents; %NULL: no such use. */
const char *corral_capacity_use_name (CorralCapacityUse use);

typedef struct {
    CorralPcpu place; /* as the topology has it, but "node" is the kernel's number */
    CorralCapacityUse use;
    char *container;       /* (nullable): the innermost one that has it */
    guint more_containers; /* others that share it, in none of which @container lies */
    char *vm;              /* (nullable): for DEDICATED and IDLE */
    guint vcpu;            /* of @vm, for DEDICATED */
    double busy;           /* from 0 to 1; negative: not measured */
} CorralCapacityPcpu;

typedef enum {
    CORRAL_CAPACITY_HOST,
    CORRAL_CAPACITY_NODE,
    CORRAL_CAPACITY_CONTAINER,
} CorralCapacityKind;

const char *corral_capacity_kind_name (CorralCapacityKind kind);
const char *corral_capacity_mode_name (CorralPlacementMode mode);

/*
 * One row: the host, a NUMA node, or a container with its children. Counts of pCPUs unless said
 * otherwise. total = reserved + dedicated + shared + free; the nodes' rows add up to the host's in
 * all of these and in vcpus.
 *
 * The largest VM that still fits is the one that corral_plan_make() accepts when its vCPUs are the
 * ones given here, and refuses with one more, if it comes after all VMs of the input and none of
 * them may be refused for it. Running VMs may be moved for it, as they are when it starts. In a
 * container's row the VM is in that container; one without a mode gets a new child for it. In the
 * host's and a node's row it is in a new container at the top, with nothing but a mode and these
 * pCPUs, or in one of the containers that may have pCPUs nowhere else: whatever takes more. A new
 * container shares at one vCPU a pCPU. The VM may span nodes. No more than
 * CORRAL_CAPACITY_VCPUS_MAX.
 *
 * What is stranded is measured with VMs of the usual shape: as many dedicated vCPUs as the host's
 * dedicated VMs have in the median, in whole cores of one NUMA node. As many as go into the free
 * pCPUs of the row without a running VM being moved, are compared with as many as would if those
 * pCPUs lay side by side: what the latter have more, in pCPUs, is stranded. A remainder too small
 * for one such VM is not. With the free pCPUs in few pieces it is 0; it can be won back by moving
 * VMs.
 */
typedef struct {
    CorralCapacityKind kind;
    char *name;               /* "host", "node0" by the kernel's number, "/machine/prod" */
    CorralPlacementMode mode; /* of a container */
    CorralCpuset *cpus;       /* online ones */
    guint total;              /* pCPUs in @cpus */
    guint reserved;           /* HOUSEKEEPING and RESERVED */
    guint dedicated;          /* DEDICATED and IDLE */
    guint idle;               /* of these, IDLE */
    guint shared;
    guint free;
    guint vcpus;            /* of VMs that have a place; of one that floats over several nodes */
    guint dedicated_vcpus;  /* a share by pCPUs. Of these, those that have a pCPU alone */
    guint allocation_ratio; /* vCPUs that may be placed for each shared pCPU, in thousandths, or
                               for each dedicated one where none is shared: 1000 */
    double used;            /* pCPUs' worth of time over the window; negative: not measured */
    int largest_dedicated;  /* vCPUs of the largest VM that still fits, as the container's smt and
                               numa have it; -1: the container's mode is another one */
    int largest_isolated;   /* the same with smt='isolate' */
    int largest_shared;
    guint stranded;
} CorralCapacityRow;

typedef struct {
    guint64 window_ns;       /* as in the usage; 0: not measured */
    guint shape_vcpus;       /* of the usual shape: whole cores */
    CorralCapacityRow *rows; /* the host, then nodes, then containers in the input's order */
    guint n_rows;
    CorralCapacityPcpu *pcpus; /* by number */
    guint n_pcpus;
} CorralCapacity;

/* KVM takes no VM with more vCPUs, so none larger is asked for. */
#define CORRAL_CAPACITY_VCPUS_MAX 4096
/* Most rows of a capacity that is read. */
#define CORRAL_CAPACITY_ROWS_MAX 16384

/**
 * corral_capacity_compute:
 * @plan: what corral_plan_make() made of @input
 * @usage: (nullable)
 *
 * What there is once @plan is applied. Asks the planner a few times for each row.
 *
 * Returns: (transfer full): %NULL with the planner's error
 */
CorralCapacity *corral_capacity_compute (const CorralPlanInput *input, const CorralPlan *plan,
                                         const CorralCapacityUsage *usage, GError **error);
void corral_capacity_free (CorralCapacity *capacity);

/* Puts what was used since into a capacity that is still right otherwise. @usage: as above, with
 * the pCPUs and containers of the same input */
void corral_capacity_measure (CorralCapacity *capacity, const CorralCapacityUsage *usage);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralCapacity, corral_capacity_free)

/* --- as text --- */

/* The <capacity> of policy/schema/plan.rng, for the domain capabilities. */
char *corral_capacity_xml (const CorralCapacity *capacity, guint64 generation);

/**
 * corral_capacity_parse:
 * @xml: a document whose root, or a child of it, is a <capacity>; untrusted
 *
 * The inverse of corral_capacity_xml(). %CORRAL_ERROR_XML says where it is no such document;
 * %CORRAL_ERROR_NOT_FOUND: it is one without a <capacity>.
 */
gboolean corral_capacity_parse (const char *xml, gsize length, CorralCapacity **ret_capacity,
                                guint64 *ret_generation, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* OpenStack Placement's resource providers with their inventories and usages, as JSON. @host: the
 * provider's name */
char *corral_capacity_placement (const CorralCapacity *capacity, const char *host,
                                 guint64 generation);

/* OpenMetrics text, version 1.0.0. */
char *corral_capacity_openmetrics (const CorralCapacity *capacity, guint64 generation);

/* A picture of who owns which pCPU and how busy it is. @title: (nullable) */
char *corral_capacity_svg (const CorralCapacity *capacity, const char *title);
