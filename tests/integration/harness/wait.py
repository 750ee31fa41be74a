# SPDX-License-Identifier: LGPL-2.1-or-later
"""Waiting on conditions, with a deadline that a slow machine can meet."""

import os
import time

# How many times longer than usual everything may take: a host that is emulated, and checks its locks
PATIENCE = int(os.environ.get('CORRAL_TEST_PATIENCE', '1'))


class Timeout(AssertionError):
    """What was waited for did not happen."""


def until(condition, what, seconds=30, every=0.01):
    """Calls condition() until its value is true, and returns that; @what: for the message."""
    seconds *= PATIENCE
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Timeout(f'waited {seconds} s in vain for {what}')
        time.sleep(every)
