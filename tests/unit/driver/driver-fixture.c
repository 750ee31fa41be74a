/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/driver/driver-fixture.h"

void
assert_refused (WireClient *client, int procedure, gconstpointer args, int code, const char *words)
{
    const CorralRpcProcedure *row = corral_rpc_procedure_lookup (procedure);
    g_autofree gpointer ret = g_malloc0 (row->ret_size);

    g_assert_cmpint (wire_call (client, procedure, args, ret), ==, code);
    if (strstr (wire_message (client), words) == NULL)
        g_error ("%s: \"%s\" does not say \"%s\"", row->api, wire_message (client), words);
}

void
assert_done (WireClient *client, int procedure, gconstpointer args, gpointer ret)
{
    const CorralRpcProcedure *row = corral_rpc_procedure_lookup (procedure);
    g_autofree gpointer unused = g_malloc0 (row->ret_size);
    int code = wire_call (client, procedure, args, ret != NULL ? ret : unused);

    if (code != 0)
        g_error ("%s: %s", row->api, wire_message (client));
    if (ret == NULL)
        wire_free (procedure, unused);
}

static void
make_container (Fixture *fixture, const char *name, guint8 last, gboolean active,
                gboolean persistent)
{
    CorralWireDomain *dom = strcmp (name, "prod") == 0   ? &fixture->prod
                            : strcmp (name, "idle") == 0 ? &fixture->idle
                                                         : &fixture->brief;
    g_autofree char *xml =
        g_strdup_printf ("<domain type='corral'><name>%s</name>"
                         "<uuid>01020304-0506-0708-090a-0b0c0d0e0f%02x</uuid></domain>",
                         name, last);
    CorralWireDom ret = { 0 };

    if (persistent) {
        assert_done (fixture->client, CORRAL_PROC_DOMAIN_DEFINE_XML, &(CorralWireText){ xml },
                     &ret);
        if (active)
            assert_done (fixture->client, CORRAL_PROC_DOMAIN_CREATE, &ret, NULL);
    } else {
        assert_done (fixture->client, CORRAL_PROC_DOMAIN_CREATE_XML,
                     &(CorralWireTextFlags){ xml, 0 }, &ret);
    }
    *dom = ret.dom; /* its name is freed in tear-down */
}

void
fixture_set_up (Fixture *fixture, gconstpointer data)
{
    static const char *const members[] = { "<member type='vm' name='web1'/>",
                                           "<member type='vm' name='web2'/>" };

    fixture->agent = scripted_agent_new ();
    fixture->server = corral_rpc_server_new (&corral_driver_rpc_hooks, NULL);
    fixture->driver = corral_driver_new (fixture->agent, fixture->server);
    fixture->client = wire_client_new (fixture->server, FALSE);
    fixture->reader = wire_client_new (fixture->server, TRUE);
    make_container (fixture, "prod", 1, TRUE, TRUE);
    make_container (fixture, "idle", 2, FALSE, TRUE);
    make_container (fixture, "brief", 3, TRUE, FALSE);
    for (gsize i = 0; i < G_N_ELEMENTS (members); i++) {
        CorralWireDomText attach = { fixture->prod, (char *) members[i] };

        assert_done (fixture->client, CORRAL_PROC_DOMAIN_ATTACH_DEVICE, &attach, NULL);
    }
}

void
fixture_tear_down (Fixture *fixture, gconstpointer data)
{
    wire_client_free (fixture->client);
    wire_client_free (fixture->reader);
    corral_rpc_server_free (fixture->server);
    corral_driver_free (fixture->driver);
    g_object_unref (fixture->agent);
    g_free (fixture->prod.name);
    g_free (fixture->idle.name);
    g_free (fixture->brief.name);
}
