/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* total is the kernel's counter of the container. It holds members that left or ended, so it is the
 * one number that needs no help. A stock kernel does not split it, so vCPU threads are looked at
 * one by one: whatever a thread's counters gained since the last look is added to every container
 * that the thread is beneath. Who has left or ended is in these sums already; what a thread used
 * after the last look before its end cannot be told apart any more and counts as emulator, which is
 * the rest of total. A kernel with the kvm subsystem splits it by itself, for the threads that KVM
 * runs; what its counters of the container gained is added to the same sums, and only the threads
 * of emulated VMs are looked at. So the sums go on when the subsystem comes, goes, or begins anew.
 *
 * The invariants, kept by arithmetic and not by luck of timing:
 *   guest + host + emulator == total, exactly, in every answer;
 *   none of them ever goes back while the container lives;
 *   guest + host of a container follow the run time of its vCPU threads, or what KVM measured of
 * it, within the time that passes between reading these and reading the container. */
#include "vmm-agent/agent/corral-usage.h"

#include <string.h>

#define NS_PER_MS G_GUINT64_CONSTANT (1000000)

static guint64
gain (guint64 now, guint64 before)
{
    return now > before ? now - before : 0;
}

void
corral_usage_thread_begin (CorralUsageThread *thread, const CorralUsageCounters *base)
{
    thread->run_ns = base->run_ns;
    thread->wait_ns = base->wait_ns;
    thread->guest_ns = base->guest_ns;
}

CorralUsageDelta
corral_usage_thread_sample (CorralUsageThread *thread, const CorralUsageCounters *now)
{
    guint64 run = gain (now->run_ns, thread->run_ns);
    CorralUsageDelta delta;

    delta.guest_ns = MIN (run, gain (now->guest_ns, thread->guest_ns));
    delta.host_ns = run - delta.guest_ns;
    delta.wait_ns = gain (now->wait_ns, thread->wait_ns);
    thread->run_ns += run;
    thread->guest_ns += delta.guest_ns;
    thread->wait_ns += delta.wait_ns;
    /* In a file that outlives us, the sample comes before the sums: see corral-usage-file.c. */
    __atomic_signal_fence (__ATOMIC_SEQ_CST);
    return delta;
}

void
corral_usage_kernel_begin (CorralUsageKernel *kernel, const CorralUsageKernel *now)
{
    kernel->guest_ns = now->guest_ns;
    kernel->host_ns = now->host_ns;
    kernel->wait_ns = now->wait_ns;
    kernel->exits = now->exits;
    kernel->file = now->file;
}

CorralUsageDelta
corral_usage_kernel_sample (CorralUsageKernel *kernel, const CorralUsageKernel *now)
{
    const CorralUsageKernel anew = { .file = now->file };
    CorralUsageDelta delta;
    guint64 exits;

    if (now->file != kernel->file)
        corral_usage_kernel_begin (kernel, &anew);
    delta.guest_ns = gain (now->guest_ns, kernel->guest_ns);
    delta.host_ns = gain (now->host_ns, kernel->host_ns);
    delta.wait_ns = gain (now->wait_ns, kernel->wait_ns);
    exits = gain (now->exits, kernel->exits);
    kernel->guest_ns += delta.guest_ns;
    kernel->host_ns += delta.host_ns;
    kernel->wait_ns += delta.wait_ns;
    kernel->exits += exits;
    kernel->all_exits += exits;
    /* As above: the sample comes before the sums. */
    __atomic_signal_fence (__ATOMIC_SEQ_CST);
    return delta;
}

void
corral_usage_account_add (CorralUsageAccount *account, const CorralUsageDelta *delta)
{
    account->guest_ns += delta->guest_ns;
    account->host_ns += delta->host_ns;
    account->wait_ns += delta->wait_ns;
}

void
corral_usage_account_tell (CorralUsageAccount *account, guint64 total_ns)
{
    guint64 told = account->told_guest_ns + account->told_host_ns + account->told_emulator_ns;
    guint64 left = gain (total_ns, told);
    guint64 guest = MIN (left, gain (account->guest_ns, account->told_guest_ns));
    guint64 host = MIN (left - guest, gain (account->host_ns, account->told_host_ns));

    account->told_guest_ns += guest;
    account->told_host_ns += host;
    account->told_emulator_ns += left - guest - host;
}

gboolean
corral_usage_parse_wait_sum (const char *text, guint64 *ret_ns)
{
    static const char *const names[] = { "wait_sum", "se.wait_sum", "se.statistics.wait_sum" };
    g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

    for (gsize i = 0; lines[i] != NULL; i++)
        for (gsize n = 0; n < G_N_ELEMENTS (names); n++) {
            const gsize length = strlen (names[n]);
            const char *at = lines[i] + length;
            guint64 ms, ns = 0;
            char *end;

            if (strncmp (lines[i], names[n], length) != 0)
                continue;
            at += strspn (at, " ");
            if (*at++ != ':')
                continue;
            ms = g_ascii_strtoull (at, &end, 10);
            if (end == at || ms > G_MAXUINT64 / NS_PER_MS - 1)
                return FALSE;
            end += *end == '.' ? 1 : 0;
            for (guint64 step = NS_PER_MS / 10; g_ascii_isdigit (*end) && step > 0; step /= 10)
                ns += (guint64) (*end++ - '0') * step;
            *ret_ns = ms * NS_PER_MS + ns;
            return TRUE;
        }
    return FALSE;
}
