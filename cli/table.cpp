#include "cli/table.h"

#include <algorithm>

#include "cli/terminal.h"
#include "engine/core/error.h"

namespace hc::cli {
namespace {

std::string padded(const std::string& cell, std::size_t width, bool left) {
    const std::size_t have = display_width(cell);
    const std::string space(width > have ? width - have : 0, ' ');
    return left ? cell + space : space + cell;
}

}  // namespace

void Table::add_row(std::vector<std::string> cells) {
    HC_CHECK(cells.size() == header_.size());
    rows_.push_back(std::move(cells));
}

std::string Table::part(const std::vector<std::size_t>& widths, std::size_t first, std::size_t last) const {
    std::string out;
    const auto add_line = [&](const std::vector<std::string>& cells) {
        const auto cell = [&](std::size_t c) {
            const bool left = std::find(words_.begin(), words_.end(), c) != words_.end();
            return padded(cells[c], widths[c], left);
        };
        std::string line = cell(0);
        for (std::size_t c = first; c < last; ++c) line += "  " + cell(c);
        while (!line.empty() && line.back() == ' ') line.pop_back();
        out += line + "\n";
    };
    add_line(header_);
    std::size_t total = widths[0];
    for (std::size_t c = first; c < last; ++c) total += widths[c] + 2;
    out += std::string(total, '-') + "\n";
    for (const auto& row : rows_) add_line(row);
    return out;
}

std::string Table::to_string(int width) const {
    std::vector<std::size_t> widths;
    for (std::size_t c = 0; c < header_.size(); ++c) {
        std::size_t w = display_width(header_[c]);
        for (const auto& row : rows_) w = std::max(w, display_width(row[c]));
        widths.push_back(w);
    }
    const auto room = static_cast<std::size_t>(std::max(width, 1));
    std::string out;
    std::size_t first = 1;
    do {
        std::size_t total = widths[0];
        std::size_t last = first;
        // At least one column a part, however narrow the terminal.
        while (last < widths.size() && (last == first || total + 2 + widths[last] <= room)) total += 2 + widths[last++];
        if (first > 1) out += "\n";
        out += part(widths, first, last);
        first = last;
    } while (first < widths.size());
    return out;
}

}  // namespace hc::cli
