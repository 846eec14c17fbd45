/// Where long work says how far it is. The CLI draws a bar, the viewer a dialog, tests nothing.
#pragma once

#include <cstdint>
#include <string_view>

namespace hc {

class Progress {
public:
    virtual ~Progress() = default;
    /// A new piece of work of `total` units begins (0: not known). Ends the one before.
    virtual void begin(std::string_view what, std::int64_t total) = 0;
    /// `done` units of the current piece are finished.
    virtual void update(std::int64_t done) = 0;
    virtual void end() = 0;
    /// True when the user asked to stop; long work polls it and throws Error(kInterrupted).
    [[nodiscard]] virtual bool cancelled() const { return false; }
};

/// Shows nothing.
class NoProgress final : public Progress {
public:
    void begin(std::string_view, std::int64_t) override {}
    void update(std::int64_t) override {}
    void end() override {}
};

}  // namespace hc
