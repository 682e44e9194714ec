# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules, runbooks, dashboard and manifests: by promtool, and against what the exporter really tells."""
import json
import os
import re

from support.tap import test

from ctl.status_server import example
from exporter.fixture import TOP, load

RULES = os.path.join(TOP, "dist", "monitoring", "rules.yaml")
RULES_TEST = os.path.join(TOP, "dist", "monitoring", "rules-test.yaml")
RUNBOOKS = os.path.join(TOP, "dist", "monitoring", "runbooks")
KUBERNETES = os.path.join(TOP, "dist", "kubernetes", "monitoring")
#: What a runbook has, in this order: the on-call person begins with what they see.
SECTIONS = ["Symptoms", "Meaning", "Actions", "End of the alert"]
TO_JSON = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"
#: Of the node's own alarms that are an alert of another name as well.
TOLD_TWICE = {"HungCommand", "StaleKey", "SameNexus", "PathUnregistered", "WorkerFailed",
              "HelperUnreadable"}


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def yaml(t, text):
    result = t.run("/usr/bin/python3", "-c", TO_JSON, stdin=text)
    t.equal(result.returncode, 0, f"YAML: {result.stderr}")
    return json.loads(result.stdout)


def rules(t):
    return [rule for group in yaml(t, read(RULES))["groups"] for rule in group["rules"]]


def alerts(t):
    return [rule for rule in rules(t) if "alert" in rule]


@test
def promtool_takes_the_rules(t):
    result = t.run(t.tool("promtool"), "check", "rules", "--lint=all", "--lint-fatal", RULES)
    t.equal((result.returncode, result.stderr), (0, ""), f"promtool check rules: {result.stdout}")


@test
def when_each_alert_fires_and_falls_silent(t):
    result = t.run(t.tool("promtool"), "test", "rules", RULES_TEST)
    t.equal(result.returncode, 0, f"promtool test rules: {result.stdout}{result.stderr}")
    tested = read(RULES_TEST)
    for alert in alerts(t):
        t.matches(rf"alertname: {alert['alert']}\n +exp_alerts:\n", tested, f"{alert['alert']} fires")
        silent = rf"alertname: {alert['alert']}, exp_alerts: \[\]"
        t.matches(silent, tested, f"{alert['alert']} is silent")


@test
def each_alert_has_a_runbook(t):
    names = sorted(alert["alert"] for alert in alerts(t))
    t.equal(sorted(name[:-len(".md")] for name in os.listdir(RUNBOOKS)), names, "runbooks and alerts")
    for alert in alerts(t):
        name = alert["alert"]
        t.equal(alert["annotations"]["runbook"],
                f"/usr/share/qemu-pr-helper/monitoring/runbooks/{name}.md", "where it is")
        text = read(RUNBOOKS, f"{name}.md")
        t.equal(re.findall(r"^## (.*)$", text, re.MULTILINE), SECTIONS, f"sections of {name}")
        t.matches(rf"^# {name}$", text, "title")
        for other in re.findall(r"QemuPr\w+", text):
            t.check(other in names, f"{name} names {other}, which is none")


@test
def page_names_each_alert(t):
    """docs/monitoring.md: each alert with its severity, in the order of what is worst."""
    rows = re.findall(r"^\| (QemuPr\w+) \| (\w+) \| .+ \|$", read(TOP, "docs", "monitoring.md"), re.MULTILINE)
    t.equal(sorted(rows), sorted((one["alert"], one["labels"]["severity"]) for one in alerts(t)), "the table")
    t.equal([severity for _, severity in rows], sorted(severity for _, severity in rows), "order")


@test
def node_and_prometheus_use_the_same_names(t):
    schema = load("docs", "node-status.schema.json")
    told = set(schema["properties"]["alarms"]["items"]["properties"]["alarm"]["enum"])
    t.equal(told, TOLD_TWICE, "alarms of the node")
    names = {alert["alert"] for alert in alerts(t)}
    t.equal({f"QemuPr{name}" for name in told} - names, set(), "alarms without an alert")


def known_names(t):
    directory = t.directory()
    t.serve(directory, "one", example())
    t.serve(directory, "liar", b"{")
    return {name for name, _ in t.metrics(t.exporter(directory))} | {"up"}


def used_names(expression):
    return set(re.findall(r"\b(?:qemu_pr_[a-z_]+|up)\b(?=[{\s)=>]|$|\[)", expression))


@test
def rules_use_what_there_is(t):
    known = known_names(t)
    for rule in rules(t):
        used = used_names(rule["expr"])
        t.check(used, f"{rule} uses no metric")
        t.equal(used - known, set(), f"unknown in {rule.get('alert') or rule['record']}")


def panels(dashboard):
    return [one for one in dashboard["panels"] if one["type"] != "row"]


@test
def dashboard(t):
    """As far as that can be seen without Grafana: each query is one and uses what there is, panels have
    numbers of their own and do not overlap, variables are declared."""
    known, board = known_names(t), load("dist", "monitoring", "dashboard.json")
    t.equal(len({one["id"] for one in board["panels"]}), len(board["panels"]), "numbers")
    variables = {one["name"] for one in board["templating"]["list"]}
    expressions = []
    for panel in panels(board):
        for target in panel["targets"]:
            expression = target["expr"]
            t.equal(used_names(expression) - known, set(), f"unknown in {panel['title']}")
            names = set(re.findall(r"\$(\w+)", expression)) - {"__rate_interval"}
            t.equal(names - variables, set(), f"variables of {panel['title']}")
            expressions.append(re.sub(r"\$\w+", "x", expression.replace("$__rate_interval", "5m")))
    taken = {}
    for panel in board["panels"]:
        at = panel["gridPos"]
        t.check(at["x"] + at["w"] <= 24, f"{panel['title']} is too wide")
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                t.check((x, y) not in taken, f"{panel['title']} covers {taken.get((x, y))}")
                taken[x, y] = panel["title"]
    # promtool parses them as rules.
    groups = {"groups": [{"name": "dashboard", "rules": [
        {"record": f"panel:{i}", "expr": one} for i, one in enumerate(expressions)]}]}
    path = os.path.join(t.directory(), "dashboard.yaml")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(groups, file)
    result = t.run(t.tool("promtool"), "check", "rules", path)
    t.equal(result.returncode, 0, f"queries: {result.stdout}{result.stderr}")


@test
def prometheusrule_is_the_rules(t):
    result = t.run(os.path.join(TOP, "tools", "prometheusrule"), "--check")
    t.equal((result.returncode, result.stderr), (0, ""), "tools/prometheusrule --check")
    manifest = yaml(t, read(KUBERNETES, "prometheusrule.yaml"))
    t.equal((manifest["apiVersion"], manifest["kind"]),
            ("monitoring.coreos.com/v1", "PrometheusRule"), "what it is")
    t.equal(manifest["spec"], yaml(t, read(RULES)), "groups")


@test
def pod_of_the_exporter(t):
    """The port that PodMonitor names is the one that the container has and the exporter listens at;
    the labels are those of the pod."""
    pod = yaml(t, read(KUBERNETES, "daemonset.yaml"))["spec"]["template"]["spec"]
    container, = pod["containers"]
    monitor = yaml(t, read(KUBERNETES, "podmonitor.yaml"))["spec"]
    endpoint, = monitor["podMetricsEndpoints"]
    port, = container["ports"]
    t.equal(endpoint["port"], port["name"], "port")
    t.check(f"--listen=:{port['containerPort']}" in container["args"], "where it listens")
    base = yaml(t, read(TOP, "dist", "kubernetes", "base", "daemonset.yaml"))["spec"]["template"]
    t.equal(monitor["selector"]["matchLabels"], base["metadata"]["labels"], "labels")
    helper = base["spec"]["containers"][0]
    socket = next(one.partition("=")[2] for one in helper["args"] if one.startswith("--status-socket"))
    places = [one.partition("=")[2] for one in container["args"] if one.startswith("--status=")]
    t.equal(places, [os.path.dirname(socket)], "the directory of the helper's status socket")
    mounts = {one["mountPath"] for one in container["volumeMounts"]}
    t.check(places[0] in mounts, f"{places[0]} is mounted: {mounts}")
    t.equal(container["securityContext"]["capabilities"], {"drop": ["ALL"]}, "capabilities")
