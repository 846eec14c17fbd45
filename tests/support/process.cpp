#include "tests/support/process.h"

#include <algorithm>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/paths.h"

namespace hc::test {
namespace {

std::string read_all(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

int ProcessResult::error_lines() const { return static_cast<int>(std::count(err.begin(), err.end(), '\n')); }

ProcessResult run_process(const std::vector<std::string>& arguments, const std::vector<std::string>& environment) {
    const TemporaryFolder folder;
    const std::string out = (folder.path() / "out").string();
    const std::string err = (folder.path() / "err").string();
    const pid_t child = ::fork();
    if (child == 0) {
        ::close(0);
        if (::open("/dev/null", O_RDONLY) != 0) ::_exit(126);
        ::dup2(::open(out.c_str(), O_WRONLY | O_CREAT, 0600), 1);
        ::dup2(::open(err.c_str(), O_WRONLY | O_CREAT, 0600), 2);
        for (const std::string& entry : environment) ::putenv(const_cast<char*>(entry.c_str()));
        std::vector<char*> argv;
        for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
        argv.push_back(nullptr);
        ::execv(argv[0], argv.data());
        ::_exit(127);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    ProcessResult result;
    result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    result.out = read_all(out);
    result.err = read_all(err);
    return result;
}

std::string built_program(const std::string& name) {
    const char* folder = std::getenv("HC_TEST_BIN");
    return (folder != nullptr ? std::filesystem::path(folder) : std::filesystem::read_symlink("/proc/self/exe").parent_path()) / name;
}

}  // namespace hc::test
