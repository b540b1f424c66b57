// For this room's tests: a vocabulary of all single bytes and some longer tokens that cross every border they can.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "deskhand/generate/token_trie.h"

namespace deskhand {

inline std::shared_ptr<const TokenTrie> test_vocabulary() {
  std::vector<std::string> bytes;
  for (int b = 0; b < 256; ++b) bytes.emplace_back(1, static_cast<char>(b));
  for (const char* text :
       {"{\"",      "Urgency", " Code",  "\":",      " \"",   "\",",   ", ",       "Category", "Resolution", "\"}",   ".\"}",   " Sales",
        "Sales",    " Orders", "Or",     "ders",     "Net",   "work",  "Network",  "\", \"",   "Check",      " the",  " cable", ".",
        " Restart", " it",     "\xc3",   "\xc3\xa9", "\xa9 ", "e\xc3", "\xf0\x9f", "\x98\x80", "\\n",        "\\",    "\\\"",   "\\u00",
        "12",       "1",       " Check", "}",        "}\n",   "\"\n",  " and",     " again",   " plug",      " wait", " \"(",   "(none)"})
    bytes.emplace_back(text);
  bytes.emplace_back();  // a control token
  return std::make_shared<const TokenTrie>(std::move(bytes));
}

}  // namespace deskhand
