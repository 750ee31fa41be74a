/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who is where: by the kernel's own files, so that it holds after a restart. */
#include "vmm-agent/container/container-private.h"

#include <errno.h>
#include <string.h>

static gboolean
read_proc (CorralContainerCore *core, pid_t pid, pid_t tid, char **ret_text, GError **error)
{
    int err;

    if (tid <= 0 || pid < 0) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "%d is not the number of a process or thread", (int) (tid <= 0 ? tid : pid));
        return FALSE;
    }
    err = corral_proc_cgroups (core, pid, tid, ret_text);
    return err == 0 || corral_io_fail (error, err, "cannot read the cgroups of the %s %d",
                                       pid > 0 ? "thread" : "process", (int) tid);
}

/* cgroup v1 shows a task that is on its way out at the top of each hierarchy. It is nowhere. */
static gboolean
is_here (CorralContainerCore *core, pid_t pid, pid_t tid, const char *path, GError **error)
{
    return path != NULL || !corral_proc_is_ending (core, pid, tid) ||
           corral_io_fail (error, ESRCH, "cannot tell where thread %d of process %d is", (int) tid,
                           (int) pid);
}

/* Whether @text puts the thread into @path and @group in every hierarchy in which VMs are moved. */
static gboolean
is_everywhere (CorralContainerCore *core, const char *text, const char *path, const char *group)
{
    for (guint i = 0; i < core->hierarchies->len; i++) {
        const CorralHierarchy *h = g_ptr_array_index (core->hierarchies, i);
        g_autofree char *other_group = NULL;
        g_autofree char *other_path = NULL;
        g_autofree char *dir = NULL;

        if (!h->members)
            continue;
        dir = corral_proc_dir (h, text);
        if (dir == NULL)
            return FALSE;
        other_path = corral_container_dir_to_path (dir, &other_group);
        if (g_strcmp0 (path, other_path) != 0 || g_strcmp0 (group, other_group) != 0)
            return FALSE;
    }
    return TRUE;
}

gboolean
corral_container_counts (CorralContainerCore *core, const char *path, pid_t pid)
{
    g_autofree char *text = NULL;
    g_autofree char *top = NULL;
    g_autofree char *dir = NULL;

    if (core->acct == NULL || !corral_container_path_to_dir (path, &top, NULL) ||
        !read_proc (core, 0, pid, &text, NULL))
        return TRUE;
    dir = corral_proc_dir (core->acct, text);
    return dir != NULL && corral_container_dir_within (dir, top);
}

gboolean
corral_container_of_process (CorralContainerCore *core, pid_t pid, char **ret_path,
                             char **ret_group, gboolean *ret_everywhere, GError **error)
{
    g_autofree char *text = NULL;
    g_autofree char *dir = NULL;
    g_autofree char *path = NULL;
    g_autofree char *group = NULL;

    if (!read_proc (core, 0, pid, &text, error))
        return FALSE;
    dir = corral_proc_dir (core->main, text);
    if (dir != NULL)
        path = corral_container_dir_to_path (dir, &group);
    if (!is_here (core, pid, pid, path, error))
        return FALSE;
    if (ret_everywhere != NULL)
        *ret_everywhere = is_everywhere (core, text, path, group);
    *ret_path = g_steal_pointer (&path);
    if (ret_group != NULL)
        *ret_group = g_steal_pointer (&group);
    return TRUE;
}

gboolean
corral_container_of_thread (CorralContainerCore *core, pid_t pid, pid_t tid, char **ret_path,
                            GError **error)
{
    g_autofree char *text = NULL;
    g_autofree char *dir = NULL;
    g_autofree char *path = NULL;

    if (!read_proc (core, pid, tid, &text, error))
        return FALSE;
    dir = corral_proc_dir (core->main, text);
    if (dir != NULL)
        path = corral_container_dir_to_path (dir, NULL);
    if (!is_here (core, pid, tid, path, error))
        return FALSE;
    *ret_path = g_steal_pointer (&path);
    return TRUE;
}

static gboolean
is_in_own_group (const char *dir)
{
    g_autofree char *group = NULL;
    g_autofree char *path = corral_container_dir_to_path (dir, &group);
    const char *name = group != NULL ? strrchr (group, '/') : NULL;

    return name != NULL && corral_container_is_own_group (name + 1);
}

/* Whether @dir belongs to another thread of the group than the one of @role_dir. */
static gboolean
is_role_of_another (const char *dir, const char *group, const char *role_dir)
{
    g_autofree char *parent = corral_container_dir_parent (dir);
    const char *name = strrchr (dir, '/');
    CorralThreadRole role;
    int index;

    return group != NULL && name != NULL && g_str_equal (parent, group) &&
           corral_container_role_parse (name + 1, &role, &index) &&
           !g_str_equal (name + 1, role_dir);
}

static gboolean
thread_is_torn (CorralContainerCore *core, pid_t pid, pid_t tid, const char *group,
                const char *role_dir, char **ret_other)
{
    g_autofree char *text = NULL;
    g_autofree char *dir = NULL;
    gboolean torn;

    if (corral_proc_cgroups (core, pid, tid, &text) != 0)
        return FALSE;
    dir = corral_proc_dir (core->main, text);
    if (dir == NULL)
        return FALSE;
    torn = is_role_of_another (dir, group, role_dir);
    for (guint i = 0; i < core->hierarchies->len; i++) {
        const CorralHierarchy *h = g_ptr_array_index (core->hierarchies, i);
        g_autofree char *other = h->members ? corral_proc_dir (h, text) : NULL;

        if (other == NULL || g_str_equal (other, dir))
            continue;
        if (!is_in_own_group (other) && !is_in_own_group (dir) &&
            (group == NULL || !corral_container_dir_within (other, group)))
            continue;
        torn = TRUE;
        if (*ret_other == NULL)
            *ret_other = corral_container_dir_to_path (other, NULL);
    }
    return torn;
}

gboolean
corral_container_is_torn (CorralContainerCore *core, const CorralContainerVm *vm, char **ret_other)
{
    g_autofree char *path = NULL;
    g_autofree char *group = NULL;
    gboolean torn;

    *ret_other = NULL;
    if (!corral_container_of_process (core, vm->pid, &path, &group, NULL, NULL))
        return FALSE;
    torn = thread_is_torn (core, vm->pid, vm->pid, group, "emulator", ret_other);
    for (gsize i = 0; i < vm->n_threads; i++) {
        const CorralThread *thread = &vm->threads[i];
        g_autofree char *role_dir = corral_container_role_dir (thread->role, thread->index);

        torn |= thread_is_torn (core, vm->pid, thread->tid, group, role_dir, ret_other);
    }
    return torn;
}

static int
compare_threads (gconstpointer a, gconstpointer b)
{
    const CorralThread *x = a, *y = b;

    if (x->role != y->role)
        return x->role < y->role ? -1 : 1;
    if (x->index != y->index)
        return x->index < y->index ? -1 : 1;
    return x->tid < y->tid ? -1 : x->tid > y->tid;
}

static void
take_threads (CorralHierarchy *h, const char *dir, CorralThreadRole role, int index,
              GArray *threads)
{
    g_autoptr (GArray) tids = g_array_new (FALSE, FALSE, sizeof (pid_t));

    /* A directory that is gone meanwhile holds nobody. */
    if (corral_dir_threads (h, dir, tids) != 0)
        return;
    for (guint i = 0; i < tids->len; i++) {
        const CorralThread thread = { g_array_index (tids, pid_t, i), role, index };

        g_array_append_val (threads, thread);
    }
}

gboolean
corral_container_group_threads (CorralContainerCore *core, const char *group, GArray **ret_threads,
                                GError **error)
{
    g_autoptr (GArray) threads = g_array_new (FALSE, FALSE, sizeof (CorralThread));
    g_autoptr (GPtrArray) names = NULL;
    int err;

    if (!corral_container_group_check (group, error))
        return FALSE;
    err = corral_io_list (core->main->tree.fd, group, &names);
    if (err != 0 && err != ENOENT && err != ENODEV)
        return corral_io_fail (error, err, "cannot look into the group \"%s\"", group);
    if (err == 0)
        take_threads (core->main, group, CORRAL_THREAD_EMULATOR, 0, threads);
    for (guint i = 0; names != NULL && i < names->len; i++) {
        g_autofree char *dir = corral_dir_file (group, g_ptr_array_index (names, i));
        CorralThreadRole role = CORRAL_THREAD_EMULATOR;
        int index = 0;

        if (corral_container_role_parse (g_ptr_array_index (names, i), &role, &index))
            take_threads (core->main, dir, role, index, threads);
    }
    g_array_sort (threads, compare_threads);
    *ret_threads = g_steal_pointer (&threads);
    return TRUE;
}
