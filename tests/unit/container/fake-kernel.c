/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/container/fake-kernel-private.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* --- what follows from the state --- */

const char *
fake_place (const Thread *thread, const Tree *tree)
{
    return g_hash_table_lookup (thread->places, tree);
}

static void
refresh_lists (FakeKernel *k, const Tree *tree, const char *dir)
{
    g_autoptr (GString) threads = g_string_new (NULL);
    g_autoptr (GString) procs = g_string_new (NULL);
    g_autoptr (GPtrArray) below = fake_children (tree, dir);

    for (guint i = 0; i < k->threads->len; i++) {
        const Thread *thread = g_ptr_array_index (k->threads, i);

        if (!g_str_equal (fake_place (thread, tree), dir))
            continue;
        g_string_append_printf (threads, "%s%d", threads->len > 0 ? "\n" : "", thread->tid);
        if (thread->tid == thread->pid)
            g_string_append_printf (procs, "%s%d", procs->len > 0 ? "\n" : "", thread->tid);
    }
    fake_put (tree, dir, tree->version == 1 ? "tasks" : "cgroup.threads", threads->str);
    fake_put (tree, dir, "cgroup.procs", procs->str);
    for (guint i = 0; i < below->len; i++)
        refresh_lists (k, tree, g_ptr_array_index (below, i));
}

static void
refresh_effective (const Tree *tree, const char *dir, const char *kind, const CorralCpuset *above)
{
    g_autofree char *wanted_file = g_strconcat ("cpuset.", kind, NULL);
    g_autofree char *file = tree->version == 1 ? g_strconcat ("cpuset.effective_", kind, NULL)
                                               : g_strconcat ("cpuset.", kind, ".effective", NULL);
    g_autoptr (CorralCpuset) set = fake_get_set (tree, dir, wanted_file);
    g_autoptr (GPtrArray) below = fake_children (tree, dir);

    if (above == NULL) {
        /* The top: a fixed set. */
        hwloc_bitmap_free (set);
        set = fake_get_set (tree, dir, file);
    } else {
        hwloc_bitmap_and (set, set, above);
        if (hwloc_bitmap_iszero (set) && tree->version == 2)
            hwloc_bitmap_copy (set, above);
        if (fake_has (tree, dir, file))
            fake_put_set (tree, dir, file, set);
        else
            hwloc_bitmap_copy (set, above);
    }
    for (guint i = 0; i < below->len; i++)
        refresh_effective (tree, g_ptr_array_index (below, i), kind, set);
}

static void
refresh_types (const Tree *tree, const char *dir)
{
    g_autoptr (GPtrArray) below = fake_children (tree, dir);
    g_autofree char *type = fake_get (tree, dir, "cgroup.type");
    gboolean threaded = FALSE;

    for (guint i = 0; i < below->len; i++) {
        g_autofree char *other = NULL;

        refresh_types (tree, g_ptr_array_index (below, i));
        other = fake_get (tree, g_ptr_array_index (below, i), "cgroup.type");
        threaded |= g_strcmp0 (other, "threaded") == 0;
    }
    if (*dir != '\0' && g_strcmp0 (type, "threaded") != 0 &&
        g_strcmp0 (type, "domain invalid") != 0)
        fake_put (tree, dir, "cgroup.type", threaded ? "domain threaded" : "domain");
}

Tree *
fake_tree_with (FakeKernel *k, const char *controller)
{
    for (guint i = 0; i < k->trees->len; i++) {
        Tree *tree = g_ptr_array_index (k->trees, i);

        if (fake_word_in (tree->controllers, tree->version == 1 ? "," : " ", controller))
            return tree;
    }
    return NULL;
}

/* What the cpuset controller grants in @dir: the nearest directory's for which it is on. */
CorralCpuset *
fake_granted (const Tree *tree, const char *dir)
{
    const char *file = tree->version == 1 ? "cpuset.effective_cpus" : "cpuset.cpus.effective";
    g_autofree char *at = g_strdup (dir);

    while (!fake_has (tree, at, file)) {
        char *up = corral_container_dir_parent (at);

        g_free (at);
        at = up;
    }
    return fake_get_set (tree, at, file);
}

void
fake_apply_user (Thread *thread, const CorralCpuset *allowed)
{
    hwloc_bitmap_and (thread->now, allowed, thread->user);
    if (hwloc_bitmap_iszero (thread->now))
        hwloc_bitmap_copy (thread->now, allowed);
}

static void
write_proc (FakeKernel *k, Thread *thread)
{
    g_autofree char *own = g_strdup_printf ("%s/proc/%d", k->root, thread->tid);
    g_autofree char *task =
        g_strdup_printf ("%s/proc/%d/task/%d", k->root, thread->pid, thread->tid);
    g_autofree char *own_cgroup = g_build_filename (own, "cgroup", NULL);
    g_autofree char *task_cgroup = g_build_filename (task, "cgroup", NULL);
    g_autofree char *status = g_build_filename (own, "status", NULL);
    g_autofree char *list = corral_cpuset_format (thread->now);
    g_autofree char *text =
        g_strdup_printf ("Name:\tvm\nCpus_allowed_list:\t%s\nMems_allowed:\t1\n", list);
    g_autoptr (GString) cgroups = g_string_new (NULL);
    g_autofree char *all = NULL;

    for (guint i = 0; i < k->trees->len; i++) {
        const Tree *tree = g_ptr_array_index (k->trees, i);

        g_string_append_printf (cgroups, "%d:%s:/%s\n", tree->number,
                                tree->version == 1 ? tree->controllers : "",
                                fake_place (thread, tree));
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

void
fake_refresh (FakeKernel *k, gboolean cpuset_written)
{
    Tree *cpuset = fake_tree_with (k, "cpuset");

    for (guint i = 0; i < k->trees->len; i++) {
        const Tree *tree = g_ptr_array_index (k->trees, i);

        refresh_lists (k, tree, "");
        if (tree->version == 2) {
            refresh_types (tree, "");
            fake_kvm_refresh (k, tree, "");
        }
    }
    refresh_effective (cpuset, "", "cpus", NULL);
    refresh_effective (cpuset, "", "mems", NULL);
    for (guint i = 0; i < k->threads->len; i++) {
        Thread *thread = g_ptr_array_index (k->threads, i);
        g_autoptr (CorralCpuset) allowed = fake_granted (cpuset, fake_place (thread, cpuset));

        if (cpuset_written && k->forgetful)
            hwloc_bitmap_copy (thread->user, allowed);
        if (cpuset_written)
            fake_apply_user (thread, allowed);
        write_proc (k, thread);
    }
}

/* --- processes --- */

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
    for (guint i = 0; i < k->trees->len; i++) {
        Tree *tree = g_ptr_array_index (k->trees, i);

        g_hash_table_insert (thread->places, tree,
                             g_strdup (parent != NULL ? fake_place (parent, tree) : ""));
    }
    thread->user = hwloc_bitmap_alloc ();
    hwloc_bitmap_set_range (thread->user, 0, 1023);
    g_assert_true (corral_cpuset_parse (k->cpus, &thread->now, NULL));
    if (parent != NULL) {
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
    fake_refresh (k, FALSE);
    return pid;
}

pid_t
fake_kernel_clone (FakeKernel *k, pid_t parent)
{
    const Thread *from = fake_find_thread (k, parent);
    const pid_t tid = add_thread (k, from->pid, from)->tid;

    fake_refresh (k, FALSE);
    return tid;
}

static void
remove_folder (const char *path)
{
    GDir *dir = g_dir_open (path, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
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
    for (guint i = k->threads->len; i > 0; i--) {
        const Thread *thread = g_ptr_array_index (k->threads, i - 1);
        g_autofree char *path = g_strdup_printf ("%s/proc/%d", k->root, thread->tid);

        if (thread->pid != pid)
            continue;
        remove_folder (path);
        g_ptr_array_remove_index (k->threads, i - 1);
    }
    fake_refresh (k, FALSE);
}

void
fake_kernel_set_affinity (FakeKernel *k, pid_t tid, const char *list)
{
    g_assert_cmpint (fake_do_affinity (k, tid, list), ==, 0);
    fake_refresh (k, FALSE);
}

void
fake_kernel_set_stale (FakeKernel *k, gboolean stale)
{
    k->stale = stale;
}

void
fake_kernel_set_forgetful (FakeKernel *k, gboolean forgetful)
{
    k->forgetful = forgetful;
}

void
fake_kernel_set_deaf (FakeKernel *k, guint times)
{
    k->deaf = times;
}

static void
add_to (const Tree *tree, const char *dir, const char *file, guint64 amount)
{
    g_autofree char *text =
        g_strdup_printf ("%" G_GINT64_FORMAT, fake_number (tree, dir, file) + (gint64) amount);

    fake_put (tree, dir, file, text);
}

void
fake_kernel_burn (FakeKernel *k, pid_t tid, guint64 usec)
{
    const Thread *thread = fake_find_thread (k, tid);

    for (guint i = 0; i < k->trees->len; i++) {
        const Tree *tree = g_ptr_array_index (k->trees, i);
        g_autofree char *dir = g_strdup (fake_place (thread, tree));

        for (; *dir != '\0';) {
            char *up = corral_container_dir_parent (dir);

            if (fake_has (tree, dir, "cpuacct.usage")) {
                const guint64 total =
                    (guint64) fake_number (tree, dir, "cpuacct.usage") + usec * 1000;
                g_autofree char *percpu = g_strdup_printf ("0 0 0 %" G_GUINT64_FORMAT " ", total);

                add_to (tree, dir, "cpuacct.usage", usec * 1000);
                add_to (tree, dir, "cpuacct.usage_user", usec * 1000);
                fake_put (tree, dir, "cpuacct.usage_percpu", percpu);
            }
            if (tree->version == 2) {
                g_autofree char *stat = fake_get (tree, dir, "cpu.stat");
                const guint64 total =
                    g_ascii_strtoull (stat + strlen ("usage_usec "), NULL, 10) + usec;
                g_autofree char *text = g_strdup_printf (
                    "usage_usec %" G_GUINT64_FORMAT "\nuser_usec %" G_GUINT64_FORMAT
                    "\nsystem_usec 0\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0",
                    total, total);

                fake_put (tree, dir, "cpu.stat", text);
            }
            g_free (g_steal_pointer (&dir));
            dir = up;
        }
    }
}

/* --- the host --- */

static void
add_tree (FakeKernel *k, GString *mounts, const char *name, int version, const char *controllers)
{
    Tree *tree = g_new0 (Tree, 1);

    tree->mount =
        *name != '\0' ? g_strconcat ("/sys/fs/cgroup/", name, NULL) : g_strdup ("/sys/fs/cgroup");
    tree->files = g_strconcat (k->root, tree->mount, NULL);
    tree->texts = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
    tree->version = version;
    tree->controllers = controllers;
    tree->number = version == 2 ? 0 : (int) k->trees->len + 1;
    g_ptr_array_add (k->trees, tree);
    g_assert_cmpint (g_mkdir_with_parents (tree->files, 0755), ==, 0);
    if (version == 2)
        fake_put (tree, "", "cgroup.controllers", controllers);
    fake_fill (tree, "");
    if (version == 1 && fake_word_in (controllers, ",", "cpuset")) {
        fake_put (tree, "", "cpuset.cpus", k->cpus);
        fake_put (tree, "", "cpuset.mems", "0-1");
        fake_put (tree, "", "cpuset.effective_cpus", k->cpus);
        fake_put (tree, "", "cpuset.effective_mems", "0-1");
    }
    if (version == 2 && fake_word_in (controllers, " ", "cpuset")) {
        fake_put (tree, "", "cpuset.cpus.effective", k->cpus);
        fake_put (tree, "", "cpuset.mems.effective", "0-1");
    }
    g_string_append_printf (mounts,
                            "%d 25 0:%d / %s rw,relatime shared:9 - cgroup%s cgroup%s rw%s%s\n",
                            30 + tree->number, 30 + tree->number, tree->mount,
                            version == 2 ? "2" : "", version == 2 ? "2" : "",
                            version == 1 ? "," : "", version == 1 ? controllers : "");
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
    k->kvms = g_ptr_array_new_with_free_func (g_free);
    k->next_pid = 1000;
    self = g_build_filename (k->root, "proc", "self", NULL);
    table = g_build_filename (self, "mountinfo", NULL);
    if (kind == FAKE_V2 || kind == FAKE_V2_KVM)
        add_tree (k, mounts, "", 2,
                  kind == FAKE_V2 ? "cpuset cpu io memory" : "cpuset cpu io memory kvm");
    else {
        g_string_append (
            mounts, "40 25 0:40 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n");
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
    g_ptr_array_unref (k->kvms);
    g_ptr_array_unref (k->trees);
    g_free (k->cpus);
    g_free (k->root);
    g_free (k);
}
