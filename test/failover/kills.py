#!/usr/bin/env python3
"""Kills runners and nodes at random moments under load; see docs/failover.md.

    ./run kills [N] [--seed SEED] [--ordinary]    prints and writes build/bench/kills.json
    bench/run kills                    the same, for bench/results.md
"""

import argparse
import json
import os
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
NODES = 3


def environments(exact=True):
    """Of each node, by its number."""
    return dict.fromkeys(range(NODES), {
        "OLLAMAMAX_DETERMINISTIC": "1" if exact else "0", "OLLAMA_NUM_PARALLEL": "8",
        "OLLAMA_CONTEXT_LENGTH": "1024", "OLLAMAMAX_DRAIN_TIME": "180s",
        # An answer goes on without waiting for a load.
        "OLLAMAMAX_CLUSTER_STANDBY_RUNNERS": "1"})


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
        "failures": trial.failures[:20], "deaths": trial.deaths,
    }


def tell(result, streams, exact):
    """The figures, also for bench/run."""
    kills = f"{result['kills']} kills under {streams} streams on {os.cpu_count()} cores"
    kills += "" if exact else ", ordinary kernels"
    pause = "pause of an answer whose runner or node died (standby runner; not of hangs)"
    figures = [
        {"what": f"requests failed{' or changed' if exact else ''} in {kills}",
         "value": f"{result['failed']} of {result['requests']}", "budget": "0",
         "met": "met" if result["failed"] == 0 else "MISSED"},
        {"what": f"{pause}, p50, {kills}",
         "value": f"{result['pause_p50_s']:.2f} s", "budget": "", "met": ""},
        {"what": f"{pause}, p99, {kills}",
         "value": f"{result['pause_p99_s']:.2f} s", "budget": "< 3 s",
         "met": "met" if result["pause_p99_s"] < 3 else "MISSED"}]
    for figure in figures:
        print(f"{figure['what']}: {figure['value']}")
    if path := os.environ.get("BENCH_FIGURES"):
        with open(path, "a") as file:
            file.writelines(json.dumps(figure) + "\n" for figure in figures)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--streams", type=int, default=os.cpu_count(),
                        help="at once; one a core if not said")
    parser.add_argument("--variants", type=int, default=2, help="prompts of each kind")
    parser.add_argument("--hangs", type=int, help="of the kills: runners that only stop (slow)")
    parser.add_argument("--ordinary", action="store_true",
                        help="ordinary kernels, which are faster, and no comparison of texts")
    parser.add_argument("--keep-logs", help="folder for the nodes' logs")
    arguments = parser.parse_args()
    hangs = arguments.count // 20 if arguments.hangs is None else arguments.hangs
    deaths = schedule(arguments.count, arguments.seed, hangs)
    print(f"seed {arguments.seed}", flush=True)
    exact = not arguments.ordinary
    with Cluster(NODES, environments(exact)) as nodes:
        nodes.form()
        create_models(nodes.nodes[0])
        trial = Trial(nodes, arguments.seed, arguments.streams, arguments.variants,
                      exact=exact)
        try:
            trial.learn()
            print(f"{len(trial.expected)} answers known", flush=True)
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
    print(json.dumps({**result, "deaths": "in build/bench/kills.json"}, indent=1))
    tell(result, arguments.streams, exact)
    return 1 if trial.failures else 0


if __name__ == "__main__":
    sys.exit(main())
