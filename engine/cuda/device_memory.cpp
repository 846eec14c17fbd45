#include "engine/cuda/device_memory.h"

#include <cuda.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "engine/core/error.h"

namespace hc::cuda {
namespace {

/// The driver's own interface, looked up through the runtime so that nothing links libcuda: a
/// program starts on a machine without a driver and says so.
template <typename Function>
Function driver(const char* name) {
    void* entry = nullptr;
    cudaDriverEntryPointQueryResult result{};
    const cudaError_t status =
        cudaGetDriverEntryPointByVersion(name, &entry, 12000, cudaEnableDefault, &result);
    if (status != cudaSuccess || result != cudaDriverEntryPointSuccess || entry == nullptr) {
        throw_unavailable(fmt::format("cuda: the driver has no {}: it is too old", name));
    }
    return reinterpret_cast<Function>(entry);
}

struct Driver {
    decltype(&cuMemAddressReserve) reserve =
        driver<decltype(&cuMemAddressReserve)>("cuMemAddressReserve");
    decltype(&cuMemAddressFree) free_address =
        driver<decltype(&cuMemAddressFree)>("cuMemAddressFree");
    decltype(&cuMemCreate) create = driver<decltype(&cuMemCreate)>("cuMemCreate");
    decltype(&cuMemRelease) release = driver<decltype(&cuMemRelease)>("cuMemRelease");
    decltype(&cuMemMap) map = driver<decltype(&cuMemMap)>("cuMemMap");
    decltype(&cuMemUnmap) unmap = driver<decltype(&cuMemUnmap)>("cuMemUnmap");
    decltype(&cuMemSetAccess) access = driver<decltype(&cuMemSetAccess)>("cuMemSetAccess");
    decltype(&cuMemGetAllocationGranularity) granularity =
        driver<decltype(&cuMemGetAllocationGranularity)>("cuMemGetAllocationGranularity");
};

void check_driver(CUresult status, const char* what) {
    if (status == CUDA_SUCCESS) return;
    if (status == CUDA_ERROR_OUT_OF_MEMORY) {
        throw_refused(fmt::format("cuda: {}: out of device memory", what));
    }
    throw_unavailable(fmt::format("cuda: {}: driver error {}", what, static_cast<int>(status)));
}

CUmemAllocationProp device_memory_of(int device) {
    CUmemAllocationProp properties{};
    properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    properties.location.id = device;
    return properties;
}

}  // namespace

void check(cudaError_t status, const char* what) {
    if (status == cudaSuccess) return;
    static_cast<void>(cudaGetLastError());  // or the next launch would report it again
    const std::string message = fmt::format("cuda: {}: {}", what, cudaGetErrorString(status));
    if (status == cudaErrorMemoryAllocation) throw_refused(message);
    throw_unavailable(message);
}

DeviceBuffer::DeviceBuffer(MemoryLedger& ledger, std::string name, std::int64_t bytes)
    : ledger_(&ledger), name_(std::move(name)), bytes_(bytes) {
    if (bytes == 0) return;
    const cudaError_t status = cudaMalloc(&data_, static_cast<std::size_t>(bytes));
    if (status != cudaSuccess) {
        check(status, fmt::format("{} bytes of device memory for {}", bytes, name_).c_str());
    }
    ledger.add(name_, bytes);
}

DeviceBuffer::~DeviceBuffer() {
    release();
}

DeviceBuffer::DeviceBuffer(DeviceBuffer&& other) noexcept {
    *this = std::move(other);
}

DeviceBuffer& DeviceBuffer::operator=(DeviceBuffer&& other) noexcept {
    if (this == &other) return *this;
    release();
    ledger_ = other.ledger_;
    name_ = std::move(other.name_);
    data_ = std::exchange(other.data_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
    return *this;
}

void DeviceBuffer::release() noexcept {
    if (data_ == nullptr) return;
    static_cast<void>(cudaFree(data_));
    ledger_->add(name_, -bytes_);
    data_ = nullptr;
    bytes_ = 0;
}

PinnedBuffer::PinnedBuffer(MemoryLedger& ledger, std::string name, std::int64_t bytes)
    : ledger_(&ledger), name_(std::move(name)), bytes_(bytes) {
    if (bytes == 0) return;
    const cudaError_t status = cudaHostAlloc(&host_, static_cast<std::size_t>(bytes),
                                             cudaHostAllocMapped | cudaHostAllocPortable);
    if (status != cudaSuccess) {
        check(status, fmt::format("{} bytes of pinned host memory for {}", bytes, name_).c_str());
    }
    ledger.add(name_, bytes);
    check(cudaHostGetDevicePointer(&device_, host_, 0), "address of pinned memory");
}

PinnedBuffer::~PinnedBuffer() {
    release();
}

PinnedBuffer::PinnedBuffer(PinnedBuffer&& other) noexcept {
    *this = std::move(other);
}

PinnedBuffer& PinnedBuffer::operator=(PinnedBuffer&& other) noexcept {
    if (this == &other) return *this;
    release();
    ledger_ = other.ledger_;
    name_ = std::move(other.name_);
    host_ = std::exchange(other.host_, nullptr);
    device_ = std::exchange(other.device_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
    return *this;
}

void PinnedBuffer::release() noexcept {
    if (host_ == nullptr) return;
    static_cast<void>(cudaFreeHost(host_));
    ledger_->add(name_, -bytes_);
    host_ = nullptr;
    device_ = nullptr;
    bytes_ = 0;
}

struct GrowableMemory::Chunks {
    struct Chunk {
        CUmemGenericAllocationHandle handle;
        std::int64_t bytes;
    };
    Driver driver;
    std::vector<Chunk> list;
};

GrowableMemory::GrowableMemory(MemoryLedger& ledger, std::string name, std::int64_t most_bytes)
    : ledger_(&ledger), name_(std::move(name)) {
    check(cudaGetDevice(&device_), "cudaGetDevice");
    check(cudaFree(nullptr), "starting the device");
    auto chunks = std::make_unique<Chunks>();
    const CUmemAllocationProp properties = device_memory_of(device_);
    std::size_t granularity = 0;
    check_driver(
        chunks->driver.granularity(&granularity, &properties, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED),
        "allocation granularity");
    granularity_ = static_cast<std::int64_t>(granularity);
    most_ = (most_bytes + granularity_ - 1) / granularity_ * granularity_;
    CUdeviceptr address = 0;
    check_driver(chunks->driver.reserve(&address, static_cast<std::size_t>(most_), 0, 0, 0),
                 "reserving addresses");
    address_ = address;
    chunks_ = std::move(chunks);
}

GrowableMemory::~GrowableMemory() {
    std::int64_t at = 0;
    for (const Chunks::Chunk& chunk : chunks_->list) {
        chunks_->driver.unmap(address_ + static_cast<unsigned long long>(at),
                              static_cast<std::size_t>(chunk.bytes));
        chunks_->driver.release(chunk.handle);
        at += chunk.bytes;
    }
    chunks_->driver.free_address(address_, static_cast<std::size_t>(most_));
    ledger_->add(name_, -backed_);
}

void GrowableMemory::grow(std::int64_t bytes) {
    if (bytes <= backed_) return;
    if (bytes > most_) {
        throw_refused(
            fmt::format("cuda: {} needs {} bytes, {} addresses are reserved", name_, bytes, most_));
    }
    const std::int64_t more = (bytes - backed_ + granularity_ - 1) / granularity_ * granularity_;
    const CUmemAllocationProp properties = device_memory_of(device_);
    CUmemGenericAllocationHandle handle = 0;
    check_driver(chunks_->driver.create(&handle, static_cast<std::size_t>(more), &properties, 0),
                 fmt::format("{} more bytes for {}", more, name_).c_str());
    const unsigned long long at = address_ + static_cast<unsigned long long>(backed_);
    const CUresult mapped = chunks_->driver.map(at, static_cast<std::size_t>(more), 0, handle, 0);
    if (mapped != CUDA_SUCCESS) {
        chunks_->driver.release(handle);
        check_driver(mapped, "mapping device memory");
    }
    CUmemAccessDesc access{};
    access.location = properties.location;
    access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    const CUresult open = chunks_->driver.access(at, static_cast<std::size_t>(more), &access, 1);
    if (open != CUDA_SUCCESS) {
        chunks_->driver.unmap(at, static_cast<std::size_t>(more));
        chunks_->driver.release(handle);
        check_driver(open, "opening device memory");
    }
    chunks_->list.push_back({handle, more});
    backed_ += more;
    ledger_->add(name_, more);
}

}  // namespace hc::cuda
