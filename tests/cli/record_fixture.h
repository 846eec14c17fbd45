/// Runs `hcprof record` with the double of a recorded program (tests/cli/double), in a folder of
/// its own, to the end or in the background.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "profiler/trace/reader.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

namespace hc {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

inline std::string read_all(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

inline double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Waits up to 20 s; a machine under load is slow.
inline bool wait_until(const std::function<bool()>& condition) {
    const Clock::time_point start = Clock::now();
    while (seconds_since(start) < 20) {
        if (condition()) return true;
        ::usleep(5'000);
    }
    return false;
}

inline std::string shell_quoted(const std::vector<std::string>& words) {
    std::string out;
    for (const std::string& word : words) out += "'" + word + "' ";
    return out;
}

class Record : public ::testing::Test {
protected:
    Record()
        : hcprof_(test::built_program("hcprof")), double_(test::built_program("record_double")) {
        fs::create_directory(dir());
    }
    ~Record() override {
        if (running_ > 0) {
            ::kill(-running_, SIGKILL);
            int status = 0;
            ::waitpid(running_, &status, 0);
        }
    }

    /// The folder in which hcprof runs and that only it writes to.
    [[nodiscard]] fs::path dir() const { return folder_.path() / "work"; }
    [[nodiscard]] std::string output() const { return (dir() / "out.sqlite").string(); }

    [[nodiscard]] std::vector<std::string> command(const std::vector<std::string>& options,
                                                   const std::vector<std::string>& program) const {
        std::vector<std::string> out{hcprof_, "record"};
        out.insert(out.end(), options.begin(), options.end());
        out.emplace_back("--");
        out.insert(out.end(), program.begin(), program.end());
        return out;
    }
    /// Any file will do as the library: nothing here loads it.
    [[nodiscard]] std::vector<std::string> environment() const {
        return {"HCPROF_INJECT=" + double_};
    }
    [[nodiscard]] std::vector<std::string> doubled(std::vector<std::string> actions) const {
        actions.insert(actions.begin(), double_);
        return actions;
    }
    test::ProcessResult record(const std::vector<std::string>& options,
                               const std::vector<std::string>& program,
                               std::vector<std::string> more_environment = {}) const {
        std::vector<std::string> env = environment();
        env.insert(env.end(), more_environment.begin(), more_environment.end());
        // From its own folder, so that default names land there.
        std::vector<std::string> words{"/bin/sh", "-c", "cd \"$0\" && exec \"$@\"", dir().string()};
        for (std::string& word : command(options, program)) words.push_back(std::move(word));
        return test::run_process(words, env);
    }
    test::ProcessResult record_out(const std::vector<std::string>& actions,
                                   std::vector<std::string> options = {}) const {
        options.insert(options.begin(), {"-o", output()});
        return record(options, doubled(actions));
    }

    /// Starts in the background; `setup` runs in the child and sees to a process group of its own.
    void start(
        const std::vector<std::string>& options, const std::vector<std::string>& program,
        const std::function<void()>& setup = [] { ::setpgid(0, 0); }) {
        const std::vector<std::string> words = command(options, program);
        const std::string out = (folder_.path() / "out").string();
        const std::string err = (folder_.path() / "err").string();
        running_ = ::fork();
        if (running_ == 0) {
            ::dup2(::open("/dev/null", O_RDONLY), 0);
            ::dup2(::open(out.c_str(), O_WRONLY | O_CREAT, 0600), 1);
            ::dup2(::open(err.c_str(), O_WRONLY | O_CREAT, 0600), 2);
            setup();
            ::setenv("HCPROF_INJECT", double_.c_str(), 1);
            std::vector<char*> argv;
            for (const std::string& w : words) argv.push_back(const_cast<char*>(w.c_str()));
            argv.push_back(nullptr);
            ::execv(argv[0], argv.data());
            ::_exit(127);
        }
    }
    /// Its exit code, or nothing after 20 s.
    std::optional<int> finish() {
        int status = 0;
        if (!wait_until([&] { return ::waitpid(running_, &status, WNOHANG) == running_; })) {
            return std::nullopt;
        }
        running_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    [[nodiscard]] std::string out() const { return read_all(folder_.path() / "out"); }
    [[nodiscard]] std::string err() const { return read_all(folder_.path() / "err"); }
    [[nodiscard]] std::string marker() const { return (folder_.path() / "marker").string(); }
    [[nodiscard]] bool wait_for_marker() const {
        return wait_until([&] { return fs::exists(marker()) && fs::file_size(marker()) > 0; });
    }
    [[nodiscard]] pid_t marker_pid() const { return std::stoi(read_all(marker())); }

    /// Names in the working folder, hidden ones included.
    [[nodiscard]] std::set<std::string> files() const {
        std::set<std::string> out;
        for (const auto& entry : fs::directory_iterator(dir())) {
            out.insert(entry.path().filename().string());
        }
        return out;
    }
    [[nodiscard]] std::int64_t kernels(const fs::path& path) const {
        return trace::Trace(path).activity_counts().kernels;
    }

    const test::TemporaryFolder folder_;
    const std::string hcprof_, double_;
    pid_t running_ = -1;
};

}  // namespace hc
