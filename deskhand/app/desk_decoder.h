// A language model set up to answer this desk's tickets: decoder, tokenizer, generator, and the questions asked of them.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "deskhand/app/settings.h"
#include "deskhand/generate/generator.h"
#include "deskhand/generate/load_tokenizer.h"
#include "deskhand/triage/generator_model.h"

namespace deskhand {

class DeskDecoder {
 public:
  // categories: the labels it chooses from. Throws as Decoder::load and load_tokenizer do.
  DeskDecoder(const std::filesystem::path& path, const DeskSettings& settings, const Backend& on,
              const std::vector<std::string>& categories);
  DeskDecoder(const DeskDecoder&) = delete;  // its parts point at one another
  DeskDecoder& operator=(const DeskDecoder&) = delete;

  AnswerModel& model() { return asked_; }

 private:
  Decoder decoder_;
  LoadedTokenizer tokenizer_;
  Generator generator_;
  GeneratorModel asked_;
};

// What the model is told before cases and ticket.
PromptSettings prompt_settings(const DeskSettings& settings, const std::vector<std::string>& categories);

}  // namespace deskhand
