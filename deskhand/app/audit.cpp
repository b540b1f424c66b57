// deskhand audit: what is wrong with the desk's tickets before anybody learns from them, and the lines for desk.toml that mend it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "deskhand/app/desk.h"
#include "deskhand/app/erase_tickets.h"
#include "deskhand/base/atomic_file.h"
#include "deskhand/base/clock.h"
#include "deskhand/base/error.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/report/audit_report.h"
#include "deskhand/tickets/ticket_store.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;

struct Options {
  AuditSettings audit;
  fs::path folder, fixes;
  bool texts = true, strict = false, force = false;
};

void audit(const Globals& globals, Options options) {
  Desk desk = Desk::open(globals);
  const std::vector<Ticket> tickets = TicketStore(desk.database).all();
  if (tickets.empty())
    throw Error(ExitCode::kNotFound, "the desk has no tickets yet; run: deskhand --desk {} prepare", desk.folder.string());
  if (!options.fixes.empty() && fs::exists(options.fixes) && !options.force)
    throw Error(ExitCode::kCannotWrite, "{} exists; --force replaces it", options.fixes.string());
  options.audit.encoder = desk.settings.models.encoder;
  options.audit.quiet = globals.quiet;
  options.audit.bootstrap.resamples = desk.settings.evaluate.resamples;
  ThreadPool pool(globals.threads);
  Audit found = audit_desk(tickets, desk.settings.import, options.audit, pool);
  found.desk = desk.settings.name, found.made = utc_now(), found.version = DESKHAND_VERSION;

  AuditReportOptions report{.present = settings_sections(read_text_file(desk.folder / "desk.toml")),
                            .texts = options.texts,
                            .force = options.force,
                            .commands = {fmt::format("deskhand --desk {} audit", desk.folder.filename().string())}};
  if (!options.folder.empty()) {
    write_audit(options.folder, found, report);
    note_export(desk, options.folder, "audit");
  }
  const std::string fixes = fixes_toml(found, report.present);
  if (!options.fixes.empty()) {
    note_export(desk, options.fixes, "fixes");
    write_file_atomically(options.fixes, fixes);
  }
  if (globals.json) {
    fmt::print("{}", audit_json(found, report));
  } else {
    fmt::print("{}", audit_text(found, report));
    if (!options.fixes.empty()) fmt::print("\nThe proposed lines are in {}\n", options.fixes.string());
    if (!options.folder.empty()) fmt::print("\nThe page: {}\n", (options.folder / "index.html").string());
  }
  const auto mend =
      std::count_if(found.findings.begin(), found.findings.end(), [](const auto& f) { return f.severity == Severity::kMend; });
  if (options.strict && mend > 0) throw Error(ExitCode::kBadInput, "{} of the findings must be mended (--strict)", mend);
}

}  // namespace

std::function<void()> declare_audit(CLI::App& sub, const Globals& globals) {
  const auto options = std::make_shared<Options>();
  sub.add_option("--out", options->folder, "also write a page with tables and charts into this folder; it opens without any network");
  sub.add_option("--fixes", options->fixes, "write the proposed lines into this file, to be appended to desk.toml");
  sub.add_option("--rare", options->audit.rare, "a class of fewer tickets is rare")->capture_default_str()->check(CLI::Range(2, 1000000));
  sub.add_option("--sample", options->audit.sample, "tickets, at most, that the prediction of labels is measured on")
      ->capture_default_str()
      ->check(CLI::Range(100, 1000000));
  sub.add_option("--alike", options->audit.near_identical, "share of word sequences in common from which two problems must have one label")
      ->capture_default_str()
      ->check(CLI::Range(0.3, 1.0));
  sub.add_flag("--texts,!--no-texts", options->texts, "quote tickets as evidence, or show ids, labels and figures alone");
  sub.add_flag("--strict", options->strict, "end with exit code 3 where something must be mended: for scripts");
  sub.add_flag("--force", options->force, "write over a page or file that is there");
  sub.footer(
      "Examples:\n  deskhand --desk mydesk audit\n  deskhand --desk mydesk audit --out audit-page --no-texts\n  deskhand --desk mydesk "
      "audit "
      "--fixes fixes.toml && cat fixes.toml >> mydesk/desk.toml && deskhand --desk mydesk prepare\n"
      "The first sentence is what a manager should know. Exit codes: 0 looked through, whatever was found; 3 with --strict and something "
      "to "
      "mend; 4 no tickets yet; 5 cannot write.");
  return [options, &globals] { audit(globals, *options); };
}

}  // namespace deskhand
