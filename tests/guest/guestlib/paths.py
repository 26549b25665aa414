# SPDX-License-Identifier: GPL-2.0-or-later
"""Where things lie, and locks on them: tests run side by side and share what they build."""
import contextlib
import fcntl
import hashlib
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
GUEST = ROOT / "tests" / "guest"
BUILD = pathlib.Path(os.environ.get("YADO_BUILD", ROOT / "build"))
IMAGES = BUILD / "guests"


def cache():
    """Downloads: they outlive a `make clean`, and several clones share them."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.environ.get("HOME", ""), ".cache")
    folder = pathlib.Path(base, "yado") if os.path.isabs(base) else BUILD / "guests" / "cache"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = BUILD / "guests" / "cache"
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def locked(path):
    """Hold an exclusive lock that goes with `path`."""
    path = pathlib.Path(path)
    path = path.with_name(f".{path.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def progress(text):
    print(text, file=sys.stderr, flush=True)


def digest_of(*paths):
    """One hash over names and contents, to know when something made from them is stale."""
    total = hashlib.sha256()
    for path in sorted(map(str, paths)):
        total.update(path.encode())
        total.update(pathlib.Path(path).read_bytes())
    return total.hexdigest()
