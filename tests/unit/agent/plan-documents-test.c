/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The example documents that the `corral` command's tests read are as their schema says, and the
 * schema can tell. */
#include "tests/unit/agent/plan-schema.h"

#include <string.h>

static char *
read_example (const char *name)
{
    g_autofree char *path =
        g_test_build_filename (G_TEST_DIST, "tests/unit/agent/documents", name, NULL);
    g_autoptr (GError) error = NULL;
    char *text;

    g_file_get_contents (path, &text, NULL, &error);
    g_assert_no_error (error);
    return text;
}

static void
test_example (gconstpointer data)
{
    g_autofree char *text = read_example (data);

    plan_schema_assert (text);
}

static void
test_broken (void)
{
    static const char *const changes[][3] = {
        { "plan.xml", "generation='42'", "" },
        { "plan.xml", "cpus='2-7'", "cpus='two'" },
        { "plan.xml", "mode='shared'", "mode='open'" },
        { "plan.xml", "<refused vm=", "<refused virtual=" },
        { "explain.xml", "refused='no'", "" },
        { "drift.xml", "state='open'", "state='fine'" },
        { "drift.xml", "2026-11-25T03:14:15Z", "today" },
        { "capacity.xml", "window_ns", "window" },
        { "capacity.xml", "urn:corral:1", "urn:other:1" },
    };

    for (gsize i = 0; i < G_N_ELEMENTS (changes); i++) {
        g_autofree char *text = read_example (changes[i][0]);
        g_autoptr (GString) broken = g_string_new (text);
        g_autofree char *fault = NULL;

        g_assert_cmpuint (g_string_replace (broken, changes[i][1], changes[i][2], 1), ==, 1);
        fault = plan_schema_fault (broken->str);
        if (fault == NULL)
            g_test_message ("%s: %s", changes[i][0], changes[i][1]);
        g_assert_nonnull (fault);
    }
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_test_add_data_func ("/plan-documents/plan", "plan.xml", test_example);
    g_test_add_data_func ("/plan-documents/explain", "explain.xml", test_example);
    g_test_add_data_func ("/plan-documents/drift", "drift.xml", test_example);
    g_test_add_data_func ("/plan-documents/capacity", "capacity.xml", test_example);
    g_test_add_func ("/plan-documents/broken", test_broken);
    return g_test_run ();
}
