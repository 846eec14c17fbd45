#include "profiler/trace/trace_file.h"

#include <sys/stat.h>

namespace hc::trace {

Opened open_database(const std::string& file) {
    try {
        Database database(file, Database::Open::kReadOnly);
        (void)database.query_integer("PRAGMA schema_version");
        return {std::move(database), false};
    } catch (const SqliteFailure& failure) {
        if (!is_system_failure(failure.code())) throw;
    }
    Database database(file, Database::Open::kImmutable);
    (void)database.query_integer("PRAGMA schema_version");
    return {std::move(database), true};
}

FileIdentity file_identity(const std::string& file) {
    struct stat status {};
    if (::stat(file.c_str(), &status) != 0) return {};
    return {status.st_dev, status.st_ino};
}

const ActivityTexts& Trace::Impl::activity_texts() {
    const std::lock_guard lock(names_mutex);
    if (texts == nullptr) {
        texts = guarded(path, [&] {
            if (!has_activity) return std::make_unique<const ActivityTexts>();
            const Database database = open_again();
            return std::make_unique<const ActivityTexts>(read_activity_texts(database));
        });
    }
    return *texts;
}

Database Trace::Impl::open_again() const {
    Database database(file.string(),
                      opened.immutable ? Database::Open::kImmutable : Database::Open::kReadOnly);
    if (file_identity(file.string()) != identity) {
        throw BadData("another file took its place while it was open");
    }
    return database;
}

}  // namespace hc::trace
