# SPDX-License-Identifier: LGPL-2.1-or-later
"""The doctor on machines of the test's own (ctl/machine.py): multipath maps, their paths, multipathd
and its configuration, what is registered. tests/vm has real ones."""
import os

from support.client import check_condition, reply
from support.tap import cases, test

from ctl.machine import MAP, WWID, Machine, capabilities, fc_port, full_status, iscsi_port



def healthy(t):
    """A map with two paths, and nothing wrong with it."""
    machine = Machine(t)
    machine.make_map_of("sdb", "sdc")
    machine.start_multipathd(own="0xabc", prstatus="set", sdb="active ready", sdc="active ready")
    machine.keys(0xabc, status=full_status((0xabc, iscsi_port()), (0xabc, iscsi_port())))
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
    found(t, checks, "map", "good", "the map has 2 paths")
    found(t, checks, "multipathd", "good", "multipathd answers at /run/multipathd.socket")
    found(t, checks, "paths", "good", "all paths are up")
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
    machine.keys(0xabc, types=mask)
    found(t, machine.checks(), "types", "warning", f"types of reservation: {names}, without 5",
          "Most clusters use")


@cases(("no APTPL", False, False, "warning", "reservations do not outlive a loss of power: no APTPL"),
       ("active", True, True, "good",
        "reservations can outlive a loss of power (APTPL), and do so now"))
def power_loss(t, aptpl, active, verdict, text):
    machine = healthy(t)
    machine.keys(0xabc, aptpl=aptpl, active=active)
    found(t, machine.checks(), "power-loss", verdict, text,
          "" if verdict == "good" else "all hosts have to register again")


@test
def no_capabilities(t):
    machine = healthy(t)
    refused = check_condition(5, 0x24, 0).encode()
    machine.answers[1:3] = [refused, refused]
    checks = machine.checks()
    found(t, checks, "types", "unknown", "the device does not say which types of reservation it has")
    t.check("power-loss" not in checks, "what is not known is left out")


@test
def capabilities_without_types(t):
    machine = healthy(t)
    data = bytearray(capabilities())
    data[3] &= 0x7F  # TMV
    machine.answers[1] = reply(payload=bytes(data)).encode()
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


#: Registrations, multipathd's key of the map and prstatus; what is found.
REGISTRATIONS = {
    "one path is left out": ((("a", 0xabc),), "0xabc", "set", "failure",
                             "only 1 of 2 paths are registered", "locked out"),
    "different keys": ((("a", 0xabc), ("a", 0xdef)), "0xabc", "set", "failure",
                       "key mismatch: the paths are registered with different keys",
                       "register again"),
    "another key than multipathd's": (
        (("a", 0xabc), ("a", 0xabc)), "0xdef", "set", "failure",
        "key mismatch: multipathd has key 0xdef, and the map is registered with 0xabc",
        f"multipathd setprkey map {MAP} key 0xabc"),
    "prstatus is unset": ((("a", 0xabc), ("a", 0xabc)), "0xabc", "0", "warning",
                          "multipathd's prstatus is unset, but the map is registered",
                          "register again"),
    "prstatus is set": ((("b", 0xabc),), "none", "1", "warning",
                        "multipathd's prstatus is set, but the map is not registered",
                        "qemu-pr-ctl cleanup"),
    "nobody": ((), "none", "unset", "good", "0 of 2 paths are registered; prstatus is unset", ""),
    "others only": ((("b", 1), ("b", 2)), "none", "unset", "good",
                    "0 of 2 paths are registered; prstatus is unset", ""),
    "a word that nobody knows": ((("a", 0xabc), ("a", 0xabc)), "0xabc", "perhaps", "good",
                                 "2 of 2 paths are registered; prstatus is known to root only", ""),
}
PORTS = {"a": iscsi_port(), "b": iscsi_port("iqn.2026-01.org.example:other")}


@cases(*REGISTRATIONS)
def registrations(t, name):
    registrants, own, prstatus, verdict, text, remedy = REGISTRATIONS[name]
    machine = healthy(t)
    machine.multipathd.answers["getprkey"] = own.encode() + b"\n"
    machine.multipathd.answers["getprstatus"] = prstatus.encode() + b"\n"
    machine.keys(*[key for _, key in registrants],
                 status=full_status(*[(key, PORTS[port]) for port, key in registrants]))
    found(t, machine.checks(), "registrations", verdict, text, remedy)


@test
def fibre_channel(t):
    machine = Machine(t)
    machine.make_map(slaves=("sdb",))
    machine.make_disk("sdb", 5)
    machine.make_fc_host(5)
    machine.start_multipathd(own="0xabc", prstatus="set")
    machine.keys(0xabc, status=full_status((0xabc, fc_port()), (0xdef, fc_port("5" * 16))))
    found(t, machine.checks(), "registrations", "good",
          "1 of 1 paths are registered; prstatus is set")


@test
def initiator_that_is_not_known(t):
    """A path of neither iSCSI nor Fibre Channel."""
    machine = Machine(t)
    machine.make_map(slaves=("sdb",))
    machine.make_disk("sdb", 5)
    machine.keys(0xabc, status=full_status((0xabc, iscsi_port()), (0xabc, fc_port())))
    found(t, machine.checks(), "registrations", "unknown",
          "2 registrations; which are this host's is not known")


@cases(("refused", check_condition(5, 0x24, 0).encode()),
       ("cut off", reply(payload=full_status((1, iscsi_port()))[:30]).encode()))
def no_full_status(t, answer):
    machine = healthy(t)
    machine.answers[3] = answer
    found(t, machine.checks(), "registrations", "unknown",
          "the device does not say who is registered (READ FULL STATUS)")
