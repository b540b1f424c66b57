#include <doctest/doctest.h>

#include <string>

#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/retrieve/npy.h"
#include "deskhand/retrieve/parquet.h"
#include "tests/temporary_folder.h"

using namespace deskhand;

namespace {

// A .npy file of version 1.0 with this dictionary.
std::string npy(std::string dictionary, std::size_t data_bytes) {
  std::string file("\x93NUMPY\x01\x00", 8);
  file += static_cast<char>(dictionary.size() & 0xFF);
  file += static_cast<char>(dictionary.size() >> 8);
  return file + dictionary + std::string(data_bytes, '\0');
}

}  // namespace

TEST_CASE("a matrix comes back as it was written, empty ones too") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "m.npy";
  const std::vector<float> values = {1, -2.5f, 3, 4, 5, 6e-30f};
  write_npy(path, values, 3, 2);
  auto read = read_npy(path);
  CHECK(read.rows == 3);
  CHECK(read.columns == 2);
  CHECK(read.values == values);
  CHECK(std::filesystem::file_size(path) == 128 + 24);  // the data begins at a multiple of 64
  write_npy(path, {}, 0, 384);
  read = read_npy(path);
  CHECK(read.rows == 0);
  CHECK(read.columns == 384);
}

TEST_CASE("headers of other writers are read: another order of keys, double quotes, version 2.0") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "m.npy";
  write_file_atomically(path, npy("{\"shape\": ( 2,3 ,), \"fortran_order\":False,\"descr\":\"<f4\"}\n", 24));
  CHECK(read_npy(path).columns == 3);
  const std::string dictionary = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), }\n";
  std::string two("\x93NUMPY\x02\x00", 8);
  two += static_cast<char>(dictionary.size());
  write_file_atomically(path, two + std::string(3, '\0') + dictionary + std::string("\0\0\x80\x3f", 4));
  CHECK(read_npy(path).values == std::vector<float>{1});
}

TEST_CASE("hostile and cut .npy files are refused with the path") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "bad.npy";
  const std::string fields = "'descr': '<f4', 'fortran_order': False, ";
  const std::string files[] = {
      "",
      "\x93NUMPY",
      std::string("\x93NUMPY\x03\x00\x00\x00\x00\x00", 12),
      std::string("\x93NUMPY\x02\x00\xFF\xFF\xFF\xFF", 12),
      std::string("\x93NUMPY\x02\x00\x10", 9) + std::string(1, '\0'),
      npy("{" + fields + "'shape': (2, 2), }", 15),
      npy("{" + fields + "'shape': (2, 2), }", 17),
      npy("{" + fields + "'shape': (4294967296, 4294967296), }", 0),
      npy("{" + fields + "'shape': (9223372036854775807, 2), }", 8),
      npy("{" + fields + "'shape': (99999999999999999999999, 2), }", 8),
      npy("{" + fields + "'shape': (-1, 2), }", 8),
      npy("{" + fields + "'shape': (4,), }", 16),
      npy("{" + fields + "'shape': (1, 2, 2), }", 16),
      npy("{" + fields + "'shape': (2, 2), 'x': 1, }", 16),
      npy("{" + fields + "'shape': (2, 2), } import os", 16),
      npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 1), }", 16),
      npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }", 16),
      npy("{'descr': '<f4', 'descr': '<f4', 'shape': (2, 2), }", 16),
      npy("{'descr': '<f4', 'shape': (2, 2), }", 16),
      npy("{'descr", 16),
      npy("", 16),
  };
  for (const std::string& bytes : files) {
    CAPTURE(bytes);
    write_file_atomically(path, bytes);
    CHECK_THROWS_WITH_AS(read_npy(path), doctest::Contains("bad.npy"), Error);
  }
  CHECK_THROWS_AS(read_npy(folder.path() / "none.npy"), Error);
}

TEST_CASE("metadata.parquet comes back as it was written, with unknown urgency and broken UTF-8") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "metadata.parquet";
  if (!has_parquet()) {
    CHECK_THROWS_WITH_AS(write_metadata_parquet(path, {}), doctest::Contains("./setup"), Error);
    MESSAGE("skipped: this build has no Parquet");
    return;
  }
  const std::vector<MetadataRow> rows = {{"T1", "Zürich", "done", 2, "Sales", "Zürich", {"A", "B"}},
                                         {"T2", "a\xFF", "", 0, "", "a\xFF", {}}};
  write_metadata_parquet(path, rows);
  const auto read = read_metadata_parquet(path);
  CHECK(read.size() == 2);
  CHECK(read[0].problem == "Zürich");
  CHECK(read[0].urgency == 2);
  CHECK(read[0].tokens == std::vector<std::string>{"A", "B"});
  CHECK(read[1].problem == "a\xEF\xBF\xBD");
  CHECK(read[1].urgency == 0);
  CHECK(read[1].tokens.empty());
  write_metadata_parquet(path, {});
  CHECK(read_metadata_parquet(path).empty());
}

TEST_CASE("files that are no metadata are refused with the path") {
  if (!has_parquet()) {
    MESSAGE("skipped: this build has no Parquet");
    return;
  }
  const TemporaryFolder folder;
  const auto path = folder.path() / "bad.parquet";
  const std::vector<MetadataRow> rows(100, {"T1", "problem", "resolution", 2, "Sales", "text", {"A"}});
  write_metadata_parquet(path, rows);
  const std::string whole = read_text_file(path);
  for (const std::size_t length : {std::size_t{0}, std::size_t{3}, std::size_t{8}, whole.size() / 2, whole.size() - 1}) {
    write_file_atomically(path, whole.substr(0, length));
    CHECK_THROWS_WITH_AS(read_metadata_parquet(path), doctest::Contains("bad.parquet"), Error);
  }
  CHECK_THROWS_AS(read_metadata_parquet(folder.path() / "none"), Error);
}

TEST_CASE("exported rows and vectors stand in the same order, and nothing is overwritten unasked") {
  if (!has_parquet()) {
    MESSAGE("skipped: this build has no Parquet");
    return;
  }
  const TemporaryFolder folder;
  Database database(folder.path() / "desk.db", Database::Mode::kCreate);
  CaseStore store(database);
  const EncoderId mini{"mini", "h"};
  CHECK_THROWS_WITH_AS(export_retriever_data(folder.path() / "out", store, mini), doctest::Contains("mini"), Error);
  std::vector<Case> cases;
  for (const char* id : {"T3", "T1", "T2"}) cases.push_back({.ticket_id = id, .problem = std::string("problem of ") + id, .urgency = 4});
  store.upsert(cases);
  for (const Case& item : store.without_vector(mini, 9))
    if (item.ticket_id != "T2") store.put_vectors(mini, std::span(&item, 1), std::vector<float>{1, item.ticket_id == "T3" ? 3.f : 1.f});
  CHECK(export_retriever_data(folder.path() / "out", store, mini) == 2);
  const auto rows = read_metadata_parquet(folder.path() / "out" / "metadata.parquet");
  CHECK(rows.size() == 2);
  CHECK(rows[0].ticket_id == "T1");
  CHECK(rows[1].ticket_id == "T3");
  CHECK(rows[1].tokens == std::vector<std::string>{"OF", "PROBLEM", "T3"});
  CHECK(read_npy(folder.path() / "out" / "embeddings.npy").values == std::vector<float>{1, 1, 1, 3});
  CHECK_THROWS_WITH_AS(export_retriever_data(folder.path() / "out", store, mini), doctest::Contains("--force"), Error);
  CHECK(export_retriever_data(folder.path() / "out", store, mini, true) == 2);
}
