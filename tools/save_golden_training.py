"""What other people's code says of schedules, smoothing, event files and whole runs: `save_golden_training.py OUT`, OUT is tests/golden/train.

schedules.json: factors of transformers' schedules. smoothing.json: scipy.signal.savgol_filter. events.bin: an event file whose events are
serialised and framed by tensorboard. runs.json: ten steps of PyTorch's AdamW on the tiny models beside OUT, with peft's adapters, in double;
one text at a time, so that nothing is packed or padded. An adapter begins as deskhand's: xoshiro256** seeded by SplitMix64 is written
down here a second time. Needs torch, transformers, peft, scipy, tensorboard. Seeds are fixed.
"""
import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from scipy.signal import savgol_filter
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from transformers import AutoModelForCausalLM, get_constant_schedule_with_warmup, get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

SCHEDULES = {"constant": lambda optimizer, warmup, total: get_constant_schedule_with_warmup(optimizer, warmup),
             "linear": get_linear_schedule_with_warmup, "cosine": get_cosine_schedule_with_warmup}


def factors(kind: str, warmup: int, total: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = SCHEDULES[kind](optimizer, warmup, total)
    rates = []
    for _ in range(total + 3):   # a little beyond the end
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return rates


def schedules() -> list[dict]:
    return [{"kind": kind, "warmup": warmup, "total": total, "factors": factors(kind, warmup, total)}
            for kind in SCHEDULES for warmup, total in [(0, 10), (3, 17), (5, 5), (7, 4), (0, 1)]]


def smoothing() -> list[dict]:
    random = np.random.default_rng(1)
    cases = []
    for count, window, order in [(60, 9, 2), (9, 9, 2), (10, 9, 2), (33, 9, 3), (25, 5, 0), (25, 5, 1), (40, 11, 4), (12, 3, 2)]:
        values = np.cumsum(random.normal(size=count)) + 2.5
        cases.append({"window": window, "order": order, "values": values.tolist(),
                      "smooth": savgol_filter(values, window, order, mode="interp").tolist()})
    return cases


def save_events(path: Path) -> None:
    with open(path, "wb") as file:
        writer = RecordWriter(file)
        events = [Event(wall_time=1700000000.25, file_version="brain.Event:2"),
                  Event(wall_time=1700000001.5, step=1, summary=Summary(value=[Summary.Value(tag="train/loss", simple_value=2.125),
                                                                              Summary.Value(tag="train/learning_rate", simple_value=0.0)])),
                  Event(wall_time=1700000002.0, step=300, summary=Summary(value=[Summary.Value(tag="eval/loss", simple_value=-1e-5)])),
                  Event(wall_time=1700000003.0, step=120, session_log=SessionLog(status=SessionLog.START))]
        for event in events:
            writer.write(event.SerializeToString())


# deskhand's words on the left, as a recipe has them.
SETTINGS = dict(r=4, alpha=8, rank_stabilised=False, plus_ratio=1, head_ratio=1, learning_rate=0.02, weight_decay=0.1, beta1=0.9, beta2=0.99, epsilon=1e-8,
                max_grad_norm=2.4, warmup_steps=3, seed=17)
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]   # of a layer, as deskhand counts them
RUNS = [dict(name="lora", model="qwen2", method="lora", targets=LINEAR),
        dict(name="lora, B faster", model="llama-tied", method="lora", targets=["k_proj", "down_proj"], plus_ratio=8, learning_rate=0.004),
        dict(name="hybrid", model="qwen2", method="hybrid", targets=["q_proj", "v_proj"], learning_rate=0.004),
        dict(name="hybrid, head untied", model="llama-tied", method="hybrid", targets=LINEAR, r=2, rank_stabilised=True, learning_rate=0.004),
        dict(name="hybrid, head slower", model="qwen2", method="hybrid", targets=["q_proj", "v_proj"], head_ratio=0.25, learning_rate=0.004),
        dict(name="full", model="llama-untied", method="full", targets=[], learning_rate=0.001),
        dict(name="full, head tied", model="llama-tied", method="full", targets=[], learning_rate=0.001),
        dict(name="full, biases", model="qwen2", method="full", targets=[], learning_rate=0.001)]
STEPS, BATCH = 10, 4
WORD = 2**64 - 1


def uniforms(seed: int, stream: int):
    def split_mix(state):
        state = (state + 0x9e3779b97f4a7c15) & WORD
        z = ((state ^ (state >> 30)) * 0xbf58476d1ce4e5b9) & WORD
        z = ((z ^ (z >> 27)) * 0x94d049bb133111eb) & WORD
        return state, z ^ (z >> 31)

    turn = lambda x, by: ((x << by) | (x >> (64 - by))) & WORD
    mixed = seed ^ split_mix(stream)[1]
    s = []
    for _ in range(4):
        mixed, word = split_mix(mixed)
        s.append(word)
    while True:
        bits = (turn((s[1] * 5) & WORD, 7) * 9) & WORD
        moved = (s[1] << 17) & WORD
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= moved
        s[3] = turn(s[3], 45)
        yield (bits >> 11) * 2.0**-53


def begin_as_deskhand(model, seed: int) -> None:
    for name, value in model.named_parameters():
        if "lora_B" in name:
            value.data.zero_()
        if "lora_A" not in name:
            continue
        part = name.split(".")
        layer, linear = int(part[part.index("layers") + 1]), part[part.index("lora_A") - 1]
        draw = uniforms(seed, layer * len(LINEAR) + LINEAR.index(linear))
        bound = 1 / math.sqrt(value.shape[1])
        drawn = np.array([(2 * next(draw) - 1) * bound for _ in range(value.numel())]).astype(np.float32)
        value.data.copy_(torch.from_numpy(drawn.reshape(value.shape)))


def model_of(models: Path, run: dict):
    model = AutoModelForCausalLM.from_pretrained(models / run["model"], dtype=torch.float64, attn_implementation="eager")
    if run["method"] == "full":
        return model
    saved = ["lm_head", "input_layernorm", "post_attention_layernorm", "norm"] if run["method"] == "hybrid" else None
    config = LoraConfig(task_type="CAUSAL_LM", r=run["r"], lora_alpha=run["alpha"], lora_dropout=0.0, target_modules=run["targets"],
                        use_rslora=run["rank_stabilised"], modules_to_save=saved)
    model = get_peft_model(model, config, autocast_adapter_dtype=False).double()
    begin_as_deskhand(model, run["seed"])
    return model


def optimizer_of(model, run: dict):
    groups = {}
    for name, value in model.named_parameters():
        if value.requires_grad:
            factor = run["plus_ratio"] if "lora_B" in name else 1 if "lora_A" in name else run["head_ratio"]
            groups.setdefault((value.dim() > 1, factor), []).append(value)
    return torch.optim.AdamW(
        [dict(params=values, weight_decay=run["weight_decay"] if decays else 0.0, lr=run["learning_rate"] * factor)
         for (decays, factor), values in groups.items()], betas=(run["beta1"], run["beta2"]), eps=run["epsilon"])


def example_sums(model, example: dict):
    """Loss, entropy and right guesses, summed over the tokens to be predicted, and their number."""
    ids, first = torch.tensor(example["ids"]), max(1, example["answer_begin"])
    logits = model(ids[None]).logits[0, first - 1:-1]
    spoken = torch.log_softmax(logits, -1)
    targets = ids[first:]
    loss = -spoken.gather(1, targets[:, None]).sum()
    return loss, -(spoken.exp() * spoken).sum().item(), (logits.argmax(-1) == targets).sum().item(), len(targets)


def evaluate(model, examples: list[dict]) -> dict:
    with torch.no_grad():
        loss, entropy, correct, count = map(sum, zip(*(example_sums(model, example) for example in examples)))
    return dict(loss=loss.item() / count, entropy=entropy / count, mean_token_accuracy=correct / count)


def train(models: Path, run: dict, training: list[dict], validation: list[dict]) -> dict:
    model = model_of(models, run)
    optimizer = optimizer_of(model, run)
    schedule = get_linear_schedule_with_warmup(optimizer, run["warmup_steps"], STEPS)
    steps, evaluations = [], [evaluate(model, validation)]
    for step in range(STEPS):
        first = step * BATCH % len(training)
        batch = [example_sums(model, example) for example in training[first:first + BATCH]]
        loss, entropy, correct, count = map(sum, zip(*batch))
        optimizer.zero_grad()
        (loss / count).backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), run["max_grad_norm"]).item()
        optimizer.step()
        steps.append(dict(loss=loss.item() / count, entropy=entropy / count, mean_token_accuracy=correct / count, grad_norm=norm,
                          learning_rate=run["learning_rate"] * schedule.lr_lambdas[0](step)))
        schedule.step()
        if (step + 1) * BATCH % len(training) == 0:
            evaluations.append(evaluate(model, validation))
    return dict(run, steps=steps, evaluations=evaluations)


def runs(models: Path) -> dict:
    random = np.random.default_rng(5)

    def examples(count: int) -> list[dict]:
        made = []
        for _ in range(count):
            length = int(random.integers(5, 25))
            made.append(dict(ids=random.integers(3, 40, length).tolist(), answer_begin=int(random.integers(1, length - 1))))
        return made

    training, validation = examples(5 * BATCH), examples(5)
    return dict(batch=BATCH, training=training, validation=validation,
                runs=[train(models, SETTINGS | run, training, validation) for run in RUNS])


def main() -> None:
    torch.set_num_threads(1)
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    (out / "schedules.json").write_text(json.dumps(schedules()) + "\n")
    (out / "smoothing.json").write_text(json.dumps(smoothing()) + "\n")
    save_events(out / "events.bin")
    (out / "runs.json").write_text(json.dumps(runs(out.parent / "models")) + "\n")


main()
