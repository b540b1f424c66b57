// The time of day, as records have it.
#pragma once
#include <string>

namespace deskhand {

std::string utc_now();     // "2024-03-01T12:34:56Z"
double seconds_of_1970();  // since then, UTC

}  // namespace deskhand
