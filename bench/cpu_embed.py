"""cpu.embed.words20 and cpu.embed.words120: sentence-transformers (PyTorch, f32) and embed_speed in turn on the same texts.

    cpu_embed.py --model FOLDER [--engine build/release/bench/embed_speed] [--threads 2] [--pairs 5]      (needs sentence-transformers)
"""
import argparse
import json
import random
import subprocess
import tempfile
import time

from measurement import median, record

WORDS = "the invoice run stops with an error since this morning printer order customer screen stock ledger posting we cannot send please help urgent again".split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--engine", default="build/release/bench/embed_speed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--texts", type=int, default=128)
    arguments = parser.parse_args()

    import torch
    from sentence_transformers import SentenceTransformer
    torch.set_num_threads(arguments.threads)
    peer_model = SentenceTransformer(arguments.model, device="cpu")
    for words in (20, 120):
        random.seed(words)
        texts = [" ".join(random.choice(WORDS) for _ in range(words)) for _ in range(arguments.texts)]
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("\n".join(texts) + "\n")
            file.flush()
            ours, peer = [], []
            peer_model.encode(texts[:32], batch_size=32)
            for _ in range(arguments.pairs):
                start = time.perf_counter()
                vectors = peer_model.encode(texts, batch_size=32, normalize_embeddings=True)
                peer.append(len(texts) / (time.perf_counter() - start))
                found = json.loads(subprocess.run([arguments.engine, arguments.model, str(arguments.threads), file.name, "128", "1"], capture_output=True, text=True, check=True).stdout)
                ours.append(found["texts_s"])
                worst = max(abs(a - b) for a, b in zip(found["first"] + found["last"], list(vectors[0][:4]) + list(vectors[-1][:4])))
                assert worst < 1e-3, f"the vectors differ by {worst}: not the same work"
        ratios = [a / b for a, b in zip(ours, peer)]
        record(f"cpu.embed.words{words}", median(ours), "texts/s", "sentence-transformers f32", median(peer), median(ratios),
               note=f"{arguments.threads} threads, {arguments.pairs} pairs in turn, ratios {min(ratios):.2f} to {max(ratios):.2f}")


main()
