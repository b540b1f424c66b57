"""Fails when a file of deskhand/ includes a room that the table in ARCHITECTURE.md does not allow: `check_layers.py SOURCE_DIR`."""
import re
import sys
from pathlib import Path


def allowed_includes(architecture: str) -> dict[str, set[str]]:
    """Room -> rooms it may include, read from the rows `| room | what lives there | may include |` below the heading "Layers"."""
    table = architecture.split("## Layers", 1)[1].split("\n## ", 1)[0]
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table.splitlines() if line.startswith("|")][2:]
    rooms = {row[0]: row[2] for row in rows}
    every = {name.split("/")[0] for name in rooms}
    return {name: every if text == "all" else {word for word in text.split() if word in every} for name, text in rooms.items()}


def main() -> int:
    source = Path(sys.argv[1])
    allowed = allowed_includes((source / "ARCHITECTURE.md").read_text())
    faults, files = [], 0
    for path in sorted((source / "deskhand").rglob("*")):
        if path.suffix not in {".h", ".cpp", ".cu", ".cuh"}:
            continue
        files += 1
        parts = path.relative_to(source / "deskhand").parts
        room = "/".join(parts[:2]) if "/".join(parts[:2]) in allowed else parts[0]
        if room not in allowed:
            faults.append(f"{path}: the room {room} is not in ARCHITECTURE.md's table")
            continue
        may = allowed[room] | {parts[0]}
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = re.match(r'\s*#\s*include\s+"deskhand/([a-z_]+)/', line)
            if found and found.group(1) not in may:
                faults.append(f"{path}:{number}: {room} may not include {found.group(1)} (ARCHITECTURE.md, Layers)")
            if re.match(r"\s*#\s*include\s+<cu[a-z_]*(\.h|/)", line) and "cuda" not in path.parts and path.name != "nccl.cpp":
                faults.append(f"{path}:{number}: CUDA headers belong in a cuda folder")
    print("\n".join(faults) or f"{files} files keep to the layer table")
    return 1 if faults else 0


sys.exit(main())
