# SPDX-License-Identifier: GPL-2.0-or-later
"""The disks, CDs and floppies that guests boot from. Made without root or loop devices, in
build/guests; an image is made again when the files that describe it change."""
import gzip
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import uuid

from . import initramfs, packages, paths, vhd

GRUB = pathlib.Path("/usr/lib/grub/i386-pc")
SYSLINUX = pathlib.Path("/usr/lib/syslinux")
# Every file gets this time, so that an image does not depend on the day it is made.
EPOCH = 1704067200
MIB = 1 << 20
PART_START = 2048  # sectors: the first partition at 1 MiB, as everyone has it
GRUB_MODULES = ["biosdisk", "part_msdos", "ext2", "fat", "iso9660", "normal", "configfile", "linux",
                "serial", "terminal", "echo", "halt", "reboot", "sleep", "test", "ls", "cat",
                "search", "search_label", "chain", "multiboot", "multiboot2", "memdisk", "tar", "minicmd"]


class ImageError(Exception):
    pass


def tool(*command, **options):
    """Run a tool of the machine; its output is shown only when it fails."""
    env = dict(os.environ, LC_ALL="C.UTF-8", SOURCE_DATE_EPOCH=str(EPOCH),
               E2FSPROGS_FAKE_TIME=str(EPOCH), MTOOLS_SKIP_CHECK="1", TZ="UTC",
               PATH=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    try:
        result = subprocess.run([str(c) for c in command], env=env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    except FileNotFoundError as err:
        raise ImageError(f"{command[0]} not found: tools/install-deps run check") from err
    if result.returncode:
        text = result.stdout.decode(errors="replace").strip()
        raise ImageError(f"{command[0]} failed: {text[-800:]}")
    return result.stdout


def put(path, data, mode=0o644):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    path.chmod(mode)
    os.utime(path, (EPOCH, EPOCH))


def write_at(path, offset, data):
    with open(path, "r+b") as image:
        image.seek(offset)
        image.write(data)


def age(tree):
    """Give every file of a tree the same time."""
    for path in sorted(tree.rglob("*"), reverse=True):
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
    os.utime(tree, (EPOCH, EPOCH))


def partition_table(image, kind, sectors):
    """One active primary partition from PART_START to the end; CHS fields say "use LBA"."""
    entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", kind, b"\xfe\xff\xff", PART_START,
                        sectors - PART_START)
    write_at(image, 0x1B8, struct.pack("<IH", 0x6F646179, 0) + entry)
    write_at(image, 510, b"\x55\xaa")


def grub_core(folder, prefix, form="i386-pc"):
    out = folder / "core.img"
    tool("grub-mkimage", "-O", form, "-o", out, "-p", prefix, *GRUB_MODULES)
    return out


def install_grub(image, core):
    """boot.img into the first sector around what is there, core.img behind it."""
    boot = (GRUB / "boot.img").read_bytes()
    with open(image, "r+b") as disk:
        old = disk.read(512)
        # 3..0x5a is the place of a FAT's parameters, 0x1b8.. of the partition table.
        disk.seek(0)
        disk.write(boot[:3] + old[3:0x5A] + boot[0x5A:0x1B8] + old[0x1B8:510] + b"\x55\xaa")
        disk.write(core.read_bytes())
    if core.stat().st_size > (PART_START - 1) * 512:
        raise ImageError("GRUB's core.img does not fit before the first partition")


def filesystem(tree, image, size_bytes, offset, label):
    age(tree)
    identity = uuid.uuid5(uuid.NAMESPACE_URL, f"yado-{label}")
    tool("mke2fs", "-q", "-F", "-t", "ext4", "-L", label, "-U", identity, "-m", "0",
         "-E", f"offset={offset},hash_seed={identity},lazy_itable_init=0,lazy_journal_init=0,"
         "root_owner=0:0,nodiscard", "-O", "^metadata_csum_seed", "-d", tree, image,
         f"{(size_bytes - offset) // 1024}k")
    # -d keeps the owner of the files, which is whoever runs this, and the times of their making.
    fields = {"uid": 0, "gid": 0, "atime": f"@{EPOCH}", "ctime": f"@{EPOCH}",
              "crtime": f"@{EPOCH}", "atime_extra": 0, "ctime_extra": 0, "mtime_extra": 0,
              "crtime_extra": 0}
    commands = "".join(f'sif "/{path.relative_to(tree)}" {field} {value}\n'
                       for path in sorted([tree, *tree.rglob("*")])
                       for field, value in fields.items())
    script = image.with_suffix(".debugfs")
    script.write_text(commands)
    tool("debugfs", "-w", "-f", script, f"{image}?offset={offset}")
    script.unlink()


def linux_disk(name, label, title, kernel, size_mib, append="", timeout=3):
    """A whole small Linux: MBR, GRUB, ext4 root with Debian's kernel and static busybox."""
    def make(out, folder):
        init = paths.GUEST / "init"
        demo = init / "demo"
        tree = folder / "root"
        for name in ("boot", "dev", "proc", "sys", "run", "tmp", "mnt", "root", "var/log", "usr"):
            (tree / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(packages.the_file("busybox-static", "amd64", "bin/busybox"), tree / "busybox")
        put(tree / "bin" / "busybox", (tree / "busybox").read_bytes(), 0o755)
        (tree / "busybox").unlink()
        (tree / "sbin").mkdir()
        for applet in initramfs.busybox_applets():
            if applet in ("busybox", "linuxrc"):
                continue
            place = "sbin" if applet in ("init", "getty", "poweroff", "reboot", "halt") else "bin"
            (tree / place / applet).symlink_to("/bin/busybox")
        put(tree / "etc" / "passwd", "root::0:0:root:/root:/bin/sh\n")
        put(tree / "etc" / "group", "root:x:0:\n")
        put(tree / "etc" / "hostname", f"{label}\n")
        put(tree / "etc" / "fstab", f"LABEL={label} / ext4 defaults 0 1\n")
        for name in ("inittab", "issue", "motd", "profile"):
            put(tree / "etc" / name, (demo / name).read_bytes())
        put(tree / "etc" / "init.d" / "rcS", (demo / "rcS").read_bytes(), 0o755)
        put(tree / "etc" / "acpi" / "PWRF" / "00000080", (demo / "power-button").read_bytes(), 0o755)
        put(tree / "sbin" / "self-check", (init / "self-check").read_bytes(), 0o755)
        put(tree / "boot" / "vmlinuz",
            packages.the_file(kernel, "amd64", "boot/vmlinuz-*").read_bytes())
        put(tree / "boot" / "initrd.gz", initramfs.build(kernel, "amd64"))
        menu = (demo / "grub.cfg").read_text()
        for key, value in {"TITLE": title, "LABEL": label, "APPEND": append,
                           "TIMEOUT": str(timeout)}.items():
            menu = menu.replace(f"@{key}@", value)
        put(tree / "boot" / "grub" / "grub.cfg", menu)

        raw = folder / "disk.raw"
        size = vhd.good_size(size_mib * MIB)
        with open(raw, "wb") as disk:
            disk.truncate(size)
        partition_table(raw, 0x83, size // 512)
        filesystem(tree, raw, size, PART_START * 512, label)
        install_grub(raw, grub_core(folder, "(hd0,msdos1)/boot/grub"))
        vhd.write_dynamic(raw, out)
    return make


GRUB_MENU = """\
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
set timeout=-1
menuentry "Yado test: say hello" {
    echo "yado-test: GRUB says hello from $root"
    sleep 1
}
menuentry "Yado test: power off" {
    echo "yado-test: GRUB powers off"
    halt
}
"""


def grub_disk_with(out, folder, size_mib, files):
    """A VHD with GRUB and an ext4 of `files`, a name → bytes."""
    tree = folder / "root"
    for name, data in files.items():
        put(tree / name, data)
    raw = folder / "disk.raw"
    size = vhd.good_size(size_mib * MIB)
    with open(raw, "wb") as disk:
        disk.truncate(size)
    partition_table(raw, 0x83, size // 512)
    filesystem(tree, raw, size, PART_START * 512, "grub-test")
    install_grub(raw, grub_core(folder, "(hd0,msdos1)/boot/grub"))
    vhd.write_dynamic(raw, out)


def grub_disk(out, folder):
    grub_disk_with(out, folder, 16, {"boot/grub/grub.cfg": GRUB_MENU})


XEN_MENU = """\
serial --unit=0 --speed=115200
terminal_output serial
set timeout=0
menuentry "Xen" {
    multiboot2 /boot/xen com1=115200 console=com1 loglvl=all noreboot
    module2 /boot/vmlinuz console=hvc0
    module2 /boot/initrd.gz
}
"""


def xen_disk(out, folder, hypervisor, kernel, initrd):
    grub_disk_with(out, folder, 64, {
        "boot/grub/grub.cfg": XEN_MENU, "boot/xen": gzip.decompress(hypervisor.read_bytes()),
        "boot/vmlinuz": kernel.read_bytes(), "boot/initrd.gz": initrd.read_bytes()})


def fat_image(out, sectors, reserved=1, label="YADO"):
    tool("mkfs.fat", "--invariant", "-n", label, "-i", "79616430", "-R", str(reserved), out,
         str(sectors // 2))


def fat_copy(image, source, target):
    tool("mcopy", "-m", "-i", image, source, f"::{target}")


def grub_floppy(out, folder):
    with open(out, "wb") as floppy:
        floppy.truncate(2880 * 512)
    core = grub_core(folder, "(fd0)/boot/grub")
    reserved = (core.stat().st_size + 511) // 512 + 1
    fat_image(out, 2880, reserved=reserved)
    menu = folder / "grub.cfg"
    put(menu, GRUB_MENU)
    tool("mmd", "-i", out, "::boot", "::boot/grub")
    fat_copy(out, menu, "boot/grub/grub.cfg")
    install_grub(out, core)


def iso(out, tree, boot_image, *options):
    age(tree)
    tool("xorriso", "-as", "mkisofs", "-quiet", "-R", "-J", "-V", "YADO_TEST", "-o", out,
         "-b", boot_image, "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table",
         *options, tree)


def grub_cdrom(menu):
    def make(out, folder):
        tree = folder / "iso"
        put(tree / "boot" / "grub" / "grub.cfg", menu)
        core = grub_core(folder, "/boot/grub", "i386-pc-eltorito")
        put(tree / "boot" / "grub" / "eltorito.img", core.read_bytes())
        (tree / "boot" / "grub" / "i386-pc").mkdir()
        for pattern in ("*.mod", "*.lst"):
            for path in GRUB.glob(pattern):
                shutil.copy(path, tree / "boot" / "grub" / "i386-pc" / path.name)
        iso(out, tree, "boot/grub/eltorito.img")
    return make


GRUB_SELF_TEST = """\
serial --unit=0 --speed=115200
terminal_output serial
insmod functional_test
functional_test
halt
"""

SYSLINUX_MENU = """\
SERIAL 0 115200
UI menu.c32
MENU TITLE Yado test: SYSLINUX
TIMEOUT 0
LABEL hello
  MENU LABEL say hello
  COM32 cat.c32
  APPEND hello.txt
LABEL reboot
  MENU LABEL restart
  COM32 reboot.c32
LABEL floppy
  MENU LABEL GRUB from a floppy in memory
  LINUX memdisk
  INITRD grub.img
"""


def syslinux_files(folder, names=("menu.c32", "libutil.c32", "libcom32.c32", "cat.c32",
                                   "reboot.c32")):
    files = {name: SYSLINUX / "modules" / "bios" / name for name in names}
    files["memdisk"] = SYSLINUX / "memdisk"
    files["hello.txt"] = folder / "hello.txt"
    put(files["hello.txt"], "yado-test: SYSLINUX says hello\n")
    menu = folder / "syslinux.cfg"
    put(menu, SYSLINUX_MENU)
    files["syslinux.cfg"] = menu
    return files


def syslinux_floppy(out, folder):
    with open(out, "wb") as floppy:
        floppy.truncate(2880 * 512)
    fat_image(out, 2880)
    files = syslinux_files(folder)
    files.pop("memdisk")
    for name, path in files.items():
        fat_copy(out, path, name)
    tool("syslinux", "--install", out)


def syslinux_disk(out, folder):
    raw = folder / "disk.raw"
    size = vhd.good_size(16 * MIB)
    with open(raw, "wb") as disk:
        disk.truncate(size)
    partition_table(raw, 0x06, size // 512)
    part = folder / "part.img"
    with open(part, "wb") as image:
        image.truncate(size - PART_START * 512)
    fat_image(part, size // 512 - PART_START)
    # The boot sector has to know where on the disk it lies.
    write_at(part, 28, struct.pack("<I", PART_START))
    files = syslinux_files(folder)
    files["grub.img"] = built("grub-floppy")
    for name, path in files.items():
        fat_copy(part, path, name)
    tool("syslinux", "--install", part)
    write_at(raw, PART_START * 512, part.read_bytes())
    write_at(raw, 0, (SYSLINUX / "mbr" / "mbr.bin").read_bytes()[:440])
    vhd.write_dynamic(raw, out)


def isolinux_cdrom(out, folder):
    tree = folder / "iso"
    files = syslinux_files(folder)
    files["grub.img"] = built("grub-floppy")
    files["isolinux.bin"] = pathlib.Path("/usr/lib/ISOLINUX/isolinux.bin")
    files["ldlinux.c32"] = SYSLINUX / "modules" / "bios" / "ldlinux.c32"
    files["isolinux.cfg"] = files.pop("syslinux.cfg")
    for name, path in files.items():
        put(tree / "isolinux" / name, path.read_bytes())
    iso(out, tree, "isolinux/isolinux.bin", "-c", "isolinux/boot.cat")


def initramfs_of(kernel, arch):
    def make(out, _folder):
        out.write_bytes(initramfs.build(kernel, arch))
    return make


def initramfs_stress(out, folder):
    program = folder / "stress"
    tool("gcc", "-O2", "-static", "-Wall", "-Wextra", "-D_GNU_SOURCE", "-pthread", "-o", program,
         paths.GUEST / "programs" / "stress.c", "-lm")
    out.write_bytes(initramfs.build("linux-image-cloud-amd64", "amd64",
                                    [("bin/stress", program.read_bytes(), 0o755)]))


# name → (file name, function that makes it, what it is)
CATALOG = {
    "demo": ("demo.vhd", linux_disk("demo", "yado-demo", "Yado demo: Debian kernel, BusyBox",
                                    "linux-image-cloud-amd64", 120),
             "demo Linux on a dynamic VHD"),
    "debian-ata": ("debian-ata.vhd",
                   linux_disk("debian-ata", "yado-ata", "Debian kernel on any disk",
                              "linux-image-amd64", 120, timeout=1),
                   "Linux with drivers for IDE and virtio on a dynamic VHD"),
    "initramfs-cloud": ("initramfs-cloud.gz", initramfs_of("linux-image-cloud-amd64", "amd64"),
                        "initial RAM disk for the cloud kernel"),
    "initramfs-stress": ("initramfs-stress.gz", initramfs_stress,
                         "initial RAM disk with tests/guest/programs/stress.c"),
    "initramfs-amd64": ("initramfs-amd64.gz", initramfs_of("linux-image-amd64", "amd64"),
                        "initial RAM disk for the generic kernel"),
    "initramfs-686-pae": ("initramfs-686-pae.gz", initramfs_of("linux-image-686-pae", "i386"),
                          "initial RAM disk for the 32-bit PAE kernel"),
    "initramfs-686": ("initramfs-686.gz", initramfs_of("linux-image-686", "i386"),
                      "initial RAM disk for the 32-bit kernel"),
    "grub-disk": ("grub-disk.vhd", grub_disk, "GRUB on a dynamic VHD"),
    "grub-floppy": ("grub-floppy.img", grub_floppy, "GRUB on a floppy"),
    "grub-cdrom": ("grub-cdrom.iso", grub_cdrom(GRUB_MENU), "GRUB on a CD"),
    "grub-self-test": ("grub-self-test.iso", grub_cdrom(GRUB_SELF_TEST), "GRUB's own tests on a CD"),
    "syslinux-floppy": ("syslinux-floppy.img", syslinux_floppy, "SYSLINUX on a floppy"),
    "syslinux-disk": ("syslinux-disk.vhd", syslinux_disk, "SYSLINUX on a dynamic VHD"),
    "isolinux-cdrom": ("isolinux-cdrom.iso", isolinux_cdrom, "ISOLINUX on a CD"),
}


def built(name):
    """The path of an image, made now when it is not there or its description has changed."""
    file_name, make, what = CATALOG[name]
    out = paths.IMAGES / file_name
    stamp = out.with_name(f".{out.name}.stamp")
    describers = [p for folder in ("guestlib", "init", "programs") for p in (paths.GUEST / folder).rglob("*")
                  if p.is_file() and p.suffix != ".pyc"
                  and p.name not in ("machine.py", "cases.py", "hostcases.py", "netcases.py",
                                     "servicecases.py", "paths.py")]
    wanted = paths.digest_of(*describers)
    paths.IMAGES.mkdir(parents=True, exist_ok=True)
    with paths.locked(out):
        if out.exists() and stamp.exists() and stamp.read_text() == wanted:
            return out
        paths.progress(f"making {out.relative_to(paths.ROOT)}: {what}"
                       if out.is_relative_to(paths.ROOT) else f"making {out}: {what}")
        with tempfile.TemporaryDirectory(dir=paths.IMAGES, prefix=f".{name}-") as folder:
            folder = pathlib.Path(folder)
            part = folder / file_name
            make(part, folder)
            part.chmod(0o644)
            part.replace(out)
        stamp.write_text(wanted)
    return out
