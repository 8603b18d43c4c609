"""Work on a cluster while it is harmed: changes of its facts, and answers. Everything is noted."""

import json
import threading
import time
import urllib.error

from support.node import HttpError

MODEL = "smollm2:135m"
ANSWER = {"model": MODEL, "prompt": "Write a very long story about a fox and a river.",
          "options": {"num_predict": 24, "temperature": 0, "seed": 1}}
JOIN_SECONDS = 150  # Longer than one request may take.


class Writer(threading.Thread):
    """Makes copies of the model under new names, one after the other, through one node."""

    def __init__(self, node, stop):
        super().__init__(daemon=True)
        self.node, self.stop = node, stop
        self.acknowledged, self.refused, self.times = [], [], []

    def run(self):
        number = 0
        while not self.stop.is_set():
            name = f"w-{self.node.name}-{number}"
            number += 1
            begin = time.monotonic()
            try:
                self.node.post("/api/copy", {"source": MODEL, "destination": name}, timeout=30)
                self.acknowledged.append(name)
                self.times.append(time.monotonic())
            except (HttpError, OSError, urllib.error.URLError) as error:
                self.refused.append((name, time.monotonic() - begin, error))
            time.sleep(0.05)

    def longest_pause(self):
        return max((b - a for a, b in zip(self.times, self.times[1:])), default=0.0)


class Asker(threading.Thread):
    """Streams one answer after the other through one node."""

    def __init__(self, node, stop):
        super().__init__(daemon=True)
        self.node, self.stop = node, stop
        self.answers, self.failures, self.longest_gap = 0, [], 0.0

    def run(self):
        while not self.stop.is_set():
            try:
                self.answers += self.ask()
            except Exception as error:  # noqa: BLE001: told by check().
                self.failures.append(repr(error))
                time.sleep(0.2)

    def ask(self):
        last, lines = None, []
        with self.node.request("POST", "/api/generate", {"stream": True, **ANSWER},
                               timeout=120) as reply:
            for line in reply:
                now = time.monotonic()
                if last is not None:
                    self.longest_gap = max(self.longest_gap, now - last)
                last = now
                lines.append(json.loads(line))
        if not lines or "error" in lines[-1] or not lines[-1].get("done"):
            raise AssertionError(f"an answer ended with {lines[-1:]}")
        if lines[-1]["eval_count"] != ANSWER["options"]["num_predict"]:
            raise AssertionError(f"{lines[-1]['eval_count']} tokens")
        return 1


class Load:
    """with Load(cluster, writers=[...], askers=[...]) as load: ... harm it ..."""

    def __init__(self, writers=(), askers=()):
        self.stop = threading.Event()
        self.writers = [Writer(node, self.stop) for node in writers]
        self.askers = [Asker(node, self.stop) for node in askers]

    def __enter__(self):
        for thread in self.writers + self.askers:
            thread.start()
        try:
            self.wait_for_progress()
        except BaseException as error:
            self.__exit__(type(error))  # Or the load would go on under the next tests.
            raise
        return self

    def __exit__(self, kind=None, *_):
        self.stop.set()
        threads = self.writers + self.askers
        for thread in threads:
            thread.join(JOIN_SECONDS)
        endless = [thread.node.name for thread in threads if thread.is_alive()]
        if endless and kind is None:  # Else that is to be told.
            raise AssertionError(f"what was asked of {', '.join(endless)} never ended")

    def wait_for_progress(self, writes=6, answers=1, seconds=240):
        """Every writer and asker gets on by so much."""
        wanted = ([len(w.acknowledged) + writes for w in self.writers]
                  + [a.answers + answers for a in self.askers])
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            now = [len(w.acknowledged) for w in self.writers] + [a.answers for a in self.askers]
            if all(have >= want for have, want in zip(now, wanted)):
                return
            time.sleep(0.05)
        raise AssertionError(f"no progress: {now}, not {wanted}; refused: "
                             f"{[w.refused[-1:] for w in self.writers]}; "
                             f"failures: {[a.failures[-1:] for a in self.askers]}")

    def acknowledged(self):
        return {name for writer in self.writers for name in writer.acknowledged}

    def check_answers(self, case, askers=None):
        for asker in self.askers if askers is None else askers:
            case.assertEqual(asker.failures, [])
            case.assertGreater(asker.answers, 0)

    def check_writes(self, case, nodes):
        """What was acknowledged is there, on every node, and the load was real."""
        wanted = self.acknowledged()
        case.assertGreater(len(wanted), 10, "too little was written for this to say anything")
        for node in nodes:
            def all_there(node=node):
                return wanted <= names_of(node)
            node.wait_until(all_there, f"{node.name} knows every acknowledged write")

    def figures(self):
        pauses = [f"{writer.longest_pause():.1f}" for writer in self.writers]
        gaps = [f"{asker.longest_gap:.1f}" for asker in self.askers]
        return (f"{len(self.acknowledged())} writes, longest pause {', '.join(pauses) or '-'} s; "
                f"{sum(a.answers for a in self.askers)} answers, longest gap "
                f"{', '.join(gaps) or '-'} s")


def names_of(node):
    return {name.removesuffix(":latest") for name in node.names()}
