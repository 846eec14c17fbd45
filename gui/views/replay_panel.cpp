#include "gui/views/replay_panel.h"

#include <QComboBox>
#include <QHBoxLayout>
#include <QLabel>
#include <QSlider>
#include <QTimer>
#include <QToolButton>
#include <QVBoxLayout>
#include <algorithm>
#include <map>

#include "engine/core/error.h"
#include "gui/models/worker_progress.h"
#include "profiler/trace/reader.h"

namespace hc::gui {
namespace {

constexpr int kFrameMs = 120;

}  // namespace

ReplayPanel::ReplayPanel(QWidget* parent) : QWidget(parent) {
    head_ = new QComboBox(this);
    head_->setAccessibleName("head");
    head_->setMinimumContentsLength(22);
    map_ = new ResidencyView(this);
    slider_ = new QSlider(Qt::Horizontal, this);
    slider_->setAccessibleName("step");
    slider_->setPageStep(5);
    play_ = new QToolButton(this);
    play_->setText("Play");
    play_->setCheckable(true);
    play_->setToolTip("Play the steps (Space)");
    label_ = new QLabel(this);
    // The last to get room: the map's tooltip says the same.
    label_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
    slider_->setMinimumWidth(120);
    timer_ = new QTimer(this);
    timer_->setInterval(kFrameMs);
    auto* bar = new QHBoxLayout;
    bar->setContentsMargins(8, 4, 8, 2);
    bar->setSpacing(6);
    auto* label = new QLabel("head", this);
    label->setBuddy(head_);
    bar->addWidget(label);
    bar->addWidget(head_);
    bar->addWidget(play_);
    bar->addWidget(slider_, 2);
    bar->addWidget(label_, 1);
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(0);
    column->addLayout(bar);
    column->addWidget(map_, 1);
    connect(head_, &QComboBox::currentIndexChanged, this, &ReplayPanel::make_map);
    connect(slider_, &QSlider::valueChanged, this, [this] {
        say();
        if (const auto at = step()) {
            map_->mark_step(at);
            Q_EMIT step_changed(*at);
        }
    });
    connect(play_, &QToolButton::toggled, this, [this](bool on) {
        // From the end one plays from the beginning.
        if (on && slider_->value() == slider_->maximum()) slider_->setValue(slider_->minimum());
        on ? timer_->start() : timer_->stop();
        play_->setText(on ? "Stop" : "Play");
    });
    connect(timer_, &QTimer::timeout, this, [this] {
        if (slider_->value() >= slider_->maximum()) {
            play_->setChecked(false);
            return;
        }
        slider_->setValue(slider_->value() + 1);
    });
    connect(map_, &ResidencyView::step_clicked, this, [this](qint64 clicked) {
        set_step(clicked);
        Q_EMIT step_clicked(clicked);
    });
    connect(map_, &ResidencyView::fetch_clicked, this, &ReplayPanel::fetch_clicked);
}

void ReplayPanel::set_view(const RunViewPtr& view) {
    reader_.cancel();
    mapper_.cancel();
    play_->setChecked(false);
    view_ = view;
    attention_.reset();
    asked_for_attention_ = false;
    heads_.clear();
    {
        const QSignalBlocker quiet_head(head_);
        const QSignalBlocker quiet_slider(slider_);
        head_->clear();
        if (view_) {
            for (const HeadRecord& head : view_->data.heads) {
                if (is_full(head.role)) continue;
                heads_.push_back({head.layer, head.head, 0});
                const std::string_view role = role_name(head.role);
                QString text =
                    QString("layer %1 \u00b7 head %2 \u00b7 %3")
                        .arg(head.layer)
                        .arg(head.head)
                        .arg(QString::fromUtf8(role.data(), static_cast<qsizetype>(role.size())));
                head_->addItem(text);
            }
            head_->setCurrentIndex(busiest_head());
        }
        const int steps = view_ ? static_cast<int>(view_->data.steps.size()) : 0;
        slider_->setRange(0, std::max(0, steps - 1));
        slider_->setValue(0);
        slider_->setEnabled(steps > 0);
    }
    head_->setEnabled(!heads_.empty());
    map_->mark_step(std::nullopt);
    make_map();
    if (isVisible()) load();
}

/// The head into which most fetches came: most is to be seen there.
int ReplayPanel::busiest_head() const {
    std::map<std::pair<std::int32_t, std::int32_t>, int> fetches;
    for (const RowsRecord& rows : view_->data.rows) {
        if (rows.fetch_id >= 0) ++fetches[{rows.layer, rows.head}];
    }
    int best = 0, most = -1;
    for (std::size_t i = 0; i < heads_.size(); ++i) {
        const auto found = fetches.find({heads_[i].layer, heads_[i].head});
        const int count = found == fetches.end() ? 0 : found->second;
        if (count <= most) continue;
        most = count;
        best = static_cast<int>(i);
    }
    return best;
}

bool ReplayPanel::select_head(int layer, int head) {
    for (std::size_t i = 0; i < heads_.size(); ++i) {
        if (heads_[i].layer != layer || heads_[i].head != head) continue;
        head_->setCurrentIndex(static_cast<int>(i));
        return true;
    }
    return false;
}

std::optional<std::int64_t> ReplayPanel::step() const {
    const auto row = static_cast<std::size_t>(slider_->value());
    return view_ && row < view_->data.steps.size() ? std::optional(view_->data.steps.step[row])
                                                   : std::nullopt;
}

void ReplayPanel::set_step(std::int64_t step) {
    const auto row = view_ ? view_->step_row(step) : std::nullopt;
    if (row) slider_->setValue(static_cast<int>(*row));
}

bool ReplayPanel::busy() const {
    return reader_.busy() || mapper_.busy();
}

bool ReplayPanel::playing() const {
    return play_->isChecked();
}

void ReplayPanel::toggle_play() {
    play_->toggle();
}

void ReplayPanel::showEvent(QShowEvent* event) {
    QWidget::showEvent(event);
    load();
}

/// The drift trace tells what was wanted. It can be large, and so is read when someone looks.
void ReplayPanel::load() {
    if (!view_ || asked_for_attention_ || view_->path.isEmpty()) return;
    if (view_->data.run.attention_run < 0) return;
    asked_for_attention_ = true;
    reader_.start([this, path = view_->path.toStdString(), id = view_->data.run.attention_run](
                      const Background::Cancelled& cancelled) -> Background::Delivery {
        try {
            WorkerProgress progress(this, cancelled, [](const QString&, int) {});
            const trace::Trace trace(path);
            auto rows = std::make_shared<const trace::RunData>(
                trace.read(id, {.operations = false, .attention = true}, progress));
            return [this, rows] {
                attention_ = rows;
                make_map();
            };
        } catch (const std::exception&) {
            // Without it the map still shows what was kept and fetched.
            return {};
        }
    });
}

void ReplayPanel::make_map() {
    const int index = head_->currentIndex();
    if (!view_ || index < 0) {
        map_->set_residency(nullptr, "Which positions a compressed head keeps shows here.");
        return;
    }
    mapper_.start([this, view = view_, attention = attention_,
                   head = heads_[static_cast<std::size_t>(index)]](
                      const Background::Cancelled&) -> Background::Delivery {
        auto residency = std::make_shared<const Residency>(view->data, attention.get(), head);
        return [this, residency] {
            map_->set_residency(residency,
                                "The trace does not say which positions this head kept.");
            say();
        };
    });
}

void ReplayPanel::say() {
    const auto at = step();
    if (!at) {
        label_->clear();
        return;
    }
    QString text = QString("step %1").arg(*at);
    const auto& residency = map_->residency();
    const auto row = static_cast<std::size_t>(slider_->value());
    if (residency && row < residency->steps().size()) {
        const ResidencyStep& now = residency->steps()[row];
        text += QString(": %1 kept").arg(now.resident);
        if (now.fetched > 0) text += QString(", %1 fetched").arg(now.fetched);
    }
    label_->setText(text);
}

}  // namespace hc::gui
