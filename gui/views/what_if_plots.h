/// The two pictures of the what-if panel: step times, and what budgets cost and keep.
#pragma once

#include <QWidget>
#include <optional>

#include "gui/models/what_if_model.h"

namespace hc::gui {

class Axes;

/// Recorded and predicted time of every decode step.
class StepPlot : public QWidget {
    Q_OBJECT
public:
    explicit StepPlot(const WhatIfModel& model, QWidget* parent = nullptr);
    [[nodiscard]] QSize sizeHint() const override { return {280, 150}; }
    [[nodiscard]] QSize minimumSizeHint() const override { return {120, 70}; }

Q_SIGNALS:
    void step_clicked(qint64 step);

protected:
    void paintEvent(QPaintEvent* event) override;
    void mousePressEvent(QMouseEvent* event) override;

private:
    [[nodiscard]] std::optional<Axes> axes() const;
    const WhatIfModel& model_;
};

/// Step time against recall, one point per ratio and threshold; those that nothing beats are
/// joined. A click chooses a point.
class ParetoPlot : public QWidget {
    Q_OBJECT
public:
    explicit ParetoPlot(const WhatIfModel& model, QWidget* parent = nullptr);
    [[nodiscard]] QSize sizeHint() const override { return {280, 150}; }
    [[nodiscard]] QSize minimumSizeHint() const override { return {120, 70}; }
    /// Where a point is drawn; nullopt: nothing was swept yet.
    [[nodiscard]] std::optional<QPointF> place_of(const ParetoPoint& point) const;

Q_SIGNALS:
    void chosen(const hc::gui::WhatIfChoice& choice);

protected:
    void paintEvent(QPaintEvent* event) override;
    void mousePressEvent(QMouseEvent* event) override;
    void mouseMoveEvent(QMouseEvent* event) override;

private:
    [[nodiscard]] std::optional<Axes> axes() const;
    [[nodiscard]] const ParetoPoint* point_near(const QPointF& position) const;
    const WhatIfModel& model_;
};

}  // namespace hc::gui
