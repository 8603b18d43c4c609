"""The two command lines at one node of ours: what they print and how they end."""

import re

COMMANDS = [
    ["list"], ["ls"], ["list", "sa"], ["ps"], ["show", "say"], ["show", "say", "--modelfile"],
    ["show", "say", "--parameters"], ["show", "say", "--template"], ["show", "say", "--system"],
    ["show", "say", "--license"], ["show", "-v", "say"], ["show", "embedder"],
    ["show", "tooled"], ["show", "thinker"], ["show", "full"], ["show", "full", "--modelfile"],
    ["show", "full", "--parameters"], ["show", "full", "--license"], ["show", "full", "--system"],
    ["show", "none"], ["show"], ["show", "say", "--system", "--license"],
    ["run", "calm", "Say hello."], ["run", "calm", "Say hello.", "--verbose"],
    ["run", "calm", "Say hello.", "--format", "json"], ["run", "calm", "Hi", "--keepalive", "x"],
    ["run", "embedder", "sea"], ["run", "embedder"], ["run", "say", "--think", "Hi"],
    ["run", "dreamer", "--think", "Hi"], ["run", "dreamer", "--think", "--hidethinking", "Hi"],
    ["run"], ["cp", "say", "copied"], ["cp", "none", "b"], ["cp", "say"], ["rm", "copied"],
    ["rm", "none"], ["rm"], ["stop", "say"], ["stop", "none"], ["stop"], ["push", "none"],
    ["create", "made", "-f", "MODELFILE"], ["create", "made", "-f", "none"], ["create"],
    ["create", "made", "-f", "WRONG"], ["nonsense"], ["list", "--nonsense"]]
INPUTS = [(["run", "calm"], "Say hello."), (["run", "calm", "Say hello."], "more")]


def plain(text):
    """Without what a terminal only draws, and what time changes."""
    text = re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", text)
    text = re.sub(r"[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]", "", text)
    text = re.sub(r"\b(\d+|Less than a|About an?|a few) (seconds?|minutes?|hours?|second)"
                  r"( ago| from now)", "TIME", text)
    text = re.sub(r"(duration|rate): +.*", r"\1: N", text)
    text = re.sub(r"e-0?(\d)\b", r"e-\1", text)  # How numbers are written.
    return "\n".join(line.rstrip() for line in text.splitlines()).strip()


def run(node, program, command, given=None):
    """Exit status, output, errors of `program` at the node."""
    result = node.cli(*command, input=given, check=False, program=program,
                      environment={"OLLAMA_NOHISTORY": "1"})
    return {"status": result.returncode, "output": plain(result.stdout),
            "errors": plain(result.stderr)}
