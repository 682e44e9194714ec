# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manifests: no schema is at hand, so what matters is looked at piece by piece."""
import json
import os
import subprocess

from support.process import environment
from support.tap import Skip, cases, test

from dist.fixture import read

DAEMONSET = "dist/kubernetes/daemonset.yaml"
PATCH = "dist/kubernetes/multipath-patch.yaml"
CONTAINERFILE = "dist/kubernetes/Containerfile"
#: The distribution's, for which there is a package; another Python has none.
PYTHON = "/usr/bin/python3"
TO_JSON = "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)"


def load(path):
    """The one document of a manifest."""
    if subprocess.run([PYTHON, "-c", "import yaml"], stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL, check=False).returncode:
        raise Skip(f"{PYTHON} has no yaml (package python3-yaml)")
    done = subprocess.run([PYTHON, "-c", TO_JSON], input=read(path), env=environment(), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise AssertionError(f"{path}: {done.stdout}")
    document, = json.loads(done.stdout)
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
    # The same path in both: a link to a socket, a path in a message, mean the same in there.
    t.equal(mounts, volumes, "mounts and volumes")


@test
def least_privilege(t):
    context = container(load(DAEMONSET))["securityContext"]
    t.equal(context, {"privileged": False, "allowPrivilegeEscalation": False,
                      "readOnlyRootFilesystem": True, "runAsUser": 0,
                      "capabilities": {"drop": ["ALL"],
                                       "add": ["SYS_RAWIO", "SETGID", "SETPCAP", "CHOWN"]}},
            "security context for plain disks")
    t.equal([one["name"] for one in pod(load(DAEMONSET))["volumes"]], ["sockets"],
            "volumes for plain disks: no /dev")
    t.equal(pod(load(DAEMONSET))["automountServiceAccountToken"], False, "service account")


@test
def multipath_has_what_it_needs(t):
    mounts = {one["mountPath"] for one in container(load(PATCH))["volumeMounts"]}
    t.equal(mounts, {"/dev", "/etc/multipath", "/etc/multipath.conf", "/run/multipathd.socket",
                     "/run/udev"}, "mounts")
    t.equal(container(load(PATCH))["securityContext"]["privileged"], True, "privileged")


def mounted(t, path):
    mounts = [one["mountPath"] for one in container(load(DAEMONSET))["volumeMounts"]]
    t.check(any(path.startswith(mount + "/") for mount in mounts), f"{path} is on no volume")


@test
def helper_takes_its_arguments(t):
    """--version comes last: an error before it would win."""
    arguments = container(load(DAEMONSET))["args"]
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name.endswith("socket"):
            mounted(t, value)
    t.run([t.lab.program("qemu-pr-helper"), *arguments, "--version"])


@cases("startupProbe", "livenessProbe")
def probe_is_a_command(t, probe):
    command = container(load(DAEMONSET))[probe]["exec"]["command"]
    t.equal(command[0], "qemu-pr-ctl", "program")
    sockets = {one.split("=", 1)[0]: one.split("=", 1)[1] for one in command if "=" in one}
    given = dict(one.split("=", 1) for one in container(load(DAEMONSET))["args"])
    t.equal(sockets["--status-socket"], given["--status-socket"], "socket that it asks")
    # There is no such socket here, so it fails; but not because it did not understand.
    elsewhere = [one.replace("/var/run/", os.path.join(t.lab.make_directory(), "")) for one in
                 command[1:]]
    output = t.run([t.lab.program("qemu-pr-ctl"), *elsewhere], status=None)
    t.check("No such file" in output, f"it says {output!r}")


@test
def image_has_what_the_manifest_needs(t):
    text = read(CONTAINERFILE)
    for path in ("usr/bin/qemu-pr-helper", "usr/bin/qemu-pr-ctl", "usr/libexec/qemu-pr-mpath"):
        t.lab.program(os.path.basename(path))
        t.check(os.path.exists(os.path.join(t.lab.root(), path)), f"{path} is not installed")
        t.check(f"/image/{path} " in text, f"{path} is not copied")
    t.check('ENTRYPOINT ["/usr/bin/qemu-pr-helper"]' in text, "entry point")
