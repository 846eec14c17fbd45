/// Finds the step that an operation belongs to.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "profiler/trace/columns.h"

namespace hc::analysis {

/// Remembers the last answer: operations come nearly in the order of their steps.
class StepIndex {
public:
    /// `steps` ascend by step (RunData) and are borrowed.
    explicit StepIndex(const trace::Steps& steps) : steps_(steps) {}

    [[nodiscard]] std::optional<std::size_t> find(std::int64_t step) {
        if (last_ < steps_.size() && steps_.step[last_] == step) return last_;
        const auto at = std::lower_bound(steps_.step.begin(), steps_.step.end(), step);
        if (at == steps_.step.end() || *at != step) return std::nullopt;
        last_ = static_cast<std::size_t>(at - steps_.step.begin());
        return last_;
    }

private:
    const trace::Steps& steps_;
    std::size_t last_ = 0;
};

}  // namespace hc::analysis
