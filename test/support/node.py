"""A node of our own for a test: fresh folders, a free port, the real small models.

    with Node() as node:
        node.create("smollm2:135m")
        node.post("/api/generate", {...})
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from ports import free_port  # noqa: E402
from processes import processes  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("OLLAMAMAX_CACHE", pathlib.Path.home() / ".cache/ollamamax"))
PROGRAM = os.environ.get("OLLAMAMAX", str(ROOT / "build/release/ollamamax"))
MODELS = {
    "smollm2:135m": CACHE / "models/SmolLM2-135M-Instruct.Q4_1.gguf",
    "gemma3:270m": CACHE / "models/gemma-3-270m-Q4_K_M.gguf",
    "all-minilm": CACHE / "models/all-MiniLM-L6-v2.F16.gguf",
}


class HttpError(Exception):
    def __init__(self, status, body, headers):
        super().__init__(f"{status}: {body[:500]}")
        self.status, self.body, self.headers = status, body, headers

    @property
    def text(self):
        """The message of Ollama's {"error": ...}."""
        return json.loads(self.body)["error"]


class Node:
    def __init__(self, environment=None, arguments=()):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ollamamax-test-"))
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.host}"
        self.environment = {name: value for name, value in os.environ.items()
                            if not name.startswith(("OLLAMA_", "OLLAMAMAX_"))
                            and not name.upper().endswith("_PROXY")}
        self.environment.update({
            "OLLAMA_HOST": self.host,
            "OLLAMA_MODELS": str(self.folder / "models"),
            "OLLAMAMAX_STATE": str(self.folder / "state"),
            "OLLAMAMAX_CONFIG": str(self.folder / "config.toml"),
            "OLLAMAMAX_LLAMA_DIR": os.environ.get("OLLAMAMAX_LLAMA_DIR",
                                                  str(CACHE / "llama/current")),
        })
        (self.folder / "config.toml").write_text("")
        self.environment.update(environment or {})
        self.arguments = list(arguments)
        self.program = PROGRAM
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.print_log()
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def print_log(self):
        print(f"---- log of the node ----\n{self.log()[-6000:]}\n---- end ----")

    def command(self, line):
        """How a program is started on the node's machine."""
        return line

    def start(self):
        with open(self.folder / "node.log", "ab") as log:
            self.process = subprocess.Popen(self.command([self.program, "serve", *self.arguments]),
                                            env=self.environment,
                                            stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, start_new_session=True)
        self.wait_until(self.answers, "the node answers")

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the node ended: {self.process.returncode}\n{self.log()[-3000:]}")
        try:
            self.get("/api/version")
            return True
        except (OSError, HttpError):
            return False

    def stop(self, number=signal.SIGTERM, seconds=60):
        if self.process is None or self.process.poll() is not None:
            return None
        self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("the node did not end") from None

    def log(self):
        return (self.folder / "node.log").read_text(errors="replace")

    @staticmethod
    def wait_until(condition, what, seconds=120):
        """Polls; the limit is a bound against hanging, not a measure of speed."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if result := condition():
                return result
            time.sleep(0.05)
        raise AssertionError(f"never: {what}")

    def request(self, method, path, body=None, headers=None, timeout=300):
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method,
                                         headers=headers or {})
        if data is not None and "Content-Type" not in (headers or {}):
            request.add_header("Content-Type", "application/json")
        try:
            return urllib.request.urlopen(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            raise HttpError(error.code, error.read().decode(errors="replace"),
                            error.headers) from None

    def refused(self, status, path, body, method="POST"):
        """The message of a request that must be refused so."""
        try:
            self.request(method, path, body).close()
        except HttpError as refusal:
            if refusal.status != status:
                raise AssertionError(f"{method} {path}: {refusal}, not {status}") from None
            return refusal.text
        raise AssertionError(f"{method} {path} was not refused")

    def get(self, path, **options):
        with self.request("GET", path, **options) as reply:
            text = reply.read().decode()
            return json.loads(text) if text[:1] in "{[" else text

    def post(self, path, body, **options):
        """One JSON object: streaming is switched off."""
        if path.startswith("/api/"):
            body = {"stream": False, **body}
        with self.request("POST", path, body, **options) as reply:
            text = reply.read().decode()
            return json.loads(text) if text else None

    def stream(self, path, body, **options):
        with self.request("POST", path, {"stream": True, **body}, **options) as reply:
            for line in reply:
                if line.strip():
                    yield json.loads(line)

    def cli(self, *arguments, input=None, check=True, environment=None, timeout=300, program=None):
        result = subprocess.run(self.command([program or self.program, *arguments]),
                                env={**self.environment, **(environment or {})},
                                input=input, capture_output=True, text=True, timeout=timeout,
                                stdin=subprocess.DEVNULL if input is None else None)
        if check and result.returncode != 0:
            raise AssertionError(f"{arguments}: exit {result.returncode}\n{result.stdout}"
                                 f"\n{result.stderr}")
        return result

    def create(self, name="smollm2:135m"):
        modelfile = self.folder / "Modelfile"
        modelfile.write_text(f"FROM {MODELS[name]}\n")
        self.cli("create", name, "-f", str(modelfile))

    def names(self):
        return [model["name"] for model in self.get("/api/tags")["models"]]

    def metric(self, name):
        """Of all labels together; 0 if it has counted nothing. It must be one that there is."""
        told = self.get("/metrics")
        declared = re.sub(r"\{.*|_(count|sum)$", "", name)
        if f"# TYPE {declared} " not in told:
            raise AssertionError(f"there is no metric {declared}")
        found = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", told, re.M)
        return sum(map(float, found))

    def runners(self):
        """Process ids of the llama-server children of this node."""
        return [process.pid for process in processes()
                if process.program == "llama-server" and not process.has_ended
                and any(str(self.folder) in argument for argument in process.arguments)]
