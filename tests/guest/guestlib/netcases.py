# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests on a network: every card, and every kind of far end."""
import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

from . import images, machine, packages
from .cases import LONG, PROMPT, SHORT, VERY_LONG, case, check, only_yado
from .machine import CommandError, GuestError, Net, Yado

MIB = 1 << 20
KERNELS = {"cloud": ("linux-image-cloud-amd64", "amd64"), "amd64": ("linux-image-amd64", "amd64"),
           "686": ("linux-image-686", "i386")}
DISK_AT = {"ide": "/sys/devices/pci0000:00/0000:00:01.1/ata*/host*/target*/*/block/sd*",
           "sata": "/sys/devices/pci0000:00/0000:00:13.0/ata*/host*/target*/*/block/sd*",
           "virtio": "/sys/block/vda"}
DRIVERS = {"virtio": "virtio_net", "e1000": "e1000", "21140": "tulip", "rtl8139": "8139"}


def stream(total, seed=b"yado"):
    """Bytes that are no pattern, the same each time: blocks of 64 KiB, then their digest."""
    block = b"".join(hashlib.sha256(seed + bytes([i & 255, i >> 8])).digest() for i in range(2048))
    left = total
    while left:
        piece = block[:min(left, len(block))]
        left -= len(piece)
        yield piece


def digest(total, seed=b"yado"):
    result = hashlib.sha256()
    for piece in stream(total, seed):
        result.update(piece)
    return result.hexdigest()


class Server:
    """On the host's loopback: sends `total` bytes to whoever connects, or takes what comes."""

    def __init__(self, total=0, address="127.0.0.1"):
        self.total, self.taken, self.sum = total, 0, hashlib.sha256()
        self.socket = socket.create_server((address, 0))
        self.socket.settimeout(600)
        self.port = self.socket.getsockname()[1]
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        try:
            peer, _ = self.socket.accept()
            with peer:
                peer.settimeout(600)
                if self.total:
                    for piece in stream(self.total):
                        peer.sendall(piece)
                    peer.shutdown(socket.SHUT_WR)
                while data := peer.recv(1 << 18):
                    self.taken += len(data)
                    self.sum.update(data)
        except OSError:
            pass
        self.done.set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@contextlib.contextmanager
def guest(lab, kernel, append="", **config):
    package, arch = KERNELS[kernel]
    with lab.machine(memory_mib=256, kernel=packages.the_file(package, arch, "boot/vmlinuz-*"),
                     initrd=images.built(f"initramfs-{kernel}"),
                     append=f"console=ttyS0,115200 panic=-1 {append}", **config) as vm:
        vm.expect("yado-guest: Linux", LONG, never="Kernel panic")
        vm.expect(PROMPT, SHORT)
        yield vm


def saved_guest(lab, state, config):
    """The same guest, to go on from a file."""
    package, arch = KERNELS["amd64"]
    return lab.machine(memory_mib=256, kernel=packages.the_file(package, arch, "boot/vmlinuz-*"),
                       initrd=images.built("initramfs-amd64"),
                       append="console=ttyS0,115200 panic=-1 intel_iommu=on iommu.strict=1",
                       restore=state, **config)


def lease(vm, interface="eth0"):
    """An address by DHCP; what the script of udhcpc says of it."""
    text = vm.run(f"udhcpc -i {interface} -n -q -t 10 -T 2", SHORT)
    found = re.search(r"lease: (.*)", text)
    check(found, f"no lease:\n{text}")
    return dict(word.split("=", 1) for word in found.group(1).split() if "=" in word)


def download(vm, address, total, seconds=LONG):
    """The guest reads from a server; every byte is right."""
    with Server(total) as server:
        text = vm.run(f"nc {address} {server.port} </dev/null | sha256sum", seconds)
    check(digest(total) in text, f"{total} bytes came out of the network changed:\n{text}")


def upload(vm, address, total, seconds=LONG):
    """The guest makes `total` bytes and sends them; the host counts and sums them up."""
    with Server() as server:
        count = total // MIB
        vm.run("dd if=/dev/urandom of=/tmp/part bs=64k count=16 2>/dev/null", seconds)
        many = f"for i in $(seq {count}); do cat /tmp/part; done"
        vm.run(f"{many} | nc {address} {server.port}", seconds)
        text = vm.run(f"{many} | sha256sum", seconds)
        check(server.done.wait(60), "the guest's connection does not end")
    check(server.taken == count * MIB, f"{server.taken} bytes came, not {count * MIB}")
    check(server.sum.hexdigest() in text, f"what came is not what was sent:\n{text}")


@case("iommu", kernel="amd64", cpus=2)
@case("iommu-cloud", kernel="cloud", cpus=2)
@case("iommu-kvm", kernel="amd64", cpus=2, engine="kvm")
def iommu(lab, kernel, cpus, engine="soft"):
    """Linux behind VT-d: every disk and card works, and no access or interrupt is a fault"""
    only_yado(lab)
    buses = {"amd64": ("ide", "sata", "virtio"), "cloud": ("virtio",)}[kernel]
    model = {"amd64": "e1000", "cloud": "virtio"}[kernel]
    disks = []
    for bus in buses:
        disks.append((lab.folder / f"{bus}.img", bus))
        disks[-1][0].write_bytes(b"".join(stream(8 * MIB, bus.encode())))
    with guest(lab, kernel, append="intel_iommu=on iommu.strict=1", cpus=cpus, engine=engine,
               iommu="intel", disks=disks, nets=(Net(model=model),)) as vm:
        text = vm.run("dmesg | grep -i -e dmar -e iommu", SHORT)
        mode = "xapic" if engine == "kvm" else "x2apic"
        for wanted in ("DMAR: IOMMU enabled", f"Enabled IRQ remapping in {mode} mode",
                       "Virtualization Technology for Directed I/O"):
            check(wanted in text, f"no '{wanted}':\n{text}")
        text = vm.run("cat /sys/kernel/iommu_groups/*/type", SHORT)
        check("DMA" in text and "identity" not in text, f"devices are not behind it:\n{text}")
        for n, bus in enumerate(buses):
            # Whose sda is depends on which driver was the quicker.
            text = vm.run(f"echo disk=$(basename {DISK_AT[bus]})=", SHORT)
            found = re.search(r"disk=([sv]d[a-z])=", text)
            check(found, f"no {bus} disk:\n{text}")
            disk = found.group(1)
            text = vm.run(f"sha256sum /dev/{disk}", LONG)
            check(digest(8 * MIB, bus.encode()) in text, f"the {bus} disk reads wrong:\n{text}")
            vm.run("dd if=/dev/urandom of=/tmp/new bs=64k count=64 2>/dev/null", SHORT)
            text = vm.run(f"dd if=/tmp/new of=/dev/{disk} bs=64k conv=fsync 2>/dev/null; "
                          "echo 3 > /proc/sys/vm/drop_caches; "
                          f"dd if=/dev/{disk} bs=64k count=64 2>/dev/null | cmp - /tmp/new "
                          "&& echo disk-is-right; sha256sum /tmp/new", LONG)
            check("disk-is-right\n" in text.replace("\r", ""), f"the {bus} disk:\n{text}")
            written = hashlib.sha256(disks[n][0].read_bytes()[:4 * MIB]).hexdigest()
            check(written in text, f"the {bus} disk has other bytes than its guest wrote")
        lease(vm)
        download(vm, "10.0.2.2", 8 * MIB)
        upload(vm, "10.0.2.2", 4 * MIB)
        text = vm.run("echo faults=$(dmesg | grep -i -c -e 'handling fault' -e 'fault reason' "
                      "-e 'nobody cared' -e 'timed out' -e 'lost interrupt')", SHORT)
        if "faults=0" not in text:
            raise GuestError("faults:\n" + vm.run("dmesg | tail -n 40", SHORT))
        vm.send("poweroff -f\n")
        vm.expect_end(SHORT)


@case("saved-iommu")
def saved_iommu(lab):
    """A machine behind VT-d is saved while its disk reads, and goes on with both; not without VT-d"""
    only_yado(lab)
    disk, state = lab.folder / "disk.img", lab.folder / "machine.saved"
    disk.write_bytes(b"".join(stream(16 * MIB)))
    config = dict(cpus=2, iommu="intel", disks=((disk, "sata"),), nets=(Net(model="e1000"),))
    with guest(lab, "amd64", append="intel_iommu=on iommu.strict=1", **config) as vm:
        lease(vm)
        vm.run("while echo 3 > /proc/sys/vm/drop_caches && sha256sum /dev/sda >> /tmp/sums; "
               "do :; done & sleep 3", LONG)
        vm.execute("save", path=str(state))
        vm.expect_end(LONG)
    with saved_guest(lab, state, config | {"iommu": ""}) as vm:
        vm.expect_end(SHORT, 2)
        check("has a device vtd" in vm.report(), f"not refused with a remedy:\n{vm.report()}")
    with saved_guest(lab, state, config) as vm:
        vm.send("\n")
        vm.expect(PROMPT, LONG, never="yado-guest: Linux")
        vm.run("sleep 3; kill $!; wait; true", LONG)
        text = vm.run("sort -u /tmp/sums | wc -l; cat /tmp/sums | tail -n 1", SHORT)
        check(digest(16 * MIB) in text and re.search(r"^1\r?$", text, re.M),
              f"the disk reads wrong:\n{text}")
        download(vm, "10.0.2.2", 4 * MIB)
        text = vm.run("echo faults=$(dmesg | grep -i -c -e 'handling fault' -e 'fault reason' "
                      "-e 'nobody cared' -e 'timed out' -e 'exception')", SHORT)
        check("faults=0" in text, f"{text}")
        vm.send("poweroff -f\n")
        vm.expect_end(SHORT)


@case("net-virtio", kernel="cloud", model="virtio")
@case("net-virtio-smp", kernel="cloud", model="virtio", cpus=4)
@case("net-virtio-686", kernel="686", model="virtio")
@case("net-e1000", kernel="amd64", model="e1000")
@case("net-e1000-686", kernel="686", model="e1000")
@case("net-21140", kernel="amd64", model="21140")
@case("net-21140-686", kernel="686", model="21140")
@case("net-rtl8139", kernel="amd64", model="rtl8139")
@case("net-rtl8139-686", kernel="686", model="rtl8139")
def nat(lab, kernel, model, cpus=1):
    """A card behind NAT: lease, ping, TCP both ways with checksums, a forwarded port"""
    port = free_port()
    net = Net(model=model, mac="52:54:00:aa:bb:01", forwards=(f"tcp:127.0.0.1:{port}:7",))
    with guest(lab, kernel, cpus=cpus, nets=(net,)) as vm:
        got = lease(vm)
        check(got.get("ip") == "10.0.2.15" and got.get("router") == "10.0.2.2", f"lease: {got}")
        text = vm.run("cat /sys/class/net/eth0/address; basename $(readlink "
                      "/sys/class/net/eth0/device/driver)", SHORT)
        check("52:54:00:aa:bb:01" in text and DRIVERS[model] in text, f"card: {text}")
        vm.run("ping -c 3 -W 5 10.0.2.2", SHORT)
        vm.run("ping -c 2 -W 5 -s 3000 10.0.2.2", SHORT)  # in fragments
        download(vm, "10.0.2.2", 20 * MIB + 17)
        upload(vm, "10.0.2.2", 16 * MIB)
        vm.run("nc -ll -p 7 -e cat & sleep 1", SHORT)
        with socket.create_connection(("127.0.0.1", port), 60) as peer:
            peer.settimeout(120)
            sent = b"".join(stream(100000, b"forward"))
            threading.Thread(target=peer.sendall, args=(sent,), daemon=True).start()
            back = b""
            while len(back) < len(sent):
                data = peer.recv(65536)
                check(data, f"the forwarded connection ended after {len(back)} bytes")
                back += data
        check(back == sent, "the forwarded port changes bytes")
        vm.send("poweroff -f\n")
        vm.expect_end(SHORT)


@case("net-link")
def link(lab):
    """A cable is pulled out and put back, and led elsewhere, while the guest runs"""
    only_yado(lab)
    with guest(lab, "cloud", nets=(Net(), Net(to="unplugged"))) as vm:
        lease(vm)
        carrier = "cat /sys/class/net/eth0/carrier /sys/class/net/eth1/carrier 2>/dev/null"
        vm.run("ip link set eth1 up; sleep 1", SHORT)
        check(vm.run(carrier, SHORT).split()[-2:] == ["1", "0"], "carrier at start")
        vm.execute("net-link", adapter=0, up=False)
        vm.run("sleep 1; ! ping -c 1 -W 2 10.0.2.2", SHORT)
        check(vm.run(carrier, SHORT).split()[-2:] == ["0", "0"], "carrier with the cable out")
        vm.execute("net-link", adapter=0, up=True)
        vm.run("sleep 1; ping -c 1 -W 5 10.0.2.2", SHORT)
        vm.execute("net-connect", adapter=1, to="nat")
        vm.run("sleep 1; ip addr flush dev eth0; ip link set eth0 down", SHORT)
        got = lease(vm, "eth1")
        check(got["ip"] == "10.0.2.15", f"lease: {got}")
        download(vm, "10.0.2.2", MIB)
        adapters = vm.execute("net-list")["adapters"]
        check([a["to"] for a in adapters] == ["nat", "nat"], f"adapters: {adapters}")
        check(adapters[1]["received"]["bytes"] > MIB, f"adapters: {adapters}")
        for arguments in ({"adapter": 2, "to": "nat"}, {"adapter": 0, "to": "token-ring"}):
            try:
                vm.execute("net-connect", **arguments)
            except CommandError:
                continue
            raise GuestError(f"net-connect {arguments} was taken")
        vm.send("poweroff -f\n")
        vm.expect_end(SHORT)


PXE_INSTALLER = """\
default install
label install
    kernel debian-installer/amd64/linux
    append vga=normal fb=false nomodeset panic=-1 initrd=debian-installer/amd64/initrd.gz
"""
PXE_HELLO = """\
default hello
prompt 0
say yado-test: PXELINUX came over the network
label hello
    localboot -1
"""


def boot_folder(lab, config):
    """What a guest may read by TFTP: Debian's netboot installer, with a menu of ours."""
    package = packages.unpacked("debian-installer-12-netboot-amd64", "amd64")
    folder = lab.folder / "tftp"
    shutil.copytree(package / "usr/lib/debian-installer/images/12/amd64/text", folder)
    menu = folder / "pxelinux.cfg"
    (menu.unlink if menu.is_symlink() else lambda: shutil.rmtree(menu))()
    menu.mkdir()
    (menu / "default").write_text(config)
    return folder


@case("pxe-installer")
def pxe_installer(lab):
    """The Debian installer boots from a folder, over PXE and TFTP, to its first dialog"""
    net = Net(tftp=boot_folder(lab, PXE_INSTALLER), bootfile="pxelinux.0")
    with lab.machine(memory_mib=1024, boot="network", nets=(net,)) as vm:
        vm.expect_screen(re.compile(r"iPXE|PXELINUX|Loading"), LONG)
        for piece in ("Select a language", "English"):
            vm.expect_screen(piece, VERY_LONG, never="Kernel panic|Low memory|No bootable device")


@case("pxe-e1000", model="e1000")
@case("pxe-rtl8139", model="rtl8139")
def pxe(lab, model):
    """A boot loader comes over PXE and TFTP through the card's option ROM"""
    net = Net(model=model, tftp=boot_folder(lab, PXE_HELLO), bootfile="pxelinux.0")
    with lab.machine(memory_mib=256, boot="network", nets=(net,)) as vm:
        vm.expect_screen("yado-test: PXELINUX came over the network", LONG)


@contextlib.contextmanager
def network(lab, name="net", prefix=(), options=(), **definition):
    """A yado-net of this test; the path of its socket and a function that gives it commands."""
    program = Yado.program().with_name("yado-net")
    file, listen, control = (lab.folder / f"{name}.{end}" for end in ("json", "sock", "ctl"))
    file.write_text(json.dumps({"name": name, **definition}))
    for path in (listen, control):  # of one that was killed
        path.unlink(missing_ok=True)
    process = subprocess.Popen([*prefix, program, "--definition", file, "--listen", listen, "--control",
                                f"unix={control}", *options], preexec_fn=machine.die_with_parent)
    try:
        end = time.monotonic() + 20
        while not (listen.exists() and control.exists()):
            check(process.poll() is None and time.monotonic() < end, "yado-net does not start")
            time.sleep(0.05)

        def execute(command, **arguments):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(20)
                peer.connect(str(control))
                peer.sendall(json.dumps({"execute": command, "arguments": arguments}).encode()
                             + b"\n")
                answer = json.loads(peer.makefile().readline())
            if "error" in answer:
                raise CommandError(f"{command}: {answer['error']}")
            return answer["return"]

        execute.process = process
        yield listen, execute
    finally:
        if process.poll() is None:
            process.terminate()
            check(process.wait(20) == 0, "yado-net does not end in order")


def address(vm, own, interface="eth0"):
    vm.run(f"ip addr flush dev {interface}; ip addr add {own}/24 dev {interface}; "
           f"ip link set {interface} up", SHORT)


def between(first, second, size, seconds=LONG):
    """The second guest sends; the first takes it and sums it up. Addresses 10.9.0.1 and .2."""
    first.send("nc -l -p 99 >/tmp/got; sha256sum /tmp/got; echo taken=$?=\n")
    first.settle(2)
    second.run(f"dd if=/dev/urandom of=/tmp/sent bs=64k count={size // 65536} 2>/dev/null", seconds)
    second.run("nc 10.9.0.1 99 </tmp/sent", seconds)
    sent = second.run("sha256sum /tmp/sent", seconds)
    start = first.seen
    first.expect("taken=0=", seconds)
    first.expect(PROMPT, SHORT)
    text = first.text()[start:]
    digests = [re.search(r"\b[0-9a-f]{64}\b", part) for part in (sent, text)]
    check(all(digests) and digests[0].group() == digests[1].group(),
          f"what came is not what was sent:\n{sent}\n{text}")


MACS = ("52:54:00:00:99:01", "52:54:00:00:99:02")


@case("switch-two", models=("virtio", "virtio"))
@case("switch-e1000", models=("e1000", "21140"))
def switch_two(lab, models):
    """Two guests on an internal network: ping, TCP with checksum, capture, forged frames, VLANs"""
    only_yado(lab)
    kernel = "cloud" if models[0] == "virtio" else "amd64"
    with network(lab) as (path, execute), contextlib.ExitStack() as stack:
        one, two = (stack.enter_context(guest(lab, kernel, nets=(
            Net(to=f"network={path}", model=model, mac=mac),))) for model, mac in zip(models, MACS))
        address(one, "10.9.0.1")
        address(two, "10.9.0.2")
        capture = lab.folder / "capture.pcapng"
        execute("capture", path=str(capture))
        one.run("ping -c 3 -W 5 10.9.0.2", SHORT)
        execute("capture-stop")
        data = capture.read_bytes()
        check(data[:4] == b"\x0a\x0d\x0d\x0a" and bytes.fromhex(MACS[0].replace(":", "")) in data,
              "the capture has no frame of the first guest")
        between(one, two, 16 * MIB)
        # Another address than its own is refused; its own works again.
        two.run("ip link set eth0 down; ip link set eth0 address 52:54:00:00:99:77; "
                "ip link set eth0 up; ! ping -c 2 -W 2 10.9.0.1", SHORT)
        ports = {port.get("mac"): port for port in execute("status")["ports"]}
        check(ports[MACS[1]]["spoofed"] > 0, f"no forged frame was counted: {ports}")
        two.run(f"ip link set eth0 down; ip link set eth0 address {MACS[1]}; ip link set eth0 up; "
                "ping -c 1 -W 10 10.9.0.1", SHORT)
        # Another VLAN is another network.
        execute("port", mac=MACS[1], vlan=20)
        two.run("! ping -c 2 -W 2 10.9.0.1", SHORT)
        execute("port", mac=MACS[0], vlan=20)
        two.run("ping -c 2 -W 10 10.9.0.1", SHORT)
        # A cable out, in again, and led to another network and back.
        two.execute("net-link", adapter=0, up=False)
        one.run("! ping -c 1 -W 2 10.9.0.2", SHORT)
        two.execute("net-link", adapter=0, up=True)
        two.execute("net-connect", adapter=0, to="nat")
        two.run("sleep 1; udhcpc -i eth0 -n -q -t 10 -T 2", SHORT)
        two.execute("net-connect", adapter=0, to=f"network={path}")
        execute("port", mac=MACS[1], vlan=20)
        address(two, "10.9.0.2")
        two.run("sleep 1; ping -c 2 -W 10 10.9.0.1", SHORT)


@case("switch-again")
def switch_again(lab):
    """A network with NAT goes away while a guest is on it, and comes back"""
    only_yado(lab)
    with contextlib.ExitStack() as stack:
        with network(lab, kind="nat") as (path, _):
            vm = stack.enter_context(guest(lab, "cloud", nets=(Net(to=f"network={path}",
                                                                   mac=MACS[0]),)))
            check(lease(vm)["ip"] == "10.0.2.15", "no lease")
            download(vm, "10.0.2.2", 4 * MIB)
        vm.run("sleep 1; ! cat /sys/class/net/eth0/carrier | grep 1", SHORT)
        with network(lab, kind="nat") as (path, _):
            vm.run("for i in $(seq 20); do grep 1 /sys/class/net/eth0/carrier && break; sleep 1; "
                   "done", SHORT)
            lease(vm)
            upload(vm, "10.0.2.2", 4 * MIB)


@case("switch-crash")
def switch_crash(lab):
    """A network is killed and started again while one guest sends to another; every byte arrives"""
    only_yado(lab)
    with contextlib.ExitStack() as stack:
        path, execute = stack.enter_context(network(lab))
        one, two = (stack.enter_context(guest(lab, "cloud", nets=(
            Net(to=f"network={path}", mac=mac),))) for mac in MACS)
        address(one, "10.9.0.1")
        address(two, "10.9.0.2")
        one.send("nc -l -p 99 | sha256sum; echo taken\n")
        two.run("dd if=/dev/urandom of=/tmp/sent bs=64k count=320 2>/dev/null", SHORT)
        digest_text = re.search(r"\b[0-9a-f]{64}\b", two.run("sha256sum /tmp/sent", SHORT)).group()
        two.send("(for i in $(seq 20); do dd if=/tmp/sent bs=1M skip=$((i-1)) count=1 2>/dev/null; "
                 "sleep 0.2; done) | nc 10.9.0.1 99; echo sent=$?=\n")
        end = time.monotonic() + SHORT
        while execute("status")["ports"][0]["in"]["bytes"] + \
                execute("status")["ports"][1]["in"]["bytes"] < 2 * MIB:
            check(time.monotonic() < end, "nothing is sent")
            two.pump(0.1)
        execute.process.kill()
        execute.process.wait()
        time.sleep(1)
        path, execute = stack.enter_context(network(lab))
        two.expect("sent=0=", LONG)
        one.expect(digest_text, LONG)
        check(len(execute("status")["ports"]) == 2, "a guest has not found it again")


# What needs a host of its own: a network namespace, which only root may make.

def need_tun():
    if not os.path.exists("/dev/net/tun"):
        raise machine.Unavailable("there is no /dev/net/tun here")


@contextlib.contextmanager
def namespace(*commands, suffix=""):
    """A network namespace with these `ip` commands done in it; the words that run a program there."""
    if os.geteuid():
        raise machine.Unavailable("network namespaces are made as root")
    name = f"yado-test-{os.getpid()}-{threading.get_ident() & 0xffff}{suffix}"
    inside = ("ip", "netns", "exec", name)
    images.tool("ip", "netns", "add", name)
    try:
        for command in ("link set lo up", *commands):
            images.tool("ip", "-n", name, *command.split())
        yield inside
    finally:
        images.tool("ip", "netns", "del", name)


HOST_SERVER = """
import hashlib, socket, sys
server = socket.create_server((sys.argv[1], 99))
print("ready", flush=True)
peer = server.accept()[0]
total, digest = 0, hashlib.sha256()
while data := peer.recv(1 << 18):
    total += len(data)
    digest.update(data)
print(total, digest.hexdigest(), flush=True)
"""


def with_host(vm, inside, host, own):
    """Guest and host see each other: ping both ways, and a file with its checksum."""
    address(vm, own)
    vm.run(f"ping -c 2 -W 10 {host}", SHORT)
    busybox = packages.the_file("busybox-static", "amd64", "bin/busybox")
    images.tool(*inside, busybox, "ping", "-c", "2", "-W", "10", own)
    server = subprocess.Popen([*inside, sys.executable, "-c", HOST_SERVER, host], text=True,
                              stdout=subprocess.PIPE, preexec_fn=machine.die_with_parent)
    try:
        server.stdout.readline()
        vm.run("dd if=/dev/urandom of=/tmp/sent bs=64k count=128 2>/dev/null", SHORT)
        vm.run(f"nc {host} 99 </tmp/sent", LONG)
        total, digest_text = server.stdout.readline().split()
        check(total == str(8 * MIB), f"{total} bytes came to the host")
        check(digest_text in vm.run("sha256sum /tmp/sent", SHORT), "what came is not what was sent")
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


@case("net-tap", model="virtio", kernel="cloud")
@case("net-tap-e1000", model="e1000", kernel="amd64")
def tap(lab, model, kernel):
    """A guest on a TAP interface of the host: ping both ways, TCP with checksum"""
    only_yado(lab)
    need_tun()
    with namespace("tuntap add t0 mode tap", "addr add 10.8.0.1/24 dev t0",
                   "link set t0 up") as inside:
        with guest(lab, kernel, prefix=inside, nets=(Net(to="tap=t0", model=model),)) as vm:
            with_host(vm, inside, "10.8.0.1", "10.8.0.2")
            # Who takes the interface away pulls the cable out.
            images.tool(*inside, "ip", "link", "del", "t0")
            vm.run("for i in $(seq 20); do grep 0 /sys/class/net/eth0/carrier && break; sleep 1; "
                   "done; grep 0 /sys/class/net/eth0/carrier", SHORT)


@case("net-host-only")
def host_only(lab):
    """Two guests and the host on one network"""
    only_yado(lab)
    need_tun()
    with namespace() as inside:
        with network(lab, prefix=inside, kind="host-only", interface="t1") as (path, _):
            images.tool(*inside, "ip", "addr", "add", "10.8.0.1/24", "dev", "t1")
            images.tool(*inside, "ip", "link", "set", "t1", "up")
            with contextlib.ExitStack() as stack:
                one, two = (stack.enter_context(guest(lab, "cloud", nets=(
                    Net(to=f"network={path}", mac=mac),))) for mac in MACS)
                with_host(one, inside, "10.8.0.1", "10.8.0.2")
                with_host(two, inside, "10.8.0.1", "10.8.0.3")
                one.run("ping -c 2 -W 10 10.8.0.3", SHORT)
