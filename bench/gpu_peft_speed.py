"""gpu_peft_speed.py ENGINE STEPS CASE...: HF PEFT, the peer of gpu_training, on one GPU with PyTorch in bf16, on a model of Llama-3.1-8B's shape
with random weights. ENGINE hf or liger (liger-kernel's replacements). A case is METHOD:TEXTSxLENGTH, for example lora:8x1024, or METHOD:padded:
the thesis project's step, four micro-batches of two tickets of 110 and 160 tokens padded to 256; its hybrid recomputes activations.
Prints one JSON object a case: the median step's real tokens a second, the most memory that PyTorch held, or that there was not enough.
"""
import gc
import json
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

REAL = (110, 160)


def make_model():
    config = LlamaConfig(vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
                         num_key_value_heads=8, max_position_embeddings=131072, rope_theta=500000.0, rms_norm_eps=1e-5,
                         tie_word_embeddings=False, attn_implementation="sdpa")
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    return get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=["q_proj", "v_proj"], lora_dropout=0.0, task_type="CAUSAL_LM"))


def micro_batch(shape, padded):
    ids = torch.randint(0, 128256, shape, device="cuda")
    if not padded:
        return {"input_ids": ids, "labels": ids}
    mask = torch.zeros_like(ids)
    for row in range(shape[0]):
        mask[row, :REAL[row % 2]] = 1
    return {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}


def measure(model, case, steps):
    method, size = case.split(":")
    padded = size == "padded"
    shape = (2, 256) if padded else tuple(int(part) for part in size.split("x"))
    micro_batches = 4 if padded else 1
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name or (method == "hybrid" and ("lm_head" in name or "norm" in name)))
    if padded and method == "hybrid":
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    else:
        model.gradient_checkpointing_disable()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-6, fused=True)
    model.train()
    torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(steps + 2):
        torch.cuda.synchronize()
        start = time.time()
        for _ in range(micro_batches):
            (model(**micro_batch(shape, padded)).loss / micro_batches).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        seconds.append(time.time() - start)
    median = sorted(seconds[2:])[steps // 2]
    tokens = micro_batches * (sum(REAL) if padded else shape[0] * shape[1])
    return {"case": case, "tokens_s": tokens / median, "step_s": median, "gib": torch.cuda.max_memory_allocated() / 2**30}


def main():
    engine, steps, cases = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    if engine == "liger":
        from liger_kernel.transformers import apply_liger_kernel_to_llama
        apply_liger_kernel_to_llama()
    model = make_model()
    for case in cases:
        try:
            found = measure(model, case, steps)
        except torch.OutOfMemoryError:
            found = {"case": case, "tokens_s": 0, "gib": 0, "fault": "out of memory"}
        print(json.dumps(found), flush=True)
        gc.collect()
        torch.cuda.empty_cache()


main()
