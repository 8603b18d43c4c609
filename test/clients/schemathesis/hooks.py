"""Keeps the answers to generated requests short, so that a run takes about a minute, and asks for
embeddings of a model that has them."""

import os

import schemathesis

LIMITS = {
    "/v1/chat/completions": "max_completion_tokens",
    "/v1/completions": "max_tokens",
    "/v1/messages": "max_tokens",
    "/v1/responses": "max_output_tokens",
}
# Each value of these would be a load of its own, most of them of more than the machine has.
OF_RUNNERS = ("num_batch", "num_gpu", "main_gpu", "num_thread", "use_mmap", "draft_num_predict")
EMBED_PATHS = ("/api/embed", "/api/embeddings")
EMBED_MODEL = os.environ.get("EMBED_MODEL")


@schemathesis.hook
def before_call(context, case, kwargs):
    body = case.body
    if not isinstance(body, dict):
        return
    path = case.operation.path
    if limit := LIMITS.get(path):
        if isinstance(body.get(limit), int) and body[limit] > 4:
            body[limit] = 4
        body.setdefault(limit, 4)
    if path in ("/api/generate", "/api/chat"):
        if body.get("options") is None:
            body["options"] = {}
        if isinstance(body["options"], dict):
            if isinstance(body["options"].get("num_predict", 4), int):
                body["options"]["num_predict"] = 4
    if isinstance(body.get("options"), dict):
        for name in OF_RUNNERS:
            body["options"].pop(name, None)
    # A chat model has no embeddings (501, as with Ollama), and a made-up name only gives 404.
    if path in EMBED_PATHS and isinstance(body.get("model"), str):
        body["model"] = EMBED_MODEL
