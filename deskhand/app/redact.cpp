// deskhand redact: a text as the desk would read it; and the key that what marks stand for is sealed with.
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <iostream>
#include <iterator>
#include <memory>

#include "deskhand/app/desk.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"

namespace deskhand {
namespace {

struct Options {
  std::string text;
  std::filesystem::path key;
  bool clean = false;
};

// A file's contents, standard input for "-", else the text itself.
std::string text_of(const std::string& given) {
  if (given == "-") return {std::istreambuf_iterator<char>(std::cin), {}};
  std::error_code none;
  return std::filesystem::is_regular_file(given, none) ? read_text_file(given, std::size_t{64} << 20) : given;
}

void redact(const Globals& globals, const Options& options) {
  if (!options.key.empty()) {
    RedactVault::make_key(options.key);
    if (globals.json)
      fmt::print("{}\n", write_json({{"key", options.key.string()}}));
    else
      fmt::print(
          "a new key in {}; name it as redact.key in desk.toml, keep a copy apart from the desk: nothing opens the marks without it\n",
          options.key.string());
    if (options.text.empty()) return;
  }
  if (options.text.empty()) throw Error(ExitCode::kUsage, "nothing to redact: give a text, a file or '-', or --make-key FILE");
  // Without a desk, all kinds.
  const bool has_desk = std::filesystem::exists(globals.desk / "desk.toml");
  const CleanSettings settings =
      has_desk ? Desk::open(globals).settings.import.clean : CleanSettings(CleanStyle::kFull, RedactSettings::all());
  Cleaner cleaner(settings);
  const std::string text = text_of(options.text);
  cleaner.begin_ticket();
  cleaner.learn(text);
  const std::string redacted = options.clean ? cleaner.clean_part(text) : cleaner.redact(text);
  if (!globals.json) {
    fmt::print("{}\n", redacted);
    return;
  }
  Json marks = Json::object();
  if (cleaner.redactor())
    for (const auto& [mark, values] : cleaner.redactor()->marks()) marks[mark] = values;
  fmt::print("{}\n", write_json({{"text", redacted}, {"marks", marks}}));
}

void reveal(const Globals& globals, const std::vector<std::string>& tickets) {
  const Desk desk = Desk::open(globals);
  if (desk.settings.redact_key.empty())
    throw Error(ExitCode::kUsage, "{}: redact.key names no key, so what marks stand for is kept nowhere",
                (desk.folder / "desk.toml").string());
  if (!std::filesystem::exists(vault_file(desk)))
    throw Error(ExitCode::kNotFound, "nothing is kept yet; run: deskhand --desk {} prepare", globals.desk.string());
  RedactVault vault(vault_file(desk), desk.settings.redact_key);
  Json all = Json::object();
  for (const auto& ticket : tickets) {
    const auto marks = vault.find(ticket);
    if (!marks) throw Error(ExitCode::kNotFound, "no mark is kept of a ticket {}", ticket);
    Json one = Json::object();
    for (const auto& [mark, values] : *marks) {
      one[mark] = values;
      if (!globals.json) fmt::print("{}  [{}]  {}\n", ticket, mark, fmt::join(values, " | "));
    }
    all[ticket] = std::move(one);
  }
  if (globals.json) fmt::print("{}\n", write_json(all));
}

}  // namespace

std::function<void()> declare_redact(CLI::App& sub, const Globals& globals) {
  const auto options = std::make_shared<Options>();
  sub.add_option("TEXT", options->text, "a text, a file, or - for standard input");
  sub.add_flag("--clean", options->clean, "cut quoted mail, signatures and greetings too, as prepare and triage do");
  sub.add_option("--make-key", options->key, "write a new key into this file, readable by you alone");
  sub.footer(
      "Examples:\n  deskhand --desk mydesk redact \"Hi Anna, call me on +49 89 1234567\"\n  deskhand --desk mydesk --json redact "
      "ticket.txt\n"
      "  deskhand redact --make-key ~/keys/mydesk.key\nWhat is redacted stands in desk.toml, section [redact]; without a desk it is "
      "everything.");
  return [options, &globals] { redact(globals, *options); };
}

std::function<void()> declare_reveal(CLI::App& sub, const Globals& globals) {
  const auto tickets = std::make_shared<std::vector<std::string>>();
  sub.add_option("TICKET", *tickets, "ids")->required();
  sub.footer(
      "Example:\n  deskhand --desk mydesk reveal 184535\nOnly where desk.toml names a key (redact.key) was anything kept; without that key "
      "nothing "
      "can be revealed.");
  return [tickets, &globals] { reveal(globals, *tickets); };
}

}  // namespace deskhand
