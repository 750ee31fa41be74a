/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The libvirt driver: containers as libvirt domains. It plugs one handler per procedure into the
 * RPC server, and reaches everything through the agent; it writes no file of the host. */
#pragma once

#include "libvirt-driver/rpc/corral-rpc.h"
#include "vmm-agent/agent/corral-agent.h"

typedef struct _CorralDriver CorralDriver;

/**
 * corral_driver_rpc_hooks:
 *
 * What the server that a driver is plugged into must be made with, its user_data being %NULL:
 *     server = corral_rpc_server_new (&corral_driver_rpc_hooks, NULL);
 *     driver = corral_driver_new (agent, server);
 */
extern const CorralRpcHooks corral_driver_rpc_hooks;

/**
 * corral_driver_new:
 * @agent: a reference is held; need not have been started
 * @server: borrowed; must not be run any more once the driver is freed
 *
 * Adds the handlers to @server, and sends the agent's events to the clients that asked for them.
 *
 * Returns: (transfer full)
 */
CorralDriver *corral_driver_new (CorralAgent *agent, CorralRpcServer *server);

/* Before or after the server is freed. Takes %NULL. */
void corral_driver_free (CorralDriver *driver);

/**
 * corral_driver_map_error:
 * @error: of any domain
 * @ret_domain: comes in as the procedure's own; left alone when that is right
 *
 * How an error travels: the virErrorNumber and virErrorDomain. The one place where Corral's codes
 * become libvirt's.
 */
void corral_driver_map_error (const GError *error, int *ret_code, int *ret_domain,
                              gpointer user_data);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralDriver, corral_driver_free)
