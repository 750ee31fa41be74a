#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The harness itself: what the other suites take for granted."""

import os
import socket
from contextlib import contextmanager

from harness import Guest, PlainQemu, PrivateLibvirtd, Session, Skip, Suite, until
from harness.guest import kvm_works
from harness.tap import diag


@contextmanager
def setup(options):
    with Session.of(options) as session:
        libvirtd = PrivateLibvirtd(session)
        session.logs.append(libvirtd)
        yield session, libvirtd.start()


suite = Suite(setup)


def measured_load(guest, index, seconds=2):
    """The part of its periods that the vCPU's thread was on a CPU: a host that is too busy makes
    periods longer, not loads smaller."""
    thread = guest.vcpu_threads()[index]
    begin, used = guest.mailbox.vcpu(index)['periods'], thread.run_ns()
    until(lambda: guest.mailbox.vcpu(index)['periods'] >= begin + seconds * 100, 'time to pass', 60)
    periods = guest.mailbox.vcpu(index)['periods'] - begin
    return (thread.run_ns() - used) / (periods * guest.mailbox.period_ns())


@suite.test
def a_guest_is_as_busy_as_it_is_told(session, libvirtd):
    guest = Guest(libvirtd, 'load', vcpus=2).define().start()
    guest.set_load(0.10, vcpu=0)
    guest.set_load(0.25, vcpu=1)
    for index, load in ((0, 0.10), (1, 0.25)):
        measured = measured_load(guest, index)
        diag(f'vCPU {index}: set to {load}, measured {measured:.4f}')
        assert load - 0.02 <= measured <= load + 0.05, f'vCPU {index}: {measured}, not {load}'
    busy = guest.mailbox.vcpu(1)['busy_ns']
    assert 0.8 <= busy / guest.vcpu_threads()[1].run_ns() <= 1.01
    guest.destroy()


@suite.test
def a_plugged_vcpu_has_a_thread_and_runs(session, libvirtd):
    guest = Guest(libvirtd, 'plug', vcpus=1, max_vcpus=3).define().start()
    guest.plug(3)
    assert [t.index for t in guest.vcpu_threads()] == [0, 1, 2]
    assert all(guest.mailbox.vcpu(i)['starts'] >= 1 for i in range(3))
    guest.unplug(2)
    assert [t.index for t in guest.vcpu_threads()] == [0, 1]
    guest.kill()


@suite.test
def threads_are_told_apart(session, libvirtd):
    guest = Guest(libvirtd, 'roles', vcpus=2, iothreads=1).define().start(paused=True)
    roles = sorted((t.role, t.index) for t in guest.threads() if t.role != 'emulator')
    assert roles == [('iothread', 1), ('vcpu', 0), ('vcpu', 1)], roles
    assert any(t.tid == guest.pid and t.role == 'emulator' for t in guest.threads())
    guest.resume()
    guest.destroy()


@suite.test
def a_guest_starts_in_a_partition(session, libvirtd):
    session.cgroups.make(session.path('box'))
    guest = Guest(libvirtd, 'inside', partition=session.path('box')).define().start()
    folder = '/' + session.cgroups.directory(session.path('box')) + '/'
    cpuset = '' if session.cgroups.unified else 'cpuset'
    for thread in guest.threads():
        assert thread.cgroups()[cpuset].startswith(folder), thread
    guest.destroy()


@suite.test
def guests_outlive_a_restart_of_libvirtd(session, libvirtd):
    guest = Guest(libvirtd, 'stays').define().start()
    pid = guest.pid
    libvirtd.restart()
    assert guest.is_running()
    assert guest.virsh('domstate', guest.name).out.strip() == 'running'
    libvirtd.kill()
    assert guest.is_running()
    libvirtd.start()
    guest.find()
    assert guest.pid == pid
    guest.destroy()


@suite.test
def a_libvirtd_without_the_v2_tree(session, libvirtd):
    if session.cgroups.unified or '' not in session.cgroups.mounts:
        raise Skip('not a hybrid host')
    other = PrivateLibvirtd(session, 'pure-v1', hide_cgroup2=True).start()
    guest = Guest(other, 'v1').define().start()
    assert guest.name in guest.vcpu_threads()[0].cgroups()['cpuacct']
    assert guest.name not in guest.vcpu_threads()[0].cgroups()['']
    guest.destroy()
    other.stop()


@suite.test
def a_plain_qemu(session, libvirtd):
    guest = PlainQemu(session, 'plain', vcpus=1, max_vcpus=2).start()
    guest.plug(2)
    assert [c['thread-id'] for c in guest.qmp('query-cpus-fast')] == \
        [t.tid for t in guest.vcpu_threads()]
    guest.kill()


@suite.test
def a_hook_refuses_a_start(session, libvirtd):
    hook = session.folder + '/refuse'
    with open(hook, 'w', encoding='ascii') as file:
        file.write('#!/bin/sh\n[ "$2" = prepare ] || exit 0\necho "not today" >&2\nexit 1\n')
    os.chmod(hook, 0o755)
    other = PrivateLibvirtd(session, 'hooked')
    other.add_hook('refuse', hook)
    other.start()
    answer = Guest(other, 'refused').define().try_start()
    assert answer.status == 1 and 'not today' in answer.err, str(answer)
    other.stop()


@suite.test
def kvm_is_probed_and_not_assumed(session, libvirtd):
    reason = kvm_works(session)
    diag(f'KVM: {reason or "works"}')


@suite.test
def left_behind_things_are_found(session, libvirtd):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(session.folder + '/socket')
        left = session.left_behind()
    session.cgroups.make(session.path('left'))
    left += session.left_behind()
    for kind in ('process', 'socket', session.folder, session.cgroups.path(session.path())):
        assert any(thing.startswith(kind) for thing in left), f'{kind} is not in {left}'


if __name__ == '__main__':
    suite.main()
