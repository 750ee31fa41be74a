/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A QMP server that does not always behave. The "QEMU" is this process. */
#include "tests/unit/vm/vm-fixture.h"

#include "vmm-agent/vm/corral-vm-qmp-message.h"

#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <string.h>
#include <unistd.h>

#define NAME "plain"
#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r\n"

typedef struct {
    VmFixture vm;
    char *path;
    GSocketService *service;
    GPtrArray *connections;
    guint n_connections;
    const char *greeting;    /* what each new client gets; "" nothing */
    const char *cpus_answer; /* (nullable): instead of the true one */
    const char *state;
    guint n_queries;
    guint max_answers; /* it hangs after so many */
} Server;

static void
say (Server *s, guint at, const char *text, gsize length)
{
    GIOStream *stream = g_ptr_array_index (s->connections, at);

    g_output_stream_write_all (g_io_stream_get_output_stream (stream), text, length, NULL, NULL,
                               NULL);
}

static void
say_last (Server *s, const char *text)
{
    say (s, s->connections->len - 1, text, strlen (text));
}

static char *
answer_to (Server *s, const char *line)
{
    const char *id = strstr (line, "\"id\":");
    int number = id != NULL ? atoi (id + strlen ("\"id\":")) : 0;
    g_autofree char *value = g_strdup ("{}");

    s->n_queries++;
    if (strstr (line, "query-cpus-fast") != NULL && s->cpus_answer != NULL)
        return g_strdup (s->cpus_answer);
    if (strstr (line, "query-cpus-fast") != NULL) {
        g_free (value);
        value = g_strdup_printf (
            "[{\"thread-id\": %d, \"cpu-index\": 4, \"props\": {\"thread-id\": 0}},"
            " {\"thread-id\": 1, \"cpu-index\": 5}, {\"thread-id\": 0, \"cpu-index\": 6}]",
            (int) getpid ());
    } else if (strstr (line, "query-status") != NULL) {
        g_free (value);
        value = g_strdup_printf ("{\"status\": \"%s\"}", s->state);
    } else if (strstr (line, "query-iothreads") != NULL) {
        g_free (value);
        value = g_strdup ("[]");
    }
    return g_strdup_printf ("{\"return\": %s, \"id\": %d}\r\n", value, number);
}

static void
on_line (GObject *lines, GAsyncResult *result, gpointer data)
{
    Server *s = data;
    g_autofree char *line = NULL;
    g_autofree char *answer = NULL;
    GIOStream *stream = g_object_get_data (lines, "stream");
    guint at;

    line = g_data_input_stream_read_line_finish (G_DATA_INPUT_STREAM (lines), result, NULL, NULL);
    if (line == NULL || s->connections == NULL || !g_ptr_array_find (s->connections, stream, &at))
        return;
    answer = answer_to (s, line);
    if (s->n_queries <= s->max_answers)
        say (s, at, answer, strlen (answer));
    g_data_input_stream_read_line_async (G_DATA_INPUT_STREAM (lines), 0, NULL, on_line, s);
}

static gboolean
on_client (GSocketService *service, GSocketConnection *connection, GObject *unused, Server *s)
{
    GInputStream *input = g_io_stream_get_input_stream (G_IO_STREAM (connection));
    g_autoptr (GDataInputStream) lines = g_data_input_stream_new (input);

    s->n_connections++;
    g_socket_set_timeout (g_socket_connection_get_socket (connection), 0);
    g_ptr_array_add (s->connections, g_object_ref (connection));
    g_object_set_data_full (G_OBJECT (lines), "stream", g_object_ref (connection), g_object_unref);
    g_filter_input_stream_set_close_base_stream (G_FILTER_INPUT_STREAM (lines), FALSE);
    g_data_input_stream_read_line_async (lines, 0, NULL, on_line, s);
    say_last (s, s->greeting);
    return TRUE;
}

static void
listen_on (Server *s)
{
    g_autoptr (GSocketAddress) address = g_unix_socket_address_new (s->path);
    g_autoptr (GError) error = NULL;

    s->service = g_socket_service_new ();
    g_assert_true (g_socket_listener_add_address (G_SOCKET_LISTENER (s->service), address,
                                                  G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT,
                                                  NULL, NULL, &error));
    g_assert_no_error (error);
    g_signal_connect (s->service, "incoming", G_CALLBACK (on_client), s);
}

static void
set_up (Server *s, gconstpointer unused)
{
    vm_fixture_set_up (&s->vm, NULL);
    s->path = vm_fixture_path (&s->vm, "qmp");
    s->connections = g_ptr_array_new_with_free_func (g_object_unref);
    s->greeting = GREETING;
    s->state = "running";
    s->max_answers = G_MAXUINT;
    g_hash_table_insert (s->vm.qmp_sockets, g_strdup (NAME), g_strdup (s->path));
}

static void
tear_down (Server *s, gconstpointer unused)
{
    vm_fixture_stop (&s->vm);
    for (guint i = 0; i < s->connections->len; i++)
        g_io_stream_close (g_ptr_array_index (s->connections, i), NULL, NULL);
    g_clear_pointer (&s->connections, g_ptr_array_unref);
    if (s->service != NULL)
        g_socket_service_stop (s->service); /* closing it at once would make it warn of itself */
    while (g_main_context_iteration (NULL, FALSE))
        ;
    if (s->service != NULL)
        g_socket_listener_close (G_SOCKET_LISTENER (s->service));
    g_clear_object (&s->service);
    vm_fixture_tear_down (&s->vm, NULL);
    g_free (s->path);
}

static const CorralVm *
vm (Server *s)
{
    return corral_vm_inventory_lookup (s->vm.inventory, NAME);
}

static void
start (Server *s)
{
    listen_on (s);
    vm_fixture_start (&s->vm, FALSE);
    vm_spin_until (vm (s) != NULL && vm (s)->threads->len == 1);
}

static void
test_read (Server *s, gconstpointer unused)
{
    const CorralThread *thread;

    start (s);
    g_assert_cmpstr (s->vm.log->str, ==, "+s");
    g_assert_cmpint (vm (s)->pid, ==, getpid ());
    g_assert_cmpint (vm (s)->source, ==, CORRAL_VM_QMP);
    g_assert_cmpint (vm (s)->state, ==, CORRAL_VM_RUNNING);
    /* another process' thread and number 0 are not believed */
    thread = &g_array_index (vm (s)->threads, CorralThread, 0);
    g_assert_cmpint (thread->tid, ==, getpid ());
    g_assert_cmpint (thread->index, ==, 4);
    g_assert_cmpint (thread->role, ==, CORRAL_THREAD_VCPU);
    /* an event says only that it is time to ask */
    s->state = "paused";
    say_last (s,
              "{\"event\": \"STOP\", \"timestamp\": {}, \"data\": {}}\r\n{\"event\": \"X\"}\r\n");
    vm_spin_until (vm (s)->state == CORRAL_VM_PAUSED);
    g_assert_cmpuint (s->n_connections, ==, 1);
}

static void
test_half_messages (Server *s, gconstpointer unused)
{
    s->greeting = "{\"QMP\": {\"ver";
    listen_on (s);
    vm_fixture_start (&s->vm, FALSE);
    vm_spin_until (s->connections->len == 1);
    for (int i = 0; i < 20; i++)
        g_main_context_iteration (NULL, FALSE);
    say_last (s, "sion\": {}}}\r");
    for (int i = 0; i < 20; i++)
        g_main_context_iteration (NULL, FALSE);
    say_last (s, "\n");
    vm_spin_until (vm (s) != NULL && vm (s)->threads->len == 1);
    g_assert_cmpuint (s->n_connections, ==, 1);
}

/* Whatever comes, it is the connection that is given up, and not the VM; and then it is tried
 * again. */
static void
check_dropped (Server *s, const char *text, gsize length)
{
    g_autoptr (GSocket) socket =
        g_object_ref (g_socket_connection_get_socket (g_ptr_array_index (s->connections, 0)));
    guint n_connections = s->n_connections;
    gsize sent = 0;

    g_socket_set_blocking (socket, FALSE);
    while (sent < length && s->n_connections == n_connections) {
        gssize got = g_socket_send (socket, text + sent, length - sent, NULL, NULL);

        sent += (gsize) MAX (got, 0);
        g_main_context_iteration (NULL, FALSE);
    }
    vm_spin_until (s->n_connections > n_connections);
    vm_spin_until (vm (s) != NULL && vm (s)->threads->len == 1);
    g_assert_null (strchr (s->vm.log->str, '-'));
}

static void
test_garbage (Server *s, gconstpointer text)
{
    start (s);
    check_dropped (s, text, strlen (text));
}

static void
test_huge (Server *s, gconstpointer unused)
{
    g_autofree char *text = g_strnfill (2 * CORRAL_VM_QMP_LINE_MAX, ' ');

    start (s);
    check_dropped (s, text, strlen (text));
}

static void
test_deep (Server *s, gconstpointer unused)
{
    g_autofree char *text = g_strnfill (100000, '[');

    text[99999] = '\n';
    start (s);
    check_dropped (s, text, strlen (text));
}

/* A QEMU that does not say a word is a VM all the same. */
static void
check_hangs (Server *s, guint n_queries)
{
    listen_on (s);
    vm_fixture_start (&s->vm, FALSE);
    vm_spin_until (corral_vm_inventory_is_settled (s->vm.inventory));
    g_assert_nonnull (vm (s));
    g_assert_cmpint (vm (s)->state, ==, CORRAL_VM_OTHER);
    g_assert_cmpuint (vm (s)->threads->len, ==, 0);
    /* It is not sent more and more. */
    for (int i = 0; i < 1000; i++)
        corral_vm_inventory_refresh_threads (s->vm.inventory, NAME);
    for (int i = 0; i < 2000; i++)
        g_main_context_iteration (NULL, FALSE);
    g_assert_cmpuint (s->n_queries, ==, n_queries);
    g_assert_cmpuint (s->n_connections, ==, 1);
}

static void
test_hangs (Server *s, gconstpointer unused)
{
    s->greeting = "";
    check_hangs (s, 0);
}

static void
test_hangs_after_greeting (Server *s, gconstpointer unused)
{
    s->max_answers = 0;
    check_hangs (s, 1);
}

static void
test_hangs_later (Server *s, gconstpointer unused)
{
    s->max_answers = 1; /* it agrees on its capabilities; then come four queries */
    check_hangs (s, 5);
}

static void
test_strange_answers (Server *s, gconstpointer unused)
{
    s->cpus_answer =
        "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no\"}, \"id\": 2}\r\n";
    listen_on (s);
    vm_fixture_start (&s->vm, FALSE);
    vm_spin_until (vm (s) != NULL);
    g_assert_cmpuint (vm (s)->threads->len, ==, 0);
    g_assert_cmpint (vm (s)->state, ==, CORRAL_VM_RUNNING);
    s->cpus_answer = NULL;
    corral_vm_inventory_refresh_threads (s->vm.inventory, NAME);
    vm_spin_until (vm (s)->threads->len == 1);
    /* an answer that was not asked for */
    check_dropped (s, "{\"return\": {}, \"id\": 3}\n", 25);
}

static void
test_appears_later (Server *s, gconstpointer unused)
{
    vm_fixture_start (&s->vm, FALSE);
    vm_spin_until (corral_vm_inventory_is_settled (s->vm.inventory));
    g_assert_null (vm (s));
    listen_on (s);
    vm_spin_until (vm (s) != NULL && vm (s)->threads->len == 1);
    g_assert_cmpstr (s->vm.log->str, ==, "s+");
}

static void
add (const char *name, gconstpointer data, void (*test) (Server *, gconstpointer))
{
    g_test_add (name, Server, data, set_up, test, tear_down);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    add ("/vm/qmp/read", NULL, test_read);
    add ("/vm/qmp/half-messages", NULL, test_half_messages);
    add ("/vm/qmp/garbage", "\001\002\377 nonsense\n", test_garbage);
    add ("/vm/qmp/no-object", "[1]\n", test_garbage);
    add ("/vm/qmp/second-greeting", GREETING, test_garbage);
    add ("/vm/qmp/no-message", "{\"a\": 1}\n", test_garbage);
    add ("/vm/qmp/huge", NULL, test_huge);
    add ("/vm/qmp/deep", NULL, test_deep);
    add ("/vm/qmp/hangs", NULL, test_hangs);
    add ("/vm/qmp/hangs-after-greeting", NULL, test_hangs_after_greeting);
    add ("/vm/qmp/hangs-later", NULL, test_hangs_later);
    add ("/vm/qmp/strange-answers", NULL, test_strange_answers);
    add ("/vm/qmp/appears-later", NULL, test_appears_later);
    return g_test_run ();
}
