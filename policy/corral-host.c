/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy/corral-host.h"

#include "policy/corral-definition.h"
#include "policy/corral-wishes.h"

#include <string.h>

#define CORES_MAX (CORRAL_CPUSET_MAX + 1)
#define DEFAULTS_SAID (~(guint) CORRAL_SAID_MODE)

static const char *const per_names[] = { "host", "package", "node" };

CorralHost *
corral_host_new (void)
{
    CorralHost *host = g_new0 (CorralHost, 1);

    host->cores = 1;
    host->per = CORRAL_PER_HOST;
    host->defaults = (CorralPlacement) CORRAL_PLACEMENT_INIT;
    return host;
}

void
corral_host_free (CorralHost *host)
{
    if (host == NULL)
        return;
    g_clear_pointer (&host->housekeeping, hwloc_bitmap_free);
    g_clear_pointer (&host->reserve, hwloc_bitmap_free);
    g_free (host);
}

/* --- reading --- */

static gboolean
read_per (CorralXmlReader *reader, const xmlNode *node, CorralHostPer *ret_per)
{
    g_autofree char *text = corral_xml_attribute (node, "per");
    g_autofree char *shown = NULL;

    if (text == NULL)
        return TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS (per_names); i++)
        if (strcmp (text, per_names[i]) == 0) {
            *ret_per = (CorralHostPer) i;
            return TRUE;
        }
    shown = corral_xml_shown (text);
    return corral_xml_fail (reader, node,
                            "<housekeeping>: expected in \"per\" 'host', 'package' or 'node', not "
                            "\"%s\"",
                            shown);
}

static gboolean
read_housekeeping (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    static const char *const allowed[] = { "cpuset", "cores", "per", NULL };
    CorralHost *host = data;
    gboolean named = xmlHasProp (node, (const xmlChar *) "cpuset") != NULL;
    gboolean counted = xmlHasProp (node, (const xmlChar *) "cores") != NULL;

    if (!corral_xml_check_attributes (reader, node, allowed) ||
        !corral_xml_check_empty (reader, node))
        return FALSE;
    if (named == counted)
        return corral_xml_fail (reader, node,
                                "<housekeeping>: expected either \"cpuset\" or \"cores\", not %s",
                                named ? "both" : "neither");
    if (named && xmlHasProp (node, (const xmlChar *) "per") != NULL)
        return corral_xml_fail (reader, node,
                                "<housekeeping>: expected \"per\" only beside \"cores\"");
    if (named) {
        host->cores = 0;
        return corral_xml_list_attribute (reader, node, "cpuset", "pCPUs", &host->housekeeping);
    }
    return corral_xml_number_attribute (reader, node, "cores", 0, CORES_MAX,
                                        "a number of cores from 0 to 8192", &host->cores) &&
           read_per (reader, node, &host->per);
}

static gboolean
read_reserve (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    static const char *const allowed[] = { "cpuset", NULL };

    return corral_xml_check_attributes (reader, node, allowed) &&
           corral_xml_check_empty (reader, node) &&
           corral_xml_list_attribute (reader, node, "cpuset", "pCPUs",
                                      &((CorralHost *) data)->reserve);
}

static gboolean
read_placement (CorralXmlReader *reader, xmlNode *node, gpointer data)
{
    guint said;

    return corral_wishes_read_placement (reader, node, DEFAULTS_SAID,
                                         &((CorralHost *) data)->defaults, &said);
}

static gboolean
check_apart (CorralXmlReader *reader, const xmlNode *root, const CorralHost *host)
{
    g_autoptr (CorralCpuset) both = NULL;
    g_autofree char *list = NULL;

    if (host->housekeeping == NULL || host->reserve == NULL ||
        !hwloc_bitmap_intersects (host->housekeeping, host->reserve))
        return TRUE;
    both = hwloc_bitmap_alloc ();
    hwloc_bitmap_and (both, host->housekeeping, host->reserve);
    list = corral_cpuset_format (both);
    return corral_xml_fail (reader, corral_xml_find_own (root, "reserve"),
                            "<reserve>: expected other pCPUs than in <housekeeping>; %s is in both",
                            list);
}

static gboolean
read_host (CorralXmlReader *reader, CorralHost *host)
{
    static const char *const no_attributes[] = { NULL };
    static const CorralXmlElement elements[] = {
        { "housekeeping", read_housekeeping, .uri = CORRAL_XML_NAMESPACE },
        { "reserve", read_reserve, .uri = CORRAL_XML_NAMESPACE },
        { "placement", read_placement, .uri = CORRAL_XML_NAMESPACE },
    };
    xmlNode *root = xmlDocGetRootElement (reader->doc);

    if (!corral_xml_is_own (root, "host")) {
        g_autofree char *tag = corral_xml_tag (root);

        return corral_xml_fail (reader, root, "%s: expected <host xmlns='%s'>", tag,
                                CORRAL_XML_NAMESPACE);
    }
    return corral_xml_check_attributes (reader, root, no_attributes) &&
           corral_xml_read_children (reader, root, elements, G_N_ELEMENTS (elements), host) &&
           check_apart (reader, root, host);
}

gboolean
corral_host_parse (const char *xml, gsize length, CorralHost **ret_host, GError **error)
{
    g_auto (CorralXmlReader) reader = { NULL };
    g_autoptr (CorralHost) host = corral_host_new ();

    if (!corral_xml_reader_init (&reader, "the host's settings", xml, length, CORRAL_HOST_XML_MAX,
                                 CORRAL_XML_DEPTH) ||
        !read_host (&reader, host) || !corral_xml_validate (&reader, CORRAL_XML_HOST)) {
        g_propagate_error (error, g_steal_pointer (&reader.error));
        return FALSE;
    }
    *ret_host = g_steal_pointer (&host);
    return TRUE;
}

/* --- writing --- */

char *
corral_host_format (const CorralHost *host)
{
    GString *out = g_string_new ("<host xmlns='" CORRAL_XML_NAMESPACE "'>\n");

    if (host->housekeeping != NULL) {
        g_autofree char *list = corral_cpuset_format (host->housekeeping);

        g_string_append_printf (out, "  <housekeeping cpuset='%s'/>\n", list);
    } else
        g_string_append_printf (out, "  <housekeeping cores='%u' per='%s'/>\n", host->cores,
                                per_names[host->per]);
    if (host->reserve != NULL) {
        g_autofree char *list = corral_cpuset_format (host->reserve);

        g_string_append_printf (out, "  <reserve cpuset='%s'/>\n", list);
    }
    g_string_append (out, "  <placement");
    corral_wishes_append_placement (out, &host->defaults, DEFAULTS_SAID);
    g_string_append (out, "/>\n</host>\n");
    return g_string_free (out, FALSE);
}

/* --- what they come to --- */

void
corral_host_complete (const CorralHost *host, CorralPlacement *placement, guint said)
{
    const CorralPlacement *defaults = &host->defaults;

    if (placement->mode == CORRAL_MODE_NONE)
        return;
    if ((said & CORRAL_SAID_SMT) == 0)
        placement->smt = defaults->smt;
    if ((said & CORRAL_SAID_NUMA) == 0)
        placement->numa = defaults->numa;
    if ((said & CORRAL_SAID_EMULATOR) == 0)
        placement->emulator = defaults->emulator;
    if ((said & CORRAL_SAID_DRIFT) == 0)
        placement->repair = defaults->repair;
    if ((said & CORRAL_SAID_EXCLUSIVE) == 0 && placement->mode == CORRAL_MODE_DEDICATED)
        placement->exclusive = defaults->exclusive;
    if ((said & CORRAL_SAID_OVERCOMMIT) == 0 && placement->mode == CORRAL_MODE_SHARED) {
        placement->overcommit = defaults->overcommit;
        if (placement->share_percent > 0)
            placement->overcommit =
                MIN (placement->overcommit, 100 * 1000 / placement->share_percent);
    }
}

/* The package or node that housekeeping cores are counted in. */
static guint
unit_of (const CorralPcpu *cpu, CorralHostPer per)
{
    return per == CORRAL_PER_NODE ? cpu->node : per == CORRAL_PER_PACKAGE ? cpu->package : 0;
}

CorralCpuset *
corral_host_housekeeping (const CorralHost *host, const CorralTopology *topology)
{
    g_autoptr (GHashTable) counts = g_hash_table_new (NULL, NULL);
    g_autoptr (GHashTable) taken = g_hash_table_new (NULL, NULL);
    CorralCpuset *set = hwloc_bitmap_alloc ();

    if (host->housekeeping != NULL) {
        hwloc_bitmap_and (set, host->housekeeping, topology->online);
        return set;
    }
    /* pCPUs are sorted, so a core is met at its lowest thread that can be used. */
    for (guint i = 0; i < topology->n_cpus; i++) {
        const CorralPcpu *cpu = &topology->cpus[i];
        gpointer unit = GUINT_TO_POINTER (unit_of (cpu, host->per));
        guint count = GPOINTER_TO_UINT (g_hash_table_lookup (counts, unit));

        if (!hwloc_bitmap_isset (topology->online, cpu->number) ||
            (host->reserve != NULL && hwloc_bitmap_isset (host->reserve, cpu->number)))
            continue;
        if (!g_hash_table_contains (taken, GUINT_TO_POINTER (cpu->core))) {
            if (count >= host->cores)
                continue;
            g_hash_table_add (taken, GUINT_TO_POINTER (cpu->core));
            g_hash_table_insert (counts, unit, GUINT_TO_POINTER (count + 1));
        }
        hwloc_bitmap_set (set, cpu->number);
    }
    return set;
}
