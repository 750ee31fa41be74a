/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What Corral reads of the domain document of a VM, whoever wrote the rest of it. */
#include "policy/corral-definition.h"
#include "policy/corral-wishes.h"

static gboolean
get_domain (CorralXmlReader *reader, const xmlNode **ret_root)
{
    const xmlNode *root = xmlDocGetRootElement (reader->doc);
    g_autofree char *tag = corral_xml_tag (root);

    *ret_root = root;
    return corral_xml_is (root, "domain") ||
           corral_xml_fail (reader, root, "%s: expected <domain>", tag);
}

static gboolean
read_vm_partition (CorralXmlReader *reader, char **ret_name, char **ret_partition)
{
    const xmlNode *root, *name, *resource, *partition;

    if (!get_domain (reader, &root))
        return FALSE;
    name = corral_xml_find (root, "name");
    if (name == NULL)
        return corral_xml_fail (reader, root, "<domain>: expected a <name>");
    resource = corral_xml_find (root, "resource");
    partition = resource != NULL ? corral_xml_find (resource, "partition") : NULL;
    if (!corral_xml_text (reader, name, ret_name))
        return FALSE;
    return partition == NULL || corral_xml_text (reader, partition, ret_partition);
}

gboolean
corral_vm_partition_parse (const char *xml, gsize length, char **ret_name, char **ret_partition,
                           GError **error)
{
    g_auto (CorralXmlReader) reader = { NULL };
    g_autofree char *name = NULL;
    g_autofree char *partition = NULL;

    if (!corral_xml_reader_init (&reader, "the domain's document", xml, length, CORRAL_VM_XML_MAX,
                                 0) ||
        !read_vm_partition (&reader, &name, &partition)) {
        g_propagate_error (error, g_steal_pointer (&reader.error));
        return FALSE;
    }
    *ret_name = g_steal_pointer (&name);
    *ret_partition = g_steal_pointer (&partition);
    return TRUE;
}

/* --- wishes --- */

/* <vcpu current='2'>4</vcpu>: two at the start, four at most. */
static gboolean
read_vm_vcpus (CorralXmlReader *reader, const xmlNode *root, guint *ret_now, guint *ret_max)
{
    static const char expected[] = "a number of vCPUs from 1 to " G_STRINGIFY (CORRAL_VCPUS_MAX);
    const xmlNode *node = corral_xml_find (root, "vcpu");
    g_autofree char *text = NULL;
    guint64 max = 0;

    *ret_now = *ret_max = 1;
    if (node == NULL)
        return TRUE;
    if (!corral_xml_text (reader, node, &text))
        return FALSE;
    if (!g_ascii_string_to_unsigned (g_strstrip (text), 10, 1, CORRAL_VCPUS_MAX, &max, NULL)) {
        g_autofree char *shown = corral_xml_shown (text);

        return corral_xml_fail (reader, node, "<vcpu>: expected %s, not \"%s\"", expected, shown);
    }
    *ret_now = *ret_max = (guint) max;
    if (xmlHasProp (node, (const xmlChar *) "current") == NULL)
        return TRUE;
    if (!corral_xml_number_attribute (reader, node, "current", 1, CORRAL_VCPUS_MAX, expected,
                                      ret_now))
        return FALSE;
    return *ret_now <= *ret_max ||
           corral_xml_fail (reader, node, "<vcpu>: expected in \"current\" at most %u, not %u",
                            *ret_max, *ret_now);
}

/* The schema sees the one element that is Corral's. */
static gboolean
validate_alone (CorralXmlReader *reader, const xmlNode *node)
{
    g_auto (CorralXmlReader)
        alone = { .what = reader->what, .doc = xmlNewDoc ((const xmlChar *) "1.0") };
    xmlNode *copy = xmlDocCopyNode ((xmlNode *) node, alone.doc, 1);

    if (copy == NULL)
        g_error ("out of memory");
    xmlDocSetRootElement (alone.doc, copy);
    if (corral_xml_validate (&alone, CORRAL_XML_CONTAINER))
        return TRUE;
    reader->error = g_steal_pointer (&alone.error);
    return FALSE;
}

static gboolean
read_vm_placement (CorralXmlReader *reader, const xmlNode *metadata, CorralPlacement *wish,
                   guint *ret_said)
{
    const guint allowed = CORRAL_SAID_SMT | CORRAL_SAID_NUMA | CORRAL_SAID_EMULATOR;
    const xmlNode *found = NULL;

    for (const xmlNode *node = metadata->children; node != NULL; node = node->next) {
        g_autofree char *tag = NULL;

        if (node->type != XML_ELEMENT_NODE || node->ns == NULL ||
            g_strcmp0 ((const char *) node->ns->href, CORRAL_XML_NAMESPACE) != 0)
            continue;
        tag = corral_xml_tag (node);
        if (!corral_xml_is_own (node, "placement"))
            return corral_xml_fail (reader, node,
                                    "%s is unknown in a VM's <metadata>; expected "
                                    "<corral:placement>",
                                    tag);
        if (found != NULL)
            return corral_xml_fail (reader, node, "%s: expected only one, this is the second", tag);
        found = node;
    }
    return found == NULL ||
           (corral_wishes_read_placement (reader, found, allowed, wish, ret_said) &&
            validate_alone (reader, found));
}

gboolean
corral_vm_wishes_parse (const char *xml, gsize length, CorralPlacement *ret_wish, guint *ret_wishes,
                        guint *ret_n_vcpus, guint *ret_max_vcpus, GError **error)
{
    g_auto (CorralXmlReader) reader = { NULL };
    CorralPlacement wish = CORRAL_PLACEMENT_INIT;
    const xmlNode *root = NULL, *metadata;
    guint said = 0, now, max;
    gboolean good = corral_xml_reader_init (&reader, "the domain's document", xml, length,
                                            CORRAL_VM_XML_MAX, 0) &&
                    get_domain (&reader, &root) && read_vm_vcpus (&reader, root, &now, &max);

    metadata = good ? corral_xml_find (root, "metadata") : NULL;
    if (!good || (metadata != NULL && !read_vm_placement (&reader, metadata, &wish, &said))) {
        g_propagate_error (error, g_steal_pointer (&reader.error));
        return FALSE;
    }
    *ret_wish = wish;
    *ret_wishes = ((said & CORRAL_SAID_SMT) != 0 ? CORRAL_WISH_SMT : 0) |
                  ((said & CORRAL_SAID_NUMA) != 0 ? CORRAL_WISH_NUMA : 0) |
                  ((said & CORRAL_SAID_EMULATOR) != 0 ? CORRAL_WISH_EMULATOR : 0);
    if (ret_n_vcpus != NULL)
        *ret_n_vcpus = now;
    if (ret_max_vcpus != NULL)
        *ret_max_vcpus = max;
    return TRUE;
}
