/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A container's definition: what <domain type='corral'> says, as a plain value. */
#pragma once

#include "common/corral-cpuset.h"
#include "policy/corral-placement.h"

#include <glib.h>

#define CORRAL_XML_NAMESPACE "urn:corral:1"
/* Longest document read, in bytes; and the longest name or path component. */
#define CORRAL_XML_MAX (1024 * 1024)
/* The same for a VM's document: what libvirt itself takes. */
#define CORRAL_VM_XML_MAX (4 * 1024 * 1024)
#define CORRAL_NAME_MAX 200
#define CORRAL_UUID_BYTES 16

typedef enum {
    CORRAL_MEMBER_VM,   /* a whole VM */
    CORRAL_MEMBER_VCPU, /* one vCPU of a VM */
} CorralMemberType;

/* <member type='vm' name='db*'/> or <member type='vcpu' name='web1' vcpu='0'/> */
typedef struct {
    CorralMemberType type;
    char *name; /* a VM's name; for CORRAL_MEMBER_VM it may be a glob pattern (* and ?) */
    int vcpu;   /* vCPU index; -1 for CORRAL_MEMBER_VM */
} CorralMemberDef;

/* Weight and cap. -1 stands for "not set", where the kernel's default holds. */
typedef struct {
    gint64 shares;      /* relative weight, 2 to 262144, as cpu.shares; default 1024 */
    gint64 period_usec; /* length of the cap's period, 1000 to 1000000; default 100000 */
    gint64 quota_usec;  /* CPU time in one period, from 1000 up; CORRAL_QUOTA_NONE: no cap */
    gint64 burst_usec;  /* unused quota that may be carried over, 0 up to the quota; default 0 */
} CorralCpuTune;

#define CORRAL_QUOTA_NONE (-2)
/* clang-format off */
#define CORRAL_CPU_TUNE_INIT { -1, -1, -1, -1 }
/* clang-format on */

/* One child of <metadata>, kept word for word. */
typedef struct {
    char *uri;  /* the namespace of the element */
    char *xml;  /* the element, serialised, namespace declaration included */
    char *bare; /* the same without that namespace, which is what virDomainGetMetadata() gives */
} CorralMetadata;

typedef struct {
    char *name;                     /* unique on this host; never NULL */
    guint8 uuid[CORRAL_UUID_BYTES]; /* all zero: the document has none */
    char *partition;                /* "/machine/prod"; never NULL, canonical */
    char *title;                    /* (nullable): one line */
    char *description;              /* (nullable) */
    CorralCpuset *cpus;             /* (nullable): NULL means the parent's */
    CorralCpuset *mems;             /* (nullable): NULL means the parent's */
    CorralCpuTune tune;
    gboolean planned;          /* <vcpu placement='auto'/> or a <corral:placement>: by the planner,
                                  within @cpus where that is set */
    CorralPlacement placement; /* CORRAL_PLACEMENT_INIT unless planned */
    guint placement_said; /* attributes that the document has: CorralPlacementSaid bits; for the
                             host's defaults and so that a dump says what was written */
    GPtrArray *members;   /* of CorralMemberDef, in document order; never NULL */
    GPtrArray *metadata;  /* of CorralMetadata; never NULL */
} CorralDefinition;

/**
 * corral_definition_parse:
 * @xml: the document, not necessarily terminated
 * @length: its length in bytes
 * @ret_definition: (out) (transfer full)
 *
 * Reads and validates one <domain type='corral'> document: RelaxNG first, then what a schema cannot
 * say. Elements that libvirt itself adds to any domain (memory, os, on_poweroff, ...) are accepted
 * and dropped when they can have no meaning for a container. Without <resource><partition> the
 * container lives at "/machine/" + its name.
 *
 * Returns: %FALSE with %CORRAL_ERROR_XML; the message has the line, the element and what was
 * expected.
 */
gboolean corral_definition_parse (const char *xml, gsize length, CorralDefinition **ret_definition,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What a dump shows beyond the definition: how the container is now. */
typedef struct {
    int id;      /* libvirt domain id; -1 for an inactive container */
    guint vcpus; /* vCPUs of all members, for <vcpu>; 0 is written as 1, which clients expect */
} CorralDefinitionLive;

/**
 * corral_definition_format:
 * @live: (nullable): NULL writes the definition alone
 *
 * The inverse of corral_definition_parse(): parse, format, parse gives equal values, and format,
 * parse, format gives equal text.
 *
 * Returns: (transfer full): the document
 */
char *corral_definition_format (const CorralDefinition *definition,
                                const CorralDefinitionLive *live);

/**
 * corral_member_def_parse:
 * @xml: a single <member/> element, as attach-device sends it
 */
gboolean corral_member_def_parse (const char *xml, gsize length, CorralMemberDef **ret_member,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;
char *corral_member_def_format (const CorralMemberDef *member);
CorralMemberDef *corral_member_def_copy (const CorralMemberDef *member);
void corral_member_def_free (CorralMemberDef *member);
gboolean corral_member_def_equal (const CorralMemberDef *a, const CorralMemberDef *b);

CorralDefinition *corral_definition_copy (const CorralDefinition *definition);
void corral_definition_free (CorralDefinition *definition);

/* @text: (nullable): NULL and "" remove it. %CORRAL_ERROR_INVALID when it holds what XML cannot
 * carry, a line break in a title, or makes the document longer than CORRAL_XML_MAX. */
gboolean corral_definition_set_title (CorralDefinition *definition, const char *text,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean corral_definition_set_description (CorralDefinition *definition, const char *text,
                                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * corral_definition_get_metadata:
 *
 * Returns: (nullable): the element of namespace @uri without that namespace, owned by @definition
 */
const char *corral_definition_get_metadata (const CorralDefinition *definition, const char *uri);

/**
 * corral_definition_set_metadata:
 * @xml: (nullable): the element; NULL removes it
 * @prefix: (nullable): the namespace prefix under which @xml is kept
 *
 * Sets the <metadata> child of namespace @uri, as virDomainSetMetadata() means it.
 */
gboolean corral_definition_set_metadata (CorralDefinition *definition, const char *uri,
                                         const char *prefix, const char *xml, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/**
 * corral_definition_claims:
 *
 * Whether @definition's members name the VM @vm_name, and how well.
 *
 * Returns: 0 for no; a larger number for a better match: an exact name beats every pattern, and a
 *   pattern with more literal characters beats one with fewer.
 */
guint corral_definition_claims (const CorralDefinition *definition, const char *vm_name);

/**
 * corral_partition_check:
 *
 * Whether @partition is a path that a container may have: absolute, at most CORRAL_PARTITION_DEPTH
 * components of letters, digits, '_' and '-', none of them empty, of at most CORRAL_NAME_MAX bytes.
 * No dots: they would end libvirt's own naming rule (a component with a dot gets no ".partition"),
 * and with it ".." is out too. But a VM's own directory ("qemu-1-web1.libvirt-qemu", or
 * "....corral") may be on the way: what is beneath it is a container for that VM's vCPUs, as cgroup
 * v2 wants it.
 */
#define CORRAL_PARTITION_DEPTH 16
gboolean corral_partition_check (const char *partition, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * corral_vm_wishes_parse:
 * @xml: a domain document of any hypervisor
 * @ret_wishes: (out): CorralWish bits of what @ret_wish sets
 * @ret_n_vcpus: (out) (optional): vCPUs at its start
 * @ret_max_vcpus: (out) (optional): the most that can be plugged
 *
 * A VM's own wishes, from its <metadata> (<corral:placement xmlns:corral="urn:corral:1" .../>).
 * None is a success with no bits. %CORRAL_ERROR_XML names what is wrong with them.
 */
gboolean corral_vm_wishes_parse (const char *xml, gsize length, CorralPlacement *ret_wish,
                                 guint *ret_wishes, guint *ret_n_vcpus, guint *ret_max_vcpus,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * corral_vm_partition_parse:
 * @xml: a domain document of any hypervisor, as libvirt hands it to a hook
 * @ret_name: (out) (transfer full): the domain's name
 * @ret_partition: (out) (transfer full) (nullable): its <resource><partition>; NULL if it has none
 */
gboolean corral_vm_partition_parse (const char *xml, gsize length, char **ret_name,
                                    char **ret_partition, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralDefinition, corral_definition_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralMemberDef, corral_member_def_free)
