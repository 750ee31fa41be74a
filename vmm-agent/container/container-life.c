/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm-agent/container/container-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How deep a group's own directories may nest below it, ours and libvirt's. */
#define GROUP_DEPTH 4

static CorralHierarchy *
hierarchy (CorralContainerCore *core, guint i)
{
    return g_ptr_array_index (core->hierarchies, i);
}

/* Beneath a VM's group only the hierarchies count in which VMs are moved: in the others libvirt
 * makes no directories for single threads. */
gboolean
corral_container_belongs (CorralContainerCore *core, const CorralHierarchy *h, const char *dir)
{
    g_auto (GStrv) names = NULL;

    if (h->members)
        return TRUE;
    names = g_strsplit (dir, "/", -1);
    for (guint i = 0; names[i] != NULL; i++)
        if (corral_container_is_group (names[i]))
            return FALSE;
    return TRUE;
}

static CorralContainerState
state_of_dir (CorralContainerCore *core, const char *dir)
{
    gboolean some = FALSE, all = TRUE;

    for (guint i = 0; i < core->hierarchies->len; i++) {
        CorralHierarchy *h = hierarchy (core, i);
        gboolean here;

        if (!corral_container_belongs (core, h, dir))
            continue;
        here = corral_io_exists (h->tree.fd, dir);
        some |= here;
        all &= here && corral_backend_of (h)->is_prepared (core, h, dir);
    }
    return !some ? CORRAL_CONTAINER_ABSENT
           : all ? CORRAL_CONTAINER_WHOLE
                 : CORRAL_CONTAINER_PARTIAL;
}

CorralContainerState
corral_container_get_state (CorralContainerCore *core, const char *path)
{
    g_autofree char *dir = NULL;

    if (!corral_container_path_to_dir (path, &dir, NULL))
        return CORRAL_CONTAINER_ABSENT;
    return state_of_dir (core, dir);
}

gboolean
corral_container_check_whole (CorralContainerCore *core, const char *path, const char *dir,
                              GError **error)
{
    switch (state_of_dir (core, dir)) {
    case CORRAL_CONTAINER_WHOLE:
        return TRUE;
    case CORRAL_CONTAINER_PARTIAL:
        g_set_error (
            error, CORRAL_ERROR, CORRAL_ERROR_STATE,
            "cannot use the container \"%s\": it is missing, or has no cpuset, in some of the "
            "host's hierarchies; create it again to make it whole",
            path);
        return FALSE;
    case CORRAL_CONTAINER_ABSENT:
    default:
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND, "no container \"%s\" exists",
                     path);
        return FALSE;
    }
}

gboolean
corral_container_get_id (CorralContainerCore *core, const char *path, int *ret_id, GError **error)
{
    g_autofree char *dir = NULL;
    struct stat status;
    int fd, err;

    if (!corral_container_path_to_dir (path, &dir, error))
        return FALSE;
    err = corral_io_open (core->main->tree.fd, dir, O_PATH | O_DIRECTORY, &fd);
    if (err == 0) {
        err = fstat (fd, &status) < 0 ? errno : 0;
        close (fd);
    }
    if (err != 0)
        return corral_io_fail (error, err, "cannot read the number of the container \"%s\"", path);
    /* The lower half of a kernfs inode number is unique among the living, and below 2^31; the upper
     * half counts how often it was given out. */
    *ret_id = (int) (status.st_ino & 0x7fffffff);
    return TRUE;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
    return strcmp (*(char *const *) a, *(char *const *) b);
}

gboolean
corral_container_list (CorralContainerCore *core, const char *path, GStrv *ret_children,
                       GError **error)
{
    g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr (GPtrArray) children = g_ptr_array_new_with_free_func (g_free);
    g_autofree char *dir = g_strdup ("");
    gboolean found = FALSE;

    if (path != NULL && (g_free (g_steal_pointer (&dir)), TRUE) &&
        !corral_container_path_to_dir (path, &dir, error))
        return FALSE;
    for (guint i = 0; i < core->hierarchies->len; i++) {
        g_autoptr (GPtrArray) names = NULL;
        int err = corral_io_list (hierarchy (core, i)->tree.fd, dir, &names);

        if (err == ENOENT || err == ENODEV)
            continue;
        if (err != 0)
            return corral_io_fail (error, err, "cannot list the containers in \"%s\"",
                                   path != NULL ? path : "/");
        found = TRUE;
        for (guint k = 0; k < names->len; k++) {
            char *name = corral_container_name_of_dir (g_ptr_array_index (names, k), *dir == '\0');

            if (name != NULL && g_hash_table_add (seen, name))
                g_ptr_array_add (children, g_strconcat (path != NULL ? path : "", "/", name, NULL));
        }
    }
    if (!found) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND, "no container \"%s\" exists",
                     path);
        return FALSE;
    }
    g_ptr_array_sort (children, compare_names);
    g_ptr_array_add (children, NULL);
    *ret_children = (GStrv) g_ptr_array_free (g_steal_pointer (&children), FALSE);
    return TRUE;
}

/* --- create --- */

static gboolean
make_dir (CorralContainerCore *core, const char *dir, CorralUndo *undo, GError **error)
{
    for (guint i = 0; i < core->hierarchies->len; i++) {
        CorralHierarchy *h = hierarchy (core, i);

        if (corral_container_belongs (core, h, dir) &&
            (!corral_step_mkdir (core, h, dir, NULL, undo, error) ||
             !corral_backend_of (h)->prepare (core, h, dir, undo, error)))
            return FALSE;
    }
    return TRUE;
}

static gboolean
create_steps (CorralContainerCore *core, const char *path, const char *dir,
              const CorralCpuset *cpus, const CorralCpuset *mems, CorralUndo *undo, GError **error)
{
    for (const char *slash = strchr (dir, '/'); slash != NULL; slash = strchr (slash + 1, '/')) {
        g_autofree char *parent = g_strndup (dir, (gsize) (slash - dir));

        if (!make_dir (core, parent, undo, error))
            return FALSE;
    }
    return make_dir (core, dir, undo, error) &&
           ((cpus == NULL && mems == NULL) ||
            corral_cpuset_apply (core, path, dir, cpus, mems, undo, error));
}

gboolean
corral_container_create (CorralContainerCore *core, const char *path, const CorralCpuset *cpus,
                         const CorralCpuset *mems, GError **error)
{
    g_autoptr (CorralUndo) undo = corral_undo_new ();
    g_autofree char *dir = NULL;

    if (!corral_container_path_to_dir (path, &dir, error))
        return FALSE;
    if (state_of_dir (core, dir) == CORRAL_CONTAINER_WHOLE) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_EXISTS,
                     "the container \"%s\" exists already", path);
        return FALSE;
    }
    if (!create_steps (core, path, dir, cpus, mems, undo, error)) {
        g_prefix_error (error, "cannot create the container \"%s\": ", path);
        return corral_undo_run (undo, error);
    }
    corral_usage_forget (core, dir);
    return TRUE;
}

/* --- destroy --- */

static gboolean
is_populated (CorralHierarchy *h, const char *dir, guint depth)
{
    g_autoptr (GArray) tids = g_array_new (FALSE, FALSE, sizeof (pid_t));
    g_autoptr (GPtrArray) names = NULL;

    if (corral_dir_threads (h, dir, tids) == 0 && tids->len > 0)
        return TRUE;
    if (depth == 0 || corral_io_list (h->tree.fd, dir, &names) != 0)
        return FALSE;
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *child = corral_dir_file (dir, g_ptr_array_index (names, i));

        if (is_populated (h, child, depth - 1))
            return TRUE;
    }
    return FALSE;
}

gboolean
corral_dir_is_populated (CorralHierarchy *h, const char *dir)
{
    return is_populated (h, dir, GROUP_DEPTH);
}

/* An empty group is ours to remove if we named it, or if it is in cpuacct's hierarchy alone: there
 * we made it, to count a VM of libvirt's, and libvirt's own is gone. In any other it may be one
 * that libvirt is about to make; cpuacct's is never its first. */
static gboolean
is_removable (CorralContainerCore *core, const char *dir, const char *name)
{
    if (!corral_container_is_group (name))
        return FALSE;
    if (corral_container_is_own_group (name))
        return TRUE;
    if (core->acct == NULL || core->acct == core->cpu || core->acct->version != 1)
        return FALSE;
    for (guint i = 0; i < core->hierarchies->len; i++)
        if (hierarchy (core, i) != core->acct &&
            corral_io_exists (hierarchy (core, i)->tree.fd, dir))
            return FALSE;
    return TRUE;
}

/* Whether a group named @name with a thread in it exists in @dir or in a container beneath it. */
static gboolean
find_populated (CorralHierarchy *h, const char *dir, const char *name, guint depth)
{
    g_autoptr (GPtrArray) names = NULL;

    if (depth == 0 || corral_io_list (h->tree.fd, dir, &names) != 0)
        return FALSE;
    for (guint i = 0; i < names->len; i++) {
        const char *entry = g_ptr_array_index (names, i);
        g_autofree char *child = corral_dir_file (dir, entry);
        g_autofree char *container = corral_container_name_of_dir (entry, *dir == '\0');

        if (container != NULL ? find_populated (h, child, name, depth - 1)
                              : g_str_equal (entry, name) && corral_dir_is_populated (h, child))
            return TRUE;
    }
    return FALSE;
}

/* An empty group of libvirt's is one that a VM of ours may return to; but if no group that we gave
 * such a VM holds anybody, and libvirt has none by this name where we move nobody, the VM has
 * ended: a libvirtd that was restarted meanwhile has forgotten about the group. */
static gboolean
is_abandoned (CorralContainerCore *core, const char *dir, const char *name)
{
    g_autofree char *away = corral_container_group_name (NULL, 0, name);

    if (!corral_container_is_group (name))
        return FALSE;
    for (guint i = 0; i < core->hierarchies->len; i++)
        if (!hierarchy (core, i)->members && corral_io_exists (hierarchy (core, i)->tree.fd, dir))
            return FALSE;
    return !find_populated (core->main, "", away, CORRAL_PATH_DEPTH_MAX);
}

static gboolean
busy (GError **error, const char *path, const char *what, const char *name)
{
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_BUSY,
                 "cannot destroy the container \"%s\": it still holds %s \"%s\"", path, what, name);
    return FALSE;
}

/* What is in @dir, before anything is removed. */
static gboolean
check_empty (CorralContainerCore *core, CorralHierarchy *h, const char *path, const char *dir,
             GError **error)
{
    g_autoptr (GArray) tids = g_array_new (FALSE, FALSE, sizeof (pid_t));
    g_autoptr (GPtrArray) names = NULL;
    int err = corral_io_list (h->tree.fd, dir, &names);

    if (err == ENOENT || err == ENODEV)
        return TRUE;
    if (err != 0)
        return corral_io_fail (error, err, "cannot look into the container \"%s\"", path);
    if (corral_dir_threads (h, dir, tids) == 0 && tids->len > 0) {
        g_autofree char *tid = g_strdup_printf ("%d", (int) g_array_index (tids, pid_t, 0));

        return busy (error, path, "the thread", tid);
    }
    for (guint i = 0; i < names->len; i++) {
        const char *name = g_ptr_array_index (names, i);
        g_autofree char *child = corral_dir_file (dir, name);
        g_autofree char *container = corral_container_name_of_dir (name, FALSE);

        if (container != NULL)
            return busy (error, path, "the container", container);
        if (corral_dir_is_populated (h, child))
            return busy (error, path, "the VM in the group", name);
        if (!is_removable (core, child, name) && !is_abandoned (core, child, name))
            return busy (error, path, "the directory", name);
    }
    return TRUE;
}

static gboolean
remove_tree (CorralContainerCore *core, CorralHierarchy *h, const char *dir, guint depth,
             CorralUndo *undo, GError **error)
{
    g_autoptr (GPtrArray) names = NULL;

    if (corral_io_list (h->tree.fd, dir, &names) != 0)
        return TRUE;
    for (guint i = 0; i < names->len && depth > 0; i++) {
        g_autofree char *child = corral_dir_file (dir, g_ptr_array_index (names, i));

        if (!remove_tree (core, h, child, depth - 1, undo, error))
            return FALSE;
    }
    return corral_step_rmdir (core, h, dir, undo, error);
}

/* Hierarchies that hold no settings and no counters of ours go first: if one of them refuses, what
 * matters is still there. */
static gboolean
destroy_steps (CorralContainerCore *core, const char *dir, CorralUndo *undo, GError **error)
{
    for (int members = 0; members <= 1; members++)
        for (guint i = 0; i < core->hierarchies->len; i++) {
            CorralHierarchy *h = hierarchy (core, i);

            if (h->members == (members == 1) &&
                !remove_tree (core, h, dir, GROUP_DEPTH, undo, error))
                return FALSE;
        }
    return TRUE;
}

gboolean
corral_container_destroy (CorralContainerCore *core, const char *path, GError **error)
{
    g_autoptr (CorralUndo) undo = corral_undo_new ();
    g_autofree char *dir = NULL;

    if (!corral_container_path_to_dir (path, &dir, error))
        return FALSE;
    if (state_of_dir (core, dir) == CORRAL_CONTAINER_ABSENT) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND, "no container \"%s\" exists",
                     path);
        return FALSE;
    }
    for (guint i = 0; i < core->hierarchies->len; i++)
        if (!check_empty (core, hierarchy (core, i), path, dir, error))
            return FALSE;
    if (!destroy_steps (core, dir, undo, error)) {
        g_prefix_error (error, "cannot destroy the container \"%s\": ", path);
        return corral_undo_run (undo, error);
    }
    corral_usage_forget (core, dir);
    return TRUE;
}

void
corral_container_drop_group (CorralContainerCore *core, const char *group)
{
    g_autoptr (CorralUndo) undo = corral_undo_new ();

    for (guint i = 0; i < core->hierarchies->len; i++)
        if (corral_dir_is_populated (hierarchy (core, i), group))
            return;
    for (guint i = 0; i < core->hierarchies->len; i++)
        if (hierarchy (core, i)->members &&
            !remove_tree (core, hierarchy (core, i), group, GROUP_DEPTH, undo, NULL))
            return;
}

gboolean
corral_container_prune (CorralContainerCore *core, const char *path, GError **error)
{
    g_autofree char *dir = NULL;

    if (!corral_container_path_to_dir (path, &dir, error))
        return FALSE;
    for (guint i = 0; i < core->hierarchies->len; i++) {
        CorralHierarchy *h = hierarchy (core, i);
        g_autoptr (GPtrArray) names = NULL;

        if (!h->members || corral_io_list (h->tree.fd, dir, &names) != 0)
            continue;
        for (guint k = 0; k < names->len; k++) {
            g_autofree char *group = corral_dir_file (dir, g_ptr_array_index (names, k));

            if (is_removable (core, group, g_ptr_array_index (names, k)))
                corral_container_drop_group (core, group);
        }
    }
    return TRUE;
}
