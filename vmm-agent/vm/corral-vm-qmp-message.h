/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Single messages of QMP (QEMU's docs/interop/qmp-spec), read with limits. Pure functions. */
#pragma once

#include "vmm-agent/vm/corral-vm.h"

#include <json-glib/json-glib.h>

/* Longest line and deepest nesting that is read. The longest honest answer is query-cpus-fast's, at
 * about 300 bytes for each vCPU. */
#define CORRAL_VM_QMP_LINE_MAX (4 * 1024 * 1024)
#define CORRAL_VM_QMP_DEPTH_MAX 32

/* One line, without its end: a JSON object. CORRAL_ERROR_INVALID says what is wrong with it. */
gboolean corral_vm_qmp_message_parse (const char *line, gsize length, JsonNode **ret_message,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The "return" of each query. An answer of another shape gives %FALSE, %CORRAL_VM_OTHER, no thread.
 */
gboolean corral_vm_qmp_read_uuid (JsonNode *answer, guint8 *ret_uuid);
CorralVmState corral_vm_qmp_read_state (JsonNode *answer);
/* Appends to @threads (of CorralThread) those of query-cpus-fast, with cpu-index for an index, or
 * those of query-iothreads, numbered as QEMU lists them. */
void corral_vm_qmp_read_vcpus (JsonNode *answer, GArray *threads);
void corral_vm_qmp_read_iothreads (JsonNode *answer, GArray *threads);
