"""Adapters that peft wrote for the tiny models of tests/golden/models, with the logits they lead to: `save_golden_adapter.py MODELS OUT`.

OUT (tests/golden/adapters) gets a folder an adapter: adapter_config.json, adapter_model.safetensors as peft saves them, expected.safetensors
with prompt (12) i32 and logits (12, V) f32, and base.txt, the model's name. Weights are random, B included. `--check MODELS ADAPTER EXPECTED`
loads any adapter with peft instead and prints how far its logits are from the expected ones. Needs torch, transformers, peft. Seeds are fixed.
"""
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM

NORMS = ["input_layernorm", "post_attention_layernorm", "norm"]
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ADAPTERS = {
    "qwen2-lora": ("qwen2", torch.float32, dict(r=4, lora_alpha=8, target_modules=ALL, lora_dropout=0.05)),
    "qwen2-hybrid": ("qwen2", torch.float32, dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], modules_to_save=["lm_head", *NORMS])),
    "llama-tied-hybrid": ("llama-tied", torch.bfloat16,
                          dict(r=2, lora_alpha=32, use_rslora=True, target_modules=["q_proj", "v_proj"], modules_to_save=["lm_head", *NORMS])),
    "llama-untied-patterns": ("llama-untied", torch.float32,
                              dict(r=4, lora_alpha=6, target_modules=["q_proj", "o_proj", "model.layers.1.mlp.down_proj"],
                                   rank_pattern={"o_proj": 2}, alpha_pattern={"layers.1.self_attn.q_proj": 16})),
}


def base(models: Path, name: str):
    return AutoModelForCausalLM.from_pretrained(models / name, dtype=torch.float32)


def logits(model, prompt: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model.eval().double()(torch.from_numpy(prompt).long()[None]).logits[0].float().numpy()


def save(models: Path, out: Path, name: str, seed: int) -> None:
    model_name, dtype, settings = ADAPTERS[name]
    torch.manual_seed(seed)
    model = get_peft_model(base(models, model_name), LoraConfig(task_type="CAUSAL_LM", **settings))
    with torch.no_grad():
        for key, value in model.named_parameters():
            if "lora_" in key:
                value.copy_(torch.randn_like(value) * 0.3)
            elif "modules_to_save" in key:
                value.add_(torch.randn_like(value) * 0.1)
            if "lora_" in key or "modules_to_save" in key:
                value.data = value.data.to(dtype).float()
    prompt = torch.randint(3, model.config.vocab_size, (12,)).numpy().astype(np.int32)
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    state = {key: value.to(dtype) for key, value in model.state_dict().items()}
    model.save_pretrained(folder, state_dict=state)
    (folder / "README.md").unlink(missing_ok=True)
    config = folder / "adapter_config.json"
    config.write_text(config.read_text().replace(str(models / model_name), model_name))
    (folder / "base.txt").write_text(model_name + "\n")
    save_file({"prompt": prompt, "logits": logits(model, prompt)}, folder / "expected.safetensors")


def check(models: Path, adapter: Path, expected: Path) -> None:
    wanted = load_file(expected / "expected.safetensors")
    model = PeftModel.from_pretrained(base(models, (expected / "base.txt").read_text().strip()), adapter)
    print(f"{adapter}: largest difference of a logit {np.abs(logits(model, wanted['prompt']) - wanted['logits']).max():.3g}")


def main() -> None:
    torch.set_num_threads(1)
    if sys.argv[1] == "--check":
        return check(*map(Path, sys.argv[2:5]))
    for seed, name in enumerate(ADAPTERS):
        save(Path(sys.argv[1]), Path(sys.argv[2]), name, 30 + seed)


main()
