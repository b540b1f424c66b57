"""The report as its readers open it: `test_report.py MAKE_REPORT` writes made-up reports and opens them from disk in headless Chromium.
Exits with 77 (skipped) where there is no Chromium; files, tags and drawings are checked before that."""
import html.parser
import json
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree
from pathlib import Path

MAKE_REPORT = sys.argv[1]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
REPORTS = ("full", "small", "empty", "large", "comparison")
AUDITS = ("audit", "audit-small")
VOID = {"meta", "link", "br", "img", "input", "col", "line", "circle"}


class Balance(html.parser.HTMLParser):
    """Every tag that opens closes, in order; ids are unique; nothing points to a network; headings go down one level at a time."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.targets, self.faults, self.headings, self.scripts = [], set(), set(), [], [], 0

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.scripts += tag == "script"
        for name, value in attributes:
            if name.startswith("on"):
                self.faults.append(f"{tag} has {name}")
            if name in ("src", "href") and re.match(r"\s*(https?:|//|javascript:)", value or ""):
                self.faults.append(f"{tag} points to {value}")
        if values.get("href", "").startswith("#"):
            self.targets.add(values["href"][1:])
        if "id" in values:
            if values["id"] in self.ids:
                self.faults.append(f"id {values['id']} stands twice")
            self.ids.add(values["id"])
        if tag == "img" and not values.get("alt"):
            self.faults.append("an image has no alternative text")
        if tag == "th" and "scope" not in values:
            self.faults.append("a th has no scope")
        if re.fullmatch(r"h[1-6]", tag):
            level = int(tag[1])
            if level > (self.headings[-1] if self.headings else 0) + 1:
                self.faults.append(f"{tag} follows h{self.headings[-1] if self.headings else 0}")
            self.headings.append(level)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()} closes nothing")


def open_page(page, query="", probe=None, scripts=True):
    """(attributes of <html>, the document after its scripts ran, what the console said)."""
    if probe:
        (page.parent / "probe.js").write_text(probe)
        page = page.with_name("probed.html")
        page.write_text(page.with_name("index.html").read_text().replace("</head>", '<script src="probe.js" defer></script></head>', 1))
    with tempfile.TemporaryDirectory() as profile:
        command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={profile}",
                   "--enable-logging=stderr", "--window-size=1280,1600", "--virtual-time-budget=30000", "--dump-dom",
                   f"{page.as_uri()}{query}"]
        if not scripts:
            command.insert(1, "--blink-settings=scriptEnabled=false")
        run = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    console = [line for line in run.stderr.splitlines() if "CONSOLE" in line]
    attributes = dict(re.findall(r'data-([a-z]+)="([^"]*)"', re.search(r"<html[^>]*>", run.stdout).group()))
    return attributes, run.stdout, console


class Reports(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.holder.name)
        cls.printed = subprocess.run([MAKE_REPORT, cls.folder], capture_output=True, text=True, check=True).stdout
        cls.plotly = (cls.folder / "full/plotly.min.js").exists()
        if not cls.plotly:
            print("Plotly.js was not built in (./setup brings it): charts are checked as drawings only")

    @classmethod
    def tearDownClass(cls):
        cls.holder.cleanup()


class Files(Reports):
    def test_every_page_is_balanced_and_points_to_no_network(self):
        for name in REPORTS + AUDITS:
            page = Balance()
            page.feed((self.folder / name / "index.html").read_text())
            self.assertEqual((page.faults, page.open), ([], []), name)
            self.assertEqual(page.targets - page.ids, set(), name)
            self.assertLessEqual(page.scripts, 3, name)

    def test_every_drawing_is_well_formed_and_used(self):
        for name in REPORTS + AUDITS:
            text = (self.folder / name / "index.html").read_text()
            for drawing in (self.folder / name / "charts").iterdir():
                root = xml.etree.ElementTree.parse(drawing).getroot()
                self.assertTrue(root.find("{http://www.w3.org/2000/svg}title").text, drawing)
                self.assertIn(f"charts/{drawing.name}", text)
                self.assertNotRegex(drawing.read_text(), r"\b(nan|inf|null|href)\b", drawing)

    def test_no_reader_sees_a_value_that_is_not_one(self):
        for name in REPORTS + AUDITS:
            for file in ("index.html", "report.md"):
                text = re.sub(r'class="[^"]*"', "", (self.folder / name / file).read_text())
                self.assertNotRegex(text, r"(?i)>\s*-?(null|inf)\b|\b(nan|undefined)\b", f"{name}/{file}")
        self.assertNotRegex(self.printed, r"\b(nan|inf|null)\b")

    def test_data_is_one_assignment_of_json_without_a_tag(self):
        for name in REPORTS:
            text = (self.folder / name / "data.js").read_text()
            self.assertNotRegex(text, "[<>&\u2028\u2029\u202e\x00-\x09\x0b-\x1f]")
            json.loads(text.removeprefix("globalThis.deskhandReport = ").removesuffix(";\n"))

    def test_a_report_without_texts_has_none(self):
        for file in (self.folder / "small").rglob("*"):
            if file.is_file() and file.name != "plotly.min.js":
                self.assertNotIn("does not respond", file.read_text(), file)
                self.assertNotIn("Restarted the service", file.read_text(), file)
                self.assertNotIn("solved case", file.read_text(), file)
        self.assertIn("does not respond", (self.folder / "full/data.js").read_text())

    def test_an_audit_begins_with_its_sentence_and_holds_every_finding_and_fix(self):
        figures = json.loads((self.folder / "audit/metrics.json").read_text())
        text = (self.folder / "audit/index.html").read_text()
        self.assertIn(f'<p class="lead">{figures["summary"][:40]}', text)
        self.assertEqual(len(re.findall(r'<aside class="notice (?:warning|note|good)"><h3>(?!Warnings)', text)), len(figures["findings"]))
        self.assertEqual({finding["severity"] for finding in figures["findings"]}, {"mend", "look", "note"})
        self.assertIn("[import.merge_categories]", text)
        self.assertIn("desk.toml has a section [split]", text)
        self.assertIn("stopped again with a spool error", text)
        for file in (self.folder / "audit-small").rglob("*"):
            self.assertFalse(file.is_file() and "spool error" in file.read_text(), file)

    def test_ten_thousand_tickets_stay_below_20_mb(self):
        self.assertLess((self.folder / "large/data.js").stat().st_size, 20e6)
        self.assertLess((self.folder / "large/index.html").stat().st_size, 1e6)


@unittest.skipUnless(CHROMIUM, "no chromium: ./setup test installs it")
class Pages(Reports):
    def check(self, name, query="", **more):
        attributes, document, console = open_page(self.folder / name / "index.html", query, **more)
        self.assertEqual((console, attributes["errors"], attributes.get("ready")), ([], "0", "true"), name)
        self.assertEqual(attributes["charts"], attributes["figures"], name)
        return attributes, document

    def test_every_chart_is_drawn_without_an_error_in_light_and_dark(self):
        for theme in ("light", "dark"):
            attributes, document = self.check("full", f"?theme={theme}")
            self.assertEqual(attributes["theme"], theme)
            self.assertEqual(int(attributes["figures"]), 10)
            if self.plotly:
                self.assertEqual(len(re.findall(r'class="[^"]*js-plotly-plot', document)), 10)

    def test_small_empty_large_and_compared_evaluations_open_without_an_error(self):
        for name in REPORTS[1:]:
            self.check(name)

    def test_nothing_offers_to_send_charts_away(self):
        _, document = self.check("full")
        self.assertEqual(re.findall("(?i)share chart|plotly cloud|cloud.plotly.com", document), [])

    def test_hostile_texts_stay_texts(self):
        _, document = self.check("full", probe="""
            document.querySelectorAll("button.open").forEach((button) => button.click());""")
        self.assertNotIn("broken out</title>", document)
        self.assertNotIn("<img src=\"x\"", document)
        self.assertIn("&lt;/script&gt;&lt;script&gt;", document)
        self.assertNotIn("\u202e", document)

    def test_an_audit_opens_with_its_charts_and_hostile_labels_stay_texts(self):
        for name in AUDITS:
            _, document, console = open_page(self.folder / name / "index.html")
            self.assertEqual(console, [], name)
            self.assertNotIn("<script>alert", document)
            self.assertNotIn('<img src="x"', document)
            self.assertNotIn("\u202e", document)
        _, document, _ = open_page(self.folder / "audit" / "index.html", probe="""
            addEventListener("load", () => {
              const drawn = [...document.querySelectorAll(".figure img")].filter((image) => image.complete && image.naturalWidth > 0 && image.offsetWidth > 0);
              document.title = `drawn ${drawn.length} of ${document.querySelectorAll(".figure").length}, wide ${document.documentElement.scrollWidth > innerWidth}`;
            });""")
        self.assertIn("<title>drawn 4 of 5, wide false</title>", document)   # the export's files are not there: no columns

    def test_without_plotly_the_drawings_follow_the_choices(self):
        copy = self.folder / "drawings"
        shutil.copytree(self.folder / "full", copy)
        page = copy / "index.html"
        page.write_text(page.read_text().replace('<script src="plotly.min.js" defer></script>', ""))
        _, document = self.check("drawings", probe="""
            const select = document.querySelector("#figure-measures select");
            select.value = "urgency_mae";
            select.dispatchEvent(new Event("change"));
            document.title = document.querySelector("#figure-measures .chosen img").alt;""")
        self.assertIn("<title>Urgency error: best is", document)
        self.assertNotIn("js-plotly-plot", document)

    def test_every_choice_of_every_figure_can_be_drawn(self):
        _, document = self.check("full", probe="""
            (async () => {
              while (!document.documentElement.dataset.ready) await new Promise((resume) => setTimeout(resume, 20));
              let tried = 0, wrong = 0;
              const bars = document.getElementById("figure-measures");
              const agrees = () => {   // what is drawn is what the table says
                const cells = [...bars.querySelectorAll(".chosen tbody tr td:nth-child(2)")].map((cell) => cell.textContent);
                const defined = cells.filter((text) => !text.startsWith("not defined"));
                const drawn = bars.querySelector(".plot").data[0].customdata;
                return drawn.length === defined.length && defined.every((text, i) => drawn[i].startsWith(text + " ("));
              };
              for (const select of document.querySelectorAll(".figure select"))
                for (const option of [...select.options]) {
                  select.value = option.value;
                  select.dispatchEvent(new Event("change"));
                  await new Promise((resume) => setTimeout(resume, 0));
                  ++tried;
                  if (globalThis.Plotly && select.name === "measure" && bars.contains(select) && !agrees()) ++wrong;
                }
              for (const box of document.querySelectorAll("#figure-radar input")) box.click();
              document.title = `tried ${tried}, wrong ${wrong}`;
            })();""")
        tried, wrong = map(int, re.search(r"<title>tried (\d+), wrong (\d+)", document).groups())
        self.assertGreater(tried, 40)
        self.assertEqual(wrong, 0)

    def test_tickets_are_filtered_sorted_paged_and_opened(self):
        _, document = self.check("large", probe="""
            const labels = [...document.querySelectorAll(".filters label")];
            const part = (name) => labels.find((label) => label.firstChild.data === name).lastChild;
            const change = (name, value) => { part(name).value = value; part(name).dispatchEvent(new Event("change")); };
            const status = () => document.querySelector(".pager p").textContent;
            const started = performance.now(), seen = [status()];
            change("Category answer", "wrong"); seen.push(status());
            change("Category answer", "right"); seen.push(status());
            change("Category answer", "any");
            change("Sort by", "6");
            const values = [...document.querySelectorAll(".tickets tbody tr")].map((row) => Number(row.children[5].textContent));
            seen.push(values.every((value, i) => i === 0 || value <= values[i - 1]) ? "sorted" : "not sorted", String(values.length));
            document.querySelectorAll(".pager button")[1].click(); seen.push(status());
            const button = document.querySelector("button.open");
            button.click(); seen.push(button.getAttribute("aria-expanded"), document.querySelectorAll(".detail .case").length);
            button.click(); seen.push(document.querySelectorAll(".detail").length);
            seen.push(part("System").selectedOptions[0].textContent);
            document.title = seen.join("|");""")
        seen = re.search(r"<title>([^<]*)</title>", document).group(1).split("|")
        self.assertEqual(seen[0], "1 to 25 of 10000 tickets")
        count = [int(re.search(r"of (\d+)", text).group(1)) for text in seen[1:3]]
        self.assertEqual(sum(count), 10000)
        chosen = seen.pop()
        said = re.findall(r'<p class="message">([^<]*): (\d+) of 10000 tickets have the right category', document)
        self.assertIn(count[1], [int(number) for system, number in said if system == chosen])
        self.assertEqual(seen[3:], ["sorted", "25", "26 to 50 of 10000 tickets", "true", "3", "0"])

    def test_without_scripts_the_page_still_shows_tables_and_drawings(self):
        text = (self.folder / "full/index.html").read_text()
        self.assertGreater(len(re.findall(r'<div class="chart print', text)), 9)
        self.assertIn("<noscript>", text)


if __name__ == "__main__":
    program = unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2, exit=False)
    if not program.result.wasSuccessful():
        sys.exit(1)
    if not CHROMIUM:
        print("no chromium was found: pages were not opened; ./setup test installs it")
        sys.exit(77)
