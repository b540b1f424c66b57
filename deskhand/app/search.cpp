// deskhand search: closed tickets like a new problem.
#include <CLI/CLI.hpp>
#include <memory>

#include "deskhand/app/answering.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/tickets/clean.h"

namespace deskhand {
namespace {

struct Options {
  std::string query;
  int count = 3;
};

std::string shortened(const std::string& text, std::size_t most) {
  const std::string line = one_line(text);
  if (line.size() <= most) return line;
  std::size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xC0) == 0x80) --end;  // not inside a character
  return line.substr(0, end) + " ...";
}

void search(const Globals& globals, const Options& options) {
  Desk desk = Desk::open(globals);
  Answering answering(desk, globals, {.decoder = false});
  const std::string text = Cleaner(desk.settings.import.clean).clean(options.query);
  if (text.empty()) throw Error(ExitCode::kUsage, "the query holds no text");
  std::vector<float> vector;
  if (answering.encoder()) vector = answering.encoder()->embedder().embed({&text, 1});
  const Precedents found = answering.retriever().similar(text, vector, {.count = options.count});
  if (globals.json) {
    Json rows = Json::array();
    for (const Hit& hit : found)
      rows.push_back(
          {{"ticket", hit.found.ticket_id},
           {"fused", hit.fused},
           {"cosine", hit.cosine},
           {"bm25", hit.bm25},
           {"exact", hit.exact},
           {"keyword", hit.keyword},
           {"ranks", {{"dense", hit.ranks.dense}, {"bm25", hit.ranks.bm25}, {"exact", hit.ranks.exact}, {"keyword", hit.ranks.keyword}}},
           {"urgency", hit.found.urgency},
           {"category", hit.found.category},
           {"problem", hit.found.problem},
           {"resolution", hit.found.resolution}});
    fmt::print("{}\n",
               write_json({{"no_precedent", found.below_floor || found.empty()}, {"best_cosine", found.best_cosine}, {"hits", rows}}, 2));
    return;
  }
  if (found.empty()) {
    fmt::print("no precedent: the closest of {} cases has a similarity of {:.2f}\n", answering.retriever().size(), found.best_cosine);
    return;
  }
  const auto rank = [](int rank) { return rank > 0 ? std::to_string(rank) : std::string("-"); };
  for (const Hit& hit : found)
    fmt::print(
        "{}  similarity {:.2f}  ranks: dense {}, words {}, codes {}, keywords {}  |  urgency {}, {}\n  problem:    {}\n  resolution: "
        "{}\n\n",
        hit.found.ticket_id, hit.cosine, rank(hit.ranks.dense), rank(hit.ranks.bm25), rank(hit.ranks.exact), rank(hit.ranks.keyword),
        hit.found.urgency, hit.found.category, shortened(hit.found.problem, 300), shortened(hit.found.resolution, 400));
}

}  // namespace

std::function<void()> declare_search(CLI::App& sub, const Globals& globals) {
  const auto options = std::make_shared<Options>();
  sub.add_option("QUERY", options->query, "the new problem, in the customer's words")->required();
  sub.add_option("--count", options->count, "how many cases")->capture_default_str()->check(CLI::Range(1, 1000));
  sub.footer("Example:\n  deskhand --desk mydesk search \"invoice run stops at 60 % with CVN-1042\"");
  return [options, &globals] { search(globals, *options); };
}

}  // namespace deskhand
