/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/driver/corral-driver-host.h"

#include "common/corral-error.h"

#include <libxml/xmlwriter.h>

/*
 * capabilities, domainCapabilities and sysinfo, as docs/formatcaps, formatdomaincaps and sysinfo of
 * libvirt describe them. Only what is true of a container is said; the elements that tools look for
 * without asking whether they are there (host CPU, topology, one guest) are always there.
 */

typedef struct {
    xmlTextWriter *writer;
    xmlBuffer *buffer;
} Document;

static Document
document_new (void)
{
    Document document;

    document.buffer = xmlBufferCreate ();
    document.writer = xmlNewTextWriterMemory (document.buffer, 0);
    xmlTextWriterSetIndent (document.writer, 1);
    xmlTextWriterSetIndentString (document.writer, BAD_CAST "  ");
    return document;
}

static char *
document_finish (Document *document)
{
    char *text;

    xmlTextWriterEndDocument (document->writer);
    xmlFreeTextWriter (document->writer);
    text = g_strdup ((const char *) xmlBufferContent (document->buffer));
    xmlBufferFree (document->buffer);
    return text;
}

static void
start (Document *document, const char *element)
{
    xmlTextWriterStartElement (document->writer, BAD_CAST element);
}

static void
end (Document *document)
{
    xmlTextWriterEndElement (document->writer);
}

static void
attribute (Document *document, const char *name, const char *value)
{
    xmlTextWriterWriteAttribute (document->writer, BAD_CAST name, BAD_CAST value);
}

static void
attribute_number (Document *document, const char *name, guint64 value)
{
    char text[24];

    g_snprintf (text, sizeof text, "%" G_GUINT64_FORMAT, value);
    attribute (document, name, text);
}

/* An element with nothing but text in it. What the host's firmware says may be no UTF-8. */
static void
leaf (Document *document, const char *element, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid (text, -1);

    xmlTextWriterWriteElement (document->writer, BAD_CAST element, BAD_CAST valid);
}

static void
leaf_number (Document *document, const char *element, guint64 value)
{
    char text[24];

    g_snprintf (text, sizeof text, "%" G_GUINT64_FORMAT, value);
    leaf (document, element, text);
}

/* --- capabilities --- */

static hwloc_obj_t
ancestor (hwloc_topology_t topology, hwloc_obj_type_t type, hwloc_obj_t object)
{
    return hwloc_get_ancestor_obj_by_type (topology, type, object);
}

/* The number the kernel has for @object, or hwloc's where the kernel has none; 0 without object. */
static guint
object_number (hwloc_obj_t object)
{
    if (object == NULL)
        return 0;
    return object->os_index == HWLOC_UNKNOWN_INDEX ? object->logical_index : object->os_index;
}

static void
write_cpu (Document *document, hwloc_topology_t topology, hwloc_obj_t pu)
{
    hwloc_obj_t core = ancestor (topology, HWLOC_OBJ_CORE, pu);
    g_autofree char *siblings = corral_cpuset_format (core != NULL ? core->cpuset : pu->cpuset);

    start (document, "cpu");
    attribute_number (document, "id", pu->os_index);
    attribute_number (document, "socket_id",
                      object_number (ancestor (topology, HWLOC_OBJ_PACKAGE, pu)));
    attribute_number (document, "die_id", object_number (ancestor (topology, HWLOC_OBJ_DIE, pu)));
    attribute_number (document, "core_id", object_number (core));
    attribute (document, "siblings", siblings);
    end (document);
}

static void
write_pages (Document *document, hwloc_obj_t node)
{
    for (unsigned i = 0; i < node->attr->numanode.page_types_len; i++) {
        start (document, "pages");
        attribute (document, "unit", "KiB");
        attribute_number (document, "size", node->attr->numanode.page_types[i].size / 1024);
        xmlTextWriterWriteFormatString (document->writer, "%" G_GUINT64_FORMAT,
                                        (guint64) node->attr->numanode.page_types[i].count);
        end (document);
    }
}

static void
write_distances (Document *document, const struct hwloc_distances_s *distances, hwloc_obj_t node)
{
    unsigned own = 0;

    while (own < distances->nbobjs && distances->objs[own] != node)
        own++;
    if (own == distances->nbobjs)
        return;
    start (document, "distances");
    for (unsigned i = 0; i < distances->nbobjs; i++) {
        start (document, "sibling");
        attribute_number (document, "id", distances->objs[i]->os_index);
        attribute_number (document, "value", distances->values[own * distances->nbobjs + i]);
        end (document);
    }
    end (document);
}

static void
write_cell (Document *document, hwloc_topology_t topology,
            const struct hwloc_distances_s *distances, hwloc_obj_t node)
{
    hwloc_obj_t pu = NULL;

    start (document, "cell");
    attribute_number (document, "id", node->os_index);
    start (document, "memory");
    attribute (document, "unit", "KiB");
    xmlTextWriterWriteFormatString (document->writer, "%" G_GUINT64_FORMAT,
                                    (guint64) node->attr->numanode.local_memory / 1024);
    end (document);
    write_pages (document, node);
    if (distances != NULL)
        write_distances (document, distances, node);
    start (document, "cpus");
    attribute_number (document, "num",
                      (guint64) hwloc_get_nbobjs_inside_cpuset_by_type (topology, node->cpuset,
                                                                        HWLOC_OBJ_PU));
    while ((pu = hwloc_get_next_obj_inside_cpuset_by_type (topology, node->cpuset, HWLOC_OBJ_PU,
                                                           pu)) != NULL)
        write_cpu (document, topology, pu);
    end (document);
    end (document);
}

static void
write_topology (Document *document, hwloc_topology_t topology)
{
    struct hwloc_distances_s *distances = NULL;
    unsigned n_distances = 1;
    hwloc_obj_t node = NULL;

    if (hwloc_distances_get_by_type (topology, HWLOC_OBJ_NUMANODE, &n_distances, &distances,
                                     HWLOC_DISTANCES_KIND_FROM_OS |
                                         HWLOC_DISTANCES_KIND_MEANS_LATENCY,
                                     0) < 0 ||
        n_distances == 0)
        distances = NULL;
    start (document, "topology");
    start (document, "cells");
    attribute_number (document, "num",
                      (guint64) hwloc_get_nbobjs_by_type (topology, HWLOC_OBJ_NUMANODE));
    while ((node = hwloc_get_next_obj_by_type (topology, HWLOC_OBJ_NUMANODE, node)) != NULL)
        write_cell (document, topology, distances, node);
    end (document);
    end (document);
    if (distances != NULL)
        hwloc_distances_release (topology, distances);
}

static void
write_host_cpu (Document *document, CorralDriverHost *host)
{
    CorralDriverNodeInfo info;

    start (document, "cpu");
    leaf (document, "arch", corral_driver_host_arch (host));
    if (corral_driver_host_node_info (host, &info, NULL)) {
        start (document, "topology");
        attribute_number (document, "sockets", info.sockets);
        attribute_number (document, "dies", 1);
        attribute_number (document, "cores", info.cores);
        attribute_number (document, "threads", info.threads);
        end (document);
    }
    end (document);
}

static void
write_guest (Document *document, CorralDriverHost *host)
{
    start (document, "guest");
    leaf (document, "os_type", "corral");
    start (document, "arch");
    attribute (document, "name", corral_driver_host_arch (host));
    leaf_number (document, "wordsize", GLIB_SIZEOF_VOID_P * 8);
    start (document, "domain");
    attribute (document, "type", "corral");
    end (document);
    end (document);
    end (document);
}

char *
corral_driver_host_capabilities (CorralDriverHost *host)
{
    Document document = document_new ();
    g_autofree char *uuid = corral_driver_host_read (host, "sys/class/dmi/id/product_uuid", NULL);

    start (&document, "capabilities");
    start (&document, "host");
    if (uuid != NULL && g_uuid_string_is_valid (uuid))
        leaf (&document, "uuid", uuid);
    write_host_cpu (&document, host);
    start (&document, "power_management");
    end (&document);
    write_topology (&document, corral_driver_host_topology (host));
    end (&document);
    write_guest (&document, host);
    end (&document);
    return document_finish (&document);
}

char *
corral_driver_host_domain_capabilities (CorralDriverHost *host, guint max_vcpus,
                                        const char *capacity)
{
    Document document = document_new ();

    start (&document, "domainCapabilities");
    leaf (&document, "domain", "corral");
    leaf (&document, "arch", corral_driver_host_arch (host));
    start (&document, "vcpu");
    attribute_number (&document, "max", max_vcpus);
    end (&document);
    start (&document, "os");
    attribute (&document, "supported", "no");
    end (&document);
    start (&document, "devices");
    end (&document);
    if (capacity != NULL)
        xmlTextWriterWriteRaw (document.writer, BAD_CAST capacity);
    end (&document);
    return document_finish (&document);
}

/* --- sysinfo --- */

typedef struct {
    const char *block;
    const char *entry; /* libvirt's name for it */
    const char *file;  /* below /sys/class/dmi/id */
} DmiEntry;

/* In order of blocks. Serial numbers and UUIDs can be read by root alone, and are left out else. */
static const DmiEntry dmi_entries[] = {
    { "bios", "vendor", "bios_vendor" },
    { "bios", "version", "bios_version" },
    { "bios", "date", "bios_date" },
    { "bios", "release", "bios_release" },
    { "system", "manufacturer", "sys_vendor" },
    { "system", "product", "product_name" },
    { "system", "version", "product_version" },
    { "system", "serial", "product_serial" },
    { "system", "uuid", "product_uuid" },
    { "system", "sku", "product_sku" },
    { "system", "family", "product_family" },
    { "baseBoard", "manufacturer", "board_vendor" },
    { "baseBoard", "product", "board_name" },
    { "baseBoard", "version", "board_version" },
    { "baseBoard", "serial", "board_serial" },
    { "baseBoard", "asset", "board_asset_tag" },
    { "chassis", "manufacturer", "chassis_vendor" },
    { "chassis", "version", "chassis_version" },
    { "chassis", "serial", "chassis_serial" },
    { "chassis", "asset", "chassis_asset_tag" },
};

static void
write_entry (Document *document, const char *name, const char *value)
{
    g_autofree char *valid = g_utf8_make_valid (value, -1);

    start (document, "entry");
    attribute (document, "name", name);
    xmlTextWriterWriteString (document->writer, BAD_CAST valid);
    end (document);
}

static guint
write_dmi (Document *document, CorralDriverHost *host)
{
    const char *block = NULL;
    guint written = 0;

    for (gsize i = 0; i < G_N_ELEMENTS (dmi_entries); i++) {
        g_autofree char *path = g_strconcat ("sys/class/dmi/id/", dmi_entries[i].file, NULL);
        g_autofree char *value = corral_driver_host_read (host, path, NULL);

        if (value == NULL || *value == '\0')
            continue;
        if (g_strcmp0 (block, dmi_entries[i].block) != 0) {
            if (block != NULL)
                end (document);
            block = dmi_entries[i].block;
            start (document, block);
        }
        write_entry (document, dmi_entries[i].entry, value);
        written++;
    }
    if (block != NULL)
        end (document);
    return written;
}

/* (transfer full) (nullable): what follows "@key : " in the first line of @text that starts with it
 * */
static char *
cpuinfo_value (const char *text, const char *key)
{
    const char *at = text;

    while (at != NULL && !g_str_has_prefix (at, key)) {
        at = strchr (at, '\n');
        if (at != NULL)
            at++;
    }
    if (at != NULL)
        at = strpbrk (at, ":\n");
    if (at == NULL || *at == '\n')
        return NULL;
    return g_strstrip (g_strndup (at + 1, strcspn (at + 1, "\n")));
}

/* One block for each package; the packages of a machine are alike, as far as /proc/cpuinfo says. */
static guint
write_processors (Document *document, CorralDriverHost *host)
{
    static const char *const entries[][2] = {
        { "manufacturer", "vendor_id" },
        { "version", "model name" },
    };
    hwloc_topology_t topology = corral_driver_host_topology (host);
    int packages = MAX (hwloc_get_nbobjs_by_type (topology, HWLOC_OBJ_PACKAGE), 1);
    g_autofree char *cpuinfo = corral_driver_host_read (host, "proc/cpuinfo", NULL);

    if (cpuinfo == NULL)
        return 0;
    for (int i = 0; i < packages; i++) {
        g_autofree char *socket = g_strdup_printf ("CPU %d", i);

        start (document, "processor");
        write_entry (document, "socket_destination", socket);
        write_entry (document, "type", "Central Processor");
        for (gsize j = 0; j < G_N_ELEMENTS (entries); j++) {
            g_autofree char *value = cpuinfo_value (cpuinfo, entries[j][1]);

            if (value != NULL)
                write_entry (document, entries[j][0], value);
        }
        end (document);
    }
    return (guint) packages;
}

char *
corral_driver_host_sysinfo (CorralDriverHost *host, GError **error)
{
    Document document = document_new ();
    g_autofree char *text = NULL;
    guint written;

    start (&document, "sysinfo");
    attribute (&document, "type", "smbios");
    written = write_dmi (&document, host);
    written += write_processors (&document, host);
    end (&document);
    text = document_finish (&document);
    if (written > 0)
        return g_steal_pointer (&text);
    g_set_error_literal (error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED,
                         "Host SMBIOS information is not available: neither \"/sys/class/dmi/id\" "
                         "nor \"/proc/cpuinfo\" can be read");
    return NULL;
}
