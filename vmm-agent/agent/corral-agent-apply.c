/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plan -> kernel. A container that gets other pCPUs is widened to the old and the new ones first,
 * then threads are pinned, and only then it is narrowed, so that no child and no thread is ever
 * outside. All of a plan or none of it: each step that is taken has the step back on a list. */
#include "vmm-agent/agent/corral-agent-plan-private.h"

#include "common/corral-error.h"

#include <string.h>

static void
values_copy (CorralAgentValues *to, const CorralAgentValues *from)
{
    CorralAgentValues copy = *from;

    copy.cpus = from->cpus != NULL ? hwloc_bitmap_dup (from->cpus) : NULL;
    copy.mems = from->mems != NULL ? hwloc_bitmap_dup (from->mems) : NULL;
    corral_agent_values_clear (to);
    *to = copy;
}

static gboolean
read_partition (CorralAgent *agent, const char *path, CorralAgentValues *values, GError **error)
{
    CorralContainerPartition partition;
    g_autofree char *fault = NULL;

    if (!corral_container_get_partition (agent->core, path, &partition, &fault, error))
        return FALSE;
    values->exclusive = partition == CORRAL_PARTITION_ROOT       ? CORRAL_EXCLUSIVE_ROOT
                        : partition == CORRAL_PARTITION_ISOLATED ? CORRAL_EXCLUSIVE_ISOLATED
                                                                 : CORRAL_EXCLUSIVE_NONE;
    values->invalid = fault != NULL;
    return TRUE;
}

gboolean
corral_agent_read_values (CorralAgent *agent, const char *path, CorralAgentValues *ret_values,
                          GError **error)
{
    CorralAgentValues values = { .quota_usec = -1 };
    CorralContainerCap cap = { -1, CORRAL_AGENT_PERIOD_USEC, 0 };

    if (!corral_container_get_cpuset (agent->core, path, &values.cpus, &values.mems, error))
        return FALSE;
    if ((corral_container_core_features (agent->core) & CORRAL_FEATURE_CAP) != 0 &&
        !corral_container_get_cap (agent->core, path, &cap, error)) {
        corral_agent_values_clear (&values);
        return FALSE;
    }
    if (!read_partition (agent, path, &values, error)) {
        corral_agent_values_clear (&values);
        return FALSE;
    }
    if (cap.quota_usec >= 0 && cap.period_usec > 0)
        values.quota_usec = cap.quota_usec * CORRAL_AGENT_PERIOD_USEC / cap.period_usec;
    *ret_values = values;
    return TRUE;
}

gboolean
corral_agent_describe (CorralAgent *agent, const CorralAgentVm *vm, CorralContainerVm *ret_vm)
{
    const CorralVm *known = corral_vm_inventory_lookup (agent->inventory, vm->name);

    if (known == NULL || known->pid != vm->pid)
        return FALSE;
    *ret_vm =
        (CorralContainerVm){ .name = known->name,
                             .pid = known->pid,
                             .threads = (const CorralThread *) (gpointer) known->threads->data,
                             .n_threads = known->threads->len };
    return TRUE;
}

typedef struct {
    CorralAgent *agent;
    const CorralAgentSnapshot *snapshot;
    const CorralPlan *plan;
    gboolean everything;
    CorralAgentTargets *targets;
    GHashTable *held; /* CorralAgentThread, and CorralAgentVm for its helpers */
} Apply;

/* A thread that has ended needs no pin, and has none to be given back. */
static gboolean
forgive (GError *problem, GError **error)
{
    if (g_error_matches (problem, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND)) {
        g_error_free (problem);
        return TRUE;
    }
    g_propagate_error (error, problem);
    return FALSE;
}

/* --- containers --- */

static const CorralPlanContainer *
input_of (const Apply *apply, guint index)
{
    return &apply->snapshot->input.containers[index];
}

static gboolean
same_set (const CorralCpuset *wanted, const CorralCpuset *now)
{
    return wanted == NULL || hwloc_bitmap_isequal (wanted, now);
}

/* Whether the plan wants something else than the last one, or must be made true again. */
static gboolean
is_due (const Apply *apply, guint index)
{
    const CorralAgentEntry *entry = g_ptr_array_index (apply->snapshot->entries, index);
    const CorralAgentValues *target = corral_agent_targets_container (apply->targets, index);

    if (target->cpus == NULL || entry == NULL || !corral_agent_entry_is_active (entry))
        return FALSE;
    return apply->everything || entry->applied.cpus == NULL ||
           !hwloc_bitmap_isequal (entry->applied.cpus, target->cpus) ||
           (target->mems != NULL && (entry->applied.mems == NULL ||
                                     !hwloc_bitmap_isequal (entry->applied.mems, target->mems))) ||
           entry->applied.quota_usec != target->quota_usec ||
           entry->applied.exclusive != target->exclusive;
}

static gboolean
set_cpuset (Apply *apply, const char *path, const CorralAgentValues *now, const CorralCpuset *cpus,
            const CorralCpuset *mems, GError **error)
{
    if (same_set (cpus, now->cpus))
        cpus = NULL;
    if (same_set (mems, now->mems))
        mems = NULL;
    return (cpus == NULL && mems == NULL) ||
           corral_container_set_cpuset (apply->agent->core, path, cpus, mems, error);
}

static gboolean
set_cap (Apply *apply, const char *path, gint64 quota_usec, GError **error)
{
    CorralContainerCap cap = { quota_usec, CORRAL_AGENT_PERIOD_USEC, 0 };

    return corral_container_set_cap (apply->agent->core, path, &cap, error);
}

static gboolean
is_larger (gint64 quota, gint64 than)
{
    return than >= 0 && (quota < 0 || quota > than);
}

static gboolean
widen (Apply *apply, guint index, GError **error)
{
    const char *path = input_of (apply, index)->path;
    const CorralAgentValues *target = corral_agent_targets_container (apply->targets, index);
    g_autoptr (CorralCpuset) cpus = NULL, mems = NULL;
    CorralAgentValues now = { NULL };
    gboolean ok;

    if (!corral_agent_read_values (apply->agent, path, &now, error))
        return FALSE;
    cpus = hwloc_bitmap_dup (now.cpus);
    hwloc_bitmap_or (cpus, cpus, target->cpus);
    mems = hwloc_bitmap_dup (now.mems);
    if (target->mems != NULL)
        hwloc_bitmap_or (mems, mems, target->mems);
    ok = set_cpuset (apply, path, &now, cpus, mems, error) &&
         (target->quota_usec == CORRAL_AGENT_QUOTA_KEEP ||
          !is_larger (target->quota_usec, now.quota_usec) ||
          set_cap (apply, path, target->quota_usec, error));
    corral_agent_values_clear (&now);
    return ok;
}

/* VMs that were in a container, or beneath it, and have left or ended: what is left of them must
 * not be in the way of a smaller cap. */
static gboolean
lift_caps (const Apply *apply, guint index, GError **error)
{
    const CorralContainerCap cap = {
        corral_agent_targets_container (apply->targets, index)->quota_usec,
        CORRAL_AGENT_PERIOD_USEC, 0
    };
    g_autoptr (GHashTable) keep = g_hash_table_new (g_str_hash, g_str_equal);
    GHashTableIter iter;
    CorralAgentVm *vm;

    g_hash_table_iter_init (&iter, apply->agent->vms);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &vm))
        if (vm->group != NULL)
            g_hash_table_add (keep, vm->group);
    for (guint i = 0; i < apply->snapshot->input.n_containers; i++)
        if (corral_agent_path_is_within (input_of (apply, i)->path,
                                         input_of (apply, index)->path) &&
            !corral_container_lift_caps (apply->agent->core, input_of (apply, i)->path, &cap, keep,
                                         error))
            return FALSE;
    return TRUE;
}

static gboolean
narrow (Apply *apply, guint index, GError **error)
{
    const char *path = input_of (apply, index)->path;
    const CorralAgentValues *target = corral_agent_targets_container (apply->targets, index);
    CorralAgentValues now = { NULL };
    gboolean ok;

    if (!corral_agent_read_values (apply->agent, path, &now, error))
        return FALSE;
    ok = set_cpuset (apply, path, &now, target->cpus, target->mems, error) &&
         (target->quota_usec == CORRAL_AGENT_QUOTA_KEEP || target->quota_usec == now.quota_usec ||
          (lift_caps (apply, index, error) && set_cap (apply, path, target->quota_usec, error)));
    corral_agent_values_clear (&now);
    return ok;
}

/* --- partitions --- */

gboolean
corral_agent_set_exclusive (CorralAgent *agent, const char *path,
                            CorralPlacementExclusive exclusive, GError **error)
{
    static const CorralContainerPartition partitions[] = {
        CORRAL_PARTITION_MEMBER,
        CORRAL_PARTITION_ROOT,
        CORRAL_PARTITION_ISOLATED,
    };

    return corral_container_set_partition (agent->core, path, partitions[exclusive], error);
}

/* While pCPUs change hands nobody has them for himself: those that are due, and those beneath them,
 * whose pCPUs a valid partition takes away from its parent. */
static gboolean
is_in_the_way (const Apply *apply, const gboolean *due, const char *path)
{
    for (guint i = 0; i < apply->snapshot->input.n_containers; i++)
        if (due[i] && corral_agent_path_is_within (path, input_of (apply, i)->path))
            return TRUE;
    return FALSE;
}

static gboolean
share_again (Apply *apply, const gboolean *due, GError **error)
{
    for (guint i = 0; i < apply->snapshot->input.n_containers; i++) {
        const CorralAgentEntry *entry = g_ptr_array_index (apply->snapshot->entries, i);
        CorralContainerPartition now;

        if (entry == NULL || !corral_agent_entry_is_active (entry) ||
            !is_in_the_way (apply, due, input_of (apply, i)->path))
            continue;
        if (!corral_container_get_partition (apply->agent->core, input_of (apply, i)->path, &now,
                                             NULL, error) ||
            (now != CORRAL_PARTITION_MEMBER &&
             !corral_container_set_partition (apply->agent->core, input_of (apply, i)->path,
                                              CORRAL_PARTITION_MEMBER, error)))
            return FALSE;
    }
    return TRUE;
}

/* Where the kernel says no to a partition, the plan still holds among Corral's containers; the look
 * for drift tells of it. */
static void
make_exclusive (Apply *apply, const gboolean *due)
{
    for (guint i = 0; i < apply->snapshot->input.n_containers; i++) {
        guint at = corral_agent_targets_ordered (apply->targets, i);
        const CorralAgentValues *target = corral_agent_targets_container (apply->targets, at);
        GError *problem = NULL;

        if (target->cpus == NULL || target->exclusive == CORRAL_EXCLUSIVE_NONE ||
            !is_in_the_way (apply, due, input_of (apply, at)->path) ||
            corral_agent_set_exclusive (apply->agent, input_of (apply, at)->path, target->exclusive,
                                        &problem))
            continue;
        corral_agent_problem (apply->agent, problem,
                              "a container does not have its pCPUs to itself");
    }
}

/* --- threads --- */

static gboolean
has_affinity (const Apply *apply, pid_t tid, const CorralCpuset *cpus)
{
    g_autoptr (CorralCpuset) now = NULL;

    return corral_container_get_affinity (apply->agent->core, tid, &now, NULL) &&
           hwloc_bitmap_isequal (now, cpus);
}

static void
add_if_held (Apply *apply, gpointer owner, pid_t tid, const CorralCpuset *applied)
{
    if (applied != NULL && has_affinity (apply, tid, applied))
        g_hash_table_add (apply->held, owner);
}

/* Pins of the last plan that hold now, and may not after the containers' cpusets have changed: a
 * thread that had all of a container follows it when that grows, and before Linux 6.2 every one
 * does. What somebody else has pinned meanwhile is drift, and is not for a plan to undo. */
static void
note_held (Apply *apply, const gboolean *due)
{
    for (guint i = 0; i < apply->snapshot->units->len; i++) {
        const CorralAgentUnit *unit = g_ptr_array_index (apply->snapshot->units, i);

        if (unit->vm == NULL || !is_in_the_way (apply, due, unit->path))
            continue;
        for (guint j = 0; j < unit->threads->len; j++) {
            CorralAgentThread *thread = g_ptr_array_index (unit->threads, j);

            add_if_held (apply, thread, thread->tid, thread->applied);
        }
        add_if_held (apply, unit->vm, unit->vm->pid, unit->vm->helpers);
    }
}

/* Whether the last plan had it the same, and nothing asks for it to be made so again. */
static gboolean
is_old (const Apply *apply, const CorralCpuset *applied, const CorralCpuset *cpus)
{
    return !apply->everything && applied != NULL && hwloc_bitmap_isequal (applied, cpus);
}

static gboolean
was_held (const Apply *apply, gconstpointer owner)
{
    return g_hash_table_contains (apply->held, owner);
}

static gboolean
pin_thread (Apply *apply, const CorralAgentVm *vm, const CorralAgentThread *thread,
            const CorralCpuset *cpus, GError **error)
{
    GError *problem = NULL;

    return cpus == NULL || (is_old (apply, thread->applied, cpus) && !was_held (apply, thread)) ||
           has_affinity (apply, thread->tid, cpus) ||
           corral_container_pin_thread (apply->agent->core, vm->pid, thread->tid, cpus, &problem) ||
           forgive (problem, error);
}

static gboolean
pin_helpers (Apply *apply, const CorralAgentVm *vm, const CorralCpuset *cpus, GError **error)
{
    CorralContainerVm described;
    GError *problem = NULL;

    /* Its main thread stands for all of them. */
    return (is_old (apply, vm->helpers, cpus) &&
            (!was_held (apply, vm) || has_affinity (apply, vm->pid, cpus))) ||
           !corral_agent_describe (apply->agent, vm, &described) ||
           corral_container_pin_helpers (apply->agent->core, &described, cpus, &problem) ||
           forgive (problem, error);
}

static gboolean
cap_helpers (Apply *apply, const CorralAgentVm *vm, gint64 quota_usec, GError **error)
{
    CorralContainerVm described;
    GError *problem = NULL;

    /* A cap that is nobody's promise is somebody else's. */
    if (quota_usec < 0 && vm->helpers_quota_usec < 0)
        return TRUE;
    if ((!apply->everything && vm->helpers != NULL && vm->helpers_quota_usec == quota_usec) ||
        !corral_agent_describe (apply->agent, vm, &described))
        return TRUE;
    return corral_container_cap_helpers (apply->agent->core, &described, quota_usec, &problem) ||
           forgive (problem, error);
}

static gboolean
pin_vm (Apply *apply, guint index, GError **error)
{
    const CorralPlannedVm *planned = &apply->plan->vms[index];
    const CorralAgentUnit *unit = g_ptr_array_index (apply->snapshot->units, index);
    const CorralCpuset *helpers = corral_agent_targets_helpers (apply->targets, index);

    if (planned->vcpus == NULL || unit->vm == NULL)
        return TRUE;
    for (guint i = 0; i < unit->threads->len; i++)
        if (!pin_thread (apply, unit->vm, g_ptr_array_index (unit->threads, i),
                         corral_agent_targets_vcpu (apply->targets, index, i), error))
            return FALSE;
    return helpers == NULL || (pin_helpers (apply, unit->vm, helpers, error) &&
                               cap_helpers (apply, unit->vm, planned->helpers_quota_usec, error));
}

/* What is not planned any more has the pins that libvirt gave it, as far as they lie in what it may
 * have now. (nullable) (transfer full) */
static CorralCpuset *
pin_within (CorralAgent *agent, pid_t tid, const CorralCpuset *pin)
{
    CorralCpuset *set = NULL;

    if (pin == NULL || !corral_container_get_affinity (agent->core, tid, &set, NULL))
        return NULL;
    hwloc_bitmap_and (set, set, pin);
    if (hwloc_bitmap_iszero (set))
        g_clear_pointer (&set, hwloc_bitmap_free);
    return set;
}

/* @pin: (nullable): what libvirt would pin it to */
static gboolean
repin (CorralAgent *agent, pid_t pid, pid_t tid, const CorralCpuset *pin, GError **error)
{
    g_autoptr (CorralCpuset) within = NULL;

    if (!corral_container_unpin_thread (agent->core, pid, tid, error))
        return FALSE;
    within = pin_within (agent, tid, pin);
    return within == NULL || corral_container_pin_thread (agent->core, pid, tid, within, error);
}

/* (nullable): the pin of that number */
static const CorralCpuset *
pin_numbered (const GPtrArray *pins, int number)
{
    return pins != NULL && number >= 0 && (guint) number < pins->len
               ? g_ptr_array_index (pins, (guint) number)
               : NULL;
}

static gboolean
release_thread (CorralAgent *agent, const CorralAgentVm *vm, const CorralAgentThread *thread,
                GError **error)
{
    const CorralVm *known = corral_vm_inventory_lookup (agent->inventory, vm->name);

    return repin (agent, vm->pid, thread->tid,
                  known != NULL ? pin_numbered (known->pins, MAX (thread->vcpu, 0)) : NULL, error);
}

/* The emulator's pin was for all of them: its I/O threads have their own again, or none. */
static gboolean
release_iothreads (CorralAgent *agent, const CorralVm *known, GError **error)
{
    for (guint i = 0; i < known->threads->len; i++) {
        const CorralThread *thread = &g_array_index (known->threads, CorralThread, i);
        const CorralCpuset *pin = pin_numbered (known->iothread_pins, thread->index);
        GError *problem = NULL;

        if (thread->role == CORRAL_THREAD_IOTHREAD &&
            !repin (agent, known->pid, thread->tid, pin != NULL ? pin : known->any_pin, &problem) &&
            !forgive (problem, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
release_helpers (CorralAgent *agent, const CorralAgentVm *vm, GError **error)
{
    const CorralVm *known = corral_vm_inventory_lookup (agent->inventory, vm->name);
    g_autoptr (CorralCpuset) pin = NULL;
    CorralContainerVm described;

    if (!corral_agent_describe (agent, vm, &described))
        return TRUE;
    if (!corral_container_unpin_helpers (agent->core, &described, error) ||
        (vm->helpers_quota_usec >= 0 &&
         !corral_container_cap_helpers (agent->core, &described, -1, error)))
        return FALSE;
    /* It was described, so it is known. */
    pin = pin_within (agent, vm->pid, known->emulator_pin);
    return (pin == NULL || corral_container_pin_helpers (agent->core, &described, pin, error)) &&
           release_iothreads (agent, known, error);
}

static void
note_pinned (CorralAgent *agent, pid_t tid, CorralCpuset **applied)
{
    /* One that has ended has no pin. */
    if (*applied == NULL && !corral_container_get_affinity (agent->core, tid, applied, NULL))
        *applied = NULL;
}

void
corral_agent_note_left (CorralAgent *agent, CorralAgentVm *vm, const CorralAgentEntry *before)
{
    if (before == NULL || before->stored == NULL || !before->stored->planned)
        return;
    note_pinned (agent, vm->pid, &vm->helpers);
    for (guint i = 0; i < vm->threads->len; i++) {
        CorralAgentThread *thread = g_ptr_array_index (vm->threads, i);

        if (thread->inner == before)
            note_pinned (agent, thread->tid, &thread->applied);
    }
}

/* Threads that were pinned, and are in no planned container any more */
static void
release_others (CorralAgent *agent)
{
    GHashTableIter iter;
    CorralAgentVm *vm;

    g_hash_table_iter_init (&iter, agent->vms);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &vm)) {
        GError *problem = NULL;

        for (guint i = 0; i < vm->threads->len; i++) {
            CorralAgentThread *thread = g_ptr_array_index (vm->threads, i);

            if (thread->applied == NULL ||
                (thread->inner != NULL && thread->inner->stored->planned))
                continue;
            g_clear_pointer (&thread->applied, hwloc_bitmap_free);
            thread->stray = FALSE;
            if (!release_thread (agent, vm, thread, &problem) &&
                !forgive (g_steal_pointer (&problem), &problem))
                corral_agent_problem (agent, g_steal_pointer (&problem), NULL);
        }
        if (vm->helpers == NULL || (vm->inner != NULL && vm->inner->stored->planned))
            continue;
        g_clear_pointer (&vm->helpers, hwloc_bitmap_free);
        if (!release_helpers (agent, vm, &problem) &&
            !forgive (g_steal_pointer (&problem), &problem))
            corral_agent_problem (agent, problem, NULL);
        vm->helpers_quota_usec = -1;
    }
}

/* --- the whole --- */

static gboolean
run (Apply *apply, GError **error)
{
    guint n = apply->snapshot->input.n_containers;
    g_autofree gboolean *due = g_new0 (gboolean, MAX (n, 1));

    for (guint i = 0; i < n; i++)
        due[i] = is_due (apply, i);
    note_held (apply, due);
    if (!share_again (apply, due, error))
        return FALSE;
    for (guint i = 0; i < n; i++)
        if (due[corral_agent_targets_ordered (apply->targets, i)] &&
            !widen (apply, corral_agent_targets_ordered (apply->targets, i), error))
            return FALSE;
    for (guint i = 0; i < apply->plan->n_vms; i++)
        if (!pin_vm (apply, i, error))
            return FALSE;
    for (guint i = n; i-- > 0;)
        if (due[corral_agent_targets_ordered (apply->targets, i)] &&
            !narrow (apply, corral_agent_targets_ordered (apply->targets, i), error))
            return FALSE;
    make_exclusive (apply, due);
    return TRUE;
}

static void
replace_set (CorralCpuset **field, const CorralCpuset *set)
{
    CorralCpuset *copy = set != NULL ? hwloc_bitmap_dup (set) : NULL;

    g_clear_pointer (field, hwloc_bitmap_free);
    *field = copy;
}

/* From now on this is what drift is measured by. */
static void
remember (Apply *apply)
{
    for (guint i = 0; i < apply->snapshot->input.n_containers; i++) {
        CorralAgentEntry *entry = g_ptr_array_index (apply->snapshot->entries, i);
        const CorralAgentValues *target = corral_agent_targets_container (apply->targets, i);

        if (entry == NULL || !corral_agent_entry_is_active (entry))
            continue;
        if (target->cpus != NULL)
            values_copy (&entry->applied, target);
        else if (input_of (apply, i)->wish.mode == CORRAL_MODE_NONE)
            corral_agent_values_clear (&entry->applied);
    }
    for (guint i = 0; i < apply->plan->n_vms; i++) {
        const CorralPlannedVm *planned = &apply->plan->vms[i];
        const CorralAgentUnit *unit = g_ptr_array_index (apply->snapshot->units, i);
        const CorralCpuset *helpers = corral_agent_targets_helpers (apply->targets, i);

        if (planned->vcpus == NULL || unit->vm == NULL)
            continue;
        for (guint j = 0; j < unit->threads->len; j++) {
            CorralAgentThread *thread = g_ptr_array_index (unit->threads, j);

            replace_set (&thread->applied, corral_agent_targets_vcpu (apply->targets, i, j));
            thread->stray = planned->vcpus[j] == planned->stray;
        }
        if (helpers != NULL) {
            replace_set (&unit->vm->helpers, helpers);
            unit->vm->helpers_quota_usec = planned->helpers_quota_usec;
        }
    }
}

gboolean
corral_agent_apply_plan (CorralAgent *agent, const CorralAgentSnapshot *snapshot,
                         const CorralPlan *plan, gboolean everything, GError **error)
{
    Apply apply = { .agent = agent, .snapshot = snapshot, .plan = plan, .everything = everything };
    gboolean ok;

    apply.targets = corral_agent_targets_new (agent, snapshot, plan);
    apply.held = g_hash_table_new (g_direct_hash, g_direct_equal);
    agent->planner->applying = TRUE;
    corral_agent_pins_save (agent, snapshot, apply.targets);
    corral_container_begin (agent->core);
    ok = run (&apply, error);
    if (ok) {
        corral_container_commit (agent->core);
        remember (&apply);
        release_others (agent);
        corral_agent_pins_save (agent, NULL, NULL);
        corral_agent_drift_watch (agent);
    } else {
        corral_container_rollback (agent->core, error);
    }
    agent->planner->applying = FALSE;
    corral_agent_targets_free (apply.targets);
    g_hash_table_unref (apply.held);
    return ok;
}

/* --- planned anew --- */

static gboolean
plan_and_apply (CorralAgent *agent, gboolean everything, guint64 generation, GError **error)
{
    g_autoptr (CorralAgentSnapshot) snapshot = corral_agent_snapshot_new (agent, NULL, error);
    g_autoptr (CorralPlan) plan = NULL;
    guint64 now;

    if (snapshot == NULL)
        return FALSE;
    if (generation != 0) {
        now = corral_agent_snapshot_generation (agent, snapshot);
        if (now != generation) {
            g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE,
                         "cannot apply the plan of generation %" G_GUINT64_FORMAT
                         ": the host has changed since, and is at %" G_GUINT64_FORMAT,
                         generation, now);
            return FALSE;
        }
    }
    plan = corral_plan_make (&snapshot->input, error);
    if (plan == NULL || !corral_agent_apply_plan (agent, snapshot, plan, everything, error))
        return FALSE;
    corral_agent_refused_tell (agent, snapshot, plan);
    return TRUE;
}

gboolean
corral_agent_apply (CorralAgent *agent, guint64 generation, GError **error)
{
    if (!plan_and_apply (agent, TRUE, generation, error))
        return FALSE;
    corral_agent_drift_check (agent, NULL);
    return TRUE;
}

/* Until every VM is known, a plan would give away what those have that were not read yet. At boot
 * there are none, and libvirtd may be long in coming. */
gboolean
corral_agent_knows_all (CorralAgent *agent)
{
    g_autoptr (GPtrArray) entries = NULL;
    guint known = g_hash_table_size (agent->planner->pending), there = 0;
    GHashTableIter iter;
    CorralAgentVm *vm;

    if (corral_vm_inventory_is_settled (agent->inventory))
        return TRUE;
    entries = corral_agent_entries (agent);
    for (guint i = 0; i < entries->len; i++) {
        const CorralAgentEntry *entry = g_ptr_array_index (entries, i);

        if (corral_agent_entry_is_active (entry) && entry->stored->planned)
            there += corral_container_count_vms (agent->core, entry->stored->partition);
    }
    g_hash_table_iter_init (&iter, agent->vms);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &vm))
        known += vm->inner != NULL && vm->inner->stored->planned ? 1 : 0;
    return there <= known;
}

gboolean
corral_agent_replan (CorralAgent *agent, GError **error)
{
    g_clear_handle_id (&agent->planner->soon, g_source_remove);
    if (agent->starting || !corral_agent_knows_all (agent))
        return TRUE;
    if (!corral_agent_plans (agent)) {
        release_others (agent);
        corral_agent_pins_save (agent, NULL, NULL);
        corral_agent_drift_watch (agent);
        return TRUE;
    }
    return plan_and_apply (agent, FALSE, 0, error);
}

static gboolean
on_soon (gpointer data)
{
    CorralAgent *agent = data;
    GError *problem = NULL;

    agent->planner->soon = 0;
    if (!corral_agent_replan (agent, &problem))
        corral_agent_problem (agent, problem, "a new plan could not be applied");
    return G_SOURCE_REMOVE;
}

void
corral_agent_replan_soon (CorralAgent *agent)
{
    if (agent->planner != NULL && agent->planner->soon == 0)
        agent->planner->soon = g_idle_add_full (G_PRIORITY_HIGH, on_soon, agent, NULL);
}
