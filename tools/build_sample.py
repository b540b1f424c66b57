"""Writes the sample desk's two exports from its sources: `build_sample.py [SOURCE_DIR [OUT_DIR]]`, by default sample/source and sample.

SOURCE_DIR/*.jsonl hold one ticket a line with its activities. OUT_DIR gets tickets.xlsx and history.xlsx with the columns of the ERP's export and
its habits: history in no order, dates now as date cells, now as day-first text, blank subjects. The same sources give the same bytes.
"""
import hashlib
import io
import json
import re
import sys
import zipfile
from datetime import datetime
from pathlib import Path

from openpyxl import Workbook
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

TICKET_COLUMNS = ["TICKETID", "ALTERNATEKEYSUFFIX", "AREA", "CATEGORY", "ISSUE", "RECEIVEDDATE", "COMPLETEDDATE", "SUBJECT", "URGENCYCODE", "PROBLEM",
                  "SOLUTION", "RESULTIONSUMMARY", "ACCOUNTID", "ACCOUNT"]
HISTORY_COLUMNS = ["TICKETID", "TICKETACTIVITYID", "USERID", "SHORTDESC", "CREATEDATE", "ACTIVITYDESC", "ACTIVITYTYPECODE", "ACTIVITYTYPE"]
FIRST_TICKET, FIRST_ACTIVITY = 184501, 930117
BLANK_SHARES = {"subject": 0.14, "problem": 0.014, "solution": 0.008}
TYPE_CODES = {"E-mail in": "EI", "E-mail out": "EO", "Phone call": "PH", "Note": "NT", "Remote session": "RS", "Second line": "SL", "Closed": "CL"}
ACCOUNTS = {
    "A1003": "Ashdown Bearings Ltd", "A1009": "Brackwater Foods", "A1012": "Calder Valley Textiles", "A1017": "Delmere Packaging",
    "A1020": "Eastgate Timber", "A1024": "Fairlea Dairy Co-op", "A1031": "Greyfriars Catering Supply", "A1036": "Harrow Lane Fixings",
    "A1040": "Inverbeg Marine", "A1044": "Jessop & Tate", "A1049": "Kestrel Lighting", "A1053": "Lowmoor Plastics", "A1058": "Marchbank Paper",
    "A1061": "Northolt Fasteners", "A1066": "Oakfield Veterinary Supplies", "A1070": "Penrose Ceramics", "A1075": "Quayside Chandlers",
    "A1079": "Rushmere Garden Products", "A1083": "Selwyn Electrical", "A1088": "Thornbury Glass", "A1092": "Underhill Seeds",
    "A1096": "Vantry Automotive", "A1101": "Wexcombe Tools", "A1107": "Yardley Print", "A1113": "Zennor Outdoor",
    "A1118": "Hafen Lübeck Logistik GmbH", "A1121": "Ateliers Morvan SARL",
}
DATE_FORMAT = "dd/mm/yyyy hh:mm"


def chance(*key) -> float:
    """0..1, always the same for a key: what is blank or mixed does not depend on the order or the number of tickets."""
    digest = hashlib.sha256(":".join(map(str, key)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def read_sources(folder: Path) -> list[dict]:
    tickets, seen = [], {}
    for path in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                ticket = json.loads(line)
            except json.JSONDecodeError as error:
                sys.exit(f"{where}: not JSON: {error}")
            if ticket["n"] in seen:
                sys.exit(f"{where}: ticket number {ticket['n']} was used at {seen[ticket['n']]}")
            seen[ticket["n"]] = where
            if ticket["account"] not in ACCOUNTS:
                sys.exit(f"{where}: account {ticket['account']} is not in the list of accounts")
            if ticket["urgency"] not in (1, 2, 3, 4, 5):
                sys.exit(f"{where}: urgency {ticket['urgency']}; wanted 1 to 5")
            if not ticket["activities"]:
                sys.exit(f"{where}: a ticket without activities")
            for activity in ticket["activities"]:
                if activity["t"] not in TYPE_CODES:
                    sys.exit(f"{where}: activity type {activity['t']!r}; wanted one of {', '.join(TYPE_CODES)}")
            tickets.append(ticket)
    if not tickets:
        sys.exit(f"{folder}: no *.jsonl with tickets")
    return sorted(tickets, key=lambda ticket: (ticket["received"], ticket["n"]))


def text(value: str):
    return ILLEGAL_CHARACTERS_RE.sub("", value) or None


def save(rows: list[list], columns: list[str], sheet: str, date_columns: set[str], path: Path) -> None:
    book = Workbook(write_only=False)
    page = book.active
    page.title = sheet
    page.append(columns)
    for row in rows:
        page.append(row)
        for name in date_columns:
            cell = page.cell(row=page.max_row, column=columns.index(name) + 1)
            if isinstance(cell.value, datetime):
                cell.number_format = DATE_FORMAT
    for line in page.iter_rows(min_row=2):   # a text that begins with "=" is a text
        for cell in line:
            if cell.data_type == "f":
                cell.data_type = "s"
    page.freeze_panes = "A2"
    book.properties.creator = "Fenwick & Lowe Business Systems"
    raw = io.BytesIO()
    book.save(raw)
    with zipfile.ZipFile(raw) as source, zipfile.ZipFile(path, "w") as target:   # the same again without today's date
        for name in sorted(source.namelist(), key=lambda name: (name != "[Content_Types].xml", name)):
            content = source.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"(<dcterms:(created|modified)[^>]*>)[^<]*", rb"\g<1>2025-07-01T09:00:00Z", content)
            info = zipfile.ZipInfo(name, (2025, 7, 1, 9, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            target.writestr(info, content, compresslevel=9)


def main() -> None:
    root = Path(__file__).resolve().parent.parent / "sample"
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else root / "source"
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else root
    tickets = read_sources(source)
    per_account: dict[str, int] = {}
    ticket_rows, history = [], []
    for place, ticket in enumerate(tickets):
        ticket_id = FIRST_TICKET + place
        per_account[ticket["account"]] = per_account.get(ticket["account"], 0) + 1
        kept = {field: "" if chance(ticket["n"], field) < share else ticket[field] for field, share in BLANK_SHARES.items()}
        ticket_rows.append([ticket_id, f"{per_account[ticket['account']]:03d}", ticket["area"], ticket["category"], ticket["issue"],
                            datetime.fromisoformat(ticket["received"]), datetime.fromisoformat(ticket["completed"]), text(kept["subject"]), ticket["urgency"],
                            text(kept["problem"]), text(kept["solution"]), text(ticket["result"]), ticket["account"], ACCOUNTS[ticket["account"]]])
        history += [(activity["d"], ticket_id, number, activity) for number, activity in enumerate(ticket["activities"])]

    history.sort(key=lambda one: one[:3])   # the ERP numbers activities as they are written
    shuffled = []
    for place, (when, ticket_id, number, activity) in enumerate(history):
        moment = datetime.fromisoformat(when)
        as_text = chance(ticket_id, number, "date") < 0.5
        row = [ticket_id, FIRST_ACTIVITY + place, activity["u"], text(activity["s"]), moment.strftime("%d/%m/%Y %H:%M") if as_text else moment, text(activity["x"]),
               TYPE_CODES[activity["t"]], activity["t"]]
        shuffled.append(((chance(ticket_id, when), number), row))
    # ... and exports them in no order, but for those of one ticket and minute, which nothing else could put in order again
    history_rows = [row for _, row in sorted(shuffled, key=lambda one: one[0])]

    out.mkdir(parents=True, exist_ok=True)
    save(ticket_rows, TICKET_COLUMNS, "Tickets", {"RECEIVEDDATE", "COMPLETEDDATE"}, out / "tickets.xlsx")
    save(history_rows, HISTORY_COLUMNS, "Ticket history", {"CREATEDATE"}, out / "history.xlsx")
    blank = {name: sum(row[TICKET_COLUMNS.index(name)] is None for row in ticket_rows) for name in ("SUBJECT", "PROBLEM", "SOLUTION")}
    empty = sum(row[5] is None for row in history_rows)
    print(f"{len(ticket_rows)} tickets (blank: {', '.join(f'{count} {name}' for name, count in blank.items())}), {len(history_rows)} activities ({empty} empty)")


main()
