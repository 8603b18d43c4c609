"""Rows 6 and 12: clocks that disagree, and nodes of two versions in one cluster."""

import os
import pathlib
import shutil
import subprocess
import tempfile

from base import ClusterCase
from load import Load

from support import node as nodes
from support.cluster import Machine

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
        # A disk that stands still for a moment makes another leader, too, but not each time.
        self.assertTrue(any(self.leader_stays() for _ in range(3)), "each time another one led")

    def leader_stays(self):
        leader, first = self.leader(), self.nodes[0]
        with Load(writers=self.nodes, askers=self.nodes) as load:
            for offset in (HOUR, -HOUR, -300):
                self.clock.write_text(str(offset))
                load.wait_for_progress()
                first.wait_until(lambda: set(first.states().values()) == {"ready"}, "all ready")
        load.check_answers(self)
        load.check_writes(self, self.nodes)
        print(f"  row 6: {load.figures()}", flush=True)
        return self.leader() is leader


def version_of(program):
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True,
                          env={**os.environ, "OLLAMA_HOST": "127.0.0.1:1"})
    return done.stdout.split()[-1]


def previous_program():
    """The release before this one, or None where the checkout's history does not have it."""
    done = subprocess.run([nodes.ROOT / "tools/build_previous.sh"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode == 3:
        print(f"  row 12: {done.stderr.strip()}; against this version under another name")
        return None
    if done.returncode != 0:
        raise AssertionError(f"tools/build_previous.sh: {done.stderr}")
    return done.stdout.strip()


def under_another_version(program):
    """The same program, as if it were another release."""
    version, whole = version_of(program).encode(), pathlib.Path(program).read_bytes()
    assert version in whole, f"{program} does not hold its version {version}"
    return whole.replace(version, version[:-1] + bytes([version[-1] + 1]))


class Upgrade(ClusterCase):
    """Three nodes that began with the release before this one, or with the program that is named
    by OLLAMAMAX_OTHER_PROGRAM, get this one, and go back: one by one, as an operator would."""

    @classmethod
    def setUpClass(cls):
        cls.new = str(pathlib.Path(nodes.PROGRAM).resolve())
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="ollamamax-other-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.other = str(cls.folder / "ollamamax")
        program = os.environ.get("OLLAMAMAX_OTHER_PROGRAM") or previous_program()
        if program is None or version_of(program) == version_of(cls.new):
            pathlib.Path(cls.other).write_bytes(under_another_version(program or cls.new))
        else:
            shutil.copy(program, cls.other)
        pathlib.Path(cls.other).chmod(0o755)
        (cls.folder / "llama").symlink_to(pathlib.Path(cls.new).parent / "llama")

        class OtherMachine(Machine):
            def __init__(self, *arguments):
                super().__init__(*arguments)
                self.program = cls.other
        cls.machine = OtherMachine
        super().setUpClass()

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
        self.assertNotEqual(version_of(self.other), version_of(self.new))
        for binary in (self.new, self.other):
            # All of them, in two turns: who is asked is not stopped.
            first, *others = self.nodes
            self.change(others, binary, asked=first)
            self.change([first], binary, asked=others[0])
            wanted = version_of(binary)
            others[0].wait_until(
                lambda wanted=wanted: {node["version"] for node in others[0].status()["nodes"]}
                == {wanted}, f"all run {wanted}")
