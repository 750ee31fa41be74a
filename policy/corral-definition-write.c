/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy/corral-definition-private.h"
#include "policy/corral-wishes.h"

static void append (GString *out, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* Every %s is escaped. */
static void
append (GString *out, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start (args, format);
    text = g_markup_vprintf_escaped (format, args);
    va_end (args);
    g_string_append (out, text);
}

static void
append_uuid (GString *out, const guint8 *uuid)
{
    guint8 any = 0;

    for (gsize i = 0; i < CORRAL_UUID_BYTES; i++)
        any |= uuid[i];
    if (any == 0)
        return;
    g_string_append (out, "  <uuid>");
    for (gsize i = 0; i < CORRAL_UUID_BYTES; i++)
        g_string_append_printf (out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                                uuid[i]);
    g_string_append (out, "</uuid>\n");
}

/* The only text that may hold a carriage return, which a parser would take for a line's end. */
static void
append_description (GString *out, const char *description)
{
    g_autofree char *escaped = NULL;
    g_auto (GStrv) lines = NULL;

    if (description == NULL)
        return;
    escaped = g_markup_escape_text (description, -1);
    lines = g_strsplit (escaped, "\r", -1);
    g_string_append (out, "  <description>");
    for (gsize i = 0; lines[i] != NULL; i++)
        g_string_append_printf (out, "%s%s", i > 0 ? "&#13;" : "", lines[i]);
    g_string_append (out, "</description>\n");
}

static void
append_metadata (GString *out, const GPtrArray *all)
{
    if (all->len == 0)
        return;
    g_string_append (out, "  <metadata>\n");
    for (guint i = 0; i < all->len; i++) {
        const CorralMetadata *metadata = g_ptr_array_index (all, i);

        g_string_append_printf (out, "    %s\n", metadata->xml);
    }
    g_string_append (out, "  </metadata>\n");
}

/* What was said, and no default: a host's defaults may change. */
static void
append_wishes (GString *out, const CorralDefinition *definition)
{
    static const char ns[] = " xmlns:corral='" CORRAL_XML_NAMESPACE "'";
    const CorralPlacement *placement = &definition->placement;
    const guint said = definition->placement_said & ~(guint) CORRAL_SAID_HELPERS;

    if (said != 0) {
        g_string_append_printf (out, "  <corral:placement%s", ns);
        corral_wishes_append_placement (out, placement, said);
        g_string_append (out, "/>\n");
    }
    if (placement->reserve_vcpus > 0)
        g_string_append_printf (out, "  <corral:reserve%s vcpus='%u'/>\n", ns,
                                placement->reserve_vcpus);
    if (placement->limit_vcpus > 0)
        g_string_append_printf (out, "  <corral:limit%s vcpus='%u'/>\n", ns,
                                placement->limit_vcpus);
    if (placement->share_percent == 0)
        return;
    g_string_append_printf (out, "  <corral:share%s percent='%u'", ns, placement->share_percent);
    if ((definition->placement_said & CORRAL_SAID_HELPERS) != 0)
        append (out, " helpers='%u'", placement->helpers_percent);
    g_string_append (out, "/>\n");
}

static void
append_tune (GString *out, const CorralCpuTune *tune)
{
    if (tune->shares != -1 || tune->period_usec != -1 || tune->quota_usec != -1) {
        g_string_append (out, "  <cputune>\n");
        if (tune->shares != -1)
            append (out, "    <shares>%" G_GINT64_FORMAT "</shares>\n", tune->shares);
        if (tune->period_usec != -1)
            append (out, "    <global_period>%" G_GINT64_FORMAT "</global_period>\n",
                    tune->period_usec);
        if (tune->quota_usec != -1)
            append (out, "    <global_quota>%" G_GINT64_FORMAT "</global_quota>\n",
                    tune->quota_usec == CORRAL_QUOTA_NONE ? -1 : tune->quota_usec);
        g_string_append (out, "  </cputune>\n");
    }
    if (tune->burst_usec != -1)
        append (out, "  <corral:burst xmlns:corral='%s'>%" G_GINT64_FORMAT "</corral:burst>\n",
                CORRAL_XML_NAMESPACE, tune->burst_usec);
}

char *
corral_member_def_format (const CorralMemberDef *member)
{
    if (member->type == CORRAL_MEMBER_VM)
        return g_markup_printf_escaped ("<member type='vm' name='%s'/>", member->name);
    return g_markup_printf_escaped ("<member type='vcpu' name='%s' vcpu='%d'/>", member->name,
                                    member->vcpu);
}

static void
append_devices (GString *out, const GPtrArray *members)
{
    if (members->len == 0) {
        g_string_append (out, "  <devices/>\n");
        return;
    }
    g_string_append (out, "  <devices>\n");
    for (guint i = 0; i < members->len; i++) {
        g_autofree char *member = corral_member_def_format (g_ptr_array_index (members, i));

        g_string_append_printf (out, "    %s\n", member);
    }
    g_string_append (out, "  </devices>\n");
}

char *
corral_definition_format (const CorralDefinition *definition, const CorralDefinitionLive *live)
{
    GString *out = g_string_new ("<domain type='corral'");
    CorralCpuTune tune = definition->tune;

    /* With a share, the cap that an active container has is the plan's, and no wish. */
    if (definition->placement.share_percent > 0)
        tune.period_usec = tune.quota_usec = tune.burst_usec = -1;

    if (live != NULL && live->id >= 0)
        append (out, " id='%d'", live->id);
    append (out, ">\n  <name>%s</name>\n", definition->name);
    append_uuid (out, definition->uuid);
    if (definition->title != NULL)
        append (out, "  <title>%s</title>\n", definition->title);
    append_description (out, definition->description);
    append_metadata (out, definition->metadata);

    append (out, "  <vcpu placement='%s'", definition->planned ? "auto" : "static");
    if (definition->cpus != NULL) {
        g_autofree char *list = corral_cpuset_format (definition->cpus);

        append (out, " cpuset='%s'", list);
    }
    append (out, ">%u</vcpu>\n", live != NULL ? MAX (live->vcpus, 1) : 1);
    if (definition->mems != NULL) {
        g_autofree char *list = corral_cpuset_format (definition->mems);

        append (out, "  <numatune>\n    <memory mode='strict' nodeset='%s'/>\n  </numatune>\n",
                list);
    }
    append_tune (out, &tune);
    if (definition->planned)
        append_wishes (out, definition);

    append (out, "  <resource>\n    <partition>%s</partition>\n  </resource>\n",
            definition->partition);
    g_string_append (out, "  <os>\n    <type>corral</type>\n  </os>\n");
    append_devices (out, definition->members);
    g_string_append (out, "</domain>\n");
    return g_string_free (out, FALSE);
}
