#include "transport/handshake.h"

namespace hearsay::transport {
namespace {

std::string Difference(const std::string& what, const std::string& theirs,
                       const std::string& ours) {
  return "its " + what + " is " + theirs + ", ours is " + ours;
}

std::string ModelDifference(const Hello& ours, const Hello& theirs) {
  const std::string advice =
      "; all members must have the same [model] and the "
      "same [mixing] rule and wire";
  if (ours.model != theirs.model)
    return Difference("model", theirs.model, ours.model) + advice;
  return Difference("array size", std::to_string(theirs.array_bytes) + " bytes",
                    std::to_string(ours.array_bytes) + " bytes") +
         advice;
}

// What differs, seen from the node that says `ours`.
std::string Reason(Refuse::Kind kind, const Hello& ours, const Hello& theirs) {
  switch (kind) {
    case Refuse::Kind::kProtocol:
      return Difference("protocol version", std::to_string(theirs.protocol),
                        std::to_string(ours.protocol)) +
             "; run the same version of hearsay on both";
    case Refuse::Kind::kCluster:
      return Difference("cluster", "'" + theirs.cluster + "'",
                        "'" + ours.cluster + "'") +
             "; check cluster.name and cluster.peers";
    case Refuse::Kind::kModel:
      return ModelDifference(ours, theirs);
    case Refuse::Kind::kDuplicateName:
    case Refuse::Kind::kSelf:
      return "it is this node itself";
    case Refuse::Kind::kSuperseded:
      return "the two have another connection";
    case Refuse::Kind::kIdentity:
      return "our certificate is not of the name '" + ours.node + "'";
  }
  return "unknown reason";
}

std::string TwoNodes(const std::string& node, const std::string& one,
                     const std::string& other) {
  return "two nodes named '" + node + "': " + one + ", " + other +
         "; give each its own node.name";
}

std::string Where(const Hello& hello) {
  return hello.node + "@" + hello.address;
}

}  // namespace

std::optional<Refuse::Kind> Judge(const Hello& ours, const Hello& theirs) {
  if (ours.protocol != theirs.protocol) return Refuse::Kind::kProtocol;
  if (ours.cluster != theirs.cluster) return Refuse::Kind::kCluster;
  if (ours.node == theirs.node)
    return ours.incarnation == theirs.incarnation
               ? Refuse::Kind::kSelf
               : Refuse::Kind::kDuplicateName;
  if (ours.model != theirs.model || ours.array_bytes != theirs.array_bytes)
    return Refuse::Kind::kModel;
  return std::nullopt;
}

std::string RefusingText(Refuse::Kind kind, const Hello& ours,
                         const Hello& theirs,
                         const std::string& other_address) {
  const std::string start = "refused " + Where(theirs) + ": ";
  if (kind != Refuse::Kind::kDuplicateName)
    return start + Reason(kind, ours, theirs);
  const std::string that = "that one at " + theirs.address;
  return start +
         (ours.node == theirs.node
              ? TwoNodes(ours.node, "this one at " + ours.address, that)
              : TwoNodes(theirs.node, that, "another at " + other_address));
}

std::string RefusedText(Refuse::Kind kind, const Hello& ours,
                        const Hello& theirs, const std::string& other_address) {
  const std::string start = Where(theirs) + " refused this node: ";
  if (kind != Refuse::Kind::kDuplicateName)
    return start + Reason(kind, ours, theirs);
  return start + TwoNodes(ours.node, "this one at " + ours.address,
                          "that one at " + other_address);
}

}  // namespace hearsay::transport
