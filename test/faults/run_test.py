#!/usr/bin/env python3
"""Faults on real processes: the rows of the reliability goals (README.md), each by its number.

    test/faults/run_test.py [NAME...]     FAULTS_FULL=1: more rounds, and the slow rows
"""

import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from agreement import Leader  # noqa: E402, F401
from serving import (FailingDisk, FullDisk, FullDiskOfAVoter, Nonsense,  # noqa: E402, F401
                     RealRunner, Vanished)
from sources import BadPeers, BadRegistry  # noqa: E402, F401
from versions import Clocks, Upgrade  # noqa: E402, F401
from voters import FiveVoters, HungEtcd, LastFacts, LostFacts  # noqa: E402, F401

from support import cases  # noqa: E402

if __name__ == "__main__":
    if len(sys.argv) > 1:
        unittest.main(verbosity=2)
    cases.main()
