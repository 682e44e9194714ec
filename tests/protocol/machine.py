# SPDX-License-Identifier: LGPL-2.1-or-later
"""Virtual machines, as far as the helper can tell: processes with a name and commands."""
import json
import os
import subprocess
import sys

from support import scsi

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REGISTER = scsi.pr_out(24, scsi.REGISTER_AND_IGNORE)

#: A client that is a process of its own, with a command line and control group of its own: it
#: sends each CDB and parameter list that it reads, and says the status.
CLIENT = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from support.client import Connection
connection, fd = Connection(sys.argv[2]), os.open(sys.argv[3], os.O_RDWR)
for line in sys.stdin:
    cdb, parameters = map(bytes.fromhex, json.loads(line))
    print(connection.command(cdb, fd, parameters).status, flush=True)
"""


class Machine:
    """A process that looks like QEMU with that -name, as a client of the helper."""

    def __init__(self, t, helper, *arguments, disk=None, prefix=()):
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-c", CLIENT, TESTS, helper.socket_path, (disk or t.disk).path,
             *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, close_fds=True)
        self.pid = self.process.pid
        t.cleanup.callback(self.close)

    def ask(self, cdb, parameters=b""):
        """The status of the answer."""
        self.begin(cdb, parameters)
        return self.end()

    def end(self):
        return int(self.process.stdout.readline())

    def begin(self, cdb, parameters=b""):
        """Without waiting for the answer, which end() does."""
        self.process.stdin.write(json.dumps([cdb.hex(), parameters.hex()]) + "\n")
        self.process.stdin.flush()

    def register(self, key):
        return self.ask(REGISTER, scsi.parameters(0, key))

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
