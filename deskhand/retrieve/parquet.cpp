#include "deskhand/retrieve/parquet.h"

#include "deskhand/base/error.h"
#include "deskhand/retrieve/npy.h"
#include "deskhand/retrieve/words.h"

#ifdef DESKHAND_PARQUET
#include <arrow/api.h>
#include <arrow/io/api.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/writer.h>
#include <parquet/exception.h>

#include "deskhand/base/atomic_file.h"
#endif

namespace deskhand {

#ifdef DESKHAND_PARQUET

namespace {

constexpr std::int64_t kRowsInGroup = 65536;
constexpr int kFieldCount = 7;
constexpr const char* kFieldNames[kFieldCount] = {"TICKETID",      "CLEAN_PROBLEM", "RESOLUTION_SUMMARY", "URGENCYCODE", "CATEGORY",
                                                  "EMBEDDED_TEXT", "TOKENS"};

// Arrow writes into a file that is there whole or not at all.
class AtomicStream final : public arrow::io::OutputStream {
 public:
  explicit AtomicStream(AtomicFile& file) : file_(file) {}
  arrow::Status Write(const void* data, std::int64_t bytes) override {
    file_.write({static_cast<const char*>(data), static_cast<std::size_t>(bytes)});
    written_ += bytes;
    return arrow::Status::OK();
  }
  arrow::Status Close() override {
    closed_ = true;
    return arrow::Status::OK();
  }
  arrow::Result<std::int64_t> Tell() const override { return written_; }
  bool closed() const override { return closed_; }

 private:
  AtomicFile& file_;
  std::int64_t written_ = 0;
  bool closed_ = false;
};

void check(const arrow::Status& status, ExitCode code, const std::filesystem::path& path) {
  if (!status.ok()) throw Error(code, "{}: {}", path.string(), status.message());
}

std::shared_ptr<arrow::Schema> schema() {
  std::vector<std::shared_ptr<arrow::Field>> fields;
  for (int i = 0; i < kFieldCount; ++i)
    fields.push_back(arrow::field(kFieldNames[i], i == 3 ? arrow::int64() : i == 6 ? arrow::list(arrow::utf8()) : arrow::utf8()));
  return arrow::schema(fields);
}

std::shared_ptr<arrow::Table> table_of(std::span<const MetadataRow> rows, const std::filesystem::path& path) {
  const auto ok = [&](const arrow::Status& status) { check(status, ExitCode::kTooLarge, path); };
  arrow::StringBuilder texts[kFieldCount];  // those of the columns that are text
  arrow::Int64Builder urgency;
  auto token = std::make_shared<arrow::StringBuilder>();
  arrow::ListBuilder tokens(arrow::default_memory_pool(), token);
  for (const MetadataRow& row : rows) {
    ok(texts[0].Append(valid_utf8(row.ticket_id)));
    ok(texts[1].Append(valid_utf8(row.problem)));
    ok(texts[2].Append(valid_utf8(row.resolution)));
    ok(row.urgency == 0 ? urgency.AppendNull() : urgency.Append(row.urgency));
    ok(texts[4].Append(valid_utf8(row.category)));
    ok(texts[5].Append(valid_utf8(row.embedded_text)));
    ok(tokens.Append());
    for (const std::string& word : row.tokens) ok(token->Append(valid_utf8(word)));
  }
  std::vector<std::shared_ptr<arrow::Array>> columns(kFieldCount);
  for (int i = 0; i < kFieldCount; ++i) {
    arrow::ArrayBuilder& builder = i == 3   ? static_cast<arrow::ArrayBuilder&>(urgency)
                                   : i == 6 ? static_cast<arrow::ArrayBuilder&>(tokens)
                                            : texts[i];
    ok(builder.Finish(&columns[static_cast<std::size_t>(i)]));
  }
  return arrow::Table::Make(schema(), columns);
}

// One column as a single array of the type wanted. Throws Error(kBadInput) if it is missing or of another.
template <class Array>
std::shared_ptr<Array> column(const arrow::Table& table, const char* name, const std::filesystem::path& path) {
  const auto found = table.GetColumnByName(name);
  if (!found)
    throw Error(ExitCode::kBadInput, "{}: no column {}; the retriever's metadata has TICKETID, CLEAN_PROBLEM and so on", path.string(),
                name);
  std::shared_ptr<arrow::Array> array;
  if (found->num_chunks() == 1) {
    array = found->chunk(0);
  } else if (found->num_chunks() == 0) {
    auto none = arrow::MakeEmptyArray(found->type());
    check(none.status(), ExitCode::kBadInput, path);
    array = *none;
  } else {
    auto joined = arrow::Concatenate(found->chunks());
    check(joined.status(), ExitCode::kBadInput, path);
    array = *joined;
  }
  check(array->ValidateFull(), ExitCode::kBadInput, path);
  auto typed = std::dynamic_pointer_cast<Array>(array);
  if (!typed)
    throw Error(ExitCode::kBadInput, "{}: column {} has type {}; text, int64 for URGENCYCODE and a list of text for TOKENS are wanted",
                path.string(), name, found->type()->ToString());
  return typed;
}

std::vector<MetadataRow> rows_of(const arrow::Table& table, const std::filesystem::path& path) {
  using Texts = arrow::StringArray;
  const auto ids = column<Texts>(table, kFieldNames[0], path), problems = column<Texts>(table, kFieldNames[1], path);
  const auto resolutions = column<Texts>(table, kFieldNames[2], path), categories = column<Texts>(table, kFieldNames[4], path);
  const auto embedded = column<Texts>(table, kFieldNames[5], path);
  const auto urgencies = column<arrow::Int64Array>(table, kFieldNames[3], path);
  const auto lists = column<arrow::ListArray>(table, kFieldNames[6], path);
  const auto words = std::dynamic_pointer_cast<Texts>(lists->values());
  if (!words)
    throw Error(ExitCode::kBadInput, "{}: column TOKENS has type {}; a list of text is wanted", path.string(), lists->type()->ToString());
  std::vector<MetadataRow> rows(static_cast<std::size_t>(table.num_rows()));
  for (std::int64_t i = 0; i < table.num_rows(); ++i) {
    MetadataRow& row = rows[static_cast<std::size_t>(i)];
    row.ticket_id = ids->GetView(i);
    row.problem = problems->GetView(i);
    row.resolution = resolutions->GetView(i);
    row.category = categories->GetView(i);
    row.embedded_text = embedded->GetView(i);
    if (!urgencies->IsNull(i)) {
      if (urgencies->Value(i) < 0 || urgencies->Value(i) > 5)
        throw Error(ExitCode::kBadInput, "{}: row {}: URGENCYCODE {}; 1 to 5 are known", path.string(), i + 1, urgencies->Value(i));
      row.urgency = static_cast<int>(urgencies->Value(i));
    }
    if (lists->IsNull(i)) continue;
    for (std::int64_t at = lists->value_offset(i); at < lists->value_offset(i + 1); ++at) row.tokens.emplace_back(words->GetView(at));
  }
  return rows;
}

}  // namespace

bool has_parquet() {
  return true;
}

void write_metadata_parquet(const std::filesystem::path& path, std::span<const MetadataRow> rows) {
  const auto table = table_of(rows, path);
  AtomicFile file(path);
  try {
    check(parquet::arrow::WriteTable(*table, arrow::default_memory_pool(), std::make_shared<AtomicStream>(file), kRowsInGroup,
                                     parquet::WriterProperties::Builder().compression(parquet::Compression::SNAPPY)->build()),
          ExitCode::kCannotWrite, path);
  } catch (const parquet::ParquetException& reason) {
    throw Error(ExitCode::kCannotWrite, "{}: {}", path.string(), reason.what());
  }
  file.commit();
}

std::vector<MetadataRow> read_metadata_parquet(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) throw Error(ExitCode::kNotFound, "{}: not there", path.string());
  try {
    auto file = arrow::io::ReadableFile::Open(path.string());
    check(file.status(), ExitCode::kBadInput, path);
    auto reader = parquet::arrow::OpenFile(*file, arrow::default_memory_pool());
    check(reader.status(), ExitCode::kBadInput, path);
    (*reader)->set_use_threads(false);
    auto table = (*reader)->ReadTable();
    check(table.status(), ExitCode::kBadInput, path);
    return rows_of(**table, path);
  } catch (const parquet::ParquetException& reason) {
    throw Error(ExitCode::kBadInput, "{}: {}", path.string(), reason.what());
  }
}

#else

namespace {
[[noreturn]] void refuse(const std::filesystem::path& path) {
  throw Error(ExitCode::kUsage, "{}: this build has no Parquet; run ./setup, which brings Apache Arrow, and build again", path.string());
}
}  // namespace

bool has_parquet() {
  return false;
}
void write_metadata_parquet(const std::filesystem::path& path, std::span<const MetadataRow>) {
  refuse(path);
}
std::vector<MetadataRow> read_metadata_parquet(const std::filesystem::path& path) {
  refuse(path);
}

#endif

std::int64_t export_retriever_data(const std::filesystem::path& folder, CaseStore& store, const EncoderId& encoder, bool force) {
  const auto embeddings = folder / "embeddings.npy", metadata = folder / "metadata.parquet";
  if (!has_parquet()) write_metadata_parquet(metadata, {});  // says what to do before anything is written
  for (const auto& path : {embeddings, metadata})
    if (!force && std::filesystem::exists(path))
      throw Error(ExitCode::kCannotWrite, "{} is there already; give --force to write over it", path.string());
  const CaseVectors vectors = store.load_vectors(encoder);
  if (vectors.count == 0) throw Error(ExitCode::kNotFound, "no case has a vector of encoder {}; run `deskhand index` first", encoder.name);
  std::vector<MetadataRow> rows;
  rows.reserve(static_cast<std::size_t>(vectors.count));
  store.each([&](const Case& item) {  // both in the order of ticket ids; cases without a vector are passed over
    if (rows.size() == vectors.ticket_ids.size() || vectors.ticket_ids[rows.size()] != item.ticket_id) return;
    rows.push_back({item.ticket_id, item.problem, item.resolution, item.urgency, item.category, item.problem, upper_tokens(item.problem)});
  });
  if (rows.size() != vectors.ticket_ids.size())
    throw Error(ExitCode::kCannotWrite, "the cases changed while they were exported; try again");
  std::error_code reason;
  std::filesystem::create_directories(folder, reason);
  if (reason) throw Error(ExitCode::kCannotWrite, "cannot make folder {}: {}", folder.string(), reason.message());
  write_metadata_parquet(metadata, rows);
  write_npy(embeddings, vectors.matrix, vectors.count, vectors.width);
  return vectors.count;
}

}  // namespace deskhand
