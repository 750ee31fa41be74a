/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mount tables that are unlike most. */
#include "tests/unit/container/fake-kernel.h"

#include <fcntl.h>
#include <unistd.h>

/* Puts @text after the kernel's own lines, or before them. */
static void
add_mounts (FakeKernel *kernel, const char *text, gboolean after)
{
    g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", fake_kernel_root (kernel));
    g_autofree char *root = g_file_read_link (link, NULL);
    g_autofree char *path = g_build_filename (root, "proc/self/mountinfo", NULL);
    g_autofree char *old = NULL, *both = NULL;
    g_autoptr (GError) error = NULL;

    g_file_get_contents (path, &old, NULL, &error);
    g_assert_no_error (error);
    both = g_strconcat (after ? old : text, after ? text : old, NULL);
    g_file_set_contents (path, both, -1, &error);
    g_assert_no_error (error);
}

static void
assert_backend (FakeKernel *kernel, const char *backend)
{
    g_autoptr (GError) error = NULL;
    g_autoptr (CorralContainerCore) core =
        corral_container_core_open (fake_kernel_root (kernel), &error);

    g_assert_no_error (error);
    g_assert_cmpstr (corral_container_core_backend (core), ==, backend);
}

/* A host of many containers: each has some mounts, with long lists of layers. */
static void
test_many (gconstpointer kind)
{
    static const char *const backends[] = { "v2", "v1", "hybrid" };
    g_autoptr (FakeKernel) kernel = fake_kernel_new ((FakeKind) GPOINTER_TO_INT (kind), "0-3");
    g_autoptr (GString) mounts = g_string_new (NULL);

    for (int i = 0; i < 20000; i++)
        g_string_append_printf (mounts,
                                "%d 20 0:%d / /var/lib/docker/overlay2/%064d/merged rw,relatime "
                                "shared:%d - overlay overlay rw,lowerdir=/var/lib/docker/l/%026d\n",
                                1000 + i, 100 + i, i, i, i);
    add_mounts (kernel, mounts->str, FALSE);
    assert_backend (kernel, backends[GPOINTER_TO_INT (kind)]);
    add_mounts (kernel, mounts->str, TRUE);
    assert_backend (kernel, backends[GPOINTER_TO_INT (kind)]);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_test_add_data_func ("/mounts/many/v2", GINT_TO_POINTER (FAKE_V2), test_many);
    g_test_add_data_func ("/mounts/many/v1", GINT_TO_POINTER (FAKE_V1), test_many);
    g_test_add_data_func ("/mounts/many/hybrid", GINT_TO_POINTER (FAKE_HYBRID), test_many);
    return g_test_run ();
}
