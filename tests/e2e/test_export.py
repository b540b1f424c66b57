"""Exports and answering with adapters, as a user runs them: `test_export.py DESKHAND SOURCE_DIR`. The model is a tiny one made here."""
import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import tiny_model

PROGRAM, SOURCE = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
SAMPLE = SOURCE / "sample"
TEXT = "The printer on the third floor prints nothing but empty pages since this morning. " * 20


def run(*arguments, expect=0):
    done = subprocess.run([str(PROGRAM), *map(str, arguments)], capture_output=True, text=True, timeout=900)
    assert done.returncode == expect, f"{arguments} ended with {done.returncode}, wanted {expect}\n{done.stdout}\n{done.stderr}"
    return done


class WithTinyModel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shared = Path(tempfile.mkdtemp(prefix="deskhand-e2e-"))
        cls.addClassCleanup(shutil.rmtree, cls.shared)
        cls.base = cls.shared / "base"
        tiny_model.write_model(cls.base, SOURCE / "tests/golden")
        cls.lora, cls.hybrid = cls.shared / "lora", cls.shared / "hybrid"
        tiny_model.write_adapter(cls.lora, cls.base, tiny_model.adapter_tensors())
        tiny_model.write_adapter(cls.hybrid, cls.base, tiny_model.adapter_tensors(hybrid=True))
        (cls.shared / "text.txt").write_text(TEXT)

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="deskhand-e2e-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.no_desk = ["--desk", self.folder / "none"]

    def fails(self, code, pattern, *arguments):
        self.assertRegex(run(*arguments, expect=code).stderr, pattern)

    def perplexity(self, model, *options):
        return json.loads(run(*self.no_desk, "--json", "perplexity", model, self.shared / "text.txt", "--window", 64, *options).stdout)["perplexity"]


class Formats(WithTinyModel):
    def exported(self, source, kind, out, *options):
        return json.loads(run(*self.no_desk, "--json", "export", source, "--to", self.folder / out, "--format", kind, "--verify", *options).stdout)

    def test_every_format_and_type_is_verified_and_answers_as_what_was_trained(self):
        raw = self.perplexity(self.base)
        for adapter in (self.lora, self.hybrid):
            trained = self.perplexity(self.base, "--adapter", adapter)
            self.assertGreater(abs(trained - raw) / raw, 0.01)
            for kind, type_, most in (("merged", "f32", 1e-4), ("merged", "bf16", 0.05), ("gguf", "f32", 1e-4), ("gguf", "f16", 0.01), ("gguf", "q8_0", 0.05)):
                with self.subTest(adapter=adapter.name, kind=kind, type=type_):
                    out = f"{adapter.name}-{kind}-{type_}" + (".gguf" if kind == "gguf" else "")
                    stages = self.exported(adapter, kind, out, "--type", type_)["stages"]
                    self.assertEqual([stage["stage"] for stage in stages], ["merged, f16", "quantised, q8_0"] if type_ == "q8_0" else [f"merged, {type_}"])
                    self.assertTrue(all(stage["fault"] == "" for stage in stages))
                    self.assertLess(abs(self.perplexity(self.folder / out) - trained) / trained, most)
            self.exported(adapter, "peft", f"{adapter.name}-peft")
            self.assertAlmostEqual(self.perplexity(self.base, "--adapter", self.folder / f"{adapter.name}-peft"), trained, places=4)
        self.assertEqual(sorted(path.name for path in self.folder.iterdir() if "part" in path.name or "refused" in path.name), [])

    def test_a_lora_alone_goes_to_llama_cpp_and_a_hybrid_is_told_the_format_to_take(self):
        stages = self.exported(self.lora, "gguf-lora", "lora.gguf")["stages"]
        self.assertLess(stages[0]["largest"], 1e-3)
        self.fails(2, "replaces 2 tensors, lm_head among them; export it merged", *self.no_desk, "export", self.hybrid, "--to", self.folder / "x.gguf", "--format", "gguf-lora")
        self.fails(2, "is a model, and --format peft is for adapters", *self.no_desk, "export", self.base, "--to", self.folder / "x", "--format", "peft")
        self.fails(2, "q8_0 is a type of --format gguf alone", *self.no_desk, "export", self.lora, "--to", self.folder / "x", "--type", "q8_0")

    def test_a_gguf_becomes_a_hugging_face_folder_with_a_tokenizer_and_back(self):
        run(*self.no_desk, "export", self.base, "--to", self.folder / "base.gguf", "--format", "gguf", "--type", "f32")
        run(*self.no_desk, "export", self.lora, "--base", self.folder / "base.gguf", "--to", self.folder / "merged", "--type", "f32")
        self.assertTrue((self.folder / "merged/tokenizer.json").is_file())
        self.assertAlmostEqual(self.perplexity(self.folder / "merged"), self.perplexity(self.base, "--adapter", self.lora), places=3)

    def test_an_export_that_drifts_is_refused_and_set_aside(self):
        close = self.folder / "close"   # rows of the head that bf16 cannot tell apart
        tiny_model.write_model(close, SOURCE / "tests/golden", head=[100 + 0.1 * (i * 37 % 101) / 101 for i in range(tiny_model.VOCABULARY * tiny_model.WIDTH)])
        self.fails(3, r"the export is refused: saved, bf16: .*x\.refused", *self.no_desk, "export", close, "--to", self.folder / "x", "--type", "bf16", "--verify")
        self.assertFalse((self.folder / "x").exists())
        self.assertTrue((self.folder / "x.refused/model.safetensors").is_file())
        run(*self.no_desk, "export", close, "--to", self.folder / "x", "--type", "f32", "--verify")

    def test_what_is_there_is_not_written_over_unasked(self):
        (self.folder / "x.gguf").write_text("mine")
        command = [*self.no_desk, "export", self.lora, "--to", self.folder / "x.gguf", "--format", "gguf-lora"]
        self.fails(5, "--force", *command)
        run(*command, "--force")
        self.fails(5, "cannot", *self.no_desk, "export", self.lora, "--to", "/proc/x.gguf", "--format", "gguf-lora")


class BrokenAdapters(WithTinyModel):
    def refused(self, pattern, tensors, code=3):
        adapter = self.folder / "broken"
        shutil.rmtree(adapter, ignore_errors=True)
        tiny_model.write_adapter(adapter, self.base, tensors)
        for command in (["export", adapter, "--to", self.folder / "x"], ["perplexity", self.base, self.shared / "text.txt", "--adapter", adapter]):
            self.fails(code, pattern, *self.no_desk, *command)
        self.assertFalse((self.folder / "x").exists())

    def test_each_is_refused_with_what_is_wrong(self):
        name = "base_model.model.model.layers.1.mlp.up_proj"
        whole = tiny_model.adapter_tensors()
        source = tiny_model.random.Random(1)
        self.refused(r"up_proj goes from 32 to 96, the model's from 64 to 96; was the adapter trained for another base", {**whole, f"{name}.lora_A.weight": tiny_model.matrix(source, 4, 32, 1)})
        self.refused(r"of one rank r", {**whole, f"{name}.lora_A.weight": tiny_model.matrix(source, 3, 64, 1)})
        self.refused(r"up_proj has lora_B alone", {key: value for key, value in whole.items() if key != f"{name}.lora_A.weight"})
        self.refused(r"NaN or infinite", {**whole, f"{name}.lora_A.weight": ((4, 64), [float("nan")] * 256)})
        self.refused(r"layers\.7\.mlp\.up_proj is no linear layer of this model", {key.replace("layers.1.mlp.up_proj", "layers.7.mlp.up_proj"): value for key, value in whole.items()})

    def test_a_pickle_is_never_opened(self):
        adapter = self.folder / "pickled"
        adapter.mkdir()
        (adapter / "adapter_config.json").write_text((self.lora / "adapter_config.json").read_text())
        (adapter / "adapter_model.bin").write_bytes(b"\x80\x04cposix\nsystem\n(S'touch /tmp/opened'\ntR.")
        self.fails(3, "is a pickle.*never read", *self.no_desk, "export", adapter, "--to", self.folder / "x")
        self.fails(3, "is a pickle.*never read", *self.no_desk, "perplexity", self.base, self.shared / "text.txt", "--adapter", adapter)

    def test_a_base_or_run_that_is_not_there_is_named(self):
        adapter = self.folder / "homeless"
        tiny_model.write_adapter(adapter, "no-such-model", tiny_model.adapter_tensors())
        self.fails(4, "names 'no-such-model' as its base model, which is not here; give it with --base", *self.no_desk, "export", adapter, "--to", self.folder / "x")
        self.fails(4, "neither a run of this desk nor the folder of an adapter; there are: no runs yet", *self.no_desk, "perplexity", self.base, self.shared / "text.txt", "--adapter", "march")


class Answering(WithTinyModel):
    def make_desk(self):
        self.desk = self.folder / "desk"
        run("init", self.desk, "--tickets", SAMPLE / "tickets.xlsx", "--history", SAMPLE / "history.xlsx")
        file = self.desk / "desk.toml"
        text = file.read_text().replace('encoder = "all-minilm-l6-v2"', 'encoder = ""').replace('decoder = "qwen2.5-coder-0.5b-instruct"', f'decoder = "{self.base}"', 1)
        text = text.replace("validation = 40", "validation = 0").replace("resamples = 2000", "resamples = 100").replace("max_new_tokens = 200", "max_new_tokens = 48")
        file.write_text(text)
        for step in (["prepare"], ["split"], ["index", "--no-fit"]):
            run("--desk", self.desk, "--quiet", *step)
        shutil.copytree(self.lora, self.desk / "runs/march/adapter")
        shutil.copytree(self.base, self.desk / "runs/whole/model")
        return file

    def triage(self, *options):
        return json.loads(run("--desk", self.desk, "--json", "triage", "the scanner at the gate reads no labels", *options).stdout)

    def test_triage_answers_with_the_run_that_the_settings_or_the_command_line_name(self):
        file = self.make_desk()
        raw, tuned = self.triage("--adapter", "none"), self.triage("--adapter", "march")
        self.assertNotEqual(raw["answer"], tuned["answer"])
        file.write_text(file.read_text().replace('adapter = ""', 'adapter = "march"', 1))
        self.assertEqual(self.triage()["answer"], tuned["answer"])
        self.assertEqual(self.triage("--decoder", self.base)["answer"], raw["answer"], "another decoder answers without the desk's adapter")
        self.fails(4, "there are: march, whole", "--desk", self.desk, "triage", "a b", "--adapter", "april")
        self.fails(2, "trained every weight.*runs/whole/model", "--desk", self.desk, "triage", "a b", "--adapter", "whole")
        self.assertEqual(self.triage("--decoder", self.desk / "runs/whole/model")["answer"], raw["answer"])

    def test_raw_lora_and_hybrid_are_systems_of_an_evaluation_with_the_adapter_in_the_trace(self):
        file = self.make_desk()
        systems = "".join(f'[[evaluate.systems]]\nname = "{name}"\nadapter = "{adapter}"\ncases = 1\n' for name, adapter in (("raw", ""), ("pairs", "march"), ("all", self.hybrid)))
        file.write_text(file.read_text().replace("[compute]", systems + "[compute]", 1))
        command = ["--desk", self.desk, "--quiet", "evaluate", "--name", "a", "--limit", "2", "--splits", "none"]
        run(*command)
        figures = json.loads((self.desk / "evaluations/a/report/metrics.json").read_text())
        found = {one["identity"]["name"]: one["identity"] for one in figures["splits"][0]["systems"]}
        self.assertEqual([found[name]["kind"] for name in ("raw", "pairs", "all")], ["raw", "lora", "hybrid"])
        self.assertEqual(found["raw"]["adapter_hash"], "")
        self.assertRegex(found["pairs"]["adapter_hash"], r"^[0-9a-f]{64}$")
        self.assertNotEqual(found["pairs"]["adapter_hash"], found["all"]["adapter_hash"])

    def test_a_run_is_exported_by_its_name(self):
        self.make_desk()
        said = run("--desk", self.desk, "export", "march", "--to", self.folder / "m.gguf", "--format", "gguf", "--type", "f32", "--verify").stdout
        self.assertIn("6 held-out tickets of the desk", said)
        self.assertIn("verified", said)
        run("--desk", self.desk, "export", "whole", "--to", self.folder / "w.gguf", "--format", "gguf")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[3:]])
