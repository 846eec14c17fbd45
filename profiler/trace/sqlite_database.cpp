#include "profiler/trace/sqlite_database.h"

#include <sqlite3.h>
#include <cctype>
#include <cstdio>
#include <limits>
#include <utility>

namespace hc::trace {
namespace {

constexpr int kBusyTimeoutMs = 5000;

/// SQLite's words in one line: of a damaged schema it quotes the text, line ends included.
std::string one_line(std::string message) {
    for (char& c : message) {
        if (static_cast<unsigned char>(c) < ' ') c = ' ';
    }
    return message;
}

[[noreturn]] void fail(sqlite3* database, int code) {
    throw SqliteFailure(code & 0xff, one_line(database != nullptr ? sqlite3_errmsg(database)
                                                                  : sqlite3_errstr(code)));
}

int checked_length(std::size_t size) {
    if (size > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
        throw SqliteFailure(SQLITE_TOOBIG, "string or blob too big");
    }
    return static_cast<int>(size);
}

/// file: URI of an absolute path, every byte that is not plain in %XX.
std::string file_uri(const std::string& path, std::string_view parameter) {
    std::string uri = "file:";
    for (const char c : path) {
        const auto byte = static_cast<unsigned char>(c);
        if (std::isalnum(byte) != 0 || c == '/' || c == '.' || c == '_' || c == '-') {
            uri += c;
        } else {
            char escaped[4];
            std::snprintf(escaped, sizeof(escaped), "%%%02X", byte);
            uri += escaped;
        }
    }
    return uri + "?" + std::string(parameter);
}

}  // namespace

static_assert(SqliteFailure::kNotADatabase == SQLITE_NOTADB);

bool SqliteFailure::is_corruption() const noexcept {
    return code_ == SQLITE_CORRUPT || code_ == SQLITE_NOTADB;
}

bool SqliteFailure::is_constraint() const noexcept {
    return code_ == SQLITE_CONSTRAINT || code_ == SQLITE_MISMATCH;
}
bool SqliteFailure::was_interrupted() const noexcept {
    return code_ == SQLITE_INTERRUPT;
}

Statement::Statement(sqlite3* database, std::string_view sql) : database_(database) {
    const int code = sqlite3_prepare_v3(database, sql.data(), checked_length(sql.size()),
                                        SQLITE_PREPARE_PERSISTENT, &statement_, nullptr);
    if (code != SQLITE_OK) fail(database, code);
}

Statement::~Statement() {
    sqlite3_finalize(statement_);
}

Statement::Statement(Statement&& other) noexcept
    : database_(other.database_), statement_(std::exchange(other.statement_, nullptr)) {}

Statement& Statement::operator=(Statement&& other) noexcept {
    std::swap(database_, other.database_);
    std::swap(statement_, other.statement_);
    return *this;
}

void Statement::bind(int index, std::int64_t value) {
    const int code = sqlite3_bind_int64(statement_, index, value);
    if (code != SQLITE_OK) fail(database_, code);
}

void Statement::bind(int index, double value) {
    const int code = sqlite3_bind_double(statement_, index, value);
    if (code != SQLITE_OK) fail(database_, code);
}

void Statement::bind(int index, std::string_view value) {
    // An empty view may have no data, which SQLite would take for NULL.
    const int code = sqlite3_bind_text(statement_, index, value.empty() ? "" : value.data(),
                                       checked_length(value.size()), SQLITE_STATIC);
    if (code != SQLITE_OK) fail(database_, code);
}

void Statement::bind_blob(int index, std::span<const std::byte> value) {
    const void* data = value.empty() ? static_cast<const void*>("") : value.data();
    const int code =
        sqlite3_bind_blob(statement_, index, data, checked_length(value.size()), SQLITE_STATIC);
    if (code != SQLITE_OK) fail(database_, code);
}

void Statement::bind_null(int index) {
    const int code = sqlite3_bind_null(statement_, index);
    if (code != SQLITE_OK) fail(database_, code);
}

bool Statement::step() {
    const int code = sqlite3_step(statement_);
    if (code == SQLITE_ROW) return true;
    if (code != SQLITE_DONE) {
        const std::string message = one_line(sqlite3_errmsg(database_));
        sqlite3_reset(statement_);
        throw SqliteFailure(code & 0xff, message);
    }
    return false;
}

void Statement::reset() {
    sqlite3_reset(statement_);
}

std::int64_t Statement::integer(int column) const {
    return sqlite3_column_int64(statement_, column);
}

double Statement::real(int column) const {
    return sqlite3_column_double(statement_, column);
}

std::string_view Statement::text(int column) const {
    const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    if (data == nullptr) return {};
    return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

std::span<const std::byte> Statement::blob(int column) const {
    const auto* data = static_cast<const std::byte*>(sqlite3_column_blob(statement_, column));
    if (data == nullptr) return {};
    return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

bool Statement::is_null(int column) const {
    return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

Statement::Type Statement::type(int column) const {
    switch (sqlite3_column_type(statement_, column)) {
        case SQLITE_INTEGER:
            return Type::kInteger;
        case SQLITE_FLOAT:
            return Type::kReal;
        case SQLITE_TEXT:
            return Type::kText;
        case SQLITE_BLOB:
            return Type::kBlob;
        default:
            return Type::kNull;
    }
}

Database::Database(const std::string& path, Open mode) {
    std::string name = path;
    if (mode == Open::kImmutable) name = file_uri(path, "immutable=1");
    if (mode == Open::kCreate) name = file_uri(path, "mode=rwc");
    int flags = SQLITE_OPEN_READONLY;
    if (mode == Open::kReadWrite) flags = SQLITE_OPEN_READWRITE;
    if (mode == Open::kCreate) flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    if (mode == Open::kImmutable || mode == Open::kCreate) flags |= SQLITE_OPEN_URI;
    // Without SQLite's own lock around every column; the header says who may call when.
    flags |= SQLITE_OPEN_NOMUTEX;
    const int code = sqlite3_open_v2(name.c_str(), &handle_, flags, nullptr);
    if (code != SQLITE_OK) {
        const std::string message =
            one_line(handle_ != nullptr ? sqlite3_errmsg(handle_) : sqlite3_errstr(code));
        close();
        throw SqliteFailure(code & 0xff, message);
    }
    sqlite3_busy_timeout(handle_, kBusyTimeoutMs);
    // A trace may come from anywhere: nothing in its schema may run code of ours.
    sqlite3_db_config(handle_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    sqlite3_db_config(handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
}

Database::~Database() {
    close();
}

Database::Database(Database&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)), stop_(std::move(other.stop_)) {}

Database& Database::operator=(Database&& other) noexcept {
    std::swap(handle_, other.handle_);
    std::swap(stop_, other.stop_);
    return *this;
}

void Database::execute(std::string_view sql) {
    const std::string text(sql);
    const int code = sqlite3_exec(handle_, text.c_str(), nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) fail(handle_, code);
}

Statement Database::prepare(std::string_view sql) const {
    return Statement(handle_, sql);
}

std::optional<std::int64_t> Database::query_integer(std::string_view sql) const {
    Statement statement(handle_, sql);
    if (!statement.step() || statement.is_null(0)) return std::nullopt;
    return statement.integer(0);
}

void Database::checkpoint() {
    const int code =
        sqlite3_wal_checkpoint_v2(handle_, nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
    // A reader in the way only postpones it.
    if (code != SQLITE_OK && (code & 0xff) != SQLITE_BUSY && (code & 0xff) != SQLITE_LOCKED) {
        fail(handle_, code);
    }
}

void Database::interrupt_when(std::function<bool()> stop) {
    sqlite3_progress_handler(handle_, 0, nullptr, nullptr);
    stop_ = stop ? std::make_unique<std::function<bool()>>(std::move(stop)) : nullptr;
    if (stop_ == nullptr) return;
    constexpr int kSteps = 100'000;  // of SQLite's machine: some milliseconds
    const auto ask = [](void* context) {
        return (*static_cast<std::function<bool()>*>(context))() ? 1 : 0;
    };
    sqlite3_progress_handler(handle_, kSteps, ask, stop_.get());
}

void Database::attach_read_only(const std::string& path, std::string_view schema) {
    const auto attach = [&](std::string_view parameter) {
        Statement statement(handle_, "ATTACH ? AS ?");
        const std::string uri = file_uri(path, parameter);
        statement.bind(1, std::string_view(uri));
        statement.bind(2, schema);
        statement.run();
        (void)query_integer("PRAGMA " + std::string(schema) + ".schema_version");
    };
    try {
        attach("mode=ro");
    } catch (const SqliteFailure& failure) {
        if (failure.is_corruption()) throw;
        // No lock can be had, or no log made beside it: read the file alone.
        try {
            execute("DETACH " + std::string(schema));
        } catch (const SqliteFailure&) {
            // It was not attached at all.
        }
        attach("immutable=1");
    }
}

void Database::rollback() noexcept {
    if (sqlite3_get_autocommit(handle_) == 0) {
        sqlite3_exec(handle_, "ROLLBACK", nullptr, nullptr, nullptr);
    }
}

void Database::close() noexcept {
    // close_v2 waits for statements that are still to be finalised.
    sqlite3_close_v2(handle_);
    handle_ = nullptr;
}

}  // namespace hc::trace
