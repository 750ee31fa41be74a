/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of this folder share: server, client, and how a frame is put together. */
#pragma once

#include "corral-rpc.h"

#include <gio/gio.h>

typedef struct {
    CorralRpcHandler handler;
    gpointer user_data;
} CorralRpcSlot;

struct _CorralRpcServer {
    GMainContext *context;
    CorralRpcHooks hooks;
    gpointer user_data;
    CorralRpcLimits limits;
    CorralRpcSlot *slots;   /* by procedure number */
    GPtrArray *listeners;   /* CorralRpcListener */
    GQueue clients;         /* CorralRpcClient, linked by .link */
    guint readonly_clients; /* of those, by their socket */
    gsize readonly_unread;  /* bytes in their queues */
    guint64 last_id;

    /* Slow calls are made when there is no quick one, and none has just been answered, whose client
     * may have another: so quick ones wait for one slow one at most. As long as they come without a
     * pause, a slow one is made now and then. */
    GQueue waiting; /* CorralRpcClient with a frame to read, linked by .wait_link, longest first */
    GSource *idle;  /* of a lower priority than the clients' */
    GSource *overdue;         /* of the same */
    gint64 quick_us, slow_us; /* monotonic time: when the last call of either kind had its answer */
};

struct _CorralRpcClient {
    CorralRpcServer *server;
    GList link;
    GList wait_link;
    guint64 id;
    pid_t pid;
    uid_t uid;
    gid_t gid;
    gboolean readonly_socket;
    gboolean readonly; /* by the socket, or by its own wish */
    gboolean opened;
    gboolean closing; /* disconnect when the queue is empty */
    gboolean doomed;  /* to be freed by the main loop; nothing is read or sent any more */
    gpointer data;
    GDestroyNotify destroy_data;

    GSocket *socket;
    GSource *source;
    gpointer source_fd;
    GIOCondition condition;
    GSource *timer; /* before CONNECT_OPEN its deadline, afterwards keepalive, if asked for */

    /* The frame that is coming in, without its length word. */
    guint8 length_word[CORRAL_WIRE_LENGTH_SIZE];
    gsize length_have;
    guint8 *frame;
    gsize frame_size;
    gsize frame_have;
    gsize frame_allocated;
    guint descriptors_due; /* bytes behind a CALL_WITH_FDS that carry one descriptor each */

    GQueue queue; /* CorralRpcFrame */
    gsize sent_of_head;
    gsize queue_bytes;
    gsize event_bytes;
    guint replies;

    gboolean slow; /* its last call was; the next one may be alike */
    gboolean waits;
    gint64 wait_us; /* monotonic time: since when */
    gboolean keepalive;
    gint64 heard_us; /* monotonic time */
    guint pings;     /* since anything was heard */
};

typedef enum {
    CORRAL_RPC_FRAME_REPLY,
    CORRAL_RPC_FRAME_EVENT,
    CORRAL_RPC_FRAME_KEEPALIVE,
} CorralRpcFrameKind;

typedef struct {
    CorralRpcFrameKind kind;
    gsize size;
    guint8 bytes[];
} CorralRpcFrame;

/*----- corral-rpc-frame.c -----*/

/* Returns: (transfer full) (nullable): free with g_free(). %NULL when @payload does not encode, or
 * not within the maximum. */
CorralRpcFrame *corral_rpc_frame_new (CorralRpcFrameKind kind, const CorralWireHeader *header,
                                      xdrproc_t filter, gconstpointer payload);

/* The answer to the call with header @call, saying what went wrong with it. */
CorralRpcFrame *corral_rpc_frame_new_error (const CorralWireHeader *call, int code, int domain,
                                            const char *message);

gboolean corral_rpc_header_decode (const guint8 *bytes, gsize size, CorralWireHeader *ret_header)
    G_GNUC_WARN_UNUSED_RESULT;

/*----- corral-rpc-server.c -----*/

/* Takes the source from its context, if there is one. */
void corral_rpc_clear_source (GSource **source);

/*----- corral-rpc-client.c -----*/

CorralRpcClient *corral_rpc_client_new (CorralRpcServer *server, GSocket *socket, gboolean readonly,
                                        GError **error);
void corral_rpc_client_free (CorralRpcClient *client);

/* Reads from the one that has waited longest for its slow call. */
void corral_rpc_client_read_waiting (CorralRpcServer *server);

/* Has it disconnected and freed from the main loop. */
void corral_rpc_client_doom (CorralRpcClient *client);

/* @frame: (transfer full) */
void corral_rpc_client_send (CorralRpcClient *client, CorralRpcFrame *frame);

/* Writes what the socket takes. */
void corral_rpc_client_flush (CorralRpcClient *client);

/* Starts the timer that the client's state asks for. */
void corral_rpc_client_update_timer (CorralRpcClient *client);

/*----- corral-rpc-dispatch.c -----*/

/* Acts upon one whole frame, which starts with its header. May doom @client. */
void corral_rpc_dispatch (CorralRpcClient *client, const guint8 *bytes, gsize size);
