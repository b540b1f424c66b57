#include "deskhand/classify/logistic_regression.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <utility>

#include "deskhand/base/error.h"
#include "deskhand/base/interrupt.h"

namespace deskhand {
namespace {

using Vector = std::vector<double>;
constexpr std::size_t kBlock = 8192;  // of a sum: its parts are added in order, so threads change nothing

// The rows in the two orders that the products need, without columns that only one row has (those are `own`, see below).
class Products {
 public:
  Products(const RowsView& rows, bool for_sums, ThreadPool& pool) : rows_(rows), pool_(pool) {
    if (!rows.sparse()) return;
    const SparseRows& sparse = *rows.sparse();
    if (for_sums) {
      keep_shared(sparse);
    } else {
      by_row_ = &sparse;
    }
    by_column_ = transpose(*by_row_);
  }
  Products(const Products&) = delete;
  Products& operator=(const Products&) = delete;

  // out (rows, K) = X w, w (columns, K).
  void times(std::span<const double> w, std::size_t K, std::span<double> out) const {
    pool_.parallel_for(rows_.count(), 32, [&](std::int64_t begin, std::int64_t end, int) {
      for (auto r = begin; r < end; ++r) {
        double* sums = out.data() + static_cast<std::size_t>(r) * K;
        std::fill(sums, sums + K, 0.0);
        if (by_row_) {
          const auto row = by_row_->row(r);
          for (std::size_t i = 0; i < row.columns.size(); ++i)
            add(row.values[i], &w[static_cast<std::size_t>(row.columns[i]) * K], sums, K);
        } else {
          const auto row = rows_.dense_row(r);
          for (std::size_t c = 0; c < row.size(); ++c) add(row[c], &w[c * K], sums, K);
        }
      }
    });
  }

  // out (columns, K) = X' r, r (rows, K).
  void transposed_times(std::span<const double> r, std::size_t K, std::span<double> out) const {
    if (by_row_) {
      pool_.parallel_for(by_column_.count(), 256, [&](std::int64_t begin, std::int64_t end, int) {
        for (auto c = begin; c < end; ++c) {
          double* sums = out.data() + static_cast<std::size_t>(c) * K;
          std::fill(sums, sums + K, 0.0);
          const auto column = by_column_.row(c);
          for (std::size_t i = 0; i < column.columns.size(); ++i)
            add(column.values[i], &r[static_cast<std::size_t>(column.columns[i]) * K], sums, K);
        }
      });
      return;
    }
    std::fill(out.begin(), out.end(), 0.0);
    pool_.parallel_for(rows_.width(), 16, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t row = 0; row < rows_.count(); ++row) {
        const auto values = rows_.dense_row(row);
        for (auto c = static_cast<std::size_t>(begin); c < static_cast<std::size_t>(end); ++c)
          add(values[c], &r[static_cast<std::size_t>(row) * K], &out[c * K], K);
      }
    });
  }

  // out (rows, K) = X X' r, in as many steps over the classes as keep what lies between in 256 MB.
  void gram_times(std::span<const double> r, std::size_t K, std::span<double> out) const {
    const auto columns = static_cast<std::size_t>(by_column_.count()), rows = static_cast<std::size_t>(rows_.count());
    const std::size_t at_once = std::clamp<std::size_t>((std::size_t{1} << 25) / std::max<std::size_t>(columns, 1), 1, K);
    Vector between(columns * at_once), some(rows * at_once), product(rows * at_once);
    for (std::size_t first = 0; first < K; first += at_once) {
      const std::size_t k = std::min(at_once, K - first);
      for (std::size_t i = 0; i < rows; ++i) std::copy_n(&r[i * K + first], k, &some[i * k]);
      transposed_times(some, k, between);
      times(between, k, product);
      for (std::size_t i = 0; i < rows; ++i)
        for (std::size_t j = 0; j < k; ++j) out[i * K + first + j] = product[i * k + j] + own_[i] * some[i * k + j];
    }
  }

 private:
  static void add(double factor, const double* from, double* to, std::size_t K) {
    for (std::size_t k = 0; k < K; ++k) to[k] += factor * from[k];
  }

  // In X X' a column of one row alone adds its square to the diagonal and nothing else: most pairs of words are such.
  void keep_shared(const SparseRows& sparse) {
    std::vector<std::int32_t> rows_with(static_cast<std::size_t>(sparse.width)), number(static_cast<std::size_t>(sparse.width));
    for (const auto column : sparse.columns) ++rows_with[static_cast<std::size_t>(column)];
    for (std::size_t c = 0; c < number.size(); ++c)
      if (rows_with[c] > 1) number[c] = static_cast<std::int32_t>(shared_.width++);
    own_.resize(static_cast<std::size_t>(sparse.count()));
    for (std::int64_t r = 0; r < sparse.count(); ++r) {
      const auto row = sparse.row(r);
      for (std::size_t i = 0; i < row.columns.size(); ++i) {
        const auto c = static_cast<std::size_t>(row.columns[i]);
        const double value = row.values[i];
        if (rows_with[c] > 1) {
          shared_.columns.push_back(number[c]);
          shared_.values.push_back(row.values[i]);
        } else {
          own_[static_cast<std::size_t>(r)] += value * value;
        }
      }
      shared_.begins.push_back(static_cast<std::int64_t>(shared_.columns.size()));
    }
    by_row_ = &shared_;
  }

  RowsView rows_;
  ThreadPool& pool_;
  SparseRows shared_, by_column_;
  const SparseRows* by_row_ = nullptr;  // null: dense
  Vector own_;                          // (rows), for gram_times
};

// The objective. A point of the search is one flat vector: coefficients (columns, K) and intercepts (K); or, with `sums`, A (rows, K) whose
// coefficients are X' A, then Z = X X' A (rows, K), then intercepts. Both forms are linear, so that the search adds and scales them alike.
class Objective {
 public:
  Objective(const RowsView& rows, std::vector<std::size_t> labels, Vector weights, std::size_t K, ThreadPool& pool)
      : rows_(static_cast<std::size_t>(rows.count())),
        K_(K),
        sums_(rows.sparse() && rows.width() / 2 > rows.count()),
        head_((sums_ ? rows_ : static_cast<std::size_t>(rows.width())) * K),
        penalty_(K == 2 ? 2 : 1),
        labels_(std::move(labels)),
        weights_(std::move(weights)),
        products_(rows, sums_, pool),
        pool_(pool),
        losses_(rows_),
        slopes_(rows_) {}

  std::size_t size() const { return head_ * (sums_ ? 2 : 1) + K_; }
  std::size_t margins_size() const { return rows_ * K_; }

  // Of coefficients; with intercepts too if asked.
  double dot(const Vector& u, const Vector& v, bool intercepts = true) const {
    const double* other = v.data() + (sums_ ? head_ : 0);
    Vector parts((head_ + kBlock - 1) / kBlock);
    pool_.parallel_for(static_cast<std::int64_t>(parts.size()), 4, [&](std::int64_t begin, std::int64_t end, int) {
      for (auto b = static_cast<std::size_t>(begin); b < static_cast<std::size_t>(end); ++b)
        for (std::size_t i = b * kBlock; i < std::min(head_, (b + 1) * kBlock); ++i) parts[b] += u[i] * other[i];
    });
    double sum = 0;
    for (const double part : parts) sum += part;
    if (intercepts)
      for (std::size_t i = size() - K_; i < size(); ++i) sum += u[i] * v[i];
    return sum;
  }

  // (rows, K) = X coefficients + intercepts
  void margins(const Vector& at, Vector& out) const {
    if (sums_) {
      std::copy_n(at.begin() + static_cast<std::ptrdiff_t>(head_), head_, out.begin());
    } else {
      products_.times(std::span(at).first(head_), K_, out);
    }
    const double* intercepts = &at[size() - K_];
    for (std::size_t i = 0; i < rows_; ++i)
      for (std::size_t k = 0; k < K_; ++k) out[i * K_ + k] += intercepts[k];
  }

  struct Value {
    double loss = 0, slope = 0;  // of the loss alone along `direction`
  };
  // Loss at margins + step * direction; `residuals` (rows, K), if given, becomes weight (probability - truth).
  Value loss(const Vector& margins, const Vector& direction, double step, Vector* residuals) {
    pool_.parallel_for(static_cast<std::int64_t>(rows_), 64, [&](std::int64_t begin, std::int64_t end, int) {
      Vector p(K_);
      for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
        double top = -HUGE_VAL, sum = 0, slope = 0;
        for (std::size_t k = 0; k < K_; ++k) top = std::max(top, p[k] = margins[i * K_ + k] + step * direction[i * K_ + k]);
        const double right = p[labels_[i]];
        for (std::size_t k = 0; k < K_; ++k) sum += p[k] = std::exp(p[k] - top);
        for (std::size_t k = 0; k < K_; ++k) {
          const double residual = p[k] / sum - (k == labels_[i] ? 1 : 0);
          slope += residual * direction[i * K_ + k];
          if (residuals) (*residuals)[i * K_ + k] = weights_[i] * residual;
        }
        losses_[i] = weights_[i] * (top + std::log(sum) - right);
        slopes_[i] = weights_[i] * slope;
      }
    });
    Value value;
    for (std::size_t i = 0; i < rows_; ++i) value.loss += losses_[i], value.slope += slopes_[i];
    return value;
  }

  void gradient(const Vector& at, const Vector& residuals, Vector& out) const {
    if (sums_) {
      std::copy(residuals.begin(), residuals.end(), out.begin());
      products_.gram_times(residuals, K_, std::span(out).subspan(head_, head_));
    } else {
      products_.transposed_times(residuals, K_, std::span(out).first(head_));
    }
    for (std::size_t i = 0; i < size() - K_; ++i) out[i] += penalty_ * at[i];
    double* intercepts = &out[size() - K_];
    std::fill(intercepts, intercepts + K_, 0.0);
    for (std::size_t i = 0; i < rows_; ++i)
      for (std::size_t k = 0; k < K_; ++k) intercepts[k] += residuals[i * K_ + k];
  }

  double penalty() const { return penalty_; }
  bool sums() const { return sums_; }

 private:
  std::size_t rows_, K_;
  bool sums_;
  std::size_t head_;  // what a dot product runs over
  double penalty_;    // two classes: their coefficients are opposite, and scikit-learn's penalty is that of the difference
  std::vector<std::size_t> labels_;
  Vector weights_;  // (rows) C times the class's weight
  Products products_;
  ThreadPool& pool_;
  Vector losses_, slopes_;
};

void add(Vector& to, double factor, const Vector& from) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] += factor * from[i];
}

struct Minimum {
  Vector at;
  int iterations = 0;
  bool converged = false;
};

// L-BFGS. A step along a line costs no product with the rows: margins are linear in it.
Minimum minimise(Objective& objective, double tolerance, int max_iterations) {
  struct Pair {
    Vector s, y;
    double rho;
  };
  const std::size_t size = objective.size();
  const std::size_t memory = std::clamp<std::size_t>((std::size_t{1} << 26) / std::max<std::size_t>(2 * size, 1), 3, 10);  // 512 MB
  std::deque<Pair> history;
  Minimum found{.at = Vector(size)};
  Vector margins(objective.margins_size()), along(margins.size()), residuals(margins.size()), gradient(size), next(size), direction;
  double loss = objective.loss(margins, along, 0, &residuals).loss;
  objective.gradient(found.at, residuals, gradient);
  double square = 0;  // of the coefficients
  for (;; ++found.iterations) {
    check_interrupt();
    const double length = std::sqrt(std::max(0.0, objective.dot(gradient, gradient)));
    found.converged = length <= tolerance;
    if (found.converged || found.iterations == max_iterations) return found;

    direction = gradient;
    std::vector<double> alphas;
    for (auto pair = history.rbegin(); pair != history.rend(); ++pair) {
      alphas.push_back(pair->rho * objective.dot(pair->s, direction));
      add(direction, -alphas.back(), pair->y);
    }
    const double scale = history.empty() ? 1 / length : 1 / (history.back().rho * objective.dot(history.back().y, history.back().y));
    for (double& value : direction) value *= -scale;
    for (auto& pair : history) {
      add(direction, -alphas.back() - pair.rho * objective.dot(pair.y, direction), pair.s);
      alphas.pop_back();
    }
    double slope = objective.dot(gradient, direction);
    if (!(slope < 0)) {  // only rounding is left of the history
      if (history.empty()) return found;
      history.clear();
      continue;
    }

    // A step where the value is lower and the slope is a tenth smaller, by halving and doubling.
    objective.margins(direction, along);
    const double mixed = objective.dot(found.at, direction, false), own = objective.dot(direction, direction, false);
    const double penalty = objective.penalty(), value = loss + penalty / 2 * square;
    double low = 0, high = HUGE_VAL, step = 1, new_loss = loss;
    bool stepped = false;
    for (int tries = 0; tries < 60 && !stepped; ++tries) {
      const auto there = objective.loss(margins, along, step, &residuals);
      const double new_value = there.loss + penalty / 2 * (square + 2 * step * mixed + step * step * own);
      const double new_slope = there.slope + penalty * (mixed + step * own);
      const bool too_far = !(new_value <= value + 1e-4 * step * slope + 1e-12 * std::abs(value)) || new_slope > -.9 * slope;
      if (too_far) {
        high = step;
      } else if (new_slope < .9 * slope) {
        low = step;
      } else {
        stepped = true;
        new_loss = there.loss;
        break;
      }
      step = high < HUGE_VAL ? (low + high) / 2 : 2 * step;
    }
    if (!stepped) {
      if (history.empty()) return found;
      history.clear();
      continue;
    }
    add(found.at, step, direction);
    add(margins, step, along);
    loss = new_loss;
    square = std::max(0.0, objective.dot(found.at, found.at, false));
    objective.gradient(found.at, residuals, next);
    for (double& v : direction) v *= step;
    for (std::size_t i = 0; i < size; ++i) gradient[i] = next[i] - gradient[i];
    const double curvature = objective.dot(direction, gradient);
    if (curvature > 0) {
      if (history.size() == memory) history.pop_front();
      history.push_back({direction, gradient, 1 / curvature});
    }
    std::swap(gradient, next);
  }
}

void check_finite(const RowsView& rows) {
  const auto check = [](std::span<const float> values, std::int64_t row) {
    for (const float value : values)
      if (!std::isfinite(value))
        throw Error(ExitCode::kBadInput, "row {} of what is to be classified holds {}, wanted finite numbers", row, value);
  };
  for (std::int64_t r = 0; r < rows.count(); ++r) check(rows.sparse() ? rows.sparse()->row(r).values : rows.dense_row(r), r);
}

}  // namespace

LogisticRegression LogisticRegression::fit(const RowsView& rows, std::span<const std::string> labels, const LogisticSettings& settings,
                                           ThreadPool& pool) {
  if (rows.count() == 0) throw Error(ExitCode::kBadInput, "there is nothing to learn labels from: at least one row is wanted");
  if (static_cast<std::int64_t>(labels.size()) != rows.count())
    throw Error(ExitCode::kBadInput, "there are {} labels for {} rows: one for each is wanted", labels.size(), rows.count());
  if (!(settings.C > 0 && std::isfinite(settings.C))) throw Error(ExitCode::kUsage, "C must be a number above 0; found {}", settings.C);
  check_finite(rows);

  LogisticRegression model;
  model.width_ = rows.width();
  std::map<std::string_view, std::int64_t> counts;
  for (const auto& label : labels) ++counts[label];
  std::map<std::string_view, std::size_t> number;
  for (const auto& [label, count] : counts) {
    number[label] = model.classes_.size();
    model.classes_.emplace_back(label);
  }
  const std::size_t K = model.classes_.size(), width = static_cast<std::size_t>(rows.width());
  model.coefficients_.assign(width * K, 0);
  model.intercepts_.assign(K, 0);
  if (K == 1) return model;

  std::vector<std::size_t> numbers;
  Vector weights;
  for (const auto& label : labels) {
    numbers.push_back(number[label]);
    const auto balance = static_cast<double>(labels.size()) / static_cast<double>(K) / static_cast<double>(counts[label]);
    weights.push_back(settings.C * (settings.balanced ? balance : 1));
  }
  Objective objective(rows, std::move(numbers), std::move(weights), K, pool);
  const Minimum found = minimise(objective, settings.tolerance, settings.max_iterations);
  model.iterations_ = found.iterations;
  model.converged_ = found.converged;
  std::copy(found.at.end() - static_cast<std::ptrdiff_t>(K), found.at.end(), model.intercepts_.begin());
  if (!objective.sums()) {
    std::copy_n(found.at.begin(), width * K, model.coefficients_.begin());
    return model;
  }
  const SparseRows by_column = transpose(*rows.sparse());
  Vector sums(K);
  for (std::size_t c = 0; c < width; ++c) {
    std::fill(sums.begin(), sums.end(), 0.0);
    const auto column = by_column.row(static_cast<std::int64_t>(c));
    for (std::size_t i = 0; i < column.columns.size(); ++i)
      for (std::size_t k = 0; k < K; ++k)
        sums[k] += double{column.values[i]} * found.at[static_cast<std::size_t>(column.columns[i]) * K + k];
    std::copy(sums.begin(), sums.end(), model.coefficients_.begin() + static_cast<std::ptrdiff_t>(c * K));
  }
  return model;
}

std::vector<double> LogisticRegression::predict_proba(const RowsView& rows) const {
  DESKHAND_ASSERT(rows.width() == width_, "rows as wide as those learnt from");
  const std::size_t K = classes_.size();
  std::vector<double> all(static_cast<std::size_t>(rows.count()) * K);
  for (std::int64_t r = 0; r < rows.count(); ++r) {
    const std::span<double> p = std::span(all).subspan(static_cast<std::size_t>(r) * K, K);
    std::copy(intercepts_.begin(), intercepts_.end(), p.begin());
    const auto add = [&](std::size_t column, double value) {
      for (std::size_t k = 0; k < K; ++k) p[k] += value * coefficients_[column * K + k];
    };
    if (const SparseRows* sparse = rows.sparse()) {
      const auto row = sparse->row(r);
      for (std::size_t i = 0; i < row.columns.size(); ++i) add(static_cast<std::size_t>(row.columns[i]), row.values[i]);
    } else {
      const auto row = rows.dense_row(r);
      for (std::size_t c = 0; c < row.size(); ++c) add(c, row[c]);
    }
    const double top = *std::max_element(p.begin(), p.end());
    double sum = 0;
    for (double& value : p) sum += value = std::exp(value - top);
    for (double& value : p) value /= sum;
  }
  return all;
}

}  // namespace deskhand
