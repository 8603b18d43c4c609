#!/usr/bin/env python3
"""What ./run does at its edges, in a copy of it whose compiler and package manager are made up: no
network, nothing is built or installed. Needs root."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from support import cases  # noqa: E402
from support.node import CACHE, PROGRAM, ROOT  # noqa: E402
from support.ports import free_port  # noqa: E402

NOBODY = 65534
# All packages are there, except for what MISSING names.
DPKG_QUERY = """#!/bin/sh
for package; do :; done
case " $MISSING " in *" $package "*) exit 1 ;; esac
echo "install ok installed"
"""
# Brings a service, as its packages would; tells what maintainer scripts were allowed.
APT_GET = """#!/bin/sh
[ "$1" = install ] || exit 0
code=0; /usr/sbin/policy-rc.d nginx start || code=$?
echo "$@: policy $code" >>apt-get.said
echo "nginx.service enabled enabled" >>units
"""
SYSTEMCTL = """#!/bin/sh
case $* in
  *list-unit-files*) cat units ;;
  *) echo "$@" >>systemctl.said ;;
esac
"""
# Runs its arguments where /usr/sbin is a copy that is thrown away; `$1`: an empty folder.
OWN_SBIN = """
mount -t tmpfs sbin "$1"
mkdir "$1/upper" "$1/work"
mount -t overlay sbin -o "lowerdir=/usr/sbin,upperdir=$1/upper,workdir=$1/work" /usr/sbin
rm -f /usr/sbin/policy-rc.d
shift
"$@"
code=$?
[ ! -e /usr/sbin/policy-rc.d ] || echo "the policy stays"
exit $code
"""


class Run(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ollamamax-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.checkout = self.folder / "checkout"
        self.release = self.checkout / "build/release"
        self.release.mkdir(parents=True)
        (self.release / "build.ninja").touch()
        shutil.copy(ROOT / "run", self.checkout)
        (self.checkout / "tools").mkdir()
        for name in ("common.sh", "install_packages.sh"):
            shutil.copy(ROOT / "tools" / name, self.checkout / "tools")
        self.put("tools/build_llama.sh", "#!/bin/sh\n")
        # Every program of the machine but sudo; some are made up.
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        for path in pathlib.Path("/usr/bin").iterdir():
            if path.name not in ("sudo", "dpkg-query", "apt-get", "systemctl", "ninja"):
                (self.bin / path.name).symlink_to(path)
        for name, text in (("dpkg-query", DPKG_QUERY), ("apt-get", APT_GET),
                           ("systemctl", SYSTEMCTL), ("ninja", "#!/bin/sh\n")):
            self.put(self.bin / name, text)
        self.cache = self.folder / "cache"
        self.cache.mkdir()
        (self.cache / "llama").symlink_to(CACHE / "llama")
        self.environment = {"PATH": str(self.bin), "HOME": str(self.folder),
                            "OLLAMAMAX_CACHE": str(self.cache)}

    def put(self, path, text):
        path = self.checkout / path
        path.write_text(text)
        path.chmod(0o755)

    def run_it(self, *arguments, before=(), **environment):
        return subprocess.run([*before, str(self.checkout / "run"), *arguments],
                              cwd=self.checkout, env={**self.environment, **environment},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=120)

    def said(self, name):
        return (self.checkout / name).read_text()

    def put_shell_as_program(self, serve):
        """The program is a shell, which runs files that are called as its commands."""
        shutil.copy(pathlib.Path("/bin/bash").resolve(), self.release / "ollamamax")
        self.put("serve", serve)
        self.put("ps", "[ -e ready ]\n")

    def start(self, **environment):
        """The number of the node's process, which ends with the test at the latest."""
        done = self.run_it("start", **environment)
        self.assertEqual(done.returncode, 0, done.stdout)
        pid = int((self.cache / "node.pid").read_text())
        self.addCleanup(lambda: self.runs(pid) and os.kill(pid, signal.SIGKILL))
        return pid

    def runs(self, pid):
        try:
            return os.readlink(f"/proc/{pid}/exe").startswith(str(self.folder))
        except FileNotFoundError:
            return False

    # Packages

    def test_a_user_who_cannot_install_is_told_what_is_missing(self):
        for path in (self.folder, *self.folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        done = self.run_it("build", before=user, MISSING="ninja-build ccache")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("error: installing packages needs root", done.stdout)
        self.assertIn("apt-get install ninja-build ccache", done.stdout)

    def test_what_dies_inside_of_a_log_is_told(self):
        script = 'source tools/common.sh; give_up() { die "no luck"; }; logged try "again" give_up'
        done = subprocess.run(["bash", "-c", script], cwd=self.checkout, env=self.environment,
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("| error: no luck", done.stderr)
        self.assertIn("fix: again", done.stderr)

    def test_services_of_packages_that_it_installs_stay_off(self):
        self.put("units", "ssh.service enabled enabled\n")
        sbin = self.folder / "sbin"
        sbin.mkdir()
        before = ["unshare", "--mount", "--propagation", "private", "bash", "-c", OWN_SBIN,
                  "sbin", str(sbin)]
        done = self.run_it("build", before=before, MISSING="ninja-build",
                           PATH=f"{self.bin}:/usr/sbin")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(self.said("apt-get.said"), "install -y --no-install-recommends "
                                                    "ninja-build: policy 101\n")
        self.assertIn("disable nginx.service\n", self.said("systemctl.said"))
        self.assertNotIn("ssh", self.said("systemctl.said"))
        self.assertNotIn("the policy stays", done.stdout)

    # The node

    def test_stop_waits_until_the_node_has_ended(self):
        self.put_shell_as_program(
            "trap 'sleep 1; touch ended; exit' TERM\ntouch ready\nwhile :; do sleep 0.1; done\n")
        pid = self.start()
        done = self.run_it("stop")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("stopped", done.stdout)
        self.assertTrue((self.checkout / "ended").exists())
        self.assertFalse(self.runs(pid))
        self.assertIn("no node runs", self.run_it("stop").stdout)

    def test_stop_ends_a_node_whose_program_was_built_anew(self):
        self.put_shell_as_program("touch ready\nwhile :; do sleep 0.1; done\n")
        pid = self.start()
        (self.release / "ollamamax").unlink()
        self.put_shell_as_program("")
        self.assertIn("stopped", self.run_it("stop").stdout)
        self.assertFalse(self.runs(pid))

    def test_stop_leaves_a_process_alone_that_has_the_number_of_a_node(self):
        self.put_shell_as_program("")
        with subprocess.Popen(["sleep", "60"]) as stranger:
            self.addCleanup(stranger.kill)
            (self.cache / "node.pid").write_text(f"{stranger.pid}\n")
            done = self.run_it("stop")
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertIn("no node runs", done.stdout)
            time.sleep(0.2)  # A signal would have arrived.
            self.assertIsNone(stranger.poll())
            stranger.kill()

    def test_a_node_that_does_not_start_is_told_with_its_last_words(self):
        self.put_shell_as_program("echo the disk is gone\nexit 1\n")
        done = self.run_it("start")
        self.assertEqual(done.returncode, 1)
        self.assertIn("| the disk is gone", done.stdout)
        self.assertIn("error: the node did not start", done.stdout)

    def test_start_puts_a_large_log_aside(self):
        self.put_shell_as_program("echo words\ntouch ready\nwhile :; do sleep 0.1; done\n")
        log = self.cache / "logs/node.log"
        for size, left in ((0, "words\n"), (64 << 20, None), ((64 << 20) + 1, "words\n")):
            with self.subTest(size=size):
                (self.checkout / "ready").unlink(missing_ok=True)
                log.parent.mkdir(exist_ok=True)
                with log.open("a") as file:
                    file.truncate(size)
                self.start()
                self.assertIn("stopped", self.run_it("stop").stdout)
                self.assertTrue(left is None or log.read_text() == left)
        self.assertEqual(log.with_name("node.log.1").stat().st_size, (64 << 20) + 1)

    def test_start_sees_its_node_whatever_the_form_of_its_address(self):
        shutil.copy(PROGRAM, self.release / "ollamamax")
        port = free_port()
        proxy = {"http_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}
        for host in (f":{port}", f"0.0.0.0:{port}", f"127.0.0.1:{port},127.0.0.2:{port}",
                     f"http://localhost:{port}/"):
            with self.subTest(host=host):
                self.start(OLLAMA_HOST=host, **proxy)
                again = self.run_it("start", OLLAMA_HOST=host, **proxy)
                self.assertIn("answers at", again.stdout)
                self.assertIn("stopped", self.run_it("stop").stdout)


if __name__ == "__main__":
    cases.main()
