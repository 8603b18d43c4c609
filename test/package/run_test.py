#!/usr/bin/env python3
"""The Debian package, installed, upgraded, removed and purged by dpkg on a copy of this machine (an
overlay that is thrown away) that has neither the checkout nor the caches. Needs root."""

import fnmatch
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from support import cases  # noqa: E402
from support.node import CACHE, MODELS, PROGRAM, ROOT, Node  # noqa: E402

sys.path.insert(0, str(ROOT / "tools"))
import count_dependencies  # noqa: E402

MODEL = "smollm2:135m"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# `$1`: an empty folder; `$2`: what goes into the copy; the rest is hidden there.
MACHINE = """
set -e
mount -t tmpfs machine "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay machine -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
root=$1/root
mkdir -p "$root/put"
mount --bind "$2" "$root/put"
for folder in proc sys dev; do mount --rbind "/$folder" "$root/$folder"; done
shift 2
for hidden; do
  mkdir -p "$root$hidden"
  mount -t tmpfs hidden "$root$hidden"
done
echo ready
exec sleep infinity
"""


def make_package():
    done = subprocess.run([ROOT / "tools/package.sh"], check=True, capture_output=True, text=True)
    return pathlib.Path(done.stdout.split()[-1])


class Machine:
    """See above. It is gone with its last process."""

    def __init__(self, put):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ollamamax-test-"))
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", MACHINE, "machine",
             str(self.folder), str(put), str(ROOT), str(CACHE)],
            stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise AssertionError("the copy of the machine was not made (above)")

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.folder.rmdir()

    def line(self, command):
        return ["nsenter", f"--mount=/proc/{self.process.pid}/ns/mnt", "chroot",
                f"{self.folder}/root", *command]

    def run(self, *command, environment=None):
        done = subprocess.run(self.line(command), text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
        if done.returncode != 0:
            raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}")
        return done.stdout

    def has(self, path):
        command = self.line(["test", "-e", path])
        return subprocess.run(command, check=False).returncode == 0


class Installed(Node):
    """A node as the package's unit starts it."""

    def __init__(self, machine, environment=None):
        super().__init__()
        self.machine = machine
        unit = machine.run("cat", Package.UNIT)
        self.program = re.search(r"^ExecStart=(\S+) serve$", unit, re.M)[1]
        self.environment = {"PATH": PATH, "OLLAMA_HOST": self.host,
                            **dict(re.findall(r"^Environment=(\w+)=(.*)$", unit, re.M)),
                            **(environment or {})}
        for folder in ("HOME", "XDG_RUNTIME_DIR"):  # As StateDirectory and RuntimeDirectory do.
            machine.run("mkdir", "-p", self.environment[folder])

    def command(self, line):
        return self.machine.line(line)

    def children(self):
        """The command lines of the processes that it has started."""
        process = pathlib.Path("/proc", str(self.process.pid))
        ids = "".join(path.read_text() for path in process.glob("task/*/children")).split()
        return "\n".join(pathlib.Path(f"/proc/{id}/cmdline").read_text() for id in ids)


class Package(unittest.TestCase):
    UNIT = "/lib/systemd/system/ollamamax.service"
    LINK = "/etc/systemd/system/multi-user.target.wants/ollamamax.service"

    @classmethod
    def setUpClass(cls):
        cls.package = make_package()
        cls.put = pathlib.Path(tempfile.mkdtemp(prefix="ollamamax-test-"))
        shutil.copy(cls.package, cls.put / "ollamamax.deb")
        shutil.copy(MODELS[MODEL], cls.put / "model.gguf")
        (cls.put / "Modelfile").write_text("FROM /put/model.gguf\n")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.put)

    def setUp(self):
        self.machine = Machine(self.put)
        self.addCleanup(self.machine.close)

    def install(self):
        return self.machine.run("dpkg", "-i", "/put/ollamamax.deb")

    def enabled(self):
        return self.machine.has(self.LINK)

    def field(self, name):
        return subprocess.run(["dpkg-deb", "-f", self.package, name], check=True,
                              capture_output=True, text=True).stdout.strip()

    def test_a_machine_that_installs_it_has_a_node_that_answers(self):
        self.install()
        self.assertFalse(self.machine.has(str(CACHE / "llama")), "the cache is hidden")
        self.assertTrue(self.enabled(), "it starts with the machine")
        with Installed(self.machine) as node:
            client = {"PATH": PATH, "HOME": "/root", "OLLAMA_HOST": node.host}
            version = self.machine.run("ollamamax", "--version", environment=client)
            version = re.search(r"version is (\S+)", version)[1]
            self.assertTrue(self.field("Version").startswith(version + "+git"), version)
            self.machine.run("ollamamax", "create", MODEL, "-f", "/put/Modelfile",
                             environment=client)
            answer = self.machine.run("ollamamax", "run", MODEL, "Name a colour",
                                      environment=client)
            self.assertTrue(answer.strip())
            processes = node.get("/api/ps")["models"]
            self.assertEqual([model["name"] for model in processes], [MODEL])

    def test_an_upgrade_leaves_a_service_off_that_was_switched_off(self):
        self.install()
        self.machine.run("rm", self.LINK)  # As `systemctl disable` does.
        self.assertFalse(self.enabled())
        self.install()
        self.assertFalse(self.enabled())

    def test_what_was_removed_leaves_models_and_nothing_else(self):
        before = self.machine.run("sh", "-c", "ls /usr/bin /usr/lib /usr/share /etc /lib/systemd/*")
        self.install()
        files = self.machine.run("dpkg", "-L", "ollamamax").split()
        self.assertIn("/usr/bin/ollamamax", files)
        self.machine.run("mkdir", "-p", "/var/lib/private/ollamamax/models")
        said = self.machine.run("dpkg", "--purge", "ollamamax")
        self.assertIn("models and state stay in /var/lib/private/ollamamax", said)
        self.assertTrue(self.machine.has("/var/lib/private/ollamamax/models"))
        self.assertFalse(self.enabled())
        self.assertEqual(before, self.machine.run(
            "sh", "-c", "ls /usr/bin /usr/lib /usr/share /etc /lib/systemd/*"))
        self.assertFalse(self.machine.has("/usr/lib/ollamamax"))

    def test_it_depends_on_what_its_programs_load(self):
        self.install()
        named = re.findall(r"[a-z0-9.+-]+(?= \(|,|$)", self.field("Depends"))
        allowed = count_dependencies.closure(named)
        programs = [line for line in self.machine.run("dpkg", "-L", "ollamamax").split()
                    if re.search(r"/(ollamamax|llama-[a-z]+|ggml-[a-z-]+)$", line)
                    and not line.endswith(("/etc/ollamamax", "/lib/ollamamax", "/doc/ollamamax",
                                           "/completions/ollamamax"))]
        self.assertGreaterEqual(len(programs), 5, programs)
        for program in programs:
            loaded = self.machine.run("ldd", program)
            self.assertNotIn("not found", loaded)
            for path in re.findall(r"=> (/\S+) \(0x", loaded):
                if not path.startswith("/usr/lib/ollamamax/"):
                    self.assertIn(count_dependencies.owner(path), allowed, f"{program}: {path}")

    def test_its_version_is_that_of_its_commit(self):
        told = subprocess.run([PROGRAM, "version", "--json"], check=True, capture_output=True,
                              text=True).stdout
        client, revision = (json.loads(told)[name] for name in ("client", "revision"))
        when = subprocess.run(
            ["git", "-C", ROOT, "log", "-1", "--date=format-local:%Y%m%d%H%M%S", "--format=%cd",
             revision.removesuffix("-dirty")], check=True, capture_output=True, text=True,
            env={**os.environ, "TZ": "UTC"}).stdout.strip()
        version = self.field("Version")
        self.assertEqual(version.partition("+")[2], f"git{when}.{revision.replace('-', '.')}")
        # Of an earlier commit, of none (as all were once), and of the version to come.
        for operator, other in (("gt", f"{client}+git20200101000000.ffffffffff"), ("gt", client),
                                ("lt", f"{client}.1")):
            subprocess.run(["dpkg", "--compare-versions", version, operator, other], check=True)

    def test_the_same_files_give_the_same_package(self):
        self.assertEqual(make_package().read_bytes(), (self.put / "ollamamax.deb").read_bytes())

    def test_its_unit_lets_runners_reach_graphics_cards(self):
        # As drivers call their devices in /proc/devices; nvidia-frontend: NVIDIA's up to 535.
        drivers = {"nvidia-frontend", "nvidia", "nvidiactl", "nvidia-uvm", "nvidia-caps", "drm",
                   "kfd"}
        machine = self.machine
        machine.run("sh", "-c", "for group in video render; do groupdel -f $group || :; done")
        self.install()
        unit = machine.run("cat", self.UNIT)
        allowed = re.findall(r"^DeviceAllow=char-(\S+) rw$", unit, re.M)
        self.assertEqual(drivers, {name for name in drivers
                                   if any(fnmatch.fnmatch(name, glob) for glob in allowed)})
        # Without a group the unit would not start at all.
        groups = re.search(r"^SupplementaryGroups=(.*)$", unit, re.M)[1].split()
        self.assertEqual(groups, ["video", "render"])  # Of /dev/dri/* and /dev/kfd.
        machine.run("getent", "group", *groups)
        after = re.search(r"^After=(.*)$", unit, re.M)[1].split()
        self.assertLessEqual({"systemd-modules-load.service", "nvidia-persistenced.service"},
                             set(after), "cards are looked for at the start only")

    def test_its_settings_can_be_written_where_its_unit_reads_them(self):
        self.install()
        path = re.search(r"^EnvironmentFile=-(.*)$", self.machine.run("cat", self.UNIT), re.M)[1]
        self.machine.run("sh", "-c", f"echo OLLAMA_HOST=127.0.0.1:11500 >{path}")
        self.machine.run("dpkg", "-r", "ollamamax")
        self.assertTrue(self.machine.has(path), "it is not the package's")

    def test_its_node_can_run_deterministically(self):
        self.install()
        runners = "/usr/lib/ollamamax/llama", "/usr/lib/ollamamax/deterministic/bin"
        same, other = (self.machine.run("sh", "-c", f"cd {folder} && stat -c '%i %n' *")
                       for folder in runners)
        self.assertEqual(re.findall(r"\d+ llama-server\n", same),
                         re.findall(r"\d+ llama-server\n", other), "not there twice")
        with Installed(self.machine, {"OLLAMAMAX_DETERMINISTIC": "1"}) as node:
            client = {"PATH": PATH, "HOME": "/root", "OLLAMA_HOST": node.host}
            self.machine.run("ollamamax", "create", MODEL, "-f", "/put/Modelfile",
                             environment=client)
            self.machine.run("ollamamax", "run", MODEL, "Name a colour", environment=client)
            self.assertRegex(node.children(), "/deterministic/bin/llama-server\0")

    def test_its_unit_and_completions_can_be_read(self):
        self.install()
        unit = self.machine.run("cat", self.UNIT)
        paths = re.findall(r"(/(?:usr|opt)/[^\s:]+)", unit)
        self.assertTrue(paths, unit)
        for path in paths:
            self.assertTrue(self.machine.has(path), f"{path} of the unit")
        self.machine.run("bash", "-n", "/usr/share/bash-completion/completions/ollamamax")


if __name__ == "__main__":
    cases.main()
