// Up to four extents. Notation: notation.h.
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace deskhand {

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> extents);

  int rank() const noexcept { return rank_; }
  std::int64_t operator[](int axis) const;       // negative counts from the last
  std::int64_t elements() const noexcept;        // 1 for rank 0
  std::int64_t rows() const noexcept;            // elements / last extent
  std::int64_t last() const { return (*this)[-1]; }
  bool operator==(const Shape& other) const = default;
  std::string text() const;                      // "(512, 896)"

 private:
  std::array<std::int64_t, 4> extents_{};
  int rank_ = 0;
};

}  // namespace deskhand
