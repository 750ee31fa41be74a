/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What corrald tells the journal, or standard error where there is none. data/corral.catalog
 * explains each of these messages (journalctl -x). */
#pragma once

#include "vmm-agent/agent/corral-agent.h"

#define CORRALD_MESSAGE_READY "46d23d3c8c754232a01bc50d906e3756"
#define CORRALD_MESSAGE_STOPPED "91eea17c4c394f3eb41158f86af9c2ba"
#define CORRALD_MESSAGE_FAILED "5488057a777d4175b7a4dd35e4ed1d36"
#define CORRALD_MESSAGE_RELOADED "ba97844006734df087e652f5eb0257c2"
#define CORRALD_MESSAGE_RELOAD_FAILED "9368c2926b374e60b306c26573c24391"
#define CORRALD_MESSAGE_CONTAINER_STARTED "5fa8742181a5467ba7dd81b55605c51d"
#define CORRALD_MESSAGE_CONTAINER_STOPPED "0447c9cb53b646e8bd8308739b2a19db"
#define CORRALD_MESSAGE_MEMBER_ADDED "3e96254a9b9d4382a3d523df5ebb7ac2"
#define CORRALD_MESSAGE_MEMBER_REMOVED "13497d818252452abc369e411a18ede0"
#define CORRALD_MESSAGE_DRIFT "7d0f6e0d5f8c4b6fa4f6a2d1c7c3b8e9"
#define CORRALD_MESSAGE_PROBLEM "c8a8a5d9ba9b4b08ae7c80e48145126c"

void corrald_log_init (void);
void corrald_log (GLogLevelFlags level, const char *message_id, const char *format, ...)
    G_GNUC_PRINTF (3, 4);
/* Those events that somebody who reads the log has to know */
void corrald_log_event (const CorralEvent *event);
