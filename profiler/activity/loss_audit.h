/// Notices what is missing from a recording, whatever lost it.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace hc::activity {

/// Counts, each with a cause. A cause's name is the CAUSE of hc_meta's lost_CAUSE.
///
/// The audit of launches: every call that launched a kernel has to be followed by a record of a
/// kernel with its correlation id, except where the call was captured into a graph.
class LossAudit {
public:
    // The decode thread.

    /// A call that launched a kernel, and succeeded.
    void launched(std::uint32_t correlation_id, std::int64_t thread, std::int64_t start,
                  std::int64_t end);
    /// A record of the GPU. Nodes of a graph share their launch's id.
    void recorded(std::uint32_t correlation_id);
    /// A record whose times are missing or inverted, and that is therefore left out.
    void without_time() { ++without_time_; }
    /// A record that could not be read.
    void unreadable() { ++unreadable_; }
    /// Rows that were decoded when the trace could not be written any more.
    void unwritten(std::uint64_t rows) { unwritten_ += rows; }

    // Any thread.

    /// CUPTI's own count of records that it dropped.
    void dropped(std::uint64_t records) { dropped_ += records; }
    /// A node was added to a graph by this thread at this time (CUPTI's clock): the call that
    /// surrounds it launches nothing.
    void captured(std::int64_t thread, std::int64_t time);

    /// Launches without a kernel so far.
    [[nodiscard]] std::uint64_t unmatched() const;
    /// Causes with what they lost, those above 0. Launches without a kernel count as "unmatched"
    /// as far as no other cause explains them. For the end: not while records are decoded.
    [[nodiscard]] std::map<std::string, std::uint64_t> lost() const;
    /// The same without the launches. Any thread, any time.
    [[nodiscard]] std::map<std::string, std::uint64_t> counted() const;

private:
    [[nodiscard]] bool is_captured(std::int64_t thread, std::int64_t start, std::int64_t end);
    [[nodiscard]] std::uint8_t* flags_of(std::uint32_t correlation_id);

    // One byte per correlation id from base_ on: ids are given in ascending order. Of what lies
    // further back than the window only the number of unmatched launches is kept.
    std::vector<std::uint8_t> flags_;
    std::uint64_t base_ = 0;
    std::uint64_t unmatched_before_ = 0;

    std::atomic<std::uint64_t> dropped_{0};
    std::atomic<std::uint64_t> without_time_{0};
    std::atomic<std::uint64_t> unreadable_{0};
    std::atomic<std::uint64_t> unwritten_{0};

    std::mutex capture_mutex_;
    std::unordered_map<std::int64_t, std::vector<std::int64_t>> captures_;  // [thread], ascending
    std::atomic<bool> any_capture_{false};
};

}  // namespace hc::activity
