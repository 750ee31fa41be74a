/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The plan as its readers see it, written from the planner's table. */
#include "policy/plan-private.h"

#include <string.h>

#define PERIOD_USEC 100000
#define PERCENT_USEC (PERIOD_USEC / 100)
#define QUOTA_MIN_USEC 1000

/* Sets are shared wherever they are the same by what they mean, so the plan owns them all. */
static CorralCpuset *
keep (CorralPlan *plan, CorralCpuset *set)
{
    g_ptr_array_add (plan->sets, set);
    return set;
}

/* --- containers --- */

static CorralCpuset *
own_set (const PlanState *state, int container)
{
    const CorralPlanContainer *input = &state->input->containers[container];
    const PlanContainer *c = &state->containers[container];
    CorralCpuset *set = hwloc_bitmap_alloc ();

    for (guint i = 0; i < state->n; i++) {
        const CorralPcpu *cpu = &state->topology->cpus[i];
        gboolean has = FALSE;

        switch (input->wish.mode) {
        case CORRAL_MODE_NONE:
            has = cpu->online && c->domain[i] && input->allowed != NULL;
            break;
        case CORRAL_MODE_HOUSEKEEPING:
            has = cpu->online && c->domain[i] && state->housekeeping[i];
            break;
        case CORRAL_MODE_SHARED:
            has = state->slots[i].container == container && !state->slots[i].idle;
            break;
        case CORRAL_MODE_DEDICATED:
        default:
            has = state->slots[i].container == container;
            break;
        }
        if (has)
            hwloc_bitmap_set (set, cpu->number);
    }
    if (input->wish.mode == CORRAL_MODE_NONE && input->allowed == NULL && input->cpus != NULL)
        hwloc_bitmap_copy (set, input->cpus);
    return set;
}

static CorralCpuset *
nodes_of (const PlanState *state, const CorralCpuset *cpus)
{
    CorralCpuset *nodes = hwloc_bitmap_alloc ();

    for (guint i = 0; i < state->n; i++)
        if (hwloc_bitmap_isset (cpus, state->topology->cpus[i].number))
            hwloc_bitmap_set (nodes, state->topology->node_numbers[state->topology->cpus[i].node]);
    return nodes;
}

/* What is promised to the VMs of a container and to those beneath it, which the cap of the upper
 * one has to let through, and what those spend that run without a place. One that promises nothing
 * may use what its vCPUs can. */
static gint64
promised (const PlanState *state, int container)
{
    const CorralPlacement *wish = plan_wish_of (state, container);
    const gint64 share = wish->share_percent > 0 ? wish->share_percent : 100;
    gint64 sum = 0;

    for (guint v = 0; v < state->input->n_vms; v++)
        if (state->vms[v].container == container &&
            (state->vms[v].placed || plan_is_stray (state, v)))
            sum += (state->input->vms[v].n_vcpus * share + wish->helpers_percent) * PERCENT_USEC;
    for (guint c = 0; c < state->input->n_containers; c++)
        if (state->containers[c].parent == container)
            sum += promised (state, (int) c);
    return sum;
}

/* What is promised to nobody is no cap: the next one that comes would begin with nothing. */
static gint64
cap_of (const PlanState *state, guint container)
{
    const gint64 quota = plan_wish_of (state, (int) container)->share_percent > 0
                             ? promised (state, (int) container)
                             : 0;

    return quota > 0 ? MAX (quota, QUOTA_MIN_USEC) : -1;
}

static void
write_container (const PlanState *state, CorralPlan *plan, guint index)
{
    const CorralPlanContainer *input = &state->input->containers[index];
    CorralPlannedContainer *planned = &plan->containers[index];
    const gboolean empty = hwloc_bitmap_iszero (planned->cpus);

    planned->mems = keep (plan, nodes_of (state, planned->cpus));
    planned->quota_usec = cap_of (state, index);
    planned->exclusive = input->wish.mode == CORRAL_MODE_DEDICATED && !empty &&
                                 input->wish.exclusive != CORRAL_EXCLUSIVE_NONE &&
                                 !plan_is_opened (state, (int) index)
                             ? input->wish.exclusive
                             : CORRAL_EXCLUSIVE_NONE;
    planned->changed = input->wish.mode != CORRAL_MODE_NONE &&
                       (input->cpus == NULL || !hwloc_bitmap_isequal (input->cpus, planned->cpus));
    planned->reasons = plan_reasons_of_container (state, index);
    plan->n_refused += planned->refused;
}

static void
write_containers (const PlanState *state, CorralPlan *plan)
{
    const guint n = state->input->n_containers;

    for (guint c = 0; c < n; c++) {
        plan->containers[c].path =
            g_string_chunk_insert (plan->texts, state->input->containers[c].path);
        plan->containers[c].refused = state->containers[c].refused;
        plan->containers[c].own = keep (plan, own_set (state, (int) c));
        plan->containers[c].cpus = keep (plan, hwloc_bitmap_dup (plan->containers[c].own));
    }
    for (guint c = 0; c < n; c++)
        for (int up = state->containers[c].parent; up >= 0; up = state->containers[up].parent)
            hwloc_bitmap_or (plan->containers[up].cpus, plan->containers[up].cpus,
                             plan->containers[c].own);
    for (guint c = 0; c < n; c++)
        write_container (state, plan, c);
}

/* --- VMs --- */

static gboolean
is_moved_to (const CorralCpuset *now, guint number)
{
    return !hwloc_bitmap_isset (now, number) && !hwloc_bitmap_iszero (now);
}

/* A vCPU that floats moves only if it cannot stay wherever it may be. */
static gboolean
is_moved_into (const CorralCpuset *now, const CorralCpuset *set)
{
    return !hwloc_bitmap_isincluded (set, now) && !hwloc_bitmap_isincluded (now, set);
}

/* @own: the set that its vCPUs float over, if they do */
static guint
moves_of (const PlanState *state, guint vm, const CorralCpuset *own)
{
    const CorralPlanVm *input = &state->input->vms[vm];
    const int *cpus = state->vms[vm].cpus;
    gboolean moved = FALSE;
    guint moves = 0;

    for (guint i = 0; i < input->n_vcpus && input->running && input->vcpus != NULL; i++) {
        if (input->vcpus[i] == NULL)
            continue;
        if (cpus != NULL)
            moved = is_moved_to (input->vcpus[i], state->topology->cpus[cpus[i]].number);
        else if (i == 0 || !state->vms[vm].uniform)
            moved = is_moved_into (input->vcpus[i], own);
        moves += moved;
    }
    return moves;
}

static gboolean
is_planned (const PlanState *state, guint vm)
{
    return !state->vms[vm].refused && state->vms[vm].container >= 0 &&
           plan_wish_of (state, state->vms[vm].container)->mode != CORRAL_MODE_NONE;
}

guint
plan_count_moves (const PlanState *state)
{
    g_autoptr (GPtrArray) own = g_ptr_array_new_with_free_func ((GDestroyNotify) hwloc_bitmap_free);
    guint moves = 0;

    for (guint c = 0; c < state->input->n_containers; c++)
        g_ptr_array_add (own, plan_wish_of (state, (int) c)->mode == CORRAL_MODE_NONE
                                  ? NULL
                                  : own_set (state, (int) c));
    for (guint v = 0; v < state->input->n_vms; v++)
        if (is_planned (state, v))
            moves += moves_of (state, v, g_ptr_array_index (own, state->vms[v].container));
    return moves;
}

guint
plan_count_refused (const PlanState *state)
{
    guint refused = 0;

    for (guint c = 0; c < state->input->n_containers; c++)
        refused += state->containers[c].refused;
    for (guint v = 0; v < state->input->n_vms; v++)
        refused += state->vms[v].refused;
    return refused;
}

/* Many VMs of one shape may have been refused for the same reasons: these are told once. */
static gboolean
is_refused_alike (const PlanState *state, guint index)
{
    const PlanVm *vm = &state->vms[index], *last = vm - 1;
    const CorralPlanVm *input = &state->input->vms[index], *last_input = input - 1;

    return index > 0 && vm->refused && last->refused && vm->container >= 0 && !input->running &&
           !last_input->running && vm->container == last->container && vm->why == last->why &&
           vm->why_at == last->why_at && input->n_vcpus == last_input->n_vcpus &&
           input->wishes == 0 && last_input->wishes == 0;
}

/* The vCPU's own pCPU, by index */
static void
write_place (const PlanState *state, CorralPlan *plan, CorralPlannedVm *planned, guint vcpu,
             int cpu)
{
    const CorralPcpu *at = &state->topology->cpus[cpu];

    planned->vcpus[vcpu] = keep (plan, hwloc_bitmap_alloc ());
    hwloc_bitmap_set (planned->vcpus[vcpu], at->number);
    hwloc_bitmap_set (planned->mems, state->topology->node_numbers[at->node]);
}

static void
write_places (const PlanState *state, CorralPlan *plan, guint index,
              const CorralPlannedContainer *container)
{
    CorralPlannedVm *planned = &plan->vms[index];
    const PlanVm *vm = &state->vms[index];

    planned->floats = vm->cpus == NULL;
    planned->mems = planned->floats ? container->mems : keep (plan, hwloc_bitmap_alloc ());
    for (guint i = 0; i < planned->n_vcpus; i++)
        if (planned->floats)
            planned->vcpus[i] = container->own;
        else
            write_place (state, plan, planned, i, vm->cpus[i]);
    planned->moves = moves_of (state, index, container->own);
}

static void
write_stray (const PlanState *state, CorralPlan *plan, guint index)
{
    CorralPlannedVm *planned = &plan->vms[index];
    const CorralCpuset *const *now = state->input->vms[index].vcpus;
    guint held;
    g_autofree int *places = plan_held_places (state, index, &held);

    planned->stray = keep (plan, plan_stray_cpus (state, index));
    planned->mems = keep (plan, held < planned->n_vcpus ? nodes_of (state, planned->stray)
                                                        : hwloc_bitmap_alloc ());
    for (guint i = 0; i < planned->n_vcpus; i++) {
        if (places[i] >= 0) {
            write_place (state, plan, planned, i, places[i]);
            continue;
        }
        planned->vcpus[i] = planned->stray;
        if (now != NULL && now[i] != NULL && !hwloc_bitmap_iszero (planned->stray))
            planned->moves += is_moved_into (now[i], planned->stray);
    }
}

/* (nullable): the pCPUs of helpers that run on housekeeping pCPUs, where there are any */
static CorralCpuset *
online_housekeeping (const PlanState *state, CorralPlan *plan)
{
    CorralCpuset *set;

    if (state->input->housekeeping == NULL ||
        !hwloc_bitmap_intersects (state->input->housekeeping, state->topology->online))
        return NULL;
    set = keep (plan, hwloc_bitmap_alloc ());
    hwloc_bitmap_and (set, state->input->housekeeping, state->topology->online);
    return set;
}

static void
write_vm (PlanState *state, CorralPlan *plan, CorralCpuset *housekeeping, guint index)
{
    const CorralPlanVm *input = &state->input->vms[index];
    const PlanVm *vm = &state->vms[index];
    CorralPlannedVm *planned = &plan->vms[index];
    CorralPlannedContainer *container =
        vm->container >= 0 ? &plan->containers[vm->container] : NULL;
    CorralPlacement wish;

    planned->name = g_string_chunk_insert (plan->texts, input->name);
    planned->path =
        container != NULL ? container->path : g_string_chunk_insert (plan->texts, input->path);
    planned->refused = vm->refused;
    planned->planned = is_planned (state, index);
    planned->n_vcpus = input->n_vcpus;
    planned->helpers_quota_usec = -1;
    planned->reasons = is_refused_alike (state, index)
                           ? g_ptr_array_ref (plan->vms[index - 1].reasons)
                           : plan_reasons_of_vm (state, index);
    plan->n_refused += vm->refused;
    if (vm->refused)
        plan->cost[0] += input->n_vcpus;
    if (!planned->planned && !plan_is_stray (state, index))
        return;
    wish = plan_wish_of_vm (state, index);
    planned->vcpus = g_new0 (CorralCpuset *, input->n_vcpus);
    if (planned->planned)
        write_places (state, plan, index, container);
    else
        write_stray (state, plan, index);
    planned->helpers = wish.emulator == CORRAL_EMULATOR_HOUSEKEEPING && housekeeping != NULL
                           ? housekeeping
                           : container->own;
    if (planned->stray != NULL && hwloc_bitmap_iszero (planned->helpers))
        planned->helpers = planned->stray;
    if (wish.helpers_percent > 0)
        planned->helpers_quota_usec =
            MAX ((gint64) wish.helpers_percent * PERCENT_USEC, QUOTA_MIN_USEC);
    plan->n_moves += planned->moves;
}

/* --- what the plan costs --- */

/* The fewest groups of these sizes that could hold @k, were they empty. */
static guint
fewest (GArray *sizes, guint k)
{
    guint groups = 0, have = 0;

    while (have < k && groups < sizes->len)
        have += g_array_index (sizes, guint, groups++);
    return MAX (groups, 1);
}

static int
compare_down (gconstpointer a, gconstpointer b)
{
    const guint x = *(const guint *) a, y = *(const guint *) b;

    return (x < y) - (x > y);
}

static GArray *
sizes_of (CorralCpuset *const *sets, guint n)
{
    GArray *sizes = g_array_new (FALSE, FALSE, sizeof (guint));

    for (guint i = 0; i < n; i++) {
        const guint size = (guint) hwloc_bitmap_weight (sets[i]);

        g_array_append_val (sizes, size);
    }
    g_array_sort (sizes, compare_down);
    return sizes;
}

static void
write_cost (const PlanState *state, CorralPlan *plan)
{
    const CorralTopology *topology = state->topology;
    g_autoptr (GArray) nodes = sizes_of (topology->nodes, topology->n_nodes);
    g_autoptr (GArray) l3s = sizes_of (topology->l3s, topology->n_l3s);
    g_autofree guint8 *node = g_new (guint8, topology->n_nodes);
    g_autofree guint8 *l3 = g_new (guint8, topology->n_l3s);

    plan->cost[1] = plan->n_moves;
    for (guint v = 0; v < plan->n_vms; v++) {
        guint used_nodes = 0, used_l3s = 0;

        if (state->vms[v].cpus == NULL)
            continue;
        memset (node, 0, topology->n_nodes);
        memset (l3, 0, topology->n_l3s);
        for (guint i = 0; i < plan->vms[v].n_vcpus; i++) {
            const CorralPcpu *cpu = &topology->cpus[state->vms[v].cpus[i]];

            used_nodes += !node[cpu->node];
            used_l3s += !l3[cpu->l3];
            node[cpu->node] = l3[cpu->l3] = TRUE;
        }
        plan->cost[2] += used_nodes - MIN (fewest (nodes, plan->vms[v].n_vcpus), used_nodes);
        plan->cost[3] += used_l3s - MIN (fewest (l3s, plan->vms[v].n_vcpus), used_l3s);
    }
    for (guint core = 0; core < topology->n_cores; core++) {
        guint free = 0;

        for (guint at = state->core_start[core]; at < state->core_start[core + 1]; at++) {
            const guint cpu = state->core_cpus[at];

            free += topology->cpus[cpu].online && !state->housekeeping[cpu] &&
                    state->slots[cpu].container < 0;
        }
        if (free < state->core_size[core])
            plan->cost[4] += free;
    }
}

CorralPlan *
corral_plan_make (const CorralPlanInput *input, GError **error)
{
    g_autoptr (PlanState) state = plan_best (input, error);
    CorralCpuset *housekeeping;
    CorralPlan *plan;

    if (state == NULL)
        return NULL;
    plan = g_new0 (CorralPlan, 1);
    plan->sets = g_ptr_array_new_with_free_func ((GDestroyNotify) hwloc_bitmap_free);
    plan->texts = g_string_chunk_new (4096);
    plan->n_containers = input->n_containers;
    plan->containers = g_new0 (CorralPlannedContainer, input->n_containers + 1);
    plan->n_vms = input->n_vms;
    plan->vms = g_new0 (CorralPlannedVm, input->n_vms + 1);
    write_containers (state, plan);
    housekeeping = online_housekeeping (state, plan);
    for (guint v = 0; v < input->n_vms; v++)
        write_vm (state, plan, housekeeping, v);
    write_cost (state, plan);
    return plan;
}

const CorralPlannedVm *
corral_plan_find_vm (const CorralPlan *plan, const char *name)
{
    for (guint v = 0; v < plan->n_vms; v++)
        if (g_str_equal (plan->vms[v].name, name))
            return &plan->vms[v];
    return NULL;
}

const CorralPlannedContainer *
corral_plan_find_container (const CorralPlan *plan, const char *path)
{
    for (guint c = 0; c < plan->n_containers; c++)
        if (g_str_equal (plan->containers[c].path, path))
            return &plan->containers[c];
    return NULL;
}

void
corral_plan_free (CorralPlan *plan)
{
    if (plan == NULL)
        return;
    for (guint c = 0; c < plan->n_containers; c++)
        g_clear_pointer (&plan->containers[c].reasons, g_ptr_array_unref);
    for (guint v = 0; v < plan->n_vms; v++) {
        g_free (plan->vms[v].vcpus);
        g_clear_pointer (&plan->vms[v].reasons, g_ptr_array_unref);
    }
    g_ptr_array_unref (plan->sets);
    g_string_chunk_free (plan->texts);
    g_free (plan->containers);
    g_free (plan->vms);
    g_free (plan);
}
