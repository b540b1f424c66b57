"""What other people's code says of schedules, smoothing and event files: `save_golden_training.py OUT`, OUT is tests/golden/train.

schedules.json: factors of transformers' schedules. smoothing.json: scipy.signal.savgol_filter. events.bin: an event file whose events are
serialised and framed by tensorboard. Needs torch, transformers, scipy, tensorboard. Seeds are fixed.
"""
import json
import sys
from pathlib import Path

import numpy as np
import torch
from scipy.signal import savgol_filter
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from transformers import get_constant_schedule_with_warmup, get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

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


def main() -> None:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    (out / "schedules.json").write_text(json.dumps(schedules()) + "\n")
    (out / "smoothing.json").write_text(json.dumps(smoothing()) + "\n")
    save_events(out / "events.bin")


main()
