#include "tests/device_profiler/workload/workload.h"

#include <cuda_runtime.h>
#include <nvtx3/nvToolsExt.h>
#include <nvtx3/nvToolsExtCudaRt.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <thread>
#include <vector>

namespace hc::workload {
namespace {

__global__ void empty_kernel() {}

__global__ void small_kernel(int* value) {
    *value += 1;
}

template <typename T>
__global__ void templated_kernel(T* value) {
    *value = T(1);
}

void check(cudaError_t result, const char* what) {
    if (result != cudaSuccess) {
        throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(result));
    }
}

class Stream {
public:
    Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "stream"); }
    ~Stream() { cudaStreamDestroy(stream_); }
    Stream(const Stream&) = delete;  // owns the stream
    Stream& operator=(const Stream&) = delete;
    [[nodiscard]] cudaStream_t get() const { return stream_; }
    void wait() const { check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

private:
    cudaStream_t stream_ = nullptr;
};

void launch(cudaStream_t stream, std::int64_t count = 1) {
    for (std::int64_t i = 0; i < count; ++i) empty_kernel<<<1, 32, 0, stream>>>();
    check(cudaGetLastError(), "launch");
}

}  // namespace

std::string why_no_gpu() {
    int count = 0;
    const cudaError_t result = cudaGetDeviceCount(&count);
    if (result != cudaSuccess) return cudaGetErrorString(result);
    return count > 0 ? "" : "no device";
}

void empty_kernels(std::int64_t count, int num_streams) {
    std::vector<Stream> streams(static_cast<std::size_t>(num_streams));
    for (std::int64_t i = 0; i < count; ++i) {
        empty_kernel<<<1, 32, 0, streams[static_cast<std::size_t>(i) % streams.size()].get()>>>();
    }
    check(cudaGetLastError(), "launch");
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
}

double time_kernels(std::int64_t count) {
    Stream stream;
    launch(stream.get(), 2000);
    stream.wait();
    const auto begin = std::chrono::steady_clock::now();
    launch(stream.get(), count);
    stream.wait();
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
    return took.count() / static_cast<double>(count);
}

double time_graph(int num_kernels, int count) {
    Stream stream;
    check(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeGlobal), "begin capture");
    launch(stream.get(), num_kernels);
    cudaGraph_t captured = nullptr;
    cudaGraphExec_t executable = nullptr;
    check(cudaStreamEndCapture(stream.get(), &captured), "end capture");
    check(cudaGraphInstantiate(&executable, captured, 0), "cudaGraphInstantiate");
    std::vector<double> times;
    for (int i = 0; i < count + 10; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        check(cudaGraphLaunch(executable, stream.get()), "cudaGraphLaunch");
        stream.wait();
        const std::chrono::duration<double, std::micro> took =
            std::chrono::steady_clock::now() - begin;
        if (i >= 10) times.push_back(took.count());
    }
    cudaGraphExecDestroy(executable);
    cudaGraphDestroy(captured);
    std::nth_element(times.begin(), times.begin() + count / 2, times.end());
    return times[static_cast<std::size_t>(count / 2)];
}

void copies() {
    constexpr std::size_t kBytes = 1 << 20;
    Stream stream;
    void *pinned = nullptr, *device = nullptr, *other = nullptr;
    check(cudaMallocHost(&pinned, kBytes), "cudaMallocHost");
    check(cudaMalloc(&device, kBytes), "cudaMalloc");
    check(cudaMalloc(&other, kBytes), "cudaMalloc");
    const std::vector<char> pageable(kBytes / 8, 'p');
    const auto copy = [&](void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
        check(cudaMemcpyAsync(to, from, bytes, kind, stream.get()), "cudaMemcpyAsync");
    };
    copy(device, pinned, kBytes, cudaMemcpyHostToDevice);
    copy(pinned, device, kBytes / 2, cudaMemcpyDeviceToHost);
    copy(other, device, kBytes / 4, cudaMemcpyDeviceToDevice);
    copy(device, pageable.data(), kBytes / 8, cudaMemcpyHostToDevice);
    check(cudaMemsetAsync(device, 0x5a, kBytes / 16, stream.get()), "cudaMemsetAsync");
    stream.wait();
    cudaFree(device);
    cudaFree(other);
    cudaFreeHost(pinned);
}

void allocation() {
    void* memory = nullptr;
    check(cudaMalloc(&memory, 3 << 20), "cudaMalloc");
    check(cudaFree(memory), "cudaFree");
}

void graph(int num_kernels, int num_launches, const std::function<void(int)>& before) {
    Stream stream;
    int* value = nullptr;
    check(cudaMalloc(&value, sizeof(int)), "cudaMalloc");
    check(cudaMemset(value, 0, sizeof(int)), "cudaMemset");
    check(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeGlobal), "begin capture");
    for (int i = 0; i < num_kernels; ++i) {
        if (before) before(i);
        small_kernel<<<1, 1, 0, stream.get()>>>(value);
    }
    if (before) before(-1);
    cudaGraph_t captured = nullptr;
    cudaGraphExec_t executable = nullptr;
    check(cudaStreamEndCapture(stream.get(), &captured), "end capture");
    check(cudaGraphInstantiate(&executable, captured, 0), "cudaGraphInstantiate");
    for (int i = 0; i < num_launches; ++i) {
        check(cudaGraphLaunch(executable, stream.get()), "cudaGraphLaunch");
    }
    stream.wait();
    int result = 0;
    check(cudaMemcpy(&result, value, sizeof(int), cudaMemcpyDeviceToHost), "cudaMemcpy");
    cudaGraphExecDestroy(executable);
    cudaGraphDestroy(captured);
    cudaFree(value);
    if (result != num_kernels * num_launches) throw std::runtime_error("the graph ran otherwise");
}

void nested_ranges(int count) {
    Stream stream;
    const nvtxDomainHandle_t domain = nvtxDomainCreateA("hcprof test");
    nvtxDomainNameCategoryA(domain, 7, "kinds");
    nvtxEventAttributes_t event = {};
    event.version = NVTX_VERSION;
    event.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
    event.category = 7;
    event.colorType = NVTX_COLOR_ARGB;
    event.color = 0xff00ff00;
    event.payloadType = NVTX_PAYLOAD_TYPE_INT64;
    event.payload.llValue = 42;
    event.messageType = NVTX_MESSAGE_TYPE_ASCII;
    event.message.ascii = "mark";
    nvtxDomainMarkEx(domain, &event);
    nvtxRangePushA("outer");
    for (int i = 0; i < count; ++i) {
        nvtxRangePushA(("inner " + std::to_string(i)).c_str());
        launch(stream.get());
        nvtxRangePop();
    }
    nvtxRangePop();
    stream.wait();
}

void ranges_of_threads(int num_threads, int count) {
    launch(nullptr);
    std::vector<std::thread> threads;
    for (int i = 0; i < num_threads; ++i) {
        threads.emplace_back([count] {
            Stream stream;
            for (int range = 0; range < count; ++range) {
                nvtxRangePushA("work");
                launch(stream.get());
                nvtxRangePop();
            }
            stream.wait();
        });
    }
    for (std::thread& thread : threads) thread.join();
}

void ranges_across_threads(int count) {
    launch(nullptr);
    std::vector<nvtxRangeId_t> ranges;
    for (int i = 0; i < count; ++i) ranges.push_back(nvtxRangeStartA("handover"));
    std::thread([&ranges] {
        for (const nvtxRangeId_t range : ranges) nvtxRangeEnd(range);
    }).join();
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
}

void kernels_around_range() {
    Stream stream;
    launch(stream.get(), 3);
    stream.wait();
    for (const int inside : {5, 11}) {
        nvtxRangePushA("capture me");
        launch(stream.get(), inside);
        stream.wait();
        nvtxRangePop();
        if (inside == 5) launch(stream.get(), 7);
        stream.wait();
    }
}

void names() {
    Stream stream;
    nvtxNameOsThreadA(static_cast<std::uint32_t>(::syscall(SYS_gettid)), "workload main");
    nvtxNameCudaStreamA(stream.get(), "workload stream");
    launch(stream.get());
    float* value = nullptr;
    check(cudaMalloc(&value, sizeof(float)), "cudaMalloc");
    templated_kernel<float><<<1, 1, 0, stream.get()>>>(value);
    stream.wait();
    cudaFree(value);
}

void killed(std::int64_t count, double seconds) {
    empty_kernels(count, 1);
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    ::raise(SIGKILL);
    std::abort();
}

void forks() {
    Stream stream;
    launch(stream.get(), 10);
    stream.wait();
    const pid_t child = ::fork();
    if (child == 0) std::exit(0);  // runs what is registered for exit: ours must keep still
    int status = 0;
    ::waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        throw std::runtime_error("the child did not end well");
    }
    launch(stream.get(), 10);
    stream.wait();
}

}  // namespace hc::workload
