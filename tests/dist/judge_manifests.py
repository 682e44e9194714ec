# SPDX-License-Identifier: LGPL-2.1-or-later
"""Run by the distribution's Python: holds Kubernetes manifests against schemas by python3-jsonschema.

Standard input: {"documents": [...], "schemas": {KIND: SCHEMA}}. A kind without a schema is one of
Kubernetes' own: its schema is made of the classes of python3-kubernetes. Standard output: for each
document a list of faults. Stricter than a server in one thing: a field that the schema has not is a fault, too.
"""
import inspect
import json
import re
import sys

try:
    import jsonschema
    from kubernetes import client
except ImportError as reason:
    sys.exit(f"SKIP {reason}")

PLAIN = {"str": {"type": "string"}, "int": {"type": "integer"}, "bool": {"type": "boolean"},
         "float": {"type": "number"}, "datetime": {"type": "string"}, "object": {}}
QUANTITY = {"anyOf": [{"type": "number"}, {"type": "string", "pattern":
            r"^[0-9]+(\.[0-9]+)?(m|k|[KMGTPE]i?|e[0-9]+)?$"}]}


def of_class(name, known):
    """A reference to the schema of a class, which is added to known."""
    if name not in known:
        known[name] = {}  # some refer to themselves
        model = getattr(client, name)
        known[name].update({
            "type": "object", "additionalProperties": False,
            "required": [field for attribute, field in model.attribute_map.items() if
                         "must not be `None`" in inspect.getsource(getattr(model, attribute).fset)],
            "properties": {field: of_type(model.openapi_types[attribute], known)
                           for attribute, field in model.attribute_map.items()}})
        if name == "V1ResourceRequirements":
            for field in ("limits", "requests"):
                known[name]["properties"][field]["additionalProperties"] = QUANTITY
    return {"$ref": f"#/definitions/{name}"}


def of_type(name, known):
    if name in PLAIN:
        return dict(PLAIN[name])
    items = re.fullmatch(r"list\[(.*)\]", name)
    if items:
        return {"type": "array", "items": of_type(items.group(1), known)}
    values = re.fullmatch(r"dict[(\[]str, (.*)[)\]]", name)
    if values:
        return {"type": "object", "additionalProperties": of_type(values.group(1), known)}
    return of_class(name, known)


def closed(schema):
    """A schema of others: an object has no fields but those that are described."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: closed(value) for name, value in schema.items()}
    if isinstance(made.get("properties"), dict) and made.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made


def schema_for(kind, schemas):
    if kind in schemas:
        return closed(schemas[kind])
    known = {}
    return {**of_class("V1" + kind, known), "definitions": known}


def main():
    asked = json.load(sys.stdin)
    faults = []
    for document in asked["documents"]:
        faults.append([])
        judge = jsonschema.Draft7Validator(schema_for(document["kind"], asked["schemas"]))
        for fault in judge.iter_errors(document):
            where = "".join(f".{one}" if isinstance(one, str) else f"[{one}]" for one in fault.path)
            faults[-1].append(f"{document['kind']}{where}: {fault.message}")
    json.dump(faults, sys.stdout)


main()
