#include "profiler/trace/activity_counts.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <string_view>

#include "engine/core/error.h"
#include "profiler/trace/sqlite_database.h"

namespace hc::trace {
namespace {

struct Kind {
    std::string_view name;
    std::string_view table;
};
constexpr std::array kKinds{
    Kind{"kernel", "hc_kernel"},       Kind{"memcpy", "hc_memcpy"},
    Kind{"memset", "hc_memset"},       Kind{"api", "hc_api"},
    Kind{"sync", "hc_sync"},           Kind{"nvtx", "hc_nvtx"},
    Kind{"overhead", "hc_overhead"},   Kind{"memory", "hc_memory_event"},
    Kind{"external", "hc_external"},
};

bool has_table(const Database& database, std::string_view name) {
    Statement row = database.prepare(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ? AND rootpage > 0");
    row.bind(1, name);
    return row.step() && row.integer(0) == 1;
}

}  // namespace

std::int64_t ActivityCounts::of(std::string_view kind) const {
    for (const auto& [name, count] : rows) {
        if (name == kind) return count;
    }
    return 0;
}

std::int64_t ActivityCounts::total() const {
    std::int64_t sum = 0;
    for (const auto& [name, count] : rows) sum += count;
    return sum;
}

ActivityCounts count_activity(const std::filesystem::path& path) {
    ActivityCounts out;
    try {
        const Database database(std::filesystem::absolute(path).string(),
                                Database::Open::kReadOnly);
        for (const Kind& kind : kKinds) {
            if (!has_table(database, kind.table)) continue;
            // Rows are only ever added, so that the last one's number is their count.
            const std::int64_t count =
                database.query_integer(fmt::format("SELECT max(rowid) FROM {}", kind.table))
                    .value_or(0);
            if (count > 0) out.rows.emplace_back(kind.name, count);
        }
        if (has_table(database, "hc_meta")) {
            Statement row = database.prepare(
                "SELECT substr(key, 6), value FROM hc_meta WHERE key LIKE 'lost\\_%' ESCAPE '\\' "
                "ORDER BY key");
            while (row.step()) {
                const std::string_view text = row.text(1);
                std::int64_t count = 0;
                std::from_chars(text.data(), text.data() + text.size(), count);
                if (count > 0) out.lost.emplace_back(row.text(0), count);
            }
        }
        if (has_table(database, "hc_stream")) {
            out.processes =
                database.query_integer("SELECT count(DISTINCT pid) FROM hc_stream").value_or(0);
        }
    } catch (const SqliteFailure& failure) {
        if (failure.is_corruption()) {
            throw_input(
                fmt::format("trace '{}' is damaged: {}", path.string(), failure.what()));
        }
        throw_io(fmt::format("cannot read trace '{}': {}", path.string(), failure.what()));
    }
    return out;
}

}  // namespace hc::trace
