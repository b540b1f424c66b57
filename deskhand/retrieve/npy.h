// NumPy's .npy, versions 1.0 and 2.0, for float32 matrices: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
// Other types, Fortran order and other than two dimensions are refused by name.
#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace deskhand {

struct NpyMatrix {
  std::int64_t rows = 0, columns = 0;
  std::vector<float> values;  // (rows, columns), row-major
};

// Written whole or not at all. values: (rows, columns). Throws Error(kCannotWrite).
void write_npy(const std::filesystem::path& path, std::span<const float> values, std::int64_t rows, std::int64_t columns);
// Throws Error(kNotFound), or Error(kBadInput) for anything but a whole float32 matrix.
NpyMatrix read_npy(const std::filesystem::path& path);

}  // namespace deskhand
