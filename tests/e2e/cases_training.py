"""Training runs and their comparison."""
import json
import shutil
import signal
import subprocess
import time

import tiny_model
from program import DECODER, ENCODER, HEADER, PROGRAM, SOURCE, Folder, has_gpu, read_jsonl, run


class Training(Folder):
    THINGS = ["invoice", "printer", "payroll", "forecast", "warehouse", "scanner", "dunning", "backup", "quote", "barcode", "budget", "contract"]
    HEADER = "TICKETID,ALTERNATEKEYSUFFIX,AREA,CATEGORY,ISSUE,RECEIVEDDATE,COMPLETEDDATE,SUBJECT,URGENCYCODE,PROBLEM,SOLUTION,RESULTIONSUMMARY,ACCOUNTID,ACCOUNT"
    QUICK = ["--set", "data.batch=4", "--set", "data.cases=1", "--set", "data.max_tokens=1024", "--set", "optimizer.learning_rate=1e-2", "--set", "data.validation_share=0.2"]

    def desk_to_train(self, rows=None, split=True):
        table = self.folder / "tickets.csv"
        if rows is None:   # near copies in pairs, told apart by a number alone
            rows = [f"{i},,ERP,{'Stock' if i % 4 < 2 else 'Sales'},Error,,,s,{1 + i // 2 % 5},the {self.THINGS[i // 2]} of the {self.THINGS[i // 2]} team shows a blank page after the {self.THINGS[i // 2]} update of Monday morning number {i},cleared the {self.THINGS[i // 2]} cache,r,A1,A" for i in range(24)]
        table.write_text("\n".join([self.HEADER, *rows]) + "\n")
        self.new_desk("--force" if self.desk.exists() else "--name=Tiny desk", tickets=table, history=None)
        self.change(f'encoder = "{ENCODER}"', 'encoder = ""')
        self.change(f'decoder = "{DECODER}"', f'decoder = "{self.folder / "tiny"}"')
        self.change("test_share = 0.05", "test_share = 0.2")
        if not (self.folder / "tiny").exists():
            tiny_model.write_model(self.folder / "tiny", SOURCE / "tests/golden", positions=2048, tied=True)
        run("--desk", self.desk, "prepare")
        if split:
            run("--desk", self.desk, "split", "--force")

    def train(self, *arguments, expect=0):
        return run("--desk", self.desk, "train", *arguments, expect=expect)

    def log(self, name):
        return read_jsonl(self.desk / "runs" / name / "log.jsonl")

    def test_a_run_learns_and_is_listed_and_the_same_run_gives_the_same_bytes(self):
        self.desk_to_train()
        plan = json.loads(self.train("lora", *self.QUICK, "--dry-run", "--json").stdout)
        self.assertFalse((self.desk / "runs" / "lora").exists(), "a dry run leaves no run behind")
        self.assertEqual(plan["memory_bytes"]["all"], sum(plan["memory_bytes"][part] for part in ("base", "trained", "pass")))
        self.assertEqual(plan["train_examples"] + plan["validation_examples"], plan["tickets"])
        kept_apart = {int(ticket) for ticket in plan["validation_tickets"]}
        self.assertTrue(kept_apart and all(ticket ^ 1 in kept_apart for ticket in kept_apart), "near copies stay on one side")
        self.assertRegex(self.train("lora", *self.QUICK, "--dry-run").stdout, r"(?s)steps .*tokens .*trained .*memory .*time .*Nothing was trained")
        done = self.train("lora", *self.QUICK)
        self.assertIn("evaluate --adapter lora", done.stdout.strip().splitlines()[-1])
        self.assertRegex(done.stderr, r"step 0: validation loss")
        folder = self.desk / "runs" / "lora"
        for name in ("run.json", "recipe.toml", "log.jsonl", "README.md", "adapter/adapter_config.json", "adapter/adapter_model.safetensors"):
            self.assertTrue((folder / name).is_file(), name)
        steps = [line for line in self.log("lora") if "loss" in line]
        evaluations = [line for line in self.log("lora") if "eval_loss" in line]
        self.assertEqual(len(steps), plan["steps"])
        self.assertLess(evaluations[-1]["eval_loss"], evaluations[0]["eval_loss"])
        info = json.loads((folder / "run.json").read_text())
        self.assertEqual((info["method"], info["data_hash"], info["train_examples"]), ("lora", plan["data_hash"], plan["train_examples"]))
        self.assertTrue(info["finished"])
        listed = json.loads(self.train("--list", "--json").stdout)
        self.assertEqual([(one["name"], one["method"], one["state"]) for one in listed], [("lora", "lora", "finished")])
        self.assertEqual(listed[0]["best_eval_loss"], min(line["eval_loss"] for line in evaluations))
        self.assertRegex(self.train("--list").stdout, r"lora +lora +finished")
        (self.desk / "runs/broken").mkdir()
        (self.desk / "runs/broken/run.json").write_text("{")
        self.assertRegex(self.train("--list").stdout, r"(?s)lora +lora +finished.*broken +unreadable .*run.json")
        shutil.rmtree(self.desk / "runs/broken")
        adapter = (folder / "adapter/adapter_model.safetensors").read_bytes()
        self.fails(5, "--resume.*--overwrite", "--desk", self.desk, "train", "lora", *self.QUICK)
        self.train("lora", *self.QUICK, "--overwrite")
        self.assertEqual((folder / "adapter/adapter_model.safetensors").read_bytes(), adapter)
        self.assertIn("finished", self.train("lora", *self.QUICK, "--resume").stdout)
        kept = json.loads((folder / "tickets.json").read_text())
        self.assertEqual({int(ticket) for ticket in kept["validation"]}, kept_apart)
        self.assertEqual(len(kept["learnt"]), plan["train_examples"])
        self.assertEqual(plan["kept_apart"], len(kept_apart), "what label weights are fitted on is evaluated on while training")
        self.assertRegex(" ".join(plan["warnings"]), r"\d+ of the 20 tickets that label weights and temperature are fitted on are learnt from all the same")
        self.change("seed = 42", "seed = 7")
        run("--desk", self.desk, "split", "--force")
        run("--desk", self.desk, "evaluate", "--adapter", "lora", "--limit", "4", "--splits", "none", "--name", "other")
        told = (self.desk / "evaluations/other/report/metrics.json").read_text()
        self.assertRegex(told, r"It was trained on \d+ of the 4 tickets that are held out here")

    def test_what_label_weights_and_temperature_are_fitted_on_is_not_learnt_from(self):
        self.desk_to_train()
        self.change("held_out = 30", "held_out = 1")
        self.change("validation = 40", "validation = 1")
        self.train("lora", *self.QUICK, "--name", "apart")
        self.train("lora", *self.QUICK, "--set", "data.keep_apart=false", "--set", "data.validation_share=0", "--name", "everything")
        told = {}
        for run_name in ("apart", "everything"):
            run("--desk", self.desk, "evaluate", "--adapter", run_name, "--limit", "2", "--splits", "none", "--name", run_name, "--systems", "deskhand triage")
            systems = json.loads((self.desk / "evaluations" / run_name / "report/metrics.json").read_text())["splits"][0]["systems"]
            told[run_name] = " ".join(next(one for one in systems if one["identity"]["name"] == "deskhand triage")["warnings"])
        self.assertIn("It was trained on 2 of the 2 tickets that its label weights and temperature are fitted on", told["everything"])
        self.assertNotIn("It was trained on", told["apart"])
        plan = json.loads(self.train("lora", *self.QUICK, "--limit", 10, "--dry-run", "--json").stdout)
        self.assertLessEqual(plan["train_examples"] + plan["validation_examples"], 10)
        self.assertFalse(plan["warnings"])

    def test_tensorboard_itself_reads_what_a_run_logs(self):
        reader = (f"import sys; sys.path.insert(0, {str(SOURCE / '.deps')!r}); from tensorboard.backend.event_processing.event_accumulator import EventAccumulator as A; import json; "
                  "a = A(sys.argv[1], size_guidance={'scalars': 0}); a.Reload(); print(json.dumps({t: [[e.step, e.value] for e in a.Scalars(t)] for t in a.Tags()['scalars']}))")
        if subprocess.run(["/usr/bin/python3", "-c", reader.split("; a = A")[0]], capture_output=True).returncode:
            self.skipTest("TensorBoard or its Debian packages (python3-absl, python3-numpy, python3-protobuf) are not here: ./setup test brings them")
        self.desk_to_train()
        self.train("lora", *self.QUICK)
        found = subprocess.run(["/usr/bin/python3", "-c", reader, str(self.desk / "runs" / "lora" / "tensorboard")], capture_output=True, text=True, check=True)
        scalars = json.loads(found.stdout)
        steps = [line for line in self.log("lora") if "loss" in line]
        self.assertEqual([step for step, _ in scalars["train/loss"]], [line["step"] for line in steps])
        for tag, key in (("train/loss", "loss"), ("train/grad_norm", "grad_norm"), ("train/learning_rate", "learning_rate"), ("train/entropy", "entropy"), ("train/mean_token_accuracy", "mean_token_accuracy")):
            for (_, value), line in zip(scalars[tag], steps):
                self.assertAlmostEqual(value, line[key], delta=1e-5 * max(1, abs(line[key])))
        self.assertEqual(len(scalars["eval/loss"]), len([line for line in self.log("lora") if "eval_loss" in line]))

    def test_an_interrupted_run_goes_on_to_the_same_adapter(self):
        self.desk_to_train()
        long = [*self.QUICK, "--set", "run.epochs=30"]
        self.train("lora", *long, "--name", "whole")
        log = self.desk / "runs" / "cut" / "log.jsonl"
        interrupted = subprocess.Popen([str(PROGRAM), "--desk", str(self.desk), "train", "lora", *long, "--name", "cut"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.time() + 120
        while time.time() < deadline and not (log.exists() and log.read_text().count('"loss"') >= 3):
            time.sleep(0.005)
        interrupted.send_signal(signal.SIGINT)
        _, messages = interrupted.communicate(timeout=120)
        self.assertEqual(interrupted.returncode, 130, messages)
        self.assertRegex(messages, r"interrupted at step \d+ of \d+.*train lora --name cut .*--resume")
        self.assertRegex(self.train("--list").stdout, r"cut +lora +at step \d+")
        self.fails(2, "settings are others", "--desk", self.desk, "train", "lora", *long, "--set", "lora.r=4", "--name", "cut", "--resume")
        self.fails(2, "tickets.*are others", "--desk", self.desk, "train", "lora", *long, "--limit", 9, "--name", "cut", "--resume")
        self.train("--name", "cut", "--resume")
        both = [(self.desk / "runs" / name / "adapter/adapter_model.safetensors").read_bytes() for name in ("whole", "cut")]
        self.assertEqual(*both)
        losses = [[line["loss"] for line in self.log(name) if "loss" in line] for name in ("whole", "cut")]
        self.assertEqual(*losses)

    def test_two_runs_are_compared_on_one_page(self):
        self.desk_to_train()
        self.train("lora", *self.QUICK)
        self.train("hybrid", *self.QUICK)
        said = run("--desk", self.desk, "compare", "lora", "hybrid", "--out", self.folder / "both").stdout
        self.assertRegex(said, r"(?s)lowest validation loss is .*Training loss, mean .*Validation loss, lowest")
        page = (self.folder / "both" / "index.html").read_text()
        self.assertIn("charts/train-loss-tokens.svg", page)
        self.assertIn("hybrid (hybrid)", (self.folder / "both/charts/eval-loss-epoch.svg").read_text())
        figures = json.loads(run("--desk", self.desk, "--json", "compare", "lora", "hybrid").stdout)
        losses = [line["loss"] for line in self.log("lora") if "loss" in line]
        self.assertAlmostEqual(figures["runs"][0]["averages"]["train_loss"], sum(losses) / len(losses))
        self.fails(4, "'other' is no training run.*--list", "--desk", self.desk, "compare", "lora", "other")

    def test_the_seeds_recipe_and_every_weight_of_a_small_model_are_trained(self):
        self.desk_to_train()
        self.train("thesis-lora", "--set", "run.epochs=1", "--limit", 10)
        done = self.train("full-small", *self.QUICK, "--set", "run.epochs=1", "--name", "all")
        model = self.desk / "runs/all/model"
        self.assertTrue((model / "tokenizer.json").is_file())
        self.assertIn(f"evaluate --decoder {model}", done.stdout)
        self.change("held_out = 30", "held_out = 0")
        self.change("validation = 40", "validation = 0")
        run("--desk", self.desk, "evaluate", "--name", "all", "--splits", "none", "--limit", 2, "--decoder", model, "--systems", "model, no cases")
        curves = json.loads((self.desk / "evaluations/all/report/metrics.json").read_text())["training"]
        self.assertEqual([(curve["run"], curve["method"]) for curve in curves], [("all", "full")])
        self.assertEqual(curves[0]["loss"], [line["loss"] for line in self.log("all") if "loss" in line], "an evaluation carries the curves of what it measured")

    def test_bad_input_is_one_clear_sentence(self):
        self.desk_to_train(split=False)
        self.fails(4, "split", "--desk", self.desk, "train", "lora")
        run("--desk", self.desk, "split")
        self.fails(2, r"nothing knows 'rr' in \[lora\]; did you mean 'r'", "--desk", self.desk, "train", "lora", "--set", "lora.rr=8")
        self.fails(4, "no recipe 'lore': neither a file nor one of lora, hybrid", "--desk", self.desk, "train", "lore")
        self.fails(2, "reads at most 2048 tokens", "--desk", self.desk, "train", "lora", "--set", "data.max_tokens=4096", "--set", "data.pass_tokens=4096")
        self.fails(2, "GPUs of compute capability 8.9 or newer; on the CPU", "--desk", self.desk, "--device", "cpu", "train", "lora", "--set", "precision=fp8")
        if not has_gpu():
            self.fails(2, "or use --device cpu", "--desk", self.desk, "--device", "cuda", "train", "lora")
        self.fails(2, "cannot be called", "--desk", self.desk, "train", "lora", "--name", "../lora")
        self.fails(4, "holds no training run", "--desk", self.desk, "train", "lora", "--resume")
        self.fails(4, "deskhand model get", "--desk", self.desk, "train", "lora", "--model", "no-such-model")
        self.fails(2, "no linear layer 'z_proj'", "--desk", self.desk, "train", "lora", *self.QUICK, "--set", 'lora.targets=["z_proj"]')
        self.assertFalse((self.desk / "runs" / "lora" / "run.json").exists(), "what is refused leaves no run behind")
        self.change('decoder = "', 'decoder = "" # "')
        self.fails(2, "names no decoder", "--desk", self.desk, "train", "lora")

    def test_tickets_that_cannot_teach_are_counted_and_too_few_are_refused(self):
        row = lambda number, problem, solution: f"{number},,ERP,Stock,Error,,,,3,{problem},{solution},,A1,A"
        self.desk_to_train([row(1, "the printer is on fire", "water"), row(2, "screen of the till stays dark", ""), row(3, "rows of the budget vanish", "")])
        text = self.fails(3, r"can teach, there are .*no resolution; wanted are at least 2", "--desk", self.desk, "train", "lora").stderr
        self.assertNotIn("fire", text)
        self.fails(3, r"and an urgency and a category \(the recipe's format, seed, learns both", "--desk", self.desk, "train", "thesis-lora")
