# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manifests, by what matters in them; suite_schemas.py holds them against schemas."""
import json
import os
import subprocess

from support.process import Helper, environment
from support.tap import Skip, cases, test

from dist.fixture import TOP, read

DAEMONSET = "dist/kubernetes/base/daemonset.yaml"
PATCH = "dist/kubernetes/multipath/daemonset.yaml"
ENTRY_POINT = "dist/kubernetes/entrypoint.sh"
CONTAINERFILE = "dist/kubernetes/Containerfile"
SOCKETS = "/var/run/qemu-pr-helper"
#: The distribution's, for which there is a package; another Python has none.
PYTHON = "/usr/bin/python3"
TO_JSON = "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)"


def documents(text, name):
    """Of one or more manifests."""
    if subprocess.run([PYTHON, "-c", "import yaml"], stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL, check=False).returncode:
        raise Skip(f"{PYTHON} has no yaml (package python3-yaml)")
    done = subprocess.run([PYTHON, "-c", TO_JSON], input=text, env=environment(), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise AssertionError(f"{name}: {done.stdout}")
    return json.loads(done.stdout)


def load(path):
    """The one document of a manifest."""
    document, = documents(read(path), path)
    return document


def pod(document):
    return document["spec"]["template"]["spec"]


def container(document):
    one, = pod(document)["containers"]
    return one


@test
def names_and_labels(t):
    manifest = load(DAEMONSET)
    t.equal((manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"]),
            ("apps/v1", "DaemonSet", "qemu-pr-helper"), "what it is")
    t.equal(manifest["spec"]["selector"]["matchLabels"],
            manifest["spec"]["template"]["metadata"]["labels"], "selector")
    t.equal(container(load(PATCH))["name"], container(manifest)["name"],
            "name of the container that is patched")


@cases(DAEMONSET, PATCH)
def mounts_have_volumes(t, path):
    mounts = {one["name"]: one["mountPath"] for one in container(load(path))["volumeMounts"]}
    volumes = {one["name"]: one["hostPath"]["path"] for one in pod(load(path))["volumes"]}
    # The same path in both: a link to a socket, a path in a message, mean the same in there. But the
    # container has a /run of its own.
    if mounts.get("run") == "/node/run":
        mounts["run"] = "/run"
    t.equal(mounts, volumes, "mounts and volumes")


@cases(DAEMONSET, PATCH)
def volumes_have_types(t, path):
    """Without one, the runtime makes a directory where the node has nothing, also of a socket."""
    for one in pod(load(path))["volumes"]:
        t.check(one["hostPath"].get("type") in ("Directory", "DirectoryOrCreate", "Socket"),
                f"{one['name']}: type {one['hostPath'].get('type')}")


@cases("base", "multipath")
def renders(t, name):
    """By kubectl, without a cluster: one namespace, and what runs in it."""
    output = t.run([t.tool("kubectl", "kubernetes-client"), "kustomize",
                    os.path.join(TOP, "dist/kubernetes", name)])
    namespace, daemonset = documents(output, name)
    t.equal((namespace["kind"], daemonset["kind"]), ("Namespace", "DaemonSet"), "kinds")
    t.equal(daemonset["metadata"]["namespace"], namespace["metadata"]["name"], "namespace")
    t.equal(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "privileged",
            "what Pod Security is told: a hostPath volume is refused at any other level")
    expected = {one["name"] for path in ([DAEMONSET] if name == "base" else [DAEMONSET, PATCH])
                for one in pod(load(path))["volumes"]}
    t.equal({one["name"] for one in pod(daemonset)["volumes"]}, expected, "volumes")
    t.equal(container(daemonset)["securityContext"]["privileged"], name == "multipath", "privileged")


@test
def renders_with_the_exporter(t):
    """By kubectl: what the base has, and an exporter in the pod, PodMonitor and PrometheusRule."""
    output = t.run([t.tool("kubectl", "kubernetes-client"), "kustomize",
                    os.path.join(TOP, "dist/kubernetes/monitoring")])
    found = {one["kind"]: one for one in documents(output, "monitoring")}
    t.equal(sorted(found), ["DaemonSet", "Namespace", "PodMonitor", "PrometheusRule"], "kinds")
    containers = {one["name"]: one for one in pod(found["DaemonSet"])["containers"]}
    t.equal(sorted(containers), ["qemu-pr-exporter", "qemu-pr-helper"], "containers")
    t.equal({one["metadata"]["namespace"] for kind, one in found.items() if kind != "Namespace"},
            {"qemu-pr-helper"}, "namespaces")


@test
def least_privilege(t):
    context = container(load(DAEMONSET))["securityContext"]
    t.equal(context, {"privileged": False, "allowPrivilegeEscalation": False,
                      "readOnlyRootFilesystem": True, "runAsUser": 0,
                      "capabilities": {"drop": ["ALL"],
                                       "add": ["SYS_RAWIO", "SETUID", "SETGID", "SETPCAP", "CHOWN"]}},
            "security context for plain disks")
    t.equal([one["name"] for one in pod(load(DAEMONSET))["volumes"]], ["sockets", "status"],
            "volumes for plain disks: no /dev")
    t.equal(pod(load(DAEMONSET))["automountServiceAccountToken"], False, "service account")


@test
def multipath_has_what_it_needs(t):
    mounts = {one["mountPath"] for one in container(load(PATCH))["volumeMounts"]}
    t.equal(mounts, {"/dev", "/node/run", "/run/qemu-pr-mpath"}, "mounts")
    t.check("ln -s /node/run/multipathd.socket /run/multipathd.socket" in read(CONTAINERFILE),
            "the image has no link to multipathd's socket")
    t.equal(container(load(PATCH))["securityContext"]["privileged"], True, "privileged")


def mounted(t, path):
    mounts = [one["mountPath"] for one in container(load(DAEMONSET))["volumeMounts"]]
    t.check(any(path.startswith(mount + "/") for mount in mounts), f"{path} is on no volume")


def started(t):
    """The helper with the manifest's arguments, its sockets in a directory of ours."""
    if os.geteuid() != 0:
        raise Skip("only root can give the socket to another group")
    directory = t.lab.make_directory()
    os.mkdir(directory + "/status")  # a volume
    arguments = [one.replace(SOCKETS, directory) for one in container(load(DAEMONSET))["args"]]
    paths = dict(one.split("=", 1) for one in arguments)
    options = [one for one in arguments if not one.startswith("--socket=")]
    t.equal(len(options), len(arguments) - 1, "arguments beside the socket")
    helper = Helper(t.lab.program("qemu-pr-helper"), directory, options, paths["--socket"])
    t.cleanup.callback(helper.close)
    return directory, helper.wait_ready()


@test
def arguments_are_on_the_volume(t):
    for argument in container(load(DAEMONSET))["args"]:
        name, _, value = argument.partition("=")
        t.check(not name.endswith("socket") or value.startswith(SOCKETS + "/"), argument)
    t.equal([one["hostPath"]["path"] for one in pod(load(DAEMONSET))["volumes"]],
            [SOCKETS, SOCKETS + "/status"], "volumes")


@test
def helper_serves_with_its_arguments(t):
    """And QEMU, in the group that KubeVirt runs it in, may connect."""
    _, helper = started(t)
    status = os.stat(helper.socket_path)
    t.equal((oct(status.st_mode & 0o777), status.st_gid), ("0o660", 107), "mode and group")


@cases("startupProbe", "readinessProbe", "livenessProbe")
def probe_succeeds_while_it_lives(t, probe):
    command = container(load(DAEMONSET))[probe]["exec"]["command"]
    t.equal(command[0], "qemu-pr-ctl", "program")
    directory, helper = started(t)
    words = [t.lab.program("qemu-pr-ctl"),
             *(one.replace(SOCKETS, directory) for one in command[1:])]
    t.run(words)
    helper.close()
    output = t.run(words, status=None)
    t.check("No such file" in output, f"without the helper it says {output!r}")


@test
def image_has_what_the_manifest_needs(t):
    text = read(CONTAINERFILE)
    for path in ("usr/bin/qemu-pr-helper", "usr/bin/qemu-pr-ctl", "usr/libexec/qemu-pr-mpath"):
        t.lab.program(os.path.basename(path))
        t.check(os.path.exists(os.path.join(t.lab.root(), path)), f"{path} is not installed")
        t.check(f"/image/{path} " in text, f"{path} is not copied")
    t.check('ENTRYPOINT ["/usr/bin/qemu-pr-helper"]' in text, "entry point")
    t.check(f"COPY {ENTRY_POINT} /entrypoint.sh" in text, "what KubeVirt starts")
    t.check(os.access(os.path.join(TOP, ENTRY_POINT), os.X_OK), f"{ENTRY_POINT} cannot be executed")
