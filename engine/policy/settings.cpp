#include "engine/policy/settings.h"

#include <string>

#include "engine/core/error.h"

namespace hc::policy {
namespace {

/// Windows, sinks and the like beyond this are mistakes, and would overflow sums of them.
constexpr std::int32_t kLargest = 1 << 24;

void require(bool holds, const std::string& field, const std::string& found,
             const std::string& expected) {
    if (!holds) throw_usage(field + " is " + found + ", expected " + expected);
}

void require_between(const std::string& field, std::int32_t value, std::int32_t lowest) {
    require(value >= lowest && value <= kLargest, field, std::to_string(value),
            std::to_string(lowest) + " to " + std::to_string(kLargest));
}

}  // namespace

void validate(const Settings& settings) {
    require(settings.mode == Mode::kReference || settings.mode == Mode::kFixed, "mode",
            std::to_string(static_cast<int>(settings.mode)), "reference or fixed");
    // Written so that a NaN fails too.
    require(settings.ratio > 0.0 && settings.ratio <= 1.0, "ratio", std::to_string(settings.ratio),
            "more than 0 and at most 1");
    require_between("window", settings.window, 1);
    require(settings.stable_threshold >= 0.0 && settings.stable_threshold <= 1.0,
            "stable_threshold", std::to_string(settings.stable_threshold), "0 to 1");
    require_between("commit_lag", settings.commit_lag, 0);
    require_between("sink", settings.sink, 0);
    require_between("recent", settings.recent, 0);
    require_between("pool_width", settings.pool_width, 1);
    require(settings.pool_width % 2 == 1, "pool_width", std::to_string(settings.pool_width),
            "an odd number");
}

}  // namespace hc::policy
