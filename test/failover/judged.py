"""What ./run kills judges: also what never ends, and silence that lasts still. Needs no node."""

import threading
import time
import types
import unittest

import load
import trial


class Endless(load.Stream):
    """Says a word, and then nothing until it is let go."""

    def __init__(self, node):
        super().__init__(node, "generate 0", load.GENERATE, {})
        self.has_begun, self.let_go = threading.Event(), threading.Event()

    def run(self):
        self.arrivals.append(time.monotonic())
        self.has_begun.set()
        self.let_go.wait()


class Judged(unittest.TestCase):
    def setUp(self):
        node = types.SimpleNamespace(name="a node")
        cluster = types.SimpleNamespace(nodes=[node])
        self.trial = trial.Trial(cluster, 1, streams=0, say=lambda *_, **__: None)
        self.stream = Endless(node)
        self.stream.start()
        self.addCleanup(self.end)
        self.assertTrue(self.stream.has_begun.wait(10))

    def end(self):
        self.stream.let_go.set()
        self.stream.join()

    def test_a_stream_that_never_ends_has_failed(self):
        with self.trial.load():
            self.trial.running.append(self.stream)
        (told,) = self.trial.failures
        self.assertIn("never ended", told)

    def test_a_silence_that_lasts_still_is_a_pause(self):
        moment = time.monotonic()
        time.sleep(0.2)
        self.assertGreater(self.stream.pause_around(moment), 0.2)
        self.end()
        self.assertIsNone(self.stream.pause_around(moment))  # It ended before: no pause.
