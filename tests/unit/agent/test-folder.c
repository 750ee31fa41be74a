/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/agent/test-folder.h"

#include <glib/gstdio.h>

static void
remove_files (const char *folder)
{
    g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
        g_autofree char *path = g_build_filename (folder, name, NULL);

        if (!g_file_test (path, G_FILE_TEST_IS_SYMLINK))
            remove_files (path);
        g_remove (path);
    }
}

void
test_folder_remove (const char *folder)
{
    remove_files (folder);
    g_assert_cmpint (g_rmdir (folder), ==, 0);
}
