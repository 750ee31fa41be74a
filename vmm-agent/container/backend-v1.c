/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The hierarchies of their own, one for each controller. Source: the kernel's
 * Documentation/admin-guide/cgroup-v1/cpusets.rst and Documentation/scheduler/sched-bwc.rst. */
#include "vmm-agent/container/container-private.h"

#include <errno.h>
#include <string.h>

#define WALK_DEPTH 64

/* What a container was given, as the unified interface's own files keep it: these here hold only
 * what is granted, and a parent that was narrow for a while would else have taken it away for good.
 */
#define WISHED_CPUS CORRAL_IO_NOTE "cpus"
#define WISHED_MEMS CORRAL_IO_NOTE "mems"

/* A cpuset without CPUs or nodes takes no thread, so a new one gets its parent's. */
static gboolean
fill_in (CorralContainerCore *core, CorralHierarchy *h, const char *dir, const char *file,
         CorralUndo *undo, GError **error)
{
    g_autofree char *parent = corral_container_dir_parent (dir);
    g_autofree char *mine = corral_dir_file (dir, file);
    g_autofree char *above = corral_dir_file (parent, file);
    g_autofree char *text = NULL;
    int err = corral_io_read (h->tree.fd, mine, &text);

    if (err == 0 && *text != '\0')
        return TRUE;
    g_clear_pointer (&text, g_free);
    if (err == 0)
        err = corral_io_read (h->tree.fd, above, &text);
    if (err != 0)
        return corral_io_fail (error, err, "cannot read \"%s\" of \"%s/%s\" and its parent", file,
                               h->tree.mount, dir);
    return corral_step_write_back (core, h, dir, file, text, "", undo, error);
}

static gboolean
v1_prepare (CorralContainerCore *core, CorralHierarchy *h, const char *dir, CorralUndo *undo,
            GError **error)
{
    return (h->controllers & CORRAL_CONTROLLER_CPUSET) == 0 ||
           (fill_in (core, h, dir, "cpuset.mems", undo, error) &&
            fill_in (core, h, dir, "cpuset.cpus", undo, error));
}

static gboolean
is_filled (CorralHierarchy *h, const char *dir, const char *file)
{
    g_autofree char *path = corral_dir_file (dir, file);
    g_autofree char *text = NULL;

    return corral_io_read (h->tree.fd, path, &text) == 0 && *text != '\0';
}

static gboolean
v1_is_prepared (CorralContainerCore *core, CorralHierarchy *h, const char *dir)
{
    return (h->controllers & CORRAL_CONTROLLER_CPUSET) == 0 ||
           (is_filled (h, dir, "cpuset.cpus") && is_filled (h, dir, "cpuset.mems"));
}

/* --- cpuset: a child must stay within its parent at every moment --- */

typedef struct {
    char *dir;
    CorralCpuset *old, *target;
} Node;

static void
node_free (gpointer data)
{
    Node *node = data;

    g_free (node->dir);
    hwloc_bitmap_free (node->old);
    hwloc_bitmap_free (node->target);
    g_free (node);
}

/* What becomes of a child when its parent's set changes. One that was given a set has as much of it
 * as the parent grants; any other follows a parent that it was equal to, else keeps what it can.
 * Both have all of the parent's if that is nothing. */
static CorralCpuset *
child_target (const CorralCpuset *old, const CorralCpuset *wished, const CorralCpuset *parent_old,
              const CorralCpuset *parent_new)
{
    CorralCpuset *target = hwloc_bitmap_dup (wished != NULL ? wished : old);

    if (hwloc_bitmap_iszero (old))
        return target;
    hwloc_bitmap_and (target, target, parent_new);
    if ((wished == NULL && hwloc_bitmap_isequal (old, parent_old)) || hwloc_bitmap_iszero (target))
        hwloc_bitmap_copy (target, parent_new);
    return target;
}

/* (nullable): what the directory was given, if it was */
static CorralCpuset *
read_wish (CorralHierarchy *h, const char *dir, const char *note)
{
    CorralCpuset *wished = NULL;

    if (corral_cpuset_read_file (h, dir, note, &wished) == 0 && hwloc_bitmap_iszero (wished))
        g_clear_pointer (&wished, hwloc_bitmap_free);
    return wished;
}

/* Appends @dir and all beneath it, parents first. */
static int
collect (CorralHierarchy *h, const char *file, const char *note, const char *dir,
         const Node *parent, const CorralCpuset *wanted, guint depth, GPtrArray *nodes)
{
    g_autoptr (GPtrArray) names = NULL;
    g_autoptr (CorralCpuset) wished = NULL;
    Node *node = g_new0 (Node, 1);
    int err;

    node->dir = g_strdup (dir);
    err = corral_cpuset_read_file (h, dir, file, &node->old);
    if (err != 0) {
        node_free (node);
        /* A child may have been removed meanwhile. */
        return parent != NULL && (err == ENOENT || err == ENODEV) ? 0 : err;
    }
    wished = parent != NULL ? read_wish (h, dir, note) : NULL;
    node->target = parent != NULL ? child_target (node->old, wished, parent->old, parent->target)
                                  : hwloc_bitmap_dup (wanted);
    g_ptr_array_add (nodes, node);
    if (depth == 0)
        return ELOOP;
    err = corral_io_list (h->tree.fd, dir, &names);
    for (guint i = 0; err == 0 && i < names->len; i++) {
        g_autofree char *child = corral_dir_file (dir, g_ptr_array_index (names, i));

        err = collect (h, file, note, child, node, NULL, depth - 1, nodes);
    }
    return err == ENOENT || err == ENODEV ? 0 : err;
}

static gboolean
write_node (CorralContainerCore *core, CorralHierarchy *h, const Node *node, const char *file,
            const CorralCpuset *set, CorralUndo *undo, GError **error)
{
    g_autofree char *list = corral_cpuset_format (set);

    return corral_step_write (core, h, node->dir, file, list, undo, error);
}

static gboolean
write_tree (CorralContainerCore *core, CorralHierarchy *h, const char *dir, const char *file,
            const char *note, const CorralCpuset *wanted, CorralUndo *undo, GError **error)
{
    g_autoptr (GPtrArray) nodes = g_ptr_array_new_with_free_func (node_free);
    g_autoptr (CorralCpuset) both = hwloc_bitmap_alloc ();
    g_autofree char *list = NULL;
    int err;

    if (wanted == NULL)
        return TRUE;
    err = collect (h, file, note, dir, NULL, wanted, WALK_DEPTH, nodes);
    if (err != 0)
        return corral_io_fail (error, err, "cannot read the cpusets in \"%s/%s\"", h->tree.mount,
                               dir);
    /* Down the tree, wide enough for the old and the new; up again, to the new alone. */
    for (guint i = 0; i < nodes->len; i++) {
        const Node *node = g_ptr_array_index (nodes, i);

        hwloc_bitmap_or (both, node->old, node->target);
        if (!hwloc_bitmap_isequal (both, node->old) &&
            !write_node (core, h, node, file, both, undo, error))
            return FALSE;
    }
    for (guint i = nodes->len; i > 0; i--) {
        const Node *node = g_ptr_array_index (nodes, i - 1);

        if (!hwloc_bitmap_iszero (node->target) &&
            !write_node (core, h, node, file, node->target, undo, error))
            return FALSE;
    }
    list = corral_cpuset_format (wanted);
    return corral_step_write (core, h, dir, note, list, undo, error);
}

static gboolean
v1_write_cpuset (CorralContainerCore *core, CorralHierarchy *h, const char *dir,
                 const CorralCpuset *cpus, const CorralCpuset *mems, CorralUndo *undo,
                 GError **error)
{
    return write_tree (core, h, dir, "cpuset.mems", WISHED_MEMS, mems, undo, error) &&
           write_tree (core, h, dir, "cpuset.cpus", WISHED_CPUS, cpus, undo, error);
}

/* --- weight and cap --- */

static gboolean
read_number (CorralHierarchy *h, const char *dir, const char *file, gint64 *ret_value,
             GError **error)
{
    g_autofree char *path = corral_dir_file (dir, file);
    g_autofree char *text = NULL;
    int err = corral_io_read (h->tree.fd, path, &text);

    if (err == 0 && !g_ascii_string_to_signed (text, 10, G_MININT64, G_MAXINT64, ret_value, NULL))
        err = EILSEQ;
    return err == 0 || corral_io_fail (error, err, "cannot read \"%s/%s\"", h->tree.mount, path);
}

static gboolean
write_number (CorralContainerCore *core, CorralHierarchy *h, const char *dir, const char *file,
              gint64 value, CorralUndo *undo, GError **error)
{
    g_autofree char *text = g_strdup_printf ("%" G_GINT64_FORMAT, value);

    return corral_step_write (core, h, dir, file, text, undo, error);
}

static gboolean
v1_read_weight (CorralContainerCore *core, CorralHierarchy *h, const char *dir, guint64 *ret_shares,
                GError **error)
{
    gint64 shares;

    if (!read_number (h, dir, "cpu.shares", &shares, error))
        return FALSE;
    *ret_shares = (guint64) shares;
    return TRUE;
}

static gboolean
v1_write_weight (CorralContainerCore *core, CorralHierarchy *h, const char *dir, guint64 shares,
                 CorralUndo *undo, GError **error)
{
    guint64 granted;

    if (!write_number (core, h, dir, "cpu.shares", (gint64) shares, undo, error) ||
        !v1_read_weight (core, h, dir, &granted, error))
        return FALSE;
    if (granted == shares)
        return TRUE;
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_PARTIAL,
                 "the kernel granted %" G_GUINT64_FORMAT " shares", granted);
    return FALSE;
}

static gboolean
v1_read_cap (CorralContainerCore *core, CorralHierarchy *h, const char *dir,
             CorralContainerCap *ret_cap, GError **error)
{
    CorralContainerCap cap = { 0 };

    if (!read_number (h, dir, "cpu.cfs_quota_us", &cap.quota_usec, error) ||
        !read_number (h, dir, "cpu.cfs_period_us", &cap.period_usec, error) ||
        !(((core->features & CORRAL_FEATURE_BURST) == 0) ||
          read_number (h, dir, "cpu.cfs_burst_us", &cap.burst_usec, error)))
        return FALSE;
    *ret_cap = cap;
    return TRUE;
}

/* A burst may never be larger than its quota, and a quota's share of its period never larger than
 * the parent's; so with a new period the quota is off while that is written. */
static gboolean
v1_write_cap (CorralContainerCore *core, CorralHierarchy *h, const char *dir,
              const CorralContainerCap *cap, CorralUndo *undo, GError **error)
{
    CorralContainerCap old;

    if (!v1_read_cap (core, h, dir, &old, error))
        return FALSE;
    return (old.burst_usec == 0 || old.burst_usec == cap->burst_usec ||
            write_number (core, h, dir, "cpu.cfs_burst_us", 0, undo, error)) &&
           (old.period_usec == cap->period_usec ||
            (write_number (core, h, dir, "cpu.cfs_quota_us", -1, undo, error) &&
             write_number (core, h, dir, "cpu.cfs_period_us", cap->period_usec, undo, error))) &&
           write_number (core, h, dir, "cpu.cfs_quota_us", cap->quota_usec, undo, error) &&
           ((core->features & CORRAL_FEATURE_BURST) == 0 ||
            write_number (core, h, dir, "cpu.cfs_burst_us", cap->burst_usec, undo, error));
}

static const char *const settings[] = { "cpuset.mems",       "cpuset.cpus",      "cpu.shares",
                                        "cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.cfs_burst_us",
                                        WISHED_CPUS,         WISHED_MEMS,        NULL };

const CorralBackend corral_backend_v1 = {
    .threads_file = "tasks",
    .usage_file = "cpuacct.usage",
    .cpus_file = "cpuset.cpus",
    .mems_file = "cpuset.mems",
    .effective_cpus_file = "cpuset.effective_cpus",
    .effective_mems_file = "cpuset.effective_mems",
    .prepare = v1_prepare,
    .is_prepared = v1_is_prepared,
    .write_cpuset = v1_write_cpuset,
    .write_weight = v1_write_weight,
    .read_weight = v1_read_weight,
    .write_cap = v1_write_cap,
    .read_cap = v1_read_cap,
    .settings = settings,
};
