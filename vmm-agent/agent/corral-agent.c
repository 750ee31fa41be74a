/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm-agent/agent/corral-agent-plan-private.h"

#include "common/corral-error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { SIGNAL_EVENT, SIGNAL_PROBLEM, N_SIGNALS };
static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (CorralAgent, corral_agent, G_TYPE_OBJECT)

/* --- the object --- */

static void
entry_free (CorralAgentEntry *entry)
{
    corral_definition_free (entry->shown.live);
    corral_definition_free (entry->shown.config);
    corral_definition_free (entry->stored);
    g_clear_handle_id (&entry->recheck, g_source_remove);
    g_clear_pointer (&entry->vcpus, g_array_unref);
    g_free (entry->watched);
    corral_agent_values_clear (&entry->applied);
    g_free (entry);
}

static void
corral_agent_init (CorralAgent *agent)
{
    agent->proc_fd = -1;
    agent->entries =
        g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) entry_free);
    agent->vms = g_hash_table_new_full (g_str_hash, g_str_equal, NULL,
                                        (GDestroyNotify) corral_agent_vm_free);
}

static void
corral_agent_dispose (GObject *object)
{
    CorralAgent *agent = CORRAL_AGENT (object);
    GHashTableIter iter;
    CorralAgentEntry *entry;

    g_clear_handle_id (&agent->look, g_source_remove);
    g_clear_pointer (&agent->planner, corral_agent_planner_free);
    if (agent->inventory != NULL)
        g_signal_handlers_disconnect_by_data (agent->inventory, agent);
    g_hash_table_iter_init (&iter, agent->entries);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &entry))
        if (entry->watched != NULL)
            corral_container_unwatch (agent->core, entry->watched);
    g_hash_table_remove_all (agent->vms);
    g_hash_table_remove_all (agent->entries);
    if (agent->core != NULL)
        g_signal_handlers_disconnect_by_data (agent->core, agent);
    g_clear_object (&agent->inventory);
    g_clear_object (&agent->core);
    G_OBJECT_CLASS (corral_agent_parent_class)->dispose (object);
}

static void
corral_agent_finalize (GObject *object)
{
    CorralAgent *agent = CORRAL_AGENT (object);

    g_hash_table_unref (agent->vms);
    g_hash_table_unref (agent->entries);
    corral_usage_file_close (agent->usage);
    corral_store_free (agent->configs);
    corral_store_free (agent->lives);
    g_free (agent->state_dir);
    if (agent->proc_fd >= 0)
        close (agent->proc_fd);
    G_OBJECT_CLASS (corral_agent_parent_class)->finalize (object);
}

static void
corral_agent_class_init (CorralAgentClass *class)
{
    GObjectClass *object_class = G_OBJECT_CLASS (class);

    object_class->dispose = corral_agent_dispose;
    object_class->finalize = corral_agent_finalize;
    signals[SIGNAL_EVENT] = g_signal_new ("event", CORRAL_TYPE_AGENT, G_SIGNAL_RUN_LAST, 0, NULL,
                                          NULL, NULL, G_TYPE_NONE, 1, G_TYPE_POINTER);
    signals[SIGNAL_PROBLEM] = g_signal_new ("problem", CORRAL_TYPE_AGENT, G_SIGNAL_RUN_LAST, 0,
                                            NULL, NULL, NULL, G_TYPE_NONE, 1, G_TYPE_POINTER);
}

static CorralAgentEntry *
entry_watching (CorralAgent *agent, const char *path)
{
    CorralAgentEntry *entry;
    GHashTableIter iter;

    g_hash_table_iter_init (&iter, agent->entries);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &entry))
        if (g_strcmp0 (entry->watched, path) == 0)
            return entry;
    return NULL;
}

static void
on_container_changed (CorralContainerCore *core, const char *path, const char *what,
                      CorralAgent *agent)
{
    CorralAgentEntry *entry = entry_watching (agent, path);

    if (g_str_equal (what, "settings"))
        corral_agent_drift_soon (agent, path);
    else if (g_str_equal (what, "unwatched"))
        corral_agent_drift_unwatched (agent, path);
    else if (entry == NULL)
        corral_agent_group_changed (agent, path);
    else if (g_str_equal (what, "groups"))
        corral_agent_look_soon (agent);
    else
        corral_agent_check (agent, entry);
}

CorralAgent *
corral_agent_new (CorralContainerCore *core, const CorralAgentSettings *settings)
{
    CorralAgent *agent = g_object_new (CORRAL_TYPE_AGENT, NULL);
    g_autofree char *lives = g_build_filename (settings->state_dir, "containers", NULL);

    agent->core = g_object_ref (core);
    agent->inventory = corral_vm_inventory_new (core, settings->vm);
    agent->configs = corral_store_new (settings->definition_dir);
    agent->lives = corral_store_new (lives);
    agent->state_dir = g_strdup (settings->state_dir);
    corral_agent_planner_new (agent, settings);
    return agent;
}

gboolean
corral_agent_start (CorralAgent *agent, GError **error)
{
    g_autofree char *usage = g_build_filename (agent->state_dir, "usage", NULL);

    g_return_val_if_fail (agent->usage == NULL, FALSE);
    agent->proc_fd = open ("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (agent->proc_fd < 0 || g_mkdir_with_parents (agent->state_dir, 0755) != 0) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO, "cannot use the state folder \"%s\": %s",
                     agent->state_dir, g_strerror (errno));
        return FALSE;
    }
    agent->usage = corral_usage_file_open (usage, error);
    if (agent->usage == NULL)
        return FALSE;
    g_signal_connect (agent->core, "changed", G_CALLBACK (on_container_changed), agent);
    corral_agent_planner_start (agent);
    corral_agent_pins_load (agent);
    if (!corral_agent_read_definitions (agent, error))
        return FALSE;
    corral_usage_file_sweep (agent->usage, FALSE);
    corral_agent_autostart (agent);
    corral_agent_connect_inventory (agent);
    return TRUE;
}

CorralContainerCore *
corral_agent_core (CorralAgent *agent)
{
    return agent->core;
}

CorralVmInventory *
corral_agent_inventory (CorralAgent *agent)
{
    return agent->inventory;
}

/* --- entries --- */

CorralAgentEntry *
corral_agent_find (CorralAgent *agent, const char *name, GError **error)
{
    CorralAgentEntry *entry = g_hash_table_lookup (agent->entries, name);

    if (entry == NULL)
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND, "there is no container \"%s\"",
                     name);
    return entry;
}

CorralAgentEntry *
corral_agent_add_entry (CorralAgent *agent, const char *name)
{
    CorralAgentEntry *entry = g_new0 (CorralAgentEntry, 1);

    entry->shown.id = -1;
    entry->slot = CORRAL_USAGE_NO_SLOT;
    entry->kernel_slot = CORRAL_USAGE_NO_SLOT;
    entry->rechecks_left = CORRAL_AGENT_RECHECKS;
    g_hash_table_insert (agent->entries, g_strdup (name), entry);
    return entry;
}

void
corral_agent_drop_entry (CorralAgent *agent, CorralAgentEntry *entry)
{
    GHashTableIter iter;
    gpointer at;

    if (entry->shown.live != NULL || entry->shown.config != NULL)
        return;
    if (entry->watched != NULL)
        corral_container_unwatch (agent->core, entry->watched);
    g_hash_table_iter_init (&iter, agent->entries);
    while (g_hash_table_iter_next (&iter, NULL, &at))
        if (at == entry)
            g_hash_table_iter_remove (&iter);
}

gboolean
corral_agent_entry_is_active (const CorralAgentEntry *entry)
{
    return entry->shown.live != NULL;
}

const CorralDefinition *
corral_container_definition (const CorralContainer *container)
{
    return container->live != NULL ? container->live : container->config;
}

const char *
corral_agent_entry_path (const CorralAgentEntry *entry)
{
    return corral_container_definition (&entry->shown)->partition;
}

static int
compare_entries (gconstpointer a, gconstpointer b)
{
    const CorralAgentEntry *const *first = a, *const *second = b;

    return strcmp (corral_container_definition (&(*first)->shown)->name,
                   corral_container_definition (&(*second)->shown)->name);
}

GPtrArray *
corral_agent_values (GHashTable *table)
{
    GPtrArray *values = g_ptr_array_sized_new (g_hash_table_size (table));
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init (&iter, table);
    while (g_hash_table_iter_next (&iter, NULL, &value))
        g_ptr_array_add (values, value);
    return values;
}

GPtrArray *
corral_agent_entries (CorralAgent *agent)
{
    GPtrArray *entries = corral_agent_values (agent->entries);

    g_ptr_array_sort (entries, compare_entries);
    return entries;
}

GPtrArray *
corral_agent_list (CorralAgent *agent)
{
    G_STATIC_ASSERT (G_STRUCT_OFFSET (CorralAgentEntry, shown) == 0);
    return corral_agent_entries (agent);
}

const CorralContainer *
corral_agent_lookup_name (CorralAgent *agent, const char *name)
{
    return g_hash_table_lookup (agent->entries, name);
}

const CorralContainer *
corral_agent_lookup_uuid (CorralAgent *agent, const guint8 *uuid)
{
    GHashTableIter iter;
    CorralContainer *container;

    g_hash_table_iter_init (&iter, agent->entries);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &container))
        if (memcmp (corral_container_definition (container)->uuid, uuid, CORRAL_UUID_BYTES) == 0)
            return container;
    return NULL;
}

const CorralContainer *
corral_agent_lookup_id (CorralAgent *agent, int id)
{
    GHashTableIter iter;
    CorralContainer *container;

    g_hash_table_iter_init (&iter, agent->entries);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &container))
        if (container->live != NULL && container->id == id)
            return container;
    return NULL;
}

gboolean
corral_agent_path_is_within (const char *path, const char *ancestor)
{
    gsize length = strlen (ancestor);

    return strncmp (path, ancestor, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

CorralAgentEntry *
corral_agent_inner (CorralAgent *agent, const char *path)
{
    CorralAgentEntry *best = NULL, *entry;
    GHashTableIter iter;

    g_hash_table_iter_init (&iter, agent->entries);
    while (path != NULL && g_hash_table_iter_next (&iter, NULL, (gpointer *) &entry))
        if (corral_agent_entry_is_active (entry) &&
            corral_agent_path_is_within (path, corral_agent_entry_path (entry)) &&
            (best == NULL ||
             strlen (corral_agent_entry_path (entry)) > strlen (corral_agent_entry_path (best))))
            best = entry;
    return best;
}

/* --- signals --- */

void
corral_agent_emit (CorralAgent *agent, const CorralEvent *event)
{
    g_signal_emit (agent, signals[SIGNAL_EVENT], 0, event);
}

void
corral_agent_emit_simple (CorralAgent *agent, CorralAgentEntry *entry, CorralEventType type,
                          const char *detail)
{
    const CorralDefinition *definition = corral_container_definition (&entry->shown);
    CorralEvent event = {
        .type = type,
        .name = definition->name,
        .uuid = definition->uuid,
        .id = entry->shown.id,
        .detail = detail,
        .tune = CORRAL_CPU_TUNE_INIT,
    };

    corral_agent_emit (agent, &event);
}

void
corral_agent_problem (CorralAgent *agent, GError *problem, const char *what)
{
    g_autoptr (GError) taken = problem;

    if (what != NULL)
        g_prefix_error (&taken, "%s: ", what);
    g_signal_emit (agent, signals[SIGNAL_PROBLEM], 0, taken);
}
