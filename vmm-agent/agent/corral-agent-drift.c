/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Drift: what somebody, or the kernel, has made different from the last plan. It is told once,
 * repaired where the container says so, and the same thing coming back is repaired at longer and
 * longer intervals, so that nobody is fought. */
#include "vmm-agent/agent/corral-agent-drift.h"

#include "common/corral-error.h"

#include <string.h>

/* A repair that was undone by somebody is made again after this, then after twice as long, ... */
#define BACKOFF_MIN_USEC (2 * G_USEC_PER_SEC)
#define BACKOFF_MAX_USEC (300 * G_USEC_PER_SEC)
/* Quiet for this long: the next one is a new one. */
#define FORGET_USEC (600 * G_USEC_PER_SEC)
/* Whoever reads a container makes us look at it, but no more often. */
#define READ_USEC G_USEC_PER_SEC
/* After the first write, for those that come with it */
#define WRITTEN_MSEC 20
/* Items that are over and still listed */
#define HISTORY_MAX 100
/* All threads of a VM are looked at in each so many rounds; in the others its main thread stands
 * for its helpers. */
#define DEEP_ROUNDS 4

typedef struct {
    CorralAgentDriftWhat what;
    char *path, *container; /* its path, and its name at that time */
    char *vm;               /* (nullable) */
    int vcpu;               /* -1: of none */
    char *planned, *found;
    char *problem;       /* (nullable): why the last repair failed */
    gint64 since, until; /* g_get_real_time(); until 0: it is still so */
    CorralAgentDriftState state;
    guint repairs;
    gint64 ended, repaired; /* g_get_monotonic_time() of until, and of the last repair */
    guint round;            /* when it was last seen */
} Item;

struct _CorralAgentDrift {
    CorralAgent *agent;
    guint interval_msec;
    guint timer;
    guint again; /* source of a look when a repair is due */
    guint round;
    gboolean checking;
    GHashTable *items;   /* key -> Item */
    GHashTable *written; /* set of names: containers of which a setting was written */
    GHashTable *vms;     /* set of names: VMs in these, in whose groups one was */
    guint soon;          /* source of a look at these, or 0 */
};

static void
item_free (gpointer data)
{
    Item *item = data;

    g_free (item->path);
    g_free (item->container);
    g_free (item->vm);
    g_free (item->planned);
    g_free (item->found);
    g_free (item->problem);
    g_free (item);
}

static const char *
what_name (CorralAgentDriftWhat what)
{
    static const char *const names[] = { "cpus",      "mems",    "quota",  "affinity",
                                         "exclusive", "offline", "refused" };

    return names[what];
}

static const char *
state_name (CorralAgentDriftState state)
{
    static const char *const names[] = { "open", "repaired", "waiting", "failed", "gone" };

    return names[state];
}

static char *
item_text (const Item *item)
{
    g_autofree char *thing = NULL;
    const char *where = item->vm != NULL ? item->vm : item->path;

    if (item->what == CORRAL_DRIFT_REFUSED)
        return g_strdup_printf ("the %s \"%s\" cannot have the pCPUs it wishes for: %s",
                                item->vm != NULL ? "VM" : "container", where, item->found);
    if (item->vcpu >= 0)
        thing = g_strdup_printf ("vCPU %d of the VM \"%s\"", item->vcpu, where);
    else if (item->vm != NULL)
        thing = g_strdup_printf ("the emulator of the VM \"%s\"", where);
    else
        thing = g_strdup_printf ("the container \"%s\"", where);
    return g_strdup_printf ("%s has %s \"%s\", its plan is \"%s\"%s%s", thing,
                            what_name (item->what), item->found, item->planned,
                            item->problem != NULL ? "; it could not be repaired: " : "",
                            item->problem != NULL ? item->problem : "");
}

static void
tell (CorralAgentDrift *drift, const Item *item)
{
    CorralAgentEntry *entry = g_hash_table_lookup (drift->agent->entries, item->container);
    g_autofree char *text = item_text (item);
    g_autofree char *line = g_strdup_printf ("%s (%s)", text, state_name (item->state));

    if (entry != NULL)
        corral_agent_emit_simple (drift->agent, entry, CORRAL_EVENT_DRIFT, line);
}

static void
set_state (CorralAgentDrift *drift, Item *item, CorralAgentDriftState state)
{
    gboolean news = item->state != state || state == CORRAL_DRIFT_REPAIRED;

    item->state = state;
    if (state == CORRAL_DRIFT_REPAIRED || state == CORRAL_DRIFT_GONE) {
        item->until = g_get_real_time ();
        item->ended = g_get_monotonic_time ();
    }
    if (news)
        tell (drift, item);
}

/* --- repair --- */

static gint64
next_repair (const Item *item)
{
    guint doublings = MIN (item->repairs, 8);

    if (item->repairs == 0)
        return 0;
    return item->repaired + MIN (BACKOFF_MIN_USEC << (doublings - 1), (gint64) BACKOFF_MAX_USEC);
}

static gboolean
on_again (gpointer data)
{
    CorralAgentDrift *drift = data;

    drift->again = 0;
    corral_agent_drift_check (drift->agent, NULL);
    return G_SOURCE_REMOVE;
}

static void
look_again_at (CorralAgentDrift *drift, gint64 time)
{
    gint64 delay = MAX (time - g_get_monotonic_time (), 0) / 1000 + 1;

    if (drift->again == 0)
        drift->again = g_timeout_add ((guint) delay, on_again, drift);
}

static gboolean
may_repair (CorralAgent *agent, const CorralAgentEntry *entry)
{
    CorralPlacement wish = entry->stored->placement;

    corral_host_complete (agent->planner->host, &wish, entry->stored->placement_said);
    return wish.repair;
}

static void
repair (CorralAgentDrift *drift, Item *item, const CorralAgentDriftFound *found)
{
    g_autoptr (GError) problem = NULL;
    gint64 now = g_get_monotonic_time ();

    /* Only who makes room, or asks for less, can help here. */
    if (item->what == CORRAL_DRIFT_REFUSED || !may_repair (drift->agent, found->entry)) {
        set_state (drift, item, CORRAL_DRIFT_OPEN);
        return;
    }
    /* A plan without them is on its way. */
    if (item->what == CORRAL_DRIFT_OFFLINE) {
        set_state (drift, item, CORRAL_DRIFT_OPEN);
        corral_agent_replan_soon (drift->agent);
        return;
    }
    if (now < next_repair (item)) {
        set_state (drift, item, CORRAL_DRIFT_WAITING);
        look_again_at (drift, next_repair (item));
        return;
    }
    item->repairs++;
    item->repaired = now;
    g_clear_pointer (&item->problem, g_free);
    if (corral_agent_drift_repair (drift->agent, found, &problem)) {
        set_state (drift, item, CORRAL_DRIFT_REPAIRED);
        return;
    }
    item->problem = g_strdup (problem->message);
    set_state (drift, item, CORRAL_DRIFT_FAILED);
    look_again_at (drift, next_repair (item));
}

/* --- what is found --- */

static char *
key_of (CorralAgentDriftWhat what, const char *path, const char *vm, int vcpu)
{
    return g_strdup_printf ("%d %s %s %d", what, path, vm, vcpu);
}

void
corral_agent_drift_found (CorralAgentDrift *drift, const CorralAgentDriftFound *found)
{
    const char *path = found->entry->stored->partition;
    g_autofree char *key = key_of (found->what, path, found->vm != NULL ? found->vm->name : "",
                                   found->thread != NULL ? found->thread->vcpu : -1);
    Item *item = g_hash_table_lookup (drift->items, key);
    gboolean fresh = item == NULL || item->until != 0;

    if (item != NULL && item->until != 0 && g_get_monotonic_time () - item->ended > FORGET_USEC) {
        g_hash_table_remove (drift->items, key);
        item = NULL;
    }
    if (item == NULL) {
        item = g_new0 (Item, 1);
        item->what = found->what;
        item->path = g_strdup (path);
        item->container = g_strdup (found->entry->stored->name);
        item->vm = found->vm != NULL ? g_strdup (found->vm->name) : NULL;
        item->vcpu = found->thread != NULL ? found->thread->vcpu : -1;
        item->state = CORRAL_DRIFT_GONE;
        g_hash_table_insert (drift->items, g_steal_pointer (&key), item);
    }
    if (fresh) {
        item->since = g_get_real_time ();
        item->until = 0;
    }
    item->round = drift->round;
    g_free (item->planned);
    g_free (item->found);
    item->planned = g_strdup (found->planned);
    item->found = g_strdup (found->found);
    repair (drift, item, found);
}

/* What was there in an earlier look, and is not any more. */
static void
close_gone (CorralAgentDrift *drift, CorralAgentEntry *entry)
{
    GHashTableIter iter;
    Item *item;

    g_hash_table_iter_init (&iter, drift->items);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &item))
        if (item->until == 0 && item->round != drift->round &&
            (entry == NULL || g_str_equal (item->container, entry->stored->name)))
            set_state (drift, item, CORRAL_DRIFT_GONE);
}

static gint
compare_since (gconstpointer a, gconstpointer b)
{
    const Item *const *first = a, *const *second = b;

    if (((*first)->until == 0) != ((*second)->until == 0))
        return (*first)->until == 0 ? -1 : 1;
    if ((*first)->since != (*second)->since)
        return (*first)->since > (*second)->since ? -1 : 1;
    return g_strcmp0 ((*first)->vm, (*second)->vm);
}

static gboolean
is_item (gpointer key, gpointer value, gpointer item)
{
    return value == item;
}

static void
trim_history (CorralAgentDrift *drift)
{
    g_autoptr (GPtrArray) items = NULL;

    if (g_hash_table_size (drift->items) <= HISTORY_MAX)
        return;
    items = corral_agent_values (drift->items);
    g_ptr_array_sort (items, compare_since);
    for (guint i = HISTORY_MAX; i < items->len; i++)
        if (((const Item *) g_ptr_array_index (items, i))->until != 0)
            g_hash_table_foreach_remove (drift->items, is_item, g_ptr_array_index (items, i));
}

void
corral_agent_drift_check (CorralAgent *agent, CorralAgentEntry *entry)
{
    CorralAgentDrift *drift = agent->planner->drift;
    g_autoptr (GPtrArray) entries = NULL;

    /* Our own writes, half way, are no drift. */
    if (drift->checking || agent->planner->applying || agent->starting)
        return;
    drift->checking = TRUE;
    drift->round++;
    entries = entry != NULL ? g_ptr_array_new () : corral_agent_entries (agent);
    if (entry != NULL)
        g_ptr_array_add (entries, entry);
    for (guint i = 0; i < entries->len; i++) {
        CorralAgentEntry *at = g_ptr_array_index (entries, i);

        at->drift_time = g_get_monotonic_time ();
        if (!corral_agent_entry_is_active (at) || !at->stored->planned)
            continue;
        corral_agent_refused_look (agent, drift, at);
        if (at->applied.cpus != NULL)
            corral_agent_drift_look (agent, drift, at, drift->round % DEEP_ROUNDS == 0);
    }
    if (entry == NULL || corral_agent_entry_is_active (entry))
        close_gone (drift, entry);
    trim_history (drift);
    drift->checking = FALSE;
}

void
corral_agent_drift_on_read (CorralAgent *agent, CorralAgentEntry *entry)
{
    if (entry->stored->planned && g_get_monotonic_time () - entry->drift_time > READ_USEC)
        corral_agent_drift_check (agent, entry);
}

/* --- what inotify tells --- */

static void look_soon (CorralAgentDrift *drift, gint64 usec);

/* They have been looked at with @entry, which is NULL when it is not there any more. */
static void
forget_written_vms (CorralAgentDrift *drift, const CorralAgentEntry *entry)
{
    GHashTableIter iter;
    const char *name;

    g_hash_table_iter_init (&iter, drift->vms);
    while (g_hash_table_iter_next (&iter, (gpointer *) &name, NULL)) {
        const CorralAgentVm *vm = g_hash_table_lookup (drift->agent->vms, name);

        if (vm == NULL || vm->inner == NULL || vm->inner == entry)
            g_hash_table_iter_remove (&iter);
    }
}

/* Our own writes come back to us as well: then nothing differs. Who writes in a loop is looked at
 * once a second, and repaired at longer and longer intervals. */
static gboolean
on_soon (gpointer data)
{
    CorralAgentDrift *drift = data;
    g_autoptr (GPtrArray) names = corral_agent_values (drift->written);
    gint64 now = g_get_monotonic_time (), wait = G_MAXINT64;

    drift->soon = 0;
    for (guint i = 0; i < names->len; i++) {
        CorralAgentEntry *entry =
            g_hash_table_lookup (drift->agent->entries, g_ptr_array_index (names, i));
        gint64 rest = entry != NULL ? entry->drift_time + READ_USEC - now : 0;

        if (rest > 0) {
            wait = MIN (wait, rest);
            continue;
        }
        g_hash_table_remove (drift->written, g_ptr_array_index (names, i));
        if (entry != NULL)
            corral_agent_drift_check (drift->agent, entry);
        forget_written_vms (drift, entry);
    }
    if (wait < G_MAXINT64)
        look_soon (drift, wait);
    return G_SOURCE_REMOVE;
}

static void
look_soon (CorralAgentDrift *drift, gint64 usec)
{
    if (drift->soon == 0)
        drift->soon = g_timeout_add ((guint) (usec / 1000) + 1, on_soon, drift);
}

gboolean
corral_agent_drift_is_suspect (const CorralAgentDrift *drift, const CorralAgentEntry *entry,
                               const CorralAgentVm *vm)
{
    static const CorralAgentDriftWhat whats[] = { CORRAL_DRIFT_AFFINITY, CORRAL_DRIFT_QUOTA };

    if (g_hash_table_contains (drift->vms, vm->name))
        return TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS (whats) && g_hash_table_size (drift->items) > 0; i++) {
        g_autofree char *key = key_of (whats[i], entry->stored->partition, vm->name, -1);
        const Item *item = g_hash_table_lookup (drift->items, key);

        if (item != NULL && item->until == 0)
            return TRUE;
    }
    return FALSE;
}

/* The VM whose group it is, if it is one's: all its threads are to be looked at. */
static void
note_written_vm (CorralAgentDrift *drift, const CorralAgentEntry *entry, const char *path)
{
    g_autofree char *name = g_path_get_basename (path);
    GHashTableIter iter;
    const CorralAgentVm *vm;

    g_hash_table_iter_init (&iter, drift->agent->vms);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &vm)) {
        const char *group = vm->group != NULL ? strrchr (vm->group, '/') : NULL;

        if (vm->inner == entry && group != NULL && g_str_equal (group + 1, name))
            g_hash_table_add (drift->vms, g_strdup (vm->name));
    }
}

void
corral_agent_drift_soon (CorralAgent *agent, const char *path)
{
    CorralAgentDrift *drift = agent->planner->drift;
    CorralAgentEntry *entry = corral_agent_inner (agent, path);
    const gboolean own = entry != NULL && g_str_equal (entry->stored->partition, path);
    GHashTableIter iter;
    CorralAgentEntry *at;

    /* On cgroup v2 what is beneath changes with it, and nobody writes there. */
    g_hash_table_iter_init (&iter, agent->entries);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &at))
        if (corral_agent_entry_is_active (at) && at->stored->planned &&
            (at == entry || (own && corral_agent_path_is_within (at->stored->partition, path)))) {
            g_hash_table_add (drift->written, g_strdup (at->stored->name));
            look_soon (drift, WRITTEN_MSEC * 1000);
        }
    if (entry != NULL && entry->stored->planned && !own)
        note_written_vm (drift, entry, path);
}

/* --- what is watched --- */

/* A container's own cap, its VMs' pins, and where a share has a part for them, its helpers' caps */
static guint
watches_for (CorralAgent *agent, const CorralAgentEntry *entry)
{
    CorralPlacement wish = entry->stored->placement;

    if (!entry->stored->planned)
        return 0;
    corral_host_complete (agent->planner->host, &wish, entry->stored->placement_said);
    return CORRAL_WATCH_CAP | CORRAL_WATCH_PINS |
           (wish.helpers_percent > 0 ? CORRAL_WATCH_HELPERS_CAP : 0);
}

static void
watch_writes (CorralAgent *agent)
{
    g_autoptr (GPtrArray) entries = corral_agent_values (agent->entries);

    for (guint i = 0; i < entries->len; i++) {
        const CorralAgentEntry *entry = g_ptr_array_index (entries, i);

        if (corral_agent_entry_is_active (entry) && entry->watched != NULL)
            corral_container_watch_more (agent->core, entry->watched, watches_for (agent, entry));
    }
}

void
corral_agent_drift_unwatched (CorralAgent *agent, const char *path)
{
    const guint msec = agent->planner->drift->interval_msec;
    g_autofree char *when = msec > 0 ? g_strdup_printf ("every %.3g s", msec / 1000.0)
                                     : g_strdup ("when somebody reads the container");

    corral_agent_problem (
        agent,
        g_error_new (
            CORRAL_ERROR, CORRAL_ERROR_PARTIAL,
            "cannot watch all writes to what is beneath the container \"%s\": half of "
            "fs.inotify.max_user_watches are in use; until VMs leave, drift of some VMs is "
            "found only by the look that comes %s",
            path, when),
        NULL);
}

/* --- the slow look --- */

static gboolean
on_timer (gpointer data)
{
    CorralAgentDrift *drift = data;

    if (!corral_agent_plans (drift->agent)) {
        drift->timer = 0;
        return G_SOURCE_REMOVE;
    }
    corral_agent_drift_check (drift->agent, NULL);
    return G_SOURCE_CONTINUE;
}

void
corral_agent_drift_watch (CorralAgent *agent)
{
    CorralAgentDrift *drift = agent->planner->drift;

    watch_writes (agent);
    if (drift->timer == 0 && drift->interval_msec > 0 && corral_agent_plans (agent))
        drift->timer = g_timeout_add (drift->interval_msec, on_timer, drift);
}

CorralAgentDrift *
corral_agent_drift_new (CorralAgent *agent, guint interval_msec)
{
    CorralAgentDrift *drift = g_new0 (CorralAgentDrift, 1);

    drift->agent = agent;
    drift->interval_msec = interval_msec;
    drift->items = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, item_free);
    drift->written = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
    drift->vms = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
    return drift;
}

void
corral_agent_drift_free (CorralAgentDrift *drift)
{
    if (drift == NULL)
        return;
    g_clear_handle_id (&drift->timer, g_source_remove);
    g_clear_handle_id (&drift->again, g_source_remove);
    g_clear_handle_id (&drift->soon, g_source_remove);
    g_hash_table_unref (drift->written);
    g_hash_table_unref (drift->vms);
    g_hash_table_unref (drift->items);
    g_free (drift);
}

/* --- <drift> --- */

static char *
format_time (gint64 usec)
{
    g_autoptr (GDateTime) time = g_date_time_new_from_unix_utc (usec / G_USEC_PER_SEC);

    return g_date_time_format (time, "%Y-%m-%dT%H:%M:%SZ");
}

static void
append_item (GString *out, const Item *item)
{
    g_autofree char *text = item_text (item), *since = format_time (item->since);
    g_autofree char *body = g_markup_escape_text (text, -1);
    g_autofree char *attributes = g_markup_printf_escaped ("  <item what='%s' container='%s'",
                                                           what_name (item->what), item->path);
    g_autofree char *vm =
        item->vm != NULL ? g_markup_printf_escaped (" vm='%s'", item->vm) : g_strdup ("");
    g_autofree char *rest =
        g_markup_printf_escaped (" planned='%s' found='%s' since='%s' state='%s' repairs='%u'",
                                 item->planned, item->found, since, state_name (item->state),
                                 item->repairs);

    g_string_append (out, attributes);
    g_string_append (out, vm);
    if (item->vcpu >= 0)
        g_string_append_printf (out, " vcpu='%d'", item->vcpu);
    g_string_append (out, rest);
    if (item->until != 0) {
        g_autofree char *until = format_time (item->until);

        g_string_append_printf (out, " until='%s'", until);
    }
    g_string_append_printf (out, ">%s</item>\n", body);
}

char *
corral_agent_drift_xml (CorralAgent *agent, const char *path, GError **error)
{
    g_autoptr (GPtrArray) items = NULL;
    GString *out = g_string_new (NULL);
    guint64 generation = corral_agent_get_generation (agent);

    corral_agent_drift_check (agent, NULL);
    items = corral_agent_values (agent->planner->drift->items);
    g_ptr_array_sort (items, compare_since);
    g_string_append_printf (out, "<drift generation='%" G_GUINT64_FORMAT "'>\n", generation);
    for (guint i = 0; i < items->len; i++) {
        const Item *item = g_ptr_array_index (items, i);

        if (path == NULL || corral_agent_path_is_within (item->path, path))
            append_item (out, item);
    }
    g_string_append (out, "</drift>\n");
    return g_string_free (out, FALSE);
}
