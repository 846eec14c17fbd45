/// What PreparedWeight and MatmulWorkspace hold; for the files of this folder.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cpu/aligned_buffer.h"
#include "kernels/cpu/dispatch.h"
#include "kernels/cpu/ops.h"

namespace hc::kernels::cpu {

struct PreparedWeight::Impl {
    WeightView view;
    Level level = Level::kPlain;
    bool packed = false;  ///< else rows are read from the view and turned into fp32
    PackKind kind = PackKind::kU4Zero;
    AlignedBuffer<std::byte> panels;  ///< [ceil(rows / 16)][cols / 32] blocks

    [[nodiscard]] std::int64_t panel_bytes() const {
        return view.cols / kBlock * pack_block_bytes(kind);
    }
    [[nodiscard]] std::int64_t num_panels() const {
        return (view.rows + kPanelRows - 1) / kPanelRows;
    }
};

/// Tokens are cut into panels of at most a level's panel size; panel p begins at token
/// p * size, and its inputs at p * size times the inputs of one token.
struct MatmulWorkspace::Impl {
    std::int64_t max_n = 0;
    std::int64_t max_cols = 0;
    int threads = 0;
    AlignedBuffer<std::int32_t> codes;  ///< [max_n * max_cols / 4]
    AlignedBuffer<float> scales;        ///< [max_n * max_cols / 32]
    AlignedBuffer<float> sums;          ///< likewise
    AlignedBuffer<float> inputs;        ///< [max_n * max_cols], fp32 panels
    /// [threads][worker_floats]: a row tile as rows, then transposed.
    AlignedBuffer<float> tiles;
    std::int64_t worker_floats = 0;
};

}  // namespace hc::kernels::cpu
