/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A driver on a scripted agent behind a real server, with a client that may change things and one
 * that may not. */
#pragma once

#include "libvirt-driver/driver/corral-driver-private.h"
#include "tests/unit/driver/scripted-agent.h"
#include "tests/unit/driver/wire-client.h"

typedef struct {
    CorralAgent *agent;
    CorralRpcServer *server;
    CorralDriver *driver;
    WireClient *client;
    WireClient *reader;     /* read-only */
    CorralWireDomain prod;  /* persistent and active, with the VMs web1 and web2 */
    CorralWireDomain idle;  /* persistent and inactive */
    CorralWireDomain brief; /* transient */
} Fixture;

void fixture_set_up (Fixture *fixture, gconstpointer data);
void fixture_tear_down (Fixture *fixture, gconstpointer data);

/* The call must fail with @code, and say @words. */
void assert_refused (WireClient *client, int procedure, gconstpointer args, int code,
                     const char *words);
/* The call must succeed. */
void assert_done (WireClient *client, int procedure, gconstpointer args, gpointer ret);

#define ADD(name, function)                                                                        \
    g_test_add ("/driver/" name, Fixture, NULL, fixture_set_up, function, fixture_tear_down)
