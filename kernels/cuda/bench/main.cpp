// device_bench [FILE]: speed of the CUDA kernels, each beside what a kernel that only reads
// reaches in the same process. Writes the points to FILE as JSON.
#include <cstdio>

#include "kernels/cuda/bench/measure.h"

int main(int argc, char** argv) {
    namespace bench = hc::kernels::cuda::bench;
    int count = 0;
    if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
        std::puts("device_bench: skipped, no usable GPU");
        return 0;
    }
    cudaDeviceProp properties{};
    bench::require(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
    const double read = bench::read_bandwidth(std::size_t{4} << 30);
    std::printf("%s, device read %.1f GB/s\n", properties.name, read);
    bench::Report report(read);
    // What launch and ramp leave of it when there is less to read, as much as 64K and 128K tokens.
    for (const std::size_t mebibytes : {256u, 512u}) {
        const std::size_t bytes = mebibytes << 20;
        const double rate = bench::read_bandwidth(bytes);
        report.add({"read " + std::to_string(mebibytes) + " MiB",
                    static_cast<double>(bytes) / rate * 1e-3, static_cast<double>(bytes)});
    }
    bench::bench_decode_attention(report);
    bench::bench_matmul(report);
    bench::bench_decode_chain(report);
    bench::bench_prefill_attention(report);
    if (argc > 1 && !report.write(argv[1], properties.name)) {
        std::fprintf(stderr, "device_bench: cannot write %s\n", argv[1]);
        return 1;
    }
    return 0;
}
