// The table of measures: to add one, add its line in measures.cpp.
#pragma once
#include <vector>

#include "deskhand/evaluate/bootstrap.h"
#include "deskhand/evaluate/evaluation.h"
#include "deskhand/evaluate/matched.h"
#include "deskhand/evaluate/measure.h"

namespace deskhand {

struct Measure {
  MeasureInfo info;
  const Column* (*column)(const Matched&);                         // each ticket's value; null: of whole sets alone
  Statistic (*statistic)(const Matched&, const MeasureSettings&);  // null: the mean of the column
  bool is_share = false;                                           // of tickets that are right: McNemar applies
  const char* undefined = "no ticket has what this measures";      // why there may be no value
};

std::vector<Measure> measure_table(const MeasureSettings& settings);

}  // namespace deskhand
