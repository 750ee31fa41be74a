# SPDX-License-Identifier: LGPL-2.1-or-later
"""A libvirtd of the test's own, which neither sees nor disturbs the host's."""

import os
import signal
import socket

from . import proc
from .virsh import Virsh
from .wait import until

# Where libvirt keeps its files; in the private one's namespace each is a folder of the session.
FOLDERS = {'etc': '/etc/libvirt', 'lib': '/var/lib/libvirt', 'run': '/run/libvirt',
           'cache': '/var/cache/libvirt', 'log': '/var/log/libvirt'}
# Without these libvirtd finds no systemd, and makes its cgroups itself.
EMPTIED = ('/run/dbus', '/run/systemd')

USER = 'libvirt-qemu'

LIBVIRTD_CONF = '''
listen_tls = 0
listen_tcp = 0
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
unix_sock_ro_perms = "0700"
max_clients = 500
log_outputs = "3:stderr"
'''
QEMU_CONF = '''
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
stdio_handler = "file"
namespaces = []
cgroup_controllers = [ "cpu", "cpuacct", "cpuset", "devices", "blkio" ]
'''


class PrivateLibvirtd:
    """As root, without systemd, D-Bus or polkit. @hide_cgroup2 takes the empty v2 tree of a hybrid
    host away from it."""

    def __init__(self, session, name='libvirtd', hide_cgroup2=False, env=None):
        self.session = session
        self.folder = session.folder + '/' + name
        self.hide_cgroup2 = hide_cgroup2 or session.hide_cgroup2
        self.env = env or {}
        self.pid = None
        self.log_start = 0  # past what it always complains of when it starts
        os.mkdir(self.folder)
        for part in list(FOLDERS) + ['empty']:
            os.mkdir(f'{self.folder}/{part}')
        for path, text in (('etc/libvirtd.conf', LIBVIRTD_CONF), ('etc/qemu.conf', QEMU_CONF)):
            with open(f'{self.folder}/{path}', 'w', encoding='ascii') as file:
                file.write(text)
        self.hooks_folder = f'{self.folder}/etc/hooks/qemu.d'
        os.makedirs(self.hooks_folder)
        self.socket = f'{self.folder}/run/libvirt-sock'
        self.uri = f'qemu+unix:///system?socket={self.socket}'
        self.state_folder = f'{self.folder}/run/qemu'
        self.log = f'{self.folder}/libvirtd.log'
        self.virsh = Virsh(self.uri)

    def add_hook(self, name, program):
        """libvirtd looks for hooks only when it starts."""
        os.symlink(program, f'{self.hooks_folder}/{name}')

    def _binds(self):
        binds = [(f'{self.folder}/{part}', path) for part, path in FOLDERS.items()]
        # Debian's libvirtd does not start without this user, even if its settings name another one;
        # the package that makes it would also start a libvirtd of the host's.
        for name, line in (('passwd', f'{USER}:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin'),
                           ('group', f'{USER}:x:64055:')):
            text = proc.read(f'/etc/{name}')
            if not any(entry.startswith(USER + ':') for entry in text.splitlines()):
                with open(f'{self.folder}/{name}', 'w', encoding='utf-8') as file:
                    file.write(text.rstrip('\n') + f'\n{line}\n')
                binds.append((f'{self.folder}/{name}', f'/etc/{name}'))
        binds += [(self.folder + '/empty', path) for path in EMPTIED if os.path.isdir(path)]
        return binds

    def start(self):
        for path in FOLDERS.values():
            self.session.need_folder(path)
        hide = [self.session.cgroups.mounts['']] if self.hide_cgroup2 else []
        self.pid = self.session.keeper.start(
            ['libvirtd', '-f', '/etc/libvirt/libvirtd.conf',
             '-p', f'/run/libvirt/{self.session.name("libvirtd")}.pid'],
            self.log, env=self.env, binds=self._binds(), hide=hide)
        until(self._answers, 'libvirtd to answer', 60)
        self.log_start = os.path.getsize(self.log)
        return self

    def _answers(self):
        status = self.session.keeper.status(self.pid)
        assert status is None, f'libvirtd ended with status {status}:\n{self.explain()}'
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(self.socket)
            except OSError:
                return False
        return self.virsh.try_('version', timeout=300).status == 0

    def stop(self):
        """As an administrator would; its guests go on."""
        self.session.keeper.kill(self.pid, signal.SIGTERM)
        self.session.keeper.wait(self.pid, 60)
        self.pid = None

    def kill(self):
        self.session.keeper.kill(self.pid)
        self.session.keeper.wait(self.pid)
        self.pid = None

    def restart(self):
        self.stop()
        return self.start()

    def explain(self):
        return f'{self.log}:\n{tail(self.log, self.log_start)}'


def tail(path, start=0, lines=12):
    try:
        return ''.join(line + '\n' for line in proc.read(path)[start:].splitlines()[-lines:])
    except FileNotFoundError:
        return ''
