/// Device work by the range of host time that asked for it: an NVTX range, a step of the engine.
///
/// Work is tied to a range by its API call, never by its own time: a kernel belongs to the range
/// in which it was launched, however late it ran.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "profiler/analysis/activity.h"
#include "profiler/analysis/launch_index.h"

namespace hc::analysis {

struct HostRange {
    std::int64_t start_ns = 0, end_ns = 0;
    std::int32_t thread = -1;  ///< index into Activity::threads; -1: calls of every thread
};

struct RangeWork {
    HostRange range;
    std::int64_t calls = 0;
    std::int64_t api_ns = 0;               ///< in which at least one of its threads was in a call
    std::int64_t kernels = 0, copies = 0;  ///< kernels without those that move data; with memsets
    std::int64_t copy_bytes = 0;           ///< of copies (what a kernel moves is not recorded)
    std::int64_t compute_ns = 0;  ///< union of compute (device_time.h), summed over devices
    std::int64_t transfer_ns = 0;
    std::int64_t both_ns = 0;
    /// From the first start to the last end of its work on a device, less compute, summed over
    /// devices.
    std::int64_t idle_ns = 0;
    /// From the first start to the last end of its work; 0 and 0 without any.
    std::int64_t device_start_ns = 0, device_end_ns = 0;

    [[nodiscard]] std::optional<double> overlap() const {
        if (transfer_ns == 0) return std::nullopt;
        return static_cast<double>(both_ns) / static_cast<double>(transfer_ns);
    }
};

/// NVTX ranges of that name, by start.
[[nodiscard]] std::vector<HostRange> ranges_named(const Activity& activity, std::string_view name);

/// One entry a range, in the order of `ranges` (by start). A call belongs to the range of its
/// thread that began last and has not ended at the call's start; a range's calls are those of the
/// thread that began it. `moves_data`: transfer_kernels() of device_time.h.
[[nodiscard]] std::vector<RangeWork> range_work(const Activity& activity,
                                                const LaunchIndex& launches,
                                                const std::vector<HostRange>& ranges,
                                                const std::vector<bool>& moves_data);

}  // namespace hc::analysis
