#include "gui/views/what_if_panel.h"

#include <QCheckBox>
#include <QComboBox>
#include <QDoubleSpinBox>
#include <QFileDialog>
#include <QFileInfo>
#include <QFormLayout>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QMessageBox>
#include <QPushButton>
#include <QScrollArea>
#include <QSlider>
#include <QTableView>
#include <QTimer>
#include <cmath>

#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "gui/models/ticks.h"
#include "gui/views/theme.h"
#include "gui/views/what_if_plots.h"

namespace hc::gui {
namespace {

// Sliders count in hundredths.
constexpr double kSliderSteps = 100;
// After the last turn of a control, before the sweep starts.
constexpr int kSweepDelayMs = 250;
// Below these sizes intervals and plots are left out.
constexpr int kRoomForIntervals = 900;
constexpr int kNarrowTable = 246;
constexpr int kIntervalColumn = 3;
constexpr int kRoomForPlots = 590;
constexpr int kRoomForBoth = 180;

/// A line of the panel's table.
struct Figure {
    QString what, recorded, predicted, between;
};

QString range_text(const sim::Estimate& estimate, QString (*text)(double)) {
    return estimate.high > estimate.low
               ? QString("%1 \u2013 %2").arg(text(estimate.low), text(estimate.high))
               : QString();
}

QString share_text(double share) {
    return QString::number(share, 'f', 3);
}

QString rate_text(double rate) {
    return QString::number(rate, 'f', 1);
}

std::vector<Figure> figures_of(const analysis::RunMetrics& recorded, const sim::Prediction* p) {
    std::vector<Figure> rows;
    const auto time = [&](const char* what, double ns, const sim::Estimate* estimate) {
        rows.push_back({what, format_duration(ns),
                        estimate != nullptr ? format_duration(estimate->value) : QString(),
                        estimate != nullptr ? range_text(*estimate, format_duration) : QString()});
    };
    const auto plain = [&](const char* what, const QString& a, const QString& b) {
        rows.push_back({what, a, p != nullptr ? b : QString(), ""});
    };
    time("step, median", recorded.step_ns.median, p != nullptr ? &p->step_ns_median : nullptr);
    time("step, p95", recorded.step_ns.p95, p != nullptr ? &p->step_ns_p95 : nullptr);
    time("step, p99", recorded.step_ns.p99, p != nullptr ? &p->step_ns_p99 : nullptr);
    rows.push_back({"tokens/s", rate_text(recorded.tokens_per_s),
                    p != nullptr ? rate_text(p->tokens_per_s.value) : QString(),
                    p != nullptr ? range_text(p->tokens_per_s, rate_text) : QString()});
    const auto optional_share = [](const auto& value) {
        return value ? share_text(*value) : QString("none");
    };
    rows.push_back({"I/O hiding", optional_share(recorded.transfer.hiding),
                    p == nullptr ? QString()
                    : p->hiding  ? share_text(p->hiding->value)
                                 : QString("none"),
                    p != nullptr && p->hiding ? range_text(*p->hiding, share_text) : QString()});
    time("exposed", static_cast<double>(recorded.transfer.exposed_ns),
         p != nullptr ? &p->exposed_ns : nullptr);
    const auto count = [&](const char* what, std::int64_t a, std::int64_t b) {
        plain(what, format_count(a), format_count(b));
    };
    count("triggers", recorded.triggers, p != nullptr ? p->triggers : 0);
    count("fetches", recorded.fetches, p != nullptr ? p->fetches : 0);
    const auto bytes = [&](const char* what, std::int64_t a, std::int64_t b) {
        plain(what, format_bytes(static_cast<double>(a)), format_bytes(static_cast<double>(b)));
    };
    bytes("fetched", recorded.fetch_bytes, p != nullptr ? p->fetch_bytes : 0);
    bytes("KV pool", recorded.kv_pool_peak_bytes, p != nullptr ? p->kv_pool_bytes : 0);
    bytes("host tier", recorded.host_tier_bytes, p != nullptr ? p->host_tier_bytes : 0);
    plain("recall", recorded.recall ? share_text(recorded.recall->low) : QString("\u2013"),
          p != nullptr && p->recall ? share_text(p->recall->low) : QString("none"));
    if (p != nullptr && p->recall && p->recall->high > p->recall->low) {
        rows.back().between =
            QString("%1 \u2013 %2").arg(share_text(p->recall->low), share_text(p->recall->high));
    }
    return rows;
}

}  // namespace

WhatIfPanel::WhatIfPanel(QWidget* parent) : QWidget(parent) {
    model_ = new WhatIfModel(this);
    figures_ = new ColumnTable(this);
    table_ = new QTableView(this);
    table_->setModel(figures_);
    table_->setFrameShape(QFrame::NoFrame);
    table_->setShowGrid(false);
    table_->setSelectionBehavior(QAbstractItemView::SelectRows);
    table_->verticalHeader()->hide();
    table_->verticalHeader()->setDefaultSectionSize(QFontMetrics(font()).height() + 4);
    table_->verticalHeader()->setMinimumSectionSize(10);
    table_->setAccessibleName("recorded and predicted figures");
    steps_ = new StepPlot(*model_, this);
    pareto_ = new ParetoPlot(*model_, this);
    message_ = new QLabel(this);
    message_->setWordWrap(true);
    message_->setContentsMargins(8, 2, 8, 2);
    sweep_soon_ = new QTimer(this);
    sweep_soon_->setSingleShot(true);
    sweep_soon_->setInterval(kSweepDelayMs);
    connect(sweep_soon_, &QTimer::timeout, this, [this] { model_->sweep(choice()); });

    auto* plots = new QVBoxLayout;
    plots->setSpacing(1);
    plots->addWidget(steps_, 1);
    plots->addWidget(pareto_, 1);
    auto* row = new QHBoxLayout;
    row->setSpacing(4);
    row->addWidget(build_controls());
    row->addWidget(table_, 5);
    row->addLayout(plots, 4);
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(0);
    column->addLayout(row, 1);
    column->addWidget(message_);
    controls_->setEnabled(false);

    connect(model_, &WhatIfModel::ready, this, &WhatIfPanel::show_ready);
    connect(model_, &WhatIfModel::answered, this, &WhatIfPanel::show_answer);
    connect(model_, &WhatIfModel::run_simulated, steps_, qOverload<>(&QWidget::update));
    connect(model_, &WhatIfModel::swept, pareto_, qOverload<>(&QWidget::update));
    connect(model_, &WhatIfModel::refused, this,
            [this](const QString& why) { show_message(why, true); });
    connect(model_, &WhatIfModel::preparing, this, [this](const QString& what, int percent) {
        show_message(percent < 0 ? what : QString("%1, %2 %").arg(what).arg(percent), false);
    });
    connect(steps_, &StepPlot::step_clicked, this, &WhatIfPanel::step_clicked);
    connect(pareto_, &ParetoPlot::chosen, this, [this](const WhatIfChoice& chosen) {
        set_choice(chosen);
        ask();
    });
}

QDoubleSpinBox* WhatIfPanel::add_share(QFormLayout* form, const QString& title, double low,
                                       double high, bool slider) {
    auto* box = new QDoubleSpinBox;
    box->setRange(low, high);
    box->setSingleStep(0.05);
    box->setDecimals(3);
    box->setAccessibleName(title);
    box->setKeyboardTracking(false);
    connect(box, &QDoubleSpinBox::valueChanged, this, &WhatIfPanel::ask);
    if (!slider) {
        form->addRow(title, box);
        return box;
    }
    auto* bar = new QSlider(Qt::Horizontal);
    bar->setRange(static_cast<int>(low * kSliderSteps), static_cast<int>(high * kSliderSteps));
    bar->setAccessibleName(title + ", slider");
    connect(bar, &QSlider::valueChanged, box, [box](int value) {
        // Only a turn of the slider itself: it cannot hold every number that the box can.
        if (std::lround(box->value() * kSliderSteps) != value) box->setValue(value / kSliderSteps);
    });
    connect(box, &QDoubleSpinBox::valueChanged, bar, [bar](double value) {
        bar->setValue(static_cast<int>(std::lround(value * kSliderSteps)));
    });
    auto* both = new QHBoxLayout;
    both->addWidget(bar, 1);
    both->addWidget(box);
    form->addRow(title, both);
    return box;
}

QSpinBox* WhatIfPanel::add_count(QFormLayout* form, const QString& title, int low, int high) {
    auto* box = new QSpinBox;
    box->setRange(low, high);
    box->setAccessibleName(title);
    box->setKeyboardTracking(false);
    connect(box, &QSpinBox::valueChanged, this, &WhatIfPanel::ask);
    form->addRow(title, box);
    return box;
}

QWidget* WhatIfPanel::build_controls() {
    controls_ = new QWidget;
    auto* form = new QFormLayout(controls_);
    form->setContentsMargins(8, 4, 4, 4);
    form->setVerticalSpacing(3);
    ratio_ = add_share(form, "ratio", 0.02, 1, true);
    threshold_ = add_share(form, "threshold", 0, 1, true);
    auto* counts = new QHBoxLayout;
    window_ = add_count(form, "window", 1, 256);
    lag_ = add_count(form, "commit lag", 0, 64);
    retrieval_ = new QCheckBox("fetch on drift");
    connect(retrieval_, &QCheckBox::toggled, this, &WhatIfPanel::ask);
    form->addRow("", retrieval_);
    anchors_ = add_share(form, "anchors \u00d7", 0.1, 10, false);
    satellites_ = add_share(form, "satellites \u00d7", 0.1, 10, false);
    anchors_->setToolTip("Anchors' share of the compressed budget, against the recording's");
    satellites_->setToolTip("Satellites' share of the compressed budget, against the recording's");
    machine_ = new QComboBox;
    machine_->setAccessibleName("machine");
    machine_->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
    machine_->setMinimumContentsLength(14);
    connect(machine_, &QComboBox::activated, this, &WhatIfPanel::ask);
    form->addRow("machine", machine_);
    auto* reset = new QPushButton("As recorded");
    auto* compare = new QPushButton("Compare");
    auto* save = new QPushButton("Save\u2026");
    compare->setToolTip("Lay the predicted run under the recorded one");
    save->setToolTip("Save as settings: the options of 'hcprof profile'");
    counts->addWidget(reset);
    counts->addWidget(compare);
    counts->addWidget(save);
    form->addRow(counts);
    connect(reset, &QPushButton::clicked, this, [this] {
        set_choice(model_->recorded());
        ask();
    });
    connect(compare, &QPushButton::clicked, this, &WhatIfPanel::compare_asked);
    connect(save, &QPushButton::clicked, this, &WhatIfPanel::ask_for_file);
    auto* scroll = new QScrollArea;
    scroll->setWidget(controls_);
    scroll->setWidgetResizable(true);
    scroll->setFrameShape(QFrame::NoFrame);
    scroll->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    scroll->setMinimumWidth(controls_->sizeHint().width() + 16);
    scroll->setMaximumWidth(340);
    return scroll;
}

void WhatIfPanel::set_trace(const std::filesystem::path& path, std::optional<trace::RunId> run,
                            const analysis::RunMetrics& metrics) {
    model_->set_trace(path, run, metrics);
    controls_->setEnabled(false);
    figures_->set({}, 0);
    show_message({}, false);
    update();
    if (isVisible()) model_->prepare();
}

void WhatIfPanel::showEvent(QShowEvent* event) {
    QWidget::showEvent(event);
    // A drift trace can be large: it is read when someone looks.
    model_->prepare();
}

void WhatIfPanel::resizeEvent(QResizeEvent* event) {
    QWidget::resizeEvent(event);
    // Where there is no room for all, intervals go first, then the plots.
    const bool roomy = width() >= kRoomForIntervals;
    table_->setColumnHidden(kIntervalColumn, !roomy);
    table_->setMinimumWidth(roomy ? 0 : kNarrowTable);
    table_->setMaximumWidth(roomy ? QWIDGETSIZE_MAX : kNarrowTable);
    const bool plots = width() >= kRoomForPlots;
    steps_->setVisible(plots && height() >= kRoomForBoth);
    pareto_->setVisible(plots);
}

void WhatIfPanel::show_ready() {
    controls_->setEnabled(true);
    machine_->clear();
    machine_->addItem("as recorded", QString());
    for (const QString& id : model_->machines()) machine_->addItem(id, id);
    set_choice(model_->recorded());
    ask();
}

WhatIfChoice WhatIfPanel::choice() const {
    WhatIfChoice choice;
    // Boxes round; what was not turned stays exactly as recorded.
    const auto value = [](const QDoubleSpinBox* box, double recorded) {
        return std::abs(box->value() - recorded) < 0.00051 ? recorded : box->value();
    };
    const WhatIfChoice& recorded = model_->recorded();
    choice.ratio = value(ratio_, recorded.ratio);
    choice.threshold = value(threshold_, recorded.threshold);
    choice.window = window_->value();
    choice.commit_lag = lag_->value();
    choice.retrieval = retrieval_->isChecked();
    choice.anchor_share = anchors_->value();
    choice.satellite_share = satellites_->value();
    choice.machine = machine_->currentData().toString();
    return choice;
}

void WhatIfPanel::set_choice(const WhatIfChoice& choice) {
    setting_ = true;
    ratio_->setValue(choice.ratio);
    threshold_->setValue(choice.threshold);
    window_->setValue(choice.window);
    lag_->setValue(choice.commit_lag);
    retrieval_->setChecked(choice.retrieval);
    anchors_->setValue(choice.anchor_share);
    satellites_->setValue(choice.satellite_share);
    machine_->setCurrentIndex(std::max(0, machine_->findData(choice.machine)));
    setting_ = false;
}

void WhatIfPanel::ask() {
    if (setting_ || !model_->is_ready()) return;
    model_->ask(choice());
    sweep_soon_->start();
}

void WhatIfPanel::show_answer() {
    const WhatIfAnswer& answer = *model_->answer();
    const auto rows = std::make_shared<const std::vector<Figure>>(
        figures_of(model_->recorded_metrics(), &answer.prediction));
    const auto text = [rows](const QString& title, QString Figure::*field, bool left) {
        TableColumn column{title, [](std::size_t i) { return static_cast<double>(i); },
                           [rows, field](std::size_t i) { return (*rows)[i].*field; }};
        column.is_text = left;
        return column;
    };
    figures_->set(
        {text("figure", &Figure::what, true), text("recorded", &Figure::recorded, false),
         text("predicted", &Figure::predicted, false), text("interval", &Figure::between, false)},
        rows->size());
    table_->horizontalHeader()->setSectionResizeMode(QHeaderView::ResizeToContents);
    table_->horizontalHeader()->setStretchLastSection(true);
    table_->setColumnHidden(kIntervalColumn, width() < kRoomForIntervals);
    const std::string_view tag = sim::tag_name(answer.prediction.tag);
    QString said = QString("%1; answered in %2 ms")
                       .arg(QString::fromUtf8(tag.data(), static_cast<qsizetype>(tag.size())))
                       .arg(answer.elapsed_ms, 0, 'f', 0);
    QStringList notes;
    for (const std::string& note : answer.prediction.notes) notes += QString::fromStdString(note);
    if (!notes.isEmpty()) said += QString("; %1 notes (hover to read)").arg(notes.size());
    show_message(said, false);
    message_->setToolTip(notes.join('\n'));
    steps_->update();
    pareto_->update();
}

bool WhatIfPanel::busy() const {
    return model_->busy() || sweep_soon_->isActive();
}

QString WhatIfPanel::message() const {
    return message_->text();
}

void WhatIfPanel::show_message(const QString& text, bool problem) {
    const Theme theme = Theme::of(palette());
    QPalette colours = palette();
    colours.setColor(QPalette::WindowText, problem ? theme.warning : theme.dim_text);
    message_->setPalette(colours);
    message_->setText(text);
    message_->setToolTip({});
}

void WhatIfPanel::save_settings(const QString& path) const {
    const auto write = [](const QString& name, const QByteArray& text) {
        write_file_atomically(name.toStdString(),
                              {text.constData(), static_cast<std::size_t>(text.size())});
    };
    QString heads_file;
    if (const QString heads = model_->heads_json(choice()); !heads.isEmpty()) {
        const QFileInfo info(path);
        heads_file = info.path() + '/' + info.completeBaseName() + ".heads.json";
        write(heads_file, heads.toUtf8());
    }
    write(path, (model_->profile_options(choice(), heads_file) + '\n').toUtf8());
}

void WhatIfPanel::ask_for_file() {
    const QString name = QFileDialog::getSaveFileName(
        this, "Save as settings, for: xargs -a FILE hcprof profile ...", "what-if.options",
        "Options (*.options);;All files (*)");
    if (name.isEmpty()) return;
    try {
        save_settings(name);
    } catch (const Error& error) {
        QMessageBox::warning(this, "Not saved", QString::fromUtf8(error.what()));
    }
}

}  // namespace hc::gui
