"""data.xlsx100k: a workbook of 100 000 tickets, some 60 MB packed, written by openpyxl; every cell is read as text by deskhand, by openpyxl
(read-only, values only) and by python-calamine (rows as lists), each in a process of its own, in turn.

    cmake --build --preset release --target table_speed
    python3 bench/data_xlsx100k.py [--rows 100000] [--runs 3]         (a Python with openpyxl and python-calamine)

Ratios are times faster than each peer; the limits are 20 (openpyxl), 1 (python-calamine) and 300 MiB of peak memory.
"""
import argparse
import datetime
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import measurement

COLUMNS = ["TICKETID", "AREA", "CATEGORY", "ISSUE", "RECEIVEDDATE", "COMPLETEDDATE", "SUBJECT", "URGENCYCODE", "PROBLEM", "SOLUTION", "RESULTIONSUMMARY", "ACCOUNTID", "ACCOUNT"]


def write_workbook(path: Path, rows: int) -> None:
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell

    draw = random.Random(42)
    letters = "etaoinshrdlucmfwypvbgk"
    vocabulary = ["".join(draw.choices(letters, k=draw.randint(2, 9))) for _ in range(20000)]
    weights = [1 / (rank + 10) for rank in range(len(vocabulary))]
    words = draw.choices(vocabulary, weights, k=4_000_000)

    def text(count: int) -> str:
        start = draw.randrange(len(words) - count)
        return " ".join(words[start:start + count])

    book = Workbook(write_only=True)
    sheet = book.create_sheet("Tickets")
    sheet.append(COLUMNS)
    start = datetime.datetime(2019, 1, 1)

    def date(value):
        cell = WriteOnlyCell(sheet, value)
        cell.number_format = "dd/mm/yyyy hh:mm"
        return cell

    for row in range(rows):
        received = start + datetime.timedelta(minutes=row * 30)
        sheet.append([100000 + row, f"Area {row % 7}", f"Category {row % 40}", "Defect", date(received), date(received + datetime.timedelta(days=2)),
                      text(8), row % 5 + 1, text(95) + "\n" + text(15), text(50), text(6), f"A{row % 900}", f"Customer {row % 900} & Co"])
    book.save(path)


PEERS = {
    "openpyxl read-only": """
import openpyxl, sys
cells = 0
for row in openpyxl.load_workbook(sys.argv[1], read_only=True, data_only=True)["Tickets"].iter_rows(values_only=True):
    cells += sum(value is not None for value in row)
print(cells)
""",
    "python-calamine": """
import python_calamine, sys
cells = 0
for row in python_calamine.CalamineWorkbook.from_path(sys.argv[1]).get_sheet_by_name("Tickets").to_python():
    cells += sum(value != "" for value in row)
print(cells)
""",
}


def run(command: list[str]) -> tuple[float, float, int]:
    """Seconds, peak MiB, cells."""
    started = time.perf_counter()
    process = subprocess.run(["/usr/bin/env", "python3", "-c", """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True, check=True)
print(done.stdout.split()[0], resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
""", *command], stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.perf_counter() - started
    cells, kib = map(int, process.stdout.split())
    return seconds, kib / 1024, cells


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--runs", type=int, default=3, help="of deskhand and python-calamine; openpyxl runs once, it takes minutes")
    options.add_argument("--program", default=Path(__file__).parent.parent / "build/release/bench/table_speed")
    options.add_argument("--workbook", type=Path, default=Path(tempfile.gettempdir()) / "deskhand_xlsx100k.xlsx")
    chosen = options.parse_args()
    if not chosen.workbook.exists():
        print("writing", chosen.workbook, file=sys.stderr)
        write_workbook(chosen.workbook, chosen.rows)
    size = chosen.workbook.stat().st_size / 1e6

    times = {"deskhand": [], **{peer: [] for peer in PEERS}}
    memory = {}
    counts = set()
    for number in range(chosen.runs):
        for name in times:
            if name == "openpyxl read-only" and number > 0:
                continue
            command = [str(chosen.program), str(chosen.workbook)] if name == "deskhand" else [sys.executable, "-c", PEERS[name], str(chosen.workbook)]
            seconds, mib, cells = run(command)
            times[name].append(seconds)
            memory[name] = mib
            counts.add(cells)
            print(f"{name}: {seconds:.2f} s, {mib:.0f} MiB, {cells} cells", file=sys.stderr)
    if len(counts) != 1:
        raise SystemExit(f"the readers do not agree on the number of cells: {counts}")
    ours = measurement.median(times["deskhand"])
    note = f"{chosen.rows} rows, {size:.0f} MB; peak {memory['deskhand']:.0f} MiB of 300 (openpyxl {memory['openpyxl read-only']:.0f}, calamine {memory['python-calamine']:.0f})"
    for peer, limit in (("openpyxl read-only", "20"), ("python-calamine", "1")):
        theirs = measurement.median(times[peer])
        measurement.record("data.xlsx100k", ours, "s", peer, theirs, theirs / ours, limit, note)


if __name__ == "__main__":
    main()
