/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Containers as domains: lists, look-up, life, texts and members. */
#include "tests/unit/driver/driver-fixture.h"

/* --- lists --- */

static void
assert_listed (Fixture *fixture, guint flags, const char *expected)
{
    CorralWireListAllArgs args = { 1, flags };
    CorralWireListAllDomainsRet list = { 0 };
    GString *names = g_string_new (NULL);

    assert_done (fixture->reader, CORRAL_PROC_CONNECT_LIST_ALL_DOMAINS, &args, &list);
    for (guint i = 0; i < list.domains.domains_len; i++)
        g_string_append_printf (names, "%s%s", i > 0 ? " " : "", list.domains.domains_val[i].name);
    g_assert_cmpstr (names->str, ==, expected);
    g_assert_cmpuint (list.ret, ==, list.domains.domains_len);
    g_string_free (names, TRUE);
    wire_free (CORRAL_PROC_CONNECT_LIST_ALL_DOMAINS, &list);
}

static void
test_filters (Fixture *fixture, gconstpointer data)
{
    CorralWireDomInt autostart = { fixture->idle, 1 };

    assert_done (fixture->client, CORRAL_PROC_DOMAIN_SET_AUTOSTART, &autostart, NULL);
    assert_listed (fixture, 0, "brief idle prod");
    assert_listed (fixture, VIR_CONNECT_LIST_DOMAINS_ACTIVE, "brief prod");
    assert_listed (fixture, VIR_CONNECT_LIST_DOMAINS_INACTIVE, "idle");
    assert_listed (fixture, VIR_CONNECT_LIST_DOMAINS_ACTIVE | VIR_CONNECT_LIST_DOMAINS_INACTIVE,
                   "brief idle prod");
    assert_listed (fixture, VIR_CONNECT_LIST_DOMAINS_PERSISTENT, "idle prod");
    assert_listed (fixture, VIR_CONNECT_LIST_DOMAINS_TRANSIENT, "brief");
    assert_listed (fixture, VIR_CONNECT_LIST_DOMAINS_ACTIVE | VIR_CONNECT_LIST_DOMAINS_PERSISTENT,
                   "prod");
    assert_listed (fixture, VIR_CONNECT_LIST_DOMAINS_RUNNING, "brief prod");
    assert_listed (fixture, VIR_CONNECT_LIST_DOMAINS_PAUSED, "");
    assert_listed (fixture, VIR_CONNECT_LIST_DOMAINS_SHUTOFF | VIR_CONNECT_LIST_DOMAINS_OTHER,
                   "idle");
    assert_listed (fixture, VIR_CONNECT_LIST_DOMAINS_AUTOSTART, "idle");
    assert_listed (fixture, VIR_CONNECT_LIST_DOMAINS_NO_AUTOSTART, "brief prod");
    assert_listed (fixture, VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT, "");
    assert_listed (fixture, VIR_CONNECT_LIST_DOMAINS_NO_SNAPSHOT, "brief idle prod");
    assert_listed (fixture, VIR_CONNECT_LIST_DOMAINS_HAS_CHECKPOINT, "");
    assert_listed (fixture, VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE, "");
    assert_listed (fixture, VIR_CONNECT_LIST_DOMAINS_NO_MANAGEDSAVE, "brief idle prod");
    assert_refused (fixture->reader, CORRAL_PROC_CONNECT_LIST_ALL_DOMAINS,
                    &(CorralWireListAllArgs){ 1, 1u << 20 }, VIR_ERR_INVALID_ARG,
                    "unsupported flags (0x100000) in function virConnectListAllDomains");
}

static void
test_old_lists (Fixture *fixture, gconstpointer data)
{
    CorralWireIdsRet ids = { 0 };
    CorralWireNamesRet names = { 0 };
    CorralWireInt count = { 0 };

    assert_done (fixture->reader, CORRAL_PROC_CONNECT_NUM_OF_DOMAINS, NULL, &count);
    g_assert_cmpint (count.value, ==, 2);
    assert_done (fixture->reader, CORRAL_PROC_CONNECT_NUM_OF_DEFINED_DOMAINS, NULL, &count);
    g_assert_cmpint (count.value, ==, 1);
    assert_done (fixture->reader, CORRAL_PROC_CONNECT_LIST_DOMAINS, &(CorralWireInt){ 1 }, &ids);
    g_assert_cmpuint (ids.ids.ids_len, ==, 1);
    wire_free (CORRAL_PROC_CONNECT_LIST_DOMAINS, &ids);
    assert_done (fixture->reader, CORRAL_PROC_CONNECT_LIST_DEFINED_DOMAINS, &(CorralWireInt){ 9 },
                 &names);
    g_assert_cmpuint (names.names.names_len, ==, 1);
    g_assert_cmpstr (names.names.names_val[0], ==, "idle");
    wire_free (CORRAL_PROC_CONNECT_LIST_DEFINED_DOMAINS, &names);
    assert_refused (fixture->reader, CORRAL_PROC_CONNECT_LIST_DOMAINS, &(CorralWireInt){ -1 },
                    VIR_ERR_INVALID_ARG, "room for -1 domains");
    assert_refused (fixture->reader, CORRAL_PROC_CONNECT_LIST_DEFINED_DOMAINS,
                    &(CorralWireInt){ 16385 }, VIR_ERR_INVALID_ARG, "room for 16385 domains");
}

static void
test_lookup (Fixture *fixture, gconstpointer data)
{
    CorralWireDomain gone = fixture->prod;
    CorralWireUuidArgs uuid = { { 0 } };
    CorralWireDom found = { 0 };

    assert_done (fixture->reader, CORRAL_PROC_DOMAIN_LOOKUP_BY_NAME,
                 &(CorralWireText){ (char *) "prod" }, &found);
    g_assert_cmpint (found.dom.id, >, 0);
    assert_done (fixture->reader, CORRAL_PROC_DOMAIN_LOOKUP_BY_ID, &(CorralWireInt){ found.dom.id },
                 NULL);
    wire_free (CORRAL_PROC_DOMAIN_LOOKUP_BY_NAME, &found);
    memcpy (uuid.uuid, fixture->idle.uuid, sizeof uuid.uuid);
    assert_done (fixture->reader, CORRAL_PROC_DOMAIN_LOOKUP_BY_UUID, &uuid, &found);
    g_assert_cmpstr (found.dom.name, ==, "idle");
    g_assert_cmpint (found.dom.id, ==, -1);
    wire_free (CORRAL_PROC_DOMAIN_LOOKUP_BY_UUID, &found);

    assert_refused (fixture->reader, CORRAL_PROC_DOMAIN_LOOKUP_BY_NAME,
                    &(CorralWireText){ (char *) "x" }, VIR_ERR_NO_DOMAIN,
                    "Domain not found: no domain with matching name 'x'");
    assert_refused (fixture->reader, CORRAL_PROC_DOMAIN_LOOKUP_BY_ID, &(CorralWireInt){ -1 },
                    VIR_ERR_NO_DOMAIN, "no domain with matching id -1");
    memset (gone.uuid, 0xab, sizeof gone.uuid);
    assert_refused (fixture->reader, CORRAL_PROC_DOMAIN_GET_INFO, &(CorralWireDom){ gone },
                    VIR_ERR_NO_DOMAIN,
                    "Domain not found: no domain with matching uuid "
                    "'abababab-abab-abab-abab-abababababab' (prod)");
}

/* --- what it is --- */

static void
test_info (Fixture *fixture, gconstpointer data)
{
    CorralWireDomainInfoRet info = { 0 };
    CorralWireDomainStateRet state = { 0 };

    assert_done (fixture->reader, CORRAL_PROC_DOMAIN_GET_INFO, &(CorralWireDom){ fixture->prod },
                 &info);
    g_assert_cmpint (info.state, ==, VIR_DOMAIN_RUNNING);
    g_assert_cmpuint (info.vcpus, ==, 4);
    g_assert_cmpuint (info.cpu_time, ==, 5000);
    g_assert_cmpuint (info.max_mem, >, 0);
    assert_done (fixture->reader, CORRAL_PROC_DOMAIN_GET_INFO, &(CorralWireDom){ fixture->idle },
                 &info);
    g_assert_cmpint (info.state, ==, VIR_DOMAIN_SHUTOFF);
    g_assert_cmpuint (info.vcpus, ==, 0);
    assert_done (fixture->reader, CORRAL_PROC_DOMAIN_GET_STATE,
                 &(CorralWireDomFlags){ fixture->prod, 0 }, &state);
    g_assert_cmpint (state.state, ==, VIR_DOMAIN_RUNNING);
    g_assert_cmpint (state.reason, ==, VIR_DOMAIN_RUNNING_BOOTED);
    assert_refused (fixture->reader, CORRAL_PROC_DOMAIN_GET_STATE,
                    &(CorralWireDomFlags){ fixture->prod, 8 }, VIR_ERR_INVALID_ARG,
                    "unsupported flags (0x8) in function virDomainGetState");
    assert_refused (fixture->reader, CORRAL_PROC_DOMAIN_GET_CONTROL_INFO,
                    &(CorralWireDomFlags){ fixture->idle, 0 }, VIR_ERR_OPERATION_INVALID,
                    "domain is not running");
}

static void
assert_truth (Fixture *fixture, int procedure, const CorralWireDomain *dom, int expected)
{
    CorralWireInt value = { -1 };

    assert_done (fixture->reader, procedure, &(CorralWireDom){ *dom }, &value);
    g_assert_cmpint (value.value, ==, expected);
}

static void
test_truths (Fixture *fixture, gconstpointer data)
{
    assert_truth (fixture, CORRAL_PROC_DOMAIN_IS_ACTIVE, &fixture->prod, 1);
    assert_truth (fixture, CORRAL_PROC_DOMAIN_IS_ACTIVE, &fixture->idle, 0);
    assert_truth (fixture, CORRAL_PROC_DOMAIN_IS_PERSISTENT, &fixture->prod, 1);
    assert_truth (fixture, CORRAL_PROC_DOMAIN_IS_PERSISTENT, &fixture->brief, 0);
    /* prod's live members are not in its configuration. */
    assert_truth (fixture, CORRAL_PROC_DOMAIN_IS_UPDATED, &fixture->prod, 1);
    assert_truth (fixture, CORRAL_PROC_DOMAIN_IS_UPDATED, &fixture->idle, 0);
    assert_truth (fixture, CORRAL_PROC_DOMAIN_IS_UPDATED, &fixture->brief, 0);
}

static char *
dump (Fixture *fixture, const CorralWireDomain *dom, guint flags)
{
    CorralWireText text = { 0 };

    assert_done (fixture->client, CORRAL_PROC_DOMAIN_GET_XML_DESC,
                 &(CorralWireDomFlags){ *dom, flags }, &text);
    return text.text;
}

static void
test_dump (Fixture *fixture, gconstpointer data)
{
    g_autofree char *live = dump (fixture, &fixture->prod, VIR_DOMAIN_XML_SECURE);
    g_autofree char *config = dump (fixture, &fixture->prod, VIR_DOMAIN_XML_INACTIVE);
    g_autofree char *brief = dump (fixture, &fixture->brief, VIR_DOMAIN_XML_INACTIVE);

    g_assert_nonnull (strstr (live, " id='"));
    g_assert_nonnull (strstr (live, ">4</vcpu>"));
    g_assert_nonnull (strstr (live, "name='web2'"));
    g_assert_null (strstr (config, " id='"));
    g_assert_null (strstr (config, "name='web2'"));
    g_assert_null (strstr (brief, " id='"));
    assert_refused (fixture->client, CORRAL_PROC_DOMAIN_GET_XML_DESC,
                    &(CorralWireDomFlags){ fixture->prod, 1 << 9 }, VIR_ERR_INVALID_ARG,
                    "unsupported flags (0x200)");
}

/* --- life --- */

static void
test_states (Fixture *fixture, gconstpointer data)
{
    CorralWireDom prod = { fixture->prod }, idle = { fixture->idle }, brief = { fixture->brief };
    CorralWireDomInt autostart = { fixture->brief, 1 };
    CorralWireDom started = { 0 };

    assert_refused (fixture->client, CORRAL_PROC_DOMAIN_CREATE, &prod, VIR_ERR_OPERATION_INVALID,
                    "Requested operation is not valid: domain is already running");
    assert_refused (fixture->client, CORRAL_PROC_DOMAIN_DESTROY, &idle, VIR_ERR_OPERATION_INVALID,
                    "domain is not running");
    assert_refused (fixture->client, CORRAL_PROC_DOMAIN_UNDEFINE, &brief, VIR_ERR_OPERATION_INVALID,
                    "cannot undefine transient domain");
    assert_refused (fixture->client, CORRAL_PROC_DOMAIN_SET_AUTOSTART, &autostart,
                    VIR_ERR_OPERATION_INVALID, "cannot set autostart for transient domain");
    assert_refused (fixture->client, CORRAL_PROC_DOMAIN_CREATE_WITH_FLAGS,
                    &(CorralWireDomFlags){ fixture->idle, VIR_DOMAIN_START_PAUSED },
                    VIR_ERR_INVALID_ARG, "unsupported flags (0x1)");
    assert_done (fixture->client, CORRAL_PROC_DOMAIN_CREATE_WITH_FLAGS,
                 &(CorralWireDomFlags){ fixture->idle, 0 }, &started);
    g_assert_cmpint (started.dom.id, >, 0);
    wire_free (CORRAL_PROC_DOMAIN_CREATE_WITH_FLAGS, &started);
    assert_done (fixture->client, CORRAL_PROC_DOMAIN_DESTROY_FLAGS,
                 &(CorralWireDomFlags){ fixture->idle, VIR_DOMAIN_DESTROY_GRACEFUL }, NULL);
    assert_done (fixture->client, CORRAL_PROC_DOMAIN_UNDEFINE_FLAGS,
                 &(CorralWireDomFlags){ fixture->idle, VIR_DOMAIN_UNDEFINE_MANAGED_SAVE |
                                                           VIR_DOMAIN_UNDEFINE_NVRAM },
                 NULL);
    /* An active one becomes transient, a transient one goes with its end. */
    assert_done (fixture->client, CORRAL_PROC_DOMAIN_UNDEFINE, &prod, NULL);
    assert_listed (fixture, VIR_CONNECT_LIST_DOMAINS_TRANSIENT, "brief prod");
    assert_done (fixture->client, CORRAL_PROC_DOMAIN_DESTROY, &prod, NULL);
    assert_done (fixture->client, CORRAL_PROC_DOMAIN_DESTROY, &brief, NULL);
    assert_listed (fixture, 0, "");
}

static void
test_bad_xml (Fixture *fixture, gconstpointer data)
{
    static const char *const documents[] = { "", "x", "<domain/>", "<network/>" };

    for (gsize i = 0; i < G_N_ELEMENTS (documents); i++) {
        CorralWireTextFlags text = { (char *) documents[i], 0 };

        assert_refused (fixture->client, CORRAL_PROC_DOMAIN_DEFINE_XML, &text, VIR_ERR_XML_ERROR,
                        "XML error: ");
        assert_refused (fixture->client, CORRAL_PROC_DOMAIN_CREATE_XML, &text, VIR_ERR_XML_ERROR,
                        "XML error: ");
    }
    assert_refused (fixture->client, CORRAL_PROC_DOMAIN_DEFINE_XML_FLAGS,
                    &(CorralWireTextFlags){ (char *) "<domain/>", 2 }, VIR_ERR_INVALID_ARG,
                    "unsupported flags (0x2)");
}

/* What the agent refuses arrives as libvirt's error, with what the agent said. */
static void
test_agent_refuses (Fixture *fixture, gconstpointer data)
{
    static const struct {
        int code, expected;
        const char *words;
    } cases[] = {
        { CORRAL_ERROR_BUSY, VIR_ERR_RESOURCE_BUSY, "resource busy: holds web1" },
        { CORRAL_ERROR_PARTIAL, VIR_ERR_OPERATION_FAILED, "operation failed: holds web1" },
        { CORRAL_ERROR_IO, VIR_ERR_SYSTEM_ERROR, "holds web1" },
        { CORRAL_ERROR_UNSUPPORTED, VIR_ERR_OPERATION_UNSUPPORTED,
          "Operation not supported: holds web1" },
    };

    for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
        g_autoptr (GError) failure =
            g_error_new_literal (CORRAL_ERROR, cases[i].code, "holds web1");

        scripted_agent_fail_with (fixture->agent, failure);
        assert_refused (fixture->client, CORRAL_PROC_DOMAIN_DESTROY,
                        &(CorralWireDom){ fixture->prod }, cases[i].expected, cases[i].words);
    }
}

/* --- members --- */

static void
test_members (Fixture *fixture, gconstpointer data)
{
    char *web9 = (char *) "<member type='vm' name='web9'/>";
    char *absent = (char *) "<member type='vm' name='absent'/>";
    const guint both = VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG;
    g_autofree char *config = NULL;

    assert_done (fixture->client, CORRAL_PROC_DOMAIN_ATTACH_DEVICE_FLAGS,
                 &(CorralWireDomTextFlags){ fixture->prod, web9, both }, NULL);
    config = dump (fixture, &fixture->prod, VIR_DOMAIN_XML_INACTIVE);
    g_assert_nonnull (strstr (config, "name='web9'"));
    assert_done (fixture->client, CORRAL_PROC_DOMAIN_DETACH_DEVICE,
                 &(CorralWireDomText){ fixture->prod, web9 }, NULL);
    assert_refused (fixture->client, CORRAL_PROC_DOMAIN_DETACH_DEVICE,
                    &(CorralWireDomText){ fixture->prod, web9 }, VIR_ERR_DEVICE_MISSING,
                    "device not found: ");
    assert_done (fixture->client, CORRAL_PROC_DOMAIN_DETACH_DEVICE_FLAGS,
                 &(CorralWireDomTextFlags){ fixture->prod, web9, VIR_DOMAIN_AFFECT_CONFIG }, NULL);

    assert_refused (fixture->client, CORRAL_PROC_DOMAIN_ATTACH_DEVICE,
                    &(CorralWireDomText){ fixture->prod, absent }, VIR_ERR_NO_DOMAIN,
                    "Domain not found: ");
    /* Without flags it is about the live container; AFFECT_CURRENT is not. */
    assert_refused (fixture->client, CORRAL_PROC_DOMAIN_ATTACH_DEVICE,
                    &(CorralWireDomText){ fixture->idle, web9 }, VIR_ERR_OPERATION_INVALID,
                    "domain is not running");
    assert_done (fixture->client, CORRAL_PROC_DOMAIN_ATTACH_DEVICE_FLAGS,
                 &(CorralWireDomTextFlags){ fixture->idle, web9, VIR_DOMAIN_AFFECT_CURRENT }, NULL);
    assert_refused (fixture->client, CORRAL_PROC_DOMAIN_ATTACH_DEVICE_FLAGS,
                    &(CorralWireDomTextFlags){ fixture->brief, web9, VIR_DOMAIN_AFFECT_CONFIG },
                    VIR_ERR_OPERATION_INVALID,
                    "transient domains do not have any persistent config");
    assert_refused (fixture->client, CORRAL_PROC_DOMAIN_ATTACH_DEVICE_FLAGS,
                    &(CorralWireDomTextFlags){ fixture->prod, web9, 4 }, VIR_ERR_INVALID_ARG,
                    "unsupported flags (0x4)");
    assert_refused (fixture->client, CORRAL_PROC_DOMAIN_ATTACH_DEVICE,
                    &(CorralWireDomText){ fixture->prod, (char *) "<disk/>" }, VIR_ERR_XML_ERROR,
                    "XML error: ");
}

/* --- texts --- */

static int
set_text (Fixture *fixture, int type, const char *value, const char *uri, guint flags)
{
    char *key = (char *) "k";
    CorralWireSetMetadataArgs args = {
        .dom = fixture->prod,
        .type = type,
        .metadata = value != NULL ? (char **) &value : NULL,
        .key = uri != NULL ? &key : NULL,
        .uri = uri != NULL ? (char **) &uri : NULL,
        .flags = flags,
    };

    return wire_call (fixture->client, CORRAL_PROC_DOMAIN_SET_METADATA, &args, NULL);
}

static void
assert_text (Fixture *fixture, int type, const char *uri, guint flags, const char *expected)
{
    CorralWireGetMetadataArgs args = {
        .dom = fixture->prod,
        .type = type,
        .uri = uri != NULL ? (char **) &uri : NULL,
        .flags = flags,
    };
    CorralWireText text = { 0 };
    int code = wire_call (fixture->reader, CORRAL_PROC_DOMAIN_GET_METADATA, &args, &text);

    if (expected == NULL) {
        g_assert_cmpint (code, ==, VIR_ERR_NO_DOMAIN_METADATA);
    } else {
        g_assert_cmpint (code, ==, 0);
        g_assert_cmpstr (text.text, ==, expected);
    }
    g_free (text.text);
}

static void
test_texts (Fixture *fixture, gconstpointer data)
{
    const int title = VIR_DOMAIN_METADATA_TITLE, description = VIR_DOMAIN_METADATA_DESCRIPTION,
              element = VIR_DOMAIN_METADATA_ELEMENT;

    assert_text (fixture, title, NULL, 0, NULL);
    g_assert_cmpint (set_text (fixture, title, "One & two", NULL, 0), ==, 0);
    assert_text (fixture, title, NULL, 0, "One & two");
    assert_text (fixture, title, NULL, VIR_DOMAIN_AFFECT_CONFIG, NULL);
    g_assert_cmpint (set_text (fixture, title, "two\nlines", NULL, 0), ==, VIR_ERR_INVALID_ARG);
    g_assert_cmpint (set_text (fixture, description, "two\nlines", NULL, 3), ==, 0);
    assert_text (fixture, description, NULL, VIR_DOMAIN_AFFECT_CONFIG, "two\nlines");
    /* An empty text is none. */
    g_assert_cmpint (set_text (fixture, description, "", NULL, VIR_DOMAIN_AFFECT_CONFIG), ==, 0);
    assert_text (fixture, description, NULL, VIR_DOMAIN_AFFECT_CONFIG, NULL);
    assert_text (fixture, description, NULL, VIR_DOMAIN_AFFECT_LIVE, "two\nlines");

    g_assert_cmpint (set_text (fixture, element, "<a b='1'/>", "urn:x", 0), ==, 0);
    assert_text (fixture, element, "urn:x", 0, "<a b=\"1\"/>");
    assert_text (fixture, element, "urn:y", 0, NULL);
    g_assert_cmpint (set_text (fixture, element, NULL, "urn:x", 0), ==, 0);
    assert_text (fixture, element, "urn:x", 0, NULL);
    g_assert_cmpint (set_text (fixture, element, "<a/>", NULL, 0), ==, VIR_ERR_INVALID_ARG);
    g_assert_cmpint (set_text (fixture, 3, "x", NULL, 0), ==, VIR_ERR_INVALID_ARG);
    g_assert_cmpint (set_text (fixture, title, "x", NULL, 4), ==, VIR_ERR_INVALID_ARG);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    ADD ("domain/filters", test_filters);
    ADD ("domain/old-lists", test_old_lists);
    ADD ("domain/lookup", test_lookup);
    ADD ("domain/info", test_info);
    ADD ("domain/truths", test_truths);
    ADD ("domain/dump", test_dump);
    ADD ("domain/states", test_states);
    ADD ("domain/bad-xml", test_bad_xml);
    ADD ("domain/agent-refuses", test_agent_refuses);
    ADD ("domain/members", test_members);
    ADD ("domain/texts", test_texts);
    return g_test_run ();
}
