/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The driver on the real agent and this machine's kernel, without VMs: what a client asks for over
 * the wire is what the kernel has. */
#include "common/corral-error.h"
#include "libvirt-driver/driver/corral-driver-private.h"
#include "tests/unit/driver/wire-client.h"

#include <glib/gstdio.h>
#include <unistd.h>

typedef struct {
    char *folder;
    char *name; /* of the container, and of its partition; ours alone by our pid */
    char *partition;
    CorralContainerCore *core; /* NULL: this machine cannot, and the test was skipped */
    CorralAgent *agent;
    CorralRpcServer *server;
    CorralDriver *driver;
    WireClient *client;
    CorralWireDomain dom;
} Fixture;

static void
define (Fixture *fixture, const char *settings)
{
    g_autofree char *xml = g_strdup_printf ("<domain type='corral'><name>%s</name>%s<resource>"
                                            "<partition>%s</partition></resource></domain>",
                                            fixture->name, settings, fixture->partition);
    CorralWireDom ret = { 0 };

    g_assert_cmpint (wire_call (fixture->client, CORRAL_PROC_DOMAIN_DEFINE_XML,
                                &(CorralWireText){ xml }, &ret),
                     ==, 0);
    g_free (fixture->dom.name);
    fixture->dom = ret.dom;
}

static void
set_up (Fixture *fixture, gconstpointer data)
{
    const CorralVmSettings vm = { .libvirt_state_dir = "/nonexistent" };
    g_autofree char *definitions = NULL, *state = NULL;
    g_autoptr (GError) error = NULL;

    if (geteuid () != 0) {
        g_test_skip ("needs root, to make cgroups");
        return;
    }
    fixture->core = corral_container_core_open (-1, &error);
    if (fixture->core == NULL) {
        g_test_skip (error->message);
        return;
    }
    fixture->folder = g_dir_make_tmp ("corral-driver-XXXXXX", &error);
    g_assert_no_error (error);
    definitions = g_build_filename (fixture->folder, "definitions", NULL);
    state = g_build_filename (fixture->folder, "state", NULL);
    fixture->name = g_strdup_printf ("corral-driver-%d", (int) getpid ());
    fixture->partition = g_strconcat ("/", fixture->name, NULL);
    fixture->agent =
        corral_agent_new (fixture->core, &(CorralAgentSettings){ .definition_dir = definitions,
                                                                 .state_dir = state,
                                                                 .vm = &vm });
    g_assert_true (corral_agent_start (fixture->agent, &error));
    g_assert_no_error (error);
    fixture->server = corral_rpc_server_new (&corral_driver_rpc_hooks, NULL);
    fixture->driver = corral_driver_new (fixture->agent, fixture->server);
    fixture->client = wire_client_new (fixture->server, FALSE);
    define (fixture, "");
}

static void
remove_tree (const char *path)
{
    g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
    const char *entry;

    while (dir != NULL && (entry = g_dir_read_name (dir)) != NULL) {
        g_autofree char *child = g_build_filename (path, entry, NULL);

        remove_tree (child);
    }
    g_remove (path);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
    g_autoptr (GError) error = NULL;

    if (fixture->agent != NULL) {
        if (corral_container_get_state (fixture->core, fixture->partition) !=
            CORRAL_CONTAINER_ABSENT) {
            g_assert_true (corral_container_destroy (fixture->core, fixture->partition, &error));
            g_assert_no_error (error);
        }
        wire_client_free (fixture->client);
        corral_rpc_server_free (fixture->server);
        corral_driver_free (fixture->driver);
        g_object_unref (fixture->agent);
        remove_tree (fixture->folder);
    }
    g_clear_object (&fixture->core);
    g_free (fixture->dom.name);
    g_free (fixture->folder);
    g_free (fixture->name);
    g_free (fixture->partition);
}

static int
call (Fixture *fixture, int procedure, gpointer ret)
{
    return wire_call (fixture->client, procedure, &(CorralWireDom){ fixture->dom }, ret);
}

static void
test_life (Fixture *fixture, gconstpointer data)
{
    CorralWireDomainStateRet state = { 0 };
    CorralWireDomFlags which = { .flags = 0 };

    if (fixture->agent == NULL)
        return;
    which.dom = fixture->dom;
    g_assert_cmpint (call (fixture, CORRAL_PROC_DOMAIN_CREATE, NULL), ==, 0);
    g_assert_cmpint (corral_container_get_state (fixture->core, fixture->partition), ==,
                     CORRAL_CONTAINER_WHOLE);
    g_assert_cmpint (wire_call (fixture->client, CORRAL_PROC_DOMAIN_GET_STATE, &which, &state), ==,
                     0);
    g_assert_cmpint (state.state, ==, VIR_DOMAIN_RUNNING);
    g_assert_cmpint (call (fixture, CORRAL_PROC_DOMAIN_UNDEFINE, NULL), ==, 0);
    g_assert_cmpint (call (fixture, CORRAL_PROC_DOMAIN_DESTROY, NULL), ==, 0);
    g_assert_cmpint (corral_container_get_state (fixture->core, fixture->partition), ==,
                     CORRAL_CONTAINER_ABSENT);
    /* It was transient at its end, and is gone. */
    g_assert_cmpint (call (fixture, CORRAL_PROC_DOMAIN_DESTROY, NULL), ==, VIR_ERR_NO_DOMAIN);
}

static void
test_cap (Fixture *fixture, gconstpointer data)
{
    CorralWireSetSchedulerArgs args = { 0 };
    CorralWireParam params[] = {
        { (char *) "cpu_shares", { CORRAL_WIRE_PARAM_ULLONG, { .ul = 512 } } },
        { (char *) "global_quota", { CORRAL_WIRE_PARAM_LLONG, { .l = 40000 } } },
    };
    g_autoptr (GError) error = NULL;
    CorralContainerCap cap = { 0 };
    guint64 shares = 0;

    if (fixture->agent == NULL)
        return;
    g_assert_cmpint (call (fixture, CORRAL_PROC_DOMAIN_CREATE, NULL), ==, 0);
    args.dom = fixture->dom;
    args.params.params_len = G_N_ELEMENTS (params);
    args.params.params_val = params;
    g_assert_cmpint (wire_call (fixture->client, CORRAL_PROC_DOMAIN_SET_SCHEDULER_PARAMETERS, &args,
                                NULL),
                     ==, 0);
    g_assert_true (corral_container_get_cap (fixture->core, fixture->partition, &cap, &error));
    g_assert_cmpint (cap.quota_usec, ==, 40000);
    g_assert_true (corral_container_get_weight (fixture->core, fixture->partition, &shares,
                                                &error));
    g_assert_cmpuint (shares, >=, 500); /* v2's scale is coarser */
    g_assert_cmpuint (shares, <=, 520);
    g_assert_cmpint (call (fixture, CORRAL_PROC_DOMAIN_DESTROY, NULL), ==, 0);
}

/* A child keeps its parent, and the refusal says which. */
static void
test_busy (Fixture *fixture, gconstpointer data)
{
    g_autofree char *child = NULL;
    g_autoptr (GError) error = NULL;

    if (fixture->agent == NULL)
        return;
    child = g_strconcat (fixture->partition, "/kid", NULL);
    g_assert_cmpint (call (fixture, CORRAL_PROC_DOMAIN_CREATE, NULL), ==, 0);
    g_assert_true (corral_container_create (fixture->core, child, NULL, NULL, &error));
    g_assert_cmpint (call (fixture, CORRAL_PROC_DOMAIN_DESTROY, NULL), ==, VIR_ERR_RESOURCE_BUSY);
    g_assert_nonnull (strstr (wire_message (fixture->client), "kid"));
    g_assert_true (corral_container_destroy (fixture->core, child, &error));
    g_assert_cmpint (call (fixture, CORRAL_PROC_DOMAIN_DESTROY, NULL), ==, 0);
}

#define ADD_KERNEL(name, function)                                                                 \
    g_test_add ("/driver/kernel/" name, Fixture, NULL, set_up, function, tear_down)

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    ADD_KERNEL ("life", test_life);
    ADD_KERNEL ("cap", test_cap);
    ADD_KERNEL ("busy", test_busy);
    return g_test_run ();
}
