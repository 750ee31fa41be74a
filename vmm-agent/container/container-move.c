/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm-agent/container/container-move.h"

#include <errno.h>
#include <string.h>

/* A pass in which no thread was found in a wrong place ends the work: what is born after that is
 * born in the right one. That many in a row means that something else moves them, too. */
#define PASSES_MAX 100

/* One thread, as it was before. */
typedef struct {
    pid_t tid;
    char **dirs;       /* by number of the hierarchy; NULL where it is not moved */
    char *role_dir;    /* "vcpu1" */
    CorralCpuset *pin; /* affinity that it wishes and keeps if it fits; NULL: none */
} Mover;

typedef struct {
    const CorralMove *move;
    CorralContainerCore *core;
    pid_t pid;
    pid_t leader; /* the thread whose place stands for all: the process's first, or the only one
                     moved */
    GHashTable *movers; /* tid -> Mover */
    GHashTable *before; /* tid -> CorralThreadBefore */
    GHashTable *made;   /* role directories that exist in all hierarchies by now */
} Run;

static CorralHierarchy *
hierarchy (CorralContainerCore *core, guint i)
{
    return g_ptr_array_index (core->hierarchies, i);
}

static void
mover_free (gpointer data)
{
    Mover *mover = data;

    g_strfreev (mover->dirs);
    g_free (mover->role_dir);
    hwloc_bitmap_free (mover->pin);
    g_free (mover);
}

/* --- what is known of a thread before it moves --- */

/* By hierarchy; "" also where a hierarchy is not one of those in which VMs are moved. */
static int
read_places (CorralContainerCore *core, pid_t pid, pid_t tid, char ***ret_dirs)
{
    g_autofree char *text = NULL;
    char **dirs;
    int err = corral_proc_cgroups (core, pid, tid, &text);

    if (err != 0)
        return err;
    dirs = g_new0 (char *, core->hierarchies->len + 1);
    for (guint i = 0; i < core->hierarchies->len; i++) {
        const CorralHierarchy *h = hierarchy (core, i);

        dirs[i] = h->members ? corral_proc_dir (h, text) : NULL;
        if (dirs[i] == NULL)
            dirs[i] = g_strdup ("");
    }
    *ret_dirs = dirs;
    return 0;
}

static const char *
main_dir (CorralContainerCore *core, char **dirs)
{
    for (guint i = 0; i < core->hierarchies->len; i++)
        if (hierarchy (core, i) == core->main)
            return dirs[i];
    return "";
}

static gboolean
role_is_named (const CorralMove *move, const char *role_dir)
{
    for (gsize i = 0; i < move->n_threads; i++) {
        g_autofree char *name =
            corral_container_role_dir (move->threads[i].role, move->threads[i].index);

        if (g_str_equal (name, role_dir))
            return TRUE;
    }
    return FALSE;
}

/* A thread's role is what the caller says; else the directory it is in says, unless the caller
 * knows that directory's owner to be another; else it counts as emulator. */
static char *
role_dir_of (const CorralMove *move, pid_t tid, const char *place)
{
    const char *name = strrchr (place, '/');
    CorralThreadRole role;
    int index;

    for (gsize i = 0; i < move->n_threads; i++)
        if (move->threads[i].tid == tid)
            return corral_container_role_dir (move->threads[i].role, move->threads[i].index);
    if (name != NULL && corral_container_role_parse (name + 1, &role, &index) &&
        !role_is_named (move, name + 1))
        return corral_container_role_dir (role, index);
    return corral_container_role_dir (CORRAL_THREAD_EMULATOR, 0);
}

/* What the container grants in which a thread is now: less than that is a pin of its own. */
static CorralCpuset *
granted_around (CorralContainerCore *core, const char *place)
{
    g_autofree char *path = corral_container_dir_to_path (place, NULL);
    g_autofree char *dir = NULL;
    CorralCpuset *granted = NULL;

    if (path == NULL || !corral_container_path_to_dir (path, &dir, NULL))
        dir = g_strdup ("");
    if (core->cpuset == NULL || corral_cpuset_effective (core->cpuset, dir, FALSE, &granted) != 0)
        return NULL;
    return granted;
}

/* @newborn: it appeared while the others moved, so it inherited its place and has no past. */
static int
learn_thread (Run *run, pid_t tid, gboolean newborn)
{
    g_autoptr (CorralCpuset) granted = NULL;
    const CorralThreadBefore *before;
    const Mover *leader = g_hash_table_lookup (run->movers, GINT_TO_POINTER (run->leader));
    Mover *mover;
    char **dirs;
    int err = read_places (run->core, run->pid, tid, &dirs);

    if (err != 0)
        return err;
    mover = g_new0 (Mover, 1);
    mover->tid = tid;
    mover->role_dir = role_dir_of (run->move, tid, main_dir (run->core, dirs));
    if (newborn && leader != NULL) {
        g_strfreev (dirs);
        dirs = g_strdupv (leader->dirs);
    } else {
        granted = granted_around (run->core, main_dir (run->core, dirs));
        before = corral_threads_remember (run->core, run->before, tid, granted);
        if (before != NULL && !before->unpinned)
            mover->pin = hwloc_bitmap_dup (before->affinity);
    }
    mover->dirs = dirs;
    g_hash_table_insert (run->movers, GINT_TO_POINTER (tid), mover);
    return 0;
}

static gboolean
no_process (const CorralMove *move, int err, GError **error)
{
    return corral_io_fail (error, err, "cannot read the threads of \"%s\" (process %d)",
                           move->vm_name, (int) move->pid);
}

/* --- directories --- */

static gboolean
ensure_dir (Run *run, const char *dir, gboolean *ret_made, CorralUndo *undo, GError **error)
{
    for (guint i = 0; i < run->core->hierarchies->len; i++) {
        CorralHierarchy *h = hierarchy (run->core, i);
        gboolean made;

        if (!h->members)
            continue;
        if (!corral_step_mkdir (run->core, h, dir, &made, undo, error) ||
            !corral_backend_of (h)->prepare (run->core, h, dir, undo, error))
            return FALSE;
        if (h == run->core->cpuset)
            *ret_made = made;
    }
    return TRUE;
}

/* A pin that fits goes into the new directory's cpuset, as libvirt does it, so that it holds when
 * the container's cpuset changes. */
static gboolean
pin_dir (Run *run, const char *dir, const CorralCpuset *pin, CorralUndo *undo, GError **error)
{
    CorralHierarchy *h = run->core->cpuset;
    g_autoptr (CorralCpuset) granted = NULL;
    g_autofree char *list = NULL;
    int err;

    if (h == NULL || pin == NULL)
        return TRUE;
    err = corral_cpuset_effective (h, dir, FALSE, &granted);
    if (err != 0)
        return corral_io_fail (error, err, "cannot read the cpuset of \"%s\"", dir);
    if (hwloc_bitmap_isequal (pin, granted) || !hwloc_bitmap_isincluded (pin, granted))
        return TRUE;
    list = corral_cpuset_format (pin);
    return corral_step_write (run->core, h, dir, corral_backend_of (h)->cpus_file, list, undo,
                              error);
}

static gboolean
ensure_role (Run *run, const Mover *mover, CorralUndo *undo, GError **error)
{
    g_autofree char *dir = corral_dir_file (run->move->group, mover->role_dir);
    gboolean made = FALSE;

    if (g_hash_table_contains (run->made, mover->role_dir))
        return TRUE;
    if (!ensure_dir (run, dir, &made, undo, error))
        return FALSE;
    g_hash_table_add (run->made, g_strdup (mover->role_dir));
    return !made || pin_dir (run, dir, mover->pin, undo, error);
}

/* --- moving --- */

static int
write_number (CorralContainerCore *core, CorralHierarchy *h, const char *dir, const char *file,
              pid_t tid)
{
    g_autofree char *path = corral_dir_file (dir, file);
    g_autofree char *number = g_strdup_printf ("%d", (int) tid);

    return corral_io_write (&core->io, &h->tree, path, number);
}

static char *
place_of (Run *run, const Mover *mover)
{
    return run->move->roles ? corral_dir_file (run->move->group, mover->role_dir)
                            : g_strdup (run->move->group);
}

/* The whole process at once, so that no thread that is born meanwhile stays behind: by the VM's
 * name where KVM has one for it. */
static gboolean
move_process (Run *run, guint i, GError **error)
{
    CorralHierarchy *h = hierarchy (run->core, i);
    const Mover *leader = g_hash_table_lookup (run->movers, GINT_TO_POINTER (run->leader));
    g_autofree char *dir = place_of (run, leader);
    int err;

    if (corral_container_dir_within (leader->dirs[i], run->move->group))
        return TRUE;
    err = corral_kvm_attach (run->core, h, dir, run->pid);
    if (err == ENOENT)
        err = write_number (run->core, h, dir, "cgroup.procs", run->pid);
    return err == 0 || corral_io_fail (error, err, "cannot move \"%s\" (process %d) into \"%s/%s\"",
                                       run->move->vm_name, (int) run->pid, h->tree.mount, dir);
}

/* Takes one thread to its place in every hierarchy. */
static gboolean
move_thread (Run *run, const Mover *mover, gboolean *ret_changed, GError **error)
{
    g_autofree char *wanted = place_of (run, mover);
    g_auto (GStrv) now = NULL;
    int err = read_places (run->core, run->pid, mover->tid, &now);

    for (guint i = 0; err == 0 && i < run->core->hierarchies->len; i++) {
        CorralHierarchy *h = hierarchy (run->core, i);

        if (!h->members || g_str_equal (now[i], wanted))
            continue;
        /* The kernel moves no thread that is on its way out, and does not say so. */
        if (corral_proc_is_ending (run->core, run->pid, mover->tid))
            return TRUE;
        *ret_changed = TRUE;
        err = write_number (run->core, h, wanted, corral_backend_of (h)->threads_file, mover->tid);
        if (err != 0 && err != ESRCH)
            return corral_io_fail (error, err, "cannot move thread %d of \"%s\" into \"%s/%s\"",
                                   (int) mover->tid, run->move->vm_name, h->tree.mount, wanted);
    }
    return err == 0 || err == ESRCH ||
           corral_io_fail (error, err, "cannot read the cgroups of thread %d of \"%s\"",
                           (int) mover->tid, run->move->vm_name);
}

static gboolean
settle_thread (Run *run, const Mover *mover, GError **error)
{
    g_autofree char *dir = place_of (run, mover);
    g_autoptr (CorralCpuset) allowed = NULL;
    const CorralThreadBefore *before =
        g_hash_table_lookup (run->before, GINT_TO_POINTER (mover->tid));
    const gboolean was_inside =
        corral_container_dir_within (main_dir (run->core, mover->dirs), run->move->group);
    gboolean fits;
    int err;

    if (run->core->cpuset == NULL)
        return TRUE;
    err = corral_cpuset_effective (run->core->cpuset, dir, FALSE, &allowed);
    if (err != 0)
        return corral_io_fail (error, err, "cannot read the cpuset of \"%s\"", dir);
    fits = mover->pin != NULL && hwloc_bitmap_isincluded (mover->pin, allowed);
    /* A pin that does not fit is given up for all that is granted. Of a thread that stays where it
     * was, only what is outside is put right. */
    if (!fits && !was_inside && before != NULL) {
        const CorralThreadBefore free_now = { mover->tid, before->affinity, TRUE };

        return corral_thread_settle (run->core, mover->tid, &free_now, allowed, NULL, error);
    }
    return corral_thread_settle (run->core, mover->tid, NULL, allowed, fits ? mover->pin : NULL,
                                 error);
}

/* --- back again --- */

static int
move_back_in (Run *run, guint i)
{
    CorralHierarchy *h = hierarchy (run->core, i);
    const Mover *leader = g_hash_table_lookup (run->movers, GINT_TO_POINTER (run->leader));
    g_auto (GStrv) now = NULL;
    GHashTableIter iter;
    gpointer value;
    int err = read_places (run->core, run->pid, run->leader, &now);

    if (err == 0 && run->move->only == 0 && !g_str_equal (now[i], leader->dirs[i]))
        err = write_number (run->core, h, leader->dirs[i], "cgroup.procs", run->pid);
    if (err != 0)
        return err == ESRCH ? 0 : err;
    g_hash_table_iter_init (&iter, run->movers);
    while (g_hash_table_iter_next (&iter, NULL, &value)) {
        const Mover *mover = value;
        g_auto (GStrv) places = NULL;
        int failed = read_places (run->core, run->pid, mover->tid, &places);

        if (failed == 0 && !g_str_equal (places[i], mover->dirs[i]))
            failed = write_number (run->core, h, mover->dirs[i],
                                   corral_backend_of (h)->threads_file, mover->tid);
        if (failed != 0 && failed != ESRCH)
            err = failed;
    }
    return err;
}

static int
move_back (gpointer data)
{
    Run *run = data;
    int err = 0;

    for (guint i = 0; i < run->core->hierarchies->len; i++)
        if (hierarchy (run->core, i)->members) {
            int failed = move_back_in (run, i);

            err = err != 0 ? err : failed;
        }
    return err;
}

static void
run_clear (gpointer data)
{
    Run *run = data;

    g_hash_table_unref (run->movers);
    g_hash_table_unref (run->before);
    g_hash_table_unref (run->made);
}

static void
run_unref (gpointer data)
{
    g_rc_box_release_full (data, run_clear);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Run, run_unref)

static void
add_move_back (Run *run, CorralUndo *undo)
{
    corral_undo_add (undo, move_back, g_rc_box_acquire (run), run_unref, "moving \"%s\"",
                     run->move->vm_name);
}

/* --- all of it --- */

static int
learn_all (Run *run, gboolean newborn)
{
    g_autoptr (GArray) tids = NULL;
    int err = corral_proc_tasks (run->core, run->pid, &tids);

    for (guint i = 0; err == 0 && i < tids->len; i++) {
        const pid_t tid = g_array_index (tids, pid_t, i);

        if (g_hash_table_contains (run->movers, GINT_TO_POINTER (tid)) ||
            (run->move->only != 0 && run->move->only != tid))
            continue;
        err = learn_thread (run, tid, newborn);
        if (err == ESRCH && tid != run->leader)
            err = 0; /* it ended; the others go on */
    }
    return err;
}

static gboolean
make_dirs (Run *run, CorralUndo *undo, GError **error)
{
    GHashTableIter iter;
    gpointer mover;
    gboolean made;

    corral_kvm_pass_on (run->core, run->move->group);
    if (!ensure_dir (run, run->move->group, &made, undo, error))
        return FALSE;
    /* The leader first: the emulator's directory gets its pin, not that of some helper. */
    mover = g_hash_table_lookup (run->movers, GINT_TO_POINTER (run->leader));
    if (run->move->roles && !ensure_role (run, mover, undo, error))
        return FALSE;
    g_hash_table_iter_init (&iter, run->movers);
    while (run->move->roles && g_hash_table_iter_next (&iter, NULL, &mover))
        if (!ensure_role (run, mover, undo, error))
            return FALSE;
    return TRUE;
}

/* Only into groups of ours: libvirt's have what libvirt gave them. */
static gboolean
carry_filters (Run *run, GError **error)
{
    const Mover *leader = g_hash_table_lookup (run->movers, GINT_TO_POINTER (run->leader));
    const char *slash = strrchr (run->move->group, '/');

    if (run->move->only != 0 ||
        !corral_container_is_own_group (slash != NULL ? slash + 1 : run->move->group))
        return TRUE;
    for (guint i = 0; i < run->core->hierarchies->len; i++)
        if (hierarchy (run->core, i)->members &&
            !corral_devices_carry (run->core, hierarchy (run->core, i), leader->dirs[i],
                                   run->move->group, error))
            return FALSE;
    return TRUE;
}

static gboolean
one_pass (Run *run, CorralUndo *undo, gboolean *ret_changed, GError **error)
{
    const guint made = g_hash_table_size (run->made);
    GHashTableIter iter;
    gpointer mover;
    int err = learn_all (run, TRUE);

    if (err != 0)
        return no_process (run->move, err, error);
    g_hash_table_iter_init (&iter, run->movers);
    while (g_hash_table_iter_next (&iter, NULL, &mover))
        if (run->move->roles && !ensure_role (run, mover, undo, error))
            return FALSE;
    /* Directories made just now can only be removed again once the threads have left them. */
    if (g_hash_table_size (run->made) != made)
        add_move_back (run, undo);
    g_hash_table_iter_init (&iter, run->movers);
    while (g_hash_table_iter_next (&iter, NULL, &mover))
        if (!move_thread (run, mover, ret_changed, error))
            return FALSE;
    g_hash_table_iter_init (&iter, run->movers);
    while (g_hash_table_iter_next (&iter, NULL, &mover))
        if (!settle_thread (run, mover, error))
            return FALSE;
    return TRUE;
}

gboolean
corral_move_run (const CorralMove *move, CorralUndo *undo, GError **error)
{
    CorralContainerCore *core = move->core;
    g_autoptr (Run) run = g_rc_box_new0 (Run);
    gboolean changed = FALSE;
    int err;

    *run = (Run){ .move = move,
                  .core = core,
                  .pid = move->pid,
                  .leader = move->only != 0 ? move->only : move->pid,
                  .movers = g_hash_table_new_full (g_direct_hash, g_direct_equal, NULL, mover_free),
                  .before = corral_threads_before_new (),
                  .made = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL) };
    err = learn_all (run, FALSE);
    if (err == 0 && !g_hash_table_contains (run->movers, GINT_TO_POINTER (run->leader)))
        err = ESRCH;
    if (err != 0)
        return no_process (move, err, error);
    /* Undone last to first: threads go back, the directories they leave are removed, and only then
     * the affinities are set, which the old places allow. */
    corral_threads_undo (core, run->before, undo);
    if (!make_dirs (run, undo, error) || !carry_filters (run, error))
        return FALSE;
    add_move_back (run, undo);
    for (guint i = 0; i < core->hierarchies->len && move->only == 0; i++)
        if (hierarchy (core, i)->members && !move_process (run, i, error))
            return FALSE;
    for (guint pass = 0; pass < PASSES_MAX; pass++) {
        changed = FALSE;
        if (!one_pass (run, undo, &changed, error))
            return FALSE;
        if (!changed)
            return TRUE;
    }
    g_set_error (
        error, CORRAL_ERROR, CORRAL_ERROR_FAILED,
        "the threads of \"%s\" (process %d) do not stay in \"%s\": something else moves them",
        move->vm_name, (int) move->pid, move->group);
    return FALSE;
}
