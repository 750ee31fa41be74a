# SPDX-License-Identifier: LGPL-2.1-or-later
"""A small TAP producer: one line for each test, skips with their reason, failures with theirs."""

import argparse
import signal
import sys
import traceback

from . import delegated


class Skip(Exception):
    """Raised by a test that cannot run here; its text says why."""


def diag(text):
    for line in str(text).splitlines():
        print(f'# {line}', flush=True)


class Suite:
    """Runs the functions that were marked with @suite.test, in the order in which they stand.

    Each gets what setup() yields (a context manager made once for the whole suite), so that tests
    share the costly parts. A test that fails does not stop the next one; tidy() of the first thing
    given clears up after it. @suite.test(needs=name) skips a test when that one did not pass."""

    def __init__(self, setup=None):
        self.setup = setup
        self.tests = []
        self.passed = set()
        self.count = self.failed = 0

    def test(self, function=None, *, needs=None):
        def mark(function):
            self.tests.append((function, needs))
            return function
        return mark(function) if function else mark

    def line(self, ok, name, skip=None):
        self.count += 1
        self.failed += not ok
        directive = f' # SKIP {skip}' if skip else ''
        print(f'{"ok" if ok else "not ok"} {self.count} - {name}{directive}', flush=True)

    def one(self, function, needs, given):
        name = function.__name__.replace('_', ' ')
        if needs and needs not in self.passed:
            self.line(True, name, f'"{needs.replace("_", " ")}" did not pass')
            return
        try:
            function(*given)
        except Skip as reason:
            self.line(True, name, str(reason))
        except Exception:  # pylint: disable=broad-except
            diag(traceback.format_exc())
            diag(given[0].explain() if given else '')
            self.line(False, name)
            if given and hasattr(given[0], 'tidy'):
                given[0].tidy()
        else:
            self.passed.add(function.__name__)
            self.line(True, name)

    def run(self, options):
        chosen = [(f, n) for f, n in self.tests if not options.only or f.__name__ in options.only]
        if options.only:
            self.passed.update(n for _, n in chosen if n)
        if self.setup is None:
            for function, needs in chosen:
                self.one(function, needs, ())
            return
        try:
            with self.setup(options) as given:
                for function, needs in chosen:
                    self.one(function, needs, given if isinstance(given, tuple) else (given,))
        except Skip as reason:
            if not self.count:
                print(f'1..0 # SKIP {reason}')
                raise SystemExit(0) from None
            diag(reason)
            self.line(False, 'set-up and clearing away')
        except Exception:  # pylint: disable=broad-except
            diag(traceback.format_exc())
            self.line(False, 'set-up and clearing away')
        else:
            self.line(True, 'nothing is left behind')

    def main(self):
        parser = argparse.ArgumentParser()
        parser.add_argument('--build', required=True, help='the build folder')
        parser.add_argument('--keep', action='store_true', help='keep the folder with the logs')
        parser.add_argument('--pure-v1', action='store_true', help='hide a hybrid host\'s v2 tree')
        parser.add_argument('only', nargs='*', help='names of test functions')
        options = parser.parse_args()
        delegated.enter()
        # So that a test that is stopped from outside clears away as well.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit('stopped'))
        signal.signal(signal.SIGHUP, lambda *_: sys.exit('stopped'))
        print('TAP version 13', flush=True)
        self.run(options)
        print(f'1..{self.count}', flush=True)
        sys.exit(1 if self.failed else 0)
