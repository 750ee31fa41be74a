/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kvm subsystem of our kernel series, as its documentation says: kvm.stat, kvm.vms, and
 * kvm.attach for whole VMs. */
#include "tests/unit/container/fake-kernel-private.h"

#include <errno.h>
#include <string.h>

typedef struct {
    pid_t pid;
    guint fd;
    pid_t vcpus[8]; /* 0: has not run yet */
    guint n;
} Kvm;

void
fake_kernel_create_kvm (FakeKernel *k, pid_t pid, guint fd, const pid_t *vcpus, guint n)
{
    Kvm *kvm = g_new0 (Kvm, 1);

    g_assert_cmpuint (n, <=, G_N_ELEMENTS (kvm->vcpus));
    kvm->pid = pid;
    kvm->fd = fd;
    kvm->n = n;
    for (guint i = 0; i < n; i++)
        kvm->vcpus[i] = vcpus[i];
    g_ptr_array_add (k->kvms, kvm);
    fake_refresh (k, FALSE);
}

/* The nearest directory, from that of @thread upwards, for which the subsystem is on. */
static char *
counted_in (const Thread *thread, const Tree *tree)
{
    char *dir = g_strdup (fake_place (thread, tree));

    while (*dir != '\0' && !fake_has (tree, dir, "kvm.vms")) {
        char *up = corral_container_dir_parent (dir);

        g_free (dir);
        dir = up;
    }
    return dir;
}

void
fake_kvm_refresh (FakeKernel *k, const Tree *tree, const char *dir)
{
    g_autoptr (GString) text = g_string_new (NULL);
    g_autoptr (GPtrArray) below = fake_children (tree, dir);

    if (!fake_has (tree, dir, "kvm.vms"))
        return;
    for (guint i = 0; i < k->kvms->len; i++) {
        const Kvm *kvm = g_ptr_array_index (k->kvms, i);
        const Thread *leader = fake_find_thread (k, kvm->pid);
        g_autofree char *place = leader != NULL ? counted_in (leader, tree) : NULL;

        if (g_strcmp0 (place, dir) != 0)
            continue;
        g_string_append_printf (text, "%s%d-%u vcpus=%u", text->len > 0 ? "\n" : "", kvm->pid,
                                kvm->fd, kvm->n);
        for (guint v = 0; v < kvm->n; v++)
            if (kvm->vcpus[v] != 0)
                g_string_append_printf (text, " vcpu.%u=%d", 2 * v,
                                        fake_find_thread (k, kvm->vcpus[v]) != NULL ? kvm->vcpus[v]
                                                                                    : 0);
    }
    fake_put (tree, dir, "kvm.vms", text->str);
    for (guint i = 0; i < below->len; i++)
        fake_kvm_refresh (k, tree, g_ptr_array_index (below, i));
}

int
fake_kvm_attach (FakeKernel *k, Tree *tree, const char *dir, const char *text)
{
    guint found = 0, fd;
    char word[8];
    pid_t pid;

    if (sscanf (text, "%d-%u %7s", &pid, &fd, word) != 3 || !g_str_equal (word, "all"))
        return EINVAL;
    for (guint i = 0; i < k->kvms->len; i++) {
        const Kvm *kvm = g_ptr_array_index (k->kvms, i);

        found += kvm->pid == pid && kvm->fd == fd && fake_find_thread (k, pid) != NULL;
    }
    if (found != 1)
        return found == 0 ? ENOENT : ENOTUNIQ;
    return fake_move (k, tree, dir, text, TRUE);
}

static guint64
number_of (const char *text, const char *key)
{
    return g_ascii_strtoull (strstr (text, key) + strlen (key), NULL, 10);
}

static void
count (const Tree *tree, const char *dir, const FakeRun *run)
{
    g_autofree char *old = fake_get (tree, dir, "kvm.stat");
    g_autofree char *text =
        g_strdup_printf ("guest_usec %" G_GUINT64_FORMAT "\nhost_usec %" G_GUINT64_FORMAT
                         "\nrun_delay_usec %" G_GUINT64_FORMAT
                         "\nhalt_poll_usec 0\nhalt_wait_usec 0\nexits %" G_GUINT64_FORMAT,
                         number_of (old, "guest_usec ") + run->guest_usec,
                         number_of (old, "host_usec ") + run->host_usec,
                         number_of (old, "run_delay_usec ") + run->run_delay_usec,
                         number_of (old, "exits ") + run->exits);

    fake_put (tree, dir, "kvm.stat", text);
}

void
fake_kernel_run (FakeKernel *k, pid_t tid, const FakeRun *run)
{
    const Tree *tree = fake_tree_with (k, "kvm");
    g_autofree char *dir = counted_in (fake_find_thread (k, tid), tree);

    fake_kernel_burn (k, tid, run->guest_usec + run->host_usec);
    for (;;) {
        char *up;

        count (tree, dir, run);
        if (*dir == '\0')
            return;
        up = corral_container_dir_parent (dir);
        g_free (dir);
        dir = up;
    }
}

static void
take_word (const Tree *tree, const char *dir, const char *file)
{
    g_autofree char *old = fake_get (tree, dir, file);
    g_auto (GStrv) words = g_strsplit (old, " ", -1);
    g_autoptr (GString) kept = g_string_new (NULL);

    for (guint i = 0; words[i] != NULL; i++)
        if (!g_str_equal (words[i], "kvm"))
            g_string_append_printf (kept, "%s%s", kept->len > 0 ? " " : "", words[i]);
    fake_put (tree, dir, file, kept->str);
}

static void
forget (const Tree *tree, const char *dir)
{
    g_autoptr (GPtrArray) below = fake_children (tree, dir);

    take_word (tree, dir, "cgroup.controllers");
    take_word (tree, dir, "cgroup.subtree_control");
    fake_fill (tree, dir);
    for (guint i = 0; i < below->len; i++)
        forget (tree, g_ptr_array_index (below, i));
}

void
fake_kernel_set_kvm (FakeKernel *k, gboolean on)
{
    Tree *tree = fake_tree_with (k, "kvm");

    if (on) {
        fake_put (tree, "", "cgroup.controllers", tree->controllers);
        fake_fill (tree, "");
    } else {
        g_ptr_array_set_size (k->kvms, 0);
        forget (tree, "");
    }
    fake_refresh (k, FALSE);
}
