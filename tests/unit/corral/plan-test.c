/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plan, apply, explain, drift and capacity, as a user runs them, against a server that says what
 * the test wants. argv[1]: the program; argv[2]: the folder of example documents. */
#include "common/corral-cpuset.h"
#include "libvirt-driver/rpc/corral-rpc.h"
#include "tests/unit/policy/openmetrics.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <libvirt/libvirt.h>
#include <string.h>

static const char *program, *documents;

typedef struct {
    CorralRpcServer *server;
    char *folder, *socket;
    gboolean empty; /* there are no containers */
    char *plan, *explain, *drift, *capacity;
    char *applied, *defined; /* what the last SetMetadata and XMLToNative brought */
    gboolean stale;          /* the generation has changed */
} Server;

/* --- the server --- */

static CorralWireDomain
prod (void)
{
    CorralWireDomain domain = { .name = g_strdup ("prod"), .id = 1 };

    memset (&domain.uuid, 7, sizeof domain.uuid);
    return domain;
}

static gboolean
on_open (CorralRpcClient *client, gconstpointer args, gpointer ret, gpointer data, GError **error)
{
    return TRUE;
}

static gboolean
on_list (CorralRpcClient *client, gconstpointer args, gpointer ret, gpointer data, GError **error)
{
    Server *server = data;
    CorralWireListAllDomainsRet *list = ret;

    list->ret = server->empty ? 0 : 1;
    if (!server->empty) {
        list->domains.domains_val = g_new0 (CorralWireDomain, 1);
        list->domains.domains_val[0] = prod ();
        list->domains.domains_len = 1;
    }
    return TRUE;
}

static gboolean
on_lookup (CorralRpcClient *client, gconstpointer args, gpointer ret, gpointer data, GError **error)
{
    if (g_str_equal (((const CorralWireText *) args)->text, "prod")) {
        ((CorralWireDom *) ret)->dom = prod ();
        return TRUE;
    }
    g_set_error (error, CORRAL_RPC_ERROR, VIR_ERR_NO_DOMAIN, "no such container");
    return FALSE;
}

static gboolean
on_xml (CorralRpcClient *client, gconstpointer args, gpointer ret, gpointer data, GError **error)
{
    ((CorralWireText *) ret)->text =
        g_strdup ("<domain type='corral'><name>prod</name><resource><partition>/machine/prod"
                  "</partition></resource></domain>");
    return TRUE;
}

static gboolean
on_get_metadata (CorralRpcClient *client, gconstpointer args, gpointer ret, gpointer data,
                 GError **error)
{
    const CorralWireGetMetadataArgs *wanted = args;
    Server *server = data;
    const char *uri = wanted->uri != NULL ? *wanted->uri : "";
    const char *text = g_str_equal (uri, "urn:corral:plan:1")      ? server->plan
                       : g_str_equal (uri, "urn:corral:explain:1") ? server->explain
                       : g_str_equal (uri, "urn:corral:drift:1")   ? server->drift
                                                                   : NULL;

    if (text == NULL) {
        g_set_error (error, CORRAL_RPC_ERROR, VIR_ERR_NO_DOMAIN_METADATA, "no such metadata");
        return FALSE;
    }
    ((CorralWireText *) ret)->text = g_strdup (text);
    return TRUE;
}

static gboolean
on_set_metadata (CorralRpcClient *client, gconstpointer args, gpointer ret, gpointer data,
                 GError **error)
{
    const CorralWireSetMetadataArgs *wanted = args;
    Server *server = data;

    if (server->stale) {
        g_set_error (error, CORRAL_RPC_ERROR, VIR_ERR_OPERATION_INVALID, "the host is at 43");
        return FALSE;
    }
    g_assert_cmpstr (*wanted->uri, ==, "urn:corral:plan:1");
    g_free (server->applied);
    server->applied = g_strdup (*wanted->metadata);
    return TRUE;
}

static gboolean
on_to_native (CorralRpcClient *client, gconstpointer args, gpointer ret, gpointer data,
              GError **error)
{
    const CorralWireXmlToNativeArgs *wanted = args;
    Server *server = data;

    g_assert_cmpstr (wanted->format, ==, "corral-plan");
    g_free (server->defined);
    server->defined = g_strdup (wanted->xml);
    ((CorralWireText *) ret)->text = g_strdup (server->plan);
    return TRUE;
}

static gboolean
on_capabilities (CorralRpcClient *client, gconstpointer args, gpointer ret, gpointer data,
                 GError **error)
{
    ((CorralWireText *) ret)->text = g_strdup (((Server *) data)->capacity);
    return TRUE;
}

static gboolean
on_hostname (CorralRpcClient *client, gconstpointer args, gpointer ret, gpointer data,
             GError **error)
{
    ((CorralWireText *) ret)->text = g_strdup ("host1");
    return TRUE;
}

static void
map_error (const GError *error, int *ret_code, int *ret_domain, gpointer data)
{
    *ret_code = VIR_ERR_INTERNAL_ERROR;
}

static char *
read_example (const char *name)
{
    g_autofree char *path = g_build_filename (documents, name, NULL);
    g_autoptr (GError) error = NULL;
    char *text;

    g_file_get_contents (path, &text, NULL, &error);
    g_assert_no_error (error);
    return text;
}

static void
set_up (Server *server, gconstpointer data)
{
    static const CorralRpcHooks hooks = { .map_error = map_error };
    static const CorralRpcHandlerEntry entries[] = {
        { CORRAL_PROC_CONNECT_OPEN, on_open },
        { CORRAL_PROC_CONNECT_LIST_ALL_DOMAINS, on_list },
        { CORRAL_PROC_DOMAIN_LOOKUP_BY_NAME, on_lookup },
        { CORRAL_PROC_DOMAIN_GET_XML_DESC, on_xml },
        { CORRAL_PROC_DOMAIN_GET_METADATA, on_get_metadata },
        { CORRAL_PROC_DOMAIN_SET_METADATA, on_set_metadata },
        { CORRAL_PROC_CONNECT_DOMAIN_XML_TO_NATIVE, on_to_native },
        { CORRAL_PROC_CONNECT_GET_DOMAIN_CAPABILITIES, on_capabilities },
        { CORRAL_PROC_CONNECT_GET_HOSTNAME, on_hostname },
    };
    g_autoptr (GError) error = NULL;

    server->folder = g_dir_make_tmp ("corral-plan-test-XXXXXX", &error);
    g_assert_no_error (error);
    server->socket = g_build_filename (server->folder, "sock", NULL);
    server->server = corral_rpc_server_new (&hooks, server);
    corral_rpc_server_add_handlers (server->server, entries, G_N_ELEMENTS (entries), server);
    g_assert_true (corral_rpc_server_listen_path (server->server, server->socket, 0600, FALSE,
                                                  &error));
    server->plan = read_example ("plan.xml");
    server->explain = read_example ("explain.xml");
    server->drift = read_example ("drift.xml");
    server->capacity = read_example ("capacity.xml");
}

static void
tear_down (Server *server, gconstpointer data)
{
    corral_rpc_server_free (server->server);
    g_unlink (server->socket);
    g_assert_cmpint (g_rmdir (server->folder), ==, 0);
    g_free (server->folder);
    g_free (server->socket);
    g_free (server->plan);
    g_free (server->explain);
    g_free (server->drift);
    g_free (server->capacity);
    g_free (server->applied);
    g_free (server->defined);
}

/* --- the program --- */

typedef struct {
    int status;
    char *out, *err;
    gboolean done;
} Result;

static void
result_clear (Result *result)
{
    g_free (result->out);
    g_free (result->err);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Result, result_clear)

static void
on_ended (GObject *process, GAsyncResult *async, gpointer data)
{
    Result *result = data;
    g_autoptr (GError) error = NULL;

    g_subprocess_communicate_utf8_finish (G_SUBPROCESS (process), async, &result->out, &result->err,
                                          &error);
    g_assert_no_error (error);
    result->done = TRUE;
}

/* The server is in this process: its loop runs while the program does. */
static Result
run (Server *server, const char *line)
{
    g_autofree char *uri = g_strdup_printf ("corral+unix:///system?socket=%s", server->socket);
    g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
    g_auto (GStrv) words = NULL;
    g_auto (GStrv) argv = NULL;
    g_autoptr (GSubprocess) process = NULL;
    g_autoptr (GError) error = NULL;
    Result result = { 0 };

    g_strv_builder_add_many (builder, program, "-c", uri, NULL);
    g_assert_true (g_shell_parse_argv (line, NULL, &words, NULL));
    g_strv_builder_addv (builder, (const char **) words);
    argv = g_strv_builder_end (builder);
    process =
        g_subprocess_newv ((const char *const *) argv,
                           G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE, &error);
    g_assert_no_error (error);
    g_subprocess_communicate_utf8_async (process, NULL, NULL, on_ended, &result);
    while (!result.done)
        g_main_context_iteration (NULL, TRUE);
    g_assert_true (g_subprocess_get_if_exited (process));
    result.status = g_subprocess_get_exit_status (process);
    if (result.status != 0)
        g_test_message ("%s: %d: %s", line, result.status, result.err);
    return result;
}

static void
assert_says (const Result *result, int status, const char *part)
{
    if (strstr (result->out, part) == NULL)
        g_test_message ("no \"%s\" in: %s", part, result->out);
    g_assert_cmpstr (result->err, ==, "");
    g_assert_cmpint (result->status, ==, status);
    g_assert_nonnull (strstr (result->out, part));
}

static void
assert_fails (Server *server, const char *line, int status, const char *part)
{
    g_auto (Result) result = run (server, line);

    g_assert_cmpint (result.status, ==, status);
    g_assert_true (g_str_has_prefix (result.err, "error: "));
    g_assert_nonnull (strstr (result.err, part));
}

static JsonObject *
json_of (Server *server, const char *line, int status)
{
    g_auto (Result) result = run (server, line);
    g_autoptr (GError) error = NULL;
    g_autoptr (JsonNode) node = json_from_string (result.out, &error);

    g_assert_no_error (error);
    g_assert_cmpint (result.status, ==, status);
    g_assert_cmpint (json_object_get_int_member (json_node_get_object (node), "version"), ==, 1);
    return json_object_ref (json_node_get_object (node));
}

static void
replace (char **text, const char *old, const char *new)
{
    GString *changed = g_string_new (*text);

    g_assert_cmpuint (g_string_replace (changed, old, new, 0), >, 0);
    g_free (*text);
    *text = g_string_free (changed, FALSE);
}

/* --- tests --- */

static void
test_plan (Server *server, gconstpointer data)
{
    g_auto (Result) result = run (server, "plan");
    g_autoptr (JsonObject) json = json_of (server, "plan --format json", 3);
    JsonObject *vcpu =
        json_array_get_object_element (json_object_get_array_member (json, "vcpus"), 1);

    assert_says (&result, 3,
                 "Generation 42: changes, 1 running vCPUs move; 1 refused\n"
                 " ~ /machine/prod: dedicated\n"
                 "     pCPUs                 0-7 -> 2-7\n"
                 "     exclusive             none -> root\n"
                 " + /machine/new: shared\n");
    assert_says (&result, 3, "     vCPU 1                0-7 -> 3\n");
    assert_says (&result, 3, " ! VM db2 in /machine/prod: refused\n     pCPUs 2-3  ");
    assert_says (&result, 3, "node-full: too few free pCPUs in this node: 2 are missing\n");
    g_assert_null (strstr (result.out, "vCPU 0 "));
    g_assert_null (strstr (result.out, "/machine/web:"));
    g_assert_cmpint (json_object_get_int_member (json, "refused"), ==, 1);
    g_assert_cmpstr (json_object_get_string_member (vcpu, "vm"), ==, "db1");
    g_assert_cmpstr (json_object_get_string_member (vcpu, "now_cpus"), ==, "0-7");
}

static void
test_plan_fits (Server *server, gconstpointer data)
{
    g_auto (Result) empty = { 0 }, idle = { 0 };

    g_free (server->plan);
    server->plan = g_strdup ("<plan generation='7' changed='no' moves='0' refused='0'/>");
    idle = run (server, "plan");
    assert_says (&idle, 0, "Generation 7: nothing to do\n");
    server->empty = TRUE;
    empty = run (server, "plan");
    assert_says (&empty, 0, "There are no containers: nothing to do\n");
}

static void
test_plan_file (Server *server, gconstpointer data)
{
    g_autofree char *path = g_build_filename (documents, "plan.xml", NULL);
    g_autofree char *line = g_strdup_printf ("plan '%s'", path);
    g_auto (Result) result = run (server, line);

    assert_says (&result, 3, "Generation 42");
    g_assert_cmpstr (server->defined, ==, server->plan);
    assert_fails (server, "plan /nonexistent", 1, "/nonexistent");
}

static void
test_apply (Server *server, gconstpointer data)
{
    g_auto (Result) result = run (server, "apply");
    g_auto (Result) given = { 0 };

    assert_says (&result, 3, "Applied\n");
    g_assert_cmpstr (server->applied, ==, "<plan generation='42'/>");
    replace (&server->plan, "refused='1'", "refused='0'");
    given = run (server, "apply --generation 41");
    assert_says (&given, 0, "Applied\n");
    g_assert_cmpstr (server->applied, ==, "<plan generation='41'/>");
    server->stale = TRUE;
    assert_fails (server, "apply --generation 42", 1, "the host is at 43");
    assert_fails (server, "apply --generation 0", 2, "--generation");
    assert_fails (server, "-r apply", 1, "read");
}

static void
test_explain (Server *server, gconstpointer data)
{
    g_auto (Result) container = run (server, "explain prod");
    g_auto (Result) path = run (server, "explain /machine/prod");
    g_auto (Result) vm = run (server, "explain db2");
    g_autoptr (JsonObject) json = json_of (server, "explain db1 --format json", 0);

    assert_says (&container, 0, "/machine/prod: dedicated, pCPUs 2-7, nodes 0\n     pCPUs 0-1  ");
    assert_says (&container, 0, "VM db2 in /machine/prod: refused\n");
    g_assert_cmpstr (container.out, ==, path.out);
    assert_says (&vm, 0, "limit: the limit of vCPUs is reached: 2 of 2 are taken\n");
    g_assert_null (strstr (vm.out, "db1"));
    g_assert_cmpuint (json_array_get_length (json_object_get_array_member (json, "vms")), ==, 1);
    g_assert_cmpuint (json_array_get_length (json_object_get_array_member (json, "reasons")), ==,
                      1);
    assert_fails (server, "explain nobody", 1, "nobody");
    assert_fails (server, "explain --vm prod", 1, "prod");
}

static void
test_many_pcpus (Server *server, gconstpointer data)
{
    g_autoptr (GString) set = g_string_new ("8");
    g_autofree char *attribute = NULL;
    g_auto (Result) result = { 0 };

    for (int cpu = 10; cpu < CORRAL_CPUSET_MAX; cpu += 2)
        g_string_append_printf (set, ",%d", cpu);
    attribute = g_strdup_printf ("cpus='%s'", set->str);
    replace (&server->explain, "cpus='8-11'", attribute);
    result = run (server, "explain prod");
    assert_says (&result, 0, set->str);
}

static void
test_drift (Server *server, gconstpointer data)
{
    g_auto (Result) all = run (server, "drift");
    g_auto (Result) over = { 0 };
    g_autoptr (JsonObject) json = json_of (server, "drift prod --format json", 3);

    assert_says (&all, 3, " Since                  State      Repairs   What\n");
    assert_says (&all, 3, "its plan is 8-11");
    g_assert_cmpuint (json_array_get_length (json_object_get_array_member (json, "items")), ==, 2);
    replace (&server->drift, "state='open'", "state='gone'");
    replace (&server->drift, "state='waiting'", "state='repaired'");
    over = run (server, "drift");
    assert_says (&over, 0, "gone");
}

static void
test_capacity (Server *server, gconstpointer data)
{
    g_auto (Result) table = run (server, "capacity");
    g_auto (Result) csv = run (server, "capacity --format csv");
    g_auto (Result) metrics = run (server, "capacity --format openmetrics");
    g_autofree char *fault = openmetrics_fault (metrics.out);
    g_autoptr (JsonObject) json = json_of (server, "capacity --format json", 0);
    g_autoptr (JsonObject) placement = json_of (server, "capacity --format placement", 0);
    JsonArray *providers = json_object_get_array_member (placement, "resource_providers");

    assert_says (&table, 0, " /machine/web    shared");
    assert_says (&csv, 0, "name,kind,mode,total,");
    assert_says (&csv, 0,
                 "\r\n/machine/web,container,shared,2,0,0,0,2,0,0,0.125,3,0,4,,,9,4-5\r\n");
    g_assert_cmpstr (fault, ==, NULL);
    g_assert_cmpuint (json_array_get_length (json_object_get_array_member (json, "rows")), ==, 4);
    g_assert_cmpuint (json_array_get_length (json_object_get_array_member (json, "pcpus")), ==, 8);
    g_assert_cmpstr (json_object_get_string_member (json_array_get_object_element (providers, 0),
                                                    "name"),
                     ==, "host1");
    assert_fails (server, "capacity --format yaml", 2, "openmetrics");
    assert_fails (server, "plan --format placement", 2, "placement");
    g_free (server->capacity);
    server->capacity = g_strdup ("<domainCapabilities/>");
    assert_fails (server, "capacity", 1, "capacity");
}

static void
test_svg (Server *server, gconstpointer data)
{
    g_autofree char *file = g_build_filename (server->folder, "picture.svg", NULL);
    g_autofree char *line = g_strdup_printf ("capacity --svg '%s'", file);
    g_auto (Result) result = { 0 }, out = run (server, "capacity --svg -");
    g_autofree char *text = NULL;
    g_autoptr (GError) error = NULL;

    g_assert_true (g_file_set_contents (file, "what was there", -1, &error));
    result = run (server, line);
    g_assert_cmpint (result.status, ==, 0);
    g_assert_cmpstr (result.out, ==, "");
    g_assert_true (g_file_get_contents (file, &text, NULL, &error));
    g_unlink (file);
    g_assert_cmpstr (text, ==, out.out);
    g_assert_nonnull (strstr (text, "<svg "));
    g_assert_nonnull (strstr (text, "host1: who has which pCPU"));
    assert_fails (server, "capacity --svg /nonexistent/x.svg", 1, "/nonexistent/x.svg");
}

/* A server that means no good. */
static void
test_hostile (Server *server, gconstpointer data)
{
    static const char *const plans[] = {
        "no XML",
        "<!DOCTYPE plan [<!ENTITY a 'aaaa'>]><plan generation='1'>&a;</plan>",
        "<explain generation='1'/>",
        "<plan/>",
        "<plan generation='-1'/>",
        "<plan generation='1' refused='many'/>",
        "<plan generation='1'><container path='/a'/></plan>",
        "<plan generation='1'><vm name='a' path='/a' running='yes' changed='perhaps' moves='0' "
        "mems=''/></plan>",
        "<plan generation='1'><vm name='a' path='/a' running='yes' changed='no' moves='0' "
        "mems=''><vcpu id='0' cpus='0-99999999'/></vm></plan>",
        "<plan generation='1'><refused vm='a' path='/a'><reason rule='r' cpus='x' nodes=''/>"
        "</refused></plan>",
    };
    g_auto (Result) result = { 0 };

    for (gsize i = 0; i < G_N_ELEMENTS (plans); i++) {
        g_free (server->plan);
        server->plan = g_strdup (plans[i]);
        assert_fails (server, "plan", 1, "cannot read corrald's <plan>");
    }
    /* a name that would move the cursor is written out */
    g_free (server->plan);
    server->plan = g_strdup ("<plan generation='1' changed='no' moves='0' refused='1'><refused "
                             "vm='a&#x9b;31m' path='/a'><reason rule='r' cpus='1' nodes=''>x&#10;y"
                             "</reason></refused></plan>");
    result = run (server, "plan");
    assert_says (&result, 3, " ! VM a\\x9b31m in /a: refused\n");
    assert_says (&result, 3, "r: x\\x0ay\n");
}

#define ADD(name, function) g_test_add ("/plan/" name, Server, NULL, set_up, function, tear_down)

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_assert_cmpint (argc, ==, 3);
    program = argv[1];
    documents = argv[2];
    ADD ("plan", test_plan);
    ADD ("fits", test_plan_fits);
    ADD ("file", test_plan_file);
    ADD ("apply", test_apply);
    ADD ("explain", test_explain);
    ADD ("many-pcpus", test_many_pcpus);
    ADD ("drift", test_drift);
    ADD ("capacity", test_capacity);
    ADD ("svg", test_svg);
    ADD ("hostile", test_hostile);
    return g_test_run ();
}
