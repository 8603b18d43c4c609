#!/usr/bin/env python3
"""Three nodes on three machines (network namespaces of this one), a model, a chat, a death.

What it prints is what happens: nothing is played back. Needs root; leaves nothing behind.
"""

import json
import os
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "test"))
from support.cluster import Cluster  # noqa: E402

MODEL = "smollm2:135m"
QUESTION = "Tell me a long story about a fox who crosses a river."
BOLD, DIM, RED, GREEN, PLAIN = ("\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[0m") \
    if sys.stdout.isatty() else ("",) * 5
KILL_AFTER = 40  # Chunks.


def say(text=""):
    print(f"{BOLD}{text}{PLAIN}" if text else "", flush=True)


def command(node, *arguments):
    shown = [part[:24] + "..." if len(part) > 60 else part for part in arguments]
    print(f"{DIM}{node.name}${PLAIN} ollamamax {' '.join(shown)}", flush=True)
    output = node.cli(*arguments).stdout
    print("".join(f"    {line[:110]}\n" for line in output.rstrip().split("\n")), flush=True)


def chat(gateway, nodes, model):
    """Streams one answer and kills, with -9, the machine that makes it."""
    started = time.monotonic()
    request = {"model": model, "messages": [{"role": "user", "content": QUESTION}],
               "stream": True, "options": {"num_predict": 160, "temperature": 0}}
    with gateway.request("POST", "/api/chat", request) as reply:
        server = reply.headers["X-OllamaMax-Node"]
        print(f"{DIM}(asked of {gateway.name}, answered by {server}){PLAIN}\n", flush=True)
        chunks, longest, last = 0, 0.0, None
        for line in reply:
            now = time.monotonic()
            if chunks == KILL_AFTER + 1:
                longest = now - last
            last = now
            chunk = json.loads(line)
            print(chunk["message"]["content"], end="", flush=True)
            chunks += 1
            if chunks == KILL_AFTER + 1:
                next(node for node in nodes if node.name == server).kill()
                print(f"{RED}  << kill -9 {server} >>  {PLAIN}", end="", flush=True)
                last = time.monotonic()
    print("\n", flush=True)
    say(f"The answer went on after {longest:.1f} s: {chunk['eval_count']} tokens, none twice, "
        f"none lost ({time.monotonic() - started:.0f} s in all).")
    return server


def wait_for_copies(node, name, count):
    """The names of the nodes that have the model, once there are so many."""
    def holders():
        models = json.loads(node.cli("replicas", "--json").stdout)["models"]
        copies = next(model["copies"] for model in models if model["name"] == name)
        return copies if len(copies) >= count else None
    return node.wait_until(holders, f"there are {count} copies")


def main():
    if os.geteuid() != 0:
        sys.exit("demo-cluster makes network namespaces and needs root: sudo ./run demo-cluster")
    with Cluster(4) as cluster:
        first, second, third, registry = cluster.nodes
        machines = [first, second, third]
        registry.create(MODEL)
        say("1. Three machines, each with one `ollamamax serve`. Make them one Ollama:")
        command(first, "cluster", "init")
        for node in (second, third):
            command(node, "cluster", "join", first.cli("cluster", "token").stdout.strip())
        cluster.wait_until_ready([node.name for node in machines])
        cluster.wait_for_voters()
        say("2. One of them pulls a model, from a registry (here: a fourth machine by itself). "
            "They share it out among themselves:")
        model = f"{registry.host}/library/{MODEL}"
        command(first, "pull", model, "--insecure")
        holders = wait_for_copies(first, model, 2)
        command(first, "replicas")
        gateway = next(node for node in machines if node.name not in holders)
        say(f"3. A chat, asked of {gateway.name}, which has no copy. In the middle of the answer "
            "the machine that makes it dies.")
        chat(gateway, machines, model)
        say()
        say("4. What the cluster says:")
        command(gateway, "cluster", "status")
    print(f"{GREEN}Nothing of it is left.{PLAIN}")


if __name__ == "__main__":
    main()
