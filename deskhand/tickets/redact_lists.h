// Words that names are told by. First names and surnames are common ones of the languages a European desk meets; they make no claim to be
// complete: a desk adds its own people with redact.names.
#pragma once
#include <string_view>

namespace deskhand::redact_lists {

// Words separated by white space, in lower case.
extern const std::string_view kFirstNames;
extern const std::string_view kAmbiguousFirstNames;  // are words, months, products or places too: a name only beside something that says so
extern const std::string_view kShortFirstNames;      // of these a name too before any word in a capital that is not known to be another
extern const std::string_view kSurnames;             // a name even alone
extern const std::string_view kAmbiguousSurnames;    // a name behind a first name, an initial or a title
extern const std::string_view kNotNames;             // words that stand in capitals beside names, and begin sentences
extern const std::string_view kFirmWords;            // behind a name they make it a firm, a product or a place

// Phrases, one a line, in lower case: firms and products whose name is a person's.
extern const std::string_view kBrands;

}  // namespace deskhand::redact_lists
