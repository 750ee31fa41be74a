#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Starts a program as its systemd unit would, as far as that goes without systemd.

    hardened.py UNIT [--write PATH ...] [--read PATH ...] -- PROGRAM [ARG ...]

Capabilities, file system, devices, namespaces, limits: as the unit file has them, read from it. What
systemd does with filters of system calls is for the test under a real systemd (see unit.py). A directive
that is not known here is an error, so that nobody adds one without a thought to this.
"""

import argparse
import ctypes
import os
import resource
import subprocess
import sys

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWNET = 0x00020000, 0x04000000, 0x40000000
MS_NOSUID, MS_BIND, MS_REC, MS_PRIVATE = 2, 4096, 16384, 1 << 18
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY = 442, -100, 0x8000, 1

DEVICES = ('null', 'zero', 'full', 'random', 'urandom', 'tty')
# By filters of system calls, of no effect on one process, or for systemd alone.
NOT_HERE = {
    'SystemCallFilter', 'SystemCallArchitectures', 'RestrictAddressFamilies', 'RestrictNamespaces',
    'RestrictRealtime', 'LockPersonality', 'MemoryDenyWriteExecute',
    'ProtectKernelLogs', 'ProtectClock', 'ProtectKernelModules', 'Type', 'ExecStart', 'ExecReload',
    'Restart', 'WatchdogSec', 'KillMode', 'RuntimeDirectory', 'RuntimeDirectoryPreserve',
    'ConfigurationDirectory',
}

libc = ctypes.CDLL(None, use_errno=True)


class MountAttr(ctypes.Structure):
    """linux/mount.h, struct mount_attr"""
    _fields_ = [(name, ctypes.c_uint64) for name in ('set', 'clear', 'propagation', 'userns')]


def check(result, what):
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f'cannot {what}: {os.strerror(error)}')


def directives(path):
    """{name: value} of [Service]; several of one name are joined by a space."""
    found, section = {}, ''
    with open(path, encoding='utf-8') as file:
        for line in (line.strip() for line in file):
            if line.startswith('['):
                section = line
            elif section == '[Service]' and line and line[0] not in '#;':
                name, _, value = line.partition('=')
                found[name] = f'{found.get(name, "")} {value}'.strip()
    return found


def mount(source, target, kind=None, flags=0, data=None):
    encoded = [text.encode() if text else None for text in (source, target, kind)]
    check(libc.mount(*encoded, flags, data.encode() if data else None), f'mount {target}')


def set_readonly(path, on):
    """The mount at @path and all beneath it."""
    attr = MountAttr(set=MOUNT_ATTR_RDONLY if on else 0, clear=0 if on else MOUNT_ATTR_RDONLY)
    check(libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, path.encode(), AT_RECURSIVE,
                       ctypes.byref(attr), ctypes.sizeof(attr)), f'remount {path}')


def make_devices(folder):
    """/dev with what PrivateDevices= leaves there."""
    mount('tmpfs', folder, 'tmpfs', MS_NOSUID, 'mode=755')
    for name in DEVICES:
        open(f'{folder}/{name}', 'w', encoding='ascii').close()
        mount(f'/dev/{name}', f'{folder}/{name}', None, MS_BIND)
    mount(folder, '/dev', None, MS_BIND | MS_REC)


def enter(unit, write, read):
    network = CLONE_NEWNET if unit.pop('PrivateNetwork', '') == 'yes' else 0
    hostname = CLONE_NEWUTS if unit.pop('ProtectHostname', '') == 'yes' else 0
    check(libc.unshare(CLONE_NEWNS | network | hostname), 'have namespaces')
    mount(None, '/', None, MS_REC | MS_PRIVATE)
    # What stays to be seen of /tmp is kept at hand beneath /mnt while the rest is hidden.
    mount('tmpfs', '/mnt', 'tmpfs', 0, 'mode=700')
    kept = []
    for path in write + read:
        at = f'/mnt/{len(kept)}'
        os.mkdir(at)
        mount(path, at, None, MS_BIND | MS_REC)
        kept.append((at, path))
    if unit.pop('PrivateDevices', '') == 'yes':
        os.mkdir('/mnt/dev')
        make_devices('/mnt/dev')
    if unit.pop('PrivateTmp', '') == 'yes':
        for path in ('/tmp', '/var/tmp'):
            mount('tmpfs', path, 'tmpfs', 0, 'mode=1777')
    homes = [p for p in ('/home', '/root', '/run/user') if os.path.isdir(p)] \
        if unit.pop('ProtectHome', '') == 'yes' else []
    for path in homes:
        mount('tmpfs', path, 'tmpfs', 0, 'mode=0')
    # The clone that is tested may lie in a home.
    for at, path in kept:
        os.makedirs(path, exist_ok=True)
        mount(at, path, None, MS_BIND | MS_REC)
    for path in homes:
        set_readonly(path, True)
    check(libc.umount2(b'/mnt', 2), 'unmount /mnt')
    protect = unit.pop('ProtectSystem', '')
    assert protect in ('', 'strict'), f'ProtectSystem={protect} is not known here'
    if protect:
        set_readonly('/', True)
        for path in ('/dev', '/proc', '/sys'):
            set_readonly(path, False)
    for path in unit.pop('ReadWritePaths', '').split() + write:
        if os.path.exists(path):
            if not os.path.ismount(path):
                mount(path, path, None, MS_BIND | MS_REC)
            set_readonly(path, False)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('unit')
    parser.add_argument('--write', action='append', default=[])
    parser.add_argument('--read', action='append', default=[])
    parser.add_argument('command', nargs='+')
    options = parser.parse_args()
    unit = directives(options.unit)
    here = os.getcwd()
    enter(unit, options.write, options.read)
    os.chdir(here if os.path.isdir(here) else '/')
    if 'LimitNOFILE' in unit:
        # No more than we may have: a container can be short of that right.
        files = min(int(unit.pop('LimitNOFILE')), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    os.setpriority(os.PRIO_PROCESS, 0, int(unit.pop('Nice', '0')))
    capabilities = unit.pop('CapabilityBoundingSet').lower().replace('cap_', '+').split()
    command = ['setpriv', '--inh-caps=-all', '--bounding-set=-all,' + ','.join(capabilities)]
    if unit.pop('NoNewPrivileges', '') == 'yes':
        command.append('--no-new-privs')
    unknown = set(unit) - NOT_HERE
    assert not unknown, f'not known here: {", ".join(sorted(unknown))}'
    os.execvp(command[0], command + options.command)


if __name__ == '__main__':
    try:
        main()
    except (AssertionError, OSError, subprocess.SubprocessError) as problem:
        sys.exit(f'hardened.py: {problem}')
