"""Tiny random models with what transformers computes from them: `save_golden_models.py OUT [--minilm FOLDER]`, OUT is tests/golden/models.

Each folder holds a model (config.json and safetensors, or model.gguf) and expected.safetensors: prompt (12) i32, logits (12, V) f32, greedy
(16) i32. A quantised GGUF is expected to give what transformers gives with the dequantised weights, so only arithmetic can differ.
Needs torch, transformers, gguf, safetensors; for --minilm also sentence-transformers. Seeds are fixed.
"""
import argparse
import json
import math
import shutil
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from transformers import (BertConfig, BertModel, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Qwen2Config,
                          Qwen2ForCausalLM)

VOCABULARY, PROMPT, GREEDY = 256, 12, 16
SMALL = dict(vocab_size=VOCABULARY, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=128, bos_token_id=1, eos_token_id=2)
# A short original context, so that 28 positions already turn the slow pairs differently.
LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16}
FAMILIES = {   # stored as the type named: real models come as bf16, and the committed files stay small
    "llama-tied": (LlamaForCausalLM, LlamaConfig, torch.float32, dict(rope_parameters=LLAMA3, tie_word_embeddings=True, rms_norm_eps=1e-5)),
    "llama-untied": (LlamaForCausalLM, LlamaConfig, torch.bfloat16, dict(rms_norm_eps=1e-5, head_dim=32)),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, torch.float32,
              dict(rms_norm_eps=1e-6, rope_parameters={"rope_type": "default", "rope_theta": 1e6})),
    "mistral": (MistralForCausalLM, MistralConfig, torch.bfloat16, dict(sliding_window=96, rms_norm_eps=1e-5)),
    "smollm": (LlamaForCausalLM, LlamaConfig, torch.float16,
               dict(tie_word_embeddings=True, num_attention_heads=6, num_key_value_heads=2, hidden_size=96, rms_norm_eps=1e-5)),
}


def shake(model: torch.nn.Module) -> None:
    """Weights large enough that attention looks somewhere and an error anywhere reaches the logits; norms and biases away from 1 and 0."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.dim() == 1:
                value.copy_(("norm" in name.lower() and "bias" not in name) * 1.0 + 0.2 * torch.randn_like(value))
            else:
                value.copy_(torch.randn_like(value) * 1.5 / math.sqrt(value.shape[1]))


def expected(model, vocabulary: int) -> dict[str, np.ndarray]:
    model = model.eval().double()   # the truth; ours is held to it in float32
    prompt = torch.randint(3, vocabulary, (1, PROMPT))
    with torch.no_grad():
        logits = model(prompt).logits[0]
        tokens = prompt
        for _ in range(GREEDY):
            tokens = torch.cat([tokens, model(tokens).logits[:, -1:].argmax(-1)], 1)
    return {"prompt": prompt[0].numpy().astype(np.int32), "logits": logits.float().numpy(),
            "greedy": tokens[0, PROMPT:].numpy().astype(np.int32)}


def save_family(out: Path, name: str, seed: int) -> None:
    make, config, dtype, settings = FAMILIES[name]
    torch.manual_seed(seed)
    model = make(config(**{**SMALL, **settings}))
    shake(model)
    for value in model.parameters():   # not model.to(dtype): that would round the rotation's frequencies too
        value.data = value.data.to(dtype)
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, max_shard_size="200KB" if name == "qwen2" else "1GB")
    save_file(expected(model, VOCABULARY), folder / "expected.safetensors")


def gguf_rows(weights: np.ndarray, heads: int) -> np.ndarray:
    """The order of q's and k's rows in a GGUF of the llama architecture: pairs that turn together are neighbours."""
    return weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def hugging_face_rows(weights: np.ndarray, heads: int) -> np.ndarray:
    return weights.reshape(heads, weights.shape[0] // heads // 2, 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def random_blocks(shape: tuple[int, int], kind: gguf.GGMLQuantizationType, random: np.random.Generator) -> np.ndarray:
    """Valid K-quant blocks, which the gguf package reads but does not write: any bits, with scales that make sensible weights."""
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (shape[0], shape[1] // elements, size), dtype=np.uint8)
    def f16(value: float) -> np.ndarray:
        spread = value * random.uniform(0.5, 1.5, blocks.shape[:2])
        return spread.astype(np.float16)[..., None].view(np.uint8)
    scale = 1.5 / math.sqrt(shape[1])
    if kind == gguf.GGMLQuantizationType.Q6_K:
        blocks[..., -2:] = f16(scale / (64 * 20))     # d; scales are int8 of any sign
    else:
        wide = 15 if kind == gguf.GGMLQuantizationType.Q4_K else 31
        blocks[..., 0:2] = f16(scale / (32 * wide / 3))            # d
        blocks[..., 2:4] = f16(scale / (32 * wide / 3) * wide / 2)  # dmin, so that the mean is near 0
    return blocks.reshape(shape[0], -1)


GGUF_NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
              "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
              "post_attention_layernorm": "ffn_norm"}


def gguf_name(name: str) -> str:
    plain = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}
    if name in plain:
        return plain[name]
    _, _, layer, *middle, last = name.split(".")
    return f"blk.{layer}.{GGUF_NAMES['.'.join(middle)]}.{last}"


def save_gguf(out: Path, name: str, architecture: str, seed: int, kinds: list[str], settings: dict) -> None:
    """Matrices take the types of `kinds` in turn. The model is then given what the file holds and asked for its logits."""
    make, config = {"llama": (LlamaForCausalLM, LlamaConfig), "qwen2": (Qwen2ForCausalLM, Qwen2Config)}[architecture]
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    model = make(config(**{**SMALL, **settings}))
    shake(model)
    c = model.config
    head_width = c.hidden_size // c.num_attention_heads
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    writer = gguf.GGUFWriter(folder / "model.gguf", architecture)
    writer.add_block_count(c.num_hidden_layers)
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_head_count(c.num_attention_heads)
    writer.add_head_count_kv(c.num_key_value_heads)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    writer.add_rope_freq_base(c.rope_parameters["rope_theta"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    if c.rope_parameters["rope_type"] == "llama3":   # as llama.cpp's converter does it
        factors = []
        for i in range(head_width // 2):
            length = 2 * math.pi * c.rope_parameters["rope_theta"] ** (2 * i / head_width)
            low, high = (c.rope_parameters["original_max_position_embeddings"] / c.rope_parameters[f"{side}_freq_factor"] for side in ("low", "high"))
            smooth = (c.rope_parameters["original_max_position_embeddings"] / length - 1) / (4 - 1)
            factors.append(1 if length < high else 8 if length > low else 1 / ((1 - smooth) / 8 + smooth))
        writer.add_tensor("rope_freqs.weight", np.array(factors, np.float32))
    state, turn = model.state_dict(), 0
    for key, value in list(state.items()):
        if key == "lm_head.weight" and c.tie_word_embeddings:
            continue
        weights = value.numpy().copy()
        heads = c.num_attention_heads if "q_proj" in key else c.num_key_value_heads if "k_proj" in key else 0
        permuted = heads and architecture == "llama"
        if weights.ndim == 1:
            writer.add_tensor(gguf_name(key), weights)
            continue
        kind = gguf.GGMLQuantizationType[kinds[turn % len(kinds)]]
        turn += 1
        rows = gguf_rows(weights, heads) if permuted else weights
        stored = random_blocks(rows.shape, kind, random) if kind.name.endswith("_K") else gguf.quants.quantize(rows, kind)
        writer.add_tensor(gguf_name(key), stored, raw_dtype=kind)
        rows = gguf.quants.dequantize(stored, kind)
        state[key] = torch.from_numpy((hugging_face_rows(rows, heads) if permuted else rows).copy())
    if c.tie_word_embeddings:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model.load_state_dict(state)
    save_file(expected(model, VOCABULARY), folder / "expected.safetensors")


def save_bert(out: Path, seed: int) -> None:
    torch.manual_seed(seed)
    model = BertModel(BertConfig(vocab_size=VOCABULARY, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
                                 max_position_embeddings=64), add_pooling_layer=False)
    shake(model)
    folder = out / "bert"
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    model = model.eval().double()
    lengths = [1, 12, 40, 7]
    texts = [torch.randint(3, VOCABULARY, (1, length)) for length in lengths]
    with torch.no_grad():
        vectors = [torch.nn.functional.normalize(model(text).last_hidden_state.mean(1)) for text in texts]
    save_file({"tokens": torch.cat(texts, 1)[0].numpy().astype(np.int32), "bounds": np.cumsum([0, *lengths]).astype(np.int32),
               "vectors": torch.cat(vectors).float().numpy()}, folder / "expected.safetensors")


SENTENCES = [
    "The invoice printer prints blank pages after the update.", "Cannot log in: password expired.", "Outlook keeps asking for my password",
    "Month end closing fails with error 4711 in ledger GL-02!", "VPN", "Please unlock my account, user name jdoe42.",
    "Stock quantity is negative for item 100-2003 in warehouse B.", "Wie kann ich die Rechnung stornieren?", "Épée café naïve façade",
    "The system is very slow since this morning, all users are affected and nobody can book orders.", "Purchase order 45001 stuck in approval",
    "Report shows #REF! instead of totals", "E-mail attachments larger than 10 MB are rejected", "how do I add a new vendor?",
    "Label printer ZD420 offline at dock 3", "Bank statement import: duplicate lines", "日本語のテスト", "a", "Price list import via CSV fails; "
    "the log says 'column 7: number expected, found 12,50'. " * 12, "VAT rate 7% vs 19% on credit notes"]


def save_minilm(out: Path, source: Path) -> None:
    from sentence_transformers import SentenceTransformer
    model = SentenceTransformer(str(source), device="cpu")
    vectors = model.encode(SENTENCES, batch_size=1, normalize_embeddings=True)
    ids = [model.tokenizer(text, truncation=True, max_length=model.max_seq_length)["input_ids"] for text in SENTENCES]
    folder = out / "minilm"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sentences.json").write_text(json.dumps(SENTENCES, ensure_ascii=False, indent=1) + "\n")
    save_file({"tokens": np.concatenate(ids).astype(np.int32), "bounds": np.cumsum([0, *map(len, ids)]).astype(np.int32),
               "vectors": vectors.astype(np.float32)}, folder / "expected.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minilm", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for seed, name in enumerate(FAMILIES):
        save_family(arguments.out, name, seed)
    tied = dict(tie_word_embeddings=True, rope_parameters=LLAMA3, rms_norm_eps=1e-5)
    wide = dict(hidden_size=256, intermediate_size=256, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=1)
    save_gguf(arguments.out, "gguf-llama-f32", "llama", 10, ["F32"], tied)
    save_gguf(arguments.out, "gguf-llama-old", "llama", 11, ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"], tied)
    save_gguf(arguments.out, "gguf-llama-k", "llama", 12, ["Q4_K", "Q5_K", "Q6_K"], {**wide, **tied})
    save_gguf(arguments.out, "gguf-qwen2-q8_0", "qwen2", 13, ["Q8_0"], dict(rms_norm_eps=1e-6))
    save_gguf(arguments.out, "gguf-qwen2-half", "qwen2", 14, ["F16", "BF16"], dict(rms_norm_eps=1e-6))
    save_bert(arguments.out, 20)
    if arguments.minilm:
        save_minilm(arguments.out, arguments.minilm)


main()
