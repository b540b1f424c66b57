"""data.split100k: `deskhand split`, grouped, of 100 000 tickets on 2 threads: reading them, groups, leakage check and the files. The limit is 30 s.

    data_split100k.py [--build build/release] [--rounds 3] [--folder DIR]

The tickets are make_tickets.py's, 30 % of them repeats; preparing them is not counted.
"""
import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

from make_tickets import write
from measurement import median, record

COUNT, LIMIT_S = 100000, 30


def make_desk(program: str, folder: Path) -> Path:
    """The prepared desk in this folder; made where it is not there."""
    desk, table = folder / "desk", folder / "tickets.csv"
    if not (desk / "desk.db").exists():
        write(COUNT, str(table))
        subprocess.run([program, "init", str(desk), "--tickets", str(table)], check=True, capture_output=True)
        subprocess.run([program, "--desk", str(desk), "--quiet", "prepare"], check=True, capture_output=True)
    return desk


def measure(program: str, desk: Path, rounds: int) -> None:
    def split(*options: str) -> dict:
        return json.loads(subprocess.run([program, "--desk", str(desk), "--threads", "2", "--json", "split", "--force", *options], check=True, capture_output=True, text=True).stdout)

    seconds = []
    for _ in range(rounds):
        begin = time.monotonic()
        drawn = split("--method", "grouped")
        seconds.append(time.monotonic() - begin)
    assert drawn["train"] + drawn["test"] == COUNT, drawn
    by_chance = split("--method", "random")
    record("data.split100k", median(seconds), "s", "limit", LIMIT_S, median(seconds) / LIMIT_S, limit=LIMIT_S,
           note=f"the whole command, 2 threads, {len(seconds)} rounds, {min(seconds):.1f} to {max(seconds):.1f} s; "
                f"{drawn['leaked']} of {drawn['test']} leak, of the random split's {by_chance['leaked']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--rounds", type=int, default=3, help="0: the desk is made and nothing measured")
    parser.add_argument("--folder", type=Path, help="where the desk is kept for another run; a temporary folder if not given")
    arguments = parser.parse_args()
    program = str(Path(arguments.build).resolve() / "deskhand")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        desk = make_desk(program, folder)
        if arguments.rounds > 0:
            measure(program, desk, arguments.rounds)


main()
