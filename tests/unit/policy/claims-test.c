/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/corral-error.h"
#include "policy/corral-definition.h"

#include <string.h>

/* A container with one member of type vm. */
static CorralDefinition *
with_member (const char *name)
{
    g_autofree char *xml = g_markup_printf_escaped ("<domain type='corral'><name>a</name><devices>"
                                                    "<member type='vm' name='%s'/></devices>"
                                                    "</domain>",
                                                    name);
    g_autoptr (GError) error = NULL;
    CorralDefinition *definition = NULL;
    gboolean ok = corral_definition_parse (xml, strlen (xml), &definition, &error);

    g_assert_no_error (error);
    g_assert_true (ok);
    return definition;
}

static void
test_patterns (void)
{
    static const struct {
        const char *pattern, *name;
        gboolean matches;
    } rows[] = {
        { "db", "db", TRUE },         { "db", "db1", FALSE },
        { "db", "xdb", FALSE },       { "db*", "db", TRUE },
        { "db*", "db12", TRUE },      { "db*", "xdb", FALSE },
        { "*", "anything", TRUE },    { "*db", "a-db", TRUE },
        { "*db", "a-dbx", FALSE },    { "a*b*c", "abbbc", TRUE },
        { "a*b*c", "acb", FALSE },    { "a**c", "abc", TRUE },
        { "db?", "db1", TRUE },       { "db?", "db", FALSE },
        { "db?", "db12", FALSE },     { "db?", "db\xc3\xa9", TRUE },
        { "?\?", "\xc3\xa9", FALSE }, { "d[ab]", "da", FALSE },
        { "DB*", "db1", FALSE },      { "*1?", "a1b", TRUE },
        { "*1?", "a11", TRUE },       { "*\xc3\xa9*", "caf\xc3\xa9s", TRUE },
        { "*", "\xff", FALSE },
    };

    for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
        g_autoptr (CorralDefinition) definition = with_member (rows[i].pattern);

        g_autofree char *name = g_strescape (rows[i].name, NULL);

        g_test_message ("%s against %s", name, rows[i].pattern);
        g_assert_cmpint (corral_definition_claims (definition, rows[i].name) > 0, ==,
                         rows[i].matches);
    }
}

/* Each claims db12 better than the one before. */
static void
test_order (void)
{
    static const char *const patterns[] = { "web*", "*",    "d*",     "d?1*",
                                            "db*2", "?b12", "*db12*", "db12" };
    guint before = 0;

    for (gsize i = 0; i < G_N_ELEMENTS (patterns); i++) {
        g_autoptr (CorralDefinition) definition = with_member (patterns[i]);
        guint claim = corral_definition_claims (definition, "db12");

        g_test_message ("%s: %u", patterns[i], claim);
        if (i == 0)
            g_assert_cmpuint (claim, ==, 0);
        else if (i == 5) /* "?b12" has as many literal characters as "db*2" */
            g_assert_cmpuint (claim, ==, before);
        else
            g_assert_cmpuint (claim, >, before);
        before = claim;
    }
    g_assert_cmpuint (before, ==, G_MAXUINT);
}

/* The best of a container's members counts, and a vCPU's membership does not claim its VM. */
static void
test_members (void)
{
    static const char xml[] =
        "<domain type='corral'><name>a</name><devices>"
        "<member type='vcpu' name='web1' vcpu='0'/><member type='vm' name='*b*'/>"
        "<member type='vm' name='db*'/><member type='vm' name='b'/>"
        "</devices></domain>";
    g_autoptr (CorralDefinition) definition = NULL;
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_definition_parse (xml, strlen (xml), &definition, &error));
    g_assert_cmpuint (corral_definition_claims (definition, "web1"), ==, 2);
    g_assert_cmpuint (corral_definition_claims (definition, "we1"), ==, 0);
    g_assert_cmpuint (corral_definition_claims (definition, "db1"), ==, 3);
    g_assert_cmpuint (corral_definition_claims (definition, "b"), ==, G_MAXUINT);
    g_assert_cmpuint (corral_definition_claims (definition, ""), ==, 0);
}

/* The pattern that makes a naive matcher try every split. */
static void
test_hard_pattern (void)
{
    g_autoptr (GString) pattern = g_string_new (NULL);
    g_autofree char *name = g_strnfill (100000, 'a');
    g_autoptr (CorralDefinition) definition = NULL;

    for (guint i = 0; i < 99; i++)
        g_string_append (pattern, "*a");
    g_string_append_c (pattern, 'b');
    definition = with_member (pattern->str);
    g_assert_cmpuint (corral_definition_claims (definition, name), ==, 0);
}

static void
test_partitions (void)
{
    static const char *const good[] = {
        "/machine",
        "/machine/prod",
        "/a/B_c/1-2",
        "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16",
        "/machine/prod/qemu-1-web.a.libvirt-qemu/fast",
        "/machine/x-1.corral/a/b",
    };
    static const struct {
        const char *partition, *why;
    } bad[] = {
        { "", "it is not absolute" },
        { "machine", "it is not absolute" },
        { "/", "a component is empty" },
        { "//a", "a component is empty" },
        { "/a/", "a component is empty" },
        { "/a//b", "a component is empty" },
        { "/a.b",
          "a component holds a dot, which libvirt takes for the end of its own naming rule" },
        { "/machine/qemu-1-web.libvirt-qemu",
          "a component holds a dot, which libvirt takes for the end of its own naming rule" },
        { "/machine/.libvirt-qemu/a",
          "a component holds a dot, which libvirt takes for the end of its own naming rule" },
        { "/..",
          "a component holds a dot, which libvirt takes for the end of its own naming rule" },
        { "/a b", "only letters, digits, \"_\" and \"-\" may stand between the slashes" },
        { "/a\n", "only letters, digits, \"_\" and \"-\" may stand between the slashes" },
        { "/\xc3\xa9", "only letters, digits, \"_\" and \"-\" may stand between the slashes" },
        { "/\xff", "only letters, digits, \"_\" and \"-\" may stand between the slashes" },
        { "/a\\b", "only letters, digits, \"_\" and \"-\" may stand between the slashes" },
        { "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17", "it has more than 16 components" },
    };
    g_autofree char *component = g_strnfill (CORRAL_NAME_MAX + 1, 'x');
    g_autofree char *longest = g_strdup_printf ("/machine/%s", component + 1);
    g_autofree char *longer = g_strdup_printf ("/machine/%s", component);
    g_autoptr (GError) error = NULL;

    for (gsize i = 0; i < G_N_ELEMENTS (good); i++)
        g_assert_true (corral_partition_check (good[i], &error));
    g_assert_true (corral_partition_check (longest, &error));
    for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
        g_autofree char *shown = g_utf8_make_valid (bad[i].partition, -1);
        g_autofree char *message =
            g_strdup_printf ("cannot use \"%s\" as a container's partition: %s", shown, bad[i].why);

        g_assert_false (corral_partition_check (bad[i].partition, &error));
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
        g_assert_cmpstr (error->message, ==, message);
        g_clear_error (&error);
    }
    g_assert_false (corral_partition_check (longer, &error));
    g_assert_nonnull (strstr (error->message, "longer than 200 bytes"));
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_test_add_func ("/policy/claims/patterns", test_patterns);
    g_test_add_func ("/policy/claims/order", test_order);
    g_test_add_func ("/policy/claims/members", test_members);
    g_test_add_func ("/policy/claims/hard-pattern", test_hard_pattern);
    g_test_add_func ("/policy/claims/partitions", test_partitions);
    return g_test_run ();
}
