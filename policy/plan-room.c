/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making room: what stands in the way of a thing that does not fit is moved elsewhere, first what
 * does not run, then as few running vCPUs as may be. */
#include "policy/plan-private.h"

#include <string.h>

/* How many things are tried to be moved away, alone and in pairs, before a VM is refused. */
#define VICTIMS_ALONE 256
#define VICTIMS_PAIRED 24

void
plan_snapshot_take (const PlanState *state, PlanSnapshot *snapshot)
{
    snapshot->slots = g_memdup2 (state->slots, state->n * sizeof *state->slots);
    snapshot->cpus = g_new0 (int *, state->input->n_vms + 1);
    for (guint v = 0; v < state->input->n_vms; v++)
        if (state->vms[v].cpus != NULL)
            snapshot->cpus[v] = g_rc_box_acquire (state->vms[v].cpus);
}

void
plan_snapshot_restore (PlanState *state, const PlanSnapshot *snapshot)
{
    state->changes++;
    memcpy (state->slots, snapshot->slots, state->n * sizeof *state->slots);
    for (guint v = 0; v < state->input->n_vms; v++) {
        if (state->vms[v].cpus == snapshot->cpus[v])
            continue;
        g_clear_pointer (&state->vms[v].cpus, g_rc_box_release);
        if (snapshot->cpus[v] != NULL)
            state->vms[v].cpus = g_rc_box_acquire (snapshot->cpus[v]);
    }
}

void
plan_snapshot_clear (const PlanState *state, PlanSnapshot *snapshot)
{
    for (guint v = 0; v < state->input->n_vms; v++)
        g_clear_pointer (&snapshot->cpus[v], g_rc_box_release);
    g_free (snapshot->cpus);
    g_free (snapshot->slots);
}

/* vCPUs that run and would have to move if the item gave up all it has; what a set's VMs feel. */
static guint
item_weight (const PlanState *state, const PlanItem *item)
{
    guint weight = 0;

    if (item->kind == PLAN_ITEM_PAD)
        return 0;
    if (item->kind == PLAN_ITEM_VM)
        return state->input->vms[item->index].running ? state->input->vms[item->index].n_vcpus : 0;
    for (guint v = 0; v < state->input->n_vms; v++)
        if (state->vms[v].container == (int) item->index && state->vms[v].placed &&
            state->input->vms[v].running)
            weight += state->input->vms[v].n_vcpus;
    return weight;
}

/* By container: running vCPUs that float over its set. */
static guint *
floating_by_container (const PlanState *state)
{
    guint *weights = g_new0 (guint, state->input->n_containers + 1);

    for (guint v = 0; v < state->input->n_vms; v++)
        if (state->vms[v].container >= 0 && state->vms[v].placed && state->input->vms[v].running)
            weights[state->vms[v].container] += state->input->vms[v].n_vcpus;
    return weights;
}

/* What the state costs: running dedicated vCPUs that are not where they were, and pCPUs that a
 * running shared VM loses. */
static guint
count_moves (const PlanState *state)
{
    g_autofree guint *floating = floating_by_container (state);
    guint moves = 0;

    for (guint v = 0; v < state->input->n_vms; v++) {
        if (!state->input->vms[v].running || state->vms[v].cpus == NULL)
            continue;
        for (guint i = 0; i < state->input->vms[v].n_vcpus; i++)
            moves += plan_place_now (state, v, i) >= 0 &&
                     plan_place_now (state, v, i) != state->vms[v].cpus[i];
    }
    for (guint i = 0; i < state->n; i++) {
        const PlanSlot *slot = &state->slots[i];
        const CorralCpuset *cpus;

        if (slot->container < 0 || slot->vm >= 0 || slot->pad || floating[slot->container] == 0 ||
            plan_wish_of (state, slot->container)->mode != CORRAL_MODE_SHARED)
            continue;
        cpus = state->input->containers[slot->container].cpus;
        moves += cpus != NULL && !hwloc_bitmap_isset (cpus, state->topology->cpus[i].number);
    }
    return moves;
}

/* What may be moved away for the sake of something. */
typedef struct {
    PlanItem item;
    guint weight;
    guint gives; /* pCPUs that could be had by its going */
} Victim;

static int
compare_victims (gconstpointer a, gconstpointer b)
{
    const Victim *x = a, *y = b;

    if (x->weight != y->weight)
        return x->weight < y->weight ? -1 : 1;
    if (x->item.kind != y->item.kind)
        return x->item.kind < y->item.kind ? -1 : 1;
    return (x->item.index > y->item.index) - (x->item.index < y->item.index);
}

/* What has pCPUs that @item could use, lightest first. @ret_has: those it could have, or has,
 * without anybody's going */
static GArray *
find_victims (const PlanState *state, const PlanItem *item, guint *ret_has)
{
    const CorralPlanInput *input = state->input;
    GArray *victims = g_array_new (FALSE, FALSE, sizeof (Victim));
    const guint most = MAX (input->n_vms, input->n_containers);
    /* by kind and index: where it is in @victims, from 1 on */
    g_autofree guint *seen = g_new0 (guint, 3 * ((gsize) most + 1));
    const int container = plan_item_container (state, item);

    *ret_has = 0;
    for (guint i = 0; i < state->n; i++) {
        const PlanSlot *slot = &state->slots[i];
        Victim victim = { .gives = 0 };
        guint *at;

        if (!plan_is_open (state, container, i))
            continue;
        if (slot->container < 0 || plan_item_has (state, item, i)) {
            ++*ret_has;
            continue;
        }
        /* What a VM that does not fit has kept cannot be had by moving it: there is no place. */
        if (slot->vm >= 0 && state->vms[slot->vm].refused)
            continue;
        victim.item = slot->vm >= 0 ? (PlanItem){ PLAN_ITEM_VM, (guint) slot->vm }
                                    : (PlanItem){ slot->pad ? PLAN_ITEM_PAD : PLAN_ITEM_POOL,
                                                  (guint) slot->container };
        at = &seen[victim.item.kind * (gsize) most + victim.item.index];
        if (*at == 0) {
            victim.weight = item_weight (state, &victim.item);
            g_array_append_val (victims, victim);
            *at = victims->len;
        }
        g_array_index (victims, Victim, *at - 1).gives++;
    }
    g_array_sort (victims, compare_victims);
    return victims;
}

/* Moves @a, and @b if there is one, away; puts @item in; then finds them a new place. */
static gboolean
try_without (PlanState *state, const PlanItem *item, const PlanItem *a, const PlanItem *b)
{
    plan_item_release (state, a);
    if (b != NULL)
        plan_item_release (state, b);
    return plan_item_place (state, item) && plan_item_place (state, a) &&
           (b == NULL || plan_item_place (state, b));
}

typedef struct {
    const PlanItem *a, *b;
    guint moves;
} Best;

static void
try_and_note (PlanState *state, const PlanSnapshot *before, const PlanItem *item, const PlanItem *a,
              const PlanItem *b, Best *best)
{
    if (try_without (state, item, a, b)) {
        const guint moves = count_moves (state);

        if (best->a == NULL || moves < best->moves)
            *best = (Best){ a, b, moves };
    }
    plan_snapshot_restore (state, before);
}

typedef struct {
    guint k; /* places */
    CorralPlacementSmt smt;
    CorralPlacementNuma numa;
} Wanted;

static Wanted
wanted_by (const PlanState *state, const PlanItem *item)
{
    const int container = plan_item_container (state, item);
    const CorralPlacement wish = item->kind == PLAN_ITEM_VM ? plan_wish_of_vm (state, item->index)
                                                            : *plan_wish_of (state, container);
    const guint k = item->kind == PLAN_ITEM_VM    ? state->input->vms[item->index].n_vcpus
                    : item->kind == PLAN_ITEM_PAD ? plan_pad_need (state, container)
                                                  : plan_pool_need (state, container, 0);

    return (Wanted){ k, wish.smt, item->kind == PLAN_ITEM_PAD ? CORRAL_NUMA_PREFER : wish.numa };
}

/* The fewest pCPUs that go with so many places. */
static guint
fewest_cpus (const PlanState *state, const Wanted *wanted)
{
    guint left = wanted->k, sum = 0;

    if (wanted->smt != CORRAL_SMT_ISOLATE)
        return wanted->k;
    for (guint size = 1; left > 0 && size <= state->n; size++)
        for (guint core = 0; left > 0 && core < state->topology->n_cores; core++)
            if (state->core_size[core] == size) {
                sum += size;
                left--;
            }
    return left == 0 ? sum : G_MAXUINT;
}

/* pCPUs that sets hold beyond what they need, and would do without if they were laid out anew. */
static guint
count_surplus (const PlanState *state)
{
    const CorralPlanInput *input = state->input;
    g_autofree guint *sizes = g_new0 (guint, input->n_containers + 1);
    guint surplus = 0;

    for (guint i = 0; i < state->n; i++) {
        const PlanSlot *slot = &state->slots[i];

        if (slot->container >= 0 && slot->vm < 0 && !slot->pad && !slot->idle)
            sizes[slot->container]++;
    }
    for (guint c = 0; c < input->n_containers; c++)
        if (sizes[c] > 0) {
            const guint need = plan_pool_need (state, (int) c, 0);

            surplus += sizes[c] - MIN (need, sizes[c]);
        }
    return surplus;
}

/* Places that the item could have if nobody else had any; in one node where it must be in one. */
static gboolean
would_fit_alone (const PlanState *state, const PlanItem *item, const Wanted *wanted)
{
    const int container = plan_item_container (state, item);
    g_autofree guint *places = g_new0 (guint, state->topology->n_nodes + 1);
    guint all = 0, most = 0;

    for (guint core = 0; core < state->topology->n_cores; core++) {
        guint open = 0;

        for (guint at = state->core_start[core]; at < state->core_start[core + 1]; at++)
            open += plan_is_open (state, container, state->core_cpus[at]);
        if (wanted->smt == CORRAL_SMT_ISOLATE)
            open = open > 0;
        all += open;
        places[state->core_node[core]] += open;
        most = MAX (most, places[state->core_node[core]]);
    }
    return (wanted->numa == CORRAL_NUMA_STRICT ? most : all) >= wanted->k;
}

/* Moving things about makes no pCPU free, only others; but what is kept idle for a thing may be
 * less where it goes. */
static gboolean
room_can_be_made (const PlanState *state, const PlanItem *item)
{
    const Wanted wanted = wanted_by (state, item);
    guint free = 0, idle = 0;

    for (guint i = 0; i < state->n; i++) {
        if (!state->topology->cpus[i].online || state->housekeeping[i])
            continue;
        if (state->slots[i].container < 0 || state->slots[i].pad || plan_item_has (state, item, i))
            free++;
        else
            idle += state->slots[i].idle;
    }
    return free >= wanted.k &&
           free + idle + count_surplus (state) >= fewest_cpus (state, &wanted) &&
           would_fit_alone (state, item, &wanted);
}

/* No room is better than one for which nothing that runs is moved. */
static gboolean
is_enough (const PlanState *state, const Best *best)
{
    return best->a != NULL && (best->moves == 0 || state->any_room_will_do);
}

static gboolean
make_room (PlanState *state, const PlanItem *item)
{
    guint has, need = wanted_by (state, item).k;
    g_autoptr (GArray) victims = find_victims (state, item, &has);
    const guint alone = MIN (victims->len, VICTIMS_ALONE);
    const guint paired = MIN (victims->len, VICTIMS_PAIRED);
    Best best = { 0 };
    PlanSnapshot before;

    plan_snapshot_take (state, &before);
    for (guint i = 0; i < alone && !is_enough (state, &best); i++) {
        const Victim *a = &g_array_index (victims, Victim, i);

        if (has + a->gives >= need)
            try_and_note (state, &before, item, &a->item, NULL, &best);
    }
    for (guint i = 0; i < paired && best.a == NULL; i++)
        for (guint j = i + 1; j < paired && !is_enough (state, &best); j++) {
            const Victim *a = &g_array_index (victims, Victim, j);
            const Victim *b = &g_array_index (victims, Victim, i);

            if (has + a->gives + b->gives >= need)
                try_and_note (state, &before, item, &a->item, &b->item, &best);
        }
    if (best.a != NULL && !try_without (state, item, best.a, best.b))
        g_assert_not_reached (); /* it did, a moment ago */
    plan_snapshot_clear (state, &before);
    return best.a != NULL;
}

gboolean
plan_find_place (PlanState *state, const PlanItem *item)
{
    return plan_item_place (state, item) ||
           (room_can_be_made (state, item) && make_room (state, item));
}
