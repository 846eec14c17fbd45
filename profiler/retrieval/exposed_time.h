/// How long a stream stood still for a transfer.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "profiler/analysis/metrics.h"
#include "profiler/retrieval/process_ranges.h"

namespace hc::retrieval {

/// A transfer and the first work that needed it, as indexes into the work of a process.
struct AwaitedTransfer {
    WorkList transfer;
    std::size_t consumer = 0;
};

class ExposedTime {
public:
    /// `work` is by start and borrowed; `computes[i]` says that work i is computation (a kernel of
    /// no fetch).
    ExposedTime(std::span<const GpuWork> work, const std::vector<bool>& computes);

    /// One number per transfer, ns (see retrieval_from_nvtx()). A moment for which several are to
    /// blame counts for the first alone, so that the sum is a time that passed.
    [[nodiscard]] std::vector<std::int64_t> of(std::span<const AwaitedTransfer> transfers) const;

private:
    [[nodiscard]] std::vector<analysis::Interval> waits(const AwaitedTransfer& awaited) const;

    std::span<const GpuWork> work_;
    std::map<std::int32_t, WorkList> by_stream_;
    std::map<std::int32_t, std::vector<analysis::Interval>> compute_;  // by device, disjoint
};

}  // namespace hc::retrieval
