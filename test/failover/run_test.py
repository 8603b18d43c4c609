#!/usr/bin/env python3
"""Deaths under load: three real nodes on machines of their own, a real model, sums that always come
out the same."""

import pathlib
import sys

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent),
                str(pathlib.Path(__file__).resolve().parents[1])]
import kills  # noqa: E402
import trial  # noqa: E402
from support import cases  # noqa: E402
from support.cluster import ClusterCase  # noqa: E402

SEED = 20261126
KILLS = 8


class Failover(ClusterCase):
    environments = kills.ENVIRONMENTS

    @classmethod
    def prepare(cls):
        trial.create_models(cls.nodes[0])
        cls.trial = trial.Trial(cls.cluster, SEED, streams=3, variants=1)
        cls.trial.learn(turns=1)

    def tearDown(self):
        super().tearDown()
        self.cluster.wait_until_ready()

    def test_deaths_under_load_change_no_letter(self):
        self.trial.run(kills.schedule(KILLS, SEED, 0))
        self.assertEqual(self.trial.failures, [])
        self.assertGreaterEqual(sum(self.trial.struck.values()), KILLS)


if __name__ == "__main__":
    cases.main()
