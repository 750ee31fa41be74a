# SPDX-License-Identifier: LGPL-2.1-or-later
"""A python3-libvirt client that notes events, with an event loop in a thread of its own."""

import threading

import libvirt

from .wait import until

NAMES = {
    libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE: 'lifecycle',
    libvirt.VIR_DOMAIN_EVENT_ID_TUNABLE: 'tunable',
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED: 'device-added',
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED: 'device-removed',
    libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE: 'metadata-change',
}


def loop():
    """libvirt's own event loop; once in a process, before the first connection."""
    libvirt.virEventRegisterDefaultImpl()

    def run():
        while True:
            libvirt.virEventRunDefaultImpl()
    threading.Thread(target=run, daemon=True).start()


libvirt.registerErrorHandler(lambda *_: None, None)


class Watch:
    """The events of a connection as tuples: (name of the event, name of the domain, values ...)."""

    started = False

    def __init__(self, uri):
        if not Watch.started:
            Watch.started = True
            loop()
        self.connection = libvirt.open(uri)
        self.events = []
        self.ids = [self.connection.domainEventRegisterAny(None, number, self._note, name)
                    for number, name in NAMES.items()]

    def _note(self, _connection, domain, *values):
        self.events.append((values[-1], domain.name()) + values[:-1])

    def wait(self, *wanted, seconds=15):
        """Until an event is there that begins with these values; returns it."""
        def found():
            return next((e for e in self.events if e[:len(wanted)] == wanted), None)
        return until(found, f'the event {wanted}; there are {self.events}', seconds)

    def close(self):
        for number in self.ids:
            try:
                self.connection.domainEventDeregisterAny(number)
            except libvirt.libvirtError:
                pass
        self.connection.close()
