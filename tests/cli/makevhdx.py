# SPDX-License-Identifier: GPL-2.0-or-later
"""VHDX files for tests, which no tool of Debian writes: differencing ones, and with a log.

Written by [MS-VHDX]; one chunk, blocks of 1 MiB, logical sectors of 512 bytes.
"""
import struct
import uuid

MIB = 1 << 20
BAT = uuid.UUID("2DC27766-F623-4200-9D64-115E9BFD4A08")
METADATA = uuid.UUID("8B7CA206-4790-4B9A-B8FE-575F050F886E")
PARAMETERS = uuid.UUID("CAA16737-FA36-4D43-B3B6-33F0AA44E76B")
SIZE = uuid.UUID("2FA54224-CD1B-4876-B211-5DBED83BF4B8")
LOGICAL = uuid.UUID("8141BF1D-A96F-4709-BA47-F233A8FAAB5F")
LOCATOR = uuid.UUID("A8D35F2D-B30B-454D-ABF7-D3D84834AB0C")
LOCATOR_TYPE = uuid.UUID("B04AEFB7-D19E-4A81-B789-25B8E9445913")
LOG_AT, METADATA_AT, BAT_AT, DATA_AT = MIB, 2 * MIB, 3 * MIB, 4 * MIB
CHUNK_BITMAP = MIB
RATIO = (1 << 23) * 512 // MIB
FULL, PARTIAL = 6, 7
TABLE = []
for _n in range(256):
    for _ in range(8):
        _n = _n >> 1 ^ (0x82F63B78 if _n & 1 else 0)
    TABLE.append(_n)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def sealed(data):
    """With its checksum, which is at byte 4 of every structure."""
    return data[:4] + struct.pack("<I", crc32c(data[:4] + bytes(4) + data[8:])) + data[8:]


def header(sequence, data_id, log_id):
    raw = b"head" + struct.pack("<IQ", 0, sequence) + uuid.uuid4().bytes_le + data_id.bytes_le
    raw += (log_id.bytes_le if log_id else bytes(16)) + struct.pack("<HHIQ", 0, 1, MIB, LOG_AT)
    return sealed(raw.ljust(4096, b"\0"))


def locator(pairs):
    """2.6.2.6: keys and values as UTF-16 behind their table."""
    table, text = b"", b""
    for key, value in pairs:
        key, value = key.encode("utf-16-le"), value.encode("utf-16-le")
        at = 20 + 12 * len(pairs) + len(text)
        table += struct.pack("<IIHH", at, at + len(key), len(key), len(value))
        text += key + value
    return LOCATOR_TYPE.bytes_le + struct.pack("<HH", 0, len(pairs)) + table + text


def metadata(size, pairs):
    items = [(PARAMETERS, struct.pack("<II", MIB, 2 if pairs else 0)),
             (SIZE, struct.pack("<Q", size)), (LOGICAL, struct.pack("<I", 512))]
    if pairs:
        items.append((LOCATOR, locator(pairs)))
    table, body = b"metadata" + struct.pack("<HH", 0, len(items)) + bytes(20), b""
    for name, value in items:
        table += name.bytes_le + struct.pack("<IIII", 65536 + len(body), len(value), 4, 0)
        body += value
    return table.ljust(65536, b"\0") + body


def log_entry(log_id, sequence, tail, size, changes):
    """2.3.1: changes are (place in the file, 4096 bytes or a number of zeroes)."""
    descriptors, data = b"", b""
    for at, what in changes:
        if isinstance(what, int):
            descriptors += b"zero" + struct.pack("<IQQQ", 0, what, at, sequence)
            continue
        descriptors += b"desc" + what[-4:] + what[:8] + struct.pack("<QQ", at, sequence)
        data += b"data" + struct.pack("<I", sequence >> 32) + what[8:-4]
        data += struct.pack("<I", sequence & 0xFFFFFFFF)
    length = 64 + len(descriptors)
    head = b"loge" + struct.pack("<IIIQII", 0, -(-length // 4096) * 4096 + len(data), tail,
                                 sequence, len(changes), 0)
    head += log_id.bytes_le + struct.pack("<QQ", size, size)
    return sealed((head + descriptors).ljust(-(-length // 4096) * 4096, b"\0") + data)


def make(path, size, blocks, data_id, parent=(), log=None):
    """blocks: number → (state, 1 MiB of data, bitmap or None)."""
    bat = {n: state | (DATA_AT + MIB * (1 + i)) // MIB << 20
           for i, (n, (state, _, _)) in enumerate(sorted(blocks.items()))}
    bat[RATIO] = FULL | DATA_AT // MIB << 20
    regions = b"regi" + struct.pack("<III", 0, 2, 0)
    regions += BAT.bytes_le + struct.pack("<QII", BAT_AT, MIB, 1)
    regions += METADATA.bytes_le + struct.pack("<QII", METADATA_AT, MIB, 1)
    with open(path, "wb") as file:
        def put(at, data):
            file.seek(at)
            file.write(data)
        put(0, b"vhdxfile")
        log_id = uuid.uuid4() if log else None
        put(65536, header(7, data_id, None))
        put(131072, header(8, data_id, log_id))
        put(196608, sealed(regions.ljust(65536, b"\0")))
        put(METADATA_AT, metadata(size, list(parent)))
        for n, entry in bat.items():
            put(BAT_AT + 8 * n, struct.pack("<Q", entry))
        for i, (n, (_, data, bitmap)) in enumerate(sorted(blocks.items())):
            put(DATA_AT + MIB * (1 + i), data)
            if bitmap:
                put(DATA_AT + n * MIB // 512 // 8, bitmap)
        file.truncate(DATA_AT + MIB * (1 + len(blocks)))
        if log:
            log(put, log_id, DATA_AT + MIB * (1 + len(blocks)))
