/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Affinities as they are, and those threads of a VM that are no vCPUs: its emulator and I/O
 * threads, which have directories of their own beside the vCPUs'. */
#include "vmm-agent/container/container-threads.h"

#include <errno.h>
#include <sched.h>

#define PERIOD_USEC 100000
/* The kernel takes no smaller one. */
#define QUOTA_MIN_USEC 1000

gboolean
corral_container_get_affinity (CorralContainerCore *core, pid_t tid, CorralCpuset **ret_cpus,
                               GError **error)
{
    gulong mask[(CORRAL_CPUSET_MAX + 1) / (8 * sizeof (gulong))] = { 0 };
    int err = 0;

    /* The system call costs a hundredth of what the file in /proc does. */
    if (!core->io.is_host)
        err = corral_io_get_affinity (&core->io, tid, ret_cpus);
    else if (tid <= 0)
        err = ESRCH;
    else if (sched_getaffinity (tid, sizeof mask, (cpu_set_t *) mask) < 0)
        err = errno;
    else {
        *ret_cpus = hwloc_bitmap_alloc ();
        hwloc_bitmap_from_ulongs (*ret_cpus, G_N_ELEMENTS (mask), mask);
    }
    return err == 0 ||
           corral_io_fail (error, err, "cannot read the affinity of thread %d", (int) tid);
}

/* --- their directories --- */

static gboolean
is_helpers_dir (const char *name)
{
    CorralThreadRole role;
    int index;

    return corral_container_role_parse (name, &role, &index) && role != CORRAL_THREAD_VCPU;
}

/* The emulator's directory and those of the I/O threads in @h, empty where all threads of the VM
 * are in one. @ret_place: where its main thread is */
static int
find_dirs (CorralContainerCore *core, CorralHierarchy *h, pid_t pid, GPtrArray **ret_dirs,
           char **ret_place)
{
    g_autoptr (GPtrArray) dirs = g_ptr_array_new_with_free_func (g_free), names = NULL;
    g_autofree char *text = NULL, *place = NULL, *name = NULL, *group = NULL;
    int err = corral_proc_cgroups (core, pid, pid, &text);

    if (err != 0)
        return err;
    place = corral_proc_dir (h, text);
    if (place == NULL)
        return ENOENT;
    name = g_path_get_basename (place);
    group = corral_container_dir_parent (place);
    if (is_helpers_dir (name)) {
        err = corral_io_list (h->tree.fd, group, &names);
        for (guint i = 0; err == 0 && i < names->len; i++)
            if (is_helpers_dir (g_ptr_array_index (names, i)))
                g_ptr_array_add (dirs, corral_dir_file (group, g_ptr_array_index (names, i)));
    }
    *ret_dirs = g_steal_pointer (&dirs);
    *ret_place = g_steal_pointer (&place);
    return err;
}

/* (transfer full): of pid_t */
static int
find_threads (CorralContainerCore *core, const CorralContainerVm *vm, GArray **ret_tids)
{
    g_autoptr (GHashTable) vcpus = g_hash_table_new (g_direct_hash, g_direct_equal);
    g_autoptr (GArray) tids = NULL;
    int err = corral_proc_tasks (core, vm->pid, &tids);

    for (gsize i = 0; i < vm->n_threads; i++)
        if (vm->threads[i].role == CORRAL_THREAD_VCPU)
            g_hash_table_add (vcpus, GINT_TO_POINTER (vm->threads[i].tid));
    for (guint i = err == 0 ? tids->len : 0; i > 0; i--)
        if (g_hash_table_contains (vcpus, GINT_TO_POINTER (g_array_index (tids, pid_t, i - 1))))
            g_array_remove_index (tids, i - 1);
    *ret_tids = g_steal_pointer (&tids);
    return err;
}

/* --- pCPUs --- */

/* A vCPU that is being unplugged is no vCPU any more for those who know the VM, but its thread is
 * where it was until it ends. */
static gboolean
is_leaving (CorralContainerCore *core, pid_t pid, pid_t tid)
{
    g_autofree char *text = NULL, *place = NULL, *name = NULL;
    CorralThreadRole role;
    int index, err = corral_proc_cgroups (core, pid, tid, &text);

    if (err != 0)
        return err == ESRCH;
    place = corral_proc_dir (core->cpuset, text);
    name = place != NULL ? g_path_get_basename (place) : NULL;
    return name != NULL && corral_container_role_parse (name, &role, &index) &&
           role == CORRAL_THREAD_VCPU;
}

static gboolean
pin_steps (CorralContainerCore *core, const CorralContainerVm *vm, const CorralCpuset *cpus,
           CorralUndo *undo, GError **error)
{
    const char *file = corral_backend_of (core->cpuset)->cpus_file;
    g_autoptr (GHashTable) before = corral_threads_before_new ();
    g_autofree char *list = corral_cpuset_format (cpus), *place = NULL;
    g_autoptr (CorralCpuset) allowed = NULL;
    g_autoptr (GPtrArray) dirs = NULL;
    g_autoptr (GArray) tids = NULL;
    int err = find_dirs (core, core->cpuset, vm->pid, &dirs, &place);

    if (err == 0)
        err = find_threads (core, vm, &tids);
    if (err != 0)
        return corral_io_fail (error, err, "cannot find them");
    for (guint i = 0; i < tids->len; i++)
        corral_threads_remember (core, before, g_array_index (tids, pid_t, i), NULL);
    corral_threads_undo (core, before, undo);
    for (guint i = 0; i < dirs->len; i++) {
        g_autofree char *path = corral_dir_file (g_ptr_array_index (dirs, i), file);

        /* On v2 the controller may not be on there: then what is above it counts. */
        if (corral_io_exists (core->cpuset->tree.fd, path) &&
            !corral_step_write (core, core->cpuset, g_ptr_array_index (dirs, i), file, list, undo,
                                error))
            return FALSE;
    }
    (void) corral_cpuset_effective (core->cpuset, place, FALSE, &allowed);
    for (guint i = 0; i < tids->len; i++) {
        pid_t tid = g_array_index (tids, pid_t, i);
        GError *problem = NULL;

        if (corral_thread_settle (core, tid, NULL, allowed != NULL ? allowed : cpus, cpus,
                                  &problem))
            continue;
        if (!is_leaving (core, vm->pid, tid)) {
            g_propagate_error (error, problem);
            return FALSE;
        }
        g_error_free (problem);
    }
    return TRUE;
}

gboolean
corral_container_pin_helpers (CorralContainerCore *core, const CorralContainerVm *vm,
                              const CorralCpuset *cpus, GError **error)
{
    g_autoptr (CorralUndo) undo = corral_undo_new ();

    if (core->cpuset == NULL || hwloc_bitmap_iszero (cpus) || hwloc_bitmap_last (cpus) < 0) {
        g_set_error (error, CORRAL_ERROR,
                     core->cpuset == NULL ? CORRAL_ERROR_UNSUPPORTED : CORRAL_ERROR_INVALID,
                     "cannot pin the emulator of \"%s\": %s", vm->name,
                     core->cpuset == NULL ? "no cpuset controller is mounted on this host"
                                          : "at least one CPU is expected");
        return FALSE;
    }
    if (pin_steps (core, vm, cpus, undo, error))
        return corral_container_done (core, undo);
    g_prefix_error (error, "cannot pin the emulator and I/O threads of \"%s\": ", vm->name);
    return corral_undo_run (undo, error);
}

gboolean
corral_container_helpers_stray (CorralContainerCore *core, const CorralContainerVm *vm,
                                const CorralCpuset *cpus, pid_t *ret_tid, CorralCpuset **ret_found)
{
    g_autoptr (GArray) tids = NULL;

    if (find_threads (core, vm, &tids) != 0)
        return FALSE;
    for (guint i = 0; i < tids->len; i++) {
        g_autoptr (CorralCpuset) now = NULL;
        pid_t tid = g_array_index (tids, pid_t, i);

        if (!corral_container_get_affinity (core, tid, &now, NULL) ||
            hwloc_bitmap_isequal (now, cpus) || is_leaving (core, vm->pid, tid))
            continue;
        *ret_tid = tid;
        *ret_found = g_steal_pointer (&now);
        return TRUE;
    }
    return FALSE;
}

/* --- their quota --- */

static gboolean
no_quota (CorralContainerCore *core, const char *name, GError **error)
{
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED,
                 "cannot cap the emulator of \"%s\": %s", name,
                 (core->features & CORRAL_FEATURE_CAP) == 0
                     ? "no mounted cpu controller offers it"
                     : "it has no directory of its own beside the vCPUs'");
    return FALSE;
}

static gboolean
cap_steps (CorralContainerCore *core, GPtrArray *dirs, gint64 quota_usec, CorralUndo *undo,
           GError **error)
{
    const CorralBackend *backend = corral_backend_of (core->cpu);
    CorralContainerCap cap = { -1, PERIOD_USEC, 0 }, granted;

    /* Each directory has a cap of its own; together they are what was asked for. */
    if (quota_usec >= 0)
        cap.quota_usec = MAX (quota_usec / dirs->len, QUOTA_MIN_USEC);
    for (guint i = 0; i < dirs->len; i++) {
        const char *dir = g_ptr_array_index (dirs, i);

        if (!backend->read_cap (core, core->cpu, dir, &granted, error))
            return FALSE;
        if (granted.quota_usec == cap.quota_usec && granted.period_usec == cap.period_usec)
            continue;
        if (!backend->write_cap (core, core->cpu, dir, &cap, undo, error) ||
            !backend->read_cap (core, core->cpu, dir, &granted, error))
            return FALSE;
        if (granted.quota_usec != cap.quota_usec || granted.period_usec != cap.period_usec) {
            g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_PARTIAL,
                         "the kernel granted a quota of %" G_GINT64_FORMAT " us",
                         granted.quota_usec);
            return FALSE;
        }
    }
    return TRUE;
}

gboolean
corral_container_cap_helpers (CorralContainerCore *core, const CorralContainerVm *vm,
                              gint64 quota_usec, GError **error)
{
    g_autoptr (CorralUndo) undo = corral_undo_new ();
    g_autoptr (GPtrArray) dirs = NULL;
    g_autofree char *place = NULL;
    int err;

    if ((core->features & CORRAL_FEATURE_CAP) == 0)
        return quota_usec < 0 || no_quota (core, vm->name, error);
    err = find_dirs (core, core->cpu, vm->pid, &dirs, &place);
    if (err != 0)
        return corral_io_fail (error, err, "cannot cap the emulator of \"%s\"", vm->name);
    if (dirs->len == 0)
        return quota_usec < 0 || no_quota (core, vm->name, error);
    if (cap_steps (core, dirs, quota_usec, undo, error))
        return corral_container_done (core, undo);
    g_prefix_error (error, "cannot cap the emulator and I/O threads of \"%s\": ", vm->name);
    return corral_undo_run (undo, error);
}

gboolean
corral_container_get_helpers_cap (CorralContainerCore *core, pid_t pid, gint64 *ret_quota_usec)
{
    g_autoptr (GPtrArray) dirs = NULL;
    g_autofree char *place = NULL;
    gint64 sum = 0;

    if ((core->features & CORRAL_FEATURE_CAP) == 0 ||
        find_dirs (core, core->cpu, pid, &dirs, &place) != 0 || dirs->len == 0)
        return FALSE;
    for (guint i = 0; i < dirs->len && sum >= 0; i++) {
        CorralContainerCap cap;

        if (!corral_backend_of (core->cpu)->read_cap (core, core->cpu, g_ptr_array_index (dirs, i),
                                                      &cap, NULL))
            return FALSE;
        sum = cap.quota_usec < 0 || cap.period_usec <= 0
                  ? -1
                  : sum + cap.quota_usec * PERIOD_USEC / cap.period_usec;
    }
    *ret_quota_usec = sum;
    return TRUE;
}

/* The largest quota times the longest period is more than a signed number holds. */
static gboolean
is_larger (const CorralContainerCap *cap, const CorralContainerCap *than)
{
    return cap->quota_usec >= 0 && cap->period_usec > 0 && than->quota_usec >= 0 &&
           (guint64) cap->quota_usec * (guint64) than->period_usec >
               (guint64) than->quota_usec * (guint64) cap->period_usec;
}

/* A directory that is removed meanwhile is in nobody's way. */
static gboolean
lift_cap (CorralContainerCore *core, const char *dir, const CorralContainerCap *cap,
          CorralUndo *undo, GError **error)
{
    const CorralBackend *backend = corral_backend_of (core->cpu);
    CorralContainerCap now, none;
    GError *problem = NULL;

    if (!backend->read_cap (core, core->cpu, dir, &now, NULL) || !is_larger (&now, cap))
        return TRUE;
    none = (CorralContainerCap){ -1, now.period_usec, 0 };
    if (backend->write_cap (core, core->cpu, dir, &none, undo, &problem))
        return TRUE;
    if (corral_io_exists (core->cpu->tree.fd, dir)) {
        g_propagate_error (error, problem);
        return FALSE;
    }
    g_error_free (problem);
    return TRUE;
}

static gboolean
lift_group (CorralContainerCore *core, const char *group, const CorralContainerCap *cap,
            CorralUndo *undo, GError **error)
{
    g_autoptr (GPtrArray) names = NULL;

    if (corral_io_list (core->cpu->tree.fd, group, &names) != 0)
        return TRUE;
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *dir = corral_dir_file (group, g_ptr_array_index (names, i));

        if (!lift_cap (core, dir, cap, undo, error))
            return FALSE;
    }
    return lift_cap (core, group, cap, undo, error);
}

gboolean
corral_container_lift_caps (CorralContainerCore *core, const char *path,
                            const CorralContainerCap *cap, GHashTable *keep, GError **error)
{
    g_autoptr (CorralUndo) undo = corral_undo_new ();
    g_autoptr (GPtrArray) names = NULL;
    g_autofree char *dir = NULL;

    if ((core->features & CORRAL_FEATURE_CAP) == 0 || core->cpu->version != 1 ||
        cap->quota_usec < 0)
        return TRUE;
    if (!corral_container_path_to_dir (path, &dir, error))
        return FALSE;
    if (corral_io_list (core->cpu->tree.fd, dir, &names) != 0)
        return TRUE;
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *group = corral_dir_file (dir, g_ptr_array_index (names, i));

        if (!corral_container_is_group (g_ptr_array_index (names, i)) ||
            g_hash_table_contains (keep, group) || lift_group (core, group, cap, undo, error))
            continue;
        g_prefix_error (error, "cannot take the cap away from \"%s\", which has left: ", group);
        return corral_undo_run (undo, error);
    }
    return corral_container_done (core, undo);
}

/* --- back to no wish --- */

static gboolean
unpin_steps (CorralContainerCore *core, pid_t tid, const char *place, CorralUndo *undo,
             GError **error)
{
    const char *file = corral_backend_of (core->cpuset)->cpus_file;
    g_autoptr (GHashTable) before = corral_threads_before_new ();
    g_autofree char *name = g_path_get_basename (place), *path = corral_dir_file (place, file);
    g_autofree char *above = corral_container_dir_parent (place), *list = NULL;
    g_autoptr (CorralCpuset) allowed = NULL;
    CorralThreadRole role;
    int index, err;

    corral_threads_remember (core, before, tid, NULL);
    corral_threads_undo (core, before, undo);
    if (corral_container_role_parse (name, &role, &index) &&
        corral_io_exists (core->cpuset->tree.fd, path)) {
        /* v2 lets no cpuset with tasks be emptied again; but what the whole host has is bounded by
         * what is above it, whatever that becomes. v1 takes only what is granted above. */
        const char *from = core->cpuset->version == 1 ? above : "";

        err = corral_cpuset_effective (core->cpuset, from, FALSE, &allowed);
        if (err != 0)
            return corral_io_fail (error, err, "cannot read the cpuset of \"%s\"", from);
        list = corral_cpuset_format (allowed);
        if (!corral_step_write (core, core->cpuset, place, file, list, undo, error))
            return FALSE;
        g_clear_pointer (&allowed, hwloc_bitmap_free);
    }
    err = corral_cpuset_effective (core->cpuset, place, FALSE, &allowed);
    if (err == ENOENT)
        err = corral_cpuset_effective (core->cpuset, above, FALSE, &allowed);
    if (err != 0)
        return corral_io_fail (error, err, "cannot read the cpuset of \"%s\"", place);
    return corral_thread_settle (core, tid, NULL, allowed, allowed, error);
}

gboolean
corral_container_unpin_thread (CorralContainerCore *core, pid_t pid, pid_t tid, GError **error)
{
    g_autoptr (CorralUndo) undo = corral_undo_new ();
    g_autofree char *text = NULL, *place = NULL;
    int err = pid > 0 && tid > 0 ? 0 : EINVAL;

    if (core->cpuset == NULL)
        return TRUE;
    if (err == 0)
        err = corral_proc_cgroups (core, pid, tid, &text);
    if (err != 0)
        return corral_io_fail (error, err, "cannot read the cgroups of thread %d of process %d",
                               (int) tid, (int) pid);
    place = corral_proc_dir (core->cpuset, text);
    if (place == NULL)
        place = g_strdup ("");
    if (unpin_steps (core, tid, place, undo, error))
        return corral_container_done (core, undo);
    g_prefix_error (error, "cannot unpin thread %d of process %d: ", (int) tid, (int) pid);
    return corral_undo_run (undo, error);
}

static gboolean
unpin_all (CorralContainerCore *core, const CorralContainerVm *vm, CorralUndo *undo, GError **error)
{
    g_autoptr (GArray) tids = NULL;
    int err = find_threads (core, vm, &tids);

    if (err != 0)
        return corral_io_fail (error, err, "cannot find them");
    for (guint i = 0; i < tids->len; i++) {
        g_autofree char *text = NULL, *place = NULL;
        pid_t tid = g_array_index (tids, pid_t, i);

        if (corral_proc_cgroups (core, vm->pid, tid, &text) != 0)
            continue;
        place = corral_proc_dir (core->cpuset, text);
        if (place != NULL && !unpin_steps (core, tid, place, undo, error))
            return FALSE;
    }
    return TRUE;
}

gboolean
corral_container_unpin_helpers (CorralContainerCore *core, const CorralContainerVm *vm,
                                GError **error)
{
    g_autoptr (CorralUndo) undo = corral_undo_new ();

    if (core->cpuset == NULL || unpin_all (core, vm, undo, error))
        return corral_container_done (core, undo);
    g_prefix_error (error, "cannot unpin the emulator and I/O threads of \"%s\": ", vm->name);
    return corral_undo_run (undo, error);
}

/* --- who is there --- */

guint
corral_container_count_vms (CorralContainerCore *core, const char *path)
{
    g_autoptr (GPtrArray) names = NULL;
    g_autofree char *dir = NULL;
    guint n = 0;

    if (!corral_container_path_to_dir (path, &dir, NULL) ||
        corral_io_list (core->main->tree.fd, dir, &names) != 0)
        return 0;
    for (guint i = 0; i < names->len; i++) {
        const char *name = g_ptr_array_index (names, i);
        g_autofree char *group = corral_dir_file (dir, name);

        n +=
            corral_container_is_group (name) && corral_dir_is_populated (core->main, group) ? 1 : 0;
    }
    return n;
}
