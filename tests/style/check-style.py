#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The style suite: what CONTRIBUTING.md asks for and a program can check. Prints TAP."""

import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIP_FOLDERS = {'.git', '.mesonpy', '__pycache__', 'LICENSES'}
MAX_LINES = 800

def project_files():
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [f for f in folders if f not in SKIP_FOLDERS and not f.startswith('build')]
        for name in names:
            yield os.path.relpath(os.path.join(folder, name), ROOT)


def read(path):
    with open(os.path.join(ROOT, path), encoding='utf-8') as file:
        return file.read()


def c_files():
    return sorted(p for p in project_files() if p.endswith(('.c', '.h')))


def check_spdx():
    """Every source file says its licence in its first lines."""
    sources = ('.c', '.h', '.py', '.S', '.x', '.rng', 'meson.build', 'meson_options.txt')
    for path in project_files():
        text_file = path.endswith(sources) or path in ('run-tests', 'run-demo', '.ci/run')
        if text_file and 'SPDX-License-Identifier:' not in '\n'.join(read(path).split('\n')[:4]):
            yield f'{path}: no SPDX-License-Identifier in its first lines'


def check_headers():
    """A header has #pragma once, and says what it is for."""
    for path in c_files():
        if not path.endswith('.h'):
            continue
        text = read(path)
        if '#pragma once' not in text:
            yield f'{path}: no #pragma once'
        elif text[:text.index('#pragma once')].count('/*') < 2:
            yield f'{path}: no comment that says what it is for, before #pragma once'


def check_size():
    """A file has one subject."""
    for path in c_files():
        lines = read(path).count('\n')
        if lines > MAX_LINES:
            yield f'{path}: {lines} lines, more than {MAX_LINES}'


def check_text():
    """Spaces only, no trailing blanks, 100 columns, one newline at the end."""
    for path in c_files():
        text = read(path)
        for number, line in enumerate(text.split('\n'), 1):
            if '\t' in line:
                yield f'{path}:{number}: a tab'
            if line != line.rstrip():
                yield f'{path}:{number}: blanks at the end of the line'
            if len(line) > 100:
                yield f'{path}:{number}: {len(line)} columns'
        if not text.endswith('\n') or text.endswith('\n\n'):
            yield f'{path}: must end with one newline'


def folder_prefixes():
    """Which folder a public function with a prefix lives in, by CONTRIBUTING.md's table."""
    row = re.compile(r'^\| `([a-z/-]+)/` \| ((?:`corral_[a-z_]+`(?:, )?)+) \|', re.M)
    return {folder: tuple(re.findall(r'`([^`]+)`', prefixes))
            for folder, prefixes in row.findall(read('CONTRIBUTING.md'))}


def check_prefixes():
    """A public function's prefix names its folder. Headers not called corral-* are a folder's own."""
    prefixes = folder_prefixes()
    declared = re.compile(r'^[A-Za-z].*?\b(corral_[a-z0-9_]+) \(', re.M)
    for path in c_files():
        folder = os.path.dirname(path)
        if not os.path.basename(path).startswith('corral-') or folder not in prefixes:
            continue
        if not path.endswith('.h'):
            continue
        for match in declared.finditer(re.sub(r'/\*.*?\*/', '', read(path), flags=re.S)):
            if match.group(0).startswith(('#', 'G_DE')):
                continue
            if not match.group(1).startswith(prefixes[folder]):
                yield f'{path}: {match.group(1)} has no prefix of its folder'


def check_purity():
    """policy/ does no I/O; the driver writes no cgroup file; the container core reads no XML."""
    rules = (
        ('policy/', r'#include <(gio|libvirt|stdio|unistd|fcntl|sys|time)[/.]'),
        ('vmm-agent/container/', r'#include <(libxml|libvirt)|#include "(policy|libvirt-driver)/'),
        ('libvirt-driver/driver/', r'/sys/fs/cgroup|#include "vmm-agent/container/cgroup'),
        ('vmm-agent/', r'#include <libxml/'),
    )
    allowed = {('vmm-agent/', 'vmm-agent/vm/')}  # libvirt's status files are XML
    for path in c_files():
        for folder, pattern in rules:
            if any(folder == rule and path.startswith(place) for rule, place in allowed):
                continue
            match = re.search(pattern, read(path)) if path.startswith(folder) else None
            if match:
                yield f'{path}: {match.group(0)} does not belong in {folder}'


def check_unfinished():
    """Nothing is left for later in the code: it goes into an issue."""
    word = re.compile(r'\b(TO' 'DO|FIX' 'ME|X' 'XX|HA' 'CK)\b')
    for path in project_files():
        if path.endswith(('.c', '.h', '.py', '.S', '.x', '.rng')):
            for number, line in enumerate(read(path).split('\n'), 1):
                if word.search(line):
                    yield f'{path}:{number}: {line.strip()}'


def check_format():
    """clang-format changes nothing."""
    program = shutil.which('clang-format-14') or shutil.which('clang-format')
    if program is None:
        return 'clang-format is not installed'
    files = [os.path.join(ROOT, path) for path in c_files()]
    run = subprocess.run([program, '--dry-run', '--style=file', *files], capture_output=True,
                         text=True, check=False)
    return sorted({line for line in run.stderr.split('\n') if 'warning:' in line})


CHECKS = (check_spdx, check_headers, check_size, check_text, check_prefixes, check_purity,
          check_unfinished, check_format)


def main():
    failed = False
    print(f'1..{len(CHECKS)}')
    for number, check in enumerate(CHECKS, 1):
        name = check.__doc__.strip()
        result = check()
        if isinstance(result, str):
            print(f'ok {number} - {name} # SKIP {result}')
            continue
        problems = list(result)
        failed |= bool(problems)
        print(f'{"not ok" if problems else "ok"} {number} - {name}')
        for problem in problems[:40]:
            print(f'# {problem}')
        if len(problems) > 40:
            print(f'# and {len(problems) - 40} more')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
