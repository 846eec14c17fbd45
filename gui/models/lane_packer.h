/// Distributes events that nest or overlap over lanes that do neither.
#pragma once

#include <cstdint>
#include <vector>

#include "gui/models/lane_events.h"

namespace hc::gui {

/// Times beyond 36 years either way are not times; bounded, differences cannot overflow.
[[nodiscard]] std::int64_t bounded_time(std::int64_t ns);

struct LaneEvent {
    std::int64_t start = 0;
    std::int64_t end = 0;
    std::uint32_t name = 0;
    std::uint32_t source = 0;
};

/// Gives each event the first row in which nothing runs any more: nesting goes down a row per
/// level, overlap makes a staircase. Events come in order of their starts.
class LanePacker {
public:
    /// The row. `start` is moved to where the row is free when there are too many rows already,
    /// which only a damaged or made-up file needs.
    [[nodiscard]] std::size_t place(std::int64_t& start, std::int64_t end);
    [[nodiscard]] std::size_t num_rows() const { return ends_.size(); }

private:
    static constexpr std::size_t kMaxRows = 256;
    std::size_t take(std::size_t row, std::int64_t start, std::int64_t end);
    std::vector<std::int64_t> ends_;
};

/// The rows of these events, in any order; longer ones first among equals, so that a parent
/// precedes its children.
[[nodiscard]] std::vector<LaneEvents> pack(std::vector<LaneEvent> events);
/// The same of columns; where nothing overlaps they become one lane as they are.
[[nodiscard]] std::vector<LaneEvents> pack(EventColumns columns);

}  // namespace hc::gui
