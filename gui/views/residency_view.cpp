#include <QEvent>
#include <QMouseEvent>
#include <QPainter>
#include <QToolTip>
#include <algorithm>
#include <cmath>

#include "gui/models/palette.h"
#include "gui/models/ticks.h"
#include "gui/views/replay_panel.h"
#include "gui/views/theme.h"

namespace hc::gui {
namespace {

constexpr int kLegendHeight = 18;

}  // namespace

ResidencyView::ResidencyView(QWidget* parent) : QWidget(parent) {
    setMouseTracking(true);
    setAccessibleName("positions of the head's prompt over steps");
}

void ResidencyView::set_residency(std::shared_ptr<const Residency> residency,
                                  const QString& why_empty) {
    residency_ = std::move(residency);
    why_empty_ = why_empty;
    make_picture();
    update();
}

void ResidencyView::mark_step(std::optional<std::int64_t> step) {
    marked_ = step;
    update();
}

void ResidencyView::changeEvent(QEvent* event) {
    if (event->type() == QEvent::PaletteChange) make_picture();
    QWidget::changeEvent(event);
}

QColor ResidencyView::colour_of(Residency::Cell cell, double kept_share) const {
    const Theme theme = Theme::of(palette());
    switch (cell) {
        case Residency::Cell::kAbsent:
            return theme.ground;
        case Residency::Cell::kKept: {
            // Few positions of a stretch show paler, but show.
            const double share = 0.25 + 0.75 * kept_share;
            return QColor::fromRgb(
                blend(theme.ground.rgb(), hue_rgb(Hue::kAttention, theme.dark), share));
        }
        case Residency::Cell::kEvicted:
            return QColor::fromRgb(
                blend(theme.ground.rgb(), hue_rgb(Hue::kCommit, theme.dark), 0.8));
        case Residency::Cell::kMissing:
            return theme.warning;
        case Residency::Cell::kFetched:
            return QColor::fromRgb(hue_rgb(Hue::kCheck, theme.dark));
    }
    return theme.ground;
}

void ResidencyView::make_picture() {
    picture_ = {};
    if (!residency_ || residency_->empty()) return;
    const int columns = static_cast<int>(residency_->steps().size());
    picture_ = QImage(columns, residency_->num_rows(), QImage::Format_RGB32);
    for (int row = 0; row < picture_.height(); ++row) {
        auto* line = reinterpret_cast<QRgb*>(picture_.scanLine(row));
        for (int column = 0; column < columns; ++column) {
            line[column] =
                colour_of(residency_->cell(column, row), residency_->kept_share(column, row)).rgb();
        }
    }
}

QRectF ResidencyView::map_rect() const {
    const QFontMetrics metrics(font());
    const double left = metrics.horizontalAdvance("00,000") + 14;
    return {left, 4, std::max(width() - left - 10, 1.0),
            std::max(height() - 4.0 - metrics.height() - 6 - kLegendHeight, 1.0)};
}

QRectF ResidencyView::cell_rect(int column, int row) const {
    const QRectF map = map_rect();
    const double wide = map.width() / static_cast<double>(residency_->steps().size());
    const double high = map.height() / residency_->num_rows();
    return {map.left() + column * wide, map.top() + row * high, wide, high};
}

std::optional<int> ResidencyView::column_at(double x) const {
    if (!residency_ || residency_->empty()) return std::nullopt;
    const QRectF map = map_rect();
    const auto count = static_cast<int>(residency_->steps().size());
    const int column = static_cast<int>(std::floor((x - map.left()) / map.width() * count));
    return column >= 0 && column < count ? std::optional(column) : std::nullopt;
}

void ResidencyView::paintEvent(QPaintEvent*) {
    QPainter painter(this);
    const Theme theme = Theme::of(palette());
    painter.fillRect(rect(), theme.ground);
    if (picture_.isNull()) {
        painter.setPen(theme.dim_text);
        painter.drawText(rect().adjusted(12, 4, -12, -4), Qt::AlignCenter | Qt::TextWordWrap,
                         why_empty_);
        return;
    }
    const QRectF map = map_rect();
    // Nearest neighbour, so that a cell keeps its colour; a picture larger than the room is
    // thinned out only here.
    painter.drawImage(map, picture_);
    painter.setPen(theme.border);
    painter.drawRect(map);
    const QFontMetrics metrics(font());
    painter.setPen(theme.dim_text);
    const double step = nice_step(static_cast<double>(residency_->prompt()) * metrics.height() *
                                  1.6 / map.height());
    for (double p = 0; p < static_cast<double>(residency_->prompt()); p += step) {
        const double y = map.top() + p / static_cast<double>(residency_->prompt()) * map.height();
        const QString text = format_count(static_cast<qint64>(p));
        painter.drawText(QPointF(map.left() - 6 - metrics.horizontalAdvance(text),
                                 std::min(y + metrics.ascent(), map.bottom())),
                         text);
    }
    const auto& steps = residency_->steps();
    const double base = map.bottom() + 3 + metrics.ascent();
    const double every =
        std::max(1.0, nice_step(static_cast<double>(steps.size()) * 60 / map.width()));
    for (double column = 0; column < static_cast<double>(steps.size()); column += every) {
        const QString text = QString::number(steps[static_cast<std::size_t>(column)].step);
        const double x = cell_rect(static_cast<int>(column), 0).center().x();
        painter.drawText(QPointF(x - metrics.horizontalAdvance(text) / 2.0, base), text);
    }
    if (marked_) {
        for (std::size_t i = 0; i < steps.size(); ++i) {
            if (steps[i].step != *marked_) continue;
            const QRectF cell = cell_rect(static_cast<int>(i), 0);
            painter.setPen(QPen(theme.accent, 1.4));
            painter.setBrush(Qt::NoBrush);
            painter.drawRect(
                QRectF(cell.left() - 1, map.top(), std::max(cell.width(), 1.0) + 2, map.height()));
        }
    }
    double x = map.left();
    const double top = height() - kLegendHeight + 4;
    const auto legend = [&](const QColor& colour, const QString& text) {
        painter.fillRect(QRectF(x, top, 9, 9), colour);
        painter.setPen(theme.dim_text);
        painter.drawText(QPointF(x + 13, top + 9), text);
        x += 26 + metrics.horizontalAdvance(text);
    };
    legend(colour_of(Residency::Cell::kKept, 1), "kept");
    legend(colour_of(Residency::Cell::kFetched, 1), "fetched");
    legend(colour_of(Residency::Cell::kEvicted, 1), "put out");
    if (residency_->knows_wanted()) {
        legend(colour_of(Residency::Cell::kMissing, 1), "wanted, not there");
    }
}

void ResidencyView::mousePressEvent(QMouseEvent* event) {
    const auto column = column_at(event->position().x());
    if (!column || event->button() != Qt::LeftButton) return;
    const ResidencyStep& step = residency_->steps()[static_cast<std::size_t>(*column)];
    Q_EMIT step_clicked(step.step);
    if (step.fetch) Q_EMIT fetch_clicked(*step.fetch);
}

void ResidencyView::mouseMoveEvent(QMouseEvent* event) {
    const auto column = column_at(event->position().x());
    if (!column) return;
    const ResidencyStep& step = residency_->steps()[static_cast<std::size_t>(*column)];
    QString text = QString("step %1\n%2 of %3 positions kept")
                       .arg(step.step)
                       .arg(format_count(step.resident), format_count(residency_->prompt()));
    if (step.fetched > 0) text += QString("\n%1 fetched").arg(format_count(step.fetched));
    if (step.evicted > 0) text += QString("\n%1 put out").arg(format_count(step.evicted));
    if (step.missing) {
        text += QString("\n%1 of %2 wanted were not there")
                    .arg(format_count(*step.missing), format_count(*step.wanted));
    }
    const QRectF map = map_rect();
    const double share = (event->position().y() - map.top()) / map.height();
    const int row = static_cast<int>(share * residency_->num_rows());
    if (row >= 0 && row < residency_->num_rows()) {
        const auto [first, last] = residency_->positions(row);
        text += QString("\npositions %1 to %2").arg(first).arg(last - 1);
    }
    QToolTip::showText(event->globalPosition().toPoint(), text, this);
}

}  // namespace hc::gui
