# SPDX-License-Identifier: LGPL-2.1-or-later
"""On a host whose cgroup v2 tree systemd owns, tests run in a subtree that systemd has given them.

enter() starts the program again in a scope with Delegate=yes, and there in a cgroup namespace, which
makes the scope the top of all that it sees: as corrald(8) shows it for a real host. On any other host
it does nothing."""

import ctypes
import os
import shutil
import sys

ROOT = '/sys/fs/cgroup'
MARK = 'CORRAL_TEST_DELEGATED'
# systemd's unit that all of it is in then
SLICE = 'corral.slice'
CLONE_NEWNS, CLONE_NEWCGROUP = 0x00020000, 0x02000000
MS_REC, MS_PRIVATE, MNT_DETACH = 0x4000, 1 << 18, 2

libc = ctypes.CDLL(None, use_errno=True)


def is_systemds():
    """systemd's own process sits in init.scope, at the top."""
    return os.path.exists(ROOT + '/cgroup.controllers') and os.path.isdir(ROOT + '/init.scope')


def check(result, what):
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f'cannot {what}: {os.strerror(error)}')


def make_it_the_top():
    """Only a directory without processes passes its controllers on, so this one goes to a leaf."""
    check(libc.unshare(CLONE_NEWNS | CLONE_NEWCGROUP), 'have namespaces')
    check(libc.mount(b'none', b'/', None, MS_REC | MS_PRIVATE, None), 'make / private')
    check(libc.umount2(ROOT.encode(), MNT_DETACH), f'unmount {ROOT}')
    check(libc.mount(b'cgroup2', ROOT.encode(), b'cgroup2', 0, None), f'mount {ROOT}')
    os.mkdir(ROOT + '/tests')
    with open(ROOT + '/tests/cgroup.procs', 'w', encoding='ascii') as file:
        file.write('0')


def enter():
    if os.environ.get(MARK) == str(os.getpid()):
        make_it_the_top()
        return
    if not is_systemds() or os.geteuid() != 0 or shutil.which('systemd-run') is None:
        return
    # systemd-run becomes the command, so the number stays ours.
    os.environ[MARK] = str(os.getpid())
    sys.stdout.flush()
    os.execvp('systemd-run', ['systemd-run', '--quiet', '--scope', f'--slice={SLICE}',
                              '--property=Delegate=yes', '--', sys.executable, *sys.argv])
