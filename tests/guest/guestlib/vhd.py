# SPDX-License-Identifier: GPL-2.0-or-later
"""Write a raw image as a dynamic VHD (Virtual Hard Disk Image Format Specification 1.0).

On purpose no code of the project: the tests' disks come from an independent hand. The same bytes
in give the same file out.
"""
import os
import struct
import uuid

SECTOR = 512
BLOCK = 2 << 20
ALL_ONES = 0xFFFFFFFFFFFFFFFF
# 2024-01-01 in seconds since 2000-01-01.
TIME_STAMP = 1704067200 - 946684800


def geometry(sectors):
    """Cylinders, heads, sectors per track; the appendix of the specification."""
    sectors = min(sectors, 65535 * 16 * 255)
    if sectors >= 65535 * 16 * 63:
        return sectors // 255 // 16, 16, 255
    per_track = 17
    cth = sectors // per_track
    heads = max(4, (cth + 1023) // 1024)
    if cth >= heads * 1024 or heads > 16:
        per_track, heads = 31, 16
        cth = sectors // per_track
    if cth >= heads * 1024:
        per_track, heads = 63, 16
        cth = sectors // per_track
    return cth // heads, heads, per_track


def good_size(size_bytes):
    """The next size up that is its own geometry's product: every program reads such a disk whole."""
    sectors = (size_bytes + SECTOR - 1) // SECTOR
    while True:
        cylinders, heads, per_track = geometry(sectors)
        if cylinders * heads * per_track == sectors:
            return sectors * SECTOR
        sectors += 1


def with_checksum(data, offset):
    total = ~(sum(data) - sum(data[offset:offset + 4])) & 0xFFFFFFFF
    return data[:offset] + struct.pack(">I", total) + data[offset + 4:]


def footer(size_bytes, kind, data_offset, identity):
    cylinders, heads, per_track = geometry(size_bytes // SECTOR)
    data = struct.pack(">8sIIQI4sI4sQQHBBII16sB427x", b"conectix", 2, 0x00010000, data_offset,
                       TIME_STAMP, b"yado", 0x00010000, b"Wi2k", size_bytes, size_bytes,
                       cylinders, heads, per_track, kind, 0, identity, 0)
    return with_checksum(data, 64)


def header(table_offset, entries):
    data = struct.pack(">8sQQIIII16sII704x256x", b"cxsparse", ALL_ONES, table_offset, 0x00010000,
                       entries, BLOCK, 0, bytes(16), 0, 0)
    return with_checksum(data, 36)


def write_dynamic(raw_path, vhd_path):
    """Blocks of zeros are left out; the bitmap of a block that is there has every bit set."""
    size_bytes = os.path.getsize(raw_path)
    if size_bytes != good_size(size_bytes):
        raise ValueError(f"{raw_path}: size is not a product of a disk geometry")
    entries = (size_bytes + BLOCK - 1) // BLOCK
    table_bytes = (entries * 4 + SECTOR - 1) // SECTOR * SECTOR
    identity = uuid.uuid5(uuid.NAMESPACE_URL, os.path.basename(vhd_path)).bytes
    end = footer(size_bytes, 3, SECTOR, identity)
    table = []
    with open(raw_path, "rb") as raw, open(vhd_path, "wb") as vhd:
        vhd.seek(SECTOR + 1024 + table_bytes)
        for _ in range(entries):
            data = raw.read(BLOCK)
            if not data.strip(b"\0"):
                table.append(0xFFFFFFFF)
                continue
            # Data 4 KiB aligned, so the one-sector bitmap lies at the last sector of 4 KiB.
            here = (vhd.tell() + SECTOR + 4095) // 4096 * 4096 - SECTOR
            vhd.seek(here)
            table.append(here // SECTOR)
            vhd.write(b"\xff" * SECTOR + data.ljust(BLOCK, b"\0"))
        vhd.write(end)
        vhd.seek(0)
        vhd.write(end + header(SECTOR + 1024, entries))
        packed = b"".join(struct.pack(">I", entry) for entry in table)
        vhd.write(packed.ljust(table_bytes, b"\xff"))
