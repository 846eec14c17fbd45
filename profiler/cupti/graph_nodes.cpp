#include "profiler/cupti/graph_nodes.h"

namespace hc::cupti {
namespace {

// CUPTI calls back on the thread that captures and hands over nothing of its own.
thread_local std::int64_t thread_tag = -1;

}  // namespace

void GraphNodes::set_thread_tag(std::int64_t tag) noexcept {
    thread_tag = tag;
}

void GraphNodes::created(std::uint64_t id) {
    const std::lock_guard lock(mutex_);
    nodes_[id] = {id, thread_tag};
}

void GraphNodes::cloned(std::uint64_t id, std::uint64_t from_id) {
    const std::lock_guard lock(mutex_);
    // A node that we did not see being made is its own beginning.
    const auto from = nodes_.find(from_id);
    const Node node = from == nodes_.end() ? Node{from_id, -1} : from->second;
    nodes_[id] = node;
}

std::optional<GraphNodes::Node> GraphNodes::find(std::uint64_t id) const {
    const std::lock_guard lock(mutex_);
    const auto found = nodes_.find(id);
    return found == nodes_.end() ? std::nullopt : std::optional(found->second);
}

std::size_t GraphNodes::size() const {
    const std::lock_guard lock(mutex_);
    return nodes_.size();
}

}  // namespace hc::cupti
