#include "deskhand/audit/language.h"

#include <cld2/public/compact_lang_det.h>

#include <algorithm>

namespace deskhand {
namespace {

constexpr std::size_t kRead = 20000;  // bytes; more says nothing new

}  // namespace

std::string language_of(std::string_view text) {
  std::size_t size = std::min(text.size(), kRead);
  while (size > 0 && size < text.size() && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;  // no character is cut
  bool is_reliable = false;
  int valid = 0;
  const auto found = CLD2::DetectLanguageCheckUTF8(text.data(), static_cast<int>(size), true, &is_reliable, &valid);
  if (valid < static_cast<int>(size) || !is_reliable || found == CLD2::UNKNOWN_LANGUAGE) return "unknown";
  return CLD2::LanguageCode(found);
}

std::string language_name(std::string_view code) {
  const auto language = CLD2::GetLanguageFromName(std::string(code).c_str());
  if (code == "unknown" || language == CLD2::UNKNOWN_LANGUAGE) return std::string(code);
  std::string name = CLD2::LanguageName(language);  // "GERMAN"
  for (std::size_t i = 1; i < name.size(); ++i)
    if (name[i] >= 'A' && name[i] <= 'Z' && name[i - 1] != '_') name[i] = static_cast<char>(name[i] | 0x20);
  return name;
}

}  // namespace deskhand
