#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What runs in the lab: several programs that print TAP, told on as one. See meson.build.

    inside.py BUILD SUITE [PATIENCE]

With a patience of 2, everything may take twice as long as it may otherwise.
"""

import os
import re
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
INTEGRATION = os.path.join(os.path.dirname(HERE), 'integration')
LINE = re.compile(r'(ok|not ok)\b *\d* *-? *(.*)')
SKIP = re.compile(r'1\.\.0\b *# *skip\b *(.*)', re.I)


def unit(name, *args):
    """A test program of tests/unit, by its path there without "-test"."""
    return name, [f'{{build}}/tests/unit/{name}-test', *args]


def under_systemd(name, *args, beside=False):
    """The same under a real systemd."""
    return f'{name} (systemd)', [f'{HERE}/systemd.py', *(['--beside'] if beside else []), '--',
                                 *integration(name, *args)[1]]


def integration(name, *args):
    """A test program of tests/integration."""
    return name, ['/usr/bin/python3', f'{INTEGRATION}/test_{name}.py', '--build', '{build}', *args]


SUITES = {
    # The made-up kernels are in the unit suite; here it is the real one.
    'container': [
        unit('container/container-conformance', '-p', '/container/kernel'),
        unit('container/container-fault', '-p', '/container-fault/kernel'),
        # Not its faults: v2 lets no cpuset with tasks be emptied again, so what is undone reads otherwise.
        unit('container/container-helpers', '-p', '/helpers/kernel/pin', '-p', '/helpers/kernel/leaving',
             '-p', '/helpers/kernel/cap'),
        unit('container/container-partition'),
        unit('container/container-watch', '-p', '/container-watch/kernel'),
    ],
    'agent': [
        unit('agent/agent-life'),
        # No upper bounds on CPU time: what the emulator is held up counts for whoever ran.
        unit('agent/agent-members', '-s', '/members/usage'),
        unit('agent/kill'),
        unit('driver/driver-host'),
        unit('driver/driver-kernel'),
        unit('hooks/hook', '-s', '/hooks/time'),
        unit('hooks/hook-input'),
    ],
    'membership': [integration('membership')],
    'plan': [integration('plan_lab')],
    # On two nodes, of three CPUs each.
    'numa': [unit('container/container-conformance', '-p', '/container/kernel'),
             integration('plan_lab', 'a_vm_lies_in_one_node_or_is_refused',
                         'a_vm_that_no_node_holds_lies_in_both_if_it_may')],
    # Not what takes a host with time to give: a load that was asked for, and a cap that is hit.
    'usage': [integration('usage', 'usage_is_the_sum_over_the_threads',
                          'a_parents_usage_is_its_own_and_its_childrens', 'the_split_adds_up',
                          'every_client_call_tells_the_same', 'usage_of_each_pcpu_adds_up',
                          'no_counter_ever_goes_back', 'the_time_of_a_vm_that_ended_is_kept')],
    'kvm': [integration('membership', 'the_hook_makes_the_container_before_qemu_exists',
                        'a_vm_without_a_partition_starts_as_ever',
                        'attach_and_detach_move_a_running_vm',
                        'one_vcpu_goes_where_the_kernel_lets_it')],
    # On a kernel of kvm-patches/; on another it is skipped.
    'series': [integration('series')],
    # What the kernel has a part in; the rest is the same on every host.
    'clients': [
        integration('virsh', 'attach_and_detach', 'vcpucount_and_vcpuinfo', 'vcpupin', 'schedinfo',
                    'cpu_stats', 'domstats'),
        integration('corral_cli', 'show_says_what_the_kernel_says', 'pin',
                    'set_weight_cap_and_cpus'),
    ],
    # systemd owns the tree: tests go to a subtree that it gives them. Then beside it, with its unit.
    'systemd': [under_systemd('membership', 'the_hook_makes_the_container_before_qemu_exists',
                              'attach_and_detach_move_a_running_vm'),
                under_systemd('plan_lab', 'a_daemon_reload_and_what_systemd_narrows'),
                under_systemd('unit', beside=True), integration('unit')],
    # Installs Corral, and loads Debian's profiles: see lab.py's --package.
    'apparmor': [integration('apparmor')],
    'faults': [integration('faults', 'libvirtd_is_killed_while_a_vm_starts', 'qemu_is_killed',
                           'everything_is_killed_at_once', 'the_cpuset_asked_for_is_refused')],
}


class Merge:
    """Counts and numbers anew what each program says."""

    def __init__(self):
        self.count = self.failed = 0

    def result(self, ok, text):
        self.count += 1
        self.failed += not ok
        print(f'{"ok" if ok else "not ok"} {self.count} - {text}', flush=True)

    def line(self, label, text):
        """Passes one line on; whether it was a result, and a good one."""
        found = LINE.fullmatch(text)
        skip = SKIP.match(text)
        if found:
            self.result(found[1] == 'ok', f'{label}: {found[2]}')
            return found[1] == 'ok'
        if skip:
            self.result(True, f'{label} # SKIP {skip[1]}')
            return True
        if text and not re.match(r'1\.\.\d+$|TAP version', text):
            print(text if text.startswith('#') else '# ' + text, flush=True)
        return None

    def program(self, label, argv, timeout):
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors='replace', start_new_session=True) as process:
            signal.signal(signal.SIGALRM, lambda *_: os.killpg(process.pid, signal.SIGKILL))
            signal.alarm(timeout)
            results = [self.line(label, text.rstrip('\n')) for text in process.stdout]
            status = process.wait()
            signal.alarm(0)
        results = [r for r in results if r is not None]
        if not results or (status and all(results)):
            self.result(False, f'{label}: ended with status {status} after {len(results)} results')


def main(build, suite, patience='1'):
    # Of no use there, and libvirtd asks each QEMU about it.
    if suite != 'apparmor':
        subprocess.run(['modprobe', '-q', 'kvm-amd'], check=False)
    # Emulated twice, KVM is the slower of the two: it has suites of its own.
    os.environ['CORRAL_TEST_ACCEL'] = {'kvm': 'auto', 'series': 'kvm'}.get(suite, 'tcg')
    os.environ['CORRAL_TEST_PATIENCE'] = patience
    os.environ['CORRAL_HOOK'] = build + '/libvirt-driver/hooks/corral-hook'
    merge = Merge()
    print('TAP version 13')
    for label, argv in SUITES[suite]:
        merge.program(label, [word.format(build=build) for word in argv], 1000 * int(patience))
    print(f'1..{merge.count}')
    return 1 if merge.failed else 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
