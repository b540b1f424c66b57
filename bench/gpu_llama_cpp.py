"""What llama.cpp reaches on this GPU where gpu_answering measures us, a model of Llama-3.1-8B's shape with random weights in bf16, q8_0 and q4_0:
reading a prompt of 2 048 tokens, writing 128 behind it, 64 sequences of 700 + 128 tokens at once. Flash attention is on, all layers are on the
card, and of its passes of 512 and 2 048 tokens the faster counts.

    gpu_llama_cpp.py --llama-bench BIN [--out PEERS.json] [--folder /dev/shm] [--types bf16,q8_0,q4_0]

Needs numpy, a GPU of 40 GB, llama-batched-bench beside llama-bench, and room for one model, at most 16 GB, in the folder; a model is written
in a few seconds and taken away again. About a minute in all. PEERS.json is what gpu_answering.py --peers reads.
"""
import argparse
import concurrent.futures
import json
import os
import struct
import subprocess
import sys
import tempfile

import numpy

LAYERS, WIDTH, FEED_FORWARD, HEADS, KV_HEADS, VOCABULARY = 32, 4096, 14336, 32, 8, 128256
HEAD_WIDTH = WIDTH // HEADS
# GGUF's numbers of types: of a metadata value, of a tensor.
UINT32, FLOAT32, STRING = 4, 6, 8
F32 = 0
KINDS = {"bf16": (30, 1, 2), "q8_0": (8, 32, 34), "q4_0": (2, 32, 18)}  # the type's number, weights a block, bytes a block
ALIGNMENT = 32
PROMPT, NEW, TICKETS, TICKET = 2048, 128, 64, 700


def random_blocks(kind: str) -> memoryview:
    """Some 60 MB of whole blocks whose weights have a standard deviation near 0.02."""
    random = numpy.random.default_rng(1)
    if kind == "bf16":
        values = random.standard_normal(30_000_000, dtype=numpy.float32) * numpy.float32(0.02)
        return memoryview((values.view(numpy.uint32) >> 16).astype(numpy.uint16)).cast("B")
    size = KINDS[kind][2]
    blocks = random.integers(0, 256, (60_000_000 // size, size), dtype=numpy.uint8)
    scale = 0.02 / {"q8_0": 74, "q4_0": 4.6}[kind]  # a block begins with an f16 scale; what follows is uniform, of these deviations
    blocks[:, :2] = numpy.frombuffer(numpy.float16(scale).tobytes(), numpy.uint8)
    return memoryview(blocks.reshape(-1))


def tensors(number: int) -> list[tuple[str, tuple[int, ...], int]]:
    """Name, sides (the fastest first), type: in the order of the file."""
    found: list[tuple[str, tuple[int, ...], int]] = [("token_embd.weight", (WIDTH, VOCABULARY), number)]
    for layer in range(LAYERS):
        matrices = {"attn_q": (WIDTH, WIDTH), "attn_k": (WIDTH, KV_HEADS * HEAD_WIDTH), "attn_v": (WIDTH, KV_HEADS * HEAD_WIDTH),
                    "attn_output": (WIDTH, WIDTH), "ffn_gate": (WIDTH, FEED_FORWARD), "ffn_up": (WIDTH, FEED_FORWARD), "ffn_down": (FEED_FORWARD, WIDTH)}
        found += [(f"blk.{layer}.{name}.weight", (WIDTH,), F32) for name in ("attn_norm", "ffn_norm")]
        found += [(f"blk.{layer}.{name}.weight", sides, number) for name, sides in matrices.items()]
    return found + [("output_norm.weight", (WIDTH,), F32), ("output.weight", (WIDTH, VOCABULARY), number)]


def text(words: str) -> bytes:
    return struct.pack("<Q", len(words.encode())) + words.encode()


def metadata() -> dict[str, tuple[int, bytes]]:
    def count(value: int) -> tuple[int, bytes]:
        return UINT32, struct.pack("<I", value)

    def real(value: float) -> tuple[int, bytes]:
        return FLOAT32, struct.pack("<f", value)

    return {"general.architecture": (STRING, text("llama")), "general.name": (STRING, text("Llama-3.1-8B's shape, random weights")),
            "llama.context_length": count(131072), "llama.embedding_length": count(WIDTH), "llama.block_count": count(LAYERS),
            "llama.feed_forward_length": count(FEED_FORWARD), "llama.attention.head_count": count(HEADS),
            "llama.attention.head_count_kv": count(KV_HEADS), "llama.attention.layer_norm_rms_epsilon": real(1e-5),
            "llama.rope.dimension_count": count(HEAD_WIDTH), "llama.rope.freq_base": real(500000), "llama.vocab_size": count(VOCABULARY),
            "tokenizer.ggml.model": (STRING, text("no_vocab"))}


def write_model(path: str, kind: str) -> None:
    number, weights, size_of_block = KINDS[kind]
    blocks, ones = random_blocks(kind), memoryview(numpy.ones(WIDTH, numpy.float32)).cast("B")
    values, layout = metadata(), tensors(number)
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(layout), len(values))
    head += b"".join(text(key) + struct.pack("<I", what) + value for key, (what, value) in values.items())
    places, at = [], 0
    for name, sides, what in layout:
        size = len(ones) if what == F32 else sides[0] * sides[1] // weights * size_of_block
        head += text(name) + struct.pack(f"<I{len(sides)}QIQ", len(sides), *sides, what, at)
        places.append((at, size, ones if what == F32 else blocks))
        at += -(-size // ALIGNMENT) * ALIGNMENT
    head += bytes(-len(head) % ALIGNMENT)
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(len(head) + at)

        def fill(place: tuple[int, int, memoryview]) -> None:
            start, size, content = place
            for done in range(0, size, len(content)):
                os.pwrite(file.fileno(), content[: size - done], len(head) + start + done)

        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(fill, places))


def lines_of(command: list[str]) -> list[dict]:
    """The JSON objects, one a line, that the command prints; nothing, and its own words on stderr, where it fails."""
    for _ in range(3):  # llama-batched-bench's log is now and then gone before its last line is out
        output = subprocess.run(command, capture_output=True, text=True)
        rows = [json.loads(line) for line in output.stdout.splitlines() if line.startswith("{")]
        if output.returncode != 0:
            break
        if rows:
            return rows
    print(" ".join(command), "\n", output.stderr[-2000:], file=sys.stderr, flush=True)
    return []


def measured(bench: str, model: str, kind: str) -> dict[str, float]:
    found: dict[str, float] = {}
    alike = ["-m", model, "-ngl", "99", "-fa", "on", "-b", str(PROMPT)]

    def take(name: str, rate: float) -> None:
        found[name] = max(rate, found.get(name, 0))
        print(f"{name}.{kind} {rate:.4g}", file=sys.stderr, flush=True)

    prompts = lines_of([bench, *alike, "-ub", f"512,{PROMPT}", "-p", str(PROMPT), "-n", "0", "-r", "3", "-o", "jsonl"])
    for row in prompts:
        take("gpu.prompt2048", row["avg_ts"])
    faster = ["-ub", str(max(prompts, key=lambda row: row["avg_ts"])["n_ubatch"])] if prompts else []
    for row in lines_of([bench, *alike, *faster, "-p", "0", "-n", str(NEW), "-d", str(PROMPT), "-r", "3", "-o", "jsonl"]):
        take("gpu.generate", row["avg_ts"])
    # The prompts' pass gives the first of the new tokens.
    sizes = ["-npp", str(TICKET), "-ntg", str(NEW - 1), "-npl", str(TICKETS), "-c", str(TICKETS * 1024)]
    for row in lines_of([os.path.join(os.path.dirname(bench), "llama-batched-bench"), *alike, *faster, *sizes, "--output-format", "jsonl"]):
        take("gpu.tickets64", TICKETS / (row["t_pp"] + row["t_tg"]))
    return {name if name == "gpu.tickets64" and kind == "bf16" else f"{name}.{kind}": rate for name, rate in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama-bench", required=True)
    parser.add_argument("--out")
    parser.add_argument("--folder", default="/dev/shm")
    parser.add_argument("--types", default="bf16,q8_0,q4_0")
    arguments = parser.parse_args()
    found: dict[str, float] = {}
    for kind in arguments.types.split(","):
        with tempfile.NamedTemporaryFile(dir=arguments.folder, suffix=f".{kind}.gguf") as file:
            write_model(file.name, kind)
            found |= measured(os.path.abspath(arguments.llama_bench), file.name, kind)
    print("| llama.cpp | |\n|---|---|")
    for name, rate in found.items():
        print(f"| {name} | {rate:.4g} {'tickets/s' if 'tickets' in name else 'tok/s'} |")
    if arguments.out:
        with open(arguments.out, "w", encoding="utf-8") as file:
            json.dump({name: ["llama.cpp", rate] for name, rate in found.items()}, file, indent=1)
    if len(found) < 3 * len(arguments.types.split(",")):
        sys.exit("some cases failed: their words are above")


main()
