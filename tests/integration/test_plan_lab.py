#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a plan meets on a host of its own, with cgroup v2 and CPUs that may be taken offline: only in
the lab. With real guests, through stock virsh, against /proc and /sys."""

import os
import xml.etree.ElementTree as xml
from contextlib import contextmanager

from harness import Container, Corrald, Guest, PrivateLibvirtd, Session, Skip, Suite, proc, until

DRIFT = 'urn:corral:drift:1'
ONLINE = '/sys/devices/system/cpu/cpu{}/online'


class World:
    """The first pCPU is housekeeping."""

    def __init__(self, session):
        if 'LAB_SHARE' not in os.environ:
            raise Skip('takes CPUs offline, so it runs in the lab only')
        self.session = session
        if not session.cgroups.unified:
            raise Skip('needs cgroup v2')
        self.all = os.sched_getaffinity(0)
        if len(self.all) < 4:
            raise Skip('needs four pCPUs')
        self.house = min(self.all)
        self.libvirtd = PrivateLibvirtd(session)
        self.corrald = Corrald(session, self.libvirtd,
                               host=f"<housekeeping cpuset='{self.house}'/>")
        session.logs += [self.corrald, self.libvirtd]
        self.libvirtd.add_hook('corral', self.corrald.hook())
        self.libvirtd.start()
        self.corrald.start()
        self.virsh = self.corrald.virsh
        self.boxes, self.offline, self.folders = [], set(), []

    def box(self, name, placement, extra=''):
        box = Container(self.corrald, name, placement=placement, extra=extra)
        self.boxes.append(box)
        return box.start()

    def guest(self, name, box, **options):
        return Guest(self.libvirtd, name, partition=box.path, load=0.05, **options).define().start()

    def file(self, box, name):
        return proc.read(f'{self.session.cgroups.path(box.path)}/{name}').strip()

    def drift(self, box, what, state):
        """The item of @box's drift that is of this kind and in this state; or None."""
        document = xml.fromstring(self.virsh('metadata', box.name, '--uri', DRIFT).out)
        wanted = {'container': box.path, 'what': what, 'state': state}
        return next((dict(i.attrib) for i in document.iter('item')
                     if wanted.items() <= dict(i.attrib).items()), None)

    def set_online(self, cpu, online):
        with open(ONLINE.format(cpu), 'w', encoding='ascii') as file:
            file.write('1' if online else '0')
        (self.offline.discard if online else self.offline.add)(cpu)

    def clear(self):
        """All that a test has made, or taken away."""
        for cpu in list(self.offline):
            self.set_online(cpu, True)
        for folder in self.folders:
            os.rmdir(folder)
        self.folders.clear()
        for guest in self.session.guests:
            if guest.is_running():
                guest.destroy()
            self.libvirtd.virsh.try_('undefine', guest.name)
        self.session.guests.clear()
        for box in reversed(self.boxes):
            if box.virsh.try_('domuuid', box.name).status == 0:
                if box.is_active():
                    box.wait_has(vms=0)
                box.remove()
        self.boxes.clear()

    def tidy(self):
        self.session.kill_guests()
        self.clear()

    def explain(self):
        return self.session.explain()


@contextmanager
def setup(options):
    with Session.of(options) as session:
        yield World(session)


suite = Suite(setup)


def wait_alone(guest):
    """Each vCPU on one pCPU of its own; returns these."""
    def places():
        sets = [t.affinity() for t in guest.vcpu_threads()]
        found = set().union(*sets)
        return found if all(len(s) == 1 for s in sets) and len(found) == len(sets) else None
    return until(places, f'the vCPUs of {guest.name} to have a pCPU each', 60)


@suite.test
def a_dedicated_container_is_a_partition(world):
    """Nobody else runs on its pCPUs, not even who is in no container at all."""
    box = world.box('part', "mode='dedicated' exclusive='root'")
    guest = world.guest('a', box, vcpus=2)
    places = wait_alone(guest)
    until(lambda: world.file(box, 'cpuset.cpus.partition') == 'root', 'the partition to be valid', 60)
    assert world.session.cgroups.cpus(box.path) == places, world.session.cgroups.cpus(box.path)
    until(lambda: not os.sched_getaffinity(0) & places, 'everybody else to be elsewhere')
    assert world.drift(box, 'exclusive', 'open') is None
    # Nor are they lost to who starts anew, and is itself kept off them.
    world.corrald.kill()
    world.corrald.start()
    box.wait_has(vms=1)
    assert world.drift(box, 'offline', 'open') is None
    assert wait_alone(guest) == places == world.session.cgroups.cpus(box.path)
    guest.destroy()
    box.wait_has(vms=0)
    world.clear()
    until(lambda: os.sched_getaffinity(0) == world.all, 'the pCPUs to be everybody\'s again')


@suite.test
def a_partition_that_a_sibling_makes_invalid_is_told(world):
    box = world.box('inv', "mode='dedicated' exclusive='root'")
    guest = world.guest('i', box)
    places = wait_alone(guest)
    until(lambda: world.file(box, 'cpuset.cpus.partition') == 'root', 'the partition to be valid', 60)
    sibling = os.path.dirname(world.session.cgroups.path(box.path)) + '/sibling'
    os.mkdir(sibling)
    world.folders.append(sibling)
    with open(f'{sibling}/cpuset.cpus', 'w', encoding='ascii') as file:
        file.write(proc.cpulist(places))
    state = world.file(box, 'cpuset.cpus.partition')
    print(f'# the kernel calls it "{state}" then', flush=True)
    if state == 'root':
        # This kernel lets the sibling have none of them.
        assert not proc.parse_cpulist(proc.read(f'{sibling}/cpuset.cpus.effective')) & places
    else:
        item = until(lambda: world.drift(box, 'exclusive', 'open'), 'it to be told', 60)
        assert item['planned'] == 'root' and 'invalid' in item['found'], item
    world.clear()


@suite.test
def a_cpu_that_goes_is_told_and_its_vcpu_moves(world):
    box = world.box('off', "mode='dedicated'")
    guest = world.guest('o', box, vcpus=2)
    places = wait_alone(guest)
    gone = max(places)
    world.set_online(gone, False)
    now = until(lambda: (wait_alone(guest) - {gone}) if gone not in wait_alone(guest) else None,
                'the vCPU to move', 60)
    assert places - {gone} < now, (places, now)
    item = until(lambda: world.drift(box, 'offline', 'gone'), 'it to have been told', 60)
    assert gone in proc.parse_cpulist(item['planned']), item
    assert gone not in proc.parse_cpulist(item['found']), item
    # What is left is full; with the pCPU back there is room again.
    late = Guest(world.libvirtd, 'late', partition=box.path, vcpus=1).define()
    assert late.try_start().status == 1
    world.set_online(gone, True)
    until(lambda: late.try_start().status == 0, 'the VM to fit', 60)
    late.find()
    assert wait_alone(late) == {gone}
    assert wait_alone(guest) == now
    world.clear()


if __name__ == '__main__':
    suite.main()
