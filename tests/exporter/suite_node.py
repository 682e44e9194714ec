# SPDX-License-Identifier: LGPL-2.1-or-later
"""What only the node can see, in each of the three forms in which it is told."""
import os
import re
import signal
import subprocess
import time

from support import scaled
from support.process import Program
from support.tap import cases, test

from exporter.fixture import client, device, document, key, mapped, sample

WWN = "naa.6001405aaaaaaaaaaaaaaaaaaaaaaaaa"


def look(t, *documents):
    """An exporter over helpers that say these; what it says as JSON and as numbers."""
    directory = t.directory()
    for i, one in enumerate(documents):
        t.serve(directory, f"vm-{i}", one)
    one = t.exporter(directory)
    return one, t.status(one), t.metrics(one)


def alarms(told):
    return [(one["alarm"], one["wwn"]) for one in told["alarms"]]


def has(*keys, **changes):
    return document(devices=[device(WWN, keys=list(keys), **changes)])


@test
def two_vms_of_different_helpers_on_one_nexus(t):
    one, told, found = look(t, has(key("alpha", 1, 10)), has(key("beta", 2, 11)))
    t.equal(alarms(told), [("SameNexus", WWN)], "alarms")
    t.matches("^alpha, beta have registered on sdb .*, through different helpers: ",
              told["alarms"][0]["what"], "words")
    t.check(told["luns"][0]["between_helpers"], "between helpers")
    t.equal(found[sample("qemu_pr_helper_lun_same_nexus", wwn=WWN)], 1, "metric")
    t.matches("alpha, beta have registered", one.get("/").text, "page")


@cases(("another nexus", has(key("alpha", 1, 10)), has(key("beta", 2, 11), nexus="4:0:0:0")),
       ("another LUN", has(key("alpha", 1, 10)),
        document(devices=[device("naa.6001405b", nexus="3:0:0:1", keys=[key("beta", 2, 11)])])),
       ("the same process", has(key("alpha", 1, 10)), has(key("alpha", 1, 10))),
       ("one has gone", has(key("alpha", 1, 10)),
        has(key("beta", 2, 11, connected=False, stale=True, replaced=True))),
       ("a pid that is not known", has(key("alpha", 1, 10)), has(key("beta", 2, None))))
def no_shared_nexus(t, first, second):
    _, told, found = look(t, first, second)
    t.check("SameNexus" not in dict(alarms(told)), f"{told['alarms']}")
    t.equal(found[sample("qemu_pr_helper_lun_same_nexus", wwn=WWN)], 0, "metric")


@test
def a_map_is_one_nexus_with_its_paths(t):
    on_map = document(devices=[device("mpath-3" + WWN[4:], kind="multipath", map="mpatha", nexus=None,
                                      device="253:0", keys=[key("beta", 2, 11)])])
    _, told, _ = look(t, has(key("alpha", 1, 10)), on_map)
    t.equal(alarms(told), [("SameNexus", WWN)], "alarms")


@test
def name_that_begins_like_another(t):
    """vm-1 has a nexus of its own, beside vm-10, which shares one: the page says so of vm-10 alone."""
    one, _, _ = look(t, has(key("vm-1", 1, 10), nexus="4:0:0:0"), has(key("vm-10", 2, 11)),
                     has(key("vm-2", 3, 12)))
    ties = dict(re.findall(r"<strong>(vm-\d+)</strong>.*?class=\"tie[^>]*>([a-z ]+)<", one.get("/").text))
    t.equal(ties, {"vm-1": "registered", "vm-10": "same nexus", "vm-2": "same nexus"}, "the picture")


@test
def key_that_no_live_vm_has(t):
    gone = key("alpha", 0xabc, 10, connected=False, stale=True)
    one, told, found = look(t, has(gone))
    t.equal(alarms(told), [("StaleKey", WWN)], "alarms")
    _, unverified, _ = look(t, has(dict(gone, verified=False)))
    t.equal(alarms(unverified), [], "alarms about what the device has not said")
    t.matches("key 0x0000000000000abc of alpha, which is gone", told["alarms"][0]["what"], "words")
    t.matches("cleanup --key=0x0000000000000abc", told["alarms"][0]["remedy"], "what to do")
    t.equal(found[sample("qemu_pr_helper_lun_stale_keys", wwn=WWN)], 1, "metric")
    t.matches("client gone", one.get("/").text, "page")


@test
def key_that_a_vm_of_another_helper_has_now(t):
    """libvirt's way: the machine was started again, with a new helper, and took its key over."""
    gone = key("alpha", 0xabc, 10, connected=False, stale=True)
    _, told, found = look(t, has(gone), has(key("alpha", 0xabc, 99)))
    t.equal(alarms(told), [], "alarms")
    t.equal(found[sample("qemu_pr_helper_lun_stale_keys", wwn=WWN)], 0, "metric")


def paths(second_keys, clients=1, **changes):
    devices = [device(WWN, device="8:16", name="sdb", nexus="3:0:0:0", keys=[key("alpha", 1, 10)]),
               device(WWN, device="8:32", name="sdc", nexus="4:0:0:0", keys=second_keys)]
    devices[1].update(changes)
    return document(devices=devices, connections=[client("alpha", 10)] * clients)


@test
def registration_missing_on_a_path(t):
    one, told, found = look(t, paths([]))
    t.equal(alarms(told), [("PathUnregistered", WWN)], "alarms")
    t.matches("alpha is registered on sdb .* through some of the disks that it uses, but not through 1 other",
              told["alarms"][0]["what"], "words")
    t.equal(found[sample("qemu_pr_helper_lun_paths_unregistered", wwn=WWN)], 1, "metric")
    t.matches("A registration is missing on a path", one.get("/").text, "page")


@cases(("both are registered", paths([key("alpha", 1, 10)])),
       ("it may be another client's disk", paths([], clients=2)),
       ("not used", paths([], commands=[])))
def no_registration_missing(t, one):
    _, told, found = look(t, one)
    t.equal(alarms(told), [], "alarms")
    t.equal(found[sample("qemu_pr_helper_lun_paths_unregistered", wwn=WWN)], 0, "metric")


UP, MISSING, AWAY = ("up", True), ("up", False), ("away", False)
MAP = "naa.600140500000000000000000000000aa"


@test
def registration_missing_on_a_path_of_a_map(t):
    one, told, found = look(t, mapped([key("alpha", 1, 10)], [UP, MISSING, ("up", None), MISSING, UP]))
    t.equal(alarms(told), [("PathUnregistered", MAP)], "alarms")
    t.matches(f"^alpha is registered on some paths of the map mpatha .{MAP}., but not on sdb, sdd,",
              told["alarms"][0]["what"], "words")
    t.matches("multipathd fail path", told["alarms"][0]["remedy"], "what to do")
    t.equal(found[sample("qemu_pr_helper_lun_paths_unregistered", wwn=MAP)], 2, "metric")
    use, = told["luns"][0]["uses"]
    t.equal([(path["path"], path["state"], path["registered"]) for path in use["paths"]][1:3],
            [("sdb", "up", False), ("sdc", "up", None)], "paths in JSON")
    t.matches("sdb up, <strong>not registered</strong>; sdc up, not known", one.get("/").text, "page")


@test
def map_of_two_helpers(t):
    """Each tells of the same paths: they are counted once."""
    _, told, found = look(t, mapped([key("alpha", 1, 10)], [UP, MISSING, UP]),
                          mapped([key("alpha", 1, 10)], [UP, MISSING, MISSING]))
    t.equal(alarms(told), [("PathUnregistered", MAP)], "alarms")
    t.equal(found[sample("qemu_pr_helper_lun_paths_unregistered", wwn=MAP)], 2, "metric")


GONE = {"connected": False, "stale": True}


@cases(("every path is registered", mapped([key("alpha", 1, 10)], [UP, UP])),
       ("one is away", mapped([key("alpha", 1, 10)], [UP, AWAY])),
       ("one hangs", mapped([key("alpha", 1, 10)], [UP, ("hangs", False)])),
       ("one is not known", mapped([key("alpha", 1, 10)], [UP, ("up", None)])),
       ("fenced", mapped([key("alpha", 1, 10)], [MISSING, MISSING])),
       ("no client is registered", mapped([], [UP, MISSING])),
       ("its client has gone", mapped([key("alpha", 1, 10, verified=False, **GONE)], [UP, MISSING])))
def no_registration_missing_on_a_map(t, one):
    _, told, found = look(t, one)
    t.equal(alarms(told), [], "alarms")
    t.equal(found[sample("qemu_pr_helper_lun_paths_unregistered", wwn=MAP)], 0, "metric")


@test
def paths_of_another_map(t):
    """The number is used again: what was told of the map before is nothing to this one."""
    one = mapped([key("alpha", 1, 10)], [UP, MISSING])
    one["worker"]["maps"][0]["wwn"] = "mpath-3600140500000000000000000000000bb"
    _, told, _ = look(t, one)
    t.equal(alarms(told), [], "alarms")


@test
def reservation(t):
    """The newest word counts, of whichever helper."""
    def told(age, **changes):
        return has(key("alpha", 0xa, 10), reservation={"key": "0x000000000000000a",
                                                       "type": "write-exclusive", "age_s": age,
                                                       **changes})
    one, status, _ = look(t, told(50.0, type=None, key=None), told(5.0))
    t.equal(status["luns"][0]["reservation"],
            {"type": "write-exclusive", "key": "0x000000000000000a", "age_s": 5.0}, "reservation")
    t.matches("Reserved, write-exclusive, held by key <code>0x000000000000000a</code>",
              one.get("/").text, "page")
    t.matches('class="tie holds">holds it', one.get("/").text, "picture")


@test
def simulator(t):
    """A simulated LUN: each host is shown as a machine, and who holds it is known exactly."""
    directory = t.directory()
    lun, host = os.path.join(directory, "lun"), os.path.join(t.directory(), "host")
    with open(lun, "wb"):
        pass
    program = Program([os.path.join(t.lab.build, "qemu-pr-simulator"), "--nexus", f"a={host}",
                       "--nexus", f"b={host}b", f"--status-socket={directory}/sim.sock"], t.directory())
    t.programs.append(program)
    t.cleanup.callback(program.close)
    program.wait_log("simulating 2 nexus")
    ctl = os.path.join(t.lab.build, "qemu-pr-ctl")
    for words in (["register", "-k", host, "--new-key=a"], ["register", "-k", f"{host}b", "--new-key=b"],
                  ["reserve", "-k", host, "--key=a", "--type=write-exclusive"]):
        t.equal(t.run(ctl, *words, lun).returncode, 0, " ".join(words))
    told = t.status(t.exporter(directory))
    t.equal(alarms(told), [], "alarms: two hosts are two nexuses")
    unit, = told["luns"]
    t.equal({(use["nexus"], key["vm"], key["key"]) for use in unit["uses"] for key in use["keys"]},
            {("a", "a", "0x000000000000000a"), ("b", "b", "0x000000000000000b")}, "who is registered")
    t.equal((unit["reservation"]["type"], unit["reservation"]["key"]),
            ("write-exclusive", "0x000000000000000a"), "who holds it")
    program.signal(signal.SIGTERM)
    t.equal(program.wait_exit(), 0, "exit status")
    t.check(not os.path.exists(f"{directory}/sim.sock"), "its status socket is gone with it")


@test
def reservation_that_is_not_known(t):
    one, status, _ = look(t, has(key("alpha", 0xa, 10)))
    t.equal(status["luns"][0]["reservation"], None, "reservation")
    t.matches("Holder unknown", one.get("/").text, "page")


@test
def hostile_names_on_the_page(t):
    evil = "<script>alert(1)</script>\x1b[2J&\"'"
    one, told, _ = look(t, has(key(evil, 1, 10, connected=False, stale=True), name=evil),
                        document(version=evil, socket=evil))
    text = one.get("/").text
    t.check("<script" not in text and "\x1b" not in text, "the page has it as text only")
    t.check("&lt;script&gt;alert(1)&lt;/script&gt;" in text, "and it is there")
    t.check(r"<script>alert(1)</script>\x1b[2J" in told["luns"][0]["uses"][0]["keys"][0]["vm"], "JSON")


@test
def helper_that_has_gone_while_its_vm_lives(t):
    machine = subprocess.Popen(["sleep", "600"])
    try:
        directory = t.directory()
        path = os.path.join(directory, "vm.sock")
        server = t.serve(directory, "vm", document(connections=[client("alpha", machine.pid)]))
        one = t.exporter(directory)
        orphans = sample("qemu_pr_helper_orphaned_clients", helper="vm")
        t.equal(t.metrics(one)[orphans], 0, "while it answers")
        server.close()
        one.wait_until("the loss is told", lambda: t.metrics(one).get(orphans) == 1)
        t.equal(os.path.exists(path), False, "the socket is gone as well")

        t.serve(directory, "vm", document(connections=[client("alpha", machine.pid)]))
        one.wait_until("the cure is told", lambda: t.metrics(one).get(orphans) == 0)
    finally:
        machine.kill()
        machine.wait()


@test
def helper_of_many_that_has_gone(t):
    """A host's own helper has all of its machines: each of them is counted, but for one that another helper
    has taken over and one that ends."""
    machines = [subprocess.Popen(["sleep", "600"]) for _ in range(50)]
    try:
        directory = t.directory()
        both = [client(f"vm-{i}", one.pid) for i, one in enumerate(machines)]
        server = t.serve(directory, "host", document(connections=both))
        other = t.serve(directory, "other", document())
        one = t.exporter(directory)
        t.metrics(one)
        server.close()
        other.say(document(connections=both[:1]))
        machines[1].kill()
        machines[1].wait()
        orphans = sample("qemu_pr_helper_orphaned_clients", helper="host")
        one.wait_until("all others are told of", lambda: t.metrics(one).get(orphans) == 48)
    finally:
        for machine in machines:
            machine.kill()
            machine.wait()


@test
def helper_that_has_gone_after_its_vm(t):
    machine = subprocess.Popen(["sleep", "600"])
    directory = t.directory()
    server = t.serve(directory, "vm", document(connections=[client("alpha", machine.pid)]))
    one = t.exporter(directory)
    t.metrics(one)
    machine.kill()
    machine.wait()
    server.close()
    one.wait_until("it is forgotten", lambda: not any(
        name == "qemu_pr_helper_orphaned_clients" for name, _ in t.metrics(one)))


@test
def real_helper(t):
    directory = t.directory()
    helper = t.helper(directory)
    one = t.exporter(directory)
    found = t.metrics(one)
    t.equal(found[sample("qemu_pr_helper_up", helper="real")], 1, "up")
    started = found[sample("qemu_pr_helper_start_time_seconds", helper="real")]
    t.check(abs(time.time() - started) < scaled(30), f"started at {started}")
    told = t.status(one)["helpers"][0]
    t.equal((told["pid"], told["socket"]), (helper.pid, helper.socket_path), "who it is")
    helper.signal(signal.SIGKILL)
    helper.wait_exit()
    one.wait_until("its end is told",
                   lambda: t.metrics(one).get(sample("qemu_pr_helper_up", helper="real"), 0) == 0)
