// A tokenizer beside the weights of a model that was made here.
#pragma once
#include <filesystem>
#include <string>

#include "deskhand/model/decoder.h"

namespace deskhand {

// Into `folder`: the base's own files, or what a GGUF holds in their form. `model`: where the base was loaded from. Empty, or one sentence
// why there is none. Throws Error(kCannotWrite).
std::string write_tokenizer_files(const Decoder& base, const std::filesystem::path& model, const std::filesystem::path& folder);

}  // namespace deskhand
