/// Timing of device work: medians of graph replays, so that what a launch costs the host is left
/// out, as it is in a decode step.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace hc::kernels::cuda::bench {

/// Ends the program with a line that names the call when it failed.
void require(cudaError_t status, const char* what);

/// Device memory filled with random finite bf16.
class DeviceMemory {
public:
    explicit DeviceMemory(std::size_t bytes, bool random = true);
    ~DeviceMemory();
    DeviceMemory(const DeviceMemory&) = delete;
    DeviceMemory& operator=(const DeviceMemory&) = delete;
    template <typename T>
    [[nodiscard]] T* as() const {
        return static_cast<T*>(data_);
    }

private:
    void* data_ = nullptr;
};

/// Median time in microseconds of one call of `work(i)`: `calls` of them, i = 0, 1, ..., are
/// captured into a graph that is replayed `repeats` times after two warm-ups.
[[nodiscard]] double median_us(int calls, int repeats,
                               const std::function<void(int, cudaStream_t)>& work);

/// One measured point.
struct Result {
    std::string name;
    double us = 0;
    double bytes = 0;
    double flops = 0;  ///< set where arithmetic, not bytes, is the limit
    [[nodiscard]] double gb_per_s() const { return bytes / us * 1e-3; }
    [[nodiscard]] double tflop_per_s() const { return flops / us * 1e-6; }
};

/// Prints points as they finish and keeps them for the file.
class Report {
public:
    explicit Report(double read_gb_per_s) : read_gb_per_s_(read_gb_per_s) {}
    void add(const Result& result);
    /// JSON; false when the file cannot be written.
    [[nodiscard]] bool write(const std::string& path, const std::string& device) const;

private:
    double read_gb_per_s_;
    std::vector<Result> results_;
};

/// GB/s of a kernel that only reads `bytes` of device memory (limits.cu).
[[nodiscard]] double read_bandwidth(std::size_t bytes);

/// Enqueues a kernel that fills memory with seeded bf16 of deviation about 1.
void fill_random(void* data, std::size_t bytes);

void bench_decode_attention(Report& report);
void bench_decode_chain(Report& report);
void bench_matmul(Report& report);
void bench_prefill_attention(Report& report);

}  // namespace hc::kernels::cuda::bench
