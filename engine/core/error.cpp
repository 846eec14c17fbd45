#include "engine/core/error.h"

#include <cstdio>
#include <cstdlib>

namespace hc::detail {

void check_failed(const char* condition, const char* file, int line) {
    std::fprintf(stderr, "hcprof: internal check failed: %s (%s:%d)\n", condition, file, line);
    std::abort();
}

}  // namespace hc::detail
