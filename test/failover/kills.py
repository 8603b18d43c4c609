#!/usr/bin/env python3
"""Kills runners and nodes at random moments under load; see docs/failover.md.

    ./run kills [N] [--seed SEED]
"""

import argparse
import json
import pathlib
import random
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent),
                str(pathlib.Path(__file__).resolve().parents[1])]
import chaos  # noqa: E402
from support.cluster import Cluster  # noqa: E402
from trial import Trial, create_models  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENVIRONMENT = {"OLLAMAMAX_DETERMINISTIC": "1", "OLLAMA_NUM_PARALLEL": "8",
               "OLLAMA_CONTEXT_LENGTH": "1024"}


def schedule(count, seed, hangs):
    """Every kind as often as the others, in random order; `hangs` of them take 10 s or more."""
    kinds = [chaos.RUNNER, chaos.NODE, chaos.FREEZE, chaos.CUT]
    deaths = [kinds[i % len(kinds)] for i in range(count - hangs)] + [chaos.HANG] * hangs
    random.Random(seed).shuffle(deaths)
    return deaths


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else None


def summary(trial, deaths, seed, seconds):
    quick = [pause for kind, pauses in trial.pauses.items() if kind != chaos.HANG
             for pause in pauses]
    return {
        "kills": len(deaths), "seed": seed, "seconds": round(seconds),
        "requests": len(trial.finished), "failed": len(trial.failures),
        "streams_in_a_kill": sum(trial.struck.values()),
        "pause_p50_s": percentile(quick, 0.5), "pause_p99_s": percentile(quick, 0.99),
        "pauses_s": {kind: {"count": len(pauses), "p50": percentile(pauses, 0.5),
                            "p99": percentile(pauses, 0.99)}
                     for kind, pauses in trial.pauses.items()},
        "failures": trial.failures[:20],
    }


def cluster():
    return Cluster(3, {index: ENVIRONMENT for index in range(3)})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--streams", type=int, default=5)
    parser.add_argument("--hangs", type=int, help="of the kills: runners that only stop (slow)")
    parser.add_argument("--keep-logs", help="folder for the nodes' logs")
    arguments = parser.parse_args()
    hangs = arguments.count // 20 if arguments.hangs is None else arguments.hangs
    deaths = schedule(arguments.count, arguments.seed, hangs)
    print(f"seed {arguments.seed}", flush=True)
    with cluster() as nodes:
        nodes.form()
        nodes.wait_until_ready()
        create_models(nodes.nodes[0])
        trial = Trial(nodes, arguments.seed, arguments.streams)
        try:
            trial.learn()
            begun = time.monotonic()
            trial.run(deaths)
        finally:
            if arguments.keep_logs:
                for node in nodes.nodes:
                    pathlib.Path(arguments.keep_logs, f"{node.name}.log").write_text(node.log())
        result = summary(trial, deaths, arguments.seed, time.monotonic() - begun)
    folder = ROOT / "build/bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kills.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    print(f"{result['failed']} of {result['requests']} requests failed in {result['kills']} kills; "
          f"pause p50 {result['pause_p50_s']:.2f} s, p99 {result['pause_p99_s']:.2f} s")
    return 1 if trial.failures else 0


if __name__ == "__main__":
    sys.exit(main())
