#include "deskhand/train/packing.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "deskhand/base/error.h"
#include "deskhand/train/random.h"

namespace deskhand {
namespace {

struct Bin {
  PassPlan examples;
  std::int64_t tokens = 0;  // the shared beginning counted
};

// First-fit decreasing (Johnson, 1973): at most 11/9 of the fewest bins and one. Equal lengths keep the order they come in.
StepPlan first_fit_decreasing(std::span<const std::int32_t> drawn, std::span<const std::int32_t> lengths, const PackingSettings& settings) {
  const auto length = [&](std::int32_t example) { return lengths[static_cast<std::size_t>(example)]; };
  std::vector<std::int32_t> order(drawn.begin(), drawn.end());
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) { return length(a) > length(b); });
  std::vector<Bin> bins;
  for (const std::int32_t example : order) {
    const std::int32_t own = length(example) - settings.shared;
    auto bin = std::find_if(bins.begin(), bins.end(), [&](const Bin& open) {
      return open.tokens + own <= settings.pass_tokens &&
             (settings.pass_examples == 0 || open.examples.size() < static_cast<std::size_t>(settings.pass_examples));
    });
    if (bin == bins.end()) bin = bins.insert(bins.end(), Bin{.tokens = settings.shared});
    bin->examples.push_back(example);
    bin->tokens += own;
  }
  StepPlan passes;
  for (Bin& bin : bins) passes.push_back(std::move(bin.examples));
  return passes;
}

template <class T>
void shuffle(std::vector<T>& values, Random& random) {
  for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[random.below(i)]);
}

}  // namespace

Packing::Packing(std::span<const std::int32_t> lengths, PackingSettings settings)
    : lengths_(lengths.begin(), lengths.end()), settings_(settings) {
  const auto& s = settings_;
  if (s.pass_tokens < 2 || s.pass_examples < 0 || s.step_examples < 0 || (s.step_examples == 0 && (s.step_passes < 1 || s.window < 1)))
    throw Error(ExitCode::kUsage,
                "packing: a pass takes at least 2 tokens (found {}), and a step holds at least one example or pass (found {} examples, {} "
                "passes from windows of {})",
                s.pass_tokens, s.step_examples, s.step_passes, s.window);
  if (lengths_.empty()) throw Error(ExitCode::kBadInput, "there is no example to learn from");
  if (lengths_.size() > static_cast<std::size_t>(INT32_MAX))
    throw Error(ExitCode::kTooLarge, "{} examples are more than can be counted here; train on a part of them", lengths_.size());
  for (std::size_t i = 0; i < lengths_.size(); ++i) {
    if (lengths_[i] > s.pass_tokens)
      throw Error(ExitCode::kTooLarge, "example {} has {} tokens, a pass takes {}; raise pass_tokens or cut the examples", i + 1,
                  lengths_[i], s.pass_tokens);
    DESKHAND_ASSERT(lengths_[i] > s.shared, "an example has tokens of its own");
  }
}

std::vector<StepPlan> Packing::epoch(std::int64_t number) const {
  std::vector<std::int32_t> order(lengths_.size());
  std::iota(order.begin(), order.end(), 0);
  Random random(settings_.seed, static_cast<std::uint64_t>(number));
  if (settings_.shuffle) shuffle(order, random);

  std::vector<StepPlan> steps;
  const auto chunk = static_cast<std::size_t>(settings_.step_examples > 0 ? settings_.step_examples : settings_.window);
  std::vector<PassPlan> passes;  // step_examples 0: of all windows
  for (std::size_t begin = 0; begin < order.size(); begin += chunk) {
    const auto drawn = std::span(order).subspan(begin, std::min(chunk, order.size() - begin));
    StepPlan packed = first_fit_decreasing(drawn, lengths_, settings_);
    if (settings_.step_examples > 0) {
      steps.push_back(std::move(packed));
    } else {
      if (settings_.shuffle) shuffle(packed, random);  // else a window's long examples would come first
      std::move(packed.begin(), packed.end(), std::back_inserter(passes));
    }
  }
  for (std::size_t begin = 0; begin < passes.size(); begin += static_cast<std::size_t>(settings_.step_passes)) {
    const auto end = std::min(passes.size(), begin + static_cast<std::size_t>(settings_.step_passes));
    steps.emplace_back(std::make_move_iterator(passes.begin() + static_cast<std::ptrdiff_t>(begin)),
                       std::make_move_iterator(passes.begin() + static_cast<std::ptrdiff_t>(end)));
  }
  return steps;
}

StepReader::StepReader(const Packing& packing, std::span<const Example> examples, DataPlace start)
    : packing_(packing), examples_(examples), place_(start), plan_(packing.epoch(start.epoch)) {
  if (place_.epoch < 0 || place_.step < 0 || place_.step >= steps_in_epoch())
    throw Error(ExitCode::kBadInput, "there is no step {} in epoch {} of these examples, which has {}: the data are not the ones of before",
                place_.step, place_.epoch, steps_in_epoch());
}

std::vector<PackedPass> StepReader::next() {
  std::vector<PackedPass> passes;
  for (const PassPlan& plan : plan_[static_cast<std::size_t>(place_.step)]) passes.push_back(pack(examples_, plan, packing_.shared()));
  if (++place_.step == steps_in_epoch()) {
    place_ = {.epoch = place_.epoch + 1, .step = 0};
    plan_ = packing_.epoch(place_.epoch);
  }
  return passes;
}

double StepReader::epoch() const {
  return static_cast<double>(place_.epoch) + static_cast<double>(place_.step) / static_cast<double>(steps_in_epoch());
}

std::int64_t count_steps(const Packing& packing, double epochs) {
  std::int64_t steps = 0;
  const auto whole = static_cast<std::int64_t>(std::floor(epochs));
  for (std::int64_t epoch = 0; epoch < whole; ++epoch) steps += static_cast<std::int64_t>(packing.epoch(epoch).size());
  const double rest = epochs - static_cast<double>(whole);
  if (rest > 0) steps += static_cast<std::int64_t>(std::ceil(rest * static_cast<double>(packing.epoch(whole).size())));
  return steps;
}

std::int32_t shared_beginning(std::span<const Example> examples) {
  constexpr std::int32_t kWorthSharing = 16;
  if (examples.empty()) return 0;
  const auto& first = examples.front().ids;
  std::int32_t shared = examples.front().loss_begin() - 1;
  for (const Example& example : examples) {
    const auto most = std::min({shared, example.loss_begin() - 1, example.size() - 1});
    const auto end = std::mismatch(first.begin(), first.begin() + most, example.ids.begin()).first;
    shared = static_cast<std::int32_t>(end - first.begin());
  }
  return shared < kWorthSharing ? 0 : shared;
}

PackedPass pack(std::span<const Example> examples, const PassPlan& plan, std::int32_t shared) {
  PackedPass pass{.examples = plan, .bounds = {0}, .shared = plan.size() > 1 ? shared : 0};
  for (const std::int32_t number : plan) {
    const Example& example = examples[static_cast<std::size_t>(number)];
    const std::int32_t left_out = pass.tokens.empty() ? 0 : pass.shared;
    const std::int32_t first = static_cast<std::int32_t>(pass.tokens.size()) - left_out;  // where the whole text would begin
    pass.tokens.insert(pass.tokens.end(), example.ids.begin() + left_out, example.ids.end());
    pass.bounds.push_back(static_cast<std::int32_t>(pass.tokens.size()));
    for (std::int32_t at = example.loss_begin(); at < example.size(); ++at) {
      pass.rows.push_back(first + at - 1);
      pass.targets.push_back(example.ids[static_cast<std::size_t>(at)]);
      pass.weights.push_back(example.weight(at));
    }
  }
  if (std::all_of(pass.weights.begin(), pass.weights.end(), [](float weight) { return weight == 1; })) pass.weights.clear();
  return pass;
}

std::vector<PackedPass> pack_in_order(std::span<const Example> examples, std::int32_t pass_tokens, std::int32_t shared) {
  std::vector<PackedPass> passes;
  PassPlan plan;
  std::int64_t tokens = shared;
  const auto close = [&] {
    if (!plan.empty()) passes.push_back(pack(examples, plan, shared));
    plan.clear();
    tokens = shared;
  };
  for (std::size_t i = 0; i < examples.size(); ++i) {
    if (examples[i].size() > pass_tokens)
      throw Error(ExitCode::kTooLarge, "example {} has {} tokens, a pass takes {}; raise pass_tokens or cut the examples", i + 1,
                  examples[i].size(), pass_tokens);
    const std::int32_t own = examples[i].size() - shared;
    if (tokens + own > pass_tokens) close();
    plan.push_back(static_cast<std::int32_t>(i));
    tokens += own;
  }
  close();
  return passes;
}

CutCounts cut_examples(std::span<Example> examples, std::int32_t max_tokens) {
  DESKHAND_ASSERT(max_tokens >= 8, "room for a prompt and an answer");
  CutCounts counts;
  for (Example& example : examples) {
    counts.longest_tokens = std::max(counts.longest_tokens, example.size());
    if (example.size() <= max_tokens) continue;
    ++counts.examples;
    counts.tokens += example.size() - max_tokens;
    auto& ids = example.ids;
    if (example.answer_begin == 0) {
      ids.resize(static_cast<std::size_t>(max_tokens));
      continue;
    }
    const std::int32_t answer = example.size() - example.answer_begin;
    const std::int32_t prompt_kept = std::min(example.answer_begin, std::max(max_tokens - answer, max_tokens / 4));
    const std::int32_t answer_kept = std::min(answer, max_tokens - prompt_kept);
    if (answer_kept < answer) {
      ++counts.answers;
      const auto erase_end = [&](auto& values) { values.erase(values.end() - 1 - (answer - answer_kept), values.end() - 1); };
      erase_end(ids);  // the end of turn stays
      if (!example.weights.empty()) erase_end(example.weights);
    }
    const std::int32_t head = prompt_kept / 2, tail = prompt_kept - head;
    ids.erase(ids.begin() + head, ids.begin() + example.answer_begin - tail);
    example.answer_begin = prompt_kept;
  }
  return counts;
}

}  // namespace deskhand
