/// Events in words: for the tooltip, the details panel and labels.
#pragma once

#include <QString>
#include <utility>
#include <vector>

#include "gui/models/run_view.h"

namespace hc::gui {

/// One line of the details panel; an empty value makes `key` a heading.
struct Fact {
    QString key;
    QString value;
    [[nodiscard]] bool operator==(const Fact&) const = default;
};
using Facts = std::vector<Fact>;

/// "attention · layer 12", "step 41", "transfer · fetch 7".
[[nodiscard]] QString event_title(const RunView& view, const EventRef& event);
/// What fits into a bar: "attention L12".
[[nodiscard]] QString event_label(const RunView& view, const EventRef& event);
/// Title and the most important facts, one a line.
[[nodiscard]] QString event_tooltip(const RunView& view, const EventRef& event);
[[nodiscard]] Facts event_facts(const RunView& view, const EventRef& event);
/// A counter's value: "1.25 GB/s", "40.0 MiB", "0.87".
[[nodiscard]] QString counter_text(CounterUnit unit, double value);
/// The run in figures: where its decode time went.
[[nodiscard]] Facts run_facts(const RunView& view);

}  // namespace hc::gui
