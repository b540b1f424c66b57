// Recipes: a built-in one by its name, or a TOML file. One list of keys serves reading, --set and writing.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/train/recipe.h"

namespace deskhand {

// "lora", "hybrid", ...: those in the source's folder recipes/.
std::vector<std::string> built_in_recipes();

// The file's settings, then each of `overrides` ("lora.r=8", "method=hybrid") on top, in order. Throws Error(kNotFound) with the built-in
// names, Error(kUsage) for a key that nothing knows (with the nearest one), a value out of range, or settings that contradict one another.
Recipe load_recipe(const std::string& name_or_file, std::span<const std::string> overrides);
Recipe read_recipe(std::string_view toml, const std::string& name, const std::string& where, std::span<const std::string> overrides);

// Every key with its value, no comments: the same settings give the same text, so its hash is theirs. read(write(r)) == r but for the name.
std::string write_recipe(const Recipe& recipe);

}  // namespace deskhand
