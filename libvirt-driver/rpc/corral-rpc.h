/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The server side of libvirt's RPC protocol: sockets, frames, clients, a table of procedures. */
#pragma once

#include "common/corral-error.h"

#include <libvirt/virterror.h>
#include <rpc/rpc.h>

#include "corral_protocol.h"

/*
 * This layer knows nothing of containers: the driver plugs in one handler per procedure. All of it
 * runs in the thread-default main context of the thread that makes the server; a handler runs to
 * its end before the next frame of any client is looked at, so it must never wait.
 *
 * Answered here, without a handler: AUTH_LIST (none is needed), CONNECT_SUPPORTS_FEATURE,
 * CONNECT_CLOSE, keepalive, every refusal on a read-only connection, and every procedure that has
 * no handler. CONNECT_OPEN needs one: its success opens the connection for all other procedures.
 *
 * A client that breaks the protocol is disconnected. One that does not read what was sent to it is
 * not read from until it does, so it has one answer waiting at most, and is disconnected when too
 * many events wait. Neither costs other clients anything; only those of read-only sockets, which
 * anyone may be, have one bound for what all of them leave unread.
 */

/**
 * CORRAL_RPC_ERROR:
 *
 * A handler that needs an error code of libvirt's own sets an error of this domain, whose code is a
 * virErrorNumber. All other errors go through CorralRpcHooks.map_error.
 */
#define CORRAL_RPC_ERROR (corral_rpc_error_quark ())
GQuark corral_rpc_error_quark (void);

typedef struct _CorralRpcServer CorralRpcServer;
typedef struct _CorralRpcClient CorralRpcClient;

/**
 * CorralRpcFlags:
 * @CORRAL_RPC_CHANGES: libvirt refuses it on a read-only connection, and so do we
 * @CORRAL_RPC_BEFORE_OPEN: may be called before CONNECT_OPEN
 * @CORRAL_RPC_EVENT: goes from server to client only; a client that calls it is told that it is
 *   unknown
 */
typedef enum {
    CORRAL_RPC_CHANGES = 1 << 0,
    CORRAL_RPC_BEFORE_OPEN = 1 << 1,
    CORRAL_RPC_EVENT = 1 << 2,
} CorralRpcFlags;

/**
 * CorralRpcProcedure:
 * @number: the procedure's number in libvirt's remote program
 * @api: the function of libvirt's API that it carries, as libvirt's error messages name it; for an
 *   event, its name
 * @error_domain: the virErrorDomain that libvirt reports errors of @api with
 * @flags: CorralRpcFlags
 * @args_filter: (nullable): %NULL when Corral does not know the procedure's types, so that it can
 *   have no handler. For an event, of its message
 * @args_size: of the type that @args_filter decodes into
 * @ret_filter: (nullable): likewise for the result
 * @ret_size: likewise for the result
 */
typedef struct {
    int number;
    const char *api;
    int error_domain;
    guint flags;
    xdrproc_t args_filter;
    gsize args_size;
    xdrproc_t ret_filter;
    gsize ret_size;
} CorralRpcProcedure;

/**
 * corral_rpc_procedure_lookup:
 *
 * Returns: (nullable) (transfer none): the procedure with this number, of all those that the remote
 *   program has in libvirt 9.0
 */
const CorralRpcProcedure *corral_rpc_procedure_lookup (int number);

/* Numbers go from 1 to this one, without gaps. */
int corral_rpc_procedure_last (void);

/**
 * CorralRpcHandler:
 * @args: what the client sent, of the type in corral-procedures.c; freed by the caller
 * @ret: zeroed memory of the result's type. What it points to is freed with xdr_free(), so it must
 *   come from malloc(): g_malloc(), g_new() and g_strdup() are that. A string that is not optional
 *   must not be left %NULL when %TRUE is returned
 *
 * Returns: %FALSE with @error set, which is then the answer
 */
typedef gboolean (*CorralRpcHandler) (CorralRpcClient *client, gconstpointer args, gpointer ret,
                                      gpointer user_data, GError **error);

typedef struct {
    int procedure; /* CORRAL_PROC_* */
    CorralRpcHandler handler;
} CorralRpcHandlerEntry;

/**
 * CorralRpcHooks:
 * @map_error: gives the virErrorNumber and virErrorDomain that an error of a handler travels as.
 *   @ret_domain comes in as the procedure's own
 * @client_closed: (nullable): the client is gone; nothing may be sent to it any more, and its
 *   pointer is invalid after the call
 */
typedef struct {
    void (*map_error) (const GError *error, int *ret_code, int *ret_domain, gpointer user_data);
    void (*client_closed) (CorralRpcClient *client, gpointer user_data);
} CorralRpcHooks;

/**
 * CorralRpcLimits:
 * @max_clients: one more is disconnected at once
 * @max_readonly_clients: likewise for those of read-only sockets, which anyone may be. Never more
 *   than half of @max_clients, so that they cannot keep out the others
 * @max_frame: bytes of a frame from an open, read-write client
 * @max_frame_readonly: bytes of a frame from an open, read-only client
 * @max_frame_before_open: bytes of a frame from a client that has not called CONNECT_OPEN
 * @max_events: a client with more bytes of events than this unread is disconnected
 * @max_unread_readonly: bytes that clients of read-only sockets may leave unread, all together; one
 *   that adds to more is disconnected. What a client's socket takes does not count
 * @open_timeout: seconds in which a client must have called CONNECT_OPEN; 0: no limit
 * @keepalive_interval: seconds of silence before a client that supports it gets a ping; 0: never
 * @keepalive_count: unanswered pings after which it is disconnected
 */
typedef struct {
    guint max_clients;
    guint max_readonly_clients;
    guint32 max_frame;
    guint32 max_frame_readonly;
    guint32 max_frame_before_open;
    gsize max_events;
    gsize max_unread_readonly;
    guint open_timeout;
    guint keepalive_interval;
    guint keepalive_count;
} CorralRpcLimits;

extern const CorralRpcLimits corral_rpc_default_limits;

/*----- Server -----*/

/**
 * corral_rpc_server_new:
 * @hooks: copied
 * @user_data: for the hooks
 *
 * Returns: (transfer full): a server that listens nowhere yet
 */
CorralRpcServer *corral_rpc_server_new (const CorralRpcHooks *hooks, gpointer user_data);

/* Closes every socket at once. Takes %NULL. Not from within a handler or a hook. */
void corral_rpc_server_free (CorralRpcServer *server);

void corral_rpc_server_set_limits (CorralRpcServer *server, const CorralRpcLimits *limits);

/**
 * corral_rpc_server_add_handlers:
 * @entries: procedures whose types are known, each at most once per server
 */
void corral_rpc_server_add_handlers (CorralRpcServer *server, const CorralRpcHandlerEntry *entries,
                                     gsize n_entries, gpointer user_data);

/**
 * corral_rpc_server_listen_path:
 * @path: of the unix socket to make. A socket there that nobody listens on any more is replaced;
 *   anything else there is an error. It is removed when the server stops
 * @mode: permissions of the socket, in force before anyone can connect
 * @readonly: whether clients of this socket may change nothing
 */
gboolean corral_rpc_server_listen_path (CorralRpcServer *server, const char *path, mode_t mode,
                                        gboolean readonly, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/**
 * corral_rpc_server_listen_fd:
 * @fd: (transfer full) a listening unix stream socket, as systemd hands over; closed on failure too
 */
gboolean corral_rpc_server_listen_fd (CorralRpcServer *server, int fd, gboolean readonly,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * corral_rpc_server_add_client:
 * @fd: (transfer full) a connected unix stream socket; closed on failure too
 *
 * For tests, and for sockets that something else accepted.
 *
 * Returns: (nullable) (transfer none): the client, or %NULL with @error set
 */
CorralRpcClient *corral_rpc_server_add_client (CorralRpcServer *server, int fd, gboolean readonly,
                                               GError **error);

guint corral_rpc_server_get_n_clients (CorralRpcServer *server);

/**
 * corral_rpc_server_stop:
 * @grace_ms: how long clients may take, all together, to read what is queued for them
 *
 * Stops listening, sends out what is queued, and disconnects all. Blocks for at most @grace_ms. Not
 * from within a handler or a hook.
 */
void corral_rpc_server_stop (CorralRpcServer *server, guint grace_ms);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralRpcServer, corral_rpc_server_free)

/*----- Client -----*/

/* A number that no other client of this server ever has. */
guint64 corral_rpc_client_get_id (CorralRpcClient *client);

/* Read-only by its socket, or because it asked to be when it opened the connection. */
gboolean corral_rpc_client_is_readonly (CorralRpcClient *client);

/* The peer at connect time, as the kernel tells it (SO_PEERCRED). */
void corral_rpc_client_get_peer (CorralRpcClient *client, pid_t *ret_pid, uid_t *ret_uid,
                                 gid_t *ret_gid);

/* One pointer for the driver's use; @destroy runs after client_closed, or when it is replaced. */
void corral_rpc_client_set_data (CorralRpcClient *client, gpointer data, GDestroyNotify destroy);
gpointer corral_rpc_client_get_data (CorralRpcClient *client);

/**
 * corral_rpc_client_send_event:
 * @procedure: one with %CORRAL_RPC_EVENT whose type is known
 * @message: of that type; only read
 *
 * Queues an event behind everything sent before. A client whose queue is too long is disconnected,
 * but not before the main loop runs again: @client stays valid while events are being sent.
 */
void corral_rpc_client_send_event (CorralRpcClient *client, int procedure, gconstpointer message);
