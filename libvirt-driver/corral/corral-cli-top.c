/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* top: which containers use the CPUs now. */
#include "libvirt-driver/corral/corral-cli-container.h"
#include "libvirt-driver/corral/corral-cli-verbs.h"

#include "common/corral-error.h"

#include <glib-unix.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define INTERVAL_DEFAULT_MS 2000
#define INTERVAL_MIN_SECONDS 0.1
#define INTERVAL_MAX_SECONDS 86400.0

/* Rates: a counter of nanoseconds, shown as pCPU-seconds per second. */
static const struct {
    const char *key, *statistic;
} rates[] = {
    { "cpu", "cpu.time" },        { "guest", "corral.guest_ns" },
    { "host", "corral.host_ns" }, { "emulator", "corral.emulator_ns" },
    { "wait", "corral.wait_ns" }, { "throttled", "corral.throttled_ns" },
};

static const CorralCliColumn columns[] = {
    { "name", "Name", CORRAL_CLI_KIND_TEXT },
    { "cpu_percent", "%CPU", CORRAL_CLI_KIND_RATE },
    { "cpu", "CPU", CORRAL_CLI_KIND_RATE },
    { "guest", "Guest", CORRAL_CLI_KIND_RATE },
    { "host", "Host", CORRAL_CLI_KIND_RATE },
    { "emulator", "Emulator", CORRAL_CLI_KIND_RATE },
    { "wait", "Wait", CORRAL_CLI_KIND_RATE },
    { "throttled", "Throttled", CORRAL_CLI_KIND_RATE },
    { "vms", "VMs", CORRAL_CLI_KIND_COUNT },
    { "vcpus", "vCPUs", CORRAL_CLI_KIND_COUNT },
    { NULL },
};
static const CorralCliTable tables[] = { { "containers", NULL, columns }, { NULL } };
static const CorralCliLayout layout = { NULL, tables };

typedef struct {
    CorralCli *cli;
    GMainLoop *loop;
    CorralCliFormat format;
    gboolean full_screen;
    gint64 left; /* rounds still to come; -1: no end */
    guint interval_ms;
    guint timer;
    guint rounds;       /* shown so far */
    GHashTable *before; /* name -> statistics, of the round before */
    gint64 before_usec;
    GError *error; /* (nullable): why it ended */
} Top;

/* --- one round --- */

static void
set_rate (JsonObject *row, const char *key, JsonObject *before, JsonObject *now,
          const char *statistic, double seconds)
{
    gint64 from, to;

    if (before == NULL || !json_object_has_member (before, statistic) ||
        !json_object_has_member (now, statistic))
        return;
    from = json_object_get_int_member (before, statistic);
    to = json_object_get_int_member (now, statistic);
    /* a container of the same name may have been made anew */
    if (to >= from && seconds > 0)
        json_object_set_double_member (row, key, (double) (to - from) / 1e9 / seconds);
}

static JsonObject *
row_of (const char *name, JsonObject *before, JsonObject *now, double seconds)
{
    JsonObject *row = json_object_new ();
    g_autofree char *valid = g_utf8_make_valid (name, -1);

    json_object_set_string_member (row, "name", valid);
    for (guint i = 0; i < G_N_ELEMENTS (rates); i++)
        set_rate (row, rates[i].key, before, now, rates[i].statistic, seconds);
    if (json_object_has_member (row, "cpu"))
        json_object_set_double_member (row, "cpu_percent",
                                       json_object_get_double_member (row, "cpu") * 100);
    if (json_object_has_member (now, "corral.vms"))
        json_object_set_int_member (row, "vms", json_object_get_int_member (now, "corral.vms"));
    if (json_object_has_member (now, "corral.vcpus"))
        json_object_set_int_member (row, "vcpus", json_object_get_int_member (now, "corral.vcpus"));
    return row;
}

static int
busiest_first (gconstpointer a, gconstpointer b)
{
    JsonObject *const *one = a;
    JsonObject *const *other = b;
    double first = json_object_get_double_member_with_default (*one, "cpu", -1);
    double second = json_object_get_double_member_with_default (*other, "cpu", -1);

    if (first != second)
        return first > second ? -1 : 1;
    return strcmp (json_object_get_string_member (*one, "name"),
                   json_object_get_string_member (*other, "name"));
}

static JsonArray *
rows_of (Top *top, GHashTable *now, double seconds)
{
    g_autoptr (GPtrArray) sorted = g_ptr_array_new ();
    JsonArray *rows = json_array_new ();
    GHashTableIter iter;
    gpointer name, stats;

    g_hash_table_iter_init (&iter, now);
    while (g_hash_table_iter_next (&iter, &name, &stats))
        g_ptr_array_add (sorted,
                         row_of (name, g_hash_table_lookup (top->before, name), stats, seconds));
    g_ptr_array_sort (sorted, busiest_first);
    for (guint i = 0; i < sorted->len; i++)
        json_array_add_object_element (rows, sorted->pdata[i]);
    return rows;
}

/* No more lines than the terminal has, or the top of the table would scroll away. */
static void
cut_to_screen (char *text)
{
    struct winsize size;
    char *at = text;

    if (ioctl (STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row < 4)
        return;
    for (int line = 0; line < size.ws_row - 3; line++) {
        at = strchr (at, '\n');
        if (at == NULL)
            return;
        at++;
    }
    *at = '\0';
}

static char *
round_text (Top *top, JsonObject *document, double seconds)
{
    g_autoptr (GDateTime) now = g_date_time_new_now_local ();
    g_autofree char *time = g_date_time_format (now, "%H:%M:%S");
    g_autofree char *table = NULL;

    if (top->format == CORRAL_CLI_FORMAT_JSON)
        return corral_cli_output_format_json_line (document);
    table = corral_cli_output_format (&layout, document, top->format);
    if (top->format == CORRAL_CLI_FORMAT_CSV)
        return g_steal_pointer (&table);
    if (top->full_screen)
        cut_to_screen (table);
    return g_strdup_printf ("%scorral top - %s - pCPU-seconds per second over %.1f s\n\n%s",
                            top->full_screen ? "\033[H\033[2J" : "", time, seconds, table);
}

static gboolean
show_round (Top *top, GError **error)
{
    g_autoptr (GHashTable) now = corral_cli_container_stats (top->cli, error);
    gint64 now_usec = g_get_monotonic_time ();
    double seconds = (double) (now_usec - top->before_usec) / 1e6;
    g_autoptr (JsonObject) document = json_object_new ();
    g_autofree char *text = NULL;

    if (now == NULL)
        return FALSE;
    if (top->before != NULL) {
        json_object_set_double_member (document, "seconds", seconds);
        json_object_set_array_member (document, "containers", rows_of (top, now, seconds));
        text = round_text (top, document, seconds);
        if (!corral_cli_print (text, error))
            return FALSE;
        top->rounds++;
        if (top->left > 0)
            top->left--;
    }
    g_clear_pointer (&top->before, g_hash_table_unref);
    top->before = g_steal_pointer (&now);
    top->before_usec = now_usec;
    return TRUE;
}

/* --- rounds --- */

static gboolean on_timer (gpointer data);

static void
next_round (Top *top)
{
    gboolean first = top->before == NULL;

    if (!show_round (top, &top->error) || top->left == 0) {
        g_main_loop_quit (top->loop);
        return;
    }
    /* on a screen nobody should look at nothing for a whole interval */
    top->timer =
        g_timeout_add (first && top->full_screen ? MIN (top->interval_ms, 500) : top->interval_ms,
                       on_timer, top);
}

static gboolean
on_timer (gpointer data)
{
    Top *top = data;

    top->timer = 0;
    next_round (top);
    return G_SOURCE_REMOVE;
}

static gboolean
on_key (int fd, GIOCondition condition, gpointer data)
{
    Top *top = data;
    char key = 'q';

    if (read (fd, &key, 1) != 1 || key == 'q' || key == 'Q') {
        g_main_loop_quit (top->loop);
        return G_SOURCE_CONTINUE;
    }
    if (key == ' ' && top->timer != 0) {
        g_clear_handle_id (&top->timer, g_source_remove);
        next_round (top);
    }
    return G_SOURCE_CONTINUE;
}

static gboolean
on_signal (gpointer data)
{
    g_main_loop_quit (((Top *) data)->loop);
    return G_SOURCE_CONTINUE;
}

static void
run_rounds (Top *top)
{
    guint interrupt = g_unix_signal_add (SIGINT, on_signal, top);
    guint terminate = g_unix_signal_add (SIGTERM, on_signal, top);
    guint keys = 0;
    struct termios saved, raw;

    if (top->full_screen && tcgetattr (STDIN_FILENO, &saved) == 0) {
        raw = saved;
        raw.c_lflag &= ~(tcflag_t) (ICANON | ECHO);
        tcsetattr (STDIN_FILENO, TCSANOW, &raw);
        keys = g_unix_fd_add (STDIN_FILENO, G_IO_IN | G_IO_HUP | G_IO_ERR, on_key, top);
    }
    next_round (top);
    if (top->timer != 0)
        g_main_loop_run (top->loop);
    if (keys != 0) {
        g_source_remove (keys);
        tcsetattr (STDIN_FILENO, TCSANOW, &saved);
    }
    if (top->timer != 0)
        g_source_remove (top->timer);
    g_source_remove (interrupt);
    g_source_remove (terminate);
}

static gboolean
parse_interval (const CorralCliArgs *args, guint *ret_ms, GError **error)
{
    const char *text = corral_cli_args_option (args, "interval");
    double seconds;
    char *end;

    *ret_ms = INTERVAL_DEFAULT_MS;
    if (text == NULL)
        return TRUE;
    seconds = g_ascii_strtod (text, &end);
    if (end == text || *end != '\0' || !(seconds >= INTERVAL_MIN_SECONDS) ||
        seconds > INTERVAL_MAX_SECONDS) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "cannot take \"%s\" for --interval: it must be seconds from %g to %g", text,
                     INTERVAL_MIN_SECONDS, INTERVAL_MAX_SECONDS);
        return FALSE;
    }
    *ret_ms = (guint) lround (seconds * 1000);
    return TRUE;
}

gboolean
corral_cli_verb_top (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
    Top top = { .cli = cli, .loop = loop, .left = -1, .format = corral_cli_args_format (args) };

    if (!corral_cli_args_number (args, "iterations", 1, G_MAXINT, &top.left, error) ||
        !parse_interval (args, &top.interval_ms, error) || !corral_cli_connect (cli, error))
        return FALSE;
    top.full_screen = !corral_cli_args_flag (args, "batch") &&
                      top.format == CORRAL_CLI_FORMAT_TABLE && isatty (STDOUT_FILENO) &&
                      isatty (STDIN_FILENO);
    run_rounds (&top);
    g_clear_pointer (&top.before, g_hash_table_unref);
    if (top.error != NULL) {
        g_propagate_error (error, top.error);
        return FALSE;
    }
    return TRUE;
}
