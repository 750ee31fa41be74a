/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/corral-error.h"
#include "policy/corral-definition.h"

#include <string.h>

static CorralDefinition *
parse (const char *inner)
{
    g_autofree char *xml =
        g_strdup_printf ("<domain type='corral'><name>a</name>%s</domain>", inner);
    g_autoptr (GError) error = NULL;
    CorralDefinition *definition = NULL;
    gboolean ok = corral_definition_parse (xml, strlen (xml), &definition, &error);

    g_assert_no_error (error);
    g_assert_true (ok);
    return definition;
}

static CorralDefinition *
round_trip (const CorralDefinition *definition)
{
    g_autofree char *xml = corral_definition_format (definition, NULL);
    g_autoptr (GError) error = NULL;
    CorralDefinition *again = NULL;
    gboolean ok = corral_definition_parse (xml, strlen (xml), &again, &error);

    g_assert_no_error (error);
    g_assert_true (ok);
    return again;
}

static void
set (CorralDefinition *definition, const char *uri, const char *prefix, const char *xml)
{
    g_autoptr (GError) error = NULL;
    gboolean ok = corral_definition_set_metadata (definition, uri, prefix, xml, &error);

    g_assert_no_error (error);
    g_assert_true (ok);
}

/* What virDomainSetMetadata() is given, what is in the document then, and what
 * virDomainGetMetadata() gives back. */
static void
test_set (void)
{
    static const struct {
        const char *uri, *prefix, *xml, *kept, *got;
    } sets[] = {
        { "http://app", "app", "<x a='1'><y>t</y></x>",
          "<app:x xmlns:app=\"http://app\" a=\"1\"><app:y>t</app:y></app:x>",
          "<x a=\"1\"><y>t</y></x>" },
        { "http://app", NULL, "<x><y/></x>", "<x xmlns=\"http://app\"><y/></x>", "<x><y/></x>" },
        { "http://app", "app", "<app:x xmlns:app='http://app'/>",
          "<app:x xmlns:app=\"http://app\"/>", "<x/>" },
        { "http://app", "app", "<x><o:y xmlns:o='http://o'/>\n</x>",
          "<app:x xmlns:app=\"http://app\"><o:y xmlns:o=\"http://o\"/>\n</app:x>",
          "<x><o:y xmlns:o=\"http://o\"/>\n</x>" },
        { "http://app", "app", "<!-- dropped --><x><!-- kept --></x>",
          "<app:x xmlns:app=\"http://app\"><!-- kept --></app:x>", "<x><!-- kept --></x>" },
        /* The attribute needs the declaration. */
        { "http://app", "app", "<app:x xmlns:app='http://app' app:a='1'/>",
          "<app:x xmlns:app=\"http://app\" app:a=\"1\"/>",
          "<x xmlns:app=\"http://app\" app:a=\"1\"/>" },
        { "http://app?b='2'", "app", "<x/>", "<app:x xmlns:app=\"http://app?b='2'\"/>", "<x/>" },
    };

    for (gsize i = 0; i < G_N_ELEMENTS (sets); i++) {
        g_autoptr (CorralDefinition) definition =
            parse ("<metadata><o xmlns='http://old'/></metadata>");
        g_autoptr (CorralDefinition) again = NULL;
        const CorralMetadata *kept;

        set (definition, sets[i].uri, sets[i].prefix, "<replaced/>");
        set (definition, sets[i].uri, sets[i].prefix, sets[i].xml);
        g_assert_cmpuint (definition->metadata->len, ==, 2);
        kept = g_ptr_array_index (definition->metadata, 1);
        g_assert_cmpstr (kept->xml, ==, sets[i].kept);
        g_assert_cmpstr (corral_definition_get_metadata (definition, sets[i].uri), ==, sets[i].got);

        again = round_trip (definition);
        g_assert_cmpstr (corral_definition_get_metadata (again, sets[i].uri), ==, sets[i].got);
        g_assert_cmpstr (corral_definition_get_metadata (again, "http://old"), ==, "<o/>");

        /* virsh metadata --edit gives back what it was given. */
        set (again, sets[i].uri, sets[i].prefix, sets[i].got);
        kept = g_ptr_array_index (again->metadata, 1);
        g_assert_cmpstr (kept->xml, ==, sets[i].kept);
    }
}

static void
test_remove (void)
{
    g_autoptr (CorralDefinition) definition = parse ("<metadata><a xmlns='u:1'/><b xmlns='u:2'/>"
                                                     "</metadata>");

    set (definition, "u:3", NULL, NULL);
    g_assert_cmpuint (definition->metadata->len, ==, 2);
    set (definition, "u:1", NULL, NULL);
    g_assert_null (corral_definition_get_metadata (definition, "u:1"));
    g_assert_cmpstr (corral_definition_get_metadata (definition, "u:2"), ==, "<b/>");
    g_assert_cmpuint (definition->metadata->len, ==, 1);
}

static void
test_set_refused (void)
{
    static const struct {
        const char *uri, *prefix, *xml, *message;
        CorralError code;
    } sets[] = {
        { "", "app", "<x/>",
          "cannot set metadata of container \"a\": its namespace URI is not usable",
          CORRAL_ERROR_INVALID },
        { "u:\x01", "app", "<x/>",
          "cannot set metadata of container \"a\": its namespace URI is not usable",
          CORRAL_ERROR_INVALID },
        { "u:\xff", "app", NULL,
          "cannot set metadata of container \"a\": its namespace URI is not usable",
          CORRAL_ERROR_INVALID },
        { "u:1", "a b", "<x/>",
          "cannot read the metadata element: line 1: the prefix is no XML name", CORRAL_ERROR_XML },
        { "u:1", "", "<x/>", "cannot read the metadata element: line 1: the prefix is no XML name",
          CORRAL_ERROR_XML },
        { "u:1", "q", "<x xmlns:q='u:2'/>",
          "cannot read the metadata element: line 1: the prefix stands for another namespace "
          "already",
          CORRAL_ERROR_XML },
        { "u:1", "q", "<x xmlns='u:2'/>",
          "cannot read the metadata element: line 1: expected an element of the namespace that "
          "was given",
          CORRAL_ERROR_XML },
        { "u:1", "q", "<x>\n<y></x>",
          "cannot read the metadata element: line 2: Opening and ending tag mismatch: y line 2 "
          "and x",
          CORRAL_ERROR_XML },
        { "u:1", "q", "<x/><y/>",
          "cannot read the metadata element: line 1: Extra content at the end of the document",
          CORRAL_ERROR_XML },
        { "u:1", "q", "<!DOCTYPE x><x/>",
          "cannot read the metadata element: line 1: <!DOCTYPE>: expected a document without a "
          "document type",
          CORRAL_ERROR_XML },
        { "u:1", "q", "text",
          "cannot read the metadata element: line 1: Start tag expected, '<' not found",
          CORRAL_ERROR_XML },
        { "u:1?a&b", "q", "<x/>",
          "cannot read the metadata element: line 1: <q:x>: expected a namespace URI without "
          "\"&\"",
          CORRAL_ERROR_XML },
        { "u:1", "q", "<x><y xmlns='u:&amp;'/></x>",
          "cannot read the metadata element: line 1: <y>: expected a namespace URI without "
          "\"&\"",
          CORRAL_ERROR_XML },
        { CORRAL_XML_NAMESPACE, "q", "<x/>",
          "cannot read the metadata element: line 1: <x>: expected a namespace other than "
          "Corral's own in <metadata>",
          CORRAL_ERROR_XML },
        { "urn:corral:plan:1", "q", "<plan generation='1'/>",
          "cannot read the metadata element: line 1: <q:plan>: expected a namespace other than "
          "Corral's own in <metadata>",
          CORRAL_ERROR_XML },
    };

    for (gsize i = 0; i < G_N_ELEMENTS (sets); i++) {
        g_autoptr (CorralDefinition) definition = parse ("<metadata><o xmlns='u:1'/></metadata>");
        g_autoptr (GError) error = NULL;

        g_assert_false (corral_definition_set_metadata (definition, sets[i].uri, sets[i].prefix,
                                                        sets[i].xml, &error));
        g_assert_error (error, CORRAL_ERROR, (int) sets[i].code);
        g_assert_cmpstr (error->message, ==, sets[i].message);
        g_assert_cmpuint (definition->metadata->len, ==, 1);
        g_assert_cmpstr (corral_definition_get_metadata (definition, "u:1"), ==, "<o/>");
    }
}

/* However long or deep each part is, what is accepted can be read again. */
static void
test_bounds (void)
{
    g_autoptr (CorralDefinition) definition = parse ("");
    g_autoptr (CorralDefinition) again = NULL;
    g_autoptr (GError) error = NULL;
    g_autoptr (GString) deep = g_string_new (NULL);
    g_autofree char *text = g_strnfill (600 * 1024, 'x');
    g_autofree char *element = g_strdup_printf ("<x>%s</x>", text);

    for (guint i = 0; i < 62; i++)
        g_string_append (deep, "<x>");
    for (guint i = 0; i < 62; i++)
        g_string_append (deep, "</x>");
    set (definition, "u:deep", "d", deep->str);
    set (definition, "u:long", "l", element);
    again = round_trip (definition);
    g_clear_pointer (&again, corral_definition_free);

    g_assert_false (corral_definition_set_metadata (definition, "u:more", "m", element, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    g_assert_cmpstr (error->message, ==,
                     "cannot change container \"a\": its definition would be longer than 1048576 "
                     "bytes");
    g_clear_error (&error);
    g_assert_false (corral_definition_set_description (definition, text, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    g_clear_error (&error);
    g_assert_null (definition->description);
    g_assert_null (corral_definition_get_metadata (definition, "u:more"));

    g_string_prepend (deep, "<x>");
    g_string_append (deep, "</x>");
    g_assert_false (corral_definition_set_metadata (definition, "u:deep", "d", deep->str, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_XML);
    again = round_trip (definition);
    g_assert_cmpuint (again->metadata->len, ==, 2);
}

static void
test_texts (void)
{
    static const char *const bad[] = { "a\x01", "\xff", "\xef\xbf\xbf", "\x1b[0m" };
    g_autoptr (CorralDefinition) definition = parse ("");
    g_autoptr (CorralDefinition) again = NULL;
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_definition_set_title (definition, " <a> ]]> & 'b'", &error));
    g_assert_true (corral_definition_set_description (definition, "a\r\n\tb\n", &error));
    g_assert_no_error (error);
    again = round_trip (definition);
    g_assert_cmpstr (again->title, ==, " <a> ]]> & 'b'");
    g_assert_cmpstr (again->description, ==, "a\r\n\tb\n");

    for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
        g_assert_false (corral_definition_set_title (definition, bad[i], &error));
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
        g_clear_error (&error);
        g_assert_false (corral_definition_set_description (definition, bad[i], &error));
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
        g_clear_error (&error);
    }
    g_assert_false (corral_definition_set_title (definition, "a\nb", &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    g_assert_cmpstr (error->message, ==,
                     "cannot set the title of container \"a\": expected a single line");
    g_clear_error (&error);
    g_assert_cmpstr (definition->title, ==, " <a> ]]> & 'b'");

    g_assert_true (corral_definition_set_title (definition, NULL, &error));
    g_assert_true (corral_definition_set_description (definition, "", &error));
    g_assert_null (definition->title);
    g_assert_null (definition->description);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_test_add_func ("/policy/metadata/set", test_set);
    g_test_add_func ("/policy/metadata/remove", test_remove);
    g_test_add_func ("/policy/metadata/set-refused", test_set_refused);
    g_test_add_func ("/policy/metadata/bounds", test_bounds);
    g_test_add_func ("/policy/metadata/texts", test_texts);
    return g_test_run ();
}
