/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Prints an inventory's signals as JSON lines; for tests and for looking, not installed.
 *
 *   vm-watch [--uri URI] [--state-dir DIR] [--qmp NAME=SOCKET]...
 *
 * Each line has "signal" and "ms" (since the start), and the VM. Lines on standard input are
 * commands: "list", "ping" (which shows that the main loop runs), "connected", "refresh NAME"; end
 * of file ends it. */
#include "vmm-agent/vm/corral-vm.h"

#include <gio/gio.h>
#include <gio/gunixinputstream.h>
#include <json-glib/json-glib.h>
#include <stdio.h>
#include <string.h>

static GMainLoop *loop;
static gint64 started_at;

static void
print (const char *signal, JsonBuilder *builder)
{
    g_autoptr (JsonNode) root = NULL;
    g_autofree char *text = NULL;

    json_builder_set_member_name (builder, "signal");
    json_builder_add_string_value (builder, signal);
    json_builder_set_member_name (builder, "ms");
    json_builder_add_int_value (builder, (g_get_monotonic_time () - started_at) / 1000);
    json_builder_end_object (builder);
    root = json_builder_get_root (builder);
    text = json_to_string (root, FALSE);
    puts (text);
    fflush (stdout);
}

static JsonBuilder *
start_line (void)
{
    return json_builder_begin_object (json_builder_new ());
}

static void
add_string (JsonBuilder *builder, const char *name, const char *value)
{
    json_builder_set_member_name (builder, name);
    json_builder_add_string_value (builder, value);
}

static void
add_vm (JsonBuilder *builder, const CorralVm *vm)
{
    static const char *const states[] = { "running", "paused", "other" };
    static const char *const roles[] = { "emulator", "vcpu", "iothread" };
    g_autoptr (GString) uuid = g_string_new (NULL);

    for (guint i = 0; i < sizeof vm->uuid; i++)
        g_string_append_printf (uuid, "%02x", vm->uuid[i]);
    add_string (builder, "name", vm->name);
    add_string (builder, "uuid", uuid->str);
    add_string (builder, "source", vm->source == CORRAL_VM_QMP ? "qmp" : "libvirt");
    add_string (builder, "state", states[vm->state]);
    add_string (builder, "partition", vm->partition);
    add_string (builder, "home_group", vm->home_group);
    json_builder_set_member_name (builder, "pid");
    json_builder_add_int_value (builder, vm->pid);
    json_builder_set_member_name (builder, "start_time");
    json_builder_add_int_value (builder, (gint64) vm->start_time);
    json_builder_set_member_name (builder, "threads");
    json_builder_begin_object (builder);
    for (guint i = 0; i < vm->threads->len; i++) {
        const CorralThread *thread = &g_array_index (vm->threads, CorralThread, i);
        g_autofree char *name = g_strdup_printf ("%s%d", roles[thread->role], thread->index);

        json_builder_set_member_name (builder, name);
        json_builder_add_int_value (builder, thread->tid);
    }
    json_builder_end_object (builder);
}

static void
on_vm (CorralVmInventory *inventory, const CorralVm *vm, gpointer signal)
{
    g_autoptr (JsonBuilder) builder = start_line ();

    add_vm (builder, vm);
    print (signal, builder);
}

static void
on_settled (CorralVmInventory *inventory, gpointer data)
{
    g_autoptr (JsonBuilder) builder = start_line ();

    print ("settled", builder);
}

static void
on_metadata (CorralVmInventory *inventory, const char *name, const char *uri, gpointer data)
{
    g_autoptr (JsonBuilder) builder = start_line ();

    add_string (builder, "name", name);
    add_string (builder, "uri", uri);
    print ("vm-metadata", builder);
}

static void
obey (CorralVmInventory *inventory, const char *command)
{
    g_autoptr (JsonBuilder) builder = start_line ();

    if (g_str_has_prefix (command, "refresh "))
        corral_vm_inventory_refresh_threads (inventory, command + strlen ("refresh "));
    else if (g_str_equal (command, "list")) {
        g_autoptr (GPtrArray) vms = corral_vm_inventory_list (inventory);

        json_builder_set_member_name (builder, "vms");
        json_builder_begin_array (builder);
        for (guint i = 0; i < vms->len; i++) {
            json_builder_begin_object (builder);
            add_vm (builder, g_ptr_array_index (vms, i));
            json_builder_end_object (builder);
        }
        json_builder_end_array (builder);
    } else if (g_str_equal (command, "connected")) {
        g_autofree char *reason = NULL;
        gboolean connected = corral_vm_inventory_is_connected (inventory, &reason);

        json_builder_set_member_name (builder, "connected");
        json_builder_add_boolean_value (builder, connected);
        add_string (builder, "reason", reason);
    }
    print (command, builder);
}

static void
on_line (GObject *stream, GAsyncResult *result, gpointer inventory)
{
    g_autofree char *line = NULL;

    line = g_data_input_stream_read_line_finish (G_DATA_INPUT_STREAM (stream), result, NULL, NULL);
    if (line == NULL) {
        g_main_loop_quit (loop);
        return;
    }
    obey (inventory, line);
    g_data_input_stream_read_line_async (G_DATA_INPUT_STREAM (stream), 0, NULL, on_line, inventory);
}

static gboolean
parse_qmp (char **texts, GHashTable *sockets)
{
    for (guint i = 0; texts != NULL && texts[i] != NULL; i++) {
        char *path = strchr (texts[i], '=');

        if (path == NULL)
            return FALSE;
        g_hash_table_insert (sockets, g_strndup (texts[i], (gsize) (path - texts[i])),
                             g_strdup (path + 1));
    }
    return TRUE;
}

static gboolean
parse (int *argc, char ***argv, CorralVmSettings *settings)
{
    static char *uri, *state_dir;
    static char **qmp;
    const GOptionEntry options[] = {
        { "uri", 0, 0, G_OPTION_ARG_STRING, &uri, "of libvirt", "URI" },
        { "state-dir", 0, 0, G_OPTION_ARG_STRING, &state_dir, "of libvirt", "DIR" },
        { "qmp", 0, 0, G_OPTION_ARG_STRING_ARRAY, &qmp, "a VM outside libvirt", "NAME=SOCKET" },
        { 0 }
    };
    g_autoptr (GOptionContext) context = g_option_context_new (NULL);
    g_autoptr (GError) error = NULL;

    g_option_context_add_main_entries (context, options, NULL);
    settings->qmp_sockets = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
    if (!g_option_context_parse (context, argc, argv, &error) ||
        !parse_qmp (qmp, settings->qmp_sockets)) {
        g_printerr ("%s\n", error != NULL ? error->message : "--qmp needs NAME=SOCKET");
        return FALSE;
    }
    settings->libvirt_uri = uri;
    settings->libvirt_state_dir = state_dir != NULL ? state_dir : "/run/libvirt/qemu";
    return TRUE;
}

int
main (int argc, char **argv)
{
    g_autoptr (CorralContainerCore) core = NULL;
    g_autoptr (CorralVmInventory) inventory = NULL;
    g_autoptr (GInputStream) input = g_unix_input_stream_new (0, FALSE);
    g_autoptr (GDataInputStream) lines = g_data_input_stream_new (input);
    g_autoptr (GError) error = NULL;
    CorralVmSettings settings = { 0 };

    if (!parse (&argc, &argv, &settings))
        return 2;
    started_at = g_get_monotonic_time ();
    core = corral_container_core_open (-1, &error);
    if (core == NULL) {
        g_printerr ("%s\n", error->message);
        return 1;
    }
    loop = g_main_loop_new (NULL, FALSE);
    inventory = corral_vm_inventory_new (core, &settings);
    g_signal_connect (inventory, "vm-added", G_CALLBACK (on_vm), (gpointer) "vm-added");
    g_signal_connect (inventory, "vm-changed", G_CALLBACK (on_vm), (gpointer) "vm-changed");
    g_signal_connect (inventory, "vm-removed", G_CALLBACK (on_vm), (gpointer) "vm-removed");
    g_signal_connect (inventory, "settled", G_CALLBACK (on_settled), NULL);
    g_signal_connect (inventory, "vm-metadata", G_CALLBACK (on_metadata), NULL);
    corral_vm_inventory_start (inventory);
    g_data_input_stream_read_line_async (lines, 0, NULL, on_line, inventory);
    g_main_loop_run (loop);
    g_clear_object (&inventory);
    g_hash_table_unref (settings.qmp_sockets);
    g_main_loop_unref (loop);
    return 0;
}
