"""The peer of training_speed: `peft_speed.py THREADS METHOD TEXTS LENGTH REAL STEPS` prints one JSON object.

Hugging Face PEFT on CPU threads, f32: a Qwen2.5-0.5B-shaped model with random weights, LoRA r 16 on q and v; METHOD hybrid also trains head
(tied here: the embedding too) and norms. Each step takes TEXTS texts of LENGTH tokens, of which REAL are no padding; loss on every token.
tokens_s counts real tokens. Needs torch, transformers, peft.
"""
import json
import resource
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import Qwen2Config, Qwen2ForCausalLM

threads, method, texts, length, real, steps = int(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:7])
torch.set_num_threads(threads)
torch.manual_seed(1)
config = Qwen2Config(vocab_size=151936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2,
                     tie_word_embeddings=True, attn_implementation="sdpa")
model = get_peft_model(Qwen2ForCausalLM(config), LoraConfig(r=16, lora_alpha=32, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")).train()
if method == "hybrid":
    for name, parameter in model.named_parameters():
        if "lm_head" in name or "norm" in name or "embed_tokens" in name:
            parameter.requires_grad = True
trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=1e-6)
seconds = []
for _ in range(steps):
    ids = torch.randint(0, config.vocab_size, (texts, length))
    start = time.perf_counter()
    model(input_ids=ids, labels=ids).loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    optimizer.zero_grad()
    seconds.append(time.perf_counter() - start)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(json.dumps({"tokens_s": round(real / sorted(seconds)[len(seconds) // 2], 2), "peak_gib": round(peak, 3)}))
