# SPDX-License-Identifier: GPL-2.0-or-later
"""One running machine, under Yado or, to have a second opinion of the guest, under QEMU's TCG.

Both backends show the same: the serial port as bytes in and out, the text screen, keys, a few
commands, and the exit status.
"""
import ctypes
import dataclasses
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from . import paths

ESCAPES = re.compile(rb"\x1b(\[[0-9;?=]*[A-Za-z]|[()][A-Za-z0-9]|[=>78cDEHM])")


LIBC = ctypes.CDLL(None)


def die_with_parent():
    """In the child: SIGTERM when the driver goes, even if it is killed (prctl PR_SET_PDEATHSIG)."""
    LIBC.prctl(1, signal.SIGTERM)


class GuestError(Exception):
    """The guest did not do what was expected."""


class CommandError(GuestError):
    """The control socket refused a command."""


class Unavailable(Exception):
    """This machine cannot be had here; the test is skipped."""


@dataclasses.dataclass
class Config:
    memory_mib: int = 256
    cpus: int = 1
    engine: str = "soft"
    firmware: str = "bios"
    kernel: object = None
    initrd: object = None
    append: str = ""
    disks: tuple = ()       # of (path, "virtio" or "ide")
    cdrom: object = None
    cdrom_bus: str = "ide"
    floppy: object = None
    boot: str = ""
    debug_exit: bool = False
    iommu: str = ""         # intel
    undo: str = ""          # keep, commit or discard
    restore: object = None  # a saved machine to go on from
    reserve: object = None  # where it is to be saved to
    triple_fault: str = ""  # stop: end, and say where
    nets: tuple = ()        # of Net
    prefix: tuple = ()      # words before the command: where to run it, and as whom
    owner: int = None       # … whose uid this is
    name: str = ""          # of the machine


@dataclasses.dataclass
class Net:
    """A network adapter; to: what its cable leads to, "nat" or something of Yado's own."""
    to: str = "nat"
    model: str = "virtio"
    mac: str = ""
    forwards: tuple = ()    # of "tcp:127.0.0.1:2222:22"
    tftp: object = None
    bootfile: str = ""

    def option(self):
        words = [self.to, f"model={self.model}"]
        words += [f"mac={self.mac}"] if self.mac else []
        words += [f"forward={forward}" for forward in self.forwards]
        words += [f"tftp={self.tftp}"] if self.tftp else []
        words += [f"bootfile={self.bootfile}"] if self.bootfile else []
        return ",".join(words)


def pattern_of(wanted):
    """A text or a compiled pattern, as a pattern and as what to call it."""
    if isinstance(wanted, re.Pattern):
        return wanted, wanted.pattern
    return re.compile(re.escape(wanted)), wanted


class Machine:
    """Started on entering a `with` block, ended when it is left, come what may."""

    limit = 1e9  # no wait is longer than this many seconds

    def __init__(self, config, echo=None):
        self.config = config
        self.echo = echo          # a function that is given the serial bytes as they come
        self.serial = b""         # everything the guest has printed
        self.seen = 0             # up to where expect() has looked
        self.process = None
        self.control = None
        self.buffer = b""

    # What a backend says.
    def command(self):
        raise NotImplementedError

    def connect(self):
        raise NotImplementedError

    def screen_lines(self):
        raise NotImplementedError

    def send_keys(self, *keys):
        raise NotImplementedError

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="yado-guest-"))
        if self.config.owner is not None:
            os.chown(self.folder, self.config.owner, -1)
        self.socket_path = self.folder / "control"
        self.errors = open(self.folder / "stderr", "w+b")
        self.argv = [str(word) for word in (*self.config.prefix, *self.command())]
        self.process = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, start_new_session=True,
                                        preexec_fn=die_with_parent)
        os.set_blocking(self.process.stdout.fileno(), False)
        return self

    def __exit__(self, *_):
        if self.control:
            self.control.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def memory_kib(self):
        """Of the host, that the machine's process has."""
        text = pathlib.Path(f"/proc/{self.pid()}/smaps_rollup").read_text()
        return int(re.search(r"^Pss: +(\d+)", text, re.M).group(1))

    def pid(self):
        """yado may start the machine as a child; QEMU is one process."""
        pid = self.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else pid

    # The serial port.
    def pump(self, seconds):
        """Take in what the serial port says next, within this time; False at its end."""
        ready, _, _ = select.select([self.process.stdout], [], [], max(0, seconds))
        if not ready:
            return True
        data = self.process.stdout.read(65536)
        if data is None:
            return True
        if not data:
            return False
        if self.echo:
            self.echo(data)
        self.serial += data
        return True

    def settle(self, seconds):
        """Take in what the serial port says, all this time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.pump(end - time.monotonic()):
            pass

    def text(self):
        return ESCAPES.sub(b"", self.serial).replace(b"\r", b"").decode(errors="replace")

    def expect(self, wanted, seconds, never=None):
        """Wait for a text (or compiled pattern) on the serial port, behind the last one found."""
        pattern, wanted = pattern_of(wanted)
        seconds = min(seconds, self.limit)
        end = time.monotonic() + seconds
        alive = True
        while True:
            text = self.text()
            found = pattern.search(text, self.seen)
            if found:
                self.seen = found.end()
                return found
            if never and re.search(never, text):
                raise GuestError(f"the guest printed what it never should: {never!r}")
            if not alive:
                raise GuestError(f"the machine ended ({self.ending()}) while "
                                 f"{wanted!r} was awaited")
            if time.monotonic() > end:
                raise GuestError(f"no {wanted!r} on the serial port in {seconds:.0f} s")
            alive = self.pump(min(1, end - time.monotonic()))

    def send(self, text):
        """Type on the serial port, slowly enough for a UART with a FIFO of 16."""
        data = text.encode()
        try:
            for start in range(0, len(data), 8):
                self.process.stdin.write(data[start:start + 8])
                self.process.stdin.flush()
                self.pump(0.02)
        except BrokenPipeError:
            raise GuestError("the machine took no input: it has ended") from None

    def run(self, line, seconds, prompt="guest# "):
        """A command at a shell's prompt; its echo and output. It must end with status 0."""
        start = self.seen
        self.send(f"{line}; echo status=$?=\n")
        found = self.expect(re.compile(r"status=(\d+)="), seconds)
        output = self.text()[start:found.start()].strip("\n")
        self.expect(prompt, seconds)
        if found.group(1) != "0":
            raise GuestError(f"in the guest {line!r} ended with status {found.group(1)}:\n{output}")
        return output

    # The screen.
    def expect_screen(self, wanted, seconds, never=None):
        pattern, wanted = pattern_of(wanted)
        seconds = min(seconds, self.limit)
        end = time.monotonic() + seconds
        while True:
            alive = self.pump(0.3)
            lines = self.screen_lines() if alive and self.process.poll() is None else []
            screen = "\n".join(lines)
            found = pattern.search(screen)
            if found:
                return screen
            if never and re.search(never, screen):
                raise GuestError(f"the screen shows what it never should: {never!r}")
            if not alive or self.process.poll() is not None:
                raise GuestError(f"the machine ended ({self.ending()}) while "
                                 f"{wanted!r} was awaited on the screen")
            if time.monotonic() > end:
                raise GuestError(f"no {wanted!r} on the screen in {seconds:.0f} s")

    # The end.
    def ending(self):
        status = self.process.wait(60)
        return f"killed by {signal.Signals(-status).name}" if status < 0 else f"status {status}"

    def wait(self, seconds):
        """Wait for the machine to end by itself; its exit status."""
        seconds = min(seconds, self.limit)
        end = time.monotonic() + seconds
        while self.pump(min(1, end - time.monotonic())):
            if time.monotonic() > end:
                raise GuestError(f"the machine still runs after {seconds:.0f} s")
        try:
            return self.process.wait(max(1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise GuestError("the machine closed its serial port, but does not end") from None

    def expect_end(self, seconds, status=0):
        if self.wait(seconds) != status:
            raise GuestError(f"the machine ended ({self.ending()}), not with status {status}")

    def report(self):
        """What a person needs to see when a test has failed."""
        lines = ["command: " + " ".join(self.argv)]
        self.errors.flush()
        self.errors.seek(0)
        stderr = self.errors.read().decode(errors="replace").strip()
        if stderr:
            lines += ["its messages:", *("  " + line for line in stderr.splitlines()[-15:])]
        lines += ["last lines of the serial port:",
                  *("  " + line for line in self.text().splitlines()[-25:])]
        try:
            if self.process.poll() is None:
                screen = [line.rstrip() for line in self.screen_lines()]
                if any(screen):
                    lines += ["its screen:", *("  " + line for line in screen if line)]
        except (GuestError, OSError, ValueError):
            lines.append("(its screen could not be read)")
        return "\n".join(lines)

    # JSON lines on the control socket, which both backends speak.
    def dial(self):
        end = time.monotonic() + 20
        while True:
            self.control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.control.settimeout(60)
            try:
                self.control.connect(str(self.socket_path))
                return
            except OSError as err:
                self.control.close()
                self.control = None
                if time.monotonic() > end or self.process.poll() is not None:
                    raise GuestError(f"no control socket: {err}") from None
                self.pump(0.1)

    def read_line(self):
        while b"\n" not in self.buffer:
            try:
                data = self.control.recv(65536)
            except OSError as err:
                raise GuestError(f"control socket: {err}") from None
            if not data:
                raise GuestError("the control socket was closed")
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(line)

    def execute(self, name, **arguments):
        """One command on the control socket; what it returns."""
        if self.control is None:
            self.connect()
        request = {"execute": name, "id": 1}
        if arguments:
            request["arguments"] = arguments
        try:
            self.control.sendall(json.dumps(request).encode() + b"\n")
        except OSError as err:
            raise GuestError(f"control socket: {err}") from None
        while True:
            answer = self.read_line()
            if "error" in answer:
                raise CommandError(f"{name}: {answer['error']}")
            if "return" in answer:
                return answer["return"]


class Yado(Machine):
    name = "yado"

    @staticmethod
    def program():
        program = paths.BUILD / "bin" / "yado"
        if not program.exists():
            raise Unavailable(f"{program} is not built")
        return program

    def command(self):
        config = self.config
        program = self.program()
        if config.engine.startswith("kvm") and not os.access("/dev/kvm", os.R_OK | os.W_OK):
            raise Unavailable("no /dev/kvm here")
        argv = [program, "run", *(["--name", config.name] if config.name else []),
                "--engine", config.engine, "--cpus", config.cpus,
                "--memory", f"{config.memory_mib}M", "--firmware", config.firmware,
                "--serial", "stdio", "--display", "none",
                "--control", f"unix={self.socket_path}"]
        if config.kernel:
            argv += ["--kernel", config.kernel]
        if config.initrd:
            argv += ["--initrd", config.initrd]
        if config.append:
            argv += ["--append", config.append]
        for path, bus in config.disks:
            argv += ["--disk", f"{path},bus={bus}"]
        if config.cdrom:
            argv += ["--cdrom", f"{config.cdrom}" + (",bus=sata" if config.cdrom_bus == "sata" else "")]
        if config.floppy:
            argv += ["--floppy", config.floppy]
        if config.boot:
            argv += ["--boot", config.boot]
        if config.iommu:
            argv += ["--iommu", config.iommu]
        if config.undo:
            argv += ["--undo", config.undo]
        if config.restore:
            argv += ["--restore", config.restore]
        if config.reserve:
            argv += ["--reserve-state", config.reserve]
        for net in config.nets:
            argv += ["--net", net.option()]
        if config.debug_exit:
            argv += ["--debug-exit"]
        if config.triple_fault:
            argv += ["--on-triple-fault", config.triple_fault]
        return argv

    def connect(self):
        self.dial()

    def screen_lines(self):
        try:
            return self.execute("screen-text")["lines"]
        except CommandError:  # a graphics mode has no text
            return []

    def send_keys(self, *keys):
        for key in keys:
            self.execute("send-keys", keys=[key])
            self.pump(0.1)


class Qemu(Machine):
    name = "qemu"
    NICS = {"virtio": "virtio-net-pci", "e1000": "e1000", "21140": "tulip", "rtl8139": "rtl8139"}
    BOOT = {"disk": "c", "cdrom": "d", "floppy": "a", "network": "n"}

    def command(self):
        config = self.config
        if not shutil.which("qemu-system-x86_64"):
            raise Unavailable("qemu-system-x86_64 is not installed")
        if config.engine.startswith("kvm"):
            raise Unavailable("QEMU is only asked for its own engine")
        if config.iommu:
            raise Unavailable("QEMU has no IOMMU on this board")
        argv = ["qemu-system-x86_64", "-machine", "pc", "-accel", "tcg", "-cpu", "max",
                "-smp", config.cpus, "-m", config.memory_mib, "-nodefaults", "-vga", "std",
                "-display", "none", "-serial", "stdio", "-monitor", "none", "-nic", "none",
                "-qmp", f"unix:{self.socket_path},server,nowait"]
        if config.firmware == "uefi":
            argv += ["-bios", "/usr/share/ovmf/OVMF.fd"]
        elif config.firmware != "bios":
            argv += ["-bios", config.firmware]
        if config.kernel:
            argv += ["-kernel", config.kernel]
        if config.initrd:
            argv += ["-initrd", config.initrd]
        if config.append:
            argv += ["-append", config.append]
        buses = [config.cdrom_bus, *(bus for _, bus in config.disks)]
        argv += ["-device", "ich9-ahci,id=sata"] if "sata" in buses else []
        argv += ["-device", "virtio-scsi-pci,id=scsi"] if "scsi" in buses else []
        for number, (path, bus) in enumerate(config.disks):
            form = "vpc" if str(path).endswith(".vhd") else "raw"
            device = {"virtio": "virtio-blk-pci", "scsi": "scsi-hd,bus=scsi.0",
                      "sata": f"ide-hd,bus=sata.{number}",
                      "ide": f"ide-hd,bus=ide.{number // 2},unit={number % 2}"}[bus]
            argv += ["-drive", f"if=none,id=d{number},format={form},file={path}",
                     "-device", f"{device},drive=d{number}"]
        # What every machine of Yado has: a guest's drivers wait for its drive even when it is empty.
        medium = f",format=raw,file={config.cdrom}" if config.cdrom else ""
        place = "sata.5" if config.cdrom_bus == "sata" else "ide.1"
        argv += ["-drive", f"if=none,id=cd,media=cdrom{medium}",
                 "-device", f"ide-cd,drive=cd,bus={place}",
                 "-device", "virtio-rng-pci", "-device", "virtio-balloon-pci",
                 "-device", "virtio-serial-pci"]
        if config.floppy:
            argv += ["-drive", f"if=floppy,format=raw,file={config.floppy}"]
        if config.boot:
            argv += ["-boot", self.BOOT[config.boot]]
        for number, net in enumerate(config.nets):
            if net.to != "nat":
                raise Unavailable(f"QEMU has no network '{net.to}'")
            user = f"user,id=n{number}"
            for forward in net.forwards:
                kind, host, port, guest = forward.split(":")
                user += f",hostfwd={kind}:{host}:{port}-:{guest}"
            user += f",tftp={net.tftp}" if net.tftp else ""
            user += f",bootfile={net.bootfile}" if net.bootfile else ""
            argv += ["-netdev", user, "-device", f"{self.NICS[net.model]},netdev=n{number}"
                     + (f",mac={net.mac}" if net.mac else "")]
        if config.debug_exit:
            argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
        return argv

    def connect(self):
        self.dial()
        self.read_line()  # its greeting
        self.execute("qmp_capabilities")

    def screen_lines(self):
        dump = self.folder / "screen"
        self.execute("pmemsave", val=0xB8000, size=0x8000, filename=str(dump))
        data = dump.read_bytes()[::2]
        # Where the screen starts in this memory only the chip knows: all of it is shown.
        return [data[row:row + 80].replace(b"\0", b" ").decode("cp437").rstrip()
                for row in range(0, len(data) - 79, 80)]

    def execute(self, name, **arguments):
        names = {"powerdown": "system_powerdown", "reset": "system_reset", "pause": "stop",
                 "resume": "cont"}
        return super().execute(names.get(name, name), **arguments)

    def send_keys(self, *keys):
        names = {"enter": "ret", "space": "spc", "escape": "esc"}
        for key in keys:
            codes = [{"type": "qcode", "data": names.get(part, part)} for part in key.split("-")]
            self.execute("send-key", keys=codes)
            self.pump(0.2)


BACKENDS = {"yado": Yado, "qemu": Qemu}
