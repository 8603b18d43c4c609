"""What backends cost beside each other and beside the node's own models, and what is told of it."""

import json
import threading

from federation import CHAT, MODEL, Federation
from support.node import HttpError

LONG = {**CHAT, "messages": [{"role": "user", "content": "Tell me of the fox and the hen. " * 20}]}


def by_name(decision):
    return {candidate["node"]: candidate for candidate in decision["candidates"]}


class Costs(Federation):
    def explained(self, model, **more):
        """Who answered a request, and why."""
        with self.node.request("POST", "/api/chat",
                               {"model": model, "stream": False, **CHAT, **more}) as reply:
            reply.read()
            server, name = reply.headers["X-OllamaMax-Node"], reply.headers["X-Request-Id"]
        return server, json.loads(self.node.cli("explain", name, "--json").stdout)

    def test_a_request_that_a_backend_answered_is_explained(self):
        self.upstream(name="good")
        refusing = self.upstream(name="bad")
        refusing.mode = "refuse"
        self.upstream(name="gone").key = "another"  # From now on it refuses our checks.

        def fails():
            told = self.node.get("/api/v1/backends")["backends"]
            return not next(backend for backend in told if backend["name"] == "gone")["healthy"]
        self.node.wait_until(fails, "it is known to fail")
        server, why = self.explained("shared")
        told = by_name(why)
        self.assertEqual(server, "backend/good")
        self.assertEqual(why["candidates"][0]["node"], server)
        self.assertEqual(told["backend/bad"]["excluded"], "refused or failed this request")
        self.assertRegex(told["backend/gone"]["excluded"], "^not ready: .*wrong key")
        chosen = told["backend/good"]
        self.assertAlmostEqual(sum(chosen["terms_ms"].values()), chosen["cost_ms"], places=3)
        self.assertEqual((chosen["running"], chosen["measured"]), (0, False))
        for _ in range(2):
            self.chat("shared")
        trial = self.node.post("/api/v1/placement", {"model": "shared", **CHAT})
        told = by_name(trial)
        self.assertEqual(told["backend/bad"]["excluded"], "failed lately")  # Its breaker is open.
        self.assertTrue(told["backend/good"]["measured"])
        self.assertTrue(trial["fits"])
        text = self.node.cli("explain", self.request_id("shared")).stdout
        self.assertRegex(text, r"backend/good +\d+ ms +.*decode")

    def request_id(self, model):
        return self.header(model, "X-Request-Id")

    def test_the_backend_that_is_measured_to_be_faster_is_chosen(self):
        slow = self.upstream(name="a-slow")
        slow.pause = 0.2
        fast = self.upstream(name="b-fast")
        # Nothing is measured: who has least to do, then the first by name.
        self.assertEqual(self.header("shared", "X-OllamaMax-Node"), "backend/a-slow")
        self.assertEqual(fast.requests, [])
        beside = threading.Thread(target=self.chat, args=["shared"])
        beside.start()
        self.node.wait_until(lambda: len(slow.requests) == 2, "the first one is busy")
        server, why = self.explained("shared")
        self.assertEqual(server, "backend/b-fast")
        self.assertEqual(by_name(why)["backend/a-slow"]["running"], 1)
        beside.join()
        server, why = self.explained("shared")
        self.assertEqual(server, "backend/b-fast")
        told = by_name(why)
        self.assertTrue(told["backend/a-slow"]["measured"])
        self.assertLess(told["backend/b-fast"]["cost_ms"], told["backend/a-slow"]["cost_ms"])

    def test_our_own_model_is_first_until_a_backend_is_measured_to_be_faster(self):
        upstream = self.upstream(MODEL, name="rack")
        self.chat(MODEL)  # It is measured: nobody else has the model yet.
        self.assertEqual(len(upstream.requests), 1)
        self.node.create(MODEL)
        here, why = self.explained(MODEL, **LONG)
        self.assertEqual([c["node"] for c in why["candidates"]], [here, "backend/rack"])
        self.assertFalse(by_name(why)[here]["measured"])
        self.assertTrue(by_name(why)["backend/rack"]["measured"])
        server, why = self.explained(MODEL, **LONG)
        self.assertTrue(by_name(why)[here]["measured"])
        self.assertEqual(server, "backend/rack")
        self.assertEqual([c["node"] for c in why["candidates"]], ["backend/rack", here])
        upstream.mode = "refuse"
        server, why = self.explained(MODEL, **LONG)
        self.assertEqual(server, here)
        self.assertEqual(by_name(why)["backend/rack"]["excluded"], "refused or failed this request")

    def test_a_trial_changes_nothing(self):
        upstream = self.upstream(name="rack")
        for body in ({"prompt": "Hi"}, CHAT):
            trial = self.node.post("/api/v1/placement", {"model": "shared", **body})
            self.assertEqual([c["node"] for c in trial["candidates"]], ["backend/rack"])
        self.assertEqual(upstream.requests, [])
        with self.assertRaises(HttpError) as unknown:
            self.node.post("/api/v1/placement", {"model": "nobody-has-it", **CHAT})
        self.assertEqual(unknown.exception.status, 404)
