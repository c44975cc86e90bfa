"""Folders that are put back in time, checkpoints and ledger together, so that a
node by itself cannot notice: the members that it comes back to do."""

import shutil
import unittest

import scene
from scene import CLEAN, LEDGER


class Rollback(scene.NodeTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shards = scene.Shards(rows=4000, count=2)
        cls.addClassCleanup(cls.shards.remove)

    def setUp(self):
        self.pair = self.nodes(2, self.shards.sections)
        self.a, self.b = self.pair.nodes
        self.pair.start()
        self.trains_past(self.a, 40)
        self.assertEqual(self.a.terminate(), CLEAN)
        self.old = self.copy("old")
        self.a.start()
        self.trains_past(self.a, self.at() + 80)
        self.assertEqual(self.a.terminate(), CLEAN)
        self.newest = self.copy("newest")

    def at(self):
        """The step that a's newest checkpoint is of."""
        return int(scene.metadata(scene.checkpoints(self.a)[-1])["hearsay.step"])

    def trains_past(self, node, step):
        self.until(f"past {step}", lambda: node.own()["step"] > step)

    def copy(self, name):
        to = self.a.folder / name
        for part in ("state", "ledger"):
            shutil.copytree(self.a.folder / part, to / part,
                            ignore=shutil.ignore_patterns("admin*"))
        return to

    def put_back(self, copy):
        for part in ("state", "ledger"):
            shutil.rmtree(self.a.folder / part)
            shutil.copytree(copy / part, self.a.folder / part)

    def refuses(self, *words):
        before = scene.ledger(self.a).read_bytes()
        self.assert_refuses(self.a, LEDGER, self.a.folder / "ledger", "b remembers",
                            "restore", *words)
        self.assertEqual(scene.ledger(self.a).read_bytes(), before)

    def test_members_notice_what_the_folder_cannot_say(self):
        self.put_back(self.old)
        self.refuses("rolled back")
        # It does not wear off, nor end with the process that remembers.
        self.assertEqual(self.b.terminate(), CLEAN)
        self.b.start()
        self.until("up", lambda: self.b.own()["step"] > 0)
        self.refuses("rolled back")
        # What was put right is let in, and pays on.
        self.put_back(self.newest)
        self.a.start()
        self.trains_past(self.a, self.at() + 20)
        self.assertEqual(self.pair.stop(), [CLEAN, CLEAN])

    def test_a_ledger_begun_anew_for_the_same_data_is_refused(self):
        for part in ("state", "ledger"):
            shutil.rmtree(self.a.folder / part)
        self.a.config["cluster"]["expect"] = 1
        self.assert_refuses(self.a, LEDGER, "lost or replaced", "b remembers", "restore")
        # Without anybody who remembers, it is a node like any other.
        self.assertEqual(self.b.terminate(), CLEAN)
        for part in ("state", "ledger"):
            shutil.rmtree(self.a.folder / part)
        self.a.start()
        self.trains_past(self.a, 5)

    def test_one_that_comes_back_while_nobody_is_there_stops_when_it_is_met(self):
        self.assertEqual(self.b.terminate(), CLEAN)
        self.put_back(self.old)
        self.a.log.write_text("")
        self.a.start()
        self.until("trains alone", lambda: self.a.own()["state"] == "training")
        self.b.start()
        self.assert_ended(self.a, LEDGER, "b remembers", "rolled back")

    def test_one_that_went_on_alone_past_what_is_remembered_stops_too(self):
        def records(folder):
            return (folder / "ledger/ledger").read_text().count("\n")

        self.assertEqual(self.b.terminate(), CLEAN)
        self.put_back(self.old)
        self.a.log.write_text("")
        self.a.start()
        past = records(self.newest) + 2
        self.until("past the mark", lambda: records(self.a.folder) > past)
        self.b.start()
        self.assert_ended(self.a, LEDGER, "b remembers", "rolled back")


if __name__ == "__main__":
    unittest.main()
