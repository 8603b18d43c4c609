"""What the benchmarks share: building, nodes with a simulated runner, the load tool, figures."""

import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "test"), str(ROOT / "tools")]

import make_gguf  # noqa: E402
from support import node as nodes  # noqa: E402

CACHE = nodes.CACHE
BUILD = pathlib.Path(os.environ.get("OLLAMAMAX_BUILD", ROOT / "build/release"))
nodes.PROGRAM = str(BUILD / "ollamamax")


def build(*targets):
    """BENCH_NO_BUILD=1: measure what is there."""
    if os.environ.get("BENCH_NO_BUILD"):
        return
    if not (BUILD / "build.ninja").exists():
        sys.exit(f"{BUILD} is not configured: ./run build")
    subprocess.run(["ninja", "-C", str(BUILD), *targets], check=True, stdout=subprocess.DEVNULL)


def load(**arguments):
    """One run of load_bench; its figures."""
    words = [f"{key}={value}" for key, value in arguments.items()]
    done = subprocess.run([str(BUILD / "load_bench"), *words], check=True, capture_output=True,
                          text=True)
    figures = {key: float(value) for key, value in
               (pair.split("=") for pair in done.stdout.split() if "=" in pair)}
    if figures["errors"]:
        sys.exit(f"{figures['errors']:.0f} answers failed: {done.stderr.strip()}")
    return figures


def fake_runner(folder, token_us, slots, context=512):
    """The environment of a node whose runners are fake_llama_server."""
    llama = pathlib.Path(folder) / "llama"
    llama.mkdir(exist_ok=True)
    (llama / "llama-server").unlink(missing_ok=True)
    (llama / "llama-server").symlink_to(BUILD / "fake_llama_server")
    return {"OLLAMAMAX_LLAMA_DIR": str(llama), "FAKE_TOKEN_US": str(token_us),
            "OLLAMA_NUM_PARALLEL": str(slots), "OLLAMA_CONTEXT_LENGTH": str(context),
            "OLLAMA_KEEP_ALIVE": "-1"}


def fake_node(folder, token_us, slots, context=512, models=1):
    return nodes.Node(environment={
        **fake_runner(folder, token_us, slots, context),
        "OLLAMA_MAX_LOADED_MODELS": str(models), "OLLAMA_MAX_QUEUE": "4096"})


def create_tiny(node, name, number):
    """A model of a few kilobytes; each number gives another."""
    path = node.folder / f"{name}.gguf"
    path.write_bytes(make_gguf.model("llama").add("bench.number", make_gguf.U32, number).bytes())
    modelfile = node.folder / "Modelfile"
    modelfile.write_text(f"FROM {path}\n")
    node.cli("create", name, "-f", str(modelfile))


def resident_megabytes(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def start(arguments, port, environment=None):
    """A process that listens on `port` once this returns."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env={**os.environ, **(environment or {})})
    for _ in range(200):
        with open("/proc/net/tcp") as table:
            if any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
                   for line in table.readlines()[1:]):
                return process
        if process.poll() is not None:
            break
        time.sleep(0.05)
    process.kill()
    process.wait()
    sys.exit(f"{arguments[0]} does not listen on port {port}")


def end(processes):
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait()


def median(values):
    return statistics.median(values)


def spread(values):
    """Lowest and highest, as the noise of a figure."""
    return f"{min(values):.3g}..{max(values):.3g}"


def table(head, rows):
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, ["-" * width for width in widths], *rows]:
        print("| " + " | ".join(str(cell).ljust(width)
                                for cell, width in zip(row, widths)) + " |")
    print(flush=True)


def figure(what, value, budget="", met=None):
    """A figure for the table at the end of bench/run and for bench/results.md."""
    mark = "" if met is None else "met" if met else "MISSED"
    print(f"{what}: {value}" + (f"  (budget {budget}: {mark})" if budget else ""), flush=True)
    if path := os.environ.get("BENCH_FIGURES"):
        with open(path, "a") as file:
            file.write(json.dumps({"what": what, "value": str(value), "budget": budget,
                                   "met": mark}) + "\n")


def need(program, package):
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if not found:
        sys.exit(f"{program} is missing: apt-get install {package}")
    return found
