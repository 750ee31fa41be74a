/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host's own wishes: /etc/corral/host.xml, as a plain value.
 *
 *   <host xmlns='urn:corral:1'>
 *     <housekeeping cpuset='0-1'/>        or: <housekeeping cores='1' per='node'/>
 *     <reserve cpuset='8-9'/>             nobody's: neither planned nor housekeeping
 *     <placement smt='prefer' numa='prefer' overcommit='4.0' drift='repair'/>  defaults
 *   </host>
 */
#pragma once

#include "policy/corral-placement.h"
#include "policy/corral-topology.h"

typedef enum {
    CORRAL_PER_HOST,
    CORRAL_PER_PACKAGE,
    CORRAL_PER_NODE,
} CorralHostPer;

typedef struct {
    CorralCpuset *housekeeping; /* (nullable): named one by one; NULL: by count */
    guint cores;                /* whole cores for housekeeping, from the lowest up; 0: none */
    CorralHostPer per;
    CorralCpuset *reserve;    /* (nullable): pCPUs that the planner does not touch */
    CorralPlacement defaults; /* for what a container's own <corral:placement> does not say */
} CorralHost;

/* Without a host.xml: one core of the host is housekeeping as soon as anything is planned. */
CorralHost *corral_host_new (void);

/* RelaxNG (policy/schema/host.rng) first, then what a schema cannot say. %CORRAL_ERROR_XML with
 * line, element and what was expected. */
gboolean corral_host_parse (const char *xml, gsize length, CorralHost **ret_host, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
char *corral_host_format (const CorralHost *host);

/* The housekeeping pCPUs on this topology: those of them that are online. Returns: (transfer full)
 */
CorralCpuset *corral_host_housekeeping (const CorralHost *host, const CorralTopology *topology);

void corral_host_free (CorralHost *host);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralHost, corral_host_free)
