#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The VM inventory alone (vm-watch prints its signals) with a real libvirtd and real QEMUs."""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../integration'))
# pylint: disable=wrong-import-position
from harness import (Guest, PlainQemu, PrivateLibvirtd, Session, Skip, Suite,  # noqa: E402
                     proc, until)


class Watch:
    """A running vm-watch, and all that it has said."""

    def __init__(self, session, libvirtd=None, qmp=(), state_dir=None):
        argv = [f'{session.build}/tests/unit/vm/vm-watch']
        if libvirtd:
            argv += ['--uri', libvirtd.uri, '--state-dir', state_dir or libvirtd.state_folder]
        for guest in qmp:
            argv += ['--qmp', f'{guest.name}={guest.socket}']
        self.log = open(f'{session.folder}/vm-watch.log', 'ab')
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log, text=True)
        self.lines, self.queue = [], queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        session.closers.append(self.close)

    def _read(self):
        for line in self.process.stdout:
            self.queue.put(json.loads(line))

    def all(self):
        while not self.queue.empty():
            self.lines.append(self.queue.get())
        return self.lines

    def mark(self):
        return len(self.all())

    def find(self, signal_name, name=None, since=0, **wanted):
        for line in self.all()[since:]:
            if line['signal'] == signal_name and (name is None or line['name'] == name) and \
                    all(line[key] == value for key, value in wanted.items()):
                return line
        return None

    def wait(self, signal_name, name=None, since=0, seconds=20, **wanted):
        return until(lambda: self.find(signal_name, name, since, **wanted),
                     f'{signal_name} {name} {wanted}', seconds)

    def ask(self, command, seconds=20):
        since = self.mark()
        self.process.stdin.write(command + '\n')
        self.process.stdin.flush()
        return self.wait(command, since=since, seconds=seconds)

    def vm(self, name):
        return {vm['name']: vm for vm in self.ask('list')['vms']}.get(name)

    def wait_vm(self, name, condition, what, seconds=20):
        return until(lambda: (lambda vm: vm and condition(vm) and vm)(self.vm(name)), what, seconds)

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            assert self.process.wait(20) == 0, 'vm-watch ended badly'
        self.log.close()


def real_vcpus(guest):
    """What the threads are, by their names, which the inventory never looks at."""
    return {f'vcpu{i}': t.tid for i, t in enumerate(guest.vcpu_threads())}


def vcpus_of(vm):
    return {k: v for k, v in vm['threads'].items() if k.startswith('vcpu')}


class World:
    def __init__(self, session):
        self.session = session
        self.libvirtd = PrivateLibvirtd(session).start()
        self.path = session.path('all')
        session.cgroups.make(self.path)
        self.first = self.guest('first', vcpus=2, max_vcpus=4, iothreads=1).start()
        self.plain = PlainQemu(session, 'plain', vcpus=1, max_vcpus=2)
        session.logs += [self, self.libvirtd]
        self.watch = Watch(session, self.libvirtd, [self.plain])

    def guest(self, name, **options):
        return Guest(self.libvirtd, name, partition=self.path, **options).define()

    def explain(self):
        text = '\n'.join(json.dumps(line) for line in self.watch.all()[-30:]
                         if line['signal'] != 'ping')
        return text + '\n' + proc.read(f'{self.session.folder}/vm-watch.log')[-2000:]


@contextmanager
def setup(options):
    with Session(options.build, keep=options.keep) as session:
        yield World(session)


suite = Suite(setup)


@suite.test
def a_vm_that_ran_before_is_there_when_it_settles(world):
    world.watch.wait('settled')
    lines = world.watch.all()
    signals = [line['signal'] for line in lines]
    assert signals[:2] == ['vm-added', 'settled'], signals
    vm = lines[0]
    assert vm['name'] == world.first.name and vm['pid'] == world.first.pid
    assert vm['state'] == 'running' and vm['source'] == 'libvirt'
    assert vm['partition'] == world.path
    assert vm['home_group'].startswith(world.session.cgroups.directory(world.path) + '/qemu-')
    assert vcpus_of(vm) == real_vcpus(world.first), (vm, real_vcpus(world.first))
    iothreads = [t.tid for t in world.first.threads() if t.role == 'iothread']
    assert [vm['threads']['iothread1']] == iothreads, (vm, iothreads)
    uuid = world.first.virsh('domuuid', world.first.name).out.strip().replace('-', '')
    assert vm['uuid'] == uuid


@suite.test
def suspend_and_resume_change_its_state(world):
    since = world.watch.mark()
    world.first.virsh('suspend', world.first.name)
    world.watch.wait('vm-changed', world.first.name, since, state='paused')
    world.first.virsh('resume', world.first.name)
    world.watch.wait('vm-changed', world.first.name, since, state='running')


@suite.test
def a_plugged_vcpu_is_noticed_and_so_is_its_end(world):
    world.first.plug(3)
    world.watch.wait_vm(world.first.name, lambda vm: vcpus_of(vm) == real_vcpus(world.first),
                        '3 vCPUs')
    assert len(real_vcpus(world.first)) == 3
    world.first.unplug(2)
    world.watch.wait_vm(world.first.name, lambda vm: vcpus_of(vm) == real_vcpus(world.first),
                        '2 vCPUs')
    assert 'custom-monitor' not in world.first.tainted(), world.first.tainted()


@suite.test
def metadata_is_told_with_its_uri(world):
    since = world.watch.mark()
    world.first.virsh('metadata', world.first.name, 'urn:test', '--live', '--key', 't', '--set',
                      '<a/>')
    world.watch.wait('vm-metadata', world.first.name, since, uri='urn:test')


@suite.test
def a_start_is_told_once_its_threads_are_placed(world):
    since = world.watch.mark()
    guest = world.guest('second', vcpus=2).start()
    vm = world.watch.wait('vm-added', guest.name, since)
    assert vcpus_of(vm) == real_vcpus(guest), vm
    assert vm['home_group'] is not None
    guest.destroy()
    world.watch.wait('vm-removed', guest.name, since)


@suite.test
def a_killed_qemu_is_noticed_while_libvirtd_hangs(world):
    guest = world.guest('third').start(paused=True)
    vm = world.watch.wait('vm-added', guest.name)
    assert vm['state'] == 'paused', vm
    os.kill(world.libvirtd.pid, signal.SIGSTOP)
    try:
        since = world.watch.mark()
        guest.kill()
        world.watch.wait('vm-removed', guest.name, since, seconds=5)
        world.plain.start()
        world.watch.wait('vm-added', world.plain.name, since, seconds=5)
        # Somebody who starts now waits for nobody either, nor when it ends.
        second = Watch(world.session, world.libvirtd)
        second.wait('settled', seconds=5)
        assert second.vm(world.first.name)
        assert not second.ask('connected')['connected']
        second.close()
        begun = time.monotonic()
        while time.monotonic() < begun + 12:
            before = time.monotonic()
            world.watch.ask('ping', 5)
            assert time.monotonic() - before < 2, 'the main loop was held up'  # keepalive takes 10 s
            time.sleep(0.1)
        assert not world.watch.ask('connected')['connected'], 'keepalive has not noticed'
    finally:
        os.kill(world.libvirtd.pid, signal.SIGCONT)
    until(lambda: world.watch.ask('connected')['connected'], 'a new connection')
    until(lambda: world.first.virsh('list', '--name').out.split() == [world.first.name],
          'libvirtd to know')
    assert [vm['name'] for vm in world.watch.ask('list')['vms']] == \
        sorted([world.first.name, world.plain.name])


@suite.test
def a_qemu_that_hangs_holds_up_nobody(world):
    guest = world.guest('hanging').start()
    world.watch.wait('vm-added', guest.name)
    os.kill(guest.pid, signal.SIGSTOP)
    os.kill(world.plain.pid, signal.SIGSTOP)
    try:
        client = subprocess.Popen(['virsh', '-c', world.libvirtd.uri, 'qemu-monitor-command',
                                   guest.name, '--hmp', 'info status'],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        since = world.watch.mark()
        world.first.virsh('suspend', world.first.name)
        world.watch.wait('vm-changed', world.first.name, since, state='paused')
        world.watch.ask(f'refresh {world.plain.name}', 5)
        world.watch.ask(f'refresh {guest.name}', 5)
        world.first.virsh('resume', world.first.name)
        world.watch.wait('vm-changed', world.first.name, since, state='running')
        # A new inventory, as after a restart, finds both.
        second = Watch(world.session, world.libvirtd, [world.plain])
        second.wait('settled', seconds=5)
        assert second.vm(guest.name) and second.vm(world.plain.name)
        second.close()
    finally:
        os.kill(guest.pid, signal.SIGCONT)
        os.kill(world.plain.pid, signal.SIGCONT)
        client.wait(20)
    guest.destroy()
    world.watch.wait('vm-removed', guest.name)


@suite.test
def vms_stay_while_libvirtd_is_down_and_its_restart_changes_nothing(world):
    before = {vm['name']: vm for vm in world.watch.ask('list')['vms']}
    since = world.watch.mark()
    world.libvirtd.kill()
    until(lambda: not world.watch.ask('connected')['connected'], 'the connection to end', 5)
    assert world.watch.ask('connected')['reason']
    # Somebody who starts now finds the same, without any libvirtd. (A QMP socket has one client.)
    second = Watch(world.session, world.libvirtd)
    second.wait('settled', seconds=5)
    found = {vm['name']: vm for vm in second.ask('list')['vms']}
    second.close()
    world.libvirtd.start()
    assert found == {n: vm for n, vm in before.items() if vm['source'] == 'libvirt'}, found
    until(lambda: world.watch.ask('connected')['connected'], 'a new connection', 3)
    assert {vm['name']: vm for vm in world.watch.ask('list')['vms']} == before
    assert not world.watch.find('vm-removed', since=since)
    assert not world.watch.find('vm-added', since=since)


@suite.test
def the_end_of_a_vm_is_noticed_without_libvirtd(world):
    guest = world.guest('fourth').start()
    world.watch.wait('vm-added', guest.name)
    world.libvirtd.kill()
    since = world.watch.mark()
    guest.kill()
    world.watch.wait('vm-removed', guest.name, since, seconds=5)
    # Its files are still there, and are not believed.
    left = os.path.exists(f'{world.libvirtd.state_folder}/{guest.name}.xml')
    second = Watch(world.session, world.libvirtd)
    second.wait('settled', seconds=5)
    found = second.vm(guest.name)
    second.close()
    world.libvirtd.start()
    assert left and not found
    until(lambda: world.watch.ask('connected')['connected'], 'a new connection', 3)


@suite.test
def without_a_state_folder_nothing_is_made_up(world):
    second = Watch(world.session, world.libvirtd, state_dir=f'{world.session.folder}/none')
    second.wait('settled')
    assert second.ask('list')['vms'] == []
    second.close()


@suite.test
def libvirt_is_asked_where_its_files_are_not_understood(world):
    folder = f'{world.session.folder}/strange'
    os.mkdir(folder)
    name = world.first.name
    os.link(f'{world.libvirtd.state_folder}/{name}.pid', f'{folder}/{name}.pid')
    with open(f'{folder}/{name}.xml', 'w', encoding='ascii') as file:
        file.write('<status version="99"/>')
    second = Watch(world.session, world.libvirtd, state_dir=folder)
    vm = second.wait_vm(name, lambda vm: vm['state'] == 'running', 'its state')
    assert vm == world.watch.vm(name), vm
    world.first.virsh('suspend', name)
    second.wait_vm(name, lambda vm: vm['state'] == 'paused', 'a paused VM')
    world.first.virsh('resume', name)
    second.wait_vm(name, lambda vm: vm['state'] == 'running', 'a running VM')
    second.close()


@suite.test
def a_moved_vm_keeps_its_home_over_our_restart(world):
    guest = world.guest('moved', vcpus=2, max_vcpus=3).start()
    vm = world.watch.wait('vm-added', guest.name)
    group = f'{world.session.tag}.partition/{guest.name}.corral'
    point = world.session.cgroups.point('cpuset')
    parts = {'emulator': [t.tid for t in guest.threads() if t.role != 'vcpu']}
    parts.update({k: [v] for k, v in vcpus_of(vm).items()})
    homes = {}
    try:
        for folder in (f'{point}/{world.session.tag}.partition', f'{point}/{group}',
                       *(f'{point}/{group}/{part}' for part in parts)):
            os.mkdir(folder)
            if not world.session.cgroups.unified:
                for name in ('cpuset.cpus', 'cpuset.mems'):
                    with open(f'{folder}/{name}', 'w', encoding='ascii') as file:
                        file.write(proc.read(f'{point}/{name}'))
        if world.session.cgroups.unified:
            raise Skip('a single thread cannot leave its VM on cgroup v2')
        for part, tids in parts.items():
            for tid in tids:
                homes[tid] = part
                with open(f'{point}/{group}/{part}/tasks', 'w', encoding='ascii') as file:
                    file.write(str(tid))
        second = Watch(world.session, world.libvirtd)
        second.wait('settled')
        again = second.vm(guest.name)
        assert again['home_group'] == vm['home_group'], again
        assert vcpus_of(again) == vcpus_of(vm), again
        # libvirt plugs the next one into the group that it made.
        guest.plug(3)
        second.wait_vm(guest.name, lambda v: vcpus_of(v) == real_vcpus(guest), 'vcpu2')
        second.close()
    finally:
        for tid, part in homes.items():
            with open(f'{point}/{vm["home_group"]}/{part}/tasks', 'w', encoding='ascii') as file:
                file.write(str(tid))
        for part in parts:
            os.rmdir(f'{point}/{group}/{part}')
        os.rmdir(f'{point}/{group}')
        os.rmdir(f'{point}/{world.session.tag}.partition')
    guest.destroy()
    world.watch.wait('vm-removed', guest.name)


@suite.test
def a_plain_qemu_is_read_over_qmp(world):
    vm = world.watch.vm(world.plain.name)
    assert vm['source'] == 'qmp' and vm['pid'] == world.plain.pid and vm['state'] == 'running'
    assert vcpus_of(vm) == real_vcpus(world.plain), vm
    since = world.watch.mark()
    world.plain.qmp('stop')
    world.watch.wait('vm-changed', world.plain.name, since, state='paused')
    world.plain.qmp('cont')
    world.watch.wait('vm-changed', world.plain.name, since, state='running')
    world.plain.plug(2)
    world.watch.ask(f'refresh {world.plain.name}')
    world.watch.wait_vm(world.plain.name, lambda v: vcpus_of(v) == real_vcpus(world.plain),
                        '2 vCPUs')
    world.plain.kill()
    world.watch.wait('vm-removed', world.plain.name, since)


@suite.test
def a_plain_qemu_that_comes_back_is_found_without_polling(world):
    since = world.watch.mark()
    world.plain.vcpus = 1
    world.plain.start(paused=True)
    vm = world.watch.wait('vm-added', world.plain.name, since, seconds=5)
    assert vm['pid'] == world.plain.pid
    world.watch.wait_vm(world.plain.name, lambda v: v['state'] == 'paused' and
                        vcpus_of(v) == real_vcpus(world.plain), 'a paused VM')
    world.plain.kill()
    world.watch.wait('vm-removed', world.plain.name, since)


@suite.test
def a_plain_qemu_is_followed_by_one_that_waits_at_its_socket(world):
    since = world.watch.mark()
    world.plain.start()
    world.watch.wait('vm-added', world.plain.name, since)
    heir = PlainQemu(world.session, 'heir')
    heir.socket = world.plain.socket
    heir.start()
    since = world.watch.mark()
    # The end of the connection and the death are seen at once, so in either order.
    os.kill(world.watch.process.pid, signal.SIGSTOP)
    try:
        world.plain.kill()
    finally:
        os.kill(world.watch.process.pid, signal.SIGCONT)
    world.watch.wait('vm-removed', world.plain.name, since)
    world.watch.wait('vm-added', world.plain.name, since, seconds=5, pid=heir.pid)
    heir.kill()
    world.watch.wait('vm-removed', world.plain.name, since)


@suite.test
def at_rest_it_uses_no_time(world):
    """Counts how often its threads go to sleep: what a busy host does to their time is not theirs."""
    pid, seconds = world.watch.process.pid, 3

    def used():
        sleeps = busy = 0
        for tid in os.listdir(f'/proc/{pid}/task'):
            with suppress(FileNotFoundError, ProcessLookupError):  # a thread of GLib's pool ended
                status = proc.read(f'/proc/{pid}/task/{tid}/status')
                sleeps += int(re.search(r'^voluntary_ctxt_switches:\s*(\d+)', status, re.M)[1])
                # What waits for a CPU all the time would run all the time.
                run, wait = proc.read(f'/proc/{pid}/task/{tid}/schedstat').split()[:2]
                busy += (int(run) + int(wait)) / 1e9
        return sleeps, busy
    world.watch.mark()
    before = used()
    time.sleep(seconds)
    sleeps, busy = (now - then for now, then in zip(used(), before))
    # libvirt's keepalive is due every 2 s; nothing asks the QEMU that is dead.
    assert sleeps <= 10 and busy < seconds / 2, (sleeps, busy)


if __name__ == '__main__':
    suite.main()
