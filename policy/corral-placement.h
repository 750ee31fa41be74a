/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a container, or a VM, wishes of the planner: <corral:placement>, <corral:reserve>,
 * <corral:limit> and <corral:share> as plain values. */
#pragma once

#include <glib.h>

typedef enum {
    CORRAL_MODE_NONE,         /* not planned: the container has the pCPUs its definition says */
    CORRAL_MODE_DEDICATED,    /* each vCPU has one pCPU that nobody else has */
    CORRAL_MODE_SHARED,       /* vCPUs float over the container's pCPUs, up to the overcommit */
    CORRAL_MODE_HOUSEKEEPING, /* on the pCPUs that are left to the host */
} CorralPlacementMode;

typedef enum {
    CORRAL_SMT_PREFER,  /* whole cores are filled where that is possible */
    CORRAL_SMT_ISOLATE, /* one vCPU on a core; its siblings stay idle */
    CORRAL_SMT_REQUIRE, /* whole cores only; one that a VM fills in part is nobody else's */
    CORRAL_SMT_AVOID,   /* a core of its own for each vCPU where possible; siblings not kept idle */
} CorralPlacementSmt;

typedef enum {
    CORRAL_NUMA_PREFER, /* as few nodes as possible, near ones */
    CORRAL_NUMA_STRICT, /* one node for a VM, or it is refused */
    CORRAL_NUMA_ANY,    /* nodes are not looked at */
} CorralPlacementNuma;

/* Where a VM's emulator and I/O threads run. */
typedef enum {
    CORRAL_EMULATOR_HOUSEKEEPING,
    CORRAL_EMULATOR_CONTAINER, /* over the container's pCPUs, vCPUs' own included */
} CorralPlacementEmulator;

/* What a dedicated container is to the kernel on cgroup v2 (cpuset.cpus.partition). */
typedef enum {
    CORRAL_EXCLUSIVE_NONE,     /* "member" */
    CORRAL_EXCLUSIVE_ROOT,     /* "root": nobody else's cpuset has these pCPUs */
    CORRAL_EXCLUSIVE_ISOLATED, /* "isolated": no load balancing either */
} CorralPlacementExclusive;

typedef struct {
    CorralPlacementMode mode;
    CorralPlacementSmt smt;
    CorralPlacementNuma numa;
    CorralPlacementEmulator emulator;
    CorralPlacementExclusive exclusive;
    gboolean repair;       /* drift is repaired, not only reported */
    guint overcommit;      /* vCPUs for each pCPU, in thousandths: 1000 is 1.0; shared only */
    guint reserve_vcpus;   /* kept for this container, whether its VMs are there or not; 0: none */
    guint limit_vcpus;     /* most vCPUs of its VMs, children's included; 0: no limit */
    guint share_percent;   /* of a pCPU, promised to each vCPU by the group's cap; 0: no promise */
    guint helpers_percent; /* of a pCPU, for each VM's emulator and I/O threads on top of that */
} CorralPlacement;

/* Which members a VM's own wishes set; the others are its container's. */
typedef enum {
    CORRAL_WISH_SMT = 1 << 0,
    CORRAL_WISH_NUMA = 1 << 1,
    CORRAL_WISH_EMULATOR = 1 << 2,
} CorralWish;

/* Attributes that a document has; the others are defaults. */
typedef enum {
    CORRAL_SAID_MODE = 1 << 0,
    CORRAL_SAID_SMT = 1 << 1,
    CORRAL_SAID_NUMA = 1 << 2,
    CORRAL_SAID_EMULATOR = 1 << 3,
    CORRAL_SAID_OVERCOMMIT = 1 << 4,
    CORRAL_SAID_EXCLUSIVE = 1 << 5,
    CORRAL_SAID_DRIFT = 1 << 6,
    CORRAL_SAID_HELPERS = 1 << 7, /* helpers='' of <corral:share> */
} CorralPlacementSaid;

/* clang-format off */
#define CORRAL_PLACEMENT_INIT { .mode = CORRAL_MODE_NONE, .overcommit = 1000 }
/* clang-format on */

#define CORRAL_OVERCOMMIT_MIN 100    /* 0.1 */
#define CORRAL_OVERCOMMIT_MAX 100000 /* 100.0 */
/* Most vCPUs that a wish may name; of a VM it is what libvirt takes. */
#define CORRAL_VCPUS_MAX 16384
/* Of a pCPU, in percent. A vCPU is one thread; helpers may be many. */
#define CORRAL_SHARE_MAX 100
#define CORRAL_HELPERS_MAX 1000
#define CORRAL_HELPERS_DEFAULT 10
