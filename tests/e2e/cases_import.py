"""Exports of nobody's preset, files that would do harm, and what stops an import half way."""
import csv
import json
import resource
import signal
import sqlite3
import subprocess
import time
import zipfile

from program import PROGRAM, Folder, read_csv, run


class Import(Folder):
    """Exports of nobody's preset, files that would do harm, and what stops an import half way."""

    def write_tickets(self, count):
        table = self.folder / "tickets.csv"
        with open(table, "w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["id", "text", "urgency", "kind", "answer"])
            for i in range(count):
                rows.writerow([i, f"the printer of hall {i} stands still since the update of {i % 28 + 1} March and shows fault {i * 7}", i % 5 + 1, ["Stock", "Sales"][i % 2], f"cleared cache {i}"])
        return table

    def own_desk(self, table):
        self.new_desk(tickets=table, history=None)
        self.assertIn('preset = "own"', (self.desk / "desk.toml").read_text())

    def tickets_in_database(self):
        database = sqlite3.connect(self.desk / "desk.db")
        try:
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchone()[0], "ok")
            return database.execute("SELECT count(*) FROM tickets").fetchone()[0]
        finally:
            database.close()

    def all_tickets(self):
        database = sqlite3.connect(self.desk / "desk.db")
        try:
            return database.execute("SELECT * FROM tickets ORDER BY id").fetchall()
        finally:
            database.close()

    def test_an_unknown_export_is_guessed_explained_and_prepared(self):
        table = self.folder / "export.csv"
        text = ("Auswertung M\u00e4rz\n\nTicket-Nr;Kurztext;Beschreibung;Priorit\u00e4t;Kategorie;Eingang;L\u00f6sung\n" +
                "".join(f"{4700 + i};Drucker {i};\"Sehr geehrte Damen und Herren,\nder Drucker im Lager {i} klemmt seit heute fr\u00fch.\n\nMit freundlichen Gr\u00fc\u00dfen\nM. Weber\";"
                        f"{['1 - Kritisch', '2 - Hoch', '4 - Niedrig'][i % 3]};{['Hardware', 'Zugang'][i % 2]};{i % 28 + 1:02}.03.2024;Walzen {i} gereinigt\n" for i in range(40)))
        table.write_bytes(text.encode("windows-1252"))
        self.own_desk(table)
        told = json.loads(run("--desk", self.desk, "--json", "prepare", "--explain").stdout)
        self.assertEqual(told["differences"], [])
        self.assertEqual(told["fault"], "")
        self.assertIn("windows-1252, delimiter ';', column names in row", told["files"][0]["kind"])
        fields = {column["field"]: column["column"] for column in told["files"][0]["columns"]}
        self.assertEqual((fields["problem"], fields["urgency"], fields["solution"]), ("Beschreibung", "Priorit\u00e4t", "L\u00f6sung"))
        self.assertEqual(len(told["tickets"]), 3)
        query = next(field for field in told["tickets"][0]["fields"] if field["name"] == "query")
        self.assertIn("Sehr geehrte", query["before"])
        self.assertEqual(query["after"], "der Drucker im Lager 0 klemmt seit heute fr\u00fch.")
        report = json.loads(run("--desk", self.desk, "--json", "prepare").stdout)
        self.assertEqual((report["tickets"], report["unread_dates"]), (40, 0))
        self.assertEqual(report["urgencies"], {"1": 14, "2": 13, "4": 13})
        self.change('category = "Kategorie"', "")
        self.assertIn('category: guessed "Kategorie", set ""', run("--desk", self.desk, "prepare", "--explain", "--write").stdout)
        self.assertIn('category = "Kategorie"', (self.desk / "desk.toml").read_text())
        self.assertNotIn('category = "Kategorie"', (self.desk / "desk.toml.before").read_text())

    def test_bad_rows_are_left_out_when_asked(self):
        table = self.write_tickets(20)
        self.own_desk(table)
        table.write_text(table.read_text().replace("\n7,", "\n7,one,too,many,cells,here,") + '20,"never closed,3,Stock,x\n')
        self.fails(3, r"row 9 \(line 9\) has \d+ fields", "--desk", self.desk, "prepare")
        report = json.loads(run("--desk", self.desk, "--json", "prepare", "--skip-bad-rows").stdout)
        self.assertEqual((report["tickets"], report["rejected"]), (19, 2))
        self.assertEqual([(row["row"], row["ticket"]) for row in read_csv(self.desk / "rejected.csv")], [("9", "7"), ("22", "20")])
        kept = self.folder / "kept.csv"
        run("--desk", self.desk, "prepare", "--skip-bad-rows", "--rejected", kept)
        gone = json.loads(run("--desk", self.desk, "--json", "forget", "7").stdout)   # in these files alone
        self.assertEqual((gone["rejected_rows"], gone["unknown"], gone["tickets"]), (2, [], 0))
        for file in (kept, self.desk / "rejected.csv"):
            self.assertEqual([row["ticket"] for row in read_csv(file)], ["20"])
        report = json.loads(run("--desk", self.desk, "--json", "prepare", "--skip-bad-rows").stdout)
        self.assertEqual((report["rejected"], report["skipped"]), (1, {"ticket that was forgotten": 1}))

    def test_a_bomb_costs_neither_memory_nor_time(self):
        bomb = self.folder / "bomb.xlsx"
        with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("xl/workbook.xml", "<workbook xmlns:r='r'><sheets><sheet name='a' r:id='s'/></sheets></workbook>")
            archive.writestr("xl/_rels/workbook.xml.rels", "<Relationships><Relationship Id='s' Type='t/worksheet' Target='a.xml'/></Relationships>")
            archive.writestr("xl/a.xml", "<worksheet><sheetData><row><c t='inlineStr'><is><t>id</t></is></c></row>" + " " * 300_000_000)
        started = time.monotonic()
        self.new_desk("--preset", "own", tickets=bomb, history=None)
        self.change("# [import.columns]", "[import.columns]\nproblem = \"id\"\n#")
        limit = 1 << 30
        done = subprocess.run([PROGRAM, "--desk", self.desk, "prepare"], capture_output=True, text=True,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)))
        self.assertIn("no ticket export packs that well", done.stderr)
        self.assertEqual(done.returncode, 6, done.stderr)
        self.assertLess(time.monotonic() - started, 60)

    def test_a_kill_at_any_moment_leaves_the_desk_whole_and_the_same_command_goes_on(self):
        table = self.write_tickets(4000)
        self.own_desk(table)
        started = time.monotonic()
        run("--desk", self.desk, "prepare")
        whole = time.monotonic() - started
        reference = self.all_tickets()
        for step in range(8):
            (self.desk / "desk.db").unlink()
            for journal in self.desk.glob("desk.db-*"):
                journal.unlink()
            self.new_desk("--force", tickets=table, history=None)
            process = subprocess.Popen([PROGRAM, "--desk", self.desk, "prepare"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(whole * (step + 0.5) / 8)
            process.kill()
            process.wait()
            self.assertIn(self.tickets_in_database(), (0, 4000))
            run("--desk", self.desk, "prepare")
            self.assertEqual(self.all_tickets(), reference)

    def test_a_full_disk_is_said_and_leaves_the_desk_as_it_was(self):
        self.own_desk(self.write_tickets(4000))

        def small_disk():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))

        done = subprocess.run([PROGRAM, "--desk", self.desk, "prepare"], capture_output=True, text=True, preexec_fn=small_disk)
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertTrue(done.stderr.strip().splitlines()[-1].startswith("deskhand: "), done.stderr)
        self.assertEqual(self.tickets_in_database(), 0)
        run("--desk", self.desk, "prepare")
        self.assertEqual(self.tickets_in_database(), 4000)
