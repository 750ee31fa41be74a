/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/driver/wire-client.h"

#include <sys/socket.h>
#include <unistd.h>

#define DEADLINE_SECONDS 20

struct _WireClient {
    int fd;
    guint serial;
    GByteArray *input;
    GQueue events; /* of GBytes: frames */
    char *message;
};

static gboolean
on_deadline (gpointer data)
{
    g_error ("no answer within %d seconds", DEADLINE_SECONDS);
    return G_SOURCE_REMOVE;
}

/* (transfer full): one whole frame */
static GBytes *
next_frame (WireClient *client)
{
    guint deadline = g_timeout_add_seconds (DEADLINE_SECONDS, on_deadline, NULL);
    GBytes *frame;
    guint32 length;

    for (;;) {
        guint8 part[65536];
        gssize got;

        if (client->input->len >= 4) {
            memcpy (&length, client->input->data, 4);
            length = GUINT32_FROM_BE (length);
            g_assert_cmpuint (length, >=, CORRAL_WIRE_LENGTH_SIZE + CORRAL_WIRE_HEADER_SIZE);
            if (client->input->len >= length)
                break;
        }
        got = recv (client->fd, part, sizeof part, MSG_DONTWAIT);
        if (got > 0) {
            g_byte_array_append (client->input, part, (guint) got);
        } else {
            g_assert_cmpint (got, <, 0); /* the server hung up */
            g_main_context_iteration (NULL, TRUE);
        }
    }
    g_source_remove (deadline);
    frame = g_bytes_new (client->input->data, length);
    g_byte_array_remove_range (client->input, 0, length);
    return frame;
}

static void
open_frame (GBytes *frame, XDR *xdr, CorralWireHeader *ret_header)
{
    gsize size;
    const char *data = g_bytes_get_data (frame, &size);

    xdrmem_create (xdr, (char *) data + CORRAL_WIRE_LENGTH_SIZE,
                   (u_int) (size - CORRAL_WIRE_LENGTH_SIZE), XDR_DECODE);
    g_assert_true (xdr_CorralWireHeader (xdr, ret_header));
}

/* The reply to the last call; events that come first are kept. */
static GBytes *
next_reply (WireClient *client)
{
    for (;;) {
        GBytes *frame = next_frame (client);
        CorralWireHeader header;
        XDR xdr;

        open_frame (frame, &xdr, &header);
        xdr_destroy (&xdr);
        if (header.type == CORRAL_WIRE_REPLY) {
            g_assert_cmpuint (header.serial, ==, client->serial);
            return frame;
        }
        g_assert_cmpint (header.type, ==, CORRAL_WIRE_MESSAGE);
        g_queue_push_tail (&client->events, frame);
    }
}

static void
send_all (WireClient *client, const char *data, gsize size)
{
    while (size > 0) {
        gssize sent = send (client->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent > 0) {
            data += sent;
            size -= (gsize) sent;
        } else {
            g_main_context_iteration (NULL, TRUE);
        }
    }
}

static int
read_reply (WireClient *client, xdrproc_t filter, gpointer ret)
{
    g_autoptr (GBytes) frame = next_reply (client);
    CorralWireError error = { 0 };
    CorralWireHeader header;
    int code = 0;
    XDR xdr;

    open_frame (frame, &xdr, &header);
    if (header.status == CORRAL_WIRE_OK) {
        if (ret != NULL)
            g_assert_true (filter (&xdr, ret));
    } else {
        g_assert_true (xdr_CorralWireError (&xdr, &error));
        code = error.code;
        g_assert_cmpint (code, !=, 0);
        g_free (client->message);
        client->message = g_strdup (error.message != NULL ? *error.message : "");
        xdr_free ((xdrproc_t) xdr_CorralWireError, (char *) &error);
    }
    xdr_destroy (&xdr);
    return code;
}

static void
send_call (WireClient *client, int procedure, xdrproc_t filter, gconstpointer args, gsize raw_size)
{
    CorralWireHeader header = {
        .prog = CORRAL_WIRE_REMOTE_PROGRAM,
        .vers = CORRAL_WIRE_REMOTE_VERSION,
        .procedure = procedure,
        .type = CORRAL_WIRE_CALL,
        .serial = ++client->serial,
    };
    gsize room = 4 + xdr_sizeof ((xdrproc_t) xdr_CorralWireHeader, &header) + raw_size +
                 (filter != NULL ? xdr_sizeof (filter, (gpointer) args) : 0);
    g_autofree char *buffer = g_malloc0 (room);
    guint32 length;
    XDR xdr;

    xdrmem_create (&xdr, buffer + 4, (u_int) (room - 4), XDR_ENCODE);
    g_assert_true (xdr_CorralWireHeader (&xdr, &header));
    if (filter != NULL)
        g_assert_true (filter (&xdr, (gpointer) args));
    length = xdr_getpos (&xdr) + 4;
    xdr_destroy (&xdr);
    if (filter == NULL && raw_size > 0) {
        memcpy (buffer + length, args, raw_size);
        length += (guint32) raw_size;
    }
    *(guint32 *) (gpointer) buffer = GUINT32_TO_BE (length);
    send_all (client, buffer, length);
}

int
wire_call (WireClient *client, int number, gconstpointer args, gpointer ret)
{
    const CorralRpcProcedure *procedure = corral_rpc_procedure_lookup (number);

    send_call (client, number, args != NULL ? procedure->args_filter : NULL, args, 0);
    return read_reply (client, procedure->ret_filter, ret);
}

int
wire_call_raw (WireClient *client, int number, const void *payload, gsize size)
{
    send_call (client, number, NULL, payload, size);
    return read_reply (client, NULL, NULL);
}

const char *
wire_message (WireClient *client)
{
    return client->message;
}

int
wire_next_event (WireClient *client, gpointer ret_message)
{
    g_autoptr (GBytes) frame = g_queue_pop_head (&client->events);
    CorralWireHeader header;
    XDR xdr;

    if (frame == NULL)
        frame = next_frame (client);
    open_frame (frame, &xdr, &header);
    g_assert_cmpint (header.type, ==, CORRAL_WIRE_MESSAGE);
    g_assert_true (corral_rpc_procedure_lookup (header.procedure)->args_filter (&xdr, ret_message));
    xdr_destroy (&xdr);
    return header.procedure;
}

gboolean
wire_has_event (WireClient *client)
{
    return client->events.length > 0;
}

void
wire_free (int number, gpointer data)
{
    const CorralRpcProcedure *procedure = corral_rpc_procedure_lookup (number);
    gboolean event = (procedure->flags & CORRAL_RPC_EVENT) != 0;

    xdr_free (event ? procedure->args_filter : procedure->ret_filter, data);
    memset (data, 0, event ? procedure->args_size : procedure->ret_size);
}

WireClient *
wire_client_new (CorralRpcServer *server, gboolean readonly)
{
    WireClient *client = g_new0 (WireClient, 1);
    char *name = (char *) "corral:///system";
    CorralWireOptTextFlags open_args = { &name, 0 };
    g_autoptr (GError) error = NULL;
    int pair[2];

    g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    client->fd = pair[0];
    client->input = g_byte_array_new ();
    g_queue_init (&client->events);
    g_assert_nonnull (corral_rpc_server_add_client (server, pair[1], readonly, &error));
    g_assert_no_error (error);
    g_assert_cmpint (wire_call (client, CORRAL_PROC_CONNECT_OPEN, &open_args, NULL), ==, 0);
    return client;
}

void
wire_client_free (WireClient *client)
{
    if (client == NULL)
        return;
    close (client->fd);
    g_byte_array_unref (client->input);
    g_queue_clear_full (&client->events, (GDestroyNotify) g_bytes_unref);
    g_free (client->message);
    g_free (client);
}
