/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What containers and VMs wish of the planner: <corral:placement> and its companions. */
#include "common/corral-error.h"
#include "policy/corral-definition.h"

#include <string.h>

#define NS " xmlns:corral='urn:corral:1'"
#define DOMAIN(inner) "<domain type='corral'" NS ">\n<name>a</name>\n" inner "</domain>"
#define VM(inner) "<domain type='kvm'><name>v</name>\n" inner "</domain>"
#define WISH(attributes) "<metadata><corral:placement" NS " " attributes "/></metadata>"

static CorralDefinition *
parse (const char *xml)
{
    g_autoptr (GError) error = NULL;
    CorralDefinition *definition = NULL;
    gboolean ok = corral_definition_parse (xml, strlen (xml), &definition, &error);

    g_assert_no_error (error);
    g_assert_true (ok);
    return definition;
}

/* A document, what it says as values, and what of it a dump writes. */
static const struct {
    const char *xml;
    gboolean planned;
    CorralPlacement placement;
    guint said;
    const char *has;   /* (nullable) */
    const char *lacks; /* (nullable) */
} good[] = {
    { DOMAIN (""), FALSE, CORRAL_PLACEMENT_INIT, 0, "<vcpu placement='static'>1</vcpu>",
      "corral:" },
    { DOMAIN ("<vcpu placement='auto'/>"),
      TRUE,
      { .mode = CORRAL_MODE_SHARED, .overcommit = 1000 },
      0,
      "<vcpu placement='auto'>1</vcpu>",
      "corral:" },
    { DOMAIN ("<vcpu placement='auto' cpuset='0-3'>7</vcpu>"),
      TRUE,
      { .mode = CORRAL_MODE_SHARED, .overcommit = 1000 },
      0,
      "<vcpu placement='auto' cpuset='0-3'>1</vcpu>",
      "corral:" },
    { DOMAIN ("<corral:placement/>"),
      TRUE,
      { .mode = CORRAL_MODE_SHARED, .overcommit = 1000 },
      0,
      "<vcpu placement='auto'>1</vcpu>",
      "corral:" },
    { DOMAIN ("<vcpu cpuset='1'/><corral:placement mode='dedicated'/>"),
      TRUE,
      { .mode = CORRAL_MODE_DEDICATED, .overcommit = 1000 },
      CORRAL_SAID_MODE,
      "  <corral:placement xmlns:corral='urn:corral:1' mode='dedicated'/>\n",
      "static" },
    { DOMAIN ("<vcpu placement='auto'/><corral:placement mode='dedicated' smt='isolate' "
              "numa='strict' emulator='housekeeping' overcommit='1.0' exclusive='isolated' "
              "drift='repair'/><corral:reserve vcpus='16'/>\n<corral:limit vcpus=' 32 '/>"),
      TRUE,
      { .mode = CORRAL_MODE_DEDICATED,
        .smt = CORRAL_SMT_ISOLATE,
        .numa = CORRAL_NUMA_STRICT,
        .exclusive = CORRAL_EXCLUSIVE_ISOLATED,
        .repair = TRUE,
        .overcommit = 1000,
        .reserve_vcpus = 16,
        .limit_vcpus = 32 },
      CORRAL_SAID_MODE | CORRAL_SAID_SMT | CORRAL_SAID_NUMA | CORRAL_SAID_EMULATOR |
          CORRAL_SAID_OVERCOMMIT | CORRAL_SAID_EXCLUSIVE | CORRAL_SAID_DRIFT,
      "  <corral:placement xmlns:corral='urn:corral:1' mode='dedicated' smt='isolate' "
      "numa='strict' emulator='housekeeping' overcommit='1.0' exclusive='isolated' "
      "drift='repair'/>\n"
      "  <corral:reserve xmlns:corral='urn:corral:1' vcpus='16'/>\n"
      "  <corral:limit xmlns:corral='urn:corral:1' vcpus='32'/>\n",
      "share" },
    { DOMAIN ("<corral:placement overcommit=' 2 ' smt='require' numa='any' emulator='container' "
              "exclusive='none' drift='report'/>"),
      TRUE,
      { .mode = CORRAL_MODE_SHARED,
        .smt = CORRAL_SMT_REQUIRE,
        .numa = CORRAL_NUMA_ANY,
        .emulator = CORRAL_EMULATOR_CONTAINER,
        .overcommit = 2000 },
      CORRAL_SAID_SMT | CORRAL_SAID_NUMA | CORRAL_SAID_EMULATOR | CORRAL_SAID_OVERCOMMIT |
          CORRAL_SAID_EXCLUSIVE | CORRAL_SAID_DRIFT,
      "smt='require' numa='any' emulator='container' overcommit='2.0' exclusive='none' "
      "drift='report'",
      "mode=" },
    { DOMAIN ("<corral:placement mode='shared' overcommit='1.250' smt='avoid'/>"),
      TRUE,
      { .mode = CORRAL_MODE_SHARED, .smt = CORRAL_SMT_AVOID, .overcommit = 1250 },
      CORRAL_SAID_MODE | CORRAL_SAID_SMT | CORRAL_SAID_OVERCOMMIT,
      "smt='avoid' overcommit='1.25'",
      NULL },
    { DOMAIN ("<corral:placement smt='prefer' numa='prefer' overcommit='0.105'/>"),
      TRUE,
      { .mode = CORRAL_MODE_SHARED, .overcommit = 105 },
      CORRAL_SAID_SMT | CORRAL_SAID_NUMA | CORRAL_SAID_OVERCOMMIT,
      "overcommit='0.105'",
      NULL },
    { DOMAIN ("<corral:placement overcommit='100'/><corral:share percent='1'/>"),
      TRUE,
      { .mode = CORRAL_MODE_SHARED,
        .overcommit = 100000,
        .share_percent = 1,
        .helpers_percent = CORRAL_HELPERS_DEFAULT },
      CORRAL_SAID_OVERCOMMIT,
      "<corral:share xmlns:corral='urn:corral:1' percent='1'/>",
      "helpers" },
    { DOMAIN ("<vcpu placement='auto'/><corral:share percent='100' helpers='1000'/>"
              "<cputune><shares>512</shares></cputune>"),
      TRUE,
      { .mode = CORRAL_MODE_SHARED,
        .overcommit = 1000,
        .share_percent = 100,
        .helpers_percent = 1000 },
      CORRAL_SAID_HELPERS,
      "percent='100' helpers='1000'",
      "placement xmlns" },
    { DOMAIN ("<corral:placement mode='housekeeping' emulator='container' drift='repair'/>"
              "<corral:limit vcpus='16384'/>"),
      TRUE,
      { .mode = CORRAL_MODE_HOUSEKEEPING,
        .emulator = CORRAL_EMULATOR_CONTAINER,
        .repair = TRUE,
        .overcommit = 1000,
        .limit_vcpus = 16384 },
      CORRAL_SAID_MODE | CORRAL_SAID_EMULATOR | CORRAL_SAID_DRIFT,
      "mode='housekeeping' emulator='container' drift='repair'",
      NULL },
    { DOMAIN ("<vcpu placement='auto'/><corral:reserve vcpus='8'/><corral:limit vcpus='8'/>"),
      TRUE,
      { .mode = CORRAL_MODE_SHARED, .overcommit = 1000, .reserve_vcpus = 8, .limit_vcpus = 8 },
      0,
      "<corral:reserve xmlns:corral='urn:corral:1' vcpus='8'/>",
      "corral:placement" },
};

static void
assert_placement (const CorralPlacement *a, const CorralPlacement *b)
{
    g_assert_cmpint (a->mode, ==, b->mode);
    g_assert_cmpint (a->smt, ==, b->smt);
    g_assert_cmpint (a->numa, ==, b->numa);
    g_assert_cmpint (a->emulator, ==, b->emulator);
    g_assert_cmpint (a->exclusive, ==, b->exclusive);
    g_assert_cmpint (a->repair, ==, b->repair);
    g_assert_cmpuint (a->overcommit, ==, b->overcommit);
    g_assert_cmpuint (a->reserve_vcpus, ==, b->reserve_vcpus);
    g_assert_cmpuint (a->limit_vcpus, ==, b->limit_vcpus);
    g_assert_cmpuint (a->share_percent, ==, b->share_percent);
    g_assert_cmpuint (a->helpers_percent, ==, b->helpers_percent);
}

static void
test_good (void)
{
    for (gsize i = 0; i < G_N_ELEMENTS (good); i++) {
        g_autoptr (CorralDefinition) first = parse (good[i].xml);
        g_autoptr (CorralDefinition) copy = corral_definition_copy (first);
        g_autofree char *text = corral_definition_format (copy, NULL);
        g_autoptr (CorralDefinition) second = parse (text);
        g_autofree char *again = corral_definition_format (second, NULL);

        g_test_message ("%s", text);
        g_assert_cmpint (second->planned, ==, good[i].planned);
        assert_placement (&first->placement, &good[i].placement);
        assert_placement (&second->placement, &good[i].placement);
        g_assert_cmpuint (first->placement_said, ==, good[i].said);
        g_assert_cmpuint (second->placement_said, ==, good[i].said);
        if (good[i].has != NULL)
            g_assert_nonnull (strstr (text, good[i].has));
        if (good[i].lacks != NULL)
            g_assert_null (strstr (text, good[i].lacks));
        g_assert_cmpstr (text, ==, again);
    }
}

/* A running container's cap follows from the share. Its dump can be defined again all the same. */
static void
test_share_in_force (void)
{
    g_autoptr (CorralDefinition) live =
        parse (DOMAIN ("<vcpu placement='auto'/><corral:share percent='50' helpers='20'/>"));
    CorralDefinitionLive how = { .id = 4, .vcpus = 3 };
    g_autofree char *text = NULL;
    g_autoptr (CorralDefinition) again = NULL;

    live->tune.quota_usec = 170000;
    live->tune.period_usec = 100000;
    text = corral_definition_format (live, &how);
    again = parse (text);
    g_assert_cmpint (again->tune.quota_usec, ==, -1);
    g_assert_cmpuint (again->placement.share_percent, ==, 50);
}

/* Document, and all of its message after "cannot read the container definition: line ". */
static const struct {
    const char *xml;
    const char *message;
} bad[] = {
    { DOMAIN ("<corral:placement mode='exclusive'/>"),
      "3: <corral:placement>: expected in \"mode\" 'dedicated', 'shared' or 'housekeeping', not "
      "\"exclusive\"" },
    { DOMAIN ("\n<corral:placement smt=''/>"),
      "4: <corral:placement>: expected in \"smt\" 'prefer', 'isolate', 'require' or 'avoid', not "
      "\"\"" },
    { DOMAIN ("<corral:placement numa='Strict'/>"),
      "3: <corral:placement>: expected in \"numa\" 'prefer', 'strict' or 'any', not \"Strict\"" },
    { DOMAIN ("<corral:placement emulator='host'/>"),
      "3: <corral:placement>: expected in \"emulator\" 'housekeeping' or 'container', not "
      "\"host\"" },
    { DOMAIN ("<corral:placement exclusive='yes'/>"),
      "3: <corral:placement>: expected in \"exclusive\" 'none', 'root' or 'isolated', not "
      "\"yes\"" },
    { DOMAIN ("<corral:placement drift='fix'/>"),
      "3: <corral:placement>: expected in \"drift\" 'report' or 'repair', not \"fix\"" },
    { DOMAIN ("<corral:placement color='red'/>"),
      "3: <corral:placement>: attribute \"color\" is unknown; expected mode, smt, numa, emulator, "
      "overcommit, exclusive, drift" },
    { DOMAIN ("<corral:placement corral:mode='shared'/>"),
      "3: <corral:placement>: attribute \"mode\" is unknown; expected mode, smt, numa, emulator, "
      "overcommit, exclusive, drift" },
    { DOMAIN ("<corral:placement>shared</corral:placement>"),
      "3: <corral:placement>: expected attributes only, not text" },
    { DOMAIN ("<corral:placement>\n<corral:reserve/></corral:placement>"),
      "4: <corral:placement>: expected attributes only, not <corral:reserve>" },
    { DOMAIN ("<corral:placement/>\n<corral:placement/>"),
      "4: <corral:placement>: expected only one, this is the second" },
    { DOMAIN ("<placement mode='shared'/>"),
      "3: <placement> is unknown in <domain>; expected one of: name, uuid, title, description, "
      "metadata, vcpu, numatune, cputune, corral:burst, corral:placement, corral:reserve, "
      "corral:limit, corral:share, resource, devices" },

    { DOMAIN ("<corral:reserve/>"),
      "3: <corral:reserve>: expected in \"vcpus\" a number of vCPUs from 1 to 16384, not \"\"" },
    { DOMAIN ("<corral:reserve vcpus='0'/>"),
      "3: <corral:reserve>: expected in \"vcpus\" a number of vCPUs from 1 to 16384, not \"0\"" },
    { DOMAIN ("<corral:limit vcpus='16385'/>"),
      "3: <corral:limit>: expected in \"vcpus\" a number of vCPUs from 1 to 16384, not "
      "\"16385\"" },
    { DOMAIN ("<corral:limit vcpus='-1'/>"),
      "3: <corral:limit>: expected in \"vcpus\" a number of vCPUs from 1 to 16384, not \"-1\"" },
    { DOMAIN ("<corral:limit cpus='1'/>"),
      "3: <corral:limit>: attribute \"cpus\" is unknown; expected vcpus" },
    { DOMAIN ("<corral:share percent='101'/>"),
      "3: <corral:share>: expected in \"percent\" percents of a pCPU for each vCPU, from 1 to 100, "
      "not \"101\"" },
    { DOMAIN ("<corral:share percent='50%'/>"),
      "3: <corral:share>: expected in \"percent\" percents of a pCPU for each vCPU, from 1 to 100, "
      "not \"50%\"" },
    { DOMAIN ("<corral:share percent='50' helpers='0'/>"),
      "3: <corral:share>: expected in \"helpers\" percents of a pCPU for each VM's helpers, from 1 "
      "to 1000, not \"0\"" },
    { DOMAIN ("<corral:share helpers='5'/>"),
      "3: <corral:share>: expected in \"percent\" percents of a pCPU for each vCPU, from 1 to 100, "
      "not \"\"" },

    /* Contradictions. */
    { DOMAIN ("<vcpu placement='static'/>\n<corral:placement/>"),
      "3: <vcpu>: expected placement='auto' beside <corral:placement>, not \"static\"" },
    { DOMAIN ("<vcpu cpuset='0'/>\n<corral:reserve vcpus='1'/>"),
      "4: <corral:reserve>: expected a <corral:placement> beside it, or placement='auto' in "
      "<vcpu>" },
    { DOMAIN ("<corral:limit vcpus='1'/>"),
      "3: <corral:limit>: expected a <corral:placement> beside it, or placement='auto' in <vcpu>" },
    { DOMAIN ("<corral:share percent='1'/>"),
      "3: <corral:share>: expected a <corral:placement> beside it, or placement='auto' in <vcpu>" },
    { DOMAIN ("<corral:placement mode='dedicated' overcommit='2.0'/>"),
      "3: <corral:placement>: expected mode='shared' beside \"overcommit\", not \"dedicated\", "
      "where each vCPU has a pCPU of its own" },
    { DOMAIN ("<corral:placement mode='shared' exclusive='root'/>"),
      "3: <corral:placement>: expected mode='dedicated' beside \"exclusive\", not \"shared\"" },
    { DOMAIN ("<corral:placement exclusive='isolated'/>"),
      "3: <corral:placement>: expected mode='dedicated' beside \"exclusive\", not \"shared\"" },
    { DOMAIN ("<corral:placement mode='housekeeping' exclusive='root'/>"),
      "3: <corral:placement>: expected mode='dedicated' beside \"exclusive\", not "
      "\"housekeeping\"" },
    { DOMAIN ("<corral:placement mode='housekeeping' numa='strict'/>"),
      "3: <corral:placement>: expected mode='dedicated' or 'shared' beside \"numa\", not "
      "\"housekeeping\", which takes the pCPUs that are left to the host" },
    { DOMAIN ("<corral:placement mode='housekeeping' overcommit='1.0'/>"),
      "3: <corral:placement>: expected mode='dedicated' or 'shared' beside \"overcommit\", not "
      "\"housekeeping\", which takes the pCPUs that are left to the host" },
    { DOMAIN ("<corral:placement mode='housekeeping'/>\n<corral:reserve vcpus='1'/>"),
      "4: <corral:reserve>: expected none beside mode='housekeeping', whose pCPUs are the "
      "host's" },
    { DOMAIN ("<corral:placement/>\n<corral:limit vcpus='7'/>\n<corral:reserve vcpus='8'/>"),
      "5: <corral:reserve>: expected at most the 7 vCPUs of <corral:limit>, not 8" },
    { DOMAIN ("<corral:placement overcommit='1.5'/>\n<corral:share percent='67'/>"),
      "4: <corral:share>: expected in \"percent\" at most 100 divided by the overcommit, 66, not "
      "67, which pCPUs could not give" },
    { DOMAIN ("<corral:placement/><cputune><global_quota>-1</global_quota></cputune>\n"
              "<corral:share percent='50'/>"),
      "4: <corral:share>: expected no <global_quota> beside it: the container's cap is what its "
      "VMs are promised together" },
    { DOMAIN ("<corral:placement/><cputune><period>2000</period></cputune>"
              "<corral:share percent='50'/>"),
      "3: <corral:share>: expected no <global_period> beside it: the container's cap is what its "
      "VMs are promised together" },
    { DOMAIN ("<corral:placement/><corral:burst>0</corral:burst><corral:share percent='50'/>"),
      "3: <corral:share>: expected no <corral:burst> beside it: the container's cap is what its "
      "VMs are promised together" },
};

static void
test_bad (void)
{
    for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
        g_autofree char *expected =
            g_strconcat ("cannot read the container definition: line ", bad[i].message, NULL);
        g_autoptr (CorralDefinition) definition = NULL;
        g_autoptr (GError) error = NULL;

        g_assert_false (corral_definition_parse (bad[i].xml, strlen (bad[i].xml), &definition,
                                                 &error));
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_XML);
        g_assert_cmpstr (error->message, ==, expected);
    }
}

static void
test_overcommit (void)
{
    static const char *const wrong[] = { "",      ".",     "1.",    ".5",
                                         "+1",    "-1",    "1e1",   "0",
                                         "0.099", "100.1", "1000",  "1.0000",
                                         "1,5",   "0x1",   "1.5.1", "99999999999999999999" };

    for (gsize i = 0; i < G_N_ELEMENTS (wrong); i++) {
        g_autofree char *xml =
            g_strdup_printf (DOMAIN ("<corral:placement overcommit='%s'/>"), wrong[i]);
        g_autofree char *expected = g_strdup_printf (
            "cannot read the container definition: line 3: <corral:placement>: expected in "
            "\"overcommit\" a number from 0.1 to 100.0 with at most three decimals, not \"%s\"",
            wrong[i]);
        g_autoptr (CorralDefinition) definition = NULL;
        g_autoptr (GError) error = NULL;

        g_assert_false (corral_definition_parse (xml, strlen (xml), &definition, &error));
        g_assert_cmpstr (error != NULL ? error->message : NULL, ==, expected);
    }
}

/* --- VMs --- */

static const struct {
    const char *xml;
    guint wishes;
    CorralPlacement wish;
    guint n_vcpus, max_vcpus;
    const char *message; /* (nullable): refused, with this after "cannot read the domain's document:
                            line " */
} vms[] = {
    { VM (""), 0, CORRAL_PLACEMENT_INIT, 1, 1, NULL },
    { VM ("<vcpu> 8 </vcpu>"), 0, CORRAL_PLACEMENT_INIT, 8, 8, NULL },
    { VM ("<vcpu placement='static' cpuset='0-3' current='2'>16384</vcpu><metadata/>"), 0,
      CORRAL_PLACEMENT_INIT, 2, 16384, NULL },
    { VM ("<metadata><a xmlns='u:1'><placement xmlns='urn:corral:1' mode='x'/></a>text"
          "<placement mode='y'/></metadata><corral:placement" NS " color='red'/>"),
      0, CORRAL_PLACEMENT_INIT, 1, 1, NULL },
    { VM (WISH ("")), 0, CORRAL_PLACEMENT_INIT, 1, 1, NULL },
    { VM (WISH ("smt='isolate'")),
      CORRAL_WISH_SMT,
      { .smt = CORRAL_SMT_ISOLATE, .overcommit = 1000 },
      1,
      1,
      NULL },
    { VM ("<metadata><placement xmlns='urn:corral:1' emulator='container' numa='prefer'/>"
          "<b xmlns='u:2'/></metadata>"),
      CORRAL_WISH_NUMA | CORRAL_WISH_EMULATOR,
      { .emulator = CORRAL_EMULATOR_CONTAINER, .overcommit = 1000 },
      1,
      1,
      NULL },

    { VM (WISH ("mode='dedicated'")), 0, CORRAL_PLACEMENT_INIT, 0, 0,
      "2: <corral:placement>: attribute \"mode\" is unknown; expected smt, numa, emulator" },
    { VM ("\n" WISH ("numa='some'")), 0, CORRAL_PLACEMENT_INIT, 0, 0,
      "3: <corral:placement>: expected in \"numa\" 'prefer', 'strict' or 'any', not \"some\"" },
    { VM ("<metadata>\n<c:limit xmlns:c='urn:corral:1' vcpus='1'/></metadata>"), 0,
      CORRAL_PLACEMENT_INIT, 0, 0,
      "3: <corral:limit> is unknown in a VM's <metadata>; expected <corral:placement>" },
    { VM ("<metadata><p:placement xmlns:p='urn:corral:1'/>\n<p:placement xmlns:p='urn:corral:1'/>"
          "</metadata>"),
      0, CORRAL_PLACEMENT_INIT, 0, 0,
      "3: <corral:placement>: expected only one, this is the second" },
    { VM ("<metadata><p:placement xmlns:p='urn:corral:1'>x</p:placement></metadata>"), 0,
      CORRAL_PLACEMENT_INIT, 0, 0, "2: <corral:placement>: expected attributes only, not text" },
    { VM ("<vcpu/>"), 0, CORRAL_PLACEMENT_INIT, 0, 0,
      "2: <vcpu>: expected a number of vCPUs from 1 to 16384, not \"\"" },
    { VM ("<vcpu>0</vcpu>"), 0, CORRAL_PLACEMENT_INIT, 0, 0,
      "2: <vcpu>: expected a number of vCPUs from 1 to 16384, not \"0\"" },
    { VM ("<vcpu current='x'>2</vcpu>"), 0, CORRAL_PLACEMENT_INIT, 0, 0,
      "2: <vcpu>: expected in \"current\" a number of vCPUs from 1 to 16384, not \"x\"" },
    { VM ("<vcpu current='3'>2</vcpu>"), 0, CORRAL_PLACEMENT_INIT, 0, 0,
      "2: <vcpu>: expected in \"current\" at most 2, not 3" },
    { "<network/>", 0, CORRAL_PLACEMENT_INIT, 0, 0, "1: <network>: expected <domain>" },
    { "<!DOCTYPE domain><domain/>", 0, CORRAL_PLACEMENT_INIT, 0, 0,
      "1: <!DOCTYPE>: expected a document without a document type" },
};

static void
test_vm (void)
{
    for (gsize i = 0; i < G_N_ELEMENTS (vms); i++) {
        CorralPlacement wish;
        guint wishes = 0, n_vcpus = 0, max_vcpus = 0;
        g_autofree char *expected = NULL;
        g_autoptr (GError) error = NULL;
        gboolean ok = corral_vm_wishes_parse (vms[i].xml, strlen (vms[i].xml), &wish, &wishes,
                                              &n_vcpus, &max_vcpus, &error);

        g_test_message ("%s", vms[i].xml);
        if (vms[i].message == NULL) {
            g_assert_no_error (error);
            g_assert_true (ok);
            g_assert_cmpuint (wishes, ==, vms[i].wishes);
            assert_placement (&wish, &vms[i].wish);
            g_assert_cmpuint (n_vcpus, ==, vms[i].n_vcpus);
            g_assert_cmpuint (max_vcpus, ==, vms[i].max_vcpus);
            continue;
        }
        expected = g_strconcat ("cannot read the domain's document: line ", vms[i].message, NULL);
        g_assert_false (ok);
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_XML);
        g_assert_cmpstr (error->message, ==, expected);
    }
}

/* A VM's document may hold as much as libvirt takes; only what is Corral's is validated. */
static void
test_vm_crowded (void)
{
    g_autoptr (GString) xml = g_string_new (NULL);
    CorralPlacement wish;
    guint wishes = 0;
    g_autoptr (GError) error = NULL;
    gint64 start;
    double seconds;

    for (guint i = 0; i < 200000; i++)
        g_string_append (xml, "<disk/>");
    g_string_prepend (xml, "<domain><vcpu>2</vcpu>" WISH ("numa='any'") "<devices>");
    g_string_append (xml, "</devices></domain>");
    start = g_get_monotonic_time ();
    g_assert_true (corral_vm_wishes_parse (xml->str, xml->len, &wish, &wishes, NULL, NULL, &error));
    seconds = (double) (g_get_monotonic_time () - start) / G_USEC_PER_SEC;
    g_test_message ("200000 elements took %.2f s", seconds);
    g_assert_no_error (error);
    g_assert_cmpuint (wishes, ==, CORRAL_WISH_NUMA);
    g_assert_cmpfloat (seconds, <, 30);
}

/* --- encodings --- */

/* For an encoding that libxml2 itself does not know it asks iconv, which loads a converter, code
 * that has had holes, into a daemon that is root. */
static void
test_encodings (void)
{
    static const struct {
        const char *xml;
        gsize length;
        const char *message; /* (nullable): good */
    } documents[] = {
        { "<?xml version='1.0'?>" DOMAIN (""), 0, NULL },
        { "<?xml version='1.0' encoding='utf-8' standalone='yes'?>" DOMAIN (""), 0, NULL },
        { "\xef\xbb\xbf<?xml version='1.0' encoding = \"US-ASCII\" ?>" DOMAIN (""), 0, NULL },
        { "<?xml version='1.0' encoding='ISO-2022-CN-EXT'?>" DOMAIN (""), 0,
          "<?xml?>: expected encoding='UTF-8', not \"ISO-2022-CN-EXT\"" },
        { "<?xml version='1.0'\n encoding\n=\t\"ISO-8859-1\"?>" DOMAIN ("<title>\xc3\xa9</title>"),
          0, "<?xml?>: expected encoding='UTF-8', not \"ISO-8859-1\"" },
        { "\xef\xbb\xbf<?xml version='1.0' encoding='EUC-KR'?>" DOMAIN (""), 0,
          "<?xml?>: expected encoding='UTF-8', not \"EUC-KR\"" },
        { "<?xml version='1.0' encoding='ISO-8859-1'?>\n" DOMAIN ("<title>\xe9</title>"), 0,
          "line 4: expected UTF-8, not the byte 0xE9" },
        /* UTF-16, UCS-4 and EBCDIC, which libxml2 takes from the first bytes */
        { "\xff\xfe<\0?\0x\0m\0l\0 \0", 14, "line 1: expected UTF-8, not the byte 0xFF" },
        { "<\0?\0x\0m\0l\0 \0", 12, "line 1: expected UTF-8, not the byte 0x00" },
        { "\0\0\0<\0\0\0?\0\0\0x", 12, "line 1: expected UTF-8, not the byte 0x00" },
        { "\x4c\x6f\xa7\x94\x93\x40", 6, "line 1: expected UTF-8, not the byte 0xA7" },
        /* no declaration, or a broken one: refused by libxml2, in its words */
        { "\n<?xml version='1.0' encoding='EUC-KR'?>" DOMAIN (""), 0, "" },
        { "<?xml version='1.0' encoding='EUC-KR", 0, "" },
        { "<?xml version='1.0' encoding", 0, "" },
        { "<?xml version='encoding=\"UTF-8\"' encoding='EUC-KR'?>" DOMAIN (""), 0, "" },
    };
    g_autofree char *maps = NULL;
    g_auto (GStrv) lines = NULL;

    for (gsize i = 0; i < G_N_ELEMENTS (documents); i++) {
        gsize length = documents[i].length > 0 ? documents[i].length : strlen (documents[i].xml);
        g_autofree char *expected =
            g_strconcat ("cannot read the container definition: ", documents[i].message, NULL);
        g_autoptr (CorralDefinition) definition = NULL;
        g_autoptr (GError) error = NULL;
        gboolean ok = corral_definition_parse (documents[i].xml, length, &definition, &error);

        g_test_message ("%" G_GSIZE_FORMAT ": %s", i, error != NULL ? error->message : "good");
        g_assert_cmpint (ok, ==, documents[i].message == NULL);
        if (!ok)
            g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_XML);
        if (!ok && *documents[i].message != '\0')
            g_assert_cmpstr (error->message, ==, expected);
    }
    g_assert_true (g_file_get_contents ("/proc/self/maps", &maps, NULL, NULL));
    g_assert_nonnull (strstr (maps, "libxml2"));
    lines = g_strsplit (maps, "\n", -1);
    for (gsize i = 0; lines[i] != NULL; i++)
        g_assert_false (strstr (lines[i], "/gconv/") != NULL && g_str_has_suffix (lines[i], ".so"));
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_test_add_func ("/policy/wishes/good", test_good);
    g_test_add_func ("/policy/wishes/share-in-force", test_share_in_force);
    g_test_add_func ("/policy/wishes/bad", test_bad);
    g_test_add_func ("/policy/wishes/overcommit", test_overcommit);
    g_test_add_func ("/policy/wishes/vm", test_vm);
    g_test_add_func ("/policy/wishes/vm-crowded", test_vm_crowded);
    g_test_add_func ("/policy/wishes/encodings", test_encodings);
    return g_test_run ();
}
