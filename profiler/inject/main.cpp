/// The two functions that libhcprof-inject.so exports: what the CUDA driver calls at cuInit
/// (CUDA_INJECTION64_PATH), and what NVTX calls at its first call in each library
/// (NVTX_INJECTION64_PATH).
#include <pthread.h>

#include <cstdlib>
#include <new>

#include "profiler/inject/injection.h"

namespace {

/// One for the process, since neither entry point can be handed anything; never destroyed, since
/// the program's threads may call in until the very end.
hc::inject::Injection& injection() {
    static hc::inject::Injection* const only = [] {
        auto* made = new hc::inject::Injection;
        ::pthread_atfork(nullptr, nullptr, [] { injection().abandon_after_fork(); });
        return made;
    }();
    return *only;
}

/// Starts the recording and has it finished at exit. What is registered last runs first there: it
/// must come after CUPTI has been loaded, or CUPTI's own end comes before ours.
void start() {
    injection().start();
    static const bool registered = std::atexit([] { injection().finish(); }) == 0;
    static_cast<void>(registered);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int InitializeInjection() {
    start();
    return 1;
}

extern "C" __attribute__((visibility("default"))) int InitializeInjectionNvtx2(
    void* get_export_table) {
    start();
    // 0 tells NVTX to switch itself off, for which the program is none the worse.
    return injection().attach_nvtx(get_export_table) ? 1 : 0;
}
