/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A capacity in the words of OpenStack Placement (api-ref/placement: resource providers,
 * inventories, usages). */
#include "policy/capacity-private.h"

#include <json-glib/json-glib.h>

/* "version" of the document: grows when a field changes its meaning or goes. */
#define DOCUMENT_VERSION 1

/* One of RFC 4122's version 5, so that a provider keeps its UUID: in the name space of DNS, of
 * "corral/" and the provider's name. */
static char *
provider_uuid (const char *name)
{
    static const guint8 dns[] = { 0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1,
                                  0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8 };
    g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA1);
    g_autoptr (GString) text = g_string_new (NULL);
    guint8 digest[20];
    gsize length = sizeof digest;

    g_checksum_update (checksum, dns, sizeof dns);
    g_checksum_update (checksum, (const guchar *) "corral/", 7);
    g_checksum_update (checksum, (const guchar *) name, -1);
    g_checksum_get_digest (checksum, digest, &length);
    digest[6] = (guint8) ((digest[6] & 0x0f) | 0x50);
    digest[8] = (guint8) ((digest[8] & 0x3f) | 0x80);
    for (guint i = 0; i < 16; i++)
        g_string_append_printf (text, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                                digest[i]);
    return g_string_free (g_steal_pointer (&text), FALSE);
}

/* One resource class. What Placement hands out of it is (total - reserved) * allocation_ratio, at
 * most max_unit at once; when not even one more vCPU fits, all that is left is reserved. */
static void
add_class (JsonObject *inventories, JsonObject *usages, const char *class, guint total,
           guint reserved, guint ratio, guint used, int largest)
{
    JsonObject *inventory;

    if (total == 0) /* Placement wants one at least */
        return;
    if (largest <= 0)
        reserved = MAX (reserved, total - MIN (total, (guint) ((guint64) used * 1000 / ratio)));
    inventory = json_object_new ();
    json_object_set_int_member (inventory, "total", total);
    json_object_set_int_member (inventory, "reserved", reserved);
    json_object_set_int_member (inventory, "min_unit", 1);
    json_object_set_int_member (inventory, "max_unit", MAX (largest, 1));
    json_object_set_int_member (inventory, "step_size", 1);
    json_object_set_double_member (inventory, "allocation_ratio", ratio / 1000.0);
    json_object_set_object_member (inventories, class, inventory);
    json_object_set_int_member (usages, class, used);
}

/* Every online pCPU is in the total of exactly one class: those that are shared make VCPU, all
 * others PCPU, where what no dedicated vCPU can have is reserved. */
static void
add_inventories (JsonObject *provider, const CorralCapacityRow *row)
{
    JsonObject *inventories = json_object_new ();
    JsonObject *usages = json_object_new ();

    if (row != NULL) {
        add_class (inventories, usages, "PCPU", row->total - MIN (row->shared, row->total),
                   row->reserved + row->idle, 1000, row->dedicated_vcpus, row->largest_dedicated);
        add_class (inventories, usages, "VCPU", row->shared, 0, MAX (row->allocation_ratio, 1),
                   row->vcpus - MIN (row->dedicated_vcpus, row->vcpus), row->largest_shared);
    }
    json_object_set_object_member (provider, "inventories", inventories);
    json_object_set_object_member (provider, "usages", usages);
}

/* @row: (nullable): whose pCPUs it has; %NULL: none of its own */
static void
add_provider (JsonArray *providers, const char *name, const char *root,
              const CorralCapacityRow *row, guint64 generation)
{
    JsonObject *provider = json_object_new ();
    g_autofree char *uuid = provider_uuid (name);
    g_autofree char *root_uuid = provider_uuid (root);

    json_object_set_string_member (provider, "name", name);
    json_object_set_string_member (provider, "uuid", uuid);
    if (g_str_equal (uuid, root_uuid))
        json_object_set_null_member (provider, "parent_provider_uuid");
    else
        json_object_set_string_member (provider, "parent_provider_uuid", root_uuid);
    json_object_set_string_member (provider, "root_provider_uuid", root_uuid);
    json_object_set_int_member (provider, "generation",
                                (gint64) MIN (generation, (guint64) G_MAXINT64));
    add_inventories (provider, row);
    json_array_add_object_element (providers, provider);
}

/* Placement looks for a resource in the whole tree of providers, so no pCPU may be in two of them:
 * with several nodes they have them all, and the host has none. */
char *
corral_capacity_placement (const CorralCapacity *capacity, const char *host, guint64 generation)
{
    g_autofree char *name = g_utf8_make_valid (host, -1);
    g_autoptr (JsonObject) document = json_object_new ();
    g_autoptr (JsonNode) root = NULL;
    JsonArray *providers = json_array_new ();
    g_autofree char *text = NULL;
    guint n_nodes = 0;

    for (guint i = 0; i < capacity->n_rows; i++)
        n_nodes += capacity->rows[i].kind == CORRAL_CAPACITY_NODE;
    add_provider (providers, name, name, n_nodes > 1 ? NULL : &capacity->rows[0], generation);
    for (guint i = 0; n_nodes > 1 && i < capacity->n_rows; i++) {
        if (capacity->rows[i].kind == CORRAL_CAPACITY_NODE) {
            g_autofree char *node = g_strconcat (name, "/", capacity->rows[i].name, NULL);

            add_provider (providers, node, name, &capacity->rows[i], generation);
        }
    }
    json_object_set_int_member (document, "version", DOCUMENT_VERSION);
    json_object_set_array_member (document, "resource_providers", providers);
    root = json_node_init_object (json_node_alloc (), document);
    text = json_to_string (root, TRUE);
    return g_strconcat (text, "\n", NULL);
}
