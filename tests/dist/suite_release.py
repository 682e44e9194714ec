# SPDX-License-Identifier: LGPL-2.1-or-later
"""What has to agree when a version is released; tools/release relies on it."""
import hashlib
import json
import os
import re
import shutil
import tarfile

from support.tap import cases, test

from dist.fixture import TOP, read


def meson_version():
    return re.search(r"^  version: '([0-9.]+)',$", read("meson.build"), re.MULTILINE).group(1)


@test
def versions_agree(t):
    version = meson_version()
    changelog = re.match(r"qemu-pr-helper \((\S+)\) ", read("debian/changelog"))
    news = re.search(r"^## (\S+)$", read("NEWS"), re.MULTILINE)
    image = re.search(r"^ +image: qemu-pr-helper:(\S+)$", read("dist/kubernetes/base/daemonset.yaml"),
                      re.MULTILINE)
    header = ".".join(re.findall(r"^#define PRHELPER_VERSION_(?:MAJOR|MINOR|MICRO) +(\d+)$",
                                 read("src/client/prhelper.h"), re.MULTILINE))
    t.equal({"debian/changelog": changelog and changelog.group(1),
             "NEWS": news and news.group(1), "prhelper.h": header, "daemonset.yaml": image and image.group(1)},
            dict.fromkeys(("debian/changelog", "NEWS", "prhelper.h", "daemonset.yaml"), version), "versions")


@test
def programs_have_that_version(t):
    for name in ("qemu-pr-helper", "qemu-pr-ctl", "qemu-pr-exporter", "qemu-pr-simulator"):
        t.matches(rf"^{name} (version )?{re.escape(meson_version())}\b",
                  t.run([t.lab.program(name), "--version"]), "what it says")


@test
def news_says_something(t):
    section = read("NEWS").partition(f"\n## {meson_version()}\n")[2].partition("\n## ")[0]
    t.check(len(re.findall(r"^- ", section, re.MULTILINE)) >= 1, "no news of this version")


# -- tools/release, in a repository of its own


class Repository:
    """As much of the project as tools/release looks at before the tests."""

    FILES = ("meson.build", "NEWS", "debian/changelog", "dist/rpm/prhelper.spec",
             "tools/release", "tools/sbom")

    def __init__(self, t):
        self.t, self.top, self.keys = t, t.lab.make_directory(), t.lab.make_directory()
        for path in self.FILES:
            os.makedirs(os.path.dirname(os.path.join(self.top, path)), exist_ok=True)
            shutil.copy(os.path.join(TOP, path), os.path.join(self.top, path))
        self.git("init", "--quiet")
        self.git("config", "user.name", "t")
        self.git("config", "user.email", "t@t.invalid")
        self.commit()

    def git(self, *arguments):
        return self.t.run(["git", "-C", self.top, *arguments], HOME=self.top)

    def commit(self):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=x")

    def change(self, path, old, new):
        full = os.path.join(self.top, path)
        with open(full, encoding="utf-8") as file:
            text = file.read()
        self.t.check(old in text, f"{old!r} in {path}")
        with open(full, "w", encoding="utf-8") as file:
            file.write(text.replace(old, new))

    def write(self, path, text, mode=0o644):
        full = os.path.join(self.top, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(full, mode)

    def check(self, version, status=1):
        return self.release(version, status, "--check")

    def release(self, version, status, *options):
        return self.t.run([os.path.join(self.top, "tools", "release"), version, *options], status,
                          HOME=self.top, GNUPGHOME=self.keys)

    def read(self, name):
        with open(os.path.join(self.top, name), "rb") as file:
            return file.read()

    def made(self):
        """Tags, and files that are not the project's."""
        return self.git("tag").split(), self.git("ls-files", "--others").split()

    def builds(self):
        """Something small, with a test suite that says how it was called and ends as it is told."""
        self.write("meson.build", f"project('small',\n  version: '{meson_version()}',\n)\n")
        self.write("tests/run", """#!/bin/sh
echo "$PWD $@" >"$HOME/.git/called"
[ -e "$2/build.ninja" ] || exit 3
cat verdict
exit "$(cat status)"
""", 0o755)

    def passes(self):
        self.builds()
        self.write("verdict", "8 passed, 0 failed, 0 skipped\n")
        self.write("status", "0\n")
        self.commit()


@test
def release_has_nothing_against_what_is_right(t):
    t.matches("^Nothing against", Repository(t).check(meson_version(), 0), "what it says")


@cases(("no version", "1.2", 2, "usage"), ("another version", "99.0.0", 1, "meson.build says"))
def release_refuses_the_version(t, version, status, message):
    t.matches(message, Repository(t).check(version, status), "what it says")


@cases(("meson.build", "meson.build", "version: 'VERSION'", "version: '98.0.0'", "meson.build says"),
       ("changelog", "debian/changelog", "(VERSION)", "(98.0.0)", "debian/changelog says 98"),
       ("spec", "dist/rpm/prhelper.spec", "Version:        VERSION", "Version:        98.0.0",
        "prhelper.spec says 98"),
       ("no news", "NEWS", "## VERSION\n", "## 98.0.0\n", "NEWS has nothing"),
       ("nothing new", "NEWS", "\n- ", "\n", "NEWS has nothing"))
def release_refuses(t, path, old, new, message):
    repository = Repository(t)
    repository.change(path, old.replace("VERSION", meson_version()), new)
    repository.commit()
    t.matches(message, repository.check(meson_version()), "what it says")


@test
def release_refuses_what_is_not_committed(t):
    repository = Repository(t)
    repository.change("NEWS", "# News", "# Old news")
    t.matches("the tree is not clean", repository.check(meson_version()), "what it says")


@test
def release_refuses_a_version_twice(t):
    repository = Repository(t)
    repository.git("tag", f"v{meson_version()}")
    t.matches("exists already", repository.check(meson_version()), "what it says")


@test
def release_refuses_what_does_not_build(t):
    """Of the project there is too little here to build it."""
    repository = Repository(t)
    t.matches("it does not build", repository.release(meson_version(), 1), "what it says")
    t.equal(repository.made(), ([], []), "tags and archives")


@test
def release_refuses_when_tests_fail(t):
    repository = Repository(t)
    repository.builds()
    repository.write("verdict", "7 passed, 1 failed, 0 skipped\n")
    repository.write("status", "1\n")
    repository.commit()
    t.matches("tests failed: 7 passed, 1 failed, 0 skipped$",
              repository.release(meson_version(), 1), "what it says")
    t.equal(repository.made(), ([], []), "tags and archives")


@test
def release_makes_tag_and_archive(t):
    """After all tests, the long ones too, of what is in the archive."""
    version = meson_version()
    repository = Repository(t)
    repository.passes()
    said = repository.release(version, 0)
    name = f"qemu-pr-helper-{version}"
    files = [f"{name}.sha256", f"{name}.spdx.json", f"{name}.tar.xz"]
    t.equal(repository.made(), ([f"v{version}"], files), "tags and files")
    t.matches(f"{' '.join(files)}\\.$", said, "what it says")
    t.matches(rf"^/\S+/{name} --build build --full$", repository.read(".git/called").decode(),
              "where the tests were run, and their arguments")
    t.matches(r"(?m)^- ", repository.git("cat-file", "tag", f"v{version}"), "news in the tag")
    names = t.run(["tar", "-tf", os.path.join(repository.top, files[2])]).split()
    t.check(f"{name}/meson.build" in names, f"in the archive: {names}")
    t.check(all(one.startswith(f"{name}/") for one in names), "its directory")
    t.run(["sh", "-c", f"cd {repository.top} && sha256sum --check --strict {files[0]}"])


@test
def release_says_what_is_in_it(t):
    """SPDX 2.3: every file and every dependency, by references that lead somewhere."""
    repository = Repository(t)
    repository.write("src/a.c", "// SPDX-License-Identifier: LGPL-2.1-or-later\n")
    repository.passes()
    repository.write("meson.build", repository.read("meson.build").decode() +
                     "dependency('libseccomp', version: '>= 2.5')\n"
                     "dependency('json-c', required: false)\ndependency('cmocka')\n")
    repository.commit()
    repository.release(meson_version(), 0)
    name = f"qemu-pr-helper-{meson_version()}"
    document = json.loads(repository.read(f"{name}.spdx.json"))
    package = document["packages"][0]
    t.equal((document["spdxVersion"], document["dataLicense"], package["name"], package["versionInfo"],
             package["licenseDeclared"]),
            ("SPDX-2.3", "CC0-1.0", "qemu-pr-helper", meson_version(), "LGPL-2.1-or-later"), "package")
    t.equal(package["checksums"][0]["checksumValue"],
            hashlib.sha256(repository.read(f"{name}.tar.xz")).hexdigest(), "checksum of the archive")
    with tarfile.open(os.path.join(repository.top, f"{name}.tar.xz")) as archive:
        inside = {f"./{one.name.partition('/')[2]}": archive.extractfile(one).read()
                  for one in archive.getmembers() if one.isfile()}
    t.equal({one["fileName"]: [sum["checksumValue"] for sum in one["checksums"]]
             for one in document["files"]},
            {path: [hashlib.sha1(data).hexdigest(), hashlib.sha256(data).hexdigest()]
             for path, data in inside.items()}, "files")
    source = next(one for one in document["files"] if one["fileName"] == "./src/a.c")
    t.equal(source["licenseInfoInFiles"], ["LGPL-2.1-or-later"], "licence of a source")
    known = [one["SPDXID"] for one in (document, *document["packages"], *document["files"])]
    t.equal(len(known), len(set(known)), "identifiers, each once")
    used = {one[end] for one in document["relationships"]
            for end in ("spdxElementId", "relatedSpdxElement")}
    t.equal(used - set(known), set(), "references to nothing")
    t.equal({one["spdxElementId"]: one["relationshipType"] for one in document["relationships"]
             if "DEPENDENCY" in one["relationshipType"]},
            {"SPDXRef-Package-libseccomp": "DEPENDENCY_OF",
             "SPDXRef-Package-json-c": "OPTIONAL_DEPENDENCY_OF",
             "SPDXRef-Package-cmocka": "TEST_DEPENDENCY_OF"}, "dependencies")


@test
def release_is_signed(t):
    """With a key that is made for this test."""
    repository = Repository(t)
    repository.passes()
    user = "t@t.invalid"
    t.run(["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", user, "ed25519",
           "sign"], GNUPGHOME=repository.keys)
    t.cleanup.callback(t.run, ["gpgconf", "--kill", "all"], GNUPGHOME=repository.keys)
    repository.release(meson_version(), 0, "--sign-with", user)
    name = f"qemu-pr-helper-{meson_version()}"
    for file in (f"{name}.tar.xz", f"{name}.sha256"):
        path = os.path.join(repository.top, file)
        t.run(["gpg", "--batch", "--quiet", "--verify", f"{path}.asc", path], GNUPGHOME=repository.keys)
    t.run(["git", "-C", repository.top, "verify-tag", f"v{meson_version()}"], GNUPGHOME=repository.keys)


@test
def release_refuses_a_key_that_is_not_there(t):
    """Before the tests, which take hours."""
    repository = Repository(t)
    repository.passes()
    t.matches("gpg has no secret key nosuch@t.invalid",
              repository.release(meson_version(), 1, "--sign-with", "nosuch@t.invalid"), "what it says")
    t.equal(repository.made(), ([], []), "tags and files")
