/// Finds the API call that asked for a piece of device work.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "profiler/analysis/activity.h"

namespace hc::analysis {

/// Keyed by process and correlation id. Where several records share an id (a runtime call and the
/// driver call inside it), the one that began first counts.
class LaunchIndex {
public:
    /// `activity` is sorted and borrowed. 4 bytes a call where correlation ids lie close together,
    /// as CUPTI's do, else 16.
    explicit LaunchIndex(const Activity& activity);

    /// nullptr where the call was not recorded.
    [[nodiscard]] const ApiCall* find(std::int32_t stream, std::int64_t correlation) const;
    /// The position of find() in Activity::calls; kNone where there is none.
    static constexpr std::uint32_t kNone = 0xffffffffU;
    [[nodiscard]] std::uint32_t find_position(std::int32_t stream, std::int64_t correlation) const;

private:
    struct Entry {
        std::int64_t correlation;
        std::uint32_t call;
    };
    /// Of one process; either `direct` (by correlation - first) or `sorted` is filled.
    struct Process {
        std::int64_t first = 0;
        std::vector<std::uint32_t> direct;
        std::vector<Entry> sorted;
    };

    const Activity& activity_;
    std::unordered_map<std::int64_t, Process> processes_;
    std::vector<const Process*> by_stream_;
};

}  // namespace hc::analysis
