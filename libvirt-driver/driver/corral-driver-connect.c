/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/driver/corral-driver-private.h"

#include "vmm-agent/agent/corral-agent-plan.h"

static gboolean
connect_open (CorralDriver *driver, CorralRpcClient *client, gconstpointer args, gpointer ret,
              GError **error)
{
    const CorralWireOptTextFlags *open_args = args;
    const char *name = corral_rpc_opt_string (open_args->text);

    if (!corral_driver_check_flags (open_args->flags, VIR_CONNECT_RO | VIR_CONNECT_NO_ALIASES,
                                    "virConnectOpen", error))
        return FALSE;
    /* Without a name a client leaves the choice to us, and there is one. */
    if (name == NULL || *name == '\0' || strcmp (name, CORRAL_DRIVER_URI) == 0)
        return TRUE;
    if (g_str_has_prefix (name, "corral:"))
        corral_driver_error (error, VIR_ERR_INTERNAL_ERROR,
                             "unexpected Corral URI '%s', try " CORRAL_DRIVER_URI, name);
    else
        corral_driver_error (error, VIR_ERR_NO_CONNECT, "no connection driver available for %s",
                             name);
    return FALSE;
}

static gboolean
connect_get_type (CorralDriver *driver, CorralRpcClient *client, gconstpointer args, gpointer ret,
                  GError **error)
{
    ((CorralWireText *) ret)->text = g_strdup (CORRAL_DRIVER_TYPE);
    return TRUE;
}

static gboolean
connect_get_uri (CorralDriver *driver, CorralRpcClient *client, gconstpointer args, gpointer ret,
                 GError **error)
{
    ((CorralWireText *) ret)->text = g_strdup (CORRAL_DRIVER_URI);
    return TRUE;
}

static gboolean
connect_get_hostname (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                      gpointer ret, GError **error)
{
    ((CorralWireText *) ret)->text = g_strdup (g_get_host_name ());
    return TRUE;
}

/* "1.2.3" as libvirt counts versions: 1002003 */
static guint64
version_number (const char *text)
{
    guint64 number = 0;
    char *end = NULL;

    for (int i = 0; i < 3; i++) {
        number = number * 1000 + g_ascii_strtoull (text, &end, 10);
        text = *end == '.' ? end + 1 : end;
    }
    return number;
}

static gboolean
connect_get_version (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                     gpointer ret, GError **error)
{
    ((CorralWireHyper *) ret)->value = version_number (CORRAL_VERSION);
    return TRUE;
}

/* Which libvirt's remote protocol this is, as far as we know it. */
static gboolean
connect_get_lib_version (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                         gpointer ret, GError **error)
{
    ((CorralWireHyper *) ret)->value = LIBVIR_VERSION_NUMBER;
    return TRUE;
}

/* A unix socket does not leave the host. */
static gboolean
connect_is_secure (CorralDriver *driver, CorralRpcClient *client, gconstpointer args, gpointer ret,
                   GError **error)
{
    ((CorralWireInt *) ret)->value = 1;
    return TRUE;
}

static gboolean
connect_get_capabilities (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                          gpointer ret, GError **error)
{
    ((CorralWireText *) ret)->text = corral_driver_host_capabilities (driver->host);
    return TRUE;
}

static gboolean
connect_get_sysinfo (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                     gpointer ret, GError **error)
{
    const CorralWireUint *flags = args;
    CorralWireText *sysinfo = ret;

    if (!corral_driver_check_flags (flags->value, 0, "virConnectGetSysinfo", error))
        return FALSE;
    sysinfo->text = corral_driver_host_sysinfo (driver->host, error);
    return sysinfo->text != NULL;
}

static gboolean
check_domain_type (const char *type, GError **error)
{
    if (type == NULL || strcmp (type, "corral") == 0)
        return TRUE;
    corral_driver_error (error, VIR_ERR_INVALID_ARG, "unknown type '%s': only 'corral' is served",
                         type);
    return FALSE;
}

/* vCPUs that can run at the same time: the pCPUs that a container at the top can have. */
static gboolean
read_max_vcpus (CorralDriver *driver, guint *ret_max, GError **error)
{
    g_autoptr (CorralCpuset) cpus = NULL;
    g_autoptr (CorralCpuset) mems = NULL;

    if (!corral_container_core_host_cpus (corral_agent_core (driver->agent), &cpus, &mems, error))
        return FALSE;
    *ret_max = (guint) MAX (hwloc_bitmap_weight (cpus), 0);
    return TRUE;
}

static gboolean
connect_get_max_vcpus (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                       gpointer ret, GError **error)
{
    const CorralWireOptText *type = args;
    guint max;

    if (!check_domain_type (corral_rpc_opt_string (type->text), error) ||
        !read_max_vcpus (driver, &max, error))
        return FALSE;
    ((CorralWireInt *) ret)->value = (int) max;
    return TRUE;
}

static gboolean
connect_get_domain_capabilities (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                                 gpointer ret, GError **error)
{
    const CorralWireDomainCapabilitiesArgs *which = args;
    const char *arch = corral_rpc_opt_string (which->arch);
    const CorralCapacity *capacity;
    g_autofree char *capacity_xml = NULL;
    g_autoptr (GError) reason = NULL;
    guint64 generation;
    guint max;

    if (!corral_driver_check_flags (which->flags, 0, "virConnectGetDomainCapabilities", error) ||
        !check_domain_type (corral_rpc_opt_string (which->virttype), error))
        return FALSE;
    if (arch != NULL && strcmp (arch, corral_driver_host_arch (driver->host)) != 0) {
        corral_driver_error (error, VIR_ERR_INVALID_ARG,
                             "unknown architecture '%s': containers hold what runs on this host, "
                             "'%s'",
                             arch, corral_driver_host_arch (driver->host));
        return FALSE;
    }
    if (which->emulatorbin != NULL || which->machine != NULL) {
        corral_driver_error (error, VIR_ERR_INVALID_ARG,
                             "a container has neither an emulator nor a machine type");
        return FALSE;
    }
    if (!read_max_vcpus (driver, &max, error))
        return FALSE;
    capacity = corral_agent_capacity (driver->agent, &generation, &reason);
    if (capacity != NULL)
        capacity_xml = corral_capacity_xml (capacity, generation);
    ((CorralWireText *) ret)->text =
        corral_driver_host_domain_capabilities (driver->host, max, capacity_xml);
    return TRUE;
}

const CorralDriverEntry corral_driver_connect_calls[] = {
    { CORRAL_PROC_CONNECT_OPEN, connect_open },
    { CORRAL_PROC_CONNECT_GET_TYPE, connect_get_type },
    { CORRAL_PROC_CONNECT_GET_URI, connect_get_uri },
    { CORRAL_PROC_CONNECT_GET_HOSTNAME, connect_get_hostname },
    { CORRAL_PROC_CONNECT_GET_VERSION, connect_get_version },
    { CORRAL_PROC_CONNECT_GET_LIB_VERSION, connect_get_lib_version },
    { CORRAL_PROC_CONNECT_IS_SECURE, connect_is_secure },
    { CORRAL_PROC_CONNECT_GET_CAPABILITIES, connect_get_capabilities },
    { CORRAL_PROC_CONNECT_GET_SYSINFO, connect_get_sysinfo },
    { CORRAL_PROC_CONNECT_GET_MAX_VCPUS, connect_get_max_vcpus },
    { CORRAL_PROC_CONNECT_GET_DOMAIN_CAPABILITIES, connect_get_domain_capabilities },
    { 0 },
};
