"""The audit of a desk's tickets."""
import json
import random

from program import HEADER, Folder, run


class Audit(Folder):
    """A desk of 360 invented tickets with one thing wrong of each kind."""

    THINGS = {"Printing": "printer toner paper tray jam cartridge".split(), "Stock": "warehouse count shelf pallet bin picking".split(),
              "User Access": "login badge rights group lockout role".split()}

    def dirty_desk(self):
        rows, chance = [], random.Random(1)

        def add(category, problem, urgency=None):
            number = len(rows)
            date = f"{number % 28 + 1:02}/{number // 28 % 12 + 1:02}/2024"
            rows.append(f"{1000 + number},,ERP,{category},x,{date},{date},s{number},{urgency or chance.randint(2, 5)},{problem},solved it by way {number},,A{number % 7},n{number % 7}")

        for i in range(330):
            category = list(self.THINGS)[i % 3]
            words = self.THINGS[category]
            problem = " ".join([f"ref{i * 7919 % 9973}", words[i % 6], f"at{i * 31 % 977}", words[i // 6 % 6], f"desk{i * 17 % 613}", "is not as it was", f"since{i * 13 % 419}"])
            add(category, problem, urgency=1 if 196 <= i < 224 and i % 4 else None)
        for i in range(6):   # one category in three spellings
            add("printing" if i % 2 else "Printng", f"code{i * 911} {self.THINGS['Printing'][i]} stuck in unit{i * 37} of hall{i * 11}")
        for i in range(4):   # two too rare, and one problem under two labels
            add("Fleet" if i % 2 else "Canteen", f"item{i * 313} broke in row{i * 57} next to gate{i * 91}")
        for i in range(4):
            add("Stock" if i == 3 else "Printing", f"the nightly label job of the big press hall stopped with spool error at station number {i}", urgency=3)
        add("Stock", "this very ticket was exported under two numbers by mistake of the tool")
        rows.append("9999" + rows[-1][4:])
        table = self.folder / "tickets.csv"
        table.write_text("\n".join([HEADER, *rows]) + "\n")
        self.new_desk(tickets=table, history=None)
        run("--desk", self.desk, "prepare")

    def audit(self, *options):
        return json.loads(run("--desk", self.desk, "--json", "audit", *options).stdout)

    def test_what_is_wrong_is_found_and_the_proposed_lines_mend_it(self):
        self.dirty_desk()
        fixes = self.folder / "fixes.toml"
        before = self.audit("--fixes", fixes)
        found = {finding["id"]: finding for finding in before["findings"]}
        self.assertEqual({pair["merge"] for pair in before["classes"][0]["similar"]}, {"printing", "Printng"})
        self.assertEqual({one["label"] for one in before["classes"][0]["rare"]}, {"Fleet", "Canteen"})
        self.assertEqual([conflict["majority"] for conflict in before["copies"]["conflicts"]], ["Printing"])
        self.assertEqual([len(copies) for copies in before["copies"]["duplicates"]], [2])
        self.assertIn("empty-columns", found)
        self.assertEqual(before["predictions"][0]["verdict"], "predicts")
        self.assertNotEqual(before["predictions"][1]["verdict"], "predicts")
        self.assertEqual([month["month"] for month in before["drift"]["months"] if month["stands_out"]], ["2024-08"])
        self.assertRegex(before["summary"], r"^Before anything learns from 346 tickets, mend 3 things: .*the text says the category.*\.$")
        lines = fixes.read_text()
        self.assertEqual(before["fixes"], lines)
        with open(self.desk / "desk.toml", "a") as settings:
            settings.write(lines)
        again = json.loads(run("--desk", self.desk, "--json", "prepare").stdout)
        self.assertEqual(again["tickets"], 345)
        self.assertEqual(set(again["categories"]), {"Printing", "Stock", "User Access", "Other"})
        after = self.audit()
        self.assertFalse([finding["id"] for finding in after["findings"] if finding["severity"] == "mend"])
        self.assertIn("Nothing must be mended", after["summary"])
        for part in ("duplicates", "conflicts"):
            self.assertEqual(after["copies"][part], [])

    def test_for_people_the_summary_comes_first_and_scripts_have_an_exit_code(self):
        self.dirty_desk()
        said = run("--desk", self.desk, "audit").stdout
        self.assertTrue(said.startswith("Before anything learns from 346 tickets, mend"), said[:200])
        for part in ("To mend", "Worth a look", "To know", "For the end of desk.toml", '"Printng" = "Printing"', "the nightly label job"):
            self.assertIn(part, said)
        self.assertNotIn("the nightly label job", run("--desk", self.desk, "audit", "--no-texts").stdout)
        self.fails(3, "must be mended", "--desk", self.desk, "audit", "--strict")
        (self.folder / "there").write_text("")
        self.fails(5, "--force", "--desk", self.desk, "audit", "--fixes", self.folder / "there")
        run("--desk", self.desk, "audit", "--out", self.folder / "page", "--no-texts")
        self.assertNotIn("nightly label job", "".join(file.read_text() for file in (self.folder / "page").rglob("*") if file.is_file()))
        self.fails(5, "--force", "--desk", self.desk, "audit", "--out", self.folder / "page")

    def test_what_folds_and_audits_wrote_of_a_ticket_is_forgotten_with_it(self):
        self.dirty_desk()
        run("--desk", self.desk, "split", "--folds", "2")
        fixes = self.folder / "fixes.toml"
        run("--desk", self.desk, "audit", "--out", self.folder / "page", "--fixes", fixes)
        with open(self.desk / "desk.toml", "a") as settings:
            settings.write(fixes.read_text())
        named = [number for number, line in enumerate((self.desk / "desk.toml").read_text().split("\n"), 1) if '"1343"' in line]
        self.assertTrue(named)
        self.assertEqual(json.loads(run("--desk", self.desk, "--json", "forget", "1100").stdout)["settings"], [])
        self.assertTrue(fixes.exists())   # does not name that one
        gone = json.loads(run("--desk", self.desk, "--json", "forget", "1343").stdout)
        self.assertEqual(gone["settings"], [f"desk.toml:{number}" for number in named])
        self.assertFalse(fixes.exists())
        self.assertFalse(list(self.folder.rglob("fold-*/*.csv")) + list(self.folder.rglob("page/*.html")))
        self.assertTrue((self.desk / "data" / "train.csv").exists())

    def test_without_tickets_it_says_what_comes_first(self):
        self.new_desk()
        self.fails(4, "prepare", "--desk", self.desk, "audit")

    def test_a_desk_without_dates_labels_or_files_is_looked_through_all_the_same(self):
        table = self.folder / "tickets.csv"
        table.write_text(HEADER + "\n" + "".join(f"{i},,,,,,,,,only a text {i} <script>alert(1)</script>,,,,\n" for i in range(5)))
        self.new_desk(tickets=table, history=None)
        run("--desk", self.desk, "prepare")
        table.unlink()
        found = self.audit()
        self.assertIn("were not looked at", found["warnings"][0])
        self.assertEqual([one["severity"] for one in found["findings"] if one["id"].startswith("missing-")], ["look", "look"])
        self.assertIn("no ticket has", next(one for one in found["findings"] if one["id"] == "drift")["title"])

    def test_the_sample_is_audited(self):
        self.new_desk()
        run("--desk", self.desk, "prepare")
        found = self.audit()
        self.assertEqual(found["tickets"], 444)
        self.assertEqual({one["code"] for one in found["languages"]} & {"en", "de", "fr"}, {"en", "de", "fr"})
