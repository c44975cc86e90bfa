"""Who is let in: real daemons with certificates that are wrong, or go wrong. The
others train on, and `hearsay members` says why on both sides."""

import datetime
import json
import shutil
import signal
import time
import unittest

import cluster
import scene


def probe(i):
    """Nodes that train on nothing for as long as the test lasts."""
    return {"train": {"steps": 1000000},
            "test": {"probe": "quadratic", "index": i, "step_time": "5ms"},
            "cluster": {"expect": 1}}


def moment(seconds):
    """A time of the calendar, from now."""
    then = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return then.strftime("%Y-%m-%dT%H:%M:%SZ")


def authority(test, name="other"):
    """A CA of the test's own."""
    folder = scene.folder()
    test.addCleanup(shutil.rmtree, folder, ignore_errors=True)
    cluster.run("tls", "init", "--dir", folder, "--name", name)
    return folder


class Certificates(scene.NodeTest):
    """Three nodes; c has, or gets, the wrong certificate."""

    def make(self, ca=None):
        made = self.nodes(3, probe)
        if ca:
            for node in made.nodes:
                self.certify(node, node.name, ca=ca)
        return made

    def certify(self, node, name, *flags, ca=None):
        for kind in ("pem", "key"):
            (node.folder / f"{name}.{kind}").unlink(missing_ok=True)
        node.config["tls"] = cluster.certified(node.folder, name, *flags, ca=ca)

    def members(self, node):
        """As `hearsay members` shows them."""
        out = cluster.run("members", "-o", "json", "--addr",
                          f"unix:{node.folder}/state/admin.sock").stdout
        return json.loads(out)["members"]

    def errors(self, node):
        return [m["last_error"] for m in self.members(node) if m["state"] == "refused"]

    def until_says(self, node, *words, seconds=30):
        """`members` of this node shows a refused one, for these reasons."""
        self.until("up", lambda: node.get("/livez")[0] == 200)
        self.until(f"{words} at {node.name}", lambda: any(
            all(w in e for w in words) for e in self.errors(node)), seconds)

    def assert_goes_on(self, *nodes):
        steps = [n.own()["step"] for n in nodes]
        exchanges = [sum(link["ok"] for link in n.own()["links"]) for n in nodes]
        for node, step, ok in zip(nodes, steps, exchanges):
            self.until("trains on", lambda n=node, s=step: n.own()["step"] > s)
            self.until("mixes on", lambda n=node, o=ok: sum(
                link["ok"] for link in n.own()["links"]) > o)

    def test_a_certificate_of_another_ca(self):
        made = self.make()
        self.certify(made[2], "c", ca=authority(self))
        made.start()
        for node in made.nodes[:2]:
            self.until_says(node, "the certificate of 'c' (serial ", "not signed by our CA")
        self.until_says(made[2], "not signed by our CA")
        made.until_alive(2, nodes=made.nodes[:2])
        self.assert_goes_on(*made.nodes[:2])

    def test_a_certificate_that_expires(self):
        made = self.make()
        end = moment(10)
        self.certify(made[2], "c", "--until", end)
        made.start()
        made.until_alive(3)
        for node in made.nodes[:2]:
            self.until_says(node, "the certificate of 'c' (serial ", f"expired on {end}")
        self.until_says(made[2], "it refused our certificate: expired")
        made.until_alive(2, nodes=made.nodes[:2])
        self.assert_goes_on(*made.nodes[:2])
        # It is told at once when it starts again, and back with a new one.
        self.assertEqual(made[2].terminate(), scene.CLEAN)
        self.assert_refuses(made[2], scene.CONFIG, "tls.cert", f"expired on {end}")
        self.certify(made[2], "c")
        made[2].start()
        made.until_alive(3)

    def test_a_certificate_of_another_name(self):
        made = self.make()
        self.certify(made[2], "d")
        self.assert_refuses(made[2], scene.CONFIG, "tls.cert", "'d'", "node.name 'c'")
        made[2].config["node"]["name"] = "d"  # As whom it certainly may come.
        made.start()
        made.until_alive(3)

    def test_files_that_are_not_there_or_open_to_others(self):
        node = self.make()[2]
        key = node.config["tls"]["key"]
        key.chmod(0o640)
        self.assert_refuses(node, scene.CONFIG, "tls.key", key, "chmod 600")
        key.unlink()
        self.assert_refuses(node, scene.CONFIG, "tls.key", key, "hearsay tls issue --name c")
        code, said = scene.daemon("--config", node.folder / "hearsayd.toml", "--check-config")
        self.assertEqual(code, scene.CONFIG)
        self.assertIn("hearsay tls issue --name c", said)
        self.certify(node, "c")
        cluster.write_toml(node.folder / "hearsayd.toml", node.config)
        code, said = scene.daemon("--config", node.folder / "hearsayd.toml", "--check-config")
        self.assertEqual((code, said), (scene.CLEAN, ""))

    def test_a_node_of_another_cluster_of_this_ca(self):
        made = self.make()
        made[2].config["cluster"]["name"] = "other"
        made.start()
        for node in made.nodes[:2]:
            self.until_says(node, "its cluster is 'other'", "ours is 'test'")
        self.until_says(made[2], "its cluster is 'test'", "ours is 'other'")
        made.until_alive(2, nodes=made.nodes[:2])
        self.assert_goes_on(*made.nodes[:2])

    def test_revoked_while_it_runs(self):
        ca = authority(self, "mine")
        made = self.make(ca)
        made.start()
        made.until_alive(3)
        cluster.run("tls", "revoke", "--name", "c", "--dir", ca)
        for node in made.nodes[:2]:
            node.process.send_signal(signal.SIGHUP)
        began = time.monotonic()
        for node in made.nodes[:2]:
            self.until_says(node, "the certificate of 'c' (serial ", "was revoked")
        self.assertLess(time.monotonic() - began, 10)
        self.until_says(made[2], "it refused our certificate: revoked")
        made.until_alive(2, nodes=made.nodes[:2])
        self.assert_goes_on(*made.nodes[:2])
        # A new one is enough: no node is restarted.
        self.certify(made[2], "c", ca=ca)
        made[2].process.send_signal(signal.SIGHUP)
        made.until_alive(3)
        self.until("forgiven", lambda: not any(self.errors(n) for n in made.nodes))

    def test_one_in_the_clear(self):
        made = self.make()
        made[2].config["tls"] = {"mode": "off"}
        made.start()
        for node in made.nodes[:2]:
            self.until_says(node, "it speaks no TLS")
        self.until_says(made[2], "it speaks TLS, which is off here")
        made.until_alive(2, nodes=made.nodes[:2])
        self.assert_goes_on(*made.nodes[:2])


class Up(unittest.TestCase):
    """`hearsay up` makes certificates by itself."""

    def test_a_local_cluster_has_certificates(self):
        folder = scene.folder()
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        run = folder / "run"
        self.addCleanup(scene.hearsay, "down", "--dir", run)
        (folder / "probe.toml").write_text(
            '[test]\nprobe = "quadratic"\n[train]\nsteps = 100000\n')
        cluster.run("up", "--nodes", 3, "--config", folder / "probe.toml", "--dir", run,
                    "--wait")
        self.assertIn('mode = "mutual"', (run / "b/hearsayd.toml").read_text())
        for name in ("ca", "a", "b", "c"):
            self.assertEqual((run / f"tls/{name}.key").stat().st_mode & 0o777, 0o600)
        shown = json.loads(cluster.run("members", "-o", "json", "--dir", run).stdout)
        self.assertEqual({m["state"] for m in shown["members"]}, {"alive"})
        events = cluster.run("events", "--dir", run).stdout
        self.assertIn("the certificate of 'a' (serial ", events)


if __name__ == "__main__":
    unittest.main()
