/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connecting, and running one command. */
#include "libvirt-driver/corral/corral-cli.h"

#include "common/corral-error.h"
#include "libvirt-driver/client/corral-client-error.h"

#include <errno.h>
#include <libvirt-glib/libvirt-glib.h>
#include <stdio.h>
#include <string.h>

/* --- printing --- */

gboolean
corral_cli_print (const char *text, GError **error)
{
    if (fputs (text, stdout) == EOF || fflush (stdout) != 0) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO, "cannot write to the output: %s",
                     g_strerror (errno));
        return FALSE;
    }
    return TRUE;
}

gboolean
corral_cli_say (GError **error, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start (args, format);
    text = g_strdup_vprintf (format, args);
    va_end (args);
    return corral_cli_print (text, error);
}

void
corral_cli_print_error (const GError *error)
{
    fprintf (stderr, "error: %s\n", error->message);
}

/* --- connection --- */

static const char *
uri_of (const CorralCli *cli)
{
    const char *from_environment = g_getenv (CORRAL_CLI_URI_VARIABLE);

    if (cli->uri != NULL)
        return cli->uri;
    if (from_environment != NULL && *from_environment != '\0')
        return from_environment;
    return cli->readonly ? CORRAL_CLI_URI_READONLY : CORRAL_CLI_URI;
}

/* libvirt wants its event loop before the first connection is opened. */
static void
register_event_loop (void)
{
    static gsize done = 0;

    if (g_once_init_enter (&done)) {
        gvir_event_register ();
        g_once_init_leave (&done, 1);
    }
}

/* Lets libvirt notice that the other side has gone, and finish what it left for later. */
static void
let_libvirt_work (void)
{
    while (g_main_context_iteration (NULL, FALSE))
        ;
}

gboolean
corral_cli_connect (CorralCli *cli, GError **error)
{
    const char *uri = uri_of (cli);

    if (cli->conn != NULL) {
        let_libvirt_work ();
        if (virConnectIsAlive (cli->conn) == 1)
            return TRUE;
        corral_cli_disconnect (cli);
    }
    register_event_loop ();
    cli->conn =
        virConnectOpenAuth (uri, virConnectAuthPtrDefault, cli->readonly ? VIR_CONNECT_RO : 0);
    if (cli->conn == NULL) {
        corral_client_set_error (error, "cannot connect to \"%s\"", uri);
        return FALSE;
    }
    return TRUE;
}

void
corral_cli_disconnect (CorralCli *cli)
{
    if (cli->conn == NULL)
        return;
    g_clear_pointer (&cli->conn, virConnectClose);
    let_libvirt_work ();
}

/* --- one command --- */

static gboolean
run_command (CorralCli *cli, char **words, GError **error)
{
    const CorralCliCommand *command = corral_cli_command_find (words[0], error);
    g_autoptr (CorralCliArgs) args = NULL;

    if (command == NULL)
        return FALSE;
    args = corral_cli_args_parse (command, words + 1, error);
    if (args == NULL)
        return FALSE;
    if (corral_cli_args_help (args)) {
        g_autofree char *help = corral_cli_help_command (command);

        return corral_cli_print (help, error);
    }
    return command->run (cli, args, error);
}

CorralCliExit
corral_cli_run (CorralCli *cli, char **words)
{
    g_autoptr (GError) error = NULL;

    cli->result = CORRAL_CLI_OK;
    if (run_command (cli, words, &error))
        return cli->result;
    corral_cli_print_error (error);
    return g_error_matches (error, CORRAL_ERROR, CORRAL_ERROR_INVALID) ? CORRAL_CLI_USAGE
                                                                       : CORRAL_CLI_FAILED;
}
