#!/usr/bin/env python3
"""Three real nodes on machines of their own (network namespaces), a real model, real deaths."""

import json
import os
import pathlib
import signal
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from disaster import LONG, MODEL, Disaster  # noqa: E402, F401 (its cases run here)
from support import cases  # noqa: E402
from support.cluster import Cluster, ClusterCase, all_but  # noqa: E402
from support.node import HttpError  # noqa: E402
from support.streaming import Streamed  # noqa: E402

TOKENS = LONG["options"]["num_predict"]


class RealCluster(ClusterCase):
    """The tests use one cluster and leave it whole; n1 and n2 run the model, n3 never does."""

    @classmethod
    def setUpClass(cls):
        # n3 has too little memory for the model, whatever copies the cluster gives it.
        cls.environments = {2: {"OLLAMA_GPU_OVERHEAD": str(all_but(200 << 20))}}
        super().setUpClass()

    @classmethod
    def prepare(cls):
        cls.nodes[0].create(MODEL)
        cls.nodes[1].create(MODEL)
        cls.cluster.wait_for_voters()

    def by_name(self, name):
        return next(node for node in self.nodes if node.name == name)

    def gateway(self):
        """The node that clients ask here: it runs no model and is never harmed."""
        return self.nodes[2]

    def check_whole(self, stream):
        lines = stream.finish()
        last = lines[-1]
        self.assertNotIn("error", last)
        self.assertTrue(last["done"])
        # No token twice, none lost: the count is that of the request, and the ids are the text's.
        self.assertEqual(last["eval_count"], TOKENS)
        self.assertEqual(len(last["context"]), last["prompt_eval_count"] + TOKENS)
        self.assertTrue(stream.text().strip())

    def restart(self, node):
        node.start()
        self.cluster.wait_until_ready()

    def test_a_model_made_on_one_node_is_known_and_answered_by_all(self):
        for node in self.nodes:
            self.assertIn(MODEL, node.names())
            shown = node.post("/api/show", {"model": MODEL})
            self.assertEqual(shown["details"]["family"], "llama")
            self.assertEqual(shown["model_info"]["general.architecture"], "llama")
            reply = node.post("/api/chat", {
                "model": MODEL, "messages": [{"role": "user", "content": "Say hello."}],
                "options": {"num_predict": 8, "temperature": 0}})
            self.assertTrue(reply["message"]["content"])
            self.assertEqual(reply["eval_count"], 8)

    def test_ps_tells_on_every_node_what_is_loaded_anywhere(self):
        self.gateway().post("/api/generate", {"model": MODEL, "prompt": "Hi",
                                              "options": {"num_predict": 1}})

        def is_told():
            models = self.gateway().get("/api/ps")["models"]
            return (models and models[0]["digest"] != "0" * 64
                    and all(model["node"] in names for model in models))
        names = [node.name for node in self.cluster.nodes]
        self.gateway().wait_until(is_told, "the loaded model is told")
        table = self.gateway().cli("ps").stdout
        self.assertIn(MODEL, table)
        self.assertRegex(table, r"^NAME .* UNTIL +NODE")
        self.assertNotIn("Stopping", table)

    def test_a_decision_can_be_explained_and_tried_without_effect(self):
        gateway = self.gateway()
        with gateway.request("POST", "/api/generate", {
                **LONG, "stream": False, "options": {"num_predict": 1}}) as reply:
            request_id, server = reply.headers["X-Request-Id"], reply.headers["X-OllamaMax-Node"]
        why = json.loads(gateway.cli("explain", request_id, "--json").stdout)["candidates"]
        self.assertEqual(why[0]["node"], server)
        self.assertGreater(why[0]["cost_ms"], 0)
        self.assertIn(server, gateway.cli("explain", request_id).stdout)
        trial = gateway.post("/api/v1/placement", {"model": MODEL, "prompt": "Hi"})
        self.assertIn(trial["candidates"][0]["node"], {"n1", "n2"})
        self.assertTrue(trial["fits"])
        self.assertGreater(trial["load_bytes"], 100 << 20)
        small = next(item for item in trial["candidates"] if item["node"] == "n3")
        self.assertIn("does not fit", small["excluded"])
        self.assertEqual(gateway.cli("explain", "nothing", check=False).returncode, 1)

    def test_a_trial_knows_what_is_warm_for_the_same_request(self):
        gateway, options = self.gateway(), {"num_predict": 1}
        story = "A node that is asked again need not read again what it has read. " * 30
        for path, body in (("generate", {"system": "Be brief.", "prompt": "One. " + story}),
                           ("chat", {"messages": [{"role": "system", "content": "Be brief."},
                                                  {"role": "user", "content": "Two. " + story}]})):
            body = {"model": MODEL, **body, "options": options}
            cold = gateway.post("/api/v1/placement", body)
            self.assertEqual({item.get("warm_tokens", 0) for item in cold["candidates"]}, {0})
            with gateway.request("POST", f"/api/{path}", {**body, "stream": False}) as reply:
                server = reply.headers["X-OllamaMax-Node"]
            warm = gateway.post("/api/v1/placement", body)["candidates"]
            served = next(item for item in warm if item["node"] == server)
            self.assertGreater(served["warm_tokens"], 100)

    def test_a_model_is_loaded_and_pinned_wherever_there_is_room(self):
        with self.gateway().request("POST", "/api/generate", {
                "model": MODEL, "stream": False}) as reply:
            server = reply.headers["X-OllamaMax-Node"]
            self.assertIn(server, {"n1", "n2"})
        self.gateway().wait_until(
            lambda: server in [model["node"] for model in self.gateway().get("/api/ps")["models"]],
            "the gateway knows where it is")
        for pinned in (True, False):
            told = self.gateway().post("/api/v1/pin", {"model": MODEL, "pinned": pinned})
            self.assertEqual(told["pinned"], pinned)
            self.assertIn(server, told["nodes"])

            def is_told():
                models = self.gateway().get("/api/ps")["models"]
                return models and all((model["expires_at"] > "2100") == pinned for model in models)
            self.gateway().wait_until(is_told, f"pinned: {pinned}")

    def test_a_model_that_is_pinned_on_another_node_comes_back_with_it(self):
        gateway, other = self.gateway(), self.nodes[1]

        def is_loaded():
            pin, = json.loads(gateway.cli("pin", "--json").stdout)["pins"]
            self.assertEqual((pin["model"], pin["node"]), (MODEL, other.name))
            return pin["state"] == "loaded"
        gateway.cli("pin", MODEL, "--node", other.name)
        gateway.wait_until(is_loaded, "it is loaded there")
        other.kill()
        self.restart(other)
        gateway.wait_until(is_loaded, "it is loaded again")
        self.assertEqual(len(other.runners()), 1)
        gateway.cli("unpin", MODEL)
        self.assertEqual(gateway.get("/api/v1/pin")["pins"], [])

    def test_a_killed_node_costs_a_pause_and_no_token(self):
        stream = Streamed(self.gateway(), "/api/generate", LONG)
        stream.wait_for(10)
        victim = self.by_name(stream.server)
        victim.kill()
        self.check_whole(stream)
        self.restart(victim)

    def test_a_frozen_node_is_given_up(self):
        stream = Streamed(self.gateway(), "/api/generate", LONG)
        stream.wait_for(10)
        victim = self.by_name(stream.server)
        os.kill(victim.process.pid, signal.SIGSTOP)
        try:
            self.check_whole(stream)
            # Its stream fell silent first: the rest may be said before its reports are missed.
            self.gateway().wait_until(
                lambda: self.gateway().states()[victim.name] == "unreachable", "it is given up")
        finally:
            os.kill(victim.process.pid, signal.SIGCONT)
        self.cluster.wait_until_ready()

    def test_a_node_that_is_cut_off_without_a_word_is_given_up(self):
        stream = Streamed(self.gateway(), "/api/generate", LONG)
        stream.wait_for(10)
        victim = self.by_name(stream.server)
        self.cluster.network.cut(victim.index)
        try:
            self.check_whole(stream)
        finally:
            self.cluster.network.cut(victim.index, False)
        self.cluster.wait_until_ready()

    def test_every_api_goes_on_after_a_death(self):
        schema = {"type": "object", "properties": {"name": {"type": "string"},
                                                   "story": {"type": "string"}},
                  "required": ["name", "story"]}
        chat = {"model": MODEL, "messages": [{"role": "user", "content": "Tell me of a fox."}],
                "options": {"num_predict": TOKENS, "temperature": 0}}
        streams = [Streamed(self.gateway(), "/api/generate", LONG),
                   Streamed(self.gateway(), "/api/chat", chat),
                   Streamed(self.gateway(), "/api/chat", {**chat, "format": schema})]
        for stream in streams:
            stream.wait_for(8)
        victim = self.by_name(streams[0].server)
        victim.kill()
        self.check_whole(streams[0])
        whole = streams[1].finish()
        self.assertEqual(whole[-1]["eval_count"], TOKENS)
        # The grammar went on where it was: one object, not a second one inside the first.
        text = "".join(line["message"]["content"] for line in streams[2].finish())
        self.assertTrue(text.startswith("{"), text)
        self.assertLessEqual(text.count('"name"'), 1, text)
        if streams[2].lines[-1]["done_reason"] == "stop":
            self.assertEqual(set(json.loads(text)), {"name", "story"})
        self.restart(victim)

    def test_a_drained_node_ends_its_answers_and_gets_no_new_ones(self):
        stream = Streamed(self.gateway(), "/api/generate", LONG)
        stream.wait_for(5)
        drained = self.by_name(stream.server)
        self.nodes[0].cli("cluster", "drain", drained.name)
        self.gateway().wait_until(
            lambda: self.gateway().states()[drained.name] == "draining", "it drains")
        with self.gateway().request("POST", "/api/generate", {
                **LONG, "stream": False, "options": {"num_predict": 2}}) as reply:
            self.assertNotEqual(reply.headers["X-OllamaMax-Node"], drained.name)
        self.check_whole(stream)
        self.nodes[0].cli("cluster", "undrain", drained.name)
        self.cluster.wait_until_ready()

    def test_a_node_that_is_stopped_lets_answers_for_others_end(self):
        stream = Streamed(self.gateway(), "/api/generate", LONG)
        stream.wait_for(5)
        stopped = self.by_name(stream.server)
        self.assertEqual(stopped.stop(), 0)
        self.check_whole(stream)
        self.assertIn("draining", stopped.log())
        self.restart(stopped)

    def test_without_a_majority_models_are_served_and_changes_refused(self):
        dead = [self.nodes[1], self.nodes[2]]
        for node in dead:
            node.kill()
        alive = self.nodes[0]
        reply = alive.post("/api/generate", {**LONG, "options": {"num_predict": 4}})
        self.assertEqual(reply["eval_count"], 4)
        with self.assertRaises(HttpError) as refused:
            alive.post("/api/copy", {"source": MODEL, "destination": "other"})
        self.assertEqual(refused.exception.status, 503)
        self.assertIn("majority", refused.exception.text)
        self.assertNotIn("other:latest", alive.names())
        # And when it is the first one back after an outage of all.
        alive.kill()
        alive.start()
        reply = alive.post("/api/generate", {**LONG, "options": {"num_predict": 4}})
        self.assertEqual(reply["eval_count"], 4)
        with self.assertRaises(HttpError) as refused:
            alive.post("/api/copy", {"source": MODEL, "destination": "other"})
        self.assertEqual(refused.exception.status, 503)
        for node in dead:
            node.start()
        self.cluster.wait_until_ready()
        alive.wait_until(lambda: alive.status()["majority"], "a majority")
        alive.post("/api/copy", {"source": MODEL, "destination": "other"})
        alive.request("DELETE", "/api/delete", {"model": "other"}).close()

    def test_copy_and_delete_reach_every_node(self):
        self.gateway().post("/api/copy", {"source": MODEL, "destination": "other"})
        for node in self.nodes:
            node.wait_until(lambda node=node: "other:latest" in node.names(), "the copy is seen")
        self.nodes[0].request("DELETE", "/api/delete", {"model": "other"}).close()
        for node in self.nodes:
            node.wait_until(lambda node=node: "other:latest" not in node.names(), "it is gone")

    def test_what_is_no_backup_is_refused_and_changes_nothing(self):
        backup = self.nodes[0].cli("cluster", "backup").stdout
        path = self.nodes[1].folder / "wrong"
        for wrong in ("hello", "", backup[:-20], backup.replace("m", "n", 1)):
            path.write_text(wrong)
            refused = self.nodes[1].cli("cluster", "restore", str(path), check=False)
            self.assertEqual(refused.returncode, 1)
            self.assertRegex(refused.stderr, "backup")
        self.assertIn(MODEL, self.nodes[2].names())

    def test_tokens_are_good_once_and_names_are_taken_once(self):
        token = self.nodes[0].cli("cluster", "token").stdout.strip()
        again = self.nodes[1].cli("cluster", "join", token, check=False)
        self.assertEqual(again.returncode, 1)
        self.assertIn("in a cluster already", again.stderr)
        broken = token[:-4] + "AAAA"
        self.assertNotEqual(self.nodes[1].cli("cluster", "join", broken, check=False).returncode, 0)


class ToldReports(unittest.TestCase):
    """What is so in a cluster of more than 64 nodes: only voters follow the reports of each."""

    def test_a_node_that_is_told_of_the_others_answers_through_their_deaths(self):
        few = {"OLLAMAMAX_CLUSTER_DIRECT_REPORTS_MAX": "1"}
        small = {**few, "OLLAMA_GPU_OVERHEAD": str(all_but(200 << 20))}
        with Cluster(4, {0: few, 1: few, 2: few, 3: small}) as cluster:
            cluster.form()
            cluster.wait_for_voters()
            *voters, gateway = cluster.nodes
            self.assertFalse(gateway.status()["voter"])
            for node in voters:
                node.create(MODEL)
            cluster.wait_until_ready()
            for _ in range(2):  # The second one perhaps without the voter that told of the first.
                stream = Streamed(gateway, "/api/generate", LONG)
                stream.wait_for(10)
                victim = next(node for node in voters if node.name == stream.server)
                victim.kill()
                last = stream.finish()[-1]
                self.assertEqual(last.get("eval_count"), TOKENS, last)
                gateway.wait_until(lambda victim=victim: gateway.states()[victim.name] ==
                                   "unreachable", f"{victim.name} is given up")
                victim.start()
                cluster.wait_until_ready()


class Removed(unittest.TestCase):
    def test_a_node_that_was_removed_while_it_was_cut_off_learns_of_it(self):
        with Cluster(2) as cluster:
            first, second = cluster.nodes
            cluster.form()
            cluster.network.cut(second.index)
            for node, other in ((first, second), (second, first)):
                node.wait_until(lambda node=node, other=other: node.states()[other.name] ==
                                "unreachable", f"{node.name} has lost {other.name}")
            first.cli("cluster", "remove", second.name)
            cluster.network.cut(second.index, False)
            second.wait_until(lambda: second.status()["removed"], "it knows")
            with self.assertRaises(HttpError) as unready:
                second.get("/readyz")
            self.assertEqual(unready.exception.status, 503)
            told = second.cli("cluster", "status").stdout
            self.assertIn("ollamamax cluster leave", told)
            second.cli("cluster", "leave")
            cluster.let_in(second, first)


class OnlyCopy(unittest.TestCase):
    def test_a_node_with_models_that_no_other_has_is_not_taken_out_unasked(self):
        with Cluster(3) as cluster:
            first, second, third = cluster.nodes
            cluster.form()
            first.cli("replicas", "set", "--factor", "1", "--min", "1")  # Of all models.
            second.create(MODEL)

            def copies():
                models = json.loads(first.cli("replicas", "--json").stdout)["models"]
                return {node for model in models for node in model["copies"]}
            first.wait_until(lambda: copies() == {"n2"}, "n2 has the only copy")
            for node, words in ((first, ("remove", "n2")), (second, ("leave",))):
                refused = node.cli("cluster", *words, check=False)
                self.assertEqual(refused.returncode, 1)
                self.assertIn(f"no other node has {MODEL}", refused.stderr)
            first.cli("replicas", "set", "--factor", "2", "--min", "1", "--pin", "n2,n3", MODEL)
            first.wait_until(lambda: copies() == {"n2", "n3"}, "it is copied")
            third.kill()  # It may never come back.
            second.wait_until(lambda: second.states()["n3"] == "unreachable", "its death is seen")
            refused = second.cli("cluster", "leave", check=False)
            self.assertEqual(refused.returncode, 1)
            self.assertIn(f"no other node has {MODEL}", refused.stderr)
            first.cli("cluster", "remove", "n3")
            self.assertEqual([node["name"] for node in first.status()["nodes"]], ["n1", "n2"])


class LostDisk(unittest.TestCase):
    def test_a_node_that_lost_its_disk_is_refused_until_it_was_removed(self):
        with Cluster(2) as cluster:
            first, second = cluster.nodes
            cluster.form()
            second.kill()
            state = pathlib.Path(second.environment["OLLAMAMAX_STATE"])
            for path in sorted(state.rglob("*"), reverse=True):
                path.unlink() if path.is_file() else path.rmdir()
            second.start()
            token = first.cli("cluster", "token").stdout.strip()
            refused = second.cli("cluster", "join", token, check=False)
            self.assertEqual(refused.returncode, 1)
            self.assertIn("cluster remove n2", refused.stderr)
            first.cli("cluster", "remove", "n2")
            cluster.let_in(second, first)
            used = second.cli("cluster", "leave")
            self.assertEqual(used.returncode, 0)
            self.assertFalse(second.status()["in_cluster"])
            self.assertEqual([node["name"] for node in first.status()["nodes"]], ["n1"])
            first.cli("cluster", "leave")
            self.assertFalse(first.status()["in_cluster"])


if __name__ == "__main__":
    cases.main()
