// The cases most like a problem: dense (cosine), BM25, exact identifiers and keywords, fused. A Retriever is a snapshot: vectors,
// identifiers and keywords are read once; make a new one after the cases changed. Texts and BM25 are read from the database when asked for.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/base/parallel.h"
#include "deskhand/base/sqlite.h"
#include "deskhand/retrieve/case_store.h"

namespace deskhand {

enum class RetrievalMethod { kRrf, kSeed, kSeedUnmended, kDense, kBm25 };
RetrievalMethod parse_retrieval_method(std::string_view name);  // rrf, seed, seed_unmended, dense, bm25; throws Error(kUsage)
std::string_view name_of(RetrievalMethod method);

struct RetrieverSettings {
  RetrievalMethod method = RetrievalMethod::kRrf;
  EncoderId encoder;  // whose vectors to use; an empty name: none, the dense channel stays silent
  double dense_weight = 1, bm25_weight = 1, exact_weight = 1, keyword_weight = 0.5;  // of rrf
  double rrf_k = 60;
  int depth = 100;                               // of each channel's list
  float floor = 0;                               // no precedent if the best cosine is below it and no error code is shared; 0: none
  std::string keywords;                          // the text of domain_keywords.txt
  std::vector<std::string> identifier_patterns;  // the desk's own, exact_match.h
};

struct ChannelRanks {  // from 1; 0: not among the channel's best `depth`
  int dense = 0, bm25 = 0, exact = 0, keyword = 0;
};

struct Hit {
  Case found;
  float cosine = 0;   // -1..1; 0 without a vector
  double bm25 = 0;    // 0 where it has no rank
  double exact = 0;   // shared rarity, 0: no identifier shared
  float keyword = 0;  // keywords shared with the query; with seed_unmended keywords the case has; scaled to 0..1
  double fused = 0;   // what the method orders by
  ChannelRanks ranks;
};

struct Precedents {
  std::vector<Hit> hits;     // best first; empty if there is no precedent
  float best_cosine = 0;     // of any case that was allowed, also when it is below the floor; 0 without vectors
  bool below_floor = false;  // cases were found and held back

  bool empty() const noexcept { return hits.empty(); }
  std::size_t size() const noexcept { return hits.size(); }
  auto begin() const noexcept { return hits.begin(); }
  auto end() const noexcept { return hits.end(); }
};

struct SimilarOptions {
  std::int64_t count = 3;
  std::span<const std::string> leave_out = {};  // ticket ids, for example the query's own and those of its group
};

class Retriever {
 public:
  // Reads the snapshot; the database must be a file and its tables made (CaseStore). The pool is borrowed for the retriever's life. Readers
  // open connections of their own, so `database` is not used afterwards.
  Retriever(const Database& database, RetrieverSettings settings, ThreadPool& pool);
  ~Retriever();
  Retriever(Retriever&&) noexcept;
  Retriever& operator=(Retriever&&) noexcept;

  // Safe from several threads. vector: of the settings' encoder, or empty: bm25 and exact channels alone. Throws Error(kUsage) if the
  // method needs a vector (seed, seed_unmended, dense) and none is given, Error(kBadInput) for one of another width.
  Precedents similar(std::string_view problem, std::span<const float> vector, const SimilarOptions& options = {}) const;

  std::int64_t size() const noexcept;  // cases in the snapshot
  std::int64_t size_with_vector() const noexcept;

 private:
  struct Snapshot;
  std::unique_ptr<Snapshot> snapshot_;
};

}  // namespace deskhand
