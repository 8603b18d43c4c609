"""Corners of HTTP, as bytes on a socket."""

import json
import select
import socket
import unittest

from base import MODEL, SHORT, node_with
from support.node import Node

BODY_BYTES_MAX = 4096
TOO_LARGE = {"error": f"the request body is larger than {BODY_BYTES_MAX} bytes"}


def head(method, path, *lines):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


class Peer:
    """A client that sees every byte."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.input = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.input.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def head(self):
        """Status and header fields of the next answer."""
        status = int(self.input.readline().split()[1])
        fields = {}
        while (line := self.input.readline().decode().strip()) != "":
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        return status, fields

    def answer(self):
        """Status, header fields and body of the next answer."""
        status, fields = self.head()
        if fields.get("transfer-encoding") != "chunked":
            return status, fields, self.input.read(int(fields["content-length"]))
        body = b""
        while size := int(self.input.readline(), 16):
            body += self.input.read(size)
            self.input.readline()
        self.input.readline()
        return status, fields, body

    def ended(self):
        return self.input.read(1) == b""


class Crowd(unittest.TestCase):
    def test_who_comes_when_all_connections_are_taken_waits(self):
        with Node({"OLLAMAMAX_CONNECTIONS_MAX": "1"}) as node, Peer(node.port) as first:
            first.send(head("GET", "/"))
            self.assertEqual(first.answer()[0], 200)
            with Peer(node.port) as second:
                second.send(head("GET", "/"))
                self.assertEqual(select.select([second.socket], [], [], 0.5)[0], [])
                first.send(head("GET", "/", "Connection: close"))
                self.assertEqual(first.answer()[0], 200)
                self.assertEqual(second.answer()[0], 200)


class HttpEdges(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = node_with(OLLAMAMAX_BODY_BYTES_MAX=str(BODY_BYTES_MAX))
        cls.addClassCleanup(cls.node.__exit__, None, None, None)
        cls.node.start()

    def peer(self):
        return Peer(self.node.port)

    def test_a_body_beyond_the_limit_is_refused(self):
        body = json.dumps({**SHORT, "prompt": "x" * BODY_BYTES_MAX}).encode()
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part)
                          for part in (body[:1000], body[1000:])) + b"0\r\n\r\n"
        for fields, data in ((f"Content-Length: {len(body)}", body),
                             ("Transfer-Encoding: chunked", chunks)):
            with self.subTest(fields), self.peer() as peer:
                peer.send(head("POST", "/api/generate", fields) + data)
                status, _, text = peer.answer()
                self.assertEqual((status, json.loads(text)), (413, TOO_LARGE))
        with self.peer() as peer:  # Of what is announced only, nothing is waited for.
            peer.send(head("POST", "/api/generate", "Content-Length: 1000000000"))
            status, _, text = peer.answer()
            self.assertEqual((status, json.loads(text)), (413, TOO_LARGE))
            self.assertTrue(peer.ended())
        # One that just fits is read.
        self.node.refused(404, "/api/show", {"model": "x", "system": "y" * (BODY_BYTES_MAX - 100)})

    def test_who_waits_for_100_continue_gets_it(self):
        body = json.dumps({"model": MODEL}).encode()
        expect = ("Expect: 100-continue", f"Content-Length: {len(body)}")
        with self.peer() as peer:
            peer.send(head("POST", "/api/show", *expect))
            self.assertEqual(peer.head(), (100, {}))
            peer.send(body)
            status, _, text = peer.answer()
            self.assertEqual(status, 200)
            self.assertIn("completion", json.loads(text)["capabilities"])

    def test_who_waits_with_too_large_a_body_is_told_before_it_is_sent(self):
        with self.peer() as peer:
            peer.send(head("POST", "/api/show", "Expect: 100-continue",
                           f"Content-Length: {BODY_BYTES_MAX + 1}"))
            status, _, text = peer.answer()
            self.assertEqual((status, json.loads(text)), (413, TOO_LARGE))

    def test_head_is_get_without_the_body(self):
        for path in ("/", "/api/version", "/api/tags"):
            with self.subTest(path), self.peer() as peer:
                peer.send(head("GET", path))
                status, fields, body = peer.answer()
                self.assertEqual((status, int(fields["content-length"])), (200, len(body)))
                # A byte of a body would be taken for the head of the next answer.
                peer.send(head("HEAD", path) + head("GET", path))
                status, without_body = peer.head()
                self.assertEqual(status, 200)
                for name in ("content-length", "content-type"):
                    self.assertEqual(without_body[name], fields[name])
                self.assertEqual(peer.answer()[2], body)

    def test_head_where_ollama_has_none_is_refused(self):
        with self.peer() as peer:
            peer.send(head("HEAD", "/api/ps") + head("GET", "/api/version"))
            status, fields = peer.head()
            self.assertEqual((status, fields["allow"]), (405, "GET"))
            self.assertIn(b"version", peer.answer()[2])

    def test_requests_sent_at_once_are_answered_in_order(self):
        body = json.dumps({**SHORT, "stream": True}).encode()
        with self.peer() as peer:  # The first one takes longest: its model is to be loaded.
            peer.send(head("POST", "/api/generate", f"Content-Length: {len(body)}") + body +
                      head("GET", "/api/version") + head("GET", "/no/such/path") +
                      head("GET", "/", "Connection: close"))
            status, _, text = peer.answer()
            self.assertEqual(status, 200)
            self.assertTrue(json.loads(text.strip().split(b"\n")[-1])["done"])
            self.assertIn(b'"version"', peer.answer()[2])
            self.assertEqual(peer.answer()[::2], (404, b"404 page not found"))
            self.assertEqual(peer.answer()[2], b"Ollama is running")
            self.assertTrue(peer.ended())

    def test_a_name_that_is_none_is_not_pushed(self):
        refusal = {"error": "unqualified name: a/b/c/d/e"}
        lines = list(self.node.stream("/api/push", {"model": "a/b/c/d/e"}))
        self.assertEqual(lines, [refusal])  # The answer has begun: as in Ollama, 200.
        body = {"model": "a/b/c/d/e", "stream": False}
        self.assertEqual(self.node.refused(400, "/api/push", body), refusal["error"])
        self.assertEqual(self.node.refused(400, "/api/push", {"model": ""}), "model is required")
