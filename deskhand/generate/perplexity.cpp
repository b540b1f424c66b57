#include "deskhand/generate/perplexity.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "deskhand/base/error.h"
#include "deskhand/base/interrupt.h"
#include "deskhand/ops/log_softmax.h"

namespace deskhand {

double Perplexity::value() const {
  return std::exp(mean_nll);
}

Perplexity perplexity(const Decoder& decoder, const Backend& on, DecoderBuffers& buffers, std::span<const std::int32_t> tokens,
                      const PerplexitySettings& settings) {
  if (settings.window < 4)
    throw Error(ExitCode::kUsage, "a window of {} tokens is too small; 4 or more are wanted, 512 is usual", settings.window);
  std::int64_t windows = static_cast<std::int64_t>(tokens.size()) / settings.window;
  if (windows == 0)
    throw Error(ExitCode::kBadInput, "the text has {} tokens, a window takes {}; give a longer text or a smaller window", tokens.size(),
                settings.window);
  if (settings.most_windows > 0) windows = std::min<std::int64_t>(windows, settings.most_windows);

  constexpr std::int64_t kHeadRows = 32;  // logits of a whole window are large: 155 MB for a vocabulary of 150 000
  const std::int32_t first = settings.window / 2;
  std::vector<std::int32_t> rows, window;
  for (std::int32_t row = first; row + 1 < settings.window; ++row) rows.push_back(row);
  const auto count = static_cast<std::int64_t>(rows.size());
  Tensor hidden(DType::kF32, {count, decoder.config().width}), logits(DType::kF32, {kHeadRows, decoder.config().vocabulary});
  const std::vector<std::int32_t> bounds{0, settings.window};

  Perplexity result;
  double sum = 0;
  for (std::int64_t w = 0; w < windows; ++w) {
    check_interrupt();
    const auto part = tokens.subspan(static_cast<std::size_t>(w * settings.window), static_cast<std::size_t>(settings.window));
    window.assign(part.begin(), part.end());
    if (settings.bos >= 0) window[0] = settings.bos;
    decoder.forward_packed(on, buffers, window, bounds, rows, {}, hidden);
    for (std::int64_t begin = 0; begin < count; begin += kHeadRows) {
      const std::int64_t some = std::min(kHeadRows, count - begin);
      decoder.head(on, logits.view().rows(0, some), hidden.view().rows(begin, some));
      for (std::int64_t i = 0; i < some; ++i) {
        const auto row = ConstView(logits.view()).rows(i, 1).floats();
        const auto next = static_cast<std::size_t>(window[static_cast<std::size_t>(first + begin + i + 1)]);
        sum += log_sum_exp(row) - row[next];
      }
    }
    result.tokens += count;
  }
  result.mean_nll = sum / static_cast<double>(result.tokens);
  return result;
}

}  // namespace deskhand
