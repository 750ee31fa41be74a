/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the programs of this folder share: checks that end the program, cgroup files, and a VM whose
 * vCPUs do nothing but halt.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static inline void
check (int ok, const char *what)
{
    if (ok)
        return;
    fprintf (stderr, "error: %s: %s\n", what, strerror (errno));
    exit (EXIT_FAILURE);
}

static inline void
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

/* The calling thread, from now on. */
static inline void
run_on_cpu (int cpu)
{
    cpu_set_t set;

    CPU_ZERO (&set);
    CPU_SET (cpu, &set);
    check (!sched_setaffinity (0, sizeof (set), &set), "sched_setaffinity");
}

/* A VM with @nr vCPUs, whose file descriptors go to @fds. Each KVM_RUN executes one hlt. */
static inline int
create_halting_vm (int nr, int *fds)
{
    static const unsigned char code[] = { 0xf4, 0xeb, 0xfd };
    struct kvm_userspace_memory_region memory = { .memory_size = 4096 };
    struct kvm_regs regs = { .rflags = 2 };
    int kvm = open ("/dev/kvm", O_RDWR);
    int vm = ioctl (kvm, KVM_CREATE_VM, 0);
    unsigned char *guest;

    check (vm >= 0, "KVM_CREATE_VM");
    guest = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check (guest != MAP_FAILED, "mmap");
    memcpy (guest, code, sizeof (code));
    memory.userspace_addr = (unsigned long) guest;
    check (!ioctl (vm, KVM_SET_USER_MEMORY_REGION, &memory), "memory");
    for (int i = 0; i < nr; i++) {
        struct kvm_sregs sregs;

        fds[i] = ioctl (vm, KVM_CREATE_VCPU, i);
        check (fds[i] >= 0 && !ioctl (fds[i], KVM_GET_SREGS, &sregs), "KVM_CREATE_VCPU");
        sregs.cs.base = sregs.cs.selector = 0;
        check (!ioctl (fds[i], KVM_SET_SREGS, &sregs) && !ioctl (fds[i], KVM_SET_REGS, &regs),
               "registers");
    }
    return vm;
}
