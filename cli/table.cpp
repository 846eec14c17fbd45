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

std::string Table::to_string(int width) const {
    std::vector<std::size_t> widths;
    std::size_t total = 0;
    for (std::size_t c = 0; c < header_.size(); ++c) {
        std::size_t w = display_width(header_[c]);
        for (const auto& row : rows_) w = std::max(w, display_width(row[c]));
        widths.push_back(w);
        total += w + 2;
    }
    std::string out;
    if (total > static_cast<std::size_t>(std::max(width, 1)) + 2) {
        std::size_t label = 0;
        for (const auto& h : header_) label = std::max(label, display_width(h));
        for (const auto& row : rows_) {
            for (std::size_t c = 0; c < row.size(); ++c) {
                if (header_[c].empty()) {
                    out += row[c] + "\n";
                } else {
                    out += "  " + padded(header_[c], label, true) + "  " + row[c] + "\n";
                }
            }
        }
        return out;
    }
    const auto add_line = [&](const std::vector<std::string>& cells) {
        std::string line;
        for (std::size_t c = 0; c < cells.size(); ++c) {
            line += (c == 0 ? "" : "  ") + padded(cells[c], widths[c], c == 0);
        }
        while (!line.empty() && line.back() == ' ') line.pop_back();
        out += line + "\n";
    };
    add_line(header_);
    out += std::string(total - 2, '-') + "\n";
    for (const auto& row : rows_) add_line(row);
    return out;
}

}  // namespace hc::cli
