"""Disks that are read-only or full, at the start and while training: one clear
line, nothing lost, and never a step that is not paid for. Needs to mount tmpfs,
so root; skipped, visibly, where that is not allowed."""

import contextlib
import os
import pathlib
import shutil
import unittest

import scene
from scene import CLEAN, LEDGER, STATE


def setUpModule():
    shards = scene.Veteran.shards = scene.Shards(rows=4000)
    unittest.addModuleCleanup(shards.remove)


class Disks(scene.Veteran):
    """State and ledger on disks of their own, tmpfs of 256 KiB."""

    SIZE = "size=256k"

    def mount(self, part, options=SIZE):
        """Moves `part` of the node's folder to a file system of its own."""
        path = self.node.folder / part
        inside = scene.snapshot(path)
        disk = scene.Mounted(self, path, options)
        for file, data in inside.items():
            file = pathlib.Path(file)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return disk

    def fill(self, disk):
        """To the last page; a file may grow to the end of its own."""
        filler = disk.path / "filler"
        file = os.open(filler, os.O_WRONLY | os.O_CREAT)
        with contextlib.suppress(OSError):
            while True:
                os.write(file, b"\0" * 4096)
        os.close(file)
        return filler

    def test_read_only_state_folder(self):
        disk = self.mount("state")
        disk.remount("ro")
        self.refuses(STATE, self.node.folder / "state", "Read-only")
        disk.remount("rw")
        self.runs_again()

    def test_read_only_ledger(self):
        disk = self.mount("ledger")
        disk.remount("ro")
        self.refuses(LEDGER, self.node.folder / "ledger", "Read-only")
        disk.remount("rw")
        self.runs_again()

    def test_state_disk_full_at_the_start(self):
        filler = self.fill(self.mount("state"))
        self.refuses(STATE, self.node.folder / "state", "No space left")
        filler.unlink()
        self.runs_again()

    def test_ledger_disk_full_for_a_new_ledger(self):
        shutil.rmtree(self.node.folder / "state")
        shutil.rmtree(self.node.folder / "ledger")
        filler = self.fill(self.mount("ledger"))
        self.assert_refuses(self.node, LEDGER, self.node.folder / "ledger", "No space left")
        filler.unlink()
        self.runs_again(at_least=0)

    def test_ledger_disk_fills_while_training(self):
        disk = self.mount("ledger")
        self.node.config["train"]["min_step_time"] = "1ms"
        self.node.start()
        self.until("trains", lambda: self.node.own()["step"] > 60)
        filler = self.fill(disk)
        self.until("failed", lambda: self.node.own()["state"] == "failed")
        step = self.node.own()["step"]
        # Up, answering, and saying why; never a step that is not paid.
        code, health = self.node.get("/healthz")
        self.assertEqual((code, health["status"]), (503, "unhealthy"))
        reason = " ".join(health["reasons"])
        self.assertIn(str(scene.ledger(self.node)), reason)
        self.assertIn("No space left", reason)
        self.assertEqual(self.node.get("/livez")[0], 200)
        self.assertFalse(self.node.own()["privacy"]["valid"])
        self.assertGreaterEqual(scene.charged_steps(scene.ledger(self.node)), step)
        self.assertEqual(self.node.terminate(), CLEAN)
        self.assertEqual(self.errors_of(self.node), [])
        filler.unlink()
        self.runs_again(at_least=step)

    def test_state_disk_fills_while_training(self):
        disk = self.mount("state")
        self.node.config["train"]["min_step_time"] = "1ms"
        self.node.start()
        self.until("trains", lambda: self.node.own()["step"] > 60)
        filler = self.fill(disk)
        self.until("degraded", lambda: self.node.get("/healthz")[1]["status"] == "degraded")
        reason = " ".join(self.node.get("/healthz")[1]["reasons"])
        self.assertIn("No space left", reason)
        self.assertIn("state/checkpoints", reason)
        step = self.node.own()["step"]
        self.until("trains on", lambda: self.node.own()["step"] > step + 50)
        self.assertTrue(scene.checkpoints(self.node))
        filler.unlink()
        self.until("healthy", lambda: self.node.get("/healthz")[1]["status"] == "ok")
        self.assertEqual(self.node.terminate(), CLEAN)
        self.runs_again(at_least=step + 50)


class Prep(unittest.TestCase):
    def test_full_disk(self):
        self.folder = scene.folder()
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        lines = scene.Veteran.shards.csv.read_text().splitlines()[:40]
        small = self.folder / "small"
        scene.Mounted(self, small, "size=64k")
        (small / "filler").write_bytes(b"\0" * (64 * 1024 - 4096))
        people = self.folder / "people.csv"
        people.write_text("\n".join(lines[:1] + lines[1:] * 500) + "\n")
        code, _, stderr = scene.hearsay("prep", "--schema", scene.SCHEMA, people,
                                        "--out", small / "out")
        self.assertEqual(code, 1, stderr)
        self.assertEqual(len(stderr.splitlines()), 1, stderr)
        self.assertIn("No space left", stderr)
        self.assertEqual([p for p in (small / "out").rglob("*") if p.is_file()], [])


if __name__ == "__main__":
    unittest.main()
