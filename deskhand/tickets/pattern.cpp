#define PCRE2_CODE_UNIT_WIDTH 8
#include "deskhand/tickets/pattern.h"

#include <pcre2.h>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

struct FreeMatch {
  void operator()(pcre2_match_data* data) const noexcept { pcre2_match_data_free(data); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const noexcept { pcre2_match_context_free(context); }
};

constexpr auto kOptions = PCRE2_UTF | PCRE2_UCP | PCRE2_CASELESS | PCRE2_MULTILINE | PCRE2_MATCH_INVALID_UTF;

}  // namespace

void Pattern::Free::operator()(pcre2_real_code_8* code) const noexcept {
  pcre2_code_free(code);
}

Pattern::Pattern(std::string_view expression) {
  int fault = 0;
  PCRE2_SIZE at = 0;
  code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(), kOptions, &fault, &at, nullptr));
  if (!code_) fail_assertion("pcre2_compile", fmt::format("a pattern compiles; this one does not at {}: {}", at, expression).c_str());
  pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);  // where there is no compiler the interpreter matches
}

std::string pattern_fault(std::string_view expression) {
  int fault = 0;
  PCRE2_SIZE at = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(), kOptions, &fault, &at, nullptr);
  if (code) {
    pcre2_code_free(code);
    return {};
  }
  PCRE2_UCHAR message[256] = {};
  pcre2_get_error_message(fault, message, sizeof message);
  return fmt::format("{} at {}", reinterpret_cast<const char*>(message), at);
}

std::optional<Match> Pattern::search(std::string_view text, std::size_t from, unsigned options) const {
  // One for a thread: made for every search they cost more than most searches.
  thread_local const std::unique_ptr<pcre2_match_data, FreeMatch> data(pcre2_match_data_create(1, nullptr));
  thread_local const std::unique_ptr<pcre2_match_context, FreeContext> context = [] {
    std::unique_ptr<pcre2_match_context, FreeContext> made(pcre2_match_context_create(nullptr));
    if (made) {
      pcre2_set_match_limit(made.get(), 1'000'000);
      pcre2_set_depth_limit(made.get(), 10'000);
    }
    return made;
  }();
  if (!data || !context) throw Error(ExitCode::kTooLarge, "out of memory");
  const int found = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data() ? text.data() : ""), text.size(), from, options,
                                data.get(), context.get());
  if (found < 0) return std::nullopt;
  const auto* places = pcre2_get_ovector_pointer(data.get());
  return Match{places[0], places[1]};
}

std::optional<Match> Pattern::find(std::string_view text, std::size_t from) const {
  return search(text, from, 0);
}

std::optional<Match> Pattern::match_at(std::string_view text, std::size_t place) const {
  return search(text, place, PCRE2_ANCHORED);
}

bool Pattern::replace_all(std::string& text, std::string_view with) const {
  auto match = find(text);
  if (!match) return false;
  std::string out;
  std::size_t copied = 0;
  while (match) {
    if (match->end == match->begin) break;  // an empty match replaces nothing
    out.append(text, copied, match->begin - copied);
    out += with;
    copied = match->end;
    match = copied <= text.size() ? find(text, copied) : std::nullopt;
  }
  if (copied == 0) return false;
  out.append(text, copied);
  text = std::move(out);
  return true;
}

}  // namespace deskhand
