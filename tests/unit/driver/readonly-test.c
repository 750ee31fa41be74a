/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A read-only connection can change nothing: the table of procedures is walked, all of it. */
#include "tests/unit/driver/driver-fixture.h"

/* Arguments that decode as nearly anything: a domain or a text, then numbers that are all @filler.
 * */
static gsize
make_payload (guint8 *payload, gsize size, const CorralWireDomain *dom, guint32 filler)
{
    gsize at = 0;
    XDR xdr;

    xdrmem_create (&xdr, (char *) payload, (u_int) size, XDR_ENCODE);
    if (dom != NULL)
        g_assert_true (xdr_CorralWireDomain (&xdr, (CorralWireDomain *) dom));
    at = xdr_getpos (&xdr);
    xdr_destroy (&xdr);
    for (; at + 4 <= size; at += 4) {
        guint32 word = GUINT32_TO_BE (filler);

        memcpy (payload + at, &word, 4);
    }
    return size;
}

/* Where the numbers begin. */
static gsize
numbers_start (const CorralWireDomain *dom)
{
    return 4 + (strlen (dom->name) + 3) / 4 * 4 + sizeof dom->uuid + 4;
}

static gboolean
is_event (int number)
{
    return (corral_rpc_procedure_lookup (number)->flags & CORRAL_RPC_EVENT) != 0;
}

/* libvirt has many more procedures that change something than those we serve; all are refused
 * alike. */
static void
test_changes_are_refused (Fixture *fixture, gconstpointer data)
{
    g_autofree char *before = scripted_agent_describe (fixture->agent);
    g_autofree char *after = NULL;
    guint changes = scripted_agent_count_changes (fixture->agent);
    guint8 payload[256];
    gsize size = make_payload (payload, sizeof payload, &fixture->prod, 0);
    guint refused = 0;

    for (int number = 1; number <= corral_rpc_procedure_last (); number++) {
        if ((corral_rpc_procedure_lookup (number)->flags & CORRAL_RPC_CHANGES) == 0)
            continue;
        g_assert_cmpint (wire_call_raw (fixture->reader, number, payload, size), ==,
                         VIR_ERR_OPERATION_DENIED);
        refused++;
    }
    g_assert_cmpuint (refused, >, 100);
    after = scripted_agent_describe (fixture->agent);
    g_assert_cmpstr (before, ==, after);
    g_assert_cmpuint (scripted_agent_count_changes (fixture->agent), ==, changes);
}

/* The other way round: whatever a read-write client calls, only a procedure that the table says
 * changes something ever reaches the agent with a change. */
static void
test_others_change_nothing (Fixture *fixture, gconstpointer data)
{
    static const guint32 fillers[] = { 0, 1, 2, 3 };
    const CorralWireDomain *doms[] = { &fixture->prod, &fixture->idle, NULL };

    for (int number = 1; number <= corral_rpc_procedure_last (); number++) {
        if (is_event (number) || number == CORRAL_PROC_CONNECT_CLOSE ||
            (corral_rpc_procedure_lookup (number)->flags & CORRAL_RPC_CHANGES) != 0)
            continue;
        for (gsize i = 0; i < G_N_ELEMENTS (fillers) * G_N_ELEMENTS (doms); i++) {
            guint changes = scripted_agent_count_changes (fixture->agent);
            guint8 payload[256];
            gsize size = make_payload (payload, sizeof payload, doms[i % G_N_ELEMENTS (doms)],
                                       fillers[i / G_N_ELEMENTS (doms)]);

            wire_call_raw (fixture->client, number, payload, size);
            if (scripted_agent_count_changes (fixture->agent) != changes)
                g_error ("%s changes something, and the table does not say so",
                         corral_rpc_procedure_lookup (number)->api);
        }
    }
}

/* ... and that test can see a change: the procedures that the table does mark make them. */
static void
test_marked_ones_do (Fixture *fixture, gconstpointer data)
{
    static const int numbers[] = { CORRAL_PROC_DOMAIN_DESTROY, CORRAL_PROC_DOMAIN_UNDEFINE,
                                   CORRAL_PROC_DOMAIN_SET_SCHEDULER_PARAMETERS,
                                   CORRAL_PROC_DOMAIN_SET_METADATA };

    for (gsize i = 0; i < G_N_ELEMENTS (numbers); i++) {
        guint changes = scripted_agent_count_changes (fixture->agent);
        guint8 payload[256];
        gsize size =
            make_payload (payload, sizeof payload, i == 1 ? &fixture->idle : &fixture->prod, 0);

        /* The container first goes, and comes again. */
        g_assert_cmpint (wire_call_raw (fixture->client, numbers[i], payload, size), ==, 0);
        g_assert_cmpuint (scripted_agent_count_changes (fixture->agent), ==, changes + 1);
        if (i == 0)
            assert_done (fixture->client, CORRAL_PROC_DOMAIN_CREATE,
                         &(CorralWireDom){ fixture->prod }, NULL);
    }
}

static gboolean
ends_it (int number)
{
    return number == CORRAL_PROC_CONNECT_CLOSE || number == CORRAL_PROC_DOMAIN_DESTROY ||
           number == CORRAL_PROC_DOMAIN_DESTROY_FLAGS || number == CORRAL_PROC_DOMAIN_UNDEFINE ||
           number == CORRAL_PROC_DOMAIN_UNDEFINE_FLAGS;
}

/* A real container, and then numbers that nobody should send: every call is answered, by a result
 * or by an error, and the connection is as good as before. */
static void
test_odd_numbers (Fixture *fixture, gconstpointer data)
{
    static const guint32 odd[] = { 0,  1,   2,    3,          4,          7,
                                   16, 128, 1024, 0x7fffffff, 0x80000000, 0xffffffff };
    CorralWireText uri = { 0 };

    for (int number = 1; number <= corral_rpc_procedure_last (); number++) {
        if (is_event (number) || ends_it (number))
            continue;
        for (int round = 0; round < 40; round++) {
            guint8 payload[256];
            gsize size = make_payload (payload, sizeof payload, &fixture->prod, 0);
            gsize at = numbers_start (&fixture->prod);

            for (int i = 0; i < 8; i++, at += 4) {
                guint32 word = GUINT32_TO_BE (odd[g_test_rand_int_range (0, G_N_ELEMENTS (odd))]);

                memcpy (payload + at, &word, sizeof word);
            }
            wire_call_raw (fixture->client, number, payload, size);
        }
    }
    assert_done (fixture->client, CORRAL_PROC_CONNECT_GET_URI, NULL, &uri);
    g_assert_cmpstr (uri.text, ==, "corral:///system");
    wire_free (CORRAL_PROC_CONNECT_GET_URI, &uri);
}

/* What a read-only client may do, it can. */
static void
test_reading (Fixture *fixture, gconstpointer data)
{
    CorralWireDom dom = { fixture->prod };

    assert_done (fixture->reader, CORRAL_PROC_DOMAIN_GET_INFO, &dom, NULL);
    assert_done (fixture->reader, CORRAL_PROC_DOMAIN_GET_XML_DESC,
                 &(CorralWireDomFlags){ fixture->prod, 0 }, NULL);
    assert_refused (fixture->reader, CORRAL_PROC_DOMAIN_GET_XML_DESC,
                    &(CorralWireDomFlags){ fixture->prod, VIR_DOMAIN_XML_SECURE },
                    VIR_ERR_OPERATION_DENIED,
                    "operation forbidden: virDomainGetXMLDesc with secure flag");
    assert_refused (fixture->reader, CORRAL_PROC_DOMAIN_DESTROY, &dom, VIR_ERR_OPERATION_DENIED,
                    "operation forbidden: read only access prevents virDomainDestroy");
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    ADD ("readonly/changes-are-refused", test_changes_are_refused);
    ADD ("readonly/others-change-nothing", test_others_change_nothing);
    ADD ("readonly/marked-ones-do", test_marked_ones_do);
    ADD ("readonly/reading", test_reading);
    ADD ("odd-numbers", test_odd_numbers);
    return g_test_run ();
}
