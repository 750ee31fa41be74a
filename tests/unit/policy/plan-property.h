/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the property test of the planner keeps of the world between two plans, and what must hold of
 * the next one. */
#pragma once

#include "policy/corral-plan.h"

#define N_CONTAINERS 4
#define N_VMS 16

typedef enum { START, STOP, HOTPLUG, CPU, REDEFINE, N_KINDS } EventKind;

typedef struct {
    CorralTopology *topology;
    CorralCpuset *housekeeping;
    CorralPlanContainer containers[N_CONTAINERS];
    CorralCpuset *allowed[N_CONTAINERS], *cpus[N_CONTAINERS];
    gboolean there[N_VMS];
    char names[N_VMS][8];
    CorralPlanVm vms[N_VMS];
    CorralCpuset **places[N_VMS]; /* of the VM's vCPUs, as the last plan put them */
    guint n_places[N_VMS];
    gboolean alone[N_VMS][64]; /* the vCPU had that place to itself */
    gboolean stray[N_VMS];     /* the last plan had no place for it as a whole */
    gboolean refused;          /* the last plan refused a container what it reserves */
    int started;               /* by the last event; -1: none */
    EventKind last;
} World;

/* Of the containers; one is in another. */
extern const char *const plan_property_paths[N_CONTAINERS];

/* What is wrong with the plan for @world as @input has it; %NULL: nothing. */
const char *plan_property_check (const World *world, const CorralPlanInput *input,
                                 const CorralPlan *plan);
