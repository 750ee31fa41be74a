/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* corral: containers for VMs on the command line. */
#include "libvirt-driver/client/corral-client-error.h"
#include "libvirt-driver/corral/corral-cli.h"

#include <libvirt/libvirt.h>
#include <locale.h>
#include <stdio.h>

static CorralCliExit
print_and_exit (const char *text)
{
    g_autoptr (GError) error = NULL;

    if (corral_cli_print (text, &error))
        return CORRAL_CLI_OK;
    corral_cli_print_error (error);
    return CORRAL_CLI_FAILED;
}

static CorralCliExit
run (char **argv)
{
    g_auto (GStrv) words = g_strdupv (argv[0] != NULL ? argv + 1 : argv);
    g_auto (CorralCliGlobal) global = { NULL };
    g_autoptr (GError) error = NULL;
    g_autofree char *text = NULL;
    CorralCli cli = { NULL };
    CorralCliExit result;

    if (!corral_cli_global_parse (&words, &global, &error)) {
        corral_cli_print_error (error);
        return CORRAL_CLI_USAGE;
    }
    if (global.generate != NULL)
        text = g_str_equal (global.generate, "man") ? corral_cli_help_man_page ()
                                                    : corral_cli_help_bash_completion ();
    else if (global.help)
        text = corral_cli_help_overview ();
    else if (global.version)
        text = g_strdup (CORRAL_VERSION "\n");
    if (text != NULL)
        return print_and_exit (text);

    corral_client_silence_errors ();
    cli.uri = g_steal_pointer (&global.uri);
    cli.readonly = global.readonly;
    result = words[0] != NULL ? corral_cli_run (&cli, words) : corral_cli_shell (&cli);
    corral_cli_disconnect (&cli);
    g_free (cli.uri);
    return result;
}

int
main (int argc, char **argv)
{
    setlocale (LC_ALL, "");
    if (virInitialize () < 0) {
        fprintf (stderr, "error: cannot start libvirt's client library\n");
        return CORRAL_CLI_FAILED;
    }
    return run (argv);
}
