#!/usr/bin/env python3
"""A real node with a real embedding model: vectors, their limits, and what is refused."""

import base64
import concurrent.futures
import hashlib
import math
import os
import pathlib
import signal
import struct
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from support import cases  # noqa: E402
from support.node import CACHE, MODELS, ROOT, HttpError, Node  # noqa: E402
from support.node_case import NodeCase  # noqa: E402
from reference import MiniLm, cosine, dot  # noqa: E402

sys.path.insert(0, str(ROOT / "tools"))
import minilm_gguf  # noqa: E402

MODEL, CHAT_MODEL = "all-minilm", "smollm2:135m"
FOLDER = CACHE / "models/all-minilm-l6-v2"
WIDTH, CONTEXT = 384, 512
SENTENCE = "the cat sits outside in the garden"
LONG = "word " * 3000
NOT_AN_EMBEDDER = f'"{CHAT_MODEL}" is not an embedding model'


def length(vector):
    return math.sqrt(dot(vector, vector))


class Embeddings(NodeCase):
    models = (MODEL, CHAT_MODEL)

    def embed(self, text, **more):
        return self.node.post("/api/embed", {"model": MODEL, "input": text, **more})

    def vector(self, text, **more):
        return self.embed(text, **more)["embeddings"][0]

    def refused(self, path, body):
        with self.assertRaises(HttpError) as caught:
            self.node.post(path, body)
        return caught.exception

    def assert_same(self, one, other):
        """Batches are computed together, so the last digits may differ."""
        self.assertEqual(len(one), len(other))
        self.assertGreater(cosine(one, other), 0.99999)

    def test_agrees_with_the_model_computed_in_plain_python(self):
        model = MiniLm(FOLDER)
        reference = model.embed(SENTENCE)
        reply = self.embed(SENTENCE)
        self.assertEqual(reply["prompt_eval_count"], len(model.tokens(SENTENCE)))
        self.assertGreater(cosine(reply["embeddings"][0], reference), 0.9999)
        raw = self.node.post("/api/embeddings", {"model": MODEL, "prompt": SENTENCE})["embedding"]
        self.assertAlmostEqual(length(raw) / length(reference), 1, delta=0.01)

    def test_sentences_that_mean_the_same_are_near(self):
        cat, kitten, tax = self.embed([
            "A cat is sitting on the sofa.", "A kitten sits on a couch.",
            "The tax return is due in April."])["embeddings"]
        self.assertGreater(cosine(cat, kitten), 0.6)
        self.assertLess(cosine(cat, tax), 0.2)
        question, answer, other = self.embed([
            "How many people live in Berlin?", "Berlin has a population of 3.5 million.",
            "Bananas are rich in potassium."])["embeddings"]
        self.assertGreater(cosine(question, answer), 0.6)
        self.assertLess(cosine(question, other), 0.2)

    def test_letters_of_either_case_and_accents_are_the_same_tokens(self):
        self.assert_same(self.vector("Naïve CAFÉ"), self.vector("naive cafe"))

    def test_a_batch_keeps_its_order(self):
        texts = [f"{word} number {i}" for i, word in enumerate(
            ("apple", "river", "engine", "music", "winter", "lawyer", "tiger", "window", "bread"))]
        reply = self.embed(texts)
        self.assertEqual(len(reply["embeddings"]), len(texts))
        single = [self.embed(text) for text in texts]
        for one, many in zip(single, reply["embeddings"]):
            self.assert_same(one["embeddings"][0], many)
        self.assertEqual(reply["prompt_eval_count"],
                         sum(one["prompt_eval_count"] for one in single))
        self.assertEqual(reply["model"], MODEL)
        self.assertGreater(reply["load_duration"], 0)
        self.assertGreater(reply["total_duration"], reply["load_duration"])

    def test_embed_is_normalized_and_embeddings_is_raw(self):
        normal = self.vector(SENTENCE)
        raw = self.node.post("/api/embeddings", {"model": MODEL, "prompt": SENTENCE})["embedding"]
        self.assertEqual(len(normal), WIDTH)
        self.assertAlmostEqual(length(normal), 1, delta=1e-5)
        self.assertGreater(length(raw), 2)
        self.assert_same(normal, raw)

    def test_dimensions_cut_and_normalize_again(self):
        whole = self.vector(SENTENCE)
        short = self.vector(SENTENCE, dimensions=64)
        self.assertEqual(len(short), 64)
        self.assertAlmostEqual(length(short), 1, delta=1e-5)
        self.assert_same(short, whole[:64])
        self.assertEqual(len(self.vector(SENTENCE, dimensions=4000)), WIDTH)

    def test_a_long_text_is_cut_to_the_context(self):
        reply = self.embed(LONG)
        self.assertEqual(reply["prompt_eval_count"], CONTEXT)
        self.assert_same(reply["embeddings"][0], self.vector("word " * (CONTEXT - 2)))
        small = self.embed(LONG, options={"num_ctx": 64})
        self.assertEqual(small["prompt_eval_count"], 64)
        self.assert_same(small["embeddings"][0], self.vector("word " * 62))

    def test_a_long_text_is_refused_if_it_must_not_be_cut(self):
        error = self.refused("/api/embed", {"model": MODEL, "input": ["short", LONG],
                                            "truncate": False})
        self.assertEqual((error.status, error.text),
                         (400, "the input length exceeds the context length"))
        whole = self.embed("word " * (CONTEXT - 2), truncate=False)
        self.assertEqual(whole["prompt_eval_count"], CONTEXT)

    def test_nothing_to_embed_gives_an_empty_list(self):
        for body in ({}, {"input": ""}, {"input": []}, {"input": None}):
            reply = self.node.post("/api/embed", {"model": MODEL, **body})
            self.assertEqual(reply["embeddings"], [], body)
        self.assertEqual(self.node.get("/api/ps")["models"][0]["name"], MODEL + ":latest")
        for body in ({}, {"prompt": ""}):
            reply = self.node.post("/api/embeddings", {"model": MODEL, **body})
            self.assertEqual(reply, {"embedding": []})

    def test_an_empty_text_in_a_list_is_a_text(self):
        reply = self.embed(["", "word"])
        self.assertEqual([len(vector) for vector in reply["embeddings"]], [WIDTH, WIDTH])
        self.assertEqual(reply["prompt_eval_count"], 2 + 3)

    def test_wrong_input_is_refused(self):
        for wrong in (5, {"a": 1}, ["a", 5], [["a"]]):
            error = self.refused("/api/embed", {"model": MODEL, "input": wrong})
            self.assertEqual((error.status, error.text), (400, "invalid input type"))
        error = self.refused("/api/embed", {"model": "nobody", "input": "a"})
        self.assertEqual((error.status, error.text),
                         (404, 'model "nobody" not found, try pulling it first'))

    def test_many_requests_at_once(self):
        words = ["sea", "tree", "stone", "cloud", "fire"]
        alone = {word: self.vector(word) for word in words}
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            asked = [word for word in words for _ in range(20)]
            for word, vector in zip(asked, pool.map(self.vector, asked)):
                self.assert_same(vector, alone[word])
        self.assertEqual(len(self.node.runners()), 1)

    def test_a_runner_that_is_killed_is_replaced(self):
        before = self.vector(SENTENCE)
        for pid in self.node.runners():
            os.kill(pid, signal.SIGKILL)
        self.assert_same(self.vector(SENTENCE), before)

    def test_it_writes_no_text(self):
        message = {"messages": [{"role": "user", "content": "Hi"}]}
        for path, body, what in (("/api/generate", {"prompt": "Hi"}, "generate"),
                                 ("/api/generate", {}, "generate"), ("/api/chat", message, "chat")):
            error = self.refused(path, {"model": MODEL, **body})
            self.assertEqual((error.status, error.text),
                             (400, f'"{MODEL}" does not support {what}'))
        error = self.refused("/v1/chat/completions", {"model": MODEL, **message})
        self.assertEqual(error.status, 400)
        self.assertIn(f'\\"{MODEL}\\" does not support chat', error.body)

    def test_a_chat_model_embeds_nothing(self):
        # As in Ollama: its runner is started without pooling, which only trained embedders have.
        for path, body, status in (("/api/embed", {"input": "a"}, 501),
                                   ("/api/embeddings", {"prompt": "a"}, 500)):
            error = self.refused(path, {"model": CHAT_MODEL, **body})
            self.assertEqual(error.status, status)
            self.assertTrue(error.text.startswith(NOT_AN_EMBEDDER), error.text)
        error = self.refused("/v1/embeddings", {"model": CHAT_MODEL, "input": "a"})
        self.assertEqual(error.status, 400)

    def test_show_and_ps_say_what_it_is(self):
        shown = self.node.post("/api/show", {"model": MODEL})
        self.assertEqual(shown["capabilities"], ["embedding"])
        self.assertEqual(shown["details"]["family"], "bert")
        self.assertEqual(shown["model_info"]["bert.pooling_type"], 1)
        self.assertEqual(shown["model_info"]["bert.embedding_length"], WIDTH)
        self.embed(LONG)  # Fills the buffers.
        loaded = [model for model in self.node.get("/api/ps")["models"]
                  if model["name"] == MODEL + ":latest"]
        self.assertEqual(loaded[0]["context_length"], CONTEXT)
        used = sum(int(line.split()[1]) * 1024 for pid in self.node.runners()
                   for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
                   if line.startswith("VmRSS:"))
        self.assertGreater(loaded[0]["size"] / used, 0.9)
        self.assertLess(loaded[0]["size"] / used, 1.25)

    def test_keep_alive_zero_unloads(self):
        self.embed("a", keep_alive=0)
        self.node.wait_until(lambda: not self.node.get("/api/ps")["models"], "unloaded")
        self.assertEqual(self.node.runners(), [])

    def test_stop_and_rm_unload(self):
        self.embed("a", keep_alive=-1)
        self.assertIn(MODEL, self.node.cli("ps").stdout)
        self.node.cli("stop", MODEL)
        self.node.wait_until(lambda: not self.node.get("/api/ps")["models"], "unloaded")
        self.node.cli("cp", MODEL, "copied")
        self.node.post("/api/embed", {"model": "copied", "input": "a", "keep_alive": -1})
        self.node.cli("rm", "copied")
        self.node.wait_until(lambda: not self.node.get("/api/ps")["models"], "unloaded")

    def test_openais_route(self):
        reply = self.node.post("/v1/embeddings", {"model": MODEL, "input": ["sea", "tree"]})
        self.assertEqual((reply["object"], reply["model"]), ("list", MODEL))
        self.assertEqual([entry["index"] for entry in reply["data"]], [0, 1])
        self.assertEqual(reply["usage"], {"prompt_tokens": 6, "total_tokens": 6})
        self.assert_same(reply["data"][1]["embedding"], self.vector("tree"))
        packed = self.node.post("/v1/embeddings", {"model": MODEL, "input": ["sea", "tree"],
                                                   "encoding_format": "base64"})
        for plain, entry in zip(reply["data"], packed["data"]):
            data = base64.b64decode(entry["embedding"], validate=True)
            self.assert_same(struct.unpack(f"<{WIDTH}f", data), plain["embedding"])
        short = self.node.post("/v1/embeddings", {"model": MODEL, "input": "sea", "dimensions": 8})
        self.assertEqual(len(short["data"][0]["embedding"]), 8)
        for body in ({}, {"input": []}):
            error = self.refused("/v1/embeddings", {"model": MODEL, **body})
            self.assertEqual(error.status, 400)
            self.assertIn("invalid input", error.body)

    def test_run_prints_the_vector(self):
        def printed(*arguments, **more):
            line = self.node.cli("run", MODEL, *arguments, **more).stdout
            self.assertRegex(line, r"^\[.*\]\n$")
            return [float(number) for number in line.strip()[1:-1].split(",")]
        self.assert_same(printed(SENTENCE), self.vector(SENTENCE))
        self.assert_same(printed(input=SENTENCE), self.vector(SENTENCE))
        self.assertEqual(len(printed(SENTENCE, "--dimensions", "4")), 4)
        for arguments, text in (((), "embedding models require input text"),
                                ((LONG, "--truncate=false"), "exceeds the context length")):
            result = self.node.cli("run", MODEL, *arguments, check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn(text, result.stderr)

    def test_safetensors_are_converted_or_it_is_said_what_is_missing(self):
        modelfile = self.node.folder / "Modelfile"
        modelfile.write_text(f"FROM {FOLDER}\n")
        # A Python of nothing but its own library, whatever is installed on this machine.
        with tempfile.TemporaryDirectory() as folder:
            python = pathlib.Path(folder) / "python3"
            python.write_text('#!/bin/sh\nexec /usr/bin/python3 -I -S "$@"\n')
            python.chmod(0o755)
            path = f"{folder}:{os.environ['PATH']}"
            with Node({"PATH": path}) as node:
                result = node.cli("create", "converted", "-f", str(modelfile), check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("`python3 -m pip install torch transformers numpy pyyaml`", result.stderr)
        self.assertIn("GGUF", result.stderr)


class Converter(unittest.TestCase):
    def test_the_same_folder_gives_the_same_bytes(self):
        self.assertEqual(hashlib.sha256(minilm_gguf.convert(FOLDER)).hexdigest(),
                         hashlib.sha256(MODELS[MODEL].read_bytes()).hexdigest())


if __name__ == "__main__":
    cases.main()
