#!/usr/bin/env python3
"""Images through every API to a real llama-server with a projector (one of chance numbers: what it
sees means nothing, but each image is another)."""

import base64
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from support import cases, projector  # noqa: E402
from support.node import MODELS, Node  # noqa: E402

MODEL, BLIND = "looker", "blind"
# 64 x 64 pixels: rows of red and columns of blue, eight pixels wide.
WEBP = base64.b64decode("UklGRjgAAABXRUJQVlA4TCwAAAAvP8APAB8Q8y8gKPJ/tPkPWgSK2raBSrIkQ7II"
                        "dr4i+n8ECMmu7QnU9vd/Bw==")
GREEDY = {"num_predict": 12, "temperature": 0}
QUESTION = "What is this?"


def encoded(image):
    return base64.b64encode(image).decode()


def url(image):
    return "data:image/png;base64," + encoded(image)


def setUpModule():
    global node, RED, STRIPES
    RED, STRIPES = projector.red(), projector.stripes()
    node = Node()
    node.start()
    path, modelfile = node.folder / "projector.gguf", node.folder / "Modelfile"
    projector.write_projector(path, projector.SMOLLM2_WIDTH)
    # Left to chance, so small a model sometimes fills its context.
    bound = "PARAMETER temperature 0\nPARAMETER num_predict 40\n"
    modelfile.write_text(f"FROM {MODELS['smollm2:135m']}\nFROM {path}\n{bound}")
    node.cli("create", MODEL, "-f", str(modelfile))
    modelfile.write_text(f"FROM {MODELS['smollm2:135m']}\n")
    node.cli("create", BLIND, "-f", str(modelfile))


def tearDownModule():
    node.stop()


def chat(*images, model=MODEL, content=QUESTION, **more):
    message = {"role": "user", "content": content, "images": [encoded(one) for one in images]}
    return node.post("/api/chat", {"model": model, "messages": [message], "options": GREEDY,
                                   **more})


def said(*images, **more):
    return chat(*images, **more)["message"]["content"]


class Images(unittest.TestCase):
    def test_show_tells_of_the_projector(self):
        shown = node.post("/api/show", {"model": MODEL})
        self.assertIn("vision", shown["capabilities"])
        self.assertEqual(shown["projector_info"]["general.architecture"], "clip")
        self.assertIn("vision", node.cli("show", MODEL).stdout)
        self.assertNotIn("vision", node.post("/api/show", {"model": BLIND})["capabilities"])

    def test_each_image_counts_and_each_is_another(self):
        counts = [chat(*images)["prompt_eval_count"] for images in ((), (RED,), (STRIPES, RED))]
        self.assertEqual(counts[1] - counts[0], projector.TOKENS)
        # Between two there is a line's end.
        self.assertEqual(counts[2] - counts[1], projector.TOKENS + 1)
        self.assertNotEqual(said(RED), said(STRIPES))
        self.assertEqual(said(RED), said(RED))
        large = projector.png(lambda x, y: (255, 0, 0), side=5 * projector.SIDE)
        self.assertEqual(chat(large)["prompt_eval_count"], counts[1])

    def test_every_api_looks_at_the_same(self):
        whole = said(RED)
        self.assertEqual(node.post("/api/generate", {
            "model": MODEL, "prompt": QUESTION, "images": [encoded(RED)],
            "options": GREEDY})["response"], whole)
        # The image first, as /api puts it where the text does not say where it is.
        parts = [{"type": "image_url", "image_url": {"url": url(RED)}},
                 {"type": "text", "text": QUESTION}]
        reply = node.post("/v1/chat/completions", {
            "model": MODEL, "temperature": 0, "max_tokens": 12,
            "messages": [{"role": "user", "content": parts}]})
        self.assertEqual(reply["choices"][0]["message"]["content"], whole)
        reply = node.post("/v1/responses", {
            "model": MODEL, "temperature": 0, "max_output_tokens": 12, "input": [
                {"role": "user", "content": [{"type": "input_image", "image_url": url(RED)},
                                             {"type": "input_text", "text": QUESTION}]}]})
        self.assertEqual(reply["output"][0]["content"][0]["text"], whole)
        source = {"type": "base64", "media_type": "image/png", "data": encoded(RED)}
        reply = node.post("/v1/messages", {
            "model": MODEL, "temperature": 0, "max_tokens": 12, "messages": [
                {"role": "user", "content": [{"type": "image", "source": source},
                                             {"type": "text", "text": QUESTION}]}]})
        self.assertEqual(reply["content"][0]["text"], whole)

    def test_the_command_line_sends_the_files_it_names(self):
        path = node.folder / "red.png"
        path.write_bytes(RED)
        ran = node.cli("run", MODEL, f"{QUESTION} {path}")
        self.assertIn("Added image", ran.stdout + ran.stderr)

    def test_what_is_cached_of_two_images_in_a_row_is_no_obstacle(self):
        """llama-server answers nothing any more at a slot that it would have to cut there."""
        alone = said(RED)
        for images in ((RED, STRIPES), (RED, RED), (RED,), (STRIPES, RED, RED),
                       (RED, RED, STRIPES)):
            self.assertTrue(said(*images))
        self.assertEqual(said(RED), alone)

    def test_the_text_says_where_an_image_is(self):
        self.assertNotEqual(said(RED, content="[img] What is this?"),
                            said(RED, content="What is [img] this?"))
        raw = {"model": MODEL, "raw": True, "options": GREEDY,
               "images": [encoded(RED), encoded(STRIPES)]}
        asked = [node.post("/api/generate", {**raw, "prompt": prompt})["prompt_eval_count"]
                 for prompt in ("A [img-1] b", "A [img-1] b [img-0]", "A [img-0] b [img-0]")]
        self.assertEqual([count // projector.TOKENS for count in asked], [2, 2, 3])
        self.assertIn("did not come", node.refused(400, "/api/generate",
                                                   {**raw, "prompt": "A [img-2]"}))

    def test_the_same_weights_without_it_are_another_model(self):
        self.assertTrue(said(RED) and said(model=BLIND))
        loaded = lambda: {model["name"] for model in node.get("/api/ps")["models"]}  # noqa: E731
        self.assertEqual(loaded(), {f"{MODEL}:latest", f"{BLIND}:latest"})
        node.cli("stop", BLIND)
        node.wait_until(lambda: loaded() == {f"{MODEL}:latest"}, "one of them is unloaded")

    def test_a_schema_and_turns_before_hold_beside_images(self):
        answer = said(RED, format={"type": "object", "required": ["c"],
                                   "properties": {"c": {"enum": ["a", "b"]}}},
                      options={**GREEDY, "num_predict": 40})
        self.assertIn(answer.split('"')[3], ("a", "b"))
        turns = [{"role": "user", "content": "First", "images": [encoded(RED)]},
                 {"role": "assistant", "content": "I see red."},
                 {"role": "user", "content": "And now?", "images": [encoded(STRIPES)]}]
        reply = node.post("/api/chat", {"model": MODEL, "messages": turns, "options": GREEDY})
        self.assertGreater(reply["prompt_eval_count"], 2 * projector.TOKENS)

    def test_webp_is_seen_as_the_same_png_is(self):
        squares = projector.png(lambda x, y: (255 * (y // 8 % 2), 0, 255 * (x // 8 % 2)), 64)
        self.assertEqual(said(WEBP), said(squares))
        self.assertNotEqual(said(WEBP), said(RED))
        whole = url(WEBP).replace("image/png", "image/webp")
        parts = [{"type": "text", "text": QUESTION},
                 {"type": "image_url", "image_url": {"url": whole}}]
        reply = node.post("/v1/chat/completions", {
            "model": MODEL, "temperature": 0, "max_tokens": 12,
            "messages": [{"role": "user", "content": parts}]})
        self.assertGreater(reply["usage"]["prompt_tokens"], projector.TOKENS)
        self.assertEqual(
            node.post("/api/generate", {"model": MODEL, "prompt": QUESTION, "options": GREEDY,
                                        "images": [encoded(WEBP)]})["response"], said(squares))

    def test_what_is_no_image_is_refused_and_harms_nobody(self):
        for image in (b"no image", RED[:40], WEBP[:40]):
            message = {"role": "user", "content": QUESTION, "images": [encoded(image)]}
            text = node.refused(400, "/api/chat", {"model": MODEL, "messages": [message]})
            self.assertIn("image", text)
            self.assertNotIn("{", text)  # The runner's words, not its JSON.
        self.assertTrue(said(RED))
        message = {"role": "user", "content": QUESTION, "images": [encoded(RED)]}
        self.assertIn("does not support", node.refused(
            400, "/api/chat", {"model": BLIND, "messages": [message]}))
        self.assertTrue(said(model=BLIND))


if __name__ == "__main__":
    cases.main()
