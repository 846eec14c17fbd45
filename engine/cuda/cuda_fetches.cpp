// Commits of fetches, and what becomes known of them.
#include <algorithm>
#include <bit>

#include "engine/core/error.h"
#include "engine/cuda/cuda_backend.h"
#include "kernels/cuda/top_k.h"

namespace hc::cuda {
namespace {

namespace k = kernels::cuda;

Positions positions_of(const std::uint32_t* bitmap, std::int64_t words) {
    Positions out;
    for (std::int64_t word = 0; word < words; ++word) {
        for (std::uint32_t left = bitmap[word]; left != 0; left &= left - 1) {
            out.push_back(static_cast<Position>(32 * word + std::countr_zero(left)));
        }
    }
    return out;
}

}  // namespace

void CudaBackend::commit_due(const DecodeBatch& batch) {
    if (worker_ == nullptr) return;
    for (DeviceFetch* fetch : worker_->due(batch.sequences)) {
        commit(*fetch->sequence, *fetch, step_);
    }
}

/// Enqueues the landing of a fetch behind its arrival: a short piece of the compute stream.
void CudaBackend::commit(DeviceSequence& seq, DeviceFetch& fetch, std::int64_t holds_from) {
    const cudaStream_t stream = compute_.get();
    fetch.before_wait.record(stream);
    worker_->wait_issued(fetch);
    if (fetch.dropped) return;
    check(cudaStreamWaitEvent(stream, fetch.arrived.get(), 0), "waiting for a fetch");
    fetch.after_wait.record(stream);
    timer_.skip(stream);
    launched(k::star_commit(fetch.arguments, stream), "star_commit");
    fetch.record.id = next_fetch_++;
    fetch.record.fetch_op = timer_.take_id();
    fetch.record.committed_step = step_;
    fetch.record.commit_op =
        timer_.op(OpKind::kCommit, fetch.record.layer,
                  {fetch.record.bytes, fetch.record.bytes, 0, fetch.record.rows_fetched}, stream);
    timer_.edge(fetch.star->check_op, fetch.record.fetch_op);
    timer_.edge(fetch.record.fetch_op, fetch.record.commit_op);
    fetch.holds_from = holds_from;
    fetch.done.record(stream);
    worker_->committed(fetch, stream);
    if (timer_.enabled()) seq.unused_fetches.push_back({fetch.record.layer, fetch.record.id});
}

/// The attention that first reads the rows of fetches committed since.
void CudaBackend::note_first_use(const DecodeBatch& batch, std::int32_t layer) {
    for (DeviceSequence* seq : batch.sequences) {
        for (DeviceSequence::UnusedFetch& fetch : seq->unused_fetches) {
            if (fetch.layer == layer && fetch.first_use_op < 0) {
                fetch.first_use_op = last_attention_op_;
            }
        }
    }
}

void CudaBackend::report_fetch(DeviceFetch& fetch) {
    FetchRecord& record = fetch.record;
    if (fetch.committed) {
        ++statistics_.commits;
        record.exposed_ns = elapsed_ns(fetch.before_wait, fetch.after_wait);
        statistics_.exposed_ns += record.exposed_ns;
        statistics_.commit_ns += elapsed_ns(fetch.after_wait, fetch.done);
    }
    if (fetch.superseded) ++statistics_.superseded;
    const std::int64_t transfer_ns = fetch.issued ? elapsed_ns(fetch.begun, fetch.arrived) : 0;
    if (record.way == FetchWay::kMemcpy && fetch.committed) {
        // The host collected and copied while the compute stream had nothing to do.
        statistics_.exposed_ns += transfer_ns;
        record.exposed_ns += transfer_ns;
    }
    statistics_.rows += record.rows_fetched;
    statistics_.runs += record.runs;
    statistics_.bytes += record.bytes;
    statistics_.transfer_ns += transfer_ns;
    if (observer_ == nullptr) return;
    if (record.id < 0) record.id = next_fetch_++;
    record.superseded = fetch.superseded;
    if (fetch.issued) {
        record.start_ns = step_clock_.host_ns(fetch.begun);
        record.end_ns = record.start_ns + transfer_ns;
    }
    DeviceSequence& seq = *fetch.sequence;
    const auto used = std::find_if(seq.unused_fetches.begin(), seq.unused_fetches.end(),
                                   [&](const auto& u) { return u.id == record.id; });
    if (used != seq.unused_fetches.end()) {
        record.first_use_op = used->first_use_op;
        seq.unused_fetches.erase(used);
    }
    if (timer_.enabled() && record.fetch_op >= 0) {
        OpRecord op;
        op.op_id = record.fetch_op;
        op.step = step_;
        op.layer = record.layer;
        op.kind = OpKind::kFetch;
        op.stream = kFetchStream;
        op.start_ns = record.start_ns;
        op.end_ns = record.end_ns;
        op.bytes_read = record.bytes;
        op.bytes_written = record.bytes;
        op.rows = record.rows_fetched;
        timer_.add(op);
    }
    reports_.fetches.push_back(record);
    if (!fetch.committed || fetch.report == nullptr) return;
    const std::int64_t words = k::bitmap_words(fetch.arguments.prompt);
    const auto members = static_cast<std::int64_t>(fetch.arguments.num_members);
    for (std::int64_t m = 0; m < members; ++m) {
        RowsRecord rows;
        rows.fetch_id = record.id;
        rows.step = fetch.holds_from;
        rows.sequence = record.sequence;
        rows.layer = record.layer;
        rows.head = fetch.star->members[static_cast<std::size_t>(m)];
        rows.fetched = positions_of(fetch.report + m * words, words);
        rows.evicted = positions_of(fetch.report + (members + m) * words, words);
        reports_.rows.push_back(std::move(rows));
    }
}

/// Reports fetches whose fate is known and forgets them.
void CudaBackend::collect_fetches(bool all) {
    if (worker_ == nullptr) return;
    for (const auto& fetch : worker_->take_settled(all)) report_fetch(*fetch);
}

/// Ends every fetch and reports those whose fate was open.
void CudaBackend::settle_fetches(DeviceSequence& seq) {
    if (worker_ == nullptr || !seq.retrieves()) return;
    worker_->wait_idle();
    check(cudaStreamSynchronize(fetch_.get()), "waiting for fetches");
    check(cudaStreamSynchronize(compute_.get()), "waiting for commits");
    collect_fetches(true);
    if (observer_ == nullptr) return;
    for (const FetchRecord& fetch : reports_.fetches) observer_->on_fetch(fetch);
    for (const RowsRecord& rows : reports_.rows) observer_->on_rows(rows);
    reports_.fetches.clear();
    reports_.rows.clear();
}

}  // namespace hc::cuda
