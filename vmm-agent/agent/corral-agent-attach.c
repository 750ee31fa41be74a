/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Members that somebody asks to join or to leave. The files are saved, the kernel is told, and when
 * it refuses the files are as before. */
#include "vmm-agent/agent/corral-agent-plan-private.h"

#include "common/corral-error.h"

#include <string.h>

static char *
describe (const CorralMemberDef *member)
{
    return member->type == CORRAL_MEMBER_VM
               ? g_strdup_printf ("the VM \"%s\"", member->name)
               : g_strdup_printf ("vCPU %d of the VM \"%s\"", member->vcpu, member->name);
}

static gboolean
find_member (const CorralDefinition *definition, const CorralMemberDef *member, guint *ret_index)
{
    for (guint i = 0; i < definition->members->len; i++)
        if (corral_member_def_equal (member, g_ptr_array_index (definition->members, i))) {
            *ret_index = i;
            return TRUE;
        }
    return FALSE;
}

static void
wish (CorralDefinition *definition, const CorralMemberDef *member)
{
    guint index;

    if (!find_member (definition, member, &index))
        g_ptr_array_add (definition->members, corral_member_def_copy (member));
}

static void
unwish (CorralDefinition *definition, const CorralMemberDef *member)
{
    guint index;

    if (find_member (definition, member, &index))
        g_ptr_array_remove_index (definition->members, index);
}

static gboolean
refuse (CorralError code, const CorralMemberDef *member, const char *verb,
        const CorralAgentEntry *entry, const char *why, GError **error)
{
    g_autofree char *described = describe (member);

    g_set_error (error, CORRAL_ERROR, code, "cannot %s %s %s the container \"%s\": %s", verb,
                 described, g_str_equal (verb, "attach") ? "to" : "from",
                 corral_container_definition (&entry->shown)->name, why);
    return FALSE;
}

/* What a live change is about: one VM that runs, or one of its vCPUs. */
typedef struct {
    const CorralVm *known;
    CorralAgentVm *vm;
    CorralAgentThread *thread; /* (nullable): NULL for a whole VM */
} Target;

static gboolean
find_target (CorralAgent *agent, const CorralMemberDef *member, Target *ret_target, GError **error)
{
    Target target = { NULL };

    if (member->type == CORRAL_MEMBER_VM && strpbrk (member->name, "*?") != NULL) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "\"%s\" is a pattern, which belongs into a definition; name one running VM",
                     member->name);
        return FALSE;
    }
    target.known = corral_agent_find_vm (agent, member->name, &target.vm, error);
    if (target.known == NULL)
        return FALSE;
    if (member->type == CORRAL_MEMBER_VCPU) {
        target.thread = corral_agent_find_vcpu (target.vm, member->vcpu, error);
        if (target.thread == NULL)
            return FALSE;
    }
    *ret_target = target;
    return TRUE;
}

/* --- attach --- */

/* Another active container that names the same member would claim it back at the VM's next start.
 */
static gboolean
release_elsewhere (CorralAgent *agent, CorralAgentEntry *entry, const CorralMemberDef *member,
                   CorralAgentDraft *ret_draft, GError **error)
{
    g_autoptr (GPtrArray) entries = corral_agent_entries (agent);

    for (guint i = 0; i < entries->len; i++) {
        CorralAgentEntry *other = g_ptr_array_index (entries, i);
        guint index;

        if (other == entry || !corral_agent_entry_is_active (other) ||
            !find_member (other->stored, member, &index))
            continue;
        if (!corral_agent_draft_begin (other, CORRAL_AFFECT_LIVE, ret_draft, error))
            return FALSE;
        unwish (ret_draft->live, member);
        return corral_agent_draft_save (agent, ret_draft, error);
    }
    return TRUE;
}

static gboolean
attach_in_kernel (CorralAgent *agent, CorralAgentEntry *entry, const Target *target, GError **error)
{
    const char *path = entry->stored->partition;

    return target->thread != NULL
               ? corral_agent_move_vcpu (agent, target->vm, target->thread, path, error)
               : corral_agent_move_vm (agent, target->vm, target->known, path, error);
}

static gboolean
is_there (CorralAgentEntry *entry, const Target *target)
{
    return g_strcmp0 (target->thread != NULL ? target->thread->path : target->vm->path,
                      entry->stored->partition) == 0;
}

/* Files, kernel, memory, in this order */
static gboolean
attach_live (CorralAgent *agent, CorralAgentDraft *draft, const CorralMemberDef *member,
             const Target *target, GError **error)
{
    g_auto (CorralAgentDraft) other = { NULL };

    if (!corral_agent_draft_save (agent, draft, error))
        return FALSE;
    if (!release_elsewhere (agent, draft->entry, member, &other, error) ||
        !attach_in_kernel (agent, draft->entry, target, error)) {
        corral_agent_draft_undo (agent, &other);
        corral_agent_draft_undo (agent, draft);
        return FALSE;
    }
    corral_agent_draft_commit (agent, draft);
    corral_agent_draft_commit (agent, &other);
    return TRUE;
}

gboolean
corral_agent_attach (CorralAgent *agent, const char *name, const CorralMemberDef *member,
                     guint affect, GError **error)
{
    CorralAgentEntry *entry = corral_agent_find (agent, name, error);
    g_auto (CorralAgentDraft) draft = { NULL };
    CorralAgentChange change;
    GError *problem = NULL;
    Target target;
    guint index;

    if (entry == NULL || !corral_agent_draft_begin (entry, affect, &draft, error))
        return FALSE;
    if (draft.config != NULL) {
        if (find_member (draft.config, member, &index))
            return refuse (CORRAL_ERROR_EXISTS, member, "attach", entry,
                           "its definition names it already", error);
        wish (draft.config, member);
    }
    if (draft.live == NULL) {
        if (!corral_agent_draft_save (agent, &draft, error))
            return FALSE;
        corral_agent_draft_commit (agent, &draft);
        return TRUE;
    }
    if (!find_target (agent, member, &target, error))
        return FALSE;
    if (is_there (entry, &target))
        return refuse (CORRAL_ERROR_EXISTS, member, "attach", entry, "it is in it already", error);
    wish (draft.live, member);
    change = (CorralAgentChange){ .moved = target.vm,
                                  .thread = target.thread,
                                  .path = entry->stored->partition };
    if (!corral_agent_check_change (agent, &change, error)) {
        g_prefix_error (error, "cannot attach to the container \"%s\": ", name);
        return FALSE;
    }
    if (!attach_live (agent, &draft, member, &target, error))
        return FALSE;
    if (!corral_agent_replan (agent, &problem))
        corral_agent_problem (agent, problem, "the plan with a new member could not be applied");
    if (member->type == CORRAL_MEMBER_VCPU)
        corral_agent_emit_simple (agent, entry, CORRAL_EVENT_MEMBER_ADDED, member->name);
    return TRUE;
}

/* --- detach --- */

/* CORRAL_ERROR_STATE when it is here by its source's word */
static gboolean
check_may_leave (CorralAgentEntry *entry, const CorralMemberDef *member, const Target *target,
                 GError **error)
{
    if (target->thread != NULL && target->vm->path == NULL)
        return refuse (CORRAL_ERROR_STATE, member, "detach", entry,
                       "the rest of its VM is in no container", error);
    if (target->thread != NULL)
        return (target->thread->apart && target->thread->inner == entry) ||
               refuse (CORRAL_ERROR_NOT_FOUND, member, "detach", entry,
                       "it is not in it apart from its VM", error);
    if (target->vm->inner != entry)
        return refuse (CORRAL_ERROR_NOT_FOUND, member, "detach", entry, "it is not in it", error);
    if (target->known->source != CORRAL_VM_LIBVIRT)
        return strrchr (entry->stored->partition, '/') != entry->stored->partition ||
               refuse (CORRAL_ERROR_STATE, member, "detach", entry,
                       "there is no container above to go to", error);
    if (target->known->home_group == NULL)
        return refuse (CORRAL_ERROR_STATE, member, "detach", entry,
                       "the group that libvirt made for it is not known", error);
    if (g_strcmp0 (target->known->partition, entry->stored->partition) == 0 ||
        g_strcmp0 (target->known->home_group, target->vm->group) == 0)
        return refuse (CORRAL_ERROR_STATE, member, "detach", entry, "its <partition> keeps it here",
                       error);
    return TRUE;
}

static gboolean
detach_in_kernel (CorralAgent *agent, CorralAgentEntry *entry, const Target *target, GError **error)
{
    g_autofree char *above = NULL;

    if (target->thread != NULL)
        return corral_agent_rejoin_vcpu (agent, target->vm, target->known, target->thread, error);
    if (target->known->source == CORRAL_VM_LIBVIRT)
        return corral_agent_restore_vm (agent, target->vm, target->known, error);
    above = g_path_get_dirname (entry->stored->partition);
    return corral_agent_move_vm (agent, target->vm, target->known, above, error);
}

gboolean
corral_agent_detach (CorralAgent *agent, const char *name, const CorralMemberDef *member,
                     guint affect, GError **error)
{
    CorralAgentEntry *entry = corral_agent_find (agent, name, error);
    g_auto (CorralAgentDraft) draft = { NULL };
    gboolean live;
    Target target;
    guint index;

    if (entry == NULL || !corral_agent_draft_begin (entry, affect, &draft, error))
        return FALSE;
    live = draft.live != NULL;
    if (draft.config != NULL) {
        if (!find_member (draft.config, member, &index))
            return refuse (CORRAL_ERROR_NOT_FOUND, member, "detach", entry,
                           "its definition does not name it", error);
        unwish (draft.config, member);
    }
    if (live) {
        if (!find_target (agent, member, &target, error) ||
            !check_may_leave (entry, member, &target, error))
            return FALSE;
        unwish (draft.live, member);
    }
    if (!corral_agent_draft_save (agent, &draft, error))
        return FALSE;
    if (live && !detach_in_kernel (agent, entry, &target, error)) {
        corral_agent_draft_undo (agent, &draft);
        return FALSE;
    }
    corral_agent_draft_commit (agent, &draft);
    if (live)
        corral_agent_replan_soon (agent);
    if (live && member->type == CORRAL_MEMBER_VCPU)
        corral_agent_emit_simple (agent, entry, CORRAL_EVENT_MEMBER_REMOVED, member->name);
    return TRUE;
}
