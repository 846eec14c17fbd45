#include "tests/support/tiny_model.h"

#include <cmath>
#include <random>
#include <utility>
#include <vector>

#include "engine/core/error.h"

namespace hc::test {
namespace {

constexpr int kFirstSpecial = 256;
constexpr int kFirstFiller = 262;

/// UTF-8 of the character that spells `byte` in byte-level vocabularies: printable Latin-1
/// stands for itself, the other bytes count up from U+0100.
std::vector<std::string> byte_spellings() {
    std::vector<std::string> spellings;
    unsigned next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
        const bool same = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
        const unsigned code = same ? byte : next++;
        std::string text;
        if (code < 0x80) {
            text += static_cast<char>(code);
        } else {
            text += static_cast<char>(0xC0 | (code >> 6));
            text += static_cast<char>(0x80 | (code & 0x3F));
        }
        spellings.push_back(text);
    }
    return spellings;
}

/// Random weights; std::uniform_*_distribution differs between libraries, so numbers are made
/// from the raw bits.
class Weights {
public:
    explicit Weights(std::uint64_t seed) : random_(seed) {}

    std::vector<float> uniform(std::int64_t count, double centre, double half_width) {
        std::vector<float> values;
        for (std::int64_t i = 0; i < count; ++i) {
            const double unit = static_cast<double>(random_() >> 11) * 0x1p-53;
            values.push_back(static_cast<float>(centre + half_width * (2 * unit - 1)));
        }
        return values;
    }

    /// Blocks of 32: an fp16 scale, here a power of two near half_width / 127, and int8 values.
    std::string q8_0(std::int64_t count, double half_width) {
        const int exponent = static_cast<int>(std::lround(std::log2(half_width / 127)));
        const auto scale = static_cast<std::uint16_t>((exponent + 15) << 10);
        std::string data;
        for (std::int64_t i = 0; i < count; ++i) {
            if (i % 32 == 0) data += GgufBuilder::bytes_of(scale);
            const auto quant = static_cast<std::int8_t>(static_cast<int>(random_() % 255) - 127);
            data += GgufBuilder::bytes_of(quant);
        }
        return data;
    }

private:
    std::mt19937_64 random_;
};

class TinyModel {
public:
    explicit TinyModel(const TinyModelOptions& options) : o_(options), weights_(options.seed) {}

    GgufBuilder build() {
        add_shape();
        add_tokenizer();
        matrix("token_embd.weight", o_.vocab, o_.hidden);
        for (std::int64_t i = 0; i < o_.layers; ++i) add_layer("blk." + std::to_string(i) + ".");
        norm("output_norm.weight");
        if (!o_.tied) matrix("output.weight", o_.vocab, o_.hidden);
        return std::move(file_);
    }

private:
    void add_shape() {
        file_.add_string("general.architecture", o_.arch);
        file_.add_string("general.name", "tiny");
        const auto number = [this](const std::string& key, std::int64_t value) {
            file_.add_uint32(o_.arch + "." + key, static_cast<std::uint32_t>(value));
        };
        number("block_count", o_.layers);
        number("context_length", o_.context);
        number("embedding_length", o_.hidden);
        number("feed_forward_length", o_.mlp);
        number("attention.head_count", o_.heads);
        number("attention.head_count_kv", o_.kv_heads);
        number("attention.key_length", o_.head_dim);
        number("attention.value_length", o_.head_dim);
        file_.add_float32(o_.arch + ".attention.layer_norm_rms_epsilon", 1e-5F);
        file_.add_float32(o_.arch + ".rope.freq_base", 10000.0F);
    }

    void add_tokenizer() {
        const TinyVocabulary vocabulary = tiny_vocabulary(o_.vocab);
        std::vector<std::int32_t> types(vocabulary.tokens.size(), 1);
        for (std::size_t i = kFirstSpecial; i < kFirstSpecial + 3; ++i) types[i] = 3;
        file_.add_string("tokenizer.ggml.model", "gpt2");
        file_.add_string("tokenizer.ggml.pre", "smollm");
        file_.add_strings("tokenizer.ggml.tokens", vocabulary.tokens);
        file_.add_int32s("tokenizer.ggml.token_type", types);
        file_.add_strings("tokenizer.ggml.merges", vocabulary.merges);
        file_.add_uint32("tokenizer.ggml.bos_token_id", static_cast<std::uint32_t>(vocabulary.bos));
        file_.add_uint32("tokenizer.ggml.eos_token_id", static_cast<std::uint32_t>(vocabulary.eos));
        file_.add_bool("tokenizer.ggml.add_bos_token", false);
        file_.add_string("tokenizer.chat_template", vocabulary.chat_template);
    }

    void matrix(const std::string& name, std::int64_t rows, std::int64_t cols) {
        const double half_width = std::sqrt(3.0 / static_cast<double>(cols));
        const std::vector<std::uint64_t> dims = {static_cast<std::uint64_t>(cols),
                                                 static_cast<std::uint64_t>(rows)};
        if (o_.dtype == DType::kF32) {
            file_.add_tensor(name, dims, weights_.uniform(rows * cols, 0, half_width));
        } else {
            HC_CHECK(o_.dtype == DType::kQ8_0);
            HC_CHECK(cols % 32 == 0);
            file_.add_tensor(name, DType::kQ8_0, dims, weights_.q8_0(rows * cols, half_width));
        }
    }

    void vector(const std::string& name, std::int64_t size, double centre, double half_width) {
        file_.add_tensor(name, {static_cast<std::uint64_t>(size)},
                         weights_.uniform(size, centre, half_width));
    }

    void norm(const std::string& name) { vector(name, o_.hidden, 1, 0.25); }

    void add_layer(const std::string& block) {
        const std::int64_t q_rows = o_.heads * o_.head_dim;
        const std::int64_t kv_rows = o_.kv_heads * o_.head_dim;
        norm(block + "attn_norm.weight");
        matrix(block + "attn_q.weight", q_rows, o_.hidden);
        matrix(block + "attn_k.weight", kv_rows, o_.hidden);
        matrix(block + "attn_v.weight", kv_rows, o_.hidden);
        matrix(block + "attn_output.weight", o_.hidden, q_rows);
        if (o_.arch == "qwen2") {
            vector(block + "attn_q.bias", q_rows, 0, 0.5);
            vector(block + "attn_k.bias", kv_rows, 0, 0.5);
            vector(block + "attn_v.bias", kv_rows, 0, 0.5);
        }
        norm(block + "ffn_norm.weight");
        matrix(block + "ffn_gate.weight", o_.mlp, o_.hidden);
        matrix(block + "ffn_up.weight", o_.mlp, o_.hidden);
        matrix(block + "ffn_down.weight", o_.hidden, o_.mlp);
    }

    TinyModelOptions o_;
    Weights weights_;
    GgufBuilder file_;
};

}  // namespace

TinyVocabulary tiny_vocabulary(std::int64_t vocab) {
    TinyVocabulary vocabulary;
    std::vector<std::string>& tokens = vocabulary.tokens;
    tokens = byte_spellings();
    const std::string space = tokens[' '];
    for (const char* special : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) {
        tokens.emplace_back(special);
    }
    tokens.insert(tokens.end(), {space + "t", space + "th", space + "the"});
    HC_CHECK(vocab >= kFirstFiller);
    while (static_cast<std::int64_t>(tokens.size()) < vocab) {
        tokens.push_back("[filler" + std::to_string(tokens.size()) + "]");
    }
    vocabulary.merges = {space + " t", space + "t h", space + "th e"};
    vocabulary.first_control = kFirstSpecial;
    vocabulary.bos = kFirstSpecial + 1;
    vocabulary.eos = kFirstSpecial + 2;
    vocabulary.chat_template =
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}";
    return vocabulary;
}

GgufBuilder tiny_model(const TinyModelOptions& options) {
    return TinyModel(options).build();
}

std::filesystem::path write_tiny_model(const std::filesystem::path& folder,
                                       const TinyModelOptions& options) {
    const TinyModelOptions& o = options;
    std::string name = o.arch + (o.dtype == DType::kF32 ? "-f32" : "-q8") + (o.tied ? "-tied" : "");
    for (const std::int64_t number : {o.layers, o.hidden, o.heads, o.kv_heads, o.head_dim, o.mlp,
                                      o.vocab, o.context, static_cast<std::int64_t>(o.seed)}) {
        name += '-';
        name += std::to_string(number);
    }
    return tiny_model(options).write(folder / (name + ".gguf"));
}

}  // namespace hc::test
