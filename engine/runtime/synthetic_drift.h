/// Drift that is told instead of found, for shapes without weights.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hc::runtime {

/// Drift without meaning, for shapes without weights: attention of random weights says nothing, so
/// these decide which checks trigger and which rows are new. Checks and fetches run for real.
struct SyntheticDrift {
    double rate = 0.15;     ///< share of checks that trigger
    double new_rows = 0.5;  ///< share of wanted rows that are not resident
    double run = 5;         ///< mean tokens per run of neighbouring rows
    std::uint64_t seed = 1;
};

/// "synthetic:rate=0.15,new=0.5,run=5,seed=1"; any part may be left out. Throws Error(kUsage).
[[nodiscard]] SyntheticDrift parse_synthetic_drift(std::string_view text);
[[nodiscard]] std::string to_string(const SyntheticDrift& drift);

}  // namespace hc::runtime
