"""gpu.lora.packed8192, gpu.hybrid.packed8192, gpu.lora.seedbatch, gpu.hybrid.seedbatch, gpu.lora.memory: whole training steps of a model of
Llama-3.1-8B's shape on one GPU, HF PEFT and Liger (gpu_peft_speed.py) and gpu_training one after the other.

    gpu_training.py [--engine build/cuda/bench/gpu_training] [--steps 8] [--no-liger] [--dry]

Packed: 8 texts of 1 024 tokens, all of them real, for everybody. Seed batch: 8 tickets of 110 and 160 tokens, which the peer pads to 256 and
we do not; real tokens are counted. Memory: ours in two passes of 4 096 tokens, all that the process takes on the card; the peer's is what
PyTorch allocated. Needs torch, transformers, peft, liger-kernel and a GPU.
"""
import argparse
import json
import os
import subprocess
import sys

from measurement import record

PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gpu_peft_speed.py")
# Of each row: ours (gpu_training's METHOD TEXTS LENGTHS PASSES), the peer's case, whether Liger is asked too, what is to be reached.
ROWS = {"gpu.lora.packed8192": (["lora", "8", "1024", "1"], "lora:8x1024", True, 20500),
        "gpu.hybrid.packed8192": (["hybrid", "8", "1024", "1"], "hybrid:8x1024", True, 19000),
        "gpu.lora.seedbatch": (["lora", "8", "110,160", "1"], "lora:padded", False, 15000),
        "gpu.hybrid.seedbatch": (["hybrid", "8", "110,160", "1"], "hybrid:padded", False, 12500)}
MEMORY = ["lora", "8", "1024", "2"]
MEMORY_REACH = 36


def card() -> str:
    return subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"], capture_output=True, text=True).stdout.strip()


def peers(engine: str, steps: int, cases: list[str]) -> dict:
    output = subprocess.run([sys.executable, PEER, engine, str(steps), *cases], capture_output=True, text=True, check=True).stdout
    found = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return {one["case"]: one for one in found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="build/cuda/bench/gpu_training")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--no-liger", action="store_true")
    parser.add_argument("--dry", action="store_true")
    arguments = parser.parse_args()
    steps = arguments.steps

    def ours(case: list[str]) -> dict:
        return json.loads(subprocess.run([arguments.engine, *case, str(steps)], capture_output=True, text=True, check=True).stdout)

    found = {name: ours(row[0]) for name, row in ROWS.items()}
    in_two = ours(MEMORY)
    theirs = {"HF PEFT": peers("hf", steps, [row[1] for row in ROWS.values()])}
    if not arguments.no_liger:
        theirs["Liger"] = peers("liger", steps, [row[1] for row in ROWS.values() if row[2]])
    note = f"{card()}, {steps} steps"
    print(f"| {note} | tok/s | GiB | HF PEFT tok/s, GiB | Liger tok/s, GiB | to reach |\n|---|---|---|---|---|---|")
    for name, (_, case, _, reach) in ROWS.items():
        told = [f"{at[case]['tokens_s']:.0f}, {at[case]['gib']:.1f}" if case in at else "" for at in (theirs["HF PEFT"], theirs.get("Liger", {}))]
        print(f"| {name} | {found[name]['tokens_s']:.0f} | {found[name]['gib']:.1f} | {told[0]} | {told[1]} | {reach} |")
    print(f"| gpu.lora.memory, in two passes | {in_two['tokens_s']:.0f} | {in_two['gib']:.1f} | | | {MEMORY_REACH} GiB |")
    if arguments.dry:
        return
    for peer, cases in theirs.items():
        for name, (_, case, _, reach) in ROWS.items():
            if cases.get(case, {}).get("tokens_s"):
                rate = cases[case]["tokens_s"]
                record(name, found[name]["tokens_s"], "tok/s", peer, rate, found[name]["tokens_s"] / rate, limit=str(reach), note=note)
        gib = cases["lora:8x1024"]["gib"]
        if gib:
            record("gpu.lora.memory", in_two["gib"], "GiB", peer, gib, in_two["gib"] / gib, limit=str(MEMORY_REACH), note=f"{note}, two passes of 4096 tokens")


main()
