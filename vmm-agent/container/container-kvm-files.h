/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The texts of the kvm subsystem's files, as our kernel series writes them: no I/O. Source: the
 * series' Documentation/admin-guide/cgroup-v2.rst, "KVM Interface Files". */
#pragma once

#include "vmm-agent/container/corral-container.h"

/**
 * corral_kvm_stat_parse:
 * @text: kvm.stat
 * @ret_usage: (out): all but its file
 *
 * Keys that are not known are passed over: a later kernel may have more.
 *
 * Returns: %FALSE when a key is missing, or its number is none or too large
 */
gboolean corral_kvm_stat_parse (const char *text, CorralContainerKvmUsage *ret_usage)
    G_GNUC_WARN_UNUSED_RESULT;

/**
 * corral_kvm_vms_find:
 * @text: kvm.vms
 * @pid: the process whose VM is looked for
 * @ret_fd: (out): the descriptor by which its VM is named; of several, the first
 * @vcpus: of CorralKvmVcpu: those of all its VMs are appended
 * @ret_complete: (out): whether each vCPU of these has a thread in the list
 *
 * Returns: 0, ENOENT when @pid has no VM in @text, or EILSEQ for a line of it that is no such line
 */
int corral_kvm_vms_find (const char *text, pid_t pid, guint *ret_fd, GArray *vcpus,
                         gboolean *ret_complete);
