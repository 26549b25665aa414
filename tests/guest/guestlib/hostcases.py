# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests on ways out that the host has a part in: its bridge, its adapter, its kernel's NAT.

The host is a network namespace, and what is outside another one, joined by a veth.
"""
import contextlib
import subprocess
import sys

from . import images, machine
from .cases import LONG, SHORT, case, check, only_yado
from .machine import Net
from .netcases import MACS, MIB, guest, lease, namespace, need_tun, network, with_host

# A neighbour on VLAN 30, 10.8.0.7, who answers ARP and ICMP echo, with tags as they are on the wire.
TAGGED = """
import socket, struct, sys
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind((sys.argv[1], 0))
wire.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA
own, me = b"\\x02\\0\\0\\0\\0\\x30", bytes((10, 8, 0, 7))
def total(data):
    value = sum(struct.unpack(f">{len(data) // 2}H", data))
    value = (value & 0xffff) + (value >> 16)
    return ~((value & 0xffff) + (value >> 16)) & 0xffff
print("ready", flush=True)
while True:
    frame, extra, _, _ = wire.recvmsg(2048, 256)
    tag = next((struct.unpack("IIIHHHH", data[:20])[5] for level, sort, data in extra
                if (level, sort) == (263, 8) and struct.unpack("I", data[:4])[0] & 16), None)
    if tag is None or tag & 0xfff != 30:
        continue
    kind, rest = frame[12:14], frame[14:]
    if kind == b"\\x08\\x06" and rest[6:8] == b"\\0\\1" and rest[24:28] == me:
        back = rest[:6] + b"\\0\\2" + own + me + rest[8:18]
    elif kind == b"\\x08\\0" and rest[9] == 1 and rest[16:20] == me and rest[20] == 8:
        length = struct.unpack(">H", rest[2:4])[0]
        icmp = b"\\0\\0\\0\\0" + rest[24:length]
        icmp = icmp[:2] + struct.pack(">H", total(icmp + b"\\0" * (len(icmp) % 2))) + icmp[4:]
        back = rest[:12] + me + rest[12:16] + icmp
    else:
        continue
    wire.send(frame[6:12] + own + b"\\x81\\0\\0\\x1e" + kind + back)
"""


def links(inside):
    """What interfaces the host has: names."""
    text = subprocess.run([*inside, "ip", "-o", "link"], text=True, check=True,
                          stdout=subprocess.PIPE).stdout
    return {line.split()[1].split("@")[0].rstrip(":") for line in text.splitlines()}


@contextlib.contextmanager
def running(inside, program, *words):
    process = subprocess.Popen([*inside, sys.executable, "-c", program, *words], text=True,
                               stdout=subprocess.PIPE, preexec_fn=machine.die_with_parent)
    try:
        check(process.stdout.readline() == "ready\n", "what is outside does not start")
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextlib.contextmanager
def host_and_outside(host_commands=(), outside_commands=()):
    """v0 of the host leads to v1 outside."""
    with namespace("link add v0 type veth peer name v1", "link set v0 up", *host_commands) as host:
        with namespace(suffix="-out") as out:
            images.tool("ip", "-n", host[-1], "link", "set", "v1", "netns", out[-1])
            for command in ("link set v1 up", *outside_commands):
                images.tool("ip", "-n", out[-1], *command.split())
            yield host, out


CALL_IPTABLES = "net.bridge.bridge-nf-call-iptables"
BRIDGE = ("link add br0 type bridge", "link set v0 master br0", "addr add 10.8.0.5/24 dev br0",
          "link set br0 up")
WIRES = {"bridge": (BRIDGE, "in-bridge"), "macvtap": ((), "unused"),
         "packet": (("addr add 10.8.0.5/24 dev v0",), "used")}


def filter_vlans(host):
    """The bridge asks which VLANs a port is in; those of its wire are said here."""
    words = "ip link set br0 type bridge vlan_filtering 1"
    if subprocess.call([*host, *words.split()], stderr=subprocess.DEVNULL):
        raise machine.Unavailable("bridges of this host's kernel do not filter VLANs")
    images.tool(*host, "bridge", "vlan", "add", "dev", "v0", "vid", "30")


@case("net-external", way="packet")
@case("net-bridge", way="bridge")
@case("net-bridge-vlans", way="bridge", filters=True)
@case("net-macvtap", way="macvtap")
def wire(lab, way, filters=False):
    """A guest on the wire of the host's adapter, with and without a VLAN tag; nothing stays behind"""
    only_yado(lab)
    need_tun()
    commands, reason = WIRES[way]
    with host_and_outside(commands, ("addr add 10.8.0.1/24 dev v1",)) as (host, out):
        if filters:
            filter_vlans(host)
        if way == "bridge":
            # Docker's policy, and its module, which has iptables asked for what bridges pass on.
            check("1" in subprocess.check_output([*host, "sysctl", "-n", CALL_IPTABLES], text=True),
                  "iptables is not asked for what bridges pass on")
            images.tool(*host, "iptables", "-P", "FORWARD", "DROP")
        before = links(host)
        with network(lab, prefix=host, kind="external", interface="v0", trunk=[30]) as (path, execute):
            uplink = execute("status")["uplink"]
            check((uplink["through"], uplink["reason"]) == (way, reason), f"uplink: {uplink}")
            with guest(lab, "cloud", nets=(Net(to=f"network={path}", mac=MACS[0]),)) as vm:
                with_host(vm, out, "10.8.0.1", "10.8.0.2")
                if way == "bridge":
                    vm.run("ping -c 2 -W 10 10.8.0.5", SHORT)
                with running(out, TAGGED, "v1"):
                    vm.run("! ping -c 1 -W 2 10.8.0.7", SHORT)
                    execute("port", mac=MACS[0], vlan=30, trunk=[])
                    vm.run("ping -c 3 -W 10 10.8.0.7; ! ping -c 1 -W 2 10.8.0.1", SHORT)
        check(links(host) == before, f"left behind: {links(host) - before}")


OUTSIDE = """
import hashlib, socket, sys
server = socket.create_server(("192.0.2.2", 99))
print("ready", flush=True)
while True:
    peer, where = server.accept()
    total, digest = 0, hashlib.sha256()
    while data := peer.recv(1 << 18):
        total += len(data)
        digest.update(data)
    print(where[0], total, digest.hexdigest(), flush=True)
    peer.close()
"""

ASK = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 10) as peer:
    peer.settimeout(20)
    peer.sendall(b"hello")
    peer.shutdown(socket.SHUT_WR)
    data = b""
    while more := peer.recv(100):
        data += more
print(data.decode())
"""


def ask(inside, host, port):
    """What an echo there says to hello; None: it cannot be reached."""
    result = subprocess.run([*inside, sys.executable, "-c", ASK, host, str(port)], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60)
    return result.stdout.strip() if result.returncode == 0 else None


FORWARDS = ["tcp:192.0.2.1:8007:10.66.0.20:7", "tcp::2007:10.66.0.20:7"]
RESERVED = {"reservations": [{"mac": MACS[0], "address": "10.66.0.20"}]}


@case("net-kernel-nat", firewall="iptables-nft")
@case("net-kernel-nat-legacy", firewall="iptables-legacy")
def kernel_nat(lab, firewall):
    """A guest behind the kernel's NAT, on a host where Docker's firewall drops what is forwarded"""
    only_yado(lab)
    need_tun()
    if subprocess.run(["which", firewall], stdout=subprocess.DEVNULL).returncode:
        raise machine.Unavailable(f"{firewall} is not installed")
    with host_and_outside(("addr add 192.0.2.1/24 dev v0", "route add default via 192.0.2.2"),
                          ("addr add 192.0.2.2/24 dev v1",
                           "route add 10.66.0.0/24 via 192.0.2.1")) as (host, out):
        # The policy alone, or with Docker's chain for others; iptables is what the host says it is.
        images.tool(*host, firewall, "-P", "FORWARD", "DROP")
        if firewall == "iptables-nft":
            for words in ("-N DOCKER-USER", "-A DOCKER-USER -j RETURN", "-I FORWARD -j DOCKER-USER"):
                images.tool(*host, firewall, *words.split())
        inside = (*host, "unshare", "-m", "sh", "-c",
                  f'mount --bind "$(which {firewall})" "$(readlink -f /usr/sbin/iptables)" && '
                  'exec "$@"', "sh")
        with network(lab, prefix=inside if firewall == "iptables-legacy" else host, kind="nat",
                     nat="kernel", subnet="10.66.0.0/24", dhcp=RESERVED,
                     forward=FORWARDS) as (path, execute):
            uplink = execute("status")["uplink"]
            check(uplink["through"] == "kernel" and uplink["outside"] == "v0", f"uplink: {uplink}")
            with guest(lab, "cloud", nets=(Net(to=f"network={path}", mac=MACS[0]),)) as vm:
                got = lease(vm)
                check(got["ip"] == "10.66.0.20" and got["router"] == "10.66.0.2", f"lease: {got}")
                vm.run("ping -c 2 -W 10 192.0.2.2", SHORT)
                vm.run("dd if=/dev/urandom of=/tmp/sent bs=64k count=256 2>/dev/null", SHORT)
                digest = vm.run("sha256sum /tmp/sent", SHORT)
                with running(out, OUTSIDE) as server:
                    vm.run("nc 192.0.2.2 99 </tmp/sent", LONG)
                    source, total, sum_text = server.stdout.readline().split()
                check(source == "192.0.2.1", f"a guest's address came out: {source}")
                check(total == str(16 * MIB) and sum_text in digest, "other bytes came out")
                # In by the forwarded ports alone: from outside, from this host, from the guest.
                vm.run("nc -ll -p 7 -e cat & sleep 1", SHORT)
                check(ask(out, "192.0.2.1", 8007) == "hello", "the forwarded port does not answer")
                check(ask(host, "127.0.0.1", 2007) == "hello", "the host's own port does not answer")
                check(ask(host, "192.0.2.1", 8007) == "hello", "nor the outer one from here")
                check("hello" in vm.run("echo hello | nc -w 10 192.0.2.1 8007", SHORT), "no hairpin")
                check(ask(out, "192.0.2.1", 2007) is None, "the host's own port is open outside")
                check(ask(out, "10.66.0.20", 7) is None, "the guest is reached from outside")
                vm.run("! nc -w 3 127.0.0.1 2007 </dev/null", SHORT)
                # Who flushes all rules does not flush these.
                images.tool(*host, "nft", "flush", "ruleset")
                vm.run("ping -c 2 -W 10 192.0.2.2", SHORT)
                check(ask(out, "192.0.2.1", 8007) == "hello", "the forwarded port was flushed")
