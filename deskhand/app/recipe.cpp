#include "deskhand/app/recipe.h"

#include <fmt/ranges.h>

#include <filesystem>
#include <limits>
#include <type_traits>

#include "deskhand/app/toml_section.h"
#include "deskhand/base/error.h"
#include "deskhand/base/mapped_file.h"

namespace deskhand {

std::string_view recipe_file(std::string_view name);  // embedded by CMake

namespace {

constexpr double kMany = std::numeric_limits<std::int32_t>::max();
using Names = std::vector<std::string>;

// Every key of a recipe, in the order of docs/recipes.md. to.section(name) begins one; to.value(key, field, least, most) for numbers,
// to.value(key, field) for texts and flags, to.choice(key, field, names) for enumerations.
template <class To, class AnyRecipe>
void each_key(To& to, AnyRecipe& r) {
  to.choice("method", r.method, Names{"lora", "hybrid", "full"});
  to.choice("base", r.base, Names{"stored", "q8", "q4"});
  to.choice("precision", r.precision, Names{"auto", "f32", "fp8"});
  to.value("recompute", r.recompute);
  to.section("lora");
  to.value("targets", r.lora.targets);
  to.value("r", r.lora.r, 1, 4096);
  to.value("alpha", r.lora.alpha, 0, 1e6);
  to.value("dropout", r.lora.dropout, 0, 0.9);
  to.value("rank_stabilised", r.lora.rank_stabilised);
  to.value("plus_ratio", r.lora.plus_ratio, 0.001, 1000);
  to.section("data");
  to.choice("format", r.data.format, Names{"triage", "seed"});
  to.value("cases", r.data.cases, 0, 20);
  to.choice("loss_on", r.data.loss_on, Names{"answer", "everything"});
  to.value("label_weight", r.data.label_weight, 0.01, 1000);
  to.value("max_tokens", r.data.max_tokens, 16, 1 << 20);
  to.value("validation_share", r.data.validation_share, 0, 0.9);
  to.value("keep_apart", r.data.keep_apart);
  to.value("batch", r.data.batch, 0, 1 << 20);
  to.value("micro_batch", r.data.micro_batch, 0, 1 << 20);
  to.value("pass_tokens", r.data.pass_tokens, 0, 1 << 20);
  to.value("step_passes", r.data.step_passes, 1, 1 << 20);
  to.value("shuffle", r.data.shuffle);
  to.section("optimizer");
  to.value("learning_rate", r.optimizer.learning_rate, 0, 10);
  to.value("head_ratio", r.optimizer.head_ratio, 0, 1000);
  to.value("weight_decay", r.optimizer.weight_decay, 0, 10);
  to.value("beta1", r.optimizer.beta1, 0, 0.9999999);
  to.value("beta2", r.optimizer.beta2, 0, 0.9999999);
  to.value("epsilon", r.optimizer.epsilon, 0, 1);
  to.value("max_grad_norm", r.optimizer.max_grad_norm, 0, 1e9);
  to.section("schedule");
  to.choice("kind", r.schedule.kind, Names{"constant", "linear", "cosine"});
  to.value("warmup_steps", r.schedule.warmup_steps, 0, kMany);
  to.value("warmup_ratio", r.schedule.warmup_ratio, 0, 1);
  to.section("run");
  to.value("epochs", r.run.epochs, 0, 100000);
  to.value("max_steps", r.run.max_steps, 0, kMany);
  to.value("evaluate_every", r.run.evaluate_every, 0, kMany);
  to.value("checkpoint_every", r.run.checkpoint_every, 0, kMany);
  to.value("keep_checkpoints", r.run.keep_checkpoints, 1, 1000);
  to.value("patience", r.run.patience, 0, 100000);
  to.value("least_gain", r.run.least_gain, 0, 1000);
  to.value("keep_best", r.run.keep_best);
  to.value("seed", r.run.seed, 0, kMany);
}

class Reader {
 public:
  Reader(const toml::table& document, const std::string& where) : root_(&document, "", where), part_(&document, "", where) {}

  void section(std::string_view name) {
    finish_part();
    part_ = root_.section(name);
    in_section_ = true;
  }
  template <class Enum>
  void choice(std::string_view key, Enum& field, const Names& names) {
    field = static_cast<Enum>(here().choice(key, names, static_cast<int>(field)));
  }
  template <class T>
  void value(std::string_view key, T& field) {
    here().read(key, field);
  }
  template <class T>
  void value(std::string_view key, T& field, double least, double most) {
    if constexpr (std::is_same_v<T, double>) {
      here().read(key, field, least, most);
    } else {
      int whole = static_cast<int>(field);
      here().read(key, whole, static_cast<int>(least), static_cast<int>(most));
      field = static_cast<T>(whole);
    }
  }
  void finish() {
    finish_part();
    root_.finish();
  }

 private:
  TomlSection& here() { return in_section_ ? part_ : root_; }
  void finish_part() {
    if (in_section_) part_.finish();
  }

  TomlSection root_, part_;
  bool in_section_ = false;
};

std::string toml_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

class Writer {
 public:
  std::string text;

  void section(std::string_view name) { text += fmt::format("\n[{}]\n", name); }
  template <class Enum>
  void choice(std::string_view key, const Enum& field, const Names& names) {
    line(key, toml_text(names.at(static_cast<std::size_t>(field))));
  }
  void value(std::string_view key, bool field) { line(key, field ? "true" : "false"); }
  void value(std::string_view key, const Names& field) {
    Names items;
    for (const auto& item : field) items.push_back(toml_text(item));
    line(key, fmt::format("[{}]", fmt::join(items, ", ")));
  }
  template <class T>
  void value(std::string_view key, const T& field, double, double) {
    line(key, fmt::format("{}", field));  // the shortest text that reads back as this number
  }

 private:
  void line(std::string_view key, const std::string& value) { text += fmt::format("{} = {}\n", key, value); }
};

toml::table parse(std::string_view text, const std::string& where) {
  try {
    return toml::parse(text, where);
  } catch (const toml::parse_error& error) {
    throw Error(ExitCode::kUsage, "{}: line {}: {}", where, error.source().begin.line, error.description());
  }
}

// "lora.r=8" as a document of one key. A value that is no TOML is a text: method=hybrid needs no quotes.
toml::table parse_override(const std::string& text) {
  const auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0 || text.find('\n') != std::string::npos)
    throw Error(ExitCode::kUsage, "--set {}: a setting looks like key=value, for example lora.r=8", text);
  const std::string key = text.substr(0, equals), value = text.substr(equals + 1);
  try {
    return toml::parse(key + " = " + value);
  } catch (const toml::parse_error&) {
    return parse(key + " = " + toml_text(value), "--set " + text);
  }
}

void apply(const toml::table& document, const std::string& where, Recipe& recipe) {
  Reader reader(document, where);
  each_key(reader, recipe);
  reader.finish();
}

}  // namespace

std::vector<std::string> built_in_recipes() {
  return {"lora", "hybrid", "qlora", "full-small", "thesis-lora", "thesis-hybrid"};
}

Recipe read_recipe(std::string_view text, const std::string& name, const std::string& where, std::span<const std::string> overrides) {
  Recipe recipe{.name = name};
  apply(parse(text, where), where, recipe);
  for (const std::string& one : overrides) apply(parse_override(one), "--set " + one, recipe);
  check(recipe, where);
  return recipe;
}

Recipe load_recipe(const std::string& name_or_file, std::span<const std::string> overrides) {
  if (const auto text = recipe_file(name_or_file + ".toml"); !text.empty() && !std::filesystem::exists(name_or_file))
    return read_recipe(text, name_or_file, name_or_file + " (built in)", overrides);
  const std::filesystem::path path(name_or_file);
  if (!std::filesystem::is_regular_file(path))
    throw Error(ExitCode::kNotFound, "there is no recipe '{}': neither a file nor one of {}", name_or_file,
                fmt::join(built_in_recipes(), ", "));
  return read_recipe(read_text_file(path, std::size_t{1} << 20), path.stem().string(), path.string(), overrides);
}

std::string write_recipe(const Recipe& recipe) {
  Writer writer;
  each_key(writer, recipe);
  return writer.text;
}

}  // namespace deskhand
