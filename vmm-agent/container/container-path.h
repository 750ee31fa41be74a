/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names: container paths and their directories, by libvirt's rule for <partition>; groups; and the
 * directories of a group's vCPUs and I/O threads. Pure text, no I/O. */
#pragma once

#include "vmm-agent/container/corral-container.h"

/* Longest component and deepest path that are accepted. */
#define CORRAL_PATH_NAME_MAX 200
#define CORRAL_PATH_DEPTH_MAX 32

/**
 * corral_container_path_to_dir:
 * @path: "/machine/prod", or, beneath a VM, "/prod/qemu-1-web1.libvirt-qemu/fast"
 * @ret_dir: (out) (transfer full): "machine/prod.partition", relative to a hierarchy's top
 *
 * %CORRAL_ERROR_INVALID for what is no path of a container.
 */
gboolean corral_container_path_to_dir (const char *path, char **ret_dir, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* Checks a group's directory, as corral_container_of_process() gives it. */
gboolean corral_container_group_check (const char *group, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * corral_container_dir_to_path:
 * @dir: any directory relative to a hierarchy's top, from /proc/PID/cgroup for example
 * @ret_group: (out) (optional) (nullable) (transfer full): the group beneath the innermost
 * container
 *
 * Returns: (transfer full) (nullable): the innermost container that holds @dir; %NULL: none does
 */
char *corral_container_dir_to_path (const char *dir, char **ret_group);

/* One component: the container's name ("prod" for "prod.partition"), or NULL for what is none. */
char *corral_container_name_of_dir (const char *name, gboolean is_top);
/* Whether a component is a VM's group, and whether one of ours. */
gboolean corral_container_is_group (const char *name);
gboolean corral_container_is_own_group (const char *name);

/* What holds @dir: "a/b" for "a/b/c", "" for "a". */
char *corral_container_dir_parent (const char *dir);
/* Whether @dir is @top or lies beneath it. */
gboolean corral_container_dir_within (const char *dir, const char *top);

/**
 * corral_container_group_name:
 * @from: (nullable): the name of the group that the VM is in now
 *
 * Returns: (transfer full): the name for a group of ours. A libvirt domain's is the name that
 * libvirt itself gives its scope under systemd: so libvirtd, when it restarts, takes the group for
 * the domain's and goes on managing it there, and we still tell it from one that libvirt made.
 */
char *corral_container_group_name (const char *vm_name, pid_t pid, const char *from);

/* "emulator", "vcpu3", "iothread1", and back. */
char *corral_container_role_dir (CorralThreadRole role, int index);
gboolean corral_container_role_parse (const char *name, CorralThreadRole *ret_role, int *ret_index);
