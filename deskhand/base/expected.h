// Expected<T, E>: a value, or the ordinary reason why there is none. C++23's std::expected, cut to what is used here.
#pragma once
#include <utility>
#include <variant>

#include "deskhand/base/error.h"

namespace deskhand {

template <class E>
struct Unexpected {
  E error;
};
template <class E>
Unexpected(E) -> Unexpected<E>;

template <class T, class E>
class Expected {
 public:
  Expected(T value) : state_(std::in_place_index<0>, std::move(value)) {}                           // NOLINT: implicit, as in the standard
  Expected(Unexpected<E> reason) : state_(std::in_place_index<1>, std::move(reason.error)) {}       // NOLINT

  bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  const T& value() const {
    DESKHAND_ASSERT(has_value(), "value() of an Expected that holds an error");
    return std::get<0>(state_);
  }
  T& value() {
    DESKHAND_ASSERT(has_value(), "value() of an Expected that holds an error");
    return std::get<0>(state_);
  }
  const E& error() const {
    DESKHAND_ASSERT(!has_value(), "error() of an Expected that holds a value");
    return std::get<1>(state_);
  }
  const T& operator*() const { return value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, E> state_;
};

}  // namespace deskhand
