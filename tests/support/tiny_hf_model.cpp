// The small random model of tiny_model.h as a Hugging Face folder.
#include <cstring>

#include "engine/core/error.h"
#include "tests/support/hf_builder.h"

namespace hc::test {
namespace {

std::vector<float> values_of(const GgufBuilder::Tensor& tensor) {
    HC_CHECK(tensor.type == static_cast<std::uint32_t>(DType::kF32));
    std::vector<float> values(tensor.data.size() / sizeof(float));
    std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
    return values;
}

/// GGUF `llama` files keep the rows of a head interleaved, 2i and 2i+1 rotating together; Hugging
/// Face keeps halves, i and i + head_dim/2.
std::vector<float> halves_of(const std::vector<float>& rows, std::int64_t head_dim,
                             std::int64_t cols) {
    std::vector<float> halves(rows.size());
    const auto num_rows = static_cast<std::int64_t>(rows.size()) / cols;
    for (std::int64_t row = 0; row < num_rows; ++row) {
        const std::int64_t head = row / head_dim * head_dim;
        const std::int64_t within = row % head_dim;
        const std::int64_t to = head + within / 2 + within % 2 * (head_dim / 2);
        std::memcpy(halves.data() + to * cols, rows.data() + row * cols,
                    static_cast<std::size_t>(cols) * sizeof(float));
    }
    return halves;
}

class TinyHfModel {
public:
    explicit TinyHfModel(const TinyHfOptions& options) : o_(options), m_(options.model) {
        m_.dtype = DType::kF32;
        gguf_ = tiny_model(m_);
        folder_.shards.resize(options.shards);
    }

    HfBuilder build() {
        add_tensor("token_embd.weight", "model.embed_tokens.weight");
        for (std::int64_t i = 0; i < m_.layers; ++i) add_layer(i);
        add_tensor("output_norm.weight", "model.norm.weight");
        if (!m_.tied) add_tensor("output.weight", "lm_head.weight");
        add_config();
        add_tokenizer();
        return std::move(folder_);
    }

private:
    void add_tensor(const std::string& from, const std::string& to, bool rotated = false) {
        const GgufBuilder::Tensor& tensor = gguf_.tensor(from);
        const std::vector<std::int64_t> dims(tensor.dims.rbegin(), tensor.dims.rend());
        std::vector<float> values = values_of(tensor);
        if (rotated && m_.arch == "llama") values = halves_of(values, m_.head_dim, dims.back());
        folder_.shards[next_shard_++ % folder_.shards.size()].add_tensor(to, o_.dtype, dims,
                                                                         values);
    }

    void add_layer(std::int64_t index) {
        const std::string from = "blk." + std::to_string(index) + ".";
        const std::string to = "model.layers." + std::to_string(index) + ".";
        add_tensor(from + "attn_norm.weight", to + "input_layernorm.weight");
        add_tensor(from + "attn_q.weight", to + "self_attn.q_proj.weight", true);
        add_tensor(from + "attn_k.weight", to + "self_attn.k_proj.weight", true);
        add_tensor(from + "attn_v.weight", to + "self_attn.v_proj.weight");
        add_tensor(from + "attn_output.weight", to + "self_attn.o_proj.weight");
        if (m_.arch == "qwen2") {
            for (const char* part : {"q", "k", "v"}) {
                add_tensor(from + "attn_" + part + ".bias",
                           to + "self_attn." + part + "_proj.bias");
            }
        }
        add_tensor(from + "ffn_norm.weight", to + "post_attention_layernorm.weight");
        add_tensor(from + "ffn_gate.weight", to + "mlp.gate_proj.weight");
        add_tensor(from + "ffn_up.weight", to + "mlp.up_proj.weight");
        add_tensor(from + "ffn_down.weight", to + "mlp.down_proj.weight");
    }

    void add_config() {
        const auto number = [this](const char* key, std::int64_t value) {
            folder_.config[key] = std::to_string(value);
        };
        const bool llama = m_.arch == "llama";
        folder_.config["architectures"] =
            llama ? R"(["LlamaForCausalLM"])" : R"(["Qwen2ForCausalLM"])";
        folder_.config["model_type"] = json_string(m_.arch);
        number("hidden_size", m_.hidden);
        number("intermediate_size", m_.mlp);
        number("num_hidden_layers", m_.layers);
        number("num_attention_heads", m_.heads);
        number("num_key_value_heads", m_.kv_heads);
        number("head_dim", m_.head_dim);
        number("vocab_size", m_.vocab);
        number("max_position_embeddings", m_.context);
        folder_.config["rms_norm_eps"] = "1e-05";
        folder_.config["rope_theta"] = "10000.0";
        folder_.config["rope_scaling"] = "null";
        folder_.config["hidden_act"] = R"("silu")";
        folder_.config["tie_word_embeddings"] = m_.tied ? "true" : "false";
        const TinyVocabulary vocabulary = tiny_vocabulary(m_.vocab);
        number("bos_token_id", vocabulary.bos);
        number("eos_token_id", vocabulary.eos);
    }

    void add_tokenizer() {
        const TinyVocabulary v = tiny_vocabulary(m_.vocab);
        std::string tokens, added, merges;
        const auto append = [](std::string& list, const std::string& item) {
            list += (list.empty() ? "" : ",") + item;
        };
        for (std::size_t id = 0; id < v.tokens.size(); ++id) {
            append(tokens, json_string(v.tokens[id]) + ":" + std::to_string(id));
        }
        for (std::int64_t id = v.first_control; id < v.first_control + 3; ++id) {
            append(added, "{\"id\":" + std::to_string(id) + ",\"content\":" +
                              json_string(v.tokens[static_cast<std::size_t>(id)]) +
                              R"(,"single_word":false,"lstrip":false,"rstrip":false,)"
                              R"("normalized":false,"special":true})");
        }
        for (const std::string& merge : v.merges) {
            const std::size_t space = merge.find(' ');
            append(merges, o_.merges_as_pairs ? "[" + json_string(merge.substr(0, space)) + "," +
                                                    json_string(merge.substr(space + 1)) + "]"
                                              : json_string(merge));
        }
        const std::string byte_level = R"({"type":"ByteLevel","add_prefix_space":false,)"
                                       R"("trim_offsets":true,"use_regex":true})";
        folder_.files["tokenizer.json"] =
            R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":[)" + added +
            R"(],"normalizer":null,"pre_tokenizer":{"type":"Sequence","pretokenizers":[)"
            R"({"type":"Digits","individual_digits":true},)" +
            byte_level + R"(]},"post_processor":null,"decoder":)" + byte_level +
            R"(,"model":{"type":"BPE","dropout":null,"unk_token":null,"fuse_unk":false,)"
            R"("byte_fallback":false,"vocab":{)" +
            tokens + R"(},"merges":[)" + merges + "]}}";
        folder_.files["tokenizer_config.json"] =
            R"({"bos_token":)" + json_string(v.tokens[static_cast<std::size_t>(v.bos)]) +
            R"(,"eos_token":{"content":)" + json_string(v.tokens[static_cast<std::size_t>(v.eos)]) +
            R"(},"chat_template":)" + json_string(v.chat_template) + "}";
    }

    TinyHfOptions o_;
    TinyModelOptions m_;
    GgufBuilder gguf_;
    HfBuilder folder_;
    std::size_t next_shard_ = 0;
};

}  // namespace

HfBuilder tiny_hf_model(const TinyHfOptions& options) {
    return TinyHfModel(options).build();
}

}  // namespace hc::test
