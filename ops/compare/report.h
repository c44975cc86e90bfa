// The comparison as one page that needs nothing else: no network, no other
// file. Tables are plain HTML; charts are drawn over them by Chart.js, which
// is inside.
#pragma once

#include <string>

#include "ops/compare/results.h"

namespace hearsay::ops {

std::string ReportHtml(const Results& results);

}  // namespace hearsay::ops
