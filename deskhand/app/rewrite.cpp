// deskhand rewrite: CLEAN_PROBLEM and RESOLUTION_SUMMARY, by the language model or from the tickets' own sentences.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "deskhand/app/answering.h"
#include "deskhand/app/desk_adapter.h"
#include "deskhand/app/model_hash.h"
#include "deskhand/base/error.h"
#include "deskhand/fetch/catalogue.h"
#include "deskhand/triage/generator_rewriter.h"

namespace deskhand {
namespace {

struct Options {
  bool extract = false;
  std::int64_t limit = 0;
  int batch = 8;
  ModelChoice models;
};

constexpr std::int64_t kLongest = 4096;  // tokens of a ticket with instruction and answer; a longer one stays as it was cleaned

// The desk's decoder, set up to write.
class Writer {
 public:
  Writer(Desk& desk, const Globals& globals, int batch)
      : engine_(globals, desk.settings.compute),
        files_(DeskDecoder::find(desk, globals, desk.settings.models)),
        decoder_(placed(load_decoder(files_.model, files_.adapter), engine_.models)),
        tokenizer_(load_tokenizer(files_.model)),
        generator_(decoder_, *tokenizer_.tokenizer, engine_.models, settings(batch)),
        rewriter_(generator_, *tokenizer_.tokenizer, tokenizer_.chat ? &*tokenizer_.chat : nullptr,
                  model_hash(desk.database, files_.model) + " " + files_.adapter_id) {}
  RewriteModel& model() { return rewriter_; }

 private:
  static Decoder placed(Decoder decoder, const Backend& on) {
    decoder.place(device_of(on));
    return decoder;
  }
  GeneratorSettings settings(int batch) const {
    GeneratorSettings made;
    const auto longest = std::min<std::int64_t>(decoder_.config().max_positions, kLongest);
    made.limits = {.tokens = 512, .positions = longest};
    made.cache.tokens = longest + 1024 * batch;
    made.together = batch;
    return made;
  }

  Engine engine_;
  DeskDecoder::Files files_;
  Decoder decoder_;
  LoadedTokenizer tokenizer_;
  Generator generator_;
  GeneratorRewriter rewriter_;
};

void rewrite(const Globals& globals, const Options& options) {
  Desk desk = Desk::open(globals);
  options.models.apply(desk.settings.models);
  const bool by_model = !options.extract && !desk.settings.models.decoder.empty();
  const auto writer = by_model ? std::make_unique<Writer>(desk, globals, options.batch) : nullptr;
  const RewriteReport report = rewrite_tickets(desk.database, writer ? &writer->model() : nullptr,
                                               {.clean = desk.settings.import.clean,
                                                .batch = static_cast<std::size_t>(options.batch),
                                                .limit = options.limit,
                                                .quiet = globals.quiet});
  fmt::print("{}", globals.json ? report.json() + "\n" : report.text());
  if (!globals.json) fmt::print("next: deskhand --desk {} index, which embeds what changed\n", globals.desk.string());
}

}  // namespace

std::function<void()> declare_rewrite(CLI::App& sub, const Globals& globals) {
  const auto options = std::make_shared<Options>();
  sub.add_flag("--extract", options->extract, "choose sentences of the texts themselves, without a model");
  sub.add_option("--limit", options->limit, "so many tickets, the oldest first; 0: all")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  sub.add_option("--batch", options->batch, "texts written at a time")->capture_default_str()->check(CLI::Range(1, 64));
  options->models.declare(sub, "write with another model than desk.toml's; none: as --extract");
  sub.footer(
      "Examples:\n  deskhand --desk mydesk rewrite --limit 20\n  deskhand --desk mydesk rewrite\n  deskhand --desk mydesk rewrite "
      "--extract\n"
      "Problem under 80 words, resolution under 100. What refuses, loops, names somebody or has a number that its source lacks is counted "
      "and not kept: "
      "the cleaned text stands. Ctrl-C loses nothing that was written; a second run asks only for what is new.");
  return [options, &globals] { rewrite(globals, *options); };
}

}  // namespace deskhand
