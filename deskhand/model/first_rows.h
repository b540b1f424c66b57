// Buffers are made for the largest pass; smaller ones use their beginning.
#pragma once
#include "deskhand/tensor/tensor.h"

namespace deskhand {

// The first rows of a buffer, each row flat: (rows, elements of a row).
inline View first_rows(Tensor& buffer, std::int64_t rows) {
  const View part = buffer.view().rows(0, rows);
  return part.reshaped({rows, rows == 0 ? part.shape().last() : part.shape().elements() / rows});
}

}  // namespace deskhand
