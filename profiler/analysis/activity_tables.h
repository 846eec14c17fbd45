/// What ran on the devices and what was called, by name and by kind.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "profiler/analysis/activity.h"
#include "profiler/analysis/group_times.h"

namespace hc::analysis {

struct KernelTotal {
    NameIndex name = kNoName;
    GroupTimes time;
    /// Of the sum over all kernels' durations (kernels at one time count each).
    double share = 0;
};
/// Largest total first.
[[nodiscard]] std::vector<KernelTotal> kernel_totals(const Activity& activity);

struct CopyTotal {
    std::int32_t kind = 0;
    std::int8_t source_memory = -1, target_memory = -1;  ///< -1: not known, or mixed
    GroupTimes time;
    std::int64_t bytes = 0;
    std::int64_t median_bytes = 0;  ///< nearest rank: the lower of the middle two
    /// Bytes over the sum of the durations: of one copy, not of several at one time. nullopt: no
    /// duration.
    std::optional<double> gb_per_s;
};
/// By kind of copy and kinds of memory, largest total time first.
[[nodiscard]] std::vector<CopyTotal> copy_totals(const Activity& activity);

/// Copies of one kind whose size lies in (a quarter of `up_to_bytes`, `up_to_bytes`].
struct CopySizeClass {
    std::int32_t kind = 0;
    std::int64_t up_to_bytes = 0;  ///< 0: copies of no bytes; else a power of 4 from 1 KiB
    std::int64_t count = 0;
    std::int64_t bytes = 0;
    std::int64_t total_ns = 0;
};
/// By kind, then size, both ascending; classes without copies are left out. The smallest class
/// holds everything from 1 byte to 1 KiB.
[[nodiscard]] std::vector<CopySizeClass> copy_sizes(const Activity& activity);
/// "<= 64 KiB".
[[nodiscard]] std::string size_class_name(std::int64_t up_to_bytes);

struct MemsetTotal {
    GroupTimes time;
    std::int64_t bytes = 0;
};
[[nodiscard]] MemsetTotal memset_total(const Activity& activity);

struct ApiTotal {
    NameIndex name = kNoName;
    GroupTimes time;
    std::int64_t failed = 0;
};
/// Largest total first. Calls within calls (the driver's in the runtime's) count in both.
[[nodiscard]] std::vector<ApiTotal> api_totals(const Activity& activity);

struct SyncTotal {
    SyncType type{};
    GroupTimes time;
};
/// Largest total first.
[[nodiscard]] std::vector<SyncTotal> sync_totals(const Activity& activity);
[[nodiscard]] std::string sync_type_name(SyncType type);

struct RangeTotal {
    NameIndex name = kNoName;
    GroupTimes time;  ///< on the host's clock
};
/// NVTX ranges by name, largest total first.
[[nodiscard]] std::vector<RangeTotal> range_totals(const Activity& activity);

}  // namespace hc::analysis
