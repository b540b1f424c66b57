// From records to what they mean: sentences, how much they matter, and lines for desk.toml.
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>

#include "deskhand/audit/audit.h"
#include "deskhand/audit/language.h"
#include "deskhand/tickets/clean.h"

namespace deskhand {
namespace {

constexpr std::size_t kRows = 20;     // of a finding's evidence
constexpr std::size_t kQuoted = 100;  // bytes of a ticket's text
constexpr double kMany = 0.05;        // a share of tickets that matters
constexpr double kDominant = 0.9;     // a label of so large a share leaves little to predict
constexpr double kWeakDrift = 0.1;    // Cramér's V below which a drift is real and small (Cohen 1988)
constexpr std::array<std::string_view, 8> kCatchAll = {"other",   "others",    "misc",     "miscellaneous",
                                                       "general", "sonstiges", "sonstige", "autre"};

std::string toml(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      quoted += '\\', quoted += c;
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      quoted += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    else
      quoted += c;
  }
  return quoted + '"';
}

std::string percent(double share) {
  if (share > 0 && share < 0.005) return "under 1 %";
  return fmt::format("{:.0f} %", 100 * share);
}

std::string quote(const std::string& text) {
  const std::string line = one_line(text);
  if (line.size() <= kQuoted) return line;
  std::size_t end = kQuoted;
  while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xc0) == 0x80) --end;
  return line.substr(0, end) + "…";
}

std::string counted(std::int64_t count, std::string_view one, std::string_view more) {
  return fmt::format("{} {}", count, count == 1 ? one : more);
}

// The first rows; how many more there are is told.
void keep_first(Finding& finding) {
  if (finding.rows.size() <= kRows) return;
  finding.more = std::ssize(finding.rows) - static_cast<std::int64_t>(kRows);
  finding.rows.resize(kRows);
}

class Finder {
 public:
  Finder(Audit& audit, const PrepareSettings& import, const AuditSettings& settings)
      : audit_(audit), import_(import), settings_(settings) {}

  void run() {
    classes();
    conflicts();
    duplicates();
    columns();
    predictions();
    drift();
    languages();
    texts();
    std::stable_sort(audit_.findings.begin(), audit_.findings.end(), [](const auto& a, const auto& b) { return a.severity < b.severity; });
    for (Finding& finding : audit_.findings) keep_first(finding);
    audit_.summary = summary();
  }

 private:
  double share(std::int64_t tickets) const {
    return audit_.tickets == 0 ? 0 : static_cast<double>(tickets) / static_cast<double>(audit_.tickets);
  }
  void add(Finding finding) { audit_.findings.push_back(std::move(finding)); }

  void classes() {
    for (const ClassAudit& audit : audit_.classes) {
      similar(audit);
      rare(audit);
      if (audit.missing == 0) continue;
      const auto field = audit.field == LabelField::kCategory ? "category" : "urgency";
      add({.id = fmt::format("missing-{}", field),
           .severity = share(audit.missing) > kMany ? Severity::kLook : Severity::kNote,
           .title = fmt::format("{} ({}) {} no {}", counted(audit.missing, "ticket", "tickets"), percent(share(audit.missing)),
                                audit.missing == 1 ? "has" : "have", field),
           .advice = audit.classes.empty() ? "The export may have no such column: nothing can learn this label."
                                           : "Nothing learns a label from them; they still serve as cases."});
    }
  }

  void similar(const ClassAudit& audit) {
    Finding sure{.id = "similar-classes",
                 .severity = Severity::kMend,
                 .advice = "Each is one category for people and two for whatever learns. The lines for desk.toml merge them.",
                 .head = {"Stays", "Tickets", "Is merged", "Tickets", "Differ by"}};
    Finding maybe{
        .id = "alike-classes",
        .severity = Severity::kLook,
        .advice = "Both are common, so they may be two things. If they are one, merge them as the lines of [import.merge_categories] do.",
        .head = sure.head};
    Fix fix{.section = "import.merge_categories", .about = "one category that is written in two ways"};
    for (const SimilarClasses& pair : audit.similar) {
      (pair.is_certain ? sure : maybe)
          .rows.push_back(
              {pair.keep.label, std::to_string(pair.keep.tickets), pair.merge.label, std::to_string(pair.merge.tickets), pair.differ});
      if (pair.is_certain)
        fix.lines.push_back(fmt::format("{} = {}   # {} and {}", toml(pair.merge.label), toml(pair.keep.label),
                                        counted(pair.merge.tickets, "ticket", "tickets"), pair.keep.tickets));
    }
    if (!sure.rows.empty()) {
      sure.title = std::ssize(sure.rows) == 1 ? "1 category is written in two ways"
                                              : fmt::format("{} categories are written in a second way", sure.rows.size());
      sure.fixes.push_back(std::move(fix));
      add(std::move(sure));
    }
    if (!maybe.rows.empty()) {
      maybe.title = fmt::format("{} of categories {} spelt nearly alike", counted(std::ssize(maybe.rows), "pair", "pairs"),
                                maybe.rows.size() == 1 ? "is" : "are");
      add(std::move(maybe));
    }
  }

  void rare(const ClassAudit& audit) {
    if (audit.rare.empty()) return;
    const bool is_category = audit.field == LabelField::kCategory;
    std::int64_t tickets = 0;
    Finding finding{.id = fmt::format("rare-{}", name_of(audit.field)),
                    .severity = Severity::kLook,
                    .head = {is_category ? "Category" : "Urgency", "Tickets"}};
    for (const ClassCount& one : audit.rare) {
      tickets += one.tickets;
      finding.rows.push_back({one.label, std::to_string(one.tickets)});
    }
    finding.title = fmt::format("{} fewer than {} tickets, {} in all",
                                is_category ? counted(std::ssize(audit.rare), "category has", "categories have")
                                            : counted(std::ssize(audit.rare), "urgency has", "urgencies have"),
                                settings_.rare, tickets);
    finding.advice = "So few examples teach nothing, and a test part holds none or one of them.";
    if (is_category) {
      std::string rest;
      for (const ClassCount& one : audit.classes) {
        const bool is_rare = std::any_of(audit.rare.begin(), audit.rare.end(), [&](const auto& r) { return r.label == one.label; });
        std::string lower = one.label;
        for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
        if (rest.empty() && !is_rare && std::find(kCatchAll.begin(), kCatchAll.end(), lower) != kCatchAll.end()) rest = one.label;
      }
      if (!rest.empty() || audit.rare.size() > 1) {
        if (rest.empty()) rest = "Other";
        finding.advice += fmt::format(" The lines for desk.toml put them into \"{}\"; leave out the lines of those that matter.", rest);
        Fix fix{.section = "import.merge_categories",
                .about = "categories too rare to be learnt; leave out the lines of those that matter"};
        for (const ClassCount& one : audit.rare)
          if (one.label != rest)
            fix.lines.push_back(fmt::format("{} = {}   # {}", toml(one.label), toml(rest), counted(one.tickets, "ticket", "tickets")));
        if (!fix.lines.empty()) finding.fixes.push_back(std::move(fix));
      } else {
        finding.advice += " The line for desk.toml leaves its tickets out; merge it into another category if one fits.";
        excluded_categories_.push_back(audit.rare.front().label);
        finding.fixes.push_back(exclude_categories());
      }
    }
    add(std::move(finding));
  }

  Fix exclude_categories() const {
    std::vector<std::string> all;
    for (const std::string& one : import_.mapping.excluded_categories) all.push_back(toml(one));
    for (const std::string& one : excluded_categories_) all.push_back(toml(one));
    return {.section = "import.exclude",
            .lines = {fmt::format("categories = [{}]", fmt::join(all, ", "))},
            .about = "a category too rare to be learnt: its tickets are not read"};
  }

  void conflicts() {
    const auto& conflicts = audit_.copies.conflicts;
    if (conflicts.empty()) return;
    std::int64_t tickets = 0, outvoted = 0;
    std::set<std::string> problems;
    Finding finding{.id = "conflicting-labels", .head = {"Label", "Tickets", "Labelled", "Most say", "Problem"}, .has_texts = true};
    Fix categories{.section = "import.category_of", .about = "near-identical problems of which most have another category"};
    Fix urgencies{.section = "import.urgency_of", .about = "near-identical problems of which most have another urgency"};
    for (const Conflict& conflict : conflicts) {
      std::vector<std::string> each;
      for (const auto& [id, label] : conflict.tickets) {
        if (each.size() < 6) each.push_back(fmt::format("{}: {}", id, label));
        if (conflict.majority.empty() || label == conflict.majority) continue;
        ++outvoted;
        const bool is_category = conflict.field == LabelField::kCategory;
        (is_category ? categories : urgencies)
            .lines.push_back(
                fmt::format("{} = {}   # was {}", toml(id), is_category ? toml(conflict.majority) : conflict.majority, toml(label)));
      }
      if (conflict.tickets.size() > each.size()) each.emplace_back("…");
      tickets += std::ssize(conflict.tickets);
      problems.insert(conflict.problem);
      finding.rows.push_back({std::string(name_of(conflict.field)), std::to_string(conflict.tickets.size()),
                              fmt::format("{}", fmt::join(each, ", ")), conflict.majority.empty() ? "no majority" : conflict.majority,
                              quote(conflict.problem)});
    }
    finding.severity = outvoted > 0 || share(tickets) > 0.02 ? Severity::kMend : Severity::kLook;
    finding.title =
        fmt::format("{} came again nearly word for word under another label", counted(std::ssize(problems), "problem", "problems"));
    finding.advice =
        "Nothing can learn both labels of one text, and an answer with the one counts as wrong where the other stands. Look which is "
        "right.";
    if (outvoted > 0)
      finding.advice +=
          fmt::format(" Where two thirds and three tickets at least agree, the lines for desk.toml give the others their label ({}).",
                      counted(outvoted, "ticket", "tickets"));
    for (Fix* fix : {&categories, &urgencies})
      if (!fix->lines.empty()) finding.fixes.push_back(std::move(*fix));
    add(std::move(finding));
  }

  void duplicates() {
    const auto& copies = audit_.copies;
    if (!copies.duplicates.empty()) {
      std::vector<std::string> extra;
      for (const std::string& id : import_.mapping.excluded_tickets) extra.push_back(toml(id));
      std::int64_t count = 0;
      Finding finding{.id = "duplicates", .severity = Severity::kMend, .head = {"Stays", "Its copies"}};
      for (const Copies& own : copies.duplicates) {
        std::vector<std::string> shown;
        for (std::size_t i = 1; i < own.ids.size(); ++i) {
          ++count;
          extra.push_back(toml(own.ids[i]));
          if (shown.size() < 8) shown.push_back(own.ids[i]);
        }
        if (own.ids.size() > shown.size() + 1) shown.emplace_back("…");
        finding.rows.push_back({own.ids.front(), fmt::format("{}", fmt::join(shown, ", "))});
      }
      finding.title = fmt::format("{} ({}) {} in the export twice", counted(count, "ticket", "tickets"), percent(share(count)),
                                  count == 1 ? "is" : "are");
      finding.advice =
          "Problem, resolution, labels, account and day are the same. Copies count double in every measure; the line for desk.toml keeps "
          "the "
          "first of each.";
      Fix fix{.section = "import.exclude", .about = "copies of tickets that stay"};
      std::string line = "tickets = [";
      for (std::size_t i = 0; i < extra.size(); ++i) {
        if (i > 0) line += i % 10 == 0 ? ",\n  " : ", ";
        line += extra[i];
      }
      fix.lines.push_back(line + "]");
      finding.fixes.push_back(std::move(fix));
      add(std::move(finding));
    }
    if (copies.repeats == 0) return;
    add({.id = "repeats",
         .severity = share(copies.repeats) > 0.2 ? Severity::kLook : Severity::kNote,
         .title = fmt::format("{} of {} tickets have a near copy in the desk", percent(share(copies.repeats)), audit_.tickets),
         .advice =
             fmt::format("They form {}. A random split would test what was learnt by heart; method = \"grouped\" in [split], the default, "
                         "keeps them on one side.",
                         counted(copies.groups, "group", "groups")),
         .head = {"Tickets of the largest group", "Its first problem"},
         .rows = {{std::to_string(copies.largest), quote(copies.largest_problem)}},
         .has_texts = true});
  }

  void columns() {
    constexpr std::array<std::string_view, 9> kMayGo = {"subject",    "area",    "issue",     "solution", "result",
                                                        "account_id", "account", "completed", "received"};
    constexpr std::array<std::string_view, 6> kHistoryMayGo = {"id", "user", "short_text", "created", "type_code", "type"};
    Finding read{.id = "empty-columns", .head = {"File", "Column", "Read as", "Holds", "Value"}, .has_texts = true};
    Finding unread{.id = "unread-columns", .head = {"File", "Column", "Holds", "Value"}, .has_texts = true};
    Fix tickets{.section = "import.columns", .about = "columns that hold nothing"};
    Fix history{.section = "import.history_columns", .about = "columns of the history that hold nothing"};
    bool nothing_to_learn = false, is_same = false;
    std::set<std::string> ticket_files;
    for (const auto& file : import_.ticket_files) ticket_files.insert(file.filename().string());
    for (const ColumnAudit& column : audit_.columns) {
      if (!column.is_empty() && !column.is_constant()) continue;
      const std::string holds = column.is_empty() ? "nothing" : "always the same", value = quote(column.value);
      if (column.field.empty()) {
        unread.rows.push_back({column.file, column.column, holds, value});
        continue;
      }
      read.rows.push_back({column.file, column.column, column.field, holds, value});
      const bool of_tickets = ticket_files.contains(column.file);
      nothing_to_learn =
          nothing_to_learn || (of_tickets && (column.field == "category" || column.field == "urgency" || column.field == "problem"));
      is_same = is_same || column.is_constant();
      const bool may_go = of_tickets ? std::find(kMayGo.begin(), kMayGo.end(), column.field) != kMayGo.end()
                                     : std::find(kHistoryMayGo.begin(), kHistoryMayGo.end(), column.field) != kHistoryMayGo.end();
      // A constant value is still a value: only what is empty is taken out of the mapping.
      if (may_go && column.is_empty())
        (of_tickets ? tickets : history).lines.push_back(fmt::format("{} = \"\"   # {} is empty", column.field, toml(column.column)));
    }
    if (!read.rows.empty()) {
      read.severity = nothing_to_learn ? Severity::kMend : Severity::kNote;
      read.title = fmt::format("{} that the desk reads {} {}", counted(std::ssize(read.rows), "column", "columns"),
                               read.rows.size() == 1 ? "is" : "are", is_same ? "empty or always the same" : "empty");
      read.advice = nothing_to_learn ? "A problem or a label is among them: look whether [import.columns] names the right column."
                                     : "They say nothing of a ticket. The lines for desk.toml stop reading those that are empty.";
      for (Fix* fix : {&tickets, &history})
        if (!fix->lines.empty()) read.fixes.push_back(std::move(*fix));
      add(std::move(read));
    }
    if (!unread.rows.empty()) {
      unread.title = fmt::format("{} that nothing reads {} empty or always the same", counted(std::ssize(unread.rows), "column", "columns"),
                                 unread.rows.size() == 1 ? "is" : "are");
      unread.advice = "The export could do without them.";
      add(std::move(unread));
    }
  }

  void predictions() {
    for (const PredictionAudit& audit : audit_.predictions) {
      const std::string field(name_of(audit.field));
      if (!audit.missing.empty()) {
        add({.id = "prediction-" + field,
             .severity = Severity::kNote,
             .title = fmt::format("Whether the text says the {} could not be measured: {}", field, audit.missing)});
        continue;
      }
      const auto interval = [](const Estimate& e) {
        return fmt::format("{} ({:.0f} to {:.0f})", percent(*e.value), 100 * e.low, 100 * e.high);
      };
      Finding finding{.id = "prediction-" + field,
                      .severity = audit.verdict == Verdict::kPredicts ? Severity::kNote : Severity::kLook,
                      .head = {"", "Right"},
                      .rows = {{"From the text (TF-IDF, logistic regression)", interval(audit.accuracy)},
                               {"The commonest, always", interval(audit.majority)},
                               {"Difference, points", fmt::format("{:+.1f} ({:+.1f} to {:+.1f})", 100 * *audit.difference.value,
                                                                  100 * audit.difference.low, 100 * audit.difference.high)},
                               {"Bits that the text saves a ticket",
                                fmt::format("{:+.2f} ({:+.2f} to {:+.2f})", *audit.gain.value, audit.gain.low, audit.gain.high)},
                               {"Macro-F1", fmt::format("{:.2f}", audit.macro_f1)}}};
      const std::string on = fmt::format("{} tickets, {} folds, near copies in one", audit.tickets, audit.folds);
      switch (audit.verdict) {
        case Verdict::kPredicts:
          finding.title = fmt::format("The text says the {}: {} right, {} by guessing the commonest", field, percent(*audit.accuracy.value),
                                      percent(*audit.majority.value));
          finding.advice = fmt::format("Measured with words alone on {}; models have this to beat.", on);
          break;
        case Verdict::kSaysSomething:
          finding.title = fmt::format("The text says a little of the {}, not enough to beat guessing the commonest: {} right against {}",
                                      field, percent(*audit.accuracy.value), percent(*audit.majority.value));
          finding.advice =
              fmt::format("Measured with words alone on {}. Probabilities can be trusted more than the likeliest label here.", on);
          break;
        case Verdict::kCannot:
          if (*audit.majority.value >= kDominant) {
            finding.title =
                fmt::format("Nearly all tickets ({}) have one {}: there is little to predict", percent(*audit.majority.value), field);
            finding.advice = fmt::format("Words alone do no better, measured on {}.", on);
            break;
          }
          finding.title = fmt::format("The text does not say the {}: {} right, {} by guessing the commonest", field,
                                      percent(*audit.accuracy.value), percent(*audit.majority.value));
          finding.advice = fmt::format(
              "Measured with words alone on {}. The label may follow something that is not in the text (customer, contract, who took the "
              "call), "
              "be given out at random, or have too few examples: no model will do much better on the same texts.",
              on);
          break;
      }
      add(std::move(finding));
      Finding lost{.id = "unpredicted-" + field,
                   .severity = Severity::kLook,
                   .head = {field == "category" ? "Category" : "Urgency", "Tickets", "Found", "Most often taken for"}};
      for (const ClassPrediction& one : audit.classes)
        if (one.tickets >= settings_.rare && one.right == 0)
          lost.rows.push_back({one.label, std::to_string(one.tickets), "0", fmt::format("{} ({})", one.taken_for, one.taken)});
      if (lost.rows.empty()) continue;
      lost.title =
          fmt::format("{} never found from the text", counted(std::ssize(lost.rows), field == "category" ? "category is" : "urgency is",
                                                              field == "category" ? "categories are" : "urgencies are"));
      lost.advice =
          field == "category"
              ? "They have examples enough to be seen at times. What they are taken for may be the same thing under another name."
              : "By words alone they pass for a commoner one; a model has to be judged by what that costs (evaluate.urgency_costs).";
      add(std::move(lost));
    }
  }

  void drift() {
    const DriftAudit& audit = audit_.drift;
    if (!audit.test) {
      add({.id = "drift",
           .severity = Severity::kNote,
           .title = fmt::format("Whether urgencies drift could not be tested: {}", audit.missing)});
      return;
    }
    const auto& test = *audit.test;
    Finding finding{.id = "drift", .head = {"Month", "Tickets", "Urgency", "Share", "In other months", "p"}};
    std::vector<std::string> named;
    for (const MonthAudit& month : audit.months) {
      if (!month.stands_out) continue;
      named.push_back(month.month);
      finding.rows.push_back({month.month, std::to_string(month.tickets), std::to_string(month.urgency), percent(month.share),
                              percent(month.elsewhere), fmt::format("{:.2g}", month.p)});
    }
    const std::string how =
        fmt::format("chi-square {:.1f}, {} degrees of freedom, p {:.2g}{}, Cramér's V {:.2f}, {} months", test.statistic, test.degrees,
                    test.p, audit.by_permutation ? " by shuffling" : "", test.cramers_v, audit.months.size());
    const bool is_real = test.p < 0.05;
    if (!is_real) {
      finding.title = "Urgencies are given out as they always were";
      finding.advice = "No drift by month can be told from chance: " + how + ".";
    } else {
      const bool matters = test.cramers_v >= kWeakDrift;
      finding.severity = matters ? Severity::kLook : Severity::kNote;
      const std::size_t most = std::min<std::size_t>(named.size(), 6);
      finding.title =
          fmt::format("Urgencies drift {}from month to month{}", matters ? "" : "a little ",
                      named.empty() ? ""
                                    : fmt::format(": {}{}", fmt::join(std::span(named).first(most), ", "),
                                                  named.size() > most ? fmt::format(" and {} more stand out", named.size() - most)
                                                  : named.size() == 1 ? " stands out"
                                                                      : " stand out"));
      finding.advice =
          how + (named.empty() ? "; no single month stands out. " : ". ") +
          "Rules, people or customers may have changed: what was learnt from old tickets may be wrong for new ones. A split by time "
          "measures that.";
      if (matters)
        finding.fixes.push_back(
            {.section = "split", .lines = {"method = \"time\""}, .about = "the latest tickets are tested, as they will come"});
    }
    add(std::move(finding));
  }

  void languages() {
    std::int64_t known = 0, other_than_english = 0;
    for (const LanguageCount& one : audit_.languages) {
      if (one.code == "unknown") continue;
      known += one.tickets;
      other_than_english += one.code == "en" ? 0 : one.tickets;
    }
    if (known == 0) return;
    const auto of_known = [&](std::int64_t tickets) { return static_cast<double>(tickets) / static_cast<double>(known); };
    std::vector<std::string> named;
    Finding finding{.id = "languages", .head = {"Language", "Tickets"}};
    for (const LanguageCount& one : audit_.languages) {
      finding.rows.push_back({one.code == "unknown" ? "cannot be told" : language_name(one.code), std::to_string(one.tickets)});
      if (one.code != "unknown" && of_known(one.tickets) >= 0.01)
        named.push_back(fmt::format("{} {}", language_name(one.code), percent(of_known(one.tickets))));
    }
    const bool english_encoder = settings_.encoder.find("all-minilm") != settings_.encoder.npos;
    finding.severity = english_encoder && of_known(other_than_english) > kMany ? Severity::kLook : Severity::kNote;
    finding.title =
        fmt::format("The tickets are in {}{}", named.size() == 1 ? "one language" : counted(std::ssize(named), "language", "languages"),
                    fmt::format(": {}", fmt::join(named, ", ")));
    finding.advice =
        finding.severity == Severity::kLook
            ? fmt::format(
                  "The encoder {} learnt English: cases in other languages are found by their words and codes more than by their "
                  "meaning. A multilingual encoder (models.encoder) would find more.",
                  settings_.encoder)
            : "Languages below one in a hundred are in the table alone.";
    add(std::move(finding));
  }

  void texts() {
    if (audit_.without_problem > 0)
      add({.id = "no-problem",
           .severity = share(audit_.without_problem) > kMany ? Severity::kLook : Severity::kNote,
           .title = fmt::format("{} ({}) {} no text that says the problem", counted(audit_.without_problem, "ticket", "tickets"),
                                percent(share(audit_.without_problem)), audit_.without_problem == 1 ? "has" : "have"),
           .advice = "Neither a model nor a search can use them."});
    if (audit_.short_problems > 0)
      add({.id = "short-problems",
           .severity = share(audit_.short_problems) > kMany ? Severity::kLook : Severity::kNote,
           .title = fmt::format("{} ({}) {} a problem of three words or fewer", counted(audit_.short_problems, "ticket", "tickets"),
                                percent(share(audit_.short_problems)), audit_.short_problems == 1 ? "has" : "have"),
           .advice = "They match everything and nothing."});
  }

  // The labels in one clause.
  std::string what_the_text_says() const {
    std::vector<std::string> parts;
    for (const PredictionAudit& audit : audit_.predictions) {
      if (!audit.missing.empty()) {
        if (audit.of == 0) parts.push_back(fmt::format("cannot be asked for the {}, which no ticket has", name_of(audit.field)));
        continue;
      }
      if (audit.verdict == Verdict::kCannot && *audit.majority.value >= kDominant) {
        parts.push_back(fmt::format("has little to say of the {}, nearly always the same", name_of(audit.field)));
        continue;
      }
      const std::string figures = fmt::format("{} right, {} by guessing", percent(*audit.accuracy.value), percent(*audit.majority.value));
      const std::string_view how = audit.verdict == Verdict::kPredicts        ? "says the"
                                   : audit.verdict == Verdict::kSaysSomething ? "says little of the"
                                                                              : "does not say the";
      parts.push_back(fmt::format("{} {} ({})", how, name_of(audit.field), figures));
    }
    return parts.empty() ? "" : fmt::format("the text {}", fmt::join(parts, " and "));
  }

  std::string summary() const {
    std::vector<std::string> mend;
    std::int64_t look = 0;
    for (const Finding& finding : audit_.findings) {
      if (finding.severity == Severity::kMend) mend.push_back(finding.title);
      look += finding.severity == Severity::kLook;
    }
    const std::string says = what_the_text_says();
    const std::string tickets = counted(audit_.tickets, "ticket", "tickets");
    std::string sentence = mend.empty()
                               ? fmt::format("Nothing must be mended before anything learns from {}", tickets)
                               : fmt::format("Before anything learns from {}, mend {}: {}", tickets,
                                             mend.size() == 1 ? "one thing" : fmt::format("{} things", mend.size()), fmt::join(mend, "; "));
    if (look > 0)
      sentence +=
          fmt::format("; {} worth a look", look == 1 ? "one more is" : fmt::format("{}{} are", look, mend.empty() ? " things" : " more"));
    if (!says.empty()) sentence += "; " + says;
    return sentence + ".";
  }

  Audit& audit_;
  const PrepareSettings& import_;
  const AuditSettings& settings_;
  std::vector<std::string> excluded_categories_;
};

}  // namespace

void find(Audit& audit, const PrepareSettings& import, const AuditSettings& settings) {
  audit.findings.clear();
  Finder(audit, import, settings).run();
}

std::string fixes_toml(const Audit& audit, const std::set<std::string>& present) {
  // A section stands once, with all that was proposed for it.
  std::vector<std::string> order;
  std::map<std::string, std::vector<const Fix*>> sections;
  for (const Finding& finding : audit.findings)
    for (const Fix& fix : finding.fixes) {
      if (!sections.contains(fix.section)) order.push_back(fix.section);
      sections[fix.section].push_back(&fix);
    }
  // Lines for sections that are there stand at the end, as comments: what comes before can be appended as it is.
  std::stable_partition(order.begin(), order.end(), [&](const auto& section) { return !present.contains(section); });
  std::string text;
  for (const std::string& section : order) {
    const bool is_there = present.contains(section);
    text += is_there ? fmt::format("\n# desk.toml has a section [{0}]: write below it, or change there,\n", section)
                     : fmt::format("\n[{}]\n", section);
    for (const Fix* fix : sections[section]) {
      text += fmt::format("# {}\n", fix->about);
      for (std::string line : fix->lines) {
        if (is_there)
          for (std::size_t at = 0; at != line.npos; at = line.find('\n', at + 1)) line.insert(at == 0 ? 0 : at + 1, "# ");
        text += line + "\n";
      }
    }
  }
  return text;
}

}  // namespace deskhand
