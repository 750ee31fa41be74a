# SPDX-License-Identifier: LGPL-2.1-or-later
"""corrald, with settings and sockets of the test's own."""

import os
import signal
import socket

from . import proc
from .libvirtd import tail
from .virsh import Virsh
from .wait import until


class Corrald:
    """@libvirtd: the PrivateLibvirtd it watches, or None. @qmp: {name: socket} of plain QEMUs.
    @host: what its host.xml says; without, there is none. Readiness is told as systemd is told:
    over a notify socket."""

    def __init__(self, session, libvirtd=None, name='corrald', qmp=None, definitions=None,
                 state=None, host=None):
        self.session = session
        self.folder = f'{session.folder}/{name}'
        self.program = f'{session.build}/vmm-agent/corrald'
        self.settings = f'{self.folder}/corral.conf'
        self.definitions = definitions or f'{self.folder}/containers'
        self.state = state or f'{self.folder}/run'
        self.host_file = f'{self.folder}/host.xml'
        self.log = f'{self.folder}/corrald.log'
        self.pid = None
        self.status = ''
        os.makedirs(self.folder)
        os.makedirs(self.definitions, exist_ok=True)
        os.makedirs(self.state, exist_ok=True)
        if host:
            self.write_host(host)
        self.write_settings(libvirtd, qmp or {})
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(f'{self.folder}/notify')
        self.notify.setblocking(False)
        self.socket = f'{self.folder}/libvirt-sock'
        self.socket_ro = f'{self.folder}/libvirt-sock-ro'
        self.uri = f'corral+unix:///system?socket={self.socket}'
        self.uri_ro = f'corral+unix:///system?socket={self.socket_ro}'
        self.virsh = Virsh(self.uri)
        self.virsh_ro = Virsh(self.uri_ro)
        session.closers.append(self.notify.close)

    def write_settings(self, libvirtd, qmp, drift_interval=1):
        lines = ['[corrald]', f'definition_dir={self.definitions}', f'state_dir={self.state}',
                 f'socket_dir={self.folder}']
        if os.path.exists(self.host_file):
            lines += [f'host_file={self.host_file}', f'drift_interval={drift_interval}']
        lines += ['[libvirt]', f'uri={libvirtd.uri if libvirtd else ""}']
        if libvirtd:
            lines.append(f'state_dir={libvirtd.state_folder}')
        lines += ['[qmp]'] + [f'{name}={path}' for name, path in qmp.items()]
        with open(self.settings, 'w', encoding='utf-8') as file:
            file.write('\n'.join(lines) + '\n')

    def write_host(self, inner):
        with open(self.host_file, 'w', encoding='utf-8') as file:
            file.write(f"<host xmlns='urn:corral:1'>{inner}</host>\n")

    def hook(self):
        """libvirt's hook, which reads these settings and not the host's."""
        path = f'{self.folder}/hook'
        with open(path, 'w', encoding='utf-8') as file:
            file.write(f'#!/bin/sh\nexec {self.session.build}/libvirt-driver/hooks/corral-hook '
                       f'--settings {self.settings} "$@"\n')
        os.chmod(path, 0o755)
        return path

    def begin(self, env=None):
        """Starts it without waiting until it is ready."""
        self.pid = self.session.keeper.start(
            [self.program, '--settings', self.settings], self.log,
            env={'NOTIFY_SOCKET': f'{self.folder}/notify', **(env or {})},
            hide=[self.session.cgroups.mounts['']] if self.session.hide_cgroup2 else [])
        return self

    def start(self, env=None):
        self.begin(env)
        until(lambda: self.has_said('READY=1'), 'corrald to be ready', 60)
        return self

    def has_said(self, line):
        """Whether that line has come over the notify socket since the last call."""
        status = self.session.keeper.status(self.pid)
        assert status is None, f'corrald ended with status {status}:\n{self.explain()}'
        return line in self.said()

    def said(self):
        lines = []
        while True:
            try:
                lines += self.notify.recv(65536).decode().splitlines()
            except BlockingIOError:
                return lines

    def stop(self):
        self.session.keeper.kill(self.pid, signal.SIGTERM)
        status = self.session.keeper.wait(self.pid)
        self.pid = None
        self.said()
        assert status == 0, f'corrald ended with status {status}:\n{self.explain()}'

    def kill(self):
        self.session.keeper.kill(self.pid)
        self.session.keeper.wait(self.pid)
        self.pid = None
        self.said()

    def restart(self):
        self.stop()
        return self.start()

    def rss_kib(self):
        for line in proc.read(f'/proc/{self.pid}/status').splitlines():
            if line.startswith('VmRSS:'):
                return int(line.split()[1])
        raise AssertionError('no VmRSS')

    def explain(self):
        return f'{self.log}:\n{tail(self.log)}'
