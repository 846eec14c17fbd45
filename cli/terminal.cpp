#include "cli/terminal.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/format.h"
#include "engine/core/clock.h"

namespace hc::cli {
namespace {

constexpr std::int64_t kAppearAfterNs = 1'000'000'000;
constexpr std::int64_t kRedrawNs = 100'000'000;

}  // namespace

bool is_terminal(int fd) {
    const char* term = std::getenv("TERM");
    return ::isatty(fd) == 1 && (term == nullptr || std::strcmp(term, "dumb") != 0);
}

int terminal_width(int fd) {
    winsize size{};
    if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    if (const char* columns = std::getenv("COLUMNS")) {
        const int width = std::atoi(columns);
        if (width > 0) return width;
    }
    // Into a pipe or a file nothing wraps: leave room for wide tables.
    return ::isatty(fd) == 1 ? 80 : 200;
}

std::size_t display_width(std::string_view text) {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
    }));
}

ProgressBar::ProgressBar(const std::atomic<bool>* interrupted, bool quiet)
    : interrupted_(interrupted), enabled_(!quiet && is_terminal(STDERR_FILENO)) {}

ProgressBar::~ProgressBar() { erase(); }

void ProgressBar::begin(std::string_view what, std::int64_t total) {
    erase();
    what_ = what;
    total_ = total;
    start_ns_ = now_ns();
    drawn_ns_ = 0;
}

void ProgressBar::update(std::int64_t done) {
    if (!enabled_) return;
    const std::int64_t now = now_ns();
    if (now - start_ns_ < kAppearAfterNs || now - drawn_ns_ < kRedrawNs) return;
    drawn_ns_ = now;
    draw(done);
}

void ProgressBar::draw(std::int64_t done) {
    const int width = std::max(20, terminal_width(STDERR_FILENO));
    const double seconds = static_cast<double>(now_ns() - start_ns_) * 1e-9;
    std::string line;
    if (total_ > 0) {
        const double share = std::clamp(static_cast<double>(done) / static_cast<double>(total_), 0.0, 1.0);
        const double left = share > 0 ? seconds * (1 - share) / share : 0;
        const std::string tail = fmt::format(" {:3.0f} %  {:.0f} s left", share * 100, left);
        const int room = width - static_cast<int>(display_width(what_) + tail.size()) - 4;
        if (room >= 8) {
            const int full = static_cast<int>(share * room);
            line = fmt::format("{} [{:#<{}}{:.<{}}]{}", what_, "", full, "", room - full, tail);
        } else {
            line = what_ + tail;
        }
    } else {
        line = fmt::format("{}  {:.0f} s", what_, seconds);
    }
    if (static_cast<int>(line.size()) > width - 1) line.resize(static_cast<std::size_t>(width - 1));
    fmt::print(stderr, "\r\x1b[2K{}", line);
    std::fflush(stderr);
    visible_ = true;
}

void ProgressBar::erase() {
    if (!visible_) return;
    fmt::print(stderr, "\r\x1b[2K");
    std::fflush(stderr);
    visible_ = false;
}

void ProgressBar::end() { erase(); }

bool ProgressBar::cancelled() const {
    return interrupted_ != nullptr && interrupted_->load(std::memory_order_relaxed);
}

}  // namespace hc::cli
