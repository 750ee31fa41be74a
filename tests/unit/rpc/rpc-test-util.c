/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc-test-util.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEADLINE_S 10

/*----- Server ---------------------------------------------------------------------------------*/

/* Answers zeroes. */
static gboolean
handle_any (CorralRpcClient *client, gconstpointer args, gpointer ret, gpointer user_data,
            GError **error)
{
    TestServer *server = user_data;

    server->calls++;
    server->last = client;
    return TRUE;
}

/* For results that start with a string, which the wire needs. */
static gboolean
handle_text (CorralRpcClient *client, gconstpointer args, gpointer ret, gpointer user_data,
             GError **error)
{
    *(char **) ret = g_strdup ("text");
    return handle_any (client, args, ret, user_data, error);
}

/* Refuses the name "bad". */
static gboolean
handle_open (CorralRpcClient *client, gconstpointer args, gpointer ret, gpointer user_data,
             GError **error)
{
    const CorralWireOptTextFlags *open_args = args;

    if (g_strcmp0 (corral_rpc_opt_string (open_args->text), "bad") == 0) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID, "not this one");
        return FALSE;
    }
    return handle_any (client, args, ret, user_data, error);
}

/* Gives back the name that it was given, as a domain. */
static gboolean
handle_lookup_by_name (CorralRpcClient *client, gconstpointer args, gpointer ret,
                       gpointer user_data, GError **error)
{
    const CorralWireText *name = args;
    CorralWireDom *dom = ret;

    if (strcmp (name->text, "missing") == 0) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND, "no such domain");
        return FALSE;
    }
    if (strcmp (name->text, "odd") == 0) {
        g_set_error (error, CORRAL_RPC_ERROR, VIR_ERR_XML_ERROR, "odd indeed");
        return FALSE;
    }
    corral_rpc_domain_set (&dom->dom, name->text, (const guint8 *) "0123456789abcdef", 7);
    return handle_any (client, args, ret, user_data, error);
}

static gboolean
handle_stats (CorralRpcClient *client, gconstpointer args, gpointer ret, gpointer user_data,
              GError **error)
{
    const CorralWireAllStatsArgs *stats_args = args;
    CorralWireAllStatsRet *stats = ret;
    gint64 end = g_get_monotonic_time () + stats_args->flags;

    /* For as many microseconds as the "flags" field says. */
    while (g_get_monotonic_time () < end)
        continue;
    /* As many records as the "stats" field says. */
    stats->records.records_len = stats_args->stats;
    stats->records.records_val = g_new0 (CorralWireStatsRecord, stats_args->stats);
    for (guint i = 0; i < stats_args->stats; i++) {
        CorralWireStatsRecord *record = &stats->records.records_val[i];
        g_autofree char *long_name = g_strnfill (1000, 'n');
        CorralRpcParams *params = corral_rpc_params_new ();

        corral_rpc_domain_set (&record->dom, long_name, (const guint8 *) "0123456789abcdef", -1);
        corral_rpc_params_add_ullong (params, "cpu.time", i);
        record->params.params_val = corral_rpc_params_steal (params, &record->params.params_len);
    }
    return handle_any (client, args, ret, user_data, error);
}

static CorralRpcHandler
handler_for (int number)
{
    xdrproc_t filter = corral_rpc_procedure_lookup (number)->ret_filter;

    if (number == CORRAL_PROC_CONNECT_OPEN)
        return handle_open;
    if (number == CORRAL_PROC_DOMAIN_LOOKUP_BY_NAME)
        return handle_lookup_by_name;
    if (number == CORRAL_PROC_CONNECT_GET_ALL_DOMAIN_STATS)
        return handle_stats;
    if (filter == (xdrproc_t) (void (*) (void)) xdr_CorralWireText ||
        filter == (xdrproc_t) (void (*) (void)) xdr_CorralWireDom ||
        filter == (xdrproc_t) (void (*) (void)) xdr_CorralWireSchedulerTypeRet)
        return handle_text;
    return handle_any;
}

static void
map_error (const GError *error, int *ret_code, int *ret_domain, gpointer user_data)
{
    g_assert_true (error->domain == CORRAL_ERROR);
    *ret_code = error->code == CORRAL_ERROR_NOT_FOUND ? VIR_ERR_NO_DOMAIN : VIR_ERR_INTERNAL_ERROR;
}

static void
client_closed (CorralRpcClient *client, gpointer user_data)
{
    TestServer *server = user_data;

    server->closed++;
    server->closed_id = corral_rpc_client_get_id (client);
}

CorralRpcLimits
test_limits (void)
{
    CorralRpcLimits limits = corral_rpc_default_limits;

    limits.open_timeout = 0;
    limits.keepalive_interval = 0;
    return limits;
}

TestServer *
test_server_new (void)
{
    const CorralRpcHooks hooks = { map_error, client_closed };
    TestServer *server = g_new0 (TestServer, 1);
    CorralRpcLimits limits = test_limits ();

    server->server = corral_rpc_server_new (&hooks, server);
    corral_rpc_server_set_limits (server->server, &limits);
    for (int i = 1; i <= corral_rpc_procedure_last (); i++) {
        const CorralRpcHandlerEntry entry = { i, handler_for (i) };

        if (corral_rpc_procedure_lookup (i)->ret_filter != NULL)
            corral_rpc_server_add_handlers (server->server, &entry, 1, server);
    }
    return server;
}

void
test_server_free (TestServer *server)
{
    corral_rpc_server_free (server->server);
    g_free (server);
}

/*----- Waiting --------------------------------------------------------------------------------*/

static gboolean
on_deadline (gpointer user_data)
{
    g_error ("nothing came within %d seconds", DEADLINE_S);
    return G_SOURCE_REMOVE;
}

void
test_wait_for (gboolean (*condition) (gpointer), gpointer user_data)
{
    guint deadline = g_timeout_add_seconds (DEADLINE_S, on_deadline, NULL);

    while (!condition (user_data))
        g_main_context_iteration (NULL, TRUE);
    g_source_remove (deadline);
}

static gboolean
on_fd_ready (gint fd, GIOCondition condition, gpointer user_data)
{
    *(gboolean *) user_data = TRUE;
    return G_SOURCE_REMOVE;
}

static gboolean
is_true (gpointer user_data)
{
    return *(gboolean *) user_data;
}

static void
wait_for_fd (int fd, GIOCondition condition)
{
    gboolean ready = FALSE;

    g_unix_fd_add (fd, condition, on_fd_ready, &ready);
    test_wait_for (is_true, &ready);
}

/*----- Client ---------------------------------------------------------------------------------*/

TestClient *
test_client_new_for_fd (TestServer *server, int fd)
{
    TestClient *client = g_new0 (TestClient, 1);

    client->server = server;
    client->fd = fd;
    g_assert_no_errno (fcntl (fd, F_SETFL, O_NONBLOCK));
    return client;
}

TestClient *
test_client_new (TestServer *server, gboolean readonly)
{
    g_autoptr (GError) error = NULL;
    int fds[2];

    g_assert_no_errno (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
    corral_rpc_server_add_client (server->server, fds[0], readonly, &error);
    g_assert_no_error (error);
    return test_client_new_for_fd (server, fds[1]);
}

void
test_client_free (TestClient *client)
{
    close (client->fd);
    g_free (client);
}

void
test_client_open (TestClient *client, guint flags)
{
    CorralWireString name = (char *) "corral:///system";
    const CorralWireOptTextFlags args = { .text = &name, .flags = flags };
    CorralWireError error;
    gboolean opened = test_client_call (client, CORRAL_PROC_CONNECT_OPEN, &args, NULL, &error);

    g_assert_true (opened);
}

void
test_client_write (TestClient *client, gconstpointer bytes, gsize size)
{
    gsize done = 0;

    while (done < size) {
        gssize sent = send (client->fd, (const guint8 *) bytes + done, size - done, MSG_NOSIGNAL);

        if (sent > 0) {
            done += (gsize) sent;
        } else if (errno == EAGAIN) {
            wait_for_fd (client->fd, G_IO_OUT);
        } else {
            /* The server may end the connection at any byte of a bad frame. */
            g_assert_true (errno == EPIPE || errno == ECONNRESET);
            return;
        }
    }
}

void
test_client_write_frame (TestClient *client, guint32 length, const CorralWireHeader *header,
                         gconstpointer payload, gsize payload_size)
{
    g_autoptr (GByteArray) frame = g_byte_array_new ();
    char encoded[CORRAL_WIRE_HEADER_SIZE];
    CorralWireHeader copy = *header;
    guint32 word;
    XDR xdr;

    if (length == 0)
        length = (guint32) (CORRAL_WIRE_LENGTH_SIZE + CORRAL_WIRE_HEADER_SIZE + payload_size);
    word = GUINT32_TO_BE (length);
    xdrmem_create (&xdr, encoded, sizeof encoded, XDR_ENCODE);
    g_assert_true (xdr_CorralWireHeader (&xdr, &copy));
    g_byte_array_append (frame, (const guint8 *) &word, sizeof word);
    g_byte_array_append (frame, (const guint8 *) encoded, sizeof encoded);
    g_byte_array_append (frame, payload, (guint) payload_size);
    test_client_write (client, frame->data, frame->len);
}

guint32
test_client_write_call (TestClient *client, int procedure, gconstpointer args)
{
    const CorralRpcProcedure *known = corral_rpc_procedure_lookup (procedure);
    g_autofree char *payload = NULL;
    CorralWireHeader header = {
        .prog = CORRAL_WIRE_REMOTE_PROGRAM,
        .vers = CORRAL_WIRE_REMOTE_VERSION,
        .procedure = procedure,
        .type = CORRAL_WIRE_CALL,
        .serial = ++client->serial,
        .status = CORRAL_WIRE_OK,
    };
    gsize size = 0;
    XDR xdr;

    if (args != NULL) {
        size = xdr_sizeof (known->args_filter, (gpointer) args);
        payload = g_malloc (size);
        xdrmem_create (&xdr, payload, (u_int) size, XDR_ENCODE);
        g_assert_true (known->args_filter (&xdr, (gpointer) args));
    }
    test_client_write_frame (client, 0, &header, payload, size);
    return header.serial;
}

static gboolean
read_exactly (TestClient *client, guint8 *bytes, gsize size)
{
    gsize done = 0;

    while (done < size) {
        gssize got = recv (client->fd, bytes + done, size - done, 0);

        if (got == 0 || (got < 0 && errno == ECONNRESET))
            return FALSE;
        if (got > 0) {
            done += (gsize) got;
            continue;
        }
        g_assert_cmpint (errno, ==, EAGAIN);
        wait_for_fd (client->fd, G_IO_IN);
    }
    return TRUE;
}

GBytes *
test_client_read (TestClient *client, CorralWireHeader *ret_header)
{
    guint32 length;
    gsize size;
    guint8 *bytes;
    XDR xdr;

    if (!read_exactly (client, (guint8 *) &length, sizeof length))
        return NULL;
    size = GUINT32_FROM_BE (length) - sizeof length;
    g_assert_cmpuint (size, >=, CORRAL_WIRE_HEADER_SIZE);
    g_assert_cmpuint (size, <=, CORRAL_WIRE_FRAME_MAX);
    bytes = g_malloc (size);
    g_assert_true (read_exactly (client, bytes, size));
    xdrmem_create (&xdr, (char *) bytes, (u_int) size, XDR_DECODE);
    g_assert_true (xdr_CorralWireHeader (&xdr, ret_header));
    return g_bytes_new_take (bytes, size);
}

gboolean
test_client_read_answer (TestClient *client, int procedure, gpointer ret,
                         CorralWireError *ret_error)
{
    const CorralRpcProcedure *known = corral_rpc_procedure_lookup (procedure);
    CorralWireHeader header;
    g_autoptr (GBytes) bytes = test_client_read (client, &header);
    const char *data;
    gsize size;
    XDR xdr;

    /* On a slow machine the server may have asked meanwhile whether we live. */
    while (bytes != NULL && header.prog == CORRAL_WIRE_KEEPALIVE_PROGRAM) {
        g_bytes_unref (bytes);
        bytes = test_client_read (client, &header);
    }
    g_assert_nonnull (bytes);
    g_assert_cmpint (header.procedure, ==, procedure);
    g_assert_cmpint (header.type, ==, CORRAL_WIRE_REPLY);
    g_assert_cmpuint (header.serial, ==, client->serial);
    data = g_bytes_get_data (bytes, &size);
    xdrmem_create (&xdr, (char *) data + CORRAL_WIRE_HEADER_SIZE,
                   (u_int) size - CORRAL_WIRE_HEADER_SIZE, XDR_DECODE);
    if (header.status == CORRAL_WIRE_OK) {
        if (ret != NULL)
            g_assert_true (known->ret_filter (&xdr, ret));
        return TRUE;
    }
    g_assert_cmpint (header.status, ==, CORRAL_WIRE_ERROR);
    memset (ret_error, 0, sizeof *ret_error);
    g_assert_true (xdr_CorralWireError (&xdr, ret_error));
    return FALSE;
}

gboolean
test_client_call (TestClient *client, int procedure, gconstpointer args, gpointer ret,
                  CorralWireError *ret_error)
{
    test_client_write_call (client, procedure, args);
    return test_client_read_answer (client, procedure, ret, ret_error);
}

void
test_client_call_fails (TestClient *client, int procedure, gconstpointer args, int code, int domain,
                        const char *message)
{
    CorralWireError error;

    g_assert_false (test_client_call (client, procedure, args, NULL, &error));
    g_assert_cmpstr (corral_rpc_opt_string (error.message), ==, message);
    g_assert_cmpint (error.code, ==, code);
    g_assert_cmpint (error.domain, ==, domain);
    g_assert_cmpint (error.level, ==, VIR_ERR_ERROR);
    xdr_free ((xdrproc_t) (void (*) (void)) xdr_CorralWireError, &error);
}

void
test_client_expect_end (TestClient *client)
{
    CorralWireHeader header;
    g_autoptr (GBytes) bytes = test_client_read (client, &header);

    g_assert_null (bytes);
}

void
test_client_expect_alive (TestClient *client)
{
    CorralWireText text = { NULL };
    CorralWireError error;

    g_assert_true (test_client_call (client, CORRAL_PROC_CONNECT_GET_HOSTNAME, NULL, &text,
                                     &error));
    g_assert_cmpstr (text.text, ==, "text");
    free (text.text);
}
