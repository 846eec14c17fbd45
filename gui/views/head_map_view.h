/// Layer × head, coloured by role, capacity, stability or recall.
#pragma once

#include <QWidget>
#include <optional>

#include "gui/models/head_map_model.h"

class QComboBox;

namespace hc::gui {

/// The grid with its legend. Layers run along the longer side.
class HeadGrid : public QWidget {
    Q_OBJECT
public:
    HeadGrid(const HeadMapModel& model, QWidget* parent);

    void set_quantity(HeadQuantity quantity);
    void set_selected(std::optional<HeadId> head);
    [[nodiscard]] std::optional<HeadId> selected() const { return selected_; }
    /// Of a head, for tests and the mouse.
    [[nodiscard]] QRectF cell_rect(HeadId head) const;
    [[nodiscard]] QColor cell_colour(HeadId head) const;
    [[nodiscard]] QSize sizeHint() const override { return {320, 220}; }
    [[nodiscard]] QSize minimumSizeHint() const override { return {150, 110}; }

Q_SIGNALS:
    void head_clicked(int layer, int head);

protected:
    void paintEvent(QPaintEvent* event) override;
    void mousePressEvent(QMouseEvent* event) override;
    void keyPressEvent(QKeyEvent* event) override;
    bool event(QEvent* event) override;

private:
    [[nodiscard]] bool layers_across() const;
    [[nodiscard]] QRectF grid_rect() const;
    [[nodiscard]] std::optional<HeadId> head_at(const QPointF& position) const;
    void paint_axes(QPainter& painter) const;
    void paint_legend(QPainter& painter) const;

    const HeadMapModel& model_;
    HeadQuantity quantity_ = HeadQuantity::kRole;
    std::optional<HeadId> selected_;
};

class HeadMapView : public QWidget {
    Q_OBJECT
public:
    explicit HeadMapView(QWidget* parent = nullptr);

    [[nodiscard]] HeadMapModel& model() { return *model_; }
    [[nodiscard]] HeadGrid& grid() { return *grid_; }
    void choose(HeadQuantity quantity);

Q_SIGNALS:
    void head_clicked(int layer, int head);

private:
    HeadMapModel* model_ = nullptr;
    HeadGrid* grid_ = nullptr;
    QComboBox* quantity_ = nullptr;
};

}  // namespace hc::gui
