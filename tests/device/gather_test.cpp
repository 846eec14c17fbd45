#include <algorithm>
#include <numeric>
#include <random>

#include "kernels/cuda/row_gather.h"
#include "tests/device/device_buffer.h"

namespace hc {
namespace {

using test::DeviceArray;

using Row = std::vector<std::uint16_t>;

/// Pinned host memory that the device reads in place. Not copied: one owner frees it.
class PinnedRows {
public:
    explicit PinnedRows(const Row& values) {
        EXPECT_EQ(cudaHostAlloc(&data_, values.size() * 2 + 16, cudaHostAllocMapped), cudaSuccess);
        std::copy(values.begin(), values.end(), static_cast<std::uint16_t*>(data_));
        EXPECT_EQ(cudaHostGetDevicePointer(&device_, data_, 0), cudaSuccess);
    }
    PinnedRows(const PinnedRows&) = delete;
    PinnedRows& operator=(const PinnedRows&) = delete;
    ~PinnedRows() { static_cast<void>(cudaFreeHost(data_)); }
    [[nodiscard]] const std::uint16_t* device() const {
        return static_cast<std::uint16_t*>(device_);
    }

private:
    void* data_ = nullptr;
    void* device_ = nullptr;
};

class DeviceRowGather : public test::DeviceTest {};

TEST_F(DeviceRowGather, BringsRowsAndCommitsThemToTheirSlots) {
    std::mt19937 random(31);
    const auto draw = [&](int low, int high) {
        return std::uniform_int_distribution<int>(low, high)(random);
    };
    constexpr std::int32_t kDims[] = {64, 96, 128, 256, 8, 40};
    for (int round = 0; round < 24; ++round) {
        const std::int32_t head_dim = kDims[round % 6];
        const std::int32_t page_size = draw(1, 40);
        const std::int32_t prompt = draw(1, 5000);
        const auto row_values = static_cast<std::size_t>(head_dim) * 2;
        SCOPED_TRACE(::testing::Message()
                     << "D " << head_dim << " page " << page_size << " prompt " << prompt);
        Row host(static_cast<std::size_t>(prompt) * row_values);
        for (auto& x : host) x = static_cast<std::uint16_t>(random());

        std::vector<std::int32_t> positions(static_cast<std::size_t>(prompt));
        std::iota(positions.begin(), positions.end(), 0);
        const std::vector<std::int32_t> every = positions;
        const int rows = round < 4 ? round % 2 : draw(0, prompt);  // also none and one
        positions.clear();
        std::sample(every.begin(), every.end(), std::back_inserter(positions), rows, random);
        std::vector<std::int32_t> slots = every;
        std::shuffle(slots.begin(), slots.end(), random);
        slots.resize(static_cast<std::size_t>(rows));
        std::vector<std::int32_t> indices(
            static_cast<std::size_t>((prompt + page_size - 1) / page_size));
        std::iota(indices.begin(), indices.end(), 0);
        std::shuffle(indices.begin(), indices.end(), random);

        const PinnedRows pinned(host);
        const DeviceArray<std::int32_t> device_positions(positions);
        const DeviceArray<std::int32_t> device_slots(slots);
        const DeviceArray<std::int32_t> device_indices(indices);
        const DeviceArray<std::int32_t> num_rows(std::vector<std::int32_t>{rows});
        const DeviceArray<std::uint16_t> staging((static_cast<std::size_t>(rows) + 1) * row_values);
        Row expected_pool(indices.size() * static_cast<std::size_t>(page_size) * row_values,
                          0xABCD);
        const DeviceArray<std::uint16_t> pool(expected_pool);
        kernels::cuda::RowGatherArguments gather;
        gather.host_rows = pinned.device();
        gather.positions = device_positions.get();
        gather.num_rows = num_rows.get();
        gather.staging = staging.get();
        gather.head_dim = head_dim;
        gather.num_blocks = draw(1, 8);
        HC_ASSERT_CUDA(kernels::cuda::gather_rows(gather, nullptr));
        kernels::cuda::RowCommitArguments commit;
        commit.staging = staging.get();
        commit.slots = device_slots.get();
        commit.num_rows = num_rows.get();
        commit.pages = pool.get();
        commit.page_indices = device_indices.get();
        commit.page_size = page_size;
        commit.head_dim = head_dim;
        commit.max_rows = prompt;
        HC_ASSERT_CUDA(kernels::cuda::commit_rows(commit, nullptr));

        Row expected_staging((static_cast<std::size_t>(rows) + 1) * row_values, 0xFFFF);
        for (std::size_t i = 0; i < positions.size(); ++i) {
            const auto* row = host.data() + static_cast<std::size_t>(positions[i]) * row_values;
            std::copy(row, row + row_values,
                      expected_staging.begin() + static_cast<std::ptrdiff_t>(i * row_values));
            const auto page =
                static_cast<std::size_t>(indices[static_cast<std::size_t>(slots[i] / page_size)]);
            const auto slot = static_cast<std::size_t>(slots[i] % page_size);
            const std::size_t dim = static_cast<std::size_t>(head_dim);
            auto* key = expected_pool.data() +
                        (page * 2 * static_cast<std::size_t>(page_size) + slot) * dim;
            std::copy(row, row + dim, key);
            std::copy(row + dim, row + 2 * dim, key + static_cast<std::size_t>(page_size) * dim);
        }
        EXPECT_EQ(staging.read(), expected_staging);
        EXPECT_EQ(pool.read(), expected_pool);
    }
}

TEST_F(DeviceRowGather, RefusesWhatItCannotDo) {
    kernels::cuda::RowGatherArguments gather;
    gather.head_dim = 12;
    EXPECT_EQ(kernels::cuda::gather_rows(gather, nullptr), cudaErrorInvalidValue);
    gather.head_dim = 64;
    gather.num_blocks = 0;
    EXPECT_EQ(kernels::cuda::gather_rows(gather, nullptr), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace hc
