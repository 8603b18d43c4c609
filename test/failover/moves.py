"""Planned ends: answers move to another node between two tokens, and nobody notices."""

import re
import signal

import load

COUNTERS = ["ollamamax_generation_resumes_total", "ollamamax_generation_retries_total",
            "ollamamax_generation_broken_total"]
AS_THEY_ARE = ["generate, schema", "openai, tool", "messages"]
LONG = ["openai", "chat, thinking"]
TOKENS = 240  # Of those that are made longer: a runner is loaded meanwhile, if none is warm.


class Moves:
    """Tests of Failover, in its cluster."""

    def all_at_once(self, kinds, node):
        streams = [load.Stream(node, kind, *kinds[kind]) for kind in kinds]
        for stream in streams:
            stream.start()
        return streams

    def learn_moved(self):
        """The requests that are to be moved, and what is answered where they stay."""
        if hasattr(type(self), "moved"):
            return type(self).moved
        kinds = {}
        for kind in LONG:
            path, body = self.trial.kinds[f"{kind} 0"]
            more = {"max_tokens": TOKENS} if path == load.OPENAI else {
                "options": {**body["options"], "num_predict": TOKENS}}
            kinds[f"long {kind}"] = (path, {**body, **more})
        expected = {f"{kind} 0": self.trial.expected[f"{kind} 0"] for kind in AS_THEY_ARE}
        for stream in self.all_at_once(kinds, self.cluster.nodes[2]):
            stream.join()
            self.assertIsNone(stream.failure, stream.kind)
            expected[stream.kind] = stream.answer.said()
        kinds.update({kind: self.trial.kinds[kind] for kind in expected if kind not in kinds})
        type(self).moved = kinds, expected
        return type(self).moved

    def begin_elsewhere(self, kinds):
        gateway = self.cluster.nodes[2]
        with self.trial.served_elsewhere():
            streams = self.all_at_once(kinds, gateway)
            for stream in streams:
                gateway.wait_until(lambda stream=stream: len(stream.arrivals) > 5 or
                                   "tool" in stream.kind or not stream.is_alive(),
                                   "some of each answer")
        return streams

    @staticmethod
    def counters(node):
        return {name: node.metric(name) for name in COUNTERS}

    def check_moved(self, streams, expected, victim, log):
        """Those that `victim` served were moved in their midst; they and all others are whole."""
        moved = 0
        for stream in streams:
            stream.join()
            self.assertIsNone(stream.failure, stream.kind)
            wanted = expected[stream.kind]
            self.assertIsNone(load.difference(wanted, stream.answer.said()), stream.kind)
            found = re.findall(rf'event="answer moved" id={stream.request_id} from=(\w+) to=(\w+)'
                               r" tokens=(\d+)", log())
            if not found:  # The short ones may be over before a runner is warm elsewhere.
                self.assertFalse(stream.server == victim.name and "long" in stream.kind)
                continue
            (source, target, tokens), = found
            self.assertEqual(source, victim.name)
            self.assertNotEqual(target, victim.name)
            count = load.output_tokens(wanted)
            self.assertTrue(0 < int(tokens) < count, f"{stream.kind}: {tokens} of {count}")
            moved += 1
        return moved

    def test_a_drain_moves_answers_between_two_tokens(self):
        gateway = self.cluster.nodes[2]
        kinds, expected = self.learn_moved()
        begin, before = len(gateway.log()), self.counters(gateway)
        moves = gateway.metric("ollamamax_generation_moves_total")
        streams = self.begin_elsewhere(kinds)
        victim = self.trial.server_of(streams[0])
        gateway.drain(victim.name)
        try:
            moved = self.check_moved(streams, expected, victim, lambda: gateway.log()[begin:])
        finally:
            gateway.drain(victim.name, "undrain")
        self.assertGreater(moved, 0)
        self.assertEqual(gateway.metric("ollamamax_generation_moves_total") - moves, moved)
        self.assertEqual(self.counters(gateway), before)
        print(f"  {moved} of {len(streams)} answers moved off a drained node", flush=True)

    def test_sigterm_moves_answers_between_two_tokens(self):
        gateway = self.cluster.nodes[2]
        kinds, expected = self.learn_moved()
        begin, before = len(gateway.log()), self.counters(gateway)
        streams = self.begin_elsewhere(kinds)
        victim = self.trial.server_of(streams[0])
        # One that it serves for a client of its own, who keeps the connection.
        own = load.Stream(victim, *next((kind, *kinds[kind]) for kind in kinds))
        own.start()
        victim.wait_until(lambda: len(own.arrivals) > 2, "some of it")
        ended = len(victim.log())
        victim.process.send_signal(signal.SIGTERM)
        try:
            moved = self.check_moved(streams, expected, victim, lambda: gateway.log()[begin:])
            own_moved = self.check_moved([own], expected, victim, lambda: victim.log()[ended:])
        finally:
            code = victim.process.wait(60)
        self.assertEqual(code, 0)
        self.assertGreater(moved, 0)
        self.assertEqual(self.counters(gateway), before)
        victim.start()
        self.cluster.wait_until_ready()
        print(f"  {moved} of {len(streams)} answers moved off a node that ends, and "
              f"{own_moved} of its own clients'", flush=True)
