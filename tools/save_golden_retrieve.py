#!/usr/bin/env python3
"""Saves rank-bm25's scores of tickets, for deskhand/retrieve's tests.

    python tools/save_golden_retrieve.py

Needs numpy and rank-bm25 (tried: 2.4.6, 0.2.2). Writes tests/golden/retrieve/bm25.json under the conditions of deskhand/retrieve/lexical_index.h:
k1 = 1.2, b = .75, tokens from \\w+ of the lower-cased text, distinct query words, none of them in half of the cases or more.
"""
import json
import pathlib
import re

import numpy as np
from rank_bm25 import BM25Okapi

OUT = pathlib.Path(__file__).parent.parent / "tests/golden/retrieve/bm25.json"

WORDS = """printer prints blank pages order entry locked account password reset invoice period closed stock level wrong item code cvn 1042 screen
freezes export excel report slow login fails vpn drops scanner label barcode purchase supplier price vat rounding user_id größe straße commande
imprimante задача принтер delivery note missing customer address field mandatory""".split()
QUERIES = ["printer prints blank pages", "CVN-1042 when posting the invoice", "user_id missing", "Größe falsch, Straße fehlt", "принтер",
           "imprimante: commande 1042", "delivery note; address; VAT rounding; supplier price", "nothing of this is known"]


def words(text):
    return re.findall(r"\w+", text.lower())


def main():
    random = np.random.default_rng(11)
    texts = []
    for _ in range(80):
        drawn = [WORDS[int(i)] for i in random.zipf(1.3, size=int(random.integers(2, 40))) % len(WORDS)]
        texts.append(" ".join(word.upper() if random.random() < .1 else word + ("," if random.random() < .2 else "") for word in drawn))
    corpus = [words(text) for text in texts]
    bm25 = BM25Okapi(corpus, k1=1.2, b=.75)
    cases = []
    for query in QUERIES:
        distinct = [word for word in dict.fromkeys(words(query)) if 2 * sum(word in document for document in corpus) < len(corpus)]
        cases.append({"query": query, "scores": bm25.get_scores(distinct).tolist()})
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"texts": texts, "queries": cases}, ensure_ascii=False, indent=0) + "\n")


if __name__ == "__main__":
    main()
