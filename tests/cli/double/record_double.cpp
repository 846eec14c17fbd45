// A double, for tests of `hcprof record` on machines without a GPU: it is the recorded program and
// stands for libhcprof-inject.so in it. What the library would collect from CUPTI it makes up, and
// writes where and how the library does (profiler/inject/environment.h). Nothing here proves
// anything about CUDA.
//
// Its arguments are done in order; see `actions` below.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>

#include "engine/core/clock.h"
#include "profiler/trace/writer.h"

namespace {

using hc::trace::Writer;

volatile sig_atomic_t g_signals[65];

extern "C" void count_signal(int signal) {
    g_signals[signal] = g_signals[signal] + 1;
}

/// The pattern of environment.h: %p is the process id, %% a percent sign.
std::string expand(const char* pattern) {
    std::string out;
    for (const char* c = pattern; *c != '\0'; ++c) {
        if (*c == '%' && c[1] == 'p') {
            out += std::to_string(::getpid());
            ++c;
        } else if (*c == '%' && c[1] == '%') {
            out += '%';
            ++c;
        } else {
            out += *c;
        }
    }
    return out;
}

class Double {
public:
    void cuda(int kernels) {
        open();
        hc::trace::ActivityBatch batch;
        for (int i = 0; i < kernels; ++i) {
            const std::int64_t t = writer_->epoch_ns() + 1000 * (i + 1);
            batch.apis.push_back({.start_ns = t,
                                  .duration_ns = 100,
                                  .correlation_id = i + 1,
                                  .thread = hc::trace::global_thread_id(::getpid(), ::getpid()),
                                  .name = writer_->string_id("cudaLaunchKernel_v7000"),
                                  .api_class = 0,
                                  .result = 0});
            batch.kernels.push_back({.start_ns = t + 200,
                                     .duration_ns = 300,
                                     .correlation_id = i + 1,
                                     .graph_node_id = -1,
                                     .stream = stream_,
                                     .launch = launch_});
        }
        writer_->add_activity(batch);
        kernels_ += kernels;
        writer_->flush();
        write_status("recording", "");
    }

    /// One step with one fetch in it and its use, as docs/nvtx.md says.
    void retrieval() {
        open();
        const std::int64_t t = writer_->epoch_ns();
        const std::int64_t thread = hc::trace::global_thread_id(::getpid(), ::getpid());
        const std::int32_t domain = writer_->nvtx_domain(::getpid(), "hcprof");
        hc::trace::ActivityBatch batch;
        const auto range = [&](const char* text, std::int64_t start, std::int64_t end) {
            hc::trace::NvtxRow row;
            row.start_ns = t + start;
            row.duration_ns = end - start;
            row.thread = thread;
            row.name = writer_->string_id(text);
            row.domain = domain;
            batch.nvtx.push_back(row);
        };
        range("step id=1", 0, 1'000'000);
        range("fetch id=5 layer=2 rows=64 nonsense=1", 1000, 2000);
        range("use fetch=5", 3000, 4000);
        writer_->add_activity(batch);
        writer_->flush();
    }

    void write_status(const std::string& state, const std::string& reason) {
        const char* pattern = std::getenv("HCPROF_STATUS");
        if (pattern == nullptr) return;
        const std::string path = expand(pattern);
        std::ofstream(path + ".new")
            << "{\"pid\": " << ::getpid() << ", \"state\": \"" << state << "\", \"reason\": \""
            << reason
            << "\", \"executable\": \"/usr/bin/double\", \"rows\": {\"kernel\": " << kernels_
            << "}, \"lost\": {}}";
        std::filesystem::rename(path + ".new", path);
    }

    void lose(int count) {
        open();
        writer_->add_meta("lost_dropped", std::to_string(count));
    }

    void finish() {
        if (!writer_) return;
        writer_->finish();
        writer_.reset();
        write_status("finished", "");
    }

private:
    void open() {
        if (writer_) return;
        const char* output = std::getenv("HCPROF_OUTPUT");
        if (output == nullptr) {
            std::fprintf(stderr, "double: HCPROF_OUTPUT is not set\n");
            std::exit(99);
        }
        writer_ = std::make_unique<Writer>(expand(output), hc::trace::WriterOptions{});
        stream_ = writer_->stream_key({.key = 0,
                                       .pid = ::getpid(),
                                       .device = 0,
                                       .context = 1,
                                       .stream_id = 7,
                                       .name = "stream 7",
                                       .role = "other"});
        hc::trace::Launch launch;
        launch.name = launch.short_name = writer_->string_id("made_up_kernel");
        launch_ = writer_->launch_id(launch);
    }

    std::unique_ptr<Writer> writer_;
    hc::trace::StreamKey stream_ = -1;
    hc::trace::LaunchId launch_ = -1;
    int kernels_ = 0;
};

void trap(int signal) {
    struct sigaction action {};
    action.sa_handler = count_signal;
    ::sigaction(signal, &action, nullptr);
}

}  // namespace

int main(int argc, char** argv) {
    Double library;
    int exit_code = 0;
    const std::map<std::string, std::function<void(const std::string&)>> actions{
        {"cuda", [&](const std::string& n) { library.cuda(std::stoi(n)); }},
        {"retrieval", [&](const std::string&) { library.retrieval(); }},
        {"lose", [&](const std::string& n) { library.lose(std::stoi(n)); }},
        {"finish", [&](const std::string&) { library.finish(); }},
        {"fail", [&](const std::string& reason) { library.write_status("failed", reason); }},
        {"sleep", [](const std::string& ms) { ::usleep(1000U * std::stoul(ms)); }},
        {"out", [](const std::string& text) { std::cout << text << std::endl; }},
        {"err", [](const std::string& text) { std::cerr << text << std::endl; }},
        {"cat", [](const std::string&) { std::cout << std::cin.rdbuf() << std::flush; }},
        {"env",
         [](const std::string& name) {
             const char* value = std::getenv(name.c_str());
             std::cout << name << '=' << (value == nullptr ? "(unset)" : value) << std::endl;
         }},
        {"ignored",
         [](const std::string& signal) {
             struct sigaction action {};
             ::sigaction(std::stoi(signal), nullptr, &action);
             sigset_t mask;
             ::sigprocmask(SIG_BLOCK, nullptr, &mask);
             std::cout << signal << (action.sa_handler == SIG_IGN ? " ignored" : " default")
                       << (::sigismember(&mask, std::stoi(signal)) == 1 ? " blocked" : "")
                       << std::endl;
         }},
        {"trap", [](const std::string& signal) { trap(std::stoi(signal)); }},
        {"touch", [](const std::string& path) { std::ofstream(path) << ::getpid() << '\n'; }},
        // Waits for a trapped signal, a moment longer for more, and says how often it came.
        {"await",
         [](const std::string& signal) {
             const int number = std::stoi(signal);
             for (int i = 0; i < 1000 && g_signals[number] == 0; ++i) ::usleep(10'000);
             ::usleep(300'000);
             std::cout << "signal " << number << " came " << g_signals[number] << " times"
                       << std::endl;
         }},
        {"close", [](const std::string& fd) { ::close(std::stoi(fd)); }},
        {"kill", [](const std::string& signal) { ::kill(::getpid(), std::stoi(signal)); }},
        {"exit", [&](const std::string& code) { exit_code = std::stoi(code); }},
        // Ends at once, as a program that calls _exit(): nothing is finished.
        {"quit", [](const std::string& code) { ::_exit(std::stoi(code)); }},
    };
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        const std::size_t equals = word.find('=');
        const auto action = actions.find(word.substr(0, equals));
        if (action == actions.end()) {
            std::fprintf(stderr, "double: no action '%s'\n", argv[i]);
            return 98;
        }
        action->second(equals == std::string::npos ? "" : word.substr(equals + 1));
    }
    library.finish();
    return exit_code;
}
