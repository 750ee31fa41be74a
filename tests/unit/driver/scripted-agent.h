/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An agent that holds containers in memory, for tests of the driver: it has vCPUs and usage without
 * any VM, and fails on demand. It takes the place of vmm-agent/agent when the test is linked. Each
 * member of type vm stands for a running VM of two vCPUs, unless its name is "absent". */
#pragma once

#include "vmm-agent/agent/corral-agent.h"

CorralAgent *scripted_agent_new (void);

/* What every change fails with from now on; NULL: nothing. */
void scripted_agent_fail_with (CorralAgent *agent, const GError *error);

/* Counts a change, and fails as it is told to. */
gboolean scripted_agent_change (CorralAgent *agent, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* How many changes were asked for since the start, done or not. */
guint scripted_agent_count_changes (CorralAgent *agent);

/* What a text of all containers and their settings would be: equal when nothing has changed. */
char *scripted_agent_describe (CorralAgent *agent);

void scripted_agent_emit (CorralAgent *agent, const CorralEvent *event);
