"""The claim, seen from outside: no private number leaves a node, the epsilon
that it reports is the accountant's for what its ledger says, the budget holds,
and no kill makes the ledger count less than was released."""

import contextlib
import http.client
import json
import math
import random
import re
import shutil
import signal
import socket
import struct
import threading
import time
import unittest

import scene
from scene import CLEAN, cluster

shards = None
# Of numbers that are served: a private one is exact, or it was a float32.
SAME = 1e-7


def setUpModule():
    global shards
    # Five digits of rows, so that no port, step or count is taken for them.
    shards = scene.Shards(rows=37000, count=2)
    unittest.addModuleCleanup(shards.remove)


class Tap:
    """Passes a control connection on and keeps every byte of it."""

    def __init__(self, to):
        self.to = to
        self.streams = []  # One bytearray a direction of a connection.
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.sockets = [self.listener]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            host, port = self.to.rsplit(":", 1)
            try:
                far = socket.create_connection((host, int(port)))
            except OSError:  # Not up yet: the dialler tries again.
                near.close()
                continue
            self.sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                kept = bytearray()
                self.streams.append(kept)
                threading.Thread(target=self.pump, args=(source, sink, kept),
                                 daemon=True).start()

    @staticmethod
    def pump(source, sink, kept):
        try:
            while data := source.recv(65536):
                kept += data
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        for one in self.sockets:
            one.close()

    def frames(self):
        """The messages of all streams, without their four bytes of length."""
        for stream in list(self.streams):
            data, at = bytes(stream), 0
            while at + 4 <= len(data):
                size = int.from_bytes(data[at:at + 4], "big")
                if at + 4 + size > len(data):
                    break
                yield data[at + 4:at + 4 + size]
                at += 4 + size


class Decoded:
    """Every number and every text that some protobuf message could mean, read
    without its schema: what a curious peer could find in it."""

    def __init__(self):
        self.numbers = set()
        self.texts = set()

    def varint(self, data, at):
        value, shift = 0, 0
        while True:
            byte = data[at]
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                return value, at
            if shift > 63:
                raise ValueError

    def fields(self, data):
        at, found = 0, []
        while at < len(data):
            key, at = self.varint(data, at)
            kind = key & 7
            if key >> 3 == 0:
                raise ValueError
            if kind == 0:
                value, at = self.varint(data, at)
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
                value, at = data[at:at + size], at + size
                if len(value) != size:
                    raise ValueError
            elif kind == 2:
                size, at = self.varint(data, at)
                value, at = data[at:at + size], at + size
                if len(value) != size:
                    raise ValueError
            else:
                raise ValueError
            found.append((kind, value))
        return found

    def fixed(self, value):
        size = len(value)
        self.numbers.add(float(int.from_bytes(value, "little")))
        self.numbers.add(struct.unpack("<d" if size == 8 else "<f", value)[0])

    def add(self, data):
        for kind, value in self.fields(data):
            if kind == 0:
                self.numbers.add(float(value))
                self.numbers.add(float((value >> 1) ^ -(value & 1)))  # zigzag
            elif kind in (1, 5):
                self.fixed(value)
            else:
                self.bytes(value)

    def bytes(self, value):
        self.texts.add(value)
        for size in (4, 8):  # Packed.
            if len(value) % size == 0:
                for at in range(0, len(value), size):
                    self.fixed(value[at:at + size])
        try:
            self.add(value)
        except (ValueError, IndexError):
            pass


def near(values, secret):
    return any(abs(v - secret) <= SAME * abs(secret) for v in values if math.isfinite(v))


class Claim(scene.NodeTest):
    """Two nodes that train, and are then paused: their private numbers stand
    still, so that they can be looked for."""

    # Names of what is private; none may be served or said.
    KEYS = ("train_loss", "clip_fraction", "realised", "batch_size", "rejected_examples",
            "shard_rows", "content_hash", "data_set", "step_seconds", "forward_backward")

    def setUp(self):
        self.pair = self.nodes(2, lambda i: shards.sections(
            i, train__public_size=10000, train__min_step_time="3ms"), tls=False)
        self.taps = []
        # Each tells the others to come by its tap.
        for node in self.pair.nodes:
            tap = Tap(node.config["cluster"]["listen"])
            self.addCleanup(tap.close)
            self.taps.append(tap)
            node.config["cluster"]["advertise"] = tap.address
        for node, other in zip(self.pair.nodes, reversed(self.taps)):
            node.config["cluster"]["peers"] = [other.address]
        self.pair.start()
        self.pair.until("100 steps", lambda n: n.own()["step"] >= 100)
        for node in self.pair.nodes:
            self.assertEqual(node.post("/v1/pause")[0], 200)
        self.pair.until_state("paused")
        # Let reports go out that were made after the pause.
        self.wait_for_heartbeats(3)

    def wait_for_heartbeats(self, count):
        seen = [sum(1 for _ in tap.frames()) for tap in self.taps]
        self.until("heartbeats", lambda: sum(
            sum(1 for _ in tap.frames()) for tap in self.taps) >= sum(seen) + 2 * count)

    def secrets(self, node):
        """{what: number} that nobody else may have, and the texts."""
        status, private = node.get("/v1/private")
        self.assertEqual(status, 200)
        private.pop("schema")
        numbers = {k: v for k, v in private.items() if v}  # 0 says nothing
        self.assertLessEqual({"train_loss", "clip_fraction", "realised_batch_size",
                              "shard_rows"}, set(numbers))
        for line in node.get("/metrics")[1].decode().splitlines():
            if line.startswith("hearsay_step_seconds_total"):
                numbers[line.split()[0]] = float(line.split()[1])
        self.assertGreater(len(numbers), 6)
        header = scene.ledger(node).read_text().splitlines()[0]
        content = re.search(r"data_set=(\S+)", header)[1].split(":")[-1]
        self.assertGreaterEqual(len(content), 32)
        return numbers, content

    def test_secrets_are_what_we_think(self):
        for i, node in enumerate(self.pair.nodes):
            numbers, _ = self.secrets(node)
            self.assertEqual(numbers["shard_rows"], shards.rows[i])
            self.assertGreater(numbers["shard_rows"], 9999)
            # q times the rows, smoothed over 50 steps: six sigma, and the
            # average is still young.
            expected = 0.02 * shards.rows[i] * (1 - 0.98 ** 100)
            self.assertAlmostEqual(numbers["realised_batch_size"], expected,
                                   delta=0.15 * expected)
            self.assertEqual(numbers, self.secrets(node)[0])  # They stand still.

    def served(self):
        """Every path that the daemon's source names, so that a new one is
        looked at too."""
        source = (cluster.ROOT / "daemon/admin_api.cc").read_text()
        paths = set(re.findall(r'\{"(/[a-z0-9_/]*)"', source)) | {"/", "/v1/nothing"}
        self.assertLessEqual({"/livez", "/readyz", "/healthz", "/metrics", "/v1/status",
                              "/v1/members", "/v1/links", "/v1/privacy", "/v1/events",
                              "/v1/private", "/v1/weights", "/v1/stop"}, paths)
        return sorted(paths)

    def over_tcp(self, node, method, path, bearing=None):
        address = json.loads((node.folder / "state/admin.json").read_text())["http"]
        connection = http.client.HTTPConnection(address, timeout=10)
        with contextlib.closing(connection):
            connection.request(method, path,
                               headers=node.bearing() if bearing is None else bearing)
            response = connection.getresponse()
            return response.status, str(response.headers).encode() + response.read()

    def assert_silent(self, body, secrets, content, where):
        text = body.decode("latin-1")
        numbers = {float(t) for t in re.findall(r"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?", text)}
        for key in self.KEYS:
            self.assertNotIn(key, text, where)
        self.assertNotIn(content, text, where)
        self.assertNotIn(bytes.fromhex(content), body, where)
        for what, secret in secrets.items():
            self.assertFalse(near(numbers, secret), f"{what} in {where}")
            for code in ("<d", ">d"):
                self.assertNotIn(struct.pack(code, secret), body, f"{what} in {where}")

    def test_nothing_private_over_http(self):
        for node in self.pair.nodes:
            secrets = [self.secrets(one) for one in self.pair.nodes]
            for path in self.served():
                status, body = self.over_tcp(node, "GET", path)
                if path == "/v1/private":
                    self.assertEqual(status, 403)
                for numbers, content in secrets:
                    self.assert_silent(body, numbers, content, f"GET {path}")
            weights = self.over_tcp(node, "GET", "/v1/weights")[1]
            for numbers, _ in secrets:
                for what, secret in numbers.items():
                    self.assertNotIn(struct.pack("<f", secret), weights, what)

    def test_search_over_http_would_find(self):
        node = self.pair[0]
        secrets, content = self.secrets(node)
        for what in secrets:
            with self.assertRaises(AssertionError):
                self.assert_silent(json.dumps({"x": secrets[what]}).encode(),
                                   {what: secrets[what]}, content, "")
        # The owner's own door does serve them.
        with self.assertRaises(AssertionError):
            self.assert_silent(json.dumps(node.get("/v1/private")[1]).encode(),
                               secrets, content, "")

    def test_tcp_needs_the_token(self):
        node = self.pair[0]
        for path in self.served():
            for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
                status, _ = self.over_tcp(node, method, path, bearing={})
                refusals = (405,) if method in ("PUT", "DELETE") else (401,)
                if path == "/livez":
                    refusals = (200, 405)
                self.assertIn(status, refusals, f"{method} {path}")
        self.assertEqual(self.over_tcp(node, "HEAD", "/v1/private")[0], 403)
        self.assertEqual(node.own()["state"], "paused")
        self.assertIsNone(node.process.poll())

    def test_nothing_private_to_peers(self):
        # What is newer than the last heartbeat is told by the next.
        for _ in range(100):
            owns = [node.own() for node in self.pair.nodes]
            decoded, raw = Decoded(), b""
            for tap in self.taps:
                for frame in tap.frames():
                    decoded.add(frame)
                    raw += frame
            if all(near(decoded.numbers, own["eval"]["loss"]) for own in owns):
                break
            time.sleep(0.1)
        # What is public is there, so what is not there would have been seen.
        for node, own in zip(self.pair.nodes, owns):
            self.assertTrue(near(decoded.numbers, own["step"]), own)
            self.assertTrue(near(decoded.numbers, own["privacy"]["epsilon"]), own)
            self.assertTrue(near(decoded.numbers, own["eval"]["loss"]), own)
            self.assertIn(node.name.encode(), decoded.texts)
            self.assertIn(b"paused", decoded.texts)
        for node in self.pair.nodes:
            secrets, content = self.secrets(node)
            for what, secret in secrets.items():
                self.assertFalse(near(decoded.numbers, secret), what)
                for text in (str(secret), f"{secret:.6g}"):
                    # Of whole numbers only the longer: 2 digits are anywhere.
                    if len(text) >= 5:
                        self.assertNotIn(text.encode(), raw, what)
                for code in ("<d", ">d"):
                    self.assertNotIn(struct.pack(code, secret), raw, what)
            self.assertNotIn(content.encode(), raw)
            self.assertNotIn(bytes.fromhex(content), raw)
            self.assertNotIn(bytes.fromhex(content)[::-1], raw)
        for key in self.KEYS:
            self.assertNotIn(key.encode(), raw)

    def test_search_among_messages_would_find(self):
        # A report with a secret in each encoding, as protobuf writes it.
        def message(field):
            inner = b"\x0a" + bytes([len(field)]) + field
            return b"\x2a" + bytes([len(inner)]) + inner
        fields = {
            "varint": b"\x08\xb9\x60",                                  # 12345
            "double": b"\x39" + struct.pack("<d", 12345),
            "float": b"\x3d" + struct.pack("<f", 12345),
            "packed floats": b"\x22\x08" + struct.pack("<2f", 1, 12345),
        }
        for name, field in fields.items():
            with self.subTest(name):
                decoded = Decoded()
                decoded.add(message(field))
                self.assertTrue(near(decoded.numbers, 12345))
                self.assertFalse(near(decoded.numbers, 12346))


def accountant(q, sigma, steps, delta=1e-5, kind="rdp"):
    """What `hearsay epsilon` says, which knows no ledger and no daemon."""
    return json.loads(scene.must("epsilon", "--q", repr(q), "--sigma", repr(sigma),
                                 "--steps", steps, "--delta", delta, "--accountant", kind,
                                 "-o", "json"))["epsilon"]


class Budget(scene.NodeTest):
    Q, SIGMA = 0.02, 1.0

    def assert_reported(self, node):
        """One epsilon everywhere, and it is that of the ledger's steps."""
        charged = scene.charged_steps(scene.ledger(node))
        expected = accountant(self.Q, self.SIGMA, charged)
        shown = node.get("/v1/privacy")[1]
        inspected = json.loads(scene.must("inspect", scene.ledger(node), "-o", "json"))
        metric = next(line for line in node.get("/metrics")[1].decode().splitlines()
                      if line.startswith("hearsay_privacy_epsilon "))
        self.assertEqual(shown["steps_charged"], charged)
        self.assertEqual(inspected["charged_steps"], charged)
        for epsilon in (node.own()["privacy"]["epsilon"], shown["epsilon"],
                        float(metric.split()[1])):
            self.assertLess(abs(epsilon - expected), 1e-9 * expected)
        return expected, charged

    def counters(self, node):
        return sum(link["ok"] for link in node.own()["links"])

    def pair(self, target, **changes):
        return self.nodes(2, lambda i: shards.sections(
            i, privacy__target_epsilon=target, train__min_step_time="1ms",
            train__public_size=10000, **changes))

    def test_exhausted_at_the_last_step_that_fits(self):
        target = 1.2
        pair = self.pair(target).start()
        pair.until_state("exhausted")
        a = pair[0]
        for node in pair.nodes:
            epsilon, charged = self.assert_reported(node)
            self.assertEqual(node.own()["step"], charged)
            self.assertLessEqual(epsilon, target)
            self.assertGreater(accountant(self.Q, self.SIGMA, charged + 1), target)
            self.assertEqual(node.own()["privacy"]["steps_left"], 0)
            self.assertTrue(node.own()["privacy"]["valid"])
        # Averaging goes on: it is free.
        before = self.counters(a)
        self.until("exchanges", lambda: self.counters(a) > before + 3)
        # And a restart buys nothing.
        paid = scene.ledger(a).read_bytes()
        step = a.own()["step"]
        self.assertEqual(a.terminate(), CLEAN)
        a.start()
        pair.until_state("exhausted", nodes=[a])
        self.assertEqual(a.own()["step"], step)
        self.assert_reported(a)
        self.assertEqual(a.terminate(), CLEAN)
        self.assertEqual(scene.ledger(a).read_bytes(), paid)
        # Nor does a new state folder: the ledger is the data set's.
        shutil.rmtree(a.folder / "state")
        a.config["cluster"]["expect"] = 1
        a.start()
        pair.until_state("exhausted", nodes=[a])
        self.assertEqual(a.own()["step"], 0)
        self.assertEqual(a.terminate(), CLEAN)
        self.assertEqual(scene.ledger(a).read_bytes(), paid)

    def test_reported_while_training_and_after_a_settled_stop(self):
        pair = self.pair(None).start()
        pair.until("80 steps", lambda n: n.own()["step"] >= 80)
        for node in pair.nodes:
            node.post("/v1/pause")
        pair.until_state("paused")
        for node in pair.nodes:
            _, charged = self.assert_reported(node)
            self.assertGreaterEqual(charged, node.own()["step"])
        self.assertEqual(pair.stop(), [CLEAN, CLEAN])
        for node in pair.nodes:
            # What was reserved and not used has been given back.
            step = int(scene.metadata(scene.checkpoints(node)[-1])["hearsay.step"])
            self.assertEqual(scene.charged_steps(scene.ledger(node)), step)
        pair.start()
        pair.until("20 more", lambda n: n.own()["step"] >= 100)
        for node in pair.nodes:
            node.post("/v1/drain")
        pair.until_state("draining")
        for node in pair.nodes:
            _, charged = self.assert_reported(node)
            self.assertEqual(charged, node.own()["step"])

    def test_on_exhausted_stop_ends_the_daemon(self):
        node = self.nodes(1, lambda i: shards.sections(
            i, privacy__target_epsilon=0.9, privacy__on_exhausted="stop",
            train__min_step_time="0ms"))[0]
        node.start()
        self.assertEqual(node.wait(60), CLEAN, node.said())
        self.assertIn("budget exhausted", node.said())
        charged = scene.charged_steps(scene.ledger(node))
        self.assertLessEqual(accountant(self.Q, self.SIGMA, charged), 0.9)
        self.assertGreater(accountant(self.Q, self.SIGMA, charged + 1), 0.9)
        newest = scene.metadata(scene.checkpoints(node)[-1])
        self.assertEqual(int(newest["hearsay.step"]), charged)

    def test_by_pld_exhausted_at_the_last_step_that_fits_and_later_than_by_rdp(self):
        target = 0.9
        node = self.nodes(1, lambda i: shards.sections(
            i, privacy__target_epsilon=target, privacy__accountant="pld",
            train__min_step_time="1ms", train__public_size=10000))[0]
        node.start()
        self.until("exhausted", lambda: node.own()["state"] == "exhausted", 60)
        charged = scene.charged_steps(scene.ledger(node))
        expected = accountant(self.Q, self.SIGMA, charged, kind="pld")
        shown = node.get("/v1/privacy")[1]
        for claim in (shown, node.own()["privacy"]):
            self.assertEqual(claim["accountant"], "pld")
            self.assertAlmostEqual(claim["epsilon"], expected, delta=1e-9)
            self.assertEqual(claim["steps_left"], 0)
        self.assertLessEqual(expected, target)
        self.assertGreater(accountant(self.Q, self.SIGMA, charged + 1, kind="pld"), target)
        self.assertGreater(accountant(self.Q, self.SIGMA, charged), target)

    def test_calibrated_noise_lasts_for_all_steps(self):
        node = self.nodes(1, lambda i: shards.sections(
            i, privacy__noise_multiplier=None, privacy__target_epsilon=2.0,
            train__steps=150, train__min_step_time="0ms"))[0]
        node.start()
        self.until("finished", lambda: node.own()["state"] == "finished", 60)
        shown = node.get("/v1/privacy")[1]
        self.assertEqual(shown["steps_charged"], 150)
        self.assertLessEqual(shown["epsilon"], 2.0)
        self.assertGreater(shown["epsilon"], 1.98)  # And none is wasted.
        self.assertAlmostEqual(
            shown["epsilon"], accountant(self.Q, shown["noise_multiplier"], 150), delta=1e-9)


class Kills(scene.NodeTest):
    def test_ledger_never_counts_less_than_was_seen(self):
        seed = random.randrange(1 << 30)
        chance = random.Random(seed)
        node = self.nodes(1, lambda i: shards.sections(
            i, train__min_step_time="0ms", train__public_size=10000,
            checkpoint__every_steps=7))[0]
        taken = 0  # In all rounds, as far as anybody outside can know.
        for turn in range(10):
            with self.subTest(turn=turn, seed=seed):
                resumed = 0
                if scene.checkpoints(node):
                    resumed = self.newest_whole(node)
                node.start()
                seen = resumed
                end = time.monotonic() + chance.uniform(0.02, 0.5)
                while time.monotonic() < end:
                    try:
                        seen = max(seen, node.own()["step"])
                    except (OSError, http.client.HTTPException):
                        pass  # Not up yet.
                node.process.send_signal(signal.SIGKILL)
                node.wait()
                taken += seen - resumed
                charged = (scene.charged_steps(scene.ledger(node))
                           if scene.ledger(node).exists() else 0)
                self.assertGreaterEqual(charged, taken)
                for path in scene.checkpoints(node):
                    step = int(scene.metadata(path)["hearsay.step"])
                    self.assertGreaterEqual(charged, step)
        # It was not killed in its cradle each time.
        self.assertGreater(taken, 50)
        node.start()
        self.until("trains on", lambda: node.own()["step"] > 0)
        self.assertEqual(node.terminate(), CLEAN)
        # What the daemon counts is what the file says.
        inspected = json.loads(scene.must("inspect", scene.ledger(node), "-o", "json"))
        self.assertEqual(inspected["charged_steps"],
                         scene.charged_steps(scene.ledger(node)))

    @staticmethod
    def newest_whole(node):
        return int(scene.metadata(scene.checkpoints(node)[-1])["hearsay.step"])


if __name__ == "__main__":
    unittest.main()
