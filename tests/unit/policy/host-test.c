/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host's own wishes: /etc/corral/host.xml. */
#include "common/corral-error.h"
#include "policy/corral-host.h"
#include "policy/corral-xml.h"

#include <string.h>

#define HOST(inner) "<host xmlns='urn:corral:1'>\n" inner "</host>"
#define DEFAULTS                                                                                   \
    "  <placement smt='prefer' numa='prefer' emulator='housekeeping' overcommit='1.0' "            \
    "exclusive='none' drift='report'/>\n"

/* A document, and the whole of what it means. */
static const struct {
    const char *xml;
    const char *canonical;
} good[] = {
    { HOST (""), HOST ("  <housekeeping cores='1' per='host'/>\n" DEFAULTS) "\n" },
    { "<?xml version='1.0'?><!-- c --><c:host xmlns:c='urn:corral:1'>"
      "<c:reserve cpuset=' 8-10,^9 '/></c:host>",
      HOST ("  <housekeeping cores='1' per='host'/>\n  <reserve cpuset='8,10'/>\n" DEFAULTS) "\n" },
    { HOST ("<placement drift='repair' overcommit='4' smt='isolate' numa='any' "
            "emulator='container' exclusive='root'/><housekeeping cpuset='0-1'/>"
            "<reserve cpuset='8191'/>"),
      HOST ("  <housekeeping cpuset='0-1'/>\n  <reserve cpuset='8191'/>\n"
            "  <placement smt='isolate' numa='any' emulator='container' overcommit='4.0' "
            "exclusive='root' drift='repair'/>\n") "\n" },
    { HOST ("<housekeeping cores='2' per='node'/>"),
      HOST ("  <housekeeping cores='2' per='node'/>\n" DEFAULTS) "\n" },
    { HOST ("<housekeeping cores='8192' per='package'/><placement/>"),
      HOST ("  <housekeeping cores='8192' per='package'/>\n" DEFAULTS) "\n" },
    { HOST ("<housekeeping cores='0'/>"),
      HOST ("  <housekeeping cores='0' per='host'/>\n" DEFAULTS) "\n" },
};

static CorralHost *
parse (const char *xml)
{
    g_autoptr (GError) error = NULL;
    CorralHost *host = NULL;
    gboolean ok = corral_host_parse (xml, strlen (xml), &host, &error);

    g_assert_no_error (error);
    g_assert_true (ok);
    return host;
}

static void
test_good (void)
{
    g_autoptr (CorralHost) none = corral_host_new ();
    g_autofree char *unset = corral_host_format (none);

    g_assert_cmpstr (unset, ==, good[0].canonical);
    g_assert_cmpint (none->defaults.mode, ==, CORRAL_MODE_NONE);
    for (gsize i = 0; i < G_N_ELEMENTS (good); i++) {
        g_autoptr (CorralHost) first = parse (good[i].xml);
        g_autofree char *text = corral_host_format (first);
        g_autoptr (CorralHost) second = parse (text);
        g_autofree char *again = corral_host_format (second);

        g_assert_cmpstr (text, ==, good[i].canonical);
        g_assert_cmpstr (again, ==, text);
    }
}

/* Document, and all of its message after "cannot read the host's settings: ". */
static const struct {
    const char *xml;
    const char *message;
} bad[] = {
    { "", "it is empty" },
    { "<host/>", "line 1: <host>: expected <host xmlns='urn:corral:1'>" },
    { "<domain xmlns='urn:corral:1'/>", "line 1: <domain>: expected <host xmlns='urn:corral:1'>" },
    { "<host xmlns='urn:corral:1' name='x'/>",
      "line 1: <host>: expected no attributes, not \"name\"" },
    { HOST ("text"), "line 1: <host>: expected elements only, not text" },
    { HOST ("<reserved cpuset='1'/>"),
      "line 2: <reserved> is unknown in <host>; expected one of: housekeeping, reserve, "
      "placement" },
    { "<c:host xmlns:c='urn:corral:1'>\n\n<reserve cpuset='1'/></c:host>",
      "line 3: <reserve> is unknown in <host>; expected one of: housekeeping, reserve, "
      "placement" },
    { HOST ("<reserve cpuset='1'/>\n<reserve cpuset='2'/>"),
      "line 3: <reserve>: expected only one, this is the second" },
    { HOST ("<housekeeping/>"),
      "line 2: <housekeeping>: expected either \"cpuset\" or \"cores\", not neither" },
    { HOST ("<housekeeping cpuset='1' cores='1'/>"),
      "line 2: <housekeeping>: expected either \"cpuset\" or \"cores\", not both" },
    { HOST ("<housekeeping cpuset='1' per='node'/>"),
      "line 2: <housekeeping>: expected \"per\" only beside \"cores\"" },
    { HOST ("<housekeeping per='node'/>"),
      "line 2: <housekeeping>: expected either \"cpuset\" or \"cores\", not neither" },
    { HOST ("<housekeeping cores='1' per='socket'/>"),
      "line 2: <housekeeping>: expected in \"per\" 'host', 'package' or 'node', not \"socket\"" },
    { HOST ("<housekeeping cores='8193'/>"),
      "line 2: <housekeeping>: expected in \"cores\" a number of cores from 0 to 8192, not "
      "\"8193\"" },
    { HOST ("<housekeeping cpuset='1,'/>"),
      "line 2: <housekeeping>: expected in \"cpuset\" a list of pCPUs such as 0-3,8 (up to 8191), "
      "not \"1,\"" },
    { HOST ("<housekeeping cores='1'>x</housekeeping>"),
      "line 2: <housekeeping>: expected attributes only, not text" },
    { HOST ("<reserve/>"),
      "line 2: <reserve>: expected in \"cpuset\" a list of pCPUs such as 0-3,8 (up to 8191), not "
      "\"\"" },
    { HOST ("<reserve cpuset='1'>\n<reserve/></reserve>"),
      "line 3: <reserve>: expected attributes only, not <reserve>" },
    { HOST ("<reserve cpuset='1' cores='2'/>"),
      "line 2: <reserve>: attribute \"cores\" is unknown; expected cpuset" },
    { HOST ("<housekeeping cpuset='0-3'/>\n<reserve cpuset='2-8'/>"),
      "line 3: <reserve>: expected other pCPUs than in <housekeeping>; 2-3 is in both" },
    { HOST ("<placement mode='shared'/>"),
      "line 2: <placement>: attribute \"mode\" is unknown; expected smt, numa, emulator, "
      "overcommit, exclusive, drift" },
    { HOST ("<placement smt='never'/>"),
      "line 2: <placement>: expected in \"smt\" 'prefer', 'isolate', 'require' or 'avoid', not "
      "\"never\"" },
    { HOST ("<placement overcommit='0'/>"),
      "line 2: <placement>: expected in \"overcommit\" a number from 0.1 to 100.0 with at most "
      "three decimals, not \"0\"" },
    { "<!DOCTYPE host SYSTEM 'file:///etc/passwd'>\n" HOST (""),
      "line 1: <!DOCTYPE>: expected a document without a document type" },
    { HOST ("<reserve cpuset='&e;'/>"), "line 2: Entity 'e' not defined" },
    { "<?xml version='1.0' encoding='EUC-KR'?>" HOST (""),
      "<?xml?>: expected encoding='UTF-8', not \"EUC-KR\"" },
};

static void
assert_refused (const char *xml, gsize length, const char *message)
{
    g_autofree char *expected = g_strconcat ("cannot read the host's settings: ", message, NULL);
    g_autoptr (GError) error = NULL;
    CorralHost *host = NULL;

    g_assert_false (corral_host_parse (xml, length, &host, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_XML);
    g_assert_cmpstr (error->message, ==, expected);
    g_assert_null (host);
}

static void
test_bad (void)
{
    for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
        assert_refused (bad[i].xml, strlen (bad[i].xml), bad[i].message);
}

static void
test_size (void)
{
    static const char head[] = "<host xmlns='urn:corral:1'>", tail[] = "</host>";
    g_autofree char *xml = g_strnfill (CORRAL_HOST_XML_MAX + 1, ' ');
    g_autoptr (GString) longest = g_string_new (HOST ("<reserve cpuset='8191"));
    g_autoptr (CorralHost) host = NULL;
    g_autoptr (GError) error = NULL;

    memcpy (xml, head, strlen (head));
    memcpy (xml + CORRAL_HOST_XML_MAX - strlen (tail), tail, strlen (tail));
    g_assert_true (corral_host_parse (xml, CORRAL_HOST_XML_MAX, &host, &error));
    assert_refused (xml, CORRAL_HOST_XML_MAX + 1, "expected at most 262144 bytes");
    g_clear_pointer (&host, corral_host_free);

    /* Every second pCPU there may be. */
    g_string_assign (longest, "<host xmlns='urn:corral:1'><reserve cpuset='0");
    for (guint i = 2; i <= CORRAL_CPUSET_MAX; i += 2)
        g_string_append_printf (longest, ",%u", i);
    g_string_append (longest, "'/></host>");
    host = parse (longest->str);
    g_assert_cmpint (hwloc_bitmap_weight (host->reserve), ==, 4096);
}

/* The schema refuses things on its own, too. */
static void
test_schema (void)
{
    static const char *const wrong[] = {
        "<host/>",
        "<host xmlns='urn:corral:1' a='1'/>",
        HOST ("<x/>"),
        HOST ("<reserve/>"),
        HOST ("<reserve cpuset='a'/>"),
        HOST ("<reserve cpuset='1'/><reserve cpuset='2'/>"),
        HOST ("<housekeeping/>"),
        HOST ("<housekeeping cpuset='1' cores='1'/>"),
        HOST ("<housekeeping cpuset='1' per='node'/>"),
        HOST ("<housekeeping cores='9000'/>"),
        HOST ("<placement mode='shared'/>"),
        HOST ("<placement overcommit='101'/>"),
        HOST ("<placement smt='x'/>"),
        HOST ("<placement>x</placement>"),
    };

    for (gsize i = 0; i < G_N_ELEMENTS (wrong); i++) {
        g_auto (CorralXmlReader) reader = { NULL };

        g_test_message ("%s", wrong[i]);
        g_assert_true (corral_xml_reader_init (&reader, "it", wrong[i], strlen (wrong[i]),
                                               CORRAL_HOST_XML_MAX, 0));
        g_assert_false (corral_xml_validate (&reader, CORRAL_XML_HOST));
        g_assert_error (reader.error, CORRAL_ERROR, CORRAL_ERROR_XML);
    }
}

/* --- defaults --- */

static void
test_complete (void)
{
    g_autoptr (CorralHost) host =
        parse (HOST ("<placement smt='avoid' numa='strict' emulator='container' overcommit='4.0' "
                     "exclusive='root' drift='repair'/>"));
    CorralPlacement none = CORRAL_PLACEMENT_INIT;
    CorralPlacement shared = { .mode = CORRAL_MODE_SHARED, .overcommit = 1000 };
    CorralPlacement dedicated = { .mode = CORRAL_MODE_DEDICATED, .overcommit = 1000 };
    CorralPlacement own = shared;
    CorralPlacement promised = shared;

    corral_host_complete (host, &none, 0);
    g_assert_cmpint (none.smt, ==, CORRAL_SMT_PREFER);

    corral_host_complete (host, &shared, 0);
    g_assert_cmpint (shared.smt, ==, CORRAL_SMT_AVOID);
    g_assert_cmpint (shared.numa, ==, CORRAL_NUMA_STRICT);
    g_assert_cmpint (shared.emulator, ==, CORRAL_EMULATOR_CONTAINER);
    g_assert_true (shared.repair);
    g_assert_cmpuint (shared.overcommit, ==, 4000);
    g_assert_cmpint (shared.exclusive, ==, CORRAL_EXCLUSIVE_NONE);

    corral_host_complete (host, &dedicated, CORRAL_SAID_MODE);
    g_assert_cmpuint (dedicated.overcommit, ==, 1000);
    g_assert_cmpint (dedicated.exclusive, ==, CORRAL_EXCLUSIVE_ROOT);

    corral_host_complete (host, &own,
                          CORRAL_SAID_SMT | CORRAL_SAID_NUMA | CORRAL_SAID_EMULATOR |
                              CORRAL_SAID_OVERCOMMIT | CORRAL_SAID_DRIFT);
    g_assert_cmpint (own.smt, ==, CORRAL_SMT_PREFER);
    g_assert_cmpint (own.numa, ==, CORRAL_NUMA_PREFER);
    g_assert_cmpint (own.emulator, ==, CORRAL_EMULATOR_HOUSEKEEPING);
    g_assert_false (own.repair);
    g_assert_cmpuint (own.overcommit, ==, 1000);

    /* Half a pCPU for each vCPU: two of them on a pCPU, whatever the host's default. */
    promised.share_percent = 50;
    corral_host_complete (host, &promised, 0);
    g_assert_cmpuint (promised.overcommit, ==, 2000);
}

/* --- housekeeping --- */

/* Two packages with two nodes each, two cores in a node, two threads in a core; threads as Linux
 * numbers them, second threads last. */
static CorralPcpu cpus[16];

static CorralTopology
make_topology (const char *online, CorralCpuset **ret_online)
{
    for (guint i = 0; i < G_N_ELEMENTS (cpus); i++) {
        const guint core = i % 8;

        cpus[i] = (CorralPcpu){ .number = i,
                                .package = core / 4,
                                .node = core / 2,
                                .l3 = core / 4,
                                .core = core,
                                .thread = i / 8 };
    }
    g_assert_true (corral_cpuset_parse (online, ret_online, NULL));
    return (CorralTopology){ .cpus = cpus,
                             .n_cpus = G_N_ELEMENTS (cpus),
                             .n_packages = 2,
                             .n_nodes = 4,
                             .n_l3s = 2,
                             .n_cores = 8,
                             .online = *ret_online };
}

static void
test_housekeeping (void)
{
    static const struct {
        const char *inner;
        const char *online;
        const char *expected;
    } cases[] = {
        { "", "0-15", "0,8" },
        { "<housekeeping cores='0'/>", "0-15", "" },
        { "<housekeeping cores='3'/>", "0-15", "0-2,8-10" },
        { "<housekeeping cores='1' per='package'/>", "0-15", "0,4,8,12" },
        { "<housekeeping cores='1' per='node'/>", "0-15", "0,2,4,6,8,10,12,14" },
        { "<housekeeping cores='9' per='node'/>", "0-15", "0-15" },
        { "<housekeeping cpuset='3,11,4000'/>", "0-15", "3,11" },
        { "<housekeeping cpuset='3,11'/>", "0-9,12-15", "3" },
        { "<housekeeping cpuset='3'/>", "0-2", "" },
        /* The first core is offline, then half of it; and reserved, then half of it. */
        { "", "1-7,9-15", "1,9" },
        { "", "1-15", "1,9" },
        { "", "0-7,9-15", "0" },
        { "<reserve cpuset='0,8'/>", "0-15", "1,9" },
        { "<housekeeping cores='1' per='package'/><reserve cpuset='8'/>", "0-15", "0,4,12" },
    };

    for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
        g_autoptr (CorralCpuset) online = NULL;
        CorralTopology topology = make_topology (cases[i].online, &online);
        g_autofree char *xml = g_strdup_printf (HOST ("%s"), cases[i].inner);
        g_autoptr (CorralHost) host = parse (xml);
        g_autoptr (CorralCpuset) set = corral_host_housekeeping (host, &topology);
        g_autofree char *list = corral_cpuset_format (set);

        g_test_message ("%s of %s", xml, cases[i].online);
        g_assert_cmpstr (list, ==, cases[i].expected);
    }
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_test_add_func ("/policy/host/good", test_good);
    g_test_add_func ("/policy/host/bad", test_bad);
    g_test_add_func ("/policy/host/size", test_size);
    g_test_add_func ("/policy/host/schema", test_schema);
    g_test_add_func ("/policy/host/complete", test_complete);
    g_test_add_func ("/policy/host/housekeeping", test_housekeeping);
    return g_test_run ();
}
