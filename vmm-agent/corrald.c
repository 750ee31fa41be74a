/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* corrald: the agent, and libvirt's protocol in front of it, in one process and one main loop. */
#include "common/corral-error.h"
#include "libvirt-driver/driver/corral-driver.h"
#include "vmm-agent/agent/corral-settings.h"
#include "vmm-agent/corrald-log.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <grp.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define SOCKET_NAME "libvirt-sock"
#define SOCKET_RO_NAME "libvirt-sock-ro"
/* How long clients may take to read what is queued for them when we stop */
#define STOP_GRACE_MS 1000

typedef struct {
    const char *settings_file; /* (nullable): as the command line has it */
    CorralSettings *settings;
    CorralContainerCore *core;
    CorralAgent *agent;
    CorralRpcServer *server;
    CorralDriver *driver;
    GMainLoop *loop;
    int lock_fd;
} Daemon;

static void
daemon_clear (Daemon *daemon)
{
    g_clear_pointer (&daemon->server, corral_rpc_server_free);
    g_clear_pointer (&daemon->driver, corral_driver_free);
    g_clear_object (&daemon->agent);
    g_clear_object (&daemon->core);
    g_clear_pointer (&daemon->settings, corral_settings_free);
    g_clear_pointer (&daemon->loop, g_main_loop_unref);
    if (daemon->lock_fd >= 0)
        close (daemon->lock_fd);
}

/* --- the state folder is one corrald's --- */

static gboolean
take_lock (Daemon *daemon, GError **error)
{
    g_autofree char *path = g_build_filename (daemon->settings->state_dir, "corrald.lock", NULL);

    if (g_mkdir_with_parents (daemon->settings->state_dir, 0755) == 0)
        daemon->lock_fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (daemon->lock_fd < 0) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO, "cannot open the lock \"%s\": %s", path,
                     g_strerror (errno));
        return FALSE;
    }
    if (flock (daemon->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE, "cannot lock \"%s\": %s", path,
                     errno == EWOULDBLOCK ? "another corrald runs on this state folder"
                                          : g_strerror (errno));
        return FALSE;
    }
    return TRUE;
}

/* --- sockets --- */

static gboolean
set_group (const char *path, const char *group, GError **error)
{
    const struct group *entry;

    if (group == NULL)
        return TRUE;
    errno = 0;
    entry = getgrnam (group);
    if (entry != NULL && chown (path, (uid_t) -1, entry->gr_gid) == 0)
        return TRUE;
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO,
                 "cannot give the socket \"%s\" to the group \"%s\": %s", path, group,
                 entry == NULL && errno == 0 ? "there is no such group" : g_strerror (errno));
    return FALSE;
}

static gboolean
listen_at (Daemon *daemon, const char *name, mode_t mode, const char *group, gboolean readonly,
           GError **error)
{
    g_autofree char *path = g_build_filename (daemon->settings->socket_dir, name, NULL);

    if (g_mkdir_with_parents (daemon->settings->socket_dir, 0755) != 0) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO, "cannot make the folder \"%s\": %s",
                     daemon->settings->socket_dir, g_strerror (errno));
        return FALSE;
    }
    return corral_rpc_server_listen_path (daemon->server, path, mode, readonly, error) &&
           set_group (path, group, error);
}

/* Sockets that systemd made (FileDescriptorName=), else our own; sd_listen_fds_with_names(3). */
static gboolean
open_sockets (Daemon *daemon, GError **error)
{
    g_auto (GStrv) names = NULL;
    int n_fds = sd_listen_fds_with_names (1, &names);
    gboolean given = FALSE, given_ro = FALSE;

    for (int i = 0; i < n_fds; i++) {
        gboolean is_rw = g_str_equal (names[i], SOCKET_NAME);
        gboolean is_ro = g_str_equal (names[i], SOCKET_RO_NAME);

        if (!is_rw && !is_ro) {
            g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                         "cannot use the socket \"%s\" that systemd handed over: only \"%s\" and "
                         "\"%s\" are expected",
                         names[i], SOCKET_NAME, SOCKET_RO_NAME);
            return FALSE;
        }
        if (!corral_rpc_server_listen_fd (daemon->server, SD_LISTEN_FDS_START + i, is_ro, error))
            return FALSE;
        given = given || is_rw;
        given_ro = given_ro || is_ro;
    }
    return (given || listen_at (daemon, SOCKET_NAME, daemon->settings->socket_mode,
                                daemon->settings->socket_group, FALSE, error)) &&
           (given_ro || listen_at (daemon, SOCKET_RO_NAME, daemon->settings->socket_ro_mode, NULL,
                                   TRUE, error));
}

static void
apply_limits (Daemon *daemon)
{
    CorralRpcLimits limits = corral_rpc_default_limits;

    limits.max_clients = daemon->settings->max_clients;
    corral_rpc_server_set_limits (daemon->server, &limits);
}

/* --- the agent's signals --- */

static void
on_event (CorralAgent *agent, const CorralEvent *event, gpointer unused)
{
    corrald_log_event (event);
}

static void
on_problem (CorralAgent *agent, const GError *problem, gpointer unused)
{
    corrald_log (G_LOG_LEVEL_WARNING, CORRALD_MESSAGE_PROBLEM, "%s", problem->message);
}

static void
tell_status (Daemon *daemon)
{
    g_autoptr (GPtrArray) containers = corral_agent_list (daemon->agent);
    g_autoptr (GPtrArray) vms = corral_vm_inventory_list (corral_agent_inventory (daemon->agent));

    sd_notifyf (0, "STATUS=%u containers, %u VMs", containers->len, vms->len);
}

/* All VMs have been read: what that needed in memory goes back to the system. */
static void
on_settled (CorralVmInventory *inventory, Daemon *daemon)
{
    malloc_trim (0);
    tell_status (daemon);
}

/* --- signals and the watchdog --- */

/* Names what was changed but cannot be taken over now. */
static char *
changed_settings (const CorralSettings *a, const CorralSettings *b)
{
    g_autoptr (GString) names = g_string_new (NULL);
    GHashTableIter iter;
    gpointer name, path;
    gboolean qmp = g_hash_table_size (a->qmp_sockets) != g_hash_table_size (b->qmp_sockets);

    if (g_strcmp0 (a->definition_dir, b->definition_dir) != 0)
        g_string_append (names, " definition_dir");
    if (g_strcmp0 (a->host_file, b->host_file) != 0)
        g_string_append (names, " host_file");
    if (a->drift_interval != b->drift_interval)
        g_string_append (names, " drift_interval");
    if (g_strcmp0 (a->state_dir, b->state_dir) != 0)
        g_string_append (names, " state_dir");
    if (g_strcmp0 (a->socket_dir, b->socket_dir) != 0 ||
        g_strcmp0 (a->socket_group, b->socket_group) != 0 || a->socket_mode != b->socket_mode ||
        a->socket_ro_mode != b->socket_ro_mode)
        g_string_append (names, " socket_*");
    if (g_strcmp0 (a->libvirt_uri, b->libvirt_uri) != 0 ||
        g_strcmp0 (a->libvirt_state_dir, b->libvirt_state_dir) != 0)
        g_string_append (names, " [libvirt]");
    g_hash_table_iter_init (&iter, a->qmp_sockets);
    while (!qmp && g_hash_table_iter_next (&iter, &name, &path))
        qmp = g_strcmp0 (path, g_hash_table_lookup (b->qmp_sockets, name)) != 0;
    if (qmp)
        g_string_append (names, " [qmp]");
    return names->len > 0 ? g_string_free (g_steal_pointer (&names), FALSE) : NULL;
}

static gboolean
reload (Daemon *daemon, GError **error)
{
    g_autoptr (CorralSettings) settings = NULL;
    g_autofree char *waiting = NULL;

    if (!corral_settings_load (daemon->settings_file, &settings, error) ||
        !corral_agent_reload (daemon->agent, error))
        return FALSE;
    waiting = changed_settings (daemon->settings, settings);
    daemon->settings->max_clients = settings->max_clients;
    apply_limits (daemon);
    corrald_log (G_LOG_LEVEL_MESSAGE, CORRALD_MESSAGE_RELOADED,
                 waiting != NULL ? "settings and definitions read again; these wait for the next "
                                   "start:%s"
                                 : "settings and definitions read again%s",
                 waiting != NULL ? waiting : "");
    return TRUE;
}

static gboolean
on_reload (gpointer data)
{
    Daemon *daemon = data;
    g_autoptr (GError) error = NULL;

    sd_notifyf (0, "RELOADING=1\nMONOTONIC_USEC=%" G_GINT64_FORMAT, g_get_monotonic_time ());
    if (!reload (daemon, &error))
        corrald_log (G_LOG_LEVEL_WARNING, CORRALD_MESSAGE_RELOAD_FAILED,
                     "nothing was taken over: %s", error->message);
    sd_notify (0, "READY=1");
    tell_status (daemon);
    return G_SOURCE_CONTINUE;
}

static gboolean
on_stop (gpointer data)
{
    Daemon *daemon = data;

    sd_notify (0, "STOPPING=1");
    g_main_loop_quit (daemon->loop);
    return G_SOURCE_CONTINUE;
}

static gboolean
on_watchdog (gpointer unused)
{
    sd_notify (0, "WATCHDOG=1");
    return G_SOURCE_CONTINUE;
}

static void
start_watchdog (void)
{
    guint64 usec;

    if (sd_watchdog_enabled (0, &usec) > 0)
        g_timeout_add ((guint) (usec / 2000), on_watchdog, NULL);
}

/* --- main --- */

static gboolean
start (Daemon *daemon, GError **error)
{
    CorralVmSettings vm;
    CorralAgentSettings agent;

    if (!corral_settings_load (daemon->settings_file, &daemon->settings, error) ||
        !take_lock (daemon, error))
        return FALSE;
    vm = (CorralVmSettings){ .libvirt_uri = daemon->settings->libvirt_uri,
                             .libvirt_state_dir = daemon->settings->libvirt_state_dir,
                             .qmp_sockets = daemon->settings->qmp_sockets };
    agent = (CorralAgentSettings){ .definition_dir = daemon->settings->definition_dir,
                                   .state_dir = daemon->settings->state_dir,
                                   .vm = &vm,
                                   .host_file = daemon->settings->host_file,
                                   .drift_interval_ms = daemon->settings->drift_interval * 1000 };
    daemon->core = corral_container_core_open (-1, error);
    if (daemon->core == NULL)
        return FALSE;
    daemon->agent = corral_agent_new (daemon->core, &agent);
    g_signal_connect (daemon->agent, "event", G_CALLBACK (on_event), NULL);
    g_signal_connect (daemon->agent, "problem", G_CALLBACK (on_problem), NULL);
    g_signal_connect (corral_agent_inventory (daemon->agent), "settled", G_CALLBACK (on_settled),
                      daemon);
    daemon->server = corral_rpc_server_new (&corral_driver_rpc_hooks, NULL);
    apply_limits (daemon);
    daemon->driver = corral_driver_new (daemon->agent, daemon->server);
    return corral_agent_start (daemon->agent, error) && open_sockets (daemon, error);
}

static void
prepare_process (void)
{
    struct rlimit files;

    umask (022);
    /* Two descriptors for each vCPU, one for each client, some for each container. */
    if (getrlimit (RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit (RLIMIT_NOFILE, &files);
    }
    /* The few threads of ours (libvirt's, GLib's) do little: an arena for each would cost more. */
    mallopt (M_ARENA_MAX, 1);
}

static void
run (Daemon *daemon)
{
    daemon->loop = g_main_loop_new (NULL, FALSE);
    g_unix_signal_add (SIGHUP, on_reload, daemon);
    g_unix_signal_add (SIGTERM, on_stop, daemon);
    g_unix_signal_add (SIGINT, on_stop, daemon);
    start_watchdog ();
    tell_status (daemon);
    sd_notify (0, "READY=1");
    corrald_log (G_LOG_LEVEL_MESSAGE, CORRALD_MESSAGE_READY,
                 "corrald " CORRAL_VERSION " is ready (cgroup %s)",
                 corral_container_core_backend (daemon->core));
    g_main_loop_run (daemon->loop);
    corral_rpc_server_stop (daemon->server, STOP_GRACE_MS);
    corrald_log (G_LOG_LEVEL_MESSAGE, CORRALD_MESSAGE_STOPPED,
                 "corrald stops; containers and VMs stay as they are");
}

int
main (int argc, char **argv)
{
    g_autofree char *settings_file = NULL;
    gboolean version = FALSE;
    const GOptionEntry entries[] = {
        { "settings", 's', 0, G_OPTION_ARG_FILENAME, &settings_file,
          "Read settings from FILE and FILE.d (default: " CORRAL_SETTINGS_FILE ")", "FILE" },
        { "config", 'f', 0, G_OPTION_ARG_FILENAME, &settings_file, "The same", "FILE" },
        { "version", 'V', 0, G_OPTION_ARG_NONE, &version, "Show the version", NULL },
        { NULL },
    };
    g_autoptr (GOptionContext) context = g_option_context_new (NULL);
    g_autoptr (GError) error = NULL;
    Daemon daemon = { .lock_fd = -1 };
    gboolean ok;

    g_option_context_set_summary (context,
                                  "Holds containers for VMs and serves them as libvirt domains.");
    g_option_context_add_main_entries (context, entries, NULL);
    if (!g_option_context_parse (context, &argc, &argv, &error) || argc > 1) {
        fprintf (stderr, "corrald: %s\n", error != NULL ? error->message : "no arguments expected");
        return 2;
    }
    if (version) {
        puts ("corrald " CORRAL_VERSION);
        return 0;
    }
    corrald_log_init ();
    prepare_process ();
    daemon.settings_file = settings_file;
    ok = start (&daemon, &error);
    if (ok)
        run (&daemon);
    else
        corrald_log (G_LOG_LEVEL_CRITICAL, CORRALD_MESSAGE_FAILED, "corrald cannot start: %s",
                     error->message);
    daemon_clear (&daemon);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
