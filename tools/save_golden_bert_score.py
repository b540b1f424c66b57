"""What the Python package bert-score 0.3.13 gives: `save_golden_bert_score.py OUT --minilm FOLDER`, OUT is tests/golden/evaluate.

bert_score.json holds `vectors`, small random token vectors with weights and their scores, and `texts`, pairs scored with all-MiniLM-L6-v2
(six layers, no idf, no rescaling, one pair at a time so that nothing is padded). Needs bert-score, torch, transformers. Seeds are fixed.
"""
import argparse
import json
from pathlib import Path

import torch
from bert_score import BERTScorer
from bert_score.utils import greedy_cos_idf

LONG = "The nightly export of invoices stopped after the update, and the log shows error 0x80070005 for every folder. "
PAIRS = [
    ("Restart the print spooler and clear the queue.", "The print spooler was restarted and the queue cleared."),
    ("Restart the print spooler and clear the queue.", "We replaced the docking station under warranty."),
    ("same words", "same words"),
    ("", "An empty candidate."),
    ("An empty reference.", " \n\t "),
    ("", ""),
    ("ok", "Reset the password in Active Directory; user confirmed login (ticket #4711)."),
    ("Über die VPN-Verbindung war der Drucker nicht erreichbar.", "Drucker über VPN neu verbunden, Größe der MTU angepasst."),
    ("Line one.\n\nLine two: \u201cquotes\u201d \u2014 and \u4f60\u597d \U0001f600", "line ONE; line two"),
    (LONG * 14, LONG * 13 + "A new folder solved it."),   # between what retrieval reads and what BERTScore reads
    (LONG * 40, "The export was moved to a folder that the service account may write to."),   # beyond both
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minilm", required=True)
    arguments = parser.parse_args()

    torch.manual_seed(7)
    vectors = []
    for rows, columns, width in ((3, 3, 4), (5, 7, 8), (9, 4, 16), (2, 5, 4), (5, 2, 4)):   # two tokens are an empty text
        candidate, reference = torch.randn(rows, width) + 0.5, torch.randn(columns, width) + 0.5
        weights = [torch.tensor([0.0] + [1.0] * (count - 2) + [0.0]) for count in (rows, columns)]
        whole = [torch.ones(1, count, dtype=torch.bool) for count in (rows, columns)]
        scores = greedy_cos_idf(reference.clone()[None], whole[1], weights[1].clone()[None], candidate.clone()[None], whole[0], weights[0].clone()[None])
        vectors.append({"candidate": candidate.tolist(), "reference": reference.tolist(), "candidate_weights": weights[0].tolist(),
                        "reference_weights": weights[1].tolist(), "scores": [float(value) for value in scores]})

    scorer = BERTScorer(model_type=arguments.minilm, num_layers=6, device="cpu", batch_size=1)
    tokenizer = scorer._tokenizer   # bert-score asks this of it for an empty text, and transformers 5 no longer has it
    tokenizer.build_inputs_with_special_tokens = lambda pieces: [tokenizer.cls_token_id, *pieces, tokenizer.sep_token_id]
    scores = [[float(value) for value in scorer.score([candidate], [reference])] for candidate, reference in PAIRS]
    texts = [{"candidate": candidate, "reference": reference, "scores": score} for (candidate, reference), score in zip(PAIRS, scores)]
    (arguments.out / "bert_score.json").write_text(json.dumps({"vectors": vectors, "texts": texts}, indent=1) + "\n")


main()
