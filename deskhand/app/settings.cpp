#include "deskhand/app/settings.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <utility>

#include "deskhand/app/toml_section.h"
#include "deskhand/base/error.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/tickets/column_fields.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;

template <class Columns, std::size_t N>
void read_columns(TomlSection section, Columns& columns, const std::pair<std::string_view, std::string Columns::*> (&fields)[N]) {
  for (const auto& [key, field] : fields) section.read(key, columns.*field);
  section.finish();
}

std::vector<fs::path> absolute(const std::vector<std::string>& names, const fs::path& folder) {
  std::vector<fs::path> paths;
  for (const auto& name : names) paths.push_back(fs::path(name).is_absolute() ? fs::path(name) : folder / name);
  return paths;
}

void read_import(TomlSection section, PrepareSettings& import, const fs::path& folder) {
  std::string preset = "seed";
  section.read("preset", preset);
  import.mapping = mapping_preset(preset);
  std::vector<std::string> tickets, history;
  section.read("tickets", tickets);
  section.read("history", history);
  import.ticket_files = absolute(tickets, folder);
  import.history_files = absolute(history, folder);
  section.read("ticket_sheet", import.ticket_sheet);
  section.read("history_sheet", import.history_sheet);
  section.read("encoding", import.table.encoding);
  std::string delimiter;
  section.read("delimiter", delimiter);
  if (delimiter.size() > 1) throw Error(ExitCode::kUsage, "desk.toml: import.delimiter must be one character, or empty to find it");
  import.table.delimiter = delimiter.empty() ? '\0' : delimiter.front();
  import.clean.style = section.choice("clean", {"full", "seed"}, 0) == 0 ? CleanStyle::kFull : CleanStyle::kSeed;
  import.missing = section.choice("missing", {"keep", "remove"}, 0) == 0 ? Missing::kKeep : Missing::kRemove;
  import.mapping.date_order = section.choice("dates", {"day-first", "month-first"}, static_cast<int>(import.mapping.date_order)) == 0
                                  ? DateOrder::kDayFirst
                                  : DateOrder::kMonthFirst;
  section.read("activities", import.mapping.activities);
  section.read("query_type", import.mapping.query_type);
  section.read("written_at_closing", import.mapping.written_at_closing);
  section.read("first_activity_is_query", import.mapping.first_activity_is_query);
  section.read("ignored_activity_types", import.mapping.ignored_activity_types);
  read_columns(section.section("columns"), import.mapping.tickets, kTicketColumns);
  read_columns(section.section("history_columns"), import.mapping.history, kHistoryColumns);
  const auto lower = [](std::string text) {
    for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return text;
  };
  for (const auto& [label, urgency] : section.integers("urgency_labels")) {
    if (urgency < kMinUrgency || urgency > kMaxUrgency)
      throw Error(ExitCode::kUsage, "desk.toml: import.urgency_labels: '{}' is {}, wanted {} to {}", label, urgency, kMinUrgency,
                  kMaxUrgency);
    import.mapping.urgency_labels[lower(label)] = urgency;
  }
  for (const auto& [label, category] : section.texts("category_labels")) import.mapping.category_labels[lower(label)] = category;
  for (const auto& [label, category] : section.texts("merge_categories")) import.mapping.merged_categories[lower(label)] = category;
  for (const auto& [id, category] : section.texts("category_of")) import.mapping.category_of[id] = category;
  for (const auto& [id, urgency] : section.integers("urgency_of")) {
    if (urgency < kMinUrgency || urgency > kMaxUrgency)
      throw Error(ExitCode::kUsage, "desk.toml: import.urgency_of: ticket '{}' is {}, wanted {} to {}", id, urgency, kMinUrgency,
                  kMaxUrgency);
    import.mapping.urgency_of[id] = urgency;
  }
  TomlSection exclude = section.section("exclude");
  std::vector<std::string> categories, tickets_left_out;
  exclude.read("categories", categories);
  exclude.read("tickets", tickets_left_out);
  exclude.finish();
  for (const auto& category : categories) import.mapping.excluded_categories.insert(lower(category));
  import.mapping.excluded_tickets.insert(tickets_left_out.begin(), tickets_left_out.end());
  section.finish();
}

void read_redact(TomlSection section, DeskSettings& settings, const fs::path& folder) {
  RedactSettings& redact = settings.import.clean.redact;
  std::vector<std::string> kinds = personal_kind_names();
  section.read("kinds", kinds);
  const auto known = personal_kind_names();
  for (const auto& kind : kinds) {
    const auto found = std::find(known.begin(), known.end(), kind);
    if (found == known.end())
      throw Error(ExitCode::kUsage, "desk.toml: redact.kinds: nothing is called '{}'; there are {}", kind, fmt::join(known, ", "));
    redact.kinds[static_cast<std::size_t>(found - known.begin())] = true;
  }
  std::string names, key;
  section.read("names", names);
  section.read("keep", redact.keep);
  section.read("key", key);
  for (const auto& [mark, expression] : section.texts("patterns")) redact.patterns.emplace_back(mark, expression);
  section.finish();
  if (!names.empty()) {
    const std::string list = read_text_file(absolute({names}, folder).front(), std::size_t{16} << 20);
    for (std::size_t at = 0; at < list.size();) {
      const auto end = std::min(list.find('\n', at), list.size());
      std::string name = list.substr(at, end - at);
      name.erase(name.find_last_not_of(" \t\r") + 1);
      if (!name.empty()) redact.names.push_back(std::move(name));
      at = end + 1;
    }
  }
  Redactor(RedactSettings{.patterns = redact.patterns});  // a pattern that is none is refused here, where its line is near
  if (key.empty()) return;
  settings.redact_key = absolute({key}, folder).front().lexically_normal();
  const auto inside = settings.redact_key.lexically_relative(folder.lexically_normal());
  if (!inside.empty() && *inside.begin() != "..")
    throw Error(ExitCode::kUsage,
                "desk.toml: redact.key: {} lies in the desk's own folder; whoever copies the desk would have the key: keep it elsewhere",
                settings.redact_key.string());
}

void read_split(TomlSection section, SplitSettings& split) {
  split.method = static_cast<SplitMethod>(section.choice("method", {"random", "grouped", "time"}, static_cast<int>(split.method)));
  section.read("test_share", split.test_share, 0.0001, 0.9);
  section.read("seed", split.seed, 0, 2147483647);
  section.read("folds", split.folds, 0, 100);
  section.read("fold", split.fold, 1, 100);
  check_folds(split);
  section.finish();
}

void read_models(TomlSection section, ModelSettings& models, const fs::path& folder) {
  section.read("encoder", models.encoder);
  section.read("decoder", models.decoder);
  section.read("adapter", models.adapter);
  for (std::string* model : {&models.encoder, &models.decoder})
    if (!model->empty() && fs::exists(folder / *model)) *model = (folder / *model).string();
  section.finish();
}

void read_retrieval(TomlSection section, RetrieverSettings& retrieval, int& cases, const fs::path& folder) {
  std::string method(name_of(retrieval.method)), keywords;
  section.read("method", method);
  retrieval.method = parse_retrieval_method(method);
  section.read("cases", cases, 1, 20);
  section.read("floor", retrieval.floor, -1, 1);
  section.read("dense_weight", retrieval.dense_weight, 0, 100);
  section.read("bm25_weight", retrieval.bm25_weight, 0, 100);
  section.read("exact_weight", retrieval.exact_weight, 0, 100);
  section.read("keyword_weight", retrieval.keyword_weight, 0, 100);
  section.read("keywords", keywords);
  section.read("identifiers", retrieval.identifier_patterns);
  if (!keywords.empty()) retrieval.keywords = read_text_file(absolute({keywords}, folder).front(), std::size_t{16} << 20);
  section.finish();
}

std::vector<std::string> witness_names() {
  std::vector<std::string> names;
  for (const Witness witness : kWitnesses) names.emplace_back(name_of(witness));
  return names;
}

void read_answer(TomlSection section, AnswerSettings& answer) {
  answer.decide = static_cast<Witness>(section.choice("decide", witness_names(), 0));
  section.read("max_prompt_tokens", answer.max_prompt_tokens, 256, 131072);
  section.read("max_new_tokens", answer.max_new_tokens, 48, 4096);
  section.read("temperature", answer.temperature, 0, 2);
  section.read("top_p", answer.top_p, 0.01, 1);
  section.read("seed", answer.seed, 0, 2147483647);
  section.read("held_out", answer.held_out, 0, 100000);
  section.read("urgency_meanings", answer.urgency_meanings);
  if (!answer.urgency_meanings.empty() && answer.urgency_meanings.size() != kMaxUrgency)
    throw Error(ExitCode::kUsage, "desk.toml: answer.urgency_meanings has {} texts, wanted {}: one for each urgency",
                answer.urgency_meanings.size(), kMaxUrgency);
  section.finish();
}

SystemSettings read_system(TomlSection section, const DeskSettings& desk, const fs::path& folder) {
  SystemSettings system{.decoder = desk.models.decoder, .cases = desk.answer.cases};  // raw unless it names an adapter
  section.read("name", system.name);
  if (system.name.empty()) throw Error(ExitCode::kUsage, "desk.toml: every [[evaluate.systems]] must have a name");
  section.read("decoder", system.decoder);
  if (!system.decoder.empty() && fs::exists(folder / system.decoder)) system.decoder = (folder / system.decoder).string();
  section.read("adapter", system.adapter);
  section.read("cases", system.cases, 0, 20);
  system.decide = static_cast<Witness>(section.choice("decide", witness_names(), static_cast<int>(system.decide)));
  system.mend = system.decide == Witness::kFused;
  section.read("mend", system.mend);
  std::string predictions;
  section.read("predictions", predictions);
  if (!predictions.empty()) {
    system.predictions = absolute({predictions}, folder).front();
    system.kind = "file";
  }
  section.finish();
  return system;
}

void read_evaluate(TomlSection section, DeskSettings& desk, const fs::path& folder) {
  EvaluateSettings& evaluate = desk.evaluate;
  section.read("resamples", evaluate.resamples, 100, 100000);
  section.read("seed", evaluate.seed, 0, 2147483647);
  section.read("validation", evaluate.validation, 0, 100000);
  section.read("urgency_costs", evaluate.urgency_costs, 0, 1e6);
  if (evaluate.urgency_costs.size() != kMaxUrgency)
    throw Error(ExitCode::kUsage, "desk.toml: evaluate.urgency_costs has {} numbers, wanted {}: one for each urgency",
                evaluate.urgency_costs.size(), kMaxUrgency);
  section.read("too_urgent_cost", evaluate.too_urgent_cost, 0, 1e6);
  section.read("above", evaluate.above, 0, 100);
  section.read("relevant_similarity", evaluate.relevant_similarity, -1, 1);
  std::string pairs;
  section.read("relevant_pairs", pairs);
  if (!pairs.empty()) evaluate.relevant_pairs = absolute({pairs}, folder).front();
  section.read("splits", evaluate.splits);
  for (const auto& split : evaluate.splits)
    if (split != "random" && split != "grouped" && split != "time")
      throw Error(ExitCode::kUsage, "desk.toml: evaluate.splits: '{}' is no way to split; there are random, grouped and time", split);
  for (TomlSection& system : section.sections("systems")) evaluate.systems.push_back(read_system(std::move(system), desk, folder));
  section.finish();
}

std::string quoted_list(const std::vector<std::string>& names) {
  std::vector<std::string> quoted;
  for (const auto& name : names) {
    std::string text;
    for (const char c : name) text += c == '"' || c == '\\' ? std::string{'\\', c} : std::string{c};
    quoted.push_back('"' + text + '"');
  }
  return fmt::format("[{}]", fmt::join(quoted, ", "));
}

}  // namespace

DeskSettings read_settings(std::string_view text, const fs::path& folder, const std::string& where) {
  toml::table document;
  try {
    document = toml::parse(text, where);
  } catch (const toml::parse_error& error) {
    throw Error(ExitCode::kUsage, "{}: line {}: {}", where, error.source().begin.line, error.description());
  }
  DeskSettings settings;
  TomlSection root(&document, "", where);
  root.read("name", settings.name);
  read_import(root.section("import"), settings.import, folder);
  read_redact(root.section("redact"), settings, folder);
  TomlSection retention = root.section("retention");
  retention.read("days", settings.import.retention.days, 0, 36500);
  settings.import.retention.since = static_cast<Retention::Since>(retention.choice("since", {"completed", "received"}, 0));
  retention.finish();
  read_split(root.section("split"), settings.split);
  read_models(root.section("models"), settings.models, folder);
  read_retrieval(root.section("retrieval"), settings.retrieval, settings.answer.cases, folder);
  read_answer(root.section("answer"), settings.answer);
  read_evaluate(root.section("evaluate"), settings, folder);
  TomlSection compute = root.section("compute");
  settings.compute = static_cast<Compute>(compute.choice("precision", {"auto", "f32", "bf16", "int8"}, 0));
  compute.finish();
  root.finish();
  return settings;
}

std::set<std::string> settings_sections(std::string_view text) {
  std::set<std::string> sections;
  const auto look = [&](const auto& self, const toml::table& table, const std::string& name) -> void {
    for (const auto& [key, value] : table)
      if (value.is_table()) {
        const std::string own = name + (name.empty() ? "" : ".") + std::string(key.str());
        sections.insert(own);
        self(self, *value.as_table(), own);
      }
  };
  look(look, toml::parse(text), "");
  return sections;
}

void check_folds(const SplitSettings& split) {
  if (split.folds == 1 || (split.folds > 0 && split.fold > split.folds))
    throw Error(ExitCode::kUsage, "fold {} of {}: wanted are 2 folds or more (0: none) and one of them", split.fold, split.folds);
}

std::string write_settings(const NewDesk& desk) {
  return fmt::format(
      R"(# The settings of this desk. Every line may be left out: the value shown is the default, unless a comment says otherwise.
# A key that nothing knows is an error, so that a slip of the pen cannot go unseen.
name = {name}

[import]                       # deskhand prepare
preset = "{preset}"                # what the columns are called: {presets}
tickets = {tickets}     # .xlsx, .ods, .csv, .jsonl, mbox or a folder of .eml files; paths count from this folder
history = {history}     # none where the tickets' file holds the activities
clean = "full"                 # full: quoted mail, signatures, greetings and markup are cut; seed: the original scripts' rules
dates = "day-first"            # of 03/04/2024; or month-first
missing = "keep"               # tickets of earlier imports that the files no longer hold; or remove, where an export is the whole desk
# [import.columns]             # where the export differs from the preset
# problem = "PROBLEM"
# urgency = "URGENCYCODE"
# [import.urgency_labels]      # where urgencies are words; 1 is the most urgent
# blocker = 1
# high = 2

[redact]                       # what is personal becomes a mark, [NAME_1], in tickets and queries alike; docs/privacy.md
# kinds = {kinds}
# names = "names.txt"          # people to know beside those that texts show, a name a line
# keep = ["Jasper"]            # words that are never names here
# key = "../desk.key"          # keep what marks stand for, sealed with this key: 'deskhand redact --make-key', 'deskhand reveal'
# [redact.patterns]            # the desk's own: mark and regular expression
# CUSTOMER = '\bC-\d{{6}}\b'

[retention]                    # deskhand prepare, forget --expired
days = 0                       # tickets older than this are left out of imports and erased; 0: they stay for ever
since = "completed"            # or received

[split]                        # deskhand split
method = "grouped"             # near copies stay on one side; random: as scikit-learn's train_test_split; time: the latest are tested
test_share = {test_share:g}
seed = 42
folds = 0                      # 5: five splits, every ticket tested once (data/fold-1 ...); the desk holds the one that 'fold' names
fold = 1

[models]
encoder = "all-minilm-l6-v2"
decoder = "qwen2.5-coder-0.5b-instruct"   # a name of 'deskhand model list', a folder or a .gguf file; "" answers from the cases alone
adapter = ""                   # what was fine-tuned: a run's name (runs/NAME) or an adapter's folder; "" for the decoder as it is

[retrieval]                    # deskhand index, search
method = "rrf"                 # rrf: ranks of all channels fused; dense; bm25; seed: .95 cosine + .05 keywords; seed_unmended
cases = 3                      # shown with an answer
floor = 0.3                    # (default 0) below this cosine, and without a shared error code, the answer is "no precedent"
keywords = {keywords}          # words of the trade, one a line
identifiers = []               # regular expressions of codes that should match letter by letter, beside the usual ones

[answer]                       # deskhand triage
decide = "fused"               # labels: the model's probabilities and the cases' votes together; or model, or votes
held_out = 30                  # tickets that the weights of the two are fitted on while indexing; 0: default weights
max_new_tokens = 200           # an answer is whole within this
max_prompt_tokens = 2048       # cases are shortened to fit; the new ticket never is
temperature = 0                # 0: greedy, always the same answer; above: sampled, the same for the same seed
seed = 42
# urgency_meanings = ["...", "...", "...", "...", "..."]   # what 1 to 5 mean here, for the model

[evaluate]                     # deskhand evaluate
resamples = 2000               # of every 95 % interval
validation = 40                # tickets that the temperature of the probabilities is fitted on; 0: none
urgency_costs = [8, 4, 2, 1, 1]   # of a ticket of urgency 1 to 5, for each level that it is placed less urgent
too_urgent_cost = 1            # for each level that it is placed more urgent
splits = ["grouped", "time"]   # beside the desk's own split, for systems without a language model
# [[evaluate.systems]]         # none: the decoder without cases, with cases, and as triage answers; the baselines are always there
# name = "raw 1.5B"
# decoder = "qwen2.5-coder-1.5b-instruct"
# adapter = ""                 # a run's name or an adapter's folder
# cases = 3                    # shown to the model
# decide = "model"             # who decides the labels: model, votes or fused

[compute]
precision = "auto"             # auto, f32, bf16 or int8
)",
      fmt::arg("name", quoted_list({desk.name}).substr(1, quoted_list({desk.name}).size() - 2)), fmt::arg("preset", desk.preset),
      fmt::arg("presets", fmt::format("{}", fmt::join(mapping_preset_names(), ", "))), fmt::arg("tickets", quoted_list(desk.tickets)),
      fmt::arg("history", quoted_list(desk.history)), fmt::arg("keywords", '"' + desk.keywords + '"'),
      fmt::arg("test_share", desk.test_share), fmt::arg("kinds", quoted_list(personal_kind_names())));
}

}  // namespace deskhand
