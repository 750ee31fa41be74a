#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The kernel series, from nothing: fetches the source, applies the patches, builds a kernel, and runs the
kernel's own selftests on it in the lab. Prints TAP. See kvm-patches/kernel for each of the steps.

    kernel.py [--fragment NAME] [--build FOLDER] [TEST ...]
    kernel.py --only WHAT

With a fragment such as "debug" a second kernel is built with config/NAME.config added. With --build, Corral as built
there is tested on the kernel, too. WHAT, which is run instead of all that:

    pairs       two controllers at a time, on the kernel without a fragment
    unload      1,000 rounds of loading and unloading KVM, on the same
    faults      memory that cannot be had, on the one of "debug"
    matrix      each patch builds in each configuration
    check       checkpatch, and the patches go on and off
    controls    the series broken on purpose
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
KERNEL = f'{SERIES}/kernel'
KERNELS = os.path.join(ROOT, 'build-kernel')
# A source tree and one build.
DISK_NEEDED = 8 << 30

# Not test_cpu and test_freezer: they compare the time of an emulated CPU with the clock's, so they fail on a
# busy host on every kernel. docs/kernel-results.md has them.
TESTS = ['test_core', 'test_cpuset', 'test_pids', 'test_kill', 'test_kvm', 'test_kvm_attach']
# It compares times, too, but they agree on the busiest host where the emulated clock counts instructions.
COUNTED_TESTS = ['test_kvm_stat']
COUNTED = '--icount --smp 2'
# Code that a jump label has just changed may run as it was before where each emulated CPU has a thread: "int3".
LAB_OPTIONS = {'debug': '--single'}
# Of inside.py
SUITES = ['container', 'series']
# How much longer than on an ordinary kernel all may take
PATIENCE = {'debug': 6, 'kasan': 6}
# What one boot may take, in seconds
LIMIT = 1200
# What a kernel without a controller has no test for
LEFT_OUT = {'no-cpusets': ['test_cpuset'],
            'no-controller': ['test_kvm', 'test_kvm_attach', 'test_kvm_stat']}
ROUNDS = 1000
RESULT = re.compile(r'(ok|not ok) \d+ -? ?(.*)')
WARNING = re.compile(r'# dmesg: ')
# What the results after it are of: a test program, or two controllers.
HEADING = re.compile(r'# (test_\w+|\w+ and \w+)')

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
    if free < DISK_NEEDED and not os.path.exists(f'{KERNELS}/src'):
        return f'{free >> 30} GiB of disk are free, {DISK_NEEDED >> 30} are needed'
    if os.path.exists(f'{KERNELS}/src/.git'):
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


def apply():
    return step('the source is fetched and the patches apply', KERNEL, 'apply')


def build(fragment):
    """(its name, whether it was built)"""
    name = 'lab' + ('-' + fragment if fragment else '')
    return name, step(f'the kernel is built ({name})', 'nice', '-n', '10', KERNEL, 'build', name,
                      *([fragment] if fragment else []))


def tell(what, *command, **environment):
    """Runs what prints TAP, and tells each of its results on. Returns what they were of."""
    seen = []
    warnings = 0
    before = count, failed
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors='replace', env=dict(os.environ, **environment)) as process:
        for line in process.stdout:
            line = line.rstrip('\n')
            heading, found = HEADING.fullmatch(line), RESULT.fullmatch(line)
            warnings += bool(WARNING.match(line))
            if heading:
                seen.append([heading[1], 0])
            if found:
                if seen:
                    seen[-1][1] += 1
                result(found[1] == 'ok', f'{seen[-1][0]}: {found[2]}' if seen else found[2])
            elif line and not re.match(r'1\.\.\d+|TAP version', line):
                print(line if line.startswith('#') else f'# {line}', flush=True)
        status = process.wait()
    for heading, results in seen:
        if not results:
            result(False, f'{heading}: no result')
    if count == before[0] or (status and failed == before[1]):
        result(False, f'{what}: ended with status {status} after {count - before[0]} results')
    result(not warnings, f'the kernel has nothing to complain of ({what})')
    return {heading for heading, _ in seen}


def selftests(name, tests, options, patience=1):
    """Runs them in one boot of the lab."""
    options += f' --timeout {LIMIT * patience}'
    seen = tell(', '.join(tests), f'{SERIES}/selftests', name, *tests, LAB_OPTIONS=options)
    for test in set(tests) - seen:
        result(False, f'{test}: was not run')


def in_lab(what, name, script, options='', patience=1):
    """The same for a command line."""
    tell(what, f'{HERE}/lab.py', '--kernel', f'{KERNELS}/{name}', '--timeout', str(LIMIT * patience),
         *options.split(), '--', 'sh', '-c',
         f"{script}; '{SERIES}/selftests' --complaints")


def everything(fragment, folder, tests):
    name, built = build(fragment)
    if not built:
        return
    patience = PATIENCE.get(fragment, 1)
    of_kernel = LAB_OPTIONS.get(fragment, '')
    tests = [test for test in tests or TESTS + COUNTED_TESTS if test not in LEFT_OUT.get(fragment, [])]
    for chosen, options in (([test for test in tests if test not in COUNTED_TESTS],
                             of_kernel),
                            ([test for test in tests if test in COUNTED_TESTS], COUNTED)):
        if chosen:
            selftests(name, chosen, options, patience)
    for suite in (s for s in SUITES if folder and s not in LEFT_OUT.get(fragment, [])):
        in_lab(f'Corral, {suite}', name,
               f"/usr/bin/python3 '{HERE}/inside.py' '{folder}' {suite} {patience}",
               of_kernel, patience)


def pairs():
    name, built = build(None)
    if built and len(tell('pairs', f'{SERIES}/pairs', name)) < 10:
        result(False, 'not all pairs were run')


def unload():
    """The csses of one round, their slabs and their per-CPU memory, are several KiB."""
    name, built = build(None)
    if built and step('test_kvm is compiled', f'{SERIES}/selftests', '--build', 'test_kvm'):
        program = f"'{KERNELS}/selftests/test_kvm'"
        in_lab(f'{ROUNDS} rounds', name, f"""modprobe kvm-amd
            echo "+cpu +cpuset" >/sys/fs/cgroup/cgroup.subtree_control
            memory() {{ awk '/^(SUnreclaim|Percpu):/ {{ n += $2 }} END {{ print n }}' /proc/meminfo; }}
            KVM_UNLOAD_ROUNDS={ROUNDS // 50} {program} >/dev/null
            before=$(memory)
            KVM_UNLOAD_ROUNDS={ROUNDS} {program}
            for _ in $(seq 30); do # RCU frees with a delay
                after=$(memory)
                [ $((after - before)) -ge {ROUNDS} ] || break
                sleep 1
            done
            [ $((after - before)) -lt {ROUNDS} ] || printf 'not '
            echo "ok 1 - the kernel's own memory went from $before to $after KiB"
            grep -q '^nr_dying_descendants 0$' /sys/fs/cgroup/cgroup.stat || printf 'not '
            echo "ok 2 - no cgroup is left over" """, '--smp 2', 6)


def faults():
    name, built = build('debug')
    program = f'{KERNELS}/selftests/faults'
    os.makedirs(os.path.dirname(program), exist_ok=True)
    if built and step('faults is compiled', 'gcc', '-O2', '-o', program, f'{SERIES}/measure/faults.c'):
        in_lab('faults', name, f"modprobe kvm-amd; '{program}' /sys/fs/cgroup $(modinfo -n kvm-amd) && "
                               'echo "ok 1 - each allocation was made to fail"',
               LAB_OPTIONS['debug'], 6)


ONLY = {
    'pairs': pairs,
    'unload': unload,
    'faults': faults,
    'matrix': lambda: tell('matrix', KERNEL, 'matrix'),
    'check': lambda: step('checkpatch has no complaint, and the patches go on and off', KERNEL, 'check'),
    'controls': lambda: tell('controls', f'{SERIES}/controls/run'),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--fragment')
    parser.add_argument('--build')
    parser.add_argument('--only', choices=ONLY)
    parser.add_argument('tests', nargs='*')
    args = parser.parse_args()
    print('TAP version 13')
    reason = why_not()
    if reason:
        print(f'1..0 # SKIP {reason}')
        return 0
    if apply():
        if args.only:
            ONLY[args.only]()
        else:
            everything(args.fragment, args.build, args.tests)
    print(f'1..{count}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
