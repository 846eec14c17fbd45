/// What leads to what: check -> fetch -> commit -> first use, and API call -> kernel or copy.
#pragma once

#include <optional>
#include <vector>

#include "gui/models/run_view.h"

namespace hc::gui {

struct FlowArrow {
    EventRef from, to;
    [[nodiscard]] bool operator==(const FlowArrow&) const = default;
};

/// Row of data.fetches that the event belongs to: one of its pieces, its check, its transfer, its
/// commit, or the attention that first used its rows.
[[nodiscard]] std::optional<std::size_t> fetch_of(const RunView& view, const EventRef& event);

/// The chain of a fetch, as far as the trace knows it, in order of time: the operations of its
/// check, its transfer, its commit and its first use.
[[nodiscard]] std::vector<EventRef> flow_of_fetch(const RunView& view, std::size_t fetch_row);

/// A graph launch leads to thousands of kernels; more than these are not drawn.
inline constexpr std::size_t kMaxArrows = 64;
/// All that the event leads to and what led to it.
[[nodiscard]] std::vector<FlowArrow> flow_of(const RunView& view, const EventRef& event);

/// The correlation id of an activity event; 0: none.
[[nodiscard]] std::uint32_t correlation_of(const LaneSet& lanes, const EventRef& event);

}  // namespace hc::gui
