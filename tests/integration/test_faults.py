#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What breaks around corrald, and corrald itself, at bad moments."""

import os
import random
import signal
import threading
import time
from contextlib import contextmanager

import libvirt
from harness import Container, Corrald, Guest, PrivateLibvirtd, Session, Suite, proc, until
from harness.keeper import MNT_DETACH, check, libc
from harness.tap import diag


class World:
    def __init__(self, session):
        self.session = session
        self.disk = session.folder + '/disk'
        os.mkdir(self.disk)
        # its own small file system, which the test can fill and make read-only
        disk = self.disk.encode()
        check(libc.mount(b'none', disk, b'tmpfs', 0, b'size=256k,nr_inodes=64'), 'mount')
        session.closers.append(lambda: check(libc.umount2(disk, MNT_DETACH), 'umount'))
        self.libvirtd = PrivateLibvirtd(session)
        self.corrald = Corrald(session, self.libvirtd, definitions=self.disk + '/containers')
        session.logs += [self.corrald, self.libvirtd]
        self.libvirtd.add_hook('corral', self.corrald.hook())
        self.libvirtd.start()
        self.corrald.start()
        self.box = Container(self.corrald, 'box').start()

    def guest(self, name, **options):
        return Guest(self.libvirtd, name, partition=self.box.path, **options).define()

    def files(self):
        return sorted(os.listdir(self.corrald.definitions))

    def tidy(self):
        self.session.kill_guests()

    def explain(self):
        return self.session.explain()


@contextmanager
def setup(options):
    with Session.of(options) as session:
        yield World(session)


suite = Suite(setup)


# --- kill -9

@suite.test
def corrald_is_killed_while_it_works(world):
    """At random moments of define, start, tune and destroy: what it had begun is complete or undone
    when it is back, and the next try works."""
    dice = random.Random(1)
    one = Container(world.corrald, 'victim', cputune='<shares>512</shares>')
    path = one.file()
    for turn in range(12):
        def work():
            for words in (('define', path), ('start', one.name), ('desc', one.name, '--live', 'x'),
                          ('schedinfo', one.name, '--live', '--set', 'cpu_shares=2048'),
                          ('autostart', one.name), ('destroy', one.name), ('undefine', one.name)):
                world.corrald.virsh.try_(*words)
        worker = threading.Thread(target=work)
        worker.start()
        time.sleep(dice.uniform(0, 0.25))
        world.corrald.kill()
        worker.join()
        world.corrald.start()
        names = world.corrald.virsh('list', '--all', '--name').out.split()
        assert all(f == 'autostart' or f in (f'{n}.xml' for n in (one.name, world.box.name))
                   for f in world.files()), world.files()
        if one.name in names:
            where = world.session.cgroups.where(one.path)
            assert one.is_active() == bool(where), (turn, where)
            one.remove()
        else:
            assert not world.session.cgroups.where(one.path), turn
        one.start()
        one.remove()
        assert not world.session.cgroups.where(one.path)
        assert not [f for f in world.files() if one.name in f], world.files()


@suite.test
def corrald_is_killed_while_it_moves_a_vm(world):
    """No thread may be left between two containers for longer than it takes to start again."""
    dice = random.Random(2)
    other = Container(world.corrald, 'other').start()
    guest = world.guest('moved', vcpus=3, iothreads=1).start()
    world.box.wait_has(vms=1)
    for turn in range(10):
        target = (other, world.box)[turn % 2]
        worker = threading.Thread(target=lambda t=target: t.virsh.try_(
            'attach-device', t.name, t.member(guest), '--live'))
        worker.start()
        time.sleep(dice.uniform(0.01, 0.06))
        world.corrald.kill()
        worker.join()
        world.corrald.start()
        until(lambda: not world.box.strangers(guest) or not other.strangers(guest),
              'all threads to be in one container')
    if world.box.strangers(guest):
        world.box.attach(guest)
    world.box.check_holds_all(guest)
    guest.destroy()
    other.remove()


@suite.test
def libvirtd_is_killed_while_a_vm_starts(world):
    dice = random.Random(3)
    for turn in range(4):
        guest = world.guest(f'start{turn}', vcpus=2)
        worker = threading.Thread(target=guest.try_start)
        worker.start()
        time.sleep(dice.uniform(0.05, 0.6))
        world.libvirtd.kill()
        worker.join()
        world.libvirtd.start()
        until(lambda: world.session.cgroups.where(world.box.path), 'the container to be there')
        running = guest.virsh('domstate', guest.name).out.strip() == 'running'
        if running:
            guest.find()
            world.box.check_holds_all(guest)
            world.box.wait_has(vms=1, vcpus=2)
            guest.destroy()
        world.box.wait_has(vms=0)


@suite.test
def qemu_is_killed(world):
    for turn in range(3):
        guest = world.guest(f'qemu{turn}', vcpus=2, load=0.2).start()
        world.box.wait_has(vms=1, vcpus=2)
        before = world.box.stats()['cpu.time']
        guest.kill()
        world.box.wait_has(vms=0)
        assert world.box.stats()['cpu.time'] >= before


@suite.test
def everything_is_killed_at_once(world):
    guest = world.guest('all', vcpus=2).start()
    world.box.wait_has(vms=1)
    world.corrald.kill()
    world.libvirtd.kill()
    guest.kill()
    world.corrald.start()
    world.libvirtd.start()
    world.box.wait_has(vms=0)
    assert world.box.is_active()
    again = world.guest('again').start()
    world.box.wait_has(vms=1)
    again.destroy()


# --- disks

@suite.test
def a_full_disk_refuses_and_changes_nothing(world):
    before, dump = world.files(), world.box.virsh('dumpxml', '--inactive', world.box.name).out
    filler = world.disk + '/filler'
    with open(filler, 'wb', buffering=0) as file:
        try:
            while True:
                file.write(b'x' * 4096)
        except OSError:
            pass
    big = Container(world.corrald, 'big', extra=f'<description>{"x" * 9000}</description>')
    answer = big.virsh.fails('define', big.file())
    assert 'space' in answer.err.lower(), str(answer)
    world.box.virsh.fails('desc', world.box.name, '--config', 'x' * 9000)
    assert world.box.virsh('dumpxml', '--inactive', world.box.name).out == dump
    assert world.files() == before, world.files()
    os.unlink(filler)
    big.define()
    big.remove()


@suite.test
def a_read_only_folder_refuses_and_changes_nothing(world):
    ms_rdonly, ms_remount = 1, 32
    check(libc.mount(None, world.disk.encode(), None, ms_rdonly | ms_remount, None), 'remount')
    try:
        one = Container(world.corrald, 'one')
        answer = one.virsh.fails('define', one.file())
        assert 'read-only' in answer.err.lower(), str(answer)
        one.virsh.fails('undefine', world.box.name)
        one.virsh.fails('autostart', world.box.name)
        assert world.box.is_active()
        guest = world.guest('still').start()
        world.box.wait_has(vms=1)
        guest.destroy()
        world.corrald.restart()
        assert world.box.is_active()
    finally:
        check(libc.mount(None, world.disk.encode(), None, ms_remount, None), 'remount')
    world.box.wait_has(vms=0)


@suite.test
def a_broken_definition_file_harms_no_other(world):
    path = world.corrald.definitions + '/broken.xml'
    with open(path, 'w', encoding='ascii') as file:
        file.write('<domain type="corral"><name>broken')
    world.corrald.kill()
    world.corrald.start()
    assert world.box.is_active()
    assert 'broken.xml' in proc.read(world.corrald.log)
    os.unlink(path)
    world.corrald.restart()


# --- what hangs

@suite.test
def nothing_waits_for_a_qemu_that_hangs(world):
    guest = world.guest('hangs', vcpus=2).start()
    world.box.wait_has(vms=1, vcpus=2)
    os.kill(guest.pid, signal.SIGSTOP)
    until(lambda: proc.read(f'/proc/{guest.pid}/stat').rpartition(')')[2].split()[0] == 'T',
          'QEMU to be stopped')
    connection = libvirt.open(world.corrald.uri)
    domain = connection.lookupByName(world.box.name)
    slowest = 0
    other = Container(world.corrald, 'beside').start()
    for call in (domain.info, domain.vcpus, domain.XMLDesc, lambda: domain.getCPUStats(True),
                 connection.getAllDomainStats, domain.state, connection.listAllDomains,
                 lambda: domain.pinVcpu(0, (True,) * os.cpu_count())):
        since = time.monotonic()
        call()
        slowest = max(slowest, time.monotonic() - since)
    diag(f'slowest call: {slowest * 1000:.1f} ms')
    assert slowest < 1
    since = time.monotonic()
    other.attach(guest)
    assert time.monotonic() - since < 5
    other.check_holds_all(guest)
    # libvirtd waits for the QEMU; corrald, started anew, does not
    world.corrald.restart()
    other.wait_has(vms=1, vcpus=2)
    os.kill(guest.pid, signal.SIGCONT)
    periods = guest.mailbox.vcpu(0)['periods']
    until(lambda: guest.mailbox.vcpu(0)['periods'] > periods, 'the guest to go on')
    connection.close()
    guest.destroy()
    other.wait_has(vms=0)
    other.remove()


@suite.test
def the_cpuset_asked_for_is_refused(world):
    far = Container(world.corrald, 'far', cpus={4000})
    answer = far.virsh.try_('define', far.file())
    if answer.status == 0:
        answer = far.virsh.fails('start', far.name)
        assert not world.session.cgroups.where(far.path)
        far.remove()
    assert '4000' in answer.err, str(answer)


@suite.test
def a_container_removed_behind_its_back_is_noticed(world):
    one = Container(world.corrald, 'gone').start()
    for controller in world.session.cgroups.where(one.path):
        folder = world.session.cgroups.path(one.path, controller)
        if os.path.isdir(folder):
            os.rmdir(folder)
    until(lambda: not one.is_active() or world.session.cgroups.where(one.path),
          'corrald to notice or to mend it')
    one.virsh.try_('start', one.name)
    assert one.is_active()
    one.remove()


if __name__ == '__main__':
    suite.main()
