"""eval.bertscore: the Python package bert-score (PyTorch, f32) and bert_score_speed in turn on the same pairs, model loading not counted.

    eval_bertscore.py --model FOLDER [--pairs-file PAIRS.jsonl] [--engine build/release/bench/bert_score_speed] [--threads 2] [--rounds 3]
                      [--dry]                                                                                    (needs bert-score)

A line of PAIRS.jsonl is ["candidate", "reference"]; without it, pairs of some 100 words are made. Rates with all texts distinct, and with
each reference shared by four candidates, as when four systems answer one ticket. --dry prints and appends nothing.
"""
import argparse
import json
import os
import random
import subprocess
import tempfile
import time

from measurement import median, record

WORDS = ("the invoice run stops with an error since this morning printer order customer screen stock ledger posting we cannot send please help "
         "urgent again restart service check log cache update driver user password reset network share folder permission report month").split()


def made_pairs(count: int) -> list[tuple[str, str]]:
    random.seed(5)
    text = lambda: " ".join(random.choice(WORDS) for _ in range(random.randint(70, 130)))
    return [(text(), text()) for _ in range(count)]


def shared(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(candidate, pairs[i // 4][1]) for i, (candidate, _) in enumerate(pairs)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--pairs-file")
    parser.add_argument("--engine", default="build/release/bench/bert_score_speed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=128)
    parser.add_argument("--dry", action="store_true")
    arguments = parser.parse_args()

    import torch
    from bert_score import BERTScorer
    torch.set_num_threads(arguments.threads)
    scorer = BERTScorer(model_type=os.path.abspath(arguments.model), num_layers=6, device="cpu", batch_size=64)
    given = [tuple(json.loads(line)) for line in open(arguments.pairs_file)] if arguments.pairs_file else made_pairs(arguments.pairs)
    distinct = given[:arguments.pairs]
    scorer.score([a for a, _ in distinct[:16]], [b for _, b in distinct[:16]])
    for name, pairs in (("distinct", distinct), ("shared", shared(distinct))):
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
            file.write("".join(json.dumps(pair) + "\n" for pair in pairs))
            file.flush()
            rates = {"f32": [], "int8": []}
            peer, worst = [], {}
            for _ in range(arguments.rounds):
                start = time.perf_counter()
                wanted = scorer.score([a for a, _ in pairs], [b for _, b in pairs])[2].tolist()
                peer.append(len(pairs) / (time.perf_counter() - start))
                for precision, ours in rates.items():
                    found = json.loads(subprocess.run([arguments.engine, arguments.model, str(arguments.threads), file.name, precision, "1"],
                                                      capture_output=True, text=True, check=True).stdout)
                    ours.append(found["pairs_s"])
                    worst[precision] = max(abs(a - b) for a, b in zip(found["f1"], wanted))
        assert worst["f32"] < 1e-5 and worst["int8"] < 2e-2, f"F1 differs by {worst}: not the same work"
        for precision, ours in rates.items():
            ratios = [a / b for a, b in zip(ours, peer)]
            note = (f"{precision}, {len(pairs)} pairs, {name} references, {arguments.threads} threads, {arguments.rounds} rounds in turn, "
                    f"ratios {min(ratios):.2f} to {max(ratios):.2f}, F1 differs by at most {worst[precision]:.1e}")
            if arguments.dry:
                print(f"ours {median(ours):.1f} pairs/s, bert-score {median(peer):.1f}, ratio {median(ratios):.2f}; {note}", flush=True)
            else:
                record("eval.bertscore", median(ours), "pairs/s", "bert-score 0.3.13 f32", median(peer), median(ratios), limit="3", note=note)


main()
