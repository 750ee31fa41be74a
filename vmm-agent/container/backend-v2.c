/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The unified interface. Source: the kernel's Documentation/admin-guide/cgroup-v2.rst. */
#include "vmm-agent/container/container-private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What VMs need; the others are passed on where they can be, since libvirt uses them if they are
 * there, or since kvm counts vCPUs and moves VMs with them. */
#define NEEDED (CORRAL_CONTROLLER_CPU | CORRAL_CONTROLLER_CPUSET)
#define THREADED (NEEDED | CORRAL_CONTROLLER_KVM)

static const struct {
    guint bit;
    const char *name;
} passed_on[] = {
    { CORRAL_CONTROLLER_CPU, "cpu" },       { CORRAL_CONTROLLER_CPUSET, "cpuset" },
    { CORRAL_CONTROLLER_MEMORY, "memory" }, { CORRAL_CONTROLLER_IO, "io" },
    { CORRAL_CONTROLLER_KVM, "kvm" },
};

static guint
read_controllers (CorralHierarchy *h, const char *dir, const char *file)
{
    g_autofree char *path = corral_dir_file (dir, file);
    g_autofree char *text = NULL;

    if (corral_io_read (h->tree.fd, path, &text) != 0)
        return 0;
    return corral_controllers_parse (text, " ", 2);
}

/* Whether @dir lies beneath a VM's group: then it is part of that process's threaded subtree. */
static gboolean
is_beneath_group (const char *dir)
{
    g_auto (GStrv) names = g_strsplit (dir, "/", -1);

    for (guint i = 0; names[i] != NULL && names[i + 1] != NULL; i++)
        if (corral_container_is_group (names[i]))
            return TRUE;
    return FALSE;
}

static gboolean
v2_prepare (CorralContainerCore *core, CorralHierarchy *h, const char *dir, CorralUndo *undo,
            GError **error)
{
    g_autofree char *parent = corral_container_dir_parent (dir);
    const gboolean threaded = is_beneath_group (dir);
    guint wanted, enabled;

    corral_container_has_kvm (core);
    wanted = h->controllers;
    if (threaded) {
        g_autofree char *path = corral_dir_file (dir, "cgroup.type");
        g_autofree char *type = NULL;

        wanted &= THREADED;
        /* There is no way back for a directory, so this has no undo but its removal. */
        if (corral_io_read (h->tree.fd, path, &type) == 0 && !g_str_equal (type, "threaded")) {
            int err = corral_io_write (&core->io, &h->tree, path, "threaded");

            if (err != 0)
                return corral_io_fail (error, err, "cannot make \"%s/%s\" hold single threads",
                                       h->tree.mount, dir);
        }
    }
    enabled = read_controllers (h, parent, "cgroup.subtree_control");
    for (guint i = 0; i < G_N_ELEMENTS (passed_on); i++) {
        g_autofree char *on = g_strconcat ("+", passed_on[i].name, NULL);
        g_autofree char *off = g_strconcat ("-", passed_on[i].name, NULL);
        g_autoptr (GError) local = NULL;

        if ((wanted & ~enabled & passed_on[i].bit) == 0 ||
            corral_step_write_back (core, h, parent, "cgroup.subtree_control", on, off, undo,
                                    &local) ||
            (passed_on[i].bit & NEEDED) == 0)
            continue;
        g_propagate_prefixed_error (
            error, g_steal_pointer (&local),
            "the controller \"%s\" cannot be had in \"%s\" (a directory that "
            "holds processes cannot pass it on): ",
            passed_on[i].name, dir);
        return FALSE;
    }
    return TRUE;
}

static gboolean
v2_is_prepared (CorralContainerCore *core, CorralHierarchy *h, const char *dir)
{
    const guint wanted = h->controllers & NEEDED;

    return (read_controllers (h, dir, "cgroup.controllers") & wanted) == wanted;
}

/* Children need no help: what they get is cut down to what the parent has, by the kernel. */
static gboolean
v2_write_cpuset (CorralContainerCore *core, CorralHierarchy *h, const char *dir,
                 const CorralCpuset *cpus, const CorralCpuset *mems, CorralUndo *undo,
                 GError **error)
{
    g_autofree char *cpu_list = corral_cpuset_format (cpus);
    g_autofree char *mem_list = corral_cpuset_format (mems);

    return (cpus == NULL ||
            corral_step_write (core, h, dir, "cpuset.cpus", cpu_list, undo, error)) &&
           (mems == NULL || corral_step_write (core, h, dir, "cpuset.mems", mem_list, undo, error));
}

/* As systemd does: the default of one scale is that of the other, 1024 and 100, and what is twice
 * as much there is twice as much here. What is out of v2's range is cut, above 102,400 shares. */
static guint64
weight_of_shares (guint64 shares)
{
    return CLAMP ((shares * 100 + 512) / 1024, 1, 10000);
}

/* Inverse to it. */
static guint64
shares_of_weight (guint64 weight)
{
    return (weight * 1024 + 50) / 100;
}

static gboolean
v2_read_weight (CorralContainerCore *core, CorralHierarchy *h, const char *dir, guint64 *ret_shares,
                GError **error)
{
    g_autofree char *path = corral_dir_file (dir, "cpu.weight");
    g_autofree char *text = NULL;
    guint64 weight;
    int err = corral_io_read (h->tree.fd, path, &text);

    if (err == 0 && !g_ascii_string_to_unsigned (text, 10, 1, 10000, &weight, NULL))
        err = EILSEQ;
    if (err != 0)
        return corral_io_fail (error, err, "cannot read \"%s/%s\"", h->tree.mount, path);
    *ret_shares = shares_of_weight (weight);
    return TRUE;
}

static gboolean
v2_write_weight (CorralContainerCore *core, CorralHierarchy *h, const char *dir, guint64 shares,
                 CorralUndo *undo, GError **error)
{
    const guint64 weight = weight_of_shares (shares);
    g_autofree char *text = g_strdup_printf ("%" G_GUINT64_FORMAT, weight);
    guint64 granted;

    if (!corral_step_write (core, h, dir, "cpu.weight", text, undo, error) ||
        !v2_read_weight (core, h, dir, &granted, error))
        return FALSE;
    if (granted == shares_of_weight (weight))
        return TRUE;
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_PARTIAL,
                 "the kernel granted the weight of %" G_GUINT64_FORMAT " shares", granted);
    return FALSE;
}

static gint64
read_burst (CorralHierarchy *h, const char *dir)
{
    g_autofree char *path = corral_dir_file (dir, "cpu.max.burst");
    g_autofree char *text = NULL;
    guint64 burst;

    if (corral_io_read (h->tree.fd, path, &text) != 0 ||
        !g_ascii_string_to_unsigned (text, 10, 0, G_MAXINT64, &burst, NULL))
        return 0;
    return (gint64) burst;
}

static gboolean
v2_read_cap (CorralContainerCore *core, CorralHierarchy *h, const char *dir,
             CorralContainerCap *ret_cap, GError **error)
{
    g_autofree char *path = corral_dir_file (dir, "cpu.max");
    g_autofree char *text = NULL;
    gint64 quota = -1, period = 0;
    int err = corral_io_read (h->tree.fd, path, &text);

    if (err == 0 && sscanf (text, "max %" G_GINT64_FORMAT, &period) != 1 &&
        sscanf (text, "%" G_GINT64_FORMAT " %" G_GINT64_FORMAT, &quota, &period) != 2)
        err = EILSEQ;
    if (err != 0)
        return corral_io_fail (error, err, "cannot read \"%s/%s\"", h->tree.mount, path);
    *ret_cap = (CorralContainerCap){ quota, period, read_burst (h, dir) };
    return TRUE;
}

static gboolean
v2_write_cap (CorralContainerCore *core, CorralHierarchy *h, const char *dir,
              const CorralContainerCap *cap, CorralUndo *undo, GError **error)
{
    g_autofree char *burst = g_strdup_printf ("%" G_GINT64_FORMAT, cap->burst_usec);
    g_autofree char *max = cap->quota_usec < 0
                               ? g_strdup_printf ("max %" G_GINT64_FORMAT, cap->period_usec)
                               : g_strdup_printf ("%" G_GINT64_FORMAT " %" G_GINT64_FORMAT,
                                                  cap->quota_usec, cap->period_usec);
    const gint64 old_burst = read_burst (h, dir);

    /* A burst may never be larger than its quota, not even between two writes. */
    return (old_burst <= cap->burst_usec || cap->quota_usec < 0 || old_burst <= cap->quota_usec ||
            corral_step_write (core, h, dir, "cpu.max.burst", "0", undo, error)) &&
           corral_step_write (core, h, dir, "cpu.max", max, undo, error) &&
           (read_burst (h, dir) == cap->burst_usec ||
            corral_step_write (core, h, dir, "cpu.max.burst", burst, undo, error));
}

static const char *const settings[] = { "cpuset.cpus", "cpuset.mems",   "cpu.weight",
                                        "cpu.max",     "cpu.max.burst", "cgroup.subtree_control",
                                        NULL };

const CorralBackend corral_backend_v2 = {
    .threads_file = "cgroup.threads",
    .usage_file = "cpu.stat",
    .cpus_file = "cpuset.cpus",
    .mems_file = "cpuset.mems",
    .effective_cpus_file = "cpuset.cpus.effective",
    .effective_mems_file = "cpuset.mems.effective",
    .prepare = v2_prepare,
    .is_prepared = v2_is_prepared,
    .write_cpuset = v2_write_cpuset,
    .write_weight = v2_write_weight,
    .read_weight = v2_read_weight,
    .write_cap = v2_write_cap,
    .read_cap = v2_read_cap,
    .settings = settings,
};
