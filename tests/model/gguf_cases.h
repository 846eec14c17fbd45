/// What the tests of the GGUF reader share.
#pragma once

#include <gtest/gtest.h>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "engine/core/error.h"
#include "engine/model/gguf_model.h"

namespace hc::model {

inline std::span<const std::byte> as_bytes(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

/// Loads a model from memory and returns the error's text; empty when it loads. Every error
/// must be one line of kind kInput that names the file.
inline std::string load_error(const std::string& file) {
    try {
        (void)model_from_gguf(as_bytes(file), "some.gguf");
    } catch (const Error& error) {
        const std::string message = error.what();
        EXPECT_EQ(error.code(), ExitCode::kInput) << message;
        EXPECT_TRUE(message.starts_with("'some.gguf': ")) << message;
        EXPECT_EQ(message.find('\n'), std::string::npos) << message;
        return message;
    }
    return {};
}

}  // namespace hc::model
