/// Statistics of a range, steps, checks, fetches, hits of a search, and what compare adds, as
/// tables that sort and filter; a row leads to its place in the timeline.
#pragma once

#include <QTabWidget>
#include <array>

#include "gui/models/run_tables.h"

class QLineEdit;
class QTableView;

namespace hc::gui {

class TablesPanel : public QTabWidget {
    Q_OBJECT
public:
    /// In the order of the tabs.
    enum class Table { kStatistics, kSteps, kChecks, kFetches, kHits, kDifferences };
    static constexpr std::size_t kNumTables = 6;
    /// More hits are found and stepped through than a list of them is of use.
    static constexpr std::size_t kMaxHits = 20'000;

    explicit TablesPanel(QWidget* parent = nullptr);

    void set_view(const RunViewPtr& view);
    /// `title`: of what range. Null statistics: being computed.
    void set_statistics(const RangeStatisticsPtr& statistics, const QString& title);
    /// Null: no search, and no tab.
    void set_hits(const SearchHitsPtr& hits);
    /// Another table, by columns that the caller made; none: no tab.
    void set_differences(std::vector<TableColumn> columns, std::size_t num_rows);
    void show_table(Table table);
    [[nodiscard]] const ColumnTable& model(Table table) const;
    [[nodiscard]] QTableView& table(Table table);
    [[nodiscard]] QLineEdit& filter() { return *filter_; }

Q_SIGNALS:
    /// Rows of the run's data.
    void step_chosen(std::size_t row);
    void check_chosen(std::size_t row);
    void fetch_chosen(std::size_t row);
    void hit_chosen(std::size_t hit);
    /// A name of the statistics was chosen: what to search for.
    void name_chosen(const QString& name);

protected:
    void keyPressEvent(QKeyEvent* event) override;

private:
    struct Page {
        QString title;
        ColumnTable* model = nullptr;
        QTableView* table = nullptr;
    };
    Page& page(Table table) { return pages_[static_cast<std::size_t>(table)]; }
    void add_page(Table table, const QString& title);
    void fill(Table table, std::vector<TableColumn> columns, std::size_t num_rows);
    void show_counts();
    void choose(Table table, std::size_t row);
    /// The table in front; null where there is none.
    [[nodiscard]] const Page* current() const;
    void copy_selected() const;
    void save_csv();

    std::array<Page, kNumTables> pages_;
    QLineEdit* filter_ = nullptr;
    RunViewPtr view_;
    RangeStatisticsPtr statistics_;
    SearchHitsPtr hits_;
};

}  // namespace hc::gui
