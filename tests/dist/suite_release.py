# SPDX-License-Identifier: LGPL-2.1-or-later
"""What has to agree when a version is released; tools/release relies on it."""
import os
import re
import shutil

from support.tap import cases, test

from dist.fixture import TOP, read


def meson_version():
    return re.search(r"^  version: '([0-9.]+)',$", read("meson.build"), re.MULTILINE).group(1)


@test
def versions_agree(t):
    version = meson_version()
    changelog = re.match(r"qemu-pr-helper \((\S+)\) ", read("debian/changelog"))
    news = re.search(r"^## (\S+)$", read("NEWS"), re.MULTILINE)
    image = re.search(r"^ +image: qemu-pr-helper:(\S+)$", read("dist/kubernetes/daemonset.yaml"),
                      re.MULTILINE)
    t.equal({"debian/changelog": changelog and changelog.group(1),
             "NEWS": news and news.group(1), "daemonset.yaml": image and image.group(1)},
            dict.fromkeys(("debian/changelog", "NEWS", "daemonset.yaml"), version), "versions")


@test
def programs_have_that_version(t):
    for name in ("qemu-pr-helper", "qemu-pr-ctl", "qemu-pr-simulator"):
        t.matches(rf"^{name} (version )?{re.escape(meson_version())}\b",
                  t.run([t.lab.program(name), "--version"]), "what it says")


@test
def news_says_something(t):
    section = read("NEWS").partition(f"\n## {meson_version()}\n")[2].partition("\n## ")[0]
    t.check(len(re.findall(r"^- ", section, re.MULTILINE)) >= 1, "no news of this version")


# -- tools/release, in a repository of its own


class Repository:
    """As much of the project as tools/release looks at before the tests."""

    FILES = ("meson.build", "NEWS", "debian/changelog", "tools/release")

    def __init__(self, t):
        self.t, self.top = t, t.lab.make_directory()
        for path in self.FILES:
            os.makedirs(os.path.dirname(os.path.join(self.top, path)), exist_ok=True)
            shutil.copy(os.path.join(TOP, path), os.path.join(self.top, path))
        self.git("init", "--quiet")
        self.commit()

    def git(self, *arguments):
        self.t.run(["git", "-C", self.top, "-c", "user.name=t", "-c", "user.email=t@t.invalid",
                    *arguments], HOME=self.top)

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

    def check(self, version, status=1):
        return self.t.run([os.path.join(self.top, "tools", "release"), version, "--check"], status,
                          HOME=self.top)


@test
def release_has_nothing_against_what_is_right(t):
    t.matches("^Nothing against", Repository(t).check(meson_version(), 0), "what it says")


@cases(("no version", "1.2", 2, "usage"), ("another version", "99.0.0", 1, "meson.build says"))
def release_refuses_the_version(t, version, status, message):
    t.matches(message, Repository(t).check(version, status), "what it says")


@cases(("meson.build", "meson.build", "version: 'VERSION'", "version: '98.0.0'", "meson.build says"),
       ("changelog", "debian/changelog", "(VERSION)", "(98.0.0)", "debian/changelog says 98"),
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
