/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes of somebody else on the real kernel, which nobody reads and no timer looks for: inotify
 * tells. */
#include "tests/unit/agent/agent-fixture.h"
#include "vmm-agent/agent/corral-agent-plan.h"
#include "vmm-agent/container/container-private.h"

#include <string.h>

#define PLANNED                                                                                    \
    "<corral:placement xmlns:corral='urn:corral:1' mode='shared' emulator='container' %s/>"        \
    "<corral:reserve xmlns:corral='urn:corral:1' vcpus='1'/>"
#define DEADLINE_USEC (20 * G_USEC_PER_SEC)

typedef struct {
    char *path;
    CorralCpuset *planned, *other;
    GString *told; /* of drift, one line each */
} Planned;

static void
on_event (CorralAgent *agent, const CorralEvent *event, Planned *planned)
{
    if (event->type == CORRAL_EVENT_DRIFT)
        g_string_append_printf (planned->told, "%s\n", event->detail);
}

static CorralCpuset *
cpus_of (Fixture *f, const char *path)
{
    CorralCpuset *cpus = NULL;
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_container_get_cpuset (f->core, path, &cpus, NULL, &error));
    g_assert_no_error (error);
    return cpus;
}

/* %FALSE: this machine has too few pCPUs for two sets. */
static gboolean
start (Fixture *f, const char *drift, Planned *planned)
{
    g_autofree char *extra = g_strdup_printf (PLANNED, drift);
    g_autoptr (CorralCpuset) mems = NULL;

    memset (planned, 0, sizeof *planned);
    planned->told = g_string_new (NULL);
    planned->path = fixture_path (f, "/web");
    g_assert_true (corral_container_core_host_cpus (f->core, &planned->other, &mems, NULL));
    if (hwloc_bitmap_weight (planned->other) < 2) {
        g_test_skip ("this machine has one CPU");
        return FALSE;
    }
    fixture_define_and_start (f, "web", "/web", extra);
    planned->planned = cpus_of (f, planned->path);
    hwloc_bitmap_andnot (planned->other, planned->other, planned->planned);
    g_assert_false (hwloc_bitmap_iszero (planned->other));
    g_signal_connect (f->agent, "event", G_CALLBACK (on_event), planned);
    return TRUE;
}

static void
stop (Fixture *f, Planned *planned)
{
    if (f->agent != NULL)
        g_signal_handlers_disconnect_by_data (f->agent, planned);
    g_free (planned->path);
    hwloc_bitmap_free (planned->planned);
    hwloc_bitmap_free (planned->other);
    g_string_free (planned->told, TRUE);
}

/* The kernel does not ask who writes. */
static void
write_other (Fixture *f, const Planned *planned)
{
    const char *file = corral_backend_of (f->core->cpuset)->cpus_file;
    g_autofree char *list = corral_cpuset_format (planned->other), *dir = NULL, *path = NULL;

    g_assert_true (corral_container_path_to_dir (planned->path, &dir, NULL));
    path = corral_dir_file (dir, file);
    g_assert_cmpint (corral_io_write (&f->core->io, &f->core->cpuset->tree, path, list), ==, 0);
}

static void
wait_told (const Planned *planned, const char *state)
{
    const gint64 deadline = g_get_monotonic_time () + DEADLINE_USEC;

    while (strstr (planned->told->str, state) == NULL) {
        if (g_get_monotonic_time () > deadline)
            g_error ("expected \"%s\" in \"%s\"", state, planned->told->str);
        g_main_context_iteration (NULL, FALSE);
    }
}

static void
assert_has (Fixture *f, const Planned *planned, const CorralCpuset *expected)
{
    g_autoptr (CorralCpuset) now = cpus_of (f, planned->path);

    g_assert_true (hwloc_bitmap_isequal (now, expected));
}

static void
test_repaired (Fixture *f, gconstpointer unused)
{
    Planned planned;

    FIXTURE_CHECK (f);
    if (start (f, "drift='repair'", &planned)) {
        write_other (f, &planned);
        assert_has (f, &planned, planned.other);
        wait_told (&planned, "(repaired)");
        assert_has (f, &planned, planned.planned);
        /* The same again is found, and nobody is fought. */
        write_other (f, &planned);
        wait_told (&planned, "(waiting)");
        assert_has (f, &planned, planned.other);
    }
    stop (f, &planned);
}

static void
test_told (Fixture *f, gconstpointer unused)
{
    Planned planned;

    FIXTURE_CHECK (f);
    if (start (f, "", &planned)) {
        write_other (f, &planned);
        wait_told (&planned, "(open)");
        assert_has (f, &planned, planned.other);
        /* Our own writes are none of somebody else. */
        g_string_truncate (planned.told, 0);
        g_assert_true (corral_agent_apply (f->agent, 0, NULL));
        wait_told (&planned, "(gone)");
        assert_has (f, &planned, planned.planned);
        g_assert_null (strstr (planned.told->str, "(open)"));
    }
    stop (f, &planned);
}

/* --- beneath a VM's group, and where the caps are --- */

#define SHARED                                                                                     \
    "<corral:placement xmlns:corral='urn:corral:1' mode='shared' overcommit='2.0' %s/>"            \
    "<corral:share xmlns:corral='urn:corral:1' percent='50' helpers='20'/>"

typedef struct {
    Planned planned;
    char *group; /* of the VM, in each hierarchy */
} Beneath;

/* A container of one pCPU and a housekeeping one, with a VM of two vCPUs in a group of ours */
static gboolean
start_beneath (Fixture *f, const char *drift, Beneath *b)
{
    g_autofree char *extra = g_strdup_printf (SHARED, drift);
    CorralMemberDef member = { CORRAL_MEMBER_VM, (char *) "vm", -1 };
    CorralVmInventory *inventory = corral_agent_inventory (f->agent);
    FakeVm *vm = fixture_vm (f, 2);
    g_autoptr (CorralCpuset) mems = NULL;
    g_autofree char *path = NULL;
    g_autoptr (GError) error = NULL;

    memset (b, 0, sizeof *b);
    b->planned.told = g_string_new (NULL);
    b->planned.path = fixture_path (f, "/web");
    g_assert_true (corral_container_core_host_cpus (f->core, &b->planned.other, &mems, NULL));
    if (hwloc_bitmap_weight (b->planned.other) < 2) {
        g_test_skip ("this machine has one CPU");
        return FALSE;
    }
    fake_inventory_settle (inventory);
    fixture_define_and_start (f, "web", "/web", extra);
    g_signal_connect (f->agent, "event", G_CALLBACK (on_event), &b->planned);
    fake_inventory_add (inventory, "vm", vm, CORRAL_VM_QMP, NULL, NULL);
    g_assert_true (corral_agent_attach (f->agent, "web", &member, CORRAL_AFFECT_LIVE, &error));
    g_assert_no_error (error);
    g_assert_true (corral_container_of_process (f->core, vm->pid, &path, &b->group, NULL, &error));
    g_assert_no_error (error);
    return TRUE;
}

static void
stop_beneath (Fixture *f, Beneath *b)
{
    stop (f, &b->planned);
    g_free (b->group);
}

/* Waits until it was told, and nothing else before: inotify tells of our own writes as well, and
 * those came first. */
static void
wait_told_alone (Planned *planned, const char *state, const char *what)
{
    wait_told (planned, state);
    if (strchr (planned->told->str, '\n') != planned->told->str + planned->told->len - 1 ||
        strstr (planned->told->str, what) == NULL)
        g_error ("expected one line with \"%s\" in \"%s\"", what, planned->told->str);
    g_string_truncate (planned->told, 0);
}

static char *
role_file (const Beneath *b, const char *role, const char *file)
{
    return g_strjoin ("/", b->group, role, file, NULL);
}

static void
write_foreign (Fixture *f, CorralHierarchy *h, const char *file, const char *text)
{
    g_assert_cmpint (corral_io_write (&f->core->io, &h->tree, file, text), ==, 0);
}

static void
assert_text (CorralHierarchy *h, const char *file, const char *expected)
{
    g_autofree char *text = NULL;

    g_assert_cmpint (corral_io_read (h->tree.fd, file, &text), ==, 0);
    g_assert_cmpstr (text, ==, expected);
}

static char *
text_of (CorralHierarchy *h, const char *file)
{
    char *text = NULL;

    g_assert_cmpint (corral_io_read (h->tree.fd, file, &text), ==, 0);
    return text;
}

static void
test_pins (Fixture *f, gconstpointer unused)
{
    Beneath b;

    FIXTURE_CHECK (f);
    if (start_beneath (f, "drift='repair'", &b)) {
        CorralHierarchy *h = f->core->cpuset;
        const char *name = corral_backend_of (h)->cpus_file;
        g_autofree char *vcpu = role_file (&b, "vcpu1", name);
        g_autofree char *helper = role_file (&b, "emulator", name);
        g_autofree char *vcpu_cpus = NULL, *helper_cpus = NULL;

        vcpu_cpus = text_of (h, vcpu);
        helper_cpus = text_of (h, helper);
        g_assert_cmpstr (vcpu_cpus, !=, helper_cpus);
        write_foreign (f, h, vcpu, helper_cpus);
        wait_told_alone (&b.planned, "(repaired)", "vCPU 1 of the VM \"vm\"");
        assert_text (h, vcpu, vcpu_cpus);
        write_foreign (f, h, helper, vcpu_cpus);
        wait_told_alone (&b.planned, "(repaired)", "the emulator of the VM \"vm\"");
        assert_text (h, helper, helper_cpus);
    }
    stop_beneath (f, &b);
}

static void
test_caps (Fixture *f, gconstpointer unused)
{
    Beneath b;

    FIXTURE_CHECK (f);
    if (start_beneath (f, "drift='repair'", &b)) {
        CorralHierarchy *cpu = f->core->cpu;
        const gboolean v1 = cpu->version == 1;
        const char *name = v1 ? "cpu.cfs_quota_us" : "cpu.max";
        g_autofree char *dir = NULL, *own = NULL, *helpers = role_file (&b, "emulator", name);

        g_assert_true (corral_container_path_to_dir (b.planned.path, &dir, NULL));
        own = corral_dir_file (dir, name);
        /* Two vCPUs of half a pCPU, and a fifth for the helpers */
        assert_text (cpu, own, v1 ? "120000" : "120000 100000");
        assert_text (cpu, helpers, v1 ? "20000" : "20000 100000");
        write_foreign (f, cpu, own, v1 ? "130000" : "130000 100000");
        wait_told_alone (&b.planned, "(repaired)", "quota \"130000\"");
        assert_text (cpu, own, v1 ? "120000" : "120000 100000");
        write_foreign (f, cpu, helpers, v1 ? "5000" : "5000 100000");
        wait_told_alone (&b.planned, "(repaired)", "the emulator of the VM \"vm\" has quota");
        assert_text (cpu, helpers, v1 ? "20000" : "20000 100000");
    }
    stop_beneath (f, &b);
}

/* Somebody looks at the main thread alone: what is wrong with another helper is not over by that.
 */
static void
test_stays_open (Fixture *f, gconstpointer unused)
{
    Beneath b;

    FIXTURE_CHECK (f);
    if (start_beneath (f, "", &b)) {
        CorralHierarchy *cpu = f->core->cpu;
        const gboolean v1 = cpu->version == 1;
        g_autofree char *helpers = role_file (&b, "emulator", v1 ? "cpu.cfs_quota_us" : "cpu.max");

        write_foreign (f, cpu, helpers, v1 ? "5000" : "5000 100000");
        wait_told (&b.planned, "(open)");
        for (int i = 0; i < 8; i++) {
            g_autofree char *xml = corral_agent_drift_xml (f->agent, NULL, NULL);

            g_assert_nonnull (strstr (xml, "state='open'"));
        }
        g_assert_null (strstr (b.planned.told->str, "(gone)"));
    }
    stop_beneath (f, &b);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    FIXTURE_ADD ("/drift/repaired", test_repaired);
    FIXTURE_ADD ("/drift/told", test_told);
    FIXTURE_ADD ("/drift/pins", test_pins);
    FIXTURE_ADD ("/drift/caps", test_caps);
    FIXTURE_ADD ("/drift/stays-open", test_stays_open);
    return g_test_run ();
}
