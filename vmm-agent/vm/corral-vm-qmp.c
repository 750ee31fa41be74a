/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VM started outside libvirt, by its QMP socket.
 *
 * The VM is the process that listens on the socket, which the kernel names (SO_PEERCRED); what QEMU
 * says over it only adds state and threads. So a QEMU that hangs, or a socket that sends garbage,
 * costs no more than news of this one VM, and the VM stays in the inventory while its process
 * lives. */
#include "vmm-agent/vm/corral-vm-qmp-message.h"
#include "vmm-agent/vm/corral-vm-source.h"

#include "common/corral-error.h"

#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <string.h>
#include <sys/socket.h>

/* How long a QEMU may take to name its threads before the VM is reported without them. */
#define FIRST_ANSWER_MS 1000
/* A socket that is there but refuses: QEMU makes it a moment before it listens, or has died. */
#define RETRY_FIRST_MS 10
#define RETRY_MAX_MS 5000
#define REFUSED_TRIES 12

#define READ_SIZE 65536

typedef enum { QUERY_UUID, QUERY_STATUS, QUERY_CPUS, QUERY_IOTHREADS, N_QUERIES } Query;
static const char *const query_names[N_QUERIES] = { "query-uuid", "query-status", "query-cpus-fast",
                                                    "query-iothreads" };

struct _CorralVmQmp {
    CorralVmInventory *inventory;
    CorralVmNotify *notify;
    char *name;
    char *path;
    char *file;
    guint directory_watch;
    GCancellable *cancel; /* of the present connection; a new one for each */
    GSocketConnection *connection;
    GByteArray *input;
    GString *output; /* waits to be sent; not more than one of each query */
    gboolean writing;
    gboolean ready; /* capabilities are negotiated */
    gboolean asked[N_QUERIES], ask_again[N_QUERIES];
    GSource *retry, *first_answer;
    guint retry_ms, refused;
    gboolean is_new; /* nobody has been reached by this socket file: it may not listen yet */
    gint64 connected_at;
    gboolean is_read;
    gboolean have_facts;

    CorralVmProcess process;
    CorralVmState state;
    guint8 uuid[16];
    GArray *vcpus, *iothreads;
};

static void connect_to (CorralVmQmp *qmp);

static void
clear_source (GSource **source)
{
    if (*source == NULL)
        return;
    g_source_destroy (*source);
    g_clear_pointer (source, g_source_unref);
}

static void
set_timer (CorralVmQmp *qmp, GSource **timer, guint ms, GSourceFunc func)
{
    clear_source (timer);
    *timer = g_timeout_source_new (ms);
    g_source_set_callback (*timer, func, qmp, NULL);
    g_source_attach (*timer, g_main_context_get_thread_default ());
}

static void
set_read (CorralVmQmp *qmp)
{
    if (qmp->is_read)
        return;
    qmp->is_read = TRUE;
    corral_vm_inventory_source_read (qmp->inventory);
}

void
corral_vm_qmp_offer (CorralVmQmp *qmp)
{
    g_autoptr (GArray) threads = NULL;
    CorralVmFacts facts = {
        .name = qmp->name,
        .source = CORRAL_VM_QMP,
        .state = qmp->state,
        .process = qmp->process,
    };

    if (!qmp->have_facts || !corral_vm_process_is_alive (&qmp->process))
        return;
    threads = g_array_copy (qmp->vcpus);
    g_array_append_vals (threads, qmp->iothreads->data, qmp->iothreads->len);
    memcpy (facts.uuid, qmp->uuid, sizeof facts.uuid);
    facts.threads = threads;
    corral_vm_inventory_put (qmp->inventory, &facts);
}

static void
report (CorralVmQmp *qmp)
{
    clear_source (&qmp->first_answer);
    qmp->have_facts = TRUE;
    corral_vm_qmp_offer (qmp);
    set_read (qmp);
}

/* --- connecting --- */

static gboolean
on_retry (gpointer data)
{
    CorralVmQmp *qmp = data;

    clear_source (&qmp->retry);
    connect_to (qmp);
    return G_SOURCE_REMOVE;
}

static void
retry_later (CorralVmQmp *qmp)
{
    set_timer (qmp, &qmp->retry, qmp->retry_ms, on_retry);
    qmp->retry_ms = MIN (qmp->retry_ms * 2, RETRY_MAX_MS);
}

static void
disconnect (CorralVmQmp *qmp)
{
    if (qmp->cancel != NULL)
        g_cancellable_cancel (qmp->cancel);
    g_clear_object (&qmp->cancel);
    g_clear_object (&qmp->connection); /* closed when the calls that were cancelled have returned */
    g_byte_array_set_size (qmp->input, 0);
    g_string_truncate (qmp->output, 0);
    qmp->writing = qmp->ready = FALSE;
    memset (qmp->asked, 0, sizeof qmp->asked);
    memset (qmp->ask_again, 0, sizeof qmp->ask_again);
}

/* A live QEMU takes the next connection; in a dead one's place its successor may listen already. */
static void
lose (CorralVmQmp *qmp)
{
    if (g_get_monotonic_time () - qmp->connected_at > RETRY_MAX_MS * 1000)
        qmp->retry_ms = RETRY_FIRST_MS;
    disconnect (qmp);
    retry_later (qmp);
    if (corral_vm_process_is_alive (&qmp->process))
        return;
    clear_source (&qmp->first_answer);
    qmp->have_facts = FALSE;
    corral_vm_inventory_check (qmp->inventory, qmp->name);
    set_read (qmp);
}

/* --- sending --- */

static void send_output (CorralVmQmp *qmp);

/* The answer is of a connection that has been given up; the CorralVmQmp itself may be gone. */
static gboolean
is_cancelled (const GError *error)
{
    return g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static void
on_written (GObject *stream, GAsyncResult *result, gpointer data)
{
    g_autoptr (CorralVmInventory) inventory = NULL;
    g_autoptr (GError) error = NULL;
    CorralVmQmp *qmp = data;
    gboolean written =
        g_output_stream_write_all_finish (G_OUTPUT_STREAM (stream), result, NULL, &error);

    if (is_cancelled (error))
        return;
    inventory = g_object_ref (qmp->inventory);
    qmp->writing = FALSE;
    if (written)
        send_output (qmp);
    else
        lose (qmp);
}

static void
send_output (CorralVmQmp *qmp)
{
    GOutputStream *stream;
    gsize length = qmp->output->len;
    char *text;

    if (qmp->writing || length == 0 || qmp->connection == NULL)
        return;
    text = g_strdup (qmp->output->str);
    g_string_truncate (qmp->output, 0);
    qmp->writing = TRUE;
    stream = g_io_stream_get_output_stream (G_IO_STREAM (qmp->connection));
    /* the stream outlives the call that reads it */
    g_object_set_data_full (G_OBJECT (stream), "corral-sent", text, g_free);
    g_output_stream_write_all_async (stream, text, length, G_PRIORITY_DEFAULT, qmp->cancel,
                                     on_written, qmp);
}

/* At most one of each kind is under way: a QEMU that hangs is not sent more and more. */
static void
ask (CorralVmQmp *qmp, Query query)
{
    if (!qmp->ready)
        return;
    if (qmp->asked[query]) {
        qmp->ask_again[query] = TRUE;
        return;
    }
    qmp->asked[query] = TRUE;
    g_string_append_printf (qmp->output, "{\"execute\":\"%s\",\"id\":%d}\n", query_names[query],
                            (int) query);
    send_output (qmp);
}

void
corral_vm_qmp_refresh (CorralVmQmp *qmp)
{
    ask (qmp, QUERY_CPUS);
    ask (qmp, QUERY_IOTHREADS);
}

/* --- receiving --- */

static void
on_event (CorralVmQmp *qmp, const char *event)
{
    static const char *const of_state[] = {
        "STOP",           "RESUME",    "SUSPEND", "SUSPEND_DISK",   "WAKEUP",
        "SHUTDOWN",       "POWERDOWN", "RESET",   "GUEST_PANICKED", "MIGRATION",
        "BLOCK_IO_ERROR", "WATCHDOG",  NULL
    };
    static const char *const of_threads[] = { "DEVICE_DELETED",  "DEVICE_UNPLUG_GUEST_ERROR",
                                              "ACPI_DEVICE_OST", "RESUME",
                                              "RESET",           NULL };

    if (g_strv_contains (of_state, event))
        ask (qmp, QUERY_STATUS);
    if (g_strv_contains (of_threads, event))
        corral_vm_qmp_refresh (qmp);
}

static void
on_answer (CorralVmQmp *qmp, Query query, JsonNode *answer)
{
    g_return_if_fail (query < N_QUERIES);
    switch (query) {
    case QUERY_UUID:
        corral_vm_qmp_read_uuid (answer, qmp->uuid);
        break;
    case QUERY_STATUS:
        qmp->state = corral_vm_qmp_read_state (answer);
        break;
    case QUERY_CPUS:
        g_array_set_size (qmp->vcpus, 0);
        corral_vm_qmp_read_vcpus (answer, qmp->vcpus);
        break;
    case QUERY_IOTHREADS:
        g_array_set_size (qmp->iothreads, 0);
        corral_vm_qmp_read_iothreads (answer, qmp->iothreads);
        break;
    case N_QUERIES:
        g_assert_not_reached ();
    }
    qmp->asked[query] = FALSE;
    if (qmp->ask_again[query]) {
        qmp->ask_again[query] = FALSE;
        ask (qmp, query);
    }
    /* The last of the first round; each later one is news. */
    if (qmp->have_facts || query == QUERY_IOTHREADS)
        report (qmp);
}

/* %FALSE: this is no QMP. */
static gboolean
on_message (CorralVmQmp *qmp, JsonNode *message)
{
    JsonObject *object = json_node_get_object (message);
    JsonNode *event = json_object_get_member (object, "event");
    JsonNode *id = json_object_get_member (object, "id");
    gboolean answered =
        json_object_has_member (object, "return") || json_object_has_member (object, "error");

    if (json_object_has_member (object, "QMP")) {
        if (qmp->ready)
            return FALSE;
        g_string_append (qmp->output, "{\"execute\":\"qmp_capabilities\",\"id\":-1}\n");
        send_output (qmp);
        return TRUE;
    }
    if (event != NULL && json_node_get_value_type (event) == G_TYPE_STRING) {
        on_event (qmp, json_node_get_string (event));
        return TRUE;
    }
    if (!answered || id == NULL || json_node_get_value_type (id) != G_TYPE_INT64)
        return FALSE;
    if (json_node_get_int (id) == -1 && !qmp->ready && json_object_has_member (object, "return")) {
        qmp->ready = TRUE;
        for (int query = 0; query < N_QUERIES; query++)
            ask (qmp, (Query) query);
        return TRUE;
    }
    if (json_node_get_int (id) < 0 || json_node_get_int (id) >= N_QUERIES ||
        !qmp->asked[json_node_get_int (id)])
        return FALSE;
    on_answer (qmp, (Query) json_node_get_int (id), json_object_get_member (object, "return"));
    return TRUE;
}

static gboolean
take_lines (CorralVmQmp *qmp)
{
    guint8 *end;

    while (qmp->input->len > 0 &&
           (end = memchr (qmp->input->data, '\n', qmp->input->len)) != NULL) {
        gsize length = (gsize) (end - qmp->input->data);
        g_autoptr (JsonNode) message = NULL;

        if (!corral_vm_qmp_message_parse ((char *) qmp->input->data, length, &message, NULL))
            return FALSE;
        g_byte_array_remove_range (qmp->input, 0, (guint) length + 1);
        if (!on_message (qmp, message))
            return FALSE;
    }
    return qmp->input->len <= CORRAL_VM_QMP_LINE_MAX;
}

static void read_more (CorralVmQmp *qmp);

static void
on_read (GObject *stream, GAsyncResult *result, gpointer data)
{
    g_autoptr (GBytes) bytes = NULL;
    g_autoptr (GError) error = NULL;
    g_autoptr (CorralVmInventory) inventory = NULL;
    CorralVmQmp *qmp = data;
    gsize length = 0;
    gconstpointer text = NULL;

    bytes = g_input_stream_read_bytes_finish (G_INPUT_STREAM (stream), result, &error);
    if (is_cancelled (error))
        return;
    inventory = g_object_ref (qmp->inventory);
    if (bytes != NULL)
        text = g_bytes_get_data (bytes, &length);
    if (length > 0)
        g_byte_array_append (qmp->input, text, (guint) length);
    if (length == 0 || !take_lines (qmp))
        lose (qmp);
    else
        read_more (qmp);
}

static void
read_more (CorralVmQmp *qmp)
{
    GInputStream *stream = g_io_stream_get_input_stream (G_IO_STREAM (qmp->connection));

    g_input_stream_read_bytes_async (stream, READ_SIZE, G_PRIORITY_DEFAULT, qmp->cancel, on_read,
                                     qmp);
}

static gboolean
find_peer (GSocketConnection *connection, CorralVmProcess *ret_process)
{
    struct ucred peer = { 0 };
    socklen_t size = sizeof peer;
    int fd = g_socket_get_fd (g_socket_connection_get_socket (connection));

    return getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           corral_vm_process_read (peer.pid, ret_process);
}

static gboolean
on_no_answer (gpointer data)
{
    CorralVmQmp *qmp = data;

    report (qmp);
    return G_SOURCE_REMOVE;
}

static void
on_connect_failed (CorralVmQmp *qmp, const GError *error)
{
    disconnect (qmp);
    set_read (qmp);
    /* ENOENT is left to inotify. Of the others, "refused" by a socket file whose QEMU has died, or
     * for long by a new one, means that nobody will listen on it again; a QEMU that is there, but
     * whose queue is full, is worth asking again. */
    if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
        return;
    if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED) &&
        (++qmp->refused >= REFUSED_TRIES ||
         (!qmp->is_new && !corral_vm_process_is_alive (&qmp->process))))
        return;
    retry_later (qmp);
}

static void
on_connected (GObject *client, GAsyncResult *result, gpointer data)
{
    g_autoptr (GSocketConnection) connection = NULL;
    g_autoptr (CorralVmInventory) inventory = NULL;
    g_autoptr (GError) error = NULL;
    CorralVmQmp *qmp = data;
    CorralVmProcess process;

    connection = g_socket_client_connect_finish (G_SOCKET_CLIENT (client), result, &error);
    if (is_cancelled (error))
        return;
    inventory = g_object_ref (qmp->inventory);
    if (connection == NULL) {
        on_connect_failed (qmp, error);
        return;
    }
    qmp->connection = g_steal_pointer (&connection);
    qmp->refused = 0;
    qmp->is_new = FALSE;
    qmp->connected_at = g_get_monotonic_time ();
    if (!find_peer (qmp->connection, &process)) {
        /* The one who made the socket is no more; QEMU's parent, if it makes itself a daemon. */
        disconnect (qmp);
        set_read (qmp);
        retry_later (qmp);
        return;
    }
    if (process.pid != qmp->process.pid || process.start_time != qmp->process.start_time) {
        qmp->process = process;
        qmp->have_facts = FALSE;
        qmp->state = CORRAL_VM_OTHER;
        memset (qmp->uuid, 0, sizeof qmp->uuid);
        g_array_set_size (qmp->vcpus, 0);
        g_array_set_size (qmp->iothreads, 0);
        set_timer (qmp, &qmp->first_answer, FIRST_ANSWER_MS, on_no_answer);
    }
    read_more (qmp);
}

static void
connect_to (CorralVmQmp *qmp)
{
    g_autoptr (GSocketClient) client = g_socket_client_new ();
    g_autoptr (GSocketAddress) address = g_unix_socket_address_new (qmp->path);

    disconnect (qmp);
    clear_source (&qmp->retry);
    qmp->cancel = g_cancellable_new ();
    g_socket_client_set_enable_proxy (client, FALSE);
    g_socket_client_connect_async (client, G_SOCKET_CONNECTABLE (address), qmp->cancel,
                                   on_connected, qmp);
}

/* --- life --- */

static void
on_directory (const char *file, gpointer data)
{
    CorralVmQmp *qmp = data;

    if (file != NULL && !g_str_equal (file, qmp->file))
        return;
    qmp->is_new = TRUE;
    qmp->retry_ms = RETRY_FIRST_MS;
    qmp->refused = 0;
    /* While the old QEMU is connected, a new socket file is its successor's, which is connected to
     * when the old one ends. */
    if (qmp->connection != NULL && corral_vm_process_is_alive (&qmp->process))
        return;
    connect_to (qmp);
}

CorralVmQmp *
corral_vm_qmp_new (CorralVmInventory *inventory, CorralVmNotify *notify, const char *name,
                   const char *socket)
{
    CorralVmQmp *qmp = g_new0 (CorralVmQmp, 1);
    g_autofree char *directory = g_path_get_dirname (socket);

    qmp->inventory = inventory;
    qmp->notify = notify;
    qmp->name = g_strdup (name);
    qmp->path = g_strdup (socket);
    qmp->file = g_path_get_basename (socket);
    qmp->state = CORRAL_VM_OTHER;
    qmp->input = g_byte_array_new ();
    qmp->output = g_string_new (NULL);
    qmp->vcpus = g_array_new (FALSE, FALSE, sizeof (CorralThread));
    qmp->iothreads = g_array_new (FALSE, FALSE, sizeof (CorralThread));
    qmp->is_new = TRUE;
    qmp->retry_ms = RETRY_FIRST_MS;
    qmp->directory_watch = corral_vm_notify_add (notify, directory, on_directory, qmp);
    connect_to (qmp);
    return qmp;
}

void
corral_vm_qmp_free (CorralVmQmp *qmp)
{
    if (qmp == NULL)
        return;
    disconnect (qmp);
    clear_source (&qmp->retry);
    clear_source (&qmp->first_answer);
    corral_vm_notify_remove (qmp->notify, qmp->directory_watch);
    g_byte_array_unref (qmp->input);
    g_string_free (qmp->output, TRUE);
    g_array_unref (qmp->vcpus);
    g_array_unref (qmp->iothreads);
    g_free (qmp->name);
    g_free (qmp->path);
    g_free (qmp->file);
    g_free (qmp);
}
