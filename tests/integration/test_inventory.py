#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""corrald knows which VMs and which of their threads exist, whatever comes and goes."""

import os
from contextlib import contextmanager

from harness import Container, Corrald, Guest, PlainQemu, PrivateLibvirtd, Session, Suite, until


class World:
    """A container that exists, with one guest that ran before corrald did."""

    def __init__(self, session):
        self.session = session
        self.libvirtd = PrivateLibvirtd(session).start()
        session.cgroups.make(session.path('all'))
        self.path = session.path('all')
        self.first = self.guest('first', vcpus=2, iothreads=1).start()
        self.plain = PlainQemu(session, 'plain', vcpus=1, max_vcpus=2)
        self.corrald = Corrald(session, self.libvirtd, qmp={self.plain.name: self.plain.socket})
        session.logs += [self.corrald, self.libvirtd]
        self.corrald.start()
        self.all = Container(self.corrald, 'all').define()

    def guest(self, name, **options):
        return Guest(self.libvirtd, name, partition=self.path, **options).define()

    def tidy(self):
        self.session.kill_guests(but=[self.first])

    def explain(self):
        return self.session.explain()


@contextmanager
def setup(options):
    with Session.of(options) as session:
        yield World(session)


suite = Suite(setup)


@suite.test
def a_vm_that_ran_before_corrald_is_found(world):
    world.all.wait_has(vms=1, vcpus=2)
    assert world.all.is_active()


@suite.test
def each_vcpu_is_its_thread(world):
    """Pinning tells which thread corrald takes for which vCPU."""
    cpu = min(world.session.cgroups.cpus(world.path))
    rest = world.session.cgroups.cpus(world.path)
    first, second = world.first.vcpu_threads()
    others = [t for t in world.first.threads() if t.role != 'vcpu']
    before = [t.affinity() for t in others]
    world.all.virsh('vcpupin', world.all.name, 1, cpu)
    assert second.affinity() == {cpu} and first.affinity() == rest
    assert [t.affinity() for t in others] == before
    world.all.virsh('vcpupin', world.all.name, 1, f'{min(rest)}-{max(rest)}')
    assert second.affinity() == rest


@suite.test
def a_vm_that_starts_and_ends_is_noticed(world):
    guest = world.guest('brief', vcpus=3).start()
    world.all.wait_has(vms=2, vcpus=5)
    guest.destroy()
    world.all.wait_has(vms=1, vcpus=2)


@suite.test
def a_vm_that_is_killed_is_noticed(world):
    guest = world.guest('killed').start()
    world.all.wait_has(vms=2, vcpus=3)
    guest.kill()
    world.all.wait_has(vms=1, vcpus=2)


@suite.test
def a_vm_that_was_attached_leaves_no_group_behind(world):
    """Its threads end one by one, and the first of them are reported while others still run."""
    cgroups = world.session.cgroups
    folders = {f'{cgroups.point(controller)}/{cgroups.directory(world.path)}'
               for controller in ('cpuset', 'cpu')}

    def groups(of):
        return [f'{folder}/{name}' for folder in folders for name in os.listdir(folder)
                if of in name]
    for number in range(6):
        name = f'attached{number}'
        guest = Guest(world.libvirtd, name, vcpus=4).define().start()
        world.all.attach_new(guest)
        world.all.wait_has(vms=2, vcpus=6)
        assert len(groups(name)) == len(folders)
        (guest.kill if number % 2 else guest.destroy)()
        world.all.wait_has(vms=1, vcpus=2)
        until(lambda: not groups(name), f'no group: {groups(name)}')


@suite.test
def a_paused_vm_has_its_vcpus(world):
    guest = world.guest('paused', vcpus=2).start(paused=True)
    world.all.wait_has(vms=2, vcpus=4)
    guest.resume()
    world.all.wait_has(vms=2, vcpus=4)
    guest.destroy()


@suite.test
def vcpus_that_are_plugged_and_unplugged_are_noticed(world):
    """libvirt sends no event of either, and of the latter knows nothing at all under TCG."""
    guest = world.guest('plugs', vcpus=1, max_vcpus=3).start()
    world.all.wait_has(vms=2, vcpus=3)
    guest.plug(3)
    world.all.wait_has(vms=2, vcpus=5)
    guest.unplug(2)
    world.all.wait_has(vms=2, vcpus=4)
    guest.kill()
    world.all.wait_has(vms=1, vcpus=2)


@suite.test
def libvirtd_goes_and_comes_back(world):
    world.libvirtd.stop()
    assert world.all.has(vms=1, vcpus=2)
    world.libvirtd.start()
    guest = world.guest('later').start()
    world.all.wait_has(vms=2, vcpus=3)
    world.libvirtd.kill()
    guest.kill()
    world.all.wait_has(vms=1, vcpus=2)
    world.libvirtd.start()
    world.guest('last').start().destroy()
    world.all.wait_has(vms=1, vcpus=2)


@suite.test
def corrald_goes_and_comes_back(world):
    world.corrald.restart()
    world.all.wait_has(vms=1, vcpus=2)
    world.corrald.kill()
    guest = world.guest('meanwhile').start()
    world.corrald.start()
    world.all.wait_has(vms=2, vcpus=3)
    guest.destroy()
    world.all.wait_has(vms=1, vcpus=2)


@suite.test
def corrald_starts_without_libvirtd(world):
    world.corrald.stop()
    world.libvirtd.stop()
    world.corrald.start()
    assert world.all.is_active()
    world.libvirtd.start()
    world.all.wait_has(vms=1, vcpus=2)


@suite.test
def a_qemu_beside_libvirt_is_a_member(world):
    plain = world.plain.start()
    world.all.attach_new(plain)
    world.all.check_holds_all(plain)
    world.all.wait_has(vms=2, vcpus=3)
    plain.plug(2)
    world.all.wait_has(vms=2, vcpus=4)
    until(lambda: not world.all.strangers(plain), 'the plugged vCPU to be in the container')
    plain.kill()
    world.all.wait_has(vms=1, vcpus=2)


@suite.test
def no_domain_was_tainted(world):
    # libvirt marks any domain whose QEMU is root's
    assert set(world.first.tainted()) <= {'high-privileges'}, world.first.tainted()


if __name__ == '__main__':
    suite.main()
