# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests that must work. Each case boots one real system and talks to it as a person would.

The time limits only end a guest that hangs: they are many times what a slow machine needs.
"""
import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import time

from . import images, packages, paths
from .machine import CommandError, Config, GuestError, Unavailable, Yado

CASES = {}
PROMPT = "guest# "
SHORT, LONG, VERY_LONG = 300, 1200, 7200


class Case:
    def __init__(self, function, name, label, options):
        self.function, self.name, self.label, self.options = function, name, label, options
        self.what = (function.__doc__ or "").strip().splitlines()[0]


def case(name, label="quick", **options):
    """Register a test; options are handed to it. Label quick runs in every check, soak does not."""
    def register(function):
        CASES[name] = Case(function, name, label, options)
        return function
    return register


class Lab:
    """What a case is given: machines of the chosen backend, and a folder of its own."""

    def __init__(self, backend, folder, echo=None):
        self.backend, self.folder, self.echo = backend, pathlib.Path(folder), echo
        self.reports = []

    @contextlib.contextmanager
    def machine(self, **config):
        with self.backend(Config(**config), self.echo) as vm:
            try:
                yield vm
            except BaseException:
                self.reports.append(vm.report())
                raise

    def note(self, text):
        """For a person who watches."""
        if self.echo:
            self.echo(f"\n[{text}]\n".encode())

    def copy(self, name):
        """A disk of this test's own to write on."""
        source = images.built(name)
        return pathlib.Path(shutil.copy(source, self.folder / source.name))


def check(condition, text):
    if not condition:
        raise GuestError(text)


# Firmware

@case("seabios", engine="soft")
@case("seabios-kvm", engine="kvm")
def seabios(lab, engine):
    """SeaBIOS shows its banner and finds nothing to boot from"""
    with lab.machine(memory_mib=64, engine=engine) as vm:
        vm.expect_screen("SeaBIOS (version", SHORT)
        vm.expect_screen("No bootable device", SHORT)


@case("ovmf")
def ovmf(lab):
    """UEFI firmware reaches its shell, takes a command and powers off"""
    with lab.machine(memory_mib=256, firmware="uefi") as vm:
        vm.expect("UEFI Interactive Shell", LONG)
        vm.expect("Shell>", LONG)
        vm.send("ver\r")
        vm.expect("UEFI v2.", SHORT)
        vm.expect("Shell>", SHORT)
        vm.send("reset -s\r")
        vm.expect_end(SHORT)


# Memory tester

@case("memtest86+", bits="x64")
@case("memtest86+-32", bits="ia32")
def memtest(lab, bits):
    """memtest86+ finishes its first tests without an error"""
    kernel = packages.the_file("memtest86+", "amd64", f"boot/memtest86+{bits}.bin")
    with lab.machine(memory_mib=32, kernel=kernel, append="console=ttyS0,115200") as vm:
        vm.expect("Memtest86+", SHORT)
        vm.expect_screen("Testing", SHORT)
        # The number of the test is on the screen; the third has walked all memory twice.
        screen = vm.expect_screen(re.compile(r"Test\s+[3-9].*|#[3-9]\b"), LONG)
        check(re.search(r"Errors:\s+0\b", screen), "memtest86+ found errors:\n" + screen)


@case("memtest86+-pass", "soak")
def memtest_pass(lab):
    """memtest86+ ends a whole pass without an error"""
    kernel = packages.the_file("memtest86+", "amd64", "boot/memtest86+x64.bin")
    with lab.machine(memory_mib=16, kernel=kernel, append="console=ttyS0,115200") as vm:
        screen = vm.expect_screen(re.compile(r"Pass:\s+[1-9]"), VERY_LONG)
        check(re.search(r"Errors:\s+0\b", screen), "memtest86+ found errors:\n" + screen)


# Boot loaders

def grub_menu(vm, root):
    """The menu on both consoles, an entry chosen by keyboard, one by serial line, and off."""
    vm.expect("GNU GRUB  version 2.06", LONG)
    vm.expect("Yado test: power off", SHORT)
    vm.expect_screen("Yado test: say hello", SHORT)
    vm.send_keys("enter")
    vm.expect(f"yado-test: GRUB says hello from {root}", SHORT)
    vm.expect("GNU GRUB  version 2.06", SHORT)
    vm.expect("Yado test: power off", SHORT)
    vm.send("\x1b[B")
    vm.settle(1)
    vm.send("\r")
    vm.expect("yado-test: GRUB powers off", SHORT)
    vm.expect_end(SHORT)


@case("grub-ide", bus="ide")
@case("grub-virtio", bus="virtio")
@case("grub-sata", bus="sata")
@case("grub-scsi", bus="scsi")
def grub_disk(lab, bus):
    """GRUB's menu from a partitioned VHD"""
    with lab.machine(memory_mib=64, disks=((lab.copy("grub-disk"), bus),)) as vm:
        grub_menu(vm, "hd0,msdos1")


@case("grub-cdrom", bus="ide")
@case("grub-cdrom-sata", bus="sata")
def grub_cdrom(lab, bus):
    """GRUB's menu from a CD"""
    with lab.machine(memory_mib=64, cdrom=images.built("grub-cdrom"), cdrom_bus=bus,
                     boot="cdrom") as vm:
        grub_menu(vm, "")


@case("grub-floppy")
def grub_floppy(lab):
    """GRUB's menu from a floppy"""
    with lab.machine(memory_mib=64, floppy=lab.copy("grub-floppy"), boot="floppy") as vm:
        grub_menu(vm, "fd0")


@case("grub-rescue-cdrom")
def grub_rescue(lab):
    """Debian's GRUB rescue CD, as it comes, reaches its menu or prompt"""
    disc = packages.the_file("grub-rescue-pc", "amd64", "usr/lib/grub-rescue/grub-rescue-cdrom.iso")
    with lab.machine(memory_mib=64, cdrom=disc, boot="cdrom") as vm:
        vm.expect_screen("GNU GRUB  version 2.06", LONG)


@case("grub-self-test")
def grub_self_test(lab):
    """GRUB's own tests (arithmetic, video, clock) pass"""
    with lab.machine(memory_mib=256, cdrom=images.built("grub-self-test"), boot="cdrom") as vm:
        vm.expect("ALL TESTS PASSED", LONG, never=r"TEST FAILURE|TESTS? FAILED")


def syslinux_menu(vm, kind):
    vm.expect(f"{kind} 6.04", LONG)
    vm.expect("Yado test: SYSLINUX", SHORT)
    vm.expect_screen("say hello", SHORT)
    vm.send_keys("enter")
    vm.expect("yado-test: SYSLINUX says hello", SHORT)


def memdisk(vm):
    """The last entry of the menu: a floppy in memory, behind a hooked INT 13h."""
    vm.expect("Yado test: SYSLINUX", LONG)
    vm.expect("GRUB from a floppy in memory", SHORT)
    for _ in range(2):
        vm.send("\x1b[B")
        vm.settle(1)
    vm.send("\r")
    vm.expect("GNU GRUB  version 2.06", LONG)
    vm.expect_screen("Yado test: say hello", SHORT)
    vm.send_keys("enter")
    vm.expect("yado-test: GRUB says hello from fd0", SHORT)


@case("syslinux-ide", bus="ide")
@case("syslinux-virtio", bus="virtio")
def syslinux_disk(lab, bus):
    """SYSLINUX's menu from a partitioned VHD"""
    with lab.machine(memory_mib=64, disks=((lab.copy("syslinux-disk"), bus),)) as vm:
        syslinux_menu(vm, "SYSLINUX")


@case("syslinux-floppy")
def syslinux_floppy(lab):
    """SYSLINUX's menu from a floppy"""
    with lab.machine(memory_mib=64, floppy=lab.copy("syslinux-floppy"), boot="floppy") as vm:
        syslinux_menu(vm, "SYSLINUX")


@case("isolinux-cdrom")
def isolinux(lab):
    """ISOLINUX's menu from a CD"""
    with lab.machine(memory_mib=64, cdrom=images.built("isolinux-cdrom"), boot="cdrom") as vm:
        syslinux_menu(vm, "ISOLINUX")


@case("memdisk")
def isolinux_memdisk(lab):
    """ISOLINUX boots a floppy image held in memory by MEMDISK"""
    with lab.machine(memory_mib=64, cdrom=images.built("isolinux-cdrom"), boot="cdrom") as vm:
        memdisk(vm)


# Linux

@case("linux-cloud", kernel="linux-image-cloud-amd64", arch="amd64", initrd="cloud")
@case("linux-amd64", kernel="linux-image-amd64", arch="amd64", initrd="amd64")
@case("linux-686-pae", kernel="linux-image-686-pae", arch="i386", initrd="686-pae")
@case("linux-686", kernel="linux-image-686", arch="i386", initrd="686")
@case("linux-smp", kernel="linux-image-cloud-amd64", arch="amd64", initrd="cloud", cpus=4)
def linux(lab, kernel, arch, initrd, cpus=1):
    """Debian's kernel with a busybox initramfs: shell, self-check, power off"""
    with lab.machine(memory_mib=256, cpus=cpus, kernel=packages.the_file(kernel, arch, "boot/vmlinuz-*"),
                     initrd=images.built(f"initramfs-{initrd}"),
                     append="console=ttyS0,115200 panic=-1") as vm:
        vm.expect("yado-guest: Linux", LONG, never="Kernel panic")
        vm.expect(PROMPT, SHORT)
        report = vm.run("self-check", LONG)
        check("self-check: passed" in report, report)
        count = vm.run("grep -c ^processor /proc/cpuinfo", SHORT).split()
        check(str(cpus) in count, f"{cpus} processors wanted: {count}")
        vm.send("poweroff -f\n")
        vm.expect_end(SHORT)


@case("checked-cloud", "soak", kernel="linux-image-cloud-amd64", arch="amd64", initrd="cloud")
@case("checked-amd64", "soak", kernel="linux-image-amd64", arch="amd64", initrd="amd64")
@case("checked-686-pae", "soak", kernel="linux-image-686-pae", arch="i386", initrd="686-pae")
def checked(lab, kernel, arch, initrd):
    """The translator and the interpreter side by side, block by block, from the reset to a shell"""
    with lab.machine(memory_mib=256, engine="soft,check",
                     kernel=packages.the_file(kernel, arch, "boot/vmlinuz-*"),
                     initrd=images.built(f"initramfs-{initrd}"),
                     append="console=ttyS0,115200 panic=-1") as vm:
        vm.expect(PROMPT, VERY_LONG, never="Kernel panic")
        vm.send("poweroff -f\n")
        vm.expect_end(LONG)


@case("checked-grub")
def checked_grub(lab):
    """The same from the reset to GRUB's menu, in 16 and 32 bits"""
    with lab.machine(memory_mib=64, engine="soft,check",
                     disks=((lab.copy("grub-disk"), "ide"),)) as vm:
        vm.expect("Yado test: say hello", LONG)


@case("stress", seconds=20)
@case("stress-cache", seconds=8, engine="soft,cache=2")  # thrown away thousands of times
@case("stress-hour", "soak", seconds=3600)
def stress(lab, seconds, engine="soft"):
    """4 processors under fork, code that changes, signals, unmasked exceptions, locks, pages taken"""
    work = "'gzip -1c /bin/busybox | gzip -dc | cmp - /bin/busybox'"
    with lab.machine(memory_mib=384, cpus=4, engine=engine,
                     kernel=packages.the_file("linux-image-cloud-amd64", "amd64", "boot/vmlinuz-*"),
                     initrd=images.built("initramfs-stress"),
                     append="console=ttyS0,115200 panic=-1") as vm:
        vm.expect(PROMPT, LONG, never="Kernel panic")
        kib = []
        for part in (seconds // 2, seconds // 4, seconds // 4):
            report = vm.run(f"stress {part} {work}", part + LONG)
            check("stress: passed" in report, report)
            kib.append(vm.memory_kib())
        vm.run("! dmesg | grep -Ei 'lockup|stall|BUG:|unhandled'", SHORT)
        if seconds >= 3600:  # by then the guest has touched its memory, and the caches are full
            check(kib[2] < kib[1] + 64 * 1024, f"the process grew: {kib} KiB")
        vm.send("poweroff -f\n")
        vm.expect_end(LONG)


def login(vm, host):
    vm.expect(f"{host} login: ", LONG, never="Kernel panic|no file system")
    vm.send("root\n")
    vm.expect("# ", SHORT)


def read_back(lab, disk, name):
    """A file of the disk's ext4, read by other programs than ours; the file system is sound."""
    raw = lab.folder / "read-back.raw"
    form = "vhdx" if disk.suffix == ".vhdx" else "vpc"
    images.tool("qemu-img", "convert", "-f", form, "-O", "raw", disk, raw)
    part = f"{raw}?offset={images.PART_START * 512}"
    images.tool("e2fsck", "-fn", part)
    return images.tool("debugfs", "-R", f"cat {name}", part).decode(errors="replace")


@case("disk-virtio", image="demo", host="yado-demo", bus="virtio")
@case("disk-ide", image="debian-ata", host="yado-ata", bus="ide")
@case("disk-ata-virtio", image="debian-ata", host="yado-ata", bus="virtio")
@case("disk-sata", image="debian-ata", host="yado-ata", bus="sata")
@case("disk-scsi", image="debian-ata", host="yado-ata", bus="scsi")
@case("disk-vhdx", image="demo", host="yado-demo", bus="virtio", form="vhdx")
def linux_disk(lab, image, host, bus, form="vhd"):
    """Linux installed on a VHD: login, a file survives a restart, qemu-img reads the same disk"""
    disk = lab.copy(image)
    if form == "vhdx":
        vhd, disk = disk, disk.with_suffix(".vhdx")
        images.tool(paths.BUILD / "bin" / "yado", "disk", "convert", "--to", form, vhd, disk)
    prompt = re.compile(r"root@\S+# ")
    with lab.machine(memory_mib=256, disks=((disk, bus),)) as vm:
        vm.expect("GNU GRUB  version 2.06", LONG)
        login(vm, host)
        report = vm.run("self-check", LONG, prompt)
        check("self-check: passed" in report, report)
        vm.run("seq 1 20000 > /root/kept; sync", SHORT, prompt)
        vm.send("reboot\n")
        vm.expect("GNU GRUB  version 2.06", LONG)
        login(vm, host)
        vm.run("seq 1 20000 | cmp - /root/kept", SHORT, prompt)
        vm.run("echo written after the restart > /root/second", SHORT, prompt)
        vm.send("poweroff\n")
        vm.expect_end(LONG)
    check(read_back(lab, disk, "/root/kept") .endswith(
        "".join(f"{n}\n" for n in range(1, 20001))), "qemu-img reads another /root/kept")
    check("written after the restart" in read_back(lab, disk, "/root/second"),
          "qemu-img reads another /root/second")


@case("hotplug-scsi", bus="scsi", driver="virtio_scsi")
@case("hotplug-sata", bus="sata", driver="ahci")
def hotplug(lab, bus, driver):
    """A disk is plugged in, written to, pulled out and plugged in again; and so is a second one"""
    only_yado(lab)
    disks = []
    for name in ("one", "two"):
        disks.append(lab.folder / f"{name}.vhd")
        images.tool(paths.BUILD / "bin" / "yado", "disk", "create", disks[-1], "8M")
    prompt = re.compile(r"root@\S+# ")
    with lab.machine(memory_mib=256, disks=((lab.copy("debian-ata"), bus),)) as vm:
        login(vm, "yado-ata")
        vm.run(f"grep -q {driver} /proc/modules", SHORT, prompt)
        # One after the other: Linux names those that come together in any order.
        for place, disk, letter in zip((1, 2), disks, "bc"):
            added = vm.execute("disk-add", path=str(disk), bus=bus)["disk"]
            check(added == f"{bus}.{place}", added)
            there = f"for i in $(seq 300); do [ -b /dev/sd{letter} ] && break; sleep 0.1; done"
            vm.run(f"{there}; [ -b /dev/sd{letter} ]", LONG, prompt)
        vm.run("seq 1 200000 | dd of=/dev/sdb bs=4k conv=fsync", SHORT, prompt)
        vm.execute("disk-remove", disk=f"{bus}.1")
        gone = "for i in $(seq 300); do [ -b /dev/sdb ] || break; sleep 0.1; done"
        vm.run(f"{gone}; ! [ -b /dev/sdb ]", LONG, prompt)
        vm.run("dd if=/dev/sdc of=/dev/null bs=64k", SHORT, prompt)
        check([d["disk"] for d in vm.execute("disk-list")["disks"]] == [f"{bus}.0", f"{bus}.2"],
              "the wrong disk is gone")
        # Its place is free again; what was written is on it.
        check(vm.execute("disk-add", path=str(disks[0]), bus=bus)["disk"] == f"{bus}.1", "place")
        back = "for i in $(seq 300); do [ -b /dev/sdb -o -b /dev/sdd ] && break; sleep 0.1; done"
        vm.run(f"{back}; DISK=$(ls /dev/sd[bd] | head -1)", LONG, prompt)
        vm.run("seq 1 200000 | cmp -n 1288894 - $DISK", SHORT, prompt)
        vm.send("poweroff\n")
        vm.expect_end(LONG)


@contextlib.contextmanager
def small_host_disk(folder, mib):
    """A file system of the host with little room; a function makes it larger."""
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}M", "yado-test", folder],
                          stderr=subprocess.DEVNULL)
    if made.returncode:
        raise Unavailable("only root may mount a file system that can be full")
    try:
        yield lambda more: subprocess.run(["mount", "-o", f"remount,size={more}M", folder],
                                          check=True)
    finally:
        subprocess.run(["umount", "-l", folder], check=False)


@case("disk-full", bus="virtio")
def disk_full(lab, bus):
    """The host has no room: the guest stands still, sees no error, and goes on when there is"""
    only_yado(lab)
    kernel, arch = "linux-image-cloud-amd64", "amd64"
    folder = lab.folder / "small"
    with small_host_disk(folder, 8) as enlarge:
        disk = folder / "disk.vhd"
        images.tool(paths.BUILD / "bin" / "yado", "disk", "create", disk, "64M")
        with lab.machine(memory_mib=256, kernel=packages.the_file(kernel, arch, "boot/vmlinuz-*"),
                         initrd=images.built("initramfs-cloud"), disks=((disk, bus),),
                         append="console=ttyS0,115200 panic=-1") as vm:
            vm.expect(PROMPT, LONG, never="Kernel panic")
            vm.send("seq 1 2000000 | dd of=/dev/vda bs=64k conv=fsync; echo written=$?=\n")
            for _ in range(600):
                vm.pump(0.1)
                if vm.execute("status")["state"] == "disk-full":
                    break
            check(vm.execute("status")["state"] == "disk-full", "the machine did not notice")
            vm.execute("resume")  # in vain: it stands still again
            for _ in range(100):
                vm.pump(0.1)
                if vm.execute("status")["state"] == "disk-full":
                    break
            check(vm.execute("status")["state"] == "disk-full", "nothing had changed")
            enlarge(80)
            vm.execute("resume")
            vm.expect("written=0=", LONG)
            vm.expect(PROMPT, SHORT)
            vm.run("seq 1 2000000 | cmp -n 14888896 - /dev/vda", LONG)
            vm.run("! dmesg | grep -iE 'I/O error|lost'", SHORT)
            vm.send("poweroff -f\n")
            vm.expect_end(SHORT)
        images.tool(paths.BUILD / "bin" / "yado", "disk", "check", disk)


@case("disk-undo")
def disk_undo(lab):
    """Four processors with a disk queue each; what is discarded is gone, what is committed is there"""
    only_yado(lab)
    disk = lab.copy("demo")
    before = disk.read_bytes()
    for undo in ("discard", "commit"):
        with lab.machine(memory_mib=256, cpus=4, disks=((disk, "virtio"),), undo=undo) as vm:
            login(vm, "yado-demo")
            prompt = re.compile(r"root@\S+# ")
            report = vm.run("ls /sys/block/vda/mq | wc -l", SHORT, prompt)
            check(report.endswith("4"), report)
            vm.run("! ls /root/kept", SHORT, prompt)
            vm.run("seq 1 20000 > /root/kept; sync", SHORT, prompt)
            vm.send("poweroff\n")
            vm.expect_end(LONG)
        if undo == "discard":
            check(disk.read_bytes() == before, "the disk was changed though its changes were discarded")
    check(read_back(lab, disk, "/root/kept") .endswith(
        "".join(f"{n}\n" for n in range(1, 20001))), "qemu-img reads another /root/kept")


@case("power-button")
def power_button(lab):
    """The power button is an ACPI event that makes Linux shut down; tty1 has a login on the screen"""
    with lab.machine(memory_mib=256, disks=((lab.copy("demo"), "virtio"),)) as vm:
        login(vm, "yado-demo")
        vm.expect_screen("yado-demo login:", SHORT)
        vm.execute("powerdown")
        vm.expect("power button pressed", SHORT)
        vm.expect_end(LONG)


@case("installer-amd64", arch="amd64")
@case("installer-i386", arch="i386")
def installer(lab, arch):
    """The Debian installer in text mode answers key presses in its first dialogs"""
    package = f"debian-installer-12-netboot-{arch}"
    folder = f"usr/lib/debian-installer/images/12/{arch}/text/debian-installer/{arch}"
    with lab.machine(memory_mib=1024, kernel=packages.the_file(package, "amd64", f"{folder}/linux"),
                     initrd=packages.the_file(package, "amd64", f"{folder}/initrd.gz"),
                     append="vga=normal fb=false nomodeset panic=-1") as vm:
        # A dialog is drawn piece by piece: each piece is waited for.
        for piece in ("Select a language", "English",
                      "<Tab> moves; <Space> selects; <Enter> activates buttons"):
            vm.expect_screen(piece, VERY_LONG, never="Kernel panic|Low memory")
        vm.send_keys("enter")
        vm.expect_screen("Select your location", LONG)
        vm.send_keys("down", "enter")
        vm.expect_screen("Configure the keyboard", LONG)


@case("xen")
@case("xen-iommu", iommu="intel")
def xen(lab, iommu=""):
    """Xen, a multiboot kernel with two modules, builds its first domain"""
    disc = packages.the_file("xen-hypervisor-4.17-amd64", "amd64", "boot/xen-*-amd64.gz")
    kernel = packages.the_file("linux-image-amd64", "amd64", "boot/vmlinuz-*")
    with lab.machine(memory_mib=1024, iommu=iommu,
                     disks=((xen_disk(lab, disc, kernel), "ide"),)) as vm:
        vm.expect("(XEN) Xen version 4.17", LONG)
        if iommu:
            vm.expect("(XEN) I/O virtualisation enabled", LONG)
            vm.expect("(XEN) Interrupt remapping enabled", LONG)
        vm.expect("*** Building a PV Dom0 ***", VERY_LONG)


def xen_disk(lab, hypervisor, kernel):
    out = lab.folder / "xen.vhd"
    images.xen_disk(out, lab.folder, hypervisor, kernel, images.built("initramfs-amd64"))
    return out


# What is Yado's own

def only_yado(lab):
    if lab.backend is not Yado:
        raise Unavailable("QEMU has other options and commands")


@case("control")
def control(lab):
    """The control socket: status, pause, resume, screenshots, typing, media, reset, quit"""
    only_yado(lab)
    picture = lab.folder / "screen.png"
    with lab.machine(memory_mib=64, disks=((lab.copy("grub-disk"), "ide"),),
                     cdrom=images.built("grub-cdrom"), boot="disk") as vm:
        vm.expect_screen("Yado test: say hello", LONG)
        status = vm.execute("status")
        check(status["state"] == "running" and status["engine"] == "soft", f"status: {status}")
        vm.execute("pause")
        before = vm.execute("status")
        vm.settle(1)
        after = vm.execute("status")
        check(before["state"] == after["state"] == "paused", f"paused: {after}")
        check(before["time-ns"] == after["time-ns"], "time passes in a paused machine")
        vm.execute("resume")
        shot = vm.execute("screenshot", path=str(picture))
        data = picture.read_bytes()
        check(data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR", "no PNG was written")
        size = (int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"))
        check(size == (shot["width"], shot["height"]), f"the PNG is {size}, not {shot}")
        vm.execute("type-text", text="c")
        vm.expect_screen("grub>", SHORT)
        vm.execute("type-text", text="echo Hello, $root (1+1=2)\n")
        vm.expect_screen("Hello, hd0,msdos1", SHORT)
        vm.execute("eject", drive="cdrom")
        vm.execute("insert", drive="cdrom", path=str(images.built("isolinux-cdrom")))
        for name, arguments in (("insert", {"drive": "cdrom", "path": "/nonexistent.iso"}),
                                ("eject", {"drive": "tape"}), ("no-such-command", {}),
                                ("type-text", {"text": 7})):
            try:
                vm.execute(name, **arguments)
            except CommandError:
                continue
            raise GuestError(f"{name} {arguments} was taken")
        vm.serial, vm.seen = b"", 0
        vm.execute("reset")
        vm.expect("Yado test: power off", LONG)
        vm.execute("quit")
        vm.expect_end(SHORT)


# What a guest must not have told of. A host that is emulated itself may be too slow for its watchdogs.
TROUBLE = "backtrace|I/O error|Oops|segfault" + \
    ("" if os.environ.get("YADO_SLOW_HOST") else "|unstable|lockup|stall")

# At most so many seconds is it away.
AWAY = 600 if os.environ.get("YADO_SLOW_HOST") else 60

# Runs in the guest while it is saved: a sum that never changes, and blocks that say their number.
BUSY = r"""
cat > /tmp/sum <<'END'
while :; do seq 1 20000 | md5sum; done > /tmp/sums
END
cat > /tmp/write <<'END'
n=0
while [ $n -lt 4000 ]; do
    printf '%-4096s' "block $n" | dd of=/dev/vda bs=4096 seek=$n conv=notrunc,fsync 2>/dev/null
    n=$((n + 1))
    echo $n > /tmp/next
    mv /tmp/next /tmp/written
done
END
sh /tmp/sum & sh /tmp/write &
sleep 2
"""
# … and what must be true of it afterwards, from inside.
BUSY_CHECK = r"""
cat > /tmp/look <<'END'
set -e
written=$(cat /tmp/written)
test $(sort -u /tmp/sums | wc -l) = 1
n=0
while [ $n -lt $written ]; do
    test "$(dd if=/dev/vda bs=4096 skip=$n count=1 2>/dev/null | tr -d ' ')" = "block$n"
    n=$((n + 1))
done
echo blocks=$written=
END
"""


def saved_machine(lab, disk, **config):
    return lab.machine(memory_mib=256, kernel=packages.the_file("linux-image-cloud-amd64", "amd64",
                                                                "boot/vmlinuz-*"),
                       initrd=images.built("initramfs-cloud"), disks=((disk, "virtio"),),
                       append="console=ttyS0,115200 panic=-1", **config)


def refused(lab, disk, what, **config):
    with saved_machine(lab, disk, **config) as vm:
        vm.expect_end(SHORT, 2)
        check(what in vm.report(), f"not refused with {what!r}:\n{vm.report()}")


@case("saved", cpus=1, engine="soft", then="soft,t0")
@case("saved-smp", cpus=2, engine="soft", then="soft")
@case("saved-interpreted", cpus=2, engine="soft,t0", then="soft")
@case("saved-kvm", cpus=2, engine="kvm", then="kvm")
@case("saved-kvm-soft", cpus=2, engine="kvm,portable", then="soft")
@case("saved-soft-kvm", cpus=2, engine="soft,portable", then="kvm")
def saved(lab, cpus, engine, then):
    """Linux is saved while it computes and writes to a disk, and goes on in a new process"""
    only_yado(lab)
    disk, state = lab.folder / "disk.raw", lab.folder / "machine.saved"
    with open(disk, "wb") as file:
        file.truncate(32 << 20)
    with saved_machine(lab, disk, cpus=cpus, engine=engine, reserve=state) as vm:
        vm.expect("yado-guest: Linux", LONG, never="Kernel panic")
        vm.expect(PROMPT, SHORT)
        check(pathlib.Path(f"{state}.part").stat().st_blocks * 512 > 256 << 20, "no room reserved")
        for line in (BUSY + BUSY_CHECK).strip().splitlines():
            vm.send(line + "\n")
        vm.run("true", SHORT)
        uptime = float(vm.run("cut -d' ' -f1 /proc/uptime", SHORT).split()[-1])
        written = vm.execute("save")
        check(written == {}, f"{written}")
        vm.expect_end(LONG)
    check(not pathlib.Path(f"{state}.part").exists(), "the reserved file is still there")
    check(state.stat().st_size < 200 << 20, f"{state.stat().st_size} bytes were saved")
    time.sleep(5)
    refused(lab, disk, "give --cpus", cpus=cpus + 1, engine=then, restore=state)
    with saved_machine(lab, disk, cpus=cpus, engine=then, restore=state) as vm:
        vm.send("\n")
        vm.expect(PROMPT, LONG, never="yado-guest: Linux")
        later = float(vm.run("cut -d' ' -f1 /proc/uptime", SHORT).split()[-1])
        check(uptime <= later < uptime + 60, f"uptime was {uptime} s, and then {later}")
        # The battery-backed clock went on; the system's own says what it said.
        behind = vm.run("echo $(($(date -d \"$(hwclock -r)\" +%s 2>/dev/null || "
                        "cat /sys/class/rtc/rtc0/since_epoch) - $(date +%s)))", SHORT).split()[-1]
        check(3 <= int(behind) <= AWAY, f"the system's clock is {behind} s behind")
        vm.run("sleep 2", SHORT)
        vm.run("kill %1 %2; wait; sh /tmp/look", LONG)
        vm.run("dmesg > /tmp/messages", SHORT)
        vm.run(f"! grep -iE '{TROUBLE}' /tmp/messages", SHORT)
        vm.send("poweroff -f\n")
        vm.expect_end(SHORT)
    refused(lab, disk, "has changed since the machine was saved", cpus=cpus, engine=then,
            restore=state)


# A number that grows, sums of what does not change, in the guest's memory alone.
COUNTING = r"""
seq 1 50000 > /tmp/kept
md5sum /tmp/kept > /tmp/sum
(n=0; while md5sum -c /tmp/sum > /dev/null 2>&1; do n=$((n + 1)); echo $n > /tmp/n; mv /tmp/n /tmp/count; done) &
"""


@case("saved-to-and-fro", engines=("kvm,portable", "soft", "kvm", "soft", "kvm"))
@case("saved-often", "soak", engines=("kvm,portable", *("soft", "kvm") * 8))
def to_and_fro(lab, engines):
    """Linux goes on on one engine after the other, each time saved there, and misses nothing"""
    only_yado(lab)
    disk, count, uptime = lab.folder / "disk.raw", 0, 0.0
    with open(disk, "wb") as file:
        file.truncate(1 << 20)
    for turn, engine in enumerate(engines):
        before = lab.folder / f"machine.{turn - 1}" if turn else None
        with saved_machine(lab, disk, engine=engine, restore=before, triple_fault="stop") as vm:
            if not turn:
                vm.expect("yado-guest: Linux", LONG, never="Kernel panic")
                vm.expect(PROMPT, SHORT)
                for line in COUNTING.strip().splitlines():
                    vm.send(line + "\n")
                vm.run("sleep 2", SHORT)
            else:
                vm.send("\n")
                vm.expect(PROMPT, LONG, never="yado-guest: Linux")
            name = vm.execute("status")["engine"]
            check(name == engine.split(",")[0], f"the engine is {name}")
            vm.run("sleep 2", SHORT)
            counted = int(vm.run("cat /tmp/count", SHORT).split()[-1])
            check(counted > count, f"after {count} the guest has counted to {counted}")
            up = float(vm.run("cut -d' ' -f1 /proc/uptime", SHORT).split()[-1])
            check(uptime < up < uptime + SHORT, f"uptime was {uptime} s, and then {up}")
            vm.run("md5sum -c /tmp/sum && kill -0 $!", SHORT)
            vm.run(f"dmesg > /tmp/m; ! grep -iE '{TROUBLE}' /tmp/m", SHORT)
            count, uptime = counted, up
            lab.note(f"{name}: counted to {count}, up {uptime} s")
            vm.execute("save", path=str(lab.folder / f"machine.{turn}"))
            vm.expect_end(LONG)


@case("saved-kvm-refused", engine="kvm", then="soft", reason="which is not to be had here")
@case("saved-soft-refused", engine="soft,vendor={other}", then="kvm", reason="the guest's processor ")
def saved_refused(lab, engine, then, reason):
    """A processor that the other engine does not have: its name, and how to start for both"""
    only_yado(lab)
    disk, state = lab.folder / "disk.raw", lab.folder / "machine.saved"
    with open(disk, "wb") as file:
        file.truncate(1 << 20)
    amd = "AuthenticAMD" in pathlib.Path("/proc/cpuinfo").read_text()
    with saved_machine(lab, disk, engine=engine.format(other="intel" if amd else "amd")) as vm:
        vm.execute("save", path=str(state))
        vm.expect_end(LONG)
    refused(lab, disk, reason, engine=then, restore=state)


@case("saved-sata", bus="sata")
@case("saved-scsi", bus="scsi")
def saved_disk(lab, bus):
    """A saved machine goes on with its disk: what it was reading and writing is there"""
    only_yado(lab)
    disk, state = lab.copy("debian-ata"), lab.folder / "machine.saved"
    prompt = re.compile(r"root@\S+# ")
    with lab.machine(memory_mib=256, disks=((disk, bus),)) as vm:
        login(vm, "yado-ata")
        vm.run("seq 1 20000 > /root/kept; sync", SHORT, prompt)
        vm.run("while cat /dev/sda > /dev/null; do :; done & echo busy", SHORT, prompt)
        vm.execute("save", path=str(state))
        vm.expect_end(LONG)
    with lab.machine(memory_mib=256, disks=((disk, bus),), restore=state) as vm:
        vm.send("\n")
        vm.expect(prompt, LONG, never="yado-guest: Linux")
        vm.run("kill $!; echo 3 > /proc/sys/vm/drop_caches; seq 1 20000 | cmp - /root/kept", SHORT,
               prompt)
        vm.run("dd if=/root/kept of=/root/second conv=fsync", SHORT, prompt)
        vm.run("dmesg > /tmp/m; ! grep -iE 'I/O error|frozen|exception|aborting' /tmp/m", SHORT,
               prompt)
        vm.send("poweroff\n")
        vm.expect_end(LONG)


@case("saved-undo")
def saved_undo(lab):
    """A saved machine keeps its undo disks; going on is refused when they, or the file, are not whole"""
    only_yado(lab)
    disk, state = lab.copy("demo"), lab.folder / "machine.saved"
    prompt = re.compile(r"root@\S+# ")
    before = disk.read_bytes()

    def machine(**config):
        return lab.machine(memory_mib=256, disks=((disk, "virtio"),), undo="discard", **config)

    with machine() as vm:
        login(vm, "yado-demo")
        vm.run("seq 1 20000 > /root/kept", SHORT, prompt)
        try:
            vm.execute("save", path=str(state), **{"continue": True})
            check(False, "a saved state whose undo disks are about to be discarded")
        except CommandError as err:
            check("undo" in str(err), str(err))
        vm.execute("save", path=str(state))
        vm.expect_end(LONG)
    whole = state.read_bytes()
    for damaged in (whole[:-1], whole[:len(whole) // 2], whole[:1000] + b"\0" + whole[1001:]):
        state.write_bytes(damaged)
        with machine(restore=state) as vm:
            check(vm.wait(SHORT) in (1, 2), "a damaged file was taken")
            check("damaged or cut off" in vm.report(), vm.report())
    state.write_bytes(whole)
    check(disk.read_bytes() == before, "the disk was changed though there is an undo disk")
    with machine(restore=state) as vm:
        vm.send("\n")
        vm.expect(prompt, LONG)
        vm.run("seq 1 20000 | cmp - /root/kept", SHORT, prompt)
        vm.send("poweroff\n")
        vm.expect_end(LONG)
    check(disk.read_bytes() == before, "the changes were not discarded at the end")


@case("wrong-input")
def wrong_input(lab):
    """Wrong options and damaged files: one line that names the thing, status 2, nothing written"""
    only_yado(lab)
    program = Yado.program()
    good = lab.copy("grub-disk")
    empty = lab.folder / "empty.vhd"
    empty.write_bytes(b"")
    noise = lab.folder / "noise"
    noise.write_bytes(bytes(range(256)) * 64)
    broken = lab.folder / "broken.vhd"
    data = bytearray(good.read_bytes())
    data[64] ^= 1
    data[-512 + 64] ^= 1
    broken.write_bytes(data)
    gone = lab.folder / "gone"
    tries = [
        (["--disk", gone], gone.name), (["--disk", broken], broken.name),
        (["--disk", f"{good},bus=floppy"], "floppy"), (["--disk", f"{good},colour=red"], "colour"),
        (["--kernel", gone], gone.name), (["--kernel", noise], noise.name),
        (["--initrd", good], "--kernel"), (["--firmware", gone], gone.name),
        (["--cdrom", gone], gone.name), (["--floppy", gone], gone.name),
        (["--memory", "lots"], "lots"), (["--memory", "100000G"], "memory"),
        (["--cpus", "0"], "cpus"), (["--engine", "warp"], "warp"),
        (["--boot", "tape"], "tape"), (["--serial", "file=/nonexistent/serial"], "/nonexistent"),
        (["--display", "vnc=nowhere"], "vnc"), (["--control", "unix=/nonexistent/c"], "/nonexistent"),
        (["--net", "token-ring"], "token-ring"), (["--net", "nat,forward=tcp:1:2"], "tcp:1:2"),
        (["--net", "nat,model=ne2000"], "ne2000"), (["--net", "tap=no/name"], "no/name"),
        (["--net", "nat,tftp=/nonexistent/folder"], "/nonexistent/folder"),
        (["--no-such-option"], "no-such-option"), (["--definition", gone], gone.name),
        (["--definition", noise], noise.name),
    ]
    before = good.read_bytes()
    for words, named in tries:
        words = [str(word) for word in words]
        shown = " ".join(words)
        try:
            done = subprocess.run([program, "run", "--engine", "soft", "--serial", "null", *words],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, timeout=SHORT)
        except subprocess.TimeoutExpired:
            raise GuestError(f"yado run {shown}: was taken, and runs") from None
        check(done.returncode == 2, f"yado run {shown}: status {done.returncode}, not 2")
        check(done.stdout == "" and len(done.stderr.splitlines()) == 1,
              f"yado run {shown}: not one line:\n{done.stdout}{done.stderr}")
        check(named in done.stderr, f"yado run {shown}: does not name {named}: {done.stderr}")
    check(good.read_bytes() == before, "a refused machine wrote to its disk")


@case("sigterm")
def sigterm(lab):
    """SIGTERM ends a machine in order, with its disk's writes on the disk"""
    only_yado(lab)
    disk = lab.copy("demo")
    prompt = re.compile(r"root@\S+# ")
    with lab.machine(memory_mib=256, disks=((disk, "virtio"),)) as vm:
        login(vm, "yado-demo")
        vm.run("echo kept through SIGTERM > /root/kept; sync", SHORT, prompt)
        vm.process.terminate()
        vm.expect_end(SHORT)
    raw = lab.folder / "read-back.raw"
    images.tool("qemu-img", "convert", "-f", "vpc", "-O", "raw", disk, raw)
    # The file system was not unmounted: its journal is played back first, as a restart would.
    part = lab.folder / "part.raw"
    with open(raw, "rb") as whole, open(part, "wb") as out:
        whole.seek(images.PART_START * 512)
        shutil.copyfileobj(whole, out)
    subprocess.run(["/sbin/e2fsck", "-fy", part], stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    text = images.tool("debugfs", "-R", "cat /root/kept", part).decode(errors="replace")
    check("kept through SIGTERM" in text, "what the guest had synced is not on the disk")
