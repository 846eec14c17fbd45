/// The run in one line of figures, above the timeline.
#pragma once

#include <QWidget>
#include <vector>

#include "gui/models/run_tables.h"

namespace hc::gui {

/// A figure with its caption; what does not fit the width is left out from the right.
struct SummaryTile {
    QString caption;
    QString value;
    QString note;  ///< small, behind the value
    bool warn = false;
};

[[nodiscard]] std::vector<SummaryTile> summary_tiles(const RunView& view);

class SummaryHeader : public QWidget {
    Q_OBJECT
public:
    explicit SummaryHeader(QWidget* parent = nullptr);

    void set_view(const RunViewPtr& view);
    [[nodiscard]] QSize sizeHint() const override;
    [[nodiscard]] QSize minimumSizeHint() const override;

protected:
    void paintEvent(QPaintEvent* event) override;

private:
    std::vector<SummaryTile> tiles_;
};

}  // namespace hc::gui
