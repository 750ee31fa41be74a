/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* g_autoptr for libvirt's types, whose free functions return int and refuse NULL. */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

static inline void
corral_client_connect_close (virConnect *conn)
{
    virConnectClose (conn);
}

static inline void
corral_client_domain_free (virDomain *domain)
{
    virDomainFree (domain);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (virConnect, corral_client_connect_close)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (virDomain, corral_client_domain_free)

/* An array of typed parameters together with its length, as libvirt's free function wants them. */
typedef struct {
    virTypedParameterPtr params;
    int length;
    int capacity; /* for virTypedParamsAdd*() */
} CorralClientParams;

static inline void
corral_client_params_clear (CorralClientParams *params)
{
    virTypedParamsFree (params->params, params->length);
    params->params = NULL;
    params->length = params->capacity = 0;
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CorralClientParams, corral_client_params_clear)

/* NULL-terminated, as virConnectListAllDomains() and virConnectGetAllDomainStats() return them. */
typedef virDomainPtr *CorralClientDomains;
typedef virDomainStatsRecordPtr *CorralClientStats;

static inline void
corral_client_domains_free (CorralClientDomains domains)
{
    for (gsize i = 0; domains != NULL && domains[i] != NULL; i++)
        virDomainFree (domains[i]);
    free (domains);
}

static inline void
corral_client_stats_free (CorralClientStats records)
{
    if (records != NULL)
        virDomainStatsRecordListFree (records);
}

G_DEFINE_AUTO_CLEANUP_FREE_FUNC (CorralClientDomains, corral_client_domains_free, NULL)
G_DEFINE_AUTO_CLEANUP_FREE_FUNC (CorralClientStats, corral_client_stats_free, NULL)
