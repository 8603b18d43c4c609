"""Who may ask a node that others reach: keys of callers, TLS."""

import hashlib
import http.server
import json
import ssl
import threading
import unittest
import urllib.error
import urllib.request

from base import MODEL, node_with
from support import certificate
from support.node import HttpError, Node
from support.ports import free_port

KEY, OTHER = "a-key-of-some-length", "another-key-of-that"
# A request that a proxy hands on is not the operator's, although it comes from this machine.
ELSEWHERE = {"X-Forwarded-For": "10.0.0.9"}


def refuses_to_start(case, node, *words):
    """Its last words hold all of `words`."""
    ended = node.cli("serve", check=False, timeout=60)
    case.assertEqual(ended.returncode, 1, ended.stderr)
    for word in words:
        case.assertIn(word, ended.stderr)


class Keys(unittest.TestCase):
    def status(self, node, path, **headers):
        try:
            node.request("GET", path, headers={**ELSEWHERE, **headers}).close()
            return 200
        except HttpError as error:
            return error.status

    def test_callers_from_elsewhere_show_a_key(self):
        node = Node()
        keys = node.folder / "keys"
        keys.write_text(f"# ours\nsha256:{hashlib.sha256(KEY.encode()).hexdigest()}\n")
        node.environment["OLLAMAMAX_API_KEYS_FILE"] = str(keys)
        with node:
            bearer = {"Authorization": f"Bearer {KEY}"}
            self.assertEqual(self.status(node, "/api/tags"), 401)
            self.assertEqual(self.status(node, "/api/tags", **bearer), 200)
            self.assertEqual(self.status(node, "/v1/models", **{"X-Api-Key": KEY}), 200)
            self.assertEqual(self.status(node, "/readyz"), 200)
            self.assertEqual(self.status(node, "/api/v1/cluster", **bearer), 403)
            self.assertEqual(node.get("/api/tags"), {"models": []})  # The operator.
            keys.write_text(f"{OTHER}\n")
            node.wait_until(lambda: self.status(node, "/api/tags", **bearer) == 401,
                            "the key that was taken out is good no more")
            self.assertEqual(self.status(node, "/api/tags", Authorization=f"Bearer {OTHER}"), 200)
            self.assertNotIn(OTHER, node.log())

    def test_a_file_without_a_key_starts_no_open_node(self):
        node = Node()
        node.environment["OLLAMAMAX_API_KEYS_FILE"] = str(node.folder / "keys")
        refuses_to_start(self, node, "server.api_keys_file", "keys")
        (node.folder / "keys").write_text("# none yet\n")
        refuses_to_start(self, node, "server.api_keys_file", "there is no key in it")

    def test_the_command_line_shows_its_key(self):
        shown = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                shown.append(self.headers["Authorization"])
                body = json.dumps({"models": []}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            node = Node()
            node.environment["OLLAMA_HOST"] = f"127.0.0.1:{server.server_port}"
            for key in ({}, {"OLLAMA_API_KEY": KEY}):
                node.cli("ls", environment=key, timeout=60)
            server.shutdown()
        self.assertEqual(shown, [None, f"Bearer {KEY}"])


class Tls(unittest.TestCase):
    def secure(self, node):
        """Makes it answer with TLS beside the address it has; gives that URL and the file."""
        port, file = free_port(), node.folder / "certificate.pem"
        certificate.make(file, "127.0.0.1")
        del node.environment["OLLAMA_HOST"]
        (node.folder / "config.toml").write_text(
            f'[server]\nlisten = ["{node.host}", "https://127.0.0.1:{port}"]\n'
            f'tls_certificate_file = "{file}"\n')
        return f"https://127.0.0.1:{port}", file

    def ask(self, url, trusted, body=None):
        context = ssl.create_default_context(cafile=str(trusted))
        with urllib.request.urlopen(url, data=body, context=context, timeout=60) as answer:
            return answer.read().decode()

    def test_an_address_with_a_certificate(self):
        node = node_with()
        url, file = self.secure(node)
        with node:
            body = json.dumps({"model": MODEL, "prompt": "Hi", "options": {"num_predict": 4}})
            lines = self.ask(url + "/api/generate", file, body.encode()).splitlines()
            self.assertTrue(json.loads(lines[-1])["done"])
            self.assertGreater(len(lines), 1)
            self.assertEqual(node.get("/"), "Ollama is running")  # Without TLS, as before.
            there = {"OLLAMA_HOST": url}
            trusting = {**there, "SSL_CERT_FILE": str(file)}
            listed = node.cli("ls", check=False, environment=trusting, timeout=60)
            self.assertIn(MODEL, listed.stdout, listed.stderr)
            distrusting = node.cli("ls", check=False, environment=there, timeout=60)
            self.assertEqual(distrusting.returncode, 1)
            self.assertIn("certificate", distrusting.stderr)

    def test_a_certificate_that_is_replaced(self):
        node = Node()
        url, file = self.secure(node)
        with node:
            self.ask(url + "/livez", file)
            old = node.folder / "old.pem"
            old.write_text(file.read_text())
            new = node.folder / "new.pem"
            certificate.make(new, "127.0.0.1")
            new.rename(file)
            self.assertEqual(self.ask(url + "/livez", file), "ok\n")
            with self.assertRaises(urllib.error.URLError):
                self.ask(url + "/livez", old)

    def test_half_of_what_tls_needs_starts_no_open_node(self):
        node = Node({"OLLAMA_HOST": f"https://127.0.0.1:{free_port()}"})
        refuses_to_start(self, node, "https:// needs server.tls_certificate_file")
        node = Node({"OLLAMAMAX_TLS_CERTIFICATE_FILE": "/nowhere.pem"})
        refuses_to_start(self, node, "no address of server.listen")
        node = Node({"OLLAMA_HOST": f"https://127.0.0.1:{free_port()}",
                     "OLLAMAMAX_TLS_CERTIFICATE_FILE": "/nowhere.pem"})
        refuses_to_start(self, node, "/nowhere.pem")
