/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What there is and how busy it is. Nothing runs in the background for this: the window is from the
 * last time that somebody asked, at least a second ago. */
#include "vmm-agent/agent/corral-agent-plan-private.h"

#include "common/corral-error.h"

#include <string.h>
#include <unistd.h>

#define WINDOW_MIN_USEC G_USEC_PER_SEC
#define NS_PER_SEC G_GUINT64_CONSTANT (1000000000)

/* One look at all that is used. */
struct _CorralAgentLook {
    gint64 time;
    GHashTable *pcpus;      /* pCPU -> guint64 * of nanoseconds */
    GHashTable *containers; /* path -> guint64 * */
};

static void
look_free (CorralAgentLook *look)
{
    if (look == NULL)
        return;
    g_hash_table_unref (look->pcpus);
    g_hash_table_unref (look->containers);
    g_free (look);
}

void
corral_agent_capacity_forget (CorralAgentPlanner *planner)
{
    g_clear_pointer (&planner->capacity, corral_capacity_free);
    g_clear_pointer (&planner->capacity_of, g_free);
}

void
corral_agent_capacity_free (CorralAgentPlanner *planner)
{
    corral_agent_capacity_forget (planner);
    look_free (planner->looks[0]);
    look_free (planner->looks[1]);
}

static gpointer
boxed (guint64 value)
{
    return g_memdup2 (&value, sizeof value);
}

/* proc(5), stat: "cpuN user nice system idle iowait irq softirq steal guest ..."; guest is in user.
 */
static void
read_pcpus (CorralAgentLook *look)
{
    const guint64 tick_ns = NS_PER_SEC / (guint64) sysconf (_SC_CLK_TCK);
    g_autofree char *text = NULL;
    g_auto (GStrv) lines = NULL;

    if (!g_file_get_contents ("/proc/stat", &text, NULL, NULL))
        return;
    lines = g_strsplit (text, "\n", -1);
    for (guint i = 0; lines[i] != NULL; i++) {
        guint64 ticks[8] = { 0 };
        guint number;
        int read;

        if (sscanf (lines[i], "cpu%u %n", &number, &read) != 1 || !g_ascii_isdigit (lines[i][3]))
            continue;
        for (guint j = 0, at = (guint) read; j < G_N_ELEMENTS (ticks); j++) {
            char *end;

            ticks[j] = g_ascii_strtoull (lines[i] + at, &end, 10);
            at = (guint) (end - lines[i]);
        }
        g_hash_table_insert (look->pcpus, GUINT_TO_POINTER (number),
                             boxed ((ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6] +
                                     ticks[7]) *
                                    tick_ns));
    }
}

static CorralAgentLook *
look_now (CorralAgent *agent)
{
    CorralAgentLook *look = g_new0 (CorralAgentLook, 1);
    GHashTableIter iter;
    CorralAgentEntry *entry;

    look->time = g_get_monotonic_time ();
    look->pcpus = g_hash_table_new_full (g_direct_hash, g_direct_equal, NULL, g_free);
    look->containers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
    read_pcpus (look);
    g_hash_table_iter_init (&iter, agent->entries);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &entry)) {
        CorralContainerUsage usage;

        if (corral_agent_entry_is_active (entry) &&
            corral_container_get_usage (agent->core, entry->stored->partition, &usage, NULL))
            g_hash_table_insert (look->containers, g_strdup (entry->stored->partition),
                                 boxed (usage.total_ns));
    }
    return look;
}

void
corral_agent_busy_start (CorralAgent *agent)
{
    agent->planner->looks[0] = look_now (agent);
}

static guint64
difference (GHashTable *now, GHashTable *then, gconstpointer key)
{
    const guint64 *new_value = g_hash_table_lookup (now, key);
    const guint64 *old_value = g_hash_table_lookup (then, key);

    if (new_value == NULL || (old_value != NULL && *old_value > *new_value))
        return 0;
    return *new_value - (old_value != NULL ? *old_value : *new_value);
}

/* The last look, if it is old enough, else the one before it. (nullable) */
static const CorralAgentLook *
find_base (CorralAgentPlanner *planner, gint64 now)
{
    if (planner->looks[0] != NULL && now - planner->looks[0]->time >= WINDOW_MIN_USEC)
        return planner->looks[0];
    return planner->looks[1];
}

static void
keep (CorralAgentPlanner *planner, CorralAgentLook *now)
{
    if (planner->looks[0] != NULL && now->time - planner->looks[0]->time < WINDOW_MIN_USEC) {
        look_free (now);
        return;
    }
    look_free (planner->looks[1]);
    planner->looks[1] = planner->looks[0];
    planner->looks[0] = now;
}

/* To ask the planner what would fit takes long on a large host, and many may ask: as long as
 * nothing has changed the answer is the same. */
static gboolean
ensure_capacity (CorralAgent *agent, const CorralAgentSnapshot *snapshot, GError **error)
{
    g_autofree char *fingerprint = corral_agent_snapshot_fingerprint (snapshot);
    CorralAgentPlanner *planner = agent->planner;
    g_autoptr (CorralPlan) plan = NULL;
    CorralCapacity *capacity;

    if (planner->capacity != NULL && g_str_equal (planner->capacity_of, fingerprint))
        return TRUE;
    plan = corral_plan_make (&snapshot->input, error);
    capacity = plan != NULL ? corral_capacity_compute (&snapshot->input, plan, NULL, error) : NULL;
    if (capacity == NULL)
        return FALSE;
    corral_agent_capacity_forget (planner);
    planner->capacity = capacity;
    planner->capacity_of = g_steal_pointer (&fingerprint);
    return TRUE;
}

static void
measure (CorralAgent *agent, const CorralAgentSnapshot *snapshot)
{
    CorralAgentLook *now = look_now (agent);
    const CorralAgentLook *then = find_base (agent->planner, now->time);
    const CorralPlanInput *input = &snapshot->input;
    g_autofree guint64 *busy = g_new0 (guint64, MAX (input->topology->n_cpus, 1));
    g_autofree guint64 *used = g_new0 (guint64, MAX (input->n_containers, 1));
    CorralCapacityUsage usage = { .busy_ns = busy, .container_ns = used };

    if (then != NULL) {
        usage.window_ns = (guint64) (now->time - then->time) * 1000;
        for (guint i = 0; i < input->topology->n_cpus; i++)
            busy[i] = difference (now->pcpus, then->pcpus,
                                  GUINT_TO_POINTER (input->topology->cpus[i].number));
        for (guint i = 0; i < input->n_containers; i++)
            used[i] = difference (now->containers, then->containers, input->containers[i].path);
    }
    corral_capacity_measure (agent->planner->capacity, &usage);
    keep (agent->planner, now);
}

const CorralCapacity *
corral_agent_capacity (CorralAgent *agent, guint64 *ret_generation, GError **error)
{
    g_autoptr (CorralAgentSnapshot) snapshot = corral_agent_snapshot_new (agent, NULL, error);

    if (snapshot == NULL || !ensure_capacity (agent, snapshot, error))
        return NULL;
    measure (agent, snapshot);
    *ret_generation = corral_agent_snapshot_generation (agent, snapshot);
    return agent->planner->capacity;
}
