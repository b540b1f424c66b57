"""Writes tests/golden/tickets: workbooks made and read by openpyxl, CSV files in several encodings, splits made by scikit-learn.

Run with a Python that has openpyxl, numpy and scikit-learn (tried: 3.1.5, 2.4.6, 1.9.1): `save_golden_tickets.py`.
"""
import hashlib
import json
from datetime import date, datetime, time
from pathlib import Path

import numpy
from openpyxl import Workbook, load_workbook
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont
from openpyxl.utils.datetime import CALENDAR_MAC_1904, from_excel
from sklearn.model_selection import KFold, TimeSeriesSplit, train_test_split

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "golden" / "tickets"


def iso(value, number_format="") -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S") if "h" in number_format or value.time() != time() else value.strftime("%Y-%m-%d")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, time):
        return value.strftime("%H:%M:%S")
    return str(value)


def save_workbook(name: str, mac: bool) -> dict:
    book = Workbook()
    if mac:
        book.epoch = CALENDAR_MAC_1904
    notes = book.active
    notes.title = "Read me"
    notes.append(["nothing here"])
    page = book.create_sheet("Tickets")
    page.append(["TICKETID", " SUBJECT ", "RECEIVEDDATE", "DAY", "AT", "URGENCYCODE", "OPEN", "SHARE", "PROBLEM"])
    rich = CellRichText("No ", TextBlock(InlineFont(b=True), "dial"), " tone")
    rows = [
        [184501, "Größe & <Maß>", datetime(2024, 3, 14, 9, 12), date(2024, 2, 29), time(7, 5, 9), 3, True, 0.125, "line one\nline two"],
        [184502, None, datetime(1999, 12, 31, 23, 59, 59), date(1904, 1, 3) if mac else date(1900, 3, 1), time(23, 59), 1, False, 1e-7, rich],
        [],
        [12345678901234, "日本語 🙂", datetime(2025, 6, 30), date(9999, 12, 31), time(12, 0), 5, None, 1234567.891, "  spaces kept  "],
    ]
    for row in rows:
        page.append(row)
    page["A9"] = "far away"   # rows 6 to 8 do not exist
    page["I9"] = "=1+1"
    page["I9"].data_type = "s"
    for line in page.iter_rows(min_row=2):
        for cell in line:
            if isinstance(cell.value, datetime):
                cell.number_format = "dd/mm/yyyy hh:mm"
    book.save(FOLDER / name)
    read = load_workbook(FOLDER / name, data_only=True)["Tickets"]
    lines = [[iso(cell.value, cell.number_format) for cell in line] for line in read.iter_rows()]
    return {"header": [cell.strip() for cell in lines[0]],
            "rows": [{"number": number, "cells": line} for number, line in enumerate(lines[1:], 2) if any(cell.strip() for cell in line)]}


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    books = {name: save_workbook(name, mac) for name, mac in (("openpyxl.xlsx", False), ("openpyxl_1904.xlsx", True))}
    serials = [{"serial": serial, "iso": iso(from_excel(serial))} for serial in (0.5, 1, 1.25, 31, 59, 61, 366, 25569, 36525.999988425924, 45365.383333333331, 2958465)]
    (FOLDER / "workbooks.json").write_text(json.dumps({"books": books, "serials": serials}, ensure_ascii=False, indent=1) + "\n")

    splits = []
    for count in (2, 20, 21, 100, 258, 5158, 70000):
        train, test = train_test_split(numpy.arange(count), test_size=0.05, random_state=42)
        words = ",".join(map(str, test)) + ";" + ",".join(map(str, train))
        splits.append({"count": count, "test": [int(i) for i in test[:20]], "train": [int(i) for i in train[:20]], "test_rows": len(test),
                       "sha256": hashlib.sha256(words.encode()).hexdigest()})
    permutations = [{"seed": seed, "count": 12, "order": [int(i) for i in numpy.random.RandomState(seed).permutation(12)]} for seed in (0, 1, 42, 4294967295)]
    folds = [{"count": count, "k": k, "seed": seed, "test": [[int(i) for i in test] for _, test in KFold(k, shuffle=True, random_state=seed).split(numpy.arange(count))]}
             for count, k, seed in ((10, 2, 42), (23, 5, 42), (60, 7, 1))]
    time_folds = [{"count": count, "k": k, "train": [[int(i) for i in train] for train, _ in TimeSeriesSplit(k).split(numpy.arange(count))],
                   "test": [[int(i) for i in test] for _, test in TimeSeriesSplit(k).split(numpy.arange(count))]} for count, k in ((6, 2), (23, 5), (31, 4))]
    (FOLDER / "splits.json").write_text(json.dumps({"splits": splits, "permutations": permutations, "folds": folds, "time_folds": time_folds}, indent=1) + "\n")

    german = "TICKETID;SUBJECT;PROBLEM\r\n1;Größe fehlt;\"Der Drucker \"\"Müller\"\" läuft nicht;\nbitte prüfen – 5 €\"\r\n2;Über Nacht;Straße\r\n"
    russian = "TICKETID,SUBJECT,PROBLEM\n" + "".join(f"{n},Не печатает счёт,\"После обновления программа не печатает счета, ошибка номер {n}. Помогите, пожалуйста, очень срочно\"\n" for n in range(1, 9))
    (FOLDER / "german_cp1252.csv").write_bytes(german.encode("cp1252"))
    (FOLDER / "german_utf16.csv").write_bytes(german.encode("utf-16"))
    (FOLDER / "german_utf8_bom.csv").write_bytes(german.encode("utf-8-sig"))
    (FOLDER / "russian_cp1251.csv").write_bytes(russian.encode("cp1251"))


main()
