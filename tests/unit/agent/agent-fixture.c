/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/agent/agent-fixture.h"
#include "tests/unit/agent/test-folder.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "corral-agent-test-"

static void
on_event (CorralAgent *agent, const CorralEvent *event, Fixture *f)
{
    static const char *const signs[] = { "def", "upd",  "undef", "on",    "off", "in",
                                         "out", "tune", "pin",   "drift", "text" };

    if (f->events->len > 0)
        g_string_append_c (f->events, ' ');
    g_string_append_printf (f->events, "%s:%s", signs[event->type], event->name);
    if (event->type == CORRAL_EVENT_MEMBER_ADDED || event->type == CORRAL_EVENT_MEMBER_REMOVED)
        g_string_append_printf (f->events, "/%s", event->detail);
    if (event->type == CORRAL_EVENT_PINNED)
        g_string_append_printf (f->events, "/%u=%s", event->index, event->detail);
}

static void
on_problem (CorralAgent *agent, const GError *problem, Fixture *f)
{
    g_ptr_array_add (f->problems, g_strdup (problem->message));
}

void
fixture_start (Fixture *f)
{
    CorralVmSettings vm = { NULL };
    CorralAgentSettings settings = { f->definitions, f->state, &vm };
    g_autoptr (GError) error = NULL;

    f->agent = corral_agent_new (f->core, &settings);
    g_signal_connect (f->agent, "event", G_CALLBACK (on_event), f);
    g_signal_connect (f->agent, "problem", G_CALLBACK (on_problem), f);
    g_assert_true (corral_agent_start (f->agent, &error));
    g_assert_no_error (error);
}

void
fixture_stop (Fixture *f)
{
    g_assert_finalize_object (g_steal_pointer (&f->agent));
}

void
fixture_restart (Fixture *f)
{
    fixture_stop (f);
    fixture_start (f);
}

void
fixture_set_up (Fixture *f, gconstpointer unused)
{
    static guint number;
    g_autoptr (GError) error = NULL;

    f->events = g_string_new (NULL);
    f->problems = g_ptr_array_new_with_free_func (g_free);
    f->vms = g_ptr_array_new_with_free_func ((GDestroyNotify) fake_vm_end);
    if (getuid () == 0)
        f->core = corral_container_core_open (-1, &error);
    if (f->core == NULL) {
        g_test_skip (error != NULL ? error->message : "needs root");
        return;
    }
    f->folder = g_dir_make_tmp ("corral-agent-XXXXXX", NULL);
    f->definitions = g_build_filename (f->folder, "etc", NULL);
    f->state = g_build_filename (f->folder, "run", NULL);
    f->top = g_strdup_printf ("/" PREFIX "%d-%u", (int) getpid (), number++);
    g_assert_true (corral_container_create (f->core, f->top, NULL, NULL, &error));
    g_assert_no_error (error);
    fixture_start (f);
}

static void
remove_directories (const char *dir)
{
    g_autoptr (GDir) open = g_dir_open (dir, 0, NULL);
    const char *name;

    while (open != NULL && (name = g_dir_read_name (open)) != NULL) {
        g_autofree char *path = g_build_filename (dir, name, NULL);

        if (g_file_test (path, G_FILE_TEST_IS_DIR))
            remove_directories (path);
    }
    g_rmdir (dir);
}

static gboolean
is_left_behind (const char *name)
{
    pid_t pid;

    if (!g_str_has_prefix (name, PREFIX))
        return FALSE;
    pid = (pid_t) g_ascii_strtoll (name + strlen (PREFIX), NULL, 10);
    return pid == getpid () || (kill (pid, 0) != 0 && errno == ESRCH);
}

/* Ours, and those of test programs that were killed or failed: whatever is empty of threads. */
static void
remove_cgroups (void)
{
    g_autofree char *mounts = NULL;
    g_auto (GStrv) lines = NULL;

    g_assert_true (g_file_get_contents ("/proc/self/mounts", &mounts, NULL, NULL));
    lines = g_strsplit (mounts, "\n", -1);
    for (gsize i = 0; lines[i] != NULL; i++) {
        g_auto (GStrv) fields = g_strsplit (lines[i], " ", -1);
        g_autoptr (GDir) dir = NULL;
        const char *name;

        if (g_strv_length (fields) > 2 && g_str_has_prefix (fields[2], "cgroup"))
            dir = g_dir_open (fields[1], 0, NULL);
        while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
            g_autofree char *path = g_build_filename (fields[1], name, NULL);

            if (is_left_behind (name))
                remove_directories (path);
        }
    }
}

void
fixture_tear_down (Fixture *f, gconstpointer unused)
{
    g_ptr_array_unref (f->vms);
    if (f->core != NULL) {
        if (f->agent != NULL)
            fixture_stop (f);
        remove_cgroups ();
        g_assert_cmpint (corral_container_get_state (f->core, f->top), ==, CORRAL_CONTAINER_ABSENT);
        test_folder_remove (f->folder);
        for (guint i = 0; i < f->problems->len; i++)
            g_test_message ("problem: %s", (char *) g_ptr_array_index (f->problems, i));
        g_assert_cmpuint (f->problems->len, ==, 0);
    }
    g_clear_object (&f->core);
    g_free (f->folder);
    g_free (f->definitions);
    g_free (f->state);
    g_free (f->top);
    g_string_free (f->events, TRUE);
    g_ptr_array_unref (f->problems);
}

char *
fixture_path (Fixture *f, const char *path)
{
    return g_strconcat (f->top, path, NULL);
}

CorralDefinition *
fixture_definition (Fixture *f, const char *name, const char *path, const char *extra)
{
    g_autofree char *xml = g_strdup_printf ("<domain type='corral'><name>%s</name><resource>"
                                            "<partition>%s%s</partition></resource>%s</domain>",
                                            name, f->top, path, extra);
    CorralDefinition *definition;
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_definition_parse (xml, strlen (xml), &definition, &error));
    g_assert_no_error (error);
    return definition;
}

void
fixture_define (Fixture *f, const char *name, const char *path, const char *extra)
{
    g_autoptr (CorralDefinition) definition = fixture_definition (f, name, path, extra);
    const CorralContainer *container;
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_agent_define (f->agent, definition, &container, &error));
    g_assert_no_error (error);
    g_assert_cmpstr (container->config->name, ==, name);
}

void
fixture_start_container (Fixture *f, const char *name)
{
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_agent_start_container (f->agent, name, &error));
    g_assert_no_error (error);
}

void
fixture_define_and_start (Fixture *f, const char *name, const char *path, const char *extra)
{
    fixture_define (f, name, path, extra);
    fixture_start_container (f, name);
}

gboolean
fixture_is_active (Fixture *f, const char *name)
{
    const CorralContainer *container = corral_agent_lookup_name (f->agent, name);

    return container != NULL && container->live != NULL;
}

CorralContainerState
fixture_kernel_state (Fixture *f, const char *path)
{
    g_autofree char *full = fixture_path (f, path);

    return corral_container_get_state (f->core, full);
}

FakeVm *
fixture_vm (Fixture *f, guint n_vcpus)
{
    FakeVm *vm = fake_vm_start (n_vcpus);

    g_ptr_array_add (f->vms, vm);
    return vm;
}

char *
fixture_place (Fixture *f, pid_t pid, pid_t tid)
{
    g_autofree char *path = NULL;
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_container_of_thread (f->core, pid, tid, &path, &error));
    g_assert_no_error (error);
    if (path == NULL || !g_str_has_prefix (path, f->top))
        return g_strdup ("");
    return g_strdup (path + strlen (f->top));
}

void
fixture_expect_events (Fixture *f, const char *events)
{
    g_assert_cmpstr (f->events->str, ==, events);
    g_string_truncate (f->events, 0);
}

void
fixture_expect_problems (Fixture *f, guint n)
{
    g_assert_cmpuint (f->problems->len, ==, n);
    g_ptr_array_set_size (f->problems, 0);
}

/* Makes a directory as libvirt does, in the hierarchy that has cpuset. */
static void
make_group (const char *group)
{
    g_autofree char *mounts = NULL;
    g_auto (GStrv) lines = NULL;

    g_assert_true (g_file_get_contents ("/proc/self/mounts", &mounts, NULL, NULL));
    lines = g_strsplit (mounts, "\n", -1);
    for (gsize i = 0; lines[i] != NULL; i++) {
        g_auto (GStrv) fields = g_strsplit (lines[i], " ", -1);
        g_autofree char *dir = NULL;

        if (g_strv_length (fields) < 4 || !g_str_has_prefix (fields[2], "cgroup"))
            continue;
        dir = g_build_filename (fields[1], group, NULL);
        if (g_str_equal (fields[2], "cgroup2") || strstr (fields[3], "cpuset") != NULL)
            g_mkdir (dir, 0755);
    }
}

char *
fixture_libvirt_group (Fixture *f, const char *path, FakeVm *vm)
{
    CorralThread threads[2] = { { fake_vm_tid (vm, 0), CORRAL_THREAD_VCPU, 0 },
                                { fake_vm_tid (vm, 1), CORRAL_THREAD_VCPU, 1 } };
    CorralContainerVm described = { "web", vm->pid, threads, G_N_ELEMENTS (threads) };
    g_autofree char *full = fixture_path (f, path), *found = NULL, *found_group = NULL;
    g_autoptr (GError) error = NULL;
    char *group =
        g_strdup_printf ("%s.partition%s.partition/qemu-1-web.libvirt-qemu", f->top + 1, path);

    make_group (group);
    g_assert_true (corral_container_restore (f->core, group, &described, &error));
    g_assert_true (corral_container_of_process (f->core, vm->pid, &found, &found_group, NULL,
                                                &error));
    g_assert_cmpstr (found, ==, full);
    g_assert_cmpstr (found_group, ==, group);
    return group;
}

static gboolean
on_deadline (gpointer data)
{
    *(gboolean *) data = TRUE;
    return G_SOURCE_CONTINUE;
}

void
fixture_wait_events (Fixture *f, const char *events)
{
    gboolean late = FALSE;
    guint source = g_timeout_add_seconds (20, on_deadline, &late);

    while (!late && f->events->len < strlen (events))
        g_main_context_iteration (NULL, TRUE);
    g_source_remove (source);
    fixture_expect_events (f, events);
}
