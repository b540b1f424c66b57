// training_speed FOLDER THREADS METHOD TEXTS LENGTH PASSES STEPS: whole optimizer steps (forward, backward, clipping, AdamW) of TEXTS
// random texts of LENGTH tokens each in PASSES passes; loss on every token; METHOD lora (q and v, r 16) or hybrid. One JSON object: the
// median step's tokens a second, the most memory that was resident, and the losses.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <numeric>

#include "bench/random_texts.h"
#include "deskhand/model/training_pass.h"
#include "deskhand/ops/optimizer.h"
#include "deskhand/train/adapt.h"

using namespace deskhand;

int main(int count, char** arguments) try {
  if (count != 8) {
    fmt::print(stderr, "usage: training_speed FOLDER THREADS METHOD TEXTS LENGTH PASSES STEPS\n");
    return 2;
  }
  const Method method = std::string_view(arguments[3]) == "hybrid" ? Method::kHybrid : Method::kLora;
  const auto number = [&](int at) { return std::atoll(arguments[at]); };
  const std::int64_t texts = number(4), length = number(5), passes = number(6);
  ThreadPool pool(std::atoi(arguments[2]));
  Workspace workspace;
  const Backend on{.kind = Backend::Kind::kCpu, .pool = &pool, .workspace = &workspace, .cpu = CpuFeatures::detect()};
  const Decoder base = Decoder::load(arguments[1]);
  const DecoderConfig& config = base.config();
  Adapter adapter =
      in_base_order(new_adapter(on, base.weights(), config, method, {.targets = {"q_proj", "v_proj"}, .dropout = 0}, 1), config);
  base.release_file();  // the head's original was read for the copy, and is not needed again
  const DecoderWeights weights = adapted(base.weights(), adapter, config);
  Parameters parameters = Parameters::of(adapter, 1);
  const DecoderGradients gradients = gradients_of(parameters, config);
  const std::vector<std::int64_t> lengths(static_cast<std::size_t>(texts / passes), length);
  TrainingPass pass(config, weights, {.tokens = texts * length / passes, .positions = length});
  std::vector<double> seconds, losses;
  for (std::int64_t step = 1; step <= number(7); ++step) {
    const auto start = std::chrono::steady_clock::now();
    parameters.clear_gradients(on);
    double loss = 0;
    const auto targets = static_cast<double>(texts * (length - 1));
    for (std::int64_t i = 0; i < passes; ++i) {
      const Texts drawn = random_texts(lengths, config.vocabulary, static_cast<std::uint64_t>(step * passes + i));
      loss +=
          pass.backward(on, {drawn.tokens, drawn.bounds, drawn.rows, drawn.targets}, gradients, {.scale = static_cast<float>(1 / targets)})
              .loss;
    }
    const double scale = clip_scale(gradient_norm(on, parameters.gradients()).norm, 1);
    for (const Parameters::Entry& entry : parameters.entries()) {
      const auto flat = [&](View part) { return part.reshaped({entry.size}); };
      adamw(on, flat(entry.value), {flat(parameters.first_moment(entry)), flat(parameters.second_moment(entry))},
            flat(parameters.gradient(entry)), {.learning_rate = 1e-6, .step = step, .gradient_scale = scale});
    }
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    losses.push_back(loss / targets);
  }
  std::sort(seconds.begin(), seconds.end());
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  fmt::print("{{\"tokens_s\": {:.2f}, \"peak_gib\": {:.3f}, \"losses\": [{:.5f}]}}\n",
             static_cast<double>(texts * length) / seconds[seconds.size() / 2], static_cast<double>(usage.ru_maxrss) / (1 << 20),
             fmt::join(losses, ", "));
} catch (const std::exception& fault) {
  fmt::print(stderr, "{}\n", fault.what());
  return 1;
}
