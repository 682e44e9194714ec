# SPDX-License-Identifier: LGPL-2.1-or-later
"""The doctor and what a device says of registrations (ctl/machine.py): which path is registered, with
which key, and whether the device contradicts itself. tests/vm has real ones."""
import struct

from support import scsi
from support.client import check_condition, reply
from support.tap import cases, test

from ctl.machine import (CAPABILITIES, FULL_STATUS, KEYS, MAP, Machine, Registrant, fc_path, fc_port,
                         found, full_status, healthy, iscsi_device, iscsi_port, reservation)


# -- what is registered


HOST_KEY = 0xabc
#: Registrations, multipathd's key of the map and prstatus; what is found.
REGISTRATIONS = {
    "one path is left out": (
        (fc_path(HOST_KEY, 1), fc_path(9, 7, 1), fc_path(9, 7, 2)), "0xabc", "set", "failure",
        "only 1 of 2 paths are registered", "locked out"),
    "by another target port": (
        (fc_path(HOST_KEY, 1), fc_path(HOST_KEY, 2, 3), fc_path(9, 7, 1), fc_path(9, 7, 2)), "0xabc",
        "set", "failure", "only 1 of 2 paths are registered", "locked out"),
    "for all target ports": (
        (fc_path(HOST_KEY, 1, None), fc_path(HOST_KEY, 2, None)), "0xabc", "set", "good",
        "2 of 2 paths are registered; prstatus is set", ""),
    "a device without target ports": (
        tuple(Registrant(HOST_KEY, fc_port("500143802426baf5"), 0) for _ in "a") +
        tuple(Registrant(HOST_KEY, fc_port("500143802426baf6"), 0) for _ in "a"), "0xabc", "set", "good",
        "2 of 2 paths are registered; prstatus is set", ""),
    "more than there are paths": (
        (fc_path(HOST_KEY, 1), fc_path(HOST_KEY, 2), fc_path(HOST_KEY, 1, 7), fc_path(HOST_KEY, 2, 8)),
        "0xabc", "set", "good", "2 of 2 paths are registered; prstatus is set", ""),
    "one for the host": (
        (fc_path(HOST_KEY, 1), fc_path(9, 7, 1)), "0xabc", "set", "unknown",
        "1 of 2 paths have a registration of their own, and the device may keep one for each host or "
        "host port", "RESERVATION CONFLICT: it is not"),
    "different keys": (
        (fc_path(HOST_KEY, 1), fc_path(0xdef, 2)), "0xabc", "set", "failure",
        "key mismatch: the paths are registered with different keys", "register again"),
    "another key than multipathd's": (
        (fc_path(HOST_KEY, 1), fc_path(HOST_KEY, 2)), "0xdef", "set", "failure",
        "key mismatch: multipathd has key 0xdef, and the map is registered with 0xabc",
        f"Warning: .*multipathd setprkey map {MAP} key 0xabc"),
    "prstatus is unset": (
        (fc_path(HOST_KEY, 1), fc_path(HOST_KEY, 2)), "0xabc", "0", "warning",
        "multipathd's prstatus is unset, but the map is registered", "register again"),
    "prstatus is set": (
        (fc_path(HOST_KEY, 7),), "none", "1", "warning",
        "multipathd's prstatus is set, but the map is not registered",
        "Warning: .*qemu-pr-ctl cleanup"),
    "nobody": ((), "none", "unset", "good", "0 of 2 paths are registered; prstatus is unset", ""),
    "others only": (
        (fc_path(1, 7), fc_path(2, 8)), "none", "unset", "good",
        "0 of 2 paths are registered; prstatus is unset", ""),
    "an unknown word": (
        (fc_path(HOST_KEY, 1), fc_path(HOST_KEY, 2)), "0xabc", "perhaps", "good",
        "2 of 2 paths are registered; prstatus is known to root only", ""),
    "without a TransportID": (
        (Registrant(HOST_KEY, b""), Registrant(HOST_KEY, b"")), "0xabc", "set", "unknown",
        "1 of 2 paths have a registration of their own, and the device may keep one for each host or "
        "host port", "RESERVATION CONFLICT"),
    "without a TransportID or a port": (
        (Registrant(HOST_KEY, b"", None), Registrant(HOST_KEY, b"", None)), "0xabc", "set", "unknown",
        "2 of 2 paths may be registered, by 2 registrations of this host; /sys does not show whether "
        "they are current", "RESERVATION CONFLICT"),
}


def told(machine, own, prstatus):
    machine.multipathd.answers["getprkey"] = own.encode() + b"\n"
    machine.multipathd.answers["getprstatus"] = prstatus.encode() + b"\n"


@cases(*REGISTRATIONS)
def registrations(t, name):
    registrants, own, prstatus, verdict, text, remedy = REGISTRATIONS[name]
    machine = healthy(t)
    told(machine, own, prstatus)
    machine.registered(*registrants)
    found(t, machine.checks(), "registrations", verdict, text, remedy)


ALL_TG_PT = {
    "overrides": ("overrides {\n\tall_tg_pt \"yes\"\n}\n", True),
    "the device": ("devices {\n\tdevice {\n\t\tvendor \"STORAGE\"\n\t\tproduct \"^L.N$\"\n"
                   "\t\tall_tg_pt \"yes\"\n\t}\n}\n", True),
    "another device": ("devices {\n\tdevice {\n\t\tvendor \"STORAGE\"\n\t\tproduct \"VV\"\n"
                       "\t\tall_tg_pt \"yes\"\n\t}\n}\n", False),
    "not of the overrides": ("devices {\n\tdevice {\n\t\tvendor \"STORAGE\"\n\t\tall_tg_pt \"yes\"\n"
                             "\t}\n}\noverrides {\n\tall_tg_pt \"no\"\n}\n", False),
}


@cases(*ALL_TG_PT)
def all_tg_pt(t, name):
    """multipath.conf says that a registration is for all target ports."""
    more, shared = ALL_TG_PT[name]
    machine = healthy(t, more=more)
    machine.registered(fc_path(HOST_KEY, 1))
    verdict, text, _ = machine.checks()["registrations"]
    t.equal(verdict, "good" if shared else "unknown", "verdict")
    t.equal("(all_tg_pt in multipath.conf)" in text, shared, f"text: {text}")


def sessions(t, isids=()):
    """A map over three iSCSI sessions of one initiator."""
    machine = Machine(t)
    machine.make_iscsi_map_of("sdb", "sdc", "sdd", isids=isids)
    machine.start_multipathd(own="0xabc", prstatus="set")
    return machine


OLD = [f"00023d00000{at}" for at in (1, 2, 3)]
NOW = [f"00023d00000{at}" for at in (4, 5, 6)]


def of_sessions(isids, key=HOST_KEY, ports=(1, 2, 3)):
    return [Registrant(key, iscsi_port(isid=isid), port) for isid, port in zip(isids, ports)]


@test
def sessions_without_isid(t):
    """As iscsi_tcp has them: three registrations may be of now, or of before a new login."""
    machine = sessions(t)
    machine.registered(*of_sessions(OLD))
    checks = machine.checks()
    found(t, checks, "registrations", "unknown",
          "3 of 3 paths may be registered, by 3 registrations of this host; /sys does not show whether "
          "they are current", "which changes no registration")
    command = "'qemu-pr-ctl register --direct --key=0xabc --new-key=0xabc /dev/sd"
    t.check(command in checks["registrations"][2], f"no {command}: {checks['registrations'][2]}")


@test
def sessions_of_before(t):
    """Five registrations are not of five paths, where there are three."""
    machine = sessions(t)
    machine.registered(*of_sessions(OLD), *of_sessions(NOW[:2]))
    found(t, machine.checks(), "registrations", "unknown",
          "3 of 3 paths may be registered, by 5 registrations of this host; /sys does not show whether "
          "they are current", "RESERVATION CONFLICT")


@test
def session_that_is_left_out(t):
    """Both registrations are by one target port, so that one path at most has each of the others."""
    machine = sessions(t)
    machine.registered(*of_sessions(OLD[:2], ports=(1, 1)), Registrant(9, fc_port(), 1),
                       Registrant(9, fc_port(), 2))
    found(t, machine.checks(), "registrations", "failure", "at most 1 of 3 paths are registered",
          "locked out")


@cases(("of now", NOW, "good", "3 of 3 paths are registered; prstatus is set"),
       ("of before", OLD, "warning", "multipathd's prstatus is set, but the map is not registered"))
def sessions_with_isid(t, isids, verdict, text):
    """A driver that tells them."""
    machine = sessions(t, NOW)
    machine.registered(*of_sessions(isids))
    t.equal(machine.checks()["registrations"][:2], (verdict, text), "registrations")


@test
def name_for_all_sessions(t):
    """A device that keeps one registration for an iSCSI name."""
    machine = sessions(t)
    machine.registered(Registrant(HOST_KEY, iscsi_device(), None), Registrant(9, iscsi_device("iqn.x:y")))
    found(t, machine.checks(), "registrations", "good", "3 of 3 paths are registered; prstatus is set")


@test
def aptpl_stays(t):
    """REGISTER says whether all registrations of the device persist, so it has to say what is."""
    machine = sessions(t)
    machine.registered(*of_sessions(OLD), active=True)
    t.matches("--new-key=0xabc --aptpl /dev/sd", machine.checks()["registrations"][2], "remedy")


@test
def initiator_that_is_not_known(t):
    """A path of neither iSCSI nor Fibre Channel."""
    machine = Machine(t)
    machine.make_map(slaves=("sdb",))
    machine.make_disk("sdb", 5)
    machine.registered(Registrant(0xabc, iscsi_port()), Registrant(0xabc, fc_port()))
    found(t, machine.checks(), "registrations", "unknown",
          "2 registrations; it is not known which are this host's", "qemu-pr-ctl register --direct")


# -- whether the device contradicts itself


@test
def no_full_status(t):
    machine = healthy(t)
    machine.answers[FULL_STATUS] = check_condition(5, 0x24, 0).encode()
    checks = machine.checks()
    found(t, checks, "answers", "unknown",
          "the device does not list its registrations (READ FULL STATUS)", "qemu-pr-ctl keys")
    t.check("registrations" not in checks, "what is not known is left out")


@test
def lengths_that_contradict(t):
    machine = healthy(t)
    data = bytearray(full_status(fc_path(HOST_KEY, 1)))
    data[28:32] = struct.pack(">I", 1 << 20)  # ADDITIONAL DESCRIPTOR LENGTH
    machine.answers[FULL_STATUS] = reply(payload=bytes(data)).encode()
    checks = machine.checks()
    found(t, checks, "answers", "warning", "the answer to READ KEYS or READ FULL STATUS is malformed",
          "firmware")
    t.check("registrations" not in checks, "what is not known is left out")


@test
def reversed_keys(t):
    """It is named, and no reversed key is put into a command."""
    machine = healthy(t)
    key, backwards = 0x123abc, 0xbc3a120000000000
    told(machine, "0x999", "set")
    machine.keys(key, key, status=full_status(fc_path(backwards, 1), fc_path(backwards, 2)))
    checks = machine.checks()
    found(t, checks, "answers", "warning", "READ FULL STATUS shows keys with their bytes reversed: "
          "0xbc3a120000000000 for 0x0000000000123abc", "do not use those of")
    found(t, checks, "registrations", "failure",
          "key mismatch: multipathd has key 0x999, and the map is registered with 0x123abc",
          f"multipathd setprkey map {MAP} key 0x123abc'")


CONTRADICTIONS = {
    "a key is missing": ((1, 2), (1, 1), {}, "READ KEYS has 0x2, which READ FULL STATUS does not have"),
    "a key is added": ((1, 1), (1, 2), {}, "READ FULL STATUS has 0x2, which READ KEYS does not have"),
    "fewer keys": ((1,), (1, 1), {}, "READ KEYS lists 1 registrations, READ FULL STATUS 2"),
    "no reservation": ((1, 1), (1, 1), {"holds": 5}, "READ FULL STATUS names a holder, key 0x1, but "
                                                     "READ RESERVATION shows no reservation"),
    "no holder": ((1, 1), (1, 1), {"held": reservation(1, 5)}, "READ RESERVATION shows a reservation of "
                                                               "type 5, but READ FULL STATUS names no "
                                                               "holder"),
    "another type": ((1, 1), (1, 1), {"holds": 5, "held": reservation(1, 6)}, "READ RESERVATION shows a "
                                                                              "reservation of type 6, "
                                                                              "but READ FULL STATUS one "
                                                                              "of type 5"),
    "another holder": ((1, 2), (1, 2), {"holds": 5, "held": reservation(2, 5)}, "READ RESERVATION shows "
                                                                                "a reservation of key "
                                                                                "0x2, but READ FULL "
                                                                                "STATUS one of key 0x1"),
}


@cases(*CONTRADICTIONS)
def contradiction(t, name):
    keys, registrants, more, text = CONTRADICTIONS[name]
    machine = healthy(t)
    machine.keys(*keys, held=more.get("held", reservation()), status=full_status(
        fc_path(registrants[0], 1, holds=more.get("holds", 0)), fc_path(registrants[1], 2)))
    found(t, machine.checks(), "answers", "warning", text, "firmware")


@cases(("one of them", 5, 0), ("all of them", 7, 7))
def answers_agree_on_the_holder(t, kind, second):
    machine = healthy(t)
    machine.registered(fc_path(HOST_KEY, 1, holds=kind), fc_path(HOST_KEY, 2, holds=second),
                       held=reservation(0 if kind == 7 else HOST_KEY, kind))
    found(t, machine.checks(), "answers", "good",
          "READ KEYS and READ FULL STATUS agree: 2 registrations")


@test
def changed_between_two_questions(t):
    """A host has registered after READ KEYS, which is asked again."""
    machine = healthy(t)
    keys = iter([scsi.read_keys_data(1), scsi.read_keys_data(1, 2, generation=2)])
    last = []

    class Answers(dict):
        def __getitem__(self, action):
            if action == KEYS:
                last[:] = [next(keys, None) or last[0]]
                return reply(payload=last[0]).encode()
            return super().__getitem__(action)
    machine.keys(1, status=full_status(fc_path(1, 1), fc_path(2, 2), generation=2))
    machine.answers = Answers(machine.answers)
    found(t, machine.checks(), "answers", "good",
          "READ KEYS and READ FULL STATUS agree: 2 registrations")


# -- more than the helper's protocol carries


def many(count):
    """Registrations of other hosts, and behind them those of the two paths."""
    others = [Registrant(0x1000 + at, iscsi_port(f"iqn.2026-01.org.example:host{at:04}"), 1)
              for at in range(count)]
    return [*others, fc_path(HOST_KEY, 1), fc_path(HOST_KEY, 2)]


@test
def more_than_can_be_carried(t):
    """What was shown is counted; that it is not all is said, and not that something is missing."""
    machine = healthy(t)
    registrants = many(120)
    machine.registered(*registrants)
    status = full_status(*registrants)
    t.check(len(status) > 8192, "too few")
    machine.answers[FULL_STATUS] = reply(payload=status[:8192]).encode()
    checks = machine.checks()
    t.equal(checks["answers"][0], "unknown", "verdict")
    t.matches(r"^\d+ of 122 registrations are shown$", checks["answers"][1], "text")
    found(t, checks, "registrations", "unknown",
          "at least 0 of 2 paths are registered; the device did not return all registrations",
          "qemu-pr-ctl register --direct")


@test
def root_reads_all(t):
    """Without the helper there is room for 65,535 bytes."""
    machine = healthy(t)
    registrants = many(120)
    machine.registered(*registrants)
    status = full_status(*registrants)
    machine.answers[FULL_STATUS] = reply(payload=status[:8192]).encode()
    machine.environment = t.lab.control().environment()
    t.disk.answer(status)
    checks = machine.checks()
    found(t, checks, "answers", "good", "READ KEYS and READ FULL STATUS agree: 122 registrations")
    found(t, checks, "registrations", "good", "2 of 2 paths are registered; prstatus is set")
    call, = t.lab.disk().calls()
    t.equal(call.transfer_size, len(status), "allocation length")


# -- devices that are not like others


def answers(machine, action, answer):
    machine.answers[action] = answer.encode()


def one_for_two_paths(machine):
    machine.registered(fc_path(HOST_KEY, 1))


def key_backwards(machine):
    machine.keys(0x123abc, 0x123abc, status=full_status(fc_path(0xbc3a120000000000, 1),
                                                        fc_path(0xbc3a120000000000, 2)))


def no_transport_id(machine):
    machine.registered(Registrant(HOST_KEY, b""), Registrant(HOST_KEY, b""))


def all_ports_without_number(machine):
    machine.registered(fc_path(HOST_KEY, 1, None), fc_path(HOST_KEY, 2, None))


def names_of_iscsi(machine):
    machine.registered(Registrant(HOST_KEY, iscsi_device(), None))


#: What is planted, and the check that finds it: its verdict, words of its text, and of its remedy.
QUIRKS = {
    "no READ FULL STATUS": (
        lambda machine: answers(machine, FULL_STATUS, check_condition(5, 0x24, 0)),
        "answers", "unknown", "does not list its registrations", "qemu-pr-ctl keys"),
    "bytes of keys reversed": (
        key_backwards, "answers", "warning", "bytes reversed: 0xbc3a120000000000", "firmware"),
    "no TransportID": (
        no_transport_id, "registrations", "unknown", "one for each host or host port",
        "RESERVATION CONFLICT: it is not"),
    "ALL_TG_PT without a port": (
        all_ports_without_number, "registrations", "good", "2 of 2 paths are registered", ""),
    "one registration for two paths": (
        one_for_two_paths, "registrations", "unknown", "one for each host or host port",
        "qemu-pr-ctl register --direct"),
    "an iSCSI name in place of a port": (
        names_of_iscsi, "registrations", "good", "0 of 2 paths are registered", ""),
    "no REPORT CAPABILITIES": (
        lambda machine: answers(machine, CAPABILITIES, check_condition(5, 0x24, 0)),
        "types", "unknown", "does not report its types", ""),
    "no persistent reservations": (
        lambda machine: answers(machine, KEYS, check_condition(5, 0x20, 0)),
        "reservations", "failure", "5/20/00", "does not support persistent reservations"),
    "no such logical unit on a path": (
        lambda machine: answers(machine, KEYS, check_condition(5, 0x25, 0)),
        "reservations", "failure", "5/25/00", "storage's mapping"),
    "a path in standby": (
        lambda machine: answers(machine, KEYS, check_condition(2, 0x04, 0x0B)),
        "reservations", "failure", "2/04/0B", "ALUA state"),
    "a path that is busy": (
        lambda machine: answers(machine, KEYS, reply(status=scsi.BUSY)),
        "reservations", "failure", "BUSY", "reached its limit of commands in flight"),
    "a reservation of SPC-2": (
        lambda machine: answers(machine, KEYS, reply(status=scsi.RESERVATION_CONFLICT)),
        "reservations", "failure", "RESERVATION CONFLICT", "RESERVE command of SPC-2"),
    "a failure of transport": (
        lambda machine: answers(machine, KEYS, check_condition(0xB, 0x08, 0)),
        "reservations", "failure", "B/08/00", "has failed: see dmesg"),
}


@cases(*QUIRKS)
def quirk(t, name):
    """It is found by that check and named, and no other check calls it a failure."""
    plant, check, verdict, text, remedy = QUIRKS[name]
    machine = healthy(t)
    if "0 of 2" in text:  # of Fibre Channel paths no iSCSI name is one
        told(machine, "none", "unset")
    if "bytes" in name:
        told(machine, "0x123abc", "set")
    plant(machine)
    checks = machine.checks()
    t.equal(checks[check][0], verdict, f"verdict: {checks[check]}")
    t.matches(text, checks[check][1], "text")
    t.matches(remedy, checks[check][2], "remedy")
    others = [one for one, what in checks.items() if what[0] == "failure" and one != check]
    t.equal(others, [], "further failures")
