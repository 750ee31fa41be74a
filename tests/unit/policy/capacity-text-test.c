/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A capacity as text: the document and its reading, Placement, OpenMetrics, the picture. argv[1]:
 * an example of the document. */
#include "policy/corral-capacity.h"
#include "tests/unit/policy/openmetrics.h"

#include "common/corral-error.h"

#include <json-glib/json-glib.h>
#include <libxml/parser.h>
#include <libxml/xpath.h>
#include <libxml/xpathInternals.h>
#include <string.h>

static const char *example;

static CorralCapacity *
parse (const char *xml, GError **error)
{
    CorralCapacity *capacity = NULL;
    guint64 generation = 0;

    if (!corral_capacity_parse (xml, strlen (xml), &capacity, &generation, error))
        return NULL;
    g_assert_cmpuint (generation, ==, 42);
    return capacity;
}

static CorralCapacity *
parse_good (const char *xml)
{
    g_autoptr (GError) error = NULL;
    CorralCapacity *capacity = parse (xml, &error);

    g_assert_no_error (error);
    return capacity;
}

/* --- the document --- */

static void
test_read (void)
{
    g_autoptr (CorralCapacity) capacity = parse_good (example);
    const CorralCapacityRow *web = &capacity->rows[3];
    const CorralCapacityPcpu *taken = &capacity->pcpus[2];
    g_autofree char *cpus = corral_cpuset_format (web->cpus);

    g_assert_cmpuint (capacity->n_rows, ==, 4);
    g_assert_cmpuint (capacity->n_pcpus, ==, 8);
    g_assert_cmpuint (capacity->window_ns, ==, 2000000000);
    g_assert_cmpuint (capacity->shape_vcpus, ==, 2);
    g_assert_cmpint (web->kind, ==, CORRAL_CAPACITY_CONTAINER);
    g_assert_cmpint (web->mode, ==, CORRAL_MODE_SHARED);
    g_assert_cmpstr (cpus, ==, "4-5");
    g_assert_cmpuint (web->allocation_ratio, ==, 4000);
    g_assert_cmpfloat_with_epsilon (web->used, 0.125, 1e-6);
    g_assert_cmpint (web->largest_dedicated, ==, -1);
    g_assert_cmpint (web->largest_shared, ==, 9);
    g_assert_cmpint (taken->use, ==, CORRAL_USE_DEDICATED);
    g_assert_cmpstr (taken->vm, ==, "db1");
    g_assert_cmpstr (taken->container, ==, "/machine/prod");
    g_assert_cmpfloat_with_epsilon (taken->busy, 1, 1e-6);
    g_assert_false (capacity->pcpus[7].place.online);
    g_assert_cmpfloat (capacity->pcpus[7].busy, <, 0);
}

static void
test_round_trip (void)
{
    g_autoptr (CorralCapacity) capacity = parse_good (example);
    g_autofree char *once = corral_capacity_xml (capacity, 42);
    g_autoptr (CorralCapacity) again = parse_good (once);
    g_autofree char *twice = corral_capacity_xml (again, 42);

    g_assert_cmpstr (once, ==, twice);
    g_assert_nonnull (strstr (once, "vm=\"db1\" vcpu=\"0\" busy=\"1.000\""));
}

/* Every other one of as many pCPUs as there can be: what SMT leaves to a container. */
static void
test_many_pcpus (void)
{
    g_autoptr (CorralCapacity) capacity = parse_good (example), again = NULL;
    CorralCpuset *cpus = capacity->rows[3].cpus;
    g_autofree char *xml = NULL;

    for (guint i = 0; i <= CORRAL_CPUSET_MAX; i += 2)
        hwloc_bitmap_set (cpus, i);
    hwloc_bitmap_clr (cpus, 5);
    xml = corral_capacity_xml (capacity, 42);
    again = parse_good (xml);
    g_assert_true (hwloc_bitmap_isequal (again->rows[3].cpus, cpus));
}

/* What a server that means no good may send: refused, with the place. */
static void
test_hostile (void)
{
    static const char *const changes[][3] = {
        { "generation='42'", "generation='-1'", "generation" },
        { "window_ns='2000000000'", "window_ns='99999999999999999999'", "window_ns" },
        { "total='7'", "total='4294967295'", "total" },
        { "total='7'", "total='1e3'", "total" },
        { "kind='host'", "kind='node'", "the host, then nodes" },
        { "kind='node' name='node0'", "kind='host' name='node0'", "the host, then nodes" },
        { "mode='shared'", "mode='open'", "mode" },
        { "used='1.250'", "used='inf'", "used" },
        { "used='1.250'", "used='nan'", "used" },
        { "used='1.250'", "used='1e30'", "used" },
        { "allocation_ratio='4.000'", "allocation_ratio='-1'", "allocation_ratio" },
        { "allocation_ratio='4.000'", "", "allocation_ratio" },
        { "cpus='4-5'", "cpus='0-99999'", "cpus" },
        { "largest_shared='9'", "largest_shared='999999'", "largest_shared" },
        { "id='7'", "id='6'", "order" },
        { "id='7'", "id='8192'", "id" },
        { "core='3'", "core='9999999'", "core" },
        { "use='free'", "use='stolen'", "use" },
        { "busy='0.125'", "busy='1.5'", "busy" },
        { "vcpu='0'", "vcpu='99999'", "vcpu" },
        { "<topology>", "<topology/><topology>", "topology" },
        { "<topology>", "<topology><more xmlns=''/>", "more" },
    };

    for (gsize i = 0; i < G_N_ELEMENTS (changes); i++) {
        g_autoptr (GString) broken = g_string_new (example);
        g_autoptr (GError) error = NULL;
        g_autoptr (CorralCapacity) capacity = NULL;

        g_assert_cmpuint (g_string_replace (broken, changes[i][0], changes[i][1], 1), ==, 1);
        capacity = parse (broken->str, &error);
        if (capacity != NULL || strstr (error->message, changes[i][2]) == NULL)
            g_test_message ("%s: %s", changes[i][1], error != NULL ? error->message : "accepted");
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_XML);
        g_assert_nonnull (strstr (error->message, changes[i][2]));
        g_assert_nonnull (strstr (error->message, "line "));
    }
}

static void
test_none (void)
{
    g_autoptr (GError) error = NULL;

    g_assert_null (parse ("<domainCapabilities><vcpu max='8'/></domainCapabilities>", &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND);
    g_clear_error (&error);
    g_assert_null (parse ("<capacity generation='42'/>", &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND);
    g_clear_error (&error);
    g_assert_null (parse ("<capacity xmlns='urn:corral:1' generation='42' window_ns='0' "
                          "shape_vcpus='4'/>",
                          &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_XML);
    g_clear_error (&error);
    g_assert_null (parse ("no XML", &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_XML);
}

/* --- Placement --- */

static JsonObject *
placement_of (const CorralCapacity *capacity)
{
    g_autofree char *text = corral_capacity_placement (capacity, "host1", 42);
    g_autoptr (GError) error = NULL;
    g_autoptr (JsonNode) node = json_from_string (text, &error);

    g_assert_no_error (error);
    return json_object_ref (json_node_get_object (node));
}

static JsonObject *
provider_at (JsonObject *document, guint index)
{
    return json_array_get_object_element (json_object_get_array_member (document,
                                                                        "resource_providers"),
                                          index);
}

static JsonObject *
inventory_of (JsonObject *provider, const char *class)
{
    return json_object_get_object_member (json_object_get_object_member (provider, "inventories"),
                                          class);
}

static void
assert_numbers (JsonObject *object, const char *const *names, const gint64 *values)
{
    for (gsize i = 0; names[i] != NULL; i++)
        g_assert_cmpint (json_object_get_int_member (object, names[i]), ==, values[i]);
}

static void
test_placement (void)
{
    static const char *const names[] = { "total",    "reserved",  "min_unit",
                                         "max_unit", "step_size", NULL };
    g_autoptr (CorralCapacity) capacity = parse_good (example);
    g_autoptr (JsonObject) document = placement_of (capacity);
    JsonObject *host = provider_at (document, 0);
    JsonObject *usages = json_object_get_object_member (host, "usages");

    g_assert_cmpint (json_object_get_int_member (document, "version"), ==, 1);
    g_assert_cmpuint (json_array_get_length (json_object_get_array_member (document,
                                                                           "resource_providers")),
                      ==, 1);
    g_assert_cmpstr (json_object_get_string_member (host, "name"), ==, "host1");
    g_assert_true (g_uuid_string_is_valid (json_object_get_string_member (host, "uuid")));
    g_assert_true (json_object_get_null_member (host, "parent_provider_uuid"));
    /* 7 online: 2 housekeeping, 1 vCPU's, 1 idle, 1 free are PCPU; 2 are VCPU */
    assert_numbers (inventory_of (host, "PCPU"), names, (const gint64[]){ 5, 3, 1, 1, 1 });
    assert_numbers (inventory_of (host, "VCPU"), names, (const gint64[]){ 2, 0, 1, 9, 1 });
    g_assert_cmpfloat (json_object_get_double_member (inventory_of (host, "VCPU"),
                                                      "allocation_ratio"),
                       ==, 4);
    g_assert_cmpint (json_object_get_int_member (usages, "PCPU"), ==, 1);
    g_assert_cmpint (json_object_get_int_member (usages, "VCPU"), ==, 3);
}

/* With two nodes the pCPUs are theirs, and each is in one total only. */
static void
test_placement_nodes (void)
{
    g_autoptr (GString) xml = g_string_new (example);
    g_autoptr (CorralCapacity) capacity = NULL;
    g_autoptr (JsonObject) document = NULL;
    JsonObject *host, *node;

    g_string_replace (xml, "<row kind='container' name='/machine/prod' mode='dedicated'",
                      "<row kind='node' name='node8'", 1);
    capacity = parse_good (xml->str);
    capacity->rows[1].largest_shared = 0;
    document = placement_of (capacity);
    host = provider_at (document, 0);
    node = provider_at (document, 1);
    g_assert_cmpuint (json_object_get_size (json_object_get_object_member (host, "inventories")),
                      ==, 0);
    g_assert_cmpstr (json_object_get_string_member (node, "name"), ==, "host1/node0");
    g_assert_cmpstr (json_object_get_string_member (node, "parent_provider_uuid"), ==,
                     json_object_get_string_member (host, "uuid"));
    g_assert_cmpstr (json_object_get_string_member (provider_at (document, 2), "name"), ==,
                     "host1/node8");
    /* none fits any more: 3 of the 8 vCPUs are used, so at most one pCPU's worth is not reserved */
    g_assert_cmpint (json_object_get_int_member (inventory_of (node, "VCPU"), "reserved"), ==, 2);
}

/* --- OpenMetrics --- */

static void
test_openmetrics (void)
{
    g_autoptr (CorralCapacity) capacity = parse_good (example);
    g_autofree char *text = NULL;
    g_autofree char *fault = NULL;

    g_free (capacity->pcpus[2].vm);
    capacity->pcpus[2].vm = g_strdup ("a\"b\\c\nd\xff");
    text = corral_capacity_openmetrics (capacity, 42);
    fault = openmetrics_fault (text);
    g_assert_cmpstr (fault, ==, NULL);
    g_assert_nonnull (strstr (text, "vm=\"a\\\"b\\\\c\\nd\xef\xbf\xbd\",vcpu=\"0\"} 1\n"));
    g_assert_nonnull (strstr (
        text, "\ncorral_capacity_pcpus{scope=\"host\",name=\"host\",use=\"dedicated\"} 1\n"));
    g_assert_nonnull (
        strstr (text, "\ncorral_capacity_used_pcpus{scope=\"node\",name=\"node0\"} 1.250\n"));
    g_assert_nonnull (strstr (text, "\ncorral_pcpu_busy_ratio{pcpu=\"0\"} 0.125\n"));
    g_assert_null (strstr (text, "corral_pcpu_busy_ratio{pcpu=\"7\"}"));
    g_assert_nonnull (strstr (text, "\ncorral_host_changes_total 42\n# EOF\n"));
}

/* The checker can tell. */
static void
test_openmetrics_faults (void)
{
    static const char *const faulty[] = {
        "",
        "# TYPE a gauge\na 1\n",
        "# TYPE a gauge\na 1\n# EOF",
        "# TYPE a gauge\na 1\n# EOF\n\n",
        "# TYPE a gauge\n\na 1\n# EOF\n",
        "# TYPE a gauge\na 1\r\n# EOF\n",
        "a 1\n# EOF\n",
        "# TYPE a counter\na 1\n# EOF\n",
        "# TYPE a counter\na_total -1\n# EOF\n",
        "# TYPE a info\na_info 2\n# EOF\n",
        "# TYPE a gauge\n# UNIT a seconds\na 1\n# EOF\n",
        "# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n# TYPE a gauge\na 2\n# EOF\n",
        "# TYPE a gauge\na{b=\"1\"} 1\na{b=\"1\"} 2\n# EOF\n",
        "# TYPE a gauge\na{b=\"1\",b=\"2\"} 1\n# EOF\n",
        "# TYPE a gauge\na{b=\"1\\x\"} 1\n# EOF\n",
        "# TYPE a gauge\na{b=\"1\"\n# EOF\n",
        "# TYPE a gauge\na{b=\"1} 1\n# EOF\n",
        "# TYPE a gauge\na{1=\"1\"} 1\n# EOF\n",
        "# TYPE a gauge\na one\n# EOF\n",
        "# TYPE a gauge\na{b=\"\xff\"} 1\n# EOF\n",
        "# TYPE a gauge\n# TYPE a gauge\na 1\n# EOF\n",
    };

    for (gsize i = 0; i < G_N_ELEMENTS (faulty); i++) {
        g_autofree char *fault = openmetrics_fault (faulty[i]);

        if (fault == NULL)
            g_test_message ("taken: %s", faulty[i]);
        g_assert_nonnull (fault);
    }
}

/* --- the picture --- */

static xmlXPathObject *
find_all (xmlXPathContext *context, const char *path)
{
    xmlXPathObject *found;

    xmlXPathRegisterNs (context, BAD_CAST "s", BAD_CAST "http://www.w3.org/2000/svg");
    found = xmlXPathEvalExpression (BAD_CAST path, context);
    g_assert_nonnull (found);
    return found;
}

static int
count_all (xmlXPathContext *context, const char *path)
{
    xmlXPathObject *found = find_all (context, path);
    int count = found->nodesetval != NULL ? found->nodesetval->nodeNr : 0;

    xmlXPathFreeObject (found);
    return count;
}

static int
number_at (xmlNode *node, const char *name)
{
    xmlChar *text = xmlGetProp (node, BAD_CAST name);
    int number;

    g_assert_nonnull (text);
    number = (int) g_ascii_strtoll ((const char *) text, NULL, 10);
    xmlFree (text);
    return number;
}

/* No pCPU's box lies outside the picture or on another one. */
static void
assert_apart (xmlXPathContext *context)
{
    xmlXPathObject *cells = find_all (context, "/s:svg/s:g/s:rect[@class='cell' or @class='none']");
    xmlNode *root = xmlDocGetRootElement (context->doc);
    xmlChar *box = xmlGetProp (root, BAD_CAST "viewBox");
    int width = 0, height = 0;

    g_assert_cmpint (sscanf ((const char *) box, "0 0 %d %d", &width, &height), ==, 2);
    xmlFree (box);
    for (int i = 0; i < cells->nodesetval->nodeNr; i++) {
        xmlNode *one = cells->nodesetval->nodeTab[i];
        int x = number_at (one, "x"), y = number_at (one, "y");
        int right = x + number_at (one, "width"), bottom = y + number_at (one, "height");

        g_assert_cmpint (right, <, width);
        g_assert_cmpint (bottom, <, height);
        for (int j = 0; j < i; j++) {
            xmlNode *other = cells->nodesetval->nodeTab[j];
            int ox = number_at (other, "x"), oy = number_at (other, "y");

            g_assert_true (ox >= right || oy >= bottom || ox + number_at (other, "width") <= x ||
                           oy + number_at (other, "height") <= y);
        }
    }
    xmlXPathFreeObject (cells);
}

static xmlDoc *
draw (const CorralCapacity *capacity, const char *title)
{
    g_autofree char *text = corral_capacity_svg (capacity, title);
    xmlDoc *document =
        xmlReadMemory (text, (int) strlen (text), NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR);

    g_assert_nonnull (document);
    return document;
}

static void
test_svg (void)
{
    g_autoptr (CorralCapacity) capacity = parse_good (example);
    xmlXPathContext *context;
    xmlDoc *document;

    g_free (capacity->pcpus[2].vm);
    capacity->pcpus[2].vm = g_strdup ("<script>alert(1)</script>&\x01\xff");
    document = draw (capacity, "a & b");
    context = xmlXPathNewContext (document);
    g_assert_cmpint (count_all (context, "//s:script | //s:image | //s:use | //@href | //@onload"),
                     ==, 0);
    g_assert_cmpint (count_all (context, "//*[contains(@style, 'url(')]"), ==, 0);
    g_assert_cmpint (count_all (context, "/s:svg/s:g"), ==, 8);
    g_assert_cmpint (count_all (context, "/s:svg/s:g/s:title[contains(., '<script>alert(1)')]"), ==,
                     1);
    g_assert_cmpint (count_all (context, "/s:svg/s:title[. = 'a & b']"), ==, 1);
    /* more than a colour: a code, and a hatching where it is not one vCPU's */
    g_assert_cmpint (count_all (context, "/s:svg/s:g/s:text[. = 'A1']"), ==, 1);
    g_assert_cmpint (count_all (context, "/s:svg/s:g/s:text[. = 'B']"), ==, 2);
    g_assert_cmpint (count_all (context, "/s:svg/s:g/s:rect[@fill = 'url(#host)']"), ==, 2);
    /* 7 are measured: a bar and its number each */
    g_assert_cmpint (count_all (context, "/s:svg/s:g/s:rect[@class = 'load']"), ==, 7);
    assert_apart (context);
    xmlXPathFreeContext (context);
    xmlFreeDoc (document);
}

/* Nodes that lie across packages, cores with one thread or eight, a thousand pCPUs. */
static void
test_svg_shapes (void)
{
    static const struct {
        guint n, threads, l3, node, package;
    } shapes[] = {
        { 1, 1, 1, 1, 1 },    { 256, 2, 16, 64, 128 },   { 96, 8, 96, 96, 96 },
        { 64, 2, 8, 32, 16 }, { 1024, 2, 32, 128, 128 },
    };

    for (gsize i = 0; i < G_N_ELEMENTS (shapes); i++) {
        g_autoptr (CorralCapacity) capacity = parse_good (example);
        xmlXPathContext *context;
        xmlDoc *document;
        g_autofree CorralCapacityPcpu *pcpus = g_new0 (CorralCapacityPcpu, shapes[i].n);
        g_autofree CorralCapacityPcpu *saved = capacity->pcpus;
        guint n_saved = capacity->n_pcpus;

        for (guint j = 0; j < shapes[i].n; j++) {
            pcpus[j].place = (CorralPcpu){ j,
                                           j / shapes[i].package,
                                           j / shapes[i].node,
                                           j / shapes[i].l3,
                                           j / shapes[i].threads,
                                           j % shapes[i].threads,
                                           0,
                                           TRUE };
            pcpus[j].busy = -1;
        }
        capacity->pcpus = pcpus;
        capacity->n_pcpus = shapes[i].n;
        document = draw (capacity, NULL);
        capacity->pcpus = g_steal_pointer (&saved);
        capacity->n_pcpus = n_saved;
        context = xmlXPathNewContext (document);
        g_assert_cmpint (count_all (context, "/s:svg/s:g"), ==, shapes[i].n);
        if (shapes[i].n <= 256)
            assert_apart (context);
        xmlXPathFreeContext (context);
        xmlFreeDoc (document);
    }
}

int
main (int argc, char **argv)
{
    g_autofree char *text = NULL;
    g_autoptr (GError) error = NULL;

    g_test_init (&argc, &argv, NULL);
    g_assert_cmpint (argc, ==, 2);
    g_file_get_contents (argv[1], &text, NULL, &error);
    g_assert_no_error (error);
    example = text;
    g_test_add_func ("/capacity-text/read", test_read);
    g_test_add_func ("/capacity-text/round-trip", test_round_trip);
    g_test_add_func ("/capacity-text/many-pcpus", test_many_pcpus);
    g_test_add_func ("/capacity-text/hostile", test_hostile);
    g_test_add_func ("/capacity-text/none", test_none);
    g_test_add_func ("/capacity-text/placement", test_placement);
    g_test_add_func ("/capacity-text/placement-nodes", test_placement_nodes);
    g_test_add_func ("/capacity-text/openmetrics", test_openmetrics);
    g_test_add_func ("/capacity-text/openmetrics-faults", test_openmetrics_faults);
    g_test_add_func ("/capacity-text/svg", test_svg);
    g_test_add_func ("/capacity-text/svg-shapes", test_svg_shapes);
    return g_test_run ();
}
