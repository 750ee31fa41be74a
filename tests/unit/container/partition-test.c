/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Containers whose pCPUs are nobody else's, on a real kernel with cgroup v2; elsewhere it is said
 * that there are none. */
#include "tests/unit/container/host.h"

#include <string.h>

static void
create (Host *host, const char *path, const char *list)
{
    g_autoptr (CorralCpuset) set = list != NULL ? host_set (list) : NULL;
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_container_create (host->core, path, set, NULL, &error));
    g_assert_no_error (error);
}

static char *
state_of (Host *host, const char *path)
{
    CorralContainerPartition partition;
    g_autoptr (GError) error = NULL;
    char *fault;

    g_assert_true (corral_container_get_partition (host->core, path, &partition, &fault, &error));
    g_assert_no_error (error);
    if (fault == NULL)
        fault = g_strdup (partition == CORRAL_PARTITION_MEMBER ? "member" : "valid");
    return fault;
}

static void
assert_state (Host *host, const char *path, const char *expected)
{
    g_autofree char *state = state_of (host, path);

    g_assert_cmpstr (state, ==, expected);
}

static gboolean
set (Host *host, const char *path, CorralContainerPartition partition, GError **error)
{
    return corral_container_set_partition (host->core, path, partition, error);
}

/* /TEST/a, whose parents are no partitions, and its neighbour. */
static void
test_partition (void)
{
    g_autoptr (Host) host = host_new (HOST_REAL);
    g_autofree char *a = NULL, *b = NULL, *one = NULL, *before = NULL, *after = NULL;
    g_autofree char *dir = NULL, *exclusive = NULL;
    g_autoptr (CorralCpuset) cpus = NULL;
    g_autoptr (GError) error = NULL;

    if (host == NULL)
        return;
    if ((corral_container_core_features (host->core) & CORRAL_FEATURE_PARTITION) == 0) {
        g_test_skip ("no cpuset partitions: cgroup v2 is needed");
        return;
    }
    a = host_path (host, "a");
    b = host_path (host, "b");
    one = host_one (host->cpu[1]);
    create (host, a, one);
    create (host, b, NULL);
    before = host_snapshot (host);
    assert_state (host, a, "member");
    g_assert_true (set (host, a, CORRAL_PARTITION_ROOT, &error));
    g_assert_no_error (error);
    dir = host_dir (host, "a");
    exclusive = corral_dir_file (dir, "cpuset.cpus.exclusive");
    if (!corral_io_exists (host->core->cpuset->tree.fd, exclusive)) {
        assert_state (host, a, "Parent is not a partition root");
        g_test_skip ("before Linux 6.7 only a partition can have partitions");
        return;
    }
    assert_state (host, a, "valid");
    g_assert_true (corral_container_get_cpuset (host->core, b, &cpus, NULL, &error));
    g_assert_false (hwloc_bitmap_isset (cpus, host->cpu[1]));
    g_clear_pointer (&cpus, hwloc_bitmap_free);
    g_assert_true (set (host, a, CORRAL_PARTITION_ISOLATED, &error));
    g_assert_no_error (error);
    assert_state (host, a, "valid");
    g_assert_true (set (host, a, CORRAL_PARTITION_MEMBER, &error));
    g_assert_no_error (error);
    assert_state (host, a, "member");
    g_assert_true (corral_container_get_cpuset (host->core, b, &cpus, NULL, &error));
    g_assert_true (hwloc_bitmap_isset (cpus, host->cpu[1]));
    after = host_snapshot (host);
    g_assert_cmpstr (before, ==, after);
    g_assert_true (corral_container_destroy (host->core, a, &error));
    g_assert_no_error (error);
}

/* A partition that a neighbour is in the way of: the kernel's reason is read. */
static void
test_invalid (void)
{
    g_autoptr (Host) host = host_new (HOST_REAL);
    g_autofree char *a = NULL, *b = NULL, *one = NULL, *state = NULL, *before = NULL, *after = NULL;
    g_autoptr (GError) error = NULL;

    if (host == NULL)
        return;
    if ((corral_container_core_features (host->core) & CORRAL_FEATURE_PARTITION) == 0) {
        g_test_skip ("no cpuset partitions: cgroup v2 is needed");
        return;
    }
    a = host_path (host, "a");
    b = host_path (host, "b");
    one = host_one (host->cpu[1]);
    create (host, a, one);
    create (host, b, one);
    before = host_snapshot (host);
    /* Older kernels take the write, and call the partition invalid; newer ones refuse it. */
    if (set (host, a, CORRAL_PARTITION_ROOT, &error)) {
        state = state_of (host, a);
        g_test_message ("%s", state);
        g_assert_cmpstr (state, !=, "valid");
    } else {
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_IO);
        assert_state (host, a, "member");
        after = host_snapshot (host);
        g_assert_cmpstr (before, ==, after);
    }
}

static void
test_v1 (void)
{
    g_autoptr (Host) host = host_new (HOST_FAKE_V1);
    g_autofree char *a = host_path (host, "a");
    g_autoptr (GError) error = NULL;

    create (host, a, NULL);
    assert_state (host, a, "member");
    g_assert_false (set (host, a, CORRAL_PARTITION_ROOT, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_test_add_func ("/partition/kernel/life", test_partition);
    g_test_add_func ("/partition/kernel/invalid", test_invalid);
    g_test_add_func ("/partition/v1", test_v1);
    return g_test_run ();
}
