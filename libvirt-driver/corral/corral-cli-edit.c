/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* edit: a definition in an editor, until corrald takes it. */
#include "libvirt-driver/corral/corral-cli-container.h"
#include "libvirt-driver/corral/corral-cli-verbs.h"

#include "common/corral-error.h"
#include "libvirt-driver/client/corral-client-error.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char *
read_definition (virDomain *domain, GError **error)
{
    char *text = virDomainGetXMLDesc (domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
    char *copy = g_strdup (text);

    if (text == NULL)
        corral_client_set_error (error, "cannot read the definition of container \"%s\"",
                                 virDomainGetName (domain));
    free (text);
    return copy;
}

/* The setting may hold arguments ("emacs -nw"), and needs no shell for that. */
static gboolean
run_editor (const char *path, GError **error)
{
    const char *editor = g_getenv ("VISUAL");
    g_auto (GStrv) words = NULL;
    g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
    g_auto (GStrv) argv = NULL;
    g_autoptr (GError) problem = NULL;
    int status;

    if (editor == NULL || *editor == '\0')
        editor = g_getenv ("EDITOR");
    if (editor == NULL || *editor == '\0')
        editor = "vi";
    if (g_shell_parse_argv (editor, NULL, &words, &problem)) {
        g_strv_builder_addv (builder, (const char **) words);
        g_strv_builder_add (builder, path);
        argv = g_strv_builder_end (builder);
        if (g_spawn_sync (NULL, argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_CHILD_INHERITS_STDIN,
                          NULL, NULL, NULL, NULL, &status, &problem) &&
            g_spawn_check_wait_status (status, &problem))
            return TRUE;
    }
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_FAILED, "cannot edit with \"%s\": %s", editor,
                 problem->message);
    return FALSE;
}

/* Without a terminal there is nobody to ask. */
static gboolean
wants_again (const GError *error)
{
    char answer[64];

    corral_cli_print_error (error);
    if (!isatty (STDIN_FILENO))
        return FALSE;
    for (;;) {
        fputs ("Edit it again? [y,n]: ", stdout);
        fflush (stdout);
        if (fgets (answer, sizeof answer, stdin) == NULL)
            return FALSE;
        if (g_ascii_tolower (answer[0]) == 'y' || g_ascii_tolower (answer[0]) == 'n')
            return g_ascii_tolower (answer[0]) == 'y';
    }
}

static gboolean
define_edited (CorralCli *cli, virDomain *domain, const char *before, const char *edited,
               GError **error)
{
    g_autofree char *now = read_definition (domain, error);
    g_autoptr (virDomain) defined = NULL;

    if (now == NULL)
        return FALSE;
    if (!g_str_equal (now, before)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE,
                     "cannot define container \"%s\": someone else has changed it meanwhile",
                     virDomainGetName (domain));
        return FALSE;
    }
    defined = virDomainDefineXMLFlags (cli->conn, edited, VIR_DOMAIN_DEFINE_VALIDATE);
    if (defined == NULL) {
        corral_client_set_error (error, "cannot define container \"%s\"",
                                 virDomainGetName (domain));
        return FALSE;
    }
    return TRUE;
}

static gboolean
edit_file (CorralCli *cli, virDomain *domain, const char *before, const char *path, GError **error)
{
    const char *name = virDomainGetName (domain);

    for (;;) {
        g_autofree char *edited = NULL;
        g_autoptr (GError) refusal = NULL;

        if (!run_editor (path, error) || !g_file_get_contents (path, &edited, NULL, error))
            return FALSE;
        if (g_str_equal (edited, before))
            return corral_cli_say (error, "Container '%s' not changed\n", name);
        if (define_edited (cli, domain, before, edited, &refusal))
            return corral_cli_say (error, "Container '%s' edited\n", name);
        if (!wants_again (refusal)) {
            g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_FAILED,
                         "container \"%s\" was not changed", name);
            return FALSE;
        }
    }
}

gboolean
corral_cli_verb_edit (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    g_autoptr (virDomain) domain =
        corral_cli_domain_lookup (cli, corral_cli_args_operand (args, 0), error);
    g_autofree char *before = NULL, *path = NULL;
    gboolean edited;
    int fd;

    if (domain == NULL)
        return FALSE;
    before = read_definition (domain, error);
    if (before == NULL)
        return FALSE;
    fd = g_file_open_tmp ("corral-XXXXXX.xml", &path, error);
    if (fd < 0)
        return FALSE;
    close (fd);
    edited = g_file_set_contents (path, before, -1, error) &&
             edit_file (cli, domain, before, path, error);
    g_unlink (path);
    return edited;
}
