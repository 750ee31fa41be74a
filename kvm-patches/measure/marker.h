/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Marks for marker-count.c in code that runs in the emulator: a NOP that no
 * compiler makes, with a number. Everything that the CPU executes between
 * the begin and the end of the same number is counted.
 */
#pragma once

#define MARKER_BEGIN_BASE 0x4d420000
#define MARKER_END_BASE 0x4d450000

/* nopl imm32(%rax) */
#define MARKER(number)                                                                             \
    __asm__ volatile(".byte 0x0f, 0x1f, 0x80; .long %c0" : : "i"(number) : "memory")
/* @id: a constant from 0 to 255 */
#define MARKER_BEGIN(id) MARKER (MARKER_BEGIN_BASE + (id))
#define MARKER_END(id) MARKER (MARKER_END_BASE + (id))
