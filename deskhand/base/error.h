// Error ends a command or a request: one sentence that says what was found, what was wanted and what to do. main turns it into one line
// and an exit code, the HTTP handler into a status. Assertions are for what only this program can break.
#pragma once
#include <fmt/format.h>

#include <source_location>
#include <stdexcept>
#include <string>
#include <utility>

namespace deskhand {

// The program's exit codes; docs/exit-codes.md lists them for users.
enum class ExitCode : int {
  kOk = 0,
  kInternal = 1,      // our own mistake
  kUsage = 2,         // the command line or a setting
  kBadInput = 3,      // a file whose contents are wrong
  kNotFound = 4,      // a file, model, desk or ticket that is not there
  kCannotWrite = 5,   // read-only folder, full disk, file exists and no --force
  kTooLarge = 6,      // does not fit into memory or a declared limit
  kNetwork = 7,       // a download that failed
  kInterrupted = 130  // Ctrl-C; the same command goes on where it stopped
};

class Error : public std::runtime_error {
 public:
  // Error{ExitCode::kBadInput, "{}: row {}: ...", path, row}
  template <class... Args>
  Error(ExitCode code, fmt::format_string<Args...> text, Args&&... args)
      : std::runtime_error(fmt::format(text, std::forward<Args>(args)...)), code_(code) {}

  ExitCode code() const noexcept { return code_; }

 private:
  ExitCode code_;
};

// Thrown by DESKHAND_ASSERT: a bug here, never the user's doing.
class AssertionError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] void fail_assertion(const char* condition, const char* meaning, std::source_location at = std::source_location::current());

}  // namespace deskhand

#define DESKHAND_ASSERT(condition, meaning) \
  do {                                      \
    if (!(condition)) [[unlikely]]          \
      ::deskhand::fail_assertion(#condition, meaning); \
  } while (false)
