// The record everything else speaks of: a closed ticket with its history. All texts are UTF-8; dates are as date.h has
// them: text that sorts, the moment in UTC with its offset where the export named one; empty where the export has none.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace deskhand {

inline constexpr int kMinUrgency = 1;  // the business stands still
inline constexpr int kMaxUrgency = 5;  // a question or a wish

// One step of a ticket's history: a mail, a call, a note.
struct Activity {
  std::string id, ticket_id, user;
  std::string short_text;  // "First response"
  std::string created;     // ISO, or empty
  std::string text;        // as exported, not cleaned
  std::string type_code, type;

  bool operator==(const Activity&) const = default;
};

struct Ticket {
  std::string id, subject;
  std::string problem;  // the desk's entry of the problem, cleaned
  int urgency = 0;      // 1..5, 0: not known
  std::string category, area, issue;
  std::string query;       // what the customer wrote first, cleaned: the history's first activity, else `problem`
  std::string resolution;  // the other activities, cleaned, joined by " || ", else `solution`
  std::string solution;    // the desk's entry of what was done, cleaned
  std::string result;      // a terse closing line
  std::string account_id, account;
  std::string received, completed;
  std::string clean_problem, resolution_summary;  // a model's rewriting of query and resolution; empty until it was done
  std::vector<Activity> activities;               // in the order of the history; filled only where a function says so
};

// The texts a model is trained with and cases are found by: the best there is of problem and of resolution, empty only if there is none.
// Neither looks at what the other may show: the problem's text never holds anything written after the ticket was received.
const std::string& problem_text(const Ticket& ticket);     // clean_problem, query, problem, subject
const std::string& resolution_text(const Ticket& ticket);  // resolution_summary, solution, resolution, result

}  // namespace deskhand
