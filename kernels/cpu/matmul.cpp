#include <algorithm>
#include <cstring>

#include "engine/core/error.h"
#include "kernels/cpu/matmul_state.h"

namespace hc::kernels::cpu {
namespace {

// Up to here fp32 products walk rows and tokens plainly; beyond, tiles are worth transposing.
constexpr std::int64_t kFewTokens = 6;
constexpr int kMaxTargets = 4;
// Quantised inputs of one piece of work: half of a usual second-level cache.
constexpr std::int64_t kInputBytes = 400 * 1024;
constexpr std::int64_t kLargestOut = 12 * 32;  // tokens of a panel x rows of a tile, any level

// One call of matmul_many, laid out as a list of items: per target, chunks of token panels times
// groups of rows, rows running fastest.
struct Job {
    const KernelTable* kernels = nullptr;
    const float* x = nullptr;
    std::int64_t n = 0;
    std::int64_t cols = 0;
    MatmulWorkspace::Impl* workspace = nullptr;
};

struct Work {
    const MatmulTarget* target = nullptr;
    const PreparedWeight::Impl* weight = nullptr;
    std::int64_t rows_per_item = 0;
    std::int64_t row_items = 0;
    std::int64_t panels_per_chunk = 0;
    std::int64_t items = 0;
};

void write_out(const Work& work, const float* out, std::int64_t out_stride,
               std::int64_t first_token, std::int64_t tokens, std::int64_t first_row,
               std::int64_t rows) {
    const MatmulTarget& target = *work.target;
    for (std::int64_t t = 0; t < tokens; ++t) {
        float* y = target.y + (first_token + t) * target.y_stride + first_row;
        const float* from = out + t * out_stride;
        if (target.bias == nullptr) {
            std::memcpy(y, from, static_cast<std::size_t>(rows) * sizeof(float));
        } else {
            for (std::int64_t r = 0; r < rows; ++r) y[r] = from[r] + target.bias[first_row + r];
        }
    }
}

void int8_item(const Job& job, const Work& work, std::int64_t item) {
    const KernelTable& kernels = *job.kernels;
    const PreparedWeight::Impl& w = *work.weight;
    const std::int64_t panel_row = item % work.row_items;
    const std::int64_t chunk = item / work.row_items;
    const std::int64_t first_row = panel_row * kPanelRows;
    const std::int64_t rows = std::min(kPanelRows, w.view.rows - first_row);
    const bool direct = rows == kPanelRows && work.target->bias == nullptr;
    const std::int64_t size = kernels.int8_tokens;
    const std::int64_t end = std::min(job.n, (chunk + 1) * work.panels_per_chunk * size);
    float buffer[kLargestOut];
    for (std::int64_t token = chunk * work.panels_per_chunk * size; token < end; token += size) {
        const std::int64_t tokens = std::min(size, job.n - token);
        Int8Panel panel;
        panel.weights = w.panels.get() + panel_row * w.panel_bytes();
        panel.blocks = job.cols / kBlock;
        panel.codes = job.workspace->codes.get() + token * (job.cols / 4);
        panel.scales = job.workspace->scales.get() + token * (job.cols / kBlock);
        panel.sums = job.workspace->sums.get() + token * (job.cols / kBlock);
        panel.out = direct ? work.target->y + token * work.target->y_stride + first_row : buffer;
        panel.out_stride = direct ? work.target->y_stride : kPanelRows;
        kernels.int8_panel(w.kind, tokens, panel);
        if (!direct) write_out(work, buffer, kPanelRows, token, tokens, first_row, rows);
    }
}

void fp32_item(const Job& job, const Work& work, std::int64_t item, int worker) {
    const KernelTable& kernels = *job.kernels;
    const WeightView& w = work.weight->view;
    const std::int64_t first_row = item * work.rows_per_item;
    const std::int64_t rows = std::min(work.rows_per_item, w.rows - first_row);
    float* tile = job.workspace->tiles.get() + worker * job.workspace->worker_floats;
    if (job.n <= kFewTokens) {
        for (std::int64_t r = 0; r < rows; ++r) {
            kernels.dequantize_row(w, first_row + r, tile);
            for (std::int64_t t = 0; t < job.n; ++t) {
                const float product = kernels.dot(tile, job.x + t * job.cols, job.cols);
                write_out(work, &product, 1, t, 1, first_row + r, 1);
            }
        }
        return;
    }
    float* transposed = tile + work.rows_per_item * job.cols;
    for (std::int64_t r = 0; r < rows; ++r) {
        kernels.dequantize_row(w, first_row + r, tile + r * job.cols);
    }
    std::fill(tile + rows * job.cols, tile + work.rows_per_item * job.cols, 0.0f);
    kernels.transpose(tile, job.cols, work.rows_per_item, job.cols, transposed, work.rows_per_item);
    const std::int64_t size = kernels.fp32_tokens;
    float buffer[kLargestOut];
    for (std::int64_t token = 0; token < job.n; token += size) {
        const std::int64_t tokens = std::min(size, job.n - token);
        const Fp32Panel panel{transposed, job.cols, job.workspace->inputs.get() + token * job.cols,
                              buffer, work.rows_per_item};
        kernels.fp32_panel(tokens, panel);
        write_out(work, buffer, work.rows_per_item, token, tokens, first_row, rows);
    }
}

Work plan(const Job& job, const MatmulTarget& target) {
    Work work;
    work.target = &target;
    work.weight = &target.w->impl();
    const std::int64_t rows = work.weight->view.rows;
    if (!work.weight->packed) {
        work.rows_per_item = job.kernels->fp32_rows;
        work.row_items = (rows + work.rows_per_item - 1) / work.rows_per_item;
        work.items = work.row_items;
        return work;
    }
    work.rows_per_item = kPanelRows;
    work.row_items = work.weight->num_panels();
    const std::int64_t size = job.kernels->int8_tokens;
    const std::int64_t panels = (job.n + size - 1) / size;
    const std::int64_t chunks = (job.n * job.cols + kInputBytes - 1) / kInputBytes;
    work.panels_per_chunk = (panels + chunks - 1) / chunks;
    work.items = work.row_items * ((panels + work.panels_per_chunk - 1) / work.panels_per_chunk);
    return work;
}

void prepare_inputs(const Job& job, bool quantised, bool fp32, ThreadPool& pool) {
    const auto pack = [&](std::int64_t size, auto&& one) {
        const std::int64_t panels = (job.n + size - 1) / size;
        // A fork costs more than quantising a few tokens.
        const std::int64_t grain = std::max<std::int64_t>(1, 16 / size);
        pool.parallel_for(panels, grain, [&](std::int64_t begin, std::int64_t end, int) {
            for (std::int64_t p = begin; p < end; ++p) {
                one(p * size, std::min(size, job.n - p * size));
            }
        });
    };
    MatmulWorkspace::Impl& space = *job.workspace;
    if (quantised) {
        pack(job.kernels->int8_tokens, [&](std::int64_t token, std::int64_t tokens) {
            job.kernels->quantize_panel(job.x + token * job.cols, job.cols, tokens, job.cols,
                                        space.codes.get() + token * (job.cols / 4),
                                        space.scales.get() + token * (job.cols / kBlock),
                                        space.sums.get() + token * (job.cols / kBlock));
        });
    }
    if (fp32 && job.n > kFewTokens) {
        pack(job.kernels->fp32_tokens, [&](std::int64_t token, std::int64_t tokens) {
            job.kernels->transpose(job.x + token * job.cols, job.cols, tokens, job.cols,
                                   space.inputs.get() + token * job.cols, tokens);
        });
    }
}

}  // namespace

void matmul_many(const MatmulTarget* targets, int count, const float* x, std::int64_t n,
                 MatmulWorkspace& workspace, ThreadPool& pool) {
    HC_CHECK(count >= 1 && count <= kMaxTargets);
    if (n <= 0) return;
    MatmulWorkspace::Impl& space = workspace.impl();
    const PreparedWeight::Impl& first = targets[0].w->impl();
    const Job job{&kernels_for(first.level), x, n, first.view.cols, &space};
    HC_CHECK(n <= space.max_n);
    HC_CHECK(job.cols <= space.max_cols);
    HC_CHECK(pool.size() <= space.threads);
    Work work[kMaxTargets];
    bool quantised = false;
    bool fp32 = false;
    std::int64_t items = 0;
    for (int t = 0; t < count; ++t) {
        HC_CHECK(targets[t].w->impl().level == first.level);
        HC_CHECK(targets[t].w->cols() == job.cols);
        work[t] = plan(job, targets[t]);
        (work[t].weight->packed ? quantised : fp32) = true;
        items += work[t].items;
    }
    prepare_inputs(job, quantised, fp32, pool);
    // About eight pieces per worker: short enough to even out, long enough to stream.
    const std::int64_t grain = std::max<std::int64_t>(1, items / (8 * pool.size()));
    pool.parallel_for(items, grain, [&](std::int64_t begin, std::int64_t end, int worker) {
        int t = 0;
        std::int64_t before = 0;  // items of the targets before t
        for (std::int64_t item = begin; item < end; ++item) {
            while (item - before >= work[t].items) before += work[t++].items;
            if (work[t].weight->packed) {
                int8_item(job, work[t], item - before);
            } else {
                fp32_item(job, work[t], item - before, worker);
            }
        }
    });
}

void matmul(const PreparedWeight& w, const float* bias, const float* x, std::int64_t n, float* y,
            std::int64_t y_stride, MatmulWorkspace& workspace, ThreadPool& pool) {
    const MatmulTarget target{&w, bias, y, y_stride};
    matmul_many(&target, 1, x, n, workspace, pool);
}

}  // namespace hc::kernels::cpu
