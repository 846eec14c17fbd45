#include "engine/core/error.h"
#include "kernels/cpu/matmul_state.h"
#include "kernels/cpu/packed_weight.h"

namespace hc::kernels::cpu {
namespace {

constexpr std::int64_t kLargestTileRows = 32;  // of any level

}  // namespace

PreparedWeight::PreparedWeight() : impl_(std::make_unique<Impl>()) {}
PreparedWeight::~PreparedWeight() = default;
PreparedWeight::PreparedWeight(PreparedWeight&&) noexcept = default;
PreparedWeight& PreparedWeight::operator=(PreparedWeight&&) noexcept = default;

PreparedWeight::PreparedWeight(const WeightView& view, Precision precision, ThreadPool& pool)
    : PreparedWeight(view, precision, pool, best_level()) {}

PreparedWeight::PreparedWeight(const WeightView& view, Precision precision, ThreadPool& pool,
                               Level level)
    : impl_(std::make_unique<Impl>()) {
    const BlockGeometry g = block_geometry(view.type);
    HC_CHECK(g.elements != 0);
    HC_CHECK(view.cols % g.elements == 0);
    impl_->view = view;
    impl_->level = level;
    const std::optional<PackKind> kind = pack_kind(view.type);
    if (precision != Precision::kFast || !kind) return;
    impl_->packed = true;
    impl_->kind = *kind;
    const std::int64_t panel_bytes = impl_->panel_bytes();
    impl_->panels = make_aligned<std::byte>(impl_->num_panels() * panel_bytes);
    pool.parallel_for(impl_->num_panels(), 4, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t p = begin; p < end; ++p) {
            pack_panel(view, *kind, p, impl_->panels.get() + p * panel_bytes);
        }
    });
}

std::int64_t PreparedWeight::rows() const {
    return impl_->view.rows;
}
std::int64_t PreparedWeight::cols() const {
    return impl_->view.cols;
}
std::int64_t PreparedWeight::size_bytes() const {
    if (impl_->packed) return impl_->num_panels() * impl_->panel_bytes();
    return static_cast<std::int64_t>(impl_->view.size_bytes());
}

MatmulWorkspace::MatmulWorkspace(std::int64_t max_n, std::int64_t max_cols,
                                 std::int64_t /*max_rows*/, int threads)
    : impl_(std::make_unique<Impl>()) {
    HC_CHECK(max_n >= 1);
    HC_CHECK(max_cols >= 1);
    HC_CHECK(threads >= 1);
    impl_->max_n = max_n;
    impl_->max_cols = max_cols;
    impl_->threads = threads;
    impl_->codes = make_aligned<std::int32_t>(max_n * max_cols / 4 + 1);
    impl_->scales = make_aligned<float>(max_n * max_cols / kBlock + 1);
    impl_->sums = make_aligned<float>(max_n * max_cols / kBlock + 1);
    impl_->inputs = make_aligned<float>(max_n * max_cols);
    // Rows begin on cache lines, whatever the number of columns.
    impl_->worker_floats = 2 * kLargestTileRows * ((max_cols + 15) / 16 * 16);
    impl_->tiles = make_aligned<float>(threads * impl_->worker_floats);
}
MatmulWorkspace::~MatmulWorkspace() = default;
MatmulWorkspace::MatmulWorkspace(MatmulWorkspace&&) noexcept = default;

}  // namespace hc::kernels::cpu
