// deskhand index: closed tickets become cases with vectors; then the weights of model and votes are fitted on held-out tickets.
#include <CLI/CLI.hpp>
#include <memory>

#include "deskhand/app/answering.h"
#include "deskhand/app/desk_adapter.h"
#include "deskhand/app/draw_split.h"
#include "deskhand/app/erase_tickets.h"
#include "deskhand/app/fitted_weights.h"
#include "deskhand/app/model_hash.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/fetch/catalogue.h"
#include "deskhand/retrieve/parquet.h"
#include "deskhand/tickets/ticket_store.h"
#include "deskhand/triage/index_cases.h"

namespace deskhand {
namespace {

struct Options {
  std::filesystem::path export_folder;
  bool fit = true;
  bool force = false;
  ModelChoice models;
};

IndexReport index_desk(Desk& desk, const Globals& globals, const std::filesystem::path& export_folder, bool force) {
  Engine engine(globals, desk.settings.compute);
  const auto encoder = DeskEncoder::load(desk, globals, engine.models);
  const EncoderId id = encoder ? encoder->id() : EncoderId{};
  const IndexReport report = index_cases(desk.database, encoder ? &encoder->embedder() : nullptr, id, {.quiet = globals.quiet});
  if (!export_folder.empty()) {
    if (!encoder) throw Error(ExitCode::kUsage, "the desk has no encoder, so there are no vectors to export");
    CaseStore cases(desk.database);
    export_retriever_data(export_folder, cases, id, force);
    note_export(desk, export_folder, "retriever");
  }
  return report;
}

void fit(Desk& desk, const Globals& globals) {
  Answering answering(desk, globals);
  TicketStore store(desk.database);
  // From the tickets to learn from, so that the test tickets stay unseen; each is judged without its own case.
  const AnswerSettings& answer = desk.settings.answer;
  const auto held_out = draw_tickets(store.all(Part::kNotTest), answer.held_out, answer.seed);
  RetrieverSettings retrieval = desk.settings.retrieval;
  if (answering.encoder()) retrieval.encoder = answering.encoder()->id();
  const std::string& decoder = desk.settings.models.decoder;
  const std::string model = decoder.empty() ? "" : model_hash(desk.database, installed_model(globals.models, decoder));
  const std::string hash = fitting_hash(desk.database, {.desk = desk.settings,
                                                        .retrieval = retrieval,
                                                        .model_hash = model + answering.adapter_hash(),
                                                        .shown_cases = answer.cases,
                                                        .tickets = held_out});
  const Confidence confidence = fit_in_parts(desk.database, hash, answering.triager(), held_out, globals.quiet);
  keep_weights_of_index(desk.database, hash, confidence);
  keep_text(desk.database, "confidence_model", answering.model_id());
}

}  // namespace

std::function<void()> declare_index(CLI::App& sub, const Globals& globals) {
  const auto options = std::make_shared<Options>();
  sub.add_option("--export", options->export_folder, "write embeddings.npy and metadata.parquet into this folder");
  sub.add_flag("--force", options->force, "write over exported files that are there");
  options->models.declare(sub, "fit for another model than desk.toml's; none: for the cases alone");
  sub.add_flag("!--no-fit", options->fit, "leave the label weights as they are");
  sub.footer("Examples:\n  deskhand --desk mydesk index\n  deskhand --desk mydesk index --no-fit --export retriever_data");
  return [options, &globals] {
    Desk desk = Desk::open(globals);
    options->models.apply(desk.settings.models);
    const IndexReport report = index_desk(desk, globals, options->export_folder, options->force);
    const bool fits = options->fit && desk.settings.answer.held_out > 0;
    if (fits) fit(desk, globals);
    if (globals.json)
      fmt::print("{}\n", write_json({{"cases", report.cases},
                                     {"changed", report.changed},
                                     {"removed", report.removed},
                                     {"embedded", report.embedded},
                                     {"without_problem", report.without_problem},
                                     {"embed_s", report.embed_s},
                                     {"weights_fitted", fits}}));
    else
      fmt::print("{} cases: {} new or changed, {} removed, {} embedded; {}\n", report.cases, report.changed, report.removed,
                 report.embedded,
                 fits ? fmt::format("label weights fitted on {} held-out tickets", desk.settings.answer.held_out)
                      : "label weights left as they are");
  };
}

}  // namespace deskhand
