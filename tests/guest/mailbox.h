/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the guest and its host meet in guest RAM. guest.S and tests/integration/harness/guest.py
 * keep the same layout. Little endian; one 64-byte header, then one 64-byte slot for each local
 * APIC id. */
#pragma once

#define MAILBOX_BASE 0x10000
#define MAILBOX_MAGIC 0x47524f43 /* "CORG" */
#define MAILBOX_VERSION 1
#define SLOT_SIZE 64
#define SLOT_MAX 255

/* header: all written by the guest */
#define HEADER_MAGIC 0
#define HEADER_VERSION 4
#define HEADER_PERIOD_NS 8
#define HEADER_PERIOD_TSC 12 /* time stamp counts in one period; 0 until measured */
#define HEADER_ID_LIMIT 16   /* APIC ids are below this */
#define HEADER_KEEP_TSC 20   /* a longer gap between two readings is time the host took away */

/* slot */
#define SLOT_LOAD 0        /* written by the host: busy part of a period, in 1/1000 */
#define SLOT_ALIVE 4       /* 1 once the vCPU runs; 0 before, and after it was unplugged */
#define SLOT_PERIODS 8     /* u64: periods seen */
#define SLOT_BUSY_TSC 16   /* u64: busy time in time stamp counts, taken-away time left out */
#define SLOT_ITERATIONS 24 /* u64: turns of the busy loop */
#define SLOT_STOLEN_TSC 32 /* u64: time that the host took away while busy */
#define SLOT_STARTS 40     /* u32: times this vCPU was started */

/* A stack for each vCPU, for interrupts only. */
#define STACK_BASE 0x20000
#define STACK_SIZE 256
