/// The forms of a report.
#pragma once

#include <cstddef>
#include <set>
#include <string>

#include "cli/report_data.h"

namespace hc::cli {

/// Parts of a report that can be asked for by name.
struct Sections {
    /// "overview", "operations", "steps", "retrievals", "idle", "kernels", "copies", "api",
    /// "ranges".
    std::set<std::string> names;
    [[nodiscard]] bool holds(const std::string& name) const { return names.contains(name); }
};

struct TextOptions {
    Sections sections;
    std::size_t top = 10;  ///< rows of a table; 0: all
    int width = 80;
};

/// To stdout.
void print_report(const ReportData& data, const TextOptions& options);
/// To stdout, every table of the sections whole.
void print_report_json(const ReportData& data, const Sections& sections);
/// One file a table into `folder`, which is made where it does not exist. Every file is complete or
/// not there. Throws Error(kIo). Returns how many were written.
std::size_t write_report_csv(const ReportData& data, const Sections& sections,
                             const std::string& folder);
/// One page that needs no other file. Throws Error(kIo).
void write_report_html(const ReportData& data, const std::string& path);

}  // namespace hc::cli
