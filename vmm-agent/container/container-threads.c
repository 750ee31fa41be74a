/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm-agent/container/container-threads.h"

#include <errno.h>
#include <string.h>

#define PF_EXITING 0x4 /* the kernel's include/linux/sched.h; in proc_pid_stat(5) as "flags" */

static gboolean
parse_tid (const char *text, pid_t *ret_tid)
{
    guint64 tid;

    if (!g_ascii_string_to_unsigned (text, 10, 1, G_MAXINT32, &tid, NULL))
        return FALSE;
    *ret_tid = (pid_t) tid;
    return TRUE;
}

int
corral_dir_threads (CorralHierarchy *h, const char *dir, GArray *tids)
{
    g_autofree char *path = corral_dir_file (dir, corral_backend_of (h)->threads_file);
    g_autofree char *text = NULL;
    g_auto (GStrv) lines = NULL;
    int err = corral_io_read (h->tree.fd, path, &text);

    if (err != 0)
        return err;
    lines = g_strsplit (text, "\n", -1);
    for (guint i = 0; lines[i] != NULL; i++) {
        pid_t tid;

        if (parse_tid (lines[i], &tid))
            g_array_append_val (tids, tid);
    }
    return 0;
}

char *
corral_proc_dir (const CorralHierarchy *h, const char *proc_text)
{
    g_auto (GStrv) lines = g_strsplit (proc_text, "\n", -1);

    for (guint i = 0; lines[i] != NULL; i++) {
        g_auto (GStrv) fields = g_strsplit (lines[i], ":", 3);
        g_auto (GStrv) labels = NULL;
        const char *dir;

        if (g_strv_length (fields) != 3)
            continue;
        labels = g_strsplit (fields[1], ",", -1);
        if (h->version == 2 ? *fields[1] != '\0'
                            : !g_strv_contains ((const char *const *) labels, h->label))
            continue;
        dir = fields[2] + strspn (fields[2], "/");
        if (g_str_has_suffix (dir, " (deleted)"))
            return g_strndup (dir, strlen (dir) - strlen (" (deleted)"));
        return g_strdup (dir);
    }
    return NULL;
}

int
corral_proc_cgroups (CorralContainerCore *core, pid_t pid, pid_t tid, char **ret_text)
{
    g_autofree char *path = pid > 0
                                ? g_strdup_printf ("proc/%d/task/%d/cgroup", (int) pid, (int) tid)
                                : g_strdup_printf ("proc/%d/cgroup", (int) tid);
    int err = corral_io_read (core->io.root_fd, path, ret_text);

    return err == ENOENT ? ESRCH : err;
}

static int
compare_tids (gconstpointer a, gconstpointer b)
{
    return *(const pid_t *) a < *(const pid_t *) b ? -1 : *(const pid_t *) a > *(const pid_t *) b;
}

int
corral_proc_tasks (CorralContainerCore *core, pid_t pid, GArray **ret_tids)
{
    g_autofree char *path = g_strdup_printf ("proc/%d/task", (int) pid);
    g_autoptr (GArray) tids = g_array_new (FALSE, FALSE, sizeof (pid_t));
    g_autoptr (GPtrArray) names = NULL;
    int err = corral_io_list (core->io.root_fd, path, &names);

    if (err != 0)
        return err == ENOENT ? ESRCH : err;
    for (guint i = 0; i < names->len; i++) {
        pid_t tid;

        if (parse_tid (g_ptr_array_index (names, i), &tid))
            g_array_append_val (tids, tid);
    }
    g_array_sort (tids, compare_tids);
    *ret_tids = g_steal_pointer (&tids);
    return 0;
}

gboolean
corral_proc_is_ending (CorralContainerCore *core, pid_t pid, pid_t tid)
{
    g_autofree char *dir = g_strdup_printf ("proc/%d/task/%d", (int) pid, (int) tid);
    g_autofree char *path = corral_dir_file (dir, "stat");
    g_autofree char *text = NULL;
    g_auto (GStrv) fields = NULL;
    const char *name_end;

    if (corral_io_read (core->io.root_fd, path, &text) != 0)
        return !corral_io_exists (core->io.root_fd, dir);
    /* "TID (name) state ppid pgrp session tty tpgid flags ...": the name may hold anything. */
    name_end = strrchr (text, ')');
    fields = g_strsplit (name_end != NULL ? name_end : "", " ", 9);
    return g_strv_length (fields) > 7 && (g_ascii_strtoull (fields[7], NULL, 10) & PF_EXITING) != 0;
}

/* --- affinities --- */

static void
before_free (gpointer data)
{
    CorralThreadBefore *before = data;

    hwloc_bitmap_free (before->affinity);
    g_free (before);
}

GHashTable *
corral_threads_before_new (void)
{
    return g_hash_table_new_full (g_direct_hash, g_direct_equal, NULL, before_free);
}

const CorralThreadBefore *
corral_threads_remember (CorralContainerCore *core, GHashTable *table, pid_t tid,
                         const CorralCpuset *allowed)
{
    CorralThreadBefore *before = g_hash_table_lookup (table, GINT_TO_POINTER (tid));
    g_autoptr (CorralCpuset) affinity = NULL;

    if (before != NULL || corral_io_get_affinity (&core->io, tid, &affinity) != 0)
        return before;
    before = g_new0 (CorralThreadBefore, 1);
    before->tid = tid;
    before->unpinned = allowed == NULL || hwloc_bitmap_isincluded (allowed, affinity);
    before->affinity = g_steal_pointer (&affinity);
    g_hash_table_insert (table, GINT_TO_POINTER (tid), before);
    return before;
}

typedef struct {
    CorralContainerCore *core;
    GHashTable *before;
} PutBack;

static void
put_back_free (gpointer data)
{
    PutBack *all = data;

    g_hash_table_unref (all->before);
    g_free (all);
}

static gboolean
affinity_is (CorralContainerCore *core, pid_t tid, const CorralCpuset *wanted, int *ret_err)
{
    g_autoptr (CorralCpuset) now = NULL;

    *ret_err = corral_io_get_affinity (&core->io, tid, &now);
    return *ret_err == 0 && hwloc_bitmap_isequal (now, wanted);
}

static int
put_back_one (CorralContainerCore *core, const CorralThreadBefore *before)
{
    int err, ignored;

    if (affinity_is (core, before->tid, before->affinity, &err) || err == ESRCH)
        return 0;
    if (before->unpinned && corral_io_set_affinity (&core->io, before->tid, NULL) == 0 &&
        affinity_is (core, before->tid, before->affinity, &ignored))
        return 0;
    err = corral_io_set_affinity (&core->io, before->tid, before->affinity);
    if (err == 0 && !affinity_is (core, before->tid, before->affinity, &err) && err == 0)
        err = EINVAL;
    return err == ESRCH ? 0 : err;
}

static int
undo_affinities (gpointer data)
{
    const PutBack *all = data;
    GHashTableIter iter;
    gpointer before;
    int err = 0;

    g_hash_table_iter_init (&iter, all->before);
    while (g_hash_table_iter_next (&iter, NULL, &before)) {
        int failed = put_back_one (all->core, before);

        err = err != 0 ? err : failed;
    }
    return err;
}

void
corral_threads_undo (CorralContainerCore *core, GHashTable *before, CorralUndo *undo)
{
    PutBack *all = g_new0 (PutBack, 1);

    *all = (PutBack){ core, g_hash_table_ref (before) };
    corral_undo_add (undo, undo_affinities, all, put_back_free, "changing threads' affinities");
}

static gboolean
is_settled (const CorralCpuset *now, const CorralThreadBefore *before, const CorralCpuset *allowed,
            const CorralCpuset *pin)
{
    if (pin != NULL)
        return hwloc_bitmap_isequal (now, pin);
    if (before != NULL && before->unpinned)
        return hwloc_bitmap_isequal (now, allowed);
    return !hwloc_bitmap_iszero (now) && hwloc_bitmap_isincluded (now, allowed);
}

/* Before Linux 6.2 a cpuset that changes takes away the pins of its threads.
 * Returns: (nullable): the pin to be set again */
static const CorralCpuset *
lost_pin (const CorralCpuset *now, const CorralThreadBefore *before, const CorralCpuset *allowed)
{
    return before != NULL && !before->unpinned && hwloc_bitmap_isequal (now, allowed) &&
                   hwloc_bitmap_isincluded (before->affinity, allowed) &&
                   !hwloc_bitmap_isequal (before->affinity, allowed)
               ? before->affinity
               : NULL;
}

gboolean
corral_thread_settle (CorralContainerCore *core, pid_t tid, const CorralThreadBefore *before,
                      const CorralCpuset *allowed, const CorralCpuset *pin, GError **error)
{
    g_autoptr (CorralCpuset) now = NULL;
    g_autofree char *granted = NULL;
    g_autofree char *wanted = NULL;
    int err = corral_io_get_affinity (&core->io, tid, &now);

    if (err == 0 && pin == NULL)
        pin = lost_pin (now, before, allowed);
    if (err == ESRCH || (err == 0 && is_settled (now, before, allowed, pin)))
        return TRUE;
    /* Where the pin is the whole cpuset, the thread should follow the cpuset when that grows. */
    if (err == 0)
        err = corral_io_set_affinity (&core->io, tid,
                                      pin != NULL && !hwloc_bitmap_isequal (pin, allowed) ? pin
                                                                                          : NULL);
    if (err == 0) {
        g_clear_pointer (&now, hwloc_bitmap_free);
        err = corral_io_get_affinity (&core->io, tid, &now);
    }
    if (err == ESRCH || (err == 0 && is_settled (now, before, allowed, pin)))
        return TRUE;
    wanted = corral_cpuset_format (pin != NULL ? pin : allowed);
    granted = corral_cpuset_format (now);
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_PARTIAL,
                 "thread %d stays on CPUs \"%s\" instead of \"%s\"%s%s", (int) tid, granted, wanted,
                 err != 0 ? ": " : "", err != 0 ? g_strerror (err) : "");
    return FALSE;
}
