/// The host tier: prompt KV of the heads that may be refreshed, K and V of a token side by side.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/core/head_profile.h"

namespace hc::cache {

/// A second memory region, apart from the resident pool, written once at prefill and read by
/// the fetch worker. Rows are [K row | V row] of 2 * row_bytes.
class HostTier {
public:
    /// Allocates prompt * 2 * row_bytes for each head listed.
    HostTier(std::vector<HeadId> heads, std::int64_t prompt, std::int64_t row_bytes);

    [[nodiscard]] bool holds(HeadId head) const;
    [[nodiscard]] std::byte* rows(HeadId head);
    [[nodiscard]] const std::byte* rows(HeadId head) const;
    [[nodiscard]] std::int64_t row_bytes() const { return 2 * row_bytes_; }
    [[nodiscard]] std::int64_t prompt() const { return prompt_; }
    [[nodiscard]] std::int64_t size_bytes() const;

private:
    std::vector<HeadId> heads_;  // ascending
    std::int64_t prompt_;
    std::int64_t row_bytes_;
    std::unique_ptr<std::byte[]> data_;
};

}  // namespace hc::cache
