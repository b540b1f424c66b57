#include "deskhand/base/error.h"

namespace deskhand {

void fail_assertion(const char* condition, const char* meaning, std::source_location at) {
  throw AssertionError(fmt::format("{}:{}: {} does not hold ({})", at.file_name(), at.line(), condition, meaning));
}

}  // namespace deskhand
