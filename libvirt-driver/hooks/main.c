/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /etc/libvirt/hooks/qemu.d/corral: NAME OPERATION SUB-OPERATION EXTRA, with the domain's document
 * on stdin, as https://libvirt.org/hooks.html has it. Only "prepare" and "release" do anything, and
 * only the former can fail: a failing "reconnect" would make libvirtd kill a VM that runs. What it
 * writes to stderr is the error that libvirt shows.
 *
 * Each start of a VM pays for loading this program, so it only asks corrald, which has all that is
 * needed at hand, and uses no library but GLib. What corrald does not do is left to
 * corral-hook-make, beside this program. */
#include "libvirt-driver/hooks/corral-hook.h"

#include "common/corral-error.h"
#include "vmm-agent/agent/corral-settings.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAKE "corral-hook-make"

typedef struct {
    char *text;
    gsize length;
} Document;

static gboolean
read_document (Document *document, GError **error)
{
    return corral_hook_read_all (STDIN_FILENO, "the domain's document", CORRAL_VM_XML_MAX,
                                 &document->text, &document->length, error);
}

/* @answer: what corrald says of the document, %CORRAL_HOOK_ADMITTED where it cannot be asked: the
 * settings, or the document, are refused by those who need them. */
static CorralHookAnswer
ask (const char *settings_file, const Document *document, gboolean release, GError **error)
{
    g_autoptr (CorralSettings) settings = NULL;

    if (strlen (document->text) < document->length ||
        !corral_settings_load (settings_file, &settings, NULL))
        return CORRAL_HOOK_ADMITTED;
    return corral_hook_ask (settings->socket_dir, document->text, release, error);
}

/* The document becomes stdin once more. */
static gboolean
rewind_document (const Document *document)
{
    int fd = memfd_create ("document", MFD_CLOEXEC);
    gsize written = 0;

    while (fd >= 0 && written < document->length) {
        ssize_t part =
            TEMP_FAILURE_RETRY (write (fd, document->text + written, document->length - written));

        if (part < 0)
            return FALSE;
        written += (gsize) part;
    }
    return fd >= 0 && lseek (fd, 0, SEEK_SET) == 0 && dup2 (fd, STDIN_FILENO) == STDIN_FILENO;
}

/* Does not return, unless the program cannot be run.
 * @unanswered: (nullable): why corrald gave no answer */
static void
run_make (const char *settings_file, const char *unanswered, const Document *document,
          GError **error)
{
    g_autofree char *self = g_file_read_link ("/proc/self/exe", error);
    g_autofree char *folder = NULL, *program = NULL;
    const char *argv[6];
    guint n = 0;

    if (self == NULL)
        return;
    folder = g_path_get_dirname (self);
    program = g_build_filename (folder, MAKE, NULL);
    argv[n++] = program;
    if (settings_file != NULL) {
        argv[n++] = "--settings";
        argv[n++] = settings_file;
    }
    if (unanswered != NULL) {
        argv[n++] = "--unanswered";
        argv[n++] = unanswered;
    }
    argv[n] = NULL;
    if (rewind_document (document))
        execv (program, (char **) argv);
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO, "cannot run \"%s\": %s", program,
                 g_strerror (errno));
}

static gboolean
prepare (const char *settings_file, GError **error)
{
    g_autoptr (GError) reason = NULL;
    Document document;

    if (!read_document (&document, error))
        return FALSE;
    switch (ask (settings_file, &document, FALSE, &reason)) {
    case CORRAL_HOOK_READY:
        g_free (document.text);
        return TRUE;
    case CORRAL_HOOK_REFUSED:
        g_propagate_error (error, g_steal_pointer (&reason));
        break;
    case CORRAL_HOOK_ADMITTED:
        run_make (settings_file, NULL, &document, error);
        break;
    case CORRAL_HOOK_NO_ANSWER:
        run_make (settings_file, reason->message, &document, error);
        break;
    }
    g_free (document.text);
    return FALSE;
}

/* libvirt passes over what comes of it; it is bounded by the time that corrald is given. */
static void
release (const char *settings_file)
{
    Document document;

    if (!read_document (&document, NULL))
        return;
    (void) ask (settings_file, &document, TRUE, NULL);
    g_free (document.text);
}

int
main (int argc, char **argv)
{
    g_autoptr (GError) error = NULL;
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

    corral_hook_bound_time ();
    if (prepare (settings_file, &error))
        return 0;
    corral_hook_print_error (error);
    return 1;
}
