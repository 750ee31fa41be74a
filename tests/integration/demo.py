#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The demo: containers, guests and stock virsh, for real. Each claim that it prints it has checked,
from /proc and from what the guests counted themselves; a false one ends it with status 1."""

import argparse
import os
import platform
import signal
import subprocess
import sys
import time

import libvirt
from harness import (Container, Corrald, Guest, PrivateLibvirtd, Session, Skip, delegated, proc,
                     until)

BOLD, GREEN, RED, DIM, PLAIN = ('\033[1m', '\033[32m', '\033[31m', '\033[2m', '\033[0m') \
    if sys.stdout.isatty() else ('',) * 5

# name, container, vCPUs, most vCPUs, load of each vCPU
GUESTS = (('web1', 'prod', 2, 3, 0.10), ('web2', 'prod', 1, 1, 0.10), ('db1', 'db', 2, 2, 0.12),
          ('ci1', 'dev', 1, 1, 0.10), ('ci2', 'dev', 1, 1, 0.10), ('stray', None, 1, 1, 0.15))


class Demo:
    def __init__(self, session):
        self.session = session
        self.claims = 0
        self.began = time.monotonic()
        self.guests = {}
        self.boxes = {}

    # --- what the reader sees

    def step(self, text):
        print(f'\n{BOLD}[{time.monotonic() - self.began:5.1f} s] {text}{PLAIN}', flush=True)

    def claim(self, true, text):
        self.claims += 1
        verdict = f'{GREEN}true:{PLAIN}' if true else f'{RED}FALSE:{PLAIN}'
        print(f'  {verdict} {text}', flush=True)
        if not true:
            raise AssertionError(text)

    def show(self, virsh, *words, keep=None):
        """Runs stock virsh; prints the command and its answer (@keep: lines with one of these)."""
        answer = virsh(*words)
        who = 'corral' if virsh is self.corrald.virsh else 'qemu'
        print(f'  {DIM}$ virsh -c {who}{PLAIN} {" ".join(map(str, words))}')
        for line in answer.out.splitlines():
            if line.strip() and (keep is None or any(k in line for k in keep)):
                print(f'    {line}')
        return answer

    # --- the steps

    def start_daemons(self):
        self.step('a private libvirtd with Corral\'s hook, and corrald')
        self.libvirtd = PrivateLibvirtd(self.session)
        # With so few pCPUs as two, none can be left to the host alone.
        self.corrald = Corrald(self.session, self.libvirtd, host="<housekeeping cores='0'/>")
        self.session.logs += [self.corrald, self.libvirtd]
        self.libvirtd.add_hook('corral', self.corrald.hook())
        self.libvirtd.start()
        self.corrald.start()
        print(f'  below, "-c qemu" stands for   {self.libvirtd.uri}\n'
              f'     and "-c corral" stands for {self.corrald.uri}')
        version = 'v2' if self.session.cgroups.unified else 'v1'
        print(f'  Linux {platform.release()}, cgroup {version}, guests under {self.session.accel}')
        self.show(self.corrald.virsh, 'version', keep=['API', 'hypervisor'])

    def make_containers(self):
        self.step('three containers, one inside another, each with pCPUs of its own')
        cpus = sorted(os.sched_getaffinity(0))
        half = max(1, len(cpus) // 2)
        first, second = set(cpus[:half]), set(cpus[half:] or cpus)
        prod = Container(self.corrald, 'prod', cpus=set(cpus), cputune='<shares>2048</shares>')
        data = Container(self.corrald, 'db', path=('prod', 'db'), cpus=first)
        dev = Container(self.corrald, 'dev', cpus=second)
        self.boxes = {'prod': prod, 'db': data, 'dev': dev}
        for box in self.boxes.values():
            self.show(self.corrald.virsh, 'define', box.file())
        for box in self.boxes.values():
            self.show(self.corrald.virsh, 'start', box.name)
        self.show(self.corrald.virsh, 'list', '--all')
        for box in self.boxes.values():
            self.claim(self.session.cgroups.cpus(box.path) == box.cpus,
                       f'the kernel gave {box.path} the pCPUs {proc.cpulist(box.cpus)}')

    def start_guests(self):
        self.step('six guests, each busy for a known part of its time')
        for name, box, vcpus, most, load in GUESTS:
            guest = Guest(self.libvirtd, name, vcpus=vcpus, max_vcpus=most, load=load,
                          partition=self.boxes[box].path if box else None)
            self.guests[name] = guest.define().start()
        self.show(self.libvirtd.virsh, 'list')
        self.boxes['prod'].wait_has(vms=3, vcpus=5)
        self.boxes['dev'].wait_has(vms=2, vcpus=2)
        self.show(self.corrald.virsh, 'domstats', keep=['Domain', 'corral.vms', 'corral.vcpus'])
        for name, box, *_ in GUESTS:
            if box:
                self.check_inside(name, box)

    def check_inside(self, guest, box):
        threads = self.guests[guest].threads()
        strangers = self.boxes[box].strangers(self.guests[guest])
        self.claim(threads and not strangers,
                   f'all {len(threads)} threads of {guest} are in {box} and on its pCPUs')

    def measure(self, box, names, seconds=4.0):
        """CPU time per second of a container; of its threads, at least and at most, since reading
        them all takes a while; as its guests counted it. And how much of their time they had: less
        than 1 on a host that does not let them run when they want to."""
        guests = [self.guests[n] for n in names]
        domain = self.connection.lookupByName(self.boxes[box].name)
        vcpus = [(g, i) for g in guests for i in range(g.vcpus)]

        def look():
            before = sum(g.run_ns() for g in guests)
            now, usage = time.monotonic_ns(), domain.getCPUStats(True)[0]['cpu_time']
            slots = [g.mailbox.vcpu(i) for g, i in vcpus]
            return (now, usage, before, sum(g.run_ns() for g in guests),
                    sum(s['busy_ns'] for s in slots), sum(s['periods'] for s in slots))
        first = look()
        until(lambda: time.monotonic_ns() - first[0] > seconds * 1e9, 'time to pass')
        second = look()
        span, usage, _, _, busy, periods = (b - a for a, b in zip(first, second))
        threads = (second[2] - first[3]) / span, (second[3] - first[2]) / span
        had = periods * guests[0].mailbox.period_ns() / len(vcpus) / span
        return usage / span, threads, busy / span, had

    def check_usage(self):
        self.step('the usage that a container reports, against the load that its guests were given')
        self.connection = libvirt.open(self.corrald.uri)
        for box, names in (('prod', ('web1', 'web2', 'db1')), ('db', ('db1',)),
                           ('dev', ('ci1', 'ci2'))):
            wanted = sum(v * load for n, _, v, _, load in GUESTS if n in names)
            usage, (least, most), busy, had = self.measure(box, names)
            self.claim(least * 0.99 <= usage <= most * 1.01 + 0.0005,
                       f'{box} used {usage:.4f} cores; its threads {least:.4f} to {most:.4f}, by '
                       f'/proc')
            # What QEMU itself costs is known only where the guests are not held up, and not where the
            # host's own CPUs are emulated (tests/lab sets LAB), which makes QEMU many times dearer.
            known = had > 0.95 and 'LAB' not in os.environ
            limit = busy * 1.2 + 0.04 * len(names) if known else usage
            self.claim(busy * 0.98 <= usage <= limit,
                       f'its guests were told to use {wanted:.2f} and counted {busy:.4f}; the rest '
                       f'is QEMU\'s own work')
        self.show(self.corrald.virsh, 'cpu-stats', self.boxes['prod'].name, '--total')

    def pin(self):
        self.step('one vCPU pinned through the container')
        box, guest = self.boxes['prod'], self.guests['web1']
        index = [v[0] for v in GUESTS if v[1] in ('prod', 'db')]
        number = sum(self.guests[n].vcpus for n in sorted(index) if n < 'web1')
        cpu = min(box.cpus)
        self.show(self.corrald.virsh, 'vcpupin', box.name, number, cpu, '--live')
        self.show(self.corrald.virsh, 'vcpupin', box.name)
        self.claim(guest.vcpu_threads()[0].affinity() == {cpu},
                   f'web1\'s vCPU 0 may run on pCPU {cpu} alone, and its neighbour on '
                   f'{proc.cpulist(guest.vcpu_threads()[1].affinity())}')
        self.claim(guest.vcpu_threads()[1].affinity() == box.cpus, 'vCPU 1 was left alone')

    def move(self):
        self.step('a running guest moves into a container')
        guest, box = self.guests['stray'], self.boxes['dev']
        file = box.member(guest)
        print('    ' + proc.read(file))
        before = guest.run_ns()
        self.show(self.corrald.virsh, 'attach-device', box.name, file, '--live')
        self.check_inside('stray', 'dev')
        self.claim(box.has(vms=3, vcpus=3), 'dev says that it has three VMs')
        periods = guest.mailbox.vcpu(0)['periods']
        until(lambda: guest.mailbox.vcpu(0)['periods'] > periods + 10, 'the guest to run on')
        self.claim(guest.run_ns() > before, 'the guest ran on all the while')
        self.show(self.corrald.virsh, 'detach-device', box.name, file, '--live')
        self.claim(not any(box.holds(t) for t in guest.threads()),
                   'detached, it is back where libvirt had put it')
        self.show(self.corrald.virsh, 'attach-device', box.name, file, '--live')
        self.check_inside('stray', 'dev')

    def cap(self):
        self.step('a cap on a whole container: 40 % of a pCPU for three VMs that want all of it')
        box, names = self.boxes['dev'], ('ci1', 'ci2', 'stray')
        self.show(self.corrald.virsh, 'schedinfo', box.name, '--live', '--set',
                  'global_period=100000', 'global_quota=40000', keep=['global'])
        for name in names:
            self.guests[name].set_load(1.0)
        before = box.stats()
        usage, *_ = self.measure('dev', names)
        after = box.stats()
        periods, throttled = (after[f'corral.nr_{n}'] - before[f'corral.nr_{n}']
                              for n in ('periods', 'throttled'))
        # A host that is too busy has no 40 % to give; then the cap is hit in few periods or none.
        least = 0.34 if throttled >= periods * 0.8 else 0
        self.claim(least <= usage <= 0.44,
                   f'together they used {usage:.3f} cores; the cap held them back in {throttled} '
                   f'of {periods} periods')
        for name in names:
            self.guests[name].set_load(0.05)
        self.show(self.corrald.virsh, 'schedinfo', box.name, '--live', '--set', 'global_quota=-1',
                  keep=['global_quota'])

    def hotplug(self):
        self.step('a vCPU plugged into a running guest')
        guest = self.guests['web1']
        before = set(t.tid for t in guest.vcpu_threads())
        self.show(self.libvirtd.virsh, 'setvcpus', guest.name, 3, '--live')
        guest.plug(3)
        new = [t for t in guest.vcpu_threads() if t.tid not in before]
        self.claim(len(new) == 1 and self.boxes['prod'].holds(new[0]),
                   'the new vCPU\'s thread is in prod')
        self.check_inside('web1', 'prod')
        self.boxes['prod'].wait_has(vcpus=6)
        self.show(self.corrald.virsh, 'vcpucount', self.boxes['prod'].name)

    def end_one(self):
        self.step('a guest ends; the time it used stays with its container')
        box = self.boxes['db']
        before = box.stats()['cpu.time']
        self.show(self.libvirtd.virsh, 'destroy', self.guests['db1'].name)
        box.wait_has(vms=0)
        after = box.stats()['cpu.time']
        self.claim(after >= before > 0, f'db had {before / 1e9:.2f} s, now {after / 1e9:.2f} s')

    def refuse(self):
        self.step('what cannot be had is refused, with the reason')
        box = self.boxes['dev']
        answer = self.corrald.virsh.fails('destroy', box.name)
        print(f'  {DIM}$ virsh -c corral{PLAIN} destroy {box.name}\n    ' +
              answer.err.strip().replace('\n', '\n    '))
        self.claim(self.guests['ci1'].name in answer.err,
                   'a container with VMs in it is not destroyed')
        before = self.corrald.virsh('schedinfo', box.name).out
        answer = self.corrald.virsh_ro.fails('schedinfo', box.name, '--set', 'cpu_shares=2')
        print(f'  {DIM}$ virsh -r -c corral{PLAIN} schedinfo {box.name} --set cpu_shares=2\n    ' +
              answer.err.strip().replace('\n', '\n    '))
        self.claim(self.corrald.virsh('schedinfo', box.name).out == before,
                   'the read-only socket changes nothing')

    # --- what the planner does

    def corral(self, *words, status=0):
        """The `corral` command; prints it and its answer."""
        command = [f'{self.session.build}/libvirt-driver/corral/corral', '--connect',
                   self.corrald.uri, *map(str, words)]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        print(f'  {DIM}$ corral{PLAIN} {" ".join(map(str, words))}')
        for line in (answer.stdout + answer.stderr).splitlines():
            if line.strip():
                print(f'    {line}')
        if answer.returncode != status:
            raise AssertionError(f'corral {words} ended with {answer.returncode}')
        return answer.stdout

    def end_all(self):
        """The pCPUs that these containers name are theirs: the planner would leave them alone."""
        for guest in self.guests.values():
            if guest.is_running():
                guest.destroy()
        for box in reversed(self.boxes.values()):
            box.wait_has(vms=0)
            box.remove()

    def plan(self):
        self.step('the planner: a container whose vCPUs have pCPUs of their own, and one that shares')
        self.end_all()
        cpus = set(os.sched_getaffinity(0))
        own = Container(self.corrald, 'own', cpus=cpus,
                        placement="mode='dedicated' numa='any' emulator='container'")
        crowd = Container(self.corrald, 'crowd', cpus=cpus,
                          placement="mode='shared' numa='any' emulator='container' "
                                    "overcommit='4.0' drift='repair'")
        self.boxes = {'own': own, 'crowd': crowd}
        for box in self.boxes.values():
            self.show(self.corrald.virsh, 'define', box.file())
        for name, box in (('fast', own), ('any1', crowd), ('any2', crowd)):
            guest = Guest(self.libvirtd, name, vcpus=1, load=0.1, partition=box.path)
            self.guests[name] = guest.define().start()
        own.wait_has(vms=1)
        crowd.wait_has(vms=2)
        self.corral('plan')
        fast = self.guests['fast'].vcpu_threads()[0]
        until(lambda: len(fast.affinity()) == 1, 'the dedicated vCPU to have its pCPU')
        mine = fast.affinity()
        others = [t for n in ('any1', 'any2') for t in self.guests[n].threads()]
        until(lambda: not any(t.affinity() & mine for t in others), 'the others to leave it')
        self.claim(len(mine) == 1 and not any(t.affinity() & mine for t in others),
                   f'fast\'s vCPU has pCPU {proc.cpulist(mine)} to itself; all {len(others)} threads '
                   f'of any1 and any2 are on {proc.cpulist(others[0].affinity())}')

    def refuse_plan(self):
        self.step('a VM for which there is no room is refused before QEMU starts, and why')
        greedy = Guest(self.libvirtd, 'greedy', vcpus=len(os.sched_getaffinity(0)),
                       partition=self.boxes['own'].path).define()
        answer = greedy.try_start()
        print(f'  {DIM}$ virsh -c qemu{PLAIN} start {greedy.name}\n    ' +
              answer.err.strip().replace('\n', '\n    '))
        self.claim(answer.status != 0 and not greedy.is_running() and
                   self.guests['fast'].name in answer.err,
                   'it was refused, and the reason names who has the pCPUs')
        greedy.virsh('undefine', greedy.name)
        self.claim(self.guests['fast'].name in self.corral('explain', self.boxes['own'].name),
                   'the container can explain its places')

    def drift(self):
        self.step('somebody lets a container have all pCPUs: found, told, and repaired')
        box, cgroups = self.boxes['crowd'], self.session.cgroups
        planned = cgroups.cpus(box.path)
        wrong = proc.cpulist(os.sched_getaffinity(0))
        file = f'{cgroups.path(box.path)}/cpuset.cpus'
        print(f'  {DIM}#{PLAIN} echo {wrong} > {file}')
        with open(file, 'w', encoding='ascii') as setting:
            setting.write(wrong)
        until(lambda: cgroups.cpus(box.path) == planned, 'the cpuset to be as planned')
        until(lambda: 'repaired' in self.corrald.virsh('metadata', box.name, '--uri',
                                                       'urn:corral:drift:1').out,
              'the repair to be told')
        self.corral('drift', box.name)
        self.claim(cgroups.cpus(box.path) == planned,
                   f'crowd has its pCPUs {proc.cpulist(planned)} again')

    def capacity(self):
        self.step('what is left, and a picture of who has what')
        self.corral('capacity')
        picture = f'{self.session.folder}/capacity.svg'
        self.corral('capacity', '--svg', picture)
        text = proc.read(picture)
        self.claim(self.boxes['own'].path in text and self.guests['fast'].name in text,
                   f'the picture ({len(text)} bytes) names the owners of the pCPUs')

    def run(self):
        for step in (self.start_daemons, self.make_containers, self.start_guests, self.check_usage,
                     self.pin, self.move, self.cap, self.hotplug, self.end_one, self.refuse,
                     self.plan, self.refuse_plan, self.drift, self.capacity):
            step()
        self.step('the end: guests, daemons, containers and files go')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--build', required=True, help='the build folder')
    options = parser.parse_args()
    delegated.enter()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('stopped'))
    # KVM where it really runs the guest, else QEMU's emulation
    os.environ.setdefault('CORRAL_TEST_ACCEL', 'auto')
    demo = None
    try:
        with Session(options.build, tag=f'demo{os.getpid()}') as session:
            demo = Demo(session)
            try:
                demo.run()
            except BaseException:
                print(session.explain(), file=sys.stderr)
                raise
        demo.claim(True, 'nothing is left behind: no cgroup, no process, no socket, no file')
    except (Skip, AssertionError, OSError, libvirt.libvirtError) as problem:
        print(f'\n{RED}the demo failed:{PLAIN} {problem}', file=sys.stderr)
        return 1
    seconds = time.monotonic() - demo.began
    print(f'\n{BOLD}{demo.claims} claims, all true, in {seconds:.0f} s{PLAIN}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
