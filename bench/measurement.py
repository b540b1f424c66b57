"""Appends measurements to bench/history.csv, one line each; the columns are told in bench/README.md."""
import csv
import datetime
import os
import platform
import subprocess
from pathlib import Path

HISTORY = Path(__file__).parent / "history.csv"
COLUMNS = ["date", "commit", "machine", "name", "value", "unit", "peer", "peer_value", "ratio", "limit", "note"]


def machine() -> str:
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    flags = next((line.split() for line in open("/proc/cpuinfo") if line.startswith("flags")), [])
    kinds = [name for name in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8") if name in flags]
    return f"{model}, {len(os.sched_getaffinity(0))} threads, {' '.join(kinds)}"


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
