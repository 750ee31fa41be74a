/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "corral-rpc-private.h"

#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* How long to leave a listener alone after accept() failed, so that a lack of descriptors does not
 * become a busy loop. */
#define ACCEPT_PAUSE_MS 1000

#define MIB (1024 * 1024)

const CorralRpcLimits corral_rpc_default_limits = {
    .max_clients = 1000,
    .max_readonly_clients = 500,
    .max_frame = CORRAL_WIRE_FRAME_MAX,
    .max_frame_readonly = 256 * 1024,
    .max_frame_before_open = 64 * 1024,
    .max_events = 4 * MIB,
    .max_unread_readonly = 64 * MIB,
    .open_timeout = 60,
    .keepalive_interval = 30,
    .keepalive_count = 5,
};

typedef struct {
    CorralRpcServer *server;
    GSocket *socket;
    gboolean readonly;
    GSource *source; /* of the socket, or of the pause */
    char *path;      /* (nullable): to remove in the end */
    dev_t device;
    ino_t inode;
} CorralRpcListener;

typedef struct {
    GSource source;
    CorralRpcServer *server;
} WaitingSource;

/*----- Listeners ------------------------------------------------------------------------------*/

static void start_accepting (CorralRpcListener *listener);

void
corral_rpc_clear_source (GSource **source)
{
    if (*source != NULL)
        g_source_destroy (*source);
    g_clear_pointer (source, g_source_unref);
}

static void
listener_free (gpointer data)
{
    CorralRpcListener *listener = data;
    struct stat st;

    corral_rpc_clear_source (&listener->source);
    g_socket_close (listener->socket, NULL);
    g_object_unref (listener->socket);
    /* Another daemon may have put its own socket in this place. */
    if (listener->path != NULL && lstat (listener->path, &st) == 0 &&
        st.st_dev == listener->device && st.st_ino == listener->inode)
        g_unlink (listener->path);
    g_free (listener->path);
    g_free (listener);
}

static gboolean
on_pause_over (gpointer user_data)
{
    start_accepting (user_data);
    return G_SOURCE_REMOVE;
}

static void
pause_accepting (CorralRpcListener *listener)
{
    corral_rpc_clear_source (&listener->source);
    listener->source = g_timeout_source_new (ACCEPT_PAUSE_MS);
    g_source_set_callback (listener->source, on_pause_over, listener, NULL);
    g_source_attach (listener->source, listener->server->context);
}

static gboolean
is_full (CorralRpcServer *server, gboolean readonly)
{
    const CorralRpcLimits *limits = &server->limits;

    if (readonly && server->readonly_clients >=
                        MIN (limits->max_readonly_clients, (limits->max_clients + 1) / 2))
        return TRUE;
    return server->clients.length >= limits->max_clients;
}

static gboolean
on_connection (GSocket *socket, GIOCondition condition, gpointer user_data)
{
    CorralRpcListener *listener = user_data;
    CorralRpcServer *server = listener->server;
    g_autoptr (GError) error = NULL;
    g_autoptr (GSocket) accepted = g_socket_accept (socket, NULL, &error);

    if (accepted == NULL) {
        if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
            pause_accepting (listener);
        return G_SOURCE_CONTINUE;
    }
    /* One too many, or one that is gone already: it sees its connection end. */
    if (is_full (server, listener->readonly) ||
        corral_rpc_client_new (server, accepted, listener->readonly, NULL) == NULL)
        g_socket_close (accepted, NULL);
    return G_SOURCE_CONTINUE;
}

static void
start_accepting (CorralRpcListener *listener)
{
    corral_rpc_clear_source (&listener->source);
    listener->source = g_socket_create_source (listener->socket, G_IO_IN, NULL);
    g_source_set_callback (listener->source, G_SOURCE_FUNC (on_connection), listener, NULL);
    g_source_attach (listener->source, listener->server->context);
}

static CorralRpcListener *
add_listener (CorralRpcServer *server, GSocket *socket, gboolean readonly)
{
    CorralRpcListener *listener = g_new0 (CorralRpcListener, 1);

    listener->server = server;
    listener->socket = g_object_ref (socket);
    listener->readonly = readonly;
    g_socket_set_blocking (socket, FALSE);
    g_ptr_array_add (server->listeners, listener);
    start_accepting (listener);
    return listener;
}

/* Removes a socket that its owner left behind. */
static gboolean
clear_path (const char *path, GSocketAddress *address, GError **error)
{
    g_autoptr (GSocket) probe = NULL;
    g_autoptr (GError) reason = NULL;
    struct stat st;

    if (lstat (path, &st) < 0)
        return TRUE;
    if (!S_ISSOCK (st.st_mode)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_EXISTS,
                     "cannot listen on \"%s\": there is something that is not a socket", path);
        return FALSE;
    }
    probe =
        g_socket_new (G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, error);
    if (probe == NULL)
        return FALSE;
    /* A listener whose backlog is full must not hold us up, and is alive. */
    g_socket_set_blocking (probe, FALSE);
    if (g_socket_connect (probe, address, NULL, &reason) ||
        !g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_EXISTS,
                     "cannot listen on \"%s\": another process does", path);
        return FALSE;
    }
    if (g_unlink (path) < 0) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO,
                     "cannot remove the old socket \"%s\": %s", path, g_strerror (errno));
        return FALSE;
    }
    return TRUE;
}

gboolean
corral_rpc_server_listen_path (CorralRpcServer *server, const char *path, mode_t mode,
                               gboolean readonly, GError **error)
{
    g_autoptr (GSocketAddress) address = NULL;
    g_autoptr (GSocket) socket = NULL;
    CorralRpcListener *listener;
    struct stat st;

    if (*path != '/' || strlen (path) >= sizeof ((struct sockaddr_un *) NULL)->sun_path) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "cannot listen on \"%s\": a socket's path is absolute and at most %zu bytes",
                     path, sizeof ((struct sockaddr_un *) NULL)->sun_path - 1);
        return FALSE;
    }
    address = g_unix_socket_address_new (path);
    if (!clear_path (path, address, error))
        return FALSE;
    socket =
        g_socket_new (G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, error);
    if (socket == NULL || !g_socket_bind (socket, address, FALSE, error)) {
        g_prefix_error (error, "cannot listen on \"%s\": ", path);
        return FALSE;
    }
    /* Nobody can connect before listen(), so the permissions are never too wide. */
    g_socket_set_listen_backlog (socket, SOMAXCONN);
    if (chmod (path, mode) < 0 || lstat (path, &st) < 0) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO,
                     "cannot set the permissions of \"%s\": %s", path, g_strerror (errno));
        g_unlink (path);
        return FALSE;
    }
    if (!g_socket_listen (socket, error)) {
        g_prefix_error (error, "cannot listen on \"%s\": ", path);
        g_unlink (path);
        return FALSE;
    }
    listener = add_listener (server, socket, readonly);
    listener->path = g_strdup (path);
    listener->device = st.st_dev;
    listener->inode = st.st_ino;
    return TRUE;
}

/* Takes @fd, which must be a unix stream socket, listening or not as @listening says. */
static GSocket *
take_socket (int fd, gboolean listening, GError **error)
{
    g_autoptr (GSocket) socket = NULL;
    struct stat st;
    int accepts = 0;

    /* GSocket complains aloud of what is no socket. */
    if (fstat (fd, &st) < 0 || !S_ISSOCK (st.st_mode)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "cannot use descriptor %d: it is no socket", fd);
        close (fd);
        return NULL;
    }
    socket = g_socket_new_from_fd (fd, error);
    if (socket == NULL) {
        g_prefix_error (error, "cannot use descriptor %d: ", fd);
        close (fd);
        return NULL;
    }
    if (g_socket_get_family (socket) != G_SOCKET_FAMILY_UNIX ||
        g_socket_get_socket_type (socket) != G_SOCKET_TYPE_STREAM ||
        !g_socket_get_option (socket, SOL_SOCKET, SO_ACCEPTCONN, &accepts, NULL) ||
        (accepts != 0) != listening) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "cannot use descriptor %d: it is no %s unix stream socket", fd,
                     listening ? "listening" : "connected");
        return NULL;
    }
    return g_steal_pointer (&socket);
}

gboolean
corral_rpc_server_listen_fd (CorralRpcServer *server, int fd, gboolean readonly, GError **error)
{
    g_autoptr (GSocket) socket = take_socket (fd, TRUE, error);

    if (socket == NULL)
        return FALSE;
    add_listener (server, socket, readonly);
    return TRUE;
}

CorralRpcClient *
corral_rpc_server_add_client (CorralRpcServer *server, int fd, gboolean readonly, GError **error)
{
    g_autoptr (GSocket) socket = take_socket (fd, FALSE, error);

    return socket == NULL ? NULL : corral_rpc_client_new (server, socket, readonly, error);
}

/*----- Server ---------------------------------------------------------------------------------*/

static gboolean
waiting_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
    corral_rpc_client_read_waiting (((WaitingSource *) source)->server);
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs waiting_source_funcs = {
    .dispatch = waiting_dispatch,
};

static GSource *
waiting_source_new (CorralRpcServer *server, int priority)
{
    GSource *source = g_source_new (&waiting_source_funcs, sizeof (WaitingSource));

    ((WaitingSource *) source)->server = server;
    g_source_set_priority (source, priority);
    g_source_attach (source, server->context);
    return source;
}

CorralRpcServer *
corral_rpc_server_new (const CorralRpcHooks *hooks, gpointer user_data)
{
    CorralRpcServer *server = g_new0 (CorralRpcServer, 1);

    server->context = g_main_context_ref_thread_default ();
    server->hooks = *hooks;
    server->user_data = user_data;
    server->limits = corral_rpc_default_limits;
    server->slots = g_new0 (CorralRpcSlot, corral_rpc_procedure_last () + 1);
    server->listeners = g_ptr_array_new_with_free_func (listener_free);
    g_queue_init (&server->clients);
    g_queue_init (&server->waiting);
    server->idle = waiting_source_new (server, G_PRIORITY_DEFAULT_IDLE);
    server->overdue = waiting_source_new (server, G_PRIORITY_DEFAULT);
    return server;
}

static void
free_clients (CorralRpcServer *server)
{
    while (server->clients.head != NULL)
        corral_rpc_client_free (server->clients.head->data);
}

void
corral_rpc_server_free (CorralRpcServer *server)
{
    if (server == NULL)
        return;
    g_ptr_array_unref (server->listeners);
    free_clients (server);
    corral_rpc_clear_source (&server->idle);
    corral_rpc_clear_source (&server->overdue);
    g_main_context_unref (server->context);
    g_free (server->slots);
    g_free (server);
}

void
corral_rpc_server_set_limits (CorralRpcServer *server, const CorralRpcLimits *limits)
{
    server->limits = *limits;
}

void
corral_rpc_server_add_handlers (CorralRpcServer *server, const CorralRpcHandlerEntry *entries,
                                gsize n_entries, gpointer user_data)
{
    for (gsize i = 0; i < n_entries; i++) {
        const CorralRpcProcedure *procedure = corral_rpc_procedure_lookup (entries[i].procedure);

        g_return_if_fail (procedure != NULL && procedure->ret_filter != NULL);
        g_return_if_fail (server->slots[procedure->number].handler == NULL);
        server->slots[procedure->number] = (CorralRpcSlot){ entries[i].handler, user_data };
    }
}

guint
corral_rpc_server_get_n_clients (CorralRpcServer *server)
{
    return server->clients.length;
}

/* Waits until a client with something queued can be written to, or @timeout_ms have passed. */
static gboolean
wait_for_writable (CorralRpcServer *server, gint timeout_ms)
{
    g_autoptr (GArray) fds = g_array_new (FALSE, FALSE, sizeof (GPollFD));

    for (GList *l = server->clients.head; l != NULL; l = l->next) {
        CorralRpcClient *client = l->data;

        if (!client->doomed && !g_queue_is_empty (&client->queue)) {
            GPollFD fd = { .fd = g_socket_get_fd (client->socket), .events = G_IO_OUT };

            g_array_append_val (fds, fd);
        }
    }
    return fds->len > 0 && g_poll ((GPollFD *) (gpointer) fds->data, fds->len, timeout_ms) > 0;
}

void
corral_rpc_server_stop (CorralRpcServer *server, guint grace_ms)
{
    gint64 deadline = g_get_monotonic_time () + (gint64) grace_ms * 1000;
    gint64 left_us;

    g_ptr_array_set_size (server->listeners, 0);
    do {
        for (GList *l = server->clients.head; l != NULL; l = l->next)
            corral_rpc_client_flush (l->data);
        left_us = deadline - g_get_monotonic_time ();
    } while (left_us > 0 && wait_for_writable (server, (gint) (left_us / 1000) + 1));
    free_clients (server);
}
