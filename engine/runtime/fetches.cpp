// From a triggered check to rows in the resident pool.
#include <algorithm>
#include <cstring>

#include "engine/core/error.h"
#include "engine/runtime/cpu_backend.h"

namespace hc::runtime {

cache::FetchQueue& CpuBackend::queue_for(const Sequence& seq) {
    const bool asynchronous = seq.policy->settings().asynchronous;
    std::unique_ptr<cache::FetchQueue>& queue = asynchronous ? asynchronous_queue : immediate_queue;
    if (queue == nullptr) queue = std::make_unique<cache::FetchQueue>(asynchronous);
    return *queue;
}

void CpuBackend::start_fetch(Sequence& seq, HeadId pivot, std::int64_t check_id,
                             std::int64_t check_op, std::vector<policy::HeadFetch> heads) {
    for (OpenFetch& older : seq.fetches) {
        // The policy no longer counts the older fetch of this star: it must not land.
        const bool same = older.pivot == pivot.head && older.record.layer == pivot.layer;
        if (same && !older.committed) older.record.superseded = true;
    }
    const policy::Settings& settings = seq.policy->settings();
    OpenFetch fetch;
    fetch.queue = &queue_for(seq);
    fetch.pivot = pivot.head;
    fetch.due = seq.decode_steps + settings.commit_lag;
    fetch.check_op = check_op;
    std::vector<cache::FetchPiece> pieces;
    pieces.reserve(heads.size());
    for (const policy::HeadFetch& head : heads) {
        pieces.push_back({{pivot.layer, head.head}, head.fetched});
        fetch.record.rows_wanted += static_cast<std::int64_t>(head.wanted.size());
        fetch.record.rows_fetched += static_cast<std::int64_t>(head.fetched.size());
    }
    fetch.heads = std::move(heads);
    fetch.record.id = next_fetch++;
    fetch.record.check_id = check_id;
    fetch.record.sequence = seq.id;
    fetch.record.layer = pivot.layer;
    fetch.record.due_step = current_step + settings.commit_lag;
    fetch.record.fetch_op = log.take_id();
    fetch.ticket = fetch.queue->submit(*seq.tier, std::move(pieces));
    seq.fetches.push_back(std::move(fetch));
    if (settings.commit_lag > 0) return;
    const bool this_step = settings.retrieve_before_attention;
    commit(seq, seq.fetches.back(), this_step ? current_step : current_step + 1);
}

void CpuBackend::commit_due(Sequence& seq) {
    for (OpenFetch& fetch : seq.fetches) {
        const bool open = !fetch.committed && !fetch.record.superseded;
        if (open && fetch.due <= seq.decode_steps) commit(seq, fetch, current_step);
    }
}

void CpuBackend::commit(Sequence& seq, OpenFetch& fetch, std::int64_t holds_from) {
    log.skip();
    fetch.record.exposed_ns = fetch.queue->wait(fetch.ticket);
    log_fetch_op(fetch);
    for (std::size_t piece = 0; piece < fetch.heads.size(); ++piece) {
        place_rows(seq, fetch, piece);
    }
    seq.policy->commit({fetch.record.layer, fetch.pivot});
    fetch.committed = true;
    fetch.record.committed_step = current_step;
    fetch.record.due_step = current_step;
    fetch.record.commit_op =
        log.op(OpKind::kCommit, fetch.record.layer,
               {fetch.record.bytes, fetch.record.bytes, 0, fetch.record.rows_fetched});
    log.edge(fetch.record.fetch_op, fetch.record.commit_op);
    fetch.queue->release(fetch.ticket);
    fetch.ticket = -1;
    if (observer == nullptr) return;
    for (policy::HeadFetch& head : fetch.heads) {
        RowsRecord record;
        record.fetch_id = fetch.record.id;
        record.step = holds_from;
        record.sequence = seq.id;
        record.layer = fetch.record.layer;
        record.head = head.head;
        record.fetched = std::move(head.fetched);
        record.evicted = std::move(head.evicted);
        reports.rows.push_back(std::move(record));
    }
}

/// Fetched rows take the slots of evicted ones, in slot order; a fetch of the whole set (row 15,
/// reference) fills the slots from 0 on in ascending order.
void CpuBackend::place_rows(Sequence& seq, const OpenFetch& fetch, std::size_t piece) {
    const policy::HeadFetch& head = fetch.heads[piece];
    const std::size_t index = head_index(fetch.record.layer, head.head);
    Positions& slots = seq.slots[index];
    cache::HeadKv& kv = seq.heads[index];
    const std::int64_t row_bytes = kv_pool.geometry().row_bytes();
    const auto bytes = static_cast<std::size_t>(row_bytes);
    const std::byte* staged = fetch.queue->staged(fetch.ticket, piece).data();
    std::size_t next = 0;
    const auto place = [&](std::size_t slot) {
        const std::byte* row = staged + static_cast<std::int64_t>(next) * 2 * row_bytes;
        std::memcpy(kv.key(static_cast<std::int64_t>(slot)), row, bytes);
        std::memcpy(kv.value(static_cast<std::int64_t>(slot)), row + row_bytes, bytes);
        slots[slot] = head.fetched[next++];
    };
    if (!seq.policy->settings().fetch_missing_only) {
        HC_CHECK(head.fetched.size() == slots.size());
        while (next < head.fetched.size()) place(next);
        return;
    }
    HC_CHECK(head.fetched.size() == head.evicted.size());
    for (std::size_t slot = 0; slot < slots.size() && next < head.fetched.size(); ++slot) {
        if (std::binary_search(head.evicted.begin(), head.evicted.end(), slots[slot])) place(slot);
    }
    HC_CHECK(next == head.fetched.size());
}

/// The worker's operation, once it has ended; its fetch must not have been released.
void CpuBackend::log_fetch_op(OpenFetch& fetch) {
    if (fetch.op_logged) return;
    fetch.op_logged = true;
    const cache::FetchTimes times = fetch.queue->times(fetch.ticket);
    FetchRecord& record = fetch.record;
    record.runs = times.runs;
    record.bytes = times.bytes;
    record.queued_ns = times.queued_ns;
    record.start_ns = times.start_ns;
    record.end_ns = times.end_ns;
    OpRecord op;
    op.op_id = record.fetch_op;
    op.step = current_step;
    op.layer = record.layer;
    op.kind = OpKind::kFetch;
    op.stream = fetch.queue == asynchronous_queue.get() ? kFetchStream : kDecodeStream;
    op.start_ns = times.start_ns;
    op.end_ns = times.end_ns;
    op.bytes_read = times.bytes;
    op.bytes_written = times.bytes;
    op.rows = record.rows_fetched;
    log.add(op);
    log.edge(fetch.check_op, record.fetch_op);
}

void CpuBackend::note_first_use(Sequence& seq, std::int32_t layer, std::int64_t attention_op) {
    for (OpenFetch& fetch : seq.fetches) {
        if (fetch.committed && fetch.record.layer == layer && fetch.record.first_use_op < 0) {
            fetch.record.first_use_op = attention_op;
        }
    }
}

/// Reports fetches whose fate is known and forgets them; logs those that have ended meanwhile.
void CpuBackend::collect_fetches(Sequence& seq) {
    for (OpenFetch& fetch : seq.fetches) {
        if (fetch.ticket < 0 || fetch.op_logged) continue;
        if (fetch.queue->done(fetch.ticket)) log_fetch_op(fetch);
    }
    const auto settled = [&](OpenFetch& fetch) {
        const bool superseded = fetch.record.superseded;
        const bool used = fetch.committed && (fetch.record.first_use_op >= 0 || !log.enabled());
        if (!superseded && !used) return false;
        if (superseded && fetch.ticket >= 0) {
            if (!fetch.op_logged) fetch.record.fetch_op = -1;  // dropped before it began
            fetch.queue->release(fetch.ticket);
            fetch.ticket = -1;
        }
        if (observer != nullptr && !fetch.reported) reports.fetches.push_back(fetch.record);
        return true;
    };
    seq.fetches.erase(std::remove_if(seq.fetches.begin(), seq.fetches.end(), settled),
                      seq.fetches.end());
}

}  // namespace hc::runtime
