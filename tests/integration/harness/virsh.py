# SPDX-License-Identifier: LGPL-2.1-or-later
"""The installed, stock virsh, and what it answered."""

import subprocess
from dataclasses import dataclass

from .wait import PATIENCE


@dataclass
class Answer:
    command: str
    status: int
    out: str
    err: str

    def __str__(self):
        return f'virsh {self.command}: status {self.status}\n{self.out}{self.err}'

    def rows(self):
        """A table's rows, without its heading, as lists of words."""
        return [line.split() for line in self.out.splitlines()[2:] if line.strip()]

    def fields(self):
        """"Name:  value" and "name : value" lines."""
        pairs = (line.partition(':') for line in self.out.splitlines() if ':' in line)
        return {name.strip(): value.strip() for name, _, value in pairs}

    def stats(self):
        """domstats' and schedinfo's "name=value" lines."""
        pairs = (line.partition('=') for line in self.out.splitlines() if '=' in line)
        return {name.strip(): value.strip() for name, _, value in pairs}


class Virsh:
    def __init__(self, uri):
        self.uri = uri

    def try_(self, *words, readonly=False, timeout=60):
        """Runs one command, whatever comes of it."""
        argv = ['virsh', '-c', self.uri] + (['-r'] if readonly else []) + [str(w) for w in words]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout * PATIENCE,
                              check=False, stdin=subprocess.DEVNULL)
        return Answer(' '.join(argv[3:]), done.returncode, done.stdout, done.stderr)

    def __call__(self, *words, **options):
        """Runs one command that has to work."""
        answer = self.try_(*words, **options)
        assert answer.status == 0, str(answer)
        return answer

    def fails(self, *words, **options):
        """Runs one command that has to be refused; its answer has the reason."""
        answer = self.try_(*words, **options)
        assert answer.status == 1 and answer.err.startswith('error: '), str(answer)
        return answer
