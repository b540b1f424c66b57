"""Writes tests/golden/classify: TF-IDF matrices, nearest rows and logistic regressions of scikit-learn, on invented tickets.

Run with a Python that has numpy and scikit-learn (tried: 2.4.6, 1.9.1): `save_golden_classify.py`.
"""
import json
from pathlib import Path

import numpy
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "golden" / "classify"
ODD = ["", "a I ?", "Straße STRASSE ΟΔΟΣ ὀδος İstanbul ISTANBUL", "naïve naïve cafe\u0301s", "プリンタが動かない 印刷 できない", "x²y ½ Ⅷ Ⅷb ٣٤ __init__ _a",
       "can't won't e-mail user@example.com 3.14 1,000", "tab\tnew\nline\u00a0nbsp\u200bzero", "\U0001f642 smile 𝒳𝒴 𐐀𐐁", "same same same SAME not same", "ﬁle ǅ ǆ ß ẞ"]
WORDS = {"Finance": "invoice posted twice tax code wrong ledger period closed payment run stopped", "Stock": "warehouse count differs batch label missing goods receipt posted twice",
         "Sales": "order price list wrong customer discount missing quote locked", "Access": "login password expired locked user cannot sign in rights missing"}
COMMON = "the is not since monday please help after update error screen we see again".split()


def tickets(count: int, seed: int) -> tuple[list, list]:
    random = numpy.random.RandomState(seed)
    labels = [list(WORDS)[i] for i in random.choice(4, count, p=(.4, .3, .2, .1))]
    texts = [" ".join(random.choice(WORDS[label if random.rand() < .7 else list(WORDS)[random.randint(4)]].split() if random.rand() < .5 else COMMON)
                      for _ in range(random.randint(4, 18))) for label in labels]
    return texts, labels


def rounded(values) -> list:
    return [float(f"{value:.9g}") for value in numpy.asarray(values).ravel()]


def sparse(matrix) -> list:
    matrix.sort_indices()
    return [{"columns": [int(c) for c in row.indices], "values": rounded(row.data)} for row in matrix]


def regression(train, labels, test, **settings) -> dict:
    model = LogisticRegression(tol=1e-9, max_iter=100000, **settings).fit(train, labels)
    return {"C": settings["C"], "balanced": settings.get("class_weight") == "balanced", "classes": list(model.classes_), "coefficients": rounded(model.coef_.T),
            "intercepts": rounded(model.intercept_), "probabilities": rounded(model.predict_proba(test))}


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    texts, labels = tickets(70, 1)
    asked, _ = tickets(12, 2)
    texts += ODD
    labels += ["Access"] * len(ODD)
    asked += ["never seen words only", "", "Straße not same"]
    two = ["Finance" if label == "Finance" else "Other" for label in labels]

    settings = [{"max_ngram": 1, "sublinear": False, "min_df": 1}, {"max_ngram": 2, "sublinear": True, "min_df": 1}, {"max_ngram": 2, "sublinear": False, "min_df": 3}]
    cases = []
    for chosen in settings:
        vectorizer = TfidfVectorizer(ngram_range=(1, chosen["max_ngram"]), sublinear_tf=chosen["sublinear"], min_df=chosen["min_df"])
        train = vectorizer.fit_transform(texts)
        test = vectorizer.transform(asked)
        cosine = (test @ train.T).toarray()
        nearest = [[[int(i), float(f"{row[i]:.9g}")] for i in sorted(range(len(row)), key=lambda i: (-round(row[i], 9), i))[:5] if row[i] > 0] for row in cosine]
        regressions = [dict(regression(train, named, test, **options), two=named is two)
                       for named, options in ((labels, {"C": 1}), (labels, {"C": 30}), (labels, {"C": 10, "class_weight": "balanced"}), (two, {"C": 3}))]
        if chosen["max_ngram"] == 2 and chosen["min_df"] == 1:
            for case in regressions:
                del case["coefficients"]   # probabilities depend on all of them
        cases.append({**chosen, "terms": list(vectorizer.get_feature_names_out()), "idf": rounded(vectorizer.idf_), "train": sparse(train), "test": sparse(test),
                      "nearest": nearest, "regressions": regressions})

    random = numpy.random.RandomState(3)
    centres = random.randn(5, 16)
    classes = random.randint(5, size=60)
    vectors = (.4 * centres[classes] + random.randn(60, 16)).astype(numpy.float32).round(4)
    names = [f"class {c}" for c in classes]
    dense = {"width": 16, "train": rounded(vectors[:45]), "test": rounded(vectors[45:]), "labels": names[:45],
             "regressions": [regression(vectors[:45].astype(float), names[:45], vectors[45:].astype(float), C=C) for C in (.1, 1, 100)]}
    (FOLDER / "classify.json").write_text(json.dumps({"texts": texts, "labels": labels, "two": two, "asked": asked, "cases": cases, "dense": dense}, ensure_ascii=False) + "\n")


main()
