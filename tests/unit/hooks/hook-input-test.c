/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the hook does with broken files, odd arguments and garbage. */
#include "tests/unit/hooks/hook-fixture.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

/* Nothing is made or asked for where libvirt decides alone, not even with broken files of ours. */
static void
test_left_to_libvirt (void)
{
    static const char *const partitions[] = { NULL,           "/machine",      "/", "relative",
                                              "/machine/a.b", "/machine/../x", "" };

    fixture_set_up ();
    fixture_put_file ("etc/broken.xml", "<domain", -1);
    fixture_put_file ("corral.conf", "[corrald]\nnonsense=1\n", -1);
    for (gsize i = 0; i < G_N_ELEMENTS (partitions); i++)
        fixture_admit (partitions[i]);
}

static void
test_broken_definition (void)
{
    g_autofree char *partition = g_strconcat (top, "/one", NULL);
    g_autofree char *other = g_strconcat (top, "/other", NULL);
    g_autofree char *in_line = NULL;
    g_autofree char *misnamed = NULL;
    g_autofree char *unreadable = NULL;
    g_autofree char *too_long = g_strnfill (CORRAL_XML_MAX + 1, ' ');
    g_autofree char *expected = g_strdup_printf ("\"%s/etc/one.xml\": ", folder);
    g_autoptr (GError) error = NULL;

    /* It is known which container it is: only that one is refused. */
    fixture_set_up ();
    g_assert_true (corral_container_create (core, top, NULL, NULL, &error));
    fixture_define ("etc", "one", "/one", "<cputune><shares>1</shares></cputune>");
    fixture_define ("etc", "other", "/other", "");
    in_line = fixture_refuse (partition);
    fixture_assert_holds (in_line, expected);
    fixture_assert_holds (in_line,
                          "line 4: <shares>: expected a whole number from 2 to 262144, not \"1\"");
    g_assert_cmpint (fixture_state_of ("/one"), ==, CORRAL_CONTAINER_ABSENT);
    fixture_admit (other);

    fixture_set_up ();
    g_assert_true (corral_container_create (core, top, NULL, NULL, &error));
    fixture_define ("etc", "one", "/one", "");
    fixture_put_file ("etc/two.xml", "<domain type='corral'>\n<name>two\n</domain>", -1);
    /* Defined elsewhere, so the broken file is no matter. */
    fixture_admit (partition);
    /* Defined nowhere, or in that file. */
    unreadable = fixture_refuse (other);
    fixture_assert_holds (unreadable, "/etc/two.xml\": ");
    fixture_assert_holds (unreadable,
                          "line 3: Opening and ending tag mismatch: name line 2 and domain");

    fixture_remove_file ("etc/two.xml");
    fixture_put_file ("etc/two.xml", too_long, CORRAL_XML_MAX + 1);
    g_clear_pointer (&unreadable, g_free);
    unreadable = fixture_refuse (other);
    fixture_assert_holds (unreadable, "/etc/two.xml\": it is longer than 1048576 bytes");

    fixture_remove_file ("etc/two.xml");
    fixture_define ("etc", "two", "/other", "");
    {
        g_autofree char *from = g_build_filename (folder, "etc/two.xml", NULL);
        g_autofree char *to = g_build_filename (folder, "etc/three.xml", NULL);

        g_assert_cmpint (g_rename (from, to), ==, 0);
    }
    misnamed = fixture_refuse (other);
    fixture_assert_holds (misnamed, "/etc/three.xml\"");
}

/* A pipe or a folder in place of a file does not hold up the hook; a state folder that cannot be
 * used refuses the start, with the reason. */
static void
test_odd_files (void)
{
    g_autofree char *partition = g_strconcat (top, "/one", NULL);
    g_autofree char *fifo = g_build_filename (folder, "etc/a.xml", NULL);
    g_autofree char *directory = g_build_filename (folder, "etc/b.xml", NULL);
    g_autofree char *message = NULL;
    g_autofree char *locked_out = NULL;
    g_autoptr (GError) error = NULL;

    fixture_set_up ();
    g_assert_true (corral_container_create (core, top, NULL, NULL, &error));
    fixture_define ("etc", "one", "/one", "");
    g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);
    g_assert_cmpint (g_mkdir (directory, 0700), ==, 0);
    fixture_admit (partition);

    fixture_set_up ();
    fixture_define ("etc", "other", "/other", "");
    g_assert_cmpint (g_mkdir (directory, 0700), ==, 0);
    message = fixture_refuse (partition);
    fixture_assert_holds (message, "etc/b.xml");

    fixture_set_up ();
    fixture_define ("etc", "one", "/one", "");
    fixture_put_file ("run", "a file where the folder should be", -1);
    locked_out = fixture_refuse (partition);
    fixture_assert_holds (locked_out, "run/hook.lock");
    g_assert_cmpint (fixture_state_of ("/one"), ==, CORRAL_CONTAINER_ABSENT);
}

static void
test_broken_settings (void)
{
    g_autofree char *partition = g_strconcat (top, "/one", NULL);
    g_autofree char *message = NULL, *again = NULL;
    g_autoptr (GError) error = NULL;

    fixture_set_up ();
    fixture_define ("etc", "one", "/one", "");
    fixture_put_file ("corral.conf", "[corrald]\nnonsense=1\n", -1);
    message = fixture_refuse (partition);
    fixture_assert_holds (message, "corral.conf");
    fixture_assert_holds (message, "nonsense");
    /* Of one that is there it is not known whether it is planned. */
    g_assert_true (corral_container_create (core, partition, NULL, NULL, &error));
    g_assert_no_error (error);
    again = fixture_refuse (partition);
    g_assert_cmpstr (again, ==, message);
}

static void
test_bad_input (void)
{
    static const struct {
        const char *text;
        const char *message;
    } inputs[] = {
        { "", "cannot read the domain's document: it is empty" },
        { "garbage \xff\x01",
          "cannot read the domain's document: line 1: expected UTF-8, not the byte 0xFF" },
        { "garbage", "cannot read the domain's document: line 1: Start tag expected, '<' not "
                     "found" },
        { "<domain>\n", "cannot read the domain's document: line 2: Premature end of data in tag "
                        "domain line 1" },
        { "<!DOCTYPE domain [<!ENTITY a 'b'>]><domain><name>&a;</name></domain>",
          "cannot read the domain's document: line 1: <!DOCTYPE>: expected a document without a "
          "document type" },
        { NULL, "cannot read the domain's document: it is longer than 4194304 bytes" },
    };
    g_autofree char *too_long = g_strnfill (CORRAL_VM_XML_MAX + 1, '<');

    fixture_set_up ();
    for (gsize i = 0; i < G_N_ELEMENTS (inputs); i++) {
        g_autoptr (GSubprocess) process = NULL;
        g_autofree char *message = NULL;

        fixture_put_file ("in", inputs[i].text != NULL ? inputs[i].text : too_long, -1);
        process = fixture_spawn ("prepare", "begin", "in");
        message = fixture_finish (process, 1);
        g_assert_cmpstr (message, ==, inputs[i].message);
    }
}

/* A failing "reconnect" kills a VM that runs. */
static void
test_other_operations_never_fail (void)
{
    static const char *const operations[][2] = {
        { "start", "begin" },
        { "started", "begin" },
        { "stopped", "end" },
        { "release", "end" },
        { "reconnect", "begin" },
        { "migrate", "begin" },
        { "restore", "begin" },
        { "attach", "begin" },
        { "prepare", "end" },
        { "something", "begin" },
        { "", "" },
    };
    static const char *const inputs[] = { "empty", "garbage", "long", "vm" };
    g_autofree char *too_long = g_strnfill (CORRAL_VM_XML_MAX * 2, 'x');
    g_autofree char *vm = NULL;

    fixture_set_up ();
    fixture_put_file ("corral.conf", "nonsense", -1);
    fixture_put_file ("etc/broken.xml", "<domain", -1);
    fixture_put_file ("empty", "", -1);
    fixture_put_file ("garbage", "\xff\x00<<<<", 6);
    fixture_put_file ("long", too_long, -1);
    vm = g_strdup_printf ("<domain><name>a</name><resource><partition>%s/one</partition></resource>"
                          "</domain>",
                          top);
    fixture_put_file ("vm", vm, -1);
    for (gsize i = 0; i < G_N_ELEMENTS (operations); i++)
        for (gsize j = 0; j < G_N_ELEMENTS (inputs); j++) {
            g_autoptr (GSubprocess) process =
                fixture_spawn (operations[i][0], operations[i][1], inputs[j]);
            g_autofree char *message = fixture_finish (process, 0);

            g_assert_cmpstr (message, ==, "");
        }
    g_assert_cmpint (fixture_state_of (""), ==, CORRAL_CONTAINER_ABSENT);
}

/* Without a wrapper, too; with these arguments the default settings are never looked at. */
static void
test_odd_arguments (void)
{
    static const char *const rows[][7] = {
        { NULL },
        { "web1", NULL },
        { "web1", "reconnect", "begin", "-", NULL },
        /* A VM of that name is not taken for the option. */
        { "--settings", "release", "end", "-", NULL },
        { "--settings", "reconnect", "begin", "-", NULL },
    };

    for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
        g_autoptr (GPtrArray) line = g_ptr_array_new ();
        g_autoptr (GSubprocess) process = NULL;
        g_autoptr (GError) error = NULL;
        g_autofree char *message = NULL;

        g_ptr_array_add (line, (char *) hook);
        for (gsize j = 0; rows[i][j] != NULL; j++)
            g_ptr_array_add (line, (char *) rows[i][j]);
        g_ptr_array_add (line, NULL);
        process =
            g_subprocess_newv ((const char *const *) line->pdata,
                               G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE,
                               &error);
        g_assert_no_error (error);
        message = fixture_finish (process, 0);
        g_assert_cmpstr (message, ==, "");
    }
}

static void
add_tests (void)
{
    g_test_add_func ("/hooks/left-to-libvirt", test_left_to_libvirt);
    g_test_add_func ("/hooks/broken-definition", test_broken_definition);
    g_test_add_func ("/hooks/odd-files", test_odd_files);
    g_test_add_func ("/hooks/broken-settings", test_broken_settings);
    g_test_add_func ("/hooks/bad-input", test_bad_input);
    g_test_add_func ("/hooks/other-operations-never-fail", test_other_operations_never_fail);
    g_test_add_func ("/hooks/odd-arguments", test_odd_arguments);
}

int
main (int argc, char **argv)
{
    return fixture_run (argc, argv, add_tests);
}
