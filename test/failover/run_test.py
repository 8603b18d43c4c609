#!/usr/bin/env python3
"""Deaths under load: three real nodes on machines of their own, a real model, sums that always come
out the same."""

import pathlib
import sys
import unittest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent),
                str(pathlib.Path(__file__).resolve().parents[1])]
import kills  # noqa: E402
import trial  # noqa: E402
from support import cases  # noqa: E402

SEED = 20261126
KILLS = 8


class Failover(unittest.TestCase):
    """The tests use one cluster and leave it whole."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = kills.cluster()
        cls.cluster.__enter__()
        try:
            cls.cluster.form()
            cls.cluster.wait_until_ready()
            trial.create_models(cls.cluster.nodes[0])
            cls.trial = trial.Trial(cls.cluster, SEED, streams=3, variants=1)
            cls.trial.learn(turns=1)
        except BaseException:
            cls.cluster.__exit__(True, None, None)
            raise

    @classmethod
    def tearDownClass(cls):
        cls.cluster.__exit__(None, None, None)

    def tearDown(self):
        for node in self.cluster.nodes:
            if node.process.poll() is not None:
                node.start()
        self.cluster.wait_until_ready()

    def test_deaths_under_load_change_no_letter(self):
        self.trial.run(kills.schedule(KILLS, SEED, 0))
        self.assertEqual(self.trial.failures, [])
        self.assertGreaterEqual(sum(self.trial.struck.values()), KILLS)


if __name__ == "__main__":
    cases.main()
