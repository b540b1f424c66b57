"""Tickets of an invented desk as an ERP exports them, for measurements: `make_tickets.py COUNT FILE.csv [--seed 42] [--repeats 0.3]`.

Words are drawn by Zipf's law from 20 000 made-up ones. Repeats are what makes a desk real: monitors that send one text every night with another
host and time, mails that are forwarded with a line above, tickets that are opened again with some words changed.
"""
import argparse
import csv
import random

CATEGORIES = ["Printing", "Stock", "User Access", "Finance", "Reporting", "Interfaces", "Purchasing", "Sales", "Payroll", "System"]
HEADER = ["TICKETID", "ALTERNATEKEYSUFFIX", "AREA", "CATEGORY", "ISSUE", "RECEIVEDDATE", "COMPLETEDDATE", "SUBJECT", "URGENCYCODE", "PROBLEM", "SOLUTION",
          "RESULTIONSUMMARY", "ACCOUNTID", "ACCOUNT"]
ONSETS, VOWELS = "b c d f g h k l m n p r s t v w st tr pl kr sch".split(), "a e i o u ei au".split()


def vocabulary(draw: random.Random, count: int = 20000) -> list[str]:
    words = set()
    while len(words) < count:
        words.add("".join(draw.choice(ONSETS) + draw.choice(VOWELS) for _ in range(draw.randint(1, 4))))
    return sorted(words, key=lambda word: (len(word), word))


class Desk:
    def __init__(self, seed: int):
        self.draw = random.Random(seed)
        self.words = vocabulary(self.draw)
        self.weights = [1 / (rank + 10) for rank in range(len(self.words))]
        self.monitors = [self.text(self.draw.randint(15, 60)) for _ in range(60)]
        self.recent: list[str] = []

    def text(self, words: int) -> str:
        return " ".join(self.draw.choices(self.words, self.weights, k=words))

    def repeat(self) -> str:
        kind = self.draw.random()
        if kind < 0.4:
            return f"{self.draw.choice(self.monitors)} host{self.draw.randint(1, 40)} {self.draw.randint(0, 23):02}:{self.draw.randint(0, 59):02}"
        old = self.draw.choice(self.recent)
        if kind < 0.7:
            return f"{self.text(self.draw.randint(3, 8))} {old}"
        words = old.split()
        for _ in range(max(1, len(words) // 25)):
            words[self.draw.randrange(len(words))] = self.draw.choice(self.words)
        return " ".join(words)

    def problem(self, repeats: float) -> str:
        if self.recent and self.draw.random() < repeats:
            return self.repeat()
        text = self.text(min(600, max(6, int(self.draw.lognormvariate(4, 0.7)))))   # a median of 55 words
        if len(self.recent) < 5000:
            self.recent.append(text)
        else:
            self.recent[self.draw.randrange(5000)] = text
        return text


def write(count: int, path: str, seed: int = 42, repeats: float = 0.3) -> None:
    desk = Desk(seed)
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(HEADER)
        for number in range(count):
            date = f"{number % 28 + 1:02}/{number * 60 // count % 12 + 1:02}/{2020 + number * 5 // count}"
            rows.writerow([100000 + number, "", "ERP", desk.draw.choice(CATEGORIES), "Defect", date, date, desk.text(4), desk.draw.randint(1, 5), desk.problem(repeats),
                           desk.text(desk.draw.randint(8, 40)), "", f"A{number % 500}", f"Account {number % 500}"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int)
    parser.add_argument("file")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--repeats", type=float, default=0.3)
    arguments = parser.parse_args()
    write(arguments.count, arguments.file, arguments.seed, arguments.repeats)
