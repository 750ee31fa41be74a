#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Several VMs that each ask for pinning on the same pool of pCPUs, as in kata-containers#13539: every
one of them pins its vCPU i to the pool's pCPU i, since none knows of the others. The same guests,
pinned like that, placed by the planner, and left to the kernel, in turns within one run; what counts
is how often the guests' busy loops went round. Also where pinning loses."""

import contextlib
import math
import os
import time
from statistics import median

from figures import figure
from harness import Container, Corrald, Guest, PrivateLibvirtd, Session, Skip, Suite, proc, until

POOL = sorted(os.sched_getaffinity(0))[:int(os.environ.get('CORRAL_BENCH_POOL', '8'))]
ROUNDS = int(os.environ.get('CORRAL_BENCH_ROUNDS', '5'))
SECONDS = 3.0
# As many VMs as have room side by side.
VCPUS = max(1, len(POOL) // 4)
VMS = len(POOL) // VCPUS
# Too many VMs: so many times as many.
CROWD = 3


class World:
    """Containers for what the planner places: "dedicated", and two that share. What it does not place is
    where libvirt puts it. All pCPUs are for guests: helpers are with their VMs, in every way."""

    def __init__(self, session):
        self.session = session
        self.libvirtd = PrivateLibvirtd(session)
        self.corrald = Corrald(session, self.libvirtd, host="<housekeeping cores='0'/>")
        session.logs += [self.corrald, self.libvirtd]
        self.libvirtd.add_hook('corral', self.corrald.hook())
        self.libvirtd.start()
        self.corrald.start()
        self.dedicated = Container(
            self.corrald, 'dedicated', cpus=set(POOL),
            placement="mode='dedicated' numa='any' emulator='container'").define()
        # They get as many pCPUs as their overcommit asks for: all of the pool, and all but one VM's.
        self.crowd = self.shared('crowd', CROWD)
        self.rest = self.shared('rest', math.ceil(100 * len(POOL) / (len(POOL) - VCPUS)) / 100)
        self.number = 0

    def shared(self, name, overcommit):
        return Container(
            self.corrald, name, cpus=set(POOL),
            placement=f"mode='shared' numa='any' emulator='container' overcommit='{overcommit}'"
        ).define()

    def guest(self, container, vcpus=VCPUS, load=1.0, cputune=''):
        self.number += 1
        pins = cputune or ''.join(f"<vcpupin vcpu='{i}' cpuset='{proc.cpulist(POOL)}'/>"
                                  for i in range(vcpus))
        return Guest(self.libvirtd, f'vm{self.number}', vcpus=vcpus, load=load,
                     partition=container.path if container else None,
                     cputune='' if container else pins).define()

    @contextlib.contextmanager
    def running(self, guests, containers=()):
        """Guests that run, in containers that are started for them and ended again."""
        begun = []
        try:
            for container in containers:
                container.virsh('start', container.name)
                begun.append(container)
            for guest in guests:
                guest.start()
            yield guests
        finally:
            for guest in guests:
                if guest.pid is not None:
                    guest.destroy()
                guest.virsh('undefine', guest.name)
            for container in begun:
                container.wait_has(vms=0)
                container.virsh('destroy', container.name)

    def colliding(self, count=VMS):
        pins = ''.join(f"<vcpupin vcpu='{i}' cpuset='{POOL[i]}'/>" for i in range(VCPUS))
        return [self.guest(None, cputune=pins) for _ in range(count)], ()

    def floating(self, count=VMS):
        return [self.guest(None) for _ in range(count)], ()

    def planned(self, count=VMS):
        return [self.guest(self.dedicated) for _ in range(count)], (self.dedicated,)

    def crowded(self, count=VMS):
        return [self.guest(self.crowd) for _ in range(count)], (self.crowd,)

    def tidy(self):
        self.session.kill_guests()
        for box in (self.dedicated, self.crowd, self.rest):
            if box.is_active():
                box.wait_has(vms=0)
                box.virsh('destroy', box.name)

    def explain(self):
        return self.session.explain()


@contextlib.contextmanager
def setup(options):
    if len(POOL) < 2:
        raise Skip('needs two pCPUs')
    with Session(options.build, keep=options.keep) as session:
        yield World(session)


suite = Suite(setup)


class Round:
    """What each guest did in a while, and how many pCPUs' time all had."""

    def __init__(self, guests):
        before, ran = [self.turns(g) for g in guests], self.ran(guests)
        began = time.monotonic()
        until(lambda: time.monotonic() - began >= SECONDS, 'time to pass', 60)
        after, used = [self.turns(g) for g in guests], self.ran(guests) - ran
        span = time.monotonic() - began
        self.each = [(a - b) / span for a, b in zip(after, before)]
        self.cores = used / span / 1e9

    @staticmethod
    def turns(guest):
        return sum(guest.mailbox.vcpu(i)['iterations'] for i in range(guest.vcpus))

    @staticmethod
    def ran(guests):
        return sum(t.run_ns() for g in guests for t in g.vcpu_threads())


def places(guests):
    return [t.affinity() for g in guests for t in g.vcpu_threads()]


def wait_pinned(guests):
    """The pins follow the start by an instant."""
    until(lambda: all(len(place) == 1 for place in places(guests)), 'each vCPU to have its pCPU')


def check_apart(guests):
    found = places(guests)
    assert len(set().union(*found)) == len(found), f'a pCPU is shared: {found}'


def ratio(what, rounds, base, part=slice(None)):
    """The throughput of @part of the guests, against that of another way in the same round."""
    ratios = [sum(r.each[part]) / sum(b.each[part]) for r, b in zip(rounds, base)]
    figure(what, f'{median(ratios):.2f} (median of {len(ratios)} rounds, {min(ratios):.2f} to '
           f'{max(ratios):.2f})')
    return median(ratios)


def describe(what, found):
    """How many pCPUs they kept busy, which a host that is busy itself makes fewer; how even it was."""
    for name, rounds in found.items():
        figure(f'{what}, {name}', f'{median([r.cores for r in rounds]):.2f} pCPUs busy; the slowest '
               f'VM had {median([min(r.each) / max(r.each) for r in rounds]):.2f} of what the '
               'fastest had')


def rounds_of(world, ways):
    """{name: a list of rounds}. In turns, so that a machine whose speed drifts drifts for all."""
    found = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, (make, settle) in ways.items():
            guests, containers = make()
            with world.running(guests, containers):
                if settle:
                    settle(guests)
                found[name].append(Round(guests))
    return found


def settle_planned(guests):
    wait_pinned(guests)
    check_apart(guests)


@suite.test
def no_pcpu_is_shared_when_the_planner_places(world):
    guests, containers = world.planned()
    with world.running(guests, containers):
        settle_planned(guests)
        late = world.guest(world.dedicated)
        answer = late.try_start()
        assert answer.status != 0 and not late.is_running(), 'one more VM than there is room for'
        figure(f'VM {VMS + 1} of {VCPUS} vCPUs on {len(POOL)} pCPUs', ' '.join(answer.err.split()))
        check_apart(guests)
        late.virsh('undefine', late.name)
    colliding, _ = world.colliding()
    with world.running(colliding):
        shared = places(colliding)
        figure('pCPUs in use by pins that collide', f'{len(set().union(*shared))} of {len(POOL)} '
               f'for {len(shared)} vCPUs')
        assert set().union(*shared) == set(POOL[:VCPUS])


@suite.test
def planned_against_colliding(world):
    """As many busy VMs as have room."""
    found = rounds_of(world, {'colliding': (world.colliding, None),
                              'planned': (world.planned, settle_planned),
                              'no pins': (world.floating, None)})
    what = f'{VMS} busy VMs of {VCPUS} vCPUs on {len(POOL)} pCPUs'
    describe(what, found)
    gain = ratio(f'{what}, throughput, planned/colliding', found['planned'], found['colliding'])
    ratio(f'{what}, throughput, planned/no pins', found['planned'], found['no pins'])
    ratio(f'{what}, throughput, colliding/no pins', found['colliding'], found['no pins'])
    assert gain > 1, f'planned placement had {gain:.2f} of the colliding one'


@suite.test
def a_crowd_against_colliding(world):
    """Too many VMs to be dedicated, so the planner has them share all pCPUs."""
    count = CROWD * VMS
    found = rounds_of(world, {'colliding': (lambda: world.colliding(count), None),
                              'planned, shared': (lambda: world.crowded(count), None)})
    what = f'{count} busy VMs of {VCPUS} vCPUs on {len(POOL)} pCPUs'
    describe(what, found)
    gain = ratio(f'{what}, throughput, planned/colliding', found['planned, shared'],
                 found['colliding'])
    assert gain > 1, f'planned placement had {gain:.2f} of the colliding one'


def one_among_many(world, load):
    """One dedicated VM, and as many busy ones of one vCPU as there are pCPUs; the same without pins."""
    def guests(first, rest):
        return [world.guest(first, load=load)] + [world.guest(rest, vcpus=1) for _ in POOL]

    def settle(guests):
        wait_pinned(guests[:1])
        mine = set().union(*places(guests[:1]))
        until(lambda: not any(mine & place for place in places(guests[1:])),
              'the neighbours to leave its pCPUs')
    return rounds_of(world, {
        'dedicated': (lambda: (guests(world.dedicated, world.rest),
                               (world.dedicated, world.rest)), settle),
        'no pins': (lambda: (guests(None, None), ()), None)})


@suite.test
def a_dedicated_vm_among_busy_neighbours(world):
    """What it is for: one VM's throughput, with and without pCPUs of its own."""
    found = one_among_many(world, 1.0)
    what = f'one VM of {VCPUS} vCPUs among {len(POOL)} busy neighbours'
    describe(what, found)
    for name, part in (('its own', slice(1)), ('its neighbours\'', slice(1, None)),
                       ('all together', slice(None))):
        ratio(f'{what}, throughput, {name}, dedicated/no pins', found['dedicated'],
              found['no pins'], part)


@suite.test
def where_pinning_loses(world):
    """A dedicated VM that idles: nobody else has its pCPUs, and the host does less in all."""
    found = one_among_many(world, 0.02)
    what = f'an idle dedicated VM of {VCPUS} vCPUs beside {len(POOL)} busy ones'
    describe(what, found)
    ratio(f'{what}, throughput of the busy ones, dedicated/no pins', found['dedicated'],
          found['no pins'], slice(1, None))


if __name__ == '__main__':
    suite.main()
