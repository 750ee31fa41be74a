/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Things that have pCPUs (a VM, a shared set, a reservation): how each is placed among what is
 * free. */
#include "policy/plan-private.h"

#include <string.h>

static guint
divide_up (guint64 a, guint64 b)
{
    return (guint) ((a + b - 1) / b);
}

/* --- reservations --- */

static guint
reserved_beneath (const PlanState *state, int container)
{
    guint sum = 0;

    for (guint c = 0; c < state->input->n_containers; c++)
        if (state->containers[c].parent == container)
            sum +=
                MAX (MAX (state->containers[c].vcpus, plan_wish_of (state, (int) c)->reserve_vcpus),
                     reserved_beneath (state, (int) c));
    return sum;
}

/* vCPUs that its own set is to have room for: what children have or reserve counts as well. */
guint
plan_own_reserve (const PlanState *state, int container)
{
    const guint reserve = plan_wish_of (state, container)->reserve_vcpus;
    guint beneath;

    if (reserve == 0)
        return 0;
    beneath = reserved_beneath (state, container);
    return reserve > beneath ? reserve - beneath : 0;
}

guint
plan_pool_need (const PlanState *state, int container, guint more)
{
    const CorralPlacement *wish = plan_wish_of (state, container);
    const guint vcpus =
        MAX (state->containers[container].own + more, plan_own_reserve (state, container));

    return MAX (divide_up ((guint64) vcpus * 1000, MAX (wish->overcommit, 1)), 1);
}

guint
plan_pad_need (const PlanState *state, int container)
{
    const guint reserve = plan_own_reserve (state, container),
                own = state->containers[container].own;

    return reserve > own ? reserve - own : 0;
}

/* --- giving and taking --- */

int
plan_item_container (const PlanState *state, const PlanItem *item)
{
    return item->kind == PLAN_ITEM_VM ? state->vms[item->index].container : (int) item->index;
}

/* What a VM has that has its place is on the cores of that. */
static void
release_place (PlanState *state, const PlanItem *item)
{
    const int *cpus = state->vms[item->index].cpus;

    for (guint i = 0; i < state->input->vms[item->index].n_vcpus; i++) {
        const guint core = state->topology->cpus[cpus[i]].core;

        for (guint at = state->core_start[core]; at < state->core_start[core + 1]; at++)
            if (plan_item_has (state, item, state->core_cpus[at]))
                state->slots[state->core_cpus[at]] = (PlanSlot){ .container = -1, .vm = -1 };
    }
}

void
plan_item_release (PlanState *state, const PlanItem *item)
{
    if (item->kind == PLAN_ITEM_VM && state->vms[item->index].cpus != NULL)
        release_place (state, item);
    else
        for (guint i = 0; i < state->n; i++)
            if (plan_item_has (state, item, i))
                state->slots[i] = (PlanSlot){ .container = -1, .vm = -1 };
    state->changes++;
    if (item->kind == PLAN_ITEM_VM)
        g_clear_pointer (&state->vms[item->index].cpus, g_rc_box_release);
}

void
plan_item_take (PlanState *state, const PlanItem *item, guint cpu, gboolean idle)
{
    state->changes++;
    state->slots[cpu] = (PlanSlot){ .container = plan_item_container (state, item),
                                    .vm = item->kind == PLAN_ITEM_VM ? (int) item->index : -1,
                                    .idle = idle,
                                    .pad = item->kind == PLAN_ITEM_PAD };
}

static int *
find_now (const PlanState *state, const CorralPlanVm *input)
{
    int *now = g_rc_box_alloc (MAX (input->n_vcpus, 1) * sizeof *now);

    for (guint i = 0; i < input->n_vcpus; i++) {
        const CorralCpuset *set = input->vcpus[i];

        now[i] = set != NULL && hwloc_bitmap_weight (set) == 1
                     ? corral_topology_find (state->topology, (guint) hwloc_bitmap_first (set))
                     : -1;
    }
    return now;
}

int
plan_place_now (const PlanState *state, guint vm, guint vcpu)
{
    PlanVm *at = &state->vms[vm];

    if (state->input->vms[vm].vcpus == NULL)
        return -1;
    /* It is asked for again and again. */
    if (at->now == NULL)
        at->now = find_now (state, &state->input->vms[vm]);
    return at->now[vcpu];
}

/* Each vCPU keeps its pCPU if that is among the VM's new ones; the others get what is left. */
void
plan_settle_vm (PlanState *state, guint vm, const PlanPick *pick)
{
    const PlanItem item = { PLAN_ITEM_VM, vm };
    const guint n = state->input->vms[vm].n_vcpus;
    g_autofree guint8 *left = g_new0 (guint8, state->n);
    int *cpus = g_rc_box_alloc (n * sizeof *cpus);
    guint next = 0;

    for (guint i = 0; i < pick->cpus->len; i++) {
        left[g_array_index (pick->cpus, guint, i)] = TRUE;
        plan_item_take (state, &item, g_array_index (pick->cpus, guint, i), FALSE);
    }
    for (guint i = 0; i < pick->idle->len; i++)
        plan_item_take (state, &item, g_array_index (pick->idle, guint, i), TRUE);
    for (guint i = 0; i < n; i++) {
        cpus[i] = plan_place_now (state, vm, i);
        if (cpus[i] >= 0 && left[cpus[i]])
            left[cpus[i]] = FALSE;
        else
            cpus[i] = -1;
    }
    for (guint i = 0; i < n; i++) {
        if (cpus[i] >= 0)
            continue;
        while (!left[g_array_index (pick->cpus, guint, next)])
            next++;
        cpus[i] = (int) g_array_index (pick->cpus, guint, next++);
    }
    g_clear_pointer (&state->vms[vm].cpus, g_rc_box_release);
    state->vms[vm].cpus = cpus;
}

static void
settle_set (PlanState *state, const PlanItem *item, const PlanPick *pick)
{
    /* Of a core that is filled in part only, a set of whole cores has the rest, too. */
    const gboolean idle = plan_wish_of (state, (int) item->index)->smt != CORRAL_SMT_REQUIRE ||
                          item->kind == PLAN_ITEM_PAD;

    for (guint i = 0; i < pick->cpus->len; i++)
        plan_item_take (state, item, g_array_index (pick->cpus, guint, i), FALSE);
    for (guint i = 0; i < pick->idle->len; i++)
        plan_item_take (state, item, g_array_index (pick->idle, guint, i), idle);
}

/* --- placing --- */

static gboolean
place_vm (PlanState *state, guint vm)
{
    const CorralPlacement wish = plan_wish_of_vm (state, vm);
    g_autofree guint8 *keep = g_new0 (guint8, state->n);
    g_auto (PlanPick) pick = { 0 };
    const PlanAsk ask = { .k = state->input->vms[vm].n_vcpus,
                          .smt = wish.smt,
                          .numa = wish.numa,
                          .container = state->vms[vm].container,
                          .keep = keep };

    if (state->full.changes == state->changes && state->full.container == ask.container &&
        state->full.k == ask.k && state->full.smt == ask.smt && state->full.numa == ask.numa)
        return FALSE;
    for (guint i = 0; i < ask.k; i++) {
        const int now = plan_place_now (state, vm, i);

        if (now >= 0)
            keep[now] = TRUE;
    }
    if (!plan_select (state, &ask, &pick)) {
        state->full.container = ask.container;
        state->full.k = ask.k;
        state->full.smt = ask.smt;
        state->full.numa = ask.numa;
        state->full.changes = state->changes;
        return FALSE;
    }
    plan_settle_vm (state, vm, &pick);
    return TRUE;
}

static void
mark_now (const PlanState *state, guint container, guint8 *keep)
{
    const CorralCpuset *cpus = state->input->containers[container].cpus;

    for (guint i = 0; i < state->n && cpus != NULL; i++)
        keep[i] = hwloc_bitmap_isset (cpus, state->topology->cpus[i].number) != 0;
}

static gboolean
place_pad (PlanState *state, const PlanItem *item)
{
    const CorralPlacement *wish = plan_wish_of (state, (int) item->index);
    g_autofree guint8 *keep = g_new0 (guint8, state->n);
    g_auto (PlanPick) pick = { 0 };
    /* A reservation is for several VMs: as near as may be, but one node is no condition. */
    const PlanAsk ask = { .k = plan_pad_need (state, (int) item->index),
                          .smt = wish->smt,
                          .numa =
                              wish->numa == CORRAL_NUMA_ANY ? CORRAL_NUMA_ANY : CORRAL_NUMA_PREFER,
                          .container = (int) item->index,
                          .keep = keep };

    if (ask.k == 0)
        return TRUE;
    mark_now (state, item->index, keep);
    if (!plan_select (state, &ask, &pick))
        return FALSE;
    settle_set (state, item, &pick);
    return TRUE;
}

static guint
pool_size (const PlanState *state, guint container)
{
    const PlanItem item = { PLAN_ITEM_POOL, container };
    guint size = 0;

    for (guint i = 0; i < state->n; i++)
        size += plan_item_has (state, &item, i) && !state->slots[i].idle;
    return size;
}

/* Within what lies near the set as it is: @level 0 its L3 groups, 1 its nodes, 2 anywhere. */
static void
mark_near (const PlanState *state, guint container, guint level, guint8 *within)
{
    const CorralTopology *topology = state->topology;
    g_autofree guint8 *l3s = g_new0 (guint8, topology->n_l3s);
    g_autofree guint8 *nodes = g_new0 (guint8, topology->n_nodes);
    const PlanItem item = { PLAN_ITEM_POOL, container };

    for (guint i = 0; i < state->n; i++)
        if (plan_item_has (state, &item, i))
            l3s[topology->cpus[i].l3] = nodes[topology->cpus[i].node] = TRUE;
    for (guint i = 0; i < state->n; i++)
        within[i] =
            level == 2 || (level == 0 ? l3s[topology->cpus[i].l3] : nodes[topology->cpus[i].node]);
}

static gboolean
grow_pool (PlanState *state, const PlanItem *item, guint more)
{
    const CorralPlacement *wish = plan_wish_of (state, (int) item->index);
    g_autofree guint8 *within = g_new0 (guint8, state->n);

    for (guint level = 0; level < (wish->numa == CORRAL_NUMA_STRICT ? 2u : 3u); level++) {
        g_auto (PlanPick) pick = { 0 };
        const PlanAsk ask = { .k = more,
                              .smt = wish->smt,
                              .numa = wish->numa,
                              .container = (int) item->index,
                              .within = within };

        mark_near (state, item->index, level, within);
        if (!plan_select (state, &ask, &pick))
            continue;
        settle_set (state, item, &pick);
        return TRUE;
    }
    return FALSE;
}

static gboolean
place_pool (PlanState *state, const PlanItem *item)
{
    const CorralPlacement *wish = plan_wish_of (state, (int) item->index);
    const guint need = plan_pool_need (state, (int) item->index, 0);
    const guint have = pool_size (state, item->index);
    g_autofree guint8 *keep = g_new0 (guint8, state->n);
    g_auto (PlanPick) pick = { 0 };
    const PlanAsk ask = { .k = need,
                          .smt = wish->smt,
                          .numa = wish->numa,
                          .container = (int) item->index,
                          .keep = keep };
    g_autofree PlanSlot *before = NULL;

    if (have >= need || (have > 0 && grow_pool (state, item, need - have)))
        return TRUE;
    /* All of it elsewhere, when it cannot grow where it is. */
    before = g_memdup2 (state->slots, state->n * sizeof *state->slots);
    mark_now (state, item->index, keep);
    plan_item_release (state, item);
    if (plan_select (state, &ask, &pick)) {
        settle_set (state, item, &pick);
        return TRUE;
    }
    state->changes++;
    memcpy (state->slots, before, state->n * sizeof *state->slots);
    return FALSE;
}

gboolean
plan_item_place (PlanState *state, const PlanItem *item)
{
    switch (item->kind) {
    case PLAN_ITEM_PAD:
        plan_item_release (state, item);
        return place_pad (state, item);
    case PLAN_ITEM_POOL:
        return place_pool (state, item);
    case PLAN_ITEM_VM:
    default:
        return place_vm (state, item->index);
    }
}
