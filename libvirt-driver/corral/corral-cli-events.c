/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* events: what happens to containers, as it happens. */
#include "libvirt-driver/corral/corral-cli-container.h"
#include "libvirt-driver/corral/corral-cli-verbs.h"

#include "common/corral-error.h"
#include "libvirt-driver/client/corral-client-error.h"

#include <glib-unix.h>
#include <signal.h>

#define TIMEOUT_MAX_SECONDS (365 * 24 * 3600)

static const CorralCliColumn columns[] = {
    { "time", "Time", CORRAL_CLI_KIND_TEXT },
    { "container", "Container", CORRAL_CLI_KIND_TEXT },
    { "uuid", NULL, CORRAL_CLI_KIND_TEXT },
    { "event", "Event", CORRAL_CLI_KIND_TEXT },
    { "detail", "Detail", CORRAL_CLI_KIND_TEXT },
    { NULL },
};

typedef struct {
    GMainLoop *loop;
    CorralCliFormat format;
    gboolean endless;
    gboolean timed_out;
    gboolean ended; /* no more events are wanted */
    guint count;
    GError *error; /* (nullable): why it ended */
} Watch;

/* --- one event --- */

/* In UTC, so that lines of two hosts, or of two days of a year, sort by their time. */
static char *
time_now (void)
{
    g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
    g_autofree char *seconds = g_date_time_format (now, "%Y-%m-%dT%H:%M:%S");

    return g_strdup_printf ("%s.%03dZ", seconds, g_date_time_get_microsecond (now) / 1000);
}

static void
report (Watch *watch, virDomain *domain, const char *event, const char *detail)
{
    g_autoptr (JsonObject) row = json_object_new ();
    g_autofree char *time = time_now ();
    g_autofree char *name = g_utf8_make_valid (virDomainGetName (domain), -1);
    g_autofree char *said = g_utf8_make_valid (detail != NULL ? detail : "", -1);
    g_autofree char *text = NULL;
    char uuid[VIR_UUID_STRING_BUFLEN];

    if (watch->ended)
        return;
    json_object_set_string_member (row, "time", time);
    json_object_set_string_member (row, "container", name);
    if (virDomainGetUUIDString (domain, uuid) == 0)
        json_object_set_string_member (row, "uuid", uuid);
    json_object_set_string_member (row, "event", event);
    json_object_set_string_member (row, "detail", said);
    text = corral_cli_output_format_row (columns, row, watch->format, watch->count == 0);
    watch->count++;
    watch->ended = !corral_cli_print (text, &watch->error) || !watch->endless;
    if (watch->ended)
        g_main_loop_quit (watch->loop);
}

/* --- libvirt's callbacks --- */

static int
on_lifecycle (virConnectPtr conn, virDomainPtr domain, int event, int detail, void *data)
{
    static const char *const names[] = {
        [VIR_DOMAIN_EVENT_DEFINED] = "defined",   [VIR_DOMAIN_EVENT_UNDEFINED] = "undefined",
        [VIR_DOMAIN_EVENT_STARTED] = "started",   [VIR_DOMAIN_EVENT_SUSPENDED] = "suspended",
        [VIR_DOMAIN_EVENT_RESUMED] = "resumed",   [VIR_DOMAIN_EVENT_STOPPED] = "stopped",
        [VIR_DOMAIN_EVENT_SHUTDOWN] = "shutdown", [VIR_DOMAIN_EVENT_PMSUSPENDED] = "pmsuspended",
        [VIR_DOMAIN_EVENT_CRASHED] = "crashed",
    };
    gboolean updated =
        event == VIR_DOMAIN_EVENT_DEFINED && detail == VIR_DOMAIN_EVENT_DEFINED_UPDATED;

    report (data, domain,
            event >= 0 && (gsize) event < G_N_ELEMENTS (names) ? names[event] : "lifecycle",
            updated ? "again" : NULL);
    return 0;
}

static void
on_tunable (virConnectPtr conn, virDomainPtr domain, virTypedParameterPtr params, int n_params,
            void *data)
{
    g_autoptr (GString) detail = g_string_new (NULL);

    for (int i = 0; i < n_params; i++) {
        g_autoptr (JsonNode) node = corral_cli_param_node (&params[i]);
        g_autofree char *value = json_node_get_value_type (node) == G_TYPE_STRING
                                     ? json_node_dup_string (node)
                                     : json_to_string (node, FALSE);

        g_string_append_printf (detail, "%s%s=%s", i > 0 ? " " : "", params[i].field, value);
    }
    report (data, domain, "tuned", detail->str);
}

static void
on_device_added (virConnectPtr conn, virDomainPtr domain, const char *alias, void *data)
{
    report (data, domain, "member-added", alias);
}

static void
on_device_removed (virConnectPtr conn, virDomainPtr domain, const char *alias, void *data)
{
    report (data, domain, "member-removed", alias);
}

static void
on_metadata (virConnectPtr conn, virDomainPtr domain, int type, const char *uri, void *data)
{
    report (data, domain, "text-changed",
            type == VIR_DOMAIN_METADATA_TITLE         ? "title"
            : type == VIR_DOMAIN_METADATA_DESCRIPTION ? "description"
                                                      : uri);
}

static void
on_connection_closed (virConnectPtr conn, int reason, void *data)
{
    Watch *watch = data;

    if (watch->error == NULL)
        g_set_error_literal (&watch->error, CORRAL_ERROR, CORRAL_ERROR_FAILED,
                             "cannot wait for more events: the connection was closed");
    g_main_loop_quit (watch->loop);
}

static const struct {
    int id;
    virConnectDomainEventGenericCallback callback;
} callbacks[] = {
    { VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK (on_lifecycle) },
    { VIR_DOMAIN_EVENT_ID_TUNABLE, VIR_DOMAIN_EVENT_CALLBACK (on_tunable) },
    { VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_CALLBACK (on_device_added) },
    { VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK (on_device_removed) },
    { VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, VIR_DOMAIN_EVENT_CALLBACK (on_metadata) },
};

/* --- the verb --- */

static gboolean
on_timeout (gpointer data)
{
    Watch *watch = data;

    watch->timed_out = TRUE;
    g_main_loop_quit (watch->loop);
    return G_SOURCE_CONTINUE;
}

static gboolean
on_signal (gpointer data)
{
    g_main_loop_quit (((Watch *) data)->loop);
    return G_SOURCE_CONTINUE;
}

static void
unregister (virConnect *conn, const int *ids, gsize n)
{
    for (gsize i = 0; i < n; i++)
        virConnectDomainEventDeregisterAny (conn, ids[i]);
}

static gboolean
wait_for_events (CorralCli *cli, virDomain *domain, gint64 timeout_seconds, Watch *watch,
                 GError **error)
{
    int ids[G_N_ELEMENTS (callbacks)];
    guint timer = 0, interrupt, terminate;

    for (gsize i = 0; i < G_N_ELEMENTS (callbacks); i++) {
        ids[i] = virConnectDomainEventRegisterAny (cli->conn, domain, callbacks[i].id,
                                                   callbacks[i].callback, watch, NULL);
        if (ids[i] < 0) {
            corral_client_set_error (error, "cannot ask for events");
            unregister (cli->conn, ids, i);
            return FALSE;
        }
    }
    /* without it a connection that died is only noticed when something is sent */
    virConnectSetKeepAlive (cli->conn, 5, 3);
    virConnectRegisterCloseCallback (cli->conn, on_connection_closed, watch, NULL);
    interrupt = g_unix_signal_add (SIGINT, on_signal, watch);
    terminate = g_unix_signal_add (SIGTERM, on_signal, watch);
    if (timeout_seconds > 0)
        timer = g_timeout_add_seconds ((guint) timeout_seconds, on_timeout, watch);

    g_main_loop_run (watch->loop);

    g_source_remove (interrupt);
    g_source_remove (terminate);
    if (timer != 0)
        g_source_remove (timer);
    virConnectUnregisterCloseCallback (cli->conn, on_connection_closed);
    unregister (cli->conn, ids, G_N_ELEMENTS (callbacks));
    return TRUE;
}

gboolean
corral_cli_verb_events (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    const char *name = corral_cli_args_operand (args, 0);
    g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
    g_autoptr (virDomain) domain = NULL;
    Watch watch = { .loop = loop, .format = corral_cli_args_format (args) };
    gint64 timeout = 0;

    watch.endless = corral_cli_args_flag (args, "loop");
    if (!corral_cli_args_number (args, "timeout", 1, TIMEOUT_MAX_SECONDS, &timeout, error) ||
        !corral_cli_connect (cli, error))
        return FALSE;
    if (name != NULL) {
        domain = corral_cli_domain_lookup (cli, name, error);
        if (domain == NULL)
            return FALSE;
    }
    if (!wait_for_events (cli, domain, timeout, &watch, error))
        return FALSE;
    if (watch.error != NULL) {
        g_propagate_error (error, watch.error);
        return FALSE;
    }
    if (watch.timed_out && watch.count == 0) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_FAILED,
                     "no event came within %" G_GINT64_FORMAT " seconds", timeout);
        return FALSE;
    }
    return TRUE;
}
