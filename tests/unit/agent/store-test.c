/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/corral-error.h"
#include "vmm-agent/agent/corral-store.h"

#include <glib/gstdio.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    char *base;
    char *folder;
    CorralStore *store;
} Fixture;

static void
set_up (Fixture *f, gconstpointer unused)
{
    f->base = g_dir_make_tmp ("corral-store-XXXXXX", NULL);
    f->folder = g_build_filename (f->base, "containers", NULL);
    f->store = corral_store_new (f->folder);
}

static void
remove_all (const char *folder)
{
    g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
        g_autofree char *path = g_build_filename (folder, name, NULL);

        if (!g_file_test (path, G_FILE_TEST_IS_SYMLINK))
            remove_all (path);
        g_remove (path);
    }
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
    corral_store_free (f->store);
    remove_all (f->base);
    g_assert_cmpint (g_rmdir (f->base), ==, 0);
    g_free (f->base);
    g_free (f->folder);
}

static CorralDefinition *
make (const char *name, const char *title)
{
    g_autofree char *xml = g_strdup_printf (
        "<domain type='corral'><name>%s</name><uuid>0b2ea5a5-8a2b-4f4f-9a0c-3f1c5b1d7e01</uuid>"
        "<title>%s</title><resource><partition>/machine/t</partition></resource></domain>",
        name, title);
    g_autoptr (GError) error = NULL;
    CorralDefinition *definition;

    g_assert_true (corral_definition_parse (xml, strlen (xml), &definition, &error));
    g_assert_no_error (error);
    return definition;
}

static void
save (Fixture *f, const char *name, const char *title)
{
    g_autoptr (CorralDefinition) definition = make (name, title);
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_store_save (f->store, definition, &error));
    g_assert_no_error (error);
}

static void
assert_title (Fixture *f, const char *name, const char *title)
{
    g_autoptr (CorralDefinition) definition = NULL;
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_store_load (f->store, name, &definition, &error));
    g_assert_no_error (error);
    g_assert_cmpstr (definition->title, ==, title);
}

static void
write_file (Fixture *f, const char *file, const char *text, gssize length)
{
    g_autofree char *path = g_build_filename (f->folder, file, NULL);
    g_autoptr (GError) error = NULL;

    g_assert_cmpint (g_mkdir_with_parents (f->folder, 0755), ==, 0);
    g_file_set_contents (path, text, length, &error);
    g_assert_no_error (error);
}

static void
assert_lists (Fixture *f, guint good, guint bad)
{
    g_autoptr (GPtrArray) definitions = NULL, broken = NULL;
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_store_list (f->store, &definitions, &broken, &error));
    g_assert_no_error (error);
    g_assert_cmpuint (definitions->len, ==, good);
    g_assert_cmpuint (broken->len, ==, bad);
}

static guint
count_files (Fixture *f)
{
    g_autoptr (GDir) dir = g_dir_open (f->folder, 0, NULL);
    guint count = 0;

    while (g_dir_read_name (dir) != NULL)
        count++;
    return count;
}

static void
test_life (Fixture *f, gconstpointer unused)
{
    g_autoptr (GPtrArray) definitions = NULL, broken = NULL;
    g_autoptr (GError) error = NULL;
    g_autoptr (CorralDefinition) gone = NULL;
    g_autofree char *path = g_build_filename (f->folder, "web.xml", NULL);
    struct stat st;

    assert_lists (f, 0, 0);
    save (f, "web", "one");
    save (f, "db", "two");
    save (f, "web", "three");
    assert_title (f, "web", "three");
    g_assert_cmpint (g_stat (path, &st), ==, 0);
    g_assert_cmpuint (st.st_mode & 0777, ==, 0600);
    g_assert_true (corral_store_list (f->store, &definitions, &broken, &error));
    g_assert_cmpuint (definitions->len, ==, 2);
    g_assert_cmpstr (((CorralDefinition *) definitions->pdata[0])->name, ==, "db");
    g_assert_cmpstr (((CorralDefinition *) definitions->pdata[1])->name, ==, "web");
    g_assert_true (corral_store_remove (f->store, "web", &error));
    g_assert_true (corral_store_remove (f->store, "web", &error));
    g_assert_false (corral_store_load (f->store, "web", &gone, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND);
    assert_lists (f, 1, 0);
    /* Whatever replaced a file left nothing beside it. */
    g_assert_cmpuint (count_files (f), ==, 1);
}

static void
test_names (Fixture *f, gconstpointer unused)
{
    g_autofree char *long_name = g_strnfill (CORRAL_NAME_MAX + 1, 'a');
    g_autofree char *longest = g_strnfill (CORRAL_NAME_MAX, 'a');
    const char *bad[] = { "", ".", "..", ".hidden", "../up", "a/b", "a\nb", "\xff", long_name };
    const char *good[] = { "a", "autostart", "a b", "a.b", "p\xc3\xa9", "-x", longest };

    for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
        g_autoptr (GError) error = NULL;
        g_autoptr (CorralDefinition) definition = make ("x", "y");
        g_autoptr (CorralDefinition) loaded = NULL;

        g_free (definition->name);
        definition->name = g_strdup (bad[i]);
        g_assert_false (corral_store_save (f->store, definition, &error));
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
        g_clear_error (&error);
        g_assert_false (corral_store_load (f->store, bad[i], &loaded, &error));
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
        g_clear_error (&error);
        g_assert_false (corral_store_remove (f->store, bad[i], &error));
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
        g_clear_error (&error);
        g_assert_false (corral_store_set_autostart (f->store, bad[i], TRUE, &error));
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
        g_assert_false (corral_store_get_autostart (f->store, bad[i]));
    }
    g_assert_false (g_file_test (f->folder, G_FILE_TEST_EXISTS));
    for (gsize i = 0; i < G_N_ELEMENTS (good); i++) {
        save (f, good[i], "t");
        assert_title (f, good[i], "t");
    }
    assert_lists (f, G_N_ELEMENTS (good), 0);
}

static void
test_autostart (Fixture *f, gconstpointer unused)
{
    g_autofree char *link = g_build_filename (f->folder, "autostart", "web.xml", NULL);
    g_autofree char *file = g_build_filename (f->folder, "web.xml", NULL);
    g_autofree char *text = NULL;
    g_autoptr (GError) error = NULL;

    save (f, "web", "one");
    g_assert_false (corral_store_get_autostart (f->store, "web"));
    g_assert_true (corral_store_set_autostart (f->store, "web", FALSE, &error));
    g_assert_true (corral_store_set_autostart (f->store, "web", TRUE, &error));
    g_assert_true (corral_store_set_autostart (f->store, "web", TRUE, &error));
    g_assert_no_error (error);
    g_assert_true (corral_store_get_autostart (f->store, "web"));
    g_assert_true (g_file_get_contents (link, &text, NULL, NULL)); /* it leads to the file */
    save (f, "web", "two");
    g_assert_true (corral_store_get_autostart (f->store, "web"));
    assert_lists (f, 1, 0);
    /* The file was removed by hand: a new definition of that name does not start at boot. */
    g_assert_cmpint (g_unlink (file), ==, 0);
    save (f, "web", "three");
    g_assert_false (corral_store_get_autostart (f->store, "web"));
    g_assert_true (corral_store_set_autostart (f->store, "web", TRUE, &error));
    g_assert_true (corral_store_remove (f->store, "web", &error));
    g_assert_false (g_file_test (link, G_FILE_TEST_IS_SYMLINK));
}

static void
test_broken (Fixture *f, gconstpointer unused)
{
    g_autoptr (CorralDefinition) definition = make ("bad", "new");
    g_autoptr (GPtrArray) definitions = NULL, broken = NULL;
    g_autofree char *huge = g_strnfill (CORRAL_XML_MAX + 1, ' ');
    g_autofree char *path = g_build_filename (f->folder, "bad.xml", NULL);
    g_autofree char *fifo = g_build_filename (f->folder, "fifo.xml", NULL);
    g_autofree char *text = NULL;
    g_autoptr (GError) error = NULL;

    save (f, "good", "one");
    write_file (f, "bad.xml", "<domain type='corral'><name>bad</name", -1);
    write_file (f, "other.xml", "<domain type='corral'><name>another</name></domain>", -1);
    write_file (f, "empty.xml", "", 0);
    write_file (f, "huge.xml", huge, -1);
    write_file (f, "notes.txt", "not ours", -1);
    write_file (f, "good.xml.XyZ123", "left by a kill", -1);
    g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);
    g_assert_true (corral_store_list (f->store, &definitions, &broken, &error));
    g_assert_cmpuint (definitions->len, ==, 1);
    g_assert_cmpuint (broken->len, ==, 5);
    for (guint i = 0; i < broken->len; i++)
        g_assert_nonnull (strstr (((GError *) broken->pdata[i])->message, f->folder));
    g_assert_false (corral_store_save (f->store, definition, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE);
    g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
    g_assert_cmpstr (text, ==, "<domain type='corral'><name>bad</name");
    g_clear_error (&error);
    g_assert_true (corral_store_set_aside (f->store, "bad", &error));
    g_assert_true (corral_store_save (f->store, definition, &error));
    g_assert_no_error (error);
    assert_lists (f, 2, 4);
}

/* A small file system of our own, in a mount namespace of our own. */
static gboolean
mount_tmpfs (Fixture *f)
{
    if (unshare (CLONE_NEWNS) != 0 || mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        g_test_skip ("needs root and mount namespaces");
        return FALSE;
    }
    g_assert_cmpint (g_mkdir_with_parents (f->folder, 0755), ==, 0);
    g_assert_cmpint (mount ("corral-test", f->folder, "tmpfs", 0, "size=32k"), ==, 0);
    return TRUE;
}

static void
test_full_disk (Fixture *f, gconstpointer unused)
{
    g_autoptr (CorralDefinition) next = NULL, other = make ("db", "two");
    g_autofree char *fill = g_strnfill (64 * 1024, 'x');
    g_autofree char *path = g_build_filename (f->folder, "fill", NULL);
    g_autoptr (GError) error = NULL;
    FILE *file;
    guint files;

    if (!mount_tmpfs (f))
        return;
    save (f, "web", "one");
    file = g_fopen (path, "w");
    setvbuf (file, NULL, _IONBF, 0);
    g_assert_cmpuint (fwrite (fill, 1, strlen (fill), file), <, strlen (fill));
    fclose (file);
    files = count_files (f);
    next = make ("web", "two");
    g_assert_false (corral_store_save (f->store, next, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_IO);
    g_assert_nonnull (strstr (error->message, "No space left"));
    g_assert_nonnull (strstr (error->message, "\"web\""));
    g_clear_error (&error);
    g_assert_false (corral_store_save (f->store, other, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_IO);
    assert_title (f, "web", "one");
    g_assert_cmpuint (count_files (f), ==, files);
    g_clear_error (&error);
    g_assert_cmpint (g_unlink (path), ==, 0);
    g_assert_true (corral_store_save (f->store, next, &error));
    assert_title (f, "web", "two");
    g_assert_cmpint (umount2 (f->folder, MNT_DETACH), ==, 0);
}

static void
test_read_only (Fixture *f, gconstpointer unused)
{
    g_autoptr (CorralDefinition) next = make ("web", "two");
    g_autoptr (GError) error = NULL;

    if (!mount_tmpfs (f))
        return;
    save (f, "web", "one");
    g_assert_true (corral_store_set_autostart (f->store, "web", TRUE, &error));
    g_assert_cmpint (mount (NULL, f->folder, NULL, MS_REMOUNT | MS_RDONLY, NULL), ==, 0);
    g_assert_false (corral_store_save (f->store, next, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_IO);
    g_assert_nonnull (strstr (error->message, "Read-only"));
    g_clear_error (&error);
    g_assert_false (corral_store_remove (f->store, "web", &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_IO);
    g_clear_error (&error);
    g_assert_false (corral_store_set_autostart (f->store, "web", FALSE, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_IO);
    assert_title (f, "web", "one");
    g_assert_true (corral_store_get_autostart (f->store, "web"));
    g_assert_cmpint (umount2 (f->folder, MNT_DETACH), ==, 0);
}

/* What could not be read again is not written over what can. */
static void
test_too_long (Fixture *f, gconstpointer unused)
{
    g_autoptr (CorralDefinition) next = make ("web", "two");
    g_autofree char *name = g_strnfill (CORRAL_NAME_MAX, 'x');
    g_autoptr (GError) error = NULL;

    save (f, "web", "one");
    for (guint i = 0; i < CORRAL_XML_MAX / CORRAL_NAME_MAX; i++) {
        CorralMemberDef member = { CORRAL_MEMBER_VCPU, name, (int) i };

        g_ptr_array_add (next->members, corral_member_def_copy (&member));
    }
    g_assert_false (corral_store_save (f->store, next, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    assert_title (f, "web", "one");
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
#define ADD(path, function) g_test_add (path, Fixture, NULL, set_up, function, tear_down)
    ADD ("/store/life", test_life);
    ADD ("/store/names", test_names);
    ADD ("/store/autostart", test_autostart);
    ADD ("/store/broken", test_broken);
    ADD ("/store/too-long", test_too_long);
    ADD ("/store/full-disk", test_full_disk);
    ADD ("/store/read-only", test_read_only);
    return g_test_run ();
}
