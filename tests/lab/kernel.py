#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The kernel series, from nothing: fetches the source, applies the patches, builds a kernel, and runs the
kernel's own selftests on it in the lab. Prints TAP. See kvm-patches/kernel for each of the steps.

    kernel.py [--fragment NAME] [--build FOLDER] [TEST ...]

With a fragment such as "debug" a second kernel is built with config/NAME.config added. With --build, Corral as built
there is tested on the kernel, too.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SERIES = os.path.join(ROOT, 'kvm-patches')
# A source tree and one build.
DISK_NEEDED = 8 << 30

# Not test_cpu and test_freezer: they compare the time of an emulated CPU with the clock's, so they fail on a
# busy host on every kernel. docs/kernel-results.md has them.
TESTS = ['test_core', 'test_cpuset', 'test_pids', 'test_kill', 'test_kvm', 'test_kvm_attach']
# It compares times, too, but they agree on the busiest host where the emulated clock counts instructions.
COUNTED_TESTS = ['test_kvm_stat']
COUNTED = '--icount --smp 2'
# Code that a jump label has just changed may run as it was before where each emulated CPU has a thread: "int3".
LAB_OPTIONS = {'debug': COUNTED, 'kasan': COUNTED}
# Of inside.py
SUITES = ['container', 'series']
RESULT = re.compile(r'(ok|not ok) \d+ -? ?(.*)')
WARNING = re.compile(r'# dmesg: ')

count = 0
failed = 0


def result(ok, text):
    global count, failed
    count += 1
    failed += not ok
    print(f'{"ok" if ok else "not ok"} {count} - {text}', flush=True)
    return ok


def step(text, *command):
    """One command of kvm-patches/; what it said is told when it failed."""
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         errors='replace', check=False)
    if not result(run.returncode == 0, text):
        for line in run.stdout.splitlines()[-60:]:
            print(f'# {line}')
    return run.returncode == 0


def why_not():
    """Why no kernel can be built here; None: it can."""
    free = shutil.disk_usage(ROOT).free
    if free < DISK_NEEDED and not os.path.exists(f'{ROOT}/build-kernel/src'):
        return f'{free >> 30} GiB of disk are free, {DISK_NEEDED >> 30} are needed'
    if os.path.exists(f'{ROOT}/build-kernel/src/.git'):
        return None
    base = dict(line.split('=', 1) for line in open(f'{SERIES}/linux-6.12/BASE', encoding='utf-8')
                if '=' in line and not line.startswith('#'))
    if os.path.exists(base['archive'].strip()):
        return None
    subprocess.run(['apt-get', '-q', 'update'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   check=False)
    known = subprocess.run(['apt-cache', 'madison', base['package'].strip()], capture_output=True,
                           text=True, check=False)
    if base['version'].strip() not in known.stdout:
        return f'apt offers no {base["package"].strip()} {base["version"].strip()}'
    return None


def selftests(name, tests, options):
    """Runs them in one boot of the lab, and tells each one's results on."""
    seen = {test: 0 for test in tests}
    current = None
    warnings = 0
    with subprocess.Popen([f'{SERIES}/selftests', name, *tests], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors='replace',
                          env=dict(os.environ, LAB_OPTIONS=options)) as process:
        for line in process.stdout:
            line = line.rstrip('\n')
            if line.startswith('# ') and line[2:] in seen:
                current = line[2:]
            warnings += bool(WARNING.match(line))
            found = RESULT.fullmatch(line)
            if found and current:
                seen[current] += 1
                result(found[1] == 'ok', f'{current}: {found[2]}')
            elif line and not re.match(r'1\.\.\d+|TAP version', line):
                print(line if line.startswith('#') else f'# {line}', flush=True)
        process.wait()
    for test, results in seen.items():
        if not results:
            result(False, f'{test}: no result')
    result(not warnings, 'the kernel has nothing to complain of')


def corral(name, build, suite):
    """A suite of inside.py on this kernel, all of its results as they are."""
    seen = 0
    warnings = 0
    inside = f"/usr/bin/python3 '{HERE}/inside.py' '{build}' {suite}; '{SERIES}/selftests' --complaints"
    with subprocess.Popen([f'{HERE}/lab.py', '--kernel', f'{ROOT}/build-kernel/{name}', '--tap', '--',
                           'sh', '-c', inside],
                          stdout=subprocess.PIPE, text=True, errors='replace') as process:
        for line in process.stdout:
            warnings += bool(WARNING.match(line))
            found = RESULT.fullmatch(line.rstrip('\n'))
            if found:
                seen += 1
                result(found[1] == 'ok', found[2])
            elif line.startswith('#'):
                print(line, end='', flush=True)
    if not seen:
        result(False, f'{suite}: no result')
    result(not warnings, f'the kernel has nothing to complain of after the suite {suite}')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--fragment')
    parser.add_argument('--build')
    parser.add_argument('tests', nargs='*')
    args = parser.parse_args()
    name = 'lab' + ('-' + args.fragment if args.fragment else '')
    print('TAP version 13')
    reason = why_not()
    if reason:
        print(f'1..0 # SKIP {reason}')
        return 0
    kernel = f'{SERIES}/kernel'
    built = step('the source is fetched and the patches apply', kernel, 'apply') and \
        step(f'the kernel is built ({name})', 'nice', '-n', '10', kernel, 'build', name,
             *([args.fragment] if args.fragment else []))
    if built:
        tests = args.tests or TESTS + COUNTED_TESTS
        for chosen, options in (([test for test in tests if test not in COUNTED_TESTS],
                                 LAB_OPTIONS.get(args.fragment, '')),
                                ([test for test in tests if test in COUNTED_TESTS], COUNTED)):
            if chosen:
                selftests(name, chosen, options)
        for suite in SUITES if args.build else []:
            corral(name, args.build, suite)
    print(f'1..{count}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
