#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""takeover.py SOCKET DISK KEY: register KEY for this host and take the reservation over from any holder.
The host that held it cannot write any more after that. If the outcome is not known, this host must
not write either: it ends with 1, and says why."""
import sys

import prhelper

TYPE = prhelper.Type.WRITE_EXCLUSIVE_REGISTRANTS_ONLY
OUTCOMES = {prhelper.Outcome.DONE: "done", prhelper.Outcome.NOT_DONE: "not done",
            prhelper.Outcome.UNKNOWN: "perhaps done"}


def send(what, command, *arguments):
    """A unit attention is news of what others did, in place of the answer: send the command again."""
    while True:
        try:
            return command(*arguments)
        except prhelper.CheckCondition as error:
            if not error.sense or error.sense.key != 6 or error.outcome != prhelper.Outcome.NOT_DONE:
                sys.exit(f"{what}: {error}; it was {OUTCOMES[error.outcome]}")
        except (OSError, prhelper.ProtocolError, prhelper.StatusError) as error:
            sys.exit(f"{what}: {error}; it was {OUTCOMES[error.outcome]}")


def main(path, disk_path, text):
    key = int(text, 16)
    with open(disk_path, "r+b", buffering=0) as disk, \
         send("connect", prhelper.Connection, path, 0, 30) as helper:
        helper.set_timeout(30)
        helper.set_reconnect()
        send("register", helper.register_ignore, disk, key)
        holder = send("read reservation", helper.read_reservation, disk)
        if holder.held and holder.key != key:
            print(f"held by {holder.key:x}")
            send("preempt", helper.preempt, disk, key, holder.key, TYPE)
        elif not holder.held:
            send("reserve", helper.reserve, disk, key, TYPE)
        print(f"held by {send('read reservation', helper.read_reservation, disk).key:x}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: takeover.py SOCKET DISK KEY")
    main(*sys.argv[1:])
