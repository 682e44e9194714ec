# SPDX-License-Identifier: LGPL-2.1-or-later
"""One suite: which ends are failures, and which names a word means."""
from support.tap import cases, test

from .suite import matches

ONE = "echo 1..1; echo ok 1 - a"


@cases(("passed", ONE, (1, 0, 0), ()),
       ("no plan", "echo ok", (1, 0, 0), ()),
       ("skipped", "echo 'ok 1 - a # SKIP none here'", (0, 0, 1), ()),
       ("skipped by cmocka", "echo 'not ok 1 # SKIP name'", (0, 0, 1), ()),
       ("failed", "echo 'not ok 1 - a[b] # 0.02 s'; exit 1", (0, 1, 0), ("a[b]",)),
       ("failed, and says nothing by its status", "echo not ok 1 - a", (0, 1, 0), ("a",)),
       ("error at the end", f"{ONE}; exit 3", (1, 1, 0), ("ended with 3",)),
       ("killed", f"{ONE}; kill -9 $$", (1, 1, 0), ("ended with -9",)),
       ("fewer than planned", "echo 1..2; echo ok 1 - a", (1, 1, 0), ("2 tests planned, 1 ran",)),
       ("nothing", "true", (0, 1, 0), ("ran no test",)),
       ("an empty plan", "echo 1..0", (0, 1, 0), ("ran no test",)),
       ("bytes that are no text", "printf 'ok 1 - \\377\\n'", (1, 0, 0), ()))
def results(t, text, counts, failures):
    t.run([t.script("one", text)])
    t.equal((t.results["one"].counts, t.results["one"].failures), (counts, failures), "result")


@test
def time_limit(t):
    """Its children, too, are ended, and keep nothing open."""
    t.run([t.script("one", "echo ok 1 - a; sleep 1000 & sleep 1000", limit=3)])
    t.equal((t.results["one"].counts, t.results["one"].failures),
            ((1, 1, 0), ("not finished after 3 s",)), "result")


COMPUTE = "i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done"


@cases(("computes", COMPUTE, 0.05, 20), ("its child computes", f"sh -c '{COMPUTE}'; true", 0.05, 20),
       ("waits", "sleep 1", 0, 0.5))
def processor_time(t, text, least, most):
    t.run([t.script("one", f"{text}; echo ok")])
    processor = t.results["one"].processor
    t.check(least <= processor <= most, f"{processor} s")


#: Of each word: suites that it means, and some that it does not.
WORDS = {
    "dist": (("dist", "dist/package", "vm/dist"), ("client/disturbed",)),
    "vm/": (("vm/maps", "vm/package"), ("client/vm-like",)),
    "map*": (("vm/maps", "vm/map-paths"), ("mpath",)),
    "map": ((), ("vm/maps",)),
    "real_lun": (("vm/real-lun",), ()),
    "vm/maps": (("vm/maps", "vm/maps/peer"), ("vm/map-paths",)),
    "vm/peer": ((), ("vm/maps/peer",)),
    "maps/peer": (("vm/maps/peer",), ("vm/maps",)),
}


@cases(*WORDS)
def word_means_suites(t, word):
    yes, no = WORDS[word]
    for name in (*yes, *no):
        t.equal(matches(name, word), name in yes, name)
