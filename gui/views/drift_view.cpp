#include "gui/views/drift_view.h"

#include <QComboBox>
#include <QHBoxLayout>
#include <QLabel>
#include <QVBoxLayout>

namespace hc::gui {

DriftView::DriftView(QWidget* parent) : QWidget(parent) {
    pivots_ = new QComboBox(this);
    pivots_->setAccessibleName("pivot");
    pivots_->setSizeAdjustPolicy(QComboBox::AdjustToContents);
    plot_ = new DriftPlot(this);
    auto* bar = new QHBoxLayout;
    bar->setContentsMargins(8, 4, 8, 2);
    bar->setSpacing(6);
    auto* label = new QLabel("pivot", this);
    label->setBuddy(pivots_);
    bar->addWidget(label);
    bar->addWidget(pivots_);
    auto* meaning = new QLabel("overlap with its reference; dashed: threshold", this);
    meaning->setForegroundRole(QPalette::PlaceholderText);
    // The first to go where the dock is narrow.
    meaning->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
    meaning->setAlignment(Qt::AlignRight | Qt::AlignVCenter);
    bar->addWidget(meaning, 1);
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(0);
    column->addLayout(bar);
    column->addWidget(plot_, 1);
    connect(pivots_, &QComboBox::currentIndexChanged, this, &DriftView::choose);
    connect(plot_, &DriftPlot::step_clicked, this, &DriftView::step_clicked);
}

void DriftView::set_view(const RunViewPtr& view) {
    view_ = view;
    plot_->set_view(view);
    const QSignalBlocker quiet(pivots_);
    pivots_->clear();
    if (view_) {
        for (const DriftSeries& series : view_->drift.series()) {
            QString text = series.title();
            if (series.triggers > 0) {
                text += QString(" \u00b7 %1 %2")
                            .arg(series.triggers)
                            .arg(series.triggers == 1 ? "trigger" : "triggers");
            }
            pivots_->addItem(text);
        }
    }
    pivots_->setEnabled(pivots_->count() > 0);
    const auto best = view_ ? view_->drift.most_drifting() : std::nullopt;
    if (best) pivots_->setCurrentIndex(static_cast<int>(*best));
    choose(pivots_->currentIndex());
}

bool DriftView::select_pivot(int layer, int head) {
    const auto found = view_ ? view_->drift.find(layer, head) : std::nullopt;
    if (found) pivots_->setCurrentIndex(static_cast<int>(*found));
    return found.has_value();
}

std::optional<std::size_t> DriftView::series() const {
    const int index = pivots_->currentIndex();
    return index < 0 ? std::nullopt : std::optional(static_cast<std::size_t>(index));
}

void DriftView::choose(int) {
    plot_->show_series(series());
    if (const auto chosen = series()) {
        const DriftSeries& s = view_->drift.series()[*chosen];
        Q_EMIT pivot_chosen(s.layer, s.pivot);
    }
}

}  // namespace hc::gui
