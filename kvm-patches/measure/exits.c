// SPDX-License-Identifier: GPL-2.0
/*
 * A guest that leaves for the host N times by cpuid, which KVM handles, and N times by out, which
 * goes to user space, with a marker.h mark around either, in the guest.
 *
 *   exits N [CGROUP]
 *
 * With CGROUP, in a new child of it that has the kvm controller, so that kvm.stat counts.
 * The marks: MARK_CPUID and MARK_OUT.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "marker.h"

#define MARK_CPUID 10
#define MARK_OUT 11

#define STR(text) #text
#define XSTR(text) STR (text)

#define MEMORY 0x2000
#define CODE 0x1000

/* One mark, in the guest. */
#define MARK(base, number) "    .byte 0x0f, 0x1f, 0x80; .long " XSTR (base + number) "\n"

/* Not called: copied into the guest, and the same in 32-bit mode */
/* clang-format off */
__asm__(".pushsection .rodata\n"
        ".code32\n"
        "guest_code:\n"
        "    mov %edi, %esi\n"
        "1:\n"
        MARK (MARKER_BEGIN_BASE, MARK_CPUID)
        "    cpuid\n"
        MARK (MARKER_END_BASE, MARK_CPUID)
        "    dec %esi\n"
        "    jnz 1b\n"
        "    mov %edi, %esi\n"
        "2:\n"
        MARK (MARKER_BEGIN_BASE, MARK_OUT)
        "    out %al, $0x80\n"
        MARK (MARKER_END_BASE, MARK_OUT)
        "    dec %esi\n"
        "    jnz 2b\n"
        "    hlt\n"
        "guest_code_end:\n"
        ".code64\n"
        ".popsection\n");
/* clang-format on */
extern const unsigned char guest_code[], guest_code_end[];

static void
check (int ok, const char *what)
{
    if (ok)
        return;
    fprintf (stderr, "error: %s: %s\n", what, strerror (errno));
    exit (EXIT_FAILURE);
}

static void
write_file (const char *cgroup, const char *file, const char *text)
{
    char path[4096];
    int fd;

    snprintf (path, sizeof (path), "%s/%s", cgroup, file);
    fd = open (path, O_WRONLY);
    check (fd >= 0, path);
    check (write (fd, text, strlen (text)) == (ssize_t) strlen (text), path);
    close (fd);
}

static void
enter_child (const char *cgroup)
{
    char child[2048];

    write_file (cgroup, "cgroup.subtree_control", "+kvm");
    snprintf (child, sizeof (child), "%s/exits-%d", cgroup, getpid ());
    check (!mkdir (child, 0755), child);
    write_file (child, "cgroup.procs", "0");
}

/* Flat 32-bit segments, no paging */
static void
set_protected_mode (int vcpu, uint64_t rounds)
{
    struct kvm_regs regs = { .rip = CODE, .rdi = rounds, .rflags = 2 };
    struct kvm_segment data = {
        .limit = 0xffffffff,
        .selector = 16,
        .type = 3,
        .present = 1,
        .db = 1,
        .s = 1,
        .g = 1,
    };
    struct kvm_segment code = data;
    struct kvm_sregs sregs;

    code.selector = 8;
    code.type = 11;
    check (!ioctl (vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
    sregs.cs = code;
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
    sregs.cr0 |= 1;
    check (!ioctl (vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
    check (!ioctl (vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

int
main (int argc, char **argv)
{
    struct kvm_userspace_memory_region region = { .memory_size = MEMORY };
    int kvm, vm, vcpu, exits = 0;
    unsigned char *memory;
    struct kvm_run *run;
    cpu_set_t cpu;

    if (argc < 2 || atoi (argv[1]) <= 0) {
        fprintf (stderr, "usage: exits N [CGROUP]\n");
        return 2;
    }
    CPU_ZERO (&cpu);
    CPU_SET (1, &cpu);
    check (!sched_setaffinity (0, sizeof (cpu), &cpu), "sched_setaffinity");
    if (argc > 2)
        enter_child (argv[2]);

    kvm = open ("/dev/kvm", O_RDWR);
    vm = ioctl (kvm, KVM_CREATE_VM, 0);
    vcpu = ioctl (vm, KVM_CREATE_VCPU, 0);
    check (vcpu >= 0, "KVM_CREATE_VCPU");
    memory = mmap (NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check (memory != MAP_FAILED, "mmap");
    memcpy (memory + CODE, guest_code, guest_code_end - guest_code);
    region.userspace_addr = (unsigned long) memory;
    check (!ioctl (vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
    set_protected_mode (vcpu, atoi (argv[1]));
    run = mmap (NULL, ioctl (kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED,
                vcpu, 0);
    check (run != MAP_FAILED, "mmap of the vCPU");
    do {
        check (!ioctl (vcpu, KVM_RUN, 0), "KVM_RUN");
        exits += run->exit_reason == KVM_EXIT_IO;
    } while (run->exit_reason == KVM_EXIT_IO);
    check (run->exit_reason == KVM_EXIT_HLT && exits == atoi (argv[1]), "the guest's end");
    return 0;
}
