/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Draws a capacity. What a colour says, a letter or a hatching says as well; each pCPU tells all
 * about itself in its <title>, which viewers show where the pointer is. */
#include "policy/capacity-svg.h"

#include <math.h>
#include <string.h>

#define MARGIN 16
#define MAX_WIDTH 1480
#define MIN_WIDTH 720
#define LINE 18
#define KEY (CORRAL_SVG_CELL_WIDTH + 7) /* from a sample to its text */
#define SHOWN_MAX 60                    /* characters of a name or path in the legend */

typedef struct {
    xmlTextWriter *writer;
    const CorralCapacity *capacity;
    GPtrArray *owners;
    int width;
    int y; /* where the legend goes on */
} Picture;

static const struct {
    CorralCapacityUse use;
    const char *hatch; /* (nullable) */
    const char *text;  /* for the legend */
} uses[] = {
    { CORRAL_USE_FREE, NULL, "free" },
    { CORRAL_USE_DEDICATED, NULL, "dedicated to one vCPU" },
    { CORRAL_USE_IDLE, "idle", "idle for the vCPU on its core" },
    { CORRAL_USE_SHARED, "shared", "shared by vCPUs" },
    { CORRAL_USE_RESERVED, "reserved", "kept for a container" },
    { CORRAL_USE_HOUSEKEEPING, "host", "housekeeping: the host's" },
    { CORRAL_USE_OFFLINE, "offline", "offline" },
};

/* --- elements --- */

/* What XML 1.0 cannot carry becomes U+FFFD. (transfer full) */
static char *
clean (const char *text)
{
    g_autofree char *valid = g_utf8_make_valid (text, -1);
    g_autoptr (GString) out = g_string_new (NULL);

    for (const char *at = valid; *at != '\0'; at = g_utf8_next_char (at)) {
        gunichar c = g_utf8_get_char (at);

        g_string_append_unichar (out, c < 0x20 || c == 0xfffe || c == 0xffff ? 0xfffd : c);
    }
    return g_string_free (g_steal_pointer (&out), FALSE);
}

static void
start (Picture *picture, const char *element)
{
    xmlTextWriterStartElement (picture->writer, BAD_CAST element);
}

static void
end (Picture *picture)
{
    xmlTextWriterEndElement (picture->writer);
}

static void
set (Picture *picture, const char *name, const char *value)
{
    xmlTextWriterWriteAttribute (picture->writer, BAD_CAST name, BAD_CAST value);
}

static void
set_int (Picture *picture, const char *name, int value)
{
    xmlTextWriterWriteFormatAttribute (picture->writer, BAD_CAST name, "%d", value);
}

static void
set_area (Picture *picture, int x, int y, int width, int height)
{
    set_int (picture, "x", x);
    set_int (picture, "y", y);
    set_int (picture, "width", width);
    set_int (picture, "height", height);
}

static void
leaf (Picture *picture, const char *element, const char *text)
{
    g_autofree char *cleaned = clean (text);

    xmlTextWriterWriteElement (picture->writer, BAD_CAST element, BAD_CAST cleaned);
}

/* @class: of the style sheet below */
static void
write_text (Picture *picture, int x, int y, const char *class, const char *text)
{
    g_autofree char *cleaned = clean (text);

    start (picture, "text");
    set_int (picture, "x", x);
    set_int (picture, "y", y);
    set (picture, "class", class);
    xmlTextWriterWriteString (picture->writer, BAD_CAST cleaned);
    end (picture);
}

/* About as wide as @text in a font of @size; no font is at hand to ask. */
static int
width_of (const char *text, double size)
{
    return (int) ceil ((double) g_utf8_strlen (text, -1) * size * 0.62);
}

static char *
shortened (const char *text)
{
    g_autofree char *cleaned = clean (text);

    if (g_utf8_strlen (cleaned, -1) > SHOWN_MAX) {
        g_autofree char *cut = g_utf8_substring (cleaned, 0, SHOWN_MAX - 1);

        return g_strconcat (cut, "\u2026", NULL);
    }
    return g_steal_pointer (&cleaned);
}

/* --- what is used all over --- */

static const char style[] = "text{font-family:sans-serif;fill:#111}"
                            ".title{font-size:18px;font-weight:bold}"
                            ".sum{font-size:13px}"
                            ".box{font-size:12px;font-weight:bold}"
                            ".group{font-size:11px}"
                            ".number{font-size:10px}"
                            ".busy{font-size:10px;text-anchor:end}"
                            ".code{font-size:12px;font-weight:bold;text-anchor:middle}"
                            ".long{font-size:9px}"
                            ".key{font-size:13px}"
                            ".vm{font-size:12px;fill:#333}"
                            ".package{fill:#fff;stroke:#222;stroke-width:2}"
                            ".node{fill:#f2f2f2;stroke:#555}"
                            ".l3{fill:#fff;stroke:#999}"
                            ".core{fill:none;stroke:#444;stroke-width:1.2}"
                            ".slow{stroke-dasharray:3 2}"
                            ".cell{stroke:#777;stroke-width:.6}"
                            ".none{fill:#fff;stroke:#999;stroke-dasharray:2 2}"
                            ".bar{fill:#fff;stroke:#333;stroke-width:.7}"
                            ".load{fill:#222}";

static const struct {
    const char *name, *path;
    int size;
} hatches[] = {
    { "idle", "M-2,2 l4,-4 M0,8 l8,-8 M6,10 l4,-4", 8 },
    { "shared", "M0,2 h8 M0,6 h8", 8 },
    { "reserved", "M4,0 v8 M0,4 h8", 8 },
    { "host", "M2,0 v8 M6,0 v8", 8 },
    { "offline", "M0,0 l8,8 M8,0 l-8,8", 8 },
};

static void
write_definitions (Picture *picture)
{
    leaf (picture, "style", style);
    start (picture, "defs");
    for (gsize i = 0; i < G_N_ELEMENTS (hatches); i++) {
        start (picture, "pattern");
        set (picture, "id", hatches[i].name);
        set_int (picture, "width", hatches[i].size);
        set_int (picture, "height", hatches[i].size);
        set (picture, "patternUnits", "userSpaceOnUse");
        start (picture, "path");
        set (picture, "d", hatches[i].path);
        set (picture, "fill", "none");
        set (picture, "stroke", "#000");
        set (picture, "stroke-opacity", "0.28");
        end (picture);
        end (picture);
    }
    end (picture);
}

/* --- one pCPU --- */

static char *
describe (const CorralCapacityPcpu *pcpu)
{
    g_autoptr (GString) text = g_string_new (NULL);

    g_string_append_printf (text, "pCPU %u: package %u, node %u, L3 %u, core %u, thread %u; ",
                            pcpu->place.number, pcpu->place.package, pcpu->place.node,
                            pcpu->place.l3, pcpu->place.core, pcpu->place.thread);
    switch (pcpu->use) {
    case CORRAL_USE_DEDICATED:
        g_string_append_printf (text, "dedicated to vCPU %u of the VM \"%s\"", pcpu->vcpu,
                                pcpu->vm != NULL ? pcpu->vm : "?");
        break;
    case CORRAL_USE_IDLE:
        g_string_append_printf (text, "kept idle for the VM \"%s\"",
                                pcpu->vm != NULL ? pcpu->vm : "?");
        break;
    default:
        g_string_append (text, corral_capacity_use_name (pcpu->use));
        break;
    }
    if (pcpu->container != NULL)
        g_string_append_printf (text, "; container %s", pcpu->container);
    if (pcpu->more_containers > 0)
        g_string_append_printf (text, " and %u more", pcpu->more_containers);
    if (pcpu->busy >= 0)
        g_string_append_printf (text, "; %d %% busy", (int) lround (pcpu->busy * 100));
    return g_string_free (g_steal_pointer (&text), FALSE);
}

static const char *
colour_of (const Picture *picture, const CorralCapacityPcpu *pcpu)
{
    const CorralSvgOwner *owner = corral_svg_find_owner (picture->owners, pcpu->container);

    if (pcpu->use == CORRAL_USE_HOUSEKEEPING)
        return "#d4d4d4";
    if (pcpu->use == CORRAL_USE_OFFLINE)
        return "#9a9a9a";
    return owner != NULL ? owner->colour : "#d4d4d4";
}

/* @colour: (nullable): %NULL for a free one */
static void
draw_ground (Picture *picture, int x, int y, int width, int height, CorralCapacityUse use,
             const char *colour)
{
    start (picture, "rect");
    set_area (picture, x, y, width, height);
    set (picture, "class", use == CORRAL_USE_FREE ? "none" : "cell");
    if (use != CORRAL_USE_FREE)
        set (picture, "fill", colour);
    end (picture);
    for (gsize i = 0; i < G_N_ELEMENTS (uses); i++) {
        if (uses[i].use != use || uses[i].hatch == NULL)
            continue;
        start (picture, "rect");
        set_area (picture, x, y, width, height);
        xmlTextWriterWriteFormatAttribute (picture->writer, BAD_CAST "fill", "url(#%s)",
                                           uses[i].hatch);
        end (picture);
    }
}

/* A bar along the bottom, and the number in the corner. */
static void
draw_busy (Picture *picture, int x, int y, int width, int height, double busy)
{
    g_autofree char *percent = g_strdup_printf ("%d", (int) lround (busy * 100));
    int inner = width - 6;

    start (picture, "rect");
    set_area (picture, x + 3, y + height - 7, inner, 5);
    set (picture, "class", "bar");
    end (picture);
    start (picture, "rect");
    set_area (picture, x + 3, y + height - 7, (int) lround (inner * busy), 5);
    set (picture, "class", "load");
    end (picture);
    write_text (picture, x + width - 3, y + 10, "busy", percent);
}

/* In the middle of a pCPU's box. */
static void
draw_code (Picture *picture, int x, int y, const char *code)
{
    if (*code != '\0')
        write_text (picture, x + CORRAL_SVG_CELL_WIDTH / 2, y,
                    strlen (code) > 5 ? "code long" : "code", code);
}

static void
draw_pcpu (Picture *picture, const CorralSvgBox *box)
{
    const CorralCapacityPcpu *pcpu = box->pcpu;
    g_autofree char *number = g_strdup_printf ("%u", pcpu->place.number);
    g_autofree char *code = corral_svg_code (picture->owners, pcpu);
    g_autofree char *title = describe (pcpu);

    start (picture, "g");
    leaf (picture, "title", title);
    draw_ground (picture, box->x, box->y, box->width, box->height, pcpu->use,
                 colour_of (picture, pcpu));
    write_text (picture, box->x + 3, box->y + 10, "number", number);
    draw_code (picture, box->x, box->y + 24, code);
    if (pcpu->busy >= 0 && pcpu->use != CORRAL_USE_OFFLINE)
        draw_busy (picture, box->x, box->y, box->width, box->height, pcpu->busy);
    end (picture);
}

/* --- boxes --- */

static const CorralCapacityRow *
row_named (const CorralCapacity *capacity, const char *name)
{
    for (guint i = 0; i < capacity->n_rows; i++) {
        if (g_strcmp0 (capacity->rows[i].name, name) == 0)
            return &capacity->rows[i];
    }
    return NULL;
}

/* As long as it fits into the box. */
static char *
label_of (const Picture *picture, const CorralSvgBox *box)
{
    g_autofree char *name = NULL;
    const CorralCapacityRow *row;
    char *text;

    switch (box->level) {
    case CORRAL_SVG_PACKAGE:
        return g_strdup_printf ("Package %u", box->pcpu->place.package);
    case CORRAL_SVG_L3:
        return g_strdup_printf ("L3 %u", box->pcpu->place.l3);
    case CORRAL_SVG_NODE:
        break;
    default:
        return NULL;
    }
    name = g_strdup_printf ("node%u", box->pcpu->place.node);
    row = row_named (picture->capacity, name);
    if (row == NULL)
        return g_strdup_printf ("Node %u", box->pcpu->place.node);
    text = g_strdup_printf ("Node %u: %u of %u pCPUs free, %u stranded", box->pcpu->place.node,
                            row->free, row->total, row->stranded);
    if (width_of (text, 12) <= box->width - 12)
        return text;
    g_free (text);
    text = g_strdup_printf ("Node %u: %u free", box->pcpu->place.node, row->free);
    if (width_of (text, 12) <= box->width - 12)
        return text;
    g_free (text);
    return g_strdup_printf ("Node %u", box->pcpu->place.node);
}

static int
fastest_kind (const CorralCapacity *capacity)
{
    int kind = 0;

    for (guint i = 0; i < capacity->n_pcpus; i++)
        kind = MAX (kind, capacity->pcpus[i].place.kind);
    return kind;
}

static void
draw_box (Picture *picture, const CorralSvgBox *box)
{
    static const char *const classes[] = {
        [CORRAL_SVG_PACKAGE] = "package", [CORRAL_SVG_NODE] = "node", [CORRAL_SVG_L3] = "l3",
        [CORRAL_SVG_CORE] = "core",       [CORRAL_SVG_PCPU] = NULL,
    };
    g_autofree char *label = label_of (picture, box);

    if (box->level == CORRAL_SVG_PCPU) {
        draw_pcpu (picture, box);
        return;
    }
    if (classes[box->level] != NULL) {
        gboolean slow = box->level == CORRAL_SVG_CORE &&
                        box->pcpu->place.kind < fastest_kind (picture->capacity);

        start (picture, "rect");
        set_area (picture, box->x, box->y, box->width, box->height);
        set (picture, "class", slow ? "core slow" : classes[box->level]);
        set_int (picture, "rx", box->level == CORRAL_SVG_CORE ? 2 : 4);
        end (picture);
    }
    if (label != NULL)
        write_text (picture, box->x + 7, box->y + 14, box->level == CORRAL_SVG_L3 ? "group" : "box",
                    label);
    for (guint i = 0; i < box->children->len; i++)
        draw_box (picture, box->children->pdata[i]);
}

/* --- legend --- */

static gboolean
is_used (const CorralCapacity *capacity, CorralCapacityUse use)
{
    for (guint i = 0; i < capacity->n_pcpus; i++) {
        if (capacity->pcpus[i].use == use)
            return TRUE;
    }
    return FALSE;
}

/* A sample and its text; where there is no more room, on the next line. */
static void
draw_key (Picture *picture, int *x, CorralCapacityUse use, const char *colour, const char *code,
          const char *text)
{
    int width = KEY + width_of (text, 13) + 20;

    if (*x > MARGIN && *x + width > picture->width - MARGIN) {
        *x = MARGIN;
        picture->y += 26;
    }
    draw_ground (picture, *x, picture->y, CORRAL_SVG_CELL_WIDTH, 18, use, colour);
    draw_code (picture, *x, picture->y + 13, code);
    write_text (picture, *x + KEY, picture->y + 14, "key", text);
    *x += width;
}

static void
draw_uses (Picture *picture)
{
    static const char *const codes[] = {
        [CORRAL_USE_FREE] = "",      [CORRAL_USE_OFFLINE] = "off",  [CORRAL_USE_HOUSEKEEPING] = "H",
        [CORRAL_USE_RESERVED] = "A", [CORRAL_USE_DEDICATED] = "A1", [CORRAL_USE_IDLE] = "(A1)",
        [CORRAL_USE_SHARED] = "A",
    };
    gboolean measured = FALSE;
    int x = MARGIN;

    for (gsize i = 0; i < G_N_ELEMENTS (uses); i++) {
        gboolean host = uses[i].use == CORRAL_USE_HOUSEKEEPING;

        if (is_used (picture->capacity, uses[i].use))
            draw_key (picture, &x, uses[i].use,
                      host                                ? "#d4d4d4"
                      : uses[i].use == CORRAL_USE_OFFLINE ? "#9a9a9a"
                                                          : "#fff",
                      codes[uses[i].use], uses[i].text);
    }
    picture->y += 26 + LINE - 4;
    for (guint i = 0; i < picture->capacity->n_pcpus; i++)
        measured = measured || picture->capacity->pcpus[i].busy >= 0;
    write_text (picture, MARGIN, picture->y, "key",
                "In the middle: who has it, a container's letter and its VM's number.");
    picture->y += LINE;
    write_text (picture, MARGIN, picture->y, "key",
                measured ? "Upper left: the pCPU's number. Upper right, and the bar: percent busy."
                         : "Upper left: the pCPU's number. How busy it was is not measured.");
    picture->y += LINE;
    if (fastest_kind (picture->capacity) > 0) {
        write_text (picture, MARGIN, picture->y, "key", "Dashed cores are of a slower kind.");
        picture->y += LINE;
    }
}

/* "A1 db1  A2 db2", on as many lines as it takes. */
static void
draw_vms (Picture *picture, const CorralSvgOwner *owner)
{
    int x = MARGIN + KEY;

    for (guint i = 0; i < owner->vms->len; i++) {
        g_autofree char *name = shortened (owner->vms->pdata[i]);
        g_autofree char *text = g_strdup_printf ("%s%u %s", owner->letters, i + 1, name);
        int width = width_of (text, 12) + 16;

        if (x > MARGIN + KEY && x + width > picture->width - MARGIN) {
            x = MARGIN + KEY;
            picture->y += LINE - 2;
        }
        write_text (picture, x, picture->y, "vm", text);
        x += width;
    }
    if (owner->vms->len > 0)
        picture->y += LINE - 2;
}

static void
draw_owners (Picture *picture)
{
    for (guint i = 0; i < picture->owners->len; i++) {
        const CorralSvgOwner *owner = picture->owners->pdata[i];
        const CorralCapacityRow *row = row_named (picture->capacity, owner->path);
        g_autofree char *path = shortened (owner->path);
        g_autofree char *text = NULL;

        if (row != NULL && row->mode != CORRAL_MODE_NONE)
            text =
                g_strdup_printf ("%s: %s, %u pCPUs, %u vCPUs", path,
                                 corral_capacity_mode_name (row->mode), owner->n_pcpus, row->vcpus);
        else
            text = g_strdup_printf ("%s: not planned, %u pCPUs", path, owner->n_pcpus);
        draw_ground (picture, MARGIN, picture->y, CORRAL_SVG_CELL_WIDTH, 18, CORRAL_USE_DEDICATED,
                     owner->colour);
        draw_code (picture, MARGIN, picture->y + 13, owner->letters);
        write_text (picture, MARGIN + KEY, picture->y + 14, "key", text);
        picture->y += 18 + LINE - 2;
        draw_vms (picture, owner);
        picture->y -= 8;
    }
    picture->y += 8;
}

/* --- the whole --- */

static char *
summary_of (const CorralCapacity *capacity)
{
    const CorralCapacityRow *host = &capacity->rows[0];
    g_autoptr (GString) text = g_string_new (NULL);

    g_string_append_printf (
        text, "%u pCPUs online: %u reserved, %u dedicated (%u of them idle), %u shared, %u free",
        host->total, host->reserved, host->dedicated, host->idle, host->shared, host->free);
    if (host->used >= 0)
        g_string_append_printf (text, "; %.1f busy, over %.1f s", host->used,
                                (double) capacity->window_ns / 1e9);
    return g_string_free (g_steal_pointer (&text), FALSE);
}

static char *
room_of (const CorralCapacity *capacity)
{
    const CorralCapacityRow *host = &capacity->rows[0];

    return g_strdup_printf ("Largest VM that still fits: %d dedicated, %d isolated or %d shared "
                            "vCPUs; stranded: %u",
                            MAX (host->largest_dedicated, 0), MAX (host->largest_isolated, 0),
                            MAX (host->largest_shared, 0), host->stranded);
}

static void
draw (Picture *picture, const CorralSvgBox *host, const char *title)
{
    g_autofree char *summary = summary_of (picture->capacity);
    g_autofree char *room = room_of (picture->capacity);

    leaf (picture, "title", title);
    leaf (picture, "desc", summary);
    write_definitions (picture);
    start (picture, "rect");
    set (picture, "width", "100%");
    set (picture, "height", "100%");
    set (picture, "fill", "#fff");
    end (picture);
    write_text (picture, MARGIN, MARGIN + 14, "title", title);
    write_text (picture, MARGIN, MARGIN + 36, "sum", summary);
    write_text (picture, MARGIN, MARGIN + 54, "sum", room);
    draw_box (picture, host);
    draw_uses (picture);
    draw_owners (picture);
}

/* The legend's height is known when it is drawn, so the picture is drawn twice: once to see. */
static char *
render (Picture *picture, const CorralSvgBox *host, const char *title, int height)
{
    xmlBuffer *buffer = xmlBufferCreate ();
    int zoom = picture->capacity->n_pcpus <= 16   ? 150
               : picture->capacity->n_pcpus <= 64 ? 125
                                                  : 100;
    char *text;

    picture->writer = xmlNewTextWriterMemory (buffer, 0);
    picture->y = host->y + host->height + 14;
    xmlTextWriterSetIndent (picture->writer, 1);
    xmlTextWriterSetIndentString (picture->writer, BAD_CAST " ");
    xmlTextWriterStartDocument (picture->writer, NULL, "UTF-8", NULL);
    start (picture, "svg");
    set (picture, "xmlns", "http://www.w3.org/2000/svg");
    set (picture, "role", "img");
    set_int (picture, "width", picture->width * zoom / 100);
    set_int (picture, "height", height * zoom / 100);
    xmlTextWriterWriteFormatAttribute (picture->writer, BAD_CAST "viewBox", "0 0 %d %d",
                                       picture->width, height);
    draw (picture, host, title);
    end (picture);
    xmlTextWriterEndDocument (picture->writer);
    xmlFreeTextWriter (picture->writer);
    text = g_strdup ((const char *) xmlBufferContent (buffer));
    xmlBufferFree (buffer);
    return text;
}

char *
corral_capacity_svg (const CorralCapacity *capacity, const char *title)
{
    g_autoptr (CorralSvgBox) host =
        corral_svg_layout (capacity, MARGIN, MARGIN + 68, MAX_WIDTH - 2 * MARGIN);
    Picture picture = {
        .capacity = capacity,
        .owners = corral_svg_owners (capacity),
        .width = MAX (host->width + 2 * MARGIN, MIN_WIDTH),
    };
    g_autofree char *first = NULL;
    char *text;

    if (title == NULL)
        title = "Who has which pCPU";
    first = render (&picture, host, title, 0);
    text = render (&picture, host, title, picture.y + MARGIN);
    g_ptr_array_unref (picture.owners);
    return text;
}
