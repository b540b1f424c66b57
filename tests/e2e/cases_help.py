"""Help, errors and exit codes, and what the doctor says."""
import json
import unittest

from program import COMMANDS, SAMPLE, Folder, has_gpu, run


class Help(unittest.TestCase):
    def test_every_command_explains_itself_with_an_example(self):
        whole = run("--help").stdout
        for command in COMMANDS:
            self.assertIn(command, whole)
            self.assertIn("Example", run(command, "--help").stdout)

    def test_what_is_not_a_command_or_option_is_named_with_the_nearest_one(self):
        for words, said in ((["trian"], "there is no command 'trian'; did you mean 'train'?"), (["--jsn", "doctor"], "no option '--jsn'; did you mean '--json'"),
                            (["split", "--metod", "time"], "no option '--metod'; did you mean '--method'?; see: deskhand split --help"), (["conquer"], "no command 'conquer';"),
                            (["search"], "QUERY is required; see: deskhand search --help"), (["split", "extra"], "'extra' is one word too many"),
                            (["model"], "'deskhand model' wants a command of its own"), (["model", "gte"], "did you mean 'get'"), ([], "a command is wanted")):
            with self.subTest(words=words):
                message = run(*words, expect=2).stderr
                self.assertIn(said, message)
                self.assertTrue(message.startswith("deskhand: ") and message.count("\n") == 1, message)
        self.assertNotIn("{false}", run("evaluate", "--help").stdout)
        self.assertIn("--desk DIR", run("search", "--help").stdout)
        self.assertIn("deskhand init", run("--help").stdout)

    def test_what_is_not_a_command_or_option_ends_with_the_usage_code(self):
        run("conquer", expect=2)
        run("search", expect=2)
        run("init", "--colour", "blue", expect=2)
        run(expect=2)


class Errors(Folder):
    def test_without_a_desk_the_message_says_how_to_make_one(self):
        self.fails(4, "deskhand init", "--desk", self.folder, "prepare")

    def test_a_desk_is_not_made_twice(self):
        self.new_desk()
        self.fails(5, "--force", "init", self.desk)
        run("init", self.desk, "--force")

    def test_a_desk_cannot_be_made_where_nothing_can_be_written(self):
        self.fails(5, "cannot make the folder", "init", "/proc/deskhand")

    def test_a_misspelt_setting_is_named_with_its_line_and_the_nearest_one(self):
        self.new_desk()
        self.change("max_new_tokens", "max_new_token")
        self.fails(2, r"line \d+: nothing knows 'max_new_token' in \[answer\]; did you mean 'max_new_tokens'", "--desk", self.desk, "prepare")

    def test_a_setting_out_of_range_is_refused(self):
        self.new_desk()
        self.change("test_share = 0.05", "test_share = 5")
        self.fails(2, r"line \d+: split.test_share must be a number from", "--desk", self.desk, "split")

    def test_a_missing_column_is_named_with_what_to_write(self):
        self.new_desk()
        self.change("# [import.columns]", "[import.columns]\nproblem = \"PROBLEMM\"\n#")
        self.fails(3, r"(?s)tickets\.xlsx.*PROBLEMM.*PROBLEM", "--desk", self.desk, "prepare")

    def test_files_that_are_not_what_their_names_say_are_refused(self):
        broken = self.folder / "broken.xlsx"
        whole = (SAMPLE / "tickets.xlsx").read_bytes()
        for contents in (whole[:5000], b"PK\x03\x04 not a zip after all", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), b"", bytes(range(256)) * 8):
            with self.subTest(contents=contents[:16]):
                broken.write_bytes(contents)
                self.new_desk("--force", tickets=broken)
                self.fails(3, "broken.xlsx", "--desk", self.desk, "prepare")
                self.assertEqual(json.loads(run("--desk", self.desk, "--json", "doctor").stdout)[-2]["text"].split()[0], "0")

    def test_an_unknown_label_names_its_row(self):
        table = self.folder / "tickets.csv"
        table.write_text("TICKETID,ALTERNATEKEYSUFFIX,AREA,CATEGORY,ISSUE,RECEIVEDDATE,COMPLETEDDATE,SUBJECT,URGENCYCODE,PROBLEM,SOLUTION,RESULTIONSUMMARY,ACCOUNTID,ACCOUNT\n"
                         "1,,ERP,Stock,Error,01/02/2024,02/02/2024,s,3,p,s,r,A1,A\n2,,ERP,Stock,Error,01/02/2024,02/02/2024,s,urgent,p,s,r,A1,A\n")
        self.new_desk(tickets=table, history=None)
        self.fails(3, r"tickets\.csv.*row 3.*'?urgent", "--desk", self.desk, "prepare")

    def test_a_model_that_is_not_there_or_broken_is_named(self):
        self.fails(4, "deskhand model get", "--models", self.folder, "perplexity", "no-such-model", SAMPLE / "queries.txt")
        for contents in (b"GGUF", b"GGUF\x03\0\0\0" + b"\xff" * 16, b"nonsense"):
            model = self.folder / "broken.gguf"
            model.write_bytes(contents)
            self.fails(3, "broken.gguf", "perplexity", model, SAMPLE / "queries.txt")

    def test_a_mistyped_file_of_queries_is_not_answered_as_a_ticket(self):
        self.fails(4, "there is no file querys.txt", "--desk", self.folder, "triage", "querys.txt")
        self.fails(2, "is a folder", "--desk", self.folder, "triage", self.folder)

    def test_the_demo_leaves_another_desk_alone(self):
        self.new_desk()
        self.fails(5, "not a demo's desk", "demo", self.desk)

    def test_commands_out_of_order_say_what_comes_first(self):
        self.new_desk()
        self.fails(4, "prepare", "--desk", self.desk, "split")
        self.fails(4, "index", "--desk", self.desk, "search", "anything")


class Doctor(Folder):
    def test_it_says_what_this_machine_and_desk_have(self):
        self.new_desk()
        findings = {finding["about"]: finding for finding in json.loads(run("--desk", self.desk, "--json", "doctor").stdout)}
        self.assertEqual(findings["desk.db"]["text"], "intact")
        self.assertRegex(findings["processor"]["text"], r"\d+ threads")
        (self.desk / "desk.db").write_bytes(b"x" * 8192)
        self.fails(3, "something wrong", "--desk", self.desk, "doctor")

    def test_a_gpu_that_is_asked_for_and_cannot_be_used_is_wrong(self):
        if has_gpu():
            self.skipTest("here is one")
        self.new_desk()
        self.assertIn("computed on the processor", run("--desk", self.desk, "doctor").stdout)
        said = self.fails(3, "something wrong", "--desk", self.desk, "--device", "cuda", "doctor").stdout
        self.assertIn("no GPU can be used, which --device cuda asks for", said)

    def test_a_desk_that_is_named_must_be_there(self):
        self.assertIn("WRONG  desk", self.fails(4, "there is no desk in", "--desk", self.folder / "none", "doctor").stdout)
        self.assertIn("note   desk", run("doctor", cwd=self.folder).stdout)
