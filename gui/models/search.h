/// Finds events by name, duration, layer and step, over all lanes at once.
#pragma once

#include <QString>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "gui/models/run_view.h"

namespace hc::gui {

/// What a person typed, taken apart. Words are joined to one text that a name must hold,
/// whatever its case; these are conditions beside it:
///   dur>10us dur<1.5ms   longer, shorter (ns, us, ms, s)
///   layer=12 step=40     of operations, layers, steps
///   track:worker         the track's title holds it
///   /expression/         a regular expression instead of a text
struct SearchQuery {
    QString text;
    bool is_expression = false;
    std::optional<double> longer_than_ns, shorter_than_ns;
    std::optional<std::int64_t> layer, step;
    QString track;

    [[nodiscard]] bool empty() const {
        return text.isEmpty() && !longer_than_ns && !shorter_than_ns && !layer && !step &&
               track.isEmpty();
    }
};

/// nullopt: cannot be understood; `problem` then says why, in one line.
[[nodiscard]] std::optional<SearchQuery> parse_query(const QString& text, QString& problem);

struct SearchHits {
    std::vector<std::vector<std::uint32_t>> in_lane;  ///< indexes of events, ascending
    std::vector<std::uint8_t> names;                  ///< [name]: 1 where the text matches
    std::size_t count = 0;
    double elapsed_ms = 0;

    /// The k-th hit, lane by lane. k < count.
    [[nodiscard]] EventRef at(std::size_t k) const;
    /// The nearest hit that starts after (+1) or before (-1) the place; wraps around at the ends.
    /// `from` none: from the time on. nullopt without hits.
    [[nodiscard]] std::optional<EventRef> next(const LaneSet& lanes, std::optional<EventRef> from,
                                               double time_ns, int direction) const;
};
using SearchHitsPtr = std::shared_ptr<const SearchHits>;

/// nullptr: cancelled.
[[nodiscard]] SearchHitsPtr search(const RunView& view, const SearchQuery& query,
                                   const std::atomic<bool>& cancelled);

}  // namespace hc::gui
