/// Pinned host memory that the device reads and writes in place.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <vector>

namespace hc::test {

/// Begins cleared. Not copied: one owner frees it.
template <typename T>
class MappedArray {
public:
    explicit MappedArray(std::size_t count) : count_(count) {
        EXPECT_EQ(cudaHostAlloc(&data_, count * sizeof(T) + 16, cudaHostAllocMapped), cudaSuccess);
        EXPECT_EQ(cudaHostGetDevicePointer(&device_, data_, 0), cudaSuccess);
        std::fill_n(static_cast<T*>(data_), count, T{});
    }
    explicit MappedArray(const std::vector<T>& values) : MappedArray(values.size()) {
        std::copy(values.begin(), values.end(), static_cast<T*>(data_));
    }
    ~MappedArray() { static_cast<void>(cudaFreeHost(data_)); }
    MappedArray(const MappedArray&) = delete;
    MappedArray& operator=(const MappedArray&) = delete;

    [[nodiscard]] T* device() const { return static_cast<T*>(device_); }
    [[nodiscard]] std::span<const T> host() const { return {static_cast<const T*>(data_), count_}; }

private:
    void* data_ = nullptr;
    void* device_ = nullptr;
    std::size_t count_;
};

}  // namespace hc::test
