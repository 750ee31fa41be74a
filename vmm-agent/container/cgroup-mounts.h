/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which cgroup hierarchies are mounted, by the mount table below the root. */
#pragma once

#include "vmm-agent/container/cgroup-io.h"

/* The controllers in whose hierarchies libvirt makes directories for a domain. */
typedef enum {
    CORRAL_CONTROLLER_CPU = 1 << 0,
    CORRAL_CONTROLLER_CPUSET = 1 << 1,
    CORRAL_CONTROLLER_CPUACCT = 1 << 2,
    CORRAL_CONTROLLER_MEMORY = 1 << 3,
    CORRAL_CONTROLLER_IO = 1 << 4, /* v1: blkio */
    CORRAL_CONTROLLER_DEVICES = 1 << 5,
    CORRAL_CONTROLLER_FREEZER = 1 << 6,
    CORRAL_CONTROLLER_NET_CLS = 1 << 7,
    CORRAL_CONTROLLER_PERF_EVENT = 1 << 8,
    CORRAL_CONTROLLER_KVM = 1 << 9, /* v2 only, in kernels that have it */
} CorralController;

typedef struct {
    CorralIoTree tree;
    int version;       /* 1 or 2 */
    guint controllers; /* of CorralController */
    char *label;       /* how /proc/PID/cgroup names it: one of its v1 controllers; "" for v2 */
    gboolean members;  /* whether VMs are moved in it: it counts, pins or schedules them */
} CorralHierarchy;

/**
 * corral_cgroup_mounts_read:
 * @ret_hierarchies: (out) (transfer full): of CorralHierarchy, v1 in the mount table's order, v2
 * last
 *
 * Named hierarchies (systemd's), and controllers that neither libvirt nor the core uses, are left
 * out.
 */
gboolean corral_cgroup_mounts_read (const CorralIo *io, GPtrArray **ret_hierarchies, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* v2's space-separated names of controllers (cgroup.controllers, cgroup.subtree_control). */
guint corral_controllers_parse (const char *names, const char *separator, int version);
