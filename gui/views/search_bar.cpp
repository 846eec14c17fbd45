#include "gui/views/search_bar.h"

#include <QHBoxLayout>
#include <QKeyEvent>
#include <QLabel>
#include <QLineEdit>
#include <QToolButton>

#include "gui/models/ticks.h"
#include "gui/views/theme.h"

namespace hc::gui {

SearchBar::SearchBar(QWidget* parent) : QWidget(parent) {
    field_ = new QLineEdit(this);
    field_->setPlaceholderText(
        "search: name, /expression/, dur>10us, layer=12, step=40, track:worker");
    field_->setClearButtonEnabled(true);
    field_->setAccessibleName("search events");
    field_->installEventFilter(this);
    status_ = new QLabel(this);
    status_->setMinimumWidth(fontMetrics().horizontalAdvance("10,000,000 hits, 100 ms") + 8);
    const auto add_button = [&](Qt::ArrowType arrow, const char* tip, int direction) {
        auto* button = new QToolButton(this);
        button->setArrowType(arrow);
        button->setAutoRaise(true);
        button->setToolTip(tip);
        button->setAccessibleName(tip);
        button->setEnabled(false);
        connect(button, &QToolButton::clicked, this,
                [this, direction] { Q_EMIT step_asked(direction); });
        return button;
    };
    previous_ = add_button(Qt::UpArrow, "previous hit (Shift+N)", -1);
    next_ = add_button(Qt::DownArrow, "next hit (N)", 1);
    filter_ = new QLineEdit(this);
    filter_->setPlaceholderText("filter tracks");
    filter_->setClearButtonEnabled(true);
    filter_->setAccessibleName("filter tracks");
    filter_->setMaximumWidth(190);
    filter_->installEventFilter(this);
    auto* row = new QHBoxLayout(this);
    row->setContentsMargins(8, 3, 8, 3);
    row->setSpacing(6);
    row->addWidget(filter_, 1);
    row->addWidget(field_, 3);
    row->addWidget(previous_);
    row->addWidget(next_);
    row->addWidget(status_);
    connect(field_, &QLineEdit::textChanged, this, &SearchBar::start);
    connect(filter_, &QLineEdit::textChanged, this, &SearchBar::filter_changed);
}

void SearchBar::set_view(const RunViewPtr& view) {
    view_ = view;
    start();
}

void SearchBar::focus_field() {
    field_->setFocus(Qt::ShortcutFocusReason);
    field_->selectAll();
}

void SearchBar::clear() {
    field_->clear();
}

QString SearchBar::status() const {
    return status_->text();
}

void SearchBar::show_status(const QString& text, bool problem) {
    status_->setText(text);
    status_->setToolTip(text);
    QPalette colours = palette();
    const Theme theme = Theme::of(palette());
    colours.setColor(QPalette::WindowText, problem ? theme.warning : theme.dim_text);
    status_->setPalette(colours);
}

void SearchBar::start() {
    background_.cancel();
    previous_->setEnabled(false);
    next_->setEnabled(false);
    QString problem;
    const auto query = parse_query(field_->text(), problem);
    if (!query || query->empty() || !view_) {
        show_status(problem, !problem.isEmpty());
        Q_EMIT found(nullptr);
        return;
    }
    show_status("searching", false);
    background_.start([this, view = view_, query = *query](
                          const Background::Cancelled& cancelled) -> Background::Delivery {
        const SearchHitsPtr hits = search(*view, query, cancelled);
        if (!hits) return {};
        return [this, hits] {
            const bool any = hits->count > 0;
            previous_->setEnabled(any);
            next_->setEnabled(any);
            show_status(any ? QString("%1 hits, %2 ms")
                                  .arg(format_count(static_cast<qint64>(hits->count)))
                                  .arg(hits->elapsed_ms, 0, 'f', 0)
                            : QString("no hits"),
                        !any);
            Q_EMIT found(hits);
        };
    });
}

bool SearchBar::eventFilter(QObject* watched, QEvent* event) {
    if (event->type() != QEvent::KeyPress) return QWidget::eventFilter(watched, event);
    const auto* key = static_cast<QKeyEvent*>(event);
    auto* field = static_cast<QLineEdit*>(watched);
    const bool enter = key->key() == Qt::Key_Return || key->key() == Qt::Key_Enter;
    if (enter && field == field_) {
        Q_EMIT step_asked(key->modifiers().testFlag(Qt::ShiftModifier) ? -1 : 1);
        return true;
    }
    if (enter) {
        Q_EMIT left();
        return true;
    }
    if (key->key() == Qt::Key_Escape) {
        // First the text goes, then the cursor.
        field->text().isEmpty() ? Q_EMIT left() : field->clear();
        return true;
    }
    return QWidget::eventFilter(watched, event);
}

}  // namespace hc::gui
