/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The picture of a capacity: how its boxes lie, and who is called what in it. */
#pragma once

#include "policy/capacity-private.h"

/* --- boxes (capacity-svg-layout.c); lengths are the picture's own units, about a pixel --- */

typedef enum {
    CORRAL_SVG_HOST,
    CORRAL_SVG_PACKAGE,
    CORRAL_SVG_NODE,
    CORRAL_SVG_L3,
    CORRAL_SVG_CORE,
    CORRAL_SVG_PCPU,
} CorralSvgLevel;

typedef struct {
    CorralSvgLevel level;
    int x, y, width, height;
    const CorralCapacityPcpu *pcpu; /* of a CORRAL_SVG_PCPU; of others the first one within */
    guint n_pcpus;
    GPtrArray *children; /* of CorralSvgBox */
} CorralSvgBox;

#define CORRAL_SVG_CELL_WIDTH 42
#define CORRAL_SVG_CELL_HEIGHT 36
#define CORRAL_SVG_LABEL_HEIGHT 18

/* All pCPUs in their cores, L3 groups, nodes and packages, from (x, y) to the right and down, no
 * wider than @max_width where that is possible. */
CorralSvgBox *corral_svg_layout (const CorralCapacity *capacity, int x, int y, int max_width);
void corral_svg_box_free (CorralSvgBox *box);

/* --- owners (capacity-svg-owners.c) --- */

typedef struct {
    const char *path;
    const char *colour;
    char *letters; /* "A" */
    guint n_pcpus;
    GPtrArray *vms; /* of const char *: in the order of their first pCPU; "A1" is the first one */
} CorralSvgOwner;

/* (transfer full): of CorralSvgOwner: containers that have a pCPU, in the order of their rows */
GPtrArray *corral_svg_owners (const CorralCapacity *capacity);
const CorralSvgOwner *corral_svg_find_owner (const GPtrArray *owners, const char *path);
/* What is written on the pCPU: "A1", "(A1)", "B+2", "H" or "". (transfer full) */
char *corral_svg_code (const GPtrArray *owners, const CorralCapacityPcpu *pcpu);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralSvgBox, corral_svg_box_free)
