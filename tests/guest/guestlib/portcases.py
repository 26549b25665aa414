# SPDX-License-Identifier: GPL-2.0-or-later
"""Ports and cards as Linux uses them: VLANs with tags, who hears what, queues and offloads; and NAT
for somebody who is not root."""
import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import socket
import tempfile
import time
import urllib.request

from . import images, machine, packages, paths
from .cases import LONG, SHORT, case, check, only_yado
from .machine import GuestError, Net
from .netcases import (KERNELS, MACS, MIB, address, between, download, free_port, guest, lease,
                       network)

VLAN_MODULES = ("llc", "stp", "garp", "mrp", "8021q")
# struct virtio_net's feature bits: VIRTIO 1.2, 5.1.3.
FEATURES = {0: "checksums by the device", 1: "checksums not made", 7: "large TCP over IPv4 taken",
            8: "large TCP over IPv6 taken", 11: "TCP over IPv4 cut by the device",
            12: "TCP over IPv6 cut by the device", 15: "frames in several buffers",
            17: "a control queue", 22: "several queues", 29: "event indices", 32: "VIRTIO 1.0"}


def status(execute):
    return {port.get("mac", port["name"]): port for port in execute("status")["ports"]}


def with_tags(vm, interface, *vlans):
    for module in VLAN_MODULES:
        vm.run(f"test -d /sys/module/{module} || insmod /modules/{module}.ko", SHORT)
    for vlan in vlans:
        vm.run(f"ip link add link {interface} name {interface}.{vlan} type vlan id {vlan}", SHORT)


@case("switch-vlans", model="virtio", kernel="cloud")
@case("switch-vlans-e1000", "soak", model="e1000", kernel="amd64")
def vlans(lab, model, kernel):
    """A trunk with tags, access ports of two VLANs, one that hears all; each hears its own and no more"""
    only_yado(lab)
    macs = (*MACS, "52:54:00:00:99:03", "52:54:00:00:99:04")
    ports = [{"mac": macs[0], "trunk": [10, 20], "vlan": 5}, {"mac": macs[1], "vlan": 10},
             {"mac": macs[2], "vlan": 20}, {"mac": macs[3], "vlan": 10}]
    with network(lab, ports=ports) as (path, execute), contextlib.ExitStack() as stack:
        nets = [Net(to=f"network={path}", model=model, mac=mac) for mac in macs]
        one, two = (stack.enter_context(guest(lab, kernel, nets=adapters))
                    for adapters in ((nets[0],), tuple(nets[1:])))
        # An address is answered for where it is, and nowhere else.
        for vm in (one, two):
            vm.run("echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore", SHORT)
        one.run("ip link set eth0 up", SHORT)
        with_tags(one, "eth0", 10, 20)
        address(one, "10.9.0.1", "eth0.10")
        address(one, "10.20.0.1", "eth0.20")
        address(two, "10.9.0.2", "eth0")
        address(two, "10.20.0.2", "eth1")
        two.run("ip link set eth2 up promisc on; sleep 1", SHORT)
        one.run("ping -c 2 -W 10 10.9.0.2; ping -c 2 -W 10 10.20.0.2", SHORT)
        # Large segments keep their tag, and lose it, on their way.
        between(one, two, 8 * MIB)
        # VLAN 20 is not heard in VLAN 10, nor what is not tagged, nor another VLAN of the trunk.
        two.run("! ping -c 2 -W 2 -I eth0 10.20.0.1", SHORT)
        address(one, "10.30.0.1", "eth0")
        two.run("ip addr add 10.30.0.2/24 dev eth0; ! ping -c 2 -W 2 10.30.0.1", SHORT)
        with_tags(one, "eth0", 30)
        address(one, "10.40.0.1", "eth0.30")
        before = status(execute)
        one.run("! ping -c 2 -W 2 10.40.0.9", SHORT)
        after = status(execute)
        check(after[macs[0]]["vlan-drops"] > before[macs[0]]["vlan-drops"],
              f"a VLAN that is not the trunk's passes: {after[macs[0]]}")
        # An access port takes no tags.
        with_tags(two, "eth0", 20)
        address(two, "10.20.0.77", "eth0.20")
        two.run("ip link set eth1 down; ! ping -c 2 -W 2 10.20.0.1", SHORT)
        after = status(execute)
        check(after[macs[1]]["vlan-drops"] > 0, f"an access port takes tags: {after[macs[1]]}")
        # Others' frames reach a port that is to hear all, and no other.
        heard = []
        for promiscuous in (False, True):
            execute("port", mac=macs[3], vlan=10, promiscuous=promiscuous)
            one.run("ping -c 1 -W 10 10.9.0.2", SHORT)
            before = status(execute)[macs[3]]["out"]["frames"]
            one.run("ping -c 20 -i 0.1 -W 10 10.9.0.2", SHORT)
            heard.append(status(execute)[macs[3]]["out"]["frames"] - before)
        check(heard[0] < 10 and heard[1] >= 40, f"frames of others that were heard: {heard}")
        got = two.run("cat /sys/class/net/eth2/statistics/rx_packets", SHORT)
        check(int(re.findall(r"\d+", got)[-1]) >= 40, f"the guest did not hear them:\n{got}")


def interrupts(vm):
    """How often each receive and transmit queue has interrupted: {"input.0": 12, …}."""
    text = vm.run("cat /proc/interrupts", SHORT)
    found = {}
    for line in text.splitlines():
        name = re.search(r"virtio\d+-(input|output)\.(\d+)", line)
        if name:
            numbers = re.findall(r"\b\d+\b", line.split(":", 1)[1].split("PCI")[0])
            found[f"{name.group(1)}.{name.group(2)}"] = sum(map(int, numbers))
    return found


def serve(vm, port):
    """The guest sends a large file by HTTP; its nc would send a kilobyte at a time."""
    vm.run("dd if=/dev/urandom of=/tmp/file bs=64k count=256 2>/dev/null; httpd -p 7 -h /tmp", SHORT)
    said = vm.run("sha256sum /tmp/file", SHORT)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/file", timeout=SHORT) as answer:
        got = hashlib.sha256(answer.read()).hexdigest()
    check(got in said, "other bytes came than were sent")


def fetch(vm, _port):
    download(vm, "10.0.2.2", 16 * MIB)


@case("net-virtio-queues", cpus=4)
def queues(lab, cpus):
    """Linux uses a pair of queues for each processor, checksums, large segments, several buffers"""
    only_yado(lab)
    port = free_port()
    net = Net(forwards=(f"tcp:127.0.0.1:{port}:7",))
    with guest(lab, "cloud", cpus=cpus, nets=(net,)) as vm:
        lease(vm)
        bits = re.search(r"\b[01]{64}\b", vm.run("cat /sys/class/net/eth0/device/features", SHORT))
        check(bits, "no features")
        missing = [what for bit, what in FEATURES.items() if bits.group()[bit] != "1"]
        check(not missing, f"Linux does not use: {missing}")
        text = vm.run("ls /sys/class/net/eth0/queues", SHORT)
        check(text.count("tx-") == text.count("rx-") == cpus, f"queues:\n{text}")
        before = interrupts(vm)
        # Who sends from a processor is answered on that processor's queue.
        for cpu in range(cpus):
            vm.run(f"taskset {1 << cpu:x} ping -c 5 -i 0.1 -W 10 10.0.2.2", SHORT)
        after = interrupts(vm)
        used = [n for n in range(cpus)
                if after.get(f"input.{n}", 0) > before.get(f"input.{n}", 0)]
        check(len(used) > 1, f"queues that received: {used}; {before} {after}")
        # Frames are larger than the wire's: they were not cut before they left, nor when they came.
        for work, way in ((serve, "sent"), (fetch, "received")):
            start = vm.execute("net-list")["adapters"][0][way]
            work(vm, port)
            end = vm.execute("net-list")["adapters"][0][way]
            frames, size = end["frames"] - start["frames"], end["bytes"] - start["bytes"]
            check(size > 16 * MIB and size / frames > 3000, f"{way}: {size} bytes in {frames} frames")


NOBODY = 65534


def unprivileged(folder):
    """How a machine is run by nobody, by copies of the programs; who is not root runs it as they are."""
    if os.geteuid():
        return {}
    if not shutil.which("setpriv"):
        raise machine.Unavailable("setpriv is not installed")
    for name in ("yado", "yado-vm"):
        shutil.copy(paths.BUILD / "bin" / name, folder / name)
    return {"owner": NOBODY,
            "prefix": ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                       "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs",
                       "sh", "-c", f"shift; exec {folder}/yado \"$@\"", "sh")}


@case("net-nobody")
def nobody(lab):
    """No server and no root: nobody at all runs a guest with a lease, a way out and a forwarded port"""
    only_yado(lab)
    port = free_port()
    package, arch = KERNELS["cloud"]
    with contextlib.ExitStack() as stack:
        # What is in root's folders nobody can read.
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="yado-nobody-")))
        kernel, initrd = folder / "kernel", folder / "initrd"
        shutil.copy(packages.the_file(package, arch, "boot/vmlinuz-*"), kernel)
        shutil.copy(images.built("initramfs-cloud"), initrd)
        for path in (folder, kernel, initrd):
            path.chmod(0o755)
        vm = stack.enter_context(lab.machine(
            memory_mib=256, kernel=kernel, initrd=initrd, append="console=ttyS0,115200 panic=-1",
            **unprivileged(folder), nets=(Net(forwards=(f"tcp:127.0.0.1:{port}:7",)),)))
        vm.expect("yado-guest: Linux", LONG, never="Kernel panic")
        vm.expect("guest# ", SHORT)
        lease(vm)
        download(vm, "10.0.2.2", MIB)
        vm.run("nc -ll -p 7 -e cat & sleep 1", SHORT)
        with socket.create_connection(("127.0.0.1", port), 60) as peer:
            peer.sendall(b"hello\n")
            check(peer.recv(100) == b"hello\n", "the forwarded port does not answer")
        status_text = open(f"/proc/{vm.pid()}/status").read()
        check(re.search(r"^CapEff:\s0+$", status_text, re.M), "it has capabilities")
        vm.send("poweroff -f\n")
        vm.expect_end(SHORT)


@case("switch-history")
def history(lab):
    """What an adapter sent and received is in the history of its port, and in the network's"""
    only_yado(lab)
    with network(lab) as (path, execute), contextlib.ExitStack() as stack:
        one, two = (stack.enter_context(guest(lab, "cloud", nets=(
            Net(to=f"network={path}", mac=mac),))) for mac in MACS)
        address(one, "10.9.0.1")
        address(two, "10.9.0.2")
        between(one, two, 8 * MIB)
        end = time.monotonic() + SHORT
        for arguments, key in (({"mac": MACS[1]}, "in-bytes"), ({"mac": MACS[0]}, "out-bytes"),
                               ({}, "in-bytes")):
            while sum(execute("history", **arguments)[key]) < 8 * MIB:
                if time.monotonic() > end:
                    raise GuestError(f"history {arguments}: {execute('history', **arguments)}")
                time.sleep(0.5)
        counters = status(execute)[MACS[1]]["in"]
        said = execute("history", mac=MACS[1])
        check(sum(said["in-frames"]) <= counters["frames"] and len(said["drops"]) ==
              len(said["in-bytes"]), f"history: {said}, counters: {counters}")
