# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests on a network with servers of its own: addresses, names, files, booting."""
import contextlib
import hashlib
import re

from .cases import LONG, SHORT, VERY_LONG, case, check, only_yado
from .machine import Net
from .netcases import (MACS, MIB, PXE_HELLO, PXE_INSTALLER, boot_folder, guest, lease, network,
                       stream)

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
@case("pxe-network-e1000", model="e1000", boot=PXE_HELLO,
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
