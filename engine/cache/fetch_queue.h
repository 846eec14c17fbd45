/// Brings rows from the host tier to a staging ring on a worker thread, beside the computation.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/cache/host_tier.h"
#include "engine/core/head_profile.h"

namespace hc::cache {

/// One piece of a fetch: rows of one head.
struct FetchPiece {
    HeadId head;
    Positions rows;  ///< ascending prompt positions
};

struct FetchTimes {
    std::int64_t queued_ns = 0;
    std::int64_t start_ns = 0;
    std::int64_t end_ns = 0;
    std::int64_t runs = 0;
    std::int64_t bytes = 0;
};

/// A ticket is what submit() returns; valid until release().
using FetchTicket = std::int64_t;

class FetchQueue {
public:
    /// `asynchronous` false: submit() does the work on the calling thread (row 5, reference).
    explicit FetchQueue(bool asynchronous);
    /// Finishes the fetch under way, drops the others, joins the worker.
    ~FetchQueue();
    FetchQueue(const FetchQueue&) = delete;
    FetchQueue& operator=(const FetchQueue&) = delete;

    /// Queues a fetch; staging is taken from a ring that grows when a fetch is larger than any
    /// before. `tier` is borrowed until the ticket is released.
    [[nodiscard]] FetchTicket submit(const HostTier& tier, std::vector<FetchPiece> pieces);
    /// Waits until the fetch has ended; returns the nanoseconds that the caller was blocked.
    std::int64_t wait(FetchTicket ticket);
    [[nodiscard]] bool done(FetchTicket ticket) const;
    [[nodiscard]] FetchTimes times(FetchTicket ticket) const;  ///< after wait()
    /// Staged rows of piece `piece`, [rows, 2 * row_bytes]; after wait().
    [[nodiscard]] std::span<const std::byte> staged(FetchTicket ticket, std::size_t piece) const;
    [[nodiscard]] std::span<const FetchPiece> pieces(FetchTicket ticket) const;
    /// Gives the staging back to the ring. A fetch still queued is dropped; one under way is
    /// waited for, so that afterwards nothing reads the tier on this ticket's behalf.
    void release(FetchTicket ticket);
    [[nodiscard]] std::int64_t staging_bytes() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace hc::cache
