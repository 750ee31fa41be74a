/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Drafts: a change is made to copies of a container's live and persistent values first, and only
 * then saved and told to the kernel, so that a refused one leaves nothing behind. */
#include "vmm-agent/agent/corral-agent-private.h"

#include "common/corral-error.h"

static gboolean
resolve_affect (CorralAgentEntry *entry, guint *affect, GError **error)
{
    const char *name = corral_container_definition (&entry->shown)->name;

    if (*affect == 0)
        *affect = corral_agent_entry_is_active (entry) ? CORRAL_AFFECT_LIVE : CORRAL_AFFECT_CONFIG;
    if ((*affect & CORRAL_AFFECT_LIVE) != 0 && entry->shown.live == NULL) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE, "the container \"%s\" is not active",
                     name);
        return FALSE;
    }
    if ((*affect & CORRAL_AFFECT_CONFIG) != 0 && entry->shown.config == NULL) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE,
                     "the container \"%s\" is transient and has no persistent definition", name);
        return FALSE;
    }
    return TRUE;
}

gboolean
corral_agent_draft_begin (CorralAgentEntry *entry, guint affect, CorralAgentDraft *ret_draft,
                          GError **error)
{
    if (!resolve_affect (entry, &affect, error))
        return FALSE;
    *ret_draft = (CorralAgentDraft){ .entry = entry };
    if ((affect & CORRAL_AFFECT_LIVE) != 0)
        ret_draft->live = corral_definition_copy (entry->stored);
    if ((affect & CORRAL_AFFECT_CONFIG) != 0)
        ret_draft->config = corral_definition_copy (entry->shown.config);
    return TRUE;
}

gboolean
corral_agent_draft_save (CorralAgent *agent, CorralAgentDraft *draft, GError **error)
{
    gboolean ok = TRUE;

    if (draft->config != NULL)
        ok = draft->config_saved = corral_store_save (agent->configs, draft->config, error);
    if (ok && draft->live != NULL)
        ok = draft->live_saved = corral_store_save (agent->lives, draft->live, error);
    if (!ok)
        corral_agent_draft_undo (agent, draft);
    return ok;
}

void
corral_agent_draft_undo (CorralAgent *agent, CorralAgentDraft *draft)
{
    GError *problem = NULL;

    if (draft->config_saved &&
        !corral_store_save (agent->configs, draft->entry->shown.config, &problem))
        corral_agent_problem (agent, g_steal_pointer (&problem),
                              "a change of a definition could not be undone");
    if (draft->live_saved && !corral_store_save (agent->lives, draft->entry->stored, &problem))
        corral_agent_problem (agent, g_steal_pointer (&problem),
                              "a change of a live definition could not be undone");
    draft->config_saved = draft->live_saved = FALSE;
}

void
corral_agent_draft_commit (CorralAgent *agent, CorralAgentDraft *draft)
{
    CorralAgentEntry *entry = draft->entry;

    if (draft->config != NULL) {
        corral_definition_free (entry->shown.config);
        entry->shown.config = g_steal_pointer (&draft->config);
    }
    if (draft->live != NULL) {
        corral_definition_free (entry->shown.live);
        corral_definition_free (entry->stored);
        entry->shown.live = corral_definition_copy (draft->live);
        entry->stored = g_steal_pointer (&draft->live);
        corral_agent_show_members (agent);
    }
}

void
corral_agent_draft_revert (CorralAgent *agent, CorralAgentDraft *before)
{
    GError *problem = NULL;

    if (!corral_agent_draft_save (agent, before, &problem))
        corral_agent_problem (agent, problem, "a change of a definition could not be undone");
    corral_agent_draft_commit (agent, before);
}

void
corral_agent_draft_clear (CorralAgentDraft *draft)
{
    g_clear_pointer (&draft->live, corral_definition_free);
    g_clear_pointer (&draft->config, corral_definition_free);
}
