/// Where one types what to look for: a field, how much was found, next and previous.
#pragma once

#include <QWidget>

#include "gui/models/background.h"
#include "gui/models/run_tables.h"
#include "gui/models/search.h"

class QLabel;
class QLineEdit;
class QToolButton;

namespace hc::gui {

class SearchBar : public QWidget {
    Q_OBJECT
public:
    explicit SearchBar(QWidget* parent = nullptr);

    void set_view(const RunViewPtr& view);
    /// Puts the cursor into the field and marks what stands there.
    void focus_field();
    void clear();
    [[nodiscard]] QLineEdit& field() { return *field_; }
    [[nodiscard]] QLineEdit& filter() { return *filter_; }
    /// What is said beside the field.
    [[nodiscard]] QString status() const;
    [[nodiscard]] bool busy() const { return background_.busy(); }

Q_SIGNALS:
    /// Null: nothing is looked for.
    void found(const SearchHitsPtr& hits);
    /// Enter (+1) or Shift+Enter (-1) in the field, or the buttons.
    void step_asked(int direction);
    void filter_changed(const QString& words);
    /// Escape in an empty field: the keyboard belongs to the timeline again.
    void left();

protected:
    bool eventFilter(QObject* watched, QEvent* event) override;

private:
    void start();
    void show_status(const QString& text, bool problem);

    RunViewPtr view_;
    Background background_;
    QLineEdit* field_ = nullptr;
    QLineEdit* filter_ = nullptr;
    QLabel* status_ = nullptr;
    QToolButton* previous_ = nullptr;
    QToolButton* next_ = nullptr;
};

}  // namespace hc::gui
