"""A node that should not be let in comes again and again. Each scene ends with the
invariants (invariants.py): the others stay one ring and say why they refuse it,
nobody's training paused, ledgers whole, nothing leaked.

What else may be wrong with a certificate is in test_certificates.py."""

import datetime
import shutil
import unittest

import cluster
import invariants
import scene
from invariants import lasting, until_one_ring


class Stranger(scene.Faults):
    def withstands(self, prepare, *words, first=lambda nodes: None):
        """Four nodes and a fifth, e, that `prepare` makes wrong. `first` waits for
        what holds before it is refused for a reason with these `words`."""
        *nodes, e = everyone = self.started(5, late=1)
        self.ledgers = invariants.Ledgers(nodes)
        def come():
            prepare(e)
            e.start()
            first(everyone)
        def meanwhile():
            for node in nodes:
                self.until(f"{words} at {node.name}", lambda n=node: any(
                    m["state"] == "refused" and all(w in m["last_error"] for w in words)
                    for m in n.get("/v1/members")[1]["members"]))
            until_one_ring(nodes)
        self.withstand(come, e.kill, meanwhile, lasting(60, 5), watched=nodes, after=nodes)

    def certify(self, node, *flags, ca=None):
        for kind in ("pem", "key"):
            (node.folder / f"{node.name}.{kind}").unlink(missing_ok=True)
        node.config["tls"] = cluster.certified(node.folder, node.name, *flags, ca=ca)


class OtherAuthority(Stranger):
    def test_certificate_of_another_authority(self):
        ca = scene.folder()
        self.addCleanup(shutil.rmtree, ca, ignore_errors=True)
        cluster.run("tls", "init", "--dir", ca, "--name", "other")
        self.withstands(lambda e: self.certify(e, ca=ca), "certificate", "not signed by our CA")


class Expired(Stranger):
    def test_certificate_that_has_expired(self):
        # Nobody starts with one; it expires while its node is a member.
        def prepare(e):
            end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=8)
            self.certify(e, "--until", end.strftime("%Y-%m-%dT%H:%M:%SZ"))
        self.withstands(prepare, "certificate", "expired on",
                        first=lambda everyone: until_one_ring(everyone, 7))


class OtherCluster(Stranger):
    def test_node_of_another_cluster(self):
        def prepare(e):
            e.config["cluster"]["name"] = "elsewhere"
        self.withstands(prepare, "its cluster is 'elsewhere'", "ours is 'test'")


if __name__ == "__main__":
    unittest.main()
