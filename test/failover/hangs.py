"""A runner that is stopped in the midst of a prompt: it does nothing, and is noticed for that."""

import re
import signal

import chaos
import load
from support.cluster import ClusterCase

MODEL = "smollm2:135m"
BATCH = 64  # Tokens. The smaller, the sooner silence tells something.
WORDS = "sun rain wind snow hail fog dew ice mud sand rock tree leaf root seed bark".split()


def prompt(number, words):
    """Nothing of it is cached for another number."""
    return " ".join(WORDS[(i * (number + 3) + i // 7) % len(WORDS)] for i in range(words))


class Hangs(ClusterCase):
    count = 2
    environments = dict.fromkeys(range(2), {"OLLAMA_CONTEXT_LENGTH": "4096",
                                            "OLLAMA_NUM_PARALLEL": "2"})

    @classmethod
    def prepare(cls):
        cls.runs, cls.gateway = cls.nodes
        cls.runs.create(MODEL)
        cls.gateway.cli("replicas", "set", MODEL, "--factor", "2")
        cls.gateway.wait_until(lambda: len(cls.gateway.copies(MODEL)) == 2, "both have the model")

    def ask(self, number, words):
        body = {"model": MODEL, "prompt": f"{number} {prompt(number, words)}", "raw": True,
                "options": {"num_batch": BATCH, "num_predict": 8, "temperature": 0}}
        stream = load.Stream(self.gateway, "generate", load.GENERATE, body)
        stream.start()
        return stream

    def drain(self, node, word="drain"):
        self.gateway.drain(node.name, word)
        state = "draining" if word == "drain" else "ready"
        self.gateway.wait_until(
            lambda: self.gateway.states()[node.name] == state, f"{node.name} is {state}")

    def answered_at_last_by(self, node, stream):
        """A stream that began for being silent so long does not tell by whom."""
        self.assertIn(stream.server, (None, node.name))

    def answered_by(self, node, other):
        """Loads the model there."""
        self.drain(other)
        stream = self.ask(node.index, 600)
        stream.join()
        self.assertIsNone(stream.failure)
        self.answered_at_last_by(node, stream)

    def begun(self):
        """Prompts that the runner began to evaluate: the first event of each says so."""
        return self.runs.metric("ollamamax_runner_first_event_seconds_count")

    def wedged(self):
        return self.runs.metric("ollamamax_runner_wedged_total")

    def told(self, begin):
        """Of a hang: after how long it was noticed, and what the limit was. In seconds."""
        found = re.search(r"brought no token for ([\d.]+) s \(limit ([\d.]+) s\)",
                          self.runs.log()[begin:])
        self.assertIsNotNone(found, "nobody noticed")
        return float(found[1]), float(found[2])

    def test_a_hang_in_a_prompt_is_noticed_before_long(self):
        self.answered_by(self.gateway, self.runs)
        self.drain(self.runs, "undrain")
        self.answered_by(self.runs, self.gateway)
        begin, begun, wedged = len(self.runs.log()), self.begun(), self.wedged()
        stream = self.ask(2, 2500)
        self.runs.wait_until(lambda: self.begun() > begun, "the prompt is evaluated")
        hung = self.runs.runners()
        self.assertEqual(len(hung), 1)
        chaos.send(hung, signal.SIGSTOP)
        self.drain(self.gateway, "undrain")
        self.drain(self.runs)  # Else it would be asked again while the other one comes back.
        stream.join()
        self.assertIsNone(stream.failure)
        self.answered_at_last_by(self.gateway, stream)
        silence, limit = self.told(begin)
        self.assertGreaterEqual(silence, limit)
        self.assertEqual(limit, 10)  # It is stopped, and does nothing.
        self.assertEqual(self.wedged() - wedged, 1)
        self.drain(self.runs, "undrain")

    def test_a_hang_while_nobody_asks_is_noticed_by_the_next_request(self):
        self.drain(self.gateway)
        self.ask(3, 100).join()
        begin, hung = len(self.runs.log()), self.runs.runners()
        chaos.send(hung, signal.SIGSTOP)
        stream = self.ask(4, 100)
        stream.join()
        self.assertIsNone(stream.failure)
        self.assertEqual(self.told(begin)[1], 10)
        # It is gone, and the node has taken another one.
        self.answered_at_last_by(self.runs, stream)
        self.assertFalse(set(hung) & set(self.runs.runners()))
        self.drain(self.gateway, "undrain")
