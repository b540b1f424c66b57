"""gpu.lora.packed8192, gpu.lora.fp8, gpu.hybrid.packed8192, gpu.lora.seedbatch, gpu.hybrid.seedbatch, gpu.lora.memory, gpu.qlora.memory; with
--whole gpu.seedrun.lora, gpu.seedrun.hybrid, gpu.seedrun.lora.fp8: whole training steps of a model of Llama-3.1-8B's shape on one GPU, HF PEFT
and Liger (gpu_peft_speed.py) and gpu_training one after the other.

    gpu_training.py [--engine build/cuda/bench/gpu_training] [--steps 8] [--no-liger] [--whole] [--dry]

Packed: 8 texts of 1 024 tokens, all of them real, for everybody. Seed batch: 8 tickets of 110 and 160 tokens, which the peer pads to 256 and
we do not; real tokens are counted. fp8: our frozen matrices in FP8, the peers' in bf16. Memory: ours in two passes of 4 096 tokens, and over a
base in q4_k in passes of 2 048 tokens whose activations are computed again, all that the process takes on the card but for CUDA's own context;
the peer's is what PyTorch allocated. --whole: the thesis' training, 1 226 steps of the seed batch with its dropout (the peers' steps are
without), seconds of its steps alone: no loading, evaluations or checkpoints; the peer's by its step. Needs torch, transformers, peft,
liger-kernel and a GPU.
"""
import argparse
import json
import os
import subprocess
import sys

from measurement import card, record, said_by

PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gpu_peft_speed.py")
# Of each row: ours (gpu_training's METHOD TEXTS LENGTHS PASSES, and what follows STEPS), the peer's case, whether Liger is asked too, what is
# to be reached.
ROWS = {"gpu.lora.packed8192": (["lora", "8", "1024", "1"], "lora:8x1024", True, 20500),
        "gpu.lora.fp8": (["lora", "8", "1024", "1", "fp8"], "lora:8x1024", True, 28000),
        "gpu.hybrid.packed8192": (["hybrid", "8", "1024", "1"], "hybrid:8x1024", True, 19000),
        "gpu.lora.seedbatch": (["lora", "8", "110,160", "1"], "lora:padded", False, 15000),
        "gpu.hybrid.seedbatch": (["hybrid", "8", "110,160", "1"], "hybrid:padded", False, 12500)}
MEMORY = ["lora", "8", "1024", "2"]
MEMORY_REACH = 36
QLORA = ["lora", "8", "1024", "4", "q4_k", "32", "1"]
QLORA_REACH = 7
# The peer's row, what goes behind ours (base, layers, recompute, the thesis' dropout), seconds to be reached.
WHOLE = {"gpu.seedrun.lora": ("gpu.lora.seedbatch", ["bf16", "32", "0", "0.15"], 75),
         "gpu.seedrun.hybrid": ("gpu.hybrid.seedbatch", ["bf16", "32", "0", "0.05"], 85),
         "gpu.seedrun.lora.fp8": ("gpu.lora.seedbatch", ["fp8", "32", "0", "0.15"], 40)}
WHOLE_STEPS, SEED_TOKENS = 1226, 4 * (110 + 160)


def said(found: dict, between: str, otherwise: str) -> str:
    return f"{found['tokens_s']:.0f}{between}{found['gib']:.1f}" if found.get("tokens_s") else otherwise


def peers(engine: str, steps: int, cases: list[str]) -> dict:
    output = subprocess.run([sys.executable, PEER, engine, str(steps), *cases], capture_output=True, text=True)
    if output.returncode != 0:  # ours is not lost for it
        print(output.stderr[-2000:], file=sys.stderr)
    found = [json.loads(line) for line in output.stdout.splitlines() if line.startswith("{")]
    return {one["case"]: one for one in found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="build/cuda/bench/gpu_training")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--no-liger", action="store_true")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--dry", action="store_true")
    arguments = parser.parse_args()
    steps = arguments.steps

    def ours(case: list[str], steps: int = steps) -> dict:
        return said_by(arguments.engine, [*case[:4], str(steps), *case[4:]])

    found = {name: ours(row[0]) for name, row in ROWS.items()}
    in_two, over_four_bits = ours(MEMORY), ours(QLORA)
    runs = {name: ours(ROWS[row][0] + more, WHOLE_STEPS) for name, (row, more, _) in WHOLE.items()} if arguments.whole else {}
    whole = {name: run["all_s"] for name, run in runs.items() if run}
    theirs = {"HF PEFT": peers("hf", steps, [row[1] for row in ROWS.values()])}
    if not arguments.no_liger:
        theirs["Liger"] = peers("liger", steps, [row[1] for row in ROWS.values() if row[2]])
    note = f"{card()}, {steps} steps"
    print(f"| {note} | tok/s | GiB | HF PEFT tok/s, GiB | Liger tok/s, GiB | to reach |\n|---|---|---|---|---|---|")
    for name, (_, case, _, reach) in ROWS.items():
        told = [said(one, ", ", one.get("fault", "")) for one in (theirs["HF PEFT"].get(case, {}), theirs.get("Liger", {}).get(case, {}))]
        print(f"| {name} | {said(found[name], ' | ', 'failed | ')} | {told[0]} | {told[1]} | {reach} |")
    print(f"| gpu.lora.memory, in two passes | {said(in_two, ' | ', 'failed | ')} | | | {MEMORY_REACH} GiB |")
    print(f"| gpu.qlora.memory, 2 048 tokens a pass | {said(over_four_bits, ' | ', 'failed | ')} | | | {QLORA_REACH} GiB |")
    for name, seconds in whole.items():
        print(f"| {name} | {seconds:.1f} s | | | | {WHOLE[name][2]} s |")
    if arguments.dry:
        return
    for name, seconds in whole.items():
        row, _, reach = WHOLE[name]
        rate = theirs["HF PEFT"].get(ROWS[row][1], {}).get("tokens_s")
        peer, theirs_s = ("HF PEFT by its step", SEED_TOKENS * WHOLE_STEPS / rate) if rate else ("limit", reach)
        record(name, seconds, "s", peer, theirs_s, theirs_s / seconds, limit=str(reach), note=f"{card()}, {WHOLE_STEPS} steps")
    if over_four_bits:
        record("gpu.qlora.memory", over_four_bits["gib"], "GiB", "limit", 8, over_four_bits["gib"] / 8, limit=str(QLORA_REACH),
               note=f"{note}, q4_k, four passes of 2048 tokens, activations computed again, {over_four_bits['tokens_s']:.0f} tok/s")
    for peer, cases in theirs.items():
        for name, (_, case, _, reach) in ROWS.items():
            if found[name] and cases.get(case, {}).get("tokens_s"):
                rate = cases[case]["tokens_s"]
                record(name, found[name]["tokens_s"], "tok/s", peer, rate, found[name]["tokens_s"] / rate, limit=str(reach), note=note)
        gib = cases.get("lora:8x1024", {}).get("gib")
        if in_two and gib:
            record("gpu.lora.memory", in_two["gib"], "GiB", peer, gib, in_two["gib"] / gib, limit=str(MEMORY_REACH), note=f"{note}, two passes of 4096 tokens")
    if not all([*found.values(), in_two, over_four_bits, *runs.values()]):
        sys.exit("some cases failed: their words are above")


main()
