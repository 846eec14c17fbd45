/// Text tables that fit the terminal.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace hc::cli {

/// Columns of words are left-aligned, those of numbers right-aligned. A table wider than the terminal is
/// printed in several parts, each with the first column and as many others as fit.
class Table {
public:
    /// `words`: indices of the columns that hold words.
    explicit Table(std::vector<std::string> header, std::vector<std::size_t> words = {0})
        : header_(std::move(header)), words_(std::move(words)) {}
    /// Must have as many cells as the header.
    void add_row(std::vector<std::string> cells);
    [[nodiscard]] std::string to_string(int width) const;

private:
    [[nodiscard]] std::string part(const std::vector<std::size_t>& widths, std::size_t first,
                                   std::size_t last) const;

    std::vector<std::string> header_;
    std::vector<std::size_t> words_;
    std::vector<std::vector<std::string>> rows_;
};

}  // namespace hc::cli
