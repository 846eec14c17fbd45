#include "gui/models/track_raster.h"

#include <QPainter>
#include <algorithm>
#include <cmath>
#include <cstring>

namespace hc::gui {
namespace {

// Beyond so many events in one column, sums come from the pyramid instead of a walk.
constexpr std::size_t kWalk = 64;
// The least a column with an event in it is coloured, however little of it is covered.
constexpr double kLeastShade = 0.65;
// An event narrower than this gets no edge: edges would be all that is seen.
constexpr double kEdgePx = 4;
// What a search does not mean is drawn with this share of its colour.
constexpr double kFaint = 0.28;

void fill_from_mip(const Lane& lane, const MipIndex::Level& level, const TimeMapping& mapping,
                   std::vector<Column>& columns) {
    const double width = std::ldexp(1.0, level.shift);
    const auto origin = static_cast<double>(lane.mip.origin());
    const auto last = static_cast<std::int64_t>(level.buckets.size());
    const auto bucket_of = [&](double time) {
        return static_cast<std::int64_t>(
            std::clamp(std::floor((time - origin) / width), 0.0, static_cast<double>(last)));
    };
    std::int64_t begin = bucket_of(mapping.time_at(0));
    for (std::size_t x = 0; x < columns.size(); ++x) {
        const std::int64_t end = bucket_of(mapping.time_at(static_cast<double>(x + 1)));
        Column& column = columns[x];
        std::uint64_t busy = 0;
        std::uint32_t strongest = 0;
        for (std::int64_t b = begin; b < end; ++b) {
            const MipBucket bucket = level.buckets[static_cast<std::size_t>(b)];
            if (bucket.empty()) continue;
            busy += bucket.busy;
            column.count += bucket.count;
            // The first wins among equals, so that a lone spike of no length is still named.
            if (column.name == MipBucket::kNoName || bucket.busy > strongest) {
                column.name = bucket.name;
                strongest = bucket.busy;
            }
        }
        if (end > begin) {
            column.busy = static_cast<float>(static_cast<double>(busy) / 65535.0 /
                                             static_cast<double>(end - begin));
        }
        begin = end;
    }
}

void fill_from_events(const Lane& lane, const TimeMapping& mapping, std::vector<Column>& columns) {
    const LaneEvents& events = lane.events;
    const double per_px = mapping.ns_per_px();
    std::size_t i = events.first_ending_after(mapping.time_at(0));
    // An event of no length that sits on the left edge ends nowhere "after": step back over it.
    while (i > 0 && static_cast<double>(events.start(i - 1)) >= mapping.time_at(0)) --i;
    const auto num = static_cast<std::ptrdiff_t>(columns.size());
    for (; i < events.size(); ++i) {
        const double left = mapping.x_at(static_cast<double>(events.start(i)));
        if (left >= static_cast<double>(num)) break;
        const double right =
            std::min(mapping.x_at(static_cast<double>(events.end(i))), static_cast<double>(num));
        const auto first =
            std::max<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(std::floor(left)), 0);
        const auto last = std::clamp<std::ptrdiff_t>(
            static_cast<std::ptrdiff_t>(std::ceil(right)) - 1, first, num - 1);
        if (left >= 0) columns[static_cast<std::size_t>(first)].count += 1;
        for (std::ptrdiff_t x = first; x <= last; ++x) {
            Column& column = columns[static_cast<std::size_t>(x)];
            const auto part =
                static_cast<float>(std::max(0.0, std::min(right, static_cast<double>(x + 1)) -
                                                     std::max(left, static_cast<double>(x))));
            // `busy` so far is of others; the longer part names the column.
            const bool takes = column.name == MipBucket::kNoName || part > column.busy;
            if (takes) column.name = events.name(i);
            column.busy = std::min(1.0f, column.busy + part);
        }
        if (right - left >= kEdgePx && left >= 0) {
            columns[static_cast<std::size_t>(first)].edge = true;
        }
        // Many short ones in one column: jump to its end, and let the pyramid add them up.
        const std::size_t ahead = i + kWalk;
        const double next_px = mapping.time_at(std::floor(left) + 1);
        if (ahead < events.size() && static_cast<double>(events.start(ahead)) < next_px) {
            const std::size_t end = events.first_starting_at(next_px, ahead);
            const auto sum = lane.pyramid.over(events, i + 1, end);
            Column& column = columns[static_cast<std::size_t>(first)];
            column.count += static_cast<std::uint32_t>(sum.count);
            column.busy = std::min(
                1.0f, column.busy + static_cast<float>(static_cast<double>(sum.sum_ns) / per_px));
            column.name = events.name(sum.longest);
            i = end - 2;  // the last of them may reach into the next column: walk it again
            column.count -= 1;
        }
    }
}

void add_longest(const Lane& lane, const TimeMapping& mapping, std::vector<Column>& columns) {
    const LaneEvents& events = lane.events;
    std::size_t begin = events.first_ending_after(mapping.time_at(0));
    for (std::size_t x = 0; x < columns.size(); ++x) {
        const double right = mapping.time_at(static_cast<double>(x + 1));
        const std::size_t end = events.first_starting_at(right, begin);
        if (end > begin) {
            const auto summary = lane.pyramid.over(events, begin, end);
            columns[x].longest_ns = summary.longest_ns;
            columns[x].name = events.name(summary.longest);  // the bar's height is its
        }
        begin = end;
        // The last one may go on into the next column.
        if (end > 0 && static_cast<double>(events.end(end - 1)) > right) begin = end - 1;
    }
}

}  // namespace

void fill_columns(const Lane& lane, const TimeMapping& mapping, bool bars,
                  std::vector<Column>& columns) {
    columns.assign(static_cast<std::size_t>(mapping.width()), {});
    if (lane.events.empty()) return;
    const MipIndex::Level* level = lane.mip.level_for(mapping.ns_per_px());
    // Few events are drawn exactly at any zoom; the index pays where columns hold several.
    const bool few = lane.events.size() <= columns.size();
    if (level != nullptr && !few) {
        fill_from_mip(lane, *level, mapping, columns);
    } else {
        fill_from_events(lane, mapping, columns);
    }
    if (bars) add_longest(lane, mapping, columns);
}

QRgb TrackRaster::colour_of(const Column& column) const {
    const std::size_t name = column.name < set_.names.size() ? column.name : 0;
    const QRgb hue = hue_rgb(set_.names.empty() ? Hue::kOther : set_.names[name].hue, style_.dark);
    const double shade = kLeastShade + (1 - kLeastShade) * static_cast<double>(column.busy);
    QRgb colour = blend(style_.ground, hue, std::min(shade, 1.0));
    if (name < style_.matches.size() && style_.matches[name] == 0) {
        colour = blend(style_.ground, colour, kFaint);
    }
    return column.edge ? blend(colour, style_.ground, 0.55) : colour;
}

void TrackRaster::paint_blocks(QImage& image, const LaneRow& row) {
    line_.assign(columns_.size(), style_.ground);
    for (std::size_t x = 0; x < columns_.size(); ++x) {
        if (!columns_[x].empty()) line_[x] = colour_of(columns_[x]);
    }
    const int bottom = std::min(row.top + row.height, image.height());
    for (int y = std::max({row.top, row.clip_top, 0}); y < bottom; ++y) {
        std::memcpy(image.scanLine(y), line_.data(), line_.size() * sizeof(QRgb));
    }
}

void TrackRaster::paint_bars(QImage& image, const LaneRow& row) {
    const int bottom = row.top + row.height;
    for (std::size_t x = 0; x < columns_.size(); ++x) {
        if (columns_[x].empty()) continue;
        const double share = std::min(
            1.0, static_cast<double>(columns_[x].longest_ns) / std::max(style_.bar_top_ns, 1.0));
        const int height =
            std::max(static_cast<int>(std::lround(share * row.height)), 2 * style_.pixel_ratio);
        const QRgb colour = colour_of(columns_[x]);
        const int top = std::max({bottom - height, row.clip_top, 0});
        for (int y = top; y < std::min(bottom, image.height()); ++y) {
            reinterpret_cast<QRgb*>(image.scanLine(y))[x] = colour;
        }
    }
}

/// Filled to the mean of each column, with a line from the least to the most: a spike of one
/// nanosecond keeps its height.
void TrackRaster::paint_counter(QImage& image, const TimeMapping& mapping, const LaneRow& row) {
    const Lane& lane = set_.lanes[row.lane];
    const double top_value = lane.counter_top > 0 ? lane.counter_top : 1;
    const int bottom = row.top + row.height;
    const QRgb fill = blend(style_.ground, style_.counter, 0.35);
    const QRgb range = blend(style_.ground, style_.counter, 0.7);
    const auto y_of = [&](double value) {
        const double share = std::clamp(value / top_value, 0.0, 1.0);
        return bottom - static_cast<int>(std::lround(share * (row.height - 1)));
    };
    int last_y = -1;
    for (int x = 0; x < mapping.width(); ++x) {
        const auto span = lane.counter.over(mapping.time_at(x), mapping.time_at(x + 1));
        if (!span.known) {
            last_y = -1;
            continue;
        }
        const int mean = y_of(span.mean);
        int high = y_of(span.most) - 1, low = y_of(span.least);
        if (last_y >= 0) {
            // The line is joined to its left neighbour.
            high = std::min(high, last_y - 1);
            low = std::max(low, std::min(last_y, bottom));
        }
        last_y = y_of(span.most > span.least ? span.mean : span.most);
        const int end = std::min(bottom, image.height());
        for (int y = std::max({mean, row.clip_top, 0}); y < end; ++y) {
            reinterpret_cast<QRgb*>(image.scanLine(y))[x] = fill;
        }
        for (int y = std::max({high, row.top, row.clip_top, 0}); y < std::min(low, end); ++y) {
            reinterpret_cast<QRgb*>(image.scanLine(y))[x] = range;
        }
        const int line = std::clamp(y_of(span.most) - 1, row.top, bottom - 1);
        if (line >= std::max(row.clip_top, 0) && line < image.height()) {
            reinterpret_cast<QRgb*>(image.scanLine(line))[x] = style_.counter;
        }
    }
}

void TrackRaster::collect_labels(const TimeMapping& mapping, const LaneRow& row, int min_label_px,
                                 std::vector<LabelSlot>& labels) const {
    const Lane& lane = set_.lanes[row.lane];
    const LaneEvents& events = lane.events;
    std::size_t i = events.first_ending_after(mapping.time_at(0));
    const double least_ns = min_label_px * mapping.ns_per_px();
    const double end_ns = mapping.range().end_ns;
    // Only the longest events can carry a text: where none does, nothing is walked.
    const std::size_t end = events.first_starting_at(end_ns, i);
    if (static_cast<double>(lane.pyramid.over(events, i, end).longest_ns) < least_ns) return;
    for (; i < end; ++i) {
        if (static_cast<double>(events.duration(i)) < least_ns) {
            // Skip a block of short ones at once.
            const std::size_t block = std::min(i + 256, end);
            if (static_cast<double>(lane.pyramid.over(events, i, block).longest_ns) < least_ns) {
                i = block - 1;
            }
            continue;
        }
        LabelSlot slot;
        slot.event = {row.lane, i};
        slot.left = std::max(mapping.x_at(static_cast<double>(events.start(i))), 0.0);
        slot.right = std::min(mapping.x_at(static_cast<double>(events.end(i))),
                              static_cast<double>(mapping.width()));
        if (slot.right - slot.left < min_label_px) continue;
        slot.top = row.top;
        slot.height = row.height;
        const std::uint32_t name = events.name(i);
        slot.ground = hue_rgb(set_.names[name].hue, style_.dark);
        if (name < style_.matches.size() && style_.matches[name] == 0) {
            slot.ground = blend(style_.ground, slot.ground, kFaint);
        }
        labels.push_back(slot);
    }
}

void TrackRaster::paint(QImage& image, const TimeMapping& mapping, const std::vector<LaneRow>& rows,
                        int min_label_px, std::vector<LabelSlot>& labels) {
    for (const LaneRow& row : rows) {
        const bool seen = row.height > 0 && row.top < image.height() &&
                          row.top + row.height > std::max(row.clip_top, 0);
        if (!seen) continue;
        if (set_.lanes[row.lane].kind == LaneKind::kCounter) {
            paint_counter(image, mapping, row);
            continue;
        }
        const bool bars = set_.lanes[row.lane].kind == LaneKind::kSteps;
        fill_columns(set_.lanes[row.lane], mapping, bars, columns_);
        bars ? paint_bars(image, row) : paint_blocks(image, row);
        const bool room = row.height >= 11 * style_.pixel_ratio && row.top >= row.clip_top;
        if (room && !bars) collect_labels(mapping, row, min_label_px, labels);
    }
}

void TrackRaster::paint(QPainter& painter, int height, const TimeMapping& mapping,
                        const std::vector<LaneRow>& rows, int min_label_px,
                        std::vector<LabelSlot>& labels) {
    // What the picture shows is what the window shows: the same columns, read back from it.
    QImage image(mapping.width(), height, QImage::Format_RGB32);
    image.fill(style_.ground);
    paint(image, mapping, rows, min_label_px, labels);
    for (const LaneRow& row : rows) {
        const int top = std::max({row.top, row.clip_top, 0});
        const int bottom = std::min(row.top + row.height, height);
        if (bottom <= top) continue;
        const LaneKind kind = set_.lanes[row.lane].kind;
        const bool flat = kind != LaneKind::kSteps && kind != LaneKind::kCounter;
        // Blocks look the same on every line of their row; bars and curves do not.
        for (int y = top; y < bottom; y += flat ? bottom - top : 1) {
            const auto* line = reinterpret_cast<const QRgb*>(image.constScanLine(y));
            for (int x = 0; x < mapping.width();) {
                int end = x + 1;
                while (end < mapping.width() && line[end] == line[x]) ++end;
                if (line[x] != style_.ground) {
                    painter.fillRect(QRect(x, y, end - x, flat ? bottom - top : 1),
                                     QColor::fromRgb(line[x]));
                }
                x = end;
            }
        }
    }
}

}  // namespace hc::gui
