/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Letters, numbers and colours for containers and VMs. */
#include "policy/capacity-svg.h"

/* Okabe and Ito's colours, which people with any colour vision can tell apart, made light so that
 * black text is readable on them. From the eighth container on they come again: the letters tell.
 */
static const char *const colours[] = { "#9ad2f2", "#f0c566", "#66c5ab", "#e0afca",
                                       "#e69e66", "#f6ef8e", "#8fb6dc" };

static void
owner_free (CorralSvgOwner *owner)
{
    g_free (owner->letters);
    g_clear_pointer (&owner->vms, g_ptr_array_unref);
    g_free (owner);
}

/* A to Z, then AA, AB and so on. */
static char *
letters_of (guint index)
{
    g_autoptr (GString) letters = g_string_new (NULL);

    for (guint rest = index + 1; rest > 0; rest = (rest - 1) / 26)
        g_string_prepend_c (letters, (char) ('A' + (rest - 1) % 26));
    return g_string_free (g_steal_pointer (&letters), FALSE);
}

static guint
count_pcpus (const CorralCapacity *capacity, const char *path)
{
    guint count = 0;

    for (guint i = 0; i < capacity->n_pcpus; i++)
        count += g_strcmp0 (capacity->pcpus[i].container, path) == 0;
    return count;
}

static void
add_owner (GPtrArray *owners, GHashTable *known, const char *path)
{
    CorralSvgOwner *owner = g_new0 (CorralSvgOwner, 1);

    owner->path = path;
    owner->colour = colours[owners->len % G_N_ELEMENTS (colours)];
    owner->letters = letters_of (owners->len);
    owner->vms = g_ptr_array_new ();
    g_ptr_array_add (owners, owner);
    g_hash_table_insert (known, (gpointer) path, owner);
}

GPtrArray *
corral_svg_owners (const CorralCapacity *capacity)
{
    GPtrArray *owners = g_ptr_array_new_with_free_func ((GDestroyNotify) owner_free);
    g_autoptr (GHashTable) known = g_hash_table_new (g_str_hash, g_str_equal);

    for (guint i = 0; i < capacity->n_rows; i++) {
        const CorralCapacityRow *row = &capacity->rows[i];

        if (row->kind == CORRAL_CAPACITY_CONTAINER && !g_hash_table_contains (known, row->name) &&
            count_pcpus (capacity, row->name) > 0)
            add_owner (owners, known, row->name);
    }
    for (guint i = 0; i < capacity->n_pcpus; i++) {
        const CorralCapacityPcpu *pcpu = &capacity->pcpus[i];
        CorralSvgOwner *owner;

        if (pcpu->container == NULL)
            continue;
        if (!g_hash_table_contains (known, pcpu->container))
            add_owner (owners, known, pcpu->container);
        owner = g_hash_table_lookup (known, pcpu->container);
        owner->n_pcpus++;
        if (pcpu->vm != NULL &&
            !g_ptr_array_find_with_equal_func (owner->vms, pcpu->vm, g_str_equal, NULL))
            g_ptr_array_add (owner->vms, pcpu->vm);
    }
    return owners;
}

const CorralSvgOwner *
corral_svg_find_owner (const GPtrArray *owners, const char *path)
{
    for (guint i = 0; path != NULL && i < owners->len; i++) {
        const CorralSvgOwner *owner = owners->pdata[i];

        if (g_str_equal (owner->path, path))
            return owner;
    }
    return NULL;
}

char *
corral_svg_code (const GPtrArray *owners, const CorralCapacityPcpu *pcpu)
{
    const CorralSvgOwner *owner = corral_svg_find_owner (owners, pcpu->container);
    guint vm = 0;

    if (pcpu->use == CORRAL_USE_HOUSEKEEPING)
        return g_strdup ("H");
    if (pcpu->use == CORRAL_USE_OFFLINE)
        return g_strdup ("off");
    if (owner == NULL || pcpu->use == CORRAL_USE_FREE)
        return g_strdup ("");
    if (pcpu->use == CORRAL_USE_SHARED && pcpu->more_containers > 0)
        return g_strdup_printf ("%s+%u", owner->letters, pcpu->more_containers);
    if (pcpu->vm == NULL ||
        !g_ptr_array_find_with_equal_func (owner->vms, pcpu->vm, g_str_equal, &vm))
        return g_strdup (owner->letters);
    return g_strdup_printf (pcpu->use == CORRAL_USE_IDLE ? "(%s%u)" : "%s%u", owner->letters,
                            vm + 1);
}
