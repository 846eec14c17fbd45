/// What led to what: check -> fetch -> commit -> first use.
#pragma once

#include <optional>
#include <vector>

#include "gui/models/run_view.h"

namespace hc::gui {

/// The row of data.fetches that an event belongs to: a piece of its life, or one of its
/// operations. An operation that serves several fetches (the check of several stars of a layer,
/// the attention that uses them all) gives the first.
[[nodiscard]] std::optional<std::size_t> fetch_of(const RunView& view, const EventRef& event);

/// The chain of a fetch as events of the operations' lanes, in order; steps of it that the trace
/// does not hold are left out.
[[nodiscard]] std::vector<EventRef> flow_of_fetch(const RunView& view, std::size_t fetch_row);

}  // namespace hc::gui
