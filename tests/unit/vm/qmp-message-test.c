/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm-agent/vm/corral-vm-qmp-message.h"

#include "common/corral-error.h"

#include <string.h>

static JsonNode *
parse (const char *text)
{
    g_autoptr (GError) error = NULL;
    JsonNode *message = NULL;

    g_assert_true (corral_vm_qmp_message_parse (text, strlen (text), &message, &error));
    g_assert_no_error (error);
    return message;
}

static void
check_refused (const char *text, gsize length)
{
    g_autoptr (GError) error = NULL;
    JsonNode *message = NULL;

    g_assert_false (corral_vm_qmp_message_parse (text, length, &message, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
}

static void
test_parse (void)
{
    static const char *const refused[] = {
        "", "null", "[]", "1", "{", "{\"a\":}", "\xff", "{\"a\":\"\xff\"}",
    };
    g_autoptr (JsonNode) message = parse ("{\"event\": \"STOP\", \"s\": \"[[[[\\\"{{\"}\r");
    g_autofree char *deep = g_strnfill (200000, '[');
    g_autofree char *huge = g_strnfill (CORRAL_VM_QMP_LINE_MAX + 1, ' ');
    g_autoptr (GString) nested = g_string_new ("{\"a\":");

    for (gsize i = 0; i < G_N_ELEMENTS (refused); i++)
        check_refused (refused[i], strlen (refused[i]));
    check_refused ("{\0}", 3);
    check_refused (deep, strlen (deep));
    check_refused (huge, strlen (huge));
    for (int i = 0; i < CORRAL_VM_QMP_DEPTH_MAX; i++)
        g_string_append_c (nested, '[');
    for (int i = 0; i < CORRAL_VM_QMP_DEPTH_MAX; i++)
        g_string_append_c (nested, ']');
    g_string_append_c (nested, '}');
    check_refused (nested->str, nested->len);
}

static void
test_vcpus (void)
{
    g_autoptr (GArray) threads = g_array_new (FALSE, FALSE, sizeof (CorralThread));
    g_autoptr (JsonNode) message = parse (
        "{\"return\": ["
        "{\"thread-id\": 101, \"props\": {\"core-id\": 0, \"thread-id\": 0, \"socket-id\": 1},"
        " \"qom-path\": \"/machine/unattached/device[0]\", \"target\": \"x86_64\","
        " \"cpu-index\": 3},"
        "{\"props\": {\"thread-id\": 7}, \"cpu-index\": 1},"
        "{\"thread-id\": 0, \"cpu-index\": 2},"
        "{\"thread-id\": -5, \"cpu-index\": 2},"
        "{\"thread-id\": 99999999999, \"cpu-index\": 2},"
        "{\"thread-id\": \"102\", \"cpu-index\": 2},"
        "{\"thread-id\": 103, \"cpu-index\": -1},"
        "{\"thread-id\": 103}, 5, null, [] ]}");
    JsonNode *answer = json_object_get_member (json_node_get_object (message), "return");

    corral_vm_qmp_read_vcpus (answer, threads);
    g_assert_cmpuint (threads->len, ==, 1);
    g_assert_cmpint (g_array_index (threads, CorralThread, 0).tid, ==, 101);
    g_assert_cmpint (g_array_index (threads, CorralThread, 0).index, ==, 3);
    g_assert_cmpint (g_array_index (threads, CorralThread, 0).role, ==, CORRAL_THREAD_VCPU);
    corral_vm_qmp_read_vcpus (message, threads);
    corral_vm_qmp_read_vcpus (NULL, threads);
    g_assert_cmpuint (threads->len, ==, 1);
}

static void
test_others (void)
{
    g_autoptr (GArray) threads = g_array_new (FALSE, FALSE, sizeof (CorralThread));
    g_autoptr (JsonNode) message =
        parse ("{\"io\": [{\"id\": \"a\", \"thread-id\": 5}, {\"id\": \"b\", \"thread-id\": 6}],"
               " \"run\": {\"status\": \"running\", \"running\": true},"
               " \"wait\": {\"status\": \"prelaunch\"}, \"end\": {\"status\": \"shutdown\"},"
               " \"odd\": {\"status\": 5},"
               " \"id\": {\"UUID\": \"00112233-4455-6677-8899-aabbccddeeff\"},"
               " \"bad\": {\"UUID\": \"00112233\"}}");
    JsonObject *object = json_node_get_object (message);
    guint8 uuid[16] = { 0 };

    corral_vm_qmp_read_iothreads (json_object_get_member (object, "io"), threads);
    g_assert_cmpuint (threads->len, ==, 2);
    g_assert_cmpint (g_array_index (threads, CorralThread, 1).tid, ==, 6);
    g_assert_cmpint (g_array_index (threads, CorralThread, 1).index, ==, 1);
    g_assert_cmpint (g_array_index (threads, CorralThread, 1).role, ==, CORRAL_THREAD_IOTHREAD);
    g_assert_cmpint (corral_vm_qmp_read_state (json_object_get_member (object, "run")), ==,
                     CORRAL_VM_RUNNING);
    g_assert_cmpint (corral_vm_qmp_read_state (json_object_get_member (object, "wait")), ==,
                     CORRAL_VM_PAUSED);
    g_assert_cmpint (corral_vm_qmp_read_state (json_object_get_member (object, "end")), ==,
                     CORRAL_VM_OTHER);
    g_assert_cmpint (corral_vm_qmp_read_state (json_object_get_member (object, "odd")), ==,
                     CORRAL_VM_OTHER);
    g_assert_cmpint (corral_vm_qmp_read_state (NULL), ==, CORRAL_VM_OTHER);
    g_assert_false (corral_vm_qmp_read_uuid (json_object_get_member (object, "bad"), uuid));
    g_assert_true (corral_vm_qmp_read_uuid (json_object_get_member (object, "id"), uuid));
    g_assert_cmpuint (uuid[1], ==, 0x11);
    g_assert_cmpuint (uuid[15], ==, 0xff);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_test_add_func ("/vm/qmp-message/parse", test_parse);
    g_test_add_func ("/vm/qmp-message/vcpus", test_vcpus);
    g_test_add_func ("/vm/qmp-message/others", test_others);
    return g_test_run ();
}
