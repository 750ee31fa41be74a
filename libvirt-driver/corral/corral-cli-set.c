/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* set, title, desc. */
#include "libvirt-driver/corral/corral-cli-container.h"
#include "libvirt-driver/corral/corral-cli-cpus.h"
#include "libvirt-driver/corral/corral-cli-tune.h"
#include "libvirt-driver/corral/corral-cli-verbs.h"

#include "common/corral-cpuset.h"
#include "common/corral-error.h"
#include "libvirt-driver/client/corral-client-error.h"

#define PERIOD_DEFAULT_USEC 100000

/* --- weight and cap --- */

static gboolean
set_tune (virDomain *domain, const CorralCliArgs *args, GError **error)
{
    CorralCliTune tune = CORRAL_CLI_TUNE_INIT, now = CORRAL_CLI_TUNE_INIT;
    const char *quota = corral_cli_args_option (args, "quota");
    guint affect = corral_cli_args_affect (args);
    gint64 period;

    if (!corral_cli_args_number (args, "shares", 2, 262144, &tune.shares, error) ||
        !corral_cli_args_number (args, "period", 1000, 1000000, &tune.period_usec, error) ||
        !corral_cli_args_number (args, "burst", 0, G_MAXINT64, &tune.burst_usec, error))
        return FALSE;
    if (quota != NULL) {
        /* a percentage is of the period that will hold, which is the present one unless it
         * changes */
        if (tune.period_usec < 0 &&
            !corral_cli_tune_read (domain,
                                   affect & VIR_DOMAIN_AFFECT_LIVE ? VIR_DOMAIN_AFFECT_LIVE
                                                                   : affect,
                                   &now, error))
            return FALSE;
        period = tune.period_usec > 0  ? tune.period_usec
                 : now.period_usec > 0 ? now.period_usec
                                       : PERIOD_DEFAULT_USEC;
        if (!corral_cli_tune_parse_quota (quota, period, &tune.quota_usec, error))
            return FALSE;
        tune.has_quota = TRUE;
    }
    if (tune.shares < 0 && tune.period_usec < 0 && tune.burst_usec < 0 && !tune.has_quota)
        return TRUE;
    return corral_cli_tune_write (domain, affect, &tune, error);
}

/* --- pCPUs --- */

/* libvirt has no call for the pCPUs of a whole domain; corrald takes the emulator's pins for
 * that. */
static gboolean
set_cpus (CorralCli *cli, virDomain *domain, const CorralCliArgs *args, GError **error)
{
    const char *list = corral_cli_args_option (args, "cpus");
    g_autofree guint8 *map = NULL;
    int n_cpus;

    if (list == NULL)
        return TRUE;
    if (!corral_cli_cpus_count (cli, &n_cpus, error) ||
        !corral_cli_cpus_parse (list, n_cpus, &map, error))
        return FALSE;
    if (virDomainPinEmulator (domain, map, VIR_CPU_MAPLEN (n_cpus), corral_cli_args_affect (args)) <
        0) {
        corral_client_set_error (error, "cannot give container \"%s\" the pCPUs \"%s\"",
                                 virDomainGetName (domain), list);
        return FALSE;
    }
    return TRUE;
}

/* --- memory nodes --- */

static gboolean
check_definition_only (virDomain *domain, const CorralCliArgs *args, GError **error)
{
    guint affect = corral_cli_args_affect (args);
    gboolean live =
        affect == 0 ? virDomainIsActive (domain) == 1 : (affect & VIR_DOMAIN_AFFECT_LIVE) != 0;

    if (live)
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED,
                     "cannot take the memory nodes of active container \"%s\" away: libvirt has "
                     "no call for it; change its definition with --config, or give it a list",
                     virDomainGetName (domain));
    return !live;
}

/* None of its own, but its parent's: that only a definition can say. */
static gboolean
unset_mems (CorralCli *cli, virDomain *domain, const CorralCliArgs *args, GError **error)
{
    g_autofree char *changed = NULL;
    g_autoptr (virDomain) defined = NULL;
    char *text;

    if (!check_definition_only (domain, args, error))
        return FALSE;
    text = virDomainGetXMLDesc (domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
    if (text != NULL) {
        changed = corral_cli_xml_set_mems (text, "", error);
        free (text);
        if (changed == NULL)
            return FALSE;
        defined = virDomainDefineXML (cli->conn, changed);
    }
    if (defined == NULL) {
        corral_client_set_error (error, "cannot change the definition of container \"%s\"",
                                 virDomainGetName (domain));
        return FALSE;
    }
    return TRUE;
}

static gboolean
set_mems (CorralCli *cli, virDomain *domain, const CorralCliArgs *args, GError **error)
{
    const char *mems = corral_cli_args_option (args, "mems");
    virTypedParameterPtr params = NULL;
    int n = 0, room = 0, done;

    if (mems == NULL)
        return TRUE;
    if (*mems == '\0')
        return unset_mems (cli, domain, args, error);
    done = virTypedParamsAddString (&params, &n, &room, VIR_DOMAIN_NUMA_NODESET, mems);
    if (done == 0)
        done = virDomainSetNumaParameters (domain, params, n, corral_cli_args_affect (args));
    virTypedParamsFree (params, n);
    if (done < 0)
        corral_client_set_error (error, "cannot give container \"%s\" the memory nodes \"%s\"",
                                 virDomainGetName (domain), mems);
    return done == 0;
}

/* What makes no sense is refused before anything is changed. */
static gboolean
check_values (const CorralCliArgs *args, GError **error)
{
    static const char *const options[] = { "shares", "quota", "period", "burst", "cpus", "mems" };
    const char *quota = corral_cli_args_option (args, "quota");
    const char *mems = corral_cli_args_option (args, "mems");
    g_autoptr (CorralCpuset) set = NULL;
    gboolean any = FALSE;
    gint64 ignored;

    for (guint i = 0; i < G_N_ELEMENTS (options); i++)
        any = any || corral_cli_args_option (args, options[i]) != NULL;
    if (!any) {
        g_set_error_literal (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                             "there is nothing to set; see \"corral help set\"");
        return FALSE;
    }
    return corral_cli_args_number (args, "shares", 2, 262144, &ignored, error) &&
           corral_cli_args_number (args, "period", 1000, 1000000, &ignored, error) &&
           corral_cli_args_number (args, "burst", 0, G_MAXINT64, &ignored, error) &&
           (mems == NULL || corral_cpuset_parse (mems, &set, error)) &&
           (quota == NULL ||
            corral_cli_tune_parse_quota (quota, PERIOD_DEFAULT_USEC, &ignored, error));
}

gboolean
corral_cli_verb_set (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    g_autoptr (virDomain) domain = NULL;

    if (!check_values (args, error))
        return FALSE;
    domain = corral_cli_domain_lookup (cli, corral_cli_args_operand (args, 0), error);
    if (domain == NULL || !set_mems (cli, domain, args, error) ||
        !set_cpus (cli, domain, args, error) || !set_tune (domain, args, error))
        return FALSE;
    return corral_cli_say (error, "Container '%s' changed\n", virDomainGetName (domain));
}

/* --- texts --- */

static gboolean
print_text (virDomain *domain, int type, guint affect, GError **error)
{
    char *value = virDomainGetMetadata (domain, type, NULL, affect);
    gboolean printed;

    if (value == NULL && virGetLastErrorCode () != VIR_ERR_NO_DOMAIN_METADATA) {
        corral_client_set_error (error, "cannot read the text of container \"%s\"",
                                 virDomainGetName (domain));
        return FALSE;
    }
    printed = value == NULL || corral_cli_say (error, "%s\n", value);
    free (value);
    return printed;
}

static gboolean
show_or_set_text (CorralCli *cli, const CorralCliArgs *args, int type, const char *what,
                  GError **error)
{
    g_autoptr (virDomain) domain =
        corral_cli_domain_lookup (cli, corral_cli_args_operand (args, 0), error);
    const char *value = corral_cli_args_operand (args, 1);
    guint affect = corral_cli_args_affect (args);

    if (domain == NULL)
        return FALSE;
    if (value == NULL)
        return print_text (domain, type, affect, error);
    if (virDomainSetMetadata (domain, type, *value != '\0' ? value : NULL, NULL, NULL, affect) <
        0) {
        corral_client_set_error (error, "cannot change the %s of container \"%s\"", what,
                                 virDomainGetName (domain));
        return FALSE;
    }
    return corral_cli_say (error, "Container '%s' has %s %s\n", virDomainGetName (domain),
                           *value != '\0' ? "a new" : "no", what);
}

gboolean
corral_cli_verb_title (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    return show_or_set_text (cli, args, VIR_DOMAIN_METADATA_TITLE, "title", error);
}

gboolean
corral_cli_verb_desc (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    return show_or_set_text (cli, args, VIR_DOMAIN_METADATA_DESCRIPTION, "description", error);
}
