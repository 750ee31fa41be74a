/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Containers as the libvirt connection tells of them. */
#pragma once

#include "libvirt-driver/corral/corral-cli-xml.h"
#include "libvirt-driver/corral/corral-cli.h"

#include "common/corral-cpuset.h"

typedef struct {
    virDomain *domain;
    char *name;
    char uuid[VIR_UUID_STRING_BUFLEN];
    int id;            /* -1: inactive */
    CorralCliXml *xml; /* of the container as it runs, or of its definition */
    JsonObject *stats; /* virConnectGetAllDomainStats()'s parameters by name; never NULL */
} CorralCliContainer;

void corral_cli_container_free (CorralCliContainer *container);

/* The domain that @name, or a number or UUID as virsh takes them, stands for. */
virDomain *corral_cli_domain_lookup (CorralCli *cli, const char *name, GError **error);

/* @flags: VIR_CONNECT_LIST_DOMAINS_*. Sorted by name. (transfer full): of CorralCliContainer */
GPtrArray *corral_cli_container_list (CorralCli *cli, guint flags, GError **error);

/* Only the CPU usage, of all active containers, in one call. (transfer full): name -> JsonObject */
GHashTable *corral_cli_container_stats (CorralCli *cli, GError **error);

/* The one of @containers that @name, a number or a UUID stands for. */
const CorralCliContainer *corral_cli_container_find (GPtrArray *containers, CorralCli *cli,
                                                     const char *name, GError **error);

/* How many vCPUs its members have; -1: not known. */
int corral_cli_container_vcpus (const CorralCliContainer *container);

/* The innermost of @containers around @container; NULL: none. */
const CorralCliContainer *corral_cli_container_parent (GPtrArray *containers,
                                                       const CorralCliContainer *container);

/* A VM with vCPUs in an active container. The container numbers them from @first on, in the order
 * of their numbers in the VM. */
typedef struct {
    char *name;
    guint first;
    CorralCpuset *vcpus; /* numbers in the VM; a child container may hold some of them only */
} CorralCliVm;

/* In the order of the container's vCPUs. (transfer full): of CorralCliVm */
GPtrArray *corral_cli_container_vms (const CorralCliContainer *container);

/* The container's number for the VM's vCPU @vcpu; -1: it is not in the container. */
int corral_cli_vm_number (const CorralCliVm *vm, int vcpu);

/* The statistic @key, or NULL: for a cell that may be unknown. (transfer full) */
JsonNode *corral_cli_container_stat (const CorralCliContainer *container, const char *key);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralCliContainer, corral_cli_container_free)

/* --- usage: the same columns in list, show and stats --- */

#define CORRAL_CLI_USAGE_COLUMNS 10

/* Writes CORRAL_CLI_USAGE_COLUMNS columns. */
void corral_cli_usage_columns (CorralCliColumn *columns);
/* Sets the members of @object that those columns show. */
void corral_cli_usage_set (JsonObject *object, const CorralCliContainer *container);

/* A typed parameter's value; (transfer full) */
JsonNode *corral_cli_param_node (const virTypedParameter *param);
