/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* corral-xml(5) against the parsers and the schemas: its examples are good documents, and each
 * element, attribute and value that a schema knows is in it. Argument: the manual page. */
#include "policy/corral-definition.h"
#include "policy/corral-host.h"
#include "policy/corral-xml.h"

#include <string.h>

static char *page;

/* What a reader sees of a page's text. */
static char *
read_page (const char *path)
{
    g_autoptr (GString) text = g_string_new (NULL);
    g_autoptr (GError) error = NULL;
    g_autofree char *raw = NULL;

    g_file_get_contents (path, &raw, NULL, &error);
    g_assert_no_error (error);
    g_string_assign (text, raw);
    g_string_replace (text, "\\(aq", "'", 0);
    g_string_replace (text, "\\-", "-", 0);
    return g_string_free (g_steal_pointer (&text), FALSE);
}

static void
test_examples (void)
{
    g_auto (GStrv) parts = g_strsplit (page, "\n.EX\n", -1);
    guint n_containers = 0, n_vms = 0, n_hosts = 0;

    for (gsize i = 1; i < g_strv_length (parts); i++) {
        const gsize length = (gsize) (strstr (parts[i], ".EE\n") - parts[i]);
        g_autofree char *xml = g_strndup (parts[i], length);
        g_autoptr (CorralDefinition) definition = NULL;
        g_autoptr (CorralHost) host = NULL;
        g_autoptr (GError) error = NULL;
        CorralPlacement wish;
        guint wishes = 0;
        gboolean good;

        g_test_message ("%s", xml);
        if (g_str_has_prefix (xml, "<host")) {
            good = corral_host_parse (xml, length, &host, &error);
            n_hosts++;
        } else if (strstr (xml, "type='kvm'") != NULL) {
            good = corral_vm_wishes_parse (xml, length, &wish, &wishes, NULL, NULL, &error);
            g_assert_cmpuint (wishes, !=, 0);
            n_vms++;
        } else {
            good = corral_definition_parse (xml, length, &definition, &error);
            n_containers++;
        }
        g_assert_no_error (error);
        g_assert_true (good);
    }
    g_assert_cmpuint (n_containers, >=, 3);
    g_assert_cmpuint (n_vms, >=, 1);
    g_assert_cmpuint (n_hosts, >=, 1);
}

/* Every NAME in name="NAME" and every WORD in <value>WORD</value> of a schema. */
static void
check_words (const char *schema, gsize length)
{
    g_autofree char *text = g_strndup (schema, length);
    g_autoptr (GRegex) names =
        g_regex_new ("<(?:element|attribute) name=\"([^\"]+)\"|<value>([^<]+)</value>", 0, 0, NULL);
    g_autoptr (GMatchInfo) match = NULL;
    guint n = 0;

    for (g_regex_match (names, text, 0, &match); g_match_info_matches (match);
         g_match_info_next (match, NULL), n++) {
        g_autofree char *name = g_match_info_fetch (match, 1);
        g_autofree char *value = g_match_info_fetch (match, 2);
        g_autofree char *word = g_regex_escape_string (*name != '\0' ? name : value, -1);
        g_autofree char *pattern = g_strdup_printf ("(?<![\\w-])%s(?![\\w-])", word);

        g_test_message ("%s", word);
        g_assert_true (g_regex_match_simple (pattern, page, 0, 0));
    }
    g_assert_cmpuint (n, >, 10);
}

static void
test_words (void)
{
    check_words (corral_xml_container_schema, corral_xml_container_schema_length);
    check_words (corral_xml_host_schema, corral_xml_host_schema_length);
}

int
main (int argc, char **argv)
{
    int result;

    g_test_init (&argc, &argv, NULL);
    g_assert_cmpint (argc, ==, 2);
    page = read_page (argv[1]);
    g_test_add_func ("/policy/manual/examples", test_examples);
    g_test_add_func ("/policy/manual/words", test_words);
    result = g_test_run ();
    g_free (page);
    return result;
}
