/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* corral-hook-make [--settings FILE] [--unanswered REASON] <DOCUMENT: the part of the hook that
 * does without corrald. corral-hook runs it, for what corrald did not make. */
#include "libvirt-driver/hooks/corral-hook.h"

#include <string.h>
#include <unistd.h>

int
main (int argc, char **argv)
{
    const char *settings_file = NULL, *unanswered = NULL;
    g_autofree char *xml = NULL;
    g_autoptr (GError) error = NULL;
    gsize length;

    for (; argc > 2; argc -= 2, argv += 2) {
        if (strcmp (argv[1], "--settings") == 0)
            settings_file = argv[2];
        else if (strcmp (argv[1], "--unanswered") == 0)
            unanswered = argv[2];
        else
            break;
    }
    if (argc != 1) {
        g_printerr ("corral-hook-make: unknown argument \"%s\"\n", argv[1]);
        return 2;
    }
    corral_hook_bound_time ();
    if (corral_hook_read_all (STDIN_FILENO, "the domain's document", CORRAL_VM_XML_MAX, &xml,
                              &length, &error) &&
        corral_hook_admit (settings_file, unanswered, xml, length, &error))
        return 0;
    corral_hook_print_error (error);
    return 1;
}
