// deskhand split: which tickets are learnt from, which are kept for testing; what leaks from one to the other; and the files that other
// trainers read.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <optional>

#include "deskhand/app/answering.h"
#include "deskhand/app/desk.h"
#include "deskhand/app/draw_split.h"
#include "deskhand/app/erase_tickets.h"
#include "deskhand/app/vector_cache.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/retrieve/vector_index.h"
#include "deskhand/tickets/export.h"
#include "deskhand/tickets/ticket_store.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kExamples = 20;  // pairs of a leakage report
constexpr std::size_t kShown = 3;      // of them, on the terminal

struct Options {
  fs::path folder;
  std::optional<std::string> method;
  std::optional<double> share;
  std::optional<int> seed, folds, fold;
  bool embed = false;
  double cosine = 0.9;  // MiniLM's, of a copy with some words changed; on the sample, one fault told by two people has .7 to .8
  bool force = false;
};

SplitSettings chosen(SplitSettings settings, const Options& options) {
  for (const SplitMethod method : {SplitMethod::kRandom, SplitMethod::kGrouped, SplitMethod::kTime})
    if (options.method && *options.method == name_of(method)) settings.method = method;
  settings.test_share = options.share.value_or(settings.test_share);
  settings.seed = options.seed.value_or(settings.seed);
  settings.folds = options.folds.value_or(settings.folds);
  settings.fold = options.fold.value_or(settings.fold);
  check_folds(settings);
  return settings;
}

std::vector<Ticket> pick(std::span<const Ticket> tickets, const std::vector<std::int64_t>& rows) {
  std::vector<Ticket> picked;
  picked.reserve(rows.size());
  for (const auto row : rows) picked.push_back(tickets[static_cast<std::size_t>(row)]);
  return picked;
}

// The closest ticket to learn from of every ticket kept for testing, where its cosine reaches the floor.
std::vector<Leak> leaks_by_cosine(const Split& split, const std::vector<float>& vectors, std::int64_t width, double floor,
                                  ThreadPool& pool) {
  const auto vector_of = [&](std::int64_t row) {
    return std::span(vectors).subspan(static_cast<std::size_t>(row * width), static_cast<std::size_t>(width));
  };
  std::vector<float> known;
  for (const auto row : split.train) known.insert(known.end(), vector_of(row).begin(), vector_of(row).end());
  const VectorIndex index(std::move(known), width, pool);
  std::vector<Leak> found;
  for (std::size_t t = 0; t < split.test.size(); ++t)
    for (const Scored& best : index.search(vector_of(split.test[t]), 1, pool))
      if (best.score >= floor) found.push_back({static_cast<std::int64_t>(t), static_cast<std::int64_t>(best.item), best.score});
  return found;
}

struct LeakageReport {
  std::vector<Leak> copies;                   // word sequences in common
  std::optional<std::vector<Leak>> meanings;  // vectors nearly the same; only where it was asked for
};

// The closest first.
Json json_of(std::vector<Leak> found, double threshold, const Split& split, std::span<const Ticket> tickets) {
  std::stable_sort(found.begin(), found.end(), [](const Leak& a, const Leak& b) { return a.similarity > b.similarity; });
  Json examples = Json::array();
  for (std::size_t i = 0; i < std::min(found.size(), kExamples); ++i) {
    const auto id = [&](const std::vector<std::int64_t>& rows, std::int64_t at) {
      return tickets[static_cast<std::size_t>(rows[static_cast<std::size_t>(at)])].id;
    };
    examples.push_back(
        {{"test", id(split.test, found[i].test)}, {"train", id(split.train, found[i].train)}, {"similarity", found[i].similarity}});
  }
  return {{"test", split.test.size()}, {"leaked", found.size()}, {"threshold", threshold}, {"examples", examples}};
}

Json json_of(const LeakageReport& report, const Split& split, std::span<const Ticket> tickets, double cosine) {
  Json object = {{"train", split.train.size()},
                 {"test", split.test.size()},
                 {"leaked", report.copies.size()},
                 {"leakage", json_of(report.copies, NearCopySettings{}.threshold, split, tickets)}};
  if (report.meanings) object["leakage_by_embedding"] = json_of(*report.meanings, cosine, split, tickets);
  return object;
}

std::string examples_of(const Json& leakage) {
  std::string text;
  for (std::size_t i = 0; i < std::min(leakage["examples"].size(), kShown); ++i) {
    const Json& pair = leakage["examples"][i];
    text += fmt::format("{}{} is like {} ({:.2f})", text.empty() ? "" : ", ", pair["test"].get<std::string>(),
                        pair["train"].get<std::string>(), pair["similarity"].get<double>());
  }
  return text.empty() ? "" : "\n  for example " + text;
}

std::string text_of(const Json& split, SplitMethod method) {
  const auto leaked = split["leaked"].get<std::int64_t>();
  const auto test = split["test"].get<std::size_t>();
  std::string text = about_leaks(leaked, test, method) + examples_of(split["leakage"]);
  if (split.contains("leakage_by_embedding")) {
    const Json& meanings = split["leakage_by_embedding"];
    text += fmt::format("\nby the encoder, {} of them say what one to learn from says (cosine {:g} or more){}",
                        meanings["leaked"].get<std::int64_t>(), meanings["threshold"].get<double>(), examples_of(meanings));
  }
  return text;
}

void split(const Globals& globals, const Options& options) {
  Desk desk = Desk::open(globals);
  TicketStore store(desk.database);
  const std::vector<Ticket> tickets = store.all();
  if (tickets.empty())
    throw Error(ExitCode::kNotFound, "the desk has no tickets yet; run: deskhand --desk {} prepare", desk.folder.string());
  const SplitSettings settings = chosen(desk.settings.split, options);
  Engine engine(globals.threads, desk.settings.compute);  // the processor's: an encoder is all that runs
  const std::vector<Split> splits = draw_splits(settings, tickets, engine.pool);

  std::vector<float> vectors;
  std::int64_t width = 0;
  if (options.embed) {
    const auto encoder = DeskEncoder::load(desk, globals, engine.backend);
    if (!encoder) throw Error(ExitCode::kUsage, "--embed needs an encoder; models.encoder in desk.toml names none");
    fs::create_directories(desk.folder / "evaluations");
    VectorCache cache(desk.folder / "evaluations" / "vectors.db", encoder->embedder(), encoder->id(), globals.quiet);
    std::vector<std::string> problems;
    for (const Ticket& ticket : tickets) problems.push_back(problem_text(ticket));
    width = cache.width();
    vectors = cache.embed(problems);
  }

  // Every part is checked before a file is written.
  const auto folder = options.folder.empty() ? desk.folder / "data" : options.folder;
  const auto number_of = [&](std::size_t index) { return settings.folds > 0 ? static_cast<int>(index) + 1 : settings.fold; };
  const auto fold_folder = [&](int number) { return folder / fmt::format("fold-{}", number); };
  Json folds = Json::array();
  for (const Split& one : splits) {
    LeakageReport report{.copies = leaks_of(one, tickets, engine.pool)};
    if (options.embed) report.meanings = leaks_by_cosine(one, vectors, width, options.cosine, engine.pool);
    folds.push_back(json_of(report, one, tickets, options.cosine));
  }
  if (!options.force) {
    refuse_training_files(folder);
    for (std::size_t s = 0; settings.folds > 0 && s < splits.size(); ++s) refuse_training_files(fold_folder(number_of(s)));
  }
  Json own;
  std::int64_t left_out = 0;
  const std::string how = describe_split(settings);
  for (std::size_t s = 0; s < splits.size(); ++s) {
    const auto train = pick(tickets, splits[s].train), test = pick(tickets, splits[s].test);
    const int number = number_of(s);
    if (settings.folds > 0) {
      write_training_files(fold_folder(number), train, test, options.force);
      note_export(desk, fold_folder(number), "fold");
      folds[s]["fold"] = number;
      folds[s]["folder"] = fold_folder(number).string();
    }
    if (number != settings.fold) continue;
    left_out = write_training_files(folder, train, test, options.force).left_out;
    note_export(desk, folder, "training");
    own = folds[s];
    const auto ids = [](const std::vector<Ticket>& picked) {
      std::vector<std::string> names;
      for (const auto& ticket : picked) names.push_back(ticket.id);
      return names;
    };
    store.set_split(ids(train), ids(test), how);
  }

  if (globals.json) {
    Json object = {{"how", how}, {"method", name_of(settings.method)}};
    for (const auto& [key, value] : own.items())
      if (key != "fold") object[key] = value;
    object["left_out_of_files"] = left_out;
    object["folder"] = folder.string();
    if (settings.folds > 0) object["folds"] = folds;
    fmt::print("{}\n", write_json(object));
    return;
  }
  fmt::print("{} tickets to learn from, {} kept for testing ({})\n{}\n", own["train"].get<std::size_t>(), own["test"].get<std::size_t>(),
             how, text_of(own, settings.method));
  for (const Json& fold : settings.folds > 0 ? folds : Json::array())
    fmt::print("fold {}: {} to learn from, {} kept; {}\n", fold["fold"].get<int>(), fold["train"].get<std::size_t>(),
               fold["test"].get<std::size_t>(), text_of(fold, settings.method));
  fmt::print("train.csv, test.csv, train.jsonl and test.jsonl are in {}{}; {} tickets lack a label or a text and are in none\n",
             folder.string(),
             settings.folds > 0 ? " (the desk's fold) and in fold-1 to fold-" + std::to_string(settings.folds) + " there" : "", left_out);
}

}  // namespace

std::function<void()> declare_split(CLI::App& sub, const Globals& globals) {
  const auto options = std::make_shared<Options>();
  sub.add_option("--method", options->method, "grouped: near copies of a ticket stay on one side; random; time: the latest are tested")
      ->check(CLI::IsMember({"grouped", "random", "time"}));
  sub.add_option("--share", options->share, "of the tickets, kept for testing: 0.05")->check(CLI::Range(0.0001, 0.9));
  sub.add_option("--seed", options->seed, "of the draw")->check(CLI::NonNegativeNumber);
  sub.add_option("--folds", options->folds, "instead of a share: so many splits, each ticket tested once (by time: the later ones)")
      ->check(CLI::Range(0, 100));
  sub.add_option("--fold", options->fold, "the fold that the desk holds, that index, train and evaluate go by")->check(CLI::Range(1, 100));
  sub.add_flag("--embed", options->embed, "also look for leaks by the encoder: problems that say the same in other words");
  sub.add_option("--cosine", options->cosine, "from which two problems say the same, with --embed")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  sub.add_option("--out", options->folder, "where the files go; the desk's folder data if not given");
  sub.add_flag("--force", options->force, "write over files that are there");
  sub.footer(
      "Examples:\n  deskhand --desk mydesk split\n  deskhand --desk mydesk split --method random --force   # as scikit-learn's "
      "train_test_split, seed 42\n  deskhand --desk mydesk split --folds 5 --out folds\nWhat is not given stands in desk.toml, section "
      "[split]; a new desk has grouped, 0.05, 42. Every split says how many of the tickets kept for testing have a near copy on the other "
      "side.");
  return [options, &globals] { split(globals, *options); };
}

}  // namespace deskhand
