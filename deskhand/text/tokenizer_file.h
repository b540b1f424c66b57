// A tokenizer.json as it lies: its parts, checked for what every kind of tokenizer wants of them; what is made of them: tokenizer_json.
// Sources of this room alone.
#pragma once
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "deskhand/base/error.h"
#include "deskhand/text/tokenizer.h"

namespace deskhand::tokenizer_file {

constexpr std::size_t kMostBytes = std::size_t{256} << 20;
constexpr int64_t kMostTokens = 4'000'000;
using Tree = nlohmann::json;  // sorted keys: an object with a million keys stays n log n

// Everything of a tokenizer.json but the vocabulary and the merges, which are read straight into vectors.
struct File {
  std::string where;
  Tree rest;
  std::vector<std::pair<std::string, int64_t>> vocabulary;
  std::vector<std::pair<std::string, std::string>> merges;
};

// Throws Error(kBadInput) for what is no JSON object, or whose vocabulary or merges are not made of tokens, Error(kTooLarge) beyond
// kMostBytes.
File read_file(const std::filesystem::path& path);

// Pieces by id, as the file spells them, with the added tokens in their places.
struct Pieces {
  std::vector<std::string> text;
  std::vector<bool> is_added, is_known;
  std::vector<Vocabulary::Special> specials;
  std::unordered_map<std::string_view, int32_t> ids;  // of the model's own vocabulary
};

// Throws Error(kBadInput) where two tokens have one id, an id is out of range, or an added token contradicts the vocabulary.
Pieces pieces_of(const File& file);

// The member if it is there and not null.
const Tree* member(const Tree& object, const char* name);
std::string text_of(const Tree& object, const char* name);  // empty where there is none
bool flag_of(const Tree& object, const char* name, bool otherwise = false);

template <class... Args>
[[noreturn]] void refuse(std::string_view where, fmt::format_string<Args...> text, Args&&... args) {
  throw Error(ExitCode::kBadInput, "{}: {}", where, fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace deskhand::tokenizer_file
