/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm-agent/container/container-path.h"

#include "common/corral-error.h"

#include <string.h>

static void
test_paths (void)
{
    static const struct {
        const char *path, *dir;
    } same[] = {
        { "/machine", "machine" },
        { "/system", "system" },
        { "/prod", "prod.partition" },
        { "/machine/prod", "machine/prod.partition" },
        { "/machine/prod/db", "machine/prod.partition/db.partition" },
        { "/prod/machine", "prod.partition/machine.partition" },
        { "/machine/cpu", "machine/cpu.partition" },
        { "/cgroup", "_cgroup.partition" },
        { "/_x", "__x.partition" },
        { "/a b", "a b.partition" },
        { "/prod/qemu-1-web.libvirt-qemu/fast",
          "prod.partition/qemu-1-web.libvirt-qemu/fast.partition" },
    };

    for (guint i = 0; i < G_N_ELEMENTS (same); i++) {
        g_autoptr (GError) error = NULL;
        g_autofree char *dir = NULL;
        g_autofree char *path = NULL;
        g_autofree char *group = NULL;

        g_assert_true (corral_container_path_to_dir (same[i].path, &dir, &error));
        g_assert_no_error (error);
        g_assert_cmpstr (dir, ==, same[i].dir);
        path = corral_container_dir_to_path (dir, &group);
        g_assert_cmpstr (path, ==, same[i].path);
        g_assert_null (group);
    }
}

static void
test_hostile (void)
{
    static const char *const bad[] = {
        "",          "/",     "prod",    "//",   "/..",          "/../etc",       "/a/../b",
        "/a//b",     "/a/",   "/.",      "/a\n", "/a\1b",        "/cgroup.procs", "/cpu.x",
        "/a.b",      "/\377", "/tasks.", "/.a",  "/x.partition", "/a.slice",      "/q.libvirt-qemu",
        "/a.corral",
    };
    g_autofree char *long_name = g_strnfill (CORRAL_PATH_NAME_MAX + 1, 'x');
    g_autofree char *long_path = g_strconcat ("/", long_name, NULL);
    g_autofree char *fits = g_strndup (long_path, CORRAL_PATH_NAME_MAX + 1);
    g_autoptr (GString) deep = g_string_new (NULL);
    g_autofree char *dir = NULL;

    for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
        g_autoptr (GError) error = NULL;

        g_assert_false (corral_container_path_to_dir (bad[i], &dir, &error));
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
        g_assert_true (g_utf8_validate (error->message, -1, NULL));
        g_assert_null (strchr (error->message, '\n'));
    }
    g_assert_false (corral_container_path_to_dir (NULL, &dir, NULL));
    g_assert_false (corral_container_path_to_dir (long_path, &dir, NULL));
    for (guint i = 0; i <= CORRAL_PATH_DEPTH_MAX; i++)
        g_string_append (deep, "/a");
    g_assert_false (corral_container_path_to_dir (deep->str, &dir, NULL));
    g_string_truncate (deep, deep->len - 2);
    g_assert_true (corral_container_path_to_dir (deep->str, &dir, NULL));
    g_free (g_steal_pointer (&dir));
    g_assert_true (corral_container_path_to_dir (fits, &dir, NULL));
}

static void
test_dirs (void)
{
    static const struct {
        const char *dir, *path, *group;
    } seen[] = {
        { "", NULL, NULL },
        { "docker/1234", NULL, NULL },
        { "machine", "/machine", NULL },
        { "machine/qemu-1-web.libvirt-qemu/vcpu0", "/machine", "machine/qemu-1-web.libvirt-qemu" },
        { "prod.partition/vm-7-x.corral", "/prod", "prod.partition/vm-7-x.corral" },
        { "prod.partition/machine-qemu\\x2d1\\x2dweb.scope/emulator", "/prod",
          "prod.partition/machine-qemu\\x2d1\\x2dweb.scope" },
        { "qemu-1-web.libvirt-qemu/emulator", NULL, "qemu-1-web.libvirt-qemu" },
        { "prod.partition/other/vcpu0", "/prod", NULL },
        { "prod.partition/g.corral/fast.partition", "/prod/g.corral/fast", NULL },
        { "system.slice/ssh.service", NULL, NULL },
        { "machine.partition", NULL, NULL }, /* no path leads there: "/machine" is "machine" */
        { "a.b.partition", NULL, NULL },
        { "_x.partition", NULL, NULL },
    };

    for (guint i = 0; i < G_N_ELEMENTS (seen); i++) {
        g_autofree char *group = NULL;
        g_autofree char *path = corral_container_dir_to_path (seen[i].dir, &group);

        g_assert_cmpstr (path, ==, seen[i].path);
        g_assert_cmpstr (group, ==, seen[i].group);
    }
}

static void
test_groups (void)
{
    static const char *const bad[] = { "",
                                       "/",
                                       "..",
                                       "a/../b.corral",
                                       "/a.corral",
                                       "a.partition",
                                       "a//b.corral",
                                       "a.corral/",
                                       "a\n.corral",
                                       ".libvirt-qemu" };
    g_autofree char *plain = corral_container_group_name ("we/b\n..1", 12, NULL);
    g_autofree char *from = corral_container_group_name ("web", 12, "qemu-1-web_1.x.libvirt-qemu");
    g_autofree char *again = corral_container_group_name ("web", 12, from);
    g_autofree char *unnamed = corral_container_group_name (NULL, 12, NULL);
    g_autofree char *name = g_strnfill (4000, 'y');
    g_autofree char *long_name = corral_container_group_name (name, 12, NULL);

    g_assert_cmpstr (plain, ==, "vm-12-we-b---1.corral");
    /* As systemd-escape writes it. */
    g_assert_cmpstr (from, ==, "machine-qemu\\x2d1\\x2dweb_1.x.scope");
    g_assert_cmpstr (again, ==, from);
    g_assert_cmpstr (unnamed, ==, "vm-12.corral");
    g_assert_cmpuint (strlen (long_name), <, 100);
    g_assert_true (corral_container_group_check (plain, NULL));
    g_assert_true (corral_container_group_check (from, NULL));
    g_assert_true (corral_container_group_check ("machine/qemu-1-web.libvirt-qemu", NULL));
    for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
        g_autoptr (GError) error = NULL;

        g_assert_false (corral_container_group_check (bad[i], &error));
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    }
    g_assert_true (corral_container_is_own_group (plain));
    g_assert_true (corral_container_is_own_group (from));
    g_assert_false (corral_container_is_own_group ("qemu-1-web.libvirt-qemu"));
}

static void
test_roles (void)
{
    CorralThreadRole role;
    int index;

    g_assert_true (corral_container_role_parse ("vcpu12", &role, &index));
    g_assert_cmpint (role, ==, CORRAL_THREAD_VCPU);
    g_assert_cmpint (index, ==, 12);
    g_assert_true (corral_container_role_parse ("iothread1", &role, &index));
    g_assert_cmpint (role, ==, CORRAL_THREAD_IOTHREAD);
    g_assert_true (corral_container_role_parse ("emulator", &role, &index));
    g_assert_cmpint (role, ==, CORRAL_THREAD_EMULATOR);
    g_assert_false (corral_container_role_parse ("vcpu", &role, &index));
    g_assert_false (corral_container_role_parse ("vcpu-1", &role, &index));
    g_assert_false (corral_container_role_parse ("vcpu1x", &role, &index));
    g_assert_false (corral_container_role_parse ("vcpu99999999999", &role, &index));
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_test_add_func ("/container-path/paths", test_paths);
    g_test_add_func ("/container-path/hostile", test_hostile);
    g_test_add_func ("/container-path/dirs", test_dirs);
    g_test_add_func ("/container-path/groups", test_groups);
    g_test_add_func ("/container-path/roles", test_roles);
    return g_test_run ();
}
