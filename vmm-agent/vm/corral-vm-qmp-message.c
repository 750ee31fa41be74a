/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm-agent/vm/corral-vm-qmp-message.h"

#include "common/corral-error.h"

#include <string.h>

#define THREADS_MAX 8192

/* json-glib calls itself for each level of nesting, so that is limited before it gets the text. */
static gboolean
depth_is_bounded (const char *line, gsize length)
{
    gboolean in_string = FALSE;
    guint depth = 0;

    for (gsize i = 0; i < length; i++) {
        if (in_string && line[i] == '\\')
            i++;
        else if (line[i] == '"')
            in_string = !in_string;
        else if (!in_string && (line[i] == '{' || line[i] == '[')) {
            if (++depth > CORRAL_VM_QMP_DEPTH_MAX)
                return FALSE;
        } else if (!in_string && (line[i] == '}' || line[i] == ']') && depth > 0)
            depth--;
    }
    return TRUE;
}

gboolean
corral_vm_qmp_message_parse (const char *line, gsize length, JsonNode **ret_message, GError **error)
{
    g_autoptr (JsonParser) parser = json_parser_new_immutable ();
    g_autoptr (GError) json_error = NULL;
    JsonNode *root = NULL;

    if (length > CORRAL_VM_QMP_LINE_MAX || !depth_is_bounded (line, length)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "cannot read a QMP message: longer than %d bytes, or nested deeper than %d",
                     CORRAL_VM_QMP_LINE_MAX, CORRAL_VM_QMP_DEPTH_MAX);
        return FALSE;
    }
    if (g_utf8_validate_len (line, length, NULL) &&
        json_parser_load_from_data (parser, line, (gssize) length, &json_error))
        root = json_parser_get_root (parser);
    if (root == NULL || !JSON_NODE_HOLDS_OBJECT (root)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID, "cannot read a QMP message: %s",
                     json_error != NULL ? json_error->message : "it is no JSON object");
        return FALSE;
    }
    *ret_message = json_node_copy (root);
    return TRUE;
}

static JsonNode *
member (JsonNode *node, const char *name)
{
    if (node == NULL || !JSON_NODE_HOLDS_OBJECT (node))
        return NULL;
    return json_object_get_member (json_node_get_object (node), name);
}

static const char *
string_member (JsonNode *node, const char *name)
{
    JsonNode *value = member (node, name);

    if (value == NULL || json_node_get_value_type (value) != G_TYPE_STRING)
        return NULL;
    return json_node_get_string (value);
}

static gboolean
int_member (JsonNode *node, const char *name, gint64 min, gint64 max, int *ret_value)
{
    JsonNode *value = member (node, name);
    gint64 number;

    if (value == NULL || json_node_get_value_type (value) != G_TYPE_INT64)
        return FALSE;
    number = json_node_get_int (value);
    if (number < min || number > max)
        return FALSE;
    *ret_value = (int) number;
    return TRUE;
}

gboolean
corral_vm_qmp_read_uuid (JsonNode *answer, guint8 *ret_uuid)
{
    const char *text = string_member (answer, "UUID");
    guint8 uuid[16];
    guint at = 0;

    if (text == NULL || !g_uuid_string_is_valid (text))
        return FALSE;
    for (; *text != '\0' && at < 32; text++) {
        if (*text == '-')
            continue;
        if (at % 2 == 0)
            uuid[at / 2] = (guint8) (g_ascii_xdigit_value (*text) << 4);
        else
            uuid[at / 2] |= (guint8) g_ascii_xdigit_value (*text);
        at++;
    }
    memcpy (ret_uuid, uuid, sizeof uuid);
    return TRUE;
}

CorralVmState
corral_vm_qmp_read_state (JsonNode *answer)
{
    static const char *const paused[] = { "paused",    "suspended",   "prelaunch",
                                          "inmigrate", "postmigrate", "finish-migrate",
                                          "save-vm",   "restore-vm",  "debug",
                                          "io-error",  "watchdog",    "colo",
                                          NULL };
    const char *status = string_member (answer, "status");

    if (g_strcmp0 (status, "running") == 0)
        return CORRAL_VM_RUNNING;
    if (status != NULL && g_strv_contains (paused, status))
        return CORRAL_VM_PAUSED;
    return CORRAL_VM_OTHER;
}

static void
read_threads (JsonNode *answer, CorralThreadRole role, const char *index_name, GArray *threads)
{
    JsonArray *entries;
    guint n_entries;

    if (answer == NULL || !JSON_NODE_HOLDS_ARRAY (answer))
        return;
    entries = json_node_get_array (answer);
    n_entries = MIN (json_array_get_length (entries), THREADS_MAX);
    for (guint i = 0; i < n_entries; i++) {
        JsonNode *entry = json_array_get_element (entries, i);
        CorralThread thread = { .role = role, .index = (int) i };

        /* The entry's own thread-id: the one in its "props" is a topology's. */
        if (int_member (entry, "thread-id", 1, G_MAXINT, &thread.tid) &&
            (index_name == NULL ||
             int_member (entry, index_name, 0, THREADS_MAX - 1, &thread.index)))
            g_array_append_val (threads, thread);
    }
}

void
corral_vm_qmp_read_vcpus (JsonNode *answer, GArray *threads)
{
    read_threads (answer, CORRAL_THREAD_VCPU, "cpu-index", threads);
}

void
corral_vm_qmp_read_iothreads (JsonNode *answer, GArray *threads)
{
    read_threads (answer, CORRAL_THREAD_IOTHREAD, NULL, threads);
}
