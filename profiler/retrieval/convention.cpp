#include "profiler/retrieval/convention.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "profiler/trace/names.h"

namespace hc::retrieval {
namespace {

// As profiler/trace/row_fields.h: what is larger could not be read back.
constexpr std::int64_t kMaxAmount = std::int64_t{1} << 60;
constexpr std::int64_t kMaxIndex = 1 << 20;
constexpr std::size_t kMaxList = 1024;
constexpr std::size_t kMaxName = 200;
constexpr std::size_t kShown = 40;

struct IntegerField {
    std::string_view name;
    std::optional<std::int64_t> Message::*member;
    std::int64_t max;
};
constexpr IntegerField kIntegers[] = {
    {"id", &Message::id, kMaxAmount},         {"step", &Message::step, kMaxAmount},
    {"layer", &Message::layer, kMaxIndex},    {"head", &Message::head, kMaxIndex},
    {"seq", &Message::sequence, kMaxIndex},   {"base", &Message::base, kMaxAmount},
    {"check", &Message::check, kMaxAmount},   {"rows", &Message::rows, kMaxAmount},
    {"wanted", &Message::wanted, kMaxAmount}, {"runs", &Message::pieces, kMaxAmount},
    {"bytes", &Message::bytes, kMaxAmount},   {"due", &Message::due, kMaxAmount},
    {"batch", &Message::batch, kMaxIndex},    {"window", &Message::window, kMaxIndex},
    {"lag", &Message::lag, kMaxIndex},        {"prompt", &Message::prompt, 1 << 28},
};

template <typename T>
bool parse_whole(std::string_view text, T& out) {
    const auto [next, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    return error == std::errc() && next == text.data() + text.size();
}

bool parse_integer(std::string_view text, std::int64_t max, std::int64_t& out) {
    return parse_whole(text, out) && out >= 0 && out <= max;
}

bool parse_real(std::string_view text, double& out) {
    return parse_whole(text, out) && std::isfinite(out);
}

/// "1,2,3"
template <typename T, typename One>
bool parse_list(std::string_view text, std::vector<T>& out, One&& one) {
    out.clear();
    while (true) {
        const std::size_t comma = text.find(',');
        T value{};
        if (!one(text.substr(0, comma), value) || out.size() == kMaxList) return false;
        out.push_back(value);
        if (comma == std::string_view::npos) return true;
        text.remove_prefix(comma + 1);
    }
}

bool parse_flag(std::string_view text, std::optional<bool>& out) {
    if (text == "1" || text == "true") return out = true, true;
    if (text == "0" || text == "false") return out = false, true;
    return false;
}

template <typename Enum>
bool parse_word(std::string_view text, std::optional<Enum>& out) {
    out = trace::parse_name<Enum>(text);
    return out.has_value();
}

enum class Outcome { kTaken, kUnknown, kWrong };

Outcome outcome(bool right) {
    return right ? Outcome::kTaken : Outcome::kWrong;
}

Outcome take_real(std::string_view text, std::optional<double>& out) {
    double value = 0;
    if (!parse_real(text, value)) return Outcome::kWrong;
    out = value;
    return Outcome::kTaken;
}

Outcome take_name(std::string_view text, std::string& out) {
    if (text.empty() || text.size() > kMaxName) return Outcome::kWrong;
    for (const char c : text) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return Outcome::kWrong;
    }
    out = text;
    return Outcome::kTaken;
}

Outcome take_field(std::string_view name, std::string_view value, Message& m) {
    for (const IntegerField& field : kIntegers) {
        if (field.name != name) continue;
        std::int64_t number = 0;
        if (!parse_integer(value, field.max, number)) return Outcome::kWrong;
        m.*field.member = number;
        return Outcome::kTaken;
    }
    if (name == "median") return take_real(value, m.median);
    if (name == "threshold") return take_real(value, m.threshold);
    if (name == "triggered") return outcome(parse_flag(value, m.triggered));
    if (name == "superseded") return outcome(parse_flag(value, m.superseded));
    if (name == "phase") return outcome(parse_word(value, m.phase));
    if (name == "way") return outcome(parse_word(value, m.way));
    if (name == "overlaps") return outcome(parse_list(value, m.overlaps, parse_real));
    if (name == "fetch") {
        return outcome(parse_list(value, m.fetches, [](std::string_view text, std::int64_t& out) {
            return parse_integer(text, kMaxAmount, out);
        }));
    }
    if (name == "name") return take_name(value, m.name);
    if (name == "model") return take_name(value, m.model);
    return Outcome::kUnknown;
}

bool take_kind(std::string_view word, Message& m) {
    struct Word {
        std::string_view name;
        MessageKind kind;
        OpKind op;
    };
    constexpr Word kWords[] = {
        {"run", MessageKind::kRun, OpKind::kOther},
        {"step", MessageKind::kStep, OpKind::kOther},
        {"check", MessageKind::kCheck, OpKind::kDriftTopk},
        {"fetch", MessageKind::kFetch, OpKind::kFetch},
        {"commit", MessageKind::kCommit, OpKind::kCommit},
        {"use", MessageKind::kUse, OpKind::kAttention},
    };
    for (const Word& known : kWords) {
        if (known.name != word) continue;
        m.kind = known.kind;
        m.op = known.op;
        return true;
    }
    const std::optional<OpKind> op = trace::parse_name<OpKind>(word);
    if (!op) return false;
    m.kind = MessageKind::kOperation;
    m.op = *op;
    return true;
}

/// The next word of `text`, which loses it.
std::string_view next_word(std::string_view& text) {
    const std::size_t begin = text.find_first_not_of(' ');
    if (begin == std::string_view::npos) return text = {}, text;
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    const std::string_view word = text.substr(begin, end - begin);
    text.remove_prefix(end);
    return word;
}

void take_payload(std::int64_t payload, Message& m) {
    if (payload < 0 || payload > kMaxAmount) return;
    const bool names_fetches = m.kind == MessageKind::kCommit || m.kind == MessageKind::kUse;
    if (names_fetches && m.fetches.empty()) m.fetches = {payload};
    if (!names_fetches && !m.id) m.id = payload;
}

template <typename T>
void take_later(std::optional<T>& field, const std::optional<T>& later) {
    if (later) field = later;
}

}  // namespace

void merge_fields(Message& into, const Message& m) {
    into.kind = m.kind;
    into.op = m.op;
    take_later(into.id, m.id), take_later(into.step, m.step), take_later(into.layer, m.layer);
    take_later(into.head, m.head), take_later(into.sequence, m.sequence);
    take_later(into.base, m.base), take_later(into.check, m.check), take_later(into.rows, m.rows);
    take_later(into.wanted, m.wanted), take_later(into.pieces, m.pieces);
    take_later(into.bytes, m.bytes), take_later(into.due, m.due), take_later(into.batch, m.batch);
    take_later(into.window, m.window), take_later(into.lag, m.lag);
    take_later(into.prompt, m.prompt), take_later(into.median, m.median);
    take_later(into.threshold, m.threshold), take_later(into.triggered, m.triggered);
    take_later(into.superseded, m.superseded), take_later(into.phase, m.phase);
    take_later(into.way, m.way);
    if (!m.overlaps.empty()) into.overlaps = m.overlaps;
    if (!m.name.empty()) into.name = m.name;
    if (!m.model.empty()) into.model = m.model;
}

Parsed parse_message(std::string_view text, std::optional<std::int64_t> payload) {
    Parsed out;
    Message m;
    const std::string_view kind = next_word(text);
    if (!take_kind(kind, m)) {
        out.problem = fmt::format("unknown kind '{}'", kind.substr(0, kShown));
        return out;
    }
    while (true) {
        const std::string_view word = next_word(text);
        if (word.empty()) break;
        const std::size_t equals = word.find('=');
        const std::string_view name = word.substr(0, equals);
        const std::string_view value =
            equals == std::string_view::npos ? std::string_view() : word.substr(equals + 1);
        switch (take_field(name, value, m)) {
            case Outcome::kTaken:
                break;
            case Outcome::kUnknown:
                out.unknown_fields.emplace_back(name.substr(0, kShown));
                break;
            case Outcome::kWrong:
                out.problem =
                    fmt::format("{}: '{}' is no value of {}", kind, value.substr(0, kShown), name);
                return out;
        }
    }
    if (payload) take_payload(*payload, m);
    out.message = std::move(m);
    return out;
}

}  // namespace hc::retrieval
