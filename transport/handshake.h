// Who may join whom: pure decisions over two Hellos, and the words for them.
#pragma once

#include <optional>
#include <string>

#include "transport/control_messages.h"

namespace hearsay::transport {

// Why a node that says `ours` refuses one that says `theirs`; nothing if the
// two may mix. In the order in which the answers make sense: fields of another
// protocol mean nothing, names of another cluster do not clash.
std::optional<Refuse::Kind> Judge(const Hello& ours, const Hello& theirs);

// One line each, with both values: for the side that refuses, and for the side
// that has been refused (by a Refuse from `theirs`). `other_address`: of the
// third node, where two other nodes share a name.
std::string RefusingText(Refuse::Kind kind, const Hello& ours,
                         const Hello& theirs, const std::string& other_address);
std::string RefusedText(Refuse::Kind kind, const Hello& ours,
                        const Hello& theirs, const std::string& other_address);

}  // namespace hearsay::transport
