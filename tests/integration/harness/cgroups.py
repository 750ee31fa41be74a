# SPDX-License-Identifier: LGPL-2.1-or-later
"""The host's cgroup hierarchies, as a test looks at them and clears them."""

import errno
import os
import re

from . import proc


class Cgroups:
    """All that is mounted: {controller: mount point}; the v2 tree is ''."""

    def __init__(self):
        self.mounts = {}
        for line in proc.read('/proc/self/mountinfo').splitlines():
            fields, _, rest = line.partition(' - ')
            kind, _, options = rest.split(' ', 2)
            root, point = fields.split()[3:5]
            if root != '/':
                continue
            if kind == 'cgroup2':
                self.mounts.setdefault('', point)
            elif kind == 'cgroup':
                for option in options.split(','):
                    if re.fullmatch(r'cpu|cpuacct|cpuset|devices|freezer|blkio|memory|pids|hugetlb|'
                                    r'net_cls|net_prio|perf_event', option):
                        self.mounts.setdefault(option, point)
        self.points = sorted(set(self.mounts.values()))
        self.had_machine = {p for p in self.points if os.path.isdir(p + '/machine')}

    @property
    def unified(self):
        """Whether cpu and cpuset are in the v2 tree."""
        return 'cpuset' not in self.mounts and '' in self.mounts

    def point(self, controller):
        return self.mounts.get(controller, self.mounts.get(''))

    @staticmethod
    def directory(container):
        """A container's directory, by libvirt's rule: /machine/a is machine/a.partition."""
        parts = container.strip('/').split('/')
        return '/'.join(p if i == 0 and p in ('machine', 'system', 'user') or '.' in p
                        else p + '.partition' for i, p in enumerate(parts))

    def path(self, container, controller='cpuset'):
        return f'{self.point(controller)}/{self.directory(container)}'

    def where(self, container, only=None):
        """In which hierarchies the container is there."""
        return {c for c in self.mounts if (only is None or c in only)
                and os.path.isdir(f'{self.mounts[c]}/{self.directory(container)}')}

    def cpus(self, container):
        """On a kernel without cpusets: every CPU there is."""
        if self.unified and 'cpuset' not in proc.read(f'{self.point("")}/cgroup.controllers').split():
            return proc.parse_cpulist(proc.read('/sys/devices/system/cpu/online'))
        name = 'cpuset.cpus.effective' if self.unified else 'cpuset.effective_cpus'
        return proc.parse_cpulist(proc.read(f'{self.path(container)}/{name}'))

    def usage_ns(self, container):
        """What the kernel has for the container and all beneath it."""
        if self.unified:
            for line in proc.read(f'{self.path(container, "")}/cpu.stat').splitlines():
                if line.startswith('usage_usec '):
                    return int(line.split()[1]) * 1000
        return int(proc.read(f'{self.path(container, "cpuacct")}/cpuacct.usage'))

    def make(self, container):
        """Makes a container by hand, in every hierarchy, so that a domain can start in it."""
        done = ''
        for part in self.directory(container).split('/'):
            for point in self.points:
                if point == self.mounts.get('') and self.unified:
                    self._enable(f'{point}/{done}')
                os.makedirs(f'{point}/{done}{part}', exist_ok=True)
                if point == self.mounts.get('cpuset') and not self.unified:
                    self._fill(f'{point}/{done}', part)
            done += part + '/'

    @staticmethod
    def _enable(folder):
        with open(folder + '/cgroup.subtree_control', 'w', encoding='ascii') as file:
            file.write('+cpu +cpuset')

    @staticmethod
    def _fill(parent, part):
        for name in ('cpuset.cpus', 'cpuset.mems'):
            if not proc.read(f'{parent}{part}/{name}').strip():
                with open(f'{parent}{part}/{name}', 'w', encoding='ascii') as file:
                    file.write(proc.read(f'{parent}{name}'))

    def tagged(self, tag):
        """Directories that bear a session's tag, at the top or in /machine; not what is in them."""
        found = []
        for point in self.points:
            for folder in (point, point + '/machine'):
                if os.path.isdir(folder):
                    found += [f'{folder}/{n}' for n in sorted(os.listdir(folder))
                              if re.search(rf'\b{tag}\b', n) and os.path.isdir(f'{folder}/{n}')]
        return found

    def remove(self, tag):
        for folder in self.tagged(tag):
            for path, _, _ in os.walk(folder, topdown=False):
                os.rmdir(path)
        for point in set(self.points) - self.had_machine:
            try:
                os.rmdir(point + '/machine')
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.EBUSY, errno.ENOTEMPTY):
                    raise
