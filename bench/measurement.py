"""Appends measurements to bench/history.csv, one line each; the columns are told in bench/README.md."""
import csv
import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

HISTORY = Path(__file__).parent / "history.csv"
COLUMNS = ["date", "commit", "machine", "name", "value", "unit", "peer", "peer_value", "ratio", "limit", "note"]


def machine() -> str:
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    flags = next((line.split() for line in open("/proc/cpuinfo") if line.startswith("flags")), [])
    kinds = [name for name in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8") if name in flags]
    return f"{model}, {len(os.sched_getaffinity(0))} threads, {' '.join(kinds)}"


def card() -> str:
    """The first GPU and its driver."""
    return subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"], capture_output=True, text=True).stdout.splitlines()[0]


def said_by(engine: str, case: list[str]) -> dict:
    """The JSON object that the engine prints of a case; nothing, and its own words on stderr, where it fails: the other cases are not lost for it."""
    output = subprocess.run([engine, *case], capture_output=True, text=True)
    print(" ".join(case), output.stdout.strip()[:300] if output.returncode == 0 else output.stderr.strip()[-300:], file=sys.stderr, flush=True)
    return json.loads(output.stdout) if output.returncode == 0 else {}


def commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HISTORY.parent)
    changed = subprocess.run(["git", "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, cwd=HISTORY.parent)
    return found.stdout.strip() + ("+" if changed.stdout.strip() else "")


def record(name: str, value: float, unit: str, peer: str, peer_value: float, ratio: float, limit: str = "", note: str = "") -> None:
    row = [datetime.date.today().isoformat(), commit(), machine(), name, f"{value:.4g}", unit, peer, f"{peer_value:.4g}", f"{ratio:.3f}", limit, note]
    fresh = not HISTORY.exists()
    with open(HISTORY, "a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if fresh:
            writer.writerow(COLUMNS)
        writer.writerow(row)
    print(", ".join(f"{column} {cell}" for column, cell in zip(COLUMNS, row) if cell))


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
