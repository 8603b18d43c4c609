"""A server that speaks OpenAI's API and fails as it is told to, as a real one on its bad days."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Upstream:
    """`mode`: "good"; "refuse" 503s; "cut" sends `cut_after` words and closes; "freeze" sends them
    and then nothing more, to anybody.

    `words` are its answer, `pause` seconds apart, `at_once` in one event; it goes on from an
    assistant's last message as vLLM does, and counts with each event if it is asked to: a word is
    a token, and a prompt has 5 and those that it goes on from.
    """

    def __init__(self, model="shared", words=None, key=None, owner="someone",
                 address=("127.0.0.1", 0)):
        self.model, self.words = model, words or [f"word{i} " for i in range(12)]
        self.key, self.owner = key, owner
        self.mode, self.cut_after, self.pause, self.at_once = "good", 4, 0, 1
        self.dimensions = 2
        self.requests, self.keys = [], []
        self.on_cut = lambda: None
        self.frozen, self.closed = False, threading.Event()
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def reply(self, status, body):
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def allowed(self):
                given = self.headers.get("Authorization")
                upstream.keys.append(given)
                if upstream.key and given != f"Bearer {upstream.key}":
                    self.reply(401, {"error": {"message": "wrong key"}})
                    return False
                return True

            def do_GET(self):
                if upstream.frozen:
                    upstream.closed.wait()
                    return None
                if self.path != "/v1/models":
                    return self.reply(404, {"error": {"message": "no such path"}})
                if not self.allowed():
                    return None
                return self.reply(200, {"object": "list", "data": [
                    {"id": upstream.model, "object": "model", "owned_by": upstream.owner}]})

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if not self.allowed():
                    return None
                upstream.requests.append((self.path, body))
                if upstream.mode == "refuse":
                    return self.reply(503, {"error": {"message": "overloaded"}})
                if self.path == "/v1/embeddings":
                    rest = [0.12345678901234567] * (upstream.dimensions - 2)
                    return self.reply(200, {"data": [
                        {"embedding": [0.5, float(len(text)), *rest]} for text in body["input"]],
                        "usage": {"prompt_tokens": 7}})
                return upstream.stream(self, body)

        self.server = ThreadingHTTPServer(address, Handler)
        self.server.daemon_threads = True
        self.url = "http://{}:{}".format(*self.server.server_address)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def event(self, handler, data):
        text = data if isinstance(data, str) else json.dumps(data)
        handler.wfile.write(f"data: {text}\n\n".encode())
        handler.wfile.flush()

    def stream(self, handler, body):
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.close_connection = True
        done = ""
        if "messages" in body and body["messages"][-1]["role"] == "assistant":
            done = body["messages"][-1]["content"]
        left = "".join(self.words)[len(done):]
        words = [word + " " for word in left.split()]
        if body.get("tools"):
            for piece in ({"index": 0, "id": "call_1", "function": {"name": "weather",
                                                                   "arguments": ""}},
                          {"index": 0, "function": {"arguments": '{"city": '}},
                          {"index": 0, "function": {"arguments": '"Rome"}'}}):
                self.event(handler, {"choices": [{"delta": {"tool_calls": [piece]}}]})
            words = []
        counts = {"prompt_tokens": 5 + len(done.split())}
        counting = body.get("stream_options", {}).get("continuous_usage_stats")
        for i in range(0, len(words), self.at_once):
            word = "".join(words[i:i + self.at_once])
            time.sleep(self.pause)
            if self.mode == "cut" and i >= self.cut_after:
                self.on_cut()
                return
            if self.mode == "freeze" and i >= self.cut_after:
                self.frozen = True
                self.on_cut()
                self.closed.wait()
                return
            choice = {"delta": {"content": word}} if "messages" in body else {"text": word}
            if body.get("logprobs"):
                choice["logprobs"] = {"content": [{"token": word, "logprob": -0.5,
                                                   "top_logprobs": []}]}
            told = {"usage": {**counts, "completion_tokens": i + self.at_once}} if counting else {}
            self.event(handler, {"choices": [choice], **told})
        self.event(handler, {"choices": [{"delta": {}, "finish_reason": "stop"}]})
        self.event(handler, {"choices": [], "usage": {**counts, "completion_tokens": len(words)}})
        self.event(handler, "[DONE]")

    def close(self):
        self.closed.set()
        self.server.shutdown()
        self.server.server_close()
