#include "deskhand/triage/generator_model.h"

#include <algorithm>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

using Outcome = Expected<ModelAnswer, std::string>;

ModelAnswer model_answer(const Answer& answer) {
  return {.urgency = answer.distributions.fields.at(0).p,
          .category = answer.distributions.fields.at(1).p,
          .resolution = answer.text,
          .is_cut = answer.cut_short,
          .prompt_tokens = answer.statistics.prompt_tokens,
          .cached_tokens = answer.statistics.cached_tokens,
          .new_tokens = answer.statistics.new_tokens};
}

}  // namespace

GeneratorModel::GeneratorModel(Generator& generator, const Tokenizer& tokenizer, const ChatTemplate* chat, GeneratorModelSettings settings)
    : generator_(generator), tokenizer_(tokenizer), chat_(chat), settings_(std::move(settings)) {
  if (settings_.prompt.categories.empty())
    throw Error(ExitCode::kUsage, "a model can only choose among the desk's categories, and there are none");
  settings_.prompt.context_tokens = generator_.model().source().positions() - settings_.max_new_tokens;
  if (settings_.prompt.context_tokens < 1)
    throw Error(ExitCode::kUsage, "max_new_tokens is {}, the model reads {} tokens in all; allow fewer", settings_.max_new_tokens,
                generator_.model().source().positions());
}

AnswerSchema GeneratorModel::schema(bool labels_only) const {
  AnswerSchema schema;
  std::vector<std::string> urgencies;
  for (int urgency = kMinUrgency; urgency <= kMaxUrgency; ++urgency) urgencies.push_back(std::to_string(urgency));
  schema.fields.push_back({std::string(kUrgencyKey), AnswerField::Kind::kInteger, urgencies});
  schema.fields.push_back({std::string(kCategoryKey), AnswerField::Kind::kLabel, settings_.prompt.categories});
  if (!labels_only) schema.fields.push_back({std::string(kResolutionKey), AnswerField::Kind::kText, {}, settings_.max_resolution_bytes});
  return schema;
}

Generator::Request GeneratorModel::request(const Question& question, Prompt prompt) const {
  Generator::Request request{.prompt = std::move(prompt.ids), .schema = schema(question.labels_only)};
  request.options.max_new_tokens = settings_.max_new_tokens;
  request.options.sampler = settings_.sampler;
  request.options.adapter_id = settings_.adapter_id;
  request.options.decide = [&question](const ChoiceDistributions& known) {
    return std::vector<std::int32_t>{static_cast<std::int32_t>(question.decide(LabelKind::kUrgency, known.fields.at(0).p)),
                                     static_cast<std::int32_t>(question.decide(LabelKind::kCategory, known.fields.at(1).p))};
  };
  return request;
}

std::vector<Outcome> GeneratorModel::answer(std::span<const Question> questions) {
  std::vector<Outcome> outcomes(questions.size(), Outcome(Unexpected{std::string("not asked")}));
  std::vector<Generator::Request> requests;
  std::vector<std::size_t> places;  // of each request among the questions
  const auto keep_or_throw = [&](std::size_t place, const Error& error) {
    if (error.code() == ExitCode::kInterrupted) throw error;
    outcomes[place] = Outcome(Unexpected{std::string(error.what())});
  };
  for (std::size_t i = 0; i < questions.size(); ++i) {
    try {
      requests.push_back(request(questions[i], write_prompt(questions[i].query, questions[i].cases, settings_.prompt, tokenizer_, chat_)));
      places.push_back(i);
    } catch (const Error& error) {
      keep_or_throw(i, error);
    }
  }
  try {
    generator_.answer_all(requests, [&](std::size_t r, const Answer& answer) { outcomes[places[r]] = model_answer(answer); });
  } catch (const Error& error) {  // one that cannot be answered must not take the others with it: those are asked one by one
    if (error.code() == ExitCode::kInterrupted) throw;
    for (std::size_t r = 0; r < requests.size(); ++r) {
      if (outcomes[places[r]]) continue;
      try {
        outcomes[places[r]] = model_answer(generator_.answer(requests[r].prompt, requests[r].schema, requests[r].options));
      } catch (const Error& alone) {
        keep_or_throw(places[r], alone);
      }
    }
  }
  return outcomes;
}

}  // namespace deskhand
