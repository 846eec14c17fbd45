/// The fast CPU kernels; same meaning as kernels/reference. Instruction sets are chosen once at
/// run time (AVX-512 with VNNI, AVX2 with or without AVX-VNNI, plain), never at build time, so that
/// one binary runs everywhere. Nothing here allocates except where said.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "engine/core/dtype.h"
#include "engine/core/thread_pool.h"
#include "kernels/types/arguments.h"

namespace hc::kernels::cpu {

enum class Precision : std::uint8_t {
    kFp32,  ///< weights as stored, arithmetic in fp32
    kFast,  ///< int8 activations where weights are quantised, else as kFp32; docs/ states the error
};

enum class Level : std::uint8_t;  // dispatch.h

/// What this machine's kernels use, for reports: "avx512_vnni+avx512_bf16", say.
[[nodiscard]] std::string instruction_sets();

/// A weight matrix made ready for this machine: kFp32 keeps the view, kFast may repack. The
/// view's bytes must outlive it.
class PreparedWeight {
public:
    PreparedWeight();
    PreparedWeight(const WeightView& view, Precision precision, ThreadPool& pool);  // allocates
    /// The same for a given level of this machine instead of its best; for tests.
    PreparedWeight(const WeightView& view, Precision precision, ThreadPool& pool, Level level);
    ~PreparedWeight();
    PreparedWeight(PreparedWeight&&) noexcept;
    PreparedWeight& operator=(PreparedWeight&&) noexcept;

    [[nodiscard]] std::int64_t rows() const;
    [[nodiscard]] std::int64_t cols() const;
    /// Bytes that one pass over the matrix reads.
    [[nodiscard]] std::int64_t size_bytes() const;

    struct Impl;
    [[nodiscard]] const Impl& impl() const { return *impl_; }

private:
    std::unique_ptr<Impl> impl_;
};

/// Scratch of matmul, sized once for the largest call.
class MatmulWorkspace {
public:
    /// For up to `max_n` tokens of up to `max_cols` inputs and `max_rows` outputs. Allocates.
    MatmulWorkspace(std::int64_t max_n, std::int64_t max_cols, std::int64_t max_rows, int threads);
    ~MatmulWorkspace();
    MatmulWorkspace(MatmulWorkspace&&) noexcept;
    struct Impl;
    [[nodiscard]] Impl& impl() { return *impl_; }

private:
    std::unique_ptr<Impl> impl_;
};

/// y[n, rows] = x[n, cols] * w^T (+ bias). y_stride: floats between rows of y (>= rows).
void matmul(const PreparedWeight& w, const float* bias, const float* x, std::int64_t n, float* y,
            std::int64_t y_stride, MatmulWorkspace& workspace, ThreadPool& pool);

/// Several products that share their input (q,k,v; gate,up) in one fork of the pool. The input
/// is quantised once. At most 4.
struct MatmulTarget {
    const PreparedWeight* w = nullptr;
    const float* bias = nullptr;
    float* y = nullptr;
    std::int64_t y_stride = 0;
};
void matmul_many(const MatmulTarget* targets, int count, const float* x, std::int64_t n,
                 MatmulWorkspace& workspace, ThreadPool& pool);

void rms_norm(const float* x, const float* weight, std::int64_t n, std::int64_t dim, float eps,
              float* y);
void rope(float* x, std::int64_t num_heads, std::int64_t head_dim, std::int64_t position,
          const float* inv_freq, bool interleaved);
/// The same with cos and sin [head_dim/2] already computed for the position.
void rope_table(float* x, std::int64_t num_heads, std::int64_t head_dim, const float* cos,
                const float* sin, bool interleaved);
void silu_mul(const float* gate, const float* up, std::int64_t count, float* y);
void add(float* x, const float* y, std::int64_t count);

/// Stores fp32 rows as KV elements.
void store_kv(const float* src, std::int64_t count, KvType type, std::byte* dst);

/// As in kernels/reference, for one KV head, on the calling thread (the engine spreads heads
/// and, for long contexts, pieces over the pool). `scratch` holds group*length floats.
void decode_attention(const PagedKv& kv, const float* q, std::int64_t group, float* out,
                      float* scratch, float* probs);

/// Attention over tokens [begin, end) only, unnormalised, for an exact merge of pieces:
/// out [group, head_dim] = sum exp(s-max) v, max [group], sum [group].
void decode_attention_piece(const PagedKv& kv, std::int64_t begin, std::int64_t end, const float* q,
                            std::int64_t group, float* out, float* max, float* sum, float* scratch);
/// Merges `pieces` results laid out [pieces, group, head_dim], [pieces, group]; into out.
void merge_attention_pieces(const float* partial, const float* max, const float* sum,
                            std::int64_t pieces, std::int64_t group, std::int64_t head_dim,
                            float* out);

void prefill_attention(const PagedKv& kv, const float* q, std::int64_t n, std::int64_t group,
                       std::int64_t q_stride, float* out, float* scratch);
/// Floats of scratch that prefill_attention needs per worker.
[[nodiscard]] std::int64_t prefill_attention_scratch(std::int64_t max_length,
                                                     std::int64_t head_dim);

/// As in kernels/reference. `scratch` holds (group + 1) * (prompt + pool_width) floats.
void selection_score(const PagedKv& kv, std::int64_t prompt, const float* q, std::int64_t group,
                     std::int32_t pool_width, bool half_precision, float* out, float* scratch);

/// Copies `count` rows of `row_bytes` from scattered places to a contiguous buffer; neighbouring
/// source rows are copied as one run. Returns the number of runs.
std::int64_t gather_rows(const std::byte* src, std::int64_t src_row_bytes,
                         const std::uint32_t* rows, std::int64_t count, std::byte* dst);

}  // namespace hc::kernels::cpu
