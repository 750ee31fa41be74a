#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a plan meets on a host of its own, with cgroup v2 and CPUs that may be taken offline: only in
the lab. With real guests, through stock virsh, against /proc and /sys."""

import os
from contextlib import contextmanager

from harness import Guest, Session, Skip, Suite, proc, until
from harness.planned import PlannedWorld, wait_alone, wait_apart

ONLINE = '/sys/devices/system/cpu/cpu{}/online'


class World(PlannedWorld):
    """The first pCPU is housekeeping."""

    def __init__(self, session):
        if 'LAB_SHARE' not in os.environ:
            raise Skip('takes CPUs offline, so it runs in the lab only')
        if not session.cgroups.unified:
            raise Skip('needs cgroup v2')
        self.all = os.sched_getaffinity(0)
        if len(self.all) < 4:
            raise Skip('needs four pCPUs')
        self.offline, self.folders = set(), []
        super().__init__(session, min(self.all))

    def start_box(self, name, placement, extra=''):
        return self.box(name, placement, extra).start()

    def start_guest(self, name, box, **options):
        return self.guest(name, box, **options).define().start()

    def file(self, box, name):
        return proc.read(f'{self.session.cgroups.path(box.path)}/{name}').strip()

    def set_online(self, cpu, online):
        with open(ONLINE.format(cpu), 'w', encoding='ascii') as file:
            file.write('1' if online else '0')
        (self.offline.discard if online else self.offline.add)(cpu)

    def clear(self):
        for cpu in list(self.offline):
            self.set_online(cpu, True)
        for folder in self.folders:
            os.rmdir(folder)
        self.folders.clear()
        super().clear()


@contextmanager
def setup(options):
    with Session.of(options) as session:
        yield World(session)


suite = Suite(setup)


@suite.test
def a_dedicated_container_is_a_partition(world):
    """Nobody else runs on its pCPUs, not even who is in no container at all."""
    box = world.start_box('part', "mode='dedicated' exclusive='root'")
    guest = world.start_guest('a', box, vcpus=2)
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
    box = world.start_box('inv', "mode='dedicated' exclusive='root'")
    guest = world.start_guest('i', box)
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
    box = world.start_box('off', "mode='dedicated'")
    guest = world.start_guest('o', box, vcpus=2)
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


@suite.test
def a_vcpu_too_many_stays_in_its_partition(world):
    """Housekeeping pCPUs are not in it: the vCPU shares those of its own VM, and no other's."""
    box = world.start_box('grow', "mode='dedicated' exclusive='root'")
    other = world.start_guest('b', box)
    guest = world.start_guest('g', box, vcpus=2, max_vcpus=3)
    theirs, mine = wait_alone(other), wait_alone(guest)
    places = [t.affinity() for t in guest.vcpu_threads()]
    guest.plug(3)

    def now():
        return [t.affinity() for t in guest.vcpu_threads()]
    until(lambda: now() == places + [mine], f'the vCPU to be put: {now()}', 60)
    assert wait_alone(other) == theirs
    assert world.file(box, 'cpuset.cpus.partition') == 'root'
    until(lambda: world.drift(box, 'refused', 'open'), 'the VM to be told', 60)
    other.destroy()
    until(lambda: wait_alone(guest) == mine | theirs, 'the vCPU to have a pCPU', 60)
    world.clear()


@suite.test
def a_cpu_that_goes_from_a_full_host(world):
    """Its vCPU goes to housekeeping, and to nobody's pCPU; it is back when its pCPU is."""
    box = world.start_box('full', "mode='dedicated'")
    other = world.start_guest('f', box)
    guest = world.start_guest('l', box, vcpus=2)
    theirs, mine = wait_alone(other), wait_alone(guest)
    if len(theirs | mine) < len(world.all) - 1:
        raise Skip('the host is not full')
    places = [t.affinity() for t in guest.vcpu_threads()]
    world.set_online(next(iter(places[1])), False)
    until(lambda: [t.affinity() for t in guest.vcpu_threads()] == [places[0], {world.house}],
          'the vCPU to be with the emulator', 60)
    wait_apart(guest, theirs)
    assert wait_alone(other) == theirs
    until(lambda: world.drift(box, 'refused', 'open'), 'the VM to be told', 60)
    world.set_online(next(iter(places[1])), True)
    until(lambda: [t.affinity() for t in guest.vcpu_threads()] == places, 'it to be back', 60)
    world.clear()


if __name__ == '__main__':
    suite.main()
