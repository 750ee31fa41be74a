/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /etc/corral/host.xml, and what a VM wishes in its own document. What is accepted must mean the
 * same after a round trip, and keep to the bounds that the planner counts on. */
#include "policy/corral-definition.h"
#include "policy/corral-host.h"

#include <string.h>

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

static void
check_placement (const CorralPlacement *placement)
{
    g_assert_cmpuint (placement->smt, <=, CORRAL_SMT_AVOID);
    g_assert_cmpuint (placement->numa, <=, CORRAL_NUMA_ANY);
    g_assert_cmpuint (placement->emulator, <=, CORRAL_EMULATOR_CONTAINER);
    g_assert_cmpuint (placement->exclusive, <=, CORRAL_EXCLUSIVE_ISOLATED);
    g_assert_cmpuint (placement->overcommit, >=, CORRAL_OVERCOMMIT_MIN);
    g_assert_cmpuint (placement->overcommit, <=, CORRAL_OVERCOMMIT_MAX);
}

static void
check_host (const CorralHost *host)
{
    g_autofree char *first = corral_host_format (host);
    g_autofree char *second = NULL;
    g_autoptr (CorralHost) again = NULL;
    g_autoptr (GError) error = NULL;

    check_placement (&host->defaults);
    g_assert_cmpint (host->defaults.mode, ==, CORRAL_MODE_NONE);
    if (!corral_host_parse (first, strlen (first), &again, &error))
        g_error ("our own document is refused: %s\n%s", error->message, first);
    second = corral_host_format (again);
    g_assert_cmpstr (first, ==, second);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
    const char *xml = (const char *) data;
    g_autoptr (CorralHost) host = NULL;
    g_autoptr (GError) host_error = NULL;
    g_autoptr (GError) vm_error = NULL;
    CorralPlacement wish;
    guint wishes, now, max;

    if (corral_host_parse (xml, size, &host, &host_error))
        check_host (host);
    else
        g_assert_true (g_utf8_validate (host_error->message, -1, NULL));

    if (corral_vm_wishes_parse (xml, size, &wish, &wishes, &now, &max, &vm_error)) {
        check_placement (&wish);
        g_assert_cmpint (wish.mode, ==, CORRAL_MODE_NONE);
        g_assert_cmpuint (wishes, <=, CORRAL_WISH_SMT | CORRAL_WISH_NUMA | CORRAL_WISH_EMULATOR);
        g_assert_true (now >= 1 && now <= max && max <= CORRAL_VCPUS_MAX);
    } else
        g_assert_true (g_utf8_validate (vm_error->message, -1, NULL));
    return 0;
}
