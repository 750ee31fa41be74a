/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every XML document that reaches policy/ from outside: definitions, members, VMs, metadata.
 * What is accepted must be equal after a round trip. */
#include "policy/corral-definition.h"

#include <string.h>

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

static CorralDefinition *
parse_own (const char *xml)
{
    g_autoptr (GError) error = NULL;
    CorralDefinition *definition = NULL;

    if (!corral_definition_parse (xml, strlen (xml), &definition, &error))
        g_error ("our own document is refused: %s\n%s", error->message, xml);
    return definition;
}

static void
check_round_trip (const CorralDefinition *definition)
{
    CorralDefinitionLive live = { .id = 1, .vcpus = 2 };
    g_autoptr (CorralDefinition) copy = corral_definition_copy (definition);
    g_autofree char *first = corral_definition_format (copy, &live);
    g_autoptr (CorralDefinition) again = NULL;
    g_autofree char *second = NULL;

    /* Escaping makes a document longer than it came. */
    if (strlen (first) > CORRAL_XML_MAX)
        return;
    again = parse_own (first);
    second = corral_definition_format (again, &live);
    g_assert_cmpstr (first, ==, second);
    g_assert_true (corral_partition_check (again->partition, NULL));
    g_assert_cmpint (again->planned, ==, definition->planned);
    g_assert_cmpuint (again->placement_said, ==, definition->placement_said);
    g_assert_cmpmem (&again->placement, sizeof again->placement, &definition->placement,
                     sizeof definition->placement);
}

static void
check_metadata (const char *xml)
{
    g_autoptr (CorralDefinition) definition =
        parse_own ("<domain type='corral'><name>a</name></domain>");
    g_autoptr (CorralDefinition) again = NULL;
    g_autoptr (GError) error = NULL;
    g_autofree char *text = NULL;
    const char *kept;

    if (!corral_definition_set_metadata (definition, "u:1", "q", xml, &error)) {
        g_assert_nonnull (error);
        return;
    }
    kept = corral_definition_get_metadata (definition, "u:1");
    g_assert_nonnull (kept);
    text = corral_definition_format (definition, NULL);
    again = parse_own (text);
    g_assert_cmpstr (corral_definition_get_metadata (again, "u:1"), ==, kept);
}

static void
check_text (const char *text)
{
    g_autoptr (CorralDefinition) definition =
        parse_own ("<domain type='corral'><name>a</name></domain>");
    g_autoptr (CorralDefinition) again = NULL;
    g_autofree char *xml = NULL;

    if (!corral_definition_set_description (definition, text, NULL))
        return;
    xml = corral_definition_format (definition, NULL);
    again = parse_own (xml);
    g_assert_cmpstr (again->description, ==, definition->description);
    (void) corral_definition_claims (definition, text);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
    const char *xml = (const char *) data;
    g_autofree char *text = g_strndup (xml, size);
    g_autoptr (CorralDefinition) definition = NULL;
    g_autoptr (CorralMemberDef) member = NULL;
    g_autoptr (GError) definition_error = NULL;
    g_autoptr (GError) member_error = NULL;
    g_autofree char *name = NULL;
    g_autofree char *partition = NULL;

    if (corral_definition_parse (xml, size, &definition, &definition_error)) {
        check_round_trip (definition);
        (void) corral_definition_claims (definition, "db12");
    } else
        g_assert_true (g_utf8_validate (definition_error->message, -1, NULL));
    if (!corral_member_def_parse (xml, size, &member, &member_error))
        g_assert_true (g_utf8_validate (member_error->message, -1, NULL));
    if (corral_vm_partition_parse (xml, size, &name, &partition, NULL))
        g_assert_nonnull (name);
    check_metadata (text);
    check_text (text);
    return 0;
}
