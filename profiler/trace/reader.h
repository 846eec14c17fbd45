/// Opens a trace and hands out its columns.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/progress.h"
#include "profiler/trace/activity_columns.h"
#include "profiler/trace/columns.h"

namespace hc::trace {

/// Its const members may be called from several threads.
class Trace {
public:
    /// Throws Error(kInput) with its own message for: no SQLite file, no hcprof trace, a newer
    /// major version, corrupt; Error(kIo) when it cannot be opened. A file without clean_exit
    /// opens; warning() then says so.
    explicit Trace(const std::filesystem::path& path);
    ~Trace();
    Trace(Trace&&) noexcept;
    Trace& operator=(Trace&&) noexcept;

    [[nodiscard]] const std::filesystem::path& path() const;
    /// One line, empty when all is well: "not closed cleanly, last heartbeat ...", lost records.
    [[nodiscard]] std::string warning() const;
    [[nodiscard]] std::optional<std::string> meta(const std::string& key) const;
    [[nodiscard]] const std::vector<Run>& runs() const;
    [[nodiscard]] const std::vector<Stream>& streams() const;
    [[nodiscard]] std::vector<Value> values() const;
    /// The run of that id. Throws Error(kRefused) when there is none, listing those there are.
    [[nodiscard]] const Run& run(RunId id) const;

    /// What to read of a run; the drift trace can be large.
    struct Parts {
        bool operations = true;
        bool attention = true;
    };
    /// Throws Error(kInput) for values that no writer of ours leaves (a layer of a million, a
    /// position beyond the prompt), Error(kInterrupted) when `progress` was cancelled. Times of
    /// fetches that never began are -1.
    [[nodiscard]] RunData read(RunId id, const Parts& parts, Progress& progress) const;
    [[nodiscard]] std::vector<RecallRecord> recall(RunId id) const;

    // CUDA activity. A file of version 1.0, or of a CPU run, has none: everything is empty.

    /// From the last row's number: no scan.
    [[nodiscard]] ActivityCounts activity_counts() const;
    /// Read on the first call and kept. What rows refer to is always in them.
    [[nodiscard]] const Strings& strings() const;
    [[nodiscard]] const Launches& launches() const;
    [[nodiscard]] std::vector<Gpu> gpus() const;
    [[nodiscard]] std::vector<Process> processes() const;
    [[nodiscard]] std::vector<NvtxName> nvtx_names() const;

    /// Calls `each` with blocks of at most 65,536 rows in the order of the file, which is about
    /// that of time; the block is reused, so memory stays at a few MB whatever the file holds.
    /// Every call has a connection of its own: threads read several tables side by side, and
    /// `each` may use this trace. `Columns` is a struct of activity_columns.h.
    /// Throws Error(kInput) for values out of range, Error(kInterrupted), and what `each` throws.
    template <typename Columns>
    void for_each_block(Progress& progress, const std::function<void(const Columns&)>& each) const;
    /// The whole table, ordered by start (externals: by correlation id), equal ones as they lie in
    /// the file. Takes the bytes a row that activity_columns.h states, and up to half as much
    /// again while it sorts.
    template <typename Columns>
    [[nodiscard]] Columns read_activity(Progress& progress) const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// SQL of the whole schema with its comments, as compiled in; for docs and tests.
[[nodiscard]] std::string_view schema_sql();

}  // namespace hc::trace
