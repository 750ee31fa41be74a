# SPDX-License-Identifier: LGPL-2.1-or-later
"""The truth about processes and threads, read from /proc and nowhere else.

Which thread is a vCPU is told from its name here (QEMU's debug-threads=on): that is what Corral
itself must never do, and so it makes an independent witness."""

import os
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Thread:
    pid: int
    tid: int
    name: str

    @property
    def role(self):
        return self._parse()[0]

    @property
    def index(self):
        return self._parse()[1]

    def _parse(self):
        found = re.fullmatch(r'CPU (\d+)/(?:TCG|KVM)', self.name)
        if found:
            return 'vcpu', int(found[1])
        found = re.fullmatch(r'IO iothread(\d+)', self.name)
        if found:
            return 'iothread', int(found[1])
        return 'emulator', 0

    def _read(self, name):
        return read(f'/proc/{self.pid}/task/{self.tid}/{name}')

    def affinity(self):
        return frozenset(os.sched_getaffinity(self.tid))

    def run_ns(self):
        """Time on a CPU, to the nanosecond."""
        return int(self._read('schedstat').split()[0])

    def wait_ns(self):
        return int(self._read('schedstat').split()[1])

    def last_cpu(self):
        return int(self._read('stat').rpartition(')')[2].split()[36])

    def cgroups(self):
        return parse_cgroups(self._read('cgroup'))


def read(path):
    with open(path, encoding='utf-8', errors='replace') as file:
        return file.read()


def parse_cgroups(text):
    """{controller: path} of a /proc/.../cgroup file; the v2 tree's controller is ''."""
    result = {}
    for line in text.splitlines():
        _, controllers, path = line.split(':', 2)
        for controller in controllers.split(','):
            result[controller] = path
    return result


def threads(pid):
    """All threads of a process; one that ends meanwhile is left out."""
    found = []
    try:
        tids = os.listdir(f'/proc/{pid}/task')
    except FileNotFoundError:
        return found
    for tid in sorted(map(int, tids)):
        try:
            name = read(f'/proc/{pid}/task/{tid}/comm').rstrip('\n')
        except (FileNotFoundError, ProcessLookupError):
            continue
        found.append(Thread(pid, tid, name))
    return found


def vcpus(pid):
    return sorted((t for t in threads(pid) if t.role == 'vcpu'), key=lambda t: t.index)


def run_ns(pid):
    """Sum over the threads that exist now."""
    total = 0
    for thread in threads(pid):
        try:
            total += thread.run_ns()
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


def exists(pid):
    """Whether the process still runs; a zombie does not."""
    try:
        return read(f'/proc/{pid}/stat').rpartition(')')[2].split()[0] not in 'ZX'
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid):
    if not os.path.exists('/proc/thread-self/children'):
        return by_parent(pid)
    found = []
    for tid in os.listdir(f'/proc/{pid}/task'):
        found += map(int, read(f'/proc/{pid}/task/{tid}/children').split())
    return found


def by_parent(pid):
    """The same, on a kernel without CONFIG_PROC_CHILDREN; none once the process is gone."""
    found = []
    for number in filter(str.isdigit, os.listdir('/proc')):
        try:
            if int(read(f'/proc/{number}/stat').rpartition(')')[2].split()[1]) == pid:
                found.append(int(number))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def descendants(pid):
    found = []
    try:
        for child in children(pid):
            found += [child] + descendants(child)
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def cpulist(cpus):
    """{0, 1, 2, 5} as "0-2,5"."""
    parts = []
    for cpu in sorted(cpus):
        if parts and parts[-1][1] == cpu - 1:
            parts[-1][1] = cpu
        else:
            parts.append([cpu, cpu])
    return ','.join(str(a) if a == b else f'{a}-{b}' for a, b in parts)


def parse_cpulist(text):
    result = set()
    for part in filter(None, text.strip().split(',')):
        first, _, last = part.partition('-')
        result.update(range(int(first), int(last or first) + 1))
    return frozenset(result)
