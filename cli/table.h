/// Text tables that fit the terminal.
#pragma once

#include <string>
#include <vector>

namespace hc::cli {

/// First column left-aligned, the others right-aligned. A table wider than the terminal is
/// printed in several parts, each with the first column and as many others as fit.
class Table {
public:
    explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}
    /// Must have as many cells as the header.
    void add_row(std::vector<std::string> cells);
    [[nodiscard]] std::string to_string(int width) const;

private:
    [[nodiscard]] std::string part(const std::vector<std::size_t>& widths, std::size_t first,
                                   std::size_t last) const;

    std::vector<std::string> header_;
    std::vector<std::vector<std::string>> rows_;
};

}  // namespace hc::cli
