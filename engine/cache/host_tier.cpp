#include "engine/cache/host_tier.h"

#include <algorithm>

#include "engine/core/error.h"

namespace hc::cache {

HostTier::HostTier(std::vector<HeadId> heads, std::int64_t prompt, std::int64_t row_bytes)
    : heads_(std::move(heads)), prompt_(prompt), row_bytes_(row_bytes) {
    HC_CHECK(prompt >= 0);
    HC_CHECK(row_bytes > 0);
    std::sort(heads_.begin(), heads_.end());
    heads_.erase(std::unique(heads_.begin(), heads_.end()), heads_.end());
    data_ = std::make_unique_for_overwrite<std::byte[]>(static_cast<std::size_t>(size_bytes()));
}

bool HostTier::holds(HeadId head) const {
    return std::binary_search(heads_.begin(), heads_.end(), head);
}

const std::byte* HostTier::rows(HeadId head) const {
    const auto found = std::lower_bound(heads_.begin(), heads_.end(), head);
    HC_CHECK(found != heads_.end() && *found == head);
    return data_.get() + (found - heads_.begin()) * prompt_ * HostTier::row_bytes();
}

std::byte* HostTier::rows(HeadId head) {
    return const_cast<std::byte*>(static_cast<const HostTier*>(this)->rows(head));
}

std::int64_t HostTier::size_bytes() const {
    return static_cast<std::int64_t>(heads_.size()) * prompt_ * HostTier::row_bytes();
}

}  // namespace hc::cache
