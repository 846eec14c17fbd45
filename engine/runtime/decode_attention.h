/// One decode query per (sequence, KV head), spread over the thread pool.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/core/thread_pool.h"
#include "kernels/types/arguments.h"

namespace hc::runtime {

/// Long heads are cut into pieces of a fixed number of tokens and merged exactly. The cuts do
/// not depend on the number of threads, so neither does a single bit of the result.
class DecodeAttention {
public:
    static constexpr std::int64_t kPieceTokens = 512;

    DecodeAttention(std::int64_t group, std::int64_t head_dim, int threads);

    /// Room for `heads` problems of up to `length` tokens each. Allocates when it is not there.
    void reserve(std::int64_t heads, std::int64_t length);

    void clear();
    /// q and out are [group, head_dim]; the view stays valid until run() returns.
    void add(const kernels::PagedKv& kv, const float* q, float* out);
    void run(ThreadPool& pool);

    /// KV rows of all problems added.
    [[nodiscard]] std::int64_t rows() const { return rows_; }

private:
    struct Piece {
        kernels::PagedKv kv;
        std::int64_t begin = 0;
        std::int64_t end = 0;
        const float* q = nullptr;
        float* out = nullptr;  // of a head in one piece; else null and the piece is merged
    };
    struct Merge {
        std::int64_t first = 0;  // piece
        std::int64_t count = 0;
        float* out = nullptr;
    };
    void run_piece(std::size_t index, int worker);

    std::int64_t group_;
    std::int64_t head_dim_;
    std::int64_t rows_ = 0;
    std::vector<Piece> pieces_;
    std::vector<Merge> merges_;
    std::vector<float> partial_;               // [piece, group, head_dim]
    std::vector<float> max_;                   // [piece, group]
    std::vector<float> sum_;                   // [piece, group]
    std::vector<std::vector<float>> scratch_;  // [worker][group * kPieceTokens]
};

}  // namespace hc::runtime
