/// Drift that is told instead of found, for shapes without weights.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hc::runtime {

/// What a recorded check decided.
struct ToldCheck {
    bool triggered = false;
    double new_rows = 0;  ///< share of wanted rows that were fetched, 0 where nothing was
    double run = 1;       ///< mean tokens per run of them
};

/// Drift without meaning, for shapes without weights: attention of random weights says nothing, so
/// these decide which checks trigger and which rows are new. Checks and fetches run for real.
struct SyntheticDrift {
    double rate = 0.15;     ///< share of checks that trigger
    double new_rows = 0.5;  ///< share of wanted rows that are not resident
    double run = 5;         ///< mean tokens per run of neighbouring rows
    std::uint64_t seed = 1;
    /// Not empty: these decide instead of rate, new_rows and run. Checks of each recorded star in
    /// order of steps, none empty.
    std::vector<std::vector<ToldCheck>> told = {};
    std::string told_by = {};  ///< where `told` comes from, "trace:run.sqlite,run=1"
};

/// What decides the check that `star` makes at decode step `step` (from `window` on): the checks of
/// recorded star `star` modulo their number, in turn, from the first again after the last.
[[nodiscard]] const ToldCheck& told_check(const SyntheticDrift& drift, std::int32_t star,
                                          std::int64_t step, std::int32_t window);

/// "synthetic:rate=0.15,new=0.5,run=5,seed=1"; any part may be left out. Throws Error(kUsage).
[[nodiscard]] SyntheticDrift parse_synthetic_drift(std::string_view text);
[[nodiscard]] std::string to_string(const SyntheticDrift& drift);

}  // namespace hc::runtime
