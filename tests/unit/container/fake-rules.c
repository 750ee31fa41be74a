/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/container/fake-kernel-private.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

static gboolean
is_threaded (const Tree *tree, const char *dir)
{
    g_autofree char *type = fake_get (tree, dir, "cgroup.type");

    return *dir != '\0' && g_strcmp0 (type, "threaded") == 0;
}

static char *
domain_of (const Tree *tree, const char *dir)
{
    char *at = g_strdup (dir);

    while (is_threaded (tree, at)) {
        char *up = corral_container_dir_parent (at);

        g_free (at);
        at = up;
    }
    return at;
}

static gboolean
has_threads (FakeKernel *k, const Tree *tree, const char *dir)
{
    for (guint i = 0; i < k->threads->len; i++)
        if (g_str_equal (fake_place (g_ptr_array_index (k->threads, i), tree), dir))
            return TRUE;
    return FALSE;
}

static void
set_place (FakeKernel *k, Thread *thread, Tree *tree, const char *dir, gboolean keeps_affinity)
{
    g_hash_table_insert (thread->places, tree, g_strdup (dir));
    if (tree == fake_tree_with (k, "cpuset") && !keeps_affinity) {
        g_autoptr (CorralCpuset) allowed = fake_granted (tree, dir);

        fake_apply_user (thread, allowed);
    }
}

static int
check_destination (const Tree *tree, const char *dir)
{
    g_autofree char *on = NULL;
    g_autofree char *type = NULL;

    if (tree->version == 1) {
        g_autoptr (CorralCpuset) cpus = fake_get_set (tree, dir, "cpuset.effective_cpus");
        g_autoptr (CorralCpuset) mems = fake_get_set (tree, dir, "cpuset.effective_mems");

        return fake_has (tree, dir, "cpuset.cpus") &&
                       (hwloc_bitmap_iszero (cpus) || hwloc_bitmap_iszero (mems))
                   ? ENOSPC
                   : 0;
    }
    if (*dir == '\0')
        return 0;
    type = fake_get (tree, dir, "cgroup.type");
    if (g_str_equal (type, "domain invalid"))
        return EOPNOTSUPP;
    on = fake_get (tree, dir, "cgroup.subtree_control");
    /* Threaded controllers allow it: the directory can become a threaded domain's root. */
    if (g_str_equal (type, "domain") &&
        (fake_word_in (on, " ", "memory") || fake_word_in (on, " ", "io")))
        return EBUSY;
    return 0;
}

int
fake_move (FakeKernel *k, Tree *tree, const char *dir, const char *text, gboolean whole)
{
    const pid_t number = (pid_t) g_ascii_strtoll (text, NULL, 10);
    g_autofree char *domain = domain_of (tree, dir);
    gboolean found = FALSE;
    int err = check_destination (tree, dir);

    for (guint i = 0; err == 0 && i < k->threads->len; i++) {
        Thread *thread = g_ptr_array_index (k->threads, i);
        g_autofree char *from = NULL;

        if (whole ? thread->pid != number : thread->tid != number)
            continue;
        found = TRUE;
        from = domain_of (tree, fake_place (thread, tree));
        if (!whole && tree->version == 2 && !g_str_equal (from, domain))
            return EOPNOTSUPP;
        set_place (k, thread, tree, dir, whole && k->stale && thread->tid != thread->pid);
    }
    return err != 0 ? err : found ? 0 : ESRCH;
}

static int
write_cpuset (FakeKernel *k, const Tree *tree, const char *dir, const char *file, const char *text)
{
    g_autofree char *parent = corral_container_dir_parent (dir);
    g_autofree char *top_file = g_str_has_suffix (file, "cpus")
                                    ? g_strdup ("cpuset.effective_cpus")
                                    : g_strdup ("cpuset.effective_mems");
    g_autoptr (GPtrArray) below = fake_children (tree, dir);
    g_autoptr (CorralCpuset) set = NULL;
    g_autoptr (CorralCpuset) above = NULL;

    if (!corral_cpuset_parse (text, &set, NULL))
        return EINVAL;
    if (*dir == '\0')
        return EACCES;
    if (tree->version == 1) {
        above = fake_get_set (tree, parent, *parent != '\0' ? file : top_file);
        if (hwloc_bitmap_iszero (set) && has_threads (k, tree, dir))
            return ENOSPC;
        for (guint i = 0; i < below->len; i++) {
            g_autoptr (CorralCpuset) child =
                fake_get_set (tree, g_ptr_array_index (below, i), file);

            if (!hwloc_bitmap_isincluded (child, set))
                return EBUSY;
        }
        if (!hwloc_bitmap_isincluded (set, above))
            return EACCES;
    }
    fake_put_set (tree, dir, file, set);
    return 0;
}

gint64
fake_number (const Tree *tree, const char *dir, const char *file)
{
    g_autofree char *text = fake_get (tree, dir, file);

    return text != NULL ? g_ascii_strtoll (text, NULL, 10) : -1;
}

/* The share of a period, scaled; no quota is no limit. */
static gint64
ratio (const Tree *tree, const char *dir)
{
    const gint64 quota = *dir != '\0' ? fake_number (tree, dir, "cpu.cfs_quota_us") : -1;

    return quota < 0 ? G_MAXINT64
                     : (gint64) (((guint64) quota << 20) /
                                 (guint64) fake_number (tree, dir, "cpu.cfs_period_us"));
}

/* What limits @dir: its own share, or that of the nearest above that has one. */
static gint64
limit (const Tree *tree, const char *dir)
{
    g_autofree char *parent = NULL;

    if (*dir == '\0')
        return G_MAXINT64;
    parent = corral_container_dir_parent (dir);
    return ratio (tree, dir) != G_MAXINT64 ? ratio (tree, dir) : limit (tree, parent);
}

static gboolean
limits_hold (const Tree *tree, const char *dir)
{
    g_autofree char *parent = corral_container_dir_parent (dir);
    g_autoptr (GPtrArray) below = fake_children (tree, dir);

    if (*dir != '\0' && ratio (tree, dir) != G_MAXINT64 && ratio (tree, dir) > limit (tree, parent))
        return FALSE;
    for (guint i = 0; i < below->len; i++)
        if (!limits_hold (tree, g_ptr_array_index (below, i)))
            return FALSE;
    return TRUE;
}

static int
write_bandwidth (const Tree *tree, const char *dir, const char *file, const char *text)
{
    g_autofree char *old = fake_get (tree, dir, file);
    g_autofree char *max = NULL;
    const char *burst_file = tree->version == 1 ? "cpu.cfs_burst_us" : "cpu.max.burst";
    gint64 quota, burst;

    fake_put (tree, dir, file, text);
    max = fake_get (tree, dir, tree->version == 1 ? "cpu.cfs_quota_us" : "cpu.max");
    quota = g_str_has_prefix (max, "max") ? -1 : g_ascii_strtoll (max, NULL, 10);
    burst = fake_number (tree, dir, burst_file);
    if ((quota >= 0 && burst > quota) || (tree->version == 1 && !limits_hold (tree, ""))) {
        fake_put (tree, dir, file, old);
        return EINVAL;
    }
    return 0;
}

static int
write_control (FakeKernel *k, const Tree *tree, const char *dir, const char *text)
{
    g_autofree char *own = fake_get (tree, dir, "cgroup.controllers");
    g_autofree char *on = fake_get (tree, dir, "cgroup.subtree_control");
    g_autofree char *type = fake_get (tree, dir, "cgroup.type");
    g_autoptr (GPtrArray) below = fake_children (tree, dir);
    g_auto (GStrv) changes = g_strsplit (text, " ", -1);
    g_autoptr (GString) now = g_string_new (NULL);
    static const char *const all[] = { "cpuset", "cpu", "io", "memory", "kvm" };

    for (guint c = 0; changes[c] != NULL; c++) {
        const char *name = changes[c] + 1;
        const gboolean threadable = g_str_has_prefix (name, "cpu") || g_str_equal (name, "kvm");

        if (*changes[c] == '+' && !fake_word_in (own, " ", name))
            return ENOENT;
        if (*changes[c] == '+' && !threadable && *dir != '\0' &&
            (has_threads (k, tree, dir) || !g_str_equal (type, "domain")))
            return EBUSY;
        for (guint i = 0; i < below->len && *changes[c] == '-'; i++) {
            g_autofree char *child_on =
                fake_get (tree, g_ptr_array_index (below, i), "cgroup.subtree_control");

            if (fake_word_in (child_on, " ", name))
                return EBUSY;
        }
    }
    for (guint i = 0; i < G_N_ELEMENTS (all); i++) {
        gboolean is_on = fake_word_in (on, " ", all[i]);

        for (guint c = 0; changes[c] != NULL; c++)
            if (g_strcmp0 (changes[c] + 1, all[i]) == 0)
                is_on = *changes[c] == '+';
        if (is_on)
            g_string_append_printf (now, "%s%s", now->len > 0 ? " " : "", all[i]);
    }
    fake_put (tree, dir, "cgroup.subtree_control", now->str);
    for (guint i = 0; i < below->len; i++) {
        fake_put (tree, g_ptr_array_index (below, i), "cgroup.controllers", now->str);
        fake_fill (tree, g_ptr_array_index (below, i));
    }
    return 0;
}

static int
write_type (FakeKernel *k, const Tree *tree, const char *dir, const char *text)
{
    if (!g_str_equal (text, "threaded"))
        return EINVAL;
    if (has_threads (k, tree, dir))
        return EOPNOTSUPP;
    fake_put (tree, dir, "cgroup.type", "threaded");
    return 0;
}

static int
do_write (FakeKernel *k, Tree *tree, const char *path, const char *raw)
{
    g_autofree char *dir = corral_container_dir_parent (path);
    const char *file = strrchr (path, '/') != NULL ? strrchr (path, '/') + 1 : path;
    g_autofree char *text = g_strchomp (g_strdup (raw));

    if (!fake_has (tree, dir, file))
        return ENOENT;
    if (g_str_equal (file, "cgroup.procs"))
        return fake_move (k, tree, dir, text, TRUE);
    if (g_str_equal (file, "tasks") || g_str_equal (file, "cgroup.threads"))
        return fake_move (k, tree, dir, text, FALSE);
    if (g_str_equal (file, "kvm.attach"))
        return fake_kvm_attach (k, tree, dir, text);
    if (g_str_equal (file, "cpuset.cpus.partition")) {
        if (!fake_word_in ("member root isolated", " ", text))
            return EINVAL;
        fake_put (tree, dir, file, text);
        return 0;
    }
    if (g_str_has_prefix (file, "cpuset."))
        return write_cpuset (k, tree, dir, file, text);
    if (g_str_has_prefix (file, "cpu.cfs") || g_str_has_prefix (file, "cpu.max"))
        return write_bandwidth (tree, dir, file, text);
    if (g_str_equal (file, "cgroup.subtree_control"))
        return write_control (k, tree, dir, text);
    if (g_str_equal (file, "cgroup.type"))
        return write_type (k, tree, dir, text);
    fake_put (tree, dir, file, text);
    return 0;
}

static int
do_mkdir (const Tree *tree, const char *dir)
{
    g_autofree char *path = fake_file_path (tree, dir, "");
    g_autofree char *parent = corral_container_dir_parent (dir);

    if (g_mkdir (path, 0755) < 0)
        return errno;
    fake_fill (tree, dir);
    if (tree->version == 2) {
        g_autofree char *on = fake_get (tree, parent, "cgroup.subtree_control");
        g_autofree char *type = fake_get (tree, parent, "cgroup.type");

        fake_put (tree, dir, "cgroup.controllers", on);
        if (*parent != '\0' && g_str_has_suffix (type, "threaded"))
            fake_put (tree, dir, "cgroup.type", "domain invalid");
        fake_fill (tree, dir);
    }
    return 0;
}

static int
do_rmdir (FakeKernel *k, const Tree *tree, const char *dir)
{
    g_autofree char *path = fake_file_path (tree, dir, "");
    g_autoptr (GPtrArray) below = NULL;

    if (!g_file_test (path, G_FILE_TEST_IS_DIR))
        return ENOENT;
    below = fake_children (tree, dir);
    if (below->len > 0 || has_threads (k, tree, dir))
        return EBUSY;
    fake_clear (tree, dir);
    return g_rmdir (path) < 0 ? errno : 0;
}

Thread *
fake_find_thread (FakeKernel *k, pid_t tid)
{
    for (guint i = 0; i < k->threads->len; i++)
        if (((Thread *) g_ptr_array_index (k->threads, i))->tid == tid)
            return g_ptr_array_index (k->threads, i);
    return NULL;
}

int
fake_do_affinity (FakeKernel *k, pid_t tid, const char *list)
{
    Thread *thread = fake_find_thread (k, tid);
    Tree *cpuset = fake_tree_with (k, "cpuset");
    g_autoptr (CorralCpuset) allowed = NULL;
    g_autoptr (CorralCpuset) wanted = NULL;

    if (thread == NULL)
        return ESRCH;
    if (k->deaf > 0) {
        k->deaf--;
        return 0;
    }
    allowed = fake_granted (cpuset, fake_place (thread, cpuset));
    if (!corral_cpuset_parse (g_str_equal (list, "all") ? "0-1023" : list, &wanted, NULL))
        return EINVAL;
    if (!hwloc_bitmap_intersects (wanted, allowed))
        return EINVAL;
    hwloc_bitmap_copy (thread->user, wanted);
    fake_apply_user (thread, allowed);
    return 0;
}

int
fake_kernel_hook (const CorralIoCall *call, gpointer data)
{
    FakeKernel *k = data;
    Tree *tree = NULL;
    int err = ENOENT;

    /* The folder keeps notes on its directories as a kernel does. */
    if (call->op == CORRAL_IO_WRITE && strstr (call->path, "/" CORRAL_IO_NOTE) != NULL)
        return 0;
    for (guint i = 0; i < k->trees->len; i++)
        if (g_str_equal (((Tree *) g_ptr_array_index (k->trees, i))->mount, call->mount))
            tree = g_ptr_array_index (k->trees, i);
    switch (call->op) {
    case CORRAL_IO_WRITE:
        err = do_write (k, tree, call->path, call->text);
        break;
    case CORRAL_IO_MKDIR:
        err = do_mkdir (tree, call->path);
        break;
    case CORRAL_IO_RMDIR:
        err = do_rmdir (k, tree, call->path);
        break;
    case CORRAL_IO_AFFINITY:
        err = fake_do_affinity (k, (pid_t) g_ascii_strtoll (call->path, NULL, 10), call->text);
        break;
    }
    fake_refresh (k, call->op == CORRAL_IO_WRITE && strstr (call->path, "cpuset.") != NULL);
    return err == 0 ? CORRAL_IO_DONE : err;
}
