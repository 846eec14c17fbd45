#include "engine/core/error.h"
#include "engine/cuda/fetch_worker.h"
#include "engine/policy/device_memory.h"

namespace hc::cuda {

StagingRing::StagingRing(MemoryLedger& ledger, std::int64_t most_bytes)
    : memory_(ledger, "staging", most_bytes) {}

std::int64_t StagingRing::take(std::int64_t bytes) {
    const std::int64_t wanted = policy::aligned_bytes(bytes);
    HC_CHECK(wanted <= memory_.size_bytes());
    dependencies_.clear();
    for (;;) {
        // Free space is what lies between the newest piece's end and the oldest piece's begin.
        const std::int64_t size = memory_.size_bytes();
        std::int64_t offset = -1;
        if (pieces_.empty()) {
            offset = 0;
        } else {
            const std::int64_t oldest = pieces_.front().offset;
            const std::int64_t end = pieces_.back().offset + pieces_.back().bytes;
            if (pieces_.back().offset >= oldest) {
                if (end + wanted <= size) {
                    offset = end;
                } else if (wanted <= oldest) {
                    offset = 0;
                }
            } else if (end + wanted <= oldest) {
                offset = end;
            }
        }
        if (offset >= 0) {
            pieces_.push_back({offset, wanted, true, std::nullopt});
            return offset;
        }
        if (pieces_.front().out) return -1;
        std::optional<Event>& after = pieces_.front().after;
        if (after) dependencies_.push_back(std::move(*after));
        pieces_.pop_front();
    }
}

void StagingRing::give_back(std::int64_t offset, std::optional<Event> after) {
    for (Piece& piece : pieces_) {
        if (piece.offset != offset || !piece.out) continue;
        piece.out = false;
        piece.after = std::move(after);
        return;
    }
    HC_CHECK(!"a piece was given back that is not out");
}

std::vector<Event> StagingRing::take_dependencies() {
    return std::exchange(dependencies_, {});
}

}  // namespace hc::cuda
