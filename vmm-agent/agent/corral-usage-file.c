/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A header and an array of records of one size. A record's key is written last when it is taken and
 * first when it is dropped, so that a kill in between leaves a free record, never a wrong one. In
 * the same way a sample is stored before the sums that it adds to: a kill in between makes that
 * time count as emulator, and nothing that was told goes back. */
#include "vmm-agent/agent/corral-usage-file.h"

#include "common/corral-error.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "corral usage 1\n"
#define GROW 128
/* 64 times what the largest host needs; a longer file is damaged. */
#define RECORDS_MAX (1024 * 1024)

enum { KIND_FREE, KIND_CONTAINER, KIND_THREAD, KIND_KERNEL };

typedef struct {
    guint32 kind;
    gint32 number;      /* the container's id, or the tid */
    guint64 start_time; /* of a thread; else 0 */
    union {
        CorralUsageAccount account;
        CorralUsageThread sample;
        CorralUsageKernel kernel;
    } value;
} Record;

typedef struct {
    char magic[16];
    guint64 record_size;
} Header;

struct CorralUsageFile {
    char *path;
    int fd;
    Header *header; /* the mapping */
    Record *records;
    guint32 n_records;
    GHashTable *index; /* Key -> slot + 1 */
    GArray *users;     /* of guint: how many have taken each record since the file was opened */
};

typedef struct {
    guint32 kind;
    gint32 number;
    guint64 start_time;
} Key;

G_STATIC_ASSERT (G_STRUCT_OFFSET (Record, value) == sizeof (Key));
/* A file from before there were records of this kind is as good as another. */
G_STATIC_ASSERT (sizeof (CorralUsageKernel) <= sizeof (CorralUsageAccount));

static guint
key_hash (gconstpointer data)
{
    const Key *key = data;

    return key->kind ^ ((guint) key->number << 2) ^ (guint) (key->start_time * 2654435761u);
}

static gboolean
key_equal (gconstpointer a, gconstpointer b)
{
    return memcmp (a, b, sizeof (Key)) == 0;
}

static gsize
size_of (guint32 n_records)
{
    return sizeof (Header) + (gsize) n_records * sizeof (Record);
}

static guint *
users_of (CorralUsageFile *file, CorralUsageSlot slot)
{
    return &g_array_index (file->users, guint, slot);
}

static gboolean
fail (CorralUsageFile *file, GError **error)
{
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO, "cannot keep CPU usage in \"%s\": %s",
                 file->path, g_strerror (errno));
    return FALSE;
}

/* The disk space is taken at once: a store into a hole on a full disk would be a SIGBUS. */
static gboolean
grow (CorralUsageFile *file, guint32 n_records, GError **error)
{
    gpointer map;

    if (n_records > RECORDS_MAX)
        errno = EFBIG;
    else
        errno = posix_fallocate (file->fd, 0, (off_t) size_of (n_records));
    if (errno != 0)
        return fail (file, error);
    map = mmap (NULL, size_of (n_records), PROT_READ | PROT_WRITE, MAP_SHARED, file->fd, 0);
    if (map == MAP_FAILED)
        return fail (file, error);
    if (file->header != NULL)
        munmap (file->header, size_of (file->n_records));
    file->header = map;
    file->records = (Record *) (file->header + 1);
    file->n_records = n_records;
    g_array_set_size (file->users, n_records);
    return TRUE;
}

static gboolean
header_is_ours (CorralUsageFile *file)
{
    return memcmp (file->header->magic, MAGIC, sizeof MAGIC) == 0 &&
           file->header->record_size == sizeof (Record);
}

/* Of two records with one key, which only damage can make, the first counts. */
static void
read_records (CorralUsageFile *file)
{
    for (guint32 i = 0; i < file->n_records; i++) {
        Record *record = &file->records[i];

        *users_of (file, i) = 0;
        if (record->kind == KIND_FREE)
            continue;
        if (record->kind > KIND_KERNEL || g_hash_table_contains (file->index, record))
            record->kind = KIND_FREE;
        else
            g_hash_table_insert (file->index, g_memdup2 (record, sizeof (Key)),
                                 GUINT_TO_POINTER (i + 1));
    }
}

CorralUsageFile *
corral_usage_file_open (const char *path, GError **error)
{
    g_autoptr (CorralUsageFile) file = g_new0 (CorralUsageFile, 1);
    struct stat st;
    guint32 n_records;

    G_STATIC_ASSERT (sizeof MAGIC == sizeof ((Header *) NULL)->magic);
    file->path = g_strdup (path);
    file->index = g_hash_table_new_full (key_hash, key_equal, g_free, NULL);
    file->users = g_array_new (FALSE, TRUE, sizeof (guint));
    file->fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file->fd < 0 || fstat (file->fd, &st) != 0) {
        fail (file, error);
        return NULL;
    }
    if (st.st_size <= (off_t) sizeof (Header) || st.st_size > (off_t) size_of (RECORDS_MAX))
        n_records = 0;
    else
        n_records = (guint32) (((gsize) st.st_size - sizeof (Header)) / sizeof (Record));
    if (!grow (file, MAX (n_records, GROW), error))
        return NULL;
    if (!header_is_ours (file)) {
        memset (file->header, 0, size_of (file->n_records));
        file->header->record_size = sizeof (Record);
        memcpy (file->header->magic, MAGIC, sizeof MAGIC);
    }
    read_records (file);
    return g_steal_pointer (&file);
}

void
corral_usage_file_close (CorralUsageFile *file)
{
    if (file == NULL)
        return;
    if (file->header != NULL)
        munmap (file->header, size_of (file->n_records));
    if (file->fd >= 0)
        close (file->fd);
    g_clear_pointer (&file->index, g_hash_table_unref);
    g_clear_pointer (&file->users, g_array_unref);
    g_free (file->path);
    g_free (file);
}

static CorralUsageSlot
find (CorralUsageFile *file, const Key *key, const CorralUsageCounters *base, gboolean *ret_found,
      GError **error)
{
    guint32 slot = GPOINTER_TO_UINT (g_hash_table_lookup (file->index, key));
    Record *record;

    *ret_found = slot != 0;
    if (slot != 0) {
        /* A process with two names has each of its threads twice. */
        *users_of (file, slot - 1) = key->kind == KIND_THREAD ? *users_of (file, slot - 1) + 1 : 1;
        return slot - 1;
    }
    while (slot < file->n_records && file->records[slot].kind != KIND_FREE)
        slot++;
    if (slot == file->n_records && !grow (file, file->n_records + GROW, error))
        return CORRAL_USAGE_NO_SLOT;
    record = &file->records[slot];
    memset (record, 0, sizeof *record);
    record->number = key->number;
    record->start_time = key->start_time;
    if (base != NULL)
        corral_usage_thread_begin (&record->value.sample, base);
    __atomic_store_n (&record->kind, key->kind, __ATOMIC_RELEASE);
    g_hash_table_insert (file->index, g_memdup2 (key, sizeof *key), GUINT_TO_POINTER (slot + 1));
    *users_of (file, slot) = 1;
    return slot;
}

CorralUsageSlot
corral_usage_file_container (CorralUsageFile *file, int id, gboolean *ret_found, GError **error)
{
    Key key = { KIND_CONTAINER, id, 0 };

    return find (file, &key, NULL, ret_found, error);
}

CorralUsageSlot
corral_usage_file_thread (CorralUsageFile *file, pid_t tid, guint64 start_time,
                          const CorralUsageCounters *base, gboolean *ret_found, GError **error)
{
    Key key = { KIND_THREAD, tid, start_time };

    return find (file, &key, base, ret_found, error);
}

CorralUsageSlot
corral_usage_file_kernel_of (CorralUsageFile *file, int id, gboolean take, GError **error)
{
    Key key = { KIND_KERNEL, id, 0 };
    gboolean found;

    if (!take && !g_hash_table_contains (file->index, &key))
        return CORRAL_USAGE_NO_SLOT;
    return find (file, &key, NULL, &found, error);
}

gboolean
corral_usage_file_has_thread (CorralUsageFile *file, pid_t tid, guint64 start_time)
{
    Key key = { KIND_THREAD, tid, start_time };

    return g_hash_table_contains (file->index, &key);
}

CorralUsageAccount *
corral_usage_file_account (CorralUsageFile *file, CorralUsageSlot slot)
{
    g_assert (slot < file->n_records && file->records[slot].kind == KIND_CONTAINER);
    return &file->records[slot].value.account;
}

CorralUsageThread *
corral_usage_file_sample (CorralUsageFile *file, CorralUsageSlot slot)
{
    g_assert (slot < file->n_records && file->records[slot].kind == KIND_THREAD);
    return &file->records[slot].value.sample;
}

CorralUsageKernel *
corral_usage_file_kernel (CorralUsageFile *file, CorralUsageSlot slot)
{
    g_assert (slot < file->n_records && file->records[slot].kind == KIND_KERNEL);
    return &file->records[slot].value.kernel;
}

void
corral_usage_file_drop (CorralUsageFile *file, CorralUsageSlot slot)
{
    if (slot == CORRAL_USAGE_NO_SLOT)
        return;
    g_assert (slot < file->n_records);
    if (*users_of (file, slot) > 1) {
        --*users_of (file, slot);
        return;
    }
    g_hash_table_remove (file->index, &file->records[slot]);
    file->records[slot].kind = KIND_FREE;
    *users_of (file, slot) = 0;
}

void
corral_usage_file_sweep (CorralUsageFile *file, gboolean threads)
{
    for (guint32 i = 0; i < file->n_records; i++)
        if (file->records[i].kind != KIND_FREE && *users_of (file, i) == 0 &&
            (file->records[i].kind == KIND_THREAD) == threads)
            corral_usage_file_drop (file, i);
}
