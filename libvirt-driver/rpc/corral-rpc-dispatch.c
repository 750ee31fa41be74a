/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "corral-rpc-private.h"

/* Names and values of libvirt's virDrvFeature; that header is private to libvirt. */
enum {
    FEATURE_TYPED_PARAM_STRING = 9,
    FEATURE_PROGRAM_KEEPALIVE = 10,
    FEATURE_REMOTE_EVENT_CALLBACK = 14,
};

static void G_GNUC_PRINTF (5, 6)
    answer_error (CorralRpcClient *client, const CorralWireHeader *call, int code, int domain,
                  const char *format, ...)
{
    g_autofree char *message = NULL;
    va_list args;

    va_start (args, format);
    message = g_strdup_vprintf (format, args);
    va_end (args);
    corral_rpc_client_send (client, corral_rpc_frame_new_error (call, code, domain, message));
}

static void
answer_gerror (CorralRpcClient *client, const CorralWireHeader *call,
               const CorralRpcProcedure *procedure, const GError *error)
{
    CorralRpcServer *server = client->server;
    int code = VIR_ERR_INTERNAL_ERROR;
    int domain = procedure->error_domain;

    if (error->domain == CORRAL_RPC_ERROR)
        code = error->code;
    else
        server->hooks.map_error (error, &code, &domain, server->user_data);
    corral_rpc_client_send (client,
                            corral_rpc_frame_new_error (call, code, domain, error->message));
}

/*----- Procedures that are the wire's own business --------------------------------------------*/

static gboolean
auth_list (CorralRpcClient *client, gconstpointer args, gpointer ret, gpointer user_data,
           GError **error)
{
    CorralWireAuthListRet *list = ret;

    /* Who may connect is a matter of the socket's permissions. */
    list->types.types_len = 1;
    list->types.types_val = g_new0 (int, 1);
    return TRUE;
}

static gboolean
connect_supports_feature (CorralRpcClient *client, gconstpointer args, gpointer ret,
                          gpointer user_data, GError **error)
{
    const CorralWireInt *feature = args;
    CorralWireInt *supported = ret;

    switch (feature->value) {
    case FEATURE_PROGRAM_KEEPALIVE:
        client->keepalive = TRUE;
        corral_rpc_client_update_timer (client);
        supported->value = 1;
        break;
    case FEATURE_TYPED_PARAM_STRING:
    case FEATURE_REMOTE_EVENT_CALLBACK:
        supported->value = 1;
        break;
    default:
        break;
    }
    return TRUE;
}

static gboolean
connect_close (CorralRpcClient *client, gconstpointer args, gpointer ret, gpointer user_data,
               GError **error)
{
    client->closing = TRUE;
    return TRUE;
}

static gboolean
connect_open (CorralRpcClient *client, gconstpointer args, gpointer ret, gpointer user_data,
              GError **error)
{
    const CorralRpcSlot *slot = user_data;
    const CorralWireOptTextFlags *open_args = args;
    gboolean was_readonly = client->readonly;

    if (client->opened) {
        g_set_error_literal (error, CORRAL_RPC_ERROR, VIR_ERR_INTERNAL_ERROR,
                             "internal error: connection already open");
        return FALSE;
    }
    /* The flag may take rights away, and never gives any. */
    client->readonly |= (open_args->flags & VIR_CONNECT_RO) != 0;
    client->opened = slot->handler (client, args, ret, slot->user_data, error);
    if (client->opened)
        corral_rpc_client_update_timer (client);
    else
        client->readonly = was_readonly;
    return client->opened;
}

/* What runs for @number: %FALSE when nothing does. */
static gboolean
find_slot (CorralRpcServer *server, int number, CorralRpcSlot *ret_slot)
{
    CorralRpcSlot *slot = &server->slots[number];

    switch (number) {
    case CORRAL_PROC_AUTH_LIST:
        *ret_slot = (CorralRpcSlot){ auth_list, NULL };
        return TRUE;
    case CORRAL_PROC_CONNECT_SUPPORTS_FEATURE:
        *ret_slot = (CorralRpcSlot){ connect_supports_feature, NULL };
        return TRUE;
    case CORRAL_PROC_CONNECT_CLOSE:
        *ret_slot = (CorralRpcSlot){ connect_close, NULL };
        return TRUE;
    case CORRAL_PROC_CONNECT_OPEN:
        *ret_slot = (CorralRpcSlot){ connect_open, slot };
        break;
    default:
        *ret_slot = *slot;
        break;
    }
    return slot->handler != NULL;
}

/*----- Calls ----------------------------------------------------------------------------------*/

static void
run_call (CorralRpcClient *client, const CorralWireHeader *call,
          const CorralRpcProcedure *procedure, const CorralRpcSlot *slot, const guint8 *payload,
          gsize payload_size)
{
    g_autofree gpointer args = g_malloc0 (procedure->args_size);
    g_autofree gpointer ret = g_malloc0 (procedure->ret_size);
    g_autoptr (GError) error = NULL;
    CorralRpcFrame *reply = NULL;
    CorralWireHeader header = *call;
    gboolean decoded;
    XDR xdr;

    xdrmem_create (&xdr, (char *) payload, (u_int) payload_size, XDR_DECODE);
    decoded = procedure->args_filter (&xdr, args);
    xdr_destroy (&xdr);
    if (!decoded) {
        answer_error (client, call, VIR_ERR_RPC, VIR_FROM_RPC, "Unable to decode message payload");
    } else if (!slot->handler (client, args, ret, slot->user_data, &error)) {
        answer_gerror (client, call, procedure, error);
    } else {
        header.type = CORRAL_WIRE_REPLY;
        reply = corral_rpc_frame_new (CORRAL_RPC_FRAME_REPLY, &header, procedure->ret_filter, ret);
        if (reply == NULL)
            answer_error (client, call, VIR_ERR_RPC, VIR_FROM_RPC,
                          "Unable to encode message payload");
        else
            corral_rpc_client_send (client, reply);
    }
    xdr_free (procedure->args_filter, args);
    xdr_free (procedure->ret_filter, ret);
}

/* Everything that can be said of a call without looking at its arguments. */
static void
dispatch_call (CorralRpcClient *client, const CorralWireHeader *call, const guint8 *payload,
               gsize payload_size)
{
    const CorralRpcProcedure *procedure = corral_rpc_procedure_lookup (call->procedure);
    CorralRpcSlot slot;

    if (call->status != CORRAL_WIRE_OK)
        answer_error (client, call, VIR_ERR_RPC, VIR_FROM_RPC, "Unexpected message status %u",
                      (guint) call->status);
    else if (procedure == NULL || (procedure->flags & CORRAL_RPC_EVENT) != 0)
        answer_error (client, call, VIR_ERR_RPC, VIR_FROM_RPC, "unknown procedure: %d",
                      call->procedure);
    else if (!client->opened && (procedure->flags & CORRAL_RPC_BEFORE_OPEN) == 0)
        answer_error (client, call, VIR_ERR_INTERNAL_ERROR, VIR_FROM_RPC,
                      "internal error: connection not open");
    else if (client->readonly && (procedure->flags & CORRAL_RPC_CHANGES) != 0)
        answer_error (client, call, VIR_ERR_OPERATION_DENIED, procedure->error_domain,
                      "operation forbidden: read only access prevents %s", procedure->api);
    else if (!find_slot (client->server, call->procedure, &slot))
        answer_error (client, call, VIR_ERR_NO_SUPPORT, procedure->error_domain,
                      "this function is not supported by the connection driver: %s",
                      procedure->api);
    else if (call->type == CORRAL_WIRE_CALL_WITH_FDS)
        answer_error (client, call, VIR_ERR_NO_SUPPORT, procedure->error_domain,
                      "this function is not supported by the connection driver: "
                      "%s with file descriptors",
                      procedure->api);
    else
        run_call (client, call, procedure, &slot, payload, payload_size);
}

/* Descriptors follow the frame, each with one byte of its own. Nothing here takes any, but the
 * stream is out of step if they are not read. */
static gboolean
expect_descriptors (CorralRpcClient *client, const guint8 *payload, gsize payload_size)
{
    guint32 count;

    if (payload_size < sizeof count)
        return FALSE;
    memcpy (&count, payload, sizeof count);
    client->descriptors_due = GUINT32_FROM_BE (count);
    return client->descriptors_due <= CORRAL_WIRE_FDS_MAX;
}

/*----- Keepalive ------------------------------------------------------------------------------*/

static gboolean
dispatch_keepalive (CorralRpcClient *client, const CorralWireHeader *message)
{
    CorralWireHeader pong = *message;

    if (message->prog != CORRAL_WIRE_KEEPALIVE_PROGRAM ||
        message->vers != CORRAL_WIRE_KEEPALIVE_VERSION || message->type != CORRAL_WIRE_MESSAGE)
        return FALSE;
    if (message->procedure == CORRAL_WIRE_KEEPALIVE_PING) {
        pong.procedure = CORRAL_WIRE_KEEPALIVE_PONG;
        pong.serial = 0;
        pong.status = CORRAL_WIRE_OK;
        /* An answer like others: while it is unread, no further ping is read. */
        corral_rpc_client_send (client,
                                corral_rpc_frame_new (CORRAL_RPC_FRAME_REPLY, &pong,
                                                      (xdrproc_t) (void (*) (void)) xdr_void,
                                                      NULL));
    }
    return TRUE;
}

void
corral_rpc_dispatch (CorralRpcClient *client, const guint8 *bytes, gsize size)
{
    const guint8 *payload = bytes + CORRAL_WIRE_HEADER_SIZE;
    gsize payload_size = size - CORRAL_WIRE_HEADER_SIZE;
    CorralWireHeader header;

    if (!corral_rpc_header_decode (bytes, size, &header)) {
        corral_rpc_client_doom (client);
        return;
    }
    if (dispatch_keepalive (client, &header))
        return;
    if (header.type == CORRAL_WIRE_CALL_WITH_FDS &&
        !expect_descriptors (client, payload, payload_size)) {
        corral_rpc_client_doom (client);
        return;
    }
    /* Only a call is owed an answer. Stream data may arrive after its stream was refused, and a
     * client would take an answer to it for a broken protocol. */
    if (header.type != CORRAL_WIRE_CALL && header.type != CORRAL_WIRE_CALL_WITH_FDS)
        return;
    if (header.prog != CORRAL_WIRE_REMOTE_PROGRAM || header.vers != CORRAL_WIRE_REMOTE_VERSION)
        answer_error (client, &header, VIR_ERR_RPC, VIR_FROM_RPC,
                      "Cannot find program %d version %d", (int) header.prog, (int) header.vers);
    else
        dispatch_call (client, &header, payload, payload_size);
}
