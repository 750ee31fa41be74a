/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parts of the conformance suite share. */
#pragma once

#include "tests/unit/container/host.h"

/* The path of a container of this name, as a variable. */
#define N(host, name) g_autofree char *name = host_path (host, #name)

void assert_state (Host *host, const char *path, CorralContainerState state);
void must_create (Host *host, const char *path, const CorralCpuset *cpus);
void assert_cpus (Host *host, const char *path, const CorralCpuset *wanted);
void must_set (Host *host, const char *path, const CorralCpuset *cpus);
void must_attach (Host *host, const char *path, Vm *vm);
char *assert_member (Host *host, Vm *vm, const char *path);
void assert_roles (Host *host, Vm *vm, const char *group);
void assert_affinity (Host *host, pid_t tid, const CorralCpuset *wanted);
CorralCpuset *one (Host *host, guint which);
CorralCpuset *both (Host *host);

/* --- conformance-members.c --- */

void test_process (gconstpointer kind);
void test_attach (gconstpointer kind);
void test_newborn (gconstpointer kind);
void test_libvirt (gconstpointer kind);
void test_devices (gconstpointer kind);
void test_repair (gconstpointer kind);
void test_live_cpuset (gconstpointer kind);
void test_pin (gconstpointer kind);
void test_pin_kept (gconstpointer kind);
void test_thread (gconstpointer kind);
void test_usage (gconstpointer kind);
void test_throttled (gconstpointer kind);
void test_usage_remade (gconstpointer kind);

/* --- conformance-kvm.c --- */

void test_kvm (gconstpointer kind);
void test_kvm_usage (gconstpointer kind);
void test_kvm_module (gconstpointer kind);
void test_kvm_attach (gconstpointer kind);
