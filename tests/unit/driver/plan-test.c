/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plans over libvirt's calls. */
#include "tests/unit/driver/driver-fixture.h"

static int
get (WireClient *client, const CorralWireDomain *dom, const char *uri, char **ret_text)
{
    CorralWireString uri_text = (char *) uri;
    CorralWireGetMetadataArgs args = { *dom, VIR_DOMAIN_METADATA_ELEMENT, &uri_text, 0 };
    CorralWireText text = { 0 };
    int code = wire_call (client, CORRAL_PROC_DOMAIN_GET_METADATA, &args, &text);

    *ret_text = g_strdup (text.text);
    if (code == 0)
        wire_free (CORRAL_PROC_DOMAIN_GET_METADATA, &text);
    return code;
}

static void
assert_served (WireClient *client, const CorralWireDomain *dom, const char *uri,
               const char *expected)
{
    g_autofree char *text = NULL;

    g_assert_cmpint (get (client, dom, uri, &text), ==, 0);
    g_assert_cmpstr (text, ==, expected);
}

/* Anyone may read them, of any container, whether it runs or not. */
static void
test_served (Fixture *fixture, gconstpointer data)
{
    assert_served (fixture->client, &fixture->prod, "urn:corral:plan:1",
                   "<plan generation='7' if=''/>");
    assert_served (fixture->reader, &fixture->idle, "urn:corral:plan:1",
                   "<plan generation='7' if=''/>");
    assert_served (fixture->reader, &fixture->prod, "urn:corral:explain:1",
                   "<explain generation='7' path='/machine/prod'/>");
    assert_served (fixture->reader, &fixture->prod, "urn:corral:drift:1",
                   "<drift generation='7'/>");
}

static int
set (WireClient *client, const CorralWireDomain *dom, const char *uri, const char *value,
     guint flags)
{
    CorralWireString key = (char *) "plan", uri_text = (char *) uri, text = (char *) value;
    CorralWireSetMetadataArgs args = {
        *dom, VIR_DOMAIN_METADATA_ELEMENT, value != NULL ? &text : NULL, &key, &uri_text, flags
    };

    return wire_call (client, CORRAL_PROC_DOMAIN_SET_METADATA, &args, NULL);
}

static void
test_apply (Fixture *fixture, gconstpointer data)
{
    const CorralWireDomain *dom = &fixture->prod;
    const char *uri = "urn:corral:plan:1";

    g_assert_cmpint (set (fixture->client, dom, uri, "<plan generation='7'/>", 0), ==, 0);
    g_assert_cmpint (set (fixture->client, dom, uri, "<plan generation='7' moves='1'><vm/></plan>",
                          1),
                     ==, 0);
    g_assert_cmpint (set (fixture->client, dom, uri, "<plan generation='6'/>", 0), ==,
                     VIR_ERR_OPERATION_INVALID);
    g_assert_cmpint (set (fixture->client, dom, uri, "<plan/>", 0), ==, VIR_ERR_INVALID_ARG);
    g_assert_cmpint (set (fixture->client, dom, uri, "<plan generation='0'/>", 0), ==,
                     VIR_ERR_INVALID_ARG);
    g_assert_cmpint (set (fixture->client, dom, uri, "plan", 0), ==, VIR_ERR_INVALID_ARG);
    g_assert_cmpint (set (fixture->client, dom, uri, NULL, 0), ==, VIR_ERR_INVALID_ARG);
    g_assert_cmpint (set (fixture->client, dom, uri, "<plan generation='7'/>",
                          VIR_DOMAIN_AFFECT_CONFIG),
                     ==, VIR_ERR_ARGUMENT_UNSUPPORTED);
    g_assert_cmpint (set (fixture->client, dom, "urn:corral:drift:1", "<drift/>", 0), ==,
                     VIR_ERR_OPERATION_UNSUPPORTED);
    g_assert_cmpint (set (fixture->reader, dom, uri, "<plan generation='7'/>", 0), ==,
                     VIR_ERR_OPERATION_DENIED);
}

static int
convert (WireClient *client, const char *format, const char *xml, char **ret_text)
{
    CorralWireXmlToNativeArgs args = { (char *) format, (char *) xml, 0 };
    CorralWireText text = { 0 };
    int code = wire_call (client, CORRAL_PROC_CONNECT_DOMAIN_XML_TO_NATIVE, &args, &text);

    *ret_text = g_strdup (text.text);
    if (code == 0)
        wire_free (CORRAL_PROC_CONNECT_DOMAIN_XML_TO_NATIVE, &text);
    return code;
}

static void
assert_converted (WireClient *client, const char *format, const char *xml, const char *expected)
{
    g_autofree char *text = NULL;

    g_assert_cmpint (convert (client, format, xml, &text), ==, 0);
    g_assert_cmpstr (text, ==, expected);
}

static void
test_convert (Fixture *fixture, gconstpointer data)
{
    const char *vm = "<domain type='qemu'><name>web1</name></domain>";
    g_autofree char *text = NULL;

    assert_converted (fixture->client, "corral-plan",
                      "<domain type='corral'><name>new</name></domain>",
                      "<plan generation='7' if='new'/>");
    assert_converted (fixture->client, "corral-admit", vm, "<admitted/>\n");
    assert_converted (
        fixture->client, "corral-admit",
        "<domain><name>a</name><resource><partition>/b</partition></resource></domain>",
        "<admitted container='ready'/>\n");
    assert_converted (fixture->client, "corral-release", vm, "<released/>\n");
    g_assert_cmpint (convert (fixture->client, "corral-admit",
                              "<domain><name>big</name><vcpu>100</vcpu></domain>", &text),
                     ==, VIR_ERR_RESOURCE_BUSY);
    g_assert_cmpstr (wire_message (fixture->client), ==, "resource busy: it is too large");
    g_assert_cmpint (convert (fixture->client, "corral-plan", "<domain", &text), ==,
                     VIR_ERR_XML_ERROR);
    g_assert_cmpint (convert (fixture->client, "corral-release", "<domain", &text), ==,
                     VIR_ERR_XML_ERROR);
    g_assert_cmpint (convert (fixture->client, "qemu-argv", vm, &text), ==, VIR_ERR_INVALID_ARG);
    g_assert_cmpint (convert (fixture->reader, "corral-plan", vm, &text), ==,
                     VIR_ERR_OPERATION_DENIED);
}

static void
test_capacity (Fixture *fixture, gconstpointer data)
{
    CorralWireDomainCapabilitiesArgs args = { 0 };
    CorralWireText text = { 0 };

    assert_done (fixture->client, CORRAL_PROC_CONNECT_GET_DOMAIN_CAPABILITIES, &args, &text);
    g_assert_nonnull (strstr (text.text, "<capacity xmlns=\"urn:corral:1\""));
    g_assert_nonnull (strstr (text.text, "</domainCapabilities>"));
    wire_free (CORRAL_PROC_CONNECT_GET_DOMAIN_CAPABILITIES, &text);
}

static void
test_drift_event (Fixture *fixture, gconstpointer data)
{
    CorralWireEventRegisterArgs args = { .event = VIR_DOMAIN_EVENT_ID_METADATA_CHANGE };
    CorralEvent event = { .type = CORRAL_EVENT_DRIFT,
                          .name = fixture->prod.name,
                          .id = fixture->prod.id,
                          .detail = "something moved",
                          .tune = CORRAL_CPU_TUNE_INIT };
    CorralWireEventMetadata message = { 0 };
    CorralWireInt number = { 0 };
    int procedure;

    event.uuid = (const guint8 *) fixture->prod.uuid;
    assert_done (fixture->client, CORRAL_PROC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY, &args,
                 &number);
    scripted_agent_emit (fixture->agent, &event);
    procedure = wire_next_event (fixture->client, &message);
    g_assert_cmpint (procedure, ==, CORRAL_PROC_DOMAIN_EVENT_CALLBACK_METADATA_CHANGE);
    g_assert_cmpint (message.type, ==, VIR_DOMAIN_METADATA_ELEMENT);
    g_assert_cmpstr (*message.uri, ==, "urn:corral:drift:1");
    wire_free (procedure, &message);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    ADD ("plan/served", test_served);
    ADD ("plan/apply", test_apply);
    ADD ("plan/convert", test_convert);
    ADD ("plan/capacity", test_capacity);
    ADD ("plan/drift-event", test_drift_event);
    return g_test_run ();
}
