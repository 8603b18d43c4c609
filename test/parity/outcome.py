"""What of a reply a client can rely on: its status, its type, the fields of its JSON and those of
their values that do not depend on time or on the kernels that computed."""

import http.client
import json

HEADERS = ("access-control-allow-origin", "access-control-allow-methods",
           "access-control-allow-headers")
# Values that clients read as words, and counts: told as they are. Of others only the type.
EXACT = {"done", "done_reason", "role", "object", "type", "finish_reason", "stop_reason", "status",
         "index", "model", "format", "family", "families", "parameter_size", "parent_model",
         "quantization_level", "capabilities", "prompt_eval_count", "prompt_tokens",
         "input_tokens", "name", "owned_by", "stop_sequence", "code", "param"}


def shape(value, key=None):
    if isinstance(value, dict):
        return {name: shape(inner, name) for name, inner in sorted(value.items())}
    if isinstance(value, list):
        if key in EXACT:
            return sorted(value)
        shapes = []
        if key == "models":
            value = sorted(value, key=lambda model: model["name"])
        for inner in value:
            if (one := shape(inner, key)) not in shapes:
                shapes.append(one)
        return shapes
    if key in EXACT:
        return value
    if isinstance(value, bool):
        return "<bool>"
    if isinstance(value, (int, float)):
        return "<number>"
    return "<text>" if isinstance(value, str) else value


def error_words(value):
    """The message of an error, in whichever API's words."""
    if not isinstance(value, dict) or "error" not in value:
        return None
    error = value["error"]
    return error.get("message") if isinstance(error, dict) else error


def elements(content_type, body):
    """The JSON values of a reply, its lines or events; the text where it has none."""
    text = body.decode(errors="replace")
    if content_type.startswith("text/event-stream"):
        found, event = [], None
        for line in text.splitlines():
            if line.startswith("event:"):
                event = line[6:].strip()
            elif line.startswith("data:"):
                data = line[5:].strip()
                value = data if data == "[DONE]" else json.loads(data)
                found.append({"event": event, "data": value} if event else value)
                event = None
        return found
    if "json" in content_type:
        return [json.loads(line) for line in text.splitlines() if line.strip()] \
            if "ndjson" in content_type else [json.loads(text)] if text.strip() else []
    return [text]


def ask(address, case, timeout=60):
    """The outcome of a case at HOST:PORT: what is compared, and the words of its error."""
    connection = http.client.HTTPConnection(address, timeout=timeout)
    body = case.body
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    headers = dict(case.headers)
    skip_host = "Host" in headers
    connection.putrequest(case.method, case.path, skip_host=skip_host)
    for name, value in headers.items():
        connection.putheader(name, value)
    if body is not None:
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    reply = connection.getresponse()
    raw = reply.read()
    connection.close()
    content_type = reply.headers.get("Content-Type", "").replace("; charset=utf-8", "")
    values = elements(content_type, raw)
    words = next((text for text in map(error_words, values) if text is not None), None)
    shapes = []
    for value in values:
        if value and isinstance(value, str) and reply.status != 200:
            words, value = value, "<text>"
        one = shape(value)
        if not shapes or shapes[-1] != one:  # How many tokens come in one piece may differ.
            shapes.append(one)
    return {"status": reply.status, "type": content_type,
            "fails_late": words is not None and reply.status == 200,
            "headers": {name: sorted(reply.headers[name].lower().split(","))
                        for name in HEADERS if name in reply.headers},
            "body": shapes}, words, raw


def differences(theirs, ours) -> list[str]:
    """Between two outcomes; with another status all else differs, too."""
    if theirs["status"] != ours["status"]:
        late = " and an error" if theirs["fails_late"] else ""
        return [f"status: {theirs['status']}{late}, ours {ours['status']}"]
    return missing(theirs, ours)


def missing(theirs, ours, at="") -> list[str]:
    """Where ours is not what theirs is. More fields than theirs are no difference: clients ignore
    what they do not know."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return [difference for name, value in theirs.items() for difference in
                (missing(value, ours[name], f"{at}.{name}") if name in ours else
                 [f"{at}.{name}: {brief(value)}, ours has none"])]
    if at.startswith(".headers."):
        return [f"{at}: ours has no {one}" for one in theirs if one not in ours]
    if at == ".body" and theirs and ours:
        return sequence(theirs, ours)
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        return [difference for number, pair in enumerate(zip(theirs, ours))
                for difference in missing(*pair, f"{at}[{number}]")]
    return [] if theirs == ours else [f"{at}: {brief(theirs)}, ours {brief(ours)}"]


def brief(value):
    return json.dumps(value)[:300]


def sequence(theirs, ours):
    """First and last as they are, and between them every kind of theirs somewhere."""
    found = missing(theirs[0], ours[0], " first")
    if len(theirs) > 1 or len(ours) > 1:
        found += missing(theirs[-1], ours[-1], " last")
    for one in theirs[1:-1]:
        nearest = min((missing(one, other, " then") for other in ours), key=len)
        found += nearest
    return found
