#include "deskhand/ops/embed.h"

#include "deskhand/ops/dequantize.h"

namespace deskhand {

void embed(const Backend& on, View out, std::span<const std::int32_t> tokens, ConstView table) {
  DESKHAND_ASSERT(is_activation(on, out.type()) && table.shape().rank() == 2, "(V, C) of table");
  DESKHAND_ASSERT((out.shape() == Shape{static_cast<std::int64_t>(tokens.size()), table.shape()[1]}), "(N, C) of out");
  for (const auto token : tokens) DESKHAND_ASSERT(token >= 0 && token < table.shape()[0], "a token that the table has");
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::embed(on, out, tokens, table);
  // A row is a few kilobytes: a copy, not worth waking threads for.
  for (std::size_t i = 0; i < tokens.size(); ++i) dequantize(on, out.rows(static_cast<std::int64_t>(i), 1), table.rows(tokens[i], 1));
}

void embed_backward(const Backend& on, View d_table, std::span<const std::int32_t> tokens, ConstView d_out) {
  DESKHAND_ASSERT(d_table.type() == DType::kF32 && d_table.shape().rank() == 2, "(V, C) f32 of d_table");
  DESKHAND_ASSERT(is_activation(on, d_out.type()) && (d_out.shape() == Shape{static_cast<std::int64_t>(tokens.size()), d_table.shape()[1]}),
                  "(N, C) of d_out");
  for (const auto token : tokens) DESKHAND_ASSERT(token >= 0 && token < d_table.shape()[0], "a token that the table has");
  if (on.kind == Backend::Kind::kReference) return reference::embed_backward(d_table, tokens, d_out);
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::embed_backward(on, d_table, tokens, d_out);
  require_cpu(on);
  cpu::embed_backward(on, d_table, tokens, d_out);
}

}  // namespace deskhand
