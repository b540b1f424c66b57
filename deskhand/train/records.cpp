#include "deskhand/train/records.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"

namespace deskhand {
namespace {

// Walks over a record's fields with their names; one list serves writing, reading and TensorBoard. `shown`: a scalar of TensorBoard's too.
template <class Record, class Visit>
void fields_of(Record& r, const Visit& visit) requires std::is_same_v<std::remove_const_t<Record>, StepRecord> {
  visit("step", r.step, false);
  visit("loss", r.loss, true);
  visit("grad_norm", r.grad_norm, true);
  visit("learning_rate", r.learning_rate, true);
  visit("entropy", r.entropy, true);
  visit("num_tokens", r.num_tokens, true);
  visit("mean_token_accuracy", r.mean_token_accuracy, true);
  visit("epoch", r.epoch, true);
  visit("tokens_per_second", r.tokens_per_second, true);
}
template <class Record, class Visit>
void fields_of(Record& r, const Visit& visit) requires std::is_same_v<std::remove_const_t<Record>, EvalRecord> {
  visit("step", r.step, false);
  visit("eval_loss", r.loss, true);
  visit("eval_runtime", r.runtime_s, true);
  visit("eval_samples_per_second", r.samples_per_second, true);
  visit("eval_entropy", r.entropy, true);
  visit("eval_num_tokens", r.num_tokens, true);
  visit("eval_mean_token_accuracy", r.mean_token_accuracy, true);
  visit("epoch", r.epoch, false);
}

// JSON has no NaN: such a number is null.
template <class Record>
Json json_of(const Record& record) {
  Json line = Json::object();
  fields_of(record, [&](const char* name, const auto& value, bool) {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(value)>, double>)
      line[name] = std::isfinite(value) ? Json(value) : Json();
    else
      line[name] = value;
  });
  return line;
}

template <class Record>
Record record_of(const Json& line, const std::string& where) {
  Record record;
  fields_of(record, [&](const char* name, auto& value, bool) {
    const auto found = line.find(name);
    using Value = std::remove_reference_t<decltype(value)>;
    if constexpr (std::is_same_v<Value, double>) {
      if (found != line.end() && found->is_null()) {
        value = std::nan("");
        return;
      }
    }
    constexpr bool is_whole = std::is_same_v<Value, std::int64_t>;
    if (found == line.end() || !(is_whole ? found->is_number_integer() : found->is_number()))
      throw Error(ExitCode::kBadInput, "{}: \"{}\" is not a {}number; the log was changed by hand or by another program", where, name,
                  is_whole ? "whole " : "");
    value = found->get<Value>();
  });
  return record;
}

// "eval_loss" is shown as eval/loss, "loss" as train/loss: TensorBoard makes a section of each, as Hugging Face's trainer has them.
template <class Record>
std::vector<Scalar> scalars_of(const Record& record) {
  std::vector<Scalar> scalars;
  fields_of(record, [&](std::string_view name, const auto& value, bool shown) {
    if (!shown) return;
    const bool evaluated = name.starts_with("eval_");
    scalars.emplace_back((evaluated ? "eval/" : "train/") + std::string(name.substr(evaluated ? 5 : 0)), static_cast<float>(value));
  });
  return scalars;
}

// Visits every whole line with its number.
template <class Visit>
void each_line(std::string_view text, const Visit& visit) {
  std::size_t number = 0;
  for (std::size_t end; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1))
    visit(text.substr(0, end), ++number);
}

Json parse_line(std::string_view line, const std::string& where) {
  Json parsed = parse_json(line, where);
  if (!parsed.is_object() || !parsed.contains("step") || !parsed["step"].is_number_integer())
    throw Error(ExitCode::kBadInput, "{}: not a line of a training log; an object with \"step\" was expected", where);
  return parsed;
}

void forget_after(const std::filesystem::path& path, std::int64_t step) {
  if (!std::filesystem::exists(path)) return;
  const std::string text = read_text_file(path);
  std::string kept;
  each_line(text, [&](std::string_view line, std::size_t number) {
    const auto where = fmt::format("{}: line {}", path.string(), number);
    if (parse_line(line, where)["step"].get<std::int64_t>() <= step) kept.append(line) += '\n';
  });
  if (kept != text) write_file_atomically(path, kept);
}

}  // namespace

RunLog read_run_log(const std::filesystem::path& jsonl) {
  const std::string text = read_text_file(jsonl);
  RunLog log;
  each_line(text, [&](std::string_view line, std::size_t number) {
    const auto where = fmt::format("{}: line {}", jsonl.string(), number);
    const Json parsed = parse_line(line, where);
    if (parsed.contains("eval_loss")) {
      log.evaluations.push_back(record_of<EvalRecord>(parsed, where));
    } else {
      log.steps.push_back(record_of<StepRecord>(parsed, where));
      log.steps.back().skipped = parsed.contains("skipped");
    }
  });
  return log;
}

RunLogWriter::RunLogWriter(const std::filesystem::path& jsonl, const std::filesystem::path& tensorboard_folder, std::int64_t from_step,
                           double wall_time)
    : path_(jsonl),
      events_((from_step == 0 && std::filesystem::exists(jsonl)
                   ? throw Error(ExitCode::kCannotWrite, "{} is there already; resume that run or choose another folder", jsonl.string())
                   : tensorboard_folder),
              wall_time, from_step) {
  if (from_step > 0) forget_after(jsonl, from_step);
  jsonl_.open(jsonl, std::ios::binary | std::ios::app);
  if (!jsonl_) throw Error(ExitCode::kCannotWrite, "cannot write {}: {}", path_.string(), std::strerror(errno));
}

void RunLogWriter::add(const StepRecord& record, double wall_time) {
  Json json = json_of(record);
  if (record.skipped) json["skipped"] = true;
  line(write_json(json));
  events_.add(scalars_of(record), record.step, wall_time);
}

void RunLogWriter::add(const EvalRecord& record, double wall_time) {
  line(write_json(json_of(record)));
  events_.add(scalars_of(record), record.step, wall_time);
}

void RunLogWriter::sync() const {
  sync_file(path_);
}

void RunLogWriter::line(const std::string& text) {
  if (!(jsonl_ << text << '\n').flush()) throw Error(ExitCode::kCannotWrite, "cannot write {}: {}", path_.string(), std::strerror(errno));
}

}  // namespace deskhand
