/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hooks/hook-fixture.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

CorralContainerCore *core;
char *folder, *top;
const char *hook;
CorralCpuset *host_cpus, *host_mems;

/* --- running the hook --- */

void
fixture_put_file (const char *name, const char *text, gssize length)
{
    g_autofree char *path = g_build_filename (folder, name, NULL);
    g_autofree char *parent = g_path_get_dirname (path);
    g_autoptr (GError) error = NULL;

    g_assert_cmpint (g_mkdir_with_parents (parent, 0700), ==, 0);
    g_file_set_contents (path, text, length, &error);
    g_assert_no_error (error);
}

void
fixture_remove_file (const char *name)
{
    g_autofree char *path = g_build_filename (folder, name, NULL);

    g_assert_cmpint (g_unlink (path), ==, 0);
}

GSubprocess *
fixture_spawn (const char *operation, const char *sub_operation, const char *input)
{
    g_autoptr (GSubprocessLauncher) launcher = NULL;
    g_autofree char *settings = g_build_filename (folder, "corral.conf", NULL);
    g_autofree char *in = g_build_filename (folder, input, NULL);
    g_autoptr (GError) error = NULL;
    GSubprocess *process;

    launcher =
        g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
    g_subprocess_launcher_set_stdin_file_path (launcher, in);
    process = g_subprocess_launcher_spawn (launcher, &error, hook, "--settings", settings, "web1",
                                           operation, sub_operation, "-", NULL);
    g_assert_no_error (error);
    return process;
}

/* Returns: what the hook wrote to stderr, without the line's end. Nothing may be on stdout: libvirt
 * would take it for another domain document. */
char *
fixture_finish (GSubprocess *process, int expected)
{
    g_autofree char *out = NULL;
    g_autoptr (GError) error = NULL;
    char *err = NULL;

    g_subprocess_communicate_utf8 (process, NULL, NULL, &out, &err, &error);
    g_assert_no_error (error);
    g_strchomp (err);
    if (*err != '\0')
        g_test_message ("%s", err);
    g_assert_true (g_subprocess_get_if_exited (process));
    g_assert_cmpint (g_subprocess_get_exit_status (process), ==, expected);
    g_assert_cmpstr (out, ==, "");
    g_assert_null (strchr (err, '\n'));
    return err;
}

void
fixture_put_vm (const char *partition)
{
    g_autofree char *resource = partition != NULL
                                    ? g_markup_printf_escaped ("<resource><partition>%s</partition>"
                                                               "</resource>",
                                                               partition)
                                    : g_strdup ("");
    g_autofree char *xml =
        g_strdup_printf ("<domain type='qemu'>\n<name>web1</name>\n%s</domain>", resource);

    fixture_put_file ("in", xml, -1);
}

/* A VM that names @partition starts. */
void
fixture_admit (const char *partition)
{
    g_autoptr (GSubprocess) process = NULL;
    g_autofree char *message = NULL;

    fixture_put_vm (partition);
    process = fixture_spawn ("prepare", "begin", "in");
    message = fixture_finish (process, 0);
    g_assert_cmpstr (message, ==, "");
}

char *
fixture_refuse (const char *partition)
{
    g_autoptr (GSubprocess) process = NULL;

    fixture_put_vm (partition);
    process = fixture_spawn ("prepare", "begin", "in");
    return fixture_finish (process, 1);
}

void
fixture_assert_holds (const char *text, const char *part)
{
    if (strstr (text, part) == NULL)
        g_error ("\"%s\" is not in: %s", part, text);
}

/* --- containers --- */

/* A definition NAME.xml in @where, of the container TOP/PATH. */
void
fixture_define (const char *where, const char *name, const char *path, const char *inner)
{
    g_autofree char *file = g_strdup_printf ("%s/%s.xml", where, name);
    g_autofree char *xml = g_strdup_printf ("<domain type='corral'>\n<name>%s</name>\n"
                                            "<resource><partition>%s%s</partition></resource>\n%s\n"
                                            "</domain>\n",
                                            name, top, path, inner);

    fixture_put_file (file, xml, -1);
}

void
fixture_destroy_tree (const char *path)
{
    g_auto (GStrv) children = NULL;

    if (corral_container_get_state (core, path) == CORRAL_CONTAINER_ABSENT)
        return;
    if (corral_container_list (core, path, &children, NULL))
        for (gsize i = 0; children[i] != NULL; i++)
            fixture_destroy_tree (children[i]);
    if (!corral_container_destroy (core, path, NULL))
        g_printerr ("# \"%s\" could not be removed\n", path);
}

static void
remove_tree (const char *path)
{
    g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
        g_autofree char *inner = g_build_filename (path, name, NULL);

        if (g_unlink (inner) != 0)
            remove_tree (inner);
    }
    g_rmdir (path);
}

/* Each test starts with no container and no file. */
void
fixture_set_up (void)
{
    g_autofree char *settings = NULL;

    fixture_destroy_tree (top);
    remove_tree (folder);
    settings =
        g_strdup_printf ("[corrald]\ndefinition_dir=%s/etc\nstate_dir=%s/run\n", folder, folder);
    fixture_put_file ("corral.conf", settings, -1);
}

CorralContainerState
fixture_state_of (const char *path)
{
    g_autofree char *full = g_strconcat (top, path, NULL);

    return corral_container_get_state (core, full);
}

void
fixture_assert_cpus (const char *path, const CorralCpuset *expected)
{
    g_autofree char *full = g_strconcat (top, path, NULL);
    g_autoptr (CorralCpuset) cpus = NULL, mems = NULL;
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_container_get_cpuset (core, full, &cpus, &mems, &error));
    g_assert_true (hwloc_bitmap_isequal (cpus, expected));
    g_assert_true (hwloc_bitmap_isequal (mems, host_mems));
}

guint64
fixture_weight_of (const char *path)
{
    g_autofree char *full = g_strconcat (top, path, NULL);
    g_autoptr (GError) error = NULL;
    guint64 weight = 0;

    g_assert_true (corral_container_get_weight (core, full, &weight, &error));
    return weight;
}

/* @index-th pCPU of the host alone */
CorralCpuset *
fixture_nth_cpu (int index)
{
    CorralCpuset *set = hwloc_bitmap_alloc ();
    int cpu = hwloc_bitmap_first (host_cpus);

    while (index-- > 0)
        cpu = hwloc_bitmap_next (host_cpus, cpu);
    g_assert_cmpint (cpu, >=, 0);
    hwloc_bitmap_only (set, (unsigned) cpu);
    return set;
}

char *
fixture_vcpu_element (const CorralCpuset *cpus)
{
    g_autofree char *list = corral_cpuset_format (cpus);

    return g_strdup_printf ("<vcpu cpuset='%s'>1</vcpu>", list);
}
int
fixture_run (int argc, char **argv, void (*add_tests) (void))
{
    g_autoptr (GError) error = NULL;
    pid_t child;
    int status;

    hook = g_getenv ("CORRAL_HOOK");
    if (hook == NULL) {
        g_print ("1..0 # SKIP CORRAL_HOOK does not say where the hook is\n");
        return 0;
    }
    core = geteuid () == 0 ? corral_container_core_open (-1, &error) : NULL;
    if (core == NULL || !corral_container_core_host_cpus (core, &host_cpus, &host_mems, &error)) {
        g_print ("1..0 # SKIP %s\n", error != NULL ? error->message : "needs root");
        return 0;
    }
    top = g_strdup_printf ("/corral-test-%d", (int) getpid ());
    folder = g_dir_make_tmp ("corral-hook-XXXXXX", NULL);

    child = fork ();
    if (child == 0) {
        g_test_init (&argc, &argv, NULL);
        add_tests ();
        exit (g_test_run ());
    }
    if (child < 0 || TEMP_FAILURE_RETRY (waitpid (child, &status, 0)) != child)
        status = 1;
    fixture_destroy_tree (top);
    remove_tree (folder);
    g_clear_pointer (&host_cpus, hwloc_bitmap_free);
    g_clear_pointer (&host_mems, hwloc_bitmap_free);
    g_object_unref (core);
    g_free (folder);
    g_free (top);
    return WIFEXITED (status) ? WEXITSTATUS (status) : 1;
}
