#include "deskhand/train/checkpoint.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>

#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/sha256.h"
#include "deskhand/model/safetensors.h"

namespace deskhand {
namespace {

constexpr const char* kFormat = "deskhand_checkpoint";
constexpr std::string_view kVersion = "1", kStem = "step-", kEnd = ".safetensors", kPart = ".part-";
constexpr ScheduleKind kKinds[] = {ScheduleKind::kConstant, ScheduleKind::kLinear, ScheduleKind::kCosine};

std::string state_text(const TrainingState& s) {
  Json generators = Json::object();
  for (const auto& [name, state] : s.generators) generators[name] = state;
  return write_json(
      {{"step", s.step},
       {"place", {{"epoch", s.place.epoch}, {"step", s.place.step}}},
       {"num_tokens", s.num_tokens},
       {"evaluated", s.evaluated},
       {"updates", s.updates},
       {"skipped", s.skipped},
       {"skipped_in_a_row", s.skipped_in_a_row},
       {"seconds", s.seconds},
       {"schedule",
        {{"kind", name_of(s.schedule.kind)}, {"warmup_steps", s.schedule.warmup_steps}, {"total_steps", s.schedule.total_steps}}},
       {"best", {{"loss", std::isfinite(s.best.loss) ? Json(s.best.loss) : Json()}, {"step", s.best.step}, {"since", s.best.since}}},
       {"generators", generators},
       {"identity", s.identity}});
}

TrainingState parse_state(std::string_view text, const std::string& where) {
  const auto refuse = [&](std::string_view reason) {
    throw Error(ExitCode::kBadInput, "{}: its state cannot be read ({}); it was written by another version or by hand", where, reason);
  };
  const auto whole = [&](const Json& json, const char* key) {  // never a fraction turned into a number
    const Json& value = json.at(key);
    if (!value.is_number_integer()) refuse(fmt::format("\"{}\" is no whole number", key));
    return value.get<std::int64_t>();
  };
  const Json json = parse_json(text, where);
  try {
    TrainingState s;
    s.step = whole(json, "step");
    s.place = {.epoch = whole(json.at("place"), "epoch"), .step = whole(json.at("place"), "step")};
    s.num_tokens = whole(json, "num_tokens");
    s.evaluated = whole(json, "evaluated");
    s.updates = whole(json, "updates");
    s.skipped = whole(json, "skipped");
    s.skipped_in_a_row = whole(json, "skipped_in_a_row");
    s.seconds = json.at("seconds").get<double>();
    const Json& schedule = json.at("schedule");
    for (const ScheduleKind kind : kKinds)
      if (schedule.at("kind") == name_of(kind)) s.schedule.kind = kind;
    s.schedule.warmup_steps = whole(schedule, "warmup_steps");
    s.schedule.total_steps = whole(schedule, "total_steps");
    const Json& best = json.at("best");
    if (!best.at("loss").is_null()) s.best.loss = best.at("loss").get<double>();
    s.best.step = whole(best, "step");
    s.best.since = static_cast<std::int32_t>(std::clamp<std::int64_t>(whole(best, "since"), 0, INT32_MAX));
    for (const auto& [name, state] : json.at("generators").items()) {
      auto& words = s.generators[name];
      for (std::size_t i = 0; i < words.size(); ++i) {
        if (!state.at(i).is_number_unsigned()) refuse(fmt::format("the state of generator \"{}\" is no list of whole numbers", name));
        words[i] = state.at(i).get<std::uint64_t>();
      }
    }
    for (const auto& [name, hash] : json.at("identity").items()) s.identity[name] = hash.get<std::string>();
    return s;
  } catch (const nlohmann::json::exception& error) {
    refuse(error.what());
  }
  return {};
}

// Over the state and every tensor by name, so that the order in the file does not matter.
std::string hash_of(std::string_view state, std::vector<std::pair<std::string, ConstView>> tensors) {
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  Sha256 hash;
  hash.update(fmt::format("{}\n", state));
  for (const auto& [name, view] : tensors) {
    hash.update(fmt::format("{} {} {}\n", name, dtype_name(view.type()), view.shape().text()));
    const auto raw = view.raw();
    hash.update({reinterpret_cast<const char*>(raw.data()), raw.size()});
  }
  return hash.finish();
}

std::optional<std::int64_t> step_of(std::string_view file_name) {
  if (!file_name.starts_with(kStem) || !file_name.ends_with(kEnd) || file_name.size() <= kStem.size() + kEnd.size()) return std::nullopt;
  const auto digits = file_name.substr(kStem.size(), file_name.size() - kStem.size() - kEnd.size());
  std::int64_t step = 0;
  const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  return fault == std::errc() && end == digits.data() + digits.size() && step >= 0 ? std::optional(step) : std::nullopt;
}

// A part that nobody writes any more: its process is gone, or was this one's number before.
bool is_left_over(std::string_view file_name) {
  const auto at = file_name.rfind(kPart);
  if (!file_name.starts_with(kStem) || at == std::string_view::npos) return false;
  const auto digits = file_name.substr(at + kPart.size());
  int process = 0;
  const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), process);
  if (fault != std::errc() || end != digits.data() + digits.size() || process <= 0) return false;
  return process == ::getpid() || (::kill(process, 0) != 0 && errno == ESRCH);
}

}  // namespace

void check_identity(const TrainingState& kept, const std::map<std::string, std::string>& wanted, std::string_view where) {
  for (const auto& [part, hash] : wanted) {
    const auto at = kept.identity.find(part);
    if (at != kept.identity.end() && at->second == hash) continue;
    throw Error(ExitCode::kUsage,
                "{}: the {} is not the one the run began with ({} then, {} now); resume with the same, or start a new run", where, part,
                at == kept.identity.end() ? "unknown" : at->second.substr(0, 12), hash.substr(0, 12));
  }
}

void write_checkpoint(const std::filesystem::path& path, const TrainingState& state,
                      std::span<const std::pair<std::string, ConstView>> tensors) {
  const std::string text = state_text(state);
  write_safetensors(path, tensors,
                    {{kFormat, std::string(kVersion)}, {"state", text}, {"sha256", hash_of(text, {tensors.begin(), tensors.end()})}});
}

Checkpoint read_checkpoint(const std::filesystem::path& path) {
  const std::string where = path.string();
  const auto file = Safetensors::open(path);
  const auto metadata = [&](const char* key) {
    const auto at = file.metadata().find(key);
    return at == file.metadata().end() ? std::string() : at->second;
  };
  if (!file.metadata().contains(kFormat))
    throw Error(ExitCode::kBadInput, "{} is no checkpoint: its metadata hold no \"{}\"", where, kFormat);
  if (metadata(kFormat) != kVersion)  // no damage: an older whole one must not take its place
    throw Error(ExitCode::kUsage,
                "{} was written by another version of deskhand, in format '{}'; this one reads format '{}': go on with that version, or "
                "begin the run anew",
                where, metadata(kFormat), kVersion);
  std::vector<std::pair<std::string, ConstView>> views;
  for (const StoredTensor& tensor : file.tensors().all()) views.emplace_back(tensor.name, file.view(tensor.name));
  const std::string text = metadata("state");
  if (hash_of(text, views) != metadata("sha256"))
    throw Error(ExitCode::kBadInput, "{}: its contents are not what was written (SHA-256 differs); the file is damaged", where);
  Checkpoint checkpoint{.state = parse_state(text, where)};
  for (const auto& [name, view] : views) {
    Tensor copy(view.type(), view.shape());
    const auto raw = view.raw();
    if (!raw.empty()) std::memcpy(copy.view().data(), raw.data(), raw.size());
    checkpoint.tensors.emplace(name, std::move(copy));
  }
  return checkpoint;
}

CheckpointFolder::CheckpointFolder(std::filesystem::path folder, std::int32_t keep) : folder_(std::move(folder)), keep_(keep) {
  DESKHAND_ASSERT(keep >= 1, "at least one checkpoint is kept");
  std::error_code fault;
  std::filesystem::create_directories(folder_, fault);
  if (fault) throw Error(ExitCode::kCannotWrite, "cannot make the folder {}: {}", folder_.string(), fault.message());
  for (const auto& entry : std::filesystem::directory_iterator(folder_))
    if (is_left_over(entry.path().filename().string())) std::filesystem::remove(entry.path(), fault);
}

void CheckpointFolder::save(const TrainingState& state, std::span<const std::pair<std::string, ConstView>> tensors) {
  try {
    write_checkpoint(path_of(state.step), state, tensors);
  } catch (const Error& error) {
    throw Error(error.code(), "{}; {}", error.what(), what_stays());
  }
  const auto there = steps();
  const std::size_t last = there.size() > static_cast<std::size_t>(keep_) ? there.size() - static_cast<std::size_t>(keep_) : 0;
  std::error_code ignored;  // what cannot be removed only takes room
  for (std::size_t i = 0; i < last; ++i)
    if (there[i] != state.best.step) std::filesystem::remove(path_of(there[i]), ignored);
}

void CheckpointFolder::remove_after(std::int64_t step) {
  std::error_code ignored;  // a later save writes over it
  for (const std::int64_t later : steps())
    if (later > step) std::filesystem::remove(path_of(later), ignored);
}

std::string CheckpointFolder::what_stays() const {
  const auto there = steps();
  return there.empty() ? "there is no earlier checkpoint, so the run will begin anew"
                       : fmt::format("{} is whole: make room and resume from there", path_of(there.back()).filename().string());
}

CheckpointFolder::Found CheckpointFolder::latest() const {
  Found found;
  auto there = steps();
  for (auto step = there.rbegin(); step != there.rend(); ++step) {
    try {
      found.path = path_of(*step);
      found.checkpoint = read_checkpoint(found.path);
      return found;
    } catch (const Error& error) {
      if (error.code() != ExitCode::kBadInput) throw;
      found.warnings.emplace_back(error.what());
    }
  }
  found.path.clear();
  return found;
}

std::filesystem::path CheckpointFolder::path_of(std::int64_t step) const {
  return folder_ / fmt::format("{}{:08}{}", kStem, step, kEnd);
}

std::vector<std::int64_t> CheckpointFolder::steps() const {
  std::vector<std::int64_t> steps;
  for (const auto& entry : std::filesystem::directory_iterator(folder_))
    if (const auto step = step_of(entry.path().filename().string())) steps.push_back(*step);
  std::sort(steps.begin(), steps.end());
  return steps;
}

}  // namespace deskhand
