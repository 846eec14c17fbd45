/// A table of a report, once, for every form in which it is put out: text, JSON, CSV and HTML.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace hc::cli {

/// How people read a column; machines get plain numbers: ns, bytes, shares of 1.
enum class Unit : std::uint8_t { kText, kCount, kNs, kBytes, kShare, kGbPerS, kNumber };

struct Column {
    std::string key;    ///< in JSON and CSV: stable
    std::string title;  ///< in text and HTML
    Unit unit = Unit::kText;
    bool for_people = true;   ///< in text and HTML as well, unless nothing is known in any row
    bool hide_zeros = false;  ///< for people: not when every row is 0
};

/// monostate: not known. JSON null, an empty field in CSV, "-" for people.
using Cell = std::variant<std::monostate, std::int64_t, double, std::string>;

template <typename T>
[[nodiscard]] Cell cell_of(const std::optional<T>& value) {
    return value ? Cell(*value) : Cell();
}

struct DataTable {
    std::string key;    ///< "kernels": name in JSON and of the CSV file
    std::string title;  ///< "Kernels by name"
    std::string note;   ///< a line on how to read it, may be empty
    std::vector<Column> columns;
    std::vector<std::vector<Cell>> rows;
    bool whole = false;  ///< few rows, which belong together: never cut to the first ones

    /// Must have as many cells as there are columns.
    void add_row(std::vector<Cell> cells);
};

/// The columns that people get to see.
[[nodiscard]] std::vector<std::size_t> columns_for_people(const DataTable& table);
/// The first `rows` names of column 0, none wider than `width` and no two different ones alike.
[[nodiscard]] std::vector<std::string> short_names(const DataTable& table, std::size_t rows,
                                                   std::size_t width);

[[nodiscard]] std::string format_cell(const Cell& cell, Unit unit);

/// At most `top` rows (0: all), words shortened so that no column but the first is split off at
/// `width` where that can be helped. Says below how many rows were left out.
[[nodiscard]] std::string to_text(const DataTable& table, int width, std::size_t top);
/// An array of objects, all rows.
[[nodiscard]] nlohmann::ordered_json to_json(const DataTable& table);
/// RFC 4180 with a header line of keys, all rows.
[[nodiscard]] std::string to_csv(const DataTable& table);

/// A name of at most `width` columns (8 at least). Of a C++ signature the parameters go first, then
/// what stands between angle brackets, then the middle.
[[nodiscard]] std::string shorten_name(const std::string& name, std::size_t width);
/// Broken into lines of at most `width` columns at its spaces; ends with a line break.
[[nodiscard]] std::string wrapped(const std::string& text, int width);

}  // namespace hc::cli
