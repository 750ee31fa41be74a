/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/vm/vm-fixture.h"
#include "vmm-agent/vm/corral-vm-status.h"

#include "common/corral-error.h"

#include <string.h>
#include <unistd.h>

#define STATUS                                                                                     \
    "<!-- a comment -->\n"                                                                         \
    "<domstatus state='paused' reason='user' pid='77'>\n"                                          \
    "  <taint flag='high-privileges'/>\n"                                                          \
    "  <vcpus><vcpu id='0' pid='80'/><vcpu id='2' pid='81'/><vcpu id='3' pid='0'/>"                \
    "<vcpu id='-1' pid='9'/><vcpu id='99999' pid='9'/></vcpus>\n"                                  \
    "  <domain type='qemu' id='5'>\n"                                                              \
    "    <name>web 1</name><uuid>00112233-4455-6677-8899-aabbccddeeff</uuid>\n"                    \
    "    <vcpu placement='static' current='2'>4</vcpu>\n"                                          \
    "    <resource><partition>/machine/prod</partition></resource>\n"                              \
    "  </domain>\n"                                                                                \
    "</domstatus>\n"

static void
test_parse (void)
{
    static const guint8 uuid[] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                   0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };
    g_autoptr (CorralVmStatus) status = NULL;
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_vm_status_parse (STATUS, strlen (STATUS), &status, &error));
    g_assert_no_error (error);
    g_assert_cmpint (status->state, ==, CORRAL_VM_PAUSED);
    g_assert_false (status->starting);
    g_assert_cmpint (status->pid, ==, 77);
    g_assert_cmpint (status->id, ==, 5);
    g_assert_cmpstr (status->name, ==, "web 1");
    g_assert_cmpstr (status->partition, ==, "/machine/prod");
    g_assert_cmpmem (status->uuid, 16, uuid, 16);
    g_assert_cmpuint (status->vcpus->len, ==, 2);
    g_assert_cmpint (g_array_index (status->vcpus, CorralThread, 1).tid, ==, 81);
    g_assert_cmpint (g_array_index (status->vcpus, CorralThread, 1).index, ==, 2);
}

/* What the VM wishes of the planner; what cannot be read is no wish, and no error here. */
static void
test_wishes (void)
{
    static const struct {
        const char *placement;
        guint wishes;
    } cases[] = {
        { "", 0 },
        { "smt='isolate' numa='strict'", CORRAL_WISH_SMT | CORRAL_WISH_NUMA },
        { "smt='perhaps'", 0 },
    };

    for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
        g_autofree char *xml = g_strdup_printf (
            "<domstatus state='running' pid='77'><domain type='qemu'><name>web</name><metadata>"
            "<c:placement xmlns:c='urn:corral:1' %s/></metadata><vcpu>2</vcpu></domain>"
            "</domstatus>",
            cases[i].placement);
        g_autoptr (CorralVmStatus) status = NULL;
        g_autoptr (GError) error = NULL;

        g_assert_true (corral_vm_status_parse (xml, strlen (xml), &status, &error));
        g_assert_no_error (error);
        g_assert_cmpuint (status->wishes, ==, cases[i].wishes);
        if (cases[i].wishes != 0) {
            g_assert_cmpint (status->wish.smt, ==, CORRAL_SMT_ISOLATE);
            g_assert_cmpint (status->wish.numa, ==, CORRAL_NUMA_STRICT);
        }
    }
}

static char *
pin_of (const CorralVmStatus *status, guint vcpu)
{
    const CorralCpuset *pin = status->pins != NULL && vcpu < status->pins->len
                                  ? g_ptr_array_index (status->pins, vcpu)
                                  : NULL;

    return pin != NULL ? corral_cpuset_format (pin) : g_strdup ("-");
}

/* A pin of its own, or what <vcpu> says of all. */
static void
test_pins (void)
{
    static const struct {
        const char *vcpu, *cputune, *pins, *emulator;
    } cases[] = {
        { "<vcpu>3</vcpu>", "", "- - -", "-" },
        { "<vcpu cpuset='0-2,7'>3</vcpu>", "", "0-2,7 0-2,7 0-2,7", "0-2,7" },
        { "<vcpu cpuset='0-2'>3</vcpu>", "<vcpupin vcpu='1' cpuset='4'/>", "0-2 4 0-2", "0-2" },
        { "<vcpu>3</vcpu>",
          "<emulatorpin cpuset='0'/><vcpupin vcpu='2' cpuset='1,3'/>"
          "<vcpupin vcpu='-1' cpuset='1'/><vcpupin vcpu='99999' cpuset='1'/>"
          "<vcpupin vcpu='0' cpuset='none'/><vcpupin vcpu='1'/>",
          "- - 1,3", "0" },
        { "<vcpu cpuset='1'>99999</vcpu>", "", "- - -", "1" },
    };

    for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
        g_autofree char *xml =
            g_strdup_printf ("<domstatus state='running' pid='77'><domain type='qemu'>"
                             "<name>web</name>%s<cputune>%s</cputune></domain></domstatus>",
                             cases[i].vcpu, cases[i].cputune);
        g_autoptr (CorralVmStatus) status = NULL;
        g_autofree char *first = NULL, *second = NULL, *third = NULL, *all = NULL, *other = NULL;

        g_assert_true (corral_vm_status_parse (xml, strlen (xml), &status, NULL));
        first = pin_of (status, 0);
        second = pin_of (status, 1);
        third = pin_of (status, 2);
        all = g_strjoin (" ", first, second, third, NULL);
        g_assert_cmpstr (all, ==, cases[i].pins);
        other = status->emulator_pin != NULL ? corral_cpuset_format (status->emulator_pin)
                                             : g_strdup ("-");
        g_assert_cmpstr (other, ==, cases[i].emulator);
        g_assert_cmpint (status->any_pin != NULL, ==, strstr (cases[i].vcpu, "cpuset") != NULL);
    }
}

static void
test_iothread_pins (void)
{
    const char *xml = "<domstatus state='running' pid='77'><domain type='qemu'><name>web</name>"
                      "<vcpu cpuset='4'>1</vcpu><iothreads>3</iothreads><cputune>"
                      "<iothreadpin iothread='1' cpuset='0-1'/>"
                      "<iothreadpin iothread='3' cpuset='2'/><iothreadpin cpuset='3'/>"
                      "<iothreadpin iothread='-1' cpuset='3'/>"
                      "<iothreadpin iothread='4000000000' cpuset='3'/></cputune></domain>"
                      "</domstatus>";
    g_autoptr (CorralVmStatus) status = NULL;
    g_autofree char *first = NULL, *third = NULL, *any = NULL;

    g_assert_true (corral_vm_status_parse (xml, strlen (xml), &status, NULL));
    g_assert_cmpuint (status->iothread_pins->len, ==, 4);
    first = corral_cpuset_format (g_ptr_array_index (status->iothread_pins, 1));
    third = corral_cpuset_format (g_ptr_array_index (status->iothread_pins, 3));
    any = corral_cpuset_format (status->any_pin);
    g_assert_cmpstr (first, ==, "0-1");
    g_assert_null (g_ptr_array_index (status->iothread_pins, 2));
    g_assert_cmpstr (third, ==, "2");
    g_assert_cmpstr (any, ==, "4");
}

static void
test_states (void)
{
    static const struct {
        const char *state, *reason;
        CorralVmState wanted;
        gboolean starting;
    } cases[] = {
        { "running", "booted", CORRAL_VM_RUNNING, FALSE },
        { "paused", "starting up", CORRAL_VM_PAUSED, TRUE },
        { "pmsuspended", "unknown", CORRAL_VM_PAUSED, FALSE },
        { "shutdown", "user", CORRAL_VM_OTHER, FALSE },
        { "nonsense", "starting up", CORRAL_VM_OTHER, FALSE },
    };

    for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
        g_autofree char *text = g_strdup_printf (
            "<domstatus state='%s' reason='%s' pid='1'><domain><name>a</name></domain></domstatus>",
            cases[i].state, cases[i].reason);
        g_autoptr (CorralVmStatus) status = NULL;

        g_assert_true (corral_vm_status_parse (text, strlen (text), &status, NULL));
        g_assert_cmpint (status->state, ==, cases[i].wanted);
        g_assert_cmpint (status->starting, ==, cases[i].starting);
        g_assert_null (status->partition);
        g_assert_cmpint (status->id, ==, -1);
    }
}

static void
test_refused (void)
{
    static const char *const texts[] = {
        "",
        "<",
        "<domstatus/>",
        "<domstatus><domain/></domstatus>",
        "<domstatus><domain><name></name></domain></domstatus>",
        "<domstatus><domain><name>../a</name></domain></domstatus>",
        "<domstatus><domain><name>..</name></domain></domstatus>",
        "<other><name>a</name></other>",
        "<!DOCTYPE a [<!ENTITY e 'x'>]><domstatus><domain><name>a</name></domain></domstatus>",
        "<domstatus><domain><name>a</name></domain></domstatus",
    };

    for (gsize i = 0; i < G_N_ELEMENTS (texts); i++) {
        g_autoptr (CorralVmStatus) status = NULL;
        g_autoptr (GError) error = NULL;

        g_assert_false (corral_vm_status_parse (texts[i], strlen (texts[i]), &status, &error));
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_XML);
        g_assert_null (status);
    }
}

static void
test_group (void)
{
    static const struct {
        const char *partition;
        int id;
        const char *name, *group;
    } cases[] = {
        { "/machine", 1, "web1", "machine/qemu-1-web1.libvirt-qemu" },
        { "/machine/prod/db", 12, "a.b-c",
          "machine/prod.partition/db.partition/qemu-12-a.b-c.libvirt-qemu" },
        { "/prod", 3, "web 1_x", "prod.partition/qemu-3-web1x.libvirt-qemu" },
        { "/machine/machine", 3, "x", "machine/machine.partition/qemu-3-x.libvirt-qemu" },
        { "/machine.slice/a.b", 3, "--x..-y--", "machine.slice/a.b/qemu-3-x.y.libvirt-qemu" },
        { "/", 3, "x", "qemu-3-x.libvirt-qemu" },
        { "/machine/_a/b", 3, "x", "machine/__a.partition/b.partition/qemu-3-x.libvirt-qemu" },
        { "/cgroup/cgroups", 3, "x", "_cgroup.partition/cgroups.partition/qemu-3-x.libvirt-qemu" },
        { "/a", 7, "0123456789012345678901234567890123456789012345678901234567890123456789",
          "a.partition/qemu-7-012345678901234567890123456789012345678901234567890123456"
          ".libvirt-qemu" },
        { "machine", 1, "x", NULL },
        { "/machine/../a", 1, "x", NULL },
    };

    for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
        g_autofree char *group =
            corral_vm_status_group (cases[i].partition, cases[i].id, cases[i].name);

        g_assert_cmpstr (group, ==, cases[i].group);
    }
}

static void
test_files (VmFixture *f, gconstpointer unused)
{
    g_autoptr (CorralVmStatus) status = NULL;
    g_autoptr (GError) error = NULL;
    pid_t pid = vm_fixture_spawn (f, "web 1.pid"), found = 0;
    g_autofree char *link = vm_fixture_path (f, "state/link.xml");
    g_autofree char *bad = vm_fixture_path (f, "state/bad.pid");
    gboolean locked = FALSE;

    vm_fixture_status (f, "web 1", STATUS);
    g_assert_true (corral_vm_status_read (f->state_dir, "web 1", &status, &error));
    g_assert_true (corral_vm_status_read_pid (f->state_dir, "web 1", &found, &locked, &error));
    g_assert_cmpint (found, ==, pid);
    g_assert_true (locked);
    /* The file outlives the process, but nobody holds it any more. */
    vm_fixture_kill (f, pid);
    g_assert_true (corral_vm_status_read_pid (f->state_dir, "web 1", &found, &locked, &error));
    g_assert_false (locked);
    g_clear_pointer (&status, corral_vm_status_free);
    g_assert_false (corral_vm_status_read (f->state_dir, "none", &status, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND);
    g_clear_error (&error);
    /* a file of another domain */
    vm_fixture_status (f, "other", STATUS);
    g_assert_false (corral_vm_status_read (f->state_dir, "other", &status, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_XML);
    g_clear_error (&error);
    /* out of the directory, or no file at all */
    g_assert_false (corral_vm_status_read (f->state_dir, "../state/web 1", &status, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_IO);
    g_clear_error (&error);
    g_assert_cmpint (symlink ("/dev/zero", link), ==, 0);
    g_assert_false (corral_vm_status_read (f->state_dir, "link", &status, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_IO);
    g_clear_error (&error);
    g_assert_true (g_file_set_contents (bad, "12x", -1, NULL));
    g_assert_false (corral_vm_status_read_pid (f->state_dir, "bad", &found, &locked, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_IO);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_test_add_func ("/vm/status/parse", test_parse);
    g_test_add_func ("/vm/status/wishes", test_wishes);
    g_test_add_func ("/vm/status/pins", test_pins);
    g_test_add_func ("/vm/status/iothread-pins", test_iothread_pins);
    g_test_add_func ("/vm/status/states", test_states);
    g_test_add_func ("/vm/status/refused", test_refused);
    g_test_add_func ("/vm/status/group", test_group);
    g_test_add ("/vm/status/files", VmFixture, NULL, vm_fixture_set_up, test_files,
                vm_fixture_tear_down);
    return g_test_run ();
}
