/// What we know of the place where text appears, and the progress bar on it.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/core/progress.h"

namespace hc::cli {

/// True when `fd` is a terminal that understands control sequences.
[[nodiscard]] bool is_terminal(int fd);
/// Columns of the terminal: 80 where unknown, 200 where `fd` is none.
[[nodiscard]] int terminal_width(int fd);
/// Columns that `text` takes; counts code points, which is right for what we print.
[[nodiscard]] std::size_t display_width(std::string_view text);

/// A bar on stderr that appears only when the work takes longer than a second and stderr is a
/// terminal. Becomes cancelled when the flag is set (by Ctrl-C).
class ProgressBar final : public Progress {
public:
    /// `interrupted` (may be null) is borrowed.
    explicit ProgressBar(const std::atomic<bool>* interrupted, bool quiet = false);
    ~ProgressBar() override;
    void begin(std::string_view what, std::int64_t total) override;
    void update(std::int64_t done) override;
    void end() override;
    [[nodiscard]] bool cancelled() const override;

private:
    void draw(std::int64_t done);
    void erase();

    const std::atomic<bool>* interrupted_;
    const bool enabled_;
    std::string what_;
    std::int64_t total_ = 0;
    std::int64_t start_ns_ = 0;
    std::int64_t drawn_ns_ = 0;
    bool visible_ = false;
};

}  // namespace hc::cli
