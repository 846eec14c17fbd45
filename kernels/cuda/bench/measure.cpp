#include "kernels/cuda/bench/measure.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace hc::kernels::cuda::bench {

void require(cudaError_t status, const char* what) {
    if (status == cudaSuccess) return;
    std::fprintf(stderr, "device_bench: %s: %s\n", what, cudaGetErrorString(status));
    std::exit(1);
}

DeviceMemory::DeviceMemory(std::size_t bytes, bool random) {
    require(cudaMalloc(&data_, bytes), "cudaMalloc");
    if (random) {
        fill_random(data_, bytes);
    } else {
        require(cudaMemset(data_, 0, bytes), "cudaMemset");
    }
}

DeviceMemory::~DeviceMemory() {
    (void)cudaFree(data_);
}

double median_us(int calls, int repeats, const std::function<void(int, cudaStream_t)>& work) {
    cudaStream_t stream = nullptr;
    require(cudaStreamCreate(&stream), "cudaStreamCreate");
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t replay = nullptr;
    require(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
    for (int i = 0; i < calls; ++i) work(i, stream);
    require(cudaStreamEndCapture(stream, &graph), "end of capture");
    require(cudaGraphInstantiate(&replay, graph, 0), "cudaGraphInstantiate");
    cudaEvent_t begin = nullptr;
    cudaEvent_t end = nullptr;
    require(cudaEventCreate(&begin), "cudaEventCreate");
    require(cudaEventCreate(&end), "cudaEventCreate");
    std::vector<double> times;
    for (int i = -2; i < repeats; ++i) {
        require(cudaEventRecord(begin, stream), "cudaEventRecord");
        require(cudaGraphLaunch(replay, stream), "cudaGraphLaunch");
        require(cudaEventRecord(end, stream), "cudaEventRecord");
        require(cudaEventSynchronize(end), "measured work");
        float ms = 0;
        require(cudaEventElapsedTime(&ms, begin, end), "cudaEventElapsedTime");
        if (i >= 0) times.push_back(1e3 * static_cast<double>(ms) / calls);
    }
    require(cudaEventDestroy(begin), "cudaEventDestroy");
    require(cudaEventDestroy(end), "cudaEventDestroy");
    require(cudaGraphExecDestroy(replay), "cudaGraphExecDestroy");
    require(cudaGraphDestroy(graph), "cudaGraphDestroy");
    require(cudaStreamDestroy(stream), "cudaStreamDestroy");
    std::nth_element(times.begin(), times.begin() + repeats / 2, times.end());
    return times[static_cast<std::size_t>(repeats / 2)];
}

void Report::add(const Result& result) {
    results_.push_back(result);
    if (result.flops > 0) {
        std::printf("%-44s %9.2f us %8.1f TFLOP/s\n", result.name.c_str(), result.us,
                    result.tflop_per_s());
    } else {
        std::printf("%-44s %9.2f us %8.1f GB/s %6.1f %% of read\n", result.name.c_str(), result.us,
                    result.gb_per_s(), 100 * result.gb_per_s() / read_gb_per_s_);
    }
    std::fflush(stdout);
}

bool Report::write(const std::string& path, const std::string& device) const {
    std::FILE* file = std::fopen(path.c_str(), "w");
    if (file == nullptr) return false;
    std::fprintf(file, "{\n  \"device\": \"%s\",\n  \"read_gb_per_s\": %.1f,\n  \"results\": [",
                 device.c_str(), read_gb_per_s_);
    const char* separator = "\n";
    for (const Result& r : results_) {
        std::fprintf(file,
                     "%s    {\"name\": \"%s\", \"us\": %.3f, \"bytes\": %.0f, \"gb_per_s\": %.1f, "
                     "\"share_of_read\": %.4f",
                     separator, r.name.c_str(), r.us, r.bytes, r.gb_per_s(),
                     r.gb_per_s() / read_gb_per_s_);
        if (r.flops > 0) {
            std::fprintf(file, ", \"flops\": %.0f, \"tflop_per_s\": %.1f", r.flops,
                         r.tflop_per_s());
        }
        std::fputs("}", file);
        separator = ",\n";
    }
    std::fputs("\n  ]\n}\n", file);
    return std::fclose(file) == 0;
}

}  // namespace hc::kernels::cuda::bench
