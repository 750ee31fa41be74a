#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the hook adds to a VM's start, and whether any thread of a VM is ever seen outside its container:
50 starts and 20 hotplugs, watched from outside."""

import contextlib
import os
import statistics
import subprocess
import threading

from figures import figure, summary, times_ms
from harness import Container, Corrald, Guest, PrivateLibvirtd, Session, Suite, proc, until

STARTS, PLUGS = 50, 20


@contextlib.contextmanager
def setup(options):
    with Session(options.build, keep=options.keep) as session:
        libvirtd = PrivateLibvirtd(session)
        corrald = Corrald(session, libvirtd)
        session.logs += [corrald, libvirtd]
        libvirtd.add_hook('corral', corrald.hook())
        libvirtd.start()
        corrald.start()
        session.libvirtd, session.corrald = libvirtd, corrald
        cpus = sorted(os.sched_getaffinity(0))
        session.box = Container(corrald, 'box', cpus={cpus[0]}).define()
        yield session


suite = Suite(setup)


@suite.test
def the_hook_takes_at_most_10_ms(session):
    """The program as libvirt runs it, on a domain of a container that exists, and on one that does
    not yet; /bin/true beside it shows what starting any program costs here."""
    guest = Guest(session.libvirtd, 'timed', partition=session.box.path)
    document = guest.xml().encode()
    hook = session.corrald.hook()

    def run(program):
        subprocess.run([program, guest.name, 'prepare', 'begin', '-'], input=document, check=True)

    cold = []
    for _ in range(20):
        cold += times_ms(lambda: run(hook), 1)
        until(session.box.is_active, 'corrald to see what the hook made')
        session.box.virsh('destroy', session.box.name)
    session.box.start()
    pairs = [(times_ms(lambda: run(hook), 1)[0], times_ms(lambda: run('/bin/true'), 1)[0])
             for _ in range(100)]
    figure('hook, container to be made', summary(cold))
    figure('hook, container there', summary([ours for ours, _ in pairs]))
    figure('/bin/true, started the same way', summary([true for _, true in pairs]))
    added = statistics.median(cold)
    assert added <= 10, f'{added:.1f} ms'
    assert statistics.median(ours for ours, _ in pairs) <= 10


class Outside(threading.Thread):
    """Looks at the threads of a guest's QEMU as often as it can, from before it starts."""

    def __init__(self, box):
        super().__init__(daemon=True)
        self.box, self.name_sought = box, None
        self.seen, self.strangers, self.looks = set(), [], 0
        self.stopped = threading.Event()

    def find(self):
        for entry in os.listdir('/proc'):
            if entry.isdigit():
                try:
                    if f'guest={self.name_sought}'.encode() in \
                            open(f'/proc/{entry}/cmdline', 'rb').read():
                        return int(entry)
                except (FileNotFoundError, ProcessLookupError, PermissionError):
                    pass
        return None

    def look(self, pid):
        for thread in proc.threads(pid):
            try:
                inside = self.box.holds(thread)
            except (FileNotFoundError, ProcessLookupError):
                continue
            self.looks += 1
            self.seen.add(thread.tid)
            if not inside:
                self.strangers.append((self.name_sought, thread.tid, thread.cgroups()))

    def run(self):
        pid = None
        while not self.stopped.is_set():
            try:
                if pid is None:
                    pid = self.name_sought and self.find()
                if pid:
                    self.look(pid)
            except (FileNotFoundError, ProcessLookupError):
                pid = None


def watched(session, guest, act):
    watch = Outside(session.box)
    watch.name_sought = guest.name
    watch.start()
    try:
        act()
    finally:
        watch.stopped.set()
        watch.join()
    return watch


@suite.test
def no_thread_is_ever_seen_outside_in_50_starts(session):
    looks, strangers = 0, []
    for number in range(STARTS):
        guest = Guest(session.libvirtd, f's{number}', partition=session.box.path).define()
        watch = watched(session, guest, guest.start)
        looks += watch.looks
        strangers += watch.strangers
        guest.destroy()
    figure('threads outside in 50 starts', f'{len(strangers)} of {looks} looks')
    assert looks > STARTS
    assert not strangers, strangers[:5]


@suite.test
def no_thread_is_ever_seen_outside_in_20_hotplugs(session):
    looks, strangers = 0, []
    guest = Guest(session.libvirtd, 'plug', vcpus=1, max_vcpus=PLUGS + 1,
                  partition=session.box.path).define()
    guest.start()
    for number in range(PLUGS):
        watch = watched(session, guest, lambda n=number: guest.plug(n + 2))
        looks += watch.looks
        strangers += watch.strangers
    figure('threads outside in 20 hotplugs', f'{len(strangers)} of {looks} looks')
    assert looks > PLUGS
    assert not strangers, strangers[:5]


if __name__ == '__main__':
    suite.main()
