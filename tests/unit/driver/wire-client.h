/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A client of libvirt's protocol for tests: it runs the server's main loop while it waits. */
#pragma once

#include "libvirt-driver/rpc/corral-rpc.h"

typedef struct _WireClient WireClient;

/* Connects to @server and opens "corral:///system". */
WireClient *wire_client_new (CorralRpcServer *server, gboolean readonly);
void wire_client_free (WireClient *client);

/* Calls @procedure with @args and decodes into @ret, both of the types that the table has for it;
 * @ret is zeroed memory, to be freed with wire_free(). Returns 0, or the code of the error that
 * came back. */
int wire_call (WireClient *client, int procedure, gconstpointer args, gpointer ret);
/* The message of the last error that came back. */
const char *wire_message (WireClient *client);

/* Sends @size bytes of @payload as the arguments of @procedure, whatever they are. */
int wire_call_raw (WireClient *client, int procedure, const void *payload, gsize size);

/* Waits for an event and decodes it into @ret_message; returns its CORRAL_PROC_*. */
int wire_next_event (WireClient *client, gpointer ret_message);
/* Whether an event has arrived that nobody has taken yet. */
gboolean wire_has_event (WireClient *client);

/* Frees what a result (@procedure > 0) or an event's message points to, and zeroes it. */
void wire_free (int procedure, gpointer data);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (WireClient, wire_client_free)
