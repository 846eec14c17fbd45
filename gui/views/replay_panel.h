/// Replays how attention drifts: a slider over the steps with play, and which positions of a
/// head's prompt were kept, fetched and wanted at each.
#pragma once

#include <QImage>
#include <QWidget>
#include <memory>
#include <optional>

#include "gui/models/background.h"
#include "gui/models/residency.h"
#include "gui/models/run_tables.h"

class QComboBox;
class QLabel;
class QSlider;
class QTimer;
class QToolButton;

namespace hc::gui {

/// Position (down) by step (across).
class ResidencyView : public QWidget {
    Q_OBJECT
public:
    explicit ResidencyView(QWidget* parent = nullptr);

    void set_residency(std::shared_ptr<const Residency> residency, const QString& why_empty);
    [[nodiscard]] const std::shared_ptr<const Residency>& residency() const { return residency_; }
    void mark_step(std::optional<std::int64_t> step);
    /// Where a cell is drawn.
    [[nodiscard]] QRectF cell_rect(int column, int row) const;
    [[nodiscard]] QColor colour_of(Residency::Cell cell, double kept_share) const;
    [[nodiscard]] QSize sizeHint() const override { return {420, 180}; }
    [[nodiscard]] QSize minimumSizeHint() const override { return {160, 90}; }

Q_SIGNALS:
    void step_clicked(qint64 step);
    /// Row of data.fetches.
    void fetch_clicked(std::size_t row);

protected:
    void paintEvent(QPaintEvent* event) override;
    void mousePressEvent(QMouseEvent* event) override;
    void mouseMoveEvent(QMouseEvent* event) override;
    void changeEvent(QEvent* event) override;

private:
    [[nodiscard]] QRectF map_rect() const;
    [[nodiscard]] std::optional<int> column_at(double x) const;
    void make_picture();

    std::shared_ptr<const Residency> residency_;
    QString why_empty_;
    QImage picture_;  ///< one pixel a cell
    std::optional<std::int64_t> marked_;
};

class ReplayPanel : public QWidget {
    Q_OBJECT
public:
    explicit ReplayPanel(QWidget* parent = nullptr);

    void set_view(const RunViewPtr& view);
    /// A compressed head; others have nothing that changes, and are refused.
    bool select_head(int layer, int head);
    [[nodiscard]] ResidencyView& map() { return *map_; }
    [[nodiscard]] QSlider& slider() { return *slider_; }
    [[nodiscard]] std::optional<std::int64_t> step() const;
    void set_step(std::int64_t step);
    [[nodiscard]] bool playing() const;
    void toggle_play();
    /// A map is being made.
    [[nodiscard]] bool busy() const;

Q_SIGNALS:
    void step_changed(qint64 step);
    void step_clicked(qint64 step);
    void fetch_clicked(std::size_t row);

protected:
    void showEvent(QShowEvent* event) override;

private:
    [[nodiscard]] int busiest_head() const;
    void load();
    void make_map();
    void say();

    RunViewPtr view_;
    std::vector<Residency::Head> heads_;
    std::shared_ptr<const trace::RunData> attention_;
    bool asked_for_attention_ = false;
    Background reader_, mapper_;
    QComboBox* head_ = nullptr;
    ResidencyView* map_ = nullptr;
    QSlider* slider_ = nullptr;
    QToolButton* play_ = nullptr;
    QLabel* label_ = nullptr;
    QTimer* timer_ = nullptr;
};

}  // namespace hc::gui
