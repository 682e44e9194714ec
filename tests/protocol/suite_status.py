# SPDX-License-Identifier: LGPL-2.1-or-later
"""The status document: its schema, and what the helper writes."""
import copy
import json
import os

from support.schema import Schema
from support.tap import ours, test

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLE = os.path.join(TOP, "tests", "protocol", "status-example.json")
NO_STATUS = "the peer has no status socket"


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


SCHEMA = Schema(load(os.path.join(TOP, "docs", "status.schema.json")))


# -- the schema


def variations(value, where="$"):
    """The value with one property less, or with something else in place of one part."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        label = f"{where}.{key}"
        if isinstance(value, dict):
            yield f"{label} left out", {name: item for name, item in value.items() if name != key}
        for wrong in ([{"wrong": 1}], {"wrong": 1}):
            changed = copy.copy(value)
            changed[key] = wrong
            yield f"{label} is {wrong}", changed
        if isinstance(value[key], (dict, list)):
            for text, inner in variations(value[key], label):
                changed = copy.copy(value)
                changed[key] = inner
                yield text, changed


@test
@ours(NO_STATUS)
def example_is_valid(t):
    t.equal(SCHEMA.faults(load(EXAMPLE)), [], "faults")


@test
@ours(NO_STATUS)
def schema_describes_every_part(t):
    """Nothing can be left out of the example, and no part of it be of another kind."""
    count = 0
    for text, document in variations(load(EXAMPLE)):
        t.check(SCHEMA.faults(document), f"still valid with {text}")
        count += 1
    t.check(count > 500, f"{count} variations")


@test
@ours(NO_STATUS)
def example_shows_every_property(t):
    """Who reads the example has seen all that there is."""
    seen = set()

    def walk(value):
        if isinstance(value, dict):
            seen.update(value)
        for item in value.values() if isinstance(value, dict) else value:
            if isinstance(item, (dict, list)):
                walk(item)

    def properties(schema):
        if isinstance(schema, dict):
            yield from schema.get("properties", {})
        for item in schema.values() if isinstance(schema, dict) else schema:
            if isinstance(item, (dict, list)):
                yield from properties(item)

    walk(load(EXAMPLE))
    t.equal(sorted(set(properties(SCHEMA.root)) - seen), [], "properties without an example")
