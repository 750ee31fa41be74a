#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a plan meets on a host of its own, with cgroup v2 and CPUs that may be taken offline: only in
the lab. With real guests, through stock virsh, against /proc and /sys."""

import glob
import os
import subprocess
import xml.etree.ElementTree as xml
from contextlib import contextmanager

from harness import Guest, Session, Skip, Suite, proc, until
from harness.delegated import SLICE
from harness.planned import DRIFT, PlannedWorld, wait_alone, wait_apart
from harness.unit import have_systemd

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


# --- systemd


def systemctl(*words):
    subprocess.run(['systemctl', *words], check=True, capture_output=True, timeout=300)


def allow(cpus):
    systemctl('set-property', '--runtime', SLICE, 'AllowedCPUs=' + proc.cpulist(cpus))


@suite.test
def a_daemon_reload_and_what_systemd_narrows(world):
    """A reload alone changes nothing that is planned. A pCPU that systemd takes from the slice that
    all of it is in is told, and again when it is back."""
    if not have_systemd():
        raise Skip('needs systemd')
    box = world.start_box('sys', "mode='dedicated'")
    guest = world.start_guest('s', box, vcpus=2)
    places, held = wait_alone(guest), world.session.cgroups.cpus(box.path)
    systemctl('daemon-reload')
    world.virsh('vcpuinfo', box.name)  # which makes corrald look
    now = wait_alone(guest), world.session.cgroups.cpus(box.path)
    assert now == (places, held), (now, places, held)
    assert not [i for i in world.document(box, DRIFT).iter('item') if i.get('state') == 'open']
    gone = max(places)
    allow(world.all - {gone})
    try:
        systemctl('daemon-reload')
        item = until(lambda: world.drift(box, 'cpus', 'open'), 'it to be told', 60)
        assert gone in proc.parse_cpulist(item['planned']), item
        assert gone not in proc.parse_cpulist(item['found']), item
    finally:
        allow(world.all)
    until(lambda: world.drift(box, 'cpus', 'open') is None, 'it to be over', 60)
    assert world.session.cgroups.cpus(box.path) == held
    world.clear()


# --- NUMA


def nodes_of(cpus):
    """pCPUs of @cpus by NUMA node, the larger ones first; none of a node without any."""
    found = {}
    for folder in glob.glob('/sys/devices/system/node/node[0-9]*'):
        inside = proc.parse_cpulist(proc.read(f'{folder}/cpulist')) & cpus
        if inside:
            found[int(os.path.basename(folder)[4:])] = inside
    if len(found) < 2:
        raise Skip('needs two NUMA nodes with CPUs')
    return sorted(found.items(), key=lambda item: -len(item[1]))


@suite.test
def a_vm_lies_in_one_node_or_is_refused(world):
    """Its memory, too, and the refusal says which nodes are too small."""
    (node, cpus), (small, few) = nodes_of(world.all - {world.house})[:2]
    box = world.start_box('node', "mode='dedicated' numa='strict'")
    guest = world.start_guest('n', box, vcpus=len(cpus))
    assert wait_alone(guest) == cpus
    until(lambda: world.file(box, 'cpuset.mems') == str(node), 'the memory to be of that node')
    wide = Guest(world.libvirtd, 'wide', partition=box.path, vcpus=len(few) + 1).define()
    answer = wide.try_start()
    assert answer.status == 1 and f'node {small}' in answer.err.replace('nodes ', 'node '), str(answer)
    other = world.start_guest('m', box, vcpus=len(few))
    assert wait_alone(other) == few and wait_alone(guest) == cpus
    until(lambda: proc.parse_cpulist(world.file(box, 'cpuset.mems')) == {node, small},
          'the memory to be of both nodes')
    guest.destroy()
    until(lambda: world.file(box, 'cpuset.mems') == str(small), 'the node to be given back')
    world.clear()


@suite.test
def a_vm_that_no_node_holds_lies_in_both_if_it_may(world):
    (_, cpus), (_, few) = nodes_of(world.all - {world.house})[:2]
    box = world.start_box('both', "mode='dedicated' numa='prefer'")
    guest = world.start_guest('p', box, vcpus=len(cpus) + len(few))
    assert wait_alone(guest) == cpus | few
    world.clear()


if __name__ == '__main__':
    suite.main()
