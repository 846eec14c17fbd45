/// Text tables that fit the terminal.
#pragma once

#include <string>
#include <vector>

namespace hc::cli {

/// First column left-aligned, the others right-aligned. Where the table is wider than the
/// terminal, each row is printed as a block of "column: value" lines instead.
class Table {
public:
    explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}
    /// Must have as many cells as the header.
    void add_row(std::vector<std::string> cells);
    [[nodiscard]] std::string to_string(int width) const;

private:
    std::vector<std::string> header_;
    std::vector<std::vector<std::string>> rows_;
};

}  // namespace hc::cli
