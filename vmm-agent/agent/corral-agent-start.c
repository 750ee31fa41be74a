/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Definitions as the folder has them: what a start finds, and what a reload changes. */
#include "vmm-agent/agent/corral-agent-plan-private.h"

#include "common/corral-error.h"

#include <errno.h>
#include <string.h>

static const guint8 no_uuid[CORRAL_UUID_BYTES];

static void
report_broken (CorralAgent *agent, GPtrArray *broken)
{
    for (guint i = 0; i < broken->len; i++)
        corral_agent_problem (agent, g_error_copy (g_ptr_array_index (broken, i)),
                              "a definition is left out");
}

/* A definition that a file brought: with a UUID, and in conflict with nobody. */
static CorralDefinition *
usable (CorralAgent *agent, const CorralDefinition *read, const CorralAgentEntry *self)
{
    g_autoptr (CorralDefinition) definition = corral_definition_copy (read);
    GError *problem = NULL;

    if (memcmp (definition->uuid, no_uuid, sizeof no_uuid) == 0)
        corral_agent_uuid_from_name (definition->name, definition->uuid);
    if (corral_agent_check_unique (agent, definition, self, &problem))
        return g_steal_pointer (&definition);
    corral_agent_problem (agent, problem, "a definition is left out");
    return NULL;
}

static gboolean
read_configs (CorralAgent *agent, GError **error)
{
    g_autoptr (GPtrArray) definitions = NULL, broken = NULL;

    if (!corral_store_list (agent->configs, &definitions, &broken, error))
        return FALSE;
    report_broken (agent, broken);
    for (guint i = 0; i < definitions->len; i++) {
        CorralDefinition *config = usable (agent, g_ptr_array_index (definitions, i), NULL);
        CorralAgentEntry *entry;

        if (config == NULL)
            continue;
        entry = corral_agent_add_entry (agent, config->name);
        entry->shown.config = config;
        entry->shown.autostart = corral_store_get_autostart (agent->configs, config->name);
    }
    return TRUE;
}

/* A live copy whose container the kernel does not have: its start, or the host, did not get far. */
static gboolean
drop_if_absent (CorralAgent *agent, const CorralDefinition *live)
{
    GError *problem = NULL;

    if (corral_container_get_state (agent->core, live->partition) != CORRAL_CONTAINER_ABSENT)
        return FALSE;
    if (!corral_store_remove (agent->lives, live->name, &problem))
        corral_agent_problem (agent, problem, NULL);
    return TRUE;
}

/* @live is the word of an active container; a file edited since then must not take it away. */
static void
enter_live (CorralAgent *agent, CorralDefinition *live)
{
    CorralAgentEntry *entry = g_hash_table_lookup (agent->entries, live->name);
    GError *problem = NULL;

    if (corral_container_get_state (agent->core, live->partition) == CORRAL_CONTAINER_PARTIAL &&
        !corral_container_create (agent->core, live->partition, live->planned ? NULL : live->cpus,
                                  live->planned ? NULL : live->mems, &problem))
        corral_agent_problem (agent, g_steal_pointer (&problem),
                              "a container that was found half made stays so");
    if (entry == NULL)
        entry = corral_agent_add_entry (agent, live->name);
    if (!corral_agent_enter (agent, entry, live, &problem)) {
        corral_agent_problem (agent, problem, NULL);
        corral_agent_drop_entry (agent, entry);
    }
}

static gboolean
read_lives (CorralAgent *agent, GError **error)
{
    g_autoptr (GPtrArray) definitions = NULL, broken = NULL;

    if (!corral_store_list (agent->lives, &definitions, &broken, error))
        return FALSE;
    report_broken (agent, broken);
    for (guint i = 0; i < definitions->len; i++) {
        const CorralDefinition *read = g_ptr_array_index (definitions, i);
        CorralDefinition *live;

        if (drop_if_absent (agent, read))
            continue;
        live = usable (agent, read, g_hash_table_lookup (agent->entries, read->name));
        if (live != NULL)
            enter_live (agent, live);
    }
    return TRUE;
}

/* Made in our absence, by the hook: it is active, with the values of its definition. */
static void
enter_found (CorralAgent *agent)
{
    g_autoptr (GPtrArray) entries = corral_agent_entries (agent);

    for (guint i = 0; i < entries->len; i++) {
        CorralAgentEntry *entry = g_ptr_array_index (entries, i);
        GError *problem = NULL;

        corral_agent_watch_entry (agent, entry);
        if (corral_agent_entry_is_active (entry) ||
            corral_container_get_state (agent->core, entry->shown.config->partition) ==
                CORRAL_CONTAINER_ABSENT)
            continue;
        if (!corral_agent_adopt (agent, entry, entry->shown.config, &problem))
            corral_agent_problem (agent, problem, NULL);
    }
}

gboolean
corral_agent_read_definitions (CorralAgent *agent, GError **error)
{
    gboolean ok;

    agent->starting = TRUE;
    ok = read_configs (agent, error) && read_lives (agent, error);
    agent->starting = FALSE;
    if (!ok)
        return FALSE;
    enter_found (agent);
    return TRUE;
}

/* As libvirt does: once after a boot, not at each start of the daemon, so that what an
 * administrator has stopped stays so. The state folder is emptied by a boot. */
void
corral_agent_autostart (CorralAgent *agent)
{
    g_autoptr (GPtrArray) entries = NULL;
    g_autofree char *done = g_build_filename (agent->state_dir, "autostarted", NULL);
    GError *problem = NULL;

    if (g_file_test (done, G_FILE_TEST_EXISTS))
        return;
    entries = corral_agent_entries (agent);
    for (guint i = 0; i < entries->len; i++) {
        CorralAgentEntry *entry = g_ptr_array_index (entries, i);

        /* A parent started for its child is active by now. */
        if (entry->shown.autostart && !corral_agent_entry_is_active (entry) &&
            !corral_agent_start_container (agent, entry->shown.config->name, &problem))
            corral_agent_problem (agent, g_steal_pointer (&problem), "autostart failed");
    }
    if (!g_file_set_contents (done, "", 0, &problem))
        corral_agent_problem (agent, problem, NULL);
}

/* --- reload --- */

static gboolean
is_same (const CorralDefinition *a, const CorralDefinition *b)
{
    g_autofree char *left = corral_definition_format (a, NULL);
    g_autofree char *right = corral_definition_format (b, NULL);

    return g_str_equal (left, right);
}

static void
reload_one (CorralAgent *agent, const CorralDefinition *read)
{
    CorralAgentEntry *entry = g_hash_table_lookup (agent->entries, read->name);
    g_autoptr (CorralDefinition) definition = corral_definition_copy (read);
    CorralEventType type = CORRAL_EVENT_UPDATED;
    CorralAgentChange change = { NULL };
    GError *problem = NULL;
    gboolean wishes;

    if (entry != NULL && memcmp (definition->uuid, no_uuid, sizeof no_uuid) == 0)
        memcpy (definition->uuid, corral_container_definition (&entry->shown)->uuid,
                CORRAL_UUID_BYTES);
    if (memcmp (definition->uuid, no_uuid, sizeof no_uuid) == 0)
        corral_agent_uuid_from_name (definition->name, definition->uuid);
    if (entry != NULL && entry->shown.config != NULL && is_same (definition, entry->shown.config)) {
        entry->shown.autostart = corral_store_get_autostart (agent->configs, read->name);
        return;
    }
    wishes = entry != NULL && corral_agent_entry_is_active (entry) &&
             (definition->planned || entry->stored->planned);
    change.candidate = definition;
    if (!corral_agent_check_replaces (agent, entry, definition, &problem) ||
        (wishes && !corral_agent_check_change (agent, &change, &problem))) {
        corral_agent_problem (agent, problem, "a changed definition is not taken over");
        return;
    }
    if (entry == NULL)
        entry = corral_agent_add_entry (agent, read->name);
    if (entry->shown.config == NULL)
        type = CORRAL_EVENT_DEFINED;
    corral_definition_free (entry->shown.config);
    entry->shown.config = g_steal_pointer (&definition);
    entry->shown.autostart = corral_store_get_autostart (agent->configs, read->name);
    corral_agent_watch_entry (agent, entry);
    corral_agent_emit_simple (agent, entry, type, NULL);
    if (!corral_agent_entry_is_active (entry))
        corral_agent_check (agent, entry);
    if (wishes && !corral_agent_take_wishes (agent, entry, &problem))
        corral_agent_problem (agent, problem, "what a changed definition wishes is not in force");
}

/* The file is gone, and not merely unreadable. */
static void
forget_removed (CorralAgent *agent)
{
    g_autoptr (GPtrArray) entries = corral_agent_entries (agent);

    for (guint i = 0; i < entries->len; i++) {
        CorralAgentEntry *entry = g_ptr_array_index (entries, i);
        g_autoptr (CorralDefinition) ignored = NULL;
        g_autoptr (GError) reason = NULL;
        GError *problem = NULL;

        if (entry->shown.config == NULL ||
            corral_store_load (agent->configs, entry->shown.config->name, &ignored, &reason) ||
            !g_error_matches (reason, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND))
            continue;
        if (!corral_agent_undefine (agent, entry->shown.config->name, &problem))
            corral_agent_problem (agent, problem, NULL);
    }
}

gboolean
corral_agent_reload (CorralAgent *agent, GError **error)
{
    g_autoptr (GPtrArray) definitions = NULL, broken = NULL;
    GError *problem = NULL;

    if (!corral_store_list (agent->configs, &definitions, &broken, error))
        return FALSE;
    report_broken (agent, broken);
    if (!corral_agent_read_host (agent, &problem))
        corral_agent_problem (agent, problem, "the host's wishes stay as they were");
    /* What was removed goes first: a renamed file brings the same UUID and path again. */
    forget_removed (agent);
    for (guint i = 0; i < definitions->len; i++)
        reload_one (agent, g_ptr_array_index (definitions, i));
    corral_agent_replan_soon (agent);
    return TRUE;
}
