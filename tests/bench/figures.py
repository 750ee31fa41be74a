# SPDX-License-Identifier: LGPL-2.1-or-later
"""Timing and the printing of figures, and the way to the integration tests' harness."""

import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'integration'))


def times_ms(call, count):
    """How long each of @count calls took."""
    taken = []
    for _ in range(count):
        began = time.monotonic()
        call()
        taken.append((time.monotonic() - began) * 1000)
    return taken


def percentile(values, part):
    """The value that @part (0 to 1) of all are not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def summary(values):
    """min, median, p99 and max in words; @values in ms."""
    return (f'min {min(values):.2f}, median {statistics.median(values):.2f}, '
            f'p99 {percentile(values, 0.99):.2f}, max {max(values):.2f} ms (n={len(values)})')


def figure(name, text):
    print(f'# figure: {name}: {text}', flush=True)
