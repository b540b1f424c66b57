// A language model set up to answer this desk's tickets: decoder, tokenizer, generator, and the questions asked of them.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "deskhand/app/desk.h"
#include "deskhand/app/settings.h"
#include "deskhand/generate/generator.h"
#include "deskhand/generate/load_tokenizer.h"
#include "deskhand/triage/generator_model.h"

namespace deskhand {

class DeskDecoder {
 public:
  // What it is loaded from; an empty adapter is none, its id is what remembered prompts are kept under.
  struct Files {
    std::filesystem::path model, adapter;
    std::string adapter_id;
    std::string warning;  // other_base's
  };
  // Those that `models` names; none where it names no decoder. Throws as installed_model and installed_adapter do.
  static Files find(Desk& desk, const Globals& globals, const ModelSettings& models);
  // categories: the labels it chooses from. Throws as load_decoder and load_tokenizer do.
  DeskDecoder(const Files& files, const DeskSettings& settings, const Backend& on, const std::vector<std::string>& categories);
  // Of parts that are loaded already. A model without a chat template is asked in plain instruction form.
  DeskDecoder(Decoder decoder, LoadedTokenizer tokenizer, const DeskSettings& settings, const Backend& on,
              const std::vector<std::string>& categories, const std::string& adapter_id = "");
  DeskDecoder(const DeskDecoder&) = delete;  // its parts point at one another
  DeskDecoder& operator=(const DeskDecoder&) = delete;

  AnswerModel& model() { return asked_; }
  const Decoder& decoder() const { return decoder_; }
  const LoadedTokenizer& tokenizer() const { return tokenizer_; }

 private:
  Decoder decoder_;
  LoadedTokenizer tokenizer_;
  Generator generator_;
  GeneratorModel asked_;
};

// Tickets that a model there is well asked about at a time.
std::int64_t tickets_at_a_time(const Backend& on);

// What the model is told before cases and ticket.
PromptSettings prompt_settings(const DeskSettings& settings, const std::vector<std::string>& categories);

}  // namespace deskhand
