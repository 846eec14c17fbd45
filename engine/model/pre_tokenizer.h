/// Cuts a text into the pieces within which byte pairs are merged.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "engine/model/tokenizer.h"

namespace hc::model {

/// Immutable after construction: may be shared by threads.
class PreTokenSplitter {
public:
    explicit PreTokenSplitter(PreTokenizer kind);
    ~PreTokenSplitter();
    PreTokenSplitter(const PreTokenSplitter&) = delete;
    PreTokenSplitter& operator=(const PreTokenSplitter&) = delete;

    /// Calls `piece` with each piece in order; together they are `text`, which must be UTF-8.
    void split(std::string_view text, const std::function<void(std::string_view)>& piece) const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace hc::model
