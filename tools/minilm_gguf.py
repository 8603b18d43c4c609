#!/usr/bin/env python3
"""Makes a GGUF file of all-MiniLM-L6-v2: a real embedding model for tests and a first try.

    tools/minilm_gguf.py FOLDER FILE

FOLDER holds model.safetensors, config.json, tokenizer.json and 1_Pooling/config.json. Needs the
standard library only, so that no machine learning framework has to be installed for one small
model. The same folder gives the same bytes. Formats: the documents of safetensors and
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""
import array
import json
import pathlib
import struct
import sys

from make_gguf import ARRAY, BOOL, F32, I32, STRING, U32, Gguf
from make_gguf import array as gguf_array

TENSOR_F32, TENSOR_F16 = 0, 1
FILE_MOSTLY_F16 = 1
TOKEN_NORMAL, TOKEN_CONTROL = 1, 3
POOLING_MEAN = 1

# Where llama.cpp keeps what the file calls "embeddings.X", and in each layer "encoder.layer.N.X".
EMBEDDINGS = {
    "word_embeddings": "token_embd",
    "position_embeddings": "position_embd",
    "token_type_embeddings": "token_types",
    "LayerNorm": "token_embd_norm",
}
LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
# Looked up, not multiplied with: small, so they keep their precision.
KEPT_F32 = ("position_embd", "token_types")


class Safetensors:
    """Tensors of F32, by name: (shape, array of floats)."""

    def __init__(self, path):
        data = pathlib.Path(path).read_bytes()
        (length,) = struct.unpack_from("<Q", data)
        self.header = json.loads(data[8:8 + length])
        self.header.pop("__metadata__", None)
        self.body = memoryview(data)[8 + length:]

    def names(self):
        return sorted(self.header)

    def tensor(self, name):
        entry = self.header[name]
        if entry["dtype"] != "F32":
            raise ValueError(f"{name} is {entry['dtype']}, not F32")
        begin, end = entry["data_offsets"]
        floats = array.array("f", self.body[begin:end].tobytes())
        if sys.byteorder == "big":
            floats.byteswap()
        return entry["shape"], floats


def gguf_name(name):
    """None for what an embedding does not need: the position ids and the pooler's head."""
    stem, part = name.rsplit(".", 1)
    if stem.startswith("embeddings.") and part in ("weight", "bias"):
        return f"{EMBEDDINGS[stem.removeprefix('embeddings.')]}.{part}"
    if stem.startswith("encoder.layer."):
        number, place = stem.removeprefix("encoder.layer.").split(".", 1)
        return f"blk.{number}.{LAYER[place]}.{part}"
    return None


def add_tokenizer(gguf, tokenizer):
    model = tokenizer["model"]
    if model["type"] != "WordPiece":
        raise ValueError(f"the tokenizer is {model['type']}, not WordPiece")
    vocabulary = sorted(model["vocab"], key=model["vocab"].get)
    control = {token["content"] for token in tokenizer["added_tokens"] if token["special"]}

    def phantom(token):
        # llama.cpp marks the begin of a word and not, as WordPiece does, its continuation.
        if token in control:
            return token
        return token[2:] if token.startswith("##") else "\u2581" + token
    kinds = [TOKEN_CONTROL if token in control else TOKEN_NORMAL for token in vocabulary]
    gguf.add("tokenizer.ggml.model", STRING, "bert")
    gguf.add("tokenizer.ggml.pre", STRING, "bert-bge")
    gguf.add("tokenizer.ggml.token_type_count", U32, 2)
    gguf.add("tokenizer.ggml.tokens", ARRAY,
             gguf_array(STRING, [phantom(token) for token in vocabulary]))
    gguf.add("tokenizer.ggml.token_type", ARRAY, gguf_array(I32, kinds))
    for key, token in (("unknown", "[UNK]"), ("seperator", "[SEP]"), ("padding", "[PAD]"),
                       ("cls", "[CLS]"), ("mask", "[MASK]")):
        gguf.add(f"tokenizer.ggml.{key}_token_id", U32, model["vocab"][token])


def convert(folder):
    folder = pathlib.Path(folder)
    config = json.loads((folder / "config.json").read_text())
    pooling = json.loads((folder / "1_Pooling/config.json").read_text())
    if config["model_type"] != "bert" or not pooling["pooling_mode_mean_tokens"]:
        raise ValueError("this converts BERT models with mean pooling only")
    gguf = Gguf()
    gguf.add("general.architecture", STRING, "bert").add("general.type", STRING, "model")
    gguf.add("general.name", STRING, "all-MiniLM-L6-v2")
    gguf.add("general.file_type", U32, FILE_MOSTLY_F16)
    for key, source in (("block_count", "num_hidden_layers"),
                        ("context_length", "max_position_embeddings"),
                        ("embedding_length", "hidden_size"),
                        ("feed_forward_length", "intermediate_size"),
                        ("attention.head_count", "num_attention_heads")):
        gguf.add("bert." + key, U32, config[source])
    gguf.add("bert.attention.layer_norm_epsilon", F32, config["layer_norm_eps"])
    gguf.add("bert.attention.causal", BOOL, False).add("bert.pooling_type", U32, POOLING_MEAN)
    add_tokenizer(gguf, json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")))

    weights = Safetensors(folder / "model.safetensors")
    for source in weights.names():
        name = gguf_name(source)
        if name is None:
            continue
        shape, floats = weights.tensor(source)
        half = len(shape) > 1 and not name.startswith(KEPT_F32)
        kind, letter = (TENSOR_F16, "e") if half else (TENSOR_F32, "f")
        # GGUF counts dimensions from the innermost one.
        packed = struct.pack(f"<{len(floats)}{letter}", *floats)
        gguf.tensor(name, shape[::-1], kind, weights=packed)
    return gguf.bytes()


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    pathlib.Path(sys.argv[2]).write_bytes(convert(sys.argv[1]))


if __name__ == "__main__":
    main()
