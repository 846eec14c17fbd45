/// Quantised weights rearranged for int8 dot products.
///
/// Sixteen neighbouring rows form a panel, and a panel is a sequence of blocks of 32 columns, so
/// that one pass over a panel reads one stream. In a block of 8-bit codes, line j (64 bytes)
/// holds columns 4j..4j+3 of row 0, then of row 1, and so on: one vector lane per row. In a
/// block of 4-bit codes, line j holds columns 4j..4j+3 in the low nibbles and 16+4j..16+4j+3 in
/// the high ones. The codes are followed by the 16 scales and, with a minimum, the 16 minima,
/// as halves. Rows beyond the last are zeros.
///
/// Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0 keep their values exactly. Q4_K and Q5_K keep their codes,
/// while scale and minimum of a sub-block are rounded to half (relative error up to 2^-11). Q6_K
/// is quantised anew to 8 bits per 32 (error up to 1/254 of the largest of the 32).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "engine/core/dtype.h"
#include "kernels/cpu/kernel_table.h"

namespace hc::kernels::cpu {

/// How a type is packed; nullopt for types that the int8 kernels do not serve.
[[nodiscard]] std::optional<PackKind> pack_kind(DType type);

/// Writes panel `panel` of w, cols / 32 blocks of pack_block_bytes(kind), to `out`.
void pack_panel(const WeightView& w, PackKind kind, std::int64_t panel, std::byte* out);

}  // namespace hc::kernels::cpu
