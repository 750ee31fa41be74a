/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What runs and does not fit: a vCPU was plugged by libvirt, pCPUs went offline, a definition was
 * changed. It stays where it is. It is told once in the log, and is drift for as long as it is so.
 */
#include "vmm-agent/agent/corral-agent-drift.h"

#include "common/corral-error.h"

typedef struct {
    char *path; /* of the container */
    char *vm;   /* (nullable): NULL for the container itself */
    guint n_vcpus;
    char *why;
} Refusal;

void
corral_agent_refusal_free (gpointer data)
{
    Refusal *refusal = data;

    g_free (refusal->path);
    g_free (refusal->vm);
    g_free (refusal->why);
    g_free (refusal);
}

/* @key: (transfer full) */
static void
add (GHashTable *table, char *key, const char *path, const char *vm, guint n_vcpus,
     const GPtrArray *reasons)
{
    Refusal *refusal = g_new (Refusal, 1);

    *refusal = (Refusal){ g_strdup (path), g_strdup (vm), n_vcpus, corral_agent_reasons (reasons) };
    g_hash_table_insert (table, key, refusal);
}

static GHashTable *
collect (const CorralAgentSnapshot *snapshot, const CorralPlan *plan)
{
    GHashTable *table =
        g_hash_table_new_full (g_str_hash, g_str_equal, g_free, corral_agent_refusal_free);

    for (guint i = 0; i < plan->n_containers; i++) {
        const CorralPlannedContainer *at = &plan->containers[i];

        if (at->refused)
            add (table, g_strdup_printf ("container \"%s\"", at->path), at->path, NULL, 0,
                 at->reasons);
    }
    for (guint i = 0; i < plan->n_vms; i++) {
        const CorralPlannedVm *at = &plan->vms[i];
        const CorralAgentUnit *unit = g_ptr_array_index (snapshot->units, i);

        if (at->refused)
            add (table, g_strdup_printf ("VM \"%s\"", at->name), at->path,
                 unit->vm != NULL ? unit->vm_name : NULL, at->n_vcpus, at->reasons);
    }
    return table;
}

static void
note_path (CorralAgent *agent, GHashTable *paths, const Refusal *refusal)
{
    CorralAgentEntry *entry = corral_agent_inner (agent, refusal->path);

    if (entry != NULL)
        g_hash_table_add (paths, entry);
}

/* Those in @table that are not the same in @other: their containers go to @ret_entries. */
static void
compare (CorralAgent *agent, GHashTable *table, GHashTable *other, gboolean tell,
         GHashTable *ret_entries)
{
    GHashTableIter iter;
    const char *key;
    Refusal *refusal;

    g_hash_table_iter_init (&iter, table);
    while (g_hash_table_iter_next (&iter, (gpointer *) &key, (gpointer *) &refusal)) {
        const Refusal *same = g_hash_table_lookup (other, key);

        if (same != NULL && g_str_equal (same->why, refusal->why))
            continue;
        note_path (agent, ret_entries, refusal);
        if (tell)
            corral_agent_problem (agent,
                                  g_error_new (CORRAL_ERROR, CORRAL_ERROR_REFUSED,
                                               "the %s cannot have the pCPUs it wishes for: %s",
                                               key, refusal->why),
                                  NULL);
    }
}

void
corral_agent_refused_tell (CorralAgent *agent, const CorralAgentSnapshot *snapshot,
                           const CorralPlan *plan)
{
    GHashTable *now = collect (snapshot, plan), *before = agent->planner->refused;
    g_autoptr (GHashTable) entries = g_hash_table_new (g_direct_hash, g_direct_equal);
    g_autoptr (GPtrArray) changed = NULL;

    agent->planner->refused = now;
    compare (agent, now, before, TRUE, entries);
    compare (agent, before, now, FALSE, entries);
    g_hash_table_unref (before);
    changed = corral_agent_values (entries);
    for (guint i = 0; i < changed->len; i++)
        corral_agent_drift_check (agent, g_ptr_array_index (changed, i));
}

void
corral_agent_refused_look (CorralAgent *agent, CorralAgentDrift *drift, CorralAgentEntry *entry)
{
    GHashTableIter iter;
    Refusal *refusal;

    g_hash_table_iter_init (&iter, agent->planner->refused);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &refusal)) {
        g_autofree char *wanted = NULL;
        CorralAgentDriftFound found = { CORRAL_DRIFT_REFUSED, entry, NULL, NULL, "", refusal->why };

        if (!g_str_equal (refusal->path, entry->stored->partition))
            continue;
        if (refusal->vm != NULL) {
            found.vm = g_hash_table_lookup (agent->vms, refusal->vm);
            if (found.vm == NULL)
                continue;
            wanted = g_strdup_printf ("%u vCPUs", refusal->n_vcpus);
            found.planned = wanted;
        }
        corral_agent_drift_found (drift, &found);
    }
}
