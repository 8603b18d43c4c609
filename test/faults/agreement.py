"""Rows 1, 2, 5, 9, 11: a voter dies, freezes, is cut off, cannot write, leaves."""

import os
import signal
import subprocess

from base import FULL, ClusterCase, children
from load import MODEL, Load, names_of

from support import cluster
from support.node import HttpError


class Leader(ClusterCase):
    def report(self, load):
        print(f"  {self.id().rsplit('.', 1)[1]}: {load.figures()}", flush=True)

    def test_row_1_a_killed_leader_costs_no_write_and_no_answer(self):
        for _ in range(5 if FULL else 1):
            leader = self.leader()
            alive = self.others(leader)
            with Load(writers=alive, askers=alive) as load:
                leader.kill()
                load.wait_for_progress()
                load.wait_for_progress()
            load.check_answers(self)
            load.check_writes(self, alive)
            self.report(load)
            leader.start()
            self.cluster.wait_until_ready()

    def test_row_2_a_leader_that_is_cut_off_refuses_and_the_others_go_on(self):
        leader = self.leader()
        alive = self.others(leader)
        with Load(writers=alive, askers=alive) as load:
            self.cluster.network.cut(leader.index)
            load.wait_for_progress()
            # From inside: nothing is ever said to be done there.
            refused = leader.cli("cp", MODEL, "w-minority", check=False, timeout=60)
            self.assertEqual(refused.returncode, 1)
            self.assertIn("majority", refused.stderr)
            load.wait_for_progress()
            self.cluster.network.cut(leader.index, False)
            load.wait_for_progress()
        load.check_answers(self)
        load.check_writes(self, self.nodes)
        self.assertNotIn("w-minority", names_of(alive[0]))
        self.report(load)

    def test_row_2_one_way_and_ring_cuts_do_not_stop_the_writes(self):
        leader = self.leader()
        first, second = self.others(leader)
        for cut in ([(leader, first)], [(first, second), (second, first)]):
            with Load(writers=[leader], askers=[]) as load:
                for source, target in cut:
                    self.cluster.network.drop(source.index, target.index)
                load.wait_for_progress()
                load.wait_for_progress()
                for source, _ in cut:
                    self.cluster.network.heal(source.index)
            load.check_writes(self, self.nodes)
            self.report(load)
            self.cluster.wait_until_ready()

    def test_row_5_a_leader_that_was_frozen_does_not_speak_of_the_past(self):
        leader = self.leader()
        alive = self.others(leader)
        frozen = [leader.process.pid, *children(leader, "etcd")]
        with Load(writers=alive, askers=alive) as load:
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)
            alive[0].wait_until(lambda: cluster.etcd_leader(alive), "another one leads")
            load.wait_for_progress()
        load.check_answers(self)
        written = load.acknowledged()
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
        # A backup reads the facts from the engine, not from what the node remembers.
        backup = leader.wait_until(lambda: self.backup_through(leader), "a backup is made")
        for name in written:
            self.assertIn(name, backup)
        load.check_writes(self, self.nodes)
        self.report(load)

    def test_row_9_a_voter_that_cannot_sync_ends_before_anything_is_lost(self):
        for leads in (True, False) * (3 if FULL else 1):
            leader = self.leader()
            victim = leader if leads else self.others(leader)[0]
            alive = self.others(victim)
            before = self.restarts(victim)
            with Load(writers=alive, askers=self.nodes) as load:
                self.fail_syncs(victim)
                load.wait_for_progress()
                victim.wait_until(lambda: self.restarts(victim) > before, "etcd starts again")
                load.wait_for_progress()
            load.check_answers(self)
            load.check_writes(self, self.nodes)
            self.cluster.wait_until_ready()
            self.assertEqual(self.restarts(victim), before + 1)
            self.report(load)

    @staticmethod
    def backup_through(node):
        """None: it has no majority now."""
        backup = node.cli("cluster", "backup", check=False, timeout=60)
        return backup.stdout if backup.returncode == 0 else None

    @staticmethod
    def restarts(node):
        return node.metric("ollamamax_metadata_member_restarts_total")

    def fail_syncs(self, node):
        """Every fsync of its etcd, until the first one has ended it."""
        etcd, = children(node, "etcd")
        told = subprocess.run(["strace", "-f", "-qq", "-e", "signal=none", "-e",
                               "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO",
                               "-p", str(etcd)], stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertIn("INJECTED", told.stderr)
        self.assertNotIn(etcd, children(node, "etcd"))

    def test_row_11_members_change_under_load(self):
        leader = self.leader()
        alive = self.others(leader)
        with Load(writers=alive, askers=alive) as load:
            alive[0].cli("cluster", "remove", leader.name)
            load.wait_for_progress()
            leader.wait_until(lambda: self.was_removed(leader), f"{leader.name} knows")
            self.assertIn("was removed", leader.cli("cluster", "status").stdout)
            leader.cli("cluster", "leave")
            self.cluster.let_in(leader, alive[0])
            load.wait_for_progress()
        load.check_answers(self)
        load.check_writes(self, self.nodes)
        self.cluster.wait_for_voters()
        self.report(load)

    @staticmethod
    def was_removed(node):
        try:
            return node.status()["removed"]
        except AssertionError:
            return False  # It starts anew.
