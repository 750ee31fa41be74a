/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Changes of an active container's values. The files are saved first, then the kernel is told; when
 * it refuses, both are as before. */
#include "vmm-agent/agent/corral-agent-plan-private.h"

#include "common/corral-error.h"

void
corral_agent_tune_merge (CorralCpuTune *tune, const CorralCpuTune *over)
{
    if (over->shares != -1)
        tune->shares = over->shares;
    if (over->period_usec != -1)
        tune->period_usec = over->period_usec;
    if (over->quota_usec != -1)
        tune->quota_usec = over->quota_usec;
    if (over->burst_usec != -1)
        tune->burst_usec = over->burst_usec;
}

gboolean
corral_agent_read_kernel_tune (CorralAgent *agent, const char *path, CorralCpuTune *ret_tune,
                               GError **error)
{
    CorralCpuTune tune = CORRAL_AGENT_TUNE_DEFAULT;
    guint features = corral_container_core_features (agent->core);
    CorralContainerCap cap;
    guint64 shares;

    if ((features & CORRAL_FEATURE_WEIGHT) != 0) {
        if (!corral_container_get_weight (agent->core, path, &shares, error))
            return FALSE;
        tune.shares = (gint64) shares;
    }
    if ((features & CORRAL_FEATURE_CAP) != 0) {
        if (!corral_container_get_cap (agent->core, path, &cap, error))
            return FALSE;
        tune.period_usec = cap.period_usec;
        tune.quota_usec = cap.quota_usec < 0 ? CORRAL_QUOTA_NONE : cap.quota_usec;
        tune.burst_usec = cap.burst_usec;
    }
    *ret_tune = tune;
    return TRUE;
}

static gboolean
write_cap (CorralAgent *agent, const char *path, const CorralCpuTune *tune, GError **error)
{
    CorralContainerCap cap;

    if (tune->period_usec == -1 && tune->quota_usec == -1 && tune->burst_usec == -1)
        return TRUE;
    if (!corral_container_get_cap (agent->core, path, &cap, error))
        return FALSE;
    if (tune->period_usec != -1)
        cap.period_usec = tune->period_usec;
    if (tune->quota_usec != -1)
        cap.quota_usec = tune->quota_usec == CORRAL_QUOTA_NONE ? -1 : tune->quota_usec;
    if (tune->burst_usec != -1)
        cap.burst_usec = tune->burst_usec;
    return corral_container_set_cap (agent->core, path, &cap, error);
}

gboolean
corral_agent_write_kernel_tune (CorralAgent *agent, const char *path, const CorralCpuTune *tune,
                                GError **error)
{
    guint64 old = 0;

    if (tune->shares == -1)
        return write_cap (agent, path, tune, error);
    if (!corral_container_get_weight (agent->core, path, &old, error) ||
        !corral_container_set_weight (agent->core, path, (guint64) tune->shares, error))
        return FALSE;
    if (write_cap (agent, path, tune, error))
        return TRUE;
    if (!corral_container_set_weight (agent->core, path, old, NULL))
        g_prefix_error (error, "the weight could not be set back after this: ");
    return FALSE;
}

gboolean
corral_agent_get_tune (CorralAgent *agent, const char *name, guint affect, CorralCpuTune *ret_tune,
                       GError **error)
{
    CorralAgentEntry *entry = corral_agent_find (agent, name, error);
    g_auto (CorralAgentDraft) draft = { NULL };
    CorralCpuTune tune = CORRAL_AGENT_TUNE_DEFAULT;

    if (entry == NULL || !corral_agent_draft_begin (entry, affect, &draft, error))
        return FALSE;
    if (draft.live != NULL)
        return corral_agent_read_kernel_tune (agent, draft.live->partition, ret_tune, error);
    corral_agent_tune_merge (&tune, &draft.config->tune);
    *ret_tune = tune;
    return TRUE;
}

/* The limits that cannot be told from one field alone, checked on what the change makes of the
 * whole. */
static gboolean
check_tune (const CorralDefinition *before, const CorralCpuTune *change, GError **error)
{
    CorralCpuTune tune = CORRAL_AGENT_TUNE_DEFAULT;
    const char *wrong = NULL;

    corral_agent_tune_merge (&tune, &before->tune);
    corral_agent_tune_merge (&tune, change);
    if (tune.shares < 2 || tune.shares > 262144)
        wrong = "the weight (shares) is not between 2 and 262144";
    else if (tune.period_usec < 1000 || tune.period_usec > 1000000)
        wrong = "the period is not between 1000 and 1000000 microseconds";
    else if (tune.quota_usec != CORRAL_QUOTA_NONE && tune.quota_usec < 1000)
        wrong = "the quota is less than 1000 microseconds";
    else if (tune.burst_usec < 0 || (tune.burst_usec > 0 && (tune.quota_usec == CORRAL_QUOTA_NONE ||
                                                             tune.burst_usec > tune.quota_usec)))
        wrong = "the burst is larger than the quota";
    else if (before->placement.share_percent > 0 &&
             (change->period_usec != -1 || change->quota_usec != -1 || change->burst_usec != -1))
        wrong = "its cap is what <corral:share> promises its VMs together";
    if (wrong != NULL)
        g_set_error_literal (error, CORRAL_ERROR, CORRAL_ERROR_INVALID, wrong);
    return wrong == NULL;
}

gboolean
corral_agent_set_tune (CorralAgent *agent, const char *name, const CorralCpuTune *tune,
                       guint affect, GError **error)
{
    CorralAgentEntry *entry = corral_agent_find (agent, name, error);
    g_auto (CorralAgentDraft) draft = { NULL };
    CorralEvent event = { .type = CORRAL_EVENT_TUNED, .tune = *tune };
    gboolean live;

    if (entry == NULL || !corral_agent_draft_begin (entry, affect, &draft, error))
        return FALSE;
    live = draft.live != NULL;
    if ((live && !check_tune (draft.live, tune, error)) ||
        (draft.config != NULL && !check_tune (draft.config, tune, error))) {
        g_prefix_error (error, "cannot tune the container \"%s\": ", name);
        return FALSE;
    }
    if (live)
        corral_agent_tune_merge (&draft.live->tune, tune);
    if (draft.config != NULL)
        corral_agent_tune_merge (&draft.config->tune, tune);
    if (!corral_agent_draft_save (agent, &draft, error))
        return FALSE;
    if (live && !corral_agent_write_kernel_tune (agent, entry->stored->partition, tune, error)) {
        corral_agent_draft_undo (agent, &draft);
        return FALSE;
    }
    corral_agent_draft_commit (agent, &draft);
    if (live) {
        event.name = entry->shown.live->name;
        event.uuid = entry->shown.live->uuid;
        event.id = entry->shown.id;
        corral_agent_emit (agent, &event);
    }
    return TRUE;
}

static void
replace_set (CorralCpuset **field, const CorralCpuset *set)
{
    g_clear_pointer (field, hwloc_bitmap_free);
    *field = hwloc_bitmap_dup (set);
}

static CorralCpuset **
set_field (CorralDefinition *definition, gboolean mems)
{
    return mems ? &definition->mems : &definition->cpus;
}

static gboolean
set_sets (CorralAgent *agent, const char *name, gboolean mems, const CorralCpuset *set,
          guint affect, CorralAgentEntry **ret_live, GError **error)
{
    CorralAgentEntry *entry = corral_agent_find (agent, name, error);
    g_auto (CorralAgentDraft) draft = { NULL }, before = { NULL };
    CorralAgentChange change = { NULL };
    gboolean live, planned;

    *ret_live = NULL;
    if (entry == NULL || !corral_agent_draft_begin (entry, affect, &draft, error) ||
        !corral_agent_draft_begin (entry, affect, &before, error))
        return FALSE;
    if (hwloc_bitmap_iszero (set) || hwloc_bitmap_last (set) > CORRAL_CPUSET_MAX ||
        hwloc_bitmap_last (set) < 0) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "cannot set the cpuset of the container \"%s\": at least one %s and none "
                     "above %d are expected",
                     name, mems ? "NUMA node" : "pCPU", CORRAL_CPUSET_MAX);
        return FALSE;
    }
    live = draft.live != NULL;
    if (live)
        replace_set (set_field (draft.live, mems), set);
    if (draft.config != NULL)
        replace_set (set_field (draft.config, mems), set);
    /* A planned one is given what the planner makes of it. */
    planned = live && draft.live->planned;
    change.candidate = draft.live;
    if ((planned && !corral_agent_check_change (agent, &change, error)) ||
        !corral_agent_draft_save (agent, &draft, error))
        return FALSE;
    if (live && !planned &&
        !corral_container_set_cpuset (agent->core, entry->stored->partition, mems ? NULL : set,
                                      mems ? set : NULL, error)) {
        corral_agent_draft_undo (agent, &draft);
        return FALSE;
    }
    corral_agent_draft_commit (agent, &draft);
    if (planned && !corral_agent_replan (agent, error)) {
        corral_agent_draft_revert (agent, &before);
        return FALSE;
    }
    if (live)
        *ret_live = entry;
    return TRUE;
}

gboolean
corral_agent_set_cpuset (CorralAgent *agent, const char *name, const CorralCpuset *cpus,
                         guint affect, GError **error)
{
    CorralAgentEntry *live;

    if (!set_sets (agent, name, FALSE, cpus, affect, &live, error))
        return FALSE;
    if (live != NULL)
        corral_agent_emit_simple (agent, live, CORRAL_EVENT_TUNED, NULL);
    return TRUE;
}

gboolean
corral_agent_set_mems (CorralAgent *agent, const char *name, const CorralCpuset *mems, guint affect,
                       GError **error)
{
    CorralAgentEntry *live;

    return set_sets (agent, name, TRUE, mems, affect, &live, error);
}

static gboolean
get_sets (CorralAgent *agent, const char *name, gboolean mems, guint affect, CorralCpuset **ret_set,
          GError **error)
{
    CorralAgentEntry *entry = corral_agent_find (agent, name, error);
    g_auto (CorralAgentDraft) draft = { NULL };
    g_autoptr (CorralCpuset) cpus = NULL, nodes = NULL;
    const CorralCpuset *set;

    if (entry == NULL || !corral_agent_draft_begin (entry, affect, &draft, error))
        return FALSE;
    if (draft.live != NULL) {
        if (!corral_container_get_cpuset (agent->core, draft.live->partition, &cpus, &nodes, error))
            return FALSE;
    } else if (!corral_container_core_host_cpus (agent->core, &cpus, &nodes, error)) {
        return FALSE;
    }
    set = draft.live == NULL ? *set_field (draft.config, mems) : NULL;
    if (set == NULL)
        set = mems ? nodes : cpus;
    *ret_set = hwloc_bitmap_dup (set);
    return TRUE;
}

gboolean
corral_agent_get_cpuset (CorralAgent *agent, const char *name, guint affect,
                         CorralCpuset **ret_cpus, GError **error)
{
    return get_sets (agent, name, FALSE, affect, ret_cpus, error);
}

gboolean
corral_agent_get_mems (CorralAgent *agent, const char *name, guint affect, CorralCpuset **ret_mems,
                       GError **error)
{
    return get_sets (agent, name, TRUE, affect, ret_mems, error);
}

static gboolean
edit_text (CorralDefinition *definition, CorralText what, const char *uri, const char *prefix,
           const char *value, GError **error)
{
    switch (what) {
    case CORRAL_TEXT_TITLE:
        return corral_definition_set_title (definition, value, error);
    case CORRAL_TEXT_DESCRIPTION:
        return corral_definition_set_description (definition, value, error);
    case CORRAL_TEXT_METADATA:
        return corral_definition_set_metadata (definition, uri, prefix, value, error);
    }
    g_set_error_literal (error, CORRAL_ERROR, CORRAL_ERROR_INVALID, "there is no such text");
    return FALSE;
}

gboolean
corral_agent_set_text (CorralAgent *agent, const char *name, CorralText what, const char *uri,
                       const char *prefix, const char *value, guint affect, GError **error)
{
    CorralAgentEntry *entry = corral_agent_find (agent, name, error);
    g_auto (CorralAgentDraft) draft = { NULL };
    CorralEvent event = {
        .type = CORRAL_EVENT_TEXT, .text = what, .detail = uri, .tune = CORRAL_CPU_TUNE_INIT
    };
    const CorralDefinition *definition;

    if (entry == NULL || !corral_agent_draft_begin (entry, affect, &draft, error))
        return FALSE;
    if ((draft.live != NULL && !edit_text (draft.live, what, uri, prefix, value, error)) ||
        (draft.config != NULL && !edit_text (draft.config, what, uri, prefix, value, error)) ||
        !corral_agent_draft_save (agent, &draft, error))
        return FALSE;
    corral_agent_draft_commit (agent, &draft);
    definition = corral_container_definition (&entry->shown);
    event.name = definition->name;
    event.uuid = definition->uuid;
    event.id = entry->shown.id;
    corral_agent_emit (agent, &event);
    return TRUE;
}
