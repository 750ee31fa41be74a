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
            snapshot->cpus[v] =
                g_memdup2 (state->vms[v].cpus, state->input->vms[v].n_vcpus * sizeof (int));
}

void
plan_snapshot_restore (PlanState *state, const PlanSnapshot *snapshot)
{
    state->changes++;
    memcpy (state->slots, snapshot->slots, state->n * sizeof *state->slots);
    for (guint v = 0; v < state->input->n_vms; v++) {
        g_clear_pointer (&state->vms[v].cpus, g_free);
        if (snapshot->cpus[v] != NULL)
            state->vms[v].cpus =
                g_memdup2 (snapshot->cpus[v], state->input->vms[v].n_vcpus * sizeof (int));
    }
}

void
plan_snapshot_clear (const PlanState *state, PlanSnapshot *snapshot)
{
    for (guint v = 0; v < state->input->n_vms; v++)
        g_free (snapshot->cpus[v]);
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

/* What the state costs: running dedicated vCPUs that are not where they were, and pCPUs that a
 * running shared VM loses. */
static guint
count_moves (const PlanState *state)
{
    guint moves = 0;

    for (guint v = 0; v < state->input->n_vms; v++) {
        if (!state->input->vms[v].running || state->vms[v].cpus == NULL)
            continue;
        for (guint i = 0; i < state->input->vms[v].n_vcpus; i++)
            moves += plan_place_now (state, v, i) >= 0 &&
                     plan_place_now (state, v, i) != state->vms[v].cpus[i];
    }
    for (guint c = 0; c < state->input->n_containers; c++) {
        const CorralCpuset *cpus = state->input->containers[c].cpus;
        const PlanItem item = { PLAN_ITEM_POOL, c };

        if (plan_wish_of (state, (int) c)->mode != CORRAL_MODE_SHARED || cpus == NULL ||
            item_weight (state, &item) == 0)
            continue;
        for (guint i = 0; i < state->n; i++)
            moves += plan_item_has (state, &item, i) &&
                     !hwloc_bitmap_isset (cpus, state->topology->cpus[i].number);
    }
    return moves;
}

static int
compare_victims (gconstpointer a, gconstpointer b, gpointer data)
{
    const PlanItem *x = a, *y = b;
    const guint wx = item_weight (data, x), wy = item_weight (data, y);

    if (wx != wy)
        return wx < wy ? -1 : 1;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* What has pCPUs that @item could use, lightest first. */
static GArray *
find_victims (PlanState *state, const PlanItem *item)
{
    const CorralPlanInput *input = state->input;
    GArray *victims = g_array_new (FALSE, FALSE, sizeof (PlanItem));
    g_autofree guint8 *seen_vm = g_new0 (guint8, input->n_vms + 1);
    g_autofree guint8 *seen_pool = g_new0 (guint8, input->n_containers + 1);
    g_autofree guint8 *seen_pad = g_new0 (guint8, input->n_containers + 1);
    const int container = plan_item_container (state, item);

    for (guint i = 0; i < state->n; i++) {
        const PlanSlot *slot = &state->slots[i];
        PlanItem victim;

        if (slot->container < 0 || !plan_is_open (state, container, i) ||
            plan_item_has (state, item, i))
            continue;
        victim = slot->vm >= 0 ? (PlanItem){ PLAN_ITEM_VM, (guint) slot->vm }
                               : (PlanItem){ slot->pad ? PLAN_ITEM_PAD : PLAN_ITEM_POOL,
                                             (guint) slot->container };
        if (victim.kind == PLAN_ITEM_VM    ? seen_vm[victim.index]
            : victim.kind == PLAN_ITEM_PAD ? seen_pad[victim.index]
                                           : seen_pool[victim.index])
            continue;
        *(victim.kind == PLAN_ITEM_VM    ? &seen_vm[victim.index]
          : victim.kind == PLAN_ITEM_PAD ? &seen_pad[victim.index]
                                         : &seen_pool[victim.index]) = TRUE;
        g_array_append_val (victims, victim);
    }
    g_array_sort_with_data (victims, compare_victims, state);
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

/* Moving things about makes no pCPU free, only others. */
static gboolean
room_can_be_made (const PlanState *state, const PlanItem *item)
{
    const guint need = item->kind == PLAN_ITEM_VM    ? state->input->vms[item->index].n_vcpus
                       : item->kind == PLAN_ITEM_PAD ? plan_pad_need (state, (int) item->index)
                                                     : plan_pool_need (state, (int) item->index, 0);
    guint free = 0;

    for (guint i = 0; i < state->n; i++)
        free += state->topology->cpus[i].online && !state->housekeeping[i] &&
                (state->slots[i].container < 0 || state->slots[i].pad ||
                 plan_item_has (state, item, i));
    return free >= need;
}

static gboolean
make_room (PlanState *state, const PlanItem *item)
{
    g_autoptr (GArray) victims = find_victims (state, item);
    const guint alone = MIN (victims->len, VICTIMS_ALONE);
    const guint paired = MIN (victims->len, VICTIMS_PAIRED);
    Best best = { 0 };
    PlanSnapshot before;

    plan_snapshot_take (state, &before);
    for (guint i = 0; i < alone; i++)
        try_and_note (state, &before, item, &g_array_index (victims, PlanItem, i), NULL, &best);
    for (guint i = 0; i < paired && best.a == NULL; i++)
        for (guint j = i + 1; j < paired; j++)
            try_and_note (state, &before, item, &g_array_index (victims, PlanItem, j),
                          &g_array_index (victims, PlanItem, i), &best);
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
