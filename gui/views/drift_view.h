/// The attention drift of one pivot over the steps.
#pragma once

#include <QWidget>
#include <optional>

#include "gui/models/run_tables.h"

class QComboBox;

namespace hc::gui {

/// The curve alone: band of the window's overlaps, median, threshold, triggers.
class DriftPlot : public QWidget {
    Q_OBJECT
public:
    explicit DriftPlot(QWidget* parent = nullptr);

    void set_view(const RunViewPtr& view);
    void show_series(std::optional<std::size_t> series);
    /// Shades the steps that the timeline shows.
    void show_range(const TimeRange& range);
    /// A line at a step that another view speaks of.
    void mark_step(std::optional<std::int64_t> step);
    [[nodiscard]] QSize sizeHint() const override { return {480, 190}; }
    [[nodiscard]] QSize minimumSizeHint() const override { return {160, 90}; }
    /// Pixels of a check, for tests and the mouse.
    [[nodiscard]] QPointF position_of(double step, double overlap) const;

Q_SIGNALS:
    void step_clicked(qint64 step);

protected:
    void paintEvent(QPaintEvent* event) override;
    void mousePressEvent(QMouseEvent* event) override;
    void mouseMoveEvent(QMouseEvent* event) override;
    void leaveEvent(QEvent* event) override;

private:
    [[nodiscard]] QRectF plot_rect() const;
    [[nodiscard]] double step_at(double x) const;
    void paint_axes(QPainter& painter) const;
    void paint_series(QPainter& painter) const;
    void paint_hover(QPainter& painter) const;
    [[nodiscard]] const DriftSeries* series() const;

    RunViewPtr view_;
    std::optional<std::size_t> series_;
    std::optional<double> shown_first_, shown_last_;
    const DriftPoint* hover_ = nullptr;
    std::optional<std::int64_t> marked_;
};

/// The plot with the choice of the pivot above it.
class DriftView : public QWidget {
    Q_OBJECT
public:
    explicit DriftView(QWidget* parent = nullptr);

    void set_view(const RunViewPtr& view);
    /// False: that head is no pivot with checks.
    bool select_pivot(int layer, int head);
    [[nodiscard]] DriftPlot& plot() { return *plot_; }
    [[nodiscard]] std::optional<std::size_t> series() const;

Q_SIGNALS:
    void step_clicked(qint64 step);
    void pivot_chosen(int layer, int head);

private:
    void choose(int index);

    RunViewPtr view_;
    QComboBox* pivots_ = nullptr;
    DriftPlot* plot_ = nullptr;
};

}  // namespace hc::gui
