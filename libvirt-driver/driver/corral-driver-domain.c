/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/driver/corral-driver-private.h"

#define FILTERS_ACTIVE (VIR_CONNECT_LIST_DOMAINS_ACTIVE | VIR_CONNECT_LIST_DOMAINS_INACTIVE)
#define FILTERS_PERSISTENT                                                                         \
    (VIR_CONNECT_LIST_DOMAINS_PERSISTENT | VIR_CONNECT_LIST_DOMAINS_TRANSIENT)
#define FILTERS_STATE                                                                              \
    (VIR_CONNECT_LIST_DOMAINS_RUNNING | VIR_CONNECT_LIST_DOMAINS_PAUSED |                          \
     VIR_CONNECT_LIST_DOMAINS_SHUTOFF | VIR_CONNECT_LIST_DOMAINS_OTHER)
#define FILTERS_MANAGEDSAVE                                                                        \
    (VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE | VIR_CONNECT_LIST_DOMAINS_NO_MANAGEDSAVE)
#define FILTERS_AUTOSTART                                                                          \
    (VIR_CONNECT_LIST_DOMAINS_AUTOSTART | VIR_CONNECT_LIST_DOMAINS_NO_AUTOSTART)
#define FILTERS_SNAPSHOT                                                                           \
    (VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT | VIR_CONNECT_LIST_DOMAINS_NO_SNAPSHOT)
#define FILTERS_CHECKPOINT                                                                         \
    (VIR_CONNECT_LIST_DOMAINS_HAS_CHECKPOINT | VIR_CONNECT_LIST_DOMAINS_NO_CHECKPOINT)
#define FILTERS_ALL                                                                                \
    (FILTERS_ACTIVE | FILTERS_PERSISTENT | FILTERS_STATE | FILTERS_MANAGEDSAVE |                   \
     FILTERS_AUTOSTART | FILTERS_SNAPSHOT | FILTERS_CHECKPOINT)

/* --- lists --- */

/* libvirt's rule: within a group of flags any one that holds will do, and a group of which no flag
 * is given does not matter. */
static gboolean
group_matches (guint flags, guint group, guint holds)
{
    return (flags & group) == 0 || (flags & holds) != 0;
}

gboolean
corral_driver_matches (const CorralContainer *container, guint flags)
{
    gboolean active = corral_driver_is_active (container);

    return group_matches (flags, FILTERS_ACTIVE,
                          active ? VIR_CONNECT_LIST_DOMAINS_ACTIVE
                                 : VIR_CONNECT_LIST_DOMAINS_INACTIVE) &&
           group_matches (flags, FILTERS_PERSISTENT,
                          container->config != NULL ? VIR_CONNECT_LIST_DOMAINS_PERSISTENT
                                                    : VIR_CONNECT_LIST_DOMAINS_TRANSIENT) &&
           group_matches (flags, FILTERS_STATE,
                          active ? VIR_CONNECT_LIST_DOMAINS_RUNNING
                                 : VIR_CONNECT_LIST_DOMAINS_SHUTOFF) &&
           group_matches (flags, FILTERS_MANAGEDSAVE, VIR_CONNECT_LIST_DOMAINS_NO_MANAGEDSAVE) &&
           group_matches (flags, FILTERS_AUTOSTART,
                          container->autostart ? VIR_CONNECT_LIST_DOMAINS_AUTOSTART
                                               : VIR_CONNECT_LIST_DOMAINS_NO_AUTOSTART) &&
           group_matches (flags, FILTERS_SNAPSHOT, VIR_CONNECT_LIST_DOMAINS_NO_SNAPSHOT) &&
           group_matches (flags, FILTERS_CHECKPOINT, VIR_CONNECT_LIST_DOMAINS_NO_CHECKPOINT);
}

GPtrArray *
corral_driver_collect (CorralDriver *driver, guint flags)
{
    g_autoptr (GPtrArray) all = corral_agent_list (driver->agent);
    GPtrArray *matching = g_ptr_array_sized_new (all->len);

    for (guint i = 0; i < all->len && matching->len < CORRAL_WIRE_DOMAINS_MAX; i++) {
        CorralContainer *container = g_ptr_array_index (all, i);

        if (corral_driver_matches (container, flags))
            g_ptr_array_add (matching, container);
    }
    return matching;
}

static gboolean
connect_list_all_domains (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                          gpointer ret, GError **error)
{
    const CorralWireListAllArgs *which = args;
    CorralWireListAllDomainsRet *list = ret;
    g_autoptr (GPtrArray) found = NULL;

    if (!corral_driver_check_flags (which->flags, FILTERS_ALL, "virConnectListAllDomains", error))
        return FALSE;
    found = corral_driver_collect (driver, which->flags);
    list->ret = found->len;
    if (!which->need_results)
        return TRUE;
    list->domains.domains_len = found->len;
    list->domains.domains_val = g_new0 (CorralWireDomain, found->len);
    for (guint i = 0; i < found->len; i++)
        corral_driver_fill_domain (g_ptr_array_index (found, i), &list->domains.domains_val[i]);
    return TRUE;
}

static gboolean
connect_num_of_domains (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                        gpointer ret, GError **error)
{
    g_autoptr (GPtrArray) found = corral_driver_collect (driver, VIR_CONNECT_LIST_DOMAINS_ACTIVE);

    ((CorralWireInt *) ret)->value = (int) found->len;
    return TRUE;
}

static gboolean
connect_num_of_defined_domains (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                                gpointer ret, GError **error)
{
    g_autoptr (GPtrArray) found = corral_driver_collect (driver, VIR_CONNECT_LIST_DOMAINS_INACTIVE);

    ((CorralWireInt *) ret)->value = (int) found->len;
    return TRUE;
}

static gboolean
check_room (int room, GError **error)
{
    if (room >= 0 && room <= CORRAL_WIRE_DOMAINS_MAX)
        return TRUE;
    corral_driver_error (error, VIR_ERR_INVALID_ARG, "room for %d domains is not from 0 to %d",
                         room, CORRAL_WIRE_DOMAINS_MAX);
    return FALSE;
}

static gboolean
connect_list_domains (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                      gpointer ret, GError **error)
{
    const CorralWireInt *room = args;
    CorralWireIdsRet *list = ret;
    g_autoptr (GPtrArray) found = NULL;

    if (!check_room (room->value, error))
        return FALSE;
    found = corral_driver_collect (driver, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
    list->ids.ids_len = MIN (found->len, (guint) room->value);
    list->ids.ids_val = g_new0 (int, list->ids.ids_len);
    for (guint i = 0; i < list->ids.ids_len; i++)
        list->ids.ids_val[i] = ((const CorralContainer *) g_ptr_array_index (found, i))->id;
    return TRUE;
}

static gboolean
connect_list_defined_domains (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                              gpointer ret, GError **error)
{
    const CorralWireInt *room = args;
    CorralWireNamesRet *list = ret;
    g_autoptr (GPtrArray) found = NULL;

    if (!check_room (room->value, error))
        return FALSE;
    found = corral_driver_collect (driver, VIR_CONNECT_LIST_DOMAINS_INACTIVE);
    list->names.names_len = MIN (found->len, (guint) room->value);
    list->names.names_val = g_new0 (CorralWireString, list->names.names_len);
    for (guint i = 0; i < list->names.names_len; i++)
        list->names.names_val[i] = g_strdup (corral_driver_name (g_ptr_array_index (found, i)));
    return TRUE;
}

/* --- look-up --- */

static gboolean
domain_lookup_by_id (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                     gpointer ret, GError **error)
{
    const CorralWireInt *id = args;
    const CorralContainer *container =
        id->value >= 0 ? corral_agent_lookup_id (driver->agent, id->value) : NULL;

    if (container == NULL) {
        corral_driver_error (error, VIR_ERR_NO_DOMAIN, "no domain with matching id %d", id->value);
        return FALSE;
    }
    corral_driver_fill_domain (container, &((CorralWireDom *) ret)->dom);
    return TRUE;
}

static gboolean
domain_lookup_by_name (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                       gpointer ret, GError **error)
{
    const CorralWireText *name = args;
    const CorralContainer *container = corral_agent_lookup_name (driver->agent, name->text);
    g_autofree char *shown = NULL;

    if (container == NULL) {
        shown = g_utf8_make_valid (name->text, (gssize) MIN (strlen (name->text), CORRAL_NAME_MAX));
        corral_driver_error (error, VIR_ERR_NO_DOMAIN, "no domain with matching name '%s'", shown);
        return FALSE;
    }
    corral_driver_fill_domain (container, &((CorralWireDom *) ret)->dom);
    return TRUE;
}

static gboolean
domain_lookup_by_uuid (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                       gpointer ret, GError **error)
{
    CorralWireDomain dom = { .name = (char *) "" };
    const CorralContainer *container;

    memcpy (dom.uuid, ((const CorralWireUuidArgs *) args)->uuid, sizeof dom.uuid);
    container = corral_driver_find (driver, &dom, error);
    if (container == NULL)
        return FALSE;
    corral_driver_fill_domain (container, &((CorralWireDom *) ret)->dom);
    return TRUE;
}

/* --- what it is --- */

static gboolean
domain_is_active (CorralDriver *driver, CorralRpcClient *client, gconstpointer args, gpointer ret,
                  GError **error)
{
    const CorralContainer *container =
        corral_driver_find (driver, &((const CorralWireDom *) args)->dom, error);

    if (container == NULL)
        return FALSE;
    ((CorralWireInt *) ret)->value = corral_driver_is_active (container);
    return TRUE;
}

static gboolean
domain_is_persistent (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                      gpointer ret, GError **error)
{
    const CorralContainer *container =
        corral_driver_find (driver, &((const CorralWireDom *) args)->dom, error);

    if (container == NULL)
        return FALSE;
    ((CorralWireInt *) ret)->value = container->config != NULL;
    return TRUE;
}

/* Whether the live values differ from those that the next start will use. */
static gboolean
domain_is_updated (CorralDriver *driver, CorralRpcClient *client, gconstpointer args, gpointer ret,
                   GError **error)
{
    const CorralContainer *container =
        corral_driver_find (driver, &((const CorralWireDom *) args)->dom, error);
    g_autofree char *live = NULL, *config = NULL;

    if (container == NULL)
        return FALSE;
    if (container->live != NULL && container->config != NULL) {
        live = corral_definition_format (container->live, NULL);
        config = corral_definition_format (container->config, NULL);
    }
    ((CorralWireInt *) ret)->value = g_strcmp0 (live, config) != 0;
    return TRUE;
}

static gboolean
domain_get_os_type (CorralDriver *driver, CorralRpcClient *client, gconstpointer args, gpointer ret,
                    GError **error)
{
    if (corral_driver_find (driver, &((const CorralWireDom *) args)->dom, error) == NULL)
        return FALSE;
    ((CorralWireText *) ret)->text = g_strdup ("corral");
    return TRUE;
}

/* A container sets no limit to memory; the host does. */
static gboolean
domain_get_max_memory (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                       gpointer ret, GError **error)
{
    CorralDriverMemory memory;

    if (corral_driver_find (driver, &((const CorralWireDom *) args)->dom, error) == NULL ||
        !corral_driver_host_memory (driver->host, -1, &memory, error))
        return FALSE;
    ((CorralWireHyper *) ret)->value = memory.total_kib;
    return TRUE;
}

static guint64
resident_memory (CorralDriver *driver, const char *name)
{
    g_autoptr (GPtrArray) vms = corral_agent_list_vms (driver->agent, name);
    guint64 total = 0;

    for (guint i = 0; i < vms->len; i++) {
        const CorralVm *vm = g_ptr_array_index (vms, i);

        total += corral_driver_host_resident_kib (driver->host, vm->pid);
    }
    return total;
}

static gboolean
domain_get_info (CorralDriver *driver, CorralRpcClient *client, gconstpointer args, gpointer ret,
                 GError **error)
{
    CorralWireDomainInfoRet *info = ret;
    const CorralContainer *container =
        corral_driver_find (driver, &((const CorralWireDom *) args)->dom, error);
    CorralAgentUsage usage = { 0 };
    CorralDriverMemory memory;
    const char *name;

    if (container == NULL || !corral_driver_host_memory (driver->host, -1, &memory, error))
        return FALSE;
    name = corral_driver_name (container);
    info->max_mem = memory.total_kib;
    info->state = VIR_DOMAIN_SHUTOFF;
    if (!corral_driver_is_active (container))
        return TRUE;

    info->state = VIR_DOMAIN_RUNNING;
    info->vcpus = (u_short) MIN (corral_agent_count_vcpus (driver->agent, name), G_MAXUINT16);
    info->memory = resident_memory (driver, name);
    if (!corral_agent_get_usage (driver->agent, name, &usage, error))
        return FALSE;
    info->cpu_time = usage.total_ns;
    return TRUE;
}

static gboolean
domain_get_state (CorralDriver *driver, CorralRpcClient *client, gconstpointer args, gpointer ret,
                  GError **error)
{
    const CorralWireDomFlags *which = args;
    CorralWireDomainStateRet *state = ret;
    const CorralContainer *container;

    if (!corral_driver_check_flags (which->flags, 0, "virDomainGetState", error))
        return FALSE;
    container = corral_driver_find (driver, &which->dom, error);
    if (container == NULL)
        return FALSE;
    corral_driver_state (container, &state->state, &state->reason);
    return TRUE;
}

/* The kernel keeps no record of how a container ended, so a shut off one gives no reason. */
void
corral_driver_state (const CorralContainer *container, int *ret_state, int *ret_reason)
{
    gboolean active = corral_driver_is_active (container);

    *ret_state = active ? VIR_DOMAIN_RUNNING : VIR_DOMAIN_SHUTOFF;
    *ret_reason = active ? (int) VIR_DOMAIN_RUNNING_BOOTED : (int) VIR_DOMAIN_SHUTOFF_UNKNOWN;
}

/* No call of ours waits for a hypervisor, so the way to it is always free. */
static gboolean
domain_get_control_info (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                         gpointer ret, GError **error)
{
    const CorralWireDomFlags *which = args;

    if (!corral_driver_check_flags (which->flags, 0, "virDomainGetControlInfo", error) ||
        corral_driver_find_active (driver, &which->dom, error) == NULL)
        return FALSE;
    ((CorralWireControlInfoRet *) ret)->state = VIR_DOMAIN_CONTROL_OK;
    return TRUE;
}

static gboolean
domain_get_xml_desc (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                     gpointer ret, GError **error)
{
    const CorralWireDomFlags *which = args;
    const guint known = VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_INACTIVE |
                        VIR_DOMAIN_XML_UPDATE_CPU | VIR_DOMAIN_XML_MIGRATABLE;
    const CorralContainer *container;
    CorralDefinitionLive live;
    char *text;

    if (!corral_driver_check_flags (which->flags, known, "virDomainGetXMLDesc", error))
        return FALSE;
    if ((which->flags & VIR_DOMAIN_XML_SECURE) != 0 && corral_rpc_client_is_readonly (client)) {
        corral_driver_error (error, VIR_ERR_OPERATION_DENIED,
                             "virDomainGetXMLDesc with secure flag");
        return FALSE;
    }
    container = corral_driver_find (driver, &which->dom, error);
    if (container == NULL)
        return FALSE;
    if ((which->flags & VIR_DOMAIN_XML_INACTIVE) != 0 && container->config != NULL) {
        text = corral_definition_format (container->config, NULL);
    } else if (container->live != NULL && (which->flags & VIR_DOMAIN_XML_INACTIVE) == 0) {
        live.id = container->id;
        live.vcpus = corral_agent_count_vcpus (driver->agent, container->live->name);
        text = corral_definition_format (container->live, &live);
    } else {
        text = corral_definition_format (corral_container_definition (container), NULL);
    }
    ((CorralWireText *) ret)->text = text;
    return TRUE;
}

/* --- what libvirt has and a container never has --- */

static gboolean
domain_has_managed_save_image (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                               gpointer ret, GError **error)
{
    const CorralWireDomFlags *which = args;

    return corral_driver_check_flags (which->flags, 0, "virDomainHasManagedSaveImage", error) &&
           corral_driver_find (driver, &which->dom, error) != NULL;
}

static gboolean
domain_get_security_label (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                           gpointer ret, GError **error)
{
    CorralWireSecurityLabelRet *label = ret;

    if (corral_driver_find (driver, &((const CorralWireDom *) args)->dom, error) == NULL)
        return FALSE;
    label->label.label_len = 1;
    label->label.label_val = g_new0 (char, 1);
    return TRUE;
}

static gboolean
domain_get_security_label_list (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                                gpointer ret, GError **error)
{
    return corral_driver_find (driver, &((const CorralWireDom *) args)->dom, error) != NULL;
}

static gboolean
domain_get_messages (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                     gpointer ret, GError **error)
{
    const CorralWireDomFlags *which = args;
    const guint known = VIR_DOMAIN_MESSAGE_DEPRECATION | VIR_DOMAIN_MESSAGE_TAINTING;

    return corral_driver_check_flags (which->flags, known, "virDomainGetMessages", error) &&
           corral_driver_find (driver, &which->dom, error) != NULL;
}

const CorralDriverEntry corral_driver_domain_calls[] = {
    { CORRAL_PROC_CONNECT_LIST_ALL_DOMAINS, connect_list_all_domains },
    { CORRAL_PROC_CONNECT_NUM_OF_DOMAINS, connect_num_of_domains },
    { CORRAL_PROC_CONNECT_NUM_OF_DEFINED_DOMAINS, connect_num_of_defined_domains },
    { CORRAL_PROC_CONNECT_LIST_DOMAINS, connect_list_domains },
    { CORRAL_PROC_CONNECT_LIST_DEFINED_DOMAINS, connect_list_defined_domains },
    { CORRAL_PROC_DOMAIN_LOOKUP_BY_ID, domain_lookup_by_id },
    { CORRAL_PROC_DOMAIN_LOOKUP_BY_NAME, domain_lookup_by_name },
    { CORRAL_PROC_DOMAIN_LOOKUP_BY_UUID, domain_lookup_by_uuid },
    { CORRAL_PROC_DOMAIN_IS_ACTIVE, domain_is_active },
    { CORRAL_PROC_DOMAIN_IS_PERSISTENT, domain_is_persistent },
    { CORRAL_PROC_DOMAIN_IS_UPDATED, domain_is_updated },
    { CORRAL_PROC_DOMAIN_GET_OS_TYPE, domain_get_os_type },
    { CORRAL_PROC_DOMAIN_GET_MAX_MEMORY, domain_get_max_memory },
    { CORRAL_PROC_DOMAIN_GET_INFO, domain_get_info },
    { CORRAL_PROC_DOMAIN_GET_STATE, domain_get_state },
    { CORRAL_PROC_DOMAIN_GET_CONTROL_INFO, domain_get_control_info },
    { CORRAL_PROC_DOMAIN_GET_XML_DESC, domain_get_xml_desc },
    { CORRAL_PROC_DOMAIN_HAS_MANAGED_SAVE_IMAGE, domain_has_managed_save_image },
    { CORRAL_PROC_DOMAIN_GET_SECURITY_LABEL, domain_get_security_label },
    { CORRAL_PROC_DOMAIN_GET_SECURITY_LABEL_LIST, domain_get_security_label_list },
    { CORRAL_PROC_DOMAIN_GET_MESSAGES, domain_get_messages },
    { 0 },
};
