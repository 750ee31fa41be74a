# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real things to test against: a private libvirtd, guests of a known load, corrald, and /proc.

A suite opens one Session; all that it starts belongs to the session, which ends it and checks that
nothing is left behind. Nothing here waits for a fixed time: see wait.until()."""

from .cgroups import Cgroups
from .container import Container
from .corrald import Corrald
from .guest import Guest, PlainQemu, choose_accel
from .libvirtd import PrivateLibvirtd
from .session import Session
from .tap import Skip, Suite
from .virsh import Virsh
from . import proc
from .wait import Timeout, until

__all__ = ['Cgroups', 'Container', 'Corrald', 'Guest', 'PlainQemu', 'PrivateLibvirtd', 'Session',
           'Skip', 'Suite', 'Timeout', 'Virsh', 'choose_accel', 'proc',
           'until']
