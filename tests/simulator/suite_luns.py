# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which file is which LUN, which socket is which nexus, and what one does to the other."""
import os
import socket
import time

from support import scaled, scsi
from support.tap import cases, test

from simulator.fixture import (ALL_REGISTRANTS, CONFLICT, EXCLUSIVE_ACCESS, GOOD, PREEMPTED,
                               REFUSED, REGISTRANTS_ONLY, REGISTRATION_PREEMPTED, RELEASED,
                               WRITE_EXCLUSIVE, Host)


def both_registered(t):
    """Hosts a and b of one LUN, registered with 0xA and 0xB."""
    a, b = t.hosts(t.start(), t.make_lun())
    t.good(a.register(0xA), "REGISTER of a")
    t.good(b.register(0xB), "REGISTER of b")
    return a, b


# -- LUNs


@test
def two_names_of_a_file_are_one_lun(t):
    simulator, path = t.start(), t.make_lun()
    os.link(path, path + "-link")
    os.symlink(path, path + "-symlink")
    t.good(t.host(simulator, "a", path).register(0xA))
    for other in ("-link", "-symlink"):
        t.equal(t.host(simulator, "b", path + other).keys(), (1, [0xA]), f"keys of {other}")


@test
def two_files_are_two_luns(t):
    simulator = t.start()
    first, second = t.host(simulator, "a", t.make_lun()), t.host(simulator, "a", t.make_lun())
    t.good(first.register(0xA))
    t.good(first.reserve(0xA))
    t.equal(second.keys(), (0, []), "keys of the other LUN")
    t.good(second.register(0xB))
    t.equal(first.keys(), (1, [0xA]), "keys of the first LUN")
    # Both on one connection: the fd alone says which.
    t.equal(Host(first.connection, second.lun, first.read_with).keys(), (1, [0xB]), "keys through the other fd")


@test
def lun_outlives_its_name(t):
    simulator, path = t.start(), t.make_lun()
    host = t.host(simulator, "a", path)
    t.good(host.register(0xA))
    os.unlink(path)
    t.equal(host.keys(), (1, [0xA]), "keys")


@test
def contents_play_no_part(t):
    simulator, path = t.start(), t.make_lun()
    host = t.host(simulator, "a", path)
    t.good(host.register(0xA))
    os.pwrite(host.lun, b"something", 0)
    t.good(host.reserve(0xA))
    t.equal(os.pread(host.lun, 100, 0), b"something", "contents")


@test
def no_regular_file(t):
    simulator = t.start()
    here, there = socket.socketpair()
    t.cleanup.callback(here.close)
    t.cleanup.callback(there.close)
    ends = [t.own(fd) for fd in os.pipe()]
    lun = t.make_lun()
    for what, fd in (("a character device", t.open("/dev/null")), ("a pipe", ends[1]),
                     ("a socket", here.fileno()), ("a directory", t.open("/", os.O_RDONLY)),
                     ("O_PATH", t.open(lun, os.O_PATH))):
        host = t.host(simulator, "a", lun)
        host.lun = fd
        t.replied(host.query(), REFUSED, f"READ KEYS of {what}")
        t.replied(host.register(1), REFUSED, f"REGISTER of {what}")
    simulator.wait_log("a: refused: a simulated LUN is a regular file")


@test
def read_only_fd(t):
    simulator, lun = t.start(), t.make_lun()
    host = t.host(simulator, "a", lun, os.O_RDONLY)
    t.equal(host.keys(), (0, []), "keys")
    t.replied(host.register(1), REFUSED, "REGISTER")
    t.replied(host.connection.command(scsi.cleanup(), host.lun), REFUSED, "CLEANUP")
    t.equal(host.keys(), (0, []), "keys")
    writer = t.host(simulator, "a", lun, os.O_WRONLY)
    t.good(writer.register(1), "REGISTER through a write-only fd")
    t.good(writer.connection.command(scsi.cleanup(), writer.lun), "CLEANUP")
    t.equal(host.keys(), (1, [1]), "keys after CLEANUP")


@cases(0, 1, 7, 8, 12, 16, 17, 8192)
def allocation_length_cuts(t, allocation):
    host = t.host(t.start(), "a", t.make_lun())
    t.good(host.register(0x1122334455667788))
    data = scsi.read_keys_data(0x1122334455667788)
    t.equal(host.query(allocation=allocation).payload, data[:allocation], "data")


# -- nexuses


@test
def each_socket_is_a_nexus(t):
    a, b = both_registered(t)
    t.equal(a.keys(), (2, [0xA, 0xB]), "keys")
    names = [status.transportid[4:].rstrip(b"\0") for status in a.full_status()]
    t.equal(names, [b"iqn.2026-11.simulator:%s,i,0x000000000001" % name for name in (b"a", b"b")],
            "initiator ports")
    t.equal([(status.key, status.holder, status.port) for status in a.full_status()],
            [(0xA, False, 1), (0xB, False, 1)], "registrations")


@test
def connections_of_a_socket_are_one_nexus(t):
    simulator, lun = t.start(), t.make_lun()
    first, second = (t.host(simulator, "a", lun) for _ in range(2))
    t.good(first.register(1))
    t.replied(second.register(2), CONFLICT, "REGISTER, as if it were new")
    t.good(second.reserve(1), "RESERVE through the other connection")
    first.connection.close()
    second.connection.close()
    t.equal(t.host(simulator, "a", lun).reservation(), (1, WRITE_EXCLUSIVE), "reservation")


@test
def the_second_reservation_is_refused(t):
    a, b = both_registered(t)
    t.good(a.reserve(0xA, EXCLUSIVE_ACCESS))
    t.replied(b.reserve(0xB, EXCLUSIVE_ACCESS), CONFLICT, "RESERVE of b")
    t.equal(b.reservation(), (0xA, EXCLUSIVE_ACCESS), "reservation")


@test
def wrong_key(t):
    a, _ = both_registered(t)
    for action in (scsi.REGISTER, scsi.RESERVE, scsi.RELEASE, scsi.CLEAR, scsi.PREEMPT):
        t.replied(a.out(action, 0xC, 0xB, WRITE_EXCLUSIVE), CONFLICT, f"service action {action}")
    t.equal(a.keys(), (2, [0xA, 0xB]), "keys")


@test
def take_over(t):
    """The story of a fencing: the holder is preempted, learns it, and is out."""
    a, b = both_registered(t)
    t.good(a.reserve(0xA, REGISTRANTS_ONLY))
    t.good(b.out(scsi.PREEMPT, 0xB, 0xA, REGISTRANTS_ONLY), "PREEMPT")
    t.equal(b.reservation(), (0xB, REGISTRANTS_ONLY), "reservation")
    t.equal(b.keys(), (3, [0xB]), "keys")
    t.replied(a.reserve(0xA, REGISTRANTS_ONLY), CONFLICT, "what the reservation forbids to a")
    t.replied(a.query(), REGISTRATION_PREEMPTED, "a's first command that it does not forbid")
    t.replied(a.reserve(0xA, REGISTRANTS_ONLY), CONFLICT, "a's command after that")


@test
def clear_tells_the_others(t):
    a, b = both_registered(t)
    t.good(a.reserve(0xA))
    t.good(a.out(scsi.CLEAR, 0xA))
    t.replied(b.query(), PREEMPTED, "b's next command")
    t.equal(b.keys(), (3, []), "keys")
    t.equal(a.reservation(), None, "reservation")


@test
def release_tells_registrants(t):
    a, b = both_registered(t)
    t.good(a.reserve(0xA, ALL_REGISTRANTS))
    t.equal([(one.key, one.holder, one.type) for one in b.full_status()],
            [(0xA, True, ALL_REGISTRANTS), (0xB, True, ALL_REGISTRANTS)], "full status")
    t.good(a.out(scsi.RELEASE, 0xA, kind=ALL_REGISTRANTS))
    t.replied(b.query(), RELEASED, "b's next command")
    t.replied(b.query(), b.query(), "b's command after that")


@test
def attention_is_per_nexus_and_lun(t):
    simulator = t.start()
    first, second = t.make_lun(), t.make_lun()
    for lun in (first, second):
        a, b = t.hosts(simulator, lun)
        t.good(a.register(0xA))
        t.good(b.register(0xB))
    t.good(t.host(simulator, "a", first).out(scsi.CLEAR, 0xA))
    t.equal(t.host(simulator, "b", second).keys(), (2, [0xA, 0xB]), "the other LUN's keys")
    t.equal(t.host(simulator, "a", first).keys(), (3, []), "keys, as a sees them")
    t.replied(t.host(simulator, "b", first).query(), PREEMPTED, "b's next command")


@test
def cleanup_changes_nothing(t):
    a, _ = both_registered(t)
    t.replied(a.connection.command(scsi.cleanup(), a.lun), GOOD, "CLEANUP")
    t.equal(a.keys(), (2, [0xA, 0xB]), "keys")


@test
def device_latency(t):
    host = t.host(t.start("--device-latency=150"), "a", t.make_lun())
    for command in (lambda: host.register(1), host.query):
        began = time.monotonic()
        t.equal(command().status, scsi.GOOD, "status")
        t.check(time.monotonic() - began >= 0.15, "the command took less than its latency")


@test
def latency_is_not_shared(t):
    """Ten commands of 300 ms each on one LUN take no three seconds."""
    latency = scaled(0.3)
    simulator, lun = t.start(f"--device-latency={latency * 1000:.0f}"), t.make_lun()
    hosts = [t.host(simulator, "a", lun) for _ in range(10)]
    began = time.monotonic()
    for host in hosts:
        host.connection.send_request(scsi.pr_in(8), [host.lun])
    for host in hosts:
        t.equal(host.connection.receive_reply().status, scsi.GOOD, "status")
    t.check(time.monotonic() - began < 7 * latency, "the commands waited for each other")
