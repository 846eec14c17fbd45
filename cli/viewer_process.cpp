#include "cli/viewer_process.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/core/error.h"

namespace hc::cli {
namespace {

std::string viewer_path(const std::string& program_dir) { return program_dir + "/hcprof-view"; }

pid_t spawn(const std::string& program_dir, const std::vector<std::string>& arguments) {
    const std::string path = viewer_path(program_dir);
    if (!viewer_built(program_dir)) {
        throw_unavailable("the viewer is not built (expected '" + path + "'): install qt6-base-dev and build again");
    }
    std::vector<char*> argv{const_cast<char*>(path.c_str())};
    for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    pid_t pid = 0;
    const int error = ::posix_spawn(&pid, path.c_str(), nullptr, nullptr, argv.data(), environ);
    if (error != 0) throw_unavailable("cannot start '" + path + "': " + std::strerror(error));
    return pid;
}

}  // namespace

int run_viewer(const std::string& program_dir, const std::vector<std::string>& arguments) {
    const pid_t pid = spawn(program_dir, arguments);
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) throw_unavailable(std::string("lost the viewer: ") + std::strerror(errno));
    }
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    throw Error(ExitCode::kBug, "the viewer was ended by signal " + std::to_string(WTERMSIG(status)));
}

void start_viewer(const std::string& program_dir, const std::vector<std::string>& arguments) {
    static_cast<void>(spawn(program_dir, arguments));
}

bool viewer_built(const std::string& program_dir) { return ::access(viewer_path(program_dir).c_str(), X_OK) == 0; }

bool display_available() {
    for (const char* name : {"DISPLAY", "WAYLAND_DISPLAY"}) {
        const char* value = std::getenv(name);
        if (value != nullptr && *value != '\0') return true;
    }
    return false;
}

}  // namespace hc::cli
