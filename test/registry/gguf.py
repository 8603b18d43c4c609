"""Makes GGUF files for tests: a sound header and as many bytes of weights as wanted."""

import os
import struct


def _text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def _entry(key, kind, data):
    return _text(key) + struct.pack("<I", kind) + data


def make(path, weight_bytes):
    """Writes a GGUF of architecture llama with random weights; returns nothing."""
    rows = weight_bytes // (4 * 1024)
    keys = [
        _entry("general.architecture", 8, _text("llama")),
        _entry("general.file_type", 4, struct.pack("<I", 0)),
        _entry("llama.context_length", 4, struct.pack("<I", 512)),
        _entry("llama.block_count", 4, struct.pack("<I", 1)),
        _entry("llama.embedding_length", 4, struct.pack("<I", 1024)),
    ]
    header = b"GGUF" + struct.pack("<IQQ", 3, 1, len(keys)) + b"".join(keys)
    header += _text("token_embd.weight") + struct.pack("<IQQIQ", 2, 1024, rows, 0, 0)
    header += b"\0" * (-len(header) % 32)
    with open(path, "wb") as file:
        file.write(header)
        left = rows * 4 * 1024
        while left > 0:
            file.write(os.urandom(min(left, 1 << 20)))
            left -= min(left, 1 << 20)
