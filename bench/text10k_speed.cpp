// Measures made-up answers to COUNT held-out tickets, every measure with 2 000 resamples and no model: prints the seconds.
//   text10k_speed COUNT THREADS < RESOLUTIONS (one a line)
#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <random>
#include <string>

#include "deskhand/base/stopwatch.h"
#include "deskhand/evaluate/measure.h"

int main(int argc, char** argv) {
  using namespace deskhand;
  if (argc != 3) {
    fmt::print(stderr, "text10k_speed COUNT THREADS < RESOLUTIONS\n");
    return 2;
  }
  std::vector<std::string> texts;
  for (std::string line; std::getline(std::cin, line);)
    if (!line.empty()) texts.push_back(line);
  std::mt19937 random(42);
  SplitRecords records{.name = "desk", .train = 1, .categories = {"A", "B", "C", "D", "E", "F", "G", "H", "I", "J"}};
  SystemAnswers system{.identity = {.name = "system", .kind = "raw"}};
  const auto distribution = [&](std::size_t labels, std::size_t top) {
    std::vector<double> p(labels, 0.4 / static_cast<double>(labels - 1));
    p[top] = 0.6;
    return p;
  };
  std::size_t words = 0;
  for (int i = 0; i < std::stoi(argv[1]); ++i) {
    const auto urgency = random() % 5, category = random() % 10;
    const std::string& truth = texts[random() % texts.size()];
    const std::string& answer = texts[random() % texts.size()];
    words += static_cast<std::size_t>(std::count(truth.begin(), truth.end(), ' ')) + 1;
    // A word that no other ticket has keeps every pair of texts distinct.
    records.tickets.push_back({.id = std::to_string(i),
                               .problem = "p",
                               .urgency = static_cast<int>(random() % 5) + 1,
                               .category = records.categories[random() % 10],
                               .resolution = truth + " T" + std::to_string(i)});
    system.predictions.push_back({.ticket_id = std::to_string(i),
                                  .urgency = static_cast<int>(urgency) + 1,
                                  .category = records.categories[category],
                                  .resolution = answer + " A" + std::to_string(i),
                                  .urgency_probabilities = distribution(5, urgency),
                                  .category_probabilities = distribution(10, category),
                                  .cases = {{.ticket_id = "c", .similarity = static_cast<double>(random() % 1000) / 1000}},
                                  .similarity = EncoderSimilarity{0.5, 0.5, 0.5, 0.5},
                                  .seconds = 1});
  }
  records.systems.push_back(std::move(system));
  ThreadPool pool(std::stoi(argv[2]));
  const Stopwatch watch;
  const SplitResult result = measure_split(records, {}, pool);
  fmt::print("{{\"seconds\": {:.3f}, \"tickets\": {}, \"mean_words\": {:.1f}, \"token_set_ratio\": {:.4f}}}\n", watch.seconds(),
             result.test, static_cast<double>(words) / static_cast<double>(result.test), *result.systems[0].measures[17].value);
}
