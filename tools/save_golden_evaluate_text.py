#!/usr/bin/env python3
"""Saves what rapidfuzz, rouge_score and sacrebleu make of difficult pairs of texts, for the tests of deskhand/text/fuzzy and
deskhand/evaluate/text_similarity.

    python tools/save_golden_evaluate_text.py        (needs rapidfuzz 3.14, rouge_score 0.1.2, sacrebleu 2.6)

Writes tests/golden/similarity/pairs.json: {"pairs": [[answer, reference, [ratio, partial_ratio, token_sort_ratio, token_set_ratio],
[precision, recall, f1 of ROUGE-L], the same over words of any script, BLEU's statistics, sentence BLEU, chrF's statistics, chrF]],
"corpus": [BLEU, chrF of all pairs]}.
"""
import json
import logging
import pathlib
import random
import unicodedata

from rapidfuzz import fuzz
from rouge_score import rouge_scorer
from sacrebleu.metrics import BLEU, CHRF

OUT = pathlib.Path(__file__).parent.parent / "tests/golden/similarity/pairs.json"

SENTENCES = """The printer on the third floor prints blank pages since this morning.
The toner cartridge was empty; it was replaced and a test page printed without fault.
Please reset my password, I've tried three times and it doesn't work.
The password was reset and the user can log in again. Nothing else was changed.
We can't post invoice 4711 because the period 2024-03 is closed.
The period was opened for one day, the invoice posted, and the period closed again.
Outlook crashes when I open the calendar of a colleague.
The calendar's cache was deleted and built anew, which took 3.5 hours.
The VPN drops every ten minutes; error 0x80070005: access denied.
The stock ledger shows -12 pieces, the shelf holds 1,250.75 (counted twice!).
Der Drucker im dritten Stock druckt nur leere Seiten.
Die Tonerkartusche war leer; sie wurde getauscht, die Testseite ist in Ordnung.
Größe und Maße der Straße ließen sich nicht speichern, weil das Feld übervoll war.
Das Passwort wurde zurückgesetzt, der Benutzer kann sich wieder anmelden.
L'imprimante n'imprime plus depuis hier, déjà signalé à l'accueil.
Le mot de passe a été réinitialisé; l'élève peut se connecter à nouveau.
Où est passée la facture n° 4711 ? Le garçon l'a reçue à Noël.
三階のプリンターは今朝から白紙しか印刷しません。
トナーを交換し、テストページを印刷しました。問題ありません。
パスワードをリセットして、ユーザーは再びログインできます。
请重置我的密码。打印机坏了。
Пожалуйста, сбросьте пароль. Принтер не печатает.
비밀번호를 재설정해 주세요.
Done 👍🏽 thanks 🙂🙂 see you 👩‍👩‍👧‍👦 in 🇩🇪""".split("\n")

FIXED = [
    ("", ""), ("", "a"), (" ", ""), (" ", "  "), ("\n", "a"), ("a", "a"), ("a", "b"), ("a", "A"), ("a b", "b a"), ("a a a", "a"), ("a", "a a b"), ("ab", "ba"), (" a ", "a"),
    ("the the the the", "the"), ("word " * 30, "word"), ("a b c d", "d c b a"), ("one two", "three four"), ("!!!", "???"), (".", "."), ("...", "."), ("--", "-"),
    ("a\u00a0b c", "b a c"), ("a\u00a0b c", "b a c 日"), ("a\u0085b", "b a"), ("a\u0085b日", "b a"), ("a\u2003b\u3000c", "c b a"), ("a\x1cb\x1dc\x1ed\x1fe", "e d c b a"),
    ("a\u200bb", "b a"), ("a\u180eb", "b a"), ("x\u2028y\u2029z\u202fu\u205fv\u1680w", "w v u z y x"), ("a\x00b", "a b"), ("a\x00", "a"), ("a \x00", "a"), ("\x00 \x00\x00", "\x00"),
    ("e\u0301te\u0301", "\u00e9t\u00e9"), ("\ufb01n", "fin"), ("\U0001f1e9\U0001f1ea", "\U0001f1ea\U0001f1e9"), ("\ufffd", "\ufffd"), ("\uffff\U0010ffff", "\U0010ffff"),
    ("Kelvin \u212a \u212b", "kelvin k \u00e5"), ("İstanbul", "i stanbul"), ("xİy", "xi y"), ("ΣΊΣΥΦΟΣ", "σίσυφος"), ("ΟΔΟΣ οδος", "οδοσ"), ("٣٤٥ x²y³ ½", "٣٤٥ x²y³ ½"), ("ﾌﾟﾘﾝﾀｰ", "プリンター"),
    ("don't", "don t"), ("3.14", "3,14"), ("3.", "3 ."), ("a.b.c", "a . b . c"), ("a..b", "a . .b"), (".,.,", ". , . ,"), ("1.2.3", "1.2.3 ."), ("x.5", "x .5"), ("5.x", "5 . x"),
    ("2024-03-01", "2024 - 03 - 01"), ("well-known", "well known"), ("5-", "5 -"), ("-5", "- 5"), ("é.é", "é . é"), ("日。日.日,1", "日。日 . 日 , 1"), ("C++ (x) [y] {z} a/b", "C + + ( x ) [ y ] { z } a / b"),
    ("&quot;hi&quot; &amp;lt; &lt;b&gt;", "\"hi\" < < b >"), ("&amp;amp;", "&"), ("&nbsp;&", "& nbsp ; &"), ("<skipped>x<skipped>", "x"), ("<skip<skipped>ped>", "<skipped>"), ("well-\nknown", "wellknown"),
    ("a-\n-\nb", "ab"), ("line one\nline two", "line one line two"), ("trailing.  \n\t", "trailing ."), ("$5 #1 @x ~y `z` ^", "$ 5 # 1 @ x ~ y ` z ` ^"), ("user@example.com", "https://example.com/a?b=1&c=2"),
    ("cat", "cat sat"), ("a b c", "a b c d e f g h"), ("a b c d e", "a b c d e"), ("abcdef", "abcdef"), ("abcde", "abcdefg"), ("x" * 64, "x" * 64), ("x" * 64, "x" * 65), ("x" * 63 + "y", "y" + "x" * 63),
    ("ab" * 32, "ba" * 40), ("ab" * 33, "ba" * 40), ("abc" * 85 + "a", "cab" * 86), ("short", "a very long text that holds somewhere the shoot and the short one, but late"),
]


def perturbed(chance, text):
    letters = list(text)
    for _ in range(chance.randint(0, 1 + len(letters) // 10)):
        at, kind = chance.randrange(len(letters) + 1), chance.random()
        if kind < .35 and at < len(letters):
            del letters[at]
        elif kind < .7:
            letters.insert(at, chance.choice("ae st.,-1é日 🙂"))
        else:
            end = min(len(letters), at + chance.randint(1, 9))
            letters[at:end] = letters[at:end][::-1]
    return "".join(letters)


def pairs():
    chance = random.Random(11)
    yield from FIXED
    for at, sentence in enumerate(SENTENCES):
        yield sentence, sentence if at % 6 == 0 else chance.choice(SENTENCES)
        yield perturbed(chance, sentence), sentence
        words = sentence.split()
        chance.shuffle(words)
        yield " ".join(words), sentence
        yield sentence + " " + chance.choice(SENTENCES), chance.choice(SENTENCES) + " " + sentence
    for _ in range(40):   # small alphabets: many ties
        alphabet = chance.choice(["ab", "abc ", "ab .-1", "日本 語", "aé\u00a0 "])
        yield tuple("".join(chance.choice(alphabet) for _ in range(chance.randint(0, 70))) for _ in range(2))
    vocabulary = sorted({word for sentence in SENTENCES[:10] for word in sentence.split()})
    for _ in range(40):   # repeated words
        yield tuple(" ".join(chance.choice(vocabulary[:chance.choice([4, 20, 60])]) for _ in range(chance.randint(1, 25))) for _ in range(2))
    for length in (63, 64, 65, 127, 128, 129, 191, 192, 193, 255, 256, 257, 320, 512, 513, 641):   # about 64 N characters
        text = "".join(chance.choice("abcdefgh  ") for _ in range(length))
        yield text, perturbed(chance, text)
        yield "".join(chance.choice("abcd ") for _ in range(length - chance.randint(0, 60))), "".join(chance.choice("abcd ") for _ in range(length))
    long = " ".join(SENTENCES[:10])
    yield long, " ".join(SENTENCES[9::-1])
    yield perturbed(chance, long), long
    yield " ".join(SENTENCES[:7]), long[300:] + " ".join(SENTENCES[10:16])
    yield "".join(SENTENCES[17:20]) * 3, "".join(SENTENCES[19:16:-1]) * 3
    for shorter in (20, 64, 65, 130, 257):
        yield long[200:200 + shorter], long
        yield perturbed(chance, long[100:100 + shorter]), perturbed(chance, long)


def is_alone(letter):
    code = ord(letter)
    return (0x3041 <= code <= 0x30FF or 0x31F0 <= code <= 0x31FF or 0xFF66 <= code <= 0xFF9D or 0x4E00 <= code <= 0x9FFF or 0x3400 <= code <= 0x4DBF
            or 0xF900 <= code <= 0xFAFF or 0x20000 <= code <= 0x2A6DF)


class Words:
    """Runs of letters, marks and numbers of any script, ideographs and kana one by one."""

    def tokenize(self, text):
        words, word = [], ""
        for letter in "".join(letter.lower() for letter in text):   # a letter by itself: no final sigma
            inside = unicodedata.category(letter)[0] in "LMN"
            if word and (not inside or is_alone(letter)):
                words, word = words + [word], ""
            if inside and is_alone(letter):
                words.append(letter)
            elif inside:
                word += letter
        return words + [word] if word else words


def main():
    logging.disable(logging.CRITICAL)
    ascii_rouge, rouge = rouge_scorer.RougeScorer(["rougeL"]), rouge_scorer.RougeScorer(["rougeL"], tokenizer=Words())
    bleu, chrf = BLEU(effective_order=True), CHRF()
    rows, all_pairs = [], list(pairs())
    for answer, reference in all_pairs:
        rows.append([answer, reference, [score(answer, reference) for score in (fuzz.ratio, fuzz.partial_ratio, fuzz.token_sort_ratio, fuzz.token_set_ratio)],
                     list(ascii_rouge.score(reference, answer)["rougeL"]), list(rouge.score(reference, answer)["rougeL"]),
                     bleu._extract_corpus_statistics([answer], [[reference]])[0], bleu.sentence_score(answer, [reference]).score,
                     chrf._extract_corpus_statistics([answer], [[reference]])[0], chrf.sentence_score(answer, [reference]).score])
    answers, references = map(list, zip(*all_pairs))
    corpus = [BLEU().corpus_score(answers, [references]).score, chrf.corpus_score(answers, [references]).score]
    OUT.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    OUT.write_bytes(f'{{"pairs":[\n{lines}\n],\n"corpus":{json.dumps(corpus)}}}\n'.encode())
    print(len(rows), "pairs,", OUT.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
