"""Three nodes, streams of every kind through them, deaths under way, and what was seen.

Every stream must say, to the letter, what the same request says when nothing dies.
"""

import contextlib
import json
import random
import threading
import time

import chaos
import load
from support import chat_template, projector, templates
from support.node import MODELS, ROOT

TOOLS_TEMPLATE = ROOT / "src/prompt/testdata/hermes_thinking.jinja"
TOKENS = 90
GAP = 5  # Seconds.
STOPPED = ("generate", "openai", "messages")


def create_models(node):
    """One model under four names: with templates of two kinds that know tools, with one that
    thinks, and beside a projector."""
    weights = node.folder / "model.gguf"
    # With tags of its own: one with Ollama's would come before Go templates without thoughts.
    jinja = TOOLS_TEMPLATE.read_text().replace("think>", "thought>")
    chat_template.replace(MODELS["smollm2:135m"], weights, jinja)
    modelfile = node.folder / "Modelfile"
    modelfile.write_text(f"FROM {weights}\n")
    node.cli("create", load.MODEL, "-f", str(modelfile))
    projector.write_projector(node.folder / "projector.gguf", projector.SMOLLM2_WIDTH)
    modelfile.write_text(f"FROM {weights}\nFROM {node.folder / 'projector.gguf'}\n")
    node.cli("create", load.IMAGE_MODEL, "-f", str(modelfile))
    weights.unlink()
    for name, template in ((load.THINK_MODEL, templates.THINKS_WITH_TOOLS),
                           (load.GO_MODEL, templates.TOOLS)):
        node.post("/api/create", {"model": name, "from": load.MODEL, "template": template})


class Trial:
    """The gateway (the last node) is never harmed; clients mostly ask it, others now and then."""

    def __init__(self, cluster, seed, streams=5, variants=2, say=print, exact=True):
        self.cluster, self.random, self.say = cluster, random.Random(seed), say
        self.nodes, self.gateway = cluster.nodes, cluster.nodes[-1]
        self.by_name = {node.name: node for node in self.nodes}
        self.streams, self.variants = streams, variants
        self.exact = exact  # Else what is said is not compared: ordinary kernels may round.
        self.lock = threading.Lock()
        self.running, self.finished = [], []
        self.closed = set()  # Names of nodes that no client asks now.
        self.over = threading.Event()
        self.expected, self.failures, self.pauses, self.struck = {}, [], {}, {}
        self.deaths = []  # Of each: when by the nodes' logs, whom, and the streams in it.
        self.kinds, self.stop_at = {}, {}  # Where the text of a kind ends at its stop string.
        for variant in range(variants):
            for name, (path, body) in load.kinds(load.SUBJECTS[variant], TOKENS).items():
                self.kinds[f"{name} {variant}"] = (path, body)

    def learn(self, turns=2):
        """What every request says when nothing dies; it must be the same each time. Then how it
        ends at a string out of the midst of it."""
        self.learn_kinds(self.kinds, turns)
        if not self.exact:
            return
        stopped, ends = {}, {}
        for variant in range(self.variants):
            for name in STOPPED:
                kind = f"{name}, stop found {variant}"
                whole = self.expected[f"{name} {variant}"]
                stop = load.stop_string(whole["text"])
                ends[kind] = (whole, stop)
                stopped[kind] = load.with_stop(*self.kinds[f"{name} {variant}"], stop)
        self.learn_kinds(stopped, turns)
        self.kinds.update(stopped)
        for kind, (whole, stop) in ends.items():
            said = self.expected[kind]
            self.stop_at[kind] = whole["text"].index(stop)
            if said["text"] != whole["text"][:self.stop_at[kind]]:
                raise AssertionError(f"{kind}: {said['text']!r} does not end before {stop!r}")
            if said["logprobs"] != whole["logprobs"][:len(said["logprobs"])]:
                raise AssertionError(f"{kind}: other log probabilities than without an end")

    def learn_kinds(self, kinds, turns):
        for _ in range(turns):
            waiting = list(kinds.items())
            while waiting:
                batch, waiting = waiting[:self.streams], waiting[self.streams:]
                streams = [load.Stream(self.gateway, name, *kind) for name, kind in batch]
                for stream in streams:
                    stream.start()
                for stream in streams:
                    stream.join()
                    if stream.failure:
                        raise AssertionError(f"{stream.kind}: {stream.failure}")
                    said = stream.answer.said()
                    if lack := load.lacks(stream.kind, stream.body, said):
                        raise AssertionError(f"{stream.kind} has no {lack}")
                    before = self.expected.setdefault(stream.kind, said)
                    wrong = self.exact and load.difference(before, said)
                    if wrong:
                        raise AssertionError(f"{stream.kind} without any death: {wrong}")

    def client(self):
        """One client, who asks one thing after the other."""
        chance = random.Random(self.random.random())
        while not self.over.is_set():
            name = chance.choice(list(self.kinds))
            with self.lock:
                others = [node for node in self.nodes[:-1] if node.name not in self.closed]
                node = self.gateway
                if others and (chance.random() < 0.2 or node.name in self.closed):
                    node = chance.choice(others)
                stream = load.Stream(node, name, *self.kinds[name])
                self.running.append(stream)
            stream.start()
            stream.join()
            with self.lock:
                self.running.remove(stream)
                self.finished.append(stream)
            self.check(stream)

    def check(self, stream):
        wrong = stream.failure
        if not wrong and self.exact:
            wrong = load.difference(self.expected[stream.kind], stream.answer.said())
        if wrong:
            self.fail(stream, wrong)

    def fail(self, stream, wrong):
        text = f"{stream.kind} (request {stream.request_id} at {stream.node.name}): {wrong}"
        self.failures.append(text)
        self.say(f"FAILED {text}", flush=True)

    def served_by(self, nodes, seconds=60):
        """The node of `nodes` that is somewhere in the middle of a client's answer."""
        wanted = self.random.randint(1, TOKENS * 2 // 3)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with self.lock:
                for stream in self.running:
                    node = self.by_name.get(stream.server)
                    if node in nodes and len(stream.arrivals) >= wanted:
                        return node
            if time.monotonic() > end - seconds * 5 / 6:
                wanted = 1  # None gets that far: short answers, or none there.
            time.sleep(0.02)
        return None

    def server_of(self, stream):
        """The node that serves it. A stream that began for being silent so long does not tell."""
        name = stream.server
        if name is None:
            why = json.loads(stream.node.cli("explain", stream.request_id, "--json").stdout)
            name = why["candidates"][0]["node"]
        return self.by_name[name]

    def choose(self, kind):
        """Whom it hits. A node that dies as a whole must have no clients of its own: those lose
        their connection, which is another test."""
        if kind in (chaos.RUNNER, chaos.HANG):
            return self.served_by(self.nodes)
        if node := self.choose_machine(10):
            return node
        # The gateway serves all of them itself: warm prompts are there, and it has slots enough.
        with self.served_elsewhere():
            return self.choose_machine(60)

    @contextlib.contextmanager
    def served_elsewhere(self, node=None):
        """The gateway, or `node`, serves no new requests itself."""
        name = (node or self.gateway).name
        self.gateway.drain(name)
        try:
            self.gateway.wait_until(lambda: self.gateway.states()[name] == "draining", "it drains")
            yield
        finally:
            self.gateway.drain(name, "undrain")

    def close(self, node, may_stay):
        """No client asks it any more. Waits for the end of those streams that may not stay."""
        with self.lock:
            self.closed.add(node.name)
        node.wait_until(lambda: all(stream.node is not node or may_stay(stream)
                                    for stream in list(self.running)),
                        f"{node.name} is rid of its clients", 600)

    def choose_machine(self, seconds):
        for node in self.random.sample(self.nodes[:-1], len(self.nodes) - 1):
            self.close(node, lambda stream: False)
            if self.served_by([node], seconds):
                return node
            self.closed.discard(node.name)
        return None

    def kill(self, kind):
        victim = self.choose(kind)
        if victim is None:
            raise AssertionError("no stream is served by a node that may die")
        death = chaos.Death(kind, victim, self.cluster.network)
        with self.lock:
            touched = [stream for stream in self.running
                       if stream.server == victim.name and stream.arrivals]
        death.strike()
        try:
            self.settle(touched, death.moment, 60)
        finally:
            death.mend()
        self.record(death, touched)
        self.cluster.wait_until_ready()
        with self.lock:
            self.closed.discard(victim.name)
        return len(touched)

    def record(self, death, touched):
        self.struck.setdefault(death.kind, 0)
        self.struck[death.kind] += len(touched)
        streams = []
        for stream in touched:
            # Tool calls come at their end in one piece: their silence tells nothing.
            pause = stream.pause_around(death.moment)
            if pause is not None and "tool" not in stream.kind and "json" not in stream.kind:
                self.pauses.setdefault(death.kind, []).append(pause)
            streams.append({"kind": stream.kind, "asked": stream.node.name,
                            "request": stream.request_id, "pause_s": pause})
        self.deaths.append({"kind": death.kind, "node": death.node.name, "at": death.wall_moment,
                            "streams": streams})

    @staticmethod
    def settle(streams, moment, seconds):
        """Waits until each of them goes on or has ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if all(not stream.is_alive() or (stream.arrivals and stream.arrivals[-1] > moment + 0.5)
                   for stream in streams):
                return
            time.sleep(0.02)

    @contextlib.contextmanager
    def load(self):
        clients = [threading.Thread(target=self.client, daemon=True) for _ in range(self.streams)]
        self.over.clear()
        for client in clients:
            client.start()
        try:
            yield
        finally:
            self.over.set()
            for client in clients:
                client.join(180)
            self.note_endless()

    def note_endless(self):
        """What still runs after the last client's patience was judged by nobody."""
        with self.lock:
            endless = list(self.running)
        for stream in endless:
            self.fail(stream, "never ended")

    def run(self, deaths):
        """`deaths`: kinds, one after the other, under load all the time. The next one comes
        within GAP once all nodes are there and all answers go on, perhaps before what was lost is
        loaded again."""
        with self.load():
            for number, kind in enumerate(deaths):
                time.sleep(self.random.uniform(0, GAP))
                count = self.kill(kind)
                self.say(f"{number + 1}/{len(deaths)} {kind}: {count} streams in it", flush=True)

    def roll(self):
        """Restarts every node under load, as an operator does; clients ask those that stay."""
        with self.load():
            for node in self.nodes:
                self.served_by([node], 20)  # Some work is to be there, if any comes.
                # Who has chosen it, but is not there yet, would be refused.
                self.close(node, lambda stream: stream.request_id or stream.failure)
                code = node.stop(seconds=240)
                if code != 0:
                    self.failures.append(f"{node.name} ended with {code}")
                node.start()
                self.cluster.wait_until_ready()
                with self.lock:
                    self.closed.discard(node.name)
