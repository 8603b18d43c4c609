"""What differs from Ollama 0.17.4 on purpose, and why. Where later Ollamas (2026-08) differ from
it, we follow those."""

import re

# Of the case's name, of the difference: why.
WANTED = [
    ("", r"^status: 500, ours 4\d\d$", "a client's mistake is told as one"),
    (r"^(GET|POST) (/api/(tags|chat)/$|//)", "",
     "answered where Ollama redirects: few clients follow with a POST"),
    (r"^(/api/generate|/api/chat) wrong .*'model': '(a b|\.\./x)'", r"status: 404, ours 400",
     "later Ollamas refuse the name"),
    ("", r'error\.type: "api_error", ours "(not_found_error|invalid_request_error)"',
     "later Ollamas tell the kind"),
    ("GGUF's own template", "prompt_eval_count",
     "the model's own template is used, not the one of a list that is nearest to it"),
    ("show", r"\.parameters: ", "the same: no stop words of a list are added"),
    ("show", r"parent_model: ", "a path on the server's disk says nothing to a client"),
    ("show", r"general\.languages: null", "only long lists are left out"),
    ("show", r"\.tensors: ", "later Ollamas tell them with `verbose` only"),
    (r"image|images|'im", r"status: 200, ours 400", "later Ollamas refuse images nobody looks at"),
    ("nothing to predict", "", "later Ollamas predict nothing"),
    (r"num_ctx|wrong 2[89]", "prompt_eval_count|done_reason", "later Ollamas' least context"),
    ("", "status: 200 and an error, ours 40", "what is wrong from the start is told by the status"),
    ("^create .* streamed$", r"then\.status: .using existing layer",
     "no layer of stop words (see above); a licence that is there is counted as new"),
    (r"'template': '\{\{ .None", "", "what a template misses is nothing, not '<no value>'"),
    (r"'prompt': 'x x x", "", "later Ollamas keep the half that leaves room for an answer"),
    (r"'tools': \[\{'type'", "", "a function without a name can never be called"),
    (r"'keep_alive': '5'", "status: 400, ours 200",
     "seconds as a text, as the settings of many clients give them"),
    (r"^/api/chat wrong .*'tool_calls'", "status: 400, ours 200",
     "arguments that are no object are shown to the model in one"),
    ("'think': 'low'|reasoning", r"status: 400, ours 200", "later Ollamas take levels"),
    ("embed of a chat model", "status: 200, ours 501", "later Ollamas refuse it"),
    ("^openai .* streamed$", r"finish_reason: .*ours null",
     "the last chunk's delta is empty, as OpenAI's"),
    ("^openai completion usage", r"\.usage: ", "null until the last chunk, as OpenAI's"),
    ("^openai completion a list", "status: 400, ours 200", "OpenAI takes lists"),
    (r"completions wrong .*('n': 2)", r"\.choices: ", "as many answers as were asked for"),
    ("^/v1/(chat/)?completions wrong .*('stop'|'response_format'|'tool_choice')",
     "status: 200, ours 400", "OpenAI refuses it"),
    ("^/v1/completions wrong", "status: 404, ours 400", "no model is named"),
    ("^/v1/completions wrong 8", "finish_reason", "OpenAI knows no reason `load`"),
    ("^/v1/responses wrong", "status: 200, ours 400", "OpenAI refuses it"),
    ("^responses", r"incomplete|status: .completed|ours \"response.incomplete",
     "cut answers are incomplete, as OpenAI's"),
    ("^responses", r"\.(completed_at|reasoning|top_p): ", "null where it is not known"),
    ("^responses .* streamed", r" then\.data", "told apart by the order of events in the tests"),
    ("^anthropic .* streamed$", "first.data.message.usage.input_tokens", "both only estimate it"),
    ("^anthropic stop", "stop_reason", "which stop sequence it was is told, as Anthropic does"),
    (r"^/v1/messages wrong .*content': \[", "status: 200, ours 400", "Anthropic refuses it"),
    ("^/v1/messages wrong 17", "",
     "a text stands for a block that no model here can read, so there is something to answer"),
]


def wanted(case, difference):
    """The reason, or None."""
    return next((why for name, what, why in WANTED
                 if re.search(name, case.name) and re.search(what, difference)), None)


# Of the command, of the difference: why.
COMMANDS = [
    ("", r"^status: 1\n +ours: 2$", "how a command was misused is told by 2, as by most programs"),
    ("show -v", "parameter_count", "whole numbers are written as such"),
    ("show full", "output", "a stop string with blanks in it stays in one piece"),
]


def wanted_of_command(name, difference):
    return next((why for command, what, why in COMMANDS
                 if re.search(command, name) and re.search(what, difference)), None)
