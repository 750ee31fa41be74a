# SPDX-License-Identifier: LGPL-2.1-or-later
"""What suites of planned containers share: a corrald that reads a host.xml, its containers and their
guests, what it says of them, and the way back to nothing."""

import os
import signal
import xml.etree.ElementTree as xml

from . import proc
from .container import Container
from .corrald import Corrald
from .guest import Guest
from .libvirtd import PrivateLibvirtd
from .wait import until

PLAN, EXPLAIN, DRIFT = (f'urn:corral:{name}:1' for name in ('plan', 'explain', 'drift'))


class PlannedWorld:
    """@house: the pCPU that is housekeeping. @cpus: those that containers may have; None: all"""

    def __init__(self, session, house, cpus=None):
        self.session, self.house, self.cpus = session, house, cpus
        self.libvirtd = PrivateLibvirtd(session)
        self.corrald = Corrald(session, self.libvirtd, host=self.host())
        session.logs += [self.corrald, self.libvirtd]
        self.libvirtd.add_hook('corral', self.corrald.hook())
        self.libvirtd.start()
        self.corrald.start()
        self.virsh = self.corrald.virsh
        self.boxes = []

    def host(self, more=''):
        return f"<housekeeping cpuset='{self.house}'/>{more}"

    def set_host(self, inner):
        """Another host.xml, which corrald has read by then, if it runs."""
        self.corrald.write_host(inner)
        if self.corrald.pid is not None:
            self.corrald.said()
            os.kill(self.corrald.pid, signal.SIGHUP)
            until(lambda: self.corrald.has_said('READY=1'), 'corrald to read its host.xml')

    def box(self, name, placement, extra=''):
        box = Container(self.corrald, name, cpus=self.cpus, placement=placement, extra=extra)
        self.boxes.append(box)
        return box

    def guest(self, name, box, **options):
        return Guest(self.libvirtd, name, partition=box.path, load=0.05, **options)

    def document(self, box, uri):
        return xml.fromstring(self.virsh('metadata', box.name, '--uri', uri).out)

    def plan(self, box):
        return self.document(box, PLAN)

    def drift(self, box, what, state):
        """The item of @box's drift that is of this kind and in this state; or None."""
        items = (dict(item.attrib) for item in self.document(box, DRIFT).iter('item'))
        wanted = {'container': box.path, 'what': what, 'state': state}
        return next((i for i in items if wanted.items() <= i.items()), None)

    def clear(self):
        """All guests and containers of a test."""
        for guest in self.session.guests:
            if guest.is_running():
                guest.destroy()
            self.libvirtd.virsh.try_('undefine', guest.name)
        self.session.guests.clear()
        for box in reversed(self.boxes):
            if box.virsh.try_('domuuid', box.name).status == 0:
                if box.is_active():
                    box.wait_has(vms=0)
                box.remove()
        self.boxes.clear()

    def tidy(self):
        self.session.kill_guests()
        self.clear()

    def explain(self):
        return self.session.explain()


def wait_alone(guest, seconds=60):
    """Each vCPU on one pCPU of its own; returns these."""
    def places():
        sets = [t.affinity() for t in guest.vcpu_threads()]
        found = set().union(*sets)
        return found if all(len(s) == 1 for s in sets) and len(found) == len(sets) else None
    return until(places, f'the vCPUs of {guest.name} to have a pCPU each', seconds)


def wait_apart(guest, cpus):
    """No thread may run on any of @cpus, which are others'."""
    def strays():
        return [(t.name, proc.cpulist(t.affinity())) for t in guest.threads()
                if t.affinity() & set(cpus)]
    until(lambda: not strays(),
          f'the threads of {guest.name} to keep off pCPUs {proc.cpulist(cpus)}')
