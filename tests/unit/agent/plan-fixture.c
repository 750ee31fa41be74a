/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/agent/plan-fixture.h"
#include "tests/unit/agent/test-folder.h"

#include <errno.h>
#include <string.h>

#define CPUS "0-15"
#define TOPOLOGY "numanode:2 core:4 pu:2"

static int
on_write (const CorralIoCall *call, gpointer data)
{
    PlanFixture *f = data;

    f->writes++;
    if ((f->fail_at != 0 && f->writes == f->fail_at) ||
        (f->fail_weights && (g_str_has_suffix (call->path, "/cpu.weight") ||
                             g_str_has_suffix (call->path, "/cpu.shares"))))
        return EIO;
    return fake_kernel_hook (call, f->kernel);
}

static void
on_event (CorralAgent *agent, const CorralEvent *event, PlanFixture *f)
{
    if (event->type == CORRAL_EVENT_DRIFT)
        g_string_append_printf (f->drift, "%s\n", event->detail);
}

static void
on_problem (CorralAgent *agent, const GError *problem, PlanFixture *f)
{
    g_string_append_printf (f->problems, "%s\n", problem->message);
}

static void
start_agent (PlanFixture *f, gboolean settled)
{
    g_autofree char *etc = g_build_filename (f->folder, "etc", NULL);
    g_autofree char *run = g_build_filename (f->folder, "run", NULL);
    g_autofree char *host = g_build_filename (f->folder, "host.xml", NULL);
    CorralVmSettings vm = { NULL };
    CorralAgentSettings settings = { etc, run, &vm, host, 0 };
    g_autoptr (CorralTopology) topology = NULL;
    g_autoptr (GError) error = NULL;

    topology = corral_topology_from_synthetic (TOPOLOGY, &error);
    g_assert_no_error (error);
    f->agent = corral_agent_new (f->core, &settings);
    corral_agent_set_topology (f->agent, topology);
    g_signal_connect (f->agent, "event", G_CALLBACK (on_event), f);
    g_signal_connect (f->agent, "problem", G_CALLBACK (on_problem), f);
    g_assert_true (corral_agent_start (f->agent, &error));
    g_assert_no_error (error);
    if (settled)
        fake_inventory_settle (corral_agent_inventory (f->agent));
}

void
plan_fixture_set_up (PlanFixture *f, gconstpointer data)
{
    g_autoptr (GError) error = NULL;

    f->kernel = fake_kernel_new ((FakeKind) GPOINTER_TO_INT (data), CPUS);
    f->core = corral_container_core_open (fake_kernel_root (f->kernel), &error);
    g_assert_no_error (error);
    f->core->io.hook = on_write;
    f->core->io.hook_data = f;
    f->folder = g_dir_make_tmp ("corral-plan-XXXXXX", NULL);
    f->problems = g_string_new (NULL);
    f->drift = g_string_new (NULL);
    start_agent (f, TRUE);
}

void
plan_fixture_tear_down (PlanFixture *f, gconstpointer data)
{
    g_assert_finalize_object (g_steal_pointer (&f->agent));
    g_clear_object (&f->core);
    fake_kernel_free (f->kernel);
    test_folder_remove (f->folder);
    g_assert_cmpstr (f->problems->str, ==, "");
    g_free (f->folder);
    g_string_free (f->problems, TRUE);
    g_string_free (f->drift, TRUE);
}

void
plan_fixture_add (const char *path, void (*test) (PlanFixture *f, gconstpointer data))
{
    static const char *const kinds[] = { "v2", "v1", "hybrid" };

    for (int i = 0; i < (int) G_N_ELEMENTS (kinds); i++) {
        g_autofree char *name = g_strconcat (path, "/", kinds[i], NULL);

        g_test_add (name, PlanFixture, GINT_TO_POINTER (i), plan_fixture_set_up, test,
                    plan_fixture_tear_down);
    }
}

void
plan_fixture_restart (PlanFixture *f, gboolean settled)
{
    g_assert_finalize_object (g_steal_pointer (&f->agent));
    start_agent (f, settled);
}

void
plan_fixture_fail_at (PlanFixture *f, guint n)
{
    f->writes = 0;
    f->fail_at = n;
}

guint
plan_fixture_apply_failing (PlanFixture *f, guint most)
{
    guint failed = 0;

    for (guint n = 1; n < most; n++) {
        g_autofree char *before = plan_fixture_kernel (f), *after = NULL;
        g_autoptr (GError) error = NULL;
        gboolean ok;

        plan_fixture_fail_at (f, n);
        ok = corral_agent_apply (f->agent, 0, &error);
        plan_fixture_fail_at (f, 0);
        if (ok)
            break;
        failed++;
        after = plan_fixture_kernel (f);
        g_assert_cmpstr (before, ==, after);
    }
    return failed;
}

void
plan_fixture_run (PlanFixture *f)
{
    while (g_main_context_iteration (NULL, FALSE))
        ;
}

void
plan_fixture_define_xml (PlanFixture *f, const char *xml)
{
    g_autoptr (CorralDefinition) definition = NULL;
    const CorralContainer *container;
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_definition_parse (xml, strlen (xml), &definition, &error));
    g_assert_no_error (error);
    g_assert_true (corral_agent_define (f->agent, definition, &container, &error));
    g_assert_no_error (error);
}

void
plan_fixture_define (PlanFixture *f, const char *name, const char *placement, const char *more)
{
    g_autofree char *xml =
        g_strdup_printf ("<domain type='corral' xmlns:corral='urn:corral:1'><name>%s</name>"
                         "<resource><partition>/%s</partition></resource><corral:placement %s/>%s"
                         "<devices><member type='vm' name='%s*'/></devices></domain>",
                         name, name, placement, more, name);

    plan_fixture_define_xml (f, xml);
}

void
plan_fixture_start (PlanFixture *f, const char *name)
{
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_agent_start_container (f->agent, name, &error));
    g_assert_no_error (error);
    plan_fixture_run (f);
}

static void
put (PlanFixture *f, const char *name, pid_t pid, guint n_vcpus)
{
    pid_t tids[FAKE_VM_THREADS_MAX];

    for (guint i = 0; i < n_vcpus; i++)
        tids[i] = pid + 1 + (pid_t) i;
    fake_inventory_put (corral_agent_inventory (f->agent), name, pid, tids, n_vcpus);
    plan_fixture_run (f);
}

pid_t
plan_fixture_vm (PlanFixture *f, const char *name, guint n_vcpus)
{
    pid_t pid = fake_kernel_spawn (f->kernel, (int) n_vcpus + 2);

    put (f, name, pid, n_vcpus);
    return pid;
}

/* The thread that was the helper is a vCPU from now on: so no new numbers are needed. */
void
plan_fixture_plug (PlanFixture *f, const char *name, pid_t pid, guint n_vcpus)
{
    put (f, name, pid, n_vcpus);
}

void
plan_fixture_end (PlanFixture *f, const char *name, pid_t pid)
{
    fake_kernel_exit (f->kernel, pid);
    fake_inventory_remove (corral_agent_inventory (f->agent), name);
    plan_fixture_run (f);
}

char *
plan_fixture_affinity (PlanFixture *f, pid_t tid)
{
    g_autoptr (CorralCpuset) cpus = NULL;
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_container_get_affinity (f->core, tid, &cpus, &error));
    g_assert_no_error (error);
    return corral_cpuset_format (cpus);
}

void
plan_fixture_pin (PlanFixture *f, pid_t pid, pid_t tid, const char *list)
{
    g_autoptr (CorralCpuset) cpus = NULL;
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_cpuset_parse (list, &cpus, NULL));
    g_assert_true (corral_container_pin_thread (f->core, pid, tid, cpus, &error));
    g_assert_no_error (error);
}

char *
plan_fixture_cpus (PlanFixture *f, const char *path)
{
    g_autoptr (CorralCpuset) cpus = NULL;
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_container_get_cpuset (f->core, path, &cpus, NULL, &error));
    g_assert_no_error (error);
    return corral_cpuset_format (cpus);
}

void
plan_fixture_assert_affinity (PlanFixture *f, pid_t tid, const char *expected)
{
    g_autofree char *list = plan_fixture_affinity (f, tid);

    g_assert_cmpstr (list, ==, expected);
}

void
plan_fixture_assert_cpus (PlanFixture *f, const char *path, const char *expected)
{
    g_autofree char *list = plan_fixture_cpus (f, path);

    g_assert_cmpstr (list, ==, expected);
}

static void
append_file (GString *out, const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename (folder, name, NULL), *text = NULL;

    if (g_file_get_contents (path, &text, NULL, NULL))
        g_string_append_printf (out, "%s %s\n", path, g_strchomp (text));
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
    return strcmp (*(char *const *) a, *(char *const *) b);
}

static void
append_folder (GString *out, const char *folder)
{
    static const char *const files[] = { "cpuset.cpus",      "cpuset.mems", "cpu.max",
                                         "cpu.cfs_quota_us", "status",      "tasks",
                                         "cgroup.threads" };
    g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
    g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
    const char *name;

    for (gsize i = 0; i < G_N_ELEMENTS (files); i++)
        append_file (out, folder, files[i]);
    while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
        g_ptr_array_add (names, g_build_filename (folder, name, NULL));
    g_ptr_array_sort (names, compare_names);
    for (guint i = 0; i < names->len; i++)
        if (g_file_test (g_ptr_array_index (names, i), G_FILE_TEST_IS_DIR))
            append_folder (out, g_ptr_array_index (names, i));
}

char *
plan_fixture_kernel (PlanFixture *f)
{
    g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", fake_kernel_root (f->kernel));
    g_autofree char *root = g_file_read_link (link, NULL);
    GString *out = g_string_new (NULL);

    append_folder (out, root);
    return g_string_free (out, FALSE);
}

int
plan_fixture_pcpu_of (PlanFixture *f, pid_t tid)
{
    g_autofree char *list = plan_fixture_affinity (f, tid);
    guint64 number;

    if (!g_ascii_string_to_unsigned (list, 10, 0, 15, &number, NULL))
        g_error ("thread %d may run on \"%s\", not on one pCPU", (int) tid, list);
    return (int) number;
}

void
plan_fixture_assert_apart (PlanFixture *f, const pid_t *tids, guint n)
{
    for (guint i = 0; i < n; i++)
        for (guint j = 0; j < i; j++)
            g_assert_cmpint (plan_fixture_pcpu_of (f, tids[i]), !=,
                             plan_fixture_pcpu_of (f, tids[j]));
}
