/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Admission: before QEMU is there, its container is made ready for it, and its place kept. */
#include "vmm-agent/agent/corral-agent-plan-private.h"

#include "common/corral-error.h"

#include <string.h>

#define DEFAULT_PARTITION "/machine"
void
corral_agent_pending_free (CorralAgentPending *pending)
{
    if (pending->timeout != 0)
        g_source_remove (pending->timeout);
    g_free (pending->name);
    g_free (pending->path);
    g_free (pending);
}

/* A start that libvirt never told us the end of: its daemon was killed. */
static gboolean
on_timeout (gpointer data)
{
    CorralAgentPending *pending = data;
    g_autofree char *name = g_strdup (pending->name);

    pending->timeout = 0;
    corral_agent_release (pending->agent, name);
    return G_SOURCE_REMOVE;
}

/* (nullable): the container, active or defined, at @path or above it, that is the innermost */
static CorralAgentEntry *
container_of (CorralAgent *agent, const char *path)
{
    CorralAgentEntry *best = NULL, *entry;
    GHashTableIter iter;

    g_hash_table_iter_init (&iter, agent->entries);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &entry)) {
        const char *at = corral_agent_entry_path (entry);

        if (corral_agent_path_is_within (path, at) &&
            (best == NULL || strlen (at) > strlen (corral_agent_entry_path (best))))
            best = entry;
    }
    return best;
}

static CorralAgentPending *
read_pending (const char *xml, gsize length, GError **error)
{
    CorralAgentPending *pending = g_new0 (CorralAgentPending, 1);

    if (!corral_vm_partition_parse (xml, length, &pending->name, &pending->path, error) ||
        !corral_vm_wishes_parse (xml, length, &pending->wish, &pending->wishes, &pending->n_vcpus,
                                 NULL, error)) {
        corral_agent_pending_free (pending);
        return NULL;
    }
    if (pending->path == NULL)
        pending->path = g_strdup (DEFAULT_PARTITION);
    g_strstrip (pending->path);
    pending->since = g_get_monotonic_time ();
    return pending;
}

static gboolean
is_planned (const CorralAgentEntry *entry)
{
    const CorralDefinition *definition =
        entry->stored != NULL ? entry->stored : entry->shown.config;

    return definition != NULL && definition->planned;
}

static gboolean
make_ready (CorralAgent *agent, CorralAgentEntry *entry, CorralAgentPending *pending,
            GError **error)
{
    g_autofree char *path = g_strdup (corral_agent_entry_path (entry));
    CorralAgentChange change = { .vm = pending };
    g_autofree char *name = NULL;

    if (!corral_agent_entry_is_active (entry)) {
        name = g_strdup (entry->shown.config->name);
        if (!corral_agent_start_container (agent, name, error))
            return FALSE;
    }
    if (!corral_agent_knows_all (agent)) {
        g_set_error_literal (error, CORRAL_ERROR, CORRAL_ERROR_STATE,
                             "corrald has started just now, and has not read all VMs that run");
        return FALSE;
    }
    if (corral_container_get_state (agent->core, path) != CORRAL_CONTAINER_WHOLE &&
        !corral_container_create (agent->core, path, NULL, NULL, error))
        return FALSE;
    if (!corral_agent_check_change (agent, &change, error))
        return FALSE;
    pending->agent = agent;
    pending->timeout = g_timeout_add (agent->planner->pending_msec, on_timeout, pending);
    g_hash_table_replace (agent->planner->pending, pending->name, pending);
    return TRUE;
}

/* A container that is not planned has room for all, and is started for the first. */
static gboolean
start_if_defined (CorralAgent *agent, const CorralAgentEntry *entry, const char *partition,
                  GError **error)
{
    g_autofree char *name = NULL;

    if (entry == NULL || corral_agent_entry_is_active (entry) ||
        !g_str_equal (corral_agent_entry_path (entry), partition))
        return TRUE;
    name = g_strdup (entry->shown.config->name);
    return corral_agent_start_container (agent, name, error);
}

/* What was started for a VM that was refused would have pCPUs for nobody. */
static void
stop_again (CorralAgent *agent, const GPtrArray *started)
{
    for (guint i = started->len; i > 0; i--) {
        CorralAgentEntry *entry = g_ptr_array_index (started, i - 1);
        GError *problem = NULL;

        if (corral_agent_entry_is_active (entry) &&
            !corral_agent_destroy (agent, entry->shown.live->name, &problem))
            corral_agent_problem (agent, problem, "what was started for a VM stays active");
    }
}

/* @pending: (transfer full) */
static gboolean
plan_with (CorralAgent *agent, CorralAgentEntry *entry, CorralAgentPending *pending, GError **error)
{
    g_autofree char *name = g_strdup (pending->name);
    g_autoptr (GPtrArray) inactive = NULL;

    g_free (pending->path);
    pending->path = g_strdup (corral_agent_entry_path (entry));
    inactive = corral_agent_inactive_above (agent, pending->path);
    if (!corral_agent_entry_is_active (entry))
        g_ptr_array_add (inactive, entry);
    if (!make_ready (agent, entry, pending, error)) {
        corral_agent_pending_free (pending);
        stop_again (agent, inactive);
        return FALSE;
    }
    if (corral_agent_replan (agent, error))
        return TRUE;
    corral_agent_release (agent, name);
    stop_again (agent, inactive);
    return FALSE;
}

/* libvirt makes its default partition itself, unless a container is defined there. */
static gboolean
is_there (CorralAgent *agent, const CorralAgentEntry *entry, const char *partition)
{
    return (entry == NULL && g_str_equal (partition, DEFAULT_PARTITION)) ||
           corral_container_get_state (agent->core, partition) == CORRAL_CONTAINER_WHOLE;
}

gboolean
corral_agent_admit (CorralAgent *agent, const char *xml, gsize length, gboolean *ret_ready,
                    GError **error)
{
    CorralAgentPending *pending = read_pending (xml, length, error);
    g_autofree char *partition = NULL, *name = NULL;
    CorralAgentEntry *entry;
    gboolean ok;

    if (pending == NULL)
        return FALSE;
    partition = g_strdup (pending->path);
    name = g_strdup (pending->name);
    entry = container_of (agent, partition);
    if (entry != NULL && is_planned (entry)) {
        ok = plan_with (agent, entry, pending, error);
    } else {
        corral_agent_pending_free (pending);
        ok = start_if_defined (agent, entry, partition, error);
    }
    if (!ok)
        g_prefix_error (error, "cannot start \"%s\" in \"%s\": ", name, partition);
    *ret_ready = ok && is_there (agent, container_of (agent, partition), partition);
    return ok;
}

void
corral_agent_release (CorralAgent *agent, const char *vm_name)
{
    if (g_hash_table_remove (agent->planner->pending, vm_name))
        corral_agent_replan_soon (agent);
}

void
corral_agent_pending_done (CorralAgent *agent, const char *name)
{
    g_hash_table_remove (agent->planner->pending, name);
}
