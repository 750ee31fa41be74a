#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Corral as installed, beside a libvirtd that Debian's AppArmor profile confines, with guests that libvirt
confines. In the lab alone, since it installs Corral and loads profiles: lab.py is told to have there what the
packages apparmor and libvirt-daemon-system hold."""

import errno
import json
import os
import re
import shutil
import subprocess
from contextlib import contextmanager

from harness import Container, Corrald, Guest, PrivateLibvirtd, Session, Skip, Suite, proc, until

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SECURITY = '/sys/kernel/security'
PROFILES = '/etc/apparmor.d'
# Of libvirtd, and of the helper that writes each guest's.
PROFILE_NAMES = ('usr.sbin.libvirtd', 'usr.lib.libvirt.virt-aa-helper')
# What an administrator adds: the packages' scripts make these.
LOCAL = (*PROFILE_NAMES, 'abstractions/libvirt-qemu')
PREFIX = {'prefix': '/usr', 'sysconfdir': '/etc', 'localstatedir': '/var'}
HOOK = '/etc/libvirt/hooks/qemu.d/corral'
# The profile lets libvirtd run no program from there.
FENCE = '/usr/libexec/corral-test-fence'


def load_profiles():
    """Debian's own, which the packages brought, as their scripts would load them."""
    if 'LAB' not in os.environ:
        raise Skip('it would load AppArmor profiles and install Corral: run it in the lab')
    try:
        enabled = proc.read('/sys/module/apparmor/parameters/enabled').strip()
    except FileNotFoundError:
        enabled = 'not built in'
    if enabled != 'Y':
        raise Skip(f'the kernel has no AppArmor, or not turned on ({enabled})')
    missing = [name for name in PROFILE_NAMES if not os.path.exists(f'{PROFILES}/{name}')]
    if shutil.which('apparmor_parser') is None or missing:
        raise Skip(f'needs the packages apparmor and libvirt-daemon-system; there is no {missing}')
    if not os.path.isdir(SECURITY + '/apparmor'):
        subprocess.run(['mount', '-t', 'securityfs', 'securityfs', SECURITY], check=True)
    os.makedirs(f'{PROFILES}/local/abstractions', exist_ok=True)
    for name in LOCAL:
        with open(f'{PROFILES}/local/{name}', 'w', encoding='ascii'):
            pass
    for name in PROFILE_NAMES:
        subprocess.run(['apparmor_parser', '-r', f'{PROFILES}/{name}'], check=True)
    loaded = proc.read(SECURITY + '/apparmor/profiles').splitlines()
    for line in ('libvirtd (enforce)', 'virt-aa-helper (enforce)'):
        assert line in loaded, (line, loaded)


def install(build):
    """As README.md has it, without building anything anew."""
    options = json.loads(proc.read(f'{build}/meson-info/intro-buildoptions.json'))
    have = {option['name']: option['value'] for option in options}
    if any(have[name] != value for name, value in PREFIX.items()):
        words = [f'--{name}={value}' for name, value in PREFIX.items()]
        # The tests' targets would only make it slower.
        run('meson', 'setup', '--reconfigure', '-Dtests=false', *words, build, SOURCE)
    run('meson', 'install', '-C', build, '--no-rebuild')


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f'{command}: {done.stdout}{done.stderr}'


class Denials:
    """What AppArmor has refused, from the kernel's log."""

    def __init__(self):
        # There is no auditd, so the log has all of it, and shall not leave any out.
        with open('/proc/sys/kernel/printk_ratelimit', 'w', encoding='ascii') as file:
            file.write('0')
        shutil.copy('/bin/true', FENCE)
        self.fd = os.open('/dev/kmsg', os.O_RDONLY | os.O_NONBLOCK)
        self.seen = []

    def _read(self):
        while True:
            try:
                text = os.read(self.fd, 8192).decode(errors='replace')
            except OSError as error:
                # EPIPE: lines were lost, which is a failure.
                if error.errno != errno.EAGAIN:
                    raise
                return
            if 'apparmor="DENIED"' in text:
                self.seen.append(text.partition(';')[2].splitlines()[0])

    def since(self, count):
        """All that came after the first @count. What is refused now is told after all before it."""
        before = len(self.seen)
        done = subprocess.run(['aa-exec', '-p', 'libvirtd', '--', 'sh', '-c', FENCE], check=False,
                              capture_output=True, text=True)
        assert done.returncode == 126, f'{FENCE} ran in libvirtd\'s profile: {done}'

        def told():
            self._read()
            return any(FENCE in line for line in self.seen[before:])
        until(told, 'the kernel to tell what it has refused')
        return [line for line in self.seen[count:] if FENCE not in line]

    def close(self):
        os.close(self.fd)
        os.unlink(FENCE)


class ConfiningLibvirtd(PrivateLibvirtd):
    """With the security driver that Debian's chooses where there is AppArmor."""

    def __init__(self, session):
        super().__init__(session)
        path = self.folder + '/etc/qemu.conf'
        text = proc.read(path)
        assert 'security_driver = "none"' in text
        with open(path, 'w', encoding='ascii') as file:
            file.write(text.replace('security_driver = "none"', 'security_driver = "apparmor"'))


class InstalledCorrald(Corrald):
    """From where it was installed, with the settings that were installed: libvirt's folder of state and
    its socket are where the host's would be."""

    def __init__(self, session, libvirtd):
        super().__init__(session, libvirtd)
        self.libvirtd = libvirtd
        self.program = '/usr/bin/corrald'
        self.socket = '/run/corral/libvirt-sock'
        self.uri = self.virsh.uri = f'corral+unix:///system?socket={self.socket}'
        # As systemd does for the unit
        os.makedirs('/run/corral', exist_ok=True)

    def begin(self, env=None):
        self.pid = self.session.keeper.start(
            [self.program], self.log, env={'NOTIFY_SOCKET': f'{self.folder}/notify', **(env or {})},
            binds=[(f'{self.libvirtd.folder}/run', '/run/libvirt')])
        return self


class World:
    def __init__(self, session):
        self.session = session
        self.cpus = sorted(os.sched_getaffinity(0))
        self.denials = Denials()
        session.closers.append(self.denials.close)
        self.libvirtd = ConfiningLibvirtd(session)
        self.corrald = InstalledCorrald(session, self.libvirtd)
        session.logs += [self.corrald, self.libvirtd]
        self.libvirtd.add_hook('corral', os.readlink(HOOK))
        self.libvirtd.start()
        self.corrald.start()
        self.count = 0

    def hook(self, program):
        """Another program takes the hook's place; libvirt looks who is there at each call."""
        path = self.libvirtd.hooks_folder + '/corral'
        os.symlink(program, path + '.new')
        os.rename(path + '.new', path)

    def box(self, name, **options):
        return Container(self.corrald, name, **options).define()

    def guest(self, name, container, **options):
        return Guest(self.libvirtd, name, partition=container.path, **options).define()

    def begin(self):
        """What is refused from now on counts."""
        self.denials.since(0)
        self.count = len(self.denials.seen)

    def denied(self):
        """What was refused since begin(): Corral's, and the rest, which is told."""
        lines = self.denials.since(self.count)
        ours = [line for line in lines if re.search('corral', line, re.I)]
        for line in lines:
            if line not in ours:
                print(f'# refused to others: {line}', flush=True)
        return ours

    def check_confined(self, guest):
        """libvirtd and the guest are confined at this moment, and Corral is not."""
        assert label(self.libvirtd.pid) == 'libvirtd (enforce)', label(self.libvirtd.pid)
        found = label(guest.pid)
        assert re.fullmatch(r'libvirt-[0-9a-f-]{36} \(enforce\)', found), found
        if self.corrald.pid:
            assert label(self.corrald.pid) == 'unconfined', label(self.corrald.pid)

    def tidy(self):
        self.session.kill_guests()
        self.hook(os.readlink(HOOK))
        if self.corrald.pid is None:
            self.corrald.start()

    def explain(self):
        return self.session.explain()


@contextmanager
def setup(options):
    load_profiles()
    install(options.build)
    with Session.of(options) as session:
        yield World(session)


suite = Suite(setup)


def label(pid):
    return proc.read(f'/proc/{pid}/attr/current').rstrip('\0\n')


@suite.test
def a_vm_starts_in_its_container(world):
    world.begin()
    box = world.box('asked', cpus={world.cpus[1]})
    assert not box.is_active() and not world.session.cgroups.where(box.path)
    guest = world.guest('asked', box, vcpus=2, iothreads=1).start()
    world.check_confined(guest)
    box.check_holds_all(guest)
    assert box.is_active()
    box.wait_has(vms=1, vcpus=2)
    assert not world.denied(), world.denied()
    guest.destroy()
    box.wait_has(vms=0)
    box.remove()


@suite.test
def a_vm_starts_in_its_container_without_corrald(world):
    """What the hook asks nobody for, its second program makes."""
    box = world.box('made', cpus={world.cpus[1]})
    world.corrald.stop()
    world.begin()
    assert not world.session.cgroups.where(box.path)
    guest = world.guest('made', box, vcpus=2).start()
    world.check_confined(guest)
    box.check_holds_all(guest)
    assert world.session.cgroups.cpus(box.path) == {world.cpus[1]}
    assert not world.denied(), world.denied()
    world.corrald.start()
    box.wait_has(vms=1, vcpus=2)
    guest.destroy()
    box.wait_has(vms=0)
    box.remove()


@suite.test
def a_refused_start_has_its_reason(world):
    """The hook's words reach libvirtd: the child asks for a pCPU that its parent has not."""
    world.begin()
    box = world.box('narrow', cpus={world.cpus[0]})
    child = world.box('wide', path=('narrow', 'wide'), cpus={world.cpus[1]})
    answer = world.guest('refused', child).try_start()
    assert answer.status == 1 and (child.path in answer.err or child.name in answer.err), str(answer)
    assert not world.denied(), world.denied()
    child.remove()
    box.remove()


@suite.test
def a_confined_vm_is_moved_pinned_and_counted(world):
    world.begin()
    home = world.box('home').start()
    away = world.box('away', cpus={world.cpus[1]}).start()
    guest = world.guest('moves', home, vcpus=2, max_vcpus=3, iothreads=1, load=0.1).start()
    world.check_confined(guest)
    home.wait_has(vms=1, vcpus=2)
    guest.plug(3)
    home.wait_has(vms=1, vcpus=3)
    home.check_holds_all(guest)
    away.attach_new(guest)
    away.check_holds_all(guest)
    assert all(t.affinity() == {world.cpus[1]} for t in guest.threads())
    away.virsh('emulatorpin', away.name, proc.cpulist(world.cpus[:2]), '--live')
    away.virsh('vcpupin', away.name, 0, world.cpus[0], '--live')
    assert guest.vcpu_threads()[0].affinity() == {world.cpus[0]}
    before = away.stats()
    until(lambda: away.stats()['corral.host_ns'] > before['corral.host_ns'], 'the vCPUs\' time')
    away.detach(guest)
    home.check_holds_all(guest)
    assert not world.denied(), world.denied()
    guest.destroy()
    for box in (home, away):
        box.wait_has(vms=0)
        box.remove()


@suite.test
def a_hook_from_elsewhere_is_refused(world):
    """That the others pass is due to where the hook is installed: from other folders the same programs
    are refused, and with them each start."""
    box = world.box('never')
    guest = world.guest('never', box)
    for folder in ('/usr/libexec/corral', '/usr/local/sbin'):
        os.makedirs(folder, exist_ok=True)
        for name in ('corral-hook', 'corral-hook-make'):
            shutil.copy(f'/usr/sbin/{name}', folder)
        world.hook(folder + '/corral-hook')
        world.begin()
        answer = guest.try_start()
        assert answer.status == 1, f'{folder}: {answer}'
        ours = world.denied()
        assert any(f'name="{folder}/corral-hook"' in line and 'operation="exec"' in line
                   and 'profile="libvirtd"' in line for line in ours), (folder, ours, str(answer))
    world.hook(os.readlink(HOOK))
    guest.start()
    box.check_holds_all(guest)
    guest.destroy()
    box.wait_has(vms=0)
    box.remove()


if __name__ == '__main__':
    suite.main()
