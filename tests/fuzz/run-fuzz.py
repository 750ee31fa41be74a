#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs one libFuzzer target for a number of seconds from its seeds. Prints TAP; a finding is kept in the
folder named in the output."""

import os
import subprocess
import sys
import tempfile


def main(program, corpus, seconds, extra):
    name = os.path.basename(program)
    folder = tempfile.mkdtemp(prefix=name + '-')
    command = [program, f'-max_total_time={seconds}', f'-artifact_prefix={folder}/', '-verbosity=0',
               '-print_final_stats=1', '-timeout=20', '-rss_limit_mb=2048', *extra, folder, corpus]
    run = subprocess.run(command, capture_output=True, text=True, errors='replace', check=False)
    runs = [line.split()[-1] for line in run.stderr.splitlines() if 'number_of_executed' in line]
    ok = run.returncode == 0 and runs and int(runs[0]) > 0
    print('1..1')
    print(f'{"ok" if ok else "not ok"} 1 - {name} finds nothing in {seconds} s')
    print(f'# {runs[0] if runs else "no"} runs')
    if not ok:
        for line in run.stderr.splitlines()[-60:]:
            print(f'# {line}')
        print(f'# kept: {folder}')
        return 1
    for file in os.listdir(folder):
        os.unlink(os.path.join(folder, file))
    os.rmdir(folder)
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]))
