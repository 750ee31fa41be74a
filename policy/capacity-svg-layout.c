/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Boxes within boxes: pCPUs in cores, cores in L3 groups, those in nodes and packages. */
#include "policy/capacity-svg.h"

/* Threads of a core stand above each other, up to this many. */
#define THREADS_HIGH 4
/* Cores of an L3 group stand beside each other, up to this many. */
#define CORES_WIDE 16

/* Space within a box's edge and between its children. */
static const struct {
    int padding, gap;
    gboolean labelled;
} looks[] = {
    [CORRAL_SVG_HOST] = { 0, 14, FALSE }, [CORRAL_SVG_PACKAGE] = { 10, 10, TRUE },
    [CORRAL_SVG_NODE] = { 8, 8, TRUE },   [CORRAL_SVG_L3] = { 6, 5, TRUE },
    [CORRAL_SVG_CORE] = { 2, 2, FALSE },  [CORRAL_SVG_PCPU] = { 0, 0, FALSE },
};

static CorralSvgBox *
box_new (CorralSvgLevel level, const CorralCapacityPcpu *pcpu)
{
    CorralSvgBox *box = g_new0 (CorralSvgBox, 1);

    box->level = level;
    box->pcpu = pcpu;
    box->children = g_ptr_array_new_with_free_func ((GDestroyNotify) corral_svg_box_free);
    return box;
}

void
corral_svg_box_free (CorralSvgBox *box)
{
    if (box == NULL)
        return;
    g_clear_pointer (&box->children, g_ptr_array_unref);
    g_free (box);
}

/* --- which boxes there are --- */

static guint
key_of (const CorralCapacityPcpu *pcpu, CorralSvgLevel level)
{
    const guint keys[] = {
        [CORRAL_SVG_HOST] = 0,
        [CORRAL_SVG_PACKAGE] = pcpu->place.package,
        [CORRAL_SVG_NODE] = pcpu->place.node,
        [CORRAL_SVG_L3] = pcpu->place.l3,
        [CORRAL_SVG_CORE] = pcpu->place.core,
        [CORRAL_SVG_PCPU] = pcpu->place.number,
    };

    return keys[level];
}

static gint
compare_places (gconstpointer a, gconstpointer b)
{
    const CorralCapacityPcpu *one = *(const CorralCapacityPcpu *const *) a;
    const CorralCapacityPcpu *other = *(const CorralCapacityPcpu *const *) b;

    for (guint level = CORRAL_SVG_PACKAGE; level <= CORRAL_SVG_PCPU; level++) {
        guint key = key_of (one, level), than = key_of (other, level);

        if (key != than)
            return key < than ? -1 : 1;
    }
    return 0;
}

/* The boxes of the pCPUs @from to @to of a sorted array, level by level: they nest in the picture,
 * also where a machine's nodes do not lie within its packages. */
static CorralSvgBox *
build (CorralCapacityPcpu **pcpus, guint from, guint to, CorralSvgLevel level)
{
    CorralSvgBox *box = box_new (level, pcpus[from]);

    box->n_pcpus = to - from;
    if (level == CORRAL_SVG_PCPU)
        return box;
    for (guint start = from, at = from + 1; start < to; at++) {
        if (at < to && key_of (pcpus[at], level + 1) == key_of (pcpus[start], level + 1))
            continue;
        g_ptr_array_add (box->children, build (pcpus, start, at, level + 1));
        start = at;
    }
    return box;
}

/* --- how they lie --- */

static void
move (CorralSvgBox *box, int dx, int dy)
{
    box->x += dx;
    box->y += dy;
    for (guint i = 0; i < box->children->len; i++)
        move (box->children->pdata[i], dx, dy);
}

static void
lay_out_core (CorralSvgBox *core)
{
    int padding = looks[CORRAL_SVG_CORE].padding, gap = looks[CORRAL_SVG_CORE].gap;
    int n = (int) core->children->len;
    int high = MIN (n, THREADS_HIGH), wide = (n + high - 1) / high;

    for (int i = 0; i < n; i++) {
        CorralSvgBox *cell = core->children->pdata[i];

        cell->width = CORRAL_SVG_CELL_WIDTH;
        cell->height = CORRAL_SVG_CELL_HEIGHT;
        cell->x = padding + i / high * (cell->width + gap);
        cell->y = padding + i % high * (cell->height + gap);
    }
    core->width = 2 * padding + wide * (CORRAL_SVG_CELL_WIDTH + gap) - gap;
    core->height = 2 * padding + high * (CORRAL_SVG_CELL_HEIGHT + gap) - gap;
}

/* How many children stand in a row of at most @max_width: rows of equal length look better than
 * full ones with a rest. */
static guint
children_in_row (const CorralSvgBox *box, int max_width)
{
    guint n = box->children->len, fit = 0, rows;
    int width = 2 * looks[box->level].padding - looks[box->level].gap;

    for (guint i = 0; i < n; i++) {
        const CorralSvgBox *child = box->children->pdata[i];

        width += child->width + looks[box->level].gap;
        if (width > max_width)
            break;
        fit++;
    }
    fit = MAX (fit, 1);
    if (box->level == CORRAL_SVG_L3)
        fit = MIN (fit, CORES_WIDE);
    rows = (n + fit - 1) / fit;
    return (n + rows - 1) / rows;
}

/* Lays the children of @box out from left to right, in rows no wider than @max_width. */
static void
lay_out (CorralSvgBox *box, int max_width)
{
    int padding = looks[box->level].padding, gap = looks[box->level].gap;
    int x = padding, row_height = 0;
    int y = padding + (looks[box->level].labelled ? CORRAL_SVG_LABEL_HEIGHT : 0);
    guint in_row;

    if (box->level == CORRAL_SVG_CORE) {
        lay_out_core (box);
        return;
    }
    for (guint i = 0; i < box->children->len; i++)
        lay_out (box->children->pdata[i], max_width - 2 * padding);
    in_row = children_in_row (box, max_width);
    for (guint i = 0; i < box->children->len; i++) {
        CorralSvgBox *child = box->children->pdata[i];

        if (x > padding && (i % in_row == 0 || x + child->width > max_width - padding)) {
            x = padding;
            y += row_height + gap;
            row_height = 0;
        }
        move (child, x, y);
        x += child->width + gap;
        row_height = MAX (row_height, child->height);
        box->width = MAX (box->width, x - gap + padding);
    }
    box->height = y + row_height + padding;
}

/* Boxes above each other have one width. */
static void
align (CorralSvgBox *box)
{
    int right = box->x + box->width - looks[box->level].padding;

    if (box->level >= CORRAL_SVG_L3)
        return;
    for (guint i = 0; i < box->children->len; i++) {
        CorralSvgBox *child = box->children->pdata[i];
        const CorralSvgBox *next = i + 1 < box->children->len ? box->children->pdata[i + 1] : NULL;
        gboolean alone =
            (next == NULL || next->y > child->y) && child->x == box->x + looks[box->level].padding;

        if (alone)
            child->width = MAX (child->width, right - child->x);
        align (child);
    }
}

CorralSvgBox *
corral_svg_layout (const CorralCapacity *capacity, int x, int y, int max_width)
{
    g_autofree CorralCapacityPcpu **pcpus = g_new (CorralCapacityPcpu *, capacity->n_pcpus);
    CorralSvgBox *host;

    for (guint i = 0; i < capacity->n_pcpus; i++)
        pcpus[i] = &capacity->pcpus[i];
    qsort (pcpus, capacity->n_pcpus, sizeof *pcpus, compare_places);
    host = build (pcpus, 0, capacity->n_pcpus, CORRAL_SVG_HOST);
    lay_out (host, max_width);
    align (host);
    move (host, x, y);
    return host;
}
