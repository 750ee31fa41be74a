/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The planning of the scripted agent: documents that say what they were made for. */
#include "tests/unit/driver/scripted-agent.h"
#include "vmm-agent/agent/corral-agent-plan.h"

#include "common/corral-error.h"

#define GENERATION 7

guint64
corral_agent_get_generation (CorralAgent *agent)
{
    return GENERATION;
}

gboolean
corral_agent_apply (CorralAgent *agent, guint64 generation, GError **error)
{
    if (!scripted_agent_change (agent, error))
        return FALSE;
    if (generation == GENERATION)
        return TRUE;
    g_set_error_literal (error, CORRAL_ERROR, CORRAL_ERROR_STATE, "the host has changed since");
    return FALSE;
}

gboolean
corral_agent_admit (CorralAgent *agent, const char *xml, gsize length, gboolean *ret_ready,
                    GError **error)
{
    *ret_ready = g_strstr_len (xml, (gssize) length, "<partition>") != NULL;
    if (!scripted_agent_change (agent, error))
        return FALSE;
    if (g_strstr_len (xml, (gssize) length, "<vcpu>100</vcpu>") == NULL)
        return TRUE;
    g_set_error_literal (error, CORRAL_ERROR, CORRAL_ERROR_REFUSED, "it is too large");
    return FALSE;
}

void
corral_agent_release (CorralAgent *agent, const char *vm_name)
{
    if (!scripted_agent_change (agent, NULL))
        return;
}

char *
corral_agent_plan_xml (CorralAgent *agent, const CorralDefinition *candidate, const char *path,
                       GError **error)
{
    return g_strdup_printf ("<plan generation='%d' if='%s'/>", GENERATION,
                            candidate != NULL ? candidate->name : "");
}

char *
corral_agent_explain_xml (CorralAgent *agent, const char *path, GError **error)
{
    return g_strdup_printf ("<explain generation='%d' path='%s'/>", GENERATION, path);
}

char *
corral_agent_drift_xml (CorralAgent *agent, const char *path, GError **error)
{
    return g_strdup_printf ("<drift generation='%d'/>", GENERATION);
}

const CorralCapacity *
corral_agent_capacity (CorralAgent *agent, guint64 *ret_generation, GError **error)
{
    static CorralCapacityRow row = { .name = (char *) "host" };
    static const CorralCapacity capacity = { .n_rows = 1, .rows = &row };

    if (row.cpus == NULL)
        row.cpus = hwloc_bitmap_alloc ();
    *ret_generation = GENERATION;
    return &capacity;
}
