# SPDX-License-Identifier: LGPL-2.1-or-later
"""The process beneath which all others of a session run, and the client side of it.

It is a child subreaper: a QEMU that libvirtd started as a daemon becomes its child, is reaped at
once and is found again as its descendant. When the session goes away, even by SIGKILL, the pipe to
it closes; it kills whatever is left and removes its cgroups. It also makes the mount namespace that
a private libvirtd lives in."""

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess

from . import proc
from .cgroups import Cgroups
from .wait import PATIENCE, until

PR_SET_CHILD_SUBREAPER = 36
CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2

libc = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f'{what}: {os.strerror(number)}')


def enter_namespace(binds, hide):
    """A mount namespace of our own, with @binds ([source, target], ...) and without @hide."""
    check(libc.unshare(CLONE_NEWNS), 'unshare')
    check(libc.mount(b'none', b'/', None, MS_REC | MS_PRIVATE, None), 'make / private')
    for path in hide:
        check(libc.umount2(path.encode(), MNT_DETACH), f'unmount {path}')
    for source, target in binds:
        check(libc.mount(source.encode(), target.encode(), None, MS_BIND | MS_REC, None),
              f'mount {source} on {target}')


def start(request):
    # Before the fork, so that whoever is told the number can read it.
    log = os.open(request['log'], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    pid = os.fork()
    if pid:
        os.close(log)
        return pid
    try:
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.setsid()
        null = os.open('/dev/null', os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.closerange(3, 256)
        if request['binds'] or request['hide']:
            enter_namespace(request['binds'], request['hide'])
        os.execvpe(request['argv'][0], request['argv'], {**os.environ, **request['env']})
    except BaseException as error:  # pylint: disable=broad-except
        os.write(2, f'cannot start {request["argv"][0]}: {error}\n'.encode())
    os._exit(127)


def reap(folder):
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
        with open(f'{folder}/exit.{pid}.new', 'w', encoding='ascii') as file:
            file.write(str(os.waitstatus_to_exitcode(status)))
        os.rename(f'{folder}/exit.{pid}.new', f'{folder}/exit.{pid}')


def kill_all():
    """Children of those killed become ours, and so get their turn."""
    while True:
        for pid in proc.children(os.getpid()):
            os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def main(folder, tag):
    cgroups = Cgroups()
    check(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 'become a subreaper')
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    pending, closed = b'', False
    while True:
        ready, _, _ = select.select([0, reader], [], [])
        if reader in ready:
            os.read(reader, 4096)
            reap(folder)
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                break
            pending += data
            while b'\n' in pending:
                line, _, pending = pending.partition(b'\n')
                closed = line == b'close'
                if not closed:
                    os.write(1, f'{start(json.loads(line))}\n'.encode())
    kill_all()
    cgroups.remove(tag)
    if not closed:
        shutil.rmtree(os.path.dirname(folder))


class Keeper:
    def __init__(self, folder, tag):
        self.folder = folder
        os.mkdir(folder)
        here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        program = 'import sys; from harness.keeper import main; main(*sys.argv[1:])'
        self.process = subprocess.Popen(['/usr/bin/python3', '-c', program, folder, tag],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=here,
                                        start_new_session=True, text=True)

    def start(self, argv, log, env=None, binds=(), hide=()):
        """Starts a process, in a mount namespace of its own if @binds or @hide ask for one."""
        request = {'argv': argv, 'log': log, 'env': env or {}, 'binds': binds, 'hide': hide}
        self.process.stdin.write(json.dumps(request) + '\n')
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def status(self, pid):
        """None while it runs; else its exit status, negative for the signal that ended it."""
        try:
            return int(proc.read(f'{self.folder}/exit.{pid}'))
        except FileNotFoundError:
            return None

    def wait(self, pid, seconds=30):
        until(lambda: self.status(pid) is not None, f'the end of process {pid}', seconds)
        return self.status(pid)

    def kill(self, pid, number=signal.SIGKILL):
        """Sends a signal to a process that is surely ours; one that is gone is passed over."""
        if self.status(pid) is None and pid in self.descendants():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def descendants(self):
        return proc.descendants(self.process.pid)

    def close(self):
        """Ends all processes, then removes the cgroups."""
        self.process.stdin.write('close\n')
        self.process.stdin.close()
        status = self.process.wait(60 * PATIENCE)
        self.process.stdout.close()
        assert status == 0, f'the keeper ended with status {status}'
