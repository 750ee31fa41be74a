/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The planner's part of the agent: this host's topology, which follows CPUs as they go offline and
 * come back, and the host's own wishes. */
#include "vmm-agent/agent/corral-agent-plan-private.h"

#include "common/corral-error.h"

#include <errno.h>
#include <glib-unix.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ONLINE "/sys/devices/system/cpu/online"
#define UEVENT_MAX 8192
/* A start takes seconds; one that has said nothing for so long will not say anything any more. */
#define PENDING_MSEC (10 * 60 * 1000)

/* --- topology --- */

/* Loading costs some 10 ms, so it is done by the first who asks, and again when the list of CPUs
 * that are online has changed. */
static CorralTopology *
load (GError **error)
{
    CorralTopology *topology = NULL;
    hwloc_topology_t hwloc;

    if (hwloc_topology_init (&hwloc) < 0) {
        g_set_error_literal (error, CORRAL_ERROR, CORRAL_ERROR_FAILED,
                             "cannot allocate a topology");
        return NULL;
    }
    /* What our own cgroup may use is not the question. */
    hwloc_topology_set_flags (hwloc, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
    if (hwloc_topology_load (hwloc) < 0)
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_FAILED,
                     "cannot load this machine's topology: %s", g_strerror (errno));
    else
        topology = corral_topology_from_hwloc (hwloc, error);
    hwloc_topology_destroy (hwloc);
    return topology;
}

/* What hwloc takes for usable is what our own cgroup has now, and cpuset partitions are no part of
 * that: those of our containers are as good as any. */
static CorralTopology *
with_partitions (CorralAgent *agent, CorralTopology *topology, const char *online)
{
    g_autoptr (CorralCpuset) known = hwloc_bitmap_dup (topology->online), all = NULL;
    CorralTopology *whole;
    CorralAgentEntry *entry;
    GHashTableIter iter;

    if (online == NULL || !corral_cpuset_parse (online, &all, NULL))
        return topology;
    g_hash_table_iter_init (&iter, agent->entries);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &entry)) {
        g_autoptr (CorralCpuset) cpus = NULL;

        if (corral_agent_entry_is_active (entry) && entry->stored->planned &&
            corral_container_get_cpuset (agent->core, entry->stored->partition, &cpus, NULL, NULL))
            hwloc_bitmap_or (known, known, cpus);
    }
    hwloc_bitmap_and (known, known, all);
    whole = corral_topology_with_online (topology, known);
    corral_topology_free (topology);
    return whole;
}

const CorralTopology *
corral_agent_get_topology (CorralAgent *agent)
{
    CorralAgentPlanner *planner = agent->planner;
    g_autofree char *online = NULL;
    CorralTopology *topology;
    GError *problem = NULL;

    if (planner->fixed)
        return planner->topology;
    if (g_file_get_contents (ONLINE, &online, NULL, NULL))
        g_strchomp (online);
    if (planner->topology != NULL && g_strcmp0 (online, planner->online) == 0)
        return planner->topology;
    topology = load (&problem);
    if (topology == NULL) {
        corral_agent_problem (agent, problem, NULL);
        return planner->topology;
    }
    g_clear_pointer (&planner->topology, corral_topology_free);
    g_free (planner->online);
    planner->topology = with_partitions (agent, topology, online);
    planner->online = g_steal_pointer (&online);
    return planner->topology;
}

void
corral_agent_set_topology (CorralAgent *agent, const CorralTopology *topology)
{
    CorralAgentPlanner *planner = agent->planner;

    corral_agent_capacity_forget (planner);
    g_clear_pointer (&planner->topology, corral_topology_free);
    planner->topology = corral_topology_copy (topology);
    planner->fixed = TRUE;
    corral_agent_replan_soon (agent);
}

/* --- CPUs that go and come --- */

/* "ACTION@PATH", then "KEY=value" each with its NUL */
static gboolean
is_about_cpus (const char *message, gsize length)
{
    for (gsize at = 0; at < length; at += strlen (message + at) + 1)
        if (g_str_equal (message + at, "SUBSYSTEM=cpu"))
            return TRUE;
    return FALSE;
}

static gboolean
on_uevent (gint fd, GIOCondition condition, gpointer data)
{
    CorralAgent *agent = data;
    char message[UEVENT_MAX + 1];
    gboolean cpus = FALSE;
    ssize_t got;

    while ((got = recv (fd, message, UEVENT_MAX, 0)) > 0 || (got < 0 && errno == ENOBUFS)) {
        /* What was lost may have been about CPUs. */
        if (got < 0) {
            cpus = TRUE;
            continue;
        }
        message[got] = '\0';
        cpus = cpus || is_about_cpus (message, (gsize) got);
    }
    /* The list of CPUs that are online may have been read before all of the kernel knew. */
    if (cpus)
        g_clear_pointer (&agent->planner->online, g_free);
    if (cpus && corral_agent_plans (agent)) {
        corral_agent_drift_check (agent, NULL);
        corral_agent_replan_soon (agent);
    }
    return G_SOURCE_CONTINUE;
}

/* Without it, CPUs that went are seen when a plan is next made, and by the look for drift. */
static void
watch_cpus (CorralAgent *agent)
{
    struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };
    int fd = socket (AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

    if (fd >= 0 && bind (fd, (struct sockaddr *) &address, sizeof address) == 0) {
        agent->planner->netlink_fd = fd;
        agent->planner->netlink = g_unix_fd_add (fd, G_IO_IN, on_uevent, agent);
    } else if (fd >= 0) {
        close (fd);
    }
}

/* --- the host's wishes --- */

gboolean
corral_agent_read_host (CorralAgent *agent, GError **error)
{
    CorralAgentPlanner *planner = agent->planner;
    g_autoptr (GError) reason = NULL;
    g_autofree char *text = NULL;
    CorralHost *host = NULL;
    gsize length;

    if (planner->host_file == NULL ||
        (!g_file_get_contents (planner->host_file, &text, &length, &reason) &&
         g_error_matches (reason, G_FILE_ERROR, G_FILE_ERROR_NOENT))) {
        host = corral_host_new ();
    } else if (text == NULL) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO, "cannot read \"%s\": %s",
                     planner->host_file, reason->message);
        return FALSE;
    } else if (!corral_host_parse (text, length, &host, error)) {
        g_prefix_error (error, "cannot read \"%s\": ", planner->host_file);
        return FALSE;
    }
    g_clear_pointer (&planner->host, corral_host_free);
    planner->host = host;
    return TRUE;
}

/* --- life --- */

void
corral_agent_planner_new (CorralAgent *agent, const CorralAgentSettings *settings)
{
    CorralAgentPlanner *planner = g_new0 (CorralAgentPlanner, 1);

    agent->planner = planner;
    planner->host = corral_host_new ();
    planner->host_file = g_strdup (settings->host_file);
    planner->netlink_fd = -1;
    planner->pending_msec = PENDING_MSEC;
    planner->pending = g_hash_table_new_full (g_str_hash, g_str_equal, NULL,
                                              (GDestroyNotify) corral_agent_pending_free);
    planner->refused =
        g_hash_table_new_full (g_str_hash, g_str_equal, g_free, corral_agent_refusal_free);
    /* No number is used again after a restart of ours. */
    planner->generation = (guint64) g_get_real_time () / 1000;
    planner->drift = corral_agent_drift_new (agent, settings->drift_interval_ms);
}

void
corral_agent_planner_start (CorralAgent *agent)
{
    GError *problem = NULL;

    if (!corral_agent_read_host (agent, &problem))
        corral_agent_problem (agent, problem, "the host's wishes are left out");
    watch_cpus (agent);
    corral_agent_busy_start (agent);
}

void
corral_agent_planner_free (CorralAgentPlanner *planner)
{
    if (planner == NULL)
        return;
    g_clear_handle_id (&planner->soon, g_source_remove);
    g_clear_handle_id (&planner->netlink, g_source_remove);
    if (planner->netlink_fd >= 0)
        close (planner->netlink_fd);
    corral_agent_drift_free (planner->drift);
    g_clear_pointer (&planner->topology, corral_topology_free);
    corral_host_free (planner->host);
    g_hash_table_unref (planner->pending);
    g_hash_table_unref (planner->refused);
    corral_agent_capacity_free (planner);
    g_clear_pointer (&planner->unseen, g_key_file_unref);
    g_free (planner->pins);
    g_free (planner->host_file);
    g_free (planner->online);
    g_free (planner->fingerprint);
    g_free (planner);
}
