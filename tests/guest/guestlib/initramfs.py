# SPDX-License-Identifier: GPL-2.0-or-later
"""An initial RAM disk: static busybox, kernel modules in loading order, our init. No root needed:
the cpio archive ("newc") is written here, device nodes included, the same bytes each time."""
import gzip
import os
import re

from . import packages, paths

APPLET_FOLDERS = ("bin", "sbin")
# The time of every file, so that an archive does not depend on the day it is made.
EPOCH = 1704067200
# What guests of these tests may find; a module that a kernel has built in is simply not there.
MODULES = ["virtio_pci", "virtio_blk", "virtio_console", "virtio-rng", "virtio_balloon",
           "virtio_scsi", "crc32c_generic", "crc32c-intel", "ata_piix", "ahci", "sd_mod", "sr_mod", "ext4", "isofs",
           "button", "evdev", "psmouse",
           "virtio_net", "e1000", "tulip", "8139cp", "8139too"]
# Lie there, and are not loaded.
SPARE = ["pktgen", "8021q"]


class Cpio:
    def __init__(self):
        self.parts = []
        self.names = set()

    def add(self, name, mode, data=b"", rdev=(0, 0)):
        name = name.strip("/")
        parent = os.path.dirname(name)
        if parent and parent not in self.names:
            self.add(parent, 0o040755)
        if name in self.names:
            return
        self.names.add(name)
        self.parts.append(self.record(name, mode, data, rdev))

    def record(self, name, mode, data, rdev):
        fields = [len(self.parts) + 1, mode, 0, 0, 2 if mode & 0o040000 else 1, EPOCH,
                  len(data), 0, 0,
                  rdev[0], rdev[1], len(name.encode()) + 1, 0]
        head = b"070701" + b"".join(b"%08X" % field for field in fields)
        head += name.encode() + b"\0"
        return head.ljust((len(head) + 3) // 4 * 4, b"\0") + \
            data.ljust((len(data) + 3) // 4 * 4, b"\0")

    def folder(self, name, mode=0o755):
        self.add(name, 0o040000 | mode)

    def file(self, name, data, mode=0o644):
        self.add(name, 0o100000 | mode, data)

    def link(self, name, target):
        self.add(name, 0o120777, target.encode())

    def device(self, name, kind, major, minor):
        self.add(name, {"c": 0o020600, "b": 0o060600}[kind], rdev=(major, minor))

    def image(self, level=6):
        body = b"".join(self.parts) + self.record("TRAILER!!!", 0, b"", (0, 0))
        return gzip.compress(body, level, mtime=0) if level else body


def busybox_applets():
    """The applets of Debian's static busybox, which the machine itself can run."""
    from subprocess import check_output
    tool = packages.the_file("busybox-static", "amd64", "bin/busybox")
    return check_output([str(tool), "--list"], text=True).split()


def module_files(kernel, arch, names):
    """The modules of `names` and all they depend on, in loading order: list of paths."""
    tree = packages.unpacked(kernel, arch) / "lib" / "modules"
    known = {}
    for path in tree.rglob("*.ko"):
        known[path.stem.replace("-", "_")] = path
    order = []

    def visit(name):
        path = known.get(name.replace("-", "_"))
        if path is None or path in order:
            return
        match = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
        for needed in (match.group(1).decode() if match else "").split(","):
            if needed:
                visit(needed)
        order.append(path)

    for name in names:
        visit(name)
    return order


def build(kernel, arch, extra=(), modules=MODULES, init="initramfs-init", level=6):
    """The archive for a kernel package; extra is (name, data, mode) of more files."""
    cpio = Cpio()
    for folder in ("bin", "sbin", "dev", "proc", "sys", "tmp", "root", "mnt", "etc", "modules"):
        cpio.folder(folder)
    cpio.device("dev/console", "c", 5, 1)
    cpio.device("dev/null", "c", 1, 3)
    cpio.file("bin/busybox", packages.the_file("busybox-static", arch, "bin/busybox").read_bytes(),
              0o755)
    for applet in busybox_applets():
        if applet not in ("busybox", "linuxrc", "init"):
            cpio.link(f"bin/{applet}", "busybox")
    cpio.file("init", (paths.GUEST / "init" / init).read_bytes(), 0o755)
    cpio.file("sbin/self-check", (paths.GUEST / "init" / "self-check").read_bytes(), 0o755)
    cpio.file("etc/udhcpc/default.script", (paths.GUEST / "init" / "udhcpc-script").read_bytes(),
              0o755)
    order = module_files(kernel, arch, modules)
    for path in order:
        cpio.file(f"modules/{path.name}", path.read_bytes())
    for path in module_files(kernel, arch, SPARE):
        cpio.file(f"modules/{path.name}", path.read_bytes())
    cpio.file("modules/order", "".join(f"{path.name}\n" for path in order).encode())
    for name, data, mode in extra:
        cpio.file(name, data, mode)
    return cpio.image(level)
