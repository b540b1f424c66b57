"""Loss and gradients of tiny models under adapters, by transformers and peft in double: `save_golden_gradients.py GOLDEN`, GOLDEN is tests/golden.

GOLDEN/train/gradients gets a safetensors file for each adapter of GOLDEN/adapters, and one a model that is trained as it is: three texts side by
side (tokens, bounds), the rows whose next token counts and that token (rows, targets), their mean loss, entropy and accuracy, and "d.NAME", the
gradient of the mean loss. Of qwen2 in full, what other files do not show is kept: biases, and layer 0. Needs torch, transformers, peft.
"""
import sys
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel
from safetensors.numpy import save_file
from transformers import AutoModelForCausalLM

LENGTHS = [7, 1, 12]


def name_of(parameter: str) -> str:
    return (parameter.removeprefix("base_model.model.").replace(".default", "").replace(".modules_to_save", "").replace(".base_layer", ""))


def save(out: Path, model, seed: int, kept=lambda name: True) -> None:
    torch.manual_seed(seed)
    model = model.double().eval()   # eval: no dropout
    vocabulary = model.config.vocab_size
    texts = [torch.randint(3, vocabulary, (length,)) for length in LENGTHS]
    starts = np.cumsum([0, *LENGTHS]).astype(np.int32)
    loss, entropy, correct, rows, targets = 0.0, 0.0, 0, [], []
    for start, text in zip(starts, texts):
        logits = model(text[None]).logits[0, :-1]
        counted = torch.rand(len(text) - 1) < 0.6   # an answer's tokens and no others
        logits, wanted = logits[counted], text[1:][counted]
        loss = loss + torch.nn.functional.cross_entropy(logits, wanted, reduction="sum")
        shares = logits.detach().log_softmax(-1)
        entropy -= (shares.exp() * shares).sum().item()
        correct += (logits.argmax(-1) == wanted).sum().item()
        rows += [int(start) + i for i in torch.nonzero(counted).flatten().tolist()]
        targets += wanted.tolist()
    (loss / len(rows)).backward()
    tensors = {"tokens": torch.cat(texts).int().numpy(), "bounds": starts, "rows": np.array(rows, np.int32), "targets": np.array(targets, np.int32),
               "means": np.array([loss.item(), entropy, correct], np.float64).astype(np.float32) / len(rows)}
    for key, value in model.named_parameters():
        if value.requires_grad and value.grad is not None and kept(name_of(key)):
            tensors["d." + name_of(key)] = value.grad.float().numpy()
    save_file(tensors, out)
    out.chmod(0o644)
    print(out.name, len(tensors) - 5, "gradients,", len(rows), "rows")


def main() -> None:
    torch.set_num_threads(1)
    golden = Path(sys.argv[1])
    out = golden / "train/gradients"
    out.mkdir(parents=True, exist_ok=True)
    base = lambda name: AutoModelForCausalLM.from_pretrained(golden / "models" / name, dtype=torch.float32)
    for seed, folder in enumerate(sorted((golden / "adapters").iterdir())):
        adapted = PeftModel.from_pretrained(base((folder / "base.txt").read_text().strip()), folder, is_trainable=True)
        with torch.no_grad():   # a quarter of the pairs' values: else softmax saturates and f32 itself, also peft's, is off by 5e-5
            for key, value in adapted.named_parameters():
                if "lora_" in key:
                    value.mul_(0.25)
        save(out / f"{folder.name}.safetensors", adapted, 50 + seed)
    save(out / "llama-tied-full.safetensors", base("llama-tied"), 60)
    save(out / "qwen2-full.safetensors", base("qwen2"), 61, lambda name: name.endswith("bias") or ".layers.0." in name)


main()
