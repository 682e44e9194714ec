# SPDX-License-Identifier: LGPL-2.1-or-later
"""The doctor on machines of the test's own (ctl/machine.py): multipath maps, their paths, multipathd
and its configuration. tests/vm has real ones."""
import os

from support.client import check_condition, reply
from support.tap import cases, test

from ctl.machine import CAPABILITIES, MAP, WWID, Machine, capabilities, fc_path, found, healthy


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
          f"it is {text}, and a reservation applies to the whole disk", remedy)


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
    found(t, machine.checks(), "writing", "failure", "the kernel has marked it read-only",
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
    found(t, checks, "types", "unknown", "the device does not report its types of reservation")
    t.check("power-loss" not in checks, "what is not known is left out")


@test
def capabilities_without_types(t):
    machine = healthy(t)
    data = bytearray(capabilities())
    data[3] &= 0x7F  # TMV
    machine.answers[CAPABILITIES] = reply(payload=bytes(data)).encode()
    found(t, machine.checks(), "types", "unknown",
          "the device does not report its types of reservation")


# -- the map and its paths


@cases(("none", (), "failure", "the map has no path", "multipath -ll"),
       ("one", ("sdb",), "warning", "the map has only one path, sdb", "others are missing"))
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
    found(t, checks, "multipathd", "failure", "multipathd answers neither at "
          "@/org/kernel/linux/storage/multipathd nor at /run/multipathd.socket",
          "systemctl start multipathd")
    t.check("reservation_key" not in checks, "what cannot be told is left out")
    found(t, checks, "paths", "good", "all paths are up")
    found(t, checks, "queueing", "unknown", "it is not known whether commands wait while the map has no path",
          f"'dmsetup table {MAP}'")


@cases(("not set", "", "failure", "reservation_key is not set in multipath.conf",
        "reservation_key file"),
       ("fixed", "0x123", "warning", "reservation_key is one fixed key, 0x123",
        "[Ss]et 'reservation_key file'"))
def reservation_key(t, key, verdict, text, remedy):
    machine = healthy(t)
    machine.multipathd.close()
    os.unlink(machine.path("run/multipathd.socket"))
    machine.start_multipathd(key=key)
    found(t, machine.checks(), "reservation_key", verdict, text, remedy)


@cases(("nonsense", b"what?\n", "multipathd's configuration cannot be parsed"),
       ("nothing", None, "cannot read multipathd's configuration: Protocol error"))
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
