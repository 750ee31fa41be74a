/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading and writing the attributes of <corral:placement> and of its companions, which stand in a
 * container's definition, in a VM's metadata and in host.xml. For policy/. */
#pragma once

#include "policy/corral-placement.h"
#include "policy/corral-xml.h"

/**
 * corral_wishes_read_placement:
 * @allowed: CorralPlacementSaid bits; any other attribute is an error
 * @placement: (inout): what @node does not say stays as it is
 * @ret_said: (out): CorralPlacementSaid bits
 */
gboolean corral_wishes_read_placement (CorralXmlReader *reader, const xmlNode *node, guint allowed,
                                       CorralPlacement *placement, guint *ret_said)
    G_GNUC_WARN_UNUSED_RESULT;

/* <reserve vcpus=''/> and <limit vcpus=''/> */
gboolean corral_wishes_read_vcpus (CorralXmlReader *reader, const xmlNode *node, guint *ret_vcpus)
    G_GNUC_WARN_UNUSED_RESULT;

/* <share percent='' helpers=''/>; @said: (inout) */
gboolean corral_wishes_read_share (CorralXmlReader *reader, const xmlNode *node,
                                   CorralPlacement *placement, guint *said)
    G_GNUC_WARN_UNUSED_RESULT;

/* Contradictions among the wishes of a container, whose elements are children of @root. */
gboolean corral_wishes_check (CorralXmlReader *reader, const xmlNode *root,
                              const CorralPlacement *placement, guint said)
    G_GNUC_WARN_UNUSED_RESULT;

/* Appends " smt='isolate'" and so on for the attributes in @said. */
void corral_wishes_append_placement (GString *out, const CorralPlacement *placement, guint said);
