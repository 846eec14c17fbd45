#include "cli/data_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/format.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "engine/core/error.h"

namespace hc::cli {
namespace {

/// Without what stands between `open` and `close`, which stay: "f<a<b>>(c)" -> "f<>(c)".
std::string without_inner(const std::string& text, char open, char close) {
    std::string out;
    int depth = 0;
    for (const char c : text) {
        if (c == close && depth > 0) --depth;
        if (depth == 0) out += c;
        if (c == open) ++depth;
    }
    return depth == 0 ? out : text;  // unbalanced ("operator<"): better whole
}

/// Whole code points from the front, as many as take `width` columns.
std::string front_part(const std::string& text, std::size_t width) {
    std::size_t at = 0;
    std::size_t columns = 0;
    while (at < text.size() && columns < width) {
        ++at;
        while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U) ++at;
        ++columns;
    }
    return text.substr(0, at);
}

std::string back_part(const std::string& text, std::size_t width) {
    const std::size_t columns = display_width(text);
    return columns <= width ? text : text.substr(front_part(text, columns - width).size());
}

std::string csv_field(const std::string& text) {
    if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"') out += '"';
        out += c;
    }
    return out + "\"";
}

/// What a terminal would act on becomes '?': names come from outside.
std::string printable(std::string text) {
    for (char& c : text) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
    }
    return text;
}

}  // namespace

void DataTable::add_row(std::vector<Cell> cells) {
    HC_CHECK(cells.size() == columns.size());
    rows.push_back(std::move(cells));
}

std::string format_cell(const Cell& cell, Unit unit) {
    if (std::holds_alternative<std::monostate>(cell)) return "-";
    if (const auto* text = std::get_if<std::string>(&cell)) return printable(*text);
    const auto* integer = std::get_if<std::int64_t>(&cell);
    const double value =
        integer != nullptr ? static_cast<double>(*integer) : std::get<double>(cell);
    switch (unit) {
        case Unit::kNs:
            return format_ns(value);
        case Unit::kBytes:
            return format_bytes(value);
        case Unit::kShare:
            return format_percent(value);
        case Unit::kGbPerS:
            return format_number(value, value < 10 ? 2 : 1);
        case Unit::kNumber:
            return format_number(value, 2);
        case Unit::kCount:
        case Unit::kText:
            break;
    }
    return integer != nullptr ? format_count(*integer) : format_number(value, 1);
}

std::string shorten_name(const std::string& name, std::size_t width) {
    width = std::max<std::size_t>(width, 8);
    std::string text = name;
    if (display_width(text) <= width) return text;
    text = without_inner(text, '(', ')');
    if (text.ends_with("()")) text.resize(text.size() - 2);
    if (text.starts_with("void ")) text.erase(0, 5);
    if (display_width(text) <= width) return text;
    text = without_inner(text, '<', '>');
    if (display_width(text) <= width) return text;
    const std::size_t front = (width - 2) / 2;
    return front_part(text, front) + ".." + back_part(text, width - 2 - front);
}

std::vector<std::size_t> columns_for_people(const DataTable& table) {
    std::vector<std::size_t> shown;
    for (std::size_t c = 0; c < table.columns.size(); ++c) {
        const Column& column = table.columns[c];
        const bool says_something =
            c == 0 || std::any_of(table.rows.begin(), table.rows.end(), [&](const auto& row) {
                const Cell& cell = row[c];
                if (std::holds_alternative<std::monostate>(cell)) return false;
                return !column.hide_zeros || cell != Cell(std::int64_t{0});
            });
        if (column.for_people && says_something) shown.push_back(c);
    }
    return shown;
}

std::vector<std::string> short_names(const DataTable& table, std::size_t rows, std::size_t width) {
    std::vector<std::string> full;
    std::map<std::string, std::vector<std::size_t>> alike;
    for (std::size_t r = 0; r < rows; ++r) {
        full.push_back(format_cell(table.rows[r].front(), table.columns.front().unit));
        alike[shorten_name(full.back(), width)].push_back(r);
    }
    std::vector<std::string> names(rows);
    for (const auto& [text, group] : alike) {
        const std::string& first = full[group.front()];
        std::size_t common = first.size();
        for (const std::size_t r : group) {
            const auto ends =
                std::mismatch(first.begin(), first.end(), full[r].begin(), full[r].end());
            common = std::min(common, static_cast<std::size_t>(ends.first - first.begin()));
        }
        for (const std::size_t r : group) {
            if (common == first.size() && full[r].size() == first.size()) {
                names[r] = text;  // the same name, or one alone
                continue;
            }
            // What stands where they begin to differ, behind some of what they share.
            const std::size_t front = std::max<std::size_t>(width / 2, 4);
            const std::size_t from = common > 4 ? common - 4 : 0;
            names[r] = front_part(text, front - 2) + ".." +
                       front_part(full[r].substr(from), width - front);
        }
    }
    return names;
}

std::string wrapped(const std::string& text, int width) {
    const auto room = static_cast<std::size_t>(std::max(width, 20));
    std::string out;
    std::string line;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t space = std::min(text.find(' ', at), text.size());
        const std::string word = text.substr(at, space - at);
        if (!line.empty() && display_width(line) + 1 + display_width(word) > room) {
            out += line + "\n";
            line.clear();
        }
        line += (line.empty() ? "" : " ") + word;
        at = space + 1;
    }
    return out + line + "\n";
}

std::string to_text(const DataTable& table, int width, std::size_t top) {
    const std::vector<std::size_t> shown = columns_for_people(table);
    const bool all = top == 0 || table.whole;
    const std::size_t rows = all ? table.rows.size() : std::min(top, table.rows.size());
    std::vector<std::vector<std::string>> cells(rows);
    std::vector<std::string> header;
    std::vector<std::size_t> words;
    std::size_t others = 0;  // columns of all but the first
    for (std::size_t s = 0; s < shown.size(); ++s) {
        const Column& column = table.columns[shown[s]];
        header.push_back(column.title);
        if (column.unit == Unit::kText) words.push_back(s);
        std::size_t widest = display_width(column.title);
        for (std::size_t r = 0; r < rows; ++r) {
            cells[r].push_back(format_cell(table.rows[r][shown[s]], column.unit));
            widest = std::max(widest, display_width(cells[r].back()));
        }
        if (s > 0) others += 2 + widest;
    }
    constexpr std::size_t kNarrowest = 18;
    const auto room = static_cast<std::size_t>(std::max(width, 1));
    const std::vector<std::string> names =
        short_names(table, rows, room > others + kNarrowest ? room - others : kNarrowest);
    Table out(header, words);
    for (std::size_t r = 0; r < rows; ++r) {
        cells[r].front() = names[r];
        out.add_row(std::move(cells[r]));
    }
    std::string text = out.to_string(width);
    if (rows < table.rows.size()) {
        text += fmt::format("({} more: --top 0 shows all)\n",
                            format_count(static_cast<std::int64_t>(table.rows.size() - rows)));
    }
    return text;
}

nlohmann::ordered_json to_json(const DataTable& table) {
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    for (const std::vector<Cell>& row : table.rows) {
        nlohmann::ordered_json object = nlohmann::ordered_json::object();
        for (std::size_t c = 0; c < row.size(); ++c) {
            nlohmann::ordered_json& value = object[table.columns[c].key];
            std::visit(
                [&](const auto& cell) {
                    if constexpr (!std::is_same_v<std::decay_t<decltype(cell)>, std::monostate>) {
                        value = cell;
                    }
                },
                row[c]);
        }
        rows.push_back(std::move(object));
    }
    return rows;
}

std::string to_csv(const DataTable& table) {
    std::string out;
    for (std::size_t c = 0; c < table.columns.size(); ++c) {
        out += (c > 0 ? "," : "") + csv_field(table.columns[c].key);
    }
    out += "\r\n";
    for (const std::vector<Cell>& row : table.rows) {
        for (std::size_t c = 0; c < row.size(); ++c) {
            if (c > 0) out += ',';
            if (const auto* integer = std::get_if<std::int64_t>(&row[c])) {
                out += fmt::format("{}", *integer);
            } else if (const auto* real = std::get_if<double>(&row[c])) {
                if (std::isfinite(*real)) out += fmt::format("{}", *real);
            } else if (const auto* text = std::get_if<std::string>(&row[c])) {
                out += csv_field(*text);
            }
        }
        out += "\r\n";
    }
    return out;
}

}  // namespace hc::cli
