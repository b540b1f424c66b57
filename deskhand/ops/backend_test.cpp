#include <doctest/doctest.h>

#include "deskhand/ops/backend.h"

using namespace deskhand;

TEST_CASE("a workspace keeps its memory, aligned, and tells its slots apart") {
  Workspace workspace;
  float* first = workspace.get<float>(0, 100);
  float* second = workspace.get<float>(3, 7);
  CHECK(reinterpret_cast<std::uintptr_t>(first) % 64 == 0);
  CHECK(reinterpret_cast<std::uintptr_t>(second) % 64 == 0);
  CHECK(workspace.get<float>(0, 50) == first);
  CHECK(workspace.get<float>(3, 7) == second);
}

TEST_CASE("a processor without the wider registers claims nothing that needs them") {
  const CpuFeatures cpu = CpuFeatures::detect();
  CHECK((cpu.avx512 || !cpu.avx512_vnni));
  CHECK((cpu.avx512 || !cpu.avx512_bf16));
  CHECK(CpuFeatures{}.text().empty());
}
