/// Paints the lanes of the timeline into an image, one pixel column at a time, so that a frame
/// costs columns and not events.
#pragma once

#include <QColor>
#include <QImage>
#include <cstdint>
#include <span>
#include <vector>

#include "gui/models/lanes.h"
#include "gui/models/time_mapping.h"

class QPainter;

namespace hc::gui {

/// Where a lane is drawn, in pixels of the image.
struct LaneRow {
    std::size_t lane = 0;
    int top = 0;
    int height = 0;
    int clip_top = 0;  ///< nothing is drawn above
};

struct RasterStyle {
    bool dark = true;
    QRgb ground = 0;        ///< behind the lanes
    QRgb slow_line = 0;     ///< of the bars' median
    int pixel_ratio = 1;    ///< device pixels per logical one
    double bar_top_ns = 1;  ///< the duration of a full bar in the steps' lane
    QRgb counter = 0;       ///< of curves
    /// By name: 0 is drawn faint. Empty: all are drawn in full.
    std::span<const std::uint8_t> matches = {};
};

/// An event wide enough to carry a text, in pixels of the image.
struct LabelSlot {
    EventRef event;
    double left = 0;
    double right = 0;
    int top = 0;
    int height = 0;
    QRgb ground = 0;
};

/// One pixel column of a lane.
struct Column {
    std::uint32_t name = MipBucket::kNoName;
    float busy = 0;               ///< share of the column that events cover
    std::uint32_t count = 0;      ///< events that start in it
    std::int64_t longest_ns = 0;  ///< bars only
    bool edge = false;            ///< a wide event begins here
    [[nodiscard]] bool empty() const { return busy <= 0 && count == 0; }
};

/// What every pixel column of a lane shows. An event is never lost: its columns are not empty,
/// however short it is. `columns` is resized to the mapping's width.
void fill_columns(const Lane& lane, const TimeMapping& mapping, bool bars,
                  std::vector<Column>& columns);

/// Paints rows into the image (format RGB32, as wide as the mapping) and collects labels.
class TrackRaster {
public:
    TrackRaster(const LaneSet& set, const RasterStyle& style) : set_(set), style_(style) {}

    void paint(QImage& image, const TimeMapping& mapping, const std::vector<LaneRow>& rows,
               int min_label_px, std::vector<LabelSlot>& labels);
    /// The same as rectangles, one per run of equal columns. Slow where a window is full of them:
    /// for pictures, not for frames.
    void paint(QPainter& painter, int height, const TimeMapping& mapping,
               const std::vector<LaneRow>& rows, int min_label_px, std::vector<LabelSlot>& labels);

private:
    void paint_blocks(QImage& image, const LaneRow& row);
    void paint_bars(QImage& image, const LaneRow& row);
    void paint_counter(QImage& image, const TimeMapping& mapping, const LaneRow& row);
    void collect_labels(const TimeMapping& mapping, const LaneRow& row, int min_label_px,
                        std::vector<LabelSlot>& labels) const;
    [[nodiscard]] QRgb colour_of(const Column& column) const;

    const LaneSet& set_;
    RasterStyle style_;
    std::vector<Column> columns_;
    std::vector<QRgb> line_;
};

}  // namespace hc::gui
