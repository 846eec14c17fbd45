/// Rows of CUDA activity on their way into lanes: sorted into tracks as they are read, packed when
/// all are there.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "gui/models/activity.h"
#include "gui/models/lanes.h"
#include "profiler/trace/activity_columns.h"
#include "profiler/trace/columns.h"

namespace hc::gui {

/// Not thread-safe; parts of a file may be collected side by side and joined.
class ActivityCollector {
public:
    /// Rows in any order; times count from the session's start.
    void add(const trace::Kernels& rows);
    void add(const trace::Memcpys& rows);
    void add(const trace::Memsets& rows);
    void add(const trace::Syncs& rows);
    void add(const trace::Apis& rows);
    void add(const trace::NvtxRanges& rows);
    /// Takes the rows of a later part of the same file.
    void append(ActivityCollector&& later);
    [[nodiscard]] std::size_t num_rows() const { return num_rows_; }

    /// Adds groups and lanes (without their indexes) and the names that they use. Leaves this
    /// empty. nullptr: there was nothing.
    [[nodiscard]] std::shared_ptr<const ActivityDetails> finish(
        const trace::Strings& strings, const trace::Launches& launches,
        const std::vector<trace::Stream>& streams, LaneSet& set);

private:
    using TrackKey = std::pair<LaneKind, std::int64_t>;
    EventColumns& track(LaneKind kind, std::int64_t id);
    void name_tracks(LaneSet& set, const ActivityDetails& details);
    void add_rate(LaneSet& set, const ActivityDetails& details, const LaneGroup& group, int kind);

    std::map<TrackKey, EventColumns> tracks_;  ///< names are ids of strings, launches or kinds
    std::optional<TrackKey> last_key_;
    EventColumns* last_track_ = nullptr;
    ActivityDetails details_;
    std::uint32_t num_nvtx_ = 0;
    std::size_t num_rows_ = 0;
};

}  // namespace hc::gui
