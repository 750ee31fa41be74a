/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/corral-error.h"
#include "vmm-agent/agent/corral-settings.h"

#include <glib/gstdio.h>

typedef struct {
    char *folder;
    char *file;
    char *drop_in;
} Fixture;

static void
write_text (const char *path, const char *text)
{
    g_autoptr (GError) error = NULL;

    g_file_set_contents (path, text, -1, &error);
    g_assert_no_error (error);
}

static void
set_up (Fixture *f, gconstpointer unused)
{
    f->folder = g_dir_make_tmp ("corral-settings-XXXXXX", NULL);
    f->file = g_build_filename (f->folder, "corral.conf", NULL);
    f->drop_in = g_build_filename (f->folder, "corral.conf.d", NULL);
    g_assert_cmpint (g_mkdir (f->drop_in, 0755), ==, 0);
}

static void
remove_all (const char *folder)
{
    g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
        g_autofree char *path = g_build_filename (folder, name, NULL);

        remove_all (path);
        g_remove (path);
    }
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
    remove_all (f->folder);
    g_assert_cmpint (g_rmdir (f->folder), ==, 0);
    g_free (f->folder);
    g_free (f->file);
    g_free (f->drop_in);
}

static void
add_drop_in (Fixture *f, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename (f->drop_in, name, NULL);

    write_text (path, text);
}

static void
test_defaults (Fixture *f, gconstpointer unused)
{
    g_autoptr (CorralSettings) settings = NULL;
    g_autoptr (GError) error = NULL;

    write_text (f->file, "# nothing\n");
    g_assert_true (corral_settings_load (f->file, &settings, &error));
    g_assert_no_error (error);
    g_assert_cmpstr (settings->definition_dir, ==, "/etc/corral/containers");
    g_assert_cmpstr (settings->state_dir, ==, "/run/corral");
    g_assert_cmpstr (settings->socket_dir, ==, "/run/corral");
    g_assert_null (settings->socket_group);
    g_assert_cmpuint (settings->socket_mode, ==, 0660);
    g_assert_cmpuint (settings->socket_ro_mode, ==, 0666);
    g_assert_cmpuint (settings->max_clients, ==, 500);
    g_assert_cmpstr (settings->libvirt_uri, ==, "qemu:///system");
    g_assert_cmpstr (settings->libvirt_state_dir, ==, "/run/libvirt/qemu");
    g_assert_cmpuint (g_hash_table_size (settings->qmp_sockets), ==, 0);
}

/* The file that is installed says in its comments what holds without it. */
static void
test_sample (void)
{
    g_autofree char *path = g_test_build_filename (G_TEST_DIST, "corral.conf", NULL);
    g_autoptr (CorralSettings) settings = NULL;
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_settings_load (path, &settings, &error));
    g_assert_no_error (error);
    g_assert_cmpstr (settings->definition_dir, ==, "/etc/corral/containers");
}

static void
test_all_keys (Fixture *f, gconstpointer unused)
{
    g_autoptr (CorralSettings) settings = NULL;
    g_autoptr (GError) error = NULL;

    write_text (f->file, "[corrald]\ndefinition_dir=/a\nstate_dir=/b\nsocket_dir=/c\n"
                         "socket_group=kvm\nsocket_mode=0770\nsocket_ro_mode=777\nmax_clients=7\n"
                         "host_file=/h.xml\ndrift_interval=60\n"
                         "[libvirt]\nuri=\nstate_dir=/d\n[qmp]\nweb1=/run/web1.qmp\n");
    g_assert_true (corral_settings_load (f->file, &settings, &error));
    g_assert_no_error (error);
    g_assert_cmpstr (settings->definition_dir, ==, "/a");
    g_assert_cmpstr (settings->state_dir, ==, "/b");
    g_assert_cmpstr (settings->socket_dir, ==, "/c");
    g_assert_cmpstr (settings->socket_group, ==, "kvm");
    g_assert_cmpuint (settings->socket_mode, ==, 0770);
    g_assert_cmpuint (settings->socket_ro_mode, ==, 0777);
    g_assert_cmpuint (settings->max_clients, ==, 7);
    g_assert_cmpstr (settings->host_file, ==, "/h.xml");
    g_assert_cmpuint (settings->drift_interval, ==, 60);
    g_assert_null (settings->libvirt_uri);
    g_assert_cmpstr (settings->libvirt_state_dir, ==, "/d");
    g_assert_cmpstr (g_hash_table_lookup (settings->qmp_sockets, "web1"), ==, "/run/web1.qmp");
}

static void
test_drop_ins (Fixture *f, gconstpointer unused)
{
    g_autoptr (CorralSettings) settings = NULL;
    g_autoptr (GError) error = NULL;

    write_text (f->file, "[corrald]\nmax_clients=1\nstate_dir=/one\n");
    add_drop_in (f, "20-b.conf", "[corrald]\nmax_clients=3\n");
    add_drop_in (f, "10-a.conf", "[corrald]\nmax_clients=2\n[qmp]\na=/a\n");
    add_drop_in (f, "30-c.conf.bak", "rubbish");
    add_drop_in (f, ".40-d.conf", "rubbish");
    g_assert_true (corral_settings_load (f->file, &settings, &error));
    g_assert_no_error (error);
    g_assert_cmpuint (settings->max_clients, ==, 3);
    g_assert_cmpstr (settings->state_dir, ==, "/one");
    g_assert_cmpstr (g_hash_table_lookup (settings->qmp_sockets, "a"), ==, "/a");
}

static void
test_refused (Fixture *f, gconstpointer unused)
{
    static const struct {
        const char *text;
        const char *names;
    } cases[] = {
        { "[corald]\nstate_dir=/b\n", "[corald]" },
        { "[corrald]\nstatedir=/b\n", "statedir" },
        { "[libvirt]\ndefinition_dir=/b\n", "definition_dir" },
        { "[corrald]\nstate_dir=run\n", "absolute" },
        { "[corrald]\nstate_dir=\n", "absolute" },
        { "[corrald]\nsocket_mode=0990\n", "socket_mode" },
        { "[corrald]\nsocket_mode=07777\n", "socket_mode" },
        { "[corrald]\nmax_clients=0\n", "max_clients" },
        { "[corrald]\nmax_clients=-1\n", "max_clients" },
        { "[corrald]\nmax_clients=many\n", "max_clients" },
        { "[qmp]\n../up=/a\n", "up" },
        { "[qmp]\na=socket\n", "absolute" },
        { "[qmp]\na=/0123456789012345678901234567890123456789012345678901234567890123456789012345"
          "67890123456789012345678901234567890123456789\n",
          "longer" },
        { "[corrald]\nstate_dir=/etc/corral\n", "definition_dir" },
        { "[corrald]\nstate_dir=/b/c/../\ndefinition_dir=/b//containers/\n", "definition_dir" },
        { "state_dir=/b\n", "corral.conf" },
        { "[corrald\n", "corral.conf" },
    };

    for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
        g_autoptr (CorralSettings) settings = NULL;
        g_autoptr (GError) error = NULL;

        write_text (f->file, cases[i].text);
        g_assert_false (corral_settings_load (f->file, &settings, &error));
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
        g_assert_nonnull (strstr (error->message, cases[i].names));
        g_assert_nonnull (strstr (error->message, f->file));
        g_assert_null (settings);
    }
}

/* The message names the file that is wrong, not the first one. */
static void
test_refused_drop_in (Fixture *f, gconstpointer unused)
{
    g_autoptr (CorralSettings) settings = NULL;
    g_autoptr (GError) error = NULL;

    write_text (f->file, "[corrald]\n");
    add_drop_in (f, "50-x.conf", "[corrald]\nwhat=1\n");
    g_assert_false (corral_settings_load (f->file, &settings, &error));
    g_assert_nonnull (strstr (error->message, "50-x.conf"));
}

static void
test_missing (Fixture *f, gconstpointer unused)
{
    g_autoptr (CorralSettings) settings = NULL;
    g_autoptr (GError) error = NULL;

    g_assert_false (corral_settings_load (f->file, &settings, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_IO);
    g_assert_nonnull (strstr (error->message, f->file));
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
#define ADD(path, function) g_test_add (path, Fixture, NULL, set_up, function, tear_down)
    ADD ("/settings/defaults", test_defaults);
    ADD ("/settings/all-keys", test_all_keys);
    ADD ("/settings/drop-ins", test_drop_ins);
    ADD ("/settings/refused", test_refused);
    ADD ("/settings/refused-drop-in", test_refused_drop_in);
    ADD ("/settings/missing", test_missing);
    g_test_add_func ("/settings/sample", test_sample);
    return g_test_run ();
}
