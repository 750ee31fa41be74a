/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest with no operating system, as a 64 KiB ROM: each vCPU is busy for a set part of each period
 * of 10 ms and halts for the rest, so that its load on the host is known. See mailbox.h.
 *
 * The bootstrap vCPU measures the time stamp counter against the local APIC timer (1 GHz in QEMU and
 * in KVM), then starts every vCPU that has not answered yet, again and again, so that one plugged
 * later starts too. It also answers plug and unplug events through QEMU's ACPI CPU hotplug ports, as an
 * operating system would (docs/specs/acpi_cpu_hotplug in QEMU's source).
 *
 * Code runs in place, in flat 32-bit mode; RAM holds only the mailbox and small stacks. */
#include "mailbox.h"

#define PERIOD_NS 10000000
#define SPIN_TURNS 100      /* turns of the inner loop between two readings of the clock */
#define LOOK_EVERY 8        /* periods between two looks for vCPUs that came or go */

#define APIC 0xfee00000
#define APIC_ID (APIC + 0x20)
#define APIC_EOI (APIC + 0xb0)
#define APIC_SPURIOUS (APIC + 0xf0)
#define APIC_ICR_LOW (APIC + 0x300)
#define APIC_ICR_HIGH (APIC + 0x310)
#define APIC_TIMER (APIC + 0x320)
#define APIC_LINT0 (APIC + 0x350)
#define APIC_TIMER_INITIAL (APIC + 0x380)
#define APIC_TIMER_CURRENT (APIC + 0x390)
#define APIC_TIMER_DIVIDE (APIC + 0x3e0)
#define MSR_APIC_BASE 0x1b
#define VECTOR_TIMER 0x20
#define VECTOR_SPURIOUS 0x2f

#define FW_CFG_SELECT 0x510
#define FW_CFG_DATA 0x511
#define FW_CFG_MAX_CPUS 0x0f /* for x86: the limit of APIC ids */

#define HOTPLUG_PORT 0xcd8   /* q35 */
#define HOTPLUG_FLAGS (HOTPLUG_PORT + 4)
#define HOTPLUG_COMMAND (HOTPLUG_PORT + 5)
#define HOTPLUG_DATA (HOTPLUG_PORT + 8)
#define HOTPLUG_NEXT_EVENT 0
#define HOTPLUG_OST_EVENT 1
#define HOTPLUG_OST_STATUS 2
#define HOTPLUG_APIC_ID 3
#define HOTPLUG_INSERTED 0x02
#define HOTPLUG_REMOVE 0x04
#define HOTPLUG_EJECT 0x08

        .section .text, "ax"

/* Offset 0 of the ROM is 0xf0000 as well, which is where start-up IPI vector 0xf0 leads. */
        .code16
start16:
        cli
        lgdtl   %cs:(gdt_pointer - start16)
        movl    %cr0, %eax
        orl     $1, %eax
        andl    $0x9fffffff, %eax       /* caches on */
        movl    %eax, %cr0
        ljmpl   $8, $start32

        .code32
start32:
        movw    $16, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        lidtl   idt_pointer

        movl    APIC_ID, %ebx
        shrl    $24, %ebx               /* ebx: this vCPU's APIC id, for good */
        movl    %ebx, %ecx
        incl    %ecx
        imull   $STACK_SIZE, %ecx
        leal    STACK_BASE(%ecx), %esp
        movl    %ebx, %ebp
        incl    %ebp
        imull   $SLOT_SIZE, %ebp
        addl    $MAILBOX_BASE, %ebp     /* ebp: its slot, for good */

        movl    $(0x100 | VECTOR_SPURIOUS), APIC_SPURIOUS
        movl    $0x10000, APIC_LINT0    /* nothing from the old interrupt controller */
        movl    $0xb, APIC_TIMER_DIVIDE /* by 1 */

        movl    $MSR_APIC_BASE, %ecx
        rdmsr
        testl   $0x100, %eax
        jz      run
        call    measure_clock
        call    find_limit
        movl    $0, %eax
        movw    $HOTPLUG_PORT, %dx
        outl    %eax, %dx               /* leave the old hotplug interface for the new one */
        movl    $PERIOD_NS, MAILBOX_BASE + HEADER_PERIOD_NS
        movl    $MAILBOX_VERSION, MAILBOX_BASE + HEADER_VERSION
        movl    $MAILBOX_MAGIC, MAILBOX_BASE + HEADER_MAGIC

run:
        movl    $(0x20000 | VECTOR_TIMER), APIC_TIMER   /* periodic */
        movl    $PERIOD_NS, APIC_TIMER_INITIAL
        incl    SLOT_STARTS(%ebp)
        movl    $1, SLOT_ALIVE(%ebp)

period:
        addl    $1, SLOT_PERIODS(%ebp)
        adcl    $0, SLOT_PERIODS + 4(%ebp)
        call    be_busy
        movl    $MSR_APIC_BASE, %ecx
        rdmsr
        testl   $0x100, %eax
        jz      1f
        testl   $(LOOK_EVERY - 1), SLOT_PERIODS(%ebp)
        jnz     1f
        call    answer_hotplug
        call    start_others
1:      cmpl    $1000, SLOT_LOAD(%ebp)
        jae     2f
        sti
        hlt
        cli
        jmp     period
2:      sti                             /* takes the tick, if one is due */
        nop
        cli
        jmp     period

/* Busy until the set part of a period has been used up. A long gap between two readings of the clock is
 * time in which the host ran something else; it does not count, so that the time on the host's CPU is
 * as asked whatever else goes on there. */
be_busy:
        movl    SLOT_LOAD(%ebp), %eax
        testl   %eax, %eax
        jz      9f
        cmpl    $1000, %eax
        jbe     1f
        movl    $1000, %eax
1:      mull    MAILBOX_BASE + HEADER_PERIOD_TSC
        movl    $1000, %ecx
        divl    %ecx
        movl    %eax, %edi              /* edi: what is still to be used */
        rdtsc
        movl    %eax, %esi              /* esi: last reading; gaps fit 32 bits */
2:      movl    $SPIN_TURNS, %ecx
3:      decl    %ecx
        jnz     3b
        addl    $1, SLOT_ITERATIONS(%ebp)
        adcl    $0, SLOT_ITERATIONS + 4(%ebp)
        rdtsc
        movl    %eax, %edx
        subl    %esi, %edx              /* edx: time since the last reading */
        movl    %eax, %esi
        cmpl    MAILBOX_BASE + HEADER_KEEP_TSC, %edx
        ja      4f
        addl    %edx, SLOT_BUSY_TSC(%ebp)
        adcl    $0, SLOT_BUSY_TSC + 4(%ebp)
        subl    %edx, %edi
        ja      2b
        ret
4:      addl    %edx, SLOT_STOLEN_TSC(%ebp)
        adcl    $0, SLOT_STOLEN_TSC + 4(%ebp)
        jmp     2b
9:      ret

/* One pair of readings of both clocks, the closest of 32: edi = time stamp, esi = timer. */
read_clocks:
        pushl   %ebp
        movl    $-1, %ebp               /* smallest distance so far */
        movl    $32, %ecx
1:      rdtsc
        pushl   %eax
        pushl   APIC_TIMER_CURRENT
        rdtsc
        subl    4(%esp), %eax           /* how long it took */
        cmpl    %ebp, %eax
        jae     2f
        movl    %eax, %ebp
        movl    (%esp), %esi
        movl    4(%esp), %edi
2:      addl    $8, %esp
        loop    1b
        popl    %ebp
        ret

measure_clock:
        movl    $0x10000, APIC_TIMER    /* masked, one shot */
        movl    $0xffffffff, APIC_TIMER_INITIAL
        call    read_clocks
        pushl   %edi
        pushl   %esi
1:      movl    (%esp), %eax
        subl    APIC_TIMER_CURRENT, %eax
        cmpl    $(2 * PERIOD_NS), %eax
        jb      1b
        call    read_clocks
        popl    %ecx
        subl    %esi, %ecx              /* ecx: nanoseconds gone */
        popl    %eax
        subl    %eax, %edi
        movl    %edi, %eax              /* eax: time stamps gone */
        movl    $PERIOD_NS, %edx
        mull    %edx
        divl    %ecx
        movl    %eax, MAILBOX_BASE + HEADER_PERIOD_TSC
        xorl    %edx, %edx
        movl    $33, %ecx               /* 300 us: some turns of the loop even where it is slow */
        divl    %ecx
        movl    %eax, MAILBOX_BASE + HEADER_KEEP_TSC
        ret

find_limit:
        movw    $FW_CFG_SELECT, %dx
        movw    $FW_CFG_MAX_CPUS, %ax
        outw    %ax, %dx
        movw    $FW_CFG_DATA, %dx
        inb     %dx, %al
        movzbl  %al, %ecx
        inb     %dx, %al
        movzbl  %al, %eax
        shll    $8, %eax
        orl     %ecx, %eax
        cmpl    $SLOT_MAX, %eax
        jbe     1f
        movl    $SLOT_MAX, %eax
1:      movl    %eax, MAILBOX_BASE + HEADER_ID_LIMIT
        ret

/* INIT and two start-up IPIs to each vCPU that has not answered; those that do not exist ignore it. */
start_others:
        movl    MAILBOX_BASE + HEADER_ID_LIMIT, %ecx
1:      decl    %ecx
        js      3f
        cmpl    %ebx, %ecx
        je      1b
        movl    %ecx, %eax
        incl    %eax
        imull   $SLOT_SIZE, %eax
        cmpl    $0, MAILBOX_BASE + SLOT_ALIVE(%eax)
        jne     1b
        movl    %ecx, %edx
        shll    $24, %edx
        movl    %edx, APIC_ICR_HIGH
        movl    $0x4500, APIC_ICR_LOW   /* INIT, asserted */
        movl    %edx, APIC_ICR_HIGH
        movl    $0x46f0, APIC_ICR_LOW   /* start at 0xf0000 */
        movl    %edx, APIC_ICR_HIGH
        movl    $0x46f0, APIC_ICR_LOW
        jmp     1b
3:      ret

/* Lets go of the vCPUs that the host wants back, and takes note of new ones, as an operating system
 * would. */
answer_hotplug:
        pushl   %ebp
        movl    $SLOT_MAX, %ecx         /* no more events than that, so that this ends */
1:      xorl    %eax, %eax
        movw    $HOTPLUG_PORT, %dx
        outl    %eax, %dx               /* look from the first vCPU on */
        movw    $HOTPLUG_COMMAND, %dx
        movb    $HOTPLUG_NEXT_EVENT, %al
        outb    %al, %dx
        movw    $HOTPLUG_FLAGS, %dx
        inb     %dx, %al
        cmpb    $0xff, %al              /* no such port on this machine */
        je      4f
        testb   $HOTPLUG_REMOVE, %al
        jnz     2f
        testb   $HOTPLUG_INSERTED, %al
        jz      4f
        movb    $HOTPLUG_INSERTED, %al
        outb    %al, %dx
        movb    $HOTPLUG_OST_EVENT, %al
        movl    $1, %ebp                /* the event was a new device, */
        call    report
        movb    $HOTPLUG_OST_STATUS, %al
        xorl    %ebp, %ebp              /* and all went well */
        call    report
        loop    1b
        jmp     4f
2:      movw    $HOTPLUG_COMMAND, %dx
        movb    $HOTPLUG_APIC_ID, %al
        outb    %al, %dx
        movw    $HOTPLUG_DATA, %dx
        inl     %dx, %eax
        cmpl    $SLOT_MAX, %eax
        jae     3f
        incl    %eax
        imull   $SLOT_SIZE, %eax
        movl    $0, MAILBOX_BASE + SLOT_ALIVE(%eax)
3:      movw    $HOTPLUG_FLAGS, %dx
        movb    $HOTPLUG_EJECT, %al
        outb    %al, %dx
        loop    1b
4:      popl    %ebp
        ret

/* Tells QEMU of the selected vCPU what ACPI's _OST method would: it makes an event of that. */
report:
        movw    $HOTPLUG_COMMAND, %dx
        outb    %al, %dx
        movw    $HOTPLUG_DATA, %dx
        movl    %ebp, %eax
        outl    %eax, %dx
        ret

on_timer:
        movl    $0, APIC_EOI
on_spurious:
        iret

        .balign 8
gdt:    .quad   0
        .quad   0x00cf9b000000ffff      /* flat code, accessed: the table is in ROM */
        .quad   0x00cf93000000ffff      /* flat data */
gdt_pointer:
        .word   . - gdt - 1
        .long   gdt

/* Handlers lie in the last 64 KiB, which is all that the assembler needs to know of their address. */
        .macro  gate handler
        .word   \handler - start16
        .word   8
        .word   0x8e00
        .word   0xffff
        .endm
        .balign 8
idt:    .rept   VECTOR_TIMER
        .quad   0
        .endr
        gate    on_timer
        .rept   VECTOR_SPURIOUS - VECTOR_TIMER
        gate    on_spurious
        .endr
idt_pointer:
        .word   . - idt - 1
        .long   idt

        .section .reset, "ax"
        .code16
        .byte   0xe9                    /* jmp start16, which is 0xfff3 bytes back in this segment */
        .word   0x10000 - 0xfff3
        .balign 16, 0
