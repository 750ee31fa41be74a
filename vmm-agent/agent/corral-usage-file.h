/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the numbers of corral-usage live: a file in the state folder, mapped into memory. A store
 * into it outlives kill -9 and costs nothing, so every answer that was given is on record. */
#pragma once

#include "vmm-agent/agent/corral-usage.h"

#include <sys/types.h>

typedef struct CorralUsageFile CorralUsageFile;

/* A number of one record; records move when the file grows, their numbers do not. */
typedef guint32 CorralUsageSlot;
#define CORRAL_USAGE_NO_SLOT G_MAXUINT32

/**
 * corral_usage_file_open:
 *
 * Opens the file, or makes an empty one. One that is damaged or of another format is replaced: then
 * counting begins anew, and the split of what was used before counts as emulator.
 */
CorralUsageFile *corral_usage_file_open (const char *path, GError **error);
void corral_usage_file_close (CorralUsageFile *file);

/* A container is known by the kernel's id of it; a thread by its tid and its time of birth. Each
 * finds the record, or takes a fresh one, all zero or beginning at @base; @ret_found (out) says
 * which. The result is CORRAL_USAGE_NO_SLOT, with an error, when the disk is full. */
CorralUsageSlot corral_usage_file_container (CorralUsageFile *file, int id, gboolean *ret_found,
                                             GError **error);
CorralUsageSlot corral_usage_file_thread (CorralUsageFile *file, pid_t tid, guint64 start_time,
                                          const CorralUsageCounters *base, gboolean *ret_found,
                                          GError **error);

/* What kvm.stat said of the container @id: CORRAL_USAGE_NO_SLOT, with no error, when it has never
 * been there and @take is %FALSE. */
CorralUsageSlot corral_usage_file_kernel_of (CorralUsageFile *file, int id, gboolean take,
                                             GError **error);

gboolean corral_usage_file_has_thread (CorralUsageFile *file, pid_t tid, guint64 start_time);

/* Borrowed until the next record is taken */
CorralUsageAccount *corral_usage_file_account (CorralUsageFile *file, CorralUsageSlot slot);
CorralUsageThread *corral_usage_file_sample (CorralUsageFile *file, CorralUsageSlot slot);
CorralUsageKernel *corral_usage_file_kernel (CorralUsageFile *file, CorralUsageSlot slot);

/* Forgets the record; that of a thread which was taken several times, with the last such call. */
void corral_usage_file_drop (CorralUsageFile *file, CorralUsageSlot slot);
/* Forgets every record that was not found or taken since the file was opened. */
void corral_usage_file_sweep (CorralUsageFile *file, gboolean threads);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralUsageFile, corral_usage_file_close)
