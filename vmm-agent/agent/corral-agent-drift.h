/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between the look for drift and the record of it. */
#pragma once

#include "vmm-agent/agent/corral-agent-plan-private.h"

/* As in policy/schema/plan.rng */
typedef enum {
    CORRAL_DRIFT_CPUS,
    CORRAL_DRIFT_MEMS,
    CORRAL_DRIFT_QUOTA,
    CORRAL_DRIFT_AFFINITY,
    CORRAL_DRIFT_EXCLUSIVE,
    CORRAL_DRIFT_OFFLINE,
    CORRAL_DRIFT_REFUSED, /* nothing in the kernel: the plan itself does not have it */
} CorralAgentDriftWhat;

typedef enum {
    CORRAL_DRIFT_OPEN,
    CORRAL_DRIFT_REPAIRED,
    CORRAL_DRIFT_WAITING,
    CORRAL_DRIFT_FAILED,
    CORRAL_DRIFT_GONE,
} CorralAgentDriftState;

typedef struct {
    CorralAgentDriftWhat what;
    CorralAgentEntry *entry;
    CorralAgentVm *vm;         /* (nullable): it is the VM's helpers', or ... */
    CorralAgentThread *thread; /* (nullable): ... this vCPU's */
    const char *planned;
    const char *found;
} CorralAgentDriftFound;

/* Compares the kernel with the last plan, and calls corral_agent_drift_found() for each difference.
 * @deep: each helper thread is looked at */
void corral_agent_drift_look (CorralAgent *agent, CorralAgentDrift *drift, CorralAgentEntry *entry,
                              gboolean deep);
/* Makes it as the last plan has it. */
gboolean corral_agent_drift_repair (CorralAgent *agent, const CorralAgentDriftFound *found,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* --- corral-agent-refused.c --- */

/* The same for what the last plan refused. */
void corral_agent_refused_look (CorralAgent *agent, CorralAgentDrift *drift,
                                CorralAgentEntry *entry);

/* --- corral-agent-drift.c --- */

void corral_agent_drift_found (CorralAgentDrift *drift, const CorralAgentDriftFound *found);
/* Whether @vm's helpers are to be looked at one by one: somebody has written in its group since the
 * last such look, or that has found something that is not over. */
gboolean corral_agent_drift_is_suspect (const CorralAgentDrift *drift,
                                        const CorralAgentEntry *entry, const CorralAgentVm *vm);
