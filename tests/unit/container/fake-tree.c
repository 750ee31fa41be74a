/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/container/fake-kernel-private.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

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
    { "cpuset", 2, "cpuset.cpus.partition", "member" },
    { "kvm", 2, "kvm.stat",
      "guest_usec 0\nhost_usec 0\nrun_delay_usec 0\nhalt_poll_usec 0\nhalt_wait_usec 0\nexits 0" },
    { "kvm", 2, "kvm.vms", "" },
    { "kvm", 2, "kvm.attach", "" },
};

char *
fake_file_path (const Tree *tree, const char *dir, const char *file)
{
    return g_build_filename (tree->files, dir, file, NULL);
}

void
fake_put (const Tree *tree, const char *dir, const char *file, const char *text)
{
    g_autofree char *path = fake_file_path (tree, dir, file);
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

void
fake_drop (const Tree *tree, const char *dir, const char *file)
{
    g_autofree char *path = fake_file_path (tree, dir, file);

    if (g_hash_table_remove (tree->texts, path))
        g_unlink (path);
}

char *
fake_get (const Tree *tree, const char *dir, const char *file)
{
    g_autofree char *path = fake_file_path (tree, dir, file);

    return g_strdup (g_hash_table_lookup (tree->texts, path));
}

gboolean
fake_has (const Tree *tree, const char *dir, const char *file)
{
    g_autofree char *path = fake_file_path (tree, dir, file);

    return g_hash_table_contains (tree->texts, path);
}

CorralCpuset *
fake_get_set (const Tree *tree, const char *dir, const char *file)
{
    g_autofree char *text = fake_get (tree, dir, file);
    CorralCpuset *set = NULL;

    if (text == NULL || !corral_cpuset_parse (text, &set, NULL))
        return hwloc_bitmap_alloc ();
    return set;
}

void
fake_put_set (const Tree *tree, const char *dir, const char *file, const CorralCpuset *set)
{
    g_autofree char *list = corral_cpuset_format (set);

    fake_put (tree, dir, file, list);
}

GPtrArray *
fake_children (const Tree *tree, const char *dir)
{
    g_autofree char *path = fake_file_path (tree, dir, "");
    GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
    GDir *listing = g_dir_open (path, 0, NULL);
    const char *name;

    while (listing != NULL && (name = g_dir_read_name (listing)) != NULL) {
        g_autofree char *child = g_build_filename (path, name, NULL);

        if (g_file_test (child, G_FILE_TEST_IS_DIR))
            g_ptr_array_add (names,
                             *dir != '\0' ? g_build_filename (dir, name, NULL) : g_strdup (name));
    }
    g_clear_pointer (&listing, g_dir_close);
    return names;
}

gboolean
fake_word_in (const char *words, const char *separator, const char *word)
{
    g_auto (GStrv) list = g_strsplit (words != NULL ? words : "", separator, -1);

    return g_strv_contains ((const char *const *) list, word);
}

static gboolean
tree_has (const Tree *tree, const char *dir, const char *controller, const char *file)
{
    static const char *const at_top[] = { "cpuset.cpus.effective", "cpuset.mems.effective",
                                          "kvm.stat", "kvm.vms", NULL };
    g_autofree char *on = NULL;

    if (*controller == '\0')
        return TRUE;
    if (tree->version == 1)
        return fake_word_in (tree->controllers, ",", controller);
    on = fake_get (tree, dir, "cgroup.controllers");
    return fake_word_in (on, " ", controller) && (*dir != '\0' || g_strv_contains (at_top, file));
}

/* Makes the files that @dir should have, and removes those of controllers that are off. */
void
fake_fill (const Tree *tree, const char *dir)
{
    for (guint i = 0; i < G_N_ELEMENTS (files); i++) {
        if (files[i].version != 0 && files[i].version != tree->version)
            continue;
        if (!tree_has (tree, dir, files[i].controller, files[i].file))
            fake_drop (tree, dir, files[i].file);
        else if (!fake_has (tree, dir, files[i].file))
            fake_put (tree, dir, files[i].file, files[i].text);
    }
}

void
fake_clear (const Tree *tree, const char *dir)
{
    for (guint i = 0; i < G_N_ELEMENTS (files); i++)
        fake_drop (tree, dir, files[i].file);
}
