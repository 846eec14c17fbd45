#include "engine/cache/fetch_queue.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

#include "engine/core/clock.h"
#include "engine/core/error.h"
#include "kernels/cpu/ops.h"

namespace hc::cache {
namespace {

enum class SlotState : std::uint8_t { kFree, kQueued, kRunning, kDone };

/// One fetch and its staging buffer (row 3: a ring, so that a buffer is never written while an
/// earlier fetch still lies in it). Everything but `state` is touched by the worker only while
/// the slot is kRunning, and by the caller's side only while it is not.
struct Slot {
    SlotState state = SlotState::kFree;  // guarded by Impl::mutex
    FetchTicket ticket = -1;
    const HostTier* tier = nullptr;
    std::vector<FetchPiece> pieces;
    std::vector<std::int64_t> offsets;  // [piece], bytes into staging
    std::unique_ptr<std::byte[]> staging;
    std::int64_t staging_bytes = 0;
    FetchTimes times;
};

void place(Slot& slot, const HostTier& tier) {
    std::int64_t bytes = 0;
    slot.offsets.clear();
    for (const FetchPiece& piece : slot.pieces) {
        HC_CHECK(tier.holds(piece.head));
        HC_CHECK(piece.rows.empty() || piece.rows.back() < tier.prompt());
        slot.offsets.push_back(bytes);
        bytes += static_cast<std::int64_t>(piece.rows.size()) * tier.row_bytes();
    }
    if (bytes > slot.staging_bytes) {
        slot.staging = std::make_unique_for_overwrite<std::byte[]>(static_cast<std::size_t>(bytes));
        slot.staging_bytes = bytes;
    }
    slot.times.bytes = bytes;
}

void gather(Slot& slot) {
    slot.times.start_ns = now_ns();
    for (std::size_t i = 0; i < slot.pieces.size(); ++i) {
        const FetchPiece& piece = slot.pieces[i];
        slot.times.runs += kernels::cpu::gather_rows(
            slot.tier->rows(piece.head), slot.tier->row_bytes(), piece.rows.data(),
            static_cast<std::int64_t>(piece.rows.size()), slot.staging.get() + slot.offsets[i]);
    }
    slot.times.end_ns = now_ns();
}

}  // namespace

struct FetchQueue::Impl {
    mutable std::mutex mutex;
    std::condition_variable_any work;  // the worker waits for queued slots
    std::condition_variable ended;     // callers wait for a slot to leave kQueued and kRunning
    std::vector<std::unique_ptr<Slot>> slots;  // guarded by mutex; grows, never shrinks
    std::deque<Slot*> queued;                  // guarded by mutex, oldest first
    FetchTicket next_ticket = 0;               // guarded by mutex
    std::jthread worker;                       // last: stops before what it uses goes away

    Slot& find(FetchTicket ticket) const {
        const auto found = std::find_if(slots.begin(), slots.end(), [&](const auto& slot) {
            return slot->state != SlotState::kFree && slot->ticket == ticket;
        });
        HC_CHECK(found != slots.end());
        return **found;
    }

    Slot& take_free() {
        for (const auto& slot : slots) {
            if (slot->state == SlotState::kFree) return *slot;
        }
        slots.push_back(std::make_unique<Slot>());
        return *slots.back();
    }

    void serve(const std::stop_token& stop) {
        std::unique_lock lock(mutex);
        while (work.wait(lock, stop, [&] { return !queued.empty(); })) {
            // A stop with work left over drops the work: nobody will read it.
            if (stop.stop_requested()) return;
            Slot& slot = *queued.front();
            queued.pop_front();
            slot.state = SlotState::kRunning;
            lock.unlock();
            gather(slot);
            lock.lock();
            slot.state = SlotState::kDone;
            ended.notify_all();
        }
    }
};

FetchQueue::FetchQueue(bool asynchronous) : impl_(std::make_unique<Impl>()) {
    if (!asynchronous) return;
    impl_->worker =
        std::jthread([impl = impl_.get()](const std::stop_token& stop) { impl->serve(stop); });
}

FetchQueue::~FetchQueue() = default;

FetchTicket FetchQueue::submit(const HostTier& tier, std::vector<FetchPiece> pieces) {
    const bool asynchronous = impl_->worker.joinable();
    std::unique_lock lock(impl_->mutex);
    Slot& slot = impl_->take_free();
    slot.ticket = impl_->next_ticket++;
    slot.tier = &tier;
    slot.pieces = std::move(pieces);
    slot.times = {};
    place(slot, tier);
    slot.times.queued_ns = now_ns();
    const FetchTicket ticket = slot.ticket;
    if (asynchronous) {
        slot.state = SlotState::kQueued;
        impl_->queued.push_back(&slot);
        lock.unlock();
        impl_->work.notify_one();
    } else {
        gather(slot);
        slot.state = SlotState::kDone;
    }
    return ticket;
}

std::int64_t FetchQueue::wait(FetchTicket ticket) {
    std::unique_lock lock(impl_->mutex);
    Slot& slot = impl_->find(ticket);
    if (slot.state == SlotState::kDone) return 0;
    const std::int64_t start = now_ns();
    impl_->ended.wait(lock, [&] { return slot.state == SlotState::kDone; });
    return now_ns() - start;
}

bool FetchQueue::done(FetchTicket ticket) const {
    const std::scoped_lock lock(impl_->mutex);
    return impl_->find(ticket).state == SlotState::kDone;
}

FetchTimes FetchQueue::times(FetchTicket ticket) const {
    const std::scoped_lock lock(impl_->mutex);
    const Slot& slot = impl_->find(ticket);
    HC_CHECK(slot.state == SlotState::kDone);
    return slot.times;
}

std::span<const std::byte> FetchQueue::staged(FetchTicket ticket, std::size_t piece) const {
    const std::scoped_lock lock(impl_->mutex);
    const Slot& slot = impl_->find(ticket);
    HC_CHECK(slot.state == SlotState::kDone);
    HC_CHECK(piece < slot.pieces.size());
    const auto bytes =
        static_cast<std::size_t>(slot.tier->row_bytes()) * slot.pieces[piece].rows.size();
    return {slot.staging.get() + slot.offsets[piece], bytes};
}

std::span<const FetchPiece> FetchQueue::pieces(FetchTicket ticket) const {
    const std::scoped_lock lock(impl_->mutex);
    return impl_->find(ticket).pieces;
}

void FetchQueue::release(FetchTicket ticket) {
    std::unique_lock lock(impl_->mutex);
    Slot& slot = impl_->find(ticket);
    if (slot.state == SlotState::kQueued) {
        impl_->queued.erase(std::find(impl_->queued.begin(), impl_->queued.end(), &slot));
    }
    // The worker still reads the tier, which the caller may free once this returns.
    impl_->ended.wait(lock, [&] { return slot.state != SlotState::kRunning; });
    slot.state = SlotState::kFree;
    slot.tier = nullptr;
}

std::int64_t FetchQueue::staging_bytes() const {
    const std::scoped_lock lock(impl_->mutex);
    std::int64_t bytes = 0;
    for (const auto& slot : impl_->slots) bytes += slot->staging_bytes;
    return bytes;
}

}  // namespace hc::cache
