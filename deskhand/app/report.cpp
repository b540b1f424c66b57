// deskhand report: the folder of an evaluation, drawn again from what the desk keeps.
#include "deskhand/report/report.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

#include "deskhand/app/evaluation_record.h"
#include "deskhand/base/json.h"

namespace deskhand {
namespace {

struct Options {
  std::string name;
  std::filesystem::path folder;
  std::optional<bool> texts;  // not given: as the evaluation was made
  bool force = false;
};

void report(const Globals& globals, const Options& options) {
  Desk desk = Desk::open(globals);
  const EvaluationRecord record = load_evaluation(desk, options.name);
  const auto folder = options.folder.empty() ? evaluation_folder(desk, record.evaluation.name) / "report" : options.folder;
  write_report(
      folder, record.evaluation, record.splits,
      {.texts = options.texts.value_or(record.texts),
       .force = options.force || options.folder.empty(),
       .commands = {fmt::format("deskhand --desk {} evaluate --name {}", desk.folder.filename().string(), record.evaluation.name)}});
  if (globals.json)
    fmt::print("{}\n", write_json({{"evaluation", record.evaluation.name}, {"report", (folder / "index.html").string()}}));
  else
    fmt::print("{}\nThe report: {}\n", summary_text(record.evaluation), (folder / "index.html").string());
}

}  // namespace

std::function<void()> declare_report(CLI::App& sub, const Globals& globals) {
  const auto options = std::make_shared<Options>();
  sub.add_option("NAME", options->name, "the evaluation; the latest if not given");
  sub.add_option("--out", options->folder, "where the report goes; evaluations/NAME/report in the desk's folder if not given");
  sub.add_flag("--texts,!--no-texts", options->texts,
               "with the tickets' texts, or figures alone, to be passed on; as the evaluation was made if not given");
  sub.add_flag("--force", options->force, "write over a report that is there");
  sub.footer("Examples:\n  deskhand --desk mydesk report\n  deskhand --desk mydesk report --no-texts --out for-the-board");
  return [options, &globals] { report(globals, *options); };
}

}  // namespace deskhand
