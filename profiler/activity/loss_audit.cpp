#include "profiler/activity/loss_audit.h"

#include <algorithm>

namespace hc::activity {
namespace {

constexpr std::uint8_t kLaunched = 1;
constexpr std::uint8_t kRecorded = 2;
constexpr std::size_t kWindow = std::size_t{1} << 24;  // correlation ids
constexpr std::size_t kMaxCaptures = std::size_t{1} << 20;

}  // namespace

std::uint8_t* LossAudit::flags_of(std::uint32_t correlation_id) {
    if (correlation_id < base_) return nullptr;
    std::uint64_t at = correlation_id - base_;
    // A leap of more than a window is no id that CUPTI counted up to.
    if (at >= flags_.size() + kWindow) {
        if (!flags_.empty()) return nullptr;
        base_ = correlation_id;
        at = 0;
    }
    if (at >= kWindow) {
        const std::size_t leave = std::min<std::uint64_t>(flags_.size(), at - kWindow / 2);
        unmatched_before_ += static_cast<std::uint64_t>(
            std::count(flags_.begin(), flags_.begin() + static_cast<std::ptrdiff_t>(leave),
                       kLaunched));
        flags_.erase(flags_.begin(), flags_.begin() + static_cast<std::ptrdiff_t>(leave));
        base_ += leave;
        at -= leave;
    }
    if (at >= flags_.size()) flags_.resize(std::max<std::size_t>(at + 1, flags_.size() * 3 / 2));
    return &flags_[at];
}

void LossAudit::launched(std::uint32_t correlation_id, std::int64_t thread, std::int64_t start,
                         std::int64_t end) {
    if (any_capture_ && is_captured(thread, start, end)) return;
    if (std::uint8_t* flags = flags_of(correlation_id)) *flags |= kLaunched;
}

void LossAudit::recorded(std::uint32_t correlation_id) {
    if (std::uint8_t* flags = flags_of(correlation_id)) *flags |= kRecorded;
}

void LossAudit::captured(std::int64_t thread, std::int64_t time) {
    const std::lock_guard lock(capture_mutex_);
    std::vector<std::int64_t>& times = captures_[thread];
    if (times.size() >= kMaxCaptures) times.erase(times.begin(), times.begin() + kMaxCaptures / 2);
    times.push_back(time);
    any_capture_ = true;
}

bool LossAudit::is_captured(std::int64_t thread, std::int64_t start, std::int64_t end) {
    const std::lock_guard lock(capture_mutex_);
    const auto found = captures_.find(thread);
    if (found == captures_.end()) return false;
    const std::vector<std::int64_t>& times = found->second;
    const auto first = std::lower_bound(times.begin(), times.end(), start);
    return first != times.end() && *first <= end;
}

std::uint64_t LossAudit::unmatched() const {
    return unmatched_before_ +
           static_cast<std::uint64_t>(std::count(flags_.begin(), flags_.end(), kLaunched));
}

std::map<std::string, std::uint64_t> LossAudit::counted() const {
    std::map<std::string, std::uint64_t> lost{{"dropped", dropped_},
                                              {"no_timestamp", without_time_},
                                              {"unreadable", unreadable_},
                                              {"unwritten", unwritten_}};
    std::erase_if(lost, [](const auto& cause) { return cause.second == 0; });
    return lost;
}

std::map<std::string, std::uint64_t> LossAudit::lost() const {
    std::map<std::string, std::uint64_t> lost = counted();
    std::uint64_t explained = 0;
    for (const auto& [cause, records] : lost) explained += records;
    const std::uint64_t missing = unmatched();
    if (missing > explained) lost["unmatched"] = missing - explained;
    return lost;
}

}  // namespace hc::activity
