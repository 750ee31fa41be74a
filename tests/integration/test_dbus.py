#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""libvirt-dbus, unchanged, as a client of corrald: containers on D-Bus.

libvirt-dbus opens the URIs of a fixed list only. So it opens qemu:///session, and a relay on the
socket that it takes for that puts our URI in its place in the opening call. All else passes."""

import os
import re
import shutil
import socket
import subprocess
import threading
from contextlib import contextmanager

from harness import Container, Corrald, Guest, PrivateLibvirtd, Session, Skip, Suite, proc, until

# As XDR strings: the length, then the text, filled up to a multiple of four.
THEIRS = b'\0\0\0\x0fqemu:///session\0'
OURS = b'\0\0\0\x10corral:///system'
INTERFACES = '/usr/share/dbus-1/interfaces'


class Relay:
    def __init__(self, path, target):
        self.target, self.renamed = target, 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.target)
            for ends in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pass, args=ends, daemon=True).start()

    def _pass(self, source, target, rename):
        try:
            while data := source.recv(65536):
                if rename and THEIRS in data:
                    self.renamed += 1
                    data = data.replace(THEIRS, OURS)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # ends the accept(), which would keep it open
        self.listener.close()


def find_program(session):
    """The installed one, or the package's, unpacked and not installed: it depends on the host's
    libvirtd. And what to mount for it."""
    found = shutil.which('libvirt-dbus', path=os.environ['PATH'] + ':/usr/sbin')
    if found:
        return found, ()
    folder = session.folder + '/package'
    os.mkdir(folder)
    for command in ('apt-get -q download libvirt-dbus', 'dpkg -x *.deb .'):
        done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, check=False)
        if done.returncode:
            raise Skip('libvirt-dbus is neither installed nor to be had from apt')
    session.need_folder(INTERFACES)
    return folder + '/usr/sbin/libvirt-dbus', ((folder + INTERFACES, INTERFACES),)


class World:
    def __init__(self, session):
        if not shutil.which('dbus-daemon') or not shutil.which('gdbus'):
            raise Skip('needs dbus-daemon and gdbus')
        program, binds = find_program(session)
        self.session = session
        self.libvirtd = PrivateLibvirtd(session).start()
        self.corrald = Corrald(session, self.libvirtd).start()
        session.logs += [self.corrald, self.libvirtd]
        self.box = Container(self.corrald, 'box').start()
        Container(self.corrald, 'spare').define()
        self.guest = Guest(self.libvirtd, 'guest', vcpus=2, partition=self.box.path, load=0.1)
        self.guest.define().start()
        self.box.wait_has(vms=1, vcpus=2)

        runtime = session.folder + '/runtime'
        os.mkdir(runtime)
        session.need_folder('/run/libvirt')
        self.relay = Relay(runtime + '/libvirt-sock', self.corrald.socket)
        session.closers.append(self.relay.close)
        self.bus = f'unix:path={session.folder}/bus'
        session.keeper.start(['dbus-daemon', '--session', '--nofork', '--nopidfile',
                              f'--address={self.bus}'], session.folder + '/bus.log')
        until(lambda: os.path.exists(session.folder + '/bus'), 'dbus-daemon to listen')
        env = {'DBUS_SESSION_BUS_ADDRESS': self.bus}
        session.keeper.start([program, '--session'], session.folder + '/dbus.log', env=env,
                             binds=[(runtime, '/run/libvirt'), *binds])
        until(lambda: self.gdbus('/org/libvirt/QEMU', 'org.freedesktop.DBus.Peer.Ping').returncode
              == 0, 'libvirt-dbus to be on the bus')

    def gdbus(self, path, method, *values):
        return subprocess.run(['gdbus', 'call', '-a', self.bus, '-d', 'org.libvirt', '-o', path,
                               '-m', method, '--', *map(str, values)],
                              capture_output=True, text=True, check=False, timeout=30)

    def call(self, path, method, *values):
        done = self.gdbus(path, 'org.libvirt.' + method, *values)
        assert done.returncode == 0, f'{method}: {done.stderr}'
        return done.stdout

    def property(self, path, interface, name):
        done = self.gdbus(path, 'org.freedesktop.DBus.Properties.Get', interface, name)
        assert done.returncode == 0, f'{name}: {done.stderr}'
        return done.stdout.strip()

    def path(self, name):
        found = self.call('/org/libvirt/QEMU', 'Connect.DomainLookupByName', name)
        return re.search("'(/[^']+)'", found)[1]

    def explain(self):
        return self.session.explain() + proc.read(self.session.folder + '/dbus.log')


@contextmanager
def setup(options):
    with Session.of(options) as session:
        yield World(session)


suite = Suite(setup)


@suite.test
def containers_are_listed(world):
    found = world.call('/org/libvirt/QEMU', 'Connect.ListDomains', 0)
    assert len(set(re.findall("'(/org/libvirt/QEMU/domain/[^']+)'", found))) == 2, found
    assert world.relay.renamed >= 1


@suite.test
def a_container_has_its_properties(world):
    path = world.path(world.box.name)
    for name, wanted in (('Name', f"'{world.box.name}'"), ('Active', 'true'),
                         ('Persistent', 'true'), ('OSType', None), ('Id', None), ('UUID', None)):
        value = world.property(path, 'org.libvirt.Domain', name)
        assert wanted is None or wanted in value, (name, value)
    assert world.box.path in world.call(path, 'Domain.GetXMLDesc', 0)


@suite.test
def usage_and_tuning(world):
    path = world.path(world.box.name)
    stats = world.call(path, 'Domain.GetStats', 0, 0)
    assert 'corral.vcpus' in stats and "'cpu.time'" in stats, stats
    world.call(path, 'Domain.SetSchedulerParameters', "{'global_period': <uint64 50000>}", 0)
    assert '50000' in world.call(path, 'Domain.GetSchedulerParameters', 0)
    assert world.box.virsh('schedinfo', world.box.name).fields()['global_period'] == '50000'


@suite.test
def the_life_of_a_container(world):
    path = world.path(world.session.name('spare'))
    world.call(path, 'Domain.Create', 0)
    assert world.box.virsh('domstate', world.session.name('spare')).out.strip() == 'running'
    world.call(path, 'Domain.Destroy', 0)
    done = world.gdbus(path, 'org.libvirt.Domain.Destroy', 0)
    assert done.returncode != 0 and 'not running' in done.stderr, done.stderr


if __name__ == '__main__':
    suite.main()
