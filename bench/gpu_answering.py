"""gpu.generate.bf16, .q8_0, .q4_0, gpu.prompt2048.bf16, .q8_0, .q4_0, gpu.tickets64, .sharing (prompts that begin alike), .q8_0, .q4_0,
gpu.memory.q8, .q4, gpu.embed160: answering of a model of Llama-3.1-8B's shape and embedding by one of MiniLM's on one GPU, all with random
weights (gpu_answering).

    gpu_answering.py [--engine build/cuda/bench/gpu_answering] [--rounds 1] [--peers PEERS.json] [--dry]

PEERS.json holds what others reach on the same card, {"gpu.generate.q4_0": ["llama.cpp", 326], ...}, as gpu_llama_cpp.py writes it; a row without
one is held to its limit alone. The best of the rounds counts. Needs a GPU of 40 GB.
"""
import argparse
import json
import sys

from measurement import card, record, said_by

# Of each row: the engine's argument, its key, the unit, what is to be reached.
ROWS = {"gpu.generate.bf16": ("bf16", "generate_tok_s", "tok/s", 175),
        "gpu.generate.q8_0": ("q8_0", "generate_tok_s", "tok/s", 300),
        "gpu.generate.q4_0": ("q4_0", "generate_tok_s", "tok/s", 460),
        "gpu.prompt2048.bf16": ("bf16", "prompt2048_tok_s", "tok/s", 38000),
        "gpu.prompt2048.q8_0": ("q8_0", "prompt2048_tok_s", "tok/s", 35000),
        "gpu.prompt2048.q4_0": ("q4_0", "prompt2048_tok_s", "tok/s", 35000),
        "gpu.tickets64": ("bf16", "tickets64_s", "tickets/s", 35),
        "gpu.tickets64.sharing": ("bf16", "tickets64_sharing256_s", "tickets/s", 35),
        "gpu.tickets64.q8_0": ("q8_0", "tickets64_s", "tickets/s", 35),
        "gpu.tickets64.q4_0": ("q4_0", "tickets64_s", "tickets/s", 35),
        "gpu.memory.q8": ("q8_0", "gib", "GiB", 9.5),
        "gpu.memory.q4": ("q4_0", "gib", "GiB", 5.5),
        "gpu.embed160": ("minilm", "texts160_s", "texts/s", 60000)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="build/cuda/bench/gpu_answering")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--peers")
    parser.add_argument("--dry", action="store_true")
    arguments = parser.parse_args()
    peers = {}
    if arguments.peers:
        with open(arguments.peers, encoding="utf-8") as file:
            peers = json.load(file)

    found: dict[str, list[dict]] = {}
    for case in dict.fromkeys(row[0] for row in ROWS.values()):
        found[case] = [one for one in (said_by(arguments.engine, [case]) for _ in range(arguments.rounds)) if one]
    note = f"{card()}, best of {arguments.rounds}"
    best = {name: (min if unit == "GiB" else max)(one[key] for one in found[case]) for name, (case, key, unit, _) in ROWS.items() if found[case]}
    print(f"| {note} | ours | a peer | to reach |\n|---|---|---|---|")
    for name, (_, _, unit, reach) in ROWS.items():
        peer, rate = peers.get(name, ("", ""))
        if name not in best:
            print(f"| {name} | failed | {peer} {rate} | {reach} |")
            continue
        print(f"| {name} | {best[name]:.4g} {unit} | {peer} {rate} | {reach} |")
    if arguments.dry:
        return
    for name, (_, _, unit, reach) in ROWS.items():
        if name not in best:
            continue
        peer, rate = peers.get(name, ("limit", reach))
        record(name, best[name], unit, peer, rate, best[name] / rate, limit=str(reach), note=note)
    if len(best) < len(ROWS):
        sys.exit("some cases failed: their words are above")


main()
