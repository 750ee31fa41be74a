#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a command under a real systemd, in the lab: it becomes PID 1 of a PID namespace and owns the
lab's cgroup v2 tree, as on a host that was booted with it; or, with --beside, a part of the tree and no
more, so that its units can be tried where the rest is free.

    systemd.py [--beside] [--unit FILE ...] -- COMMAND [ARG ...]

Of the units there are only those that are given, those that the command puts into
/run/systemd/system, and the command's own, so that it starts within seconds under emulation. The command's output and exit status become ours.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile

CGROUPS = '/sys/fs/cgroup'
COMMAND = '''[Unit]
DefaultDependencies=no
SuccessAction=exit-force
FailureAction=exit-force

[Service]
Type=oneshot
TimeoutStartSec=infinity
# What a login would have
Environment={environment}
WorkingDirectory={directory}
ExecStart=/bin/sh -c {command}
StandardOutput=append:{output}
StandardError=append:{output}
'''


def directories():
    return {path for path, _, _ in os.walk(CGROUPS)}


def enter(path):
    os.makedirs(path, exist_ok=True)
    with open(path + '/cgroup.procs', 'w', encoding='ascii') as file:
        file.write('0')


def remove(made):
    """What systemd leaves when it ends: its init.scope would tell the next test that it is there."""
    enter(CGROUPS)
    for path in sorted(made, key=len, reverse=True):
        try:
            os.rmdir(path)
        except OSError as error:
            print(f'# systemd.py: {path} stays: {error.strerror}', file=sys.stderr)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--unit', action='append', default=[], help='a unit file to have there')
    parser.add_argument('--beside', action='store_true', help='leave the top of the tree free')
    parser.add_argument('command', nargs='+')
    options = parser.parse_args()
    if 'LAB' not in os.environ:
        sys.exit('systemd.py: it would take over the cgroups of this machine: run it in the lab')
    with tempfile.TemporaryDirectory(prefix='systemd-') as folder:
        units, none = folder + '/units', folder + '/none'
        os.mkdir(units)
        os.mkdir(none)
        for unit in options.unit:
            shutil.copy(unit, units)
        environment = ' '.join(shlex.quote(f'{name}={value}') for name, value in os.environ.items()
                               if '\n' not in value)
        command = f'{shlex.join(options.command)}; echo $? >{folder}/status'
        with open(f'{units}/command.service', 'w', encoding='utf-8') as file:
            file.write(COMMAND.format(environment=environment.replace('%', '%%'),
                                      directory=os.getcwd(), output=folder + '/output',
                                      command=shlex.quote(command.replace('%', '%%'))))
        open(folder + '/output', 'w', encoding='ascii').close()
        before = directories()
        if options.beside:
            # systemd takes what it is started in for its top.
            enter(CGROUPS + '/systemd')
        with subprocess.Popen(['tail', '-f', '-n', '+1', folder + '/output']) as tail:
            subprocess.run(
                ['unshare', '--pid', '--fork', '--mount', '--mount-proc', 'env', 'container=lab',
                 f'SYSTEMD_UNIT_PATH={units}:/run/systemd/system', f'SYSTEMD_GENERATOR_PATH={none}',
                 '/lib/systemd/systemd', '--unit=command.service', '--log-target=console',
                 '--log-level=warning', '--show-status=0'],
                check=False, stdout=subprocess.DEVNULL, stderr=sys.stderr)
            tail.terminate()
        remove(directories() - before)
        try:
            with open(folder + '/status', encoding='ascii') as file:
                status = int(file.read())
        except FileNotFoundError:
            status = 1
    sys.exit(status)


if __name__ == '__main__':
    main()
