"""What both programs are asked. `say` has an explicit template, `kind` a system prompt as well,
`plain` is the GGUF as it is, `embedder` embeds. Each case: name, method, path, body (JSON, bytes or
None), headers."""

import dataclasses

SHORT = {"num_predict": 4, "temperature": 0, "seed": 1}
MESSAGES = [{"role": "user", "content": "Say hello."}]
FUNCTION = {"name": "weather", "description": "Tells the weather.", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}
TOOLS = [{"type": "function", "function": FUNCTION}]
SCHEMA = {"type": "object", "properties": {"a": {"enum": ["x"]}}, "required": ["a"]}
DOT = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
       "rkJggg==")
MISSING = "sha256:" + "0" * 64
ABC = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    method: str
    path: str
    body: object = None
    headers: tuple = ()


def both_ways(name, path, body):
    """As a stream and in one piece."""
    return [Case(name, "POST", path, {**body, "stream": False}),
            Case(f"{name}, streamed", "POST", path, {**body, "stream": True})]


def wrong(path, valid, bodies):
    """The request with something wrong in it; `bodies` are bytes or what is put over it."""
    return [Case(f"{path} wrong {number}: {str(body)[:50]}", "POST", path,
                 body if isinstance(body, bytes) else {**valid, "stream": False, **body})
            for number, body in enumerate(bodies)]


NO_JSON = [b"", b"{", b"[]", b"nonsense", b"null", b"{}", b'{"model":1}', b'"text"',
           b'{"model":"say"} rest', b'\xff\xfe']


def simple():
    gets = ["/", "/api/version", "/api/tags", "/api/ps", "/v1/models", "/v1/models/say",
            "/v1/models/none", "/api/none", "/none"]
    cases = [Case(f"{method} {path}", method, path) for path in gets for method in ("GET", "HEAD")]
    cases += [Case(f"{method} {path}", method, path, {} if method == "POST" else None)
              for path, method in (("/api/tags/", "GET"), ("//api/tags", "GET"),
                                   ("/api/chat/", "POST"), ("//api/chat", "POST"))]
    cases += [Case(f"{method} {path}", method, path)
              for path in ("/api/generate", "/api/chat", "/api/show", "/v1/chat/completions")
              for method in ("GET", "PUT", "DELETE", "OPTIONS")]
    for origin in ("http://evil.example", "http://localhost:3000", "app://a", "null",
                   "vscode-webview://b"):
        cases.append(Case(f"origin {origin}", "GET", "/api/tags", None, (("Origin", origin),)))
        cases.append(Case(f"preflight of {origin}", "OPTIONS", "/api/chat", None, (
            ("Origin", origin), ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "content-type, x-stainless-os"))))
    for host in ("evil.example", "localhost", "foo.local", "127.0.0.1:1", "foo.internal"):
        cases.append(Case(f"host {host}", "GET", "/api/version", None, (("Host", host),)))
    return cases


def generate():
    path, valid = "/api/generate", {"model": "say", "prompt": "Hi", "options": SHORT}
    cases = []
    for name, fields in {
            "plainly": {}, "of the GGUF's own template": {"model": "plain"},
            "loads": {"prompt": ""}, "raw": {"raw": True},
            "with a system prompt": {"system": "Be kind."},
            "of a model with a system prompt": {"model": "kind"},
            "with an empty system prompt and template": {
                "model": "kind", "system": "", "template": ""},
            "with a template": {"template": "{{ .Prompt }}!"}, "json": {"format": "json"},
            "with a schema": {"format": SCHEMA, "options": {**SHORT, "num_predict": 20}},
            "with a context": {"context": [1, 2, 3]}, "with a stop": {
                "options": {**SHORT, "num_predict": 30, "stop": ["e"]}},
            "logprobs": {"logprobs": True, "top_logprobs": 2}, "unloads": {"prompt": "",
                                                                          "keep_alive": 0},
            "with a suffix": {"suffix": "end"}, "thinks": {"think": True},
            "does not think": {"think": False}, "with an image": {"images": [DOT]},
            "nothing to predict": {"options": {"num_predict": 0}},
            "one token": {"options": {**SHORT, "num_predict": 1}},
            "small context": {"options": {**SHORT, "num_ctx": 64}},
            "keeps for long": {"keep_alive": "10m"}, "keeps for ever": {"keep_alive": -1},
            "keeps for a moment": {"keep_alive": 0.5, "prompt": ""},
            "unloads an embedder": {"prompt": "", "keep_alive": 0, "model": "embedder"},
            "thinks after a raw prompt": {"raw": True, "model": "thinker", "think": True,
                                          "prompt": "<think>"},
            "thinks where it cannot, raw": {"raw": True, "think": True}}.items():
        cases += both_ways(f"generate {name}", path, {**valid, **fields})
    return cases + wrong(path, valid, [
        *NO_JSON, {"model": ""}, {"model": "none"}, {"model": "a b"}, {"model": "../x"},
        {"model": "say:none"}, {"prompt": 1}, {"stream": "no"}, {"options": []}, {"options": "x"},
        {"options": {"temperature": "hot"}}, {"options": {"num_ctx": "4"}},
        {"options": {"num_ctx": 1.5}}, {"options": {"num_predict": 2.0}},
        {"options": {"stop": "x"}}, {"options": {"stop": [1]}}, {"options": {**SHORT, "none": 1}},
        {"options": {**SHORT, "temperature": -1}}, {"options": {**SHORT, "top_k": -5}},
        {"options": {**SHORT, "num_ctx": 0}}, {"options": {**SHORT, "num_ctx": -1}},
        {"options": {**SHORT, "seed": -1}}, {"options": {**SHORT, "num_keep": 4096}},
        {"keep_alive": "soon"}, {"keep_alive": True}, {"keep_alive": "5"}, {"format": "xml"},
        {"format": 5}, {"format": ""}, {"format": None}, {"format": {"type": "none"}},
        {"format": []}, {"images": ["!"]}, {"images": "x"}, {"raw": True, "system": "x"},
        {"raw": True, "context": [1]}, {"raw": True, "template": "x"}, {"template": "{{ .Promp"},
        {"template": "{{ .None }}"}, {"context": ["x"]}, {"context": [10 ** 9]}, {"context": [-1]},
        {"think": "much"}, {"think": "high"}, {"think": 1}, {"logprobs": 1},
        {"top_logprobs": 21, "logprobs": True}, {"top_logprobs": -1, "logprobs": True},
        {"top_logprobs": 2}, {"model": "embedder"}, {"prompt": "x " * 3000},
        {"prompt": "x " * 3000, "truncate": False}, {"PROMPT": "Hi"}, {"prompt": "Hi", "extra": 1},
        b'{"model":"say","prompt":"Hi","options":{"temperature":1e400}}',
        b'{"model":"say","prompt":"\xff","stream":false,"options":{"num_predict":1}}',
        b'{"model":"say","prompt":"\\ud800","stream":false,"options":{"num_predict":1}}',
        b'{"model":"say","model":"none","prompt":"Hi","stream":false}'])


def chat():
    path, valid = "/api/chat", {"model": "say", "messages": MESSAGES, "options": SHORT}
    cases = []
    system = [{"role": "system", "content": "Be kind."}]
    for name, fields in {
            "plainly": {}, "of the GGUF's own template": {"model": "plain"},
            "loads": {"messages": []}, "unloads an embedder": {
                "messages": [], "keep_alive": 0, "model": "embedder"},
            "with a system prompt": {"messages": system + MESSAGES},
            "json": {"format": "json"},
            "with a schema": {"format": SCHEMA, "options": {**SHORT, "num_predict": 20}},
            "with tools": {"tools": TOOLS}, "with tools in the template":
                {"tools": TOOLS, "model": "tooled"},
            "logprobs": {"logprobs": True}, "unloads": {"messages": [], "keep_alive": 0},
            "thinks": {"think": True}, "thinks where it can": {"think": True, "model": "thinker"},
            "does not think": {"think": False}, "goes on": {"messages": [
                *MESSAGES, {"role": "assistant", "content": "Well,"}]},
            "after a tool": {"model": "tooled", "tools": TOOLS, "messages": [
                *MESSAGES, {"role": "assistant", "tool_calls": [{"function": {
                    "name": "weather", "arguments": {"city": "Rome"}}}]},
                {"role": "tool", "content": "sunny", "tool_name": "weather"}]},
            "long": {"messages": MESSAGES * 300}}.items():
        cases += both_ways(f"chat {name}", path, {**valid, **fields})
    return cases + wrong(path, valid, [
        *NO_JSON, {"model": "none"}, {"messages": "x"}, {"messages": [1]}, {"messages": [{}]},
        {"messages": [{"role": "nobody", "content": "x"}]}, {"messages": [{"content": "x"}]},
        {"messages": [{"role": "user", "content": 1}]},
        {"messages": [{"role": "user", "content": "x", "images": ["!"]}]},
        {"messages": [{"role": "user", "content": "x", "images": [DOT]}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {
            "name": "a", "arguments": "text"}}]}]},
        {"tools": {}}, {"tools": [1]}, {"tools": [{"type": "function"}], "model": "tooled"},
        {"tools": [], "model": "tooled"}, {"format": "xml"}, {"model": "embedder"},
        {"messages": [{"role": "user", "content": "x " * 3000}], "truncate": False},
        {"messages": [{"role": "user", "content": ["x"]}]},
        {"think": "low"}, {"think": "low", "model": "thinker"}])


def embeddings():
    cases = []
    for name, fields in {
            "one": {"input": "sea"}, "several": {"input": ["sea", "tree"]}, "none": {"input": []},
            "nothing": {"input": ""}, "an empty one": {"input": ["", "a"]}, "without": {},
            "long": {"input": "sea " * 2000}, "too long": {"input": "sea " * 2000,
                                                            "truncate": False},
            "fewer dimensions": {"input": "sea", "dimensions": 8},
            "too many dimensions": {"input": "sea", "dimensions": 4000},
            "no dimensions": {"input": "sea", "dimensions": -1},
            "a number": {"input": 1}, "numbers": {"input": [1, 2]}, "null": {"input": None},
            "of a chat model": {"input": "sea", "model": "say"},
            "of no model": {"input": "sea", "model": "none"},
            "wrong options": {"input": "sea", "options": {"num_ctx": "x"}}}.items():
        cases.append(Case(f"embed {name}", "POST", "/api/embed", {"model": "embedder", **fields}))
    for name, fields in {"one": {"prompt": "sea"}, "nothing": {"prompt": ""}, "without": {},
                         "a list": {"prompt": ["a"]}, "of no model": {"prompt": "a",
                                                                       "model": "none"}}.items():
        cases.append(Case(f"embeddings {name}", "POST", "/api/embeddings",
                          {"model": "embedder", **fields}))
    for name, fields in {"one": {"input": "sea"}, "several": {"input": ["sea", "tree"]},
                         "base64": {"input": "sea", "encoding_format": "base64"},
                         "wrong format": {"input": "sea", "encoding_format": "x"},
                         "nothing": {"input": ""}, "none": {"input": []}, "without": {},
                         "tokens": {"input": [1, 2]}, "dimensions": {"input": "a", "dimensions": 8},
                         "of no model": {"input": "a", "model": "none"}}.items():
        cases.append(Case(f"openai embeddings {name}", "POST", "/v1/embeddings",
                          {"model": "embedder", **fields}))
    return cases


def models():
    cases = []
    for name, fields in {
            "one": {"model": "say"}, "by name": {"name": "say"}, "verbosely": {"model": "say",
                                                                               "verbose": True},
            "an embedder": {"model": "embedder"}, "tools": {"model": "tooled"},
            "thinking": {"model": "thinker"}, "none": {"model": "none"}, "nothing": {"model": ""},
            "a wrong name": {"model": "a b"}, "with options": {"model": "say", "options": {
                "num_ctx": 99}}, "with a system": {"model": "say", "system": "other"}}.items():
        cases.append(Case(f"show {name}", "POST", "/api/show", fields))
    for name, fields in {
            "one": {"source": "say", "destination": "copied"},
            "again": {"source": "say", "destination": "copied"},
            "of none": {"source": "none", "destination": "b"}, "nothing": {},
            "to a wrong name": {"source": "say", "destination": "a b"},
            "to nothing": {"source": "say", "destination": ""},
            "to itself": {"source": "say", "destination": "say"}}.items():
        cases.append(Case(f"copy {name}", "POST", "/api/copy", fields))
    for name, fields in {
            "one": {"model": "copied"}, "again": {"model": "copied"}, "by name": {"name": "none"},
            "nothing": {}, "a wrong name": {"model": "a b"}}.items():
        cases.append(Case(f"delete {name}", "DELETE", "/api/delete", fields))
    for path in ("/api/show", "/api/copy", "/api/create", "/api/pull", "/api/push"):
        cases += [Case(f"{path} without JSON {number}", "POST", path, body)
                  for number, body in enumerate(NO_JSON)]
    cases += [Case(f"delete without JSON {number}", "DELETE", "/api/delete", body)
              for number, body in enumerate(NO_JSON) if b"say" not in body]
    return cases + create()


def create():
    cases = [Case("a missing blob", "HEAD", f"/api/blobs/{MISSING}"),
             Case("a wrong digest", "HEAD", "/api/blobs/sha256:1"),
             Case("a blob", "POST", f"/api/blobs/{ABC}", b"abc"),
             Case("a blob again", "POST", f"/api/blobs/{ABC}", b"abc"),
             Case("a blob that is there", "HEAD", f"/api/blobs/{ABC}"),
             Case("a blob of other bytes", "POST", f"/api/blobs/{MISSING}", b"abd"),
             Case("a blob under a wrong name", "POST", "/api/blobs/x", b"abc")]
    for name, fields in {
            "from another": {"from": "say"}, "with everything": {
                "from": "say", "system": "Be.", "template": "{{ .Prompt }}", "license": ["a", "b"],
                "parameters": {"temperature": 0.5, "stop": ["a", "b"], "num_ctx": 100},
                "messages": MESSAGES},
            "with one licence": {"from": "say", "license": "a"},
            "from none": {"from": "none"}, "from nothing": {},
            "with no name": {"model": "", "from": "say"},
            "under a wrong name": {"model": "a b", "from": "say"},
            "with a wrong template": {"from": "say", "template": "{{ .Promp"},
            "with wrong parameters": {"from": "say", "parameters": {"none": 1}},
            "with a wrong type": {"from": "say", "parameters": {"temperature": "hot"}},
            "of a missing file": {"files": {"a.gguf": MISSING}},
            "of no GGUF": {"files": {"a.gguf": ABC}},
            "with a wrong quantization": {"from": "say", "quantize": "q9"},
            "with a wrong message": {"from": "say", "messages": [{"role": "nobody",
                                                                  "content": "a"}]}}.items():
        cases += both_ways(f"create {name}", "/api/create", {"model": "made", **fields})
    return cases + [Case("show what was made", "POST", "/api/show", {"model": "made"})]


def openai():
    path = "/v1/chat/completions"
    valid = {"model": "say", "messages": MESSAGES, "max_tokens": 4, "temperature": 0}
    cases = []
    for name, fields in {
            "plainly": {}, "with usage": {"stream_options": {"include_usage": True}},
            "json": {"response_format": {"type": "json_object"}},
            "with a schema": {"max_tokens": 20, "response_format": {
                "type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}},
            "tools": {"tools": TOOLS, "model": "tooled"}, "logprobs": {"logprobs": True,
                                                                        "top_logprobs": 2},
            "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]},
            "an image": {"messages": [{"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DOT}"}}]}]},
            "stop": {"stop": "e", "max_tokens": 30}, "reasoning": {"reasoning_effort": "low",
                                                                    "model": "thinker"}}.items():
        cases += both_ways(f"openai {name}", path, {**valid, **fields})
    cases += wrong(path, valid, [
        *NO_JSON, {"model": ""}, {"model": "none"}, {"messages": []}, {"messages": "x"},
        {"messages": [{"role": "user", "content": 1}]}, {"temperature": "x"},
        {"max_tokens": "x"}, {"max_tokens": -1, "stop": ["e"]}, {"stop": 1}, {"stop": [1]},
        {"seed": "x"},
        {"messages": [{"role": "user", "content": [{"type": "none"}]}]}, {"n": 2},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {
            "url": "http://a/b.png"}}]}]},
        {"response_format": {"type": "none"}}, {"tools": 1}, {"tool_choice": 5},
        {"reasoning_effort": "much"},
        b'{"model":"say","messages":[{"role":"user","content":"\xff"}],"max_tokens":1}'])
    completion = {"model": "say", "prompt": "Hi", "max_tokens": 4, "temperature": 0}
    for name, fields in {"plainly": {}, "usage": {"stream_options": {"include_usage": True}},
                         "a list": {"prompt": ["a"]}, "suffix": {"suffix": "b"},
                         "logprobs": {"logprobs": 1}, "stop": {"stop": ["e"]}}.items():
        cases += both_ways(f"openai completion {name}", "/v1/completions",
                           {**completion, **fields})
    cases += wrong("/v1/completions", completion, [*NO_JSON, {"model": "none"}, {"prompt": 1}])
    response = {"model": "say", "input": "Hi", "max_output_tokens": 4, "temperature": 0}
    for name, fields in {"plainly": {}, "messages": {"input": MESSAGES},
                         "instructed": {"instructions": "Be kind."}}.items():
        cases += both_ways(f"responses {name}", "/v1/responses", {**response, **fields})
    return cases + wrong("/v1/responses", response, [*NO_JSON, {"model": "none"}, {"input": 1},
                                                     {"input": []}])


def anthropic():
    path = "/v1/messages"
    valid = {"model": "say", "messages": MESSAGES, "max_tokens": 4, "temperature": 0}
    tool = {"name": "weather", "input_schema": FUNCTION["parameters"]}
    cases = []
    for name, fields in {
            "plainly": {}, "with a system": {"system": "Be kind."},
            "with parts": {"system": [{"type": "text", "text": "Be."}], "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Hi"}]}]},
            "tools": {"tools": [tool], "model": "tooled"}, "stop": {"stop_sequences": ["e"],
                                                                      "max_tokens": 30}}.items():
        cases += both_ways(f"anthropic {name}", path, {**valid, **fields})
    return cases + wrong(path, valid, [
        *NO_JSON, {"model": ""}, {"model": "none"}, {"messages": []}, {"max_tokens": 0},
        {"max_tokens": -1}, {"max_tokens": "x"}, {"messages": [{"role": "system", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "none"}]}]},
        {"messages": [{"role": "user", "content": 1}]}, {"temperature": 3}, {"tools": [1]}])


def all_cases():
    return [*simple(), *generate(), *chat(), *embeddings(), *models(), *openai(), *anthropic()]
