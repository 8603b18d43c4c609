"""Rows 6 and 12: clocks that disagree, and nodes of two versions in one cluster."""

import os
import pathlib
import shutil
import subprocess
import tempfile

from base import ClusterCase
from load import Load

from support import node as nodes

HERE = pathlib.Path(__file__).resolve().parent
HOUR = 3600


class Clocks(ClusterCase):
    """n2's wall clock is five minutes behind, then jumps an hour ahead and one back."""

    @classmethod
    def setUpClass(cls):
        cls.clock = pathlib.Path(tempfile.mkdtemp(prefix="ollamamax-clock-")) / "offset"
        library = cls.clock.with_name("wall_clock.so")
        subprocess.run(["clang-19", "-shared", "-fPIC", "-O2", "-o", str(library),
                        str(HERE / "wall_clock.c")], check=True)
        cls.clock.write_text("-300")
        cls.environments = {1: {"LD_PRELOAD": str(library), "WALL_CLOCK_OFFSET": str(cls.clock)}}
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        shutil.rmtree(cls.clock.parent)

    def test_row_6_a_wall_clock_that_jumps_changes_nothing(self):
        leader = self.leader()
        with Load(writers=self.nodes, askers=self.nodes) as load:
            for offset in (HOUR, -HOUR, -300):
                self.clock.write_text(str(offset))
                load.wait_for_progress()
                self.assertEqual(set(self.nodes[0].states().values()), {"ready"})
        load.check_answers(self)
        load.check_writes(self, self.nodes)
        self.assertIs(self.leader(), leader)
        print(f"  row 6: {load.figures()}", flush=True)


class Upgrade(ClusterCase):
    """Under another version's name the same program stands for the next release, or the program
    at OLLAMAMAX_OTHER_PROGRAM: one of another commit, by hand."""

    def change(self, nodes, binary, asked):
        with Load(writers=[asked], askers=[asked]) as load:
            for node in nodes:
                self.assertEqual(node.stop(), 0)
                node.program = binary
                node.start()
                self.cluster.wait_until_ready()
                load.wait_for_progress()
        load.check_answers(self)
        load.check_writes(self, self.nodes)
        print(f"  row 12: {load.figures()}", flush=True)

    def test_row_12_a_rolling_upgrade_and_back_fails_no_request(self):
        new = pathlib.Path(nodes.PROGRAM).resolve()
        folder = pathlib.Path(tempfile.mkdtemp(prefix="ollamamax-next-"))
        version = subprocess.run([new, "--version"], capture_output=True, text=True,
                                 env={**os.environ, "OLLAMA_HOST": "127.0.0.1:1"}).stdout
        version = version.split()[-1].encode()
        program = pathlib.Path(os.environ.get("OLLAMAMAX_OTHER_PROGRAM", new)).read_bytes()
        self.assertIn(version, program)
        following = version[:-1] + bytes([version[-1] + 1])
        (folder / "ollamamax").write_bytes(program.replace(version, following))
        (folder / "ollamamax").chmod(0o755)
        (folder / "llama").symlink_to(new.parent / "llama")
        try:
            for binary, wanted in ((str(folder / "ollamamax"), following), (str(new), version)):
                # All of them, in two turns: who is asked is not stopped.
                first, *others = self.nodes
                self.change(others, binary, asked=first)
                self.change([first], binary, asked=others[0])
                others[0].wait_until(
                    lambda wanted=wanted: {node["version"] for node in others[0].status()["nodes"]}
                    == {wanted.decode()}, f"all run {wanted.decode()}")
        finally:
            shutil.rmtree(folder)
