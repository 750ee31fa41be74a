/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/corral/corral-cli-plan-text.h"

#include "libvirt-driver/corral/corral-cli-output.h"

#include <string.h>

/* --- members --- */

static const char *
text_of (JsonObject *object, const char *key)
{
    return json_object_get_string_member_with_default (object, key, NULL);
}

static gboolean
is_set (JsonObject *object, const char *key)
{
    return json_object_get_boolean_member_with_default (object, key, FALSE);
}

static const char *
shown_set (const char *list)
{
    return list == NULL || *list == '\0' ? "none" : list;
}

/* A quota of 100,000 us, in words. (transfer full) */
static char *
quota_of (JsonObject *object, const char *key)
{
    gint64 quota = json_object_get_int_member_with_default (object, key, -1);

    return quota < 0 ? g_strdup ("none") : g_strdup_printf ("%.2f pCPUs", (double) quota / 100000);
}

/* @text: (nullable) */
static void
append (GString *out, const char *text)
{
    g_autofree char *printable = corral_cli_printable (text != NULL ? text : "-");

    g_string_append (out, printable);
}

/* Calls @each for the rows of @key in which @member, if there is one, is @is. */
static void
for_each (JsonObject *document, const char *key, const char *member, const char *is, GString *out,
          void (*each) (GString *out, JsonObject *row))
{
    JsonArray *rows = json_object_get_array_member (document, key);

    for (guint i = 0; i < json_array_get_length (rows); i++) {
        JsonObject *row = json_array_get_object_element (rows, i);

        if (member == NULL || g_strcmp0 (text_of (row, member), is) == 0)
            each (out, row);
    }
}

/* --- reasons --- */

static void
append_reason (GString *out, JsonObject *row)
{
    const char *cpus = text_of (row, "cpus"), *nodes = text_of (row, "nodes");
    g_autofree char *where = cpus != NULL && *cpus != '\0'     ? g_strdup_printf ("pCPUs %s", cpus)
                             : nodes != NULL && *nodes != '\0' ? g_strdup_printf ("nodes %s", nodes)
                                                               : g_strdup ("-");

    g_string_append_printf (out, "     %-20s  ", where);
    append (out, text_of (row, "rule"));
    g_string_append (out, ": ");
    append (out, text_of (row, "text"));
    g_string_append_c (out, '\n');
}

static void
append_reasons (GString *out, JsonObject *document, const char *container, const char *vm)
{
    JsonArray *rows = json_object_get_array_member (document, "reasons");

    for (guint i = 0; i < json_array_get_length (rows); i++) {
        JsonObject *row = json_array_get_object_element (rows, i);

        if (g_strcmp0 (text_of (row, "vm"), vm) == 0 &&
            (container == NULL || g_strcmp0 (text_of (row, "container"), container) == 0))
            append_reason (out, row);
    }
}

/* --- the plan --- */

static void
append_change (GString *out, const char *what, const char *now, const char *planned)
{
    if (g_strcmp0 (now, planned) == 0)
        return;
    g_string_append_printf (out, "     %-20s  ", what);
    if (now != NULL) {
        append (out, shown_set (now));
        g_string_append (out, " -> ");
    }
    append (out, shown_set (planned));
    g_string_append_c (out, '\n');
}

static void
append_planned_container (GString *out, JsonObject *row)
{
    gboolean is_new = text_of (row, "now_cpus") == NULL;
    g_autofree char *quota = quota_of (row, "quota_usec");
    g_autofree char *now_quota = is_new ? NULL : quota_of (row, "now_quota_usec");

    if (!is_set (row, "changed"))
        return;
    g_string_append (out, is_new ? " + " : " ~ ");
    append (out, text_of (row, "path"));
    g_string_append (out, ": ");
    append (out, text_of (row, "mode"));
    g_string_append_c (out, '\n');
    append_change (out, "pCPUs", text_of (row, "now_cpus"), text_of (row, "cpus"));
    append_change (out, "nodes", text_of (row, "now_mems"), text_of (row, "mems"));
    append_change (out, "cap", now_quota, quota);
    append_change (out, "exclusive", text_of (row, "now_exclusive"), text_of (row, "exclusive"));
}

static void
append_planned_vcpus (GString *out, JsonObject *document, const char *vm)
{
    JsonArray *rows = json_object_get_array_member (document, "vcpus");

    for (guint i = 0; i < json_array_get_length (rows); i++) {
        JsonObject *row = json_array_get_object_element (rows, i);
        g_autofree char *what =
            g_strdup_printf ("vCPU %" G_GINT64_FORMAT, json_object_get_int_member (row, "vcpu"));

        if (g_strcmp0 (text_of (row, "vm"), vm) == 0)
            append_change (out, what, text_of (row, "now_cpus"), text_of (row, "cpus"));
    }
}

static void
append_planned_vms (GString *out, JsonObject *document)
{
    JsonArray *rows = json_object_get_array_member (document, "vms");

    for (guint i = 0; i < json_array_get_length (rows); i++) {
        JsonObject *row = json_array_get_object_element (rows, i);

        if (!is_set (row, "changed"))
            continue;
        g_string_append (out, is_set (row, "running") ? " ~ VM " : " + VM ");
        append (out, text_of (row, "name"));
        g_string_append (out, " in ");
        append (out, text_of (row, "container"));
        g_string_append_c (out, '\n');
        append_planned_vcpus (out, document, text_of (row, "name"));
        append_change (out, "helpers", text_of (row, "helpers_now_cpus"),
                       text_of (row, "helpers_cpus"));
    }
}

/* The reasons of one come one after the other. */
static void
append_refusals (GString *out, JsonObject *document)
{
    JsonArray *rows = json_object_get_array_member (document, "reasons");
    const char *container = NULL, *vm = NULL;

    for (guint i = 0; i < json_array_get_length (rows); i++) {
        JsonObject *row = json_array_get_object_element (rows, i);

        if (i == 0 || g_strcmp0 (text_of (row, "container"), container) != 0 ||
            g_strcmp0 (text_of (row, "vm"), vm) != 0) {
            container = text_of (row, "container");
            vm = text_of (row, "vm");
            g_string_append (out, vm != NULL ? " ! VM " : " ! ");
            append (out, vm != NULL ? vm : container);
            if (vm != NULL) {
                g_string_append (out, " in ");
                append (out, container);
            }
            g_string_append (out, ": refused\n");
        }
        append_reason (out, row);
    }
}

char *
corral_cli_plan_text (JsonObject *document)
{
    g_autoptr (GString) out = g_string_new (NULL);
    gint64 moves = json_object_get_int_member_with_default (document, "moves", 0);
    gint64 refused = json_object_get_int_member_with_default (document, "refused", 0);

    if (!json_object_has_member (document, "generation"))
        return g_strdup ("There are no containers: nothing to do\n");
    g_string_append_printf (out, "Generation %" G_GINT64_FORMAT ": ",
                            json_object_get_int_member (document, "generation"));
    if (!is_set (document, "changed"))
        g_string_append (out, "nothing to do");
    else
        g_string_append_printf (out, "changes, %" G_GINT64_FORMAT " running vCPUs move", moves);
    if (refused > 0)
        g_string_append_printf (out, "; %" G_GINT64_FORMAT " refused", refused);
    g_string_append_c (out, '\n');
    for_each (document, "containers", NULL, NULL, out, append_planned_container);
    append_planned_vms (out, document);
    append_refusals (out, document);
    return g_string_free (g_steal_pointer (&out), FALSE);
}

/* --- the explanation --- */

static void
explain_container (GString *out, JsonObject *document, JsonObject *row)
{
    append (out, text_of (row, "path"));
    g_string_append (out, ": ");
    append (out, text_of (row, "mode"));
    if (is_set (row, "refused"))
        g_string_append (out, ", refused\n");
    else
        g_string_append_printf (out, ", pCPUs %s, nodes %s\n", shown_set (text_of (row, "cpus")),
                                shown_set (text_of (row, "mems")));
    append_reasons (out, document, text_of (row, "path"), NULL);
}

static void
explain_vcpu (GString *out, JsonObject *row)
{
    const char *now = text_of (row, "now_cpus"), *cpus = text_of (row, "cpus");
    g_autofree char *what =
        g_strdup_printf ("vCPU %" G_GINT64_FORMAT, json_object_get_int_member (row, "vcpu"));

    g_string_append_printf (out, "     %-20s  pCPUs %s", what, shown_set (cpus));
    if (now != NULL && g_strcmp0 (now, cpus) != 0)
        g_string_append_printf (out, " (now %s)", shown_set (now));
    g_string_append_c (out, '\n');
}

static void
explain_vm (GString *out, JsonObject *document, JsonObject *row)
{
    const char *name = text_of (row, "name"), *helpers = text_of (row, "helpers_cpus");

    g_string_append (out, "VM ");
    append (out, name);
    g_string_append (out, " in ");
    append (out, text_of (row, "container"));
    g_string_append_printf (out, ": %s\n",
                            is_set (row, "refused")   ? "refused"
                            : is_set (row, "running") ? "running"
                                                      : "not running");
    for_each (document, "vcpus", "vm", name, out, explain_vcpu);
    if (helpers != NULL)
        g_string_append_printf (out, "     %-20s  pCPUs %s\n", "helpers", shown_set (helpers));
    append_reasons (out, document, text_of (row, "container"), name);
}

char *
corral_cli_explain_text (JsonObject *document, const char *vm)
{
    g_autoptr (GString) out = g_string_new (NULL);
    JsonArray *containers = json_object_get_array_member (document, "containers");
    JsonArray *vms = json_object_get_array_member (document, "vms");

    for (guint i = 0; vm == NULL && i < json_array_get_length (containers); i++)
        explain_container (out, document, json_array_get_object_element (containers, i));
    for (guint i = 0; i < json_array_get_length (vms); i++) {
        JsonObject *row = json_array_get_object_element (vms, i);

        if (vm == NULL || g_strcmp0 (text_of (row, "name"), vm) == 0)
            explain_vm (out, document, row);
    }
    return g_string_free (g_steal_pointer (&out), FALSE);
}
