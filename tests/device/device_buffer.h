/// What the device tests share: memory on the device, bf16 on the host, skipping.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/cuda/types.h"

/// Asserts that a CUDA call succeeded; the failure names the error.
#define HC_ASSERT_CUDA(call)                                                \
    do {                                                                    \
        const cudaError_t hc_status = (call);                               \
        ASSERT_EQ(hc_status, cudaSuccess) << cudaGetErrorString(hc_status); \
    } while (false)

namespace hc::test {

/// A test of this kind skips where there is no GPU.
class DeviceTest : public testing::Test {
protected:
    void SetUp() override {
        int count = 0;
        const cudaError_t status = cudaGetDeviceCount(&count);
        if (status != cudaSuccess || count == 0) {
            (void)cudaGetLastError();
            GTEST_SKIP() << "no usable GPU: " << cudaGetErrorString(status);
        }
    }
};

/// An array on the device. What is not given is filled with bytes of 0xff, a NaN as float and as
/// bf16, so that a result that a kernel forgot does not pass.
template <typename T>
class DeviceArray {
public:
    explicit DeviceArray(std::size_t count) : count_(count) {
        check(cudaMalloc(&data_, bytes() + 16));
        if (data_ != nullptr) check(cudaMemset(data_, 0xff, bytes() + 16));
    }
    explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
        check(cudaMemcpy(data_, values.data(), bytes(), cudaMemcpyHostToDevice));
    }
    ~DeviceArray() { (void)cudaFree(data_); }
    DeviceArray(const DeviceArray&) = delete;
    DeviceArray& operator=(const DeviceArray&) = delete;

    [[nodiscard]] T* get() const { return static_cast<T*>(data_); }
    [[nodiscard]] std::vector<T> read() const {
        std::vector<T> out(count_);
        check(cudaMemcpy(out.data(), data_, bytes(), cudaMemcpyDeviceToHost));
        return out;
    }
    void clear() { check(cudaMemset(data_, 0, bytes())); }

private:
    [[nodiscard]] std::size_t bytes() const { return count_ * sizeof(T); }
    static void check(cudaError_t status) {
        EXPECT_EQ(status, cudaSuccess) << cudaGetErrorString(status);
    }
    void* data_ = nullptr;
    std::size_t count_;
};

[[nodiscard]] inline float from_bf16(kernels::cuda::Bf16 bits) {
    const std::uint32_t wide = std::uint32_t{bits} << 16;
    float v = 0;
    std::memcpy(&v, &wide, 4);
    return v;
}

/// Round to nearest, ties to even; finite values.
[[nodiscard]] inline kernels::cuda::Bf16 to_bf16(float v) {
    std::uint32_t wide = 0;
    std::memcpy(&wide, &v, 4);
    return static_cast<kernels::cuda::Bf16>((wide + 0x7fff + ((wide >> 16) & 1)) >> 16);
}

[[nodiscard]] inline std::vector<float> from_bf16(const std::vector<kernels::cuda::Bf16>& bits) {
    std::vector<float> out;
    out.reserve(bits.size());
    for (const auto b : bits) out.push_back(from_bf16(b));
    return out;
}

[[nodiscard]] inline std::vector<kernels::cuda::Bf16> random_bf16(std::size_t count,
                                                                  std::mt19937& random,
                                                                  float deviation = 1.0f) {
    std::normal_distribution<float> normal(0.0f, deviation);
    std::vector<kernels::cuda::Bf16> out(count);
    for (auto& v : out) v = to_bf16(normal(random));
    return out;
}

}  // namespace hc::test
