/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a plan is made from: definitions, members and the kernel's own values, read anew each time.
 * So the ledger is the kernel's. The one thing added from memory is where the last plan had put a
 * vCPU that somebody has moved since: that place is still its own. */
#include "vmm-agent/agent/corral-agent-plan-private.h"

#include "common/corral-error.h"

#include <string.h>

/* --- units: VMs, and vCPUs apart from their VM --- */

static void
unit_free (gpointer data)
{
    CorralAgentUnit *unit = data;

    g_free (unit->name);
    g_ptr_array_unref (unit->threads);
    g_ptr_array_unref (unit->places);
    g_free (unit);
}

static CorralAgentUnit *
add_unit (CorralAgentSnapshot *snapshot, CorralAgentVm *vm, const char *vm_name, const char *path,
          gboolean apart)
{
    CorralAgentUnit *unit = g_new0 (CorralAgentUnit, 1);

    unit->vm = vm;
    unit->vm_name = vm_name;
    unit->path = path;
    unit->apart = apart;
    unit->name = apart ? g_strconcat (vm_name, " ", path, NULL) : g_strdup (vm_name);
    unit->threads = g_ptr_array_new ();
    unit->places = g_ptr_array_new_with_free_func ((GDestroyNotify) hwloc_bitmap_free);
    g_ptr_array_add (snapshot->units, unit);
    return unit;
}

static CorralAgentUnit *
find_unit (CorralAgentSnapshot *snapshot, guint first, const char *path)
{
    for (guint i = first; i < snapshot->units->len; i++) {
        CorralAgentUnit *unit = g_ptr_array_index (snapshot->units, i);

        if (unit->apart && g_str_equal (unit->path, path))
            return unit;
    }
    return NULL;
}

/* The last plan's place is the thread's own while it is in that container; else what the kernel
 * says. One that the last plan had no place for has none to keep. */
static CorralCpuset *
place_of (CorralAgent *agent, const CorralAgentThread *thread, gboolean moved)
{
    CorralCpuset *now = NULL;

    if (thread->applied != NULL && !moved && !thread->stray)
        return hwloc_bitmap_dup (thread->applied);
    if (moved || thread->stray ||
        !corral_container_get_affinity (agent->core, thread->tid, &now, NULL))
        return hwloc_bitmap_alloc ();
    return now;
}

static const char *
path_of_entry (const CorralAgentEntry *entry)
{
    return entry != NULL ? corral_agent_entry_path (entry) : NULL;
}

/* Where @vm, or @thread of it, is, or would be. */
static const char *
place_path (const CorralAgentVm *vm, const CorralAgentThread *thread,
            const CorralAgentChange *change)
{
    if (change != NULL && change->moved == vm &&
        (change->thread == NULL ? (thread == NULL || !thread->apart) : change->thread == thread))
        return change->path;
    return path_of_entry (thread != NULL && thread->apart ? thread->inner : vm->inner);
}

static void
add_running (CorralAgent *agent, CorralAgentSnapshot *snapshot, CorralAgentVm *vm,
             const CorralAgentChange *change)
{
    const char *home = place_path (vm, NULL, change);
    guint first = snapshot->units->len;
    CorralAgentUnit *whole = NULL;

    for (guint i = 0; i < vm->threads->len; i++) {
        CorralAgentThread *thread = g_ptr_array_index (vm->threads, i);
        const char *path = place_path (vm, thread, change);
        gboolean moved = change != NULL && change->moved == vm && path == change->path;
        CorralAgentUnit *unit;

        if (path == NULL)
            continue;
        if (home != NULL && g_str_equal (path, home)) {
            if (whole == NULL)
                whole = add_unit (snapshot, vm, vm->name, home, FALSE);
            unit = whole;
        } else {
            unit = find_unit (snapshot, first, path);
            if (unit == NULL)
                unit = add_unit (snapshot, vm, vm->name, path, TRUE);
        }
        g_ptr_array_add (unit->threads, thread);
        g_ptr_array_add (unit->places, place_of (agent, thread, moved));
    }
}

/* Whether the last plan had a place for all its vCPUs. */
static gboolean
is_settled (const CorralAgentVm *vm)
{
    for (guint i = 0; i < vm->threads->len; i++) {
        const CorralAgentThread *thread = g_ptr_array_index (vm->threads, i);

        if (thread->applied == NULL || thread->stray)
            return FALSE;
    }
    return TRUE;
}

/* Where not all that run have room, the planner keeps the first of them. So those come first that
 * had it, then those that have grown or are new, and last the one that is to be moved. */
static int
compare_vms (gconstpointer a, gconstpointer b, gpointer change)
{
    const CorralAgentVm *first = *(const CorralAgentVm *const *) a;
    const CorralAgentVm *second = *(const CorralAgentVm *const *) b;
    const CorralAgentVm *moved =
        change != NULL ? ((const CorralAgentChange *) change)->moved : NULL;
    const int x = first == moved ? 2 : !is_settled (first);
    const int y = second == moved ? 2 : !is_settled (second);

    return x != y ? x - y : strcmp (first->name, second->name);
}

static int
compare_pending (gconstpointer a, gconstpointer b)
{
    const CorralAgentPending *const *first = a, *const *second = b;

    if ((*first)->since != (*second)->since)
        return (*first)->since < (*second)->since ? -1 : 1;
    return strcmp ((*first)->name, (*second)->name);
}

static void
add_plan_vm (CorralAgent *agent, CorralAgentSnapshot *snapshot, const CorralAgentUnit *unit)
{
    const CorralVm *known = corral_vm_inventory_lookup (agent->inventory, unit->vm_name);
    CorralPlanVm vm = { .name = unit->name,
                        .path = unit->path,
                        .n_vcpus = unit->threads->len,
                        .running = TRUE,
                        .vcpus = (const CorralCpuset *const *) unit->places->pdata };

    if (known != NULL) {
        vm.wishes = known->wishes;
        vm.wish = known->wish;
    }
    g_array_append_val (snapshot->vms, vm);
}

static void
add_pending (CorralAgentSnapshot *snapshot, const CorralAgentPending *pending)
{
    CorralPlanVm vm = { .name = pending->name,
                        .path = pending->path,
                        .n_vcpus = pending->n_vcpus,
                        .wishes = pending->wishes,
                        .wish = pending->wish };

    add_unit (snapshot, NULL, pending->name, pending->path, FALSE);
    g_array_append_val (snapshot->vms, vm);
}

static gboolean
has_unit (const CorralAgentSnapshot *snapshot, const char *name)
{
    for (guint i = 0; i < snapshot->units->len; i++)
        if (g_str_equal (((const CorralAgentUnit *) g_ptr_array_index (snapshot->units, i))->name,
                         name))
            return TRUE;
    return FALSE;
}

static void
add_vms (CorralAgent *agent, CorralAgentSnapshot *snapshot, const CorralAgentChange *change)
{
    g_autoptr (GPtrArray) vms = corral_agent_values (agent->vms);
    g_autoptr (GPtrArray) pending = corral_agent_values (agent->planner->pending);

    g_ptr_array_sort_with_data (vms, compare_vms, (gpointer) change);
    for (guint i = 0; i < vms->len; i++)
        add_running (agent, snapshot, g_ptr_array_index (vms, i), change);
    for (guint i = 0; i < snapshot->units->len; i++)
        add_plan_vm (agent, snapshot, g_ptr_array_index (snapshot->units, i));
    g_ptr_array_sort (pending, compare_pending);
    for (guint i = 0; i < pending->len; i++) {
        const CorralAgentPending *at = g_ptr_array_index (pending, i);

        if (!has_unit (snapshot, at->name) &&
            (change == NULL || change->vm == NULL || !g_str_equal (change->vm->name, at->name)))
            add_pending (snapshot, at);
    }
    if (change != NULL && change->vm != NULL && !has_unit (snapshot, change->vm->name))
        add_pending (snapshot, change->vm);
}

/* --- containers --- */

/* What the planner may see of the kernel's set: housekeeping pCPUs are there for helpers only. */
static CorralCpuset *
own_cpus (const CorralAgentSnapshot *snapshot, const CorralPlacement *wish, const CorralCpuset *now)
{
    CorralCpuset *own = hwloc_bitmap_dup (now);

    if (wish->mode != CORRAL_MODE_HOUSEKEEPING && wish->mode != CORRAL_MODE_NONE)
        hwloc_bitmap_andnot (own, own, snapshot->housekeeping);
    return own;
}

static void
add_container (CorralAgent *agent, CorralAgentSnapshot *snapshot, CorralAgentEntry *entry,
               const CorralDefinition *definition)
{
    CorralPlanContainer container = { .path = definition->partition,
                                      .wish = CORRAL_PLACEMENT_INIT,
                                      .allowed = definition->cpus };
    g_autoptr (CorralCpuset) now = NULL;

    if (definition->planned) {
        container.wish = definition->placement;
        corral_host_complete (agent->planner->host, &container.wish, definition->placement_said);
        snapshot->any_planned = TRUE;
    }
    if (entry != NULL && corral_agent_entry_is_active (entry)) {
        if (entry->applied.cpus != NULL)
            now = hwloc_bitmap_dup (entry->applied.cpus);
        else if (!corral_container_get_cpuset (agent->core, definition->partition, &now, NULL,
                                               NULL))
            now = NULL;
    }
    if (now != NULL) {
        g_ptr_array_add (snapshot->sets, own_cpus (snapshot, &container.wish, now));
        container.cpus = g_ptr_array_index (snapshot->sets, snapshot->sets->len - 1);
    }
    g_array_append_val (snapshot->containers, container);
    g_ptr_array_add (snapshot->entries, entry);
    g_ptr_array_add (snapshot->definitions, (gpointer) definition);
}

static void
add_containers (CorralAgent *agent, CorralAgentSnapshot *snapshot,
                const CorralDefinition *candidate)
{
    g_autoptr (GPtrArray) entries = corral_agent_entries (agent);
    gboolean replaced = FALSE;

    for (guint i = 0; i < entries->len; i++) {
        CorralAgentEntry *entry = g_ptr_array_index (entries, i);
        gboolean is_candidate =
            candidate != NULL &&
            g_str_equal (corral_container_definition (&entry->shown)->name, candidate->name);

        if (!is_candidate && !corral_agent_entry_is_active (entry))
            continue;
        add_container (agent, snapshot, entry, is_candidate ? candidate : entry->stored);
        replaced = replaced || is_candidate;
    }
    if (candidate != NULL && !replaced)
        add_container (agent, snapshot, NULL, candidate);
}

/* --- the snapshot --- */

void
corral_agent_snapshot_free (CorralAgentSnapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    g_array_unref (snapshot->containers);
    g_array_unref (snapshot->vms);
    g_ptr_array_unref (snapshot->entries);
    g_ptr_array_unref (snapshot->definitions);
    g_ptr_array_unref (snapshot->units);
    g_ptr_array_unref (snapshot->sets);
    g_clear_pointer (&snapshot->housekeeping, hwloc_bitmap_free);
    g_clear_pointer (&snapshot->usable, corral_topology_free);
    g_free (snapshot);
}

/* The pCPUs that the host's administrator keeps for himself are as good as offline. */
static const CorralTopology *
usable_topology (CorralAgent *agent, CorralAgentSnapshot *snapshot)
{
    const CorralTopology *topology = corral_agent_get_topology (agent);
    const CorralCpuset *reserve = agent->planner->host->reserve;
    g_autoptr (CorralCpuset) usable = NULL;

    if (reserve == NULL || !hwloc_bitmap_intersects (topology->online, reserve))
        return topology;
    usable = hwloc_bitmap_alloc ();
    hwloc_bitmap_andnot (usable, topology->online, reserve);
    snapshot->usable = corral_topology_with_online (topology, usable);
    return snapshot->usable;
}

CorralAgentSnapshot *
corral_agent_snapshot_new (CorralAgent *agent, const CorralAgentChange *change, GError **error)
{
    g_autoptr (CorralAgentSnapshot) snapshot = g_new0 (CorralAgentSnapshot, 1);

    snapshot->containers = g_array_new (FALSE, FALSE, sizeof (CorralPlanContainer));
    snapshot->vms = g_array_new (FALSE, FALSE, sizeof (CorralPlanVm));
    snapshot->entries = g_ptr_array_new ();
    snapshot->definitions = g_ptr_array_new ();
    snapshot->units = g_ptr_array_new_with_free_func (unit_free);
    snapshot->sets = g_ptr_array_new_with_free_func ((GDestroyNotify) hwloc_bitmap_free);
    if (corral_agent_get_topology (agent) == NULL) {
        g_set_error_literal (error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED,
                             "cannot plan: this host's topology could not be read");
        snapshot->housekeeping = NULL;
        return NULL;
    }
    snapshot->input.topology = usable_topology (agent, snapshot);
    snapshot->housekeeping =
        corral_host_housekeeping (agent->planner->host, corral_agent_get_topology (agent));
    add_containers (agent, snapshot, change != NULL ? change->candidate : NULL);
    add_vms (agent, snapshot, change);
    snapshot->input.housekeeping = snapshot->housekeeping;
    snapshot->input.containers =
        (const CorralPlanContainer *) (gpointer) snapshot->containers->data;
    snapshot->input.n_containers = snapshot->containers->len;
    snapshot->input.vms = (const CorralPlanVm *) (gpointer) snapshot->vms->data;
    snapshot->input.n_vms = snapshot->vms->len;
    return g_steal_pointer (&snapshot);
}

/* --- the generation --- */

static void
add_set (GChecksum *sum, const CorralCpuset *set)
{
    /* One that has no end has -1. */
    const int n = set != NULL ? hwloc_bitmap_nr_ulongs (set) : -2;
    g_autofree gulong *words = n > 0 ? g_new (gulong, n) : NULL;

    g_checksum_update (sum, (const guchar *) &n, sizeof n);
    if (n > 0 && hwloc_bitmap_to_ulongs (set, (unsigned) n, words) == 0)
        g_checksum_update (sum, (const guchar *) words, n * (gssize) sizeof *words);
}

/* Of many in a row most are the same. */
static void
add_next_set (GChecksum *sum, const CorralCpuset *set, const CorralCpuset *last)
{
    if (set != NULL && last != NULL && hwloc_bitmap_isequal (set, last))
        g_checksum_update (sum, (const guchar *) "=", 1);
    else
        add_set (sum, set);
}

static void
add_text (GChecksum *sum, const char *text)
{
    g_checksum_update (sum, (const guchar *) text, (gssize) strlen (text) + 1);
}

static void
add_wish (GChecksum *sum, const CorralPlacement *wish, guint wishes)
{
    g_autofree char *text =
        g_strdup_printf ("%d %d %d %d %d %d %u %u %u %u %u %u", wish->mode, wish->smt, wish->numa,
                         wish->emulator, wish->exclusive, wish->repair, wish->overcommit,
                         wish->reserve_vcpus, wish->limit_vcpus, wish->share_percent,
                         wish->helpers_percent, wishes);

    add_text (sum, text);
}

/* What the kernel has now goes in as well, so that a change by somebody else makes a number. */
static void
add_kernel (CorralAgent *agent, GChecksum *sum, const CorralAgentSnapshot *snapshot)
{
    for (guint i = 0; i < snapshot->entries->len; i++) {
        const CorralDefinition *definition = g_ptr_array_index (snapshot->definitions, i);
        CorralAgentValues values = { NULL };

        if (definition->planned && g_ptr_array_index (snapshot->entries, i) != NULL &&
            corral_agent_read_values (agent, definition->partition, &values, NULL)) {
            add_set (sum, values.cpus);
            add_set (sum, values.mems);
            g_checksum_update (sum, (const guchar *) &values.quota_usec, sizeof values.quota_usec);
            g_checksum_update (sum, (const guchar *) &values.exclusive, sizeof values.exclusive);
        }
        corral_agent_values_clear (&values);
    }
    for (guint i = 0; i < snapshot->units->len; i++) {
        const CorralAgentUnit *unit = g_ptr_array_index (snapshot->units, i);
        g_autoptr (CorralCpuset) last = NULL;

        for (guint j = 0; j < unit->threads->len; j++) {
            const CorralAgentThread *thread = g_ptr_array_index (unit->threads, j);
            g_autoptr (CorralCpuset) now = NULL;

            if (thread->applied == NULL ||
                !corral_container_get_affinity (agent->core, thread->tid, &now, NULL))
                continue;
            add_next_set (sum, now, last);
            g_clear_pointer (&last, hwloc_bitmap_free);
            last = g_steal_pointer (&now);
        }
    }
}

static GChecksum *
sum_of_input (const CorralAgentSnapshot *snapshot)
{
    GChecksum *sum = g_checksum_new (G_CHECKSUM_SHA1);

    add_set (sum, snapshot->input.topology->online);
    add_set (sum, snapshot->housekeeping);
    for (guint i = 0; i < snapshot->containers->len; i++) {
        const CorralPlanContainer *at =
            &g_array_index (snapshot->containers, CorralPlanContainer, i);

        add_text (sum, at->path);
        add_wish (sum, &at->wish, 0);
        add_set (sum, at->allowed);
        add_set (sum, at->cpus);
    }
    for (guint i = 0; i < snapshot->vms->len; i++) {
        const CorralPlanVm *at = &g_array_index (snapshot->vms, CorralPlanVm, i);

        add_text (sum, at->name);
        add_text (sum, at->path);
        add_wish (sum, &at->wish, at->wishes);
        add_text (sum, at->running ? "on" : "off");
        g_checksum_update (sum, (const guchar *) &at->n_vcpus, sizeof at->n_vcpus);
        for (guint j = 0; at->vcpus != NULL && j < at->n_vcpus; j++)
            add_next_set (sum, at->vcpus[j], j > 0 ? at->vcpus[j - 1] : NULL);
    }
    return sum;
}

char *
corral_agent_snapshot_fingerprint (const CorralAgentSnapshot *snapshot)
{
    g_autoptr (GChecksum) sum = sum_of_input (snapshot);

    return g_strdup (g_checksum_get_string (sum));
}

guint64
corral_agent_snapshot_generation (CorralAgent *agent, const CorralAgentSnapshot *snapshot)
{
    g_autoptr (GChecksum) sum = sum_of_input (snapshot);
    CorralAgentPlanner *planner = agent->planner;

    add_kernel (agent, sum, snapshot);
    if (g_strcmp0 (g_checksum_get_string (sum), planner->fingerprint) != 0) {
        g_free (planner->fingerprint);
        planner->fingerprint = g_strdup (g_checksum_get_string (sum));
        planner->generation++;
    }
    return planner->generation;
}

guint64
corral_agent_get_generation (CorralAgent *agent)
{
    g_autoptr (CorralAgentSnapshot) snapshot = corral_agent_snapshot_new (agent, NULL, NULL);

    return snapshot != NULL ? corral_agent_snapshot_generation (agent, snapshot)
                            : agent->planner->generation;
}

/* --- plans --- */

const CorralDefinition *
corral_agent_inactive_at (CorralAgent *agent, const char *path)
{
    GHashTableIter iter;
    CorralAgentEntry *entry;

    g_hash_table_iter_init (&iter, agent->entries);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &entry))
        if (!corral_agent_entry_is_active (entry) &&
            g_str_equal (entry->shown.config->partition, path))
            return entry->shown.config;
    return NULL;
}

gboolean
corral_agent_plans (CorralAgent *agent)
{
    GHashTableIter iter;
    CorralAgentEntry *entry;

    g_hash_table_iter_init (&iter, agent->entries);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &entry))
        if (corral_agent_entry_is_active (entry) && entry->stored->planned)
            return TRUE;
    return FALSE;
}

CorralPlan *
corral_agent_plan (CorralAgent *agent, const CorralDefinition *candidate, guint64 *ret_generation,
                   GError **error)
{
    CorralAgentChange change = { .candidate = candidate };
    g_autoptr (CorralAgentSnapshot) snapshot = corral_agent_snapshot_new (agent, &change, error);

    if (snapshot == NULL)
        return NULL;
    if (ret_generation != NULL)
        *ret_generation = candidate == NULL ? corral_agent_snapshot_generation (agent, snapshot)
                                            : corral_agent_get_generation (agent);
    return corral_plan_make (&snapshot->input, error);
}

/* @asked: somebody asks whether it could be so: then nothing runs anywhere meanwhile */
static char *
reasons_text (const GPtrArray *reasons, gboolean asked)
{
    g_autoptr (GString) text = g_string_new (NULL);

    for (guint i = 0; i < reasons->len; i++) {
        const CorralPlanReason *reason = g_ptr_array_index (reasons, i);
        g_autofree char *cpus = corral_cpuset_format (reason->cpus);
        g_autofree char *nodes = corral_cpuset_format (reason->nodes);

        if (asked && reason->rule == CORRAL_RULE_STRAY)
            continue;
        g_string_append_printf (text, "%s%s", text->len > 0 ? "; " : "",
                                corral_plan_rule_text (reason->rule));
        if (*cpus != '\0')
            g_string_append_printf (text, " (pCPUs %s)", cpus);
        if (*nodes != '\0')
            g_string_append_printf (text, " (nodes %s)", nodes);
        if (reason->detail != NULL)
            g_string_append_printf (text, ": %s", reason->detail);
    }
    return g_string_free (g_steal_pointer (&text), FALSE);
}

char *
corral_agent_reasons (const GPtrArray *reasons)
{
    return reasons_text (reasons, FALSE);
}

static gboolean
refuse (GError **error, const char *what, const char *name, const GPtrArray *reasons)
{
    g_autofree char *text = reasons_text (reasons, TRUE);

    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_REFUSED,
                 "the %s \"%s\" cannot have the pCPUs it wishes for: %s", what, name, text);
    return FALSE;
}

/* Whether something is refused in @after that @before, which may be NULL, does not refuse. */
static gboolean
compare_plans (const CorralPlan *before, const CorralPlan *after, GError **error)
{
    for (guint i = 0; i < after->n_containers; i++) {
        const CorralPlannedContainer *at = &after->containers[i];
        const CorralPlannedContainer *old =
            before != NULL ? corral_plan_find_container (before, at->path) : NULL;

        if (at->refused && (old == NULL || !old->refused))
            return refuse (error, "container", at->path, at->reasons);
    }
    for (guint i = 0; i < after->n_vms; i++) {
        const CorralPlannedVm *at = &after->vms[i];
        const CorralPlannedVm *old = before != NULL ? corral_plan_find_vm (before, at->name) : NULL;

        if (at->refused && (old == NULL || !old->refused || !g_str_equal (old->path, at->path)))
            return refuse (error, "VM", at->name, at->reasons);
    }
    return TRUE;
}

gboolean
corral_agent_check_change (CorralAgent *agent, const CorralAgentChange *change, GError **error)
{
    g_autoptr (CorralAgentSnapshot) with = NULL, without = NULL;
    g_autoptr (CorralPlan) before = NULL, after = NULL;

    if (!corral_agent_plans (agent) && (change->candidate == NULL || !change->candidate->planned))
        return TRUE;
    with = corral_agent_snapshot_new (agent, change, error);
    after = with != NULL ? corral_plan_make (&with->input, error) : NULL;
    if (after == NULL)
        return FALSE;
    if (after->n_refused == 0)
        return TRUE;
    without = corral_agent_snapshot_new (agent, NULL, error);
    before = without != NULL ? corral_plan_make (&without->input, error) : NULL;
    return before != NULL && compare_plans (before, after, error);
}
