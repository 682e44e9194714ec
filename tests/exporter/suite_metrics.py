# SPDX-License-Identifier: LGPL-2.1-or-later
"""The numbers: as their parsers want them, right, and few enough."""
import json
import os
import time

from support import scaled
from support.tap import cases, limit, test

from ctl.status_server import example
from exporter.fixture import OPENMETRICS, device, document, key, sample
from exporter.recorded import Meter, Recorded

WWN = "naa.6001405aaaaaaaaaaaaaaaaaaaaaaaaa"
#: Of each LUN, for each helper that uses it.
LUN_SERIES = 12


@test
def classic_text_has_nothing_to_be_mended(t):
    directory = t.directory()
    t.serve(directory, "one", example())
    t.serve(directory, "two", example())
    t.serve(directory, "liar", b"{")
    text = t.exporter(directory).get("/metrics").text
    result = t.run(t.tool("promtool"), "check", "metrics", stdin=text)
    t.equal((result.returncode, result.stdout, result.stderr), (0, "", ""), "promtool check metrics")
    found = t.parse(text, "classic")
    t.equal(found[sample("qemu_pr_helper_requests_total", helper="two")], 98231, "a counter")


@test
def openmetrics_says_the_same(t):
    directory = t.directory()
    t.serve(directory, "one", example())
    one = t.exporter(directory)
    found = t.metrics(one)
    classic = t.parse(one.get("/metrics").text, "classic")
    changing = ("_look", "answer_seconds")
    for where, value in classic.items():
        if not any(word in where[0] for word in changing):
            t.equal(found.get(where), value, f"{where}")
    t.equal(set(found), set(classic), "samples")


@test
def two_helpers_that_are_set_up_alike(t):
    directory = t.directory()
    for name in ("one", "two"):
        t.serve(directory, name, example())
    found = t.metrics(t.exporter(directory))
    for name in ("one", "two"):
        t.equal(found[sample("qemu_pr_helper_clients", helper=name)], 5, name)


@test
def same_name_in_two_directories(t):
    first, second = t.directory(), t.directory()
    t.serve(first, "one", example())
    t.serve(second, "one", example())
    t.serve(second, "two", example())
    found = t.metrics(t.exporter(first, second))
    helpers = {dict(labels)["helper"] for name, labels in found if name == "qemu_pr_helper_up"}
    t.equal(helpers, {f"{first}/one.sock", f"{second}/one.sock", "two"}, "helpers")


@test
def one_socket_in_two_places(t):
    """A directory that is named twice, and a socket of it by itself: one helper."""
    directory = t.directory()
    path = t.serve(directory, "one", example()).path
    found = t.metrics(t.exporter(directory, path, directory))
    t.equal([value for (name, _), value in found.items() if name == "qemu_pr_helper_up"], [1], "helpers")


@test
def a_place_may_be_a_socket(t):
    directory = t.directory()
    path = t.serve(directory, "one", example()).path
    found = t.metrics(t.exporter(path, "/nonexistent/status"))
    t.equal(found[sample("qemu_pr_helper_up", helper=path)], 1, "up")
    t.equal(found[sample("qemu_pr_exporter_places_unreadable")], 0, "what is not there is no fault")


@test
def names_are_said_once(t):
    """wwn, map, disk and vm by one sample; everything else by the WWN."""
    directory = t.directory()
    both = [device(WWN, keys=[key("alpha", 1, 10)]),
            device("mpath-3" + WWN[4:], device="253:0", kind="multipath", name="dm-0", map="mpatha",
                   nexus=None, keys=[key("beta", 2, 11)])]
    t.serve(directory, "one", document(devices=both))
    found = t.metrics(t.exporter(directory))
    t.equal([dict(labels) for name, labels in found if name == "qemu_pr_helper_lun_info"],
            [{"helper": "one", "wwn": WWN, "map": "mpatha", "disk": "dm-0, sdb",
              "vm": "beta, alpha"}], "the names")
    for name, labels in found:
        if "_lun_" in name and not name.endswith("_info"):
            t.check(set(dict(labels)) in ({"helper", "wwn"}, {"wwn"}), f"labels of {name}: {labels}")


@test
def few_series_for_each_lun(t):
    directory = t.directory()
    t.serve(directory, "one", example())
    found = t.metrics(t.exporter(directory))
    for one in {dict(labels)["wwn"] for _, labels in found if "wwn" in dict(labels)}:
        count = sum(dict(labels).get("wwn") == one for _, labels in found)
        t.check(count <= LUN_SERIES, f"{count} series of {one}")


@cases(("failed", {"state": "failed"}, 1), ("an error", {"last_error": "No such file"}, 1),
       ("stopped", {"state": "stopped"}, 0),
       ("not wanted", {"state": "unavailable", "last_error": "No such file"}, 0),
       ("wanted by a map", {"state": "unavailable", "last_error": "No such file"}, 1,
        [device(kind="multipath", map="mpatha")]))
def worker(t, change, wanted, devices=()):
    one = document(devices=list(devices))
    one["worker"].update(change)
    directory = t.directory()
    t.serve(directory, "one", one)
    found = t.metrics(t.exporter(directory))
    t.equal(found[sample("qemu_pr_helper_worker_failed", helper="one")], wanted, "worker failed")


@test
def worker_queue_and_what_hangs(t):
    hangs = example()["devices"][0]["in_flight"]
    waits = device(kind="multipath", map="mpatha", in_flight=hangs, in_flight_total=7)
    directory = t.directory()
    t.serve(directory, "one", document(devices=[waits]))
    found = t.metrics(t.exporter(directory))
    t.equal([found[sample(f"qemu_pr_helper_{name}", helper="one")]
             for name in ("worker_queue", "hung_commands")], [7, 1], "queue and hung commands")
    t.equal(found[sample("qemu_pr_helper_lun_oldest_command_seconds", helper="one", wwn=WWN)], 47.125,
            "age")


def crowd(t, helpers, luns):
    """So many helpers that use so many LUNs between them."""
    directory = t.directory()
    model = example()["devices"][0]
    texts = {}
    for i in range(helpers):
        mine = [dict(model, wwn=f"naa.6001405{n:025x}", device=f"8:{n}", name=f"sd{n}")
                for n in range(i, luns, helpers)]
        texts[os.path.join(directory, f"vm-{i:03}.sock")] = json.dumps(document(devices=mine)).encode()
    server = Recorded(texts)
    t.cleanup.callback(server.close)
    return directory


#: Of a scrape of 1,000 LUNs: seconds (the bound that was set), of these the exporter's processor time, and
#: what others may use meanwhile on a machine that is called quiet.
SCRAPE_S, SCRAPE_CPU_S, QUIET_S = 0.5, 0.4, 0.03


@test
@limit(90)
def a_thousand_luns_in_two_hundred_helpers(t):
    """The exporter's processor time in any case, and how long it takes if the machine does nothing else."""
    one = t.exporter(crowd(t, 200, 1000))
    costs = []
    for _ in range(6):
        time.sleep(1.1)  # a look serves others for a second
        meter = Meter(one.pid)
        reply = one.get("/metrics", Accept=OPENMETRICS)
        costs.append(meter.stop())
        if costs[-1].others <= QUIET_S and len(costs) > 2:
            break
    cpu = min(cost.cpu for cost in costs)
    quiet = [cost.wall for cost in costs if cost.others <= QUIET_S]
    t.check(t.lab.sanitized or cpu <= scaled(SCRAPE_CPU_S), f"a scrape took {cpu:.3f} s of processor time")
    t.check(t.lab.sanitized or not quiet or min(quiet) <= scaled(SCRAPE_S), f"scrapes took {quiet} s")
    t.check(len(reply.text) <= 10 << 20, f"{len(reply.text)} bytes")
    found = t.parse(reply.text)
    t.equal(sum(value for (name, _), value in found.items() if name == "qemu_pr_helper_up"), 200, "up")
    t.equal(len({dict(labels)["wwn"] for _, labels in found if "wwn" in dict(labels)}), 1000, "LUNs")
    judged = f"{min(quiet):.3f} s" if quiet else f"not judged: {costs}, the machine is busy"
    print(f"# a scrape of 1,000 LUNs in 200 helpers: {cpu:.3f} s of processor time, {judged}; "
          f"{len(reply.text) / 1e6:.1f} MB, {len(found)} series")
