/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* attach, detach, pin. */
#include "libvirt-driver/corral/corral-cli-container.h"
#include "libvirt-driver/corral/corral-cli-cpus.h"
#include "libvirt-driver/corral/corral-cli-verbs.h"

#include "common/corral-error.h"
#include "libvirt-driver/client/corral-client-error.h"

#include <string.h>

/* As many as a vCPU's number in a <member/> can be. */
#define VCPU_MAX 8191
/* and more than a container's list of vCPUs has */
#define FLAT_VCPU_MAX 1000000

/* Splits "web1:0". A name may itself hold a colon: only digits after the last one count. */
static char *
split_member (const char *text, int *ret_vcpu)
{
    const char *colon = strrchr (text, ':');
    guint64 vcpu;

    *ret_vcpu = -1;
    if (colon == NULL || colon == text ||
        !g_ascii_string_to_unsigned (colon + 1, 10, 0, VCPU_MAX, &vcpu, NULL))
        return g_strdup (text);
    *ret_vcpu = (int) vcpu;
    return g_strndup (text, (gsize) (colon - text));
}

static char *
member_xml (const char *text)
{
    int vcpu;
    g_autofree char *name = split_member (text, &vcpu);
    g_autofree char *number = g_strdup_printf ("%d", vcpu);

    return vcpu < 0 ? g_markup_printf_escaped ("<member type='vm' name='%s'/>", name)
                    : g_markup_printf_escaped ("<member type='vcpu' name='%s' vcpu='%s'/>", name,
                                               number);
}

static const CorralCliVm *
find_vm (GPtrArray *vms, const char *name)
{
    for (guint i = 0; i < vms->len; i++) {
        CorralCliVm *vm = vms->pdata[i];

        if (g_str_equal (vm->name, name))
            return vm;
    }
    return NULL;
}

static gboolean
lies_deeper (const CorralCliContainer *container, const CorralCliContainer *other)
{
    return other == NULL || other->xml->partition == NULL ||
           (container->xml->partition != NULL &&
            strlen (container->xml->partition) > strlen (other->xml->partition));
}

/* A VM is in its container and in all those around it; the innermost is meant. One that holds the
 * vCPU @vcpu, where it is not -1, is better than one that holds only others of the VM. */
static const CorralCliContainer *
innermost_with (GPtrArray *containers, const char *vm_name, int vcpu, GError **error)
{
    const CorralCliContainer *innermost = NULL;
    gboolean found_vcpu = FALSE;

    for (guint i = 0; i < containers->len; i++) {
        const CorralCliContainer *container = containers->pdata[i];
        g_autoptr (GPtrArray) vms = corral_cli_container_vms (container);
        const CorralCliVm *vm = find_vm (vms, vm_name);
        gboolean has_vcpu = vm != NULL && vcpu >= 0 && corral_cli_vm_number (vm, vcpu) >= 0;

        if (vm == NULL || (found_vcpu && !has_vcpu))
            continue;
        if ((has_vcpu && !found_vcpu) || lies_deeper (container, innermost))
            innermost = container;
        found_vcpu = has_vcpu;
    }
    if (innermost == NULL)
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND,
                     "cannot find VM \"%s\": it is in no active container", vm_name);
    return innermost;
}

/* --- attach and detach --- */

/* What libvirt's own clients mean by no flag at all: the container as it is now. */
static guint
affect_now (virDomain *domain, const CorralCliArgs *args)
{
    guint affect = corral_cli_args_affect (args);

    if (affect == 0)
        affect =
            virDomainIsActive (domain) == 1 ? VIR_DOMAIN_AFFECT_LIVE : VIR_DOMAIN_AFFECT_CONFIG;
    return affect;
}

gboolean
corral_cli_verb_attach (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    const char *member = corral_cli_args_operand (args, 0);
    g_autoptr (virDomain) domain =
        corral_cli_domain_lookup (cli, corral_cli_args_operand (args, 1), error);
    g_autofree char *xml = member_xml (member);

    if (domain == NULL)
        return FALSE;
    if (virDomainAttachDeviceFlags (domain, xml, affect_now (domain, args)) < 0) {
        corral_client_set_error (error, "cannot attach \"%s\" to container \"%s\"", member,
                                 virDomainGetName (domain));
        return FALSE;
    }
    return corral_cli_say (error, "'%s' attached to container '%s'\n", member,
                           virDomainGetName (domain));
}

static virDomain *
container_to_leave (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    const char *named = corral_cli_args_operand (args, 1);
    g_autoptr (GPtrArray) containers = NULL;
    const CorralCliContainer *container;
    g_autofree char *vm_name = NULL;
    int vcpu;

    if (named != NULL)
        return corral_cli_domain_lookup (cli, named, error);
    containers = corral_cli_container_list (cli, VIR_CONNECT_LIST_DOMAINS_ACTIVE, error);
    if (containers == NULL)
        return NULL;
    vm_name = split_member (corral_cli_args_operand (args, 0), &vcpu);
    container = innermost_with (containers, vm_name, vcpu, error);
    if (container == NULL)
        return NULL;
    virDomainRef (container->domain);
    return container->domain;
}

gboolean
corral_cli_verb_detach (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    const char *member = corral_cli_args_operand (args, 0);
    g_autoptr (virDomain) domain = container_to_leave (cli, args, error);
    g_autofree char *xml = member_xml (member);

    if (domain == NULL)
        return FALSE;
    if (virDomainDetachDeviceFlags (domain, xml, affect_now (domain, args)) < 0) {
        corral_client_set_error (error, "cannot detach \"%s\" from container \"%s\"", member,
                                 virDomainGetName (domain));
        return FALSE;
    }
    return corral_cli_say (error, "'%s' detached from container '%s'\n", member,
                           virDomainGetName (domain));
}

/* --- pin --- */

typedef struct {
    virDomain *domain; /* the container, by whose list the vCPU is numbered */
    guint number;
} Vcpu;

/* The container's number for the vCPU @vcpu of the VM @vm_name */
static gboolean
find_vm_vcpu (GPtrArray *containers, const char *vm_name, int vcpu, Vcpu *ret_found, GError **error)
{
    const CorralCliContainer *container = innermost_with (containers, vm_name, vcpu, error);
    g_autoptr (GPtrArray) vms = NULL;
    const CorralCliVm *vm;
    int number;

    if (container == NULL)
        return FALSE;
    vms = corral_cli_container_vms (container);
    vm = find_vm (vms, vm_name);
    number = corral_cli_vm_number (vm, vcpu);
    if (number < 0) {
        g_autofree char *list = corral_cpuset_format (vm->vcpus);

        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND,
                     "cannot find vCPU %d of VM \"%s\": container \"%s\" has its vCPUs %s", vcpu,
                     vm_name, container->name, list);
        return FALSE;
    }
    ret_found->domain = container->domain;
    ret_found->number = (guint) number;
    return TRUE;
}

static const CorralCliContainer *
container_named (GPtrArray *containers, const char *name)
{
    for (guint i = 0; i < containers->len; i++) {
        CorralCliContainer *container = containers->pdata[i];

        if (g_str_equal (container->name, name))
            return container;
    }
    return NULL;
}

/* A name that a container has means the container, unless it is written as VM:VCPU. */
static gboolean
find_vcpu (GPtrArray *containers, const CorralCliArgs *args, Vcpu *ret_found, GError **error)
{
    const char *target = corral_cli_args_operand (args, 0);
    const char *word = corral_cli_args_operand (args, 1);
    const CorralCliContainer *container;
    guint64 vcpu;

    if (corral_cli_args_count (args) == 2) {
        int number;
        g_autofree char *name = split_member (target, &number);

        if (number >= 0)
            return find_vm_vcpu (containers, name, number, ret_found, error);
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "cannot pin \"%s\": which vCPU is not said; see \"corral help pin\"", target);
        return FALSE;
    }
    if (!g_ascii_string_to_unsigned (word, 10, 0, FLAT_VCPU_MAX, &vcpu, NULL)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "cannot take \"%s\" as the number of a vCPU", word);
        return FALSE;
    }
    container = container_named (containers, target);
    if (container == NULL)
        return find_vm_vcpu (containers, target, (int) vcpu, ret_found, error);
    ret_found->domain = container->domain;
    ret_found->number = (guint) vcpu;
    return TRUE;
}

gboolean
corral_cli_verb_pin (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    const char *list = corral_cli_args_operand (args, corral_cli_args_count (args) - 1);
    g_autoptr (GPtrArray) containers = NULL;
    g_autofree guint8 *map = NULL;
    Vcpu vcpu;
    int n_cpus;

    if (!corral_cli_cpus_count (cli, &n_cpus, error) ||
        !corral_cli_cpus_parse (list, n_cpus, &map, error))
        return FALSE;
    containers = corral_cli_container_list (cli, VIR_CONNECT_LIST_DOMAINS_ACTIVE, error);
    if (containers == NULL || !find_vcpu (containers, args, &vcpu, error))
        return FALSE;
    if (virDomainPinVcpuFlags (vcpu.domain, vcpu.number, map, VIR_CPU_MAPLEN (n_cpus),
                               VIR_DOMAIN_AFFECT_LIVE) < 0) {
        corral_client_set_error (error, "cannot pin vCPU %u of container \"%s\" to \"%s\"",
                                 vcpu.number, virDomainGetName (vcpu.domain), list);
        return FALSE;
    }
    return corral_cli_say (error, "vCPU %u of container '%s' pinned to %s\n", vcpu.number,
                           virDomainGetName (vcpu.domain), list);
}
