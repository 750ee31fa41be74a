#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Corral on a kernel with our series (kvm-patches/): the kvm subsystem is found, believed and used, and may
come and go. Needs cgroup v2, that kernel, and a KVM that runs guests; the lab has all of them."""

import os
import re
import signal
import subprocess
from contextlib import contextmanager

from harness import (Container, Corrald, Guest, PlainQemu, PrivateLibvirtd, Session, Skip, Suite, proc,
                     until)
from harness.tap import diag

VENDORS = ('kvm_amd', 'kvm_intel')
TRACING = '/sys/kernel/debug/tracing'
# What corrald tells, and where that is in kvm.stat.
TIMES = {'corral.guest_ns': 'guest_usec', 'corral.host_ns': 'host_usec', 'corral.wait_ns': 'run_delay_usec'}
COUNTERS = ('cpu.time', 'corral.emulator_ns', 'corral.exits', *TIMES)


def keyed(path):
    return {k: int(v) for k, v in (line.split() for line in proc.read(path).splitlines())}


class World:
    """libvirtd, corrald, and /TAG/parent with /TAG/parent/child beneath it."""

    def __init__(self, session):
        self.session = session
        self.cgroups = session.cgroups
        if not self.cgroups.unified:
            raise Skip('needs cgroup v2')
        self.root = self.cgroups.mounts['']
        if not os.path.exists(self.root + '/kvm.stat'):
            raise Skip('this kernel has no kvm controller')
        if session.accel != 'kvm':
            raise Skip('the guests are not KVM\'s (CORRAL_TEST_ACCEL)')
        self.libvirtd = PrivateLibvirtd(session).start()
        self.plain = PlainQemu(session, 'plain', vcpus=2)
        self.corrald = Corrald(session, self.libvirtd, qmp={self.plain.name: self.plain.socket})
        session.logs += [self.corrald, self.libvirtd]
        self.corrald.start()
        self.parent = Container(self.corrald, 'parent').start()
        # Placed, where the kernel has cpusets
        cpus = 'cpuset' in proc.read(self.root + '/cgroup.controllers').split()
        self.child = Container(self.corrald, 'child', path=('parent', 'child'),
                               cpus={min(os.sched_getaffinity(0))} if cpus else None).start()

    def guest(self, name, container, **options):
        return Guest(self.libvirtd, name, partition=container.path, **options).define()

    def stat(self, container):
        return keyed(self.cgroups.path(container.path, '') + '/kvm.stat')

    def vm_name(self, guest):
        """By the kernel: in the kvm.vms of the nearest directory that has one."""
        folder = self.root + guest.threads()[0].cgroups()['']
        while not os.path.exists(folder + '/kvm.vms'):
            folder = os.path.dirname(folder)
        return next(line.split()[0] for line in proc.read(folder + '/kvm.vms').splitlines()
                    if line.startswith(f'{guest.pid}-'))

    def pause(self, guest):
        """From here on KVM has no more to count for it."""
        self.libvirtd.virsh('suspend', guest.name)

    def tidy(self):
        self.session.kill_guests()

    def explain(self):
        return self.session.explain()


@contextmanager
def setup(options):
    with Session.of(options) as session:
        yield World(session)


suite = Suite(setup)


def run_on(guest, periods=50):
    """Lets the guest run for so many periods of its own, 10 ms each."""
    first = guest.mailbox.vcpu(0)['periods']
    until(lambda: guest.mailbox.vcpu(0)['periods'] >= first + periods, 'the guest to have run', 120)


def check_equal(world, container):
    """Of a container in which nothing runs: each number is kvm.stat's, and they add up."""
    def compare():
        stats, stat = container.stats(), world.stat(container)
        wrong = {ours: (stats[ours], stat[theirs]) for ours, theirs in TIMES.items()
                 if stats[ours] != stat[theirs] * 1000}
        if stats['corral.exits'] != stat['exits']:
            wrong['corral.exits'] = (stats['corral.exits'], stat['exits'])
        return wrong, stats
    # An answer may be 5 ms old.
    until(lambda: not compare()[0], f'the numbers to be those of kvm.stat: {compare()}', 10)
    _, stats = compare()
    parts = sum(stats[f'corral.{n}_ns'] for n in ('guest', 'host', 'emulator'))
    assert parts == stats['cpu.time'], stats
    assert stats['corral.source'] == 'kernel', stats
    return stats


# --- counting

@suite.test
def a_container_is_counted_from_its_birth(world):
    for container in (world.parent, world.child):
        assert world.stat(container)['exits'] == 0
        stats = container.stats()
        assert stats['corral.source'] == 'kernel', stats
        assert stats['corral.exits'] == 0 and stats['corral.guest_ns'] == 0, stats


@suite.test
def the_numbers_are_those_of_kvm_stat(world):
    guest = world.guest('counted', world.child, vcpus=2, load=0.2).start()
    world.child.wait_has(vms=1, vcpus=2)
    run_on(guest)
    # While it runs: between two looks at the file; an answer may be 5 ms old, so the first is repeated.
    until(lambda: world.child.stats()['corral.exits'] > 0, 'exits')
    low = world.stat(world.child)
    stats = until(lambda: (s := world.child.stats())['corral.exits'] >= low['exits'] and s, 'a new answer')
    high = world.stat(world.child)
    for ours, theirs in TIMES.items():
        assert low[theirs] * 1000 <= stats[ours] <= high[theirs] * 1000, (ours, low, stats, high)
    assert stats['corral.source'] == 'kernel', stats
    world.pause(guest)
    stats = check_equal(world, world.child)
    assert stats['corral.guest_ns'] > 0 and stats['corral.host_ns'] > 0, stats
    # KVM measures what the threads ran; QEMU's own part of that, and what was before, is emulator.
    ran = sum(t.run_ns() for t in guest.vcpu_threads())
    counted = stats['corral.guest_ns'] + stats['corral.host_ns']
    diag(f'{counted / 1e6:.1f} ms in KVM of {ran / 1e6:.1f} ms of the vCPU threads, '
         f'{stats["corral.exits"]} exits')
    assert ran * 0.3 < counted <= ran * 1.02, (counted, ran)
    guest.destroy()
    world.child.wait_has(vms=0)
    check_equal(world, world.child)


@suite.test
def a_parent_has_its_own_and_its_childrens(world):
    inner = world.guest('inner', world.child, load=0.1).start()
    own = world.guest('own', world.parent, load=0.1).start()
    world.parent.wait_has(vms=2)
    # Into a group of ours, which has numbers of its own.
    for guest, container in ((own, world.child), (own, world.parent)):
        container.attach(guest)
    group = os.path.dirname(world.root + own.threads()[0].cgroups()[''])
    looks = []
    for _ in range(2):
        for guest in (inner, own):
            world.pause(guest)
        stats = check_equal(world, world.parent)
        looks.append((stats, check_equal(world, world.child), keyed(group + '/kvm.stat')))
        for guest in (inner, own):
            guest.resume()
            run_on(guest, 20)
    for ours, theirs in {**TIMES, 'corral.exits': 'exits'}.items():
        whole, child, alone = (looks[1][i][k] - looks[0][i][k]
                               for i, k in ((0, ours), (1, ours), (2, theirs)))
        unit = 1 if theirs == 'exits' else 1000
        # Each is cut to microseconds.
        assert abs(whole - child - alone * unit) <= 2 * (unit - 1), (ours, whole, child, alone)
    assert looks[1][0]['corral.exits'] > looks[0][0]['corral.exits']
    for guest in (inner, own):
        guest.destroy()
    world.parent.wait_has(vms=0)


# --- threads and moves

@suite.test
def vcpus_are_known_while_qemu_does_not_answer(world):
    """No libvirt, no directories, and a QMP socket that nobody serves: only the kernel can tell."""
    guest = world.plain.start()
    vcpus = {t.tid: t.index for t in guest.vcpu_threads()}
    # Corrald forgets what it has heard so far, and then hears no more.
    world.corrald.stop()
    os.kill(guest.pid, signal.SIGSTOP)
    try:
        world.corrald.start()
        world.child.attach_new(guest)
        world.child.wait_has(vms=1, vcpus=2)
        for tid, index in vcpus.items():
            place = proc.parse_cgroups(proc.read(f'/proc/{guest.pid}/task/{tid}/cgroup'))['']
            assert place.endswith(f'/vcpu{index}'), (index, place)
        world.child.check_holds_all(guest)
    finally:
        os.kill(guest.pid, signal.SIGCONT)
    guest.kill()
    world.child.wait_has(vms=0)


@suite.test
def a_plugged_vcpu_is_known_though_libvirt_cannot_sort_it(world):
    """libvirt puts a new vCPU into the group that it made, which v2 refuses once the VM is elsewhere. On a
    stock kernel nobody knows then which thread it is until libvirt next saves its state."""
    guest = world.guest('plugs', world.parent, max_vcpus=2, load=0.1).start()
    world.parent.wait_has(vms=1, vcpus=1)
    world.child.attach(guest)
    world.libvirtd.virsh.try_('setvcpus', guest.name, 2, '--live')
    until(lambda: len(guest.vcpu_threads()) == 2, 'the vCPU to be there')
    guest.wait_up(2)
    world.child.wait_has(vms=1, vcpus=2)
    until(lambda: guest.vcpu_threads()[1].cgroups()[''].endswith('/vcpu1'), 'its place', 10)
    world.child.check_holds_all(guest)
    guest.destroy()
    world.child.wait_has(vms=0)


class Trace:
    """The kernel's own record of migrations, and of what is written to kvm.attach."""

    def __init__(self):
        if not os.path.exists(TRACING + '/kprobe_events'):
            raise Skip('this kernel cannot trace with kprobes')

    @staticmethod
    def put(name, text, flags=os.O_TRUNC):
        fd = os.open(f'{TRACING}/{name}', os.O_WRONLY | flags)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)

    def __enter__(self):
        self.put('kprobe_events', 'p:corral/attach kvm_cg_attach_write text=+0(%si):string\n',
                 os.O_APPEND)
        self.put('events/corral/attach/enable', '1')
        self.put('events/cgroup/cgroup_attach_task/enable', '1')
        os.close(os.open(TRACING + '/trace', os.O_WRONLY | os.O_TRUNC))
        return self

    def __exit__(self, *_):
        self.put('events/cgroup/cgroup_attach_task/enable', '0')
        self.put('events/corral/attach/enable', '0')
        self.put('kprobe_events', '-:corral/attach\n', os.O_APPEND)

    def lines(self):
        return [line for line in proc.read(TRACING + '/trace').splitlines() if not line.startswith('#')]

    def attached(self):
        """What was written to kvm.attach, by whom."""
        found = (re.search(r'^\s*(.*)-(\d+)\s+\[.*attach: .*text="([^"]*)"', line)
                 for line in self.lines())
        return [(int(m[2]), m[3].strip()) for m in found if m]

    def migrations(self, pid):
        """Where the main thread, or its process, was sent, in order."""
        found = (re.search(rf'cgroup_attach_task: .*dst_path=(\S*) pid={pid} ', line)
                 for line in self.lines())
        return [m[1] for m in found if m]


@suite.test
def a_vm_moves_in_one_step_by_its_name(world):
    guest = world.guest('moves', world.parent, vcpus=2, iothreads=1, load=0.1).start()
    world.parent.wait_has(vms=1, vcpus=2)
    name = world.vm_name(guest)
    with Trace() as trace:
        world.child.attach(guest)
        attached, steps = trace.attached(), trace.migrations(guest.pid)
    world.child.check_holds_all(guest)
    assert attached == [(world.corrald.pid, f'{name} all')], (attached, trace.lines()[-20:])
    assert len(steps) == 1 and steps[0].startswith(world.child.folder + '/'), steps
    for thread in guest.vcpu_threads():
        assert thread.cgroups()[''].endswith(f'/vcpu{thread.index}')
    # Back to where libvirt had it, the same way.
    with Trace() as trace:
        world.child.detach(guest)
        attached, steps = trace.attached(), trace.migrations(guest.pid)
    assert attached == [(world.corrald.pid, f'{name} all')], attached
    assert len(steps) == 1 and 'libvirt-qemu/emulator' in steps[0], steps
    assert not any(world.child.holds(t) for t in guest.threads())
    guest.destroy()
    world.parent.wait_has(vms=0)


@suite.test
def a_move_that_fails_leaves_all_where_they_were(world):
    guest = world.guest('stays', world.parent, vcpus=2, load=0.1).start()
    world.parent.wait_has(vms=1, vcpus=2)
    before = {t.tid: (t.cgroups()[''], t.affinity()) for t in guest.threads()}
    # Room for the group and the emulator's directory, and not for a vCPU's.
    limit = world.cgroups.path(world.child.path, '') + '/cgroup.max.descendants'
    with open(limit, 'w', encoding='ascii') as file:
        file.write('2')
    try:
        world.child.virsh.fails('attach-device', world.child.name, world.child.member(guest), '--live')
    finally:
        with open(limit, 'w', encoding='ascii') as file:
            file.write('max')
    assert {t.tid: (t.cgroups()[''], t.affinity()) for t in guest.threads()} == before
    world.child.attach(guest)
    world.child.check_holds_all(guest)
    guest.destroy()
    world.parent.wait_has(vms=0)


# --- coming and going

class Monotonic:
    """Every counter of both containers, looked at again and again; none may go back."""

    def __init__(self, world):
        self.world, self.seen = world, {}

    def look(self, what):
        both = self.world.corrald.virsh('domstats', self.world.parent.name, self.world.child.name)
        texts = re.split(r"^Domain: '(.*)'$", both.out, flags=re.M)[1:]
        for container in (self.world.parent, self.world.child):
            text = texts[texts.index(container.name) + 1]
            stats = {k: int(v) for k, v in re.findall(r'^ *(\S+)=(\d+)$', text, re.M)}
            parts = sum(stats[f'corral.{n}_ns'] for n in ('guest', 'host', 'emulator'))
            assert parts == stats['cpu.time'], (what, stats)
            for name in COUNTERS:
                now, before = stats[name], self.seen.get((container.name, name), 0)
                assert now >= before, f'{what}: {container.name} {name}: {before} to {now}'
                self.seen[container.name, name] = now


def run_a_guest(world, eye, name, meanwhile=()):
    """From its start to its end, with a move in between; returns the exits that it added. @meanwhile: more to
    do while it runs, and what to call that"""
    before = world.parent.stats()['corral.exits']
    guest = world.guest(name, world.child, load=0.1).start()
    world.child.wait_has(vms=1)
    run_on(guest, 10)
    eye.look(f'{name} runs')
    world.parent.attach(guest)
    eye.look(f'{name} has moved')
    for action, what in meanwhile:
        action()
        if what:
            eye.look(what)
    run_on(guest, 10)
    guest.destroy()
    world.parent.wait_has(vms=0)
    eye.look(f'{name} has ended')
    return world.parent.stats()['corral.exits'] - before


def vendor_module():
    for name in VENDORS:
        if os.path.exists(f'/sys/module/{name}/refcnt'):
            return name
    raise Skip('KVM is no module here')


def module(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f'{command}: {done.stderr}'


def source_is(container, source):
    until(lambda: container.stats()['corral.source'] == source, f'{source} to be the source', 10)


@suite.test
def no_counter_goes_back_whatever_comes_and_goes(world):
    vendor = vendor_module()
    eye = Monotonic(world)
    eye.look('at first')
    assert run_a_guest(world, eye, 'first', [
        (world.corrald.restart, 'after a restart of corrald'),
        (world.corrald.kill, None), (world.corrald.start, 'after a kill of corrald')]) > 0
    pid = world.corrald.pid
    for round_ in range(2):
        module('rmmod', vendor)
        assert not os.path.exists(world.root + '/kvm.stat')
        if round_ == 0:
            # In the second round nobody asks before it is back.
            for container in (world.parent, world.child):
                source_is(container, 'threads')
            eye.look('after KVM was unloaded')
        module('modprobe', vendor)
        for container in (world.parent, world.child):
            source_is(container, 'kernel')
        eye.look('after KVM was loaded again')
    assert run_a_guest(world, eye, 'second') > 0
    assert world.corrald.pid == pid and proc.exists(pid)


@suite.test
def a_vm_that_starts_unseen_after_a_load_is_counted_and_moved(world):
    """Nobody has asked for a number since KVM was loaded again: the VM itself makes corrald look."""
    vendor = vendor_module()
    module('rmmod', vendor)
    module('modprobe', vendor)
    guest = world.guest('unseen', world.child, load=0.1).start()
    stat = world.cgroups.path(world.child.path, '') + '/kvm.stat'
    until(lambda: os.path.exists(stat), 'corrald to have the container counted', 10)
    run_on(guest, 20)
    source_is(world.child, 'kernel')
    with Trace() as trace:
        world.parent.attach(guest)
        attached = trace.attached()
    assert len(attached) == 1 and attached[0][1].endswith(' all'), attached
    guest.destroy()
    world.parent.wait_has(vms=0)


@suite.test
def the_kernel_has_not_complained(world):
    log = subprocess.run(['dmesg'], capture_output=True, text=True, check=True).stdout
    bad = [line for line in log.splitlines() if re.search(r'WARNING|BUG:|Oops|Call Trace', line)]
    assert not bad, bad[:5]


if __name__ == '__main__':
    suite.main()
