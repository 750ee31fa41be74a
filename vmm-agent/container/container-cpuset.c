/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm-agent/container/container-threads.h"

#include <errno.h>

/* Containers, groups and their directories beneath one container: far more than can be made by
 * paths that the core accepts. */
#define WALK_DEPTH 64

int
corral_cpuset_read_file (CorralHierarchy *h, const char *dir, const char *file,
                         CorralCpuset **ret_set)
{
    g_autofree char *path = corral_dir_file (dir, file);
    g_autofree char *text = NULL;
    int err = corral_io_read (h->tree.fd, path, &text);

    if (err != 0)
        return err;
    return corral_cpuset_parse (text, ret_set, NULL) ? 0 : EILSEQ;
}

int
corral_cpuset_effective (CorralHierarchy *h, const char *dir, gboolean mems, CorralCpuset **ret_set)
{
    const CorralBackend *backend = corral_backend_of (h);
    int err =
        corral_cpuset_read_file (h, dir,
                                 mems ? backend->effective_mems_file : backend->effective_cpus_file,
                                 ret_set);

    /* v1 before Linux 3.17 has no file for what is in effect, and there it is what was set. */
    if (err == ENOENT && h->version == 1)
        err = corral_cpuset_read_file (h, dir, mems ? backend->mems_file : backend->cpus_file,
                                       ret_set);
    return err;
}

static gboolean
no_cpuset (GError **error)
{
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED,
                 "cannot work with cpusets: no cpuset controller is mounted on this host");
    return FALSE;
}

gboolean
corral_container_get_cpuset (CorralContainerCore *core, const char *path, CorralCpuset **ret_cpus,
                             CorralCpuset **ret_mems, GError **error)
{
    g_autoptr (CorralCpuset) cpus = NULL;
    g_autoptr (CorralCpuset) mems = NULL;
    g_autofree char *dir = NULL;
    int err;

    if (!corral_container_path_to_dir (path, &dir, error))
        return FALSE;
    if (core->cpuset == NULL)
        return no_cpuset (error);
    err = corral_cpuset_effective (core->cpuset, dir, FALSE, &cpus);
    if (err == 0)
        err = corral_cpuset_effective (core->cpuset, dir, TRUE, &mems);
    if (err != 0)
        return corral_io_fail (error, err, "cannot read the cpuset of the container \"%s\"", path);
    if (ret_cpus != NULL)
        *ret_cpus = g_steal_pointer (&cpus);
    if (ret_mems != NULL)
        *ret_mems = g_steal_pointer (&mems);
    return TRUE;
}

static gboolean
granted_less (GError **error, const char *path, gboolean mems, const CorralCpuset *wanted,
              const CorralCpuset *granted)
{
    g_autofree char *w = corral_cpuset_format (wanted);
    g_autofree char *g = corral_cpuset_format (granted);

    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_PARTIAL,
                 "of the %s \"%s\" asked for, the container \"%s\" can have only \"%s\", which its "
                 "parent and the host grant",
                 mems ? "memory nodes" : "CPUs", w, path, g);
    return FALSE;
}

/* Refuses at once what the parent cannot grant; nothing needs to be undone then. */
static gboolean
check_within_parent (CorralContainerCore *core, const char *path, const char *dir, gboolean mems,
                     const CorralCpuset *wanted, GError **error)
{
    g_autofree char *parent = corral_container_dir_parent (dir);
    g_autoptr (CorralCpuset) granted = NULL;
    int err;

    if (wanted == NULL)
        return TRUE;
    if (hwloc_bitmap_iszero (wanted) || hwloc_bitmap_last (wanted) < 0) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "cannot give the container \"%s\" an empty or unbounded set of %s", path,
                     mems ? "memory nodes" : "CPUs");
        return FALSE;
    }
    err = corral_cpuset_effective (core->cpuset, parent, mems, &granted);
    if (err != 0)
        return corral_io_fail (error, err, "cannot read the cpuset above the container \"%s\"",
                               path);
    if (hwloc_bitmap_isincluded (wanted, granted))
        return TRUE;
    hwloc_bitmap_and (granted, granted, wanted);
    return granted_less (error, path, mems, wanted, granted);
}

static gboolean
verify (CorralContainerCore *core, const char *path, const char *dir, gboolean mems,
        const CorralCpuset *wanted, GError **error)
{
    g_autoptr (CorralCpuset) granted = NULL;
    int err;

    if (wanted == NULL)
        return TRUE;
    err = corral_cpuset_effective (core->cpuset, dir, mems, &granted);
    if (err != 0)
        return corral_io_fail (error, err, "cannot read back the cpuset of \"%s\"", path);
    return hwloc_bitmap_isequal (wanted, granted) ||
           granted_less (error, path, mems, wanted, granted);
}

typedef gboolean (*ThreadFunc) (CorralContainerCore *core, GHashTable *before, pid_t tid,
                                const CorralCpuset *allowed, GError **error);

/* Calls @func for each thread in @dir and beneath it, with what its directory's cpuset grants. */
static gboolean
walk_threads (CorralContainerCore *core, const char *dir, guint depth, GHashTable *before,
              ThreadFunc func, GError **error)
{
    g_autoptr (GArray) tids = g_array_new (FALSE, FALSE, sizeof (pid_t));
    g_autoptr (GPtrArray) names = NULL;
    g_autoptr (CorralCpuset) allowed = NULL;

    (void) corral_dir_threads (core->cpuset, dir, tids);
    if (tids->len > 0 && corral_cpuset_effective (core->cpuset, dir, FALSE, &allowed) == 0)
        for (guint i = 0; i < tids->len; i++)
            if (!func (core, before, g_array_index (tids, pid_t, i), allowed, error))
                return FALSE;
    if (depth == 0 || corral_io_list (core->cpuset->tree.fd, dir, &names) != 0)
        return TRUE;
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *child = corral_dir_file (dir, g_ptr_array_index (names, i));

        if (!walk_threads (core, child, depth - 1, before, func, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
remember (CorralContainerCore *core, GHashTable *before, pid_t tid, const CorralCpuset *allowed,
          GError **error)
{
    corral_threads_remember (core, before, tid, allowed);
    return TRUE;
}

static gboolean
settle (CorralContainerCore *core, GHashTable *before, pid_t tid, const CorralCpuset *allowed,
        GError **error)
{
    return corral_thread_settle (core, tid, g_hash_table_lookup (before, GINT_TO_POINTER (tid)),
                                 allowed, NULL, error);
}

gboolean
corral_cpuset_apply (CorralContainerCore *core, const char *path, const char *dir,
                     const CorralCpuset *cpus, const CorralCpuset *mems, CorralUndo *undo,
                     GError **error)
{
    g_autoptr (GHashTable) before = corral_threads_before_new ();

    if (core->cpuset == NULL)
        return no_cpuset (error);
    if (!check_within_parent (core, path, dir, FALSE, cpus, error) ||
        !check_within_parent (core, path, dir, TRUE, mems, error) ||
        !walk_threads (core, dir, WALK_DEPTH, before, remember, error))
        return FALSE;
    corral_threads_undo (core, before, undo);
    return corral_backend_of (core->cpuset)
               ->write_cpuset (core, core->cpuset, dir, cpus, mems, undo, error) &&
           verify (core, path, dir, FALSE, cpus, error) &&
           verify (core, path, dir, TRUE, mems, error) &&
           walk_threads (core, dir, WALK_DEPTH, before, settle, error);
}

gboolean
corral_container_set_cpuset (CorralContainerCore *core, const char *path, const CorralCpuset *cpus,
                             const CorralCpuset *mems, GError **error)
{
    g_autoptr (CorralUndo) undo = corral_undo_new ();
    g_autofree char *dir = NULL;

    if (!corral_container_path_to_dir (path, &dir, error) ||
        !corral_container_check_whole (core, path, dir, error))
        return FALSE;
    if (corral_cpuset_apply (core, path, dir, cpus, mems, undo, error))
        return corral_container_done (core, undo);
    g_prefix_error (error, "cannot change the cpuset of the container \"%s\": ", path);
    return corral_undo_run (undo, error);
}
