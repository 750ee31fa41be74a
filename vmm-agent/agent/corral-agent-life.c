/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How containers come and go. The order of writes: a live copy is saved before the kernel is told
 * to make the container, and removed after the kernel has removed it. So a kill in between leaves a
 * live copy without a container, which the next start drops, or a container that is half made and
 * has a live copy, which the next start completes. */
#include "vmm-agent/agent/corral-agent-plan-private.h"

#include "common/corral-error.h"

#include <string.h>

#define RECHECK_MS 20

static const guint8 no_uuid[CORRAL_UUID_BYTES];

/* --- names, UUIDs, paths --- */

static void
set_uuid_bits (guint8 *uuid, guint8 version)
{
    uuid[6] = (guint8) ((uuid[6] & 0x0f) | (version << 4));
    uuid[8] = (guint8) ((uuid[8] & 0x3f) | 0x80);
}

/* RFC 4122, 4.4 */
static void
make_random_uuid (guint8 *uuid)
{
    for (gsize i = 0; i < CORRAL_UUID_BYTES; i++)
        uuid[i] = (guint8) g_random_int_range (0, 256);
    set_uuid_bits (uuid, 4);
}

/* RFC 4122, 4.3, in a name space of our own */
void
corral_agent_uuid_from_name (const char *name, guint8 *uuid)
{
    static const char space[] = CORRAL_XML_NAMESPACE ":container:";
    g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA1);
    guint8 digest[20];
    gsize length = sizeof digest;

    g_checksum_update (sum, (const guchar *) space, sizeof space - 1);
    g_checksum_update (sum, (const guchar *) name, -1);
    g_checksum_get_digest (sum, digest, &length);
    memcpy (uuid, digest, CORRAL_UUID_BYTES);
    set_uuid_bits (uuid, 5);
}

static gboolean
has_path (const CorralAgentEntry *entry, const char *path)
{
    return (entry->shown.live != NULL && g_str_equal (entry->shown.live->partition, path)) ||
           (entry->shown.config != NULL && g_str_equal (entry->shown.config->partition, path));
}

gboolean
corral_agent_check_unique (CorralAgent *agent, const CorralDefinition *definition,
                           const CorralAgentEntry *self, GError **error)
{
    GHashTableIter iter;
    CorralAgentEntry *entry;
    const char *what = NULL;

    g_hash_table_iter_init (&iter, agent->entries);
    while (what == NULL && g_hash_table_iter_next (&iter, NULL, (gpointer *) &entry)) {
        const CorralDefinition *other = corral_container_definition (&entry->shown);

        if (entry == self || other == NULL)
            continue;
        if (memcmp (other->uuid, definition->uuid, CORRAL_UUID_BYTES) == 0)
            what = "UUID";
        else if (has_path (entry, definition->partition))
            what = "partition";
        if (what != NULL)
            g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_EXISTS,
                         "cannot define the container \"%s\": \"%s\" has the same %s",
                         definition->name, other->name, what);
    }
    return what == NULL;
}

gboolean
corral_agent_check_replaces (CorralAgent *agent, const CorralAgentEntry *entry,
                             const CorralDefinition *definition, GError **error)
{
    const CorralDefinition *old =
        entry != NULL ? corral_container_definition (&entry->shown) : NULL;

    if (old != NULL && memcmp (definition->uuid, old->uuid, CORRAL_UUID_BYTES) != 0) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_EXISTS,
                     "cannot define the container \"%s\": it exists with another UUID",
                     definition->name);
        return FALSE;
    }
    if (entry != NULL && corral_agent_entry_is_active (entry) &&
        !g_str_equal (entry->shown.live->partition, definition->partition)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE,
                     "cannot move the container \"%s\" to \"%s\": it is active at \"%s\"",
                     definition->name, definition->partition, entry->shown.live->partition);
        return FALSE;
    }
    return corral_agent_check_unique (agent, definition, entry, error);
}

/* What define and create have in common: a copy of @definition with a UUID, free of conflicts.
 * @ret_entry: (nullable): the container of that name there is */
static gboolean
prepare (CorralAgent *agent, const CorralDefinition *definition, CorralDefinition **ret_copy,
         CorralAgentEntry **ret_entry, GError **error)
{
    CorralAgentEntry *entry = g_hash_table_lookup (agent->entries, definition->name);
    g_autoptr (CorralDefinition) copy = NULL;

    if (!corral_store_name_check (definition->name, error) ||
        !corral_partition_check (definition->partition, error))
        return FALSE;
    copy = corral_definition_copy (definition);
    if (memcmp (copy->uuid, no_uuid, sizeof no_uuid) == 0) {
        if (entry != NULL)
            memcpy (copy->uuid, corral_container_definition (&entry->shown)->uuid,
                    sizeof copy->uuid);
        else
            make_random_uuid (copy->uuid);
    }
    if (!corral_agent_check_replaces (agent, entry, copy, error))
        return FALSE;
    *ret_copy = g_steal_pointer (&copy);
    *ret_entry = entry;
    return TRUE;
}

/* --- the kernel's side --- */

static gboolean
wants_other_set (const CorralCpuset *wanted, const CorralCpuset *has)
{
    return wanted != NULL && !hwloc_bitmap_isequal (wanted, has);
}

static gboolean
adjust_steps (CorralAgent *agent, const CorralDefinition *wanted, GError **error)
{
    g_autoptr (CorralCpuset) cpus = NULL, mems = NULL;

    if (!corral_container_get_cpuset (agent->core, wanted->partition, &cpus, &mems, error))
        return FALSE;
    /* The planner gives a planned one its pCPUs. */
    if (!wanted->planned &&
        (wants_other_set (wanted->cpus, cpus) || wants_other_set (wanted->mems, mems)) &&
        !corral_container_set_cpuset (agent->core, wanted->partition, wanted->cpus, wanted->mems,
                                      error))
        return FALSE;
    return corral_agent_write_kernel_tune (agent, wanted->partition, &wanted->tune, error);
}

/* A container that is there already is given the values that it does not have yet. All of them or
 * none: what it had may have been its parent's, which no set says that could be read. */
static gboolean
adjust_in_kernel (CorralAgent *agent, const CorralDefinition *wanted, GError **error)
{
    corral_container_begin (agent->core);
    if (!adjust_steps (agent, wanted, error))
        return corral_container_rollback (agent->core, error);
    corral_container_commit (agent->core);
    return TRUE;
}

static gboolean
make_in_kernel (CorralAgent *agent, const CorralDefinition *wanted, GError **error)
{
    if (corral_container_get_state (agent->core, wanted->partition) == CORRAL_CONTAINER_WHOLE)
        return adjust_in_kernel (agent, wanted, error);
    if (!corral_container_create (agent->core, wanted->partition,
                                  wanted->planned ? NULL : wanted->cpus,
                                  wanted->planned ? NULL : wanted->mems, error))
        return FALSE;
    if (corral_agent_write_kernel_tune (agent, wanted->partition, &wanted->tune, error))
        return TRUE;
    if (!corral_container_destroy (agent->core, wanted->partition, NULL))
        g_prefix_error (error, "the container could not be removed after this: ");
    return FALSE;
}

/* Shows where the kernel has other values than the live copy; what nobody has set stays unset. */
static void
take_kernel_tune (CorralAgent *agent, CorralDefinition *live)
{
    CorralCpuTune expected = CORRAL_AGENT_TUNE_DEFAULT, tune;

    if (!corral_agent_read_kernel_tune (agent, live->partition, &tune, NULL))
        return;
    corral_agent_tune_merge (&expected, &live->tune);
    if (tune.shares != expected.shares)
        live->tune.shares = tune.shares;
    if (tune.period_usec != expected.period_usec)
        live->tune.period_usec = tune.period_usec;
    if (tune.quota_usec != expected.quota_usec)
        live->tune.quota_usec = tune.quota_usec;
    if (tune.burst_usec != expected.burst_usec)
        live->tune.burst_usec = tune.burst_usec;
}

/* --- active and inactive --- */

void
corral_agent_watch_entry (CorralAgent *agent, CorralAgentEntry *entry)
{
    const char *path = corral_agent_entry_path (entry);
    GError *problem = NULL;

    if (g_strcmp0 (entry->watched, path) == 0)
        return;
    if (entry->watched != NULL)
        corral_container_unwatch (agent->core, entry->watched);
    g_clear_pointer (&entry->watched, g_free);
    if (corral_container_watch (agent->core, path, &problem))
        entry->watched = g_strdup (path);
    else
        corral_agent_problem (agent, problem, NULL);
}

gboolean
corral_agent_enter (CorralAgent *agent, CorralAgentEntry *entry, CorralDefinition *live,
                    GError **error)
{
    g_autoptr (CorralDefinition) taken = live;
    GError *problem = NULL;
    gboolean found;
    int id;

    if (!corral_container_get_id (agent->core, taken->partition, &id, error))
        return FALSE;
    take_kernel_tune (agent, taken);
    entry->slot = corral_usage_file_container (agent->usage, id, &found, &problem);
    if (problem != NULL)
        corral_agent_problem (agent, problem, NULL);
    memset (&entry->spare, 0, sizeof entry->spare);
    entry->shown.live = corral_definition_copy (taken);
    entry->stored = g_steal_pointer (&taken);
    entry->shown.id = id;
    corral_agent_usage_enter (agent, entry, found);
    corral_agent_watch_entry (agent, entry);
    corral_agent_relink (agent);
    if (!agent->starting)
        corral_agent_emit_simple (agent, entry, CORRAL_EVENT_STARTED, NULL);
    corral_agent_take_claimed (agent, entry);
    if (entry->stored != NULL && entry->stored->planned)
        corral_agent_replan_soon (agent);
    return TRUE;
}

/* A live copy that cannot be read is of no use to its author: the folder is ours alone. */
static gboolean
save_live (CorralAgent *agent, const CorralDefinition *definition, GError **error)
{
    g_autoptr (GError) reason = NULL;

    if (corral_store_save (agent->lives, definition, &reason))
        return TRUE;
    if (g_error_matches (reason, CORRAL_ERROR, CORRAL_ERROR_STATE) &&
        corral_store_set_aside (agent->lives, definition->name, NULL))
        return corral_store_save (agent->lives, definition, error);
    g_propagate_error (error, g_steal_pointer (&reason));
    return FALSE;
}

gboolean
corral_agent_adopt (CorralAgent *agent, CorralAgentEntry *entry, const CorralDefinition *wanted,
                    GError **error)
{
    GError *problem = NULL;

    if (!save_live (agent, wanted, error))
        return FALSE;
    if (!make_in_kernel (agent, wanted, &problem))
        corral_agent_problem (agent, problem, NULL);
    return corral_agent_enter (agent, entry, corral_definition_copy (wanted), error);
}

void
corral_agent_deactivate (CorralAgent *agent, CorralAgentEntry *entry)
{
    g_autoptr (CorralDefinition) live = NULL;
    GError *problem = NULL;
    CorralEvent event;

    if (!corral_store_remove (agent->lives, entry->shown.live->name, &problem))
        corral_agent_problem (agent, problem, NULL);
    live = g_steal_pointer (&entry->shown.live);
    g_clear_pointer (&entry->stored, corral_definition_free);
    g_clear_handle_id (&entry->recheck, g_source_remove);
    corral_agent_relink (agent);
    corral_agent_usage_leave (agent, entry);
    corral_usage_file_drop (agent->usage, entry->slot);
    entry->slot = CORRAL_USAGE_NO_SLOT;
    entry->parent = NULL;
    entry->shown.id = -1;
    corral_agent_values_clear (&entry->applied);
    corral_agent_replan_soon (agent);
    if (entry->shown.config != NULL)
        corral_agent_watch_entry (agent, entry);
    event = (CorralEvent){ .type = CORRAL_EVENT_STOPPED,
                           .name = live->name,
                           .uuid = live->uuid,
                           .id = -1,
                           .tune = CORRAL_CPU_TUNE_INIT };
    corral_agent_drop_entry (agent, entry);
    corral_agent_emit (agent, &event);
}

static gboolean
on_recheck (gpointer data)
{
    gpointer *pair = data;
    CorralAgentEntry *entry = pair[1];

    entry->recheck = 0;
    corral_agent_check (pair[0], entry);
    return G_SOURCE_REMOVE;
}

/* Somebody makes it, or takes it away, directory by directory: look again before acting. */
static gboolean
wait_while_half_made (CorralAgent *agent, CorralAgentEntry *entry)
{
    gpointer pair[2] = { agent, entry };

    if (entry->recheck != 0)
        return TRUE;
    if (entry->rechecks_left == 0)
        return FALSE;
    entry->rechecks_left--;
    entry->recheck = g_timeout_add_full (G_PRIORITY_DEFAULT, RECHECK_MS, on_recheck,
                                         g_memdup2 (pair, sizeof pair), g_free);
    return TRUE;
}

static void
check_half_made (CorralAgent *agent, CorralAgentEntry *entry)
{
    const CorralDefinition *wanted =
        corral_agent_entry_is_active (entry) ? entry->stored : entry->shown.config;
    GError *problem = NULL;

    if (wait_while_half_made (agent, entry))
        return;
    entry->rechecks_left = CORRAL_AGENT_RECHECKS;
    if (!make_in_kernel (agent, wanted, &problem) ||
        (!corral_agent_entry_is_active (entry) &&
         !corral_agent_adopt (agent, entry, wanted, &problem)))
        corral_agent_problem (agent, problem, NULL);
}

/* Another container may have taken the place of one that went, between two of our looks. */
static gboolean
is_another (CorralAgent *agent, CorralAgentEntry *entry)
{
    int id;

    return corral_container_get_id (agent->core, corral_agent_entry_path (entry), &id, NULL) &&
           id != entry->shown.id;
}

void
corral_agent_check (CorralAgent *agent, CorralAgentEntry *entry)
{
    gboolean active = corral_agent_entry_is_active (entry);
    GError *problem = NULL;

    switch (corral_container_get_state (agent->core, corral_agent_entry_path (entry))) {
    case CORRAL_CONTAINER_PARTIAL:
        check_half_made (agent, entry);
        return;
    case CORRAL_CONTAINER_ABSENT:
        if (active)
            corral_agent_deactivate (agent, entry);
        else
            entry->rechecks_left = CORRAL_AGENT_RECHECKS;
        return;
    case CORRAL_CONTAINER_WHOLE:
        entry->rechecks_left = CORRAL_AGENT_RECHECKS;
        if (active && is_another (agent, entry)) {
            gboolean transient = entry->shown.config == NULL;

            corral_agent_deactivate (agent, entry);
            if (transient)
                return;
            active = FALSE;
        }
        if (!active && !corral_agent_adopt (agent, entry, entry->shown.config, &problem))
            corral_agent_problem (agent, problem, NULL);
        return;
    }
}

/* --- start --- */

static gboolean
stop_one (CorralAgent *agent, CorralAgentEntry *entry, GError **error)
{
    if (!corral_container_destroy (agent->core, corral_agent_entry_path (entry), error))
        return FALSE;
    corral_agent_deactivate (agent, entry);
    return TRUE;
}

/* The container gets its entry last: until it is active or defined, nobody must see it. */
static gboolean
start_one (CorralAgent *agent, const CorralDefinition *definition, GError **error)
{
    CorralAgentChange change = { .candidate = definition };
    CorralAgentEntry *entry;

    if (!corral_agent_check_change (agent, &change, error)) {
        g_prefix_error (error, "cannot start the container \"%s\": ", definition->name);
        return FALSE;
    }
    if (!save_live (agent, definition, error))
        return FALSE;
    if (!make_in_kernel (agent, definition, error)) {
        if (!corral_store_remove (agent->lives, definition->name, NULL))
            g_prefix_error (error, "its live copy could not be removed after this: ");
        return FALSE;
    }
    entry = g_hash_table_lookup (agent->entries, definition->name);
    if (entry == NULL)
        entry = corral_agent_add_entry (agent, definition->name);
    if (!corral_agent_enter (agent, entry, corral_definition_copy (definition), error)) {
        corral_agent_drop_entry (agent, entry);
        return FALSE;
    }
    if (corral_agent_replan (agent, error))
        return TRUE;
    if (!stop_one (agent, entry, NULL))
        g_prefix_error (error, "the container stays active, without its plan, after this: ");
    return FALSE;
}

static int
compare_depth (gconstpointer a, gconstpointer b)
{
    const CorralAgentEntry *const *first = a, *const *second = b;
    gsize left = strlen ((*first)->shown.config->partition);
    gsize right = strlen ((*second)->shown.config->partition);

    return (left > right) - (left < right);
}

GPtrArray *
corral_agent_inactive_above (CorralAgent *agent, const char *path)
{
    GPtrArray *above = g_ptr_array_new ();
    GHashTableIter iter;
    CorralAgentEntry *entry;

    g_hash_table_iter_init (&iter, agent->entries);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &entry))
        if (!corral_agent_entry_is_active (entry) && entry->shown.config != NULL &&
            !g_str_equal (entry->shown.config->partition, path) &&
            corral_agent_path_is_within (path, entry->shown.config->partition))
            g_ptr_array_add (above, entry);
    g_ptr_array_sort (above, compare_depth);
    return above;
}

/* Starts @definition, and what is above it; none of it when one fails. */
static gboolean
start_with_parents (CorralAgent *agent, const CorralDefinition *definition, GError **error)
{
    g_autoptr (GPtrArray) above = corral_agent_inactive_above (agent, definition->partition);
    guint started = 0;
    gboolean ok = TRUE;

    while (ok && started < above->len) {
        CorralAgentEntry *parent = g_ptr_array_index (above, started);

        ok = start_one (agent, parent->shown.config, error);
        started += ok ? 1 : 0;
    }
    if (ok)
        ok = start_one (agent, definition, error);
    while (!ok && started > 0) {
        GError *problem = NULL;

        if (!stop_one (agent, g_ptr_array_index (above, --started), &problem))
            corral_agent_problem (agent, problem, "a parent started in vain stays active");
    }
    return ok;
}

gboolean
corral_agent_start_container (CorralAgent *agent, const char *name, GError **error)
{
    CorralAgentEntry *entry = corral_agent_find (agent, name, error);

    if (entry == NULL)
        return FALSE;
    if (corral_agent_entry_is_active (entry)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE,
                     "cannot start the container \"%s\": it is active already", name);
        return FALSE;
    }
    return start_with_parents (agent, entry->shown.config, error);
}

gboolean
corral_agent_create (CorralAgent *agent, const CorralDefinition *definition,
                     const CorralContainer **ret_container, GError **error)
{
    g_autoptr (CorralDefinition) copy = NULL;
    CorralAgentEntry *entry;

    if (!prepare (agent, definition, &copy, &entry, error))
        return FALSE;
    if (entry != NULL && corral_agent_entry_is_active (entry)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE,
                     "cannot create the container \"%s\": it is active already", copy->name);
        return FALSE;
    }
    if (!start_with_parents (agent, copy, error))
        return FALSE;
    *ret_container = corral_agent_lookup_name (agent, copy->name);
    return TRUE;
}

/* --- define, undefine, destroy --- */

gboolean
corral_agent_take_wishes (CorralAgent *agent, CorralAgentEntry *entry, GError **error)
{
    const CorralDefinition *config = entry->shown.config;
    CorralDefinition *const both[] = { entry->stored, entry->shown.live };
    g_auto (CorralAgentDraft) before = { NULL };

    if (!corral_agent_draft_begin (entry, CORRAL_AFFECT_LIVE, &before, error))
        return FALSE;
    for (guint i = 0; i < G_N_ELEMENTS (both); i++) {
        both[i]->planned = config->planned;
        both[i]->placement = config->placement;
        both[i]->placement_said = config->placement_said;
        if (!config->planned)
            continue;
        g_clear_pointer (&both[i]->cpus, hwloc_bitmap_free);
        both[i]->cpus = config->cpus != NULL ? hwloc_bitmap_dup (config->cpus) : NULL;
    }
    if (save_live (agent, entry->stored, error) && corral_agent_replan (agent, error))
        return TRUE;
    corral_agent_draft_revert (agent, &before);
    return FALSE;
}

/* It is defined as it was before. @old: (transfer full) (nullable): not at all */
static void
undo_define (CorralAgent *agent, CorralAgentEntry *entry, CorralDefinition *old)
{
    GError *problem = NULL;

    if (old != NULL ? !corral_store_save (agent->configs, old, &problem)
                    : !corral_store_remove (agent->configs, entry->shown.config->name, &problem))
        corral_agent_problem (agent, problem, "a change of a definition could not be undone");
    corral_definition_free (entry->shown.config);
    entry->shown.config = old;
}

gboolean
corral_agent_define (CorralAgent *agent, const CorralDefinition *definition,
                     const CorralContainer **ret_container, GError **error)
{
    g_autoptr (CorralDefinition) copy = NULL, old = NULL;
    CorralAgentChange change = { NULL };
    CorralAgentEntry *entry;
    gboolean active, wishes;

    if (!prepare (agent, definition, &copy, &entry, error))
        return FALSE;
    active = entry != NULL && corral_agent_entry_is_active (entry);
    wishes = active && (copy->planned || entry->stored->planned);
    change.candidate = copy;
    if (wishes && !corral_agent_check_change (agent, &change, error)) {
        g_prefix_error (error, "cannot define the container \"%s\": ", copy->name);
        return FALSE;
    }
    if (!corral_store_save (agent->configs, copy, error))
        return FALSE;
    if (entry == NULL)
        entry = corral_agent_add_entry (agent, copy->name);
    old = g_steal_pointer (&entry->shown.config);
    entry->shown.config = g_steal_pointer (&copy);
    if (wishes && !corral_agent_take_wishes (agent, entry, error)) {
        undo_define (agent, entry, g_steal_pointer (&old));
        return FALSE;
    }
    corral_agent_watch_entry (agent, entry);
    corral_agent_emit_simple (agent, entry,
                              old != NULL ? CORRAL_EVENT_UPDATED : CORRAL_EVENT_DEFINED, NULL);
    if (!corral_agent_entry_is_active (entry))
        corral_agent_check (agent, entry);
    *ret_container = &entry->shown;
    return TRUE;
}

gboolean
corral_agent_undefine (CorralAgent *agent, const char *name, GError **error)
{
    CorralAgentEntry *entry = corral_agent_find (agent, name, error);
    g_autoptr (CorralDefinition) old = NULL;
    CorralEvent event = { .type = CORRAL_EVENT_UNDEFINED, .tune = CORRAL_CPU_TUNE_INIT };

    if (entry == NULL)
        return FALSE;
    if (entry->shown.config == NULL) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE,
                     "cannot undefine the container \"%s\": it is transient", name);
        return FALSE;
    }
    if (!corral_store_remove (agent->configs, name, error))
        return FALSE;
    old = g_steal_pointer (&entry->shown.config);
    entry->shown.autostart = FALSE;
    event.name = old->name;
    event.uuid = old->uuid;
    event.id = entry->shown.id;
    corral_agent_drop_entry (agent, entry);
    corral_agent_emit (agent, &event);
    return TRUE;
}

/* Names who is inside; the kernel would only say that somebody is. */
static gboolean
check_empty (CorralAgent *agent, CorralAgentEntry *entry, GError **error)
{
    g_autoptr (GPtrArray) vms = corral_agent_vms_within (agent, entry);
    g_autoptr (GString) inside = g_string_new (NULL);
    GHashTableIter iter;
    CorralAgentEntry *child;

    for (guint i = 0; i < vms->len; i++) {
        const CorralAgentVm *vm = g_ptr_array_index (vms, i);

        g_string_append_printf (inside, "%s the VM \"%s\"", i > 0 ? "," : "", vm->name);
    }
    g_hash_table_iter_init (&iter, agent->entries);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &child))
        if (child != entry && corral_agent_entry_is_active (child) &&
            corral_agent_path_is_within (corral_agent_entry_path (child),
                                         corral_agent_entry_path (entry)))
            g_string_append_printf (inside, "%s the container \"%s\"", inside->len > 0 ? "," : "",
                                    child->shown.live->name);
    if (inside->len == 0)
        return TRUE;
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_BUSY,
                 "cannot destroy the container \"%s\": it still holds%s", entry->shown.live->name,
                 inside->str);
    return FALSE;
}

gboolean
corral_agent_destroy (CorralAgent *agent, const char *name, GError **error)
{
    CorralAgentEntry *entry = corral_agent_find (agent, name, error);

    if (entry == NULL)
        return FALSE;
    if (!corral_agent_entry_is_active (entry)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE,
                     "cannot destroy the container \"%s\": it is not active", name);
        return FALSE;
    }
    return check_empty (agent, entry, error) && stop_one (agent, entry, error);
}

gboolean
corral_agent_set_autostart (CorralAgent *agent, const char *name, gboolean autostart,
                            GError **error)
{
    CorralAgentEntry *entry = corral_agent_find (agent, name, error);

    if (entry == NULL)
        return FALSE;
    if (entry->shown.config == NULL) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE,
                     "cannot set autostart of the container \"%s\": it is transient", name);
        return FALSE;
    }
    if (!corral_store_set_autostart (agent->configs, name, autostart, error))
        return FALSE;
    entry->shown.autostart = autostart;
    return TRUE;
}
