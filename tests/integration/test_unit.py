#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""corrald with no more rights than its systemd unit leaves it: all that it does has to work."""

import os
from contextlib import contextmanager

from harness import Container, Guest, PlainQemu, PrivateLibvirtd, Session, Suite, proc, until
from harness.unit import UnitCorrald, have_systemd, hardened

# By the unit, and not by its file: a right that is added there has to be added here, with its reason.
CAPABILITIES = {'chown': 0, 'dac_override': 1, 'net_admin': 12, 'sys_admin': 21, 'sys_nice': 23}


class World:
    def __init__(self, session):
        self.session = session
        self.cpus = sorted(os.sched_getaffinity(0))
        self.libvirtd = PrivateLibvirtd(session)
        # QEMU seldom runs as root on a real host.
        self.plain = PlainQemu(session, 'plain', user='nobody')
        self.corrald = hardened(session, self.libvirtd, {self.plain.name: self.plain.socket})
        session.logs += [self.corrald, self.libvirtd]
        self.libvirtd.add_hook('corral', self.corrald.hook())
        self.libvirtd.start()
        self.corrald.start()
        self.home = Container(self.corrald, 'home', cputune='<shares>512</shares>').start()
        self.away = Container(self.corrald, 'away', cpus=self.cpus[:1]).start()

    def tidy(self):
        self.session.kill_guests()

    def explain(self):
        return self.session.explain()


@contextmanager
def setup(options):
    with Session.of(options) as session:
        world = World(session)
        yield world
        if isinstance(world.corrald, UnitCorrald):
            world.corrald.stop()


suite = Suite(setup)


def status(pid):
    return dict(line.split(':', 1) for line in proc.read(f'/proc/{pid}/status').splitlines())


@suite.test
def it_has_the_rights_of_its_unit_and_no_more(world):
    fields = status(world.corrald.pid)
    wanted = sum(1 << bit for bit in CAPABILITIES.values())
    for name in ('CapPrm', 'CapEff', 'CapBnd'):
        have = int(fields[name], 16)
        assert have & ~wanted == 0, f'{name} has {have & ~wanted:#x} too many'
    assert fields['NoNewPrivs'].strip() == '1'
    root = f'/proc/{world.corrald.pid}/root'
    for path in ('/usr', '/etc', '/boot'):
        if os.path.isdir(path):
            assert os.statvfs(root + path).f_flag & os.ST_RDONLY, path
    assert not os.path.exists(root + '/dev/kmsg')
    if have_systemd():
        assert fields['Seccomp'].strip() == '2'


@suite.test
def definitions_are_written(world):
    one = Container(world.corrald, 'one').define()
    world.corrald.virsh('autostart', one.name)
    world.corrald.virsh('desc', one.name, '--config', 'words')
    world.corrald.virsh('undefine', one.name)


@suite.test
def a_vm_is_moved_pinned_and_counted(world):
    guest = Guest(world.libvirtd, 'guest', vcpus=2, max_vcpus=3, iothreads=1,
                  partition=world.home.path, load=0.1).define().start()
    world.home.wait_has(vms=1, vcpus=2)
    world.home.check_holds_all(guest)
    world.away.attach_new(guest)
    world.away.check_holds_all(guest)
    assert all(t.affinity() == {world.cpus[0]} for t in guest.threads())
    both = proc.cpulist(world.cpus[:2])
    world.corrald.virsh('emulatorpin', world.away.name, both, '--live')
    world.corrald.virsh('vcpupin', world.away.name, 0, world.cpus[-1] if len(world.cpus) < 3
                        else world.cpus[1], '--live')
    world.corrald.virsh('schedinfo', world.away.name, '--set', 'cpu_shares=2000', '--live')
    world.corrald.virsh('schedinfo', world.away.name, '--set', 'global_quota=90000', '--live')
    world.corrald.virsh('numatune', world.away.name, '--nodeset', 0, '--live')
    until(lambda: world.away.stats()['cpu.time'] > 0, 'usage to be counted')
    world.away.detach(guest)
    world.home.check_holds_all(guest)
    world.home.wait_has(vms=1, vcpus=2)
    guest.plug(3)
    world.home.wait_has(vms=1, vcpus=3)
    guest.destroy()
    world.home.wait_has(vms=0)


@suite.test
def a_vm_of_another_user_is_read_and_moved(world):
    plain = world.plain.start()
    assert status(plain.pid)['Uid'].split()[1] != '0'
    world.away.attach_new(plain)
    world.away.wait_has(vms=1, vcpus=1)
    world.away.check_holds_all(plain)
    until(lambda: world.away.stats()['corral.host_ns'] > 0, 'usage of its vCPU')
    plain.kill()
    world.away.wait_has(vms=0)


@suite.test
def it_is_killed_and_finds_all_again(world):
    guest = Guest(world.libvirtd, 'again', vcpus=1, partition=world.home.path).define().start()
    world.home.wait_has(vms=1, vcpus=1)
    world.away.attach_new(guest)
    world.corrald.kill()
    if not isinstance(world.corrald, UnitCorrald):
        world.corrald.start()
    world.away.wait_has(vms=1, vcpus=1)
    world.away.check_holds_all(guest)
    world.away.detach(guest)
    guest.destroy()
    world.home.wait_has(vms=0)


@suite.test
def it_reloads_and_stops(world):
    if isinstance(world.corrald, UnitCorrald):
        world.corrald.reload()
    else:
        os.kill(world.corrald.pid, 1)
    until(lambda: world.corrald.virsh.try_('list').status == 0, 'an answer after a reload')
    world.corrald.stop()
    world.corrald.start()
    assert world.home.name in world.corrald.virsh('list', '--name').out


if __name__ == '__main__':
    suite.main()
