#include "gui/views/head_map_view.h"

#include <QComboBox>
#include <QHBoxLayout>
#include <QHelpEvent>
#include <QKeyEvent>
#include <QLabel>
#include <QPainter>
#include <QToolTip>
#include <QVBoxLayout>
#include <array>
#include <cmath>

#include "gui/models/palette.h"
#include "gui/models/ticks.h"
#include "gui/views/theme.h"

namespace hc::gui {
namespace {

constexpr std::array<HeadRole, 4> kRoles = {HeadRole::kAnchor, HeadRole::kVolatile,
                                            HeadRole::kPivot, HeadRole::kSatellite};

QString role_text(HeadRole role) {
    const std::string_view name = role_name(role);
    return QString::fromUtf8(name.data(), static_cast<qsizetype>(name.size()));
}

QString value_text(HeadQuantity quantity, double value) {
    return quantity == HeadQuantity::kCapacity ? format_count(static_cast<qint64>(value))
                                               : QString::number(value, 'f', 2);
}

}  // namespace

HeadGrid::HeadGrid(const HeadMapModel& model, QWidget* parent) : QWidget(parent), model_(model) {
    setFocusPolicy(Qt::StrongFocus);
    setAccessibleName("map of heads");
    connect(&model_, &QAbstractItemModel::modelReset, this, [this] {
        selected_.reset();
        update();
    });
    connect(&model_, &QAbstractItemModel::dataChanged, this, [this] { update(); });
}

void HeadGrid::set_quantity(HeadQuantity quantity) {
    quantity_ = quantity;
    update();
}

void HeadGrid::set_selected(std::optional<HeadId> head) {
    selected_ = head;
    update();
}

bool HeadGrid::layers_across() const {
    return model_.rowCount() >= model_.columnCount();
}

QRectF HeadGrid::grid_rect() const {
    const QFontMetrics metrics(font());
    const double left = metrics.horizontalAdvance("00") + 26;
    const double bottom = 2 * metrics.height() + 26;
    const double across = layers_across() ? model_.rowCount() : model_.columnCount();
    const double down = layers_across() ? model_.columnCount() : model_.rowCount();
    const double wide = width() - left - 12, high = height() - 10 - bottom;
    // Cells may be oblong, within taste: a model of few heads must not be a thin stripe.
    const double cell_width = wide / std::max(across, 1.0);
    const double cell_height = std::min(high / std::max(down, 1.0), cell_width * 6);
    return {left, 10, cell_width * across, std::max(cell_height * down, 4.0)};
}

QRectF HeadGrid::cell_rect(HeadId head) const {
    const QRectF grid = grid_rect();
    const bool across = layers_across();
    const double columns = across ? model_.rowCount() : model_.columnCount();
    const double rows = across ? model_.columnCount() : model_.rowCount();
    const double column = across ? head.layer : head.head;
    const double row = across ? head.head : head.layer;
    return {grid.left() + column * grid.width() / columns, grid.top() + row * grid.height() / rows,
            grid.width() / columns, grid.height() / rows};
}

std::optional<HeadId> HeadGrid::head_at(const QPointF& position) const {
    const QRectF grid = grid_rect();
    if (model_.rowCount() == 0 || !grid.contains(position)) return std::nullopt;
    const QRectF cell = cell_rect({0, 0});
    const auto column = static_cast<std::int32_t>((position.x() - grid.left()) / cell.width());
    const auto row = static_cast<std::int32_t>((position.y() - grid.top()) / cell.height());
    const HeadId head = layers_across() ? HeadId{column, row} : HeadId{row, column};
    const bool inside = head.layer < model_.rowCount() && head.head < model_.columnCount();
    return inside ? std::optional(head) : std::nullopt;
}

QColor HeadGrid::cell_colour(HeadId head) const {
    const Theme theme = Theme::of(palette());
    const HeadCell& cell = model_.cell(head.layer, head.head);
    if (!cell.known) return theme.grid;
    if (quantity_ == HeadQuantity::kRole) {
        return QColor::fromRgb(role_rgb(cell.head.role, theme.dark));
    }
    const auto range = model_.range(quantity_);
    const auto value = model_.value(head.layer, head.head, quantity_);
    if (!range || !value) return theme.grid;
    const double span = range->high - range->low;
    return QColor::fromRgb(scale_rgb(span > 0 ? (*value - range->low) / span : 1.0));
}

void HeadGrid::paint_axes(QPainter& painter) const {
    const Theme theme = Theme::of(palette());
    const QFontMetrics metrics(font());
    const QRectF grid = grid_rect();
    const bool across = layers_across();
    const int columns = across ? model_.rowCount() : model_.columnCount();
    const int rows = across ? model_.columnCount() : model_.rowCount();
    painter.setPen(theme.dim_text);
    const double cell_width = grid.width() / columns, cell_height = grid.height() / rows;
    const int every_column = std::max(1, static_cast<int>(nice_step(26 / cell_width)));
    for (int c = 0; c < columns; c += every_column) {
        const double x = grid.left() + (c + 0.5) * cell_width;
        painter.drawText(QRectF(x - 20, grid.bottom() + 2, 40, metrics.height()), Qt::AlignCenter,
                         QString::number(c));
    }
    const int every_row = std::max(1, static_cast<int>(nice_step(metrics.height() / cell_height)));
    for (int r = 0; r < rows; r += every_row) {
        const double y = grid.top() + (r + 0.5) * cell_height;
        painter.drawText(QRectF(0, y - 10, grid.left() - 6, 20), Qt::AlignRight | Qt::AlignVCenter,
                         QString::number(r));
    }
    painter.drawText(
        QRectF(grid.left(), grid.bottom() + metrics.height() + 1, grid.width(), metrics.height()),
        Qt::AlignCenter, across ? "layer" : "head");
    painter.save();
    painter.translate(12, grid.center().y());
    painter.rotate(-90);
    painter.drawText(QRectF(-60, -8, 120, 16), Qt::AlignCenter, across ? "head" : "layer");
    painter.restore();
}

void HeadGrid::paint_legend(QPainter& painter) const {
    const Theme theme = Theme::of(palette());
    const QFontMetrics metrics(font());
    const QRectF grid = grid_rect();
    const double top = grid.bottom() + 2 * metrics.height() + 8;
    const double base = top + metrics.ascent() - 1;
    if (quantity_ == HeadQuantity::kRole) {
        // Small letters: four roles must fit the narrowest dock.
        QFont small = font();
        small.setPixelSize(std::max(9, metrics.height() * 2 / 3));
        painter.setFont(small);
        const QFontMetrics small_metrics(small);
        double total = 0;
        for (const HeadRole role : kRoles)
            total += 13 + small_metrics.horizontalAdvance(role_text(role));
        const double gap = std::clamp((width() - 20 - total) / 3, 5.0, 14.0);
        double x = 10;
        for (const HeadRole role : kRoles) {
            painter.fillRect(QRectF(x, top + 2, 9, 9), QColor::fromRgb(role_rgb(role, theme.dark)));
            painter.setPen(theme.dim_text);
            painter.drawText(QPointF(x + 13, base), role_text(role));
            x += 13 + small_metrics.horizontalAdvance(role_text(role)) + gap;
        }
        return;
    }
    const auto range = model_.range(quantity_);
    painter.setPen(theme.dim_text);
    if (!range) {
        painter.drawText(QPointF(grid.left(), base), "not recorded in this run");
        return;
    }
    const QString low = value_text(quantity_, range->low);
    const QString high = value_text(quantity_, range->high);
    const double left = grid.left() + metrics.horizontalAdvance(low) + 6;
    const double right = grid.right() - metrics.horizontalAdvance(high) - 6;
    painter.drawText(QPointF(grid.left(), base), low);
    painter.drawText(QPointF(right + 6, base), high);
    for (double x = left; x < right; ++x) {
        painter.fillRect(QRectF(x, top + 2, 1.5, 9),
                         QColor::fromRgb(scale_rgb((x - left) / (right - left))));
    }
}

void HeadGrid::paintEvent(QPaintEvent*) {
    QPainter painter(this);
    const Theme theme = Theme::of(palette());
    painter.fillRect(rect(), theme.ground);
    if (model_.rowCount() == 0) {
        painter.setPen(theme.dim_text);
        painter.drawText(rect(), Qt::AlignCenter, "This run has no table of heads.");
        return;
    }
    const bool gaps = cell_rect({0, 0}).width() >= 5 && cell_rect({0, 0}).height() >= 5;
    for (int layer = 0; layer < model_.rowCount(); ++layer) {
        for (int head = 0; head < model_.columnCount(); ++head) {
            const HeadId id{layer, head};
            QRectF cell = cell_rect(id);
            if (gaps) cell.adjust(0.5, 0.5, -0.5, -0.5);
            painter.fillRect(cell, cell_colour(id));
            if (!model_.triggered_now(layer, head)) continue;
            // A dark and a bright ring: seen on every colour.
            painter.setRenderHint(QPainter::Antialiasing);
            painter.setBrush(Qt::NoBrush);
            const double radius = std::min({cell.width(), cell.height(), 14.0}) / 2 - 1;
            painter.setPen(QPen(theme.ground, 3));
            painter.drawEllipse(cell.center(), radius, radius);
            painter.setPen(QPen(theme.accent, 1.4));
            painter.drawEllipse(cell.center(), radius, radius);
            painter.setRenderHint(QPainter::Antialiasing, false);
        }
    }
    if (selected_) {
        painter.setRenderHint(QPainter::Antialiasing);
        painter.setBrush(Qt::NoBrush);
        painter.setPen(QPen(theme.ground, 4));
        painter.drawRect(cell_rect(*selected_));
        painter.setPen(QPen(theme.accent, 2));
        painter.drawRect(cell_rect(*selected_));
        painter.setRenderHint(QPainter::Antialiasing, false);
    }
    paint_axes(painter);
    paint_legend(painter);
}

void HeadGrid::mousePressEvent(QMouseEvent* event) {
    const auto head = head_at(event->position());
    if (!head) return;
    set_selected(head);
    Q_EMIT head_clicked(head->layer, head->head);
}

void HeadGrid::keyPressEvent(QKeyEvent* event) {
    HeadId head = selected_.value_or(HeadId{});
    const bool across = layers_across();
    const auto move = [&](int right, int down) {
        head.layer += across ? right : down;
        head.head += across ? down : right;
    };
    switch (event->key()) {
        case Qt::Key_Left:
            move(-1, 0);
            break;
        case Qt::Key_Right:
            move(1, 0);
            break;
        case Qt::Key_Up:
            move(0, -1);
            break;
        case Qt::Key_Down:
            move(0, 1);
            break;
        default:
            QWidget::keyPressEvent(event);
            return;
    }
    const bool inside = head.layer >= 0 && head.head >= 0 && head.layer < model_.rowCount() &&
                        head.head < model_.columnCount();
    if (!inside) return;
    set_selected(head);
    Q_EMIT head_clicked(head.layer, head.head);
}

bool HeadGrid::event(QEvent* event) {
    if (event->type() != QEvent::ToolTip) return QWidget::event(event);
    const auto* help = static_cast<QHelpEvent*>(event);
    const auto head = head_at(help->pos());
    if (head) {
        const QModelIndex index = model_.index(head->layer, head->head);
        QToolTip::showText(help->globalPos(), model_.data(index, Qt::ToolTipRole).toString(), this);
    } else {
        QToolTip::hideText();
    }
    return true;
}

HeadMapView::HeadMapView(QWidget* parent) : QWidget(parent) {
    model_ = new HeadMapModel(this);
    grid_ = new HeadGrid(*model_, this);
    quantity_ = new QComboBox(this);
    quantity_->addItems({"role", "capacity (tokens)", "stability", "recall"});
    quantity_->setAccessibleName("colour by");
    auto* bar = new QHBoxLayout;
    bar->setContentsMargins(8, 4, 8, 2);
    bar->setSpacing(6);
    auto* label = new QLabel("colour by", this);
    label->setBuddy(quantity_);
    bar->addWidget(label);
    bar->addWidget(quantity_);
    bar->addStretch(1);
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(0);
    column->addLayout(bar);
    column->addWidget(grid_, 1);
    connect(quantity_, &QComboBox::currentIndexChanged, this,
            [this](int i) { grid_->set_quantity(static_cast<HeadQuantity>(i)); });
    connect(grid_, &HeadGrid::head_clicked, this, &HeadMapView::head_clicked);
}

void HeadMapView::choose(HeadQuantity quantity) {
    quantity_->setCurrentIndex(static_cast<int>(quantity));
}

}  // namespace hc::gui
