#include "gui/models/activity_load.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

#include "engine/core/error.h"

namespace hc::gui {
namespace {

/// Adds up what several readers have done, and stops all of them when one fails.
class SharedProgress {
public:
    SharedProgress(Progress& parent, std::int64_t total) : parent_(parent) {
        parent_.begin("reading CUDA activity", total);
    }
    ~SharedProgress() { parent_.end(); }
    SharedProgress(const SharedProgress&) = delete;
    SharedProgress& operator=(const SharedProgress&) = delete;

    void add(std::int64_t rows) {
        const std::lock_guard lock(mutex_);
        done_ += rows;
        parent_.update(done_);
    }
    void stop() { stopped_ = true; }
    [[nodiscard]] bool cancelled() const { return stopped_ || parent_.cancelled(); }

private:
    Progress& parent_;
    std::mutex mutex_;  ///< guards done_ and the parent
    std::int64_t done_ = 0;
    std::atomic<bool> stopped_ = false;
};

/// Of one table.
class TableProgress final : public Progress {
public:
    explicit TableProgress(SharedProgress& shared) : shared_(shared) {}
    void begin(std::string_view, std::int64_t) override { last_ = 0; }
    void update(std::int64_t done) override {
        shared_.add(done - last_);
        last_ = done;
    }
    void end() override {}
    [[nodiscard]] bool cancelled() const override { return shared_.cancelled(); }

private:
    SharedProgress& shared_;
    std::int64_t last_ = 0;
};

struct TableJob {
    std::int64_t rows = 0;
    std::function<void(Progress&, ActivityCollector&)> read;
    ActivityCollector into = {};
};

template <typename Columns>
TableJob job(const trace::Trace& trace, std::int64_t rows) {
    return {rows, [&trace](Progress& progress, ActivityCollector& into) {
                trace.for_each_block<Columns>(progress,
                                              [&](const Columns& block) { into.add(block); });
            }};
}

}  // namespace

ActivityCollector read_activity(const trace::Trace& trace, Progress& progress) {
    const trace::ActivityCounts counts = trace.activity_counts();
    std::array<TableJob, 6> jobs = {
        job<trace::Kernels>(trace, counts.kernels), job<trace::Memcpys>(trace, counts.memcpys),
        job<trace::Memsets>(trace, counts.memsets), job<trace::Syncs>(trace, counts.syncs),
        job<trace::Apis>(trace, counts.apis),       job<trace::NvtxRanges>(trace, counts.nvtx)};
    // The largest first, so that two threads end at about the same time.
    std::stable_sort(jobs.begin(), jobs.end(),
                     [](const TableJob& a, const TableJob& b) { return a.rows > b.rows; });
    SharedProgress shared(progress, counts.total());
    std::atomic<std::size_t> next = 0;
    std::array<std::exception_ptr, 2> failures;
    const auto work = [&](std::size_t self) {
        try {
            for (std::size_t i = next++; i < jobs.size(); i = next++) {
                if (jobs[i].rows == 0) continue;
                TableProgress of_table(shared);
                jobs[i].read(of_table, jobs[i].into);
            }
        } catch (...) {
            failures[self] = std::current_exception();
            shared.stop();
        }
    };
    std::thread second(work, std::size_t{1});
    work(0);
    second.join();
    // When one failed the other was told to stop and says "interrupted": the cause comes first.
    std::exception_ptr interrupted;
    for (const std::exception_ptr& failure : failures) {
        if (!failure) continue;
        try {
            std::rethrow_exception(failure);
        } catch (const Error& error) {
            if (error.code() != ExitCode::kInterrupted) throw;
            interrupted = failure;
        }
    }
    if (interrupted) std::rethrow_exception(interrupted);
    ActivityCollector all;
    for (TableJob& table : jobs) all.append(std::move(table.into));
    return all;
}

}  // namespace hc::gui
