// BERTScore (Zhang et al., 2020): every token of one text looks for its nearest in the other; precision is the mean over the candidate's
// tokens, recall that over the reference's. As the Python package bert-score 0.3.13 counts without idf and without rescaling, where [CLS]
// and [SEP] may be found but are not counted. That package pads a batch's pairs with cosines of zero; here a nearest token may also have a
// negative cosine.
#pragma once
#include <span>

namespace deskhand {

struct BertScore {
  double precision = 0, recall = 0, f1 = 0;  // -1..1
};

// cosines (n, m), row-major: the candidate's n token vectors with the reference's m. A token counts with its weight, at least 0 and usually
// 0 or 1. All is zero where nothing counts in one of the texts.
BertScore bert_score(std::span<const float> cosines, std::span<const float> candidate_weights, std::span<const float> reference_weights);

}  // namespace deskhand
