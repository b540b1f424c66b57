"""cpu.train.lora05, cpu.train.hybrid05, cpu.train.memory05: Hugging Face PEFT (PyTorch, f32) and training_speed in turn on CPU threads.

    cpu_training.py --peer PEER.py [--engine build/release/bench/training_speed] [--threads 2] [--rounds 3] [--folder FOLDER] [--dry]

PEER.py (finetune_cpu_peer.py THREADS; needs torch, transformers, peft) prints lines "name | tok/s | real tok/s | GiB" for LoRA on q and v of
4 texts of 128 tokens, for the thesis' padded batch (2 x 256 with 270 real tokens) and for hybrid. Ours computes the same tokens on a model
of the same shape (Qwen2.5-0.5B, random weights), which lies in FOLDER as bfloat16 and is computed in f32; its head is tied there and made the
hybrid's own, so hybrid's 512 tokens go in two passes to save memory. Loss on every token; clipping and AdamW counted.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

from measurement import median, record

SHAPE = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 151936, "hidden_size": 896, "intermediate_size": 4864,
         "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2, "hidden_act": "silu", "rms_norm_eps": 1e-6,
         "rope_theta": 1000000.0, "max_position_embeddings": 32768, "tie_word_embeddings": True, "torch_dtype": "bfloat16"}
CASES = {"lora": ("lora 4x128 dense", ["lora", "4", "128", "1"]), "seed batch": ("seed batch 2x256, 270 real tokens", ["lora", "2", "135", "1"]),
         "hybrid": ("hybrid 4x128 dense", ["hybrid", "4", "128", "2"])}


def make_model(folder: str) -> None:
    if os.path.exists(f"{folder}/model.safetensors"):
        return
    import torch
    from safetensors.torch import save_file
    torch.manual_seed(1)
    c, f, kv = SHAPE["hidden_size"], SHAPE["intermediate_size"], 128
    tensors = {"model.embed_tokens.weight": (SHAPE["vocab_size"], c), "model.norm.weight": (c,)}
    for layer in range(SHAPE["num_hidden_layers"]):
        shapes = {"self_attn.q_proj": (c, c), "self_attn.k_proj": (kv, c), "self_attn.v_proj": (kv, c), "self_attn.o_proj": (c, c),
                  "mlp.gate_proj": (f, c), "mlp.up_proj": (f, c), "mlp.down_proj": (c, f)}
        for name, shape in shapes.items():
            tensors[f"model.layers.{layer}.{name}.weight"] = shape
            if name[10:11] in "qkv" and "o_proj" not in name and name.startswith("self"):
                tensors[f"model.layers.{layer}.{name}.bias"] = (shape[0],)
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"model.layers.{layer}.{name}.weight"] = (c,)
    values = {name: (torch.ones(shape) if "norm" in name else torch.randn(shape) * 0.02).bfloat16() for name, shape in tensors.items()}
    save_file(values, f"{folder}/model.safetensors")
    with open(f"{folder}/config.json", "w") as file:
        json.dump(SHAPE, file)


def peer(script: str, threads: int) -> dict[str, tuple[float, float, float]]:
    out = subprocess.run([sys.executable, script, str(threads)], capture_output=True, text=True, check=True).stdout
    rows = [[cell.strip() for cell in line.split("|")] for line in out.splitlines() if line.count("|") == 3]
    return {row[0]: tuple(float(cell.split()[0]) for cell in row[1:]) for row in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--engine", default="build/release/bench/training_speed")
    parser.add_argument("--folder", default=os.path.join(tempfile.gettempdir(), "deskhand-qwen05-shape"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--dry", action="store_true")
    arguments = parser.parse_args()
    os.makedirs(arguments.folder, exist_ok=True)
    make_model(arguments.folder)
    ours = {name: [] for name in CASES}
    theirs = {name: [] for name in CASES}
    for _ in range(arguments.rounds):
        measured = peer(arguments.peer, arguments.threads)
        for name, (label, call) in CASES.items():
            theirs[name].append(measured[label])
            out = subprocess.run([arguments.engine, arguments.folder, str(arguments.threads), *call, str(arguments.steps)], capture_output=True,
                                 text=True, check=True).stdout
            found = json.loads(out)
            ours[name].append((found["tokens_s"], found["peak_gib"]))
    for name, key, limit in (("lora", "cpu.train.lora05", "1.5"), ("hybrid", "cpu.train.hybrid05", "1.5"), ("seed batch", "cpu.train.seedbatch05", "2.5")):
        rates, peers = [rate for rate, _ in ours[name]], [real for _, real, _ in theirs[name]]   # real tokens: padding is no work done
        ratios = [a / b for a, b in zip(rates, peers)]
        note = f"{arguments.threads} threads, {arguments.rounds} rounds in turn, ratios {min(ratios):.2f} to {max(ratios):.2f}, base in bf16, computed in f32"
        report(arguments.dry, key, median(rates), "tok/s", median(peers), median(ratios), limit, note)
    for name in ("lora", "hybrid"):
        gib, peers = median([gib for _, gib in ours[name]]), median([gib for *_, gib in theirs[name]])
        report(arguments.dry, "cpu.train.memory05", gib, "GiB", peers, gib / peers, "0.5", f"{name}, most resident memory, 512 tokens a step, base in bf16")


def report(dry: bool, key: str, value: float, unit: str, peer_value: float, ratio: float, limit: str, note: str) -> None:
    if dry:
        print(f"{key}: ours {value:.2f} {unit}, peer {peer_value:.2f}, ratio {ratio:.2f} (limit {limit}); {note}", flush=True)
    else:
        record(key, value, unit, "HF PEFT f32", peer_value, ratio, limit=limit, note=note)


main()
