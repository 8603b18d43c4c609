"""Rows 1, 10 and 16: five voters of which two die at once, a voter without what its etcd kept, and
one whose etcd hangs."""

import os
import pathlib
import shutil
import signal
import unittest

from base import ClusterCase, children
from load import ANSWER, MODEL, Load, names_of

from support.cluster import Cluster
from support.node import HttpError


def etcd_folder(node):
    return pathlib.Path(node.environment["OLLAMAMAX_STATE"]) / "cluster/etcd"


def kill_all(nodes):
    """At once, and with their etcd: one that is left behind would vote on."""
    for node in nodes:
        node.process.kill()
    for node in nodes:
        node.process.wait()
        node.wait_until(lambda node=node: not children(node, "etcd"), "its etcd has ended")


class FiveVoters(ClusterCase):
    count = 5
    environments = dict.fromkeys(range(5), {"OLLAMAMAX_CLUSTER_VOTERS": "5"})

    @classmethod
    def prepare(cls):
        for node in cls.nodes[:3]:
            node.create(MODEL)
        cls.cluster.wait_for_voters(5)

    def test_row_1_two_of_five_voters_die_at_once_and_changes_go_on(self):
        leader = self.leader()
        dead = [leader, self.others(leader)[-1]]
        alive = [node for node in self.nodes if node not in dead]
        with Load(writers=alive, askers=alive) as load:
            kill_all(dead)
            load.wait_for_progress()
            load.wait_for_progress()
        load.check_answers(self)
        load.check_writes(self, alive)
        # Three are the least: with one more gone nothing is agreed on, and answers still come.
        kill_all(alive[2:])
        with self.assertRaises(HttpError) as refused:
            alive[0].post("/api/copy", {"source": MODEL, "destination": "w-unknown"})
        self.assertEqual(refused.exception.status, 503)
        self.assertIn("majority", refused.exception.text)
        self.assertEqual(alive[0].post("/api/generate", ANSWER)["eval_count"],
                         ANSWER["options"]["num_predict"])
        for node in [*dead, *alive[2:]]:
            node.start()
        self.cluster.wait_until_ready()
        load.check_writes(self, self.nodes)
        self.assertEqual(self.cluster.voters(), 5)
        print(f"  row 1, five voters: {load.figures()}", flush=True)


class HungEtcd(ClusterCase):
    """The node itself is well. One of the four keeps no facts."""
    count = 4

    def test_row_16_changes_go_through_all_nodes(self):
        voters = [node for node in self.nodes if children(node, "etcd")]
        for hung in voters:
            self.hang(hung, signal.SIGSTOP)
            hung.wait_until(lambda hung=hung: self.is_cut_off(hung), "it is told of")
            other = next(node for node in self.nodes if node is not hung)
            other.wait_until(lambda other=other: other.metric("ollamamax_voters_cut_off") == 1,
                             "it is counted")
            for node in self.nodes:
                name = f"w-{hung.name}-{node.name}"
                node.post("/api/copy", {"source": MODEL, "destination": name})
                for other in self.nodes:
                    other.wait_until(lambda name=name, other=other: name in names_of(other),
                                     f"{other.name} hears of {name}")
            self.hang(hung, signal.SIGCONT)
            hung.wait_until(lambda hung=hung: not self.is_cut_off(hung), "it is back")

    @staticmethod
    def hang(node, signal_number):
        for pid in children(node, "etcd"):
            os.kill(pid, signal_number)

    def is_cut_off(self, hung):
        return any(seen["name"] == hung.name and not seen.get("majority", True)
                   for node in self.nodes[:2] for seen in node.nodes_if_up())


class LostFacts(ClusterCase):
    def test_row_10_a_voter_that_lost_its_facts_gets_them_from_the_others(self):
        leader = self.leader()
        # The log alone, as a repaired disk may lack it; and all that etcd and we knew of it.
        for victim, lost in ((leader, "data"), (self.others(leader)[0], ".")):
            others = self.others(victim)
            with Load(writers=others, askers=others) as load:
                self.assertEqual(victim.stop(), 0)
                shutil.rmtree(etcd_folder(victim) / lost)
                load.wait_for_progress()
                victim.start()
                self.cluster.wait_until_ready()
                load.wait_for_progress()
            load.check_answers(self)
            load.check_writes(self, self.nodes)
            self.assertIn("copy of the facts is gone", victim.log())
            victim.wait_until(lambda victim=victim: self.votes(victim), "it votes again")
            self.assertEqual(self.cluster.voters(), 3)
            # Its vote counts: with one of the others gone there is no majority without it.
            kill_all(others[1:])
            with Load(writers=[victim], askers=[victim]) as without:
                without.wait_for_progress()
            without.check_writes(self, [victim, others[0]])
            others[1].start()
            self.cluster.wait_until_ready()
            load.check_writes(self, self.nodes)

    @staticmethod
    def votes(node):
        return children(node, "etcd") and "this node is a voter now" in node.log().rsplit(
            "copy of the facts is gone", 1)[1]


class LastFacts(unittest.TestCase):
    def test_row_10_the_only_voter_without_its_facts_says_what_to_do(self):
        with Cluster(2) as cluster:
            first, second = cluster.nodes
            cluster.form()
            first.create(MODEL)
            first.post("/api/copy", {"source": MODEL, "destination": "other"})
            backup = second.folder / "backup"
            first.cli("cluster", "backup", str(backup))
            self.assertEqual(first.stop(), 0)
            shutil.rmtree(etcd_folder(first) / "data")
            with self.assertRaises(AssertionError) as refused:
                first.start()
            self.assertEqual(first.process.returncode, 1)
            told = str(refused.exception).rsplit("Error: ", 1)[1]
            for words in (f"remove {etcd_folder(first).parent} on every node",
                          "`ollamamax cluster init`", "`cluster restore BACKUP`"):
                self.assertIn(words, told)
            # And as it says, all is there again.
            second.stop()
            for node in cluster.nodes:
                shutil.rmtree(etcd_folder(node).parent)
                node.start()
            first.begin_cluster()
            cluster.let_in(second, first)
            first.cli("cluster", "restore", str(backup))
            for node in cluster.nodes:
                node.wait_until(lambda node=node: {MODEL, "other"} <= names_of(node), "all names")
            self.assertEqual(second.post("/api/generate", ANSWER)["eval_count"],
                             ANSWER["options"]["num_predict"])
