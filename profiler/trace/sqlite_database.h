/// Owners of an SQLite connection and its statements. Every failure becomes an SqliteFailure;
/// writer and reader turn it into an hc::Error that names the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace hc::trace {

/// SQLite said no. `code` is its primary result code.
class SqliteFailure : public std::runtime_error {
public:
    SqliteFailure(int code, const std::string& message)
        : std::runtime_error(message), code_(code) {}
    [[nodiscard]] int code() const noexcept { return code_; }
    static constexpr int kNotADatabase = 26;  // SQLITE_NOTADB
    /// The file is damaged or no database, as opposed to locked, full or unreadable.
    [[nodiscard]] bool is_corruption() const noexcept;
    [[nodiscard]] bool was_interrupted() const noexcept;
    /// A value that the table's columns do not allow.
    [[nodiscard]] bool is_constraint() const noexcept;

private:
    int code_;
};

/// A prepared statement; bind 1-based, step, read 0-based columns, reset. Moves only: two owners
/// would finalise it twice.
class Statement {
public:
    Statement() = default;
    Statement(sqlite3* database, std::string_view sql);
    ~Statement();
    Statement(Statement&& other) noexcept;
    Statement& operator=(Statement&& other) noexcept;
    Statement(const Statement&) = delete;
    Statement& operator=(const Statement&) = delete;

    void bind(int index, std::int64_t value);
    void bind(int index, double value);
    /// Text and blobs are borrowed until the next reset().
    void bind(int index, std::string_view value);
    void bind_blob(int index, std::span<const std::byte> value);
    void bind_null(int index);

    /// True when a row is there, false at the end.
    bool step();
    void reset();
    /// Runs a statement that gives no rows, and makes it ready for the next.
    void run() {
        step();
        reset();
    }

    [[nodiscard]] std::int64_t integer(int column) const;
    [[nodiscard]] double real(int column) const;
    /// Valid until the next step() or reset().
    [[nodiscard]] std::string_view text(int column) const;
    [[nodiscard]] std::span<const std::byte> blob(int column) const;
    [[nodiscard]] bool is_null(int column) const;
    enum class Type : std::uint8_t { kNull, kInteger, kReal, kText, kBlob };
    [[nodiscard]] Type type(int column) const;

private:
    sqlite3* database_ = nullptr;
    sqlite3_stmt* statement_ = nullptr;
};

/// A connection and its statements are used by one thread at a time; the owner sees to it.
class Database {
public:
    enum class Open : std::uint8_t {
        kReadWrite,
        kCreate,  ///< read and write an absolute path; made when it is not there
        kReadOnly,
        kImmutable,  ///< reads the file alone: no lock, no -wal
    };
    /// Throws SqliteFailure. The path is never taken for a URI.
    Database() = default;  ///< not open
    Database(const std::string& path, Open mode);
    ~Database();
    Database(Database&& other) noexcept;
    Database& operator=(Database&& other) noexcept;
    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;

    /// Runs any number of statements, rows are dropped.
    void execute(std::string_view sql);
    [[nodiscard]] Statement prepare(std::string_view sql) const;
    /// First column of the first row; nullopt when there is none.
    [[nodiscard]] std::optional<std::int64_t> query_integer(std::string_view sql) const;
    /// Moves what is in the write-ahead log into the file, as far as readers let it.
    void checkpoint();
    /// While statements run, asks `stop` now and then; when it says true they end with
    /// SqliteFailure (was_interrupted()). `stop` must not throw. Empty: ask no more.
    void interrupt_when(std::function<bool()> stop);
    /// Makes the database of `path`, absolute, readable as `schema`. Only for kCreate.
    void attach_read_only(const std::string& path, std::string_view schema);
    /// Gives up an open transaction, if there is one.
    void rollback() noexcept;
    void close() noexcept;
    [[nodiscard]] sqlite3* handle() const { return handle_; }

private:
    sqlite3* handle_ = nullptr;
    std::unique_ptr<std::function<bool()>> stop_;  // at a fixed address: SQLite keeps it
};

}  // namespace hc::trace
