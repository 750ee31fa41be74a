#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stock virsh and python3-libvirt against corrald's sockets: each command, and its refusals."""

import os
import re
import socket
import struct
import threading
import uuid
import xml.etree.ElementTree as xml
from contextlib import contextmanager

import libvirt
from harness import (Container, Corrald, Guest, PrivateLibvirtd, Session, Suite, proc, until)
from harness.watch import Watch


class World:
    """"box" is active, persistent and has a guest of two vCPUs; "spare" is only defined."""

    def __init__(self, session):
        self.session = session
        self.cpus = sorted(os.sched_getaffinity(0))
        self.libvirtd = PrivateLibvirtd(session).start()
        self.corrald = Corrald(session, self.libvirtd)
        session.logs += [self.corrald, self.libvirtd]
        self.corrald.start()
        self.virsh, self.virsh_ro = self.corrald.virsh, self.corrald.virsh_ro
        texts = '<title>A box</title><description>of guests</description>'
        self.box = Container(self.corrald, 'box', extra=texts).start()
        self.spare = Container(self.corrald, 'spare').define()
        self.guest = Guest(self.libvirtd, 'guest', vcpus=2, partition=self.box.path, load=0.05)
        self.guest.define().start()
        self.box.wait_has(vms=1, vcpus=2)
        self.number = 0

    def write(self, text):
        self.number += 1
        path = f'{self.session.folder}/{self.number}.xml'
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)
        return path

    def names(self, *flags, virsh=None):
        out = (virsh or self.virsh)('list', '--name', *flags).out
        return {n for n in out.split() if n.startswith(self.session.tag)}

    def tidy(self):
        self.session.kill_guests(but=[self.guest])

    def explain(self):
        return self.session.explain()


@contextmanager
def setup(options):
    with Session.of(options) as session:
        yield World(session)


suite = Suite(setup)


def code_of(call, *values):
    """libvirt's error code of a call that has to be refused."""
    try:
        call(*values)
    except libvirt.libvirtError as error:
        return error.get_error_code()
    raise AssertionError(f'{call} was not refused')


# --- what there is

@suite.test
def list_and_its_flags(world):
    box, spare = world.box.name, world.spare.name
    rows = {r[1]: r for r in world.virsh('list', '--all').rows() if len(r) > 2}
    assert rows[box][2:] == ['running'] and rows[box][0].isdigit()
    assert rows[spare] == ['-', spare, 'shut', 'off']
    for flags, wanted in (
            ([], {box}), (['--all'], {box, spare}), (['--inactive'], {spare}),
            (['--state-running'], {box}), (['--all', '--state-shutoff'], {spare}),
            (['--all', '--state-paused'], set()), (['--all', '--persistent'], {box, spare}),
            (['--all', '--transient'], set()), (['--all', '--autostart'], set()),
            (['--all', '--no-autostart'], {box, spare}), (['--all', '--with-snapshot'], set()),
            (['--all', '--without-snapshot'], {box, spare}),
            (['--all', '--with-managed-save'], set()),
            (['--all', '--without-managed-save'], {box, spare})):
        assert world.names(*flags) == wanted, (flags, world.names(*flags))
    assert re.search(rf'\d+ +{box} +running +A box', world.virsh('list', '--title').out)
    uuids = world.virsh('list', '--all', '--uuid').out.split()
    assert world.virsh('domuuid', box).out.strip() in uuids
    assert rows[box][0] in world.virsh('list', '--id').out.split()


@suite.test
def domid_domname_and_domuuid(world):
    number = world.virsh('domid', world.box.name).out.strip()
    identity = world.virsh('domuuid', world.box.name).out.strip()
    assert int(number) > 0 and str(uuid.UUID(identity)) == identity
    for key in (number, identity):
        assert world.virsh('domname', key).out.strip() == world.box.name
    assert world.virsh('domid', world.spare.name).out.strip() == '-'
    answer = world.virsh.fails('domid', 'no-such-container')
    assert "failed to get domain 'no-such-container'" in answer.err


@suite.test
def dominfo_and_domstate(world):
    info = world.virsh('dominfo', world.box.name).fields()
    assert (info['Name'], info['State'], info['CPU(s)'], info['Persistent'], info['Autostart']) == \
        (world.box.name, 'running', '2', 'yes', 'disable'), info
    assert float(info['CPU time'].rstrip('s')) > 0 and info['Managed save'] == 'no'
    info = world.virsh('dominfo', world.spare.name).fields()
    assert (info['Id'], info['State']) == ('-', 'shut off'), info
    assert world.virsh('domstate', world.box.name).out.strip() == 'running'
    assert world.virsh('domstate', '--reason', world.spare.name).out.startswith('shut off (')


@suite.test
def dumpxml_can_be_defined_again(world):
    text = world.virsh('dumpxml', world.box.name).out
    root = xml.fromstring(text)
    assert root.get('type') == 'corral' and root.get('id') == \
        world.virsh('domid', world.box.name).out.strip()
    assert root.findtext('name') == world.box.name and root.findtext('title') == 'A box'
    assert root.findtext('resource/partition') == world.box.path
    inactive = world.virsh('dumpxml', '--inactive', world.box.name).out
    assert xml.fromstring(inactive).get('id') is None
    world.virsh('define', world.write(inactive))
    assert world.virsh('dumpxml', '--inactive', world.box.name).out == inactive
    world.virsh('define', world.write(text))


# --- the life of a container

@suite.test
def define_start_destroy_undefine(world):
    one = Container(world.corrald, 'one', cpus={world.cpus[0]})
    one.define()
    assert not world.session.cgroups.where(one.path)
    world.virsh('start', one.name)
    assert 'cpuset' in world.session.cgroups.where(one.path) or world.session.cgroups.unified
    assert world.session.cgroups.cpus(one.path) == {world.cpus[0]}
    assert 'already' in world.virsh.fails('start', one.name).err
    world.virsh('undefine', one.name)
    assert world.names('--transient') == {one.name}
    world.virsh('destroy', one.name)
    assert not world.session.cgroups.where(one.path)
    assert one.name not in world.names('--all')
    assert 'not running' in world.virsh.fails('destroy', world.spare.name).err


@suite.test
def create_makes_a_transient_one(world):
    one = Container(world.corrald, 'transient')
    world.virsh('create', one.file())
    assert one.name in world.names('--transient') and one.name not in world.names('--persistent')
    world.virsh.fails('create', one.file())
    assert 'transient' in world.virsh.fails('desc', one.name, '--config', 'x').err
    world.virsh('destroy', one.name)
    assert one.name not in world.names('--all')


@suite.test
def autostart(world):
    world.virsh('autostart', world.spare.name)
    assert world.names('--all', '--autostart') == {world.spare.name}
    assert world.virsh('dominfo', world.spare.name).fields()['Autostart'] == 'enable'
    world.corrald.restart()
    assert world.names('--all', '--autostart') == {world.spare.name}
    world.virsh('autostart', world.spare.name, '--disable')
    assert world.names('--all', '--autostart') == set()
    if world.spare.is_active():
        world.virsh('destroy', world.spare.name)
    world.box.wait_has(vms=1, vcpus=2)


@suite.test
def definitions_that_are_wrong_are_refused(world):
    good = Container(world.corrald, 'good').xml()
    vcpu = "<vcpu placement='static'/>"
    assert vcpu in good
    other = f'<uuid>{uuid.uuid4()}</uuid>'
    for text, reason in (
            ('<domain type=', 'XML'),
            (good.replace("type='corral'", "type='kvm'"), 'line 1'),
            (good.replace(vcpu, vcpu + '<nonsense/>'), 'nonsense'),
            (good.replace(world.session.path('good'), '/machine/../etc'), 'partition'),
            (good.replace(world.session.path('good'), world.box.path), 'box'),
            (world.box.xml().replace('<vcpu ', other + '<vcpu '), 'uuid'),
            (good.replace(vcpu, "<vcpu cpuset='0-'/>"), 'cpuset'),
            (good.replace('<cputune>', '<cputune><shares>1</shares>'), 'shares'),
            ('<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/hostname">]>' +
             good.replace(vcpu, '<title>&a;</title>' + vcpu), '')):
        answer = world.virsh.fails('define', world.write(text))
        assert reason.lower() in answer.err.lower(), (text, str(answer))
    assert world.session.name('good') not in world.names('--all')


@suite.test
def title_description_and_metadata(world):
    name, element = world.spare.name, "<app a='1'>text</app>"
    assert 'No description' in world.virsh('desc', name).out
    world.virsh('desc', name, '--config', 'two', 'words')
    assert world.virsh('desc', name).out.strip() == 'two words'
    world.virsh('desc', name, '--config', '--title', 'short')
    assert world.virsh('desc', name, '--title').out.strip() == 'short'
    assert world.virsh('desc', world.box.name).out.strip() == 'of guests'
    assert world.virsh('desc', world.box.name, '--title').out.strip() == 'A box'
    metadata = ('metadata', name, '--config', '--uri', 'urn:test:1')
    world.virsh(*metadata, '--key', 'mine', '--set', element)
    kept = world.virsh(*metadata).out
    assert xml.fromstring(kept).text == 'text'
    assert 'urn:test:1' in world.virsh('dumpxml', name).out
    world.corrald.restart()
    assert world.virsh(*metadata).out == kept
    world.virsh(*metadata, '--remove')
    world.virsh.fails(*metadata)
    world.virsh.fails('metadata', name, '--live', '--uri', 'urn:test:1')


# --- members and vCPUs

@suite.test
def attach_and_detach(world):
    guest = Guest(world.libvirtd, 'joins').define().start()
    world.box.attach_new(guest)
    assert guest.name in world.virsh('dumpxml', world.box.name).out
    assert world.virsh('dominfo', world.box.name).fields()['CPU(s)'] == '3'
    world.box.detach(guest)
    assert guest.name not in world.virsh('dumpxml', world.box.name).out
    world.virsh.fails('detach-device', world.box.name, world.box.member(guest), '--live')
    world.virsh.fails('attach-device', world.box.name, world.write("<disk type='file'/>"), '--live')
    world.virsh.fails('attach-device', world.spare.name, world.spare.member(guest), '--live')
    guest.destroy()


@suite.test
def vcpucount_and_vcpuinfo(world):
    count = {tuple(r.split()[:2]): r.split()[2]
             for r in world.virsh('vcpucount', world.box.name).out.splitlines() if r}
    assert count['current', 'live'] == '2', count
    assert world.virsh('vcpucount', world.box.name, '--current', '--live').out.strip() == '2'
    info = world.virsh('vcpuinfo', world.box.name).out.split('\n\n')
    blocks = [dict((p.strip() for p in line.split(':', 1)) for line in b.splitlines())
              for b in info if b.strip()]
    assert [b['VCPU'] for b in blocks] == ['0', '1'], blocks
    for block, thread in zip(blocks, world.guest.vcpu_threads()):
        assert int(block['CPU']) in world.cpus
        allowed = {i for i, c in enumerate(block['CPU Affinity']) if c == 'y'}
        assert allowed == thread.affinity(), block
        # virsh leaves out a time of 0
        assert float(block.get('CPU time', '0').rstrip('s')) <= thread.run_ns() / 1e9 + 0.11


@suite.test
def a_container_without_vcpus(world):
    """virsh asks libvirt for the details of no vCPU at all, which libvirt itself refuses."""
    one = Container(world.corrald, 'empty').start()
    assert world.virsh('vcpucount', one.name, '--current', '--live').out.strip() == '0'
    assert world.virsh('dominfo', one.name).fields()['CPU(s)'] == '0'
    assert 'must not be NULL' in world.virsh.fails('vcpuinfo', one.name).err
    with_none = libvirt.open(world.corrald.uri).lookupByName(one.name)
    assert with_none.maxVcpus() == 0
    for words in (('shutdown',), ('set-lifecycle-action', '--type', 'poweroff', '--action',
                                  'destroy')):
        answer = world.virsh.fails(words[0], one.name, *words[1:])
        assert 'not supported by the connection driver' in answer.err, str(answer)
    world.virsh('destroy', one.name)
    world.virsh('undefine', one.name)


@suite.test
def numatune(world):
    node = world.virsh('numatune', world.box.name).fields()
    assert node['numa_mode'] == 'strict', node
    assert proc.parse_cpulist(node['numa_nodeset']), node
    world.virsh('numatune', world.box.name, '--nodeset', 0, '--live', '--config')
    for flag in ('--live', '--config'):
        assert world.virsh('numatune', world.box.name, flag).fields()['numa_nodeset'] == '0'
    assert "nodeset='0'" in world.virsh('dumpxml', world.box.name, '--inactive').out
    world.virsh.fails('numatune', world.box.name, '--nodeset', 500, '--live')
    world.virsh.fails('numatune', world.box.name, '--mode', 'interleave', '--nodeset', 0)
    world.virsh_ro.fails('numatune', world.box.name, '--nodeset', 0, '--live')
    assert world.virsh_ro('numatune', world.box.name).fields()['numa_nodeset'] == '0'


@suite.test
def vcpupin(world):
    cpu, every = world.cpus[0], proc.cpulist(world.session.cgroups.cpus(world.box.path))
    first, second = world.guest.vcpu_threads()
    world.virsh('vcpupin', world.box.name, 1, cpu, '--live')
    assert second.affinity() == {cpu} and first.affinity() == proc.parse_cpulist(every)
    rows = world.virsh('vcpupin', world.box.name).rows()
    assert rows == [['0', every], ['1', str(cpu)]], rows
    world.virsh('vcpupin', world.box.name, 1, every, '--live')
    assert second.affinity() == proc.parse_cpulist(every)
    world.virsh.fails('vcpupin', world.box.name, 7, cpu, '--live')
    world.virsh.fails('vcpupin', world.box.name, 0, 4095, '--live')
    world.virsh.fails('vcpupin', world.spare.name, 0, cpu, '--live')
    assert second.affinity() == proc.parse_cpulist(every)


@suite.test
def schedinfo(world):
    name, cgroups = world.box.name, world.session.cgroups

    def is_about(shares, wanted):
        """v2 has weights of 1 to 10000, so that shares are rounded."""
        return abs(int(shares) - wanted) <= (wanted * 0.02 if cgroups.unified else 0)
    before = world.virsh('schedinfo', name).fields()
    assert before['Scheduler'] == 'posix'
    # also on v2, whose default weight of 100 is as many shares
    assert before['cpu_shares'] == '1024', before
    after = world.virsh('schedinfo', name, '--live', '--set', 'cpu_shares=2048').fields()
    assert is_about(after['cpu_shares'], 2048), after
    world.virsh('schedinfo', name, '--live', '--set', 'global_period=50000', 'global_quota=25000')
    after = world.virsh('schedinfo', name).fields()
    assert (after['global_period'], after['global_quota']) == ('50000', '25000')
    if cgroups.unified:
        assert proc.read(cgroups.path(world.box.path) + '/cpu.max').split() == ['25000', '50000']
    else:
        folder = cgroups.path(world.box.path, 'cpu')
        assert proc.read(folder + '/cpu.shares').strip() == '2048'
        assert proc.read(folder + '/cpu.cfs_quota_us').strip() == '25000'
        assert proc.read(folder + '/cpu.cfs_period_us').strip() == '50000'
    # the config is another thing
    config = world.virsh('schedinfo', name, '--config').fields()
    assert config['cpu_shares'] in ('1024', '0') and config['global_quota'] != '25000', config
    world.virsh('schedinfo', name, '--config', '--set', 'cpu_shares=512')
    assert world.virsh('schedinfo', name, '--config').fields()['cpu_shares'] == '512'
    assert is_about(world.virsh('schedinfo', name).fields()['cpu_shares'], 2048)
    world.virsh.fails('schedinfo', name, '--live', '--set', 'cpu_shares=1')
    world.virsh.fails('schedinfo', name, '--live', '--set', 'nonsense=1')
    world.virsh('schedinfo', name, '--live', '--set', 'global_quota=-1', 'cpu_shares=1024')


@suite.test
def cpu_stats(world):
    total = world.virsh('cpu-stats', world.box.name, '--total').out
    found = dict(re.findall(r'(\w+) +([\d.]+) seconds', total))
    assert total.startswith('Total:') and float(found['cpu_time']) > 0, total
    assert float(found['user_time']) + float(found['system_time']) > 0
    answer = world.virsh.try_('cpu-stats', world.box.name)
    if answer.status == 0:
        assert 'CPU0:' in answer.out and 'Total:' in answer.out
    else:
        assert 'v1' in answer.err, str(answer)
    world.virsh.fails('cpu-stats', world.spare.name, '--total')


@suite.test
def domstats(world):
    answer = world.virsh('domstats', world.box.name)
    stats = answer.stats()
    assert answer.out.startswith(f"Domain: '{world.box.name}'\n  "), answer.out
    assert stats['state.state'] == '1' and stats['vcpu.current'] == '2'
    assert int(stats['vcpu.0.time']) > 0 and stats['vcpu.1.state'] in ('1', '2')
    assert stats['corral.vms'] == '1' and stats['corral.vcpus'] == '2'
    for name in ('cpu.time', 'cpu.user', 'cpu.system', 'vcpu.0.wait', 'corral.guest_ns',
                 'corral.host_ns', 'corral.emulator_ns', 'corral.wait_ns', 'corral.throttled_ns'):
        assert stats[name].isdigit(), (name, stats)
    some = world.virsh('domstats', world.box.name, '--state').stats()
    assert 'state.state' in some and 'cpu.time' not in some
    everyone = world.virsh('domstats', '--state', '--list-inactive').out
    assert f"'{world.spare.name}'" in everyone and f"'{world.box.name}'" not in everyone
    world.virsh('domstats', '--enforce', '--cpu-total', '--vcpu', '--state')
    world.virsh.fails('domstats', '--enforce', '--balloon', world.box.name)


# --- events

@suite.test
def events_in_order(world):
    watch = Watch(world.corrald.uri)
    one = Container(world.corrald, 'events')
    one.define()
    world.virsh('start', one.name)
    world.virsh('schedinfo', one.name, '--live', '--set', 'cpu_shares=512')
    world.virsh('desc', one.name, '--live', 'new')
    guest = Guest(world.libvirtd, 'event-guest').define().start()
    one.attach_new(guest)
    one.detach(guest)
    world.virsh('destroy', one.name)
    world.virsh('undefine', one.name)
    watch.wait('lifecycle', one.name, libvirt.VIR_DOMAIN_EVENT_UNDEFINED)
    seen = [(e[0], e[2]) if e[0] == 'lifecycle' else e[0] for e in watch.events if e[1] == one.name]
    assert seen == [('lifecycle', libvirt.VIR_DOMAIN_EVENT_DEFINED),
                    ('lifecycle', libvirt.VIR_DOMAIN_EVENT_STARTED), 'tunable', 'metadata-change',
                    'device-added', 'device-removed',
                    ('lifecycle', libvirt.VIR_DOMAIN_EVENT_STOPPED),
                    ('lifecycle', libvirt.VIR_DOMAIN_EVENT_UNDEFINED)], seen
    tuned = next(e for e in watch.events if e[0] == 'tunable')
    assert tuned[2] == {'cputune.cpu_shares': 512} or \
        tuned[2].get('cputune.cpu_shares') == 512, tuned
    watch.close()
    guest.destroy()


@suite.test
def virsh_event(world):
    log = world.session.folder + '/events'
    pid = world.session.keeper.start(['virsh', '-c', world.corrald.uri, 'event', '--all', '--loop',
                                      '--timestamp'], log)

    def seen():
        world.virsh('desc', world.box.name, '--live', 'again')
        return "event 'metadata-change' for domain" in proc.read(log)
    until(seen, 'virsh event to print')
    cpu = world.cpus[0]
    world.virsh('vcpupin', world.box.name, 0, cpu, '--live')
    until(lambda: "event 'tunable' for domain" in proc.read(log), 'the event of a pin')
    every = proc.cpulist(world.session.cgroups.cpus(world.box.path))
    world.virsh('vcpupin', world.box.name, 0, every)
    world.session.keeper.kill(pid, 2)
    world.session.keeper.wait(pid)


# --- the host

@suite.test
def the_host(world):
    info = world.virsh('nodeinfo').fields()
    assert int(info['CPU(s)']) == os.cpu_count() and info['CPU model'] == os.uname().machine
    memory = int(re.search(r'MemTotal: +(\d+)', proc.read('/proc/meminfo'))[1])
    assert abs(int(info['Memory size'].split()[0]) - memory) < 16
    cpumap = world.virsh('nodecpumap').fields()
    assert cpumap['CPUs online'] == str(len(proc.parse_cpulist(proc.read(
        '/sys/devices/system/cpu/online'))))
    stats = world.virsh('nodecpustats').fields()
    assert int(stats['user']) > 0 and int(stats['idle']) > 0
    world.virsh('nodecpustats', '--cpu', 0)
    world.virsh.fails('nodecpustats', '--cpu', 4095)
    root = xml.fromstring(world.virsh('capabilities').out)
    assert root.find('host/topology/cells') is not None
    assert len(root.findall('host/topology/cells/cell/cpus/cpu')) == os.cpu_count()
    assert 'corral' in [d.get('type') for d in root.findall('guest/arch/domain')]
    root = xml.fromstring(world.virsh('domcapabilities').out)
    assert root.tag == 'domainCapabilities' and root.findtext('domain') == 'corral'
    assert xml.fromstring(world.virsh('sysinfo').out).tag == 'sysinfo'
    assert world.virsh('hostname').out.strip().split('.')[0] == socket.gethostname().split('.')[0]
    # the client's own, since it knows it
    assert world.virsh('uri').out.strip() == world.corrald.uri
    version = world.virsh('version', '--daemon').out
    assert 'Using API: Corral' in version, version
    assert 'KiB' in world.virsh('freecell').out and 'Total' in world.virsh('freecell', '--all').out
    assert int(world.virsh('maxvcpus').out) >= os.cpu_count()
    assert '<host>' in world.virsh('capabilities').out


@suite.test
def what_makes_no_sense_is_not_supported(world):
    connection = libvirt.open(world.corrald.uri)
    domain = connection.lookupByName(world.box.name)
    no_support = libvirt.VIR_ERR_NO_SUPPORT
    for call, *values in ((connection.listAllNetworks,), (connection.listAllStoragePools,),
                          (connection.listAllDevices,), (domain.listAllSnapshots,),
                          (domain.setMemory, 1024), (domain.save, '/nowhere'),
                          (domain.blockInfo, 'vda'), (domain.reboot,), (domain.reset,),
                          (domain.injectNMI,), (domain.openConsole, None, connection.newStream())):
        assert code_of(call, *values) == no_support, (call, code_of(call, *values))
    for words in (('suspend',), ('reboot',), ('save', '/nowhere')):
        assert 'error: ' in world.virsh.fails(words[0], world.box.name, *words[1:]).err
    assert code_of(connection.lookupByName, 'none') == libvirt.VIR_ERR_NO_DOMAIN
    assert code_of(connection.lookupByID, 1) == libvirt.VIR_ERR_NO_DOMAIN
    assert code_of(connection.lookupByUUIDString, str(uuid.uuid4())) == libvirt.VIR_ERR_NO_DOMAIN
    assert code_of(domain.create) == libvirt.VIR_ERR_OPERATION_INVALID
    assert code_of(connection.lookupByName(world.spare.name).destroy) == \
        libvirt.VIR_ERR_OPERATION_INVALID
    assert code_of(connection.defineXML, '<domain') in \
        (libvirt.VIR_ERR_XML_ERROR, libvirt.VIR_ERR_XML_DETAIL)
    assert code_of(domain.XMLDesc, 1 << 20) == libvirt.VIR_ERR_INVALID_ARG
    connection.close()


# --- who may do what

@suite.test
def a_read_only_connection_changes_nothing(world):
    before = [world.virsh('dumpxml', n).out for n in (world.box.name, world.spare.name)]
    member = world.box.member(world.guest)
    changes = (('define', world.spare.file()), ('create', Container(world.corrald, 'no').file()),
               ('start', world.spare.name), ('destroy', world.box.name),
               ('undefine', world.spare.name), ('autostart', world.spare.name),
               ('desc', world.spare.name, '--config', 'no'),
               ('metadata', world.spare.name, '--config', '--uri', 'urn:x', '--key', 'x', '--set',
                '<x/>'),
               ('attach-device', world.box.name, member, '--live'),
               ('detach-device', world.box.name, member, '--live'),
               ('vcpupin', world.box.name, 0, world.cpus[0], '--live'),
               ('schedinfo', world.box.name, '--live', '--set', 'cpu_shares=3'))
    for virsh, flags in ((world.virsh_ro, {}), (world.virsh_ro, {'readonly': True}),
                         (world.virsh, {'readonly': True})):
        assert world.names('--all', virsh=virsh) == {world.box.name, world.spare.name}
        virsh('domstats', world.box.name, **flags)
        for words in changes:
            answer = virsh.fails(*words, **flags)
            assert 'read only' in answer.err or 'read-only' in answer.err or \
                'forbidden' in answer.err, str(answer)
    assert before == [world.virsh('dumpxml', n).out for n in (world.box.name, world.spare.name)]


# --- many clients, and bad ones

@suite.test
def clients_at_once(world):
    problems = []

    def client(number):
        try:
            connection = libvirt.open(world.corrald.uri)
            for _ in range(50):
                domain = connection.lookupByName(world.box.name)
                assert domain.info()[3] == 2
                assert connection.getAllDomainStats()[0][1]['state.state'] in (1, 5)
                assert domain.ID() > 0 and number >= 0
            connection.close()
        except Exception as error:  # pylint: disable=broad-except
            problems.append(error)
    threads = [threading.Thread(target=client, args=(n,)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, problems


@suite.test
def keepalive(world):
    log = world.session.folder + '/keepalive'
    pid = world.session.keeper.start(['virsh', '-k', '1', '-K', '2', '-c', world.corrald.uri,
                                      'event', '--event', 'lifecycle', '--timeout', '5'], log)
    world.session.keeper.wait(pid)
    # with no answers to its pings virsh would say that the connection was lost
    assert 'event loop timed out' in proc.read(log), proc.read(log)


def is_closed(client):
    """Whether the server has hung up."""
    client.settimeout(15)
    try:
        while client.recv(65536):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


@suite.test
def bad_clients_lose_their_connection_and_nobody_elses(world):
    good = libvirt.open(world.corrald.uri)
    header = struct.pack('>6I', 0x20008086, 1, 1, 0, 1, 0)
    half = socket.socket(socket.AF_UNIX)
    half.connect(world.corrald.socket)
    half.sendall(struct.pack('>I', 28) + header[:10])
    for garbage in (b'GET / HTTP/1.0\r\n\r\n', b'\0' * 64, os.urandom(256), b'\xff' * 1024,
                    struct.pack('>I', 3), struct.pack('>I', 32 * 1024 * 1024 + 1),
                    struct.pack('>I', 28) + struct.pack('>6I', 1, 2, 3, 4, 5, 6)):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(world.corrald.socket)
            try:
                client.sendall(garbage)
                assert is_closed(client), garbage[:16]
            except BrokenPipeError:
                pass
            assert good.lookupByName(world.box.name).info()[3] == 2
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(world.corrald.socket)
        size = 32 * 1024 * 1024
        try:
            client.sendall(struct.pack('>I', size) + header + b'x' * (size - 28))
            assert is_closed(client)
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert good.lookupByName(world.box.name).info()[3] == 2
    half.close()
    good.close()
    until(lambda: world.corrald.rss_kib() < 400 * 1024, 'the memory to be given back')


if __name__ == '__main__':
    suite.main()
