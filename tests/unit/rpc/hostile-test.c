/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A client that breaks the protocol loses its own connection, and costs nobody else anything. */
#include "corral-rpc-private.h"
#include "rpc-test-util.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define MIB (1024 * 1024)

/* One that misbehaves, beside one that must not notice. */
typedef struct {
    TestServer *server;
    TestClient *bad;
    TestClient *good;
} Fixture;

static void
fixture_set_up (Fixture *fixture, gconstpointer user_data)
{
    fixture->server = test_server_new ();
    fixture->good = test_client_new (fixture->server, FALSE);
    test_client_open (fixture->good, 0);
    fixture->bad = test_client_new (fixture->server, FALSE);
    test_client_open (fixture->bad, 0);
}

static void
fixture_tear_down (Fixture *fixture, gconstpointer user_data)
{
    test_client_expect_alive (fixture->good);
    test_client_free (fixture->bad);
    test_client_free (fixture->good);
    test_server_free (fixture->server);
}

static const CorralWireHeader hostname_call = {
    .prog = CORRAL_WIRE_REMOTE_PROGRAM,
    .vers = CORRAL_WIRE_REMOTE_VERSION,
    .procedure = CORRAL_PROC_CONNECT_GET_HOSTNAME,
    .type = CORRAL_WIRE_CALL,
    .serial = 1,
};

/*----- Frames ---------------------------------------------------------------------------------*/

static void
test_garbage (Fixture *fixture, gconstpointer user_data)
{
    g_autofree guint8 *garbage = g_malloc (MIB);
    g_autoptr (GRand) rand = g_rand_new_with_seed (1);

    for (gsize i = 0; i < MIB; i++)
        garbage[i] = (guint8) g_rand_int_range (rand, 0x80, 0x100);
    test_client_write (fixture->bad, garbage, MIB);
    test_client_expect_end (fixture->bad);
}

static void
test_http (Fixture *fixture, gconstpointer user_data)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

    test_client_write (fixture->bad, request, strlen (request));
    test_client_expect_end (fixture->bad);
}

static void
test_length (Fixture *fixture, gconstpointer user_data)
{
    guint32 word = GUINT32_TO_BE (GPOINTER_TO_UINT (user_data));

    test_client_write (fixture->bad, &word, sizeof word);
    test_client_expect_end (fixture->bad);
}

/* Before CONNECT_OPEN, and from a read-only socket, less is taken. */
static void
test_length_limits (Fixture *fixture, gconstpointer user_data)
{
    g_autoptr (TestClient) unopened = test_client_new (fixture->server, FALSE);
    g_autoptr (TestClient) readonly = test_client_new (fixture->server, TRUE);
    CorralRpcLimits limits = test_limits ();
    guint32 word = GUINT32_TO_BE (limits.max_frame_before_open + 1);

    test_client_write (unopened, &word, sizeof word);
    test_client_expect_end (unopened);
    test_client_open (readonly, 0);
    word = GUINT32_TO_BE (limits.max_frame_readonly + 1);
    test_client_write (readonly, &word, sizeof word);
    test_client_expect_end (readonly);
}

static gboolean
one_is_closed (gpointer user_data)
{
    return ((TestServer *) user_data)->closed == 1;
}

static void
test_half_message (Fixture *fixture, gconstpointer user_data)
{
    test_client_write_frame (fixture->bad, 100, &hostname_call, "abcd", 4);
    test_client_expect_alive (fixture->good);
    g_assert_cmpuint (fixture->server->closed, ==, 0);
    g_assert_no_errno (shutdown (fixture->bad->fd, SHUT_WR));
    test_wait_for (one_is_closed, fixture->server);
}

/* A byte at a time is slow, and not wrong. */
static void
test_one_byte_at_a_time (Fixture *fixture, gconstpointer user_data)
{
    static const guint8 frame[] = {
        0, 0,  0, 28, 0x20, 0, 0x80, 0x86, 0, 0, 0, 1, 0, 0,
        0, 59, 0, 0,  0,    0, 0,    0,    0, 9, 0, 0, 0, 0,
    };
    CorralWireText text = { NULL };
    CorralWireError error;

    for (gsize i = 0; i < sizeof frame; i++) {
        test_client_write (fixture->bad, &frame[i], 1);
        test_client_expect_alive (fixture->good);
    }
    fixture->bad->serial = 9;
    g_assert_true (test_client_read_answer (fixture->bad, CORRAL_PROC_CONNECT_GET_HOSTNAME, &text,
                                            &error));
    g_assert_cmpstr (text.text, ==, "text");
    free (text.text);
}

static gsize
resident_bytes (void)
{
    g_autofree char *text = NULL;
    gulong size;
    gulong resident;

    g_assert_true (g_file_get_contents ("/proc/self/statm", &text, NULL, NULL));
    g_assert_cmpint (sscanf (text, "%lu %lu", &size, &resident), ==, 2);
    return resident * (gsize) getpagesize ();
}

/* Claiming 32 MiB is free; only what arrives takes memory. */
static void
test_announced_only (Fixture *fixture, gconstpointer user_data)
{
    g_autoptr (GPtrArray) clients =
        g_ptr_array_new_with_free_func ((GDestroyNotify) test_client_free);
    guint32 word = GUINT32_TO_BE (CORRAL_WIRE_FRAME_MAX);
    gsize before;
    gsize after;

    for (int i = 0; i < 50; i++) {
        g_ptr_array_add (clients, test_client_new (fixture->server, FALSE));
        test_client_open (clients->pdata[i], 0);
    }
    before = resident_bytes ();
    for (guint i = 0; i < clients->len; i++) {
        test_client_write (clients->pdata[i], &word, sizeof word);
        test_client_write (clients->pdata[i], &hostname_call, sizeof hostname_call);
    }
    for (int i = 0; i < 200; i++)
        test_client_expect_alive (fixture->good);
    after = resident_bytes ();
    g_assert_cmpuint (corral_rpc_server_get_n_clients (fixture->server->server), ==, 52);
    g_assert_cmpuint (after, <, before + 8 * MIB);
}

/* The largest frame there may be is taken, and what is in it judged. */
static void
test_largest_frame (Fixture *fixture, gconstpointer user_data)
{
    gsize size = CORRAL_WIRE_FRAME_MAX - CORRAL_WIRE_LENGTH_SIZE - CORRAL_WIRE_HEADER_SIZE;
    g_autofree guint8 *payload = g_malloc0 (size);
    CorralWireHeader header = hostname_call;

    header.serial = ++fixture->bad->serial;
    test_client_write_frame (fixture->bad, 0, &header, payload, size);
    g_assert_true (test_client_read_answer (fixture->bad, CORRAL_PROC_CONNECT_GET_HOSTNAME, NULL,
                                            NULL));
}

/*----- Headers --------------------------------------------------------------------------------*/

static void
expect_rpc_error (TestClient *client, const CorralWireHeader *call, const char *message)
{
    CorralWireHeader header;
    g_autoptr (GBytes) bytes = NULL;
    CorralWireError error = { .message = NULL };
    const char *data;
    gsize size;
    XDR xdr;

    test_client_write_frame (client, 0, call, NULL, 0);
    bytes = test_client_read (client, &header);
    g_assert_nonnull (bytes);
    g_assert_cmpuint (header.prog, ==, call->prog);
    g_assert_cmpuint (header.vers, ==, call->vers);
    g_assert_cmpint (header.procedure, ==, call->procedure);
    g_assert_cmpint (header.type, ==, CORRAL_WIRE_REPLY);
    g_assert_cmpuint (header.serial, ==, call->serial);
    g_assert_cmpint (header.status, ==, CORRAL_WIRE_ERROR);
    data = g_bytes_get_data (bytes, &size);
    xdrmem_create (&xdr, (char *) data + CORRAL_WIRE_HEADER_SIZE,
                   (u_int) size - CORRAL_WIRE_HEADER_SIZE, XDR_DECODE);
    g_assert_true (xdr_CorralWireError (&xdr, &error));
    g_assert_cmpint (error.code, ==, VIR_ERR_RPC);
    g_assert_cmpint (error.domain, ==, VIR_FROM_RPC);
    g_assert_cmpstr (*error.message, ==, message);
    xdr_free ((xdrproc_t) (void (*) (void)) xdr_CorralWireError, &error);
}

static void
test_headers (Fixture *fixture, gconstpointer user_data)
{
    CorralWireHeader call = hostname_call;

    call.prog = 0x20008087; /* libvirt's qemu program, which is not ours */
    expect_rpc_error (fixture->bad, &call, "Cannot find program 536903815 version 1");
    call = hostname_call;
    call.vers = 2;
    expect_rpc_error (fixture->bad, &call, "Cannot find program 536903814 version 2");
    call = hostname_call;
    call.status = CORRAL_WIRE_CONTINUE;
    expect_rpc_error (fixture->bad, &call, "Unexpected message status 2");
    call = hostname_call;
    call.procedure = 100000;
    expect_rpc_error (fixture->bad, &call, "unknown procedure: 100000");
    test_client_expect_alive (fixture->bad);
}

/* What is no call gets no answer: a client would not know what it answers. */
static void
test_types (Fixture *fixture, gconstpointer user_data)
{
    static const int types[] = { 1, 2, 3, 5, 6, 7, -1, G_MAXINT, G_MININT };

    for (gsize i = 0; i < G_N_ELEMENTS (types); i++) {
        CorralWireHeader header = hostname_call;

        header.type = types[i];
        test_client_write_frame (fixture->bad, 0, &header, NULL, 0);
        header.prog = CORRAL_WIRE_KEEPALIVE_PROGRAM;
        if (types[i] != CORRAL_WIRE_MESSAGE)
            test_client_write_frame (fixture->bad, 0, &header, NULL, 0);
    }
    test_client_expect_alive (fixture->bad);
}

/*----- Payloads -------------------------------------------------------------------------------*/

static void
expect_undecodable (TestClient *client, int procedure, const guint32 *words, gsize n_words)
{
    g_autofree guint32 *payload = g_new (guint32, n_words + 1);
    CorralWireHeader header = hostname_call;
    CorralWireError error;

    for (gsize i = 0; i < n_words; i++)
        payload[i] = GUINT32_TO_BE (words[i]);
    header.procedure = procedure;
    header.serial = ++client->serial;
    test_client_write_frame (client, 0, &header, payload, n_words * sizeof *payload);
    g_assert_false (test_client_read_answer (client, procedure, NULL, &error));
    g_assert_cmpint (error.code, ==, VIR_ERR_RPC);
    g_assert_cmpstr (*error.message, ==, "Unable to decode message payload");
    xdr_free ((xdrproc_t) (void (*) (void)) xdr_CorralWireError, &error);
}

static void
test_lies (Fixture *fixture, gconstpointer user_data)
{
    TestClient *bad = fixture->bad;
    guint calls = fixture->server->calls;

    /* Strings: not there, longer than the frame, longer than any, of the largest number. */
    expect_undecodable (bad, CORRAL_PROC_DOMAIN_LOOKUP_BY_NAME, NULL, 0);
    expect_undecodable (bad, CORRAL_PROC_DOMAIN_LOOKUP_BY_NAME, (guint32[]){ 8, 0 }, 2);
    expect_undecodable (bad, CORRAL_PROC_DOMAIN_LOOKUP_BY_NAME,
                        (guint32[]){ CORRAL_WIRE_STRING_MAX, 0 }, 2);
    expect_undecodable (bad, CORRAL_PROC_DOMAIN_LOOKUP_BY_NAME,
                        (guint32[]){ CORRAL_WIRE_STRING_MAX + 1, 0 }, 2);
    expect_undecodable (bad, CORRAL_PROC_DOMAIN_LOOKUP_BY_NAME, (guint32[]){ G_MAXUINT32, 0 }, 2);
    /* Arrays of domains. */
    expect_undecodable (bad, CORRAL_PROC_CONNECT_GET_ALL_DOMAIN_STATS,
                        (guint32[]){ CORRAL_WIRE_DOMAINS_MAX, 0, 0, 0 }, 4);
    expect_undecodable (bad, CORRAL_PROC_CONNECT_GET_ALL_DOMAIN_STATS,
                        (guint32[]){ CORRAL_WIRE_DOMAINS_MAX + 1, 0, 0, 0 }, 4);
    expect_undecodable (bad, CORRAL_PROC_CONNECT_GET_ALL_DOMAIN_STATS,
                        (guint32[]){ 0x80000000, 0, 0, 0 }, 4);
    /* Typed parameters: too many of them, of no known type. (Domain: no name, a UUID, an id.) */
    expect_undecodable (bad, CORRAL_PROC_DOMAIN_SET_SCHEDULER_PARAMETERS_FLAGS,
                        (guint32[]){ 0, 0, 0, 0, 0, 0, CORRAL_WIRE_SCHEDULER_PARAMS_MAX + 1, 0 },
                        8);
    expect_undecodable (bad, CORRAL_PROC_DOMAIN_SET_SCHEDULER_PARAMETERS_FLAGS,
                        (guint32[]){ 0, 0, 0, 0, 0, 0, 1, 0, 99, 0, 0 }, 11);
    /* A CPU map, and an optional string that is neither there nor not. */
    expect_undecodable (bad, CORRAL_PROC_DOMAIN_PIN_VCPU_FLAGS,
                        (guint32[]){ 0, 0, 0, 0, 0, 0, 0, CORRAL_WIRE_CPUMAP_MAX + 1, 0 }, 9);
    expect_undecodable (bad, CORRAL_PROC_CONNECT_GET_MAX_VCPUS, (guint32[]){ 1, 77 }, 2);
    g_assert_cmpuint (fixture->server->calls, ==, calls);
    test_client_expect_alive (bad);
}

/*----- Descriptors ----------------------------------------------------------------------------*/

static void
send_descriptor (int socket_fd, int fd)
{
    char byte = 0;
    struct iovec vector = { &byte, 1 };
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE (sizeof (int))];
    } control;
    struct msghdr message = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };
    struct cmsghdr *header = CMSG_FIRSTHDR (&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN (sizeof (int));
    memcpy (CMSG_DATA (header), &fd, sizeof fd);
    g_assert_cmpint (sendmsg (socket_fd, &message, 0), ==, 1);
}

/* They are refused, closed, and do not put the stream out of step. */
static void
test_descriptors (Fixture *fixture, gconstpointer user_data)
{
    guint32 count = GUINT32_TO_BE (2);
    CorralWireHeader call = hostname_call;
    CorralWireError error;
    char byte;
    int pipe_fds[2];

    g_assert_no_errno (pipe (pipe_fds));
    call.type = CORRAL_WIRE_CALL_WITH_FDS;
    call.serial = ++fixture->bad->serial;
    test_client_write_frame (fixture->bad, 0, &call, &count, sizeof count);
    send_descriptor (fixture->bad->fd, pipe_fds[1]);
    send_descriptor (fixture->bad->fd, pipe_fds[1]);
    close (pipe_fds[1]);
    g_assert_false (test_client_read_answer (fixture->bad, call.procedure, NULL, &error));
    g_assert_cmpint (error.code, ==, VIR_ERR_NO_SUPPORT);
    xdr_free ((xdrproc_t) (void (*) (void)) xdr_CorralWireError, &error);
    test_client_expect_alive (fixture->bad);
    /* Nobody holds the writing end any more. */
    g_assert_cmpint (read (pipe_fds[0], &byte, 1), ==, 0);
    close (pipe_fds[0]);
}

static void
test_too_many_descriptors (Fixture *fixture, gconstpointer user_data)
{
    guint32 count = GUINT32_TO_BE (CORRAL_WIRE_FDS_MAX + 1);
    CorralWireHeader call = hostname_call;

    call.type = CORRAL_WIRE_CALL_WITH_FDS;
    test_client_write_frame (fixture->bad, 0, &call, &count, sizeof count);
    test_client_expect_end (fixture->bad);
}

/*----- Readers that do not read ---------------------------------------------------------------*/

/* Its calls wait in its own socket, and one answer waits for it, however many it asks for. */
static void
test_unread_answers (Fixture *fixture, gconstpointer user_data)
{
    const CorralWireAllStatsArgs args = { .stats = 5000 };
    guint begin = fixture->server->calls;

    for (int i = 0; i < 50; i++)
        test_client_write_call (fixture->bad, CORRAL_PROC_CONNECT_GET_ALL_DOMAIN_STATS, &args);
    for (int i = 0; i < 200; i++)
        test_client_expect_alive (fixture->good);
    g_assert_cmpuint (fixture->server->calls, ==, begin + 200 + 1);
    /* Once it reads, it gets them all, in order. */
    fixture->bad->serial -= 50;
    for (int i = 0; i < 50; i++) {
        fixture->bad->serial++;
        g_assert_true (test_client_read_answer (fixture->bad,
                                                CORRAL_PROC_CONNECT_GET_ALL_DOMAIN_STATS, NULL,
                                                NULL));
    }
    test_client_expect_alive (fixture->bad);
}

static gboolean
nobody_is_served (gpointer user_data)
{
    CorralRpcServer *server = ((Fixture *) user_data)->server->server;

    for (GList *l = server->clients.head; l != NULL; l = l->next)
        if (((CorralRpcClient *) l->data)->waits)
            return FALSE;
    return !g_main_context_pending (NULL);
}

/* Anyone may be a read-only client, so what all of them leave unread has one bound. The answer that
 * went beyond it costs its own client the connection, and nobody else anything. */
static void
test_unread_readonly (Fixture *fixture, gconstpointer user_data)
{
    const CorralWireAllStatsArgs args = { .stats = 5000 };
    CorralRpcServer *server = fixture->server->server;
    CorralRpcLimits limits = test_limits ();
    TestClient *clients[3];

    /* An answer has a little more than 5 MB. */
    limits.max_unread_readonly = 12 * MIB;
    corral_rpc_server_set_limits (server, &limits);
    for (guint i = 0; i < G_N_ELEMENTS (clients); i++) {
        clients[i] = test_client_new (fixture->server, TRUE);
        test_client_open (clients[i], 0);
        test_client_write_call (clients[i], CORRAL_PROC_CONNECT_GET_ALL_DOMAIN_STATS, &args);
        if (i < 2) {
            test_wait_for (nobody_is_served, fixture);
            g_assert_cmpuint (fixture->server->closed, ==, 0);
            g_assert_cmpuint (server->readonly_unread, >, (i + 1) * 5 * 1000 * 1000);
        }
    }
    test_wait_for (one_is_closed, fixture->server);
    g_assert_cmpuint (server->readonly_unread, <, limits.max_unread_readonly);
    /* Others do not notice: small answers leave at once, and read-write clients do not count. */
    test_client_write_call (fixture->bad, CORRAL_PROC_CONNECT_GET_ALL_DOMAIN_STATS, &args);
    test_wait_for (nobody_is_served, fixture);
    g_assert_cmpuint (fixture->server->closed, ==, 1);
    test_client_free (clients[2]);
    clients[2] = test_client_new (fixture->server, TRUE);
    test_client_open (clients[2], 0);
    test_client_expect_alive (clients[2]);
    /* What is read, or whose client is gone, counts no more. */
    g_assert_true (test_client_read_answer (clients[0], CORRAL_PROC_CONNECT_GET_ALL_DOMAIN_STATS,
                                            NULL, NULL));
    g_assert_true (test_client_call (clients[2], CORRAL_PROC_CONNECT_GET_ALL_DOMAIN_STATS, &args,
                                     NULL, NULL));
    test_client_free (clients[1]);
    fixture->server->closed = 0;
    test_wait_for (one_is_closed, fixture->server);
    g_assert_cmpuint (server->readonly_unread, ==, 0);
    test_client_free (clients[0]);
    test_client_free (clients[2]);
}

/* Nor does a client pile up answers to its pings. */
static void
test_unread_pongs (Fixture *fixture, gconstpointer user_data)
{
    static const guint8 ping[] = {
        0, 0, 0, 28, 0x6b, 0x65, 0x65, 0x70, 0, 0, 0, 1, 0, 0,
        0, 1, 0, 0,  0,    2,    0,    0,    0, 0, 0, 0, 0, 0,
    };
    /* The handler that opened the bad one was the last to run. */
    CorralRpcClient *client = fixture->server->last;
    guint sent = 0;

    /* Neither socket holds so many. */
    for (int i = 0; i < 5000; i++) {
        sent += send (fixture->bad->fd, ping, sizeof ping, MSG_DONTWAIT) == sizeof ping ? 1 : 0;
        g_main_context_iteration (NULL, FALSE);
        g_assert_cmpuint (client->queue.length, <=, 1);
    }
    g_assert_cmpuint (sent, <, 5000);
    while (sent-- > 0) {
        CorralWireHeader header;
        g_autoptr (GBytes) pong = test_client_read (fixture->bad, &header);

        g_assert_nonnull (pong);
        g_assert_cmpuint (header.prog, ==, CORRAL_WIRE_KEEPALIVE_PROGRAM);
        g_assert_cmpint (header.procedure, ==, CORRAL_WIRE_KEEPALIVE_PONG);
    }
    test_client_expect_alive (fixture->bad);
}

static void
test_unread_events (Fixture *fixture, gconstpointer user_data)
{
    CorralRpcClient *client = fixture->server->last;
    g_autofree char *name = g_strnfill (1000, 'n');
    const CorralWireEventLifecycle event = { .dom = { .name = name } };
    gsize limit = test_limits ().max_events;

    /* The handler that opened the bad one was the last to run. */
    for (gsize i = 0; i < limit / 1200; i++)
        corral_rpc_client_send_event (client, CORRAL_PROC_DOMAIN_EVENT_CALLBACK_LIFECYCLE, &event);
    test_client_expect_alive (fixture->good);
    g_assert_cmpuint (fixture->server->closed, ==, 0);
    /* Sending to one that is to be disconnected is harmless. */
    for (gsize i = 0; i < limit / 1000; i++)
        corral_rpc_client_send_event (client, CORRAL_PROC_DOMAIN_EVENT_CALLBACK_LIFECYCLE, &event);
    test_wait_for (one_is_closed, fixture->server);
}

/*----- Slow calls -----------------------------------------------------------------------------*/

#define SLOW_CALL CORRAL_PROC_CONNECT_GET_ALL_DOMAIN_STATS

static const CorralWireAllStatsArgs slow_args = { .flags =
                                                      5000 }; /* microseconds, in the test server */

static void
make_slow (Fixture *fixture, TestClient **clients, guint count)
{
    for (guint i = 0; i < count; i++) {
        clients[i] = test_client_new (fixture->server, FALSE);
        test_client_open (clients[i], 0);
        g_assert_true (test_client_call (clients[i], SLOW_CALL, &slow_args, NULL, NULL));
    }
}

/* One turn of the main loop makes only the call of the good client. */
static void
expect_quick_call_first (Fixture *fixture)
{
    guint before = fixture->server->calls;
    CorralWireText text = { NULL };

    test_client_write_call (fixture->good, CORRAL_PROC_CONNECT_GET_HOSTNAME, NULL);
    g_main_context_iteration (NULL, FALSE);
    g_assert_cmpuint (fixture->server->calls, ==, before + 1);
    g_assert_true (test_client_read_answer (fixture->good, CORRAL_PROC_CONNECT_GET_HOSTNAME, &text,
                                            NULL));
    g_clear_pointer (&text.text, free);
}

/* However many clients make slow calls, a quick one waits for none but that which is being made;
 * and each slow one gets its turn. */
static void
test_slow_calls (Fixture *fixture, gconstpointer user_data)
{
    TestClient *clients[8];
    guint before;

    make_slow (fixture, clients, G_N_ELEMENTS (clients));
    for (int round = 0; round < 3; round++) {
        for (guint i = 0; i < G_N_ELEMENTS (clients); i++)
            test_client_write_call (clients[i], SLOW_CALL, &slow_args);
        expect_quick_call_first (fixture);
        for (guint i = 0; i < G_N_ELEMENTS (clients); i++) {
            before = fixture->server->calls;
            while (fixture->server->calls == before)
                g_main_context_iteration (NULL, TRUE);
            g_assert_cmpuint (fixture->server->calls, ==, before + 1);
            expect_quick_call_first (fixture);
        }
        for (guint i = 0; i < G_N_ELEMENTS (clients); i++)
            g_assert_true (test_client_read_answer (clients[i], SLOW_CALL, NULL, NULL));
    }
    /* One that goes away while it waits is heard before, and leaves the queue. */
    for (guint i = 0; i < G_N_ELEMENTS (clients); i++)
        test_client_write_call (clients[i], SLOW_CALL, &slow_args);
    expect_quick_call_first (fixture);
    before = fixture->server->calls;
    for (guint i = 0; i < G_N_ELEMENTS (clients); i++)
        test_client_free (clients[i]);
    test_client_expect_alive (fixture->good);
    while (g_main_context_iteration (NULL, FALSE))
        ;
    g_assert_cmpuint (fixture->server->calls, >=, before + G_N_ELEMENTS (clients));
}

/* Who has just made a quick call may make another before a slow one is begun. */
static void
test_slow_after_quick (Fixture *fixture, gconstpointer user_data)
{
    gint64 deadline = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;
    guint before, seen = 0;
    TestClient *client;

    make_slow (fixture, &client, 1);
    while (seen < 3) {
        gint64 answered_us;

        g_assert_cmpint (g_get_monotonic_time (), <, deadline);
        test_client_write_call (client, SLOW_CALL, &slow_args);
        expect_quick_call_first (fixture);
        answered_us = fixture->server->server->quick_us;
        before = fixture->server->calls;
        g_main_context_iteration (NULL, FALSE);
        /* A busy host may have taken the CPU for longer than that. */
        if (g_get_monotonic_time () < answered_us + 2000) {
            g_assert_cmpuint (fixture->server->calls, ==, before);
            seen++;
        }
        g_assert_true (test_client_read_answer (client, SLOW_CALL, NULL, NULL));
    }
    test_client_free (client);
}

/* Quick calls without a pause do not keep a slow one waiting for ever. */
static void
test_overdue_call (Fixture *fixture, gconstpointer user_data)
{
    gint64 deadline = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;
    CorralWireText text = { NULL };
    TestClient *client;
    guint quick = 0;
    guint before;

    make_slow (fixture, &client, 1);
    before = fixture->server->calls;
    test_client_write_call (client, SLOW_CALL, &slow_args);
    while (fixture->server->calls == before + quick) {
        /* In 10 ms there are hundreds. A quick one that once was slow ends this as well, but later.
         */
        g_assert_cmpuint (quick, <, 10000);
        g_assert_cmpint (g_get_monotonic_time (), <, deadline);
        test_client_write_call (fixture->good, CORRAL_PROC_CONNECT_GET_HOSTNAME, NULL);
        g_main_context_iteration (NULL, FALSE);
        quick++;
        g_assert_true (test_client_read_answer (fixture->good, CORRAL_PROC_CONNECT_GET_HOSTNAME,
                                                &text, NULL));
        g_clear_pointer (&text.text, free);
    }
    g_assert_cmpuint (quick, >, 1);
    g_assert_true (test_client_read_answer (client, SLOW_CALL, NULL, NULL));
    test_client_free (client);
}

/*----- Many -----------------------------------------------------------------------------------*/

static void
test_hundred (Fixture *fixture, gconstpointer user_data)
{
    g_autoptr (GPtrArray) clients =
        g_ptr_array_new_with_free_func ((GDestroyNotify) test_client_free);
    guint32 nonsense = G_MAXUINT32;

    for (int i = 0; i < 100; i++) {
        g_ptr_array_add (clients, test_client_new (fixture->server, i % 2 == 0));
        test_client_open (clients->pdata[i], 0);
    }
    /* Every third one goes wrong; the others, in between, do not see it. */
    for (int i = 0; i < 100; i += 3)
        test_client_write (clients->pdata[i], &nonsense, sizeof nonsense);
    for (int i = 0; i < 100; i++) {
        if (i % 3 == 0)
            test_client_expect_end (clients->pdata[i]);
        else
            test_client_expect_alive (clients->pdata[i]);
    }
}

#define ADD(path, data, function)                                                                  \
    g_test_add ("/rpc/hostile/" path, Fixture, data, fixture_set_up, function, fixture_tear_down)

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    ADD ("garbage", NULL, test_garbage);
    ADD ("http", NULL, test_http);
    ADD ("length/0", GUINT_TO_POINTER (0), test_length);
    ADD ("length/3", GUINT_TO_POINTER (3), test_length);
    ADD ("length/4", GUINT_TO_POINTER (4), test_length);
    ADD ("length/27", GUINT_TO_POINTER (27), test_length);
    ADD ("length/32-mib-and-one", GUINT_TO_POINTER (32 * MIB + 1), test_length);
    ADD ("length/33-mib", GUINT_TO_POINTER (33 * MIB), test_length);
    ADD ("length/negative", GUINT_TO_POINTER (G_MAXUINT32), test_length);
    ADD ("length/limits", NULL, test_length_limits);
    ADD ("half-message", NULL, test_half_message);
    ADD ("one-byte-at-a-time", NULL, test_one_byte_at_a_time);
    ADD ("announced-only", NULL, test_announced_only);
    ADD ("largest-frame", NULL, test_largest_frame);
    ADD ("headers", NULL, test_headers);
    ADD ("types", NULL, test_types);
    ADD ("lies", NULL, test_lies);
    ADD ("descriptors", NULL, test_descriptors);
    ADD ("too-many-descriptors", NULL, test_too_many_descriptors);
    ADD ("unread-answers", NULL, test_unread_answers);
    ADD ("unread-readonly", NULL, test_unread_readonly);
    ADD ("unread-pongs", NULL, test_unread_pongs);
    ADD ("unread-events", NULL, test_unread_events);
    ADD ("slow-calls", NULL, test_slow_calls);
    ADD ("slow-after-quick", NULL, test_slow_after_quick);
    ADD ("overdue-call", NULL, test_overdue_call);
    ADD ("hundred", NULL, test_hundred);
    return g_test_run ();
}
