// Linked into programs of HC_PORTABLE: what the compiler's library would take from a newer libc.
#include <sys/random.h>

#include <cstdint>
#include <cstdlib>

/// libstdc++ built against glibc 2.36 draws std::random_device from this; with ours the programs
/// run on 2.35 as well, which is Ubuntu 22.04's.
extern "C" std::uint32_t arc4random() noexcept {
    std::uint32_t value = 0;
    // Up to 256 bytes come whole; only a signal before the pool is ready interrupts.
    while (getrandom(&value, sizeof value, 0) != static_cast<ssize_t>(sizeof value)) {
    }
    return value;
}
