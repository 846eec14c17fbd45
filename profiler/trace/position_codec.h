/// How hc_rows and hc_attention hold prompt positions and their values in a few bytes each.
///
/// A blob starts with one byte that names its coding. Decoders take bytes from anywhere: every
/// length, count and position is checked, and a blob that is not exactly what it claims throws
/// BadData.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

#include "engine/core/head_profile.h"

namespace hc::trace {

class BadData : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

using Blob = std::vector<std::byte>;

/// More positions than any prompt has; keeps a hostile count from asking for memory.
inline constexpr std::size_t kMaxPositions = std::size_t{1} << 24;

/// Any order of positions, which is kept. Takes the shortest of three codings: differences as
/// variable-length integers, the same under zstd, or plain bits.
[[nodiscard]] Blob encode_positions(std::span<const Position> positions);

/// `count` positions below `prompt`, in the order in which they were given.
[[nodiscard]] Positions decode_positions(std::span<const std::byte> blob, std::size_t count,
                                         std::size_t prompt);

/// Non-negative values in 8 bits each on a logarithmic scale between their smallest positive one
/// and their largest; zero stays zero. Scaled so that the decoded values have the same sum.
[[nodiscard]] Blob encode_values(std::span<const float> values);
[[nodiscard]] std::vector<float> decode_values(std::span<const std::byte> blob, std::size_t count);

}  // namespace hc::trace
