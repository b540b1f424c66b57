#include "deskhand/ops/shared_beginning.h"

#include <algorithm>
#include <array>
#include <utility>

#include "deskhand/ops/add.h"
#include "deskhand/ops/copy.h"

namespace deskhand {
namespace {

enum Slot : int { kQ = 24, kK, kV, kOut, kLogSumExp, kDOut, kDQ, kDK, kDV };  // above those of the ops

// The sequences but the first, one at a time behind the beginning.
class Sharing {
 public:
  Sharing(const Backend& on, std::span<const std::int32_t> bounds, std::int64_t shared)
      : on_(on), bounds_(bounds), begin_(bounds.front()), shared_(shared) {
    for (std::size_t i = 1; i + 1 < bounds.size(); ++i) longest_ = std::max<std::int64_t>(longest_, bounds[i + 1] - bounds[i]);
  }

  template <class Work>
  void for_each(const Work& work) {
    for (std::size_t i = 1; i + 1 < bounds_.size(); ++i) {
      first_ = bounds_[i];
      count_ = bounds_[i + 1] - first_;
      if (count_ > 0) work();
    }
  }
  std::array<std::int32_t, 2> bounds() const { return {0, static_cast<std::int32_t>(shared_ + count_)}; }

  // Room for the rows of a tensor, and those rows in it.
  View room(Slot slot, ConstView of) const {
    Shape shape =
        of.shape().rank() == 3 ? Shape{shared_ + longest_, of.shape()[1], of.shape()[2]} : Shape{shared_ + longest_, of.shape()[1]};
    return scratch(on_, slot, of.type(), shape).rows(0, shared_ + count_);
  }
  View gathered(Slot slot, ConstView from) const {
    const View whole = room(slot, from);
    copy(on_, beginning(whole), from.rows(begin_, shared_));
    copy(on_, own(whole), from.rows(first_, count_));
    return whole;
  }
  View beginning(View whole) const { return whole.rows(0, shared_); }
  View own(View whole) const { return whole.rows(shared_, count_); }
  void put_back(View to, View whole) const { copy(on_, to.rows(first_, count_), own(whole)); }
  View beginning_of_pass(View of) const { return of.rows(begin_, shared_); }

 private:
  const Backend& on_;
  std::span<const std::int32_t> bounds_;
  std::int64_t begin_, shared_, longest_ = 0, first_ = 0, count_ = 0;
};

// (N, H), however it was given.
template <class V>
V by_rows(V logsumexp, const Shape& q) {
  return logsumexp.reshaped({q[0], q[1]});
}

View as_matrix(View heads) {
  return heads.reshaped({heads.shape()[0], heads.shape()[1] * heads.shape()[2]});
}

}  // namespace

void gathered_attention(const Backend& on, View out, ConstView q, ConstView k, ConstView v, std::span<const std::int32_t> bounds,
                        AttentionOptions options, View logsumexp) {
  Sharing texts(on, bounds, std::exchange(options.shared, 0));
  attention(on, out, q, k, v, bounds.first(2), options, logsumexp);
  texts.for_each([&] {
    const View whole_out = texts.room(kOut, out);
    const View sums = logsumexp.empty() ? View() : texts.room(kLogSumExp, by_rows(logsumexp, q.shape()));
    attention(on, whole_out, texts.gathered(kQ, q), texts.gathered(kK, k), texts.gathered(kV, v), texts.bounds(), options, sums);
    texts.put_back(out, whole_out);
    if (!sums.empty()) texts.put_back(by_rows(logsumexp, q.shape()), sums);
  });
}

void gathered_attention_backward(const Backend& on, const AttentionGradients& gradients, ConstView d_out, const AttentionForward& forward,
                                 std::span<const std::int32_t> bounds, AttentionOptions options) {
  Sharing texts(on, bounds, std::exchange(options.shared, 0));
  attention_backward(on, gradients, d_out, forward, bounds.first(2), options);
  texts.for_each([&] {
    const View whole_d_out = texts.gathered(kDOut, d_out);
    clear(on, texts.beginning(whole_d_out));  // what it leaves counts once, in the first sequence
    const AttentionGradients whole{texts.room(kDQ, gradients.d_q), texts.room(kDK, gradients.d_k), texts.room(kDV, gradients.d_v)};
    const AttentionForward of_whole{texts.gathered(kQ, forward.q), texts.gathered(kK, forward.k), texts.gathered(kV, forward.v),
                                    texts.gathered(kOut, forward.out),
                                    texts.gathered(kLogSumExp, by_rows(forward.logsumexp, d_out.shape()))};
    attention_backward(on, whole, whole_d_out, of_whole, texts.bounds(), options);
    texts.put_back(gradients.d_q, whole.d_q);  // the beginning's d_q is zero
    texts.put_back(gradients.d_k, whole.d_k);
    texts.put_back(gradients.d_v, whole.d_v);
    for (const auto& [to, from] : {std::pair(gradients.d_k, whole.d_k), std::pair(gradients.d_v, whole.d_v)}) {
      const View sum = as_matrix(texts.beginning_of_pass(to));
      add(on, sum, sum, as_matrix(texts.beginning(from)));
    }
  });
}

}  // namespace deskhand
