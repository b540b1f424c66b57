"""compute-sanitizer over every case of the GPU's tests, a process a case and a tool, several side by side: a tool slows a kernel down a
hundredfold and more, and the card waits most of that time.

    sanitize.py [PROGRAM] [--tools memcheck,synccheck,racecheck] [--cases REGEX] [--at-a-time 14] [--seconds 600] [--logs DIR]

PROGRAM is build/cuda/ops_cuda_test; --cases takes those alone whose names hold REGEX. Prints each case that was not clean or not done in the
time that all have together, and a line a tool; the exit code is 1 if there is one. What a tool reports of the kernels of NVIDIA's own libraries
alone is told and is no fault. DIR keeps what the tools wrote.
"""
import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

FOUND = 9  # the exit code that a tool is asked for when it has found something


def names_of(program: str) -> list[str]:
    listed = subprocess.run([program, "-ltc"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if line and not line.startswith(("=", "["))]


def verdict(code: int, text: str) -> str:
    """Of one case under one tool: "clean", or what it was instead."""
    if "skipped, no GPU" in text:
        return "skipped, no GPU"
    if code == 0:
        return "clean"
    if code in (124, 137):
        return "not done in time"
    told = [line for line in text.splitlines() if line.startswith("=========")]
    if code == FOUND and "Status: SUCCESS!" in text and not any("deskhand" in line for line in told):
        return "clean but for NVIDIA's own kernels"
    summary = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: (.*)", text)
    return summary[-1] if summary else f"exit code {code}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?", default="build/cuda/ops_cuda_test")
    parser.add_argument("--tools", default="memcheck,synccheck,racecheck")
    parser.add_argument("--cases", default="")
    parser.add_argument("--at-a-time", type=int, default=14)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--logs")
    arguments = parser.parse_args()
    sanitizer = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    names, tools, end = names_of(arguments.program), arguments.tools.split(","), time.monotonic() + arguments.seconds
    with tempfile.TemporaryDirectory() as scratch:
        logs = arguments.logs or scratch
        os.makedirs(logs, exist_ok=True)

        def look(job: tuple[str, int]) -> tuple[str, int, str, float]:
            tool, number = job
            begun, left = time.monotonic(), end - time.monotonic()
            if left < 1:
                return tool, number, "not done in time", 0
            # One case asks for more memory than there is, which is what it tests.
            asked = ["--report-api-errors", "no"] if "too large is refused" in names[number - 1] else []
            path = os.path.join(logs, f"{tool}.{number:02}.txt")
            with open(path, "w") as log:
                code = subprocess.run(["timeout", "-k", "2", str(int(left)), sanitizer, "--tool", tool, "--error-exitcode", str(FOUND), *asked,
                                       arguments.program, f"-f={number}", f"-l={number}"], stdout=log, stderr=subprocess.STDOUT).returncode
            with open(path) as log:
                return tool, number, verdict(code, log.read()), time.monotonic() - begun

        jobs = [(tool, number + 1) for tool in tools for number in range(len(names)) if re.search(arguments.cases, names[number])]
        if not jobs:
            parser.error(f"no case of {arguments.program} has {arguments.cases!r} in its name")
        with concurrent.futures.ThreadPoolExecutor(arguments.at_a_time) as pool:
            told = list(pool.map(look, jobs))
    for tool, number, said, seconds in told:
        if said != "clean":
            print(f"{tool}, case {number} ({names[number - 1]}): {said}, {seconds:.0f} s")
    for tool in tools:
        of_tool = [said for name, _, said, _ in told if name == tool]
        print(f"{tool}: {sum(said.startswith('clean') for said in of_tool)} of {len(of_tool)} cases clean")
    sys.exit(0 if all(said.startswith("clean") for _, _, said, _ in told) else 1)


main()
