/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the two files of the watch share: targets, which are containers and groups, and the places
 * that are watched for them. */
#pragma once

#include "vmm-agent/container/container-private.h"

#include <sys/inotify.h>
#include <sys/stat.h>

typedef struct {
    char *name; /* what the signal says: a path, or a group */
    char *dir;
    gboolean is_group;
    guint more;          /* of CorralWatchMore */
    ino_t inode;         /* 0: not there */
    GHashTable *watched; /* key_of_dir() -> its watch's number */
    gboolean moved;      /* something came or went that needs a new look */
    gboolean gone;       /* it, or what it was in, was removed, and may be there again by now */
    gboolean dirty;      /* groups in it changed */
    gboolean written;    /* somebody wrote a setting of its own */
    GHashTable *groups;  /* set of names: groups in which somebody wrote one */
    gboolean lost;       /* events are missing: any of its groups may be another one */
    gboolean lacking;    /* there was no room for all that @more asks for */
} CorralWatchTarget;

/* A directory that is watched */
typedef struct {
    const CorralHierarchy *h;
    char *dir;
    GPtrArray *users; /* of CorralWatchTarget, borrowed */
} CorralWatchPlace;

struct _CorralWatch {
    CorralContainerCore *core; /* owns this */
    int fd;
    GSource *source;
    GHashTable *targets; /* key -> CorralWatchTarget */
    GHashTable *places;  /* watch number -> CorralWatchPlace */
    guint limit;         /* so many places, before what is only written is watched no more */
    gboolean lacking;    /* a target is; it was told */
    guint lacking_at;    /* with so many places there was no room: with fewer it is tried again */
};

/* Where a directory is, as a target sees it */
typedef enum {
    CORRAL_WATCH_ABOVE,
    CORRAL_WATCH_OWN,
    CORRAL_WATCH_GROUP,
    CORRAL_WATCH_ROLE
} CorralWatchLevel;

CorralWatchLevel corral_watch_level (const CorralWatchTarget *target, const char *dir);
/* The group that @dir, at its level or beneath, is in. (transfer full) */
char *corral_watch_group_of (const CorralWatchTarget *target, const char *dir);
/* @name has come into the group @dir: it is watched if @target wants that. */
void corral_watch_take_role (CorralWatch *watch, CorralWatchTarget *target,
                             const CorralHierarchy *h, const char *dir, const char *name);

/* All that a target needs. What is not there is no error: the watch above it will tell. @all: also
 * what is in groups that are watched already. Returns: 0, or an errno */
int corral_watch_follow (CorralWatch *watch, CorralWatchTarget *target, gboolean all);

/* Drops the watches of @top and all beneath it: the directories are gone, and new ones of these
 * names need new watches. The kernel's cgroup directories do not say so themselves (no IN_IGNORED
 * comes). */
void corral_watch_forget_dir (CorralWatch *watch, CorralWatchTarget *target,
                              const CorralHierarchy *h, const char *top);
/* The same where inotify does tell. */
void corral_watch_forget_number (CorralWatch *watch, int number);
/* Drops what @target does not want any more. */
void corral_watch_forget_unwanted (CorralWatch *watch, CorralWatchTarget *target);
/* Drops all that it has. */
void corral_watch_forget (CorralWatch *watch, CorralWatchTarget *target);
