/// The pictures of a report's page. Each returns one <figure>, or "" where there is nothing to
/// show.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/report_data.h"

namespace hc::cli {

/// A piece of a bar: what it is, how much, and its colour's class.
struct BarPart {
    std::string label;
    double ns = 0;
    std::string css_class;
};
/// One horizontal bar of parts with a legend that names each and its share.
[[nodiscard]] std::string parts_figure(const std::string& id, const std::string& title,
                                       const std::string& caption,
                                       const std::vector<BarPart>& parts);

/// Durations over time (steps or ranges) with a mark for each trigger.
struct DurationSeries {
    std::vector<std::int64_t> duration_ns;
    std::vector<std::int64_t> marks;  ///< triggers of each; empty: no marks
    std::string what;                 ///< "decode step"
};
[[nodiscard]] std::string durations_figure(const std::string& id, const DurationSeries& series);

/// Time per kind over the run, stacked. `kind_ns`: [step][kind], parallel to `kinds`.
struct StackedSeries {
    std::vector<std::string> kinds;
    std::vector<std::string> css_classes;
    std::vector<std::vector<double>> kind_ns;
    std::string what;
};
[[nodiscard]] std::string stacked_figure(const std::string& id, const StackedSeries& series);

/// Bars with a name, a share and, where known, how close it came to its limit.
struct NamedShare {
    std::string name;  ///< at most 42 columns
    double share = 0;
    std::string right;               ///< text behind the bar
    std::optional<double> of_limit;  ///< drawn as the filled part of the bar
    std::string css_class;
    std::string full_name;  ///< where `name` was shortened
};
[[nodiscard]] std::string shares_figure(const std::string& id, const std::string& title,
                                        const std::string& caption,
                                        const std::vector<NamedShare>& rows);

/// Copies by size class and kind: how many, and how many bytes.
[[nodiscard]] std::string copy_sizes_figure(const std::string& id,
                                            const analysis::Activity& activity);

/// Streams over time.
struct StripBox {
    std::int64_t start_ns = 0, end_ns = 0;
    std::uint32_t label = 0;     ///< index into Strip::labels
    std::uint8_t css_class = 0;  ///< index into Strip::css_classes
};
struct StripLane {
    std::string label;
    std::vector<StripBox> boxes;  ///< in any order; may overlap
};
struct Strip {
    std::string title, caption;
    std::int64_t start_ns = 0, end_ns = 0;
    std::vector<StripLane> lanes;
    std::vector<std::string> css_classes;
    std::vector<std::string> class_names;  ///< for the legend, parallel
    std::vector<std::string> labels;
    /// Adds a label, unless the last one is like it.
    std::uint32_t label(std::string text) {
        if (labels.empty() || labels.back() != text) labels.push_back(std::move(text));
        return static_cast<std::uint32_t>(labels.size() - 1);
    }
};
[[nodiscard]] std::string strip_figure(const std::string& id, const Strip& strip);

/// Class of the colour of an operation.
[[nodiscard]] std::string op_class(OpKind kind);

/// "2 ms" for an axis: no digits that say nothing.
[[nodiscard]] std::string axis_ns(double ns);

/// A <figure> around a picture.
[[nodiscard]] std::string figure(const std::string& svg, const std::string& title,
                                 const std::string& caption);

}  // namespace hc::cli
