# SPDX-License-Identifier: LGPL-2.1-or-later
"""A QMP client for what a test has to tell a QEMU."""

import json
import socket


class Qmp:
    def __init__(self, path, timeout=30):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.file = self.socket.makefile('rw', encoding='utf-8')
        self.events = []
        assert 'QMP' in json.loads(self.file.readline())
        self('qmp_capabilities')

    def __call__(self, command, **arguments):
        self.file.write(json.dumps({'execute': command, 'arguments': arguments}) + '\n')
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            if 'event' in answer:
                self.events.append(answer)
            elif 'error' in answer:
                raise AssertionError(f'{command}: {answer["error"]["desc"]}')
            else:
                return answer['return']

    def close(self):
        self.file.close()
        self.socket.close()
