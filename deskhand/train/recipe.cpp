#include "deskhand/train/recipe.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

#include "deskhand/base/error.h"

namespace deskhand {

std::string_view name_of(Method method) {
  switch (method) {
    case Method::kLora:
      return "lora";
    case Method::kHybrid:
      return "hybrid";
    case Method::kFull:
      return "full";
  }
  return "";
}

void check(const Recipe& recipe, std::string_view where) {
  const auto refuse = [&](const std::string& what) { throw Error(ExitCode::kUsage, "{}: {}", where, what); };
  const auto& [lora, data, optimizer, schedule, run] = std::tie(recipe.lora, recipe.data, recipe.optimizer, recipe.schedule, recipe.run);
  if (recipe.method == Method::kFull && recipe.base != FrozenBase::kAsStored)
    refuse("method = \"full\" trains every weight, so the base cannot be quantised; leave base at \"stored\"");
  if (recipe.precision == Precision::kFp8 && recipe.method == Method::kFull)
    refuse("precision = \"fp8\" is for frozen matrices, and method = \"full\" trains them all; leave it at \"auto\"");
  if (recipe.precision == Precision::kFp8 && recipe.base != FrozenBase::kAsStored)
    refuse("precision = \"fp8\" and base both say how frozen matrices are held; leave precision at \"auto\" or base at \"stored\"");
  if (recipe.method != Method::kFull) {
    if (lora.targets.empty()) refuse("lora.targets is empty; name linear layers, \"q_proj\" for one, or \"all-linear\"");
    if (std::set<std::string>(lora.targets.begin(), lora.targets.end()).size() != lora.targets.size())
      refuse("lora.targets names a layer twice");
    if (recipe.method == Method::kHybrid && std::find(lora.targets.begin(), lora.targets.end(), "lm_head") != lora.targets.end())
      refuse("method = \"hybrid\" trains lm_head as it is; take \"lm_head\" out of lora.targets");
  }
  if (data.pass_tokens > 0 && data.max_tokens > data.pass_tokens)
    refuse(fmt::format("data.max_tokens is {}, but a pass takes data.pass_tokens = {}; an example must fit into a pass", data.max_tokens,
                       data.pass_tokens));
  if (data.format == TrainingFormat::kSeed && data.cases > 0)
    refuse(fmt::format("data.cases is {}, but data.format = \"seed\" shows no cases; set one or the other", data.cases));
  if (data.format == TrainingFormat::kSeed && data.label_weight != 1)
    refuse(fmt::format("data.label_weight is {:g}, but data.format = \"seed\" has no labels of its own to weigh; leave it at 1",
                       data.label_weight));
  if (recipe.method != Method::kHybrid && optimizer.head_ratio != 1)
    refuse(fmt::format("optimizer.head_ratio is {:g}, but method = \"{}\" trains no head beside LoRA's pairs; leave it at 1",
                       optimizer.head_ratio, name_of(recipe.method)));
  if (schedule.warmup_steps > 0 && schedule.warmup_ratio > 0)
    refuse("schedule.warmup_steps and schedule.warmup_ratio say the same thing twice; set one of them");
  if (run.patience > 0 && data.validation_share == 0)
    refuse("run.patience waits for a better evaluation, but data.validation_share = 0 leaves no ticket to evaluate on");
  if (run.epochs <= 0 && run.max_steps == 0) refuse("run.epochs and run.max_steps are both 0: there is nothing to do");
}

Schedule schedule_of(const Recipe& recipe, std::int64_t total_steps) {
  const auto& settings = recipe.schedule;
  const auto by_ratio = static_cast<std::int64_t>(std::ceil(settings.warmup_ratio * static_cast<double>(total_steps)));
  return {.kind = settings.kind, .warmup_steps = settings.warmup_steps > 0 ? settings.warmup_steps : by_ratio, .total_steps = total_steps};
}

}  // namespace deskhand
