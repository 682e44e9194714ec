# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is handed to a cluster against schemas: Kubernetes' own kinds as python3-kubernetes has them, those of
the Prometheus operator as tests/dist/schemas has them.

    TEST_CRDS=DIRECTORY tests/dist/run schemas

compares the latter with the operator's CRDs, fetched by hand from its repository
(example/prometheus-operator-crd), and holds the manifests against these themselves.
"""
import copy
import functools
import glob
import json
import os
import subprocess

from support.process import environment
from support.tap import Skip, cases, test

from dist.fixture import TOP, read
from dist.suite_kubernetes import PYTHON, documents

JUDGE = os.path.join(TOP, "tests", "dist", "judge_manifests.py")
OPERATOR = {"PodMonitor": "podmonitor", "PrometheusRule": "prometheusrule"}
OVERLAYS = ("base", "multipath", "monitoring")


def schemas():
    return {kind: json.loads(read(f"tests/dist/schemas/{name}.json"))
            for kind, name in OPERATOR.items()}


def faults(manifests, against):
    """For each of them a list."""
    done = subprocess.run([PYTHON, JUDGE], env=environment(), text=True, check=False,
                          input=json.dumps({"documents": manifests, "schemas": against}),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.stderr.startswith("SKIP "):
        raise Skip(f"{done.stderr[5:].strip()} (packages python3-jsonschema, python3-kubernetes)")
    if done.returncode:
        raise AssertionError(done.stderr)
    return json.loads(done.stdout)


@functools.lru_cache(maxsize=None)
def render(kubectl, name):
    return subprocess.run([kubectl, "kustomize", os.path.join(TOP, "dist/kubernetes", name)], check=True,
                          env=environment(), text=True, stdout=subprocess.PIPE).stdout


def rendered(t, name):
    return documents(render(t.tool("kubectl", "kubernetes-client"), name), name)


@test
def valid(t):
    manifests = [one for name in OVERLAYS for one in rendered(t, name)]
    t.equal(sum(faults(manifests, schemas()), []), [], "faults")


#: What each of these faults is noticed by: kind, where it is put, what, and a part of the message.
SLIPS = [
    ("DaemonSet", ("spec", "template", "spec"), {"hostpid": True}, "hostpid"),
    ("DaemonSet", ("spec", "template", "spec", "containers", 0), {"args": "--socket=x"}, "array"),
    ("DaemonSet", ("spec", "template", "spec", "containers", 0, "resources"),
     {"limits": {"memory": "64 MB"}}, "64 MB"),
    ("DaemonSet", ("spec", "template", "spec", "volumes", 0), {"hostPath": {"type": "Directory"}},
     "path"),
    ("Namespace", ("metadata",), {"labels": {"enforce": True}}, "True"),
    ("PodMonitor", ("spec", "podMetricsEndpoints", 0), {"interval": "30 s"}, "30 s"),
    ("PodMonitor", ("spec", "podMetricsEndpoints", 0, "relabelings", 0), {"source_labels": []},
     "source_labels"),
    ("PrometheusRule", ("spec", "groups", 0), {"rules": [{"alert": "A"}]}, "expr"),
    ("PrometheusRule", ("spec", "groups", 0, "rules", 0), {"labels": {"priority": 1}}, "1"),
]


@test
def slips_are_noticed(t):
    """The same manifests, each with a fault in it."""
    manifests = []
    for kind, where, change, _ in SLIPS:
        document = copy.deepcopy(next(one for one in rendered(t, "monitoring") if one["kind"] == kind))
        place = functools.reduce(lambda inner, step: inner[step], where, document)
        place.update(change)
        manifests.append(document)
    for (kind, _, change, said), found in zip(SLIPS, faults(manifests, schemas())):
        t.check(found and all(said in one for one in found), f"{change} in a {kind}: {found}")


@test
def scraped_port_exists(t):
    """PodMonitor names a port and pods; the DaemonSet has both."""
    found = {one["kind"]: one for one in rendered(t, "monitoring")}
    pods = found["DaemonSet"]["spec"]["template"]
    names = {port["name"] for one in pods["spec"]["containers"] for port in one.get("ports", ())}
    t.check({one["port"] for one in found["PodMonitor"]["spec"]["podMetricsEndpoints"]} <= names,
            f"ports {names}")
    wanted = found["PodMonitor"]["spec"]["selector"]["matchLabels"]
    t.equal({**pods["metadata"]["labels"], **wanted}, pods["metadata"]["labels"], "labels of the pods")


# -- with the operator's CRDs


def crd(t, kind):
    """(version of the operator, the schema)"""
    del t
    directory = os.environ.get("TEST_CRDS")
    if not directory:
        raise Skip("needs the operator's CRDs: TEST_CRDS=DIRECTORY")
    for path in sorted(glob.glob(os.path.join(directory, "*.yaml"))):
        with open(path, encoding="utf-8") as file:
            for one in documents(file.read(), path):
                if one["kind"] == "CustomResourceDefinition" and one["spec"]["names"]["kind"] == kind:
                    version, = (each for each in one["spec"]["versions"] if each["name"] == "v1")
                    return (one["metadata"]["annotations"]["operator.prometheus.io/version"],
                            version["schema"]["openAPIV3Schema"])
    raise AssertionError(f"no CRD of {kind} in {directory}")


def differences(ours, theirs, where="$"):
    """Where ours would let something pass that theirs does not."""
    for word in ("type", "pattern", "minLength"):
        if ours.get(word) != theirs.get(word):
            yield f"{where}: {word} {theirs.get(word)}"
    if not set(theirs.get("required", ())) <= set(ours.get("required", ())):
        yield f"{where}: required {theirs['required']}"
    for name, one in ours.get("properties", {}).items():
        if name not in theirs.get("properties", {}):
            yield f"{where}.{name}: there is no such field"
        else:
            yield from differences(one, theirs["properties"][name], f"{where}.{name}")
    for word in ("items", "additionalProperties"):
        if isinstance(ours.get(word), dict):
            yield from differences(ours[word], theirs.get(word, {}), f"{where}.{word}")


@cases(*OPERATOR)
def as_the_operator_has_it(t, kind):
    version, theirs = crd(t, kind)
    ours = schemas()[kind]
    t.equal(list(differences(ours, theirs)), [], "differences")
    t.equal(ours["compared with"], f"prometheus-operator {version}", "version in the schema")


@cases(*OPERATOR)
def valid_for_the_operator(t, kind):
    _, theirs = crd(t, kind)
    manifests = [one for one in rendered(t, "monitoring") if one["kind"] == kind]
    t.equal(len(manifests), 1, "manifests")
    t.equal(faults(manifests, {kind: theirs}), [[]], "faults")
