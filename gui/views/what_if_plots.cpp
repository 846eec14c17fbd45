#include "gui/views/what_if_plots.h"

#include <QMouseEvent>
#include <QPainter>
#include <QToolTip>
#include <algorithm>
#include <cmath>

#include "gui/models/palette.h"
#include "gui/models/ticks.h"
#include "gui/views/axes.h"

namespace hc::gui {
namespace {

constexpr double kReachPx = 12;

QString milliseconds(double ns) {
    return QString::number(ns / 1e6, 'f', ns < 1e7 ? 1 : 0) + " ms";
}

struct Curve {
    std::vector<QPointF> points;  ///< step, ns
};

Curve decode_steps(const trace::RunData& data) {
    Curve curve;
    for (std::size_t i = 0; i < data.steps.size(); ++i) {
        if (data.steps.phase[i] != Phase::kDecode) continue;
        curve.points.emplace_back(
            static_cast<double>(data.steps.step[i]),
            static_cast<double>(data.steps.end_ns[i] - data.steps.start_ns[i]));
    }
    return curve;
}

void draw_curve(QPainter& painter, const Axes& axes, const Curve& curve, const QPen& pen) {
    std::vector<QPointF> points;
    for (const QPointF& p : curve.points) points.push_back(axes.place(p.x(), p.y()));
    painter.setPen(pen);
    painter.drawPolyline(points.data(), static_cast<int>(points.size()));
}

void say(QPainter& painter, const QWidget& widget, const QString& text) {
    painter.setPen(Theme::of(widget.palette()).dim_text);
    painter.drawText(widget.rect().adjusted(8, 4, -8, -4), Qt::AlignCenter | Qt::TextWordWrap,
                     text);
}

}  // namespace

StepPlot::StepPlot(const WhatIfModel& model, QWidget* parent) : QWidget(parent), model_(model) {
    setAccessibleName("recorded and predicted step times");
}

std::optional<Axes> StepPlot::axes() const {
    if (!model_.is_ready()) return std::nullopt;
    Curve all = decode_steps(model_.recorded_run());
    if (const auto& answer = model_.answer()) {
        const Curve predicted = decode_steps(answer->prediction.data);
        all.points.insert(all.points.end(), predicted.points.begin(), predicted.points.end());
    }
    if (all.points.empty()) return std::nullopt;
    double first = all.points.front().x(), last = first, top = 0;
    for (const QPointF& p : all.points) {
        first = std::min(first, p.x());
        last = std::max(last, p.x());
        top = std::max(top, p.y());
    }
    const QFontMetrics metrics(small_font(*this));
    return Axes(Axes::area_within(rect(), metrics),
                {first - 0.5, std::max(last, first) + 0.5,
                 [](double v) { return QString::number(v, 'f', 0); }, "step"},
                {0, top * 1.05, milliseconds, ""});
}

void StepPlot::paintEvent(QPaintEvent*) {
    QPainter painter(this);
    const Theme theme = Theme::of(palette());
    painter.fillRect(rect(), theme.ground);
    painter.setFont(small_font(*this));
    const auto frame = axes();
    if (!frame) {
        say(painter, *this, "Step times show here.");
        return;
    }
    frame->paint(painter, theme);
    painter.setRenderHint(QPainter::Antialiasing);
    const QColor recorded = QColor::fromRgb(hue_rgb(Hue::kStep, theme.dark));
    const QColor predicted = QColor::fromRgb(hue_rgb(Hue::kTransfer, theme.dark));
    draw_curve(painter, *frame, decode_steps(model_.recorded_run()), QPen(recorded, 1.4));
    // At the foot, where steps never are: the axis begins at no time.
    const double x = frame->area().left() + 6;
    const QFontMetrics metrics(painter.font());
    double y = frame->area().bottom() - 1.6 * metrics.height();
    const auto legend = [&](const QColor& colour, const QString& text) {
        painter.setPen(QPen(colour, 2));
        painter.drawLine(QPointF(x, y), QPointF(x + 12, y));
        painter.setPen(theme.dim_text);
        painter.drawText(QPointF(x + 16, y + metrics.ascent() / 2.0 - 1), text);
        y += metrics.height();
    };
    legend(recorded, "recorded");
    if (const auto& answer = model_.answer()) {
        draw_curve(painter, *frame, decode_steps(answer->prediction.data), QPen(predicted, 1.4));
        legend(predicted, "predicted");
    }
}

void StepPlot::mousePressEvent(QMouseEvent* event) {
    if (const auto frame = axes()) {
        Q_EMIT step_clicked(std::llround(frame->x_at(event->position().x())));
    }
}

ParetoPlot::ParetoPlot(const WhatIfModel& model, QWidget* parent) : QWidget(parent), model_(model) {
    setMouseTracking(true);
    setAccessibleName("step time against recall of other budgets");
}

std::optional<Axes> ParetoPlot::axes() const {
    const auto& points = model_.points();
    if (points.empty()) return std::nullopt;
    double left = points.front().step_ns, right = left, low = points.front().recall, high = low;
    const auto include = [&](double step, double recall) {
        left = std::min(left, step);
        right = std::max(right, step);
        low = std::min(low, recall);
        high = std::max(high, recall);
    };
    for (const ParetoPoint& point : points) include(point.step_ns, point.recall);
    if (const auto& answer = model_.answer(); answer && answer->prediction.recall) {
        include(answer->prediction.step_ns_median.value, answer->prediction.recall->low);
    }
    const double room_x = std::max((right - left) * 0.06, 1e3);
    const double room_y = std::max((high - low) * 0.08, 0.002);
    const QFontMetrics metrics(small_font(*this));
    return Axes(Axes::area_within(rect(), metrics),
                {left - room_x, right + room_x, milliseconds, "step"},
                {low - room_y, std::min(high + room_y, 1.02),
                 [](double v) { return QString::number(v, 'f', 3); }, ""});
}

std::optional<QPointF> ParetoPlot::place_of(const ParetoPoint& point) const {
    const auto frame = axes();
    return frame ? std::optional(frame->place(point.step_ns, point.recall)) : std::nullopt;
}

void ParetoPlot::paintEvent(QPaintEvent*) {
    QPainter painter(this);
    const Theme theme = Theme::of(palette());
    painter.fillRect(rect(), theme.ground);
    painter.setFont(small_font(*this));
    const auto frame = axes();
    if (!frame) {
        say(painter, *this, "Recall against step time of other budgets shows here.");
        return;
    }
    frame->paint(painter, theme);
    painter.setRenderHint(QPainter::Antialiasing);
    const QColor line = QColor::fromRgb(hue_rgb(Hue::kAttention, theme.dark));
    std::vector<QPointF> best;
    for (const ParetoPoint& point : model_.points()) {
        const QPointF at = frame->place(point.step_ns, point.recall);
        if (point.best) best.push_back(at);
        painter.setPen(QPen(line, 1));
        painter.setBrush(point.best ? QBrush(line) : QBrush(Qt::NoBrush));
        painter.drawEllipse(at, 3, 3);
    }
    std::sort(best.begin(), best.end(),
              [](const QPointF& a, const QPointF& b) { return a.x() < b.x(); });
    painter.setPen(QPen(line, 1.2));
    painter.drawPolyline(best.data(), static_cast<int>(best.size()));
    const QFontMetrics metrics(painter.font());
    painter.setPen(theme.dim_text);
    painter.drawText(QPointF(frame->area().left() + 6, frame->area().top() + metrics.ascent()),
                     "recall");
    const auto& answer = model_.answer();
    if (answer && answer->prediction.recall) {
        const QPointF at =
            frame->place(answer->prediction.step_ns_median.value, answer->prediction.recall->low);
        painter.setPen(QPen(theme.accent, 2));
        painter.setBrush(QColor::fromRgb(hue_rgb(Hue::kTransfer, theme.dark)));
        painter.drawEllipse(at, 5, 5);
    }
}

const ParetoPoint* ParetoPlot::point_near(const QPointF& position) const {
    const auto frame = axes();
    if (!frame) return nullptr;
    const ParetoPoint* nearest = nullptr;
    double reach = kReachPx;
    for (const ParetoPoint& point : model_.points()) {
        const QPointF offset = frame->place(point.step_ns, point.recall) - position;
        const double distance = std::hypot(offset.x(), offset.y());
        if (distance > reach) continue;
        reach = distance;
        nearest = &point;
    }
    return nearest;
}

void ParetoPlot::mousePressEvent(QMouseEvent* event) {
    if (const ParetoPoint* point = point_near(event->position())) Q_EMIT chosen(point->choice);
}

void ParetoPlot::mouseMoveEvent(QMouseEvent* event) {
    const ParetoPoint* point = point_near(event->position());
    if (point == nullptr) {
        QToolTip::hideText();
        return;
    }
    QToolTip::showText(event->globalPosition().toPoint(),
                       QString("ratio %1, threshold %2\nstep %3\nrecall %4\nKV pool %5")
                           .arg(point->choice.ratio)
                           .arg(point->choice.threshold)
                           .arg(format_duration(point->step_ns))
                           .arg(point->recall, 0, 'f', 3)
                           .arg(format_bytes(point->pool_bytes)),
                       this);
}

}  // namespace hc::gui
