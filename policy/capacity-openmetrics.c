/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A capacity as OpenMetrics text, version 1.0.0: each family in one piece, and "# EOF" last. */
#include "policy/capacity-private.h"

#include <math.h>

typedef struct {
    GString *out;
    const char *family;
} Family;

static Family
start_family (GString *out, const char *name, const char *type, const char *unit, const char *help)
{
    g_string_append_printf (out, "# TYPE %s %s\n", name, type);
    if (unit != NULL)
        g_string_append_printf (out, "# UNIT %s %s\n", name, unit);
    g_string_append_printf (out, "# HELP %s %s\n", name, help);
    return (Family){ out, name };
}

static void
append_escaped (GString *out, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid (text, -1);

    for (const char *at = valid; *at != '\0'; at++) {
        if (*at == '\n')
            g_string_append (out, "\\n");
        else if (*at == '"' || *at == '\\')
            g_string_append_printf (out, "\\%c", *at);
        else
            g_string_append_c (out, *at);
    }
}

/* @...: names and texts of labels by turns, until a %NULL name. A label whose text is %NULL is left
 * out, which is what an empty one means. */
static void G_GNUC_NULL_TERMINATED
add_sample (const Family *family, const char *suffix, double value, ...)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    const char *separator = "{";
    const char *label;
    va_list labels;

    g_string_append_printf (family->out, "%s%s", family->family, suffix);
    va_start (labels, value);
    while ((label = va_arg (labels, const char *)) != NULL) {
        const char *of = va_arg (labels, const char *);

        if (of == NULL)
            continue;
        g_string_append_printf (family->out, "%s%s=\"", separator, label);
        append_escaped (family->out, of);
        g_string_append_c (family->out, '"');
        separator = ",";
    }
    va_end (labels);
    g_string_append_printf (family->out, "%s %s\n", *separator == ',' ? "}" : "",
                            g_ascii_formatd (text, sizeof text,
                                             value == floor (value) ? "%.0f" : "%.3f", value));
}

/* "scope" and "name" of a row */
#define ROW_LABELS(row) "scope", corral_capacity_kind_name ((row)->kind), "name", (row)->name

static void
add_pcpus (GString *out, const CorralCapacity *capacity)
{
    Family family = start_family (out, "corral_capacity_pcpus", "gauge", NULL,
                                  "Online pCPUs by use; the uses of one name add up to all.");

    for (guint i = 0; i < capacity->n_rows; i++) {
        const CorralCapacityRow *row = &capacity->rows[i];

        add_sample (&family, "", row->reserved, ROW_LABELS (row), "use", "reserved", NULL);
        add_sample (&family, "", row->dedicated - MIN (row->idle, row->dedicated), ROW_LABELS (row),
                    "use", "dedicated", NULL);
        add_sample (&family, "", row->idle, ROW_LABELS (row), "use", "idle", NULL);
        add_sample (&family, "", row->shared, ROW_LABELS (row), "use", "shared", NULL);
        add_sample (&family, "", row->free, ROW_LABELS (row), "use", "free", NULL);
    }
    family = start_family (out, "corral_capacity_stranded_pcpus", "gauge", NULL,
                           "Free pCPUs that no usual VM can get because of how they lie.");
    for (guint i = 0; i < capacity->n_rows; i++)
        add_sample (&family, "", capacity->rows[i].stranded, ROW_LABELS (&capacity->rows[i]), NULL);
    family = start_family (out, "corral_capacity_used_pcpus", "gauge", NULL,
                           "pCPU-seconds used in each second of the window.");
    for (guint i = 0; i < capacity->n_rows; i++) {
        if (capacity->rows[i].used >= 0)
            add_sample (&family, "", capacity->rows[i].used, ROW_LABELS (&capacity->rows[i]), NULL);
    }
}

static void
add_vcpus (GString *out, const CorralCapacity *capacity)
{
    Family family = start_family (out, "corral_capacity_vcpus", "gauge", NULL,
                                  "vCPUs that have a place, by whether they have a pCPU alone.");

    for (guint i = 0; i < capacity->n_rows; i++) {
        const CorralCapacityRow *row = &capacity->rows[i];

        add_sample (&family, "", row->dedicated_vcpus, ROW_LABELS (row), "mode", "dedicated", NULL);
        add_sample (&family, "", row->vcpus - MIN (row->dedicated_vcpus, row->vcpus),
                    ROW_LABELS (row), "mode", "shared", NULL);
    }
    family = start_family (out, "corral_capacity_allocation_ratio", "gauge", "ratio",
                           "vCPUs that may be placed for each shared pCPU.");
    for (guint i = 0; i < capacity->n_rows; i++)
        add_sample (&family, "", capacity->rows[i].allocation_ratio / 1000.0,
                    ROW_LABELS (&capacity->rows[i]), NULL);
    family = start_family (out, "corral_capacity_largest_vm_vcpus", "gauge", NULL,
                           "vCPUs of the largest VM that still fits.");
    for (guint i = 0; i < capacity->n_rows; i++) {
        const CorralCapacityRow *row = &capacity->rows[i];

        if (row->largest_dedicated >= 0)
            add_sample (&family, "", row->largest_dedicated, ROW_LABELS (row), "mode", "dedicated",
                        NULL);
        if (row->largest_isolated >= 0)
            add_sample (&family, "", row->largest_isolated, ROW_LABELS (row), "mode", "isolated",
                        NULL);
        if (row->largest_shared >= 0)
            add_sample (&family, "", row->largest_shared, ROW_LABELS (row), "mode", "shared", NULL);
    }
}

static void
add_each_pcpu (GString *out, const CorralCapacity *capacity)
{
    Family family =
        start_family (out, "corral_pcpu", "info", NULL, "Where a pCPU is and who has it.");

    for (guint i = 0; i < capacity->n_pcpus; i++) {
        const CorralCapacityPcpu *pcpu = &capacity->pcpus[i];
        const CorralPcpu *place = &pcpu->place;
        g_autofree char *number = g_strdup_printf ("%u", place->number);
        g_autofree char *package = g_strdup_printf ("%u", place->package);
        g_autofree char *node = g_strdup_printf ("%u", place->node);
        g_autofree char *l3 = g_strdup_printf ("%u", place->l3);
        g_autofree char *core = g_strdup_printf ("%u", place->core);
        g_autofree char *vcpu = g_strdup_printf ("%u", pcpu->vcpu);

        add_sample (&family, "_info", 1, "pcpu", number, "package", package, "node", node, "l3", l3,
                    "core", core, "use", corral_capacity_use_name (pcpu->use), "container",
                    pcpu->container, "vm", pcpu->vm, "vcpu",
                    pcpu->use == CORRAL_USE_DEDICATED ? vcpu : NULL, NULL);
    }
    family = start_family (out, "corral_pcpu_busy_ratio", "gauge", "ratio",
                           "Part of the window in which a pCPU was not idle.");
    for (guint i = 0; i < capacity->n_pcpus; i++) {
        g_autofree char *number = g_strdup_printf ("%u", capacity->pcpus[i].place.number);

        if (capacity->pcpus[i].busy >= 0)
            add_sample (&family, "", capacity->pcpus[i].busy, "pcpu", number, NULL);
    }
}

char *
corral_capacity_openmetrics (const CorralCapacity *capacity, guint64 generation)
{
    g_autoptr (GString) out = g_string_new (NULL);
    Family family;

    add_pcpus (out, capacity);
    add_vcpus (out, capacity);
    add_each_pcpu (out, capacity);
    family = start_family (out, "corral_capacity_window_seconds", "gauge", "seconds",
                           "Time over which use was measured; 0: it was not.");
    add_sample (&family, "", (double) capacity->window_ns / 1e9, NULL);
    family = start_family (out, "corral_host_changes", "counter", NULL,
                           "Changes of the host that a plan depends on: its generation.");
    add_sample (&family, "_total", (double) generation, NULL);
    g_string_append (out, "# EOF\n");
    return g_string_free (g_steal_pointer (&out), FALSE);
}
