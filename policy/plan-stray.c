/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What runs and does not fit. It goes on running, so it is told to run where no other VM's
 * dedicated vCPU is: those of its vCPUs whose pCPU is still right keep that, as if they had been
 * placed; the others float, and do not fit, until there is room. */
#include "policy/plan-private.h"

/* --- places that are kept --- */

/* Whether nobody else has anything of the pCPU's core; under "require" the VM itself may. */
static gboolean
core_is_its_own (const PlanState *state, guint vm, guint cpu, CorralPlacementSmt smt)
{
    const guint core = state->topology->cpus[cpu].core;

    for (guint at = state->core_start[core]; at < state->core_start[core + 1]; at++) {
        const guint other = state->core_cpus[at];

        if (other == cpu || !state->topology->cpus[other].online ||
            plan_is_free (state, state->vms[vm].container, other) ||
            (smt == CORRAL_SMT_REQUIRE && state->slots[other].vm == (int) vm))
            continue;
        return FALSE;
    }
    return TRUE;
}

/* The rest of the cores that it has. */
static void
hold_siblings (PlanState *state, const PlanItem *item)
{
    for (guint i = 0; i < state->n; i++) {
        const guint core = state->topology->cpus[i].core;

        if (!plan_item_has (state, item, i) || state->slots[i].idle)
            continue;
        for (guint at = state->core_start[core]; at < state->core_start[core + 1]; at++) {
            const guint other = state->core_cpus[at];

            if (state->topology->cpus[other].online && state->slots[other].container < 0)
                plan_item_take (state, item, other, TRUE);
        }
    }
}

gboolean
plan_wants_whole_cores (const PlanState *state, guint vm)
{
    const CorralPlacementSmt smt = plan_wish_of_vm (state, vm).smt;

    return smt == CORRAL_SMT_ISOLATE || smt == CORRAL_SMT_REQUIRE;
}

void
plan_hold_places (PlanState *state, guint vm, const CorralCpuset *but)
{
    const PlanItem item = { PLAN_ITEM_VM, vm };
    const CorralPlacementSmt smt = plan_wish_of_vm (state, vm).smt;
    const gboolean whole = plan_wants_whole_cores (state, vm);

    for (guint i = 0; i < state->input->vms[vm].n_vcpus; i++) {
        const int cpu = plan_place_now (state, vm, i);

        if (cpu >= 0 && plan_is_free (state, state->vms[vm].container, (guint) cpu) &&
            (but == NULL || !hwloc_bitmap_isset (but, state->topology->cpus[cpu].number)) &&
            (!whole || core_is_its_own (state, vm, (guint) cpu, smt)))
            plan_item_take (state, &item, (guint) cpu, FALSE);
    }
    if (whole)
        hold_siblings (state, &item);
}

int *
plan_held_places (const PlanState *state, guint vm, guint *ret_n)
{
    const guint n = state->input->vms[vm].n_vcpus;
    g_autofree guint8 *seen = g_new0 (guint8, MAX (state->n, 1));
    int *places = g_new (int, n);

    *ret_n = 0;
    for (guint i = 0; i < n; i++) {
        const int cpu = plan_place_now (state, vm, i);

        places[i] = -1;
        if (cpu < 0 || seen[cpu] || state->slots[cpu].vm != (int) vm || state->slots[cpu].idle)
            continue;
        seen[cpu] = TRUE;
        places[i] = cpu;
        ++*ret_n;
    }
    return places;
}

/* --- where the others run --- */

/* From the best to the worst; none has a pCPU that another VM's vCPU has alone, or has kept idle.
 */
typedef enum {
    STRAY_CONTAINER,    /* its container's set, or what that has reserved and no VM fills */
    STRAY_HOUSEKEEPING, /* beside the emulators */
    STRAY_FREE,         /* nobody's */
    STRAY_OWN,          /* on those that its other vCPUs have kept */
    STRAY_ELSEWHERE,    /* any that no vCPU has alone */
    STRAY_NOWHERE,
} StrayLevel;

static const StrayLevel usual[] = { STRAY_CONTAINER, STRAY_HOUSEKEEPING, STRAY_FREE, STRAY_OWN,
                                    STRAY_ELSEWHERE };
/* Whoever is in a partition cannot leave it, and to keep it is worth more than a pCPU for each. */
static const StrayLevel confined[] = { STRAY_CONTAINER, STRAY_OWN, STRAY_HOUSEKEEPING, STRAY_FREE,
                                       STRAY_ELSEWHERE };

G_STATIC_ASSERT (G_N_ELEMENTS (usual) == STRAY_NOWHERE);
G_STATIC_ASSERT (G_N_ELEMENTS (confined) == STRAY_NOWHERE);

static gboolean
is_confined (const PlanState *state, int container)
{
    for (; container >= 0; container = state->containers[container].parent)
        if (plan_wish_of (state, container)->mode == CORRAL_MODE_DEDICATED &&
            plan_wish_of (state, container)->exclusive != CORRAL_EXCLUSIVE_NONE)
            return TRUE;
    return FALSE;
}

static gboolean
is_at_level (const PlanState *state, guint vm, StrayLevel level, guint cpu)
{
    const PlanSlot *slot = &state->slots[cpu];
    const int container = state->vms[vm].container;

    switch (level) {
    case STRAY_CONTAINER:
        return slot->container == container && slot->vm < 0 && !slot->idle;
    case STRAY_HOUSEKEEPING:
        return state->housekeeping[cpu];
    case STRAY_FREE:
        return plan_is_free (state, container, cpu);
    case STRAY_OWN:
        return slot->vm == (int) vm && !slot->idle;
    case STRAY_ELSEWHERE:
        return slot->vm < 0 && !slot->idle;
    case STRAY_NOWHERE:
    default:
        return FALSE;
    }
}

static StrayLevel
find_level (const PlanState *state, guint vm, CorralCpuset *ret_set)
{
    const StrayLevel *levels = is_confined (state, state->vms[vm].container) ? confined : usual;

    for (guint at = 0; at < STRAY_NOWHERE; at++) {
        for (guint i = 0; i < state->n; i++)
            if (state->topology->cpus[i].online && is_at_level (state, vm, levels[at], i))
                hwloc_bitmap_set (ret_set, state->topology->cpus[i].number);
        if (!hwloc_bitmap_iszero (ret_set))
            return levels[at];
    }
    return STRAY_NOWHERE;
}

gboolean
plan_is_stray (const PlanState *state, guint vm)
{
    return state->vms[vm].refused && state->input->vms[vm].running &&
           state->vms[vm].container >= 0 &&
           plan_wish_of (state, state->vms[vm].container)->mode != CORRAL_MODE_NONE;
}

CorralCpuset *
plan_stray_cpus (const PlanState *state, guint vm)
{
    CorralCpuset *set = hwloc_bitmap_alloc ();

    (void) find_level (state, vm, set);
    return set;
}

gboolean
plan_is_opened (const PlanState *state, int container)
{
    gboolean opened = FALSE;

    for (guint v = 0; v < state->input->n_vms && !opened; v++) {
        g_autoptr (CorralCpuset) set = NULL;
        StrayLevel level;

        if (!plan_is_stray (state, v) ||
            !plan_is_beneath (state, state->vms[v].container, container))
            continue;
        set = hwloc_bitmap_alloc ();
        level = find_level (state, v, set);
        opened = level != STRAY_CONTAINER && level != STRAY_OWN;
    }
    return opened;
}
