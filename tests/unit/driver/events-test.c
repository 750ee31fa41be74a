/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Events: in order, to those who asked for them, and to nobody who has gone. */
#include "tests/unit/driver/driver-fixture.h"

/* Any message that the driver sends; all start with the number of the registration. */
typedef union {
    int callback;
    CorralWireEventLifecycle lifecycle;
    CorralWireEventTunable tunable;
    CorralWireEventDevice device;
    CorralWireEventMetadata metadata;
} Event;

static int
subscribe (WireClient *client, int event, CorralWireDomain *dom)
{
    CorralWireEventRegisterArgs args = { event, dom };
    CorralWireInt callback = { 0 };

    assert_done (client, CORRAL_PROC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY, &args, &callback);
    g_assert_cmpint (callback.value, >, 0);
    return callback.value;
}

static void
assert_lifecycle (WireClient *client, const char *name, int kind, int detail)
{
    Event event = { 0 };
    int procedure = wire_next_event (client, &event);

    g_assert_cmpint (procedure, ==, CORRAL_PROC_DOMAIN_EVENT_CALLBACK_LIFECYCLE);
    g_assert_cmpstr (event.lifecycle.dom.name, ==, name);
    g_assert_cmpint (event.lifecycle.event, ==, kind);
    g_assert_cmpint (event.lifecycle.detail, ==, detail);
    xdr_free ((xdrproc_t) xdr_CorralWireEventLifecycle, (char *) &event);
}

static void
emit (Fixture *fixture, CorralEventType type, const CorralWireDomain *dom, const char *detail)
{
    CorralEvent event = {
        .type = type,
        .name = dom->name,
        .uuid = (const guint8 *) dom->uuid,
        .id = dom->id,
        .detail = detail,
        .tune = CORRAL_CPU_TUNE_INIT,
    };

    scripted_agent_emit (fixture->agent, &event);
}

/* A round trip after which everything that was sent before has been read. */
static void
settle (WireClient *client)
{
    assert_done (client, CORRAL_PROC_CONNECT_GET_URI, NULL, NULL);
}

static void
test_order (Fixture *fixture, gconstpointer data)
{
    CorralWireDom idle = { fixture->idle };
    char *member = (char *) "<member type='vm' name='db'/>";
    Event event = { 0 };

    for (int id = 0; id <= VIR_DOMAIN_EVENT_ID_MEMORY_DEVICE_SIZE_CHANGE; id++)
        subscribe (fixture->reader, id, NULL);
    assert_done (fixture->client, CORRAL_PROC_DOMAIN_CREATE, &idle, NULL);
    assert_done (fixture->client, CORRAL_PROC_DOMAIN_ATTACH_DEVICE,
                 &(CorralWireDomText){ fixture->idle, member }, NULL);
    assert_done (fixture->client, CORRAL_PROC_DOMAIN_DETACH_DEVICE,
                 &(CorralWireDomText){ fixture->idle, member }, NULL);
    assert_done (fixture->client, CORRAL_PROC_DOMAIN_DESTROY, &idle, NULL);
    assert_done (fixture->client, CORRAL_PROC_DOMAIN_UNDEFINE, &idle, NULL);

    assert_lifecycle (fixture->reader, "idle", VIR_DOMAIN_EVENT_STARTED,
                      VIR_DOMAIN_EVENT_STARTED_BOOTED);
    g_assert_cmpint (wire_next_event (fixture->reader, &event), ==,
                     CORRAL_PROC_DOMAIN_EVENT_CALLBACK_DEVICE_ADDED);
    g_assert_cmpstr (event.device.alias, ==, "db");
    g_assert_cmpint (event.device.dom.id, >, 0);
    wire_free (CORRAL_PROC_DOMAIN_EVENT_CALLBACK_DEVICE_ADDED, &event.device);
    g_assert_cmpint (wire_next_event (fixture->reader, &event), ==,
                     CORRAL_PROC_DOMAIN_EVENT_CALLBACK_DEVICE_REMOVED);
    wire_free (CORRAL_PROC_DOMAIN_EVENT_CALLBACK_DEVICE_REMOVED, &event.device);
    assert_lifecycle (fixture->reader, "idle", VIR_DOMAIN_EVENT_STOPPED,
                      VIR_DOMAIN_EVENT_STOPPED_DESTROYED);
    assert_lifecycle (fixture->reader, "idle", VIR_DOMAIN_EVENT_UNDEFINED,
                      VIR_DOMAIN_EVENT_UNDEFINED_REMOVED);
    settle (fixture->reader);
    g_assert_false (wire_has_event (fixture->reader));
    /* The one that changed things had not asked. */
    g_assert_false (wire_has_event (fixture->client));
}

/* Many, faster than they are read. */
static void
test_burst (Fixture *fixture, gconstpointer data)
{
    subscribe (fixture->reader, VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, NULL);
    for (int i = 0; i < 500; i++) {
        g_autofree char *name = g_strdup_printf ("vm%d", i);

        emit (fixture, CORRAL_EVENT_MEMBER_ADDED, &fixture->prod, name);
    }
    for (int i = 0; i < 500; i++) {
        g_autofree char *name = g_strdup_printf ("vm%d", i);
        CorralWireEventDevice event = { 0 };

        wire_next_event (fixture->reader, &event);
        g_assert_cmpstr (event.alias, ==, name);
        wire_free (CORRAL_PROC_DOMAIN_EVENT_CALLBACK_DEVICE_ADDED, &event);
    }
}

static void
test_one_domain (Fixture *fixture, gconstpointer data)
{
    int of_idle = subscribe (fixture->client, VIR_DOMAIN_EVENT_ID_LIFECYCLE, &fixture->idle);
    int of_all = subscribe (fixture->client, VIR_DOMAIN_EVENT_ID_LIFECYCLE, NULL);
    static const int expected_all[] = { 0, 1, 1 };

    g_assert_cmpint (of_idle, !=, of_all);
    emit (fixture, CORRAL_EVENT_STARTED, &fixture->idle, NULL);
    emit (fixture, CORRAL_EVENT_STARTED, &fixture->prod, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS (expected_all); i++) {
        CorralWireEventLifecycle event = { 0 };

        wire_next_event (fixture->client, &event);
        g_assert_cmpint (event.callback, ==, expected_all[i] ? of_all : of_idle);
        g_assert_cmpstr (event.dom.name, ==, i < 2 ? "idle" : "prod");
        wire_free (CORRAL_PROC_DOMAIN_EVENT_CALLBACK_LIFECYCLE, &event);
    }
    settle (fixture->client);
    g_assert_false (wire_has_event (fixture->client));
}

static void
test_deregister (Fixture *fixture, gconstpointer data)
{
    const int deregister = CORRAL_PROC_CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY;
    CorralWireInt first = { subscribe (fixture->client, VIR_DOMAIN_EVENT_ID_LIFECYCLE, NULL) };
    CorralWireInt second = { subscribe (fixture->client, VIR_DOMAIN_EVENT_ID_LIFECYCLE, NULL) };
    CorralWireEventLifecycle event = { 0 };

    /* A client's numbers are its own. */
    assert_refused (fixture->reader, deregister, &first, VIR_ERR_INTERNAL_ERROR, "not registered");
    assert_done (fixture->client, deregister, &first, NULL);
    assert_refused (fixture->client, deregister, &first, VIR_ERR_INTERNAL_ERROR, "not registered");
    emit (fixture, CORRAL_EVENT_STOPPED, &fixture->prod, NULL);
    wire_next_event (fixture->client, &event);
    g_assert_cmpint (event.callback, ==, second.value);
    wire_free (CORRAL_PROC_DOMAIN_EVENT_CALLBACK_LIFECYCLE, &event);
    settle (fixture->client);
    g_assert_false (wire_has_event (fixture->client));
}

/* As clients did before 2014: no numbers, and two calls for life and death alone. */
static void
test_old (Fixture *fixture, gconstpointer data)
{
    const int any = CORRAL_PROC_CONNECT_DOMAIN_EVENT_REGISTER_ANY;
    const int not_any = CORRAL_PROC_CONNECT_DOMAIN_EVENT_DEREGISTER_ANY;
    CorralWireInt removed = { VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED };
    CorralWireInt lifecycle = { VIR_DOMAIN_EVENT_ID_LIFECYCLE };
    CorralWireInt tunable = { VIR_DOMAIN_EVENT_ID_TUNABLE }, none = { -1 }, zero = { 0 };
    CorralWireOldEventLifecycle life = { 0 };
    CorralWireOldEventDevice device = { 0 };
    CorralWireInt answer = { 7 };

    assert_refused (fixture->reader, not_any, &removed, VIR_ERR_INTERNAL_ERROR,
                    "domain event 15 not registered");
    assert_refused (fixture->reader, any, &tunable, VIR_ERR_INTERNAL_ERROR,
                    "unsupported event ID 17");
    assert_refused (fixture->reader, any, &none, VIR_ERR_INTERNAL_ERROR, "unsupported event ID -1");
    assert_done (fixture->reader, any, &removed, NULL);
    assert_done (fixture->reader, CORRAL_PROC_CONNECT_DOMAIN_EVENT_REGISTER, NULL, &answer);
    g_assert_cmpint (answer.value, ==, 0);
    /* They have no number, not even 0. */
    assert_refused (fixture->reader, CORRAL_PROC_CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY,
                    &zero, VIR_ERR_INTERNAL_ERROR, "not registered");
    emit (fixture, CORRAL_EVENT_STARTED, &fixture->prod, NULL);
    emit (fixture, CORRAL_EVENT_MEMBER_ADDED, &fixture->prod, "db");
    emit (fixture, CORRAL_EVENT_MEMBER_REMOVED, &fixture->prod, "db");
    g_assert_cmpint (wire_next_event (fixture->reader, &life), ==,
                     CORRAL_PROC_DOMAIN_EVENT_LIFECYCLE);
    g_assert_cmpstr (life.dom.name, ==, "prod");
    g_assert_cmpint (life.event, ==, VIR_DOMAIN_EVENT_STARTED);
    wire_free (CORRAL_PROC_DOMAIN_EVENT_LIFECYCLE, &life);
    g_assert_cmpint (wire_next_event (fixture->reader, &device), ==,
                     CORRAL_PROC_DOMAIN_EVENT_DEVICE_REMOVED);
    g_assert_cmpstr (device.alias, ==, "db");
    wire_free (CORRAL_PROC_DOMAIN_EVENT_DEVICE_REMOVED, &device);

    assert_done (fixture->reader, CORRAL_PROC_CONNECT_DOMAIN_EVENT_DEREGISTER, NULL, NULL);
    assert_refused (fixture->reader, not_any, &lifecycle, VIR_ERR_INTERNAL_ERROR,
                    "domain event 0 not registered");
    assert_done (fixture->reader, not_any, &removed, NULL);
    emit (fixture, CORRAL_EVENT_STOPPED, &fixture->prod, NULL);
    settle (fixture->reader);
    g_assert_false (wire_has_event (fixture->reader));
}

static void
test_bounds (Fixture *fixture, gconstpointer data)
{
    const int proc = CORRAL_PROC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY;

    assert_refused (fixture->client, proc, &(CorralWireEventRegisterArgs){ -1, NULL },
                    VIR_ERR_INTERNAL_ERROR, "unsupported event ID -1");
    assert_refused (fixture->client, proc, &(CorralWireEventRegisterArgs){ 27, NULL },
                    VIR_ERR_INTERNAL_ERROR, "unsupported event ID 27");
    /* The same, and of different domains. */
    for (int i = 0; i < 16; i++)
        subscribe (fixture->client, VIR_DOMAIN_EVENT_ID_REBOOT, NULL);
    assert_refused (fixture->client, proc,
                    &(CorralWireEventRegisterArgs){ VIR_DOMAIN_EVENT_ID_REBOOT, NULL },
                    VIR_ERR_OPERATION_FAILED, "the same events 16 times");
    for (int i = 16; i < 1024; i++) {
        CorralWireDomain dom = { .name = (char *) "any", .uuid = { (char) i, (char) (i / 256) } };

        subscribe (fixture->client, VIR_DOMAIN_EVENT_ID_REBOOT, &dom);
    }
    assert_refused (fixture->client, proc, &(CorralWireEventRegisterArgs){ 0, NULL },
                    VIR_ERR_OPERATION_FAILED, "1024 times");
}

/* Registrations go with their client, whichever of server, driver and client ends first. */
static void
test_gone (Fixture *fixture, gconstpointer data)
{
    g_autoptr (WireClient) short_lived = wire_client_new (fixture->server, FALSE);
    guint clients = corral_rpc_server_get_n_clients (fixture->server);

    subscribe (short_lived, VIR_DOMAIN_EVENT_ID_LIFECYCLE, NULL);
    subscribe (fixture->reader, VIR_DOMAIN_EVENT_ID_LIFECYCLE, NULL);
    g_clear_pointer (&short_lived, wire_client_free);
    while (corral_rpc_server_get_n_clients (fixture->server) == clients)
        g_main_context_iteration (NULL, TRUE);
    emit (fixture, CORRAL_EVENT_STARTED, &fixture->prod, NULL);
    assert_lifecycle (fixture->reader, "prod", VIR_DOMAIN_EVENT_STARTED,
                      VIR_DOMAIN_EVENT_STARTED_BOOTED);
    /* The driver first this time: the server drops its clients' registrations later. */
    g_clear_pointer (&fixture->driver, corral_driver_free);
    emit (fixture, CORRAL_EVENT_STOPPED, &fixture->prod, NULL);
}

/* --- what each kind carries --- */

static void
test_tunable (Fixture *fixture, gconstpointer data)
{
    const int proc = CORRAL_PROC_DOMAIN_EVENT_CALLBACK_TUNABLE;
    CorralEvent event = {
        .type = CORRAL_EVENT_TUNED,
        .name = "prod",
        .uuid = (const guint8 *) fixture->prod.uuid,
        .id = 1,
        .tune = { .shares = -1,
                  .period_usec = -1,
                  .quota_usec = CORRAL_QUOTA_NONE,
                  .burst_usec = -1 },
    };
    CorralWireEventTunable message = { 0 };

    subscribe (fixture->client, VIR_DOMAIN_EVENT_ID_TUNABLE, NULL);
    scripted_agent_emit (fixture->agent, &event);
    g_assert_cmpint (wire_next_event (fixture->client, &message), ==, proc);
    g_assert_cmpuint (message.params.params_len, ==, 2);
    g_assert_cmpstr (message.params.params_val[0].field, ==, "cputune.vcpu_quota");
    g_assert_cmpint (message.params.params_val[0].value.CorralWireValue_u.l, ==, -1);
    g_assert_cmpstr (message.params.params_val[1].field, ==, "cputune.global_quota");
    wire_free (proc, &message);

    event.type = CORRAL_EVENT_PINNED;
    event.index = 3;
    event.detail = "0-1,5";
    scripted_agent_emit (fixture->agent, &event);
    wire_next_event (fixture->client, &message);
    g_assert_cmpuint (message.params.params_len, ==, 1);
    g_assert_cmpstr (message.params.params_val[0].field, ==, "cputune.vcpupin3");
    g_assert_cmpstr (message.params.params_val[0].value.CorralWireValue_u.s, ==, "0-1,5");
    wire_free (proc, &message);

    /* A change of the container's cpuset has no tune field; what it is now is told. */
    emit (fixture, CORRAL_EVENT_TUNED, &fixture->prod, NULL);
    wire_next_event (fixture->client, &message);
    g_assert_cmpuint (message.params.params_len, ==, 1);
    g_assert_cmpstr (message.params.params_val[0].field, ==, "cputune.emulatorpin");
    g_assert_cmpstr (message.params.params_val[0].value.CorralWireValue_u.s, ==, "0-3");
    wire_free (proc, &message);
}

static void
test_texts (Fixture *fixture, gconstpointer data)
{
    static const struct {
        CorralText text;
        int type;
    } texts[] = {
        { CORRAL_TEXT_TITLE, VIR_DOMAIN_METADATA_TITLE },
        { CORRAL_TEXT_DESCRIPTION, VIR_DOMAIN_METADATA_DESCRIPTION },
        { CORRAL_TEXT_METADATA, VIR_DOMAIN_METADATA_ELEMENT },
    };

    subscribe (fixture->client, VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS (texts); i++) {
        CorralEvent event = {
            .type = CORRAL_EVENT_TEXT,
            .name = "prod",
            .uuid = (const guint8 *) fixture->prod.uuid,
            .text = texts[i].text,
            .detail = texts[i].text == CORRAL_TEXT_METADATA ? "urn:x" : NULL,
        };
        CorralWireEventMetadata message = { 0 };

        scripted_agent_emit (fixture->agent, &event);
        g_assert_cmpint (wire_next_event (fixture->client, &message), ==,
                         CORRAL_PROC_DOMAIN_EVENT_CALLBACK_METADATA_CHANGE);
        g_assert_cmpint (message.type, ==, texts[i].type);
        g_assert_cmpstr (message.uri != NULL ? *message.uri : NULL, ==, event.detail);
        wire_free (CORRAL_PROC_DOMAIN_EVENT_CALLBACK_METADATA_CHANGE, &message);
    }
}

static void
test_defined (Fixture *fixture, gconstpointer data)
{
    subscribe (fixture->client, VIR_DOMAIN_EVENT_ID_LIFECYCLE, NULL);
    emit (fixture, CORRAL_EVENT_DEFINED, &fixture->idle, NULL);
    emit (fixture, CORRAL_EVENT_UPDATED, &fixture->idle, NULL);
    assert_lifecycle (fixture->client, "idle", VIR_DOMAIN_EVENT_DEFINED,
                      VIR_DOMAIN_EVENT_DEFINED_ADDED);
    assert_lifecycle (fixture->client, "idle", VIR_DOMAIN_EVENT_DEFINED,
                      VIR_DOMAIN_EVENT_DEFINED_UPDATED);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    ADD ("events/order", test_order);
    ADD ("events/burst", test_burst);
    ADD ("events/one-domain", test_one_domain);
    ADD ("events/deregister", test_deregister);
    ADD ("events/old", test_old);
    ADD ("events/bounds", test_bounds);
    ADD ("events/gone", test_gone);
    ADD ("events/tunable", test_tunable);
    ADD ("events/texts", test_texts);
    ADD ("events/defined", test_defined);
    return g_test_run ();
}
