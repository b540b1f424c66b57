"""What the tests of the program share: the program, its sample and models from the command line of test_program.py, and a desk in a folder of its own."""
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAM, SOURCE = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
SAMPLE, SHARED = SOURCE / "sample", SOURCE.parent / "shared" / "data"
MODELS = Path(os.environ.get("DESKHAND_MODELS") or Path.home() / ".cache" / "deskhand" / "models")
COMMANDS = ["init", "model", "prepare", "redact", "reveal", "forget", "rewrite", "audit", "split", "index", "search", "triage", "evaluate", "report", "train", "compare", "export", "demo", "doctor", "perplexity"]
HEADER = "TICKETID,ALTERNATEKEYSUFFIX,AREA,CATEGORY,ISSUE,RECEIVEDDATE,COMPLETEDDATE,SUBJECT,URGENCYCODE,PROBLEM,SOLUTION,RESULTIONSUMMARY,ACCOUNTID,ACCOUNT"
ENCODER, DECODER = "all-minilm-l6-v2", "qwen2.5-coder-0.5b-instruct"


def read_csv(file):
    with open(file, newline="", encoding="utf-8") as rows:
        return list(csv.DictReader(rows))


def read_jsonl(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


def needs_model(name):
    return unittest.skipUnless((MODELS / name).is_dir(), f"{name} is not in {MODELS}: deskhand model get {name}")


def run(*arguments, expect=0, **options):
    done = subprocess.run([str(PROGRAM), *map(str, arguments)], capture_output=True, text=True, timeout=900, **options)
    assert done.returncode == expect, f"{arguments} ended with {done.returncode}, wanted {expect}\n{done.stdout}\n{done.stderr}"
    return done


def has_gpu():
    return "computed on the processor" not in run("doctor", cwd="/").stdout


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="deskhand-e2e-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.desk = self.folder / "desk"

    def new_desk(self, *options, tickets=SAMPLE / "tickets.xlsx", history=SAMPLE / "history.xlsx"):
        files = ["--tickets", tickets] + (["--history", history] if history else [])
        run("init", self.desk, *files, *options)

    def change(self, what, by):
        file = self.desk / "desk.toml"
        text = file.read_text()
        assert what in text, what
        file.write_text(text.replace(what, by, 1))

    def fails(self, code, pattern, *arguments):
        done = run(*arguments, expect=code)
        self.assertRegex(done.stderr, pattern)
        self.assertTrue(done.stderr.strip().splitlines()[-1].startswith("deskhand: ") or code == 2, done.stderr)
        return done
