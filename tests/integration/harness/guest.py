# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guests of a known load: our ROM (tests/guest) in a libvirt domain, or in a QEMU beside it."""

import mmap
import os
import re
import struct
import xml.etree.ElementTree as xml
from xml.sax.saxutils import escape

from . import proc
from .qmp import Qmp
from .wait import Timeout, until

# tests/guest/mailbox.h
MAILBOX, SLOT = 0x10000, 64
MAGIC = 0x47524f43
RAM = 2 * 1024 * 1024

DOMAIN = '''<domain type='{type}'>
  <name>{name}</name>
  <memory unit='KiB'>2048</memory>
  <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>
  <vcpu current='{vcpus}'>{max_vcpus}</vcpu>
  {iothreads}
  {resource}
  <os><type arch='x86_64' machine='q35'>hvm</type><loader type='rom'>{rom}</loader></os>
  <features><acpi/><apic/></features>
  {cputune}
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>{qemu}</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>'''


class Mailbox:
    """The guest's RAM, shared with us: what its vCPUs shall do, and what they have done."""

    def __init__(self, pid):
        self.map = None
        for number in os.listdir(f'/proc/{pid}/fd'):
            path = f'/proc/{pid}/fd/{number}'
            try:
                if os.readlink(path).startswith('/memfd:') and os.stat(path).st_size == RAM:
                    fd = os.open(path, os.O_RDWR)
                    self.map = mmap.mmap(fd, RAM)
                    os.close(fd)
                    return
            except FileNotFoundError:
                pass
        raise AssertionError(f'QEMU (process {pid}) has no guest RAM that it shares')

    def close(self):
        self.map.close()

    def is_up(self):
        return struct.unpack_from('<I', self.map, MAILBOX)[0] == MAGIC

    def period_ns(self):
        return struct.unpack_from('<I', self.map, MAILBOX + 8)[0]

    def set_load(self, vcpu, load):
        """@load: part of the time, 0 to 1."""
        struct.pack_into('<I', self.map, MAILBOX + SLOT * (vcpu + 1), round(load * 1000))

    def vcpu(self, index):
        names = ('load', 'alive', 'periods', 'busy', 'iterations', 'stolen', 'starts')
        values = struct.unpack_from('<IIQQQQI', self.map, MAILBOX + SLOT * (index + 1))
        slot = dict(zip(names, values))
        tsc = struct.unpack_from('<I', self.map, MAILBOX + 12)[0]
        for name in ('busy', 'stolen'):
            slot[name + '_ns'] = slot[name] * self.period_ns() // tsc if tsc else 0
        return slot


class Running:
    """What a guest in a domain and one in a plain QEMU have in common, while it runs."""

    pid = None
    _mailbox = None

    @property
    def mailbox(self):
        if self._mailbox is None:
            self._mailbox = Mailbox(self.pid)
        return self._mailbox

    def _forget(self):
        if self._mailbox is not None:
            self._mailbox.close()
        self._mailbox = None
        self.pid = None

    def set_load(self, load, vcpu=None):
        """@load: the part of its time that a vCPU is busy, for one vCPU or for all there may be."""
        for index in range(self.max_vcpus) if vcpu is None else [vcpu]:
            self.mailbox.set_load(index, load)

    def wait_up(self, vcpus=None):
        """Until that many vCPUs (default: as many as there are) run the guest's code."""
        count = vcpus or self.vcpus
        until(lambda: self.mailbox.is_up() and
              all(self.mailbox.vcpu(i)['alive'] for i in range(count)),
              f'{count} vCPUs of {self.name} to run')
        return self

    def threads(self):
        return proc.threads(self.pid)

    def vcpu_threads(self):
        return proc.vcpus(self.pid)

    def run_ns(self):
        return proc.run_ns(self.pid)

    def is_running(self):
        return self.pid is not None and proc.exists(self.pid)


class Guest(Running):
    """A libvirt domain. Its name bears the session's tag, so that all of it is found again."""

    def __init__(self, libvirtd, name, vcpus=1, max_vcpus=None, partition=None, iothreads=0,
                 cputune='', load=0.0):
        self.libvirtd, self.session = libvirtd, libvirtd.session
        self.virsh = libvirtd.virsh
        self.short = name
        self.name = self.session.name(name)
        self.vcpus, self.max_vcpus = vcpus, max_vcpus or vcpus
        self.partition, self.iothreads, self.cputune = partition, iothreads, cputune
        self.load = load
        self.session.guests.append(self)

    def xml(self):
        partition = escape(self.partition or '')
        resource = f'<resource><partition>{partition}</partition></resource>'
        return DOMAIN.format(
            type='kvm' if self.session.accel == 'kvm' else 'qemu', name=escape(self.name),
            vcpus=self.vcpus, max_vcpus=self.max_vcpus, rom=self.session.rom,
            qemu=self.session.qemu, resource=resource if partition else '',
            iothreads=f'<iothreads>{self.iothreads}</iothreads>' if self.iothreads else '',
            cputune=f'<cputune>{self.cputune}</cputune>' if self.cputune else '')

    def define(self):
        path = f'{self.session.folder}/{self.name}.xml'
        with open(path, 'w', encoding='utf-8') as file:
            file.write(self.xml())
        self.virsh('define', path)
        return self

    def try_start(self, paused=False):
        """What virsh said; for starts that shall be refused."""
        return self.virsh.try_('start', self.name, *(['--paused'] if paused else []), timeout=120)

    def start(self, paused=False):
        answer = self.try_start(paused)
        assert answer.status == 0, str(answer)
        self.find()
        if not paused:
            self.set_load(self.load)
            self.wait_up()
        return self

    def find(self):
        """Its process, from libvirt's own record."""
        self._forget()
        self.pid = int(proc.read(f'{self.libvirtd.state_folder}/{self.name}.pid'))

    def resume(self):
        self.virsh('resume', self.name)
        self.set_load(self.load)
        return self.wait_up()

    def plug(self, count):
        """Brings the number of vCPUs up to @count, live; waits for their threads and their code."""
        self.virsh('setvcpus', self.name, count, '--live')
        self.vcpus = count
        until(lambda: len(self.vcpu_threads()) == count, f'{count} vCPU threads')
        return self.wait_up()

    def unplug(self, count):
        """Down to @count. Under TCG libvirt never hears that a vCPU has gone, and says so after 5 s
        (see the notes on QEMU 7.2); what counts is that its thread has ended."""
        self.virsh.try_('setvcpus', self.name, count, '--live')
        self.vcpus = count
        until(lambda: len(self.vcpu_threads()) == count, f'{count} vCPU threads to be left')
        return self

    def kill(self):
        """QEMU dies; libvirtd finds out by itself."""
        self.session.keeper.kill(self.pid)
        pid = self.pid
        self._forget()
        until(lambda: not proc.exists(pid), f'the end of QEMU (process {pid})')

    def destroy(self):
        self.virsh('destroy', self.name)
        pid = self.pid
        self._forget()
        until(lambda: not proc.exists(pid), f'the end of QEMU (process {pid})')

    def tainted(self):
        """Whether libvirt marks the domain as tampered with."""
        status = xml.parse(f'{self.libvirtd.state_folder}/{self.name}.xml').getroot()
        return [taint.get('flag') for taint in status.findall('taint')]


class PlainQemu(Running):
    """A QEMU that libvirt knows nothing of, with a QMP socket for the test and one to give away."""

    def __init__(self, session, name, vcpus=1, max_vcpus=None, load=0.0, user=None):
        self.session = session
        self.user = user
        self.short, self.name = name, session.name(name)
        self.vcpus, self.max_vcpus = vcpus, max_vcpus or vcpus
        self.load = load
        self.qmp = None
        self.socket = f'{session.folder}/{name}.qmp'
        self.our_socket = f'{session.folder}/{name}.qmp-test'
        session.guests.append(self)

    def start(self, paused=False):
        argv = qemu_argv(self.session, self.session.accel, self.name, self.vcpus, self.max_vcpus)
        argv += ['-runas', self.user] if self.user else []
        argv += ['-qmp', f'unix:{self.socket},server=on,wait=off',
                 '-qmp', f'unix:{self.our_socket},server=on,wait=off'] + (['-S'] if paused else [])
        self.pid = self.session.keeper.start(argv, f'{self.session.folder}/{self.name}.log')
        until(self._connect, f'{self.name} to answer on its QMP socket')
        if not paused:
            self.set_load(self.load)
            self.wait_up()
        return self

    def _connect(self):
        log = f'{self.session.folder}/{self.name}.log'
        assert self.session.keeper.status(self.pid) is None, f'QEMU ended: {proc.read(log)}'
        try:
            self.qmp = Qmp(self.our_socket)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def plug(self, count):
        slots = [s for s in self.qmp('query-hotpluggable-cpus') if 'qom-path' not in s]
        slots.sort(key=lambda s: s['props']['socket-id'])
        for slot in slots[:count - self.vcpus]:
            self.qmp('device_add', driver=slot['type'], id=f'cpu{slot["props"]["socket-id"]}',
                     **slot['props'])
        self.vcpus = count
        until(lambda: len(self.vcpu_threads()) == count, f'{count} vCPU threads')
        return self.wait_up()

    def kill(self):
        self.session.keeper.kill(self.pid)
        self.session.keeper.wait(self.pid)
        self.qmp.close()
        self._forget()


def qemu_argv(session, accel, name, vcpus, max_vcpus):
    return [session.qemu, '-machine', 'q35,memory-backend=ram', '-accel', accel, '-m', '2',
            '-object', f'memory-backend-memfd,id=ram,size={RAM},share=on', '-bios', session.rom,
            '-smp', f'{vcpus},maxcpus={max_vcpus},sockets={max_vcpus},cores=1,threads=1',
            '-nodefaults', '-display', 'none', '-name', f'{name},debug-threads=on']


def kvm_works(session):
    """Whether KVM here runs our guest, and fast enough to keep its load: the device may be there
    and be of no use (an emulation that steps through each instruction, say). Returns why not."""
    try:
        os.close(os.open('/dev/kvm', os.O_RDWR))
    except OSError as error:
        return f'/dev/kvm: {error.strerror}'
    argv = qemu_argv(session, 'kvm', session.name('probe'), 1, 1)
    pid = session.keeper.start(argv, session.folder + '/kvm.log')

    def mailbox():
        assert session.keeper.status(pid) is None, 'QEMU does not start with KVM'
        try:
            return Mailbox(pid)
        except (AssertionError, FileNotFoundError):
            return None
    try:
        box = until(mailbox, 'QEMU to start', 5)
        box.set_load(0, 0.2)
        # 50 periods take half a second if all is well
        until(lambda: box.vcpu(0)['periods'] > 50 and box.vcpu(0)['busy_ns'] > 20_000_000,
              'the guest to run under KVM', 5)
    except (AssertionError, Timeout) as error:
        return str(error)
    finally:
        session.keeper.kill(pid)
        session.keeper.wait(pid)
    return None


def choose_accel(session):
    """"tcg" or "kvm": as CORRAL_TEST_ACCEL says; "auto" takes KVM where it really works."""
    wish = os.environ.get('CORRAL_TEST_ACCEL', 'tcg')
    if not re.fullmatch('tcg|kvm|auto', wish):
        raise AssertionError(f'CORRAL_TEST_ACCEL is "{wish}", not tcg, kvm or auto')
    if wish == 'auto':
        return 'tcg' if kvm_works(session) else 'kvm'
    return wish
