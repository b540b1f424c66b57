"""cpu.train.lora05, cpu.train.hybrid05, cpu.train.seedbatch05, cpu.train.memory05: PEFT (peft_speed.py) and training_speed in turn on CPU threads.

    cpu_training.py [--engine build/release/bench/training_speed] [--threads 2] [--rounds 3] [--folder FOLDER] [--dry]

LoRA and hybrid of 4 texts of 128 tokens a step, and the thesis project's micro-batch: two texts, 270 tokens, that the peer pads to 2 x 256.
Ours computes the same tokens on a model of the same shape (Qwen2.5-0.5B, random weights), which lies in FOLDER as bfloat16 and is computed in
f32; its tied head becomes the hybrid's own, and hybrid's tokens go in four passes to save memory. Loss on every token; clipping and AdamW counted.
Needs torch, transformers, peft.
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
# What peer and engine are called with: METHOD TEXTS LENGTH REAL, METHOD TEXTS LENGTH PASSES.
CASES = {"lora": (["lora", "4", "128", "512"], ["lora", "4", "128", "1"]), "hybrid": (["hybrid", "4", "128", "512"], ["hybrid", "4", "128", "4"]),
         "seed batch": (["lora", "2", "256", "270"], ["lora", "2", "135", "1"])}
PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peft_speed.py")


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
            if name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"):
                tensors[f"model.layers.{layer}.{name}.bias"] = (shape[0],)
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"model.layers.{layer}.{name}.weight"] = (c,)
    values = {name: (torch.ones(shape) if "norm" in name else torch.randn(shape) * 0.02).bfloat16() for name, shape in tensors.items()}
    save_file(values, f"{folder}/model.safetensors")
    with open(f"{folder}/config.json", "w") as file:
        json.dump(SHAPE, file)


def measured(call: list[str]) -> tuple[float, float]:
    found = json.loads(subprocess.run(call, capture_output=True, text=True, check=True).stdout)
    return found["tokens_s"], found["peak_gib"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    threads, steps = str(arguments.threads), str(arguments.steps)
    for _ in range(arguments.rounds):
        for name, (of_peer, of_engine) in CASES.items():
            theirs[name].append(measured([sys.executable, PEER, threads, *of_peer, steps]))
            ours[name].append(measured([arguments.engine, arguments.folder, threads, *of_engine, steps]))
    for name, key, limit in (("lora", "cpu.train.lora05", "1.5"), ("hybrid", "cpu.train.hybrid05", "1.5"), ("seed batch", "cpu.train.seedbatch05", "2.5")):
        rates, peers = [rate for rate, _ in ours[name]], [rate for rate, _ in theirs[name]]
        ratios = [a / b for a, b in zip(rates, peers)]
        note = f"{arguments.threads} threads, {arguments.rounds} rounds in turn, ratios {min(ratios):.2f} to {max(ratios):.2f}, base in bf16, computed in f32"
        report(arguments.dry, key, median(rates), "tok/s", median(peers), median(ratios), limit, note)
    for name in ("lora", "hybrid"):
        gib, peers = median([gib for _, gib in ours[name]]), median([gib for _, gib in theirs[name]])
        report(arguments.dry, "cpu.train.memory05", gib, "GiB", peers, gib / peers, "0.5", f"{name}, most resident memory, 512 tokens a step, base in bf16")


def report(dry: bool, key: str, value: float, unit: str, peer_value: float, ratio: float, limit: str, note: str) -> None:
    if dry:
        print(f"{key}: ours {value:.4g} {unit}, peer {peer_value:.4g}, ratio {ratio:.3f} (limit {limit}); {note}", flush=True)
    else:
        record(key, value, unit, "HF PEFT f32", peer_value, ratio, limit=limit, note=note)


main()
