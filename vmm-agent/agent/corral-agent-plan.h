/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The agent's planning: inventory -> plan -> kernel, and what came of it. The planner itself is in
 * policy/. Everything here reads what the agent holds in memory and the kernel's files; no call
 * waits for QEMU or libvirtd. */
#pragma once

#include "policy/corral-capacity.h"
#include "policy/corral-plan.h"
#include "vmm-agent/agent/corral-agent.h"

/* This host's topology as it is now; owned by @agent, until the main loop runs again. */
const CorralTopology *corral_agent_get_topology (CorralAgent *agent);

/* From now on this is the host's topology, whatever the machine's is. For tests. */
void corral_agent_set_topology (CorralAgent *agent, const CorralTopology *topology);

/* Counts up with everything that a plan depends on: definitions, members, running vCPUs, pCPUs
 * online, and cpusets found changed. */
guint64 corral_agent_get_generation (CorralAgent *agent);

/**
 * corral_agent_plan:
 * @candidate: (nullable): plan as if this were defined, in place of one of the same name
 * @ret_generation: (out) (optional): what the plan was made from
 *
 * Touches nothing. Returns: (transfer full)
 */
CorralPlan *corral_agent_plan (CorralAgent *agent, const CorralDefinition *candidate,
                               guint64 *ret_generation, GError **error);

/**
 * corral_agent_apply:
 * @generation: that of the plan that is to be applied; %CORRAL_ERROR_STATE when the host is at
 *   another one by now. 0: whatever the plan is now
 *
 * Makes the kernel as the plan says, all of it or none, each write read back.
 */
gboolean corral_agent_apply (CorralAgent *agent, guint64 generation, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/**
 * corral_agent_admit:
 * @xml: the domain document of a VM that is about to start, as libvirt's hook has it
 * @ret_ready: (out): whether its partition is there, whole, or is libvirt's own affair; where it is
 *   not, no container that is known here is defined at it
 *
 * Starts the VM's container if need be. One that is planned is planned with this VM among those
 * that run, and keeps its place until it runs, or corral_agent_release().
 * %CORRAL_ERROR_REFUSED has the reasons.
 */
gboolean corral_agent_admit (CorralAgent *agent, const char *xml, gsize length, gboolean *ret_ready,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;
void corral_agent_release (CorralAgent *agent, const char *vm_name);

/* --- documents for libvirt clients, in XML (urn:corral:1); all (transfer full) --- */

/* <plan generation='N'>: what differs from now, and what is refused. @path: (nullable): only what
 * concerns this container. */
char *corral_agent_plan_xml (CorralAgent *agent, const CorralDefinition *candidate,
                             const char *path, GError **error);
/* <explain>: for each pCPU or node turned down, the rule that did it; of one container and the VMs
 * in it. */
char *corral_agent_explain_xml (CorralAgent *agent, const char *path, GError **error);
/* <drift>: what differs from the last applied plan, since when, and what was done about it. */
char *corral_agent_drift_xml (CorralAgent *agent, const char *path, GError **error);

/* What policy/corral-capacity.h computes from this host as it is now. */
/* (transfer none): until it is asked for again. @ret_generation: of this state */
const CorralCapacity *corral_agent_capacity (CorralAgent *agent, guint64 *ret_generation,
                                             GError **error);
