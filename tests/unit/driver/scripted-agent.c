/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/driver/scripted-agent.h"

#include "common/corral-error.h"

#define VCPUS_PER_VM 2

typedef struct {
    CorralContainer shown;
    CorralCpuTune tune[2]; /* live, config */
    CorralCpuset *cpus[2];
    CorralCpuset *pins[64];
} Entry;

struct _CorralAgent {
    GObject parent_instance;
    GPtrArray *entries; /* of Entry, sorted by name */
    GPtrArray *vms;     /* of CorralVm, made for corral_agent_list_vms() */
    GError *failure;
    guint changes;
    int next_id;
};

G_DEFINE_FINAL_TYPE (CorralAgent, corral_agent, G_TYPE_OBJECT)

static guint event_signal;

static void
entry_free (gpointer data)
{
    Entry *entry = data;

    corral_definition_free (entry->shown.live);
    corral_definition_free (entry->shown.config);
    for (gsize i = 0; i < G_N_ELEMENTS (entry->cpus); i++)
        g_clear_pointer (&entry->cpus[i], hwloc_bitmap_free);
    for (gsize i = 0; i < G_N_ELEMENTS (entry->pins); i++)
        g_clear_pointer (&entry->pins[i], hwloc_bitmap_free);
    g_free (entry);
}

static void
corral_agent_init (CorralAgent *agent)
{
    agent->entries = g_ptr_array_new_with_free_func (entry_free);
    agent->vms = g_ptr_array_new_with_free_func (g_free);
    agent->next_id = 1;
}

static void
corral_agent_finalize (GObject *object)
{
    CorralAgent *agent = CORRAL_AGENT (object);

    g_ptr_array_unref (agent->entries);
    g_ptr_array_unref (agent->vms);
    g_clear_error (&agent->failure);
    G_OBJECT_CLASS (corral_agent_parent_class)->finalize (object);
}

static void
corral_agent_class_init (CorralAgentClass *class)
{
    G_OBJECT_CLASS (class)->finalize = corral_agent_finalize;
    event_signal = g_signal_new ("event", CORRAL_TYPE_AGENT, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                 G_TYPE_NONE, 1, G_TYPE_POINTER);
}

CorralAgent *
scripted_agent_new (void)
{
    return g_object_new (CORRAL_TYPE_AGENT, NULL);
}

void
scripted_agent_fail_with (CorralAgent *agent, const GError *error)
{
    g_clear_error (&agent->failure);
    agent->failure = error != NULL ? g_error_copy (error) : NULL;
}

guint
scripted_agent_count_changes (CorralAgent *agent)
{
    return agent->changes;
}

void
scripted_agent_emit (CorralAgent *agent, const CorralEvent *event)
{
    g_signal_emit (agent, event_signal, 0, event);
}

/* Every change passes here first. */
gboolean
scripted_agent_change (CorralAgent *agent, GError **error)
{
    agent->changes++;
    if (agent->failure == NULL)
        return TRUE;
    g_propagate_error (error, g_error_copy (agent->failure));
    return FALSE;
}

static int
compare_entries (gconstpointer a, gconstpointer b)
{
    const Entry *const *one = a, *const *other = b;

    return strcmp (corral_container_definition (&(*one)->shown)->name,
                   corral_container_definition (&(*other)->shown)->name);
}

static Entry *
find_entry (CorralAgent *agent, const char *name)
{
    return (Entry *) corral_agent_lookup_name (agent, name);
}

static void
emit (CorralAgent *agent, Entry *entry, CorralEventType type, const char *detail)
{
    const CorralDefinition *definition = corral_container_definition (&entry->shown);
    CorralEvent event = {
        .type = type,
        .name = definition->name,
        .uuid = definition->uuid,
        .id = entry->shown.id,
        .detail = detail,
        .tune = CORRAL_CPU_TUNE_INIT,
    };

    scripted_agent_emit (agent, &event);
}

char *
scripted_agent_describe (CorralAgent *agent)
{
    GString *text = g_string_new (NULL);

    for (guint i = 0; i < agent->entries->len; i++) {
        const Entry *entry = g_ptr_array_index (agent->entries, i);

        for (int which = 0; which < 2; which++) {
            const CorralDefinition *definition =
                which == 0 ? entry->shown.live : entry->shown.config;
            g_autofree char *cpus = corral_cpuset_format (entry->cpus[which]);
            g_autofree char *xml =
                definition != NULL ? corral_definition_format (definition, NULL) : g_strdup ("-\n");

            g_string_append_printf (text, "%d %d %s %s %" G_GINT64_FORMAT "\n%s", entry->shown.id,
                                    entry->shown.autostart, cpus, which == 0 ? "live" : "config",
                                    entry->tune[which].quota_usec, xml);
        }
        for (gsize j = 0; j < G_N_ELEMENTS (entry->pins); j++) {
            g_autofree char *pin = corral_cpuset_format (entry->pins[j]);

            g_string_append_printf (text, "%s;", pin);
        }
    }
    return g_string_free (text, FALSE);
}

/* --- containers --- */

CorralContainerCore *
corral_agent_core (CorralAgent *agent)
{
    return NULL;
}

const CorralDefinition *
corral_container_definition (const CorralContainer *container)
{
    return container->live != NULL ? container->live : container->config;
}

GPtrArray *
corral_agent_list (CorralAgent *agent)
{
    GPtrArray *list = g_ptr_array_new ();

    for (guint i = 0; i < agent->entries->len; i++)
        g_ptr_array_add (list, g_ptr_array_index (agent->entries, i));
    return list;
}

const CorralContainer *
corral_agent_lookup_name (CorralAgent *agent, const char *name)
{
    for (guint i = 0; i < agent->entries->len; i++) {
        Entry *entry = g_ptr_array_index (agent->entries, i);

        if (strcmp (corral_container_definition (&entry->shown)->name, name) == 0)
            return &entry->shown;
    }
    return NULL;
}

const CorralContainer *
corral_agent_lookup_uuid (CorralAgent *agent, const guint8 *uuid)
{
    for (guint i = 0; i < agent->entries->len; i++) {
        Entry *entry = g_ptr_array_index (agent->entries, i);

        if (memcmp (corral_container_definition (&entry->shown)->uuid, uuid, 16) == 0)
            return &entry->shown;
    }
    return NULL;
}

const CorralContainer *
corral_agent_lookup_id (CorralAgent *agent, int id)
{
    for (guint i = 0; i < agent->entries->len; i++) {
        Entry *entry = g_ptr_array_index (agent->entries, i);

        if (entry->shown.id == id)
            return &entry->shown;
    }
    return NULL;
}

static Entry *
add_entry (CorralAgent *agent, CorralDefinition *live, CorralDefinition *config)
{
    const CorralCpuTune tune = { 1024, 100000, CORRAL_QUOTA_NONE, 0 };
    Entry *entry = g_new0 (Entry, 1);

    entry->shown.live = live;
    entry->shown.config = config;
    entry->shown.id = live != NULL ? agent->next_id++ : -1;
    entry->tune[0] = entry->tune[1] = tune;
    for (int i = 0; i < 2; i++) {
        entry->cpus[i] = hwloc_bitmap_alloc ();
        hwloc_bitmap_set_range (entry->cpus[i], 0, 3);
    }
    g_ptr_array_add (agent->entries, entry);
    g_ptr_array_sort (agent->entries, compare_entries);
    return entry;
}

gboolean
corral_agent_define (CorralAgent *agent, const CorralDefinition *definition,
                     const CorralContainer **ret_container, GError **error)
{
    Entry *entry = find_entry (agent, definition->name);

    if (!scripted_agent_change (agent, error))
        return FALSE;
    if (entry == NULL) {
        entry = add_entry (agent, NULL, corral_definition_copy (definition));
        emit (agent, entry, CORRAL_EVENT_DEFINED, NULL);
    } else {
        corral_definition_free (entry->shown.config);
        entry->shown.config = corral_definition_copy (definition);
        emit (agent, entry, CORRAL_EVENT_UPDATED, NULL);
    }
    *ret_container = &entry->shown;
    return TRUE;
}

gboolean
corral_agent_create (CorralAgent *agent, const CorralDefinition *definition,
                     const CorralContainer **ret_container, GError **error)
{
    Entry *entry;

    if (!scripted_agent_change (agent, error))
        return FALSE;
    entry = add_entry (agent, corral_definition_copy (definition), NULL);
    emit (agent, entry, CORRAL_EVENT_STARTED, NULL);
    *ret_container = &entry->shown;
    return TRUE;
}

gboolean
corral_agent_start_container (CorralAgent *agent, const char *name, GError **error)
{
    Entry *entry = find_entry (agent, name);

    if (!scripted_agent_change (agent, error))
        return FALSE;
    entry->shown.live = corral_definition_copy (entry->shown.config);
    entry->shown.id = agent->next_id++;
    emit (agent, entry, CORRAL_EVENT_STARTED, NULL);
    return TRUE;
}

gboolean
corral_agent_destroy (CorralAgent *agent, const char *name, GError **error)
{
    Entry *entry = find_entry (agent, name);

    if (!scripted_agent_change (agent, error))
        return FALSE;
    entry->shown.id = -1;
    emit (agent, entry, CORRAL_EVENT_STOPPED, NULL);
    if (entry->shown.config == NULL)
        g_ptr_array_remove (agent->entries, entry);
    else
        g_clear_pointer (&entry->shown.live, corral_definition_free);
    return TRUE;
}

gboolean
corral_agent_undefine (CorralAgent *agent, const char *name, GError **error)
{
    Entry *entry = find_entry (agent, name);

    if (!scripted_agent_change (agent, error))
        return FALSE;
    emit (agent, entry, CORRAL_EVENT_UNDEFINED, NULL);
    if (entry->shown.live == NULL)
        g_ptr_array_remove (agent->entries, entry);
    else
        g_clear_pointer (&entry->shown.config, corral_definition_free);
    return TRUE;
}

gboolean
corral_agent_set_autostart (CorralAgent *agent, const char *name, gboolean autostart,
                            GError **error)
{
    if (!scripted_agent_change (agent, error))
        return FALSE;
    find_entry (agent, name)->shown.autostart = autostart;
    return TRUE;
}

/* --- members --- */

static gboolean
find_member (const GPtrArray *members, const CorralMemberDef *member, guint *ret_index)
{
    for (guint i = 0; i < members->len; i++) {
        if (corral_member_def_equal (g_ptr_array_index (members, i), member)) {
            *ret_index = i;
            return TRUE;
        }
    }
    return FALSE;
}

gboolean
corral_agent_attach (CorralAgent *agent, const char *name, const CorralMemberDef *member,
                     guint affect, GError **error)
{
    Entry *entry = find_entry (agent, name);

    if (!scripted_agent_change (agent, error))
        return FALSE;
    if ((affect & CORRAL_AFFECT_LIVE) != 0 && strcmp (member->name, "absent") == 0) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND, "no VM \"%s\" runs",
                     member->name);
        return FALSE;
    }
    if ((affect & CORRAL_AFFECT_CONFIG) != 0)
        g_ptr_array_add (entry->shown.config->members, corral_member_def_copy (member));
    if ((affect & CORRAL_AFFECT_LIVE) != 0) {
        g_ptr_array_add (entry->shown.live->members, corral_member_def_copy (member));
        emit (agent, entry, CORRAL_EVENT_MEMBER_ADDED, member->name);
    }
    return TRUE;
}

gboolean
corral_agent_detach (CorralAgent *agent, const char *name, const CorralMemberDef *member,
                     guint affect, GError **error)
{
    Entry *entry = find_entry (agent, name);

    if (!scripted_agent_change (agent, error))
        return FALSE;
    for (int which = 0; which < 2; which++) {
        CorralDefinition *definition = which == 0 ? entry->shown.live : entry->shown.config;
        guint index;

        if ((affect & (which == 0 ? CORRAL_AFFECT_LIVE : CORRAL_AFFECT_CONFIG)) == 0)
            continue;
        if (!find_member (definition->members, member, &index)) {
            g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND, "no member \"%s\"",
                         member->name);
            return FALSE;
        }
        g_ptr_array_remove_index (definition->members, index);
        if (which == 0)
            emit (agent, entry, CORRAL_EVENT_MEMBER_REMOVED, member->name);
    }
    return TRUE;
}

GPtrArray *
corral_agent_list_vms (CorralAgent *agent, const char *name)
{
    const Entry *entry = find_entry (agent, name);
    GPtrArray *vms = g_ptr_array_new ();

    g_ptr_array_set_size (agent->vms, 0);
    for (guint i = 0; i < entry->shown.live->members->len; i++) {
        const CorralMemberDef *member = g_ptr_array_index (entry->shown.live->members, i);
        CorralVm *vm = g_new0 (CorralVm, 1);

        vm->name = member->name;
        vm->pid = 1;
        g_ptr_array_add (agent->vms, vm);
        g_ptr_array_add (vms, vm);
    }
    return vms;
}

guint
corral_agent_count_vcpus (CorralAgent *agent, const char *name)
{
    return find_entry (agent, name)->shown.live->members->len * VCPUS_PER_VM;
}

static void
clear_vcpu (gpointer data)
{
    g_clear_pointer (&((CorralAgentVcpu *) data)->affinity, hwloc_bitmap_free);
}

gboolean
corral_agent_list_vcpus (CorralAgent *agent, const char *name, gboolean with_affinity,
                         GArray **ret_vcpus, GError **error)
{
    const Entry *entry = find_entry (agent, name);
    guint count = corral_agent_count_vcpus (agent, name);

    *ret_vcpus = g_array_new (FALSE, TRUE, sizeof (CorralAgentVcpu));
    g_array_set_clear_func (*ret_vcpus, clear_vcpu);
    for (guint i = 0; i < count; i++) {
        const CorralMemberDef *member =
            g_ptr_array_index (entry->shown.live->members, i / VCPUS_PER_VM);
        CorralAgentVcpu vcpu = {
            .vm_name = member->name,
            .vcpu = (int) (i % VCPUS_PER_VM),
            .running = i % 2 == 0,
            .last_cpu = (int) i,
            .time_ns = 1000 + i,
            .wait_ns = 50 + i,
            .delay_ns = 60 + i,
        };

        if (with_affinity)
            vcpu.affinity =
                hwloc_bitmap_dup (entry->pins[i] != NULL ? entry->pins[i] : entry->cpus[0]);
        g_array_append_val (*ret_vcpus, vcpu);
    }
    return TRUE;
}

gboolean
corral_agent_pin_vcpu (CorralAgent *agent, const char *name, guint index, const CorralCpuset *cpus,
                       GError **error)
{
    Entry *entry = find_entry (agent, name);

    if (!scripted_agent_change (agent, error))
        return FALSE;
    g_clear_pointer (&entry->pins[index], hwloc_bitmap_free);
    entry->pins[index] = hwloc_bitmap_dup (cpus);
    return TRUE;
}

/* --- settings --- */

gboolean
corral_agent_set_cpuset (CorralAgent *agent, const char *name, const CorralCpuset *cpus,
                         guint affect, GError **error)
{
    Entry *entry = find_entry (agent, name);

    if (!scripted_agent_change (agent, error))
        return FALSE;
    if ((affect & CORRAL_AFFECT_LIVE) != 0)
        hwloc_bitmap_copy (entry->cpus[0], cpus);
    if ((affect & CORRAL_AFFECT_CONFIG) != 0)
        hwloc_bitmap_copy (entry->cpus[1], cpus);
    return TRUE;
}

gboolean
corral_agent_get_cpuset (CorralAgent *agent, const char *name, guint affect,
                         CorralCpuset **ret_cpus, GError **error)
{
    const Entry *entry = find_entry (agent, name);

    *ret_cpus = hwloc_bitmap_dup (entry->cpus[affect == CORRAL_AFFECT_LIVE ? 0 : 1]);
    return TRUE;
}

/* The nodes are in the definitions alone. */
gboolean
corral_agent_set_mems (CorralAgent *agent, const char *name, const CorralCpuset *mems, guint affect,
                       GError **error)
{
    Entry *entry = find_entry (agent, name);
    CorralDefinition *definitions[2] = { entry->shown.live, entry->shown.config };

    if (!scripted_agent_change (agent, error))
        return FALSE;
    for (int which = 0; which < 2; which++)
        if ((affect & (which == 0 ? CORRAL_AFFECT_LIVE : CORRAL_AFFECT_CONFIG)) != 0) {
            g_clear_pointer (&definitions[which]->mems, hwloc_bitmap_free);
            definitions[which]->mems = hwloc_bitmap_dup (mems);
        }
    return TRUE;
}

gboolean
corral_agent_get_mems (CorralAgent *agent, const char *name, guint affect, CorralCpuset **ret_mems,
                       GError **error)
{
    const Entry *entry = find_entry (agent, name);
    const CorralDefinition *definition =
        affect == CORRAL_AFFECT_LIVE ? entry->shown.live : entry->shown.config;

    return definition->mems != NULL ? (*ret_mems = hwloc_bitmap_dup (definition->mems), TRUE)
                                    : corral_cpuset_parse ("0-1", ret_mems, error);
}

gboolean
corral_agent_get_tune (CorralAgent *agent, const char *name, guint affect, CorralCpuTune *ret_tune,
                       GError **error)
{
    *ret_tune = find_entry (agent, name)->tune[affect == CORRAL_AFFECT_LIVE ? 0 : 1];
    return TRUE;
}

static void
merge_tune (CorralCpuTune *tune, const CorralCpuTune *over)
{
    if (over->shares != -1)
        tune->shares = over->shares;
    if (over->period_usec != -1)
        tune->period_usec = over->period_usec;
    if (over->quota_usec != -1)
        tune->quota_usec = over->quota_usec;
    if (over->burst_usec != -1)
        tune->burst_usec = over->burst_usec;
}

gboolean
corral_agent_set_tune (CorralAgent *agent, const char *name, const CorralCpuTune *tune,
                       guint affect, GError **error)
{
    Entry *entry = find_entry (agent, name);

    if (!scripted_agent_change (agent, error))
        return FALSE;
    if ((affect & CORRAL_AFFECT_LIVE) != 0)
        merge_tune (&entry->tune[0], tune);
    if ((affect & CORRAL_AFFECT_CONFIG) != 0)
        merge_tune (&entry->tune[1], tune);
    return TRUE;
}

static gboolean
set_text (CorralDefinition *definition, CorralText what, const char *uri, const char *prefix,
          const char *value, GError **error)
{
    if (what == CORRAL_TEXT_TITLE)
        return corral_definition_set_title (definition, value, error);
    if (what == CORRAL_TEXT_DESCRIPTION)
        return corral_definition_set_description (definition, value, error);
    return corral_definition_set_metadata (definition, uri, prefix, value, error);
}

gboolean
corral_agent_set_text (CorralAgent *agent, const char *name, CorralText what, const char *uri,
                       const char *prefix, const char *value, guint affect, GError **error)
{
    Entry *entry = find_entry (agent, name);

    return scripted_agent_change (agent, error) &&
           ((affect & CORRAL_AFFECT_LIVE) == 0 ||
            set_text (entry->shown.live, what, uri, prefix, value, error)) &&
           ((affect & CORRAL_AFFECT_CONFIG) == 0 ||
            set_text (entry->shown.config, what, uri, prefix, value, error));
}

/* --- usage --- */

gboolean
corral_agent_get_usage (CorralAgent *agent, const char *name, CorralAgentUsage *ret_usage,
                        GError **error)
{
    *ret_usage = (CorralAgentUsage){
        .total_ns = 5000,
        .user_ns = 3000,
        .system_ns = 2000,
        .guest_ns = 2500,
        .host_ns = 1500,
        .emulator_ns = 1000,
        .wait_ns = 70,
        .throttled_ns = 9,
        .vms = find_entry (agent, name)->shown.live->members->len,
        .vcpus = corral_agent_count_vcpus (agent, name),
        .source = "threads",
    };
    return TRUE;
}

/* --- what the driver asks the container core for --- */

gboolean
corral_container_core_host_cpus (CorralContainerCore *core, CorralCpuset **ret_cpus,
                                 CorralCpuset **ret_mems, GError **error)
{
    *ret_cpus = hwloc_bitmap_alloc ();
    *ret_mems = hwloc_bitmap_alloc ();
    hwloc_bitmap_set_range (*ret_cpus, 0, 5);
    hwloc_bitmap_set (*ret_mems, 0);
    return TRUE;
}

/* More pCPUs than any host has here, since the kernel's list goes on to those that may come. */
gboolean
corral_container_get_usage_percpu (CorralContainerCore *core, const char *path, GArray **ret_ns,
                                   GError **error)
{
    *ret_ns = g_array_new (FALSE, TRUE, sizeof (guint64));
    for (guint64 cpu = 0; cpu <= CORRAL_CPUSET_MAX; cpu++) {
        guint64 time = 100 + cpu;

        g_array_append_val (*ret_ns, time);
    }
    return TRUE;
}
