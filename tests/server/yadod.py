# SPDX-License-Identifier: GPL-2.0-or-later
"""A yadod of one's own for a test, and requests to it."""
import base64
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time


# How long is waited for a guest, or for an answer. An emulated host (tests/guest/on-kvm) takes its time.
SLOW = 10 if os.environ.get("YADO_SLOW_HOST") else 1
SUPPRESSIONS = f"suppressions={pathlib.Path(__file__).parent / 'lsan.supp'}:print_suppressions=0"


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60 * SLOW)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(60 * SLOW)
        self.sock.connect(self.path)


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.data = response.read()

    @property
    def json(self):
        return json.loads(self.data)


class WebSocket:
    """A client's end (RFC 6455) over the API's socket."""

    def __init__(self, path, where, protocol):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall((f"GET /api/v1{where} HTTP/1.1\r\nHost: localhost\r\n"
                             "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                             f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
                             f"Sec-WebSocket-Protocol: {protocol}\r\n\r\n").encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._exactly(1)
        self.status = int(head.split()[1])
        if self.status != 101:
            raise OSError(f"{where}: {head.decode(errors='replace')}")

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise ConnectionError("the WebSocket was closed")
            data += part
        return data

    def send(self, data, opcode=2):
        mask = os.urandom(4)
        length = struct.pack(">B", 0x80 | len(data)) if len(data) < 126 else \
            struct.pack(">BH", 0x80 | 126, len(data))
        self.socket.sendall(bytes([0x80 | opcode]) + length + mask
                            + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))

    def receive(self, seconds=60):
        """The next message, pings answered."""
        self.socket.settimeout(seconds)
        message = b""
        while True:
            first, second = self._exactly(2)
            length = second & 0x7f
            if length == 126:
                length = struct.unpack(">H", self._exactly(2))[0]
            elif length == 127:
                length = struct.unpack(">Q", self._exactly(8))[0]
            data = self._exactly(length)
            if first & 0x0f == 9:
                self.send(data, 10)
            elif first & 0x0f == 8:
                raise ConnectionError("the WebSocket was closed")
            elif first & 0x0f != 10:
                message += data
                if first & 0x80:
                    return message

    def close(self):
        self.socket.close()


class Console:
    """A machine's serial line."""

    def __init__(self, server, machine):
        self.socket = WebSocket(server.socket, f"/machines/{machine}/serial", "binary")
        self.text = ""
        self.at = 0

    def expect(self, text, seconds=120):
        end = time.monotonic() + seconds * SLOW
        while text not in self.text[self.at:]:
            left = end - time.monotonic()
            assert left > 0, f"no {text!r} in {self.text[self.at:][-2000:]!r}"
            try:
                self.text += self.socket.receive(left).decode(errors="replace")
            except TimeoutError:
                pass
        self.at = self.text.index(text, self.at) + len(text)

    def run(self, command, answer, seconds=120):
        """A command of the guest's shell, and what must come of it."""
        self.socket.send(f"{command}\n".encode())
        self.expect(answer, seconds)

    def close(self):
        self.socket.close()


class Server:
    """Starts in a fresh folder, which goes with it."""

    def __init__(self, program):
        self.program = str(pathlib.Path(program).resolve())
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="yado-test-"))
        self.state = self.folder / "state"
        self.socket = str(self.state / "run" / "api")
        self.process = None
        self.start()

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [self.program, "--foreground", "--state", str(self.state)], stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, env=dict(os.environ, LSAN_OPTIONS=SUPPRESSIONS))
        for _ in range(1000):
            try:
                self.request("GET", "/session")
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.02)
        raise AssertionError(f"yadod does not answer:\n{self.log()}")

    def log(self):
        return (self.folder / "log").read_text(errors="replace")[-20000:]

    def kill(self):
        """As a crash does it."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        return self.process.wait(60)

    def request(self, method, path, body=None, headers=None, raw=None):
        connection = Connection(self.socket)
        headers = dict(headers or {})
        if body is not None:
            raw = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, "/api/v1" + path, raw, headers)
            return Answer(connection.getresponse())
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    def get(self, path, **kwargs):
        answer = self.request("GET", path, **kwargs)
        assert answer.status == 200, (path, answer.status, answer.data)
        return answer.json

    def act(self, machine, action, body=None, state="done"):
        """An action to its end; the task."""
        answer = self.request("POST", f"/machines/{machine}/{action}", body, {"Prefer": "wait=60"})
        assert answer.status == 202, (action, answer.status, answer.data)
        task, end = answer.json, time.monotonic() + 60 * SLOW
        while task["state"] == "running" and time.monotonic() < end:
            time.sleep(0.2)
            task = self.get(f"/tasks/{task['id']}")
        assert task["state"] == state, task
        return task

    def open(self, where, protocol="binary"):
        return WebSocket(self.socket, where, protocol)

    def wait_for(self, machine, state):
        for _ in range(3000 * SLOW):
            now = self.get(f"/machines/{machine}")
            if now["state"] == state:
                return now
            time.sleep(0.02)
        raise AssertionError(f"{machine} is {now['state']}, not {state}\n{self.log()}")

    def create(self, name, **definition):
        answer = self.request("POST", "/machines", {"definition": dict(definition, name=name)})
        assert answer.status == 201, (answer.status, answer.data)
        return answer.json

    def kinds(self, **query):
        return [event["kind"] for event in self.get("/events?limit=1000")["events"]]

    def done(self):
        """End the server and whatever machines it has left."""
        try:
            if self.process.poll() is not None:
                self.start()
            for machine in self.get("/machines")["machines"]:
                if machine["state"] not in ("off", "saved"):
                    self.request("POST", f"/machines/{machine['id']}/turn-off", None,
                                 {"Prefer": "wait=30"})
            for network in self.get("/networks")["networks"]:
                for machine in network["machines"]:
                    self.request("DELETE", f"/machines/{machine['id']}", None,
                                 {"Prefer": "wait=30"})
                self.request("DELETE", f"/networks/{network['name']}")
            status = self.stop()
            if status:
                print(self.log())
            return status
        except OSError:
            print(self.log())
            return -1
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            shutil.rmtree(self.folder, ignore_errors=True)
