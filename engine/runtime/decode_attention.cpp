#include "engine/runtime/decode_attention.h"

#include <algorithm>

#include "kernels/cpu/ops.h"

namespace hc::runtime {
namespace {

// Fewer rows than this in all are done sooner by one thread than handed out.
constexpr std::int64_t kRowsWorthAFork = 128;
// Fewer pieces than this are merged sooner by one thread.
constexpr std::size_t kPiecesWorthAFork = 64;

}  // namespace

DecodeAttention::DecodeAttention(std::int64_t group, std::int64_t head_dim, int threads)
    : group_(group), head_dim_(head_dim), scratch_(static_cast<std::size_t>(threads)) {
    for (auto& scratch : scratch_) scratch.resize(static_cast<std::size_t>(group * kPieceTokens));
}

void DecodeAttention::reserve(std::int64_t heads, std::int64_t length) {
    const auto pieces =
        static_cast<std::size_t>(heads * ((length + kPieceTokens - 1) / kPieceTokens));
    pieces_.reserve(pieces);
    merges_.reserve(static_cast<std::size_t>(heads));
    const auto group = static_cast<std::size_t>(group_);
    const std::size_t partial = pieces * group * static_cast<std::size_t>(head_dim_);
    if (partial > partial_.size()) {
        partial_.resize(partial);
        max_.resize(pieces * group);
        sum_.resize(pieces * group);
    }
}

void DecodeAttention::clear() {
    pieces_.clear();
    merges_.clear();
    rows_ = 0;
}

void DecodeAttention::add(const kernels::PagedKv& kv, const float* q, float* out) {
    rows_ += kv.length;
    if (kv.length <= kPieceTokens) {
        pieces_.push_back({kv, 0, kv.length, q, out});
        return;
    }
    const auto first = static_cast<std::int64_t>(pieces_.size());
    for (std::int64_t begin = 0; begin < kv.length; begin += kPieceTokens) {
        pieces_.push_back({kv, begin, std::min(begin + kPieceTokens, kv.length), q, nullptr});
    }
    merges_.push_back({first, static_cast<std::int64_t>(pieces_.size()) - first, out});
}

void DecodeAttention::run_piece(std::size_t index, int worker) {
    const Piece& piece = pieces_[index];
    float* scratch = scratch_[static_cast<std::size_t>(worker)].data();
    if (piece.out != nullptr) {
        kernels::cpu::decode_attention(piece.kv, piece.q, group_, piece.out, scratch, nullptr);
        return;
    }
    const auto group = static_cast<std::size_t>(group_);
    kernels::cpu::decode_attention_piece(
        piece.kv, piece.begin, piece.end, piece.q, group_,
        partial_.data() + index * group * static_cast<std::size_t>(head_dim_),
        max_.data() + index * group, sum_.data() + index * group, scratch);
}

void DecodeAttention::run(ThreadPool& pool) {
    const auto pieces = static_cast<std::int64_t>(pieces_.size());
    pool.parallel_for(pieces, rows_ < kRowsWorthAFork ? pieces : 1,
                      [&](std::int64_t begin, std::int64_t end, int worker) {
                          for (std::int64_t i = begin; i < end; ++i) {
                              run_piece(static_cast<std::size_t>(i), worker);
                          }
                      });
    const auto merges = static_cast<std::int64_t>(merges_.size());
    const auto group = static_cast<std::size_t>(group_);
    pool.parallel_for(
        merges, pieces_.size() < kPiecesWorthAFork ? merges : 1,
        [&](std::int64_t begin, std::int64_t end, int) {
            for (std::int64_t i = begin; i < end; ++i) {
                const Merge& merge = merges_[static_cast<std::size_t>(i)];
                const auto first = static_cast<std::size_t>(merge.first);
                kernels::cpu::merge_attention_pieces(
                    partial_.data() + first * group * static_cast<std::size_t>(head_dim_),
                    max_.data() + first * group, sum_.data() + first * group, merge.count, group_,
                    head_dim_, merge.out);
            }
        });
}

}  // namespace hc::runtime
