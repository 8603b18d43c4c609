#!/usr/bin/env python3
"""Ollama's variables on real nodes: each must do what it says, and no wrong value be swallowed."""

import contextlib
import datetime
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from support import cases  # noqa: E402
from support.cluster import all_but  # noqa: E402
from support.node import PROGRAM, HttpError, Node  # noqa: E402
from support.terminal import Terminal  # noqa: E402
from base import EMBEDDER, ENDLESS, MODEL, SHORT, argument, arguments, node_with  # noqa: E402
from edges import Crowd, HttpEdges  # noqa: E402, F401
from guarded import Keys, Tls  # noqa: E402, F401

BUSY = "server busy, please try again.  maximum pending requests exceeded"


class Listening(unittest.TestCase):
    def test_forms_of_the_host(self):
        forms = [":{}", "localhost:{}", "http://127.0.0.1:{}", "http://127.0.0.1:{}/",
                 ' "127.0.0.1:{}" ', "0.0.0.0:{}", "http://0.0.0.0:{}"]
        if pathlib.Path("/proc/net/if_inet6").exists():
            forms.append("[::]:{}")
        else:
            print("  [::] is left out: the kernel has no IPv6", flush=True)
        for form in forms:
            with self.subTest(form):
                node = Node()
                node.environment["OLLAMA_HOST"] = form.format(node.port)
                with node:
                    self.assertEqual(node.get("/"), "Ollama is running")
                    # The command line reads the same variable.
                    seen = json.loads(node.cli("version", "--json").stdout)["server"]
                    self.assertEqual(seen, node.get("/api/version")["ollamamax"])

    def test_names_are_checked_on_loopback_only(self):
        foreign = {"Host": "evil.example"}
        with Node() as node:
            with self.assertRaises(HttpError) as refusal:
                node.get("/api/tags", headers=foreign)
            self.assertEqual(refusal.exception.status, 403)
        node = Node()
        node.environment["OLLAMA_HOST"] = f"0.0.0.0:{node.port}"
        with node:
            self.assertEqual(node.get("/api/tags", headers=foreign), {"models": []})

    def test_origins(self):
        allowed = ("https://good.example", "http://fine.example:8080", "http://localhost:3000")
        refused = ("https://evil.example", "http://good.example", "https://good.example:444",
                   "https://good.example.evil.example")
        with Node({"OLLAMA_ORIGINS": "https://good.example, http://fine.example:*"}) as node:
            def ask(method, origin):
                return node.request(method, "/api/tags", headers={
                    "Origin": origin, "Access-Control-Request-Method": "POST"})
            for method, status in (("OPTIONS", 204), ("GET", 200)):
                for origin in allowed:
                    with self.subTest(f"{method} {origin}"), ask(method, origin) as reply:
                        self.assertEqual(reply.status, status)
                        self.assertEqual(reply.headers["Access-Control-Allow-Origin"], origin)
                for origin in refused:
                    with self.subTest(f"{method} {origin}"):
                        with self.assertRaises(HttpError) as refusal:
                            ask(method, origin)
                        self.assertEqual((refusal.exception.status, refusal.exception.body),
                                         (403, ""))


class Runners(unittest.TestCase):
    """One node that has many variables at once."""

    @classmethod
    def setUpClass(cls):
        cls.node = node_with(
            OLLAMA_NUM_PARALLEL="2", OLLAMA_CONTEXT_LENGTH="1024", OLLAMA_FLASH_ATTENTION="1",
            OLLAMA_KV_CACHE_TYPE="q8_0", OLLAMA_KEEP_ALIVE="-1", OLLAMA_MAX_QUEUE="1")
        cls.addClassCleanup(cls.node.__exit__, None, None, None)
        cls.node.start()

    def setUp(self):
        self.node.post("/api/generate", {"model": MODEL})
        self.runner, = self.node.runners()

    def test_the_runner_is_started_with_them(self):
        for flag, value in (("-np", "2"), ("-c", "2048"), ("--flash-attn", "on"),
                            ("--cache-type-k", "q8_0"), ("--cache-type-v", "q8_0")):
            self.assertEqual(argument(self.runner, flag), value, arguments(self.runner))
        # Its own default is 8 GiB, which nobody has planned.
        self.assertIn(int(argument(self.runner, "--cache-ram")), range(1, 513))
        # Who can reach its socket could ask it.
        folder = pathlib.Path(argument(self.runner, "--host")).parent
        self.assertEqual(folder.stat().st_mode & 0o077, 0)

    def test_ps_tells_the_context_and_that_it_stays(self):
        loaded, = self.node.get("/api/ps")["models"]
        self.assertEqual(loaded["context_length"], 1024)
        self.assertRegex(loaded["expires_at"], r"^23\d\d-")  # Clients print "Forever".
        self.assertIn("Forever", self.node.cli("ps").stdout)

    def test_a_prompt_beyond_the_context_is_cut(self):
        answer = self.node.post("/api/generate", {**SHORT, "prompt": "word " * 3000})
        self.assertLess(answer["prompt_eval_count"], 1024)

    def test_two_are_answered_one_waits_and_one_is_refused(self):
        with contextlib.ExitStack() as running:
            for _ in range(2):
                reply = running.enter_context(
                    self.node.request("POST", "/api/generate", {"stream": True, **ENDLESS}))
                self.assertFalse(json.loads(reply.readline())["done"])
            answers = []
            waiting = threading.Thread(
                target=lambda: answers.append(self.node.post("/api/generate", SHORT)))
            waiting.start()
            running.callback(waiting.join)  # Once one of the two has been left.
            running.callback(reply.close)
            self.node.wait_until(
                lambda: "ollamamax_queue_length 1\n" in self.node.get("/metrics"), "one waits")
            self.assertEqual(self.node.refused(503, "/api/generate", SHORT), BUSY)
        self.assertTrue(answers[0]["done"])


class Loading(unittest.TestCase):
    def test_values_that_mean_the_defaults_add_no_arguments(self):
        with node_with(OLLAMA_FLASH_ATTENTION="false", OLLAMA_KV_CACHE_TYPE="f16",
                       OLLAMA_CONTEXT_LENGTH="0", OLLAMA_NUM_PARALLEL="1") as node:
            node.post("/api/generate", {"model": MODEL})
            runner, = node.runners()
            for flag, value in (("--flash-attn", "off"), ("--cache-type-k", None),
                                ("-c", "4096"), ("-np", "1")):
                self.assertEqual(argument(runner, flag), value, arguments(runner))

    def test_a_keep_alive_of_nothing_unloads_at_once(self):
        with node_with(OLLAMA_KEEP_ALIVE="0") as node:
            self.assertTrue(node.post("/api/generate", SHORT)["done"])
            # Far less than the usual five minutes.
            node.wait_until(lambda: node.get("/api/ps") == {"models": []}, "it is unloaded",
                            seconds=60)
            self.assertEqual(node.runners(), [])
            # What a request says counts more.
            node.post("/api/generate", {**SHORT, "keep_alive": "1h"})
            self.assertEqual(len(node.get("/api/ps")["models"]), 1)

    def test_a_keep_alive_of_seconds_and_of_a_duration(self):
        for text in ("5400", "1h30m"):
            with self.subTest(text), node_with(OLLAMA_KEEP_ALIVE=text) as node:
                before = time.time()
                node.post("/api/embed", {"model": EMBEDDER, "input": "x"})
                loaded, = node.get("/api/ps")["models"]
                expires = datetime.datetime.fromisoformat(loaded["expires_at"][:19] + "+00:00")
                left = expires.timestamp() - before
                self.assertTrue(5395 < left < 5700, left)

    def test_one_more_model_than_may_be_loaded_sends_the_other_one_away(self):
        for count in (1, 2):
            with self.subTest(count), node_with(OLLAMA_MAX_LOADED_MODELS=str(count)) as node:
                node.post("/api/generate", {"model": MODEL})
                first, = node.runners()
                node.post("/api/embed", {"model": EMBEDDER, "input": "x"})
                names = {model["name"] for model in node.get("/api/ps")["models"]}
                new = {f"{EMBEDDER}:latest"}
                self.assertEqual(names, new if count == 1 else new | {MODEL})
                self.assertEqual(len(node.runners()), count)
                self.assertEqual(first in node.runners(), count == 2)

    def test_the_weights_template_and_no_second_runner_on_demand(self):
        asked = {"model": "twofold", "messages": [{"role": "user", "content": "Hi"}]}
        with node_with(OLLAMA_GO_TEMPLATE="0", OLLAMAMAX_RESUME="0") as node:
            node.post("/api/create", {"model": "twofold", "from": MODEL, "template":
                                      "GO {{ range .Messages }}{{ .Content }}{{ end }}"})
            shown = node.post("/api/chat", {**asked, "_debug_render_only": True})
            rendered = shown["_debug_info"]["rendered_template"]
            self.assertIn("<|im_start|>user\nHi", rendered)
            self.assertNotIn("GO", rendered)
            with node.request("POST", "/api/generate", {"stream": True, **ENDLESS}) as reply:
                reply.readline()
                for runner in node.runners():
                    os.kill(runner, signal.SIGKILL)
                self.assertIn("error", json.loads(reply.read().splitlines()[-1]))

    def test_a_load_without_progress_is_given_up(self):
        node = node_with(OLLAMA_LOAD_TIMEOUT="1")
        program = node.folder / "llama/bin/llama-server"
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\nexec sleep 600\n")
        program.chmod(0o755)
        node.environment["OLLAMAMAX_LLAMA_DIR"] = str(node.folder / "llama")
        with node:
            text = node.refused(500, "/api/generate", {"model": MODEL})
            self.assertIn(f"timed out loading {MODEL}: no progress for 1 s", text)


class Folders(unittest.TestCase):
    def test_models_are_where_the_variable_says(self):
        node = node_with()
        node.environment["HOME"] = str(node.folder)
        elsewhere = node.folder / "some where/models"
        elsewhere.parent.mkdir()
        (node.folder / "models").rename(elsewhere)
        node.environment["OLLAMA_MODELS"] = str(elsewhere)
        with node:
            self.assertIn(MODEL, node.names())
            node.cli("cp", MODEL, "copy")
            manifests = elsewhere / "manifests/registry.ollama.ai/library"
            self.assertTrue((manifests / "copy/latest").is_file())
            self.assertFalse((node.folder / ".ollama").exists())
            node.stop()
            # Without it: in Ollama's own folder.
            (node.folder / ".ollama").mkdir()
            elsewhere.rename(node.folder / ".ollama/models")
            del node.environment["OLLAMA_MODELS"]
            node.start()
            self.assertIn("copy:latest", node.names())

    def test_blobs_that_no_model_names_are_kept_on_demand(self):
        node = node_with(OLLAMA_NOPRUNE="1")
        blobs = node.folder / "models/blobs"

        def make(system):
            node.post("/api/create", {"model": "spoken", "from": MODEL, "system": system})

        def is_kept(system):
            return (blobs / f"sha256-{hashlib.sha256(system.encode()).hexdigest()}").exists()

        with node:
            make("first")
            make("second")
            self.assertTrue(is_kept("first"))
            node.stop()
            copied = blobs / f"sha256-{'a' * 64}"
            copied.write_text("nobody's")
            os.utime(copied, (time.time() - 7200,) * 2)
            node.environment["OLLAMA_NOPRUNE"] = "0"
            node.start()
            # Its bytes are old, but it was put there a moment ago: its manifest may follow.
            self.assertTrue(copied.exists())
            make("third")
            self.assertFalse(is_kept("second"))

    def chat(self, node, state, **environment):
        """A short chat on a terminal; the history it leaves, or None."""
        history = state / "history"
        terminal = Terminal([PROGRAM, "run", MODEL], {
            **node.environment, "OLLAMAMAX_STATE": str(state), **environment})
        try:
            terminal.expect(">>> ")
            terminal.type("/set verbose\r")
            terminal.expect("Set 'verbose' mode")
            terminal.expect(">>> ")
            terminal.type("/bye\r")
            self.assertEqual(terminal.process.wait(60), 0)
        finally:
            terminal.end()
        return history.read_text() if history.exists() else None

    def test_a_chat_leaves_a_history_or_none(self):
        with node_with() as node:
            there = node.folder / "there"
            there.mkdir()
            for value in ("1", "true"):
                self.assertIsNone(self.chat(node, there, OLLAMA_NOHISTORY=value))
            self.assertIn("verbose", self.chat(node, there, OLLAMA_NOHISTORY="0"))
            # Nor is there one where no folder can be made; the chat goes on all the same.
            (there / "file").touch()
            self.assertIsNone(self.chat(node, there / "file/below"))
            # One who has never run a node has no such folder yet.
            self.assertIn("verbose", self.chat(node, node.folder / "not/there") or "nothing kept")

    def test_debug_lines_come_on_demand_and_tell_no_prompt(self):
        for value, told in (("1", True), ("2", True), ("0", False)):
            with self.subTest(value), Node({"OLLAMA_DEBUG": value}) as node:
                node.create(MODEL)
                node.post("/api/generate", {"model": MODEL, "prompt": "Zanzibar!", "options": {
                    "num_predict": 2}})
                self.assertEqual('event="runner starts"' in node.log(), told, node.log())
                self.assertEqual('event="runner says"' in node.log(), told, node.log())
                self.assertIn("level=info", node.log())
                self.assertNotIn("Zanzibar", node.log())


class Overhead(unittest.TestCase):
    def test_one_that_leaves_nothing_on_a_busy_day_keeps_no_node_from_starting(self):
        with node_with(OLLAMA_GPU_OVERHEAD=str(all_but(1 << 20))) as node:
            with self.assertRaises(HttpError) as refused:
                node.post("/api/generate", SHORT)
            self.assertEqual(refused.exception.status, 500)
            self.assertIn("of memory, but only 0.0 GiB", refused.exception.text)


class WrongValues(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node()  # Never started; its folders and variables are used.
        cls.addClassCleanup(cls.node.__exit__, None, None, None)

    def refused(self, **variables):
        """What `serve` says, which must end at once: 1 is for all that failed, 2 for usage."""
        try:
            ended = self.node.cli("serve", check=False, environment=variables, timeout=120)
        except subprocess.TimeoutExpired:
            self.fail(f"a node serves with {variables}")
        self.assertEqual((ended.returncode, ended.stdout), (1, ""), ended.stderr)
        return ended.stderr

    def test_are_refused_with_the_variables_name(self):
        number, duration = "expected a ", "time: "
        for name, value, reason in (
                ("OLLAMA_HOST", "127.0.0.1:port", "127.0.0.1:port: invalid port"),
                ("OLLAMA_HOST", "127.0.0.1:99999", "127.0.0.1:99999: invalid port"),
                ("OLLAMA_HOST", "ftp://127.0.0.1", "expected http:// or https://"),
                ("OLLAMA_KEEP_ALIVE", "soon", duration + 'invalid duration "soon"'),
                ("OLLAMA_LOAD_TIMEOUT", "5 minutes", duration + 'unknown unit " minutes"'),
                ("OLLAMA_MAX_QUEUE", "many", number + "whole number"),
                ("OLLAMA_MAX_QUEUE", "0", number + "number from 1 to 1000000"),
                ("OLLAMA_NUM_PARALLEL", "-1", number + "number from 0 to 256"),
                ("OLLAMA_NUM_PARALLEL", "1.5", number + "whole number"),
                ("OLLAMA_MAX_LOADED_MODELS", "all", number + "whole number"),
                ("OLLAMA_CONTEXT_LENGTH", "4k", number + "whole number"),
                ("OLLAMA_GPU_OVERHEAD", "1G", number + "whole number"),
                ("OLLAMA_KV_CACHE_TYPE", "q5_1", "expected one of: f16, q8_0, q4_0")):
            with self.subTest(f"{name}={value}"):
                said = self.refused(**{name: value})
                self.assertTrue(said.startswith(f"Error: {name}: "), said)
                self.assertIn(reason, said)

    def test_that_only_this_machine_refuses_are_named_too(self):
        for name, value in (("OLLAMA_HOST", "256.0.0.1:11434"),
                            ("OLLAMA_MODELS", "/dev/null/models"),
                            ("OLLAMA_GPU_OVERHEAD", str(1 << 50))):
            with self.subTest(f"{name}={value}"):
                self.assertIn(name, self.refused(**{name: value}))

    def test_a_proxy_that_cannot_be_used_fails_only_what_would_go_through_it(self):
        for name, url in (("HTTPS_PROXY", "socks5h://me:secret@127.0.0.1:1"),
                          ("https_proxy", "https://proxy.example"),
                          ("HTTPS_PROXY", "ftp://proxy.example")):
            with self.subTest(f"{name}={url}"), Node({name: url}) as node:
                node.cli("list")
                pulled = node.cli("pull", "registry.example/a/b", check=False)
                self.assertEqual(pulled.returncode, 1)
                self.assertIn("only proxies at http:// are spoken to", pulled.stderr)
                self.assertIn("proxy cannot be used", node.log())
                self.assertNotIn("secret", pulled.stderr + node.log())

    def test_of_a_node_end_no_command_that_only_asks_one(self):
        with Node() as node:
            node.cli("list", environment={"OLLAMA_MAX_QUEUE": "0", "OLLAMA_KV_CACHE_TYPE": "bf16"})

    def test_that_contradict_each_other_are_refused(self):
        # llama-server cannot load anything with these two.
        said = self.refused(OLLAMA_KV_CACHE_TYPE="q8_0", OLLAMA_FLASH_ATTENTION="0")
        self.assertIn("OLLAMA_KV_CACHE_TYPE", said)
        self.assertIn("OLLAMA_FLASH_ATTENTION", said)


if __name__ == "__main__":
    cases.main()
