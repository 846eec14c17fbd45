/// Writes a trace while the program runs: rows go into a bounded queue, a background thread
/// commits them a few times a second.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/core/observer.h"
#include "profiler/trace/activity.h"
#include "profiler/trace/columns.h"

namespace hc::trace {

struct WriterOptions {
    std::string command_line = {};
    std::size_t queue_bytes = std::size_t{64} << 20;  ///< bound of memory; full: callers wait
    std::int64_t commit_interval_ms = 250;
    /// Named in errors in place of the file's own path, which may be a temporary one.
    std::filesystem::path shown_path = {};
    /// Rows of hc_meta that finish() leaves in place of the writer's own, for a file that speaks
    /// of another session than this process (merged, imported).
    std::map<std::string, std::string> final_meta = {};
};

/// Thread-safe. Rows keep the order of each calling thread. Times of a recorded run are now_ns()
/// of engine/core and are stored relative to the writer's start; those of a simulated run start
/// at zero and are stored as they come.
///
/// When the file cannot be written any more, the reason is kept: every later add_*, flush() and
/// finish() throws it as Error(kIo) naming the path.
class Writer {
public:
    /// Creates the file; an existing one is replaced when the new one is complete enough to
    /// open. Throws Error(kIo) naming the path when the folder cannot be written.
    Writer(const std::filesystem::path& path, const WriterOptions& options);
    /// Closes without clean_exit when finish() was not called.
    ~Writer();
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;

    /// Adds a run and returns the id that it got; `run.id` is not looked at. `zero_ns` is taken
    /// from all times of its records: by default the writer's start for a recorded run and 0
    /// for a simulated one. Pass 0 to copy a run that was read from a trace.
    RunId begin_run(const Run& run, const Machine& machine,
                    std::optional<std::int64_t> zero_ns = std::nullopt);
    void add_stream(const Stream& stream);
    void add_value(const Value& value);
    void add_meta(const std::string& key, const std::string& value);

    void add_step(RunId run, const StepRecord& step, std::span<const OpRecord> ops,
                  std::span<const EdgeRecord> edges);
    void add_token(RunId run, const TokenRecord& token);
    void add_heads(RunId run, std::span<const HeadRecord> heads);
    void add_drift(RunId run, const DriftRecord& check);
    void add_fetch(RunId run, const FetchRecord& fetch);
    void add_rows(RunId run, const RowsRecord& rows);
    void add_attention(RunId run, const AttentionRecord& row);
    void add_memory(RunId run, const MemoryRecord& memory);
    void add_recall(RunId run, std::span<const RecallRecord> rows);

    /// Names, launches and streams of CUDA activity, each stored once; equal values give equal
    /// ids, and an id is in the file before any row that uses it.
    [[nodiscard]] StringId string_id(std::string_view text);
    [[nodiscard]] LaunchId launch_id(const Launch& launch);
    /// A stream or thread is known by its pid, device, context and stream id; `stream.key` is
    /// ignored, and the key that it got is returned. A later call brings a new name or role; empty
    /// ones leave what was there.
    StreamKey stream_key(const Stream& stream);
    /// The id of an NVTX domain of a process; 0, the default domain, for "".
    [[nodiscard]] std::int32_t nvtx_domain(std::int64_t pid, std::string_view name);
    void name_nvtx_category(std::int64_t pid, std::int32_t domain, std::int32_t category,
                            std::string_view name);
    /// Again with the same device or pid: replaces.
    void add_gpu(const Gpu& gpu);
    void add_process(std::int64_t pid, std::string_view name);
    /// Rows of CUDA activity. `zero_ns` is taken from their times (default: the writer's start).
    /// Waits while the queue is full.
    void add_activity(const ActivityBatch& batch,
                      std::optional<std::int64_t> zero_ns = std::nullopt);
    /// For threads that must not wait: rows that find the queue full, or a writer that failed, are
    /// left out and counted (hc_meta's lost_writer). Returns how many were taken. Never throws.
    std::size_t try_add_activity(const ActivityBatch& batch,
                                 std::optional<std::int64_t> zero_ns = std::nullopt) noexcept;
    /// Rows that try_add_activity() left out so far.
    [[nodiscard]] std::uint64_t lost_rows() const noexcept;
    /// What the times of activity are taken from by default, now_ns() of the writer's start.
    [[nodiscard]] std::int64_t epoch_ns() const noexcept;

    /// Writes what is queued, builds indexes, marks clean_exit. Throws Error(kIo) when anything
    /// could not be written (disk full): the file then holds what was committed before.
    void finish();
    /// Waits until everything queued so far is committed.
    void flush();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// The engine's observer that writes one run. Borrows the writer.
class RunRecorder final : public Observer {
public:
    RunRecorder(Writer& writer, RunId run) : writer_(writer), run_(run) {}
    [[nodiscard]] RunId run() const { return run_; }

    void on_step(const StepRecord& step, std::span<const OpRecord> ops,
                 std::span<const EdgeRecord> edges) override {
        writer_.add_step(run_, step, ops, edges);
    }
    void on_token(const TokenRecord& token) override { writer_.add_token(run_, token); }
    void on_heads(std::span<const HeadRecord> heads) override { writer_.add_heads(run_, heads); }
    void on_drift(const DriftRecord& check) override { writer_.add_drift(run_, check); }
    void on_fetch(const FetchRecord& fetch) override { writer_.add_fetch(run_, fetch); }
    void on_rows(const RowsRecord& rows) override { writer_.add_rows(run_, rows); }
    void on_attention(const AttentionRecord& row) override { writer_.add_attention(run_, row); }
    void on_memory(const MemoryRecord& memory) override { writer_.add_memory(run_, memory); }

private:
    Writer& writer_;
    RunId run_;
};

}  // namespace hc::trace
