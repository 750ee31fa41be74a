/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The temporary folder of a test, and how it goes again. */
#pragma once

#include <glib.h>

/* Removes @folder and all in it, follows no symbolic link, and fails the test if it stays. */
void test_folder_remove (const char *folder);
