#!/usr/bin/env python3
"""Writes tiny GGUF files, valid and lying ones: seeds for gguf_fuzz and input for tests by hand.

    tools/make_gguf.py DIRECTORY

Needs the standard library only. The valid ones carry real tensor tables and zeroed weights, but
no model runs from them. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""
import pathlib
import struct
import sys

U8, U32, I32, F32, BOOL, STRING, ARRAY, U64 = 0, 4, 5, 6, 7, 8, 9, 10
PACK = {U8: "<B", U32: "<I", I32: "<i", F32: "<f", BOOL: "<B", U64: "<Q"}
# Elements and bytes of one block: F32, F16, Q4_0, Q8_0, Q4_K.
BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 8: (32, 34), 12: (256, 144)}


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind, content):
    return string(content) if kind == STRING else struct.pack(PACK[kind], content)


def array(kind, items, count=None):
    """`count` may lie."""
    head = struct.pack("<IQ", kind, len(items) if count is None else count)
    return head + b"".join(value(kind, item) for item in items)


class Gguf:
    def __init__(self, version=3, alignment=32):
        self.version, self.alignment = version, alignment
        self.keys, self.tensors, self.data = [], [], bytearray()

    def add(self, key, kind, content):
        body = content if kind == ARRAY else value(kind, content)
        self.keys.append(string(key) + struct.pack("<I", kind) + body)
        return self

    def tensor(self, name, shape, kind, offset=None, weights=None):
        """Zeros without `weights`. The offset may lie; then nothing is written."""
        elements = 1
        for length in shape:
            elements *= length
        if offset is None:
            self.data += b"\0" * (-len(self.data) % self.alignment)
            offset = len(self.data)
            per_block, size = BLOCKS[kind]
            length = elements // per_block * size
            if weights is not None and len(weights) != length:
                raise ValueError(f"{name}: {len(weights)} bytes for {length}")
            self.data += bytes(length) if weights is None else weights
        self.tensors.append(string(name) + struct.pack("<I", len(shape)) +
                            b"".join(struct.pack("<Q", length) for length in shape) +
                            struct.pack("<IQ", kind, offset))
        return self

    def bytes(self, key_count=None, tensor_count=None):
        head = b"GGUF" + struct.pack("<IQQ", self.version,
                                     len(self.tensors) if tensor_count is None else tensor_count,
                                     len(self.keys) if key_count is None else key_count)
        head += b"".join(self.keys) + b"".join(self.tensors)
        if self.data:
            head += b"\0" * (-len(head) % self.alignment)
        return head + bytes(self.data)


def model(architecture="gemma3", **options):
    gguf = Gguf(**options)
    own = architecture + "."
    gguf.add("general.architecture", STRING, architecture).add("general.name", STRING, "Tiny")
    for key, number in (("block_count", 2), ("context_length", 128), ("embedding_length", 32),
                        ("feed_forward_length", 64), ("attention.head_count", 2),
                        ("attention.head_count_kv", 1), ("attention.sliding_window", 16)):
        gguf.add(own + key, U32, number)
    gguf.add(own + "rope.freq_base", F32, 10000.0)
    gguf.add("tokenizer.ggml.tokens", ARRAY, array(STRING, ["<pad>", "<eos>", "<bos>", "a"]))
    gguf.add("tokenizer.ggml.scores", ARRAY, array(F32, [0.0, 0.0, 0.0, -1.5]))
    gguf.add("tokenizer.ggml.bos_token_id", U32, 2).add("tokenizer.ggml.eos_token_id", U32, 1)
    gguf.add("tokenizer.ggml.add_bos_token", BOOL, 1)
    gguf.add("tokenizer.chat_template", STRING, "{{ messages[0].content }}")
    gguf.add("general.file_type", U32, 2)
    gguf.tensor("token_embd.weight", [32, 4], 0).tensor("blk.0.attn_q.weight", [32, 32], 2)
    return gguf.tensor("blk.1.ffn_up.weight", [256, 2], 12)


def files():
    huge = 1 << 62
    yield "valid_v3", model().bytes()
    yield "valid_v2", model(version=2).bytes()
    yield "valid_llama", model("llama").bytes()
    yield "valid_empty", Gguf().bytes()
    encoder = Gguf().add("general.architecture", STRING, "bert")
    yield "valid_encoder", encoder.add("bert.pooling_type", U32, 1).bytes()
    projector = Gguf().add("general.architecture", STRING, "clip")
    projector.add("clip.has_vision_encoder", BOOL, 1).add("general.type", STRING, "mmproj")
    yield "valid_projector", projector.tensor("v.patch_embd.weight", [4, 4], 1).bytes()
    wide = Gguf(alignment=64).add("general.alignment", U32, 64)
    yield "valid_alignment_64", wide.tensor("t", [8], 0).tensor("u", [8], 0).bytes()
    per_layer = model("gemma4").add("gemma4.attention.sliding_window_pattern", ARRAY,
                                    array(BOOL, [1, 0]))
    yield "valid_pattern", per_layer.bytes()
    yield "lying_version_1", model(version=1).bytes()
    yield "lying_big_endian", model(version=3 << 24).bytes()
    yield "lying_key_count", model().bytes(key_count=huge)
    yield "lying_key_count_by_one", model().bytes(key_count=len(model().keys) + 1)
    yield "lying_tensor_count", model().bytes(tensor_count=huge)
    yield "lying_array_count", Gguf().add("a", ARRAY, array(U32, [1], huge)).bytes()
    yield "lying_string_array", Gguf().add("a", ARRAY, array(STRING, ["x"], 3)).bytes()
    yield "lying_nested_array", Gguf().add("a", ARRAY, struct.pack("<IQ", ARRAY, 1) +
                                           array(U8, [1])).bytes()
    yield "lying_alignment", Gguf().add("general.alignment", U32, 3).tensor("t", [8], 0).bytes()
    yield "lying_dimensions", Gguf().tensor("t", [1 << 40, 1 << 40], 0, offset=0).bytes()
    yield "lying_offset", Gguf().tensor("t", [8], 0, offset=1 << 20).bytes()
    yield "lying_block", Gguf().tensor("t", [33], 2, offset=0).bytes()
    yield "lying_twice", Gguf().add("a", U8, 1).add("a", U8, 2).bytes()
    yield "cut_in_keys", model().bytes()[:200]
    yield "cut_in_data", model().bytes()[:-8]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for name, data in files():
        (directory / (name + ".gguf")).write_bytes(data)


if __name__ == "__main__":
    main()
