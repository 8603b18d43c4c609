#!/usr/bin/env python3
"""A stand-in for llama-server, for tests and for benchmarks of the gateway.

It takes llama-server's own flags (those it does not know are ignored) and speaks /health, /props,
/completion (stream and not), /tokenize, /detokenize, /embedding and /slots over a unix socket
(--host ending in .sock) or TCP (--host, --port; port 0 picks one and prints it).

How it behaves is set by --fake-NAME VALUE or by the environment, FAKE_LLAMA_NAME=VALUE:
  load_s         seconds until it is ready                         (0)
  load_silent    no output while loading                           (0)
  load_reads     reads files while loading                         (0)
  load_exit      end with this exit code while loading             (none)
  prefill_s      seconds before the first token                    (0)
  prompt_rate    tokens of prompts a second, told batch by batch   (0: as prefill_s says)
  hang_on        nothing more once a prompt with this text began   (none)
  token_s        seconds between tokens                            (0)
  tokens         tokens of an answer that names no limit           (16)
  crash_after    end by SIGKILL after this many tokens of a stream (none; 0: before the first)
  crash_on       abort when the prompt contains this text          (none)
  wedge_after    stay healthy but send nothing more after n tokens (none)
  ping_s         seconds between signs of life of a wedged stream  (none)
  garbage_after  send bytes that are no event after n tokens       (none)
  utf8_after     send a broken UTF-8 byte after n tokens           (none)
  endless_after  send a line without an end after n tokens         (none)
  end_after      end the stream without a final event              (none)
  error_after    send an error event after n tokens                (none)
  ignore_term    ignore SIGTERM                                    (0)
  anew           begin a grammar anew, whatever was said           (0)
  text           words of the answers
Tokens are code points of the prompt; answers use ids from 2000000 on. Standard library only.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import sys

FIRST_WORD = 2000000
BOS = 1
DEFAULTS = {
    "load_s": 0.0, "load_silent": 0, "load_reads": 0, "load_exit": None, "prefill_s": 0.0,
    "prompt_rate": 0.0, "hang_on": None, "token_s": 0.0,
    "tokens": 16, "crash_after": None, "crash_on": None, "wedge_after": None, "ping_s": None,
    "garbage_after": None, "utf8_after": None, "endless_after": None, "end_after": None,
    "error_after": None, "ignore_term": 0, "anew": 0,
    "text": "The quick brown fox jumps over the lazy dog and runs on through the \u00e9toile",
}
NUMBERS = {name: float for name in ("load_s", "prefill_s", "prompt_rate", "token_s",
                                        "ping_s")}
TEXTS = {"crash_on", "hang_on", "text"}


def settings_of(unknown):
    settings = dict(DEFAULTS)
    for name in DEFAULTS:
        value = os.environ.get("FAKE_LLAMA_" + name.upper())
        flag = "--fake-" + name.replace("_", "-")
        if flag in unknown:
            value = unknown[unknown.index(flag) + 1]
        if value is not None:
            kind = str if name in TEXTS else NUMBERS.get(name, int)
            settings[name] = kind(value)
    return argparse.Namespace(**settings)


class Refused(Exception):
    def __init__(self, code, message, kind="invalid_request_error", **more):
        super().__init__(message)
        self.code = code
        self.body = {"error": {"code": code, "message": message, "type": kind, **more}}


class Server:
    def __init__(self, args, fake):
        self.args, self.fake = args, fake
        self.ready = False
        self.slots = asyncio.Semaphore(args.parallel)
        self.words = [" " + word for word in fake.text.split()]
        self.key = os.environ.get("LLAMA_API_KEY", "")
        self.slot_context = args.ctx_size if args.kv_unified else args.ctx_size // args.parallel
        if args.kv_unified_per_slot:
            self.slot_context = min(self.slot_context, args.kv_unified_per_slot)

    # --- HTTP -----------------------------------------------------------------------------------

    async def serve(self, reader, writer):
        try:
            while await self.serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def serve_one(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        path = target.partition("?")[0]
        try:
            self.check(path, headers)
            request = json.loads(body) if body else {}
            if path == "/completion" and method == "POST":
                return await self.completion(request, writer)
            self.reply(writer, 200, self.answer(path, request))
        except Refused as refused:
            self.reply(writer, refused.code, refused.body)
        except json.JSONDecodeError as error:
            self.reply(writer, 400, Refused(400, str(error)).body)
        await writer.drain()
        return headers.get("connection", "").lower() != "close"

    def check(self, path, headers):
        if path != "/health" and self.key:
            if headers.get("authorization") != "Bearer " + self.key:
                raise Refused(401, "Invalid API Key", "authentication_error")
        if not self.ready:
            raise Refused(503, "Loading model", "unavailable_error")

    def reply(self, writer, status, value):
        body = json.dumps(value).encode()
        writer.write(b"HTTP/1.1 %d X\r\nServer: llama.cpp\r\nContent-Type: application/json\r\n"
                     b"Content-Length: %d\r\n\r\n" % (status, len(body)) + body)

    # --- endpoints ------------------------------------------------------------------------------

    def answer(self, path, request):
        if path == "/health":
            return {"status": "ok"}
        if path == "/props":
            return {"default_generation_settings": {"n_ctx": self.slot_context},
                    "total_slots": self.args.parallel, "model_alias": self.args.alias,
                    "modalities": {"vision": bool(self.args.mmproj), "audio": False},
                    "media_marker": os.environ.get("LLAMA_MEDIA_MARKER", "<__media__>")}
        if path == "/tokenize":
            tokens = [ord(c) for c in request.get("content", "")]
            return {"tokens": [BOS] + tokens if request.get("add_special") else tokens}
        if path == "/detokenize":
            return {"content": "".join(self.piece(token) for token in request["tokens"])}
        if path == "/embedding":
            return self.embedding(request)
        raise Refused(404, "File Not Found", "not_found_error")

    def piece(self, token):
        if token >= FIRST_WORD:
            return self.words[(token - FIRST_WORD) % len(self.words)]
        return "" if token == BOS else chr(token)

    def embedding(self, request):
        if not self.args.embeddings:
            raise Refused(501, "This server does not support embeddings. Start it with "
                               "`--embeddings`", "not_supported_error")
        tokens = request["content"]
        if isinstance(tokens, str):
            tokens = [ord(c) for c in tokens]
        if not tokens:
            raise Refused(400, "Input content cannot be empty")
        if len(tokens) > self.args.ubatch_size:
            raise Refused(400, "input is too large to process. increase the physical batch size")
        vector = [float(sum(tokens) % 97 + 1), float(len(tokens)), 2.0, -1.0]
        if request.get("embd_normalize", 2) == 2:
            length = sum(x * x for x in vector) ** 0.5
            vector = [x / length for x in vector]
        return [{"index": 0, "embedding": [vector]}]

    # --- completion -----------------------------------------------------------------------------

    def prompt_of(self, request):
        prompt = request.get("prompt", "")
        if isinstance(prompt, dict):
            marker = os.environ.get("LLAMA_MEDIA_MARKER", "<__media__>")
            count = prompt["prompt_string"].count(marker)
            if count != len(prompt.get("multimodal_data", [])):
                raise Refused(400, "number of media does not match number of markers")
            prompt = prompt["prompt_string"]
        tokens = [ord(c) for c in prompt] if isinstance(prompt, str) else prompt
        if not tokens:
            raise Refused(400, '"prompt" must not be empty')
        if len(tokens) >= self.slot_context:
            raise Refused(400, "request (%d tokens) exceeds the available context size (%d tokens)"
                               ", try increasing it" % (len(tokens), self.slot_context),
                          "exceed_context_size_error", n_prompt_tokens=len(tokens),
                          n_ctx=self.slot_context)
        if request.get("grammar") == "broken":
            raise Refused(400, "Failed to initialize samplers: failed to parse grammar")
        text = prompt if isinstance(prompt, str) else "".join(self.piece(t) for t in tokens)
        return tokens, text

    def limit_of(self, request):
        wanted = request.get("n_predict", -1)
        return max(1, wanted) if wanted >= 0 else self.fake.tokens

    async def completion(self, request, writer):
        tokens, text = self.prompt_of(request)
        if literal := re.fullmatch(r'root ::= "(.*)"', request.get("grammar", "")):
            said = "" if self.fake.anew else request.get("generation_prompt", "")
            self.reply(writer, 200, {"content": literal[1].removeprefix(said), "stop": True})
            await writer.drain()
            return True
        if self.fake.crash_on and self.fake.crash_on in text:
            die("crash_on", signal.SIGABRT)
        async with self.slots:
            if not request.get("stream"):
                words = [self.words[i % len(self.words)] for i in range(self.limit_of(request))]
                final = self.final(len(tokens), len(words), request)
                self.reply(writer, 200, {"content": "".join(words), **final})
                await writer.drain()
                return True
            writer.write(b"HTTP/1.1 200 OK\r\nServer: llama.cpp\r\n"
                         b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            await self.evaluate(request, len(tokens), text, writer)
            return await self.stream(request, len(tokens), writer)

    async def evaluate(self, request, total, text, writer):
        def tell(processed, seconds=0):
            if request.get("return_progress"):
                self.progress(writer, total, processed, seconds)
        tell(0)
        await writer.drain()
        if self.fake.hang_on and self.fake.hang_on in text:
            await asyncio.sleep(1e9)
        await asyncio.sleep(self.fake.prefill_s)
        rate, batch = self.fake.prompt_rate, self.args.batch_size
        for processed in range(batch, total, batch) if rate else ():
            await asyncio.sleep(batch / rate)
            tell(processed, processed / rate)
            await writer.drain()
        if rate:
            await asyncio.sleep((total % batch) / rate)
        tell(total, total / rate if rate else 0)

    def progress(self, writer, total, processed, seconds):
        self.event(writer, {"index": 0, "content": "", "tokens": [0], "stop": False,
                            "id_slot": -1, "tokens_predicted": 0, "tokens_evaluated": total,
                            "prompt_progress": {"total": total, "cache": 0,
                                                "processed": processed,
                                                "time_ms": round(seconds * 1000)}})

    async def stream(self, request, evaluated, writer):
        limit = self.limit_of(request)
        probabilities = request.get("n_probs", 0)
        for count in range(limit):
            if not await self.misbehave(count, writer):
                return False
            word = self.words[count % len(self.words)]
            event = {"index": 0, "content": word, "tokens": [FIRST_WORD + count], "stop": False,
                     "id_slot": 0, "tokens_predicted": count + 1, "tokens_evaluated": evaluated}
            if probabilities:
                entry = {"id": FIRST_WORD + count, "token": word, "bytes": list(word.encode()),
                         "logprob": -0.5}
                event["completion_probabilities"] = [
                    {**entry, "top_logprobs": [entry] * probabilities}]
            self.event(writer, event)
            await writer.drain()
            if writer.is_closing():
                return False
            if self.fake.token_s:
                await asyncio.sleep(self.fake.token_s)
        self.event(writer, self.final(evaluated, limit, request))
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    def final(self, evaluated, predicted, request):
        eos = request.get("n_predict", -1) < 0
        return {"stop": True, "stop_type": "eos" if eos else "limit", "stopping_word": "",
                "tokens_predicted": predicted, "tokens_evaluated": evaluated,
                "timings": {"cache_n": 0, "prompt_n": evaluated, "prompt_ms": 1.5,
                            "predicted_n": predicted, "predicted_ms": 2.5}}

    async def misbehave(self, count, writer):
        """False: the connection is spoiled and ends."""
        fake = self.fake
        if count == fake.crash_after:
            await asyncio.sleep(0.02)  # Let what was written leave.
            die("crash_after", signal.SIGKILL)
        while count == fake.wedge_after and not writer.is_closing():
            await asyncio.sleep(fake.ping_s or 1e9)
            self.chunk(writer, b":\n\n")
            await writer.drain()
        if count == fake.end_after:
            writer.write(b"0\r\n\r\n")
            await writer.drain()
            return False
        if count == fake.error_after:
            self.event(writer, {"error": {"code": 500, "message": "Compute error.",
                                          "type": "server_error"}})
            writer.write(b"0\r\n\r\n")
            await writer.drain()
            return False
        if count == fake.garbage_after:
            self.chunk(writer, b"data: {{{]\x00\x01 nonsense\n\n")
        if count == fake.utf8_after:
            self.chunk(writer, b'data: {"index":0,"content":"\xff\xfe","tokens":[5],"stop":false,'
                               b'"id_slot":0,"tokens_predicted":1,"tokens_evaluated":1}\n\n')
        while count == fake.endless_after and not writer.is_closing():
            self.chunk(writer, b"data: " + b"x" * 65536)
            await writer.drain()
        return True

    def event(self, writer, value):
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        self.chunk(writer, b"data: " + text.encode() + b"\n\n")

    def chunk(self, writer, data):
        writer.write(b"%x\r\n%s\r\n" % (len(data), data))


def die(reason, by):
    print("error: fake llama dies: " + reason, file=sys.stderr, flush=True)
    os.kill(os.getpid(), by)


def say(text):
    print("srv  fake: " + text, flush=True)


async def run(args, fake):
    server = Server(args, fake)
    if args.host.endswith(".sock"):
        # Like the real one: a stale socket file is an error.
        if os.path.exists(args.host):
            sys.exit("error: couldn't bind HTTP server socket, hostname: " + args.host)
        listener = await asyncio.start_unix_server(server.serve, args.host)
        where = "unix://" + args.host
    else:
        listener = await asyncio.start_server(server.serve, args.host, args.port)
        where = "http://%s:%d" % listener.sockets[0].getsockname()[:2]
    left = fake.load_s
    while left > 0:
        if not fake.load_silent:
            say("loading model tensors")
        if fake.load_reads:
            with open("/dev/zero", "rb", buffering=0) as weights:
                weights.read(1 << 20)
        await asyncio.sleep(min(left, 0.05))
        left -= 0.05
    if fake.load_exit is not None:
        print("error: failed to load model '%s'" % args.model, file=sys.stderr, flush=True)
        os._exit(fake.load_exit)
    server.ready = True
    say("model loaded")
    say("listening on " + where)
    stop = asyncio.Event()
    if fake.ignore_term:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    await stop.wait()
    listener.close()
    os._exit(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("-m", "--model", default="")
    parser.add_argument("--alias", default="fake")
    parser.add_argument("-c", "--ctx-size", type=int, default=4096)
    parser.add_argument("-np", "--parallel", type=int, default=1)
    parser.add_argument("--kv-unified", action="store_true")
    parser.add_argument("--kv-unified-per-slot", type=int, default=0)
    parser.add_argument("-b", "--batch-size", type=int, default=2048)
    parser.add_argument("-ub", "--ubatch-size", type=int, default=512)
    parser.add_argument("--embeddings", "--embedding", action="store_true")
    parser.add_argument("--mmproj", default="")
    args, unknown = parser.parse_known_args()
    asyncio.run(run(args, settings_of(unknown)))


if __name__ == "__main__":
    main()
