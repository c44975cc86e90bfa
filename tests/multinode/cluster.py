"""Real daemons for tests: each test starts hearsayd processes on loopback, asks
them over their unix sockets, and ends every one of them by pid, also on failure.

Only the standard library. Ports are chosen by the system."""

import atexit
import contextlib
import functools
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

BIN = pathlib.Path(os.environ.get("HEARSAY_BIN", "build/release/bin")).resolve()
ROOT = pathlib.Path(__file__).resolve().parents[2]
WIRE = os.environ.get("HEARSAY_WIRE")  # What carries arrays where no test says it.
SHARED = pathlib.Path(os.environ.get("HEARSAY_SHARED", ROOT.parent / "shared"))


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


_claims = []  # Sockets bound to the ports that were given out.


def free_ports(count):
    """Ports that nobody holds, below the range out of which the system takes the
    ports of outgoing connections: a stopped node finds its port free. They stay this
    process's: who asks next, here or in a test beside, finds them taken, while a node
    may listen there, since it shares addresses (SO_REUSEADDR) with who does not."""
    ports = []
    while len(ports) < count:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            probe.close()
            claim = socket.socket()
            claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            claim.bind(("127.0.0.1", port))
            _claims.append(claim)
            ports.append(port)
    return ports


def toml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, pathlib.PurePath)):
        return json.dumps(str(value))
    if isinstance(value, list):
        return "[" + ", ".join(toml(v) for v in value) + "]"
    return repr(value)


def write_toml(path, config):
    lines = []
    for section, keys in config.items():
        if isinstance(keys, list):
            for table in keys:
                lines.append(f"[[{section}]]")
                lines += [f"{k} = {toml(v)}" for k, v in table.items()]
        else:
            lines.append(f"[{section}]")
            lines += [f"{k} = {toml(v)}" for k, v in keys.items()]
    pathlib.Path(path).write_text("\n".join(lines) + "\n")


class Node:
    """One hearsayd: its folder, its process, its admin API."""

    def __init__(self, folder, name, config, launcher=()):
        self.folder = folder
        self.name = name
        self.config = config
        self.launcher = launcher  # Words that run a command where the node lives.
        self.environment = {}     # Beside the test's own.
        self.process = None
        self.log = folder / "log"
        folder.mkdir(parents=True, exist_ok=True)

    def start(self, *flags):
        write_toml(self.folder / "hearsayd.toml", self.config)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*self.launcher, BIN / "hearsayd", "--config",
                 self.folder / "hearsayd.toml", *flags],
                stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, **self.environment})
        return self

    def get(self, path, timeout=10, method="GET"):
        """(status, parsed JSON or bytes) over the unix socket."""
        connection = UnixConnection(self.folder / "state/admin.sock", timeout)
        with contextlib.closing(connection):
            connection.request(method, path)
            response = connection.getresponse()
            body = response.read()
            if response.headers.get_content_type() == "application/json":
                return response.status, json.loads(body)
            return response.status, body

    def post(self, path):
        return self.get(path, method="POST")

    def http(self, path):
        """The same over TCP, as who knows the token may."""
        address = json.loads((self.folder / "state/admin.json").read_text())["http"]
        connection = http.client.HTTPConnection(address, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=self.bearing())
            response = connection.getresponse()
            return response.status, response.read()

    def bearing(self):
        """The header that opens the TCP door."""
        token = (self.folder / "state/admin.token").read_text().strip()
        return {"Authorization": f"Bearer {token}"}

    def status(self):
        return self.get("/v1/status")[1]

    def own(self):
        document = self.status()
        return next(n for n in document["nodes"] if n["name"] == document["self"])

    def weights(self):
        """The live weights as one list of floats, in the file's order."""
        status, body = self.get("/v1/weights", timeout=60)
        assert status == 200, body
        return safetensors(body)[1]

    def wait(self, seconds=10):
        return self.process.wait(seconds)

    def terminate(self, seconds=15):
        """SIGTERM, and the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def said(self):
        return self.log.read_text(errors="replace")


def safetensors(body):
    """(metadata, {tensor: [floats]} flattened in order of offset)."""
    size = struct.unpack("<Q", body[:8])[0]
    header = json.loads(body[8:8 + size])
    metadata = header.pop("__metadata__", {})
    data = body[8 + size:]
    values = []
    for tensor in sorted(header.values(), key=lambda t: t["data_offsets"][0]):
        begin, end = tensor["data_offsets"]
        values += struct.unpack(f"<{(end - begin) // 4}f", data[begin:end])
    return metadata, values


@functools.cache
def authority():
    """The CA of all clusters of this run of tests."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hearsay-ca-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    run("tls", "init", "--dir", folder, "--name", "tests")
    return folder


def certified(folder, name, *flags, ca=None):
    """The [tls] of a node whose certificate, made with `flags`, is in `folder`."""
    ca = ca or authority()
    run("tls", "issue", "--name", name, "--dir", ca, "--out", folder, *flags)
    return {"mode": "mutual", "ca": ca / "ca.pem", "cert": folder / f"{name}.pem",
            "key": folder / f"{name}.key", "crl": ca / "crl.pem"}


class Cluster:
    """`with Cluster(3, sections) as c:` starts nothing yet; c.start() does. In a
    `lab` every node lives in the namespace of its name. Without `tls` a test can
    read, and fake, what nodes say to each other."""

    def __init__(self, count, sections, names=None, cluster="test", lab=None, tls=True):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hearsay-"))
        names = names or [chr(ord("a") + i) for i in range(count)]
        addresses = ([lab.address(n) for n in names] if lab else
                     [f"127.0.0.1:{p}" for p in free_ports(count)])
        self.nodes = []
        for i, name in enumerate(names):
            config = {
                "node": {"name": name, "state_dir": "state"},
                "cluster": {
                    "name": cluster,
                    "listen": addresses[i],
                    "peers": [a for a in addresses if a != addresses[i]],
                    "profile": "local",
                    "expect": count,
                },
                "tls": certified(self.folder / "tls", name) if tls else {"mode": "off"},
            }
            if WIRE and not lab:
                config["cluster"]["wire"] = WIRE
            for section, keys in (sections(i) if callable(sections) else sections).items():
                if isinstance(keys, list):
                    config[section] = keys
                else:
                    config.setdefault(section, {}).update(keys)
            self.nodes.append(Node(self.folder / name, name, config,
                                   lab.launcher(name) if lab else ()))

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        for node in self.nodes:
            node.kill()
        if kind is not None:
            for node in self.nodes:
                if node.log.exists():
                    print(f"--- {node.name}\n{node.said()[-4000:]}")
        shutil.rmtree(self.folder, ignore_errors=True)

    def __getitem__(self, index):
        return self.nodes[index]

    def start(self):
        for node in self.nodes:
            node.start()
        return self

    def stop(self):
        for node in self.nodes:
            node.process.send_signal(signal.SIGTERM)
        return [node.wait(20) for node in self.nodes]

    def until(self, what, condition, seconds=30, nodes=None):
        """Waits until `condition(node)` holds on all nodes, or fails saying
        which did not and what it said last."""
        deadline = time.monotonic() + seconds
        for node in nodes or self.nodes:
            while True:
                if node.process.poll() is not None:
                    raise AssertionError(
                        f"{node.name} ended with {node.process.returncode} before {what}")
                with contextlib.suppress(OSError, http.client.HTTPException):
                    if condition(node):
                        break
                if time.monotonic() > deadline:
                    raise AssertionError(f"{node.name}: not {what} within {seconds} s")
                time.sleep(0.02)

    def until_ready(self, seconds=30, nodes=None):
        self.until("ready", lambda n: n.get("/readyz")[0] == 200, seconds, nodes)

    def until_state(self, *states, seconds=60, nodes=None):
        self.until(" or ".join(states), lambda n: n.own()["state"] in states, seconds, nodes)

    def until_alive(self, count, seconds=30, nodes=None):
        self.until(f"{count} alive",
                   lambda n: n.status()["cluster"]["members_alive"] == count, seconds, nodes)


def mean(rows):
    """Element-wise mean of equally long lists."""
    return [sum(column) / len(column) for column in zip(*rows)]


def prepared(folder, rows=8000, shards=4, schema="pums-employed", seed=7):
    """Shards of synthetic people, made by the product's own verbs."""
    folder = pathlib.Path(folder)
    csv = folder / "people.csv"
    run("synth", "pums", "--rows", rows, "--out", csv, "--seed", seed)
    run("prep", "--schema", ROOT / f"ops/schemas/{schema}.toml", csv, "--out",
        folder / "shards", "--shards", shards, "--eval-fraction", "0.2")
    return folder / "shards"


def run(*arguments, expect=0):
    """Runs `hearsay ARGUMENTS`; the completed process, text captured."""
    done = subprocess.run([BIN / "hearsay", *map(str, arguments)], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    assert done.returncode == expect, (
        f"hearsay {arguments}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def private(shards, index, rows, steps=100000, step_time="4ms", **privacy):
    """Configuration sections of a node that trains on shard `index`."""
    return {
        "data": {"train": shards / f"part-{index}.safetensors",
                 "eval": shards / "eval.safetensors"},
        "model": {"loss": "softmax_cross_entropy"},
        "model.layer": [{"type": "dense", "units": 8, "activation": "tanh"},
                        {"type": "dense", "units": 2}],
        "train": {"steps": steps, "sample_rate": 0.02, "public_size": rows,
                  "learning_rate": 0.5, "min_step_time": step_time},
        "privacy": {"noise_multiplier": 1.0, "ledger": "ledger", **privacy},
        "checkpoint": {"every_steps": 50},
    }
