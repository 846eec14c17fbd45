/// Sums and medians over many operations.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace hc::analysis {

/// Wraps where the amounts of a hostile file would overflow; real ones are far from it.
inline void add_wrapping(std::int64_t& total, std::int64_t value) {
    total = static_cast<std::int64_t>(static_cast<std::uint64_t>(total) +
                                      static_cast<std::uint64_t>(value));
}

/// The median of Distribution without a whole sort; 0 for none. Reorders `values`.
inline double median_in_place(std::vector<double>& values) {
    if (values.empty()) return 0;
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    if (values.size() % 2 == 1) return *middle;
    return (*std::max_element(values.begin(), middle) + *middle) / 2;
}

}  // namespace hc::analysis
