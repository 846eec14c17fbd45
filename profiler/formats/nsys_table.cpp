#include "profiler/formats/nsys_table.h"

#include <fmt/format.h>
#include <limits>

#include "profiler/trace/position_codec.h"

namespace hc::formats {

using trace::BadData;
using trace::Statement;

NsysTable::NsysTable(const trace::Database& database, std::string_view name,
                     std::span<const NsysColumn> columns, std::string_view where)
    : name_(name), columns_(columns) {
    // A view of that name would make us run whatever the file says.
    Statement table = database.prepare(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 AND name = ?");
    table.bind(1, name);
    present_ = table.step() && table.integer(0) == 1;
    if (!present_) return;
    std::set<std::string, std::less<>> there;
    Statement info = database.prepare("SELECT name FROM pragma_table_info(?)");
    info.bind(1, name);
    while (info.step()) there.emplace(info.text(0));
    std::string list;
    for (const NsysColumn& column : columns) {
        const bool has = there.contains(column.name);
        if (!has && column.required) {
            throw BadData(fmt::format("table {} has no column {}", name, column.name));
        }
        list += list.empty() ? "" : ", ";
        list += has ? fmt::format("\"{}\"", column.name) : "NULL";
    }
    rows_ = database.prepare(fmt::format("SELECT {} FROM {} {}", list, name, where));
    expected_rows_ =
        database.query_integer(fmt::format("SELECT max(rowid) FROM {}", name)).value_or(0);
}

bool NsysTable::next() {
    if (!present_ || !rows_.step()) return false;
    ++row_;
    return true;
}

std::optional<std::int64_t> NsysTable::integer(int column) const {
    switch (rows_.type(column)) {
        case Statement::Type::kInteger:
            return rows_.integer(column);
        case Statement::Type::kNull:
            return std::nullopt;
        default:
            bad(column, "a whole number");
    }
}

std::int32_t NsysTable::int_or(int column, std::int32_t otherwise) const {
    using Int = std::numeric_limits<std::int32_t>;
    const std::int64_t value = integer_or(column, otherwise);
    if (value < Int::min() || value > Int::max()) bad(column, "a number of 32 bits");
    return static_cast<std::int32_t>(value);
}

std::optional<double> NsysTable::real(int column) const {
    switch (rows_.type(column)) {
        case Statement::Type::kInteger:
        case Statement::Type::kReal:
            return rows_.real(column);
        case Statement::Type::kNull:
            return std::nullopt;
        default:
            bad(column, "a number");
    }
}

std::optional<std::string_view> NsysTable::text(int column) const {
    switch (rows_.type(column)) {
        case Statement::Type::kText:
            return rows_.text(column);
        case Statement::Type::kNull:
            return std::nullopt;
        default:
            bad(column, "a text");
    }
}

std::string NsysTable::here() const {
    return fmt::format("{} row {}", name_, row_);
}

void NsysTable::bad(int column, std::string_view expected) const {
    throw BadData(fmt::format("{}: {} is '{}', expected {}", here(),
                              columns_[static_cast<std::size_t>(column)].name,
                              rows_.text(column).substr(0, 40), expected));
}

}  // namespace hc::formats
