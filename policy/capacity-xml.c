/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* <capacity> of policy/schema/plan.rng, written and read. */
#include "policy/capacity-private.h"

#include "common/corral-error.h"
#include "policy/corral-definition.h"
#include "policy/corral-xml.h"

#include <math.h>
#include <string.h>

/* Of a name, path or number in an attribute. */
#define TEXT_MAX 4096
/* A pCPU's worth of time in each of the most pCPUs there can be, many times over. */
#define USED_MAX 1e9

/* --- writing --- */

static void
attribute (xmlTextWriter *writer, const char *name, const char *value)
{
    g_autofree char *valid = g_utf8_make_valid (value, -1);

    xmlTextWriterWriteAttribute (writer, BAD_CAST name, BAD_CAST valid);
}

static void
attribute_number (xmlTextWriter *writer, const char *name, guint64 value)
{
    xmlTextWriterWriteFormatAttribute (writer, BAD_CAST name, "%" G_GUINT64_FORMAT, value);
}

/* Three decimals, whatever the locale; what was not measured is left out. */
static void
attribute_decimal (xmlTextWriter *writer, const char *name, double value)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];

    if (value >= 0)
        attribute (writer, name, g_ascii_formatd (text, sizeof text, "%.3f", value));
}

static void
attribute_answer (xmlTextWriter *writer, const char *name, int value)
{
    if (value >= 0)
        attribute_number (writer, name, (guint64) value);
}

static void
write_row (xmlTextWriter *writer, const CorralCapacityRow *row)
{
    g_autofree char *cpus = corral_cpuset_format (row->cpus);

    xmlTextWriterStartElement (writer, BAD_CAST "row");
    attribute (writer, "kind", corral_capacity_kind_name (row->kind));
    attribute (writer, "name", row->name);
    if (row->kind == CORRAL_CAPACITY_CONTAINER)
        attribute (writer, "mode", corral_capacity_mode_name (row->mode));
    attribute (writer, "cpus", cpus);
    attribute_number (writer, "total", row->total);
    attribute_number (writer, "reserved", row->reserved);
    attribute_number (writer, "dedicated", row->dedicated);
    attribute_number (writer, "idle", row->idle);
    attribute_number (writer, "shared", row->shared);
    attribute_number (writer, "free", row->free);
    attribute_number (writer, "vcpus", row->vcpus);
    attribute_number (writer, "dedicated_vcpus", row->dedicated_vcpus);
    attribute_decimal (writer, "allocation_ratio", row->allocation_ratio / 1000.0);
    attribute_decimal (writer, "used", row->used);
    attribute_answer (writer, "largest_dedicated", row->largest_dedicated);
    attribute_answer (writer, "largest_isolated", row->largest_isolated);
    attribute_answer (writer, "largest_shared", row->largest_shared);
    attribute_number (writer, "stranded", row->stranded);
    xmlTextWriterEndElement (writer);
}

static void
write_pcpu (xmlTextWriter *writer, const CorralCapacityPcpu *pcpu)
{
    xmlTextWriterStartElement (writer, BAD_CAST "pcpu");
    attribute_number (writer, "id", pcpu->place.number);
    attribute_number (writer, "package", pcpu->place.package);
    attribute_number (writer, "node", pcpu->place.node);
    attribute_number (writer, "l3", pcpu->place.l3);
    attribute_number (writer, "core", pcpu->place.core);
    attribute_number (writer, "thread", pcpu->place.thread);
    attribute_number (writer, "kind", (guint64) MAX (pcpu->place.kind, 0));
    attribute (writer, "use", corral_capacity_use_name (pcpu->use));
    if (pcpu->container != NULL) {
        attribute (writer, "container", pcpu->container);
        if (pcpu->more_containers > 0)
            attribute_number (writer, "more_containers", pcpu->more_containers);
    }
    if (pcpu->vm != NULL) {
        attribute (writer, "vm", pcpu->vm);
        if (pcpu->use == CORRAL_USE_DEDICATED)
            attribute_number (writer, "vcpu", pcpu->vcpu);
    }
    attribute_decimal (writer, "busy", pcpu->busy);
    xmlTextWriterEndElement (writer);
}

char *
corral_capacity_xml (const CorralCapacity *capacity, guint64 generation)
{
    xmlBuffer *buffer = xmlBufferCreate ();
    xmlTextWriter *writer = xmlNewTextWriterMemory (buffer, 0);
    char *text;

    xmlTextWriterSetIndent (writer, 1);
    xmlTextWriterSetIndentString (writer, BAD_CAST "  ");
    xmlTextWriterStartElement (writer, BAD_CAST "capacity");
    attribute (writer, "xmlns", CORRAL_XML_NAMESPACE);
    attribute_number (writer, "generation", generation);
    attribute_number (writer, "window_ns", capacity->window_ns);
    attribute_number (writer, "shape_vcpus", capacity->shape_vcpus);
    for (guint i = 0; i < capacity->n_rows; i++)
        write_row (writer, &capacity->rows[i]);
    xmlTextWriterStartElement (writer, BAD_CAST "topology");
    for (guint i = 0; i < capacity->n_pcpus; i++)
        write_pcpu (writer, &capacity->pcpus[i]);
    xmlTextWriterEndElement (writer);
    xmlTextWriterEndElement (writer);
    xmlTextWriterEndDocument (writer);
    xmlFreeTextWriter (writer);
    text = g_strdup ((const char *) xmlBufferContent (buffer));
    xmlBufferFree (buffer);
    return text;
}

/* --- reading --- */

typedef struct {
    CorralXmlReader *reader;
    const xmlNode *node;
} Element;

static gboolean
take_bounded (const Element *element, const char *name, gsize most, char **ret_text)
{
    g_autofree char *text = corral_xml_attribute (element->node, name);

    if (text != NULL && strlen (text) > most)
        return corral_xml_fail (element->reader, element->node,
                                "expected in \"%s\" at most %" G_GSIZE_FORMAT " bytes", name, most);
    *ret_text = g_steal_pointer (&text);
    return TRUE;
}

static gboolean
take_text (const Element *element, const char *name, char **ret_text)
{
    return take_bounded (element, name, TEXT_MAX, ret_text);
}

static gboolean
is_there (const Element *element, const char *name, const char *text)
{
    return text != NULL ||
           corral_xml_fail (element->reader, element->node, "expected an attribute \"%s\"", name);
}

static gboolean
take_required (const Element *element, const char *name, char **ret_text)
{
    return take_text (element, name, ret_text) && is_there (element, name, *ret_text);
}

static gboolean
take_number64 (const Element *element, const char *name, guint64 *ret_number)
{
    g_autofree char *text = NULL;

    if (!take_required (element, name, &text))
        return FALSE;
    return g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT64, ret_number, NULL) ||
           corral_xml_fail (element->reader, element->node, "expected a whole number in \"%s\"",
                            name);
}

static gboolean
take_number (const Element *element, const char *name, guint most, guint *ret_number)
{
    g_autofree char *expected = g_strdup_printf ("a whole number up to %u", most);

    return corral_xml_number_attribute (element->reader, element->node, name, 0, most, expected,
                                        ret_number);
}

/* A missing one is @otherwise. */
static gboolean
take_optional_number (const Element *element, const char *name, guint most, int otherwise,
                      int *ret_number)
{
    guint number;

    *ret_number = otherwise;
    if (xmlHasNsProp ((xmlNode *) element->node, BAD_CAST name, NULL) == NULL)
        return TRUE;
    if (!take_number (element, name, most, &number))
        return FALSE;
    *ret_number = (int) number;
    return TRUE;
}

/* A missing one is -1. */
static gboolean
take_decimal (const Element *element, const char *name, double most, double *ret_value)
{
    g_autofree char *text = NULL;
    char *end;

    *ret_value = -1;
    if (!take_text (element, name, &text) || text == NULL)
        return element->reader->error == NULL;
    *ret_value = g_ascii_strtod (text, &end);
    if (end != text && *end == '\0' && isfinite (*ret_value) && *ret_value >= 0 &&
        *ret_value <= most)
        return TRUE;
    return corral_xml_fail (element->reader, element->node, "expected a number in \"%s\"", name);
}

static gboolean
take_cpus (const Element *element, const char *name, CorralCpuset **ret_set)
{
    g_autofree char *text = NULL;

    if (!take_bounded (element, name, CORRAL_CPUSET_LIST_MAX, &text) ||
        !is_there (element, name, text))
        return FALSE;
    return corral_cpuset_parse (text, ret_set, NULL) ||
           corral_xml_fail (element->reader, element->node, "expected a list of pCPUs in \"%s\"",
                            name);
}

/* A word of those that @name_of knows, up to its first %NULL. */
static gboolean
take_word (const Element *element, const char *name, const char *(*name_of) (guint),
           guint *ret_word)
{
    g_autofree char *text = NULL;

    if (!take_required (element, name, &text))
        return FALSE;
    for (guint i = 0; name_of (i) != NULL; i++) {
        if (g_str_equal (name_of (i), text)) {
            *ret_word = i;
            return TRUE;
        }
    }
    return corral_xml_fail (element->reader, element->node, "expected another word in \"%s\"",
                            name);
}

static const char *
kind_name (guint kind)
{
    return corral_capacity_kind_name ((CorralCapacityKind) kind);
}

static const char *
mode_name (guint mode)
{
    return corral_capacity_mode_name ((CorralPlacementMode) mode);
}

static const char *
use_name (guint use)
{
    return corral_capacity_use_name ((CorralCapacityUse) use);
}

static gboolean
read_counts (const Element *element, CorralCapacityRow *row)
{
    const struct {
        const char *name;
        guint *count;
    } counts[] = {
        { "total", &row->total },         { "reserved", &row->reserved },
        { "dedicated", &row->dedicated }, { "idle", &row->idle },
        { "shared", &row->shared },       { "free", &row->free },
        { "stranded", &row->stranded },
    };

    for (gsize i = 0; i < G_N_ELEMENTS (counts); i++) {
        if (!take_number (element, counts[i].name, CORRAL_CPUSET_MAX + 1, counts[i].count))
            return FALSE;
    }
    return take_number (element, "vcpus", G_MAXINT32, &row->vcpus) &&
           take_number (element, "dedicated_vcpus", G_MAXINT32, &row->dedicated_vcpus) &&
           take_optional_number (element, "largest_dedicated", CORRAL_VCPUS_MAX, -1,
                                 &row->largest_dedicated) &&
           take_optional_number (element, "largest_isolated", CORRAL_VCPUS_MAX, -1,
                                 &row->largest_isolated) &&
           take_optional_number (element, "largest_shared", CORRAL_VCPUS_MAX, -1,
                                 &row->largest_shared);
}

/* The host comes first, then nodes, then containers. */
static gboolean
check_order (const Element *element, const CorralCapacity *capacity, CorralCapacityKind kind)
{
    gboolean first = capacity->n_rows == 0;

    if (first ? kind == CORRAL_CAPACITY_HOST
              : kind != CORRAL_CAPACITY_HOST && kind >= capacity->rows[capacity->n_rows - 1].kind)
        return TRUE;
    return corral_xml_fail (element->reader, element->node,
                            "expected the host, then nodes, then containers");
}

static gboolean
read_row (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    CorralCapacity *capacity = data;
    const Element element = { reader, node };
    CorralCapacityRow *row = &capacity->rows[capacity->n_rows];
    guint kind = 0, mode = CORRAL_MODE_NONE;
    double ratio;

    if (!take_word (&element, "kind", kind_name, &kind) ||
        !check_order (&element, capacity, (CorralCapacityKind) kind))
        return FALSE;
    if (kind == CORRAL_CAPACITY_CONTAINER && !take_word (&element, "mode", mode_name, &mode))
        return FALSE;
    capacity->n_rows++;
    row->kind = (CorralCapacityKind) kind;
    row->mode = (CorralPlacementMode) mode;
    if (!take_required (&element, "name", &row->name) ||
        !take_cpus (&element, "cpus", &row->cpus) || !read_counts (&element, row) ||
        !take_decimal (&element, "allocation_ratio", CORRAL_OVERCOMMIT_MAX / 1000.0, &ratio) ||
        !take_decimal (&element, "used", USED_MAX, &row->used))
        return FALSE;
    if (ratio < 0)
        return corral_xml_fail (reader, node, "expected an attribute \"allocation_ratio\"");
    row->allocation_ratio = (guint) lround (ratio * 1000);
    return corral_xml_check_empty (reader, node);
}

static gboolean
read_place (const Element *element, CorralPcpu *place)
{
    guint kind = 0;

    if (!take_number (element, "id", CORRAL_CPUSET_MAX, &place->number) ||
        !take_number (element, "package", CORRAL_CPUSET_MAX, &place->package) ||
        !take_number (element, "node", CORRAL_CPUSET_MAX, &place->node) ||
        !take_number (element, "l3", CORRAL_CPUSET_MAX, &place->l3) ||
        !take_number (element, "core", CORRAL_CPUSET_MAX, &place->core) ||
        !take_number (element, "thread", CORRAL_CPUSET_MAX, &place->thread) ||
        !take_number (element, "kind", CORRAL_CPUSET_MAX, &kind))
        return FALSE;
    place->kind = (int) kind;
    return TRUE;
}

static gboolean
read_pcpu (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    CorralCapacity *capacity = data;
    const Element element = { reader, node };
    CorralCapacityPcpu *pcpu = &capacity->pcpus[capacity->n_pcpus];
    int vcpu, more;
    guint use = 0;

    if (!read_place (&element, &pcpu->place))
        return FALSE;
    if (capacity->n_pcpus > 0 && pcpu[-1].place.number >= pcpu->place.number)
        return corral_xml_fail (reader, node, "expected the pCPUs in the order of their numbers");
    capacity->n_pcpus++;
    if (!take_word (&element, "use", use_name, &use) ||
        !take_text (&element, "container", &pcpu->container) ||
        !take_optional_number (&element, "more_containers", CORRAL_CAPACITY_ROWS_MAX, 0, &more) ||
        !take_text (&element, "vm", &pcpu->vm) ||
        !take_optional_number (&element, "vcpu", CORRAL_VCPUS_MAX, 0, &vcpu) ||
        !take_decimal (&element, "busy", 1, &pcpu->busy))
        return FALSE;
    pcpu->use = (CorralCapacityUse) use;
    pcpu->place.online = pcpu->use != CORRAL_USE_OFFLINE;
    pcpu->more_containers = (guint) more;
    pcpu->vcpu = (guint) vcpu;
    return corral_xml_check_empty (reader, node);
}

static guint
count_children (const xmlNode *node, const char *name)
{
    guint count = 0;

    for (const xmlNode *child = node->children; child != NULL; child = child->next)
        count += corral_xml_is_own (child, name);
    return count;
}

static gboolean
read_topology (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    static const CorralXmlElement elements[] = {
        { "pcpu", read_pcpu, CORRAL_XML_NAMESPACE, TRUE },
    };
    CorralCapacity *capacity = data;

    /* numbers that grow are no more than that */
    capacity->pcpus = g_new0 (CorralCapacityPcpu, count_children (node, "pcpu") + 1);
    return corral_xml_read_children (reader, node, elements, G_N_ELEMENTS (elements), data);
}

static gboolean
read_capacity (CorralXmlReader *reader, xmlNode *node, CorralCapacity *capacity,
               guint64 *ret_generation)
{
    static const CorralXmlElement elements[] = {
        { "row", read_row, CORRAL_XML_NAMESPACE, TRUE },
        { "topology", read_topology, CORRAL_XML_NAMESPACE, FALSE },
    };
    const Element element = { reader, node };
    guint n_rows = count_children (node, "row");

    if (n_rows > CORRAL_CAPACITY_ROWS_MAX)
        return corral_xml_fail (reader, node, "expected at most %d rows", CORRAL_CAPACITY_ROWS_MAX);
    capacity->rows = g_new0 (CorralCapacityRow, n_rows + 1);
    if (!take_number64 (&element, "generation", ret_generation) ||
        !take_number64 (&element, "window_ns", &capacity->window_ns) ||
        !take_number (&element, "shape_vcpus", CORRAL_VCPUS_MAX * 2, &capacity->shape_vcpus) ||
        !corral_xml_read_children (reader, node, elements, G_N_ELEMENTS (elements), capacity))
        return FALSE;
    return (capacity->n_rows > 0 && capacity->n_pcpus > 0) ||
           corral_xml_fail (reader, node, "expected the row of the host, and its pCPUs");
}

static xmlNode *
find_capacity (xmlNode *root)
{
    if (corral_xml_is_own (root, "capacity"))
        return root;
    for (xmlNode *node = root->children; node != NULL; node = node->next) {
        if (corral_xml_is_own (node, "capacity"))
            return node;
    }
    return NULL;
}

gboolean
corral_capacity_parse (const char *xml, gsize length, CorralCapacity **ret_capacity,
                       guint64 *ret_generation, GError **error)
{
    g_auto (CorralXmlReader) reader = { NULL };
    g_autoptr (CorralCapacity) capacity = g_new0 (CorralCapacity, 1);
    xmlNode *node = NULL;

    if (corral_xml_reader_init (&reader, "the host's capacity", xml, length, CORRAL_VM_XML_MAX,
                                CORRAL_XML_DEPTH)) {
        node = find_capacity (xmlDocGetRootElement (reader.doc));
        if (node == NULL) {
            g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND,
                         "cannot read the host's capacity: the other side does not tell it");
            return FALSE;
        }
        if (read_capacity (&reader, node, capacity, ret_generation)) {
            *ret_capacity = g_steal_pointer (&capacity);
            return TRUE;
        }
    }
    g_propagate_error (error, g_steal_pointer (&reader.error));
    return FALSE;
}
