/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/corral/corral-cli-plan-xml.h"

#include "common/corral-cpuset.h"
#include "common/corral-error.h"
#include "policy/corral-definition.h"
#include "policy/corral-xml.h"

#include <string.h>

/* Of a name, a word or a set, or of a reason with a set in it. */
#define TEXT_MAX (4096 + CORRAL_CPUSET_LIST_MAX)
/* Of VMs, vCPUs and reasons, all together. */
#define ELEMENTS_MAX 200000

typedef enum {
    KIND_TEXT,
    KIND_SET,    /* of pCPUs or nodes */
    KIND_COUNT,  /* from 0 up */
    KIND_QUOTA,  /* from -1 up */
    KIND_YES_NO, /* a boolean */
} Kind;

/* One attribute and the member that it becomes. */
typedef struct {
    const char *attribute, *key;
    Kind kind;
    gboolean optional;
} Field;

typedef struct {
    CorralXmlReader *reader;
    JsonObject *document;
    guint n_elements;
} Reading;

static gboolean
is_named (const xmlNode *node, const char *name)
{
    return corral_xml_is (node, name) || corral_xml_is_own (node, name);
}

static gboolean
set_number (JsonObject *object, const Field *field, const char *text, gint64 least)
{
    gint64 number;

    if (!g_ascii_string_to_signed (text, 10, least, G_MAXINT64, &number, NULL))
        return FALSE;
    json_object_set_int_member (object, field->key, number);
    return TRUE;
}

static gboolean
set_set (JsonObject *object, const Field *field, const char *text)
{
    g_autoptr (CorralCpuset) set = NULL;
    g_autofree char *list = NULL;

    if (!corral_cpuset_parse (text, &set, NULL))
        return FALSE;
    list = corral_cpuset_format (set);
    json_object_set_string_member (object, field->key, list);
    return TRUE;
}

static gboolean
set_value (JsonObject *object, const Field *field, const char *text)
{
    switch (field->kind) {
    case KIND_TEXT:
        json_object_set_string_member (object, field->key, text);
        return TRUE;
    case KIND_SET:
        return set_set (object, field, text);
    case KIND_COUNT:
        return set_number (object, field, text, 0);
    case KIND_QUOTA:
        return set_number (object, field, text, -1);
    case KIND_YES_NO:
        json_object_set_boolean_member (object, field->key, g_str_equal (text, "yes"));
        return g_str_equal (text, "yes") || g_str_equal (text, "no");
    }
    g_assert_not_reached ();
}

static gboolean
take_fields (Reading *reading, const xmlNode *node, const Field *fields, gsize n_fields,
             JsonObject *object)
{
    for (gsize i = 0; i < n_fields; i++) {
        g_autofree char *text = corral_xml_attribute (node, fields[i].attribute);
        g_autofree char *tag = NULL;

        if (text == NULL && fields[i].optional)
            continue;
        if (text != NULL && strlen (text) <= TEXT_MAX && set_value (object, &fields[i], text))
            continue;
        tag = corral_xml_tag (node);
        return corral_xml_fail (reading->reader, node, "%s: \"%s\" is %s", tag, fields[i].attribute,
                                text != NULL ? "not as expected" : "not there");
    }
    return TRUE;
}

#define TAKE(reading, node, fields, object)                                                        \
    take_fields (reading, node, fields, G_N_ELEMENTS (fields), object)

/* A row of the document's array @key, to which it belongs from now on. */
static JsonObject *
add_row (Reading *reading, const xmlNode *node, const char *key)
{
    JsonObject *row;

    if (++reading->n_elements > ELEMENTS_MAX) {
        corral_xml_fail (reading->reader, node, "expected at most %d elements", ELEMENTS_MAX);
        return NULL;
    }
    row = json_object_new ();
    json_array_add_object_element (json_object_get_array_member (reading->document, key), row);
    return row;
}

static gboolean
take_text (Reading *reading, const xmlNode *node, JsonObject *row)
{
    g_autofree char *text = NULL;

    if (!corral_xml_text (reading->reader, node, &text))
        return FALSE;
    if (strlen (text) > TEXT_MAX)
        return corral_xml_fail (reading->reader, node, "expected at most %d bytes of text",
                                TEXT_MAX);
    json_object_set_string_member (row, "text", g_strstrip (text));
    return TRUE;
}

/* --- plan and explain --- */

/* @container, @vm: (nullable): whose reason it is */
static gboolean
read_reason (Reading *reading, const xmlNode *node, const char *container, const char *vm)
{
    static const Field fields[] = {
        { "rule", "rule", KIND_TEXT },
        { "cpus", "cpus", KIND_SET },
        { "nodes", "nodes", KIND_SET },
    };
    JsonObject *row = add_row (reading, node, "reasons");

    if (row == NULL)
        return FALSE;
    json_object_set_string_member (row, "container", container);
    json_object_set_string_member (row, "vm", vm);
    return TAKE (reading, node, fields, row) && take_text (reading, node, row);
}

static gboolean
read_reasons (Reading *reading, const xmlNode *parent, const char *container, const char *vm)
{
    for (const xmlNode *node = parent->children; node != NULL; node = node->next) {
        if (is_named (node, "reason") && !read_reason (reading, node, container, vm))
            return FALSE;
    }
    return TRUE;
}

static gboolean
read_container (Reading *reading, const xmlNode *node)
{
    static const Field fields[] = {
        { "path", "path", KIND_TEXT },
        { "name", "name", KIND_TEXT, TRUE },
        { "mode", "mode", KIND_TEXT },
        { "changed", "changed", KIND_YES_NO },
        { "refused", "refused", KIND_YES_NO, TRUE },
        { "cpus", "cpus", KIND_SET },
        { "own", "own_cpus", KIND_SET },
        { "mems", "mems", KIND_SET },
        { "quota", "quota_usec", KIND_QUOTA },
        { "exclusive", "exclusive", KIND_TEXT },
    };
    static const Field now[] = {
        { "cpus", "now_cpus", KIND_SET },
        { "mems", "now_mems", KIND_SET },
        { "quota", "now_quota_usec", KIND_QUOTA },
        { "exclusive", "now_exclusive", KIND_TEXT },
    };
    JsonObject *row = add_row (reading, node, "containers");

    if (row == NULL || !TAKE (reading, node, fields, row))
        return FALSE;
    for (const xmlNode *child = node->children; child != NULL; child = child->next) {
        if (is_named (child, "now") && !TAKE (reading, child, now, row))
            return FALSE;
    }
    return read_reasons (reading, node, json_object_get_string_member (row, "path"), NULL);
}

static gboolean
read_vcpu (Reading *reading, const xmlNode *node, const char *vm)
{
    static const Field fields[] = {
        { "id", "vcpu", KIND_COUNT },
        { "cpus", "cpus", KIND_SET },
        { "now", "now_cpus", KIND_SET, TRUE },
    };
    JsonObject *row = add_row (reading, node, "vcpus");

    if (row == NULL)
        return FALSE;
    json_object_set_string_member (row, "vm", vm);
    return TAKE (reading, node, fields, row);
}

static gboolean
read_vm (Reading *reading, const xmlNode *node)
{
    static const Field fields[] = {
        { "name", "name", KIND_TEXT },
        { "path", "container", KIND_TEXT },
        { "running", "running", KIND_YES_NO },
        { "changed", "changed", KIND_YES_NO },
        { "refused", "refused", KIND_YES_NO, TRUE },
        { "moves", "moves", KIND_COUNT },
        { "mems", "mems", KIND_SET },
    };
    static const Field helpers[] = {
        { "cpus", "helpers_cpus", KIND_SET },
        { "quota", "helpers_quota_usec", KIND_QUOTA },
        { "now", "helpers_now_cpus", KIND_SET, TRUE },
    };
    JsonObject *row = add_row (reading, node, "vms");

    if (row == NULL || !TAKE (reading, node, fields, row))
        return FALSE;
    for (const xmlNode *child = node->children; child != NULL; child = child->next) {
        if ((is_named (child, "vcpu") &&
             !read_vcpu (reading, child, json_object_get_string_member (row, "name"))) ||
            (is_named (child, "helpers") && !TAKE (reading, child, helpers, row)))
            return FALSE;
    }
    return read_reasons (reading, node, json_object_get_string_member (row, "container"),
                         json_object_get_string_member (row, "name"));
}

/* In a plan, which has no place for what it refuses. */
static gboolean
read_refused (Reading *reading, const xmlNode *node)
{
    static const Field fields[] = {
        { "container", "container", KIND_TEXT, TRUE },
        { "vm", "vm", KIND_TEXT, TRUE },
        { "path", "path", KIND_TEXT, TRUE },
    };
    g_autoptr (JsonObject) who = json_object_new ();
    const char *vm;

    if (!TAKE (reading, node, fields, who))
        return FALSE;
    vm = json_object_get_string_member_with_default (who, "vm", NULL);
    return read_reasons (reading, node,
                         json_object_get_string_member_with_default (who,
                                                                     vm != NULL ? "path"
                                                                                : "container",
                                                                     NULL),
                         vm);
}

static gboolean
read_plan (Reading *reading, const xmlNode *root)
{
    static const Field fields[] = {
        { "generation", "generation", KIND_COUNT },
        { "changed", "changed", KIND_YES_NO, TRUE },
        { "moves", "moves", KIND_COUNT, TRUE },
        { "refused", "refused", KIND_COUNT, TRUE },
    };

    if (!TAKE (reading, root, fields, reading->document))
        return FALSE;
    for (const xmlNode *node = root->children; node != NULL; node = node->next) {
        if ((is_named (node, "container") && !read_container (reading, node)) ||
            (is_named (node, "vm") && !read_vm (reading, node)) ||
            (is_named (node, "refused") && !read_refused (reading, node)))
            return FALSE;
    }
    return TRUE;
}

/* --- drift --- */

static gboolean
read_item (Reading *reading, const xmlNode *node)
{
    static const Field fields[] = {
        { "since", "since", KIND_TEXT },     { "until", "until", KIND_TEXT, TRUE },
        { "state", "state", KIND_TEXT },     { "repairs", "repairs", KIND_COUNT },
        { "what", "what", KIND_TEXT },       { "container", "container", KIND_TEXT },
        { "vm", "vm", KIND_TEXT, TRUE },     { "vcpu", "vcpu", KIND_COUNT, TRUE },
        { "planned", "planned", KIND_TEXT }, { "found", "found", KIND_TEXT },
    };
    JsonObject *row = add_row (reading, node, "items");

    return row != NULL && TAKE (reading, node, fields, row) && take_text (reading, node, row);
}

static gboolean
read_drift (Reading *reading, const xmlNode *root)
{
    static const Field fields[] = { { "generation", "generation", KIND_COUNT } };

    if (!TAKE (reading, root, fields, reading->document))
        return FALSE;
    for (const xmlNode *node = root->children; node != NULL; node = node->next) {
        if (is_named (node, "item") && !read_item (reading, node))
            return FALSE;
    }
    return TRUE;
}

/* --- either --- */

JsonObject *
corral_cli_plan_empty (const char *root)
{
    static const char *const of_plan[] = { "containers", "vms", "vcpus", "reasons", NULL };
    static const char *const of_drift[] = { "items", NULL };
    JsonObject *document = json_object_new ();

    for (const char *const *key = g_str_equal (root, "drift") ? of_drift : of_plan; *key != NULL;
         key++)
        json_object_set_array_member (document, *key, json_array_new ());
    return document;
}

JsonObject *
corral_cli_plan_parse (const char *root, const char *xml, GError **error)
{
    g_autofree char *what = g_strdup_printf ("corrald's <%s>", root);
    g_auto (CorralXmlReader) reader = { NULL };
    g_autoptr (JsonObject) document = corral_cli_plan_empty (root);
    Reading reading = { &reader, document, 0 };
    const xmlNode *node;
    gboolean done = FALSE;

    if (corral_xml_reader_init (&reader, what, xml, strlen (xml), CORRAL_VM_XML_MAX,
                                CORRAL_XML_DEPTH)) {
        node = xmlDocGetRootElement (reader.doc);
        if (!is_named (node, root))
            done = corral_xml_fail (&reader, node, "expected another element");
        else
            done = g_str_equal (root, "drift") ? read_drift (&reading, node)
                                               : read_plan (&reading, node);
    }
    if (done)
        return g_steal_pointer (&document);
    g_propagate_error (error, g_steal_pointer (&reader.error));
    return NULL;
}
