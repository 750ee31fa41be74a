/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/driver/corral-driver-private.h"

static void
test_codes (void)
{
    static const struct {
        int code;
        int expected;
        const char *message;
    } cases[] = {
        { CORRAL_ERROR_FAILED, VIR_ERR_OPERATION_FAILED, "operation failed: x" },
        { CORRAL_ERROR_INVALID, VIR_ERR_INVALID_ARG, "invalid argument: x" },
        { CORRAL_ERROR_NOT_FOUND, VIR_ERR_NO_DOMAIN, "Domain not found: x" },
        { CORRAL_ERROR_EXISTS, VIR_ERR_OPERATION_FAILED, "operation failed: x" },
        { CORRAL_ERROR_STATE, VIR_ERR_OPERATION_INVALID, "Requested operation is not valid: x" },
        { CORRAL_ERROR_BUSY, VIR_ERR_RESOURCE_BUSY, "resource busy: x" },
        { CORRAL_ERROR_UNSUPPORTED, VIR_ERR_OPERATION_UNSUPPORTED, "Operation not supported: x" },
        { CORRAL_ERROR_XML, VIR_ERR_XML_ERROR, "XML error: x" },
        { CORRAL_ERROR_PARTIAL, VIR_ERR_OPERATION_FAILED, "operation failed: x" },
        { CORRAL_ERROR_IO, VIR_ERR_SYSTEM_ERROR, "x" },
        { CORRAL_ERROR_DENIED, VIR_ERR_OPERATION_DENIED, "operation forbidden: x" },
        { CORRAL_ERROR_REFUSED, VIR_ERR_RESOURCE_BUSY, "resource busy: x" },
    };

    /* Every code has a row of its own. */
    g_assert_cmpint (G_N_ELEMENTS (cases), ==, CORRAL_ERROR_REFUSED + 1);
    for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
        g_autoptr (GError) error = g_error_new_literal (CORRAL_ERROR, cases[i].code, "x");
        int code = 0, domain = VIR_FROM_DOMAIN;

        g_assert_cmpint (cases[i].code, ==, (int) i);
        corral_driver_map_error (error, &code, &domain, NULL);
        g_assert_cmpint (code, ==, cases[i].expected);
        g_assert_cmpint (domain, !=, VIR_FROM_NONE);
        corral_driver_dress_error (error);
        g_assert_cmpstr (error->message, ==, cases[i].message);
    }
}

static void
test_others (void)
{
    g_autoptr (GError) foreign = g_error_new_literal (G_FILE_ERROR, G_FILE_ERROR_NOENT, "gone");
    g_autoptr (GError) own = NULL;
    int code = 0, domain = VIR_FROM_DOMAIN;

    corral_driver_map_error (foreign, &code, &domain, NULL);
    g_assert_cmpint (code, ==, VIR_ERR_INTERNAL_ERROR);
    g_assert_cmpint (domain, ==, VIR_FROM_DOMAIN);
    corral_driver_dress_error (foreign);
    g_assert_cmpstr (foreign->message, ==, "internal error: gone");

    corral_driver_error (&own, VIR_ERR_NO_DOMAIN_METADATA, "no %s", "title");
    corral_driver_map_error (own, &code, &domain, NULL);
    g_assert_cmpint (code, ==, VIR_ERR_NO_DOMAIN_METADATA);
    corral_driver_dress_error (own);
    g_assert_cmpstr (own->message, ==, "metadata not found: no title");
}

static void
test_cpumaps (void)
{
    static const char *const lists[] = { "", "0", "7", "8", "0-3,9,15", "0-63" };

    for (gsize i = 0; i < G_N_ELEMENTS (lists); i++) {
        g_autoptr (CorralCpuset) set = NULL;
        g_autoptr (CorralCpuset) back = NULL;
        g_autoptr (GError) error = NULL;
        guint8 map[8] = { 0 };

        g_assert_true (corral_cpuset_parse (lists[i], &set, &error));
        corral_driver_cpumap_fill (set, map, sizeof map);
        back = corral_driver_cpumap_read (map, sizeof map);
        g_assert_true (hwloc_bitmap_isequal (set, back));
        g_assert_cmpint (map[0] & 1, ==, hwloc_bitmap_isset (set, 0));
    }
}

/* A map too short for the set is filled as far as it goes; and no further. */
static void
test_short_cpumap (void)
{
    g_autoptr (CorralCpuset) set = NULL;
    g_autoptr (GError) error = NULL;
    guint8 map[2] = { 0 };

    g_assert_true (corral_cpuset_parse ("1,8-20,8191", &set, &error));
    corral_driver_cpumap_fill (set, map, 1);
    g_assert_cmpint (map[0], ==, 2);
    g_assert_cmpint (map[1], ==, 0);
    corral_driver_cpumap_fill (set, map, 0);
}

/* What is beyond all that a container can have is not passed over. */
static void
test_long_cpumap (void)
{
    g_autofree guint8 *map = g_malloc0 (CORRAL_WIRE_CPUMAP_MAX);
    g_autoptr (CorralCpuset) set = NULL;

    map[0] = 1;
    map[CORRAL_WIRE_CPUMAP_MAX - 1] = 0x80;
    set = corral_driver_cpumap_read (map, CORRAL_WIRE_CPUMAP_MAX);
    g_assert_cmpint (hwloc_bitmap_weight (set), ==, 2);
    g_assert_cmpint (hwloc_bitmap_last (set), ==, CORRAL_WIRE_CPUMAP_MAX * 8 - 1);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_test_add_func ("/driver/error/codes", test_codes);
    g_test_add_func ("/driver/error/others", test_others);
    g_test_add_func ("/driver/cpumap/round-trip", test_cpumaps);
    g_test_add_func ("/driver/cpumap/short", test_short_cpumap);
    g_test_add_func ("/driver/cpumap/long", test_long_cpumap);
    return g_test_run ();
}
