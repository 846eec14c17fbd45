/// Memory on cache-line boundaries, left uninitialised: pages that nobody touches cost nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace hc::kernels::cpu {

inline constexpr std::size_t kCacheLine = 64;

struct AlignedDelete {
    void operator()(void* p) const noexcept { ::operator delete (p, std::align_val_t{kCacheLine}); }
};

template <typename T>
using AlignedBuffer = std::unique_ptr<T[], AlignedDelete>;

template <typename T>
[[nodiscard]] AlignedBuffer<T> make_aligned(std::int64_t count) {
    const auto bytes = static_cast<std::size_t>(count) * sizeof(T);
    return AlignedBuffer<T>(static_cast<T*>(::operator new (bytes, std::align_val_t{kCacheLine})));
}

}  // namespace hc::kernels::cpu
