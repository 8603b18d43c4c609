#!/usr/bin/env python3
"""create on a real node: llama-quantize, LoRA adapters, Modelfiles and safetensors."""

import http.client
import json
import os
import pathlib
import random
import signal
import socket
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from support import cases  # noqa: E402
from support.node import MODELS, PROGRAM, ROOT, HttpError  # noqa: E402
from base import MODEL, QUESTION, CreateTest, digest  # noqa: E402

sys.path.insert(0, str(ROOT / "tools"))
from make_gguf import F32, STRING, U32, Gguf  # noqa: E402

LAYERS, WIDTH = 30, 576  # Of SmolLM2 135M.
TENSOR_F32 = 0
TEMPLATE = ("{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n"
            "{{ end }}<|im_start|>assistant\n")
SYSTEM = '\nYou say "yes",\n nothing else. '
EVERYTHING = f'''# Each instruction, and each way to quote.
FROM {MODEL}
TEMPLATE """{TEMPLATE}"""
SYSTEM """{SYSTEM}"""
PARAMETER temperature 0
PARAMETER top_p 0.95
PARAMETER repeat_penalty 1.1
PARAMETER num_ctx 1024
PARAMETER num_predict 5
PARAMETER num_thread 1
PARAMETER use_mmap true
PARAMETER stop "<|im_end|>"
PARAMETER stop "  two words "
MESSAGE user "How are
you?"
MESSAGE assistant """"Fine", she said."""
MESSAGE user say "please" now
MESSAGE assistant please
LICENSE MIT
LICENSE """A second
licence."""
REQUIRES v0.14.0
'''


class Quantization(CreateTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.full = cls.node.folder / "full.gguf"
        folder = pathlib.Path(cls.node.environment["OLLAMAMAX_LLAMA_DIR"])
        made = subprocess.run([folder / "bin/llama-quantize", "--allow-requantize", MODELS[MODEL],
                               cls.full, "F16"], capture_output=True, text=True)
        if made.returncode != 0:
            raise AssertionError(made.stderr[-2000:])
        cls.full_digest = digest(cls.full.read_bytes())
        (cls.node.folder / "Modelfile").write_text("FROM ./full.gguf\n")
        cls.node.cli("create", "full", "-f", str(cls.node.folder / "Modelfile"))
        cls.full_size = cls.full.stat().st_size

    def assert_quantized(self, name, level, file_type, smaller_than):
        shown = self.show(name, verbose=True)
        self.assertEqual(shown["details"]["quantization_level"], level)
        self.assertEqual(shown["details"]["parameter_size"], "134.52M")
        self.assertEqual(shown["model_info"]["general.file_type"], file_type)
        kinds = {tensor["type"] for tensor in shown["tensors"] if len(tensor["shape"]) > 1}
        self.assertNotIn("F16", kinds)
        size = {model["name"]: model["size"] for model in self.node.get("/api/tags")["models"]}
        self.assertLess(size[f"{name}:latest"], smaller_than * self.full_size)
        self.assertGreater(size[f"{name}:latest"], self.full_size / 4)
        weights = self.weights(name)
        self.assertEqual(digest(self.blob(weights).read_bytes()), weights)
        self.assertIn("Paris", self.answer(name))

    def assert_original_is_unchanged(self):
        self.assertEqual(self.weights("full"), self.full_digest)
        self.assertEqual(digest(self.blob(self.full_digest).read_bytes()), self.full_digest)
        self.assertEqual(self.show("full")["details"]["quantization_level"], "F16")

    def test_command_line_from_a_file(self):
        said = self.create("eight", "FROM ./full.gguf\n", "--quantize", "q8_0").stderr
        steps = ["parsing GGUF", f"using existing layer {self.full_digest}",
                 "quantizing F16 model to Q8_0", "verifying conversion",
                 f"creating new layer {self.weights('eight')}", "writing manifest", "success"]
        self.assertEqual([line for line in said.splitlines() if line in steps], steps)
        self.assert_quantized("eight", "Q8_0", 7, 0.6)
        self.assert_original_is_unchanged()

    def test_command_line_in_a_models_folder(self):
        folder = self.node.folder / "whole"
        folder.mkdir()
        (folder / "full.gguf").symlink_to(self.full)
        made = subprocess.run([PROGRAM, "create", "here"], cwd=folder, env=self.node.environment,
                              capture_output=True, text=True)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertEqual(self.weights("here"), self.full_digest)
        (folder / "full.gguf").unlink()
        made = subprocess.run([PROGRAM, "create", "here"], cwd=folder, env=self.node.environment,
                              capture_output=True, text=True)
        self.assertEqual(made.returncode, 1)
        self.assertIn("write a Modelfile", made.stderr)

    def test_api_from_a_model_with_progress(self):
        lines = list(self.node.stream("/api/create", {"model": "four", "from": "full",
                                                      "quantize": "q4_K_M"}))
        work = [line for line in lines if "completed" in line]
        for line in work:
            self.assertEqual((line["status"], line["digest"], line["total"]),
                             ("quantizing F16 model to Q4_K_M", self.full_digest, self.full_size))
        done = [line["completed"] for line in work]
        self.assertGreater(len(done), LAYERS)
        self.assertEqual(done, sorted(done))
        self.assertEqual(done[-1], self.full_size)
        made = dict(self.layers("four"))
        self.assertEqual([line["status"] for line in lines if line not in work], [
            f"using existing layer {self.full_digest}", "verifying conversion",
            f"creating new layer {made['model']}", f"creating new layer {made['config']}",
            "writing manifest", "success"])
        self.assertLess(lines.index(work[-1]), lines.index({"status": "verifying conversion"}))
        self.assert_quantized("four", "Q4_K_M", 15, 0.45)
        self.assert_original_is_unchanged()
        self.assertIn("Paris", self.answer("full"))

    def test_what_is_quantized_already_is_refused(self):
        text = "quantization is only supported for F16, BF16 and F32 models"
        body = {"model": "twice", "from": MODEL, "quantize": "q8_0"}
        before = self.files()
        self.assertEqual(self.node.refused(400, "/api/create", {"stream": False, **body}), text)
        self.assertEqual(list(self.node.stream("/api/create", body))[-1], {"error": text})
        result = self.create("twice", f"FROM {MODEL}\n", "-q", "q4_K_M", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"Error: {text}\n", result.stderr)
        self.assertEqual(self.files(), before)

    def test_what_has_the_type_already_is_refused_too(self):
        small = Gguf().add("general.architecture", STRING, "llama")
        small.add("general.file_type", U32, 15).tensor("token_embd.weight", [256, 2], 12)
        (self.node.folder / "small.gguf").write_bytes(small.bytes())
        self.create("small", "FROM ./small.gguf\n")
        self.assertEqual(self.show("small")["details"]["quantization_level"], "Q4_K_M")
        self.assertEqual(
            self.node.refused(400, "/api/create", {"model": "same", "from": "small",
                                                   "quantize": "q4_K_M", "stream": False}),
            "quantization is only supported for F16, BF16 and F32 models")
        # Full precision may stay as it is.
        self.create("same", "FROM full\n", "--quantize", "f16")
        self.assertEqual(self.weights("same"), self.full_digest)

    def test_an_unknown_type_is_refused(self):
        for asked in ("q5_1", "Q4_0", "nonsense"):
            text = (f"unsupported quantization type {asked} - "
                    "supported types are F32, F16, Q4_K_S, Q4_K_M, Q8_0")
            for stream in (False, True):
                body = {"model": "odd", "from": "full", "quantize": asked, "stream": stream}
                self.assertEqual(self.node.refused(400, "/api/create", body), text)
            result = self.create("odd", "FROM full\n", "--quantize", asked, check=False)
            self.assertEqual((result.returncode, result.stderr), (1, f"Error: {text}\n"))
        self.assertNotIn("odd:latest", self.node.names())

    def test_a_client_that_leaves_ends_the_work(self):
        before = self.files()
        connection = http.client.HTTPConnection("127.0.0.1", self.node.port)
        connection.request("POST", "/api/create", json.dumps(
            {"model": "left", "from": "full", "quantize": "q4_K_S"}))
        reply = connection.getresponse()
        while "completed" not in json.loads(reply.readline()):
            pass
        (child,) = self.children("llama-quantize")
        # It stands still: whatever ends it now is not that its work was done.
        os.kill(child, signal.SIGSTOP)
        try:
            self.assertIn("quantized.gguf", [path.name for path in self.partial()])
            connection.sock.shutdown(socket.SHUT_RDWR)
            connection.close()
            self.node.wait_until(lambda: not self.children("llama-quantize"), "it has gone")
        finally:
            if child in self.children("llama-quantize"):
                os.kill(child, signal.SIGKILL)
        self.assertEqual(self.files(), before)
        self.assertNotIn("left:latest", self.node.names())


class Drafts(CreateTest):
    def test_a_draft_model_guesses_and_changes_nothing_of_what_is_said(self):
        # The model is its own draft: every guess is right.
        path = MODELS[MODEL]
        self.create("quick", f"FROM {MODEL}\nDRAFT {path}\nPARAMETER draft_num_predict 3\n")
        self.assertIn(("draft", digest(path.read_bytes())), self.layers("quick"))
        self.assertEqual(self.answer("quick"), self.answer(MODEL))
        lines = {pathlib.Path(f"/proc/{pid}/cmdline").read_text() for pid in self.node.runners()}
        drafting = [line for line in lines if "--spec-draft-model" in line]
        self.assertEqual(len(drafting), 1)
        self.assertIn("--spec-draft-n-max\x003\x00", drafting[0])
        self.assertEqual(self.remade("quick"), self.layers("quick"))
        text = self.node.refused(400, "/api/create", {
            "model": "two", "from": MODEL, "stream": False,
            "draft_files": {"a.gguf": digest(path.read_bytes()),
                            "b.gguf": digest(path.read_bytes())}})
        self.assertEqual(text, "only one draft model is supported")


class Adapters(CreateTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.base = cls.node.post("/api/chat", {"model": MODEL, **QUESTION})["message"]["content"]

    def adapter(self, name, strength, architecture="llama"):
        """Writes a LoRA for the queries of all layers."""
        chance = random.Random(1)
        rank = 4
        gguf = Gguf().add("general.type", STRING, "adapter")
        gguf.add("general.architecture", STRING, architecture)
        gguf.add("adapter.type", STRING, "lora").add("adapter.lora.alpha", F32, 8.0)
        for layer in range(LAYERS):
            for part, shape in (("lora_a", [WIDTH, rank]), ("lora_b", [rank, WIDTH])):
                numbers = [chance.gauss(0, strength) for _ in range(WIDTH * rank)]
                gguf.tensor(f"blk.{layer}.attn_q.weight.{part}", shape, TENSOR_F32,
                            weights=struct.pack(f"<{len(numbers)}f", *numbers))
        data = gguf.bytes()
        (self.node.folder / f"{name}.gguf").write_bytes(data)
        return digest(data)

    def make(self, name, *settings):
        made = self.adapter(name, *settings)
        self.create(name, f"FROM {MODEL}\nADAPTER ./{name}.gguf\n")
        self.assertEqual(self.layers(name)[:2],
                         [("model", self.weights(MODEL)), ("adapter", made)])
        return made

    def test_of_zeros_it_changes_nothing(self):
        made = self.make("zero", 0)
        self.assertIn("Paris", self.base)
        self.assertEqual(self.answer("zero"), self.base)
        lines = self.show("zero")["modelfile"].splitlines()
        self.assertIn(f"FROM {self.blob(self.weights(MODEL))}", lines)
        self.assertIn(f"ADAPTER {self.blob(made)}", lines)
        loaded = {model["name"]: model for model in self.node.get("/api/ps")["models"]}
        self.assertGreater(loaded["zero:latest"]["size"], MODELS[MODEL].stat().st_size)
        self.assertIn("zero:latest", self.node.cli("ps").stdout)

    def test_a_model_with_one_can_be_made_again(self):
        self.make("again", 0.1)
        self.assertEqual(self.remade("again"), self.layers("again"))

    def test_a_strong_one_changes_the_answer_and_goes_with_its_model(self):
        made = self.make("strong", 0.5)
        self.assertNotEqual(self.answer("strong"), self.base)
        self.assertTrue(self.blob(made).exists())
        self.assertEqual(self.node.cli("rm", "strong").stdout, "deleted 'strong'\n")
        self.assertFalse(self.blob(made).exists())
        self.assertTrue(self.blob(self.weights(MODEL)).exists())
        self.assertIn("Paris", self.answer(MODEL))

    def test_one_for_another_architecture_says_so(self):
        self.make("foreign", 0.1, "gemma3")
        for _ in range(2):
            with self.assertRaises(HttpError) as caught:
                self.answer("foreign")
            self.assertEqual(caught.exception.status, 500)
            self.assertIn("model arch and LoRA arch mismatch", caught.exception.text)
        self.assertNotIn("foreign:latest",
                         [model["name"] for model in self.node.get("/api/ps")["models"]])
        self.assertIn("Paris", self.answer(MODEL))

    def test_what_cannot_be_one_is_refused(self):
        self.adapter("one", 0.1)
        self.adapter("two", 0.2)
        # As a trainer leaves it: always more than one file.
        folder = self.node.folder / "trained"
        folder.mkdir()
        (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
        (folder / "adapter_config.json").write_text("{}")
        for lines, text in (
                ("ADAPTER ./one.gguf\nADAPTER ./two.gguf\n", "only one adapter"),
                ("ADAPTER ./nothing.gguf\n", "nothing.gguf: No such file"),
                ("ADAPTER ./trained\n", "convert_lora_to_gguf.py")):
            with self.subTest(lines):
                result = self.create("wrong", f"FROM {MODEL}\n{lines}", check=False)
                self.assertEqual(result.returncode, 1)
                self.assertIn(text, result.stderr)
                self.assertNotIn("wrong:latest", self.node.names())


class Modelfiles(CreateTest):
    def test_everything_at_once_can_be_made_again(self):
        self.create("everything", EVERYTHING)
        made = self.layers("everything")
        self.assertEqual([kind for kind, _ in made], [
            "model", "template", "system", "license", "license", "params", "messages", "config"])
        self.assertEqual(self.weights("everything"), self.weights(MODEL))
        self.assertEqual(self.remade("everything"), made)

    def test_everything_at_once_takes_effect(self):
        self.create("everything", EVERYTHING)
        shown = self.show("everything")
        self.assertEqual((shown["system"], shown["template"], shown["requires"]),
                         (SYSTEM, TEMPLATE, "0.14.0"))
        self.assertEqual(shown["license"], "MIT\nA second\nlicence.")
        self.assertEqual([line.split(None, 1) for line in shown["parameters"].splitlines()], [
            ["num_ctx", "1024"], ["num_predict", "5"], ["num_thread", "1"],
            ["repeat_penalty", "1.1"], ["stop", '"<|im_end|>"'], ["stop", '"  two words "'],
            ["temperature", "0"], ["top_p", "0.95"], ["use_mmap", "true"]])
        own = [("user", "How are\nyou?"), ("assistant", '"Fine", she said.'),
               ("user", 'say "please" now'), ("assistant", "please")]
        self.assertEqual([(m["role"], m["content"]) for m in shown["messages"]], own)
        reply = self.node.post("/api/chat", {
            "model": "everything", "messages": [{"role": "user", "content": "Go on."}]})
        self.assertLessEqual(reply["eval_count"], 5)
        ran = self.node.get("/api/ps")["models"][0]
        self.assertEqual((ran["name"], ran["context_length"]), ("everything:latest", 1024))
        # What the template makes of it all has as many tokens as the same text given as it is.
        prompt = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in
                         [("system", SYSTEM), *own, ("user", "Go on.")])
        raw = self.node.post("/api/generate", {"model": "everything", "raw": True,
                                               "prompt": prompt + "<|im_start|>assistant\n"})
        self.assertEqual(reply["prompt_eval_count"], raw["prompt_eval_count"])

    def test_a_model_without_a_template_can_be_made_again(self):
        self.assertEqual(self.remade(MODEL), self.layers(MODEL))

    def test_a_model_with_a_renderer_can_be_made_again(self):
        self.create("rendered", EVERYTHING + "RENDERER some-renderer\nPARSER some-parser\n")
        self.assertIn("RENDERER some-renderer\nPARSER some-parser\n",
                      self.show("rendered")["modelfile"])
        self.assertEqual(self.remade("rendered"), self.layers("rendered"))

    def test_a_model_from_another_one_keeps_what_it_does_not_replace(self):
        self.create("everything", EVERYTHING)
        self.create("derived", "FROM everything\nSYSTEM Be brief.\nPARAMETER top_p 0.5\n"
                               "PARAMETER seed 7\nLICENSE A third.\n")
        before, after = self.show("everything"), self.show("derived")
        self.assertEqual(after["system"], "Be brief.")
        self.assertEqual(after["license"], before["license"] + "\nA third.")
        for name in ("template", "messages", "requires"):
            self.assertEqual(after[name], before[name])
        parameters = after["parameters"].splitlines()
        self.assertEqual(sorted(set(parameters) - set(before["parameters"].splitlines())),
                         [f"{'seed':30} 7", f"{'top_p':30} 0.5"])
        self.assertEqual(len(parameters), 10)
        # What was replaced stands last, so only the order may differ.
        self.assertCountEqual(self.remade("derived"), self.layers("derived"))


class Safetensors(CreateTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.node.stop()
        # A Python of nothing but its own library, whatever is installed on this machine.
        python = cls.node.folder / "python/python3"
        python.parent.mkdir()
        python.write_text('#!/bin/sh\nexec /usr/bin/python3 -I -S "$@"\n')
        python.chmod(0o755)
        cls.node.environment["PATH"] = f"{python.parent}:{os.environ['PATH']}"
        cls.node.start()

    def test_without_torch_it_is_said_what_is_missing(self):
        folder = self.node.folder / "tensors"
        folder.mkdir()
        head = json.dumps({"model.norm.weight": {"dtype": "F32", "shape": [2],
                                                 "data_offsets": [0, 8]}}).encode()
        for name, data in (("model.safetensors", struct.pack("<Q", len(head)) + head + bytes(8)),
                           ("config.json", b'{"architectures": ["LlamaForCausalLM"]}')):
            (folder / name).write_bytes(data)
        before = self.files()
        result = self.create("converted", "FROM ./tensors\n", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("converting model\n", result.stderr)
        self.assertIn("Error: converting safetensors needs Python packages that are not installed "
                      "on the server. Install them there (`python3 -m pip install torch "
                      "transformers numpy pyyaml`) and try again, or create the model from a "
                      "GGUF file\n", result.stderr)
        # The same weights once more, which the converter does not read, are not sent.
        (folder / "consolidated.safetensors").write_bytes(b"as large as the others")
        self.create("converted", "FROM ./tensors\n", check=False)
        (folder / "consolidated.safetensors").unlink()
        # What was uploaded stays for another try, as in Ollama; nothing else does.
        uploads = [str(self.blob(digest(path.read_bytes())).relative_to(self.store))
                   for path in folder.iterdir()]
        self.assertEqual(self.files(), sorted([*before, *uploads]))
        self.assertEqual(self.children("python3"), [])
        self.assertNotIn("converted:latest", self.node.names())


class ModelsWithCode(CreateTest):
    """Where Python has all packages (empty ones), and a converter that keeps what it was given."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.node.stop()
        folder = cls.node.folder / "python"
        folder.mkdir()
        for package in ("torch", "transformers", "numpy", "yaml"):
            (folder / f"{package}.py").touch()
        cls.given = folder / "given"
        python = folder / "python3"
        python.write_text(f"""#!/bin/sh
if [ "$1" = -c ]; then PYTHONPATH={folder} exec /usr/bin/python3 -S "$@"; fi
cp -r "$2" {cls.given} && env > {cls.given}/environment
echo no such tokenizer; exit 1
""")
        python.chmod(0o755)
        cls.node.environment["PATH"] = f"{folder}:{os.environ['PATH']}"
        cls.node.environment["A_SECRET"] = "not for children"
        cls.node.start()

    def test_their_code_is_not_run_and_it_is_said_why(self):
        facts = {"architectures": ["QWenLMHeadModel"], "length": 10 ** 30, "limit": float("inf")}
        settings = {"tokenizer_class": "QWenTokenizer", "pad_token": "/"}
        files = {
            "model.safetensors": struct.pack("<Q", 2) + b"{}",
            "config.json": json.dumps({**facts, "configuration_files": ["config.4.json.txt"],
                                       "auto_map": {"AutoConfig": "evil.C"}}).encode(),
            "part/tokenizer_config.json": json.dumps({
                **settings, "vocab_file": "/etc/passwd",
                "auto_map": ["somebody/else--evil.T", None]}).encode(),
            "vocab.json": b'{"auto_map": 7}',
            "evil.py": b"raise SystemExit", "torch/__init__.py": b"raise SystemExit"}
        for data in files.values():
            self.node.request("POST", f"/api/blobs/{digest(data)}", data).close()
        text = self.node.refused(501, "/api/create", {
            "model": "coded", "stream": False,
            "files": {name: digest(data) for name, data in files.items()}})
        self.assertRegex(text, "^QWenLMHeadModel comes with Python code of its own .*: no such "
                               "tokenizer$")
        given = {str(path.relative_to(self.given)): path.read_bytes()
                 for path in self.given.rglob("*") if path.is_file()}
        environment = given.pop("environment").decode()
        self.assertNotIn("A_SECRET", environment)
        self.assertIn("HF_HUB_OFFLINE=1\n", environment)
        self.assertEqual(given.keys(), {"model.safetensors", "config.json", "vocab.json",
                                        "part/tokenizer_config.json"})
        self.assertEqual(json.loads(given["config.json"]), facts)
        self.assertEqual(json.loads(given["part/tokenizer_config.json"]), settings)
        self.assertEqual(given["vocab.json"], files["vocab.json"])
        for data in files.values():  # The blobs are what they were.
            self.assertEqual(self.blob(digest(data)).read_bytes(), data)

    def test_a_file_that_is_no_json_is_named(self):
        files = {"model.safetensors": struct.pack("<Q", 2) + b"{}", "config.json": b"{"}
        for data in files.values():
            self.node.request("POST", f"/api/blobs/{digest(data)}", data).close()
        text = self.node.refused(500, "/api/create", {
            "model": "broken", "stream": False,
            "files": {name: digest(data) for name, data in files.items()}})
        self.assertIn("config.json: Expecting property name", text)


if __name__ == "__main__":
    cases.main()
