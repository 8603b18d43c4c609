"""A small projector that looks at images, and images: what it sees means nothing to a model, but
all that a real one does is done. LLaVA's: patches of 14 x 14, one layer that is used, two
matrices."""

import math
import pathlib
import random
import struct
import sys
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
from make_gguf import ARRAY, BOOL, F32, STRING, U32, Gguf, array  # noqa: E402

TENSOR_F32 = 0
SIDE, PATCH, WIDTH, HEADS, INNER, LAYERS = 56, 14, 32, 2, 64, 2  # The last layer is never used.
SMOLLM2_WIDTH = 576
TOKENS = (SIDE // PATCH) ** 2  # That an image takes of a prompt.


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
    gguf = Gguf().add("general.architecture", STRING, "clip").add("general.type", STRING, "mmproj")
    gguf.add("clip.projector_type", STRING, "mlp")
    gguf.add("clip.has_vision_encoder", BOOL, 1).add("clip.use_gelu", BOOL, 1)
    for key, number in (("image_size", SIDE), ("patch_size", PATCH), ("embedding_length", WIDTH),
                        ("feed_forward_length", INNER), ("block_count", LAYERS),
                        ("projection_dim", model_width), ("attention.head_count", HEADS)):
        gguf.add(f"clip.vision.{key}", U32, number)
    gguf.add("clip.vision.attention.layer_norm_epsilon", F32, 1e-5)
    for key in ("image_mean", "image_std"):
        gguf.add(f"clip.vision.{key}", ARRAY, array(F32, [0.5, 0.5, 0.5]))
    for name, (shape, spread) in tensors(model_width).items():
        numbers = [1.0 if spread is None else chance.gauss(0, spread)
                   for _ in range(math.prod(shape))]
        gguf.tensor(name, shape, TENSOR_F32, weights=struct.pack(f"<{len(numbers)}f", *numbers))
    pathlib.Path(path).write_bytes(gguf.bytes())


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
