/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Single threads: into a container of their own, and pinned. */
#include "vmm-agent/container/container-move.h"

#include <errno.h>
#include <string.h>

static gboolean
check_numbers (pid_t pid, pid_t tid, GError **error)
{
    if (pid > 0 && tid > 0)
        return TRUE;
    /* The kernel takes 0 for the thread that writes. */
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                 "%d is not the number of a process or thread", (int) (pid > 0 ? tid : pid));
    return FALSE;
}

/* Where a thread goes that joins @path. A container beneath a VM's group takes it as it is; any
 * other gets a group for it, so that containers never hold threads themselves. */
static gboolean
thread_group (CorralContainerCore *core, const char *path, const char *dir, pid_t pid,
              char **ret_group, GError **error)
{
    g_autofree char *home_path = NULL;
    g_autofree char *home = NULL;
    g_autofree char *name = NULL;

    if (!corral_container_of_process (core, pid, &home_path, &home, NULL, error))
        return FALSE;
    if (home != NULL && corral_container_dir_within (dir, home)) {
        *ret_group = g_strdup (dir);
        return TRUE;
    }
    if ((core->features & CORRAL_FEATURE_THREAD_ANYWHERE) == 0) {
        g_set_error (
            error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED,
            "cgroup v2 keeps all threads of a process in one threaded subtree, so a thread of "
            "process %d can go only to a container beneath its own group, such as \"%s/%s/...\"",
            (int) pid, home_path != NULL ? home_path : "",
            home != NULL ? (strrchr (home, '/') != NULL ? strrchr (home, '/') + 1 : home)
                         : "(its group)");
        return FALSE;
    }
    name = corral_container_group_name (NULL, pid, NULL);
    *ret_group = corral_dir_file (dir, name);
    return TRUE;
}

gboolean
corral_container_add_thread (CorralContainerCore *core, const char *path, pid_t pid, pid_t tid,
                             GError **error)
{
    g_autofree char *label = g_strdup_printf ("process %d", (int) pid);
    g_autofree char *dir = NULL;
    g_autofree char *group = NULL;
    CorralMove move;

    if (!corral_container_path_to_dir (path, &dir, error) || !check_numbers (pid, tid, error) ||
        !corral_container_check_whole (core, path, dir, error))
        return FALSE;
    if (thread_group (core, path, dir, pid, &group, error)) {
        move = (CorralMove){ core, label, pid, tid, group, FALSE, NULL, 0 };
        if (corral_move_or_undo (&move, error))
            return TRUE;
    }
    g_prefix_error (error,
                    "cannot move thread %d of process %d into the container \"%s\": ", (int) tid,
                    (int) pid, path);
    return FALSE;
}

/* --- pinning --- */

static gboolean
check_within_container (CorralContainerCore *core, const char *place, const CorralCpuset *cpus,
                        GError **error)
{
    g_autofree char *path = corral_container_dir_to_path (place, NULL);
    g_autofree char *dir = NULL;
    g_autofree char *wanted = NULL;
    g_autofree char *granted_list = NULL;
    g_autoptr (CorralCpuset) granted = NULL;
    int err;

    if (path == NULL)
        dir = g_strdup ("");
    else if (!corral_container_path_to_dir (path, &dir, error))
        return FALSE;
    err = corral_cpuset_effective (core->cpuset, dir, FALSE, &granted);
    if (err != 0)
        return corral_io_fail (error, err, "cannot read the cpuset of the container \"%s\"",
                               path != NULL ? path : "/");
    if (!hwloc_bitmap_iszero (cpus) && hwloc_bitmap_isincluded (cpus, granted))
        return TRUE;
    wanted = hwloc_bitmap_last (cpus) < 0 ? g_strdup ("") : corral_cpuset_format (cpus);
    granted_list = corral_cpuset_format (granted);
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                 "CPUs \"%s\" do not lie within \"%s\", the cpuset of the container \"%s\"", wanted,
                 granted_list, path != NULL ? path : "/");
    return FALSE;
}

/* The cpuset of the thread's own directory, if it has one; @ret_allowed: what it grants then. */
static gboolean
pin_own_dir (CorralContainerCore *core, const char *place, const CorralCpuset *cpus,
             CorralCpuset **ret_allowed, CorralUndo *undo, GError **error)
{
    const char *slash = strrchr (place, '/');
    const char *file = corral_backend_of (core->cpuset)->cpus_file;
    g_autofree char *path = corral_dir_file (place, file);
    g_autofree char *list = corral_cpuset_format (cpus);
    CorralThreadRole role = CORRAL_THREAD_EMULATOR;
    int index, err;

    if (slash != NULL && corral_container_role_parse (slash + 1, &role, &index) &&
        role != CORRAL_THREAD_EMULATOR && corral_io_exists (core->cpuset->tree.fd, path) &&
        !corral_step_write (core, core->cpuset, place, file, list, undo, error))
        return FALSE;
    err = corral_cpuset_effective (core->cpuset, place, FALSE, ret_allowed);
    if (err == ENOENT) {
        /* v2, and the controller is not on there: what is above it counts. */
        g_autofree char *above = corral_container_dir_parent (place);

        err = corral_cpuset_effective (core->cpuset, above, FALSE, ret_allowed);
    }
    return err == 0 || corral_io_fail (error, err, "cannot read the cpuset of \"%s\"", place);
}

static gboolean
pin_steps (CorralContainerCore *core, pid_t tid, const char *place, const CorralCpuset *cpus,
           CorralUndo *undo, GError **error)
{
    g_autoptr (GHashTable) before = corral_threads_before_new ();
    g_autoptr (CorralCpuset) allowed = NULL;
    g_autoptr (CorralCpuset) old = NULL;

    (void) corral_cpuset_effective (core->cpuset, place, FALSE, &old);
    corral_threads_remember (core, before, tid, old);
    corral_threads_undo (core, before, undo);
    return pin_own_dir (core, place, cpus, &allowed, undo, error) &&
           corral_thread_settle (core, tid, NULL, allowed, cpus, error);
}

gboolean
corral_container_pin_thread (CorralContainerCore *core, pid_t pid, pid_t tid,
                             const CorralCpuset *cpus, GError **error)
{
    g_autoptr (CorralUndo) undo = corral_undo_new ();
    g_autofree char *text = NULL;
    g_autofree char *place = NULL;
    int err;

    if (!check_numbers (pid, tid, error))
        return FALSE;
    if (core->cpuset == NULL) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED,
                     "cannot pin thread %d: no cpuset controller is mounted on this host",
                     (int) tid);
        return FALSE;
    }
    err = corral_proc_cgroups (core, pid, tid, &text);
    if (err != 0)
        return corral_io_fail (error, err, "cannot read the cgroups of thread %d of process %d",
                               (int) tid, (int) pid);
    place = corral_proc_dir (core->cpuset, text);
    if (place == NULL)
        place = g_strdup ("");
    if (check_within_container (core, place, cpus, error) &&
        pin_steps (core, tid, place, cpus, undo, error))
        return corral_container_done (core, undo);
    g_prefix_error (error, "cannot pin thread %d of process %d: ", (int) tid, (int) pid);
    return corral_undo_run (undo, error);
}
