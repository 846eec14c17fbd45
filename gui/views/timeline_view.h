/// The timeline: minimap, ruler, lanes of events, legend.
///
/// Lanes are painted into an image that is kept until range, size or run change; what follows the
/// mouse (cursor, selection, arrows, measured range) is drawn over it and never queries events.
#pragma once

#include <QElapsedTimer>
#include <QImage>
#include <QWidget>
#include <functional>
#include <optional>

#include "gui/models/flow.h"
#include "gui/models/lane_layout.h"
#include "gui/models/legend.h"
#include "gui/models/run_tables.h"
#include "gui/models/search.h"
#include "gui/models/track_raster.h"
#include "gui/models/view_stack.h"

class QPainter;
class QScrollBar;

namespace hc::gui {

struct Theme;

class TimelineView : public QWidget {
    Q_OBJECT
public:
    explicit TimelineView(QWidget* parent = nullptr);

    /// Shows all decode steps of the run; null: an empty timeline.
    void set_view(RunViewPtr view);
    [[nodiscard]] const RunViewPtr& view() const { return view_; }
    [[nodiscard]] ViewStack& stack() { return *stack_; }
    [[nodiscard]] TimeMapping mapping() const;

    [[nodiscard]] const std::optional<EventRef>& selection() const { return selection_; }
    void select(std::optional<EventRef> event);
    [[nodiscard]] const std::vector<FlowArrow>& arrows() const { return arrows_; }
    /// Scrolls and pans just so far that the event is seen.
    void reveal(const EventRef& event);
    [[nodiscard]] const std::optional<TimeRange>& measured() const { return measured_; }
    void set_measured(std::optional<TimeRange> range);

    void fit_all();
    void fit_decode();
    /// The measured range, else the selected event with its arrows, else nothing.
    void fit_selection();
    /// Shows a step with some room around it and selects it. False: no such step.
    bool go_to_step(std::int64_t step);
    /// The nearest step before or after the middle of the view in which a check triggered.
    void go_to_trigger(int direction);
    /// Selects the next (+1) or previous (-1) event of the selection's lane.
    void step_selection(int direction);
    /// Selects an event of the lane above (-1) or below (+1) at the time of the selection.
    void change_lane(int direction);
    /// Centres on a time, with the zoom as it is.
    void go_to_time(double time_ns);
    /// Selects an event and brings it into sight; zooms in where it would be too short to see.
    void show_event(const EventRef& event);

    /// Marks hits in the strip of the whole run and draws all other names faintly; null: none.
    void set_hits(SearchHitsPtr hits);
    void show_hit(std::size_t hit);
    /// Selects the next (+1) or previous (-1) hit after the selection or the left edge.
    void step_hit(int direction);
    /// A step that another view speaks of; nullopt: none.
    void mark_step(std::optional<std::int64_t> step);

    [[nodiscard]] const TrackPrefs& prefs() const { return prefs_; }
    void set_prefs(const TrackPrefs& prefs);
    /// The track that keys pin, hide and move: of the selection, else the one clicked last.
    [[nodiscard]] std::optional<std::size_t> current_group() const;
    [[nodiscard]] const LaneLayout& lane_layout() const { return layout_; }
    /// Paints everything with lines and text as such, for a picture that can be scaled.
    void paint_vector(QPainter& painter);

    /// Without the legend: where another timeline shows it already.
    void set_legend(bool shown);

    /// Where an event is drawn, for tests and overlays; empty when its lane is scrolled away.
    [[nodiscard]] QRectF rect_of(const EventRef& event) const;
    [[nodiscard]] QRect tracks_rect() const;
    [[nodiscard]] QRect ruler_rect() const;
    [[nodiscard]] QRect minimap_rect() const;
    [[nodiscard]] QSize sizeHint() const override { return {900, 460}; }
    [[nodiscard]] QSize minimumSizeHint() const override { return {320, 160}; }

Q_SIGNALS:
    void selection_changed();
    void measured_changed();
    /// The shown range changed.
    void range_changed();
    void prefs_changed();

protected:
    void paintEvent(QPaintEvent* event) override;
    void resizeEvent(QResizeEvent* event) override;
    void changeEvent(QEvent* event) override;
    bool event(QEvent* event) override;
    void wheelEvent(QWheelEvent* event) override;
    void mousePressEvent(QMouseEvent* event) override;
    void mouseMoveEvent(QMouseEvent* event) override;
    void mouseReleaseEvent(QMouseEvent* event) override;
    void mouseDoubleClickEvent(QMouseEvent* event) override;
    void keyPressEvent(QKeyEvent* event) override;
    void leaveEvent(QEvent* event) override;
    void contextMenuEvent(QContextMenuEvent* event) override;

private:
    enum class Drag { kNone, kPress, kPan, kMeasure, kMinimap, kTrack };

    // timeline_view.cpp
    void relayout();
    void invalidate();
    [[nodiscard]] std::optional<EventRef> event_under(const QPointF& position) const;
    [[nodiscard]] const TimeRange& bounds() const;
    void zoom(double factor, double x, std::uint64_t gesture);
    void pan(double pixels, std::uint64_t gesture);
    /// One number per burst of wheel clicks or key repeats, so that undo takes back the burst.
    [[nodiscard]] std::uint64_t burst_gesture();
    [[nodiscard]] int gutter_width() const;
    [[nodiscard]] int legend_height() const;

    /// Where a place of the layout lies in this widget.
    [[nodiscard]] int top_of(const LanePlace& place) const;
    /// The nearest edge of a wide event under the mouse, else the time itself.
    [[nodiscard]] double snapped_time(const QPointF& position) const;
    void change_prefs(const std::function<bool(TrackPrefs&)>& change);

    // timeline_input.cpp
    [[nodiscard]] QString tooltip_at(const QPoint& position, const EventRef& event) const;
    [[nodiscard]] std::optional<std::size_t> group_under(const QPointF& position) const;
    bool handle_track_key(int key, Qt::KeyboardModifiers modifiers);
    void measure_key(int key);
    bool handle_view_key(int key, Qt::KeyboardModifiers modifiers);
    bool handle_walk_key(int key, Qt::KeyboardModifiers modifiers);
    [[nodiscard]] double cursor_or_centre() const;
    void centre_from_minimap(double x);

    // timeline_paint.cpp, timeline_frame.cpp
    void render_tracks();
    [[nodiscard]] std::vector<LaneRow> raster_rows(double ratio) const;
    [[nodiscard]] RasterStyle raster_style(double ratio) const;
    void paint_pinned_edge(QPainter& painter, const Theme& theme) const;
    void paint_counters(QPainter& painter, const Theme& theme) const;
    void paint_hits(QPainter& painter, const Theme& theme) const;
    void render_minimap();
    void paint_around(QPainter& painter);
    void paint_labels(QPainter& painter, const std::vector<LabelSlot>& labels, double ratio) const;
    void paint_step_lines(QPainter& painter, const Theme& theme) const;
    void paint_trigger_marks(QPainter& painter, const Theme& theme) const;
    void paint_ruler(QPainter& painter, const Theme& theme) const;
    void paint_gutter(QPainter& painter, const Theme& theme) const;
    void paint_legend(QPainter& painter, const Theme& theme) const;
    void paint_minimap(QPainter& painter, const Theme& theme) const;
    [[nodiscard]] double bar_top_ns() const;

    // timeline_overlay.cpp
    void paint_overlays(QPainter& painter, const Theme& theme) const;
    void paint_selection(QPainter& painter, const Theme& theme) const;
    void paint_arrows(QPainter& painter, const Theme& theme) const;
    void paint_measured(QPainter& painter, const Theme& theme) const;
    void paint_marked_step(QPainter& painter, const Theme& theme) const;
    [[nodiscard]] bool is_seen(const EventRef& event) const;
    void paint_cursor(QPainter& painter, const Theme& theme) const;

    RunViewPtr view_;
    ViewStack* stack_ = nullptr;
    QScrollBar* scroll_ = nullptr;
    LaneLayout layout_;
    QImage tracks_;  ///< device pixels
    QImage minimap_;
    bool tracks_dirty_ = true;
    bool minimap_dirty_ = true;

    std::optional<EventRef> selection_;
    std::vector<LegendEntry> legend_;
    bool legend_shown_ = true;
    std::vector<FlowArrow> arrows_;  ///< of the selection
    TrackPrefs prefs_;
    SearchHitsPtr hits_;
    std::optional<std::int64_t> marked_step_;
    QString focused_key_;                    ///< of the track clicked last
    std::optional<QString> dragged_before_;  ///< where the dragged track would go
    std::optional<TimeRange> measured_;

    Drag drag_ = Drag::kNone;
    QPointF press_;
    TimeRange press_range_;
    double press_time_ = 0;
    std::optional<QPointF> mouse_;
    std::uint64_t gesture_ = 0;
    QElapsedTimer last_burst_;
};

}  // namespace hc::gui
