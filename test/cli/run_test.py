#!/usr/bin/env python3
"""The command line as its users and their scripts meet it."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from support import cases  # noqa: E402
from support.node import MODELS, PROGRAM, ROOT, Node  # noqa: E402
from support.node_case import NodeCase  # noqa: E402
from support.terminal import Terminal  # noqa: E402
from prompts import Prompts, Typed  # noqa: E402, F401 (their cases run here)

MODEL = "smollm2:135m"
BRIEF = "brief"


class CommandLine(NodeCase):
    @classmethod
    def prepare(cls):
        # So small a model sometimes never ends its answer by itself.
        modelfile = cls.node.folder / "Brief"
        modelfile.write_text(f"FROM {MODEL}\nPARAMETER num_predict 40\n")
        cls.node.cli("create", BRIEF, "-f", str(modelfile))

    def lines(self, *arguments):
        return self.node.cli(*arguments).stdout.splitlines()

    def test_list_has_ollamas_columns(self):
        header, row = self.lines("list", MODEL)
        self.assertRegex(header, r"^NAME {4,}ID {4,}SIZE {4,}MODIFIED")
        self.assertEqual(len(self.lines("ls", "nothing")), 1)
        self.assertRegex(row, r"^smollm2:135m {4,}[0-9a-f]{12} {4,}98 MB {4,}.* ago")

    def test_ps_shows_a_loaded_model(self):
        self.node.cli("run", BRIEF, "hi", "--keepalive", "10m")
        header, row = self.lines("ps")
        self.assertRegex(header, r"^NAME +ID +SIZE +PROCESSOR +CONTEXT +UNTIL")
        self.assertRegex(row, r"^brief:latest +[0-9a-f]{12} +\d+ MB +100% CPU +\d+ +"
                              r"(9|10) minutes from now")
        self.node.cli("stop", BRIEF)
        self.node.wait_until(lambda: len(self.lines("ps")) == 1, "nothing is loaded")

    def test_a_model_is_pinned_and_unpinned(self):
        cli = self.node.cli
        self.assertEqual(len(self.lines("pin")), 1)
        cli("cp", MODEL, "kept")
        self.assertRegex(cli("pin", "kept").stdout, r"^pinned 'kept' on \S+\n$")
        self.node.wait_until(lambda: re.fullmatch(r"kept:latest +\S+ +loaded *",
                                                  self.lines("pin")[1]), "it is in memory")
        told = json.loads(cli("pin", "--json").stdout)["pins"]
        self.assertEqual([(pin["model"], pin["state"]) for pin in told],
                         [("kept:latest", "loaded")])
        self.assertRegex(self.lines("ps")[1], "Forever")
        changed = json.loads(cli("unpin", "kept", "--json").stdout)
        self.assertEqual(changed, {"pinned": False, "nodes": [told[0]["node"]]})
        for arguments, code, what in (
                (["unpin", "kept"], 1, "Error: model 'kept' is not pinned"),
                (["pin", "nothing"], 1, "Error: model 'nothing' not found"),
                (["pin", "kept", "--node", "moon"], 1, "Error: no node is called 'moon'"),
                (["unpin"], 2, "Error: model is required"),
                (["pin", "--node", "moon"], 2, "Error: --node requires model")):
            failed = cli(*arguments, check=False)
            self.assertEqual((failed.returncode, failed.stdout), (code, ""), arguments)
            self.assertIn(what, failed.stderr)
        cli("pin", "kept", "--node", told[0]["node"])
        self.assertEqual(len(self.lines("pin")), 2)
        # Not by `rm`, which unloads a model first.
        self.node.request("DELETE", "/api/delete", {"model": "kept"}).close()
        self.assertEqual(len(self.lines("pin")), 1)

    def test_show_prints_the_details_and_the_parts(self):
        text = self.node.cli("show", MODEL).stdout
        for word in ("Model", "architecture", "llama", "134.52M", "context length", "8192",
                     "quantization", "Capabilities", "completion"):
            self.assertIn(word, text)
        self.assertIn("FROM ", self.node.cli("show", "--modelfile", MODEL).stdout)
        self.assertIn("im_start", self.node.cli("show", "--template", MODEL).stdout)
        self.assertIn("Tensors", self.node.cli("show", "-v", MODEL).stdout)
        wrong = self.node.cli("show", "--template", "--system", MODEL, check=False)
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("only one of", wrong.stderr)

    def test_copy_and_remove_say_what_they_did(self):
        self.assertEqual(self.lines("cp", MODEL, "other"), [f"copied '{MODEL}' to 'other'"])
        self.assertEqual(self.lines("rm", "other"), ["deleted 'other'"])
        gone = self.node.cli("rm", "other", check=False)
        self.assertEqual(gone.returncode, 1)
        self.assertRegex(gone.stderr, r"^Error: model 'other' not found")

    def test_create_takes_every_instruction(self):
        folder = self.node.folder / "create"
        folder.mkdir()
        (folder / "Modelfile").write_text(
            f'FROM {MODEL}\nPARAMETER temperature 0\nPARAMETER stop "END"\n'
            'SYSTEM """You are\nterse."""\nLICENSE MIT\nMESSAGE user hi\nMESSAGE assistant ho\n')
        self.node.cli("create", "terse", "-f", str(folder / "Modelfile"))
        text = self.node.cli("show", "--modelfile", "terse").stdout
        for part in ("PARAMETER temperature 0", 'PARAMETER stop END', "You are\nterse.", "MIT",
                     "MESSAGE user hi", "MESSAGE assistant ho"):
            self.assertIn(part, text)
        missing = self.node.cli("create", "x", "-f", str(folder / "nothing"), check=False)
        self.assertEqual(missing.returncode, 1)
        self.assertIn("nothing", missing.stderr)
        (folder / "Broken").write_text("FROM x\nBOGUS y\n")
        broken = self.node.cli("create", "x", "-f", str(folder / "Broken"), check=False)
        self.assertIn("line 2", broken.stderr)

    def test_run_answers_pipes_and_json(self):
        self.assertTrue(self.node.cli("run", BRIEF, "Say hello").stdout.strip())
        self.assertTrue(self.node.cli("run", BRIEF, input="Say hello").stdout.strip())
        lines = [json.loads(line) for line in self.node.cli(
            "run", "--json", BRIEF, "Say hello").stdout.splitlines()]
        self.assertTrue(lines[-1]["done"])
        verbose = self.node.cli("run", "--verbose", BRIEF, "Say hello")
        self.assertIn("eval rate:", verbose.stderr)

    def test_json_is_what_the_api_says(self):
        self.assertEqual(json.loads(self.node.cli("list", "--json").stdout),
                         self.node.get("/api/tags"))
        found = json.loads(self.node.cli("list", "smol", "--json").stdout)["models"]
        self.assertEqual({model["name"][:4] for model in found}, {"smol"})
        self.assertEqual(json.loads(self.node.cli("list", "no", "--json").stdout)["models"], [])
        node = self.node.get("/api/version")
        version, revision = node["ollamamax"], node["revision"]
        for words in (("version", "--json"), ("--version", "--json"), ("-v", "--json"),
                      ("--json", "-v")):
            self.assertEqual(json.loads(self.node.cli(*words).stdout),
                             {"client": version, "revision": revision, "server": version})
        self.assertEqual(self.node.cli("--json", "list").stdout,
                         self.node.cli("list", "--json").stdout)

    @contextlib.contextmanager
    def chat(self, environment=None):
        """`run` on a terminal, from its first prompt until it is left."""
        terminal = Terminal([PROGRAM, "run", MODEL], environment or self.node.environment)
        try:
            terminal.expect(">>> ")
            yield terminal
            terminal.type("/bye\r")
            self.assertEqual(terminal.process.wait(30), 0)
        finally:
            terminal.end()

    def test_chat_on_a_terminal(self):
        with self.chat() as terminal:
            terminal.type("/set verbose\r")
            terminal.expect("Set 'verbose' mode")
            terminal.type("/set parameter num_predict 12\r")
            terminal.expect("Set parameter 'num_predict' to '12'")
            terminal.type("Say hello.\r")
            terminal.expect("eval rate:")
            terminal.expect(">>> ")
            terminal.type('"""two\r')
            terminal.expect(r"\.\.\. ")
            terminal.type('lines"""\r')
            terminal.expect("eval rate:")
            terminal.expect(">>> ")
            terminal.type("/set parameter bogus 1\r")
            terminal.expect("unknown parameter")
            terminal.expect(">>> ")
            terminal.type("/save saved\r")
            terminal.expect("Created new model 'saved'")
            terminal.expect(">>> ")
            # Ctrl-C ends the answer, not the program. Left to chance, or to what was said before,
            # the story may be over in a few words.
            for name, value in (("num_predict", 2000), ("temperature", 0)):
                terminal.type(f"/set parameter {name} {value}\r")
                terminal.expect("Set parameter")
                terminal.expect(">>> ")
            terminal.type("/clear\r")
            terminal.expect("Cleared session context")
            terminal.expect(">>> ")
            terminal.type("Tell a very long story about a fox.\r")
            terminal.expect(r"fox\.\r?\n")  # The echo; what follows is the answer.
            terminal.expect(r"\w+ \w+ \w+ \w+")
            terminal.type("\x03")
            terminal.expect(">>> ")
            for seconds in (0, 0.02, 0.2):  # Also before its first word.
                terminal.type("Now one about a dog.\r")
                terminal.expect(r"dog\.\r?\n")
                time.sleep(seconds)
                terminal.type("\x03")
                terminal.expect(">>> ")
            terminal.type("/show info\r")
            terminal.expect("architecture")
            terminal.expect(">>> ")
        self.assertIn("MESSAGE user", self.node.cli("show", "--modelfile", "saved").stdout)

    def test_what_a_chat_is_set_to_is_what_it_asks_for(self):
        with self.chat() as terminal:
            for typed, told in (
                    ("/set parameter num_predict 30", "Set parameter 'num_predict' to '30'"),
                    ("/set parameter temperature 0", "Set parameter 'temperature' to '0'"),
                    ("/set system You know one fox, Rufus.", "Set system message"),
                    ("/show system", "You know one fox, Rufus"),
                    ("/set format json", "Set format to 'json' mode")):
                terminal.type(typed + "\r")
                terminal.expect(told)
                terminal.expect(">>> ")
            terminal.type("Name the fox.\r")
            terminal.expect(r"fox\.\r?\n")
            terminal.expect(r"\{")  # A small model may say anything, but only in JSON.
            terminal.expect(">>> ")
            terminal.type("/set noformat\r")
            terminal.expect("Disabled format")
            terminal.expect(">>> ")
            terminal.type("/set think\r")  # It does not think: told once asked.
            terminal.expect("Set 'think' mode|does not support thinking")
            terminal.expect(">>> ")
            terminal.type("/set nothink\r")
            terminal.expect(">>> ")
            terminal.type(f"/load {BRIEF}\r")
            terminal.expect(f"Loading model '{BRIEF}'")
            terminal.expect(">>> ")
            terminal.type("/show info\r")
            terminal.expect("num_predict +40")
            terminal.expect(">>> ")

    def test_each_word_of_a_parameter_is_one_value_as_it_stands(self):
        with self.chat() as terminal:
            terminal.type('/set parameter stop "### Human\r')
            terminal.expect("""Set parameter 'stop' to '"###', 'Human'""")
            terminal.expect(">>> ")
            terminal.type("/save stopped\r")
            terminal.expect("Created new model 'stopped'")
        self.assertEqual(self.node.post("/api/show", {"model": "stopped"})["parameters"].count(
            "stop "), 2)

    def test_what_was_typed_is_there_again_next_time(self):
        with self.chat() as terminal:
            terminal.type("/set parameter num_predict 3\r")
            terminal.expect("Set parameter")
            terminal.expect(">>> ")
        with self.chat() as terminal:
            terminal.type("\x1b[A\x1b[A\r")  # Up, over the last /bye.
            terminal.expect("Set parameter 'num_predict' to '3'")
            terminal.expect(">>> ")

    def test_an_interrupted_answer_ends_with_130(self):
        process = subprocess.Popen([PROGRAM, "run", MODEL, "Tell a very long story about a fox."],
                                   env=self.node.environment, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertTrue(process.stdout.read(8))
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(30), 130)
        process.stdout.close()
        process.stderr.close()

    def test_letters_of_all_languages_are_typed_and_shown_without_a_locale(self):
        environment = {name: value for name, value in self.node.environment.items()
                       if name != "LANG" and not name.startswith("LC_")}
        with self.chat(environment) as terminal:
            terminal.type("/load grüße\r")
            terminal.expect("Loading model 'grüße'")
            terminal.expect("Error: ")
            terminal.expect(">>> ")

    def test_ctrl_c_while_a_line_is_typed_gives_the_prompt_again(self):
        with self.chat() as terminal:
            for turn in range(100):  # The signal meets the editor at work, not only waiting.
                terminal.type("Tell a very long story about a fox")
                time.sleep(turn % 10 * 0.0001)
                terminal.type("\x03")
                terminal.expect("Use Ctrl")
                terminal.expect(">>> ")

    def test_errors_go_to_standard_error_with_exit_1(self):
        wrong = self.node.cli("show", "no-such-model", check=False)
        self.assertEqual((wrong.returncode, wrong.stdout), (1, ""))
        self.assertIn("not found", wrong.stderr)
        lost = self.node.cli("list", check=False,
                             environment={"OLLAMA_HOST": "127.0.0.1:1"})
        self.assertEqual(lost.returncode, 1)
        self.assertIn("could not connect", lost.stderr)
        lost = self.node.cli("list", check=False, environment={"OLLAMA_HOST": "[::1]:1"})
        self.assertIn("could not connect to a server at http://[::1]:1 ", lost.stderr)
        stopped = self.node.cli("stop", "no-such-model", check=False)
        self.assertIn("couldn't find model \"no-such-model\" to stop", stopped.stderr)
        self.assertEqual(self.node.cli("bogus", check=False).returncode, 2)
        self.assertEqual(self.node.cli("help", "run").stdout,
                         self.node.cli("run", "--help").stdout)
        lacking = self.node.cli("show", check=False)
        self.assertEqual((lacking.returncode, lacking.stdout), (2, ""))
        self.assertEqual(lacking.stderr, "Error: model is required\n"
                                         "Run 'ollamamax show --help' for its usage.\n")

    def test_a_name_may_hold_anything_and_is_told_as_it_is(self):
        for said, *words in (("'' is no name", "cluster", "remove", ""),
                             ("'a/b' is no name", "explain", "a/b"),
                             ("request 'a b'", "explain", "a b"),
                             ("in no cluster", "cluster", "drain", "a b")):
            with self.subTest(words=words):
                wrong = self.node.cli(*words, check=False)
                self.assertEqual((wrong.returncode, wrong.stdout), (1, ""))
                self.assertIn(said, wrong.stderr)

    def test_errors_are_json_where_that_was_asked_for(self):
        for code, text, *words in (
                (1, "not found", "show", "no-such-model", "--json"),
                (1, "/nope", "list", "--json", "--config", "/nope"),
                (1, "/nope", "config", "show", "--json", "--config", "/nope"),
                (1, "KEY=VALUE", "serve", "--json", "--set", "nothing"),
                (2, "model is required", "show", "--json"),
                (2, "unknown command \"lst\", did you mean \"list\"?", "--json", "lst"),
                (2, "--bogus", "cluster", "status", "--bogus", "--json"),
                (2, "tcsh", "completion", "tcsh", "--json")):
            with self.subTest(words=words):
                wrong = self.node.cli(*words, check=False)
                self.assertEqual((wrong.returncode, wrong.stdout), (code, ""))
                error = json.loads(wrong.stderr)
                self.assertEqual(list(error), ["error"])
                self.assertIn(text, error["error"])

    def test_secrets_come_from_standard_input(self):
        for words, text, said in (
                (("cluster", "join", "-"), "", "no token came from standard input"),
                (("cluster", "join", "-"), "  omjoin-AAAA\nmore", "the token is damaged"),
                (("backend", "add", "http://127.0.0.1:1", "--key", "-"), "\n",
                 "no key came from standard input")):
            with self.subTest(words=words):
                refused = self.node.cli(*words, input=text, check=False)
                self.assertEqual(refused.returncode, 1)
                self.assertIn(said, refused.stderr)

    def test_configuration_is_checked_and_explained(self):
        path = self.node.folder / "c.toml"
        path.write_text("[server]\nlistn = ['127.0.0.1:1']\n")
        wrong = self.node.cli("--config", str(path), "config", "validate", check=False)
        self.assertEqual(wrong.returncode, 1)
        self.assertIn('c.toml:2: unknown key "server.listn", did you mean "server.listen"?',
                      wrong.stderr)
        generated = self.node.cli("config", "generate").stdout
        path.write_text(generated)
        self.node.cli("config", "validate", str(path))
        checked = self.node.cli("config", "validate", str(path), "--json").stdout
        self.assertEqual(json.loads(checked), {"valid": True})
        defaults = json.loads(self.node.cli("config", "generate", "--json").stdout)
        self.assertIn({"key": "runner.queue_max", "value": "512"},
                      [{name: row[name] for name in ("key", "value")} for row in defaults])
        path.write_text("[server]\nlisten = 7\n")
        wrong = self.node.cli("config", "validate", str(path), "--json", check=False)
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("c.toml:2: server.listen", json.loads(wrong.stdout)["error"])
        path.write_text("[runner]\nqueue_max = 7\n")
        shown = self.node.cli("--config", str(path), "config", "show").stdout
        self.assertRegex(shown, r"runner.queue_max +7 +.*c.toml:2")
        self.assertRegex(shown, r"server.listen .*OLLAMA_HOST")
        self.assertRegex(shown, r"log.level +\"info\" +default")


class Completions(unittest.TestCase):
    """In real shells; zsh and fish where the machine has them, by their scripts anyway."""

    # What is typed, and what must be among the answers; "!": must not.
    CASES = (
        ("ollamamax ", "run serve cluster config completion !drain"),
        ("ollamamax config ", "validate generate show !run"),
        ("ollamamax cluster ", "init join drain undrain promote backup"),
        ("ollamamax replicas ", "list status set reset remove"),
        ("ollamamax backend ", "add list remove"),
        ("ollamamax completion ", "bash zsh fish"),
        ("ollamamax --config config backend ", "add !validate"),
        ("ollamamax cluster join --advertise cluster --", "--discover --json --config !--force"),
        ("ollamamax run --", "--keepalive --no-truncate --think --config !--version"),
        ("ollamamax ls --", "--json !--listen"),
        ("ollamamax start --", "--listen --set --json"),
        ("ollamamax replicas list --", "--json !--factor"))

    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.addClassCleanup(cls.node.__exit__, None, None, None)
        cls.scripts = {shell: cls.node.cli("completion", shell).stdout
                       for shell in ("bash", "zsh", "fish")}
        for shell, script in cls.scripts.items():
            (cls.node.folder / shell).write_text(script)
        cls.environment = {**cls.node.environment, "HOME": str(cls.node.folder), "PS1": "$ ",
                           "PATH": f"{pathlib.Path(PROGRAM).parent}:{os.environ['PATH']}"}

    def check(self, answers):
        """`answers` gives the words that a shell offers after what was typed."""
        for typed, wanted in self.CASES:
            with self.subTest(typed=typed):
                offered = answers(typed)
                for word in wanted.split():
                    if word.startswith("!"):
                        self.assertNotIn(word[1:], offered)
                    else:
                        self.assertIn(word, offered)

    def shell(self, name, *arguments):
        done = subprocess.run([name, *arguments], env=self.environment, capture_output=True,
                              text=True, stdin=subprocess.DEVNULL, timeout=60)
        self.assertEqual(done.stderr, "")
        return done.stdout

    def test_bash_knows_commands_of_all_levels_and_their_flags(self):
        def answers(typed):
            words = typed.split(" ")
            return self.shell("bash", "-c", f"source {self.node.folder}/bash\n"
                              f"COMP_LINE='{typed}' COMP_POINT={len(typed)}\n"
                              f"COMP_WORDS=({typed} '') COMP_CWORD={len(words) - 1}\n"
                              '_ollamamax; printf "%s\\n" "${COMPREPLY[@]}"').split()
        self.check(answers)

    def test_bash_completes_models_and_files_as_they_are_typed(self):
        self.node.start()
        self.node.create(MODEL)
        (self.node.folder / "file.toml").write_text("")
        terminal = Terminal(["bash", "--norc", "-i"], self.environment)
        try:
            terminal.type(f"cd {self.node.folder}; source ./bash; echo rea''dy\r")
            terminal.expect("ready")
            for typed, completed in (("show smol", "lm2:135m "), ("show smollm2:", "135m "),
                                     ("--config fil", "e.toml "), ("replicas sta", "tus "),
                                     ("config validate --config=fil", "e.toml ")):
                terminal.type(f"ollamamax {typed}\t")
                terminal.expect(re.escape(typed + completed))
                terminal.type("\x15")
        finally:
            terminal.end()

    def test_fish_knows_them_too(self):
        for typed in ("ollamamax_at ollamamax config' -a validate -d 'Check",
                      "ollamamax_at ollamamax cluster join' -l discover -r",
                      "OpenAI\\'s API"):  # Its apostrophe would end the text.
            self.assertIn(typed, self.scripts["fish"])
        if shutil.which("fish"):
            source = f"source {self.node.folder}/fish; complete -C "
            self.check(lambda typed: [line.split("\t")[0] for line in self.shell(
                "fish", "-c", f"{source} '{typed}'").splitlines()])

    def test_zsh_knows_them_too(self):
        self.assertTrue(self.scripts["zsh"].startswith("#compdef ollamamax\n"))
        table = self.scripts["zsh"].split("_ollamamax_walk() {")[0]
        self.assertIn(table.split("\n", 1)[1], self.scripts["bash"])
        if shutil.which("zsh"):
            stub = "compdef() { }; compadd() { shift; print -l -- $@ }; _files() { }"

            def answers(typed):
                words = typed.split(" ")
                return self.shell("zsh", "-f", "-c", f"{stub}; source {self.node.folder}/zsh; "
                                  f"words=({typed}); CURRENT={len(words)}; "
                                  f"PREFIX='{words[-1]}'; _ollamamax").split()
            self.check(answers)


class SlowLoad(unittest.TestCase):
    """Beside a stand-in for llama-server that takes its time."""

    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.__exit__, None, None, None)
        program = self.node.folder / "llama/bin/llama-server"
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\nexport FAKE_LLAMA_LOAD_S=3\n"
                           f"exec {sys.executable} {ROOT}/tools/fake_llama.py \"$@\"\n")
        program.chmod(0o755)
        self.node.environment["OLLAMAMAX_LLAMA_DIR"] = str(program.parents[1])
        self.node.start()
        self.node.create(MODEL)

    def test_a_load_shows_how_far_it_is(self):
        self.assertEqual(self.node.get("/api/v1/loads"), {"loads": []})
        terminal = Terminal([PROGRAM, "run", MODEL], self.node.environment)
        try:
            terminal.expect(rf"loading {MODEL}: +\d+%")
            for path in ("/api/v1/loads", f"/api/v1/loads?model={MODEL}"):
                load, = self.node.get(path)["loads"]
                self.assertEqual(load["model"], MODEL)
                self.assertGreaterEqual(load["progress"], 0)
                self.assertLess(load["progress"], 1)
                self.assertGreater(load["size"], 50 << 20)
            self.assertEqual(self.node.get("/api/v1/loads?model=other")["loads"], [])
            self.assertEqual(self.node.get("/api/ps")["models"], [])
            terminal.expect(">>> ")
            self.assertEqual(self.node.get("/api/v1/loads"), {"loads": []})
        finally:
            terminal.end()

    def test_what_is_no_terminal_sees_no_bar(self):
        asked = self.node.cli("run", MODEL, "Hi")
        self.assertIn("quick brown fox", asked.stdout)
        self.assertEqual(asked.stderr, "")


if __name__ == "__main__":
    cases.main()
