// Names of people in a text: told by titles, greetings, signatures, introductions and labels ("Requester: ..."), by lists of common names,
// and by what the ticket's other texts have shown to be one. Without a model: a rare name that nothing introduces goes unseen.
#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "deskhand/tickets/pattern.h"

namespace deskhand {

std::string simple_fold(std::string_view text);  // Unicode's simple folding, for comparing

struct TextWord {
  std::size_t begin, end;
  std::string folded;
  bool is_capital, is_upper;  // begins with a capital; has nothing else
  bool is_free;               // no part of an identifier, a path or anything found before
  unsigned kinds = 0;         // what the lists say of it
};

class NameFinder {
 public:
  // names: one a person, "Anna Schmidt", each of its words counts; keep: words that are none, whatever else says so.
  NameFinder(std::span<const std::string> names, std::span<const std::string> keep);

  // `taken`: one flag a byte, of what was found before; `known`: folded words of names that the ticket has shown. Ordered, apart.
  std::vector<Match> find(std::string_view text, std::span<const char> taken, const std::unordered_set<std::string>& known) const;

  // The words of a name that are worth being known by elsewhere in the ticket, folded: no initials, no particles.
  static std::vector<std::string> words_of(std::string_view name);
  bool is_first_name(std::string_view folded) const;  // a common one, not one that is a word besides

 private:
  using Words = std::unordered_set<std::string>;
  class Search;
  void add(std::string_view list, unsigned kind);
  unsigned kinds_of(const std::string& folded) const;  // of a word with hyphens, by its parts

  std::unordered_map<std::string, unsigned> words_;  // folded, and the lists that have it
  std::vector<std::string> brands_;
  Pattern title_, greeting_, sign_off_, dash_, introduction_, weak_introduction_, label_, called_;
};

}  // namespace deskhand
