// deskhand export SOURCE --to OUT: what was trained, in the forms that other programs read; verified against what was trained.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "deskhand/app/desk_adapter.h"
#include "deskhand/app/tokenizer_files.h"
#include "deskhand/app/verify_export.h"
#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "deskhand/base/interrupt.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/base/progress.h"
#include "deskhand/fetch/catalogue.h"
#include "deskhand/train/adapt.h"
#include "deskhand/train/export_gguf.h"
#include "deskhand/train/merge.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string source, format = "merged", type, base, name;
  fs::path to;
  int texts = 6;
  bool verify = false, force = false;
};

// What is exported: a model, and the adapter beside it.
struct Source {
  fs::path model, adapter;  // adapter empty: the model alone
  std::string name;
};

std::string base_named_by(const fs::path& adapter) {
  if (const auto run = run_of_adapter(adapter)) return run->base_model;
  const fs::path config = adapter / "adapter_config.json";
  if (!fs::exists(config)) return "";
  const Json json = parse_json(read_text_file(config, 1 << 24), config.string());
  return json.is_object() && json.contains("base_model_name_or_path") && json["base_model_name_or_path"].is_string()
             ? json["base_model_name_or_path"].get<std::string>()
             : "";
}

fs::path base_of(const Globals& globals, const Options& options, const fs::path& adapter) {
  const std::string name = options.base.empty() ? base_named_by(adapter) : options.base;
  if (name.empty()) throw Error(ExitCode::kUsage, "{} does not name its base model; give it with --base", adapter.string());
  try {
    return installed_model(globals.models, name);
  } catch (const Error& error) {
    if (!options.base.empty()) throw;
    throw Error(error.code(), "{} names '{}' as its base model, which is not here; give it with --base", adapter.string(), name);
  }
}

Source source_of(const Globals& globals, const Options& options) {
  const fs::path path(options.source);
  const std::string name = options.name.empty() ? fs::absolute(path).lexically_normal().filename().string() : options.name;
  for (const fs::path& folder : {globals.desk / "runs" / path, path}) {
    if (!fs::is_directory(folder)) continue;
    if (fs::exists(folder / "model" / "config.json") && !fs::exists(folder / "adapter")) return {folder / "model", {}, name};
    if (fs::exists(folder / "run.json") || fs::is_directory(folder / "adapter") || holds_adapter(folder)) {
      const fs::path adapter = installed_adapter(globals.desk, folder.string());
      read_adapter(adapter);  // a broken one is said before the base is looked for
      return {base_of(globals, options, adapter), adapter, name};
    }
  }
  if (!options.base.empty()) throw Error(ExitCode::kUsage, "--base is for adapters; {} is none", options.source);
  return {installed_model(globals.models, options.source), {}, name};
}

DType type_of(const Options& options) {
  const std::string name = !options.type.empty()        ? options.type
                           : options.format == "merged" ? "bf16"
                           : options.format == "gguf"   ? "f16"
                                                        : "f32";
  if (name.starts_with('q') && options.format != "gguf")
    throw Error(ExitCode::kUsage, "{} is a type of --format gguf alone; {} takes f32, f16 or bf16", name, options.format);
  if (name == "q8_0") return DType::kQ8_0;
  if (name == "q4_0") return DType::kQ4_0;
  return name == "f32" ? DType::kF32 : name == "f16" ? DType::kF16 : DType::kBF16;
}

void write_gguf(const Backend& on, const Decoder& base, const Adapter& adapter, const Source& source, const fs::path& out, DType stored,
                bool quiet) {
  Progress progress({.what = fmt::format("writing {}", out.filename().string()),
                     .total = gguf_model_bytes(base, adapter, stored),
                     .kind = Progress::Unit::kBytes,
                     .quiet = quiet});
  GgufModelOptions options{.stored = stored, .name = source.adapter.empty() && base.gguf() ? "" : source.name};
  if (!base.gguf()) {
    if (fs::exists(source.model / "tokenizer.json")) {
      PortableTokenizer tokenizer = read_portable_tokenizer(source.model);
      options.tokenizer = std::move(tokenizer.tables);
      options.chat_template = std::move(tokenizer.chat_template);
    } else {
      throw Error(ExitCode::kNotFound, "{} has no tokenizer.json, without which a GGUF can read no text", source.model.string());
    }
  }
  options.written = [&](std::int64_t bytes) {
    check_interrupt();
    progress.advance(bytes);
  };
  write_gguf_model(on, base, adapter, out, options);
  progress.finish();
}

void write_folder(const Backend& on, const Decoder& base, const Adapter& adapter, const Source& source, const fs::path& out, DType stored,
                  bool quiet) {
  std::int64_t total = 0;
  for (const auto& [name, shape] : tensor_shapes(base.config()))
    if (name != "lm_head.weight" || has_own_head(base.config(), adapter)) total += shape.elements() * block_bytes(stored);
  Progress progress(
      {.what = fmt::format("merging into {}", out.filename().string()), .total = total, .kind = Progress::Unit::kBytes, .quiet = quiet});
  write_merged(on, base, adapter, out, stored, std::int64_t{2} << 30, [&](std::int64_t bytes) {
    check_interrupt();
    progress.advance(bytes);
  });
  if (const std::string fault = write_tokenizer_files(base, source.model, out); !fault.empty()) fmt::print(stderr, "{}\n", fault);
  progress.finish();
}

void discard(const fs::path& path) {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

// Shards of an earlier export must not stand beside the new ones.
void clear_model(const fs::path& folder) {
  std::vector<fs::path> old;
  for (const auto& entry : fs::directory_iterator(folder))
    if (const std::string name = entry.path().filename().string();
        name.starts_with("model") && (name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json")))
      old.push_back(entry.path());
  for (const fs::path& path : old) discard(path);
}

// A new folder goes again where its making ended early.
struct HalfWritten {
  fs::path path;
  ~HalfWritten() {
    if (!path.empty()) discard(path);
  }
};

Json json_of(const VerifiedStage& stage, const Drift& drift) {
  return {{"stage", stage.name},
          {"largest", drift.largest},
          {"mean", drift.mean},
          {"relative", drift.relative},
          {"top1", drift.top1},
          {"label_probability", drift.labels},
          {"same_labels", drift.same_labels},
          {"fault", fault_of(drift, stage.stored)}};
}

// Prints the table; throws, with the output set aside, where a stage drifted.
void verify(const Globals& globals, const Options& options, const Source& source, const Decoder& base, const Adapter& adapter,
            DType stored) {
  const Engine engine(globals.threads, Compute::kF32);  // differences are the weights', not those of 8-bit inputs
  const ProbeTexts texts = probe_texts(globals, options.texts);
  const VerifiedStage trained{"trained", DType::kF32, [&] { return load_decoder(source.model, source.adapter); }, source.model};
  std::vector<VerifiedStage> stages;
  const auto read_back = [&](const std::string& name, DType type, const fs::path& path) {
    stages.push_back({fmt::format("{}, {}", name, dtype_name(type)), type, [path] { return Decoder::load(path); }, path});
  };
  fs::path between;
  struct Gone {
    const fs::path& path;
    ~Gone() { discard(path); }
  } gone{between};
  const fs::path out = options.to;
  if (options.format == "peft") {
    stages.push_back(
        {fmt::format("saved, {}", dtype_name(stored)), stored, [&source, out] { return load_decoder(source.model, out); }, source.model});
  } else if (options.format == "gguf-lora") {
    stages.push_back({fmt::format("saved, {}", dtype_name(stored)), stored,
                      [&source, out] {
                        Decoder decoder = Decoder::load(source.model);
                        use_adapter(decoder, read_gguf_lora(decoder.config(), out), out.string());
                        return decoder;
                      },
                      source.model});
  } else {
    const std::string name = source.adapter.empty() ? "saved" : "merged";
    if (is_quantised(stored)) {  // what merging moved and what quantising moved, apart
      between = out;
      between += ".f16.part";
      write_gguf(engine.backend, base, adapter, source, between, DType::kF16, globals.quiet);
      read_back(name, DType::kF16, between);
      read_back("quantised", stored, out);
    } else {
      read_back(name, stored, out);
    }
  }
  const auto drifts = measure_drift(engine, trained, stages, texts);
  Json rows = Json::array();
  std::string fault;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    rows.push_back(json_of(stages[i], drifts[i]));
    if (const std::string found = fault_of(drifts[i], stages[i].stored); fault.empty() && !found.empty())
      fault = fmt::format("{}: {}", stages[i].name, found);
  }
  if (globals.json) {
    fmt::print("{}\n", write_json({{"texts", texts.about}, {"stages", rows}}, 2));
  } else {
    fmt::print("against the trained model, {}:\n{:<18} {:>14} {:>14} {:>12} {:>12} {:>18} {:>12}\n", texts.about, "", "largest logit",
               "mean logit", "of spread", "same top 1", "label probability", "same labels");
    for (std::size_t i = 0; i < stages.size(); ++i)
      fmt::print("{:<18} {:>14.2g} {:>14.2g} {:>12.2g} {:>10.1f} % {:>18.2g} {:>10.0f} %\n", stages[i].name, drifts[i].largest,
                 drifts[i].mean, drifts[i].relative, 100 * drifts[i].top1, drifts[i].labels, 100 * drifts[i].same_labels);
  }
  std::fflush(stdout);
  if (fault.empty()) return;
  fs::path refused = out;
  refused += ".refused";
  discard(refused);
  fs::rename(out, refused);
  throw Error(ExitCode::kBadInput, "the export is refused: {}; it lies in {}", fault, refused.string());
}

void export_model(const Globals& globals, Options options) {
  if (!options.to.has_filename()) options.to = options.to.parent_path();  // "out/"
  const DType stored = type_of(options);
  const bool is_folder = options.format == "merged" || options.format == "peft";
  if (fs::exists(options.to) && !(is_folder && fs::is_directory(options.to) && fs::is_empty(options.to))) {
    if (!options.force) throw Error(ExitCode::kCannotWrite, "{} is there already; --force writes over it", options.to.string());
    if (is_folder != fs::is_directory(options.to))
      throw Error(ExitCode::kCannotWrite, "{} is a {}, and --format {} writes a {}", options.to.string(), is_folder ? "file" : "folder",
                  options.format, is_folder ? "folder" : "file");
  }
  const Source source = source_of(globals, options);
  const bool is_adapter = !source.adapter.empty();
  if (!is_adapter && (options.format == "peft" || options.format == "gguf-lora"))
    throw Error(ExitCode::kUsage, "{} is a model, and --format {} is for adapters; merged and gguf write models", options.source,
                options.format);
  for (const fs::path& read : {source.model, source.adapter})
    if (!read.empty() && fs::exists(options.to) && fs::equivalent(read, options.to))
      throw Error(ExitCode::kUsage, "{} is what is exported; give --to another place", options.to.string());
  if (!is_folder) {
    if (const fs::path parent = options.to.parent_path(); !parent.empty()) fs::create_directories(parent);
    AtomicFile probe(options.to);  // a folder that cannot be written to is said now
  }
  HalfWritten half{fs::exists(options.to) ? fs::path() : options.to};
  {
    const Engine engine(globals.threads);
    const Decoder base = Decoder::load(source.model);
    const Adapter adapter = is_adapter ? read_adapter(source.adapter) : Adapter{};
    check_adapter(adapter, base.config(), source.adapter.string());
    if (options.format == "merged") {
      if (fs::exists(options.to)) clear_model(options.to);
      write_folder(engine.backend, base, adapter, source, options.to, stored, globals.quiet);
    } else if (options.format == "gguf") {
      write_gguf(engine.backend, base, adapter, source, options.to, stored, globals.quiet);
    } else if (options.format == "gguf-lora") {
      write_gguf_lora(base.config(), adapter, options.to, stored);
    } else {
      write_adapter(options.to, adapter, stored);
    }
    half.path.clear();
    if (options.verify) verify(globals, options, source, base, adapter, stored);
  }
  if (!globals.json || !options.verify) {
    std::uintmax_t bytes = 0;
    if (fs::is_directory(options.to)) {
      for (const auto& entry : fs::directory_iterator(options.to)) bytes += entry.is_regular_file() ? entry.file_size() : 0;
    } else {
      bytes = fs::file_size(options.to);
    }
    if (globals.json)
      fmt::print("{}\n", write_json({{"to", options.to.string()}, {"bytes", bytes}, {"type", std::string(dtype_name(stored))}}));
    else
      fmt::print("{}: {}, {}{}\n", options.to.string(), human_bytes(static_cast<double>(bytes)), dtype_name(stored),
                 options.verify ? ", verified" : "");
  }
}

}  // namespace

std::function<void()> declare_export(CLI::App& sub, const Globals& globals) {
  const auto options = std::make_shared<Options>();
  sub.add_option("SOURCE", options->source, "a run of the desk, an adapter's folder, or a model")->required();
  sub.add_option("--to", options->to, "the folder (merged, peft) or file (gguf, gguf-lora) to write")->required();
  sub.add_option("--format", options->format,
                 "merged: a Hugging Face folder with the adapter worked in; gguf: the same for llama.cpp; gguf-lora: the adapter alone for "
                 "llama.cpp; peft: the adapter alone for Hugging Face")
      ->capture_default_str()
      ->check(CLI::IsMember({"merged", "gguf", "gguf-lora", "peft"}));
  sub.add_option("--type", options->type,
                 "of the numbers: f32, f16, bf16, with gguf also q8_0 and q4_0; by default bf16 merged, f16 gguf, f32 adapters")
      ->check(CLI::IsMember({"f32", "f16", "bf16", "q8_0", "q4_0"}));
  sub.add_option("--base", options->base, "the adapter's base model, where it is not the one that its files name");
  sub.add_option("--name", options->name, "the model's name in a GGUF; the source's if not given");
  sub.add_flag("--verify", options->verify, "compare what was written with what was trained, and refuse it if it drifted");
  sub.add_option("--texts", options->texts, "held-out tickets to verify on")->capture_default_str()->check(CLI::Range(1, 1000));
  sub.add_flag("--force", options->force, "write over what is there");
  sub.footer(
      "Examples:\n  deskhand --desk mydesk export march --to march.gguf --format gguf --type q8_0 --verify\n  deskhand --desk mydesk "
      "export "
      "march --to march-merged --format merged\n  deskhand export my-adapter --base qwen2.5-coder-0.5b-instruct --to lora.gguf --format "
      "gguf-lora");
  return [options, &globals] { export_model(globals, *options); };
}

}  // namespace deskhand
