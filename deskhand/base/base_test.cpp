#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>
#include <vector>

#include "deskhand/base/atomic_file.h"
#include "deskhand/base/clock.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/base/parallel.h"
#include "deskhand/base/progress.h"
#include "deskhand/base/sha256.h"
#include "deskhand/base/sqlite.h"
#include "tests/temporary_folder.h"

using namespace deskhand;

TEST_CASE("a pool covers every index once, whatever its size and the grain") {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (const std::int64_t count : {0, 1, 2, 7, 1000}) {
      for (const std::int64_t grain : {1, 3, 64, 5000}) {
        std::vector<std::atomic<int>> hits(static_cast<std::size_t>(count));
        pool.parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end, int worker) {
          CHECK(worker < threads);
          for (auto i = begin; i < end; ++i) ++hits[static_cast<std::size_t>(i)];
        });
        for (const auto& hit : hits) CHECK(hit == 1);
      }
    }
  }
}

TEST_CASE("an exception in a worker reaches the caller and the pool goes on working") {
  ThreadPool pool(3);
  CHECK_THROWS_AS(pool.parallel_for(100, 1,
                                    [](auto begin, auto, int) {
                                      if (begin >= 50) throw std::runtime_error("half way");
                                    }),
                  std::runtime_error);
  std::atomic<std::int64_t> sum = 0;
  pool.parallel_for(10, 1, [&](auto begin, auto end, int) {
    for (auto i = begin; i < end; ++i) sum += i;
  });
  CHECK(sum == 45);
}

TEST_CASE("thousands of short rounds from two callers, with pauses in which workers fall asleep, lose and repeat nothing") {
  ThreadPool pool(3);
  const auto call = [&](int rounds) {
    for (int round = 0; round < rounds; ++round) {
      if (round % 500 == 499) std::this_thread::sleep_for(std::chrono::milliseconds(2));
      std::atomic<std::int64_t> sum = 0;
      pool.parallel_for(9, 1, [&](auto begin, auto end, int) { for (auto i = begin; i < end; ++i) sum += i + 1; });
      if (sum != 45) return false;
    }
    return true;
  };
  bool other = false;
  std::thread second([&] { other = call(2000); });
  CHECK(call(2000));
  second.join();
  CHECK(other);
}

TEST_CASE("an atomic file that is not committed leaves what was there") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "a.txt";
  write_file_atomically(path, "first");
  { AtomicFile(path).write("second"); }
  CHECK(read_text_file(path) == "first");
  write_file_atomically(path, "third");
  CHECK(read_text_file(path) == "third");
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("a mapped file shows the bytes on disk, also after its pages were given back") {
  const TemporaryFolder folder;
  write_file_atomically(folder.path() / "a", std::string(20000, 'x'));
  const MappedFile file(folder.path() / "a");
  file.release(file.bytes());
  CHECK(file.bytes().size() == 20000);
  CHECK(file.bytes()[19999] == std::byte{'x'});
  CHECK_THROWS_AS(MappedFile(folder.path()), Error);
  CHECK_THROWS_AS(MappedFile(folder.path() / "none"), Error);
}

TEST_CASE("the time of day is UTC's, to the second") {
  const auto before = static_cast<std::time_t>(seconds_of_1970());
  const std::string text = utc_now();
  const auto after = static_cast<std::time_t>(seconds_of_1970());
  std::tm utc{};
  const char* end = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &utc);
  REQUIRE((end && *end == 0));
  const std::time_t said = ::timegm(&utc);
  CHECK((said >= before && said <= after));
}

TEST_CASE("SHA-256 equals the published vector") {
  CHECK(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("broken JSON is refused with the place, endless nesting without harm") {
  CHECK_THROWS_WITH_AS(parse_json("{\"a\": ", "x.json"), doctest::Contains("x.json: not valid JSON at byte 7"), Error);
  CHECK_THROWS_WITH_AS(parse_json(std::string(100000, '['), "x.json"), doctest::Contains("nested deeper"), Error);
  CHECK_THROWS_WITH_AS(parse_json("[1e400]", "x.json"), doctest::Contains("x.json: not valid JSON: number overflow"), Error);
  CHECK(parse_json(R"({"[[": "\"["})", "x").size() == 1);
}

TEST_CASE("a transaction that is not committed changes nothing") {
  const TemporaryFolder folder;
  Database database(folder.path() / "a.db", Database::Mode::kCreate);
  database.execute("CREATE TABLE t(a, b)");
  {
    Transaction transaction(database);
    database.prepare("INSERT INTO t VALUES(?1, ?2)").bind(1, "x").bind(2, 2.5).run();
  }
  auto count = database.prepare("SELECT count(*) FROM t");
  CHECK((count.step() && count.integer(0) == 0));
}

TEST_CASE("a file that is no database is named") {
  const TemporaryFolder folder;
  write_file_atomically(folder.path() / "a.db", std::string(4096, 'x'));
  CHECK_THROWS_WITH_AS(Database(folder.path() / "a.db", Database::Mode::kReadOnly), doctest::Contains("a.db"), Error);
}

TEST_CASE("a progress line tells share, rate and time left") {
  Progress progress({.what = "embedding", .unit = "texts", .total = 400, .quiet = true});
  progress.advance(100);
  CHECK(progress.line(10) == "embedding 100/400 (25 %), 10 texts/s, 30 s left");
}
