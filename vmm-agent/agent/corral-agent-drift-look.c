/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The look for drift: the kernel's values against those of the last plan, and a repair of one of
 * them. */
#include "vmm-agent/agent/corral-agent-drift.h"

#include "common/corral-error.h"

#include <string.h>

typedef struct {
    CorralAgent *agent;
    CorralAgentDrift *drift;
    CorralAgentEntry *entry;
    const CorralCpuset *online;
    gboolean deep;
} Look;

static void
found_sets (const Look *look, CorralAgentDriftWhat what, CorralAgentVm *vm,
            CorralAgentThread *thread, const CorralCpuset *planned, const CorralCpuset *now)
{
    g_autofree char *planned_list = corral_cpuset_format (planned);
    g_autofree char *found_list = corral_cpuset_format (now);
    CorralAgentDriftFound found = { what, look->entry, vm, thread, planned_list, found_list };

    corral_agent_drift_found (look->drift, &found);
}

static void
found_quota (const Look *look, CorralAgentVm *vm, gint64 planned, gint64 now)
{
    g_autofree char *planned_text = g_strdup_printf ("%" G_GINT64_FORMAT, planned);
    g_autofree char *found_text = g_strdup_printf ("%" G_GINT64_FORMAT, now);
    CorralAgentDriftFound found = { CORRAL_DRIFT_QUOTA, look->entry, vm, NULL,
                                    planned_text,       found_text };

    corral_agent_drift_found (look->drift, &found);
}

/* A set as it can be now: CPUs that are offline are in no cpuset and no affinity. */
static CorralCpuset *
as_online (const Look *look, const CorralCpuset *planned)
{
    CorralCpuset *set = hwloc_bitmap_alloc ();

    hwloc_bitmap_and (set, planned, look->online);
    return set;
}

static void
look_at_affinity (const Look *look, CorralAgentVm *vm, CorralAgentThread *thread, pid_t tid,
                  const CorralCpuset *planned)
{
    g_autoptr (CorralCpuset) now = NULL, expected = as_online (look, planned);

    /* Without any the kernel chooses; the new plan will say. */
    if (hwloc_bitmap_iszero (expected) ||
        !corral_container_get_affinity (look->agent->core, tid, &now, NULL))
        return;
    hwloc_bitmap_and (now, now, look->online);
    if (!hwloc_bitmap_isequal (now, expected))
        found_sets (look, CORRAL_DRIFT_AFFINITY, vm, thread, planned, now);
}

static void
look_at_helpers (const Look *look, CorralAgentVm *vm)
{
    g_autoptr (CorralCpuset) expected = NULL, stray = NULL;
    const gboolean deep =
        look->deep || corral_agent_drift_is_suspect (look->drift, look->entry, vm);
    CorralContainerVm described;
    gint64 quota;
    pid_t tid;

    if (vm->helpers == NULL || vm->inner != look->entry)
        return;
    expected = as_online (look, vm->helpers);
    if (!deep)
        look_at_affinity (look, vm, NULL, vm->pid, vm->helpers);
    else if (!hwloc_bitmap_iszero (expected) &&
             corral_agent_describe (look->agent, vm, &described) &&
             corral_container_helpers_stray (look->agent->core, &described, expected, &tid, &stray))
        found_sets (look, CORRAL_DRIFT_AFFINITY, vm, NULL, vm->helpers, stray);
    if (vm->helpers_quota_usec >= 0 && deep &&
        corral_container_get_helpers_cap (look->agent->core, vm->pid, &quota) &&
        ABS (quota - vm->helpers_quota_usec) > vm->helpers_quota_usec / 10)
        found_quota (look, vm, vm->helpers_quota_usec, quota);
}

static void
look_at_vms (const Look *look)
{
    GHashTableIter iter;
    CorralAgentVm *vm;

    g_hash_table_iter_init (&iter, look->agent->vms);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &vm)) {
        for (guint i = 0; i < vm->threads->len; i++) {
            CorralAgentThread *thread = g_ptr_array_index (vm->threads, i);

            if (thread->inner == look->entry && thread->applied != NULL)
                look_at_affinity (look, vm, thread, thread->tid, thread->applied);
        }
        look_at_helpers (look, vm);
    }
}

/* What partitions beneath the container have of its planned pCPUs. */
static CorralCpuset *
partitions_below (const Look *look)
{
    CorralCpuset *below = hwloc_bitmap_alloc ();
    GHashTableIter iter;
    CorralAgentEntry *entry;

    g_hash_table_iter_init (&iter, look->agent->entries);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &entry))
        if (entry != look->entry && corral_agent_entry_is_active (entry) &&
            entry->applied.cpus != NULL && entry->applied.exclusive != CORRAL_EXCLUSIVE_NONE &&
            corral_agent_path_is_within (entry->stored->partition, look->entry->stored->partition))
            hwloc_bitmap_or (below, below, entry->applied.cpus);
    hwloc_bitmap_and (below, below, look->entry->applied.cpus);
    return below;
}

static const char *
exclusive_name (CorralPlacementExclusive exclusive)
{
    static const char *const names[] = { "none", "root", "isolated" };

    return names[exclusive];
}

/* @now: it is another kind, or one by name only; then the kernel says why. */
static void
found_exclusive (const Look *look, const CorralAgentValues *now)
{
    CorralContainerPartition ignored;
    g_autofree char *fault = NULL, *text = NULL;
    CorralAgentDriftFound found = { CORRAL_DRIFT_EXCLUSIVE,
                                    look->entry,
                                    NULL,
                                    NULL,
                                    exclusive_name (look->entry->applied.exclusive),
                                    NULL };

    if (!corral_container_get_partition (look->agent->core, look->entry->stored->partition,
                                         &ignored, &fault, NULL))
        return;
    text = fault != NULL
               ? g_strdup_printf ("%s invalid (%s)", exclusive_name (now->exclusive), fault)
               : g_strdup (exclusive_name (now->exclusive));
    found.found = text;
    corral_agent_drift_found (look->drift, &found);
}

static void
look_at_container (const Look *look)
{
    const CorralAgentValues *planned = &look->entry->applied;
    g_autoptr (CorralCpuset) expected = as_online (look, planned->cpus);
    g_autoptr (CorralCpuset) below = partitions_below (look);
    CorralAgentValues now = { NULL };

    if (!hwloc_bitmap_isincluded (planned->cpus, look->online))
        found_sets (look, CORRAL_DRIFT_OFFLINE, NULL, NULL, planned->cpus, expected);
    if (!corral_agent_read_values (look->agent, look->entry->stored->partition, &now, NULL))
        return;
    if (now.exclusive != planned->exclusive || now.invalid)
        found_exclusive (look, &now);
    /* A partition beneath it has taken its pCPUs away, as it should. */
    hwloc_bitmap_or (now.cpus, now.cpus, below);
    hwloc_bitmap_and (now.cpus, now.cpus, look->online);
    if (!hwloc_bitmap_iszero (expected) && !hwloc_bitmap_isequal (now.cpus, expected))
        found_sets (look, CORRAL_DRIFT_CPUS, NULL, NULL, planned->cpus, now.cpus);
    if (planned->mems != NULL && !hwloc_bitmap_isequal (now.mems, planned->mems))
        found_sets (look, CORRAL_DRIFT_MEMS, NULL, NULL, planned->mems, now.mems);
    if (planned->quota_usec != CORRAL_AGENT_QUOTA_KEEP && now.quota_usec != planned->quota_usec)
        found_quota (look, NULL, planned->quota_usec, now.quota_usec);
    corral_agent_values_clear (&now);
}

void
corral_agent_drift_look (CorralAgent *agent, CorralAgentDrift *drift, CorralAgentEntry *entry,
                         gboolean deep)
{
    const CorralTopology *topology = corral_agent_get_topology (agent);
    Look look = { agent, drift, entry, topology != NULL ? topology->online : NULL, deep };

    if (topology == NULL)
        return;
    look_at_container (&look);
    look_at_vms (&look);
}

/* --- repair --- */

static gboolean
repair_quota (CorralAgent *agent, const CorralAgentDriftFound *found, GError **error)
{
    CorralContainerCap cap = { found->entry->applied.quota_usec, CORRAL_AGENT_PERIOD_USEC, 0 };
    CorralContainerVm described;

    if (found->vm == NULL)
        return corral_container_set_cap (agent->core, found->entry->stored->partition, &cap, error);
    return !corral_agent_describe (agent, found->vm, &described) ||
           corral_container_cap_helpers (agent->core, &described, found->vm->helpers_quota_usec,
                                         error);
}

static gboolean
repair_affinity (CorralAgent *agent, const CorralAgentDriftFound *found, GError **error)
{
    CorralContainerVm described;

    if (found->thread != NULL)
        return corral_container_pin_thread (agent->core, found->vm->pid, found->thread->tid,
                                            found->thread->applied, error);
    return !corral_agent_describe (agent, found->vm, &described) ||
           corral_container_pin_helpers (agent->core, &described, found->vm->helpers, error);
}

/* Its threads have followed the container's cpuset, and are put back with it. */
static gboolean
repair_cpus (CorralAgent *agent, const CorralAgentDriftFound *found, GError **error)
{
    CorralAgentEntry *entry = found->entry;
    GHashTableIter iter;
    CorralAgentVm *vm;

    if (!corral_container_set_cpuset (agent->core, entry->stored->partition, entry->applied.cpus,
                                      NULL, error))
        return FALSE;
    g_hash_table_iter_init (&iter, agent->vms);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &vm)) {
        CorralAgentDriftFound member = { CORRAL_DRIFT_AFFINITY, entry, vm, NULL, NULL, NULL };

        for (guint i = 0; i < vm->threads->len; i++) {
            member.thread = g_ptr_array_index (vm->threads, i);
            if (member.thread->inner == entry && member.thread->applied != NULL &&
                !repair_affinity (agent, &member, error))
                return FALSE;
        }
        member.thread = NULL;
        if (vm->inner == entry && vm->helpers != NULL && !repair_affinity (agent, &member, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
repair_exclusive (CorralAgent *agent, const CorralAgentDriftFound *found, GError **error)
{
    const char *path = found->entry->stored->partition;
    CorralContainerPartition now;
    g_autofree char *fault = NULL;

    if (!corral_agent_set_exclusive (agent, path, CORRAL_EXCLUSIVE_NONE, error) ||
        !corral_agent_set_exclusive (agent, path, found->entry->applied.exclusive, error) ||
        !corral_container_get_partition (agent->core, path, &now, &fault, error))
        return FALSE;
    if (fault != NULL)
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_PARTIAL, "the kernel says: %s", fault);
    return fault == NULL;
}

gboolean
corral_agent_drift_repair (CorralAgent *agent, const CorralAgentDriftFound *found, GError **error)
{
    const CorralAgentValues *planned = &found->entry->applied;
    const char *path = found->entry->stored->partition;

    switch (found->what) {
    case CORRAL_DRIFT_CPUS:
        return repair_cpus (agent, found, error);
    case CORRAL_DRIFT_MEMS:
        return corral_container_set_cpuset (agent->core, path, NULL, planned->mems, error);
    case CORRAL_DRIFT_QUOTA:
        return repair_quota (agent, found, error);
    case CORRAL_DRIFT_AFFINITY:
        return repair_affinity (agent, found, error);
    case CORRAL_DRIFT_EXCLUSIVE:
        return repair_exclusive (agent, found, error);
    case CORRAL_DRIFT_OFFLINE:
    case CORRAL_DRIFT_REFUSED:
        break;
    }
    return TRUE;
}
