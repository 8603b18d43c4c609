"""all-MiniLM-L6-v2 in plain Python, from its safetensors: what the vectors of a node must be.

Slow, and so for a few words at a time. Shares nothing with llama.cpp or with the GGUF writer but
the reader of the file.
"""

import json
import math
import operator
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from minilm_gguf import Safetensors  # noqa: E402


def dot(a, b):
    return sum(map(operator.mul, a, b))


def cosine(a, b):
    return dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))


def add(a, b):
    return list(map(operator.add, a, b))


def softmax(scores):
    top = max(scores)
    powers = [math.exp(score - top) for score in scores]
    total = sum(powers)
    return [power / total for power in powers]


def gelu(x):
    return 0.5 * x * (1 + math.erf(x / math.sqrt(2)))


class MiniLm:
    def __init__(self, folder):
        folder = pathlib.Path(folder)
        self.config = json.loads((folder / "config.json").read_text())
        tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        self.vocabulary = tokenizer["model"]["vocab"]
        self.weights = Safetensors(folder / "model.safetensors")

    def vector(self, name):
        return self.weights.tensor(name)[1]

    def rows(self, name):
        (_, width), floats = self.weights.tensor(name)
        return [floats[i:i + width] for i in range(0, len(floats), width)]

    def linear(self, name, inputs):
        rows, bias = self.rows(name + ".weight"), self.vector(name + ".bias")
        return [[dot(row, x) + b for row, b in zip(rows, bias)] for x in inputs]

    def norm(self, name, inputs):
        weight, bias = self.vector(name + ".weight"), self.vector(name + ".bias")
        result = []
        for x in inputs:
            mean = sum(x) / len(x)
            centred = [value - mean for value in x]
            variance = dot(centred, centred) / len(x)
            scale = 1 / math.sqrt(variance + self.config["layer_norm_eps"])
            result.append([c * scale * w + b for c, w, b in zip(centred, weight, bias)])
        return result

    def attention(self, layer, inputs):
        query, key, value = (self.linear(f"{layer}.attention.self.{part}", inputs)
                             for part in ("query", "key", "value"))
        heads = self.config["num_attention_heads"]
        size = self.config["hidden_size"] // heads
        result = [[] for _ in inputs]
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            columns = list(zip(*(v[part] for v in value)))
            for out, q in zip(result, query):
                shares = softmax([dot(q[part], k[part]) / math.sqrt(size) for k in key])
                out += [dot(shares, column) for column in columns]
        return result

    def tokens(self, words):
        """Only for words that the vocabulary has whole."""
        ids = [self.vocabulary[word] for word in words.split()]
        return [self.vocabulary["[CLS]"], *ids, self.vocabulary["[SEP]"]]

    def embed(self, words):
        """Mean of the last layer's outputs, not normalized."""
        table = self.rows("embeddings.word_embeddings.weight")
        places = self.rows("embeddings.position_embeddings.weight")
        kind = self.rows("embeddings.token_type_embeddings.weight")[0]
        state = [add(add(table[token], place), kind)
                 for token, place in zip(self.tokens(words), places)]
        state = self.norm("embeddings.LayerNorm", state)
        for number in range(self.config["num_hidden_layers"]):
            layer = f"encoder.layer.{number}"
            out = self.linear(f"{layer}.attention.output.dense", self.attention(layer, state))
            state = self.norm(f"{layer}.attention.output.LayerNorm", map(add, out, state))
            inner = [list(map(gelu, x))
                     for x in self.linear(f"{layer}.intermediate.dense", state)]
            out = self.linear(f"{layer}.output.dense", inner)
            state = self.norm(f"{layer}.output.LayerNorm", map(add, out, state))
        return [sum(column) / len(state) for column in zip(*state)]
