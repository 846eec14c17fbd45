#include "profiler/trace/writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <mutex>
#include <thread>

#include "engine/core/clock.h"
#include "engine/core/error.h"
#include "profiler/trace/record_archive.h"
#include "profiler/trace/record_queue.h"
#include "profiler/trace/row_inserter.h"
#include "profiler/trace/schema.h"
#include "profiler/trace/sqlite_database.h"

namespace hc::trace {
namespace {

constexpr std::int64_t kHeartbeatNs = 900'000'000;
constexpr std::int64_t kCheckpointNs = 1'000'000'000;

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

/// Makes a complete, empty trace under a temporary name and moves it to `path`, so that nobody
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

struct Writer::Impl {
    Impl(std::filesystem::path shown, std::filesystem::path file, const WriterOptions& options)
        : path(std::move(shown)),
          epoch_ns(now_ns()),
          interval(std::max<std::int64_t>(1, options.commit_interval_ms)),
          queue(options.queue_bytes),
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

    const std::filesystem::path path;  // as the user named it
    const std::int64_t epoch_ns;
    const std::chrono::milliseconds interval;
    RecordQueue queue;
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
    std::error_code error;
    const std::filesystem::path absolute = std::filesystem::absolute(path, error);
    if (error || path.empty()) throw_io(cannot_write(path, "not a file name"));
    create_file(path, absolute);
    try {
        impl_ = std::make_unique<Impl>(path, absolute, options);
    } catch (const SqliteFailure& failure) {
        throw_io(cannot_write(path, failure.what()));
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
    impl_->push(RecordType::kStream, stream);
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
