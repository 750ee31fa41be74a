/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/container/fake-kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    char *mount; /* "/sys/fs/cgroup/cpu" */
    char *files; /* where that is in the folder */
    int version;
    const char *controllers; /* v1: its mount option; v2: space-separated */
    int number;
    GHashTable *texts; /* what the files hold, to be spared reading and writing them again */
} Tree;

typedef struct {
    pid_t tid, pid;
    GHashTable *places; /* Tree -> directory */
    CorralCpuset *user, *now;
    char *written; /* what its /proc files hold */
} Thread;

struct _FakeKernel {
    FakeKind kind;
    char *root;
    int root_fd;
    char *cpus;
    GPtrArray *trees;
    GPtrArray *threads;
    pid_t next_pid;
    gboolean stale;
    guint deaf;
};

static const struct {
    const char *controller; /* prefix of the file's name; "" for those of every directory */
    int version;
    const char *file, *text;
} files[] = {
    { "", 0, "cgroup.procs", "" },
    { "", 1, "tasks", "" },
    { "cpu", 1, "cpu.shares", "1024" },
    { "cpu", 1, "cpu.cfs_quota_us", "-1" },
    { "cpu", 1, "cpu.cfs_period_us", "100000" },
    { "cpu", 1, "cpu.cfs_burst_us", "0" },
    { "cpu", 1, "cpu.stat", "nr_periods 0\nnr_throttled 0\nthrottled_time 0" },
    { "cpuset", 1, "cpuset.cpus", "" },
    { "cpuset", 1, "cpuset.mems", "" },
    { "cpuset", 1, "cpuset.effective_cpus", "" },
    { "cpuset", 1, "cpuset.effective_mems", "" },
    { "cpuacct", 1, "cpuacct.usage", "0" },
    { "cpuacct", 1, "cpuacct.usage_user", "0" },
    { "cpuacct", 1, "cpuacct.usage_sys", "0" },
    { "cpuacct", 1, "cpuacct.usage_percpu", "0 0 0 0 " },
    { "", 2, "cgroup.type", "domain" },
    { "", 2, "cgroup.threads", "" },
    { "", 2, "cgroup.controllers", "" },
    { "", 2, "cgroup.subtree_control", "" },
    { "", 2, "cpu.stat", "usage_usec 0\nuser_usec 0\nsystem_usec 0" },
    { "cpu", 2, "cpu.weight", "100" },
    { "cpu", 2, "cpu.max", "max 100000" },
    { "cpu", 2, "cpu.max.burst", "0" },
    { "cpuset", 2, "cpuset.cpus", "" },
    { "cpuset", 2, "cpuset.mems", "" },
    { "cpuset", 2, "cpuset.cpus.effective", "" },
    { "cpuset", 2, "cpuset.mems.effective", "" },
};

/* --- files ------------------------------------------------------------------------------------- */

static char *
file_path (const Tree *tree, const char *dir, const char *file)
{
    return g_build_filename (tree->files, dir, file, NULL);
}

static void
put (const Tree *tree, const char *dir, const char *file, const char *text)
{
    g_autofree char *path = file_path (tree, dir, file);
    g_autofree char *line = g_strconcat (text, *text != '\0' ? "\n" : "", NULL);
    g_autofree char *kept = g_strdup (text);
    int fd;

    if (g_strcmp0 (g_hash_table_lookup (tree->texts, path), text) == 0)
        return;
    fd = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    /* In place, not by rename: the core keeps descriptors open. */
    g_assert_cmpint (fd, >=, 0);
    g_assert_cmpint (write (fd, line, strlen (line)), ==, (gssize) strlen (line));
    close (fd);
    g_hash_table_insert (tree->texts, g_steal_pointer (&path), g_steal_pointer (&kept));
}

static void
drop (const Tree *tree, const char *dir, const char *file)
{
    g_autofree char *path = file_path (tree, dir, file);

    if (g_hash_table_remove (tree->texts, path))
        g_unlink (path);
}

static char *
get (const Tree *tree, const char *dir, const char *file)
{
    g_autofree char *path = file_path (tree, dir, file);

    return g_strdup (g_hash_table_lookup (tree->texts, path));
}

static gboolean
has (const Tree *tree, const char *dir, const char *file)
{
    g_autofree char *path = file_path (tree, dir, file);

    return g_hash_table_contains (tree->texts, path);
}

static CorralCpuset *
get_set (const Tree *tree, const char *dir, const char *file)
{
    g_autofree char *text = get (tree, dir, file);
    CorralCpuset *set = NULL;

    if (text == NULL || !corral_cpuset_parse (text, &set, NULL))
        return hwloc_bitmap_alloc ();
    return set;
}

static void
put_set (const Tree *tree, const char *dir, const char *file, const CorralCpuset *set)
{
    g_autofree char *list = corral_cpuset_format (set);

    put (tree, dir, file, list);
}

static GPtrArray *
children (const Tree *tree, const char *dir)
{
    g_autofree char *path = file_path (tree, dir, "");
    GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
    GDir *listing = g_dir_open (path, 0, NULL);
    const char *name;

    while (listing != NULL && (name = g_dir_read_name (listing)) != NULL)
      {
        g_autofree char *child = g_build_filename (path, name, NULL);

        if (g_file_test (child, G_FILE_TEST_IS_DIR))
            g_ptr_array_add (names, *dir != '\0' ? g_build_filename (dir, name, NULL)
                                                 : g_strdup (name));
      }
    g_clear_pointer (&listing, g_dir_close);
    return names;
}

static gboolean
word_in (const char *words, const char *separator, const char *word)
{
    g_auto (GStrv) list = g_strsplit (words != NULL ? words : "", separator, -1);

    return g_strv_contains ((const char *const *) list, word);
}

static gboolean
tree_has (const Tree *tree, const char *dir, const char *controller)
{
    g_autofree char *on = NULL;

    if (*controller == '\0')
        return TRUE;
    if (tree->version == 1)
        return word_in (tree->controllers, ",", controller);
    on = get (tree, dir, "cgroup.controllers");
    return word_in (on, " ", controller) && *dir != '\0';
}

/* Makes the files that @dir should have, and removes those of controllers that are off. */
static void
fill (const Tree *tree, const char *dir)
{
    for (guint i = 0; i < G_N_ELEMENTS (files); i++)
      {
        if (files[i].version != 0 && files[i].version != tree->version)
            continue;
        if (!tree_has (tree, dir, files[i].controller))
            drop (tree, dir, files[i].file);
        else if (!has (tree, dir, files[i].file))
            put (tree, dir, files[i].file, files[i].text);
      }
}

/* --- what follows from the state --------------------------------------------------------------- */

static const char *
place (const Thread *thread, const Tree *tree)
{
    return g_hash_table_lookup (thread->places, tree);
}

static void
refresh_lists (FakeKernel *k, const Tree *tree, const char *dir)
{
    g_autoptr (GString) threads = g_string_new (NULL);
    g_autoptr (GString) procs = g_string_new (NULL);
    g_autoptr (GPtrArray) below = children (tree, dir);

    for (guint i = 0; i < k->threads->len; i++)
      {
        const Thread *thread = g_ptr_array_index (k->threads, i);

        if (!g_str_equal (place (thread, tree), dir))
            continue;
        g_string_append_printf (threads, "%s%d", threads->len > 0 ? "\n" : "", thread->tid);
        if (thread->tid == thread->pid)
            g_string_append_printf (procs, "%s%d", procs->len > 0 ? "\n" : "", thread->tid);
      }
    put (tree, dir, tree->version == 1 ? "tasks" : "cgroup.threads", threads->str);
    put (tree, dir, "cgroup.procs", procs->str);
    for (guint i = 0; i < below->len; i++)
        refresh_lists (k, tree, g_ptr_array_index (below, i));
}

static void
refresh_effective (const Tree *tree, const char *dir, const char *kind, const CorralCpuset *above)
{
    g_autofree char *wanted_file = g_strconcat ("cpuset.", kind, NULL);
    g_autofree char *file = tree->version == 1 ? g_strconcat ("cpuset.effective_", kind, NULL)
                                               : g_strconcat ("cpuset.", kind, ".effective", NULL);
    g_autoptr (CorralCpuset) set = get_set (tree, dir, wanted_file);
    g_autoptr (GPtrArray) below = children (tree, dir);

    if (above == NULL)
      {
        /* The top: a fixed set. */
        hwloc_bitmap_free (set);
        set = get_set (tree, dir, file);
      }
    else
      {
        hwloc_bitmap_and (set, set, above);
        if (hwloc_bitmap_iszero (set) && tree->version == 2)
            hwloc_bitmap_copy (set, above);
        if (has (tree, dir, file))
            put_set (tree, dir, file, set);
        else
            hwloc_bitmap_copy (set, above);
      }
    for (guint i = 0; i < below->len; i++)
        refresh_effective (tree, g_ptr_array_index (below, i), kind, set);
}

static void
refresh_types (const Tree *tree, const char *dir)
{
    g_autoptr (GPtrArray) below = children (tree, dir);
    g_autofree char *type = get (tree, dir, "cgroup.type");
    gboolean threaded = FALSE;

    for (guint i = 0; i < below->len; i++)
      {
        g_autofree char *other = NULL;

        refresh_types (tree, g_ptr_array_index (below, i));
        other = get (tree, g_ptr_array_index (below, i), "cgroup.type");
        threaded |= g_strcmp0 (other, "threaded") == 0;
      }
    if (*dir != '\0' && g_strcmp0 (type, "threaded") != 0 && g_strcmp0 (type, "domain invalid") != 0)
        put (tree, dir, "cgroup.type", threaded ? "domain threaded" : "domain");
}

static Tree *
tree_with (FakeKernel *k, const char *controller)
{
    for (guint i = 0; i < k->trees->len; i++)
      {
        Tree *tree = g_ptr_array_index (k->trees, i);

        if (word_in (tree->controllers, tree->version == 1 ? "," : " ", controller))
            return tree;
      }
    return NULL;
}

/* What the cpuset controller grants in @dir: the nearest directory's for which it is on. */
static CorralCpuset *
granted (const Tree *tree, const char *dir)
{
    const char *file = tree->version == 1 ? "cpuset.effective_cpus" : "cpuset.cpus.effective";
    g_autofree char *at = g_strdup (dir);

    while (!has (tree, at, file))
      {
        char *up = corral_container_dir_parent (at);

        g_free (at);
        at = up;
      }
    return get_set (tree, at, file);
}

static void
apply_user (Thread *thread, const CorralCpuset *allowed)
{
    hwloc_bitmap_and (thread->now, allowed, thread->user);
    if (hwloc_bitmap_iszero (thread->now))
        hwloc_bitmap_copy (thread->now, allowed);
}

static void
write_proc (FakeKernel *k, Thread *thread)
{
    g_autofree char *own = g_strdup_printf ("%s/proc/%d", k->root, thread->tid);
    g_autofree char *task = g_strdup_printf ("%s/proc/%d/task/%d", k->root, thread->pid, thread->tid);
    g_autofree char *own_cgroup = g_build_filename (own, "cgroup", NULL);
    g_autofree char *task_cgroup = g_build_filename (task, "cgroup", NULL);
    g_autofree char *status = g_build_filename (own, "status", NULL);
    g_autofree char *list = corral_cpuset_format (thread->now);
    g_autofree char *text = g_strdup_printf ("Name:\tvm\nCpus_allowed_list:\t%s\nMems_allowed:\t1\n", list);
    g_autoptr (GString) cgroups = g_string_new (NULL);
    g_autofree char *all = NULL;

    for (guint i = 0; i < k->trees->len; i++)
      {
        const Tree *tree = g_ptr_array_index (k->trees, i);

        g_string_append_printf (cgroups, "%d:%s:/%s\n", tree->number,
                                tree->version == 1 ? tree->controllers : "", place (thread, tree));
      }
    all = g_strconcat (text, cgroups->str, NULL);
    if (g_strcmp0 (all, thread->written) == 0)
        return;
    g_free (thread->written);
    thread->written = g_steal_pointer (&all);
    g_assert_cmpint (g_mkdir_with_parents (own, 0755), ==, 0);
    g_assert_cmpint (g_mkdir_with_parents (task, 0755), ==, 0);
    g_assert_true (g_file_set_contents (status, text, -1, NULL));
    g_assert_true (g_file_set_contents (own_cgroup, cgroups->str, -1, NULL));
    g_assert_true (g_file_set_contents (task_cgroup, cgroups->str, -1, NULL));
}

static void
refresh (FakeKernel *k, gboolean cpuset_written)
{
    Tree *cpuset = tree_with (k, "cpuset");

    for (guint i = 0; i < k->trees->len; i++)
      {
        const Tree *tree = g_ptr_array_index (k->trees, i);

        refresh_lists (k, tree, "");
        if (tree->version == 2)
            refresh_types (tree, "");
      }
    refresh_effective (cpuset, "", "cpus", NULL);
    refresh_effective (cpuset, "", "mems", NULL);
    for (guint i = 0; i < k->threads->len; i++)
      {
        Thread *thread = g_ptr_array_index (k->threads, i);
        g_autoptr (CorralCpuset) allowed = granted (cpuset, place (thread, cpuset));

        if (cpuset_written)
            apply_user (thread, allowed);
        write_proc (k, thread);
      }
}

/* --- the rules --------------------------------------------------------------------------------- */

static gboolean
is_threaded (const Tree *tree, const char *dir)
{
    g_autofree char *type = get (tree, dir, "cgroup.type");

    return *dir != '\0' && g_strcmp0 (type, "threaded") == 0;
}

static char *
domain_of (const Tree *tree, const char *dir)
{
    char *at = g_strdup (dir);

    while (is_threaded (tree, at))
      {
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
        if (g_str_equal (place (g_ptr_array_index (k->threads, i), tree), dir))
            return TRUE;
    return FALSE;
}

static void
set_place (FakeKernel *k, Thread *thread, Tree *tree, const char *dir, gboolean keeps_affinity)
{
    g_hash_table_insert (thread->places, tree, g_strdup (dir));
    if (tree == tree_with (k, "cpuset") && !keeps_affinity)
      {
        g_autoptr (CorralCpuset) allowed = granted (tree, dir);

        apply_user (thread, allowed);
      }
}

static int
check_destination (const Tree *tree, const char *dir)
{
    g_autofree char *on = NULL;
    g_autofree char *type = NULL;

    if (tree->version == 1)
      {
        g_autoptr (CorralCpuset) cpus = get_set (tree, dir, "cpuset.effective_cpus");
        g_autoptr (CorralCpuset) mems = get_set (tree, dir, "cpuset.effective_mems");

        return has (tree, dir, "cpuset.cpus") &&
                       (hwloc_bitmap_iszero (cpus) || hwloc_bitmap_iszero (mems))
                   ? ENOSPC
                   : 0;
      }
    if (*dir == '\0')
        return 0;
    type = get (tree, dir, "cgroup.type");
    if (g_str_equal (type, "domain invalid"))
        return EOPNOTSUPP;
    on = get (tree, dir, "cgroup.subtree_control");
    /* Threaded controllers allow it: the directory can become a threaded domain's root. */
    if (g_str_equal (type, "domain") &&
        (word_in (on, " ", "memory") || word_in (on, " ", "io")))
        return EBUSY;
    return 0;
}

static int
move (FakeKernel *k, Tree *tree, const char *dir, const char *text, gboolean whole)
{
    const pid_t number = (pid_t) g_ascii_strtoll (text, NULL, 10);
    g_autofree char *domain = domain_of (tree, dir);
    gboolean found = FALSE;
    int err = check_destination (tree, dir);

    for (guint i = 0; err == 0 && i < k->threads->len; i++)
      {
        Thread *thread = g_ptr_array_index (k->threads, i);
        g_autofree char *from = NULL;

        if (whole ? thread->pid != number : thread->tid != number)
            continue;
        found = TRUE;
        from = domain_of (tree, place (thread, tree));
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
    g_autofree char *top_file = g_str_has_suffix (file, "cpus") ? g_strdup ("cpuset.effective_cpus")
                                                                : g_strdup ("cpuset.effective_mems");
    g_autoptr (GPtrArray) below = children (tree, dir);
    g_autoptr (CorralCpuset) set = NULL;
    g_autoptr (CorralCpuset) above = NULL;

    if (!corral_cpuset_parse (text, &set, NULL))
        return EINVAL;
    if (*dir == '\0')
        return EACCES;
    if (tree->version == 1)
      {
        above = get_set (tree, parent, *parent != '\0' ? file : top_file);
        if (hwloc_bitmap_iszero (set) && has_threads (k, tree, dir))
            return ENOSPC;
        for (guint i = 0; i < below->len; i++)
          {
            g_autoptr (CorralCpuset) child = get_set (tree, g_ptr_array_index (below, i), file);

            if (!hwloc_bitmap_isincluded (child, set))
                return EBUSY;
          }
        if (!hwloc_bitmap_isincluded (set, above))
            return EACCES;
      }
    put_set (tree, dir, file, set);
    return 0;
}

static gint64
number (const Tree *tree, const char *dir, const char *file)
{
    g_autofree char *text = get (tree, dir, file);

    return text != NULL ? g_ascii_strtoll (text, NULL, 10) : -1;
}

/* The share of a period, scaled; no quota is no limit. */
static gint64
ratio (const Tree *tree, const char *dir)
{
    const gint64 quota = *dir != '\0' ? number (tree, dir, "cpu.cfs_quota_us") : -1;

    return quota < 0 ? G_MAXINT64 : (quota << 20) / number (tree, dir, "cpu.cfs_period_us");
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
    g_autoptr (GPtrArray) below = children (tree, dir);

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
    g_autofree char *old = get (tree, dir, file);
    g_autofree char *max = NULL;
    const char *burst_file = tree->version == 1 ? "cpu.cfs_burst_us" : "cpu.max.burst";
    gint64 quota, burst;

    put (tree, dir, file, text);
    max = get (tree, dir, tree->version == 1 ? "cpu.cfs_quota_us" : "cpu.max");
    quota = g_str_has_prefix (max, "max") ? -1 : g_ascii_strtoll (max, NULL, 10);
    burst = number (tree, dir, burst_file);
    if ((quota >= 0 && burst > quota) || (tree->version == 1 && !limits_hold (tree, "")))
      {
        put (tree, dir, file, old);
        return EINVAL;
      }
    return 0;
}

static int
write_control (FakeKernel *k, const Tree *tree, const char *dir, const char *text)
{
    g_autofree char *own = get (tree, dir, "cgroup.controllers");
    g_autofree char *on = get (tree, dir, "cgroup.subtree_control");
    g_autofree char *type = get (tree, dir, "cgroup.type");
    g_autoptr (GPtrArray) below = children (tree, dir);
    g_auto (GStrv) changes = g_strsplit (text, " ", -1);
    g_autoptr (GString) now = g_string_new (NULL);
    static const char *const all[] = { "cpuset", "cpu", "io", "memory" };

    for (guint c = 0; changes[c] != NULL; c++)
      {
        const char *name = changes[c] + 1;
        const gboolean threadable = g_str_has_prefix (name, "cpu");

        if (*changes[c] == '+' && !word_in (own, " ", name))
            return ENOENT;
        if (*changes[c] == '+' && !threadable && *dir != '\0' &&
            (has_threads (k, tree, dir) || !g_str_equal (type, "domain")))
            return EBUSY;
        for (guint i = 0; i < below->len && *changes[c] == '-'; i++)
          {
            g_autofree char *child_on =
                get (tree, g_ptr_array_index (below, i), "cgroup.subtree_control");

            if (word_in (child_on, " ", name))
                return EBUSY;
          }
      }
    for (guint i = 0; i < G_N_ELEMENTS (all); i++)
      {
        gboolean is_on = word_in (on, " ", all[i]);

        for (guint c = 0; changes[c] != NULL; c++)
            if (g_strcmp0 (changes[c] + 1, all[i]) == 0)
                is_on = *changes[c] == '+';
        if (is_on)
            g_string_append_printf (now, "%s%s", now->len > 0 ? " " : "", all[i]);
      }
    put (tree, dir, "cgroup.subtree_control", now->str);
    for (guint i = 0; i < below->len; i++)
      {
        put (tree, g_ptr_array_index (below, i), "cgroup.controllers", now->str);
        fill (tree, g_ptr_array_index (below, i));
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
    put (tree, dir, "cgroup.type", "threaded");
    return 0;
}

static int
do_write (FakeKernel *k, Tree *tree, const char *path, const char *raw)
{
    g_autofree char *dir = corral_container_dir_parent (path);
    const char *file = strrchr (path, '/') != NULL ? strrchr (path, '/') + 1 : path;
    g_autofree char *text = g_strchomp (g_strdup (raw));

    if (!has (tree, dir, file))
        return ENOENT;
    if (g_str_equal (file, "cgroup.procs"))
        return move (k, tree, dir, text, TRUE);
    if (g_str_equal (file, "tasks") || g_str_equal (file, "cgroup.threads"))
        return move (k, tree, dir, text, FALSE);
    if (g_str_has_prefix (file, "cpuset."))
        return write_cpuset (k, tree, dir, file, text);
    if (g_str_has_prefix (file, "cpu.cfs") || g_str_has_prefix (file, "cpu.max"))
        return write_bandwidth (tree, dir, file, text);
    if (g_str_equal (file, "cgroup.subtree_control"))
        return write_control (k, tree, dir, text);
    if (g_str_equal (file, "cgroup.type"))
        return write_type (k, tree, dir, text);
    put (tree, dir, file, text);
    return 0;
}

static int
do_mkdir (const Tree *tree, const char *dir)
{
    g_autofree char *path = file_path (tree, dir, "");
    g_autofree char *parent = corral_container_dir_parent (dir);

    if (g_mkdir (path, 0755) < 0)
        return errno;
    fill (tree, dir);
    if (tree->version == 2)
      {
        g_autofree char *on = get (tree, parent, "cgroup.subtree_control");
        g_autofree char *type = get (tree, parent, "cgroup.type");

        put (tree, dir, "cgroup.controllers", on);
        if (*parent != '\0' && g_str_has_suffix (type, "threaded"))
            put (tree, dir, "cgroup.type", "domain invalid");
        fill (tree, dir);
      }
    return 0;
}

static int
do_rmdir (FakeKernel *k, const Tree *tree, const char *dir)
{
    g_autofree char *path = file_path (tree, dir, "");
    g_autoptr (GPtrArray) below = NULL;

    if (!g_file_test (path, G_FILE_TEST_IS_DIR))
        return ENOENT;
    below = children (tree, dir);
    if (below->len > 0 || has_threads (k, tree, dir))
        return EBUSY;
    for (guint i = 0; i < G_N_ELEMENTS (files); i++)
        drop (tree, dir, files[i].file);
    return g_rmdir (path) < 0 ? errno : 0;
}

static Thread *
find_thread (FakeKernel *k, pid_t tid)
{
    for (guint i = 0; i < k->threads->len; i++)
        if (((Thread *) g_ptr_array_index (k->threads, i))->tid == tid)
            return g_ptr_array_index (k->threads, i);
    return NULL;
}

static int
do_affinity (FakeKernel *k, pid_t tid, const char *list)
{
    Thread *thread = find_thread (k, tid);
    Tree *cpuset = tree_with (k, "cpuset");
    g_autoptr (CorralCpuset) allowed = NULL;
    g_autoptr (CorralCpuset) wanted = NULL;

    if (thread == NULL)
        return ESRCH;
    if (k->deaf > 0)
      {
        k->deaf--;
        return 0;
      }
    allowed = granted (cpuset, place (thread, cpuset));
    if (!corral_cpuset_parse (g_str_equal (list, "all") ? "0-1023" : list, &wanted, NULL))
        return EINVAL;
    if (!hwloc_bitmap_intersects (wanted, allowed))
        return EINVAL;
    hwloc_bitmap_copy (thread->user, wanted);
    apply_user (thread, allowed);
    return 0;
}

int
fake_kernel_hook (const CorralIoCall *call, gpointer data)
{
    FakeKernel *k = data;
    Tree *tree = NULL;
    int err = ENOENT;

    for (guint i = 0; i < k->trees->len; i++)
        if (g_str_equal (((Tree *) g_ptr_array_index (k->trees, i))->mount, call->mount))
            tree = g_ptr_array_index (k->trees, i);
    switch (call->op)
      {
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
        err = do_affinity (k, (pid_t) g_ascii_strtoll (call->path, NULL, 10), call->text);
        break;
      }
    refresh (k, call->op == CORRAL_IO_WRITE && strstr (call->path, "cpuset.") != NULL);
    return err == 0 ? CORRAL_IO_DONE : err;
}

/* --- processes --------------------------------------------------------------------------------- */

static void
thread_free (gpointer data)
{
    Thread *thread = data;

    g_hash_table_unref (thread->places);
    hwloc_bitmap_free (thread->user);
    hwloc_bitmap_free (thread->now);
    g_free (thread->written);
    g_free (thread);
}

static Thread *
add_thread (FakeKernel *k, pid_t pid, const Thread *parent)
{
    Thread *thread = g_new0 (Thread, 1);

    thread->tid = k->next_pid++;
    thread->pid = pid != 0 ? pid : thread->tid;
    thread->places = g_hash_table_new_full (g_direct_hash, g_direct_equal, NULL, g_free);
    for (guint i = 0; i < k->trees->len; i++)
      {
        Tree *tree = g_ptr_array_index (k->trees, i);

        g_hash_table_insert (thread->places, tree,
                             g_strdup (parent != NULL ? place (parent, tree) : ""));
      }
    thread->user = hwloc_bitmap_alloc ();
    hwloc_bitmap_set_range (thread->user, 0, 1023);
    g_assert_true (corral_cpuset_parse (k->cpus, &thread->now, NULL));
    if (parent != NULL)
      {
        hwloc_bitmap_copy (thread->user, parent->user);
        hwloc_bitmap_copy (thread->now, parent->now);
      }
    g_ptr_array_add (k->threads, thread);
    return thread;
}

pid_t
fake_kernel_spawn (FakeKernel *k, int n)
{
    const pid_t pid = add_thread (k, 0, NULL)->pid;

    for (int i = 1; i < n; i++)
        add_thread (k, pid, NULL);
    refresh (k, FALSE);
    return pid;
}

pid_t
fake_kernel_clone (FakeKernel *k, pid_t parent)
{
    const Thread *from = find_thread (k, parent);
    const pid_t tid = add_thread (k, from->pid, from)->tid;

    refresh (k, FALSE);
    return tid;
}

static void
remove_folder (const char *path)
{
    GDir *dir = g_dir_open (path, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
      {
        g_autofree char *child = g_build_filename (path, name, NULL);

        if (g_file_test (child, G_FILE_TEST_IS_DIR) && !g_file_test (child, G_FILE_TEST_IS_SYMLINK))
            remove_folder (child);
        else
            g_unlink (child);
      }
    g_clear_pointer (&dir, g_dir_close);
    g_rmdir (path);
}

void
fake_kernel_exit (FakeKernel *k, pid_t pid)
{
    for (guint i = k->threads->len; i > 0; i--)
      {
        const Thread *thread = g_ptr_array_index (k->threads, i - 1);
        g_autofree char *path = g_strdup_printf ("%s/proc/%d", k->root, thread->tid);

        if (thread->pid != pid)
            continue;
        remove_folder (path);
        g_ptr_array_remove_index (k->threads, i - 1);
      }
    refresh (k, FALSE);
}

void
fake_kernel_set_affinity (FakeKernel *k, pid_t tid, const char *list)
{
    g_assert_cmpint (do_affinity (k, tid, list), ==, 0);
    refresh (k, FALSE);
}

void
fake_kernel_set_stale (FakeKernel *k, gboolean stale)
{
    k->stale = stale;
}

void
fake_kernel_set_deaf (FakeKernel *k, guint times)
{
    k->deaf = times;
}

static void
add_to (const Tree *tree, const char *dir, const char *file, guint64 amount)
{
    g_autofree char *text = g_strdup_printf ("%" G_GINT64_FORMAT,
                                             number (tree, dir, file) + (gint64) amount);

    put (tree, dir, file, text);
}

void
fake_kernel_burn (FakeKernel *k, pid_t tid, guint64 usec)
{
    const Thread *thread = find_thread (k, tid);

    for (guint i = 0; i < k->trees->len; i++)
      {
        const Tree *tree = g_ptr_array_index (k->trees, i);
        g_autofree char *dir = g_strdup (place (thread, tree));

        for (; *dir != '\0';)
          {
            char *up = corral_container_dir_parent (dir);

            if (has (tree, dir, "cpuacct.usage"))
              {
                const guint64 total =
                    (guint64) number (tree, dir, "cpuacct.usage") + usec * 1000;
                g_autofree char *percpu =
                    g_strdup_printf ("0 0 0 %" G_GUINT64_FORMAT " ", total);

                add_to (tree, dir, "cpuacct.usage", usec * 1000);
                add_to (tree, dir, "cpuacct.usage_user", usec * 1000);
                put (tree, dir, "cpuacct.usage_percpu", percpu);
              }
            if (tree->version == 2)
              {
                g_autofree char *stat = get (tree, dir, "cpu.stat");
                const guint64 total =
                    g_ascii_strtoull (stat + strlen ("usage_usec "), NULL, 10) + usec;
                g_autofree char *text =
                    g_strdup_printf ("usage_usec %" G_GUINT64_FORMAT "\nuser_usec %" G_GUINT64_FORMAT
                                     "\nsystem_usec 0\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0",
                                     total, total);

                put (tree, dir, "cpu.stat", text);
              }
            g_free (g_steal_pointer (&dir));
            dir = up;
          }
      }
}

/* --- the host ---------------------------------------------------------------------------------- */

static void
add_tree (FakeKernel *k, GString *mounts, const char *name, int version, const char *controllers)
{
    Tree *tree = g_new0 (Tree, 1);

    tree->mount = *name != '\0' ? g_strconcat ("/sys/fs/cgroup/", name, NULL)
                                : g_strdup ("/sys/fs/cgroup");
    tree->files = g_strconcat (k->root, tree->mount, NULL);
    tree->texts = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
    tree->version = version;
    tree->controllers = controllers;
    tree->number = version == 2 ? 0 : (int) k->trees->len + 1;
    g_ptr_array_add (k->trees, tree);
    g_assert_cmpint (g_mkdir_with_parents (tree->files, 0755), ==, 0);
    if (version == 2)
        put (tree, "", "cgroup.controllers", controllers);
    fill (tree, "");
    if (version == 1 && word_in (controllers, ",", "cpuset"))
      {
        put (tree, "", "cpuset.cpus", k->cpus);
        put (tree, "", "cpuset.mems", "0-1");
        put (tree, "", "cpuset.effective_cpus", k->cpus);
        put (tree, "", "cpuset.effective_mems", "0-1");
      }
    if (version == 2 && word_in (controllers, " ", "cpuset"))
      {
        put (tree, "", "cpuset.cpus.effective", k->cpus);
        put (tree, "", "cpuset.mems.effective", "0-1");
      }
    g_string_append_printf (mounts, "%d 25 0:%d / %s rw,relatime shared:9 - cgroup%s cgroup%s rw%s%s\n",
                            30 + tree->number, 30 + tree->number, tree->mount,
                            version == 2 ? "2" : "", version == 2 ? "2" : "", version == 1 ? "," : "",
                            version == 1 ? controllers : "");
}

static void
tree_free (gpointer data)
{
    Tree *tree = data;

    g_free (tree->mount);
    g_free (tree->files);
    g_hash_table_unref (tree->texts);
    g_free (tree);
}

FakeKernel *
fake_kernel_new (FakeKind kind, const char *cpus)
{
    FakeKernel *k = g_new0 (FakeKernel, 1);
    g_autoptr (GString) mounts = g_string_new ("21 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
                                               "25 21 0:5 / /proc rw - proc proc rw\n");
    g_autofree char *self = NULL;
    g_autofree char *table = NULL;

    k->kind = kind;
    k->root = g_dir_make_tmp ("corral-fake-XXXXXX", NULL);
    g_assert_nonnull (k->root);
    k->cpus = g_strdup (cpus);
    k->trees = g_ptr_array_new_with_free_func (tree_free);
    k->threads = g_ptr_array_new_with_free_func (thread_free);
    k->next_pid = 1000;
    self = g_build_filename (k->root, "proc", "self", NULL);
    table = g_build_filename (self, "mountinfo", NULL);
    if (kind == FAKE_V2)
        add_tree (k, mounts, "", 2, "cpuset cpu io memory");
    else
      {
        g_string_append (mounts, "40 25 0:40 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n");
        add_tree (k, mounts, "cpu", 1, "cpu");
        add_tree (k, mounts, "cpuset", 1, "cpuset");
        add_tree (k, mounts, "cpuacct", 1, "cpuacct");
        add_tree (k, mounts, "devices", 1, "devices");
        add_tree (k, mounts, "blkio", 1, "blkio");
        if (kind == FAKE_HYBRID)
            add_tree (k, mounts, "unified", 2, "");
      }
    g_assert_cmpint (g_mkdir_with_parents (self, 0755), ==, 0);
    g_assert_true (g_file_set_contents (table, mounts->str, -1, NULL));
    k->root_fd = open (k->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    g_assert_cmpint (k->root_fd, >=, 0);
    return k;
}

int
fake_kernel_root (FakeKernel *k)
{
    return k->root_fd;
}

void
fake_kernel_free (FakeKernel *k)
{
    if (k == NULL)
        return;
    remove_folder (k->root);
    close (k->root_fd);
    g_ptr_array_unref (k->threads);
    g_ptr_array_unref (k->trees);
    g_free (k->cpus);
    g_free (k->root);
    g_free (k);
}
