"""cpu.prompt512.qwen05 and cpu.generate128.qwen05: llama-bench and engine_speed in turn on the same GGUF file, medians of the pairs' ratios.

    cpu_prompt_generate.py --llama-bench BIN --model FILE.gguf [--engine build/release/bench/engine_speed] [--threads 2] [--pairs 5]
"""
import argparse
import json
import subprocess

from measurement import median, record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama-bench", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--engine", default="build/release/bench/engine_speed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=5)
    arguments = parser.parse_args()

    ours, peer = [], []
    for _ in range(arguments.pairs):
        found = subprocess.run([arguments.llama_bench, "-m", arguments.model, "-t", str(arguments.threads), "-p", "512", "-n", "128", "-r", "1", "-o", "json"],
                               capture_output=True, text=True, check=True)
        rows = json.loads(found.stdout)
        peer.append((next(row["avg_ts"] for row in rows if row["n_prompt"]), next(row["avg_ts"] for row in rows if row["n_gen"])))
        found = subprocess.run([arguments.engine, arguments.model, str(arguments.threads), "512", "128", "1"], capture_output=True, text=True, check=True)
        row = json.loads(found.stdout)
        ours.append((row["prompt_tokens_s"], row["new_tokens_s"]))
    for which, name in enumerate(["cpu.prompt512.qwen05", "cpu.generate128.qwen05"]):
        ratios = [a[which] / b[which] for a, b in zip(ours, peer)]
        record(name, median([a[which] for a in ours]), "tok/s", "llama.cpp", median([b[which] for b in peer]), median(ratios),
               note=f"{arguments.threads} threads, {arguments.pairs} pairs in turn, ratios {min(ratios):.2f} to {max(ratios):.2f}")


main()
