/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which pins are a plan's, on record in the state folder: a VM that leaves its container while
 * corrald is down is found outside at the next start, and only by this it is known whose its pins
 * are. The record is written before the kernel is, with the pins of the plan before, and again
 * after it without them, so that it names all that there may be whenever corrald is killed. */
#include "vmm-agent/agent/corral-agent-plan-private.h"

#include "common/corral-error.h"

#define HELPERS "helpers"
#define QUOTA "helpers-quota-usec"
#define FILE_MAX (64 * 1024 * 1024)

static char *
record_path (CorralAgent *agent)
{
    return g_build_filename (agent->state_dir, "pins", NULL);
}

/* A process is known by its number and its time of birth. (transfer full) */
static char *
group_of (CorralAgent *agent, CorralAgentVm *vm)
{
    if (vm->start_time == 0)
        vm->start_time = corral_agent_thread_start_time (agent, vm->pid, vm->pid);
    return g_strdup_printf ("process %d %" G_GUINT64_FORMAT, (int) vm->pid, vm->start_time);
}

static char *
key_of_thread (pid_t tid)
{
    return g_strdup_printf ("thread %d", (int) tid);
}

/* --- writing --- */

/* Of a thread, or of a VM's helpers: those of the last plan and of the one that is put in force.
 * @last, @next: (nullable) */
static void
append_sets (GString *text, const char *key, const CorralCpuset *last, const CorralCpuset *next)
{
    g_autofree char *first = last != NULL ? corral_cpuset_format (last) : NULL;
    g_autofree char *second = next != NULL ? corral_cpuset_format (next) : NULL;

    if (first == NULL && second == NULL)
        return;
    g_string_append_printf (text, "%s=%s;", key, first != NULL ? first : second);
    if (first != NULL && second != NULL && !g_str_equal (first, second))
        g_string_append_printf (text, "%s;", second);
    g_string_append_c (text, '\n');
}

/* CorralAgentThread, or CorralAgentVm for its helpers -> CorralCpuset that it is to have; all of it
 * borrowed. (transfer full) */
static GHashTable *
wanted_by (const CorralAgentSnapshot *snapshot, const CorralAgentTargets *targets)
{
    GHashTable *wanted = g_hash_table_new (g_direct_hash, g_direct_equal);

    for (guint i = 0; targets != NULL && i < snapshot->input.n_vms; i++) {
        const CorralAgentUnit *unit = g_ptr_array_index (snapshot->units, i);
        const CorralCpuset *helpers = corral_agent_targets_helpers (targets, i);

        if (unit->vm == NULL)
            continue;
        if (helpers != NULL)
            g_hash_table_insert (wanted, unit->vm, (gpointer) helpers);
        for (guint j = 0; j < unit->threads->len; j++)
            g_hash_table_insert (wanted, g_ptr_array_index (unit->threads, j),
                                 (gpointer) corral_agent_targets_vcpu (targets, i, j));
    }
    return wanted;
}

static void
append_vm (CorralAgent *agent, GString *text, CorralAgentVm *vm, GHashTable *wanted)
{
    g_autoptr (GString) own = g_string_new (NULL);
    g_autofree char *group = NULL;

    for (guint i = 0; i < vm->threads->len; i++) {
        const CorralAgentThread *thread = g_ptr_array_index (vm->threads, i);
        const CorralCpuset *next = g_hash_table_lookup (wanted, thread);
        g_autofree char *key =
            thread->applied != NULL || next != NULL ? key_of_thread (thread->tid) : NULL;

        append_sets (own, key, thread->applied, next);
    }
    append_sets (own, HELPERS, vm->helpers, g_hash_table_lookup (wanted, vm));
    if (own->len == 0)
        return;
    if (vm->helpers != NULL && vm->helpers_quota_usec >= 0)
        g_string_append_printf (own, QUOTA "=%" G_GINT64_FORMAT "\n", vm->helpers_quota_usec);
    group = group_of (agent, vm);
    g_string_append_printf (text, "[%s]\n%s", group, own->str);
}

/* What was read at the start, of VMs that have not been seen yet, comes first. */
static GString *
begin_text (CorralAgent *agent)
{
    CorralAgentPlanner *planner = agent->planner;
    g_autofree char *unseen = NULL;

    /* All VMs are known: who has not been seen has ended. */
    if (corral_vm_inventory_is_settled (agent->inventory))
        g_clear_pointer (&planner->unseen, g_key_file_unref);
    if (planner->unseen != NULL)
        unseen = g_key_file_to_data (planner->unseen, NULL, NULL);
    return g_string_new (unseen);
}

void
corral_agent_pins_save (CorralAgent *agent, const CorralAgentSnapshot *snapshot,
                        const CorralAgentTargets *targets)
{
    CorralAgentPlanner *planner = agent->planner;
    g_autoptr (GHashTable) wanted = wanted_by (snapshot, targets);
    g_autoptr (GString) text = begin_text (agent);
    g_autofree char *path = record_path (agent);
    GHashTableIter iter;
    CorralAgentVm *vm;
    GError *problem = NULL;

    g_hash_table_iter_init (&iter, agent->vms);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &vm))
        append_vm (agent, text, vm, wanted);
    if (g_strcmp0 (text->str, planner->pins) == 0)
        return;
    if (!g_file_set_contents (path, text->str, (gssize) text->len, &problem)) {
        corral_agent_problem (agent, problem, "the plan's pins are not on record");
        return;
    }
    g_free (planner->pins);
    planner->pins = g_strdup (text->str);
}

/* --- reading --- */

void
corral_agent_pins_load (CorralAgent *agent)
{
    g_autoptr (GKeyFile) file = g_key_file_new ();
    g_autofree char *path = record_path (agent), *text = NULL;
    gsize length;
    GError *problem = NULL;

    if (!g_file_get_contents (path, &text, &length, &problem)) {
        if (!g_error_matches (problem, G_FILE_ERROR, G_FILE_ERROR_NOENT))
            corral_agent_problem (agent, problem, "the last plan's pins are not known");
        else
            g_error_free (problem);
        return;
    }
    if (length > FILE_MAX ||
        !g_key_file_load_from_data (file, text, length, G_KEY_FILE_NONE, &problem)) {
        if (problem == NULL)
            problem = g_error_new (CORRAL_ERROR, CORRAL_ERROR_IO, "\"%s\" is too long", path);
        corral_agent_problem (agent, problem, "the last plan's pins are not known");
        return;
    }
    agent->planner->unseen = g_steal_pointer (&file);
}

/* pCPUs that the container @path (nullable: none) has. (transfer full) (nullable) */
static CorralCpuset *
allowed_in (CorralAgent *agent, const char *path)
{
    g_autoptr (CorralCpuset) mems = NULL;
    CorralCpuset *cpus = NULL;

    if (path != NULL ? !corral_container_get_cpuset (agent->core, path, &cpus, NULL, NULL)
                     : !corral_container_core_host_cpus (agent->core, &cpus, &mems, NULL))
        return NULL;
    return cpus;
}

/* The plan's pin that @tid has, as it comes out where the thread is now; also when it has no pin at
 * all there. Anything else was chosen by somebody. (transfer full) (nullable) */
static CorralCpuset *
pin_of_plan (CorralAgent *agent, const char *group, const char *key, pid_t tid, const char *path)
{
    g_auto (GStrv) lists =
        g_key_file_get_string_list (agent->planner->unseen, group, key, NULL, NULL);
    g_autoptr (CorralCpuset) now = NULL, allowed = allowed_in (agent, path);

    if (lists == NULL || allowed == NULL ||
        !corral_container_get_affinity (agent->core, tid, &now, NULL))
        return NULL;
    for (guint i = 0; lists[i] != NULL; i++) {
        g_autoptr (CorralCpuset) pin = NULL, within = NULL;

        if (!corral_cpuset_parse (lists[i], &pin, NULL))
            continue;
        within = hwloc_bitmap_dup (pin);
        hwloc_bitmap_and (within, within, allowed);
        if (hwloc_bitmap_isequal (now, pin) || hwloc_bitmap_isequal (now, within) ||
            hwloc_bitmap_isequal (now, allowed))
            return g_steal_pointer (&pin);
    }
    return NULL;
}

static gboolean
is_planned (const CorralAgentEntry *entry)
{
    return entry != NULL && entry->stored->planned;
}

void
corral_agent_pins_recall (CorralAgent *agent, CorralAgentVm *vm)
{
    CorralAgentPlanner *planner = agent->planner;
    g_autofree char *group = planner->unseen != NULL ? group_of (agent, vm) : NULL;
    gint64 quota, now;

    if (group == NULL || !g_key_file_has_group (planner->unseen, group))
        return;
    for (guint i = 0; i < vm->threads->len; i++) {
        CorralAgentThread *thread = g_ptr_array_index (vm->threads, i);
        g_autofree char *key = key_of_thread (thread->tid);

        if (thread->applied == NULL && !is_planned (thread->inner))
            thread->applied = pin_of_plan (agent, group, key, thread->tid, thread->path);
    }
    /* Its main thread stands for all of them. */
    if (vm->helpers == NULL && !is_planned (vm->inner) &&
        (vm->helpers = pin_of_plan (agent, group, HELPERS, vm->pid, vm->path)) != NULL) {
        quota = g_key_file_get_int64 (planner->unseen, group, QUOTA, NULL);
        vm->helpers_quota_usec =
            quota > 0 && corral_container_get_helpers_cap (agent->core, vm->pid, &now) &&
                    ABS (now - quota) <= quota / 10
                ? quota
                : -1;
    }
    g_key_file_remove_group (planner->unseen, group, NULL);
}
