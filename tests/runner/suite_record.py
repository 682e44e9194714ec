# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is remembered of suites: only what has passed, for one commit, and only of a clean tree."""
import json
import os

from support.tap import Skip, cases, test

from .record import Record
from .repeat import Tally
from .suite import Result

PASSED = Result(3, 0, 1, 2.5)
FAILED = Result(3, 1, 0, 7.5, ("row",))


def write(t, name, text):
    with open(os.path.join(t.directory, name), "w", encoding="utf-8") as file:
        file.write(text)


def repository(t):
    try:
        t.git("init", "-q")
    except FileNotFoundError:
        raise Skip("no git here") from None
    write(t, ".gitignore", "build\n")
    write(t, "file", "one\n")
    t.git("add", ".")
    t.git("commit", "-q", "-m", "one")
    os.mkdir(os.path.join(t.directory, "build"))


def record(t):
    return Record(os.path.join(t.directory, "build"), t.directory)


@test
def same_commit(t):
    repository(t)
    record(t).add(t.script("one", "true"), PASSED)
    t.equal(record(t).passed(t.script("one", "true")), PASSED, "result")


def another_commit(t):
    write(t, "file", "two\n")
    t.git("commit", "-q", "-a", "-m", "two")


def changed_file(t):
    write(t, "file", "two\n")


def new_file(t):
    write(t, "other", "")


def no_repository(t):
    os.rename(os.path.join(t.directory, ".git"), os.path.join(t.directory, "build", "git"))


def damaged(t):
    write(t, "build/test-results.json", "{")


def of_another_kind(t):
    write(t, "build/test-results.json", json.dumps([1]))


@cases(*[(function.__name__, function) for function in
         (another_commit, changed_file, new_file, no_repository, damaged, of_another_kind)])
def nothing_is_remembered(t, change):
    repository(t)
    record(t).add(t.script("one", "true"), PASSED)
    change(t)
    t.equal(record(t).passed(t.script("one", "true")), None, "result")


@cases(*[(function.__name__, function) for function in (changed_file, new_file, no_repository)])
def nothing_is_recorded(t, change):
    """Also if the change is undone later."""
    repository(t)
    begun = record(t)
    change(t)
    begun.add(t.script("one", "true"), PASSED)
    if change is no_repository:
        os.rename(os.path.join(t.directory, "build", "git"), os.path.join(t.directory, ".git"))
    else:
        t.git("checkout", "-q", ".")
        t.git("clean", "-q", "-f")
    t.equal(record(t).passed(t.script("one", "true")), None, "result")


@test
def failure(t):
    """It takes back what passed before, and is no result to go on with. Its time is kept."""
    repository(t)
    suite = t.script("one", "true")
    record(t).add(suite, PASSED)
    record(t).add(suite, FAILED)
    t.equal((record(t).passed(suite), record(t).seconds), (None, {"one": 7.5}), "remembered")


@test
def other_settings(t):
    repository(t)
    suite = t.script("one", "true")
    record(t).add(suite, PASSED)
    os.environ["TEST_OF_THIS"] = "1"
    t.cleanup.callback(os.environ.pop, "TEST_OF_THIS")
    t.equal(record(t).passed(suite), None, "with another setting")
    t.equal(record(t).passed(t.script("one", "false")), None, "with another command")


@test
def tally(t):
    count = Tally()
    for result in (PASSED, FAILED, FAILED._replace(failures=("row", "other"))):
        count.add(t.script("one", "true"), result)
    t.equal(count.lines(), ["ran one 3 times", "2 of 3 failed  one: row",
                            "1 of 3 failed  one: other"], "with failures")
    count = Tally()
    count.add(t.script("one", "true"), PASSED)
    t.equal(count.lines(), ["ran one 1 times", "no row failed"], "without")
