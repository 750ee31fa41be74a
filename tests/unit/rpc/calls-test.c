/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a well-behaved client sees: calls, answers, errors, events, keepalive, sockets. */
#include "rpc-test-util.h"

#include <glib/gstdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define DENIED "operation forbidden: read only access prevents "
#define UNSUPPORTED "this function is not supported by the connection driver: "

static void
test_round_trip (void)
{
    g_autoptr (TestServer) server = test_server_new ();
    g_autoptr (TestClient) client = test_client_new (server, FALSE);
    CorralWireAuthListRet auth = { .types = { 0, NULL } };
    CorralWireText name = { (char *) "web" };
    CorralWireDom dom = { .dom = { .name = NULL } };
    CorralWireError error;
    pid_t pid;
    uid_t uid;
    gid_t gid;

    g_assert_true (test_client_call (client, CORRAL_PROC_AUTH_LIST, NULL, &auth, &error));
    g_assert_cmpuint (auth.types.types_len, ==, 1);
    g_assert_cmpint (auth.types.types_val[0], ==, 0);
    free (auth.types.types_val);

    test_client_open (client, 0);
    g_assert_true (test_client_call (client, CORRAL_PROC_DOMAIN_LOOKUP_BY_NAME, &name, &dom,
                                     &error));
    g_assert_cmpstr (dom.dom.name, ==, "web");
    g_assert_cmpmem (dom.dom.uuid, 16, "0123456789abcdef", 16);
    g_assert_cmpint (dom.dom.id, ==, 7);
    xdr_free ((xdrproc_t) (void (*) (void)) xdr_CorralWireDom, &dom);

    corral_rpc_client_get_peer (server->last, &pid, &uid, &gid);
    g_assert_cmpint (pid, ==, getpid ());
    g_assert_cmpuint (uid, ==, getuid ());
    g_assert_cmpuint (gid, ==, getgid ());
}

static void
test_errors (void)
{
    g_autoptr (TestServer) server = test_server_new ();
    g_autoptr (TestClient) client = test_client_new (server, FALSE);
    CorralWireText missing = { (char *) "missing" };
    CorralWireText odd = { (char *) "odd" };

    test_client_call_fails (client, CORRAL_PROC_DOMAIN_LOOKUP_BY_NAME, &missing,
                            VIR_ERR_INTERNAL_ERROR, VIR_FROM_RPC,
                            "internal error: connection not open");
    test_client_open (client, 0);
    test_client_call_fails (client, CORRAL_PROC_DOMAIN_LOOKUP_BY_NAME, &missing, VIR_ERR_NO_DOMAIN,
                            VIR_FROM_DOMAIN, "no such domain");
    test_client_call_fails (client, CORRAL_PROC_DOMAIN_LOOKUP_BY_NAME, &odd, VIR_ERR_XML_ERROR,
                            VIR_FROM_DOMAIN, "odd indeed");
    test_client_call_fails (client, CORRAL_PROC_CONNECT_OPEN, &(CorralWireOptTextFlags){ NULL, 0 },
                            VIR_ERR_INTERNAL_ERROR, VIR_FROM_NONE,
                            "internal error: connection already open");
    /* 38: networks are not ours. 107: an event, which no client calls. */
    test_client_call_fails (client, 38, NULL, VIR_ERR_NO_SUPPORT, VIR_FROM_NETWORK,
                            UNSUPPORTED "virConnectListNetworks");
    test_client_call_fails (client, 107, NULL, VIR_ERR_RPC, VIR_FROM_RPC, "unknown procedure: 107");
    for (int i = 0; i < 4; i++) {
        const int numbers[] = { 0, -1, 444, G_MAXINT };
        g_autofree char *message = g_strdup_printf ("unknown procedure: %d", numbers[i]);

        test_client_call_fails (client, numbers[i], NULL, VIR_ERR_RPC, VIR_FROM_RPC, message);
    }
    test_client_expect_alive (client);
}

/* The names of libvirt's functions say what they do, so the flags can be checked against them. */
static gboolean
sounds_like_a_change (const char *api)
{
    static const char *const not_changes[] = {
        "virConnectOpen",
        "virConnectSetIdentity",
        "virDomainHasManagedSaveImage",
        "virDomainIsUpdated",
        "virDomainManagedSaveGetXMLDesc",
        "virDomainMigrateGetCompressionCache",
        "virDomainMigrateGetMaxDowntime",
    };
    static const char *const verbs =
        "(Create|Define[A-Z]|Undefine|Destroy|Set[A-Z]|Attach|Detach|Dettach|Pin(Vcpu|Emu|IOThr)|"
        "Suspend|Resume|Shutdown|Reboot|Reset|Save|Restore|Migrate|Abort|Delete|Update|Rename|Send|"
        "Inject|Wipe|Resize|Rebase|Commit|Pull|Copy$|Add[A-Z]|DelI|Begin|FSFreeze|FSThaw|FSTrim|"
        "Wakeup|Alloc|Upload|Refresh|Build|Revert|Open|StartDirty|FDAssociate)";

    for (gsize i = 0; i < G_N_ELEMENTS (not_changes); i++) {
        if (strcmp (api, not_changes[i]) == 0)
            return FALSE;
    }
    return g_regex_match_simple (verbs, api, 0, 0);
}

static void
test_table (void)
{
    g_assert_cmpint (corral_rpc_procedure_last (), ==, 443);
    g_assert_null (corral_rpc_procedure_lookup (0));
    g_assert_null (corral_rpc_procedure_lookup (-1));
    g_assert_null (corral_rpc_procedure_lookup (444));
    for (int i = 1; i <= corral_rpc_procedure_last (); i++) {
        const CorralRpcProcedure *procedure = corral_rpc_procedure_lookup (i);

        g_assert_cmpint (procedure->number, ==, i);
        g_assert_nonnull (procedure->api);
        if ((procedure->flags & CORRAL_RPC_EVENT) != 0) {
            g_assert_cmpuint (procedure->flags, ==, CORRAL_RPC_EVENT);
            g_assert_null (procedure->ret_filter);
            continue;
        }
        g_assert_true ((procedure->args_filter == NULL) == (procedure->ret_filter == NULL));
        g_assert_false ((procedure->flags & CORRAL_RPC_CHANGES) != 0 &&
                        (procedure->flags & CORRAL_RPC_BEFORE_OPEN) != 0);
        if (sounds_like_a_change (procedure->api) && (procedure->flags & CORRAL_RPC_CHANGES) == 0)
            g_error ("%d %s is not marked as a change", i, procedure->api);
    }
}

/* By the socket, and by the flag of CONNECT_OPEN. */
static void
test_readonly (gconstpointer by_socket)
{
    g_autoptr (TestServer) server = test_server_new ();
    g_autoptr (TestClient) client = test_client_new (server, GPOINTER_TO_INT (by_socket));
    guint denied = 0;
    guint calls;

    test_client_open (client, by_socket ? 0 : VIR_CONNECT_RO);
    g_assert_true (corral_rpc_client_is_readonly (server->last));
    calls = server->calls;
    for (int i = 1; i <= corral_rpc_procedure_last (); i++) {
        const CorralRpcProcedure *procedure = corral_rpc_procedure_lookup (i);
        g_autofree char *message = g_strconcat (DENIED, procedure->api, NULL);

        if ((procedure->flags & CORRAL_RPC_CHANGES) == 0)
            continue;
        test_client_call_fails (client, i, NULL, VIR_ERR_OPERATION_DENIED, procedure->error_domain,
                                message);
        denied++;
    }
    g_assert_cmpuint (denied, >, 150);
    g_assert_cmpuint (server->calls, ==, calls);
    test_client_expect_alive (client);
}

/* An open that failed leaves the connection as it was. */
static void
test_failed_open (void)
{
    g_autoptr (TestServer) server = test_server_new ();
    g_autoptr (TestClient) client = test_client_new (server, FALSE);
    CorralWireString name = (char *) "bad";
    const CorralWireOptTextFlags args = { .text = &name, .flags = VIR_CONNECT_RO };

    test_client_call_fails (client, CORRAL_PROC_CONNECT_OPEN, &args, VIR_ERR_INTERNAL_ERROR,
                            VIR_FROM_NONE, "not this one");
    test_client_call_fails (client, CORRAL_PROC_CONNECT_GET_HOSTNAME, NULL, VIR_ERR_INTERNAL_ERROR,
                            VIR_FROM_RPC, "internal error: connection not open");
    test_client_open (client, 0);
    g_assert_false (corral_rpc_client_is_readonly (server->last));
    test_client_expect_alive (client);
}

static void
test_events (void)
{
    g_autoptr (TestServer) server = test_server_new ();
    g_autoptr (TestClient) client = test_client_new (server, FALSE);
    CorralWireEventLifecycle event = { .callback = 3, .dom = { .name = (char *) "web" } };

    test_client_open (client, 0);
    for (int i = 0; i < 100; i++) {
        event.detail = i;
        corral_rpc_client_send_event (server->last, CORRAL_PROC_DOMAIN_EVENT_CALLBACK_LIFECYCLE,
                                      &event);
    }
    for (int i = 0; i < 100; i++) {
        CorralWireHeader header;
        g_autoptr (GBytes) bytes = test_client_read (client, &header);
        CorralWireEventLifecycle got = { .dom = { .name = NULL } };
        gsize size;
        const char *data = g_bytes_get_data (bytes, &size);
        XDR xdr;

        g_assert_cmpint (header.type, ==, CORRAL_WIRE_MESSAGE);
        g_assert_cmpint (header.procedure, ==, CORRAL_PROC_DOMAIN_EVENT_CALLBACK_LIFECYCLE);
        g_assert_cmpuint (header.serial, ==, 0);
        xdrmem_create (&xdr, (char *) data + CORRAL_WIRE_HEADER_SIZE,
                       (u_int) size - CORRAL_WIRE_HEADER_SIZE, XDR_DECODE);
        g_assert_true (xdr_CorralWireEventLifecycle (&xdr, &got));
        g_assert_cmpstr (got.dom.name, ==, "web");
        g_assert_cmpint (got.detail, ==, i);
        free (got.dom.name);
    }
    test_client_expect_alive (client);
}

static gboolean
one_is_closed (gpointer user_data)
{
    return ((TestServer *) user_data)->closed == 1;
}

static void
test_close (void)
{
    g_autoptr (TestServer) server = test_server_new ();
    g_autoptr (TestClient) client = test_client_new (server, FALSE);
    g_autoptr (TestClient) vanishes = test_client_new (server, FALSE);
    guint64 id;
    CorralWireError error;

    test_client_open (client, 0);
    id = corral_rpc_client_get_id (server->last);
    g_assert_true (test_client_call (client, CORRAL_PROC_CONNECT_CLOSE, NULL, NULL, &error));
    test_client_expect_end (client);
    test_wait_for (one_is_closed, server);
    g_assert_cmpuint (server->closed_id, ==, id);
    g_assert_cmpuint (corral_rpc_server_get_n_clients (server->server), ==, 1);

    test_client_open (vanishes, 0);
    id = corral_rpc_client_get_id (server->last);
    server->closed = 0;
    g_assert_no_errno (shutdown (vanishes->fd, SHUT_RDWR));
    test_wait_for (one_is_closed, server);
    g_assert_cmpuint (server->closed_id, ==, id);
    g_assert_cmpuint (corral_rpc_server_get_n_clients (server->server), ==, 0);
}

/*----- Keepalive ------------------------------------------------------------------------------*/

static void
write_keepalive (TestClient *client, int procedure)
{
    const CorralWireHeader header = {
        .prog = CORRAL_WIRE_KEEPALIVE_PROGRAM,
        .vers = CORRAL_WIRE_KEEPALIVE_VERSION,
        .procedure = procedure,
        .type = CORRAL_WIRE_MESSAGE,
    };

    test_client_write_frame (client, 0, &header, NULL, 0);
}

static gboolean
read_keepalive (TestClient *client, int procedure)
{
    CorralWireHeader header;
    g_autoptr (GBytes) bytes = test_client_read (client, &header);

    if (bytes == NULL)
        return FALSE;
    g_assert_cmpuint (header.prog, ==, CORRAL_WIRE_KEEPALIVE_PROGRAM);
    g_assert_cmpuint (header.vers, ==, CORRAL_WIRE_KEEPALIVE_VERSION);
    g_assert_cmpint (header.type, ==, CORRAL_WIRE_MESSAGE);
    g_assert_cmpint (header.procedure, ==, procedure);
    g_assert_cmpuint (header.serial, ==, 0);
    return TRUE;
}

static void
test_ping_is_answered (void)
{
    g_autoptr (TestServer) server = test_server_new ();
    g_autoptr (TestClient) client = test_client_new (server, FALSE);

    write_keepalive (client, CORRAL_WIRE_KEEPALIVE_PING);
    g_assert_true (read_keepalive (client, CORRAL_WIRE_KEEPALIVE_PONG));
    test_client_open (client, 0);
    /* A pong, and what no version of the protocol has, are taken without an answer. */
    write_keepalive (client, CORRAL_WIRE_KEEPALIVE_PONG);
    write_keepalive (client, 77);
    write_keepalive (client, CORRAL_WIRE_KEEPALIVE_PING);
    g_assert_true (read_keepalive (client, CORRAL_WIRE_KEEPALIVE_PONG));
    test_client_expect_alive (client);
}

static void
test_silence (void)
{
    g_autoptr (TestServer) server = test_server_new ();
    g_autoptr (TestClient) dumb = test_client_new (server, FALSE);
    g_autoptr (TestClient) unable = test_client_new (server, FALSE);
    CorralWireInt keepalive = { 10 };
    CorralWireInt supported = { 0 };
    CorralRpcLimits limits = test_limits ();
    CorralWireError error;

    limits.keepalive_interval = 1;
    limits.keepalive_count = 2;
    corral_rpc_server_set_limits (server->server, &limits);
    g_assert_true (test_client_call (dumb, CORRAL_PROC_CONNECT_SUPPORTS_FEATURE, &keepalive,
                                     &supported, &error));
    g_assert_cmpint (supported.value, ==, 1);
    test_client_open (dumb, 0);
    test_client_open (unable, 0);

    /* One that answers stays; when it stops answering, it goes after two more pings. */
    g_assert_true (read_keepalive (dumb, CORRAL_WIRE_KEEPALIVE_PING));
    write_keepalive (dumb, CORRAL_WIRE_KEEPALIVE_PONG);
    test_client_expect_alive (dumb);
    g_assert_true (read_keepalive (dumb, CORRAL_WIRE_KEEPALIVE_PING));
    g_assert_true (read_keepalive (dumb, CORRAL_WIRE_KEEPALIVE_PING));
    g_assert_false (read_keepalive (dumb, CORRAL_WIRE_KEEPALIVE_PING));
    /* One that did not ask for it was never pinged. */
    test_client_expect_alive (unable);
}

static void
test_open_timeout (void)
{
    g_autoptr (TestServer) server = test_server_new ();
    CorralRpcLimits limits = test_limits ();
    g_autoptr (TestClient) lingers = NULL;
    g_autoptr (TestClient) opens = NULL;

    limits.open_timeout = 2;
    corral_rpc_server_set_limits (server->server, &limits);
    lingers = test_client_new (server, FALSE);
    opens = test_client_new (server, FALSE);
    test_client_open (opens, 0);
    test_client_expect_end (lingers);
    test_client_expect_alive (opens);
}

static void
test_features (void)
{
    g_autoptr (TestServer) server = test_server_new ();
    g_autoptr (TestClient) client = test_client_new (server, FALSE);

    test_client_open (client, 0);
    for (int feature = -1; feature < 20; feature++) {
        CorralWireInt args = { feature };
        CorralWireInt supported = { -1 };
        CorralWireError error;

        g_assert_true (test_client_call (client, CORRAL_PROC_CONNECT_SUPPORTS_FEATURE, &args,
                                         &supported, &error));
        /* Typed strings, keepalive, event callbacks. */
        g_assert_cmpint (supported.value, ==, feature == 9 || feature == 10 || feature == 14);
    }
}

/*----- Sockets --------------------------------------------------------------------------------*/

typedef struct {
    char *folder;
    char *path;
} SocketPath;

static void
socket_path_clear (SocketPath *path)
{
    g_unlink (path->path);
    g_rmdir (path->folder);
    g_free (path->path);
    g_free (path->folder);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (SocketPath, socket_path_clear)

static void
socket_path_init (SocketPath *path)
{
    path->folder = g_dir_make_tmp ("corral-rpc-XXXXXX", NULL);
    path->path = g_build_filename (path->folder, "sock", NULL);
}

static TestClient *
connect_to (TestServer *server, const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy (address.sun_path, path, sizeof address.sun_path);
    g_assert_no_errno (connect (fd, (struct sockaddr *) &address, sizeof address));
    return test_client_new_for_fd (server, fd);
}

static void
test_listen (void)
{
    g_autoptr (TestServer) server = test_server_new ();
    g_autoptr (TestServer) other = test_server_new ();
    g_autoptr (TestClient) client = NULL;
    g_autoptr (GError) error = NULL;
    g_auto (SocketPath) path = { NULL, NULL };
    struct stat st;

    socket_path_init (&path);
    g_assert_true (corral_rpc_server_listen_path (server->server, path.path, 0620, TRUE, &error));
    g_assert_no_errno (stat (path.path, &st));
    g_assert_cmpint (st.st_mode & 07777, ==, 0620);
    client = connect_to (server, path.path);
    test_client_open (client, 0);
    g_assert_true (corral_rpc_client_is_readonly (server->last));

    /* Not where another one listens, nor over a file. */
    g_assert_false (corral_rpc_server_listen_path (other->server, path.path, 0620, FALSE, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_EXISTS);
    g_clear_error (&error);
    g_assert_false (corral_rpc_server_listen_path (other->server, "/proc/version", 0620, FALSE,
                                                   &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_EXISTS);
    g_clear_error (&error);
    g_assert_false (corral_rpc_server_listen_path (other->server, "relative", 0620, FALSE, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    g_clear_error (&error);
    test_client_expect_alive (client);

    corral_rpc_server_stop (server->server, 0);
    g_assert_cmpint (access (path.path, F_OK), ==, -1);
    test_client_expect_end (client);
}

static void
test_listen_over_stale (void)
{
    g_autoptr (TestServer) server = test_server_new ();
    g_autoptr (TestClient) client = NULL;
    g_autoptr (GError) error = NULL;
    g_auto (SocketPath) path = { NULL, NULL };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    socket_path_init (&path);
    g_strlcpy (address.sun_path, path.path, sizeof address.sun_path);
    g_assert_no_errno (bind (fd, (struct sockaddr *) &address, sizeof address));
    close (fd);
    g_assert_true (corral_rpc_server_listen_path (server->server, path.path, 0600, FALSE, &error));
    client = connect_to (server, path.path);
    test_client_open (client, 0);
    g_assert_false (corral_rpc_client_is_readonly (server->last));
}

static void
test_listen_fd (void)
{
    g_autoptr (TestServer) server = test_server_new ();
    g_autoptr (TestClient) client = NULL;
    g_autoptr (GError) error = NULL;
    g_auto (SocketPath) path = { NULL, NULL };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    socket_path_init (&path);
    g_strlcpy (address.sun_path, path.path, sizeof address.sun_path);
    g_assert_no_errno (bind (fd, (struct sockaddr *) &address, sizeof address));
    g_assert_no_errno (listen (fd, 5));
    g_assert_true (corral_rpc_server_listen_fd (server->server, fd, FALSE, &error));
    client = connect_to (server, path.path);
    test_client_open (client, 0);

    fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_false (corral_rpc_server_listen_fd (server->server, fd, FALSE, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    g_clear_error (&error);
    g_assert_false (corral_rpc_server_listen_fd (server->server, 9999, FALSE, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
}

static void
test_too_many (void)
{
    g_autoptr (TestServer) server = test_server_new ();
    g_autoptr (GPtrArray) clients =
        g_ptr_array_new_with_free_func ((GDestroyNotify) test_client_free);
    g_autoptr (TestClient) refused = NULL;
    g_autoptr (GError) error = NULL;
    g_auto (SocketPath) path = { NULL, NULL };
    CorralRpcLimits limits = test_limits ();

    limits.max_clients = 100;
    corral_rpc_server_set_limits (server->server, &limits);
    socket_path_init (&path);
    g_assert_true (corral_rpc_server_listen_path (server->server, path.path, 0600, FALSE, &error));
    for (int i = 0; i < 100; i++) {
        TestClient *client = connect_to (server, path.path);

        g_ptr_array_add (clients, client);
        test_client_open (client, 0);
    }
    refused = connect_to (server, path.path);
    test_client_expect_end (refused);
    for (guint i = 0; i < clients->len; i++)
        test_client_expect_alive (clients->pdata[i]);
    g_assert_cmpuint (corral_rpc_server_get_n_clients (server->server), ==, 100);
}

static void
test_too_many_readonly (void)
{
    g_autoptr (TestServer) server = test_server_new ();
    g_autoptr (TestClient) reader = NULL;
    g_autoptr (TestClient) refused = NULL;
    g_autoptr (TestClient) writer = NULL;
    g_autoptr (GError) error = NULL;
    g_auto (SocketPath) path = { NULL, NULL };
    g_auto (SocketPath) readonly_path = { NULL, NULL };
    CorralRpcLimits limits = test_limits ();

    limits.max_readonly_clients = 1;
    corral_rpc_server_set_limits (server->server, &limits);
    socket_path_init (&path);
    socket_path_init (&readonly_path);
    g_assert_true (corral_rpc_server_listen_path (server->server, path.path, 0600, FALSE, &error));
    g_assert_true (corral_rpc_server_listen_path (server->server, readonly_path.path, 0666, TRUE,
                                                  &error));
    reader = connect_to (server, readonly_path.path);
    test_client_open (reader, 0);
    refused = connect_to (server, readonly_path.path);
    test_client_expect_end (refused);
    writer = connect_to (server, path.path);
    test_client_open (writer, 0);
    test_client_expect_alive (reader);
}

/* Without a free descriptor nobody is accepted; that must be no busy loop, and must pass. */
static void
test_no_descriptors (void)
{
    g_autoptr (TestServer) server = test_server_new ();
    g_autoptr (TestClient) client = NULL;
    g_autoptr (GError) error = NULL;
    g_auto (SocketPath) path = { NULL, NULL };
    struct rlimit limit;
    struct rlimit none;
    int lowest;

    socket_path_init (&path);
    g_assert_true (corral_rpc_server_listen_path (server->server, path.path, 0600, FALSE, &error));
    client = connect_to (server, path.path);
    g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &limit));
    none = limit;
    lowest = dup (client->fd);
    g_assert_no_errno (lowest);
    close (lowest);
    none.rlim_cur = (rlim_t) lowest;
    g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &none));
    while (g_main_context_pending (NULL))
        g_main_context_iteration (NULL, FALSE);
    g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &limit));
    g_assert_cmpuint (corral_rpc_server_get_n_clients (server->server), ==, 0);
    test_client_open (client, 0);
}

/*----- Stopping -------------------------------------------------------------------------------*/

static gpointer
read_all (gpointer user_data)
{
    int fd = GPOINTER_TO_INT (user_data);
    gsize total = 0;
    char buffer[65536];
    GPollFD poll_fd = { .fd = fd, .events = G_IO_IN };

    while (g_poll (&poll_fd, 1, 10000) > 0) {
        gssize got = recv (fd, buffer, sizeof buffer, 0);

        if (got <= 0)
            return GSIZE_TO_POINTER (total);
        total += (gsize) got;
    }
    return NULL;
}

/* What is queued still arrives, and a client that does not read cannot hold the server up. */
static void
test_stop (void)
{
    g_autoptr (TestServer) server = test_server_new ();
    g_autoptr (TestClient) reader = test_client_new (server, FALSE);
    g_autoptr (TestClient) asleep = test_client_new (server, FALSE);
    const CorralWireAllStatsArgs args = { .stats = 2000 };
    GThread *thread;
    gint64 begin;

    test_client_open (reader, 0);
    test_client_open (asleep, 0);
    test_client_write_call (reader, CORRAL_PROC_CONNECT_GET_ALL_DOMAIN_STATS, &args);
    test_client_write_call (asleep, CORRAL_PROC_CONNECT_GET_ALL_DOMAIN_STATS, &args);
    server->calls = 0;
    while (server->calls < 2)
        g_main_context_iteration (NULL, TRUE);
    thread = g_thread_new ("reader", read_all, GINT_TO_POINTER (reader->fd));
    begin = g_get_monotonic_time ();
    corral_rpc_server_stop (server->server, 500);
    g_assert_cmpint (g_get_monotonic_time () - begin, <, 5 * G_USEC_PER_SEC);
    g_assert_cmpuint (GPOINTER_TO_SIZE (g_thread_join (thread)), >, 2000 * 1000);
    g_assert_cmpuint (corral_rpc_server_get_n_clients (server->server), ==, 0);
    g_assert_cmpuint (server->closed, ==, 2);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_test_add_func ("/rpc/round-trip", test_round_trip);
    g_test_add_func ("/rpc/errors", test_errors);
    g_test_add_func ("/rpc/table", test_table);
    g_test_add_data_func ("/rpc/readonly/socket", GINT_TO_POINTER (TRUE), test_readonly);
    g_test_add_data_func ("/rpc/readonly/flag", GINT_TO_POINTER (FALSE), test_readonly);
    g_test_add_func ("/rpc/failed-open", test_failed_open);
    g_test_add_func ("/rpc/events", test_events);
    g_test_add_func ("/rpc/close", test_close);
    g_test_add_func ("/rpc/ping-is-answered", test_ping_is_answered);
    g_test_add_func ("/rpc/silence", test_silence);
    g_test_add_func ("/rpc/open-timeout", test_open_timeout);
    g_test_add_func ("/rpc/features", test_features);
    g_test_add_func ("/rpc/listen", test_listen);
    g_test_add_func ("/rpc/listen-over-stale", test_listen_over_stale);
    g_test_add_func ("/rpc/listen-fd", test_listen_fd);
    g_test_add_func ("/rpc/too-many", test_too_many);
    g_test_add_func ("/rpc/too-many-readonly", test_too_many_readonly);
    g_test_add_func ("/rpc/no-descriptors", test_no_descriptors);
    g_test_add_func ("/rpc/stop", test_stop);
    return g_test_run ();
}
