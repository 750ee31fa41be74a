#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the named suites through meson and adds up their TAP: the engine of ./run-tests.

meson counts programs; what a reader wants to know is how many checks passed, so the TAP that each
program printed is counted here from meson's own log.
"""

import json
import os
import re
import subprocess
import sys

RESULT = re.compile(r'^(ok|not ok)\b(.*)$')


def count_tap(text):
    """Top-level results in a TAP document: passed, failed, skipped."""
    passed = failed = skipped = 0
    for line in text.splitlines():
        match = RESULT.match(line)
        if not match:
            plan = re.match(r'^1\.\.0\b', line)
            skipped += 1 if plan else 0
        elif re.search(r'#\s*skip', match.group(2), re.I):
            skipped += 1
        elif match.group(1) == 'ok' or re.search(r'#\s*todo', match.group(2), re.I):
            passed += 1
        else:
            failed += 1
    return passed, failed, skipped


def run_build(build, suites, processes=1):
    """Runs meson's suites of one build folder; yields (name, result, output) of each program."""
    log = os.path.join(build, 'meson-logs', 'testlog.json')
    if os.path.exists(log):
        os.unlink(log)
    command = ['meson', 'test', '-C', build, '--no-rebuild', '--num-processes', str(processes),
               '--print-errorlogs', '--timeout-multiplier', '3']  # for a slow or busy machine
    for suite in suites:
        command += ['--suite', suite]
    status = subprocess.run(command, check=False).returncode
    if not os.path.exists(log):
        return [(build, 'ERROR', '')] if status else []
    with open(log, encoding='utf-8') as lines:
        tests = [json.loads(line) for line in lines]
    return [(test['name'], test['result'], test.get('stdout', '')) for test in tests]


def main(suites):
    results = []
    plain = [suite for suite in suites if suite in ('style', 'unit', 'integration')]
    if plain:
        results += run_build('build-test', plain)
    if 'fuzz' in suites:
        results += run_build('build-fuzz', ['fuzz'], os.cpu_count())
    optimised = [suite for suite in suites if suite in ('lab', 'lab-long', 'kernel', 'kernel-long', 'bench')]
    if optimised:
        results += run_build('build', optimised)

    totals = [0, 0, 0]
    bad = []
    for name, result, output in results:
        passed, failed, skipped = count_tap(output)
        if result not in ('OK', 'SKIP') and failed == 0:
            failed = 1  # crashed, timed out, or broke its plan
        if passed + failed + skipped == 0:
            passed, skipped = (1, 0) if result == 'OK' else (0, 1)
        totals = [totals[0] + passed, totals[1] + failed, totals[2] + skipped]
        if failed:
            bad.append(name)
            # meson shows stderr only, and a machine that ran the tests may be gone: the reasons go here.
            print(f'--- {name}: the end of what it printed')
            print('\n'.join(output.splitlines()[-80:]))
        for line in output.splitlines():
            if re.search(r'#\s*skip', line, re.I):
                print(f'{name}: {line}')
    for name in bad:
        print(f'failed: {name}')
    print(f'{totals[0]} passed, {totals[1]} failed, {totals[2]} skipped')
    return 1 if totals[1] or totals[0] == 0 else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
