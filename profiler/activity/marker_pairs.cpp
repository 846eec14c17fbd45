#include "profiler/activity/marker_pairs.h"

#include <algorithm>

namespace hc::activity {
namespace {

// ENUM_NSYS_EVENT_TYPE
constexpr std::int32_t kMark = 34;
constexpr std::int32_t kPushPop = 59;
constexpr std::int32_t kStartEnd = 60;
constexpr std::uint8_t kPatience = 2;  // settles

}  // namespace

bool MarkerPairs::is_complete(const Slot& slot) {
    return slot.has_start && (slot.has_end || slot.start.kind == MarkerPoint::Kind::kMark);
}

void MarkerPairs::give_out(const Slot& slot, std::vector<trace::NvtxRow>& rows) {
    trace::NvtxRow row;
    row.start_ns = slot.start.time_ns;
    row.thread = slot.start.thread;
    row.name = slot.start.name;
    row.domain = slot.start.domain;
    row.payload = slot.detail.payload;
    row.has_payload = slot.detail.has_payload;
    row.payload_type = slot.detail.payload_type;
    row.category = slot.detail.category;
    row.color = slot.detail.color;
    row.type = kMark;
    if (slot.start.kind == MarkerPoint::Kind::kStart) {
        const bool crosses = slot.has_end && slot.end_thread != slot.start.thread;
        row.type = slot.has_end && (crosses || !slot.is_innermost) ? kStartEnd : kPushPop;
        if (slot.has_end) row.duration_ns = slot.end_ns - slot.start.time_ns;
        if (crosses) row.end_thread = slot.end_thread;
        if (row.type == kStartEnd) row.range_id = slot.start.id;
    }
    rows.push_back(row);
}

void MarkerPairs::end(const MarkerPoint& point, Slot& slot) {
    slot.has_end = true;
    slot.end_ns = point.time_ns;
    slot.end_thread = point.thread;
    if (!slot.has_start) return;  // another thread's, whose record comes later
    const auto found = stacks_.find({slot.start.thread, slot.start.domain});
    if (found == stacks_.end()) return;
    std::vector<std::uint32_t>& stack = found->second;
    const auto at = std::find(stack.rbegin(), stack.rend(), point.id);
    slot.is_innermost = at == stack.rbegin() && at != stack.rend();
    if (at != stack.rend()) stack.erase(std::next(at).base());
}

void MarkerPairs::add(const MarkerPoint& point, std::vector<trace::NvtxRow>& rows) {
    Slot& slot = slots_[point.id];
    if (point.kind == MarkerPoint::Kind::kEnd) {
        end(point, slot);
    } else {
        slot.start = point;
        slot.has_start = true;
        if (point.kind == MarkerPoint::Kind::kStart && !slot.has_end) {
            stacks_[{point.thread, point.domain}].push_back(point.id);
        }
    }
    if (is_complete(slot) && !slot.has_detail) waiting_.push_back(point.id);
    give_out_if_done(point.id, rows);
    if (slots_.size() > max_open_) cut(rows);
}

void MarkerPairs::add(const MarkerDetail& detail, std::vector<trace::NvtxRow>& rows) {
    Slot& slot = slots_[detail.id];
    slot.detail = detail;
    slot.has_detail = true;
    give_out_if_done(detail.id, rows);
}

void MarkerPairs::give_out_if_done(std::uint32_t id, std::vector<trace::NvtxRow>& rows) {
    const auto found = slots_.find(id);
    if (!is_complete(found->second) || !found->second.has_detail) return;
    give_out(found->second, rows);
    slots_.erase(found);
}

void MarkerPairs::settle(std::vector<trace::NvtxRow>& rows) {
    std::erase_if(waiting_, [&](std::uint32_t id) {
        const auto found = slots_.find(id);
        if (found == slots_.end()) return true;  // its attributes came
        if (++found->second.age <= kPatience) return false;
        give_out(found->second, rows);
        slots_.erase(found);
        return true;
    });
}

void MarkerPairs::cut(std::vector<trace::NvtxRow>& rows) {
    std::vector<std::uint32_t> ids;
    ids.reserve(slots_.size());
    for (const auto& [id, slot] : slots_) ids.push_back(id);
    const auto middle = ids.begin() + static_cast<std::ptrdiff_t>(ids.size() / 2);
    std::nth_element(ids.begin(), middle, ids.end());
    for (auto id = ids.begin(); id != middle; ++id) {
        const Slot& slot = slots_.at(*id);
        if (slot.has_start) {
            give_out(slot, rows);
            if (!is_complete(slot)) ++cut_short_;
        } else if (slot.has_end) {
            ++orphan_ends_;
        }
        slots_.erase(*id);
    }
    for (auto& [key, stack] : stacks_) {
        std::erase_if(stack, [this](std::uint32_t id) { return !slots_.contains(id); });
    }
}

void MarkerPairs::finish(std::vector<trace::NvtxRow>& rows) {
    std::vector<std::uint32_t> ids;
    ids.reserve(slots_.size());
    for (const auto& [id, slot] : slots_) ids.push_back(id);
    std::sort(ids.begin(), ids.end());  // the same order every time
    for (const std::uint32_t id : ids) {
        const Slot& slot = slots_.at(id);
        if (slot.has_start) give_out(slot, rows);
        if (!slot.has_start && slot.has_end) ++orphan_ends_;
    }
    slots_.clear();
    stacks_.clear();
    waiting_.clear();
}

}  // namespace hc::activity
