/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the made-up kernel share. */
#pragma once

#include "tests/unit/container/fake-kernel.h"

typedef struct {
    char *mount; /* "/sys/fs/cgroup/cpu" */
    char *files; /* where that is in the folder */
    int version;
    const char *controllers; /* v1: its mount option; v2: space-separated */
    int number;
    GHashTable *texts; /* what the files hold, to be spared reading and writing them again */
} Tree;

typedef struct {
    pid_t tid, pid;
    GHashTable *places; /* Tree -> directory */
    CorralCpuset *user, *now;
    char *written; /* what its /proc files hold */
} Thread;

struct _FakeKernel {
    FakeKind kind;
    char *root;
    int root_fd;
    char *cpus;
    GPtrArray *trees;
    GPtrArray *threads;
    GPtrArray *kvms; /* fake-kvm.c */
    pid_t next_pid;
    gboolean stale;
    gboolean forgetful;
    guint deaf;
};

/* --- fake-tree.c: the files of a hierarchy; directories are relative to its top --- */

char *fake_file_path (const Tree *tree, const char *dir, const char *file);
void fake_put (const Tree *tree, const char *dir, const char *file, const char *text);
void fake_drop (const Tree *tree, const char *dir, const char *file);
char *fake_get (const Tree *tree, const char *dir, const char *file);
gboolean fake_has (const Tree *tree, const char *dir, const char *file);
CorralCpuset *fake_get_set (const Tree *tree, const char *dir, const char *file);
void fake_put_set (const Tree *tree, const char *dir, const char *file, const CorralCpuset *set);
GPtrArray *fake_children (const Tree *tree, const char *dir);
gboolean fake_word_in (const char *words, const char *separator, const char *word);
/* Makes the files that a directory should have; removes them all. */
void fake_clear (const Tree *tree, const char *dir);
void fake_fill (const Tree *tree, const char *dir);

/* --- fake-kernel.c: what follows from them --- */

const char *fake_place (const Thread *thread, const Tree *tree);
Tree *fake_tree_with (FakeKernel *k, const char *controller);
/* What the cpuset controller grants in a directory. */
CorralCpuset *fake_granted (const Tree *tree, const char *dir);
void fake_apply_user (Thread *thread, const CorralCpuset *allowed);
void fake_refresh (FakeKernel *k, gboolean cpuset_written);

/* --- fake-rules.c --- */

Thread *fake_find_thread (FakeKernel *k, pid_t tid);
int fake_do_affinity (FakeKernel *k, pid_t tid, const char *list);
int fake_move (FakeKernel *k, Tree *tree, const char *dir, const char *text, gboolean whole);
gint64 fake_number (const Tree *tree, const char *dir, const char *file);

/* --- fake-kvm.c --- */

/* Lists the VMs in @dir and beneath it. */
void fake_kvm_refresh (FakeKernel *k, const Tree *tree, const char *dir);
int fake_kvm_attach (FakeKernel *k, Tree *tree, const char *dir, const char *text);
