# SPDX-License-Identifier: LGPL-2.1-or-later
"""JSON Schema, as much of it as docs/status.schema.json uses (draft 2020-12).

Stricter than the standard in one thing: a property that the schema does not describe is a fault.
Readers must put up with such ones; the writer must not have any.
"""
import re
from typing import Any, Dict, Iterator

#: Words that say nothing about validity.
REMARKS = {"$schema", "$comment", "$defs", "title", "description"}
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None),
         "integer": int, "number": (int, float)}


def is_type(value: Any, name: str) -> bool:
    # In Python, but not in JSON, true is a number.
    return isinstance(value, TYPES[name]) and (not isinstance(value, bool) or name == "boolean")


def same(one: Any, other: Any) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


class Schema:
    def __init__(self, root: Dict[str, Any]):
        self.root = root

    def faults(self, value: Any) -> list:
        """What is wrong with the value; empty if it is valid."""
        return list(self._faults(self.root, value, "$"))

    def _faults(self, schema: Dict[str, Any], value: Any, where: str) -> Iterator[str]:
        for word, wanted in schema.items():
            if word in REMARKS or word == "required" and not isinstance(value, dict):
                continue
            check = getattr(self, "_check_" + word.lstrip("$").lower(), None)
            if check is None:
                raise ValueError(f"the schema uses {word!r}, which this validator does not know")
            yield from check(wanted, value, where)

    def _check_ref(self, wanted, value, where):
        prefix, _, name = wanted.rpartition("/")
        if prefix != "#/$defs":
            raise ValueError(f"this validator does not follow {wanted!r}")
        return self._faults(self.root["$defs"][name], value, where)

    def _check_type(self, wanted, value, where):
        names = wanted if isinstance(wanted, list) else [wanted]
        if not any(is_type(value, name) for name in names):
            yield f"{where}: {value!r} is not {' or '.join(names)}"

    def _check_const(self, wanted, value, where):
        if not same(value, wanted):
            yield f"{where}: {value!r} is not {wanted!r}"

    def _check_enum(self, wanted, value, where):
        if not any(same(value, one) for one in wanted):
            yield f"{where}: {value!r} is none of {wanted!r}"

    def _check_minimum(self, wanted, value, where):
        if is_type(value, "number") and value < wanted:
            yield f"{where}: {value!r} is below {wanted!r}"

    def _check_pattern(self, wanted, value, where):
        if isinstance(value, str) and not re.search(wanted, value):
            yield f"{where}: {value!r} does not match {wanted}"

    def _check_items(self, wanted, value, where):
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from self._faults(wanted, item, f"{where}[{index}]")

    def _check_required(self, wanted, value, where):
        for name in wanted:
            if name not in value:
                yield f"{where}: {name!r} is missing"

    def _check_properties(self, wanted, value, where):
        if isinstance(value, dict):
            for name, item in value.items():
                if name in wanted:
                    yield from self._faults(wanted[name], item, f"{where}.{name}")
                else:
                    yield f"{where}: {name!r} is not described"

    def _check_anyof(self, wanted, value, where):
        found = [list(self._faults(one, value, where)) for one in wanted]
        if all(found):
            yield min(found, key=len)[0]
