/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host's pCPUs and how they lie to each other, as a plain value taken from hwloc. */
#pragma once

#include "common/corral-cpuset.h"

/* Packages, nodes, L3 groups and cores are numbered from 0 in the order of their first pCPU, with
 * no gaps; these are indices into the arrays below, not the kernel's numbers. */
typedef struct {
    guint number; /* the kernel's number of the pCPU */
    guint package;
    guint node; /* the NUMA node whose memory is nearest */
    guint l3;   /* pCPUs that share a last-level cache */
    guint core;
    guint thread; /* its place in its core, from 0 */
    int kind;     /* rank of its kind of core, from 0 for the slowest; 0 when all are alike */
    gboolean online;
} CorralPcpu;

typedef struct {
    CorralPcpu *cpus; /* sorted by number */
    guint n_cpus;
    CorralCpuset **packages, **l3s, **cores, **nodes; /* the pCPUs of each, offline ones too */
    guint n_packages, n_l3s, n_cores, n_nodes;
    guint *node_numbers;  /* the kernel's number of each node */
    guint *distances;     /* n_nodes x n_nodes, by index; 10 is local, as in the ACPI SLIT */
    CorralCpuset *online; /* pCPUs that can be used now */
    guint n_kinds;        /* 1 when all cores are alike */
} CorralTopology;

/**
 * corral_topology_from_hwloc:
 * @hwloc: a loaded topology; offline pCPUs are seen when it was loaded with
 *   HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED
 *
 * Returns: (transfer full): %NULL with %CORRAL_ERROR_UNSUPPORTED when it has no pCPU, or a number
 *   above CORRAL_CPUSET_MAX
 */
CorralTopology *corral_topology_from_hwloc (hwloc_topology_t hwloc, GError **error);

/* From hwloc's XML export, and from its synthetic notation ("package:2 l3:2 core:4 pu:2"). */
CorralTopology *corral_topology_from_xml (const char *xml, gsize length, GError **error);
CorralTopology *corral_topology_from_synthetic (const char *description, GError **error);

/* The index of the pCPU @number in cpus; -1: there is none. */
int corral_topology_find (const CorralTopology *topology, guint number);

/* A copy in which exactly the pCPUs of @online can be used. */
CorralTopology *corral_topology_with_online (const CorralTopology *topology,
                                             const CorralCpuset *online);

CorralTopology *corral_topology_copy (const CorralTopology *topology);
void corral_topology_free (CorralTopology *topology);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralTopology, corral_topology_free)
