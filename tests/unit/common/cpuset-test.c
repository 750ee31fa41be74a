/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/corral-cpuset.h"
#include "common/corral-error.h"

static void
test_round_trip (void)
{
    static const char *const lists[][2] = {
        { "", "" },      { "0", "0" },           { "0-3,8", "0-3,8" }, { "3,2,1", "1-3" },
        { " 5\n", "5" }, { "0-8191", "0-8191" }, { "7-7", "7" },       { "63-64", "63-64" },
        { "08-8", "8" }, { "010", "10" },
    };

    for (gsize i = 0; i < G_N_ELEMENTS (lists); i++) {
        g_autoptr (CorralCpuset) set = NULL;
        g_autoptr (GError) error = NULL;
        g_autofree char *text = NULL;

        g_assert_true (corral_cpuset_parse (lists[i][0], &set, &error));
        g_assert_no_error (error);
        text = corral_cpuset_format (set);
        g_assert_cmpstr (text, ==, lists[i][1]);
    }
}

static void
test_refused (void)
{
    static const char *const lists[] = {
        "-",
        "a",
        "1-",
        "-1",
        "1,,2",
        "1,",
        ",1",
        "3-1",
        "0x3",
        "1 2",
        "8192",
        "0-8192",
        "99999999999999999999",
        "1-2-3",
        "0:2",
        "\xff",
    };

    for (gsize i = 0; i < G_N_ELEMENTS (lists); i++) {
        g_autoptr (CorralCpuset) set = NULL;
        g_autoptr (GError) error = NULL;

        g_assert_false (corral_cpuset_parse (lists[i], &set, &error));
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
        g_assert_null (set);
    }
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_test_add_func ("/common/cpuset/round-trip", test_round_trip);
    g_test_add_func ("/common/cpuset/refused", test_refused);
    return g_test_run ();
}
