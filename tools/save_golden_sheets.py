"""Writes tests/golden/tickets/odfpy.ods and xlsxwriter.xlsx with sheets.json: what python-calamine reads from them.

Both hold a sheet of notes, and one of tickets with a title above the column names, names merged over two lines and a hidden row. Run with a
Python that has odfpy, XlsxWriter and python-calamine (tried: 1.4.1, 3.3.1, 0.9.1): `save_golden_sheets.py`.
"""
import datetime
import json
from pathlib import Path

import xlsxwriter
from odf.opendocument import OpenDocumentSpreadsheet
from odf.table import CoveredTableCell, Table, TableCell, TableRow
from odf.text import LineBreak, P, S, Tab
from python_calamine import CalamineWorkbook

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "golden" / "tickets"


def save_ods(path: Path) -> None:
    book = OpenDocumentSpreadsheet()
    notes = Table(name="Read me")
    row = TableRow()
    row.addElement(TableCell())
    notes.addElement(row)
    book.spreadsheet.addElement(notes)
    page = Table(name="Tickets")

    def line(*cells, **attributes):
        row = TableRow(**attributes)
        for cell in cells:
            row.addElement(cell)
        page.addElement(row)

    def text(*paragraphs, **attributes):
        cell = TableCell(valuetype="string", **attributes)
        for paragraph in paragraphs:
            cell.addElement(P(text=paragraph))
        return cell

    line(text("Tickets of the first quarter", numbercolumnsspanned=5), CoveredTableCell(numbercolumnsrepeated=4))
    line()
    line(text("No", numberrowsspanned=2), text("Customer", numbercolumnsspanned=2), CoveredTableCell(), text("Received", numberrowsspanned=2), text("Problem", numberrowsspanned=2))
    line(CoveredTableCell(), text("Name"), text("City"), CoveredTableCell(numbercolumnsrepeated=2))
    spaced = TableCell(valuetype="string")
    paragraph = P(text="two")
    paragraph.addElement(S(c=2))
    paragraph.addText("spaces")
    paragraph.addElement(Tab())
    paragraph.addText("tab")
    paragraph.addElement(LineBreak())
    paragraph.addText("next")
    spaced.addElement(paragraph)
    line(TableCell(valuetype="float", value=184501), text("Größe & <Maß>"), text("Köln"), TableCell(valuetype="date", datevalue="2024-03-14T09:12:00"), text("line one", "line two"))
    line(TableCell(valuetype="float", value=184502), text("Acme", numbercolumnsrepeated=2), TableCell(valuetype="date", datevalue="2024-02-29"), spaced, visibility="collapse")
    line(TableCell(valuetype="float", value=184503), TableCell(numbercolumnsrepeated=3), text("the same twice"), numberrowsrepeated=2)
    line(TableCell(numbercolumnsrepeated=1024), numberrowsrepeated=1000000)
    line(TableCell(valuetype="float", value=0.125), TableCell(valuetype="boolean", booleanvalue="true"), TableCell(valuetype="time", timevalue="PT07H05M09S"), TableCell(), text("the end"))
    book.spreadsheet.addElement(page)
    book.save(path)


def save_xlsx(path: Path) -> None:
    book = xlsxwriter.Workbook(path, {"in_memory": True})
    book.set_properties({"created": datetime.datetime(2024, 1, 1)})
    book.add_worksheet("Read me").write(0, 0, "nothing here")
    page = book.add_worksheet("Tickets")
    date = book.add_format({"num_format": "dd/mm/yyyy hh:mm"})
    page.merge_range("A1:E1", "Tickets of the first quarter")
    page.write("A2", "Exported on")
    page.write_datetime("B2", datetime.datetime(2024, 4, 1), date)
    page.merge_range("A4:A5", "No")
    page.merge_range("B4:C4", "Customer")
    page.merge_range("D4:D5", "Received")
    page.merge_range("E4:E5", "Problem")
    page.write_row("B5", ["Name", "City"])
    for number, (name, city, problem) in enumerate([("Größe & <Maß>", "Köln", "line one\nline two"), ("Acme", "", "=not a formula"), ("Beta", "Ulm", "the end")]):
        page.write(5 + number, 0, 184501 + number)
        page.write_string(5 + number, 1, name)
        page.write_string(5 + number, 2, city)
        page.write_datetime(5 + number, 3, datetime.datetime(2024, 3, 14 + number, 9, 12), date)
        page.write_string(5 + number, 4, problem)
    page.set_row(6, None, None, {"hidden": True})
    book.close()


def cell(value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    return str(value)


def main() -> None:
    save_ods(FOLDER / "odfpy.ods")
    save_xlsx(FOLDER / "xlsxwriter.xlsx")
    read = {}
    for name in ("odfpy.ods", "xlsxwriter.xlsx"):
        rows = CalamineWorkbook.from_path(FOLDER / name).get_sheet_by_name("Tickets").to_python(skip_empty_area=False)
        lines = [[cell(value) for value in row][:5] for row in rows]
        read[name] = [{"number": number, "cells": line} for number, line in enumerate(lines, 1) if any(line)]
    (FOLDER / "sheets.json").write_text(json.dumps(read, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
