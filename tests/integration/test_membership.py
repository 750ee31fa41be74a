#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who is in which container: by partition, by hook, by attach, by name; told from /proc alone."""

import os
import threading
from contextlib import contextmanager

from harness import Container, Corrald, Guest, PrivateLibvirtd, Session, Skip, Suite, proc, until
from harness.watch import Watch


class World:
    """libvirtd with Corral's hook, corrald, and two containers on different pCPUs."""

    def __init__(self, session):
        self.session = session
        self.cpus = sorted(os.sched_getaffinity(0))
        if len(self.cpus) < 2:
            raise Skip('needs two pCPUs')
        self.libvirtd = PrivateLibvirtd(session)
        self.corrald = Corrald(session, self.libvirtd)
        session.logs += [self.corrald, self.libvirtd]
        self.libvirtd.add_hook('corral', self.corrald.hook())
        self.libvirtd.start()
        self.corrald.start()
        self.prod = Container(self.corrald, 'prod', cpus={self.cpus[0]}).define()
        self.dev = Container(self.corrald, 'dev', cpus={self.cpus[1]}).start()

    def guest(self, name, container=None, **options):
        partition = container.path if container else None
        return Guest(self.libvirtd, name, partition=partition, **options).define()

    def tidy(self):
        self.session.kill_guests()

    def start_prod(self):
        """The first tests want it not to be there; for the others, each of which may run alone."""
        if not self.prod.is_active():
            self.prod.start()

    def explain(self):
        return self.session.explain()


@contextmanager
def setup(options):
    with Session.of(options) as session:
        yield World(session)


suite = Suite(setup)


def is_home(guest):
    """Whether each thread is in the place that libvirt made for it."""
    controller = '' if guest.session.cgroups.unified else 'cpuset'
    wanted = {'vcpu': 'vcpu{}', 'iothread': 'iothread{}', 'emulator': 'emulator'}
    for thread in guest.threads():
        path = thread.cgroups()[controller]
        if f'-{guest.name}.libvirt-qemu' not in path or 'partition' in path:
            return False
        if thread.role != 'emulator' and \
                not path.endswith('/' + wanted[thread.role].format(thread.index)):
            return False
    return True


class Onlooker:
    """Watches from outside, at full speed, for threads of a guest that are not in a container."""

    def __init__(self, guest, container):
        self.guest, self.container = guest, container
        self.seen, self.outside, self.done = 0, set(), False
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done = True
        self.thread.join()

    def _run(self):
        pid = None
        while not self.done:
            pid = pid or self._find()
            for thread in proc.threads(pid) if pid else ():
                try:
                    self.seen += 1
                    if not self.container.holds(thread):
                        self.outside.add((thread, str(thread.cgroups())))
                except (FileNotFoundError, ProcessLookupError):
                    pass

    def _find(self):
        for pid in self.guest.session.keeper.descendants():
            try:
                if f'guest={self.guest.name},' in proc.read(f'/proc/{pid}/cmdline'):
                    return pid
            except (FileNotFoundError, ProcessLookupError):
                pass
        return None


# --- by partition, through the hook

@suite.test
def the_hook_makes_the_container_before_qemu_exists(world):
    assert not world.prod.is_active() and not world.session.cgroups.where(world.prod.path)
    guest = world.guest('hooked', world.prod, vcpus=2, iothreads=1)
    with Onlooker(guest, world.prod) as onlooker:
        guest.start()
    assert onlooker.seen > 20 and not onlooker.outside, onlooker.outside
    world.prod.check_holds_all(guest)
    assert all(t.affinity() == {world.cpus[0]} for t in guest.threads())
    until(world.prod.is_active, 'corrald to see that the container is there')
    world.prod.wait_has(vms=1, vcpus=2)
    guest.destroy()
    world.prod.wait_has(vms=0)
    assert world.prod.is_active()


@suite.test
def no_thread_is_ever_outside_while_vms_start(world):
    for number in range(5):
        guest = world.guest(f'many{number}', world.prod, vcpus=2, max_vcpus=3)
        with Onlooker(guest, world.prod) as onlooker:
            guest.start()
            guest.plug(3)
        assert onlooker.seen > 20 and not onlooker.outside, onlooker.outside
        guest.destroy()


@suite.test
def the_hook_works_without_corrald(world):
    world.corrald.stop()
    guest = world.guest('alone', world.prod).start()
    world.prod.corrald.session.cgroups.cpus(world.prod.path)
    world.prod.check_holds_all(guest)
    world.corrald.start()
    world.prod.wait_has(vms=1, vcpus=1)
    guest.destroy()


@suite.test
def a_start_that_cannot_be_had_is_refused_with_the_reason(world):
    """The child asks for a pCPU that its parent has not."""
    wide = Container(world.corrald, 'wide', path=('prod', 'wide'), cpus={world.cpus[1]}).define()
    guest = world.guest('refused', wide)
    answer = guest.try_start()
    assert answer.status == 1, str(answer)
    assert wide.path in answer.err or wide.name in answer.err, str(answer)
    assert guest.virsh('domstate', guest.name).out.strip() == 'shut off'
    assert not world.session.cgroups.where(wide.path)
    wide.remove()


@suite.test
def a_vm_without_a_partition_starts_as_ever(world):
    guest = world.guest('plain').start()
    assert is_home(guest)
    guest.destroy()


# --- by attach

@suite.test
def attach_and_detach_move_a_running_vm(world):
    world.start_prod()
    watch = Watch(world.corrald.uri)
    guest = world.guest('moves', vcpus=2, iothreads=1, load=0.1).start()
    everywhere = [t.affinity() for t in guest.vcpu_threads()]
    world.prod.attach_new(guest)
    world.prod.check_holds_all(guest)
    assert all(t.affinity() == {world.cpus[0]} for t in guest.threads())
    assert world.prod.has(vms=1, vcpus=2)
    watch.wait('device-added', world.prod.name)
    periods = guest.mailbox.vcpu(0)['periods']
    until(lambda: guest.mailbox.vcpu(0)['periods'] > periods + 20, 'the guest to run on')

    world.dev.attach(guest)
    world.dev.check_holds_all(guest)
    assert all(t.affinity() == {world.cpus[1]} for t in guest.threads())
    assert world.prod.has(vms=0) and world.dev.has(vms=1)
    watch.wait('device-removed', world.prod.name)

    world.dev.detach(guest)
    assert is_home(guest), [t.cgroups() for t in guest.threads()]
    assert [t.affinity() for t in guest.vcpu_threads()] == everywhere
    assert world.dev.has(vms=0)
    guest.destroy()
    watch.close()


@suite.test
def a_vcpu_plugged_after_a_move_is_brought_in(world):
    """On cgroup v2 libvirt 9.0 tries to put the new thread into the group that it made, which the
    kernel refuses for a VM that was moved, until libvirtd is restarted and looks where the VM is.
    The thread is in the container all the same, and is known as that vCPU once libvirt writes its
    state down, which it does at any live change."""
    guest = world.guest('grows', vcpus=1, max_vcpus=3).start()
    world.dev.attach_new(guest)
    if world.session.cgroups.unified:
        answer = guest.virsh.fails('setvcpus', guest.name, 2, '--live')
        assert 'Operation not supported' in answer.err, str(answer)
        until(lambda: len(guest.vcpu_threads()) == 2, 'the thread of the vCPU')
        world.dev.check_holds_all(guest)
        guest.virsh('desc', guest.name, '--live', 'one vCPU more')
        world.dev.wait_has(vms=1, vcpus=2)
        until(lambda: any(t.cgroups()[''].endswith('/vcpu1') for t in guest.vcpu_threads()),
              'the vCPU to be in its place')
        world.dev.check_holds_all(guest)
    else:
        guest.plug(3)
        until(lambda: not world.dev.strangers(guest), 'the new vCPUs to be in the container')
        world.dev.wait_has(vms=1, vcpus=3)
    guest.destroy()
    world.dev.wait_has(vms=0)


@suite.test
def a_move_outlives_restarts(world):
    guest = world.guest('outlives', vcpus=2, max_vcpus=4).start()
    world.dev.attach_new(guest)
    world.libvirtd.restart()
    world.dev.check_holds_all(guest)
    world.corrald.kill()
    world.corrald.start()
    world.dev.check_holds_all(guest)
    world.dev.wait_has(vms=1, vcpus=2)
    guest.plug(3)
    until(lambda: not world.dev.strangers(guest), 'the new vCPU to be in the container')
    world.corrald.kill()
    guest.plug(4)
    world.corrald.start()
    until(lambda: not world.dev.strangers(guest), 'the vCPU plugged meanwhile to be brought in')
    world.dev.detach(guest)
    until(lambda: is_home(guest), 'the VM to be back')
    guest.destroy()


@suite.test
def the_pcpus_of_a_container_change_under_its_vms(world):
    guest = world.guest('under', world.dev, vcpus=2, iothreads=1, load=0.1).start()
    world.dev.wait_has(vms=1, vcpus=2)
    both = proc.cpulist(world.cpus[:2])
    for cpus in (both, str(world.cpus[0]), str(world.cpus[1])):
        world.dev.virsh('emulatorpin', world.dev.name, cpus, '--live')
        wanted = proc.parse_cpulist(cpus)
        assert world.session.cgroups.cpus(world.dev.path) == wanted
        assert all(t.affinity() <= wanted for t in guest.threads()), (cpus, guest.threads())
    world.dev.virsh.fails('emulatorpin', world.dev.name, 4000, '--live')
    world.dev.check_holds_all(guest)
    guest.destroy()
    world.dev.wait_has(vms=0)


@suite.test
def what_cannot_be_attached_or_detached_is_refused(world):
    world.start_prod()
    guest = world.guest('stays', world.dev).start()
    world.dev.wait_has(vms=1)
    for container, action, member, reason in (
            (world.dev, 'attach-device', 'no-such-vm', 'no-such-vm'),
            (world.dev, 'attach-device', guest, 'already'),
            (world.prod, 'detach-device', guest, guest.name),
            (world.dev, 'detach-device', guest, 'partition')):
        answer = container.virsh.fails(action, container.name, container.member(member), '--live')
        assert reason in answer.err, str(answer)
    world.dev.check_holds_all(guest)
    guest.destroy()
    world.dev.wait_has(vms=0)


@suite.test
def a_container_with_a_vm_in_it_is_not_destroyed(world):
    guest = world.guest('inside', world.dev).start()
    world.dev.wait_has(vms=1)
    answer = world.dev.virsh.fails('destroy', world.dev.name)
    assert guest.name in answer.err, str(answer)
    world.dev.check_holds_all(guest)
    guest.destroy()
    world.dev.wait_has(vms=0)


@suite.test
def one_vcpu_goes_where_the_kernel_lets_it(world):
    world.start_prod()
    guest = world.guest('split', world.dev, vcpus=2).start()
    world.dev.wait_has(vms=1, vcpus=2)
    thread = guest.vcpu_threads()[1]
    inner = Container(world.corrald, 'inner', path=('dev', 'inner')).start()
    if world.session.cgroups.unified:
        for box in (inner, world.prod):
            answer = box.virsh.fails('attach-device', box.name, box.member(guest, vcpu=1), '--live')
            assert 'threaded' in answer.err, str(answer)
            assert world.dev.holds(thread) and not box.holds(thread)
        # a child of the VM's own group is the place that is left
        group = thread.cgroups()[''].split('/')[-2]
        own = Container(world.corrald, 'own', path=('dev', group, 'own')).start()
        own.attach(guest, vcpu=1)
        assert own.holds(thread) and world.dev.holds(thread)
        assert not own.holds(guest.vcpu_threads()[0])
        assert world.dev.has(vms=1, vcpus=2), world.dev.stats()
        own.detach(guest, vcpu=1)
        assert not own.holds(thread) and world.dev.holds(thread)
        own.remove()
    else:
        inner.attach(guest, vcpu=1)
        assert inner.holds(thread) and not inner.holds(guest.vcpu_threads()[0])
        assert world.dev.has(vms=1, vcpus=2), world.dev.stats()
        inner.detach(guest, vcpu=1)
        assert world.dev.holds(thread) and not inner.holds(thread)
        world.prod.attach(guest, vcpu=1)
        assert world.prod.holds(thread) and thread.affinity() == {world.cpus[0]}
        assert world.prod.has(vcpus=1) and world.dev.holds(guest.vcpu_threads()[0])
        world.prod.detach(guest, vcpu=1)
        assert world.dev.holds(thread)
    guest.destroy()
    inner.remove()


# --- by name

@suite.test
def a_pattern_takes_vms_by_name(world):
    names = world.session.name
    pattern = Container(world.corrald, 'pattern', members=[names('db*')]).start()
    exact = Container(world.corrald, 'exact', members=[names('db2')]).start()
    one = world.guest('db1', vcpus=2).start()
    two = world.guest('db2').start()
    other = world.guest('web1').start()
    pattern.wait_has(vms=1, vcpus=2)
    exact.wait_has(vms=1, vcpus=1)
    pattern.check_holds_all(one)
    exact.check_holds_all(two)
    assert is_home(other)
    for guest in (one, two, other):
        guest.destroy()
    pattern.wait_has(vms=0)
    exact.wait_has(vms=0)
    pattern.remove()
    exact.remove()


@suite.test
def a_pattern_takes_vms_that_ran_before(world):
    guest = world.guest('early1').start()
    late = Container(world.corrald, 'late', members=[world.session.name('early?')]).start()
    late.wait_has(vms=1, vcpus=1)
    late.check_holds_all(guest)
    guest.destroy()
    late.wait_has(vms=0)
    late.remove()


@suite.test
def a_member_in_the_definition_is_taken_at_the_next_start(world):
    """attach-device --config alone changes nothing now."""
    guest = world.guest('planned').start()
    box = Container(world.corrald, 'box').define()
    box.attach(guest, '--config')
    assert is_home(guest)
    box.start()
    box.wait_has(vms=1)
    box.check_holds_all(guest)
    box.detach(guest, '--live', '--config')
    until(lambda: is_home(guest), 'the VM to be back')
    assert guest.name not in box.virsh('dumpxml', box.name, '--inactive').out
    guest.destroy()
    box.remove()


if __name__ == '__main__':
    suite.main()
