"""A real vLLM, as an operator runs it."""

import json
import os
import pathlib
import signal
import subprocess
import time
import urllib.error
import urllib.request

from support.ports import free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL_TEMPLATE = ROOT / "src/prompt/testdata/hermes_thinking.jinja"
MODEL = "smollm2"
SECONDS_MAX = 300


class Server:
    """`name`: of the backend that it is to a node. Single precision, so that a greedy answer is the
    same wherever its prompt was cut into batches."""

    def __init__(self, folder, name, log):
        self.folder, self.name, self.log = pathlib.Path(folder), name, log
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        line = [str(self.folder / "venv/bin/vllm"), "serve", str(self.folder / "smollm2"),
                "--served-model-name", MODEL, "--host", "127.0.0.1", "--port", str(self.port),
                "--dtype", "float32", "--max-model-len", "2048", "--enforce-eager",
                "--enable-prompt-tokens-details", "--enable-auto-tool-choice",
                "--tool-call-parser", "hermes", "--chat-template", str(TOOL_TEMPLATE)]
        quiet = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1",
                 "VLLM_NO_USAGE_STATS": "1"}
        self.process = subprocess.Popen(line, env={**os.environ, **quiet}, stdout=self.log,
                                        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                        start_new_session=True)

    def wait(self):
        end = time.monotonic() + SECONDS_MAX
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended: {self.process.returncode}")
            try:
                urllib.request.urlopen(self.url + "/health", timeout=2).close()
                return
            except (OSError, urllib.error.URLError):
                time.sleep(0.2)
        raise AssertionError(f"{self.name} does not answer")

    def signal(self, number):
        os.killpg(self.process.pid, number)

    def kill(self):
        """All of its processes, at once."""
        if self.process and self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.wait()

    def ask(self, path, body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as reply:
            return json.load(reply)
