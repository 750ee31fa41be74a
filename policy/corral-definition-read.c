/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/corral-error.h"
#include "policy/corral-definition-private.h"
#include "policy/corral-wishes.h"

#include <string.h>

/* The kernel's own limit for a quota and for a burst: 2^44 - 1 microseconds. */
#define QUOTA_MAX G_GINT64_CONSTANT (17592186044415)
/* "No cap" as libvirt wrote it before -1: the largest 64-bit number of nanoseconds. */
#define QUOTA_OLD_NONE G_GINT64_CONSTANT (18446744073709551)

/* As many members does the schema see; read_member() checks them all. */
#define SCHEMA_MEMBERS 1000

static const char *const no_attributes[] = { NULL };

/* --- texts and numbers --- */

/* The text of an element that has no attributes. */
static gboolean
read_plain (CorralXmlReader *reader, const xmlNode *node, char **ret_text)
{
    return corral_xml_check_attributes (reader, node, no_attributes) &&
           corral_xml_text (reader, node, ret_text);
}

static gboolean
read_number (CorralXmlReader *reader, const xmlNode *node, gint64 min, gint64 max,
             const char *expected, gint64 *ret_number)
{
    g_autofree char *text = NULL;

    if (!read_plain (reader, node, &text))
        return FALSE;
    if (!g_ascii_string_to_signed (g_strstrip (text), 10, min, max, ret_number, NULL)) {
        g_autofree char *tag = corral_xml_tag (node);
        g_autofree char *shown = corral_xml_shown (text);

        return corral_xml_fail (reader, node, "%s: expected %s, not \"%s\"", tag, expected, shown);
    }
    return TRUE;
}

/* --- name, UUID, texts --- */

static gboolean
read_name (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    CorralDefinition *definition = data;
    g_autofree char *text = NULL;
    const char *fault;

    if (!read_plain (reader, node, &text))
        return FALSE;
    fault = corral_definition_name_fault (text);
    /* The name becomes a file's, and files with a leading dot are hidden (and "..", worse). */
    if (fault == NULL && text[0] == '.')
        fault = "expected a name that does not begin with a dot";
    if (fault != NULL)
        return corral_xml_fail (reader, node, "<name>: %s", fault);
    definition->name = g_steal_pointer (&text);
    return TRUE;
}

static gboolean
parse_uuid (const char *text, guint8 *uuid)
{
    guint8 any = 0;

    for (gsize i = 0; i < CORRAL_UUID_BYTES; i++) {
        if (i > 0 && *text == '-')
            text++;
        if (!g_ascii_isxdigit (text[0]) || !g_ascii_isxdigit (text[1]))
            return FALSE;
        uuid[i] = (guint8) (g_ascii_xdigit_value (text[0]) << 4 | g_ascii_xdigit_value (text[1]));
        any |= uuid[i];
        text += 2;
    }
    return *text == '\0' && any != 0;
}

static gboolean
read_uuid (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    CorralDefinition *definition = data;
    g_autofree char *text = NULL;

    if (!read_plain (reader, node, &text))
        return FALSE;
    if (!parse_uuid (g_strstrip (text), definition->uuid)) {
        g_autofree char *shown = corral_xml_shown (text);

        return corral_xml_fail (reader, node,
                                "<uuid>: expected 32 hexadecimal digits, not all zero, not \"%s\"",
                                shown);
    }
    return TRUE;
}

static gboolean
read_text_into (CorralXmlReader *reader, xmlNode *node, gboolean one_line, char **field)
{
    g_autofree char *text = NULL;
    const char *fault;

    if (!read_plain (reader, node, &text))
        return FALSE;
    fault = corral_definition_text_fault (text, one_line);
    if (fault != NULL)
        return corral_xml_fail (reader, node, "<%s>: %s", (const char *) node->name, fault);
    if (*text != '\0')
        *field = g_steal_pointer (&text);
    return TRUE;
}

static gboolean
read_title (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    return read_text_into (reader, node, TRUE, &((CorralDefinition *) data)->title);
}

static gboolean
read_description (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    return read_text_into (reader, node, FALSE, &((CorralDefinition *) data)->description);
}

static gboolean
read_metadata (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    CorralDefinition *definition = data;
    g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);

    if (!corral_xml_check_attributes (reader, node, no_attributes))
        return FALSE;
    for (xmlNode *child = node->children, *next; child != NULL; child = next) {
        CorralMetadata *metadata;

        next = child->next;
        if (child->type == XML_COMMENT_NODE || child->type == XML_PI_NODE || xmlIsBlankNode (child))
            continue;
        if (child->type != XML_ELEMENT_NODE)
            return corral_xml_fail (reader, node, "<metadata>: expected elements only, not text");
        if (!corral_definition_metadata_read (reader, child, &metadata))
            return FALSE;
        g_ptr_array_add (definition->metadata, metadata);
        if (!g_hash_table_add (seen, metadata->uri)) {
            g_autofree char *tag = corral_xml_tag (child);
            g_autofree char *shown = corral_xml_shown (metadata->uri);

            return corral_xml_fail (reader, child,
                                    "%s: expected only one element of the namespace \"%s\"", tag,
                                    shown);
        }
        corral_xml_drop (child);
    }
    return TRUE;
}

/* --- CPUs --- */

static gboolean
check_value (CorralXmlReader *reader, const xmlNode *node, const char *attribute,
             const char *expected)
{
    g_autofree char *value = corral_xml_attribute (node, attribute);
    g_autofree char *tag = NULL;
    g_autofree char *shown = NULL;

    if (value == NULL || strcmp (value, expected) == 0)
        return TRUE;
    tag = corral_xml_tag (node);
    shown = corral_xml_shown (value);
    return corral_xml_fail (reader, node, "%s: expected %s='%s', not \"%s\"", tag, attribute,
                            expected, shown);
}

static gboolean
read_vcpu (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    static const char *const allowed[] = { "placement", "cpuset", "current", NULL };
    CorralDefinition *definition = data;
    g_autofree char *placement = corral_xml_attribute (node, "placement");
    g_autofree char *text = NULL;
    guint64 ignored;

    if (!corral_xml_check_attributes (reader, node, allowed) ||
        !corral_xml_text (reader, node, &text))
        return FALSE;
    if (g_strcmp0 (placement, "auto") == 0)
        definition->planned = TRUE;
    else if (placement != NULL && strcmp (placement, "static") != 0) {
        g_autofree char *shown = corral_xml_shown (placement);

        return corral_xml_fail (reader, node,
                                "<vcpu>: expected placement='static' or 'auto', not \"%s\"", shown);
    }
    if (*g_strstrip (text) != '\0' &&
        !g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT32, &ignored, NULL)) {
        g_autofree char *shown = corral_xml_shown (text);

        return corral_xml_fail (reader, node, "<vcpu>: expected a number or nothing, not \"%s\"",
                                shown);
    }
    return xmlHasProp (node, (const xmlChar *) "cpuset") == NULL ||
           corral_xml_list_attribute (reader, node, "cpuset", "pCPUs", &definition->cpus);
}

static gboolean
read_memory_nodes (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    static const char *const allowed[] = { "mode", "placement", "nodeset", NULL };
    CorralDefinition *definition = data;

    if (!corral_xml_check_attributes (reader, node, allowed) ||
        !check_value (reader, node, "mode", "strict") ||
        !check_value (reader, node, "placement", "static") ||
        !corral_xml_check_empty (reader, node))
        return FALSE;
    if (xmlHasProp (node, (const xmlChar *) "nodeset") == NULL)
        return corral_xml_fail (reader, node, "<memory>: expected the attribute \"nodeset\"");
    return corral_xml_list_attribute (reader, node, "nodeset", "NUMA nodes", &definition->mems);
}

static gboolean
read_numatune (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    static const CorralXmlElement elements[] = { { "memory", read_memory_nodes } };

    return corral_xml_check_attributes (reader, node, no_attributes) &&
           corral_xml_read_children (reader, node, elements, G_N_ELEMENTS (elements), data);
}

/* --- weight and cap --- */

static gboolean
read_shares (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    CorralDefinition *definition = data;

    return read_number (reader, node, 2, 262144, "a whole number from 2 to 262144",
                        &definition->tune.shares);
}

/* @field may have been set by the element's other name. */
static gboolean
set_once (CorralXmlReader *reader, const xmlNode *node, gint64 value, gint64 *field)
{
    const char *name = (const char *) node->name;
    const char *plain = g_str_has_prefix (name, "global_") ? name + strlen ("global_") : name;

    if (*field != -1 && *field != value)
        return corral_xml_fail (reader, node,
                                "<%s>: expected the same value in <%s> and <global_%s>, which both "
                                "mean the container's cap",
                                name, plain, plain);
    *field = value;
    return TRUE;
}

static gboolean
read_period (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    static const char expected[] = "a whole number from 1000 to 1000000 (microseconds)";
    CorralDefinition *definition = data;
    gint64 value;

    if (!read_number (reader, node, 0, 1000000, expected, &value))
        return FALSE;
    /* 0 is libvirt's "not set". */
    if (value == 0)
        return TRUE;
    if (value < 1000)
        return corral_xml_fail (reader, node, "<%s>: expected %s, not \"%" G_GINT64_FORMAT "\"",
                                (const char *) node->name, expected, value);
    return set_once (reader, node, value, &definition->tune.period_usec);
}

static gboolean
read_quota (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    static const char expected[] = "a whole number from 1000 to 17592186044415 (microseconds), "
                                   "or -1 for no cap";
    CorralDefinition *definition = data;
    gint64 value;

    if (!read_number (reader, node, G_MININT64, QUOTA_OLD_NONE, expected, &value))
        return FALSE;
    if (value == 0)
        return TRUE;
    if (value < 0 || value == QUOTA_OLD_NONE)
        value = CORRAL_QUOTA_NONE;
    else if (value < 1000 || value > QUOTA_MAX)
        return corral_xml_fail (reader, node, "<%s>: expected %s, not \"%" G_GINT64_FORMAT "\"",
                                (const char *) node->name, expected, value);
    return set_once (reader, node, value, &definition->tune.quota_usec);
}

static gboolean
read_cputune (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    static const CorralXmlElement elements[] = {
        { "shares", read_shares },      { "global_period", read_period }, { "period", read_period },
        { "global_quota", read_quota }, { "quota", read_quota },
    };

    return corral_xml_check_attributes (reader, node, no_attributes) &&
           corral_xml_read_children (reader, node, elements, G_N_ELEMENTS (elements), data);
}

static gboolean
read_burst (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    CorralDefinition *definition = data;

    return read_number (reader, node, 0, QUOTA_MAX,
                        "a whole number from 0 to the quota (microseconds)",
                        &definition->tune.burst_usec);
}

static gboolean
check_burst (CorralXmlReader *reader, const xmlNode *root, const CorralCpuTune *tune)
{
    const xmlNode *node = corral_xml_find_own (root, "burst");

    if (tune->burst_usec <= 0 || tune->burst_usec <= tune->quota_usec)
        return TRUE;
    if (tune->quota_usec < 0)
        return corral_xml_fail (reader, node,
                                "<corral:burst>: expected a <global_quota> beside it");
    return corral_xml_fail (reader, node,
                            "<corral:burst>: expected at most the quota, %" G_GINT64_FORMAT
                            ", not \"%" G_GINT64_FORMAT "\"",
                            tune->quota_usec, tune->burst_usec);
}

/* --- wishes of the planner --- */

static gboolean
read_placement (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    CorralDefinition *definition = data;
    guint said;

    if (!corral_wishes_read_placement (reader, node, G_MAXUINT, &definition->placement, &said))
        return FALSE;
    definition->placement_said |= said;
    definition->planned = TRUE;
    return TRUE;
}

static gboolean
read_reserve (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    return corral_wishes_read_vcpus (reader, node,
                                     &((CorralDefinition *) data)->placement.reserve_vcpus);
}

static gboolean
read_limit (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    return corral_wishes_read_vcpus (reader, node,
                                     &((CorralDefinition *) data)->placement.limit_vcpus);
}

static gboolean
read_share (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    CorralDefinition *definition = data;

    return corral_wishes_read_share (reader, node, &definition->placement,
                                     &definition->placement_said);
}

/* A share is a cap that follows the members; a second one would contradict it. */
static gboolean
check_share (CorralXmlReader *reader, const xmlNode *root, const CorralCpuTune *tune)
{
    const xmlNode *share = corral_xml_find_own (root, "share");

    if (share == NULL ||
        (tune->quota_usec == -1 && tune->period_usec == -1 && tune->burst_usec == -1))
        return TRUE;
    return corral_xml_fail (reader, share,
                            "<corral:share>: expected no <%s> beside it: the container's cap is "
                            "what its VMs are promised together",
                            tune->quota_usec != -1    ? "global_quota"
                            : tune->period_usec != -1 ? "global_period"
                                                      : "corral:burst");
}

static gboolean
check_wishes (CorralXmlReader *reader, const xmlNode *root, CorralDefinition *definition)
{
    static const char *const companions[] = { "reserve", "limit", "share" };
    const xmlNode *vcpu = corral_xml_find (root, "vcpu");
    g_autofree char *placement = vcpu != NULL ? corral_xml_attribute (vcpu, "placement") : NULL;

    for (gsize i = 0; i < G_N_ELEMENTS (companions) && !definition->planned; i++) {
        const xmlNode *node = corral_xml_find_own (root, companions[i]);

        if (node != NULL)
            return corral_xml_fail (reader, node,
                                    "<corral:%s>: expected a <corral:placement> beside it, or "
                                    "placement='auto' in <vcpu>",
                                    companions[i]);
    }
    if (!definition->planned)
        return TRUE;
    if (g_strcmp0 (placement, "static") == 0)
        return corral_xml_fail (reader, vcpu,
                                "<vcpu>: expected placement='auto' beside <corral:placement>, not "
                                "\"static\"");
    if ((definition->placement_said & CORRAL_SAID_MODE) == 0)
        definition->placement.mode = CORRAL_MODE_SHARED;
    return corral_wishes_check (reader, root, &definition->placement, definition->placement_said) &&
           check_share (reader, root, &definition->tune);
}

/* --- partition --- */

static gboolean
read_partition (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    CorralDefinition *definition = data;
    g_autoptr (GError) error = NULL;
    g_autofree char *text = NULL;

    if (!read_plain (reader, node, &text))
        return FALSE;
    if (!corral_partition_check (g_strstrip (text), &error))
        return corral_xml_fail (reader, node, "<partition>: %s", error->message);
    definition->partition = g_steal_pointer (&text);
    return TRUE;
}

static gboolean
read_resource (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    static const CorralXmlElement elements[] = { { "partition", read_partition } };

    return corral_xml_check_attributes (reader, node, no_attributes) &&
           corral_xml_read_children (reader, node, elements, G_N_ELEMENTS (elements), data);
}

static gboolean
default_partition (CorralXmlReader *reader, const xmlNode *root, CorralDefinition *definition)
{
    g_autofree char *partition = g_strconcat ("/machine/", definition->name, NULL);

    if (corral_partition_check (partition, NULL)) {
        definition->partition = g_steal_pointer (&partition);
        return TRUE;
    }
    return corral_xml_fail (reader, corral_xml_find (root, "name"),
                            "<name>: \"%s\" cannot be part of a partition's path (letters, digits, "
                            "\"_\" and \"-\" can); expected a <resource><partition> beside it",
                            definition->name);
}

/* --- members --- */

static gboolean
read_member_vcpu (CorralXmlReader *reader, const xmlNode *node, CorralMemberDef *member)
{
    g_autofree char *text = corral_xml_attribute (node, "vcpu");
    g_autofree char *shown = corral_xml_shown (text != NULL ? text : "");
    gint64 number;

    if (text == NULL ||
        !g_ascii_string_to_signed (g_strstrip (text), 10, 0, CORRAL_CPUSET_MAX, &number, NULL))
        return corral_xml_fail (reader, node,
                                "<member>: expected in \"vcpu\" the vCPU's number, from 0 to %d, "
                                "not \"%s\"",
                                CORRAL_CPUSET_MAX, shown);
    if (strpbrk (member->name, "*?") != NULL)
        return corral_xml_fail (reader, node,
                                "<member>: expected the name of one VM for type='vcpu', not the "
                                "pattern \"%s\"",
                                member->name);
    member->vcpu = (int) number;
    return TRUE;
}

static gboolean
read_member (CorralXmlReader *reader, const xmlNode *node, CorralMemberDef *member)
{
    static const char *const for_vm[] = { "type", "name", NULL };
    static const char *const for_vcpu[] = { "type", "name", "vcpu", NULL };
    g_autofree char *type = corral_xml_attribute (node, "type");
    const char *fault;
    gboolean vcpu;

    if (g_strcmp0 (type, "vm") != 0 && g_strcmp0 (type, "vcpu") != 0) {
        g_autofree char *shown = corral_xml_shown (type != NULL ? type : "");

        return corral_xml_fail (reader, node,
                                "<member>: expected type='vm' or type='vcpu', not \"%s\"", shown);
    }
    vcpu = strcmp (type, "vcpu") == 0;
    if (!corral_xml_check_attributes (reader, node, vcpu ? for_vcpu : for_vm) ||
        !corral_xml_check_empty (reader, node))
        return FALSE;

    member->name = corral_xml_attribute (node, "name");
    fault = corral_definition_name_fault (member->name != NULL ? member->name : "");
    if (fault != NULL)
        return corral_xml_fail (reader, node, "<member>: %s in \"name\"", fault);
    member->type = vcpu ? CORRAL_MEMBER_VCPU : CORRAL_MEMBER_VM;
    member->vcpu = -1;
    return !vcpu || read_member_vcpu (reader, node, member);
}

static gboolean
read_listed_member (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    g_autoptr (CorralMemberDef) member = g_new0 (CorralMemberDef, 1);
    GPtrArray *members = ((CorralDefinition *) data)->members;

    if (!read_member (reader, node, member))
        return FALSE;
    g_ptr_array_add (members, g_steal_pointer (&member));
    /* All alike; the schema would need seconds for all that fit into a document. */
    if (members->len > SCHEMA_MEMBERS)
        corral_xml_drop (node);
    return TRUE;
}

static gboolean
check_members_differ (CorralXmlReader *reader, const xmlNode *node, const GPtrArray *members)
{
    g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

    for (guint i = 0; i < members->len; i++) {
        char *text = corral_member_def_format (g_ptr_array_index (members, i));

        if (!g_hash_table_add (seen, text))
            return corral_xml_fail (reader, node, "<devices>: expected %s only once", text);
    }
    return TRUE;
}

static gboolean
read_devices (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    static const CorralXmlElement elements[] = {
        { "member", read_listed_member, .many = TRUE },
        { "emulator", NULL },
    };

    return corral_xml_check_attributes (reader, node, no_attributes) &&
           corral_xml_read_children (reader, node, elements, G_N_ELEMENTS (elements), data) &&
           check_members_differ (reader, node, ((CorralDefinition *) data)->members);
}

/* --- documents --- */

static gboolean
check_root (CorralXmlReader *reader, const xmlNode *root)
{
    static const char *const allowed[] = { "type", "id", NULL };
    g_autofree char *tag = corral_xml_tag (root);
    g_autofree char *type = NULL;
    g_autofree char *id = NULL;

    if (!corral_xml_is (root, "domain"))
        return corral_xml_fail (reader, root, "%s: expected <domain type='corral'>", tag);
    type = corral_xml_attribute (root, "type");
    if (g_strcmp0 (type, "corral") != 0) {
        g_autofree char *shown = corral_xml_shown (type != NULL ? type : "");

        return corral_xml_fail (reader, root, "<domain>: expected type='corral', not \"%s\"",
                                shown);
    }
    id = corral_xml_attribute (root, "id");
    if (id != NULL &&
        !g_ascii_string_to_signed (g_strstrip (id), 10, G_MININT32, G_MAXINT32, NULL, NULL))
        return corral_xml_fail (reader, root, "<domain>: expected a number in \"id\"");
    return corral_xml_check_attributes (reader, root, allowed);
}

static gboolean
read_domain (CorralXmlReader *reader, CorralDefinition *definition)
{
    static const CorralXmlElement elements[] = {
        { "name", read_name },
        { "uuid", read_uuid },
        { "title", read_title },
        { "description", read_description },
        { "metadata", read_metadata },
        { "vcpu", read_vcpu },
        { "numatune", read_numatune },
        { "cputune", read_cputune },
        { "burst", read_burst, .uri = CORRAL_XML_NAMESPACE },
        { "placement", read_placement, .uri = CORRAL_XML_NAMESPACE },
        { "reserve", read_reserve, .uri = CORRAL_XML_NAMESPACE },
        { "limit", read_limit, .uri = CORRAL_XML_NAMESPACE },
        { "share", read_share, .uri = CORRAL_XML_NAMESPACE },
        { "resource", read_resource },
        { "devices", read_devices },
        /* What libvirt and its tools put into every domain document, and no container can use. */
        { "memory", NULL },
        { "currentMemory", NULL },
        { "genid", NULL },
        { "os", NULL },
        { "features", NULL },
        { "cpu", NULL },
        { "clock", NULL },
        { "on_poweroff", NULL },
        { "on_reboot", NULL },
        { "on_crash", NULL },
        { "on_lockfailure", NULL },
        { "pm", NULL },
        { "seclabel", NULL, .many = TRUE },
    };
    xmlNode *root = xmlDocGetRootElement (reader->doc);

    if (!check_root (reader, root) ||
        !corral_xml_read_children (reader, root, elements, G_N_ELEMENTS (elements), definition))
        return FALSE;
    if (definition->name == NULL)
        return corral_xml_fail (reader, root, "<domain>: expected a <name>");
    if (definition->partition == NULL && !default_partition (reader, root, definition))
        return FALSE;
    return check_wishes (reader, root, definition) && check_burst (reader, root, &definition->tune);
}

/* The reader goes first only because its messages say more than those of libxml2's RelaxNG, which
 * inside an <interleave> are hard to read; a document is good when both agree. */
gboolean
corral_definition_parse (const char *xml, gsize length, CorralDefinition **ret_definition,
                         GError **error)
{
    g_auto (CorralXmlReader) reader = { NULL };
    g_autoptr (CorralDefinition) definition = corral_definition_new ();

    if (!corral_xml_reader_init (&reader, "the container definition", xml, length, CORRAL_XML_MAX,
                                 CORRAL_XML_DEPTH) ||
        !read_domain (&reader, definition) ||
        !corral_xml_validate (&reader, CORRAL_XML_CONTAINER)) {
        g_propagate_error (error, g_steal_pointer (&reader.error));
        return FALSE;
    }
    *ret_definition = g_steal_pointer (&definition);
    return TRUE;
}

gboolean
corral_member_def_parse (const char *xml, gsize length, CorralMemberDef **ret_member,
                         GError **error)
{
    g_auto (CorralXmlReader) reader = { NULL };
    g_autoptr (CorralMemberDef) member = g_new0 (CorralMemberDef, 1);
    const xmlNode *root;
    gboolean good = corral_xml_reader_init (&reader, "the member", xml, length, CORRAL_XML_MAX,
                                            CORRAL_XML_DEPTH);

    root = good ? xmlDocGetRootElement (reader.doc) : NULL;
    if (good && !corral_xml_is (root, "member")) {
        g_autofree char *tag = corral_xml_tag (root);

        good = corral_xml_fail (&reader, root, "%s: expected <member type='vm' name='...'/>", tag);
    }
    if (!good || !read_member (&reader, root, member) ||
        !corral_xml_validate (&reader, CORRAL_XML_CONTAINER)) {
        g_propagate_error (error, g_steal_pointer (&reader.error));
        return FALSE;
    }
    *ret_member = g_steal_pointer (&member);
    return TRUE;
}
