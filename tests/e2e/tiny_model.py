"""A Qwen2 of two layers with random weights, its golden tokenizer, and adapters for it, written without any package: for tests of the program that need a model, not its wits."""
import json
import math
import random
import shutil
import struct
from pathlib import Path

WIDTH, FEED_FORWARD, LAYERS, HEADS, KV_HEADS, VOCABULARY = 64, 96, 2, 4, 2, 640
HEAD_WIDTH = WIDTH // HEADS
LINEARS = {"self_attn.q_proj": (WIDTH, WIDTH), "self_attn.k_proj": (KV_HEADS * HEAD_WIDTH, WIDTH), "self_attn.v_proj": (KV_HEADS * HEAD_WIDTH, WIDTH),
           "self_attn.o_proj": (WIDTH, WIDTH), "mlp.gate_proj": (FEED_FORWARD, WIDTH), "mlp.up_proj": (FEED_FORWARD, WIDTH), "mlp.down_proj": (WIDTH, FEED_FORWARD)}


def write_safetensors(path, tensors):
    """tensors: name -> (shape, floats)."""
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        part = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def matrix(source, outputs, inputs, scale):
    return (outputs, inputs), [source.gauss(0, scale) for _ in range(outputs * inputs)]


def write_model(folder, golden, head=None, positions=8192, tied=False):
    """golden: tests/golden. head: values of lm_head instead of random ones. tied: the embedding is the head."""
    folder.mkdir(parents=True)
    source = random.Random(7)
    tensors = {"model.embed_tokens.weight": matrix(source, VOCABULARY, WIDTH, 1), "model.norm.weight": ((WIDTH,), [1.0] * WIDTH),
               "lm_head.weight": ((VOCABULARY, WIDTH), head) if head else matrix(source, VOCABULARY, WIDTH, 0.3)}
    for layer in range(LAYERS):
        name = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{name}{norm}.weight"] = ((WIDTH,), [1.0] * WIDTH)
        for linear, (outputs, inputs) in LINEARS.items():
            tensors[f"{name}{linear}.weight"] = matrix(source, outputs, inputs, 1 / math.sqrt(inputs))
            if linear in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"):
                tensors[f"{name}{linear}.bias"] = ((outputs,), [source.gauss(0, 0.1) for _ in range(outputs)])
    if tied:
        del tensors["lm_head.weight"]
    write_safetensors(folder / "model.safetensors", tensors)
    config = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": VOCABULARY, "hidden_size": WIDTH, "intermediate_size": FEED_FORWARD,
              "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
              "max_position_embeddings": positions, "tie_word_embeddings": tied, "bos_token_id": 600, "eos_token_id": 602}
    (folder / "config.json").write_text(json.dumps(config))
    shutil.copy(golden / "text/qwen2/tokenizer.json", folder / "tokenizer.json")
    chat = (golden / "text/chat/qwen2.5.jinja").read_text(encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "chat_template": chat}))


def adapter_tensors(hybrid=False, rank=4, seed=11):
    source = random.Random(seed)
    tensors = {}
    for layer in range(LAYERS):
        for linear, (outputs, inputs) in LINEARS.items():
            name = f"base_model.model.model.layers.{layer}.{linear}"
            tensors[f"{name}.lora_A.weight"] = matrix(source, rank, inputs, 1 / math.sqrt(inputs))
            tensors[f"{name}.lora_B.weight"] = matrix(source, outputs, rank, 0.1)
    if hybrid:
        tensors["base_model.model.lm_head.weight"] = matrix(source, VOCABULARY, WIDTH, 0.3)
        tensors["base_model.model.model.norm.weight"] = ((WIDTH,), [1.1] * WIDTH)
    return tensors


def write_adapter(folder, base, tensors, rank=4):
    folder.mkdir(parents=True)
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    saved = sorted({name.removeprefix("base_model.model.").removesuffix(".weight").split(".")[-1] for name in tensors if "lora_" not in name})
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": str(base), "r": rank, "lora_alpha": 8, "lora_dropout": 0.0, "bias": "none",
              "target_modules": [name.split(".")[-1] for name in LINEARS], "modules_to_save": saved or None, "use_rslora": False}
    (folder / "adapter_config.json").write_text(json.dumps(config))
