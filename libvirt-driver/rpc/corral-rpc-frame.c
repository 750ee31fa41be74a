/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "corral-rpc-private.h"

G_DEFINE_QUARK (corral - rpc - error - quark, corral_rpc_error)

static const CorralWireError no_error;

CorralRpcFrame *
corral_rpc_frame_new (CorralRpcFrameKind kind, const CorralWireHeader *header, xdrproc_t filter,
                      gconstpointer payload)
{
    gsize payload_size = filter == (xdrproc_t) (void (*) (void)) xdr_void
                             ? 0
                             : xdr_sizeof (filter, (gpointer) payload);
    gsize size = CORRAL_WIRE_LENGTH_SIZE + CORRAL_WIRE_HEADER_SIZE + payload_size;
    CorralWireHeader copy = *header;
    CorralRpcFrame *frame;
    u_int length;
    gboolean encoded;
    XDR xdr;

    if (size > CORRAL_WIRE_FRAME_MAX)
        return NULL;
    frame = g_malloc (sizeof *frame + size);
    frame->kind = kind;
    frame->size = size;
    length = (u_int) size;
    xdrmem_create (&xdr, (char *) frame->bytes, length, XDR_ENCODE);
    /* xdr_sizeof() says 0 for what does not encode; then there is no room, and this fails too. */
    encoded = xdr_u_int (&xdr, &length) && xdr_CorralWireHeader (&xdr, &copy) &&
              filter (&xdr, (gpointer) payload);
    xdr_destroy (&xdr);
    if (!encoded)
        g_clear_pointer (&frame, g_free);
    return frame;
}

CorralRpcFrame *
corral_rpc_frame_new_error (const CorralWireHeader *call, int code, int domain, const char *message)
{
    CorralWireHeader header = *call;
    CorralWireError wire = no_error;
    CorralWireString text = (char *) message;
    CorralRpcFrame *frame;

    header.type = CORRAL_WIRE_REPLY;
    header.status = CORRAL_WIRE_ERROR;
    wire.code = code;
    wire.domain = domain;
    wire.level = VIR_ERR_ERROR;
    wire.message = &text;
    wire.int1 = wire.int2 = -1;
    frame = corral_rpc_frame_new (CORRAL_RPC_FRAME_REPLY, &header, (xdrproc_t) xdr_CorralWireError,
                                  &wire);
    if (frame == NULL) {
        /* A message longer than a string of the protocol. */
        wire.message = NULL;
        frame = corral_rpc_frame_new (CORRAL_RPC_FRAME_REPLY, &header,
                                      (xdrproc_t) xdr_CorralWireError, &wire);
    }
    return frame;
}

gboolean
corral_rpc_header_decode (const guint8 *bytes, gsize size, CorralWireHeader *ret_header)
{
    gboolean decoded;
    XDR xdr;

    xdrmem_create (&xdr, (char *) bytes, (u_int) size, XDR_DECODE);
    decoded = xdr_CorralWireHeader (&xdr, ret_header);
    xdr_destroy (&xdr);
    return decoded;
}
