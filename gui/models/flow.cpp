#include "gui/models/flow.h"

namespace hc::gui {

std::optional<std::size_t> fetch_of(const RunView& view, const EventRef& event) {
    const Lane& lane = view.lanes.lanes[event.lane];
    const std::size_t source = lane.events.source(event.index);
    if (lane.kind == LaneKind::kFetches) return source;
    if (lane.kind != LaneKind::kOps) return std::nullopt;
    const OpKind kind = view.data.ops.kind[source];
    const bool part_of_a_fetch = kind == OpKind::kFetch || kind == OpKind::kCommit ||
                                 kind == OpKind::kDriftTopk || kind == OpKind::kAttention;
    if (!part_of_a_fetch) return std::nullopt;
    const std::int64_t op = view.data.ops.op_id[source];
    for (std::size_t i = 0; i < view.data.fetches.size(); ++i) {
        const FetchRecord& fetch = view.data.fetches[i];
        if (fetch.fetch_op == op || fetch.commit_op == op || fetch.first_use_op == op) return i;
    }
    if (kind != OpKind::kDriftTopk) return std::nullopt;
    for (std::size_t i = 0; i < view.data.fetches.size(); ++i) {
        const auto check = view.check_row(view.data.fetches[i].check_id);
        if (check && view.data.drift[*check].op_id == op) return i;
    }
    return std::nullopt;
}

std::vector<EventRef> flow_of_fetch(const RunView& view, std::size_t fetch_row) {
    const FetchRecord& fetch = view.data.fetches[fetch_row];
    std::vector<EventRef> chain;
    const auto add = [&](std::int64_t op_id) {
        const auto row = view.op_row(op_id);
        const auto event = row ? view.locate_op(*row) : std::nullopt;
        if (event) chain.push_back(*event);
    };
    if (const auto check = view.check_row(fetch.check_id)) add(view.data.drift[*check].op_id);
    add(fetch.fetch_op);
    add(fetch.commit_op);
    add(fetch.first_use_op);
    return chain;
}

}  // namespace hc::gui
