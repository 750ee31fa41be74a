/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plan, apply, explain, drift. */
#include "libvirt-driver/corral/corral-cli-container.h"
#include "libvirt-driver/corral/corral-cli-plan-text.h"
#include "libvirt-driver/corral/corral-cli-plan-xml.h"
#include "libvirt-driver/corral/corral-cli-verbs.h"

#include "common/corral-error.h"
#include "libvirt-driver/client/corral-client-error.h"

#include <string.h>

#define PLAN_URI "urn:corral:plan:1"
#define EXPLAIN_URI "urn:corral:explain:1"
#define DRIFT_URI "urn:corral:drift:1"
#define PLAN_FORMAT "corral-plan"

static const CorralCliColumn plan_fields[] = {
    { "generation", NULL, CORRAL_CLI_KIND_COUNT },
    { "changed", NULL, CORRAL_CLI_KIND_BOOLEAN },
    { "moves", NULL, CORRAL_CLI_KIND_COUNT },
    { "refused", NULL, CORRAL_CLI_KIND_COUNT },
    { NULL },
};

static const CorralCliColumn explain_fields[] = {
    { "generation", NULL, CORRAL_CLI_KIND_COUNT },
    { NULL },
};

static const CorralCliColumn container_columns[] = {
    { "path", NULL, CORRAL_CLI_KIND_TEXT },
    { "name", NULL, CORRAL_CLI_KIND_TEXT },
    { "mode", NULL, CORRAL_CLI_KIND_TEXT },
    { "changed", NULL, CORRAL_CLI_KIND_BOOLEAN },
    { "refused", NULL, CORRAL_CLI_KIND_BOOLEAN },
    { "cpus", NULL, CORRAL_CLI_KIND_TEXT },
    { "own_cpus", NULL, CORRAL_CLI_KIND_TEXT },
    { "mems", NULL, CORRAL_CLI_KIND_TEXT },
    { "quota_usec", NULL, CORRAL_CLI_KIND_COUNT },
    { "exclusive", NULL, CORRAL_CLI_KIND_TEXT },
    { "now_cpus", NULL, CORRAL_CLI_KIND_TEXT },
    { "now_mems", NULL, CORRAL_CLI_KIND_TEXT },
    { "now_quota_usec", NULL, CORRAL_CLI_KIND_COUNT },
    { "now_exclusive", NULL, CORRAL_CLI_KIND_TEXT },
    { NULL },
};

static const CorralCliColumn vm_columns[] = {
    { "name", NULL, CORRAL_CLI_KIND_TEXT },
    { "container", NULL, CORRAL_CLI_KIND_TEXT },
    { "running", NULL, CORRAL_CLI_KIND_BOOLEAN },
    { "changed", NULL, CORRAL_CLI_KIND_BOOLEAN },
    { "refused", NULL, CORRAL_CLI_KIND_BOOLEAN },
    { "moves", NULL, CORRAL_CLI_KIND_COUNT },
    { "mems", NULL, CORRAL_CLI_KIND_TEXT },
    { "helpers_cpus", NULL, CORRAL_CLI_KIND_TEXT },
    { "helpers_quota_usec", NULL, CORRAL_CLI_KIND_COUNT },
    { "helpers_now_cpus", NULL, CORRAL_CLI_KIND_TEXT },
    { NULL },
};

static const CorralCliColumn vcpu_columns[] = {
    { "vm", NULL, CORRAL_CLI_KIND_TEXT },
    { "vcpu", NULL, CORRAL_CLI_KIND_COUNT },
    { "cpus", NULL, CORRAL_CLI_KIND_TEXT },
    { "now_cpus", NULL, CORRAL_CLI_KIND_TEXT },
    { NULL },
};

static const CorralCliColumn reason_columns[] = {
    { "container", NULL, CORRAL_CLI_KIND_TEXT },
    { "vm", NULL, CORRAL_CLI_KIND_TEXT },
    { "rule", NULL, CORRAL_CLI_KIND_TEXT },
    { "cpus", NULL, CORRAL_CLI_KIND_TEXT },
    { "nodes", NULL, CORRAL_CLI_KIND_TEXT },
    { "text", NULL, CORRAL_CLI_KIND_TEXT },
    { NULL },
};

static const CorralCliTable plan_tables[] = {
    { "containers", NULL, container_columns },
    { "vms", NULL, vm_columns },
    { "vcpus", NULL, vcpu_columns },
    { "reasons", NULL, reason_columns },
    { NULL },
};

/* --- documents --- */

/* Any container tells of the whole host. %NULL without an error: there is none. */
static gboolean
any_container (CorralCli *cli, virDomain **ret_domain, GError **error)
{
    g_auto (CorralClientDomains) domains = NULL;

    *ret_domain = NULL;
    if (!corral_cli_connect (cli, error))
        return FALSE;
    if (virConnectListAllDomains (cli->conn, &domains, 0) < 0) {
        corral_client_set_error (error, "cannot list containers");
        return FALSE;
    }
    if (domains[0] != NULL) {
        virDomainRef (domains[0]);
        *ret_domain = domains[0];
    }
    return TRUE;
}

static JsonObject *
read_document (virDomain *domain, const char *uri, const char *root, GError **error)
{
    char *text = virDomainGetMetadata (domain, VIR_DOMAIN_METADATA_ELEMENT, uri, 0);
    JsonObject *document;

    if (text == NULL) {
        corral_client_set_error (error, "cannot read the %s of container \"%s\"", root,
                                 virDomainGetName (domain));
        return NULL;
    }
    document = corral_cli_plan_parse (root, text, error);
    free (text);
    return document;
}

static JsonObject *
read_host_document (CorralCli *cli, const char *uri, const char *root, GError **error)
{
    g_autoptr (virDomain) domain = NULL;

    if (!any_container (cli, &domain, error))
        return NULL;
    return domain != NULL ? read_document (domain, uri, root, error) : corral_cli_plan_empty (root);
}

/* What the plan would be if @file were defined. */
static JsonObject *
read_plan_with (CorralCli *cli, const char *file, GError **error)
{
    g_autofree char *xml = NULL;
    JsonObject *document;
    char *text;

    if (!corral_cli_read_document (file, &xml, error) || !corral_cli_connect (cli, error))
        return NULL;
    text = virConnectDomainXMLToNative (cli->conn, PLAN_FORMAT, xml, 0);
    if (text == NULL) {
        corral_client_set_error (error, "cannot plan with \"%s\"", file);
        return NULL;
    }
    document = corral_cli_plan_parse ("plan", text, error);
    free (text);
    return document;
}

/* @text: what people read; (transfer full) */
static gboolean
print (JsonObject *document, const CorralCliColumn *fields, const CorralCliArgs *args, char *text,
       GError **error)
{
    CorralCliLayout layout = { fields, plan_tables };
    g_autofree char *for_people = text;
    g_autofree char *for_programs = NULL;

    if (corral_cli_args_format (args) == CORRAL_CLI_FORMAT_TABLE)
        return corral_cli_print (for_people, error);
    for_programs = corral_cli_output_format (&layout, document, corral_cli_args_format (args));
    return corral_cli_print (for_programs, error);
}

static void
judge (CorralCli *cli, JsonObject *plan)
{
    if (json_object_get_int_member_with_default (plan, "refused", 0) > 0)
        cli->result = CORRAL_CLI_POLICY;
}

/* --- plan and apply --- */

gboolean
corral_cli_verb_plan (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    const char *file = corral_cli_args_operand (args, 0);
    g_autoptr (JsonObject) document = file != NULL
                                          ? read_plan_with (cli, file, error)
                                          : read_host_document (cli, PLAN_URI, "plan", error);

    if (document == NULL)
        return FALSE;
    judge (cli, document);
    return print (document, plan_fields, args, corral_cli_plan_text (document), error);
}

static gboolean
apply (virDomain *domain, gint64 generation, GError **error)
{
    g_autofree char *xml =
        g_strdup_printf ("<plan generation='%" G_GINT64_FORMAT "'/>", generation);

    if (virDomainSetMetadata (domain, VIR_DOMAIN_METADATA_ELEMENT, xml, "corral", PLAN_URI,
                              VIR_DOMAIN_AFFECT_LIVE) == 0)
        return TRUE;
    corral_client_set_error (error, "cannot apply the plan of generation %" G_GINT64_FORMAT,
                             generation);
    return FALSE;
}

/* The plan as it was before: what has been done. */
gboolean
corral_cli_verb_apply (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    g_autoptr (virDomain) domain = NULL;
    g_autoptr (JsonObject) document = NULL;
    g_autofree char *text = NULL;
    gint64 generation = 0;

    if (!corral_cli_args_number (args, "generation", 1, G_MAXINT64, &generation, error) ||
        !any_container (cli, &domain, error))
        return FALSE;
    document = domain != NULL ? read_document (domain, PLAN_URI, "plan", error)
                              : corral_cli_plan_empty ("plan");
    if (document == NULL)
        return FALSE;
    if (domain != NULL) {
        if (generation == 0)
            generation = json_object_get_int_member (document, "generation");
        if (!apply (domain, generation, error))
            return FALSE;
    }
    judge (cli, document);
    text = corral_cli_plan_text (document);
    return print (document, plan_fields, args,
                  g_strconcat (text, domain != NULL ? "Applied\n" : "", NULL), error);
}

/* --- explain --- */

static gboolean
has_vm (JsonObject *document, const char *name)
{
    JsonArray *vms = json_object_get_array_member (document, "vms");

    for (guint i = 0; i < json_array_get_length (vms); i++) {
        if (g_strcmp0 (json_object_get_string_member (json_array_get_object_element (vms, i),
                                                      "name"),
                       name) == 0)
            return TRUE;
    }
    return FALSE;
}

/* Only what is about the VM, and the container that it is in. */
static void
keep_vm (JsonObject *document, const char *name)
{
    static const struct {
        const char *key, *member;
    } tables[] = { { "vms", "name" }, { "vcpus", "vm" }, { "reasons", "vm" } };
    const char *path = NULL;
    JsonArray *containers = json_object_get_array_member (document, "containers");

    for (gsize i = 0; i < G_N_ELEMENTS (tables); i++) {
        JsonArray *rows = json_object_get_array_member (document, tables[i].key);

        for (guint j = json_array_get_length (rows); j > 0; j--) {
            JsonObject *row = json_array_get_object_element (rows, j - 1);

            if (g_strcmp0 (json_object_get_string_member_with_default (row, tables[i].member, NULL),
                           name) != 0)
                json_array_remove_element (rows, j - 1);
            else if (i == 0)
                path = json_object_get_string_member (row, "container");
        }
    }
    for (guint j = json_array_get_length (containers); j > 0; j--) {
        if (g_strcmp0 (json_object_get_string_member (json_array_get_object_element (containers,
                                                                                     j - 1),
                                                      "path"),
                       path) != 0)
            json_array_remove_element (containers, j - 1);
    }
}

/* The first container that knows of the VM; one that is not planned has no explanation. */
static JsonObject *
explain_vm (CorralCli *cli, const char *name, GError **error)
{
    g_auto (CorralClientDomains) domains = NULL;

    if (virConnectListAllDomains (cli->conn, &domains, 0) < 0) {
        corral_client_set_error (error, "cannot list containers");
        return NULL;
    }
    for (gsize i = 0; domains[i] != NULL; i++) {
        g_autoptr (JsonObject) document = read_document (domains[i], EXPLAIN_URI, "explain", NULL);

        if (document != NULL && has_vm (document, name)) {
            keep_vm (document, name);
            return g_steal_pointer (&document);
        }
    }
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND,
                 "cannot find a container, or a VM in a planned one, named \"%s\"", name);
    return NULL;
}

/* A container by its path. (nullable) */
static virDomain *
find_path (CorralCli *cli, const char *path)
{
    g_auto (CorralClientDomains) domains = NULL;

    if (*path != '/' || virConnectListAllDomains (cli->conn, &domains, 0) < 0)
        return NULL;
    for (gsize i = 0; domains[i] != NULL; i++) {
        char *text = virDomainGetXMLDesc (domains[i], 0);
        g_autoptr (CorralCliXml) xml = text != NULL ? corral_cli_xml_parse (text, NULL) : NULL;

        free (text);
        if (xml != NULL && g_strcmp0 (xml->partition, path) == 0) {
            virDomainRef (domains[i]);
            return domains[i];
        }
    }
    return NULL;
}

gboolean
corral_cli_verb_explain (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    const char *name = corral_cli_args_operand (args, 0);
    g_autoptr (virDomain) domain = NULL;
    g_autoptr (JsonObject) document = NULL;

    if (!corral_cli_connect (cli, error))
        return FALSE;
    if (!corral_cli_args_flag (args, "vm"))
        domain = *name == '/' ? find_path (cli, name) : corral_cli_domain_lookup (cli, name, NULL);
    document = domain != NULL ? read_document (domain, EXPLAIN_URI, "explain", error)
                              : explain_vm (cli, name, error);
    if (document == NULL)
        return FALSE;
    return print (document, explain_fields, args,
                  corral_cli_explain_text (document, domain != NULL ? NULL : name), error);
}

/* --- drift --- */

static gboolean
lies_within (const char *path, const char *outer)
{
    gsize length = strlen (outer);

    return strncmp (path, outer, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

static void
keep_items (JsonArray *items, const char *path)
{
    for (guint i = json_array_get_length (items); i > 0; i--) {
        JsonObject *item = json_array_get_object_element (items, i - 1);

        if (!lies_within (json_object_get_string_member (item, "container"), path))
            json_array_remove_element (items, i - 1);
    }
}

/* What is not over. */
static gboolean
is_adrift (JsonArray *items)
{
    static const char *const over[] = { "repaired", "gone", NULL };

    for (guint i = 0; i < json_array_get_length (items); i++) {
        if (!g_strv_contains (over,
                              json_object_get_string_member (json_array_get_object_element (items,
                                                                                            i),
                                                             "state")))
            return TRUE;
    }
    return FALSE;
}

static gboolean
read_path (CorralCli *cli, const char *name, char **ret_path, GError **error)
{
    g_autoptr (virDomain) domain = corral_cli_domain_lookup (cli, name, error);
    g_autoptr (CorralCliXml) xml = NULL;
    char *text;

    if (domain == NULL)
        return FALSE;
    text = virDomainGetXMLDesc (domain, 0);
    if (text == NULL) {
        corral_client_set_error (error, "cannot read the XML of container \"%s\"", name);
        return FALSE;
    }
    xml = corral_cli_xml_parse (text, error);
    free (text);
    if (xml == NULL)
        return FALSE;
    *ret_path = g_strdup (xml->partition != NULL ? xml->partition : "/");
    return TRUE;
}

gboolean
corral_cli_verb_drift (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    static const CorralCliColumn fields[] = { { "generation", NULL, CORRAL_CLI_KIND_COUNT },
                                              { NULL } };
    static const CorralCliColumn columns[] = {
        { "since", "Since", CORRAL_CLI_KIND_TEXT },      { "state", "State", CORRAL_CLI_KIND_TEXT },
        { "repairs", "Repairs", CORRAL_CLI_KIND_COUNT }, { "text", "What", CORRAL_CLI_KIND_TEXT },
        { "until", NULL, CORRAL_CLI_KIND_TEXT },         { "what", NULL, CORRAL_CLI_KIND_TEXT },
        { "container", NULL, CORRAL_CLI_KIND_TEXT },     { "vm", NULL, CORRAL_CLI_KIND_TEXT },
        { "vcpu", NULL, CORRAL_CLI_KIND_COUNT },         { "planned", NULL, CORRAL_CLI_KIND_TEXT },
        { "found", NULL, CORRAL_CLI_KIND_TEXT },         { NULL },
    };
    static const CorralCliTable tables[] = { { "items", NULL, columns }, { NULL } };
    const char *name = corral_cli_args_operand (args, 0);
    CorralCliFormat format = corral_cli_args_format (args);
    CorralCliLayout layout = { format == CORRAL_CLI_FORMAT_JSON ? fields : NULL, tables };
    g_autoptr (JsonObject) document = NULL;
    g_autofree char *path = NULL, *text = NULL;
    JsonArray *items;

    if (name != NULL && !read_path (cli, name, &path, error))
        return FALSE;
    document = read_host_document (cli, DRIFT_URI, "drift", error);
    if (document == NULL)
        return FALSE;
    items = json_object_get_array_member (document, "items");
    if (path != NULL)
        keep_items (items, path);
    if (is_adrift (items))
        cli->result = CORRAL_CLI_POLICY;
    text = corral_cli_output_format (&layout, document, format);
    return corral_cli_print (text, error);
}
