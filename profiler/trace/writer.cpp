#include "profiler/trace/writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <mutex>
#include <thread>

#include "engine/core/clock.h"
#include "engine/core/error.h"
#include "profiler/trace/activity_names.h"
#include "profiler/trace/record_archive.h"
#include "profiler/trace/record_queue.h"
#include "profiler/trace/row_inserter.h"
#include "profiler/trace/schema.h"
#include "profiler/trace/sqlite_database.h"

namespace hc::trace {
namespace {

constexpr std::int64_t kHeartbeatNs = 900'000'000;
constexpr std::int64_t kCheckpointNs = 1'000'000'000;
/// Of activity: at 88 bytes or less a row, a record stays well inside a chunk of the queue.
constexpr std::size_t kRowsPerRecord = 2048;

std::string utc_now() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    char text[32];
    std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text;
}

std::string host_name() {
    char name[256] = {};
    if (::gethostname(name, sizeof(name) - 1) != 0) return "unknown";
    return name;
}

std::string cannot_write(const std::filesystem::path& path, std::string_view why) {
    return fmt::format("cannot write trace '{}': {}", path.string(), why);
}

/// Makes a complete, empty trace under a temporary name and moves it to `absolute`, so that nobody
/// meets half a schema and an old file stays until the new one opens.
void create_file(const std::filesystem::path& path, const std::filesystem::path& absolute) {
    const std::string part = fmt::format("{}.part{}", absolute.string(), ::getpid());
    const int fd = ::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) throw_io(cannot_write(path, std::strerror(errno)));
    ::close(fd);
    const auto give_up = [&](std::string_view why) {
        ::unlink(part.c_str());
        ::unlink((part + "-journal").c_str());
        throw_io(cannot_write(path, why));
    };
    try {
        Database database(part, Database::Open::kReadWrite);
        // The page size cannot change once there is a table.
        database.execute("PRAGMA page_size = 16384");
        database.execute("BEGIN");
        database.execute(tables_sql());
        database.execute("COMMIT");
    } catch (const SqliteFailure& failure) {
        give_up(failure.what());
    }
    // A log of the old file beside the new one would be replayed into it.
    for (const char* suffix : {"-wal", "-shm", "-journal"}) {
        ::unlink((absolute.string() + suffix).c_str());
    }
    if (::rename(part.c_str(), absolute.c_str()) != 0) give_up(std::strerror(errno));
}

}  // namespace

struct Writer::Impl final : EntrySink {
    Impl(std::filesystem::path shown, std::filesystem::path file, const WriterOptions& options)
        : path(std::move(shown)),
          epoch_ns(now_ns()),
          final_meta(options.final_meta),
          interval(std::max<std::int64_t>(1, options.commit_interval_ms)),
          queue(options.queue_bytes),
          names(*this),
          database(file.string(), Database::Open::kReadWrite) {
        // Commits append to a log without waiting for the disk; a crash of this process loses
        // none of them.
        database.execute("PRAGMA journal_mode = WAL");
        database.execute("PRAGMA synchronous = NORMAL");
        database.execute("PRAGMA wal_autocheckpoint = 0");
        database.execute("PRAGMA cache_size = -32768");
        database.execute("BEGIN");
        inserter = std::make_unique<RowInserter>(database);
        inserter->set_meta("format_version", fmt::format("{}.{}", kVersionMajor, kVersionMinor));
        inserter->set_meta("hcprof_version", hcprof_version());
        inserter->set_meta("command_line", options.command_line);
        inserter->set_meta("host", host_name());
        inserter->set_meta("writer_pid", std::to_string(::getpid()));
        inserter->set_meta("start_utc", utc_now());
        inserter->set_meta("epoch_ns", std::to_string(epoch_ns));
        inserter->set_meta("clock", "CLOCK_MONOTONIC");
        inserter->set_meta("clean_exit", "0");
        write_heartbeat();
        database.execute("COMMIT");
        last_checkpoint_ns = now_ns();
        thread = std::jthread([this] { write_until_closed(); });
    }

    void write_heartbeat() {
        last_heartbeat_ns = now_ns();
        inserter->set_meta("heartbeat_ns", std::to_string(last_heartbeat_ns - epoch_ns));
        inserter->set_meta("heartbeat_utc", utc_now());
        if (const std::uint64_t lost = lost_rows.load(std::memory_order_relaxed); lost > 0) {
            inserter->set_meta("lost_writer", std::to_string(lost));
        }
    }

    // Writer thread. Whatever goes wrong is remembered; the callers hear of it.
    void write_until_closed() {
        try {
            while (!write_batch()) {
            }
        } catch (const std::exception& failure) {
            database.rollback();
            queue.fail(cannot_write(path, failure.what()));
        }
    }

    /// True after the last one.
    bool write_batch() {
        RecordQueue::Batch batch = queue.take(interval);
        const bool heartbeat_due = now_ns() - last_heartbeat_ns >= kHeartbeatNs;
        if (!batch.chunks.empty() || heartbeat_due) {
            std::uint64_t records = 0;
            database.execute("BEGIN");
            for (RecordChunk& chunk : batch.chunks) {
                inserter->insert_chunk(chunk);
                records += chunk.records;
                queue.recycle(std::move(chunk));
            }
            if (heartbeat_due) write_heartbeat();
            database.execute("COMMIT");
            queue.committed(records);
        }
        if (now_ns() - last_checkpoint_ns >= kCheckpointNs) {
            database.checkpoint();
            last_checkpoint_ns = now_ns();
        }
        return batch.last;
    }

    void stop() {
        queue.close();
        if (thread.joinable()) thread.join();
    }

    /// After stop(): leaves one file that opens anywhere, without a log beside it. A reader that
    /// is in the way keeps the log alive; that is no error.
    void leave_wal() {
        database.checkpoint();
        try {
            database.execute("PRAGMA journal_mode = DELETE");
        } catch (const SqliteFailure& failure) {
            if (failure.is_corruption()) throw;
        }
    }

    template <typename Record>
    void push(RecordType type, const Record& record) {
        Sizer sizer;
        fields(sizer, record);
        queue.push(type, sizer.size(), [&](std::byte* to) {
            Packer packer(to);
            fields(packer, record);
        });
    }

    template <typename Record>
    void push(RecordType type, RunId run, const Record& record) {
        Sizer sizer;
        fields(sizer, record);
        queue.push(type, sizeof(run) + sizer.size(), [&](std::byte* to) {
            Packer packer(to);
            packer(run);
            fields(packer, record);
        });
    }

    template <typename Record>
    void push_list(RecordType type, RunId run, std::span<const Record> records) {
        const std::size_t size = sizeof(run) + sizeof(std::uint64_t) + records.size_bytes();
        queue.push(type, size, [&](std::byte* to) {
            Packer packer(to);
            packer(run);
            packer.list(records);
        });
    }

    void put(const StringEntry& entry) override { push(RecordType::kString, entry); }
    void put(const LaunchEntry& entry) override { push(RecordType::kLaunch, entry); }
    void put(const Stream& entry) override { push(RecordType::kStream, entry); }
    void put(const NvtxNameEntry& entry) override { push(RecordType::kNvtxName, entry); }

    /// Calls `each(type, rows)` for every list of the batch, in pieces that fit a chunk.
    template <typename Each>
    static void for_pieces(const ActivityBatch& batch, Each&& each) {
        const auto split = [&](RecordType type, const auto& rows) {
            for (std::size_t at = 0; at < rows.size(); at += kRowsPerRecord) {
                each(type, std::span(rows).subspan(at, std::min(kRowsPerRecord, rows.size() - at)));
            }
        };
        split(RecordType::kKernels, batch.kernels);
        split(RecordType::kMemcpys, batch.memcpys);
        split(RecordType::kMemsets, batch.memsets);
        split(RecordType::kApis, batch.apis);
        split(RecordType::kSyncs, batch.syncs);
        split(RecordType::kNvtx, batch.nvtx);
        split(RecordType::kOverheads, batch.overheads);
        split(RecordType::kMemoryEvents, batch.memory_events);
        split(RecordType::kExternals, batch.externals);
    }

    const std::filesystem::path path;  // as the user named it
    const std::int64_t epoch_ns;
    const std::map<std::string, std::string> final_meta;
    const std::chrono::milliseconds interval;
    RecordQueue queue;
    ActivityNames names;
    std::atomic<std::uint64_t> lost_rows{0};
    std::mutex run_mutex;
    RunId next_run = 0;  // guarded by run_mutex
    // The rest belongs to the writer thread from its start until it is joined.
    Database database;
    std::unique_ptr<RowInserter> inserter;
    std::int64_t last_heartbeat_ns = 0;
    std::int64_t last_checkpoint_ns = 0;
    bool finished = false;
    std::jthread thread;
};

Writer::Writer(const std::filesystem::path& path, const WriterOptions& options) {
    const std::filesystem::path& shown = options.shown_path.empty() ? path : options.shown_path;
    std::error_code error;
    const std::filesystem::path absolute = std::filesystem::absolute(path, error);
    if (error || path.empty()) throw_io(cannot_write(shown, "not a file name"));
    create_file(shown, absolute);
    try {
        impl_ = std::make_unique<Impl>(shown, absolute, options);
    } catch (const SqliteFailure& failure) {
        throw_io(cannot_write(shown, failure.what()));
    }
}

Writer::~Writer() {
    impl_->stop();
    if (impl_->finished) return;
    try {
        if (impl_->queue.failure().empty()) impl_->leave_wal();
    } catch (const SqliteFailure&) {
        // What was committed stands in the file and its log; there is nobody left to tell.
    }
}

RunId Writer::begin_run(const Run& run, const Machine& machine,
                        std::optional<std::int64_t> zero_ns) {
    // Held until the run is queued: runs must reach the file in the order of their ids.
    const std::lock_guard lock(impl_->run_mutex);
    RunEntry entry{run, zero_ns.value_or(run.origin == Origin::kSimulated ? 0 : impl_->epoch_ns)};
    entry.run.id = impl_->next_run++;
    Machine owned = machine;
    owned.run = entry.run.id;
    impl_->push(RecordType::kRun, entry);
    impl_->push(RecordType::kMachine, owned);
    return entry.run.id;
}

void Writer::add_stream(const Stream& stream) {
    impl_->names.put_stream(stream);
}
void Writer::add_value(const Value& value) {
    impl_->push(RecordType::kValue, value);
}
void Writer::add_meta(const std::string& key, const std::string& value) {
    impl_->push(RecordType::kMeta, MetaEntry{key, value});
}

void Writer::add_step(RunId run, const StepRecord& step, std::span<const OpRecord> ops,
                      std::span<const EdgeRecord> edges) {
    const std::size_t size = sizeof(run) + sizeof(step) + 2 * sizeof(std::uint64_t) +
                             ops.size_bytes() + edges.size_bytes();
    impl_->queue.push(RecordType::kStep, size, [&](std::byte* to) {
        Packer packer(to);
        packer(run);
        packer(step);
        packer.list(ops);
        packer.list(edges);
    });
}

void Writer::add_token(RunId run, const TokenRecord& token) {
    impl_->push(RecordType::kToken, run, token);
}
void Writer::add_heads(RunId run, std::span<const HeadRecord> heads) {
    impl_->push_list(RecordType::kHeads, run, heads);
}
void Writer::add_drift(RunId run, const DriftRecord& check) {
    impl_->push(RecordType::kDrift, run, check);
}
void Writer::add_fetch(RunId run, const FetchRecord& fetch) {
    impl_->push(RecordType::kFetch, run, fetch);
}
void Writer::add_rows(RunId run, const RowsRecord& rows) {
    impl_->push(RecordType::kRows, run, rows);
}
void Writer::add_attention(RunId run, const AttentionRecord& row) {
    HC_CHECK(row.values.empty() || row.values.size() == row.ranked.size());
    impl_->push(RecordType::kAttention, run, row);
}
void Writer::add_memory(RunId run, const MemoryRecord& memory) {
    impl_->push(RecordType::kMemory, run, memory);
}
void Writer::add_recall(RunId run, std::span<const RecallRecord> rows) {
    impl_->push_list(RecordType::kRecall, run, rows);
}

StringId Writer::string_id(std::string_view text) {
    return impl_->names.string_id(text);
}
LaunchId Writer::launch_id(const Launch& launch) {
    return impl_->names.launch_id(launch);
}
StreamKey Writer::stream_key(const Stream& stream) {
    return impl_->names.stream_key(stream);
}
std::int32_t Writer::nvtx_domain(std::int64_t pid, std::string_view name) {
    return impl_->names.nvtx_domain(pid, name);
}
void Writer::name_nvtx_category(std::int64_t pid, std::int32_t domain, std::int32_t category,
                                std::string_view name) {
    impl_->names.name_nvtx_category(pid, domain, category, name);
}
void Writer::add_gpu(const Gpu& gpu) {
    impl_->push(RecordType::kGpu, gpu);
}
void Writer::add_process(std::int64_t pid, std::string_view name) {
    impl_->push(RecordType::kProcess, ProcessEntry{pid, std::string(name)});
}

namespace {

template <typename Row>
auto pack_rows(std::int64_t zero, std::span<const Row> rows) {
    return [zero, rows](std::byte* to) {
        Packer packer(to);
        packer(zero);
        packer.list(rows);
    };
}

template <typename Row>
std::size_t packed_size(std::span<const Row> rows) {
    return sizeof(std::int64_t) + sizeof(std::uint64_t) + rows.size_bytes();
}

}  // namespace

void Writer::add_activity(const ActivityBatch& batch, std::optional<std::int64_t> zero_ns) {
    const std::int64_t zero = zero_ns.value_or(impl_->epoch_ns);
    Impl::for_pieces(batch, [&](RecordType type, auto rows) {
        impl_->queue.push(type, packed_size(rows), pack_rows(zero, rows));
    });
}

std::size_t Writer::try_add_activity(const ActivityBatch& batch,
                                     std::optional<std::int64_t> zero_ns) noexcept {
    const std::int64_t zero = zero_ns.value_or(impl_->epoch_ns);
    std::size_t taken = 0;
    const std::size_t offered = batch.size();
    try {
        Impl::for_pieces(batch, [&](RecordType type, auto rows) {
            if (impl_->queue.try_push(type, packed_size(rows), pack_rows(zero, rows))) {
                taken += rows.size();
            }
        });
    } catch (const std::bad_alloc&) {
        // No memory for a chunk: the rest is lost, and counted as such.
    }
    impl_->lost_rows.fetch_add(offered - taken, std::memory_order_relaxed);
    return taken;
}

std::uint64_t Writer::lost_rows() const noexcept {
    return impl_->lost_rows.load(std::memory_order_relaxed);
}
std::int64_t Writer::epoch_ns() const noexcept {
    return impl_->epoch_ns;
}

void Writer::flush() {
    impl_->queue.flush();
    if (const std::string failure = impl_->queue.failure(); !failure.empty()) throw_io(failure);
}

void Writer::finish() {
    if (impl_->finished) return;
    impl_->stop();
    if (const std::string failure = impl_->queue.failure(); !failure.empty()) throw_io(failure);
    try {
        // Outside the log, new index pages are written once.
        impl_->leave_wal();
        impl_->database.execute("BEGIN");
        impl_->database.execute(indexes_sql());
        impl_->write_heartbeat();
        for (const auto& [key, value] : impl_->final_meta) impl_->inserter->set_meta(key, value);
        impl_->inserter->set_meta("clean_exit", "1");
        impl_->database.execute("COMMIT");
        impl_->database.checkpoint();
    } catch (const SqliteFailure& failure) {
        impl_->database.rollback();
        impl_->queue.fail(cannot_write(impl_->path, failure.what()));
        throw_io(impl_->queue.failure());
    }
    impl_->finished = true;
    impl_->inserter.reset();
    impl_->database.close();
}

}  // namespace hc::trace
