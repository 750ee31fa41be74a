#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command `corral` against corrald, with guests of a real libvirtd inside: what it prints is
compared with the kernel."""

import csv
import io
import json
import os
import select
import subprocess
from contextlib import contextmanager

from harness import Container, Corrald, Guest, PrivateLibvirtd, Session, Suite, proc, until


class Cli:
    """Runs the command; the connection is told by the environment."""

    def __init__(self, build, corrald):
        self.program = f'{build}/libvirt-driver/corral/corral'
        self.env = {**os.environ, 'CORRAL_URI': corrald.uri, 'LC_ALL': 'C.UTF-8'}

    def argv(self, *words):
        return [self.program, *map(str, words)]

    def try_(self, *words, stdin='', env=None):
        return subprocess.run(self.argv(*words), input=stdin, env={**self.env, **(env or {})},
                              capture_output=True, text=True, timeout=60, check=False)

    def __call__(self, *words, **options):
        answer = self.try_(*words, **options)
        assert answer.returncode == 0, f'{words}: {answer}'
        assert not answer.stderr, f'{words}: {answer.stderr}'
        return answer.stdout

    def fails(self, *words, status=1):
        answer = self.try_(*words)
        assert answer.returncode == status, f'{words}: {answer}'
        assert answer.stderr.startswith('error: '), f'{words}: {answer.stderr}'
        return answer.stderr

    def json(self, *words):
        document = json.loads(self(*words, '--format', 'json'))
        assert document['version'] == 1, document
        return document

    def csv(self, *words):
        return list(csv.DictReader(io.StringIO(self(*words, '--format', 'csv'), newline='')))


class World:
    """"box" has a guest of two vCPUs; "inner" lies within it and has one of its own."""

    def __init__(self, session):
        self.session = session
        self.cpus = sorted(os.sched_getaffinity(0))
        self.libvirtd = PrivateLibvirtd(session).start()
        self.corrald = Corrald(session, self.libvirtd)
        session.logs += [self.corrald, self.libvirtd]
        self.corrald.start()
        self.cli = Cli(session.build, self.corrald)
        texts = '<title>A box</title><description>of guests</description>'
        self.box = Container(self.corrald, 'box', cpus=self.cpus, extra=texts).start()
        self.inner = Container(self.corrald, 'inner', path=('box', 'inner')).start()
        self.spare = Container(self.corrald, 'spare').define()
        # "within" sorts after "guest", so that its vCPU is the box's third
        self.guest = self.start('guest', self.box, vcpus=2, load=0.05)
        self.within = self.start('within', self.inner, vcpus=1)
        self.box.wait_has(vms=2, vcpus=3)

    def start(self, name, container=None, **options):
        partition = container.path if container else None
        return Guest(self.libvirtd, name, partition=partition, **options).define().start()

    def show(self, container):
        return self.cli.json('show', container.name)

    def explain(self):
        return self.session.explain()


@contextmanager
def setup(options):
    with Session(options.build, keep=options.keep) as session:
        yield World(session)


suite = Suite(setup)


@suite.test
def list_in_each_format(world):
    cli, box, spare = world.cli, world.box, world.spare
    mine = {c['name']: c for c in cli.json('list', '--all')['containers']
            if c['name'].startswith(world.session.tag)}
    assert set(mine) == {box.name, world.inner.name, spare.name}
    assert mine[box.name]['state'] == 'active' and mine[box.name]['vms'] == 2
    assert mine[box.name]['partition'] == box.path and mine[box.name]['vcpus'] == 3
    assert mine[spare.name]['id'] is None and mine[spare.name]['state'] == 'inactive'
    rows = {r['name']: r for r in cli.csv('list', '--all')}
    assert rows[box.name]['uuid'] == mine[box.name]['uuid']
    assert rows[box.name]['id'] == str(mine[box.name]['id']) and rows[spare.name]['id'] == ''
    lines = cli('list').splitlines()
    assert lines[0].split() == ['Id', 'Name', 'State', 'Partition', 'CPUs', 'VMs', 'vCPUs']
    assert set(lines[1]) == {'-'} and lines[-1] == ''
    assert any(line.split()[1:4] == [box.name, 'active', box.path] for line in lines[2:-1])
    assert spare.name in cli('list', '--inactive', '--name').split()
    assert spare.name not in cli('list', '--name').split()
    assert mine[box.name]['uuid'] in cli('list', '--uuid').split()


@suite.test
def show_says_what_the_kernel_says(world):
    shown, inner = world.show(world.box), world.show(world.inner)
    assert (shown['name'], shown['state'], shown['persistent']) == (world.box.name, 'active', True)
    assert (shown['title'], shown['description']) == ('A box', 'of guests')
    assert shown['children'] == [world.inner.name] and shown['parent'] is None
    assert inner['parent'] == world.box.name and inner['vcpus'] == 1
    assert proc.parse_cpulist(shown['cpus']) == world.session.cgroups.cpus(world.box.path)
    assert proc.parse_cpulist(inner['cpus']) == world.session.cgroups.cpus(world.inner.path)
    assert shown['shares'] == 1024 and shown['cap'] == 'none' and shown['quota_usec'] == -1
    assert [(m['name'], m['vcpus'], m['numbers']) for m in shown['members']] == \
        [(world.guest.name, '0-1', '0-1'), (world.within.name, '0', '2')], shown['members']
    threads = world.guest.vcpu_threads() + world.within.vcpu_threads()
    for number, (vcpu, thread) in enumerate(zip(shown['vcpu_list'], threads)):
        assert vcpu['vcpu'] == number and vcpu['cpu'] in world.cpus, vcpu
        assert proc.parse_cpulist(vcpu['affinity']) == thread.affinity(), vcpu
        assert vcpu['time_ns'] <= thread.run_ns(), vcpu
    assert [(v['vm'], v['vm_vcpu']) for v in shown['vcpu_list']] == \
        [(world.guest.name, 0), (world.guest.name, 1), (world.within.name, 0)]
    total = shown['guest_ns'] + shown['host_ns'] + shown['emulator_ns']
    assert 0 < total and abs(total - shown['cpu_ns']) <= 1000, shown
    text = world.cli('show', world.box.name)
    assert text.split()[:2] == ['Name:', world.box.name] and '\nvCPUs:\n' in text, text
    pairs = {r['key']: r['value'] for r in world.cli.csv('show', world.box.name)}
    assert pairs['members.1.name'] == world.within.name and pairs['state'] == 'active'
    # by UUID and by id as well
    assert world.cli.json('show', shown['uuid'])['name'] == world.box.name
    assert world.cli.json('show', shown['id'])['name'] == world.box.name


@suite.test
def stats_and_top(world):
    stats = {s['name']: s for s in world.cli.json('stats')['containers']}
    box, inner = stats[world.box.name], stats[world.inner.name]
    assert box['cpu_ns'] >= inner['cpu_ns'] > 0 and world.spare.name not in stats
    one = world.cli.csv('stats', world.inner.name)
    assert [r['name'] for r in one] == [world.inner.name]
    world.cli.fails('stats', 'nobody')
    lines = world.cli('top', '--batch', '-n', 2, '-d', '0.5', '--format', 'json').splitlines()
    rounds = [json.loads(line) for line in lines]
    assert len(rounds) == 2 and all(r['version'] == 1 for r in rounds)
    for one in rounds:
        rates = [c['cpu'] for c in one['containers']]
        assert rates == sorted(rates, reverse=True), rates
        mine = {c['name']: c for c in one['containers']}
        assert abs(mine[world.box.name]['cpu_percent'] - 100 * mine[world.box.name]['cpu']) < 1e-6
        # both numbers are of the same moment, near enough
        assert mine[world.box.name]['cpu'] + 0.05 >= mine[world.inner.name]['cpu'], mine
    assert ' %CPU ' in world.cli('top', '-n', 1, '-d', '0.1')


@suite.test
def life(world):
    cli, one = world.cli, Container(world.corrald, 'one', cpus={world.cpus[0]})
    assert f"Container '{one.name}' defined" in cli('define', one.file())
    assert not world.session.cgroups.where(one.path)
    cli('start', one.name)
    assert world.session.cgroups.cpus(one.path) == {world.cpus[0]}
    cli.fails('start', one.name)
    cli('autostart', one.name)
    assert world.show(one)['autostart'] is True
    cli('autostart', one.name, '--disable')
    assert world.show(one)['autostart'] is False
    cli('title', one.name, 'short')
    assert cli('title', one.name) == 'short\n'
    cli('desc', one.name, '--config', 'long one')
    assert cli('desc', one.name) == '' and cli('desc', one.name, '--config') == 'long one\n'
    cli('title', one.name, '')
    assert cli('title', one.name) == ''
    assert '<description>long one</description>' in cli('dump', one.name, '--inactive')
    assert f"id='{world.show(one)['id']}'" in cli('dump', one.name)
    world.box.virsh('domuuid', one.name)
    cli('destroy', one.name)
    assert not world.session.cgroups.where(one.path)
    cli('undefine', one.name)
    assert one.name not in cli('list', '--all', '--name').split()
    cli('create', '-', stdin=one.xml())
    assert world.show(one)['persistent'] is False
    cli('stop', one.name)
    error = cli.fails('destroy', world.box.name)
    assert world.guest.name in error or world.inner.name in error, error


@suite.test
def edit(world):
    """An editor that is a program."""
    name = world.spare.name
    env = {'VISUAL': 'sed -i -e s,<vcpu,<title>edited</title><vcpu,'}
    assert world.cli('edit', name, env=env) == f"Container '{name}' edited\n"
    assert world.cli('title', name) == 'edited\n'
    before = world.cli('dump', name, '--inactive')
    bad = world.cli.try_('edit', name, env={'VISUAL': 'sed -i -e s,</domain>,<oops/></domain>,'})
    assert bad.returncode == 1 and 'oops' in bad.stderr and 'was not changed' in bad.stderr, bad
    assert world.cli('dump', name, '--inactive') == before


@suite.test
def attach_and_detach(world):
    cli, guest = world.cli, world.start('joins')
    until(lambda: cli.try_('attach', guest.name, world.box.name).returncode == 0, 'the attach')
    world.box.check_holds_all(guest)
    assert guest.name in [m['name'] for m in world.show(world.box)['members']]
    # to a container within, and out of the innermost without its name
    cli('attach', guest.name, world.inner.name)
    world.inner.check_holds_all(guest)
    assert f"from container '{world.inner.name}'" in cli('detach', guest.name)
    assert guest.name not in [m['name'] for m in world.show(world.inner)['members']]
    assert 'no active container' in cli.fails('detach', guest.name)
    cli.fails('attach', 'nobody', world.box.name)
    # only in the definition
    cli('attach', 'db*', world.spare.name)
    assert "name='db*'" in cli('dump', world.spare.name)
    cli('detach', 'db*', world.spare.name)
    assert "name='db*'" not in cli('dump', world.spare.name)
    guest.destroy()


@suite.test
def pin(world):
    cli, cpu = world.cli, world.cpus[-1]
    every = proc.cpulist(world.session.cgroups.cpus(world.box.path))
    first, second = world.guest.vcpu_threads()
    within = world.within.vcpu_threads()[0]
    cli('pin', f'{world.guest.name}:1', cpu)
    assert second.affinity() == {cpu} and first.affinity() == proc.parse_cpulist(every)
    cli('pin', world.guest.name, 1, every)
    assert second.affinity() == proc.parse_cpulist(every)
    # the box's third vCPU is the inner container's first
    cli('pin', world.box.name, 2, cpu)
    assert within.affinity() == {cpu}
    cli('pin', f'{world.within.name}:0', every)
    assert within.affinity() == proc.parse_cpulist(every)
    assert 'has its vCPUs 0-1' in cli.fails('pin', f'{world.guest.name}:2', cpu)
    cli.fails('pin', world.box.name, 3, cpu)
    cli.fails('pin', world.box.name, 0, 4095)
    cli.fails('pin', world.box.name, 0, 'x', status=2)
    cli.fails('pin', world.guest.name, cpu, status=2)


@suite.test
def one_vcpu_elsewhere(world):
    """A vCPU goes to the container within, alone; its number there is not its number in the VM."""
    cli, vcpu = world.cli, world.guest.vcpu_threads()[1]
    cli('attach', f'{world.guest.name}:1', world.inner.name)
    assert world.inner.holds(vcpu) and not world.inner.holds(world.guest.vcpu_threads()[0])
    members = [(m['name'], m['vcpus'], m['numbers']) for m in world.show(world.inner)['members']]
    assert members == [(world.guest.name, '1', '0'), (world.within.name, '0', '1')], members
    cli('pin', f'{world.guest.name}:1', world.cpus[0])
    assert vcpu.affinity() == {world.cpus[0]}
    cli('pin', f'{world.guest.name}:1', proc.cpulist(world.cpus))
    assert world.inner.name in cli('detach', f'{world.guest.name}:1')
    assert not world.inner.holds(vcpu) and world.box.holds(vcpu)
    world.box.check_holds_all(world.guest)


@suite.test
def set_weight_cap_and_cpus(world):
    cli, inner = world.cli, world.inner
    cli('set', inner.name, '--shares', 2048, '--quota', '150%')
    shown = world.show(inner)
    assert (shown['shares'], shown['quota_usec'], shown['period_usec']) == (2048, 150000, 100000)
    assert shown['cap'].startswith('1.50 pCPUs')
    fields = world.box.virsh('schedinfo', inner.name).fields()
    assert (fields['cpu_shares'], fields['global_quota']) == ('2048', '150000'), fields
    cli('set', inner.name, '--period', 50000, '--quota', '50%')
    assert world.show(inner)['quota_usec'] == 25000
    cli('set', inner.name, '--quota', 'none', '--config', '--live')
    assert world.show(inner)['cap'] == 'none'
    cli('set', inner.name, '--cpus', world.cpus[0])
    assert world.session.cgroups.cpus(inner.path) == {world.cpus[0]}
    assert world.show(inner)['cpus'] == str(world.cpus[0])
    assert world.within.vcpu_threads()[0].affinity() == {world.cpus[0]}
    cli('set', inner.name, '--cpus', proc.cpulist(world.cpus))
    cli('set', inner.name, '--mems', 0)
    assert "nodeset='0'" in cli('dump', inner.name)
    cli.fails('set', inner.name, '--mems', 4000)
    assert '--config' in cli.fails('set', inner.name, '--mems', '')
    cli('set', inner.name, '--mems', 0, '--config')
    assert "nodeset='0'" in cli('dump', inner.name, '--inactive')
    cli.fails('set', inner.name, '--shares', 1, status=2)
    cli.fails('set', inner.name, '--quota', '-3', status=2)
    cli.fails('set', inner.name, status=2)


@suite.test
def events(world):
    log = world.session.folder + '/corral-events'
    pid = world.session.keeper.start(
        world.cli.argv('-c', world.corrald.uri_ro, '-r', 'events', '--loop', '--format', 'json'),
        log)

    def seen():
        return [json.loads(line) for line in proc.read(log).splitlines() if line.endswith('}')]

    def heard():
        world.cli('title', world.spare.name, 'x')
        return seen()
    until(heard, 'the first event')
    one = Container(world.corrald, 'events')
    world.cli('define', one.file())
    world.cli('start', one.name)
    world.cli('set', one.name, '--shares', 512)
    world.cli('destroy', one.name)
    world.cli('undefine', one.name)

    def mine():
        return [e for e in seen() if e['container'] == one.name]
    until(lambda: len(mine()) == 5, 'the events of one container')
    assert [e['event'] for e in mine()] == ['defined', 'started', 'tuned', 'stopped', 'undefined']
    assert 'cpu_shares=512' in mine()[2]['detail'] and mine()[0]['version'] == 1
    world.session.keeper.kill(pid, 2)
    assert world.session.keeper.wait(pid) == 0
    assert 'no event' in world.cli.fails('events', one.session.name('spare'), '--timeout', 1)


@suite.test
def host_uri_and_version(world):
    host = world.cli.json('host')
    assert host['cpus'] >= os.cpu_count() and host['vcpus'] >= 3
    assert set(world.cpus) <= proc.parse_cpulist(host['container_cpus'])
    assert world.cli('uri') == world.corrald.uri + '\n'
    assert world.cli.json('version')['driver'].lower() == 'corral'


@suite.test
def a_readonly_connection_changes_nothing(world):
    cli, name = world.cli, world.spare.name
    before = cli('dump', name)
    for words in (['start', name], ['autostart', name], ['undefine', name], ['title', name, 'y'],
                  ['destroy', world.box.name], ['set', world.box.name, '--shares', 5],
                  ['set', world.box.name, '--cpus', world.cpus[0]],
                  ['attach', world.guest.name, world.inner.name], ['detach', world.guest.name],
                  ['pin', world.box.name, 0, world.cpus[0]], ['define', world.spare.file()]):
        for option in (['-r'], ['-c', world.corrald.uri_ro]):
            error = cli.fails(*option, *words)
            assert 'read only' in error or 'read-only' in error, error
    assert cli('dump', name) == before
    assert cli('-r', 'list', '--all', '--name') == cli('list', '--all', '--name')


@suite.test
def the_shell_connects_again(world):
    """corrald is restarted between two lines of one session."""
    argv = world.cli.argv()
    with subprocess.Popen(argv, env=world.cli.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as shell:
        shell.stdin.write('uri\n')
        shell.stdin.flush()
        assert shell.stdout.readline() == world.corrald.uri + '\n'
        world.corrald.restart()
        world.box.wait_has(vms=2, vcpus=3)
        out, err = shell.communicate(f"title {world.box.name} 'two words'\ntitle {world.box.name}\n"
                                     'quit\n', timeout=30)
    assert err == '' and out.splitlines()[-1] == 'two words', (out, err)
    assert shell.returncode == 0


@suite.test
def a_corrald_that_dies_is_said_so(world):
    """Who waits for events or watches hears of it, and does not wait for ever."""
    runs = []
    for words in (['events', '--loop'], ['top', '--batch', '-d', '0.1', '--format', 'json']):
        # pylint: disable-next=consider-using-with
        run = subprocess.Popen(world.cli.argv(*words), env=world.cli.env, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
        runs.append(run)
    assert json.loads(runs[1].stdout.readline())['version'] == 1

    def heard():
        world.cli('title', world.spare.name, 'x')
        return select.select([runs[0].stdout], [], [], 0.1)[0]
    until(heard, 'the first event')
    world.corrald.kill()
    for run in runs:
        _, err = run.communicate(timeout=30)
        assert run.returncode == 1 and err.startswith('error: cannot '), (run.returncode, err)
    world.corrald.start()
    world.box.wait_has(vms=2, vcpus=3)


@suite.test
def no_corrald_is_said_so(world):
    uri = f'corral+unix:///system?socket={world.session.folder}/none'
    answer = world.cli.try_('-c', uri, 'list')
    assert answer.returncode == 1 and '/none' in answer.stderr and not answer.stdout


if __name__ == '__main__':
    suite.main()
