#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lab's own conduct when the emulator fails, which a real one does not do on demand. Prints TAP."""

import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'integration'))
from harness.tap import Suite  # noqa: E402  pylint: disable=wrong-import-position

LAB = os.path.join(HERE, 'lab.py')
# Fails in this many runs, half way through the TAP, as a kernel that dies of a stray breakpoint does.
EMULATOR = """#!/usr/bin/python3
import re, sys
text = ' '.join(sys.argv)
share = re.search('path=([^, ]*),mount_tag=share', text)[1]
console = re.search('-serial file:([^ ]*)', text)[1]
with open(sys.argv[0] + '.runs', 'a+') as file:
    file.write('x')
    file.seek(0)
    runs = len(file.read())
print('TAP version 13\\nok 1 - a', flush=True)
with open(console, 'w') as file:
    if runs <= FAILURES:
        file.write('Oops: FAULT: 0000')
        sys.exit(1)
print('ok 2 - b\\n1..2', flush=True)
with open(share + '/status', 'w') as file:
    file.write('0')
"""
suite = Suite(None)
WHOLE = ['TAP version 13', 'ok 1 - a', 'ok 2 - b', '1..2']


def lab(failures, fault):
    """The exit status of a lab with that emulator, and the lines that it printed."""
    with tempfile.TemporaryDirectory(prefix='corral-lab-test-') as folder:
        emulator = folder + '/qemu-system-x86_64'
        with open(emulator, 'w', encoding='ascii') as file:
            file.write(EMULATOR.replace('FAILURES', str(failures)).replace('FAULT', fault))
        os.chmod(emulator, 0o755)
        for name in ('bzImage', 'initramfs'):
            with open(f'{folder}/{name}', 'w', encoding='ascii'):
                pass
        done = subprocess.run(
            [LAB, '--tap', '--kernel', folder, '--', 'true'], capture_output=True, text=True,
            check=False, env={**os.environ, 'PATH': f'{folder}:{os.environ["PATH"]}'})
        kept = re.search(r'see (.*/console-\d+\.log)', done.stderr)
        if kept:
            os.unlink(kept[1])
        return done.returncode, done.stdout.splitlines()


@suite.test
def a_good_run_is_told_on():
    assert lab(0, 'int3') == (0, WHOLE)


@suite.test
def a_failure_of_the_emulator_leaves_whole_tap():
    for failures in (1, 2):
        status, lines = lab(failures, 'int3')
        assert status == 0, status
        assert lines[:4] == WHOLE, lines
        assert len(lines) == 5 and lines[4].startswith('# the emulator failed'), lines


@suite.test
def an_emulator_that_always_fails_is_a_failure():
    status, lines = lab(9, 'int3')
    assert status == 1, status
    assert 'ok 2 - b' not in lines, lines


@suite.test
def another_crash_is_no_fault_of_the_emulator():
    status, lines = lab(1, 'general protection fault')
    assert status == 1, status
    assert lines == WHOLE[:2], lines


if __name__ == '__main__':
    suite.main()
