"""Bad input: whatever an operator, a disk or another tool gets wrong, hearsayd
says it in one clear line and ends with the documented status, and neither ledger
nor checkpoint has changed by a byte."""

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
import unittest

import scene
from scene import ADDRESS, CLEAN, CONFIG, DATA, LEDGER, REFUSED, STATE

shards = None


def setUpModule():
    global shards
    shards = scene.Veteran.shards = scene.Shards(rows=4000, count=2)
    unittest.addModuleCleanup(shards.remove)


class Fresh(scene.NodeTest):
    """A node that has never run."""

    def node(self, **changes):
        return self.nodes(1, lambda i: shards.sections(i, **changes))[0]

    def assert_nothing_made(self, node):
        made = sorted(p.name for p in node.folder.iterdir())
        self.assertEqual([n for n in made if n not in ("hearsayd.toml", "log")], [])


class Configuration(Fresh):
    def refuses(self, node, *words, flags=()):
        self.assert_refuses(node, CONFIG, *words, flags=flags)
        self.assert_nothing_made(node)

    def test_unknown_key_names_file_line_and_nearest(self):
        node = self.node(train__setps=5)
        self.refuses(node, "hearsayd.toml:", "train.setps", "train.steps")
        lines = (node.folder / "hearsayd.toml").read_text().splitlines()
        at = lines.index("setps = 5") + 1
        self.assertIn(f"hearsayd.toml:{at}:", self.errors_of(node)[0])

    def test_unknown_section(self):
        self.refuses(self.node(trian__steps=5), "trian")

    def test_wrong_type(self):
        self.refuses(self.node(train__steps="many"), "train.steps")

    def test_value_out_of_range(self):
        self.refuses(self.node(train__sample_rate=1.5), "train.sample_rate", "1")

    def test_missing_key(self):
        self.refuses(self.node(privacy__ledger=None), "privacy.ledger", "required")

    def test_address_that_is_none(self):
        self.refuses(self.node(admin__listen="127.0.0.1"), "admin.listen", "HOST:PORT")

    def test_flag_with_a_bad_value(self):
        self.refuses(self.node(), "train.steps", flags=("--set", "train.steps=few"))

    def test_broken_syntax(self):
        node = self.node(train__steps=3)
        node.config["train"] = {"steps =": 3}
        self.refuses(node, "hearsayd.toml")

    def test_model_that_does_not_fit_the_data(self):
        node = self.node()
        node.config["model.layer"][-1]["units"] = 7
        self.assert_refuses(node, CONFIG, "7 units", "2 classes")

    def test_a_gpu_that_is_not_there(self):
        node = self.node()
        node.config["node"]["device"] = "cuda:99"
        self.assert_refuses(node, CONFIG, "node.device", "cuda:99 cannot be used", "set auto")

    def test_missing_file(self):
        file = self.node().folder / "nowhere.toml"
        code, error = scene.daemon("--config", file)
        self.assertEqual(code, CONFIG)
        self.assertRegex(error, f"^hearsayd: {file}: .*No such file.*\n$")

    def test_folder_instead_of_a_file(self):
        folder = self.node().folder
        code, error = scene.daemon("--config", folder)
        self.assertEqual(code, CONFIG)
        self.assertRegex(error, f"^hearsayd: {folder}: .+\n$")

    def test_unknown_flag(self):
        code, error = scene.daemon("--confog", "x")
        self.assertEqual(code, scene.USAGE)
        self.assertIn("--help", error)

    def test_state_folder_too_deep_for_a_socket(self):
        deep = "/".join(["d" * 40] * 3)
        self.assert_refuses(self.node(node__state_dir=deep), CONFIG, "node.state_dir")


class Data(Fresh):
    def setUp(self):
        self.one = self.node()
        self.shard = self.one.folder / "shard.safetensors"
        shutil.copy(shards.train[0], self.shard)
        self.one.config["data"]["train"] = str(self.shard)

    def refuses(self, *words):
        self.assert_refuses(self.one, DATA, self.shard, *words)
        self.assertFalse((self.one.folder / "ledger").exists())

    def test_missing_shard(self):
        self.shard.unlink()
        self.refuses("No such file")

    def test_folder_instead_of_a_shard(self):
        self.shard.unlink()
        self.shard.mkdir()
        self.refuses()

    def test_file_of_another_kind(self):
        shutil.copy(shards.csv, self.shard)
        self.refuses()

    def test_truncated_shard(self):
        whole = self.shard.read_bytes()
        for size in (0, 1, 7, 8, 100, len(whole) // 2, len(whole) - 1):
            with self.subTest(size=size):
                self.shard.write_bytes(whole[:size])
                self.refuses()

    def test_one_byte_too_many(self):
        self.shard.write_bytes(self.shard.read_bytes() + b"\0")
        self.refuses()

    def test_flipped_bit(self):
        whole = self.shard.read_bytes()
        header = 8 + struct.unpack("<Q", whole[:8])[0]
        for at in (0, 7, 8, 40, header // 2, header, (header + len(whole)) // 2, -1):
            with self.subTest(at=at):
                self.shard.write_bytes(whole)
                scene.flip(self.shard, at, bit=at % 8)
                self.refuses()

    # Whole by their checksum, and still nothing to train on.

    def rewrite(self, change):
        tensors, meta = scene.read_safetensors(self.shard)
        scene.write_safetensors(self.shard, change(dict(tensors)), meta)

    def with_label(self, raw):
        def change(tensors):
            dtype, shape, data = tensors["labels"]
            return {**tensors, "labels": (dtype, shape, data[:40] + raw + data[44:])}
        return change

    def test_rewritten_shard_is_welcome(self):
        # Or the tests below would prove nothing.
        self.rewrite(lambda tensors: tensors)
        self.one.config["train"]["steps"] = 1
        self.one.start()
        self.until("finished", lambda: self.one.own()["state"] == "finished")
        self.assertEqual(self.one.terminate(), CLEAN)

    def test_shard_without_a_checksum(self):
        data = self.shard.read_bytes()
        self.shard.write_bytes(data.replace(b"hearsay.checksum", b"hearsay.chicksum"))
        self.refuses("checksum")

    def test_empty_shard(self):
        self.rewrite(lambda tensors: {
            name: (dtype, [0] + shape[1:], b"")
            for name, (dtype, shape, _) in tensors.items()})
        self.refuses("no rows")

    def test_label_that_is_not_a_number(self):
        self.rewrite(self.with_label(struct.pack("<f", float("nan"))))
        self.refuses("row 10", "label")

    def test_label_of_no_class(self):
        self.rewrite(self.with_label(struct.pack("<f", 2)))
        self.refuses("row 10", "label")

    def test_value_that_is_not_a_number(self):
        # pums-employed has no numeric column: give it one.
        schema = self.one.folder / "numeric.toml"
        schema.write_text(
            'name = "t"\n[label]\nname = "y"\nclasses = [{name = "no", when = "y = 0"},'
            ' {name = "yes", when = "y = 1"}]\n'
            '[[column]]\nname = "x"\nkind = "numeric"\nmin = 0\nmax = 10\n')
        rows = self.one.folder / "rows.csv"
        rows.write_text("x,y\n" + "\n".join(f"{i % 10},{i % 2}" for i in range(50)) + "\n")
        scene.must("prep", "--schema", schema, rows, "--out", self.one.folder / "made")
        shutil.copy(self.one.folder / "made/part-0.safetensors", self.shard)
        self.one.config["data"].pop("eval")

        def change(tensors):
            dtype, shape, data = tensors["values"]
            nan = struct.pack("<f", float("nan"))
            return {**tensors, "values": (dtype, shape, data[:12] + nan + data[16:])}
        self.rewrite(change)
        self.refuses("row 3", "column x", "not finite")

    def test_evaluation_shard_of_other_columns(self):
        schema = self.one.folder / "other.toml"
        schema.write_text(scene.SCHEMA.read_text().replace("width = 5", "width = 10"))
        out = self.one.folder / "other"
        scene.must("prep", "--schema", schema, shards.csv, "--out", out)
        self.one.config["data"]["eval"] = str(out / "part-0.safetensors")
        self.assert_refuses(self.one, DATA, "other/part-0", "one schema")


class Addresses(scene.Veteran):
    def taken(self):
        holder = socket.socket()
        self.addCleanup(holder.close)
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        return holder, f"127.0.0.1:{holder.getsockname()[1]}"

    def test_cluster_port_taken(self):
        holder, address = self.taken()
        self.node.config["cluster"]["listen"] = address
        self.refuses(ADDRESS, address, "in use")
        holder.close()
        self.runs_again()

    def test_admin_port_taken(self):
        holder, address = self.taken()
        self.node.config["admin"] = {"listen": address}
        self.refuses(ADDRESS, address, "admin", "in use")
        holder.close()
        self.runs_again()


class Checkpoints(scene.Veteran):
    def damages(self, path):
        whole = path.read_bytes()
        for size in (0, 8, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:size])
            yield f"cut to {size}"
        for at in (0, 20, len(whole) // 3, len(whole) // 2, -1):
            path.write_bytes(whole)
            scene.flip(path, at, bit=3)
            yield f"bit flipped at {at}"
        path.write_bytes(whole)

    def test_newest_damaged_falls_back_to_the_one_before(self):
        before, newest = scene.checkpoints(self.node)[-2:]
        step = int(scene.metadata(before)["hearsay.step"])
        weights = scene.cluster.safetensors(before.read_bytes())[1]
        for damage in self.damages(newest):
            with self.subTest(damage):
                kept = self.kept()
                self.node.log.write_text("")
                # No step more, so that nothing new is written but the end.
                self.node.start("--set", "train.steps=0")
                self.until("finished", lambda: self.node.own()["state"] == "finished")
                self.assertEqual(self.node.own()["step"], step)
                self.assertIn(f"skipped: {newest}", self.node.said())
                self.assertEqual(self.node.terminate(), CLEAN)
                after = self.kept()
                self.assertEqual(scene.cluster.safetensors(after.pop(str(before)))[1],
                                 weights)
                kept.pop(str(before))
                self.assertEqual(after, kept)

    def test_all_damaged(self):
        for path in scene.checkpoints(self.node):
            scene.flip(path, -1)
        self.refuses(STATE, "checkpoints", "no whole checkpoint", "move")

    def test_all_truncated(self):
        for path in scene.checkpoints(self.node):
            path.write_bytes(path.read_bytes()[:-1])
        self.refuses(STATE, "no whole checkpoint")

    def test_of_another_node(self):
        self.node.config["node"]["name"] = "z"
        self.node.config["tls"] = scene.cluster.certified(self.node.folder, "z")
        self.refuses(STATE, "node a", "z")

    def test_of_another_cluster(self):
        self.node.config["cluster"]["name"] = "elsewhere"
        self.refuses(STATE, "cluster test", "elsewhere")

    def test_of_another_model(self):
        self.node.config["model.layer"][0]["units"] = 5
        self.refuses(STATE, "model")

    def test_of_another_optimizer(self):
        self.node.config["train"]["optimizer"] = "adam"
        self.refuses(STATE, "train.optimizer")

    def test_halves_that_a_crash_left_are_swept_away(self):
        half = self.node.folder / "state/checkpoints/step-000000000070.safetensors.1-0.tmp"
        half.write_bytes(b"half")
        self.runs_again()
        self.assertFalse(half.exists())


class Ledgers(scene.Veteran):
    def setUp(self):
        super().setUp()
        self.ledger = scene.ledger(self.node)
        self.whole = self.ledger.read_bytes()

    def test_flipped_bit(self):
        lines = self.whole.splitlines(keepends=True)
        self.assertGreater(len(lines), 3)
        first, second = len(lines[0]), len(lines[0]) + len(lines[1])
        for at in (0, 20, first - 5, first, first + 15, second - 5, second + 10,
                   len(self.whole) - len(lines[-1]) + 4, len(self.whole) - 5,
                   len(self.whole) - 1):
            with self.subTest(at=at):
                self.ledger.write_bytes(self.whole)
                scene.flip(self.ledger, at, bit=1)
                self.refuses(LEDGER, self.node.folder / "ledger")
        self.ledger.write_bytes(self.whole)
        self.runs_again()

    def test_truncated(self):
        newline = self.whole.rindex(b"\n", 0, -1)
        for size in (0, 10, self.whole.index(b"\n") + 1, newline - 3, newline + 1,
                     newline + 20):
            with self.subTest(size=size):
                self.ledger.write_bytes(self.whole[:size])
                self.refuses(LEDGER, self.node.folder / "ledger")

    def test_deleted_while_a_checkpoint_exists(self):
        self.ledger.unlink()
        self.refuses(LEDGER, "ledger", "restore")
        self.assertFalse(self.ledger.exists())
        self.ledger.write_bytes(self.whole)
        self.runs_again()

    def test_rolled_back(self):
        self.runs_again(at_least=120)
        newest = self.ledger.read_bytes()
        self.ledger.write_bytes(self.whole)
        self.refuses(LEDGER, "rolled back", "restore")
        self.ledger.write_bytes(newest)
        self.runs_again(at_least=120)

    def test_begun_anew_without_the_checkpoint_keeps_counting(self):
        # Moving the checkpoints aside is allowed; what was spent stays spent.
        before = scene.charged_steps(self.ledger)
        shutil.rmtree(self.node.folder / "state")
        self.runs_again(at_least=5)
        self.assertTrue(self.ledger.read_bytes().startswith(self.whole))
        self.assertGreaterEqual(scene.charged_steps(self.ledger), before + 5)

    def test_of_another_data_set(self):
        self.node.config["data"]["train"] = str(shards.train[1])
        shutil.rmtree(self.node.folder / "state")
        before = self.ledger.read_bytes()
        self.assert_refuses(self.node, LEDGER, self.ledger, "data set")
        self.assertEqual(self.ledger.read_bytes(), before)

    def test_held_by_another_process(self):
        with open(self.ledger, "rb+") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            self.refuses(LEDGER, self.ledger, "in use")
        self.runs_again()

    def test_held_by_another_node(self):
        self.node.start()
        self.until("trains", lambda: self.node.own()["state"] == "training")
        other = self.nodes(1, shards.sections, names=["b"])[0]
        other.config["privacy"]["ledger"] = str(self.node.folder / "ledger")
        self.assert_refuses(other, LEDGER, "in use", f"process {self.node.process.pid}")
        self.assertEqual(self.node.terminate(), CLEAN)


class Others(scene.NodeTest):
    """What a second node gets wrong; the first trains on through all of it."""

    def pair(self, **options):
        pair = self.nodes(2, shards.sections, **options)
        for node in pair.nodes:
            node.config["cluster"]["expect"] = 1
        return pair

    def assert_trains(self, node):
        step = node.own()["step"]
        self.until("trains on", lambda: node.own()["step"] > step)

    def events(self, node):
        return " / ".join(e["text"] for e in node.get("/v1/events")[1]["events"])

    def test_two_nodes_of_one_name(self):
        pair = self.pair()
        first, second = pair.nodes
        second.config["node"]["name"] = "a"
        own = second.config["tls"]
        second.config["tls"] = scene.cluster.certified(second.folder, "a")
        first.start()
        pair.until_state("training", nodes=[first])
        second.start()
        self.assert_ended(second, REFUSED, "two nodes named 'a'",
                          first.config["cluster"]["listen"],
                          second.config["cluster"]["listen"], "node.name")
        self.assert_trains(first)
        self.assertEqual(first.terminate(), CLEAN)
        # Nothing of it was damaged: under a name of its own it is welcome.
        second.config["node"]["name"] = "b"
        second.config["tls"] = own
        shutil.rmtree(second.folder / "state")
        first.start()
        second.start()
        pair.until_alive(2)

    def test_one_name_and_one_folder(self):
        # A daemon started twice by mistake.
        pair = self.pair()
        first, second = pair.nodes
        first.start()
        pair.until_state("training", nodes=[first])
        self.until("a checkpoint", lambda: scene.checkpoints(first))
        second.config["node"] = {"name": "a", "state_dir": str(first.folder / "state")}
        second.config["tls"] = first.config["tls"]
        second.config["privacy"]["ledger"] = str(first.folder / "ledger")
        self.assert_refuses(second, LEDGER, "in use", f"process {first.process.pid}")
        self.assert_trains(first)

    def refused_both_ways(self, pair, *values):
        pair.start()
        for node in pair.nodes:
            for value in values:
                pair.until(f"told {value}", lambda n, v=value: v in self.events(n),
                           nodes=[node])
            self.until("shown as refused", lambda n=node: any(
                m["state"] == "refused" and all(v in m["last_error"] for v in values)
                for m in n.get("/v1/members")[1]["members"]))
            self.assertEqual(node.status()["cluster"]["members_alive"], 1)
            self.assert_trains(node)
        self.assertEqual(pair.stop(), [CLEAN, CLEAN])

    def fingerprint(self, node):
        said = next(line for line in node.said().splitlines() if "; model " in line)
        return said.split("; model ")[1].split(",")[0]

    def test_another_model(self):
        pair = self.pair()
        pair[1].config["model.layer"][0]["units"] = 6
        pair.start()
        pair.until_ready()
        both = {self.fingerprint(node) for node in pair.nodes}
        self.assertEqual(len(both), 2)
        pair.stop()
        self.refused_both_ways(pair, *both)

    def test_another_rule(self):
        pair = self.pair()
        pair[1].config["mixing"] = {"rule": "one_way"}
        self.refused_both_ways(pair, ",pairwise,fp32", ",one_way,fp32")

    def test_another_cluster(self):
        pair = self.pair()
        pair[1].config["cluster"]["name"] = "rival"
        self.refused_both_ways(pair, "'test'", "'rival'")


class Signals(scene.Veteran):
    def consistent(self):
        """Nothing that a checkpoint holds is unpaid."""
        charged = scene.charged_steps(scene.ledger(self.node))
        for path in scene.checkpoints(self.node):
            self.assertGreaterEqual(charged, int(scene.metadata(path)["hearsay.step"]))

    def test_term_at_any_moment(self):
        self.node.config["checkpoint"]["every_steps"] = 2
        self.node.config["train"]["min_step_time"] = "1ms"
        reached = 60
        for ms in (0, 1, 2, 5, 10, 15, 20, 25, 30, 40, 50, 70, 100, 150, 200, 400):
            with self.subTest(ms=ms):
                self.node.log.write_text("")
                before = self.kept()
                self.node.start()
                time.sleep(ms / 1000)  # The moment is what is tested.
                code = self.node.terminate()
                if code == -signal.SIGTERM:
                    # Before main(): the loader was still at work.
                    self.assertEqual(self.node.said(), "")
                    self.assertEqual(self.kept(), before)
                    continue
                self.assertEqual(code, CLEAN, self.node.said())
                self.assertEqual(self.errors_of(self.node), [])
                self.consistent()
                step = int(scene.metadata(scene.checkpoints(self.node)[-1])["hearsay.step"])
                self.assertGreaterEqual(step, reached)
                reached = step
        self.runs_again(at_least=reached)

    def held_while_starting(self):
        """The node started and held, for sure, in the middle of its start: its
        configuration is a pipe. Returns what makes it go on."""
        scene.cluster.write_toml(self.node.folder / "hearsayd.toml", self.node.config)
        text = (self.node.folder / "hearsayd.toml").read_bytes()
        file = self.node.folder / "pipe.toml"
        file.unlink(missing_ok=True)
        os.mkfifo(file)
        with open(self.node.log, "ab") as log:
            self.node.process = subprocess.Popen([scene.HEARSAYD, "--config", file],
                                                 stdout=log, stderr=log)
        pipe = []

        def opened():  # Fails until the daemon has opened its end.
            pipe.append(os.open(file, os.O_WRONLY | os.O_NONBLOCK))
            return True
        self.until("reading", opened)

        def go_on():
            os.write(pipe[0], text)
            os.close(pipe.pop())
        self.addCleanup(lambda: pipe and os.close(pipe[0]))
        return go_on

    def test_term_while_starting_is_kept(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                go_on = self.held_while_starting()
                self.node.process.send_signal(number)
                go_on()
                self.assertEqual(self.node.wait(), CLEAN, self.node.said())
                self.assertIn("stopping", self.node.said())
        self.runs_again()

    def test_second_int_ends_at_once(self):
        before = self.kept()
        self.held_while_starting()
        self.node.process.send_signal(signal.SIGINT)
        # Two of one kind that wait are one: the first must have been taken.
        self.until("taken", lambda: not self.pending(signal.SIGINT))
        time.sleep(0.05)
        self.assertIsNone(self.node.process.poll())
        self.node.process.send_signal(signal.SIGINT)
        self.assertEqual(self.node.wait(), 1)
        self.assertEqual(self.kept(), before)
        self.runs_again()

    def pending(self, number):
        status = scene.pathlib.Path(f"/proc/{self.node.process.pid}/status").read_text()
        mask = next(int(line.split()[1], 16) for line in status.splitlines()
                    if line.startswith("ShdPnd:"))
        return bool(mask >> (number - 1) & 1)

    def events(self):
        return " / ".join(e["text"] for e in self.node.get("/v1/events")[1]["events"])

    def hup(self, section=None, key=None, value=None):
        if section:
            self.node.config[section][key] = value
        scene.cluster.write_toml(self.node.folder / "hearsayd.toml", self.node.config)
        self.node.process.send_signal(signal.SIGHUP)

    def test_hup_takes_a_lower_budget_and_reports_the_rest(self):
        self.node.config["privacy"]["target_epsilon"] = 50.0
        self.node.config["log"] = {"level": "info"}
        self.node.start()
        self.until("trains", lambda: self.node.own()["state"] == "training")
        target = lambda: self.node.own()["privacy"]["target_epsilon"]
        self.hup("privacy", "target_epsilon", 40.0)
        self.until("lower", lambda: target() == 40.0)
        self.hup("privacy", "target_epsilon", 45.0)
        self.until("reported", lambda: "only be lowered" in self.events())
        self.assertEqual(target(), 40.0)
        self.hup("privacy", "target_epsilon", 40.0)
        self.hup("train", "learning_rate", 0.25)
        self.until("reported", lambda: "need a restart" in self.events())
        # A target that is spent already ends training, and nothing else.
        self.hup("privacy", "target_epsilon", 0.01)
        self.until("exhausted", lambda: self.node.own()["state"] == "exhausted")
        self.assertEqual(self.node.terminate(), CLEAN)
        self.assertEqual(self.errors_of(self.node), [])

    def test_hup_with_a_broken_file_changes_nothing(self):
        self.node.start()
        self.until("trains", lambda: self.node.own()["state"] == "training")
        (self.node.folder / "hearsayd.toml").write_text("[train\n")
        self.node.process.send_signal(signal.SIGHUP)
        self.until("reported", lambda: "not reloaded" in self.events())
        (self.node.folder / "hearsayd.toml").unlink()
        self.node.process.send_signal(signal.SIGHUP)
        self.until("reported", lambda: "No such file" in self.events())
        step = self.node.own()["step"]
        self.until("trains on", lambda: self.node.own()["step"] > step)
        self.assertEqual(self.node.terminate(), CLEAN)

    def test_usr2_drains(self):
        self.node.start()
        self.until("trains", lambda: self.node.own()["state"] == "training")
        self.node.process.send_signal(signal.SIGUSR2)
        self.until("draining", lambda: self.node.own()["state"] == "draining")
        step = self.node.own()["step"]
        paid = scene.charged_steps(scene.ledger(self.node))
        self.assertGreaterEqual(paid, step)
        self.assertEqual(self.node.get("/readyz")[0], 200)
        time.sleep(0.2)
        self.assertEqual(self.node.own()["step"], step)
        self.assertEqual(scene.charged_steps(scene.ledger(self.node)), paid)
        self.assertEqual(self.node.terminate(), CLEAN)
        self.runs_again(at_least=step)


class Csv(unittest.TestCase):
    """Through `hearsay prep`."""

    def setUp(self):
        self.folder = scene.folder()
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.csv = self.folder / "people.csv"
        self.lines = shards.csv.read_text().splitlines()[:40]

    def refuses(self, *words, lines=None, schema=scene.SCHEMA):
        if lines is not None:
            self.csv.write_text("".join(line + "\n" for line in lines))
        out = self.folder / "out"
        code, stdout, stderr = scene.hearsay("prep", "--schema", schema, self.csv,
                                             "--eval-fraction", "0.1", "--strict",
                                             "--out", out)
        self.assertEqual(code, 1, stderr)
        self.assertEqual(stdout, "")
        self.assertEqual(len(stderr.splitlines()), 1, stderr)
        for word in words:
            self.assertIn(str(word), stderr)
        self.assertEqual(list(out.rglob("*")) if out.exists() else [], [])

    def test_good_lines_pass(self):
        self.csv.write_text("\n".join(self.lines) + "\n")
        self.assertEqual(scene.hearsay("prep", "--schema", scene.SCHEMA, self.csv,
                                       "--out", self.folder / "out")[0], 0)

    def test_too_few_columns(self):
        lines = self.lines.copy()
        lines[20] = lines[20].rsplit(",", 1)[0]
        self.refuses(f"{self.csv}:21", lines=lines)

    def test_too_many_columns(self):
        lines = self.lines.copy()
        lines[20] += ",1"
        self.refuses(f"{self.csv}:21", lines=lines)

    def test_not_a_number(self):
        at = self.lines[0].split(",").index("AGEP")
        for word in ("NaN", "nan", "inf", "old"):
            with self.subTest(word):
                lines = self.lines.copy()
                cells = lines[7].split(",")
                cells[at] = word
                lines[7] = ",".join(cells)
                self.refuses(f"{self.csv}:8", "AGEP", word, lines=lines)

    def test_empty_file(self):
        self.refuses(self.csv, lines=[])

    def test_header_alone(self):
        self.refuses(lines=self.lines[:1])

    def test_missing_column(self):
        self.refuses("AGEP", lines=[line.replace("AGEP", "AGE") for line in self.lines])

    def test_missing_file(self):
        self.refuses(self.csv)

    def test_broken_gzip(self):
        import gzip
        packed = gzip.compress("\n".join(self.lines).encode())
        self.csv = self.folder / "people.csv.gz"
        self.csv.write_bytes(packed[:len(packed) // 2])
        self.refuses(self.csv)


if __name__ == "__main__":
    unittest.main()
