#include "engine/runtime/synthetic_drift.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "engine/core/error.h"

namespace hc::runtime {
namespace {

constexpr std::string_view kPrefix = "synthetic:";

double number(std::string_view text, std::string_view key, double low, double high) {
    double value = 0;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (status != std::errc{} || end != text.data() + text.size() ||
        !(value >= low && value <= high)) {
        throw_usage(
            fmt::format("--drift {}={}: expected a number from {} to {}", key, text, low, high));
    }
    return value;
}

}  // namespace

SyntheticDrift parse_synthetic_drift(std::string_view text) {
    if (text != "synthetic" && !text.starts_with(kPrefix)) {
        throw_usage(fmt::format(
            "--drift '{}': expected synthetic:rate=SHARE,new=SHARE,run=TOKENS,seed=N or trace:FILE",
            text));
    }
    SyntheticDrift drift;
    std::string_view rest = text.starts_with(kPrefix) ? text.substr(kPrefix.size()) : "";
    while (!rest.empty()) {
        const std::size_t comma = std::min(rest.find(','), rest.size());
        const std::string_view pair = rest.substr(0, comma);
        rest.remove_prefix(std::min(comma + 1, rest.size()));
        const std::size_t equals = std::min(pair.find('='), pair.size());
        const std::string_view key = pair.substr(0, equals);
        const std::string_view value = pair.substr(std::min(equals + 1, pair.size()));
        if (key == "rate") {
            drift.rate = number(value, key, 0, 1);
        } else if (key == "new") {
            drift.new_rows = number(value, key, 0, 1);
        } else if (key == "run") {
            drift.run = number(value, key, 1, 1e6);
        } else if (key == "seed") {
            drift.seed = static_cast<std::uint64_t>(number(value, key, 0, 9e15));
        } else {
            throw_usage(fmt::format("--drift '{}': no part '{}'; there are rate, new, run, seed",
                                    text, key));
        }
    }
    return drift;
}

const ToldCheck& told_check(const SyntheticDrift& drift, std::int32_t star, std::int64_t step,
                            std::int32_t window) {
    HC_CHECK(!drift.told.empty() && star >= 0 && window >= 1 && step >= window);
    const std::vector<ToldCheck>& checks =
        drift.told[static_cast<std::size_t>(star) % drift.told.size()];
    return checks[static_cast<std::size_t>(step / window - 1) % checks.size()];
}

std::string to_string(const SyntheticDrift& drift) {
    if (!drift.told.empty()) return drift.told_by;
    return fmt::format("synthetic:rate={},new={},run={},seed={}", drift.rate, drift.new_rows,
                       drift.run, drift.seed);
}

}  // namespace hc::runtime
