/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which pins are a plan's, on record in the state folder: a VM that leaves its container while
 * corrald is down is found outside at the next start, and only by this it is known whose its pins
 * are. The record is written before the kernel is, with the pins of the plan before, and again
 * after it without them, so that it names all that there may be whenever corrald is killed. */
#include "vmm-agent/agent/corral-agent-plan-private.h"

#include "common/corral-error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define HELPERS "helpers"
#define QUOTA "helpers-quota-usec"
/* Of a thread: those of the last plan and of the one that is put in force */
#define SETS_MAX 2
#define FILE_MAX (64 * 1024 * 1024)

static char *
record_path (CorralAgent *agent)
{
    return g_build_filename (agent->state_dir, "pins", NULL);
}

/* proc(5), stat: field 22; 0 when the process has ended. */
static guint64
start_time_of (CorralAgent *agent, pid_t pid)
{
    g_autofree char *path = g_strdup_printf ("%d/stat", (int) pid);
    int fd = openat (agent->proc_fd, path, O_RDONLY | O_CLOEXEC);
    char text[1024];
    ssize_t got = fd >= 0 ? TEMP_FAILURE_RETRY (read (fd, text, sizeof text - 1)) : -1;
    const char *at;

    if (fd >= 0)
        close (fd);
    text[MAX (got, 0)] = '\0';
    /* The name in field 2 may hold anything. */
    at = strrchr (text, ')');
    for (int field = 2; at != NULL && field < 22; field++) {
        at = strchr (at, ' ');
        at = at != NULL ? at + 1 : NULL;
    }
    return at != NULL ? g_ascii_strtoull (at, NULL, 10) : 0;
}

/* A process is known by its number and its time of birth. (transfer full) */
static char *
group_of (CorralAgent *agent, pid_t pid)
{
    return g_strdup_printf ("process %d %" G_GUINT64_FORMAT, (int) pid, start_time_of (agent, pid));
}

static char *
key_of_thread (pid_t tid)
{
    return g_strdup_printf ("thread %d", (int) tid);
}

/* --- writing --- */

/* One more set that @key may have; @set is (nullable). */
static void
add_set (GKeyFile *file, const char *group, const char *key, const CorralCpuset *set)
{
    g_auto (GStrv) before = g_key_file_get_string_list (file, group, key, NULL, NULL);
    g_autofree char *list = set != NULL ? corral_cpuset_format (set) : NULL;
    const char *lists[SETS_MAX] = { before != NULL ? before[0] : list, list };

    if (list == NULL || (before != NULL && g_strv_contains ((const char *const *) before, list)))
        return;
    g_key_file_set_string_list (file, group, key, lists, before != NULL ? SETS_MAX : 1);
}

static void
add_vm (CorralAgent *agent, GKeyFile *file, const CorralAgentVm *vm)
{
    g_autofree char *group = group_of (agent, vm->pid);

    for (guint i = 0; i < vm->threads->len; i++) {
        const CorralAgentThread *thread = g_ptr_array_index (vm->threads, i);
        g_autofree char *key = key_of_thread (thread->tid);

        add_set (file, group, key, thread->applied);
    }
    add_set (file, group, HELPERS, vm->helpers);
    if (vm->helpers != NULL && vm->helpers_quota_usec >= 0)
        g_key_file_set_int64 (file, group, QUOTA, vm->helpers_quota_usec);
}

static void
add_target (CorralAgent *agent, GKeyFile *file, const CorralAgentSnapshot *snapshot,
            const CorralAgentTargets *targets, guint index)
{
    const CorralAgentUnit *unit = g_ptr_array_index (snapshot->units, index);
    g_autofree char *group = unit->vm != NULL ? group_of (agent, unit->vm->pid) : NULL;

    for (guint i = 0; group != NULL && i < unit->threads->len; i++) {
        const CorralAgentThread *thread = g_ptr_array_index (unit->threads, i);
        g_autofree char *key = key_of_thread (thread->tid);

        add_set (file, group, key, corral_agent_targets_vcpu (targets, index, i));
    }
    if (group != NULL)
        add_set (file, group, HELPERS, corral_agent_targets_helpers (targets, index));
}

/* What was read at the start, of VMs that have not been seen yet. */
static void
add_unseen (const CorralAgentPlanner *planner, GKeyFile *file)
{
    g_auto (GStrv) groups =
        planner->unseen != NULL ? g_key_file_get_groups (planner->unseen, NULL) : NULL;

    for (guint i = 0; groups != NULL && groups[i] != NULL; i++) {
        g_auto (GStrv) keys = g_key_file_get_keys (planner->unseen, groups[i], NULL, NULL);

        for (guint j = 0; keys != NULL && keys[j] != NULL; j++) {
            g_autofree char *value =
                g_key_file_get_value (planner->unseen, groups[i], keys[j], NULL);

            if (value != NULL)
                g_key_file_set_value (file, groups[i], keys[j], value);
        }
    }
}

void
corral_agent_pins_save (CorralAgent *agent, const CorralAgentSnapshot *snapshot,
                        const CorralAgentTargets *targets)
{
    CorralAgentPlanner *planner = agent->planner;
    g_autoptr (GKeyFile) file = g_key_file_new ();
    g_autofree char *path = record_path (agent), *text = NULL;
    GHashTableIter iter;
    const CorralAgentVm *vm;
    GError *problem = NULL;

    /* All VMs are known: who has not been seen has ended. */
    if (corral_vm_inventory_is_settled (agent->inventory))
        g_clear_pointer (&planner->unseen, g_key_file_unref);
    add_unseen (planner, file);
    g_hash_table_iter_init (&iter, agent->vms);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &vm))
        add_vm (agent, file, vm);
    for (guint i = 0; targets != NULL && i < snapshot->input.n_vms; i++)
        add_target (agent, file, snapshot, targets, i);
    text = g_key_file_to_data (file, NULL, NULL);
    if (g_strcmp0 (text, planner->pins) == 0)
        return;
    if (!g_file_set_contents (path, text, -1, &problem)) {
        corral_agent_problem (agent, problem, "the plan's pins are not on record");
        return;
    }
    g_free (planner->pins);
    planner->pins = g_steal_pointer (&text);
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

/* Whether @tid has what a plan's pin comes to where it is now, or no pin at all. Anything else was
 * chosen by somebody. @ret_pin: (out) (transfer full): that pin */
static gboolean
is_pin_of_plan (CorralAgent *agent, const char *group, const char *key, pid_t tid, const char *path,
                CorralCpuset **ret_pin)
{
    g_auto (GStrv) lists =
        g_key_file_get_string_list (agent->planner->unseen, group, key, NULL, NULL);
    g_autoptr (CorralCpuset) now = NULL, allowed = allowed_in (agent, path);

    if (lists == NULL || allowed == NULL ||
        !corral_container_get_affinity (agent->core, tid, &now, NULL))
        return FALSE;
    for (guint i = 0; lists[i] != NULL; i++) {
        g_autoptr (CorralCpuset) pin = NULL, within = NULL;

        if (!corral_cpuset_parse (lists[i], &pin, NULL))
            continue;
        within = hwloc_bitmap_dup (pin);
        hwloc_bitmap_and (within, within, allowed);
        if (!hwloc_bitmap_isequal (now, pin) && !hwloc_bitmap_isequal (now, within) &&
            !hwloc_bitmap_isequal (now, allowed))
            continue;
        *ret_pin = g_steal_pointer (&pin);
        return TRUE;
    }
    return FALSE;
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
    g_autofree char *group = planner->unseen != NULL ? group_of (agent, vm->pid) : NULL;
    gint64 quota, now;

    if (group == NULL || !g_key_file_has_group (planner->unseen, group))
        return;
    for (guint i = 0; i < vm->threads->len; i++) {
        CorralAgentThread *thread = g_ptr_array_index (vm->threads, i);
        g_autofree char *key = key_of_thread (thread->tid);

        if (thread->applied == NULL && !is_planned (thread->inner) &&
            !is_pin_of_plan (agent, group, key, thread->tid, thread->path, &thread->applied))
            thread->applied = NULL;
    }
    /* Its main thread stands for all of them. */
    if (vm->helpers == NULL && !is_planned (vm->inner) &&
        is_pin_of_plan (agent, group, HELPERS, vm->pid, vm->path, &vm->helpers)) {
        quota = g_key_file_get_int64 (planner->unseen, group, QUOTA, NULL);
        vm->helpers_quota_usec =
            quota > 0 && corral_container_get_helpers_cap (agent->core, vm->pid, &now) &&
                    ABS (now - quota) <= quota / 10
                ? quota
                : -1;
    }
    g_key_file_remove_group (planner->unseen, group, NULL);
}
