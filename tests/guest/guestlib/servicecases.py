# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests on a network with servers of its own: addresses, names, files, booting."""
import contextlib
import hashlib
import re
import time

from .cases import LONG, SHORT, VERY_LONG, case, check, only_yado
from .machine import Net
from .netcases import (MACS, MIB, PXE_HELLO, PXE_INSTALLER, address, between, boot_folder, guest,
                       lease, network, stream)

SUBNET = {"subnet": "10.77.0.0/24",
          "dhcp": {"wins": ["10.77.0.9"], "lease": 7200,
                   "reservations": [{"mac": MACS[0], "address": "10.77.0.40", "name": "one"}]}}


def served_folder(lab):
    """A folder with a file of 3 MiB and a bit, and its digest."""
    folder = lab.folder / "served"
    folder.mkdir()
    data = b"".join(stream(3 * MIB + 11, b"served"))
    (folder / "file").write_bytes(data)
    (folder / "out").symlink_to("/etc/passwd")
    return folder, hashlib.sha256(data).hexdigest()


@case("net-services")
def services(lab):
    """Two guests find address, name server, each other's names, files and an IPv6 prefix"""
    only_yado(lab)
    folder, digest = served_folder(lab)
    leases = lab.folder / "leases"
    options = dict(SUBNET, ipv6="fd77:1:2:3::/64", tftp=str(folder), options=("--leases", leases))
    with contextlib.ExitStack() as stack:
        with network(lab, **options) as (path, execute):
            one, two = (stack.enter_context(guest(lab, "cloud", name=name, nets=(
                Net(to=f"network={path}", mac=mac),))) for name, mac in zip(("one", "two"), MACS))
            got = lease(one)
            check(got["ip"] == "10.77.0.40" and got["dns"] == "10.77.0.1" and not got["router"]
                  and got["wins"] == "10.77.0.9" and got["domain"] == "yado.internal"
                  and got["lease"] == "7200", f"lease: {got}")
            second = lease(two)["ip"]
            two.run("ping -c 2 -W 5 10.77.0.1", SHORT)
            two.run("ping -c 2 -W 5 one.yado.internal", SHORT)
            text = one.run("nslookup two.yado.internal", SHORT)
            check(second in text, f"the other's name is not known:\n{text}")
            two.run("! nslookup example.org", SHORT)
            for command in ("wget -q -O - http://10.77.0.1/file", "tftp -g -r file -l - -b 1400 10.77.0.1"):
                text = two.run(f"{command} | sha256sum", LONG)
                check(digest in text, f"{command}: other bytes came:\n{text}")
            two.run("! wget -q -O - http://10.77.0.1/out; ! wget -q -O - http://10.77.0.1/%2e%2e/x",
                    SHORT)
            text = one.run("for i in $(seq 30); do ip -6 addr show dev eth0 | grep fd77 && break; "
                           "sleep 1; done", SHORT)
            check("fd77:1:2:3:" in text, f"no address from the advertised prefix:\n{text}")
            one.run("ping -6 -c 2 -W 5 fd77:1:2:3::1", SHORT)
            given = {entry["mac"]: entry for entry in execute("leases")["leases"]}
            check(given[MACS[1]]["address"] == second and given[MACS[0]]["name"] == "one",
                  f"leases: {given}")
        # The network starts again: the addresses are the same, for a file says so.
        with network(lab, **options) as (path, execute):
            two.run("for i in $(seq 20); do grep 1 /sys/class/net/eth0/carrier && break; sleep 1; "
                    "done; sleep 1", SHORT)
            check(lease(two)["ip"] == second, "another address after the network's restart")


@case("net-services-nat")
def services_nat(lab):
    """Behind a NAT with servers of its own: a lease with a way out, and a forwarded port"""
    only_yado(lab)
    with network(lab, kind="nat", subnet="10.88.0.0/24") as (path, execute):
        with guest(lab, "cloud", name="one", nets=(Net(to=f"network={path}", mac=MACS[0]),)) as vm:
            got = lease(vm)
            check(got["router"] == "10.88.0.2" and got["dns"] == "10.88.0.1", f"lease: {got}")
            check(re.fullmatch(r"10\.88\.0\.\d+", got["ip"]) and got["ip"] != "10.88.0.15",
                  f"lease: {got}")
            vm.run("ping -c 2 -W 5 10.88.0.2; nslookup one.yado.internal", SHORT)
            # Another definition while the guest is on it; what would cut it off is refused.
            execute("configure", definition={"name": "net", "kind": "nat",
                                             "subnet": "10.88.0.0/24", "domain": "other.test"})
            check(lease(vm)["domain"] == "other.test", "the new domain is not told")
            ports = {port["name"]: port for port in execute("status")["ports"]}
            check({"uplink", "services", "one"} <= set(ports) and
                  ports["one"]["address"] == got["ip"], f"ports: {ports}")


@case("pxe-network-installer", boot=PXE_INSTALLER, wanted=("Select a language", "English"))
@case("pxe-network-e1000", "soak", model="e1000", boot=PXE_HELLO,
      wanted=("yado-test: PXELINUX came over the network",))
def pxe_network(lab, boot, wanted, model="virtio"):
    """PXE from a virtual network's own DHCP and TFTP: Debian's installer, or a boot loader"""
    only_yado(lab)
    folder = boot_folder(lab, boot)
    with network(lab, subnet="10.77.0.0/24", tftp=str(folder), bootfile="pxelinux.0") as (path, _):
        with lab.machine(memory_mib=1024 if model == "virtio" else 256, boot="network",
                         nets=(Net(to=f"network={path}", model=model),)) as vm:
            for text in wanted:
                vm.expect_screen(re.compile(re.escape(text)), VERY_LONG,
                                 never="Kernel panic|Low memory|No bootable device")


@case("pxe-network-ipxe")
def pxe_ipxe(lab):
    """iPXE in the card's ROM takes a script and what it names by HTTP from the network's own server"""
    only_yado(lab)
    folder = lab.folder / "www"
    folder.mkdir()
    (folder / "boot.ipxe").write_text("#!ipxe\necho yado-test: the script came\n"
                                      "chain more/next.ipxe\n")
    (folder / "more").mkdir()
    (folder / "more" / "next.ipxe").write_text("#!ipxe\necho yado-test: and the next from ${net0/ip}\n"
                                               "prompt\n")
    bootfiles = {"bootfile": "not-this", "bootfile-ipxe": "boot.ipxe"}
    with network(lab, subnet="10.77.0.0/24", tftp=str(folder), **bootfiles) as (path, _):
        with lab.machine(memory_mib=256, boot="network",
                         nets=(Net(to=f"network={path}"),)) as vm:
            vm.expect_screen(re.compile(r"yado-test: and the next from 10\.77\.0\.\d+"), LONG,
                             never="No bootable device")


@case("pxe-network-uefi")
def pxe_uefi(lab):
    """UEFI takes Debian's GRUB by TFTP from the network's own server, and that its menu"""
    only_yado(lab)
    folder = boot_folder(lab, PXE_HELLO)
    menu = folder / "debian-installer/amd64/grub/grub.cfg"
    menu.unlink()
    menu.write_text("terminal_output console\necho yado-test: GRUB came over the network\nsleep 1000\n")
    bootfiles = {"bootfile": "pxelinux.0", "bootfile-efi": "debian-installer/amd64/grubx64.efi"}
    with network(lab, subnet="10.77.0.0/24", tftp=str(folder), **bootfiles) as (path, _):
        with lab.machine(memory_mib=512, firmware="uefi", boot="network",
                         nets=(Net(to=f"network={path}"),)) as vm:
            vm.expect("yado-test: GRUB came over the network", LONG)


@case("net-eight")
def eight(lab):
    """Eight adapters of all models, each on its network, with addresses that do not collide"""
    only_yado(lab)
    models = ("virtio", "e1000", "21140", "rtl8139") * 2
    with network(lab, subnet="10.77.0.0/24") as (path, execute):
        nets = tuple(Net(to=f"network={path}", model=model) for model in models)
        with guest(lab, "amd64", name="eight", nets=nets) as vm:
            for number in range(8):
                lease(vm, f"eth{number}")
            ports = [port for port in execute("status")["ports"] if port["name"] == "eight"]
            check(len({port["mac"] for port in ports}) == 8, f"ports: {ports}")
            check(len({port["address"] for port in ports}) == 8, f"ports: {ports}")


def packet_generator(vm, device, **settings):
    """Linux's own (Documentation/networking/pktgen.rst), to send through one device."""
    vm.run(f"echo add_device {device} > /proc/net/pktgen/kpktgend_0", SHORT)
    for name, value in settings.items():
        for each in value if isinstance(value, tuple) else (value,):
            vm.run(f"echo {name} {each} > /proc/net/pktgen/{device}", SHORT)


@case("net-hostile")
def hostile(lab):
    """One guest floods, forges and sends garbage; two others on the network do not notice"""
    only_yado(lab)
    macs = (*MACS, "52:54:00:00:99:03", "52:54:00:00:99:04")
    limits = [{"mac": mac, "rate": "2M"} for mac in macs[2:]]
    with network(lab, subnet="10.9.0.0/24", ports=limits) as (path, execute):
        with contextlib.ExitStack() as stack:
            nets = [Net(to=f"network={path}", mac=mac) for mac in macs]
            one, two, three = (
                stack.enter_context(guest(lab, "cloud", name=name, nets=adapters))
                for name, adapters in (("a", nets[:1]), ("b", nets[1:2]), ("c", tuple(nets[2:]))))
            address(one, "10.9.0.1")
            address(two, "10.9.0.2")

            # Garbage to everybody and to the ports of DNS and DHCP, from addresses of others by
            # one adapter and from its own by the second, without end.
            three.run("insmod /modules/pktgen.ko; ip link set eth0 up; ip link set eth1 up; "
                      "sleep 3", SHORT)
            garbage = {"count": 0, "delay": 100000, "pkt_size": 700, "dst_mac": "ff:ff:ff:ff:ff:ff",
                       "dst_min": "10.9.0.1", "dst_max": "10.9.0.255",
                       "src_min": "10.9.0.1", "src_max": "10.9.0.255",
                       "udp_dst_min": 53, "udp_dst_max": 68}
            flags = ("IPSRC_RND", "IPDST_RND", "UDPDST_RND")
            packet_generator(three, "eth0", **garbage, src_mac="52:54:00:00:99:00",
                             src_mac_count=3, flag=(*flags, "MACSRC_RND"))
            packet_generator(three, "eth1", **garbage, flag=flags)
            three.run("echo start > /proc/net/pktgen/pgctrl & sleep 1", SHORT)

            def ports():
                return {port.get("mac"): port for port in execute("status")["ports"]}
            start = ports()
            one.run("ping -c 5 -W 5 10.9.0.2", SHORT)
            between(one, two, 8 * MIB)
            # The servers answer others while it lasts.
            got = lease(two)
            two.run("nslookup c.yado.internal || nslookup b.yado.internal", SHORT)
            check(got["dns"] == "10.9.0.1", f"lease: {got}")
            end = ports()
            check(end[macs[2]]["spoofed"] > start[macs[2]]["spoofed"] + 1000,
                  f"little was forged: {end[macs[2]]}")
            check(end[macs[3]]["in"]["frames"] > start[macs[3]]["in"]["frames"] + 1000,
                  f"this is no flood: {end[macs[3]]}")
            # What a guest does not take in time, on a host that is busy besides, is little.
            check(end[macs[0]]["full-drops"] * 20 < end[macs[0]]["out"]["frames"],
                  f"the first lost frames: {end[macs[0]]}")


@case("net-save")
def save(lab):
    """A guest is saved and restored while it sends to another; every byte arrives"""
    only_yado(lab)
    saved = lab.folder / "saved"
    with network(lab) as (path, execute), contextlib.ExitStack() as stack:
        nets = [(Net(to=f"network={path}", mac=mac),) for mac in MACS]
        one = stack.enter_context(guest(lab, "cloud", name="one", nets=nets[0]))
        address(one, "10.9.0.1")
        one.send("nc -l -p 99 | sha256sum; echo taken\n")

        def sent():
            return next(port["in"]["bytes"] for port in execute("status")["ports"]
                        if port["name"] == "two")
        with guest(lab, "cloud", name="two", nets=nets[1]) as two:
            address(two, "10.9.0.2")
            two.run("dd if=/dev/urandom of=/tmp/sent bs=64k count=640 2>/dev/null", SHORT)
            digest = re.search(r"\b[0-9a-f]{64}\b", two.run("sha256sum /tmp/sent", SHORT)).group()
            # Slowly, so that saving falls into it.
            two.send("(for i in $(seq 40); do dd if=/tmp/sent bs=1M skip=$((i-1)) count=1 "
                     "2>/dev/null; sleep 0.1; done) | nc 10.9.0.1 99; echo sent=$?=\n")
            end = time.monotonic() + SHORT
            while sent() < 4 * MIB and time.monotonic() < end:
                two.pump(0.1)
            check(4 * MIB <= sent() < 40 * MIB, f"{sent()} bytes were sent before saving")
            two.execute("save", path=str(saved))
            two.expect_end(SHORT)
        time.sleep(1)
        config = two.config
        with lab.machine(**dict(vars(config), restore=saved)) as two:
            two.expect("sent=0=", LONG)
            one.expect(digest, LONG)


@case("net-gibibyte", "soak")
def gibibyte(lab):
    """1 GiB from one guest to another over a switch, with its checksum"""
    only_yado(lab)
    with network(lab) as (path, _), contextlib.ExitStack() as stack:
        one, two = (stack.enter_context(guest(lab, "cloud", nets=(
            Net(to=f"network={path}", mac=mac),))) for mac in MACS)
        address(one, "10.9.0.1")
        address(two, "10.9.0.2")
        two.run("dd if=/dev/urandom of=/tmp/part bs=64k count=1024 2>/dev/null", LONG)
        many = "(for i in $(seq 16); do cat /tmp/part; done)"
        one.send("nc -l -p 99 | sha256sum; echo taken\n")
        one.settle(2)
        two.run(f"{many} | nc 10.9.0.1 99", VERY_LONG)
        sent = re.search(r"\b[0-9a-f]{64}\b", two.run(f"{many} | sha256sum", VERY_LONG)).group()
        one.expect(sent, LONG)
