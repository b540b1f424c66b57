// deskhand perplexity MODEL TEXT: how well a model foretells a text, counted as llama.cpp does, for comparing engines and quantisations.
#include "deskhand/generate/perplexity.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "deskhand/app/command.h"
#include "deskhand/app/desk_adapter.h"
#include "deskhand/app/engine.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/fetch/catalogue.h"
#include "deskhand/generate/load_tokenizer.h"

namespace deskhand {
namespace {

struct Options {
  std::string model, adapter;
  std::filesystem::path text;
  int window = 512;
};

void measure(const Globals& globals, const Options& options) {
  const auto path = installed_model(globals.models, options.model);
  Engine engine(globals, Compute::kAuto);
  Decoder decoder =
      load_decoder(path, options.adapter.empty() ? std::filesystem::path() : installed_adapter(globals.desk, options.adapter));
  decoder.place(device_of(engine.models));
  const LoadedTokenizer loaded = load_tokenizer(path);
  std::vector<std::int32_t> tokens = loaded.tokenizer->encode(read_text_file(options.text));
  PerplexitySettings settings{.window = options.window};
  if (loaded.tokenizer->add_bos() && loaded.tokenizer->bos()) settings.bos = *loaded.tokenizer->bos();
  DecoderBuffers buffers = decoder.make_buffers({.tokens = options.window, .positions = options.window});
  const Perplexity found = perplexity(decoder, engine.models, buffers, tokens, settings);
  if (globals.json)
    fmt::print(
        "{}\n",
        write_json({{"perplexity", found.value()}, {"mean_nll", found.mean_nll}, {"tokens", found.tokens}, {"window", options.window}}));
  else
    fmt::print("perplexity {:.4f} over {} tokens, windows of {}\n", found.value(), found.tokens, options.window);
}

}  // namespace

std::function<void()> declare_perplexity(CLI::App& sub, const Globals& globals) {
  const auto options = std::make_shared<Options>();
  sub.add_option("MODEL", options->model, "a name of 'deskhand model list', a folder or a .gguf file")->required();
  sub.add_option("TEXT", options->text, "a text file")->required();
  sub.add_option("--adapter", options->adapter, "a run of the desk or an adapter's folder");
  sub.add_option("--window", options->window, "tokens of a window; the second half of each is counted")
      ->capture_default_str()
      ->check(CLI::Range(4, 131072));
  sub.footer("Example:\n  deskhand perplexity qwen2.5-coder-0.5b-instruct text.txt");
  return [options, &globals] { measure(globals, *options); };
}

}  // namespace deskhand
