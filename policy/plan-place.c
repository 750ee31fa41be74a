/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who gets which pCPUs, in an order in which the earlier stands before the later:
 *
 * 1. dedicated VMs that run and whose places are still right keep them
 * 2. shared containers keep what the kernel gives them, as much of it as they need
 * 3. running VMs that lost their places, and shared containers that need more; of the former, the
 *    vCPUs whose places are still right keep them against all but a move that gives the whole VM a
 *    place, and whatever else becomes of it
 * 4. reservations
 * 5. VMs that are to start, in the order that plan-order.c found
 *
 * Whatever does not fit is tried once more with something else moved away for it: first what does
 * not run, then the fewest running vCPUs. Each pCPU belongs to one container's own set at most; a
 * parent's set is that and its children's, so nesting needs no rule of its own. */
#include "policy/plan-private.h"

#include <string.h>

/* --- what runs already --- */

/* Whether the VM's vCPUs are where they may stay: checked pCPU by pCPU against what is taken. */
static gboolean
place_is_right (const PlanState *state, guint vm)
{
    const CorralPlacement wish = plan_wish_of_vm (state, vm);
    const guint n = state->input->vms[vm].n_vcpus;
    g_autofree guint8 *mine = g_new0 (guint8, state->n);
    int node = -1;

    for (guint i = 0; i < n; i++) {
        const int cpu = plan_place_now (state, vm, i);

        if (cpu < 0 || mine[cpu] || !plan_is_free (state, state->vms[vm].container, (guint) cpu))
            return FALSE;
        mine[cpu] = TRUE;
        if (wish.numa == CORRAL_NUMA_STRICT && node >= 0 &&
            node != (int) state->topology->cpus[cpu].node)
            return FALSE;
        node = (int) state->topology->cpus[cpu].node;
    }
    if (wish.smt != CORRAL_SMT_ISOLATE && wish.smt != CORRAL_SMT_REQUIRE)
        return TRUE;
    for (guint core = 0; core < state->topology->n_cores; core++) {
        guint own = 0, foreign = 0;

        for (guint at = state->core_start[core]; at < state->core_start[core + 1]; at++) {
            const guint cpu = state->core_cpus[at];

            own += mine[cpu];
            foreign += state->topology->cpus[cpu].online && !mine[cpu] &&
                       !plan_is_free (state, state->vms[vm].container, cpu);
        }
        if (own > 0 && (foreign > 0 || (wish.smt == CORRAL_SMT_ISOLATE && own > 1)))
            return FALSE;
    }
    return TRUE;
}

static void
keep_place (PlanState *state, guint vm)
{
    const CorralPlacement wish = plan_wish_of_vm (state, vm);
    const guint n = state->input->vms[vm].n_vcpus;
    g_auto (PlanPick) pick = { g_array_new (FALSE, FALSE, sizeof (guint)),
                               g_array_new (FALSE, FALSE, sizeof (guint)) };

    for (guint i = 0; i < n; i++) {
        const guint cpu = (guint) plan_place_now (state, vm, i);

        g_array_append_val (pick.cpus, cpu);
    }
    for (guint i = 0; i < n && (wish.smt == CORRAL_SMT_ISOLATE || wish.smt == CORRAL_SMT_REQUIRE);
         i++) {
        const guint core = state->topology->cpus[plan_place_now (state, vm, i)].core;

        for (guint at = state->core_start[core]; at < state->core_start[core + 1]; at++) {
            const guint cpu = state->core_cpus[at];
            gboolean taken = !state->topology->cpus[cpu].online;

            for (guint j = 0; j < n; j++)
                taken = taken || plan_place_now (state, vm, j) == (int) cpu;
            for (guint j = 0; j < pick.idle->len; j++)
                taken = taken || g_array_index (pick.idle, guint, j) == cpu;
            if (!taken)
                g_array_append_val (pick.idle, cpu);
        }
    }
    plan_settle_vm (state, vm, &pick);
}

/* A set that is larger than it needs to be gives up pCPUs in the L3 group where it has fewest. */
static void
trim_pool (PlanState *state, const PlanItem *item, guint need)
{
    g_autofree guint *per_l3 = g_new0 (guint, state->topology->n_l3s);
    guint size = 0;

    for (guint i = 0; i < state->n; i++)
        if (plan_item_has (state, item, i)) {
            per_l3[state->topology->cpus[i].l3]++;
            size++;
        }
    for (; size > need; size--) {
        int worst = -1;

        for (guint i = 0; i < state->n; i++)
            if (plan_item_has (state, item, i) &&
                (worst < 0 ||
                 per_l3[state->topology->cpus[i].l3] <= per_l3[state->topology->cpus[worst].l3]))
                worst = (int) i;
        state->changes++;
        per_l3[state->topology->cpus[worst].l3]--;
        state->slots[worst] = (PlanSlot){ .container = -1, .vm = -1 };
    }
}

/* Takes those pCPUs away that a running VM's vCPU has alone. */
static void
without_places (const PlanState *state, CorralCpuset *set)
{
    for (guint v = 0; v < state->input->n_vms; v++)
        for (guint i = 0; i < state->input->vms[v].n_vcpus && state->input->vms[v].running; i++) {
            const int cpu = plan_place_now (state, v, i);

            if (cpu >= 0)
                hwloc_bitmap_clr (set, state->topology->cpus[cpu].number);
        }
}

/* Adds to @set where the vCPUs of the VM may run now, if it runs. */
static void
add_now (const PlanState *state, guint vm, CorralCpuset *set)
{
    const CorralPlanVm *input = &state->input->vms[vm];
    const guint n = state->vms[vm].uniform ? 1 : input->n_vcpus;

    for (guint i = 0; i < n && input->running && input->vcpus != NULL; i++)
        if (input->vcpus[i] != NULL)
            hwloc_bitmap_or (set, set, input->vcpus[i]);
}

/* What the container's own set is now: where its running VMs may run, or else all that the kernel
 * gives it, which holds its children's sets and VMs, too. */
static CorralCpuset *
pool_now (const PlanState *state, guint container)
{
    const CorralCpuset *cpus = state->input->containers[container].cpus;
    CorralCpuset *now = hwloc_bitmap_alloc ();

    for (guint v = 0; v < state->input->n_vms; v++)
        if (state->vms[v].container == (int) container)
            add_now (state, v, now);
    if (cpus != NULL && hwloc_bitmap_iszero (now)) {
        hwloc_bitmap_copy (now, cpus);
        without_places (state, now);
    }
    return now;
}

/* Takes what is free of that, as much as is needed. Sets of whole cores, and such in which cores
 * are left idle, are laid out anew. */
static void
keep_pool (PlanState *state, guint container)
{
    const CorralPlacement *wish = plan_wish_of (state, (int) container);
    const PlanItem item = { PLAN_ITEM_POOL, container };
    g_autoptr (CorralCpuset) now = pool_now (state, container);
    int node = -1;

    if (wish->smt == CORRAL_SMT_ISOLATE || wish->smt == CORRAL_SMT_REQUIRE)
        return;
    for (guint i = 0; i < state->n; i++) {
        const int here = (int) state->topology->cpus[i].node;

        if (!hwloc_bitmap_isset (now, state->topology->cpus[i].number) ||
            !plan_is_free (state, (int) container, i) ||
            (wish->numa == CORRAL_NUMA_STRICT && node >= 0 && node != here))
            continue;
        node = here;
        plan_item_take (state, &item, i, FALSE);
    }
    trim_pool (state, &item, plan_pool_need (state, (int) container, 0));
}

/* --- VMs --- */

static CorralPlacementMode
mode_of_vm (const PlanState *state, guint vm)
{
    return state->vms[vm].container < 0 ? CORRAL_MODE_NONE
                                        : plan_wish_of (state, state->vms[vm].container)->mode;
}

static void
refuse (PlanState *state, guint vm, CorralPlanRule why, int why_at)
{
    state->vms[vm].refused = TRUE;
    state->vms[vm].why = why;
    state->vms[vm].why_at = why_at;
}

static void
accept (PlanState *state, guint vm)
{
    state->vms[vm].placed = TRUE;
    plan_count (state, state->vms[vm].container, (int) state->input->vms[vm].n_vcpus);
}

static gboolean
within_limits (PlanState *state, guint vm)
{
    for (int c = state->vms[vm].container; c >= 0; c = state->containers[c].parent) {
        const guint limit = plan_wish_of (state, c)->limit_vcpus;

        if (limit > 0 && state->containers[c].vcpus + state->input->vms[vm].n_vcpus > limit) {
            refuse (state, vm, CORRAL_RULE_LIMIT, c);
            return FALSE;
        }
    }
    return TRUE;
}

/* A VM fills its container's reservation first, so that goes out of its way, and what is left of it
 * is laid down anew. */
static gboolean
place_dedicated (PlanState *state, guint vm)
{
    const int container = state->vms[vm].container;
    const PlanItem item = { PLAN_ITEM_VM, vm }, pad = { PLAN_ITEM_PAD, (guint) container };
    PlanSnapshot before;
    gboolean done;

    if (plan_own_reserve (state, container) == 0) {
        done = plan_find_place (state, &item);
        if (done)
            accept (state, vm);
        return done;
    }
    plan_snapshot_take (state, &before);
    plan_item_release (state, &pad);
    done = plan_find_place (state, &item);
    if (done) {
        accept (state, vm);
        done = plan_find_place (state, &pad) || state->containers[container].refused;
        if (!done) {
            state->vms[vm].placed = FALSE;
            plan_count (state, container, -(int) state->input->vms[vm].n_vcpus);
        }
    }
    if (!done)
        plan_snapshot_restore (state, &before);
    plan_snapshot_clear (state, &before);
    return done;
}

/* One that runs had kept what was still right of its places, and has that again if it does not fit:
 * it counts for its container. */
static gboolean
place_dedicated_or_hold (PlanState *state, guint vm)
{
    const PlanItem item = { PLAN_ITEM_VM, vm };
    guint held;

    if (!state->input->vms[vm].running)
        return place_dedicated (state, vm);
    plan_item_release (state, &item);
    if (place_dedicated (state, vm))
        return TRUE;
    plan_hold_places (state, vm, NULL);
    g_free (plan_held_places (state, vm, &held));
    plan_count (state, state->vms[vm].container, (int) held);
    return FALSE;
}

static gboolean
place_shared (PlanState *state, guint vm)
{
    const PlanItem pool = { PLAN_ITEM_POOL, (guint) state->vms[vm].container };

    accept (state, vm);
    if (plan_find_place (state, &pool))
        return TRUE;
    state->vms[vm].placed = FALSE;
    plan_count (state, state->vms[vm].container, -(int) state->input->vms[vm].n_vcpus);
    return FALSE;
}

static gboolean
has_housekeeping (const PlanState *state, int container)
{
    for (guint i = 0; i < state->n; i++)
        if (state->housekeeping[i] && state->topology->cpus[i].online &&
            state->containers[container].domain[i])
            return TRUE;
    return FALSE;
}

void
plan_place_one (PlanState *state, guint vm)
{
    const CorralPlacementMode mode = mode_of_vm (state, vm);

    if (state->vms[vm].placed || state->vms[vm].refused)
        return;
    if (state->vms[vm].container < 0)
        refuse (state, vm, CORRAL_RULE_CONTAINER, -1);
    else if (!state->input->vms[vm].running && !within_limits (state, vm))
        return;
    else if (mode == CORRAL_MODE_NONE)
        accept (state, vm);
    else if (mode == CORRAL_MODE_HOUSEKEEPING && has_housekeeping (state, state->vms[vm].container))
        accept (state, vm);
    else if (mode == CORRAL_MODE_HOUSEKEEPING)
        refuse (state, vm, CORRAL_RULE_HOUSEKEEPING, -1);
    else if (mode == CORRAL_MODE_SHARED && !place_shared (state, vm))
        refuse (state, vm, CORRAL_RULE_OVERCOMMIT, -1);
    else if (mode == CORRAL_MODE_DEDICATED && !place_dedicated_or_hold (state, vm))
        refuse (state, vm, CORRAL_RULE_OWNED, -1);
}

/* --- all of it --- */

/* pCPUs that running VMs float over. (transfer full) */
static CorralCpuset *
floated_over (const PlanState *state)
{
    CorralCpuset *set = hwloc_bitmap_alloc ();

    for (guint v = 0; v < state->input->n_vms; v++)
        if (mode_of_vm (state, v) == CORRAL_MODE_SHARED)
            add_now (state, v, set);
    return set;
}

/* Dedicated VMs that want whole cores, or those that do not: all of a place that is right, or those
 * of its pCPUs that are. @floated: found when it is needed, since it takes a while */
static void
keep_places (PlanState *state, gboolean whole, CorralCpuset **floated)
{
    const CorralPlanInput *input = state->input;

    for (guint v = 0; v < input->n_vms; v++)
        if (input->vms[v].running && mode_of_vm (state, v) == CORRAL_MODE_DEDICATED &&
            plan_wants_whole_cores (state, v) == whole && place_is_right (state, v)) {
            keep_place (state, v);
            accept (state, v);
        }
    for (guint v = 0; v < input->n_vms; v++)
        if (input->vms[v].running && mode_of_vm (state, v) == CORRAL_MODE_DEDICATED &&
            plan_wants_whole_cores (state, v) == whole && !state->vms[v].placed) {
            if (*floated == NULL)
                *floated = floated_over (state);
            plan_hold_places (state, v, *floated);
        }
}

static void
keep_what_runs (PlanState *state)
{
    const CorralPlanInput *input = state->input;
    g_autoptr (CorralCpuset) floated = NULL;
    guint deepest = 0;

    /* Who wants whole cores, and has not got them, gets none that another has a part of. */
    keep_places (state, FALSE, &floated);
    keep_places (state, TRUE, &floated);
    for (guint v = 0; v < input->n_vms; v++)
        if (input->vms[v].running && mode_of_vm (state, v) == CORRAL_MODE_SHARED)
            accept (state, v);
    for (guint c = 0; c < input->n_containers; c++)
        deepest = MAX (deepest, state->containers[c].depth);
    /* What the kernel gives to a parent holds its children's, too: those come first. */
    for (guint depth = deepest + 1; depth-- > 0;)
        for (guint c = 0; c < input->n_containers; c++)
            if (state->containers[c].depth == depth &&
                plan_wish_of (state, (int) c)->mode == CORRAL_MODE_SHARED)
                keep_pool (state, c);
}

/* Without room for all of its running VMs a shared container keeps the first of them. */
void
plan_fill_pool (PlanState *state, guint container)
{
    const PlanItem pool = { PLAN_ITEM_POOL, container };

    if (plan_find_place (state, &pool))
        return;
    if (plan_wish_of (state, (int) container)->reserve_vcpus > 0)
        state->containers[container].refused = TRUE;
    for (guint v = state->input->n_vms; v-- > 0;) {
        if (state->vms[v].container != (int) container || !state->vms[v].placed)
            continue;
        state->vms[v].placed = FALSE;
        plan_count (state, (int) container, -(int) state->input->vms[v].n_vcpus);
        refuse (state, v, CORRAL_RULE_OVERCOMMIT, -1);
        if (plan_find_place (state, &pool))
            return;
    }
    state->containers[container].refused = TRUE;
}

void
plan_place_running (PlanState *state)
{
    const CorralPlanInput *input = state->input;

    keep_what_runs (state);
    for (guint v = 0; v < input->n_vms; v++)
        if (input->vms[v].running)
            plan_place_one (state, v);
    for (guint c = 0; c < input->n_containers; c++)
        if (plan_wish_of (state, (int) c)->mode == CORRAL_MODE_SHARED)
            plan_fill_pool (state, c);
}

void
plan_place_reserved (PlanState *state)
{
    const CorralPlanInput *input = state->input;

    for (guint c = 0; c < input->n_containers; c++) {
        const PlanItem pad = { PLAN_ITEM_PAD, c };

        if (plan_wish_of (state, (int) c)->mode == CORRAL_MODE_DEDICATED &&
            !plan_find_place (state, &pad))
            state->containers[c].refused = TRUE;
    }
}

void
plan_place_starting (PlanState *state, const guint *order)
{
    for (guint i = 0; i < state->input->n_vms; i++)
        plan_place_one (state, order[i]);
}
