# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian packages as raw material: downloaded once, unpacked beside, never installed.

apt runs on a state of our own in the cache (one for each architecture), with the machine's
Debian sources and keys, so that i386 packages need no foreign architecture on the machine and no
one needs to be root. apt checks every package against the signed index.
"""
import os
import pathlib
import re
import shutil
import subprocess

from . import paths

FALLBACK = "http://deb.debian.org/debian bookworm main\n"


class PackageError(Exception):
    pass


def debian_sources(kind="deb"):
    """The machine's own Debian sources (mirrors, snapshots) as one-line entries."""
    form = "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)"
    result = subprocess.run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"],
                            text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    lines = set()
    for row in result.stdout.splitlines():
        origin, uri, release, component = row.split("|")
        if release.startswith("bookworm") and component == "main" and \
                (origin == "Debian" or "debian.org/debian" in uri):
            lines.add(f"{kind} {uri} {release} {component}\n")
    return "".join(sorted(lines)) or f"{kind} {FALLBACK}"


class Apt:
    """apt with a state of its own for one architecture, or for sources."""

    def __init__(self, arch, kind="deb"):
        self.arch, self.kind = arch, kind
        self.state = paths.cache() / ("apt-sources" if kind == "deb-src" else f"apt-{arch}")
        self.debs = paths.cache() / "packages"
        self.config = self.state / "apt.conf"
        self.updated = False

    def prepare(self):
        for folder in (self.debs, self.state / "lists" / "partial", self.state / "cache"):
            folder.mkdir(parents=True, exist_ok=True)
        (self.state / "status").touch()
        (self.state / "sources.list").write_text(debian_sources(self.kind))
        lines = {
            "APT::Architecture": self.arch,
            "Dir::State": self.state,
            "Dir::State::lists": self.state / "lists",
            "Dir::State::status": self.state / "status",
            "Dir::Cache": self.state / "cache",
            "Dir::Etc::SourceList": self.state / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "APT::Sandbox::User": "",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        text = "".join(f'{key} "{value}";\n' for key, value in lines.items())
        # The machine's list of architectures is added to, not replaced, unless cleared first.
        self.config.write_text(f'#clear APT::Architectures;\nAPT::Architectures {{ "{self.arch}"; }};\n'
                               + text)

    def call(self, *command, cwd=None):
        env = dict(os.environ, APT_CONFIG=str(self.config), LC_ALL="C.UTF-8")
        result = subprocess.run(command, cwd=cwd, env=env, text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if result.returncode:
            raise PackageError(f"{' '.join(command)}: {result.stderr.strip()[-600:]}")
        return result.stdout

    def update(self):
        self.prepare()
        paths.progress(f"package lists: Debian 12 {self.state.name.removeprefix('apt-')}")
        try:
            self.call("apt-get", "-qq", "update")
        except PackageError as err:
            # A mirror in the middle of its own update: the other lists may do.
            paths.progress(f"warning: {err}")

    def resolve(self, name):
        """A kernel metapackage's versioned package; any other name is itself."""
        if not re.fullmatch(r"linux-image-[a-z0-9-]+", name):
            return name
        for line in self.call("apt-cache", "depends", "--important", name).splitlines():
            match = re.match(r"\s*Depends: (linux-image-\S+)", line)
            if match:
                return match.group(1)
        return name

    def download(self, name):
        if not self.updated:
            self.update()
            self.updated = True
        real = self.resolve(name)
        paths.progress(f"downloading {real}:{self.arch}")
        before = set(self.debs.glob("*.deb"))
        self.call("apt-get", "-qq", "download", real, cwd=self.debs)
        new = [p for p in self.debs.glob(f"{real}_*.deb")
               if p.name.endswith((f"_{self.arch}.deb", "_all.deb"))]
        if not new:
            raise PackageError(f"apt-get downloaded nothing for {real}:{self.arch}")
        return max(new, key=lambda p: (p not in before, p.stat().st_mtime))


APTS = {arch: Apt(arch) for arch in ("amd64", "i386")}


def unpacked(name, arch="amd64"):
    """The folder with the files of a package, fetched when it is not there yet."""
    folder = paths.cache() / "unpacked" / f"{name}-{arch}"
    if folder.is_dir():
        return folder
    with paths.locked(paths.cache() / f"apt-{arch}"):
        if folder.is_dir():
            return folder
        for tool in ("apt-get", "apt-cache", "dpkg-deb"):
            if not shutil.which(tool):
                raise PackageError(f"{tool} not found: guests are made from Debian packages")
        deb = APTS[arch].download(name)
        part = folder.with_name(folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        subprocess.run(["dpkg-deb", "-x", str(deb), str(part)], check=True)
        part.rename(folder)
        deb.unlink()
    return folder


def source(name, members):
    """A folder with what matches the pattern in the upstream tarball of a source package."""
    folder = paths.cache() / "unpacked" / f"{name}-source"
    if folder.is_dir():
        return folder
    apt = Apt("amd64", "deb-src")
    with paths.locked(apt.state):
        if folder.is_dir():
            return folder
        apt.update()
        paths.progress(f"downloading the source of {name}")
        part = folder.with_name(folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        apt.call("apt-get", "-qq", "source", "--download-only", name, cwd=part)
        tarball = next(part.glob("*.orig.tar.*"))
        subprocess.run(["tar", "-C", str(part), "-xf", str(tarball), "--wildcards", members],
                       check=True)
        for file in part.glob(f"{name}_*"):
            file.unlink()
        part.rename(folder)
    return folder


def the_file(name, arch, pattern):
    """The one file of a package that matches the glob pattern."""
    found = sorted(unpacked(name, arch).glob(pattern))
    if not found:
        raise PackageError(f"package {name}:{arch} has no {pattern}")
    return pathlib.Path(found[-1])
