"""What is personal: redact, reveal, forget, rewrite; and later exports."""
import json
import re
import sqlite3
import time

from program import DECODER, ENCODER, Folder, needs_model, read_csv, run


class Privacy(Folder):
    """What is personal: redacted, sealed, revealed, forgotten; and later exports."""
    TICKETS = "TICKETID,ALTERNATEKEYSUFFIX,AREA,CATEGORY,ISSUE,RECEIVEDDATE,COMPLETEDDATE,SUBJECT,URGENCYCODE,PROBLEM,SOLUTION,RESULTIONSUMMARY,ACCOUNTID,ACCOUNT"
    HISTORY = "TICKETID,TICKETACTIVITYID,USERID,SHORTDESC,CREATEDATE,ACTIVITYDESC,ACTIVITYTYPECODE,ACTIVITYTYPE"
    THINGS = ["invoice", "printer", "scanner", "ledger", "budget", "pallet", "voucher", "receipt", "tariff", "gateway"]

    def rows(self):
        rows = [f"{i},,ERP,{'Stock' if i % 2 else 'Sales'},Error,{1 + i % 28:02}/03/2024,{1 + i % 28:02}/04/2024,{thing},{1 + i % 5},"
                f"the {thing} screen of number {i} shows a blank page after the {thing} update and nobody in the hall can go on with the work of the day,"
                f"cleared the {thing} cache {i} times,r,A1,A" for i, thing in enumerate(self.THINGS * 3)]
        rows[7] = ("7,,ERP,Stock,Error,08/03/2024,08/04/2024,s,3,\"the voucher printer zibbelquark of Mr Zwentibold stands still, mail zwentibold@quitzow.example\","
                   "changed the zibbelquark roller,r,A1,A")
        return rows

    def write_desk(self, rows=None):
        table, history = self.folder / "tickets.csv", self.folder / "history.csv"
        table.write_text("\n".join([self.TICKETS, *(self.rows() if rows is None else rows)]) + "\n")
        history.write_text(self.HISTORY + "\n7,1,C,in,08/03/2024,\"Hi Anna, the voucher printer zibbelquark stands still.\n\nRegards\nZwentibold Quitzow\n+49 89 1234567\",EI,E\n"
                           "7,2,M,out,09/03/2024,\"Dear Mr Quitzow, the zibbelquark roller was changed.\",EO,E\n")
        if not self.desk.exists():
            self.new_desk(tickets=table, history=history)
            self.change(f'encoder = "{ENCODER}"', 'encoder = ""')
            self.change(f'decoder = "{DECODER}"', 'decoder = ""')
            self.change("test_share = 0.05", "test_share = 0.2")

    def texts_with(self, *secrets):
        """Files of the desk that hold one of them, desk.toml aside."""
        found = []
        for file in self.desk.rglob("*"):
            if file.is_file() and file.name != "desk.toml":
                data = file.read_bytes()
                found += [(str(file.relative_to(self.desk)), secret) for secret in secrets if secret.encode() in data]
        return found

    def test_a_text_is_shown_as_the_desk_would_read_it(self):
        text = "Hi Anna,\ncall me on +49 89 1234567, mail a.b@quitzow.example, host 10.1.2.3.\n\nRegards\nZwentibold Quitzow"
        shown = json.loads(run("--json", "--desk", self.folder, "redact", text).stdout)
        self.assertEqual(shown["text"], "Hi [NAME_1],\ncall me on [PHONE_1], mail [EMAIL_1], host [IP_1].\n\nRegards\n[NAME_2]")
        self.assertEqual(shown["marks"]["NAME_2"], ["Zwentibold Quitzow"])
        self.assertEqual(run("--desk", self.folder, "redact", "--clean", text).stdout, "call me on [PHONE_1], mail [EMAIL_1], host [IP_1].\n")
        self.assertEqual(run("--desk", self.folder, "redact", "-", input="ask Anna").stdout, "ask [NAME_1]\n")
        self.fails(2, "nothing to redact", "--desk", self.folder, "redact")

    def test_a_desk_holds_marks_and_the_key_alone_opens_them(self):
        self.write_desk()
        key = self.folder / "keys.txt"
        run("redact", "--make-key", key)
        self.assertEqual(key.stat().st_mode & 0o777, 0o600)
        self.fails(5, "there already", "redact", "--make-key", key)
        self.change('# key = "../desk.key"', 'key = "../keys.txt"')
        counts = json.loads(run("--desk", self.desk, "--json", "prepare").stdout)
        self.assertGreaterEqual(counts["redacted"]["name"], 3)
        self.assertEqual(counts["redacted"]["phone"], 1)
        self.assertEqual(self.texts_with("Zwentibold", "Quitzow", "quitzow.example", "1234567"), [])
        marks = json.loads(run("--desk", self.desk, "--json", "reveal", "7").stdout)["7"]
        self.assertIn("Zwentibold Quitzow", sum(marks.values(), []))
        self.assertIn("+49 89 1234567", run("--desk", self.desk, "reveal", "7").stdout)
        self.assertEqual((self.desk / "redactions.db").stat().st_mode & 0o777, 0o600)
        self.fails(4, "no mark is kept", "--desk", self.desk, "reveal", "1")
        self.assertEqual(json.loads(run("--desk", self.desk, "--json", "prepare").stdout)["unchanged"], 30)
        key.rename(self.folder / "away.txt")
        self.fails(4, "there is no key", "--desk", self.desk, "reveal", "7")
        run("redact", "--make-key", key)
        self.fails(3, "another key", "--desk", self.desk, "reveal", "7")
        self.change('key = "../keys.txt"', 'key = "keys.txt"')
        self.fails(2, "lies in the desk's own folder", "--desk", self.desk, "prepare")

    def test_what_is_redacted_stands_in_desk_toml(self):
        self.write_desk()
        self.change("# kinds =", 'kinds = ["email"] # ')
        run("--desk", self.desk, "prepare")
        self.assertEqual({secret for _, secret in self.texts_with("Zwentibold", "quitzow.example")}, {"Zwentibold"})
        self.change('kinds = ["email"]', 'kinds = ["emails"]')
        self.fails(2, "nothing is called 'emails'; there are email, phone", "--desk", self.desk, "prepare")
        self.change('kinds = ["emails"]', "kinds = []")
        self.change("# [redact.patterns]", "[redact.patterns]\nHALL = '('\n#")
        self.fails(2, "is no regular expression", "--desk", self.desk, "prepare")

    def test_a_later_export_adds_changes_and_removes_and_the_index_follows(self):
        self.write_desk()
        run("--desk", self.desk, "prepare")
        self.assertIn("30 cases: 30 new or changed, 0 removed", run("--desk", self.desk, "index", "--no-fit").stdout)
        rows = self.rows()
        rows[3] = rows[3].replace("blank page", "white page")
        del rows[5]
        self.write_desk(rows + [rows[1].replace("1,,ERP", "99,,ERP", 1)])
        later = json.loads(run("--desk", self.desk, "--json", "prepare").stdout)
        self.assertEqual([later[key] for key in ("added", "updated", "unchanged", "missing", "removed")], [1, 1, 28, 1, 0])
        self.assertIn("1 tickets of earlier imports are not in these files and were removed", run("--desk", self.desk, "prepare", "--missing", "remove").stdout)
        self.assertIn("30 cases: 2 new or changed, 1 removed", run("--desk", self.desk, "index", "--no-fit").stdout)

    def test_a_forgotten_ticket_is_nowhere_and_does_not_come_back(self):
        self.write_desk()
        run("--desk", self.desk, "prepare")
        for seed in range(42, 60):   # one that keeps the ticket among those to learn from
            run("--desk", self.desk, "split", "--force")
            if "zibbelquark" in (self.desk / "data" / "train.csv").read_text():
                break
            self.change(f"seed = {seed}", f"seed = {seed + 1}")
        run("--desk", self.desk, "index", "--no-fit")
        self.assertIn("zibbelquark", run("--desk", self.desk, "triage", "the voucher printer stands still, roller").stdout)
        run("--desk", self.desk, "evaluate", "--name", "first")
        run("--desk", self.desk, "rewrite", "--extract")
        lora = self.desk / "runs" / "lora"
        lora.mkdir(parents=True)
        (lora / "run.json").write_text(json.dumps({**{name: "x" for name in ("name", "method", "base_model", "base_hash", "recipe_name", "recipe_hash", "data", "data_hash", "version", "started", "finished")},
                                                   **{name: 1 for name in ("train_examples", "validation_examples", "trained_parameters", "all_parameters")}, "name": "lora"}))
        (lora / "tickets.json").write_text(json.dumps({"learnt": ["6", "7"], "validation": []}))
        places = {file.split("/")[0] for file, _ in self.texts_with("zibbelquark")}
        self.assertGreaterEqual(places, {"desk.db", "data", "evaluations"})

        dry = json.loads(run("--desk", self.desk, "--json", "forget", "7", "--dry-run").stdout)
        self.assertEqual({file.split("/")[0] for file, _ in self.texts_with("zibbelquark")}, places)
        gone = json.loads(run("--desk", self.desk, "--json", "forget", "7").stdout)
        self.assertEqual(gone["trained_runs"], [{"run": "lora", "tickets": 1}])
        self.assertEqual(gone["evaluations"], ["first"])
        for key in ("tickets", "cases", "answers", "predictions", "trained_runs", "evaluations"):
            self.assertEqual(gone[key], dry[key], key)
        self.assertEqual((gone["tickets"], gone["cases"]), (1, 1))
        self.assertGreaterEqual(gone["answers"], 1)
        self.assertEqual(self.texts_with("zibbelquark"), [])
        self.assertEqual(len(read_csv(self.desk / "data" / "train.csv")) + len(read_csv(self.desk / "data" / "test.csv")), 29)
        self.assertNotIn("zibbelquark", run("--desk", self.desk, "triage", "the voucher printer stands still, roller").stdout)

        again = json.loads(run("--desk", self.desk, "--json", "prepare").stdout)
        self.assertEqual(again["skipped"]["ticket that was forgotten"], 1)
        self.assertEqual(self.texts_with("zibbelquark"), [])
        self.assertIn("was trained on 1 of them", run("--desk", self.desk, "forget", "7").stdout)   # nothing but the run still knows it
        self.fails(4, "no ticket of these is known", "--desk", self.desk, "forget", "no-such-ticket")
        self.fails(2, "name the tickets", "--desk", self.desk, "forget")
        self.fails(2, "retention.days", "--desk", self.desk, "forget", "--expired")

    def test_the_retention_rule_erases_and_keeps_out_what_is_too_old(self):
        self.write_desk()
        run("--desk", self.desk, "prepare")
        today = time.strftime("%d/%m/%Y", time.gmtime())
        rows = self.rows()
        rows[0] = rows[0].replace("01/03/2024,01/04/2024", f"01/03/2024,{today}")
        self.write_desk(rows)
        self.change("days = 0", "days = 30")
        done = run("--desk", self.desk, "--json", "prepare")
        self.assertEqual(json.loads(done.stdout)["skipped"], {"ticket older than the retention rule lets stay": 29})
        self.assertIn("29 tickets of earlier imports are older", done.stderr)
        self.assertEqual(self.texts_with("zibbelquark"), [])
        self.assertEqual(json.loads(run("--desk", self.desk, "--json", "forget", "--expired").stdout)["tickets"], 0)

    def test_texts_are_rewritten_from_their_own_sentences_without_a_model(self):
        self.write_desk()
        run("--desk", self.desk, "prepare")
        done = json.loads(run("--desk", self.desk, "--json", "rewrite").stdout)   # the desk has no decoder
        self.assertEqual((done["tickets"], done["asked"]), (30, 0))
        self.assertEqual(done["rewritten"], done["texts"])
        self.assertGreater(done["short_enough"], 0)

    @needs_model(DECODER)
    def test_a_model_rewrites_once_within_its_words_and_invents_no_code(self):
        self.write_desk()
        run("--desk", self.desk, "prepare")
        command = ["--desk", self.desk, "--json", "rewrite", "--decoder", DECODER, "--limit", 3]
        first = json.loads(run(*command).stdout)
        self.assertEqual(first["asked"], first["texts"])
        self.assertGreaterEqual(first["texts"], 3)
        again = json.loads(run(*command).stdout)
        self.assertEqual(again["asked"], first["kept_as_cleaned"]["no answer"])
        self.assertEqual(again["rewritten"], first["rewritten"])
        with sqlite3.connect(self.desk / "desk.db") as database:
            for text, source in database.execute("SELECT clean_problem, query FROM tickets WHERE clean_problem <> ''"):
                self.assertLessEqual(len(text.split()), 80)
                self.assertLessEqual(set(re.findall(r"\d+", text)), set(re.findall(r"\d+", source)))
