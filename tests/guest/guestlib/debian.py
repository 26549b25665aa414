# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian installations: a tree by debootstrap, which needs root, and a disk that boots from it."""
import shutil

from . import images, machine, paths, vhd

KERNEL = ["linux-image-amd64", "systemd-sysv", "udev", "dbus", "login"]
# What Yado's programs are linked with.
LINKED = ["libuv1", "libjansson4", "libvncserver1", "libpng16-16", "libseccomp2", "liburing2",
          "libslirp0", "zlib1g", "libzstd1", "libfuse3-3", "libmnl0", "libnftables1",
          "libwebsockets17", "libwebsockets-evlib-uv", "libsqlite3-0", "libcurl4", "libssl3",
          "libpam0g", "libsystemd0", "libzydis4.0"]
MENU = """\
set timeout=0
menuentry "Debian" {{
    linux /vmlinuz root=LABEL={label} ro console=ttyS0,115200 quiet net.ifnames=0
    initrd /initrd.img
}}
"""


def tree(folder, label, packages):
    """A minimal Debian with KERNEL and packages, root without a password; its path, and whether it is
    new. Kept for the next time; label is its host's name and its disk's."""
    made = folder / "debian"
    stamp = folder / "debian.made"
    wanted = f"{label} {' '.join(packages)} {paths.digest_of(__file__)}"
    if stamp.exists() and stamp.read_text() == wanted:
        return made, False
    if shutil.which("debootstrap") is None:
        raise machine.Unavailable("debootstrap not found: tools/install-deps bench")
    shutil.rmtree(made, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    paths.progress(f"making {made.relative_to(paths.ROOT)}: a minimal Debian (takes minutes)")
    images.tool("debootstrap", "--variant=minbase", "--include=" + ",".join([*KERNEL, *packages]),
                "bookworm", made)
    images.put(made / "etc" / "hostname", f"{label}\n")
    images.put(made / "etc" / "hosts", f"127.0.0.1 localhost\n127.0.1.1 {label}\n")
    images.put(made / "etc" / "fstab", f"LABEL={label} / ext4 defaults 0 1\n")
    images.put(made / "root" / ".profile", "PS1='guest# '\n")
    images.put(made / "boot" / "grub" / "grub.cfg", MENU.format(label=label))
    images.tool("chroot", made, "passwd", "-d", "root")
    stamp.write_text(wanted)
    return made, True


def disk(made, out, label, size_mib):
    """A dynamic VHD with GRUB and the tree."""
    raw, size = out.with_suffix(".raw"), vhd.good_size(size_mib * images.MIB)
    with open(raw, "wb") as image:
        image.truncate(size)
    images.partition_table(raw, 0x83, size // 512)
    images.tool("mke2fs", "-q", "-F", "-t", "ext4", "-L", label, "-E",
                f"offset={images.PART_START * 512},nodiscard", "-O", "^metadata_csum_seed",
                "-d", made, raw, f"{(size - images.PART_START * 512) // 1024}k")
    images.install_grub(raw, images.grub_core(out.parent, "(hd0,msdos1)/boot/grub"))
    part = out.with_suffix(".part")
    vhd.write_dynamic(raw, part)
    part.replace(out)
    raw.unlink()
