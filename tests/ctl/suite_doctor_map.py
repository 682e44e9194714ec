# SPDX-License-Identifier: LGPL-2.1-or-later
"""The doctor on machines of the test's own (ctl/machine.py): multipath maps, their paths, multipathd
and its configuration, what is registered. tests/vm has real ones."""
import os
import struct

from support import scsi
from support.client import check_condition, reply
from support.tap import cases, test

from ctl.machine import (CAPABILITIES, FULL_STATUS, KEYS, MAP, WWID, Machine, Registrant,
                         capabilities, fc_path, fc_port, full_status, iscsi_device, iscsi_port,
                         reservation)


def healthy(t, **settings):
    """A map with two paths, and nothing wrong with it."""
    machine = Machine(t)
    machine.make_map_of("sdb", "sdc")
    machine.start_multipathd(own="0xabc", prstatus="set", sdb="active ready", sdc="active ready",
                             **settings)
    machine.registered(fc_path(0xabc, 1), fc_path(0xabc, 2))
    return machine


def found(t, checks, name, verdict, text, remedy=""):
    """A finding: verdict, the exact text, and words of the remedy, or none at all."""
    t.check(name in checks, f"no finding of {name}: {sorted(checks)}")
    t.equal(checks[name][:2], (verdict, text), name)
    if remedy:
        t.matches(remedy, checks[name][2], f"remedy of {name}")
    else:
        t.equal(checks[name][2], "", f"remedy of {name}")


@test
def all_is_well(t):
    checks = healthy(t).checks()
    found(t, checks, "device", "good", f"it is the multipath map {MAP} (dm-7)")
    found(t, checks, "types", "good", "types of reservation: 1 3 5 6 7 8")
    found(t, checks, "power-loss", "good", "reservations can outlive a loss of power (APTPL)")
    found(t, checks, "answers", "good", "READ KEYS and READ FULL STATUS agree: 2 registrations")
    found(t, checks, "map", "good", "the map has 2 paths")
    found(t, checks, "multipathd", "good", "multipathd answers at /run/multipathd.socket")
    found(t, checks, "paths", "good", "all paths are up")
    found(t, checks, "queueing", "good",
          "commands do not wait without end while the map has no path")
    found(t, checks, "reservation_key", "good",
          "reservation_key is 'file': guests may choose their keys")
    found(t, checks, "registrations", "good", "2 of 2 paths are registered; prstatus is set")
    t.equal([name for name, one in checks.items() if one[0] == "failure"], [], "failures")


# -- what is named


@cases(("LVM", "LVM-abc", ("sdb",), "a logical volume (LVM) on /dev/sdb", "/dev/sdb"),
       ("crypt", "CRYPT-LUKS2-abc", (), "a device-mapper map on other devices", "lsblk -s"))
def map_that_is_not_multipath(t, uuid, slaves, text, remedy):
    machine = Machine(t)
    machine.make_map(uuid, slaves)
    found(t, machine.checks(), "device", "failure",
          f"it is {text}, and a reservation is of the whole disk", remedy)


@test
def path_of_a_map(t):
    """One of several paths locks out the others."""
    machine = Machine(t)
    machine.make_disk("sdb", 2)
    os.symlink("../../block/sdb", machine.path(f"sys/dev/block/{os.major(t.disk.rdev)}:"
                                               f"{os.minor(t.disk.rdev)}"))
    directory = machine.path("sys/block/sdb")
    os.makedirs(f"{directory}/holders/dm-3")
    os.makedirs(f"{directory}/holders/dm-4")
    for name, uuid in (("dm-3", "LVM-x"), ("dm-4", f"mpath-{WWID}")):
        os.makedirs(machine.path(f"sys/block/{name}/dm"))
        for attribute, value in (("uuid", uuid), ("name", MAP)):
            with open(machine.path(f"sys/block/{name}/dm/{attribute}"), "w",
                      encoding="ascii") as file:
                file.write(f"{value}\n")
    found(t, machine.checks(), "device", "failure", f"it is one path of the multipath map {MAP}",
          f"/dev/mapper/{MAP}")


@test
def read_only_device(t):
    machine = healthy(t)
    with open(machine.path("sys/block/dm-7/ro"), "w", encoding="ascii") as file:
        file.write("1\n")
    found(t, machine.checks(), "writing", "failure", "the kernel has it as read-only",
          "blockdev --setrw")


# -- what the device says


@cases(("without that of Windows", 0x0A00, "1 3"), ("none", 0, "none"))
def types(t, mask, names):
    machine = healthy(t)
    machine.registered(fc_path(0xabc, 1), types=mask)
    found(t, machine.checks(), "types", "warning", f"types of reservation: {names}, without 5",
          "Most clusters use")


@cases(("no APTPL", False, False, "warning", "reservations do not outlive a loss of power: no APTPL"),
       ("active", True, True, "good",
        "reservations can outlive a loss of power (APTPL), and do so now"))
def power_loss(t, aptpl, active, verdict, text):
    machine = healthy(t)
    machine.registered(fc_path(0xabc, 1), aptpl=aptpl, active=active)
    found(t, machine.checks(), "power-loss", verdict, text,
          "" if verdict == "good" else "all hosts have to register again")


@test
def no_capabilities(t):
    machine = healthy(t)
    machine.answers[CAPABILITIES] = check_condition(5, 0x24, 0).encode()
    checks = machine.checks()
    found(t, checks, "types", "unknown", "the device does not say which types of reservation it has")
    t.check("power-loss" not in checks, "what is not known is left out")


@test
def capabilities_without_types(t):
    machine = healthy(t)
    data = bytearray(capabilities())
    data[3] &= 0x7F  # TMV
    machine.answers[CAPABILITIES] = reply(payload=bytes(data)).encode()
    found(t, machine.checks(), "types", "unknown",
          "the device does not say which types of reservation it has")


# -- the map and its paths


@cases(("none", (), "failure", "the map has no path", "multipath -ll"),
       ("one", ("sdb",), "warning", "the map has one path only, sdb", "others are missing"))
def few_paths(t, names, verdict, text, remedy):
    machine = Machine(t)
    machine.make_map_of(*names)
    found(t, machine.checks(), "map", verdict, text, remedy)


@cases(("for multipathd", {}, {"sdc": "failed faulty"}, "warning",
        "1 of 2 paths are down: sdc (failed faulty)"),
       ("for the kernel", {"sdb": "transport-offline"}, {}, "warning",
        "1 of 2 paths are down: sdb (transport-offline)"),
       ("all", {"sdb": "offline", "sdc": "blocked"}, {}, "failure",
        "all paths are down: sdX (offline), sdX (blocked)"))
def paths_that_are_down(t, kernel, daemon, verdict, text):
    machine = Machine(t)
    machine.make_map_of("sdb", "sdc", **kernel)
    machine.start_multipathd(**{"sdb": "active ready", "sdc": "active ghost", **daemon})
    checks = machine.checks()
    t.equal(checks["paths"][0], verdict, "verdict")
    if len(kernel) < 2:
        t.equal(checks["paths"][1], text, "text")
    else:  # in the order of the directory
        t.check(checks["paths"][1] in ("all paths are down: sdb (offline), sdc (blocked)",
                                       "all paths are down: sdc (blocked), sdb (offline)"),
                f"text: {checks['paths'][1]}")
    t.matches("cable, the switch or the session", checks["paths"][2], "remedy")


@cases(("no_path_retry queue", "on", "1 queue_if_no_path", "no_path_retry queue"),
       ("features", "-", "2 queue_if_no_path retain_attached_hw_handler",
        "features queue_if_no_path"),
       ("a number of checks", "12 chk", "1 queue_if_no_path", None),
       ("counting down", "40 sec", "1 queue_if_no_path", None),
       ("nothing is said", "-", "0", None))
def queueing(t, value, features, reason):
    checks = healthy(t, queueing=value, features=features).checks()
    if reason:
        found(t, checks, "queueing", "warning",
              f"commands wait without end while the map has no path ({reason})",
              "gets errors when all paths are gone for a moment.*'no_path_retry fail'")
    else:
        found(t, checks, "queueing", "good",
              "commands do not wait without end while the map has no path")


# -- multipathd


@test
def no_multipathd(t):
    machine = Machine(t)
    machine.make_map_of("sdb", "sdc")
    checks = machine.checks()
    found(t, checks, "multipathd", "failure", "multipathd does not answer, neither at "
          "@/org/kernel/linux/storage/multipathd nor at /run/multipathd.socket",
          "systemctl start multipathd")
    t.check("reservation_key" not in checks, "what nobody can tell is left out")
    found(t, checks, "paths", "good", "all paths are up")
    found(t, checks, "queueing", "unknown", "whether commands wait while the map has no path",
          f"'dmsetup table {MAP}'")


@cases(("not set", "", "failure", "reservation_key is not set in multipath.conf",
        "reservation_key file"),
       ("fixed", "0x123", "warning", "reservation_key is one fixed key, 0x123",
        "set 'reservation_key file'"))
def reservation_key(t, key, verdict, text, remedy):
    machine = healthy(t)
    machine.multipathd.close()
    os.unlink(machine.path("run/multipathd.socket"))
    machine.start_multipathd(key=key)
    found(t, machine.checks(), "reservation_key", verdict, text, remedy)


@cases(("nonsense", b"what?\n", "multipathd's configuration cannot be understood"),
       ("nothing", None, "multipathd does not tell its configuration: Protocol error"))
def configuration(t, answer, text):
    machine = healthy(t)
    machine.multipathd.answers["show config local"] = answer
    found(t, machine.checks(), "reservation_key", "unknown", text)


@test
def key_of_one_map(t):
    """A section of the map's own has the last word; one of another map has none."""
    machine = healthy(t)
    machine.multipathd.answers["show config local"] = (
        "defaults {\n\treservation_key \"file\"\n}\nmultipaths {\n"
        "\tmultipath {\n\t\twwid \"other\"\n\t\treservation_key \"0x1\"\n\t}\n"
        f"\tmultipath {{\n\t\twwid \"{WWID}\"\n\t\treservation_key 0xbeef:aptpl\n\t}}\n}}\n").encode()
    checks = machine.checks()
    found(t, checks, "reservation_key", "warning", "reservation_key is one fixed key, 0xbeef",
          "exactly this key")
    found(t, checks, "registrations", "failure", "key mismatch: multipath.conf has reservation_key "
          "0xbeef, and the map is registered with 0xabc", "reservation_key file")


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
        f"multipathd setprkey map {MAP} key 0xabc.*Warning: "),
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
    "a word that nobody knows": (
        (fc_path(HOST_KEY, 1), fc_path(HOST_KEY, 2)), "0xabc", "perhaps", "good",
        "2 of 2 paths are registered; prstatus is known to root only", ""),
    "without a TransportID": (
        (Registrant(HOST_KEY, b""), Registrant(HOST_KEY, b"")), "0xabc", "set", "unknown",
        "1 of 2 paths have a registration of their own, and the device may keep one for each host or "
        "host port", "RESERVATION CONFLICT"),
    "without a TransportID or a port": (
        (Registrant(HOST_KEY, b"", None), Registrant(HOST_KEY, b"", None)), "0xabc", "set", "unknown",
        "2 of 2 paths may be registered, by 2 registrations of this host; /sys does not tell whether "
        "they are of now", "RESERVATION CONFLICT"),
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
          "3 of 3 paths may be registered, by 3 registrations of this host; /sys does not tell whether "
          "they are of now", "it registers nothing and takes nothing")
    command = "'qemu-pr-ctl register --direct --key=0xabc --new-key=0xabc /dev/sd"
    t.check(command in checks["registrations"][2], f"no {command}: {checks['registrations'][2]}")


@test
def sessions_of_before(t):
    """Five registrations are not of five paths, where there are three."""
    machine = sessions(t)
    machine.registered(*of_sessions(OLD), *of_sessions(NOW[:2]))
    found(t, machine.checks(), "registrations", "unknown",
          "3 of 3 paths may be registered, by 5 registrations of this host; /sys does not tell whether "
          "they are of now", "RESERVATION CONFLICT")


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
          "2 registrations; which are this host's is not known", "qemu-pr-ctl register --direct")


# -- whether the device contradicts itself


@test
def no_full_status(t):
    machine = healthy(t)
    machine.answers[FULL_STATUS] = check_condition(5, 0x24, 0).encode()
    checks = machine.checks()
    found(t, checks, "answers", "unknown",
          "the device does not say who is registered (READ FULL STATUS)", "qemu-pr-ctl keys")
    t.check("registrations" not in checks, "what is not known is left out")


@test
def lengths_that_contradict(t):
    machine = healthy(t)
    data = bytearray(full_status(fc_path(HOST_KEY, 1)))
    data[28:32] = struct.pack(">I", 1 << 20)  # ADDITIONAL DESCRIPTOR LENGTH
    machine.answers[FULL_STATUS] = reply(payload=bytes(data)).encode()
    checks = machine.checks()
    found(t, checks, "answers", "warning", "READ KEYS or READ FULL STATUS cannot be understood",
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
          "0xbc3a120000000000 for 0x0000000000123abc", "do not type those of")
    found(t, checks, "registrations", "failure",
          "key mismatch: multipathd has key 0x999, and the map is registered with 0x123abc",
          f"multipathd setprkey map {MAP} key 0x123abc'")


CONTRADICTIONS = {
    "a key is missing": ((1, 2), (1, 1), {}, "READ KEYS has 0x2, which READ FULL STATUS does not have"),
    "a key is added": ((1, 1), (1, 2), {}, "READ FULL STATUS has 0x2, which READ KEYS does not have"),
    "fewer keys": ((1,), (1, 1), {}, "READ KEYS lists 1 registrations, READ FULL STATUS 2"),
    "no reservation": ((1, 1), (1, 1), {"holds": 5}, "READ FULL STATUS names a holder, key 0x1, and READ "
                                                     "RESERVATION no reservation"),
    "no holder": ((1, 1), (1, 1), {"held": reservation(1, 5)}, "READ RESERVATION has a reservation of "
                  "type 5, and READ FULL STATUS no holder"),
    "another type": ((1, 1), (1, 1), {"holds": 5, "held": reservation(1, 6)}, "READ RESERVATION has a "
                     "reservation of type 6, and READ FULL STATUS of type 5"),
    "another holder": ((1, 2), (1, 2), {"holds": 5, "held": reservation(2, 5)}, "READ RESERVATION has a "
                       "reservation of key 0x2, and READ FULL STATUS of key 0x1"),
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
          "0 of 2 paths are registered by what was shown, and there is more",
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
