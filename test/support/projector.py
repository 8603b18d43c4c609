"""A small projector that looks at images, and images: what it sees means nothing to a model, but
all that a real one does is done. LLaVA's: patches of 14 x 14, one layer that is used, two
matrices."""

import random
import struct
import zlib

SIDE, PATCH, WIDTH, HEADS, INNER, LAYERS = 56, 14, 32, 2, 64, 2  # The last layer is never used.
SMOLLM2_WIDTH = 576
TOKENS = (SIDE // PATCH) ** 2  # That an image takes of a prompt.
UINT32, FLOAT32, BOOL, STRING, ARRAY = 4, 6, 7, 8, 9
ALIGNMENT = 32


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def entry(key, value):
    if isinstance(value, bool):
        told = struct.pack("<IB", BOOL, value)
    elif isinstance(value, int):
        told = struct.pack("<II", UINT32, value)
    elif isinstance(value, float):
        told = struct.pack("<If", FLOAT32, value)
    elif isinstance(value, str):
        told = struct.pack("<I", STRING) + text(value)
    else:
        told = struct.pack(f"<IIQ{len(value)}f", ARRAY, FLOAT32, len(value), *value)
    return text(key) + told


def tensors(model_width):
    """By name: its shape, and the spread of its numbers around 0, or 1 for those of norms."""
    shapes = {"v.patch_embd.weight": ((PATCH, PATCH, 3, WIDTH), 0.1),
              "v.position_embd.weight": ((WIDTH, TOKENS), 0.5),
              "mm.0.weight": ((WIDTH, model_width), 0.3), "mm.0.bias": ((model_width,), 0.1),
              "mm.2.weight": ((model_width, model_width), 0.1), "mm.2.bias": ((model_width,), 0.1)}
    for layer in range(LAYERS):
        for norm in ("ln1", "ln2"):
            shapes[f"v.blk.{layer}.{norm}.weight"] = ((WIDTH,), None)
            shapes[f"v.blk.{layer}.{norm}.bias"] = ((WIDTH,), 0.1)
        for matrix in ("attn_q", "attn_k", "attn_v", "attn_out"):
            shapes[f"v.blk.{layer}.{matrix}.weight"] = ((WIDTH, WIDTH), 0.3)
        shapes[f"v.blk.{layer}.ffn_up.weight"] = ((WIDTH, INNER), 0.3)
        shapes[f"v.blk.{layer}.ffn_down.weight"] = ((INNER, WIDTH), 0.3)
    return shapes


def write_projector(path, model_width):
    """`model_width`: the embedding length of the model that it goes with."""
    chance = random.Random(1)
    facts = {"general.architecture": "clip", "general.type": "mmproj", "general.file_type": 0,
             "clip.has_vision_encoder": True, "clip.projector_type": "mlp", "clip.use_gelu": True,
             "clip.vision.image_size": SIDE, "clip.vision.patch_size": PATCH,
             "clip.vision.embedding_length": WIDTH, "clip.vision.feed_forward_length": INNER,
             "clip.vision.block_count": LAYERS, "clip.vision.projection_dim": model_width,
             "clip.vision.attention.head_count": HEADS,
             "clip.vision.attention.layer_norm_epsilon": 1e-5,
             "clip.vision.image_mean": (0.5, 0.5, 0.5), "clip.vision.image_std": (0.5, 0.5, 0.5)}
    shapes = tensors(model_width)
    header = struct.pack("<4sIQQ", b"GGUF", 3, len(shapes), len(facts))
    header += b"".join(entry(key, value) for key, value in facts.items())
    data = b""
    for name, (shape, spread) in shapes.items():
        header += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, len(data))
        count = 1
        for side in shape:
            count *= side
        numbers = [1.0 if spread is None else chance.gauss(0, spread) for _ in range(count)]
        data += struct.pack(f"<{count}f", *numbers)
        data += b"\0" * (-len(data) % ALIGNMENT)
    with open(path, "wb") as file:
        file.write(header + b"\0" * (-len(header) % ALIGNMENT) + data)


def red():
    return png(lambda x, y: (255, 0, 0))


def stripes():
    return png(lambda x, y: (4 * x % 256, 4 * y % 256, 128))


def png(color_at, side=SIDE):
    """`color_at(x, y)`: red, green and blue there, each of 0 to 255."""
    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data
                + struct.pack(">I", zlib.crc32(kind + data)))
    lines = b"".join(b"\0" + b"".join(bytes(color_at(x, y)) for x in range(side))
                     for y in range(side))
    size = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size)
            + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))
