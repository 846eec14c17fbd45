/// When a run's transfers ran, for asking how much of an operation lay beside one.
#pragma once

#include <cstdint>
#include <vector>

#include "profiler/trace/columns.h"

namespace hc::sim {

class TransferTimes {
public:
    explicit TransferTimes(const trace::RunData& run);

    /// Nanoseconds of [start, end) in which a transfer of another stream ran.
    [[nodiscard]] std::int64_t beside(std::int64_t start_ns, std::int64_t end_ns) const;

private:
    struct Span {
        std::int64_t start_ns = 0;
        std::int64_t end_ns = 0;
    };
    std::vector<Span> spans_;  // disjoint, ascending
};

}  // namespace hc::sim
