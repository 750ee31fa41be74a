/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "corral-rpc-private.h"

#include <gio/gunixfdmessage.h>
#include <sys/socket.h>
#include <time.h>

/* What one turn of the main loop reads from one client, so that a fast one does not keep others
 * waiting. */
#define READ_PER_TURN (256 * 1024)

/* A frame's buffer starts at this size and doubles as data arrive: to claim a length is free. */
#define FRAME_ALLOCATION_MIN 4096

/* CPU time of a call that is slow; not the time that it took, since a busy host makes any call
 * slow. */
#define SLOW_CALL_US 200

/* A quick call's client has this long for its next one before a slow call is begun: it may have to
 * wait for a CPU. */
#define QUICK_PAUSE_US 2000

/* How often a slow call is made though quick ones come without a pause. */
#define SLOW_INTERVAL_US 10000

typedef struct {
    GSource source;
    CorralRpcClient *client;
} ClientSource;

/*----- Writing --------------------------------------------------------------------------------*/

static void
update_condition (CorralRpcClient *client)
{
    GIOCondition condition = 0;

    /* A client that leaves an answer unread gets no further ones. */
    if (client->replies == 0 && !client->closing && !client->waits)
        condition |= G_IO_IN;
    if (!g_queue_is_empty (&client->queue))
        condition |= G_IO_OUT;
    if (client->source == NULL || condition == client->condition)
        return;
    client->condition = condition;
    g_source_modify_unix_fd (client->source, client->source_fd, condition);
}

/* One more frame in its queue. */
static void
count_frame (CorralRpcClient *client, const CorralRpcFrame *frame)
{
    client->queue_bytes += frame->size;
    if (client->readonly_socket)
        client->server->readonly_unread += frame->size;
    if (frame->kind == CORRAL_RPC_FRAME_REPLY)
        client->replies++;
    else if (frame->kind == CORRAL_RPC_FRAME_EVENT)
        client->event_bytes += frame->size;
}

/* @bytes less of them. */
static void
uncount_bytes (CorralRpcClient *client, gsize bytes)
{
    client->queue_bytes -= bytes;
    if (client->readonly_socket)
        client->server->readonly_unread -= bytes;
}

static void
pop_frame (CorralRpcClient *client)
{
    CorralRpcFrame *frame = g_queue_pop_head (&client->queue);

    uncount_bytes (client, frame->size);
    if (frame->kind == CORRAL_RPC_FRAME_REPLY)
        client->replies--;
    else if (frame->kind == CORRAL_RPC_FRAME_EVENT)
        client->event_bytes -= frame->size;
    client->sent_of_head = 0;
    g_free (frame);
}

void
corral_rpc_client_flush (CorralRpcClient *client)
{
    CorralRpcFrame *frame;

    while (!client->doomed && (frame = g_queue_peek_head (&client->queue)) != NULL) {
        g_autoptr (GError) error = NULL;
        gssize sent =
            g_socket_send (client->socket, (const char *) frame->bytes + client->sent_of_head,
                           frame->size - client->sent_of_head, NULL, &error);

        if (sent < 0) {
            if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
                corral_rpc_client_doom (client);
            break;
        }
        client->sent_of_head += (gsize) sent;
        if (client->sent_of_head == frame->size)
            pop_frame (client);
    }
    if (client->closing && g_queue_is_empty (&client->queue))
        corral_rpc_client_doom (client);
    update_condition (client);
}

void
corral_rpc_client_send (CorralRpcClient *client, CorralRpcFrame *frame)
{
    if (client->doomed) {
        g_free (frame);
        return;
    }
    count_frame (client, frame);
    g_queue_push_tail (&client->queue, frame);
    corral_rpc_client_flush (client);
    if (client->readonly_socket && client->queue_bytes > 0 &&
        client->server->readonly_unread > client->server->limits.max_unread_readonly)
        corral_rpc_client_doom (client);
}

void
corral_rpc_client_send_event (CorralRpcClient *client, int procedure, gconstpointer message)
{
    const CorralRpcProcedure *event = corral_rpc_procedure_lookup (procedure);
    CorralWireHeader header = {
        .prog = CORRAL_WIRE_REMOTE_PROGRAM,
        .vers = CORRAL_WIRE_REMOTE_VERSION,
        .procedure = procedure,
        .type = CORRAL_WIRE_MESSAGE,
    };
    CorralRpcFrame *frame;

    g_return_if_fail (event != NULL && (event->flags & CORRAL_RPC_EVENT) != 0);
    g_return_if_fail (event->args_filter != NULL);
    frame = corral_rpc_frame_new (CORRAL_RPC_FRAME_EVENT, &header, event->args_filter, message);
    g_return_if_fail (frame != NULL);
    corral_rpc_client_send (client, frame);
    /* An event left out would be a lie, and one kept for ever would be memory. */
    if (client->event_bytes > client->server->limits.max_events)
        corral_rpc_client_doom (client);
}

/*----- Reading --------------------------------------------------------------------------------*/

static guint32
frame_limit (CorralRpcClient *client)
{
    const CorralRpcLimits *limits = &client->server->limits;

    if (!client->opened)
        return limits->max_frame_before_open;
    return client->readonly ? limits->max_frame_readonly : limits->max_frame;
}

/* Reads up to @size bytes. Descriptors that come along are closed. Returns 0 when there is nothing
 * to read now, or the client was doomed. */
static gsize
receive (CorralRpcClient *client, guint8 *buffer, gsize size)
{
    GInputVector vector = { buffer, size };
    GSocketControlMessage **messages = NULL;
    g_autoptr (GError) error = NULL;
    gint n_messages = 0;
    gint flags = 0;
    gssize received = g_socket_receive_message (client->socket, NULL, &vector, 1, &messages,
                                                &n_messages, &flags, NULL, &error);

    for (gint i = 0; i < n_messages; i++)
        g_object_unref (messages[i]);
    g_free (messages);
    if (received > 0)
        return (gsize) received;
    if (received == 0 || !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
        corral_rpc_client_doom (client);
    return 0;
}

static gsize
receive_descriptors (CorralRpcClient *client)
{
    guint8 bytes[CORRAL_WIRE_FDS_MAX];
    gsize received = receive (client, bytes, client->descriptors_due);

    client->descriptors_due -= (guint) received;
    return received;
}

static gsize
receive_length (CorralRpcClient *client)
{
    gsize received = receive (client, client->length_word + client->length_have,
                              sizeof client->length_word - client->length_have);
    guint32 length;

    client->length_have += received;
    if (client->length_have < sizeof client->length_word)
        return received;
    memcpy (&length, client->length_word, sizeof length);
    length = GUINT32_FROM_BE (length);
    if (length < CORRAL_WIRE_LENGTH_SIZE + CORRAL_WIRE_HEADER_SIZE ||
        length > frame_limit (client)) {
        corral_rpc_client_doom (client);
        return 0;
    }
    client->frame_size = length - CORRAL_WIRE_LENGTH_SIZE;
    return received;
}

static gsize
receive_frame (CorralRpcClient *client)
{
    gsize received;

    if (client->frame_have == client->frame_allocated) {
        client->frame_allocated =
            MIN (client->frame_size, MAX (client->frame_allocated * 2, FRAME_ALLOCATION_MIN));
        client->frame = g_realloc (client->frame, client->frame_allocated);
    }
    received = receive (client, client->frame + client->frame_have,
                        client->frame_allocated - client->frame_have);
    client->frame_have += received;
    return received;
}

/* An idle client holds no buffer. */
static guint8 *
take_frame (CorralRpcClient *client, gsize *ret_size)
{
    *ret_size = client->frame_size;
    client->frame_size = client->frame_have = client->frame_allocated = client->length_have = 0;
    return g_steal_pointer (&client->frame);
}

static void
heard (CorralRpcClient *client)
{
    client->heard_us = g_get_monotonic_time ();
    client->pings = 0;
}

static gint64
cpu_time_us (void)
{
    struct timespec time;

    clock_gettime (CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec * G_USEC_PER_SEC + time.tv_nsec / 1000;
}

/* When slow calls may be made, by who waits for one and by the calls that were made. */
static void
set_ready_times (CorralRpcServer *server)
{
    const CorralRpcClient *first = g_queue_peek_head (&server->waiting);

    g_source_set_ready_time (server->idle, first != NULL ? server->quick_us + QUICK_PAUSE_US : -1);
    g_source_set_ready_time (server->overdue,
                             first != NULL
                                 ? MAX (first->wait_us, server->slow_us) + SLOW_INTERVAL_US
                                 : -1);
}

static void
read_some (CorralRpcClient *client)
{
    gsize total = 0;
    gsize received;

    do {
        if (client->descriptors_due > 0)
            received = receive_descriptors (client);
        else if (client->frame_size == 0)
            received = receive_length (client);
        else
            received = receive_frame (client);
        total += received;
        if (client->frame_size > 0 && client->frame_have == client->frame_size) {
            gsize size;
            g_autofree guint8 *bytes = take_frame (client, &size);
            gint64 began_us = cpu_time_us ();

            heard (client);
            corral_rpc_dispatch (client, bytes, size);
            client->slow = cpu_time_us () - began_us > SLOW_CALL_US;
            *(client->slow ? &client->server->slow_us : &client->server->quick_us) =
                g_get_monotonic_time ();
            set_ready_times (client->server);
            return;
        }
    } while (received > 0 && total < READ_PER_TURN);
}

/*----- Slow calls -----------------------------------------------------------------------------*/

static void
start_waiting (CorralRpcClient *client)
{
    client->waits = TRUE;
    client->wait_us = g_get_monotonic_time ();
    g_queue_push_tail_link (&client->server->waiting, &client->wait_link);
    set_ready_times (client->server);
    update_condition (client);
}

static void
stop_waiting (CorralRpcClient *client)
{
    if (!client->waits)
        return;
    client->waits = FALSE;
    g_queue_unlink (&client->server->waiting, &client->wait_link);
    set_ready_times (client->server);
    update_condition (client);
}

void
corral_rpc_client_read_waiting (CorralRpcServer *server)
{
    CorralRpcClient *client = g_queue_peek_head (&server->waiting);

    if (client == NULL)
        return;
    stop_waiting (client);
    read_some (client);
}

static gboolean
client_source_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
    CorralRpcClient *client = ((ClientSource *) source)->client;
    GIOCondition condition = g_source_query_unix_fd (source, client->source_fd);
    gboolean hung_up = (condition & (G_IO_HUP | G_IO_ERR)) != 0;

    if ((condition & G_IO_OUT) != 0)
        corral_rpc_client_flush (client);
    if (client->doomed)
        return G_SOURCE_CONTINUE;
    if ((condition & G_IO_IN) != 0 && client->slow && !hung_up) {
        start_waiting (client);
    } else if ((condition & G_IO_IN) != 0 || (hung_up && client->waits)) {
        /* What it said before it hung up counts, and does not wait: poll would not sleep. */
        stop_waiting (client);
        read_some (client);
    } else if (hung_up) {
        /* While an answer waits unread: nobody is there for it. */
        corral_rpc_client_doom (client);
    }
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs client_source_funcs = {
    .dispatch = client_source_dispatch,
};

/*----- Timers ---------------------------------------------------------------------------------*/

static gboolean
on_open_timeout (gpointer user_data)
{
    corral_rpc_client_doom (user_data);
    return G_SOURCE_REMOVE;
}

static gboolean
on_keepalive (gpointer user_data)
{
    CorralRpcClient *client = user_data;
    const CorralRpcLimits *limits = &client->server->limits;
    gint64 silence_us = g_get_monotonic_time () - client->heard_us;
    CorralWireHeader ping = {
        .prog = CORRAL_WIRE_KEEPALIVE_PROGRAM,
        .vers = CORRAL_WIRE_KEEPALIVE_VERSION,
        .procedure = CORRAL_WIRE_KEEPALIVE_PING,
        .type = CORRAL_WIRE_MESSAGE,
    };

    if (silence_us < (gint64) limits->keepalive_interval * G_USEC_PER_SEC / 2)
        return G_SOURCE_CONTINUE;
    if (client->pings == limits->keepalive_count) {
        corral_rpc_client_doom (client);
        return G_SOURCE_REMOVE;
    }
    client->pings++;
    corral_rpc_client_send (client,
                            corral_rpc_frame_new (CORRAL_RPC_FRAME_KEEPALIVE, &ping,
                                                  (xdrproc_t) (void (*) (void)) xdr_void, NULL));
    return G_SOURCE_CONTINUE;
}

void
corral_rpc_client_update_timer (CorralRpcClient *client)
{
    const CorralRpcLimits *limits = &client->server->limits;
    guint seconds;

    corral_rpc_clear_source (&client->timer);
    if (client->opened)
        seconds = client->keepalive ? limits->keepalive_interval : 0;
    else
        seconds = limits->open_timeout;
    if (seconds == 0 || client->doomed)
        return;
    client->timer = g_timeout_source_new_seconds (seconds);
    g_source_set_callback (client->timer, client->opened ? on_keepalive : on_open_timeout, client,
                           NULL);
    g_source_attach (client->timer, client->server->context);
}

/*----- Life -----------------------------------------------------------------------------------*/

static gboolean
on_doomed (gpointer user_data)
{
    corral_rpc_client_free (user_data);
    return G_SOURCE_REMOVE;
}

void
corral_rpc_client_doom (CorralRpcClient *client)
{
    if (client->doomed)
        return;
    client->doomed = TRUE;
    stop_waiting (client);
    corral_rpc_clear_source (&client->source);
    corral_rpc_clear_source (&client->timer);
    client->timer = g_idle_source_new ();
    g_source_set_priority (client->timer, G_PRIORITY_DEFAULT);
    g_source_set_callback (client->timer, on_doomed, client, NULL);
    g_source_attach (client->timer, client->server->context);
}

CorralRpcClient *
corral_rpc_client_new (CorralRpcServer *server, GSocket *socket, gboolean readonly, GError **error)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    CorralRpcClient *client;

    if (getsockopt (g_socket_get_fd (socket), SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO,
                     "cannot learn who connected to the socket: %s", g_strerror (errno));
        return NULL;
    }
    client = g_new0 (CorralRpcClient, 1);
    client->server = server;
    client->link.data = client->wait_link.data = client;
    client->id = ++server->last_id;
    client->pid = peer.pid;
    client->uid = peer.uid;
    client->gid = peer.gid;
    client->readonly = client->readonly_socket = readonly;
    server->readonly_clients += readonly ? 1 : 0;
    g_queue_init (&client->queue);
    client->socket = g_object_ref (socket);
    g_socket_set_blocking (socket, FALSE);
    heard (client);

    client->source = g_source_new (&client_source_funcs, sizeof (ClientSource));
    ((ClientSource *) client->source)->client = client;
    client->condition = G_IO_IN;
    client->source_fd = g_source_add_unix_fd (client->source, g_socket_get_fd (socket), G_IO_IN);
    g_source_attach (client->source, server->context);
    corral_rpc_client_update_timer (client);
    g_queue_push_tail_link (&server->clients, &client->link);
    return client;
}

void
corral_rpc_client_free (CorralRpcClient *client)
{
    CorralRpcServer *server = client->server;

    client->doomed = TRUE;
    stop_waiting (client);
    corral_rpc_clear_source (&client->source);
    corral_rpc_clear_source (&client->timer);
    if (server->hooks.client_closed != NULL)
        server->hooks.client_closed (client, server->user_data);
    corral_rpc_client_set_data (client, NULL, NULL);
    g_queue_unlink (&server->clients, &client->link);
    server->readonly_clients -= client->readonly_socket ? 1 : 0;
    uncount_bytes (client, client->queue_bytes);
    g_socket_close (client->socket, NULL);
    g_object_unref (client->socket);
    g_queue_clear_full (&client->queue, g_free);
    g_free (client->frame);
    g_free (client);
}

/*----- What the driver asks -------------------------------------------------------------------*/

guint64
corral_rpc_client_get_id (CorralRpcClient *client)
{
    return client->id;
}

gboolean
corral_rpc_client_is_readonly (CorralRpcClient *client)
{
    return client->readonly;
}

void
corral_rpc_client_get_peer (CorralRpcClient *client, pid_t *ret_pid, uid_t *ret_uid, gid_t *ret_gid)
{
    *ret_pid = client->pid;
    *ret_uid = client->uid;
    *ret_gid = client->gid;
}

void
corral_rpc_client_set_data (CorralRpcClient *client, gpointer data, GDestroyNotify destroy)
{
    if (client->destroy_data != NULL)
        client->destroy_data (client->data);
    client->data = data;
    client->destroy_data = destroy;
}

gpointer
corral_rpc_client_get_data (CorralRpcClient *client)
{
    return client->data;
}
