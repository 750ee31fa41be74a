/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What both programs of the hook do: read stdin, take no longer than they may, and say why not. */
#include "libvirt-driver/hooks/corral-hook.h"

#include "common/corral-error.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* libvirtd waits for the hook, with the domain locked; no start may hang for ever. */
#define TIMEOUT_SECONDS 30

gboolean
corral_hook_read_all (int fd, const char *what, gsize max, char **ret_text, gsize *ret_length,
                      GError **error)
{
    g_autoptr (GByteArray) bytes = g_byte_array_new ();
    guint8 part[16 * 1024];
    ssize_t got;

    while ((got = TEMP_FAILURE_RETRY (read (fd, part, sizeof part))) > 0) {
        if (bytes->len + (gsize) got > max) {
            g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                         "cannot read %s: it is longer than %" G_GSIZE_FORMAT " bytes", what, max);
            return FALSE;
        }
        g_byte_array_append (bytes, part, (guint) got);
    }
    if (got < 0) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO, "cannot read %s: %s", what,
                     g_strerror (errno));
        return FALSE;
    }
    *ret_length = bytes->len;
    g_byte_array_append (bytes, (const guint8 *) "", 1);
    *ret_text = (char *) g_byte_array_free (g_steal_pointer (&bytes), FALSE);
    return TRUE;
}

static void
on_timeout (int signal)
{
    static const char message[] = "the libvirt hook of Corral gave up after 30 seconds\n";

    if (write (STDERR_FILENO, message, sizeof message - 1) < 0)
        _exit (1);
    _exit (1);
}

void
corral_hook_bound_time (void)
{
    signal (SIGALRM, on_timeout);
    alarm (TIMEOUT_SECONDS);
}

void
corral_hook_print_error (const GError *error)
{
    g_autofree char *line = g_strdelimit (g_strdup (error->message), "\r\n", ' ');

    g_printerr ("%s\n", line);
}
