/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /etc/libvirt/hooks/qemu.d/corral: NAME OPERATION SUB-OPERATION EXTRA, with the domain's document
 * on stdin, as https://libvirt.org/hooks.html has it. Only "prepare" and "release" do anything, and
 * only the former can fail: a failing "reconnect" would make libvirtd kill a VM that runs. What it
 * writes to stderr is the error that libvirt shows. */
#include "libvirt-driver/hooks/corral-hook.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

/* libvirtd waits for the hook, with the domain locked; no start may hang for ever. */
#define TIMEOUT_SECONDS 30

static void
on_timeout (int signal)
{
    static const char message[] = "the libvirt hook of Corral gave up after 30 seconds\n";

    if (write (STDERR_FILENO, message, sizeof message - 1) < 0)
        _exit (1);
    _exit (1);
}

static gboolean
prepare (const char *settings_file, GError **error)
{
    g_autofree char *xml = NULL;
    gsize length;

    return corral_hook_read_all (STDIN_FILENO, "the domain's document", CORRAL_VM_XML_MAX, &xml,
                                 &length, error) &&
           corral_hook_admit (settings_file, xml != NULL ? xml : "", length, error);
}

/* libvirt passes over what comes of it; it is bounded by the time that corrald is given. */
static void
release (const char *settings_file)
{
    g_autofree char *xml = NULL;
    gsize length;

    if (corral_hook_read_all (STDIN_FILENO, "the domain's document", CORRAL_VM_XML_MAX, &xml,
                              &length, NULL)) {
        g_autofree char *text = g_strndup (xml != NULL ? xml : "", length);

        corral_hook_release (settings_file, text);
    }
}

int
main (int argc, char **argv)
{
    g_autoptr (GError) error = NULL;
    g_autofree char *line = NULL;
    const char *settings_file = NULL;

    /* A wrapper's option. Without it there are four arguments, so no VM's name is taken for it. */
    if (argc == 7 && strcmp (argv[1], "--settings") == 0) {
        settings_file = argv[2];
        argv += 2;
        argc -= 2;
    }
    if (argc < 4)
        return 0;
    if (strcmp (argv[2], "release") == 0) {
        release (settings_file);
        return 0;
    }
    if (strcmp (argv[2], "prepare") != 0 || strcmp (argv[3], "begin") != 0)
        return 0;

    signal (SIGALRM, on_timeout);
    alarm (TIMEOUT_SECONDS);
    if (prepare (settings_file, &error))
        return 0;
    line = g_strdelimit (g_strdup (error->message), "\r\n", ' ');
    g_printerr ("%s\n", line);
    return 1;
}
