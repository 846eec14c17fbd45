/// Rows of a table of a file that may come from anywhere and may lack columns.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "profiler/trace/sqlite_database.h"

namespace hc::formats {

/// A column that is read: its name, and whether a file can do without it.
struct NsysColumn {
    std::string_view name;
    bool required = false;
};

/// Reads the named columns of one table in the order of its rows; absent ones are NULL.
class NsysTable {
public:
    /// Throws trace::BadData when a required column is missing. A table that is not there, or is
    /// a view, has no rows.
    NsysTable(const trace::Database& database, std::string_view name,
              std::span<const NsysColumn> columns, std::string_view where = "");

    [[nodiscard]] bool present() const { return present_; }
    /// The number of the last row, from the table's end.
    [[nodiscard]] std::int64_t expected_rows() const { return expected_rows_; }
    /// The next row; false at the end.
    bool next();

    /// nullopt for NULL. Throws trace::BadData for a text, blob or fraction.
    [[nodiscard]] std::optional<std::int64_t> integer(int column) const;
    [[nodiscard]] std::int64_t integer_or(int column, std::int64_t otherwise) const {
        return integer(column).value_or(otherwise);
    }
    /// The same within 32 bits.
    [[nodiscard]] std::int32_t int_or(int column, std::int32_t otherwise) const;
    [[nodiscard]] std::optional<double> real(int column) const;
    /// nullopt for NULL. Valid until next().
    [[nodiscard]] std::optional<std::string_view> text(int column) const;
    /// "TABLE row N", for messages.
    [[nodiscard]] std::string here() const;

private:
    [[noreturn]] void bad(int column, std::string_view expected) const;

    std::string name_;
    std::span<const NsysColumn> columns_;
    trace::Statement rows_;
    std::int64_t expected_rows_ = 0, row_ = 0;
    bool present_ = false;
};

}  // namespace hc::formats
