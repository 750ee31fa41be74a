/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Containers whose pCPUs are nobody else's by the kernel's own word: cpuset partitions of cgroup
 * v2. Source: the kernel's Documentation/admin-guide/cgroup-v2.rst.
 *
 * A partition's parent has to be one, too, unless the kernel (6.7 and later) knows
 * cpuset.cpus.exclusive: then it is enough that its pCPUs are in that file of each directory above.
 */
#include "vmm-agent/container/container-private.h"

#include <errno.h>
#include <string.h>

#define TYPE "cpuset.cpus.partition"
#define EXCLUSIVE "cpuset.cpus.exclusive"

static const char *const names[] = { "member", "root", "isolated" };

static gboolean
has_file (CorralContainerCore *core, const char *dir, const char *file)
{
    g_autofree char *path = corral_dir_file (dir, file);

    return corral_io_exists (core->cpuset->tree.fd, path);
}

static gboolean
find (CorralContainerCore *core, const char *path, char **ret_dir, GError **error)
{
    g_autofree char *dir = NULL;

    if (!corral_container_path_to_dir (path, &dir, error))
        return FALSE;
    if (core->cpuset == NULL || core->cpuset->version != 2) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED,
                     "the container \"%s\" cannot be a partition: only cgroup v2 has them", path);
        return FALSE;
    }
    if (!has_file (core, dir, TYPE)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED,
                     "the container \"%s\" cannot be a partition: it has no file \"%s\"", path,
                     TYPE);
        return FALSE;
    }
    *ret_dir = g_steal_pointer (&dir);
    return TRUE;
}

/* What the directories in @dir have to themselves, all together. */
static CorralCpuset *
sum_of_children (CorralContainerCore *core, const char *dir)
{
    CorralCpuset *sum = hwloc_bitmap_alloc ();
    g_autoptr (GPtrArray) children = NULL;

    if (corral_io_list (core->cpuset->tree.fd, dir, &children) != 0)
        return sum;
    for (guint i = 0; i < children->len; i++) {
        g_autofree char *child = corral_dir_file (dir, g_ptr_array_index (children, i));
        g_autoptr (CorralCpuset) set = NULL;

        if (corral_cpuset_read_file (core->cpuset, child, EXCLUSIVE, &set) == 0)
            hwloc_bitmap_or (sum, sum, set);
    }
    return sum;
}

static gboolean
write_set (CorralContainerCore *core, const char *dir, const CorralCpuset *set, CorralUndo *undo,
           GError **error)
{
    g_autofree char *list = corral_cpuset_format (set);

    return corral_step_write (core, core->cpuset, dir, EXCLUSIVE, list, undo, error);
}

/* From the top down @dir and all above it have @set, too. */
static gboolean
claim (CorralContainerCore *core, const char *dir, const CorralCpuset *set, CorralUndo *undo,
       GError **error)
{
    g_autofree char *parent = corral_container_dir_parent (dir);
    g_autoptr (CorralCpuset) both = NULL;

    if (*dir == '\0')
        return TRUE;
    if (!claim (core, parent, set, undo, error))
        return FALSE;
    both = sum_of_children (core, dir);
    hwloc_bitmap_or (both, both, set);
    return write_set (core, dir, both, undo, error);
}

/* From @dir up each has what its children have, and no more. */
static gboolean
give_back (CorralContainerCore *core, const char *dir, CorralUndo *undo, GError **error)
{
    g_autofree char *at = g_strdup (dir);

    while (*at != '\0') {
        g_autoptr (CorralCpuset) sum = sum_of_children (core, at);
        char *parent = corral_container_dir_parent (at);

        if (!write_set (core, at, sum, undo, error)) {
            g_free (parent);
            return FALSE;
        }
        g_free (at);
        at = parent;
    }
    return TRUE;
}

/* What is above it is a partition, as far as that goes: the top always is. */
static gboolean
parent_is_partition (CorralContainerCore *core, const char *dir)
{
    g_autofree char *parent = corral_container_dir_parent (dir);
    g_autofree char *path = corral_dir_file (parent, TYPE);
    g_autofree char *text = NULL;

    if (*parent == '\0')
        return TRUE;
    return corral_io_read (core->cpuset->tree.fd, path, &text) == 0 &&
           (g_str_equal (text, "root") || g_str_equal (text, "isolated"));
}

static gboolean
set_steps (CorralContainerCore *core, const char *dir, CorralContainerPartition partition,
           CorralUndo *undo, GError **error)
{
    g_autofree char *path = corral_dir_file (dir, TYPE), *old = NULL;
    g_autoptr (CorralCpuset) cpus = NULL;
    gboolean remote = has_file (core, dir, EXCLUSIVE) && !parent_is_partition (core, dir);
    int err = corral_io_read (core->cpuset->tree.fd, path, &old);

    if (err == 0)
        err = corral_cpuset_read_file (core->cpuset, dir, "cpuset.cpus", &cpus);
    if (err != 0)
        return corral_io_fail (error, err, "cannot read \"%s/%s\"", core->cpuset->tree.mount, path);
    /* "root invalid (reason)" is written back as what it was asked to be. */
    old[strcspn (old, " ")] = '\0';
    if (remote && partition != CORRAL_PARTITION_MEMBER && !claim (core, dir, cpus, undo, error))
        return FALSE;
    if (!corral_step_write_back (core, core->cpuset, dir, TYPE, names[partition], old, undo, error))
        return FALSE;
    return partition != CORRAL_PARTITION_MEMBER || !has_file (core, dir, EXCLUSIVE) ||
           give_back (core, dir, undo, error);
}

gboolean
corral_container_set_partition (CorralContainerCore *core, const char *path,
                                CorralContainerPartition partition, GError **error)
{
    g_autoptr (CorralUndo) undo = corral_undo_new ();
    CorralContainerPartition now;
    g_autofree char *dir = NULL;

    if (!find (core, path, &dir, error) ||
        !corral_container_get_partition (core, path, &now, NULL, error))
        return FALSE;
    if (now == partition && partition == CORRAL_PARTITION_MEMBER)
        return TRUE;
    if (set_steps (core, dir, partition, undo, error))
        return corral_container_done (core, undo);
    g_prefix_error (error, "cannot make the container \"%s\" %s: ", path,
                    partition == CORRAL_PARTITION_MEMBER ? "share its pCPUs again" : "a partition");
    return corral_undo_run (undo, error);
}

gboolean
corral_container_get_partition (CorralContainerCore *core, const char *path,
                                CorralContainerPartition *ret_partition, char **ret_fault,
                                GError **error)
{
    g_autofree char *dir = NULL, *file = NULL, *text = NULL;
    const char *reason;
    int err;

    if (ret_fault != NULL)
        *ret_fault = NULL;
    *ret_partition = CORRAL_PARTITION_MEMBER;
    if (!corral_container_path_to_dir (path, &dir, error))
        return FALSE;
    if (core->cpuset == NULL || core->cpuset->version != 2 || !has_file (core, dir, TYPE))
        return TRUE;
    file = corral_dir_file (dir, TYPE);
    err = corral_io_read (core->cpuset->tree.fd, file, &text);
    if (err != 0)
        return corral_io_fail (error, err, "cannot read \"%s/%s\"", core->cpuset->tree.mount, file);
    if (g_str_has_prefix (text, "root"))
        *ret_partition = CORRAL_PARTITION_ROOT;
    else if (g_str_has_prefix (text, "isolated"))
        *ret_partition = CORRAL_PARTITION_ISOLATED;
    reason = strchr (text, '(');
    if (ret_fault != NULL && strstr (text, " invalid") != NULL) {
        *ret_fault = g_strdup (reason != NULL ? reason + 1 : "the kernel gives no reason");
        if (g_str_has_suffix (*ret_fault, ")"))
            (*ret_fault)[strlen (*ret_fault) - 1] = '\0';
    }
    return TRUE;
}
