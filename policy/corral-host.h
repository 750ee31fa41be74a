/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host's own wishes: /etc/corral/host.xml, as a plain value.
 *
 *   <host xmlns='urn:corral:1'>
 *     <housekeeping cpuset='0-1'/>        or: <housekeeping cores='1' per='node'/>
 *     <reserve cpuset='8-9'/>             nobody's: neither planned nor housekeeping
 *     <placement smt='prefer' numa='prefer' overcommit='4.0' drift='repair'/>  defaults
 *   </host>
 *
 * Any attribute of a container's <corral:placement> may have a default, but "mode": what a
 * container is should not change under it. */
#pragma once

#include "policy/corral-placement.h"
#include "policy/corral-topology.h"

/* Longest document read, in bytes. */
#define CORRAL_HOST_XML_MAX (256 * 1024)

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
    CorralPlacement defaults; /* for what a container's own <corral:placement> does not say; @mode
                                 is CORRAL_MODE_NONE */
} CorralHost;

/* Without a host.xml: one core of the host is housekeeping as soon as anything is planned. */
CorralHost *corral_host_new (void);

/* RelaxNG (policy/schema/host.rng) first, then what a schema cannot say. %CORRAL_ERROR_XML with
 * line, element and what was expected. */
gboolean corral_host_parse (const char *xml, gsize length, CorralHost **ret_host, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
char *corral_host_format (const CorralHost *host);

/**
 * corral_host_complete:
 * @placement: (inout): a container's, as its definition has it
 * @said: its placement_said
 *
 * Fills in this host's defaults where @placement says nothing, as far as they can hold in its mode:
 * "overcommit" is for shared containers only, and never so large that a promised share could not be
 * had; "exclusive" for dedicated ones only. The planner wants its wishes completed.
 */
void corral_host_complete (const CorralHost *host, CorralPlacement *placement, guint said);

/**
 * corral_host_housekeeping:
 *
 * The housekeeping pCPUs on this topology: those of them that are online. Named ones as they are;
 * by count, in each host, package or node, all threads of the lowest cores that have a thread which
 * is online and not reserved. Empty when none of them is online, or when there shall be none.
 *
 * Returns: (transfer full)
 */
CorralCpuset *corral_host_housekeeping (const CorralHost *host, const CorralTopology *topology);

void corral_host_free (CorralHost *host);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralHost, corral_host_free)
