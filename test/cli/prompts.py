"""What `run` makes of the words behind its model."""

import json

from support.node import PROGRAM
from support.node_case import NodeCase
from support.terminal import Terminal

MODEL = "smollm2:135m"
ONE_TOKEN = "one"


class Prompts(NodeCase):
    @classmethod
    def prepare(cls):
        cls.node.cli("create", ONE_TOKEN, "-f", "/dev/stdin", input=(
            f"FROM {MODEL}\nPARAMETER num_predict 1\nPARAMETER temperature 0\n"))

    def sent(self, *words):
        """The tokens of the prompt that these words become, and of the answer."""
        lines = self.node.cli("run", "--json", ONE_TOKEN, *words).stdout.splitlines()
        return json.loads(lines[-1])["context"]

    def test_words_in_brackets_are_no_list(self):
        for prompt in ('["a", "b"]', "[INST] hi [/INST]", "[]"):
            with self.subTest(prompt=prompt):
                wanted = self.node.post("/api/generate", {"model": ONE_TOKEN, "prompt": prompt})
                self.assertEqual(self.sent(prompt), wanted["context"])
        wanted = self.node.post("/api/generate", {"model": ONE_TOKEN, "prompt": "say [a,b] twice"})
        self.assertEqual(self.sent("say", "[a,b]", "twice"), wanted["context"])

    def test_an_empty_prompt_only_loads_the_model(self):
        self.node.cli("stop", MODEL, check=False)
        terminal = Terminal([PROGRAM, "run", MODEL, ""], self.node.environment)
        try:
            self.assertEqual(terminal.process.wait(60), 0)
        finally:
            terminal.end()
        self.assertIn(MODEL, [model["name"] for model in self.node.get("/api/ps")["models"]])

    def test_a_schema_is_a_format(self):
        schema = {"type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]}},
                  "required": ["city"]}
        answer = self.node.cli("run", MODEL, "A city?", "--format", json.dumps(schema)).stdout
        self.assertIn(json.loads(answer)["city"], ("Rome", "Oslo"))
        wrong = self.node.cli("run", MODEL, "A city?", "--format", "xml", check=False)
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("--format", wrong.stderr)

    def test_a_modelfile_may_come_through_a_pipe(self):
        self.node.cli("create", "piped", "-f", "/dev/stdin",
                      input=f"FROM {MODEL}\nPARAMETER num_ctx 512\n")
        self.assertIn("512", self.node.post("/api/show", {"model": "piped"})["parameters"])

    def test_lines_end_as_ollamas_do(self):
        answer = self.node.cli("run", ONE_TOKEN, "Say hello").stdout
        self.assertRegex(answer, r"[^\n]\n\n$")
        shown = self.node.cli("show", "--template", MODEL).stdout
        self.assertEqual(shown, self.node.post("/api/show", {"model": MODEL})["template"])
        stats = self.node.cli("run", "--verbose", ONE_TOKEN, "Say hello").stderr
        self.assertTrue(stats.startswith("total duration:"), stats)

    def test_names_are_found_in_any_case(self):
        found = self.node.cli("list", "SmolLM").stdout
        self.assertEqual(len(found.splitlines()), 2, found)


class Typed(NodeCase):
    """What a person types and pastes into a chat, as the model gets it."""

    def asked(self, typed):
        """The first message of a chat in which this was typed."""
        terminal = Terminal([PROGRAM, "run", MODEL], self.node.environment)
        try:
            terminal.expect(">>> ")
            terminal.type("/set parameter num_predict 1\r")
            terminal.expect(">>> ")
            terminal.type(typed)
            terminal.expect(r"\n[^\n]*>>> ")  # The next prompt, on a line of its own.
            terminal.type("/save typed\r")
            terminal.expect("Created new model")
            terminal.type("/bye\r")
            self.assertEqual(terminal.process.wait(30), 0)
        finally:
            terminal.end()
        return self.node.post("/api/show", {"model": "typed"})["messages"][0]["content"]

    def test_a_pasted_text_is_one_message(self):
        text = "int a;\n// a comment\n\tint b;\n/bye\nlast"
        pasted = "\x1b[200~" + text.replace("\n", "\r") + "\x1b[201~"
        self.assertEqual(self.asked(pasted + "\r"), text)

    def test_what_a_saved_chat_said_is_shown_again(self):
        self.node.cli("create", "saved", "-f", "/dev/stdin", input=(
            f"FROM {MODEL}\nMESSAGE user Who is there?\nMESSAGE assistant Only me.\n"))
        terminal = Terminal([PROGRAM, "run", "saved"], self.node.environment)
        try:
            terminal.expect(">>> Who is there\\?\r\nOnly me.\r\n\r\n.*>>> ")
        finally:
            terminal.end()

    def test_quotes_inside_a_line_end_no_block(self):
        self.assertEqual(self.asked('"""def f():\r    """Doc.\r  x = """a""" + b\rend"""\r'),
                         'def f():\n    """Doc.\n  x = """a""" + b\nend')

    def test_lines_of_ollamas_history_are_there_and_stay(self):
        history = self.node.folder / "state/history"
        history.write_text("Say hello world\n/set verbose\n")
        self.assertEqual(self.asked("\x1b[A\x1b[A\x1b[A\r"), "Say hello world")
        lines = history.read_text().splitlines()
        self.assertIn("/set verbose", lines)
        self.assertIn("/save typed", lines)
        self.assertNotIn("_HiStOrY_V2_", lines)
