#!/usr/bin/env python3
"""Deaths under load, clients that pick their answers up, and restarts that nobody notices: three
real nodes on machines of their own, a real model, sums that always come out the same."""

import base64
import itertools
import pathlib
import re
import signal
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent),
                str(pathlib.Path(__file__).resolve().parents[1])]
import chaos  # noqa: E402
import kills  # noqa: E402
import load  # noqa: E402
import trial  # noqa: E402
from hangs import Hangs  # noqa: E402, F401
from judged import Judged  # noqa: E402, F401
from moves import Moves  # noqa: E402
from support import cases, projector  # noqa: E402
from support.cluster import ClusterCase  # noqa: E402

SEED = 20261126
KILLS = 8
PEER_PORT = 11435
PICKED_UP = ["generate", "chat, thinking", "openai", "openai, schema", "openai, legacy",
             "responses", "responses, tool", "messages", "messages, thinking", "messages, tool"]
COMBINED = ["openai", "openai, thinking", "openai, tool", "messages", "messages, thinking",
            "messages, tool"]


class Failover(Moves, ClusterCase):
    environments = kills.environments()

    @classmethod
    def prepare(cls):
        trial.create_models(cls.nodes[0])
        cls.trial = trial.Trial(cls.cluster, SEED, streams=3, variants=1)
        cls.trial.learn(turns=1)

    def tearDown(self):
        super().tearDown()
        self.cluster.wait_until_ready()

    def check(self, stream):
        self.assertIsNone(stream.failure, stream.kind)
        self.assertIsNone(load.difference(self.trial.expected[stream.kind], stream.answer.said()),
                          stream.kind)

    def start(self, node, kind, **options):
        stream = load.Stream(node, f"{kind} 0", *self.trial.kinds[f"{kind} 0"], **options)
        stream.start()
        return stream

    def test_deaths_under_load_change_no_letter(self):
        self.trial.run(kills.schedule(KILLS, SEED, 0))
        self.assertEqual(self.trial.failures, [])
        self.assertGreaterEqual(sum(self.trial.struck.values()), KILLS)

    def resumed(self, stream, log):
        """After how many tokens its runner was lost; 0 if none was."""
        found = re.search(r'event="runner lost, going on with another" '
                          rf"id={stream.request_id} .*tokens=(\d+)", log)
        return int(found[1]) if found else 0

    def test_thoughts_calls_and_log_probabilities_go_on_after_a_death(self):
        first, second, gateway = self.cluster.nodes
        begin, waiting = len(gateway.log()), COMBINED
        for _ in range(3):  # One may be over when the last one has begun.
            # All on one node, so that there is one death, and others are left to go on.
            with self.trial.served_elsewhere(), self.trial.served_elsewhere(second):
                # Calls come in one piece: how far they are is told by another answer.
                streams = [self.start(gateway, kind)
                           for kind in dict.fromkeys([*waiting, "messages"])]
                for stream in streams:
                    if "tool" not in stream.kind:
                        gateway.wait_until(lambda stream=stream: len(stream.arrivals) > 15 or
                                           not stream.is_alive(), "some of each answer")
                chaos.send(first.runners(), signal.SIGKILL)
            for stream in streams:
                stream.join()
                self.check(stream)
            log = gateway.log()[begin:]
            waiting = [kind for kind, stream in zip(waiting, streams)
                       if self.resumed(stream, log) < 5]
            if not waiting:
                return
            self.cluster.wait_until_ready()
        self.fail(f"no death in the midst of {waiting}")

    def test_a_stop_string_is_found_over_a_death(self):
        for kind in trial.STOPPED:
            self.die_in_a_stop_string(f"{kind}, stop found")

    def die_in_a_stop_string(self, kind):
        """Some tokens of it were said then and none of them sent: llama-server keeps those back."""
        gateway, begin = self.cluster.nodes[2], len(self.cluster.nodes[2].log())
        count = load.output_tokens(self.trial.expected[f"{kind} 0"])
        for tokens in (1.3, 1, 2, 0.7, 3.3, 0.3, 5, 0.15):  # What it has time to say before.
            stream = self.start(gateway, kind)
            gateway.wait_until(lambda stream=stream: stream.arrivals, "it begins")
            # To look for them takes longer than some tokens.
            runners = self.trial.server_of(stream).runners()
            while stream.is_alive() and (len(stream.answer.text) <
                                         self.trial.stop_at[f"{kind} 0"] - 12):
                time.sleep(0.001)
            times = stream.arrivals
            time.sleep(tokens * (times[-1] - times[0]) / max(1, len(times) - 1))
            chaos.send(runners, signal.SIGKILL)
            stream.join()
            self.check(stream)
            if self.resumed(stream, gateway.log()[begin:]) >= count - load.STOP_TOKENS:
                return
        self.fail(f"{kind}: no death fell into it")

    def test_a_client_goes_on_at_another_node_when_its_gateway_died(self):
        first, second, third = self.cluster.nodes
        streams = [self.start(second, kind, key=f"gateway dies, {kind}") for kind in PICKED_UP]
        for stream in streams:
            second.wait_until(lambda stream=stream: len(stream.arrivals) > 3 or not
                              stream.is_alive(), "some of each answer")
        second.kill()
        for number, stream in enumerate(streams):
            stream.join()
            again = stream.picked_up_at((first, third)[number % 2])
            again.start()
            again.join()
            self.check(again)
            # Under the deterministic flags a new answer would have the same letters.
            self.assertGreaterEqual(again.resumed, 1, again.kind)

    def test_a_client_goes_on_after_its_connection_broke(self):
        node = self.cluster.nodes[2]
        for kind in ("chat", "openai", "openai, tool"):
            stream = self.start(node, kind, key=f"connection breaks, {kind}", leave_after=5)
            stream.join()
            for leave_after in (17, None):
                stream = stream.picked_up_at(node, leave_after)
                stream.start()
                stream.join()
                self.assertGreaterEqual(stream.resumed, 1, kind)
            self.check(stream)

    def test_the_rest_of_an_answer_that_nobody_kept_is_not_made_up(self):
        node = self.cluster.nodes[0]
        stream = self.start(node, "openai", key="kept", leave_after=5)
        stream.join()
        stream.key = "never used"
        stream = stream.picked_up_at(node)
        stream.start()
        stream.join()
        self.assertTrue(stream.failure.startswith("410: "), stream.failure)

    def test_a_broken_connection_between_nodes_costs_nothing(self):
        gateway, begin = self.cluster.nodes[2], len(self.cluster.nodes[2].log())
        with self.trial.served_elsewhere():
            streams = [self.start(gateway, kind) for kind in PICKED_UP[:6]]
            for stream in streams:
                gateway.wait_until(lambda stream=stream: len(stream.arrivals) > 5, "some of each")
            servers = {self.trial.server_of(stream) for stream in streams}
            self.assertNotIn(gateway, servers)
            for node in servers:
                self.cluster.network.break_connections(gateway.index, node.index, PEER_PORT)
        for stream in streams:
            stream.join()
            self.check(stream)
        log = gateway.log()[begin:]
        self.assertIn("reading on", log)
        self.assertNotIn("going on with another", log)

    def test_images_are_looked_at_again_by_who_goes_on(self):
        gateway = self.cluster.nodes[2]
        images = [base64.b64encode(image()).decode()
                  for image in (projector.stripes, projector.red)]
        body = {"model": load.IMAGE_MODEL, "options": {"num_predict": 60, "temperature": 0},
                "messages": [{"role": "user", "content": "Write of these.", "images": images}]}

        def begin():
            stream = load.Stream(gateway, "images", load.CHAT, body)
            stream.start()
            gateway.wait_until(lambda: len(stream.arrivals) > 20 or not stream.is_alive(),
                               "some of the answer")
            return stream

        gateway.cli("replicas", "set", load.IMAGE_MODEL, "--factor", "3")
        gateway.wait_until(lambda: len(gateway.copies(load.IMAGE_MODEL)) == 3, "all have the files")
        whole = begin()
        whole.join()
        self.assertIsNone(whole.failure)
        self.assertGreater(whole.answer.usage["prompt_eval_count"], 2 * projector.TOKENS)
        for kind in (chaos.RUNNER, chaos.NODE):
            with self.trial.served_elsewhere():
                stream = begin()
            death = chaos.Death(kind, self.trial.server_of(stream), self.cluster.network)
            death.strike()
            stream.join()
            death.mend()
            self.assertIsNone(stream.failure, kind)
            self.assertIsNone(load.difference(whole.answer.said(), stream.answer.said()), kind)
            self.cluster.wait_until_ready()

    def test_an_answer_has_one_owner(self):
        first, second, _ = self.cluster.nodes
        stream = self.start(first, "openai", key="one owner")
        first.wait_until(lambda: len(stream.arrivals) > 5, "some of the answer")
        other = load.Stream(second, stream.kind, stream.path, stream.body, key="one owner")
        other.start()
        other.join()
        self.check(other)
        stream.join()
        self.assertIsNotNone(stream.failure)
        # It was whole: whoever asks again is told again.
        again = load.Stream(first, stream.kind, stream.path, stream.body, key="one owner")
        again.start()
        again.join()
        self.check(again)

    def test_a_rolling_restart_is_not_noticed(self):
        begun = {node.name: len(node.log()) for node in self.cluster.nodes}
        restarts = trial.Trial(self.cluster, SEED + 1, streams=3, variants=1)
        restarts.expected = self.trial.expected
        restarts.roll()
        self.assertEqual(restarts.failures, [])
        self.assertGreater(len(restarts.finished), 3)
        for node in self.cluster.nodes:
            self.assertNotIn("going on with another", node.log()[begun[node.name]:])


if __name__ == "__main__":
    cases.main()
