// What the CUDA driver and a program would do, without either: loads CUDA_INJECTION64_PATH as cuInit
// does, makes NVTX calls, and asks the double of libcupti (HCPROF_CUPTI) for records.
//
// stub_victim COUNT [end]: end is one of exit (default), kill, abort, fork, exec, signal.
#include <dlfcn.h>
#include <nvtx3/nvToolsExt.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

namespace {

volatile sig_atomic_t caught = 0;

void launch(int count) {
    void* cupti = ::dlopen(std::getenv("HCPROF_CUPTI"), RTLD_NOW | RTLD_NOLOAD);
    if (cupti == nullptr) return;
    const auto function = reinterpret_cast<void (*)(int)>(::dlsym(cupti, "stub_launch"));
    if (function != nullptr) function(count);
}

void inject() {
    const char* path = std::getenv("CUDA_INJECTION64_PATH");
    if (path == nullptr) return;
    void* library = ::dlopen(path, RTLD_NOW);
    if (library == nullptr) {
        std::fprintf(stderr, "stub_victim: %s\n", ::dlerror());
        std::exit(9);
    }
    reinterpret_cast<int (*)()>(::dlsym(library, "InitializeInjection"))();
}

void sleep_ms(int milliseconds) {
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

}  // namespace

int main(int argc, char** argv) {
    const int count = argc > 1 ? std::atoi(argv[1]) : 10;
    const std::string end = argc > 2 ? argv[2] : "exit";
    if (end == "signal") ::signal(SIGUSR1, [](int) { caught = 1; });
    inject();
    nvtxRangePushA("outer");
    launch(count / 2);
    nvtxRangePushA("inner");
    launch(count - count / 2);
    nvtxRangePop();
    nvtxRangePop();
    if (end == "kill") {
        sleep_ms(1200);
        ::raise(SIGKILL);
    }
    if (end == "abort") {
        sleep_ms(1200);
        std::abort();
    }
    if (end == "fork") {
        const pid_t child = ::fork();
        if (child == 0) {
            nvtxRangePushA("child");
            launch(1000);
            std::exit(0);
        }
        int status = 0;
        ::waitpid(child, &status, 0);
        if (status != 0) return 8;
    }
    if (end == "exec") {
        ::execl("/proc/self/exe", argv[0], "6", nullptr);
        return 8;
    }
    if (end == "signal") {
        for (int i = 0; i < 100; ++i) {
            caught = 0;
            ::kill(::getpid(), SIGUSR1);  // any thread that does not block it may get it
            for (int wait = 0; caught == 0 && wait < 1000; ++wait) sleep_ms(1);
            if (caught == 0) return 8;
        }
    }
    return end == "exit" ? 0 : 7;
}
