# SPDX-License-Identifier: LGPL-2.1-or-later
"""corrald as its systemd unit starts it: by a real systemd where one is PID 1 (see tests/lab/systemd.py),
else by hardened.py, which does what can be done without."""

import os
import re
import subprocess
import sys

from . import proc
from .corrald import Corrald
from .wait import until

UNIT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../../vmm-agent/data/corrald.service.in')
LAUNCHER = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'hardened.py')


def have_systemd():
    return os.path.isdir('/run/systemd/system') and proc.read('/proc/1/comm').strip() == 'systemd'


class HardenedCorrald(Corrald):
    """By hardened.py. Leak detection needs what a unit's process may not do."""

    def begin(self, env=None):
        folders = [arg for path in (self.definitions, self.state, self.folder)
                   for arg in ('--write', path)]
        self.pid = self.session.keeper.start(
            [sys.executable, LAUNCHER, UNIT, *folders, '--write', self.session.folder,
             '--read', self.session.build, '--', self.program, '--settings', self.settings],
            self.log, env={'NOTIFY_SOCKET': f'{self.folder}/notify',
                           'ASAN_OPTIONS': 'detect_leaks=0', **(env or {})})
        return self


class UnitCorrald(Corrald):
    """By systemd, from the unit file as it is but for the paths. systemd hides /tmp from it, so what
    the test keeps there is bound in again."""

    unit = 'corrald.service'

    def begin(self, env=None):
        text = proc.read(UNIT)
        text = re.sub(r'(?m)^ExecStart=.*$', f'ExecStart={self.program} --settings {self.settings}',
                      text)
        os.makedirs('/run/systemd/system', exist_ok=True)
        with open(f'/run/systemd/system/{self.unit}', 'w', encoding='utf-8') as file:
            file.write(text)
        os.makedirs(f'/run/systemd/system/{self.unit}.d', exist_ok=True)
        with open(f'/run/systemd/system/{self.unit}.d/test.conf', 'w', encoding='utf-8') as file:
            file.write(f'[Unit]\nDefaultDependencies=no\n[Service]\nBindPaths={self.session.folder}\n'
                       f'BindReadOnlyPaths={self.session.build}\nStandardOutput=append:{self.log}\n'
                       f'StandardError=append:{self.log}\nEnvironment=ASAN_OPTIONS=detect_leaks=0\n')
        self.systemctl('daemon-reload')
        self.systemctl('start', '--no-block', self.unit)
        return self

    def systemctl(self, *words, must=True):
        answer = subprocess.run(['systemctl', *words], capture_output=True, text=True, timeout=300,
                                check=False)
        assert not must or answer.returncode == 0, \
            f'systemctl {" ".join(words)}: {answer.stdout}{answer.stderr}\n{self.explain()}'
        return answer.stdout.strip()

    def state_of(self):
        return self.systemctl('show', '--value', '-p', 'ActiveState', self.unit)

    def start(self, env=None):
        self.begin(env)
        until(self.is_up, 'systemd to have corrald active', 60)
        self.pid = int(self.systemctl('show', '--value', '-p', 'MainPID', self.unit))
        return self

    def is_up(self):
        state = self.state_of()
        assert state != 'failed', self.systemctl('status', self.unit, must=False) + self.explain()
        return state == 'active'

    def reload(self):
        self.systemctl('reload', self.unit)

    def stop(self):
        self.systemctl('stop', self.unit)
        assert self.state_of() == 'inactive', self.state_of() + self.explain()
        self.pid = None

    def kill(self):
        """systemd starts it again by itself."""
        old = self.pid
        os.kill(old, 9)
        until(lambda: self.is_up() and self.systemctl('show', '--value', '-p', 'MainPID', self.unit)
              not in (str(old), '0'), 'systemd to start corrald again', 60)
        self.pid = int(self.systemctl('show', '--value', '-p', 'MainPID', self.unit))


def hardened(session, libvirtd, qmp=None):
    return (UnitCorrald if have_systemd() else HardenedCorrald)(session, libvirtd, qmp=qmp)
