#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Boots a kernel in QEMU's TCG with this machine's own / as its root, and runs a command there.

    lab.py [--kernel stock|bookworm|FOLDER] [--smp N] [--memory MIB] [--numa] [--append ARGS] [--package NAME] [--tap]
           -- COMMAND [ARG ...]

The emulated machine has what the one outside may lack: cgroup v2 with every controller, and a real
/dev/kvm (QEMU emulates AMD's SVM). Root is this machine's / over 9p, read-only, with a tmpfs on top,
so that a program built outside runs inside and nothing it writes survives, but for the folder in $LAB_SHARE.
The command's output and exit status become ours; the kernel's console goes to build-lab/console-PID.log,
which stays only when no result came. With --tap the command prints TAP, and where there can be no lab the
answer is a skipped plan.

--kernel stock is Debian's own 6.12 kernel package, and bookworm is the 6.1 of a fresh Debian 12; both are
downloaded by apt and unpacked, not installed. A FOLDER holds a kernel as `bzImage` and its modules below
`lib/modules/VERSION`. The Debian packages that --package names are unpacked over / in there, without their
scripts; this machine does not have them afterwards either.
"""

import argparse
import glob
import lzma
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.path.join(ROOT, 'build-lab')
# The packages that depend on the kernels that Debian has now
DEBIAN = {'stock': 'linux-image-6.12-amd64', 'bookworm': 'linux-image-amd64'}
# Only for the way to the root file system; everything else is loaded from there by name.
BOOT_MODULES = ('virtio_pci', '9pnet_virtio', '9p', 'overlay', 'virtio-rng')

INIT = r'''#!/bin/sh
/bin/busybox mkdir -p /proc /sys /dev /lower /over /new
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules.order); do
    insmod "/modules/$module" || echo "lab: cannot load $module"
done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=loose,ro root /lower
mount -t tmpfs -o size=70% over /over
mkdir /over/upper /over/work
mount -t overlay -o lowerdir=/lower,upperdir=/over/upper,workdir=/over/work over /new
mount -t proc proc /new/proc
mount -t sysfs sysfs /new/sys
mount -t devtmpfs dev /new/dev
mkdir -p /new/dev/pts /new/dev/shm
mount -t devpts devpts /new/dev/pts
mount -t tmpfs shm /new/dev/shm
mount -t tmpfs run /new/run
mkdir /new/run/lab
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,access=any share /new/run/lab
mount -t cgroup2 cgroup2 /new/sys/fs/cgroup
mount -t debugfs debugfs /new/sys/kernel/debug
ip link set lo up
exec switch_root /new /bin/sh /run/lab/start
'''

# Runs as PID 1 with the command's own file descriptors on the second serial line.
START = r'''#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LAB_SHARE=/run/lab
export LAB=1
mkdir -p /lib/modules 2>/dev/null
mount -t tmpfs modules /lib/modules
ln -s "$(cat /run/lab/modules)"/* /lib/modules/
while read -r package; do
    dpkg-deb --fsys-tarfile "$package" | tar -x -C / --keep-directory-symlink
done </run/lab/packages
# Lines end as the command ends them
stty -F /dev/ttyS1 raw -echo
hostname lab
mkdir -p /run/libvirt /run/lock
sh -c '. /run/lab/command' </dev/null >/dev/ttyS1 2>&1
echo $? >/run/lab/status
sync
echo o >/proc/sysrq-trigger
while :; do :; done
'''


class NoLab(Exception):
    """There is no emulator or kernel to be had; the text says why."""


def run(*command, **options):
    return subprocess.run(command, check=True, **options)


def download(package, folder):
    """Has apt put a package into the folder; returns its file."""
    # apt drops to a user of its own that cannot write there, and says so on stderr
    got = subprocess.run(['apt-get', '-q', 'download', package], check=False, cwd=folder,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if got.returncode:
        raise NoLab(f'apt cannot download {package}: {got.stderr.strip()[-200:]}')
    return glob.glob(folder + '/*.deb')[0]


def debian_kernel(name):
    """One of Debian's kernels, unpacked below build-lab/; returns its folder."""
    folder = os.path.join(CACHE, name)
    if os.path.exists(os.path.join(folder, 'bzImage')):
        return folder
    depends = subprocess.run(['apt-cache', 'depends', DEBIAN[name]], check=False,
                             capture_output=True, text=True).stdout
    package = re.search(r'Depends: (\S+)', depends)
    if package is None:
        raise NoLab(f'apt knows no {DEBIAN[name]}')
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        run('dpkg', '-x', download(package.group(1), work), work + '/x')
        os.rename(glob.glob(work + '/x/boot/vmlinuz-*')[0], work + '/x/bzImage')
        version = os.listdir(work + '/x/lib/modules')[0]
        run('depmod', '-b', work + '/x', version)
        os.rename(work + '/x', folder)
    return folder


def debian_package(name):
    """One of Debian's packages, kept below build-lab/; returns its file."""
    path = os.path.join(CACHE, f'{name}.deb')
    if not os.path.exists(path):
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            os.rename(download(name, work), path)
    return path


def module_files(modules, names):
    """Files of the named modules and of what they need, in loading order; built-in ones are left out."""
    found = {}
    for path in glob.glob(modules + '/*/kernel/**/*.ko*', recursive=True):
        found[os.path.basename(path).split('.ko')[0].replace('-', '_')] = path
    order = []

    def add(name):
        path = found.get(name.replace('-', '_'))
        if path is None or path in order:
            return
        needs = re.search(rb'\0?depends=([^\0]*)\0', read_module(path)).group(1).decode()
        for other in filter(None, needs.split(',')):
            add(other)
        order.append(path)

    for name in names:
        add(name)
    return order


def read_module(path):
    opener = lzma.open if path.endswith('.xz') else open
    with opener(path, 'rb') as file:
        return file.read()


def make_initramfs(folder):
    """A small initramfs whose only task is to reach the 9p root."""
    target = os.path.join(folder, 'initramfs')
    if os.path.exists(target) and os.path.getmtime(target) > os.path.getmtime(__file__):
        return target
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        os.makedirs(work + '/bin')
        os.makedirs(work + '/modules')
        shutil.copy('/bin/busybox', work + '/bin/busybox')
        os.symlink('busybox', work + '/bin/sh')
        names = []
        for path in module_files(os.path.join(folder, 'lib/modules'), BOOT_MODULES):
            name = os.path.basename(path).split('.ko')[0] + '.ko'
            with open(f'{work}/modules/{name}', 'wb') as file:
                file.write(read_module(path))
            names.append(name)
        with open(work + '/modules.order', 'w', encoding='ascii') as file:
            file.write('\n'.join(names) + '\n')
        with open(work + '/init', 'w', encoding='ascii') as file:
            file.write(INIT)
        os.chmod(work + '/init', 0o755)
        with open(target + '.new', 'wb') as file:
            run('sh', '-c', 'find . | cpio -o -H newc --quiet', cwd=work, stdout=file)
        os.rename(target + '.new', target)
    return target


def qemu_command(options, folder, share, console):
    command = ['qemu-system-x86_64', '-machine', 'q35', '-accel', 'tcg,thread=multi,tb-size=512',
               '-cpu', options.cpu, '-smp', str(options.smp), '-m', str(options.memory),
               '-display', 'none', '-no-reboot', '-nic', 'none', '-monitor', 'none',
               '-serial', 'file:' + console, '-serial', 'stdio',
               '-kernel', os.path.join(folder, 'bzImage'), '-initrd', make_initramfs(folder),
               '-append', f'console=ttyS0 panic=-1 {options.append}',
               '-virtfs', 'local,path=/,mount_tag=root,security_model=none,readonly=on,'
                          'multidevs=remap',
               '-virtfs', f'local,path={share},mount_tag=share,security_model=none',
               '-device', 'virtio-rng-pci']
    if options.plugin:
        command += ['-plugin', options.plugin]
    if options.icount or options.single:
        command[command.index('-accel') + 1] = 'tcg,thread=single,tb-size=512'
    if options.icount:
        command += ['-icount', 'shift=1,sleep=off']
    if options.numa:
        half, memory = options.smp // 2, options.memory // 2
        for node in (0, 1):
            first = node * half
            command += ['-object', f'memory-backend-ram,id=ram{node},size={memory}M',
                        '-numa', f'node,nodeid={node},memdev=ram{node},'
                                 f'cpus={first}-{first + half - 1}']
    return command


def quote(words):
    return ' '.join("'" + word.replace("'", "'\\''") + "'" for word in words)


def prepare(options):
    """The kernel's folder, once all that a lab takes is there."""
    missing = [tool for tool in ('qemu-system-x86_64', 'busybox', 'cpio', 'depmod', 'xz')
               if shutil.which(tool) is None]
    if missing:
        raise NoLab('needs ' + ', '.join(missing))
    if os.geteuid() != 0:
        raise NoLab('needs root, to read all of /')
    os.makedirs(CACHE, exist_ok=True)
    folder = debian_kernel(options.kernel) if options.kernel in DEBIAN \
        else os.path.abspath(options.kernel)
    if not os.path.exists(folder + '/bzImage'):
        raise NoLab(f'there is no {folder}/bzImage')
    for name in options.package:
        debian_package(name)
    return folder


def boot(options, folder, share, console, output=None):
    """Runs the emulator until it ends, or is stopped."""
    for name, text in (('start', START), ('modules', os.path.join(folder, 'lib/modules') + '\n'),
                       ('packages', ''.join(debian_package(name) + '\n' for name in options.package)),
                       ('command', f'cd {quote([os.getcwd()])} && {quote(options.command)}\n')):
        with open(f'{share}/{name}', 'w', encoding='utf-8') as file:
            file.write(text)
    process = subprocess.Popen(qemu_command(options, folder, share, console),
                               stdin=subprocess.DEVNULL, stdout=output)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        process.wait(options.timeout)
    except subprocess.TimeoutExpired:
        print(f'error: the lab did not end within {options.timeout:.0f} s', file=sys.stderr)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--kernel', default='stock')
    parser.add_argument('--smp', type=int, default=4)
    parser.add_argument('--memory', type=int, default=4096, help='MiB')
    parser.add_argument('--numa', action='store_true', help='two nodes')
    parser.add_argument('--cpu', default='max')
    # On a host that is too busy, the kernel would find no timer when it tries it, and panic.
    parser.add_argument('--append', default='quiet no_timer_check', help='kernel command line')
    parser.add_argument('--package', action='append', default=[], help='one of Debian\'s to have there')
    parser.add_argument('--plugin', help="one of TCG's, and its arguments: FILE[,NAME=VALUE]")
    parser.add_argument('--single', action='store_true', help='one thread for all emulated CPUs')
    parser.add_argument('--icount', action='store_true',
                        help='one CPU at a time, with a clock of 2 ns per instruction')
    parser.add_argument('--timeout', type=float, default=1200, help='seconds')
    parser.add_argument('--tap', action='store_true', help='skip, by TAP, where no lab can be had')
    parser.add_argument('command', nargs='+')
    options = parser.parse_args()

    try:
        folder = prepare(options)
    except NoLab as reason:
        if options.tap:
            print(f'1..0 # SKIP no lab: {reason}')
            return 0
        print(f'error: no lab: {reason}', file=sys.stderr)
        return 1
    console = f'{CACHE}/console-{os.getpid()}.log'
    status, again = run_command(options, folder, console), 0
    while status is None and options.tap and emulator_fault(console) and again < 2:
        again += 1
        status = run_command(options, folder, console)
    if again:
        # Below what the command printed: TAP begins with its version.
        print(f'# the emulator failed {again} times, and was started again', flush=True)
    if status is None:
        print(f'error: the lab ended without a result; see {console}', file=sys.stderr)
        return 1
    os.unlink(console)
    return status


def emulator_fault(console):
    """Whether the kernel died of a breakpoint that it had set and taken back itself: when it patches its
    own text, QEMU 7.2 with several CPUs at once can run the old text a moment longer."""
    with open(console, encoding='utf-8', errors='replace') as file:
        return 'Oops: int3' in file.read()


def run_command(options, folder, console):
    """The command's exit status; None: there was no result. TAP is told on only when there is one, so
    that no half of it is left when the lab is started once more."""
    with tempfile.TemporaryDirectory(prefix='corral-lab-') as share, \
            tempfile.TemporaryFile('w+', errors='replace') as output:
        boot(options, folder, share, console, output if options.tap else None)
        try:
            with open(share + '/status', encoding='ascii') as file:
                status = int(file.read())
        except (FileNotFoundError, ValueError):
            status = None
        output.seek(0)
        if status is not None or not emulator_fault(console):
            sys.stdout.write(output.read())
            sys.stdout.flush()
    return status


if __name__ == '__main__':
    sys.exit(main())
