"""A network of its own for every test: one namespace a node, joined by bridges,
with faults on demand. Needs root; `reason()` says why not, for a visible skip.

A site is a namespace with a bridge. A node's namespace holds that node's address
and its own loopback, nothing else, and is joined to its site by a veth pair. Sites
are joined by a routed link that ../shared/peers/tundelay.cpp delays and loses
packets on, since kernels may lack netem. Nothing outside the namespaces is
touched. Names carry the pid of the test: what a killed test left behind, the next
one sweeps."""

import contextlib
import os
import pathlib
import signal
import subprocess
import tempfile
import time

import cluster

PREFIX = "hearsay-lab"
PORT = 7400
NETWORK = "10.77"  # The first two numbers of every node's address.
TUNDELAY = cluster.SHARED / "peers/tundelay.cpp"


def command(*words, check=True):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True,
                          check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done


def reason():
    """Why there can be no lab here; empty if there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    probe = f"{PREFIX}-{os.getpid()}-probe"
    try:
        command("ip", "netns", "add", probe)
        try:
            command("ip", "-n", probe, "link", "add", "br0", "type", "bridge")
            command("ip", "netns", "exec", probe, "iptables", "-w", "-L", "-n")
            command("ip", "-n", probe, "link", "add", "v0", "type", "veth",
                    "peer", "name", "v1")
        finally:
            command("ip", "netns", "del", probe, check=False)
    except (RuntimeError, OSError) as error:
        return f"network namespaces do not work here: {error}"
    return ""


def _spaces():
    return [line.split()[0] for line in command("ip", "netns", "list").stdout.splitlines()
            if line.startswith(PREFIX)]


def _remove(space):
    for pid in command("ip", "netns", "pids", space, check=False).stdout.split():
        with contextlib.suppress(OSError):
            os.kill(int(pid), signal.SIGKILL)
    command("ip", "netns", "del", space, check=False)


def sweep():
    """Removes the namespaces of tests that are no more."""
    for space in _spaces():
        owner = space[len(PREFIX) + 1:].split("-")[0]
        if not pathlib.Path(f"/proc/{owner}").exists():
            _remove(space)


def compiled(source, *flags):
    """The program built from one file, kept in the build folder."""
    program = cluster.BIN.parent / "tests" / source.stem
    program.parent.mkdir(parents=True, exist_ok=True)
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        aside = program.with_suffix(f".{os.getpid()}")
        command(os.environ.get("CXX", "g++"), "-O2", "-w", *flags, source, "-o", aside)
        aside.rename(program)
    return program


class Lab:
    """`Lab(["a", "b"])`, or `Lab(["a", "b"], ["c", "d"], wan={...})` for two sites
    with a wide-area link between them."""

    _count = 0

    def __init__(self, *sites, wan=None):
        sweep()
        Lab._count += 1
        self.prefix = f"{PREFIX}-{os.getpid()}-{Lab._count}"
        self.spaces = {}   # By node.
        self.addresses = {}
        self.hubs = []
        self.wan = None
        try:
            for number, names in enumerate(sites):
                self._site(number, names)
            if wan is not None:
                self._link(**wan)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.wan is not None:
            self.wan.kill()
            self.wan.wait()
            self.wan = None
        for space in list(self.spaces.values()) + self.hubs:
            _remove(space)

    def _space(self, name):
        space = f"{self.prefix}-{name}"
        command("ip", "netns", "add", space)
        command("ip", "-n", space, "link", "set", "lo", "up")
        return space

    def _site(self, number, names):
        hub = self._space(f"hub{number}")
        self.hubs.append(hub)
        command("ip", "-n", hub, "link", "add", "br0", "type", "bridge")
        command("ip", "-n", hub, "addr", "add", f"{NETWORK}.{number}.254/24", "dev", "br0")
        command("ip", "-n", hub, "link", "set", "br0", "up")
        for i, name in enumerate(names):
            space = self.spaces[name] = self._space(name)
            command("ip", "-n", hub, "link", "add", f"p{i}", "type", "veth",
                    "peer", "name", "eth0", "netns", space)
            command("ip", "-n", hub, "link", "set", f"p{i}", "master", "br0", "up")
            self.addresses[name] = f"{NETWORK}.{number}.{i + 1}"
            command("ip", "-n", space, "addr", "add", f"{self.addresses[name]}/24",
                    "dev", "eth0")
            self.up(name)

    def _link(self, delay_ms, jitter_ms=0, loss_percent=0, rate_mbit=0):
        first, second = self.hubs
        self.wan = subprocess.Popen(
            [compiled(TUNDELAY), first, "wan", second, "wan", str(delay_ms),
             str(jitter_ms), str(loss_percent), str(rate_mbit)],
            stdout=subprocess.PIPE, text=True)
        if self.wan.stdout.readline().strip() != "up":
            raise RuntimeError("tundelay did not come up")
        for here, (hub, there) in enumerate(((first, 1), (second, 0))):
            command("ip", "-n", hub, "addr", "add", f"10.78.0.{here + 1}/30", "dev", "wan")
            command("ip", "-n", hub, "link", "set", "wan", "up")
            command("ip", "netns", "exec", hub, "sysctl", "-qw", "net.ipv4.ip_forward=1")
            command("ip", "-n", hub, "route", "add", f"{NETWORK}.{there}.0/24",
                    "via", f"10.78.0.{2 - here}")

    def address(self, name):
        return f"{self.addresses[name]}:{PORT}"

    def launcher(self, name):
        """Words that run a command in that node's namespace, as the same process."""
        return ["nsenter", f"--net=/run/netns/{self.spaces[name]}", "--"]

    # Faults. Each has its cure.

    def down(self, name):
        command("ip", "-n", self.spaces[name], "link", "set", "eth0", "down")

    def up(self, name):
        command("ip", "-n", self.spaces[name], "link", "set", "eth0", "up")
        site = self.addresses[name].split(".")[2]
        command("ip", "-n", self.spaces[name], "route", "replace", "default", "via",
                f"{NETWORK}.{site}.254")

    def deaf(self, name, to):
        """`name` hears nothing from the nodes `to`; they hear it."""
        for other in to:
            self._iptables(name, "-A", other)

    def hears(self, name, to):
        for other in to:
            self._iptables(name, "-D", other)

    def _iptables(self, name, how, other):
        command("ip", "netns", "exec", self.spaces[name], "iptables", "-w", how, "INPUT",
                "-s", self.addresses[other], "-j", "DROP")

    def partition(self, left, right):
        for name in left:
            self.deaf(name, right)
        for name in right:
            self.deaf(name, left)

    def cut(self):
        """Nothing passes between the sites."""
        for way in ("-i", "-o"):
            command("ip", "netns", "exec", self.hubs[0], "iptables", "-w", "-I", "FORWARD",
                    way, "wan", "-j", "DROP")

    def mend(self):
        command("ip", "netns", "exec", self.hubs[0], "iptables", "-w", "-F", "FORWARD")

    def heal(self):
        """No packet is dropped any more."""
        for space in self.spaces.values():
            command("ip", "netns", "exec", space, "iptables", "-w", "-F", "INPUT")

    def slow(self, name, rate="2mbit"):
        """What `name` sends leaves at this rate."""
        command("tc", "-n", self.spaces[name], "qdisc", "replace", "dev", "eth0", "root",
                "tbf", "rate", rate, "burst", "16kb", "latency", "200ms")

    def fast(self, name):
        command("tc", "-n", self.spaces[name], "qdisc", "del", "dev", "eth0", "root")
