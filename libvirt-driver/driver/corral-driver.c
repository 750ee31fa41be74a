/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/driver/corral-driver-private.h"

/* What a handler of the server points to. */
typedef struct {
    CorralDriver *driver;
    CorralDriverCall call;
} Binding;

static gboolean
run_call (CorralRpcClient *client, gconstpointer args, gpointer ret, gpointer user_data,
          GError **error)
{
    const Binding *binding = user_data;
    GError *problem = NULL;

    if (binding->call (binding->driver, client, args, ret, &problem))
        return TRUE;
    corral_driver_dress_error (problem);
    g_propagate_error (error, problem);
    return FALSE;
}

static void
add_calls (CorralDriver *driver, const CorralDriverEntry *entries)
{
    for (; entries->procedure != 0; entries++) {
        CorralRpcHandlerEntry handler = { entries->procedure, run_call };
        Binding *binding = g_new (Binding, 1);

        *binding = (Binding){ driver, entries->call };
        g_ptr_array_add (driver->bindings, binding);
        corral_rpc_server_add_handlers (driver->server, &handler, 1, binding);
    }
}

CorralDriver *
corral_driver_new (CorralAgent *agent, CorralRpcServer *server)
{
    CorralDriver *driver = g_new0 (CorralDriver, 1);

    driver->agent = g_object_ref (agent);
    driver->server = server;
    driver->host = corral_driver_host_new (-1, NULL);
    driver->bindings = g_ptr_array_new_with_free_func (g_free);
    corral_driver_events_init (driver);
    add_calls (driver, corral_driver_connect_calls);
    add_calls (driver, corral_driver_domain_calls);
    add_calls (driver, corral_driver_life_calls);
    add_calls (driver, corral_driver_device_calls);
    add_calls (driver, corral_driver_text_calls);
    add_calls (driver, corral_driver_vcpu_calls);
    add_calls (driver, corral_driver_sched_calls);
    add_calls (driver, corral_driver_numa_calls);
    add_calls (driver, corral_driver_stats_calls);
    add_calls (driver, corral_driver_node_calls);
    add_calls (driver, corral_driver_event_calls);
    add_calls (driver, corral_driver_plan_calls);
    return driver;
}

void
corral_driver_free (CorralDriver *driver)
{
    if (driver == NULL)
        return;
    corral_driver_events_clear (driver);
    g_ptr_array_unref (driver->bindings);
    corral_driver_host_free (driver->host);
    g_object_unref (driver->agent);
    g_free (driver);
}
