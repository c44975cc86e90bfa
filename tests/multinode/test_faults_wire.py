"""A test peer between the nodes (proxy.py) alters, cuts, repeats and holds back what
they send to one of them, c. Each scene ends with the invariants (invariants.py): one
ring, nobody's training paused, ledgers whole, nothing leaked."""

import collections
import re
import time
import unittest

import cluster
import proxy
import scene
from invariants import (Footprints, Watch, lasting, ports, until_mixing,
                        until_one_ring)

MIB = 1 << 20


def dropped(node):
    """Pieces that it dropped, by reason, whoever sent them."""
    counted = collections.Counter()
    for reason, times in re.findall(r'exchange_dropped_total{.*reason="(.*)"} (\d+)',
                                    node.get("/metrics")[1].decode()):
        counted[reason] += int(times)
    return counted


class Wire(scene.Faults):
    SEALED = True  # Else in the clear: no TLS, no seals.

    def behind_proxies(self, count, sections=None, **changes):
        """Nodes that meet at proxies. Returns them; c's is self.proxy."""
        inner, outer = (cluster.free_ports(count) for _ in range(2))
        self.proxies = [proxy.Proxy(there, here) for here, there in zip(inner, outer)]
        for one in self.proxies:
            self.addCleanup(one.close)
        self.proxy = self.proxies[2]
        def prepare(nodes):
            for node, here, there in zip(nodes, inner, outer):
                node.config["cluster"].update(
                    listen=f"127.0.0.1:{here}", advertise=f"127.0.0.1:{there}",
                    peers=[f"127.0.0.1:{other}" for other in outer if other != there],
                    wire="socket")
        return self.started(count, sections=sections, prepare=prepare, tls=self.SEALED,
                            **changes)

    def strike(self, *faults, share=1.0):
        self.proxy.fault, self.proxy.share = proxy.any_of(*faults), share


class Altered(Wire):
    def test_every_message_is_altered_or_cut(self):
        # c hears nothing that is right; the others go around it.
        a, b, c, d = self.behind_proxies(4)
        self.withstand(
            lambda: self.strike(proxy.altered_payload, proxy.altered_header,
                                proxy.altered_lengths, proxy.shortened, proxy.truncated,
                                proxy.replaced, proxy.swallowed),
            # Those who seem to have altered it are quarantined for longer and longer.
            self.proxy.cure, lambda: until_mixing([a, b, d]), lasting(60, 5),
            within=lasting(240, 90))


class ControlAltered(Wire):
    def test_a_session_that_is_altered_ends_alone(self):
        a, b, c, d = self.behind_proxies(4)
        for one in self.proxies:
            one.whose = lambda port, own=one is self.proxy: own or port in ports(c)
        def now_and_then(block, chance):
            return proxy.flipped(block, chance) if chance.random() < 0.2 else block
        def strike():
            for one in self.proxies:
                one.control = now_and_then
        def cure():
            for one in self.proxies:
                one.cure()
        def meanwhile():
            def done():
                return sum(one.done for one in self.proxies)
            touched = done()
            self.until("altered", lambda: done() > touched + 20)
            until_mixing([a, b, d])
        self.withstand(strike, cure, meanwhile, lasting(60, 5), within=60,
                       watched=[a, b, d], peace=[a, b, d])


class Repeated(Wire):
    def test_every_message_comes_again_and_again(self):
        # Where pieces are sealed c takes it for an offence of theirs, and is alone.
        a, b, c, d = nodes = self.behind_proxies(4)
        self.withstand(lambda: self.strike(proxy.duplicated, proxy.replayed),
                       self.proxy.cure, lambda: until_mixing([a, b, d]), lasting(60, 5),
                       within=60, peace=nodes)


class HeldBack(Wire):
    def test_longer_than_a_deadline(self):
        a, b, c, d = nodes = self.behind_proxies(4)
        def strike():
            self.proxy.delay = 3.0
        self.withstand(strike, self.proxy.cure, lambda: until_mixing([a, b, d]),
                       lasting(60, 5), within=60, peace=nodes)


class Untouched(Wire):
    """On weights that do not move and are the same everywhere, exchanges change
    nothing: whatever was let in that is not what was sent is seen, to the bit."""

    DIMENSION = 1 << 14
    # Why c drops what was altered so; nothing: it need not notice.
    REASONS = {proxy.altered_payload: ["forged"], proxy.altered_header: ["checksum"],
               proxy.altered_lengths: [], proxy.shortened: ["size"], proxy.truncated: [],
               proxy.duplicated: ["replayed"], proxy.replayed: ["replayed", "stale"],
               proxy.replaced: [], proxy.swallowed: []}

    def sections(self, i):
        return {"train": {"steps": 10**9, "learning_rate": 1e-30},
                "test": {"probe": "quadratic", "dimension": self.DIMENSION, "index": 0,
                         "step_time": "20ms"},
                "checkpoint": {"every_steps": 1000}}

    def test_nothing_altered_is_let_in(self):
        nodes = self.behind_proxies(4, self.sections)
        c = nodes[2]
        for fault, reasons in self.REASONS.items():
            touched = self.proxy.done
            self.strike(fault, share=0.2)
            self.until(f"{fault.__name__} often enough",
                       lambda: self.proxy.done > touched + 3)
            self.until(f"{fault.__name__} counted as {reasons}", lambda: not reasons or any(
                dropped(c)[reason] for reason in reasons))
            self.proxy.cure()
            print(fault.__name__, dict(+dropped(c)))
            # A new process has quarantined nobody, and begins with others' weights.
            self.assertEqual(c.terminate(), scene.CLEAN)
            c.start()
            self.cluster.until_ready(nodes=[c])
            until_one_ring(nodes, 60)
        half = self.DIMENSION // 2
        for node in nodes:
            strange = {i: w for i, w in enumerate(node.weights())
                       if abs(w - (i >= half)) > 1e-20}
            self.assertEqual(strange, {}, node.name)
        self.assertEqual(self.cluster.stop(), [scene.CLEAN] * 4)


class AlteredInTheClear(Altered):
    SEALED = False


class RepeatedInTheClear(Repeated):
    SEALED = False


class UntouchedInTheClear(Untouched):
    SEALED = False
    REASONS = {**Untouched.REASONS, proxy.altered_payload: ["checksum"],
               proxy.duplicated: ["late"], proxy.replayed: ["late"]}


class FullQueue(Wire):
    """c is alive but reads no arrays, which do not fit into any socket's buffers."""

    ARRAY = 8 * MIB

    def sections(self, i):
        return {"train": {"steps": 10**9, "learning_rate": 0.01},
                "mixing": {"interval": "300ms"},
                "test": {"probe": "quadratic", "dimension": self.ARRAY // 4, "index": i,
                         "step_time": "100ms"},
                "checkpoint": {"every_steps": 10**6}}

    def test_a_peer_that_does_not_read(self):
        a, b, c, d = nodes = self.behind_proxies(4, self.sections, within=60, window=3)
        def stall():
            self.proxy.stalled = True
        def once(seconds):
            stall()
            time.sleep(seconds)
            until_mixing([a, b, d], window=3)
            self.proxy.cure()
            return until_one_ring(nodes, 60, window=3)
        once(3)
        before = Footprints([a, b, d], 4)
        with Watch([a, b, d]) as watch:
            once(lasting(60, 8))
        # Who holds large weights may lose the core meanwhile, on a busy machine.
        watch.assert_never_paused(stalled=0.05)
        for name, (*_, kib) in before.before.items():
            grown = (watch.resident_kib[name] - kib) / 1024
            print(f"{name}: at most {grown:+.0f} MiB")
            self.assertLess(grown, 3 * self.ARRAY / MIB)
        # The pool keeps what it once needed.
        before.assert_back(resident_mib=3 * self.ARRAY // MIB)
        self.assertEqual(self.cluster.stop(), [scene.CLEAN] * 4)


if __name__ == "__main__":
    unittest.main()
