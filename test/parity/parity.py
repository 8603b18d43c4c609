#!/usr/bin/env python3
"""Asks a real Ollama and a node of ours the same, and tells every difference that is not wanted.

    ./run parity               builds that Ollama first, once (some 15 minutes)
    ./run parity PATTERN       those cases whose name has it; --words shows other error messages too

What differs on purpose is in differences.py, with the reason. Ends with 1 if there is more.
"""

import argparse
import hashlib
import http.client
import os
import pathlib
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import cases_of_both  # noqa: E402
import commands  # noqa: E402
import differences  # noqa: E402
import federation  # noqa: E402
import outcome  # noqa: E402
from support import templates  # noqa: E402
from support.node import MODELS, ROOT, Node  # noqa: E402

CHATML = """{{- range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
STILL = "PARAMETER temperature 0\nPARAMETER seed 1\nPARAMETER num_predict 8\n"
MODELFILES = {
    "plain": f"FROM {MODELS['smollm2:135m']}\n",
    "say": f"FROM {MODELS['smollm2:135m']}\nTEMPLATE \"\"\"{CHATML}\"\"\"\n",
    "kind": f"FROM {MODELS['smollm2:135m']}\nTEMPLATE \"\"\"{CHATML}\"\"\"\nSYSTEM Be kind.\n",
    "tooled": f"FROM {MODELS['smollm2:135m']}\nTEMPLATE \"\"\"{templates.TOOLS}\"\"\"\n",
    "thinker": f"FROM {MODELS['smollm2:135m']}\nTEMPLATE \"\"\"{templates.THINKS}\"\"\"\n",
    "embedder": f"FROM {MODELS['all-minilm']}\n"}
FULL = f"""FROM {MODELS['smollm2:135m']}
TEMPLATE {{{{ .System }}}} {{{{ .Prompt }}}}
SYSTEM You are "kind".
PARAMETER temperature 0.5
PARAMETER stop <a>
PARAMETER stop "b c"
PARAMETER num_ctx 512
LICENSE Free for all.
LICENSE And more.
MESSAGE user Hi
MESSAGE assistant Hello
"""
SETTINGS = {"OLLAMA_CONTEXT_LENGTH": "2048", "OLLAMA_NUM_PARALLEL": "1",
            "OLLAMA_MAX_LOADED_MODELS": "2"}


def ollama(environment=None):
    """A node of the program that we replace."""
    built = subprocess.run([str(ROOT / "tools/build_ollama.sh")], check=True,
                           stdout=subprocess.PIPE, text=True)
    node = Node({**SETTINGS, "OLLAMA_NOHISTORY": "1", **(environment or {})})
    node.environment["HOME"] = str(node.folder)
    node.program = built.stdout.strip().splitlines()[-1]
    return node


def digest_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fill(node):
    modelfile = node.folder / "Modelfile"
    for name, text in MODELFILES.items():
        modelfile.write_text(text)
        node.cli("create", name, "-f", str(modelfile))


def compare(case, theirs, ours, arguments):
    """Whether the two differ as nobody wanted."""
    (their, their_words, their_bytes), (our, our_words, our_bytes) = theirs, ours
    found = [difference for difference in outcome.differences(their, our)
             if not differences.wanted(case, difference)]
    if found or (arguments.words and their_words != our_words):
        print(f"\n{'==' if found else '--'} {case.name}: {case.method} {case.path} "
              f"{str(case.body)[:200]}")
        for difference in found:
            print(f"   {difference}")
        if their_words or our_words:
            print(f"   words: {their_words}\n   ours:  {our_words}")
        if arguments.bodies:
            print(f"   {their_bytes[:2000]}\n   {our_bytes[:2000]}", flush=True)
    return bool(found)


def compare_commands(node, program, pattern, show_words):
    """How many commands of the two programs print different things, of how many."""
    modelfile, wrong = node.folder / "Modelfile", node.folder / "Wrong"
    for name, text in {"calm": MODELFILES["say"] + STILL, "dreamer": MODELFILES["thinker"] + STILL,
                       "full": FULL}.items():
        modelfile.write_text(text)
        node.cli("create", name, "-f", str(modelfile))
    wrong.write_text("FROM say\nNONSENSE x\n")
    other = asked = 0
    for command, given in [*((command, None) for command in commands.COMMANDS), *commands.INPUTS]:
        name = "ollama " + " ".join(command)
        if pattern not in name:
            continue
        asked += 1
        words = [{"MODELFILE": str(modelfile), "WRONG": str(wrong)}.get(word, word)
                 for word in command]
        outcomes = []
        for one in (program, node.program):
            if words[0] == "rm":
                node.cli("cp", "say", "copied")
            outcomes.append(commands.run(node, one, words, given))
        theirs, ours = outcomes
        found = [f"{part}: {theirs[part]!r}\n      ours: {ours[part]!r}" for part in theirs
                 if theirs[part] != ours[part] and (show_words or part != "errors")]
        found = [difference for difference in found
                 if not differences.wanted_of_command(name, difference)]
        other += bool(found)
        if found:
            print(f"\n== {name}")
            for difference in found:
                print(f"   {difference}", flush=True)
    return other, asked


def ask_ollama(node, case):
    """None where it does not survive the question, or never answers."""
    try:
        return outcome.ask(node.host, case)
    except (http.client.RemoteDisconnected, ConnectionError, TimeoutError):
        os.killpg(node.process.pid, signal.SIGKILL)
        node.process.wait(60)
        node.start()
        return None


def pull_from(theirs, ours):
    """Their program takes a model from our node, as from a registry."""
    name = f"{ours.host}/library/plain:latest"
    theirs.post("/api/pull", {"model": name, "insecure": True, "stream": False})
    weights = {file.name for file in (theirs.folder / "models/blobs").iterdir()
               if file.stat().st_size > 1 << 20}
    return name in theirs.names() and "sha256-" + digest_of(MODELS["smollm2:135m"]) in weights


def serves(node):
    """Whether the node knows the models of its folder and answers with one of them."""
    names = {name.removesuffix(":latest") for name in node.names()}
    reply = node.post("/api/generate", {"model": "calm" if "calm" in names else "say",
                                        "prompt": "Hi", "stream": False,
                                        "options": {"num_predict": 4, "temperature": 0}})
    return names >= set(MODELFILES) and bool(reply["response"])


def live_together(theirs, ours):
    """How often one program cannot use what the other has, stores or gives out, of how often."""
    results = {"Ollama pulls from a node": pull_from(theirs, ours)}
    with ollama() as second:
        fill(second)
        results |= federation.check(theirs, second)
    for node in (theirs, ours):
        node.stop()
    folders = [node.environment["OLLAMA_MODELS"] for node in (theirs, ours)]
    theirs.environment["OLLAMA_MODELS"], ours.environment["OLLAMA_MODELS"] = reversed(folders)
    for node, what in ((theirs, "Ollama serves a node's models"),
                       (ours, "a node serves Ollama's models")):
        node.start()
        results[what] = serves(node)
    for what, held in results.items():
        print(f"{'ok' if held else 'FAILED'}: {what}", flush=True)
    return list(results.values()).count(False), len(results)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pattern", nargs="?", default="")
    parser.add_argument("--words", action="store_true", help="show other error messages, too")
    parser.add_argument("--bodies", action="store_true", help="show the whole replies, too")
    arguments = parser.parse_args()
    cases = [case for case in cases_of_both.all_cases() if arguments.pattern in case.name]
    other = 0
    with ollama() as theirs, Node(SETTINGS) as ours:
        print(f"asking both {len(cases)} things", flush=True)
        fill(theirs)
        fill(ours)
        for case in cases:
            our = outcome.ask(ours.host, case)
            if their := ask_ollama(theirs, case):
                other += compare(case, their, our, arguments)
            else:
                print(f"\n-- {case.name}: Ollama has no answer, "
                      f"ours is {our[0]['status']} {our[1]}")
        wrong, commanded = compare_commands(ours, theirs.program, arguments.pattern,
                                            arguments.words)
        unshared, shared = (0, 0) if arguments.pattern else live_together(theirs, ours)
    other += wrong + unshared
    print(f"{len(cases) + commanded + shared - other} passed, {other} failed")
    return 1 if other else 0


if __name__ == "__main__":
    sys.exit(main())
