/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The smaller parsers of text from outside, chosen by the first byte: lists of pCPUs, container
 * paths and directories, QMP messages, libvirt's status documents, and files of the kernel's kvm
 * subsystem. */
#include "common/corral-cpuset.h"
#include "vmm-agent/container/container-kvm-files.h"
#include "vmm-agent/container/container-path.h"
#include "vmm-agent/vm/corral-vm-qmp-message.h"
#include "vmm-agent/vm/corral-vm-status.h"

#include <string.h>

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

static void
fuzz_cpuset (const char *text)
{
    g_autoptr (CorralCpuset) set = NULL, again = NULL;
    g_autofree char *list = NULL;

    if (!corral_cpuset_parse (text, &set, NULL))
        return;
    list = corral_cpuset_format (set);
    g_assert_true (corral_cpuset_parse (list, &again, NULL));
    g_assert_true (hwloc_bitmap_isequal (set, again));
}

/* No path may lead out of the tree, and what comes back must be what went in. */
static void
fuzz_path (const char *text)
{
    g_autofree char *dir = NULL, *path = NULL, *group = NULL, *of_dir = NULL;

    of_dir = corral_container_dir_to_path (text, NULL);
    if (!corral_container_path_to_dir (text, &dir, NULL))
        return;
    g_assert_false (g_path_is_absolute (dir));
    g_assert_null (strstr (dir, "/../"));
    g_assert_false (g_str_has_prefix (dir, "../") || g_str_has_suffix (dir, "/.."));
    path = corral_container_dir_to_path (dir, &group);
    if (path != NULL && group == NULL)
        g_assert_cmpstr (path, ==, text);
}

static void
fuzz_qmp (const char *text, gsize length)
{
    g_autoptr (JsonNode) message = NULL;
    g_autoptr (GArray) threads = g_array_new (FALSE, FALSE, sizeof (CorralThread));
    JsonNode *answer;
    guint8 uuid[16];

    if (!corral_vm_qmp_message_parse (text, length, &message, NULL))
        return;
    answer = json_object_get_member (json_node_get_object (message), "return");
    if (answer == NULL)
        return;
    corral_vm_qmp_read_state (answer);
    if (corral_vm_qmp_read_uuid (answer, uuid))
        g_assert_true (JSON_NODE_HOLDS_OBJECT (answer));
    corral_vm_qmp_read_vcpus (answer, threads);
    corral_vm_qmp_read_iothreads (answer, threads);
    for (guint i = 0; i < threads->len; i++)
        g_assert_cmpint (g_array_index (threads, CorralThread, i).tid, >, 0);
}

static void
fuzz_status (const char *text, gsize length)
{
    g_autoptr (CorralVmStatus) status = NULL;

    if (!corral_vm_status_parse (text, length, &status, NULL))
        return;
    for (guint i = 0; i < status->vcpus->len; i++)
        g_assert_cmpint (g_array_index (status->vcpus, CorralThread, i).tid, >, 0);
}

static void
fuzz_kvm (const char *text)
{
    g_autoptr (GArray) vcpus = g_array_new (FALSE, FALSE, sizeof (CorralKvmVcpu));
    CorralContainerKvmUsage usage;
    gboolean complete;
    guint fd;

    if (corral_kvm_stat_parse (text, &usage))
        g_assert_cmpuint (usage.guest_ns % 1000, ==, 0);
    if (corral_kvm_vms_find (text, 7, &fd, vcpus, &complete) != 0)
        return;
    for (guint i = 0; i < vcpus->len; i++) {
        g_assert_cmpint (g_array_index (vcpus, CorralKvmVcpu, i).tid, >, 0);
        g_assert_cmpint (g_array_index (vcpus, CorralKvmVcpu, i).id, >=, 0);
    }
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
    g_autofree char *text = NULL;

    if (size == 0)
        return 0;
    text = g_strndup ((const char *) data + 1, size - 1);
    switch (data[0]) {
    case 'c':
        fuzz_cpuset (text);
        break;
    case 'k':
        fuzz_kvm (text);
        break;
    case 'p':
        fuzz_path (text);
        break;
    case 'q':
        fuzz_qmp ((const char *) data + 1, size - 1);
        break;
    case 's':
        fuzz_status ((const char *) data + 1, size - 1);
        break;
    default:
        break;
    }
    return 0;
}
