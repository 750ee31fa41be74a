/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/agent/agent-fixture.h"
#include "vmm-agent/agent/corral-usage.h"

#include <glib/gstdio.h>
#include <string.h>

static CorralVmInventory *
inventory (Fixture *f)
{
    return corral_agent_inventory (f->agent);
}

static void
add (Fixture *f, const char *name, FakeVm *vm)
{
    fake_inventory_add (inventory (f), name, vm, CORRAL_VM_QMP, NULL, NULL);
}

static gboolean
attach (Fixture *f, const char *container, const char *vm, int vcpu, guint affect, GError **error)
{
    CorralMemberDef member = { vcpu < 0 ? CORRAL_MEMBER_VM : CORRAL_MEMBER_VCPU, (char *) vm,
                               vcpu };

    return corral_agent_attach (f->agent, container, &member, affect, error);
}

static gboolean
detach (Fixture *f, const char *container, const char *vm, int vcpu, guint affect, GError **error)
{
    CorralMemberDef member = { vcpu < 0 ? CORRAL_MEMBER_VM : CORRAL_MEMBER_VCPU, (char *) vm,
                               vcpu };

    return corral_agent_detach (f->agent, container, &member, affect, error);
}

static void
assert_place (Fixture *f, FakeVm *vm, int vcpu, const char *expected)
{
    g_autofree char *place =
        fixture_place (f, vm->pid, vcpu < 0 ? vm->pid : fake_vm_tid (vm, (guint) vcpu));

    g_assert_cmpstr (place, ==, expected);
}

/* "db1 web1/0": the members that a dump of the live container shows */
static void
assert_members (Fixture *f, const char *container, const char *expected)
{
    const GPtrArray *members = corral_agent_lookup_name (f->agent, container)->live->members;
    g_autoptr (GString) text = g_string_new (NULL);

    for (guint i = 0; i < members->len; i++) {
        const CorralMemberDef *member = g_ptr_array_index (members, i);

        g_string_append_printf (text, "%s%s", i > 0 ? " " : "", member->name);
        if (member->type == CORRAL_MEMBER_VCPU)
            g_string_append_printf (text, "/%d", member->vcpu);
    }
    g_assert_cmpstr (text->str, ==, expected);
}

static void
test_claims (Fixture *f, gconstpointer unused)
{
    FakeVm *db1, *db2, *web;

    FIXTURE_CHECK (f);
    fixture_define_and_start (f, "pattern", "/pattern",
                              "<devices><member type='vm' name='db*'/></devices>");
    fixture_define_and_start (f, "exact", "/exact",
                              "<devices><member type='vm' name='db2'/></devices>");
    fixture_expect_events (f, "def:pattern on:pattern def:exact on:exact");
    db1 = fixture_vm (f, 2);
    db2 = fixture_vm (f, 1);
    web = fixture_vm (f, 1);
    add (f, "db2", db2);
    add (f, "db1", db1);
    add (f, "web", web);
    assert_place (f, db1, -1, "/pattern");
    assert_place (f, db1, 0, "/pattern");
    assert_place (f, db1, 1, "/pattern");
    assert_place (f, db2, 0, "/exact");
    assert_place (f, web, 0, "");
    assert_members (f, "pattern", "db* db1");
    assert_members (f, "exact", "db2");
    fixture_expect_events (f, "in:exact/db2 in:pattern/db1");
}

/* A container that starts takes the VMs that it names and that run already. */
static void
test_late_claim (Fixture *f, gconstpointer unused)
{
    FakeVm *vm;

    FIXTURE_CHECK (f);
    vm = fixture_vm (f, 1);
    add (f, "early", vm);
    fixture_define_and_start (f, "late", "/late",
                              "<devices><member type='vm' name='early'/></devices>");
    assert_place (f, vm, 0, "/late");
    fixture_expect_events (f, "def:late on:late in:late/early");
}

static void
test_attach (Fixture *f, gconstpointer unused)
{
    const guint both = CORRAL_AFFECT_LIVE | CORRAL_AFFECT_CONFIG;
    g_autoptr (GPtrArray) vms = NULL;
    g_autoptr (GError) error = NULL;
    FakeVm *vm;

    FIXTURE_CHECK (f);
    fixture_define_and_start (f, "top", "/p", "");
    fixture_define_and_start (f, "a", "/p/a", "");
    fixture_define_and_start (f, "b", "/p/b", "");
    g_string_truncate (f->events, 0);
    vm = fixture_vm (f, 2);
    add (f, "web", vm);
    g_assert_false (attach (f, "a", "none", -1, 0, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND);
    g_clear_error (&error);
    g_assert_false (attach (f, "a", "w*", -1, 0, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    g_clear_error (&error);
    g_assert_true (attach (f, "a", "web", -1, both, &error));
    assert_place (f, vm, 1, "/p/a");
    g_assert_false (attach (f, "a", "web", -1, CORRAL_AFFECT_LIVE, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_EXISTS);
    g_clear_error (&error);
    g_assert_cmpuint (corral_agent_lookup_name (f->agent, "a")->config->members->len, ==, 1);
    vms = corral_agent_list_vms (f->agent, "top");
    g_assert_cmpuint (vms->len, ==, 1);
    g_assert_true (attach (f, "b", "web", -1, CORRAL_AFFECT_LIVE, &error));
    assert_place (f, vm, -1, "/p/b");
    assert_members (f, "a", "");
    assert_members (f, "b", "web");
    g_assert_cmpuint (corral_agent_count_vcpus (f->agent, "a"), ==, 0);
    g_assert_cmpuint (corral_agent_count_vcpus (f->agent, "b"), ==, 2);
    g_assert_cmpuint (corral_agent_count_vcpus (f->agent, "top"), ==, 2);
    g_assert_false (corral_agent_destroy (f->agent, "b", &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_BUSY);
    g_assert_nonnull (strstr (error->message, "\"web\""));
    g_clear_error (&error);
    g_assert_false (detach (f, "a", "web", -1, CORRAL_AFFECT_LIVE, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND);
    g_clear_error (&error);
    /* libvirt does not know it: it goes to the container above. */
    g_assert_true (detach (f, "b", "web", -1, CORRAL_AFFECT_LIVE, &error));
    assert_place (f, vm, 0, "/p");
    g_assert_true (detach (f, "a", "web", -1, CORRAL_AFFECT_CONFIG, &error));
    g_assert_cmpuint (corral_agent_lookup_name (f->agent, "a")->config->members->len, ==, 0);
    g_assert_no_error (error);
    fixture_expect_events (f, "in:a/web out:a/web in:b/web out:b/web in:top/web");
}

/* A VM of libvirt's, whose home is a group in one container */
static void
test_home (Fixture *f, gconstpointer unused)
{
    g_autofree char *home = NULL, *home_group = NULL;
    g_autoptr (GError) error = NULL;
    FakeVm *vm;

    FIXTURE_CHECK (f);
    fixture_define_and_start (f, "home", "/home", "");
    fixture_define_and_start (f, "away", "/away", "");
    home = fixture_path (f, "/home");
    vm = fixture_vm (f, 2);
    home_group = fixture_libvirt_group (f, "/home", vm);
    g_string_truncate (f->events, 0);
    fake_inventory_add (inventory (f), "web", vm, CORRAL_VM_LIBVIRT, home, home_group);
    fixture_expect_events (f, "in:home/web");
    g_assert_false (detach (f, "home", "web", -1, CORRAL_AFFECT_LIVE, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE);
    g_clear_error (&error);
    g_assert_true (attach (f, "away", "web", -1, CORRAL_AFFECT_LIVE, &error));
    assert_place (f, vm, 0, "/away");
    g_assert_true (detach (f, "away", "web", -1, CORRAL_AFFECT_LIVE, &error));
    g_assert_no_error (error);
    assert_place (f, vm, -1, "/home");
    assert_place (f, vm, 1, "/home");
    fixture_expect_events (f, "out:home/web in:away/web out:away/web in:home/web");
    g_assert_cmpuint (corral_agent_count_vcpus (f->agent, "home"), ==, 2);
}

/* Where a single vCPU of @vm, which is in "/vm", may go: on v2 only beneath the VM's own group. */
static char *
path_for_vcpu (Fixture *f, FakeVm *vm)
{
    g_autoptr (GError) error = NULL;
    g_autofree char *path = NULL;
    g_autofree char *group = NULL;
    g_autofree char *name = NULL;

    if ((corral_container_core_features (f->core) & CORRAL_FEATURE_THREAD_ANYWHERE) != 0)
        return g_strdup ("/vm/fast");
    g_assert_true (corral_container_of_process (f->core, vm->pid, &path, &group, NULL, &error));
    g_assert_nonnull (group);
    name = g_path_get_basename (group);
    return g_strconcat ("/vm/", name, "/fast", NULL);
}

static void
test_vcpu (Fixture *f, gconstpointer unused)
{
    g_autoptr (GError) error = NULL;
    g_autofree char *fast = NULL;
    FakeVm *vm;

    FIXTURE_CHECK (f);
    fixture_define_and_start (f, "vm", "/vm", "<devices><member type='vm' name='web'/></devices>");
    vm = fixture_vm (f, 2);
    add (f, "web", vm);
    fast = path_for_vcpu (f, vm);
    fixture_define_and_start (f, "fast", fast, "");
    g_string_truncate (f->events, 0);
    g_assert_false (attach (f, "fast", "web", 2, CORRAL_AFFECT_LIVE, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND);
    g_clear_error (&error);
    g_assert_true (attach (f, "fast", "web", 1, CORRAL_AFFECT_LIVE, &error));
    g_assert_no_error (error);
    assert_place (f, vm, 0, "/vm");
    assert_place (f, vm, 1, fast);
    assert_members (f, "fast", "web/1");
    assert_members (f, "vm", "web");
    g_assert_cmpuint (corral_agent_count_vcpus (f->agent, "fast"), ==, 1);
    g_assert_cmpuint (corral_agent_count_vcpus (f->agent, "vm"), ==, 2);
    /* A vCPU is plugged: the one that is apart stays apart. */
    fake_vm_plug (vm);
    fake_inventory_change (inventory (f), "web", vm);
    assert_place (f, vm, 1, fast);
    assert_place (f, vm, 2, "/vm");
    fixture_restart (f);
    g_string_truncate (f->events, 0);
    add (f, "web", vm);
    assert_place (f, vm, 1, fast);
    assert_members (f, "fast", "web/1");
    g_assert_true (detach (f, "fast", "web", 1, CORRAL_AFFECT_LIVE, &error));
    g_assert_no_error (error);
    assert_place (f, vm, 1, "/vm");
    assert_members (f, "fast", "");
    fixture_expect_events (f, "out:fast/web");
}

static void
test_elsewhere (Fixture *f, gconstpointer unused)
{
    g_autoptr (GError) error = NULL;
    gboolean anywhere;
    FakeVm *vm;

    FIXTURE_CHECK (f);
    anywhere = (corral_container_core_features (f->core) & CORRAL_FEATURE_THREAD_ANYWHERE) != 0;
    fixture_define_and_start (f, "vm", "/vm", "<devices><member type='vm' name='web'/></devices>");
    fixture_define_and_start (f, "far", "/far", "");
    vm = fixture_vm (f, 2);
    add (f, "web", vm);
    if (anywhere) {
        g_assert_true (attach (f, "far", "web", 1, CORRAL_AFFECT_LIVE, &error));
        assert_place (f, vm, 1, "/far");
        g_assert_cmpuint (corral_agent_count_vcpus (f->agent, "vm"), ==, 1);
        g_assert_true (detach (f, "far", "web", 1, CORRAL_AFFECT_LIVE, &error));
        assert_place (f, vm, 1, "/vm");
        g_assert_no_error (error);
    } else {
        g_assert_false (attach (f, "far", "web", 1, CORRAL_AFFECT_LIVE, &error));
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED);
        assert_place (f, vm, 1, "/vm");
    }
}

/* What was moved by hand stays there over a restart of ours; a VM that starts anew goes where its
 * container claims it. */
static void
test_restart (Fixture *f, gconstpointer unused)
{
    g_autoptr (GError) error = NULL;
    FakeVm *vm, *again;

    FIXTURE_CHECK (f);
    fixture_define_and_start (f, "db", "/p/db",
                              "<devices><member type='vm' name='db*'/></devices>");
    fixture_define_and_start (f, "other", "/other", "");
    vm = fixture_vm (f, 1);
    add (f, "db1", vm);
    assert_place (f, vm, 0, "/p/db");
    g_assert_true (attach (f, "other", "db1", -1, CORRAL_AFFECT_LIVE, &error));
    g_assert_true (detach (f, "other", "db1", -1, CORRAL_AFFECT_LIVE, &error) || error != NULL);
    g_clear_error (&error);
    fixture_restart (f);
    add (f, "db1", vm);
    fake_inventory_settle (inventory (f));
    {
        g_autofree char *place = fixture_place (f, vm->pid, vm->pid);

        g_assert_cmpstr (place, !=, "/p/db");
    }
    kill (vm->pid, SIGKILL);
    fake_inventory_remove (inventory (f), "db1");
    again = fixture_vm (f, 1);
    add (f, "db1", again);
    assert_place (f, again, 0, "/p/db");
}

/* A vCPU that was plugged while we were away is where the VM's source put it: it follows its VM.
 * One that was put somewhere by a wish stays there. */
static void
test_restart_strays (Fixture *f, gconstpointer unused)
{
    g_autofree char *home = NULL, *home_group = NULL;
    g_autoptr (GError) error = NULL;
    FakeVm *vm;

    FIXTURE_CHECK (f);
    if ((corral_container_core_features (f->core) & CORRAL_FEATURE_THREAD_ANYWHERE) == 0) {
        g_test_skip ("cgroup v2 lets no thread stray");
        return;
    }
    fixture_define_and_start (f, "home", "/home", "");
    fixture_define_and_start (f, "away", "/away", "");
    fixture_define_and_start (f, "fast", "/fast", "");
    home = fixture_path (f, "/home");
    vm = fixture_vm (f, 2);
    home_group = fixture_libvirt_group (f, "/home", vm);
    fake_inventory_add (inventory (f), "web", vm, CORRAL_VM_LIBVIRT, home, home_group);
    g_assert_true (attach (f, "away", "web", -1, CORRAL_AFFECT_LIVE, &error));
    g_assert_true (attach (f, "fast", "web", 1, CORRAL_AFFECT_LIVE, &error));
    fixture_stop (f);
    fake_vm_plug (vm);
    g_assert_true (corral_container_add_thread (f->core, home, vm->pid, fake_vm_tid (vm, 2),
                                                &error));
    fixture_start (f);
    fake_inventory_add (inventory (f), "web", vm, CORRAL_VM_LIBVIRT, home, home_group);
    assert_place (f, vm, -1, "/away");
    assert_place (f, vm, 0, "/away");
    assert_place (f, vm, 1, "/fast");
    assert_place (f, vm, 2, "/away");
    assert_members (f, "fast", "web/1");
}

static void
test_end (Fixture *f, gconstpointer unused)
{
    g_autoptr (GError) error = NULL;
    FakeVm *vm;

    FIXTURE_CHECK (f);
    fixture_define_and_start (f, "a", "/a", "<devices><member type='vm' name='web'/></devices>");
    vm = fixture_vm (f, 2);
    add (f, "web", vm);
    g_string_truncate (f->events, 0);
    g_ptr_array_remove (f->vms, vm); /* ends it */
    fake_inventory_remove (inventory (f), "web");
    fixture_expect_events (f, "out:a/web");
    assert_members (f, "a", "");
    g_assert_cmpuint (corral_agent_count_vcpus (f->agent, "a"), ==, 0);
    g_assert_true (corral_agent_destroy (f->agent, "a", &error));
    g_assert_no_error (error);
}

/* A change to the kernel that cannot be written to the file is not made, and the reverse. */
static void
test_undo (Fixture *f, gconstpointer unused)
{
    const guint both = CORRAL_AFFECT_LIVE | CORRAL_AFFECT_CONFIG;
    g_autofree char *file = NULL, *live = NULL, *text = NULL, *now = NULL;
    g_autoptr (GError) error = NULL;
    FakeVm *vm;

    FIXTURE_CHECK (f);
    fixture_define_and_start (f, "a", "/a", "");
    vm = fixture_vm (f, 1);
    add (f, "web", vm);
    live = g_build_filename (f->state, "containers", "a.xml", NULL);
    file = g_build_filename (f->definitions, "a.xml", NULL);
    g_assert_true (g_file_get_contents (file, &text, NULL, NULL));
    /* The second file cannot be saved: the first is set back. */
    g_assert_true (g_file_set_contents (live, "<broken", -1, NULL));
    g_assert_false (attach (f, "a", "web", -1, both, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE);
    assert_place (f, vm, 0, "");
    g_assert_true (g_file_get_contents (file, &now, NULL, NULL));
    g_assert_cmpstr (now, ==, text);
    g_assert_cmpuint (corral_agent_lookup_name (f->agent, "a")->config->members->len, ==, 0);
}

static void
test_vcpus (Fixture *f, gconstpointer unused)
{
    g_autoptr (GArray) vcpus = NULL;
    g_autoptr (CorralCpuset) host = NULL, mems = NULL, one = hwloc_bitmap_alloc ();
    g_autoptr (GError) error = NULL;
    g_autofree char *pin = NULL;
    FakeVm *b, *a;

    FIXTURE_CHECK (f);
    fixture_define_and_start (f, "p", "/p", "<devices><member type='vm' name='vm?'/></devices>");
    b = fixture_vm (f, 2);
    a = fixture_vm (f, 1);
    add (f, "vmb", b);
    add (f, "vma", a);
    fake_vm_work (b, 1, 20);
    g_assert_true (corral_agent_list_vcpus (f->agent, "p", TRUE, &vcpus, &error));
    g_assert_cmpuint (vcpus->len, ==, 3);
    for (guint i = 0; i < 3; i++) {
        const CorralAgentVcpu *vcpu = &g_array_index (vcpus, CorralAgentVcpu, i);

        g_assert_cmpstr (vcpu->vm_name, ==, i == 0 ? "vma" : "vmb");
        g_assert_cmpint (vcpu->vcpu, ==, i == 2 ? 1 : 0);
        g_assert_cmpint (vcpu->tid, ==, i == 0 ? fake_vm_tid (a, 0) : fake_vm_tid (b, i - 1));
        g_assert_false (hwloc_bitmap_iszero (vcpu->affinity));
    }
    g_assert_cmpuint (g_array_index (vcpus, CorralAgentVcpu, 2).time_ns, >=, 19000000);
    g_assert_true (corral_container_core_host_cpus (f->core, &host, &mems, &error));
    hwloc_bitmap_set (one, (unsigned) hwloc_bitmap_first (host));
    g_string_truncate (f->events, 0);
    g_assert_true (corral_agent_pin_vcpu (f->agent, "p", 2, one, &error));
    g_assert_no_error (error);
    pin = g_strdup_printf ("pin:p/2=%d", hwloc_bitmap_first (host));
    fixture_expect_events (f, pin);
    g_clear_pointer (&vcpus, g_array_unref);
    g_assert_true (corral_agent_list_vcpus (f->agent, "p", TRUE, &vcpus, &error));
    g_assert_true (hwloc_bitmap_isequal (g_array_index (vcpus, CorralAgentVcpu, 2).affinity, one));
    g_assert_false (corral_agent_pin_vcpu (f->agent, "p", 3, one, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
}

/* An answer may be told again, but not one from before a change of members. */
static void
test_fresh (Fixture *f, gconstpointer unused)
{
    g_autoptr (GError) error = NULL;
    CorralAgentUsage usage;
    FakeVm *vm;

    FIXTURE_CHECK (f);
    fixture_define_and_start (f, "a", "/a", "");
    vm = fixture_vm (f, 2);
    add (f, "web", vm);
    g_assert_true (corral_agent_get_usage (f->agent, "a", &usage, &error));
    g_assert_cmpuint (usage.vcpus, ==, 0);
    g_assert_true (attach (f, "a", "web", -1, 0, &error));
    g_assert_true (corral_agent_get_usage (f->agent, "a", &usage, &error));
    g_assert_cmpuint (usage.vcpus, ==, 2);
    g_assert_cmpuint (usage.vms, ==, 1);
    fake_vm_plug (vm);
    fake_inventory_change (inventory (f), "web", vm);
    g_assert_true (corral_agent_get_usage (f->agent, "a", &usage, &error));
    g_assert_cmpuint (usage.vcpus, ==, 3);
    g_ptr_array_remove (f->vms, vm);
    fake_inventory_remove (inventory (f), "web");
    g_assert_true (corral_agent_get_usage (f->agent, "a", &usage, &error));
    g_assert_cmpuint (usage.vcpus, ==, 0);
    g_assert_cmpuint (usage.vms, ==, 0);
}

/* --- usage --- */

static CorralAgentUsage
usage_of (Fixture *f, const char *name)
{
    CorralAgentUsage usage;
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_agent_get_usage (f->agent, name, &usage, &error));
    g_assert_no_error (error);
    g_assert_cmpuint (usage.guest_ns + usage.host_ns + usage.emulator_ns, ==, usage.total_ns);
    return usage;
}

static void
assert_not_less (const CorralAgentUsage *now, const CorralAgentUsage *before)
{
    g_assert_cmpuint (now->total_ns, >=, before->total_ns);
    g_assert_cmpuint (now->user_ns, >=, before->user_ns);
    g_assert_cmpuint (now->system_ns, >=, before->system_ns);
    g_assert_cmpuint (now->guest_ns, >=, before->guest_ns);
    g_assert_cmpuint (now->host_ns, >=, before->host_ns);
    g_assert_cmpuint (now->emulator_ns, >=, before->emulator_ns);
    g_assert_cmpuint (now->wait_ns, >=, before->wait_ns);
}

#define MS 1000000

static void
test_usage (Fixture *f, gconstpointer unused)
{
    CorralAgentUsage top, a, b, before, later;
    g_autoptr (GError) error = NULL;
    FakeVm *vm, *other;

    FIXTURE_CHECK (f);
    fixture_define_and_start (f, "top", "/p", "");
    fixture_define_and_start (f, "a", "/p/a", "<devices><member type='vm' name='web'/></devices>");
    fixture_define_and_start (f, "b", "/p/b", "<devices><member type='vm' name='db'/></devices>");
    vm = fixture_vm (f, 2);
    other = fixture_vm (f, 1);
    /* Bounds above leave room for what a slow machine's kernel and threads do besides. */
    fake_vm_work (vm, 0, 150); /* before it comes: counts nowhere */
    add (f, "web", vm);
    add (f, "db", other);
    fake_vm_work (vm, 0, 100);
    fake_vm_work (vm, 1, 50);
    fake_vm_work (other, 0, 30);
    a = usage_of (f, "a");
    b = usage_of (f, "b");
    top = usage_of (f, "top");
    g_assert_cmpuint (a.vms, ==, 1);
    g_assert_cmpuint (a.vcpus, ==, 2);
    g_assert_cmpuint (top.vms, ==, 2);
    g_assert_cmpuint (a.host_ns, >=, 149 * MS);
    g_assert_cmpuint (a.host_ns, <, 290 * MS);
    g_assert_cmpuint (b.host_ns, >=, 29 * MS);
    g_assert_cmpuint (top.host_ns, >=, a.host_ns + b.host_ns);
    g_assert_cmpuint (top.total_ns, >=, a.total_ns + b.total_ns);
    g_assert_cmpuint (top.total_ns, <, a.total_ns + b.total_ns + 29 * MS);

    /* A move: each keeps what was used in it. */
    g_assert_true (attach (f, "b", "web", -1, CORRAL_AFFECT_LIVE, &error));
    fake_vm_work (vm, 1, 40);
    later = usage_of (f, "a");
    assert_not_less (&later, &a);
    g_assert_cmpuint (later.host_ns, <, a.host_ns + 35 * MS);
    later = usage_of (f, "b");
    g_assert_cmpuint (later.host_ns, >=, b.host_ns + 39 * MS);
    g_assert_cmpuint (later.host_ns, <, b.host_ns + 79 * MS);

    /* A restart, with work in our absence */
    before = usage_of (f, "b");
    top = usage_of (f, "top");
    fixture_stop (f);
    fake_vm_work (vm, 0, 25);
    fixture_start (f);
    add (f, "web", vm);
    add (f, "db", other);
    fake_inventory_settle (inventory (f));
    later = usage_of (f, "b");
    assert_not_less (&later, &before);
    g_assert_cmpuint (later.host_ns, >=, before.host_ns + 24 * MS);
    before = later;
    later = usage_of (f, "top");
    assert_not_less (&later, &top);

    /* An end: what it used stays. */
    g_ptr_array_remove (f->vms, vm);
    fake_inventory_remove (inventory (f), "web");
    later = usage_of (f, "b");
    assert_not_less (&later, &before);
    g_assert_cmpuint (later.vms, ==, 1);
    fixture_restart (f);
    add (f, "db", other);
    before = later;
    later = usage_of (f, "b");
    assert_not_less (&later, &before);
}

/* The scheduler's own sum of a vCPU's waits is told as such where the kernel keeps it, and else is
 * the other counter of the same. The switch is the whole host's, so it is used in the lab alone. */
static void
test_wait_sum (Fixture *f, gconstpointer unused)
{
    const char *switch_file = "/proc/sys/kernel/sched_schedstats";
    g_autofree char *on = NULL, *path = NULL, *text = NULL;
    g_autoptr (GArray) vcpus = NULL;
    g_autoptr (GError) error = NULL;
    const CorralAgentVcpu *vcpu;
    guint64 before, after;
    gboolean counted;
    FakeVm *vm;

    FIXTURE_CHECK (f);
    if (g_getenv ("LAB") != NULL)
        (void) g_file_set_contents_full (switch_file, "1", 1, G_FILE_SET_CONTENTS_NONE, 0600, NULL);
    counted = g_file_get_contents (switch_file, &on, NULL, NULL) && *on == '1';
    fixture_define_and_start (f, "a", "/a", "<devices><member type='vm' name='web'/></devices>");
    vm = fixture_vm (f, 1);
    add (f, "web", vm);
    fake_vm_work (vm, 0, 20);
    path = g_strdup_printf ("/proc/%d/task/%d/sched", (int) vm->pid, (int) fake_vm_tid (vm, 0));
    if (counted) {
        g_assert_true (g_file_get_contents (path, &text, NULL, &error));
        g_assert_true (corral_usage_parse_wait_sum (text, &before));
        g_clear_pointer (&text, g_free);
    }
    g_assert_true (corral_agent_list_vcpus (f->agent, "a", FALSE, &vcpus, &error));
    g_assert_cmpuint (vcpus->len, ==, 1);
    vcpu = &g_array_index (vcpus, CorralAgentVcpu, 0);
    if (!counted) {
        g_assert_cmpuint (vcpu->wait_ns, ==, vcpu->delay_ns);
        g_test_skip ("this kernel keeps no sum of waits (kernel.sched_schedstats)");
        return;
    }
    g_assert_true (g_file_get_contents (path, &text, NULL, &error));
    g_assert_true (corral_usage_parse_wait_sum (text, &after));
    g_assert_cmpuint (vcpu->wait_ns, >=, before);
    g_assert_cmpuint (vcpu->wait_ns, <=, after);
    g_assert_cmpuint (after, >, 0);
}

/* The VM ends while we are away, after its usage was told. */
static void
test_usage_end_unseen (Fixture *f, gconstpointer unused)
{
    CorralAgentUsage before, after;
    FakeVm *vm;

    FIXTURE_CHECK (f);
    fixture_define_and_start (f, "a", "/a", "<devices><member type='vm' name='web'/></devices>");
    vm = fixture_vm (f, 1);
    add (f, "web", vm);
    fake_vm_work (vm, 0, 60);
    before = usage_of (f, "a");
    g_assert_cmpuint (before.host_ns, >=, 59 * MS);
    fixture_stop (f);
    g_ptr_array_remove (f->vms, vm);
    fixture_start (f);
    fake_inventory_settle (inventory (f));
    after = usage_of (f, "a");
    assert_not_less (&after, &before);
    g_assert_cmpuint (after.vms, ==, 0);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    FIXTURE_ADD ("/members/claims", test_claims);
    FIXTURE_ADD ("/members/late-claim", test_late_claim);
    FIXTURE_ADD ("/members/attach", test_attach);
    FIXTURE_ADD ("/members/home", test_home);
    FIXTURE_ADD ("/members/vcpu", test_vcpu);
    FIXTURE_ADD ("/members/elsewhere", test_elsewhere);
    FIXTURE_ADD ("/members/restart", test_restart);
    FIXTURE_ADD ("/members/restart-strays", test_restart_strays);
    FIXTURE_ADD ("/members/end", test_end);
    FIXTURE_ADD ("/members/undo", test_undo);
    FIXTURE_ADD ("/members/vcpus", test_vcpus);
    FIXTURE_ADD ("/members/fresh", test_fresh);
    FIXTURE_ADD ("/members/wait-sum", test_wait_sum);
    FIXTURE_ADD ("/members/usage", test_usage);
    FIXTURE_ADD ("/members/usage-end-unseen", test_usage_end_unseen);
    return g_test_run ();
}
