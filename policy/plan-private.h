/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The planner's table of who has which pCPU while a plan is made. See plan-make.c for how. */
#pragma once

#include "policy/corral-plan.h"

/* By index of the pCPU in the topology. */
typedef struct {
    int container; /* that owns it; -1: nobody */
    int vm;        /* whose dedicated vCPU it carries; -1: it is the container's, or idle */
    guint8 idle;   /* kept from use for the sake of the VM @vm, on whose core it is */
    guint8 pad;    /* held for a reservation that no VM fills yet */
} PlanSlot;

typedef struct {
    int parent;  /* index; -1: none */
    guint depth; /* components of its path */
    guint vcpus; /* placed, in it and beneath it */
    guint own;   /* placed in itself */
    gboolean refused;
    guint8 *domain; /* by pCPU: whether its own VMs may have it, housekeeping and others aside; a
                       GRcBox that copies of the state share */
} PlanContainer;

typedef struct {
    int container; /* index; -1: there is no such container */
    gboolean placed;
    gboolean refused;
    int *now;           /* (nullable): see plan_place_now(); a GRcBox, as is ... */
    int *cpus;          /* n_vcpus indices of pCPUs, when dedicated and placed; never written to */
    CorralPlanRule why; /* when refused: the rule that the whole VM fell to */
    int why_at;         /* container of CORRAL_RULE_LIMIT or _CONTAINER; -1 */
    gboolean uniform;   /* it runs, and all of its vCPUs may be on the same pCPUs now */
} PlanVm;

/* What is the same in all copies of a state; a GRcBox. */
typedef struct _PlanTables PlanTables;

typedef struct {
    const CorralPlanInput *input;
    const CorralTopology *topology;
    PlanTables *tables; /* owns the tables below */
    guint n;            /* pCPUs */
    PlanSlot *slots;
    guint8 *housekeeping; /* by pCPU */
    int *fence;           /* by pCPU: the unplanned container it is for, and those beneath; or -1 */
    guint *core_size;     /* by core: online pCPUs */
    guint *core_start;    /* by core: where its pCPUs begin in core_cpus; one more at the end */
    guint *core_cpus;     /* indices of pCPUs, core by core */
    guint *core_node;     /* by core */
    guint *core_l3;       /* by core */
    guint *node_start;    /* by node: where its cores begin in node_cores; one more at the end */
    guint *node_cores;    /* cores, node by node */
    guint *l3_start;      /* by L3 group: where its cores begin in l3_cores; one more at the end */
    guint *l3_cores;      /* cores, L3 group by L3 group */
    PlanContainer *containers;
    PlanVm *vms;
    /* Only whether a thing has a place is asked, not what it costs to make room for it. */
    gboolean any_room_will_do;
    guint64 changes; /* of slots, so far */
    struct {         /* the last VM for which there was no place: another like it has none either */
        int container;
        guint k, smt, numa;
        guint64 changes;
    } full;
    struct { /* why VMs like the last one that was asked about are not elsewhere */
        int container;
        guint k, smt, numa;
        GPtrArray *reasons; /* own places among them */
    } told;
    GPtrArray *no_reasons; /* (nullable): of all about whom nothing is to be told */
} PlanState;

/* --- plan-state.c --- */

PlanState *plan_state_new (const CorralPlanInput *input, GError **error);
/* A copy, as it would be had it been made for @input: the state's own with one container more, or
 * none, which has a mode and VMs of @input only, and with more VMs, which do not run. They come
 * last. */
PlanState *plan_state_extend (const PlanState *state, const CorralPlanInput *input);
void plan_state_free (PlanState *state);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PlanState, plan_state_free)

const CorralPlacement *plan_wish_of (const PlanState *state, int container);
/* The container's wish with the VM's own in place of it. */
CorralPlacement plan_wish_of_vm (const PlanState *state, guint vm);
gboolean plan_is_beneath (const PlanState *state, int container, int ancestor);
/* Whether @container's VMs could have the pCPU if nobody had it. */
gboolean plan_is_open (const PlanState *state, int container, guint cpu);
/* The same, and nobody has it. */
static inline gboolean
plan_is_free (const PlanState *state, int container, guint cpu)
{
    return state->slots[cpu].container < 0 && plan_is_open (state, container, cpu);
}

void plan_count (PlanState *state, int container, int vcpus);

/* --- plan-select.c --- */

typedef struct {
    guint k; /* places wanted */
    CorralPlacementSmt smt;
    CorralPlacementNuma numa;
    int container;
    const guint8 *within; /* (nullable): by pCPU: only these */
    const guint8 *keep;   /* (nullable): by pCPU: these rather than others */
} PlanAsk;

typedef struct {
    GArray *cpus; /* of guint: @k places */
    GArray *idle; /* of guint: kept idle for them */
} PlanPick;

/* The best places for @ask among what is free; %FALSE: it does not fit. */
gboolean plan_select (const PlanState *state, const PlanAsk *ask, PlanPick *ret_pick);
void plan_pick_clear (PlanPick *pick);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PlanPick, plan_pick_clear)

/* --- plan-items.c --- */

/* A thing that has pCPUs. */
typedef enum {
    PLAN_ITEM_PAD,  /* a container's reservation that no VM fills */
    PLAN_ITEM_POOL, /* a shared container's set */
    PLAN_ITEM_VM,   /* a dedicated VM */
} PlanItemKind;

typedef struct {
    PlanItemKind kind;
    guint index; /* of the container or VM */
} PlanItem;

static inline gboolean
plan_item_has (const PlanState *state, const PlanItem *item, guint cpu)
{
    const PlanSlot *slot = &state->slots[cpu];

    switch (item->kind) {
    case PLAN_ITEM_PAD:
        return slot->pad && slot->container == (int) item->index;
    case PLAN_ITEM_POOL:
        return !slot->pad && slot->vm < 0 && slot->container == (int) item->index;
    case PLAN_ITEM_VM:
    default:
        return slot->vm == (int) item->index;
    }
}

int plan_item_container (const PlanState *state, const PlanItem *item);
void plan_item_release (PlanState *state, const PlanItem *item);
void plan_item_take (PlanState *state, const PlanItem *item, guint cpu, gboolean idle);
/* Among what is free, or not at all. */
gboolean plan_item_place (PlanState *state, const PlanItem *item);

/* Where the vCPU runs now, if that is one pCPU; else -1. */
int plan_place_now (const PlanState *state, guint vm, guint vcpu);
/* Gives the VM the places of @pick. */
void plan_settle_vm (PlanState *state, guint vm, const PlanPick *pick);

/* vCPUs that the container's own set is to have room for by its reservation, and those of them that
 * no VM fills. */
guint plan_own_reserve (const PlanState *state, int container);
guint plan_pad_need (const PlanState *state, int container);
/* pCPUs that its own set must have: for its VMs, its reservation and @more vCPUs. */
guint plan_pool_need (const PlanState *state, int container, guint more);

/* --- plan-room.c --- */

/* All that can change while room is made. */
typedef struct {
    PlanSlot *slots;
    int **cpus;
} PlanSnapshot;

void plan_snapshot_take (const PlanState *state, PlanSnapshot *snapshot);
void plan_snapshot_restore (PlanState *state, const PlanSnapshot *snapshot);
void plan_snapshot_clear (const PlanState *state, PlanSnapshot *snapshot);

/* Places it, with others moved away if need be; or changes nothing. */
gboolean plan_find_place (PlanState *state, const PlanItem *item);

/* --- plan-stray.c --- */

/* Gives the VM, which runs and has no place as a whole, those of the pCPUs that its vCPUs have now
 * which are still right; nobody is moved for it. @but: (nullable): none of these */
void plan_hold_places (PlanState *state, guint vm, const CorralCpuset *but);
gboolean plan_wants_whole_cores (const PlanState *state, guint vm);
/* (transfer full): by vCPU: the index of the pCPU that it holds so, or -1. @ret_n: how many do */
int *plan_held_places (const PlanState *state, guint vm, guint *ret_n);

/* Whether it runs, and was refused what its container should give it. */
gboolean plan_is_stray (const PlanState *state, guint vm);
/* Where such a VM's other vCPUs run: on no pCPU that another VM's vCPU has alone, or has kept idle.
 * (transfer full): empty when there is no other */
CorralCpuset *plan_stray_cpus (const PlanState *state, guint vm);
/* Whether any such VM in the container, or beneath it, has to leave it for that, so that it cannot
 * be a partition. */
gboolean plan_is_opened (const PlanState *state, int container);

/* --- plan-place.c --- */

/* In three steps: what runs, and shared sets; reservations; and VMs that are to start, in @order,
 * by index. */
void plan_place_running (PlanState *state);
void plan_place_reserved (PlanState *state);
void plan_place_starting (PlanState *state, const guint *order);
/* One of the latter. */
void plan_place_one (PlanState *state, guint vm);
/* The shared container's set, of the first step. */
void plan_fill_pool (PlanState *state, guint container);

/* --- plan-order.c --- */

/* Places everything in the order, of those tried, that leaves fewest vCPUs out. */
PlanState *plan_best (const CorralPlanInput *input, GError **error);
/* The same from the third step on. @state: (transfer full) */
PlanState *plan_best_of (PlanState *state);

/* --- corral-plan.c --- */

/* Containers and VMs. */
guint plan_count_refused (const PlanState *state);
/* Running vCPUs whose place changes. */
guint plan_count_moves (const PlanState *state);

/* --- plan-reasons.c --- */

/* Of CorralPlanReason. */
GPtrArray *plan_reasons_of_vm (PlanState *state, guint vm);
GPtrArray *plan_reasons_of_container (const PlanState *state, guint container);
