#include "deskhand/app/desk_decoder.h"

#include <algorithm>
#include <utility>

#include "deskhand/app/desk_adapter.h"
#include "deskhand/fetch/catalogue.h"

namespace deskhand {
namespace {

GeneratorSettings generator_settings(const Decoder& decoder, const DeskSettings& settings) {
  GeneratorSettings made;
  const std::int64_t longest =
      std::min<std::int64_t>(decoder.config().max_positions, settings.answer.max_prompt_tokens + 1024 + settings.answer.max_new_tokens);
  made.limits = {.tokens = 512, .positions = longest};
  made.cache.tokens = longest + 2048;
  made.model_id = settings.models.decoder;
  return made;
}

Decoder placed_on(const Backend& on, Decoder decoder) {
  decoder.place(device_of(on));
  return decoder;
}

GeneratorModelSettings model_settings(const DeskSettings& settings, const std::vector<std::string>& categories,
                                      const std::string& adapter_id, bool has_chat) {
  GeneratorModelSettings made;
  made.prompt = prompt_settings(settings, categories);
  made.max_new_tokens = settings.answer.max_new_tokens;
  made.sampler.temperature = static_cast<float>(settings.answer.temperature);
  made.sampler.top_p = static_cast<float>(settings.answer.top_p);
  made.sampler.seed = static_cast<std::uint64_t>(settings.answer.seed);
  if (!has_chat) made.prompt.style = PromptStyle::kInstruction;
  made.adapter_id = adapter_id;
  return made;
}

}  // namespace

PromptSettings prompt_settings(const DeskSettings& settings, const std::vector<std::string>& categories) {
  PromptSettings made;
  made.categories = categories;
  made.max_prompt_tokens = settings.answer.max_prompt_tokens;
  for (std::size_t i = 0; i < settings.answer.urgency_meanings.size(); ++i) made.urgency_meanings[i] = settings.answer.urgency_meanings[i];
  return made;
}

DeskDecoder::Files DeskDecoder::find(Desk& desk, const Globals& globals, const ModelSettings& models) {
  if (models.decoder.empty()) return {};
  Files files{.model = installed_model(globals.models, models.decoder)};
  if (models.adapter.empty()) return files;
  files.adapter = installed_adapter(desk.folder, models.adapter);
  files.adapter_id = adapter_hash(desk.database, files.adapter);
  files.warning = other_base(desk.database, files.model, files.adapter);
  return files;
}

DeskDecoder::DeskDecoder(const Files& files, const DeskSettings& settings, const Backend& on, const std::vector<std::string>& categories)
    : DeskDecoder(load_decoder(files.model, files.adapter), load_tokenizer(files.model), settings, on, categories, files.adapter_id) {}

DeskDecoder::DeskDecoder(Decoder decoder, LoadedTokenizer tokenizer, const DeskSettings& settings, const Backend& on,
                         const std::vector<std::string>& categories, const std::string& adapter_id)
    : decoder_(placed_on(on, std::move(decoder))),
      tokenizer_(std::move(tokenizer)),
      generator_(decoder_, *tokenizer_.tokenizer, on, generator_settings(decoder_, settings)),
      asked_(generator_, *tokenizer_.tokenizer, tokenizer_.chat ? &*tokenizer_.chat : nullptr,
             model_settings(settings, categories, adapter_id, tokenizer_.chat.has_value())) {}

}  // namespace deskhand
