#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Containers that the planner places, with real guests: definitions, pins, refusals, plans that have
grown old, shares, and what somebody else has changed. Through stock virsh, against /proc."""

import os
import re
import xml.etree.ElementTree as xml
from contextlib import contextmanager

import libvirt
from harness import Guest, PlainQemu, Session, Skip, Suite, proc, until
from harness.planned import EXPLAIN, PLAN, PlannedWorld, wait_alone, wait_apart
from harness.watch import Watch

WISH = "<metadata><corral:placement xmlns:corral='urn:corral:1' {}/></metadata>"


class World(PlannedWorld):
    """Two pCPUs of the host: the first is housekeeping, and what is planned may have the second."""

    def __init__(self, session):
        cpus = sorted(os.sched_getaffinity(0))
        if len(cpus) < 2:
            raise Skip('needs two pCPUs')
        super().__init__(session, cpus[0], set(cpus[:2]))
        self.cpu = cpus[1]

    def apply(self, box, generation, virsh=None):
        return (virsh or self.virsh).try_(
            'metadata', box.name, '--uri', PLAN, '--live', '--key', 'corral',
            '--set', f"<plan generation='{generation}'/>")

    def write(self, text):
        path = f'{self.session.folder}/document.xml'
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)
        return path

    def tidy(self):
        super().tidy()
        self.set_host(self.host())


@contextmanager
def setup(options):
    with Session.of(options) as session:
        yield World(session)


suite = Suite(setup)


def wait_placed(guest, cpu, house):
    """Each vCPU on @cpu alone, all else on @house."""
    def placed():
        return all(t.affinity() == {cpu if t.role == 'vcpu' else house} for t in guest.threads())
    until(placed, f'{guest.name} to have its places: '
          f'{[(t.name, t.affinity()) for t in guest.threads()]}')


def role(guest, name):
    """Its threads that are this, by number."""
    return sorted((t for t in guest.threads() if t.role == name), key=lambda t: t.index or 0)


@suite.test
def a_definition_is_kept_as_it_was_said(world):
    extra = "<corral:reserve xmlns:corral='urn:corral:1' vcpus='1'/>" \
        "<corral:limit xmlns:corral='urn:corral:1' vcpus='4'/>"
    box = world.box('kept', "mode='shared' overcommit='4' drift='repair'", extra).define()
    first = world.virsh('dumpxml', box.name).out
    assert f"<vcpu placement='auto' cpuset='{proc.cpulist(box.cpus)}'>" in first, first
    assert "mode='shared' overcommit='4.0' drift='repair'/>" in first, first
    assert 'numa' not in first and 'exclusive' not in first, 'a default is written'
    world.virsh('define', world.write(first))
    assert world.virsh('dumpxml', box.name).out == first
    assert not world.session.cgroups.where(box.path), 'define has touched the kernel'
    world.virsh('start', box.name)
    live = world.virsh('dumpxml', box.name).out
    world.virsh('define', world.write(live))
    assert world.virsh('dumpxml', '--inactive', box.name).out == first
    world.clear()


@suite.test
def a_bad_definition_is_refused_with_its_line(world):
    for placement, extra, why in (
            ("mode='dedicated' overcommit='2.0'", '', 'line 2: <corral:placement>: expected '
             "mode='shared' beside \"overcommit\""),
            ("smt='never'", '', 'line 2: <corral:placement>: expected in "smt" \'prefer\''),
            ("mode='shared'", "\n<corral:share xmlns:corral='urn:corral:1' percent='101'/>",
             'line 3: <corral:share>: expected in "percent"')):
        box = world.box('bad', placement, extra)
        text = box.xml().replace('<corral:placement', '\n<corral:placement')
        answer = world.virsh.fails('define', world.write(text))
        assert why in answer.err, answer.err
    text = world.box('bad', '').xml().replace('<cputune>', f"<metadata><plan xmlns='{PLAN}'/>"
                                              '</metadata><cputune>')
    assert "Corral's own" in world.virsh.fails('define', world.write(text)).err
    world.boxes.clear()


@suite.test
def a_dry_run_touches_nothing(world):
    box = world.box('dry', "mode='dedicated'",
                    "<corral:reserve xmlns:corral='urn:corral:1' vcpus='1'/>")
    answer = world.virsh('domxml-to-native', 'corral-plan', '--xml', box.file())
    plan = xml.fromstring(answer.out)
    place = next(c for c in plan.iter('container') if c.get('path') == box.path)
    assert place.get('mode') == 'dedicated' and place.find('now') is None
    assert world.cpu in proc.parse_cpulist(place.get('cpus')), answer.out
    assert not world.session.cgroups.where(box.path)
    assert world.virsh.try_('domuuid', box.name).status != 0
    world.boxes.clear()


@suite.test
def dedicated_vcpus_and_their_helpers(world):
    box = world.box('own', "mode='dedicated'").define()
    guest = world.guest('a', box).define().start()
    wait_placed(guest, world.cpu, world.house)
    box.wait_has(vms=1)
    vm = next(v for v in world.plan(box).iter('vm') if v.get('name') == guest.name)
    assert vm.find('vcpu').get('cpus') == vm.find('vcpu').get('now') == str(world.cpu)
    assert vm.find('helpers').get('cpus') == str(world.house)


@suite.test(needs='dedicated_vcpus_and_their_helpers')
def one_vm_too_many_is_refused_at_the_hook(world):
    """With the rule; and the VM that is there stays where it is."""
    box, guest = world.boxes[0], world.session.guests[0]
    second = world.guest('b', box).define()
    answer = second.try_start()
    assert answer.status == 1, str(answer)
    assert second.name in answer.err and guest.name in answer.err, answer.err
    assert not os.path.exists(f'{world.libvirtd.state_folder}/{second.name}.pid')
    # Nor by another path that libvirt takes for the same directory.
    document = second.xml()
    for path in (box.path + '.partition', '//'.join(box.path.rsplit('/', 1))):
        second.virsh('undefine', second.name)
        second.virsh('define', world.write(document.replace(box.path, path)))
        answer = second.try_start()
        assert answer.status == 1 and f'knows it as "{box.path}" only' in answer.err, str(answer)
    second.virsh('undefine', second.name)
    second.define()
    wait_placed(guest, world.cpu, world.house)
    # It gets the place once that is free.
    guest.destroy()
    box.wait_has(vms=0)
    second.start()
    wait_placed(second, world.cpu, world.house)
    world.clear()


@suite.test
def a_vms_own_wishes(world):
    box = world.box('wishes', "mode='dedicated'").define()
    guest = world.guest('w', box)
    document = guest.xml()

    def define(wish):
        guest.virsh('define', world.write(document.replace('<memory ', WISH.format(wish) +
                                                           '<memory ')))
    define("smt='sometimes'")
    answer = guest.try_start()
    assert answer.status == 1 and re.search(r'line \d+: <corral:placement>: expected in "smt"',
                                            answer.err), answer.err
    guest.virsh('undefine', guest.name)
    define("emulator='container'")
    guest.start()
    wait_placed(guest, world.cpu, world.cpu)
    world.clear()


@suite.test
def a_plan_that_has_grown_old_is_not_applied(world):
    box = world.box('old', "mode='dedicated'").start()
    old = world.plan(box).get('generation')
    assert world.apply(box, old).status == 0
    guest = world.guest('o', box).define().start()
    wait_placed(guest, world.cpu, world.house)
    box.wait_has(vms=1)
    new = world.plan(box).get('generation')
    assert new != old
    connection = libvirt.open(world.corrald.uri)
    try:
        connection.lookupByName(box.name).setMetadata(
            libvirt.VIR_DOMAIN_METADATA_ELEMENT, f"<plan generation='{old}'/>", 'corral', PLAN,
            libvirt.VIR_DOMAIN_AFFECT_LIVE)
        raise AssertionError('an old plan was applied')
    except libvirt.libvirtError as error:
        assert error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID, error
    finally:
        connection.close()
    assert world.apply(box, new, world.corrald.virsh_ro).status == 1, 'over the read-only socket'
    answer = world.apply(box, new)
    assert answer.status == 0, str(answer)
    wait_placed(guest, world.cpu, world.house)
    world.clear()


@suite.test
def a_hand_made_pin_is_reported(world):
    box = world.box('look', "mode='dedicated'").define()
    guest = world.guest('l', box).define().start()
    wait_placed(guest, world.cpu, world.house)
    watch = Watch(world.corrald.uri)
    vcpu = guest.vcpu_threads()[0]
    guest.virsh('vcpupin', guest.name, 0, world.house, '--live')
    item = until(lambda: world.drift(box, 'affinity', 'open'), 'the pin to be found')
    assert (item['vm'], item['vcpu']) == (guest.name, '0')
    assert item['planned'] == str(world.cpu) and item['found'] == str(world.house)
    watch.wait('metadata-change', box.name)
    watch.close()
    assert vcpu.affinity() == {world.house}, 'it was to be reported, not repaired'
    # Whoever looks at the plan can have it set right.
    assert world.apply(box, world.plan(box).get('generation')).status == 0
    wait_placed(guest, world.cpu, world.house)
    world.clear()


@suite.test
def a_hand_made_pin_is_repaired(world):
    box = world.box('fix', "mode='dedicated' drift='repair'").define()
    guest = world.guest('f', box).define().start()
    wait_placed(guest, world.cpu, world.house)
    guest.virsh('vcpupin', guest.name, 0, world.house, '--live')
    item = until(lambda: world.drift(box, 'affinity', 'repaired'), 'the repair to be told')
    wait_placed(guest, world.cpu, world.house)
    assert item['found'] == str(world.house) and item['since'] <= item['until']
    world.clear()


@suite.test
def a_vcpu_too_many_is_in_nobodys_way(world):
    """The others of its VM stay where they are; that one is with the emulator until there is room."""
    box = world.box('grow', "mode='dedicated' drift='repair'").define()
    guest = world.guest('g', box, max_vcpus=2).define().start()
    wait_placed(guest, world.cpu, world.house)
    guest.plug(2)

    def places():
        return [t.affinity() for t in guest.vcpu_threads()]
    until(lambda: places() == [{world.cpu}, {world.house}], f'the new vCPU to be put: {places()}')
    item = until(lambda: world.drift(box, 'refused', 'open'), 'the VM to be told')
    assert item['vm'] == guest.name and item['planned'] == '2 vCPUs', item
    plan = world.plan(box)
    assert plan.get('refused') == '1' and plan.get('changed') == 'no', xml.tostring(plan)
    vm = next(v for v in plan.iter('vm') if v.get('name') == guest.name)
    assert [v.get('cpus') for v in vm.iter('vcpu')] == [str(world.cpu), str(world.house)]
    reasons = [r.attrib for r in world.document(box, EXPLAIN).find('vm').iter('reason')]
    assert {'rule': 'stray', 'cpus': str(world.house), 'nodes': ''} in reasons, reasons
    # A corrald that has just started comes to the same.
    world.corrald.kill()
    world.corrald.start()
    until(lambda: world.drift(box, 'refused', 'open'), 'the VM to be told again')
    assert places() == [{world.cpu}, {world.house}], places()
    world.clear()


@suite.test
def a_vcpu_too_many_stays_off_another_vms_pcpu(world):
    """Without housekeeping it shares its own VM's; with the other VM gone there is a pCPU for it."""
    world.set_host("<housekeeping cores='0'/>")
    one, two = (world.box(name, "mode='dedicated'").define() for name in ('one', 'two'))
    first, second = world.guest('m', one, max_vcpus=2).define(), world.guest('n', two).define()
    for guest in (first, second):
        until(lambda guest=guest: guest.try_start().status == 0, f'{guest.name} to start')
        guest.find()
        guest.set_load(0.05)
        guest.wait_up()
    theirs, mine = wait_alone(second), wait_alone(first)
    assert not mine & theirs, (mine, theirs)
    first.plug(2)
    until(lambda: all(t.affinity() == mine for t in first.vcpu_threads()),
          'both vCPUs to be on the one pCPU')
    wait_apart(first, theirs)
    assert wait_alone(second) == theirs
    until(lambda: world.drift(one, 'refused', 'open'), 'the VM to be told')
    second.destroy()
    until(lambda: wait_alone(first) == mine | theirs, 'the vCPU to have a pCPU of its own')
    until(lambda: world.drift(one, 'refused', 'gone'), 'it to be over')
    world.clear()
    world.set_host(world.host())


@suite.test
def a_vm_that_leaves_has_its_own_pins_again(world):
    box = world.box('leave', "mode='dedicated'").start()
    guest = Guest(world.libvirtd, 'p', load=0.05, iothreads=2).define().start()
    vcpu, helper = guest.vcpu_threads()[0], role(guest, 'emulator')[0]
    pinned, free = role(guest, 'iothread')
    everywhere = free.affinity()
    assert everywhere > {world.house}, everywhere
    guest.virsh('vcpupin', guest.name, 0, world.house, '--live')
    guest.virsh('emulatorpin', guest.name, world.cpu, '--live')
    guest.virsh('iothreadpin', guest.name, 1, world.house, '--live')
    box.attach_new(guest)
    wait_placed(guest, world.cpu, world.house)
    box.detach(guest)

    def pins():
        return [t.affinity() for t in (vcpu, helper, pinned, free)]
    until(lambda: pins() == [{world.house}, {world.cpu}, {world.house}, everywhere],
          f'the pins of {guest.name}: {pins()}')
    guest.virsh('vcpupin', guest.name, 0, f'{world.house},{world.cpu}', '--live')
    assert vcpu.affinity() == {world.house, world.cpu}, vcpu.affinity()
    world.clear()


@contextmanager
def plain_qemu(world, name):
    """A VM beside libvirt, which corrald is told of."""
    plain = PlainQemu(world.session, name, load=0.05)
    try:
        world.corrald.write_settings(world.libvirtd, {plain.name: plain.socket})
        yield plain.start()
    finally:
        world.corrald.write_settings(world.libvirtd, {})


@suite.test
def a_vm_that_leaves_while_corrald_is_down_has_its_own_pins_again(world):
    """Its threads share a group. With groups of their own it is these that hold them, and are left
    behind."""
    box = world.box('down', "mode='dedicated'").start()
    with plain_qemu(world, 'd') as guest:
        vcpu, helper = guest.vcpu_threads()[0], role(guest, 'emulator')[0]
        everywhere, home = vcpu.affinity(), vcpu.cgroups()
        assert everywhere > {world.cpu}, everywhere
        world.corrald.kill()
        world.session.cgroups.make(f'{box.path}/d')
        move(world, guest, {c: f'{box.folder}/d.partition' for c in home})
        world.corrald.start()
        wait_placed(guest, world.cpu, world.house)
        world.corrald.kill()
        move(world, guest, home)
        assert (vcpu.affinity(), helper.affinity()) == ({world.cpu}, {world.house})
        world.corrald.start()
        until(lambda: {t.affinity() for t in guest.threads()} == {everywhere},
              f'{guest.name} to have no pins')
        guest.kill()
    for point in world.session.cgroups.points:
        folder = f'{point}{box.folder}/d.partition'
        if os.path.isdir(folder):
            os.rmdir(folder)
    world.corrald.restart()
    world.clear()


def move(world, guest, groups):
    """By hand, past corrald. @groups: {controller: path}"""
    for controller, point in world.session.cgroups.mounts.items():
        if controller in groups:
            write(f'{point}{groups[controller]}/cgroup.procs', str(guest.pid))


@suite.test
def a_helper_moved_with_taskset_is_repaired(world):
    """Its group has more pCPUs than it may use, so that the kernel lets it be moved."""
    box = world.box('task', "mode='dedicated' drift='repair'").define()
    guest = world.guest('t', box).define().start()
    wait_placed(guest, world.cpu, world.house)
    helper = next(t for t in guest.threads() if t.role == 'emulator')
    try:
        os.sched_setaffinity(helper.tid, {world.cpu})
    except OSError:
        return  # the kernel itself refuses it
    finally:
        wait_placed(guest, world.cpu, world.house)
        world.clear()


@suite.test
def a_foreign_write_to_the_cpuset_is_repaired(world):
    box = world.box('set', "mode='shared' drift='repair'").define()
    guest = world.guest('s', box).define().start()
    until(lambda: guest.vcpu_threads()[0].affinity() == {world.cpu}, 'the vCPU to be placed')
    before = world.session.cgroups.cpus(box.path)
    path = f'{world.session.cgroups.path(box.path)}/cpuset.cpus'
    unit = world.session.cgroups
    # v1 lets a child's set be no larger than its parent's: what lies beneath is taken along.
    for folder, _, _ in sorted(os.walk(os.path.dirname(path)), reverse=True):
        with open(f'{folder}/cpuset.cpus', 'w', encoding='ascii') as file:
            file.write(str(world.house))
    until(lambda: unit.cpus(box.path) == before and
          guest.vcpu_threads()[0].affinity() == {world.cpu}, 'the set to be as planned again')
    until(lambda: world.drift(box, 'cpus', 'repaired'), 'the repair to be told')
    world.clear()


@contextmanager
def events_alone(world):
    """A corrald whose slow look never comes, and that nobody reads while we wait: what it finds it was
    told by the kernel."""
    world.corrald.stop()
    world.corrald.write_settings(world.libvirtd, {}, drift_interval=3600)
    world.corrald.start()
    try:
        yield
    finally:
        world.corrald.stop()
        world.corrald.write_settings(world.libvirtd, {})
        world.corrald.start()


def until_said(world, *words):
    """Waits for a line of corrald's log, which makes it look at nothing."""
    until(lambda: any(all(w in line for w in words)
                      for line in proc.read(world.corrald.log).splitlines()),
          f'corrald to log {words}')


def group_of(world, guest, controller):
    """The directory of the guest's group, where its threads' directories are."""
    unified = world.session.cgroups.unified
    place = role(guest, 'emulator')[0].cgroups()['' if unified else controller]
    return os.path.dirname(f'{world.session.cgroups.point(controller)}{place}')


def write(path, text):
    with open(path, 'w', encoding='ascii') as file:
        file.write(text)


@suite.test
def a_foreign_write_beneath_a_vms_group_is_told_at_once(world):
    """To a cpuset of each kind of thread: reported in one container, and repaired in another."""
    with events_alone(world):
        for name, drift in (('tell', ''), ('mend', "drift='repair'")):
            box = world.box(name, f"mode='dedicated' {drift}").define()
            guest = world.guest(name, box, iothreads=1).define().start()
            wait_placed(guest, world.cpu, world.house)
            group = group_of(world, guest, 'cpuset')
            vcpu, helper = guest.vcpu_threads()[0], role(guest, 'iothread')[0]
            state = 'repaired' if drift else 'open'
            write(f'{group}/vcpu0/cpuset.cpus', str(world.house))
            until_said(world, f'vCPU 0 of the VM "{guest.name}"', f'({state})')
            write(f'{group}/iothread1/cpuset.cpus', str(world.cpu))
            until_said(world, f'the emulator of the VM "{guest.name}"', f'({state})')
            if drift:
                wait_placed(guest, world.cpu, world.house)
            else:
                assert (vcpu.affinity(), helper.affinity()) == ({world.house}, {world.cpu})
                # The helper's is not taken for gone when somebody looks at the main thread alone.
                assert world.drift(box, 'affinity', 'gone') is None
            world.clear()


@suite.test
def a_foreign_write_to_a_cap_is_told_at_once(world):
    """To the container's own, and to its helpers': on cgroup v1 they are not where the cpusets are."""
    share = "<corral:share xmlns:corral='urn:corral:1' percent='50' helpers='20'/>"
    name, more = ('cpu.max', ' 100000') if world.session.cgroups.unified \
        else ('cpu.cfs_quota_us', '')
    with events_alone(world):
        box = world.box('caps', "mode='shared' overcommit='2.0' drift='repair'", share).define()
        guest = world.guest('c', box).define().start()
        own = f'{world.session.cgroups.path(box.path, "cpu")}/{name}'
        until(lambda: proc.read(own).split()[0] == '70000', 'the cap to be that of the plan')
        helpers = f'{group_of(world, guest, "cpu")}/emulator/{name}'
        until(lambda: proc.read(helpers).split()[0] == '20000', 'the helpers to have theirs')
        write(helpers, f'5000{more}')
        until_said(world, f'the emulator of the VM "{guest.name}" has quota "5000"', '(repaired)')
        assert proc.read(helpers).split()[0] == '20000'
        write(own, f'90000{more}')
        until_said(world, f'the container "{box.path}" has quota "90000"', '(repaired)')
        assert proc.read(own).split()[0] == '70000'
        world.clear()


@suite.test
def a_share_follows_its_vms(world):
    """Half a pCPU for each vCPU, a fifth for each VM's helpers; those have a cap of their own."""
    share = "<corral:share xmlns:corral='urn:corral:1' percent='50' helpers='20'/>"
    box = world.box('share', "mode='shared' overcommit='2.0'", share).start()

    def cap(controller_path):
        if world.session.cgroups.unified:
            quota, period = proc.read(f'{controller_path}/cpu.max').split()
        else:
            quota, period = (proc.read(f'{controller_path}/cpu.cfs_{n}_us').strip()
                             for n in ('quota', 'period'))
        return None if quota in ('max', '-1') else int(quota) / int(period)

    top = world.session.cgroups.path(box.path, 'cpu')
    for number, (name, wanted) in enumerate((('x', 0.7), ('y', 1.4))):
        guest = world.guest(name, box).define().start()
        box.wait_has(vms=number + 1)
        until(lambda wanted=wanted: cap(top) == wanted, f'the cap to be {wanted}: {cap(top)}')
        group = next(t for t in guest.threads() if t.role == 'emulator').cgroups()
        group = group['' if world.session.cgroups.unified else 'cpu']
        mount = world.session.cgroups.point('cpu')
        until(lambda g=group: cap(f'{mount}{g}') == 0.2, f'the helpers\' own cap in {group}')
    world.virsh('define', world.write(world.virsh('dumpxml', box.name).out))
    answer = world.virsh.fails('schedinfo', box.name, '--live', '--set', 'global_quota=50000')
    assert '<corral:share>' in answer.err, answer.err
    assert cap(top) == 1.4
    world.session.guests[1].destroy()
    until(lambda: cap(top) == 0.7, 'the cap to follow')
    world.session.guests[0].destroy()
    until(lambda: cap(top) is None, 'a promise to nobody to be no cap')
    log = proc.read(world.corrald.log)
    assert 'cannot cap' not in log, log
    world.clear()


@suite.test
def the_hosts_wishes_are_read_again(world):
    """A broken host.xml changes nothing; the journal says why. Then a good one."""
    box = world.box('again', "mode='dedicated'").start()
    before = world.session.cgroups.cpus(box.path)
    world.set_host('<housekeeping/>')
    until(lambda: 'expected either "cpuset" or "cores"' in proc.read(world.corrald.log),
          'the reason to be logged')
    assert world.session.cgroups.cpus(box.path) == before
    world.set_host(world.host(f"<reserve cpuset='{world.cpu}'/>"))
    guest = world.guest('h', box).define()
    until(lambda: guest.try_start().status == 1, 'the start to be refused')
    world.set_host(world.host())
    until(lambda: guest.try_start().status == 0, 'the start to be allowed')
    guest.find()
    guest.set_load(0.05)
    wait_placed(guest.wait_up(), world.cpu, world.house)
    world.clear()


@suite.test
def corrald_can_be_killed_and_finds_the_places_again(world):
    box = world.box('kill', "mode='dedicated'").define()
    guest = world.guest('k', box).define().start()
    wait_placed(guest, world.cpu, world.house)
    box.wait_has(vms=1)
    world.corrald.kill()
    world.corrald.start()
    box.wait_has(vms=1)
    wait_placed(guest, world.cpu, world.house)
    assert world.plan(box).get('moves') == '0'
    assert world.guest('late', box).define().try_start().status == 1
    world.clear()


if __name__ == '__main__':
    suite.main()
