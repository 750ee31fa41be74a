/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The agent holds definitions, VM inventory and kernel together. This is all that the libvirt
 * driver sees of it. One thread, one main context: every call returns at once, none waits for QEMU
 * or libvirtd.
 *
 * Where truth lives: what exists, who is in it and what it used: the kernel. What should be started
 * at boot and with which values: /etc/corral/containers/NAME.xml (persistent). The values of an
 * active container that the kernel does not hold (name, UUID, description, metadata, members): a
 * copy in /run/corral/containers/NAME.xml (live). Both are written by atomic replacement before the
 * kernel is told, so that a kill at any moment leaves a state that the next start completes or
 * drops. */
#pragma once

#include "policy/corral-definition.h"
#include "vmm-agent/container/corral-container.h"
#include "vmm-agent/vm/corral-vm.h"

#define CORRAL_TYPE_AGENT (corral_agent_get_type ())
G_DECLARE_FINAL_TYPE (CorralAgent, corral_agent, CORRAL, AGENT, GObject)

typedef struct {
    const char *definition_dir; /* "/etc/corral/containers" */
    const char *state_dir;      /* "/run/corral" */
    const CorralVmSettings *vm;
    const char *host_file;   /* (nullable): "/etc/corral/host.xml" */
    guint drift_interval_ms; /* between two looks for drift; 0: none by itself */
} CorralAgentSettings;

CorralAgent *corral_agent_new (CorralContainerCore *core, const CorralAgentSettings *settings);
/* Reads the definitions and the kernel, starts the inventory and, once after a boot, the autostart
 * containers. What is wrong with one file or one container is told by the signal "problem" and
 * stops nothing else. */
gboolean corral_agent_start (CorralAgent *agent, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Reads the definition folder again and takes over what was edited by hand: new, changed and
 * removed files. A file that cannot be read, or that another container conflicts with, is a
 * "problem", and what it said before stays. An error when the folder cannot be read: then nothing
 * was changed. */
gboolean corral_agent_reload (CorralAgent *agent, GError **error) G_GNUC_WARN_UNUSED_RESULT;
CorralContainerCore *corral_agent_core (CorralAgent *agent);
CorralVmInventory *corral_agent_inventory (CorralAgent *agent);

/* One container that the agent knows. Owned by the agent; borrowed pointers are good until the main
 * loop runs again. */
typedef struct {
    CorralDefinition *live;   /* (nullable): NULL while inactive */
    CorralDefinition *config; /* (nullable): NULL for a transient container */
    int id;                   /* -1 while inactive */
    gboolean autostart;
} CorralContainer;

/* live if there is one, else config */
const CorralDefinition *corral_container_definition (const CorralContainer *container);

/* (transfer container): of CorralContainer, sorted by name */
GPtrArray *corral_agent_list (CorralAgent *agent);
const CorralContainer *corral_agent_lookup_name (CorralAgent *agent, const char *name);
const CorralContainer *corral_agent_lookup_uuid (CorralAgent *agent, const guint8 *uuid);
const CorralContainer *corral_agent_lookup_id (CorralAgent *agent, int id);

/* Which of a container's two definitions a change is for. Both bits: both, or neither. */
typedef enum {
    CORRAL_AFFECT_LIVE = 1 << 0,
    CORRAL_AFFECT_CONFIG = 1 << 1,
} CorralAffect;

/* --- life. Containers are named by their libvirt name. --- */

/* @affect as libvirt's calls mean it: 0 is CORRAL_AFFECT_LIVE for an active container and
 * CORRAL_AFFECT_CONFIG for an inactive one. LIVE of an inactive container and CONFIG of a transient
 * one are CORRAL_ERROR_STATE. A change of both is made to both or to neither, in file and kernel.
 */

/* @definition is copied; a UUID is made when it has none. A definition of the same name and UUID is
 * replaced; same name and another UUID, or another container's path, is CORRAL_ERROR_EXISTS. The
 * path of an active container cannot change (CORRAL_ERROR_STATE). As in libvirt, an active
 * container keeps its live values until it is started again. A directory that the kernel has at the
 * path already (made as the parent of another container, say) is taken over: the container is
 * active at once. */
gboolean corral_agent_define (CorralAgent *agent, const CorralDefinition *definition,
                              const CorralContainer **ret_container, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* A transient container: made now, forgotten when destroyed. */
gboolean corral_agent_create (CorralAgent *agent, const CorralDefinition *definition,
                              const CorralContainer **ret_container, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* Parents that are defined are started first; parents that are not are plain directories. */
gboolean corral_agent_start_container (CorralAgent *agent, const char *name, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* CORRAL_ERROR_BUSY names the VMs and children still inside. */
gboolean corral_agent_destroy (CorralAgent *agent, const char *name, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* An active one becomes transient. */
gboolean corral_agent_undefine (CorralAgent *agent, const char *name, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
gboolean corral_agent_set_autostart (CorralAgent *agent, const char *name, gboolean autostart,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* --- members --- */

gboolean corral_agent_attach (CorralAgent *agent, const char *name, const CorralMemberDef *member,
                              guint affect, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* A live VM goes back to where its source had put it: a libvirt VM into its libvirt group, a vCPU
 * to the rest of its VM, and a VM that libvirt does not know into the container's parent.
 * CORRAL_ERROR_STATE when that is this container: its <partition> keeps it here. */
gboolean corral_agent_detach (CorralAgent *agent, const char *name, const CorralMemberDef *member,
                              guint affect, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* VMs directly or indirectly in the container: borrowed CorralVm pointers, sorted by name */
GPtrArray *corral_agent_list_vms (CorralAgent *agent, const char *name);

/* One vCPU of the flattened list: VMs by name, then by vCPU number. The list's index is the vCPU's
 * number in libvirt's calls. */
typedef struct {
    const char *vm_name; /* borrowed */
    int vcpu;            /* its number in its own VM */
    pid_t tid;
    gboolean running; /* on a pCPU or runnable now; a halted vCPU is not */
    int last_cpu;     /* pCPU it last ran on */
    guint64 time_ns;  /* on-CPU time of the thread */
    guint64 wait_ns;  /* time it was runnable and not running, by the scheduler's sum of waits;
                       * where the kernel keeps none, the same as delay_ns */
    guint64 delay_ns; /* the same time as schedstat counts it */
    CorralCpuset *affinity; /* (nullable): NULL unless asked for */
} CorralAgentVcpu;
/* @ret_vcpus: (out) (transfer full): of CorralAgentVcpu */
gboolean corral_agent_list_vcpus (CorralAgent *agent, const char *name, gboolean with_affinity,
                                  GArray **ret_vcpus, GError **error) G_GNUC_WARN_UNUSED_RESULT;
guint corral_agent_count_vcpus (CorralAgent *agent, const char *name);
gboolean corral_agent_pin_vcpu (CorralAgent *agent, const char *name, guint index,
                                const CorralCpuset *cpus, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* --- cpuset, weight, cap, texts --- */

/* The container's own pCPUs. libvirt has no call for this that fits a container exactly, since a
 * define leaves the live values alone; the nearest is virDomainPinEmulator() and
 * virDomainGetEmulatorPinInfo() (virsh emulatorpin). CORRAL_EVENT_TUNED is emitted for a live
 * change, with every tune field -1. */
gboolean corral_agent_set_cpuset (CorralAgent *agent, const char *name, const CorralCpuset *cpus,
                                  guint affect, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Live: the effective ones. Config: the definition's, or the host's when it has none.
 * @ret_cpus: (out) (transfer full) */
gboolean corral_agent_get_cpuset (CorralAgent *agent, const char *name, guint affect,
                                  CorralCpuset **ret_cpus, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* The same for the NUMA nodes that its memory comes from; a change is no event, as in libvirt. */
gboolean corral_agent_set_mems (CorralAgent *agent, const char *name, const CorralCpuset *mems,
                                guint affect, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean corral_agent_get_mems (CorralAgent *agent, const char *name, guint affect,
                                CorralCpuset **ret_mems, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Live values are read from the kernel; every field is set on success (burst 0, quota
 * CORRAL_QUOTA_NONE, ...). */
gboolean corral_agent_get_tune (CorralAgent *agent, const char *name, guint affect,
                                CorralCpuTune *ret_tune, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Fields that are -1 stay as they are. */
gboolean corral_agent_set_tune (CorralAgent *agent, const char *name, const CorralCpuTune *tune,
                                guint affect, GError **error) G_GNUC_WARN_UNUSED_RESULT;

typedef enum {
    CORRAL_TEXT_TITLE,
    CORRAL_TEXT_DESCRIPTION,
    CORRAL_TEXT_METADATA, /* @uri and @prefix belong to this one */
} CorralText;
/* @value: (nullable): NULL removes it */
gboolean corral_agent_set_text (CorralAgent *agent, const char *name, CorralText what,
                                const char *uri, const char *prefix, const char *value,
                                guint affect, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* --- usage --- */

/* corral_agent_list_vcpus() and corral_agent_get_usage() may give an answer that is up to 5 ms old,
 * but never one from before a member came, left or moved.
 *
 * Of the container and everything beneath it. No field ever goes back while the container lives,
 * whatever members do and however often corrald restarts. */
typedef struct {
    guint64 total_ns, user_ns, system_ns;
    guint64 guest_ns;    /* vCPU threads in the guest, as the kernel accounts it. 0 under TCG */
    guint64 host_ns;     /* vCPU threads on a CPU, but not in the guest; by kvm.stat: in KVM */
    guint64 emulator_ns; /* the rest of total: emulator, I/O threads, helpers; and what QEMU does in
                          * a vCPU thread, where kvm.stat tells it from what KVM does */
    guint64 wait_ns;     /* vCPU threads runnable, waiting for a pCPU; beside total, not in it */
    guint64 throttled_ns, nr_periods, nr_throttled;
    gboolean have_exits;
    guint64 exits; /* only with the kernel's kvm subsystem */
    guint vms, vcpus;
    /* "kernel": from kvm.stat. "threads": split from /proc of each vCPU. "kernel+threads": the
     * former for KVM's vCPUs, the latter for emulated ones */
    const char *source;
} CorralAgentUsage;
gboolean corral_agent_get_usage (CorralAgent *agent, const char *name, CorralAgentUsage *ret_usage,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* --- events --- */

typedef enum {
    CORRAL_EVENT_DEFINED,
    CORRAL_EVENT_UPDATED, /* defined again */
    CORRAL_EVENT_UNDEFINED,
    CORRAL_EVENT_STARTED,
    CORRAL_EVENT_STOPPED,
    CORRAL_EVENT_MEMBER_ADDED,   /* detail: the VM's name */
    CORRAL_EVENT_MEMBER_REMOVED, /* detail: the VM's name */
    CORRAL_EVENT_TUNED,          /* tune: the fields that changed, others -1 */
    CORRAL_EVENT_PINNED,         /* index and detail (the cpulist) */
    CORRAL_EVENT_DRIFT,          /* detail: what differs from the plan, and what was done */
    CORRAL_EVENT_TEXT,           /* text, and detail: the metadata's URI */
} CorralEventType;

typedef struct {
    CorralEventType type;
    const char *name; /* the container */
    const guint8 *uuid;
    int id;
    const char *detail;
    guint index;
    CorralText text;
    CorralCpuTune tune;
} CorralEvent;

/* Signal "event" (const CorralEvent *): in the order in which things happened, after the agent's
 * own state shows them.
 * Signal "problem" (const GError *): something went wrong that no caller is waiting for; for the
 * log. */
