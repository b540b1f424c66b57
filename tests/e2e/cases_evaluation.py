"""Evaluations and their reports."""
import csv
import json
import signal
import sqlite3
import subprocess
from pathlib import Path

import tiny_model
from program import DECODER, ENCODER, PROGRAM, SAMPLE, SOURCE, Folder, needs_model, read_csv, read_jsonl, run


class Evaluation(Folder):
    def desk_to_measure(self, encoder=""):
        self.new_desk("--keywords", SAMPLE / "domain_keywords.txt")
        self.change(f'encoder = "{ENCODER}"', f'encoder = "{encoder}"')
        self.change(f'decoder = "{DECODER}"', 'decoder = ""')
        self.change("test_share = 0.05", "test_share = 0.25")
        self.change("resamples = 2000", "resamples = 200")
        run("--desk", self.desk, "prepare")
        run("--desk", self.desk, "split")

    def figures(self, name):
        return json.loads((self.desk / "evaluations" / name / "report" / "metrics.json").read_text())

    def value(self, figures, system, measure, split=0):
        index = [info["id"] for info in figures["measures"]].index(measure)
        return next(one for one in figures["splits"][split]["systems"] if one["identity"]["name"] == system)["measures"][index]

    def answers(self, name="answers.csv", change=lambda rows: rows):
        with sqlite3.connect(self.desk / "desk.db") as database:
            rows = database.execute("SELECT t.id, t.urgency, t.category, t.solution FROM tickets t JOIN splits s ON s.ticket_id = t.id WHERE s.part = 'test' ORDER BY t.id").fetchall()
        file = self.folder / name
        with open(file, "w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows([["ticket_id", "urgency", "category", "resolution"], *change([list(row) for row in rows])])
        return file

    def test_baselines_are_measured_on_every_split_and_reported(self):
        self.desk_to_measure()
        said = run("--desk", self.desk, "evaluate", "--name", "first").stdout
        figures = self.figures("first")
        self.assertEqual([split["name"] for split in figures["splits"]], ["desk", "grouped", "time"])
        self.assertIn(figures["findings"][0], said.replace("\n", " "))
        for split in figures["splits"]:
            self.assertEqual([one["identity"]["name"] for one in split["systems"]], ["majority", "kNN votes", "TF-IDF + LR"])
            self.assertEqual(split["leakage"]["test"], split["test"])
            self.assertEqual({row["method"] for row in split["retrieval"]}, set(), "without an encoder nothing tells relevant cases")
        for system in ("majority", "kNN votes", "TF-IDF + LR"):
            self.assertLess(self.value(figures, system, "seconds")["value"], 1, "a baseline's time to answer is told")
        self.assertGreater(self.value(figures, "TF-IDF + LR", "seconds")["value"], self.value(figures, "majority", "seconds")["value"])
        self.assertLess(self.value(figures, "majority", "category_accuracy")["value"], self.value(figures, "TF-IDF + LR", "category_accuracy")["value"])
        self.assertNotIn("NaN", (self.desk / "evaluations/first/report/metrics.json").read_text())
        rows = read_csv(self.desk / "evaluations/first/results/tf_idf_lr_results.csv")
        self.assertEqual(len(rows), figures["splits"][0]["test"])
        right = sum(row["category"] == row["true_category"] for row in rows) / len(rows)
        self.assertAlmostEqual(right, self.value(figures, "TF-IDF + LR", "category_accuracy")["value"], msg="the figure can be traced to its tickets")
        self.assertEqual(len(read_jsonl(self.desk / "evaluations/first/results/tf_idf_lr_results.jsonl")), len(rows))
        self.fails(5, "--force", "--desk", self.desk, "evaluate", "--name", "first")
        before = (self.desk / "evaluations/first/report/metrics.json").read_bytes()
        run("--desk", self.desk, "report", "first")
        self.assertEqual((self.desk / "evaluations/first/report/metrics.json").read_bytes(), before, "drawn again from what the desk keeps")
        self.fails(4, "there are: first", "--desk", self.desk, "report", "second")

    def test_a_report_without_texts_holds_none(self):
        self.desk_to_measure()
        run("--desk", self.desk, "evaluate", "--name", "first", "--splits", "none")
        run("--desk", self.desk, "report", "--no-texts", "--out", self.folder / "board")
        text = read_csv(self.desk / "evaluations/first/results/majority_results.csv")[0]["query"][:40]
        in_report = lambda folder: any(text in file.read_text(encoding="utf-8", errors="replace") for file in Path(folder).rglob("*") if file.is_file())
        self.assertTrue(in_report(self.desk / "evaluations/first/report"))
        self.assertFalse(in_report(self.folder / "board"))
        run("--desk", self.desk, "evaluate", "--name", "second", "--splits", "none", "--no-texts")
        run("--desk", self.desk, "report", "second")
        self.assertFalse(in_report(self.desk / "evaluations/second/report"), "drawn again as it was made")
        run("--desk", self.desk, "report", "second", "--texts")
        self.assertTrue(in_report(self.desk / "evaluations/second/report"))

    def test_answers_made_elsewhere_are_measured_and_two_evaluations_compared(self):
        self.desk_to_measure()
        good = self.answers("good.csv")
        bad = self.answers("bad.csv", lambda rows: [[row[0], row[1], "No such category" if i % 2 else row[2], row[3]] for i, row in enumerate(rows)])
        run("--desk", self.desk, "evaluate", "--name", "a", "--splits", "none", "--predictions", f"other={good}")
        run("--desk", self.desk, "evaluate", "--name", "b", "--splits", "none", "--predictions", f"other={bad}")
        self.assertEqual(self.value(self.figures("a"), "other", "both_accuracy")["value"], 1)
        self.assertAlmostEqual(self.value(self.figures("b"), "other", "category_accuracy")["value"], 0.5, delta=0.01)
        said = run("--desk", self.desk, "compare", "a", "b", "--out", self.folder / "ab").stdout
        self.assertRegex(said, r"(?i)category right.*worse")
        self.assertTrue((self.folder / "ab" / "index.html").is_file())
        same = run("compare", self.desk / "evaluations/a/report", self.desk / "evaluations/a/report", "--desk", self.desk).stdout
        self.assertNotRegex(same, r"\b(better|worse)\b")
        self.assertNotIn("note:", same)
        self.fails(4, "there are: a, b", "--desk", self.desk, "compare", "a", "c")
        run("--desk", self.desk, "evaluate", "--name", "less", "--splits", "none", "--limit", "5")
        self.assertIn("note: The two were not measured on the same data", run("--desk", self.desk, "compare", "a", "less").stdout)
        told = json.loads(run("--desk", self.desk, "--json", "compare", "a", "less").stdout)
        self.assertEqual(sorted(told), ["a", "b", "differences", "notes"])

    def test_answers_made_elsewhere_are_measured_on_every_split_where_that_is_asked_for(self):
        self.desk_to_measure()
        with sqlite3.connect(self.desk / "desk.db") as database:
            rows = database.execute("SELECT id, urgency, category, solution FROM tickets ORDER BY id").fetchall()
        everything = self.folder / "everything.csv"
        with open(everything, "w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows([["ticket_id", "urgency", "category", "resolution"], *rows])
        run("--desk", self.desk, "evaluate", "--name", "own", "--splits", "time", "--predictions", f"other={everything}")
        run("--desk", self.desk, "evaluate", "--name", "all", "--splits", "time", "--all-splits", "--predictions", f"other={everything}")
        systems = lambda split: {one["identity"]["name"]: one for one in split["systems"]}
        own, every = self.figures("own")["splits"], self.figures("all")["splits"]
        self.assertEqual(["other" in systems(split) for split in own], [True, False])
        self.assertEqual(["other" in systems(split) for split in every], [True, True])
        self.assertEqual([self.value(self.figures("all"), "other", "category_accuracy", split)["value"] for split in (0, 1)], [1, 1])
        told = [" ".join(systems(split)["other"]["warnings"]) for split in every]
        self.assertNotIn("Which tickets this system learnt from", told[0])
        self.assertIn("Which tickets this system learnt from is not known here", told[1])

    def test_a_ticket_that_a_model_cannot_read_is_wrong_for_the_model_alone_and_answered_by_votes_in_triage(self):
        tiny_model.write_model(self.folder / "tiny", SOURCE / "tests/golden", positions=2048, tied=True)
        header = "TICKETID,ALTERNATEKEYSUFFIX,AREA,CATEGORY,ISSUE,RECEIVEDDATE,COMPLETEDDATE,SUBJECT,URGENCYCODE,PROBLEM,SOLUTION,RESULTIONSUMMARY,ACCOUNTID,ACCOUNT"
        table = self.folder / "tickets.csv"
        problem = lambda i: f"printer number {i} of floor {i} fails with smoke" + (" and a very long story follows" * 400 if i == 11 else "")
        table.write_text("\n".join([header, *(f"{i},,ERP,{'Stock' if i % 2 else 'Sales'},Error,{i:02}/01/2024,,s,{1 + i % 3},{problem(i)},replace part {i},r,A1,A" for i in range(1, 13))]) + "\n")
        self.new_desk(tickets=table, history=None)
        for what, by in ((f'encoder = "{ENCODER}"', 'encoder = ""'), (f'decoder = "{DECODER}"', f'decoder = "{self.folder / "tiny"}"'), ("test_share = 0.05", "test_share = 0.25"),
                         ('method = "grouped"', 'method = "time"'), ("held_out = 30", "held_out = 2"), ("validation = 40", "validation = 2"), ("resamples = 2000", "resamples = 100")):
            self.change(what, by)
        with open(self.desk / "desk.toml", "a") as settings:
            settings.write('\n[[evaluate.systems]]\nname = "alone"\ncases = 0\ndecide = "model"\n\n[[evaluate.systems]]\nname = "weighed"\ncases = 0\ndecide = "fused"\n')
        run("--desk", self.desk, "prepare")
        run("--desk", self.desk, "split")
        evaluate = lambda name, *options: run("--desk", self.desk, "evaluate", "--splits", "none", "--name", name, *options)
        evaluate("broken")
        figures = self.figures("broken")
        systems = {one["identity"]["name"]: one for one in figures["splits"][0]["systems"]}
        for name in ("alone", "weighed"):
            self.assertIn("1 tickets got no answer from the language model", " ".join(systems[name]["warnings"]))
        rows = {name: {row["ticket_id"]: row for row in read_csv(self.desk / f"evaluations/broken/results/{name}_results.csv")} for name in ("alone", "weighed")}
        self.assertEqual([len(rows["alone"]), len(rows["weighed"])], [3, 3])
        self.assertEqual([rows["alone"]["11"][key] for key in ("urgency", "category", "resolution", "category_accuracy", "urgency_accuracy")], ["", "", "", "0", "0"])
        self.assertTrue(rows["weighed"]["11"]["category"], "votes answer where the model fails")
        self.assertTrue(rows["alone"]["12"]["category"])
        with sqlite3.connect(self.desk / "desk.db") as database:
            kept = database.execute("SELECT s.name, p.ticket_id FROM evaluation_predictions p JOIN evaluation_systems s ON s.key = p.system WHERE part = 0 AND s.name IN ('alone', 'weighed') ORDER BY 1, 2").fetchall()
        self.assertEqual(kept, [(name, ticket) for name in ("alone", "weighed") for ticket in ("10", "12")], "a failure is not kept: the model is asked again")
        self.assertNotIn("NaN", (self.desk / "evaluations/broken/report/metrics.json").read_text())

    def test_an_evaluation_takes_the_answers_of_one_on_other_tickets_of_the_same_split(self):
        tiny_model.write_model(self.folder / "tiny", SOURCE / "tests/golden", positions=2048, tied=True)
        header = "TICKETID,ALTERNATEKEYSUFFIX,AREA,CATEGORY,ISSUE,RECEIVEDDATE,COMPLETEDDATE,SUBJECT,URGENCYCODE,PROBLEM,SOLUTION,RESULTIONSUMMARY,ACCOUNTID,ACCOUNT"
        table = self.folder / "tickets.csv"
        write = lambda more: table.write_text("\n".join([header, *(f"{i},,ERP,{'Stock' if i % 2 else 'Sales'},Error,{i:02}/01/2024,,s,{1 + i % 3},printer number {i} of floor {i} fails with smoke{more if i == 12 else ''},replace part {i},r,A1,A" for i in range(1, 13))]) + "\n")
        write("")
        self.new_desk(tickets=table, history=None)
        for what, by in ((f'encoder = "{ENCODER}"', 'encoder = ""'), (f'decoder = "{DECODER}"', f'decoder = "{self.folder / "tiny"}"'), ("test_share = 0.05", "test_share = 0.25"),
                         ('method = "grouped"', 'method = "time"'), ("held_out = 30", "held_out = 0"), ("validation = 40", "validation = 0"), ("resamples = 2000", "resamples = 100")):
            self.change(what, by)
        run("--desk", self.desk, "prepare")
        run("--desk", self.desk, "split")
        evaluate = lambda name, *options: run("--desk", self.desk, "evaluate", "--splits", "none", "--systems", "deskhand triage", "--name", name, *options)
        def seconds():
            with sqlite3.connect(self.desk / "desk.db") as database:
                rows = database.execute("SELECT p.ticket_id, p.json FROM evaluation_predictions p JOIN evaluation_systems s ON s.key = p.system WHERE part = 0 AND s.name = 'deskhand triage'").fetchall()
            return {ticket: json.loads(text)["seconds"] for ticket, text in rows}
        evaluate("some", "--limit", 2)
        some = seconds()
        self.assertEqual(len(some), 2)
        evaluate("whole")
        whole = seconds()
        self.assertEqual(sorted(whole), ["10", "11", "12"])
        self.assertEqual({ticket: whole[ticket] for ticket in some}, some, "what was answered is not asked again")
        page = (self.desk / "evaluations/some/report/metrics.json").read_bytes()
        run("--desk", self.desk, "report", "some")
        self.assertEqual((self.desk / "evaluations/some/report/metrics.json").read_bytes(), page)
        self.assertEqual(len(read_csv(self.desk / "evaluations/some/results/deskhand_triage_results.csv")), 2)
        write(" since Tuesday")
        run("--desk", self.desk, "prepare")
        evaluate("changed")
        changed = seconds()
        self.assertEqual({ticket for ticket in whole if whole[ticket] == changed[ticket]}, {"10", "11"}, "a ticket that was changed is asked about again")

    def test_broken_predictions_have_their_outcome(self):
        self.desk_to_measure()
        def broken(rows):
            return [*rows[3:], rows[5], ["T-nobody", 1, "x", "y"], ]
        said = run("--desk", self.desk, "evaluate", "--name", "a", "--splits", "none", "--predictions", f"other={self.answers(change=broken)}").stdout
        warnings = next(one for one in self.figures("a")["splits"][0]["systems"] if one["identity"]["name"] == "other")["warnings"]
        self.assertRegex(" ".join(warnings), r"3 held-out tickets have no prediction.*1 predictions stand beside.*1 predictions are for tickets that are not held out")
        self.assertNotRegex(said, r"(?i)\bnan\b")
        wrong = self.folder / "wrong.csv"
        wrong.write_text("ticket_id,urgency\n1,high\n")
        self.fails(3, r"wrong\.csv: row 2: urgency is 'high', wanted", "--desk", self.desk, "evaluate", "--name", "b", "--predictions", wrong)
        wrong.write_text("name,colour\n1,blue\n")
        self.fails(3, r"wrong\.csv: row 1: wanted are the columns ticket_id", "--desk", self.desk, "evaluate", "--name", "b", "--predictions", wrong)
        self.fails(4, "no file nowhere.csv", "--desk", self.desk, "evaluate", "--name", "b", "--predictions", "nowhere.csv")

    def test_one_class_and_two_tickets_are_measured(self):
        header = "TICKETID,ALTERNATEKEYSUFFIX,AREA,CATEGORY,ISSUE,RECEIVEDDATE,COMPLETEDDATE,SUBJECT,URGENCYCODE,PROBLEM,SOLUTION,RESULTIONSUMMARY,ACCOUNTID,ACCOUNT"
        table = self.folder / "tickets.csv"
        table.write_text("\n".join([header, *(f"{i},,ERP,Stock,Error,,,s,3,printer number {i} fails with smoke,replace it,r,A1,A" for i in range(1, 9))]) + "\n")
        self.new_desk(tickets=table, history=None)
        self.change(f'encoder = "{ENCODER}"', 'encoder = ""')
        self.change(f'decoder = "{DECODER}"', 'decoder = ""')
        self.change("test_share = 0.05", "test_share = 0.25")
        self.fails(4, "prepare|split", "--desk", self.desk, "evaluate")
        run("--desk", self.desk, "prepare")
        self.fails(4, "split", "--desk", self.desk, "evaluate")
        run("--desk", self.desk, "split")
        said = run("--desk", self.desk, "evaluate", "--name", "small").stdout
        self.assertIn("no difference between systems can be told from chance", said)
        self.assertIn("The split 'time' is not measured: a split by time needs dates", " ".join(self.figures("small")["splits"][0]["warnings"]))
        self.fails(2, "needs dates", "--desk", self.desk, "evaluate", "--splits", "time")
        self.assertNotRegex(said, r"(?i)\bnan\b")
        self.assertIsNone(self.value(self.figures("small"), "majority", "urgency_kappa")["value"])

    @needs_model(ENCODER)
    @needs_model(DECODER)
    def test_a_language_model_is_measured_beside_the_baselines_and_an_interruption_loses_little(self):
        self.desk_to_measure(ENCODER)
        self.change('decoder = ""', f'decoder = "{DECODER}"')
        self.change("held_out = 30", "held_out = 2")
        self.change("validation = 40", "validation = 2")
        command = [str(PROGRAM), "--desk", str(self.desk), "evaluate", "--name", "models", "--limit", "3", "--splits", "none", "--systems", "deskhand triage"]
        interrupted = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for line in interrupted.stderr:
            if "deskhand triage" in line:
                interrupted.send_signal(signal.SIGINT)
                break
        _, messages = interrupted.communicate(timeout=300)
        self.assertIn(interrupted.returncode, (0, 130), messages)
        if interrupted.returncode == 130:
            self.assertFalse((self.desk / "evaluations/models/report").exists())
            run(*command[1:])
        figures = self.figures("models")
        self.assertEqual(figures["splits"][0]["test"], 3)
        model = next(one for one in figures["splits"][0]["systems"] if one["identity"]["name"] == "deskhand triage")
        for part in ("model_hash", "prompt_hash", "data_hash"):
            self.assertRegex(model["identity"][part], r"^[0-9a-f]{64}$")
        self.assertGreater(self.value(figures, "deskhand triage", "prompt_tokens")["value"], 100)
        self.assertIsNotNone(self.value(figures, "kNN votes", "resolution_cosine")["value"])
        self.assertEqual({row["method"] for row in figures["splits"][0]["retrieval"]}, {"dense", "bm25", "keywords", "fusion"})
        run(*command[1:], "--force")
        again = next(one for one in self.figures("models")["splits"][0]["systems"] if one["identity"]["name"] == "deskhand triage")
        self.assertEqual(again["measures"], model["measures"], "kept answers give the same figures, seconds a ticket included")
