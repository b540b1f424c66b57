// Items are numbered in the order of ticket ids, so that every tie broken by item is broken by ticket id.
#include "deskhand/retrieve/retriever.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <unordered_map>
#include <unordered_set>

#include "deskhand/base/error.h"
#include "deskhand/retrieve/exact_match.h"
#include "deskhand/retrieve/fusion.h"
#include "deskhand/retrieve/keywords.h"
#include "deskhand/retrieve/lexical_index.h"
#include "deskhand/retrieve/vector_index.h"

namespace deskhand {
namespace {

constexpr std::pair<std::string_view, RetrievalMethod> kMethods[] = {{"rrf", RetrievalMethod::kRrf},
                                                                     {"seed", RetrievalMethod::kSeed},
                                                                     {"seed_unmended", RetrievalMethod::kSeedUnmended},
                                                                     {"dense", RetrievalMethod::kDense},
                                                                     {"bm25", RetrievalMethod::kBm25}};

constexpr float kNotAllowed = std::numeric_limits<float>::quiet_NaN();
constexpr std::int64_t kSpare = 16;  // further places of a list, for cases that were removed after the snapshot

enum ChannelNumber { kDenseChannel, kBm25Channel, kExactChannel, kKeywordChannel, kChannels };

bool needs_vector(RetrievalMethod method) {
  return method != RetrievalMethod::kRrf && method != RetrievalMethod::kBm25;
}

// The items above 0, best first.
std::vector<Scored> positive(std::span<const float> scores) {
  std::vector<Scored> list;
  for (std::size_t i = 0; i < scores.size(); ++i)
    if (scores[i] > 0) list.push_back({static_cast<std::uint32_t>(i), scores[i]});
  std::stable_sort(list.begin(), list.end(), [](const Scored& a, const Scored& b) { return a.score > b.score; });
  return list;
}

// A connection that one thread uses at a time.
struct Reader {
  explicit Reader(const std::filesystem::path& path) : database(path, Database::Mode::kReadOnly), store(database) {}
  Database database;
  CaseStore store;
};

}  // namespace

RetrievalMethod parse_retrieval_method(std::string_view name) {
  for (const auto& [known, method] : kMethods)
    if (known == name) return method;
  throw Error(ExitCode::kUsage, "retrieval method '{}'; rrf, seed, seed_unmended, dense and bm25 are known", name);
}

std::string_view name_of(RetrievalMethod method) {
  for (const auto& [name, known] : kMethods)
    if (known == method) return name;
  return "unknown";
}

struct Retriever::Snapshot {
  RetrieverSettings settings;
  ThreadPool& pool;
  std::filesystem::path path;
  std::vector<std::string> ticket_ids;     // by item, ascending
  std::vector<std::uint32_t> item_of_row;  // (rows of vectors)
  VectorIndex vectors;
  IdentifierFinder finder;
  ExactIndex exact;
  KeywordList keyword_list;
  KeywordIndex keywords;
  std::unordered_set<std::string> common_words;

  std::mutex readers_mutex;
  std::vector<std::unique_ptr<Reader>> idle_readers;  // guarded by readers_mutex

  Snapshot(const Database& database, RetrieverSettings given, ThreadPool& pool)
      : settings(std::move(given)),
        pool(pool),
        path(database.path()),
        finder(settings.identifier_patterns),
        keyword_list(KeywordList::from_text(settings.keywords)) {
    if (!std::filesystem::exists(path))
      throw Error(ExitCode::kUsage, "cases are searched over several connections; database '{}' has to be a file", path.string());
    if (settings.rrf_k < 0 || settings.depth < 1)
      throw Error(ExitCode::kUsage, "rrf_k {} and depth {}; 0 and 1 are the least", settings.rrf_k, settings.depth);
    auto reader = std::make_unique<Reader>(path);
    reader->database.execute("BEGIN");  // one state of the database for cases, words and vectors
    read_cases(*reader);
    reader->database.execute("COMMIT");
    idle_readers.push_back(std::move(reader));
  }

  void read_cases(Reader& reader) {
    CaseStore& store = reader.store;
    store.each([&](const Case& item) {
      ticket_ids.push_back(item.ticket_id);
      exact.add(finder.find(item.problem));
      keywords.add(keyword_list.find(item.problem));
    });
    common_words = words_of_most_cases(reader.database);
    if (settings.encoder.name.empty()) return;
    CaseVectors found = store.load_vectors(settings.encoder);
    if (found.count == 0) return;
    const std::int64_t width = found.width;
    for (const std::string& id : found.ticket_ids) {
      DESKHAND_ASSERT(item_of(id) >= 0, "every vector's case was read in the same transaction");
      item_of_row.push_back(static_cast<std::uint32_t>(item_of(id)));
    }
    vectors = VectorIndex(std::move(found.matrix), width, pool);
  }

  std::int64_t item_of(std::string_view ticket_id) const {  // -1: not in the snapshot
    const auto at = std::lower_bound(ticket_ids.begin(), ticket_ids.end(), ticket_id);
    return at != ticket_ids.end() && *at == ticket_id ? at - ticket_ids.begin() : -1;
  }

  // Lends a reader for one call.
  class Loan {
   public:
    explicit Loan(Snapshot& snapshot) : snapshot_(snapshot) {
      {
        const std::lock_guard lock(snapshot.readers_mutex);
        if (!snapshot.idle_readers.empty()) {
          reader_ = std::move(snapshot.idle_readers.back());
          snapshot.idle_readers.pop_back();
        }
      }
      if (!reader_) reader_ = std::make_unique<Reader>(snapshot.path);
    }
    ~Loan() {
      const std::lock_guard lock(snapshot_.readers_mutex);
      snapshot_.idle_readers.push_back(std::move(reader_));
    }
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    Reader* operator->() const { return reader_.get(); }

   private:
    Snapshot& snapshot_;
    std::unique_ptr<Reader> reader_;
  };

  // Which items may be found; empty: all.
  std::vector<char> allowed(std::span<const std::string> leave_out) const {
    std::vector<char> may_find;
    for (const std::string& id : leave_out) {
      const auto item = item_of(id);
      if (item < 0) continue;
      if (may_find.empty()) may_find.assign(ticket_ids.size(), 1);
      may_find[static_cast<std::size_t>(item)] = 0;
    }
    return may_find;
  }

  // (cases) cosine, NaN where there is no vector or the item is left out.
  std::vector<float> cosines(std::span<const float> query, const std::vector<char>& may_find) const {
    std::vector<float> by_item(ticket_ids.size(), kNotAllowed);
    if (query.empty() || vectors.size() == 0) return by_item;
    std::vector<float> by_row(item_of_row.size());
    vectors.cosines(query, by_row, pool);
    for (std::size_t row = 0; row < by_row.size(); ++row)
      if (may_find.empty() || may_find[item_of_row[row]]) by_item[item_of_row[row]] = std::clamp(by_row[row], -1.f, 1.f);
    return by_item;
  }

  std::vector<Scored> bm25(Reader& reader, std::string_view problem, const std::vector<char>& may_find, std::size_t left_out) const {
    std::vector<Scored> list;
    for (const LexicalHit& hit :
         search_words(reader.database, problem, settings.depth + static_cast<std::int64_t>(left_out), common_words)) {
      const auto item = item_of(hit.ticket_id);  // -1: added after the snapshot
      if (item >= 0 && (may_find.empty() || may_find[static_cast<std::size_t>(item)]))
        list.push_back({static_cast<std::uint32_t>(item), hit.bm25});
    }
    if (list.size() > static_cast<std::size_t>(settings.depth)) list.resize(static_cast<std::size_t>(settings.depth));
    return list;
  }

  // (cases) 0..1, NaN for items that are left out.
  std::vector<float> keyword_scores(std::string_view problem, const std::vector<char>& may_find) const {
    const auto stored = keywords.stored_counts();
    auto scores = settings.method == RetrievalMethod::kSeedUnmended ? std::vector<float>(stored.begin(), stored.end())
                                                                    : keywords.shared_counts(keyword_list.find(problem));
    for (std::size_t i = 0; i < may_find.size(); ++i)
      if (!may_find[i]) scores[i] = kNotAllowed;
    scale_min_max(scores);
    return scores;
  }

  // What the method orders by, best first: `count` items and some to spare.
  std::vector<Scored> order(std::span<const Channel> channels, std::span<const FusedItem> fused, std::span<const float> cosine,
                            std::span<const float> keyword, const std::vector<char>& may_find, std::int64_t count) const {
    std::vector<Scored> list;
    switch (settings.method) {
      case RetrievalMethod::kRrf:
        for (const FusedItem& item : fused)
          if (item.fused > 0) list.push_back({item.item, item.fused});
        return list;
      case RetrievalMethod::kSeed:
      case RetrievalMethod::kSeedUnmended: {
        std::vector<float> known(cosine.begin(), cosine.end());
        for (std::size_t i = 0; i < known.size(); ++i)
          if (std::isnan(known[i]) && (may_find.empty() || may_find[i])) known[i] = 0;  // allowed, but without a vector
        return fuse_seed(known, keyword, count + kSpare);
      }
      case RetrievalMethod::kDense:
        return best_of(cosine, count + kSpare);
      case RetrievalMethod::kBm25:
        return channels[kBm25Channel].list;
    }
    return list;
  }
};

Retriever::Retriever(const Database& database, RetrieverSettings settings, ThreadPool& pool)
    : snapshot_(std::make_unique<Snapshot>(database, std::move(settings), pool)) {}
Retriever::~Retriever() = default;
Retriever::Retriever(Retriever&&) noexcept = default;
Retriever& Retriever::operator=(Retriever&&) noexcept = default;

std::int64_t Retriever::size() const noexcept {
  return static_cast<std::int64_t>(snapshot_->ticket_ids.size());
}
std::int64_t Retriever::size_with_vector() const noexcept {
  return snapshot_->vectors.size();
}

Precedents Retriever::similar(std::string_view problem, std::span<const float> vector, const SimilarOptions& options) const {
  Snapshot& snapshot = *snapshot_;
  const RetrieverSettings& settings = snapshot.settings;
  if (needs_vector(settings.method) && vector.empty())
    throw Error(ExitCode::kUsage, "retrieval method {} needs the problem's vector; give one, or choose rrf or bm25",
                name_of(settings.method));
  const Snapshot::Loan reader(snapshot);
  const auto may_find = snapshot.allowed(options.leave_out);
  const auto cosine = snapshot.cosines(vector, may_find);
  const auto keyword = snapshot.keyword_scores(problem, may_find);
  const auto matches = snapshot.exact.search(
      snapshot.finder.find(problem),
      may_find.empty() ? std::function<bool(std::uint32_t)>() : [&](std::uint32_t item) { return may_find[item] != 0; });

  std::vector<Channel> channels(kChannels);
  channels[kDenseChannel] = {settings.dense_weight, best_of(cosine, settings.depth)};
  channels[kBm25Channel] = {settings.bm25_weight, snapshot.bm25(*reader.operator->(), problem, may_find, options.leave_out.size())};
  channels[kExactChannel] = {settings.exact_weight, matches.cases};
  channels[kKeywordChannel] = {settings.keyword_weight, positive(keyword)};
  const auto fused = fuse_by_rank(channels, settings.rrf_k, settings.depth);
  const auto ordered = snapshot.order(channels, fused, cosine, keyword, may_find, options.count);

  Precedents found;
  if (!channels[kDenseChannel].list.empty()) {
    found.best_cosine = static_cast<float>(channels[kDenseChannel].list.front().score);
    if (found.best_cosine < settings.floor && !matches.shares_error) {
      found.below_floor = true;
      return found;
    }
  }
  for (const Scored& place : ordered) {
    if (static_cast<std::int64_t>(found.hits.size()) >= options.count) break;
    auto stored = reader->store.find(snapshot.ticket_ids[place.item]);
    if (!stored) continue;  // removed after the snapshot
    Hit hit{.found = std::move(*stored), .keyword = keyword[place.item], .fused = place.score};
    if (!std::isnan(cosine[place.item])) hit.cosine = cosine[place.item];
    for (const Scored& match : matches.cases)
      if (match.item == place.item) hit.exact = match.score;
    const auto of_channels = std::find_if(fused.begin(), fused.end(), [&](const FusedItem& item) { return item.item == place.item; });
    if (of_channels != fused.end()) {
      hit.bm25 = of_channels->scores[kBm25Channel];
      hit.ranks = {of_channels->ranks[kDenseChannel], of_channels->ranks[kBm25Channel], of_channels->ranks[kExactChannel],
                   of_channels->ranks[kKeywordChannel]};
    }
    found.hits.push_back(std::move(hit));
  }
  return found;
}

}  // namespace deskhand
