# SPDX-License-Identifier: LGPL-2.1-or-later
"""What has to agree when a version is released; tools/release relies on it."""
import re

from support.tap import test

from dist.fixture import read


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
