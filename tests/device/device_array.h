/// What tests of kernels share: memory that frees itself, and the skip without a GPU.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace hc {

inline void check_cuda(cudaError_t error, const char* what) {
    if (error != cudaSuccess)
        throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

#define HC_TEST_CUDA(call) ::hc::check_cuda((call), #call)

/// Skips every test of a suite where no GPU answers.
class SelectionDeviceTest : public ::testing::Test {
protected:
    void SetUp() override {
        int count = 0;
        const cudaError_t error = cudaGetDeviceCount(&count);
        if (error != cudaSuccess || count == 0) {
            GTEST_SKIP() << "needs a GPU: "
                         << (error != cudaSuccess ? cudaGetErrorString(error) : "none found");
        }
    }
};

/// Device memory of its own, filled with 0xFF bytes (a NaN, a full bitmap, -1) where nothing is
/// given, so that what a kernel leaves unwritten shows. Not copied: one owner frees it.
template <class T>
class DeviceArray {
public:
    explicit DeviceArray(std::size_t size) : size_(size) {
        HC_TEST_CUDA(cudaMalloc(&data_, bytes() + 16));
        HC_TEST_CUDA(cudaMemset(data_, 0xFF, bytes() + 16));
    }
    explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
        HC_TEST_CUDA(cudaMemcpy(data_, values.data(), bytes(), cudaMemcpyHostToDevice));
    }
    DeviceArray(const DeviceArray&) = delete;
    DeviceArray& operator=(const DeviceArray&) = delete;
    ~DeviceArray() { static_cast<void>(cudaFree(data_)); }

    [[nodiscard]] T* get() const { return static_cast<T*>(data_); }
    [[nodiscard]] std::vector<T> read() const {
        std::vector<T> values(size_);
        HC_TEST_CUDA(cudaDeviceSynchronize());
        HC_TEST_CUDA(cudaMemcpy(values.data(), data_, bytes(), cudaMemcpyDeviceToHost));
        return values;
    }

private:
    [[nodiscard]] std::size_t bytes() const { return size_ * sizeof(T); }
    std::size_t size_;
    void* data_ = nullptr;
};

/// Bits of the bfloat16 nearest to a finite value, ties to even.
inline std::uint16_t to_bf16(float value) {
    std::uint32_t bits = 0;
    static_assert(sizeof bits == sizeof value);
    __builtin_memcpy(&bits, &value, sizeof bits);
    return static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

inline float from_bf16(std::uint16_t value) {
    const std::uint32_t bits = static_cast<std::uint32_t>(value) << 16;
    float result = 0;
    __builtin_memcpy(&result, &bits, sizeof bits);
    return result;
}

}  // namespace hc
