/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the capacity share. */
#pragma once

#include "policy/corral-capacity.h"

#include <libxml/xmlwriter.h>

/* --- asking the planner (capacity-probe.c) --- */

/* An input to which VMs can be added to see whether the planner takes them. */
typedef struct _CorralProbe CorralProbe;

/* The input as it is once @plan is applied. Both must live as long as the probe. */
CorralProbe *corral_probe_new (const CorralPlanInput *input, const CorralPlan *plan,
                               GError **error);
void corral_probe_free (CorralProbe *probe);

/* Where the VMs are put, and which. */
typedef struct {
    const char *path;            /* of a container of the input */
    gboolean new_child;          /* in a container made for them beneath @path; "": at the top */
    const CorralCpuset *allowed; /* (nullable): of the new one */
    CorralPlacement wish;        /* of the new one, or of the VM where @wishes says so */
    guint wishes;                /* CorralWish */
    gboolean no_moves;           /* of running VMs */
} CorralProbeCase;

/* The most vCPUs that one VM may have, from 0 to CORRAL_CAPACITY_VCPUS_MAX, so that it has a place
 * and nobody loses one for it. @guess: where to begin. */
guint corral_probe_largest (CorralProbe *probe, const CorralProbeCase *what, guint guess);

/* The most VMs of @n_vcpus each, up to @most. */
guint corral_probe_count (CorralProbe *probe, const CorralProbeCase *what, guint n_vcpus,
                          guint most);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralProbe, corral_probe_free)

/* --- names --- */

/* Whether the container @inner lies beneath @outer. */
gboolean corral_capacity_lies_in (const char *inner, const char *outer);
