"""data.prepare1m: tickets with their history (two CSV files, three activities each: mails with greeting, signature and quoted mail, and notes)
from files to the desk's database, all of `deskhand prepare` but rewriting. The limits are 600 s and 2 GiB for 1 000 000 tickets on 2 cores.
The peer is pandas, which only reads the two files, joins them and groups the history: it cleans nothing and writes nothing.

    cmake --build --preset release --target deskhand
    python3 bench/data_prepare1m.py [--tickets 1000000]         (a Python with pandas)

With fewer tickets the value is what a million would take at the same rate.
"""
import argparse
import csv
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import measurement

TICKETS = ["TICKETID", "AREA", "CATEGORY", "ISSUE", "RECEIVEDDATE", "COMPLETEDDATE", "SUBJECT", "URGENCYCODE", "PROBLEM", "SOLUTION", "RESULTIONSUMMARY", "ACCOUNTID", "ACCOUNT"]
HISTORY = ["TICKETID", "TICKETACTIVITYID", "USERID", "SHORTDESC", "CREATEDATE", "ACTIVITYDESC", "ACTIVITYTYPECODE", "ACTIVITYTYPE"]
PEER = """
import pandas, sys
tickets = pandas.read_csv(sys.argv[1], dtype=str, keep_default_na=False)
history = pandas.read_csv(sys.argv[2], dtype=str, keep_default_na=False).sort_values(["TICKETID", "CREATEDATE"], kind="stable")
texts = history.groupby("TICKETID", sort=False)["ACTIVITYDESC"].agg(" || ".join)
print(len(tickets.join(texts, on="TICKETID")))
"""


def write_export(folder: Path, count: int) -> None:
    draw = random.Random(42)
    vocabulary = ["".join(draw.choices("etaoinshrdlucmfwypvbgk", k=draw.randint(2, 9))) for _ in range(20000)]
    words = draw.choices(vocabulary, [1 / (rank + 10) for rank in range(len(vocabulary))], k=2_000_000)

    def text(size: int) -> str:
        start = draw.randrange(len(words) - size)
        return " ".join(words[start:start + size])

    with open(folder / "tickets.csv", "w", newline="") as tickets, open(folder / "history.csv", "w", newline="") as history:
        ticket_rows, history_rows = csv.writer(tickets), csv.writer(history)
        ticket_rows.writerow(TICKETS)
        history_rows.writerow(HISTORY)
        for i in range(count):
            day = f"{i % 28 + 1:02}/{i // 28 % 12 + 1:02}/{2010 + i // 336 % 14}"
            asked = f"Hello team,\n\n{text(40)}.\n{text(20)}.\n\nKind regards\nJane Miller\nMiller & Sons Ltd\nPhone +44 20 7946 {i % 10000:04}"
            ticket_rows.writerow([i, f"Area {i % 7}", f"Category {i % 40}", "Defect", day, "", text(6), i % 5 + 1, text(30), text(25), "ok", f"A{i % 900}", f"Customer {i % 900}"])
            history_rows.writerow([i, i * 3, "C", "in", f"{day} 09:00", asked, "EI", "E-mail in"])
            history_rows.writerow([i, i * 3 + 1, "M", "note", f"{day} 10:00", text(20), "NT", "Note"])
            history_rows.writerow([i, i * 3 + 2, "M", "out", f"{day} 11:00", f"Dear Jane,\n{text(30)}.\nBest regards\nDesk\n\nFrom: Jane Miller\nSent: Monday\nTo: Desk\nSubject: x\n\n{text(20)}", "EO", "E-mail out"])


def timed(command: list[str]) -> tuple[float, float]:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--tickets", type=int, default=1_000_000)
    options.add_argument("--program", default=str(Path(__file__).parent.parent / "build/release/deskhand"))
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="deskhand-1m-") as name:
        folder = Path(name)
        write_export(folder, chosen.tickets)
        subprocess.run([chosen.program, "init", folder / "desk", "--tickets", folder / "tickets.csv", "--history", folder / "history.csv"], check=True, stdout=subprocess.DEVNULL)
        ours, memory = timed([chosen.program, "--desk", str(folder / "desk"), "prepare"])
        theirs, _ = timed([sys.executable, "-c", PEER, str(folder / "tickets.csv"), str(folder / "history.csv")])
        size = sum((folder / file).stat().st_size for file in ("tickets.csv", "history.csv")) / 1e6
        million = 1e6 / chosen.tickets
        measurement.record("data.prepare1m", ours * million, "s", "pandas, reading and joining alone", theirs * million, theirs / ours, "600",
                           f"{chosen.tickets} tickets, {size:.0f} MB; {ours:.1f} s, peak {memory:.0f} MiB of 2048")


if __name__ == "__main__":
    main()
