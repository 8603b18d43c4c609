"""Streams of every API and constraint, read as clients read them, and what one of them said."""

import http.client
import json
import threading
import time

MODEL = "smollm2-tools"
THINK_MODEL = "thinker"
GO_MODEL = "go-tools"  # Its calls are forced by a grammar that is made of its Go template.
IMAGE_MODEL = "looker"
SUBJECTS = ["a fox and a river", "a lighthouse in a storm", "the first bread", "a clock that lies",
            "two friends on the moon"]
SCHEMA = {"type": "object", "required": ["title", "story", "words"], "properties": {
    "title": {"type": "string", "maxLength": 40}, "story": {"type": "string", "maxLength": 200},
    "words": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 20,
              "maxItems": 20}}}
TRAVEL = {"type": "object", "required": ["city", "plan"], "properties": {
    "city": {"type": "string", "maxLength": 30},
    "plan": {"type": "array", "items": {"type": "string", "maxLength": 20}, "minItems": 4,
             "maxItems": 4}}}
# After these a small model thinks one sentence, and then says more.
SHOTS = [("a cat", "It was a small cat. It sat on a mat all day, and it slept."),
         ("a dog", "It was a big dog. It ran over the hills, and it came home late."),
         ("a tree", "It was an old tree. It stood on a hill, and the wind sang in it.")]
# There is time to die in the midst of them.
STOP_CHARACTERS, STOP_TOKENS = 40, 12  # Not more tokens than these have that many characters.
CHAT, GENERATE = "/api/chat", "/api/generate"
OPENAI, LEGACY = "/v1/chat/completions", "/v1/completions"
RESPONSES, MESSAGES = "/v1/responses", "/v1/messages"


def messages(subject):
    return [{"role": "user", "content": f"Write a very long story about {subject}."}]


def thoughtful(subject, said):
    """A talk in which thoughts end. `said`: an answer's message, of its thoughts and its text."""
    talk = []
    for what, tale in SHOTS:
        talk += [{"role": "user", "content": f"Write about {what}."},
                 {"role": "assistant", **said(f"A tale of {what}.", tale)}]
    return [*talk, {"role": "user", "content": f"Write about {subject}."}]


def kinds(subject, tokens):
    """Name to (path, body): every API; plain, JSON, tools, thinking, stop strings, logprobs."""
    greedy = {"num_predict": tokens, "temperature": 0, "seed": 1}
    chat = {"model": MODEL, "messages": messages(subject)}
    openai = {**chat, "temperature": 0, "max_tokens": tokens}
    function = {"name": "travel", "description": "Plans a journey.", "parameters": TRAVEL}
    tool = {"type": "function", "function": function}
    return {
        "generate": (GENERATE, {"model": MODEL, "prompt": f"Write of {subject}.",
                                "options": greedy}),
        "generate, logprobs, stop": (GENERATE, {
            "model": MODEL, "prompt": f"A long tale of {subject}.", "logprobs": True,
            "top_logprobs": 2, "options": {**greedy, "stop": ["zebra crossing", "the the the"]}}),
        "generate, schema": (GENERATE, {
            "model": MODEL, "prompt": f"Describe {subject}.", "format": SCHEMA,
            "options": {**greedy, "num_predict": 2 * tokens}}),
        "chat": (CHAT, {**chat, "options": greedy}),
        "chat, json": (CHAT, {**chat, "format": "json", "options": greedy}),
        "chat, thinking": (CHAT, {**chat, "model": THINK_MODEL, "think": True,
                                  "options": greedy}),
        "chat, tools": (CHAT, {**chat, "tools": [tool],
                               "options": greedy}),
        "openai": (OPENAI, {**openai, "logprobs": True, "top_logprobs": 1,
                            "stream_options": {"include_usage": True}}),
        "openai, thinking": (OPENAI, {
            **openai, "model": THINK_MODEL, "reasoning_effort": "high", "logprobs": True,
            "stream_options": {"include_usage": True},
            "messages": thoughtful(subject, lambda thoughts, text: {
                "reasoning": thoughts, "content": text})}),
        "openai, schema": (OPENAI, {
            **openai, "max_tokens": 2 * tokens, "stream_options": {"include_usage": True},
            "response_format": {"type": "json_schema",
                                "json_schema": {"name": "s", "schema": SCHEMA}}}),
        "openai, tool": (OPENAI, {
            **openai, "tools": [tool], "tool_choice": "required",
            "max_tokens": 3 * tokens, "stream_options": {"include_usage": True}}),
        "openai, legacy": (LEGACY, {
            "model": MODEL, "prompt": f"Once there was {subject}.", "temperature": 0,
            "max_tokens": tokens, "logprobs": 1, "stop": ["\n\n\n\n"],
            "stream_options": {"include_usage": True}}),
        "responses": (RESPONSES, {"model": MODEL, "input": f"Write a long tale of {subject}.",
                                  "temperature": 0, "max_output_tokens": tokens}),
        "responses, tool": (RESPONSES, {
            "model": GO_MODEL, "input": f"Travel to see {subject}.", "temperature": 0,
            "max_output_tokens": 3 * tokens, "tool_choice": {"type": "function", "name": "travel"},
            "tools": [{"type": "namespace", "name": "trips", "description": "Journeys.",
                       "tools": [{"type": "function", **function}]}]}),
        "messages": (MESSAGES, {**openai, "stop_sequences": ["zebra crossing"]}),
        "messages, thinking": (MESSAGES, {
            **openai, "model": THINK_MODEL,
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "messages": thoughtful(subject, lambda thoughts, text: {"content": [
                {"type": "thinking", "thinking": thoughts, "signature": ""},
                {"type": "text", "text": text}]})}),
        "messages, tool": (MESSAGES, {
            **openai, "max_tokens": 3 * tokens,
            "tool_choice": {"type": "tool", "name": "travel"},
            "tools": [{"name": "travel", "input_schema": TRAVEL}]}),
    }


def stop_string(text):
    """A piece of the text that occurs once, begins in a word and has most of it before."""
    for at in range(len(text) // 2, len(text) - STOP_CHARACTERS):
        piece = text[at:at + STOP_CHARACTERS]
        if text.find(piece) == at and text[at - 1].isalpha() and piece[0].isalpha():
            return piece
    raise AssertionError(f"no piece of it occurs once: {text!r}")


def with_stop(path, body, stop):
    """The same request, which ends at this string."""
    stops = ["zebra crossing", stop]
    if path in (CHAT, GENERATE):
        return path, {**body, "options": {**body["options"], "stop": stops}}
    return path, {**body, "stop_sequences" if path == MESSAGES else "stop": stops}


def lacks(kind, body, said):
    """What an answer of this kind must have and has not, or None: else it would prove nothing."""
    wanted = {"usage": True, "reason": True, "thinking": "thinking" in kind,
              "calls": "tool " in kind, "logprobs": body.get("logprobs"),
              "stop_sequence": "messages, stop found" in kind}
    return next((name for name, is_wanted in wanted.items() if is_wanted and not said[name]), None)


def output_tokens(said):
    return next(said["usage"][name] for name in ("eval_count", "completion_tokens",
                                                 "output_tokens") if name in said["usage"])


class Answer:
    """What a stream said, without what may differ between two runs (ids, times)."""

    def __init__(self):
        self.text, self.thinking, self.calls, self.usage = "", "", [], {}
        self.logprobs, self.reason, self.context = [], None, None
        self.blocks, self.stop_sequence = [], None  # Of /v1/messages.
        self.error, self.ended = None, False

    def said(self):
        return {name: getattr(self, name) for name in (
            "text", "thinking", "calls", "usage", "logprobs", "reason", "context", "blocks",
            "stop_sequence")}

    def size(self):
        return len(self.text) + len(self.thinking) + len(self.calls) + len(self.logprobs)

    def add(self, path, line):
        if path in (CHAT, GENERATE):
            return self.add_ollama(json.loads(line))
        if not line.startswith(b"data:"):
            return None
        data = line[5:].strip()
        if data == b"[DONE]":
            self.ended = True
            return None
        event = json.loads(data)
        if "error" in event and event["error"]:
            self.error = event["error"]
            return None
        return {OPENAI: self.add_openai, LEGACY: self.add_openai, RESPONSES: self.add_response,
                MESSAGES: self.add_message}[path](event)

    def add_ollama(self, row):
        if "error" in row:
            self.error = row["error"]
            return
        message = row.get("message", {})
        self.text += row.get("response", "") + message.get("content", "")
        self.thinking += row.get("thinking", "") + message.get("thinking", "")
        self.calls += [one["function"] for one in message.get("tool_calls", [])]
        self.logprobs += logprobs_of(row.get("logprobs", []))
        if row["done"]:
            self.ended, self.reason, self.context = True, row["done_reason"], row.get("context")
            self.usage = {name: row.get(name) for name in ("prompt_eval_count", "eval_count")}

    def add_openai(self, event):
        if event.get("usage"):
            self.usage = {name: event["usage"][name]
                          for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
        for choice in event.get("choices", []):
            delta = choice.get("delta", {})
            self.text += choice.get("text") or delta.get("content") or ""
            self.thinking += delta.get("reasoning") or ""
            for call in delta.get("tool_calls", []):
                while len(self.calls) <= call["index"]:
                    self.calls.append({"name": "", "arguments": ""})
                for name in ("name", "arguments"):
                    self.calls[call["index"]][name] += call["function"].get(name) or ""
            given = choice.get("logprobs") or {}
            self.logprobs += logprobs_of(given.get("content", []))
            self.logprobs += list(zip(given.get("tokens", []), given.get("token_logprobs", [])))
            self.reason = choice.get("finish_reason") or self.reason

    def add_response(self, event):
        if event["type"] == "response.output_text.delta":
            self.text += event["delta"]
        elif event["type"] == "response.output_item.done":
            item = event["item"]
            if item["type"] == "function_call":
                self.calls.append({name: item[name] for name in ("namespace", "name", "arguments")})
        elif event["type"] in ("response.completed", "response.incomplete"):
            self.ended, self.reason = True, event["response"]["status"]
            usage = event["response"]["usage"]
            self.usage = {name: usage[name] for name in ("input_tokens", "output_tokens")}
        elif event["type"] in ("response.failed", "error"):
            self.error = event

    def add_message(self, event):
        if event["type"] == "content_block_start":
            self.blocks.append(event["content_block"]["type"])
            if self.blocks[-1] == "tool_use":
                self.calls.append({"name": event["content_block"]["name"], "arguments": ""})
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            self.text += delta.get("text", "")
            self.thinking += delta.get("thinking", "")
            if "partial_json" in delta:
                self.calls[-1]["arguments"] += delta["partial_json"]
        elif event["type"] == "message_delta":
            self.reason = event["delta"]["stop_reason"]
            self.stop_sequence = event["delta"].get("stop_sequence")
            self.usage.update(event["usage"])
        elif event["type"] == "message_stop":
            self.ended = True


def logprobs_of(items):
    return [(one["token"], one["logprob"],
             [(other["token"], other["logprob"]) for other in one.get("top_logprobs", [])])
            for one in items]


class Stream(threading.Thread):
    """One streamed answer; `arrivals` are the moments when something of it came.

    With a `key` it can be picked up: `picked_up_at()` is the same answer's stream at a node, from
    the last event that came. `leave_after` events the client is gone.
    """

    def __init__(self, node, kind, path, body, key=None, leave_after=None):
        super().__init__(daemon=True)
        self.node, self.kind, self.path, self.body = node, kind, path, {**body, "stream": True}
        self.key, self.leave_after, self.last_event = key, leave_after, 0
        self.answer, self.arrivals = Answer(), []
        self.server, self.request_id, self.failure = None, None, None
        self.resumed = 0  # Told by the answer's headers: what had come before them was kept.
        self.begun = time.monotonic()

    def picked_up_at(self, node, leave_after=None):
        stream = Stream(node, self.kind, self.path, self.body, self.key, leave_after)
        stream.answer, stream.last_event = self.answer, self.last_event
        stream.answer.error = None
        return stream

    def headers(self):
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["Idempotency-Key"] = self.key
            if self.last_event:
                headers["Last-Event-ID"] = str(self.last_event)
        return headers

    def take(self, line):
        """Events count when they are whole; the number comes before the data it is of."""
        if line.startswith(b"id:"):
            number = int(line[3:])
            if number != self.last_event + 1:
                raise AssertionError(f"event {number} after event {self.last_event}")
            self.last_event = number
        elif line.strip():
            if self.path in (CHAT, GENERATE) and not line.startswith(b'{"error"'):
                self.last_event += 1
            self.answer.add(self.path, line)

    def run(self):
        connection = http.client.HTTPConnection(self.node.address, self.node.port, timeout=300)
        try:
            connection.request("POST", self.path, json.dumps(self.body).encode(),
                               self.headers())
            reply = connection.getresponse()
            if reply.status != 200:
                self.failure = f"{reply.status}: {reply.read().decode(errors='replace')[:500]}"
                return
            self.request_id = reply.headers["X-Request-Id"]
            self.server = reply.headers["X-OllamaMax-Node"]
            self.resumed = int(reply.headers["X-OllamaMax-Resumed"] or 0)
            for line in reply:
                size = self.answer.size()
                self.take(line)
                if self.answer.size() > size:
                    self.arrivals.append(time.monotonic())
                if not line.strip() or self.path in (CHAT, GENERATE):
                    if self.leave_after and self.last_event >= self.leave_after:
                        return
            if self.answer.error:
                self.failure = f"error element: {self.answer.error}"
            elif not self.answer.ended:
                self.failure = f"no end; {self.answer.size()} characters came"
        except Exception as error:  # noqa: BLE001: told in the test's own thread.
            self.failure = f"{type(error).__name__}: {error}"
        finally:
            connection.close()

    def pause_around(self, moment):
        """The gap in which `moment` lies, or the longest that begins soon after it; for one that
        is silent still, what it lasts so far."""
        times = [*self.arrivals, time.monotonic()] if self.is_alive() else self.arrivals
        gaps = [(after - before, before) for before, after in zip(times, times[1:])
                if after >= moment and before <= moment + 0.5]
        return max(gaps)[0] if gaps else None


def difference(expected, got):
    """Where two answers first differ, for people; None if they are the same."""
    for name, value in expected.items():
        other = got[name]
        if value == other:
            continue
        at = next((i for i, (a, b) in enumerate(zip(value, other)) if a != b),
                  min(len(value), len(other))) if isinstance(value, (str, list)) and isinstance(
                      other, type(value)) else 0
        if isinstance(value, (str, list)):
            seam = slice(max(0, at - 10), at + 30)
            return f"{name} differs at {at} of {len(value)}: {value[seam]!r}" \
                   f" became {(other or '')[seam]!r}"
        return f"{name}: {value} became {other}"
    return None
