/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A server in this very thread, and clients of a few lines that may also misbehave. */
#pragma once

#include "corral-rpc-params.h"

#include <gio/gio.h>

typedef struct {
    CorralRpcServer *server;
    CorralRpcClient *last; /* the last client that called a handler; may be gone */
    guint calls;           /* of any handler */
    guint closed;          /* clients that client_closed was told of */
    guint64 closed_id;     /* the last of them */
} TestServer;

typedef struct {
    TestServer *server;
    int fd;
    guint32 serial;
} TestClient;

/* A server with a handler for every procedure that can have one. */
TestServer *test_server_new (void);
void test_server_free (TestServer *server);

/* Limits without timeouts; fixtures start with them. */
CorralRpcLimits test_limits (void);

TestClient *test_client_new (TestServer *server, gboolean readonly);
TestClient *test_client_new_for_fd (TestServer *server, int fd);
void test_client_free (TestClient *client);

/* Opens the connection and checks that it worked. */
void test_client_open (TestClient *client, guint flags);

/* Runs the main loop until @condition holds, or fails the test after ten seconds. */
void test_wait_for (gboolean (*condition) (gpointer), gpointer user_data);

void test_client_write (TestClient *client, gconstpointer bytes, gsize size);

/* Writes a frame with this header; @length 0 means the right one. */
void test_client_write_frame (TestClient *client, guint32 length, const CorralWireHeader *header,
                              gconstpointer payload, gsize payload_size);

/* Writes a call and returns its serial. */
guint32 test_client_write_call (TestClient *client, int procedure, gconstpointer args);

/* Returns: (transfer full): the frame without its length word, or %NULL if the connection ended */
GBytes *test_client_read (TestClient *client, CorralWireHeader *ret_header);

/* Reads an answer: %TRUE and the result in @ret (zeroed by the caller), or %FALSE and the error. */
gboolean test_client_read_answer (TestClient *client, int procedure, gpointer ret,
                                  CorralWireError *ret_error);

gboolean test_client_call (TestClient *client, int procedure, gconstpointer args, gpointer ret,
                           CorralWireError *ret_error);

/* Checks that the call is refused with this code, domain and message. */
void test_client_call_fails (TestClient *client, int procedure, gconstpointer args, int code,
                             int domain, const char *message);

/* Checks that the server ends the connection without another frame. */
void test_client_expect_end (TestClient *client);

/* Checks that the client's calls are answered. */
void test_client_expect_alive (TestClient *client);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestServer, test_server_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestClient, test_client_free)
