// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin for QEMU's TCG that counts instructions between the marks of marker.h.
 *
 *   -plugin marker-count.so,out=FILE
 *
 * For each pair, FILE gets a line "ID OWN ALL": the instructions of the emulated CPU that executed
 * both marks, and those of all emulated CPUs meanwhile. Neither contains the marks. OWN contains
 * whatever else ran on that CPU, like timer interrupts and, if the program slept, other tasks; that
 * is what medians are for. A pair whose end was executed by another CPU is left out.
 *
 * Debian has no header for plugins. What is used of the interface of QEMU 7.2 (version 1) is
 * declared here.
 */

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "marker.h"

#define EXPORT __attribute__ ((visibility ("default")))
#define MAX_CPUS 64
#define MAX_IDS 256

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef uint64_t qemu_plugin_id_t;

enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };

struct qemu_info {
    const char *target_name;
    struct {
        int min;
        int cur;
    } version;
    bool system_emulation;
    struct {
        int smp_vcpus;
        int max_vcpus;
    } system;
};

void qemu_plugin_register_vcpu_tb_trans_cb (qemu_plugin_id_t id,
                                            void (*cb) (qemu_plugin_id_t id,
                                                        struct qemu_plugin_tb *tb));
size_t qemu_plugin_tb_n_insns (const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn (const struct qemu_plugin_tb *tb, size_t i);
const void *qemu_plugin_insn_data (const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size (const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_insn_exec_cb (struct qemu_plugin_insn *insn,
                                             void (*cb) (unsigned int cpu, void *data),
                                             enum qemu_plugin_cb_flags flags, void *data);

EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install (qemu_plugin_id_t id, const struct qemu_info *info, int argc,
                                char **argv);

/* A cache line for each CPU, as they run in parallel */
static struct cpu {
    uint64_t count;
    uint64_t own[MAX_IDS];
    uint64_t all[MAX_IDS];
    bool begun[MAX_IDS];
} cpus[MAX_CPUS] __attribute__ ((aligned (64)));

static unsigned int nr_cpus;
static FILE *out;

static uint64_t
count_of_all (void)
{
    uint64_t sum = 0;

    for (unsigned int i = 0; i < nr_cpus; i++)
        sum += __atomic_load_n (&cpus[i].count, __ATOMIC_RELAXED);
    return sum;
}

static void
executed (unsigned int cpu, void *data)
{
    (void) data;
    cpus[cpu].count++;
}

static void
begin (unsigned int cpu, void *data)
{
    uintptr_t id = (uintptr_t) data;
    struct cpu *own = &cpus[cpu];

    own->begun[id] = true;
    own->all[id] = count_of_all ();
    own->own[id] = own->count;
}

static void
end (unsigned int cpu, void *data)
{
    uintptr_t id = (uintptr_t) data;
    struct cpu *own = &cpus[cpu];

    if (!own->begun[id])
        return;
    own->begun[id] = false;
    fprintf (out, "%" PRIuPTR " %" PRIu64 " %" PRIu64 "\n", id, own->count - own->own[id],
             count_of_all () - own->all[id]);
    fflush (out);
}

static bool
is_marker (const struct qemu_plugin_insn *insn, uint32_t base, uintptr_t *id)
{
    static const uint8_t nop[] = { 0x0f, 0x1f, 0x80 };
    const uint8_t *data = qemu_plugin_insn_data (insn);
    uint32_t number;

    if (qemu_plugin_insn_size (insn) != sizeof (nop) + sizeof (number) ||
        memcmp (data, nop, sizeof (nop)))
        return false;
    memcpy (&number, data + sizeof (nop), sizeof (number));
    *id = number - base;
    return number >= base && number - base < MAX_IDS;
}

static void
translated (qemu_plugin_id_t plugin, struct qemu_plugin_tb *tb)
{
    (void) plugin;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns (tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn (tb, i);
        void (*callback) (unsigned int cpu, void *data) = executed;
        uintptr_t id = 0;

        if (is_marker (insn, MARKER_BEGIN_BASE, &id))
            callback = begin;
        else if (is_marker (insn, MARKER_END_BASE, &id))
            callback = end;
        qemu_plugin_register_vcpu_insn_exec_cb (insn, callback, QEMU_PLUGIN_CB_NO_REGS,
                                                (void *) id);
    }
}

EXPORT int
qemu_plugin_install (qemu_plugin_id_t id, const struct qemu_info *info, int argc, char **argv)
{
    if (argc != 1 || strncmp (argv[0], "out=", 4) || !info->system_emulation ||
        info->system.max_vcpus > MAX_CPUS)
        return -1;
    nr_cpus = info->system.max_vcpus;
    out = fopen (argv[0] + 4, "w");
    if (!out)
        return -1;
    qemu_plugin_register_vcpu_tb_trans_cb (id, translated);
    return 0;
}
