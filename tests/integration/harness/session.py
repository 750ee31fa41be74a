# SPDX-License-Identifier: LGPL-2.1-or-later
"""One run of a suite: a private folder, a tag on every name, and the end of all it started."""

import os
import re
import shutil
import signal
import tempfile
from glob import glob

from . import proc
from .cgroups import Cgroups
from .guest import choose_accel
from .keeper import Keeper
from .tap import Skip


class Session:
    """@tag is part of each guest's and container's name, so that two sessions do not meet and what
    is left behind can be found. @hide_cgroup2: libvirtd and corrald shall see v1 alone."""

    def __init__(self, build, tag=None, keep=False, hide_cgroup2=False):
        if os.geteuid() != 0:
            raise Skip('needs root')
        self.qemu = shutil.which('qemu-system-x86_64')
        if self.qemu is None or shutil.which('libvirtd') is None:
            raise Skip('needs qemu-system-x86_64 and libvirtd')
        self.build = os.path.abspath(build)
        self.rom = f'{self.build}/tests/guest/corral-guest.rom'
        if not os.path.exists(self.rom):
            raise Skip(f'{self.rom} is not built')
        self.cgroups = Cgroups()
        if self.cgroups.point('cpuset') is None:
            raise Skip('no cgroup hierarchy with cpuset is mounted')
        self.hide_cgroup2 = hide_cgroup2
        if hide_cgroup2 and (self.cgroups.unified or '' not in self.cgroups.mounts):
            raise Skip('not a hybrid host: there is no empty v2 tree to hide')
        self.tag = tag or f'ct{os.getpid()}'
        left = self.cgroups.tagged(self.tag)
        if left:
            raise AssertionError(f'"{self.tag}" is in use, or an earlier run left {left[0]}')
        self.keep = keep
        self.guests, self.closers, self.made_folders, self.logs = [], [], [], []
        # Short, since a unix socket's path has 107 bytes.
        self.folder = tempfile.mkdtemp(prefix=self.tag + '-', dir='/tmp')
        self.keeper = Keeper(self.folder + '/keeper', self.tag)
        self._accel = None

    @classmethod
    def of(cls, options):
        """As a suite's command line asks."""
        return cls(options.build, keep=options.keep, hide_cgroup2=options.pure_v1)

    @property
    def accel(self):
        if self._accel is None:
            self._accel = choose_accel(self)
        return self._accel

    def name(self, short):
        """The full name of a guest or container."""
        return f'{self.tag}-{short}'

    def path(self, *parts):
        """A container's path below the session's own /machine/TAG."""
        return '/'.join(('/machine', self.tag) + parts)

    def need_folder(self, path):
        """A mount point that the host may lack; taken away again at the end."""
        if not os.path.isdir(path):
            os.mkdir(path)
            self.made_folders.append(path)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        failures = []
        for step in (self.keeper.close, self._close, self._end_folders):
            try:
                step()
            except Exception as problem:  # pylint: disable=broad-except
                failures.append(f'{step.__name__.lstrip("_").replace("_", " ")}: {problem}')
        failures += self.left_behind()
        if failures and kind is None:
            raise AssertionError('left behind: ' + '; '.join(failures))
        for failure in failures:
            print(f'# left behind: {failure}', flush=True)

    def _close(self):
        for guest in self.guests:
            guest._forget()  # pylint: disable=protected-access
        for close in self.closers:
            close()

    def _end_folders(self):
        for path in reversed(self.made_folders):
            os.rmdir(path)
        if self.keep:
            print(f'# kept: {self.folder}', flush=True)
        else:
            shutil.rmtree(self.folder)

    def left_behind(self):
        """What bears our tag and is still there. Looks at the whole host, not at our own lists."""
        left = list(self.cgroups.tagged(self.tag))
        for folder in glob('/proc/[0-9]*'):
            try:
                command = proc.read(folder + '/cmdline').replace('\0', ' ')
            except (FileNotFoundError, ProcessLookupError):
                continue
            # All that we start has the tag in its arguments.
            if re.search(rf'\b{self.tag}\b', command):
                left.append(f'process {folder.split("/")[2]} ({command[:200]})')
        if os.path.exists(self.folder) and not self.keep:
            left.append(self.folder)
        with open('/proc/net/unix', encoding='utf-8', errors='replace') as file:
            left += [f'socket {line.split()[-1]}' for line in file if self.folder in line]
        return left

    def kill_guests(self, but=()):
        """Those that a failed test has left running, so that the next one counts right."""
        for guest in self.guests:
            if guest.is_running() and guest not in but:
                os.kill(guest.pid, signal.SIGCONT)
                guest.kill()

    def explain(self):
        """The ends of the logs, for a test that failed."""
        return '\n'.join(thing.explain() for thing in self.logs)
