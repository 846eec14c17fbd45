/// Sums over what a file claims.
#pragma once

#include <cstdint>

namespace hc::analysis {

/// Wraps where the amounts of a hostile file would overflow; real ones are far from it.
inline void add_wrapping(std::int64_t& total, std::int64_t value) {
    total = static_cast<std::int64_t>(static_cast<std::uint64_t>(total) +
                                      static_cast<std::uint64_t>(value));
}

}  // namespace hc::analysis
