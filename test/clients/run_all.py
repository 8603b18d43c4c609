#!/usr/bin/env python3
"""Runs the suites of official clients and prints "N passed, N failed".

With OLLAMA_HOST set they run against that node, which must have smollm2:135m. Otherwise a node of
the program OLLAMAMAX (build/release/ollamamax) is started on a folder of its own, with the models
of the cache. Arguments name the suites to run; all by default.
"""

import hashlib
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from ports import free_port  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = pathlib.Path(os.environ.get("OLLAMAMAX_CACHE", pathlib.Path.home() / ".cache/ollamamax"))
SUITES = ["python", "js", "go", "schemathesis"]
SECONDS_MAX = 900
MODELS = {
    "smollm2:135m": ["SmolLM2-135M-Instruct.Q4_1.gguf"],
    "gemma3:270m": ["gemma-3-270m-Q4_K_M.gguf"],
    "all-minilm": ["all-MiniLM-L6-v2.F16.gguf"],
}
REQUIRED = "smollm2:135m"
# So small a model, left to chance, sometimes never ends its answer.
PARAMETERS = {"num_predict": 300, "temperature": 0}


class Node:
    def __init__(self, folder):
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.log = open(pathlib.Path(folder) / "node.log", "w+")
        program = os.environ.get("OLLAMAMAX", str(ROOT / "build/release/ollamamax"))
        environment = dict(os.environ, OLLAMA_HOST=self.host,
                           OLLAMA_MODELS=str(pathlib.Path(folder) / "models"),
                           OLLAMAMAX_STATE=str(pathlib.Path(folder) / "state"))
        self.process = subprocess.Popen([program, "serve"], env=environment, stdout=self.log,
                                        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    def ask(self, method, path, body=None):
        """Status and body; the body of a request may be a file or JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS_MAX)
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        connection.request(method, path, body)
        reply = connection.getresponse()
        return reply.status, reply.read().decode(errors="replace")

    def wait(self):
        for _ in range(300):
            if self.process.poll() is not None:
                raise SystemExit("the node ended:\n" + self.last_words())
            try:
                if self.ask("GET", "/api/version")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise SystemExit("the node does not answer:\n" + self.last_words())

    def create(self, name, paths):
        files = {}
        for path in paths:
            path = CACHE / "models" / path
            if not path.exists():
                continue
            with path.open("rb") as source:
                digest = "sha256:" + hashlib.file_digest(source, "sha256").hexdigest()
                source.seek(0)
                status, text = self.ask("POST", "/api/blobs/" + digest, source)
            if status not in (200, 201):
                raise SystemExit(f"upload of {path.name}: {status} {text}")
            below = path.relative_to(CACHE / "models").parts
            files["/".join(below[1:]) or below[0]] = digest
        if not files:
            return "its files are not in the cache (./run models)"
        status, text = self.ask("POST", "/api/create",
                                {"model": name, "files": files, "stream": False,
                                 "parameters": PARAMETERS})
        return None if status == 200 and "error" not in json.loads(text) else text

    def last_words(self):
        self.log.flush()
        self.log.seek(0)
        return "".join(self.log.readlines()[-20:])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = "no end within 60 s of SIGTERM"
        return code


def run_suite(name, host):
    started = time.monotonic()
    try:
        result = subprocess.run([str(HERE / name / "run")], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, timeout=SECONDS_MAX,
                                stdin=subprocess.DEVNULL, env=dict(os.environ, OLLAMA_HOST=host))
        code, output = result.returncode, result.stdout
    except subprocess.TimeoutExpired as error:
        code, output = 1, (error.stdout or b"").decode(errors="replace") + "\ntoo slow"
    print(output, flush=True)
    found = re.findall(rf"^{name}: (\d+) passed, (\d+) failed", output, re.M)
    passed, failed = map(int, found[-1]) if found else (0, 1)
    if code != 0 and failed == 0:
        failed = 1
    print(f"---- {name}: {time.monotonic() - started:.0f} s", flush=True)
    return passed, failed


def run_suites(names, host):
    results = [run_suite(name, host) for name in names]
    return sum(passed for passed, _ in results), sum(failed for _, failed in results)


def main():
    # A stopped run stops its node, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    names = sys.argv[1:] or SUITES
    if unknown := [name for name in names if name not in SUITES]:
        print(f"no suite {unknown[0]}; there are {', '.join(SUITES)}", file=sys.stderr)
        return 2
    if host := os.environ.get("OLLAMA_HOST"):
        passed, failed = run_suites(names, host)
    else:
        with tempfile.TemporaryDirectory(prefix="ollamamax-clients-") as folder:
            node = Node(folder)
            try:
                node.wait()
                for name, paths in MODELS.items():
                    if problem := node.create(name, paths):
                        print(f"{name} is left out: {problem}", flush=True)
                        if name == REQUIRED:
                            raise SystemExit(1)
                passed, failed = run_suites(names, node.host)
            finally:
                code = node.stop()
            if code != 0:
                print(f"the node ended with {code}:\n{node.last_words()}")
                failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
