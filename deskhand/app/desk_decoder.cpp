#include "deskhand/app/desk_decoder.h"

#include <algorithm>
#include <utility>

#include "deskhand/app/desk_adapter.h"
#include "deskhand/fetch/catalogue.h"
#include "deskhand/tensor/cuda/context.h"
#include "deskhand/triage/triager.h"

namespace deskhand {
namespace {

constexpr std::int64_t kTogetherOnGpu = 32;  // a step over so many answers takes a GPU little longer than over one
constexpr std::int64_t kRest = 512ll << 20;  // of the memory that the weights leave free: a pass's buffers, logits, scratch
constexpr std::int64_t kCacheShare = 2;      // of what is left then at most this part holds keys and values

// On the GPU many answers are written at once, as far as their keys and values fit.
void widen_for_gpu(GeneratorSettings& made, const Decoder& decoder, const Backend& on) {
  const DecoderConfig& config = decoder.config();
  const std::int64_t token_bytes = 2 * config.layers * config.kv_width() * static_cast<std::int64_t>(sizeof(std::uint16_t));
  const std::int64_t most = (static_cast<std::int64_t>(on.cuda->free_bytes()) - kRest) / (kCacheShare * token_bytes);
  const std::int64_t together = std::clamp<std::int64_t>(most / made.limits.positions, 1, kTogetherOnGpu);
  made.together = static_cast<std::int32_t>(together);
  made.cache.tokens = std::max(made.cache.tokens, together * made.limits.positions);
  made.limits.tokens = std::max<std::int64_t>(made.limits.tokens, std::min<std::int64_t>(made.limits.positions, 2048));
}

GeneratorSettings generator_settings(const Decoder& decoder, const DeskSettings& settings, const Backend& on) {
  GeneratorSettings made;
  const std::int64_t longest =
      std::min<std::int64_t>(decoder.config().max_positions, settings.answer.max_prompt_tokens + 1024 + settings.answer.max_new_tokens);
  made.limits = {.tokens = 512, .positions = longest};
  made.cache.tokens = longest + 2048;
  made.model_id = settings.models.decoder;
  if (on.kind == Backend::Kind::kCuda) widen_for_gpu(made, decoder, on);
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

std::int64_t tickets_at_a_time(const Backend& on) {
  constexpr std::int64_t kBatches = 4;  // where an answer is done another is begun: the last ones of a batch are alone
  return on.kind == Backend::Kind::kCuda ? kBatches * kTogetherOnGpu : TriageSettings{}.batch;
}

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
      generator_(decoder_, *tokenizer_.tokenizer, on, generator_settings(decoder_, settings, on)),
      asked_(generator_, *tokenizer_.tokenizer, tokenizer_.chat ? &*tokenizer_.chat : nullptr,
             model_settings(settings, categories, adapter_id, tokenizer_.chat.has_value())) {}

}  // namespace deskhand
