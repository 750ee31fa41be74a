// SPDX-License-Identifier: GPL-2.0
/*
 * A guest that leaves for the host N times by cpuid, which KVM handles, N times by out, which goes
 * to user space, and N times by out to a port for which KVM wakes a thread that then runs on this
 * CPU, so that the vCPU's is scheduled out and in. A marker.h mark is around each, in the guest.
 *
 *   exits N [CGROUP]
 *
 * With CGROUP, in a new child of it that has the kvm controller, so that kvm.stat counts.
 * The marks: MARK_CPUID, MARK_OUT and MARK_SWITCH.
 */

#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "marker.h"
#include "vm.h"

#define MARK_CPUID 10
#define MARK_OUT 11
#define MARK_SWITCH 12

/* That of MARK_SWITCH; any other goes to user space */
#define SWITCH_PORT 0x81

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
        "    mov %edi, %esi\n"
        "3:\n"
        MARK (MARKER_BEGIN_BASE, MARK_SWITCH)
        "    out %al, $" XSTR (SWITCH_PORT) "\n"
        MARK (MARKER_END_BASE, MARK_SWITCH)
        "    dec %esi\n"
        "    jnz 3b\n"
        "    hlt\n"
        "guest_code_end:\n"
        ".code64\n"
        ".popsection\n");
/* clang-format on */
extern const unsigned char guest_code[], guest_code_end[];

static void
enter_child (const char *cgroup)
{
    char child[2048];

    write_file (cgroup, "cgroup.subtree_control", "+kvm");
    snprintf (child, sizeof (child), "%s/exits-%d", cgroup, getpid ());
    check (!mkdir (child, 0755), child);
    write_file (child, "cgroup.procs", "0");
}

static int wakeups;
static unsigned long nr_woken;

/* Goes before the vCPU's thread whenever it is woken. */
static void *
sleeper (void *arg)
{
    struct sched_param param = { .sched_priority = 1 };
    uint64_t count;

    (void) arg;
    check (!sched_setscheduler (0, SCHED_FIFO, &param), "SCHED_FIFO");
    while (read (wakeups, &count, sizeof (count)) == sizeof (count))
        nr_woken++;
    return NULL;
}

static void
start_sleeper (int vm)
{
    struct kvm_ioeventfd event = {
        .addr = SWITCH_PORT,
        .len = 1,
        .flags = KVM_IOEVENTFD_FLAG_PIO,
    };
    pthread_t thread;

    wakeups = eventfd (0, EFD_CLOEXEC);
    check (wakeups >= 0, "eventfd");
    event.fd = wakeups;
    check (!ioctl (vm, KVM_IOEVENTFD, &event), "KVM_IOEVENTFD");
    check (!pthread_create (&thread, NULL, sleeper, NULL), "pthread_create");
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

    if (argc < 2 || atoi (argv[1]) <= 0) {
        fprintf (stderr, "usage: exits N [CGROUP]\n");
        return 2;
    }
    run_on_cpu (1);
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
    start_sleeper (vm);
    run = mmap (NULL, ioctl (kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED,
                vcpu, 0);
    check (run != MAP_FAILED, "mmap of the vCPU");
    do {
        check (!ioctl (vcpu, KVM_RUN, 0), "KVM_RUN");
        exits += run->exit_reason == KVM_EXIT_IO;
    } while (run->exit_reason == KVM_EXIT_IO);
    check (run->exit_reason == KVM_EXIT_HLT && exits == atoi (argv[1]), "the guest's end");
    check (nr_woken == (unsigned long) exits, "not scheduled out each time");
    return 0;
}
