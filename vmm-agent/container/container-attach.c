/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Members join and leave containers. */
#include "vmm-agent/container/container-move.h"

#include <errno.h>
#include <string.h>

/* The group that the process is in by cpuset, and those by the other hierarchies, each once. */
static gboolean
groups_of (CorralContainerCore *core, pid_t pid, GPtrArray **ret_groups, GError **error)
{
    g_autoptr (GPtrArray) groups = g_ptr_array_new_with_free_func (g_free);
    g_autofree char *text = NULL;
    int err = corral_proc_cgroups (core, 0, pid, &text);

    if (err != 0)
        return corral_io_fail (error, err, "cannot read the cgroups of the process %d", (int) pid);
    for (guint i = 0; i < core->hierarchies->len; i++) {
        const CorralHierarchy *h = g_ptr_array_index (core->hierarchies, i);
        g_autofree char *dir = h->members ? corral_proc_dir (h, text) : NULL;
        char *group = NULL;

        if (dir != NULL)
            g_free (corral_container_dir_to_path (dir, &group));
        if (group != NULL && g_ptr_array_find_with_equal_func (groups, group, g_str_equal, NULL))
            g_clear_pointer (&group, g_free);
        if (group != NULL)
            g_ptr_array_add (groups, group);
    }
    *ret_groups = g_steal_pointer (&groups);
    return TRUE;
}

static void
drop_left_groups (CorralContainerCore *core, GPtrArray *groups, const char *new_group)
{
    for (guint i = 0; i < groups->len; i++) {
        const char *group = g_ptr_array_index (groups, i);
        const char *name = strrchr (group, '/');

        if (!g_str_equal (group, new_group) &&
            corral_container_is_own_group (name != NULL ? name + 1 : group))
            corral_container_drop_group (core, group);
    }
}

/* Moves, or leaves all as it was; then removes the groups of ours that the VM has left. */
gboolean
corral_move_or_undo (const CorralMove *move, GError **error)
{
    g_autoptr (CorralUndo) undo = corral_undo_new ();
    g_autoptr (GPtrArray) old = NULL;
    g_autoptr (GError) local = NULL;

    if (!groups_of (move->core, move->only != 0 ? move->only : move->pid, &old, error))
        return FALSE;
    if (!corral_move_run (move, undo, &local)) {
        corral_undo_run (undo, &local);
        g_propagate_error (error, g_steal_pointer (&local));
        return FALSE;
    }
    drop_left_groups (move->core, old, move->group);
    return TRUE;
}

static gboolean
check_pid (pid_t pid, GError **error)
{
    if (pid > 0)
        return TRUE;
    /* The kernel takes 0 for the process that writes: this one. */
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                 "%d is not the number of a process or thread", (int) pid);
    return FALSE;
}

/* That a thread is one of this process is not checked here: only those are ever moved. */
static gboolean
check_vm (CorralContainerCore *core, const CorralContainerVm *vm, GError **error)
{
    for (gsize i = 0; i < vm->n_threads; i++) {
        if (!check_pid (vm->threads[i].tid, error))
            return FALSE;
        if (vm->threads[i].index >= 0)
            continue;
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "thread %d of \"%s\" has a negative index", (int) vm->threads[i].tid,
                     vm->name);
        return FALSE;
    }
    return check_pid (vm->pid, error);
}

gboolean
corral_container_attach (CorralContainerCore *core, const char *path, const CorralContainerVm *vm,
                         GError **error)
{
    g_autofree char *dir = NULL;
    g_autofree char *now = NULL;
    g_autofree char *group = NULL;
    CorralMove move;

    if (!corral_container_path_to_dir (path, &dir, error) || !check_vm (core, vm, error) ||
        !corral_container_check_whole (core, path, dir, error) ||
        !corral_container_of_process (core, vm->pid, &now, &group, NULL, error))
        return FALSE;
    if (group == NULL || g_strcmp0 (now, path) != 0) {
        const char *slash = group != NULL ? strrchr (group, '/') : NULL;
        g_autofree char *name =
            corral_container_group_name (vm->name, vm->pid, slash != NULL ? slash + 1 : group);

        g_free (group);
        group = corral_dir_file (dir, name);
    }
    move = (CorralMove){ core, vm->name, vm->pid, 0, group, TRUE, vm->threads, vm->n_threads };
    if (corral_move_or_undo (&move, error))
        return TRUE;
    g_prefix_error (error, "cannot attach \"%s\" to the container \"%s\": ", vm->name, path);
    return FALSE;
}

gboolean
corral_container_restore (CorralContainerCore *core, const char *group, const CorralContainerVm *vm,
                          GError **error)
{
    CorralMove move;

    if (!corral_container_group_check (group, error) || !check_vm (core, vm, error))
        return FALSE;
    if (!corral_io_exists (core->main->tree.fd, group)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND,
                     "cannot move \"%s\" back: its group \"%s\" is gone", vm->name, group);
        return FALSE;
    }
    move = (CorralMove){ core, vm->name, vm->pid, 0, group, TRUE, vm->threads, vm->n_threads };
    if (corral_move_or_undo (&move, error))
        return TRUE;
    g_prefix_error (error, "cannot move \"%s\" back into \"%s\": ", vm->name, group);
    return FALSE;
}

gboolean
corral_container_add_process (CorralContainerCore *core, const char *path, pid_t pid,
                              GError **error)
{
    g_autofree char *dir = NULL;
    g_autofree char *name = NULL;
    g_autofree char *group = NULL;
    g_autofree char *label = g_strdup_printf ("process %d", (int) pid);
    CorralMove move;

    if (!corral_container_path_to_dir (path, &dir, error) || !check_pid (pid, error) ||
        !corral_container_check_whole (core, path, dir, error))
        return FALSE;
    name = corral_container_group_name (NULL, pid, NULL);
    group = corral_dir_file (dir, name);
    move = (CorralMove){ core, label, pid, 0, group, FALSE, NULL, 0 };
    if (corral_move_or_undo (&move, error))
        return TRUE;
    g_prefix_error (error, "cannot add process %d to the container \"%s\": ", (int) pid, path);
    return FALSE;
}
