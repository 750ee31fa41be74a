/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a plan comes to in the kernel: a container's cpuset holds its pCPUs and those that its VMs'
 * helpers run on, as far as what is above it lets them. */
#include "vmm-agent/agent/corral-agent-plan-private.h"

#include <string.h>

struct _CorralAgentTargets {
    CorralAgent *agent;
    const CorralAgentSnapshot *snapshot;
    const CorralPlan *plan;
    GArray *values;      /* of CorralAgentValues, by container; cpus NULL: left as it is */
    GPtrArray *helpers;  /* of CorralCpuset, by VM; NULL: left as they are */
    GPtrArray *strays;   /* likewise, for vCPUs without a place */
    guint *order;        /* containers, parents first */
    CorralCpuset *nodes; /* (nullable): NUMA nodes that cpusets can have: those with memory */
};

void
corral_agent_values_clear (CorralAgentValues *values)
{
    g_clear_pointer (&values->cpus, hwloc_bitmap_free);
    g_clear_pointer (&values->mems, hwloc_bitmap_free);
}

static void
clear_element (gpointer data)
{
    corral_agent_values_clear (data);
}

/* --- what the plan comes to in the kernel --- */

static const CorralPlanContainer *
input_of (const CorralAgentTargets *targets, guint index)
{
    return &targets->snapshot->input.containers[index];
}

/* The index of the innermost container of the plan above @path; -1: none */
static int
parent_of (const CorralAgentTargets *targets, const char *path)
{
    int best = -1;

    for (guint i = 0; i < targets->snapshot->input.n_containers; i++) {
        const char *at = input_of (targets, i)->path;

        if (!g_str_equal (at, path) && corral_agent_path_is_within (path, at) &&
            (best < 0 || strlen (at) > strlen (input_of (targets, (guint) best)->path)))
            best = (int) i;
    }
    return best;
}

/* pCPUs beyond which @path can have none, whatever is planned: those of what is above it and is not
 * ours to change. */
static CorralCpuset *
read_limit (const CorralAgentTargets *targets, const char *path)
{
    g_autofree char *above = g_path_get_dirname (path);
    int parent = parent_of (targets, path);
    g_autoptr (CorralCpuset) mems = NULL;
    CorralCpuset *limit = NULL;

    if (parent >= 0 && input_of (targets, (guint) parent)->wish.mode != CORRAL_MODE_NONE)
        return NULL;
    if (g_str_equal (above, "/")
            ? !corral_container_core_host_cpus (targets->agent->core, &limit, &mems, NULL)
            : !corral_container_get_cpuset (targets->agent->core, above, &limit, NULL, NULL))
        return NULL;
    return limit;
}

/* Whether the container is a partition, or beneath one, which has its pCPUs for itself. */
static gboolean
is_confined (const CorralAgentTargets *targets, const char *path)
{
    for (guint i = 0; i < targets->snapshot->input.n_containers; i++)
        if (g_array_index (targets->values, CorralAgentValues, i).exclusive !=
                CORRAL_EXCLUSIVE_NONE &&
            corral_agent_path_is_within (path, input_of (targets, i)->path))
            return TRUE;
    return FALSE;
}

/* Adds to the container's set, and to those above it, what helpers run on, or vCPUs that have no
 * place. */
static void
add_helpers (const CorralAgentTargets *targets, const char *path, const CorralCpuset *cpus)
{
    for (guint i = 0; i < targets->snapshot->input.n_containers; i++) {
        CorralAgentValues *target = &g_array_index (targets->values, CorralAgentValues, i);
        g_autoptr (CorralCpuset) limit = NULL, more = NULL;

        /* No pCPU that others need is among a partition's. */
        if (target->cpus == NULL || hwloc_bitmap_isincluded (cpus, target->cpus) ||
            !corral_agent_path_is_within (path, input_of (targets, i)->path) ||
            is_confined (targets, input_of (targets, i)->path))
            continue;
        more = hwloc_bitmap_dup (cpus);
        limit = read_limit (targets, input_of (targets, i)->path);
        if (limit != NULL)
            hwloc_bitmap_and (more, more, limit);
        hwloc_bitmap_or (target->cpus, target->cpus, more);
    }
}

gboolean
corral_agent_has_partitions (CorralAgent *agent)
{
    return (corral_container_core_features (agent->core) & CORRAL_FEATURE_PARTITION) != 0;
}

/* (transfer full) (nullable): where none of the pCPUs' own nodes has memory, it comes from wherever
 * it has come from. */
static CorralCpuset *
usable_mems (const CorralAgentTargets *targets, const CorralCpuset *mems)
{
    CorralCpuset *usable = hwloc_bitmap_dup (mems);

    if (targets->nodes != NULL)
        hwloc_bitmap_and (usable, usable, targets->nodes);
    if (hwloc_bitmap_iszero (usable))
        g_clear_pointer (&usable, hwloc_bitmap_free);
    return usable;
}

static void
set_target (const CorralAgentTargets *targets, guint index, CorralAgentValues *target)
{
    const CorralPlannedContainer *planned = &targets->plan->containers[index];
    const CorralDefinition *definition = g_ptr_array_index (targets->snapshot->definitions, index);

    if (input_of (targets, index)->wish.mode == CORRAL_MODE_NONE)
        return;
    target->cpus = hwloc_bitmap_dup (planned->cpus);
    target->mems = definition->mems != NULL ? hwloc_bitmap_dup (definition->mems)
                                            : usable_mems (targets, planned->mems);
    target->exclusive =
        corral_agent_has_partitions (targets->agent) ? planned->exclusive : CORRAL_EXCLUSIVE_NONE;
    target->quota_usec = input_of (targets, index)->wish.share_percent > 0
                             ? planned->quota_usec
                             : CORRAL_AGENT_QUOTA_KEEP;
}

static gboolean
wants_housekeeping (const CorralPlanContainer *container)
{
    return (container->wish.mode == CORRAL_MODE_DEDICATED ||
            container->wish.mode == CORRAL_MODE_SHARED) &&
           container->wish.emulator == CORRAL_EMULATOR_HOUSEKEEPING;
}

static void
drop_if_empty (const CorralAgentTargets *targets, guint index)
{
    CorralAgentValues *target = &g_array_index (targets->values, CorralAgentValues, index);

    if (target->cpus != NULL && hwloc_bitmap_iszero (target->cpus))
        corral_agent_values_clear (target);
}

static void
find_targets (CorralAgentTargets *targets)
{
    const CorralPlanInput *input = &targets->snapshot->input;
    g_autoptr (CorralCpuset) cpus = NULL;

    if (!corral_container_core_host_cpus (targets->agent->core, &cpus, &targets->nodes, NULL))
        targets->nodes = NULL;
    for (guint i = 0; i < input->n_containers; i++) {
        CorralAgentValues target = { .quota_usec = CORRAL_AGENT_QUOTA_KEEP };

        set_target (targets, i, &target);
        g_array_append_val (targets->values, target);
    }
    for (guint i = 0; i < input->n_vms; i++)
        if (targets->plan->vms[i].stray != NULL)
            add_helpers (targets, input->vms[i].path, targets->plan->vms[i].stray);
    /* One that was refused, and has nothing that runs, stays as it is. */
    for (guint i = 0; i < input->n_containers; i++)
        if (targets->plan->containers[i].refused)
            drop_if_empty (targets, i);
    for (guint i = 0; i < input->n_containers; i++)
        if (wants_housekeeping (input_of (targets, i)))
            add_helpers (targets, input_of (targets, i)->path, targets->snapshot->housekeeping);
    for (guint i = 0; i < input->n_vms; i++)
        if (targets->plan->vms[i].vcpus != NULL)
            add_helpers (targets, input->vms[i].path, targets->plan->vms[i].helpers);
    /* One that holds nothing, not even helpers, stays as it is. */
    for (guint i = 0; i < input->n_containers; i++)
        drop_if_empty (targets, i);
}

static const CorralAgentValues *
target_of (const CorralAgentTargets *targets, const char *path)
{
    for (guint i = 0; i < targets->snapshot->input.n_containers; i++)
        if (g_str_equal (input_of (targets, i)->path, path))
            return &g_array_index (targets->values, CorralAgentValues, i);
    return NULL;
}

/* Those of @cpus that no vCPU in @path has alone, or all of them if there are none. */
static void
spare_cpus (const CorralAgentTargets *targets, const char *path, const CorralCpuset *cpus,
            CorralCpuset *ret_spare)
{
    hwloc_bitmap_copy (ret_spare, cpus);
    for (guint i = 0; i < targets->plan->n_vms; i++) {
        const CorralPlannedVm *vm = &targets->plan->vms[i];

        for (guint j = 0; vm->vcpus != NULL && j < vm->n_vcpus; j++)
            if (g_str_equal (vm->path, path) && vm->vcpus[j] != vm->stray &&
                hwloc_bitmap_weight (vm->vcpus[j]) == 1)
                hwloc_bitmap_andnot (ret_spare, ret_spare, vm->vcpus[j]);
    }
    if (hwloc_bitmap_iszero (ret_spare))
        hwloc_bitmap_copy (ret_spare, cpus);
}

/* The helpers' pCPUs as far as their container can have them, else the container's. */
static void
find_helpers (CorralAgentTargets *targets)
{
    for (guint i = 0; i < targets->plan->n_vms; i++) {
        const CorralPlannedVm *vm = &targets->plan->vms[i];
        const CorralAgentUnit *unit = g_ptr_array_index (targets->snapshot->units, i);
        const CorralAgentValues *target = target_of (targets, vm->path);
        CorralCpuset *helpers = NULL;

        if (vm->vcpus != NULL && !unit->apart && target != NULL && target->cpus != NULL) {
            helpers = hwloc_bitmap_alloc ();
            hwloc_bitmap_and (helpers, vm->helpers, target->cpus);
            if (hwloc_bitmap_iszero (helpers))
                spare_cpus (targets, vm->path, target->cpus, helpers);
        }
        g_ptr_array_add (targets->helpers, helpers);
    }
}

/* Where the plan has vCPUs that have no place, as far as their container can have that; else, as in
 * a partition, on the pCPUs of the VM's others. */
static void
find_strays (CorralAgentTargets *targets)
{
    for (guint i = 0; i < targets->plan->n_vms; i++) {
        const CorralPlannedVm *vm = &targets->plan->vms[i];
        const CorralAgentValues *target = vm->stray != NULL ? target_of (targets, vm->path) : NULL;
        CorralCpuset *set = NULL;

        if (target != NULL && target->cpus != NULL) {
            set = hwloc_bitmap_dup (vm->stray);
            hwloc_bitmap_and (set, set, target->cpus);
            if (hwloc_bitmap_iszero (set)) {
                for (guint j = 0; j < vm->n_vcpus; j++)
                    hwloc_bitmap_or (set, set, vm->vcpus[j]);
                hwloc_bitmap_and (set, set, target->cpus);
            }
            if (hwloc_bitmap_iszero (set))
                g_clear_pointer (&set, hwloc_bitmap_free);
        }
        g_ptr_array_add (targets->strays, set);
    }
}

static void
sort_containers (CorralAgentTargets *targets)
{
    guint n = targets->snapshot->input.n_containers;

    targets->order = g_new (guint, MAX (n, 1));
    for (guint i = 0; i < n; i++) {
        guint at = i;

        for (; at > 0 && strlen (input_of (targets, targets->order[at - 1])->path) >
                             strlen (input_of (targets, i)->path);
             at--)
            targets->order[at] = targets->order[at - 1];
        targets->order[at] = i;
    }
}

CorralAgentTargets *
corral_agent_targets_new (CorralAgent *agent, const CorralAgentSnapshot *snapshot,
                          const CorralPlan *plan)
{
    CorralAgentTargets *targets = g_new0 (CorralAgentTargets, 1);

    targets->agent = agent;
    targets->snapshot = snapshot;
    targets->plan = plan;
    targets->values = g_array_new (FALSE, FALSE, sizeof (CorralAgentValues));
    g_array_set_clear_func (targets->values, clear_element);
    targets->helpers = g_ptr_array_new_with_free_func ((GDestroyNotify) hwloc_bitmap_free);
    targets->strays = g_ptr_array_new_with_free_func ((GDestroyNotify) hwloc_bitmap_free);
    find_targets (targets);
    find_helpers (targets);
    find_strays (targets);
    sort_containers (targets);
    return targets;
}

void
corral_agent_targets_free (CorralAgentTargets *targets)
{
    if (targets == NULL)
        return;
    g_array_unref (targets->values);
    g_ptr_array_unref (targets->helpers);
    g_ptr_array_unref (targets->strays);
    g_free (targets->order);
    g_clear_pointer (&targets->nodes, hwloc_bitmap_free);
    g_free (targets);
}

const CorralAgentValues *
corral_agent_targets_container (const CorralAgentTargets *targets, guint index)
{
    return &g_array_index (targets->values, CorralAgentValues, index);
}

const CorralCpuset *
corral_agent_targets_helpers (const CorralAgentTargets *targets, guint index)
{
    return g_ptr_array_index (targets->helpers, index);
}

const CorralCpuset *
corral_agent_targets_vcpu (const CorralAgentTargets *targets, guint index, guint vcpu)
{
    const CorralPlannedVm *vm = &targets->plan->vms[index];

    if (vm->vcpus == NULL || vm->vcpus[vcpu] != vm->stray)
        return vm->vcpus != NULL ? vm->vcpus[vcpu] : NULL;
    return g_ptr_array_index (targets->strays, index);
}

guint
corral_agent_targets_ordered (const CorralAgentTargets *targets, guint at)
{
    return targets->order[at];
}
