#include "deskhand/train/model_card.h"

#include <algorithm>
#include <cmath>

#include "deskhand/base/error.h"
#include "deskhand/base/progress.h"

namespace deskhand {
namespace {

// A text inside a table or a YAML value: one line, nothing that ends the cell or the quotes.
std::string tame(std::string_view text) {
  std::string tamed;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20)
      tamed += ' ';
    else if (c == '|')
      tamed += "\\|";
    else if (c == '`' || c == '<' || c == '>')
      tamed += '\'';
    else
      tamed += c;
  }
  return tamed;
}

std::string yaml_text(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return quoted + '"';
}

std::string number(double value) {
  return std::isfinite(value) ? fmt::format("{:.4g}", value) : "not a number";
}

std::string front_matter(const ModelCard& card) {
  std::string text = "---\n";
  if (!card.base_licence.empty()) text += fmt::format("license: {}\n", yaml_text(card.base_licence));
  text += fmt::format("base_model: {}\nlibrary_name: {}\npipeline_tag: text-generation\ntags:\n- deskhand\n- {}\n---\n\n",
                      yaml_text(card.info.base_model), card.recipe.method == Method::kFull ? "transformers" : "peft",
                      name_of(card.recipe.method));
  return text;
}

std::string row(std::string_view name, const std::string& value) {
  return fmt::format("| {} | {} |\n", name, value);
}

std::string method_sentence(const ModelCard& card) {
  const Recipe& r = card.recipe;
  const std::string pairs = fmt::format("LoRA of rank {}, alpha {:g}{}, dropout {:g} on {}", r.lora.r, r.lora.alpha,
                                        r.lora.rank_stabilised ? " (rank-stabilised)" : "", r.lora.dropout,
                                        tame(fmt::format("{}", fmt::join(r.lora.targets, ", "))));
  switch (r.method) {
    case Method::kLora:
      return pairs;
    case Method::kHybrid:
      return pairs + "; head and norms trained as they are";
    case Method::kFull:
      return "every weight";
  }
  return "";
}

std::string share(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? fmt::format(" ({:.2f} %)", 100.0 * static_cast<double>(part) / static_cast<double>(whole)) : "";
}

std::string settings_table(const ModelCard& card) {
  const Recipe& r = card.recipe;
  const RunInfo& info = card.info;
  std::string text = "| | |\n|---|---|\n";
  text += row("base model", fmt::format("{}, SHA-256 {}", tame(info.base_model), tame(info.base_hash)));
  text += row("trained", method_sentence(card));
  text += row("parameters", fmt::format("{}{}", info.trained_parameters, share(info.trained_parameters, info.all_parameters)));
  text += row("data", fmt::format("{}; {} examples, {} more for evaluation; SHA-256 {}", tame(info.data), info.train_examples,
                                  info.validation_examples, tame(info.data_hash)));
  text += row("texts",
              fmt::format("{}, {} retrieved cases, loss on {}{}, at most {} tokens",
                          r.data.format == TrainingFormat::kTriage ? "triage's own prompts" : "the plain instruction form", r.data.cases,
                          r.data.loss_on == LossOn::kAnswer ? "the answer" : "everything",
                          r.data.label_weight == 1 ? "" : fmt::format(" (labels {:g} times)", r.data.label_weight), r.data.max_tokens));
  text += row("cut", fmt::format("{} examples ({} tokens), {} of them in their answer; the longest had {} tokens", card.cut.examples,
                                 card.cut.tokens, card.cut.answers, card.cut.longest_tokens));
  text += row("optimizer",
              fmt::format("AdamW, learning rate {:g}, {} schedule, weight decay {:g}, gradients clipped to {:g}", r.optimizer.learning_rate,
                          name_of(r.schedule.kind), r.optimizer.weight_decay, r.optimizer.max_grad_norm));
  text += row("steps",
              fmt::format("{} of {}, {} skipped; {:g} epochs, seed {}", card.steps,
                          r.data.batch > 0 ? fmt::format("{} examples", r.data.batch) : fmt::format("{} full passes", r.data.step_passes),
                          card.skipped, r.run.epochs, r.run.seed));
  text += row("tokens read", fmt::format("{} in {}", card.num_tokens, human_duration(card.seconds)));
  text += row("recipe", fmt::format("{}, SHA-256 {}", tame(info.recipe_name), tame(info.recipe_hash)));
  text += row("made by", fmt::format("deskhand {}, {} to {}", tame(info.version), tame(info.started), tame(info.finished)));
  return text;
}

std::string figures_table(const ModelCard& card) {
  std::string text = "| | loss | token accuracy | entropy |\n|---|---|---|---|\n";
  const auto add = [&](const std::string& name, double loss, double accuracy, std::optional<double> entropy) {
    text += fmt::format("| {} | {} | {} | {} |\n", name, number(loss), number(accuracy), entropy ? number(*entropy) : "");
  };
  add("training, mean of all steps", card.mean_train_loss, card.mean_train_accuracy, {});
  if (card.last_step) add("training, last step", card.last_step->loss, card.last_step->mean_token_accuracy, card.last_step->entropy);
  const auto evaluation = [&](const char* which, const EvalRecord& e) {
    add(fmt::format("evaluation, {} (step {})", which, e.step), e.loss, e.mean_token_accuracy, e.entropy);
  };
  if (card.first_evaluation) evaluation("first", *card.first_evaluation);
  if (card.best_evaluation) evaluation("best", *card.best_evaluation);
  if (card.figures.empty()) return text;
  text += "\n| measured on held-out tickets | |\n|---|---|\n";
  for (const auto& [name, value] : card.figures) text += row(tame(name), tame(value));
  return text;
}

std::string usage(const ModelCard& card) {
  std::string text = "## Use\n\n";
  if (card.recipe.method == Method::kFull) return text + "`model/` is a Hugging Face folder of the whole model.\n";
  return text +
         "`adapter/` is a PEFT adapter:\n\n```python\nfrom peft import PeftModel\nmodel = PeftModel.from_pretrained(base, "
         "\"adapter\")\n```\n";
}

}  // namespace

std::string write_model_card(const ModelCard& card) {
  std::string text = front_matter(card);
  text += fmt::format("# {}\n\n", tame(card.info.name));
  text += fmt::format(
      "Answers tickets of one support desk: urgency, category and resolution. Fine-tuned from {} on closed tickets of that desk; "
      "it may repeat what those tickets say, so share it as you would share them.\n\n",
      tame(card.info.base_model));
  text += "## Training\n\n" + settings_table(card) + "\n## Figures\n\n" + figures_table(card) + "\n";
  if (!card.warnings.empty()) {
    text += "## Warnings\n\n";
    for (const std::string& warning : card.warnings) text += "- " + tame(warning) + "\n";
    text += "\n";
  }
  return text + usage(card);
}

}  // namespace deskhand
