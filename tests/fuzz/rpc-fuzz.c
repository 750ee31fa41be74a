/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What one client sends, over a real socket, to a server with the real table of procedures. The
 * first byte of the input chooses the socket: odd is the read-only one. */
#include "corral-rpc-params.h"

#include <gio/gio.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

static CorralRpcServer *server;

/* Encodes the arguments again, which reads every byte of them. */
static gboolean
handle_any (CorralRpcClient *client, gconstpointer args, gpointer ret, gpointer user_data,
            GError **error)
{
    const CorralRpcProcedure *procedure = user_data;
    gsize size = xdr_sizeof (procedure->args_filter, (gpointer) args);
    g_autofree char *bytes = g_malloc (size + 1);
    XDR xdr;

    xdrmem_create (&xdr, bytes, (u_int) size, XDR_ENCODE);
    if (!procedure->args_filter (&xdr, (gpointer) args))
        g_error ("arguments of %s do not encode again", procedure->api);
    /* The results that start with a string, which the wire needs. */
    if (procedure->ret_filter == (xdrproc_t) (void (*) (void)) xdr_CorralWireText ||
        procedure->ret_filter == (xdrproc_t) (void (*) (void)) xdr_CorralWireDom ||
        procedure->ret_filter == (xdrproc_t) (void (*) (void)) xdr_CorralWireSchedulerTypeRet)
        *(char **) ret = g_strdup ("text");
    return TRUE;
}

static void
map_error (const GError *error, int *ret_code, int *ret_domain, gpointer user_data)
{
    *ret_code = VIR_ERR_INTERNAL_ERROR;
}

static void
make_server (void)
{
    const CorralRpcHooks hooks = { .map_error = map_error };
    CorralRpcLimits limits = corral_rpc_default_limits;

    server = corral_rpc_server_new (&hooks, NULL);
    limits.open_timeout = limits.keepalive_interval = 0;
    corral_rpc_server_set_limits (server, &limits);
    for (int i = 1; i <= corral_rpc_procedure_last (); i++) {
        const CorralRpcProcedure *procedure = corral_rpc_procedure_lookup (i);
        const CorralRpcHandlerEntry entry = { i, handle_any };

        if (procedure->ret_filter != NULL)
            corral_rpc_server_add_handlers (server, &entry, 1, (gpointer) procedure);
    }
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
    const int buffer_size = 4 * 1024 * 1024;
    char answers[4096];
    int fds[2];

    if (size == 0 || size > 65536)
        return 0;
    if (server == NULL)
        make_server ();
    if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        g_error ("no socketpair: %s", g_strerror (errno));
    setsockopt (fds[1], SOL_SOCKET, SO_SNDBUF, &buffer_size, sizeof buffer_size);
    if (corral_rpc_server_add_client (server, fds[0], (data[0] & 1) != 0, NULL) == NULL)
        g_error ("the client was not taken");
    /* The kernel keeps it all, so that this one thread can be both ends. */
    if (send (fds[1], data + 1, size - 1, MSG_DONTWAIT | MSG_NOSIGNAL) != (gssize) size - 1 &&
        size > 1)
        g_error ("the input does not fit into the socket");
    shutdown (fds[1], SHUT_WR);
    /* It has to end: by its own fault, or where the input does. */
    while (corral_rpc_server_get_n_clients (server) > 0) {
        g_main_context_iteration (NULL, FALSE);
        while (recv (fds[1], answers, sizeof answers, MSG_DONTWAIT) > 0)
            continue;
    }
    close (fds[1]);
    return 0;
}
