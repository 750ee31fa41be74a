/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* define, create, start, destroy, undefine, autostart, dump. */
#include "libvirt-driver/corral/corral-cli-container.h"
#include "libvirt-driver/corral/corral-cli-verbs.h"

#include "common/corral-error.h"
#include "libvirt-driver/client/corral-client-error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Longest document that corrald reads. */
#define DOCUMENT_MAX (1024 * 1024)

static FILE *
open_document (const char *file)
{
    return g_str_equal (file, "-") ? stdin : fopen (file, "re");
}

/* A name may be a pipe or a device, so the length is only known at the end. */
gboolean
corral_cli_read_document (const char *file, char **ret_text, GError **error)
{
    g_autofree char *text = g_malloc (DOCUMENT_MAX + 2);
    FILE *stream = open_document (file);
    int problem = stream == NULL ? errno : 0;
    gsize length = 0;

    if (stream != NULL) {
        length = fread (text, 1, DOCUMENT_MAX + 1, stream);
        problem = ferror (stream) ? errno : 0;
        if (stream != stdin)
            fclose (stream);
    }
    if (problem != 0) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO, "cannot read \"%s\": %s", file,
                     g_strerror (problem));
        return FALSE;
    }
    text[length] = '\0';
    if (length > DOCUMENT_MAX || strlen (text) != length) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_XML, "cannot read \"%s\": it is %s", file,
                     length > DOCUMENT_MAX ? "longer than 1 MiB" : "no text");
        return FALSE;
    }
    *ret_text = g_steal_pointer (&text);
    return TRUE;
}

gboolean
corral_cli_verb_define (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    const char *file = corral_cli_args_operand (args, 0);
    g_autoptr (virDomain) domain = NULL;
    g_autofree char *text = NULL;

    if (!corral_cli_read_document (file, &text, error) || !corral_cli_connect (cli, error))
        return FALSE;
    domain = virDomainDefineXML (cli->conn, text);
    if (domain == NULL) {
        corral_client_set_error (error, "cannot define a container from \"%s\"", file);
        return FALSE;
    }
    return corral_cli_say (error, "Container '%s' defined from %s\n", virDomainGetName (domain),
                           file);
}

gboolean
corral_cli_verb_create (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    const char *file = corral_cli_args_operand (args, 0);
    g_autoptr (virDomain) domain = NULL;
    g_autofree char *text = NULL;

    if (!corral_cli_read_document (file, &text, error) || !corral_cli_connect (cli, error))
        return FALSE;
    domain = virDomainCreateXML (cli->conn, text, 0);
    if (domain == NULL) {
        corral_client_set_error (error, "cannot create a container from \"%s\"", file);
        return FALSE;
    }
    return corral_cli_say (error, "Container '%s' created from %s\n", virDomainGetName (domain),
                           file);
}

/* Calls @call on the container that the first operand names. @done and @tried: "started",
 * "start" */
static gboolean
change_life (CorralCli *cli, const CorralCliArgs *args, int (*call) (virDomain *domain),
             const char *tried, const char *done, GError **error)
{
    g_autoptr (virDomain) domain =
        corral_cli_domain_lookup (cli, corral_cli_args_operand (args, 0), error);

    if (domain == NULL)
        return FALSE;
    if (call (domain) < 0) {
        corral_client_set_error (error, "cannot %s container \"%s\"", tried,
                                 virDomainGetName (domain));
        return FALSE;
    }
    return corral_cli_say (error, "Container '%s' %s\n", virDomainGetName (domain), done);
}

gboolean
corral_cli_verb_start (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    return change_life (cli, args, virDomainCreate, "start", "started", error);
}

gboolean
corral_cli_verb_destroy (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    return change_life (cli, args, virDomainDestroy, "destroy", "destroyed", error);
}

gboolean
corral_cli_verb_undefine (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    return change_life (cli, args, virDomainUndefine, "undefine", "undefined", error);
}

static int
enable_autostart (virDomain *domain)
{
    return virDomainSetAutostart (domain, 1);
}

static int
disable_autostart (virDomain *domain)
{
    return virDomainSetAutostart (domain, 0);
}

gboolean
corral_cli_verb_autostart (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    if (corral_cli_args_flag (args, "disable"))
        return change_life (cli, args, disable_autostart, "unmark for autostart",
                            "no longer starts by itself", error);
    return change_life (cli, args, enable_autostart, "mark for autostart", "starts by itself",
                        error);
}

gboolean
corral_cli_verb_dump (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    g_autoptr (virDomain) domain =
        corral_cli_domain_lookup (cli, corral_cli_args_operand (args, 0), error);
    gboolean printed;
    char *text;

    if (domain == NULL)
        return FALSE;
    text =
        virDomainGetXMLDesc (domain,
                             corral_cli_args_flag (args, "inactive") ? VIR_DOMAIN_XML_INACTIVE : 0);
    if (text == NULL) {
        corral_client_set_error (error, "cannot read the XML of container \"%s\"",
                                 virDomainGetName (domain));
        return FALSE;
    }
    printed = corral_cli_print (text, error);
    free (text);
    return printed;
}
